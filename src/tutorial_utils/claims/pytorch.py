"""Claims of Part II: what PyTorch does by default and what its functions assume."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, init
from torch.nn.utils import parametrizations

from tutorial_utils.audit import audit
from tutorial_utils.claims.initialization import (
    accuracies,
    backward_factor,
    blank,
    forward_factor,
    gap,
    images,
    signals,
    start,
)
from tutorial_utils.claims.registry import Method, claim, seeded
from tutorial_utils.defaults import EXAMPLES
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.training import accuracy, train

Build = Callable[[], nn.Module]


@contextmanager
def constructing(seed: int) -> Iterator[None]:
    """Seed torch's global generator, the only one that constructors draw from, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1_000_000)  # inputs come from seeded(seed); they must not share the draws
        yield


def built(build: Build, seed: int) -> nn.Module:
    """A module in float64 as its constructor starts it."""
    with constructing(seed):
        return build().double()


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _second_moment(tensor: Tensor) -> float:
    return float(tensor.detach().square().mean())


@claim(
    "two-typical-methods",
    "There are two typical methods to initialize parameters: Glorot's and He's.",
    source="source text",
    chapter="08-every-default",
    section="One table",
    quantity="typical of torch.nn: share of its classes with matrices, one of which starts as Glorot's or He's",
    holds=(0.5, 1),
    method=Method.RANGE,
    seeds=8,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    skipped = "Lazy", "Transformer"  # the same layers once more

    def share(seed: int) -> float:
        with constructing(seed):
            tables = [audit(build(), alpha=1e-6) for name, build in EXAMPLES.items() if not name.startswith(skipped)]
        matrices = [table[(table["path"] == "") & (table["shape"].map(len) > 1)] for table in tables]
        typical = [one.scheme.str.startswith(("xavier", "kaiming")).any() for one in matrices if len(one)]
        return sum(typical) / len(typical)

    return {"": [share(seed) for seed in seeds]}


@claim(
    "linear-default-bound",
    "nn.Linear draws weights and biases uniformly between ±1 / √n_in.",
    source="source text; PyTorch docs",
    chapter="06-reset-parameters",
    section="The algebra of the root of five",
    quantity="3 n_in times the second moment; the largest over 1 / √n_in",
    holds=(0.95, 1.05),
    method=Method.MEAN,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    layers = [built(lambda: nn.Linear(100, 3000), seed) for seed in seeds]
    drawn = {name: [layer.get_parameter(name).detach() for layer in layers] for name in ("weight", "bias")}
    moments = {f"{name}, second moment": [300 * _second_moment(w) for w in all] for name, all in drawn.items()}
    return moments | {f"{name}, largest": [10 * float(w.abs().max()) for w in all] for name, all in drawn.items()}


def _quoted_reset(layer: nn.Module) -> None:
    """The code that the source text quotes as nn.Linear's."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    bound = 1 / math.sqrt(weight.size(1))
    init.uniform_(weight, -bound, bound)
    init.uniform_(bias, -bound, bound)


@claim(
    "quoted-reset-draws-the-same",
    "The reset_parameters quoted for nn.Linear gives the numbers that nn.Linear starts with.",
    source="source text",
    chapter="06-reset-parameters",
    section="The algebra of the root of five",
    quantity="largest difference of a weight or bias, same seed, over 1 / √n_in",
    holds=(0, 1e-12),  # rounding of the bound
    method=Method.RANGE,
    seeds=12,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def difference(seed: int) -> float:
        layers = [nn.Linear(100, 50, device="meta", dtype=torch.float64).to_empty(device="cpu") for _ in range(2)]
        for layer, reset in zip(layers, (nn.Linear.reset_parameters, _quoted_reset), strict=True):
            with constructing(seed):
                reset(layer)
        ours, theirs = (nn.utils.parameters_to_vector(layer.parameters()) for layer in layers)
        return float((ours - theirs).detach().abs().max()) * 10

    return {"": [difference(seed) for seed in seeds]}


@claim(
    "quoted-bound-counts-inputs",
    "The quoted bound 1 / √weight.size(1) divides by the inputs of a unit, and leaves a third of their second moment.",
    source="source text",
    chapter="06-reset-parameters",
    section="Whose is the snippet?",
    quantity="3 E[z²] for inputs of ±1, without biases",
    holds=(0.8, 1.25),
    method=Method.MEAN,
    seeds=32,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def moment(build: Build, seed: int, *inputs: int) -> float:
        layer = built(build, seed)
        init.zeros_(layer.get_parameter("bias"))
        return 3 * _second_moment(layer(*(torch.ones(1, n, dtype=torch.float64) for n in inputs)))

    return {
        "Linear(100)": [moment(lambda: nn.Linear(100, 500), seed, 100) for seed in seeds],
        "Bilinear(10, 100)": [moment(lambda: nn.Bilinear(10, 100, 500), seed, 10, 100) for seed in seeds],
        "Bilinear(100, 10)": [moment(lambda: nn.Bilinear(100, 10, 500), seed, 100, 10) for seed in seeds],
    }


def _square_layers(seeds: Sequence[int]) -> dict[str, list[float]]:
    """The variance of weights times n, of square layers as their constructors start them."""
    linear = [built(lambda: nn.Linear(200, 200), seed) for seed in seeds]
    convolution = [built(lambda: nn.Conv2d(64, 64, 3), seed) for seed in seeds]
    return {
        "Linear": [200 * _second_moment(layer.get_parameter("weight")) for layer in linear],
        "Conv2d": [9 * 64 * _second_moment(layer.get_parameter("weight")) for layer in convolution],
    }


@claim(
    "default-is-he",
    "PyTorch starts linear layers and convolutions by Kaiming He's method.",
    source="source text, by its example; folklore",
    chapter="06-reset-parameters",
    section="The algebra of the root of five",
    quantity="n Var[w] of a square layer",
    holds=(1.9, 2.1),  # He's 2; kaiming_uniform_ is the function that is called
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return _square_layers(seeds)


@claim(
    "default-is-glorot",
    "PyTorch starts linear layers and convolutions by Xavier Glorot's method.",
    source="folklore",
    chapter="06-reset-parameters",
    section="The algebra of the root of five",
    quantity="n Var[w] of a square layer",
    holds=(0.95, 1.05),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return _square_layers(seeds)


@claim(
    "default-third-and-sixth",
    "PyTorch's default leaves a third of a second moment per linear layer, a sixth with ReLU.",
    source="derivation; cf. Glorot and Bengio (2010), equation 15",
    chapter="06-reset-parameters",
    section="One third, one sixth, and a floor",
    quantity="factor per layer over that prediction",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=64,
    after_looking="the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def tables(kind: type[nn.Module], bias: bool) -> list[Any]:
        generators = [seeded(seed) for seed in seeds]
        return [signals(start([200] * 9, kind, "default", g, bias=bias), g) for g in generators]

    return {
        "gradient, no activation": [3 * backward_factor(table) for table in tables(nn.Identity, True)],
        "gradient, ReLU": [6 * backward_factor(table) for table in tables(nn.ReLU, True)],
        "signal, ReLU, no biases": [6 * forward_factor(table) for table in tables(nn.ReLU, False)],
    }


@claim(
    "default-floor",
    "With its random biases the default's signal ends on a floor: 2 / (5 n) with ReLU, 1 / (2 n) with tanh.",
    source="derivation",
    chapter="06-reset-parameters",
    section="One third, one sixth, and a floor",
    quantity="second moment at layer 10 over that floor",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=96,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def ratio(kind: type[nn.Module], floor: float, seed: int) -> float:
        generator = seeded(seed)
        table = signals(start([256] * 11, kind, "default", generator, bias=True), generator)
        return float(table.second_moment.iloc[-1] / floor)

    floors = {nn.ReLU: 2 / (5 * 256), nn.Tanh: 1 / (2 * 256)}
    return {kind.__name__: [ratio(kind, floor, seed) for seed in seeds] for kind, floor in floors.items()}


@claim(
    "default-forgets-its-input",
    "A default ReLU network gives two orthogonal inputs the same answer.",
    source="derivation",
    chapter="06-reset-parameters",
    section="A network that stops looking",
    quantity="cosine of the two answers, width 128",
    holds=(0.99, 1 + 1e-9),
    method=Method.MEDIAN,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    inputs = math.sqrt(128) * torch.eye(2, 128, dtype=torch.float64)  # of second moment 1

    def cosine(depth: int, bias: bool, seed: int) -> float:
        return 1 - gap(start([128] * (depth + 1), nn.ReLU, "default", seeded(seed), bias=bias), depth, inputs)

    settings = {"3 layers": (3, True), "16 layers": (16, True), "16 layers, no biases": (16, False)}
    return {name: [cosine(*setting, seed) for seed in seeds] for name, setting in settings.items()}


@claim(
    "default-fails-to-train",
    "PyTorch's default start fails where He's trains.",
    source="folklore",
    chapter="06-reset-parameters",
    section="Does it train?",
    quantity="test accuracy, He minus default, ReLU, 150 steps on digits, best of two rates",
    holds=(0.2, 1),
    method=Method.MEDIAN,
    seeds=8,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    shared: dict[str, Any] = {"width": 32, "batch_size": 32, "momentum": 0.9, "lr": [0.01, 0.1], "steps": 150}

    def ahead(**setting: Any) -> list[float]:
        he, default = (accuracies(seeds, scheme=s, **setting, **shared) for s in ("kaiming_normal", "default"))
        return list(he - default)

    return {
        "2 hidden layers": ahead(depth=2),
        "8 hidden layers": ahead(depth=8),
        "8 with BatchNorm": ahead(depth=8, norm="batch"),
    }


@claim(
    "xavier-without-underscore-works",
    "torch.nn.init.xavier_uniform(m.weight) draws Glorot's uniform weights.",
    source="source text",
    chapter="07-initialize-your-model",
    section="The name without an underscore",
    quantity="largest difference from xavier_uniform_, same seed",
    holds=(0, 0),
    method=Method.RANGE,
    seeds=12,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def difference(seed: int) -> float:
        new, old = torch.empty(2, 30, 20, dtype=torch.float64)
        init.xavier_uniform_(new, generator=seeded(seed))
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            init.xavier_uniform(old, generator=seeded(seed))
        return float((new - old).abs().max())

    return {"": [difference(seed) for seed in seeds]}


@claim(
    "small-positive-bias-helps",
    "Biases should start at 0.01.",
    source="source text",
    chapter="07-initialize-your-model",
    section="The example, as written",
    quantity="test accuracy, bias 0.01 minus bias 0, Glorot's uniform weights, 150 steps on digits",
    holds=(0.02, 1),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    x, y, x_test, y_test = images(seeds)

    def reached(value: float, depth: int, seed: int) -> float:
        net = start([64] + [32] * depth + [10], nn.ReLU, "xavier_uniform", seeded(seed), bias=True)
        for name, parameter in net.named_parameters():
            if "bias" in name:
                init.constant_(parameter, value)
        train(net, x, y, lr=0.1, steps=150, batch_size=32, generator=seeded(seed))
        return accuracy(net, x_test, y_test)

    return {
        f"hidden layers: {depth}": [reached(0.01, depth, seed) - reached(0.0, depth, seed) for seed in seeds]
        for depth in (1, 3)
    }


@claim(
    "data-fill-is-safe",
    "Values may be set by .data.fill_.",
    source="source text",
    chapter="07-initialize-your-model",
    section="`.data` goes behind autograd's back",
    quantity="relative error of a gradient below, if the value is set between forward and backward pass",
    holds=(0, 1e-12),
    method=Method.RANGE,
    seeds=12,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def error(name: str, seed: int) -> float:
        generator = seeded(seed)
        net = start([8, 8, 8], nn.Tanh, "lecun_normal", generator, bias=True)
        x, weight = _normal(generator, 4, 8), net.get_parameter("linear1.weight")
        (right,) = torch.autograd.grad(net(x).sum(), weight)
        out = net(x).sum()
        net.get_parameter(f"linear2.{name}").data.fill_(0.01)
        (found,) = torch.autograd.grad(out, weight)
        return float((found - right).norm() / right.norm())

    return {name: [error(name, seed) for seed in seeds] for name in ("bias", "weight")}


def _matrices(net: nn.Module) -> Tensor:
    """All matrices that a network multiplies by, parametrized ones as they come out, in one vector."""
    names = ("weight", "in_proj_weight")
    found = [getattr(module, name, None) for module in net.modules() for name in names]
    return torch.cat([one.detach().flatten().clone() for one in found if isinstance(one, Tensor) and one.dim() > 1])


@claim(
    "apply-reaches-every-matrix",
    "net.apply(init_weights), which asks for nn.Linear, initializes a network.",
    source="source text",
    chapter="07-initialize-your-model",
    section="Which modules are linear?",
    quantity="share of the entries of matrices that it changes",
    holds=(1, 1),
    method=Method.RANGE,
    seeds=8,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
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

    builds: dict[str, Build] = {
        "Linear": lambda: nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16)),
        "MultiheadAttention": lambda: nn.MultiheadAttention(16, 2),
        "weight_norm(Linear)": lambda: parametrizations.weight_norm(nn.Linear(16, 16)),
        "Conv2d": lambda: nn.Conv2d(4, 4, 3),
    }
    return {name: [changed(build, seed) for seed in seeds] for name, build in builds.items()}


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.detach().flatten(), other.detach().flatten()]))[0, 1])


@claim(
    "seed-fixes-the-start",
    "With the same torch.manual_seed a layer starts with the same weights.",
    source="folklore",
    chapter="07-initialize-your-model",
    section="The same seed, other weights",
    quantity="correlation of a layer's weights between two runs",
    holds=(0.99, 1 + 1e-9),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def last(before: int, seed: int) -> Tensor:
        net = built(lambda: mlp([8] * (before + 1) + [32]), seed)
        return net.get_parameter(f"linear{before + 1}.weight")

    return {
        "same model": [_correlation(last(1, seed), last(1, seed)) for seed in seeds],
        "one more layer before it": [_correlation(last(1, seed), last(2, seed)) for seed in seeds],
    }


@claim(
    "generator-fixes-the-draw",
    "A call of torch.nn.init that is given a seeded generator draws the same numbers again.",
    source="PyTorch docs",
    chapter="07-initialize-your-model",
    section="The same seed, other weights",
    quantity="share of equal entries in two calls with the same generator",
    holds=(1, 1),
    method=Method.RANGE,
    seeds=12,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def equal(fill: Callable[..., Tensor], seed: int) -> float:
        drawn = []
        for state in (2 * seed, 2 * seed + 1):  # the global generator is elsewhere in the second call
            with constructing(state):
                drawn.append(fill(torch.empty(40, 40), generator=seeded(seed)))
        return float((drawn[0] == drawn[1]).double().mean())

    def sparse(tensor: Tensor, generator: torch.Generator) -> Tensor:
        return init.sparse_(tensor, sparsity=0.5, generator=generator)

    fills: dict[str, Callable[..., Tensor]] = {
        "kaiming_normal_": init.kaiming_normal_,
        "orthogonal_": init.orthogonal_,
        "sparse_": sparse,
    }
    return {name: [equal(fill, seed) for seed in seeds] for name, fill in fills.items()}


def _stream(blocks: int, scale: float, seed: int, n: int = 100) -> list[float]:
    """The second moment of a residual stream before and after each block; branches are He, ReLU, LeCun."""
    generator = seeded(seed)
    h = _normal(generator, 16, n)
    h /= h.square().mean(1, keepdim=True).sqrt()
    moments = [1.0]
    for _ in range(blocks):
        up, down = (
            initialize_(blank(lambda: nn.Linear(n, n, bias=False)), scheme, generator=generator)
            for scheme in ("kaiming_normal", "lecun_normal")
        )
        with torch.no_grad():
            h = h + scale * down(torch.relu(up(h)))
        moments.append(_second_moment(h))
    return moments


@claim(
    "residual-blocks-double",
    "Each residual block that starts as He and LeCun say doubles the second moment of the stream.",
    source="derivation; cf. Zhang et al. (2019)",
    chapter="07-initialize-your-model",
    section="Residual branches",
    quantity="factor per block, eight blocks",
    holds=(1.9, 2.1),
    method=Method.MEAN,
    seeds=128,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    return {"": [_stream(8, 1.0, seed)[-1] ** (1 / 8) for seed in seeds]}


@claim(
    "scaled-residual-branches-stay-bounded",
    "With L branches, each divided by √L, the stream's second moment ends at (1 + 1/L)^L, less than e for every L.",
    source="derivation; cf. Radford et al. (2019)",
    chapter="07-initialize-your-model",
    section="Residual branches",
    quantity="second moment of the stream after L blocks over that prediction",
    holds=(0.85, 1.15),
    method=Method.MEAN,
    seeds=48,
    after_looking="the bound, which was e for every depth at first",
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:

    def ratio(blocks: int, seed: int) -> float:
        return _stream(blocks, blocks**-0.5, seed)[-1] / (1 + 1 / blocks) ** blocks

    return {f"L = {blocks}": [ratio(blocks, seed) for seed in seeds] for blocks in (4, 16, 64)}


@claim(
    "embedding-is-standard-normal",
    "nn.Embedding starts from N(0, 1), whatever its size.",
    source="PyTorch docs",
    chapter="08-every-default",
    section="One table",
    quantity="second moment of an entry; a third of the fourth",
    holds=(0.97, 1.03),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    sizes = {"1000 words, 100 features": (1000, 100), "300 words, 400 features": (300, 400)}

    def squares(size: tuple[int, int], seed: int) -> Tensor:
        return built(lambda: nn.Embedding(*size), seed).get_parameter("weight").detach() ** 2

    drawn = {name: [squares(size, seed) for seed in seeds] for name, size in sizes.items()}
    moments = {name: [float(one.mean()) for one in all] for name, all in drawn.items()}
    return moments | {f"{name}, fourth": [_second_moment(one) / 3 for one in all] for name, all in drawn.items()}


@claim(
    "tied-embedding-starts-at-ln-classes",
    "An output layer tied to the embedding starts with a loss near ln C.",
    source="folklore",
    chapter="08-every-default",
    section="Eight surprises",
    quantity="first loss over ln C, 1000 classes, 256 hidden units of second moment 1",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def ratio(scale: float, seed: int) -> float:
        generator = seeded(seed)
        weight = built(lambda: nn.Embedding(1000, 256), seed).get_parameter("weight")
        targets = torch.randint(1000, (200,), generator=generator)
        loss = functional.cross_entropy(scale * _normal(generator, 200, 256) @ weight.T, targets)
        return float(loss.detach()) / math.log(1000)

    scales = {"N(0, 1), the default": 1.0, "N(0, 1/d)": 1 / 16}
    return {name: [ratio(scale, seed) for seed in seeds] for name, scale in scales.items()}


@claim(
    "attention-keeps-queries",
    "Attention's Glorot start keeps the second moment of the input in its queries.",
    source="folklore",
    chapter="08-every-default",
    section="Eight surprises",
    quantity="second moment of the queries for inputs of second moment 1, 256 features",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=12,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def queries(vdim: int, seed: int) -> float:
        attention = built(lambda: nn.MultiheadAttention(256, 4, vdim=vdim), seed)
        name = "in_proj_weight" if vdim == 256 else "q_proj_weight"
        return _second_moment(_normal(seeded(seed), 200, 256) @ attention.get_parameter(name)[:256].T)

    return {
        "packed, the default": [queries(256, seed) for seed in seeds],
        "separate, vdim = 64": [queries(64, seed) for seed in seeds],
    }


@claim(
    "default-third-in-every-convolution",
    "PyTorch's default leaves a third of the second moment in every convolution.",
    source="folklore",
    chapter="08-every-default",
    section="Eight surprises",
    quantity="3 E[z²] for inputs of second moment 1, without biases and borders",
    holds=(0.9, 1.1),
    method=Method.MEAN,
    seeds=16,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def moment(build: Build, channels: int, seed: int) -> float:
        z = built(build, seed)(_normal(seeded(seed), 1, channels, 20, 20))
        return 3 * _second_moment(z[..., 4:-4, 4:-4])

    builds: dict[str, tuple[Build, int]] = {
        "Conv2d": (lambda: nn.Conv2d(32, 32, 3, bias=False), 32),
        "transposed, 32 to 32, stride 2": (lambda: nn.ConvTranspose2d(32, 32, 4, stride=2, bias=False), 32),
        "transposed, 16 to 64, stride 2": (lambda: nn.ConvTranspose2d(16, 64, 4, stride=2, bias=False), 16),
    }
    return {name: [moment(*setting, seed) for seed in seeds] for name, setting in builds.items()}


@claim(
    "recurrent-default-fits-its-inputs",
    "A recurrent layer's default leaves a third of its inputs' second moment, as a linear layer's does.",
    source="folklore",
    chapter="08-every-default",
    section="Eight surprises",
    quantity="3 E[z²] of the input's part, 90 hidden units",
    holds=(0.8, 1.25),
    method=Method.MEAN,
    seeds=24,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def part(n: int, seed: int) -> float:
        weight = built(lambda: nn.RNN(n, 90), seed).get_parameter("weight_ih_l0")
        return 3 * _second_moment(_normal(seeded(seed), 200, n) @ weight.T)

    return {f"{n} inputs": [part(n, seed) for seed in seeds] for n in (9, 90, 900)}


@claim(
    "encoder-layers-start-independent",
    "The layers of an nn.TransformerEncoder start as independent draws.",
    source="folklore",
    chapter="08-every-default",
    section="Eight surprises",
    quantity="correlation of the first and the last layer's feed-forward weights",
    holds=(-0.1, 0.1),
    method=Method.MEAN,
    seeds=8,
)
def _(seeds: Sequence[int]) -> dict[str, list[float]]:
    def encoder() -> nn.Module:
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)
        return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    def correlation(seed: int) -> float:
        net = built(encoder, seed)
        first, last = (net.get_parameter(f"layers.{number}.linear1.weight") for number in (0, 2))
        return _correlation(first, last)

    return {"": [correlation(seed) for seed in seeds]}
