"""Explorers in Python: what is measured is what the page holds, and what cannot be drawn is refused."""

import hashlib
import json
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from tutorial_utils import plotting
from tutorial_utils.explore import Bars, Choice, Explorer, Heatmap, Lines, Slider, explorer, live
from tutorial_utils.explore.live import ASSETS, SCRIPTS, STYLE, VIEW

SCHEME = Choice("scheme", {"kaiming_normal": "He", "xavier_normal": "Glorot"})
DEPTH = Slider("depth", [2, 3, 5])
LINES = Lines(x="layer", y="q", series="way", y_log=True)
GAIN = {"kaiming_normal": 1.0, "xavier_normal": 0.5}


def signals(scheme: str, depth: float) -> pd.DataFrame:
    layers = np.arange(1, int(depth) + 1)
    ways = {"forward": 1.0, "backward": 1.25}
    return pd.concat(
        [pd.DataFrame({"layer": layers, "q": (GAIN[scheme] * g) ** layers, "way": w}) for w, g in ways.items()]
    )


def sentence(rows: pd.DataFrame, scheme: str, depth: float) -> str:
    return f"{scheme}, {depth} layers: {rows.q.iloc[-1]:.3g}"


def make(measure: Any = signals, **changes: Any) -> Explorer:
    settings = {"name": "signals", "controls": [SCHEME, DEPTH], "charts": [LINES], "say": sentence} | changes
    return Explorer(measure, **settings)


def single(table: Any, chart: Any = None) -> Explorer:
    """An explorer of one state that measures the given table."""
    chart = chart or Lines(x="x", y="y")
    return make(lambda n: table, controls=[Slider("n", [1])], charts=[chart], say=lambda rows, n: "one")


def decode(data: dict[str, Any], frame: int, chart: int = 0) -> dict[str, list[Any]]:
    """The columns of a frame, read as the page's script reads them."""
    return {name: data["columns"][place] for name, place in data["frames"][frame]["tables"][chart].items()}


# --- states and frames --------------------------------------------------------------------------------


def test_the_last_control_changes_fastest() -> None:
    states = [(state["scheme"], state["depth"]) for state in make().states()]
    assert states == [(scheme, depth) for scheme in ("kaiming_normal", "xavier_normal") for depth in (2, 3, 5)]


def test_each_frame_is_its_states_measurement() -> None:
    shown = make()
    for state, frame in zip(shown.states(), shown.frames, strict=True):
        rows = signals(**state)
        assert frame["say"] == sentence(rows, **state)
        assert frame["tables"][0]["layer"] == rows.layer.tolist()
        assert frame["tables"][0]["way"] == rows.way.tolist()
        np.testing.assert_allclose(frame["tables"][0]["q"], rows.q, rtol=5e-3)


def test_each_state_is_measured_once() -> None:
    calls: list[tuple[str, float]] = []

    def count(scheme: str, depth: float) -> pd.DataFrame:
        calls.append((scheme, depth))
        return signals(scheme, depth)

    shown = make(count)
    assert calls == []
    shown.html()
    shown._repr_mimebundle_()
    assert len(calls) == len(set(calls)) == 6


def test_the_start_is_where_it_was_set() -> None:
    assert make(start={"depth": 3}).data()["start"] == [0, 1]
    assert make().data()["start"] == [0, 0]


def test_presets_are_whole_states_and_the_first_is_the_start() -> None:
    data = make(presets={"fail": {"scheme": "xavier_normal", "depth": 5}, "mend": {"depth": 2}}).data()
    assert data["start"] == [1, 2]
    assert [preset["at"] for preset in data["presets"]] == [{"scheme": 1, "depth": 2}, {"scheme": 1, "depth": 0}]


def test_the_page_asks_its_question_without_scripts() -> None:
    soup = BeautifulSoup(make(question="Does <it> train?", look="The line").html(), "html.parser")
    assert [line.get_text() for line in soup.find_all("p")] == ["Does <it> train?", "The line"]


