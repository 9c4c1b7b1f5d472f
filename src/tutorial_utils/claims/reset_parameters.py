"""What reset_parameters draws: the root of five, the thirds and sixths that follow, and whether it trains."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import init

from tutorial_utils.claims.experiments import (
    DIGITS,
    MNIST,
    WIDENED,
    Build,
    accuracy_gain,
    angle_gap,
    backward_factor,
    constructed,
    constructing,
    each,
    forward_factor,
    initialized_mlp,
    second_moment,
    seeded,
    signals,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.sentinel import given_memory


@claim(
    "nn.Linear draws weights and biases uniformly between ±1 / √n_in.",
    source="source text; PyTorch docs",
    quantity="3 n_in times the second moment; the largest over 1 / √n_in",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=24),
)
def linear_default_bound(seeds: Seeds) -> Effects:
    def moment(name: str, seed: int) -> float:
        return 300 * second_moment(constructed(lambda: nn.Linear(100, 3000), seed).get_parameter(name))

    def largest(name: str, seed: int) -> float:
        return 10 * float(constructed(lambda: nn.Linear(100, 3000), seed).get_parameter(name).detach().abs().max())

    moments = each(seeds, moment, {f"{name}, second moment": name for name in ("weight", "bias")})
    return moments | each(seeds, largest, {f"{name}, largest": name for name in ("weight", "bias")})


@claim(
    "The reset_parameters quoted for nn.Linear gives the numbers that nn.Linear starts with.",
    source="source text",
    quantity="largest difference of a weight or bias, same seed, over 1 / √n_in",
    criterion=Method.RANGE.within(0, 1e-12, seeds=12),  # rounding of the bound
)
def quoted_reset_draws_the_same(seeds: Seeds) -> Effects:
    def difference(seed: int) -> float:
        layers = [given_memory(nn.Linear(100, 50, device="meta", dtype=torch.float64)) for _ in range(2)]
        for layer, reset in zip(layers, (nn.Linear.reset_parameters, _quoted_reset), strict=True):
            with constructing(seed):
                reset(layer)
        ours, theirs = (nn.utils.parameters_to_vector(layer.parameters()) for layer in layers)
        return float((ours - theirs).detach().abs().max()) * 10

    return each(seeds, difference)


def _quoted_reset(layer: nn.Module) -> None:
    """The code that the source text quotes as nn.Linear's."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    bound = 1 / math.sqrt(weight.size(1))
    init.uniform_(weight, -bound, bound)
    init.uniform_(bias, -bound, bound)


@claim(
    "PyTorch starts linear layers and convolutions by Kaiming He's method.",
    source="source text, by its example; folklore",
    quantity="n Var[w] of a square layer",
    criterion=Method.MEAN.within(1.9, 2.1, seeds=16),  # He's 2; kaiming_uniform_ is the function that is called
)
def default_is_he(seeds: Seeds) -> Effects:
    return _square_layers(seeds)


@claim(
    "PyTorch starts linear layers and convolutions by Xavier Glorot's method.",
    source="folklore",
    quantity="n Var[w] of a square layer",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=16),
)
def default_is_glorot(seeds: Seeds) -> Effects:
    return _square_layers(seeds)


def _square_layers(seeds: Seeds) -> Effects:
    """The variance of weights times n, of square layers as their constructors initialize them."""

    def scaled(build: Build, fan: int, seed: int) -> float:
        return fan * second_moment(constructed(build, seed).get_parameter("weight"))

    layers = {"Linear": (lambda: nn.Linear(200, 200), 200), "Conv2d": (lambda: nn.Conv2d(64, 64, 3), 9 * 64)}
    return each(seeds, scaled, layers)


@claim(
    "The quoted bound 1 / √weight.size(1) divides by the inputs of a unit, and leaves a third of their second moment.",
    source="source text",
    quantity="3 E[z²] for inputs of ±1, without biases",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=32),
)
def quoted_bound_counts_inputs(seeds: Seeds) -> Effects:
    def moment(build: Build, inputs: Sequence[int], seed: int) -> float:
        layer = constructed(build, seed)
        init.zeros_(layer.get_parameter("bias"))
        return 3 * second_moment(layer(*(torch.ones(1, n, dtype=torch.float64) for n in inputs)))

    layers = {
        "Linear(100)": (lambda: nn.Linear(100, 500), [100]),
        "Bilinear(10, 100)": (lambda: nn.Bilinear(10, 100, 500), [10, 100]),
        "Bilinear(100, 10)": (lambda: nn.Bilinear(100, 10, 500), [100, 10]),
    }
    return each(seeds, moment, layers)


