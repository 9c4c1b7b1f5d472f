"""Rules about activations: units switched off for every example, outputs where the slope is near zero."""

import math
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from tutorial_utils.command import spoken
from tutorial_utils.diagnose.activations import SURE_SHARE, Activation
from tutorial_utils.diagnose.case import Case
from tutorial_utils.diagnose.findings import Finding

#: Modules that compute an activation with ends at -1 and 1 by other operations.
EDGED = (nn.Softsign, nn.RNNBase)


def dead_units(case: Case) -> Iterator[Finding]:
    """Activations most of whose units are off for every example, and dropout that leaves nothing."""
    limit = case.limits["dead share"]
    for a in case.run.activations:
        if a.zero_below and _mostly_dead(a, limit) and not _nothing_arrives(case, a):
            measured = f"{a.dead:.0%} of its units are off for every example"
            measured += f" (what it receives: mean {spoken(a.middle)}, standard deviation {spoken(a.spread)})"
            yield _dead(a.layer, measured, *_why_dead(case, a), case.beyond(a.dead, "dead share"), a.number - 1)
            break
    for call in case.run.calls:
        if isinstance(call.module, _DropoutNd) and call.module.training and call.module.p >= case.limits["dropout"]:
            measured = f"it drops {call.module.p:.0%} of what it receives"
            yield _dead(call.layer, measured, f"p = {call.module.p}", "a p of 0.5 or less", 0.5, call.number)


def _dead(layer: str, measured: str, cause: str, cure: str, severity: float, position: int) -> Finding:
    return Finding("dead-units", layer, measured, cause, cure, "why-the-start-matters", severity, position=position)


def _mostly_dead(a: Activation, limit: float) -> bool:
    """Whether more units are dead than chance explains.

    Where examples are alike, as behind a mean over positions, half of the units are off by chance.
    """
    everything = a.dead == 1 and a.middle + 2 * a.spread < 0
    return everything or a.dead > max(limit, 0.5 + 1.5 / math.sqrt(max(a.units, 1)))


def _nothing_arrives(case: Case, a: Activation) -> bool:
    """Zeros come from a zero further up, which has a rule of its own."""
    return a.spread == 0 and a.middle == 0 and bool(case.replaced)


def _why_dead(case: Case, a: Activation) -> tuple[str, str]:
    if a.spread == 0 and a.middle == 0:
        return "only zeros arrive", "look at the layers before it"
    bias = next((p for p in case.parameters if p.short == "bias" and p.layer == a.layer), None)
    before = [c for c in case.run.layers() if c.number < a.number]
    if bias is None and before and before[-1].bias is not None:
        bias = next((p for p in case.parameters if p.tensor is before[-1].bias), None)
    if bias is not None and bias.rms > 0.5 * abs(a.middle):
        return f"{bias.name} is too negative (rms {spoken(bias.rms)})", "start it at zero"
    return "what arrives is below 0 for every example: it is shifted, or the examples are alike", "subtract its mean"


def recurrent_scale(case: Case) -> Iterator[Finding]:
    """Recurrent layers whose states or inputs are multiplied by far more than their activations bear."""
    for call in case.run.calls:
        if not isinstance(call.module, nn.RNNBase) or call.received is None:
            continue
        for p in case.parameters:
            if p.owner is not call.module or p.tensor.dim() < 2:
                continue
            factor = p.rms * math.sqrt(p.tensor.shape[1])
            recurrent = p.short.startswith("weight_hh")
            size = factor if recurrent else factor * (call.received.rms if p.short.startswith("weight_ih_l0") else 1)
            if recurrent and 0 < size < 0.3 / case.limits["recurrence"] and isinstance(call.module, nn.RNN):
                measured = f"{p.name} multiplies the state by about {spoken(size, 1)}"
                cause = "no gates keep the state, so each step forgets the one before"
                cure = "draw the recurrent matrix orthogonal"
                yield Finding("parameter-scale", call.layer, measured, cause, cure, "glorot", 0.5, position=call.number)
                return
            if size > case.limits["recurrence" if recurrent else "gate"]:
                what = "a state of size 1" if recurrent else "its input"
                measured = f"{p.name} turns {what} into sums of size {spoken(size)}"
                cause = "gates and states saturate at such sums, and no gradient gets through those that do"
                cure = "draw the recurrent matrix of each gate orthogonal, and the input's weights at the usual size"
                yield Finding("saturated-units", call.layer, measured, cause, cure, "glorot", 0.5, position=call.number)
                return


def saturated_units(case: Case) -> Iterator[Finding]:
    """Activations and attention most of whose outputs lie at an end of their range."""
    limit = case.limits["saturated share"]
    found = [(a.number, a.layer, _flat(a), f"standard deviation {spoken(a.spread)}") for a in case.run.activations]
    for call in case.run.calls:
        if isinstance(call.module, EDGED):
            found.append((call.number, call.layer, call.returned.edge_share, "outputs near the ends"))
    worst = [one for one in sorted(found) if one[2] > limit]
    for number, layer, share, arrives in worst[:1]:
        measured = f"{share:.0%} of its outputs lie where its slope is near 0 (what it receives: {arrives})"
        cause = "what it receives is too large for this activation"
        severity = case.beyond(share, "saturated share")
        cure = "draw the weights before it smaller, or normalize"
        yield Finding("saturated-units", layer, measured, cause, cure, "glorot", severity, position=number - 1)
    sure = [(layer, share) for layer, share, _ in case.run.attention if share > SURE_SHARE]
    for layer, share in sure[:1]:
        measured = f"{share:.0%} of its queries attend to a single position"
        cause = "the products of queries and keys are too large, or were not divided by sqrt(width of a head)"
        cure = "draw queries and keys smaller, divide by sqrt(width of a head), or normalize both"
        yield Finding("saturated-units", layer, measured, cause, cure, "any-activation-any-layer", 0.3)


def _flat(a: Activation) -> float:
    """The share at the ends of a bounded activation; of a ReLU6 its upper end."""
    if a.name == "softmax" or (a.zero_below and a.above == 0):
        return 0.0
    return a.above if a.zero_below else a.below + a.above
