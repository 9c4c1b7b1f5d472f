"""A submission's code at arm's length: its cells run in a worker, and its functions perform there.

>>> with Session(["def double(x): return 2 * x", "a syntax error", "answer = double(21)"]) as session:
...     session.answer("answer"), session.answer("double"), session.stopped
(42, <double>, {0: '', 1: 'SyntaxError: invalid syntax (line 1)', 2: ''})
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from tutorial_utils.exercises.registry import Exercise, Function, Inputs
from tutorial_utils.exercises.run import LIMIT, Performance, Raised, TimeUp, snapshot
from tutorial_utils.grading.isolation import NOTHING, Isolation, Room, furnish, holds_answers
from tutorial_utils.grading.serialization import HEADER, loads

# The worker has no exercises: what an observer needs of them goes there with its code.
for _name, _module in list(sys.modules.items()):
    if _name.startswith("tutorial_utils.exercises.") and holds_answers(_name.rpartition(".")[2]):
        cloudpickle.register_pickle_by_value(_module)

KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH")
CHUNK = 2**16
MAX_TEXT, MAX_NUMBERS = 2**20, 2**25
"""Bytes of either part of a message."""
GRACE = 5.0
"""Seconds that a worker has beyond a limit of its own, to say that it was reached."""
LEFT_OUT = "This cell ended the process it ran in, or took too long. It was left out, and the rest was graded."
NO_TIME = "The cells above took all the time that there is. This one did not run."
LONGEST = 2000
"""Characters of what an exception says."""
ENDED = "your code ended the process that it ran in"


class ProcessEnded(Exception):
    """The process in which the student's code ran is gone."""


class DidNotStart(Exception):
    """There was no process to run a student's code in, which is not the student's fault."""


class NoValue(Exception):
    """What a request raised in the worker: its class, and what it said."""


GONE = (ProcessEnded, TimeUp, TypeError, ValueError)
"""What a worker that is gone leads to, or one that sends other things than replies."""


def pickled(request: tuple[Any, ...]) -> bytes:
    """A request as bytes.

    Errors: RuntimeError if it cannot be pickled, which is a fault of the exercise and none of GONE.
    """
    try:
        return bytes(cloudpickle.dumps(request))
    except Exception as error:
        raise RuntimeError(f"this request cannot be sent to the student's process: {error}") from error


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds of each kind, and bytes of memory beyond what Python and torch take."""

    call: float = LIMIT
    exercise: float = 60.0
    cell: float = 60.0
    all_cells: float = 600.0
    start: float = 120.0
    processor: int = 1200
    memory: int = 2**30


# --- the process --------------------------------------------------------------------------------------


class Process:
    """A worker that runs apart; every wait for it has an end.

    >>> process = Process(NOTHING, Path(), Limits())
    >>> process.ask(60, pickled(("value", "6 * 7")))
    ['value', [False, 42]]
    >>> process.close()
    """

    def __init__(self, isolation: Isolation, course: Path, limits: Limits) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        room = furnish(Path(self._folder.name))
        self._pipe, other_end = socket.socketpair()
        worker = (sys.executable, "-P", "-m", "tutorial_utils.grading.worker")
        with other_end:
            self._process = subprocess.Popen(
                [*isolation.command(course, room), *worker, str(limits.memory), str(limits.processor)],
                stdin=other_end.fileno(),
                stdout=other_end.fileno(),
                stderr=subprocess.DEVNULL,
                cwd=room.home,
                env=environment(room),
                start_new_session=True,
            )

    def ask(self, seconds: float, message: bytes) -> Any:
        """Send a pickled request and read the reply; otherwise ProcessEnded, TimeUp, or MessageError if it is none."""
        end = time.monotonic() + seconds
        try:
            self._pipe.settimeout(max(seconds, 0.001))
            self._pipe.sendall(message)
            text, numbers = HEADER.unpack(self._read(HEADER.size, end))
            if text > MAX_TEXT or numbers > MAX_NUMBERS:
                raise ProcessEnded(f"your code sent more than {MAX_NUMBERS >> 20} MB")
            return loads(self._read(text, end), self._read(numbers, end))
        except TimeoutError:
            raise TimeUp from None
        except OSError:
            raise ProcessEnded(ENDED) from None

    def _read(self, count: int, end: float) -> bytes:
        arrived = bytearray()
        while len(arrived) < count:
            self._pipe.settimeout(max(end - time.monotonic(), 0.001))
            if not (piece := self._pipe.recv(min(CHUNK, count - len(arrived)))):
                raise ProcessEnded(ENDED)
            if time.monotonic() > end:  # byte for byte, a message could take for ever
                raise TimeUp
            arrived += piece
        return bytes(arrived)

    def close(self) -> None:
        """End the process, and those it started as far as they can be found, and remove its folder."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()
        self._folder.cleanup()


