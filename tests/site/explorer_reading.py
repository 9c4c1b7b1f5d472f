"""What an explorer shows, read back through its own axes, and compared with the numbers that the page holds."""

import json
import math
import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

from bs4 import BeautifulSoup
from playwright.sync_api import Locator

PIXEL = 0.6  # how far a mark may stand from where its number belongs
READ = """(root) => {
  const all = (element, selector) => [...element.querySelectorAll(selector)];
  const ticks = (axes, way) => all(axes, `[data-mark="${way}-axis tick label"] text`).map((text) => [text.textContent,
    +text.getAttribute('transform').match(/translate\\(([^,]+),([^)]+)\\)/)[way === 'x' ? 1 : 2]]);
  const marks = (svg, name, tag) => all(svg, `g[data-mark="${name}"]`).map((group) => all(group, tag));
  // The lines that leave the frame of the axes, in pixels, the ghost's too.
  const outside = (svg) => {
    const [top, bottom] = svg.scale('y').range ?? [], ends = [top, bottom].sort((a, b) => a - b);
    return all(svg.parentElement, ':scope > svg:not(:first-child) [data-mark=line] path').filter((path) => {
      const box = path.getBBox();
      return box.y < ends[0] - 0.6 || box.y + box.height > ends[1] + 0.6;
    }).length;
  };
  const shape = (rect) => ['x', 'y', 'width', 'height'].map((name) => +rect.getAttribute(name));
  return {
    words: root.querySelector('.explorer-words').textContent,
    controls: all(root, '[data-control]').map((control) =>
      control.tagName === 'SELECT' ? control.selectedOptions[0].text : control.getAttribute('aria-valuetext')),
    charts: all(root, '.explorer-chart').map((chart) => {
      const axes = chart.firstElementChild, svg = chart.querySelector('[data-picture]');
      return {
        label: svg.getAttribute('aria-label'), x: ticks(axes, 'x'), y: ticks(axes, 'y'),
        lines: marks(svg, 'line', 'path').map((paths) => paths.map((path) => path.getAttribute('d')).join('')),
        areas: marks(svg, 'area', 'path').map((paths) => paths.map((path) => path.getAttribute('d')).join('')),
        bars: marks(svg, 'rect', 'rect').flat().map(shape),
        cells: marks(svg, 'cell', 'rect').slice(0, 1).flat().map((cell) => cell.getAttribute('fill')),
        frames: marks(svg, 'cell', 'rect').slice(1).flat().length,
        texts: marks(svg, 'text', 'text').flat().map((text) => text.textContent).filter((text) => !'▲▼'.includes(text)),
        outside: outside(svg),
      };
    }),
    tables: all(root, '.explorer-more table').map((table) =>
      all(table, 'tbody tr').map((row) => [...row.cells].map((cell) => cell.textContent))),
  };
}"""

# How much each element contrasts with what is behind it, a map's cell or the page. A canvas resolves the colors as the
# browser does, after all mixing and transparency.
CONTRAST = """(elements) => elements.map((element) => {
  const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
  const light = (...colors) => {
    for (const color of colors) { pen.fillStyle = color; pen.fillRect(0, 0, 1, 1); }
    const [red, green, blue] = [...pen.getImageData(0, 0, 1, 1).data].map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const page = getComputedStyle(document.body).backgroundColor, { fill, stroke } = getComputedStyle(element);
  const two = [light(page, element.dataset.cell ?? page), light(page, stroke === 'none' ? fill : stroke)];
  two.sort((a, b) => a - b);
  return (two[1] + 0.05) / (two[0] + 0.05);
})"""
LINES = "svg[role=img] [data-mark=line]"

Data = dict[str, Any]
Rows = list[dict[str, Any]]


def explorers(page: str) -> dict[str, Data]:
    """The data of each explorer of a page's HTML, by name."""
    found = BeautifulSoup(page, "html.parser").find_all("good-explorer")
    return {str(element["id"]): json.loads(element.script.string) for element in found}


