"""Grading again: a person is asked again only about what changed since they looked at it.

nbgrader puts everything that was graded by hand back into the queue whenever it runs.
"""

from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Grade, Gradebook, MissingEntry

from tutorial_utils.grading.submissions import about, cells_to_run, is_check


class State(NamedTuple):
    """What was settled by hand before grading runs again: by cell, the text that was looked at, and the points."""

    texts: dict[str, str]
    automatic: dict[str, float | None]


def state(book: Gradebook, name: str, student: str) -> State:
    """What a person has settled so far of a submission; what still waits for one is not among it."""
    texts = looked_at(Path("autograded", student, name, f"{name}.ipynb"))
    settled = [
        one for one in grades(book, name, student) if one.manual_score is not None and not one.needs_manual_grade
    ]
    known = {one.name: texts[one.name] for one in settled if one.name in texts}
    return State(known, {one.name: one.auto_score for one in settled})


def settle(book: Gradebook, name: str, student: str, before: State) -> None:
    """Take out of the queue what is as it was when a person settled it."""
    texts = looked_at(Path("autograded", student, name, f"{name}.ipynb"))
    for grade in grades(book, name, student):
        same_text = grade.name in before.texts and before.texts[grade.name] == texts.get(grade.name)
        if same_text and before.automatic[grade.name] == grade.auto_score:
            grade.needs_manual_grade = False
    book.db.commit()


def grades(book: Gradebook, name: str, student: str) -> list[Grade]:
    """The grades of a submission; none if it was not graded yet."""
    try:
        return [grade for notebook in book.find_submission(name, student).notebooks for grade in notebook.grades]
    except MissingEntry:
        return []


def looked_at(path: Path) -> dict[str, str]:
    """The text on which a grade rests, by nbgrader's name: the cell's own, and for a check all code that ran."""
    if not path.exists():
        return {}
    nb = nbformat.read(path, as_version=4)
    noted: list[NotebookNode] = [cell for cell in nb.cells if "grade_id" in about(cell)]
    code = "\n".join(cell.source for cell in cells_to_run(nb))
    return {about(cell)["grade_id"]: code if is_check(cell) else cell.source for cell in noted}
