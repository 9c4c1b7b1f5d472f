"""Claims of Part III: what BatchNorm does in training and inference, and what it buys.

The layers are looked up when a claim is measured: one that stands in for ``nn.BatchNorm1d`` or for the package's own is
measured instead. The claims over many rates or starts use the sweep engine, whose kernel is torch's.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.signal import find_peaks
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.optim.swa_utils import update_bn
from torch.utils.checkpoint import checkpoint

from tutorial_utils import normalization
from tutorial_utils.claims.registry import Effects, Method, claim, seeded
from tutorial_utils.data import Split, digits
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate
from tutorial_utils.runs import grid
from tutorial_utils.sweep import train_many
from tutorial_utils.training import accuracy, train

TRAINING, INFERENCE, GAIN = "09-batchnorm-training", "10-batchnorm-inference", "11-what-batchnorm-buys"
ROUNDING = (0.0, 1e-9)  # what float64 leaves of an equality
EXACT = (1 - 1e-6, 1 + 1e-6)  # the same for a ratio
WIDTH, BATCH = 32, 32
Norm = Callable[..., Any]
Look = Callable[[nn.Module, Tensor, Tensor], float]


def _each(seeds: Sequence[int], measures: Mapping[str, Callable[[int], float]]) -> Effects:
    """Every condition's measure of every seed."""
    return {condition: [float(measure(seed)) for seed in seeds] for condition, measure in measures.items()}


def _both(seeds: Sequence[int], measure: Callable[[Norm, int], float]) -> Effects:
    """The measure for torch's layer and for the one written from scratch."""
    layers = {"torch.nn": nn.BatchNorm1d, "from scratch": normalization.BatchNorm1d}
    return _each(seeds, {name: partial(measure, layer) for name, layer in layers.items()})


def _draw(seed: int, *shape: int) -> Tensor:
    """Values of mean 3 and deviation 2, far from the statistics that a layer starts with."""
    return 3 + 2 * torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def _digits(seed: int, n_train: int = 1437) -> Split:
    """The digits in float64, split by the seed."""
    x_train, y_train, x_test, y_test = digits(n_train, generator=seeded(seed))
    return Split(x_train.double(), y_train, x_test.double(), y_test)


def _network(
    seed: int, norm: Norm | None, *, depth: int = 3, activation: Callable[[], nn.Module] = nn.ReLU, gain: float = 2**0.5
) -> tuple[nn.Sequential, torch.Generator]:
    """A network with He's start, and the generator that goes on to draw batches."""
    g = seeded(seed)
    net = mlp([64] + [WIDTH] * depth + [10], activation, norm=norm).double()
    return initialize_(net, "kaiming_normal", nonlinearity=gain, generator=g), g


def _fit(seed: int, data: Split, *, steps: int = 150, batch_size: int = BATCH, momentum: float = 0.1) -> nn.Sequential:
    """A network with BatchNorm after some training."""
    net, g = _network(seed, partial(nn.BatchNorm1d, momentum=momentum))
    train(net, data.x_train, data.y_train, lr=0.1, steps=steps, batch_size=batch_size, generator=g)
    return net


