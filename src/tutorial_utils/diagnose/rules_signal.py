"""Rules about the signal going forward: where it grows or shrinks, and where it stops depending on the input."""

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from torch import nn

from tutorial_utils.command import spoken
from tutorial_utils.diagnose.activations import SURE_SHARE
from tutorial_utils.diagnose.case import Case, before, listed
from tutorial_utils.diagnose.findings import BY_GAIN, Finding, named
from tutorial_utils.diagnose.measure import Call
from tutorial_utils.diagnose.normalizing import PER_EXAMPLE
from tutorial_utils.diagnose.statistics import rank_correlation, rms, sample

KEEP = "draw the weights with the gain of your activation (He's for ReLU)"
LESS = "; or use fewer layers, or residual branches"
ITS_GAIN = f"draw its weight {BY_GAIN}, or normalize"
NEAR = 3.0
"""What no layer that keeps the signal multiplies it by: the gains of the usual activations lie from 1 to 2."""


def forward_scale(case: Case) -> Iterator[Finding]:
    """One layer whose rms out over rms in is out of order; without one, growth or decay all the way."""
    layers = [c for c in case.freed.layers() if math.isfinite(c.gain)]
    found = [*_single(case, layers)]
    found = found or [*_epsilon(case)]
    found = found or [*_trend(case, layers)]
    yield from found
    if not found:
        yield from _few_small(case, layers)


class _Outlier(NamedTuple):
    call: Call
    large: bool
    normal: float  # what the other layers multiply by; 1 if they are few
    ratio: float
    norm: Call | None  # a normalization right behind it

    @property
    def of_many(self) -> bool:
        """Whether those other layers are out of order in the same way, so that none of them is a measure.

        States of recurrent layers are small by design.
        """
        if _is_recurrent(self.call):
            return False
        return self.normal > NEAR if self.large else self.normal < 1 / NEAR


def _single(case: Case, layers: list[Call]) -> Iterator[Finding]:
    """A finding for each layer that stands out, or one for all where most layers are out of order."""
    found = [outlier for c in layers if (outlier := _outlier(case, c, layers))]
    told: set[tuple[bool, bool]] = set()
    for one in found:
        alike = [o for o in found if _kind(o) == _kind(one)]
        if not any(o.of_many for o in alike):
            yield _one(case, one)
        elif _kind(one) not in told:
            told.add(_kind(one))
            yield _most(case, one, layers, max(o.ratio for o in alike))


def _is_recurrent(call: Call) -> bool:
    return isinstance(call.module, nn.RNNBase)


def _kind(outlier: _Outlier) -> tuple[bool, bool]:
    return outlier.large, outlier.norm is not None


def _outlier(case: Case, call: Call, layers: list[Call]) -> _Outlier | None:
    limit, gain = case.limits["gain"], call.gain
    alike = [c.gain for c in layers if type(c.module) is type(call.module) and c.gain > 0]
    typical = median(alike) if len(alike) >= 3 else 1.0
    agreed = _agreed(case, call, layers)
    if agreed:
        ratio = gain / agreed
        large = ratio > case.limits["peers"] and not _saturates(case, call)
        small = 0 < ratio < 1 / case.limits["peers"] and goes_on_small(case, call)
        return _Outlier(call, large, agreed, max(ratio, 1 / ratio), None) if large or small else None
    large = gain > limit or (gain > limit * typical and gain > 1)
    small = 0 < gain < 1 / limit and (gain < typical or (typical < 1 / limit and not _is_recurrent(call)))
    if large and not _is_head(case, call, layers) and not _saturates(case, call):
        return _Outlier(call, True, typical, gain, _norm_behind(case, call))
    if small and goes_on_small(case, call):
        return _Outlier(call, False, typical, 1 / gain, _norm_behind(case, call))
    return None


def _agreed(case: Case, call: Call, layers: list[Call]) -> float:
    """The gain on which all other layers of a plain network agree, and which keeps the signal; 0 if they do not."""
    peers = [c.gain for c in layers[:-1] if c is not call]
    if case.freed.norms or call is layers[-1] or len(peers) < 3 or not 0 < max(peers) < 3 * min(peers):
        return 0.0
    return median(peers) if 1 / 3 < median(peers) < 3 else 0.0


