"""A small course from end to end, in a folder with a space: own exercise, Moodle's zip, late, by hand, again."""

import csv
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import course
import editions
import website
from tutorial_utils.grading import cli
from tutorial_utils.grading.course_folder import CourseError, book_of, open_course

pytestmark = pytest.mark.slow

NAME = "means"
NOON = 1_800_000_000
"""Seconds, of 2027-01-15 08:00 UTC, when the exercises are due."""
CHECKS = """
from tutorial_utils.exercises.registry import exercise
from tutorial_utils.exercises.toolbox import between, normal

@exercise(
    "our-mean",
    inputs=lambda *, generator: (normal(9, generator=generator, mean=3),),
    mistakes={"That is the sum. Divide it by the number of entries.": lambda x: x.sum()},
)
def our_mean(x):
    return x.mean()

@exercise("our-square", inputs=lambda *, generator: (between(10, 90, generator=generator),), value=True)
def our_square(n):
    return n**2
"""
CONFIG = """
c.LatePenalty.due = {"means": "2027-01-15 08:00:00 UTC"}
c.LatePenalty.percent_per_day = 50.0
"""
ROSTER = """id,name,email,lms
ada,Ada Lovelace,ada@uni.example,11
bob,Bob <b>Moss</b>,bob@uni.example,12
zoe,Zoë Li,,13
mia,Mia,,14
"""
ESSAY = "<img src=x onerror=alert(1)> The mean of one number is that number, I think."


def cell(kind: str, source: str, name: str = "", **facts: object) -> NotebookNode:
    about = {"schema_version": 3, "grade_id": name, "task": False, "solution": False, "grade": False, "locked": False}
    metadata = {"nbgrader": about | facts} if name else {}
    made: NotebookNode = getattr(nbformat.v4, f"new_{kind}_cell")(source, metadata=metadata)
    return made