def test_a_table_for_each_chart() -> None:
    ends = Bars(x="a", x_end="b", y="share")

    def measure(depth: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        return signals("kaiming_normal", depth), pd.DataFrame({"a": [0, 1], "b": [1, 2], "share": [0.25, 0.75]})

    data = make(measure, controls=[DEPTH], charts=[LINES, ends], say=lambda rows, depth: f"{len(rows)}").data()
    assert decode(data, 2, chart=1) == {"a": [0, 1], "b": [1, 2], "share": [0.25, 0.75]}
    assert data["frames"][2]["say"] == "10", "the sentence is about the rows of the first chart"


def test_equal_columns_are_stored_once() -> None:
    data = make().data()
    assert len({json.dumps(column) for column in data["columns"]}) == len(data["columns"])
    assert data["frames"][0]["tables"][0]["layer"] == data["frames"][3]["tables"][0]["layer"]


# --- numbers ------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.integers(-(10**12), 10**12).map(float)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_what_the_page_decodes_is_what_was_measured_to_three_digits(pairs: list[tuple[float, float]]) -> None:
    table = pd.DataFrame(pairs, columns=["x", "y"])
    chart = Lines(x="x", y="y", x_limits=(0, 1), y_limits=(0, 1))
    decoded = decode(json.loads(json.dumps(single(table, chart).data(), allow_nan=False)), 0)
    for name in ("x", "y"):
        for measured, shown in zip(table[name], decoded[name], strict=True):
            if math.isfinite(float(f"{measured:.3g}")):
                assert f"{shown:.3g}" == f"{measured + 0.0:.3g}"
            else:
                assert shown is None


@pytest.mark.parametrize(
    "value, shown",
    [
        *[(0.123456, 0.123), (1437, 1437), (1437.0, 1437), (1437.5, 1440), (1234567, 1.23e6), (-0.0, 0)],
        *[(3.9999999999999996, 4), (1437.0000000000002, 1437), (1e-20, 1e-20), (99.97, 100), (math.inf, None)],
        *[(True, 1), (np.bool_(False), 0), (np.float32(0.5), 0.5), (None, None), (pd.NA, None), ("He", "He")],
    ],
)
def test_rounding(value: object, shown: object) -> None:
    assert repr(explorer._number("y", value)) == repr(shown)


@pytest.mark.parametrize("value", [torch.tensor(1.0), 1 + 1j, [1.0]])
def test_what_is_no_number_is_refused_rather_than_lost(value: object) -> None:
    with pytest.raises(TypeError, match=r"column 'y' holds .*, but an explorer draws numbers and words"):
        explorer._number("y", value)


# --- limits -------------------------------------------------------------------------------------------


def limits(table: dict[str, list[Any]], chart: Any) -> tuple[Any, Any]:
    spec = single(pd.DataFrame(table), chart).data()["charts"][0]
    return tuple(spec["x_limits"]), tuple(spec["y_limits"])


def test_limits_hold_for_all_states() -> None:
    spec = make().data()["charts"][0]
    q = pd.concat([signals(**state) for state in make().states()]).q
    assert tuple(spec["x_limits"]) == (1, 5)
    assert spec["y_limits"] == pytest.approx((q.min(), q.max()), rel=5e-3)


def test_limits_include_bands_and_the_ends_of_bars() -> None:
    band = {"x": [0, 1], "y": [1, 2], "low": [-1, 0], "high": [3, 9]}
    assert limits(band, Lines(x="x", y="y", low="low", high="high")) == ((0, 1), (-1, 9))
    bars = {"a": [-2, 0], "b": [0, 7], "y": [0.25, 0.75]}
    assert limits(bars, Bars(x="a", x_end="b", y="y")) == ((-2, 7), (0, 0.75)), "bars stand on zero"


def test_limits_of_a_logarithm_leave_out_zero() -> None:
    assert limits({"x": [0, 1, 10], "y": [0.0, 1e-3, 10]}, Lines(x="x", y="y", x_log=True, y_log=True)) == (
        (1, 10),
        (1e-3, 10),
    )


def test_limits_that_were_given_are_kept() -> None:
    chart = Lines(x="x", y="y", x_limits=(0, 9), y_limits=(1, 2))
    assert limits({"x": [1], "y": [100]}, chart) == ((0, 9), (1, 2))


def test_limits_of_a_constant_and_of_nothing_have_room() -> None:
    assert limits({"x": [2], "y": [3]}, Lines(x="x", y="y", y_log=True)) == ((1.5, 2.5), (1.5, 6))
    assert limits({"x": [2, 3], "y": [None, None]}, Lines(x="x", y="y"))[1] == (0, 1)


def test_limits_of_a_map_are_those_of_its_values() -> None:
    table = pd.DataFrame({"x": [1, 2], "y": ["a", "b"], "loss": [0.5, None]})
    spec = single(table, Heatmap(x="x", y="y", value="loss", value_limits=(0, 1))).data()["charts"][0]
    assert tuple(spec["value_limits"]) == (0, 1)
    assert "x_limits" not in {name for name, value in spec.items() if value}


# --- colors -------------------------------------------------------------------------------------------


def test_colors_of_series() -> None:
    names = ["kaiming_normal", "mine", "other"]
    table = pd.DataFrame({"x": [1, 1, 1], "y": [1, 2, 3], "way": names})
    shown = single(table, Lines(x="x", y="y", series="way"))
    shown.colors = {"mine": "#123456"}
    series = shown.data()["charts"][0]["series_values"]
    assert list(series) == names
    assert series["kaiming_normal"] == plotting.color("kaiming_normal")
    assert series["mine"] == "#123456" and re.fullmatch("#[0-9A-F]{6}", series["other"])


# --- the page -----------------------------------------------------------------------------------------


def embedded(page: str) -> dict[str, Any]:
    script = BeautifulSoup(page, "html.parser").find("script")
    assert script is not None
    loaded: dict[str, Any] = json.loads(script.string or "")
    return loaded


def test_the_page_holds_the_data() -> None:
    assert embedded(make().html()) == json.loads(json.dumps(make().data()))


def test_two_runs_write_the_same_page() -> None:
    assert make().html() == make().html()


def test_no_word_ends_the_script_or_becomes_markup() -> None:
    nasty = "</script><!--<script><svg onload=alert(1)>&amp;"
    shown = make(
        controls=[Choice("n", {1: nasty})], measure=lambda n: signals("kaiming_normal", 2), say=lambda rows, n: nasty
    )
    soup = BeautifulSoup(shown.html(), "html.parser")
    assert len(soup.find_all("script")) == 1 and not soup.find("svg")
    assert embedded(shown.html())["frames"][0]["say"] == nasty
    caption = soup.find("caption")
    assert caption is not None and caption.get_text() == nasty


def test_the_table_shows_the_start() -> None:
    shown = make(start={"scheme": "xavier_normal", "depth": 3})
    soup = BeautifulSoup(shown.html(), "html.parser")
    caption, rows = soup.find("caption"), soup.select("tbody tr")
    assert caption is not None
    assert caption.get_text() == sentence(signals("xavier_normal", 3), "xavier_normal", 3)
    assert [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in rows] == [
        ["forward", "0.5", "0.25", "0.125"],
        ["backward", "0.625", "0.391", "0.244"],
    ]


def test_the_table_has_at_most_eight_columns_and_round_heads() -> None:
    edges = np.linspace(-0.3, 0.3, 31)
    bars = pd.DataFrame({"a": edges[:-1], "b": edges[1:], "share": 1 / 30})
    soup = BeautifulSoup(single(bars, Bars(x="a", x_end="b", y="share")).html(), "html.parser")
    head = [cell.get_text() for cell in soup.select("thead tr")[0].find_all("th")]
    assert head[0] == "a" and [float(text) for text in head[1:]] == [-0.3, -0.22, -0.14, -0.06, 0.04, 0.12, 0.2, 0.28]


def test_the_table_of_a_map_has_its_heights_as_rows() -> None:
    cells = pd.DataFrame({"lr": [0.1, 1, 0.1, 1], "start": ["He", "He", "N", "N"], "loss": [1, None, 3, 4]})
    soup = BeautifulSoup(single(cells, Heatmap(x="lr", y="start", value="loss")).html(), "html.parser")
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in soup.select("tbody tr")]
    assert rows == [["He", "1", ""], ["N", "3", "4"]]


