"""Exercises about any activation and any layer."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.toolbox import between, origin, stream, tensor, thrice, uniform, without

# --- quadrature ---------------------------------------------------------------------------------------


def _celu(*, generator: torch.Generator) -> Inputs:
    return (nn.CELU(round(uniform(0.3, 2.5, generator=generator), 2)),)


def _softplus(*, generator: torch.Generator) -> Inputs:
    """An activation whose mean is not zero."""
    return (nn.Softplus(round(uniform(0.6, 2.5, generator=generator), 2)),)


def _softshrink(*, generator: torch.Generator) -> Inputs:
    """An activation that lives on large values, of which a uniform draw of the same variance has few."""
    return (nn.Softshrink(round(uniform(0.4, 0.6, generator=generator), 2)),)


def _mean(g: Function) -> float:
    """The mean of a smooth g(z) for a standard normal z; for such an integrand the trapezoidal rule is exact."""
    z = torch.linspace(-9, 9, 801, dtype=torch.float64)
    return float(torch.trapezoid(g(z) * torch.exp(-z.square() / 2), z) / math.sqrt(2 * math.pi))


def _mean_square(f: Function) -> float:
    return _mean(lambda z: f(z).square())


def _slope(f: Function) -> Function:
    """The derivative of an activation."""

    def derivative(z: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(f(z).sum(), z)
        return slopes

    return derivative


def _uniform_mean_square(f: Function, low: float, high: float = 1.0) -> float:
    """The mean of f(z)² for z spread evenly from low to high."""
    return float(f(torch.linspace(low, high, 2001, dtype=torch.float64)).square().mean())


def _gain(statistic: Function = _mean_square, power: float = -0.5) -> Function:
    """An answer that raises a statistic of the activation to a power."""
    return lambda activation: statistic(activation) ** power


def _evenly_spread(given: Any, right: float, activation: Function) -> bool:
    """Whether z was spread evenly over some range around zero."""
    gains = [_uniform_mean_square(activation, -end, end) ** -0.5 for end in (2, 2.5, 3, 4, 5, 6, 8, 10)]
    return any(math.isclose(float(given), gain, rel_tol=1e-2) for gain in gains)


def _nearly(given: Any, right: float, *inputs: Any) -> bool:
    return math.isclose(float(given), right, rel_tol=0.16)


@exercise(
    "gain-quadrature",
    inputs=(_celu, _softplus, _softshrink),
    cases=12,
    observe=without("tutorial_utils"),
    rtol=1e-2,
    rtol32=None,
    right="to a percent it is the inverse root of the mean of f(z)^2 for a standard normal z.",
    mistakes={
        "Your result is the mean of f(z)^2, what is left of the second moment. The gain is its inverse root.": _gain(
            power=1
        ),
        "You took the inverse, not the inverse root. Second moments grow by the square of the gain.": _gain(power=-1),
        "You took the root, not the inverse root: the gain makes up for what the activation shrinks.": _gain(power=0.5),
        "That is the backward gain, from the derivative. The exercise asks for the forward one, from f itself.": _gain(
            lambda f: _mean_square(_slope(f))
        ),
        "You divided by the standard deviation of f(z). Where its mean is not 0, that is not the root of its second "
        "moment.": _gain(lambda f: _mean_square(f) - _mean(f) ** 2),
        "You averaged the absolute value of f(z), not its square.": _gain(lambda f: _mean(lambda z: f(z).abs()), -1),
        "Your nodes or weights are those for exp(-x^2). For a standard normal z, multiply the nodes by sqrt(2) and "
        "divide the weights by sqrt(pi).": _gain(lambda f: math.sqrt(math.pi) * _mean_square(lambda z: f(z / 2**0.5))),
        "Your nodes are those for exp(-x^2), which lie too close to 0. Multiply them by sqrt(2), or take those of "
        "hermegauss.": _gain(lambda f: _mean_square(lambda z: f(z / 2**0.5))),
        "Your z is uniform between 0 and 1: `torch.rand`. Pre-activations are sums of many terms: take a normal "
        "z.": _gain(lambda f: _uniform_mean_square(f, 0)),
        "Your weights do not sum to 1: those of numpy's hermegauss sum to sqrt(2 pi). Divide by their sum.": _gain(
            lambda f: math.sqrt(2 * math.pi) * _mean_square(f)
        ),
        "Your z is uniform between -1 and 1. Pre-activations are sums of many terms: take a normal z.": _gain(
            lambda f: _uniform_mean_square(f, -1)
        ),
        "Your z is uniform, with the variance 1. That is right for the second moment of z itself, but f weighs large "
        "values otherwise, and a normal z has more of them: pre-activations are sums of many terms.": _gain(
            lambda f: _uniform_mean_square(f, -(3**0.5), 3**0.5)
        ),
        "Your z is spread evenly over a range, and each value counts alike. Pre-activations are sums of many terms, so "
        "small values are frequent: weigh each by the normal density, or draw a normal z.": When(_evenly_spread),
        "You are near, but not within a percent. A sample of n numbers is off by about 1/√n, a hundred by a tenth: "
        "take a million, or a quadrature whose nodes are close and reach to about 6.": When(_nearly),
    },
)
def gain_quadrature(activation: nn.Module) -> float:
    """The forward gain of an activation."""
    return float(_gain()(activation))


# --- both directions ----------------------------------------------------------------------------------


@exercise(
    "gain-both-directions",
    inputs=(_celu, _softplus),
    cases=10,
    observe=without("tutorial_utils"),
    rtol=1e-2,
    rtol32=None,
    right="it is the mean squared slope over the mean squared value, and only for few activations it is 1.",
    mistakes={
        "That is the mean squared slope alone. The weights contain the forward gain, whose square is one over the mean "
        "of f(z)².": lambda f: _mean_square(_slope(f)),
        "Your factor is upside down: the slopes let the gradient pass, and the gain makes up for the "
        "signal.": lambda f: _mean_square(f) / _mean_square(_slope(f)),
        "That is the factor on the size of the gradient. The exercise asks for that on its second moment, the "
        "square.": lambda f: (_mean_square(_slope(f)) / _mean_square(f)) ** 0.5,
        "That is the forward gain.": _gain(),
        "You multiplied by the gain once. The second moment of the gradient takes its square.": lambda f: (
            _mean_square(_slope(f)) / _mean_square(f) ** 0.5
        ),
        "You took the mean of the slopes. Their squares multiply the second moment of the gradient: take the mean of "
        "these.": lambda f: _mean(_slope(f)) / _mean_square(f),
        "That is the square of the forward gain, the factor that the weights contribute. The slopes of the activation "
        "contribute another one.": _gain(power=-1),
        "You averaged the slope and squared the mean. What counts is the mean of the squares.": lambda f: (
            _mean(_slope(f)) ** 2 / _mean_square(f)
        ),
        "You divided by the variance of f(z). Where its mean is not 0, the second moment is larger.": lambda f: (
            _mean_square(_slope(f)) / (_mean_square(f) - _mean(f) ** 2)
        ),
        "You say that the gradient keeps its size. The forward gain keeps the signal; what a layer does to the "
        "gradient is another number, the mean squared slope over the mean squared value.": lambda f: 1.0,
    },
)
def gain_both_directions(activation: nn.Module) -> float:
    """The factor on the gradient's second moment per layer, under the forward gain."""
    return _mean_square(_slope(activation)) / _mean_square(activation)


