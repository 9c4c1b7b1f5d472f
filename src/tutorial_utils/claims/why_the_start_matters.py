"""Why the start matters: equal units, saturation, and what the first loss tells."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.claims.experiments import (
    DATA,
    DIGITS,
    MNIST,
    WIDENED,
    WINE,
    Build,
    accuracy_gain,
    backward_factor,
    best_accuracy,
    each,
    initialized_mlp,
    seeded,
    signals,
    sweep,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.training import accuracy, train


@claim(
    "From constant weights and zero biases all units of a layer stay equal, however long one trains.",
    source="folklore",
    quantity="second singular value of a hidden matrix over its first, two hidden layers of 100 tanh units",
    criterion=Method.RANGE.within(0, 1e-6, seeds=8),  # rounding in float32: the theorem says 0
    controls=("random biases, float64, SGD, 100 steps",),
    data=(DIGITS,),
    optimizer=("SGD at 0.1", "Adam at 0.01"),
    budget="100 or 600 steps",
    after_looking="width and steps: at width 32, a power of two, equal units were summed alike and stayed equal",
)
def constant_weights_stay_rank_one(seeds: Seeds) -> Effects:
    data = DATA[DIGITS].split(seeds[0])

    def second(net: nn.Module) -> float:
        values = torch.linalg.svdvals(net.get_parameter("linear2.weight").detach().double())
        return float(values[1] / values[0])

    def by_sgd(biases_too: bool, seed: int) -> float:
        net = _constant(seed, biases_too)
        train(net, data.x_train, data.y_train, lr=0.1, steps=100, generator=seeded(seed))
        return second(net)

    def by_adam(seed: int) -> float:
        net, x, generator = _constant(seed, True).float(), data.x_train.float(), seeded(seed)
        adam = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(600):
            batch = torch.randint(len(x), (64,), generator=generator)
            adam.zero_grad()
            functional.cross_entropy(net(x[batch]), data.y_train[batch]).backward()
            adam.step()
        return second(net)

    starts = {"float64, SGD, 100 steps": True, "random biases, float64, SGD, 100 steps": False}
    return each(seeds, by_sgd, starts) | each(seeds, by_adam, {"float32, Adam, 600 steps": ()})


def _constant(seed: int, biases_too: bool) -> nn.Module:
    """A network whose weights are all 0.01, its biases 0 or random."""
    net = initialized_mlp(seeded(seed), [64, 100, 100, 10], nn.Tanh, "default", bias=True)
    for name, parameter in net.named_parameters():
        if "weight" in name or biases_too:
            init.constant_(parameter, 0.01 if "weight" in name else 0.0)
    return net


@claim(
    "Units differ only if chance makes them differ: a start without random numbers does not train.",
    source="folklore",
    quantity="test accuracy, random start minus one of cosine waves, two hidden tanh layers",
    criterion=Method.MEDIAN.within(0.1, 1, seeds=8),  # ten points: less is no failure
    data=(DIGITS, WINE),
    optimizer=("SGD at 0.1",),
    budget="200 steps",
)
def symmetry_breaking_needs_randomness(seeds: Seeds) -> Effects:
    def ahead(on: str, seed: int) -> float:
        x, y, x_test, y_test = DATA[on].split(seed)
        reached = []
        for waves in (False, True):
            widths = [x.shape[1], 100, 100, int(y.max()) + 1]
            net = initialized_mlp(seeded(seed), widths, nn.Tanh, "lecun_normal")
            for weight in net.parameters() if waves else ():
                weight.data.copy_(_cosine_waves(*weight.shape))
            train(net, x, y, lr=0.1, steps=200, generator=seeded(seed))
            reached.append(accuracy(net, x_test, y_test))
        return reached[0] - reached[1]

    return each(seeds, ahead, {on: on for on in (DIGITS, WINE)})


def _cosine_waves(rows: int, columns: int) -> Tensor:
    """A matrix whose rows are waves of different frequencies, of mean square 1 / columns; nothing in it is drawn."""
    frequency, place = torch.arange(rows)[:, None], torch.arange(columns, dtype=torch.float64)
    waves = torch.cos(math.pi * frequency * (2 * place + 1) / (2 * max(rows, columns)))
    return waves / (columns * waves.square().mean()).sqrt()


@claim(
    "Weights that are too large saturate tanh, and saturated units make the gradient vanish.",
    source="folklore",
    quantity="factor on the gradient's second moment per layer going back, over 200 images",
    criterion=Method.MEDIAN.within(0, 1, seeds=24),
    after_looking="deviation 100, added after deviation 1 had refuted the statement; the images, four at first",
)
def saturated_tanh_vanishes(seeds: Seeds) -> Effects:
    settings = {
        "eight layers of 30 units, standard deviation 1": (nn.Tanh, 30, 1.0, 8),
        "eight layers of 300 units, standard deviation 1": (nn.Tanh, 300, 1.0, 8),
        # in a layer about one image in four finds a unit that lets more than a millionth of its gradient pass: of 200
        # images many do in one layer and none in eight; of a million about fifteen do, one or two of them make up the
        # mean, and in ten of twelve draws it grows over eight layers, too, 1.1-fold per layer in the median (0.1-fold
        # with 100,000 images: the measured factor rises with their number)
        "one layer of 30 units, standard deviation 100": (nn.Tanh, 30, 100.0, 1),
        "eight layers of 30 units, standard deviation 100": (nn.Tanh, 30, 100.0, 8),
    }
    return each(seeds, _saturated, settings)


@claim(
    "Weights that are too large saturate the sigmoid, and saturated units make the gradient vanish.",
    source="folklore",
    quantity="factor on the gradient's second moment per layer going back, weights of deviation 1, 200 images",
    criterion=Method.MEDIAN.within(0, 1, seeds=24),
)
def saturated_sigmoid_vanishes(seeds: Seeds) -> Effects:
    return each(seeds, _saturated, {f"width {n}": (nn.Sigmoid, n, 1.0, 8) for n in (30, 300)})


def _saturated(activation: Build, width: int, std: float, layers: int, seed: int) -> float:
    """The gradient's factor per layer over so many layers, where weights are that large."""
    widths = [width] * (layers + 3)  # so many factors, without the first layer
    table = signals(seed, widths, activation, "normal", std=std, batch=200)
    return backward_factor(table, skip=1)