def _one(case: Case, outlier: _Outlier) -> Finding:
    call, large, normal, ratio, norm = outlier
    sizes = f"rms {spoken(call.received.rms if call.received else 0)} in, {spoken(call.returned.rms)} out"
    usual = "would be normal" if normal == 1 else "is usual in this model"
    measured = f"it multiplies the signal by {spoken(call.gain)} ({sizes}), where about {spoken(normal)} {usual}"
    size, steps = ("large", "small") if large else ("small", "large")
    severity = max(case.beyond(ratio, "gain"), 0.1)
    if norm is None or _drowned(case, norm):
        cause, cure = f"its weight is too {size}, perhaps because it was drawn with the wrong fan", ITS_GAIN
        if large:
            cause, cure = of_one_sign([call]) or (cause, cure)
        topic = "variance-through-a-layer"
        return Finding("forward-scale", call.layer, measured, cause, cure, topic, severity, position=call.number)
    cause = f"its weight is too {size}; {named(norm.layer)}, a normalization, hides that from the signal, but the steps"
    cause += f" of training are too {steps} for such a weight"
    cure = "draw its weight by the usual scheme"
    return Finding("parameter-scale", call.layer, measured, cause, cure, "what-batchnorm-buys", severity)


def _most(case: Case, outlier: _Outlier, layers: list[Call], ratio: float) -> Finding:
    """Most layers are out of order, so they are held against theory instead of each other; told at the first."""
    large, hidden = _kind(outlier)
    plain = [c for c in layers[:-1] if not _is_recurrent(c)]
    many = [c for c in plain if (c.gain > NEAR if large else 0 < c.gain < 1 / NEAR and goes_on_small(case, c))]
    many = [c for c in many if (_norm_behind(case, c) is not None) == hidden]
    measured = f"from here on, {len(many)} layers multiply the signal by {_by(many)}"
    size, steps = ("large", "small") if large else ("small", "large")
    cause, cure = f"all these weights are too {size}, so they were drawn by the wrong scheme", f"draw them {BY_GAIN}"
    if large:
        cause, cure = of_one_sign(many) or (cause, cure)
    call, severity = many[0], max(case.beyond(ratio, "gain"), 0.1)
    if not hidden:
        topic = "variance-through-a-layer"
        return Finding("forward-scale", call.layer, measured, cause, cure, topic, severity, position=call.number)
    cause += "; the normalizations behind them hide that from the signal, but the steps of training"
    cause += f" are too {steps} for such weights"
    return Finding("parameter-scale", call.layer, measured, cause, cure, "what-batchnorm-buys", severity)


def _by(calls: list[Call]) -> str:
    gains = sorted(c.gain for c in calls)
    span = " to ".join(dict.fromkeys(spoken(gain) for gain in (gains[0], gains[-1])))
    return f"{span}{' each' if len(calls) > 1 else ''}, where 1 to 2 would be normal"


def enlarged(calls: list[Call]) -> str:
    """Which layers multiply the signal by how much."""
    one = len(calls) == 1
    return f"{listed([named(c.layer) for c in calls])} multipl{'ies' if one else 'y'} the signal by {_by(calls)}"


def of_one_sign(calls: list[Call]) -> tuple[str, str] | None:
    """Cause and cure of weights with a mean that makes most of their size, as if drawn between 0 and 1; else nothing.

    So many numbers drawn around 0 have a mean near 0. All of the layers must have one of the same sign: then the
    products in a sum add up instead of canceling.
    """
    means = []
    for call in calls:
        if call.weight is None or call.weight.numel() < 64:
            return None
        values = sample(call.weight.detach())
        means.append(float(values.mean()))
        if abs(means[-1]) < 0.6 * rms(values):
            return None
    if not means or min(means) * max(means) < 0:
        return None
    its, it = ("its weights have", "it") if len(calls) == 1 else ("their weights have", "them")
    cause = f"{its} the mean {spoken(median(means), 1)} instead of 0, so the products in a sum do not cancel"
    return cause, f"draw {it} around 0, {BY_GAIN}"


def _is_head(case: Case, call: Call, layers: list[Call]) -> bool:
    """Whether a layer is the last; there, the first loss says whether its outputs are too large."""
    heard = case.run.heard
    if call is not layers[-1] or heard.kind == "regression" or not math.isfinite(heard.value):
        return False
    if heard.inputs is None:
        return False
    return math.isclose(rms(sample(heard.inputs)), call.returned.rms, rel_tol=0.1)