def test_the_table_names_what_it_shows_and_rounds_its_heights() -> None:
    cells = pd.DataFrame({"lr": [0.1, 0.1], "std": [0.316227766, 1.0], "loss": [1, 2]})
    chart = Heatmap(x="lr", y="std", value="loss", x_label="learning rate", y_label="scale")
    heads = [head.get_text() for head in BeautifulSoup(single(cells, chart).html(), "html.parser").find_all("th")]
    assert heads == ["learning rate", "0.1", "scale", "", "0.316", "1"]
    lines = Lines(x="layer", y="q", series="way", x_label="layer l", y_label="second moment")
    page = BeautifulSoup(make(charts=[lines]).html(), "html.parser")
    assert [row.get_text("|", strip=True) for row in page.select("thead tr")] == ["layer l|1|2", "second moment"]


def test_the_table_of_what_is_missing() -> None:
    page = BeautifulSoup(single(pd.DataFrame({"x": [1, 2], "y": [None, None]})).html(), "html.parser")
    assert [cell.get_text() for cell in page.find_all("td")] == ["", ""]


def test_the_table_of_nothing() -> None:
    shown = single(pd.DataFrame({"x": [], "y": []}))
    assert BeautifulSoup(shown.html(), "html.parser").find("caption") is not None


# --- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Choice("a b", [1]), "name = 'a b', but a control sets a keyword argument"),
        (lambda: Choice("a", []), "values of 'a' are empty"),
        (lambda: Slider("a", []), "values of 'a' are empty"),
        (lambda: Slider("a", [1, 3, 2]), r"values of slider 'a' are \[1, 3, 2\], but they must rise"),
        (lambda: Slider("a", [1, 1]), "must rise"),
        (lambda: Slider("a", [0, 1], log=True), "values of slider 'a' begin at 0, but log needs positive ones"),
        (lambda: make(name="Not a name"), "name = 'Not a name', but it must be lower-case"),
        (lambda: make(controls=[]), r"controls are named \[\], but there must be at least one"),
        (lambda: make(controls=[DEPTH, DEPTH]), r"named \['depth', 'depth'\], but .* no name twice"),
        (lambda: make(charts=[]), "charts are empty"),
        (lambda: make(start={"depth": 4}), r"start has depth = 4, but it must be one of \[2, 3, 5\]"),
        (lambda: make(start={"width": 4}), r"start has width = 4, but it must be one of \['scheme', 'depth'\]"),
        (lambda: make(presets={"A": {"depth": 4}}), r"preset 'A' has depth = 4, but it must be one of \[2, 3, 5\]"),
        (
            lambda: make(charts=[Heatmap(x="x", y="y", value="q", picks={"width": "x"})]),
            "picks has 'width', but the controls are scheme, depth",
        ),
        (lambda: make(colors={"forward": "red"}), "colors has 'forward' in 'red', but .* like '#0072B2'"),
        (lambda: make(lambda **_: [signals("kaiming_normal", 2)] * 2).data(), "returned 2 tables for 1 charts"),
        (lambda: single(pd.DataFrame({"x": [1], "z": [1]})).data(), "no column 'y' to draw; they have x, z"),
        (lambda: single(pd.DataFrame({"x": ["a"], "y": [1]})).data(), "column 'x' holds 'a', but lines are drawn"),
    ],
)
def test_bad_input_is_repeated_with_what_is_allowed(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_too_many_numbers_for_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "MAX_NUMBERS", 10)
    with pytest.raises(ValueError, match=r"'signals' holds \d+ numbers, but a page bears at most 10"):
        make().data()