# --- where the length settles -------------------------------------------------------------------------


def _sigma(*, generator: torch.Generator) -> Inputs:
    return (uniform(1.3, 2.2, generator=generator),)


def _slow(*, generator: torch.Generator) -> Inputs:
    """So near to 1.2 that the second moment takes many layers to settle."""
    return (uniform(1.2, 1.22, generator=generator),)


def _behind_tanh(q: float) -> float:
    return _mean_square(lambda z: torch.tanh(q**0.5 * z))


def _settled(sigma: float, layers: int = 200, mean_square: Callable[[float], float] = _behind_tanh) -> float:
    """The second moment after some layers, beginning with 1."""
    q = 1.0
    for _ in range(layers):
        q = sigma**2 * mean_square(q)
    return q


def _on_its_way(outcome: Any, expected: float, sigma: float) -> bool:
    """Whether the second moment is that of some early layer."""
    return any(math.isclose(float(outcome), _settled(sigma, layers), rel_tol=1e-3) for layers in range(2, 30))


@exercise(
    "gain-settles",
    inputs=(_sigma, _slow),
    observe=without("tutorial_utils"),
    rtol=5e-3,
    rtol32=None,
    cases=4,
    predict=((1.5,),),
    right="whatever the input, the second moment of the pre-activations ends there.",
    mistakes={
        "That is the second moment after one layer. Let the next layer begin with it, again and again.": lambda sigma: (
            _settled(sigma, layers=1)
        ),
        "You stopped before it settled: the nearer sigma_w is to 1, the more layers that takes. Repeat until q no "
        "longer changes.": When(_on_its_way),
        "You applied tanh to the root mean square. Average over z after tanh, not before.": lambda sigma: _settled(
            sigma, mean_square=lambda q: math.tanh(q**0.5) ** 2
        ),
        "Your nodes are those for exp(-x^2), which lie too close to 0. Multiply them by sqrt(2), or take those of "
        "hermegauss.": lambda sigma: _settled(
            sigma, mean_square=lambda q: _mean_square(lambda z: torch.tanh((q / 2) ** 0.5 * z))
        ),
        "That is the root of it. q is the second moment.": lambda sigma: _settled(sigma) ** 0.5,
        "That is the second moment of the activations. q is that of the pre-activations: sigma_w^2 times "
        "it.": lambda sigma: _settled(sigma) / sigma**2,
        "You assumed that the second moment stays 1. With these sigma_w it does not.": lambda sigma: 1.0,
        "Your signal dies out. It does so only for sigma_w up to 1. (Inside tanh stands z times the root of q, not "
        "times q.)": lambda sigma: 0.0,
        "You multiplied by sigma_w. The second moment grows by its square.": lambda sigma: _settled(sigma**0.5),
        "You took the first terms of the series of tanh² and solved for q. That is near for sigma_w just above 1; here "
        "q is not small: compute the mean of tanh².": lambda sigma: (sigma**2 - 1) / (2 * sigma**2),
        "You multiplied z by q inside tanh. The pre-activations have the second moment q, so they are z times "
        "its root.": (lambda sigma: _settled(sigma, mean_square=lambda q: _behind_tanh(q * q))),
    },
)
def gain_settles(sigma_w: float) -> float:
    """The fixed point of the length map of tanh."""
    return _settled(sigma_w)


