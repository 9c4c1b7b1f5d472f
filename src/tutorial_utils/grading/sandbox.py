"""A submission's code at arm's length: its cells run in a worker, and its functions can be called from here.

>>> with Sandbox(["def double(x): return 2 * x", "a syntax error", "answer = double(21)"]) as sandbox:
...     sandbox.answer("answer"), sandbox.answer("double")([1.0])
(42, [1.0, 1.0])
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutorial_utils.exercises.run import TimeUp
from tutorial_utils.grading.isolation import NOTHING, Isolation
from tutorial_utils.grading.process import DidNotStart, Limits, Process, ProcessEnded
from tutorial_utils.grading.remote import Remote


class Sandbox:
    """A worker that has run the cells of a submission, started anew for the next exercise if it was lost.

    Args:
        cells: the sources of the code cells, in their order.
        limits: time and memory.
        isolation: how the worker is fenced in.
        course: the folder that it must not see.
    """

    def __init__(
        self,
        cells: Sequence[str],
        limits: Limits | None = None,
        isolation: Isolation = NOTHING,
        course: Path | None = None,
    ) -> None:
        self._cells, self._isolation, self._course = list(cells), isolation, course or Path.cwd()
        self._limits = limits or Limits()
        self._remote: Remote | None = None
        #: The cells, counted from 0, that ended the worker or took too long.
        self.left_out: list[int] = []

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        if self._remote is not None:
            self._remote.close()

    def answer(self, expression: str) -> Any:
        """The value of an expression after the cells have run: data as it is, a stand-in for everything else.

        Raises:
            Exception: what the expression raises; ProcessEnded if no worker outlives the cells.
            DidNotStart: if no worker could be started at all.
        """
        if self._remote is None or not self._remote.alive:
            self._remote = self._run_cells()
        self._remote.end = time.monotonic() + self._limits.exercise
        return self._remote.ask({"do": "evaluate", "expression": expression})

    def _run_cells(self) -> Remote:
        """A worker that has run the cells; one that is its end is left out of the next try."""
        end = time.monotonic() + self._limits.cells
        while (remote := self._try_cells(end)) is None:
            pass
        return remote

    def _try_cells(self, end: float) -> Remote | None:
        remote = Remote(Process(self._isolation, self._course, self._limits), self._limits)
        remote.end = end
        try:
            remote.ask({"do": "cells", "cells": self._cells, "skip": self.left_out})
            return remote
        except (ProcessEnded, TimeUp):
            if remote.cell < 0:
                raise DidNotStart("no process for the student's code could be started") from None
        if remote.cell in self.left_out or remote.cell >= len(self._cells) or time.monotonic() > end:
            raise ProcessEnded("your cells did not run to their end")
        self.left_out.append(remote.cell)
        return None
