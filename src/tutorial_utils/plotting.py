"""Draw what was measured: one style sheet, one meaning per color, tables and samples in, ``Axes`` out."""

from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from torch import Tensor

from tutorial_utils.schemes import BLACK, SCHEMES

#: The color of each activation, from Tol's palette, so that no activation is taken for a scheme.
ACTIVATION_COLORS = {
    "identity": "#777777",
    "relu": "#117733",
    "leaky_relu": "#999933",
    "tanh": "#332288",
    "sigmoid": "#CC6677",
    "softsign": "#88CCEE",
    "selu": "#44AA99",
    "gelu": "#882255",
    "silu": "#AA4499",
}
#: The color of each normalization, "none" for none, and of the statistics BatchNorm takes where it predicts.
NORM_COLORS = {
    "none": "#777777",
    "batch": "#AA3377",
    "layer": "#228833",
    "running": "#4477AA",
    "recalibrated": "#B58900",
}


def use_style() -> None:
    """Use the book's style sheet for every figure from here on."""
    with as_file(files("tutorial_utils") / "good_starts.mplstyle") as path:
        plt.style.use(path)


def color(name: str) -> str:
    """Look up the color of a scheme, of a family of schemes, an activation, a normalization, or "theory".

    A scheme has the color of its record in :data:`tutorial_utils.schemes.SCHEMES`; a family is what stands before the
    first underscore.

    >>> color("kaiming_normal_fan_out") == color("kaiming"), color("tanh")
    (True, '#332288')
    """
    schemes = {scheme: record.color for scheme, record in SCHEMES.items()}
    families = {scheme.split("_")[0]: shade for scheme, shade in schemes.items()}
    known = families | schemes | ACTIVATION_COLORS | NORM_COLORS | {"theory": BLACK}
    for key in (name, name.split("_")[0]):
        if key in known:
            return known[key]
    raise ValueError(f"{name!r} has no color; known: {', '.join(known)}")


def shades(count: int) -> list[str]:
    """Make colors for an ordered quantity, such as a scale or a batch size, from light to dark.

    >>> shades(2)
    ['#7fb9da', '#08306b']
    """
    return [to_hex(plt.get_cmap("Blues")(0.45 + 0.55 * i / max(count - 1, 1))) for i in range(count)]


