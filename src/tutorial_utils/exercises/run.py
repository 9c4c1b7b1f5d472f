"""Run a reader's code: on copies, within a time limit, and with every exception turned into a value."""

import copy
import math
import signal
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import tutorial_utils
from tutorial_utils.exercises.registry import Exercise, Function, Inputs

#: Seconds that an answer may take for one input.
LIMIT = 10.0
#: How many items of an iterator are looked at.
LONGEST = 10_000
NOT_THE_READERS = (str(Path(tutorial_utils.__file__).parent), sysconfig.get_paths()["stdlib"], "site-packages")


class TimeUp(BaseException):
    """The answer took too long; no ``except Exception`` in it catches this."""


class NoResult(Exception):
    """The answer returned None and changed nothing."""


class WrongType(Exception):
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


class Unsupported(NamedTuple):
    """Stands for a thing that no exercise asks for, and with which nothing is compared."""

    kind: str


@dataclass(frozen=True)
class Performance:
    """What an answer did with one input."""

    #: What the observer collected, as :func:`to_data` makes it, or :class:`Raised`; None if the answer gave nothing.
    result: Any
    #: The inputs afterward, as :func:`snapshot` takes them.
    inputs_after: list[Any]


#: Runs the answer to an exercise on one input: ``perform(exercise, answer, inputs, dtype)``.
Perform = Callable[[Exercise, Function, Inputs, torch.dtype], Performance]


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
    unit = "seconds of processor time" if of_work else "seconds"

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeUp(f"more than {seconds:g} {unit}")

    before = signal.signal(number, ring)
    signal.setitimer(timer, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, before)


@contextmanager
def torch_defaults(dtype: torch.dtype) -> Iterator[None]:
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


def run(function: Function, *arguments: Any, dtype: torch.dtype = torch.float64) -> Any:
    """Call a function; what it returns, None if it raises NoResult, or another exception as :class:`Raised`.

    >>> run(lambda x: 1 / x, 0).kind
    'ZeroDivisionError'
    """
    try:
        with torch_defaults(dtype), time_limit(LIMIT):
            return function(*arguments)
    except NoResult:
        return None
    except (Exception, SystemExit, TimeUp) as error:
        return Raised(type(error).__name__, str(error), readers_line(error))


def to_data(value: Any) -> Any:
    """A value as data: dense tensors outside of any graph, numbers, texts and None, in lists and dicts.

    Arrays become tensors, tuples, sets and iterators become lists; anything else is an :class:`Unsupported`.

    >>> to_data((np.float32(0.5), {"net": nn.ReLU()}))
    [0.5, {'net': Unsupported(kind='ReLU')}]
    """
    try:
        return _to_data(value)
    except Exception:  # of a list that holds itself, a number that is too large, a tensor without numbers
        return Unsupported(type(value).__name__)


def _to_data(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str, Unsupported)) or type(value).__name__ == "Estimate":
        return value  # Estimate: of observers in legacy.py, until they only collect
    if isinstance(value, Tensor):
        dense = value.detach().cpu().to_dense()
        return Unsupported("complex tensor") if dense.is_complex() else dense
    if isinstance(value, np.ndarray) and value.ndim:
        return _to_data(torch.tensor(value))
    if isinstance(value, (np.ndarray, np.generic)):
        return _to_data(value.item())
    if isinstance(value, (Real, Decimal)):
        return int(value) if isinstance(value, Integral) and abs(float(value)) < math.inf else float(value)
    if isinstance(value, Mapping):
        return {str(name): to_data(one) for name, one in value.items()}
    if isinstance(value, Iterator):
        value = list(islice(value, LONGEST))  # it may have no end
    if isinstance(value, (list, tuple, Set)):
        return [to_data(one) for one in value]
    return Unsupported(type(value).__name__)


# --- inputs -------------------------------------------------------------------------------------------


def cast(value: Any, dtype: torch.dtype | None = None) -> Any:
    """A copy of an input, with all its float64 numbers in a dtype if one is given."""
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to(dtype)
    if isinstance(value, Tensor):
        wanted = dtype if value.dtype == torch.float64 else None
        return value.detach().to(wanted or value.dtype, copy=True).requires_grad_(value.requires_grad)
    if isinstance(value, (tuple, list)):
        return type(value)(cast(one, dtype) for one in value)
    if isinstance(value, torch.Generator):
        return torch.Generator().set_state(value.get_state())
    return copy.deepcopy(value)


def snapshot(value: Any) -> Any:
    """The tensors of an input, in lists and dicts; None for what may move on, as generators do."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, nn.Module):
        return dict(value.state_dict())
    return [snapshot(one) for one in value] if isinstance(value, (tuple, list)) else None


def same(first: Any, second: Any) -> bool:
    """Whether two snapshots hold the same numbers; NaN equals NaN."""
    if type(first) is not type(second) and not isinstance(first, Tensor):
        return False
    if isinstance(first, Tensor):
        return first.shape == second.shape and torch.equal(first.double().nan_to_num(), second.double().nan_to_num())
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[name], second[name]) for name in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))
    return True


def changed(before: list[Any], after: list[Any]) -> list[int]:
    """The positions at which two lists of snapshots differ."""
    return [index for index, pair in enumerate(zip(before, after, strict=True)) if not same(*pair)]


# --- answers ------------------------------------------------------------------------------------------


def returning_inplace(answer: Function, changes: tuple[int, ...]) -> Function:
    """An answer, as a function that returns its result also where it writes that into inputs; arrays become tensors."""

    def call(*inputs: Any, **options: Any) -> Any:
        before = snapshot(cast(inputs)) if changes else []
        returned = _without_array(answer(*inputs, **options))
        if not changes or (isinstance(returned, (tuple, list)) and len(returned) == len(changes)):
            return returned  # where several are asked for, one of them may have been changed in place, too
        if set(changed(before, snapshot(inputs))) & set(changes):
            after = tuple(inputs[index] for index in changes)
            return after[0] if len(after) == 1 else after
        if returned is None:
            raise NoResult
        return returned

    return call


def _without_array(returned: Any) -> Any:
    if isinstance(returned, np.ndarray):
        with suppress(TypeError):  # of objects
            return torch.tensor(returned)
    return returned


def perform(
    observe: Function, answer: Function, inputs: Inputs, dtype: torch.dtype, changes: tuple[int, ...]
) -> Performance:
    """Let an observer see what an answer does with copies of the inputs."""
    own = cast(inputs, dtype)

    def collect() -> Any:
        return to_data(observe(returning_inplace(answer, changes), *own))

    return Performance(run(collect, dtype=dtype), snapshot(own))


def perform_here(exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype) -> Performance:
    """The same for an exercise, in this process."""
    return perform(exercise.observe, answer, inputs, dtype, exercise.changes)


def described(exercise: Exercise, performance: Performance, inputs: Inputs, dtype: torch.dtype) -> Any:
    """What is compared of a performance, None if there is nothing, or :class:`Raised`."""
    raw = performance.result
    if raw is None or isinstance(raw, Raised) or exercise.describe is None:
        return raw
    return run(exercise.describe, raw, *inputs, dtype=dtype)