def environment(room: Room) -> dict[str, str]:
    """The variables that a worker sees: no names or secrets of who grades, one thread."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}
    return kept | threads | settings | {"HOME": str(room.home), "PYTHONPATH": str(room.package)}


# --- the session --------------------------------------------------------------------------------------


@dataclass
class Answer:
    """Something to call, but only in the worker: what stands for it, until when it is called, and what ended that."""

    expression: str
    end: float
    lost: BaseException | None = None

    def __call__(self, *inputs: object) -> object:
        """Refuse; that it could be called is what tells it from a value."""
        raise TypeError(f"{self.expression} can only be called in its own process")

    def __repr__(self) -> str:
        """The expression."""
        return f"<{self.expression}>"


class Session:
    """A worker that has run the cells of a submission, started anew for the next exercise if it was lost.

    ``data`` is what :func:`~tutorial_utils.exercises.checking.data` gives the student's cells, by exercise.
    """

    def __init__(
        self,
        cells: Sequence[str],
        student: str = "",
        data: Mapping[str, Any] | None = None,
        limits: Limits = Limits(),
        isolation: Isolation = NOTHING,
    ) -> None:
        self._cells, self._student, self._data = list(cells), student, dict(data or {})
        self._limits, self._isolation = limits, isolation
        self._process: Process | None = None
        self._left = limits.all_cells
        #: What stopped a cell, "" if nothing did, by its number, counted from 0.
        self.stopped: dict[int, str] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def answer(self, expression: str) -> Any:
        """The value of an expression after the cells have run: data as it is, an Answer for what can be called.

        Errors: NoValue; DidNotStart if no worker could be started at all.
        """
        while self._process is None:
            self._start()
        try:
            called, value = self._ask(self._limits.call, "value", expression)
        except GONE as error:
            raise NoValue(type(error).__name__, str(error)) from None
        return Answer(expression, time.monotonic() + self._limits.exercise) if called is True else value

    def perform(self, exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype) -> Performance:
        """Let the exercise's observer see in the worker what an :class:`Answer` does with copies of the inputs."""
        assert isinstance(answer, Answer)
        seconds = min(self._limits.call + GRACE, answer.end - time.monotonic())
        try:
            if answer.lost is not None:
                raise answer.lost
            request = ("perform", answer.expression, exercise.observe, inputs, dtype, exercise.changes)
            raised, result, after = self._ask(seconds, *request)
            if not raised and len(after) != len(inputs):
                raise ProcessEnded(ENDED)
            return Performance(Raised(*(str(one)[:LONGEST] for one in raised)) if raised else result, after)
        except GONE as error:
            answer.lost = error
            return Performance(Raised(type(error).__name__, str(error)), snapshot(inputs))

    def why(self, expression: str) -> str:
        """What stopped the last cell in which an expression stands; "" if nothing did."""
        told = [words for number, words in self.stopped.items() if words and expression in self._cells[number]]
        return f" A cell in which it stands was stopped by {told[-1]}" if told else ""

    def _ask(self, seconds: float, *request: Any) -> Any:
        """The value that answers a request, NoValue, or one of GONE and the end of the worker if no reply came."""
        if self._process is None:
            raise ProcessEnded(ENDED)
        message = pickled(request)
        try:
            kind, *content = self._process.ask(seconds, message)
        except BaseException:
            self._close()
            raise
        if kind == "raised":
            error, words = content
            raise NoValue(str(error), str(words))
        (value,) = content
        return value

    def _start(self) -> None:
        """Start a worker and run the cells in it; if it does not outlive one, that is left out the next time."""
        begin = time.monotonic()
        try:
            self._process = Process(self._isolation, Path.cwd(), self._limits)
            self._ask(self._limits.start, "begin", self._student, self._data, self._limits.call)
        except (*GONE, NoValue, OSError) as error:
            why = f"{type(error).__name__}: {error}"
            raise DidNotStart(f"no process for the student's code could be started ({why})") from error
        if self.stopped:  # starting anew for each of hundreds of cells would take hours
            self._left -= time.monotonic() - begin
        for number, source in enumerate(self._cells):
            if self._process is not None and self.stopped.get(number) != LEFT_OUT:
                self._run(number, source)

    def _run(self, number: int, source: str) -> None:
        begin, seconds = time.monotonic(), min(self._limits.cell, self._left)
        try:
            words = str(self._ask(seconds + GRACE, "cell", source, seconds)) if seconds > 0 else NO_TIME
        except (*GONE, NoValue):
            words = LEFT_OUT
        self.stopped[number] = words
        self._left -= time.monotonic() - begin

    def _close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None
