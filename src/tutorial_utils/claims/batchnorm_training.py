"""BatchNorm in training: what it does to values and gradients."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils import normalization
from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    HIDDEN,
    IMAGES,
    ROUNDING,
    WIDTH,
    BuildNorm,
    Setting,
    each,
    final_losses,
    first_gradients,
    he_network,
    on_both_layers,
    seeded,
    shifted_normal,
    train_on,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.initializers import initialize_


@claim(
    "BatchNorm makes the activations Gaussian.",
    source="folklore",
    quantity="distance of the standardized fourth moment from a Gaussian's, after BatchNorm over before it",
    criterion=Method.RANGE.within(0.0, 0.5, seeds=16),  # it removes half of what is not Gaussian
    data=("digits", "mnist"),
    preprocessing=("pixel",),
)
def bn_makes_gaussian(seeds: Seeds) -> Effects:
    def distance(values: Tensor) -> float:
        centered = values - values.mean(0)
        return float((centered.pow(4).mean(0) / centered.square().mean(0) ** 2 - 3).abs().mean())

    def remaining(values: Tensor) -> float:
        return distance(nn.BatchNorm1d(WIDTH).double()(values).detach()) / distance(values)

    def exponential(seed: int) -> float:
        uniform = torch.rand(2048, WIDTH, generator=seeded(seed), dtype=torch.float64)
        return remaining(-torch.log1p(-uniform))

    def third_layer(data: str, seed: int) -> float:
        net, _, split = he_network(Setting(data).split(seed), seed, None)
        return remaining(net[:5](split.x_train[:512]).detach())

    layers = {f"layer 3 of a network, {data}": data for data in ("digits", "mnist")}
    return each(seeds, exponential, {"exponential inputs": ()}) | each(seeds, third_layer, layers)


@claim(
    "In train mode, one bound holds for the outputs of BatchNorm in every batch.",
    source="source text",
    quantity="growth of the largest output of a batch with one outlier",
    criterion=Method.MEAN.within(0.0, 2.0, seeds=32),  # anything bounded
)
def bn_outputs_bounded(seeds: Seeds) -> Effects:
    def largest(outlier: float, m: int, seed: int) -> float:
        x = shifted_normal(seed, m, 1)
        x[0] = outlier
        return float(nn.BatchNorm1d(1).double()(x).detach().abs().max())

    def growth(outlier: float, m: int, seed: int) -> float:
        return largest(outlier, m, seed) / largest(30.0, 64, seed)

    cases = {"batches of one size, however large an outlier": (3e7, 64), "batches of 64 and of 4096": (3e7, 4096)}
    return each(seeds, growth, cases)


@claim(
    "The only bound on the normalized values of a batch of m is the square root of m - 1, and one outlier attains it.",
    source="derivation",
    quantity="largest normalized value over the square root of m - 1",
    criterion=Method.RANGE.within(0.999, 1 + 1e-9, seeds=32),
)
def bn_bound_attained(seeds: Seeds) -> Effects:
    def largest(norm: BuildNorm, m: int, seed: int) -> float:
        x = shifted_normal(seed, m, 20)
        x[0, 0] = 1e6
        return float(norm(20).double()(x).detach().abs().max()) / math.sqrt(m - 1)

    sizes = {f"m = {m}": (nn.BatchNorm1d, m) for m in (2, 16, 1024)}
    return each(seeds, largest, sizes | {"from scratch, m = 16": (normalization.BatchNorm1d, 16)})


@claim(
    "Over the batch, the gradient with respect to the input of BatchNorm adds up to 0.",
    source="derivation from Ioffe and Szegedy (2015), section 3",
    quantity="sum over the batch, relative to the sum of absolute values; the largest of 20 units",
    criterion=Method.RANGE.within(*ROUNDING, seeds=32),
)
def bn_gradient_sums_to_zero(seeds: Seeds) -> Effects:
    def rest(norm: BuildNorm, seed: int) -> float:
        x = shifted_normal(seed, 16, 20).requires_grad_()
        (gradient,) = torch.autograd.grad(norm(20).double()(x), x, shifted_normal(seed + 1, 16, 20))
        return float((gradient.sum(0).abs() / gradient.abs().sum(0)).max())

    return on_both_layers(seeds, rest)


@claim(
    "A bias before BatchNorm gets no gradient and can be left out.",
    source="Ioffe and Szegedy (2015), section 3.2",
    quantity="norm of the bias's gradient over that of the weight's, largest of three layers",
    criterion=Method.RANGE.within(*ROUNDING, seeds=16),
    data=("digits",),
    preprocessing=("global",),
)
def bn_bias_gets_no_gradient(seeds: Seeds) -> Effects:
    def share(norm: BuildNorm, seed: int) -> float:
        _, found = first_gradients(norm, seed)
        return max(float(found[f"{name}.bias"].norm() / found[f"{name}.weight"].norm()) for name in HIDDEN)

    return on_both_layers(seeds, share)


class _ConstantStatistics(nn.Module):
    """BatchNorm in training mode whose statistics get no gradient."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))

    def forward(self, z: Tensor) -> Tensor:
        mean, var = z.detach().mean(0), z.detach().var(0, correction=0)
        return functional.batch_norm(z, mean, var, self.weight, self.bias)


