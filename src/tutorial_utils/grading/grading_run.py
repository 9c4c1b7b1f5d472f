"""Grade many submissions: side by side, once more where that failed, and on from where an interrupted run was."""

import hashlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from tutorial_utils.exercises.run import time_limit
from tutorial_utils.grading import collecting, own_checks, regrading
from tutorial_utils.grading.course_folder import CONFIG, book_of, last_words, open_course, say
from tutorial_utils.grading.inbox import notebooks_in
from tutorial_utils.grading.lateness import words

NOT_GRADED = "NOT GRADED"
FEW = 5
"""How many are done before it is said how long the others may take: the first ones wait for everything to load."""
ENOUGH = 3
"""How many fail once more for one reason before the others are not tried."""
PROCESSES = min(4, os.cpu_count() or 1)
"""How many submissions are graded at a time."""
LONGEST = 120
"""Seconds of processor time that grading may take here, for one submission; the students' code runs elsewhere."""


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
