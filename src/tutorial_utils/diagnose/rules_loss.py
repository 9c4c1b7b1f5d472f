"""Rules about the last step: an activation before a loss that brings its own, and the first loss."""

import math
from collections.abc import Iterator

from torch import Tensor

from tutorial_utils.command import spoken
from tutorial_utils.diagnose.activations import Activation
from tutorial_utils.diagnose.calling import storage
from tutorial_utils.diagnose.case import Case, Held
from tutorial_utils.diagnose.findings import Finding, named
from tutorial_utils.diagnose.rules_signal import NEAR, enlarged, of_one_sign
from tutorial_utils.diagnose.statistics import rms, sample

_ROWS = 4096
#: The values of activations that may stand at the end of a model.
RANGES = {"relu": (0.0, math.inf), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0)}


def output_activation(case: Case) -> Iterator[Finding]:
    """Logits that are none."""
    heard, norm = case.run.heard, case.run.calls[-1]
    if heard.kind == "regression":
        yield from _of_regression(case)
    if heard.kind not in {"cross-entropy", "binary"} or heard.inputs is None or not heard.inputs.numel():
        return
    if not heard.normalized:
        measured = "nll_loss is computed from numbers that are not log-probabilities"
        cause, cure = "nll_loss contains no softmax", "put a log_softmax before it, or use cross_entropy"
        yield _finding(case.last_layer, measured, cause, cure)
    elif norm.is_norm and norm.sources[1] == storage(heard.inputs):
        measured = f"the logits are the output of {named(norm.layer)}, a normalization"
        cause = (
            "it fixes how far apart the logits are; over a batch, it makes those of one example depend on the others"
        )
        yield _finding(norm.layer, measured, cause, "put it before the last layer")
    else:
        yield from _of_logits(case, heard.inputs)


def _of_logits(case: Case, inputs: Tensor) -> Iterator[Finding]:
    """Numbers that an activation made which the loss brings itself."""
    heard, activations, logits = case.run.heard, case.run.activations, inputs.float()
    name = _activation(logits, heard.kind, activations[-1].name if activations else "") or _same_memory(case, inputs)
    if name:
        layer = next((a.layer for a in reversed(activations) if a.name == name), case.last_layer)
        measured = f"what the loss receives looks like the output of {name}, from {spoken(float(logits.min()))}"
        measured += f" to {spoken(float(logits.max()))}"
        loss, own = ("cross_entropy", "softmax")
        if heard.kind == "binary":
            loss, own = "binary_cross_entropy_with_logits", "sigmoid"
        cause = f"{loss} applies a {own} itself, so it expects numbers that went through no activation"
        yield _finding(layer, measured, cause, f"remove the {name} at the end of the model")


def _of_regression(case: Case) -> Iterator[Finding]:
    """Outputs that an activation keeps from where the targets are."""
    heard = case.run.heard
    if heard.inputs is None or heard.targets is None:
        return
    last = next((a for a in _at_end(case) if a.output == storage(heard.inputs)), None)
    if last is None or last.name not in RANGES:
        return
    low, high = RANGES[last.name]
    outside = float(((heard.targets < low - 0.01) | (heard.targets > high + 0.01)).float().mean())
    if outside > 0.05:
        measured = f"{outside:.0%} of the targets lie outside the range of {last.name}"
        cause = "the last activation never gives such outputs"
        yield _finding(last.layer, measured, cause, f"remove the {last.name} at the end, or scale the targets")


def _finding(layer: str, measured: str, cause: str, cure: str) -> Finding:
    return Finding("output-activation", layer, measured, cause, cure, "initialize-your-model", 1.0)


def _activation(logits: Tensor, kind: str, last: str) -> str:
    """The activation that numbers look like: rows of probabilities, all in (0, 1), or zeros and positive numbers."""
    flat = logits.reshape(-1, logits.shape[-1]) if logits.dim() else logits.reshape(1, 1)
    low, high = float(flat.min()), float(flat.max())
    if low < 0 or high == low or flat.numel() < 8:
        return ""
    sums = [flat.sum(1), flat.sum(0)] if flat.shape[1] > 1 else [flat.sum(0)]
    if kind == "cross-entropy" and any(bool(((s - 1).abs() < 1e-2).all()) for s in sums):
        return "softmax"
    if high <= 1 and (low > 0 or last == "sigmoid") and (last == "sigmoid" or flat.numel() >= 32):
        return "sigmoid" if last != "softmax" else "softmax"
    if low == 0 and bool((flat == 0).float().mean() > 0.05):
        return "relu"
    return ""


