"""Rules about normalization: stored statistics, batches too small, rounding, biases that it removes again."""

import math
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from tutorial_utils.command import counted, spoken
from tutorial_utils.diagnose.case import Case, before, listed
from tutorial_utils.diagnose.findings import Finding, named
from tutorial_utils.diagnose.normalizing import Norm


def running_statistics(case: Case) -> Iterator[Finding]:
    """Stored statistics that are broken, do not fit the batch, or cannot have settled."""
    found = [(norm, reason) for norm in case.run.norms if (reason := _misfit(case, norm))]
    if found:
        norm, (measured, cause, cure, severity) = found[0]
        others = listed([other.layer for other, _ in found[1:] if other.layer != norm.layer], 3)
        measured += f" (also {others})" if others else ""
        yield Finding("running-statistics", norm.layer, measured, cause, cure, "batchnorm-inference", severity)


def _misfit(case: Case, norm: Norm) -> tuple[str, str, str, float] | None:
    module = norm.module
    if not isinstance(module, _BatchNorm) or module.running_mean is None or module.running_var is None:
        return None
    bad = int((~module.running_mean.isfinite()).sum() + (~module.running_var.isfinite()).sum())
    if bad:
        measured = f"{bad} of its running statistics {'is' if bad == 1 else 'are'} not finite"
        return (
            measured,
            "a batch with NaN or infinity passed in train mode",
            "reset_running_stats(), then recalibrate",
            9.0,
        )
    if bool((module.running_var < 0).any()):
        return (
            "a running variance is negative",
            "it was never written, or loaded wrongly",
            "reset_running_stats(), then recalibrate",
            3.0,
        )
    seen = int(module.num_batches_tracked) if module.num_batches_tracked is not None else 0
    return _momentum(case, module) or (_distance(case, norm, seen) if seen or not module.training else None)


def _momentum(case: Case, module: _BatchNorm) -> tuple[str, str, str, float] | None:
    momentum = module.momentum
    if momentum is None or not module.training:
        return None
    if momentum > case.limits["momentum"]:
        measured = f"its momentum is {momentum:g}"
        cause = "PyTorch's momentum is the share of the new batch, so little more than the last batch is stored"
        return measured, cause, f"momentum = {1 - momentum:.2g}, if the value comes from another library", 0.5
    still = bool((module.running_mean == 0).all()) if module.running_mean is not None else False
    if momentum == 0 and still:
        return "its momentum is 0", "the stored statistics never move", "momentum = 0.1", 1.0
    return None


def _distance(case: Case, norm: Norm, seen: int) -> tuple[str, str, str, float] | None:
    limits = case.limits
    ratio = max(norm.scale, 1 / norm.scale) if norm.scale else math.inf
    if not (norm.shift > limits["statistics shift"] or ratio > limits["statistics scale"]):
        return None
    measured = f"the batch's mean is {spoken(norm.shift)} stored standard deviations away from the stored mean,"
    measured += f" and its variance is {spoken(norm.scale)} times the stored one"
    cause = "the stored statistics are those of other inputs or other weights"
    if not seen:
        cause = (
            "the stored statistics are those of a new layer (mean 0, variance 1): no batch ever passed in train mode"
        )
    cure = "pass batches in train mode before eval mode (and copy buffers with parameters), or standardize the inputs"
    severity = max(case.beyond(norm.shift, "statistics shift"), case.beyond(ratio, "statistics scale"))
    return measured, cause, cure, severity


def small_batch(case: Case) -> Iterator[Finding]:
    """Statistics from a handful of numbers."""
    few = [norm for norm in case.run.norms if norm.uses_batch and norm.values <= case.limits["values per channel"]]
    if few:
        measured = f"its statistics come from {counted(few[0].values, 'number')} per channel"
        cause = "statistics of so few numbers change with every batch, and so does the output for one example"
        cure = "larger batches, or a normalization that does not look at the batch (GroupNorm, LayerNorm)"
        severity = max(math.log10(2 * case.limits["values per channel"] / few[0].values), 0.01)
        yield Finding("small-batch", few[0].layer, measured, cause, cure, "batchnorm-clinic", severity)


def bias_before_norm(case: Case) -> Iterator[Finding]:
    """Biases that a normalization removes: a note."""
    found = []
    for call in case.run.calls:
        if not _removes_means(call.module):
            continue
        feeding = before(call, case.run.calls)
        if feeding is None or feeding.weight is None or feeding.bias is None:
            continue
        if feeding.bias.requires_grad:
            found.append((feeding.layer, call.layer))
    if found:
        layer, norm = found[0]
        others = listed([one for one, _ in found[1:] if one != layer], 3)
        measured = f"the bias of {named(layer)} has no effect, since {named(norm)} subtracts the mean" + (
            f" (also {others})" if others else ""
        )
        cause = "a normalization over the batch or over positions removes what is added to a whole channel"
        yield Finding("bias-before-norm", layer, measured, cause, "bias=False", "batchnorm-training", 0.0)


def _removes_means(module: nn.Module) -> bool:
    if isinstance(module, _BatchNorm):
        return module.training or module.running_mean is None
    if isinstance(module, nn.GroupNorm):
        return module.num_groups == module.num_channels
    return isinstance(module, _InstanceNorm)


def rounding(case: Case) -> Iterator[Finding]:
    """Channels whose differences are rounding errors, which a normalization blows up."""
    for norm in case.run.norms:
        if norm.rounding > 0:
            measured = f"in {norm.rounding:.0%} of its channels, the numbers differ by rounding errors only"
            cause = "they share a large constant, so their variance is that of rounding errors, which become noise"
            cure = "subtract the constant first, or compute this layer in float64"
            yield Finding("normalization-explosion", norm.layer, measured, cause, cure, "batchnorm-clinic", 1.0)
            return
