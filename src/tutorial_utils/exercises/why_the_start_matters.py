"""Exercises about why the start matters."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import (
    between,
    linear_layers,
    moments,
    normal,
    off_stream,
    origin,
    scramble,
    sizes,
    stream,
    thrice,
    uniform,
)
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp

# --- the first loss -----------------------------------------------------------------------------------


def _first_loss(*, generator: torch.Generator) -> Inputs:
    """A number of classes, and the first loss that the formula gives for some spread, to four decimals."""
    classes, spread = between(3, 8, generator=generator), uniform(0.4, 0.7, generator=generator)
    return classes, round(math.log(classes) + (1 - 1 / classes) * spread**2 / 2, 4)


def _spread(
    slope: Function = lambda classes: (1 - 1 / classes) / 2, *, least: Function = math.log, power: float = 0.5
) -> Function:
    """An answer that solves ``loss = least(C) + slope(C) * variance``."""
    return lambda classes, loss: ((loss - least(classes)) / slope(classes)) ** power


@exercise(
    "start-logit-spread",
    value=True,
    inputs=_first_loss,
    rtol=5e-3,
    right="that is the spread at which small random logits cost this much more than ln C.",
    mistakes={
        "That is the variance of the logits. The standard deviation is its root.": _spread(power=1),
        "You left out 1 - 1/C. The loss does not notice what all logits of an image have in common, and that is a "
        "share 1/C of their variance.": _spread(lambda classes: 1 / 2),
        "You left out the one half of the second-order term.": _spread(lambda classes: 1 - 1 / classes),
        "You multiplied by 1 - 1/C. The loss contains it as a factor of the variance, so solving for the variance "
        "divides by it.": _spread(lambda classes: 1 / (1 - 1 / classes) / 2),
        "You used the whole loss. Only the part above ln C comes from the logits.": _spread(least=lambda classes: 0),
        "You used the logarithm to base 10. Cross-entropy uses the natural one.": _spread(least=math.log10),
    },
)
def start_logit_spread(classes: int, loss: float) -> float:
    """The standard deviation of small random logits, from the first loss."""
    return float(_spread()(classes, loss))


# --- which weights move, and when ---------------------------------------------------------------------

_NETS = ("all zero, sigmoid", "W3 zero, tanh", "W2 and W3 zero, tanh")
_MOVES = tuple(f"{net}: W{number}" for net in _NETS for number in range(1, 5))


def _moves_of(net: int, *steps: int) -> dict[str, int]:
    """The answer's part for one of the nets."""
    return dict(zip(_MOVES[4 * net : 4 * net + 4], steps, strict=True))


@exercise(
    "start-first-moves",
    value=True,
    parts=_MOVES,
    right="a weight moves once its input and the gradient at its output are both not zero.",
    mistakes={
        "All zero, sigmoid: you let all weights move in the first step. But the gradient reaches a layer through the "
        "weights above it, and these are zero until they have moved.": _moves_of(0, 1, 1, 1, 1),
        "All zero, sigmoid: you let no weight ever move. That would hold for tanh; a sigmoid of zero is one half, so "
        "the output weights have an input.": _moves_of(0, 0, 0, 0, 0),
        "All zero, sigmoid: you let the first layer begin. The gradient comes from the loss, so the last "
        "layer does.": _moves_of(0, 1, 2, 3, 4),
        "W3 zero, tanh: W3 alone is right to begin at once, but W4 cannot. Its input is tanh(0) = 0 in "
        "step 1.": _moves_of(1, 2, 2, 1, 1),
        "W3 zero, tanh: you froze W3 at zero. It gets its input from layer 2, and W4 above it is not zero, so it has a "
        "gradient at once.": _moves_of(1, 2, 2, 2, 1),
        "W3 zero, tanh: the layers below W3 do move, one step after it: by then W3 is no longer zero and lets the "
        "gradient through.": _moves_of(1, 0, 0, 1, 2),
        "W2 and W3 zero, tanh: you let them free each other. W3 waits for an input through W2, and W2 for a gradient "
        "through W3: neither ever comes.": _moves_of(2, 3, 2, 2, 1),
        "W2 and W3 zero, tanh: W4 does move. The bias b3 has a gradient in step 1, and from then on h3 = tanh(b3) is "
        "not zero.": _moves_of(2, 0, 0, 0, 0),
        "You counted the steps from 0. The first step is number 1, because 0 stands for a matrix that never changes at "
        "all, in any step.": (3, 2, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1),
    },
)
def start_first_moves() -> tuple[int, ...]:
    """Four steps for each of three nets."""
    return 4, 3, 2, 1, 2, 2, 1, 2, 0, 0, 0, 2