# --- with a kernel ------------------------------------------------------------------------------------


def test_python_answers_between_the_stops() -> None:
    answer = live.answer({"ask": "a-1", "state": {"scheme": "xavier_normal", "depth": 4}}, make().frame)
    assert answer["ask"] == "a-1"
    assert answer["frame"]["say"] == sentence(signals("xavier_normal", 4), "xavier_normal", 4)
    assert answer["frame"]["tables"][0]["layer"] == [1, 2, 3, 4] * 2
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("state, words", [({"scheme": "none", "depth": 2}, "KeyError: 'none'"), ({}, "TypeError")])
def test_an_error_comes_back_as_words(state: dict[str, Any], words: str) -> None:
    answer = live.answer({"ask": "a-2", "state": state}, make().frame)
    assert answer["ask"] == "a-2" and words in answer["error"] and "frame" not in answer


def test_a_widget_carries_the_drawing_code_and_answers_its_messages() -> None:
    shown = make()
    widget = live.widget(shown.data(), shown.frame)
    sent: list[Any] = []
    widget.send = sent.append
    widget._handle_custom_msg({"ask": "v-1", "state": {"scheme": "kaiming_normal", "depth": 4}}, [])
    assert [message["ask"] for message in sent] == ["v-1"] and sent[0]["frame"]["say"].startswith("kaiming_normal, 4")
    assert all(live.asset(name) in widget._esm for name in SCRIPTS) and live.asset(STYLE) == widget._css


