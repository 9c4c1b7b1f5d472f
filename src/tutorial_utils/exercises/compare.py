"""What came out of an answer, part by part, and whether it agrees with what is expected."""

import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.registry import Exercise, Inputs
from tutorial_utils.exercises.run import Raised, Unsupported, tensors

#: How many standard errors apart two estimates may be.
STANDARD_ERRORS = 6.0
#: Relative tolerances for results of fewer digits than float64 has.
COARSE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 2e-2}
# Below this share of one, an error relative to the expected size is rounding: an exact zero comes out as 1e-17.
FLOOR = 1e-2


@dataclass(frozen=True)
class Estimate:
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
        return differing(self.outcome, self) if self.complete else list(self.expected)

    @property
    def size(self) -> int:
        """The number of entries of all inputs, and so how long it takes to read them."""
        return sum(tensor.numel() for tensor in tensors(self.inputs))


def differing(outcome: Outcome, case: Case) -> list[str]:
    """The parts of an outcome that are not as expected."""
    expected = case.expected.items()
    return [name for name, value in expected if name in outcome and not agree(outcome[name], value, case.rtol)]


# --- parts --------------------------------------------------------------------------------------------


def named(result: Any, names: Sequence[str]) -> Outcome:
    """Give the items of a result names; a single one is called "". Several may come as the rows of one tensor."""
    if isinstance(result, Tensor) and len(names) > 1 and result.shape[:1] == (len(names),):
        result = list(result)
    if isinstance(result, (tuple, list)):
        labels = names if len(names) == len(result) else [f"item {number}" for number in range(1, len(result) + 1)]
        result = dict(zip(labels, result, strict=True))
    return {str(name): _stacked(value) for name, value in result.items()} if isinstance(result, dict) else {"": result}


def fitted(result: Any, expected: Outcome) -> Outcome:
    """Name the items as those of what is expected; where that is one tensor, a list of numbers is one thing, too."""
    whole, stacked = expected.get(""), _stacked(result)
    if isinstance(whole, Tensor) and isinstance(stacked, Tensor) and stacked.dim() == whole.dim():
        return {"": stacked}
    return named(result, list(expected))


def _stacked(value: Any) -> Any:
    """A nested list of numbers as a tensor; anything else as it is, but for other lists."""
    if not isinstance(value, (tuple, list)):
        return value
    with suppress(TypeError, RuntimeError):  # of items that are no numbers, or not of one shape
        return torch.stack([as_tensor(_stacked(item)) for item in value])
    return Unsupported("list")


def as_tensor(value: Any) -> Tensor:
    """A number, truth value or tensor as a tensor outside of any graph.

    Raises:
        TypeError: if it is nothing of that kind.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if not isinstance(value, Real):
        raise TypeError(type(value))
    return torch.tensor(value) if isinstance(value, bool) else torch.tensor(float(value), dtype=torch.float64)


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


# --- agreement ----------------------------------------------------------------------------------------


def agree(result: Any, expected: Any, rtol: float) -> bool:
    """Whether two parts of outcomes are the same: estimates within their errors, numbers within the tolerance.

    A result of fewer digits, such as one in float32, is judged by what its dtype can hold.

    >>> agree(0.3, 0.1 + 0.2, 1e-6), agree(Estimate(1.0, 0.1), Estimate(1.2, 0.1), 0)
    (True, True)
    """
    if isinstance(result, Estimate) and isinstance(expected, Estimate):
        return abs(apart(result, expected)) <= STANDARD_ERRORS
    if isinstance(result, str) and isinstance(expected, str):
        return result.strip().casefold() == expected.strip().casefold()
    if not isinstance(expected, (Tensor, Real)) or not isinstance(result, (Tensor, Real)):
        return type(result) is type(expected) and bool(result == expected)
    one, other = as_tensor(result), as_tensor(expected)
    rtol = max(rtol, COARSE.get(one.dtype, 0.0))
    if other.dim() == 0:  # a number may come in brackets, but a truth value is none
        same_kind = (one.dtype == torch.bool) == (other.dtype == torch.bool)
        return same_kind and one.numel() == 1 and bool(close(one.reshape(()), other, rtol))
    return one.shape == other.shape and bool(close(one, other, rtol).all())


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
