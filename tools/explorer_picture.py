"""A picture of each explorer, for viewers of notebooks that run no script: GitHub, and editors before the first run.

It shows the explorer at its start and is drawn from the numbers in the page, so it is no output of a cell: nbval and
the site leave it out. What the charts look like is decided in ``charts.js``.
"""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter
from nbformat import NotebookNode

from notebook_lint import EXPLORER_PICTURE, code_cells, own_outputs

STYLE = Path(__file__).resolve().parents[1] / "src" / "tutorial_utils" / "good_starts.mplstyle"
"""The book's, by its file: to import the package would take longer than to draw."""
DATA = re.compile(r'<good-explorer .*?<script type="application/json">(.*?)</script>', re.DOTALL)
WIDTH, HEIGHT, DPI = 4.2, 3.2, 100
"""Inches of one chart, and pixels in an inch."""
DASHES = ("-", "--", ":", "-.")
Spec = dict[str, Any]


def start(data: Spec) -> Spec:
    """What the charts show at first: the rows of each, and the sentence."""
    place = 0
    for control, at in zip(data["controls"], data["start"], strict=True):
        place = place * len(control["values"]) + at
    frame: Spec = data["frames"][place]
    return frame


def _rows(data: Spec, columns: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({name: data["columns"][place] for name, place in columns.items()})


def _series(chart: Spec, rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Each series with its color and its rows."""
    if not chart["series"]:
        return [("", "#0072B2", rows)]
    names = rows[chart["series"]].astype(str)
    return [(name, color, rows[names == name]) for name, color in chart["series_values"].items()]


def _lines(chart: Spec, rows: pd.DataFrame, ax: Axes) -> None:
    for number, (name, color, part) in enumerate(_series(chart, rows)):
        style = DASHES[number % len(DASHES)]
        ax.plot(part[chart["x"]], part[chart["y"]], color=color, linestyle=style, label=name)
        if chart["low"]:
            ax.fill_between(part[chart["x"]], part[chart["low"]], part[chart["high"]], color=color, alpha=0.2)
    for height in chart["rules"]:
        ax.axhline(height, color="black", linestyle=":", linewidth=1)


def _bars(chart: Spec, rows: pd.DataFrame, ax: Axes) -> None:
    for name, color, part in _series(chart, rows):
        width = part[chart["x_end"]] - part[chart["x"]]
        ax.bar(part[chart["x"]], part[chart["y"]], width, align="edge", color=color, alpha=0.6, label=name)


def _heatmap(chart: Spec, rows: pd.DataFrame, ax: Axes) -> None:
    table = rows.pivot_table(index=chart["y"], columns=chart["x"], values=chart["value"], sort=False)
    scale = np.log10 if chart["value_log"] else np.asarray
    low, high = scale(chart["value_limits"])
    shade = np.clip((scale(table.to_numpy(float)) - low) / (high - low), 0, 1)
    ax.imshow(shade, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(table.to_numpy(float)):
        ink = "white" if shade[row, column] > 0.6 else "black"
        ax.text(column, row, f"{value:.2g}", ha="center", va="center", color=ink, fontsize=8)
    for way, names in (("x", table.columns), ("y", table.index)):
        ax.set(**{f"{way}ticks": range(len(names)), f"{way}ticklabels": names})
    ax.set(xlabel=chart["x_label"])
    ax.grid(visible=False)


def _ticks(axis: Axis, low: float, high: float) -> None:
    """Powers of ten on an axis that spans two of them, else 1, 2 and 5 of each."""
    short = high < 100 * low
    axis.set_minor_locator(LogLocator(subs=(2, 5) if short else "auto"))
    axis.set_minor_formatter("{x:g}" if short else NullFormatter())


def _axes(chart: Spec, ax: Axes) -> None:
    """Limits, scales and names of the axes of a chart that is no map."""
    for way in ("x", "y"):
        scale = "log" if chart[f"{way}_log"] else "linear"
        ax.set(**{f"{way}scale": scale, f"{way}lim": chart[f"{way}_limits"], f"{way}label": chart[f"{way}_label"]})
        if scale == "log":
            _ticks(getattr(ax, f"{way}axis"), *chart[f"{way}_limits"])
    if len(chart["series_values"]) > 1:
        ax.legend()


DRAW = {"lines": _lines, "bars": _bars, "heatmap": _heatmap}


def picture(page: str) -> tuple[str, str]:
    """The first state of an explorer's page as a base64 PNG, and its sentence."""
    data = json.loads(DATA.findall(page)[0])
    frame, charts = start(data), data["charts"]
    with plt.style.context(["default", STYLE]):
        figure, axes = plt.subplots(
            1, len(charts), figsize=(WIDTH * len(charts), HEIGHT), squeeze=False, layout="constrained"
        )
        for chart, columns, ax in zip(charts, frame["tables"], axes[0], strict=True):
            DRAW[chart["kind"]](chart, _rows(data, columns), ax)
            if chart["kind"] != "heatmap":
                _axes(chart, ax)
            ax.set_title(chart["title"])
        with io.BytesIO() as file:
            figure.savefig(file, format="png", dpi=DPI)
            plt.close(figure)
            return base64.b64encode(file.getvalue()).decode(), frame["say"]


def illustrate(nb: NotebookNode) -> None:
    """Put a picture before every explorer that a cell shows."""
    for cell in code_cells(nb):
        outputs: list[NotebookNode] = []
        for output in own_outputs(cell):
            if DATA.search(output.get("data", {}).get("text/html", "")):
                png, say = picture(output.data["text/html"])
                data = {"image/png": png, "text/plain": say}
                outputs.append(nbformat.v4.new_output("display_data", data, metadata={EXPLORER_PICTURE: True}))
            outputs.append(output)
        cell.outputs = outputs