def value_at(control: Data, place: int) -> str:
    """What a control says at a place."""
    return str(control["labels"][place]) if control["kind"] == "choice" else f"{control['values'][place]:g}"


def frame_at(data: Data, places: list[int]) -> Data:
    """The frame of a state."""
    number = 0
    for control, place in zip(data["controls"], places, strict=True):
        number = number * len(control["values"]) + place
    frame: Data = data["frames"][number]
    return frame


def rows_of(data: Data, table: Data) -> Rows:
    """The rows of a frame's table, whether it names its columns by number or holds them."""
    columns = {name: at if isinstance(at, list) else data["columns"][at] for name, at in table.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def problems(data: Data, places: list[int], shown: Locator) -> list[str]:
    """In what an explorer does not show a state, in its words, controls, marks and table of numbers."""
    return reading_problems(data, places, shown.evaluate(READ))


def reading_problems(data: Data, places: list[int], shown: dict[str, Any]) -> list[str]:
    """In what a reading differs from a state."""
    expected = [value_at(control, place) for control, place in zip(data["controls"], places, strict=True)]
    return frame_problems(data, frame_at(data, places), expected, shown)


def frame_problems(data: Data, frame: Data, controls: list[str], shown: dict[str, Any]) -> list[str]:
    """In what a reading differs from a frame."""
    found = []
    if shown["words"] != frame["say"]:
        found.append(f"it says {shown['words']!r} instead of {frame['say']!r}")
    for is_, should in zip(shown["controls"], controls, strict=True):
        if is_ != should and not _close(is_, should):
            found.append(f"a control is at {is_!r} instead of {should!r}")
    tables = shown["tables"] or [None] * len(data["charts"])
    for chart, table, drawn, numbers in zip(data["charts"], frame["tables"], shown["charts"], tables, strict=True):
        rows = rows_of(data, table)
        found += MARKS[chart["kind"]](chart, rows, drawn)
        found += [] if frame["say"] in drawn["label"] else [f"its picture is called {drawn['label']!r}"]
        found += _table(chart, rows, numbers) if numbers is not None else []
    return [f"{data['name']}: {problem}" for problem in found]


def _close(text: str, number: str) -> bool:
    try:
        return math.isclose(float(text), float(number), rel_tol=5.1e-3)
    except ValueError:
        return False


# --- axes ---------------------------------------------------------------------------------------------

SUPERSCRIPTS = {ord(sign): digit for sign, digit in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True)}


def _number(label: str) -> float:
    if power := re.fullmatch("10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", label):
        return float(10 ** int(power[1].translate(SUPERSCRIPTS)))
    return float(label.replace("−", "-").replace(",", ""))


FAR = 1e300


