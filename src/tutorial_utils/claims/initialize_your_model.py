"""Initialize your model: the source text's example word by word, seeds, and residual branches."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional, init
from torch.nn.utils import parametrizations

from tutorial_utils.claims.experiments import (
    BATCH,
    DATA,
    DIGITS,
    MNIST,
    WIDTH,
    WINE,
    Build,
    constructed,
    constructing,
    correlation,
    drawn_weight,
    each,
    initialized_mlp,
    normal,
    second_moment,
    seeded,
    unit_inputs,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.networks import mlp
from tutorial_utils.training import accuracy, train


@claim(
    "Biases should start at 0.01: that gains two points of accuracy or more over 0.",
    source="source text",
    quantity="test accuracy, bias 0.01 minus bias 0, Glorot's uniform weights",
    criterion=Method.MEAN.within(0.02, 1, seeds=16),
    data=(DIGITS, MNIST, WINE),
    optimizer=("SGD at 0.1",),
    budget="150 steps",
)
def small_positive_bias_helps(seeds: Seeds) -> Effects:
    splits = {on: DATA[on].split(seeds[0]) for on in (DIGITS, MNIST, WINE)}

    def reached(value: float, depth: int, on: str, seed: int) -> float:
        x, y, x_test, y_test = splits[on]
        widths = [x.shape[1]] + [WIDTH] * depth + [int(y.max()) + 1]
        net = initialized_mlp(seeded(seed), widths, nn.ReLU, "xavier_uniform", bias=True)
        for name, parameter in net.named_parameters():
            if "bias" in name:
                init.constant_(parameter, value)
        train(net, x, y, lr=0.1, steps=150, batch_size=BATCH, generator=seeded(seed))
        return accuracy(net, x_test, y_test)

    def gained(depth: int, on: str, seed: int) -> float:
        return reached(0.01, depth, on, seed) - reached(0.0, depth, on, seed)

    settings = [(1, DIGITS), (3, DIGITS), (3, MNIST), (3, WINE)]
    return each(seeds, gained, {f"hidden layers: {depth}, {on}": (depth, on) for depth, on in settings})


@claim(
    "torch.nn.init.xavier_uniform(m.weight) draws Glorot's uniform weights.",
    source="source text",
    quantity="largest difference from xavier_uniform_, same seed",
    criterion=Method.RANGE.within(0, 0, seeds=12),
)
def xavier_without_underscore_works(seeds: Seeds) -> Effects:
    def difference(seed: int) -> float:
        new, old = torch.empty(2, 30, 20, dtype=torch.float64)
        init.xavier_uniform_(new, generator=seeded(seed))
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            init.xavier_uniform(old, generator=seeded(seed))
        return float((new - old).abs().max())

    return each(seeds, difference)


@claim(
    "Values may be set by .data.fill_.",
    source="source text",
    quantity="relative error of a gradient below, if the value is set between forward and backward pass",
    criterion=Method.RANGE.within(0, 1e-12, seeds=12),
)
def data_fill_is_safe(seeds: Seeds) -> Effects:
    def error(name: str, seed: int) -> float:
        generator = seeded(seed)
        net = initialized_mlp(generator, [8, 8, 8], nn.Tanh, "lecun_normal", bias=True)
        x, weight = normal(generator, 4, 8), net.get_parameter("linear1.weight")
        (right,) = torch.autograd.grad(net(x).sum(), weight)
        out = net(x).sum()
        net.get_parameter(f"linear2.{name}").data.fill_(0.01)
        (found,) = torch.autograd.grad(out, weight)
        return float((found - right).norm() / right.norm())

    return each(seeds, error, {"bias": "bias", "weight": "weight"})


@claim(
    "net.apply(init_weights), which asks for nn.Linear, initializes a network.",
    source="source text",
    quantity="share of the entries of matrices that it changes",
    criterion=Method.RANGE.within(1, 1, seeds=8),
)
def apply_reaches_every_matrix(seeds: Seeds) -> Effects:
    def init_weights(m: nn.Module) -> None:
        if isinstance(m, nn.Linear):
            init.xavier_uniform_(m.weight)
            init.constant_(m.bias, 0.01)

    def changed(build: Build, seed: int) -> float:
        with constructing(seed):
            net = build()
            before = _matrices(net)
            net.apply(init_weights)
        return float((_matrices(net) != before).double().mean())

    networks: dict[str, Build] = {
        "Linear": lambda: nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16)),
        "MultiheadAttention": lambda: nn.MultiheadAttention(16, 2),
        "weight_norm(Linear)": lambda: parametrizations.weight_norm(nn.Linear(16, 16)),
        "Conv2d": lambda: nn.Conv2d(4, 4, 3),
    }
    return each(seeds, changed, networks)


def _matrices(net: nn.Module) -> Tensor:
    """All matrices that a network multiplies by, parametrized ones as they come out, in one vector."""
    names = ("weight", "in_proj_weight")
    found = [getattr(module, name, None) for module in net.modules() for name in names]
    return torch.cat([one.detach().flatten().clone() for one in found if isinstance(one, Tensor) and one.dim() > 1])


@claim(
    "With the same torch.manual_seed a layer starts with the same weights.",
    source="folklore",
    quantity="correlation of a layer's weights between two runs",
    criterion=Method.MEDIAN.within(0.99, 1 + 1e-9, seeds=16),  # the same model gives 1 on every seed
)
def seed_fixes_the_start(seeds: Seeds) -> Effects:
    def last(before: int, seed: int) -> Tensor:
        net = constructed(lambda: mlp([8] * (before + 1) + [32]), seed)
        return net.get_parameter(f"linear{before + 1}.weight")

    def between(before: int, seed: int) -> float:
        return correlation(last(1, seed), last(before, seed))

    return each(seeds, between, {"same model": 1, "one more layer before it": 2})


@claim(
    "A call of torch.nn.init that is given a seeded generator draws the same numbers again.",
    source="PyTorch docs",
    quantity="share of equal entries in two calls with the same generator",
    criterion=Method.RANGE.within(1, 1, seeds=12),
)
def generator_fixes_the_draw(seeds: Seeds) -> Effects:
    def equal(fill: Callable[..., Tensor], seed: int) -> float:
        drawn = []
        for state in (2 * seed, 2 * seed + 1):  # the global generator is elsewhere in the second call
            with constructing(state):
                drawn.append(fill(torch.empty(40, 40), generator=seeded(seed)))
        return float((drawn[0] == drawn[1]).double().mean())

    def sparse(tensor: Tensor, generator: torch.Generator) -> Tensor:
        return init.sparse_(tensor, sparsity=0.5, generator=generator)

    fills = {"kaiming_normal_": init.kaiming_normal_, "orthogonal_": init.orthogonal_, "sparse_": sparse}
    return each(seeds, equal, fills)


@claim(
    "Each residual block that starts by He's and LeCun's rules doubles the second moment of the stream.",
    source="derivation; cf. Zhang et al. (2019)",
    quantity="factor per block, eight blocks",
    criterion=Method.MEAN.within(1.9, 2.1, seeds=128),
)
def residual_blocks_double(seeds: Seeds) -> Effects:
    return each(seeds, lambda seed: _stream(8, 1.0, seed) ** (1 / 8))


@claim(
    "With L branches that keep the second moment of what they read, each divided by √L and none beginning or ending "
    "in a normalization, the stream's second moment ends at (1 + 1/L)^L, less than e for every L.",
    source="derivation; cf. Radford et al. (2019)",
    quantity="second moment of the stream after L blocks over that prediction",
    criterion=Method.MEAN.within(0.85, 1.15, seeds=48),
    after_looking="the bound, which was e for every depth at first",
)
def scaled_residual_branches_stay_bounded(seeds: Seeds) -> Effects:
    def ratio(blocks: int, seed: int) -> float:
        return _stream(blocks, blocks**-0.5, seed) / (1 + 1 / blocks) ** blocks

    return each(seeds, ratio, {f"L = {blocks}": blocks for blocks in (4, 16, 64)})


def _stream(blocks: int, scale: float, seed: int, n: int = 100) -> float:
    """The second moment of a residual stream, 1 at first, after its blocks; branches are He, ReLU, LeCun."""
    generator = seeded(seed)
    h = unit_inputs(generator, 16, n)
    for _ in range(blocks):
        up, down = (drawn_weight(generator, n, n, scheme) for scheme in ("kaiming_normal", "lecun_normal"))
        h = h + scale * functional.linear(functional.linear(h, up).relu(), down)
    return second_moment(h)
