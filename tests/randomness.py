"""Seeded generators, how far an honest sample may stray, and how many samples a run of the tests takes."""

import math
import os
from collections.abc import Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
#: Whether to try everything with all seeds, as a workflow does once a week: `THOROUGH=1 make test-code`. A usual run
#: tries fewer, always the same, so that it judges a change, not luck.
THOROUGH = bool(os.environ.get("THOROUGH"))


def sample(items: Sequence[T], every: int, first: int = 0) -> list[T]:
    """Each so-and-so-many-th item from one on; all of them in a thorough run."""
    return list(items if THOROUGH else items[first::every])


def std_bound(n: int, kurtosis: float = 3.0, z: float = 5.0) -> float:
    """The largest credible relative deviation of a sample's standard deviation: z standard errors for n entries.

    The relative standard error of s is sqrt((kurtosis - 1) / (4 n)); z = 5 fails once in 1.7 million honest draws.
    """
    return z * math.sqrt((kurtosis - 1) / (4 * n))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
