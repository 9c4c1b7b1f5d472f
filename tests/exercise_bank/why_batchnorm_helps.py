"""Answers to the exercises of chapter 11, right and wrong, as students write them."""

import math

import torch

from exercise_bank import right, wrong

# --- buys-gradient-growth -----------------------------------------------------------------------------


@right("buys-gradient-growth")
def growth(layers):
    return (math.pi / (math.pi - 1)) ** (layers / 2)


@right("buys-gradient-growth")
def growth_by_loop(layers):
    norm = 1.0
    for _ in range(layers):
        norm *= math.sqrt(1 / (1 - 1 / math.pi))
    return norm


@right("buys-gradient-growth")
def growth_by_logarithm(layers):
    return torch.tensor(-0.5 * layers * math.log(1 - 1 / math.pi)).exp()


@wrong("buys-gradient-growth", "second moment")
def growth_squared(layers):
    return 1.467**layers


@wrong("buys-gradient-growth", "single layer")
def growth_of_one(layers):
    return math.sqrt(math.pi / (math.pi - 1))


@wrong("buys-gradient-growth", "added")
def growth_added(layers):
    return layers * math.sqrt(math.pi / (math.pi - 1))


@wrong("buys-gradient-growth", "factor pi")
def growth_pi(layers):
    return math.pi ** (layers / 2)


@wrong("buys-gradient-growth", "inverse")
def growth_down(layers):
    return ((math.pi - 1) / math.pi) ** (layers / 2)


# --- buys-loss-slice ----------------------------------------------------------------------------------


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
def slice_by_formula(hessian, w, rates):
    g = hessian @ w
    hg = hessian @ g
    values = loss(hessian, w) - rates * (g @ g) + 0.5 * rates**2 * (g @ hg)
    return values.max() - values.min(), rates.max() * hg.norm(), hg.norm() / g.norm()


@wrong("buys-loss-slice", "uphill")
def slice_up(hessian, w, rates):
    g = hessian @ w
    points = [w + rate * g for rate in rates]
    losses = torch.stack([loss(hessian, v) for v in points])
    changes = torch.stack([(hessian @ v - g).norm() for v in points])
    return losses.max() - losses.min(), changes.max(), (changes / (rates * g.norm())).max()


@wrong("buys-loss-slice", "new gradient")
def slice_descends(hessian, w, rates):
    g, losses, changes = hessian @ w, [], []
    for rate in rates:
        w = w - rate * hessian @ w
        losses.append(loss(hessian, w))
        changes.append((hessian @ w - g).norm())
    ratios = [c / (r * g.norm()) for c, r in zip(changes, rates, strict=True)]
    return max(losses) - min(losses), max(changes), max(ratios)


@wrong("buys-loss-slice", "from the loss at the start")
def slice_from_start(hessian, w, rates):
    _, change, ratio = slice_by_loop(hessian, w, rates)
    g = hessian @ w
    return max((loss(hessian, w - r * g) - loss(hessian, w)).abs() for r in rates), change, ratio


@wrong("buys-loss-slice", "factor 1/2")
def slice_without_half(hessian, w, rates):
    spread, change, ratio = slice_by_loop(hessian, w, rates)
    return 2 * spread, change, ratio


@wrong("buys-loss-slice", "rate alone")
def slice_per_rate(hessian, w, rates):
    spread, change, _ = slice_by_loop(hessian, w, rates)
    return spread, change, change / rates.max()


@wrong("buys-loss-slice", "norm of the new gradient")
def slice_new_gradient(hessian, w, rates):
    spread, _, ratio = slice_by_loop(hessian, w, rates)
    g = hessian @ w
    return spread, max((hessian @ (w - r * g)).norm() for r in rates), ratio


@wrong("buys-loss-slice", "squared")
def slice_squared(hessian, w, rates):
    spread, change, ratio = slice_by_loop(hessian, w, rates)
    return spread, change**2, ratio


@wrong("buys-loss-slice", "includes the loss at w")
def slice_with_start(hessian, w, rates):
    g = hessian @ w
    points = [w] + [w - rate * g for rate in rates]
    losses = torch.stack([0.5 * p @ hessian @ p for p in points])
    changes = torch.stack([(hessian @ p - g).norm() for p in points[1:]])
    return losses.max() - losses.min(), changes.max(), (changes / (rates * g.norm())).max()


@wrong("buys-loss-slice", "largest eigenvalue")
def slice_by_bound(hessian, w, rates):
    g = hessian @ w
    losses = torch.stack([0.5 * p @ hessian @ p for p in w - rates[:, None] * g])
    changes = torch.stack([(rate * hessian @ g).norm() for rate in rates])
    return losses.max() - losses.min(), changes.max(), torch.linalg.eigvalsh(hessian).max()


# --- from a second look: what else students write -----------------------------------------------------


@wrong("buys-gradient-growth", "rounded before")
def growth_rounded(layers):
    return 1.47 ** (layers / 2)


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


@wrong("buys-loss-slice", "twice as large")
def slice_gradient_without_half(hessian, w, rates):
    g = (hessian + hessian.T) @ w
    losses, changes = [], []
    for rate in rates:
        v = w - rate * g
        losses.append(loss(hessian, v))
        changes.append(((hessian + hessian.T) @ v - g).norm())
    ratios = [change / (rate * g.norm()) for change, rate in zip(changes, rates, strict=True)]
    return max(losses) - min(losses), max(changes), max(ratios)


@wrong("buys-loss-slice", "by |g| alone")
def slice_forgets_the_rate(hessian, w, rates):
    spread, change, _ = slice_by_loop(hessian, w, rates)
    return spread, change, change / (hessian @ w).norm()


@wrong("buys-loss-slice", "is the largest loss")
def slice_largest(hessian, w, rates):
    _, change, ratio = slice_by_loop(hessian, w, rates)
    g = hessian @ w
    return max(loss(hessian, w - rate * g) for rate in rates), change, ratio


@wrong("buys-loss-slice", "changed places")
def slice_exchanged(hessian, w, rates):
    spread, change, ratio = slice_by_loop(hessian, w, rates)
    return change, spread, ratio
