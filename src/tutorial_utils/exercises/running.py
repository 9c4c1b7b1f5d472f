"""Run a reader's code: within a time limit, on copies, and with every exception turned into a value."""

import signal
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import tutorial_utils

#: Seconds that an answer may take for one input.
LIMIT = 10.0
NOT_THE_READERS = (str(Path(tutorial_utils.__file__).parent), sysconfig.get_paths()["stdlib"], "site-packages")


class TimeUp(BaseException):
    """The answer took too long; no ``except Exception`` in it catches this."""


class Nothing(Exception):
    """The answer returned None and changed nothing."""


class Unfit(Exception):
    """The answer gave something of another kind than asked for; the message is a sentence for the reader."""


@dataclass(frozen=True)
class Raised:
    """An exception, as text."""

    #: Its class.
    kind: str
    #: What it says.
    message: str
    #: The line in the reader's own code where it came up; "" if it came up elsewhere.
    line: str = ""

    def __str__(self) -> str:
        """Class and message, as Python prints them."""
        return f"{self.kind}: {self.message}" if self.message else self.kind


@contextmanager
def time_limit(seconds: float, *, of_work: bool = False) -> Iterator[None]:
    """Raise TimeUp in the block after some seconds, again and again until it ends; of work, waiting does not count.

    A timer signal does this, so there is no limit outside the main thread, on systems without such signals, and inside
    a single call of compiled code.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    timer, number = (signal.ITIMER_PROF, signal.SIGPROF) if of_work else (signal.ITIMER_REAL, signal.SIGALRM)

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeUp(f"more than {seconds:g} seconds" + " of processor time" * of_work)

    before = signal.signal(number, ring)
    signal.setitimer(timer, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, before)


@contextmanager
def surroundings(dtype: torch.dtype) -> Iterator[None]:
    """Make a dtype the default, with gradients on; whatever the block sets or draws globally is set back."""
    default, state = torch.get_default_dtype(), torch.get_rng_state()
    torch.set_default_dtype(dtype)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(default)
        torch.set_rng_state(state)


def readers_line(error: BaseException) -> str:
    """The innermost line of an error's traceback that belongs to no library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.line for frame in frames if not any(place in frame.filename for place in NOT_THE_READERS)]
    return (own[-1] or "") if own else ""


def run(function: Callable[..., Any], *arguments: Any, dtype: torch.dtype = torch.float64) -> Any:
    """Call a function; what it returns, None if it raises Nothing, or another exception as :class:`Raised`.

    >>> run(lambda x: 1 / x, 0).kind
    'ZeroDivisionError'
    """
    try:
        with surroundings(dtype), time_limit(LIMIT):
            return function(*arguments)
    except Nothing:
        return None
    except (Exception, SystemExit, TimeUp) as error:
        return Raised(type(error).__name__, str(error), readers_line(error))
