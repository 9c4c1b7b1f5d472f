"""A class at a glance, as one page: no server, no script, nothing from elsewhere; it can be shown, printed and sent.

All that students wrote is escaped, and the page forbids the browser to run or to load anything.

>>> bars([("low", 1, ""), ("high", 4, "")])[0].share
0.25
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tutorial_utils.grading.lateness import words
from tutorial_utils.grading.overview import STATES, Overview, Submission
from tutorial_utils.grading.similarity import grouped

TEMPLATE = "class_page.html"
MOST_SHARED, MOST_GROUPS, MOST_DAYS = 12, 12, 14
STATE_WORDS = {
    "right": "all points",
    "part": "some points",
    "wrong": "no points",
    "open": "not written",
    "waiting": "to grade by hand",
}


class Bar(NamedTuple):
    """A column of a chart: its label, its number, its share of the highest, and a class for its color."""

    label: str
    number: int
    share: float
    kind: str


def bars(counted: Sequence[tuple[str, int, str]]) -> list[Bar]:
    """Columns for labels, counts and kinds."""
    highest = max([count for _, count, _ in counted] + [1])
    return [Bar(label, count, round(count / highest, 3), kind) for label, count, kind in counted]


def points(overview: Overview) -> list[Bar]:
    """How the points are distributed."""
    return bars([(f"{low:g}–{high:g}", count, "right") for low, high, count in overview.distribution()])


def days(overview: Overview) -> list[Bar]:
    """How many handed in on which day; a day on which somebody was late is marked."""
    known = [one for one in overview.graded if one.when]
    counted = Counter(one.when[:10] for one in known)
    late = {one.when[:10] for one in known if one.seconds_late > 0}
    return bars([(day[5:], counted[day], "wrong" if day in late else "right") for day in sorted(counted)[-MOST_DAYS:]])


def late_words(one: Submission) -> str:
    """What being late cost somebody, "" if nothing."""
    return words(one.seconds_late, one.penalty, one.points)


def seconds(overview: Overview) -> str:
    """How long grading took, in words; "" if that is not known."""
    took = [one.seconds for one in overview.graded if one.seconds]
    return f"Grading took {median(took):.0f} s for a submission (median), {max(took):.0f} s at most." if took else ""


def printable(text: str) -> str:
    """A text without what turns or hides the letters of a page."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def page(overview: Overview) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["printable"] = printable
    return environment.get_template(TEMPLATE).render(
        class_=overview,
        points=points(overview),
        days=days(overview),
        states=STATES,
        state_words=STATE_WORDS,
        shared=[one for one in overview.misconceptions if one.misconception.words][:MOST_SHARED],
        similar=grouped(overview.similar)[:MOST_GROUPS],
        order={one.id: number for number, one in enumerate(overview.questions, 1)},
        numbers={one.student: number for number, one in enumerate(overview.submissions, 1)},
        late_words=late_words,
        seconds=seconds(overview),
    )
