"""Exercises about why BatchNorm helps."""

from functools import partial

import torch
from torch import Tensor

from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, normal, sizes, uniform

# --- covariate shift ----------------------------------------------------------------------------------


def _inputs_twice(*, generator: torch.Generator) -> Inputs:
    """What a layer reads before and after a step; one unit is always 0, and the number of the others is odd."""
    count, units = between(6, 10, generator=generator), 2 * between(2, 3, generator=generator)
    scales = 1 + 4 * torch.rand(units, generator=generator, dtype=torch.float64)
    spread = normal(count, units, generator=generator)
    before = ((spread - spread.mean(0)) / spread.std(0) + 1) * scales
    way = torch.where(torch.arange(units) % 2 == 0, -1.0, 1.0) * uniform(0.3, 0.6, generator=generator)
    after = (before - before.mean(0)) * 3 + before.mean(0) + way * scales * (1 + torch.arange(units) / 5)
    dead = between(0, units - 1, generator=generator)
    before[:, dead] = after[:, dead] = 0
    return before, after


def _awake_and_asleep(*, generator: torch.Generator) -> Inputs:
    """The same; three units that were constant wake up, so that they would move the median, and another one dies."""
    before, after = _inputs_twice(generator=generator)
    dead = int((before.std(0) == 0).nonzero())
    after[:, dead] = normal(len(before), generator=generator, mean=3)
    after[:, dead - 1] = 0
    constant = torch.full_like(before[:, :2], 0.5)  # so many, or the median stays in its place
    awake = after[:, dead, None].expand(-1, 2)
    return torch.cat([before, constant], dim=1), torch.cat([after, awake], dim=1)


def _varies(before: Tensor, after: Tensor) -> Tensor:
    """Which units vary before the step."""
    return before.std(0) > 0


def _all_units(before: Tensor, after: Tensor) -> Tensor:
    return torch.ones_like(before[0], dtype=torch.bool)


def _shift(
    *,
    scale: Function = lambda before, after: before.std(0),
    summary: Function = torch.median,
    kept: Function = _varies,
    change: Function = lambda before, after: (after.mean(0) - before.mean(0)).abs(),
) -> Function:
    """How far means move in standard deviations, right unless told otherwise."""
    return lambda before, after: summary((change(before, after) / scale(before, after))[kept(before, after)])


@exercise(
    "why-shift",
    inputs=(_inputs_twice, _awake_and_asleep),
    right="units that never vary are left out, and each of the others is measured on its own scale.",
    mistakes={
        "Your result is the change itself. Measure it in standard deviations of the unit, or units with a large scale "
        "decide alone.": _shift(scale=lambda before, after: torch.ones_like(before[0])),
        "Your result counts the unit that is always 0 as one that did not move. It cannot tell anything: leave it "
        "out.": _shift(kept=_all_units, summary=lambda shifts: shifts.nan_to_num().median()),
        "Your result is not a number: a unit that never varies has a standard deviation of 0, and 0/0 is NaN. Leave "
        "such units out.": _shift(kept=_all_units),
        "A unit that does not vary before the step may still move: then its shift is infinite, and leaving out NaN "
        "is not enough; nor is leaving out units that are 0 throughout. Ask `before.std(0) > 0`.": _shift(
            kept=_all_units, summary=torch.nanmedian
        ),
        "You left out a unit that no longer varies after the step. Its mean has moved, too: ask for the standard "
        "deviation before the step alone.": _shift(kept=lambda before, after: (before.std(0) > 0) & (after.std(0) > 0)),
        "You took the median of `before` and `after` in place of their means.": _shift(
            change=lambda before, after: (after.median(0).values - before.median(0).values).abs()
        ),
        "You took the mean over the units. One unit with a tiny standard deviation decides it then: take the "
        "median.": _shift(summary=torch.mean),
        "You used one standard deviation for all units. Each unit has its own.": _shift(
            scale=lambda before, after: before.std()
        ),
        "You divided by the standard deviations after the step. Measure on the scale from before it.": _shift(
            scale=lambda before, after: after.std(0)
        ),
        "You kept the sign, so shifts up and down cancel. Take absolute values.": _shift(
            change=lambda before, after: after.mean(0) - before.mean(0)
        ),
        "You divided by variances. A shift is measured in standard deviations.": _shift(
            scale=lambda before, after: before.var(0)
        ),
        "You averaged how far the single values moved. The exercise asks how far their means moved.": _shift(
            change=lambda before, after: (after - before).abs().mean(0)
        ),
        "You used the biased standard deviation, which divides by the number of rows. Use `std` as it is.": _shift(
            scale=lambda before, after: before.std(0, correction=0)
        ),
        "You divided by one standard deviation, that of all numbers, and kept units that never vary. Each unit has its "
        "own scale, and those without one are "
        "left out.": _shift(scale=lambda before, after: before.std(), kept=_all_units),
        "You compared examples. A unit is a column: means and standard deviations are taken over dimension "
        "0.": lambda before, after: ((after.mean(1) - before.mean(1)).abs() / before.std(1)).median(),
        "You pooled the standard deviations before and after the step. Measure on the scale from before it.": _shift(
            scale=lambda before, after: ((before.var(0) + after.var(0)) / 2).sqrt()
        ),
        "You count a unit that does not vary before the step as one that did not move. It has no scale to measure "
        "with: leave it out.": _shift(kept=_all_units, summary=lambda shifts: shifts.nan_to_num(0, 0, 0).median()),
        "You divided by the standard deviations after the step, and left out the units that do not vary then. Scale "
        "and choice belong to the time before the step.": _shift(
            scale=lambda before, after: after.std(0), kept=lambda before, after: after.std(0) > 0
        ),
    },
)
def why_shift(before: Tensor, after: Tensor) -> Tensor:
    """The median over all units that vary."""
    result: Tensor = _shift()(before, after)
    return result


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
        "You walked along the gradient divided by its length. The points are w - rate * g, with g as long as "
        "it is.": _slice(
            lambda hessian, w, rates: w - rates[:, None] * torch.nn.functional.normalize(hessian @ w, dim=0),
            smoothness=lambda changes, rates, g, hessian: (changes / rates).max(),
        ),
        "Your predictiveness compares neighboring points. Each change is that from the gradient at w.": _slice(
            change=lambda changes, gradients: gradients.diff(dim=0).norm(dim=1).max()
        ),
    },
)
def buys_loss_slice(hessian: Tensor, w: Tensor, rates: Tensor) -> Slice:
    """The three measures of a quadratic loss."""
    result: Slice = _slice()(hessian, w, rates)
    return result