def test_outside_a_kernel_there_is_no_widget() -> None:
    bundle = make()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == "<explorer signals: 6 states>"


def test_the_page_and_the_widget_are_given_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(explorer, "bundle", lambda data, frame: given.append(data) or {VIEW: {}})
    packed = make().data()
    calls = iter([packed])
    monkeypatch.setattr(Explorer, "data", lambda self: next(calls))
    bundle = make()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", VIEW} and given == [packed]


# --- assets -------------------------------------------------------------------------------------------


def test_every_asset_is_there() -> None:
    assert all((ASSETS / name).is_file() for name in (*SCRIPTS, STYLE))


def test_the_vendored_library_is_the_one_described() -> None:
    described = (ASSETS / "README.md").read_text("utf-8")
    digest = re.search("sha256 of `plot.min.js`: `([0-9a-f]{64})`", described)
    assert digest and digest[1] == hashlib.sha256((ASSETS / "plot.min.js").read_bytes()).hexdigest()


def test_each_part_of_the_vendored_library_has_its_license() -> None:
    described = re.findall(r"([@\w/-]+)@(\d+\.\d+\.\d+)", (ASSETS / "README.md").read_text("utf-8"))
    parts = {f"{name} {version}" for name, version in described if name not in ("esbuild", "d3")}
    heads = re.findall(r"(?:^|-{80}\n\n)(.+)\n", (ASSETS / "plot.LICENSE").read_text("utf-8"))
    assert {part for head in heads for part in head.split(", ")} == parts and len(parts) > 10


def test_the_drawing_code_uses_what_the_library_exports_and_nothing_else() -> None:
    entry = re.findall(r"^export \{(.+)\} from", (ASSETS / "README.md").read_text("utf-8"), re.MULTILINE)
    exported = {name for line in entry for name in line.split(", ")}
    used = set(re.findall(r"\bPlot\.(\w+)", live.asset("charts.js") + live.asset("explorer.js")))
    assert used == exported