# --- fans ---------------------------------------------------------------------------------------------


def _sizes(generator: torch.Generator) -> tuple[int, int, int, tuple[int, int]]:
    """Groups, channels of a group, in and out, and a kernel; no multiples of 3, so that strides leave fractions."""
    c_in, c_out, height, width = ((2, 4, 5, 7)[place] for place in torch.randperm(4, generator=generator))
    return between(2, 4, generator=generator), c_in, c_out, (height, width)


def _grouped(*, generator: torch.Generator) -> Inputs:
    groups, c_in, c_out, kernel = _sizes(generator)
    return (nn.Conv2d(groups * c_in, groups * c_out, kernel, groups=groups),)


def _strided(*, generator: torch.Generator) -> Inputs:
    _, c_in, c_out, kernel = _sizes(generator)
    return (nn.Conv2d(c_in, c_out, kernel, stride=(2, 3)),)


def _transposed(*, generator: torch.Generator) -> Inputs:
    groups, c_in, c_out, kernel = _sizes(generator)
    stride = (between(1, 2, generator=generator), 3)
    return (nn.ConvTranspose2d(groups * c_in, groups * c_out, kernel, stride=stride, groups=groups),)


def _connections(
    *,
    groups: Function = lambda layer: layer.groups,
    kernel: Function = lambda layer: math.prod(layer.kernel_size),
    stride: Function = lambda layer: math.prod(layer.stride),
    turned: Function = lambda layer: isinstance(layer, nn.ConvTranspose2d),
) -> Function:
    """An answer, right unless told otherwise; ``turned`` says whether the stride thins out what an output hears."""

    def fans(layer: Any) -> tuple[float, float]:
        fan_in, fan_out = (kernel(layer) * count / groups(layer) for count in (layer.in_channels, layer.out_channels))
        by = stride(layer)
        return (fan_in / by, fan_out) if turned(layer) else (fan_in, fan_out / by)

    return fans


