r"""Name the distribution that a tensor was drawn from, by statistical tests.

The question put to a tensor of n entries is: could they be n independent draws from this distribution? Each law of
:func:`candidates` is specified completely by the tensor's sizes, so no parameter is estimated and the tests are exact:

* the **largest entry**: :math:`P(\max_i |x_i| \le t) = F_{|x|}(t)^n`, and none beyond a bounded law's bound;
* the **scale** of a normal law: :math:`\sum_i x_i^2/s^2 \sim \chi^2_n`, on both sides;
* the **shape**: the Kolmogorov-Smirnov distance.

A large tensor has more entries than a test can use. The largest entry is that of all; the scale is tested on at most
1,048,576 entries, which tells standard deviations apart that differ by half a percent; the shape on at most 20,000;
orthogonality on at most 256 of the rows or columns. These are spread evenly over the tensor, and always the same ones.

With k tests their smallest p-value times k is the p-value of the law (Bonferroni), so the true law is rejected with
probability ``alpha`` at most. Stored numbers are rounded: whatever lies within one ``torch.finfo(dtype).eps`` of an
entry could have been drawn, and each test takes the value most favorable to the law.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy  # scipy.special and scipy.stats are imported where they are first used
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.schemes import SCHEMES, Distribution, Law, normal, symmetric
from tutorial_utils.sentinel import TOO_LARGE, TOO_SMALL

Entries = NDArray[np.float64]
Sizes = dict[str, float | int | None]

_MOMENT_ENTRIES = 2**20  # their standard deviation is off by a few tenths of a percent at most
_KS_ENTRIES = 20_000  # beyond it the test costs time and tells nothing the scale does not
_ORTHOGONAL_VECTORS = 256  # whose products by pairs take a moment, where those of 4096 long ones take a minute
_TRUNCATED_ENTRIES = 500  # fewer do not show whether a normal law was cut off at two standard deviations
_SHAPIRO_ENTRIES = 5_000  # the largest sample its approximation covers
# N(0, 1) cut off at two standard deviations has E[x²] = 1 - 4 φ(2) / P and E[x⁴] = 3 E[x²] - 16 φ(2) / P.
_EDGE_WITHIN_TWO = math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))  # φ(2) / P, P the share it keeps
_STD_WITHIN_TWO = math.sqrt(1 - 4 * _EDGE_WITHIN_TWO)
_KURTOSIS_WITHIN_TWO = (3 * _STD_WITHIN_TWO**2 - 16 * _EDGE_WITHIN_TWO) / _STD_WITHIN_TWO**4

_TOO_LARGE_IN_HALF = 1e4  # 16-bit floats end at 65504, below what is too large elsewhere

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

    #: A key of :func:`candidates`; "zeros", "ones", "constant", "identity", "orthogonal"; "normal", "truncated normal"
    #: or "uniform" (that shape about zero, but the scale of no candidate); one of these with " + 1" (about one);
    #: "uninitialized", "undecided" or "unknown".
    scheme: str
    #: Standard deviation over that of ``candidates[0]``; the gain of an orthogonal matrix; NaN if meaningless.
    ratio: float
    #: The p-value of what was accepted, 1 for what is exact; of the best rejected candidate if "unknown".
    p: float
    #: The scheme and its aliases; all that remain if "undecided", the best first; the nearest scheme of a "normal",
    #: "truncated normal" or "uniform" tensor.
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
    Wilk's test, an approximation, on at most 5,000 entries, and Student's test of the mean. A normal law cut off at two
    of its standard deviations (Flax and Haiku draw from it) has its cut near the largest of 500 entries or more; given
    that, shape and second moment are tested. If nothing fits about zero, all is asked once more about one: DCGAN starts
    BatchNorm's weights from N(1, 0.02²), "normal_0.02 + 1".

    Memory that was never written may hold anything. Magnitudes that no initializer gives, below 1e-30 or above 1e10
    (1e4 in float16), are called "uninitialized"; plausible ones cannot be told, which
    :func:`tutorial_utils.sentinel.never_written` can.

    A draw from one of the candidates is denied its name with probability ``alpha`` at most. It is then called
    "unknown", or by its family, "normal" or "uniform", with a ratio near 1. How many entries it takes to leave
    "undecided" behind depends on how close the scales of two schemes are. As an order of magnitude, telling two normal
    laws apart whose standard deviations have a ratio r near 1 takes :math:`16/(\ln r)^2` entries at alpha = 0.001 (most
    draws are named then, not all): some hundreds for Glorot's law if fan_out is twice fan_in. Uniform laws differ in
    their largest entry, too, and take fewer. A small tensor that none of the candidates drew may pass for one of
    theirs; no test can tell.

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
    return judge(tensor, read(tensor), sizes, alpha)


def judge(tensor: Tensor, sample: "Sample", sizes: Sizes, alpha: float) -> Recognition:
    """Do what :func:`recognize` does, with arguments that were checked and a sample that was read."""
    if _unwritten(sample, tensor.dtype):
        return Recognition("uninitialized", math.nan, 1.0, ("uninitialized",))
    exact = _constant(sample, alpha) or _structure(_readable(tensor), sample.eps, sizes.get("hidden_size"), alpha)
    if exact:
        return exact
    distributions = _distributions(tensor.dim(), sizes)
    found = _about_zero(sample, distributions, alpha) or _about_one(sample, distributions, alpha)
    return found or _unknown(sample, distributions)


def _unwritten(sample: "Sample", dtype: torch.dtype) -> bool:
    """Whether some magnitudes are such as no initializer gives."""
    half = dtype == torch.float16
    too_small = not half and sample.smallest < TOO_SMALL and sample.low != sample.high  # a constant was meant
    return too_small or sample.largest > (_TOO_LARGE_IN_HALF if half else TOO_LARGE)


def obstacle(tensor: Tensor) -> str:
    """Why a tensor cannot be tested; empty if it can."""
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer) or tensor.is_meta:
        return "not there yet"
    if not tensor.is_floating_point():
        return "not real"
    if tensor.numel() == 0:
        return "empty"
    return "" if all(bound.isfinite() for bound in _readable(tensor).aminmax()) else "not finite"  # NaN is both


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
    """What the tests need of a tensor: its extremes; the moments of many of its entries; some entries themselves."""

    size: int
    low: float
    high: float
    counted: int  # entries that the moments are of
    mean: float
    std: float
    square_sum: float
    smallest: float  # magnitude among those, zeros aside; infinite if all are zero
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


def spread(flat: Tensor, most: int) -> Tensor:
    """Pick that many entries of a vector, spread over it evenly, always the same ones; all if it has no more.

    Steps of the golden section visit every entry once before any twice, and hit no row or column of a matrix more often
    than another, as steps of a fixed fraction could.

    >>> spread(torch.arange(10), 4)
    tensor([0, 7, 4, 1])
    """
    if len(flat) <= most:
        return flat
    step = round(len(flat) * (math.sqrt(5) - 1) / 2)
    while math.gcd(step, len(flat)) > 1:
        step += 1
    return flat[torch.arange(most) * step % len(flat)]


def read(tensor: Tensor) -> Sample:
    """Reduce a tensor to what the tests need of it."""
    flat, eps = _readable(tensor).flatten(), torch.finfo(tensor.dtype).eps
    low, high = (bound.item() for bound in flat.aminmax())
    many = spread(flat, _MOMENT_ENTRIES).double()
    mean, squares = many.mean(), many.square().sum()
    std = (many - mean).square().mean().sqrt()
    sizes = many.abs()
    smallest = torch.where(sizes > 0, sizes, math.inf).min().item()
    entries = spread(many, _KS_ENTRIES).numpy()
    return Sample(len(flat), low, high, len(many), mean.item(), std.item(), squares.item(), smallest, eps, entries)


def _shifted(sample: Sample, by: float) -> Sample:
    """The same sample with its zero elsewhere, and what rounding did to it in relation to what is left."""
    moved = sample._replace(
        low=sample.low - by,
        high=sample.high - by,
        mean=sample.mean - by,
        square_sum=sample.counted * (sample.std**2 + (sample.mean - by) ** 2),
        entries=sample.entries - by,
    )
    return moved._replace(eps=sample.eps * sample.largest / moved.largest)


def _about_zero(sample: Sample, distributions: dict[str, Distribution], alpha: float) -> Recognition | None:
    """The candidates that fit, or else the family that does."""
    p_values = {name: _p_value(sample, distribution) for name, distribution in distributions.items()}
    fitting = {name: p for name, p in p_values.items() if p >= alpha}
    if sample.low == sample.high:  # but too few entries to be sure, or _constant had answered
        fitting["constant"] = 1.0
    return _named(sample, distributions, fitting) if fitting else _family(sample, distributions, alpha)


def _about_one(sample: Sample, distributions: dict[str, Distribution], alpha: float) -> Recognition | None:
    """The same for what is left when one is taken away, if the mean suggests that."""
    if not 0.5 < sample.mean < 1.5:
        return None
    found = _about_zero(_shifted(sample, 1.0), distributions, alpha)
    if found is None:
        return None
    scheme = found.scheme if found.scheme == "undecided" else f"{found.scheme} + 1"
    return found._replace(scheme=scheme, candidates=tuple(f"{name} + 1" for name in found.candidates))


def _unknown(sample: Sample, distributions: dict[str, Distribution]) -> Recognition:
    """What fits nothing, with the p-value of what fits least badly."""
    p_values = [_p_value(sample, distribution) for distribution in distributions.values()]
    return Recognition("unknown", math.nan, max(p_values), ())


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


def _structure(values: Tensor, eps: float, hidden_size: float | None, alpha: float) -> Recognition | None:
    """The identity, or orthogonal rows or columns."""
    if values.dim() < 2:
        return None
    if _is_identity(values):
        return Recognition("identity", 1.0, 1.0, ("identity",))
    matrix = values.flatten(1)
    stack = len(matrix)
    for rows in dict.fromkeys([int(hidden_size or stack), stack]):  # gate by gate first, then the stack of gates as one
        gains = [_orthogonal_gain(block, eps, alpha) for block in matrix.split(rows)]
        if all(math.isclose(gain, gains[0], rel_tol=_tolerance(eps)) for gain in gains):  # NaN is close to nothing
            return Recognition("orthogonal", gains[0], 1.0, ("orthogonal",))
    return None


def _is_identity(values: Tensor) -> bool:
    """Whether a matrix is what ``eye_`` makes, or a kernel what ``dirac_`` makes, by itself or in every group."""
    rows, columns = values.shape[:2]
    if values.dim() > 5 or values[0].count_nonzero() > 1 or values.count_nonzero() > rows:
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
    many = vectors[spread(torch.arange(len(vectors)), _ORTHOGONAL_VECTORS)]
    for part in (vectors[:8].double(), many.double()):  # the first few spare most matrices the large product
        gram = part @ part.T
        square = gram.diagonal().mean()
        cosines = gram / square - torch.eye(len(part), dtype=gram.dtype)
        pairs = len(part) * (len(part) - 1) // 2
        closeness = (
            scipy.special.chdtr(pairs, vectors.shape[1] * cosines.triu(1).square().sum().item()) if pairs else 1.0
        )
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


def _bound(distribution: Distribution) -> float:
    """The largest value that a distribution reaches."""
    family, std, mean = distribution
    reaches = {"normal": math.inf, "uniform": math.sqrt(3), "truncated normal": 2 / _STD_WITHIN_TWO}
    return mean + reaches[family] * std


def _below(distribution: Distribution, values: Entries) -> Entries:
    """The chance of a smaller value, of each; scipy.stats takes ten times as long to say the same."""
    family, std, mean = distribution
    z = (values - mean) / std
    if family == "normal":
        return np.asarray(scipy.special.ndtr(z))
    if family == "uniform":
        return np.clip((1 + z / math.sqrt(3)) / 2, 0, 1)
    tail = scipy.special.ndtr(-2.0)
    return np.clip((scipy.special.ndtr(z * _STD_WITHIN_TWO) - tail) / (1 - 2 * tail), 0, 1)


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
    bound, reach = _bound(distribution), sample.largest * (1 + sample.eps)
    if sample.largest > bound * (1 + sample.eps):
        return 0.0
    beyond = _below(distribution, np.array(-min(reach, bound)))  # all laws here lie symmetrically about zero
    return float((1 - 2 * beyond) ** sample.size)


def _scale_p(sample: Sample, distribution: Distribution) -> float:
    """The two-sided chi-squared test of a normal distribution's standard deviation, mean zero."""
    statistic = sample.square_sum / distribution.std**2
    below = scipy.special.chdtr(sample.counted, statistic * (1 + sample.eps) ** 2)
    above = scipy.special.chdtrc(sample.counted, statistic * (1 - sample.eps) ** 2)
    return min(1.0, 2 * float(min(below, above)))