class Axis:
    """Where numbers stand, as the labels of an axis say."""

    def __init__(self, chart: Data, drawn: Data, way: str) -> None:
        self.log, self.limits = chart[f"{way}_log"], chart[f"{way}_limits"]
        ticks = [(self._scale(_number(text)), place) for text, place in drawn[way] if text]
        (first, start), (last, end) = ticks[0], ticks[-1]
        self.slope = (end - start) / (last - first)
        self.origin = start - first * self.slope

    def _scale(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def __call__(self, value: float) -> float:
        """The pixel of a number; of the limit that it lies beyond."""
        low, high = self.limits
        return self.far(min(max(value, low), high))

    def far(self, value: float) -> float:
        """The pixel of a number, on the chart or not; zero on a logarithmic axis is far away."""
        return self.origin + self.slope * self._scale(min(max(value, 1 / FAR if self.log else -FAR), FAR))

    @property
    def ends(self) -> tuple[float, float]:
        """The pixels of the limits, the smaller first."""
        first, last = sorted(map(self, self.limits))
        return first, last

    def beyond(self, value: float) -> int:
        """1 for a number above the limits, -1 for one below, else 0."""
        return (value > self.limits[1]) - (value < self.limits[0])


def _missed(expected: list[tuple[float, ...]], drawn: list[tuple[float, ...]], what: str) -> Iterator[str]:
    if len(expected) != len(drawn):
        yield f"{len(drawn)} {what} drawn for {len(expected)}"
    for should, is_ in zip(expected, drawn, strict=False):
        if any(abs(a - b) > PIXEL for a, b in zip(should, is_, strict=True)):
            yield f"{what} at {is_} instead of {should}"


def _points(path: str) -> list[tuple[float, ...]]:
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


# --- marks --------------------------------------------------------------------------------------------


Point = tuple[float, ...]


def _clipped(points: list[Point], ends: tuple[float, float]) -> list[list[Point]]:
    """The pieces between two heights of the line through some points."""
    pieces: list[list[Point]] = []
    for a, b in zip(points, [*points[1:], points[-1]], strict=True):
        meets = [(end - a[1]) / (b[1] - a[1]) for end in ends] if a[1] != b[1] else []
        way = sorted(share for share in meets if 0 < share < 1)
        on_it = [(a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])) for share in way]
        for start, end in pairwise([a, *on_it, b]):
            if all(ends[0] - 1e-6 <= height <= ends[1] + 1e-6 for height in (start[1], end[1])):
                joins = pieces and pieces[-1][-1] == start
                pieces[-1:] = [[*pieces[-1], end]] if joins else [*pieces[-1:], [start, end]]
    return [[point for k, point in enumerate(piece) if k == 0 or point != piece[k - 1]] for piece in pieces]


def _off(chart: Data, axis: Axis, rows: Rows, drawn: Data) -> list[str]:
    """In what the words at the edges are not the numbers farthest off, one for each series and side."""
    farthest: dict[tuple[str, int], float] = {}
    for row in rows:
        value = row[chart["y"]]
        if value is not None and (side := axis.beyond(value)):
            key = str(row[chart["series"]] if chart["series"] else None), side
            farthest[key] = side * max(side * value, side * farthest.get(key, value))
    told = [text.removesuffix(", off the chart") for text in drawn["texts"]]
    pairs = zip(sorted(farthest.values()), sorted(told, key=lambda text: _number_said(text)), strict=False)
    wrong = [problem for pair in pairs for problem in _cell(*pair)]
    return wrong + ([f"{told} are off the chart instead of {farthest}"] if len(told) != len(farthest) else [])


def _number_said(text: str) -> float:
    return math.inf if text == "not finite" else float(text)


def _lines(chart: Data, rows: Rows, drawn: Data) -> list[str]:
    x, y = Axis(chart, drawn, "x"), Axis(chart, drawn, "y")
    inside = [row for row in rows if row[chart["x"]] is not None and x.limits[0] <= row[chart["x"]] <= x.limits[1]]
    present = {str(row[chart["series"]]) for row in inside} if chart["series"] else {None}
    groups = [group for group in list(chart["series_values"]) or [None] if group in present]
    if len(drawn["lines"]) != len(groups):
        return [f"{len(drawn['lines'])} lines for {groups}"]
    found: list[str] = []
    for place, group in enumerate(groups):
        mine = [row for row in inside if group is None or str(row[chart["series"]]) == group]
        stretches = (rows for known, rows in groupby(mine, lambda row: row[chart["y"]] is not None) if known)
        points = [[(x(row[chart["x"]]), y.far(row[chart["y"]])) for row in stretch] for stretch in stretches]
        pieces = [piece for stretch in points for piece in _clipped(stretch, y.ends)]
        found += _missed([point for piece in pieces for point in piece], _points(drawn["lines"][place]), "points")
        if chart["low"]:
            band = [row for row in mine if row[chart["low"]] is not None and row[chart["high"]] is not None]
            sides = [[(x(row[chart["x"]]), y.far(row[end])) for row in band] for end in (chart["low"], chart["high"])]
            found += _band(sides, y.ends, _points(drawn["areas"][place]))
    found += ["a line leaves the chart"] * drawn["outside"]
    return found + _off(chart, y, inside, drawn)


