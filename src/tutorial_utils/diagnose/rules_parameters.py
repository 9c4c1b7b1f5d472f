"""Rules about parameters: memory never written, copies, zeros, proportions, what does not train."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

from tutorial_utils import anatomy
from tutorial_utils.command import counted, spoken
from tutorial_utils.diagnose.calling import storage
from tutorial_utils.diagnose.case import Case, Held, listed
from tutorial_utils.diagnose.findings import ALONE, Finding, named
from tutorial_utils.diagnose.measure import EMBEDDINGS, Call, Run
from tutorial_utils.diagnose.normalizing import NORMS
from tutorial_utils.diagnose.rules_signal import goes_on_small, is_first_guess
from tutorial_utils.diagnose.statistics import rms
from tutorial_utils.sentinel import TOO_LARGE, TOO_SMALL

_LAYERS = (nn.Linear, _ConvNd, nn.Bilinear, nn.RNNBase, nn.RNNCellBase, *NORMS)


def uninitialized(case: Case) -> Iterator[Finding]:
    """Sizes that no initializer gives."""
    bad = [(p, p.absurd(TOO_SMALL, TOO_LARGE)) for p in case.parameters if not _is_rounding(p)]
    bad += [(b, _strange(b)) for b in case.buffers if b.tensor.is_floating_point() and not _is_running(b)]
    for p, count in bad:
        if count:
            measured = f"the magnitudes of {p.name} {_span(p)}"
            cause = "memory that was reserved (torch.empty, to_empty) but never written"
            cure = "initialize it: reset_parameters, torch.nn.init, or the code that computes it"
            yield Finding("uninitialized", p.layer, measured, cause, cure, "initialize-your-model", 6.0)


def _is_rounding(p: Held) -> bool:
    """Whether training left nothing but rounding in zeros, as in a bias before a norm, whose gradient is 0.

    Memory that was never written is not so uniformly small, or has numbers below the smallest normal one of float32.
    """
    sizes = p.sizes[p.sizes > 0]
    return sizes.numel() > 0 and bool(sizes.max() < 1e-12) and bool(sizes.min() > torch.finfo(torch.float32).tiny)


def _span(p: Held) -> str:
    sizes = p.sizes[p.sizes.isfinite() & (p.sizes > 0)]
    reach = f"reach from {float(sizes.min()):.1g} to {float(sizes.max()):.1g}" if sizes.numel() else "are not numbers"
    return reach + (", beside NaN" if sizes.numel() and bool(p.sizes.isnan().any()) else "")


def _strange(b: Held) -> int:
    """How many numbers of a buffer were hardly meant.

    A buffer is computed rather than drawn, so it may hold more: decays that reach down to 1e-35, in float64 further; of
    a mask -1e12, the lowest number of the type, or -inf.
    """
    lowest = abs(torch.finfo(b.tensor.dtype).min)
    small = 0.0 if b.tensor.dtype == torch.float64 else 1e-36
    return b.absurd(small, 1e15, most=0.99 * lowest) + int(b.sizes.isnan().sum())


def _is_running(b: Held) -> bool:
    return b.short in {"running_mean", "running_var"}


def equal_units(case: Case) -> Iterator[Finding]:
    """Layers whose units start as copies of each other."""
    for p in case.parameters:
        groups = None if p.is_zero else _units(case, p)
        if groups is None:
            continue
        copies, of = anatomy.equal_units(groups), math.prod(groups.shape[:2])
        if copies >= case.limits["equal units"] * of > 0:
            measured = f"{copies} of the {of} units of {p.name} are copies of another"
            cause = "equal weights receive equal gradients, so these units stay copies"
            cure = "draw them at random"
            severity = case.beyond(copies / of, "equal units")
            yield Finding("equal-units", p.layer, measured, cause, cure, "why-the-start-matters", severity)


def equal_layers(case: Case) -> Iterator[Finding]:
    """Layers side by side that are copies of each other, such as the members of an ensemble."""
    calls = [c for c in case.run.layers() if c.weight is not None and c.weight.requires_grad and c.weight.numel() > 1]
    for n, call in enumerate(calls):
        twin = next((other for other in calls[:n] if _is_twin(case, call, other)), None)
        if twin is not None:
            measured = f"its weight, its input and its gradient are the same as those of {named(twin.layer)}"
            cause = "equal weights with equal inputs receive equal gradients, so both layers stay copies"
            cure = "draw each at random (a deep copy copies the numbers, too)"
            yield Finding("equal-units", call.layer, measured, cause, cure, "why-the-start-matters", 1.0)
            return


def _is_twin(case: Case, call: Call, other: Call) -> bool:
    ours, theirs = call.weight, other.weight
    if ours is None or theirs is None or ours is theirs or ours.shape != theirs.shape or call.received is None:
        return False
    if call.received != other.received or call.received.second_moment == 0 or storage(ours) == storage(theirs):
        return False
    of_ours, of_theirs = case.run.gradients.get(id(ours)), case.run.gradients.get(id(theirs))
    if of_ours is None or of_theirs is None or not bool(of_ours.any()) or not bool(ours.any()):
        return False
    return torch.equal(ours, theirs) and torch.allclose(of_ours, of_theirs, rtol=1e-4, atol=0)


def equal_rows(case: Case) -> Iterator[Finding]:
    """Embeddings that give every index the same vector."""
    for p in case.parameters:
        if isinstance(p.owner, EMBEDDINGS) and len(p.tensor) > 3 and not p.is_zero and math.isfinite(p.low + p.high):
            rows = p.tensor.detach()
            if bool((rows[:: max(1, len(rows) // 4096)] == rows[:1]).all()):
                measured = f"all {len(rows)} rows of {p.name} are the same"
                cause = "every index is turned into the same vector, so the input is lost at once"
                topic = "why-the-start-matters"
                yield Finding("equal-units", p.layer, measured, cause, "draw them at random", topic, 1.0)


def _units(case: Case, p: Held) -> Tensor | None:
    """The units of a weight in their groups, where a parameter is one."""
    if p.tensor.dim() < 2 or not p.tensor.is_floating_point() or not math.isfinite(p.low + p.high):
        return None
    weight, is_original = p.tensor.detach(), ".original" in p.name
    if is_original and not p.is_constant:
        return None  # from which a parametrization computes the weight, such as reflections; it is no weight itself
    groups = anatomy.units(p.owner, "weight" if is_original else p.short, weight)
    if groups is not None:
        groups = groups[:, :: _per_place(case, p)]
    elif p.is_constant and storage(p.tensor) in case.run.matrices and not isinstance(p.owner, EMBEDDINGS):
        groups = weight.flatten(0, -2)[None]  # which way round a stranger's matrix is, only its author knows
    return groups if groups is not None and groups.shape[-1] > 1 else None  # of one number, copies mean little


def _per_place(case: Case, p: Held) -> int:
    """How many neighboring channels a pixel shuffle lays side by side in space, where copies mean a smooth image."""
    made = [c.sources[1] for c in case.run.calls if c.module is p.owner]
    return max((case.run.shuffled.get(address, 1) for address in made), default=1)


def zero_initialized(case: Case) -> Iterator[Finding]:
    """Weights that are zero: a finding where they silence what comes after, else a note."""
    zero = [p for p in case.parameters if p.is_zero and p.tensor.numel() and _could_silence(case, p)]
    blocking = [p for p in zero if _blocks(case, p)]
    others = [p.name for p in blocking[1:]]
    for p in blocking[:1]:
        after = "" if not others else f" (so {_are(others)} {listed(others)})"
        measured = f"{p.name} is exactly 0{after}, and nothing of the input gets past it"
        cause = "a layer of zeros stands in the middle of the path, and no shortcut leads around it"
        cure = "draw it at random; only the last layer of a branch or of the model may start at zero"
        yield Finding("zero-initialized", p.layer, measured, cause, cure, "why-the-start-matters", 3.0)
    meant = [p for p in zero if p not in blocking]
    if meant:
        names = [p.name for p in meant]
        measured = f"{listed(names)} {_are(names)} exactly 0"
        cause = "this is usual at the end of a branch, which starts as if it were not there, and at the end of a model"
        cure = "nothing, if it is meant; else draw it at random"
        yield Finding("zero-initialized", meant[0].layer, measured, cause, cure, "initialize-your-model", 0.0)


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _could_silence(case: Case, p: Held) -> bool:
    return storage(p.tensor) in case.run.multipliers or isinstance(p.owner, EMBEDDINGS)


def _blocks(case: Case, p: Held) -> bool:
    """Whether the next layer of the same path receives nothing that depends on the input."""
    own = [c for c in case.run.calls if c.module is p.owner]
    if not own:
        return False
    later = [c for c in case.run.layers() if c.number > own[0].number and c.sources[0] != own[0].sources[0]]
    if not later or later[0].received is None:
        return False
    received, given = later[0].received, own[0].received
    if received.second_moment == 0:
        return True
    alike = received.apart < 1e-9 and received.shape[0] > 1
    return alike and given is not None and given.apart > 1e-9 and later[0].number <= own[-1].number + 3


def parameter_scale(case: Case) -> Iterator[Finding]:
    """A normalization's weight far from 1, a tiny factor without a shortcut, a bias that drowns its layer's signal."""
    yield from _large_norms(case)
    yield from _small_norms(case)
    yield from _small_factors(case)
    yield from _drowning_biases(case)


def _large_norms(case: Case) -> Iterator[Finding]:
    for p in case.parameters:
        if isinstance(p.owner, NORMS) and p.short == "weight" and p.rms > case.limits["norm scale"]:
            measured = f"{p.name} has rms {spoken(p.rms, 3)}"
            cause = "it multiplies a signal of rms 1, so what comes next receives a signal as large"
            yield _scale(p.layer, measured, cause, "start it at 1", case.beyond(p.rms, "norm scale"))


def _small_norms(case: Case) -> Iterator[Finding]:
    """The first of them; a weight of zeros has a rule of its own."""
    for call in case.run.calls:
        weight = getattr(call.module, "weight", None)
        if not call.is_norm or not isinstance(weight, Tensor) or not bool(weight.any()):
            continue
        size = rms(weight)
        if size < 1 / case.limits["norm scale"] and goes_on_small(case, call):
            measured = f"its weight has rms {spoken(size)}, so what comes next receives a signal as small"
            cause = "the weight of a normalization is a factor, not a matrix, so it should start at 1"
            yield _scale(call.layer, measured, cause, "start it at 1", case.beyond(1 / size, "norm scale"))
            return


def _small_factors(case: Case) -> Iterator[Finding]:
    """The first factor that had a stand-in, as layer scale has, but is not beside a shortcut."""
    for p in case.parameters:
        own = next((c for c in case.run.calls if c.module is p.owner), None)
        if p.name not in case.replaced or p.is_zero or own is None or not 0 < own.gain < 1 / case.limits["gain"]:
            continue
        behind = [c.received for c in case.run.layers() if c.number > own.number]
        if behind and behind[0] is not None and behind[0].rms < 3 * own.returned.rms:
            measured = f"{p.name} is {spoken(p.high)}, so what comes next receives a signal as small"
            cause = "a factor this small belongs at the end of a branch, beside a shortcut that keeps the signal"
            cure = "start it at 1, or add the shortcut"
            yield _scale(p.layer, measured, cause, cure, case.beyond(1 / own.gain, "gain"))
            return


def _drowning_biases(case: Case) -> Iterator[Finding]:
    for call in case.freed.layers():
        bias, weight = call.bias, call.weight
        if bias is None or bias.dim() != 1 or weight is None:
            continue
        if _switches(case, call) or is_first_guess(case, call):
            continue
        size, fan_in = rms(bias), math.prod(weight.shape[1:])
        signal = (call.received.rms if call.received else 0.0) * rms(weight) * math.sqrt(fan_in)
        if size > case.limits["bias"] * signal and size > 1:
            measured = f"its bias has rms {spoken(size, 3)}, the rest of its output about {spoken(signal)}"
            cause = "the bias is the same for all inputs and outweighs what depends on them"
            yield _scale(call.layer, measured, cause, "start it at 0", case.beyond(size / max(signal, 1e-9), "bias"))


def _switches(case: Case, call: Call) -> bool:
    """Whether the activation behind a layer is switched off or saturated by it; that is what will be told."""
    near = [a for a in case.run.activations if call.number <= a.number <= call.number + 1]
    return any(max(a.dead, a.below + a.above) > case.limits["dead share"] for a in near)


def _scale(layer: str, measured: str, cause: str, cure: str, severity: float) -> Finding:
    return Finding("parameter-scale", layer, measured, cause, cure, "any-activation-any-layer", severity)


def unregistered(case: Case) -> Iterator[Finding]:
    """Layers in a list, and tensors that are no parameters, though the model computes with them."""
    strangers = case.run.strangers
    if strangers:
        shapes = listed([str(tuple(tensor.shape)) for tensor in strangers])
        measured = (
            f"the output depends on trainable tensors of shape {shapes} that are not among the model's parameters"
        )
        cause = "a Python list or dict hides its layers from model.parameters(), so no optimizer moves them"
        cure = "keep layers in nn.ModuleList or nn.ModuleDict, and a tensor in nn.Parameter"
        place = _place(case.model, {id(tensor) for tensor in strangers})
        yield Finding("unregistered", place, measured, cause, cure, "initialize-your-model", 1.0, position=ALONE)


def _place(model: nn.Module, strangers: set[int]) -> str:
    """The attribute that holds some of the tensors, or a layer with them; the model's class if none does."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            kept = [] if name.startswith("_") else tree_leaves(value)
            inside = [part for one in kept for part in (one.parameters() if isinstance(one, nn.Module) else [one])]
            if any(id(part) in strangers for part in inside):
                return f"{path}.{name}".removeprefix(".")
    return type(model).__name__


