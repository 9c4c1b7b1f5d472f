"""What an explorer draws: which columns of the measured rows go where."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import pandas as pd

Limits = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What all charts have in common.

    Args:
        title: the sentence above the chart.
        x: column on the horizontal axis.
        y: column on the vertical axis.
        x_label: name of the horizontal axis; by default the column's.
        y_label: name of the vertical axis; by default the column's.
        x_log: whether the horizontal axis is logarithmic.
        y_log: whether the vertical axis is logarithmic.
        x_limits: ends of the horizontal axis; by default of all that is measured, the same for each state.
        y_limits: ends of the vertical axis, likewise; what lies beyond is cut off, and a mark says how far it goes.
        series: column whose values have a line, or a set of bars, each.
    """

    kind: ClassVar[str]
    title: str = ""
    x: str
    y: str
    x_label: str = ""
    y_label: str = ""
    x_log: bool = False
    y_log: bool = False
    x_limits: Limits | None = None
    y_limits: Limits | None = None
    series: str | None = None

    def columns(self) -> list[str]:
        """The columns that this chart reads."""
        return [name for name in (self.x, self.y, self.series) if name]

    def axes(self) -> dict[str, list[str]]:
        """The columns that lie along each axis and set its limits."""
        return {"x": [self.x], "y": [self.y]}

    def numbers(self) -> list[str]:
        """The columns of which no entry may be a word."""
        return [name for name in self.columns() if name != self.series]

    def spec(self) -> dict[str, Any]:
        """Describe the chart to the drawing code."""
        labels = {"x_label": self.x_label or self.x, "y_label": self.y_label or self.y}
        return {"kind": self.kind, **asdict(self), **labels}

    def check(self, rows: pd.DataFrame) -> None:
        """Raise ValueError if the rows lack a column, or if one on an axis of numbers holds words."""
        if missing := [name for name in self.columns() if name not in rows]:
            raise ValueError(f"rows have no column {missing[0]!r} to draw; they have {', '.join(map(str, rows))}")
        for name in self.numbers():
            if words := [value for value in rows[name] if isinstance(value, str)]:
                raise ValueError(f"column {name!r} holds {words[0]!r}, but {self.kind} are drawn from numbers")


@dataclass(frozen=True, kw_only=True)
class Lines(Chart):
    """A line for each series, with a band where ``low`` and ``high`` are given.

    Args:
        low: column with the lower end of the band.
        high: column with the upper end of the band.
        rules: heights at which a dashed line is drawn for comparison.
        dots: whether to mark each measured point.
    """

    kind: ClassVar[str] = "lines"
    low: str | None = None
    high: str | None = None
    rules: Sequence[float] = ()
    dots: bool = False

    def columns(self) -> list[str]:
        """The columns that this chart reads."""
        return super().columns() + [name for name in (self.low, self.high) if name]

    def axes(self) -> dict[str, list[str]]:
        """The columns that lie along each axis and set its limits."""
        return {**super().axes(), "y": [name for name in (self.y, self.low, self.high) if name]}


@dataclass(frozen=True, kw_only=True)
class Bars(Chart):
    """A histogram: a bar of height ``y`` from ``x`` to ``x_end`` for each row.

    Args:
        x_end: column with the right end of each bar.
    """

    kind: ClassVar[str] = "bars"
    x_end: str

    def columns(self) -> list[str]:
        """The columns that this chart reads."""
        return [*super().columns(), self.x_end]

    def axes(self) -> dict[str, list[str]]:
        """The columns that lie along each axis and set its limits."""
        return {**super().axes(), "x": [self.x, self.x_end]}


@dataclass(frozen=True, kw_only=True)
class Heatmap(Chart):
    """A cell for each pair of ``x`` and ``y``, colored by ``value``.

    Args:
        value: column that is drawn.
        value_label: what it is, with its unit.
        value_limits: the numbers drawn lightest and darkest.
        value_log: whether colors follow the logarithm.
        mark: column that is true for the cells to be framed.
        picks: what a click on a cell chooses: for a control's name, the column that holds its value, or the words
            shown for it.
    """

    kind: ClassVar[str] = "heatmap"
    value: str
    value_label: str = ""
    value_limits: Limits | None = None
    value_log: bool = False
    mark: str | None = None
    picks: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> list[str]:
        """The columns that this chart reads."""
        more = [self.value, *([self.mark] if self.mark else []), *self.picks.values()]
        return list(dict.fromkeys([*super().columns(), *more]))

    def axes(self) -> dict[str, list[str]]:
        """The values set the limits of the colors; the axes have a place for each entry."""
        return {"value": [self.value]}

    def numbers(self) -> list[str]:
        """The columns of which no entry may be a word."""
        return [self.value]

    def spec(self) -> dict[str, Any]:
        """Describe the chart to the drawing code."""
        return {**super().spec(), "value_label": self.value_label or self.value, "picks": dict(self.picks) or None}
