"""What a course's grading came to, exercise by exercise, in `report.csv`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbgrader.api import Grade, Gradebook, MissingEntry

from tutorial_utils.grading import tables
from tutorial_utils.grading.lateness import LATE, words
from tutorial_utils.grading.submissions import UNREADABLE
from tutorial_utils.grading.written import FOUND

REPORT = Path("report.csv")
COLUMNS = ("assignment", "student", "exercise", "points", "max_points", "remark", "isolation")


def rows_of(book: Gradebook, name: str, student: str, failed: str) -> Iterator[list[object]]:
    """The lines of the report on one student: points and the checker's words for each exercise, or why it failed."""
    said = remarks(Path("autograded", student, name, f"{name}.ipynb"))
    try:
        graded = None if failed else book.find_submission(name, student)
    except MissingEntry:
        graded, failed = None, "not graded yet"
    if graded is None:
        yield [name, student, "", 0, "", failed]
        return
    if late := words(graded.total_seconds_late, graded.late_submission_penalty, graded.score):
        yield [name, student, "", 0, "", late]
    for grade in sorted(
        (one for notebook in graded.notebooks for one in notebook.grades), key=lambda one: str(one.name)
    ):
        text = said.get("") or said.get(grade.name, "")
        yield [name, student, grade.name, grade.score, grade.max_score, by_hand(grade, text) or text]


def by_hand(grade: Grade, said: str) -> str:
    """Whether a person grades or has graded something, in words; "" if not."""
    if not grade.needs_manual_grade:
        return "graded by hand" if grade.manual_score is not None else ""
    if grade.manual_score is not None:
        return "graded by hand, and changed since"
    return f"to grade by hand; text was added near the place to answer: {said}" if said else "to grade by hand"


def remarks(path: Path) -> dict[str, str]:
    """What the checker said, by the name of its cell, in one line; under "" why there was nothing to grade."""
    if not path.exists():
        return {}
    nb = nbformat.read(path, as_version=4)
    first = nb.cells[0].source
    said = {"": first.replace("*", "") if first.startswith(UNREADABLE) else ""}
    for cell in nb.cells:
        texts = [output.get("evalue") or output.get("text", "") for output in cell.get("outputs", [])]
        texts += [cell.source.partition(FOUND)[2]] if FOUND in cell.source else []
        said[cell.metadata.get("nbgrader", {}).get("grade_id", "-")] = " ".join(" ".join(texts).split())[:300]
    return said


def write_report(name: str, rows: Sequence[tables.Row], how: str) -> None:
    """Write `report.csv`, keeping the lines of other assignments."""
    tables.replace(REPORT, COLUMNS, [[*row, how] for row in rows], key=1)


def last_failures(name: str) -> tuple[str, dict[str, str]]:
    """How the code was fenced in when an assignment was graded last, and why some could not be graded."""
    rows = [row for row in tables.read(REPORT) if row[0] == name]
    failed = {student: remark for _, student, exercise, _, _, remark, _ in rows if not exercise and LATE not in remark}
    return rows[0][-1] if rows else "", failed