@claim(
    "The gradient must flow through the batch's statistics: a network that treats both as constants trains worse.",
    source="Ioffe and Szegedy (2015), section 2",
    quantity="final loss at rate 0.1, with constant statistics over with gradient",
    criterion=Method.MEDIAN.within(1.25, math.inf, seeds=9),  # worse by what one would notice
    budget="100 steps of 32 examples",
    **where(IMAGES),
)
def bn_constant_statistics_hurt(seeds: Seeds) -> Effects:
    def ratios(setting: Setting, depth: int) -> list[float]:
        constant, flowing = (
            final_losses([he_network(setting.split(seed), seed, norm, depth=depth) for seed in seeds], steps=100)
            for norm in (_ConstantStatistics, nn.BatchNorm1d)
        )
        return (constant / flowing).tolist()

    places = {
        "digits, one mean for all pixels": Setting("digits", "global"),
        "digits, a mean for each pixel": Setting("digits", "pixel"),
        "MNIST, one mean for all pixels": Setting("mnist", "global"),
        "MNIST, a mean for each pixel": Setting("mnist", "pixel"),
    }
    deep = {f"eight hidden layers, {place}": ratios(setting, 8) for place, setting in places.items()}
    return deep | {"one hidden layer, digits, one mean for all pixels": ratios(DIGITS_GLOBAL, 1)}


@claim(
    "BatchNorm does not break symmetry: hidden units that start with equal weights stay equal.",
    source="derivation",
    quantity="rank of the second layer's weights after 50 steps",
    criterion=Method.RANGE.within(1.0, 1.0, seeds=8),
    budget="50 steps of 32 examples",
    **where([DIGITS_GLOBAL]),
)
def bn_equal_units_stay_equal(seeds: Seeds) -> Effects:
    def rank(norm: BuildNorm, seed: int) -> float:
        net, generator, data = he_network(DIGITS_GLOBAL.split(seed), seed, norm)
        initialize_(net, "constant", val=0.1)
        train_on(data, net, generator, steps=50)
        return float(torch.linalg.matrix_rank(net.get_parameter("linear2.weight"), rtol=1e-9))

    return on_both_layers(seeds, rank)


@claim(
    "After BatchNorm in train mode, a unit's standard deviation is 1, whatever the scale of the weights before it.",
    source="Ioffe and Szegedy (2015), section 3.3",
    quantity="standard deviation of the output",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=16),
)
def bn_invariant_to_scale(seeds: Seeds) -> Effects:
    def deviation(scale: float, seed: int) -> float:
        x = scale * (shifted_normal(seed, 256, 20) - 3) / 2
        return float(nn.BatchNorm1d(20).double()(x).detach().std())

    scales = {"100, far above √ε": 100.0, "1, far above √ε": 1.0, "√ε": 1e-5**0.5, "0.0001, below √ε": 1e-4}
    return each(seeds, deviation, {f"standard deviation {name}": scale for name, scale in scales.items()})
