"""Draw book/assets/overview.png, the picture of the README and of the first page, and card.png, that of a shared link.

    python tools/overview.py

They are drawn from the package like every figure of the book; a test draws them again and compares.
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from tutorial_utils import plotting
from tutorial_utils.data import digits
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate
from tutorial_utils.schemes import SCHEMES

ASSETS = Path(__file__).resolve().parents[1] / "book" / "assets"
DEPTH, WIDTH, SEEDS = 30, 100, 20
STARTS: dict[str, dict[str, float]] = {
    "kaiming_normal": {},
    "default": {},
    "xavier_normal": {},
    "normal": {"std": 0.01},
}


def measure(scheme: str, options: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """The second moments of pre-activations and of their gradients, one draw a row, one layer a column."""
    data = digits(generator=torch.Generator().manual_seed(0))
    x, y = data.x_train[:200], data.y_train[:200]
    tables = []
    for seed in range(SEEDS):
        net = mlp([64, *[WIDTH] * DEPTH, 10])
        initialize_(net, scheme, generator=torch.Generator().manual_seed(seed), **options)
        tables.append(propagate(net, x, lambda z: nn.functional.cross_entropy(z, y), layers=(nn.Linear,)))
    forward, backward = (
        np.stack([table[name] for table in tables]) for name in ("second_moment", "grad_second_moment")
    )
    return forward, backward


def label(scheme: str, options: dict[str, float]) -> str:
    """What a start is called beside its line."""
    return f"std {options['std']}" if options else SCHEMES[scheme].label


def overview() -> Figure:
    """Both directions side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), sharex=True)
    for scheme, options in STARTS.items():
        for ax, samples in zip(axes, measure(scheme, options), strict=True):
            layers = range(1, DEPTH + 2)
            plotting.plot_band(layers, samples, ax, label=label(scheme, options), color=plotting.color(scheme))
    for ax, title in zip(axes, ("going forward: $E[(z^l)^2]$", "coming back: $E[(\\delta^l)^2]$"), strict=True):
        ax.set(yscale="log", ylim=(1e-32, 1e2), xlabel="layer $l$", title=title)
    plotting.label_lines(axes[0])  # the colors serve both; on the right the lines meet where labels would stand
    return figure


def card() -> Figure:
    """The title of the book over what goes forward, in the shape that messages show."""
    figure, ax = plt.subplots(figsize=(7.5, 3.9375), layout="none")  # 1200 by 630 pixels
    figure.subplots_adjust(left=0.1, right=0.82, top=0.66, bottom=0.14)
    for scheme, options in STARTS.items():
        forward, _ = measure(scheme, options)
        layers = range(1, DEPTH + 2)
        plotting.plot_band(layers, forward, ax, label=label(scheme, options), color=plotting.color(scheme))
    ax.set(yscale="log", ylim=(1e-32, 1e2), xlabel="layer", ylabel="what is left of the signal")
    plotting.label_lines(ax)
    figure.text(0.05, 0.86, "Good Starts", fontsize=26, fontweight="bold")
    figure.text(0.05, 0.765, "Neural-network initialization and batch normalization, executed", fontsize=13)
    return figure


PICTURES = {"overview.png": overview, "card.png": card}


def draw(name: str) -> bytes:
    """A picture as the bytes of a PNG."""
    torch.set_default_dtype(torch.float64)
    plotting.use_style()
    figure = PICTURES[name]()
    with io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=160)
        return buffer.getvalue()


if __name__ == "__main__":
    for name in PICTURES:
        (ASSETS / name).write_bytes(draw(name))
        print(f"Drawn: {ASSETS.name}/{name}")
