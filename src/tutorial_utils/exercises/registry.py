"""What an exercise is: a right answer, inputs to try an answer on, and the typical wrong answers.

Title, goal, time and points stand beside the text, in the Markdown of the exercises; nothing here needs them.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

Inputs = tuple[Any, ...]
Function = Callable[..., Any]


@dataclass(frozen=True)
class When:
    """Recognizes a mistake by what came out instead of by an example: ``fits(outcome, expected, *inputs)``."""

    fits: Callable[..., bool]


class Mistake(NamedTuple):
    """What a tutor says to a typical wrong answer, and that answer: one like any other, or a :class:`When`."""

    hint: str
    wrong: Any


def call(answer: Function, *inputs: Any) -> Any:
    """Observe what a function returns."""
    return answer(*inputs)


def no_inputs(*, generator: torch.Generator) -> Inputs:
    """Draw nothing, for a value that is the same for everybody."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A question whose answer can be checked."""

    #: Short name, in words joined by hyphens.
    id: str
    #: The slug of the topic to which it belongs, from the name of the module that registers it.
    topic: str
    #: A right answer, as a function of the inputs.
    reference: Function
    #: Each draws the inputs of one case, in float64, ``draw(generator=...) -> tuple``; the cases take turns.
    inputs: tuple[Callable[..., Inputs], ...] = (no_inputs,)
    #: The typical wrong answers.
    mistakes: tuple[Mistake, ...] = ()
    #: Collects what an answer does, ``observe(answer, *inputs)``: tensors, numbers, texts, and lists or dicts of them.
    #: It judges nothing and keeps nothing of the answer: when grading, it runs in the student's process.
    observe: Function = call
    #: Makes what is compared from what was collected, ``describe(raw, *inputs)``; None: that itself is compared.
    describe: Function | None = None
    #: Names for the items of a tuple that comes out.
    parts: tuple[str, ...] = ()
    #: The parts that earn their share of the points, if others are wrong; None: those in :attr:`parts`. An empty tuple,
    #: where a part may be right by chance or says little alone, leaves all or nothing.
    credit: tuple[str, ...] | None = None
    #: The parts without which no part earns its share, such as that something was not used.
    required: tuple[str, ...] = ()
    #: Positions of the inputs that the answer may change in place; they then are its result.
    changes: tuple[int, ...] = ()
    #: Whether the answer is a value rather than a function. It can be found by trial, so better ask for a function.
    value: bool = False
    #: Whether the inputs follow from the student's id, too: ``draw(generator=..., student=seed)``.
    own: bool = False
    #: Relative tolerance for inputs in float64; not so small that an answer which computes in float32 fails.
    rtol: float = 1e-5
    #: The same for inputs in float32; None where they stay in float64.
    rtol32: float | None = 1e-3
    #: On how many random inputs a function is tried.
    cases: int = 6
    #: Inputs for which the reader guesses what comes out, before writing the answer; it is compared, never graded.
    predict: tuple[Inputs, ...] = ()
    #: At most how often an answer passes that knows which results there are and how frequent, and nothing else.
    guessing: float = 1e-3
    #: What is said to a right answer.
    right: str = ""

    @property
    def credited(self) -> tuple[str, ...]:
        """The parts that earn a share of the points each."""
        return self.parts if self.credit is None else self.credit

    @property
    def names(self) -> list[str]:
        """The names of the inputs, from the parameters of the observer after its first, or those of the reference."""
        seen = list(inspect.signature(self.observe).parameters.values())[1:]
        if any(one.kind is one.VAR_POSITIONAL for one in seen):
            seen = list(inspect.signature(self.reference).parameters.values())
        return [one.name for one in seen]


#: All exercises by id, in the order in which they were registered.
EXERCISES: dict[str, Exercise] = {}


def exercise(
    id: str,
    *,
    inputs: Callable[..., Inputs] | tuple[Callable[..., Inputs], ...] = no_inputs,
    mistakes: Mapping[str, Any] | None = None,
    **options: Any,
) -> Callable[[Function], Function]:
    """Register the decorated function as the right answer; the arguments are the fields of :class:`Exercise`.

    A single function that draws inputs may be given as it is; mistakes are given as ``{hint: wrong}``.

    >>> @exercise("double", mistakes={"You squared it.": lambda x: x * x})
    ... def double(x):
    ...     return 2 * x
    >>> EXERCISES.pop("double").names
    ['x']
    """
    options["inputs"] = (inputs,) if callable(inputs) else inputs
    options["mistakes"] = tuple(map(Mistake._make, (mistakes or {}).items()))

    def decorate(reference: Function) -> Function:
        if id in EXERCISES:
            raise ValueError(f"exercise {id!r} is registered already")
        topic = reference.__module__.rpartition(".")[2].replace("_", "-")
        EXERCISES[id] = Exercise(id=id, topic=topic, reference=reference, **options)
        return reference

    return decorate
