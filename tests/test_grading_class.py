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
from pathlib import Path, PurePath

import grading_class
import nbformat
import pytest
from grading_class import CLASS, NAME, SECRET, Paper, Student
from nbformat import NotebookNode

import course
import editions
from tutorial_utils.grading import submissions
from tutorial_utils.grading.isolation import NAMESPACES
from tutorial_utils.grading.process import available

pytestmark = pytest.mark.slow

MASTER = editions.MASTERS / f"{NAME}.md"
# What never ends is waited for as long as these say; what is honest takes a second at most.
LIMITS = """
c.GradeAnswers.call_seconds = 4.0
c.GradeAnswers.cell_seconds = 5.0
c.GradeAnswers.submission_seconds = 90.0
c.GradeAnswers.memory_megabytes = 512
"""


FILES_THAT_ARE_NONE = ("broken_json", "empty_file", "wrong_shape_of_json", "deep_json", "many_cells")


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


def temporary(folder: Path) -> Path:
    """Where the commands in a course keep what they need for a while; their helpers have it in their command lines."""
    return folder.with_name(f"{folder.name}-temporary")


def command(folder: Path, *words: str) -> str:
    """What one of the three commands prints."""
    words = (sys.executable, "-m", "tutorial_utils.grading", *words)
    temporary(folder).mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(temporary(folder))}
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment)
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
    place = inbox / (student.place or f"{student.name}/{student.file}")
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(made, PurePath):
        place.symlink_to(inbox / made)
        return
    text = made if isinstance(made, str) else json.dumps(made)
    text = text.replace("COURSE", str(folder)).replace("PACKAGE", str(editions.MASTERS.parent))
    place.write_text(text.replace("INBOX", str(inbox)), encoding="utf-8", newline="")


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
    return student.extra + sum(facts[exercise].points for exercise in student.earns)


def test_the_class_answers_every_exercise_that_a_check_gives_points_for() -> None:
    checks = [cell for cell in course.source(MASTER).cells if submissions.is_check(cell)]
    asked = {submissions.what_is_checked(cell.source).id for cell in checks}
    assert asked == grading_class.ALL


def test_the_class_is_large_and_mixed() -> None:
    assert len(CLASS) >= 75
    assert sum(student.hostile for student in CLASS) >= 40


def test_everybody_is_in_the_table(graded: Graded, students: list[Student]) -> None:
    assert sorted(graded.points) == sorted(student.name for student in students)


@pytest.mark.parametrize("student", CLASS, ids=[student.name for student in CLASS])
def test_the_grade_is_that_of_the_right_answers(student: Student, graded: Graded, students: list[Student]) -> None:
    if student not in students:
        pytest.skip("only namespaces hold this off")
    report = {exercise: graded.report[student.name, f"{exercise}-check"] for exercise in grading_class.ALL}
    right = {exercise for exercise, (points, _) in report.items() if points == editions.all_facts()[exercise].points}
    assert right == student.earns, report
    assert graded.points[student.name] == expected(student)
    assert graded.feedback(student.name)


def test_what_cannot_be_read_is_named_in_the_report(graded: Graded) -> None:
    for name in (*FILES_THAT_ARE_NONE, "saves_huge_outputs", "links_to_ada"):
        assert "could not be read" in graded.report[name, "bn-forward-check"][1]
        assert "could not be read" in graded.feedback(name)


def test_the_written_answer_waits_for_a_person(graded: Graded) -> None:
    assert graded.report["ada", "bn-useless-bias-solution"] == (0, "to grade by hand")
    for name in ("untouched", "saved_on_windows", "saved_by_vscode"):
        assert graded.report[name, "bn-useless-bias-solution"] == (0, "")


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
    read = [one for one in students if one.name in (*FILES_THAT_ARE_NONE, "saves_huge_outputs", "links_to_ada")]
    assert f"<b>{len(read)}</b> could not be read" in page
    assert "This cell was not in the submission" not in page
    assert not re.search(r"<script|<img|onerror=\w|javascript:", page)


def test_feedback_says_what_the_checker_says(graded: Graded) -> None:
    assert "You divided the squares by m - 1." in graded.feedback("mistaken")
    assert "your function agrees" in graded.feedback("ada")


def test_feedback_names_the_cell_that_was_left_out(graded: Graded) -> None:
    assert "it was left out" in graded.feedback("leaves")
    assert "it was left out" not in graded.feedback("ada")


def test_who_met_a_limit_waits_for_a_person(graded: Graded) -> None:
    points, remark = graded.report["too_slow", "bn-largest-output-check"]
    assert points == 0
    assert remark.startswith("NOT GRADED. The cell that begins with `import time`: It took more than the 5 seconds")
    assert "1 NOT GRADED" in graded.printed
    assert "waiting for you: " in graded.printed


def test_each_part_has_its_reason(graded: Graded) -> None:
    points, remark = graded.report["two_of_three", "bn-backward-check"]
    assert points == 3
    assert remark.startswith("Not yet. ")
    assert "2 of 3 parts are right: d_z: right d_gamma: " in remark


def test_nobody_reaches_what_forked_them_or_what_another_left(graded: Graded, isolated: bool) -> None:
    if not isolated:
        pytest.skip("only namespaces hold this off")
    for name in ("reaches_back", "reaches_again"):
        assert "Your code raised ValueError: nothing" in graded.report[name, "bn-forward-check"][1]


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
        assert not [one for one in running if str(temporary(graded.folder)).encode() in one]
    assert list(temporary(graded.folder).iterdir()) == []
    left = {path.name for path in graded.folder.iterdir()}
    made = {"autograded", "class", "feedback", "gradebook.db", "release", "source", "submitted"}
    tables = {"canvas.csv", "collected.csv", "grades.csv", "moodle.csv", "report.csv"}
    assert left == made | tables | {"nbgrader_config.py"}
