"""What came out of an answer, part by part, and whether it agrees with what is expected."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tutorial_utils.exercises.registry import Exercise, Inputs
from tutorial_utils.exercises.run import Raised, Unsupported

#: How many standard errors apart two estimates may be.
STANDARD_ERRORS = 6.0
# Below this share of one, an error relative to the expected size is rounding: an exact zero comes out as 1e-17.
FLOOR = 1e-2


class Estimate(NamedTuple):
    """A number that a random draw gave, and its standard error; such numbers agree within their errors."""

    value: float
    error: float


#: What came out, by the names of its parts; a single part is called "".
Outcome = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One input and what came of it."""

    exercise: Exercise
    #: As the answer got them.
    inputs: Inputs
    #: The default dtype while the answer ran; that of the inputs, too.
    dtype: torch.dtype
    #: What a right answer gives.
    expected: Outcome
    #: What the answer gave, None if that is nothing, or :class:`~tutorial_utils.exercises.run.Raised`.
    result: Any
    #: Names of the inputs that the answer changed though it should not.
    changed: list[str] = field(default_factory=list)

    @property
    def rtol(self) -> float:
        """The relative tolerance."""
        coarse = self.exercise.rtol32 if self.dtype == torch.float32 else None
        return self.exercise.rtol if coarse is None else coarse

    @cached_property
    def outcome(self) -> Outcome:
        """What the answer gave, part by part; nothing where it raised."""
        return {} if isinstance(self.result, Raised) else fitted(self.result, self.expected)

    @property
    def complete(self) -> bool:
        """Whether the answer gave all that was asked for and nothing else, in any order."""
        return set(self.outcome) == set(self.expected)

    @cached_property
    def wrong(self) -> list[str]:
        """The parts that are not as expected; all of them if other parts came."""
        if not self.complete:
            return list(self.expected)
        return [name for name, value in self.expected.items() if not agree(self.outcome[name], value, self.rtol)]

    @property
    def size(self) -> int:
        """The number of entries of all inputs, and so how long it takes to read them."""
        return sum(value.numel() if isinstance(value, Tensor) else 1 for value in self.inputs)


def named(result: Any, names: Sequence[str]) -> Outcome:
    """Give the items of a result names; a single one is called "". Several may come as the rows of one tensor."""
    if isinstance(result, Tensor) and len(names) > 1 and result.shape[:1] == (len(names),):
        result = list(result)
    if isinstance(result, dict):
        return {str(name): _vector(value) for name, value in result.items()}
    if isinstance(result, (tuple, list)) and not isinstance(result, (Estimate, Unsupported)):
        labels = names if len(names) == len(result) else [f"item {number}" for number in range(1, len(result) + 1)]
        return {label: _vector(value) for label, value in zip(labels, result, strict=True)}
    return {"": result}


def fitted(result: Any, expected: Outcome) -> Outcome:
    """Name the items as those of what is expected; where that is one tensor, a list of numbers is one thing, too."""
    whole, numbers = expected.get(""), _vector(result)
    if isinstance(whole, Tensor) and isinstance(numbers, Tensor) and numbers.dim() == whole.dim():
        return {"": numbers}
    return named(result, list(expected))


def _vector(value: Any) -> Any:
    """A nested list of numbers as a tensor; anything else as it is, but for other lists."""
    if not isinstance(value, (tuple, list)) or isinstance(value, (Estimate, Unsupported)):
        return value
    try:
        return torch.stack([_entry(item) for item in value])
    except (TypeError, RuntimeError):
        return Unsupported("list")


def _entry(item: Any) -> Tensor:
    """An item of a list of numbers as a tensor."""
    value = _vector(item)
    if not isinstance(value, (Tensor, Real)):
        raise TypeError
    return value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)


def is_number(value: Any) -> bool:
    """Whether a value is a number or a tensor with a single one, and no truth value."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.dtype != torch.bool
    return isinstance(value, Real) and not isinstance(value, bool)


def kind(value: Any) -> str:
    """The type of a value, in a word."""
    return value.kind if isinstance(value, Unsupported) else type(value).__name__


def numeric(result: Any, expected: Any) -> bool:
    """Whether two parts can be compared number by number."""
    both_tensors = isinstance(result, Tensor) and isinstance(expected, Tensor)
    return both_tensors or (is_number(result) and is_number(expected))


def as_tensor(value: Any) -> Tensor:
    """A number or tensor as a tensor outside of any graph."""
    return value.detach() if isinstance(value, Tensor) else torch.as_tensor(float(value), dtype=torch.float64)


def close(result: Tensor, expected: Tensor, rtol: float) -> Tensor:
    """Which entries agree, up to a share of themselves and of the largest expected one."""
    result, expected = result.double(), expected.double()
    finite = expected[expected.isfinite()].abs()
    scale = max(finite.max().item(), FLOOR) if finite.numel() else FLOOR
    return torch.isclose(result, expected, rtol=rtol, atol=rtol * scale, equal_nan=True)


def apart(result: Estimate, expected: Estimate) -> float:
    """How many standard errors lie between two estimates, with a sign; one huge error does not excuse all.

    >>> round(apart(Estimate(2.0, 0.3), Estimate(1.0, 0.4)), 3)
    2.0
    """
    error = math.hypot(min(result.error, 2 * expected.error), expected.error, 1e-9 * expected.value)
    return (result.value - expected.value) / max(error, sys.float_info.min)


def agree(result: Any, expected: Any, rtol: float) -> bool:
    """Whether two parts of outcomes are the same: estimates within their errors, numbers within the tolerance.

    >>> agree(0.3, 0.1 + 0.2, 1e-6), agree(Estimate(1.0, 0.1), Estimate(1.2, 0.1), 0)
    (True, True)
    """
    if isinstance(result, Estimate) and isinstance(expected, Estimate):
        return abs(apart(result, expected)) <= STANDARD_ERRORS
    if isinstance(result, str) and isinstance(expected, str):
        return result.strip().casefold() == expected.strip().casefold()
    if isinstance(expected, bool) and isinstance(result, Tensor) and result.dtype == torch.bool and result.numel() == 1:
        return result.item() is expected
    if isinstance(expected, Tensor) and isinstance(result, Tensor) and result.shape == expected.shape:
        return bool(close(as_tensor(result), as_tensor(expected), rtol).all())
    if is_number(result) and is_number(expected) and not _is_vector(expected):
        return bool(close(as_tensor(result).reshape(()), as_tensor(expected).reshape(()), rtol))
    return type(result) is type(expected) and not isinstance(expected, Tensor) and bool(result == expected)


def _is_vector(value: Any) -> bool:
    """Whether a value is a tensor with an axis: a number does not answer for a vector of length 1."""
    return isinstance(value, Tensor) and value.dim() > 0
