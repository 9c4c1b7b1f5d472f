"""The length of weights before a BatchNorm: a learning rate, which steps lower and weight decay raises."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from tutorial_utils import normalization
from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    HIDDEN,
    WIDTH,
    BuildNorm,
    Member,
    Setting,
    each,
    first_gradients,
    on_both_layers,
    seeded,
    train_on,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp


@claim(
    "With BatchNorm, weights times a and the learning rate times a² give the same loss curve.",
    source="van Laarhoven (2017)",
    quantity="largest difference of two loss curves over 40 steps",
    criterion=Method.RANGE.within(0.0, 1e-6, seeds=8),
    budget="40 steps of 32 examples",
    **where([DIGITS_GLOBAL]),
)
def bn_scale_is_a_rate(seeds: Seeds) -> Effects:
    def difference(norm: BuildNorm, a: float, seed: int) -> float:
        matched, plain = (_loss_curve(norm, scale, [0.1 * scale**2] * 40, seed) for scale in (a, 1.0))
        return float((matched - plain).abs().max())

    scales = {f"a = {a}": (nn.BatchNorm1d, a) for a in (0.1, 10.0)}
    return each(seeds, difference, scales | {"from scratch, a = 10": (normalization.BatchNorm1d, 10.0)})


@claim(
    "Before a BatchNorm, every row of the weights has a rate of its own: η over the square of that row's length.",
    source="derivation from van Laarhoven (2017)",
    quantity="largest difference of two loss curves, each row times its own a against its rate times 1/a²",
    criterion=Method.RANGE.within(0.0, 1e-6, seeds=8),
    budget="40 steps of 32 examples",
    controls=("one rate for the whole matrix",),
    **where([DIGITS_GLOBAL]),
)
def bn_rate_belongs_to_a_row(seeds: Seeds) -> Effects:
    def difference(by_row: bool, seed: int) -> float:
        (matched, generator, data), plain = _invariant(nn.BatchNorm1d, 1.0, seed), [0.1] * 40
        for place, layer in enumerate(matched):
            if isinstance(layer, nn.Linear):
                a = 10 ** (torch.rand(len(layer.weight), 1, generator=seeded(seed + place), dtype=torch.float64) - 0.5)
                layer.weight.data.mul_(a)
                factor = a.square() if by_row else a.square().mean()
                layer.weight.register_hook(partial(torch.mul, factor))  # a gradient times a², so a rate times a²
        curve = train_on(data, matched, generator, steps=40)
        return float((curve - _loss_curve(nn.BatchNorm1d, 1.0, plain, seed)).abs().max())

    return each(seeds, difference, {"a rate for each row": True, "one rate for the whole matrix": False})


@claim(
    "A weight before BatchNorm is orthogonal to its gradient.",
    source="Arora, Li and Lyu (2019)",
    quantity="cosine of a unit's weights and their gradient, the largest absolute value in three layers",
    criterion=Method.RANGE.within(0.0, 1e-4, seeds=16),  # eps = 1e-5 leaves something
    data=("digits",),
    preprocessing=("global",),
)
def bn_weight_orthogonal_to_gradient(seeds: Seeds) -> Effects:
    def cosine(norm: BuildNorm, seed: int) -> float:
        net, found = first_gradients(norm, seed)
        pairs = [(net.get_parameter(f"{name}.weight"), found[f"{name}.weight"]) for name in HIDDEN]
        return max(torch.cosine_similarity(*pair).abs().max().item() for pair in pairs)

    return on_both_layers(seeds, cosine)


@claim(
    "With BatchNorm in train mode, weight decay does to the function what an exponentially growing learning rate does.",
    source="Li and Arora (2020)",
    quantity="largest difference of two loss curves over 80 steps",
    criterion=Method.RANGE.within(0.0, 1e-6, seeds=8),
    budget="80 steps of 32 examples",
    **where([DIGITS_GLOBAL]),
)
def bn_decay_is_a_growing_rate(seeds: Seeds) -> Effects:
    lr, decay, steps = 0.5, 0.02, 80
    growing = [lr * (1 - lr * decay) ** (-2 * t - 1) for t in range(steps)]

    def difference(seed: int) -> float:
        decayed = _loss_curve(nn.BatchNorm1d, 1.0, [lr] * steps, seed, decay)
        return float((_loss_curve(nn.BatchNorm1d, 1.0, growing, seed) - decayed).abs().max())

    return each(seeds, difference, {"all weights before a BatchNorm": ()})


@claim(
    "With BatchNorm, weight decay and lasting gradient noise, steps turn weights by √(2ηλ), whatever their start.",
    source="Wan et al. (2021)",
    quantity="angle of a step of the first layer over √(2ηλ), root mean square of steps 150 to 200",
    criterion=Method.MEAN.within(0.75, 1.25, seeds=8),
    budget="200 steps of 32 examples, η = 0.5, λ = 0.04",
    **where([DIGITS_GLOBAL, Setting("mnist")]),
)
def bn_decay_equilibrium(seeds: Seeds) -> Effects:
    lr, decay = 0.5, 0.04

    def angle(setting: Setting, a: float, seed: int) -> float:
        (net, generator, data), weights = _invariant(nn.BatchNorm1d, a, seed, setting), []
        sgd = partial(train_on, data, net, generator, lr=lr, weight_decay=decay)
        sgd(steps=150)
        for _ in range(50):
            sgd(steps=1)
            weights.append(net.get_parameter("linear1.weight").detach().flatten().clone())
        w = torch.stack(weights)
        angles = torch.cosine_similarity(w[1:], w[:-1]).acos()
        return float(angles.square().mean().sqrt()) / math.sqrt(2 * lr * decay)

    data = {"digits": DIGITS_GLOBAL, "MNIST, a mean for each pixel": Setting("mnist")}
    cases = {f"start times {a}, {name}": (setting, a) for name, setting in data.items() for a in (0.3, 3.0)}
    return each(seeds, angle, cases)


def _invariant(norm: BuildNorm, a: float, seed: int, setting: Setting = DIGITS_GLOBAL) -> Member:
    """A network all of whose weights, He's times a, stand before a BatchNorm without eps."""
    data, generator, bare = setting.split(seed), seeded(seed), partial(norm, eps=1e-20, affine=False)
    net = mlp([data.x_train.shape[1], WIDTH, WIDTH, 10], norm=bare, bias=False).append(bare(10)).double()
    initialize_(net, "kaiming_normal", nonlinearity=2**0.5 * a, generator=generator)
    return Member(net, generator, data)


def _loss_curve(norm: BuildNorm, a: float, rates: Sequence[float], seed: int, decay: float = 0.0) -> Tensor:
    """The losses of steps with these rates, from weights times a."""
    net, generator, data = _invariant(norm, a, seed)
    return torch.cat([train_on(data, net, generator, steps=1, lr=rate, weight_decay=decay) for rate in rates])
