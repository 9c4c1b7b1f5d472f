"""Hand out, collect, grade, in a course folder: python -m tutorial_utils.grading {release,collect,grade,report}.

The commands leave everything where nbgrader's own commands and its formgrader expect it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nbgrader.apps.api import NbGraderAPI
from nbgrader.plugins import CsvExportPlugin

from tutorial_utils.grading import class_page, collecting, overview, own_checks, platforms, releasing
from tutorial_utils.grading.course_folder import CourseError, book_of, last_words, open_course, say
from tutorial_utils.grading.grading_run import grade_all
from tutorial_utils.grading.isolation import NAMESPACES
from tutorial_utils.grading.lateness import LatePenalty
from tutorial_utils.grading.process import available
from tutorial_utils.grading.report import last_failures, rows_of, write_report

COMMAND = "python -m tutorial_utils.grading"


# --- the commands: each says what it did, and raises CourseError with what to do about it -------------


def release(names: Sequence[str]) -> None:
    """Make the notebooks for students from those in `source`."""
    course = open_course()
    known = sorted(path.parent.name for path in Path("source").glob("*/*.ipynb"))
    if unknown := set(names) - set(known):
        raise CourseError(f"source has no {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    chosen = names or known
    faults = [
        one
        for name in chosen
        for path in sorted(Path("source", name).glob("*.ipynb"))
        for one in releasing.faults(path)
    ]
    faults += filter(None, map(own_checks.fault, own_checks.load(Path.cwd())))
    if faults:
        raise CourseError("\n".join(["nothing was released:", *faults]))
    for name in chosen:
        if not (result := course.generate_assignment(name))["success"]:
            raise CourseError(f"{name}: {last_words(result)}")
        say(f"{name}: hand out release/{name}/{name}.ipynb")


def collect(name: str, folder: Path) -> None:
    """Put what came in where grading finds it; say of each student whether something was odd."""
    course = open_course()
    try:
        for line in collecting.collect(name, folder, collecting.Collect(config=course.config)):
            say(line)
    except (OSError, ValueError) as error:
        raise CourseError(str(error)) from None


def grade(name: str, students: Sequence[str], weak: bool = False) -> bool:
    """Autograde, write feedback, export `grades.csv` and `report.csv`; whether every submission could be graded."""
    course, everybody = open_course(), handed_in(name)
    if missing := set(students) - set(everybody):
        raise CourseError(f"submitted holds nothing of {', '.join(sorted(missing))}")
    how = available(Path.cwd())
    say(f"isolation: {how.name}, {how.words}")
    if how is not NAMESPACES and not weak:
        raise CourseError("That is weak: a student's code can read the right answers. To grade all the same: --weak")
    due(course, name)
    failed = grade_all(name, students or everybody, collecting.Collect(config=course.config).roster)
    write_tables(course, name, failed, how.name)
    say(f"feedback is in feedback/STUDENT/{name}")
    return not failed


def report(name: str) -> None:
    """Write feedback and all tables again, after points were given by hand."""
    course, everybody = open_course(), handed_in(name)
    for student in everybody:
        if (
            Path("autograded", student, name).exists()
            and not (result := course.generate_feedback(name, student))["success"]
        ):
            raise CourseError(f"{student}: {last_words(result)}")
    how, failed = last_failures(name)
    write_tables(course, name, failed, how)


def due(course: NbGraderAPI, name: str) -> None:
    """Tell nbgrader when an assignment is due, if the configuration says so."""
    rule = LatePenalty(config=course.config)
    try:
        when = rule.due_date(name)
    except ValueError as error:
        raise CourseError(str(error)) from None
    if when:
        with book_of(course) as book:
            book.update_or_create_assignment(name, duedate=when)


def write_tables(course: NbGraderAPI, name: str, failed: Mapping[str, str], how: str) -> None:
    """Write the tables of the course and the page of the class; say where they are."""
    settings = collecting.Collect(config=course.config)
    with book_of(course) as book:
        CsvExportPlugin(to="grades.csv").export(book)
        platforms.write(book, settings.people())
        glance = overview.read(book, name, settings, failed)
        rows = [row for one in glance.submissions for row in rows_of(book, name, one.student, one.failed)]
    write_report(name, rows, how)
    page = Path("class", f"{name}.html")
    overview.write_table(glance, page.with_suffix(".csv"))
    page.write_text(class_page.page(glance), encoding="utf-8")
    waiting = f"; {glance.waiting} answers wait to be graded by hand" if glance.waiting else ""
    say(f"wrote grades.csv, moodle.csv, canvas.csv and report.csv{waiting}")
    say(f"the class at a glance: {page}")


def handed_in(name: str) -> list[str]:
    """Bring `submitted` into order; the students of whom there is something in it."""
    if not Path("release", name, f"{name}.ipynb").exists():
        raise CourseError(f"{name} was not released; run: {COMMAND} release {name}")
    for line in collecting.tidy(name):
        say(line)
    everybody = sorted(path.parent.name for path in Path("submitted").glob(f"*/{name}"))
    if not everybody:
        raise CourseError(f"nobody handed in {name}; run: {COMMAND} collect {name} FOLDER")
    return everybody


# --- the command line ---------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Hand out, collect, grade.")
    commands = parser.add_subparsers(dest="command", required=True)
    releasing = commands.add_parser("release", help="make the notebooks for students")
    releasing.add_argument("names", nargs="*", help="assignments (default: all in source)")
    collecting = commands.add_parser("collect", help="put what came in where grading finds it")
    collecting.add_argument("name", help="the assignment")
    collecting.add_argument("folder", type=Path, help="or archive: a folder or a notebook named after each student")
    grading = commands.add_parser("grade", help="grade, write feedback, grades.csv and report.csv")
    grading.add_argument("name", help="the assignment")
    grading.add_argument("students", nargs="*", help="ids (default: everybody)")
    reporting = commands.add_parser("report", help="write feedback and tables again, after grading by hand")
    reporting.add_argument("name", help="the assignment")
    grading.add_argument("--weak", action="store_true", help="grade even where students' code can read right answers")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = vars(parse(arguments))
    commands: dict[str, Callable[..., bool | None]] = {
        "release": release,
        "collect": collect,
        "grade": grade,
        "report": report,
    }
    command = commands[options.pop("command")]
    try:
        return 1 if command(**options) is False else 0
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
