"""The explorer: measures every state that its controls can take, and writes the numbers into the page."""

import html
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from tutorial_utils import plotting
from tutorial_utils.explore.charts import Bars, Chart, Heatmap, Limits
from tutorial_utils.explore.controls import Control, check_state, places
from tutorial_utils.explore.live import bundle

State = dict[str, Any]
Measure = Callable[..., pd.DataFrame | Sequence[pd.DataFrame]]
Say = Callable[..., str]
DIGITS = 3
TABLE_COLUMNS = 8
EXPONENT = re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e([+-]\d+)")
MAX_NUMBERS = 400_000  # about 2 MB of page
OTHER_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")  # Okabe and Ito


def readable(sentence: str) -> str:
    """The sentence with numbers as one reads them, and none that a line may break in two at a hyphen.

    >>> readable("from 3.1e+02 down to 1.1e-09")
    'from 310 down to 1.1e−9'
    """

    def number(found: re.Match[str]) -> str:
        power = int(found[2])
        return f"{float(found[0]):.0f}" if 0 <= power < 5 else f"{found[1]}e{power}".replace("-", "−")

    return EXPONENT.sub(number, sentence)


class Explorer:
    """A figure with controls: numbers in the page, or a widget where a kernel runs.

    ``measure`` is called once for each combination of the controls' values when the explorer is shown. A page without
    a kernel moves between these frames; with one, sliders stop anywhere and ``measure`` is called for what is new.

    Args:
        measure: takes the value of each control as a keyword argument and returns rows, one table for all charts or
            one for each.
        name: its address in the page and in links, such as ``#at=signals&depth=30``; letters, digits, hyphens.
        controls: what the reader can change.
        charts: what is drawn of the rows.
        say: takes the rows of the first chart and the controls' values; returns the sentence that states the result
            above the charts and to screen readers.
        question: what the explorer answers, its heading.
        look: one line that says what to look for.
        presets: states that a button each chooses, by the words on the button; values that are not given are those at
            first. The best ones are a failure, its cure, and a surprise.
        start: values at first; those of the first preset, then the first of each control, where absent.
        colors: the color of a series, such as ``#0072B2``; by default that of
            :func:`tutorial_utils.plotting.color`.

    Raises:
        ValueError: if the name is none, a control is missing or named twice, ``start`` is no state, a color is not
            hexadecimal, the rows lack a column, or the numbers are too many for a page.

    >>> from tutorial_utils.explore import Lines, Slider
    >>> def power(exponent):
    ...     return pd.DataFrame({"x": [1, 2, 3], "y": [x**exponent for x in (1, 2, 3)]})
    >>> explorer = Explorer(power, name="power", controls=[Slider("exponent", [1, 2])], charts=[Lines(x="x", y="y")],
    ...                     say=lambda rows, exponent: f"3 to the power of {exponent} is {rows.y.iloc[-1]}")
    >>> [frame["say"] for frame in explorer.frames]
    ['3 to the power of 1 is 3', '3 to the power of 2 is 9']
    """

    def __init__(
        self,
        measure: Measure,
        *,
        name: str,
        controls: Sequence[Control],
        charts: Sequence[Chart],
        say: Say,
        question: str = "",
        look: str = "",
        presets: Mapping[str, Mapping[str, Any]] | None = None,
        start: Mapping[str, Any] | None = None,
        colors: Mapping[str, str] | None = None,
    ) -> None:
        self.measure, self.name, self.say = measure, name, say
        self.controls, self.charts, self.colors = list(controls), list(charts), dict(colors or {})
        self.question, self.look, self.presets = question, look, dict(presets or {})
        first = next(iter(self.presets.values()), {})
        self.start = {control.name: next(iter(control.values)) for control in self.controls} | {
            **first,
            **(start or {}),
        }
        self._check()

    def _check(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.name):
            raise ValueError(f"name = {self.name!r}, but it must be lower-case letters, digits and hyphens")
        names = [control.name for control in self.controls]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"controls are named {names}, but there must be at least one and no name twice")
        if not self.charts:
            raise ValueError("charts are empty, but there must be at least one to draw")
        for label, state in self.presets.items():
            check_state(self.controls, state, f"preset {label!r}")
        check_state(self.controls, self.start, "start")
        for chart in self.charts:
            if isinstance(chart, Heatmap) and (unknown := [name for name in chart.picks if name not in names]):
                raise ValueError(f"picks has {unknown[0]!r}, but the controls are {', '.join(names)}")
        for series, color in self.colors.items():
            if not re.fullmatch("#[0-9a-fA-F]{6}", color):
                raise ValueError(f"colors has {series!r} in {color!r}, but a color is written like '#0072B2'")

    def states(self) -> list[State]:
        """Every combination of the controls' values; the last control changes fastest."""
        names = [control.name for control in self.controls]
        return [
            dict(zip(names, values, strict=True)) for values in itertools.product(*(c.values for c in self.controls))
        ]

    def tables(self, state: State) -> list[pd.DataFrame]:
        """Measure one state: the rows of each chart."""
        rows = self.measure(**state)
        tables = [rows] * len(self.charts) if isinstance(rows, pd.DataFrame) else list(rows)
        if len(tables) != len(self.charts):
            raise ValueError(f"measure returned {len(tables)} tables for {len(self.charts)} charts")
        for chart, table in zip(self.charts, tables, strict=True):
            chart.check(table)
        return tables

    def frame(self, state: State) -> dict[str, Any]:
        """Measure one state: the columns that are drawn, to three digits, and the sentence."""
        tables = self.tables(state)
        columns = [
            {name: [_number(name, value) for value in table[name]] for name in chart.columns()}
            for chart, table in zip(self.charts, tables, strict=True)
        ]
        return {"tables": columns, "say": readable(self.say(tables[0], **state))}

    @cached_property
    def frames(self) -> list[dict[str, Any]]:
        """All states measured, in the order of :meth:`states`."""
        return [self.frame(state) for state in self.states()]

    def data(self) -> dict[str, Any]:
        """What the drawing code reads: controls, charts, colors, and every frame; each column is stored once."""
        pool: dict[str, int] = {}
        frames = [
            {
                "say": frame["say"],
                "tables": [{name: _place(pool, column) for name, column in table.items()} for table in frame["tables"]],
            }
            for frame in self.frames
        ]
        columns = [json.loads(text) for text in pool]
        if (count := sum(map(len, columns))) > MAX_NUMBERS:
            raise ValueError(f"{self.name!r} holds {count} numbers, but a page bears at most {MAX_NUMBERS}")
        return {
            "name": self.name,
            "controls": [control.spec() for control in self.controls],
            "charts": [self._chart(place) for place in range(len(self.charts))],
            "question": self.question,
            "look": self.look,
            "presets": [
                {"label": label, "at": places(self.controls, self.start | dict(state))}
                for label, state in self.presets.items()
            ],
            "start": list(places(self.controls, self.start).values()),
            "columns": columns,
            "frames": frames,
        }

    def _chart(self, place: int) -> dict[str, Any]:
        """One chart's description, with limits that hold for every frame and the color of each series."""
        chart = self.charts[place]
        tables = [frame["tables"][place] for frame in self.frames]
        spec = {**chart.spec(), "series_values": self._series(chart, tables)}
        for axis, columns in chart.axes().items():
            spec[f"{axis}_limits"] = spec[f"{axis}_limits"] or _limits(tables, columns, spec[f"{axis}_log"])
        if isinstance(chart, Bars) and not chart.y_log:  # a bar's area is its share
            low, high = spec["y_limits"]
            spec["y_limits"] = (min(low, 0.0), high)
        return spec

    def _series(self, chart: Chart, tables: list[dict[str, list[Any]]]) -> dict[str, str]:
        names = dict.fromkeys(str(name) for table in tables for name in table[chart.series]) if chart.series else {}
        return {name: self._color(name, place) for place, name in enumerate(names)}

    def _color(self, series: str, place: int) -> str:
        try:
            return self.colors.get(series) or plotting.color(series)
        except ValueError:
            return OTHER_COLORS[place % len(OTHER_COLORS)]

    def html(self) -> str:
        """The explorer for a page: a table of the first frame, which the drawing code replaces, and all numbers."""
        return self._page(self.data())

    def _page(self, data: dict[str, Any]) -> str:
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", r"\u003c")
        return (
            f'<good-explorer id="{self.name}">{self._head()}{self._table()}'
            f'<script type="application/json">{text}</script></good-explorer>'
        )

    def _head(self) -> str:
        """The question and what to look for."""
        lines = {"question": self.question, "look": self.look}
        return "".join(f'<p class="explorer-{name}">{html.escape(text)}</p>' for name, text in lines.items() if text)

    def _table(self) -> str:
        """What a reader without scripts sees: the numbers of the first chart at the start, and the sentence."""
        frame = self.frames[self.states().index(self.start)]
        rows = pd.DataFrame(frame["tables"][0])
        shown = _summary(self.charts[0], rows).to_html(border=0, float_format=lambda value: f"{value:.3g}", na_rep="")
        return shown.replace("<thead>", f"<caption>{html.escape(frame['say'])}</caption><thead>", 1)

    def __repr__(self) -> str:
        """What a terminal shows."""
        return f"<explorer {self.name}: {len(self.states())} states>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        data = self.data()
        page = {"text/plain": repr(self), "text/html": self._page(data)}
        return bundle(data, self.frame) | page  # what the widget says of itself holds an address


