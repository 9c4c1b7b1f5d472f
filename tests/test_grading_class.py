"""A class hands in and is graded: everybody gets the points of their own right answers, and no others."""

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grading_class
import nbformat
import pytest
from grading_class import CLASS, NAME, SECRET, Paper, Student
from nbformat import NotebookNode

import course
import editions
from tutorial_utils.grading import submissions
from tutorial_utils.grading.isolation import NAMESPACES, available

pytestmark = pytest.mark.slow

MASTER = editions.MASTERS / f"{NAME}.md"
LIMITS = """
c.GradeAnswers.call_seconds = 8.0
c.GradeAnswers.cell_seconds = 10.0
c.GradeAnswers.exercise_seconds = 30.0
c.GradeAnswers.memory_megabytes = 512
"""


@dataclass(frozen=True)
class Graded:
    """A course after grading."""

    folder: Path
    #: What the three commands printed.
    printed: str
    #: Points by student, from grades.csv.
    points: dict[str, float]
    #: Points and remark by student and exercise, from report.csv.
    report: dict[tuple[str, str], tuple[float, str]]
    #: How the code was fenced in.
    isolation: str

    def feedback(self, name: str) -> str:
        """The page that a student gets back."""
        return (self.folder / "feedback" / name / NAME / f"{NAME}.html").read_text(encoding="utf-8")