# --- ranks --------------------------------------------------------------------------------------------


def _groups(*, generator: torch.Generator) -> Inputs:
    return tuple(sizes(2, 3, 8, generator=generator))


@exercise(
    "start-ranks",
    value=True,
    inputs=_groups,
    parts=("rank of W1", "rank of W2", "rank of W3"),
    right="equal rows and equal columns stay equal, and either bounds the rank.",
    mistakes={
        "You treated all units of a layer as equal. Only the units of one group are equal and may be swapped; the "
        "groups differ.": (1, 1, 1),
        "You let training undo the groups. Swapping two units of a group changes nothing at initialization, so by the "
        "theorem it never does.": (60, 60, 10),
        "Your rank of W2 counts groups of one layer only. Its rows belong to layer 2 and its columns to layer 1: the "
        "rank is at most the smaller number.": lambda first, second: (first, max(first, second), second),
        "You multiplied the groups. W2 has that many blocks, but its rank is bounded by its rows and by "
        "its columns.": lambda first, second: (first, first * second, second),
        "You gave W3 the rank of its ten rows. Its columns belong to the units of layer 2, and they are equal "
        "in groups.": lambda first, second: (first, min(first, second), 10),
        "You gave W1 the groups of layer 2. The rows of W1 belong to the units of layer 1, so the groups of that "
        "layer count.": lambda first, second: (second, min(first, second), second),
    },
)
def start_ranks(first: int, second: int) -> tuple[int, int, int]:
    """The ranks of three matrices after training."""
    return first, min(first, second), second


# --- dead units ---------------------------------------------------------------------------------------


def _vectors(*, generator: torch.Generator) -> Inputs:
    """Pre-activations in which some units are dead, and some are not though their mean is negative."""
    m, units = sizes(2, 4, 9, generator=generator)
    return (_with_dead_units(normal(m, units, generator=generator, mean=-0.5)),)


def _images(*, generator: torch.Generator) -> Inputs:
    """The same with more than a hundred values a channel, so that "off for 99 %" is not yet dead."""
    channels, height, width = sizes(3, 6, 9, generator=generator)
    return (_with_dead_units(normal(3, channels, height, width, generator=generator, mean=-0.5)),)


def _with_dead_units(z: Tensor) -> Tensor:
    z[-1] = -z[-1].abs()  # an example for which nothing is on
    z[:, :3] = -z[:, :3].abs()
    z[0, 2].view(-1)[0] = 0.5  # a single example, and in it a single pixel, keeps a unit alive
    z[:-1, 3] = z[:-1, 3].abs() + 1
    return z


def _by_unit(z: Tensor) -> Tensor:
    """A row for each unit, with its values for all examples and pixels."""
    return z.transpose(0, 1).flatten(1)


def _dead(z: Tensor) -> Tensor:
    """Which units are off for every example, and in an image at every pixel."""
    return (_by_unit(z) <= 0).all(1)


def _share(which: Function = _dead) -> Function:
    """An answer that averages over something that is true or false."""
    return lambda z: which(z).double().mean()


