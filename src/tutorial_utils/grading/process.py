"""A worker process, and the lines that go to and come from it within a time limit.

>>> from tutorial_utils.grading.isolation import NOTHING
>>> process = Process(NOTHING, Path(), Limits())
>>> process.send({"do": "evaluate", "expression": "6 * 7"})
>>> process.receive(60)
{'value': 42}
>>> process.close()
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tutorial_utils.exercises.run import LIMIT, TimeUp
from tutorial_utils.grading.isolation import Isolation, user
from tutorial_utils.grading.wire import Json

KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH")
CHUNK = 2**16


class ProcessEnded(Exception):
    """The process in which the student's code ran is gone."""


class DidNotStart(Exception):
    """There was no process to run a student's code in, which is not the student's fault."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use."""

    #: Seconds for one call.
    call: float = LIMIT
    #: Seconds for one exercise, all calls together.
    exercise: float = 60.0
    #: Seconds for one cell.
    cell: float = 30.0
    #: Seconds for all cells.
    cells: float = 120.0
    #: Seconds for Python and torch to start.
    start: float = 60.0
    #: Seconds of processor time in all.
    total: int = 600
    #: Bytes of memory beyond what Python and torch take.
    memory: int = 2**30
    #: Bytes of one message.
    message: int = 2**22


class Process:
    """A worker that runs apart; every wait for it has an end.

    Args:
        isolation: how it is fenced in.
        course: the folder that it must not see.
        limits: time and memory.
    """

    def __init__(self, isolation: Isolation, course: Path, limits: Limits) -> None:
        self._most, self._arrived = limits.message, bytearray()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        if os.geteuid() == 0:
            os.chown(self._folder.name, *[user(Path(self._folder.name))] * 2)
        worker = (sys.executable, "-P", "-m", "tutorial_utils.grading.worker", str(limits.memory), str(limits.total))
        self._process = subprocess.Popen(
            [*isolation.command(course, Path(self._folder.name)), *worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            env=environment(self._folder.name),
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    def send(self, message: Json, seconds: float = 10.0) -> None:
        """Write a message.

        Raises:
            ProcessEnded: if nobody is there to read it.
            TimeUp: if nobody reads it.
        """
        end, left = time.monotonic() + seconds, memoryview(json.dumps(message).encode() + b"\n")
        while left:
            if not select.select([], [self._in], [], max(0.0, end - time.monotonic()))[1]:
                raise TimeUp
            try:
                left = left[os.write(self._in, left[:CHUNK]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise ProcessEnded("your code ended the process that it ran in") from None

    def receive(self, seconds: float) -> Json:
        """Read a message.

        Raises:
            ProcessEnded: if there will be none, or what came is none.
            TimeUp: if none came in time.
        """
        end = time.monotonic() + seconds
        if seconds <= 0:  # a flood of messages always has one more
            raise TimeUp
        while b"\n" not in self._arrived:
            if not select.select([self._out], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeUp
            piece = os.read(self._out, CHUNK)
            if not piece:
                raise ProcessEnded("your code ended the process that it ran in")
            if len(self._arrived) + len(piece) > self._most:
                raise ProcessEnded(f"your code sent more than {self._most >> 20} MB")
            self._arrived += piece
        line, _, rest = self._arrived.partition(b"\n")
        self._arrived = rest
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise ProcessEnded("your code wrote where only the grader's messages belong") from None

    def close(self) -> None:
        """End the process, and those it started as far as they can be found, and remove its folder."""
        if self._process.returncode is None:  # else its number may be somebody else's
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()


def environment(folder: str) -> dict[str, str]:
    """The variables that a worker sees: no names or secrets of who grades, one thread."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    return kept | threads | {"HOME": folder, "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}
