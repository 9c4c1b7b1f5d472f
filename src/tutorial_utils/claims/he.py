"""He's initialization: the second moment that ReLU needs, the two fans, depth, angles, and the single draw."""

import math
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.claims.experiments import (
    DIGITS,
    DIGITS_BY_PIXEL,
    MNIST,
    WIDENED,
    Build,
    accuracy_gain,
    angle_gap,
    drawn_weight,
    each,
    factors_per_layer,
    initialized_mlp,
    log_spread,
    normal,
    second_moment,
    seeded,
    signals,
    sweep,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.gains import gaussian_mean
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import undrawn


@claim(
    "The gain of an activation is x.std() / f(x).std() for normal x.",
    source="folklore; pytorch issue 24991",
    quantity="factor on the second moment per layer under that gain",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=32),
    after_looking="four first layers are left out, in which the signal has not settled",
)
def gain_from_standard_deviations(seeds: Seeds) -> Effects:
    def factors(activation: Build, f: Callable[[Tensor], Tensor]) -> list[float]:
        gain = float((gaussian_mean(lambda s: f(s).square()) - gaussian_mean(f) ** 2) ** -0.5)
        return factors_per_layer(seeds, activation, "lecun_normal", skip=4, nonlinearity=gain)["forward"]

    return {"ReLU": factors(nn.ReLU, torch.relu), "tanh": factors(nn.Tanh, torch.tanh)}


@claim(
    "On average over draws, He's start keeps the second moment of signal and gradient through ReLU layers of equal"
    " width without biases.",
    source="He et al. (2015), equations 10 and 14",
    quantity="factor on the second moment per layer",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=64),
    after_looking=WIDENED,
)
def he_keeps_second_moment(seeds: Seeds) -> Effects:
    return factors_per_layer(seeds, nn.ReLU, "kaiming_normal")


@claim(
    "The size of He's weights depends on the size of the previous layer.",
    source="source text",
    quantity="n_in Var[w] / 2, a layer from 256 to 64",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=20),
)
def he_weights_follow_previous_layer(seeds: Seeds) -> Effects:
    modes = {
        "fan_in, PyTorch's default": "kaiming_normal",
        "fan_out, the paper's for convolutions": "kaiming_normal_fan_out",
    }

    def ratio(scheme: str, seed: int) -> float:
        return float(256 * drawn_weight(seeded(seed), 256, 64, scheme).var() / 2)

    return each(seeds, ratio, modes)


@claim(
    "If the gradient at the top is independent of the weights, and these are symmetric and independent, He's rule keeps"
    " the gradient's second moment.",
    source="derivation; He et al. (2015), equation 14",
    quantity="second moment of the gradient, layer 1 over layer 4, width 8, inputs all one",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=40),
    after_looking="the second condition, which is the counterexample that a hypothesis on zeros answers",
)
def he_gradient_needs_no_ties(seeds: Seeds) -> Effects:
    draws, n = 4000, 8

    def signs(generator: torch.Generator) -> Tensor:
        return 2.0 * torch.randint(2, (draws, n, n), generator=generator).double() - 1

    def ratio(weight: Callable[[torch.Generator], Tensor], seed: int) -> float:
        generator, h, weights, slopes = seeded(seed), torch.ones(draws, n, 1, dtype=torch.float64), [], []
        for _ in range(4):
            weights.append(math.sqrt(2 / n) * weight(generator))
            z = weights[-1] @ h
            slopes.append((z > 0).double())
            h = z.relu()
        top = delta = normal(generator, draws, n, 1)
        for w, slope in zip(weights[:0:-1], slopes[-2::-1], strict=True):  # from layer 4 down to layer 1
            delta = slope * (w.transpose(1, 2) @ delta)
        return second_moment(delta) / second_moment(top)

    kinds = {"normal weights": lambda g: normal(g, draws, n, n), "two values, so that sums are often 0": signs}
    return each(seeds, ratio, kinds)


