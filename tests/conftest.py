"""What every test of the package shares."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import settings

mpl.use("Agg")
# A slow machine is no failure. The same examples are tried each time: a test judges a change, not luck.
# New examples: `pytest --hypothesis-profile search -m hypothesis`.
settings.register_profile("book", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("book")


@pytest.fixture(autouse=True)
def _clean_slate() -> Iterator[None]:
    """Tests neither see nor leave behind a default dtype, a global seed or an open figure."""
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    yield
    torch.set_default_dtype(dtype)
    torch.set_rng_state(state)
    plt.close("all")
