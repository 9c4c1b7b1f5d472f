"""Claims of Part I: starts, from symmetry and scale to gains."""

import math
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.claims.registry import Method, claim, seeded
from tutorial_utils.data import Split, digits
from tutorial_utils.gains import gain, gaussian_mean
from tutorial_utils.initializers import Model, initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate
from tutorial_utils.runs import grid
from tutorial_utils.sweep import train_many
from tutorial_utils.training import train

Kind = Callable[[], nn.Module]
Convolution = nn.Conv2d | nn.ConvTranspose2d


def blank(build: Callable[[], Model]) -> Model:
    """Build a module in float64 without a draw; its parameters must be initialized before use."""
    with torch.device("meta"):
        module = build().double()
    return module.to_empty(device="cpu")


def start(
    widths: Sequence[int], kind: Kind, scheme: str, generator: torch.Generator, *, bias: bool = False, **options: Any
) -> nn.Sequential:
    """A multilayer perceptron in float64, all of its numbers drawn from the generator."""
    return initialize_(blank(lambda: mlp(widths, kind, bias=bias)), scheme, generator=generator, **options)


def signals(net: nn.Module, generator: torch.Generator, *, batch: int = 4) -> Any:
    """Moments at every linear layer, for inputs of second moment 1 and a top gradient independent of the weights."""
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    x = torch.randn(batch, linear[0].in_features, generator=generator, dtype=torch.float64)
    x /= x.square().mean(1, keepdim=True).sqrt()
    top = torch.randn(batch, linear[-1].out_features, generator=generator, dtype=torch.float64)
    return propagate(net, x, lambda out: (out * top).sum(), layers=(nn.Linear,))


def forward_factor(table: Any, *, skip: int = 0) -> float:
    """The factor on the second moment per layer, the first ``skip`` layers left out: a geometric mean."""
    q = table.second_moment.iloc[skip:]
    return float((q.iloc[-1] / q.iloc[0]) ** (1 / (len(q) - 1)))


def backward_factor(table: Any, *, skip: int = 0) -> float:
    """The same of the gradient, from the last layer down."""
    moments = table.grad_second_moment.iloc[skip:]
    return float((moments.iloc[0] / moments.iloc[-1]) ** (1 / (len(moments) - 1)))


def images(seeds: Sequence[int]) -> Split:
    """The digits in float64, split by the first seed."""
    return Split(*(part.double() if part.is_floating_point() else part for part in digits(generator=seeded(seeds[0]))))