@claim(
    "With fan_in or with fan_out, the other direction drifts by one ratio of widths in the whole network.",
    source="He et al. (2015), section 2.2",
    quantity="drift over that ratio, widths from 512 to 128 in five layers",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=120),
)
def either_fan_suffices(seeds: Seeds) -> Effects:
    def ratio(scheme: str, column: str, seed: int) -> float:
        moments = signals(seed, [512, 512, 256, 256, 128, 128], nn.ReLU, scheme, batch=16)[column]
        return float(moments.iloc[-1] / moments.iloc[0]) / 4

    directions = {
        "fan_in, gradient": ("kaiming_normal", "grad_second_moment"),
        "fan_out, signal": ("kaiming_normal_fan_out", "second_moment"),
    }
    return each(seeds, ratio, directions)


@claim(
    "Standard deviation 0.01 in the ten convolutions of VGG's model B makes the gradient 1.7 · 10⁴ times smaller.",
    source="He et al. (2015), section 2.2",
    quantity="the root mean square's fall over 1.7 · 10⁴",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=8),
)
def small_constant_std_shrinks_gradients(seeds: Seeds) -> Effects:
    channels = [64, 64, 128, 128, 256, 256, 512, 512, 512, 512]

    def stack() -> nn.Module:  # on images that wrap around, so that every pixel has the full fan
        wrap: dict[str, Any] = {"padding": 1, "padding_mode": "circular", "bias": False}
        pairs = [(nn.ReLU(), nn.Conv2d(*both, 3, **wrap)) for both in pairwise(channels)]
        return nn.Sequential(*chain.from_iterable(pairs))

    def ratio(seed: int) -> float:
        generator = seeded(seed)
        net = initialize_(undrawn(stack), "normal", generator=generator, std=0.01)
        z, top = (normal(generator, 1, c, 4, 4) for c in (64, 512))
        (back,) = torch.autograd.grad(net(z.requires_grad_()), z, top)
        return float((top.square().mean() / back.square().mean()) ** 0.5) / 1.7e4

    return each(seeds, ratio)


@claim(
    "At three hidden layers, where both converge, He's and Glorot's initialization reach the same accuracy.",
    source="He et al. (2015), section 4",
    quantity="test accuracy, He minus Glorot, three hidden ReLU layers, best of two rates",
    criterion=Method.MEDIAN.within(-0.02, 0.02, seeds=48),
    data=(DIGITS, DIGITS_BY_PIXEL),
    optimizer=("SGD",),
    budget="300 steps",
)
def he_and_glorot_alike_when_shallow(seeds: Seeds) -> Effects:
    return {on: _he_over_glorot(seeds, depth=3, lr=[0.1, 0.3], steps=300, on=on) for on in (DIGITS, DIGITS_BY_PIXEL)}


@claim(
    "A ReLU network of 30 layers stalls from Glorot's start, where He's trains.",
    source="He et al. (2015), figure 3",
    quantity="training loss from Glorot's start over that of guessing; He's beside it",
    criterion=Method.MEDIAN.within(0.98, 1.2, seeds=8),  # what stalls is no better than guessing
    controls=("He's start, digits, SGD", "He's start, digits, Adam"),
    data=(DIGITS, DIGITS_BY_PIXEL, MNIST),
    optimizer=("SGD at 0.003, momentum 0.9", "Adam at 0.001"),
    budget="200 steps; with Adam 300",
    after_looking="rates, width and steps, so that He's start learns",
)
def thirty_layers_need_he(seeds: Seeds) -> Effects:
    sgd: dict[str, Any] = {"lr": 0.003, "momentum": 0.9, "steps": 200}
    adam: dict[str, Any] = {"lr": 0.001, "optimizer": "adam", "steps": 300}

    def loss(on: str, optimizer: dict[str, Any], scheme: str = "xavier_normal") -> list[float]:
        table = sweep(seeds, on=on, depth=30, width=48, scheme=scheme, **optimizer).table
        return list(table.train_loss / math.log(10))

    stalled = {f"SGD on {on}": loss(on, sgd) for on in (DIGITS, DIGITS_BY_PIXEL, MNIST)}
    optimizers = {"SGD": sgd, "Adam": adam}
    he = {f"He's start, digits, {name}": loss(DIGITS, one, "kaiming_normal") for name, one in optimizers.items()}
    return stalled | {"Adam on digits": loss(DIGITS, adam)} | he


