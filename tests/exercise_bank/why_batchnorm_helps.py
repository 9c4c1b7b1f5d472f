import math

import torch

from exercise_bank import right, wrong

# --- why-shift ---------------------------------------------------------------------------------------


@right("why-shift")
def shift_by_choice(before, after):
    varies = before.std(0) > 0
    moved = (after.mean(0) - before.mean(0)).abs()[varies]
    return (moved / before.std(0)[varies]).median()


@right("why-shift")
def shift_by_loop(before, after):
    shifts = []
    for one, other in zip(before.T, after.T, strict=True):
        if one.max() > one.min():
            shifts.append(float((other.mean() - one.mean()).abs() / one.std()))
    return sorted(shifts)[len(shifts) // 2]


@right("why-shift")
def shift_by_nanmedian(before, after):
    deviations = before.std(0)
    shifts = (after - before).mean(0).abs() / deviations
    return shifts.masked_fill(deviations == 0, math.nan).nanmedian().item()


@wrong("why-shift", "leaving out NaN is not enough")
def shift_without_nan(before, after):
    shifts = (after.mean(0) - before.mean(0)).abs() / before.std(0)
    return shifts[~shifts.isnan()].median()


@wrong("why-shift", "units that are 0 throughout")
def shift_of_units_that_answer(before, after):
    alive = (before != 0).any(0)
    return ((after.mean(0) - before.mean(0)).abs() / before.std(0))[alive].median()


# --- buys-loss-slice ---------------------------------------------------------------------------------


def loss(hessian, w):
    return 0.5 * w @ hessian @ w


@right("buys-loss-slice")
def slice_by_loop(hessian, w, rates):
    g = hessian @ w
    losses, changes, ratios = [], [], []
    for rate in rates:
        v = w - rate * g
        losses.append(loss(hessian, v))
        changes.append((hessian @ v - g).norm())
        ratios.append(changes[-1] / (rate * g.norm()))
    return max(losses) - min(losses), max(changes), max(ratios)


@right("buys-loss-slice")
def slice_by_autograd(hessian, w, rates):
    v = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(hessian, v), v)
    values, changes = [], []
    for rate in rates:
        u = (v - rate * g).detach().requires_grad_()
        values.append(loss(hessian, u))
        changes.append(torch.autograd.grad(values[-1], u)[0] - g)
    values, lengths = torch.stack(values), torch.stack([c.norm() for c in changes])
    return values.max() - values.min(), lengths.max(), (lengths / (rates * g.norm())).max()


@right("buys-loss-slice")
def slice_named(hessian, w, rates):
    spread, change, ratio = slice_by_loop(hessian, w, rates)
    return {"smoothness": ratio.item(), "predictiveness": change.item(), "range": spread.item()}


@right("buys-loss-slice")
def slice_by_einsum(hessian, w, rates):
    g = hessian @ w
    points = w - torch.outer(rates, g)
    losses = torch.einsum("ki,ij,kj->k", points, hessian, points) / 2
    lengths = torch.linalg.vector_norm(points @ hessian.T - g, dim=1)
    return torch.stack((losses.max() - losses.min(), lengths.max(), (lengths / rates / g.norm()).max()))