def plot_band(x: ArrayLike, samples: ArrayLike, ax: Axes | None = None, *, coverage: float = 0.9, **line: Any) -> Axes:
    """Draw the median of repeated measurements as a line and their central share as a band.

    Args:
        x: positions, of shape (points,).
        samples: one repetition a row, of shape (repetitions, points); NaN counts as the largest value.
        ax: where to draw; a new figure by default.
        coverage: share of the repetitions inside the band, strictly between 0 and 1.
        **line: passed to ``Axes.plot``, such as ``label`` and ``color``.

    Raises:
        ValueError: if the shapes do not fit or the coverage is not a share.
    """
    positions, values = np.asarray(x), np.asarray(samples, dtype=float)
    if values.ndim != 2 or values.shape[1] != len(positions):
        raise ValueError(
            f"samples of shape {values.shape} for {len(positions)} positions: it must be (repetitions, points)"
        )
    if not 0 < coverage < 1:
        raise ValueError(f"coverage = {coverage}, but it must lie strictly between 0 and 1")
    ax = ax if ax is not None else plt.subplots()[1]
    ordered = np.where(np.isnan(values), np.inf, values)
    low, median, high = np.quantile(ordered, [(1 - coverage) / 2, 0.5, (1 + coverage) / 2], axis=0, method="nearest")
    (drawn,) = ax.plot(positions, median, **line)
    ax.fill_between(positions, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    return ax


def plot_histograms(
    tensors: Mapping[str, Tensor], ax: Axes | None = None, *, bins: int = 81, limits: tuple[float, float] | None = None
) -> Axes:
    """Overlay the densities of several tensors, dark to light in the order given, each labeled by its key.

    Args:
        tensors: what to draw, for example one layer's activations per key.
        ax: where to draw; a new figure by default.
        bins: number of bins over the common range.
        limits: the common range; the smallest and largest entry by default.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not tensors:
        raise ValueError("tensors is empty, but there must be at least one to draw")
    values = {label: tensor.detach().double().flatten().numpy() for label, tensor in tensors.items()}
    if limits is None:
        limits = (min(v.min() for v in values.values()), max(v.max() for v in values.values()))
    ax = ax if ax is not None else plt.subplots()[1]
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(values)))
    for (label, entries), shade in zip(values.items(), colors, strict=True):
        density, edges = np.histogram(entries, bins=bins, range=limits, density=True)
        ax.plot((edges[:-1] + edges[1:]) / 2, density, color=shade, label=label, linewidth=1.4)
    return ax


def plot_heatmap(
    cells: pd.DataFrame, ax: Axes | None = None, *, limits: tuple[float, float] | None = None, text: str = "{:.3g}"
) -> Axes:
    """Draw a table of two axes, such as counts by scale and learning rate, with each number in its cell.

    Args:
        cells: numbers, one row for each value of the vertical axis, from below, and one column for each of the
            horizontal; the names of ``cells.index`` and ``cells.columns`` name the axes. NaN leaves a cell empty.
        ax: where to draw; a new figure by default.
        limits: the numbers drawn lightest and darkest; by default the smallest and largest.
        text: the format of a number in its cell; an empty one writes none.

    Raises:
        ValueError: if there is no number to draw.

    >>> rows = pd.DataFrame({"scale": [1, 1, 2, 2], "lr": [0.1, 0.3, 0.1, 0.3], "learns": [20, 19, 12, 0]})
    >>> ax = plot_heatmap(rows.pivot(index="scale", columns="lr", values="learns"), limits=(0, 20))
    >>> ax.get_xlabel(), ax.get_ylabel(), [text.get_text() for text in ax.texts]
    ('lr', 'scale', ['20', '19', '12', '0'])
    """
    values = cells.to_numpy(dtype=float)
    if not np.isfinite(values).any():
        raise ValueError(f"cells of shape {values.shape} hold no number, but there must be at least one to draw")
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    ax = ax if ax is not None else plt.subplots()[1]
    ax.pcolormesh(values, cmap="Blues", vmin=low, vmax=high, edgecolors="white", linewidth=1.5)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if value - low > 0.65 * (high - low) else "black"
            ax.text(column + 0.5, row + 0.5, text.format(value), ha="center", va="center", fontsize=9, color=ink)
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, [f"{name:g}" for name in cells.columns])
    ax.set_yticks(np.arange(values.shape[0]) + 0.5, [f"{name:g}" for name in cells.index])
    ax.set(xlabel=cells.columns.name, ylabel=cells.index.name)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax


def label_lines(ax: Axes, *, gap: float = 0.07) -> Axes:
    """Write each line's label at its right end, in its color, instead of a legend; labels keep their distance.

    Args:
        ax: axes with labeled lines; limits and scales must be final.
        gap: smallest vertical distance between two labels, as a share of the height of the axes.
    """
    ax.autoscale_view()  # limits that matplotlib has not computed yet would put the labels elsewhere
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    ends = sorted(((_height_of_end(ax, line), line) for line in lines), key=lambda end: end[0])
    previous = (
        -np.inf
    )  # from the lowest up, a label stands at its line's end or, if that is taken, a gap above the last
    for height, line in ends:
        previous = max(height, previous + gap)
        ax.annotate(
            str(line.get_label()),
            (1.0, previous),
            xytext=(5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    return ax


def _height_of_end(ax: Axes, line: Line2D) -> float:
    """Where a line ends, as a share of the height of the axes."""
    end = np.asarray(line.get_ydata(), dtype=float)[-1]
    if not np.isfinite(end):  # a run that diverged leaves at the top
        return float(end != -np.inf)
    return float(np.clip(ax.transAxes.inverted().transform(ax.transData.transform((0, end)))[1], 0, 1))
