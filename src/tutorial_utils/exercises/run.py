"""Run a reader's code: on copies, within a time limit, and with every exception turned into a value."""

import copy
import math
import signal
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import import_module
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tutorial_utils
from tutorial_utils.exercises.registry import Exercise, Function, Inputs

#: Seconds that an answer may take for one input.
LIMIT = 10.0
#: How many items of an iterator are looked at.
LONGEST = 10_000
LIBRARIES = (str(Path(tutorial_utils.__file__).parent), sysconfig.get_paths()["stdlib"], "site-packages")


class TimeUp(BaseException):
    """The answer took too long; no ``except Exception`` in it catches this."""


class NoResult(Exception):
    """The answer returned None and changed nothing."""


class WrongType(Exception):
    """The answer gave something of another kind than asked for; the message is a sentence for the reader."""


@dataclass(frozen=True)
class Raised:
    """An exception, as text: its class, what it says, and the line of the reader's own code, if it came up there."""

    kind: str
    message: str
    line: str = ""

    @property
    def is_stub(self) -> bool:
        """Whether this is the exception that stands in place of an answer, and not one of a library."""
        return str(self) == "NotImplementedError" and (not self.line or "NotImplementedError" in self.line)

    def __str__(self) -> str:
        """Class and message, as Python prints them."""
        return f"{self.kind}: {self.message}" if self.message else self.kind


@dataclass(frozen=True)
class Unsupported:
    """Stands for an object of a type that no exercise asks for."""

    kind: str


@dataclass(frozen=True)
class Performance:
    """What an answer did with one input."""

    #: What the observer collected, as :func:`to_data` makes it, or :class:`Raised`; None if the answer gave nothing.
    result: Any
    #: The inputs afterward, as :func:`snapshot` takes them.
    inputs_after: list[Any]


#: Runs the answer to an exercise on one input, called as ``perform(exercise, answer, inputs, dtype)``.
Perform = Callable[[Exercise, Function, Inputs, torch.dtype], Performance]


# --- an answer ----------------------------------------------------------------------------------------


def perform(
    observe: Function, answer: Function, inputs: Inputs, dtype: torch.dtype, changes: tuple[int, ...]
) -> Performance:
    """Let an observer see what an answer does with copies of the inputs."""
    import_what_autograd_needs()
    own = cast(inputs, dtype)

    def collect() -> Any:
        return to_data(observe(returning_inplace(answer, changes), *own))

    return Performance(run(collect, dtype=dtype), snapshot(own))


@cache
def import_what_autograd_needs() -> None:
    """Import what ``torch.autograd.grad`` with ``grad_outputs`` imports when it is first called: some 500 modules.

    On a slow machine that could use up an answer's time, and an import that is cut short leaves torch broken.
    """
    import_module("torch.fx.experimental.symbolic_shapes")


def perform_here(exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype) -> Performance:
    """Do so for an exercise, in this process."""
    return perform(exercise.observe, answer, inputs, dtype, exercise.changes)


def described(exercise: Exercise, performance: Performance, inputs: Inputs, dtype: torch.dtype) -> Any:
    """What is compared of a performance, None if there is nothing, or :class:`Raised`."""
    raw = performance.result
    if raw is None or isinstance(raw, Raised) or exercise.describe is None:
        return raw
    return run(exercise.describe, raw, *inputs, dtype=dtype)


def returning_inplace(answer: Function, changes: tuple[int, ...]) -> Function:
    """An answer, as a function that returns its result also where it writes that into inputs; arrays become tensors."""

    def call(*inputs: Any, **options: Any) -> Any:
        before = snapshot(cast(inputs)) if changes else []
        returned = answer(*inputs, **options)
        if isinstance(returned, np.ndarray) and returned.dtype.kind in "biufc":
            returned = torch.tensor(returned)
        if not changes or (isinstance(returned, (tuple, list)) and len(returned) == len(changes)):
            return returned  # an answer that returns all results may have used the inputs as scratch space
        if set(changed(before, snapshot(inputs))) & set(changes):
            after = tuple(inputs[index] for index in changes)
            return after[0] if len(after) == 1 else after
        if returned is None:
            raise NoResult
        return returned

    return call


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
        frames = reversed(traceback.extract_tb(error.__traceback__))  # the innermost first
        line = next((frame.line for frame in frames if not any(place in frame.filename for place in LIBRARIES)), "")
        return Raised(type(error).__name__, str(error), line or "")


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
    return copy.deepcopy(value)


def snapshot(inputs: Iterable[Any]) -> list[list[Tensor]]:
    """The tensors of each input, not copied; a generator has none, for it may move on."""
    return [list(tensors(value)) for value in inputs]


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a value, outside of any graph, in order."""
    if isinstance(value, Tensor):
        yield value.detach()
    elif isinstance(value, nn.Module):
        yield from value.state_dict().values()
        yield torch.tensor(sum(1 for _ in value.modules()))  # what has no numbers counts, too
    elif isinstance(value, (tuple, list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from tensors(one)


def changed(before: list[list[Tensor]], after: list[list[Tensor]]) -> list[int]:
    """The positions at which two snapshots differ."""
    return [index for index, pair in enumerate(zip(before, after, strict=True)) if not same(*pair)]


def same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    """Whether tensors hold the same numbers; NaN equals NaN."""
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(
        torch.equal(*(one.double().nan_to_num() for one in pair)) for pair in pairs
    )


# --- data ---------------------------------------------------------------------------------------------


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
    if value is None or isinstance(value, (bool, str, Unsupported)):
        return value
    if isinstance(value, Tensor):
        dense = value.detach().cpu().to_dense()
        return Unsupported("complex tensor") if dense.is_complex() else dense
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return _to_data(value.tolist())
    if isinstance(value, (np.ndarray, np.generic)):
        return _to_data(torch.tensor(value) if value.ndim else value.item())
    if isinstance(value, (Real, Decimal)):
        return int(value) if isinstance(value, Integral) and abs(float(value)) < math.inf else float(value)
    if isinstance(value, Mapping):
        return {str(name): to_data(one) for name, one in value.items()}
    if isinstance(value, Iterator):
        value = list(islice(value, LONGEST))  # it may have no end
    if isinstance(value, (list, tuple, Set)):
        return [to_data(one) for one in value]
    return Unsupported(type(value).__name__)
