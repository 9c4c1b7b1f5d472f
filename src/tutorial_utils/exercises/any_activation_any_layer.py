"""Exercises about any activation and any layer."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.toolbox import between, sizes, stream, uniform

# --- a bent line --------------------------------------------------------------------------------------


def _slopes(*, generator: torch.Generator) -> Inputs:
    return between(17, 25, generator=generator) / 10, between(2, 5, generator=generator) / 10


@exercise(
    "gain-bent-line",
    value=True,
    inputs=_slopes,
    rtol=3e-3,
    right="half of the inputs meet one slope, half the other: the second moment is shrunk by the mean of the squares.",
    mistakes=(
        Mistake(
            "That is the square of the gain, by which variances grow. The gain multiplies weights: take the root.",
            lambda a, b: 2 / (a**2 + b**2),
        ),
        Mistake("That is ReLU's gain, right for slopes 1 and 0 only.", 2**0.5),
        Mistake("You averaged the slopes. What adds up in a second moment is their squares.", lambda a, b: 2 / (a + b)),
        Mistake(
            "That is how much the activation leaves of the signal. The gain makes up for it: the inverse.",
            lambda a, b: ((a**2 + b**2) / 2) ** 0.5,
        ),
        Mistake(
            "Only half of the inputs meet each slope: the squares are averaged, not added.",
            lambda a, b: 1 / (a**2 + b**2) ** 0.5,
        ),
        Mistake(
            "You divided by the variance of the output. Its mean is not 0, and the next layer receives the second "
            "moment.",
            lambda a, b: ((a**2 + b**2) / 2 - (a - b) ** 2 / (2 * math.pi)) ** -0.5,
        ),
    ),
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


def _mean(g: Callable[[Tensor], Tensor]) -> float:
    """The mean of a smooth g(z) for a standard normal z; for such an integrand the trapezoidal rule is exact."""
    z = torch.linspace(-9, 9, 801, dtype=torch.float64)
    return float(torch.trapezoid(g(z) * torch.exp(-z.square() / 2), z) / math.sqrt(2 * math.pi))


def _function(name: str) -> Callable[[Tensor], Tensor]:
    function: Callable[[Tensor], Tensor] = getattr(torch, name)
    return function


def _second_moment(name: str) -> float:
    return _mean(lambda z: _function(name)(z).square())


def _slope(z: Tensor, name: str) -> Tensor:
    leaf = z.detach().requires_grad_()
    (slope,) = torch.autograd.grad(_function(name)(leaf).sum(), leaf)
    return slope


def _physicists(name: str) -> float:
    """Nodes and weights of numpy's hermgauss as if they were those of the normal density."""
    return float(_mean_of_narrow(name) * math.sqrt(math.pi))


def _within_one(name: str) -> float:
    return float(_function(name)(torch.linspace(-1, 1, 2001, dtype=torch.float64)).square().mean())


def _mean_of_narrow(name: str) -> float:
    return _mean(lambda z: _function(name)(z / math.sqrt(2)).square())


@exercise(
    "gain-quadrature",
    inputs=(_odd, _with_a_mean),
    rtol=1e-2,
    rtol32=None,
    cases=4,
    right="to a percent it is the inverse root of the mean of f(z)^2 for a standard normal z.",
    mistakes=(
        Mistake(
            "Your result is the mean of f(z)^2, what is left of the second moment. The gain is its inverse root.",
            _second_moment,
        ),
        Mistake(
            "You took the inverse, not the inverse root. Second moments grow by the square of the gain.",
            lambda name: 1 / _second_moment(name),
        ),
        Mistake(
            "You took the root, not the inverse root: the gain makes up for what the activation shrinks.",
            lambda name: _second_moment(name) ** 0.5,
        ),
        Mistake(
            "That is the backward gain, from the derivative. Asked for is the forward one, from f itself.",
            lambda name: _mean(lambda z: _slope(z, name).square()) ** -0.5,
        ),
        Mistake(
            "You divided by the standard deviation of f(z). Where its mean is not 0, that is not the root of its "
            "second moment.",
            lambda name: (_second_moment(name) - _mean(_function(name)) ** 2) ** -0.5,
        ),
        Mistake(
            "You averaged the absolute value of f(z), not its square.",
            lambda name: 1 / _mean(lambda z: _function(name)(z).abs()),
        ),
        Mistake(
            "Your nodes or weights are those for exp(-x^2). For a standard normal z, multiply the nodes by sqrt(2) "
            "and divide the weights by sqrt(pi).",
            lambda name: _physicists(name) ** -0.5,
        ),
        Mistake(
            "Your z is uniform between 0 and 1: `torch.rand`. Pre-activations are sums of many terms: take a normal z.",
            lambda name: (
                float(_function(name)(torch.linspace(0, 1, 2001, dtype=torch.float64)).square().mean()) ** -0.5
            ),
        ),
        Mistake(
            "Your weights do not sum to 1: those of numpy's hermegauss sum to sqrt(2 pi). Divide by their sum.",
            lambda name: (_second_moment(name) * math.sqrt(2 * math.pi)) ** -0.5,
        ),
        Mistake(
            "Your z is uniform between -1 and 1. Pre-activations are sums of many terms: take a normal z.",
            lambda name: _within_one(name) ** -0.5,
        ),
    ),
)
def gain_quadrature(name: str) -> float:
    """The forward gain of a function of torch."""
    return float(_second_moment(name) ** -0.5)