@claim(
    "The first loss of a classifier is the logarithm of the number of classes.",
    source="folklore",
    quantity="first loss over ln 10, digits, three hidden ReLU layers",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=40),
    data=(DIGITS,),
)
def first_loss_near_ln_classes(seeds: Seeds) -> Effects:
    x, y, *_ = DATA[DIGITS].split(seeds[0])

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
    data=(DIGITS,),
    after_looking=WIDENED,
)
def first_loss_excess(seeds: Seeds) -> Effects:
    x, y, *_ = DATA[DIGITS].split(seeds[0])

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
    quantity="test accuracy, nine tanh layers, best of two rates",
    criterion=Method.MEDIAN.within(0.5, 1, seeds=8),  # half of the digits right: it has learned
    data=(DIGITS, MNIST),
    optimizer=("SGD",),
    budget="150 steps",
)
def first_loss_certifies_start(seeds: Seeds) -> Effects:
    def reached(scale: float, on: str) -> list[float]:
        tanh = partial(sweep, activation="tanh", scheme="lecun_normal", depth=9, width=64, lr=[0.1, 1.0], on=on)
        found = tanh(seeds, steps=150, scale=scale)
        premise = np.abs(found.losses[:, 0] / math.log(10) - 1) < 0.1  # else it says nothing of the statement
        return list(best_accuracy(found.table.assign(test_accuracy=found.table.test_accuracy.where(premise)), seeds))

    scales = {"standard deviation 1/√n": 1.0, "a tenth of it": 0.1}
    return {f"{name}, {on}": reached(scale, on) for on in (DIGITS, MNIST) for name, scale in scales.items()}


@claim(
    "Without batch normalization, an initialization ten times too small costs accuracy.",
    source="source text",
    quantity="test accuracy lost by a start ten times smaller than He's, best of two rates",
    criterion=Method.MEDIAN.within(0.05, 1, seeds=8),  # five points: one would call that performance
    data=(DIGITS, MNIST, WINE),
    optimizer=("SGD", "Adam"),
    budget="150 steps",
    after_looking="all but the digits with SGD",
)
def start_matters_without_normalization(seeds: Seeds) -> Effects:
    def lost(depth: int, on: str = DIGITS, **optimizer: Any) -> list[float]:
        settings: dict[str, Any] = {"steps": 150, "depth": depth, "on": on, "lr": [0.03, 0.3]} | optimizer
        return accuracy_gain(seeds, {"scale": 1.0}, {"scale": 0.1}, **settings)

    depths = {f"{depth} hidden layers, digits": lost(depth) for depth in (1, 8)}
    others = {f"8 hidden layers, {on}": lost(8, on) for on in (MNIST, WINE)}
    return depths | others | {"8 hidden layers, digits, Adam": lost(8, optimizer="adam", lr=[0.001, 0.01])}
