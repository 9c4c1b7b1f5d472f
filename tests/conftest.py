"""What every test of the package shares."""

import math
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _clean_slate() -> Iterator[None]:
    """Tests neither see nor leave behind a default dtype, a global seed or an open figure."""
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    yield
    torch.set_default_dtype(dtype)
    torch.set_rng_state(state)
    plt.close("all")


def std_bound(n: int, kurtosis: float = 3.0, z: float = 5.0) -> float:
    """The largest credible relative deviation of a sample's standard deviation: z standard errors for n entries.

    The relative standard error of s is sqrt((kurtosis - 1) / (4 n)); z = 5 fails once in 1.7 million honest draws.
    """
    return z * math.sqrt((kurtosis - 1) / (4 * n))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
