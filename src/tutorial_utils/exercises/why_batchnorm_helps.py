"""Exercises about why BatchNorm helps."""

import math
from functools import partial

import torch
from torch import Tensor

from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, normal, sizes

# --- growth of the gradient ---------------------------------------------------------------------------

LAYER = math.pi / (math.pi - 1)  # by which a layer multiplies the gradient's second moment


def _depth(*, generator: torch.Generator) -> Inputs:
    return (2 * between(6, 20, generator=generator),)


@exercise(
    "buys-gradient-growth",
    value=True,
    inputs=_depth,
    rtol=1e-2,
    right="the norm grows by the root of the product of the layers' factors.",
    mistakes={
        "That is the growth of the second moment. The norm is its root, so it grows by the root of that "
        "factor.": lambda layers: LAYER**layers,
        "That is the factor of a single layer. The layers' factors multiply.": lambda layers: LAYER**0.5,
        "You added the layers' factors. Each layer multiplies what the one above it sends down.": lambda layers: (
            layers * LAYER**0.5
        ),
        "You gave each layer the factor pi. It is pi / (pi - 1): BatchNorm divides by the standard deviation of what "
        "ReLU puts out, which is sqrt(1 - 1 / pi) of its root mean square.": lambda layers: math.pi ** (layers / 2),
        "You rounded before you took the power, which makes a small error large. Keep all digits "
        "of pi / (pi - 1).": lambda layers: 1.47 ** (layers / 2),
        "That is the inverse: on its way down the gradient grows.": lambda layers: LAYER ** (-layers / 2),
    },
)
def buys_gradient_growth(layers: int) -> float:
    """The growth of the gradient's norm."""
    return float(LAYER ** (layers / 2))


# --- the loss along the gradient ----------------------------------------------------------------------


def _bowl(longest: float, *, generator: torch.Generator) -> Inputs:
    """A quadratic loss, a place on it, and rates; the loss along the gradient is back where it began at a rate of 2."""
    size, count = sizes(2, 3, 5, generator=generator)
    root = normal(size, size, generator=generator)
    hessian = root @ root.T / size + 0.1 * torch.eye(size, dtype=torch.float64)
    w = normal(size, generator=generator, mean=1)
    g = hessian @ w
    rates = torch.linspace(0.3, longest, count, dtype=torch.float64) * (g @ g) / (g @ hessian @ g)
    return hessian, w, rates


Slice = tuple[Tensor, Tensor, Tensor]


def _loss(hessian: Tensor, points: Tensor) -> Tensor:
    return 0.5 * ((points @ hessian) * points).sum(-1)


def _spread(losses: Tensor) -> Tensor:
    return losses.max() - losses.min()


def _slice(
    points: Function = lambda hessian, w, rates: w - rates[:, None] * (hessian @ w),
    *,
    loss_range: Function = lambda losses, first: _spread(losses),
    change: Function = lambda changes, gradients: changes.max(),
    smoothness: Function = lambda changes, rates, g, hessian: (changes / (rates * g.norm())).max(),
) -> Function:
    """An answer, right unless told otherwise: the points, and the three measures of what is found there."""

    def measure(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
        g, places = hessian @ w, points(hessian, w, rates)
        gradients, changes = places @ hessian, (places @ hessian - g).norm(dim=1)
        spread = loss_range(_loss(hessian, places), _loss(hessian, w))
        return spread, change(changes, gradients), smoothness(changes, rates, g, hessian)

    return measure


def _walk(hessian: Tensor, w: Tensor, rates: Tensor) -> Tensor:
    """The points of a descent that goes on from each point, with a new gradient."""
    points = []
    for rate in rates:
        w = w - rate * (hessian @ w)
        points.append(w)
    return torch.stack(points)


def _twice_the_gradient(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    """What a gradient of 2 H w finds: points twice as far away, and twice the change."""
    spread, change, smoothness = _slice()(hessian, w, 2 * rates)
    return spread, 2 * change, 2 * smoothness


def _exchanged(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    spread, change, smoothness = _slice()(hessian, w, rates)
    return change, spread, smoothness


@exercise(
    "buys-loss-slice",
    inputs=(partial(_bowl, 1.7), partial(_bowl, 2.4)),
    parts=("range", "predictiveness", "smoothness"),
    right="on a quadratic loss the third measure is |Hg| / |g|, whatever the rates: at most the largest eigenvalue.",
    mistakes={
        "You walked uphill: w + rate * g. A step of gradient descent subtracts.": _slice(
            lambda hessian, w, rates: w + rates[:, None] * (hessian @ w)
        ),
        "You went on from each point, with a new gradient. All points lie on one line: w - rate * g, with the w and "
        "the g that you began with.": _slice(_walk),
        "Your range is the largest distance from the loss at w. It is the largest loss minus the smallest, among the "
        "points on the line.": _slice(loss_range=lambda losses, first: (losses - first).abs().max()),
        "Your range includes the loss at w. Only the points at the given rates count.": _slice(
            loss_range=lambda losses, first: _spread(torch.cat((losses, first[None])))
        ),
        "Your smoothness is the largest eigenvalue. That is a bound: measure the change of the gradient per distance, "
        "along g.": _slice(smoothness=lambda changes, rates, g, hessian: torch.linalg.eigvalsh(hessian)[-1]),
        "Your losses lack the factor 1/2 of w @ hessian @ w / 2.": _slice(
            loss_range=lambda losses, first: 2 * _spread(losses)
        ),
        "Your smoothness divides by the rate alone. The distance between the two points is rate * |g|.": _slice(
            smoothness=lambda changes, rates, g, hessian: (changes / rates).max()
        ),
        "Your predictiveness is the norm of the new gradient. Subtract the gradient at w first: what counts is how "
        "much it changes.": _slice(change=lambda changes, gradients: gradients.norm(dim=1).max()),
        "Your gradient is twice as large as it should be. The loss has a factor 1/2, so its "
        "gradient is H w.": _twice_the_gradient,
        "Your smoothness divides by |g| alone. The distance between the two points is rate * |g|.": _slice(
            smoothness=lambda changes, rates, g, hessian: (changes / g.norm()).max()
        ),
        "Your range is the largest loss. Subtract the smallest.": _slice(loss_range=lambda losses, first: losses.max()),
        "Range and predictiveness have changed places: the range comes first.": _exchanged,
        "Your predictiveness is squared. It is a norm: take the root.": _slice(
            change=lambda changes, gradients: changes.max().square()
        ),
    },
)
def buys_loss_slice(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    """The three measures of a quadratic loss."""
    result: Slice = _slice()(hessian, w, rates)
    return result
