"""Say which layer of a model is badly initialized, and why, from one batch forward and one gradient back.

:func:`diagnose` measures a model with :func:`tutorial_utils.propagation.propagate` and reads the table by a few rules.
Each rule compares one number with a limit of :data:`LIMITS` and names the topic of the book it comes from. The limits
are conventions about orders of magnitude, not tests: a finding says where to look.
"""

import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from tutorial_utils.propagation import Batch, Moments, floating, moments, propagate, weight_of

if TYPE_CHECKING:
    import matplotlib.figure

#: Where a number becomes a finding.
LIMITS = {
    "ratio of rms": 1e3,  # between layers: three orders of magnitude; one learning rate cannot serve both ends
    "share": 0.5,  # of a layer's outputs dead or saturated: most of it
    "blindness": 1e-3,  # share of the inputs' 1 - cosine that is left: a thousandth
    "excess loss": 1.0,  # nats above ln(classes): confident and wrong
}
#: Activations with a smallest and a largest output, each with the name of its share of outputs near one of the two.
EDGES: dict[type[nn.Module], str] = {
    nn.Tanh: "edge_share_-1_1",
    nn.Softsign: "edge_share_-1_1",
    nn.Sigmoid: "edge_share_0_1",
    nn.Hardsigmoid: "edge_share_0_1",
}
#: What is told of a gradient; whether examples are alike or units dead is a question about outputs only.
OF_GRADIENTS = ("mean", "var", "second_moment", "zero_share", "finite_share")
#: The columns of a diagnosis, see :class:`Diagnosis`.
COLUMNS = [
    *("layer", "kind", "mean", "var", "second_moment", "zero_share", "cosine", "dead_share", "finite_share"),
    *(f"grad_{name}" for name in OF_GRADIENTS),
    *(f"weight_grad_{name}" for name in OF_GRADIENTS),
    *("saturated_share", "update_ratio", "weight_shape", "trains"),
]

DEAD = (
    "zero for every example",
    "units below 0 whatever the input: biases too low, or examples that have become alike",
    "zero biases, and whatever keeps examples apart",
)
SATURATED = (
    "at an end of the activation's range, where its slope is near 0",
    "pre-activations too large for this activation",
    "a smaller start",
)


