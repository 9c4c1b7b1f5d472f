"""What measuring costs: recording a network against only running it, a gain by quadrature against two plainer ways.

Each row is timed alternately with its plain way in this one run, on one thread; the ratio is of the medians.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scipy.integrate import quad
from torch import Tensor, nn

from alternating import medians
from tutorial_utils.gains import gain
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate

ROUNDS = 15
SAMPLES = 10**6  # a sampled second moment is then right to about three digits; the quadrature gives ten


def row(what: str, against: str, ours: Callable[[], object], plain: Callable[[], object]) -> dict[str, str]:
    """One comparison: milliseconds of both ways and the ratio of ours to the plain one."""
    first, second = medians({"ours": ours, "plain": plain}, ROUNDS).values()
    return {
        "measured": what,
        "ms": f"{1e3 * first:.2f}",
        "against": against,
        "ms ": f"{1e3 * second:.2f}",
        "ratio": f"{first / second:.2f}",
    }


def recording(width: int, depth: int) -> dict[str, str]:
    """Compare :func:`propagate` with the forward and backward pass alone."""
    net = initialize_(mlp([64, *[width] * depth, 10]), "kaiming_normal")
    x = torch.randn(256, 64)

    def loss(output: Tensor) -> Tensor:
        return output.square().mean()

    def run() -> None:
        torch.autograd.grad(loss(net(x)), list(net.parameters()))

    return row(f"propagate, {depth} x {width}", "forward and backward alone", lambda: propagate(net, x, loss), run)


def quadrature() -> list[dict[str, str]]:
    """Compare :func:`gain` with scipy's scalar quadrature and with sampling."""
    gelu = nn.functional.gelu

    def integrand(z: float) -> float:
        value: float = gelu(torch.tensor(z, dtype=torch.float64)).item()
        return value**2 * float(np.exp(-(z**2) / 2)) / float(np.sqrt(2 * np.pi))

    def scalar() -> float:
        return float(quad(integrand, -38, 38, points=[0], epsabs=1e-14, epsrel=1e-11, limit=200)[0] ** -0.5)

    def sampled() -> Tensor:
        return gelu(torch.randn(SAMPLES, dtype=torch.float64)).square().mean().rsqrt()

    return [
        row("gain of GELU", "scipy.integrate.quad, a point at a time", lambda: gain(gelu), scalar),
        row("gain of GELU", f"the mean of {SAMPLES:,} samples", lambda: gain(gelu), sampled),
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    shapes = [(64, 5), (256, 5), (256, 30)]
    print(pd.DataFrame([recording(*shape) for shape in shapes] + quadrature()).to_string(index=False))