def _saturates(case: Case, call: Call) -> bool:
    """Whether the activation behind a layer saturates, or attention does; then that is what will be told."""
    near = [a for a in case.run.activations if call.number <= a.number <= call.number + 1]
    sure = [share for _, share, number in case.run.attention if call.number < number <= call.number + 4]
    flat, dead = case.limits["saturated share"], case.limits["dead share"]
    is_flat = any(a.below + a.above > flat and (a.above > 0 or a.dead > dead) for a in near)
    return is_flat or any(share > SURE_SHARE for share in sure)


def _norm_behind(case: Case, call: Call) -> Call | None:
    return next((c for c in case.freed.calls if c.is_norm and before(c, case.freed.calls) is call), None)


def _drowned(case: Case, norm: Call) -> bool:
    return any(n.layer == norm.layer and n.small > 0.3 for n in case.freed.norms)


def goes_on_small(case: Case, call: Call) -> bool:
    """Whether what comes next receives the small signal: not so at the end of a branch, nor after a normalization."""
    norm = _norm_behind(case, call)
    if norm is not None:
        return True
    later = (c for c in case.freed.calls if c.number > call.number and c.sources[0] != call.sources[0])
    behind = next((c.received for c in later if c.transforms), None)
    return behind is not None and behind.rms <= 3 * call.returned.rms


def _epsilon(case: Case) -> Iterator[Finding]:
    """A normalization whose eps outweighs the variance that it divides by."""
    for norm in case.freed.norms:
        eps = getattr(norm.module, "eps", None) or 0.0
        if norm.small > 1 and eps > 1e-4 and math.isfinite(norm.small) and norm.small < 1e20:
            measured = f"its eps, {spoken(eps)}, is {spoken(norm.small)} times the variance of what it receives"
            cause = "eps is only there against a division by 0; this large, it takes the place of the variance"
            yield Finding(
                "forward-scale", norm.layer, measured, cause, "the usual eps, 1e-5", "batchnorm-training", 0.5
            )


def _trend(case: Case, layers: list[Call]) -> Iterator[Finding]:
    """Growth or decay of what the layers receive, over the whole depth."""
    sizes = [c.received.rms for c in layers if c.received is not None]
    if len(sizes) < 5 or min(sizes) == 0:
        return
    ratio = max(sizes) / min(sizes)
    if ratio <= case.limits["trend"] or abs(rank_correlation(sizes)) < 0.8:
        return
    grows = sizes[-1] > sizes[0]
    few = [] if grows else _few(layers)
    yield _by_few(case, few, ratio) if few else _by_all(case, layers, sizes, grows)


def _by_all(case: Case, layers: list[Call], sizes: list[float], grows: bool) -> Finding:
    """Every layer multiplies the signal; told where it ends, or where it grows if one layer does that alone."""
    extreme, ratio = max(sizes) if grows else min(sizes), max(sizes) / min(sizes)
    call, gains = layers[sizes.index(extreme)], [c.gain for c in layers]
    if grows and max(gains) > 5 * call.gain:
        call = next(c for c in layers if c.gain > max(gains) / 2)
    ends = (min(sizes), max(sizes)) if grows else (max(sizes), min(sizes))
    measured = f"through the layers the signal {'grows' if grows else 'shrinks'} from rms {spoken(ends[0])} to"
    measured += f" {spoken(ends[1])}, {spoken(ratio, 1)} times {'more' if grows else 'less'}"
    factor = math.exp((math.log(sizes[-1]) - math.log(sizes[0])) / (len(sizes) - 1))
    each = f"each layer multiplies the signal by about {spoken(factor)}"
    cause, cure = f"{each}; this should be near 1", ITS_GAIN
    if grows and (one_sign := of_one_sign(layers[:-1])):
        why, cure = one_sign
        cause = f"{each}; {why}"
    elif grows and _is_residual(layers):
        cause += "; each residual branch adds as much as is already there"
        cure = "multiply each branch by 1/sqrt(number of branches), start its last layer at zero, or normalize"
    topic, severity = "variance-through-a-layer", case.beyond(ratio, "trend")
    return Finding("forward-scale", call.layer, measured, cause, cure, topic, severity, position=call.number)


