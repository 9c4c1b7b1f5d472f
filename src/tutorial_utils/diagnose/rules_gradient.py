"""Rules about the gradient on its way back, compared between layers in a way that does not depend on scale."""

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from tutorial_utils.diagnose.case import Case
from tutorial_utils.diagnose.findings import Finding
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
    elif (
        (max(late) > 0 and median(early) > limit * max(late))
        or _normalized_growth(case, layers, reach)
        or _steady_growth(case, reach, k)
    ):
        yield _exploding(case, layers, reach, median(early) / max(late))


def _normalized_growth(case: Case, layers: list[Call], reach: list[float]) -> bool:
    """Whether batch normalizations without shortcuts multiply the gradient: never by much, but at every layer."""
    norms = sum(norm.uses_batch for norm in case.freed.norms)
    if norms < 20 or norms < len(layers) / 2 or min(reach) == 0:
        return False
    falls = rank_correlation(reach) < -0.95
    return falls and reach[0] > case.limits["normalized gradient"] * reach[-1]


def _steady_growth(case: Case, reach: list[float], k: int) -> bool:
    """Whether every layer multiplies the gradient, as in the chaotic phase of a network without normalization."""
    if case.freed.norms or min(reach) == 0:
        return False
    return _trend(reach) > 1 and median(reach[:k]) > case.limits["steady gradient"] * max(reach[-k:])


def _trend(reach: list[float]) -> float:
    """The factor per layer on the way back where the gradient changes all the way, else NaN."""
    if min(reach) == 0:
        return math.nan
    steps = [math.log(a / b) for a, b in pairwise(reach)]
    total = sum(steps)
    same = sum(step * total > 0 for step in steps) / len(steps)
    one = max(abs(step) for step in steps) / abs(total)
    return math.exp(total / len(steps)) if same >= 0.8 and one < 0.5 else math.nan


def _vanishing(case: Case, layers: list[Call], reach: list[float], ratio: float) -> Finding:
    factor = _trend(reach)
    less = f"{ratio:.1g} times less" if math.isfinite(ratio) else "no"
    if math.isfinite(factor):
        layer, measured = layers[0].layer, f"a relative change of it moves the loss {less} than one of the last layer"
        cause = f"the gradient is multiplied by about {factor:.2g} per layer on the way back; it must be near 1"
    else:
        index = _step(reach)
        layer = layers[index].layer
        measured = f"before it, a relative change moves the loss {less} than at the end"
        cause = f"between {layer} and the layer before it the gradient is lost"
        if math.isinf(ratio):
            measured = "the gradient that arrives at it is exactly 0"
    cure = "draw the weights with the gain of your activation (gains.gain), normalize, or add residual branches"
    if math.isinf(ratio):
        cause = "what follows it has a slope of 0 (rounding, an activation that is off) or multiplies by 0"
        cure = "look at what follows it; let the gradient pass straight through where the step is meant"
        return Finding("no-gradient", layer, measured, cause, cure, "why-the-start-matters", 1.0)
    return Finding("vanishing-gradient", layer, measured, cause, cure, "glorot", case.beyond(ratio, "gradient"))


def _step(reach: list[float]) -> int:
    """The layer at which the gradient drops most on its way back."""
    floor = min((r for r in reach if r > 0), default=1.0) * 1e-3
    logs = [math.log(max(r, floor)) for r in reach]
    return max(range(len(logs) - 1), key=lambda n: logs[n + 1] - logs[n])


def _exploding(case: Case, layers: list[Call], reach: list[float], ratio: float) -> Finding:
    factor = _trend(reach)
    measured = f"a relative change of it moves the loss {ratio:.1g} times more than one of the last layer"
    severity = max(case.beyond(ratio, "gradient"), 0.1)
    norms = sum(norm.uses_batch for norm in case.freed.norms)
    each = f", by about {factor:.2g} per layer" if math.isfinite(factor) else ""
    if norms >= len(layers) / 2:
        cause = f"every batch normalization makes gradients larger on the way back{each}, at any scale of the weights"
        cure = "residual branches, fewer layers, or a first learning rate as small as that"
        kind, topic = "normalization-explosion", "why-batchnorm-helps"
    else:
        cause = f"the gradient grows on the way back{each}"
        cure = "draw the weights with the gain of your activation (gains.gain), or normalize"
        kind, topic = "exploding-gradient", "glorot"
    return Finding(kind, layers[0].layer, measured, cause, cure, topic, severity)
