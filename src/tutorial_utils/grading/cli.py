"""Hand out, collect, grade, in a course folder: python -m tutorial_utils.grading {release,collect,grade,report}.

The commands leave everything where nbgrader's own commands and its formgrader expect it.

>>> last_words({"log": "ValueError: no such thing"})
'ValueError: no such thing'
"""

import argparse
import hashlib
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import CsvExportPlugin
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from tutorial_utils.exercises.run import time_limit
from tutorial_utils.grading import class_page, collecting, overview, own_checks, platforms, regrading, releasing
from tutorial_utils.grading.inbox import notebooks_in
from tutorial_utils.grading.isolation import NAMESPACES
from tutorial_utils.grading.lateness import LatePenalty, words
from tutorial_utils.grading.process import available
from tutorial_utils.grading.report import last_failures, rows_of, write_report

CONFIG = "nbgrader_config.py"
COMMAND = "python -m tutorial_utils.grading"
NOT_GRADED = "NOT GRADED"
FEW = 5
"""How many are done before it is said how long the others may take: the first ones wait for everything to load."""
ENOUGH = 3
"""How many fail once more for one reason before the others are not tried."""
PROCESSES = min(4, os.cpu_count() or 1)
"""How many submissions are graded at a time."""
LONGEST = 120
"""Seconds of processor time that grading may take here, for one submission; the students' code runs elsewhere."""


class CourseError(Exception):
    """What is wrong and what to do about it, in plain words."""


def open_course() -> NbGraderAPI:
    """Set nbgrader up for the course in the current folder."""
    if not Path(CONFIG).exists():
        raise CourseError(f"{Path.cwd()} is no course folder: it has no {CONFIG}. Make one: tools/course.py FOLDER")
    warnings.filterwarnings("ignore", module="nbgrader")  # of SQLAlchemy, about how nbgrader uses it
    # nbgrader starts its helper programs by name; they lie beside this Python.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    config = Config(PyFileConfigLoader(CONFIG).load_config())
    config.CourseDirectory.root = str(Path.cwd())
    try:
        own_checks.load(Path.cwd())
    except ValueError as error:
        raise CourseError(str(error)) from None
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def book_of(course: NbGraderAPI) -> Gradebook:
    """The grade book; use it in a with statement."""
    return Gradebook(course.coursedir.db_url, course.course_id)


def last_words(result: dict[str, Any]) -> str:
    """The exception behind something that failed, from what nbgrader said."""
    lines = [line.strip() for line in str(result.get("log") or result.get("error")).splitlines()]
    told = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Start|TimeUp)\b", line)]
    return (told or lines)[-1]


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


# --- many submissions ---------------------------------------------------------------------------------


def grade_all(name: str, students: Sequence[str], roster: str = "roster.csv") -> dict[str, str]:
    """Grade submissions side by side, and once more one by one where that failed; those that failed again, and why.

    Whom an interrupted run has graded is not graded again, unless the submission changed, the release, the settings, a
    course's own checks or the roster.
    """
    log = Progress(name, students, roster)
    if len(log.waiting) < len(students):
        say(f"going on: {len(students) - len(log.waiting)} of {len(students)} were graded before an interruption")
    failed = {}
    for student, line in side_by_side(name, log.waiting):
        log.note(student, line)
        if line.startswith(NOT_GRADED):
            failed[student] = line
    if failed:
        say(f"{len(failed)} could not be graded; once more, one by one:")
        failed = grade_again(name, log, failed)
    log.finish()
    if log.partly:
        say(f"in part {NOT_GRADED}, and waiting for you: {', '.join(sorted(log.partly))}; report.csv says why")
    return failed


def grade_again(name: str, log: "Progress", failed: dict[str, str]) -> dict[str, str]:
    """Grade some alone; where the first few fail again for one reason, the others are not tried."""
    still: dict[str, str] = {}
    for student, line in side_by_side(name, list(failed), processes=1):
        if line.startswith(NOT_GRADED):
            still[student] = line
        log.note(student, line)
        if len(still) == ENOUGH and len(set(still.values())) == 1:
            say(f"{ENOUGH} failed again for the same reason; the others are not tried")
            return {student: still.get(student, line) for student, line in failed.items() if student not in log.right}
    return still


