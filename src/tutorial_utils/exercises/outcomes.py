"""What came out of an answer, and whether two outcomes agree."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

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
    r"""Describe a random draw by mean, variance and kurtosis, each with its standard error.

    The kurtosis :math:`\langle (x-\mu)^4 \rangle / \sigma^4` is 3 for a normal and 1.8 for a uniform distribution.

    >>> moments(torch.tensor([-1.0, 1.0]).repeat(50))["variance"].value
    1.0
    """
    x = sample.detach().double().flatten()
    n, mean, var = x.numel(), x.mean(), x.var(correction=0)
    square = (x - mean).square() / var.clamp(min=torch.finfo(var.dtype).tiny)
    kurtosis = square.square().mean()
    wobble = (square.square() - 2 * kurtosis * square).std(correction=0)
    errors = (var.sqrt(), var * (kurtosis - 1).clamp(min=0).sqrt(), wobble)
    values = zip(("mean", "variance", "kurtosis"), (mean, var, kurtosis), errors, strict=True)
    return {name: Estimate(value.item(), error.item() / math.sqrt(n)) for name, value, error in values}


def named(outcome: Any, names: Sequence[str]) -> Outcome:
    """Give the items of an outcome names; a single one is called "". Several numbers may come as one tensor."""
    if isinstance(outcome, Tensor) and len(names) > 1 and outcome.shape == (len(names),):
        outcome = outcome.unbind()
    if isinstance(outcome, dict):
        return {str(name): plain(value) for name, value in outcome.items()}
    if isinstance(outcome, (tuple, list)) and not isinstance(outcome, (Estimate, Odd)):
        labels = names if len(names) == len(outcome) else [f"item {number}" for number in range(1, len(outcome) + 1)]
        return {label: plain(value) for label, value in zip(labels, outcome, strict=True)}
    return {"": plain(outcome)}


def plain(value: Any) -> Any:
    """A tensor of real numbers, number, text or None as it is, on the CPU and outside of any graph; else an Odd."""
    try:
        if isinstance(value, Tensor):
            dense = value.detach().cpu().to_dense()
            return Odd("complex tensor") if dense.is_complex() else dense
        if isinstance(value, Real) and not isinstance(value, (bool, Estimate)):
            float(value)  # an int may be too large for that
    except Exception:
        return Odd(type(value).__name__)
    return value if value is None or isinstance(value, (Real, str, Estimate)) else Odd(type(value).__name__)


def is_number(value: Any) -> bool:
    """Whether a value is a number or a tensor with a single one, and no truth value."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.dtype != torch.bool
    return isinstance(value, Real) and not isinstance(value, bool)


def kind(value: Any) -> str:
    """The type of a value, in a word."""
    return value.kind if isinstance(value, Odd) else type(value).__name__


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


def agree(came: Any, expected: Any, rtol: float) -> bool:
    """Whether two parts of outcomes are the same: estimates within their errors, numbers within the tolerance.

    >>> agree(0.3, 0.1 + 0.2, 1e-6), agree(Estimate(1.0, 0.1), Estimate(1.2, 0.1), 0)
    (True, True)
    """
    if isinstance(came, Estimate) and isinstance(expected, Estimate):
        gap, error = abs(came.value - expected.value), math.hypot(min(came.error, 2 * expected.error), expected.error)
        return gap <= STANDARD_ERRORS * error + 1e-9 * abs(expected.value)
    if isinstance(came, str) and isinstance(expected, str):
        return came.strip().casefold() == expected.strip().casefold()
    if isinstance(expected, Tensor) and isinstance(came, Tensor) and came.shape == expected.shape:
        return bool(close(as_tensor(came), as_tensor(expected), rtol).all())
    if is_number(came) and is_number(expected) and not _is_vector(expected):
        return bool(close(as_tensor(came).reshape(()), as_tensor(expected).reshape(()), rtol))
    return type(came) is type(expected) and not isinstance(expected, Tensor) and bool(came == expected)


def _is_vector(value: Any) -> bool:
    """Whether a value is a tensor with an axis: a number does not answer for a vector of length 1."""
    return isinstance(value, Tensor) and value.dim() > 0
