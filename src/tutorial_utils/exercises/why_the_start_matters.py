"""Exercises about why the start matters."""

import copy
import math
from collections.abc import Sequence
from itertools import starmap
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.toolbox import (
    between,
    in_place,
    linear_layers,
    moments,
    normal,
    off_stream,
    origin,
    rescaled,
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
    inputs=_first_loss,
    rtol=5e-3,
    rtol32=None,
    right="that is the spread at which small random logits cost this much more than ln C.",
    mistakes={
        "That is the variance of the logits. The standard deviation is its root.": _spread(power=1),
        "You left out 1 - 1/C. The loss does not notice what all logits of an image have in common, and that is a "
        "share 1/C of their variance.": _spread(lambda classes: 1 / 2),
        "You left out the one half of the second-order term.": _spread(lambda classes: 1 - 1 / classes),
        "You multiplied by 1 - 1/C. The loss contains it as a factor of the variance, so solving for the variance "
        "divides by it.": _spread(lambda classes: 1 / (1 - 1 / classes) / 2),
        "You used the whole loss. What the logits add is only the part above ln C.": _spread(least=lambda classes: 0),
        "You used the logarithm to base 10. Cross-entropy uses the natural one.": _spread(least=math.log10),
        "You used the logarithm to base 2. Cross-entropy uses the natural one.": lambda classes, loss: _spread()(
            classes, math.log(classes) + abs(loss - math.log2(classes))
        ),
        "You divided by 1 - 1/C after taking the root. The loss contains it as a factor of the variance: divide "
        "first.": lambda classes, loss: math.sqrt(2 * (loss - math.log(classes))) / (1 - 1 / classes),
        "You used the chapter's 0.45, which is (1 - 1/C)/2 for ten classes only.": _spread(lambda classes: 0.45),
    },
)
def start_logit_spread(classes: int, loss: float) -> float:
    """The standard deviation of small random logits, from the first loss."""
    return float(_spread()(classes, loss))


# --- the range of a number format ----------------------------------------------------------------------

#: The smallest and the largest positive numbers of float16, bfloat16 and float32.
FORMATS = ((6e-8, 65504.0), (9.2e-41, 3.39e38), (1.4e-45, 3.4e38))


def _growing(*, generator: torch.Generator) -> Inputs:
    """A size, a factor above one, and the range of some format."""
    size, factor = uniform(0.2, 5, generator=generator), uniform(1.3, 4, generator=generator)
    return size, factor, *FORMATS[between(0, 2, generator=generator)]


def _shrinking(*, generator: torch.Generator) -> Inputs:
    size, factor, *range_ = _growing(generator=generator)
    return size, 1 / factor, *range_


def _first_outside(size: float, factor: float, smallest: float, largest: float) -> int:
    layer = 0
    while smallest <= size <= largest:
        size, layer = size * factor, layer + 1
    return layer


def _by_formula(size: float, factor: float, smallest: float, largest: float, log: Function = math.log) -> float:
    """The layers, as a broken number, that lead to the end of the range."""
    return float(log((largest if factor > 1 else smallest) / size) / log(factor))


