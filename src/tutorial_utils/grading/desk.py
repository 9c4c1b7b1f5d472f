"""The instructor's three commands: release an assignment, collect what came in, grade it.

They run in a course folder that `tools/course.py` made, and leave everything where nbgrader's own commands and its
formgrader expect it.

>>> last_words({"log": "ValueError: no such thing"})
'ValueError: no such thing'
"""

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import CsvExportPlugin
from nbgrader.utils import capture_log, temp_attrs
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from tutorial_utils.exercises.run import time_limit
from tutorial_utils.grading import collecting
from tutorial_utils.grading.isolation import available
from tutorial_utils.grading.report import rows_of, write_report

CONFIG = "nbgrader_config.py"
NOT_GRADED = "NOT GRADED"
PROCESSES = min(4, os.cpu_count() or 1)
"""How many submissions are graded at a time."""
LONGEST = 120
"""Seconds of processor time that grading may take here, for one submission; the students' code runs elsewhere."""


class DeskError(Exception):
    """What is wrong and what to do about it, in plain words."""


@dataclass(frozen=True)
class Course:
    """The course in the current folder."""

    #: What its nbgrader_config.py says.
    config: Config
    #: Where nbgrader keeps what.
    places: CourseDirectory

    def book(self) -> Gradebook:
        """The grade book; use it in a with statement."""
        return Gradebook(self.places.db_url, self.places.course_id)

    def convert(self, kind: type[Any], name: str, student: str = "*") -> dict[str, Any]:
        """Let one of nbgrader's converters work on an assignment; whether it succeeded, and what it said."""
        with temp_attrs(self.places, assignment_id=name, student_id=student):
            converter = kind(coursedir=self.places, config=self.config)
            converter.force = True
            result: dict[str, Any] = capture_log(converter)
            return result


def open_course() -> Course:
    """Set nbgrader up for the course in the current folder.

    Errors: DeskError if the folder is none.
    """
    if not Path(CONFIG).exists():
        raise DeskError(
            f"{Path.cwd()} is no course folder: it has no {CONFIG}. Make one: python tools/course.py FOLDER"
        )
    warnings.filterwarnings("ignore", module="nbgrader")  # of SQLAlchemy, about how nbgrader uses it
    # nbgrader starts its helper programs by name; they lie beside this Python.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    config = Config(PyFileConfigLoader(CONFIG).load_config())
    config.CourseDirectory.root = str(Path.cwd())
    return Course(config, CourseDirectory(config=config))


def last_words(result: dict[str, Any]) -> str:
    """The exception behind something that failed, from what nbgrader said."""
    lines = [line.strip() for line in str(result.get("log") or result.get("error")).splitlines()]
    told = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Start|TimeUp)\b", line)]
    return (told or lines)[-1]


def release(names: list[str]) -> list[str]:
    """Make the notebooks for students from those in `source`; a line for each.

    Errors: DeskError if nbgrader refuses.
    """
    course, lines = open_course(), []
    known = sorted(path.parent.name for path in Path("source").glob("*/*.ipynb"))
    if unknown := set(names) - set(known):
        raise DeskError(f"source has no {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    for name in names or known:
        if not (result := course.convert(GenerateAssignment, name))["success"]:
            raise DeskError(f"{name}: {last_words(result)}")
        lines.append(f"{name}: hand out release/{name}/{name}.ipynb")
    return lines


def collect(name: str, folder: Path) -> list[str]:
    """Put what came in where grading finds it; a line for each student, with a remark where something was odd.

    Errors: DeskError if there is no such folder or archive, or it cannot be unpacked.
    """
    open_course()
    try:
        return collecting.collect(name, folder)
    except (OSError, ValueError) as error:
        raise DeskError(str(error)) from None


def grade(name: str, students: list[str], say: Callable[[str], object] = print) -> bool:
    """Autograde, write feedback, export `grades.csv` and `report.csv`; whether every submission could be graded.

    Errors: DeskError if the assignment was not released, or nobody handed in.
    """
    course = open_course()
    if not Path("release", name, f"{name}.ipynb").exists():
        raise DeskError(f"{name} was not released; run: python -m tutorial_utils.grading release {name}")
    for line in collecting.tidy(name):
        say(line)
    everybody = sorted(path.parent.name for path in Path("submitted").glob(f"*/{name}"))
    if not everybody:
        raise DeskError(f"nobody handed in {name}; run: python -m tutorial_utils.grading collect {name} FOLDER")
    if missing := set(students) - set(everybody):
        raise DeskError(f"submitted holds nothing of {', '.join(sorted(missing))}")
    how = available(Path.cwd())
    say(f"isolation: {how.name}, {how.words}")
    failed = grade_all(name, students or everybody, say)
    with course.book() as book:
        CsvExportPlugin(to="grades.csv").export(book)
        rows = [row for student in everybody for row in rows_of(book, name, student, failed.get(student, ""))]
    write_report(name, rows, how.name)
    say(f"wrote grades.csv and report.csv; feedback is in feedback/STUDENT/{name}")
    return not failed


def grade_all(name: str, students: list[str], say: Callable[[str], object]) -> dict[str, str]:
    """Grade submissions side by side, and once more alone where that failed; those that failed again, and why."""
    failed = [one for one, line in side_by_side(name, students, PROCESSES) if not tell(say, one, line)]
    again = (pair for one in failed for pair in side_by_side(name, [one], 1))
    return {one: line for one, line in again if not tell(say, one, line)}


def tell(say: Callable[[str], object], student: str, line: str) -> bool:
    """Say what came of a submission; whether it was graded."""
    say(f"{student}: {line}")
    return not line.startswith(NOT_GRADED)


def side_by_side(name: str, students: list[str], processes: int) -> Iterator[tuple[str, str]]:
    """Grade submissions in processes of their own; a line on each."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = {student: pool.submit(grade_one, name, student) for student in students}
        for student, future in futures.items():
            try:
                yield student, future.result()
            except BrokenProcessPool:
                yield student, f"{NOT_GRADED}: the process that graded was ended"


def grade_one(name: str, student: str) -> str:
    """Grade one submission and write its feedback; the points, or why there are none."""
    course = open_course()
    path, remark = collecting.choose(name, collecting.notebooks_in(Path("submitted", student, name)))
    if path is None:
        return f"{NOT_GRADED}: {remark}"
    for kind in (Autograde, GenerateFeedback):
        with time_limit(LONGEST, of_work=True):
            if not (result := course.convert(kind, name, student))["success"]:
                return f"{NOT_GRADED}: {last_words(result)}"
    with course.book() as book:
        submission = book.find_submission(name, student)
        waiting = sum(one.needs_manual_grade for notebook in submission.notebooks for one in notebook.grades)
        by_hand = f", {waiting} to grade by hand" if waiting else ""
        return f"{submission.score:g} of {submission.max_score:g}{by_hand}"
