"""Every default of torch.nn: which methods are typical, and the surprises among them."""

import math

import torch
from torch import nn
from torch.nn import functional

from tutorial_utils.audit import audit
from tutorial_utils.claims.experiments import (
    Build,
    constructed,
    constructing,
    correlation,
    each,
    normal,
    second_moment,
    seeded,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.defaults import EXAMPLES


@claim(
    "Of the classes of torch.nn that have matrices, most start by one of the two typical methods, Glorot's and He's.",
    source="source text, of practice; what can be measured is torch.nn",
    quantity="share of the classes of torch.nn with matrices, one of which starts as Glorot's or He's",
    criterion=Method.RANGE.within(0.5, 1, seeds=8),
)
def two_typical_methods(seeds: Seeds) -> Effects:
    skipped = "Lazy", "Transformer"  # the same layers once more

    def share(seed: int) -> float:
        with constructing(seed):
            tables = [audit(build(), alpha=1e-6) for name, build in EXAMPLES.items() if not name.startswith(skipped)]
        matrices = [table[(table["path"] == "") & (table["shape"].map(len) > 1)] for table in tables]
        typical = [one.scheme.str.startswith(("xavier", "kaiming")).any() for one in matrices if len(one)]
        return sum(typical) / len(typical)

    return each(seeds, share)


@claim(
    "nn.Embedding starts from N(0, 1), whatever its size, in every row but that of padding_idx.",
    source="PyTorch docs",
    quantity="second moment of an entry; a third of the fourth",
    criterion=Method.MEAN.within(0.97, 1.03, seeds=16),
)
def embedding_is_standard_normal(seeds: Seeds) -> Effects:
    def moment(order: int, words: int, features: int, padding: int | None, seed: int) -> float:
        table = constructed(lambda: nn.Embedding(words, features, padding_idx=padding), seed)
        weight = table.get_parameter("weight").detach()
        if padding is not None:
            weight = weight[torch.arange(words) != padding]
        return second_moment(weight) if order == 2 else second_moment(weight**2) / 3

    tables = {
        "1000 words, 100 features": (1000, 100, None),
        "300 words, 400 features": (300, 400, None),
        "300 words, 400 features, padding": (300, 400, 0),
    }
    seconds = {name: (2, *table) for name, table in tables.items()}
    return each(seeds, moment, seconds | {f"{name}, fourth": (4, *table) for name, table in tables.items()})


@claim(
    "An output layer tied to the embedding starts with a loss near ln C.",
    source="folklore",
    quantity="first loss over ln C, 1000 classes drawn at random, 256 hidden units of second moment 1",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=16),
    after_looking="the transformers",
)
def tied_embedding_starts_at_ln_classes(seeds: Seeds) -> Effects:
    def ratio(scale: float, seed: int) -> float:
        generator = seeded(seed)
        weight = constructed(lambda: nn.Embedding(1000, 256), seed).get_parameter("weight")
        targets = torch.randint(1000, (200,), generator=generator)
        loss = functional.cross_entropy(scale * normal(generator, 200, 256) @ weight.T, targets)
        return float(loss.detach()) / math.log(1000)

    def in_transformer(read: float, seed: int) -> float:
        generator = seeded(seed)
        table = normal(generator, 1000, 256) / 16
        tokens, targets = torch.randint(1000, (2, 8, 25), generator=generator)
        stream = read * (table[tokens] + normal(generator, 25, 256) / 16)  # and a vector for each position
        logits = constructed(_transformer, seed)(stream) @ table.T
        return float(functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).detach()) / math.log(1000)

    independent = {"N(0, 1), the default": 1.0, "N(0, 1/d)": 1 / 16}
    reading = {"N(0, 1/d), transformer that reads it": 1.0, "N(0, 1/d), transformer that reads √d times it": 16.0}
    return each(seeds, ratio, independent) | each(seeds, in_transformer, reading)


def _transformer() -> nn.Module:
    """Two pre-norm layers as they are constructed, with a normalization at the end."""
    layer = nn.TransformerEncoderLayer(256, 4, 512, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(256), enable_nested_tensor=False)


@claim(
    "Attention's Glorot start keeps the second moment of the input in its queries.",
    source="folklore",
    quantity="second moment of the queries for inputs of second moment 1, 256 features",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=12),
)
def attention_keeps_queries(seeds: Seeds) -> Effects:
    def queries(vdim: int, name: str, seed: int) -> float:
        attention = constructed(lambda: nn.MultiheadAttention(256, 4, vdim=vdim), seed)
        return second_moment(normal(seeded(seed), 200, 256) @ attention.get_parameter(name)[:256].T)

    cases = {"packed, the default": (256, "in_proj_weight"), "separate, vdim = 64": (64, "q_proj_weight")}
    return each(seeds, queries, cases)


@claim(
    "PyTorch's default leaves a third of the second moment in every convolution.",
    source="folklore",
    quantity="3 E[z²] for inputs of second moment 1, without biases and borders",
    criterion=Method.MEAN.within(0.9, 1.1, seeds=16),
)
def default_third_in_every_convolution(seeds: Seeds) -> Effects:
    def moment(build: Build, channels: int, seed: int) -> float:
        z = constructed(build, seed)(normal(seeded(seed), 1, channels, 20, 20))
        return 3 * second_moment(z[..., 4:-4, 4:-4])

    layers = {
        "Conv2d": (lambda: nn.Conv2d(32, 32, 3, bias=False), 32),
        "transposed, 32 to 32, stride 2": (lambda: nn.ConvTranspose2d(32, 32, 4, stride=2, bias=False), 32),
        "transposed, 16 to 64, stride 2": (lambda: nn.ConvTranspose2d(16, 64, 4, stride=2, bias=False), 16),
    }
    return each(seeds, moment, layers)


@claim(
    "A recurrent layer's default leaves a third of its inputs' second moment, as a linear layer's does.",
    source="folklore",
    quantity="3 E[z²] of the input's part, 90 hidden units",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=24),
)
def recurrent_default_fits_its_inputs(seeds: Seeds) -> Effects:
    def part(n: int, seed: int) -> float:
        weight = constructed(lambda: nn.RNN(n, 90), seed).get_parameter("weight_ih_l0")
        return 3 * second_moment(normal(seeded(seed), 200, n) @ weight.T)

    return each(seeds, part, {f"{n} inputs": n for n in (9, 90, 900)})


@claim(
    "The layers of an nn.TransformerEncoder start as independent draws.",
    source="folklore",
    quantity="correlation of the first and the last layer's feed-forward weights",
    criterion=Method.MEDIAN.within(-0.1, 0.1, seeds=8),  # copies give 1 on every seed
)
def encoder_layers_start_independent(seeds: Seeds) -> Effects:
    def encoder() -> nn.Module:
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)
        return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    def between(seed: int) -> float:
        net = constructed(encoder, seed)
        return correlation(*(net.get_parameter(f"layers.{number}.linear1.weight") for number in (0, 2)))

    return each(seeds, between)
