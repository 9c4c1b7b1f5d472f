"""Any activation, any layer: gains and what they cannot do, fans of convolutions, orthogonal weights."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.claims.experiments import (
    DIGITS,
    MNIST,
    Build,
    accuracy_gain,
    backward_factor,
    each,
    initialized_mlp,
    normal,
    second_moment,
    seeded,
    signals,
    unit_inputs,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.gains import Activation, gain, gaussian_mean
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import undrawn
from tutorial_utils.propagation import propagate

Convolution = nn.Conv2d | nn.ConvTranspose2d


@claim(
    "No continuous and piecewise smooth nonlinearity whose mean is zero for standard normal pre-activations keeps both"
    " signal and gradient: at the forward gain its gradients grow.",
    source="derivation",
    quantity="χ at the forward gain and q = 1, for activations whose parameters are drawn at random",
    criterion=Method.RANGE.within(1, math.inf, seeds=24),
    controls=("Hardshrink, which jumps",),
    after_looking="the word continuous, and the control, which is the counterexample that it answers",
)
def zero_mean_cannot_keep_both(seeds: Seeds) -> Effects:
    def growth(activation: Activation, shift: float = 0.0) -> float:
        return float((gain(lambda z: activation(z) - shift) / gain(activation, "backward")) ** 2)

    def centered_tanh(seed: int) -> float:
        a, c = torch.rand(2, generator=seeded(seed)).tolist()

        def f(z: Tensor) -> Tensor:
            return torch.tanh((0.5 + 2 * a) * z + 2 * c)

        return growth(f, gaussian_mean(f))

    def shrunk(kind: Callable[[float], nn.Module], seed: int) -> float:
        return growth(kind(0.1 + float(torch.rand(1, generator=seeded(seed)))))

    kinds = {"Softshrink, as flat around 0": nn.Softshrink, "Hardshrink, which jumps": nn.Hardshrink}
    return each(seeds, centered_tanh, {"tanh(a z + c) minus its mean": ()}) | each(seeds, shrunk, kinds)


@claim(
    "With the gain 1 / √E[φ²] any activation keeps the signal at any depth.",
    source="folklore",
    quantity="powers of ten between the second moments of layers 1 and 40",
    criterion=Method.MEDIAN.within(0, 1, seeds=16),
)
def exact_gain_keeps_signal_at_depth(seeds: Seeds) -> Effects:
    def strayed(activation: Build, seed: int) -> float:
        exact = float(gain(activation()))
        table = signals(seed, [256] * 41, activation, "lecun_normal", batch=1, gradients=False, nonlinearity=exact)
        return abs(math.log10(table.second_moment.iloc[-1] / table.second_moment.iloc[0]))

    return each(seeds, strayed, {kind.__name__: kind for kind in (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU)})


@claim(
    "With the gain 1 / √E[φ²], ten layers do not drive inputs of different size apart.",
    source="folklore",
    quantity="ratio of the second moments of one input at two sizes, layer 10 over layer 1, where it is 12",
    criterion=Method.MEDIAN.within(0, 2, seeds=16),
)
def exact_gain_keeps_inputs_together(seeds: Seeds) -> Effects:
    def apart(activation: Build, seed: int) -> float:
        generator, exact = seeded(seed), float(gain(activation()))
        net = initialized_mlp(generator, [256] * 11, activation, "lecun_normal", nonlinearity=exact)
        x = unit_inputs(generator, 1, 256) / exact  # the first layer, which reads no activation, has the gain, too
        tables = [propagate(net, math.sqrt(q) * x, layers=(nn.Linear,)) for q in (3, 1 / 4)]
        ratio = tables[0].second_moment / tables[1].second_moment
        return float(ratio.iloc[-1] / ratio.iloc[0])

    return each(seeds, apart, {kind.__name__: kind for kind in (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU)})


#: The activations whose gain calculate_gain knows.
NAMED: dict[str, Build] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
}


@claim(
    "The gain that calculate_gain recommends makes up for the activation.",
    source="PyTorch docs",
    quantity="g² E[φ(z)²] for normal z",
    criterion=Method.MEAN.within(0.97, 1.03, seeds=16),
)
def calculate_gain_keeps_signal(seeds: Seeds) -> Effects:
    def moment(name: str, seed: int) -> float:
        recommended = init.calculate_gain(name)  # type: ignore[arg-type]
        return second_moment(NAMED[name]()(normal(seeded(seed), 40_000))) * recommended**2

    return each(seeds, moment, {name: name for name in NAMED})


@claim(
    "With the gain that calculate_gain recommends gradients neither vanish nor explode.",
    source="PyTorch docs",
    quantity="factor on the gradient's second moment per layer, layers 30 to 15",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=16),
)
def calculate_gain_keeps_gradient(seeds: Seeds) -> Effects:
    def factor(name: str, seed: int) -> float:
        return backward_factor(signals(seed, [100] * 31, NAMED[name], "lecun_normal", nonlinearity=name), skip=14)

    return each(seeds, factor, {name: name for name in NAMED})


@claim(
    "SELU networks bring their activations to mean square 1.",
    source="Klambauer et al. (2017)",
    quantity="second moment of the pre-activation over g² after 20 layers",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=80),
    after_looking="the width, after one set of seeds had given another verdict",
)
def selu_normalizes_itself(seeds: Seeds) -> Effects:
    def settled(name: str, seed: int) -> float:
        table = signals(seed, [200] * 21, nn.SELU, "lecun_normal", batch=32, gradients=False, nonlinearity=name)
        return float(table.second_moment.iloc[-1] / init.calculate_gain(name) ** 2)  # type: ignore[arg-type]

    return each(seeds, settled, {"gain 1, as designed": "linear", "gain 3/4, of calculate_gain": "selu"})


CONVOLUTIONS: dict[str, Callable[[], Convolution]] = {
    "convolution": lambda: nn.Conv2d(8, 16, 3, bias=False),
    "4 groups": lambda: nn.Conv2d(16, 16, 3, groups=4, bias=False),
    "stride 2": lambda: nn.Conv2d(8, 16, 3, stride=2, bias=False),
    "transposed, stride 2": lambda: nn.ConvTranspose2d(16, 8, 4, stride=2, bias=False),
}


@claim(
    "The fan_in of torch.nn.init is the number of inputs that one output sums over.",
    source="PyTorch docs",
    quantity="measured number over fan_in",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=128),
)
def fan_in_counts_inputs(seeds: Seeds) -> Effects:
    return each(seeds, lambda build, seed: _fan_ratios(build, seed)[0], CONVOLUTIONS)


@claim(
    "The fan_out of torch.nn.init is the number of outputs that one input feeds.",
    source="PyTorch docs",
    quantity="measured number over fan_out",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=128),
)
def fan_out_counts_outputs(seeds: Seeds) -> Effects:
    return each(seeds, lambda build, seed: _fan_ratios(build, seed)[1], CONVOLUTIONS)


def _fan_ratios(build: Callable[[], Convolution], seed: int) -> tuple[float, float]:
    """Measured fan_in and fan_out over torch's: weights of variance 1 multiply a second moment by the fan."""
    generator = seeded(seed)
    layer = initialize_(undrawn(build), "normal", generator=generator, std=1.0)
    image = normal(generator, 1, layer.in_channels, 26, 26).requires_grad_()
    out = layer(image)
    (back,) = torch.autograd.grad(out, image, normal(generator, *out.shape))
    measured_in, measured_out = (second_moment(one[..., 4:-4, 4:-4]) for one in (out, back))  # away from borders
    fan_in, fan_out = init._calculate_fan_in_and_fan_out(layer.get_parameter("weight"))
    return measured_in / fan_in, measured_out / fan_out


