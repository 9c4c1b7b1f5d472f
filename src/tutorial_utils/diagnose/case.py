"""All that the rules may look at: the parameters, what the passes showed, and the limits."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from tutorial_utils.diagnose.calling import Arguments, storage
from tutorial_utils.diagnose.measure import Call, Run
from tutorial_utils.diagnose.statistics import Statistics, extremes, plain, rms, sample, statistics

STAND_IN = 0.1  # of what is zero or tiny, beside 1: visible, but of no weight in a sum


@dataclass(frozen=True)
class Held:
    """A parameter or buffer: its name, the layer that a finding names, its owner, its extremes, a sample of it."""

    name: str
    layer: str
    owner: nn.Module
    tensor: Tensor
    low: float
    high: float
    sizes: Tensor  # absolute values of the sample

    @property
    def short(self) -> str:
        """The name within its module."""
        return self.name.rpartition(".")[2]

    @property
    def rms(self) -> float:
        """Root mean square."""
        return rms(self.sizes)

    @property
    def is_zero(self) -> bool:
        """Whether all entries are exactly zero."""
        return self.low == self.high == 0

    @property
    def is_constant(self) -> bool:
        """Whether all entries are one number, not zero."""
        return self.low == self.high != 0

    def absurd(self, small: float, large: float, most: float = math.inf) -> int:
        """How many sampled numbers are below ``small`` but not 0, or above ``large`` but below ``most``."""
        sizes = self.sizes
        return int((((sizes > 0) & (sizes < small)) | ((sizes > large) & (sizes < most))).sum())


@dataclass
class Case:
    """One model with one batch, measured: as it is, and freed of its zeros."""

    model: nn.Module
    arguments: Arguments
    limits: dict[str, float]
    parameters: list[Held]
    buffers: list[Held]
    run: Run
    freed: Run  # the same as ``run`` if nothing had to be replaced
    replaced: list[str] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    cut: list[Held] = field(default_factory=list)  # parameters that move the loss without getting a gradient

    @property
    def last_layer(self) -> str:
        """The name of the last layer that applies a matrix, else of the last module."""
        layers = self.run.layers() or self.run.calls
        return layers[-1].layer if layers else type(self.model).__name__

    @cached_property
    def floats(self) -> list[tuple[Tensor, Statistics]]:
        """The floating-point tensors of the batch with their statistics."""
        floating = [t.detach() for t in self.arguments.leaves() if t.is_floating_point() and t.numel()]
        return [(tensor, statistics(tensor)) for tensor in floating]

    def beyond(self, ratio: float, limit: str) -> float:
        """Powers of ten by which a ratio exceeds a limit, at least a little: the severity of a finding."""
        return max(math.log10(max(ratio / self.limits[limit], 1e-300)), 0.01) if math.isfinite(ratio) else 9.0


def held(named: Iterator[tuple[str, Tensor]], model: nn.Module) -> list[Held]:
    """The parameters or buffers of a model with what the rules ask about them."""
    found = []
    for name, tensor in named:
        path = name.rpartition(".")[0]
        for inner in (".parametrizations", "parametrizations"):
            path = path.split(inner)[0] if inner in path else path
        values = plain(tensor)
        low, high = extremes(values) if tensor.is_floating_point() or tensor.is_complex() else (math.nan, math.nan)
        sizes = sample(values).abs().flatten() if math.isfinite(low + high) or values.numel() else torch.empty(0)
        found.append(Held(name, path or name, model.get_submodule(path), tensor, low, high, sizes))
    return found


def silencers(case_parameters: list[Held], run: Run) -> list[Held]:
    """The parameters that multiply and are zero, or small constant factors such as those of layer scale."""
    found = []
    for p in case_parameters:
        if storage(p.tensor) not in run.multipliers or not p.tensor.numel():
            continue
        factor = storage(p.tensor) not in run.matrices and p.is_constant and abs(p.high) < STAND_IN
        if p.is_zero or factor:
            found.append(p)
    return found


@contextmanager
def replaced(silent: list[Held], matrices: set[int]) -> Iterator[None]:
    """Random numbers, small but not zero, in place of what silences a part of the model, for as long as this lasts."""
    generator, before = _fixed(), [p.tensor.data for p in silent]
    try:
        for p in silent:
            p.tensor.data = _stand_in(p, storage(p.tensor) in matrices, generator)
        yield
    finally:
        for p, data in zip(silent, before, strict=True):
            p.tensor.data = data


@contextmanager
def shaken(parameters: list[Held]) -> Iterator[None]:
    """Parameters with other numbers, for as long as this lasts."""
    generator, before = _fixed(), [p.tensor.data for p in parameters]
    try:
        for p in parameters:
            noise = torch.randn(p.tensor.shape, generator=generator).to(p.tensor.data)
            p.tensor.data = 1.5 * p.tensor.data + 0.1 * noise
        yield
    finally:
        for p, data in zip(parameters, before, strict=True):
            p.tensor.data = data


def _fixed() -> torch.Generator:
    """The same numbers in every diagnosis."""
    return torch.Generator().manual_seed(0)


def _stand_in(p: Held, matrix: bool, generator: torch.Generator) -> Tensor:
    if not matrix:
        return torch.full_like(p.tensor.data, STAND_IN)
    fan_in = math.prod(p.tensor.shape[1:]) or 1
    drawn = torch.randn(p.tensor.shape, generator=generator) * STAND_IN / math.sqrt(fan_in)
    return drawn.to(p.tensor.data)


def before(call: Call, calls: list[Call]) -> Call | None:
    """The call whose result a call was given directly: the same numbers, as memory may have been used twice."""
    near = [c for c in calls if c.number < call.number and call.received is not None and c.returned == call.received]
    return near[-1] if near else None


def listed(names: list[str], most: int = 4) -> str:
    """A few names, and how many more there are."""
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:most]) + (f" and {len(unique) - most} more" if len(unique) > most else "")
