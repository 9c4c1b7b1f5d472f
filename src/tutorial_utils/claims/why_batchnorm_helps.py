"""Why BatchNorm helps: the shape of the loss, the covariate shift, noise, and gradients in deep stacks."""

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.signal import find_peaks
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.claims.experiments import (
    Build,
    BuildNorm,
    by_norm,
    digits_network,
    double_digits,
    each,
    final_loss,
    parameter_gradients,
    seeded,
    shifted_normal,
    sweep,
    train_on,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.data import Split
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate

RATES = 0.05, 0.1, 0.2, 0.4  # of steps along the gradient; training takes 0.1
#: Sees one number in a network and a batch.
Probe = Callable[[nn.Sequential, Tensor, Tensor], float]


def _against_none(
    seeds: Seeds, norm: Callable[[int], BuildNorm], probes: Mapping[str, Probe], **options: Any
) -> dict[str, list[float]]:
    """What the probes see with a normalization, over what they see without."""
    data = double_digits(seeds[0])
    pairs = [[_probed(data, kind, seed, probes, **options) for kind in (norm(seed), None)] for seed in seeds]
    return {name: [normed[name] / plain[name] for normed, plain in pairs] for name in probes}


def _probed(
    data: Split, norm: BuildNorm | None, seed: int, probes: Mapping[str, Probe], *, trained: bool = True, **options: Any
) -> dict[str, float]:
    """The medians of what probes see after 16, 32, 48 and 64 steps, or what they see before training."""
    (net, generator), seen = digits_network(seed, norm, **{"depth": 4} | options), []
    for _ in range(4 if trained else 1):
        if trained:
            train_on(data, net, generator, steps=16)
        batch = torch.randint(len(data.x_train), (128,), generator=generator)
        seen.append([probe(net, data.x_train[batch], data.y_train[batch]) for probe in probes.values()])
    return dict(zip(probes, np.median(seen, axis=0).tolist(), strict=True))


def _stepped(net: nn.Sequential, x: Tensor, y: Tensor, lr: float, *, until: str | None = None) -> nn.Sequential:
    """A copy, one step of gradient descent further; with ``until``, only in the parameters before that one."""
    moved, gradients = copy.deepcopy(net), parameter_gradients(net, x, y)
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name == until:
                break
            parameter.sub_(lr * gradients[name])
    return moved


def _batch_norm(seed: int) -> BuildNorm:
    return nn.BatchNorm1d


class _Noisy(nn.Module):
    """BatchNorm, then a shift and a factor that are new for each unit in every training step."""

    def __init__(self, features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.norm, self.generator = nn.BatchNorm1d(features), generator

    def forward(self, z: Tensor) -> Tensor:
        noise = torch.rand(2, z.shape[1], generator=self.generator, dtype=z.dtype)
        return (1 + noise[0] / 2).mul(self.norm(z)) + noise[1] - 0.5


def _noisy(seed: int) -> BuildNorm:
    return partial(_Noisy, generator=seeded(seed))  # one stream for all layers of a network


@claim(
    "BatchNorm makes the loss smoother along the gradient: the loss and its gradient change less.",
    source="Santurkar et al. (2018), figure 4",
    quantity="change along the gradient up to four times the rate 0.1, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    after_looking="the state before training was added after the chapter had shown no gain there",
)
def bn_smoother_loss(seeds: Seeds) -> Effects:
    probes: dict[str, Probe] = {"range of the loss": _loss_range}
    probes["change of the gradient"] = partial(_gradient_change, False)
    probes["change relative to the gradient"] = partial(_gradient_change, True)
    untrained = _against_none(seeds, _batch_norm, {"range of the loss, before training": _loss_range}, trained=False)
    return _against_none(seeds, _batch_norm, probes) | untrained


def _loss_range(net: nn.Sequential, x: Tensor, y: Tensor) -> float:
    losses = [functional.cross_entropy(_stepped(net, x, y, lr)(x), y).item() for lr in (0.0, *RATES)]
    return max(losses) - min(losses)


def _gradient_change(relative: bool, net: nn.Sequential, x: Tensor, y: Tensor) -> float:
    def gradient(net: nn.Sequential) -> Tensor:
        return torch.cat([one.flatten() for one in parameter_gradients(net, x, y).values()])

    first = gradient(net)
    changes = [(gradient(_stepped(net, x, y, lr)) - first).norm() for lr in RATES]
    return float(max(changes) / (first.norm() if relative else 1))


@claim(
    "Normalization reduces the dents of local minima.",
    source="source text",
    quantity="height of the highest barrier of the training loss on a line, with BatchNorm less without",
    criterion=Method.MEAN.within(-math.inf, -0.1, seeds=64),  # the loss of guessing is 2.3
    after_looking="the third kind of line, between two solutions, was added after the first two had shown no barrier",
)
def bn_fewer_dents(seeds: Seeds) -> Effects:
    data = double_digits(seeds[0])
    pairs = [[_barriers(data, norm, seed) for norm in (nn.BatchNorm1d, None)] for seed in seeds]
    lines = "from the start", "in a random direction", "between two solutions"
    return {line: [normed[place] - plain[place] for normed, plain in pairs] for place, line in enumerate(lines)}


def _barriers(data: Split, norm: BuildNorm | None, seed: int) -> list[float]:
    """The highest barriers on lines from a solution: to its start, beyond it at random, to another solution."""
    net, start, end = _solution(data, norm, seed)
    _, _, other = _solution(data, norm, seed + 1_000_000)  # no other seed's network
    drawn = [torch.randn(p.shape, generator=seeded(seed), dtype=p.dtype) for p in end]
    beyond = [p + d * p.norm() / d.norm() for p, d in zip(end, drawn, strict=True)]
    return [_barrier(net, end, target, data) for target in (start, beyond, other)]


def _solution(data: Split, norm: BuildNorm | None, seed: int) -> tuple[nn.Module, list[Tensor], list[Tensor]]:
    """A trained network, its parameters at the start and its parameters at the end."""
    net, generator = digits_network(seed, norm)
    start = [parameter.detach().clone() for parameter in net.parameters()]
    train_on(data, net, generator, steps=100)
    return net, start, [parameter.detach().clone() for parameter in net.parameters()]


@torch.no_grad()
def _barrier(net: nn.Module, origin: list[Tensor], target: list[Tensor], data: Split) -> float:
    """The height of the highest local maximum of the training loss between two points, above its higher foot."""
    losses = []
    for t in np.linspace(0, 1, 31).tolist():
        for parameter, a, b in zip(net.parameters(), origin, target, strict=True):
            parameter.copy_(a + t * (b - a))
        losses.append(functional.cross_entropy(net(data.x_train[:512]), data.y_train[:512]).item())
    return float(max(find_peaks(losses, prominence=0)[1]["prominences"], default=0.0))


@claim(
    "BatchNorm prevents the internal covariate shift: what a layer sees changes less when those before it learn.",
    source="source text; Ioffe and Szegedy (2015), section 2",
    quantity="shift in one step at rate 0.1, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
)
def bn_less_covariate_shift(seeds: Seeds) -> Effects:
    probes: dict[str, Probe] = {"means of the inputs": partial(_means_shift, "linear3")}
    probes["gradient of the layer"] = _gradient_shift
    linear: dict[str, Probe] = {"gradient of the layer, linear network": _gradient_shift}
    without_activation = _against_none(seeds, _batch_norm, linear, activation=nn.Identity, gain=1.0)
    return _against_none(seeds, _batch_norm, probes) | without_activation


@claim(
    "With noise behind BatchNorm, the distributions of a layer's inputs shift more than without normalization.",
    source="Santurkar et al. (2018), section 2",
    quantity="shift of the means of the inputs in one step at rate 0.1, noisy BatchNorm over no normalization",
    criterion=Method.MEDIAN.within(1.0, math.inf, seeds=16),
    after_looking="the last layer of nine was added after the chapter had shown less shift there",
)
def bn_noise_shifts_more(seeds: Seeds) -> Effects:
    third: dict[str, Probe] = {"third layer of five": partial(_means_shift, "linear3")}
    last: dict[str, Probe] = {"last layer of nine": partial(_means_shift, "linear9")}
    return _against_none(seeds, _noisy, third) | _against_none(seeds, _noisy, last, depth=8)


def _means_shift(layer: str, net: nn.Sequential, x: Tensor, y: Tensor) -> float:
    """How far the means of a layer's inputs move, in their deviations, when the layers before it learn."""
    after = _stepped(net, x, y, 0.1, until=f"{layer}.weight")
    layers = list(dict(net.named_children())).index(layer)
    old, new = (model[:layers](x).detach() for model in (net, after))
    return float(((new.mean(0) - old.mean(0)).abs() / old.std(0)).nanmedian())


def _gradient_shift(net: nn.Sequential, x: Tensor, y: Tensor) -> float:
    """How far a layer's gradient moves, relative to itself, when the layers before it learn."""
    after = _stepped(net, x, y, 0.1, until="linear3.weight")
    old, new = (parameter_gradients(model, x, y)["linear3.weight"] for model in (net, after))
    return float((new - old).norm() / old.norm())


@claim(
    "BatchNorm trains better than no normalization even if noise keeps its outputs' distributions shifting.",
    source="Santurkar et al. (2018), section 2",
    quantity="final loss, noisy BatchNorm over no normalization",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    after_looking="the two depths and rates were picked from a table over other seeds, one for each outcome",
)
def bn_noise_keeps_the_gain(seeds: Seeds) -> Effects:
    data = double_digits(seeds[0])

    def ratio(depth: int, lr: float, seed: int) -> float:
        losses = (final_loss(data, norm, seed, depth=depth, lr=lr) for norm in (_noisy(seed), None))
        noisy, plain = (float(loss.nan_to_num(math.log(10))) for loss in losses)  # what has diverged can only guess
        return noisy / plain

    return each(seeds, ratio, {f"{depth} layers, rate {lr}": (depth, lr) for depth, lr in ((3, 0.1), (5, 0.3))})


@claim(
    "With BatchNorm, networks with saturating nonlinearities can be trained.",
    source="Ioffe and Szegedy (2015), abstract",
    quantity="test accuracy after 100 steps at rate 1, with BatchNorm less without",
    unit="points",
    criterion=Method.MEAN.within(2.0, 100.0, seeds=16),
    after_looking="the smallest gain that counts, the second depth, and the number of steps",
)
def bn_sigmoid_trains(seeds: Seeds) -> Effects:
    table = sweep(seeds, steps=100, activation="sigmoid", lr=1.0, norm=["none", "batch"], depth=[3, 6]).table
    scores = {depth: by_norm(table[table.depth == depth], "test_accuracy") for depth in (3, 6)}
    return {f"{depth} sigmoid layers": list(100 * (score["batch"] - score["none"])) for depth, score in scores.items()}


@claim(
    "At the start, the gradient's second moment grows by π/(π - 1) per layer of BatchNorm and ReLU.",
    source="Yang et al. (2019)",
    quantity="growth per layer over π/(π - 1), batches of 512",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=12),
)
def bn_relu_gradient_growth(seeds: Seeds) -> Effects:
    def ratio(width: int, seed: int) -> float:
        return _gradient_growth(nn.ReLU, seed, width=width, m=512) * (math.pi - 1) / math.pi

    return each(seeds, ratio, {"width 128": 128})


@claim(
    "BatchNorm prevents exploding gradients.",
    source="folklore",
    quantity="growth of the gradient's second moment per layer at the start",
    criterion=Method.MEAN.within(0.0, 1.1, seeds=12),  # a factor of at most 2.6 over ten layers
)
def bn_prevents_explosion(seeds: Seeds) -> Effects:
    activations: dict[str, Build] = {"no activation": nn.Identity, "tanh": nn.Tanh, "ReLU": nn.ReLU}
    return each(seeds, partial(_gradient_growth, width=64, m=128), activations)


def _gradient_growth(activation: Build, seed: int, *, width: int, m: int) -> float:
    """The factor by which the gradient's second moment grows per layer, from layer 11 back to layer 3."""
    net = mlp([64] + [width] * 12 + [10], activation, norm=nn.BatchNorm1d)
    initialize_(net, "kaiming_normal", generator=seeded(seed))
    x, target = shifted_normal(seed + 1, m, 64), torch.arange(m) % 10
    table = propagate(net.double(), x, lambda out: functional.cross_entropy(out, target), layers=(nn.Linear,))
    moments = table.set_index("layer").grad_second_moment
    return float((moments["linear3"] / moments["linear11"]) ** (1 / 8))


@claim(
    "BatchNorm makes plain networks trainable at any depth.",
    source="folklore",
    quantity="share of networks that reach half of the test digits in 100 steps",
    criterion=Method.SHARE.within(0.5, 1.0, seeds=16),
    after_looking="the accuracy that counts as trained: 50 percent, after 90 had failed at depth 10",
)
def bn_trains_any_depth(seeds: Seeds) -> Effects:
    def trained(depth: int) -> list[float]:
        table = sweep(seeds, steps=100, norm="batch", depth=depth).table
        return list((table.test_accuracy >= 0.5).astype(float))

    return {f"depth {depth}": trained(depth) for depth in (3, 10, 40)}
