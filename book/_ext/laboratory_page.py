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
from tutorial_utils.explore.controls import places as places_of

MARK = '<div id="laboratory" class="laboratory">'
TRAINED_SEEDS = 4  # from so many of five on, a setting counts as one that trains
ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid", "gelu": "GELU"}
#: The colors of the normalizations, as in the chapters; the third is none of theirs.
NORM_COLORS = {"none": "none", "batch": "batch", "batch_shifted": "running"}
NORMS = {name: norm["label"] for name, norm in laboratory.NORMS.items()}
DIRECTIONS = {
    "signal": plotting.color("xavier"),
    "gradient": plotting.color("kaiming"),
}  # as in the chapters
START = {"activation": "relu", "norm": "none", "depth": 30, "init": "kaiming_normal", "lr": 0.1, "seed": 0}
#: The questions of the page, by the words on their buttons; what is not said is as at the start.
QUESTIONS: dict[str, dict[str, Any]] = {
    "30 ReLU layers": {},
    "with BatchNorm": {"norm": "batch"},
    "Huge weights": {"norm": "batch", "depth": 10, "init": "normal_1"},
    "10 sigmoid layers": {"activation": "sigmoid", "depth": 10},
    "Level, and no learning": {"depth": 10, "lr": 0.001},
}
#: The goals of the game, from easy to hard: what must stay, and hints that give more and more away.
GOALS: list[dict[str, Any]] = [
    {
        "name": "Ten layers of ReLU, without normalization",
        "fixed": {"activation": "relu", "depth": 10, "norm": "none"},
        "hints": [
            "One initialization was made for ReLU.",
            "With it, try the rates in the middle: small ones need more than 200 steps, large ones diverge.",
        ],
    },
    {
        "name": "Ten layers of sigmoid",
        "fixed": {"activation": "sigmoid", "depth": 10},
        "hints": [
            "Look at the second moments of the gradient: no initialization here keeps them up.",
            "Something must set the scale anew in every layer.",
        ],
    },
    {
        "name": "Thirty layers of tanh, without normalization",
        "fixed": {"activation": "tanh", "depth": 30, "norm": "none"},
        "hints": [
            "Compare the second moments of the gradient: which initialization keeps them nearly level?",
            "Orthogonal weights do. The rate must be small, for there are many layers.",
        ],
    },
    {
        "name": "Thirty layers of ReLU",
        "fixed": {"activation": "relu", "depth": 30},
        "hints": [
            "Without normalization the map stays light. With BatchNorm, look at how the gradient grows.",
            "BatchNorm centers what enters a ReLU, which then cuts off half of it, in every layer.",
            "With BatchNorm's shift β started at 2, ReLU cuts off very little: the network is nearly linear.",
        ],
    },
]


def controls() -> list[Choice | Slider]:
    """Make the controls, one for each axis of the grid, in its order."""
    axes = laboratory.AXES
    inits = {name: laboratory.INITS[name]["label"] for name in axes["init"]}
    return [
        Choice("activation", {name: ACTIVATIONS[name] for name in axes["activation"]}),
        Choice(
            "norm", NORMS, "normalization", help="Between each layer's weights and its activation. β: its first shift."
        ),
        Slider("depth", axes["depth"], "layers", log=True, help="Hidden layers, of 32 units each."),
        Choice("init", inits, "initialization", help="How the weights are drawn before training."),
        Slider("lr", axes["lr"], "learning rate", log=True, help="Of plain SGD, for 200 steps."),
        Choice("seed", {seed: str(seed) for seed in axes["seed"]}, "of the five trainings, repeat that with seed"),
    ]


def control_specs() -> list[dict[str, Any]]:
    """Describe the controls to the drawing code; the seed concerns the code alone, and stands there."""
    return [{**control.spec(), "ofCode": control.name == "seed"} for control in controls()]


def charts() -> list[dict[str, Any]]:
    """Describe the three charts to the drawing code."""
    where = Heatmap(
        title="Where it trains: median of five seeds",
        x="learning rate",
        y="init",
        y_label="initialization",
        value="percent",
        value_label="test digits right, percent",
        value_limits=(10, 100),
        mark="here",
        picks={"init": "init", "lr": "learning rate"},
    )
    loss = Lines(
        title="The loss while it trains",
        x="step",
        y="loss",
        low="low",
        high="high",
        series="norm",
        rules=[math.log(10)],
        x_log=True,
        y_log=True,
        x_limits=(1, laboratory.STEPS),
        y_limits=(0.03, 10),
    )
    layers = Lines(
        title="Before training: how large signal and gradient are",
        x="layer",
        y="second moment",
        low="low",
        high="high",
        series="direction",
        y_log=True,
        y_limits=(1e-20, 1e10),
    )
    norms = {NORMS[name]: plotting.color(color) for name, color in NORM_COLORS.items()}
    return [_spec(where, {}), _spec(loss, norms), _spec(layers, DIRECTIONS)]


def _spec(chart: Chart, series: dict[str, str]) -> dict[str, Any]:
    return {**chart.spec(), "series_values": series}


def places(state: dict[str, Any]) -> dict[str, int]:
    """Say where each control stands in a state; what it does not say is as at the start."""
    return places_of(controls(), START | state)


def fallback() -> str:
    """Show a reader without scripts how many trainings reach half of the test digits, in percent."""
    rows = laboratory.trainings()
    percent = rows.assign(trained=100.0 * rows["trained"])
    share = percent.pivot_table("trained", index="init", columns=["norm", "depth"], sort=False)
    inits = {name: init["label"] for name, init in laboratory.INITS.items()}
    named = share.rename(index=inits, columns=NORMS).rename_axis(columns=["normalization", "layers"])
    table: str = named.to_html(border=0, float_format="{:.0f}".format)
    caption = "Trainings that get half of the test digits right, percent, by initialization, normalization and layers"
    return table.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)


def page() -> str:
    """Write the Laboratory: controls, charts, and the numbers of all trainings."""
    data = {
        "name": "laboratory",
        "question": "Does it train?",
        "look": "A dark cell in the map: the network learns to read the digits.",
        "controls": control_specs(),
        "charts": charts(),
        "start": list(places({}).values()),
        "presets": [{"label": label, "at": places(state)} for label, state in QUESTIONS.items()],
        "goals": [{**goal, "at": places(goal["fixed"] | {"init": "normal_0.01", "lr": 0.001})} for goal in GOALS],
        "goal_seeds": TRAINED_SEEDS,
        "laboratory": laboratory.load_results(),
    }
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
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
        add_drawing(app, "laboratory.js", "laboratory-game.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("laboratory", LaboratoryDirective)
    app.connect("html-page-context", load_assets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
