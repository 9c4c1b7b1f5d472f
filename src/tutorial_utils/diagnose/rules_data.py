"""Rules about the batch and the target, and about numbers that are not finite anywhere."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from tutorial_utils.command import counted, spoken
from tutorial_utils.diagnose.case import Case, before
from tutorial_utils.diagnose.findings import Finding
from tutorial_utils.diagnose.measure import Call
from tutorial_utils.diagnose.statistics import Statistics, rms, sample
from tutorial_utils.propagation import floating
from tutorial_utils.sentinel import TOO_LARGE, TOO_SMALL

STANDARDIZE = "standardize the inputs: subtract the mean of the training data, divide by its standard deviation"


def not_finite(case: Case) -> Iterator[Finding]:
    """The first place where numbers stop being finite: batch, target, parameters, then outputs, then gradients."""
    found = [*_bad_tensors(case)] or [*_bad_outputs(case)] or [*_bad_gradients(case)]
    yield from found[:1]
    yield from (finding for finding in found[1:] if finding.layer not in {found[0].layer})


def _finding(layer: str, measured: str, cause: str, cure: str, topic: str = "why-the-start-matters") -> Finding:
    return Finding("not-finite", layer, measured, cause, cure, topic, math.inf)


def _bad_tensors(case: Case) -> Iterator[Finding]:
    for tensor, s in case.floats:
        if s.not_finite and (bool(torch.isnan(tensor).any()) or _computed_with(case, s)):
            measured = _bad_share(s.not_finite, s.numel, "the batch")
            yield _finding("the batch", measured, "missing or overflowed values in the data", "clean the data")
    for target in floating(case.arguments.target):
        bad = int((~target.isfinite()).sum())
        if bad:
            measured = _bad_share(bad, target.numel(), "the target")
            yield _finding("the target", measured, "missing or overflowed values in the data", "clean the data")
    for p in case.parameters:
        if p.tensor.numel() and not math.isfinite(p.low + p.high) and not p.absurd(TOO_SMALL, TOO_LARGE):
            bad = int((~p.tensor.detach().isfinite()).sum())
            measured = _bad_share(bad, p.tensor.numel(), p.name)
            yield _finding(p.layer, measured, "the parameter held them before this pass", "initialize it again")


def _computed_with(case: Case, s: Statistics) -> bool:
    """Whether a layer received the infinities of the batch; those of a mask only go into attention."""
    given = [c.received for c in case.run.calls if c.received and c.transforms]
    return any(r.not_finite == s.not_finite and r.numel == s.numel for r in given)


def _bad_outputs(case: Case) -> Iterator[Finding]:
    call = next((c for c in case.run.calls if c.returned.not_finite and _stays(c)), None)
    if call is None:
        if case.run.has_loss and not math.isfinite(case.run.loss):
            yield _finding(case.last_layer, f"the loss is {case.run.loss}", *_OVERFLOW)
        return
    given = (
        "" if call.received is None else f", though the largest number it received is {spoken(_largest(call.received))}"
    )
    measured = _bad_share(call.returned.not_finite, call.returned.numel, "its output") + given
    yield _finding(call.layer, measured, *_OVERFLOW)


_OVERFLOW = (
    "the signal overflowed, or a root, logarithm or quotient has no finite value here",
    "draw smaller weights, or keep that function away from the edge of its domain",
)


def _stays(call: Call) -> bool:
    """Whether the numbers matter: minus infinity in a mask does not, where the model's outputs are finite."""
    return call.returned.high != -math.inf and not math.isfinite(call.returned.low + call.returned.high)


def _bad_gradients(case: Case) -> Iterator[Finding]:
    bad = [c for c in case.run.calls if c.gradient is not None and c.gradient.not_finite]
    if bad:  # a gradient comes from the other end
        gradient = bad[-1].gradient
        assert gradient is not None
        measured = _bad_share(gradient.not_finite, gradient.numel, "its gradient")
        cause = "the slope of something behind it is infinite (a root or norm at 0), or the gradient overflowed"
        yield _finding(
            bad[-1].layer, measured, cause, "add a small number under the root, or draw smaller weights", "glorot"
        )