# --- where the length settles -------------------------------------------------------------------------


def _sigma(*, generator: torch.Generator) -> Inputs:
    return (between(130, 220, generator=generator) / 100,)


def _length(q: float, sigma: float) -> float:
    return sigma**2 * _mean(lambda z: torch.tanh(q**0.5 * z).square())


def _settled(sigma: float) -> float:
    q = 1.0
    for _ in range(200):
        q = _length(q, sigma)
    return q


def _fixed_linear(sigma: float) -> float:
    return _settled(sigma**0.5)


@exercise(
    "gain-settles",
    value=True,
    inputs=_sigma,
    rtol=1e-2,
    right="from any input, the second moment of the pre-activations ends there.",
    mistakes=(
        Mistake(
            "That is the length after one layer. Let the next layer start from it, again and again.",
            lambda sigma: _length(1.0, sigma),
        ),
        Mistake("That is the root of it. q is the second moment.", lambda sigma: _settled(sigma) ** 0.5),
        Mistake(
            "That is the length of the activations. q is that of the pre-activations: sigma_w^2 times it.",
            lambda sigma: _settled(sigma) / sigma**2,
        ),
        Mistake("You assumed that the length stays 1. With this sigma_w it does not.", 1.0),
        Mistake("You assumed that the signal dies out. It does for sigma_w below 1 only.", 0.0),
        Mistake("You multiplied by sigma_w. The second moment grows by its square.", _fixed_linear),
    ),
)
def gain_settles(sigma_w: float) -> float:
    """The fixed point of the length map of tanh."""
    return _settled(sigma_w)


# --- fans ---------------------------------------------------------------------------------------------


def _grouped(*, generator: torch.Generator) -> Inputs:
    groups = between(2, 4, generator=generator)
    c_in, c_out, height, width = sizes(4, 2, 7, generator=generator)
    return (groups * c_out, 12 * c_in, height, width), groups


def _plain(*, generator: torch.Generator) -> Inputs:
    c_in, c_out, height, width = sizes(4, 2, 7, generator=generator)
    return (c_out, c_in, height, width), 1


Shape = tuple[int, ...]


def _counted(shape: Shape, groups: int) -> tuple[int, int]:
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel // groups


@exercise(
    "gain-fans",
    inputs=(_plain, _grouped),
    parts=("fan_in", "fan_out"),
    rtol32=None,
    right="a unit hears the channels of its group, and is heard by those of its group.",
    mistakes=(
        Mistake(
            "Your fan_out ignores the groups, as torch.nn.init does. An input channel reaches the output channels "
            "of its own group only.",
            lambda s, groups: _counted(s, 1),
        ),
        Mistake(
            "You divided fan_in by the groups. The second size of the weight is in_channels / groups already.",
            lambda s, groups: (_counted(s, 1)[0] / groups, _counted(s, groups)[1]),
        ),
        Mistake(
            "You left out the kernel: a unit has a connection for each of its places.",
            lambda s, groups: (s[1], s[0] // groups),
        ),
        Mistake(
            "You swapped the two. The weight has shape (out, in / groups, height, width).",
            lambda s, groups: _counted(s, groups)[::-1],
        ),
        Mistake(
            "You counted one side of the kernel. It has height times width places.",
            lambda s, groups: (s[1] * s[2], s[0] * s[2] // groups),
        ),
        Mistake(
            "You multiplied by the groups. Grouping removes connections.",
            lambda s, groups: (_counted(s, 1)[0] * groups, _counted(s, 1)[1]),
        ),
    ),
)
def gain_fans(shape: Shape, groups: int) -> tuple[int, int]:
    """Connections to and from a unit of a convolution whose weight has this shape."""
    return _counted(shape, groups)


# --- orthogonal ---------------------------------------------------------------------------------------


def _tall(*, generator: torch.Generator) -> Inputs:
    sides = between(5, 8, generator=generator), between(2, 3, generator=generator)
    return *sides, uniform(1.3, 1.9, generator=generator), stream(generator=generator)


def _wide(*, generator: torch.Generator) -> Inputs:
    tall, flat, *rest = _tall(generator=generator)
    return flat, tall, *rest


def _drawn(answer: Function, rows: int, columns: int, gain: float, generator: torch.Generator) -> Outcome:
    """Shape and singular values of a draw, what decides it, and the signs in 200 draws of a square one."""

    def draw(*arguments: Any) -> Tensor:
        return torch.as_tensor(answer(*arguments)).detach()

    twin = torch.Generator().set_state(generator.get_state())
    weight, other = (draw(rows, columns, gain, generator) for _ in range(2))
    squares = torch.stack([draw(2, 2, 1.0, generator) for _ in range(200)]).double()
    lengths = weight.norm(dim=int(rows <= columns))
    return {
        "shape": torch.tensor(weight.shape),
        "lengths of the shorter side's vectors": lengths,
        "singular values": torch.linalg.svdvals(weight),
        "another draw is another matrix": not torch.equal(weight, other),
        "the generator decides the draw": torch.equal(weight, draw(rows, columns, gain, twin)),
        "signs in a corner": _signs(squares[:, 0, 0]),
        "many numbers in a corner": len(squares[:, 0, 0].float().unique()) > 20,
        "signs of the determinant": _signs(torch.linalg.det(squares)),
    }


def _signs(values: Tensor) -> str:
    """Which signs many draws of one number have."""
    share = (values > 0).double().mean().item()
    return "both" if 0.3 < share < 0.7 else "mostly plus" if share > 0.5 else "mostly minus"


def _orthogonal(rows: int, columns: int, gain: float, generator: torch.Generator, uniform: bool = True) -> Tensor:
    wide = rows < columns
    shape = (columns, rows) if wide else (rows, columns)
    q, r = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))
    drawn: Tensor = gain * q * (r.diagonal().sign() if uniform else 1)
    return drawn.T if wide else drawn


