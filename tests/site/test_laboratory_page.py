"""The Laboratory's page: what it draws, says and gives as code is what the stored trainings say."""

import json
import math
import random
import re
from collections.abc import Iterator
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from explorer_moves import MOVES
from explorer_reading import READ, frame_problems, value_at
from playwright.sync_api import Browser, Page, expect
from site_checks import HTML, PHONE, WIDE, Visit

from tutorial_utils import laboratory

PAGE = "laboratory.html"
NAMES = list(laboratory.AXES)
SAMPLE = 12

Pick = dict[str, Any]


@pytest.fixture(scope="module")
def data(html: Any) -> dict[str, Any]:
    """What the page holds besides the trainings."""
    script = BeautifulSoup((HTML / PAGE).read_text("utf-8"), "html.parser").select_one("#laboratory > script")
    assert script is not None
    loaded: dict[str, Any] = json.loads(script.string or "")
    return loaded


@pytest.fixture(scope="module")
def trainings() -> pd.DataFrame:
    return laboratory.trainings().set_index(NAMES).sort_index()


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return laboratory.curves().set_index([*NAMES, "step"]).loss.fillna(math.inf).sort_index()


@pytest.fixture(scope="module")
def layers() -> pd.DataFrame:
    return laboratory.layers()


@pytest.fixture(scope="module")
def visit(chromium: Browser, address: str) -> Iterator[Visit]:
    context = chromium.new_context(has_touch=True)
    opened = Visit(context, address + PAGE)
    opened.page.locator("#laboratory [data-picture]").nth(2).wait_for()
    yield opened
    context.close()


def label(data: dict[str, Any], name: str, value: Any) -> str:
    control = next(control for control in data["controls"] if control["name"] == name)
    return str(control["labels"][control["values"].index(value)])


def shown_map(data: dict[str, Any], trainings: pd.DataFrame, pick: Pick) -> dict[str, list[Any]]:
    rows = []
    for init in laboratory.AXES["init"]:
        for lr in laboratory.AXES["lr"]:
            place = tuple({**pick, "init": init, "lr": lr}[name] for name in NAMES[:-1])
            percent = 100 * trainings.loc[place].accuracy.median()
            rows.append((lr, math.floor(percent + 0.5 + 1e-9), init == pick["init"] and lr == pick["lr"]))
    lrs, percents, here = map(list, zip(*rows, strict=True))
    names = data["charts"][0]
    inits = [label(data, "init", init) for init in laboratory.AXES["init"] for _ in laboratory.AXES["lr"]]
    return {names["x"]: lrs, names["y"]: inits, names["value"]: percents, names["mark"]: here}


def shown_curves(data: dict[str, Any], curves: pd.Series, pick: Pick) -> dict[str, list[Any]]:
    chart = data["charts"][1]
    table: dict[str, list[Any]] = {chart[key]: [] for key in ("x", "y", "low", "high", "series")}
    for norm in laboratory.AXES["norm"]:
        place = tuple({**pick, "norm": norm}[name] for name in NAMES[:-1])
        seeds = curves.loc[place].unstack("step")
        table[chart["x"]] += [int(step) for step in seeds]
        for key, middle in (("low", seeds.min()), ("y", seeds.median()), ("high", seeds.max())):
            table[chart[key]] += middle.tolist()
        table[chart["series"]] += [label(data, "norm", norm)] * seeds.shape[1]
    return table


def shown_layers(data: dict[str, Any], layers: pd.DataFrame, pick: Pick) -> dict[str, list[Any]]:
    chart = data["charts"][2]
    found = layers
    for name in ("activation", "norm", "depth", "init"):
        found = found[found[name] == pick[name]]
    names = dict(zip(laboratory.STATISTICS, ("signal", "gradient"), strict=True))
    found = found.sort_values(
        ["statistic", "layer"], key=lambda column: column if column.name == "layer" else column.map(list(names).index)
    )
    values = found[["low", "median", "high"]].fillna(math.inf)
    return {
        chart["x"]: found.layer.tolist(),
        **{
            chart["low"]: values.low.tolist(),
            chart["y"]: values["median"].tolist(),
            chart["high"]: values.high.tolist(),
        },
        chart["series"]: found.statistic.map(names).tolist(),
    }