@exercise(
    "start-half-precision",
    inputs=(_growing, _shrinking),
    rtol32=None,
    right="so few layers fit into a number format, and fewest into float16.",
    mistakes={
        "That is the last layer whose signal still fits. The exercise asks for the next one, the first whose signal "
        "does not fit.": lambda *inputs: _first_outside(*inputs) - 1,
        "You returned a number of layers that is not whole. Round up: the signal is lost in the first whole layer "
        "beyond the end of the range.": _by_formula,
        "You took the factor for that of the second moment. Here it multiplies the signal itself, so do not take its "
        "root.": lambda size, factor, *ends: _first_outside(size, factor**0.5, *ends),
        "You squared the factor. It multiplies the signal itself.": lambda size, factor, *ends: _first_outside(
            size, factor**2, *ends
        ),
        "You started from a signal of size 1. Start from the size that you are given.": lambda size, *others: (
            _first_outside(1.0, *others)
        ),
        "You are one layer too far. The size after layer 1 is size * factor, so the input itself is no "
        "layer.": lambda *inputs: _first_outside(*inputs) + 1,
        "You used the range of float16, whatever the format is. Use `smallest` and `largest`.": (
            lambda size, factor, *ends: _first_outside(size, factor, FORMATS[0][0], FORMATS[0][1])
        ),
        "You used the upper end of the range only. A factor below 1 leads to the lower end.": lambda *inputs: (
            _first_outside(*inputs) if inputs[1] > 1 else 0
        ),
        "Where the signal grows your number is right. Where `factor` is below 1 the signal leaves the range at the "
        "other end: compare with `smallest`.": When(lambda given, right, size, factor, *ends: factor < 1),
        "Where the signal shrinks your number is right. Where `factor` is above 1 the signal leaves the range at the "
        "other end: compare with `largest`.": When(lambda given, right, size, factor, *ends: factor > 1),
    },
)
def start_half_precision(size: float, factor: float, smallest: float, largest: float) -> int:
    """The first layer in which a signal leaves the range of a number format."""
    return _first_outside(size, factor, smallest, largest)


# --- which weights move, and when ---------------------------------------------------------------------

STEPS = 12


def _sigmoids(*, generator: torch.Generator) -> Inputs:
    """A number of layers, an activation, and the numbers of the matrices that start at zero, at least two."""
    layers = between(4, 7, generator=generator)
    zero = sizes(between(2, layers, generator=generator), 1, layers, generator=generator)
    return layers, "sigmoid", tuple(sorted(zero))


def _neighbors(*, generator: torch.Generator) -> Inputs:
    layers = between(4, 7, generator=generator)
    first = between(1, layers - 2, generator=generator)
    return layers, "tanh", (first, first + 1)


def _apart(*, generator: torch.Generator) -> Inputs:
    layers = between(5, 8, generator=generator)
    return layers, "tanh", (between(1, layers - 2, generator=generator), layers)


def _alone(*, generator: torch.Generator) -> Inputs:
    layers = between(4, 7, generator=generator)
    return layers, "tanh", (between(2, layers - 1, generator=generator),)


def _moves(
    *,
    zeros_from: Sequence[str] = ("tanh",),
    biases: bool = True,
    needs: Function = lambda own, arrives, gradient: arrives and gradient,
    at_once: bool = False,
) -> Function:
    """An answer, right unless told otherwise, that follows what is zero and what is not.

    Units with an activation in ``zeros_from`` are zero where their pre-activation is; ``at_once`` lets a step use
    weights that the same step has changed.
    """

    def steps(layers: int, activation: str, zero: Sequence[int]) -> list[int]:
        weight = [number not in zero for number in range(1, layers + 1)]
        bias, first = [False] * layers, [0] * layers
        for step in range(1, STEPS + 1):
            signal, gradient = [True], [True]
            for own, added in zip(weight, bias, strict=True):
                signal.append(activation not in zeros_from or (own and signal[-1]) or added)
            for own in weight[:0:-1]:
                gradient.append(own and gradient[-1])
            gradient.reverse()
            for index in range(layers):
                if needs(weight[index], signal[index], gradient[index]):
                    first[index] = first[index] or step
            weight = [own or bool(moved) for own, moved in zip(weight, first, strict=True)]
            bias = [added or (biases and arrives) for added, arrives in zip(bias, gradient, strict=True)]
        return [1 if at_once and moved else moved for moved in first]

    return steps


def _random_at_once(steps: Tensor, right: Tensor, layers: int, activation: str, zero: Sequence[int]) -> bool:
    """Whether every matrix that does not start at zero is said to move in the first step."""
    return all(steps[number - 1] == 1 for number in range(1, layers + 1) if number not in zero)


