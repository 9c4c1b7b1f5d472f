"""Compare the mean of a sample with what theory says, in the sample's own standard errors."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Comparison(NamedTuple):
    """A measured mean or ratio, its standard error, and the value it is held against."""

    measured: float
    error: float
    theory: float

    @property
    def z(self) -> float:
        """How many standard errors the measurement lies above the theory."""
        distance = self.measured - self.theory
        if distance == 0:
            return 0.0
        return distance / self.error if self.error else math.copysign(math.inf, distance)

    @property
    def agrees(self) -> bool:
        """Whether they are within four standard errors.

        Of samples that follow the theory, one in 16,000 misses if they are many. If they are few and normal, Student's
        t distribution counts: one in 3,700 misses with 40 of them, one in 480 with 12. Skewed samples miss more often.
        In return, no error of the theory below four standard errors can be noticed.
        """
        return abs(self.z) <= 4

    def __str__(self) -> str:
        """One line to print after a name."""
        return f"{self.measured:8.3g} ± {self.error:<7.1g} theory {self.theory:8.3g}  within 4 SE: {self.agrees}"


def compare_mean(samples: Tensor, theory: float, *, over: Tensor | None = None) -> Comparison:
    r"""Hold the mean of independent samples, or a ratio of two means, against a theory.

    The mean of N samples of standard deviation s has the standard error :math:`s / \sqrt N`. The ratio
    :math:`r = \bar a / \bar b` of paired samples has, to first order,
    :math:`\operatorname{sd}(a - r b) / (\sqrt N\, |\bar b|)`.

    Args:
        samples: independent samples, of any shape; each entry counts as one.
        theory: the expected mean, or the expected ratio.
        over: the samples b of the denominator, paired with ``samples``.

    Returns:
        A :class:`Comparison`; print it for one line.

    Raises:
        ValueError: for fewer than two samples, or if ``over`` has another shape or the mean 0.

    >>> g = torch.Generator().manual_seed(0)
    >>> compare_mean(torch.randn(10_000, generator=g, dtype=torch.float64).square(), 1.0).agrees
    True
    """
    a = samples.detach().double()
    b = torch.ones_like(a) if over is None else over.detach().double()
    if a.numel() < 2 or a.shape != b.shape or b.mean() == 0:
        raise ValueError(
            f"{a.numel()} samples of shape {tuple(a.shape)} over {tuple(b.shape)} of mean {b.mean():.3g};"
            " there must be at least two, in equal shapes, and the denominator's mean not 0"
        )
    ratio = a.mean() / b.mean()
    error = (a - ratio * b).std() / (b.mean().abs() * math.sqrt(a.numel()))
    rounding = 4 * torch.finfo(torch.float64).eps * ratio.abs()  # samples without any spread still round
    return Comparison(ratio.item(), max(error, rounding).item(), theory)
