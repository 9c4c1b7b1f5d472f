"""Exercises about why BatchNorm helps."""

import math
from functools import partial

import torch
from torch import Tensor

from tutorial_utils.exercises.registry import Inputs, Mistake, exercise
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
    mistakes=(
        Mistake(
            "That is the growth of the second moment. The norm is its root, so it grows by the root of that factor.",
            lambda layers: LAYER**layers,
        ),
        Mistake("That is the factor of a single layer. The layers' factors multiply.", lambda layers: LAYER**0.5),
        Mistake(
            "You added the layers' factors. Each layer multiplies what the one above it sends down.",
            lambda layers: layers * LAYER**0.5,
        ),
        Mistake(
            "You gave each layer the factor pi. It is pi / (pi - 1): BatchNorm divides by the deviation of what ReLU "
            "has left, and sqrt(1 - 1 / pi) of it is left.",
            lambda layers: math.pi ** (layers / 2),
        ),
        Mistake(
            "You rounded before you took the power, which makes a small error large. Keep all digits of pi / (pi - 1).",
            lambda layers: 1.47 ** (layers / 2),
        ),
        Mistake("That is the inverse: on its way down the gradient grows.", lambda layers: LAYER ** (-layers / 2)),
    ),
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


def _slice(hessian: Tensor, w: Tensor, rates: Tensor, sign: float = -1.0, half: float = 0.5) -> Slice:
    gradient = hessian @ w
    points = w + sign * rates[:, None] * gradient
    losses = half * ((points @ hessian) * points).sum(1)
    change = (points @ hessian - gradient).norm(dim=1)
    return losses.max() - losses.min(), change.max(), (change / (rates * gradient.norm())).max()


def _walked(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    """The losses of a descent that goes on from each point, with a new gradient."""
    start, points = hessian @ w, []
    for rate in rates:
        w = w - rate * (hessian @ w)
        points.append(w)
    walk = torch.stack(points)
    losses, change = 0.5 * ((walk @ hessian) * walk).sum(1), (walk @ hessian - start).norm(dim=1)
    return losses.max() - losses.min(), change.max(), (change / (rates * start.norm())).max()


def _from_the_start(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    _, change, smoothness = _slice(hessian, w, rates)
    points = w - rates[:, None] * (hessian @ w)
    losses = 0.5 * ((points @ hessian) * points).sum(1)
    return (losses - 0.5 * w @ hessian @ w).abs().max(), change, smoothness


def _start_included(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    _, change, smoothness = _slice(hessian, w, rates)
    return _slice(hessian, w, torch.cat((torch.zeros_like(rates[:1]), rates)))[0], change, smoothness


def _eigenvalue(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    spread, change, _ = _slice(hessian, w, rates)
    return spread, change, torch.linalg.eigvalsh(hessian)[-1]


def _per_rate(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    spread, change, smoothness = _slice(hessian, w, rates)
    return spread, change, smoothness * (hessian @ w).norm()


def _norm_of_the_gradient(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    spread, _, smoothness = _slice(hessian, w, rates)
    gradient = hessian @ w
    return spread, ((w - rates[:, None] * gradient) @ hessian).norm(dim=1).max(), smoothness


def _twice_the_gradient(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    gradient = 2 * hessian @ w
    points = w - rates[:, None] * gradient
    losses, change = 0.5 * ((points @ hessian) * points).sum(1), (2 * points @ hessian - gradient).norm(dim=1)
    return losses.max() - losses.min(), change.max(), (change / (rates * gradient.norm())).max()


def _without_rate(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    spread, change, _ = _slice(hessian, w, rates)
    return spread, change, change / (hessian @ w).norm()


def _only_largest(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    points = w - rates[:, None] * (hessian @ w)
    return 0.5 * ((points @ hessian) * points).sum(1).max(), *_slice(hessian, w, rates)[1:]


def _exchanged(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    spread, change, smoothness = _slice(hessian, w, rates)
    return change, spread, smoothness


def _squared(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    spread, change, smoothness = _slice(hessian, w, rates)
    return spread, change.square(), smoothness


@exercise(
    "buys-loss-slice",
    inputs=(partial(_bowl, 1.7), partial(_bowl, 2.4)),
    parts=("range", "predictiveness", "smoothness"),
    right="on a quadratic loss the third measure is |Hg| / |g|, whatever the rates: at most the largest eigenvalue.",
    mistakes=(
        Mistake(
            "You walked uphill: w + rate * g. A step of gradient descent subtracts.",
            partial(_slice, sign=1.0),
        ),
        Mistake(
            "You went on from each point, with a new gradient. All points lie on one line: w - rate * g, with the w "
            "and the g of the start.",
            _walked,
        ),
        Mistake(
            "Your range is the largest distance from the loss at the start. It is the largest loss less the smallest, "
            "among the points on the line.",
            _from_the_start,
        ),
        Mistake("Your range includes the loss at w. Only the points at the given rates count.", _start_included),
        Mistake(
            "Your smoothness is the largest eigenvalue. That is a bound: measure the change of the gradient per "
            "distance, along g.",
            _eigenvalue,
        ),
        Mistake("Your losses lack the factor 1/2 of w @ hessian @ w / 2.", partial(_slice, half=1.0)),
        Mistake(
            "Your smoothness divides by the rate alone. The distance between the two points is rate * |g|.", _per_rate
        ),
        Mistake(
            "Your predictiveness is the norm of the new gradient. Subtract the gradient at the start first: what "
            "counts is how much it changes.",
            _norm_of_the_gradient,
        ),
        Mistake(
            "Your gradient is twice as large as it should be. The loss has a factor 1/2, so its gradient is H w.",
            _twice_the_gradient,
        ),
        Mistake(
            "Your smoothness divides by |g| alone. The distance between the two points is rate * |g|.", _without_rate
        ),
        Mistake("Your range is the largest loss. Subtract the smallest.", _only_largest),
        Mistake("Range and predictiveness have changed places: the range comes first.", _exchanged),
        Mistake("Your predictiveness is squared. It is a norm: take the root.", _squared),
    ),
)
def buys_loss_slice(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    """The three measures of a quadratic loss."""
    return _slice(hessian, w, rates)
