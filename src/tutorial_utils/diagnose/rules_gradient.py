"""Rules about the gradient on its way back, compared between layers in a way that does not depend on scale."""

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from tutorial_utils.command import spoken
from tutorial_utils.diagnose.case import Case
from tutorial_utils.diagnose.findings import BY_GAIN, Finding
from tutorial_utils.diagnose.measure import Call
from tutorial_utils.diagnose.statistics import rank_correlation


def uneven_gradient(case: Case) -> Iterator[Finding]:
    """A relative change of the first layers moves the loss far less, or far more, than one of the last."""
    layers = [c for c in case.freed.layers() if math.isfinite(c.reach) and c.returned.rms > 0]
    if len(layers) < 3:
        return
    reach = [c.reach for c in layers]
    k = max(1, len(reach) // 5)
    early, late = reach[:k], reach[-k:]
    if max(early) == 0 and max(late) > 0:
        yield _vanishing(case, layers, reach, math.inf)
        return
    limit = case.limits["gradient"]
    if median(late) > limit * max(early):
        yield _vanishing(case, layers, reach, median(late) / max(early))
        return
    if _grows_steadily(case, reach):
        limit = min(limit, case.limits["steady gradient"])
    if (max(late) > 0 and median(early) > limit * max(late)) or _normalized_growth(case, layers, reach):
        yield _exploding(case, layers, reach, median(early) / max(late))


def _normalized_growth(case: Case, layers: list[Call], reach: list[float]) -> bool:
    """Whether batch normalizations without shortcuts multiply the gradient: never by much, but at every layer."""
    norms = _batch_norms(case)
    if norms < 20 or norms < len(layers) / 2 or min(reach) == 0 or _has_shortcuts(case):
        return False
    falls = rank_correlation(reach) < -0.95
    return falls and reach[0] > case.limits["normalized gradient"] * reach[-1]


def _grows_steadily(case: Case, reach: list[float]) -> bool:
    """Whether every layer multiplies the gradient, as in the chaotic phase of a network without normalization."""
    return _trend(reach) > 1 and not any(call.is_norm for call in case.freed.calls)


def _batch_norms(case: Case) -> int:
    return sum(norm.uses_batch for norm in case.freed.norms)


def _has_shortcuts(case: Case) -> bool:
    """Whether shortcuts join the signal often enough, at least once in six normalizations; ResNet-50 has 16 for 53."""
    return 6 * case.freed.sums >= _batch_norms(case)


def _trend(reach: list[float]) -> float:
    """The factor per layer on the way back where the gradient changes all the way, else NaN."""
    if min(reach) == 0:
        return math.nan
    steps = [math.log(a / b) for a, b in pairwise(reach)]
    total = sum(steps)
    if total == 0:
        return math.nan
    same = sum(step * total > 0 for step in steps) / len(steps)
    one = max(abs(step) for step in steps) / abs(total)
    return math.exp(total / len(steps)) if same >= 0.8 and one < 0.5 else math.nan


def _vanishing(case: Case, layers: list[Call], reach: list[float], ratio: float) -> Finding:
    factor = _trend(reach)
    less = f"moves the loss {spoken(ratio, 1)} times less than"
    if math.isfinite(factor):
        layer, measured = layers[0].layer, f"a 1% change of its output {less} a 1% change of the last layer's"
        cause = f"each layer multiplies the gradient by about {spoken(factor)} on its way back; this should be near 1"
    else:
        index = _step(reach)
        layer = layers[index].layer
        measured = f"a 1% change at the first layers {less} a 1% change at the last ones"
        cause = "most of the gradient is lost on its way from this layer to the one before it"
        if math.isinf(ratio):
            measured = "the gradient that comes back to it is exactly 0"
    cure = f"draw the weights {BY_GAIN}, normalize, or add shortcuts"
    if math.isinf(ratio):
        cause = "something behind it has a slope of 0 (rounding, an activation that is off) or multiplies by 0"
        cure = "look at the layers behind it; if rounding is meant, let the gradient pass as if nothing were rounded"
        return Finding("no-gradient", layer, measured, cause, cure, "why-the-start-matters", 1.0)
    return Finding("vanishing-gradient", layer, measured, cause, cure, "glorot", case.beyond(ratio, "gradient"))


def _step(reach: list[float]) -> int:
    """The layer at which the gradient drops most on its way back."""
    floor = min((r for r in reach if r > 0), default=1.0) * 1e-3
    logs = [math.log(max(r, floor)) for r in reach]
    return max(range(len(logs) - 1), key=lambda n: logs[n + 1] - logs[n])


def _exploding(case: Case, layers: list[Call], reach: list[float], ratio: float) -> Finding:
    factor = _trend(reach)
    measured = (
        f"a 1% change of its output moves the loss {spoken(ratio, 1)} times more than a 1% change of the last layer's"
    )
    severity = max(case.beyond(ratio, "gradient"), 0.1)
    each = f" (about {spoken(factor)} times per layer)" if math.isfinite(factor) else ""
    if _batch_norms(case) >= len(layers) / 2:
        cause = (
            f"each batch normalization enlarges the gradient on its way back{each}, whatever the size of the weights"
        )
        cure = "fewer layers, or a very small learning rate for the first steps"
        cure = cure if _has_shortcuts(case) else f"residual branches, {cure}"
        kind, topic = "normalization-explosion", "batchnorm-in-depth"
    else:
        cause = f"the gradient grows on its way back{each}"
        cure = f"draw the weights {BY_GAIN}, or normalize"
        kind, topic = "exploding-gradient", "glorot"
    return Finding(kind, layers[0].layer, measured, cause, cure, topic, severity)
