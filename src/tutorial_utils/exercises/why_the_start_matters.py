"""Exercises about why the start matters."""

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.legacy import thrice
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, When, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import between, linear_layers, moments, normal, origin, sizes, stream, uniform
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp

# --- the first loss -----------------------------------------------------------------------------------


def _first_loss(*, generator: torch.Generator) -> Inputs:
    """A number of classes, and the first loss that the formula gives for some spread, to four decimals."""
    classes, spread = between(3, 8, generator=generator), uniform(0.4, 0.7, generator=generator)
    return classes, round(math.log(classes) + (1 - 1 / classes) * spread**2 / 2, 4)


@exercise(
    "start-logit-spread",
    value=True,
    inputs=_first_loss,
    rtol=5e-3,
    right="that is the spread at which small random logits cost this much more than ln C.",
    mistakes=(
        Mistake(
            "That is the variance of the logits. The standard deviation is its root.",
            lambda classes, loss: 2 * (loss - math.log(classes)) / (1 - 1 / classes),
        ),
        Mistake(
            "You left out 1 - 1/C. The loss does not notice what all logits of an image have in common, and that is a "
            "share 1/C of their variance.",
            lambda classes, loss: math.sqrt(2 * (loss - math.log(classes))),
        ),
        Mistake(
            "You left out the one half of the second-order term.",
            lambda classes, loss: math.sqrt((loss - math.log(classes)) / (1 - 1 / classes)),
        ),
        Mistake(
            "You multiplied by 1 - 1/C. It stands in front of v in the loss, so solving for v divides by it.",
            lambda classes, loss: math.sqrt(2 * (loss - math.log(classes)) * (1 - 1 / classes)),
        ),
        Mistake(
            "You used the whole loss. Only what it has above ln C comes from the logits.",
            lambda classes, loss: math.sqrt(2 * loss / (1 - 1 / classes)),
        ),
        Mistake(
            "You used the logarithm to base 10. Cross-entropy counts with the natural one.",
            lambda classes, loss: math.sqrt(2 * (loss - math.log10(classes)) / (1 - 1 / classes)),
        ),
    ),
)
def start_logit_spread(classes: int, loss: float) -> float:
    """The standard deviation of small random logits, from the first loss."""
    return math.sqrt(2 * (loss - math.log(classes)) / (1 - 1 / classes))


# --- which weights move, and when ---------------------------------------------------------------------


def _first_moves(activation: type[nn.Module], zero: tuple[int, ...], steps: int = 6) -> list[int]:
    """In which step of gradient descent each weight of a net with four layers first changes; 0 for never."""
    source = torch.Generator().manual_seed(0)
    net = mlp([6, 5, 5, 5, 3], activation).double()
    for number, layer in enumerate(linear_layers(net), 1):
        init.normal_(layer.weight, std=0.5 * (number not in zero), generator=source)
        init.zeros_(layer.bias)
    x, y = normal(20, 6, generator=source), torch.randint(3, (20,), generator=source)
    parameters, moved = list(net.parameters()), [0, 0, 0, 0]
    for step in range(1, steps + 1):
        gradients = torch.autograd.grad(functional.cross_entropy(net(x), y), parameters)
        changes = [bool(gradient.any()) for gradient in gradients[::2]]
        moved = [first or step * changed for first, changed in zip(moved, changes, strict=True)]
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(0.1 * gradient)
    return moved


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
    mistakes=(
        Mistake(
            "All zero, sigmoid: you let all weights move in the first step. But the gradient reaches a layer through "
            "the weights above it, and these are zero until they have moved.",
            _moves_of(0, 1, 1, 1, 1),
        ),
        Mistake(
            "All zero, sigmoid: you let no weight ever move. That holds for tanh; a sigmoid of zero is one half, so "
            "the output weights have an input.",
            _moves_of(0, 0, 0, 0, 0),
        ),
        Mistake(
            "All zero, sigmoid: you let the first layer begin. The gradient comes from the loss, so the last one does.",
            _moves_of(0, 1, 2, 3, 4),
        ),
        Mistake(
            "W3 zero, tanh: W3 alone is right to begin at once, but W4 cannot. Its input is tanh(0) = 0 in step 1.",
            _moves_of(1, 2, 2, 1, 1),
        ),
        Mistake(
            "W3 zero, tanh: you froze W3 at zero. It is fed by layer 2, and W4 above it is not zero, so it has a "
            "gradient at once.",
            _moves_of(1, 2, 2, 2, 1),
        ),
        Mistake(
            "W3 zero, tanh: the layers below W3 do move, one step after it: then W3 lets the gradient through.",
            _moves_of(1, 0, 0, 1, 2),
        ),
        Mistake(
            "W2 and W3 zero, tanh: you let them free each other. W3 waits for an input through W2, and W2 for a "
            "gradient through W3: neither ever comes.",
            _moves_of(2, 3, 2, 2, 1),
        ),
        Mistake(
            "W2 and W3 zero, tanh: W4 does move. The bias b3 has a gradient in step 1, and from then on h3 = tanh(b3) "
            "is not zero.",
            _moves_of(2, 0, 0, 0, 0),
        ),
    ),
)
def start_first_moves() -> tuple[int, ...]:
    """Four steps for each of three nets, as measured."""
    return (*_first_moves(nn.Sigmoid, (1, 2, 3, 4)), *_first_moves(nn.Tanh, (3,)), *_first_moves(nn.Tanh, (2, 3)))


