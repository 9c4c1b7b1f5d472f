"""The Laboratory: ``{laboratory}`` puts the explorer over all stored trainings on a page.

``laboratory.js`` draws it; without scripts it is a table.
"""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from explorers import add_drawing
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tutorial_utils import laboratory, plotting
from tutorial_utils.explore import Choice, Heatmap, Lines, Slider
from tutorial_utils.explore.charts import Chart

MARK = '<div id="laboratory" class="laboratory">'
ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid", "gelu": "GELU"}
NORMS = {"none": "no normalization", "batch": "BatchNorm"}
DIRECTIONS = {
    "signal": plotting.color("xavier"),
    "gradient": plotting.color("kaiming"),
}  # as in the chapters
START = {"activation": "relu", "norm": "none", "depth": 10, "start": "kaiming_normal", "lr": 0.1, "seed": 0}


def controls() -> list[Choice | Slider]:
    """Make the controls, one for each axis of the grid, in its order."""
    axes = laboratory.AXES
    return [
        Choice("activation", {name: ACTIVATIONS[name] for name in axes["activation"]}),
        Choice("norm", {name: NORMS[name] for name in axes["norm"]}, label="normalization"),
        Slider("depth", axes["depth"], label="layers", log=True),
        Choice("start", {name: laboratory.STARTS[name]["label"] for name in axes["start"]}),
        Slider("lr", axes["lr"], label="learning rate", log=True),
        Choice("seed", {seed: str(seed) for seed in axes["seed"]}, label="seed of the code"),
    ]


def charts() -> list[dict[str, Any]]:
    """Describe the three charts to the drawing code."""
    where = Heatmap(
        title="Where it trains: test digits right, percent, median of the seeds",
        x="learning rate",
        y="start",
        value="percent",
        value_limits=(10, 100),
        mark="here",
    )
    loss = Lines(
        title="The loss, without and with BatchNorm",
        x="step",
        y="loss",
        low="low",
        high="high",
        series="norm",
        rules=[math.log(10)],
        x_log=True,
        y_log=True,
        x_limits=(1, laboratory.STEPS),
        y_limits=(0.01, 100),
    )
    layers = Lines(
        title="Second moments before training",
        x="layer",
        y="second moment",
        low="low",
        high="high",
        series="direction",
        y_log=True,
        y_limits=(1e-20, 1e10),
    )
    norms = {NORMS[name]: plotting.color(name) for name in laboratory.AXES["norm"]}
    return [_spec(where, {}), _spec(loss, norms), _spec(layers, DIRECTIONS)]


def _spec(chart: Chart, series: dict[str, str]) -> dict[str, Any]:
    return {**chart.spec(), "series_values": series}


def start_places() -> list[int]:
    """Say where each control stands at first."""
    return [list(control.values).index(START[control.name]) for control in controls()]


def fallback() -> str:
    """Show a reader without scripts how many trainings reach half of the test digits, in percent."""
    rows = laboratory.trainings()
    percent = rows.assign(trained=100.0 * rows["trained"])
    share = percent.pivot_table("trained", index="start", columns=["norm", "depth"], sort=False)
    starts = {name: start["label"] for name, start in laboratory.STARTS.items()}
    named = share.rename(index=starts, columns=NORMS).rename_axis(columns=["normalization", "layers"])
    table: str = named.to_html(border=0, float_format="{:.0f}".format)
    caption = "Trainings that get half of the test digits right, percent, by start, normalization and layers"
    return table.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)


def page() -> str:
    """Write the Laboratory: controls, charts, and the numbers of all trainings."""
    specs = [control.spec() for control in controls()]
    data = {"name": "laboratory", "controls": specs, "charts": charts(), "start": start_places()}
    text = json.dumps({**data, "laboratory": laboratory.load_results()}, separators=(",", ":")).replace("</", "<\\/")
    return f'{MARK}{fallback()}<script type="application/json">{text}</script></div>'


class LaboratoryDirective(SphinxDirective):
    """``{laboratory}``."""

    def run(self) -> list[nodes.Node]:
        """Return the Laboratory."""
        self.env.note_dependency(str(Path(laboratory.__file__).with_suffix(".json")))
        return [nodes.raw("", page(), format="html")]


def load_assets(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Name the scripts on the page that holds the Laboratory."""
    if MARK in context.get("body", ""):
        add_drawing(app, "laboratory.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("laboratory", LaboratoryDirective)
    app.connect("html-page-context", load_assets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
