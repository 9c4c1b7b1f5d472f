"""A submission's code at arm's length: its cells run in a worker, and its functions perform there.

>>> with Session(["def double(x): return 2 * x", "a syntax error", "answer = double(21)"]) as session:
...     session.answer("answer"), session.answer("double"), session.stopped
(42, <double>, {1: 'SyntaxError: invalid syntax, in line `a syntax error`'})
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tutorial_utils.exercises.registry import Exercise, Function, Inputs
from tutorial_utils.exercises.run import Performance, Raised, TimeUp, snapshot
from tutorial_utils.grading.dependence import needed
from tutorial_utils.grading.isolation import NOTHING, Isolation
from tutorial_utils.grading.process import (
    ENDED,
    START,
    DidNotStart,
    Limits,
    Process,
    ProcessEnded,
    pickled,
    start,
)

LIMITS = Limits()
GRACE = 5.0
"""Seconds that a worker has beyond a limit of its own, to say that it was reached."""
ROUNDING = 0.05
"""Seconds that no longer count."""
TOO_SLOW = "It took more than the {0:g} seconds that a cell has (cell_seconds)"
LEFT_OUT = "It ended the process it ran in, or could not be stopped after {0:g} seconds (cell_seconds); it was left out"
NO_TIME = "It did not run to its end: the {0:g} seconds that a submission has were used up (submission_seconds)"
NOT_HERE = "went on without a module: "
LONGEST = 2000
"""Characters of what an exception says."""
GONE = (ProcessEnded, TimeUp, TypeError, ValueError)
"""What a worker that is gone leads to, or one that sends other things than replies."""


class NoValue(Exception):
    """What a request raised in the worker, as :class:`~tutorial_utils.exercises.run.Raised`."""


@dataclass
class Answer:
    """Something to call, but only in the worker: what stands for it, and what ended that it can be called."""

    expression: str
    lost: BaseException | None = None

    def __call__(self, *inputs: object) -> object:
        """Refuse; that it could be called is what tells it from a value."""
        raise TypeError(f"{self.expression} can only be called in its own process")

    def __repr__(self) -> str:
        """The expression."""
        return f"<{self.expression}>"


class Session:
    """A worker that runs the cells of a submission once; it is started anew for the next exercise if it was lost.

    ``data`` is what :func:`~tutorial_utils.exercises.checking.data` gives the student's cells, by exercise.
    """

    def __init__(
        self,
        cells: Sequence[str],
        student: str = "",
        data: Mapping[str, Any] | None = None,
        limits: Limits = LIMITS,
        isolation: Isolation = NOTHING,
    ) -> None:
        self._cells, self._student, self._data = list(cells), student, dict(data or {})
        self.limits, self._isolation = limits, isolation
        self._process: Process | None = None
        self._left = limits.submission
        self._done = 0
        #: What stopped a cell, or it went without, by its number, counted from 0.
        self.stopped: dict[int, str] = {}
        #: The cells that met a limit.
        self.limited: set[int] = set()
        self._left_out: set[int] = set()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def spent(self) -> bool:
        """Whether the submission has used up all its time."""
        return self._left < ROUNDING

    def answer(self, expression: str, after: int | None = None) -> Any:
        """The value of an expression after some first cells have run: data as it is, an Answer for what can be called.

        Args:
            expression: what stands in the check.
            after: how many cells run before it; all by default. Cells that ran already do not run again.

        Errors: NoValue; DidNotStart if no worker could be started at all.
        """
        self._run_to(len(self._cells) if after is None else after)
        try:
            kind, value = self._ask(self.limits.call + GRACE, "value", expression)
            if kind == "raised":
                raise NoValue(_raised(value))
        except GONE as error:
            raise NoValue(self._gone(error)) from None
        return Answer(expression) if kind == "call" else value

    def perform(self, exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype) -> Performance:
        """Let the exercise's observer see in the worker what an :class:`Answer` does with copies of the inputs."""
        assert isinstance(answer, Answer)
        try:
            if answer.lost is not None:
                raise answer.lost
            request = ("perform", answer.expression, exercise.observe, inputs, dtype, exercise.changes)
            raised, result, after = self._ask(self.limits.call + GRACE, *request)
            if not raised and len(after) != len(inputs):
                raise ProcessEnded(ENDED)
            return Performance(_raised(raised) if raised else result, after)
        except GONE as error:
            answer.lost = error
            return Performance(self._gone(error), snapshot(inputs))

    def needed(self, expression: str) -> list[int]:
        """The cells on which an expression depends that were stopped, or did not have all they need."""
        return [number for number in needed(expression, self._cells) if number in self.stopped]

    def why(self, number: int) -> str:
        """What stopped a cell, in a sentence that says which it is."""
        first = next((line for line in self._cells[number].splitlines() if line.strip()), "").strip()
        return f"The cell that begins with `{first[:60]}`: {self.stopped[number]}"

    def _gone(self, error: BaseException) -> Raised:
        """What a worker that is gone comes to, for the student."""
        words = f"more than {self.limits.call:g} seconds" if isinstance(error, TimeUp) else str(error)
        return Raised(type(error).__name__, words, theirs=True)

    # --- the worker -----------------------------------------------------------------------------------

    def _ask(self, seconds: float, *request: Any) -> Any:
        """The value that answers a request, NoValue, or one of GONE and the end of the worker if no reply came."""
        if self._process is None:
            raise ProcessEnded(ENDED)
        message, begin = pickled(request), time.monotonic()
        try:
            kind, *content = self._process.ask(min(seconds, max(self._left, 0) + GRACE), message)
        except BaseException:
            self._close()
            raise
        finally:
            self._left -= time.monotonic() - begin
        if kind == "raised":
            error, words = content
            raise NoValue(Raised(str(error), str(words)))
        (value,) = content
        return value

    def _run_to(self, count: int) -> None:
        """Run cells up to a number of them; all of them again if the worker was lost."""
        while self._process is None or self._done < count:
            if self._process is None:
                self._start()
                count, self._done = max(count, self._done), 0
            if self._done < count:
                self._run(self._done)
                self._done += 1

    def _start(self) -> None:
        begin, again = time.monotonic(), self._done > 0
        try:
            self._process = start(self._isolation, self.limits)
            self._process.ask(START, pickled(("begin", self._student, self._data, self.limits.call)))
        except (*GONE, DidNotStart, OSError) as error:
            self._close()
            why = f"{type(error).__name__}: {error}"
            raise DidNotStart(f"no process for the student's code could be started ({why})") from error
        if again:  # starting anew for each of hundreds of cells would take hours
            self._left -= time.monotonic() - begin

    def _run(self, number: int) -> None:
        """Run a cell, unless it ended a worker before."""
        if number in self._left_out:
            return
        self.stopped.pop(number, None)
        self.limited.discard(number)
        if self.spent:
            self._stop(number, NO_TIME.format(self.limits.submission))
            return
        seconds = min(self.limits.cell, self._left)
        try:
            raised, missing = self._ask(seconds + GRACE, "cell", self._cells[number], seconds)
            self._note(number, _raised(raised) if raised else None, [str(one)[:LONGEST] for one in missing])
        except (*GONE, NoValue):
            self._left_out.add(number)
            self._stop(number, self._too_slow(LEFT_OUT))

    def _note(self, number: int, raised: Raised | None, missing: list[str]) -> None:
        words = [f"{NOT_HERE}{', '.join(missing)}"] if missing else []
        if raised:
            where = f", in line `{raised.line}`" if raised.line else ""
            words.insert(0, f"{raised}{where}")
        if raised and raised.kind == "TimeUp":
            words = [self._too_slow(TOO_SLOW) + where]
            self.limited.add(number)
        if words:
            self.stopped[number] = "; ".join(words)

    def _too_slow(self, words: str) -> str:
        """Which limit a cell met: that of a cell, or that of the submission."""
        return NO_TIME.format(self.limits.submission) if self.spent else words.format(self.limits.cell)

    def _stop(self, number: int, words: str) -> None:
        self.stopped[number] = words
        self.limited.add(number)

    def _close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None


def _raised(sent: Any) -> Raised:
    """An exception of which a worker told; a ValueError or TypeError if that is none."""
    kind, message, line, theirs = sent
    kind, message, line = (str(one)[:LONGEST] for one in (kind, message, line))
    return Raised(kind, message, line, theirs is True)
