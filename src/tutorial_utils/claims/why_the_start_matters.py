"""Why the start matters: equal units, saturation, and what the first loss tells."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.claims.experiments import (
    WIDENED,
    Build,
    accuracy_gain,
    backward_factor,
    best_accuracy,
    double_digits,
    each,
    initialized_mlp,
    seeded,
    signals,
    sweep,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.training import train


@claim(
    "From constant weights all units of a layer stay equal, however long one trains.",
    source="folklore",
    quantity="second singular value of a hidden matrix over its first, after 100 steps",
    criterion=Method.RANGE.within(0, 1e-9, seeds=12),  # rounding: the theorem says 0
)
def constant_weights_stay_rank_one(seeds: Seeds) -> Effects:
    x, y, *_ = double_digits(seeds[0])

    def trained(biases_too: bool, seed: int) -> float:
        net = initialized_mlp(seeded(seed), [64, 32, 32, 10], nn.Tanh, "default", bias=True)
        for name, parameter in net.named_parameters():
            if "weight" in name or biases_too:
                init.constant_(parameter, 0.1 if "weight" in name else 0.0)
        train(net, x, y, lr=0.1, steps=100, generator=seeded(seed))
        values = torch.linalg.svdvals(net.get_parameter("linear2.weight").detach())
        return float(values[1] / values[0])

    return each(seeds, trained, {"zero biases": True, "random biases": False})


@claim(
    "Weights that are too large saturate tanh, and saturated units make the gradient vanish.",
    source="folklore",
    quantity="factor on the gradient's second moment per layer going back",
    criterion=Method.MEDIAN.within(0, 1, seeds=24),
    after_looking="the third setting was added after the first two had refuted the statement",
)
def saturated_tanh_vanishes(seeds: Seeds) -> Effects:
    settings = (30, 1.0), (300, 1.0), (30, 100.0)  # in the last, hardly a layer keeps a unit that is not saturated
    return each(seeds, _saturated, {f"width {n}, deviation {std:g}": (nn.Tanh, n, std) for n, std in settings})


@claim(
    "Weights that are too large saturate the sigmoid, and saturated units make the gradient vanish.",
    source="folklore",
    quantity="factor on the gradient's second moment per layer going back, weights of standard deviation 1",
    criterion=Method.MEDIAN.within(0, 1, seeds=24),
)
def saturated_sigmoid_vanishes(seeds: Seeds) -> Effects:
    return each(seeds, _saturated, {f"width {n}": (nn.Sigmoid, n, 1.0) for n in (30, 300)})


def _saturated(activation: Build, width: int, std: float, seed: int) -> float:
    """The gradient's factor per layer where weights are that large."""
    return backward_factor(signals(seed, [width] * 11, activation, "normal", std=std), skip=1)


@claim(
    "The first loss of a classifier is the logarithm of the number of classes.",
    source="folklore",
    quantity="first loss over ln 10, digits, three hidden ReLU layers",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=40),
)
def first_loss_near_ln_classes(seeds: Seeds) -> Effects:
    x, y, *_ = double_digits(seeds[0])

    def ratio(scheme: str, options: dict[str, Any], seed: int) -> float:
        net = initialized_mlp(seeded(seed), [64, 64, 64, 64, 10], nn.ReLU, scheme, **options)
        return _first_loss(net, x, y) / math.log(10)

    schemes: dict[str, tuple[str, dict[str, Any]]] = {
        "PyTorch's default, zero biases": ("lecun_uniform", {"nonlinearity": 3**-0.5}),
        "He": ("kaiming_normal", {}),
        "standard deviation 1": ("normal", {"std": 1.0}),
    }
    return each(seeds, ratio, schemes)


@torch.no_grad()
def _first_loss(net: nn.Module, x: Tensor, y: Tensor) -> float:
    return float(functional.cross_entropy(net(x), y))


@claim(
    "Small random logits of variance v cost v (1 - 1/C) / 2 beyond ln C.",
    source="derivation",
    quantity="first loss beyond ln C over that prediction, mean of the logits and their negatives",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=200),  # what it neglects is of relative order v, here 0.02
    after_looking=WIDENED,
)
def first_loss_excess(seeds: Seeds) -> Effects:
    x, y, *_ = double_digits(seeds[0])

    def ratio(seed: int) -> float:
        net = initialized_mlp(seeded(seed), [64, 100, 10], nn.Tanh, "normal", std=0.1)
        with torch.no_grad():
            z = 0.2 * net(x)
        # a logit and its negative: what is of first order in the logits cancels
        excess = (functional.cross_entropy(z, y) + functional.cross_entropy(-z, y)) / 2 - math.log(10)
        return float(excess / (0.45 * z.square().mean()))

    return each(seeds, ratio)


@claim(
    "A network whose first loss is ln C has a good start.",
    source="folklore",
    quantity="test accuracy after 150 steps, nine tanh layers, best of two rates",
    criterion=Method.MEDIAN.within(0.5, 1, seeds=8),  # half of the digits right: it has learned
)
def first_loss_certifies_start(seeds: Seeds) -> Effects:
    def reached(scale: float) -> list[float]:
        tanh = partial(sweep, activation="tanh", scheme="lecun_normal", depth=9, width=64, lr=[0.1, 1.0])
        found = tanh(seeds, steps=150, scale=scale)
        premise = np.abs(found.losses[:, 0] / math.log(10) - 1) < 0.1  # else it says nothing of the statement
        return list(best_accuracy(found.table.assign(test_accuracy=found.table.test_accuracy.where(premise)), seeds))

    return {"standard deviation 1/√n": reached(1.0), "a tenth of it": reached(0.1)}


@claim(
    "Without batch normalization the start decides about high performance.",
    source="source text",
    quantity="test accuracy lost by a start ten times smaller than He's, 150 steps, best of two rates",
    criterion=Method.MEDIAN.within(0.05, 1, seeds=12),  # five points: one would call that performance
)
def start_matters_without_normalization(seeds: Seeds) -> Effects:
    def lost(depth: int) -> list[float]:
        return accuracy_gain(seeds, {"scale": 1.0}, {"scale": 0.1}, steps=150, depth=depth, lr=[0.03, 0.3])

    return {"1 hidden layer": lost(1), "8 hidden layers": lost(8)}
