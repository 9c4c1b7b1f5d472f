"""The grader's end of the pipes: a nursery, and the workers that it forks.

>>> with start(NOTHING, Limits()) as worker:
...     worker.ask(60, pickled(("value", "6 * 7")))
['value', ['value', 42]]
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle

from tutorial_utils.exercises.run import LIMIT, TimeUp
from tutorial_utils.grading.isolation import (
    NAMESPACES,
    NOTHING,
    OTHER_USER,
    Isolation,
    Room,
    furnish,
    holds_answers,
)
from tutorial_utils.grading.serialization import HEADER, loads

# The worker has no exercises: what an observer needs of them goes there with its code.
for _name, _module in list(sys.modules.items()):
    if _name.startswith("tutorial_utils.exercises.") and holds_answers(_name.rpartition(".")[2]):
        cloudpickle.register_pickle_by_value(_module)

KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH")
CHUNK = 2**16
MAX_TEXT, MAX_NUMBERS = 2**20, 2**25
"""Bytes of either part of a message."""
START = 120.0
"""Seconds in which a nursery has to have loaded everything, and a worker to be there."""
READS = "len(open(__import__('os').__file__).read()) > 0"
"""Whether a worker can read Python's own files; as another user it may not."""
PATIENCE = 5.0
"""Seconds in which a nursery may end by itself."""
ENDED = "your code ended the process that it ran in, or took more memory than there is"


class ProcessEnded(Exception):
    """The process in which the student's code ran is gone."""


class DidNotStart(Exception):
    """There was no process to run a student's code in, which is not the student's fault."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Seconds of one call of a function, one cell, and all that a submission runs; bytes of memory of all its processes
    together, beyond what Python and torch take.
    """

    call: float = 3 * LIMIT
    cell: float = 60.0
    submission: float = 600.0
    memory: int = 2**30


def pickled(request: tuple[Any, ...]) -> bytes:
    """A request as bytes.

    Errors: RuntimeError if it cannot be pickled, which is a fault of the exercise and not the student's.
    """
    try:
        return bytes(cloudpickle.dumps(request))
    except Exception as error:
        raise RuntimeError(f"this request cannot be sent to the student's process: {error}") from error


class Process:
    """A worker that runs apart; every wait for it has an end."""

    def __init__(self, pipe: socket.socket, nursery: "Nursery | None" = None, number: int = 0) -> None:
        self._pipe, self._nursery, self._number = pipe, nursery, number

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        """End the process, and those it started as far as they can be found."""
        self._pipe.close()
        if self._nursery is not None:
            self._nursery.end(self._number)


class Nursery:
    """A process that has loaded everything and forks workers; see :mod:`~tutorial_utils.grading.nursery`."""

    def __init__(self, isolation: Isolation, course: Path) -> None:
        self.isolation = isolation
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        room = furnish(Path(self._folder.name))
        self._control, other_end = socket.socketpair()
        self._control.settimeout(START)
        main = (sys.executable, "-P", "-m", "tutorial_utils.grading.nursery", isolation.name, str(room.home))
        with other_end:
            self._process = subprocess.Popen(
                [*isolation.command(course, room), *main],
                stdin=other_end.fileno(),
                stdout=other_end.fileno(),
                stderr=subprocess.DEVNULL,
                cwd=room.home,
                env=environment(room),
                start_new_session=True,
            )

    def worker(self, limits: Limits) -> Process:
        """A new worker.

        Errors: DidNotStart if there is none.
        """
        seconds = int(limits.submission + 10 * limits.cell)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                number = self._ask(["worker", limits.memory, seconds], theirs)
        except (OSError, ValueError) as error:
            ours.close()
            self.close()
            raise DidNotStart(f"{type(error).__name__}: {error}") from error
        return Process(ours, self, number)

    def end(self, number: int) -> None:
        """End a worker; where that fails, the nursery and all in it."""
        try:
            self._ask(["end", number])
        except (OSError, ValueError):
            self.close()

    def _ask(self, request: list[Any], *sockets: socket.socket) -> Any:
        socket.send_fds(self._control, [json.dumps(request).encode()], [one.fileno() for one in sockets])
        reply = b""
        while not reply.endswith(b"\n"):
            if not (piece := self._control.recv(CHUNK)):
                raise OSError("the process that starts workers has ended")
            reply += piece
        return json.loads(reply)

    @property
    def alive(self) -> bool:
        """Whether it can still fork."""
        return self._control.fileno() >= 0 and self._process.poll() is None

    def close(self) -> None:
        """End the nursery and what it started, and remove its folder."""
        self._control.close()  # upon which it ends its workers and itself
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()


def environment(room: Room) -> dict[str, str]:
    """The variables that a worker sees: no names or secrets of who grades, one thread."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}
    return kept | threads | settings | {"HOME": str(room.home), "PYTHONPATH": str(room.package)}


# --- those of this process ----------------------------------------------------------------------------

_NURSERIES: dict[tuple[str, Path], Nursery] = {}
"""By the name of the isolation and the course."""


def start(isolation: Isolation, limits: Limits) -> Process:
    """A worker from this process's nursery for the course in the current folder, which is started where there is none.

    Errors: DidNotStart if there is none.
    """
    key = isolation.name, Path.cwd()
    if key not in _NURSERIES or not _NURSERIES[key].alive:
        _NURSERIES[key] = Nursery(isolation, Path.cwd())
    return _NURSERIES[key].worker(limits)


@cache
def available(course: Path) -> Isolation:
    """The best way that works here, found by trying it."""
    return next((one for one in (NAMESPACES, OTHER_USER) if _works(one, course)), NOTHING)


def _works(isolation: Isolation, course: Path) -> bool:
    try:
        nursery = _NURSERIES[isolation.name, course] = Nursery(isolation, course)
        with nursery.worker(Limits()) as worker:
            return bool(worker.ask(START, pickled(("value", READS))) == ["value", ["value", True]])
    except (DidNotStart, ProcessEnded, TimeUp, OSError):
        return False


@atexit.register
def close_all() -> None:
    """End the nurseries of this process."""
    for nursery in _NURSERIES.values():
        nursery.close()
    _NURSERIES.clear()