def frozen(case: Case) -> Iterator[Finding]:
    """Parameters that do not train: a note, unless nothing does."""
    still = [p for p in case.parameters if not p.tensor.requires_grad]
    if not still:
        return
    everything = len(still) == len(case.parameters)
    do = "does" if len(still) == 1 else "do"
    share = f"{len(still)} of {counted(len(case.parameters), 'parameter')} {do} not train"
    measured = f"{share}: {listed([p.name for p in still])}"
    cause = "requires_grad is False"
    cure = "nothing, if it is meant; else requires_grad_(True)"
    topic = "diagnose-your-model"
    yield Finding("frozen", still[0].layer, measured, cause, cure, topic, 1.0 if everything else 0.0)


def no_gradient(case: Case) -> Iterator[Finding]:
    """Trainable parameters that no gradient reaches: cut off, exactly zero, or not used at all."""
    if not case.run.back:
        return
    if case.cut:
        it = "it" if len(case.cut) == 1 else "them"
        measured = f"no gradient reaches {listed([p.name for p in case.cut])}, though the loss depends on {it}"
        cause = "its output was detached, or computed under no_grad"
        cure = "remove detach(), .data, or no_grad between the two, or freeze the layer if it is meant"
        topic = "initialize-your-model"
        yield Finding("no-gradient", case.cut[-1].layer, measured, cause, cure, topic, 1.0, position=ALONE)
    yield from _without_part(case)
    yield from _all_zero(case)


