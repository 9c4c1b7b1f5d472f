"""A class at a glance, as data: who got what, which misconceptions how many share, who is stuck.

Everything comes from nbgrader's grade book and from the notebooks in `autograded` and `release`.

>>> misconception("bn-forward", "Not yet. Your code raised ValueError: 17 is too many. Try 3.")
Misconception(words='Your code raised ValueError: … is too many.', known=False)
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment

from tutorial_utils.exercises import EXERCISES
from tutorial_utils.grading import similarity, tables
from tutorial_utils.grading.collecting import Collect
from tutorial_utils.grading.submissions import MISSING, UNREADABLE, about, is_answer, is_check, what_is_checked

STATES = ("right", "part", "wrong", "open", "waiting")
"""All points, some, none, none and nothing was written, and: a person has to look."""
SAMPLE_LINES = 30
MOST_BINS = 10
STUCK = 0.5
"""Who has less than this share of the points is stuck."""


class Question(NamedTuple):
    """An exercise as it was handed out."""

    id: str
    title: str
    #: nbgrader's name of the cell that gives the points, and of those in which students answer.
    cell: str
    answers: tuple[str, ...]
    points: float
    #: Whether a check gives the points, and no person.
    is_code: bool = True
    #: What stood in the places to answer.
    given: str = ""


class Misconception(NamedTuple):
    """What was said to a wrong answer; known if it is one of those that the exercise has a hint for."""

    words: str
    known: bool


@dataclass(frozen=True)
class Answer:
    """What one student made of one exercise."""

    student: str
    question: Question
    points: float
    state: str
    #: What the checker said, and what the student wrote.
    said: str
    source: str


@dataclass(frozen=True)
class Shared:
    """A misconception that several have, with a short answer that shows it, "" if all stand elsewhere."""

    question: Question
    misconception: Misconception
    students: list[str]
    sample: str


@dataclass(frozen=True)
class Submission:
    """What one student handed in."""

    student: str
    points: float
    penalty: float
    answers: list[Answer]
    #: When it was handed in and by how much too late, if that is known; seconds that grading it took.
    when: str = ""
    seconds_late: float = 0.0
    seconds: float = 0.0
    #: Why it could not be graded.
    failed: str = ""
    #: Whether the file was no notebook of this assignment, so that there was nothing to grade.
    is_unreadable: bool = False


@dataclass(frozen=True)
class Overview:
    """A class and what became of one assignment."""

    name: str
    title: str
    most: float
    questions: list[Question]
    submissions: list[Submission]
    #: Those in the roster who handed in nothing.
    absent: list[str] = field(default_factory=list)
    due: str = ""

    @property
    def graded(self) -> list[Submission]:
        """The submissions that could be graded, the most points first."""
        found = [one for one in self.submissions if not one.failed]
        return sorted(found, key=lambda one: (-one.points, one.student))

    @property
    def mean(self) -> float:
        """The mean of the points, before what being late costs."""
        return fmean(one.points for one in self.graded) if self.graded else 0.0

    @property
    def middle(self) -> float:
        """The median of the points."""
        return median(one.points for one in self.graded) if self.graded else 0.0

    def of(self, question: Question) -> list[Answer]:
        """What everybody made of a question."""
        return [answer for one in self.graded for answer in one.answers if answer.question == question]

    def counts(self, question: Question) -> dict[str, int]:
        """How many have all points, some, none, nothing written, or wait for a person."""
        states = [answer.state for answer in self.of(question)]
        return {state: states.count(state) for state in STATES}

    @property
    def waiting(self) -> int:
        """How many answers wait for a person."""
        return sum(self.counts(question)["waiting"] for question in self.questions)

    @property
    def stuck(self) -> list[Submission]:
        """Who has less than half of the points that are decided, the fewest first."""
        found = []
        for one in self.graded:
            decided = [answer for answer in one.answers if answer.state != "waiting"]
            most = sum(answer.question.points for answer in decided)
            if sum(answer.points for answer in decided) < STUCK * most:
                found.append(one)
        return found[::-1]

    def distribution(self) -> list[tuple[float, float, int]]:
        """How many have points from one limit to below the next; the last holds its upper limit, too."""
        step = max(1, math.ceil(self.most / MOST_BINS))
        lows = range(0, max(1, math.ceil(self.most)), step)
        places = [min(int(one.points / step), len(lows) - 1) for one in self.graded]
        return [(low, min(low + step, self.most), places.count(number)) for number, low in enumerate(lows)]

    @property
    def misconceptions(self) -> list[Shared]:
        """What is wrong, the most common first; of as many, those that have a hint."""
        found: dict[tuple[Question, Misconception], list[Answer]] = {}
        for question in self.questions:
            for answer in self.of(question):
                if answer.state in ("wrong", "part") and (what := misconception(question.id, answer.said)).words:
                    found.setdefault((question, what), []).append(answer)
        shared = [
            Shared(question, what, [one.student for one in answers], sample(answers, question.given))
            for (question, what), answers in found.items()
        ]
        return sorted(shared, key=lambda one: (-len(one.students), not one.misconception.known))

    @property
    def similar(self) -> list[similarity.Pair]:
        """The pairs whose code is alike."""
        code = {one.student: "\n".join(a.source for a in one.answers if a.question.is_code) for one in self.graded}
        return similarity.alike(code, "\n".join(question.given for question in self.questions))


def misconception(id: str, said: str) -> Misconception:
    """What is behind the words of a check: the hint of a registered mistake, else a sentence without numbers."""
    text = " ".join(said.split())
    hints = [" ".join(mistake.hint.split()) for mistake in (EXERCISES[id].mistakes if id in EXERCISES else ())]
    if known := [hint for hint in hints if hint in text]:
        return Misconception(max(known, key=len), True)
    first = re.split(r"(?<=[.!?])\s", text.removeprefix("Not yet. "), maxsplit=1)[0]
    return Misconception(re.sub(r"-?\d[\d.e+-]*\d|\d", "…", first)[:240], False)


def sample(answers: Sequence[Answer], given: str = "") -> str:
    """The shortest of some answers, and of a long one the beginning; "" if all left their place as it was given."""
    written = [one.source for one in answers if one.source.strip() != given.strip()]
    lines = min(written, key=len, default="").splitlines()
    return "\n".join(lines[:SAMPLE_LINES] + ["…"] * (len(lines) > SAMPLE_LINES))


# --- reading ------------------------------------------------------------------------------------------


def read(book: Gradebook, name: str, settings: Collect, failed: Mapping[str, str]) -> Overview:
    """What became of an assignment; ``failed`` says why some could not be graded."""
    released = nbformat.read(Path("release", name, f"{name}.ipynb"), as_version=4)
    asked = list(questions(released))
    handed_in = sorted(path.parent.name for path in Path("submitted").glob(f"*/{name}"))
    found = [submission(book, name, student, asked, failed.get(student, "")) for student in handed_in]
    absent = settings.people().absent(handed_in)
    due = book.find_assignment(name).duedate
    most = sum(one.points for one in asked)
    return Overview(name, title(released) or name, most, asked, found, absent, f"{due or ''}")


def title(nb: NotebookNode) -> str:
    """The first heading of a notebook."""
    lines = [line for cell in nb.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "")


def questions(released: NotebookNode) -> Iterator[Question]:
    """The exercises of a notebook that was handed out, in its order."""
    heading, answers = "", list[NotebookNode]()
    for cell in released.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^##+ (.+)$", cell.source, re.MULTILINE)):
            heading = found[1]
        name = about(cell).get("grade_id", "")
        if is_answer(cell):
            answers.append(cell)
        if about(cell).get("grade"):
            id = what_is_checked(cell.source).id if is_check(cell) else name.removesuffix("-solution")
            points = float(about(cell)["points"])
            names = tuple(about(one)["grade_id"] for one in answers)
            yield Question(id, heading or id, name, names, points, is_check(cell), sources(answers))
            answers = []


def sources(cells: Iterable[NotebookNode]) -> str:
    """What stands in some cells."""
    return "\n\n".join(cell.source for cell in cells)


def submission(book: Gradebook, name: str, student: str, asked: Sequence[Question], failed: str) -> Submission:
    """What one student handed in, and got."""
    path = Path("autograded", student, name, f"{name}.ipynb")
    try:
        graded = None if failed or not path.exists() else book.find_submission(name, student)
    except MissingEntry:
        graded = None
    if graded is None:
        return Submission(student, 0.0, 0.0, [], failed=failed or "not graded yet")
    nb = nbformat.read(path, as_version=4)
    seconds = nb.metadata.get("grading", {}).get("seconds", 0.0)
    when = f"{graded.timestamp:%Y-%m-%d %H:%M}" if graded.timestamp else ""
    found, is_unreadable = list(answers(nb, student, asked, graded)), nb.cells[0].source.startswith(UNREADABLE)
    if is_unreadable:  # nothing was written wrong
        found = [replace(one, state="open") for one in found]
    penalty, late = graded.late_submission_penalty or 0.0, graded.total_seconds_late
    return Submission(student, graded.score, penalty, found, when, late, seconds, is_unreadable=is_unreadable)


def answers(nb: NotebookNode, student: str, asked: Sequence[Question], graded: SubmittedAssignment) -> Iterator[Answer]:
    """What one student made of each question."""
    cells = {about(cell)["grade_id"]: cell for cell in nb.cells if "grade_id" in about(cell)}
    grades = {grade.name: grade for notebook in graded.notebooks for grade in notebook.grades}
    for question in asked:
        if question.cell not in grades or question.cell not in cells:
            continue
        grade = grades[question.cell]
        outputs = cells[question.cell].get("outputs", [])
        said = " ".join(output.get("evalue") or str(output.get("text", "")) for output in outputs)
        source = sources(cells[one] for one in question.answers if one in cells)
        state = state_of(grade.score, question.points, said, source, bool(grade.needs_manual_grade))
        yield Answer(student, question, grade.score, state, said, source)


def state_of(points: float, most: float, said: str, source: str, waiting: bool) -> str:
    """What an answer came to, in one of the words of STATES."""
    if waiting:
        return "waiting"
    if points >= most:
        return "right"
    is_open = "not written yet" in said or not source.replace(MISSING, "").strip() or (not said and not points)
    return "part" if points > 0 else "open" if is_open else "wrong"


# --- the table ----------------------------------------------------------------------------------------

COLUMNS = ("about", "exercise", "what", "students", "of")


def write_table(overview: Overview, path: Path) -> None:
    """Write what the page shows as a table: points, misconceptions, distribution, pairs that are alike."""
    everybody = len(overview.graded)
    rows: list[tables.Row] = []
    for low, high, count in overview.distribution():
        rows.append(("distribution", "", f"{low:g} to {high:g} points", count, everybody))
    for question in overview.questions:
        counted = overview.counts(question).items()
        rows += [("points", question.id, state, count, everybody) for state, count in counted]
    for one in overview.misconceptions:
        rows.append(("misconception", one.question.id, one.misconception.words, len(one.students), everybody))
    rows += [("stuck", "", one.student, f"{one.points:g}", f"{overview.most:g}") for one in overview.stuck]
    rows += [("similar", "", f"{one.first} and {one.second}", f"{one.share:.2f}", 1) for one in overview.similar]
    tables.write(path, COLUMNS, rows)