def source(check: str = 'check("our-mean", mean, later=True)') -> NotebookNode:
    """A notebook that an instructor wrote: two exercises with checks of their own, one in words."""
    answer = "def mean(x):\n    ### BEGIN SOLUTION\n    return x.mean()\n    ### END SOLUTION"
    square = 'square = data("our-square", student_id=student_id)\n### BEGIN SOLUTION\nsquare = 1\n### END SOLUTION'
    graded = {"grade": True, "locked": True, "points": 4}
    cells = [
        cell("markdown", "# Means"),
        cell("code", "from tutorial_utils.exercises import check, data\nstudent_id = None"),
        cell("markdown", "## Mean"),
        cell("code", answer, "mean", solution=True),
        cell("code", check, "mean-check", **graded),
        cell("markdown", "## Square"),
        cell("code", square, "square", solution=True),
        cell("code", 'check("our-square", square, student_id=student_id, later=True)', "square-check", **graded),
        cell("markdown", "## Why"),
        cell("markdown", "Because.", "why", solution=True, grade=True, points=2),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def run(folder: Path, *words: str, code: int = 0) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "tutorial_utils.grading", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answered(released: NotebookNode, mean: str, square: str, id: str = "None", more: str = "") -> str:
    nb = nbformat.from_dict(released)
    nb.cells[1].source = nb.cells[1].source.replace("None", id)
    nb.cells[3].source, nb.cells[6].source = mean, square
    if more:
        nb.cells.append(nbformat.v4.new_markdown_cell(more))
    return json.dumps(nb)


RIGHT, SUM = "def mean(x):\n    return x.mean()", "def mean(x):\n    return x.sum()"
SQUARE = 'square = data("our-square", student_id=student_id) ** 2'
FIRST = "ada@uni.example"


@dataclass
class Course:
    """A graded course, and what each command printed."""

    folder: Path
    printed: dict[str, str] = field(default_factory=dict)

    def remark(self, student: str, exercise: str) -> str:
        """What the report says."""
        rows = table(self.folder / "report.csv")
        return next(row["remark"] for row in rows if (row["student"], row["exercise"]) == (student, exercise))

    def points(self) -> dict[str, str]:
        """The points in Moodle's table."""
        return {row["ID number"]: row[NAME] for row in table(self.folder / "moodle.csv")}


def files(released: NotebookNode) -> dict[str, tuple[str, int]]:
    """What students hand in, and when."""
    typed = f"square = {_number(None) ** 2}"
    return {
        "Ada Lovelace_11_assignsubmission_file_/means.ipynb": (
            answered(released, RIGHT, SQUARE, repr(FIRST), ESSAY),
            NOON - 9000,
        ),
        "Bob Moss_12_assignsubmission_file_/means (1).ipynb": (answered(released, SUM, typed), NOON + 90_000),
        "Li Zoe_13_assignsubmission_file_/x.ipynb": (answered(released, RIGHT, SQUARE, "'ada'"), NOON - 300),
        "Somebody Else_99_assignsubmission_file_/means.ipynb": (answered(released, RIGHT, SQUARE), NOON),
    }


def _number(id: str | None) -> int:
    from tutorial_utils.exercises import data

    return int(data("our-square", student_id=id))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    folder = tmp_path_factory.mktemp("courses") / "my course"
    course.make(folder, [])
    (folder / "checks.py").write_text(CHECKS)
    (folder / "roster.csv").write_text(ROSTER)
    with (folder / "nbgrader_config.py").open("a") as config:
        config.write(CONFIG)
    path = folder / "source" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(nbformat.writes(source()))
    done = Course(folder)
    done.printed["release"] = run(folder, "release")
    released = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    before = Path.cwd()
    os.chdir(folder)
    open_course()  # registers the course's exercises here, too
    os.chdir(before)
    with zipfile.ZipFile(folder / "all.zip", "w") as zipped:
        for name, (text, when) in files(released).items():
            zipped.writestr(zipfile.ZipInfo(name, time.localtime(when)[:6]), text)
    done.printed["collect"] = run(folder, "collect", NAME, "all.zip")
    done.printed["grade"] = run(folder, "grade", NAME, "--weak")
    yield done


def test_who_cannot_be_matched_is_kept_and_the_rest_is_collected(made: Course) -> None:
    assert "NOT MATCHED: 'Somebody Else' (number 99)" in made.printed["collect"]
    assert "nothing came from mia" in made.printed["collect"]
    assert len(list((made.folder / "unmatched" / NAME).glob("*/*.ipynb"))) == 1


def test_exercises_of_ones_own_are_graded_with_their_hints(made: Course) -> None:
    assert "Right: as expected" in made.remark("ada", "mean-check")
    assert "That is the sum." in made.remark("bob", "mean-check")
    assert not list(made.folder.glob("release/**/checks.py"))


def test_right_numbers_of_the_notebooks_own_id_count(made: Course) -> None:
    assert "Right" in made.remark("ada", "square-check")
    assert f"student_id = '{FIRST}'" in made.remark("ada", "square-check")
    assert "leaves student_id at None" in made.remark("bob", "square-check")
    assert "Right" in made.remark("bob", "square-check")
    assert "'ada', and 'zoe' handed it in" in made.remark("zoe", "square-check")


def test_late_costs_what_the_rule_says(made: Course) -> None:
    assert "handed in 25 hours late" in made.remark("bob", "")
    (bob,) = (row for row in table(made.folder / "grades.csv") if row["student_id"] == "bob")
    assert (bob["raw_score"], bob["late_submission_penalty"], bob["score"]) == ("4.0", "4.0", "0.0")


def test_platforms_get_points_and_no_unfinished_ones(made: Course) -> None:
    assert made.points() == {"ada": "", "bob": "0", "zoe": "4", "mia": ""}
    canvas = table(made.folder / "canvas.csv")
    assert canvas[0][NAME] == "10"
    assert [(row["ID"], row["SIS Login ID"], row[NAME]) for row in canvas[1:3]] == [
        ("11", "ada", ""),
        ("12", "bob", "0"),
    ]


def test_an_answer_beside_its_place_waits(made: Course) -> None:
    assert "to grade by hand; text was added near the place to answer" in made.remark("ada", "why")
    assert made.remark("bob", "why") == ""
    assert "1 answers wait" in made.printed["grade"]


def test_the_page_shows_the_class_and_runs_nothing(made: Course) -> None:
    page = (made.folder / "class" / f"{NAME}.html").read_text(encoding="utf-8")
    assert "That is the sum. Divide it by the number of entries." in page
    assert "return x.sum()" in page
    assert not re.search(r"<script|<img|<b>Moss|onerror=|https?://", page)
    rows = table(made.folder / "class" / f"{NAME}.csv")
    assert [row["students"] for row in rows if row["about"] == "misconception" and row["exercise"] == "our-mean"] == [
        "1"
    ]


def test_after_grading_by_hand_report_writes_all_again_and_a_regrade_asks_no_more(made: Course) -> None:
    before = Path.cwd()
    os.chdir(made.folder)
    try:
        with book_of(open_course()) as book:
            essay = book.find_grade("why", NAME, NAME, "ada")
            essay.manual_score, essay.needs_manual_grade = 1.5, False
            book.db.commit()
    finally:
        os.chdir(before)
    run(made.folder, "report", NAME)
    assert made.points()["ada"] == "9.5"
    assert "9.5" in (made.folder / "feedback" / "ada" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    run(made.folder, "grade", NAME, "ada", "--weak")
    assert made.points()["ada"] == "9.5"
    assert made.remark("ada", "why") == "graded by hand"


# --- what goes out ------------------------------------------------------------------------------------


def test_links_lead_to_the_published_book_and_students_read_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "ada/starts")
    master = editions.MASTERS / "10-batchnorm-training.md"
    text = "\n".join(cell.source for cell in course.source(master, "https://book.example/").cells)
    assert "](https://book.example/chapters/10-batchnorm-training.html)" in text
    assert "](.." not in text
    assert '%pip install "tutorial-utils[chapters]@git+https://github.com/ada/starts"' in text
    monkeypatch.delenv("GITHUB_REPOSITORY")
    monkeypatch.setattr(website, "repository", lambda: None)
    bare = course.source(master).cells[0].source
    assert "the chapter BatchNorm while training" in bare
    assert "](" not in bare
    assert "pip install" not in bare


@pytest.mark.parametrize(
    "repository, address",
    [
        (None, ""),
        ("https://github.com/Ada/starts", "https://ada.github.io/starts/"),
        ("https://github.com/Ada/ada.github.io", "https://ada.github.io/"),
    ],
)
def test_the_published_book_of_a_repository(repository: str | None, address: str) -> None:
    assert website.published(repository) == address


# --- what is refused ----------------------------------------------------------------------------------

REFUSED: dict[str, Callable[[NotebookNode], object]] = {
    "its code is no check": lambda nb: setattr(nb.cells[4], "source", "assert mean(torch.ones(2)) == 1"),
    "nothing else in it would count": lambda nb: setattr(
        nb.cells[4], "source", nb.cells[4].source + "\nassert mean(1) == 1"
    ),
    "checks 'no-such', which is registered nowhere": lambda nb: setattr(
        nb.cells[4], "source", 'check("no-such", mean)'
    ),
    'Write check("our-mean", mean, later=True)': lambda nb: setattr(nb.cells[4], "source", 'check("our-mean", mean)'),
    "is a text in which nobody answers": lambda nb: nb.cells[9].metadata.nbgrader.update(solution=False),
    "2 cells called mean": lambda nb: nb.cells.append(cell("code", "pass", "mean", solution=True)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_nobody_could_grade_is_not_released(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my course"
    course.make(folder, [])
    (folder / "checks.py").write_text(CHECKS)
    nb = source()
    REFUSED[words](nb)
    path = folder / "source" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(nbformat.writes(nb))
    monkeypatch.chdir(folder)
    with pytest.raises(CourseError) as refusal:
        cli.release([])
    assert words in str(refusal.value)
    assert f"source/{NAME}/{NAME}.ipynb" in str(refusal.value)
    assert not list(Path().glob("release/*"))


@pytest.mark.parametrize(
    "text, words",
    [
        ("x = ", "checks.py, line 1: SyntaxError"),
        ("import no_such_module_here", "checks.py, line 1: ModuleNotFoundError"),
        (CHECKS.replace("return x.mean()", "raise KeyError"), "our-mean: its inputs or its right answer fail"),
        (CHECKS.replace("lambda x: x.sum()", "lambda x: x.mean()"), "our-mean: this mistake is taken for right"),
        (CHECKS.replace("our-mean", "bn-forward"), "registered already"),
    ],
)
def test_a_faulty_exercise_of_ones_own_is_named(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my course"
    course.make(folder, [])
    (folder / "checks.py").write_text(text)
    monkeypatch.chdir(folder)
    with pytest.raises(CourseError, match=re.escape(words)):
        cli.release([])


def test_a_date_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course.make(tmp_path / "my course", [])
    monkeypatch.chdir(tmp_path / "my course")
    with Path("nbgrader_config.py").open("a") as config:
        config.write("c.LatePenalty.due = {'means': 'soon'}")
    with pytest.raises(CourseError, match=r"c.LatePenalty.due has 'soon' for means; it must be a time, such as"):
        cli.due(open_course(), NAME)
