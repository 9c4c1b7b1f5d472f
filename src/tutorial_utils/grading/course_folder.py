"""A course folder: opened with nbgrader, its grade book, and what is said when something is wrong with it.

>>> last_words({"log": "ValueError: no such thing"})
'ValueError: no such thing'
"""

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from tutorial_utils.grading import own_checks

CONFIG = "nbgrader_config.py"


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


def say(line: str) -> None:
    """Print a line at once: grading a class takes its time."""
    print(line, flush=True)