def _shape_p(entries: Entries, distribution: Distribution, blur: float) -> float:
    """The Kolmogorov-Smirnov test, by the smallest distance of any sample within ``blur`` of the entries."""
    n, ordered = len(entries), np.sort(entries)
    ranks = np.arange(n) / n
    above = np.max(ranks + 1 / n - _below(distribution, ordered + blur))
    below = np.max(_below(distribution, ordered - blur) - ranks)
    return float(scipy.stats.kstwo.sf(max(above, below, 0.0), n))


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
    if sample.size >= _TRUNCATED_ENTRIES:
        p_values["truncated normal"] = _truncated_p(sample)
    fitting = {name: p for name, p in p_values.items() if p >= alpha}
    if len(fitting) != 1:
        return Recognition("undecided", math.nan, max(fitting.values()), tuple(fitting)) if fitting else None
    ((family, p),) = fitting.items()
    # A truncated law has no candidate at most scales; those of the whole law are what its author had in mind.
    ratios = {name: sample.std / one.std for name, one in distributions.items() if family.endswith(one.family)}
    nearest = min(ratios, key=lambda name: abs(math.log(ratios[name])), default="")
    return Recognition(family, ratios.get(nearest, math.nan), p, (nearest,) if nearest else ())


def _uniform_p(sample: Sample) -> float:
    """The test of uniformity about zero whatever the bound: below the largest entry, the others are uniform."""
    return _shape_p(_without_largest(sample), symmetric(sample.largest), sample.eps * sample.largest)