def _bad_share(bad: int, of: int, what: str) -> str:
    return f"{bad:,} of {counted(of, 'number')} of {what} {'is' if bad == 1 else 'are'} not finite"


def _largest(s: Statistics) -> float:
    return max(abs(s.low), abs(s.high))


def input_scale(case: Case) -> Iterator[Finding]:
    """The batch itself, where a layer receives it as it is and no normalization takes the scale away."""
    for tensor, s in case.floats:
        if s.not_finite or tensor.dim() < 2 or s.numel < 8 or not _arrives(case, s):
            continue
        yield from list(_judged(case, tensor, s))[:1]
    for tensor in case.arguments.leaves():
        if not tensor.is_floating_point() and tensor.dim() > 1 and len(tensor) > 1 and _equal_rows(tensor):
            case.not_judged.append("whether the input is lost: all examples of the batch are the same")


def _judged(case: Case, tensor: Tensor, s: Statistics) -> Iterator[Finding]:
    """What is wrong with one tensor of the batch; a normalization in front takes offset and scale away."""
    if len(tensor) > 1 and _equal_rows(tensor):
        measured = f"all {len(tensor)} examples {'are 0' if s.low == s.high == 0 else 'are the same'}"
        yield _input(case, measured, "the batch is constant", "check how the data are read", 1e3, "offset")
    column, ratio, largest = _dominating(tensor)
    if ratio > case.limits["column"] and largest > case.limits["input rms"]:
        name = "channel" if tensor.dim() > 3 else "column"
        measured = f"{name} {column} has rms {spoken(largest)}, {spoken(ratio)} times that of the typical {name}"
        cause, cure = f"one {name} outweighs all others", f"{STANDARDIZE}, {name} by {name}"
        yield _input(case, measured, cause, cure, ratio, "column")
    if not _absorbed(case, s):
        yield from _not_standardized(case, tensor, s)


def _not_standardized(case: Case, tensor: Tensor, s: Statistics) -> Iterator[Finding]:
    limits, offset = case.limits, _offset(tensor, s)
    if offset > limits["offset"]:
        measured = f"its mean is {spoken(offset)} times its standard deviation"
        measured += f" (mean {spoken(s.mean, 3)}, rms {spoken(s.rms, 3)})"
        cause = "what all examples share outweighs what tells them apart"
        yield _input(case, measured, cause, STANDARDIZE, offset, "offset")
    cause = "every initialization scheme assumes inputs with an rms of about 1"
    if s.rms > limits["input rms"]:
        measured = f"its rms is {spoken(s.rms, 3)} (from {spoken(s.low, 3)} to {spoken(s.high, 3)})"
        yield _input(case, measured, cause, STANDARDIZE, s.rms, "input rms")
    if 0 < s.rms < limits["small input rms"]:
        severity = limits["input rms"] * limits["small input rms"] / s.rms
        yield _input(case, f"its rms is {spoken(s.rms)}", cause, STANDARDIZE, severity, "input rms")


def _input(case: Case, measured: str, cause: str, cure: str, ratio: float, limit: str) -> Finding:
    topic, severity = "variance-through-a-layer", case.beyond(ratio, limit)
    return Finding("input-scale", "the batch", measured, cause, cure, topic, severity)


def _receivers(case: Case, s: Statistics) -> list[Call]:
    """The layers and norms that are given the batch as it is, possibly reshaped, or as columns beside others."""
    calls = [c for c in case.run.calls if c.received and c.transforms]
    return [c for c in calls[:6] if c.received and (_same(c.received, s) or _holds(c.received, s))]


def _same(received: Statistics, s: Statistics) -> bool:
    alike = math.isclose(received.rms, s.rms, rel_tol=0.02)
    return alike and abs(received.mean - s.mean) <= 0.02 * max(s.rms, 1e-300)


def _holds(received: Statistics, s: Statistics) -> bool:
    """Whether a table is part of a wider one, by the extremes of all entries."""
    wider = len(received.shape) == len(s.shape) and received.shape[0] == s.shape[0] and received.numel > s.numel
    return wider and _largest(received) == _largest(s) > 0


def _arrives(case: Case, s: Statistics) -> bool:
    return bool(_receivers(case, s))