@claim(
    "Orthogonal weights keep the length of every input of a linear network.",
    source="Saxe et al. (2014)",
    quantity="length of the output over that of the input, the worst of eight, minus 1",
    criterion=Method.RANGE.within(-1e-9, 1e-9, seeds=16),
)
def orthogonal_keeps_length(seeds: Seeds) -> Effects:
    def worst(widths: Sequence[int], seed: int) -> float:
        generator = seeded(seed)
        net = initialized_mlp(generator, widths, nn.Identity, "orthogonal")
        x = normal(generator, 8, widths[0])
        with torch.no_grad():
            off = net(x).norm(dim=1) / x.norm(dim=1) - 1
        return float(off[off.abs().argmax()])

    return each(seeds, worst, {"30 square layers": [64] * 31, "64 to 128": [64, 128], "128 to 64": [128, 64]})


@claim(
    "Orthogonal weights keep gradients from exploding, whatever the gain.",
    source="folklore; cf. Saxe et al. (2014)",
    quantity="factor on the gradient's second moment per layer, layers 20 to 5",
    criterion=Method.MEDIAN.within(0.95, 1.05, seeds=16),  # a linear network gives 1 on every seed
)
def orthogonal_keeps_gradients(seeds: Seeds) -> Effects:
    def factor(activation: Build, scale: float, seed: int) -> float:
        return backward_factor(signals(seed, [128] * 21, activation, "orthogonal", nonlinearity=scale), skip=4)

    return each(seeds, factor, {"linear": (nn.Identity, 1.0), "tanh, gain 5/3": (nn.Tanh, 5 / 3)})


@claim(
    "Near the gain at which gradients neither grow nor shrink, orthogonal weights train deep tanh networks faster.",
    source="Pennington et al. (2017)",
    quantity="test accuracy, orthogonal minus Gaussian weights, 30 hidden layers of 64, gain 1, SGD at 0.03",
    criterion=Method.MEDIAN.within(0.05, 1, seeds=8),
    data=(DIGITS, MNIST),
    optimizer=("SGD at 0.03",),
    budget="100 steps",
    after_looking="depth, rate and steps",
)
def orthogonal_trains_deep_tanh(seeds: Seeds) -> Effects:
    orthogonal, gaussian = {"scheme": "orthogonal"}, {"scheme": "lecun_normal"}
    settings: dict[str, Any] = {"steps": 100, "depth": 30, "width": 64, "activation": "tanh", "lr": 0.03}
    return {on: accuracy_gain(seeds, orthogonal, gaussian, on=on, **settings) for on in (DIGITS, MNIST)}
