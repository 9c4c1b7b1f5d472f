"""The drawing of explorers in Chromium, on a small page of its own: each mark stands where its number belongs."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
from explorer_moves import MOVES, is_slider
from explorer_reading import CONTRAST, LINES, READ, explorers, frame_problems, problems, reading_problems, rows_of
from playwright.sync_api import Browser, Locator, Page, expect
from site_checks import PHONE, WIDE, Visit, served

from tutorial_utils.explore import Bars, Choice, Explorer, Heatmap, Lines, Slider
from tutorial_utils.explore.live import ASSETS, SCRIPTS, STYLE

# The theme's variables, as far as an explorer uses them.
THEME = """html { --pst-color-text-base: #222832; --pst-color-background: #fff; --pst-color-text-muted: #48566b }
  html[data-theme=dark] { --pst-color-text-base: #ced6dd; --pst-color-background: #14181e;
    --pst-color-text-muted: #9ca4af }
  body { background: var(--pst-color-background); color: var(--pst-color-text-base); font-family: sans-serif }"""
PAGE = """<!DOCTYPE html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>Explorers</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><style>{style}</style>
<link rel="stylesheet" href="{css}">{scripts}</head>
<body><main><article><h1>Explorers</h1>{body}</article></main></body></html>"""
GROWTH = {"he": 1.0, "glorot": 0.5, "large": 3.0}


def signals(start: str, depth: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lines with bands, beyond both limits, with a zero, a missing value, a missing series; bars of many shapes."""
    layers = np.arange(1, int(depth) + 1)
    parts = []
    for way, share in {"forward": 1.0, "backward": 0.5}.items():
        q = (GROWTH[start] * share) ** layers
        parts.append(pd.DataFrame({"layer": layers, "q": q, "low": q / 2, "high": q * 2, "way": way}))
    rows = pd.concat(parts, ignore_index=True)
    rows.loc[0, "q"] = 0.0
    rows.loc[2, "q"] = np.nan
    if start == "large":
        rows = rows[rows.way == "forward"]
    edges = np.linspace(-3, 3, 13)
    bars = pd.DataFrame({"a": edges[:-1], "b": edges[1:], "share": np.exp(-np.arange(12) / depth) * GROWTH[start]})
    return rows, bars


def words(rows: pd.DataFrame, start: str, depth: float) -> str:
    more = ", and a longer sentence than of any other start" * 3 if start == "large" else ""
    return f"{start}, {depth:g} layers: {rows.q.iloc[-1]:.3g}{more}"


def losses(momentum: float) -> pd.DataFrame:
    """A map with a zero, a missing value, one beyond each limit, and two framed cells."""
    rows = [
        {"lr": lr, "std": std, "loss": lr / std / (1.0 - momentum)} for std in (0.1, 1.0) for lr in (0.01, 0.1, 1.0)
    ]
    table = pd.DataFrame(rows).assign(best=lambda rows: rows.lr == 0.1)
    table.loc[0, "loss"], table.loc[5, "loss"] = 0.0, None
    return table


SIGNALS = Explorer(
    signals,
    name="signals",
    controls=[
        Choice("start", {"he": "He", "glorot": "Glorot", "large": "too large"}),
        Slider("depth", [3, 10, 30], label="layers", log=True),
    ],
    charts=[
        Lines(x="layer", y="q", low="low", high="high", series="way", y_log=True, y_limits=(1e-6, 1e6), rules=[1, 1e9]),
        Bars(x="a", x_end="b", y="share", title="Shares", x_limits=(-2.25, 3), y_limits=(0, 2)),
    ],
    say=words,
    start={"depth": 10},
    colors={"forward": "#000000", "backward": "#08306b"},  # the darkest of the book, which the dark theme must bear
)
LOSS = Heatmap(
    x="lr", y="std", value="loss", value_log=True, value_limits=(0.2, 2e3), mark="best", title="Loss of each start"
)
MOMENTUM = Explorer(
    losses,
    name="momentum",
    controls=[Slider("momentum", [0.9, 0.99, 0.999])],
    charts=[LOSS],
    say=lambda rows, momentum: f"With {momentum:g} the largest loss is {rows.loss.max():.3g}.",
)
ONLY = Explorer(
    lambda depth, width: pd.DataFrame({"layer": [1.0, 2.0, 4.0], "q": [0.5, depth * width, 2.5]}),
    name="only",
    controls=[Slider("depth", [10]), Slider("width", [1, 1.125], log=True)],
    charts=[Lines(x="layer", y="q", dots=True, x_limits=(1, 2))],
    say=lambda rows, depth, width: f"{depth * width:g}",
)
ALL = {shown.name: shown for shown in (SIGNALS, MOMENTUM, ONLY)}
MARKUP = "".join(shown.html() for shown in ALL.values())
DATA = explorers(MARKUP)


def page(body: str, theme: str = "light", style: str = "") -> str:
    scripts = "".join(f'<script defer src="{name}"></script>' for name in SCRIPTS)
    return PAGE.format(theme=theme, style=THEME + style, css=STYLE, scripts=scripts, body=body)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, beside the scripts that they load."""
    folder = tmp_path_factory.mktemp("explorers")
    for name in (*SCRIPTS, STYLE):
        (folder / name).write_bytes((ASSETS / name).read_bytes())
    for theme in ("light", "dark"):
        (folder / f"{theme}.html").write_text(page(MARKUP, theme), "utf-8")
    return folder


@pytest.fixture(scope="module")
def root(folder: Path) -> Iterator[str]:
    with served(folder) as url:
        yield url


@pytest.fixture
def visit(open_page: Callable[..., Visit], root: str) -> Callable[..., Visit]:
    """A function that opens the page in a theme, at a width, with something behind the #."""

    def open_(theme: str = "light", width: int = WIDE, link: str = "") -> Visit:
        return open_page(f"{root}{theme}.html{link}", theme, width)

    return open_


@pytest.fixture(scope="module")
def touched(chromium: Browser, root: str) -> Iterator[Page]:
    """The page on a touch screen."""
    context = chromium.new_context(has_touch=True, is_mobile=True, viewport={"width": 400, "height": 800})
    opened = context.new_page()
    opened.goto(f"{root}light.html")
    yield opened
    context.close()


def shown(opened: Page, name: str) -> Locator:
    return opened.locator(f"good-explorer#{name}")


def wrong(opened: Page, **places: list[int]) -> list[str]:
    return [p for name, at in places.items() for p in problems(DATA[name], at, shown(opened, name))]


START = {"signals": [0, 1], "momentum": [0], "only": [0, 0]}

# --- states -------------------------------------------------------------------------------------------


def test_the_start(visit: Callable[..., Visit]) -> None:
    opened = visit()
    assert opened.problems + wrong(opened.page, **START) == []


@pytest.mark.parametrize("move", MOVES)
def test_each_control_moves_to_each_of_its_places(move: str, visit: Callable[..., Visit], touched: Page) -> None:
    opened = touched if move == "touch" else visit().page
    for name, start in START.items():
        for details in shown(opened, name).locator("summary").filter(has_text="The numbers").all():
            details.click()
        controls, at = shown(opened, name).locator("[data-control]"), list(start)
        for number, control in enumerate(DATA[name]["controls"]):
            for place in [*range(len(control["values"])), 0]:
                at[number] = place
                MOVES[move](controls.nth(number), place)
                assert wrong(opened, **{name: at}) == []


def test_home_and_end(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    slider = shown(opened, "momentum").locator("input")
    slider.press("End")
    assert wrong(opened, momentum=[2]) == []
    slider.press("Home")
    assert wrong(opened, momentum=[0]) == []


def test_nothing_below_moves_when_a_control_does(visit: Callable[..., Visit]) -> None:
    opened = visit(width=PHONE).page
    explorer, heights = shown(opened, "signals"), set()
    for place in (2, 0, 1):
        MOVES["keyboard"](explorer.locator("select"), place)
        heights.add((explorer.bounding_box() or {})["height"])
    assert len(heights) == 1


def test_between_two_layers_is_no_tick(visit: Callable[..., Visit]) -> None:
    assert [text for text, _ in shown(visit().page, "only").evaluate(READ)["charts"][0]["x"]] == ["1", "2"]


def test_the_legend_shows_dashes_and_dots(visit: Callable[..., Visit]) -> None:
    dotted = Lines(x="layer", y="q", series="way", dots=True, y_log=True)
    opened = visit().page
    controls, say = [Slider("n", [3])], lambda rows, n: "three"
    explorer = Explorer(lambda n: signals("he", n)[0], name="dots", controls=controls, charts=[dotted], say=say)
    made = mount(opened, explorer, {key(n=3): computed(explorer, n=3)})
    assert made.locator(".explorer-legend line").count() == made.locator(".explorer-legend circle").count() == 2
    assert shown(opened, "signals").locator(".explorer-legend circle").count() == 0


def other(text: str) -> str:
    """The same with another first digit."""
    return re.sub("[0-9]", lambda digit: str(9 - int(digit[0])), text, count=1)


Reading = dict[str, Any]
FAULTS: dict[str, tuple[str, Callable[[Reading], None]]] = {
    "words": ("signals", lambda reading: reading.update(words=other(reading["words"]))),
    "choice": ("signals", lambda reading: reading["controls"].__setitem__(0, "Glorot")),
    "slider": ("signals", lambda reading: reading["controls"].__setitem__(1, "30")),
    "line": ("signals", lambda reading: reading["charts"][0]["lines"].__setitem__(1, "M60,30L70,40")),
    "one line less": ("signals", lambda reading: reading["charts"][0]["lines"].pop()),
    "band": ("signals", lambda reading: reading["charts"][0]["areas"].reverse()),
    "off the chart": ("signals", lambda reading: reading["charts"][0].update(texts=["7, off the chart"])),
    "line that leaves": ("signals", lambda reading: reading["charts"][0].update(outside=1)),
    "axis": ("signals", lambda reading: reading["charts"][0]["y"].__setitem__(0, ["10⁻⁴", 194])),
    "bar": ("signals", lambda reading: reading["charts"][1]["bars"][3].__setitem__(1, 99.0)),
    "one bar less": ("signals", lambda reading: reading["charts"][1]["bars"].pop()),
    "name": ("signals", lambda reading: reading["charts"][1].update(label="Shares")),
    "table": ("signals", lambda reading: reading["tables"][1][2].__setitem__(1, "7")),
    "row": ("signals", lambda reading: reading["tables"][1].pop()),
    "colors": ("momentum", lambda reading: reading["charts"][0]["cells"].sort(reverse=True)),
    "missing": ("momentum", lambda reading: reading["charts"][0]["cells"].__setitem__(5, "rgb(9, 9, 9)")),
    "text": ("momentum", lambda reading: reading["charts"][0]["texts"].__setitem__(1, "7")),
    "frame": ("momentum", lambda reading: reading["charts"][0].update(frames=1)),
}


def test_the_reading_notices_each_fault(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    for name, places in START.items():
        shown(opened, name).locator("summary").first.click()
        assert wrong(opened, **{name: places}) == []
    for fault, (name, spoil) in FAULTS.items():
        reading = shown(opened, name).evaluate(READ)
        spoil(reading)
        data, places = DATA[name], START[name]
        assert reading_problems(data, places, reading) != [], fault


def test_hovering_shows_the_numbers(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    pictures = opened.locator("svg[role=img]")
    expected = {0: "forward layer: 5 q: 1 from 0.5 to 2", 1: "0.5 to 1 share: 0.497", 2: "lr: 1 std: 0.1 loss: 100"}
    targets = {
        0: "[data-mark=line] path",
        1: "[data-mark=rect] rect:nth-child(7)",
        2: "[data-mark=cell] rect:nth-child(3)",
    }
    for number, text in expected.items():
        picture = pictures.nth(number)
        picture.scroll_into_view_if_needed()
        box = picture.locator(targets[number]).first.bounding_box()
        assert box
        middle = box["x"] + box["width"] * (0.38 if number == 0 else 0.5)
        opened.mouse.move(middle, box["y"] + (2 if number == 1 else box["height"] / 2 if number else 0))
        tip = picture.locator("> g").last
        expect(tip).to_contain_text(text.split()[0])
        assert " ".join(re.split("[\\s\u200b]+", tip.locator("text").first.text_content() or "")).strip() == text


# --- links --------------------------------------------------------------------------------------------


def test_the_address_follows_and_restores_the_state(visit: Callable[..., Visit]) -> None:
    opened = visit()
    MOVES["keyboard"](shown(opened.page, "signals").locator("input"), 2)
    opened.page.wait_for_url("**#at=signals&start=he&depth=30")
    assert opened.page.evaluate("history.length") == visit().page.evaluate("history.length"), (
        "going back leaves the page"
    )
    again = visit(link="#" + opened.page.url.partition("#")[2])
    assert wrong(again.page, **START | {"signals": [0, 2]}) == []
    expect(shown(again.page, "signals")).to_be_in_viewport()


def test_many_moves_rewrite_the_address_once(visit: Callable[..., Visit]) -> None:
    opened = visit()
    opened.page.evaluate("""() => { window.count = 0; const old = history.replaceState.bind(history);
      history.replaceState = (...all) => { window.count++; old(...all); }; }""")
    opened.page.evaluate("""() => { const slider = document.querySelector('#momentum input');
      for (let k = 0; k < 300; k++) { slider.value = k % 3; slider.dispatchEvent(new Event('input')); } }""")
    opened.page.wait_for_url("**#at=momentum&momentum=0.999")
    assert opened.page.evaluate("window.count") == 1 and opened.problems == []


@pytest.mark.parametrize(
    "link, places",
    [
        ({"at": "signals", "start": "large", "depth": 3}, {"signals": [2, 0]}),
        ({"depth": "3.0", "momentum": "99e-2"}, {"signals": [0, 0], "momentum": [1]}),
        ({"at": "momentum", "momentum": 0.999, "depth": 3}, {"momentum": [2]}),
        ({"at": "nobody", "depth": 3}, {}),
        ({"at": "signals", "start": "<b>", "depth": 4}, {}),
        ({"signals": ""}, {}),
    ],
)
def test_links(link: dict[str, Any], places: dict[str, list[int]], visit: Callable[..., Visit]) -> None:
    loaded = visit(link=f"#{urlencode(link)}")
    assert loaded.problems + wrong(loaded.page, **START | places) == []


def test_a_link_on_the_page_itself(visit: Callable[..., Visit]) -> None:
    opened = visit()
    opened.page.evaluate("location.hash = 'at=signals&depth=30'")
    expect(shown(opened.page, "signals").locator("input")).to_have_attribute("aria-valuetext", "30")
    opened.page.evaluate("location.hash = 'at=signals&depth=4&start=nobody'")
    opened.page.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert opened.problems + wrong(opened.page, **START | {"signals": [0, 2]}) == []


# --- readers without scripts, with other screens --------------------------------------------------------


def test_without_scripts_there_is_a_table_that_says_the_same(chromium: Browser, root: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(f"{root}light.html")
    for name, explorer in ALL.items():
        caption = shown(opened, name).locator("table caption")
        assert caption.is_visible()
        assert caption.inner_text() == explorer.say(explorer.tables(explorer.start)[0], **explorer.start)
        assert shown(opened, name).locator("td").first.is_visible()
    assert "{" not in opened.locator("main").inner_text(), "the data is not to be read"
    context.close()


def test_the_room_is_kept_until_the_scripts_draw(chromium: Browser, folder: Path) -> None:
    (folder / "unscripted.html").write_text(page(MARKUP).replace("<script defer", "<script type='text/none'"), "utf-8")
    opened = chromium.new_page()
    opened.goto((folder / "unscripted.html").as_uri())
    assert not shown(opened, "signals").locator("table").is_visible()
    assert (shown(opened, "signals").bounding_box() or {})["height"] > 400
    opened.close()


def test_print(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    opened.emulate_media(media="print")
    assert opened.locator("[data-picture]").count() == 4
    assert all(picture.is_visible() for picture in opened.locator("[data-picture]").all())
    assert not opened.locator("summary").first.is_visible(), "what is folded cannot be opened on paper"
    assert wrong(opened, **START) == []
    assert len(opened.pdf()) > 10_000


def test_the_dark_theme_prints_on_white(visit: Callable[..., Visit]) -> None:
    opened = visit("dark").page
    opened.emulate_media(media="print")
    opened.add_style_tag(content="body { background: #fff !important }")
    assert shown(opened, "signals").evaluate("(root) => getComputedStyle(root).backgroundColor") == "rgb(255, 255, 255)"
    assert min(opened.locator(LINES).evaluate_all(CONTRAST)) > 3


def test_nothing_moves_by_itself(chromium: Browser, root: str) -> None:
    context = chromium.new_context(reduced_motion="reduce")
    opened = context.new_page()
    opened.goto(f"{root}light.html")
    MOVES["keyboard"](shown(opened, "signals").locator("input"), 2)
    assert opened.evaluate("document.getAnimations().length") == 0
    moving = """[...document.querySelectorAll('good-explorer, good-explorer *')].filter((element) => {
      const style = getComputedStyle(element);
      return style.transitionDuration !== '0s' || style.animationName !== 'none'; }).length"""
    assert opened.evaluate(moving) == 0
    context.close()


@pytest.mark.parametrize("theme, width", [("light", WIDE), ("dark", PHONE)])
def test_accessibility_and_room(theme: str, width: int, visit: Callable[..., Visit]) -> None:
    opened = visit(theme, width)
    for summary in opened.page.locator("summary:visible").all():
        summary.click()
    problems = opened.problems + opened.content() + opened.layout()
    assert problems + opened.accessibility() + opened.contrast() == []
    assert wrong(opened.page, **START) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_of_what_is_drawn(theme: str, visit: Callable[..., Visit]) -> None:
    opened = visit(theme).page
    lines = opened.locator(f"{LINES}, .explorer-chart [aria-hidden] [data-mark$=tick], .explorer-legend line")
    texts = opened.locator(".explorer-chart [aria-hidden] [data-mark$=label] text")
    assert lines.count() > 6 and texts.count() > 20
    assert min(lines.evaluate_all(CONTRAST)) > 3
    assert min(texts.evaluate_all(CONTRAST)) > 4.5


UNDER_TEXT = """() => {
  const cells = [...document.querySelector('#momentum [data-mark=cell]').children];
  const known = cells.map((cell) => cell.getAttribute('fill')).filter((color) => color.startsWith('rgb('));
  document.querySelectorAll('#momentum [data-mark=text] text').forEach((text, k) => { text.dataset.cell = known[k]; });
}"""


def test_contrast_of_the_numbers_on_a_map(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    for step in range(3):
        MOVES["keyboard"](shown(opened, "momentum").locator("input"), step)
        opened.evaluate(UNDER_TEXT)
        ratios = shown(opened, "momentum").locator("svg[role=img] [data-mark=text] text").evaluate_all(CONTRAST)
        assert len(ratios) == 5 and min(ratios) > 4.5


def test_focus_is_visible_and_names_are_read(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.dataset.control") == "start"
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown(opened, "signals").locator("summary").first.focus()
    assert opened.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineOffset)") <= -3
    explorer = opened.get_by_role("group", name="Explorer: signals")
    slider = explorer.get_by_role("slider", name="layers", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", "10")
    expect(explorer.get_by_role("combobox", name="start", exact=True)).to_have_value("0")
    expect(explorer.get_by_role("status")).to_have_text(DATA["signals"]["frames"][1]["say"])
    expect(explorer.get_by_role("img", name="Shares. he, 10 layers")).to_be_visible()


def test_controls_are_large_enough_for_a_finger(touched: Page) -> None:
    heights = touched.evaluate(
        "[...document.querySelectorAll('.explorer-controls label')].map((label) => label.offsetHeight)"
    )
    assert min(heights) >= 44


def test_a_narrower_window_gets_a_narrower_picture(visit: Callable[..., Visit]) -> None:
    opened = visit()
    picture = opened.page.locator("#momentum svg[role=img]")
    before = int(picture.get_attribute("width") or 0)
    assert opened.page.locator("#momentum [data-mark=text] text").count() == 5
    opened.resize(PHONE)
    assert int(picture.get_attribute("width") or 0) < min(before, PHONE)
    assert wrong(opened.page, **START) == []


def test_a_page_from_a_file(chromium: Browser, folder: Path) -> None:
    opened = Visit(chromium.new_context(), (folder / "light.html").as_uri())
    MOVES["keyboard"](shown(opened.page, "signals").locator("input"), 2)
    opened.page.wait_for_url("**#at=signals&start=he&depth=30")
    assert opened.problems + wrong(opened.page, **START | {"signals": [0, 2]}) == []
    opened.page.context.close()


# --- frames that a script or a kernel computes -----------------------------------------------------------

MOUNT = """({ data, frames }) => {
  const root = document.createElement('div');
  root.id = 'made';
  document.querySelector('article').append(root);
  window.asked = [];
  window.answers = {};
  const frame = (places, state) => {
    window.asked.push(state);
    const found = frames[JSON.stringify(state)];
    return found ?? new Promise((done, failed) => { window.answers[JSON.stringify(state)] = { done, failed }; });
  };
  GoodStarts.mount(root, { ...data, frames: undefined }, { frame, live: true });
}"""


def mount(opened: Page, explorer: Explorer, frames: dict[str, Any]) -> Locator:
    data = json.loads(json.dumps(explorer.data()))
    opened.evaluate(MOUNT, {"data": data, "frames": frames})
    return opened.locator("#made")


def key(**state: Any) -> str:
    return json.dumps(state, separators=(",", ":"))


def computed(explorer: Explorer, **state: Any) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(json.dumps(explorer.frame(state)))
    return frame


def test_a_frame_that_holds_its_columns_and_its_code(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    frame = computed(ONLY, depth=10, width=1) | {"code": "print(1 < 2)\n"}
    # One row whose number is also the number of a stored column: it must not be taken for one.
    frame["tables"] = [{"layer": [1], "q": [2]}]
    made = mount(opened, ONLY, {key(depth=10, width=1): frame})
    made.locator("summary").first.click()
    assert frame_problems(DATA["only"], frame, ["10", "1"], made.evaluate(READ)) == []
    assert rows_of(DATA["only"], frame["tables"][0]) == [{"layer": 1, "q": 2}]
    made.get_by_text("Show the code").click()
    expect(made.locator("pre code")).to_have_text("print(1 < 2)\n")
    assert not shown(opened, "only").get_by_text("Show the code").is_visible()


def test_answers_that_come_late_are_left_out(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    made = mount(opened, MOMENTUM, {key(momentum=value): computed(MOMENTUM, momentum=value) for value in (0.9, 0.999)})
    slider = made.locator("input")
    slider.press("ArrowRight")
    expect(made).to_have_attribute("aria-busy", "true")
    slider.press("ArrowRight")
    expect(made).not_to_have_attribute("aria-busy", "true")
    opened.evaluate(
        "(frame) => answers[JSON.stringify({ momentum: 0.99 })].done(frame)", computed(MOMENTUM, momentum=0.99)
    )
    assert frame_problems(DATA["momentum"], computed(MOMENTUM, momentum=0.999), ["0.999"], made.evaluate(READ)) == []


def test_an_error_is_said_where_the_result_would_be(visit: Callable[..., Visit]) -> None:
    opened = visit().page
    made = mount(opened, MOMENTUM, {key(momentum=0.9): computed(MOMENTUM, momentum=0.9)})
    made.locator("input").press("End")
    opened.evaluate("answers[JSON.stringify({ momentum: 0.999 })].failed(new Error('ValueError: too large'))")
    expect(made.get_by_role("status")).to_have_text("ValueError: too large")
    expect(made).not_to_have_attribute("aria-busy", "true")


@pytest.mark.parametrize(
    "keys, value", [("Shift+ArrowRight", 0.909), ("ArrowRight", 0.99), ("Shift+ArrowLeft", 0.9), ("End", 0.999)]
)
def test_with_a_kernel_a_slider_also_stops_between(keys: str, value: float, visit: Callable[..., Visit]) -> None:
    opened = visit().page
    frames = {key(momentum=v): computed(MOMENTUM, momentum=v) for v in (0.9, 0.909, 0.99, 0.999)}
    made = mount(opened, MOMENTUM, frames)
    made.locator("input").press(keys)
    assert opened.evaluate("asked.at(-1)") == {"momentum": value}
    assert frame_problems(DATA["momentum"], frames[key(momentum=value)], [f"{value:g}"], made.evaluate(READ)) == []


SWEEP = """(control) => {
  const root = document.createElement('div'), seen = [];
  const data = { name: 'x', controls: [control], charts: [], start: [0] };
  GoodStarts.mount(root, data, { live: true, frame: (places, state) => { seen.push(state.v); } });
  const slider = root.querySelector('input');
  for (let at = 0; at <= control.values.length - 1; at += 0.0625) {
    slider.value = at;
    slider.dispatchEvent(new Event('input'));
  }
  return seen.slice(1);
}"""


@pytest.mark.parametrize(
    "slider",
    [
        Slider("v", [0.9, 0.99, 0.999]),
        Slider("v", [3, 10, 30], log=True),
        Slider("v", [0.001, 1.0], log=True),
        Slider("v", [0, 0.5, 20]),
    ],
)
def test_values_between_stops_are_round_and_rise(slider: Slider, visit: Callable[..., Visit]) -> None:
    seen, values = visit().page.evaluate(SWEEP, json.loads(json.dumps(slider.spec()))), slider.values
    assert seen == sorted(seen) and seen[0] == values[0] and seen[-1] == values[-1]
    assert set(values) <= set(seen) and len(set(seen)) > 2 * len(values)
    assert all(float(f"{value:.4g}") == value for value in seen)
    assert slider.values != [3, 10, 30] or all(isinstance(value, int) for value in seen)


CHOSEN = Explorer(
    lambda start, rate: pd.DataFrame(
        {"start": s, "lr": lr, "loss": lr, "here": start == key and rate == lr}
        for key, s in (("he", "He"), ("glorot", "Glorot"))
        for lr in (0.01, 0.1)
    ),
    name="chosen",
    controls=[Choice("start", {"he": "He", "glorot": "Glorot"}), Slider("rate", [0.01, 0.1])],
    charts=[Heatmap(x="lr", y="start", value="loss", mark="here", picks={"start": "start", "rate": "lr"})],
    say=lambda rows, start, rate: f"{start} at {rate}",
    presets={"A failure": {"start": "glorot", "rate": 0.1}, "Its cure": {"start": "he"}},
    question="Which start?",
    look="The framed cell",
)


@pytest.fixture
def choosing(visit: Callable[..., Visit]) -> Locator:
    return mount(visit().page, CHOSEN, {key(**s): computed(CHOSEN, **s) for s in CHOSEN.states()})


def test_a_cell_of_a_map_is_chosen_by_mouse_and_by_keyboard(choosing: Locator) -> None:
    says = choosing.get_by_role("status")
    expect(says).to_have_text("glorot at 0.1")
    choosing.get_by_role("button", name="start He, lr 0.01, loss 0.01").click()
    expect(says).to_have_text("he at 0.01")
    for press, told in {"ArrowRight": "he at 0.1", "ArrowUp": "glorot at 0.1", "ArrowLeft": "glorot at 0.01"}.items():
        choosing.page.keyboard.press(press)
        expect(says).to_have_text(told)
        assert choosing.page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_presets_choose_whole_states_and_say_which_one_stands(choosing: Locator) -> None:
    failure, cure = (choosing.get_by_role("button", name=label) for label in CHOSEN.presets)
    expect(failure).to_have_attribute("aria-pressed", "true")
    cure.click()
    expect(choosing.get_by_role("status")).to_have_text("he at 0.1")
    expect(cure).to_have_attribute("aria-pressed", "true")
    expect(failure).to_have_attribute("aria-pressed", "false")
    expect(choosing.page.get_by_role("group", name="Explorer: Which start?")).to_be_visible()


def test_the_last_state_stays_as_a_ghost(visit: Callable[..., Visit]) -> None:
    explorer = shown(visit().page, "signals")
    ghosts, line = explorer.locator(".explorer-ghost [data-mark=line] path"), explorer.locator(f"{LINES} path").first
    note = explorer.get_by_text("Faint: before the last change.")
    assert ghosts.count() == 0 and not note.is_visible()
    before = line.get_attribute("d")
    MOVES["keyboard"](explorer.locator("select"), 1)
    assert ghosts.first.get_attribute("d") == before != line.get_attribute("d")
    expect(note).to_be_visible()


def test_sliders_of_the_page_have_no_more_than_their_stops(visit: Callable[..., Visit]) -> None:
    for control in visit().page.locator("good-explorer [data-control]").all():
        assert not is_slider(control) or control.get_attribute("step") == "1"
