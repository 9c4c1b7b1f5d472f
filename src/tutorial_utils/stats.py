"""Compare the mean of a sample with what theory says, and say which shares a count leaves possible."""

import math
from typing import NamedTuple

import scipy  # scipy.special is imported where it is first used
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


def share_interval(count: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    r"""The shares that a count of successes does not rule out: the exact interval of Clopper and Pearson (1934).

    At an end :math:`p` of it, so many successes or more (or so many or fewer) have the chance :math:`(1 - c)/2`. The
    chance of k or more in n trials is the incomplete beta function :math:`I_p(k, n - k + 1)`.

    Args:
        count: how many trials succeeded.
        trials: how many there were.
        confidence: the chance c that such an interval covers the true share, at least.

    Returns:
        Both ends, between 0 and 1.

    Raises:
        ValueError: unless 0 <= count <= trials, there is a trial, and the confidence lies between 0 and 1.

    >>> low, high = share_interval(0, 5)
    >>> low, round(high, 2)
    (0.0, 0.52)
    """
    if not (0 <= count <= trials and trials > 0 and 0 < confidence < 1):
        raise ValueError(
            f"count = {count}, trials = {trials}, confidence = {confidence};"
            " count must be between 0 and trials, trials above 0, confidence between 0 and 1"
        )
    tail = (1 - confidence) / 2
    low = scipy.special.betaincinv(count, trials - count + 1, tail) if count else 0.0
    high = scipy.special.betaincinv(count + 1, trials - count, 1 - tail) if count < trials else 1.0
    return float(low), float(high)
