"""BatchNorm in deep networks: how the gradient grows at the start, and which plain networks train."""

import math
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    IMAGES,
    Build,
    Member,
    Setting,
    chosen_accuracy,
    each,
    he_network,
    named,
    seeded,
    shared,
    shifted_normal,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.data import Split
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate


@claim(
    "At the start, on normal inputs, in wide layers with independent weights of mean zero and large batches, the"
    " gradient's second moment grows by about Φ(β)/Var(ReLU(z + β)) per layer of BatchNorm and ReLU, which is π/(π - 1)"
    " for β = 0.",
    source="Yang et al. (2019) for β = 0; derivation",
    quantity="growth per layer over the formula, batches of 512",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=12),
)
def bn_relu_gradient_growth(seeds: Seeds) -> Effects:
    def ratio(beta: float, seed: int) -> float:
        return _gradient_growth(nn.ReLU, beta, seed, width=128, m=512) / _growth_of_relu(beta)

    return each(seeds, ratio, {f"β = {beta:g}": beta for beta in (0.0, 1.0, 2.0)})


def _growth_of_relu(beta: float) -> float:
    """Φ(β), the share of units that are on, over the variance of ReLU(z + β) for a standard normal z."""
    on, density = 0.5 + math.erf(beta / 2**0.5) / 2, math.exp(-(beta**2) / 2) / math.sqrt(2 * math.pi)
    mean = beta * on + density
    return on / ((1 + beta**2) * on + beta * density - mean**2)


@claim(
    "BatchNorm prevents exploding gradients.",
    source="folklore",
    quantity="growth of the gradient's second moment per layer at the start",
    criterion=Method.MEAN.within(0.0, 1.1, seeds=12),  # a factor of at most 2.6 over ten layers
)
def bn_prevents_explosion(seeds: Seeds) -> Effects:
    cases: dict[str, tuple[Build, float]] = {"no activation": (nn.Identity, 0.0), "tanh": (nn.Tanh, 0.0)}
    cases |= {"ReLU": (nn.ReLU, 0.0), "ReLU, β = 2": (nn.ReLU, 2.0)}
    return each(seeds, partial(_gradient_growth, width=64, m=128), cases)


def _gradient_growth(activation: Build, beta: float, seed: int, *, width: int, m: int) -> float:
    """The factor by which the gradient's second moment grows per layer, from layer 11 back to layer 3."""
    net = mlp([64] + [width] * 12 + [10], activation, norm=nn.BatchNorm1d)
    initialize_(net, "kaiming_normal", generator=seeded(seed))
    for layer in net:
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.constant_(layer.bias, beta)
    x, target = shifted_normal(seed + 1, m, 64), torch.arange(m) % 10
    table = propagate(net.double(), x, lambda out: functional.cross_entropy(out, target), layers=(nn.Linear,))
    moments = table.set_index("layer").grad_second_moment
    return float((moments["linear3"] / moments["linear11"]) ** (1 / 8))


@shared
def _deep(seeds: Seeds, setting: Setting, depth: int, activation: Build = nn.ReLU) -> NDArray[np.float64]:
    """The accuracy of networks with BatchNorm after 60 steps, at the rate that is best on the validation part."""
    build = partial(_with_beta, depth, 0.0, activation)
    return chosen_accuracy(seeds, setting, build, [0.01, 0.03, 0.1], steps=60)


def _with_beta(depth: int, beta: float, activation: Build, split: Split, seed: int) -> Member:
    return he_network(split, seed, nn.BatchNorm1d, depth=depth, beta=beta, activation=activation)


def _trained(seeds: Seeds, setting: Setting, accuracies: NDArray[np.float64]) -> list[float]:
    """Which get at least halfway from guessing to 3 layers at their best rate: 1 or 0."""
    classes = setting.split(seeds[0]).y_test.bincount()
    guessing = float(classes.max() / classes.sum())
    return list((accuracies >= (guessing + np.median(_deep(seeds, setting, 3))) / 2).astype(float))


@claim(
    "With BatchNorm as it starts by default, from β = 0, plain networks of 3, 10 and 32 narrow layers train within 60"
    " steps.",
    source="folklore, which says: at any depth",
    quantity="share of networks that get halfway from guessing to the accuracy of 3 layers, rates chosen by validation",
    criterion=Method.SHARE.within(0.5, 1.0, seeds=10),
    budget="60 steps of 32 examples, layers of 32 units, the best of three rates",
    after_looking="the accuracy that counts as trained: half, after 90 percent had failed at depth 10",
    **where([DIGITS_GLOBAL, Setting("mnist")]),
)
def bn_trains_any_depth(seeds: Seeds) -> Effects:
    found = {
        f"{depth} layers, ReLU, {name}": _trained(seeds, setting, _deep(seeds, setting, depth))
        for name, setting in named([DIGITS_GLOBAL, Setting("mnist")]).items()
        for depth in (3, 10, 32)
    }
    tanh = _deep(seeds, DIGITS_GLOBAL, 32, nn.Tanh)
    return found | {f"32 layers, tanh, {DIGITS_GLOBAL.name}": _trained(seeds, DIGITS_GLOBAL, tanh)}


AT_ZERO = f"β = 0, the best of three rates, {DIGITS_GLOBAL.name}"


@claim(
    "β is part of the start: 32 plain layers of 32 units, BatchNorm and ReLU train within 60 steps if every β starts at"
    " 2.",
    source="this book; cf. Yang et al. (2019), who tune networks toward the linear regime",
    quantity="share of networks that get halfway from guessing to the accuracy of 3 layers at the best of three rates",
    criterion=Method.SHARE.within(0.5, 1.0, seeds=10),
    controls=(AT_ZERO,),
    budget="60 steps of 32 examples at rate 0.03",
    after_looking="β = 2 and the rate, on other seeds",
    **where(IMAGES),
)
def bn_beta_is_part_of_the_start(seeds: Seeds) -> Effects:
    build = partial(_with_beta, 32, 2.0, nn.ReLU)
    found = {
        f"β = 2, {name}": _trained(seeds, setting, chosen_accuracy(seeds, setting, build, [0.03], steps=60))
        for name, setting in named(IMAGES).items()
    }
    return found | {AT_ZERO: _trained(seeds, DIGITS_GLOBAL, _deep(seeds, DIGITS_GLOBAL, 32))}
