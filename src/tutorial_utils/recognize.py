r"""Name the distribution that a tensor was drawn from, by statistical tests.

The question put to a tensor of n entries is: could they be n independent draws from this distribution? Each law of
:func:`candidates` is specified completely by the tensor's sizes, so no parameter is estimated and the tests are exact:

* the **largest entry**: :math:`P(\max_i |x_i| \le t) = F_{|x|}(t)^n`, and none beyond a bounded law's bound;
* the **scale** of a normal law: :math:`\sum_i x_i^2/s^2 \sim \chi^2_n`, on both sides;
* the **shape**: the Kolmogorov-Smirnov distance, on at most 20,000 evenly spaced entries.

With k tests their smallest p-value times k is the p-value of the law (Bonferroni), so the true law is rejected with
probability ``alpha`` at most. Stored numbers are rounded: whatever lies within one ``torch.finfo(dtype).eps`` of an
entry could have been drawn, and each test takes the value most favorable to the law.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.schemes import SCHEMES, Distribution, Law, normal, symmetric

Entries = NDArray[np.float64]
Sizes = dict[str, float | int | None]

_KS_ENTRIES = 20_000  # beyond it the test costs time and tells nothing the scale does not
_SHAPIRO_ENTRIES = 5_000  # the largest sample its approximation covers
_STD_WITHIN_TWO = float(stats.truncnorm(-2, 2).std())  # of N(0, 1) cut off at two standard deviations

#: What PyTorch's own modules draw by numbers that only they have.
MODULE_LAWS = {
    "rnn_default": Law("U(1 / √hidden_size)", lambda hidden_size: symmetric(1 / math.sqrt(hidden_size))),
    "bilinear_default": Law("U(1 / √in1_features)", lambda in1_features: symmetric(1 / math.sqrt(in1_features))),
}
#: What embeddings and transformers are drawn by, whatever their sizes.
FIXED_LAWS = {
    "normal_1": Law("N(0, 1)", lambda: normal(1.0)),
    "normal_0.02": Law("N(0, 0.02²)", lambda: normal(0.02**2)),
    "trunc_normal_0.02": Law(
        "N(0, 0.02²) within ±0.04", lambda: Distribution("truncated normal", 0.02 * _STD_WITHIN_TWO)
    ),
}


def candidates(dimensions: int = 2) -> dict[str, Law]:
    """The laws that a tensor may be recognized as, by name: all of them need sizes alone.

    Where two coincide, the one that stands first gives the name, the others are aliases. A vector is compared
    only with schemes that draw biases, too; torch.nn.init refuses most others for it.

    >>> list(candidates(dimensions=1))
    ['rnn_default', 'bilinear_default', 'default', 'normal_1', 'normal_0.02', 'trunc_normal_0.02']
    """
    schemes = {
        name: scheme.law
        for name, scheme in SCHEMES.items()
        if scheme.law and not scheme.options and (dimensions > 1 or scheme.fill_bias)
    }
    return MODULE_LAWS | schemes | FIXED_LAWS


class Recognition(NamedTuple):
    """What a tensor was recognized as."""

    #: A key of :func:`candidates`; "zeros", "ones", "constant", "identity", "orthogonal"; "normal" or "uniform" (that
    #: shape about zero, but the scale of no candidate); "undecided" or "unknown".
    scheme: str
    #: Standard deviation over that of ``candidates[0]``; the gain of an orthogonal matrix; NaN if meaningless.
    ratio: float
    #: The p-value of what was accepted, 1 for what is exact; of the best rejected candidate if "unknown".
    p: float
    #: The scheme and its aliases; all that remain if "undecided", the best first; the nearest scheme of a "normal" or
    #: "uniform" tensor.
    candidates: tuple[str, ...]

    @property
    def nearest(self) -> str:
        """The candidate that ``ratio`` refers to; empty if there is none."""
        return self.candidates[0] if self.candidates else ""

    @property
    def aliases(self) -> tuple[str, ...]:
        """The other names of what was recognized; all that remain if "undecided"."""
        return self.candidates if self.scheme == "undecided" else self.candidates[1:]


def recognize(
    tensor: Tensor,
    *,
    fan_in: float | None = None,
    fan_out: float | None = None,
    hidden_size: int | None = None,
    in1_features: int | None = None,
    alpha: float = 1e-3,
) -> Recognition:
    r"""Name the initialization scheme that a tensor was drawn by.

    Exact structures are looked for first: constants, the identity, orthogonal matrices. Then the laws of
    :func:`candidates` are tested. If one distribution survives its tests, that is the answer; if several do,
    "undecided". If none does, the family is tested with its scale left free. For the uniform family that is again
    exact: given the largest entry of a sample, the others are uniform up to it. For the normal family it is Shapiro and
    Wilk's test, an approximation, on at most 5,000 entries, and Student's test of the mean.

    A draw from one of the candidates is denied its name with probability ``alpha`` at most (and is then most often
    called "normal" or "uniform" with a ratio near 1). How many entries it takes to leave "undecided" behind depends on
    how close the scales of two schemes are: telling standard deviations with the ratio r apart takes about
    :math:`16/(\ln r)^2` entries at alpha = 0.001, near 500 if fan_out is twice fan_in. A small tensor that none of the
    candidates drew may pass for one of theirs; no test can tell.

    A ``trunc_normal_`` with its default bounds ±2 and a standard deviation of 0.02 cuts nothing off, and is
    "normal_0.02".

    Args:
        tensor: real floating-point entries, finite, at least one.
        fan_in: as torch.nn.init counts it; laws whose sizes are not given are left out.
        fan_out: as torch.nn.init counts it.
        hidden_size: of the recurrent module the tensor belongs to. Its gates are stacked in blocks of this many rows;
            a tensor that is orthogonal block by block, with one gain, counts as orthogonal too.
        in1_features: of the Bilinear module the tensor belongs to.
        alpha: the false-alarm rate, between 0 and 1.

    Returns:
        A :class:`Recognition`.

    Raises:
        TypeError: if ``tensor`` is not a tensor.
        ValueError: if it has no finite real entries to test, if a size is not positive, or if ``alpha`` does not lie
            between 0 and 1.

    >>> weight = init.kaiming_normal_(torch.empty(300, 200), generator=torch.Generator().manual_seed(0))
    >>> recognize(weight, fan_in=200, fan_out=300).scheme
    'kaiming_normal'
    >>> scheme, ratio, _, nearest = recognize(0.7 * weight, fan_in=200, fan_out=300)
    >>> scheme, round(ratio, 1), nearest
    ('normal', 1.0, ('lecun_normal',))
    """
    sizes = {"fan_in": fan_in, "fan_out": fan_out, "hidden_size": hidden_size, "in1_features": in1_features}
    _check(tensor, sizes, alpha)
    sample = read(tensor)
    exact = _constant(sample, alpha) or _structure(_readable(tensor), sample.eps, hidden_size, alpha)
    if exact:
        return exact
    distributions = _distributions(tensor.dim(), sizes)
    p_values = {name: _p_value(sample, distribution) for name, distribution in distributions.items()}
    fitting = {name: p for name, p in p_values.items() if p >= alpha}
    if sample.low == sample.high:  # but too few entries to be sure, or _constant had answered
        fitting["constant"] = 1.0
    if fitting:
        return _named(sample, distributions, fitting)
    return _family(sample, distributions, alpha) or Recognition("unknown", math.nan, max(p_values.values()), ())


def obstacle(tensor: Tensor) -> str:
    """Why a tensor cannot be tested; empty if it can."""
    if isinstance(tensor, nn.UninitializedParameter) or tensor.is_meta:
        return "not there yet"
    if not tensor.is_floating_point():
        return "not real"
    if tensor.numel() == 0:
        return "empty"
    return "" if bool(_readable(tensor).isfinite().all()) else "not finite"


def _check(tensor: Tensor, sizes: Sizes, alpha: float) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"tensor = {tensor!r}, but it must be a torch.Tensor")
    reason = obstacle(tensor)
    if reason:
        raise ValueError(f"a tensor of type {tensor.dtype} that is {reason} cannot be recognized")
    for name, size in sizes.items():
        if size is not None and not 0 < size < math.inf:
            raise ValueError(f"{name} = {size}, but it must be positive")
    check_alpha(alpha)


def check_alpha(alpha: float) -> None:
    """Raise a ValueError unless alpha can be a false-alarm rate."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha}, but a false-alarm rate lies between 0 and 1")