@exercise(
    "start-dead-units",
    inputs=(_vectors, _images),
    cases=8,
    right="you count the units that no example reaches, for vectors and for images.",
    mistakes={
        "That is the share of zeros among all activations. A unit that is off for some examples still learns from the "
        "others: it is dead if it is off for all.": _share(lambda z: z <= 0),
        "You counted units that are off for some example, but a dead unit is off for all of them. Use `all` over the "
        "batch, not `any`.": _share(lambda z: (_by_unit(z) <= 0).any(1)),
        "You counted examples for which all units are off. Look at each unit over the batch instead, which means dim=0 "
        "for vectors.": _share(lambda z: (z <= 0).flatten(1).all(1)),
        "You called a unit dead when its mean is not positive. One positive value keeps it learning: look at "
        "the largest.": _share(lambda z: _by_unit(z).mean(1) <= 0),
        "You called a unit dead that is off for nearly all examples. One positive value keeps it learning: it is dead "
        "if it is off for all.": _share(lambda z: (_by_unit(z) <= 0).double().mean(1) >= 0.99),
        "You took the mean over the pixels of an image before you looked at signs. One positive pixel keeps the "
        "channel learning.": _share(lambda z: (z.reshape(*z.shape[:2], -1).mean(2) <= 0).all(0)),
        "You treated every pixel as a unit. The pixels of a channel share their weights: a unit is a channel, and it "
        "lives if one pixel of one image is positive.": _share(lambda z: (z <= 0).all(0)),
        "You reshaped the images to rows without moving the channels to the end first, so your columns mix channels. "
        "Take `z.movedim(1, -1)` before `reshape`, or the largest value over all dimensions "
        "but 1.": _share(lambda z: (z <= 0).reshape(-1, z.shape[1]).all(0)),
        "You returned which units are dead. Return their share: the mean.": _dead,
        "That is a percentage. Return a share, between 0 and 1.": lambda z: 100 * _share()(z),
        "You counted the dead units. Divide by the number of units.": lambda z: _dead(z).double().sum(),
        "That is the share of living units.": _share(lambda z: ~_dead(z)),
        "No unit passes your test. ReLU turns every negative value into zero, so a unit is off wherever `z <= 0`, not "
        "only at zero.": _share(lambda z: (_by_unit(z) == 0).all(1)),
    },
)
def start_dead_units(z: Tensor) -> float:
    """The share of units whose ReLU passes no gradient for any example."""
    return float(_share()(z))


# --- the output layer ---------------------------------------------------------------------------------


def _trained(*, generator: torch.Generator) -> Inputs:
    """A network with biases and with logits of some mean, a batch, and the size that its logits should have."""
    m, inputs, hidden, classes = sizes(4, 3, 8, generator=generator)
    model = scramble(mlp([inputs, hidden, classes], nn.Tanh), generator=generator)
    return model, normal(m, inputs, generator=generator), uniform(0.05, 0.3, generator=generator)


def _outputs(answer: Function, model: nn.Sequential, x: Tensor, size: float) -> dict[str, Tensor]:
    """What a network computes once an answer has rescaled it."""
    rescaled = answer(model, x, size)
    if not callable(rescaled):
        raise WrongType(f"Change the network in place, or return it; yours returned a {type(rescaled).__name__}.")
    return {"hidden activations": rescaled[:-1](x), "logits": rescaled(x)}


def _rms(z: Tensor) -> Tensor:
    return z.square().mean().sqrt()


def _rescaling(
    factor: Function = lambda z, size: size / _rms(z), *, bias: bool = True, everywhere: bool = False
) -> Function:
    """An answer that multiplies the output layer by ``factor(logits, size)``, a number or one for each class."""

    @torch.no_grad()
    def rescale(model: nn.Sequential, x: Tensor, size: float) -> None:
        by = factor(model(x), size)
        of_output = list(model[-1].parameters())
        for parameter in model.parameters() if everywhere else of_output[: 1 + bias]:
            parameter.transpose(0, -1).mul_(by)  # classes are rows of the weight

    return rescale


