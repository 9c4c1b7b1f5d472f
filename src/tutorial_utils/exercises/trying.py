"""Try an answer on inputs: what came out, what a right answer gives, and which inputs were changed on the way."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tutorial_utils.exercises.outcomes import Outcome, agree, fitted, named, plain, tolerance
from tutorial_utils.exercises.registry import Exercise, Function, Inputs, Mistake
from tutorial_utils.exercises.running import Nothing, Raised, run

#: Gives an answer copies of the inputs; answers with what came out, and the names of inputs wrongly changed.
Attempt = Callable[[Exercise, Function, Inputs, torch.dtype], tuple[Any, list[str]]]


@dataclass(frozen=True)
class Case:
    """One input and what came of it."""

    exercise: Exercise
    #: As the answer got them.
    inputs: Inputs
    #: The default dtype while the answer ran; that of the inputs, too.
    dtype: torch.dtype
    #: What a right answer gives, by name of the part.
    expected: Outcome
    #: What the answer gave, or :class:`~tutorial_utils.exercises.running.Raised`.
    came: Any
    #: Names of the inputs that the answer changed though it should not.
    touched: list[str] = field(default_factory=list)

    @property
    def rtol(self) -> float:
        """The relative tolerance."""
        return tolerance(self.dtype, self.exercise.rtol, self.exercise.rtol32)

    @property
    def parts(self) -> Outcome:
        """What the answer gave, by name of the part."""
        return fitted(self.came, self.expected)

    @property
    def has_the_parts(self) -> bool:
        """Whether the answer gave all that was asked for and nothing else, in any order."""
        return not isinstance(self.came, Raised) and set(self.parts) == set(self.expected)

    @property
    def wrong(self) -> list[str]:
        """The parts that are not as expected; all of them if what came has other parts."""
        if not self.has_the_parts:
            return list(self.expected)
        return [name for name, value in self.expected.items() if not agree(self.parts[name], value, self.rtol)]

    @property
    def size(self) -> int:
        """The number of entries of all inputs, and so how long it takes to read them."""
        return sum(value.numel() if isinstance(value, Tensor) else 1 for value in self.inputs)


def cast(value: Any, dtype: torch.dtype | None = None) -> Any:
    """A copy of an input, with all its float64 numbers in a dtype if one is given."""
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to(dtype)
    if isinstance(value, Tensor):
        wanted = dtype if value.dtype == torch.float64 else None
        return value.detach().to(wanted or value.dtype, copy=True).requires_grad_(value.requires_grad)
    if isinstance(value, (tuple, list)):
        return type(value)(cast(one, dtype) for one in value)
    if isinstance(value, torch.Generator):
        return torch.Generator().set_state(value.get_state())
    return copy.deepcopy(value)


def same(first: Any, second: Any) -> bool:
    """Whether an input is what it was; generators and other objects may have moved on."""
    if isinstance(first, Tensor):
        return first.shape == second.shape and torch.equal(first.nan_to_num(), second.nan_to_num())
    if isinstance(first, nn.Module):
        old, new = first.state_dict(), second.state_dict()
        return list(old) == list(new) and all(same(old[name], new[name]) for name in old)
    if isinstance(first, (tuple, list)):
        return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))
    return True


def moved(before: Inputs, after: Inputs) -> list[int]:
    """The positions of the inputs that are no longer what they were."""
    return [index for index, pair in enumerate(zip(before, after, strict=True)) if not same(*pair)]


def settled(answer: Function, changes: tuple[int, ...]) -> Function:
    """An answer that may change inputs, as a function that returns its result also where it writes that into them."""
    if not changes:
        return answer

    def call(*inputs: Any, **options: Any) -> Any:
        before = cast(inputs)
        returned = answer(*inputs, **options)
        if isinstance(returned, (tuple, list)) and len(returned) == len(changes):
            return returned  # one of them may have been changed in place, too
        if set(moved(before, inputs)) & set(changes):
            after = tuple(inputs[index] for index in changes)
            return after[0] if len(after) == 1 else after
        if returned is None:
            raise Nothing
        return returned

    return call


def without_arrays(answer: Function) -> Function:
    """An answer that may return arrays, as a function that returns tensors in their place."""

    def call(*inputs: Any, **options: Any) -> Any:
        returned = answer(*inputs, **options)
        numbers = plain(returned) if isinstance(returned, np.ndarray) else None
        return numbers if isinstance(numbers, Tensor) else returned

    return call


def attempt(exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """Give an answer copies of the inputs; what came out, and the names of inputs that it should not have changed."""
    own = cast(inputs, dtype)
    came = run(exercise.observe, settled(without_arrays(answer), exercise.changes), *own, dtype=dtype)
    touched = [index for index in moved(cast(inputs, dtype), own) if index not in exercise.changes]
    return came, [exercise.names[index] for index in touched]


def expectation(exercise: Exercise, inputs: Inputs, dtype: torch.dtype) -> Outcome:
    """What a right answer gives.

    Raises:
        RuntimeError: if the exercise has no right answer for these inputs, which is a fault of the exercise.
    """
    if exercise.reference is None:
        raise RuntimeError(f"exercise {exercise.id!r} has no reference")
    right = exercise.reference(*inputs) if exercise.value else attempt(exercise, exercise.reference, inputs, dtype)[0]
    if right is None or isinstance(right, Raised):
        raise RuntimeError(f"exercise {exercise.id!r}: from its reference came {right}")
    return named(right, exercise.parts)


def mistaken_value(mistake: Mistake, inputs: Inputs) -> Any:
    """What a mistake makes of a reader's own data."""
    return run(mistake.wrong, *inputs) if callable(mistake.wrong) else mistake.wrong


def precision(exercise: Exercise, number: int) -> torch.dtype:
    """The dtype of a case: float64 and float32 take turns, once every kind of input has had its own."""
    return torch.float32 if number // len(exercise.inputs) % 2 and exercise.rtol32 is not None else torch.float64


def try_function(
    exercise: Exercise, answer: Function, generator: torch.Generator, attempt: Attempt = attempt
) -> list[Case]:
    """Try a function on random inputs, until all are done or it took too long."""
    cases: list[Case] = []
    for number in range(exercise.cases):
        dtype = precision(exercise, number)
        inputs = cast(exercise.inputs[number % len(exercise.inputs)](generator=generator), dtype)
        expected = expectation(exercise, inputs, dtype)
        came, touched = attempt(exercise, answer, inputs, dtype)
        cases.append(Case(exercise, inputs, dtype, expected, came, touched))
        if isinstance(came, Raised) and came.kind in ("TimeUp", "NotImplementedError"):
            break
    return cases


def try_value(exercise: Exercise, answer: Any, inputs: Inputs) -> list[Case]:
    """Compare a value with the one that follows from the reader's own data."""
    return [Case(exercise, inputs, torch.float64, expectation(exercise, inputs, torch.float64), answer)]
