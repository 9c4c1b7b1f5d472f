"""Exercises about BatchNorm in deep networks."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, normal, sizes, uniform

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


# --- what many layers leave of the differences between inputs -----------------------------------------


def _two_layers(*, generator: torch.Generator) -> Inputs:
    """What two layers return for the same examples: units with means, and examples of unlike lengths."""
    count = between(9, 13, generator=generator)
    first_units, last_units = sizes(2, 5, 8, generator=generator)
    lengths = 0.5 + 2 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    first = lengths * normal(count, first_units, generator=generator) + normal(first_units, generator=generator)
    mixed = first @ normal(first_units, last_units, generator=generator)
    noise = normal(count, last_units, generator=generator)
    return first, mixed + noise + 2 * normal(last_units, generator=generator)


def _of_units(h: Tensor) -> Tensor:
    return h - h.mean(0)


def _cosines(h: Tensor) -> Tensor:
    directions = functional.normalize(h, dim=1)
    return directions @ directions.T


def _different(like: Tensor) -> Tensor:
    """Each pair of different examples once."""
    rows, columns = torch.triu_indices(len(like), len(like), offset=1).unbind()
    return like[rows, columns]


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    return torch.corrcoef(torch.stack((x, y)))[0, 1]


def _covariance(x: Tensor, y: Tensor) -> Tensor:
    return torch.cov(torch.stack((x, y)))[0, 1]


def _kept(
    *,
    center: Function = _of_units,
    likeness: Function = _cosines,
    pairs: Function = _different,
    compare: Function = _correlation,
) -> Function:
    """How much of the likeness of examples is kept, right unless told otherwise."""
    return lambda first, last: compare(*(pairs(likeness(center(h))) for h in (first, last)))


@exercise(
    "depth-likeness",
    inputs=_two_layers,
    right="each unit is centered, and each pair of different examples counts.",
    mistakes={
        "Each example was also compared with itself. That cosine is 1 in both layers, whatever they do, and makes the "
        "layers look more alike than they are: leave the diagonal out.": _kept(pairs=torch.flatten),
        "You left one half of the pairs out but kept the diagonal: the cosine of an example with itself is always 1. "
        "Take `offset=1`.": _kept(pairs=lambda like: like[tuple(torch.triu_indices(*like.shape))]),
        "You did not subtract each unit's mean over the batch. What all examples share makes them all look "
        "alike.": _kept(center=lambda h: h),
        "You centered each example over its units. It is each unit that has a mean over the batch: `h.mean(0)`.": _kept(
            center=lambda h: h - h.mean(1, keepdim=True)
        ),
        "You compared inner products. A long example has large ones with all others: divide by both lengths.": _kept(
            likeness=lambda h: h @ h.T
        ),
        "You compared distances. The exercise asks for cosines, which do not depend on the lengths.": _kept(
            likeness=lambda h: torch.cdist(h, h)
        ),
        "You compared squared distances. The exercise asks for cosines.": _kept(
            likeness=lambda h: torch.cdist(h, h).square()
        ),
        "That is a covariance. Divide by both standard deviations.": _kept(compare=_covariance),
        "You took the cosine between the two lists. A correlation subtracts the mean of each list first.": _kept(
            compare=partial(torch.cosine_similarity, dim=0)
        ),
        "That is the square of the correlation.": _kept(compare=lambda x, y: _correlation(x, y).square()),
        "You also divided each unit by its standard deviation. The cosines of the layers as they are were asked "
        "for.": _kept(center=lambda h: _of_units(h) / h.std(0)),
        "You compared sizes only: `abs` makes opposite examples look alike.": _kept(
            likeness=lambda h: _cosines(h).abs()
        ),
    },
)
def depth_likeness(first: Tensor, last: Tensor) -> Tensor:
    """The correlation of cosines, over the pairs of different examples."""
    result: Tensor = _kept()(first, last)
    return result
