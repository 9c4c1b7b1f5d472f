"""Grades in the form in which learning platforms take them: `moodle.csv` and `canvas.csv`, beside `grades.csv`.

Who has handed in nothing, or has an answer that waits for a person, has an empty cell, which leaves the platform's
grade as it is. Whose name a platform hid is left out: it finds nobody by the number in its own download. The columns
are those that the platforms document for an import.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nbgrader.api import Gradebook

from tutorial_utils.grading import tables
from tutorial_utils.grading.roster import Person, Roster

MOODLE = ("ID number", "Full name", "Email address")
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
Points = Mapping[tuple[str, str], float]


def write(book: Gradebook, roster: Roster) -> None:
    """Write both tables, with a column for each assignment."""
    names = [one.name for one in book.assignments]
    most = {one.name: one.max_score for one in book.assignments}
    points = final_points(book)
    ids = sorted({*(one.id for one in roster.people), *(student for _, student in points)})
    people = [one for one in map(roster.get, ids) if not one.is_anonymous]
    tables.write(Path("moodle.csv"), [*MOODLE, *names], [moodle(one, names, points) for one in people])
    header = ["    Points Possible", *[""] * (len(CANVAS) - 1), *(f"{most[name]:g}" for name in names)]
    tables.write(Path("canvas.csv"), [*CANVAS, *names], [header, *(canvas(one, names, points) for one in people)])


def final_points(book: Gradebook) -> dict[tuple[str, str], float]:
    """Points less what being late costs, by assignment and student, of submissions with nothing left to grade."""
    found = {}
    for assignment in book.assignments:
        for one in book.assignment_submissions(assignment.name):
            if not one.needs_manual_grade:
                found[assignment.name, one.student.id] = max(0.0, one.score - one.late_submission_penalty)
    return found


def moodle(one: Person, names: Sequence[str], points: Points) -> list[str]:
    """A line for Moodle, which finds people by ID number or e-mail address."""
    return [one.id, one.name, one.email, *cells(one, names, points)]


def canvas(one: Person, names: Sequence[str], points: Points) -> list[str]:
    """A line for Canvas, which finds people by its own number or by their login."""
    return [one.name or one.id, one.lms, "", one.id, "", *cells(one, names, points)]


def cells(one: Person, names: Sequence[str], points: Points) -> list[str]:
    """The points of a student in each assignment, "" where there are none yet."""
    return [f"{points[name, one.id]:g}" if (name, one.id) in points else "" for name in names]
