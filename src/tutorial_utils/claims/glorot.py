"""Glorot's initialization: its variance, its gradients, its singular values, and what tanh makes of it."""

import math
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.claims.experiments import (
    DATA,
    DIGITS,
    DIGITS_BY_PIXEL,
    MNIST,
    WIDENED,
    Build,
    accuracy_gain,
    drawn_weight,
    each,
    factors_per_layer,
    initialized_mlp,
    second_moment,
    seeded,
    signals,
    unit_inputs,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.propagation import propagate


@claim(
    "At the start the weight gradients of all layers have the same size, even where the gradient sent back shrinks.",
    source="Glorot and Bengio (2010), section 4.2.2 and figure 8",
    quantity="root mean square of the weight gradient, layer 2 over layer 10, width 128",
    criterion=Method.MEDIAN.within(0.5, 2, seeds=32),
    after_looking="the digits, and tanh with default biases",
)
def weight_gradients_equal_in_all_layers(seeds: Seeds) -> Effects:
    def ratio(activation: Build, scheme: str, options: dict[str, Any], seed: int) -> float:
        return balance(signals(seed, [128] * 11, activation, scheme, **options))

    def on_digits(seed: int) -> float:
        x, y, *_ = DATA[DIGITS].split(seed)
        net = initialized_mlp(seeded(seed), [64, *[128] * 10, 10], nn.Tanh, "lecun_uniform", nonlinearity=3**-0.5)
        loss = partial(functional.cross_entropy, target=y[:300])
        return balance(propagate(net, x[:300] + 3, loss, layers=(nn.Linear,)))  # correlated, and far from mean zero

    def balance(table: pd.DataFrame) -> float:
        moments = table.weight_grad_second_moment
        return float((moments.iloc[1] / moments.iloc[9]) ** 0.5)

    networks: dict[str, tuple[Build, str, dict[str, Any]]] = {
        "tanh with the old habit": (nn.Tanh, "lecun_uniform", {"nonlinearity": 3**-0.5}),
        "ReLU with Glorot's start": (nn.ReLU, "xavier_normal", {}),
        "ReLU, PyTorch's default biases": (nn.ReLU, "default", {"bias": True}),
        "tanh, PyTorch's default biases": (nn.Tanh, "default", {"bias": True}),
    }
    digits = {"tanh with the old habit, on digits far from mean zero": ()}
    return each(seeds, ratio, networks) | each(seeds, on_digits, digits)


@claim(
    "Glorot's weights have mean zero and a specific variance.",
    source="source text; Glorot and Bengio (2010), equation 12",
    quantity="second moment of a weight over 2 / (n_in + n_out), a layer from 300 to 100",
    criterion=Method.MEAN.within(0.98, 1.02, seeds=20),  # a mean other than zero would add its square
)
def glorot_has_specific_variance(seeds: Seeds) -> Effects:
    def ratio(scheme: str, seed: int) -> float:
        return second_moment(drawn_weight(seeded(seed), 300, 100, scheme)) * (300 + 100) / 2

    return each(seeds, ratio, {"normal": "xavier_normal", "uniform": "xavier_uniform"})


@claim(
    "Normally distributed weights train better than uniformly distributed ones of equal variance.",
    source="folklore",
    quantity="test accuracy, He normal minus He uniform, three hidden layers",
    criterion=Method.MEAN.within(0.02, 1, seeds=32),  # two points, as wherever accuracies are compared here
    data=(DIGITS, DIGITS_BY_PIXEL, MNIST),
    optimizer=("SGD at 0.1",),
    budget="200 steps",
    after_looking=WIDENED,
)
def normal_beats_uniform(seeds: Seeds) -> Effects:
    normal, uniform = {"scheme": "kaiming_normal"}, {"scheme": "kaiming_uniform"}
    gain = partial(accuracy_gain, seeds, normal, uniform, steps=200, depth=3, lr=0.1)
    return {on: gain(on=on) for on in (DIGITS, DIGITS_BY_PIXEL, MNIST)}


@claim(
    "A large square Glorot matrix has mean singular value 8 / (3 π), about 0.85.",
    source="derivation from Marchenko and Pastur (1967); cf. Glorot and Bengio (2010), section 4.2.2",
    quantity="mean singular value over 8 / (3 π), width 200",
    criterion=Method.MEAN.within(0.99, 1.01, seeds=16),
)
def quarter_circle(seeds: Seeds) -> Effects:
    def ratio(seed: int) -> float:
        values: Tensor = torch.linalg.svdvals(drawn_weight(seeded(seed), 200, 200, "xavier_uniform"))
        return float(values.mean()) / (8 / (3 * math.pi))

    return each(seeds, ratio)


@claim(
    "A mean singular value of 0.8 means that each layer takes a fifth of the signal's size.",
    source="folklore",
    quantity="root mean square of a layer's singular values, which is what a random signal keeps, over their mean",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=24),
    after_looking="the tanh layers, which are the paper's; at first a linear layer stood for them",
)
def singular_value_below_one_is_loss(seeds: Seeds) -> Effects:
    def spread(layer: int | None, seed: int) -> float:
        generator = seeded(seed)
        net = initialized_mlp(generator, [200] * 6, nn.Tanh, "xavier_uniform")
        weight = net.get_parameter(f"linear{layer or 1}.weight").detach()
        with torch.no_grad():
            h = net[: 2 * (layer or 1)](unit_inputs(generator, 1, 200))
        slopes = torch.ones(200, 1) if layer is None else (1 - h.square()).T  # from activations to activations
        values = torch.linalg.svdvals(slopes * weight)
        return float(values.square().mean().sqrt() / values.mean())

    return each(seeds, spread, {"linear": None, "tanh, layer 1 to 2": 2, "tanh, layer 3 to 4": 4})


@claim(
    "With tanh and Glorot's start the second moment decays like 1 / (2 l), in wide layers of equal width.",
    source="derivation; cf. Schoenholz et al. (2017)",
    quantity="2 l q at layer l = 40",
    criterion=Method.MEAN.within(0.8, 1.2, seeds=64),  # 5/6 ln l, the next term, and the width take some percent
    after_looking=WIDENED,
)
def tanh_glorot_decay(seeds: Seeds) -> Effects:
    return each(seeds, lambda seed: 2 * 40 * float(_tanh_moments(seed)[39]))


@claim(
    "With tanh and Glorot's start the signal settles at a fixed size.",
    source="folklore",
    quantity="second moment at layer 40 over that at layer 10",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=24),
)
def tanh_glorot_settles(seeds: Seeds) -> Effects:
    def ratio(seed: int) -> float:
        moments = _tanh_moments(seed)
        return float(moments[39] / moments[9])

    return each(seeds, ratio)


def _tanh_moments(seed: int) -> "pd.Series[float]":
    """The second moment at 40 layers of a tanh network under Glorot's initialization."""
    return signals(seed, [200] * 41, nn.Tanh, "xavier_normal", batch=64, gradients=False).second_moment


@claim(
    "Under Glorot's start each ReLU layer halves the second moment of signal and gradient, between layers of equal"
    " width without biases.",
    source="He et al. (2015), section 2.2",
    quantity="factor on the second moment per layer",
    criterion=Method.MEAN.within(0.45, 0.55, seeds=64),
    after_looking=WIDENED,
)
def glorot_relu_halves(seeds: Seeds) -> Effects:
    return factors_per_layer(seeds, nn.ReLU, "xavier_normal")
