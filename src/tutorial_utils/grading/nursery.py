"""A process that has loaded what students' code needs, and none of that code; it forks a worker for each submission.

It starts as :mod:`~tutorial_utils.grading.isolation` says, with a copy of the package that has no right answers: what
it knows, each of its workers may read. A worker cannot reach it: behind namespaces it does not see it, elsewhere it
belongs to another user, as far as the system allows. It obeys one request after the other that arrives on its standard
input, a line of JSON:

- ``["worker", memory, seconds]``, together with a socket: fork a worker that listens there; the reply is its number.
- ``["end", number]``: end the worker and whatever it started.

Every half second it looks how much memory its workers take, each with the processes that it started, and ends those
that take more than they may.
"""

import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

import tutorial_utils
from tutorial_utils.exercises.run import import_what_autograd_needs
from tutorial_utils.grading.isolation import NAMESPACES, OTHER_USER, USERS, enter, fork
from tutorial_utils.grading.worker import Shell, limit, serve, shell

LOADED = ("training", "data", "networks", "initializers")
"""Modules of the package that exercises import."""
PAUSE = 0.5
LONGEST = 2**12
"""Bytes of a request."""


class Nursery:
    """Forks workers, watches and ends them."""

    def __init__(self, control: socket.socket, way: str, room: Path) -> None:
        self._control, self._way, self._room = control, way, room
        self._users = cycle(USERS)
        self._shell = load()
        #: Of each worker, by its number: the user it became, and bytes of memory it may take.
        self._workers: dict[int, tuple[int, int]] = {}

    def serve(self) -> None:
        """Obey requests until there are no more."""
        while True:
            ready = select.select([self._control], [], [], PAUSE if self._workers else None)[0]
            for number in self.greedy():
                _kill(number)
            if not ready:
                continue
            message, sockets, *_ = socket.recv_fds(self._control, LONGEST, 1)
            if not message:
                break
            name, *arguments = json.loads(message)
            reply = getattr(self, name)(*arguments, *sockets)
            self._control.sendall(json.dumps(reply).encode() + b"\n")
        for number in list(self._workers):
            self.end(number)

    def worker(self, memory: int, seconds: int, pipe: int) -> int:
        """Fork a worker that listens to a pipe; its number."""
        user = next(self._users)
        if (number := fork(self._way)) == 0:
            try:
                self._become_worker(user, memory, seconds, pipe)
            finally:
                os._exit(0)
        os.close(pipe)
        self._workers[number] = user, memory
        return number

    def _become_worker(self, user: int, memory: int, seconds: int, pipe: int) -> None:
        self._control.close()
        os.setsid()
        enter(self._way, self._room, user)
        tempfile.tempdir = os.environ["HOME"] = os.getcwd()
        sys.path.insert(0, "")  # a cell may write a module and import it
        limit(memory, seconds)
        serve(socket.socket(fileno=pipe), self._shell)

    def end(self, number: int) -> bool:
        """End a worker, and those it started as far as they can be found; whether it was there."""
        if number not in self._workers:
            return False
        user, _ = self._workers.pop(number)
        _kill(number)
        os.waitpid(number, 0)
        if self._way == OTHER_USER.name:
            _end_all_of(user)
        if self._way != NAMESPACES.name and not self._workers:
            for folder in self._room.iterdir():
                shutil.rmtree(folder, ignore_errors=True)
        return True

    def greedy(self) -> Iterator[int]:
        """The workers that take more memory than they may, each with what it started."""
        parents: dict[int, tuple[int, int]] = {}
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError, KeyError, ValueError):
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                parents[int(fields["Pid"])] = int(fields["PPid"]), 1024 * int(fields["RssAnon"].split()[0])
        own = parents.get(os.getpid(), (0, 0))[1]  # shared with the workers, which are forks of this process
        for number, (_, most) in self._workers.items():
            family = [pid for pid in parents if number in _ancestors(pid, parents)]
            if sum(max(0, parents[pid][1] - own) for pid in family) > most:
                yield number


def _kill(number: int) -> None:
    """End a worker and its group; behind namespaces, that is all that it started."""
    for kill in (os.killpg, os.kill):
        with suppress(OSError):
            kill(number, signal.SIGKILL)


def _ancestors(pid: int, parents: dict[int, tuple[int, int]]) -> Iterator[int]:
    """A process, its parent, and so on; a table read while processes come and go has no loops for long."""
    for _ in range(len(parents)):
        yield pid
        if pid not in parents:
            return
        pid = parents[pid][0]


def _end_all_of(user: int) -> None:
    """End all processes of a user."""
    if (helper := os.fork()) == 0:
        try:
            os.setresuid(user, user, user)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(helper, 0)


def load() -> Shell:
    """Import what cells and observers need, so that no worker has to, and forget where the whole package lies.

    No backward pass runs here: torch starts threads for it, which a fork would lose.
    """
    torch.set_num_threads(1)
    for name in LOADED:
        import_module(f"tutorial_utils.{name}")
    import_what_autograd_needs()
    import_module("torch._dynamo")  # by the first optimizer, for seconds, which could use up the time of a call
    own = str(Path(tutorial_utils.__file__).parents[1])  # a copy without right answers
    sys.path[:] = [place for place in sys.path if place == own or not Path(place, "tutorial_utils").exists()]
    return shell()


def take_pipe() -> socket.socket:
    """Take the pipe to the grader from standard input and output."""
    pipe, nowhere = socket.socket(fileno=os.dup(0)), os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    return pipe


def main(arguments: Any) -> None:
    """Obey requests until there are no more; the arguments are the name of the isolation and a folder."""
    nursery = Nursery(take_pipe(), arguments[0], Path(arguments[1]))
    gc.collect()
    gc.freeze()  # a collection in a worker would touch, and so copy, all of it
    nursery.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