def _band(sides: list[list[Point]], ends: tuple[float, float], drawn: list[Point]) -> list[str]:
    """In what the corners of a band are not those of its sides, where they are on the chart."""
    expected = {point for side in sides if side for piece in _clipped(side, ends) for point in piece}
    far = [point for point in expected if all(math.dist(point, one) > PIXEL for one in drawn)]
    left = [point for point in drawn if not ends[0] - PIXEL <= point[1] <= ends[1] + PIXEL]
    return [f"the band lacks the corner {point}" for point in far] + [f"the band leaves at {point}" for point in left]


def _bars(chart: Data, rows: Rows, drawn: Data) -> list[str]:
    x, y = Axis(chart, drawn, "x"), Axis(chart, drawn, "y")
    ground = y(chart["y_limits"][0] if chart["y_log"] else 0)
    known = [row for row in rows if row[chart["y"]] is not None]
    seen = [row for row in known if x(row[chart["x_end"]]) > x(row[chart["x"]])]
    sides = [(x(row[chart["x"]]), x(row[chart["x_end"]]), y(row[chart["y"]])) for row in seen]
    expected = [(left, top, right - left, ground - top) for left, right, top in sides]
    found = list(_missed(expected, [tuple(bar) for bar in drawn["bars"]], "bars"))
    return found + _off(chart, y, [row for row in seen if row[chart["y"]] > y.limits[0]], drawn)


def _luminance(color: str) -> float:
    red, green, blue = map(int, re.findall(r"\d+", color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _heatmap(chart: Data, rows: Rows, drawn: Data) -> list[str]:
    cells = list(zip(rows, drawn["cells"], strict=True))
    low, high = chart["value_limits"]
    known = [
        (min(max(row[chart["value"]], low), high), color) for row, color in cells if row[chart["value"]] is not None
    ]
    ranked = [_luminance(color) for _, color in sorted(known)]
    found = [] if all(a >= b - 2 for a, b in pairwise(ranked)) else ["its colors are out of order"]
    found += [
        "a missing value has a color" for row, color in cells if row[chart["value"]] is None and color[:4] == "rgb("
    ]
    framed = sum(bool(row[chart["mark"]]) for row in rows) if chart["mark"] else 0
    found += [] if drawn["frames"] == framed else [f"{drawn['frames']} cells are framed instead of {framed}"]
    values = [row[chart["value"]] for row in rows if row[chart["value"]] is not None]
    return found + (
        [p for pair in zip(values, drawn["texts"], strict=True) for p in _cell(*pair)] if drawn["texts"] else []
    )


MARKS = {"lines": _lines, "bars": _bars, "heatmap": _heatmap}


# --- the numbers --------------------------------------------------------------------------------------


def _cell(value: Any, text: str) -> list[str]:
    if value is None or isinstance(value, str):
        return [] if text == (value or "none") else [f"the table says {text!r} instead of {value!r}"]
    if math.isinf(value):
        return [] if text == "not finite" else [f"the table says {text!r} instead of 'not finite'"]
    return [] if _close(text, str(value)) else [f"{text!r} is written instead of {value!r}"]


def _table(chart: Data, rows: Rows, table: list[list[str]]) -> list[str]:
    keys = ("series", "x", "x_end", "y", "low", "high", "value")
    names = list(dict.fromkeys(chart[key] for key in keys if chart.get(key)))
    if len(table) != len(rows):
        return [f"the table has {len(table)} rows instead of {len(rows)}"]
    pairs = [
        (row[name], text) for row, line in zip(rows, table, strict=True) for name, text in zip(names, line, strict=True)
    ]
    return [problem for pair in pairs for problem in _cell(*pair)]
