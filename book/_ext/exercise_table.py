"""The exercises as tables: ``{exercise-table}``, one table for each chapter, made from the registry."""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes  # type: ignore[import-untyped]
from docutils.statemachine import StringList  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tutorial_utils.exercises import EXERCISES
from tutorial_utils.exercises.registry import Exercise

SECONDS = Path(__file__).resolve().parents[2] / "exercises" / "seconds.json"


def chapters() -> dict[str, list[Exercise]]:
    """Sort the exercises by chapter."""
    names = sorted({exercise.chapter for exercise in EXERCISES.values()})
    return {name: [exercise for exercise in EXERCISES.values() if exercise.chapter == name] for name in names}


def totals() -> str:
    """Say how many exercises there are, and what they sum up to.

    >>> totals().split()[1]
    'exercises,'
    """
    found = EXERCISES.values()
    minutes, points = sum(exercise.minutes for exercise in found), sum(exercise.points for exercise in found)
    return f"{len(found)} exercises, {minutes} minutes, {points} points. {running()}"


def running() -> str:
    """Say how long the solutions run, as `make solving` measured it."""
    seconds = json.loads(SECONDS.read_text(encoding="utf-8"))
    slowest = max(seconds, key=seconds.get)
    return (
        f"With their checks, all solutions with code run in {sum(seconds.values()):.1f} seconds on one thread; "
        f"the slowest, *{EXERCISES[slowest].title}*, in {seconds[slowest]:.1f}."
    )


def table(chapter: str, exercises: list[Exercise]) -> list[str]:
    """Write the table of one chapter as Markdown."""
    minutes, points = sum(exercise.minutes for exercise in exercises), sum(exercise.points for exercise in exercises)
    rows = [f"| {one.title} | {one.kind} | {one.minutes} | {one.points} | {one.goal} |" for one in exercises]
    return [
        f"**[Chapter {int(chapter[:2])}](exercises/{chapter}.ipynb)**: {minutes} minutes, {points} points.",
        "",
        "| exercise | kind | minutes | points | what it teaches |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


class ExerciseTable(SphinxDirective):
    """Put the tables of all chapters here."""

    def run(self) -> list[nodes.Node]:
        """Make the tables."""
        self.env.note_dependency(str(SECONDS))
        lines = [totals(), ""]
        for chapter, exercises in chapters().items():
            lines += table(chapter, exercises)
        box = nodes.Element()
        self.state.nested_parse(StringList(lines, source="the registry of exercises"), self.content_offset, box)
        return list(box.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("exercise-table", ExerciseTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
