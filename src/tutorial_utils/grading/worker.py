"""What a worker does: it runs a submission's cells, and obeys requests about what they left behind.

Requests are pickles, and to be believed: they come from the grader. Replies are what
:mod:`~tutorial_utils.grading.serialization` writes. Nothing here is trusted once the first cell has run; the grader
believes no more of what this process says than it would believe of a student.
"""

import ast
import builtins
import copy
import pickle
import resource
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
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
NOTHING_HERE = ("matplotlib", "config", "system", "sx", "pip", "conda", "mamba", "micromamba", "uv")
"""Line magics that only concern what is displayed, or start another program."""
PROGRAMS = ("bash", "sh", "script", "perl", "ruby", "pypy", "python", "python2", "python3", "system", "sx", "!")
"""Cell magics that start another program with what is below them."""
OWN_MEANING = ("capture", "html", "HTML", "javascript", "js", "latex", "markdown", "svg", "SVG", "writefile", "file")
"""Cell magics that mean something else than: run what is below, and say something about it."""
MANY = 20
"""How many missing modules are told of a cell."""


class Shell(InteractiveShell):
    """Runs cells as a notebook does: magics, `await`, and the source of each cell for who asks for it.

    It is kinder in what depends on the computer that the notebook was written on. Commands for other programs, such as
    `!pip install`, do nothing: the environment is that of who grades. A module that is not here, imported on a line of
    its own, does not end the cell: its name stands for something that takes every call.
    """

    #: What stopped the cell that ran last, and the modules it could not import.
    error: BaseException | None = None
    missing: list[str]

    def run_line_magic(self, name: str, line: str, _stack_depth: int = 1) -> Any:
        """Run a magic; one that is unknown, or only concerns what is displayed, does nothing."""
        if name in NOTHING_HERE:
            return None
        if name == "timeit":  # once is enough
            name, line = "time", self.parse_options(line)
        with suppress(UsageError, *[ImportError] * (name in ("load_ext", "reload_ext"))):
            return super().run_line_magic(name, line, _stack_depth + 1)
        return None

    def parse_options(self, line: str) -> str:
        """The statement of `%timeit`, without options.

        >>> shell().parse_options("-n 10 -r3 f(-x)")
        'f(-x)'
        """
        find: Any = self.find_line_magic
        return str(find("timeit").__self__.parse_options(line, "n:r:tcp:qov:", posix=False, strict=False)[1])

    def run_cell_magic(self, name: str, line: str, cell: str) -> Any:
        """Run what a magic stands above as if it were not there, unless it is for another program or for the page."""
        if name in PROGRAMS:
            return None
        if name in OWN_MEANING:
            return super().run_cell_magic(name, line, cell)  # type: ignore[no-untyped-call]
        return self.run_cell(cell).result  # type: ignore[no-untyped-call]

    def system(self, *command: object, **options: object) -> None:
        """Do nothing."""

    def getoutput(self, *command: object, **options: object) -> list[str]:
        """Do nothing."""
        return []

    def showtraceback(self, *about: Any, **options: Any) -> None:
        """Keep the exception, which magics do not pass on."""
        self.error = self.error or sys.exc_info()[1]

    showsyntaxerror = showtraceback

    def is_missing(self, error: ImportError) -> MagicMock:
        """Note a module that is not here; what its names stand for."""
        self.missing.append(str(error))
        return MagicMock()


