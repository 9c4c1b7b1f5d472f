r"""What the package's commands share: finding and building what ``package.module:factory`` names, and printing.

``python -m tutorial_utils.audit`` and ``python -m tutorial_utils.diagnose`` run code of the reader's own, in one
process with themselves. Three things keep the two apart. A mistake in the request (a module that does not exist) is
a :class:`RequestError`, one line; a mistake *inside* the reader's code shows the reader's traceback. The reader's code
sees none of the command's arguments. And what it prints goes to stderr, so that ``--json`` prints nothing but JSON.

>>> parser = argument_parser("tutorial_utils.audit", "Print what every parameter of a model starts as.")
>>> options = parser.parse_args(["torch.nn:PReLU", "--seed", "3"])
>>> build(options.model, seed=options.seed)
PReLU(num_parameters=1)
"""

import argparse
import difflib
import importlib
import inspect
import math
import os
import random
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import torch
from torch import nn

#: Exit codes. Nothing is wrong; something alarming was found; the request or the reader's code failed.
FINE, ALARMING, FAILED = 0, 1, 2


class RequestError(ValueError):
    """The request cannot be met as it was written; the message is one sentence for whoever typed it."""


def argument_parser(module: str, description: str) -> argparse.ArgumentParser:
    """Make the parser of ``python -m module``, with the two arguments that every command takes: model and seed."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog="exit codes: 0 nothing alarming, 1 something alarming, 2 a mistake in the request or in your code",
    )
    parser.add_argument(
        "model", metavar="package.module:factory", help="a model, or what makes one when called without arguments"
    )
    parser.add_argument("--seed", type=int, help="seeds Python's, NumPy's and torch's random numbers (default: none)")
    return parser


def find(name: str, *, seed: int | None = None) -> Any:
    """Import what ``package.module:attribute`` names; an attribute may be nested, as in ``module:Outer.Inner``.

    The current folder can be imported from.

    Args:
        name: a module and an attribute of it, with a colon between them.
        seed: what to seed random numbers with before the import, if at all: a module may make its model right then.

    Returns:
        The object.

    Raises:
        RequestError: if ``name`` is not of this form, or if there is no such module or attribute.
        SystemExit: if the module fails while it is imported; its traceback is printed first.

    >>> find("collections:OrderedDict.fromkeys").__name__
    'fromkeys'
    >>> find("torch.nn:Linaer")
    Traceback (most recent call last):
        ...
    tutorial_utils.command.RequestError: torch.nn has no 'Linaer'; did you mean 'Linear'?
    """
    module, _, attribute = name.partition(":")
    if not all((module + "." + attribute).split(".")):
        raise RequestError(f"{name!r} is not of the form package.module:factory")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # python -m does so itself, unless it was told to be safe
    found: Any = _import(module, seed)
    where = module
    for part in attribute.split("."):
        found, where = _attribute(found, part, where), f"{where}.{part}"
    return found


def build(name: str, *, seed: int | None = None) -> Any:
    """Call the function or class that ``package.module:factory`` names, and return what it makes.

    A model, and whatever else cannot be called, is returned as it is.

    Args:
        name: see :func:`find`.
        seed: what to seed random numbers with, if at all: before the import, and again before the call.

    Raises:
        RequestError: if there is nothing of this name, or if it cannot be called without arguments.
        SystemExit: if the reader's code fails; its traceback is printed first.

    >>> build("torch.nn:Identity")
    Identity()
    """
    found = find(name, seed=seed)
    if isinstance(found, nn.Module) or not callable(found):
        return found
    _check_callable(found, name)
    with readers_code(seed):
        return found()


@contextmanager
def readers_code(seed: int | None = None) -> Iterator[None]:
    """Run the reader's code: it sees no arguments, prints to stderr, and if it raises, that ends the command.

    Then the traceback is printed from the reader's first line on, and the exit code is 2: nothing was judged.
    """
    arguments = sys.argv
    sys.argv = arguments[:1]  # a script that reads its own arguments would take the command's for them
    try:
        with redirect_stdout(sys.stderr):
            _seed(seed)
            yield
    except (Exception, SystemExit) as error:  # a script without a main guard may well call sys.exit
        traceback.print_exception(error.with_traceback(_from_the_reader_on(error.__traceback__)))
        raise SystemExit(FAILED) from None
    finally:
        sys.argv = arguments


def write(text: str) -> None:
    """Print a text whole, or as much of it as someone reads: ``| head`` closes its end of the pipe early."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:
        # Python flushes once more when it ends, and would complain about the same pipe then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def counted(number: int, noun: str) -> str:
    """A number and what it counts, as the reports write it.

    >>> counted(1, "output"), counted(2000, "output")
    ('1 output', '2,000 outputs')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def spoken(number: float, digits: int = 2) -> str:
    """A number to read in a sentence: powers of ten only where no words will do.

    >>> spoken(2345), spoken(5.2e7, digits=1), spoken(0.00018), spoken(164.4, digits=3), spoken(3e-9)
    ('2,300', '50 million', '0.00018', '164', '3e-09')
    """
    rounded = float(f"{number:.{digits}g}") if math.isfinite(number) else number
    size = abs(rounded)
    for word, unit in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if unit <= size < 1e15:
            return f"{spoken(rounded / unit, digits)} {word}"
    if not 1e-6 < size < 1e15:
        return f"{rounded:.{digits}g}"
    text = f"{rounded:,.{max(digits - 1 - math.floor(math.log10(size)), 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _import(module: str, seed: int | None) -> ModuleType:
    """The module; whether it or something that it imports does not exist is told by the name in the error."""
    with readers_code(seed):
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise
            missing = error.name
    raise RequestError(f"there is no module {missing!r}, neither installed nor in the current folder")


def _attribute(owner: Any, name: str, where: str) -> Any:
    """An attribute, or an error that offers the most similar name."""
    try:
        return getattr(owner, name)
    except AttributeError:
        close = difflib.get_close_matches(name, dir(owner), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise RequestError(f"{where} has no {name!r}{hint}")


def _check_callable(found: Any, name: str) -> None:
    """Refuse what needs arguments, in the words of the request rather than by a traceback."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # of some objects written in C
        return
    try:
        signature.bind()
    except TypeError as error:
        raise RequestError(f"{name} cannot be called without arguments ({error}); name a function that can") from None


def _from_the_reader_on(entry: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this file and of the import system at its top."""
    while entry and entry.tb_frame.f_code.co_filename in {__file__, importlib.__file__}:
        entry = entry.tb_next
    while entry and entry.tb_frame.f_code.co_filename.startswith("<frozen importlib"):
        entry = entry.tb_next
    return entry


def _seed(seed: int | None) -> None:
    """Seed what the reader's code may draw from; it does not take a generator of ours."""
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
