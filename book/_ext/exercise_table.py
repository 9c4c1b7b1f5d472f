"""The exercises as tables: ``{exercise-table}``, one table for each topic, made from the facts in their sources."""

from __future__ import annotations

import json
import re
from pathlib import Path

from docutils import nodes  # type: ignore[import-untyped]
from docutils.statemachine import StringList  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import editions

SECONDS = editions.MASTERS / "seconds.json"


def totals() -> str:
    """Say how many exercises there are, and what they sum up to.

    >>> totals().split()[1]
    'exercises,'
    """
    found = editions.all_facts().values()
    minutes, points = sum(one.minutes for one in found), sum(one.points for one in found)
    return f"{len(found)} exercises, {minutes} minutes, {points} points. {running()}"


def running() -> str:
    """Say how long the solutions run, as `make solving` measured it."""
    seconds = json.loads(SECONDS.read_text(encoding="utf-8"))
    slowest = max(seconds, key=seconds.get)
    return (
        f"With their checks, all solutions with code run in {sum(seconds.values()):.1f} seconds on one thread; "
        f"the slowest, *{editions.all_facts()[slowest].title}*, in {seconds[slowest]:.1f}."
    )


def table(master: Path) -> list[str]:
    """Write the table of one topic as Markdown."""
    exercises = editions.facts(master)
    heading = re.findall(r"^# (?:Exercises|Project): (.*)$", master.read_text(encoding="utf-8"), re.MULTILINE)[0]
    minutes, points = sum(one.minutes for one in exercises), sum(one.points for one in exercises)
    rows = [
        f"| {one.title} | {one.kind} | {one.level} | {one.minutes} | {one.points} | {one.goal} |" for one in exercises
    ]
    return [
        f"**[{heading}](exercises/{master.stem}.ipynb)**: {minutes} minutes, {points} points.",
        "",
        "| exercise | kind | level | minutes | points | what it teaches |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


class ExerciseTable(SphinxDirective):
    """Put the tables of all topics here."""

    def run(self) -> list[nodes.Node]:
        """Make the tables."""
        for path in (SECONDS, *editions.masters()):
            self.env.note_dependency(str(path))
        lines = [totals(), "", *(line for master in editions.masters() for line in table(master))]
        box = nodes.Element()
        self.state.nested_parse(StringList(lines, source="the exercises"), self.content_offset, box)
        for found in box.findall(nodes.table):
            found["classes"].append("exercise-list")
        return list(box.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("exercise-table", ExerciseTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