class KindImports(ast.NodeTransformer):
    """Puts each import on the level of a cell in a `try`, after which its names stand for something in any case.

    >>> print(ast.unparse(KindImports().visit(ast.parse("import google.colab as c, os"))))
    try:
        import google.colab as c
    except ImportError as _error:
        c = get_ipython().is_missing(_error)
    try:
        import os
    except ImportError as _error:
        os = get_ipython().is_missing(_error)
    """

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Only statements of the cell itself."""
        body = [new for old in node.body for new in (self._kind(old) if self._is_import(old) else [old])]
        return ast.Module(body, node.type_ignores)

    @staticmethod
    def _is_import(node: ast.stmt) -> bool:
        starred = any(alias.name == "*" for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias))
        future = getattr(node, "module", "") == "__future__"
        return isinstance(node, ast.Import | ast.ImportFrom) and not starred and not future

    @staticmethod
    def _kind(node: Any) -> list[ast.stmt]:
        made = []
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            (attempt,) = ast.parse(
                f"try:\n  pass\nexcept ImportError as _error:\n  {name} = get_ipython().is_missing(_error)"
            ).body
            copied = copy.copy(node)
            copied.names = [alias]
            attempt.body = [copied]  # type: ignore[attr-defined]
            made.append(ast.fix_missing_locations(ast.copy_location(attempt, node)))
        return made


def shell() -> Shell:
    """The shell of this process."""
    config = Config()
    config.HistoryManager.enabled = False
    made = Shell.instance(config=config)
    made.missing = []
    if not made.ast_transformers:
        made.ast_transformers.append(KindImports())
    return made


class Worker:
    """Runs cells, and shows what their names stand for to the grader's observers."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        #: What expressions stand for, by their text; each is looked up once, as the call of `check` does.
        self.values: dict[str, Any] = {}

    def begin(self, student: str, data: dict[str, Any], seconds: float) -> None:
        """Prepare for the cells of a student, whose calls may take some seconds."""
        run.LIMIT = seconds
        replace_exercises(student, data)

    def cell(self, source: str, seconds: float) -> list[Any]:
        """Run a cell; what stopped it, as a :class:`~tutorial_utils.exercises.run.Raised`, and missing modules."""
        self.shell.error, self.shell.missing = None, []
        try:
            with run.time_limit(seconds):
                ended = self.shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call]
            stopped = self.shell.error or ended.error_before_exec or ended.error_in_exec
        except BaseException as error:  # while the shell itself was at work
            stopped = error
        return [list(astuple(run.raised(stopped))) if stopped else None, self.shell.missing[:MANY]]

    def value(self, expression: str) -> tuple[str, Any]:
        """What an expression stands for: "call" something, a "value", or what was "raised" instead."""
        try:
            with self.shell.builtin_trap, run.time_limit(run.LIMIT):
                value = self.values[expression] = eval(expression, self.shell.user_ns)
        except (Exception, SystemExit, run.TimeUp) as error:
            return "raised", astuple(run.raised(error))
        called = callable(value) and not isinstance(value, torch.Tensor)
        return ("call", None) if called else ("value", run.to_data(value))

    def perform(self, expression: str, observe: Callable[..., Any], *arguments: Any) -> tuple[Any, Any, Any]:
        """What was raised, what an observer saw of what an expression stands for, and the inputs afterward."""
        with self.shell.builtin_trap:  # `display` and `get_ipython`, as in a cell
            done = run.perform(observe, self.values[expression], *arguments)
        raised = isinstance(done.result, run.Raised)
        return astuple(done.result) if raised else None, None if raised else done.result, done.inputs_after


def replace_exercises(student: str, known: dict[str, Any]) -> None:
    """Put a module without right answers in the place of the one that has them; its checks say nothing."""

    def data(id: str, *, student_id: str | None = None) -> Any:
        if student_id is not None and student_id.strip().casefold() != student.strip().casefold():
            raise ValueError(f"the notebook says student_id = {student_id!r}, and {student!r} handed it in")
        if id not in known:
            raise ValueError(f"exercise {id!r} has no data here")
        return copy.deepcopy(known[id])

    module: Any = ModuleType("tutorial_utils.exercises")
    module.check, module.data, module.EXERCISES = MagicMock(), data, {}
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


def reply(worker: Worker, request: tuple[Any, ...]) -> bytes:
    """Obey one request; the value, or what was raised, as a message."""
    name, *arguments = request
    try:
        message = dumps(("value", getattr(worker, name)(*arguments)))
    except BaseException as error:
        message = dumps(("raised", type(error).__name__, str(error)[:2000]))
    return HEADER.pack(*map(len, message)) + b"".join(message)


def serve(pipe: socket.socket, shell: Shell) -> None:
    """Obey requests until there are no more."""
    builtins.input = lambda *prompt: ""
    worker, requests = Worker(shell), pipe.makefile("rb")
    while True:
        pipe.sendall(reply(worker, pickle.load(requests)))
