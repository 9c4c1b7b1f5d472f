"""An answer in words reaches the person who grades it, wherever near its place it was written."""

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tutorial_utils.grading import submissions, written

ESSAY = "The mean takes the bias away."
LATER = "It is subtracted together with the mean, so no gradient reaches it."
Cells = list[NotebookNode]


def noted(name: str, **facts: object) -> dict[str, object]:
    return {"nbgrader": {"grade_id": name, "task": False, "schema_version": 3, "locked": False, **facts}}


def released() -> NotebookNode:
    """Two exercises with checks around one in words, which begins at its heading."""
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    answer, check = {"solution": True, "grade": False}, {"solution": False, "grade": True, "points": 1}
    cells = [
        text("# Title", id="title"),
        code("raise NotImplementedError", id="first", metadata=noted("first", **answer)),
        code('check("first", f)', id="first-check", metadata=noted("first-check", **check)),
        text("## Why?\n\nSay why.", id="question"),
        text("*Your answer.*", id="essay", metadata=noted("essay", solution=True, grade=True, points=2)),
        text("## Last", id="heading"),
        code("raise NotImplementedError", id="last", metadata=noted("last", **answer)),
        code('check("last", g)', id="last-check", metadata=noted("last-check", **check)),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def place(change: Callable[[Cells], object], folder: Path) -> str:
    """What stands in the place to answer after a student's change."""
    nb = released()
    change(nb.cells)
    path = folder / "x.ipynb"
    path.write_text(json.dumps(nb))
    submitted = submissions.read(path)
    rebuilt = submissions.rebuild(released(), submitted)
    written.gather(rebuilt, released(), submitted)
    return next(cell.source for cell in rebuilt.cells if submissions.about(cell).get("grade_id") == "essay")


def new(kind: str, text: str) -> NotebookNode:
    made: NotebookNode = getattr(nbformat.v4, f"new_{kind}_cell")(text)
    return made


def stripped(cells: Cells, source: str) -> None:
    """As after a program that drops metadata and names of cells."""
    cells[4].source = source
    for cell in cells:
        cell.metadata = {}
        cell.pop("id", None)


def replaced(cells: Cells, kind: str) -> None:
    cells[4:5] = [new(kind, ESSAY)]


NEARBY: dict[str, Callable[[Cells], object]] = {
    **{f"a {kind} cell below": lambda c, k=kind: c.insert(5, new(k, ESSAY)) for kind in ("markdown", "raw", "code")},
    **{f"a {kind} cell above": lambda c, k=kind: c.insert(4, new(k, ESSAY)) for kind in ("markdown", "raw", "code")},
    **{f"a {kind} cell in its place": lambda c, k=kind: replaced(c, k) for kind in ("markdown", "raw", "code")},
    "above the question": lambda c: c.insert(3, new("markdown", ESSAY)),
    "below the next heading": lambda c: c.insert(6, new("markdown", ESSAY)),
    "in the question": lambda c: setattr(c[3], "source", c[3].source + "\n\n" + ESSAY),
    "in place of the question": lambda c: setattr(c[3], "source", ESSAY),
    "in the next heading": lambda c: setattr(c[5], "source", c[5].source + "\n" + ESSAY),
    "without metadata": lambda c: stripped(c, ESSAY),
    "a cell below, without metadata": lambda c: (stripped(c, "*Your answer.*"), c.insert(5, new("markdown", ESSAY))),
    "at the end": lambda c: c.append(new("markdown", f"{ESSAY} {LATER}")),
    "at the top": lambda c: c.insert(0, new("raw", f"{ESSAY} {LATER}")),
    "a deleted place": lambda c: (c.pop(4), c.insert(4, new("markdown", ESSAY))),
    "a comment": lambda c: c.insert(5, new("code", f"# {ESSAY}")),
}


@pytest.mark.parametrize("change", NEARBY.values(), ids=NEARBY)
def test_what_was_written_nearby_waits_for_a_person(change: Callable[[Cells], object], tmp_path: Path) -> None:
    found = place(change, tmp_path)
    assert ESSAY in found
    assert found != "*Your answer.*"


ELSEWHERE: dict[str, Callable[[Cells], object]] = {
    "nothing": lambda c: None,
    "a name on top": lambda c: c.insert(0, new("markdown", "Ada Lovelace, group 3")),
    "an empty cell": lambda c: c.insert(5, new("markdown", "  \n")),
    "the stub once more": lambda c: c.insert(5, new("markdown", "_Your answer._")),
    "code in another exercise": lambda c: c.insert(2, new("code", "import math  # " + LATER)),
    "another answer": lambda c: setattr(c[1], "source", "f = 1  # " + LATER),
    "a deleted place": lambda c: c.pop(4),
    "a shorter question": lambda c: setattr(c[3], "source", "## Why?"),
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_answers_nothing_is_no_answer(change: Callable[[Cells], object], tmp_path: Path) -> None:
    assert place(change, tmp_path) == "*Your answer.*"


def test_an_answer_in_its_place_stays_as_it_is(tmp_path: Path) -> None:
    def change(cells: Cells) -> None:
        cells[4].source = ESSAY
        cells.insert(5, new("markdown", LATER))

    assert place(change, tmp_path) == ESSAY


def test_what_was_found_is_shown_as_it_was_written(tmp_path: Path) -> None:
    found = place(lambda cells: cells.insert(5, new("markdown", "# Big\n```\n<b>")), tmp_path)
    assert found.endswith("    # Big\n    ```\n    <b>")
