"""Torch's global settings: a reader's hold while their answer runs, and not while it is judged.

>>> torch.set_default_dtype(torch.float64)
>>> with judging() as theirs:
...     print(torch.get_default_dtype())
...     with held(theirs):
...         print(torch.get_default_dtype())
torch.float32
torch.float64
>>> torch.set_default_dtype(torch.float32)
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """How a global setting is read and written, and what it is for a judge; None: whatever it is."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    standard: Any = None


def _deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _filter_warnings(filters: list[Any]) -> None:
    warnings.resetwarnings()  # which also forgets what was decided before
    warnings.filters.extend(filters)  # type: ignore[attr-defined]


SETTINGS = {
    "default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    "default device": Setting(torch.get_default_device, torch.set_default_device, torch.device("cpu")),
    "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled, True),
    "threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "deterministic": Setting(
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        _deterministic,
        (False, False),
    ),
    "anomalies": Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
    "precision": Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    "autocast": Setting(
        lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on), False
    ),
    "warnings": Setting(lambda: list(warnings.filters), _filter_warnings, [("ignore", None, Warning, None, 0)]),
    "NumPy's errors": Setting(np.geterr, lambda kinds: np.seterr(**kinds), np.geterr()),
}


@contextmanager
def held(values: Mapping[str, Any]) -> Iterator[None]:
    """Let settings have these values in the block, and what they had after it, whatever the block sets."""
    before = current()
    _change(before, values)
    try:
        yield
    finally:
        _change(current(), before)


@contextmanager
def judging() -> Iterator[dict[str, Any]]:
    """Let all settings be standard in the block; what they were before it."""
    theirs = current()
    with held({name: one.standard for name, one in SETTINGS.items() if one.standard is not None}):
        yield theirs


def current() -> dict[str, Any]:
    """The value of each setting."""
    return {name: one.read() for name, one in SETTINGS.items()}


def _change(now: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Write what differs: some settings cost every later call some time once they were written."""
    for name, value in values.items():
        if now[name] != value:
            SETTINGS[name].write(value)