def _plain(column: str, value: Any) -> float | None:
    """A number as Python's own; None for a missing or infinite one."""
    if value is None or value is pd.NA:
        return None
    if not isinstance(value, Real | np.bool_):
        raise TypeError(f"column {column!r} holds {value!r}, but an explorer draws numbers and words")
    return float(value) if math.isfinite(value) else None


def _number(column: str, value: Any) -> Any:
    """Round a number to three digits for the page, but no integer below a million; leave words as they are."""
    if isinstance(value, str):
        return value
    number = _plain(column, value)
    if number is None:
        return None
    # What another processor makes differ from an integer by rounding alone is that integer.
    whole = round(number)
    if abs(whole) < 1e6 and math.isclose(number, whole, rel_tol=1e-9):
        return whole
    rounded = float(f"{number:.{DIGITS}g}")
    if math.isinf(rounded):
        return None
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded


def _place(pool: dict[str, int], column: list[Any]) -> int:
    """The number under which a column is stored; each content once."""
    return pool.setdefault(json.dumps(column), len(pool))


def _limits(tables: list[dict[str, list[Any]]], columns: Sequence[str], log: bool) -> Limits:
    """The smallest and largest number that any frame draws; around a single one, some room."""
    numbers = [value for table in tables for name in columns for value in table[name] if value is not None]
    drawn = [number for number in numbers if number > 0 or not log]
    low, high = (min(drawn), max(drawn)) if drawn else (0.0, 1.0)
    if low < high:
        return low, high
    return (low / 2, high * 2) if log else (low - 0.5, high + 0.5)


def _summary(chart: Chart, rows: pd.DataFrame) -> pd.DataFrame:
    """At most eight columns of a chart's numbers: a row for each series or, on a map, for each height."""
    index, value = (chart.y, chart.value) if isinstance(chart, Heatmap) else (chart.series, chart.y)
    x, y = (chart.spec()[name] for name in ("x_label", "y_label"))
    named = rows.assign(**{value: pd.to_numeric(rows[value])}, **({} if index else {"": y}))
    wide = named.pivot_table(index=index or "", columns=chart.x, values=value, sort=False, dropna=False)
    count = wide.shape[1]
    places = sorted({round(k * (count - 1) / (TABLE_COLUMNS - 1)) for k in range(TABLE_COLUMNS if count else 0)})
    heads = wide.iloc[:, places].rename(columns=_head, index=_head)
    return heads.rename_axis(columns=x, index=y if index else "")


def _head(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"
