"""Random inputs for exercises: numbers, sizes and tensors from one stream."""

import torch
from torch import Tensor


def between(low: int, high: int, *, generator: torch.Generator) -> int:
    """A whole number from low to high, both possible.

    >>> 2 <= between(2, 3, generator=torch.Generator()) <= 3
    True
    """
    return int(torch.randint(low, high + 1, (), generator=generator))


def uniform(low: float, high: float, *, generator: torch.Generator) -> float:
    """A number between low and high."""
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def normal(*shape: int, generator: torch.Generator, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """A float64 tensor of independent normal numbers."""
    return mean + std * torch.randn(shape, generator=generator, dtype=torch.float64)


def sizes(count: int, low: int, high: int, *, generator: torch.Generator) -> list[int]:
    """Different whole numbers from low to high: sizes that cannot be taken for one another.

    >>> len(set(sizes(3, 2, 6, generator=torch.Generator())))
    3
    """
    return (low + torch.randperm(high - low + 1, generator=generator)[:count]).tolist()
