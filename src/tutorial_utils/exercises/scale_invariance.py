"""Exercises about the scale of weights before a BatchNorm."""

from functools import partial

import torch
from torch import Tensor

from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, uniform

# --- the scale of a weight is a learning rate ---------------------------------------------------------

#: By which power of the scale each optimizer's learning rate must grow.
POWERS = {"SGD": 2, "momentum": 2, "Adam": 1}


def _scale_and_rate(optimizer: str, *, generator: torch.Generator) -> Inputs:
    """A scale above or below 1, and a rate with digits that nobody guesses."""
    a = uniform(1.5, 6, generator=generator) ** (1 if between(0, 1, generator=generator) else -1)
    return optimizer, a, uniform(0.01, 0.1, generator=generator)


def _rate(**powers: float) -> Function:
    """An answer with other powers of the scale, right unless told otherwise."""
    return lambda optimizer, a, lr: lr * a ** {**POWERS, **powers}[optimizer]


@exercise(
    "bn-matching-rate",
    inputs=tuple(partial(_scale_and_rate, optimizer) for optimizer in POWERS),
    rtol=5e-3,
    rtol32=None,
    cases=9,
    predict=(("SGD", 2.5, 0.05), ("Adam", 2.5, 0.05)),
    right="only the learning rate divided by the squared norm counts for SGD, and divided by the norm for Adam.",
    mistakes={
        "You left the learning rate as it is. With weights a times as long, the gradient is smaller by a factor of a, "
        "and what it has to turn is longer by that factor.": _rate(SGD=0, momentum=0, Adam=0),
        "You multiplied by a in every case. For SGD that makes up for the smaller gradient only: the weight it has to "
        "turn is longer by a, too.": _rate(SGD=1, momentum=1),
        "You multiplied by a squared in every case. Adam divides the gradient by its own size, so the smaller gradient "
        "costs it nothing; only the longer weight is left.": _rate(Adam=2),
        "You gave Adam the same learning rate. Its step keeps its size, but the weight it has to turn is a times as "
        "long.": _rate(Adam=0),
        "You divided by powers of a. Longer weights have smaller gradients, so they need a larger learning "
        "rate.": _rate(SGD=-2, momentum=-2, Adam=-1),
        "You divided by a. Longer weights have smaller gradients, so they need a larger learning rate.": _rate(
            SGD=-1, momentum=-1, Adam=-1
        ),
        "You took the square root of a. Two effects multiply for SGD, and each contributes the full factor a.": _rate(
            SGD=0.5, momentum=0.5, Adam=0.5
        ),
        "With momentum you used another power than for plain SGD. Momentum adds up gradients, all of them smaller by "
        "the factor a, so it needs what plain SGD needs.": _rate(momentum=1),
        "You exchanged Adam and SGD. Adam is the one that divides by the size of the gradient.": _rate(
            SGD=1, momentum=1, Adam=2
        ),
        "With momentum you also multiplied by 10, for the sum of its steps. Both networks have the momentum, so what "
        "it makes of a step is the same in both.": lambda optimizer, a, lr: (
            _rate()(optimizer, a, lr) * (10 if optimizer == "momentum" else 1)
        ),
        "For Adam you divided by a. Its step keeps its size, and the weight it has to turn is a times as long: "
        "multiply.": _rate(Adam=-1),
    },
)
def bn_matching_rate(optimizer: str, a: float, lr: float) -> float:
    """The learning rate at which weights times a learn as the original ones do at lr."""
    return float(lr * a ** POWERS[optimizer])


# --- weight decay is a learning rate, too -------------------------------------------------------------


def _schedule(*, generator: torch.Generator) -> Inputs:
    """A falling schedule, short enough to print, and a decay strong enough to show."""
    steps = between(4, 7, generator=generator)
    rates = 0.3 + 0.4 * torch.rand(steps, generator=generator, dtype=torch.float64)
    return rates.sort(descending=True).values, uniform(0.2, 0.4, generator=generator)


def _growing(factor: Function = lambda before, after, shrink: 1 / (before * after)) -> Function:
    """An answer, right unless told otherwise: the factor from the total shrinkage before and after each step."""

    def rates_without_decay(rates: Tensor, decay: float) -> Tensor:
        shrink = 1 - rates * decay
        after = shrink.cumprod(0)
        result: Tensor = rates * factor(after / shrink, after, shrink)
        return result

    return rates_without_decay


def _constant_rate(rates: Tensor, decay: float) -> Tensor:
    """The chapter's formula, with each rate as if it had been the rate all along."""
    steps = torch.arange(len(rates), dtype=rates.dtype)
    return rates * (1 - rates * decay) ** (-2 * steps - 1)


def _first_rate(rates: Tensor, decay: float) -> Tensor:
    steps = torch.arange(len(rates), dtype=rates.dtype)
    return rates * (1 - rates[0] * decay) ** (-2 * steps - 1)


@exercise(
    "bn-decay-rates",
    inputs=_schedule,
    right="decay is nothing but a learning rate that grows, here with the product of all the shrinkage so far.",
    mistakes={
        "You used the chapter's formula with each step's own rate, as if that rate had been in use from the start. "
        "With a schedule, every earlier step shrank the weights by its own factor: multiply those factors.": (
            _constant_rate
        ),
        "You used the first rate for the shrinkage of every step. With a schedule, each step shrinks the weights by "
        "its own factor.": _first_rate,
        "You counted the shrinkage before the step twice. The gradient of the shrunken weights is too large by the "
        "shrinkage before the step, and undoing the shrinkage divides by the one after it: one factor each.": _growing(
            lambda before, after, shrink: 1 / before**2
        ),
        "You counted the shrinkage after the step twice. When the gradient is computed, the present step has not "
        "shrunk the weights yet: one of the two factors ends a step earlier.": _growing(
            lambda before, after, shrink: 1 / after**2
        ),
        "You divided by the shrinkage once. Shrunken weights have a larger gradient *and* are easier to turn: two "
        "factors.": _growing(lambda before, after, shrink: 1 / after),
        "You divided once, by the shrinkage before the step. Shrunken weights have a larger gradient *and* are easier "
        "to turn: two factors.": _growing(lambda before, after, shrink: 1 / before),
        "You multiplied where you should divide. Decay makes the weights shorter, so each step turns them more, as a "
        "larger learning rate would.": _growing(lambda before, after, shrink: before * after),
        "You divided by the shrinkage of the present step only. All the steps before it have shrunk the weights as "
        "well.": _growing(lambda before, after, shrink: 1 / shrink),
        "You returned the rates as they were. Decay shortens the weights, and so makes every later step turn them "
        "more.": _growing(lambda before, after, shrink: torch.ones_like(shrink)),
        "Your steps shrink the weights by 1 - decay. The learning rate is a factor of the decay, too: 1 - rate * "
        "decay.": lambda rates, decay: rates * (1 - decay) ** (-2 * torch.arange(len(rates), dtype=rates.dtype) - 1),
        "You took the exponential for the product of the shrinkage, e to the sum of rate * decay. That is near for "
        "small rates; multiply the factors 1 - rate * decay.": lambda rates, decay: (
            rates * (decay * (2 * rates.cumsum(0) - rates)).exp()
        ),
    },
)
def bn_decay_rates(rates: Tensor, decay: float) -> Tensor:
    """The rates with which SGD without decay visits the same functions."""
    result: Tensor = _growing()(rates, decay)
    return result