@claim(
    "Between layers of equal width PyTorch's default leaves a third of the gradient's second moment, a sixth with ReLU,"
    " and as much of the signal's if there are no biases.",
    source="derivation; cf. Glorot and Bengio (2010), equation 15",
    quantity="factor per layer over that prediction",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=64),
    after_looking=WIDENED,
)
def default_third_and_sixth(seeds: Seeds) -> Effects:
    def gradient(activation: Build, expected: int, seed: int) -> float:
        return expected * backward_factor(signals(seed, [200] * 9, activation, "default", bias=True))

    def signal(seed: int) -> float:
        return 6 * forward_factor(signals(seed, [200] * 9, nn.ReLU, "default"))

    cases = {"gradient, no activation": (nn.Identity, 3), "gradient, ReLU": (nn.ReLU, 6)}
    return each(seeds, gradient, cases) | each(seeds, signal, {"signal, ReLU, no biases": ()})


@claim(
    "Under PyTorch's default, GELU and SiLU networks of equal width keep a twelfth of the gradient's second moment per"
    " layer where the signal is small.",
    source="derivation",
    quantity="factor per layer over 1/12",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=32),
)
def default_twelfth_for_gelu(seeds: Seeds) -> Effects:
    def factor(activation: Build, seed: int) -> float:
        return 12 * backward_factor(signals(seed, [200] * 11, activation, "default", bias=True), skip=4)

    return each(seeds, factor, {"GELU": nn.GELU, "SiLU": nn.SiLU})


@claim(
    "With its random biases the default's signal ends on a floor in wide networks of width n: 2 / (5 n) with ReLU,"
    " 1 / (2 n) with tanh.",
    source="derivation",
    quantity="second moment at layer 10 over that floor",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=96),
)
def default_floor(seeds: Seeds) -> Effects:
    def ratio(activation: Build, floor: float, seed: int) -> float:
        table = signals(seed, [256] * 11, activation, "default", bias=True, gradients=False)
        return float(table.second_moment.iloc[-1] / floor)

    return each(seeds, ratio, {"ReLU": (nn.ReLU, 2 / (5 * 256)), "Tanh": (nn.Tanh, 1 / (2 * 256))})


@claim(
    "A default ReLU network gives two orthogonal inputs the same answer.",
    source="derivation",
    quantity="cosine of the two answers, width 128",
    criterion=Method.MEDIAN.within(0.99, 1 + 1e-9, seeds=24),
)
def default_forgets_its_input(seeds: Seeds) -> Effects:
    inputs = math.sqrt(128) * torch.eye(2, 128, dtype=torch.float64)  # of second moment 1

    def cosine(depth: int, bias: bool, seed: int) -> float:
        net = initialized_mlp(seeded(seed), [128] * (depth + 1), nn.ReLU, "default", bias=bias)
        return 1 - angle_gap(net, depth, inputs)

    return each(seeds, cosine, {"3 layers": (3, True), "16 layers": (16, True), "16 layers, no biases": (16, False)})


@claim(
    "PyTorch's default start fails where He's trains.",
    source="folklore",
    quantity="test accuracy, He minus default, ReLU, best of two rates",
    criterion=Method.MEDIAN.within(0.2, 1, seeds=8),
    data=(DIGITS, MNIST),
    optimizer=("SGD, momentum 0.9",),
    budget="150 steps",
)
def default_fails_to_train(seeds: Seeds) -> Effects:
    def ahead(depth: int, **others: Any) -> list[float]:
        he, default = {"scheme": "kaiming_normal"}, {"scheme": "default"}
        settings: dict[str, Any] = {"on": DIGITS, "momentum": 0.9, "lr": [0.01, 0.1], **others}
        return accuracy_gain(seeds, he, default, depth=depth, steps=150, **settings)

    return {
        "2 hidden layers, digits": ahead(2),
        "4 hidden layers, digits": ahead(4),
        "4 hidden layers, batches of 64, digits": ahead(4, batch_size=64),
        "8 hidden layers, digits": ahead(8),
        "8 with BatchNorm, digits": ahead(8, norm="batch"),
        "8 hidden layers, MNIST": ahead(8, on=MNIST),
    }