@exercise(
    "start-first-moves",
    inputs=(_sigmoids, _neighbors, _apart, _alone),
    rtol32=None,
    cases=12,
    predict=((4, "sigmoid", (1, 2, 3, 4)), (4, "tanh", (3,)), (4, "tanh", (2, 3))),
    right="a matrix moves once the signal that arrives and the gradient that comes back are both not zero.",
    mistakes={
        "You let every matrix that ever moves do so in the first step. But the gradient reaches a layer only through "
        "the matrices above it, and the signal only through those below. While one of them is zero, both have to "
        "wait.": _moves(at_once=True),
        "You treated a sigmoid like tanh. The sigmoid of zero is one half, so behind a zero matrix its units still "
        "send a signal.": _moves(zeros_from=("tanh", "sigmoid")),
        "You left out the biases. A bias gets a gradient as soon as one arrives at its layer, and from the next step "
        "on tanh(b) is a signal.": _moves(biases=False),
        "You looked only at the gradient. It is multiplied by the signal that arrives from below, and tanh(0) is 0: "
        "behind a zero matrix there is no signal until a weight or a bias has moved.": _moves(
            needs=lambda own, arrives, gradient: gradient
        ),
        "You looked only at the signal. It is multiplied by the gradient that comes back from above: where that is "
        "zero, the matrix stays.": _moves(needs=lambda own, arrives, gradient: arrives),
        "You let a matrix that starts at zero stay at zero. Its own value does not enter its gradient, only the signal "
        "below and the gradient above do.": _moves(needs=lambda own, arrives, gradient: own and arrives and gradient),
        "You counted the steps from 0. The first step is number 1, because 0 stands for a matrix that never "
        "changes.": lambda *net: [max(step - 1, 0) for step in _moves()(*net)],
        "Your list begins with the last layer. It should begin with the first.": lambda *net: _moves()(*net)[::-1],
        "You let every matrix that does not start at zero move in the first step. A matrix of zeros above it stops the "
        "gradient, and one below it may stop the signal: then it has to wait, too.": When(_random_at_once),
    },
)
def start_first_moves(layers: int, activation: str, zero: Sequence[int]) -> Tensor:
    """The step in which each matrix changes for the first time; 0 if it never does."""
    return torch.tensor(_moves()(layers, activation, zero))


# --- ranks --------------------------------------------------------------------------------------------


def _groups(*, generator: torch.Generator) -> Inputs:
    """Groups of two layers, and classes; the second number of groups may be the larger or the smaller one."""
    first, second, classes = sizes(3, 3, 20, generator=generator)
    return first, second, classes


@exercise(
    "start-ranks",
    inputs=_groups,
    rtol32=None,
    cases=10,
    parts=("rank of W1", "rank of W2", "rank of W3"),
    predict=((5, 8, 10),),
    right="equal rows and equal columns stay equal, and the smaller number of them bounds the rank.",
    mistakes={
        "You treated all units of a layer as equal. Only the units of one group are; the groups "
        "differ.": lambda first, second, classes: (1, 1, 1),
        "You let training undo the groups. Swapping two units of a group changes nothing at the start, so by the "
        "theorem it never does.": lambda first, second, classes: (60, 60, classes),
        "Your rank of W2 is the larger number of groups. Its rows belong to layer 2 and its columns to layer 1, and "
        "the rank is at most the smaller number.": lambda first, second, classes: (
            first,
            max(first, second),
            min(second, classes),
        ),
        "You multiplied the groups. W2 has that many blocks, but its rank is at most the number of different rows, and "
        "at most that of different columns.": lambda first, second, classes: (
            first,
            first * second,
            min(second, classes),
        ),
        "You gave W3 the number of classes as its rank. That is its number of rows; its columns belong to the units of "
        "layer 2 and are equal in groups, so there may be fewer different ones.": lambda first, second, classes: (
            first,
            min(first, second),
            classes,
        ),
        "You gave W3 the number of groups as its rank. It has one row for each class, and its rank is at most the "
        "number of rows, too.": lambda first, second, classes: (first, min(first, second), second),
        "You gave W1 the groups of layer 2. The rows of W1 belong to the units of layer 1.": lambda *given: (
            given[1],
            min(given[:2]),
            min(given[1:]),
        ),
        "You took one from the classes. The gradients of all classes add up to zero, but W3 also keeps its random "
        "start, in which no row follows from the others.": lambda first, second, classes: (
            first,
            min(first, second),
            min(second, classes - 1),
        ),
        "You counted ten classes, whatever `classes` is.": lambda first, second, classes: (
            first,
            min(first, second),
            min(second, 10),
        ),
        "You gave W2 the groups of layer 2. Its rows belong to these, but its columns belong to the groups of layer 1, "
        "and the rank is at most the "
        "smaller number.": lambda first, second, classes: (first, second, min(second, classes)),
        "You let the smallest number bound every rank. Each matrix knows its own rows and columns only: W3 has nothing "
        "to do with the groups of layer 1.": lambda first, second, classes: (
            first,
            min(first, second),
            min(first, second, classes),
        ),
        "You let the groups of layer 2 bound the rank of W1, too. The columns of W1 belong to the inputs, which are "
        "not in groups.": lambda first, second, classes: (
            min(first, second),
            min(first, second),
            min(first, second, classes),
        ),
    },
)
def start_ranks(first: int, second: int, classes: int) -> tuple[int, int, int]:
    """The ranks of three matrices after training."""
    return first, min(first, second), min(second, classes)


