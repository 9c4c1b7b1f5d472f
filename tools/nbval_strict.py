"""A pytest plug-in that closes the holes of nbval, inside nbval's own run of each notebook.

nbval compares text. Left to itself it passes a cell that was never run, a wrong or missing picture and a
misspelled tag; it waits out the whole time limit when a kernel dies; and it expects the widgets that the
compiler leaves out. Whole notebooks only: a cell needs the cells above it.

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
from notebook_lint import KERNEL_ENVIRONMENT, LIVE_VIEW, content_name, own_outputs, source_findings

COMPARE = IPyNbCell.compare_outputs
HEARTBEAT = 1.0
"""Seconds between two looks at whether the kernel is still alive."""


class StrictKernel(RunningKernel):  # type: ignore[misc]  # nbval has no types
    """nbval's kernel that notices its own death and passes over the widgets that no notebook keeps."""

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """The next message of a stream; what a function under `interact` prints and draws is among them."""
        if stream == "shell":
            return self._next_reply(timeout)
        while True:
            message: dict[str, Any] = super().get_message(stream, timeout=timeout)
            data = message["content"].get("data", {})
            if LIVE_VIEW not in data or "text/html" in data:
                return message

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


def compare_outputs(item: IPyNbCell, fresh: list[Any], stored: list[Any], skip_compare: Any = None) -> Any:
    """Compare as nbval does, but take an explorer's numbers for equal if they differ by no more than rounding."""
    for new, old in zip(fresh, stored, strict=False):
        pages = [output.get("data", {}).get("text/html", "") for output in (new, old)]
        if all(pages) and pictures.same_numbers(*pages):
            new["data"]["text/html"] = pages[1]
    return COMPARE(item, fresh, stored, skip_compare)


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
    IPyNbCell.compare_outputs = compare_outputs
    for name, value in KERNEL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a cell that nbval passes or skips but that breaks a rule."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    item.cell.outputs = own_outputs(item.cell)
    findings = list(stored_findings(item))
    try:
        result = yield
    except pytest.skip.Exception:  # by a tag or comment that is among the findings
        result = None
    findings += run_findings(item)
    if findings:
        item.raise_cell_error("\n".join(findings))
    return result