@pytest.fixture
def problems(
    data: dict[str, Any], trainings: pd.DataFrame, curves: pd.Series, layers: pd.DataFrame, visit: Visit
) -> Any:
    """A function that says in what the page does not show a choice."""

    def problems(pick: Pick) -> list[str]:
        data["charts"][2]["x_limits"] = [1, pick["depth"] + 1]
        shown = visit.page.locator("#laboratory")
        reading = shown.evaluate(READ)
        tables = [shown_map(data, trainings, pick), shown_curves(data, curves, pick), shown_layers(data, layers, pick)]
        places = [control["values"].index(pick[control["name"]]) for control in data["controls"]]
        controls = [value_at(control, place) for control, place in zip(data["controls"], places, strict=True)]
        found = frame_problems(data, {"say": reading["words"], "tables": tables}, controls, reading)
        seeds = trainings.loc[tuple(pick[name] for name in NAMES[:-1])]
        percents = 100 * seeds.accuracy
        for words in (
            f"{seeds.trained.sum()} of {len(seeds)} seeds",
            f"{percents.median():.1f} percent ({percents.min():.1f} to {percents.max():.1f})",
            *([f"In {seeds.diverged.sum()} of the {len(seeds)} the loss"] if seeds.diverged.any() else []),
        ):
            found += [] if words in reading["words"] else [f"{reading['words']!r} lacks {words!r}"]
        code = shown.locator("pre code").text_content()
        # A script writes 1.0 as 1.
        expected = re.sub(r"(\d)\.0\b", r"\1", laboratory.snippet(laboratory.configuration(**pick)))
        return found + ([] if code == expected else [f"the code is {code!r} instead of {expected!r}"])

    return problems


def choices() -> list[Pick]:
    """Some of the choices, others each day, and one that diverges."""
    draw = random.Random()
    lost = {"activation": "relu", "norm": "none", "depth": 30, "init": "normal_1", "lr": 3.0, "seed": 0}
    return [lost] + [{name: draw.choice(values) for name, values in laboratory.AXES.items()} for _ in range(SAMPLE)]


def test_links_to_choices(visit: Visit, problems: Any) -> None:
    numbers = visit.page.locator("#laboratory summary").filter(has_text="The numbers")
    numbers.click()
    for pick in choices():
        link = urlencode({"at": "laboratory", **pick})
        visit.page.evaluate("(link) => { location.hash = link; }", link)
        visit.page.evaluate("new Promise((done) => setTimeout(done, 30))")
        assert problems(pick) == [], pick
    numbers.click()


def test_each_control_moves(visit: Visit, problems: Any, data: dict[str, Any]) -> None:
    pick = {name: values[0] for name, values in laboratory.AXES.items()}
    visit.page.evaluate("(link) => { location.hash = link; }", urlencode({"at": "laboratory", **pick}))
    visit.page.evaluate("new Promise((done) => setTimeout(done, 30))")
    code = visit.page.locator("#laboratory summary").filter(has_text="Show the code")
    code.click()
    ways = cycle(MOVES)
    for number, control in enumerate(data["controls"]):
        pick[control["name"]] = control["values"][1]
        MOVES[next(ways)](visit.page.locator("#laboratory [data-control]").nth(number), 1)
        assert problems(pick) == []
    code.click()
    assert visit.problems == []


def test_the_code_can_be_shown(visit: Visit) -> None:
    visit.page.locator("#laboratory").get_by_text("Show the code").click()
    assert visit.page.locator("#laboratory pre code").is_visible()


STEPS = "(path) => (path.getAttribute('d').match(/[ML]/g) ?? []).length"
NOTE = """(slider) => {
  slider.shown = [];
  const note = () => slider.shown.push(slider.getAttribute("aria-valuetext"));
  new MutationObserver(note).observe(slider, {attributeFilter: ["aria-valuetext"]});
}"""
"""Keeps what a slider says, one thing after the other: a moment may pass before anyone can look."""


@pytest.fixture
def fresh(chromium: Browser, address: str) -> Iterator[Page]:
    """A reader who wants no motion, and has stored nothing."""
    context = chromium.new_context(reduced_motion="reduce")
    opened = Visit(context, address + PAGE)
    yield opened.page
    assert opened.problems == []
    context.close()