class Finding(NamedTuple):
    """What is wrong: how badly (powers of ten beyond the limit), where, by which number, why, what helps, what to read.

    ``topic`` is the slug of a topic of the book, such as "glorot".
    """

    severity: float
    layer: str
    measured: str
    cause: str
    cure: str
    topic: str

    def __str__(self) -> str:
        """Four lines to read, folded where they are long."""
        lines = (
            f"{self.layer}: {self.measured}",
            f"    cause: {self.cause}",
            f"    cure:  {self.cure}",
            f"    topic: {self.topic}",
        )
        return "\n".join(textwrap.fill(line, 80, subsequent_indent=" " * 11, break_on_hyphens=False) for line in lines)


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The measurements of a model and what they mean.

    ``table`` has the columns of :func:`~tutorial_utils.propagation.propagate` for every computing module, and
    ``cosine`` (mean over pairs of examples, of one module's outputs), ``dead_share`` (outputs that are 0 for every
    example), ``saturated_share`` (outputs within one percent of an end of the activation's range), ``finite_share``,
    ``update_ratio`` (rms of the weight's gradient over rms of the weight), ``weight_shape`` and ``trains``.
    ``findings`` come in order of severity. ``loss`` is NaN without a loss, ``expected_loss`` is ln(classes) where that
    applies, else NaN.
    """

    table: pd.DataFrame
    findings: list[Finding]
    loss: float
    expected_loss: float

    def __repr__(self) -> str:
        """Give the loss, then each finding."""
        layers = f"{len(self.table)} outputs measured"
        loss = "" if math.isnan(self.loss) else f", initial loss {self.loss:.3g}"
        expected = "" if math.isnan(self.expected_loss) else f" (ln of the number of classes: {self.expected_loss:.3g})"
        listed = [f"{number}. {finding}" for number, finding in enumerate(self.findings, 1)]
        return "\n".join([layers + loss + expected, *(listed or ["Nothing found."])])

    def plot(self) -> "matplotlib.figure.Figure":
        """Draw the second moment of outputs and gradients, and the cosine, in the order of the calls."""
        import matplotlib.pyplot as plt  # who only measures need not wait for matplotlib

        panels = {"second_moment": "output", "grad_second_moment": "gradient", "cosine": "cosine between examples"}
        figure, axes = plt.subplots(1, len(panels), figsize=(7.2, 2.6))
        for ax, (column, title) in zip(axes, panels.items(), strict=True):
            ax.plot(range(1, len(self.table) + 1), self.table[column], ".-")
            ax.set(title=title, xlabel="output", yscale="linear" if column == "cosine" else "log")
        return figure


def diagnose(
    model: nn.Module,
    batch: Batch,
    loss_fn: Callable[..., Tensor] | None = None,
    target: Any = None,
) -> Diagnosis:
    """Measure one batch forward and one gradient back, and say what is out of order.

    The model is used in its present mode and left as it was, also when it raises: parameters, ``grad``, buffers, mode,
    hooks, and torch's global random state. Only modules are seen, not functions called inside them.

    Args:
        model: any module.
        batch: what it is called with: a tensor, a tuple of positional or a dictionary of keyword arguments. For cosines
            and dead outputs the first dimension counts the examples.
        loss_fn: called with the model's output, and ``target`` if there is one; returns a scalar. With integer targets
            it is taken for a mean cross-entropy. Without it the gradient sent back is a fixed random one, standard
            normal in every output.
        target: what ``loss_fn`` needs beside the output, such as labels.

    Returns:
        A :class:`Diagnosis`; print it to read the findings.

    Raises:
        TypeError: if ``model`` is no module.
        ValueError: if the model computes nothing, its parameters and the batch are on different devices, or the loss is
            no scalar of the output.

    >>> from tutorial_utils.initializers import initialize_
    >>> from tutorial_utils.networks import mlp
    >>> x = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
    >>> deep = initialize_(mlp([20, *[64] * 20, 5]), "lecun_normal", generator=torch.Generator().manual_seed(1))
    >>> [finding.layer for finding in diagnose(deep, x).findings if "gradient" in finding.measured]
    ['linear1']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model = {model!r}, but it must be a torch.nn.Module")
    _check_devices(model, batch)
    table, output, loss = _measure(model, batch, loss_fn, target)
    expected = _expected_loss(output, target) if loss_fn is not None else math.nan
    inputs = [cosine for leaf in floating(batch) if not math.isnan(cosine := _cosine(leaf))]
    findings = _findings(table, loss, expected, min(inputs, default=math.nan), _never_called(model, table))
    return Diagnosis(table, sorted(findings, key=lambda finding: -finding.severity), loss, expected)


def _measure(
    model: nn.Module, batch: Batch, loss_fn: Callable[..., Tensor] | None, target: Any
) -> tuple[pd.DataFrame, Any, float]:
    """The table of a diagnosis, the model's output, and the loss, NaN without a loss function."""
    seen: dict[str, Any] = {}

    def loss(output: Any) -> Tensor:
        seen["output"], seen["loss"] = output, math.nan
        if loss_fn is None:
            return _random_direction(output)
        value = loss_fn(output) if target is None else loss_fn(output, target)
        seen["loss"] = float(torch.as_tensor(value).detach().double().mean())
        return value

    table = propagate(model, batch, loss, keep=statistics)
    if table.empty:
        raise ValueError(f"{type(model).__name__} has no module that computes floating-point numbers")
    return _with_readings(table, dict(model.named_modules())), seen["output"], seen["loss"]


def statistics(tensor: Tensor) -> Moments:
    """Summarize a layer's output: its moments, and what tells whether units and examples are still distinct."""
    flat = tensor.detach().cpu().double().reshape(len(tensor) if tensor.dim() else 1, -1)
    return moments(tensor) | {
        "cosine": _cosine(tensor),
        "dead_share": float((flat == 0).all(dim=0).double().mean()),
        "edge_share_-1_1": float((flat.abs() > 0.98).double().mean()),
        "edge_share_0_1": float(((flat < 0.01) | (flat > 0.99)).double().mean()),
        "finite_share": float(flat.isfinite().double().mean()),
    }


def _cosine(tensor: Tensor) -> float:
    """The mean cosine over pairs of different examples; NaN if there are no two."""
    if tensor.dim() < 2 or len(tensor) < 2:
        return math.nan
    directions = functional.normalize(tensor.detach().cpu().double().flatten(1), dim=1, eps=1e-300)
    n = len(directions)
    return float((directions.sum(dim=0).square().sum() - directions.square().sum()) / (n * (n - 1)))


def _random_direction(output: Any) -> Tensor:
    """The inner product of all outputs with standard normal numbers, the same in every call."""
    generator = torch.Generator().manual_seed(0)
    terms = [(o * torch.randn(o.shape, generator=generator).to(o)).sum().float() for o in floating(output)]
    if not terms:
        raise ValueError(f"no floating-point numbers come out of the model, but {type(output).__name__}")
    return torch.stack(terms).sum()


def _expected_loss(output: Any, target: Any) -> float:
    """The cross-entropy of equal probabilities, ln(classes), if output and target look like classification."""
    if isinstance(output, Tensor) and isinstance(target, Tensor) and output.dim() >= 2:
        labels = not target.is_floating_point() and target.shape == output.shape[:1] + output.shape[2:]
        return math.log(output.shape[1]) if labels and output.shape[1] > 1 else math.nan
    return math.nan


def _never_called(model: nn.Module, table: pd.DataFrame) -> list[str]:
    """The layers with a trainable weight that put nothing out; children of a layer that did may be used unseen."""
    called = set(table["layer"])
    inside = tuple(f"{name}." for name in called if name)
    weights = {name: module._parameters.get("weight") for name, module in model.named_modules()}
    return [
        name
        for name, weight in weights.items()
        if weight is not None and weight.requires_grad and name not in called and not name.startswith(inside)
    ]


def _check_devices(model: nn.Module, batch: Batch) -> None:
    of_model = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    of_batch = {leaf.device for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)}
    if of_model and of_batch and not of_model & of_batch:
        raise ValueError(f"the model is on {sorted(map(str, of_model))}, the batch on {sorted(map(str, of_batch))}")


def _with_readings(table: pd.DataFrame, modules: dict[str, nn.Module]) -> pd.DataFrame:
    """The table with what depends on the module: saturation in its own range, its weight, the gradient beside it."""
    layers = [modules[name] for name in table["layer"]]
    edges = [EDGES.get(type(layer)) for layer in layers]
    weights = [weight_of(layer) for layer in layers]
    sizes = [math.nan if w is None else float(w.detach().cpu().double().square().mean()) for w in weights]
    table["saturated_share"] = [math.nan if edge is None else table.at[row, edge] for row, edge in enumerate(edges)]
    table["update_ratio"] = (table["weight_grad_second_moment"] / sizes) ** 0.5
    table["weight_shape"] = [() if w is None else tuple(w.shape) for w in weights]
    table["trains"] = [w is not None and w.requires_grad for w in weights]
    return table[COLUMNS]


def _findings(
    table: pd.DataFrame, loss: float, expected: float, input_cosine: float, idle: list[str]
) -> Iterator[Finding]:
    """Every rule in turn; where numbers are not finite, the others would say nothing."""
    for column, signal in (("finite_share", "outputs"), ("grad_finite_share", "gradient")):
        broken = table[table[column] < 1]
        if len(broken):
            origin = broken.iloc[0] if signal == "outputs" else broken.iloc[-1]  # a gradient comes from the other end
            yield _not_finite(origin, column, signal)
            return
    matrices = table[table["weight_shape"].map(len) > 1]
    hidden = matrices.iloc[:-1]  # the last layer may be small on purpose
    yield from _uneven(hidden, "second_moment", "output", topic="he")
    yield from _uneven(matrices, "grad_second_moment", "gradient", topic="glorot")
    yield from _blind(matrices, input_cosine)
    yield from _mostly(table, "dead_share", *DEAD)
    yield from _mostly(table, "saturated_share", *SATURATED)
    yield from _confident(table, loss, expected)
    yield from _unreached(table, idle)


def _not_finite(row: pd.Series, column: str, signal: str) -> Finding:
    measured = f"{1 - row[column]:.0%} of its {signal} {'are' if signal == 'outputs' else 'is'} not finite"
    cause = "NaN or infinity in the weights or the batch, a slope that is infinite, or a signal that overflowed"
    cure = "look for such parameters with audit(model), or start smaller"
    return Finding(math.inf, row["layer"], measured, cause, cure, topic="why-the-start-matters")


def _uneven(matrices: pd.DataFrame, column: str, signal: str, topic: str) -> Iterator[Finding]:
    """A signal whose size differs by orders of magnitude between layers that have weights."""
    measured = matrices.dropna(subset=column)
    layers, sizes = measured["layer"].to_numpy(), measured[column].to_numpy() ** 0.5
    if (sizes == 0).any():
        yield _blocked(layers[sizes.argmin()], signal)
        return
    ratio = sizes.max() / sizes.min() if len(sizes) > 1 else 1.0
    if ratio <= LIMITS["ratio of rms"]:
        return
    growth = (sizes[-1] / sizes[0]) ** (1 / (len(sizes) - 1))  # per layer, in the order of the calls
    factor, way = (growth, "forward") if signal == "output" else (1 / growth, "on the way back")
    where, relation = (sizes.argmin(), "less") if factor < 1 else (sizes.argmax(), "more")
    number = f"its {signal} has rms {sizes[where]:.2g}, {ratio:.1g} times {relation} than at the other end"
    cause = f"each layer multiplies it by about {factor:.2g} {way}; it must be near 1"
    cure = "draw the weights with the gain of your activation (gains.gain), or normalize"
    yield Finding(math.log10(ratio / LIMITS["ratio of rms"]), layers[where], number, cause, cure, topic)


def _blocked(layer: str, signal: str) -> Finding:
    measured, cause = f"its {signal} is exactly 0", "a layer of zeros stands in its way"
    cure = "draw that layer at random, unless it is meant to start at zero"
    return Finding(1.0, layer, measured, cause, cure, topic="why-the-start-matters")


def _blind(matrices: pd.DataFrame, input_cosine: float) -> Iterator[Finding]:
    """Layers at which different examples have become the same vector."""
    if not input_cosine < 1:  # also if it is NaN: then there is nothing to compare with
        return
    left = (1 - matrices["cosine"]) / (1 - input_cosine)
    blind = matrices[left < LIMITS["blindness"]]
    if len(blind):
        measured = f"the mean cosine between examples is {blind['cosine'].iloc[0]:.5f}, at the input {input_cosine:.2g}"
        cause = "biases or the activation's mean outweigh the signal, or depth pulls all directions together"
        cure = "zero biases and weights that keep the signal (He for ReLU), fewer layers, or residual branches"
        severity = math.log10(LIMITS["blindness"] / max(float(left.min()), 1e-16))
        yield Finding(severity, blind["layer"].iloc[0], measured, cause, cure, topic="reset-parameters")


def _mostly(table: pd.DataFrame, column: str, what: str, cause: str, cure: str) -> Iterator[Finding]:
    """The layer most of whose outputs are of no use."""
    affected = table[table[column] > LIMITS["share"]].sort_values(column, ascending=False, kind="stable")
    if len(affected):
        worst = affected.iloc[0]
        measured = f"{worst[column]:.0%} of its outputs are {what}"
        severity = math.log10(worst[column] / LIMITS["share"])
        yield Finding(severity, worst["layer"], measured, cause, cure, topic="why-the-start-matters")


def _confident(table: pd.DataFrame, loss: float, expected: float) -> Iterator[Finding]:
    """A first loss above that of equal probabilities."""
    excess = loss - expected
    if excess > LIMITS["excess loss"]:
        measured = f"the initial loss is {loss:.3g}, ln(classes) is {expected:.3g}"
        cause, cure = "logits far apart before anything was learned", "a smaller last layer"
        severity = math.log10(excess / LIMITS["excess loss"])
        yield Finding(severity, table["layer"].iloc[-1], measured, cause, cure, topic="why-the-start-matters")


def _unreached(table: pd.DataFrame, idle: list[str]) -> Iterator[Finding]:
    """Layers with weights that no gradient reaches, those that were never called among them."""
    deaf = table[table["trains"] & table["weight_grad_finite_share"].isna()]
    names = [*deaf["layer"].unique(), *idle]
    if names:
        layers, measured = ", ".join(names[:5]), "no gradient reaches its weight"
        cause = "it was not called, its output does not enter the loss, or was detached"
        yield Finding(0.0, layers, measured, cause, "use it, or remove it", topic="initialize-your-model")