def _at_end(case: Case) -> list[Activation]:
    """The activations behind the last layer, the last one first."""
    layers = case.run.layers()
    return [a for a in reversed(case.run.activations) if not layers or a.number > layers[-1].number]


def _same_memory(case: Case, logits: Tensor) -> str:
    """The bounded activation whose result the logits are."""
    of_activation = {a.output: a.name for a in _at_end(case)}
    name = of_activation.get(storage(logits), "")
    return name if name in {"tanh", "sigmoid", "relu", "softmax", "hardtanh"} else ""


def first_loss(case: Case) -> Iterator[Finding]:
    """A first loss above that of a guess."""
    heard = case.run.heard
    if not math.isfinite(heard.value) or not math.isfinite(heard.guess):
        if not math.isnan(case.run.loss) and heard.kind != "regression":
            case.not_judged.append("the first loss: neither a cross-entropy nor a regression was recognized")
        return
    excess = heard.value - heard.guess
    limit = case.limits["excess loss"]
    if excess > (limit / 4 if _by_bias(case, heard.inputs) else limit):
        guess = "ln(classes)" if heard.kind == "cross-entropy" else "ln(2)"
        measured = f"the first loss is {spoken(heard.value, 3)}, that of a guess is {guess} = {spoken(heard.guess, 3)}"
        cause, cure, topic = _why(case, heard.inputs)
        severity = max(case.beyond(excess, "excess loss"), 0.1)
        layer, factor = case.last_layer, _temperature(case, heard.inputs)
        if factor is not None:
            layer, cure = factor.name, "start it so that the logits have an rms of about 1"
            cause = f"after the last layer, the logits are multiplied by a number that comes from {layer}"
        yield Finding("first-loss", layer, measured, cause, cure, topic, severity)


def _temperature(case: Case, logits: Tensor | None) -> Held | None:
    """The parameter of one number, if logits are far larger than what the last layer put out."""
    layers = case.run.layers()
    scalars = [p for p in case.parameters if p.tensor.numel() == 1 and id(p.tensor) in case.run.gradients]
    if logits is None or not layers or not scalars:
        return None
    if rms(sample(logits)) < case.limits["gain"] * layers[-1].returned.rms:
        return None
    return max(scalars, key=lambda p: abs(float(p.tensor.detach() * case.run.gradients[id(p.tensor)])))


def _by_bias(case: Case, logits: Tensor | None) -> bool:
    """Whether the last bias makes most of the logits: a guess that was meant, so it should be better than none."""
    layers = case.run.layers()
    bias = layers[-1].bias if layers else None
    return bias is not None and logits is not None and rms(bias) > 0.7 * rms(logits)


def _why(case: Case, logits: Tensor | None) -> tuple[str, str, str]:
    """Compare: a bias shared by all examples, features that arrive too large, or the last layer itself."""
    topic = "initialize-your-model"
    layers = case.run.layers()
    if logits is not None and logits.dim() > 1:
        flat = logits.float().reshape(-1, logits.shape[-1])[:_ROWS]
        shared = rms(flat.mean(0) - flat.mean()) if flat.shape[1] > 1 else abs(float(flat.mean()))
        if shared > 2 * rms(flat - flat.mean(0)):
            return (
                "the last bias makes one guess for all examples, before anything was learned",
                "start it at zero",
                topic,
            )
    received = layers[-1].received if layers else None
    if received is not None and received.rms > 5 and layers[-1].gain < 3:
        cause = f"what the last layer receives is already too large (rms {spoken(received.rms)})"
        cure = "keep the signal near rms 1, or normalize before the last layer"
        enlarging = [c for c in layers[:-1] if c.gain > NEAR]
        if enlarging:
            cause += f"; {enlarged(enlarging)}"
        if one_sign := of_one_sign(enlarging):
            why, cure = one_sign
            cause += f"; {why}"
        return cause, cure, topic
    return "the logits are far apart before anything was learned", "draw the weight of the last layer smaller", topic
