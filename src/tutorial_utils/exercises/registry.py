"""What an exercise is: what is asked, a right answer, inputs to try an answer on, and the typical wrong answers."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

Inputs = tuple[Any, ...]
Function = Callable[..., Any]


class Kind(StrEnum):
    """What a reader does in an exercise."""

    DERIVE = "derive"
    IMPLEMENT = "implement"
    PREDICT = "predict"
    DEBUG = "debug"
    READ = "read"


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer, and what a tutor says to it."""

    #: What the reader did and what is right, in one to three sentences; the checker adds input, result and expectation.
    hint: str
    #: The mistake itself, a function like the answer; where a value is asked, a function of the data or a value.
    wrong: Any = None
    #: Instead of ``wrong``, a predicate ``when(came, expected, *inputs)`` that tells the mistake from what came out.
    when: Callable[..., bool] | None = None


def call(answer: Function, *inputs: Any) -> Any:
    """Observe an answer that is a function: what it returns."""
    return answer(*inputs)


def nothing(*, generator: torch.Generator) -> Inputs:
    """Draw no inputs, for an answer that is a value and the same for everybody."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A question whose answer can be checked, or one that a person grades."""

    #: Short name, in words joined by hyphens.
    id: str
    #: The chapter it belongs to, by its file name without the ending.
    chapter: str
    #: The heading.
    title: str
    #: What one can do afterwards, in one sentence.
    goal: str
    #: How long it takes.
    minutes: int
    #: What a right answer earns.
    points: int
    #: What the reader does.
    kind: Kind
    #: A right answer, as a function of the inputs; None where a person grades.
    reference: Function | None = None
    #: Each draws the inputs of one case, in float64, ``draw(generator=...) -> tuple``; the cases take turns.
    inputs: tuple[Callable[..., Inputs], ...] = (nothing,)
    #: The typical wrong answers.
    mistakes: tuple[Mistake, ...] = ()
    #: Computes what is compared, ``observe(answer, *inputs)``, a tensor, number, text, or a tuple or dict of these.
    observe: Function = call
    #: Names for the items of a tuple that comes out.
    parts: tuple[str, ...] = ()
    #: Positions of the inputs that the answer changes in place; they are what is compared.
    changes: tuple[int, ...] = ()
    #: Whether the answer is a value, computed from the reader's own data, rather than a function.
    value: bool = False
    #: Relative tolerance in float64.
    rtol: float = 1e-6
    #: The same in float32; None where the inputs stay in float64.
    rtol32: float | None = 1e-3
    #: On how many random inputs a function is tried.
    cases: int = 6
    #: What is said to a right answer.
    right: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the inputs, from the parameters of the reference, or of the observer after its first."""
        if self.observe is not call:
            return list(inspect.signature(self.observe).parameters)[1:]
        return list(inspect.signature(self.reference).parameters) if self.reference else []


#: All exercises by id, in the order in which they were registered.
EXERCISES: dict[str, Exercise] = {}


def register(entry: Exercise) -> None:
    """Add an exercise to the registry.

    Raises:
        ValueError: if the id is taken, or minutes or points are not positive.
    """
    if entry.id in EXERCISES:
        raise ValueError(f"exercise {entry.id!r} is registered already")
    if entry.minutes < 1 or entry.points < 1:
        raise ValueError(
            f"exercise {entry.id!r}: {entry.minutes} minutes, {entry.points} points; both must be positive"
        )
    EXERCISES[entry.id] = entry


def exercise(
    id: str,
    *,
    chapter: str,
    title: str,
    goal: str,
    minutes: int,
    points: int,
    kind: str = Kind.IMPLEMENT,
    inputs: Callable[..., Inputs] | Sequence[Callable[..., Inputs]] = nothing,
    mistakes: Sequence[Mistake] = (),
    parts: Sequence[str] = (),
    changes: Sequence[int] = (),
    **options: Any,
) -> Callable[[Function], Function]:
    """Register the decorated function as a right answer; the arguments are the fields of :class:`Exercise`.

    A single function that draws inputs may be given as it is.

    Raises:
        ValueError: if the id is taken or the kind is unknown.

    >>> @exercise("double", chapter="none", title="Twice", goal="Multiply.", minutes=1, points=1)
    ... def double(x):
    ...     return 2 * x
    >>> EXERCISES.pop("double").names
    ['x']
    """
    draws = (inputs,) if callable(inputs) else tuple(inputs)
    sequences = {"inputs": draws, "mistakes": tuple(mistakes), "parts": tuple(parts), "changes": tuple(changes)}
    about = {"chapter": chapter, "title": title, "goal": goal, "minutes": minutes, "points": points}

    def decorate(reference: Function) -> Function:
        register(Exercise(id=id, kind=Kind(kind), reference=reference, **about, **sequences, **options))  # type: ignore[arg-type]
        return reference

    return decorate


def written(id: str, *, chapter: str, title: str, goal: str, minutes: int, points: int, kind: str) -> None:
    """Register an exercise whose answer is text, graded by a person; the arguments are those of :class:`Exercise`.

    Raises:
        ValueError: if the id is taken or the kind is unknown.
    """
    register(Exercise(id=id, chapter=chapter, title=title, goal=goal, minutes=minutes, points=points, kind=Kind(kind)))
