import math

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong
from tutorial_utils.networks import mlp

# --- start-logit-spread ------------------------------------------------------------------------------


@right("start-logit-spread")
def spread_formula(classes, loss):
    return math.sqrt((loss - math.log(classes)) / (0.5 * (1 - 1 / classes)))


@right("start-logit-spread")
def spread_bisection(classes, loss):
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        cost = np.log(classes) + 0.5 * (classes - 1) / classes * middle**2
        low, high = (middle, high) if cost < loss else (low, middle)
    return low


@right("start-logit-spread")
def spread_tensor(classes, loss):
    excess = torch.tensor(loss) - torch.tensor(float(classes)).log()
    return (2 * classes / (classes - 1) * excess).sqrt()


# --- start-first-moves -------------------------------------------------------------------------------


@right("start-first-moves")
def moves_list():
    return [*(4, 3, 2, 1), *(2, 2, 1, 2), *(0, 0, 0, 2)]


@right("start-first-moves")
def moves_array():
    return tuple(np.array([4, 3, 2, 1, 2, 2, 1, 2, 0, 0, 0, 2]))


@right("start-first-moves")
def moves_measured():
    nets = ((nn.Sigmoid, (1, 2, 3, 4)), (nn.Tanh, (3,)), (nn.Tanh, (2, 3)))
    return [step for activation, zero in nets for step in first_moves(activation, zero)]


def first_moves(activation, zero):
    source = torch.Generator().manual_seed(0)
    net = mlp([6, 5, 5, 5, 3], activation)
    for number, layer in enumerate(linears(net), 1):
        nn.init.normal_(layer.weight, std=0.5 * (number not in zero), generator=source)
        nn.init.zeros_(layer.bias)
    x, y = torch.randn(20, 6, generator=source), torch.randint(3, (20,), generator=source)
    optimizer, first = torch.optim.SGD(net.parameters(), lr=0.1), [0, 0, 0, 0]
    for step in range(1, 7):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        first = [old or step * bool(layer.weight.grad.any()) for old, layer in zip(first, linears(net), strict=True)]
        optimizer.step()
    return first


# --- start-ranks -------------------------------------------------------------------------------------


@right("start-ranks")
def ranks_formula(first, second):
    return first, min(first, second), min(second, 10)


@right("start-ranks")
def ranks_floats(first, second):
    return [float(first), float(min(first, second)), float(second)]


@right("start-ranks")
def ranks_measured(first, second):
    a, b = torch.arange(60) % first, torch.arange(60) % second
    w1, w2, w3 = torch.randn(first, 64)[a], torch.randn(second, first)[b][:, a], torch.randn(10, second)[:, b]
    return tuple(int(torch.linalg.matrix_rank(w)) for w in (w1, w2, w3))


# --- start-dead-units --------------------------------------------------------------------------------


@right("start-dead-units")
def dead_loop(z):
    dead = 0
    for unit in range(z.shape[1]):
        if not (z[:, unit] > 0).any():
            dead += 1
    return dead / z.shape[1]


@right("start-dead-units")
def dead_by_gradient(z):
    z = z.clone().requires_grad_()
    z.relu().sum().backward()
    reached = z.grad.movedim(1, 0).reshape(z.shape[1], -1).sum(1)
    return (reached == 0).to(z.dtype).mean().item()


@right("start-dead-units")
def dead_by_numpy(z):
    array = z.numpy()
    axes = tuple(axis for axis in range(array.ndim) if axis != 1)
    return np.mean(array.max(axis=axes) <= 0)


# --- start-calm-logits -------------------------------------------------------------------------------


@right("start-calm-logits")
@torch.no_grad()
def calm_in_place(model, x, size):
    factor = size / model(x).square().mean().sqrt()
    for parameter in model[-1].parameters():
        parameter *= factor


@right("start-calm-logits")
def calm_new_parameters(model, x, size):
    logits = model(x).detach()
    rms = math.sqrt(sum(value**2 for value in logits.flatten().tolist()) / logits.numel())
    head = model[-1]
    head.weight = nn.Parameter(head.weight.detach() * size / rms)
    head.bias = nn.Parameter(head.bias.detach() * size / rms)
    return model


@right("start-calm-logits")
def calm_state(model, x, size):
    state = model.state_dict()
    rms = model(x).pow(2).mean().sqrt().item()
    for name in list(state)[-2:]:
        state[name] = state[name] * size / rms
    model.load_state_dict(state)


@wrong("start-calm-logits", "not a multiple of the old ones")
def calm_redrawn(model, x, size):
    nn.init.normal_(model[-1].weight, std=size / model[-1].in_features ** 0.5)
    nn.init.zeros_(model[-1].bias)


@wrong("start-calm-logits", "compute something else now")
@torch.no_grad()
def calm_first_layer(model, x, size):
    rms = model(x).square().mean().sqrt()
    for parameter in model[0].parameters():
        parameter *= size / rms


# --- start-broken ------------------------------------------------------------------------------------


def linears(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


@right("start-broken")
def start_from_above(model, generator):
    for layer in reversed(linears(model)):
        n_out, n_in = layer.weight.shape
        layer.weight.data = torch.stack([torch.randn(n_in, generator=generator) for _ in range(n_out)]) / n_in**0.5
        layer.bias.data = torch.zeros(n_out)


@right("start-broken")
@torch.no_grad()
def start_kaiming(model, generator):
    for layer in linears(model):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear", generator=generator)
        layer.bias *= 0
    return model


@right("start-broken")
@torch.no_grad()
def start_out(model, generator):
    for layer in linears(model):
        torch.randn(layer.weight.shape, generator=generator, out=layer.weight.data)
        layer.weight /= math.sqrt(layer.in_features)
        layer.bias.fill_(0)