# --- dead units ---------------------------------------------------------------------------------------


def _vectors(*, generator: torch.Generator) -> Inputs:
    """Pre-activations in which some units are dead, and some are not though their mean is negative."""
    m, units = sizes(2, 4, 9, generator=generator)
    return (_with_dead_units(normal(m, units, generator=generator, mean=-0.5)),)


def _images(*, generator: torch.Generator) -> Inputs:
    """The same with more than a hundred values a channel, so that "off for 99 %" is not yet dead."""
    channels, height, width = sizes(3, 6, 9, generator=generator)
    return (_with_dead_units(normal(3, channels, height, width, generator=generator, mean=-0.5)),)


def _many(*, generator: torch.Generator) -> Inputs:
    """So many examples that "off for 99.9 %" is not yet dead."""
    units = between(5, 9, generator=generator)
    return (_with_dead_units(normal(2000, units, generator=generator, mean=-0.5)),)


def _with_dead_units(z: Tensor) -> Tensor:
    z[-1] = -z[-1].abs()  # an example for which nothing is on
    z[:, :3] = -z[:, :3].abs()
    z[0, 1].view(-1)[0] = 0.0  # at zero, a unit is off, too
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


def _nearly_dead(share: Any, right: float, z: Tensor) -> bool:
    """Whether some share of the batch, short of all, would make as many units dead."""
    off = (_by_unit(z) <= 0).double().mean(1)
    shares = [(off >= least).double().mean().item() for least in off[off < 1].unique().tolist()]
    return any(math.isclose(float(share), one, rel_tol=1e-3) for one in shares)


