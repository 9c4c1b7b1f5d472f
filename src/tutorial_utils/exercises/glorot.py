"""Exercises about Glorot's initialization."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome, named
from tutorial_utils.exercises.legacy import drawn
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import between, fans, linear_layers, normal, sizes, stream, uniform
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate

# --- the draw -----------------------------------------------------------------------------------------


def _matrix(*, generator: torch.Generator) -> Inputs:
    """A wide matrix, a gain that is not one, and where the numbers shall come from."""
    n_out = between(60, 90, generator=generator)
    weight = normal(n_out, 4 * n_out, generator=generator)
    return weight, uniform(1.3, 1.8, generator=generator), stream(generator=generator)


def _kernels(*, generator: torch.Generator) -> Inputs:
    c_out = between(25, 35, generator=generator)
    weight = normal(c_out, 4 * c_out, 3, 2, generator=generator)
    return weight, uniform(1.3, 1.8, generator=generator), stream(generator=generator)


def _uniform_with(bound: Callable[[int, int, float], float], *, kernel: bool = True) -> Function:
    """A uniform draw up to ``bound(fan_in, fan_out, gain)`` either way, with or without the kernel in the fans."""

    def fill(weight: Tensor, gain: float, generator: torch.Generator) -> Tensor:
        both = fans(weight) if kernel else (weight.shape[1], weight.shape[0])
        a = bound(*both, gain)
        return init.uniform_(weight, -a, a, generator=generator)

    return fill


def _positive(weight: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    return init.uniform_(weight, 0, gain * math.sqrt(6 / sum(fans(weight))), generator=generator)


def _global(weight: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    return init.xavier_uniform_(weight, gain)


def _observe_draw(answer: Function, weight: Tensor, gain: float, generator: torch.Generator) -> Any:
    return drawn(answer, weight, gain, generator=generator)


@exercise(
    "glorot-draw",
    inputs=(_matrix, _kernels),
    observe=_observe_draw,
    changes=(0,),
    cases=4,
    right="bound, shape of the distribution and fans are Glorot's, for matrices and kernels.",
    mistakes=(
        Mistake(
            "Your bound is the standard deviation. A uniform variable on (-a, a) has deviation a / sqrt(3), so a is "
            "sqrt(3) times as large: the 2 under the root becomes 6.",
            _uniform_with(lambda n, m, g: g * math.sqrt(2 / (n + m))),
        ),
        Mistake(
            "Your bound is sqrt(3) over the root of both fans: that gives the variance 1/(fan_in + fan_out). Glorot's "
            "has a 2 on top, since it averages the fans.",
            _uniform_with(lambda n, m, g: g * math.sqrt(3 / (n + m))),
        ),
        Mistake(
            "You set the bound to the variance, without its root.",
            _uniform_with(lambda n, m, g: g * 2 / (n + m)),
        ),
        Mistake(
            "You used fan_in alone. That is LeCun's start; Glorot takes the mean of both fans.",
            _uniform_with(lambda n, m, g: g * math.sqrt(3 / n)),
        ),
        Mistake(
            "You used fan_out alone. Glorot takes the mean of both fans.",
            _uniform_with(lambda n, m, g: g * math.sqrt(3 / m)),
        ),
        Mistake(
            "You multiplied the gain into the variance. It belongs to the weights, so the variance has its square.",
            _uniform_with(lambda n, m, g: math.sqrt(6 * g / (n + m))),
        ),
        Mistake(
            "You squared the gain in the bound. It is squared in the variance; the bound has it once.",
            _uniform_with(lambda n, m, g: g**2 * math.sqrt(6 / (n + m))),
        ),
        Mistake("You left out the gain.", _uniform_with(lambda n, m, g: math.sqrt(6 / (n + m)))),
        Mistake(
            "You counted channels. A unit of a convolution sums over a whole kernel of each: both fans contain the "
            "number of its entries.",
            _uniform_with(lambda n, m, g: g * math.sqrt(6 / (n + m)), kernel=False),
        ),
        Mistake(
            "You drew normal numbers. The exercise asks for the uniform draw.",
            lambda weight, gain, generator: init.xavier_normal_(weight, gain, generator=generator),
        ),
        Mistake(
            "All your weights are positive: you drew from 0 to a. The interval is symmetric, from -a to a.",
            _positive,
        ),
        Mistake(
            "Your interval is a long, from -a/2 to a/2. It goes from -a to a.",
            _uniform_with(lambda n, m, g: g * math.sqrt(6 / (n + m)) / 2),
        ),
        Mistake(
            "Your bound has a 12 under the root. The variance of U(-a, a) is a²/3, so 2 becomes 6.",
            _uniform_with(lambda n, m, g: g * math.sqrt(12 / (n + m))),
        ),
        Mistake(
            "You put fan_in alone below the 6. The 6 belongs to the sum of both fans.",
            _uniform_with(lambda n, m, g: g * math.sqrt(6 / n)),
        ),
        Mistake("You drew from torch's global stream. Hand `generator` to the call that draws.", _global),
        Mistake(
            "Every generator gives the same numbers: you use a fixed seed. Hand `generator` to the call that draws.",
            lambda weight, gain, generator: init.xavier_uniform_(weight, gain, torch.Generator().manual_seed(0)),
        ),
    ),
)
def glorot_draw(weight: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    """Glorot's uniform draw, by PyTorch."""
    return init.xavier_uniform_(weight, gain, generator=generator)