def _few(layers: list[Call]) -> list[Call]:
    """The layers, at most half of them, that lose most of the signal; none if all take part."""
    ordered = sorted(layers, key=lambda c: c.gain)
    typical = ordered[len(ordered) // 2].gain
    few = [c for c in layers if c.gain < typical / 3]
    lost = sum(math.log(typical / c.gain) for c in few)
    received = [c.received.rms for c in layers if c.received is not None]
    return few if lost > 0.5 * math.log(max(received) / min(received)) else []


def _few_small(case: Case, layers: list[Call]) -> Iterator[Finding]:
    """A few layers far below the typical one, after which the signal stays small up to the last layer."""
    if len(layers) < 4 or layers[-1].received is None or layers[-1].received.rms > 0.1:
        return
    plain = [c for c in layers[:-1] if not _is_recurrent(c)]  # whose states are small by design
    reset = max((norm.number for norm in case.freed.norms), default=-1)  # what was lost before a normalization is back
    plain = [c for c in plain if c.number > reset]
    few = [c for c in plain if c.gain < 1 / 3 and not _norm_behind(case, c) and goes_on_small(case, c)]
    lost = math.prod(1 / c.gain for c in few)
    if len(few) > 1 and lost > 10:
        yield _by_few(case, few, case.limits["trend"] * lost / 10)


def _by_few(case: Case, few: list[Call], ratio: float) -> Finding:
    kept = listed([f"{spoken(c.gain)} in {named(c.layer)}" for c in few])
    measured = f"the signal is multiplied by far less than 1: {kept}"
    cause = (
        "these weights are too small, perhaps drawn with the wrong fan (groups and transposed convolutions change it)"
    )
    cure = f"draw their weights {BY_GAIN}, or normalize"
    severity, topic = case.beyond(ratio, "trend"), "any-activation-any-layer"
    return Finding("forward-scale", few[0].layer, measured, cause, cure, topic, severity, position=few[0].number)


def _is_residual(layers: list[Call]) -> bool:
    """Whether layers receive more than the layer before them put out."""
    steps = [(a.returned.rms, b.received.rms) for a, b in pairwise(layers) if b.received]
    return sum(received > 1.05 * returned for returned, received in steps) >= len(steps) / 4


def embedding_scale(case: Case) -> Iterator[Finding]:
    """Embeddings that what is added to them drowns, or that drown all that the branches add."""
    for call in case.freed.calls:
        if not call.is_embedding or not call.returned.apart > 0.1:
            continue
        after = next((c.received for c in case.freed.calls if c.number > call.number and c.transforms), None)
        if after is None or after.numel != call.returned.numel or not call.returned.rms:
            continue
        ratio = after.rms / call.returned.rms
        if ratio > 10 and after.apart < 0.01 * call.returned.apart:
            cause = "what is added to its vectors, such as positions, is the same for all examples and much larger"
            yield _embedding(
                call,
                after.rms,
                cause,
                "start both at the same size, or multiply the vectors by sqrt(width)",
                ratio / 10,
            )
        elif after.rms > case.limits["input rms"] and _drowns(case, after.rms):
            cause = "its vectors are so large that what the blocks add to them hardly counts"
            yield _embedding(
                call, after.rms, cause, "start it so that the blocks receive an rms of about 1", after.rms / 10
            )
        return


def _drowns(case: Case, size: float) -> bool:
    """Whether all normalizations of a residual stream receive what the first one did."""
    sizes = [c.received.rms for c in case.freed.calls if c.received and isinstance(c.module, PER_EXAMPLE)]
    return len(sizes) >= 4 and max(abs(other / size - 1) for other in sizes) < 0.1


def _embedding(call: Call, size: float, cause: str, cure: str, ratio: float) -> Finding:
    measured = f"its vectors have rms {spoken(call.returned.rms)}, what the next layer receives has {spoken(size)}"
    topic, severity = "initialize-your-model", max(math.log10(ratio), 0.1)
    return Finding("parameter-scale", call.layer, measured, cause, cure, topic, severity)


def is_first_guess(case: Case, call: Call, least: float = 0.0) -> bool:
    """Whether a layer is the last and its bias may say how frequent a class is; the first loss tells if it is wrong."""
    if call.layer != case.last_layer or call.bias is None:
        return False
    return least <= float(call.bias.detach().abs().max()) < case.limits["log odds"]


def lost_input(case: Case) -> Iterator[Finding]:
    """Layers from which on different examples have become the same."""
    start = _distance_at_start(case)
    calls = [c for c in case.freed.calls if c.transforms]
    calls = [c for c in calls if math.isfinite(c.returned.apart) or c.returned.second_moment == 0]
    if not calls or not start > 0:
        if not case.not_judged:
            case.not_judged.append("whether the input is lost: that takes at least two different examples")
        return
    silent = next((c for c in calls if c.received is not None and c.received.second_moment == 0), None)
    if silent is not None and calls[-1].received is not None and not calls[-1].returned.apart > 1e-12:
        yield _silence(case, silent)
        return
    lost = [c.returned.apart / start < case.limits["lost input"] for c in calls]
    if lost[-1]:
        last_kept = max((n for n, is_lost in enumerate(lost) if not is_lost), default=-1)
        yield from _lost_at(case, calls, last_kept + 1, start)


def _lost_at(case: Case, calls: list[Call], index: int, start: float) -> Iterator[Finding]:
    """What is told of the first lost layer, unless it gives a first guess, or was given what is the same for all."""
    call, limit = calls[index], case.limits["lost input"]
    near = [c for c in case.freed.calls if c.number < call.number]
    read = near[-1] if near and isinstance(near[-1].module, nn.RNNBase) else None  # its last state says nothing
    arrives = call.received is not None and not call.received.apart / start < limit
    if index == len(calls) - 1 and is_first_guess(case, call, least=1.0) and arrives:
        return
    if read is None and _was_picked(calls, index, start * limit):
        return
    left = call.returned.apart / start
    measured = _alike(call.returned.apart, start)
    cause, cure, topic = _why_lost(call)
    severity, layer = case.beyond(limit**2 / max(left, 1e-16), "lost input"), call.layer
    if read is not None and not arrives:
        layer, measured = read.layer, f"in its last state, {measured.removeprefix('from here on, ')}"
        cause = "step by step, it forgets what came first"
        cure = "fewer steps, forget gates that start open, no padding at the end"
    yield Finding("lost-input", layer, measured, cause, cure, topic, severity, position=call.number)


def _alike(apart: float, start: float) -> str:
    """How alike examples have become, by 1 minus their cosine, compared with the input."""
    if apart < 1e-15 * start:
        return "from here on, all examples are the same"
    closer, here, there = spoken(start / apart), spoken(apart), spoken(start)
    return (
        f"from here on, examples look alike: they are {closer} times closer than at the input "
        f"(1 - cosine of two examples: {here} here, {there} there)"
    )


def _silence(case: Case, silent: Call) -> Finding:
    """What makes zeros of numbers, an activation apart, which has a rule of its own; else what receives them."""
    activations = {a.layer for a in case.freed.activations}
    before_it = [c for c in case.freed.calls if c.number < silent.number and c.layer not in activations]
    makers = [c for c in before_it if c.received and c.received.second_moment > 0 and c.returned.second_moment == 0]
    call = makers[-1] if makers else silent
    measured = "its output is exactly 0, though what it receives is not" if makers else "what it receives is exactly 0"
    cause, cure = "everything before it is switched off or multiplied by 0", "look at what stands before it"
    if makers:
        cause = "it subtracts everything, divides by infinity, or multiplies by 0"
        cure = "check over which dimensions it takes a mean, and whether its dtype can hold the numbers"
    return Finding("lost-input", call.layer, measured, cause, cure, "why-the-start-matters", 1.0, position=call.number)


def _distance_at_start(case: Case) -> float:
    """1 - cosine between examples of the batch, or of the first embedding where the batch holds indices."""
    of_batch = [s.apart for _, s in case.floats if len(s.shape) > 1 and s.apart > 0]
    if of_batch:
        return min(of_batch)
    return next((c.returned.apart for c in case.freed.calls if c.returned.apart > 1e-9), math.nan)


def _was_picked(calls: list[Call], index: int, limit: float) -> bool:
    """Whether the first lost layer was given a part of what came before that is the same for all, a class token say."""
    call = calls[index]
    if index == 0 or call.received is None or not call.received.apart < limit or calls[-1].returned.apart < 1e-10:
        return False
    return call.received.numel < calls[index - 1].returned.numel


def _why_lost(call: Call) -> tuple[str, str, str]:
    if call.bias is not None and rms(call.bias) > 0.5 * call.returned.rms:
        cause = "the signal shrank from layer to layer; now the biases, the same for all examples, outweigh it"
        return cause, f"{KEEP} and start the biases at zero{LESS}", "reset-parameters"
    if call.received is not None and abs(call.received.mean) > 0.5 * call.received.rms:
        cure = "an activation with mean 0, fewer layers, residual branches, or normalization"
        cause = "the mean of the activation, the same for all examples, outweighs what differs between them"
        return cause, cure, "glorot"
    return "each layer makes the directions of different examples more alike", KEEP + LESS, "he"
