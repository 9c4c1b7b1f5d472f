r"""Train the same model at several widths for a few steps, and compare how large its activations and updates are.

If learning is to be tuned on a narrow model and used on a wide one, what happens in a step must not depend on the
width. :func:`coordinate_check` builds the model at each width, takes a few steps on one batch, and measures for every
layer, before the first step and after each:

* ``activation``: the root mean square of the layer's output;
* ``change``: that of the output's change since the start, :math:`\sqrt{\operatorname{mean}((z_t - z_0)^2)}`.

How to read it, on axes that are both logarithmic: a **flat** line is independent of the width, as it should be. A line
that **rises** with slope 1/2 or 1 (``slope``, of :func:`slopes`) grows with the square root of the width, or with the
width itself: a wider model needs another learning rate, and some width diverges. A line that **falls** fades: in the
limit of great width that layer no longer learns. At step 0 the activations show the initialization alone. The output
layer's may fall with slope -1/2 there; what it must not do is rise in later steps.

The usual start, whose variances are in proportion to 1/fan_in, is flat at step 0. With Adam and one learning rate for
all widths it rises after a step: Adam moves each weight by about the learning rate, whatever the width, and these
moves, which agree with the input, add up over the width. The maximal update parametrization divides the learning rate
of matrices that sum over the width by the width, and starts the output layer smaller by its root; then no line rises.

Source: Yang et al. (2021), Tensor Programs V, https://arxiv.org/abs/2203.03466, appendix D.1 ("coordinate checking").
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tutorial_utils.optimizers import SingleOptimizer
from tutorial_utils.propagation import Batch, call, record

if TYPE_CHECKING:
    import matplotlib.figure

Optimizer = torch.optim.Optimizer | SingleOptimizer
MakeOptimizer = Callable[[nn.Module], Optimizer]


def adam(model: nn.Module) -> Optimizer:
    """The optimizer unless another one is given: Adam with a learning rate of 0.01, the same at every width."""
    return SingleOptimizer("adam", model.parameters(), lr=0.01)


def coordinate_check(
    make_model: Callable[[int], nn.Module],
    widths: Sequence[int],
    batch: Batch,
    loss_fn: Callable[[Any], Tensor],
    steps: int = 3,
    *,
    make_optimizer: MakeOptimizer = adam,
    layers: tuple[type[nn.Module], ...] | None = None,
    seeds: Iterable[int] = (0,),
) -> pd.DataFrame:
    """Measure activations and updates of every layer against the model's width, over a few steps of training.

    The global random state is seeded before each model is made, and put back at the end, so the same call gives the
    same table. A layer that is called several times in one pass counts with its last call, as does the last tensor of
    one that returns several.

    Args:
        make_model: makes the model of a given width, called with the width alone.
        widths: at least two different ones, positive.
        batch: what the model is called with at every step: a tensor, a tuple of positional or a dictionary of keyword
            arguments. Its size must not depend on the width.
        loss_fn: makes a scalar of the model's output.
        steps: how many steps to take, at least one.
        make_optimizer: makes the optimizer of a model; without it, Adam with a learning rate of 0.01.
        layers: the classes to measure, for example ``(nn.Linear,)``; without it, every module that has no children or
            has parameters of its own.
        seeds: one training for each; more of them smooth the curves.

    Returns:
        One row for each width, seed, step (0 to ``steps``) and layer that every width has. Columns: ``width``,
        ``seed``, ``step``, ``layer``, ``activation``, ``change`` (NaN at step 0).

    Raises:
        ValueError: if there are fewer than two widths, no step or no seed, or if no layer occurs at every width.

    >>> x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    >>> def make(width):
    ...     return nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 1))
    >>> table = coordinate_check(make, [32, 128], x, lambda y: y.square().mean(), steps=1)
    >>> list(table.columns), len(table)
    (['width', 'seed', 'step', 'layer', 'activation', 'change'], 12)
    """
    seeds = list(seeds)
    if len(set(widths)) < 2 or min(widths) < 1:
        raise ValueError(f"widths = {list(widths)}, but at least two different positive widths are needed")
    if steps < 1 or not seeds:
        raise ValueError(f"steps = {steps}, seeds = {seeds}, but at least one step and one seed are needed")
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        rows: list[dict[str, Any]] = []
        for width in widths:
            for seed in seeds:
                model = _seeded_model(make_model, width, seed)
                found = _trained(model, make_optimizer(model), batch, loss_fn, steps, layers)
                rows += [{"width": width, "seed": seed, **row} for row in found]
    table = pd.DataFrame(rows)
    shared = table.groupby("layer")["width"].nunique() == len(set(widths)) if len(table) else pd.Series(dtype=bool)
    if not shared.any():
        raise ValueError(f"no layer occurs at all of the widths {list(widths)}, so there is nothing to compare")
    return table[table["layer"].map(shared)].reset_index(drop=True)


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    r"""Fit the exponent of the width: the slope of the line through the logarithms, by least squares.

    .. math:: \log q \approx a + \text{slope} \cdot \log \text{width}

    Args:
        table: what :func:`coordinate_check` returned.

    Returns:
        One row for each layer and step, columns ``activation`` and ``change``: 0 is independent of the width, 1/2 grows
        with its root. NaN where a quantity is zero, infinite or not there.

    Raises:
        ValueError: if columns of such a table are missing.

    >>> rows = {"width": [10, 1000], "seed": 0, "step": 1, "layer": "0", "activation": [2, 20], "change": [3, 300]}
    >>> slopes(pd.DataFrame(rows)).round(3).to_dict("list")
    {'activation': [0.5], 'change': [1.0]}
    """
    _check_table(table)
    groups = table.groupby(["layer", "step"], sort=False)
    fitted = {name: groups[["width", name]].apply(lambda rows: _slope(*rows.to_numpy(float).T)) for name in _QUANTITIES}
    return pd.DataFrame(fitted)


def plot(table: pd.DataFrame, *, step: int | None = None) -> "matplotlib.figure.Figure":
    """Draw activations and updates against the width, one line a layer, labeled with its slope. Needs matplotlib.

    Args:
        table: what :func:`coordinate_check` returned.
        step: which step to draw; without it, the last.

    Returns:
        A figure with two panels. Lines are geometric means over the seeds.

    Raises:
        ValueError: if columns of such a table are missing, or if it has no such step.

    >>> rows = {"width": [10, 1000], "seed": 0, "step": 1, "layer": "0", "activation": [3, 3], "change": [2, 20]}
    >>> [axes.get_ylabel() for axes in plot(pd.DataFrame(rows)).axes]
    ['rms of the output', 'rms of its change']
    """
    from matplotlib.figure import Figure

    _check_table(table)
    step = int(table["step"].max()) if step is None else step
    if step not in set(table["step"]):
        raise ValueError(f"step = {step}, but the table has the steps {sorted(set(table['step']))}")
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    labels = ("rms of the output", "rms of its change")
    for axes, name, label in zip(figure.subplots(1, 2), _QUANTITIES, labels, strict=True):
        for layer, rows in table[table["step"] == step].groupby("layer", sort=False):
            means = rows.groupby("width")[name].agg(lambda values: float(np.exp(np.log(values).mean())))
            slope = _slope(means.index.to_numpy(float), means.to_numpy())
            axes.plot(means.index, means, marker="o", label=f"{layer}, slope {slope:.2f}")
        axes.set(xscale="log", yscale="log", xlabel="width", ylabel=label, title=f"after step {step}")
        axes.legend(fontsize="small")
    return figure


_QUANTITIES = ("activation", "change")


def _seeded_model(make_model: Callable[[int], nn.Module], width: int, seed: int) -> nn.Module:
    """A model whose constructor draws from the global generator that it is given no other for."""
    torch.manual_seed(seed)
    return make_model(width)


def _trained(
    model: nn.Module,
    optimizer: Optimizer,
    batch: Batch,
    loss_fn: Callable[[Any], Tensor],
    steps: int,
    layers: tuple[type[nn.Module], ...] | None,
) -> list[dict[str, Any]]:
    """The measurements of one training, in the order of its steps."""
    rows: list[dict[str, Any]] = []
    start: dict[str, Tensor] = {}
    for step in range(steps + 1):
        with record(model, layers, keep=torch.clone) as signals:
            loss = loss_fn(call(model, batch))
        outputs = {signal.layer: signal.forward for signal in signals}
        start = start or outputs
        rows += [{"step": step, "layer": layer, **_measured(z, start.get(layer))} for layer, z in outputs.items()]
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return rows


def _measured(output: Tensor, at_start: Tensor | None) -> dict[str, float]:
    """How large an output is, and how far it is from where it began."""
    moved = math.nan
    if at_start is not None and at_start is not output and at_start.shape == output.shape:
        moved = _rms(output.double() - at_start.double())
    return {"activation": _rms(output.double()), "change": moved}


def _rms(values: Tensor) -> float:
    return values.square().mean().sqrt().item()


def _slope(widths: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> float:
    if not np.all(np.isfinite(values) & (values > 0)):
        return math.nan
    return float(np.polyfit(np.log(widths), np.log(values), 1)[0])


def _check_table(table: pd.DataFrame) -> None:
    missing = {"width", "step", "layer", *_QUANTITIES} - set(table)
    if missing:
        raise ValueError(f"the table lacks the columns {sorted(missing)}: it must come from coordinate_check")
