"""Exercises about BatchNorm in deep networks."""

import math

import torch

from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, uniform

# --- growth of the gradient ---------------------------------------------------------------------------


def _leaky(*, generator: torch.Generator) -> Inputs:
    """A slope for which the constant part of what comes out matters, and a depth."""
    return uniform(0.05, 0.5, generator=generator), between(4, 20, generator=generator)


def _second_moment(slope: float) -> float:
    """Of a leaky ReLU's output, and of its slope, for a standard normal input."""
    return (1 + slope**2) / 2


def _mean(slope: float) -> float:
    return (1 - slope) / math.sqrt(2 * math.pi)


def _growth(
    factor: Function = lambda slope: _second_moment(slope) / (_second_moment(slope) - _mean(slope) ** 2),
    power: Function = lambda layers: layers / 2,
) -> Function:
    """The growth of the norm over all layers, right unless told otherwise."""
    return lambda slope, layers: float(factor(slope) ** power(layers))


@exercise(
    "buys-gradient-growth",
    inputs=_leaky,
    rtol=1e-3,
    rtol32=None,
    right="the share of the gradient that the activation passes, over the variance that BatchNorm divides by.",
    mistakes={
        "That is the growth of the second moment. The norm is its square root, so it grows by the square root of that "
        "factor.": _growth(power=lambda layers: layers),
        "That is the factor of a single layer. The factors of all layers multiply.": _growth(power=lambda layers: 0.5),
        "That is ReLU's factor. A leaky ReLU passes part of the gradient where its input is negative, and puts out "
        "something there.": _growth(lambda slope: math.pi / (math.pi - 1)),
        "You divided by the second moment of what the activation puts out, which gives no growth at all. BatchNorm "
        "subtracts the mean: divide by the variance.": _growth(lambda slope: 1.0),
        "The gradient that passes the activation has the share (1 + slope²)/2 of its second moment. You took one half, "
        "which is ReLU's.": _growth(lambda slope: 0.5 / (_second_moment(slope) - _mean(slope) ** 2)),
        "You took ReLU's variance for what BatchNorm divides by. Where its input is negative, a leaky ReLU puts out "
        "something, too.": _growth(lambda slope: _second_moment(slope) / (0.5 - 0.5 / math.pi)),
        "You took ReLU's mean, 1/√(2π). The negative half takes part of it away: (1 - slope)/√(2π).": _growth(
            lambda slope: _second_moment(slope) / (_second_moment(slope) - 0.5 / math.pi)
        ),
        "You averaged the slopes, (1 + slope)/2. The gradient is multiplied by them, so its second moment takes their "
        "squares: (1 + slope²)/2.": _growth(
            lambda slope: (1 + slope) / 2 / (_second_moment(slope) - _mean(slope) ** 2)
        ),
        "That is the inverse: on its way down the gradient grows.": _growth(power=lambda layers: -layers / 2),
        "You added the means of both halves. Negative numbers times the slope stay negative, so the mean is "
        "(1 - slope)/√(2π).": _growth(
            lambda slope: _second_moment(slope) / (_second_moment(slope) - (1 + slope) ** 2 / (2 * math.pi))
        ),
        "You divided by the variance and left out what the activation passes of the gradient, the share "
        "(1 + slope²)/2.": _growth(lambda slope: 1 / (_second_moment(slope) - _mean(slope) ** 2)),
        "You stopped one layer short: the gradient passes `layers` layers.": _growth(
            power=lambda layers: (layers - 1) / 2
        ),
        "You multiplied the factor of one layer by the number of layers. Factors multiply: raise it to that "
        "power.": lambda slope, layers: layers * _growth()(slope, 1),
    },
)
def buys_gradient_growth(slope: float, layers: int) -> float:
    """The growth of the gradient's norm in a network of BatchNorm and leaky ReLU."""
    return float(_growth()(slope, layers))