def side_by_side(name: str, students: Sequence[str], processes: int = PROCESSES) -> Iterator[tuple[str, str]]:
    """Grade submissions in processes of their own; a line on each, as soon as it is known."""
    waiting = list(students)
    while waiting:  # a process that was ended takes the pool along, and those that wait for it
        with ProcessPoolExecutor(min(processes, len(waiting)), mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(grade_one, name, student): student for student in waiting}
            try:
                for future in as_completed(futures):
                    try:
                        line = future.result()
                    except BrokenProcessPool:
                        line = f"{NOT_GRADED}: the process that graded was ended"
                    yield futures[future], line
                    waiting.remove(futures[future])
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def grade_one(name: str, student: str) -> str:
    """Grade one submission and write its feedback; the points, or why there are none."""
    course = open_course()
    path, remark = collecting.choose(name, notebooks_in(Path("submitted", student, name)))
    if path is None:
        return f"{NOT_GRADED}: {remark}"
    with book_of(course) as book:
        before = regrading.state(book, name, student)
    for step in (course.autograde, course.generate_feedback):
        with time_limit(LONGEST, of_work=True):
            if not (result := step(name, student))["success"]:
                return f"{NOT_GRADED}: {last_words(result)}"
    with book_of(course) as book:
        regrading.settle(book, name, student, before)
        submission = book.find_submission(name, student)
        grades = [one for notebook in submission.notebooks for one in notebook.grades if one.needs_manual_grade]
        left = sum(one.cell.cell_type == "code" and one.manual_score is None for one in grades)
        by_hand = f", {len(grades) - left} to grade by hand" if len(grades) > left else ""
        by_hand += f", {left} {NOT_GRADED}" if left else ""
        penalty = submission.late_submission_penalty
        late = words(submission.total_seconds_late, penalty, submission.score)
        return f"{submission.score:g} of {submission.max_score:g}{by_hand}" + (f", {late}" if late else "")


class Progress:
    """Says how far grading is, and keeps it in a file, so that an interrupted run can go on."""

    def __init__(self, name: str, students: Sequence[str], roster: str) -> None:
        self._path, self._marks = Path(f"{name}.progress"), {one: mark(name, one, roster) for one in students}
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        #: Those to grade, and those who are graded.
        self.waiting = [one for one in students if f"{one} {self._marks[one]}" not in lines]
        self.right: set[str] = set()
        self.partly: set[str] = set()
        self._seen: set[str] = set()
        self._begin = time.monotonic()

    def note(self, student: str, line: str) -> None:
        """Say what came of a submission, how many there are, and how long the others may take."""
        self._seen.add(student)
        done, all = len(self._seen), len(self.waiting)
        seconds = (time.monotonic() - self._begin) / done * (all - done)
        left = f", about {math.ceil(seconds / 60)} min left" if done >= FEW and seconds > 60 else ""
        say(f"[{done}/{all}{left}] {student}: {line}")
        if not line.startswith(NOT_GRADED):
            self.right.add(student)
            self.partly |= {student} if NOT_GRADED in line else set()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{student} {self._marks[student]}\n")

    def finish(self) -> None:
        """Forget it: the next run grades everybody."""
        self._path.unlink(missing_ok=True)


def mark(name: str, student: str, roster: str) -> str:
    """What tells whether a grade is up to date, as one number: the submission, the release, the course's own files."""
    files = [
        *map(Path, (CONFIG, own_checks.FILE, roster)),
        *sorted(Path("release", name).glob("*")),
        *Path("submitted", student, name).glob("*"),
    ]
    content = b"".join(path.read_bytes() for path in files if path.is_file() and not path.is_symlink())
    return hashlib.sha256(content).hexdigest()


# --- the command line ---------------------------------------------------------------------------------


def say(line: str) -> None:
    """Print a line at once: grading a class takes its time."""
    print(line, flush=True)


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