# --- both directions ----------------------------------------------------------------------------------


def _widths(*, generator: torch.Generator) -> Inputs:
    """The widths of a net of two to five layers, input and output with them, that differ."""
    count = between(3, 6, generator=generator)
    return ([8 * size for size in sizes(count, 2, 20, generator=generator)],)


def _product(widths: Sequence[int], factor: Callable[[int, int], float], skip: int = 0) -> float:
    """The product over the layers but the first ``skip`` of a factor made from their fans."""
    return math.prod(factor(n_in, n_out) for n_in, n_out in list(pairwise(widths))[skip:])


def _forward(widths: Sequence[int]) -> float:
    return _product(widths, lambda n, m: 2 * n / (n + m))


def _backward(widths: Sequence[int]) -> float:
    return _product(widths, lambda n, m: 2 * m / (n + m), skip=1)


@exercise(
    "glorot-both-ways",
    inputs=_widths,
    parts=("forward", "backward"),
    right="both products are those of equations F5 and B4 with Glorot's variance.",
    mistakes=(
        Mistake(
            "Your backward product has a factor too many. δ at layer 1 is the gradient of its pre-activations, so it "
            "passes the weights of layers 2 to L only.",
            lambda widths: (_forward(widths), _product(widths, lambda n, m: 2 * m / (n + m))),
        ),
        Mistake(
            "Your forward product lacks the first layer. It takes the input to z of layer 1.",
            lambda widths: (_product(widths, lambda n, m: 2 * n / (n + m), skip=1), _backward(widths)),
        ),
        Mistake(
            "You exchanged the fans: forward each unit sums over fan_in terms, backward over fan_out.",
            lambda widths: (
                _product(widths, lambda n, m: 2 * m / (n + m)),
                _product(widths, lambda n, m: 2 * n / (n + m), skip=1),
            ),
        ),
        Mistake(
            "Your factors lack the 2: Glorot's variance is 2 over the sum of both fans.",
            lambda widths: (
                _product(widths, lambda n, m: n / (n + m)),
                _product(widths, lambda n, m: m / (n + m), skip=1),
            ),
        ),
        Mistake(
            "You halved in each layer. This net is linear: no activation stands between the layers.",
            lambda widths: tuple(way(widths) / 2 ** (len(widths) - 2) for way in (_forward, _backward)),
        ),
        Mistake(
            "Your factors are upside down: they say by how much the second moment is divided.",
            lambda widths: (1 / _forward(widths), 1 / _backward(widths)),
        ),
        Mistake(
            "You gave a factor for each layer. Asked for is their product.",
            lambda widths: (
                [2 * n / (n + m) for n, m in pairwise(widths)],
                [2 * m / (n + m) for n, m in list(pairwise(widths))[1:]],
            ),
        ),
        Mistake(
            "You took roots: these are the factors of the root mean square. Asked for are the second moments.",
            lambda widths: (_forward(widths) ** 0.5, _backward(widths) ** 0.5),
        ),
        Mistake(
            "Your backward product takes the fan_in variance, as if every layer kept the forward signal. Then the "
            "ratios telescope; under Glorot's variance they do not.",
            lambda widths: (_forward(widths), widths[-1] / widths[1]),
        ),
        Mistake(
            "You answered for the variance 1/fan_in: forward nothing changes. Glorot's variance has both fans.",
            lambda widths: (1.0, widths[-1] / widths[1]),
        ),
        Mistake(
            "You used input and output width alone. Nothing cancels between the layers: multiply their factors.",
            lambda widths: (2 * widths[0] / (widths[0] + widths[-1]), 2 * widths[-1] / (widths[0] + widths[-1])),
        ),
    ),
)
def glorot_both_ways(widths: Sequence[int]) -> tuple[float, float]:
    """The factors of the second moments of the signal, from input to output, and of the gradient, from z^L to z^1."""
    return _forward(widths), _backward(widths)


