"""What came out of an answer, and whether two outcomes agree."""

import math
import sys
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

#: How many standard errors apart two estimates may be.
STANDARD_ERRORS = 6.0
# Below this share of one, an error relative to the expected size is rounding: an exact zero comes out as 1e-17.
FLOOR = 1e-2


class Estimate(NamedTuple):
    """A number that a random draw gave, and its standard error; such numbers agree within their errors."""

    value: float
    error: float


class Odd(NamedTuple):
    """Stands for a thing that no exercise asks for, and with which nothing is compared."""

    kind: str


Outcome = dict[str, Any]


def moments(sample: Tensor) -> dict[str, Estimate]:
    r"""Describe a random draw by variance, mean and kurtosis, each with its standard error.

    The kurtosis :math:`\langle (x-\mu)^4 \rangle / \sigma^4` is 3 for a normal and 1.8 for a uniform distribution.

    >>> moments(torch.tensor([-1.0, 1.0]).repeat(50))["variance"].value
    1.0
    """
    x = sample.detach().double().flatten()
    n, mean, var = x.numel(), x.mean(), x.var(correction=0)
    square = (x - mean).square() / var.clamp(min=torch.finfo(var.dtype).tiny)
    kurtosis = square.square().mean()
    wobble = (square.square() - 2 * kurtosis * square).std(correction=0)
    errors = (var * (kurtosis - 1).clamp(min=0).sqrt(), var.sqrt(), wobble)
    values = zip(("variance", "mean", "kurtosis"), (var, mean, kurtosis), errors, strict=True)
    return {name: Estimate(value.item(), error.item() / math.sqrt(n)) for name, value, error in values}


def named(outcome: Any, names: Sequence[str]) -> Outcome:
    """Give the items of an outcome names; a single one is called "". Several may come as the rows of one tensor."""
    if isinstance(outcome, np.ndarray):
        outcome = plain(outcome)
    if isinstance(outcome, Tensor) and len(names) > 1 and outcome.shape[:1] == (len(names),):
        outcome = outcome.unbind()
    if isinstance(outcome, dict):
        return {str(name): plain(value) for name, value in outcome.items()}
    if isinstance(outcome, (tuple, list)) and not isinstance(outcome, (Estimate, Odd)):
        labels = names if len(names) == len(outcome) else [f"item {number}" for number in range(1, len(outcome) + 1)]
        return {label: plain(value) for label, value in zip(labels, outcome, strict=True)}
    return {"": plain(outcome)}


def fitted(outcome: Any, expected: Outcome) -> Outcome:
    """Name the items as those of what is expected; where that is one tensor, a list of numbers is one thing, too."""
    whole = expected.get("")
    if isinstance(whole, Tensor) and isinstance(outcome, (tuple, list)):
        numbers = plain(outcome)
        if isinstance(numbers, Tensor) and numbers.dim() == whole.dim():
            return {"": numbers}
    return named(outcome, list(expected))


def plain(value: Any) -> Any:
    """A tensor of real numbers, number, text or None on the CPU and outside of any graph; else an Odd.

    Arrays and nested lists of numbers become tensors.

    >>> plain([1, 2.5]), plain(np.float32(0.5)), plain([1, "a"])
    (tensor([1.0000, 2.5000], dtype=torch.float64), 0.5, Odd(kind='list'))
    """
    try:
        return _plain(value)
    except Exception:
        return Odd(type(value).__name__)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        dense = value.detach().cpu().to_dense()
        return Odd("complex tensor") if dense.is_complex() else dense
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        return _plain(torch.tensor(value))
    if isinstance(value, Estimate) or value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (tuple, list)) and not isinstance(value, Odd):
        return torch.stack([_entry(item) for item in value])
    if isinstance(value, Real):
        float(value)  # an int may be too large for that
        return value
    return Odd(type(value).__name__)


def _entry(item: Any) -> Tensor:
    """An item of a list of numbers as a tensor."""
    value = _plain(item)
    if not isinstance(value, (Tensor, Real)):
        raise TypeError(f"{value!r} is no number")
    return value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)


def is_number(value: Any) -> bool:
    """Whether a value is a number or a tensor with a single one, and no truth value."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.dtype != torch.bool
    return isinstance(value, Real) and not isinstance(value, bool)


def kind(value: Any) -> str:
    """The type of a value, in a word."""
    return value.kind if isinstance(value, Odd) else type(value).__name__


def numeric(came: Any, expected: Any) -> bool:
    """Whether two parts can be compared number by number."""
    both_tensors = isinstance(came, Tensor) and isinstance(expected, Tensor)
    return both_tensors or (is_number(came) and is_number(expected))


def as_tensor(value: Any) -> Tensor:
    """A number or tensor as a tensor outside of any graph."""
    return value.detach() if isinstance(value, Tensor) else torch.as_tensor(float(value), dtype=torch.float64)


def tolerance(dtype: torch.dtype, rtol: float, rtol32: float | None) -> float:
    """The relative tolerance for a dtype."""
    return rtol32 if dtype == torch.float32 and rtol32 is not None else rtol


def close(came: Tensor, expected: Tensor, rtol: float) -> Tensor:
    """Which entries agree, up to a share of themselves and of the largest expected one."""
    came, expected = came.double(), expected.double()
    finite = expected[expected.isfinite()].abs()
    scale = max(finite.max().item(), FLOOR) if finite.numel() else FLOOR
    return torch.isclose(came, expected, rtol=rtol, atol=rtol * scale, equal_nan=True)


def apart(came: Estimate, expected: Estimate) -> float:
    """How many standard errors lie between two estimates, with a sign; one huge error does not excuse all.

    >>> round(apart(Estimate(2.0, 0.3), Estimate(1.0, 0.4)), 3)
    2.0
    """
    error = math.hypot(min(came.error, 2 * expected.error), expected.error, 1e-9 * expected.value)
    return (came.value - expected.value) / max(error, sys.float_info.min)


def agree(came: Any, expected: Any, rtol: float) -> bool:
    """Whether two parts of outcomes are the same: estimates within their errors, numbers within the tolerance.

    >>> agree(0.3, 0.1 + 0.2, 1e-6), agree(Estimate(1.0, 0.1), Estimate(1.2, 0.1), 0)
    (True, True)
    """
    if isinstance(came, Estimate) and isinstance(expected, Estimate):
        return abs(apart(came, expected)) <= STANDARD_ERRORS
    if isinstance(came, str) and isinstance(expected, str):
        return came.strip().casefold() == expected.strip().casefold()
    if isinstance(expected, bool) and isinstance(came, Tensor) and came.dtype == torch.bool and came.numel() == 1:
        return came.item() is expected
    if isinstance(expected, Tensor) and isinstance(came, Tensor) and came.shape == expected.shape:
        return bool(close(as_tensor(came), as_tensor(expected), rtol).all())
    if is_number(came) and is_number(expected) and not _is_vector(expected):
        return bool(close(as_tensor(came).reshape(()), as_tensor(expected).reshape(()), rtol))
    return type(came) is type(expected) and not isinstance(expected, Tensor) and bool(came == expected)


def _is_vector(value: Any) -> bool:
    """Whether a value is a tensor with an axis: a number does not answer for a vector of length 1."""
    return isinstance(value, Tensor) and value.dim() > 0