def accuracies(seeds: Sequence[int], *, steps: int, **axes: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Test accuracy for each seed, at the learning rate of the lowest training loss."""
    return best_of(train_many(grid(seed=seeds, **axes), images(seeds), steps=steps).table, seeds)


def best_of(table: Any, seeds: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """From the trainings of each seed the one of the lowest training loss; its test accuracy."""
    best = table.sort_values("train_loss").groupby("seed").first()  # a loss that is not a number comes last
    found: np.ndarray[Any, np.dtype[np.float64]] = best.test_accuracy.loc[list(seeds)].to_numpy()
    return found


@claim(
    "constant-weights-stay-rank-one",
    "From constant weights all units of a layer stay equal, however long one trains.",
    source="folklore",
    chapter="01-why-the-start-matters",
    section="Equal units stay equal",
    quantity="second singular value of a hidden matrix over its first, after 100 steps",
    holds=(0, 1e-9),  # rounding: the theorem says 0
    method=Method.RANGE,
    seeds=12,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    x, y, *_ = images(seeds)

    def trained(seed: int, biases: str) -> float:
        net = start([64, 32, 32, 10], nn.Tanh, "default", seeded(seed), bias=True)
        for name, parameter in net.named_parameters():
            if "weight" in name or biases == "zero biases":
                init.constant_(parameter, 0.1 if "weight" in name else 0.0)
        train(net, x, y, lr=0.1, steps=100, generator=seeded(seed))
        values = torch.linalg.svdvals(net.get_parameter("linear2.weight").detach())
        return float(values[1] / values[0])

    return {biases: [trained(seed, biases) for seed in seeds] for biases in ("zero biases", "random biases")}


def _first_loss(net: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float(functional.cross_entropy(net(x), y))


@claim(
    "first-loss-near-ln-classes",
    "The first loss of a classifier is the logarithm of the number of classes.",
    source="folklore",
    chapter="01-why-the-start-matters",
    section="The first loss",
    quantity="first loss over ln 10, digits, three hidden ReLU layers",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=40,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    x, y, *_ = images(seeds)

    def losses(scheme: str, **options: Any) -> list[float]:
        nets = (start([64, 64, 64, 64, 10], nn.ReLU, scheme, seeded(seed), **options) for seed in seeds)
        return [_first_loss(net, x, y) / math.log(10) for net in nets]

    return {
        "PyTorch's default, zero biases": losses("lecun_uniform", nonlinearity=3**-0.5),
        "He": losses("kaiming_normal"),
        "standard deviation 1": losses("normal", std=1.0),
    }


@claim(
    "first-loss-excess",
    "Small random logits of variance v cost v (1 - 1/C) / 2 beyond ln C.",
    source="derivation",
    chapter="01-why-the-start-matters",
    section="The first loss",
    quantity="first loss beyond ln C over that prediction, mean of the logits and their negatives",
    holds=(0.9, 1.1),  # what the second order neglects is of relative order v, here 0.02
    method=Method.MEAN,
    seeds=200,
    after_looking="the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    x, y, *_ = images(seeds)

    def ratio(seed: int) -> float:
        net = start([64, 100, 10], nn.Tanh, "normal", seeded(seed), std=0.1)
        with torch.no_grad():
            z = 0.2 * net(x)
        excess = (functional.cross_entropy(z, y) + functional.cross_entropy(-z, y)) / 2 - math.log(10)
        return float(excess / (0.45 * z.square().mean()))

    return {"": [ratio(seed) for seed in seeds]}


@claim(
    "first-loss-certifies-start",
    "A network whose first loss is ln C has a good start.",
    source="folklore",
    chapter="01-why-the-start-matters",
    section="The first loss",
    quantity="test accuracy after 150 steps, nine tanh layers, best of two rates",
    holds=(0.5, 1),  # half of the digits right: it has learned
    method=Method.MEDIAN,
    seeds=8,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    shared = {"depth": 9, "width": 64, "activation": "tanh", "batch_size": 32, "lr": [0.1, 1.0]}
    scales = {"standard deviation 1/√n": 1.0, "a tenth of it": 0.1}

    def reached(scale: float) -> list[float]:
        runs = grid(seed=seeds, scheme="lecun_normal", scale=scale, **shared)
        sweep = train_many(runs, images(seeds), steps=150)
        premise = np.abs(sweep.losses[:, 0] / math.log(10) - 1) < 0.1  # else it says nothing of the statement
        return list(best_of(sweep.table.assign(test_accuracy=sweep.table.test_accuracy.where(premise)), seeds))

    return {name: reached(scale) for name, scale in scales.items()}


def _saturated(kind: Kind, width: int, seed: int, std: float = 1.0) -> float:
    """The gradient's factor per layer where weights are that large."""
    generator = seeded(seed)
    return backward_factor(signals(start([width] * 11, kind, "normal", generator, std=std), generator), skip=1)


@claim(
    "saturated-tanh-vanishes",
    "Weights that are too large saturate tanh, and saturated units make the gradient vanish.",
    source="folklore",
    chapter="01-why-the-start-matters",
    section="Too small, too large",
    quantity="factor on the gradient's second moment per layer going back",
    holds=(0, 1),
    method=Method.MEDIAN,
    seeds=24,
    after_looking="the third setting was added after the first two had refuted the statement",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    settings = (30, 1.0), (300, 1.0), (30, 100.0)  # in the last, hardly a layer keeps a unit that is not saturated
    return {
        f"width {n}, deviation {std:g}": [_saturated(nn.Tanh, n, seed, std) for seed in seeds] for n, std in settings
    }


@claim(
    "saturated-sigmoid-vanishes",
    "Weights that are too large saturate the sigmoid, and saturated units make the gradient vanish.",
    source="folklore",
    chapter="01-why-the-start-matters",
    section="Too small, too large",
    quantity="factor on the gradient's second moment per layer going back, weights of standard deviation 1",
    holds=(0, 1),
    method=Method.MEDIAN,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {f"width {n}": [_saturated(nn.Sigmoid, n, seed) for seed in seeds] for n in (30, 300)}


@claim(
    "start-matters-without-normalization",
    "Without batch normalization the start decides about high performance.",
    source="source text",
    chapter="01-why-the-start-matters",
    section="What breaks it",
    quantity="test accuracy lost by a start ten times smaller than He's, 150 steps, best of two rates",
    holds=(0.05, 1),  # five points: one would call that performance
    method=Method.MEDIAN,
    seeds=12,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    shared = {"width": 32, "batch_size": 32, "lr": [0.03, 0.3]}

    def lost(depth: int) -> list[float]:
        good, small = (accuracies(seeds, steps=150, depth=depth, scale=scale, **shared) for scale in (1.0, 0.1))
        return list(good - small)

    return {"1 hidden layer": lost(1), "8 hidden layers": lost(8)}


def _spread(activation: Callable[[Tensor], Tensor], scheme: str, seed: int, *, n: int = 64, depth: int = 4) -> float:
    """The variance over 240 draws of the logarithm of the signal's second moment after ``depth`` layers."""
    generator, h = seeded(seed), torch.ones(240, n, 1, dtype=torch.float64)
    for _ in range(depth):
        layer = initialize_(blank(lambda: nn.Linear(n, 240 * n, bias=False)), scheme, generator=generator)
        h = activation(layer.get_parameter("weight").detach().view(240, n, n) @ h)
    return float(h.square().mean((1, 2)).log().var())


@claim(
    "linear-spread-is-depth-over-width",
    "In a linear network of L layers and width n the log of the second moment has variance 2 L / n over draws.",
    source="derivation; cf. Hanin and Rolnick (2018)",
    chapter="02-variance-through-a-layer",
    section="How far one draw strays",
    quantity="variance over that prediction, n = 64, L = 4",
    holds=(0.8, 1.25),  # leading order: the next is smaller by 1/n
    method=Method.MEAN,
    seeds=40,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {"": [_spread(lambda z: z, "lecun_normal", seed) / (2 * 4 / 64) for seed in seeds]}


@claim(
    "normal-beats-uniform",
    "Normally distributed weights train better than uniformly distributed ones.",
    source="folklore",
    chapter="03-glorot",
    section="Uniform, normal, and the root of three",
    quantity="test accuracy, He normal minus He uniform, 200 steps, three hidden layers",
    holds=(0.02, 1),  # two points, as wherever accuracies are compared here
    method=Method.MEAN,
    seeds=80,
    after_looking="the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    shared = {"depth": 3, "width": 32, "batch_size": 32, "lr": 0.1}
    normal, uniform = (
        accuracies(seeds, steps=200, scheme=scheme, **shared) for scheme in ("kaiming_normal", "kaiming_uniform")
    )
    return {"equal variance": list(normal - uniform)}


@claim(
    "glorot-has-specific-variance",
    "Glorot's weights have mean zero and a specific variance.",
    source="source text; Glorot and Bengio (2010), equation 12",
    chapter="03-glorot",
    section="Uniform, normal, and the root of three",
    quantity="second moment of a weight over 2 / (n_in + n_out), a layer from 300 to 100",
    holds=(0.98, 1.02),  # a mean other than zero would add its square
    method=Method.MEAN,
    seeds=20,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def second_moment(scheme: str, seed: int) -> float:
        layer = start([300, 100], nn.Identity, scheme, seeded(seed))
        return float(layer.get_parameter("linear1.weight").detach().square().mean() * (300 + 100) / 2)

    schemes = {"normal": "xavier_normal", "uniform": "xavier_uniform"}
    return {name: [second_moment(scheme, seed) for seed in seeds] for name, scheme in schemes.items()}


@claim(
    "weight-gradients-equal-in-all-layers",
    "At the start the weight gradients of all layers have the same size, even where the gradient sent back shrinks.",
    source="Glorot and Bengio (2010), section 4.2.2 and figure 8",
    chapter="03-glorot",
    section="The gradient that learns",
    quantity="root mean square of the weight gradient, layer 2 over layer 10",
    holds=(0.5, 2),
    method=Method.MEDIAN,
    seeds=32,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def ratio(seed: int, kind: Kind, scheme: str, **options: Any) -> float:
        generator = seeded(seed)
        moments = signals(start([128] * 11, kind, scheme, generator, **options), generator).weight_grad_second_moment
        return float((moments.iloc[1] / moments.iloc[-1]) ** 0.5)

    standard: dict[str, Any] = {"scheme": "lecun_uniform", "nonlinearity": 3**-0.5}
    return {
        "tanh, standard init": [ratio(seed, nn.Tanh, **standard) for seed in seeds],
        "ReLU, Glorot": [ratio(seed, nn.ReLU, "xavier_normal") for seed in seeds],
        "ReLU, PyTorch's default biases": [ratio(seed, nn.ReLU, "default", bias=True) for seed in seeds],
    }


@claim(
    "quarter-circle",
    "A square Glorot matrix has mean singular value 8 / (3 π), the paper's 0.8.",
    source="derivation from Marchenko and Pastur (1967); cf. Glorot and Bengio (2010), section 4.2.2",
    chapter="03-glorot",
    section="Why 0.8 is mostly not a loss",
    quantity="mean singular value over 8 / (3 π), width 200",
    holds=(0.99, 1.01),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {"": [float(_singular_values(seed).mean()) / (8 / (3 * math.pi)) for seed in seeds]}


def _singular_values(seed: int) -> Tensor:
    layer = start([200, 200], nn.Identity, "xavier_uniform", seeded(seed))
    values: Tensor = torch.linalg.svdvals(layer.get_parameter("linear1.weight").detach())
    return values


@claim(
    "singular-value-below-one-is-loss",
    "A mean singular value of 0.8 means that each layer takes a fifth of the signal's size.",
    source="folklore",
    chapter="03-glorot",
    section="Why 0.8 is mostly not a loss",
    quantity="root mean square of a linear layer's outputs over that of its inputs, width 200",
    holds=(0.75, 0.85),
    method=Method.MEAN,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def size(seed: int) -> float:
        generator = seeded(seed)
        net = start([200] * 6, nn.Identity, "xavier_uniform", generator)
        return math.sqrt(forward_factor(signals(net, generator)))

    return {"": [size(seed) for seed in seeds]}


def _sizes(net: nn.Module, generator: torch.Generator, batch: int) -> Any:
    """The second moment at each linear layer for inputs of second moment 1; no gradient."""
    width = next(module for module in net.modules() if isinstance(module, nn.Linear)).in_features
    x = torch.randn(batch, width, generator=generator, dtype=torch.float64)
    return propagate(net, x / x.square().mean(1, keepdim=True).sqrt(), layers=(nn.Linear,)).second_moment


def _tanh_moments(seed: int) -> Any:
    """The second moment at 40 layers of a tanh network under Glorot's start."""
    generator = seeded(seed)
    return _sizes(start([200] * 41, nn.Tanh, "xavier_normal", generator), generator, batch=64)


@claim(
    "tanh-glorot-decay",
    "With tanh and Glorot's start the second moment decays like 1 / (2 l).",
    source="derivation; cf. Schoenholz et al. (2017)",
    chapter="03-glorot",
    section="tanh is not linear",
    quantity="2 l q at layer l = 40",
    holds=(0.8, 1.2),  # at l = 40 the next term of the expansion, 5/6 ln l, and the width take some percent
    method=Method.MEAN,
    seeds=64,
    after_looking="the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {"": [2 * 40 * float(_tanh_moments(seed)[39]) for seed in seeds]}


@claim(
    "tanh-glorot-settles",
    "With tanh and Glorot's start the signal settles at a fixed size.",
    source="folklore",
    chapter="03-glorot",
    section="tanh is not linear",
    quantity="second moment at layer 40 over that at layer 10",
    holds=(0.8, 1.25),
    method=Method.MEAN,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    moments = [_tanh_moments(seed) for seed in seeds]
    return {"": [float(q[39] / q[9]) for q in moments]}


@claim(
    "glorot-beats-standard",
    "The normalized init ends at a lower test error than the standard one.",
    source="Glorot and Bengio (2010), table 1",
    chapter="03-glorot",
    section="On digits",
    quantity="test accuracy, normalized minus standard, five hidden layers on digits, best of two rates",
    holds=(0.02, 1),  # two points; the paper's gaps for tanh are 0.1 to 11.6
    method=Method.MEDIAN,
    seeds=8,
    after_looking="the number of steps; at 100 the best rates differed less than their noise",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    shared = {"depth": 5, "width": 32, "batch_size": 32, "lr": [0.5, 1.0], "activation": "tanh", "seed": seeds}
    starts = {"scheme": "xavier_uniform"}, {"scheme": "lecun_uniform", "scale": 3**-0.5}
    steps = 75, 400
    sweeps = [train_many(grid(**one, **shared), images(seeds), steps=400, at=steps).curves for one in starts]

    def ahead(step: int) -> list[float]:
        normalized, standard = (best_of(curves[curves.step == step], seeds) for curves in sweeps)
        return list(normalized - standard)

    return {f"tanh, {step} steps": ahead(step) for step in steps}


def _factors(seeds: Sequence[int], kind: Kind, scheme: str, *, skip: int = 0, **options: Any) -> dict[str, list[float]]:
    """The factors per layer on signal and gradient, ten layers of width 200."""
    tables = []
    for seed in seeds:
        generator = seeded(seed)
        tables.append(signals(start([200] * 11, kind, scheme, generator, **options), generator))
    return {
        "forward": [forward_factor(table, skip=skip) for table in tables],
        "backward": [backward_factor(table, skip=skip) for table in tables],
    }


@claim(
    "glorot-relu-halves",
    "Under Glorot's start each ReLU layer halves the second moment of signal and gradient.",
    source="He et al. (2015), section 2.2",
    chapter="03-glorot",
    section="What breaks it",
    quantity="factor on the second moment per layer",
    holds=(0.45, 0.55),
    method=Method.MEAN,
    seeds=64,
    after_looking="the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return _factors(seeds, nn.ReLU, "xavier_normal")


@claim(
    "he-keeps-second-moment",
    "He's start keeps the second moment of signal and gradient through ReLU layers.",
    source="He et al. (2015), equations 10 and 14",
    chapter="04-he",
    section="Forward",
    quantity="factor on the second moment per layer",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=64,
    after_looking="the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return _factors(seeds, nn.ReLU, "kaiming_normal")


@claim(
    "gain-from-standard-deviations",
    "The gain of an activation is x.std() / f(x).std() for normal x.",
    source="folklore; pytorch issue 24991",
    chapter="04-he",
    section="A second moment, not a variance",
    quantity="factor on the second moment per layer under that gain",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=32,
    after_looking="four first layers are left out, in which the signal has not settled",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def by_deviation(f: Callable[[Tensor], Tensor]) -> float:
        return float((gaussian_mean(lambda s: f(s).square()) - gaussian_mean(f) ** 2) ** -0.5)

    kinds: dict[str, tuple[Kind, float]] = {
        "ReLU": (nn.ReLU, by_deviation(torch.relu)),
        "tanh": (nn.Tanh, by_deviation(torch.tanh)),
    }
    return {
        name: _factors(seeds, kind, "lecun_normal", skip=4, nonlinearity=g)["forward"]
        for name, (kind, g) in kinds.items()
    }


@claim(
    "he-weights-follow-previous-layer",
    "The size of He's weights depends on the size of the previous layer.",
    source="source text",
    chapter="04-he",
    section="Fan-in or fan-out?",
    quantity="n_in Var[w] / 2, a layer from 256 to 64",
    holds=(0.95, 1.05),
    method=Method.MEAN,
    seeds=20,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    modes = {"fan_in, PyTorch's default": "kaiming_normal", "fan_out, as the paper trained": "kaiming_normal_fan_out"}

    def scaled(scheme: str, seed: int) -> float:
        net = start([256, 64], nn.ReLU, scheme, seeded(seed))
        return float(256 * net.get_parameter("linear1.weight").detach().var() / 2)

    return {name: [scaled(scheme, seed) for seed in seeds] for name, scheme in modes.items()}


@claim(
    "either-fan-suffices",
    "With fan_in or with fan_out, the other direction drifts by one ratio of widths in the whole network.",
    source="He et al. (2015), section 2.2",
    chapter="04-he",
    section="Fan-in or fan-out?",
    quantity="drift over that ratio, widths from 512 to 128 in five layers",
    holds=(0.8, 1.25),
    method=Method.MEAN,
    seeds=120,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    widths = [512, 512, 256, 256, 128, 128]

    def drift(scheme: str, column: str, seed: int) -> float:
        generator = seeded(seed)
        moments = signals(start(widths, nn.ReLU, scheme, generator), generator, batch=16)[column]
        return float(moments.iloc[-1] / moments.iloc[0])

    return {
        "fan_in, gradient": [drift("kaiming_normal", "grad_second_moment", seed) / 4 for seed in seeds],
        "fan_out, signal": [drift("kaiming_normal_fan_out", "second_moment", seed) / 4 for seed in seeds],
    }


@claim(
    "small-constant-std-shrinks-gradients",
    "Standard deviation 0.01 in a VGG-like stack makes the gradient 1.7 · 10⁴ times smaller from conv10 to conv2.",
    source="He et al. (2015), section 2.2",
    chapter="04-he",
    section="One small number for all layers",
    quantity="the root mean square's fall over 1.7 · 10⁴",
    holds=(0.8, 1.25),
    method=Method.MEAN,
    seeds=8,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    channels = [64, 64, 128, 128, 256, 256, 512, 512, 512, 512]

    def stack() -> nn.Module:  # on images that wrap around, so that every pixel has the full fan
        wrap: dict[str, Any] = {"padding": 1, "padding_mode": "circular", "bias": False}
        pairs = [(nn.ReLU(), nn.Conv2d(*both, 3, **wrap)) for both in pairwise(channels)]
        return nn.Sequential(*chain.from_iterable(pairs))

    def fall(seed: int) -> float:
        generator = seeded(seed)
        net = initialize_(blank(stack), "normal", generator=generator, std=0.01)
        z, top = (torch.randn(1, c, 4, 4, generator=generator, dtype=torch.float64) for c in (64, 512))
        out = net(z.requires_grad_())
        (back,) = torch.autograd.grad(out, z, top)
        return float((top.square().mean() / back.square().mean()) ** 0.5) / 1.7e4

    return {"": [fall(seed) for seed in seeds]}


def _he_over_glorot(seeds: Sequence[int], **axes: Any) -> list[float]:
    he, glorot = (accuracies(seeds, scheme=scheme, **axes) for scheme in ("kaiming_normal", "xavier_normal"))
    return list(he - glorot)


@claim(
    "he-and-glorot-alike-when-shallow",
    "Where both starts converge, He's and Glorot's end at the same accuracy.",
    source="He et al. (2015), section 4",
    chapter="04-he",
    section="Thirty layers",
    quantity="test accuracy, He minus Glorot, three hidden ReLU layers on digits, 300 steps",
    holds=(-0.02, 0.02),
    method=Method.MEDIAN,
    seeds=48,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {"": _he_over_glorot(seeds, depth=3, width=32, lr=[0.1, 0.3], steps=300, batch_size=32)}


@claim(
    "thirty-layers-need-he",
    "A ReLU network of 30 layers trains from He's start, and stalls from Glorot's.",
    source="He et al. (2015), figure 3",
    chapter="04-he",
    section="Thirty layers",
    quantity="test accuracy, He minus Glorot, on digits, 200 steps at rate 0.003, momentum 0.9",
    holds=(0.1, 1),  # ten points: a network that stalls has the accuracy of guessing, 0.1
    method=Method.MEDIAN,
    seeds=8,
    after_looking="rate, width and steps, so that He's start learns; and the smallest gap that counts",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    shared = {"width": 48, "lr": 0.003, "momentum": 0.9, "steps": 200, "batch_size": 32}
    return {"30 hidden layers": _he_over_glorot(seeds, depth=30, **shared)}


@claim(
    "he-keeps-angles",
    "He's start keeps inputs as far apart as they are.",
    source="folklore",
    chapter="04-he",
    section="What it does not keep: angles",
    quantity="1 - cosine of two inputs, layer 30 over layer 1",
    holds=(0.5, 2),
    method=Method.MEDIAN,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def closing(seed: int) -> float:
        generator = seeded(seed)
        net = start([128] * 31, nn.ReLU, "kaiming_normal", generator)
        x = torch.randn(2, 128, generator=generator, dtype=torch.float64)
        first, last = gap(net, 1, x), gap(net, 30, x)
        return last / first

    return {"": [closing(seed) for seed in seeds]}


def gap(net: nn.Module, layer: int, x: Tensor) -> float:
    """1 - cosine between the pre-activations of two inputs in one layer of a network, the mean over all pairs."""
    below = nn.Sequential(*list(net.children())[: 2 * layer - 1])
    with torch.no_grad():
        z = functional.normalize(below(x), dim=1)
    first, second = torch.triu_indices(len(x), len(x), 1)
    return 1 - float((z @ z.T)[first, second].mean())


@claim(
    "arc-cosine-kernel",
    "Under He's start orthogonal inputs close in as the arc-cosine kernel says.",
    source="Cho and Saul (2009); derivation",
    chapter="04-he",
    section="What it does not keep: angles",
    quantity="1 - cosine in layer 6 over that of the kernel, width 512, mean of 120 pairs",
    holds=(0.85, 1.15),  # the kernel is the limit of infinite width
    method=Method.MEAN,
    seeds=80,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    theory = 0.0
    for _ in range(5):
        theory = (math.sqrt(1 - theory**2) + (math.pi - math.acos(theory)) * theory) / math.pi
    x = torch.eye(16, 512, dtype=torch.float64)
    nets = (start([512] * 7, nn.ReLU, "kaiming_normal", seeded(seed)) for seed in seeds)
    return {"": [gap(net, 6, x) / (1 - theory) for net in nets]}


@claim(
    "he-spread-is-depth-over-width",
    "In a ReLU network of L layers and width n the log of the second moment has variance 5 L / n over draws.",
    source="derivation; cf. Hanin and Rolnick (2018)",
    chapter="04-he",
    section="What it does not keep: the single draw",
    quantity="variance over that prediction, n = 64, L = 4",
    holds=(0.8, 1.25),
    method=Method.MEAN,
    seeds=40,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {"": [_spread(torch.relu, "kaiming_normal", seed) / (5 * 4 / 64) for seed in seeds]}


@claim(
    "he-spread-next-order",
    "The variance that one ReLU layer of width n adds is 5 / n + 18.5 / n².",
    source="derivation",
    chapter="04-he",
    section="What it does not keep: the single draw",
    quantity="measured variance over that prediction, n = 64",
    holds=(0.97, 1.03),  # 5 / n alone is 5.5 percent short
    method=Method.MEAN,
    seeds=80,
    after_looking="the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    draws = (torch.randn(8000, 64, generator=seeded(seed), dtype=torch.float64) for seed in seeds)
    return {"": [float(z.relu().square().mean(1).log().var()) / (5 / 64 + 18.5 / 64**2) for z in draws]}


NAMED: dict[str, Kind] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
}


@claim(
    "calculate-gain-keeps-signal",
    "The gain that calculate_gain recommends makes up for the activation.",
    source="PyTorch docs",
    chapter="05-any-activation-any-layer",
    section="Three famous gains",
    quantity="g² E[φ(z)²] for normal z",
    holds=(0.97, 1.03),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def moment(name: str, seed: int) -> float:
        z = torch.randn(40_000, generator=seeded(seed), dtype=torch.float64)
        return float(NAMED[name]()(z).square().mean()) * init.calculate_gain(name) ** 2  # type: ignore[arg-type]

    return {name: [moment(name, seed) for seed in seeds] for name in NAMED}


@claim(
    "calculate-gain-keeps-gradient",
    "With the gain that calculate_gain recommends gradients neither vanish nor explode.",
    source="PyTorch docs",
    chapter="05-any-activation-any-layer",
    section="Three famous gains",
    quantity="factor on the gradient's second moment per layer, layers 30 to 15",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def factor(name: str, seed: int) -> float:
        generator = seeded(seed)
        net = start([100] * 31, NAMED[name], "lecun_normal", generator, nonlinearity=name)
        return backward_factor(signals(net, generator), skip=14)

    return {name: [factor(name, seed) for seed in seeds] for name in NAMED}


@claim(
    "zero-mean-cannot-keep-both",
    "No nonlinearity of mean zero keeps signal and gradient: at the forward gain its gradients grow.",
    source="derivation",
    chapter="05-any-activation-any-layer",
    section="Forward and backward disagree",
    quantity="χ at the forward gain, for tanh(a z + c) minus its mean with a and c drawn at random",
    holds=(1, math.inf),
    method=Method.RANGE,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def growth(seed: int) -> float:
        a, c = torch.rand(2, generator=seeded(seed)).tolist()

        def f(z: Tensor) -> Tensor:
            return torch.tanh((0.5 + 2 * a) * z + 2 * c)

        mean = gaussian_mean(f)
        return float((gain(lambda z: f(z) - mean) / gain(f, "backward")) ** 2)

    return {"": [growth(seed) for seed in seeds]}


@claim(
    "exact-gain-keeps-signal-at-depth",
    "With the gain 1 / √E[φ²] any activation keeps the signal at any depth.",
    source="folklore",
    chapter="05-any-activation-any-layer",
    section="A gain can be exact and useless",
    quantity="powers of ten between the second moments of layers 1 and 40",
    holds=(0, 1),
    method=Method.MEDIAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def strayed(kind: Kind, seed: int) -> float:
        generator = seeded(seed)
        net = start([256] * 41, kind, "lecun_normal", generator, nonlinearity=float(gain(kind())))
        q = _sizes(net, generator, batch=1)
        return abs(math.log10(q.iloc[-1] / q.iloc[0]))

    kinds: list[Any] = [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU]
    return {kind.__name__: [strayed(kind, seed) for seed in seeds] for kind in kinds}


@claim(
    "selu-normalizes-itself",
    "SELU networks bring their activations to mean square 1.",
    source="Klambauer et al. (2017)",
    chapter="05-any-activation-any-layer",
    section="Three famous gains",
    quantity="second moment of the pre-activation over g² after 20 layers",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=80,
    after_looking="the width, after one set of seeds had given another verdict",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def settled(nonlinearity: str, seed: int) -> float:
        generator = seeded(seed)
        net = start([200] * 21, nn.SELU, "lecun_normal", generator, nonlinearity=nonlinearity)
        g = init.calculate_gain(nonlinearity)  # type: ignore[arg-type]
        return float(_sizes(net, generator, batch=32).iloc[-1] / g**2)

    gains = {"gain 1, as designed": "linear", "gain 3/4, of calculate_gain": "selu"}
    return {label: [settled(name, seed) for seed in seeds] for label, name in gains.items()}


@claim(
    "orthogonal-keeps-length",
    "Orthogonal weights keep the length of every input of a linear network.",
    source="Saxe et al. (2014)",
    chapter="05-any-activation-any-layer",
    section="Orthogonal weights",
    quantity="length of the output over that of the input, the worst of eight, minus 1",
    holds=(-1e-9, 1e-9),
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def worst(widths: Sequence[int], seed: int) -> float:
        generator = seeded(seed)
        net = start(widths, nn.Identity, "orthogonal", generator)
        x = torch.randn(8, widths[0], generator=generator, dtype=torch.float64)
        with torch.no_grad():
            off = net(x).norm(dim=1) / x.norm(dim=1) - 1
        return float(off[off.abs().argmax()])

    shapes = {"30 square layers": [64] * 31, "64 to 128": [64, 128], "128 to 64": [128, 64]}
    return {name: [worst(widths, seed) for seed in seeds] for name, widths in shapes.items()}


@claim(
    "orthogonal-keeps-gradients",
    "Orthogonal weights keep gradients from exploding.",
    source="folklore; cf. Saxe et al. (2014)",
    chapter="05-any-activation-any-layer",
    section="Orthogonal weights",
    quantity="factor on the gradient's second moment per layer, layers 20 to 5",
    holds=(0.95, 1.05),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def factor(kind: Kind, g: float, seed: int) -> float:
        generator = seeded(seed)
        net = start([128] * 21, kind, "orthogonal", generator, nonlinearity=g)
        return backward_factor(signals(net, generator), skip=4)

    kinds: dict[str, tuple[Kind, float]] = {"linear": (nn.Identity, 1.0), "tanh, gain 5/3": (nn.Tanh, 5 / 3)}
    return {name: [factor(kind, g, seed) for seed in seeds] for name, (kind, g) in kinds.items()}


@claim(
    "glorot-for-tanh-he-for-relu",
    "Glorot is the start for tanh and He for ReLU.",
    source="folklore",
    chapter="04-he",
    section="Thirty layers",
    quantity="test accuracy, the recommended start minus the other, 100 steps, best of three rates",
    holds=(0.02, 1),
    method=Method.MEDIAN,
    seeds=8,
    after_looking="the settings, of three tried",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    shared = {"width": 32, "batch_size": 32, "lr": [0.03, 0.1, 0.3], "steps": 100}

    def better(activation: str, depth: int) -> list[float]:
        sign = 1 if activation == "relu" else -1
        return [sign * one for one in _he_over_glorot(seeds, activation=activation, depth=depth, **shared)]

    return {f"{name}, {depth} layers": better(name, depth) for name in ("tanh", "relu") for depth in (3, 12)}


def _fan_ratios(build: Callable[[], Convolution], seed: int) -> tuple[float, float]:
    """Measured fan_in and fan_out over torch's: weights of variance 1 multiply a second moment by the fan."""
    generator = seeded(seed)
    layer = initialize_(blank(build), "normal", generator=generator, std=1.0)
    weight = layer.get_parameter("weight")
    image = torch.randn(1, layer.in_channels, 26, 26, generator=generator, dtype=torch.float64).requires_grad_()
    out = layer(image)
    top = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    (back,) = torch.autograd.grad(out, image, top)
    moments = [float(one[..., 4:-4, 4:-4].detach().square().mean()) for one in (out, back)]
    fan_in, fan_out = init._calculate_fan_in_and_fan_out(weight)
    return moments[0] / fan_in, moments[1] / fan_out


CONVOLUTIONS: dict[str, Callable[[], Convolution]] = {
    "convolution": lambda: nn.Conv2d(8, 16, 3, bias=False),
    "4 groups": lambda: nn.Conv2d(16, 16, 3, groups=4, bias=False),
    "stride 2": lambda: nn.Conv2d(8, 16, 3, stride=2, bias=False),
    "transposed, stride 2": lambda: nn.ConvTranspose2d(16, 8, 4, stride=2, bias=False),
}


@claim(
    "fan-in-counts-inputs",
    "The fan_in of torch.nn.init is the number of inputs that one output sums over.",
    source="PyTorch docs",
    chapter="05-any-activation-any-layer",
    section="Any layer: count the connections",
    quantity="measured number over fan_in",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=128,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {name: [_fan_ratios(build, seed)[0] for seed in seeds] for name, build in CONVOLUTIONS.items()}


@claim(
    "fan-out-counts-outputs",
    "The fan_out of torch.nn.init is the number of outputs that one input feeds.",
    source="PyTorch docs",
    chapter="05-any-activation-any-layer",
    section="Any layer: count the connections",
    quantity="measured number over fan_out",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=128,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {name: [_fan_ratios(build, seed)[1] for seed in seeds] for name, build in CONVOLUTIONS.items()}