def _rounded(outcome: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether whole numbers came out, next to the right ones."""
    pairs = [(float(outcome[name]), right) for name, right in expected.items()]
    return all(given.is_integer() and abs(given - right) < 1 for given, right in pairs)


def _as_torch(layer: Any) -> tuple[int, int]:
    return nn.init._calculate_fan_in_and_fan_out(layer.weight)


@exercise(
    "gain-fans",
    inputs=(_grouped, _strided, _transposed),
    observe=without("tutorial_utils"),
    parts=("fan_in", "fan_out"),
    rtol32=None,
    right="groups cut connections in both directions, and a stride thins out those of one.",
    mistakes={
        "You read the fans off the shape of the weight, as torch.nn.init does. It ignores groups and strides, and "
        "takes the two sides of a transposed convolution for one another.": _as_torch,
        "You left out the groups. An input channel reaches only the output channels of its own group, and an output "
        "channel hears only the input channels of its own.": _connections(groups=lambda layer: 1),
        "You left out the stride. With a stride of 2 an ordinary convolution jumps over every other place, so an input "
        "feeds fewer outputs; in a transposed one an output hears fewer inputs.": _connections(stride=lambda layer: 1),
        "You let the stride of a transposed convolution thin out what an input feeds. There an input always feeds a "
        "whole kernel; it is the outputs that hear fewer inputs.": _connections(turned=lambda layer: False),
        "You let the stride of an ordinary convolution thin out what an output hears. There an output always hears a "
        "whole kernel; it is the inputs that feed fewer outputs.": _connections(turned=lambda layer: True),
        "You left out the kernel: there is a connection for each of its places.": _connections(kernel=lambda layer: 1),
        "You counted one side of the kernel. It has height times width places.": _connections(
            kernel=lambda layer: layer.kernel_size[0]
        ),
        "You squared one side of the kernel. It need not be a square: count height times width.": _connections(
            kernel=lambda layer: layer.kernel_size[0] ** 2
        ),
        "You divided by the stride of one direction. An image has two: divide by their product.": _connections(
            stride=lambda layer: layer.stride[1]
        ),
        "You divided by the first stride only. An image has two directions: divide by the product of "
        "both.": _connections(stride=lambda layer: layer.stride[0]),
        "You squared the stride of one direction. The other one may differ: divide by the product of "
        "both.": _connections(stride=lambda layer: layer.stride[0] ** 2),
        "You rounded. On average over positions, the number of connections need not be whole.": When(_rounded),
        "You exchanged the two: fan_in is what an output hears, fan_out what an input feeds.": lambda layer: gain_fans(
            layer
        )[::-1],
        "You let the stride thin out the wrong side, in both kinds of layer. An ordinary convolution jumps over "
        "places, so an input feeds fewer outputs; in a transposed one an output hears fewer inputs.": _connections(
            turned=lambda layer: not isinstance(layer, nn.ConvTranspose2d)
        ),
    },
)
def gain_fans(layer: Any) -> tuple[float, float]:
    """Connections to an output and from an input of a convolution, on average over positions."""
    fan_in, fan_out = _connections()(layer)
    return fan_in, fan_out


# --- orthogonal ---------------------------------------------------------------------------------------


def _tall(*, generator: torch.Generator) -> Inputs:
    sides = between(5, 8, generator=generator), between(2, 3, generator=generator)
    return *sides, uniform(1.3, 1.9, generator=generator), stream(generator=generator)


def _wide(*, generator: torch.Generator) -> Inputs:
    tall, flat, *rest = _tall(generator=generator)
    return flat, tall, *rest


#: The rows of a tall draw.
TALL = 600


def _draws(answer: Function, rows: int, columns: int, gain: float, generator: torch.Generator) -> Any:
    """Three draws, 200 of a small square, and one with so many rows that its entries show their distribution."""
    three = thrice(answer, rows, columns, gain, generator)
    squares = [answer(2, 2, 1.0, generator) for _ in range(200)]
    return {"draws": three, "squares": squares, "tall": answer(TALL, 2, 1.0, generator)}


def _geometry(raw: Any, rows: int, columns: int, gain: float, generator: torch.Generator) -> Outcome:
    """Shape and singular values of a draw, what decides it, the signs in a square's draws, a tall one's entries."""
    draws = [tensor(draw) for draw in raw["draws"]]
    squares = torch.stack([tensor(square) for square in raw["squares"]]).double()
    corner = squares[:, 0, 0]
    return {
        "shape": torch.tensor(draws[0].shape),
        "lengths of the shorter side's vectors": draws[0].norm(dim=int(rows <= columns)),
        "singular values": torch.linalg.svdvals(draws[0]),
        "random numbers come from": origin(*draws),
        "signs in a corner": _signs(corner),
        "many numbers in a corner": len(corner.float().unique()) > 20,
        "signs of the determinant": _signs(torch.linalg.det(squares)),
        "entries of a tall draw": _kind(tensor(raw["tall"])),
    }


def _kind(values: Tensor) -> str:
    """How the entries of a tall draw are distributed: nearly normal where no direction is more likely than another.

    The kurtosis of 1200 normal numbers is 3 with a standard error of 0.14.
    """
    x = values.double().flatten()
    if len(x) != 2 * TALL:
        return f"{len(x)} entries"
    kurtosis = (x.pow(4).mean() / x.square().mean().square()).item()
    return "flat" if kurtosis < 2.2 else "normal" if kurtosis < 4.2 else "with outliers"


def _signs(values: Tensor) -> str:
    """Which signs many draws of one number have."""
    share = (values > 0).double().mean().item()
    return "both" if 0.3 < share < 0.7 else "mostly plus" if share > 0.5 else "mostly minus"


def _orthogonal(
    scale: Function = lambda gain: gain,
    *,
    signs: Function = lambda q, r: r.diagonal().sign(),
    numbers: Function = torch.randn,
    shape: Function = lambda rows, columns: (max(rows, columns), min(rows, columns)),
) -> Function:
    """An answer, right unless told otherwise; ``signs`` makes those of the columns from Q and R."""

    def draw(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
        q, r = torch.linalg.qr(numbers(*shape(rows, columns), generator=generator))
        weight: Tensor = scale(gain) * q * signs(q, r)
        return weight if len(weight) == rows else weight.T

    return draw


def _unit_vectors(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    numbers = torch.randn(rows, columns, generator=generator)
    return gain * nn.functional.normalize(numbers, dim=int(rows <= columns))


def _permutation(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    size = max(rows, columns)
    return gain * torch.eye(size)[torch.randperm(size, generator=generator)][:rows, :columns]


def _rotation(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    size = max(rows, columns)
    square: Tensor = _orthogonal()(size, size, gain, generator)
    square[:, 0] *= torch.linalg.det(square).sign()
    return square[:rows, :columns]


@exercise(
    "gain-orthogonal",
    inputs=(_tall, _wide),
    observe=without("torch.nn.init", observe=_draws),
    describe=_geometry,
    cases=4,
    rtol32=None,
    right="all singular values are the gain, and the draw prefers no sign.",
    mistakes={
        "Your vectors have the right length and are not orthogonal: normalizing each one is not enough.": _unit_vectors,
        "Your matrix is a scaled normal one. Its singular values differ widely, at "
        "any scale.": lambda rows, columns, gain, generator: (
            gain * torch.randn(rows, columns, generator=generator) / math.sqrt(max(rows, columns))
        ),
        "Your singular values are all 1: multiply by the gain.": _orthogonal(lambda gain: 1.0),
        "Your singular values are the square of the gain.": _orthogonal(lambda gain: gain**2),
        "torch.linalg.qr fixes signs: one corner never changes its sign, so some matrices never occur. Multiply the "
        "columns of Q by the signs of the diagonal of R.": _orthogonal(signs=lambda q, r: 1),
        "You gave the whole matrix one sign, so the determinant of a square draw never changes its own. Multiply each "
        "column of Q by the sign of its entry on the diagonal of R.": _orthogonal(signs=lambda q, r: r[0, 0].sign()),
        "One corner is never negative, so some matrices never occur. Are the numbers that you begin with all positive, "
        "as those of torch.rand, or do you choose signs by the entries themselves?": _orthogonal(numbers=torch.rand),
        "Your numbers are not normal, such as the uniform ones of torch.rand. Then the corners of a cube are likelier "
        "directions than its sides: only normal numbers prefer no direction.": _orthogonal(
            numbers=lambda *shape, generator: torch.rand(shape, generator=generator) - 0.5
        ),
        "You draw permutations of the identity, which are few among all orthogonal matrices. Begin with normal "
        "numbers.": _permutation,
        "Your square draws are rotations only: their determinant is always 1. Leave the sign to chance.": _rotation,
        "For a wide matrix, torch.linalg.qr gives a square Q. Draw the tall one, and transpose it.": _orthogonal(
            shape=lambda rows, columns: (rows, columns)
        ),
        "Every draw gives the same matrix, as the identity or a fixed seed does. Draw numbers "
        "from `generator`.": lambda rows, columns, gain, generator: gain * torch.eye(rows, columns),
        "Your draw does not come from `generator`: hand it to torch.randn.": lambda rows, columns, gain, generator: (
            _orthogonal()(rows, columns, gain, None)
        ),
        "You took the signs from the diagonal of Q, which is positive afterward in every draw. Take them from the "
        "diagonal of R.": _orthogonal(signs=lambda q, r: q.diagonal().sign()),
    },
)
def gain_orthogonal(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    """A draw of torch.nn.init."""
    return nn.init.orthogonal_(torch.empty(rows, columns), gain, generator=generator)