class Sample(NamedTuple):
    """What the tests need of a tensor: moments over all entries, and some of the entries in double precision."""

    size: int
    mean: float
    std: float
    low: float
    high: float
    square_sum: float
    eps: float
    entries: Entries

    @property
    def largest(self) -> float:
        """The largest absolute value."""
        return max(-self.low, self.high)


def _readable(tensor: Tensor) -> Tensor:
    """The entries where and as they can be computed with: most of torch knows no 8-bit numbers."""
    values = tensor.detach().cpu().to_dense()
    return values if values.dtype == torch.float64 else values.float()


def read(tensor: Tensor) -> Sample:
    """Reduce a tensor to what the tests need of it."""
    flat, eps = _readable(tensor).flatten(), torch.finfo(tensor.dtype).eps
    mean = flat.mean(dtype=torch.float64).item()
    std = (flat - mean).square().mean(dtype=torch.float64).sqrt().item()
    squares = flat.double().square().sum().item()
    picked = np.linspace(0, len(flat) - 1, min(len(flat), _KS_ENTRIES)).astype(np.int64)
    entries = flat[torch.from_numpy(picked)].double().numpy()
    return Sample(len(flat), mean, std, flat.min().item(), flat.max().item(), squares, eps, entries)


def _constant(sample: Sample, alpha: float) -> Recognition | None:
    """All entries equal: zeros, ones, or a constant, unless that may well happen to random numbers of this precision.

    Two random entries agree with a chance of about eps, and one entry always agrees with itself; but it is one of the
    900 numbers of three digits in its decade with a chance of about 1000 eps.
    """
    if sample.low != sample.high:
        return None
    chance = sample.eps ** (sample.size - 1)
    if abs(float(f"{sample.low:.3g}") - sample.low) <= sample.eps / 2 * abs(sample.low):
        chance *= min(1.0, 1000 * sample.eps)
    name = {0.0: "zeros", 1.0: "ones"}.get(sample.low, "constant")
    return Recognition(name, math.nan, 1.0, (name,)) if chance < alpha or name != "constant" else None


