"""The process in which a submission's code runs: it obeys requests that arrive on its standard input.

Requests are pickles, and to be believed: they come from the grader. Replies are what
:mod:`~tutorial_utils.grading.serialization` writes. Nothing here is trusted once the first cell has run; the grader
believes no more of what this process says than it would believe of a student.
"""

import builtins
import copy
import os
import pickle
import re
import resource
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import tutorial_utils
from tutorial_utils.exercises import run
from tutorial_utils.grading.serialization import HEADER, dumps

FILE_BYTES = 64 * 2**20
PROCESSES = 32
IGNORED = ("matplotlib", "config", "bash", "sh", "script")
"""Magics that only concern what is displayed, or start another program."""


class Shell(InteractiveShell):
    """Runs cells as a notebook does: magics, `await`, and the source of each cell for who asks for it.

    Commands for other programs, such as `!pip install`, do nothing: the environment is that of who grades.
    """

    def run_line_magic(self, name: str, line: str, _stack_depth: int = 1) -> Any:
        """Run a magic; one that is unknown, or only concerns what is displayed, does nothing."""
        if name not in IGNORED:
            with suppress(UsageError):
                return super().run_line_magic(name, line, _stack_depth + 1)
        return None

    def run_cell_magic(self, name: str, line: str, cell: str) -> Any:
        """Run a magic around a cell; one that starts another program does nothing."""
        return None if name in IGNORED else super().run_cell_magic(name, line, cell)  # type: ignore[no-untyped-call]

    def system(self, *command: object, **options: object) -> None:
        """Do nothing."""

    def getoutput(self, *command: object, **options: object) -> list[str]:
        """Do nothing."""
        return []

    showtraceback = showsyntaxerror = system


class Worker:
    """Runs cells, and shows what their names stand for to the grader's observers."""

    def __init__(self) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        self.shell = Shell.instance(config=config)

    def begin(self, student: str, data: dict[str, Any], seconds: float) -> None:
        """Prepare for the cells of a student, whose calls may take some seconds."""
        run.LIMIT = seconds
        replace_exercises(student, data)
        sys.modules["google.colab"] = MagicMock()  # the notebook may have been written there

    def cell(self, source: str, seconds: float) -> str:
        """Run a cell, and say what stopped it; "" if nothing did."""
        try:
            with run.time_limit(seconds):
                ended = self.shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call]
        except BaseException as error:  # while the shell itself was at work
            return told(error)
        stopped = ended.error_before_exec or ended.error_in_exec
        return told(stopped) if stopped else ""

    def value(self, expression: str) -> tuple[bool, Any]:
        """Whether an expression stands for something to call, and its value if not."""
        value = eval(expression, self.shell.user_ns)
        called = callable(value) and not isinstance(value, torch.Tensor)
        return called, None if called else run.to_data(value)

    def perform(self, expression: str, observe: Callable[..., Any], *arguments: Any) -> tuple[Any, Any, Any]:
        """What was raised, what an observer saw of what an expression stands for, and the inputs afterward."""
        done = run.perform(observe, eval(expression, self.shell.user_ns), *arguments)
        raised = isinstance(done.result, run.Raised)
        return astuple(done.result) if raised else None, None if raised else done.result, done.inputs_after


def told(error: BaseException) -> str:
    """An error in a line.

    >>> told(ValueError("no such thing"))
    'ValueError: no such thing'
    """
    return re.sub("<ipython[^>]*>, ", "", f"{type(error).__name__}: {error}")[:2000]


def replace_exercises(student: str, known: dict[str, Any]) -> None:
    """Put a module without right answers in the place of the one that has them; its checks say nothing."""

    def data(id: str, *, student_id: str | None = None) -> Any:
        if student_id is not None and student_id.strip().casefold() != student.strip().casefold():
            raise ValueError(f"the notebook says student_id = {student_id!r}, and {student!r} handed it in")
        if id not in known:
            raise ValueError(f"exercise {id!r} has no data here")
        return copy.deepcopy(known[id])

    module: Any = ModuleType("tutorial_utils.exercises")
    module.check, module.data, module.EXERCISES = lambda *arguments, **options: None, data, {}
    sys.modules[module.__name__] = tutorial_utils.exercises = module


# --- the process --------------------------------------------------------------------------------------


def limit(memory: int, seconds: int) -> None:
    """Take the right to more memory, time, files and processes from this process for good."""
    used = 0
    with suppress(OSError), open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, used + memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a system that knows no such limit
            resource.setrlimit(what, (most, most))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if memory runs out all the same, this goes first, and not the grader


def hide() -> socket.socket:
    """Take the pipe to the grader from standard input and output, and forget where the whole package lies."""
    pipe, nowhere = socket.socket(fileno=os.dup(0)), os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    own = str(Path(tutorial_utils.__file__).parents[1])  # a copy without right answers
    sys.path[:] = [place for place in sys.path if place == own or not Path(place, "tutorial_utils").exists()]
    return pipe


def reply(worker: Worker, request: tuple[Any, ...]) -> bytes:
    """Obey one request; the value, or what was raised, as a message."""
    name, *arguments = request
    try:
        message = dumps(("value", getattr(worker, name)(*arguments)))
    except BaseException as error:
        message = dumps(("raised", type(error).__name__, str(error)[:2000]))
    return HEADER.pack(*map(len, message)) + b"".join(message)


def main() -> None:
    """Obey requests until there are no more; the arguments are bytes of memory and seconds of processor time."""
    pipe = hide()
    torch.set_num_threads(1)
    builtins.input = lambda *prompt: ""
    tempfile.tempdir = os.getcwd()
    worker, requests = Worker(), pipe.makefile("rb")
    limit(*map(int, sys.argv[1:3]))
    while True:
        pipe.sendall(reply(worker, pickle.load(requests)))


if __name__ == "__main__":
    main()