def _truncated_p(sample: Sample) -> float:
    """The test of a normal law cut off at two of its standard deviations, whatever they are.

    Its density at the cut is not zero, so the largest of n entries misses the cut by a share of about 10/n only, little
    beside what n entries tell about the rest. The second moment is tested as what it nearly is, normal.
    """
    law = Distribution("truncated normal", sample.largest / 2 * _STD_WITHIN_TWO)
    shape = _shape_p(_without_largest(sample), law, sample.eps * sample.largest)
    excess = abs(sample.square_sum / sample.counted / law.std**2 - 1) - 2 * sample.eps - 10 / sample.size
    z = max(excess, 0.0) / math.sqrt((_KURTOSIS_WITHIN_TWO - 1) / sample.counted)
    return min(1.0, 2 * min(shape, 2 * float(scipy.special.ndtr(-z))))


def _without_largest(sample: Sample) -> Entries:
    """The entries but for the one that sets the bound, if it is among them."""
    return np.delete(sample.entries, np.flatnonzero(np.abs(sample.entries) == sample.largest)[:1])


def _normal_p(entries: Entries) -> float:
    """The test of normality about zero whatever the standard deviation."""
    if len(entries) < 3:
        return 1.0
    entries = entries / np.abs(entries).max()  # scipy warns about numbers whose squares it cannot hold
    some = spread(torch.from_numpy(entries), _SHAPIRO_ENTRIES).numpy()
    tests = scipy.stats.shapiro(some).pvalue, scipy.stats.ttest_1samp(entries, 0.0).pvalue
    return min(1.0, 2 * float(min(tests)))