def _structure(values: Tensor, eps: float, hidden_size: int | None, alpha: float) -> Recognition | None:
    """The identity, or orthogonal rows or columns."""
    if values.dim() < 2:
        return None
    if _is_identity(values):
        return Recognition("identity", 1.0, 1.0, ("identity",))
    matrix = values.flatten(1).double()
    for rows in (hidden_size or len(matrix), len(matrix)):  # gate by gate first, then the stack of gates as one
        gains = [_orthogonal_gain(block, eps, alpha) for block in matrix.split(rows)]
        if all(math.isclose(gain, gains[0], rel_tol=_tolerance(eps)) for gain in gains):  # NaN is close to nothing
            return Recognition("orthogonal", gains[0], 1.0, ("orthogonal",))
    return None


def _is_identity(values: Tensor) -> bool:
    """Whether a matrix is what ``eye_`` makes, or a kernel what ``dirac_`` makes, by itself or in every group."""
    rows, columns = values.shape[:2]
    if values.count_nonzero() > rows or values.dim() > 5:
        return False
    if values.dim() == 2:
        return torch.equal(values, torch.eye(rows, columns, dtype=values.dtype))
    groups = {1, rows // columns if rows % columns == 0 else 1}
    return any(torch.equal(values, init.dirac_(torch.empty_like(values), count)) for count in groups)


def _tolerance(eps: float) -> float:
    """How far rows of a rounded orthogonal matrix are from orthonormal: by rounding, and as float32 computes them."""
    return 2 * eps + 32 * torch.finfo(torch.float32).eps


def _orthogonal_gain(matrix: Tensor, eps: float, alpha: float) -> float:
    r"""The gain g of :math:`W W^\top = g^2 I` (or :math:`W^\top W`, of a tall matrix); NaN if that does not hold.

    Independent entries must have a chance below alpha to come as close: then the m cosines between k vectors of length
    n would give :math:`n \sum \cos^2 \sim \chi^2_m` with :math:`m = k(k-1)/2`.
    """
    vectors = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    for part in (vectors[:8], vectors):  # the first few spare most matrices the large product
        gram = part @ part.T
        square = gram.diagonal().mean()
        cosines = gram / square - torch.eye(len(part), dtype=gram.dtype)
        pairs = len(part) * (len(part) - 1) // 2
        closeness = stats.chi2.cdf(vectors.shape[1] * cosines.triu(1).square().sum().item(), pairs) if pairs else 1.0
        if not (cosines.abs().max() <= _tolerance(eps) and closeness < alpha):
            return math.nan
    return math.sqrt(square.item())


def _distributions(dimensions: int, sizes: Sizes) -> dict[str, Distribution]:
    """The candidates for a tensor of so many dimensions whose sizes are known."""
    known = {name: size for name, size in sizes.items() if size is not None}
    return {
        name: law.distribution(**{size: known[size] for size in law.needs})
        for name, law in candidates(dimensions).items()
        if known.keys() >= set(law.needs)
    }


@lru_cache  # scipy takes longer to freeze a distribution than to evaluate it
def _frozen(distribution: Distribution) -> Any:
    """The distribution as scipy knows it."""
    family, std, mean = distribution
    if family == "normal":
        return stats.norm(mean, std)
    if family == "uniform":
        return stats.uniform(mean - math.sqrt(3) * std, 2 * math.sqrt(3) * std)
    return stats.truncnorm(-2, 2, mean, std / _STD_WITHIN_TWO)


def _p_value(sample: Sample, distribution: Distribution) -> float:
    """The p-value of the hypothesis that the entries are independent draws from a distribution: see the module."""
    tests = [_largest_p(sample, distribution)]
    if distribution.family == "normal":
        tests.append(_scale_p(sample, distribution))
    if min(tests) > 0:
        tests.append(_shape_p(sample.entries, distribution, sample.eps * sample.largest))
    return min(1.0, len(tests) * min(tests))


def _largest_p(sample: Sample, distribution: Distribution) -> float:
    """The chance that no entry is larger; 0 if one lies beyond the bound."""
    law = _frozen(distribution)
    bound, reach = law.support()[1], sample.largest * (1 + sample.eps)
    if sample.largest > bound * (1 + sample.eps):
        return 0.0
    return float((1 - 2 * law.sf(min(reach, bound))) ** sample.size)


def _scale_p(sample: Sample, distribution: Distribution) -> float:
    """The two-sided chi-squared test of a normal distribution's standard deviation, mean zero."""
    statistic = sample.square_sum / distribution.std**2
    below = stats.chi2.cdf(statistic * (1 + sample.eps) ** 2, sample.size)
    above = stats.chi2.sf(statistic * (1 - sample.eps) ** 2, sample.size)
    return min(1.0, 2 * float(min(below, above)))


def _shape_p(entries: Entries, distribution: Distribution, blur: float) -> float:
    """The Kolmogorov-Smirnov test, by the smallest distance of any sample within ``blur`` of the entries."""
    n, ordered, law = len(entries), np.sort(entries), _frozen(distribution)
    ranks = np.arange(n) / n
    above = np.max(ranks + 1 / n - law.cdf(ordered + blur))
    below = np.max(law.cdf(ordered - blur) - ranks)
    return float(stats.kstwo.sf(max(above, below, 0.0), n))


def _named(sample: Sample, distributions: dict[str, Distribution], fitting: dict[str, float]) -> Recognition:
    """The answer when candidates remain: a name if they are all one distribution, else "undecided", the best first."""
    is_one = len({_key(distributions[name]) if name in distributions else name for name in fitting}) == 1
    by_fit = sorted(fitting, key=lambda name: (name not in distributions, -fitting[name]))  # "constant" comes last
    names = list(fitting) if is_one else by_fit
    best = names[0]
    ratio = sample.std / distributions[best].std if best in distributions and sample.size > 1 else math.nan
    return Recognition(best if is_one else "undecided", ratio, fitting[best], tuple(names))


def _key(distribution: Distribution) -> tuple[str, float]:
    """Equal for distributions that coincide, however their standard deviations were rounded."""
    return distribution.family, round(math.log(distribution.std), 9)


def _family(sample: Sample, distributions: dict[str, Distribution], alpha: float) -> Recognition | None:
    """The answer when no candidate remains but a family does, with the candidate of nearest scale."""
    p_values = {"normal": _normal_p(sample.entries), "uniform": _uniform_p(sample)}
    fitting = {name: p for name, p in p_values.items() if p >= alpha}
    if len(fitting) != 1:
        return Recognition("undecided", math.nan, max(fitting.values()), tuple(fitting)) if fitting else None
    ((family, p),) = fitting.items()
    ratios = {name: sample.std / one.std for name, one in distributions.items() if one.family == family}
    nearest = min(ratios, key=lambda name: abs(math.log(ratios[name])), default="")
    return Recognition(family, ratios.get(nearest, math.nan), p, (nearest,) if nearest else ())


def _uniform_p(sample: Sample) -> float:
    """The test of uniformity about zero whatever the bound: below the largest entry, the others are uniform."""
    sizes, bound = np.abs(sample.entries), sample.largest
    others = np.delete(sample.entries, np.flatnonzero(sizes == bound)[:1])
    return _shape_p(others, symmetric(bound), sample.eps * bound)


def _normal_p(entries: Entries) -> float:
    """The test of normality about zero whatever the standard deviation."""
    if len(entries) < 3:
        return 1.0
    spread = entries[:: math.ceil(len(entries) / _SHAPIRO_ENTRIES)]
    tests = stats.shapiro(spread).pvalue, stats.ttest_1samp(entries, 0.0).pvalue
    return min(1.0, 2 * float(min(tests)))
