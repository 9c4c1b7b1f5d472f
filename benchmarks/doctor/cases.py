"""What a case is, and the list of all of them.

A file ``healthy_*.py`` or ``faults_*.py`` beside this one is found by its name; what it registers comes in the order
in which it stands there.
"""

import pkgutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.propagation import call

#: A model, what it is called with, the loss of (output, target) or of the output alone, and the target or None.
Problem = tuple[nn.Module, Any, Callable[..., Tensor], Any]
Builder = Callable[[], Problem]

#: Where a finding about the data, not about a layer, is located.
BATCH, TARGET = "the batch", "the target"
#: The causes a judge may name.
KINDS = frozenset(
    [
        "not-finite",
        "uninitialized",
        "parameter-scale",
        "input-scale",
        "target-scale",
        "equal-units",
        "forward-scale",
        "vanishing-gradient",
        "exploding-gradient",
        "lost-input",
        "dead-units",
        "saturated-units",
        "first-loss",
        "output-activation",
        "zero-initialized",
        "no-gradient",
        "frozen",
        "running-statistics",
        "small-batch",
        "bias-before-norm",
        "normalization-explosion",
    ]
)
#: Worth knowing and often meant: where one of these is the answer, saying so without raising an alarm is right.
NOTES = frozenset({"zero-initialized", "frozen", "bias-before-norm"})

#: Files whose cases import a library that takes seconds.
HEAVY = frozenset({"healthy_library"})


@dataclass(frozen=True)
class Case:
    """One model on one batch, with the right answer.

    ``kinds`` holds the causes that an expert might name first, none for a healthy model. ``layers`` holds patterns of
    acceptable places; None says that the fault is the whole model's. ``source`` is the address of the report or the
    paper it was rebuilt from. ``rate`` is a learning rate of Adam at which a healthy model learns.
    """

    name: str
    part: str
    build: Builder
    kinds: frozenset[str] = frozenset()
    layers: frozenset[str] | None = None
    source: str = ""
    rate: float = 1e-3
    fast: bool = False

    @property
    def healthy(self) -> bool:
        """Whether a judge should raise no alarm."""
        return not self.kinds

    @property
    def id(self) -> str:
        """What ``--only`` compares with: the file and the name."""
        return f"{self.part}: {self.name}"

    def make(self) -> Problem:
        """Build the case: the same numbers each time, whatever was drawn before, and no trace left."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(self.name.encode()))
            return self.build()

    def is_cause(self, kind: str) -> bool:
        """Whether this kind is a right answer."""
        return kind in self.kinds

    def is_place(self, layer: str) -> bool:
        """Whether this is a right place; a layer's own tensor, such as ``4.weight`` for ``4``, is as good."""
        places = {layer, layer.rpartition(".")[0]} if layer.endswith((".weight", ".bias")) else {layer}
        return any(fnmatchcase(place, pattern) for place in places for pattern in self.layers or ())


_CASES: list[Case] = []


def healthy(name: str, source: str = "", rate: float = 1e-3) -> Callable[[Builder], Builder]:
    """Register a model that starts well: every finding but a note is a false alarm."""

    def register(build: Builder) -> Builder:
        _CASES.append(Case(name, _part(build), build, source=source, rate=rate))
        return build

    return register


def fault(
    name: str, kinds: Iterable[str], layers: Iterable[str] | None = None, source: str = ""
) -> Callable[[Builder], Builder]:
    """Register a model with one fault, the causes that an expert might name, and where it is."""
    unknown = set(kinds) - KINDS
    if unknown or not kinds:
        raise ValueError(f"{name!r}: kinds must be some of {sorted(KINDS)}, got {sorted(kinds)}")

    def register(build: Builder) -> Builder:
        places = None if layers is None else frozenset(layers)
        _CASES.append(Case(name, _part(build), build, frozenset(kinds), places, source))
        return build

    return register


def all_cases() -> list[Case]:
    """Every case; each fourth of a file is marked as fast, but none of those that import a large library."""
    if not _CASES:
        package = import_module(__package__)
        names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
        for name in names:
            if name.startswith(("healthy_", "faults_")):
                import_module(f"{__package__}.{name}")
    seen: dict[str, int] = {}
    cases = []
    for case in _CASES:
        cases.append(replace(case, fast=seen.get(case.part, 0) % 4 == 0 and case.part not in HEAVY))
        seen[case.part] = seen.get(case.part, 0) + 1
    return cases


def loss_of(problem: Problem) -> Tensor:
    """The loss of a problem, ready for ``backward``."""
    model, batch, loss_fn, target = problem
    output = call(model, batch)
    return loss_fn(output) if target is None else loss_fn(output, target)


def _part(build: Builder) -> str:
    return build.__module__.rpartition(".")[2]