def _without_part(case: Case) -> Iterator[Finding]:
    """Layers that were passed over; and, as a note, what may have a part in another batch or another loss."""
    rest = [p for p in without_gradient(case.parameters, case.run) if p not in case.cut]
    idle = [p for p in rest if _is_passed_over(p)]
    if idle:
        cause = "the layer is not called, or what it puts out does not enter the loss"
        yield _no_part(idle, cause, "call it, or remove it", 0.5, ALONE)
    unused = [p for p in rest if p not in idle]
    if unused:
        cause = "not used for this batch, or used for an output that does not enter the loss"
        yield _no_part(unused, cause, "use it, or remove it", 0.0, 0)


def _no_part(group: list[Held], cause: str, cure: str, severity: float, position: int) -> Finding:
    measured = f"the loss does not depend on {listed([p.name for p in group])}"
    topic = "initialize-your-model"
    return Finding("no-gradient", group[0].layer, measured, cause, cure, topic, severity, position=position)


def without_gradient(parameters: list[Held], run: Run) -> list[Held]:
    """The trainable parameters to which no gradient came."""
    return [p for p in parameters if p.tensor.requires_grad and id(p.tensor) not in run.gradients]


def _is_passed_over(p: Held) -> bool:
    """Whether a parameter is a layer's, and the layer no expert: of those, some are chosen for each batch."""
    if not isinstance(p.owner, _LAYERS):
        return False
    parts = p.layer.split(".")
    return not any("expert" in part.lower() or part.isdigit() for part in parts[:-1])


def _all_zero(case: Case) -> Iterator[Finding]:
    """Gradients that are exactly zero although nothing silent explains it."""
    for p in case.parameters:
        gradient = case.freed.gradients.get(id(p.tensor))
        if gradient is None or p.tensor.dim() < 2 or isinstance(p.owner, (*EMBEDDINGS, nn.RNNBase)):
            continue
        values = gradient.coalesce().values() if gradient.layout is torch.sparse_coo else gradient
        if values.numel() and not bool(values.any()):
            measured = f"the gradient of {p.name} is exactly 0"
            cause = "a layer behind it multiplies by 0, is switched off, or does not depend on it"
            cure = "look at the layers behind it"
            yield Finding("no-gradient", p.layer, measured, cause, cure, "why-the-start-matters", 0.5)
            return