# --- the recorder -------------------------------------------------------------------------------------


def _plain(*, generator: torch.Generator) -> Inputs:
    n_in, hidden, n_out = sizes(3, 2, 5, generator=generator)
    return _network([n_in, hidden, hidden + 1, n_out], generator=generator)


def _nested(*, generator: torch.Generator) -> Inputs:
    """A network whose layers lie in blocks."""
    n_in, hidden, n_out = sizes(3, 2, 5, generator=generator)
    model, x, c = _network([n_in, hidden, hidden, n_out], generator=generator)
    return nn.Sequential(nn.Sequential(*model[:2]), nn.Sequential(*model[2:])), x, c


def _network(widths: Sequence[int], *, generator: torch.Generator) -> Inputs:
    model = initialize_(mlp(widths, nn.Tanh).double(), "normal", std=0.8, generator=generator)
    for layer in linear_layers(model):
        init.normal_(layer.bias, generator=generator)
    return model, normal(3, widths[0], generator=generator), normal(3, widths[-1], generator=generator, mean=1)


Reduce = Callable[[Tensor], Tensor]


def _mean_square(tensor: Tensor) -> Tensor:
    return tensor.square().mean()


def _hooked(
    reduce: Reduce = _mean_square,
    kind: type[nn.Module] = nn.Linear,
    *,
    inputs: bool = False,
    gradient_of: str = "output",
    loss_of: Reduce = torch.sum,
    c_counts: bool = True,
    backward_first: bool = False,
    keep: bool = False,
) -> Function:
    """A recorder made of hooks, with a choice of what it records and whether the hooks stay."""

    def second_moments(model: nn.Module, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        layers = [module for module in model.modules() if isinstance(module, kind)]
        seen: list[tuple[Tensor, Tensor]] = []

        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append((args[0], output))

        handles = [layer.register_forward_hook(hook) for layer in layers]
        start = x.clone().requires_grad_()
        loss = loss_of((c if c_counts else 1) * model(start))
        chosen: list[Any] = [pair[gradient_of == "output"] for pair in seen]
        if gradient_of == "weight":
            chosen = [layer.weight for layer in layers]
        gradients = torch.autograd.grad(loss, chosen)
        for handle in [] if keep else handles:
            handle.remove()
        forward = torch.stack([reduce(pair[0 if inputs else 1].detach()) for pair in seen])
        backward = torch.stack([reduce(gradient) for gradient in gradients])
        return forward, backward.flip(0) if backward_first else backward

    return second_moments


def _recorded(answer: Function, model: nn.Module, x: Tensor, c: Tensor) -> Outcome | None:
    """What a recorder gives, and what it leaves behind in the model."""
    came = answer(model, x, c)
    parts = named(came, ("forward", "backward"))
    if came is not None and set(parts) != {"forward", "backward"}:
        raise WrongType("Two tensors are asked for, forward and backward. Return just these, in this order.")
    hooks = sum(len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules())
    return came if came is None else parts | {"hooks left in the model": hooks}


@exercise(
    "glorot-recorder",
    inputs=(_plain, _nested),
    observe=_recorded,
    right="both directions, layer by layer, and no hook is left behind.",
    mistakes=(
        Mistake(
            "You recorded what the activations put out. Asked for is z, what `nn.Linear` puts out.",
            _hooked(kind=nn.Tanh),
        ),
        Mistake(
            "Your forward values belong to the inputs of the layers. A forward hook gets (module, inputs, output): "
            "use the output.",
            _hooked(inputs=True),
        ),
        Mistake(
            "Your backward values belong to the gradient at the inputs of the layers. δ is the gradient at the "
            "output: `grad_output` of a backward hook, or a hook on the output tensor.",
            _hooked(gradient_of="input"),
        ),
        Mistake(
            "Your backward values are in the order in which gradients arrive, last layer first. Turn them around.",
            _hooked(backward_first=True),
        ),
        Mistake(
            "You recorded the gradient of the weights. Asked for is the gradient at the pre-activations.",
            _hooked(gradient_of="weight"),
        ),
        Mistake(
            "You left out `c`: the gradient at the output is `c`, not one for every entry.",
            _hooked(c_counts=False),
        ),
        Mistake(
            "Your loss is the mean of `c * model(x)`. Take the sum.",
            _hooked(loss_of=torch.mean),
        ),
        Mistake(
            "You recorded variances. The second moment is the mean of the squares; no mean is subtracted.",
            _hooked(lambda tensor: tensor.var(correction=0)),
        ),
        Mistake(
            "You recorded unbiased variances. The second moment is the mean of the squares; no mean is subtracted.",
            _hooked(torch.var),
        ),
        Mistake(
            "You summed the squares. The second moment is their mean, so that layers of different width compare.",
            _hooked(lambda tensor: tensor.square().sum()),
        ),
        Mistake(
            "You took the root: these are root mean squares. Asked for are second moments.",
            _hooked(lambda tensor: tensor.square().mean().sqrt()),
        ),
        Mistake(
            "You averaged over the batch before you squared. Square each entry first.",
            _hooked(lambda tensor: tensor.mean(0).square().mean()),
        ),
        Mistake("Your hooks stay in the model. Keep the handles, and call remove() on each.", _hooked(keep=True)),
    ),
)
def glorot_recorder(model: nn.Module, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The second moments at each linear layer of z and of the gradient that c sends back, by the package."""
    table = propagate(model, x, lambda z: (c * z).sum(), layers=(nn.Linear,))
    columns = (table.second_moment, table.grad_second_moment)
    forward, backward = (torch.tensor(column.to_numpy(), dtype=x.dtype) for column in columns)
    return forward, backward


# --- the sine -----------------------------------------------------------------------------------------


def _small_start(*, generator: torch.Generator) -> Inputs:
    """A small second moment, and a number of layers about as large as its inverse."""
    return between(2, 5, generator=generator) / 100, between(20, 50, generator=generator)


@exercise(
    "glorot-sine-decay",
    value=True,
    inputs=_small_start,
    rtol=1.5e-2,
    right="each layer adds 1 to 1/q: a power of the depth, no exponential.",
    mistakes=(
        Mistake(
            "You added 2 per layer to 1/q. That is tanh; the series of the sine has another cubic term.",
            lambda q, layers: 1 / (1 / q + 2 * layers),
        ),
        Mistake(
            "You took q² for E[z⁴]. For a normal variable it is 3q².",
            lambda q, layers: 1 / (1 / q + layers / 3),
        ),
        Mistake(
            "You multiplied by the same factor 1 - q in each layer. The factor approaches 1 as q falls.",
            lambda q, layers: q * (1 - q) ** layers,
        ),
        Mistake(
            "You subtracted the q² of the first layer each time. It shrinks with q.",
            lambda q, layers: q - layers * q**2,
        ),
        Mistake(
            "You forgot where it begins: 1/q starts at the q you were given and grows from there.",
            lambda q, layers: 1 / layers,
        ),
        Mistake(
            "You let q stay. The sine is below its argument, so q falls in every layer.",
            lambda q, layers: q,
        ),
    ),
)
def glorot_sine_decay(q: float, layers: int) -> float:
    """The second moment after some layers, to leading order."""
    return 1 / (1 / q + layers)


# --- singular values ----------------------------------------------------------------------------------


def _mean_singular_value(*, generator: torch.Generator) -> Inputs:
    return (between(45, 80, generator=generator) / 100,)


@exercise(
    "glorot-quarter-circle",
    value=True,
    inputs=_mean_singular_value,
    rtol=5e-3,
    right="the mean square counts, and it is larger than the square of the mean.",
    mistakes=(
        Mistake(
            "You squared the mean. What the second moment feels is the mean of the squares, which is larger.",
            lambda mean: mean**2,
        ),
        Mistake(
            "That is the mean singular value itself. The second moment is multiplied by the mean of the squares.",
            lambda mean: mean,
        ),
        Mistake(
            "That is the root mean square, σ. The second moment is multiplied by its square.",
            lambda mean: 3 * math.pi / 8 * mean,
        ),
        Mistake(
            "You multiplied by 8/(3π). The mean is 8/(3π) times σ, so σ is larger than the mean.",
            lambda mean: (8 / (3 * math.pi) * mean) ** 2,
        ),
        Mistake(
            "You solved for the radius of the quarter circle, which is 2σ. The mean square is σ².",
            lambda mean: (3 * math.pi / 4 * mean) ** 2,
        ),
    ),
)
def glorot_quarter_circle(mean: float) -> float:
    """The factor on the second moment, for a square matrix of independent entries."""
    return (3 * math.pi / 8 * mean) ** 2
