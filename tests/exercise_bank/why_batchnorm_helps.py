import math

import torch

from exercise_bank import right

# --- buys-gradient-growth ----------------------------------------------------------------------------


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