def _absorbed(case: Case, s: Statistics) -> bool:
    """Whether all that receive the batch are normalizations, or feed one directly."""
    return all(c.is_norm or _feeds_norm(case, c) for c in _receivers(case, s))


def _feeds_norm(case: Case, call: Call) -> bool:
    return any(c.is_norm and before(c, case.run.calls) is call for c in case.run.calls)


def _equal_rows(tensor: Tensor) -> bool:
    return bool((tensor == tensor[:1]).all())


def _dominating(tensor: Tensor) -> tuple[int, float, float]:
    """The column or channel with the largest rms, its ratio to the typical one, and its rms."""
    axis = 1 if tensor.dim() > 3 else tensor.dim() - 1
    if tensor.shape[axis] < 3:
        return 0, 1.0, 0.0
    sizes = tensor.detach().movedim(axis, 0).flatten(1).double().square().mean(dim=1).sqrt()
    typical = float(sizes[sizes > 0].median()) if bool((sizes > 0).any()) else 1.0
    return int(sizes.argmax()), float(sizes.max()) / typical, float(sizes.max())


def _offset(tensor: Tensor, s: Statistics) -> float:
    """Mean over standard deviation: over all entries, or if larger, of the typical column of a table."""
    std = math.sqrt(s.var)
    overall = abs(s.mean) / std if std else 0.0
    if tensor.dim() != 2 or len(tensor) < 4:
        return overall
    rows = sample(tensor)
    spread = rows.std(dim=0)
    moving = spread > 0
    return max(overall, float((rows.mean(dim=0).abs() / spread)[moving].median()) if bool(moving.any()) else 0.0)


def target_scale(case: Case) -> Iterator[Finding]:
    """Regression targets far from the outputs, labels that are all the same, shapes that do not fit."""
    heard = case.run.heard
    if heard.targets is None or heard.inputs is None or not heard.targets.numel():
        return
    if heard.kind == "regression":
        yield from _regression(case, heard.inputs, heard.targets)
    elif heard.kind == "binary":
        low, high = float(heard.targets.min()), float(heard.targets.max())
        if low < 0 or high > 1:
            measured = f"binary targets lie between {spoken(low, 3)} and {spoken(high, 3)}"
            yield _target(measured, "a probability lies between 0 and 1", "divide them by their largest value", 1.0)
    elif heard.kind == "cross-entropy" and heard.targets.numel() >= 8 and not heard.targets.is_floating_point():
        labels = heard.targets.flatten()
        if bool((labels == labels[0]).all()):
            measured = f"all {heard.targets.numel():,} labels are {int(labels[0])}"
            yield _target(measured, "the batch holds one class only", "shuffle, or check how the labels are read", 1.0)


def _target(measured: str, cause: str, cure: str, severity: float) -> Finding:
    return Finding("target-scale", "the target", measured, cause, cure, "initialize-your-model", severity)


def _regression(case: Case, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    if case.run.heard.broadcast is not None:
        ours, theirs = case.run.heard.broadcast
        measured = f"outputs have shape {ours}, targets {theirs}"
        cause = "the loss compares every output with every target, not with its own"
        yield _target(measured, cause, "give both the same shape", 1.0)
    s, limit = sample(targets), case.limits["target rms"]
    size, spread, out = rms(s), float(s.std()) if s.numel() > 1 else 0.0, rms(sample(outputs))
    cure = "standardize the targets, or start the last bias at their mean and scale the output"
    if s.numel() >= 8 and spread == 0 and float(s.flatten()[0]) not in {0.0, 1.0, -1.0}:
        yield _target(
            f"all {targets.numel():,} targets are {spoken(float(s.flatten()[0]), 3)}", "constant targets", cure, 1.0
        )
    elif size > limit * max(out, 1.0):
        measured = f"its rms is {spoken(size, 3)}, that of the outputs {spoken(out)}"
        yield _target(measured, "the outputs have far to go", cure, case.beyond(size / max(out, 1.0), "target rms"))
    elif 0 < size < max(0.03 / limit, min(out / limit, 0.3 / limit)):
        measured = f"its rms is {spoken(size)}, that of the outputs {spoken(out)}"
        yield _target(
            measured,
            "the outputs are so large that such targets hardly count",
            cure,
            case.beyond(1 / size, "target rms"),
        )