def test_train_plays_the_stored_moments_and_the_slider_moves_through_them(visit: Visit) -> None:
    box, moments = visit.page.locator("#laboratory"), len(laboratory.EDGES) - 1
    line, scrub = box.locator("[data-picture] [data-mark=line] path").first, box.locator(".explorer-beside input").first
    scrub.evaluate(NOTE)
    box.get_by_role("button", name="Train").click()
    expect(scrub).to_have_attribute("aria-valuetext", f"{laboratory.STEPS} steps")
    assert scrub.evaluate("(slider) => slider.shown") == [f"{edge} steps" for edge in laboratory.EDGES[1:]]
    assert line.evaluate(STEPS) >= moments
    scrub.fill("5")
    assert line.evaluate(STEPS) < moments
    scrub.fill(str(moments))


def test_who_wants_no_motion_sees_the_end(fresh: Page) -> None:
    fresh.get_by_role("button", name="Train").click()
    shown = fresh.locator(".explorer-beside input").first.get_attribute("aria-valuetext")
    assert shown in (None, f"{laboratory.STEPS} steps")


def test_a_pinned_choice_stays_beside_the_next(fresh: Page) -> None:
    legend = fresh.locator("#laboratory figure").nth(1).locator(".explorer-legend")
    fresh.get_by_role("button", name="Pin as A").click()
    fresh.locator("[data-control=activation]").select_option("2")
    expect(legend).to_have_text("A, pinnedB, now")
    expect(fresh.get_by_text("A: He, ReLU")).to_be_visible()
    fresh.get_by_role("button", name="Unpin A").click()
    expect(legend).not_to_contain_text("pinned")


def test_the_loss_axis_can_be_linear(fresh: Page) -> None:
    ticks = fresh.locator("#laboratory figure").nth(1).locator('[data-mark="y-axis tick label"] text')
    fresh.get_by_label("linear loss axis").check()
    assert [float(text) for text in ticks.all_text_contents()] == [0, 0.5, 1, 1.5, 2, 2.5, 3]


def test_every_goal_of_the_game_can_be_reached_and_none_by_chance(
    data: dict[str, Any], trainings: pd.DataFrame
) -> None:
    seeds = trainings.trained.groupby(NAMES[:-1]).sum()
    for goal in data["goals"]:
        there = seeds[
            [all(at[NAMES.index(name)] == value for name, value in goal["fixed"].items()) for at in seeds.index]
        ]
        assert 0 < (there >= data["goal_seeds"]).mean() < 0.5, goal["name"]


def test_the_game_is_won_and_remembered(fresh: Page, data: dict[str, Any], trainings: pd.DataFrame) -> None:
    goal = data["goals"][-1]
    seeds = trainings.trained.groupby(NAMES[:-1]).sum()
    win = dict(
        zip(
            NAMES,
            seeds[
                seeds.index.map(lambda at: dict(zip(NAMES, at, strict=False)).items() >= goal["fixed"].items())
            ].idxmax(),
            strict=False,
        )
    )
    fresh.locator("summary", has_text="Game").click()
    fresh.get_by_role("button", name=goal["name"]).click()
    expect(fresh.get_by_text("Not yet: 0 of 5 seeds; 1 setting tried.")).to_be_visible()
    fresh.evaluate("(link) => { location.hash = link; }", urlencode({"at": "laboratory", **win}))
    expect(fresh.get_by_text(re.compile("^Solved: [45] of 5 seeds; 2 settings tried"))).to_be_visible()
    fresh.reload()
    expect(fresh.locator("summary", has_text=f"1 of {len(data['goals'])} solved")).to_be_visible()


COUNT_SHIFTS = """window.shift = 0;
new PerformanceObserver((list) => list.getEntries().forEach((one) => { shift += one.value; }))
  .observe({ type: 'layout-shift', buffered: true });"""


def test_nothing_shifts_when_it_is_drawn(chromium: Browser, address: str) -> None:
    for width in (WIDE, PHONE):
        context = chromium.new_context(viewport={"width": width, "height": 640})
        opened = context.new_page()
        opened.add_init_script(COUNT_SHIFTS)
        opened.goto(address + PAGE)
        opened.locator("#laboratory [data-picture]").nth(2).wait_for()
        opened.evaluate("new Promise((done) => setTimeout(done, 300))")
        assert opened.evaluate("shift") < 0.05
        context.close()


def test_without_scripts_there_is_a_table(chromium: Browser, address: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + PAGE)
    assert page.locator("#laboratory table caption").is_visible()
    labels = [init["label"] for init in laboratory.INITS.values()]
    assert page.locator("#laboratory tbody th").all_text_contents() == labels
    assert page.locator("#laboratory thead tr").first.locator("th").all_text_contents() == [
        "normalization",
        "no normalization",
        "BatchNorm",
    ]
    context.close()