# --- ranks --------------------------------------------------------------------------------------------


def _groups(*, generator: torch.Generator) -> Inputs:
    return tuple(sizes(2, 3, 8, generator=generator))


@exercise(
    "start-ranks",
    value=True,
    inputs=_groups,
    parts=("rank of W1", "rank of W2", "rank of W3"),
    right="equal rows and equal columns stay equal, and either bounds the rank.",
    mistakes=(
        Mistake(
            "You took all units of a layer for equal. Only units of one group may be swapped; the groups differ.",
            lambda first, second: (1, 1, 1),
        ),
        Mistake(
            "You let training undo the groups. Swapping two units of a group changes nothing at the start, so by the "
            "theorem it never does.",
            lambda first, second: (60, 60, 10),
        ),
        Mistake(
            "Your rank of W2 counts groups of one layer only. Its rows belong to layer 2 and its columns to layer 1: "
            "the rank is at most the smaller number.",
            lambda first, second: (first, max(first, second), second),
        ),
        Mistake(
            "You multiplied the groups. W2 has as many blocks, but its rank is bounded by its rows and by its columns.",
            lambda first, second: (first, first * second, second),
        ),
        Mistake(
            "You gave W3 the rank of its ten rows. Its columns belong to the units of layer 2, and they are equal in "
            "groups.",
            lambda first, second: (first, min(first, second), 10),
        ),
        Mistake(
            "You gave W1 the groups of layer 2. The rows of W1 belong to the units of layer 1.",
            lambda first, second: (second, min(first, second), second),
        ),
    ),
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
    channels, height, width = sizes(3, 4, 6, generator=generator)
    return (_with_dead_units(normal(3, channels, height, width, generator=generator, mean=-0.5)),)


def _with_dead_units(z: Tensor) -> Tensor:
    z[-1] = -z[-1].abs()  # an example for which nothing is on
    z[:, :3] = -z[:, :3].abs()
    z[0, 2].view(-1)[0] = 0.5  # a single example, and in it a single pixel, keeps a unit alive
    z[:-1, 3] = z[:-1, 3].abs() + 1
    return z


def _share(dead: Tensor) -> Tensor:
    return dead.double().mean()


def _dead(z: Tensor) -> Tensor:
    """Which units are off for every example, and in an image at every pixel."""
    return (z <= 0).transpose(0, 1).flatten(1).all(1)


@exercise(
    "start-dead-units",
    inputs=(_vectors, _images),
    right="you count the units that no example reaches, for vectors and for images.",
    mistakes=(
        Mistake(
            "That is the share of zeros among all activations. A unit that is off for some examples still learns from "
            "the others: it is dead if it is off for all.",
            lambda z: _share(z <= 0),
        ),
        Mistake(
            "You counted units that are off for some example. Use `all` over the batch, not `any`.",
            lambda z: _share((z <= 0).transpose(0, 1).flatten(1).any(1)),
        ),
        Mistake(
            "You counted examples for which all units are off. Look at each unit over the batch: dim=0.",
            lambda z: _share((z <= 0).flatten(1).all(1)),
        ),
        Mistake(
            "You called a unit dead when its mean is not positive. One positive value keeps it learning: look at the "
            "largest.",
            lambda z: _share(z.transpose(0, 1).flatten(1).mean(1) <= 0),
        ),
        Mistake(
            "You took the mean over the pixels of an image before you looked at signs. One positive pixel keeps the "
            "channel learning.",
            lambda z: _share((z.flatten(2).mean(2) <= 0).all(0)) if z.dim() > 2 else _share(_dead(z)),
        ),
        Mistake(
            "You took every pixel for a unit. The pixels of a channel share their weights: a unit is a channel, and it "
            "lives if one pixel of one image is positive.",
            lambda z: _share((z <= 0).all(0)),
        ),
        Mistake(
            "You reshaped the images to rows without moving the channels to the end first, so your columns mix "
            "channels. Take `z.movedim(1, -1)` before `reshape`, or the largest value over all dimensions but 1.",
            lambda z: _share((z <= 0).reshape(-1, z.shape[1]).all(0)),
        ),
        Mistake(
            "You returned which units are dead. Return their share: the mean.",
            _dead,
        ),
        Mistake("That is a percentage. Return a share, between 0 and 1.", lambda z: 100 * _share(_dead(z))),
        Mistake("You counted the dead units. Divide by the number of units.", lambda z: _dead(z).double().sum()),
        Mistake("That is the share of living units.", lambda z: 1 - _share(_dead(z))),
        Mistake(
            "No unit passes your test. ReLU makes zeros of negative values: a unit is off where `z <= 0`.",
            lambda z: _share((z == 0).transpose(0, 1).flatten(1).all(1)),
        ),
    ),
)
def start_dead_units(z: Tensor) -> float:
    """The share of units whose ReLU passes no gradient for any example."""
    return _share(_dead(z)).item()


# --- the output layer ---------------------------------------------------------------------------------


def _trained(*, generator: torch.Generator) -> Inputs:
    """A network with biases and with logits of some mean, a batch, and the size that its logits should have."""
    m, inputs, hidden, classes = sizes(4, 3, 8, generator=generator)
    net = mlp([inputs, hidden, classes], nn.Tanh).double()
    for parameter in net.parameters():
        init.normal_(parameter, generator=generator)
    return net, normal(m, inputs, generator=generator), uniform(0.05, 0.3, generator=generator)


def _outputs(answer: Function, model: nn.Sequential, x: Tensor, size: float) -> Outcome:
    """What a network computes once an answer has rescaled it."""
    rescaled = answer(model, x, size)
    if not callable(rescaled):
        raise WrongType(f"Change the network in place, or return it; yours returned a {type(rescaled).__name__}.")
    return {"hidden activations": rescaled[:-1](x).detach(), "logits": rescaled(x).detach()}


def _head(model: nn.Module) -> nn.Linear:
    *_, last = linear_layers(model)
    return last


@torch.no_grad()
def _rescale(model: nn.Sequential, x: Tensor, size: float, *, power: float = 1, bias: bool = True) -> None:
    """Divide the output layer by a power of the logits' root mean square."""
    factor = size / model(x).square().mean().sqrt() ** power
    _head(model).weight.mul_(factor)
    if bias:
        _head(model).bias.mul_(factor)


@torch.no_grad()
def _rescale_by(statistic: Function, model: nn.Sequential, x: Tensor, size: float) -> None:
    """Divide the output layer by another statistic of the logits, which may have a value for each class."""
    factor = size / statistic(model(x))
    _head(model).weight.mul_(factor.view(-1, 1))
    _head(model).bias.mul_(factor)


@torch.no_grad()
def _rescale_everything(model: nn.Sequential, x: Tensor, size: float) -> None:
    factor = size / model(x).square().mean().sqrt()
    for parameter in model.parameters():
        parameter.mul_(factor)


@torch.no_grad()
def _invert(model: nn.Sequential, x: Tensor, size: float) -> None:
    _rescale_by(lambda z: size**2 / z.square().mean().sqrt(), model, x, size)


def _changed_below(came: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether the layers below the output compute something else than before."""
    return not torch.equal(came["hidden activations"], expected["hidden activations"])


def _redrawn(came: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether the logits lie in no fixed ratio to the right ones, while the layers below are as they were."""
    if _changed_below(came, expected):
        return False
    logits = torch.stack([came["logits"].flatten(), expected["logits"].flatten()])
    return bool(torch.linalg.matrix_rank(logits, rtol=1e-4) > 1)


@exercise(
    "start-calm-logits",
    inputs=_trained,
    observe=_outputs,
    changes=(0,),
    right="the logits keep their pattern and have the size that you were asked for.",
    mistakes=(
        Mistake(
            "You divided by the mean square of the logits. To change their size you need its root.",
            partial(_rescale, power=2),
        ),
        Mistake(
            "You multiplied by the size that is wanted, whatever the logits are. Divide by the size they have, too.",
            partial(_rescale, power=0),
        ),
        Mistake(
            "You scaled the weights of the output layer and left its bias, which is part of the logits.",
            partial(_rescale, bias=False),
        ),
        Mistake(
            "You scaled every layer. The layers below then compute something else; the output layer is enough.",
            _rescale_everything,
        ),
        Mistake(
            "You divided by the standard deviation of all logits, which ignores their mean. The root mean square is "
            "the root of mean(z²).",
            partial(_rescale_by, lambda z: z.std(correction=0)),
        ),
        Mistake(
            "You divided by the unbiased standard deviation of all logits. The root mean square subtracts no mean and "
            "divides by the number of logits.",
            partial(_rescale_by, torch.std),
        ),
        Mistake(
            "You gave every class a factor of its own. One factor for the whole layer keeps the pattern of the logits.",
            partial(_rescale_by, lambda z: z.square().mean(0).sqrt()),
        ),
        Mistake(
            "You divided by the length of all logits together. Their root mean square is smaller, by the root of their "
            "number.",
            partial(_rescale_by, torch.linalg.vector_norm),
        ),
        Mistake(
            "You divided by the mean of the absolute values. The root mean square takes squares.",
            partial(_rescale_by, lambda z: z.abs().mean()),
        ),
        Mistake(
            "You gave the logits the size 1. Multiply by the size that is wanted, too.",
            lambda model, x, size: _rescale(model, x, 1.0),
        ),
        Mistake("Your factor is upside down: it is the wanted size over the present one.", _invert),
        Mistake(
            "Your new logits are no multiple of the old ones. Do not draw or set anything anew: multiply weights and "
            "bias of the output layer by one factor.",
            wrong=When(_redrawn),
        ),
        Mistake(
            "The layers below the output compute something else now. Leave them as they are, and add nothing: multiply "
            "weights and bias of `model[-1]` by one factor.",
            wrong=When(_changed_below),
        ),
    ),
)
def start_calm_logits(model: nn.Sequential, x: Tensor, size: float) -> None:
    """Scale the output layer so that the logits of a batch have a given root mean square."""
    _rescale(model, x, size)


# --- a broken start -----------------------------------------------------------------------------------


def _network(*, generator: torch.Generator) -> Inputs:
    """A network that tapers, with two layers of one shape, and where its numbers shall come from."""
    wide, narrow = 150 + between(0, 20, generator=generator), 50 + between(0, 20, generator=generator)
    return mlp([wide, 80, 80, 80, narrow], nn.Tanh), stream(generator=generator)


def _started(answer: Function, model: nn.Sequential, generator: torch.Generator) -> Outcome:
    """How a network starts: biases, the weights in units of 1/sqrt(n_in), units and layers that are alike."""
    models = thrice(lambda source: answer(copy.deepcopy(model), source), generator=generator)
    layers, *twins = ([layer.weight.detach() for layer in linear_layers(one)] for one in models)
    biases = [layer.bias for layer in linear_layers(models[0])]
    units, inputs = len(layers[0].unique(dim=0)), layers[0].unique(dim=1).shape[1]
    scaled = [weight * weight.shape[1] ** 0.5 for weight in layers]
    spread = _moments(scaled) if min(units, inputs) > 1 else dict.fromkeys(("variance", "mean", "kurtosis"))
    return {
        "shapes": str([tuple(weight.shape) for weight in layers]),
        "layers with a bias": sum(bias is not None for bias in biases),
        "largest bias": max((bias.abs().max().item() for bias in biases if bias is not None), default=0.0),
        "different units in layer 1": units,
        "different inputs of layer 1": inputs,
        "layers 2 and 3 are equal": torch.equal(layers[1], layers[2]),
        "random numbers come from": origin(layers, *twins),
        "variance times n_in": spread["variance"],
        "mean times sqrt(n_in)": spread["mean"],
        "kurtosis": spread["kurtosis"],
    }


def _moments(weights: Sequence[Tensor]) -> Outcome:
    """Variance and mean of all weights, and the kurtosis of each layer's own distribution."""
    together = torch.cat([weight.flatten() for weight in weights])
    standardized = torch.cat([weight.flatten() / weight.std() for weight in weights])
    return moments(together) | {"kurtosis": moments(standardized)["kurtosis"]}


class Start:
    """A start that has no fault of the exercise unless told otherwise.

    ``std(n_in, n_out)`` is the standard deviation of a layer's weights, ``shape`` the shape of what is drawn for them.
    """

    def __init__(
        self,
        std: Callable[[int, int], float] = lambda n_in, n_out: n_in**-0.5,
        shape: Callable[[int, int], tuple[int, int]] = lambda n_in, n_out: (n_out, n_in),
        keep_bias: bool = False,
        source: Callable[[torch.Generator], torch.Generator | None] = lambda generator: generator,
    ) -> None:
        self.std, self.shape, self.keep_bias, self.source = std, shape, keep_bias, source

    def __call__(self, model: nn.Module, generator: torch.Generator) -> None:
        """Draw the weights of all linear layers."""
        for layer in linear_layers(model):
            both = layer.in_features, layer.out_features
            drawn = torch.randn(self.shape(*both), generator=self.source(generator)) * self.std(*both)
            layer.weight.data = drawn.expand_as(layer.weight).clone()
            if not self.keep_bias:
                init.zeros_(layer.bias)


def _seeded_once(model: nn.Module, generator: torch.Generator) -> None:
    Start()(model, torch.Generator().manual_seed(0))


@exercise(
    "start-broken",
    inputs=_network,
    observe=_started,
    changes=(0,),
    rtol32=None,
    cases=3,
    right="units differ, the weights have the size 1/sqrt(n_in), and the biases are zero.",
    mistakes=(
        Mistake(
            "All units of a layer still begin alike. Draw a row for each unit: a matrix as large as the weight.",
            Start(shape=lambda n_in, n_out: (1, n_in)),
        ),
        Mistake(
            "You still divide by n_in. A sum of n_in terms grows with the root of n_in: divide by that.",
            Start(lambda n_in, n_out: 1 / n_in),
        ),
        Mistake(
            "You no longer divide by anything. Weights of deviation 1 saturate every unit: divide by sqrt(n_in).",
            Start(lambda n_in, n_out: 1.0),
        ),
        Mistake(
            "You divide by the root of n_out. The sum that a unit computes has n_in terms.",
            Start(lambda n_in, n_out: n_out**-0.5),
        ),
        Mistake(
            "All weights of a unit are equal: you drew one number for each row. Draw a matrix as large as the weight.",
            Start(shape=lambda n_in, n_out: (n_out, 1)),
        ),
        Mistake(
            "You multiply by the root of n_in. The weights shall be the smaller, the more terms a sum has: divide by "
            "it.",
            Start(lambda n_in, n_out: n_in**0.5),
        ),
        Mistake(
            "Your variance is 2/n_in. That is He's, for ReLU; the exercise asks for 1/n_in.",
            Start(lambda n_in, n_out: (2 / n_in) ** 0.5),
        ),
        Mistake(
            "Your variance is that of Glorot, from the mean of both fans. The exercise asks for 1/n_in.",
            Start(lambda n_in, n_out: (2 / (n_in + n_out)) ** 0.5),
        ),
        Mistake(
            "You multiplied by the gain 5/3 that PyTorch recommends for tanh. The exercise asks for 1/sqrt(n_in) "
            "alone.",
            Start(lambda n_in, n_out: 5 / 3 * n_in**-0.5),
        ),
        Mistake(
            "You drew from torch's global stream. Hand `generator` to the call that draws.",
            Start(source=lambda generator: None),
        ),
        Mistake(
            "Every generator gives the same numbers: you use a fixed seed. Hand `generator` to the call that draws.",
            _seeded_once,
        ),
        Mistake("The biases still are PyTorch's random ones. Set them to zero.", Start(keep_bias=True)),
        Mistake(
            "Layers of one shape are equal: you seed a generator anew for each. Use the one that you are given.",
            Start(source=lambda generator: torch.Generator().manual_seed(0)),
        ),
        Mistake(
            "Your weights are uniform. The exercise asks for normal ones.",
            lambda model, generator: initialize_(model, "lecun_uniform", generator=generator),
        ),
    ),
)
def start_broken(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Normal weights of standard deviation 1/sqrt(n_in), zero biases."""
    return initialize_(model, "lecun_normal", generator=generator)