def _one_sign(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    drawn = _orthogonal(rows, columns, gain, generator, uniform=False)
    return drawn * torch.randn((), generator=generator, dtype=torch.float64).sign()


def _unit_vectors(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    weight = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return weight.div(weight.norm(dim=int(rows <= columns), keepdim=True)).mul(gain)


def _by_deviation(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    weight = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return gain * weight / math.sqrt(max(rows, columns))


def _own_stream(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    stream = torch.Generator()
    stream.seed()
    return _orthogonal(rows, columns, gain, stream)


def _from_positive(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    size = max(rows, columns)
    q, r = torch.linalg.qr(torch.rand(size, size, generator=generator, dtype=torch.float64))
    drawn: Tensor = gain * (q * r.diagonal().sign())[:rows, :columns]
    return drawn


def _permutation(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    size = max(rows, columns)
    order = torch.randperm(size, generator=generator)
    return gain * torch.eye(size, dtype=torch.float64)[order][:rows, :columns]


def _rotation(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    size = max(rows, columns)
    square = _orthogonal(size, size, gain, generator)
    square[:, 0] *= torch.linalg.det(square).sign()
    return square[:rows, :columns]


def _without_transpose(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(rows, columns, generator=generator, dtype=torch.float64))
    drawn: Tensor = gain * q * r.diagonal().sign()
    return drawn


def _identity(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    return gain * torch.eye(rows, columns, dtype=torch.float64)


@exercise(
    "gain-orthogonal",
    inputs=(_tall, _wide),
    observe=_drawn,
    cases=2,
    rtol32=None,
    right="all singular values are the gain, and the draw prefers no sign.",
    mistakes=(
        Mistake(
            "Your vectors have the right length and are not orthogonal: normalizing each one is not enough.",
            _unit_vectors,
        ),
        Mistake("Your matrix is a scaled normal one. Its singular values scatter at any scale.", _by_deviation),
        Mistake(
            "Your singular values are all 1: multiply by the gain.",
            lambda rows, columns, gain, generator: _orthogonal(rows, columns, 1.0, generator),
        ),
        Mistake(
            "Your singular values are the square of the gain.",
            lambda rows, columns, gain, generator: _orthogonal(rows, columns, gain**2, generator),
        ),
        Mistake(
            "torch.linalg.qr fixes signs: one corner never changes its sign, so some matrices never come. Multiply "
            "the columns of Q by the signs of the diagonal of R.",
            partial(_orthogonal, uniform=False),
        ),
        Mistake(
            "You gave the whole matrix one sign, so the determinant of a square draw never changes its own. Multiply "
            "each column of Q by the sign of its entry on the diagonal of R.",
            _one_sign,
        ),
        Mistake(
            "One corner is never negative, so some matrices never come. The numbers of torch.rand are all positive; a "
            "normal draw prefers no direction.",
            _from_positive,
        ),
        Mistake(
            "You draw permutations of the identity, which are few among all orthogonal matrices. Begin with normal "
            "numbers.",
            _permutation,
        ),
        Mistake(
            "Your square draws are rotations only: their determinant is always 1. Leave the sign to chance.",
            _rotation,
        ),
        Mistake(
            "Of a wide matrix torch.linalg.qr gives a square Q. Draw the tall one, and transpose it.",
            _without_transpose,
        ),
        Mistake("Your draw does not come from `generator`: hand it to torch.randn.", _own_stream),
        Mistake(
            "Every draw gives the same matrix, as the identity or a fixed seed does. Draw numbers from `generator`.",
            _identity,
        ),
    ),
)
def gain_orthogonal(rows: int, columns: int, gain: float, generator: torch.Generator) -> Tensor:
    """A draw of torch.nn.init."""
    empty = torch.empty(rows, columns, dtype=torch.float64)
    nn.init.orthogonal_(empty, gain, generator=generator)
    return empty
