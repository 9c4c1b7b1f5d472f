"""Exercises about any activation and any layer."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, origin, sizes, stream, tensor, thrice, uniform

# --- a bent line --------------------------------------------------------------------------------------


def _slopes(*, generator: torch.Generator) -> Inputs:
    return between(17, 25, generator=generator) / 10, between(2, 5, generator=generator) / 10


@exercise(
    "gain-bent-line",
    value=True,
    inputs=_slopes,
    rtol=3e-3,
    right="half of the inputs meet one slope, half the other: the second moment is multiplied by the mean of the "
    "squared slopes.",
    mistakes={
        "That is the square of the gain, by which variances grow. The gain multiplies weights: take the "
        "root.": lambda a, b: 2 / (a**2 + b**2),
        "That is ReLU's gain, right for slopes 1 and 0 only.": 2**0.5,
        "You averaged the slopes. What adds up in a second moment is their squares.": lambda a, b: 2 / (a + b),
        "That is how much the activation leaves of the signal. The gain makes up for it: take the "
        "inverse.": lambda a, b: ((a**2 + b**2) / 2) ** 0.5,
        "Only half of the inputs meet each slope: the squares are averaged, not added.": lambda a, b: (
            (a**2 + b**2) ** -0.5
        ),
        "You divided by the variance of the output. Its mean is not 0, and the next layer receives the second "
        "moment.": lambda a, b: ((a**2 + b**2) / 2 - (a - b) ** 2 / (2 * math.pi)) ** -0.5,
    },
)
def gain_bent_line(a: float, b: float) -> float:
    """The gain of a z for z > 0, b z otherwise."""
    return float((2 / (a**2 + b**2)) ** 0.5)


# --- quadrature ---------------------------------------------------------------------------------------

ODD = ("tanh", "erf", "arctan", "sin")


def _odd(*, generator: torch.Generator) -> Inputs:
    return (ODD[between(0, len(ODD) - 1, generator=generator)],)


def _with_a_mean(*, generator: torch.Generator) -> Inputs:
    return ("sigmoid",)


def _mean(g: Function) -> float:
    """The mean of a smooth g(z) for a standard normal z; for such an integrand the trapezoidal rule is exact."""
    z = torch.linspace(-9, 9, 801, dtype=torch.float64)
    return float(torch.trapezoid(g(z) * torch.exp(-z.square() / 2), z) / math.sqrt(2 * math.pi))


def _mean_square(f: Function) -> float:
    return _mean(lambda z: f(z).square())


def _uniform_mean_square(f: Function, low: float) -> float:
    """The mean of f(z)² for z spread evenly from low to 1."""
    return float(f(torch.linspace(low, 1, 2001, dtype=torch.float64)).square().mean())


def _gain(statistic: Function = _mean_square, power: float = -0.5) -> Function:
    """An answer that raises a statistic of the named function to a power."""
    return lambda name: statistic(getattr(torch, name)) ** power


@exercise(
    "gain-quadrature",
    guessing=0.4,
    inputs=(_odd, _with_a_mean),
    rtol=1e-2,
    rtol32=None,
    cases=4,
    right="to a percent it is the inverse root of the mean of f(z)^2 for a standard normal z.",
    mistakes={
        "Your result is the mean of f(z)^2, what is left of the second moment. The gain is its inverse root.": _gain(
            power=1
        ),
        "You took the inverse, not the inverse root. Second moments grow by the square of the gain.": _gain(power=-1),
        "You took the root, not the inverse root: the gain makes up for what the activation shrinks.": _gain(power=0.5),
        "That is the backward gain, from the derivative. The exercise asks for the forward one, from f itself.": _gain(
            lambda f: _mean_square(torch.vmap(torch.func.grad(f)))
        ),
        "You divided by the standard deviation of f(z). Where its mean is not 0, that is not the root of its second "
        "moment.": _gain(lambda f: _mean_square(f) - _mean(f) ** 2),
        "You averaged the absolute value of f(z), not its square.": _gain(lambda f: _mean(lambda z: f(z).abs()), -1),
        "Your nodes or weights are those for exp(-x^2). For a standard normal z, multiply the nodes by sqrt(2) and "
        "divide the weights by sqrt(pi).": _gain(lambda f: math.sqrt(math.pi) * _mean_square(lambda z: f(z / 2**0.5))),
        "Your z is uniform between 0 and 1: `torch.rand`. Pre-activations are sums of many terms: take a normal "
        "z.": _gain(lambda f: _uniform_mean_square(f, 0)),
        "Your weights do not sum to 1: those of numpy's hermegauss sum to sqrt(2 pi). Divide by their sum.": _gain(
            lambda f: math.sqrt(2 * math.pi) * _mean_square(f)
        ),
        "Your z is uniform between -1 and 1. Pre-activations are sums of many terms: take a normal z.": _gain(
            lambda f: _uniform_mean_square(f, -1)
        ),
    },
)
def gain_quadrature(name: str) -> float:
    """The forward gain of a function of torch."""
    return float(_gain()(name))


# --- where the length settles -------------------------------------------------------------------------


def _sigma(*, generator: torch.Generator) -> Inputs:
    return (between(130, 220, generator=generator) / 100,)


def _settled(sigma: float, layers: int = 200) -> float:
    """The second moment after some layers, beginning with 1."""
    q = 1.0
    for _ in range(layers):
        q = sigma**2 * _mean_square(lambda z, q=q: torch.tanh(q**0.5 * z))
    return q


@exercise(
    "gain-settles",
    value=True,
    inputs=_sigma,
    rtol=5e-3,
    right="whatever the input, the second moment of the pre-activations ends there.",
    mistakes={
        "That is the length after one layer. Let the next layer begin with it, again and again.": lambda sigma: (
            _settled(sigma, layers=1)
        ),
        "That is the root of it. q is the second moment.": lambda sigma: _settled(sigma) ** 0.5,
        "That is the length of the activations. q is that of the pre-activations: sigma_w^2 times it.": lambda sigma: (
            _settled(sigma) / sigma**2
        ),
        "You assumed that the length stays 1. With this sigma_w it does not.": 1.0,
        "You assumed that the signal dies out. It does so only for sigma_w below 1.": 0.0,
        "You multiplied by sigma_w. The second moment grows by its square.": lambda sigma: _settled(sigma**0.5),
    },
)
def gain_settles(sigma_w: float) -> float:
    """The fixed point of the length map of tanh."""
    return _settled(sigma_w)


# --- fans ---------------------------------------------------------------------------------------------

Shape = tuple[int, ...]


def _grouped(*, generator: torch.Generator) -> Inputs:
    groups = between(2, 4, generator=generator)
    c_in, c_out, height, width = sizes(4, 2, 7, generator=generator)
    return (groups * c_out, 12 * c_in, height, width), groups


def _plain(*, generator: torch.Generator) -> Inputs:
    c_in, c_out, height, width = sizes(4, 2, 7, generator=generator)
    return (c_out, c_in, height, width), 1


@exercise(
    "gain-fans",
    inputs=(_plain, _grouped),
    parts=("fan_in", "fan_out"),
    rtol32=None,
    right="a unit hears the channels of its group, and is heard by those of its group.",
    mistakes={
        "Your fan_out ignores the groups, as torch.nn.init does. An input channel reaches the output channels of its "
        "own group only.": lambda shape, groups: gain_fans(shape, 1),
        "You divided fan_in by the groups. The second size of the weight is in_channels / groups "
        "already.": lambda shape, groups: {"fan_in": gain_fans(shape, groups)[0] / groups},
        "You left out the kernel: a unit has a connection for each of its places.": lambda shape, groups: gain_fans(
            (*shape[:2], 1, 1), groups
        ),
        "You swapped the two. The weight has shape (out, in / groups, height, width).": lambda shape, groups: gain_fans(
            shape, groups
        )[::-1],
        "You counted one side of the kernel. It has height times width places.": lambda shape, groups: gain_fans(
            (*shape[:3], 1), groups
        ),
        "You multiplied by the groups. Grouping removes connections.": lambda shape, groups: (
            groups * gain_fans(shape, 1)[0],
            gain_fans(shape, 1)[1],
        ),
    },
)
def gain_fans(shape: Shape, groups: int) -> tuple[int, int]:
    """Connections to and from a unit of a convolution whose weight has this shape."""
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel // groups


# --- orthogonal ---------------------------------------------------------------------------------------


def _tall(*, generator: torch.Generator) -> Inputs:
    sides = between(5, 8, generator=generator), between(2, 3, generator=generator)
    return *sides, uniform(1.3, 1.9, generator=generator), stream(generator=generator)


def _wide(*, generator: torch.Generator) -> Inputs:
    tall, flat, *rest = _tall(generator=generator)
    return flat, tall, *rest


def _draws(answer: Function, rows: int, columns: int, gain: float, generator: torch.Generator) -> Any:
    """Three draws, and 200 of a small square."""
    three = thrice(answer, rows, columns, gain, generator)
    return {"draws": three, "squares": [answer(2, 2, 1.0, generator) for _ in range(200)]}


def _geometry(raw: Any, rows: int, columns: int, gain: float, generator: torch.Generator) -> Outcome:
    """Shape and singular values of a draw, what decides it, and the signs in the draws of a square."""
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
    }


def _signs(values: Tensor) -> str:
    """Which signs many draws of one number have."""
    share = (values > 0).double().mean().item()
    return "both" if 0.3 < share < 0.7 else "mostly plus" if share > 0.5 else "mostly minus"


def _orthogonal(
    scale: Function = lambda gain: gain,
    *,
    signs: Function = torch.sign,
    numbers: Function = torch.randn,
    shape: Function = lambda rows, columns: (max(rows, columns), min(rows, columns)),
) -> Function:
    """An answer, right unless told otherwise; ``signs`` makes those of Q's columns from the diagonal of R."""

    def draw(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
        q, r = torch.linalg.qr(numbers(*shape(rows, columns), generator=generator))
        weight: Tensor = scale(gain) * q * signs(r.diagonal())
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
    observe=_draws,
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
        "columns of Q by the signs of the diagonal of R.": _orthogonal(signs=torch.ones_like),
        "You gave the whole matrix one sign, so the determinant of a square draw never changes its own. Multiply each "
        "column of Q by the sign of its entry on the diagonal of R.": _orthogonal(
            signs=lambda diagonal: diagonal[0].sign()
        ),
        "One corner is never negative, so some matrices never occur. The numbers of torch.rand are all positive; a "
        "normal draw prefers no direction.": _orthogonal(numbers=torch.rand),
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
    },
)
def gain_orthogonal(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    """A draw of torch.nn.init."""
    return nn.init.orthogonal_(torch.empty(rows, columns), gain, generator=generator)