def _changed_below(outcome: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether the layers below the output compute something else than before."""
    return not torch.equal(outcome["hidden activations"], expected["hidden activations"])


def _redrawn(outcome: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether the logits are not in a fixed ratio to the right ones."""
    logits = torch.stack([outcome["logits"].flatten(), expected["logits"].flatten()])
    return bool(torch.linalg.matrix_rank(logits, rtol=1e-4) > 1)


@exercise(
    "start-calm-logits",
    inputs=_trained,
    observe=_outputs,
    changes=(0,),
    right="the logits keep their pattern and have the size that you were asked for.",
    mistakes={
        "You divided by the mean square of the logits. To change the size of the logits themselves you need its root, "
        "the root mean square.": _rescaling(lambda z, size: size / z.square().mean()),
        "You multiplied by the size that is wanted, whatever the logits are. Divide by the size they "
        "have, too.": _rescaling(lambda z, size: size),
        "You scaled the weights of the output layer but not its bias. The bias is part of the logits, too, and needs "
        "the same factor.": _rescaling(bias=False),
        "You scaled every layer. The layers below the output then compute something else; rescaling the output layer "
        "alone is enough.": _rescaling(everywhere=True),
        "You divided by the standard deviation of all logits, which ignores their mean. The root mean square is the "
        "root of mean(z²).": _rescaling(lambda z, size: size / z.std(correction=0)),
        "You divided by the unbiased standard deviation of all logits. The root mean square subtracts no mean and "
        "divides by the number of logits.": _rescaling(lambda z, size: size / z.std()),
        "You gave every class a factor of its own. One factor for the whole layer keeps the pattern of "
        "the logits.": _rescaling(lambda z, size: size / z.square().mean(0).sqrt()),
        "You divided by the length of all logits together. Their root mean square is smaller, by the root of "
        "their number.": _rescaling(lambda z, size: size / z.norm()),
        "You divided by the mean of the absolute values. The root mean square is the root of the mean of the squares, "
        "which is larger.": _rescaling(lambda z, size: size / z.abs().mean()),
        "You gave the logits the size 1, whatever size is wanted. The factor is the wanted size divided by the one "
        "that they have.": _rescaling(lambda z, size: 1 / _rms(z)),
        "Your factor is upside down. Divide the size that is wanted by the size that the logits have now, not the "
        "other way around.": _rescaling(lambda z, size: _rms(z) / size),
        "The layers below the output compute something else now. Leave them as they are, and add nothing: multiply "
        "weights and bias of `model[-1]` by one factor.": When(_changed_below),
        "Your new logits are not a multiple of the old ones. Do not draw or set anything anew: multiply weights and "
        "bias of the output layer by one factor.": When(_redrawn),
    },
)
def start_calm_logits(model: nn.Sequential, x: Tensor, size: float) -> None:
    """Scale the output layer so that the logits of a batch have a given root mean square."""
    _rescaling()(model, x, size)


# --- a broken initialization --------------------------------------------------------------------------


def _network(*, generator: torch.Generator) -> Inputs:
    """A network that tapers, with two layers of one shape, and where its numbers are to come from."""
    wide, narrow = 150 + between(0, 20, generator=generator), 50 + between(0, 20, generator=generator)
    return mlp([wide, 80, 80, 80, narrow], nn.Tanh), stream(generator=generator)


def _initialized(answer: Function, model: nn.Sequential, generator: torch.Generator) -> list[Any]:
    """Weight and bias of each linear layer, for three generators."""
    models = thrice(lambda source: answer(copy.deepcopy(model), source), generator)
    return [[(layer.weight, layer.bias) for layer in linear_layers(one)] for one in models]


def _requirements(draws: list[Any], *inputs: Any) -> Outcome:
    """Biases, which units and layers are alike, and the distribution of the weights in units of 1/sqrt(n_in)."""
    weights, *others = ([weight for weight, _ in layers] for layers in draws)
    biases = [bias for _, bias in draws[0] if bias is not None]
    rows, columns = (weights[0].unique(dim=dim).shape[dim] for dim in (0, 1))
    spread = moments(torch.cat([weight.flatten() * weight.shape[1] ** 0.5 for weight in weights]))
    return {
        "shapes": str([tuple(weight.shape) for weight in weights]),
        "layers with a bias": len(biases),
        "largest bias": max((bias.abs().max().item() for bias in biases), default=0.0),
        "different units in layer 1": rows,
        "different inputs of layer 1": columns,
        "layers 2 and 3 are equal": torch.equal(weights[1], weights[2]),
        "random numbers come from": origin(weights, *others),
        # the errors of the moments hold for independent weights only
        **{f"{name} of w sqrt(n_in)": one if min(rows, columns) > 1 else None for name, one in spread.items()},
    }


def _drawing(
    std: Function = lambda n_in, n_out: n_in**-0.5,
    *,
    shape: Function = lambda n_in, n_out: (n_out, n_in),
    keep_bias: bool = False,
    source: Function = lambda generator: generator,
) -> Function:
    """An initialization without a fault unless told otherwise; ``shape`` is that of the numbers drawn for a layer."""

    def initialize(model: nn.Module, generator: torch.Generator | None) -> None:
        for layer in linear_layers(model):
            both = layer.in_features, layer.out_features
            drawn = torch.randn(shape(*both), generator=source(generator)) * std(*both)
            layer.weight.data = drawn.expand_as(layer.weight).clone()
            if not keep_bias:
                init.zeros_(layer.bias)

    return initialize


@exercise(
    "start-broken",
    inputs=_network,
    observe=_initialized,
    describe=_requirements,
    changes=(0,),
    rtol32=None,
    cases=3,
    right="units differ, the weights have the size 1/sqrt(n_in), and the biases are zero.",
    mistakes={
        "All units of a layer still begin alike. Draw a row of its own for each unit: a matrix as large as the weight "
        "of the layer.": _drawing(shape=lambda n_in, n_out: (1, n_in)),
        "You still divide by n_in. A sum of n_in independent terms grows with the root of n_in, so divide by "
        "sqrt(n_in) instead.": _drawing(lambda n_in, n_out: 1 / n_in),
        "You no longer divide by anything. Weights of standard deviation 1 saturate every unit: divide "
        "by sqrt(n_in).": _drawing(lambda n_in, n_out: 1),
        "You divide by the root of n_out. The sum that a unit computes has n_in terms, so the root of n_in is what you "
        "divide by.": _drawing(lambda n_in, n_out: n_out**-0.5),
        "All weights of a unit are equal: you drew one number for each row. Draw a matrix as large as "
        "the weight.": _drawing(shape=lambda n_in, n_out: (n_out, 1)),
        "You multiply by the root of n_in. The more terms a sum has, the smaller the weights must be: divide "
        "by it.": _drawing(lambda n_in, n_out: n_in**0.5),
        "Your variance is 2/n_in. That is He's initialization, which is meant for ReLU; the exercise asks for the "
        "variance 1/n_in.": _drawing(lambda n_in, n_out: (2 / n_in) ** 0.5),
        "Your variance is Glorot's, which takes the mean of both fans. The exercise asks for 1/n_in, which depends on "
        "the inputs only.": _drawing(lambda n_in, n_out: (2 / (n_in + n_out)) ** 0.5),
        "You multiplied by the gain 5/3 that PyTorch recommends for tanh. The exercise asks for "
        "1/sqrt(n_in) alone.": _drawing(lambda n_in, n_out: 5 / 3 * n_in**-0.5),
        "The biases are still PyTorch's random ones. Set them to zero.": _drawing(keep_bias=True),
        "Layers of one shape are equal: you seed a new generator for each layer. Use the generator that you are given "
        "for all of them.": _drawing(source=lambda generator: torch.Generator().manual_seed(0)),
        "Your weights are uniform. The exercise asks for normal ones of the same standard deviation, as `torch.randn` "
        "draws them.": lambda net, generator: initialize_(net, "lecun_uniform", generator=generator),
        **off_stream(_drawing()),
    },
)
def start_broken(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Normal weights of standard deviation 1/sqrt(n_in), zero biases."""
    return initialize_(model, "lecun_normal", generator=generator)