@claim(
    "Glorot is the start for tanh and He for ReLU.",
    source="folklore",
    quantity="test accuracy, the recommended start minus the other, best of three rates",
    criterion=Method.MEDIAN.within(0.02, 1, seeds=8),
    data=(DIGITS, MNIST),
    optimizer=("SGD",),
    budget="100 steps",
    after_looking="the settings, of three tried; MNIST afterwards",
)
def glorot_for_tanh_he_for_relu(seeds: Seeds) -> Effects:
    def better(activation: str, depth: int, on: str) -> list[float]:
        sign = 1 if activation == "relu" else -1
        gains = _he_over_glorot(seeds, activation=activation, depth=depth, lr=[0.03, 0.1, 0.3], steps=100, on=on)
        return [sign * gain for gain in gains]

    settings = [(3, DIGITS), (12, DIGITS), (12, MNIST)]
    names = ("tanh", "relu")
    return {f"{name}, {depth} layers, {on}": better(name, depth, on) for name in names for depth, on in settings}


def _he_over_glorot(seeds: Seeds, *, steps: int, **axes: Any) -> list[float]:
    return accuracy_gain(seeds, {"scheme": "kaiming_normal"}, {"scheme": "xavier_normal"}, steps=steps, **axes)


@claim(
    "He's start keeps inputs as far apart as they are.",
    source="folklore",
    quantity="1 - cosine of two inputs, layer 30 over layer 1",
    criterion=Method.MEDIAN.within(0.5, 2, seeds=24),
)
def he_keeps_angles(seeds: Seeds) -> Effects:
    def closing(seed: int) -> float:
        generator = seeded(seed)
        net = initialized_mlp(generator, [128] * 31, nn.ReLU, "kaiming_normal")
        x = normal(generator, 2, 128)
        return angle_gap(net, 30, x) / angle_gap(net, 1, x)

    return each(seeds, closing)


@claim(
    "Under He's start orthogonal inputs close in as the arc-cosine kernel says, in wide ReLU networks without biases.",
    source="Cho and Saul (2009); derivation",
    quantity="1 - cosine in layer 6 over that of the kernel, width 512, mean of 120 pairs",
    criterion=Method.MEAN.within(0.85, 1.15, seeds=80),  # the kernel is the limit of infinite width
)
def arc_cosine_kernel(seeds: Seeds) -> Effects:
    cosine = 0.0  # of orthogonal inputs; five layers of ReLU follow before the sixth matrix
    for _ in range(5):
        cosine = (math.sqrt(1 - cosine**2) + (math.pi - math.acos(cosine)) * cosine) / math.pi
    x = torch.eye(16, 512, dtype=torch.float64)

    def ratio(seed: int) -> float:
        net = initialized_mlp(seeded(seed), [512] * 7, nn.ReLU, "kaiming_normal")
        return angle_gap(net, 6, x) / (1 - cosine)

    return each(seeds, ratio)


@claim(
    "In a ReLU network of L layers and width n, with independent symmetric weights of finite fourth moment, and an"
    " input spread over many components, the log of the second moment has variance 5 L / n over draws, to leading order"
    " in 1 / n.",
    source="derivation; cf. Hanin and Rolnick (2018)",
    quantity="variance over that prediction, n = 64, L = 4",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=40),
)
def he_spread_is_depth_over_width(seeds: Seeds) -> Effects:
    return each(seeds, lambda seed: log_spread(torch.relu, "kaiming_normal", seed) / (5 * 4 / 64))


@claim(
    "The variance that one ReLU layer of n units with normal pre-activations adds to the log of the second moment is"
    " 5 / n + 18.5 / n², to second order in 1 / n.",
    source="derivation",
    quantity="measured variance over that prediction, n = 64",
    criterion=Method.MEAN.within(0.97, 1.03, seeds=80),  # 5 / n alone is 5.5 percent short
    after_looking=WIDENED,
)
def he_spread_next_order(seeds: Seeds) -> Effects:
    def ratio(seed: int) -> float:
        z = normal(seeded(seed), 8000, 64)
        return float(z.relu().square().mean(1).log().var()) / (5 / 64 + 18.5 / 64**2)

    return each(seeds, ratio)