def _gradients(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The loss's gradient with respect to every parameter, by its name."""
    parameters = dict(net.named_parameters())
    loss = functional.cross_entropy(net(x), y)
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


# Training


@claim(
    "bn-outputs-bounded",
    "In training, normalization is performed on each batch, so that the outputs are bounded.",
    source="source text",
    chapter=TRAINING,
    section="Not bounded",
    quantity="growth of the largest output of a batch with one outlier",
    holds=(0.0, 2.0),  # anything bounded
    method=Method.MEAN,
    seeds=32,
)
def _(seeds: Sequence[int]) -> Effects:
    def largest(outlier: float, m: int, seed: int) -> float:
        x = _draw(seed, m, 1)
        x[0] = outlier
        return float(nn.BatchNorm1d(1).double()(x).detach().abs().max())

    def growth(after: tuple[float, int], seed: int) -> float:
        return largest(*after, seed) / largest(30.0, 64, seed)

    cases = {"the outlier grows a millionfold": (3e7, 64), "the batch grows from 64 to 4096": (3e7, 4096)}
    return _each(seeds, {name: partial(growth, after) for name, after in cases.items()})


@claim(
    "bn-bound-attained",
    "The only bound on the normalized values of a batch of m is the square root of m - 1, and one outlier attains it.",
    source="derivation",
    chapter=TRAINING,
    section="Not bounded",
    quantity="largest normalized value over the square root of m - 1",
    holds=(0.999, 1 + 1e-9),
    method=Method.RANGE,
    seeds=32,
)
def _(seeds: Sequence[int]) -> Effects:
    def largest(norm: Norm, m: int, seed: int) -> float:
        x = _draw(seed, m, 20)
        x[0, 0] = 1e6
        return float(norm(20).double()(x).detach().abs().max()) / math.sqrt(m - 1)

    sizes = {f"m = {m}": partial(largest, nn.BatchNorm1d, m) for m in (2, 16, 1024)}
    return _each(seeds, sizes | {"from scratch, m = 16": partial(largest, normalization.BatchNorm1d, 16)})


@claim(
    "bn-gradient-sums-to-zero",
    "Over the batch, the gradient with respect to the input of BatchNorm adds up to 0.",
    source="derivation from Ioffe and Szegedy (2015), section 3",
    chapter=TRAINING,
    section="What the gradient cannot contain",
    quantity="sum over the batch, relative to the sum of absolute values; the largest of 20 units",
    holds=ROUNDING,
    method=Method.RANGE,
    seeds=32,
)
def _(seeds: Sequence[int]) -> Effects:
    def rest(norm: Norm, seed: int) -> float:
        x = _draw(seed, 16, 20).requires_grad_()
        norm(20).double()(x).backward(_draw(seed + 1, 16, 20))
        assert x.grad is not None
        return float((x.grad.sum(0).abs() / x.grad.abs().sum(0)).max())

    return _both(seeds, rest)


@claim(
    "bn-bias-gets-no-gradient",
    "A bias before BatchNorm gets no gradient and can be left out.",
    source="Ioffe and Szegedy (2015), section 3.2",
    chapter=TRAINING,
    section="What the gradient cannot contain",
    quantity="norm of the bias's gradient over that of the weight's, largest of three layers",
    holds=ROUNDING,
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    x, y, *_ = _digits(seeds[0])

    def share(norm: Norm, seed: int) -> float:
        found = _gradients(_network(seed, norm)[0], x[:64], y[:64])
        layers = ("linear1", "linear2", "linear3")
        return max(float(found[f"{name}.bias"].norm() / found[f"{name}.weight"].norm()) for name in layers)

    return _both(seeds, share)


@claim(
    "bn-weight-orthogonal-to-gradient",
    "A weight before BatchNorm is orthogonal to its gradient.",
    source="Arora, Li and Lyu (2019)",
    chapter=TRAINING,
    section="What the gradient cannot contain",
    quantity="cosine of a unit's weights and their gradient, the largest absolute value in three layers",
    holds=(0.0, 1e-4),  # eps = 1e-5 leaves something
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    x, y, *_ = _digits(seeds[0])

    def cosine(norm: Norm, seed: int) -> float:
        net, _ = _network(seed, norm)
        found = _gradients(net, x[:64], y[:64])
        pairs = [
            (net.get_parameter(name), found[name]) for name in ("linear1.weight", "linear2.weight", "linear3.weight")
        ]
        return max(torch.cosine_similarity(*pair).abs().max().item() for pair in pairs)

    return _both(seeds, cosine)


@claim(
    "bn-constant-statistics-hurt",
    "The gradient must flow through the batch's statistics: a network that treats them as constants trains worse.",
    source="Ioffe and Szegedy (2015), section 2",
    chapter=TRAINING,
    section="If the statistics were constants",
    quantity="final loss at rate 0.1, with constant statistics over with gradient",
    holds=(1.25, math.inf),  # worse by what one would notice
    method=Method.MEDIAN,
    seeds=9,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def final(norm: Norm, depth: int, seed: int) -> float:
        net, g = _network(seed, norm, depth=depth)
        losses = train(net, data.x_train, data.y_train, lr=0.1, steps=100, batch_size=BATCH, generator=g)
        return losses[-20:].mean().item()

    def ratio(depth: int, seed: int) -> float:
        return final(_ConstantStatistics, depth, seed) / final(nn.BatchNorm1d, depth, seed)

    return _each(seeds, {"depth 8": partial(ratio, 8), "depth 1": partial(ratio, 1)})


class _ConstantStatistics(nn.Module):
    """BatchNorm in training mode whose statistics get no gradient."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))

    def forward(self, z: Tensor) -> Tensor:
        mean, var = z.detach().mean(0), z.detach().var(0, correction=0)
        return functional.batch_norm(z, mean, var, self.weight, self.bias)


def _invariant(a: float, seed: int, norm: Norm) -> tuple[nn.Sequential, torch.Generator]:
    """A network all of whose weights, He's times a, stand before a BatchNorm without eps."""
    g, bare = seeded(seed), partial(norm, eps=1e-20, affine=False)
    net = mlp([64, WIDTH, WIDTH, 10], norm=bare, bias=False).append(bare(10)).double()
    return initialize_(net, "kaiming_normal", nonlinearity=2**0.5 * a, generator=g), g


def _curve(a: float, rates: Sequence[float], seed: int, data: Split, norm: Norm, decay: float = 0.0) -> Tensor:
    """The losses of steps with these rates, from a start times a."""
    net, g = _invariant(a, seed, norm)
    step = partial(train, net, data.x_train, data.y_train, steps=1, batch_size=BATCH, weight_decay=decay, generator=g)
    return torch.cat([step(lr=rate) for rate in rates])


@claim(
    "bn-scale-is-a-rate",
    "With BatchNorm, weights times a and the learning rate times a² give the same loss curve.",
    source="van Laarhoven (2017)",
    chapter=TRAINING,
    section="The scale of a weight is a learning rate",
    quantity="largest difference of two loss curves over 40 steps",
    holds=(0.0, 1e-6),
    method=Method.RANGE,
    seeds=8,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def gap(norm: Norm, a: float, seed: int) -> float:
        matched, plain = (_curve(scale, [0.1 * scale**2] * 40, seed, data, norm) for scale in (a, 1.0))
        return float((matched - plain).abs().max())

    scales = {f"a = {a}": partial(gap, nn.BatchNorm1d, a) for a in (0.1, 10.0)}
    return _each(seeds, scales | {"from scratch, a = 10": partial(gap, normalization.BatchNorm1d, 10.0)})


@claim(
    "bn-decay-is-a-growing-rate",
    "With BatchNorm, weight decay does to the function what an exponentially growing learning rate does.",
    source="Li and Arora (2020)",
    chapter=TRAINING,
    section="Weight decay is a learning rate, too",
    quantity="largest difference of two loss curves over 80 steps",
    holds=(0.0, 1e-6),
    method=Method.RANGE,
    seeds=8,
)
def _(seeds: Sequence[int]) -> Effects:
    data, lr, decay, steps = _digits(seeds[0]), 0.5, 0.02, 80
    growing = [lr * (1 - lr * decay) ** (-2 * t - 1) for t in range(steps)]

    def gap(seed: int) -> float:
        decayed = _curve(1.0, [lr] * steps, seed, data, nn.BatchNorm1d, decay)
        return float((_curve(1.0, growing, seed, data, nn.BatchNorm1d) - decayed).abs().max())

    return _each(seeds, {"all weights before a BatchNorm": gap})


@claim(
    "bn-decay-equilibrium",
    "With BatchNorm and weight decay, every step turns the weights by √(2ηλ) in the long run, whatever their start.",
    source="Wan et al. (2021)",
    chapter=TRAINING,
    section="Weight decay is a learning rate, too",
    quantity="angle of a step of the first layer over √(2ηλ), mean of steps 150 to 200",
    holds=(0.75, 1.25),
    method=Method.MEAN,
    seeds=8,
)
def _(seeds: Sequence[int]) -> Effects:
    data, lr, decay = _digits(seeds[0]), 0.5, 0.04

    def angle(a: float, seed: int) -> float:
        (net, g), weights = _invariant(a, seed, nn.BatchNorm1d), []
        sgd = partial(train, net, data.x_train, data.y_train, lr=lr, weight_decay=decay, batch_size=BATCH, generator=g)
        sgd(steps=150)
        for _ in range(50):
            sgd(steps=1)
            weights.append(net.get_parameter("linear1.weight").detach().flatten().clone())
        w = torch.stack(weights)
        return float(torch.cosine_similarity(w[1:], w[:-1]).acos().mean()) / math.sqrt(2 * lr * decay)

    return _each(seeds, {f"start times {a}": partial(angle, a) for a in (0.3, 3.0)})


@claim(
    "bn-equal-units-stay-equal",
    "BatchNorm does not break symmetry: units that start with equal weights stay equal.",
    source="derivation",
    chapter=TRAINING,
    section="What breaks it",
    quantity="rank of the second layer's weights after 50 steps",
    holds=(1.0, 1.0),
    method=Method.RANGE,
    seeds=8,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def rank(norm: Norm, seed: int) -> float:
        net, g = _network(seed, norm)
        initialize_(net, "constant", val=0.1)
        train(net, data.x_train, data.y_train, lr=0.1, steps=50, batch_size=BATCH, generator=g)
        return float(torch.linalg.matrix_rank(net.get_parameter("linear2.weight"), rtol=1e-9))

    return _both(seeds, rank)


@claim(
    "bn-invariant-to-scale",
    "Behind BatchNorm the deviation is 1, whatever the scale of the weights before it.",
    source="Ioffe and Szegedy (2015), section 3.3",
    chapter=TRAINING,
    section="What breaks it",
    quantity="deviation of the output",
    holds=(0.95, 1.05),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    def deviation(scale: float, seed: int) -> float:
        x = scale * (_draw(seed, 256, 20) - 3) / 2
        return float(nn.BatchNorm1d(20).double()(x).detach().std())

    inputs = {"100": 100.0, "1": 1.0, "√eps": 1e-5**0.5, "0.0001": 1e-4}
    return _each(seeds, {f"input of deviation {name}": partial(deviation, scale) for name, scale in inputs.items()})


@claim(
    "bn-makes-gaussian",
    "BatchNorm makes the activations Gaussian.",
    source="folklore",
    chapter=TRAINING,
    section="What it changes",
    quantity="distance of the standardized fourth moment from a Gaussian's, behind BatchNorm over before it",
    holds=(0.0, 0.5),  # it removes half of what is not Gaussian
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    x = _digits(seeds[0]).x_train[:512]

    def distance(values: Tensor) -> float:
        centered = values - values.mean(0)
        return float((centered.pow(4).mean(0) / centered.square().mean(0) ** 2 - 3).abs().mean())

    def left(values: Tensor) -> float:
        return distance(nn.BatchNorm1d(WIDTH).double()(values).detach()) / distance(values)

    def hidden(seed: int) -> float:
        return left(_network(seed, None)[0][:5](x).detach())

    def skewed(seed: int) -> float:
        uniform = torch.rand(2048, WIDTH, generator=seeded(seed), dtype=torch.float64)
        return left(-torch.log1p(-uniform))

    return _each(seeds, {"exponential inputs": skewed, "layer 3 of a network, digits": hidden})


# Inference


def _normalized(net: nn.Module) -> list[Any]:
    """The layers with running statistics, whichever class they have."""
    return [module for module in net.modules() if hasattr(module, "running_var")]


def _recalibrated(net: nn.Module, x: Tensor) -> nn.Module:
    """A copy in eval mode whose statistics are averages over batches of x with frozen weights."""
    fresh, whole = copy.deepcopy(net), len(x) // 128 * 128
    update_bn(x[:whole].split(128), fresh)
    return fresh.eval()


@torch.no_grad()
def _classes(net: nn.Module, x: Tensor, order: Tensor, m: int) -> Tensor:
    """The classes of all images if batches of m, cut from this order, are normalized by their own statistics."""
    net, out = copy.deepcopy(net).train(), torch.empty(len(x), dtype=torch.long)
    for batch in order[: len(order) // m * m].split(m):
        out[batch] = net(x[batch]).argmax(1)
    return out


def _by_batches(net: nn.Module, x: Tensor, y: Tensor, order: Tensor, m: int) -> float:
    """Accuracy with batch statistics, over whole batches."""
    used = order[: len(order) // m * m]
    return float((_classes(net, x, order, m) == y)[used].double().mean())


@claim(
    "bn-modes-differ-on-one-batch",
    "Even on the batch that the statistics were taken from, both modes differ by the factor √((m - 1)/m).",
    source="Ioffe and Szegedy (2015), algorithm 2",
    chapter=INFERENCE,
    section="Fixed statistics",
    quantity="output in eval mode over output in training mode, relative to √((m - 1)/m)",
    holds=EXACT,
    method=Method.RANGE,
    seeds=32,
)
def _(seeds: Sequence[int]) -> Effects:
    def ratio(norm: Norm, m: int, seed: int) -> float:
        layer, x = norm(1, eps=1e-12, momentum=1.0).double(), _draw(seed, m, 1)
        trained, evaluated = layer(x).detach(), layer.eval()(x).detach()
        return float((evaluated * trained).sum() / trained.square().sum()) / math.sqrt((m - 1) / m)

    sizes = {f"m = {m}": partial(ratio, nn.BatchNorm1d, m) for m in (2, 8, 64)}
    return _each(seeds, sizes | {"from scratch, m = 8": partial(ratio, normalization.BatchNorm1d, 8)})


@claim(
    "bn-running-var-unbiased",
    "The running variance estimates the variance without bias, however small the batches are.",
    source="Ioffe and Szegedy (2015), algorithm 2",
    chapter=INFERENCE,
    section="Fixed statistics",
    quantity="running variance over the true one, average of 100 units after 100 batches of 4",
    holds=(0.95, 1.05),  # dividing by m would give 0.75
    method=Method.MEAN,
    seeds=12,
)
def _(seeds: Sequence[int]) -> Effects:
    def ratio(norm: Norm, seed: int) -> float:
        layer = norm(100).double()
        for batch in _draw(seed, 100, 4, 100):
            layer(batch)
        return float(layer.running_var.mean()) / 4

    return _both(seeds, ratio)


@claim(
    "bn-moving-averages-suffice",
    "Before inference, fix the mean and the variance by moving averages over the minibatches of training.",
    source="source text",
    chapter=INFERENCE,
    section="Warm-up and recalibration",
    quantity="test accuracy with moving averages, less that with averages over frozen weights",
    unit="points",
    holds=(-2.0, 100.0),
    method=Method.MEAN,
    seeds=9,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def gain(steps: int, momentum: float, seed: int) -> float:
        net = _fit(seed, data, steps=steps, momentum=momentum)
        return -_gain_of_recalibration(net, data)

    kinds = {"150 steps, momentum 0.1": (150, 0.1), "20 steps, momentum 0.01": (20, 0.01)}
    return _each(seeds, {name: partial(gain, *kind) for name, kind in kinds.items()})


def _gain_of_recalibration(net: nn.Module, data: Split) -> float:
    fresh = _recalibrated(net, data.x_train)
    return 100 * (accuracy(fresh, data.x_test, data.y_test) - accuracy(net.eval(), data.x_test, data.y_test))


@claim(
    "bn-recalibration-helps",
    "Recomputing the statistics with frozen weights makes evaluation more accurate.",
    source="Wu and Johnson (2021)",
    chapter=INFERENCE,
    section="Warm-up and recalibration",
    quantity="gain in test accuracy, PyTorch's default momentum",
    unit="points",
    holds=(1.0, 100.0),
    method=Method.MEAN,
    seeds=64,
    after_looking="the smallest gain that counts: one point instead of two",
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def gain(steps: int, seed: int) -> float:
        return _gain_of_recalibration(_fit(seed, data, steps=steps), data)

    return _each(seeds, {f"after {steps} steps": partial(gain, steps) for steps in (10, 150)})


@claim(
    "bn-eval-uses-the-whole-set",
    "In eval mode, BatchNorm uses the mean of the whole training set.",
    source="folklore",
    chapter=INFERENCE,
    section="Three libraries, one data set",
    quantity="running mean over the mean of the data, average of 100 units",
    holds=(0.95, 1.05),
    method=Method.MEAN,
    seeds=12,
)
def _(seeds: Sequence[int]) -> Effects:
    def ratio(batches: int, momentum: float | None, seed: int) -> float:
        layer = nn.BatchNorm1d(100, momentum=momentum).double()
        for batch in _draw(seed, batches, 8, 100):
            layer(batch)
        return float(layer.running_mean.mean()) / 3 if layer.running_mean is not None else math.nan

    kinds: dict[str, tuple[int, float | None]] = {
        "after 10 batches": (10, 0.1),
        "after 100 batches": (100, 0.1),
        "after 10 batches, momentum=None": (10, None),
    }
    return _each(seeds, {name: partial(ratio, *kind) for name, kind in kinds.items()})


@claim(
    "bn-weight-of-the-start",
    "After t batches, the start of the running statistics keeps the weight 0.9 to the power of t.",
    source="PyTorch docs",
    chapter=INFERENCE,
    section="Fixed statistics",
    quantity="measured weight over 0.9 to the power of t",
    holds=EXACT,
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    def weight(norm: Norm, t: int, seed: int) -> float:
        layers = [norm(1).double() for _ in range(2)]
        layers[1].running_mean += 1
        for batch in _draw(seed, t, 8, 1):
            for layer in layers:
                layer(batch)
        return float(layers[1].running_mean - layers[0].running_mean) / 0.9**t

    cases: dict[str, tuple[Norm, int]] = {"t = 10": (nn.BatchNorm1d, 10), "t = 44": (nn.BatchNorm1d, 44)}
    cases["from scratch, t = 10"] = normalization.BatchNorm1d, 10
    return _each(seeds, {name: partial(weight, *case) for name, case in cases.items()})


@claim(
    "bn-momentum-conventions",
    "PyTorch's momentum of 0.1 is the 0.9 of Keras and Flax: both leave the old value the weight 0.9.",
    source="PyTorch docs and Keras docs",
    chapter=INFERENCE,
    section="Three libraries, one data set",
    quantity="largest deviation of PyTorch's running mean from Keras' rule, over 20 batches",
    holds=ROUNDING,
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    def deviation(norm: Norm, seed: int) -> float:
        layer, moving, largest = norm(5).double(), torch.zeros(5, dtype=torch.float64), 0.0
        for batch in _draw(seed, 20, 8, 5):
            layer(batch)
            moving = 0.9 * moving + (1 - 0.9) * batch.mean(0)
            largest = max(largest, float((layer.running_mean - moving).abs().max()))
        return largest

    return _both(seeds, deviation)


@claim(
    "bn-momentum-none-is-algorithm-2",
    "With momentum=None the running statistics are those of algorithm 2: averages, the variance times m/(m - 1).",
    source="PyTorch docs; Ioffe and Szegedy (2015), algorithm 2",
    chapter=INFERENCE,
    section="Fixed statistics",
    quantity="largest difference of a mean or a variance",
    holds=ROUNDING,
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    def gap(norm: Norm, seed: int) -> float:
        layer, batches = norm(5, momentum=None).double(), _draw(seed, 30, 8, 5)
        for batch in batches:
            layer(batch)
        mean, var = batches.mean((0, 1)), 8 / 7 * batches.var(1, correction=0).mean(0)
        return float(torch.cat([layer.running_mean - mean, layer.running_var - var]).abs().max())

    return _both(seeds, gap)


@claim(
    "bn-fixed-statistics-are-deterministic",
    "With a fixed mean and variance the result of inference is deterministic.",
    source="source text",
    chapter=INFERENCE,
    section="One image, a hundred batches",
    quantity="largest change of a probability when an image gets other companions",
    holds=ROUNDING,
    method=Method.RANGE,
    seeds=8,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def change(seed: int) -> float:
        net, x = _fit(seed, data, steps=60).eval(), data.x_test
        with torch.no_grad():
            pairs = [(net(x[:8]).softmax(1), net(x[n : n + 8]).softmax(1)) for n in range(1, 8)]
        return max(float((a[n:] - b[:-n]).abs().max()) for n, (a, b) in enumerate(pairs, 1))

    return _each(seeds, {"eval mode": change})


@claim(
    "bn-companions-decide",
    "With batch statistics the class of most images depends on which others are in their batch of 8.",
    source="this book; cf. Ioffe and Szegedy (2015), section 3.1",
    chapter=INFERENCE,
    section="One image, a hundred batches",
    quantity="share of the test images whose class changes over 20 orders",
    holds=(0.5, 1.0),
    method=Method.MEAN,
    seeds=8,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def share(seed: int) -> float:
        net, g = _fit(seed, data), seeded(seed)
        orders = [torch.randperm(360, generator=g) for _ in range(20)]
        classes = torch.stack([_classes(net, data.x_test, order, 8) for order in orders])
        return float((classes != classes[0]).any(0).double().mean())

    return _each(seeds, {"batches of 8": share})


@claim(
    "bn-test-batch-statistics-are-wrong",
    "Normalizing by the values that are input during inference is wrong.",
    source="source text",
    chapter=INFERENCE,
    section="The gap between the modes",
    quantity="test accuracy that batch statistics cost against eval mode",
    unit="points",
    holds=(2.0, 100.0),  # wrong: it costs what one would notice
    method=Method.MEAN,
    seeds=9,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])
    y, nets = data.y_test, {seed: _fit(seed, data) for seed in seeds}

    def cost(m: int, brightness: float, by_class: bool, seed: int) -> float:
        net, x = nets[seed], data.x_test + brightness
        order = y.argsort(stable=True) if by_class else torch.randperm(360, generator=seeded(seed))
        return 100 * (accuracy(net.eval(), x, y) - _by_batches(net, x, y, order, m))

    cases = {"batches of 4": (4, 0.0, False), "batches of 120": (120, 0.0, False)}
    cases |= {"batches of 36, sorted by class": (36, 0.0, True), "batches of 36, brighter images": (36, 2.0, False)}
    return _each(seeds, {name: partial(cost, *case) for name, case in cases.items()})


@claim(
    "bn-batch-statistics-undo-a-shift",
    "If the test images are shifted, the batch's statistics are more accurate than the fixed ones.",
    source="Nado et al. (2020)",
    chapter=INFERENCE,
    section="When batch statistics help",
    quantity="gain in test accuracy by statistics of batches of 36",
    unit="points",
    holds=(2.0, 100.0),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])
    nets = {seed: _fit(seed, data) for seed in seeds}

    def gain(noise: bool, seed: int) -> float:
        net, g = nets[seed], seeded(seed)
        x = data.x_test + (torch.randn(360, 64, generator=g, dtype=torch.float64) if noise else 2)
        batches = _by_batches(net, x, data.y_test, torch.randperm(360, generator=g), 36)
        return 100 * (batches - accuracy(net.eval(), x, data.y_test))

    return _each(seeds, {"brighter images": partial(gain, False), "noisy images": partial(gain, True)})


@claim(
    "bn-folds-exactly",
    "BatchNorm can be folded exactly into the layer before it.",
    source="folklore; PyTorch docs: in eval mode",
    chapter=INFERENCE,
    section="Folding",
    quantity="largest difference of the outputs, relative to the largest output",
    holds=ROUNDING,
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    def gap(kind: str, mode: bool, seed: int) -> float:
        linear = kind == "Linear"
        layer: Any = nn.Linear(6, 8) if linear else nn.Conv2d(6, 8, 3)
        norm: Any = nn.BatchNorm1d(8) if linear else nn.BatchNorm2d(8)
        net = initialize_(nn.Sequential(layer, norm), "kaiming_normal", generator=seeded(seed)).double()
        x = _draw(seed + 1, *((32, 6) if linear else (32, 6, 5, 5)))
        net(x)  # moves the running statistics
        fuse: Any = fuse_linear_bn_eval if linear else fuse_conv_bn_eval
        folded, expected = fuse(*net.eval())(x).detach(), net.train(mode)(x).detach()
        return float((folded - expected).abs().max() / expected.abs().max())

    cases = {f"{kind}, eval mode": partial(gap, kind, False) for kind in ("Linear", "Conv2d")}
    return _each(seeds, cases | {"Linear, training mode": partial(gap, "Linear", True)})


@claim(
    "bn-accumulation-is-a-larger-batch",
    "Accumulating the gradients of small batches gives the gradient of one large batch.",
    source="folklore",
    chapter=INFERENCE,
    section="9. Gradient accumulation",
    quantity="difference of the gradients, relative to that of one batch of 32",
    holds=(0.0, 1e-6),
    method=Method.MEDIAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    x, y, *_ = _digits(seeds[0])

    def gradient(net: nn.Module, parts: int) -> Tensor:
        found = [_gradients(net, x[part], y[part]) for part in torch.arange(32).chunk(parts)]
        return torch.cat([torch.stack([one[name] for one in found]).mean(0).flatten() for name in found[0]])

    def off(norm: Norm, parts: int, seed: int) -> float:
        net, _ = _network(seed, norm, depth=1)
        whole = gradient(net, 1)
        return float((gradient(net, parts) - whole).norm() / whole.norm())

    cases = {"LayerNorm, 4 × 8": (nn.LayerNorm, 4), "BatchNorm, 4 × 8": (nn.BatchNorm1d, 4)}
    cases["BatchNorm, 16 × 2"] = (nn.BatchNorm1d, 16)
    return _each(seeds, {name: partial(off, *case) for name, case in cases.items()})


@claim(
    "bn-checkpointing-updates-twice",
    "With activation checkpointing the running statistics are updated twice in every step.",
    source="folklore",
    chapter=INFERENCE,
    section="12. Activation checkpointing",
    quantity="updates in one step, from how far the running mean has moved",
    holds=(2 - 1e-6, 2 + 1e-6),
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    def updates(norm: Norm, reentrant: bool, seed: int) -> float:
        layer, x = norm(1).double(), _draw(seed, 16, 1).requires_grad_()
        checkpoint(layer, x, use_reentrant=reentrant).sum().backward()
        left = 1 - layer.running_mean / x.detach().mean()
        return float(left.log()) / math.log(0.9)

    cases = {f"use_reentrant={flag}": partial(updates, nn.BatchNorm1d, flag) for flag in (True, False)}
    return _each(seeds, cases | {"from scratch": partial(updates, normalization.BatchNorm1d, False)})


@claim(
    "bn-frozen-by-flags",
    "Switching gradients off freezes BatchNorm.",
    source="folklore",
    chapter=INFERENCE,
    section="5. Frozen, but not",
    quantity="how far the running mean moves in one call",
    holds=ROUNDING,
    method=Method.RANGE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    def moves(flag: bool, gradients: bool, seed: int) -> float:
        layer: Any = nn.BatchNorm1d(5).double().requires_grad_(flag)
        with torch.set_grad_enabled(gradients):
            layer(_draw(seed, 16, 5))
        return float(layer.running_mean.norm())

    cases = {"requires_grad_(False)": (False, True), "no_grad()": (True, False)}
    return _each(seeds, {name: partial(moves, *case) for name, case in cases.items()})


@claim(
    "bn-batch-of-two-fails",
    "In batches of 2, BatchNorm's error is far above that of a normalization that looks at one example.",
    source="Wu and He (2018), abstract",
    chapter=INFERENCE,
    section="4. A batch of two",
    quantity="test accuracy with LayerNorm, less that with BatchNorm",
    unit="points",
    holds=(10.0, 100.0),  # the abstract's difference is 10.6
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    axes = {"norm": ["batch", "layer"], "batch_size": 2, "seed": list(seeds), "depth": 3, "width": WIDTH}
    score = _paired(train_many(axes, _digits(seeds[0]), steps=150).table, "test_accuracy")
    return {"": list(100 * (score["layer"] - score["batch"]))}


# What it buys


def _paired(table: pd.DataFrame, figure: str) -> pd.DataFrame:
    """One figure of a sweep, a column for each norm and a row for each seed."""
    return table.pivot(index="seed", columns="norm", values=figure)


@claim(
    "bn-free-from-initialization",
    "BatchNorm makes us relatively free from initializing the parameters.",
    source="source text",
    chapter=GAIN,
    section="Less dependence on the start",
    quantity="share of starts from which 150 steps reach 90 percent of the test digits",
    holds=(0.5, 1.0),
    method=Method.SHARE,
    seeds=16,
)
def _(seeds: Sequence[int]) -> Effects:
    starts: dict[str, dict[str, Any]] = {
        "He's start times 0.1": {"scale": 0.1},
        "He's start times 10": {"scale": 10.0},
        "He's start times 1000": {"scale": 1000.0},
        "all weights equal": {"scheme": "constant", "scale": 0.1},
    }
    common = {"norm": "batch", "depth": 3, "width": WIDTH, "batch_size": BATCH, "seed": list(seeds)}
    runs = [run for start in starts.values() for run in grid(**common, **start)]
    good = train_many(runs, _digits(seeds[0]), steps=150).table.test_accuracy >= 0.9
    return dict(zip(starts, good.to_numpy(float).reshape(len(starts), -1).tolist(), strict=True))


def _over_rates(seeds: Sequence[int], **axes: Any) -> Any:
    """Train with and without BatchNorm over learning rates from 0.06 to 16."""
    rates = 2.0 ** np.arange(-4, 5)
    common = {"width": WIDTH, "batch_size": BATCH, "seed": list(seeds), "norm": ["none", "batch"], "lr": rates}
    return train_many(common | axes, _digits(seeds[0]), steps=90)


@claim(
    "bn-larger-learning-rate",
    "With BatchNorm the learning rate can be increased.",
    source="source text",
    chapter=GAIN,
    section="A larger learning rate",
    quantity="largest rate that reaches 80 percent of the test digits in 90 steps, with BatchNorm over without",
    holds=(1.5, math.inf),
    method=Method.MEDIAN,
    seeds=9,
    after_looking="the accuracy that a usable rate reaches, and the number of steps",
)
def _(seeds: Sequence[int]) -> Effects:
    effects = {}
    for name, axes in {"ReLU": {}, "tanh": {"activation": "tanh", "scheme": "xavier_normal"}}.items():
        table = _over_rates(seeds, depth=3, **axes).table
        usable = table[table.test_accuracy >= 0.8].groupby(["seed", "norm"]).lr.max().unstack().reindex(seeds)
        effects[f"{name}, depth 3"] = list(usable["batch"] / usable["none"])
    return effects


@claim(
    "bn-fourteen-times-fewer-steps",
    "With BatchNorm and a larger learning rate, training needs 14 times fewer steps.",
    source="Ioffe and Szegedy (2015), section 4.2",
    chapter=GAIN,
    section="A larger learning rate",
    quantity="steps until the loss falls below 0.5, each at its best rate, without BatchNorm over with",
    holds=(10.0, 20.0),
    method=Method.MEDIAN,
    seeds=9,
)
def _(seeds: Sequence[int]) -> Effects:
    sweep = _over_rates(seeds, depth=5)
    smooth = np.lib.stride_tricks.sliding_window_view(sweep.losses, 5, axis=1).mean(-1)
    reached = smooth < 0.5
    first = np.where(reached.any(1), reached.argmax(1), np.inf)
    best = sweep.table.assign(first=first).groupby(["seed", "norm"])["first"].min().unstack()
    return {"ReLU, depth 5": list(best["none"] / best["batch"])}


@claim(
    "bn-less-dependence-on-the-start",
    "With BatchNorm, training depends less on the initial values of the weights.",
    source="source text",
    chapter=GAIN,
    section="Less dependence on the start",
    quantity="decades of scales of the start that reach 90 percent of the test digits, with BatchNorm less without",
    unit="decades",
    holds=(0.5, math.inf),
    method=Method.MEAN,
    seeds=12,
)
def _(seeds: Sequence[int]) -> Effects:
    scales = 10.0 ** np.arange(-2, 2.5, 0.5)
    axes = {"depth": 5, "width": WIDTH, "batch_size": BATCH, "seed": list(seeds), "scale": scales}
    table = train_many(axes | {"norm": ["none", "batch"]}, _digits(seeds[0]), steps=100).table
    good = table.assign(good=0.5 * (table.test_accuracy >= 0.9)).groupby(["seed", "norm"]).good.sum().unstack()
    return {"ReLU, depth 5, rate 0.1": list(good["batch"] - good["none"])}


@claim(
    "bn-less-overfitting",
    "BatchNorm reduces the risk of overfitting.",
    source="source text",
    chapter=GAIN,
    section="Less overfitting",
    quantity="gap between training and test accuracy from 200 images, with BatchNorm less without",
    unit="points",
    holds=(-100.0, -1.0),  # by a point, more than the noise of a few seeds
    method=Method.MEAN,
    seeds=16,
    after_looking="the point that counts as less; at zero the verdict depends on the seeds",
)
def _(seeds: Sequence[int]) -> Effects:
    rates = [0.03, 0.1, 0.3, 1.0]
    axes = {"depth": 3, "width": WIDTH, "batch_size": BATCH, "norm": ["none", "batch"], "lr": rates}
    tables = [train_many(axes | {"seed": seed}, _digits(seed, 200), steps=150).table for seed in seeds]
    table = pd.concat(tables, ignore_index=True)
    table["gap"] = 100 * (table.train_accuracy - table.test_accuracy)
    best = table.loc[table.groupby(["seed", "norm"]).test_accuracy.idxmax()]
    chosen = {f"both at rate {lr}": table[table.lr == lr] for lr in (0.03, 0.1)} | {"each at its best rate": best}
    gaps = {condition: _paired(rows, "gap") for condition, rows in chosen.items()}
    return {condition: list(gap["batch"] - gap["none"]) for condition, gap in gaps.items()}


def _stepped(net: nn.Module, x: Tensor, y: Tensor, lr: float, *, until: str | None = None) -> nn.Module:
    """A copy, one step of gradient descent further; with ``until``, only in the parameters before that one."""
    moved, gradients = copy.deepcopy(net), _gradients(net, x, y)
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name == until:
                break
            parameter.sub_(lr * gradients[name])
    return moved


def _during(
    norm: Norm | None, data: Split, seed: int, looks: Mapping[str, Look], *, stops: int = 4, **options: Any
) -> dict[str, float]:
    """The medians of what looks see after 16, 32, ... steps at rate 0.1, or with no stops at the start."""
    (net, g), seen = _network(seed, norm, **{"depth": 4} | options), []
    for _ in range(max(stops, 1)):
        if stops:
            train(net, data.x_train, data.y_train, lr=0.1, steps=16, batch_size=BATCH, generator=g)
        batch = torch.randint(len(data.x_train), (128,), generator=g)
        seen.append([look(net, data.x_train[batch], data.y_train[batch]) for look in looks.values()])
    return dict(zip(looks, np.median(seen, axis=0).tolist(), strict=True))


def _against_none(
    seeds: Sequence[int], norm: Callable[[int], Norm], looks: Mapping[str, Look], **options: Any
) -> Effects:
    """What the looks see with a normalization, over what they see without."""
    data = _digits(seeds[0])
    pairs = [[_during(kind, data, seed, looks, **options) for kind in (norm(seed), None)] for seed in seeds]
    return {name: [normed[name] / plain[name] for normed, plain in pairs] for name in looks}


def _batch_norm(seed: int) -> Norm:
    return nn.BatchNorm1d


def _noisy(seed: int) -> Norm:
    return partial(_Noisy, generator=seeded(seed))


def _vector(gradients: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients.values()])


def _loss_range(net: nn.Module, x: Tensor, y: Tensor) -> float:
    losses = [functional.cross_entropy(_stepped(net, x, y, lr)(x), y).item() for lr in (0.0, 0.05, 0.1, 0.2, 0.4)]
    return max(losses) - min(losses)


def _gradient_change(relative: bool, net: nn.Module, x: Tensor, y: Tensor) -> float:
    first = _vector(_gradients(net, x, y))
    changes = [(_vector(_gradients(_stepped(net, x, y, lr), x, y)) - first).norm() for lr in (0.05, 0.1, 0.2, 0.4)]
    return float(max(changes) / (first.norm() if relative else 1))


@claim(
    "bn-smoother-loss",
    "BatchNorm makes the loss smoother along the gradient: the loss and its gradient change less.",
    source="Santurkar et al. (2018), figure 4",
    chapter=GAIN,
    section="A smoother loss",
    quantity="change along the gradient up to four times the rate 0.1, with BatchNorm over without",
    holds=(0.0, 1.0),
    method=Method.MEDIAN,
    seeds=9,
    after_looking="the state before training was added after chapter 11 had shown no gain there",
)
def _(seeds: Sequence[int]) -> Effects:
    looks: dict[str, Look] = {"range of the loss": _loss_range}
    looks["change of the gradient"] = partial(_gradient_change, False)
    looks["change relative to the gradient"] = partial(_gradient_change, True)
    first: dict[str, Look] = {"range of the loss, before training": _loss_range}
    return {**_against_none(seeds, _batch_norm, looks), **_against_none(seeds, _batch_norm, first, stops=0)}


def _means_shift(layer: str, net: nn.Module, x: Tensor, y: Tensor) -> float:
    """How far the means of a layer's inputs move, in their deviations, when the layers before it learn."""
    after = _stepped(net, x, y, 0.1, until=f"{layer}.weight")
    assert isinstance(net, nn.Sequential) and isinstance(after, nn.Sequential)
    layers = list(dict(net.named_children())).index(layer)
    old, new = (model[:layers](x).detach() for model in (net, after))
    return float(((new.mean(0) - old.mean(0)).abs() / old.std(0)).nanmedian())


def _gradient_shift(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """How far a layer's gradient moves, relative to itself, when the layers before it learn."""
    after = _stepped(net, x, y, 0.1, until="linear3.weight")
    old, new = (_gradients(model, x, y)["linear3.weight"] for model in (net, after))
    return float((new - old).norm() / old.norm())


@claim(
    "bn-less-covariate-shift",
    "BatchNorm prevents the internal covariate shift: what a layer sees changes less when those before it learn.",
    source="source text; Ioffe and Szegedy (2015), section 2",
    chapter=GAIN,
    section="Is it the covariate shift?",
    quantity="shift in one step at rate 0.1, with BatchNorm over without",
    holds=(0.0, 1.0),
    method=Method.MEDIAN,
    seeds=9,
)
def _(seeds: Sequence[int]) -> Effects:
    looks: dict[str, Look] = {"means of the inputs": partial(_means_shift, "linear3")}
    looks["gradient of the layer"] = _gradient_shift
    linear: dict[str, Look] = {"gradient of the layer, linear network": _gradient_shift}
    return {
        **_against_none(seeds, _batch_norm, looks),
        **_against_none(seeds, _batch_norm, linear, activation=nn.Identity, gain=1.0),
    }


class _Noisy(nn.Module):
    """BatchNorm, then a shift and a factor that are new for each unit in every training step."""

    def __init__(self, features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.norm, self.generator = nn.BatchNorm1d(features), generator

    def forward(self, z: Tensor) -> Tensor:
        noise = torch.rand(2, z.shape[1], generator=self.generator, dtype=z.dtype)
        return (1 + noise[0] / 2).mul(self.norm(z)) + noise[1] - 0.5


@claim(
    "bn-noise-shifts-more",
    "With noise behind BatchNorm, the distributions of a layer's inputs shift more than without normalization.",
    source="Santurkar et al. (2018), section 2",
    chapter=GAIN,
    section="Is it the covariate shift?",
    quantity="shift of the means of the inputs in one step at rate 0.1, noisy BatchNorm over no normalization",
    holds=(1.0, math.inf),
    method=Method.MEDIAN,
    seeds=16,
    after_looking="the last layer of nine was added after chapter 11 had shown less shift there",
)
def _(seeds: Sequence[int]) -> Effects:
    third: dict[str, Look] = {"third layer of five": partial(_means_shift, "linear3")}
    last: dict[str, Look] = {"last layer of nine": partial(_means_shift, "linear9")}
    return {**_against_none(seeds, _noisy, third), **_against_none(seeds, _noisy, last, depth=8)}


@claim(
    "bn-noise-keeps-the-gain",
    "BatchNorm trains better than no normalization even if noise keeps its outputs' distributions shifting.",
    source="Santurkar et al. (2018), section 2",
    chapter=GAIN,
    section="Is it the covariate shift?",
    quantity="final loss, noisy BatchNorm over no normalization",
    holds=(0.0, 1.0),
    method=Method.MEDIAN,
    seeds=9,
    after_looking="the two depths and rates were picked from a table over other seeds, one for each outcome",
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def final(norm: Norm | None, depth: int, lr: float, seed: int) -> float:
        net, g = _network(seed, norm, depth=depth)
        losses = train(net, data.x_train, data.y_train, lr=lr, steps=100, batch_size=BATCH, generator=g)
        return float(losses[-20:].mean().nan_to_num(math.log(10)))  # what has diverged can only guess

    def ratio(depth: int, lr: float, seed: int) -> float:
        return final(_noisy(seed), depth, lr, seed) / final(None, depth, lr, seed)

    return _each(seeds, {f"{depth} layers, rate {lr}": partial(ratio, depth, lr) for depth, lr in ((3, 0.1), (5, 0.3))})


@claim(
    "bn-fewer-dents",
    "Normalization reduces the dents of local minima.",
    source="source text",
    chapter=GAIN,
    section="A smoother loss",
    quantity="height of the highest barrier of the training loss on a line, with BatchNorm less without",
    holds=(-math.inf, -0.1),  # the loss of guessing is 2.3
    method=Method.MEAN,
    seeds=64,
    after_looking="the third kind of line, between two solutions, was added after the first two had shown no barrier",
)
def _(seeds: Sequence[int]) -> Effects:
    data = _digits(seeds[0])

    def trained(norm: Norm | None, seed: int) -> tuple[nn.Module, list[Tensor], list[Tensor]]:
        net, g = _network(seed, norm)
        start = [parameter.detach().clone() for parameter in net.parameters()]
        train(net, data.x_train, data.y_train, lr=0.1, steps=100, batch_size=BATCH, generator=g)
        return net, start, [parameter.detach().clone() for parameter in net.parameters()]

    def heights(norm: Norm | None, seed: int) -> list[float]:
        (net, start, end), (_, _, other) = (
            trained(norm, seed),
            trained(norm, seed + 1_000_000),
        )  # no other seed's network
        drawn = [torch.randn(p.shape, generator=seeded(seed), dtype=p.dtype) for p in end]
        beyond = [p + d * p.norm() / d.norm() for p, d in zip(end, drawn, strict=True)]
        return [_barrier(net, end, target, data) for target in (start, beyond, other)]

    pairs = [zip(heights(nn.BatchNorm1d, seed), heights(None, seed), strict=True) for seed in seeds]
    differences = np.array([[normed - plain for normed, plain in pair] for pair in pairs])
    names = ("from the start", "in a random direction", "between two solutions")
    return dict(zip(names, differences.T.tolist(), strict=True))


@torch.no_grad()
def _barrier(net: nn.Module, origin: list[Tensor], target: list[Tensor], data: Split) -> float:
    """The height of the highest local maximum of the training loss between two points, above its higher foot."""
    losses = []
    for t in np.linspace(0, 1, 31).tolist():
        for parameter, a, b in zip(net.parameters(), origin, target, strict=True):
            parameter.copy_(a + t * (b - a))
        losses.append(functional.cross_entropy(net(data.x_train[:512]), data.y_train[:512]).item())
    return float(max(find_peaks(losses, prominence=0)[1]["prominences"], default=0.0))


def _growth(
    norm: Norm | None, activation: Callable[[], nn.Module], seed: int, *, width: int = 128, m: int = 512
) -> float:
    """The factor by which the gradient's second moment grows per layer, from layer 11 back to layer 3."""
    net = initialize_(mlp([64] + [width] * 12 + [10], activation, norm=norm), "kaiming_normal", generator=seeded(seed))
    x, target = _draw(seed + 1, m, 64), torch.arange(m) % 10
    table = propagate(net.double(), x, lambda out: functional.cross_entropy(out, target), layers=(nn.Linear,))
    moments = table.set_index("layer").grad_second_moment
    return float((moments["linear3"] / moments["linear11"]) ** (1 / 8))


@claim(
    "bn-relu-gradient-growth",
    "At the start, the gradient's second moment grows by π/(π - 1) per layer of BatchNorm and ReLU.",
    source="Yang et al. (2019)",
    chapter=GAIN,
    section="Gradients explode with depth",
    quantity="growth per layer over π/(π - 1), batches of 512",
    holds=(0.95, 1.05),
    method=Method.MEAN,
    seeds=12,
)
def _(seeds: Sequence[int]) -> Effects:
    def ratio(seed: int) -> float:
        return _growth(nn.BatchNorm1d, nn.ReLU, seed) * (math.pi - 1) / math.pi

    return _each(seeds, {"width 128": ratio})


@claim(
    "bn-prevents-explosion",
    "BatchNorm prevents exploding gradients.",
    source="folklore",
    chapter=GAIN,
    section="Gradients explode with depth",
    quantity="growth of the gradient's second moment per layer at the start",
    holds=(0.0, 1.1),  # a factor of at most 2.6 over ten layers
    method=Method.MEAN,
    seeds=12,
)
def _(seeds: Sequence[int]) -> Effects:
    activations: dict[str, Callable[[], nn.Module]] = {"no activation": nn.Identity, "tanh": nn.Tanh, "ReLU": nn.ReLU}
    measure = partial(_growth, nn.BatchNorm1d, width=64, m=128)
    return _each(seeds, {name: partial(measure, activation) for name, activation in activations.items()})


@claim(
    "bn-sigmoid-trains",
    "With BatchNorm, networks with saturating nonlinearities can be trained.",
    source="Ioffe and Szegedy (2015), abstract",
    chapter=GAIN,
    section="Is it the covariate shift?",
    quantity="test accuracy after 100 steps at rate 1, with BatchNorm less without",
    unit="points",
    holds=(2.0, 100.0),
    method=Method.MEAN,
    seeds=16,
    after_looking="the smallest gain that counts, the second depth, and the number of steps",
)
def _(seeds: Sequence[int]) -> Effects:
    axes = {"width": WIDTH, "activation": "sigmoid", "lr": 1.0, "batch_size": BATCH, "norm": ["none", "batch"]}
    table = train_many(axes | {"seed": list(seeds), "depth": [3, 6]}, _digits(seeds[0]), steps=100).table
    scores = {depth: _paired(table[table.depth == depth], "test_accuracy") for depth in (3, 6)}
    return {f"{depth} sigmoid layers": list(100 * (score["batch"] - score["none"])) for depth, score in scores.items()}


@claim(
    "bn-trains-any-depth",
    "BatchNorm makes plain networks trainable at any depth.",
    source="folklore",
    chapter=GAIN,
    section="Deep stacks do not train",
    quantity="share of networks that reach half of the test digits in 100 steps",
    holds=(0.5, 1.0),
    method=Method.SHARE,
    seeds=16,
    after_looking="the accuracy that counts as trained: 50 percent, after 90 had failed at depth 10",
)
def _(seeds: Sequence[int]) -> Effects:
    depths = (3, 10, 40)
    axes = {"norm": "batch", "width": WIDTH, "batch_size": BATCH, "seed": list(seeds), "depth": depths}
    table = train_many(axes, _digits(seeds[0]), steps=100).table
    good = table.groupby("depth").test_accuracy.apply(lambda score: list((score >= 0.5).astype(float)))
    return {f"depth {depth}": good[depth] for depth in depths}