def command(folder: Path, *words: str) -> str:
    """What one of the three commands prints."""
    run = subprocess.run(
        [sys.executable, "-m", "tutorial_utils.grading", *words], cwd=folder, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert not run.stderr, run.stderr
    return run.stdout


def solutions() -> dict[str, str]:
    """The right code of each answer cell, by nbgrader's name for it."""
    answers = [cell for cell in course.source(MASTER).cells if submissions.is_answer(cell) and cell.cell_type == "code"]
    return {cell.metadata.nbgrader.grade_id: editions.SOLUTION.sub(r"\2", cell.source) for cell in answers}


def hand_in(student: Student, released: NotebookNode, inbox: Path, folder: Path) -> None:
    """Write a student's file into a folder of their own."""
    made = student.write(Paper(nbformat.from_dict(released), solutions()))
    text = made if isinstance(made, str) else json.dumps(made)
    place = inbox / student.name
    place.mkdir(parents=True)
    text = text.replace("COURSE", str(folder)).replace("PACKAGE", str(editions.MASTERS.parent))
    (place / student.file).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> bool:
    return available(tmp_path_factory.mktemp("empty")) is NAMESPACES


@pytest.fixture(scope="module")
def students(isolated: bool) -> list[Student]:
    return [student for student in CLASS if isolated or not student.needs_isolation]


@pytest.fixture(scope="module")
def graded(students: list[Student], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:
    folder, inbox = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("inbox")
    course.make(folder, [MASTER])
    with (folder / "nbgrader_config.py").open("a") as file:
        file.write(LIMITS)
    printed = command(folder, "release")
    released = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    for student in students:
        hand_in(student, released, inbox, folder)
    begin = time.monotonic()
    printed += command(folder, "collect", NAME, str(inbox)) + command(folder, "grade", NAME, "--weak")
    print(f"{time.monotonic() - begin:.0f} s for {len(students)} submissions\n{printed}")
    with (folder / "grades.csv").open() as file:
        points = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    with (folder / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    report = {(row["student"], row["exercise"]): (float(row["points"]), row["remark"]) for row in rows}
    yield Graded(folder, printed, points, report, rows[0]["isolation"])


def expected(student: Student) -> float:
    facts = editions.all_facts()
    return float(sum(facts[exercise].points for exercise in student.earns))


def test_the_class_is_large_and_mixed() -> None:
    assert len(CLASS) >= 30
    assert sum(student.hostile for student in CLASS) >= 15


def test_everybody_is_in_the_table(graded: Graded, students: list[Student]) -> None:
    assert sorted(graded.points) == sorted(student.name for student in students)


@pytest.mark.parametrize("student", CLASS, ids=[student.name for student in CLASS])
def test_the_grade_is_that_of_the_right_answers(student: Student, graded: Graded, students: list[Student]) -> None:
    if student not in students:
        pytest.skip("only namespaces hold this off")
    report = {exercise: graded.report[student.name, f"{exercise}-check"] for exercise in grading_class.ALL}
    right = {exercise for exercise, (points, _) in report.items() if points}
    assert right == student.earns, report
    assert graded.points[student.name] == expected(student)
    assert graded.feedback(student.name)


def test_what_cannot_be_read_is_named_in_the_report(graded: Graded) -> None:
    for name in ("broken_json", "empty_file", "wrong_shape_of_json", "deep_json", "many_cells"):
        assert "could not be read" in graded.report[name, "bn-forward-check"][1]
        assert "could not be read" in graded.feedback(name)


def test_the_written_answer_waits_for_a_person(graded: Graded) -> None:
    assert graded.report["ada", "bn-useless-bias-solution"] == (0, "to grade by hand")
    assert graded.report["untouched", "bn-useless-bias-solution"] == (0, "")


@pytest.mark.parametrize("name", [*grading_class.WROTE, "tracks_who_reads", "writes_what_nobody_can_show"])
def test_words_beside_their_place_wait_for_a_person(name: str, graded: Graded) -> None:
    assert graded.report[name, "bn-useless-bias-solution"][1].startswith("to grade by hand")
    assert "since the mean moves along" in " ".join(graded.feedback(name).split())


def test_a_place_that_was_left_alone_waits_for_nobody(graded: Graded) -> None:
    assert graded.report["only_a_name_on_top", "bn-useless-bias-solution"] == (0, "")
    assert graded.report["claims_points_for_words", "bn-useless-bias-solution"][0] == 0


def test_nothing_is_loaded_from_elsewhere_by_who_reads(graded: Graded) -> None:
    assert not re.search(r"<img[^>]*x\.example", graded.feedback("tracks_who_reads"))


def test_the_page_of_the_class_shows_everybody_and_runs_nothing(graded: Graded, students: list[Student]) -> None:
    page = (graded.folder / "class" / f"{NAME}.html").read_text(encoding="utf-8")
    assert [one.name for one in students if f"/{one.name}/" not in page] == []
    assert "You divided the squares by m - 1." in page
    assert not re.search(r"<script|<img|onerror=\w|javascript:", page)


def test_feedback_says_what_the_checker_says(graded: Graded) -> None:
    assert "You divided the squares by m - 1." in graded.feedback("mistaken")
    assert "your function agrees" in graded.feedback("ada")


def test_feedback_names_the_cell_that_was_left_out(graded: Graded) -> None:
    assert graded.feedback("leaves").count("It was left out") == 1
    assert "It was left out" not in graded.feedback("ada")


def test_feedback_shows_no_other_students_work(graded: Graded, students: list[Student]) -> None:
    assert SECRET in graded.feedback("ada")
    assert [one.name for one in students if one.name != "ada" and SECRET in graded.feedback(one.name)] == []


def test_no_text_of_a_student_runs_in_the_feedback(graded: Graded) -> None:
    page = graded.feedback("script")
    assert "<script>alert" not in page
    assert not re.search("<img[^>]*onerror", page)


def test_a_picture_is_named_and_not_loaded(graded: Graded) -> None:
    assert "[picture: derivation, attachment:image.png]" in graded.feedback("picture")


def test_no_table_holds_what_a_program_could_take_for_a_command(graded: Graded) -> None:
    for file in ("report.csv", "grades.csv", "moodle.csv", "canvas.csv", "collected.csv", f"class/{NAME}.csv"):
        with (graded.folder / file).open(encoding="utf-8", newline="") as table:
            cells = [cell for row in csv.reader(table) for cell in row]
        assert [cell for cell in cells if cell[:1] in set("=+-@") or not cell.isprintable()] == []


def test_the_renamed_file_is_remarked(graded: Graded) -> None:
    assert f"renamed_file: the file was called {NAME} (1).ipynb" in graded.printed


def test_the_isolation_is_reported(graded: Graded, isolated: bool) -> None:
    assert f"isolation: {graded.isolation}" in graded.printed
    assert (graded.isolation == "namespaces") is isolated


def test_nothing_is_left_behind(graded: Graded) -> None:
    if os.path.isdir("/proc"):
        running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
        assert not [one for one in running if b"grading.worker" in one and str(graded.folder).encode() in one]
    left = {path.name for path in graded.folder.iterdir()}
    made = {"autograded", "class", "feedback", "gradebook.db", "release", "source", "submitted"}
    tables = {"canvas.csv", "collected.csv", "grades.csv", "moodle.csv", "report.csv"}
    assert left == made | tables | {"nbgrader_config.py"}
