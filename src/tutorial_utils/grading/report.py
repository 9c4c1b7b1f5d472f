"""What a course's grading came to, exercise by exercise, in `report.csv`."""

import csv
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbgrader.api import Grade, Gradebook, MissingEntry

from tutorial_utils.grading.submissions import UNREADABLE
from tutorial_utils.grading.written import FOUND

COLUMNS = ("assignment", "student", "exercise", "points", "max_points", "remark", "isolation")


def rows_of(book: Gradebook, name: str, student: str, failed: str) -> Iterator[list[object]]:
    """The lines of the report on one student: points and the checker's words for each exercise, or why it failed."""
    words = remarks(Path("autograded", student, name, f"{name}.ipynb"))
    try:
        notebooks = [] if failed else book.find_submission(name, student).notebooks
    except MissingEntry:
        notebooks, failed = [], "not graded yet"
    if failed:
        yield [name, student, "", 0, "", failed]
    for grade in sorted((one for notebook in notebooks for one in notebook.grades), key=lambda one: str(one.name)):
        said = words.get("") or words.get(grade.name, "")
        yield [name, student, grade.name, grade.score, grade.max_score, by_hand(grade, said) or said]


def by_hand(grade: Grade, said: str) -> str:
    """Whether a person grades or has graded something, in words; "" if not."""
    if not grade.needs_manual_grade:
        return "graded by hand" if grade.manual_score is not None else ""
    if grade.manual_score is not None:
        return "graded by hand, and changed since"
    if said.startswith("NOT GRADED"):
        return ""
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


def write_report(name: str, rows: list[list[object]], how: str) -> None:
    """Write `report.csv`, keeping the lines of other assignments."""
    path = Path("report.csv")
    kept: list[list[object]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            kept = [list(row) for row in csv.reader(file) if row and row[0] not in (COLUMNS[0], name)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*COLUMNS], *kept, *([*row, how] for row in rows)])