@exercise(
    "start-dead-units",
    inputs=(_vectors, _images, _many),
    cases=12,
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
        "You count a unit as living that comes up to 0 but not above. ReLU gives 0 there as well and passes no "
        "gradient: off means `z <= 0`.": _share(lambda z: (_by_unit(z) < 0).all(1)),
        "You looked at one pixel of each image. All pixels of a channel share their weights: it lives if one of them "
        "is positive for one image.": _share(lambda z: (z.reshape(*z.shape[:2], -1)[..., 0] <= 0).all(0)),
        "You called a unit dead that is off for nearly all examples. One positive value keeps it learning: it is dead "
        "if it is off for all.": When(_nearly_dead),
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
    """What a network computes once an answer has rescaled it, whatever dtype that gave to its parameters."""
    modes = [module.training for module in model]
    calm = copy.deepcopy(answer(model, x, size)).to(x.dtype)
    return {
        "layers": len(calm),
        "hidden activations": calm[:-1](x),
        "logits": calm(x),
        "all weights still learn": all(parameter.requires_grad for parameter in calm.parameters()),
        "the modes are as before": [module.training for module in calm][: len(modes)] == modes,
    }


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


def _left_frozen(model: nn.Sequential, x: Tensor, size: float) -> None:
    _rescaling()(model, x, size)
    model.requires_grad_(False)


def _left_in_eval(model: nn.Sequential, x: Tensor, size: float) -> None:
    _rescaling()(model.eval(), x, size)


def _more_layers(outcome: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether the network has other layers than before."""
    return bool(outcome["layers"] != expected["layers"])


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
    observe=in_place(_outputs),
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
        "You took the root of the factor. Multiplying weights and bias by a factor multiplies the logits by the same "
        "factor.": _rescaling(lambda z, size: (size / _rms(z)) ** 0.5),
        "Your factor is upside down. Divide the size that is wanted by the size that the logits have now, not the "
        "other way around.": _rescaling(lambda z, size: _rms(z) / size),
        "You added or removed a layer. The network keeps its layers: multiply weights and bias of `model[-1]` by one "
        "factor.": When(_more_layers),
        "The layers below the output compute something else now. Leave them as they are: multiply weights and bias of "
        "`model[-1]` by one factor.": When(_changed_below),
        "You switched gradients off, and left them off: nothing below learns anymore. Compute the factor under "
        "`torch.no_grad()` instead.": _left_frozen,
        "You left the network in eval mode. Put back the mode that it had, or do not change it.": _left_in_eval,
        "Your new logits are not a multiple of the old ones. Do not draw or set anything anew: multiply weights and "
        "bias of the output layer by one factor.": When(_redrawn),
        "You divided by the mean length of an example's logits. The root mean square is smaller, by about the root of "
        "the number of classes: it is the root of mean(z²), over examples and classes.": _rescaling(
            lambda z, size: size / z.norm(dim=1).mean()
        ),
        "You divided by the largest logit. The root mean square is the root of the mean of all squares.": _rescaling(
            lambda z, size: size / z.abs().max()
        ),
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


def _requirements(draws: list[Any], model: nn.Module, generator: torch.Generator) -> Outcome:
    """Biases, which units and layers are alike, and the distribution of the weights in units of 1/sqrt(n_in)."""
    weights, *others = ([weight for weight, _ in layers] for layers in draws)
    biases = [bias for _, bias in draws[0] if bias is not None]
    kept = [torch.equal(one, layer.weight) for one, layer in zip(weights, linear_layers(model), strict=True)]
    rows, columns = (weights[0].unique(dim=dim).shape[dim] for dim in (0, 1))
    spread = moments(torch.cat([weight.flatten() * weight.shape[1] ** 0.5 for weight in weights]))
    return {
        "shapes": str([tuple(weight.shape) for weight in weights]),
        "layers with a bias": len(biases),
        "largest bias": max((bias.abs().max().item() for bias in biases), default=0.0),
        "different units in layer 1": rows,
        "different inputs of layer 1": columns,
        "layers 2 and 3 are equal": torch.equal(weights[1], weights[2]),
        "layers left as they were": sum(kept),
        "rescaled to fit": any(starmap(rescaled, zip(weights, others[-1], strict=True))) and not any(kept),
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
    after: Function = lambda drawn, deviation: drawn,
) -> Function:
    """An initialization without a fault unless told otherwise; ``shape`` is that of the numbers drawn for a layer."""

    def initialize(model: nn.Module, generator: torch.Generator | None) -> None:
        for layer in linear_layers(model):
            both = layer.in_features, layer.out_features
            drawn = after(torch.randn(shape(*both), generator=source(generator)) * std(*both), std(*both))
            layer.weight.data = drawn.expand_as(layer.weight).clone()
            if not keep_bias:
                init.zeros_(layer.bias)

    return initialize


def _layer_left(outcome: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether some layer, but not all, has the weights that it had."""
    return bool(0 < outcome["layers left as they were"] < len(list(linear_layers(inputs[0]))))


@exercise(
    "start-broken",
    inputs=_network,
    observe=in_place(_initialized),
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
        "You rescaled the numbers that you drew until their standard deviation was exactly right. The distribution has "
        "this standard deviation; a sample of it is larger or smaller by chance. Multiply by 1/sqrt(n_in), whatever "
        "was drawn.": _drawing(after=lambda drawn, deviation: drawn * deviation / drawn.std()),
        "The biases are still PyTorch's random ones. Set them to zero.": _drawing(keep_bias=True),
        "You left out a layer: it still has the weights that it had. Draw those of every linear layer, the first and "
        "the last one, too.": When(_layer_left),
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
