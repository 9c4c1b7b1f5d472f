"""A pytest plug-in that closes the holes of nbval, inside nbval's own run of each notebook.

nbval compares text. Left to itself it passes a cell that was never run, a wrong or missing picture and a
misspelled tag; it waits out the whole time limit when a kernel dies; and it knows no Output widgets, so that
what a callback prints lands in the cell. Whole notebooks only: a cell needs the cells above it.

    pytest -p nbval_strict --nbval --nbval-current-env book/chapters
"""

import os
import time
from collections.abc import Generator, Iterator
from queue import Empty
from typing import Any

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

import pictures
from notebook_lint import KERNEL_ENVIRONMENT, content_name, source_findings

HEARTBEAT = 1.0
"""Seconds between two looks at whether the kernel is still alive."""
OUTPUTS = {"stream", "display_data", "execute_result", "error", "clear_output"}


class StrictKernel(RunningKernel):  # type: ignore[misc]  # nbval has no types
    """nbval's kernel that notices its own death and does a front end's part for Output widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.captured_by: dict[str, str] = {}
        """For each Output widget, the request whose output it captures ("" for none)."""
        self.widget_errors: list[str] = []
        super().__init__(*args, **kwargs)

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """The next message of a stream, without those an Output widget captures."""
        if stream == "shell":
            return self._next_reply(timeout)
        while True:
            message: dict[str, Any] = super().get_message(stream, timeout=timeout)
            self._follow_widgets(message)
            if not self._is_captured(message):
                return message
            if message["msg_type"] == "error":
                self.widget_errors.append("\n".join(message["content"]["traceback"]))

    def _next_reply(self, timeout: float | None) -> dict[str, Any]:
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            try:
                reply: dict[str, Any] = super().get_message(
                    "shell", timeout=min(HEARTBEAT, max(0.0, end - time.monotonic()))
                )
                return reply
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("the kernel died in this cell (out of memory?)") from None
                if time.monotonic() >= end:
                    raise

    def _follow_widgets(self, message: dict[str, Any]) -> None:
        content = message["content"]
        widget = content.get("comm_id", "")
        state = content.get("data", {}).get("state", {}) if widget else {}
        if state.get("_model_name") == "OutputModel" or widget in self.captured_by:
            self.captured_by[widget] = state.get("msg_id", self.captured_by.get(widget, ""))

    def _is_captured(self, message: dict[str, Any]) -> bool:
        request = message["parent_header"].get("msg_id")
        return message["msg_type"] in OUTPUTS and bool(request) and request in self.captured_by.values()

    def take_widget_errors(self) -> list[str]:
        """The tracebacks of callbacks that failed since the last call."""
        errors, self.widget_errors = self.widget_errors, []
        return errors


def _pngs(outputs: list[Any]) -> list[str]:
    return [png for output in outputs if (png := output.get("data", {}).get("image/png"))]


def stored_findings(item: Any) -> Iterator[str]:
    """What is wrong with a cell as stored."""
    yield from source_findings(item.cell)
    if item.cell.execution_count is None:
        yield "never run: nothing is stored that could be compared"
    if not item.cell.get("id", "").startswith(content_name(item.cell)):
        yield "edited after it was compiled"


def run_findings(item: Any) -> Iterator[str]:
    """What is wrong with a cell as just run, beyond the text that nbval compares."""
    if errors := item.parent.kernel.take_widget_errors():
        yield "\n".join(["exception inside a widget", *errors])
    stored, fresh = _pngs(item.cell.outputs), _pngs(item.test_outputs or [])
    if len(stored) != len(fresh):
        yield f"{len(stored)} pictures stored, {len(fresh)} drawn"
    elif item.options["check"]:
        for number, pair in enumerate(zip(stored, fresh, strict=True), 1):
            if (distance := pictures.distance(*pair)) > pictures.TOLERANCE:
                yield f"picture {number} differs: distance {distance:.1f}, allowed {pictures.TOLERANCE}"


def pytest_configure() -> None:
    """Start nbval's kernels as the compiler starts its own, unless the caller wants other settings."""
    nbval.plugin.RunningKernel = StrictKernel
    for name, value in KERNEL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a cell that nbval passes or skips but that breaks a rule."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    findings = list(stored_findings(item))
    try:
        result = yield
    except pytest.skip.Exception:  # by a tag or comment that is among the findings
        result = None
    findings += run_findings(item)
    if findings:
        item.raise_cell_error("\n".join(findings))
    return result
