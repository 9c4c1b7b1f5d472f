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


# --- start-half-precision ----------------------------------------------------------------------------


@right("start-half-precision")
def lost_loop(size, factor, smallest, largest):
    layers = 0
    while smallest <= size <= largest:
        size *= factor
        layers += 1
    return layers


@right("start-half-precision")
def lost_by_logarithms(size, factor, smallest, largest):
    end = largest if factor > 1 else smallest
    return math.floor(math.log(end / size) / math.log(factor)) + 1


@right("start-half-precision")
def lost_by_search(size, factor, smallest, largest):
    sizes = np.log(size) + np.arange(2000) * np.log(factor)
    return np.argmax((sizes < np.log(smallest)) | (sizes > np.log(largest)))


@wrong("start-half-precision", "compare with `smallest`")
def layers_to_the_upper_end(size, factor, smallest, largest):
    return math.ceil(abs(math.log(largest / size) / math.log(factor)))


@wrong("start-half-precision", "compare with `largest`")
def layers_above_the_lower_end(size, factor, smallest, largest):
    layers = 0
    while size >= smallest and layers < 1000:
        size, layers = size * factor, layers + 1
    return layers


# --- start-first-moves -------------------------------------------------------------------------------


@right("start-first-moves")
def moves_by_flags(layers, activation, zero):
    moved, awake, first = set(range(1, layers + 1)) - set(zero), set(), {}
    for step in range(1, 3 * layers):
        signal, gradient = {1}, {layers}
        for number in range(1, layers):
            alive = activation == "sigmoid" or number in awake or (number in moved and number in signal)
            signal |= {number + 1} if alive else set()
        for number in range(layers, 1, -1):
            gradient |= {number - 1} if number in moved and number in gradient else set()
        first |= {number: step for number in signal & gradient if number not in first}
        moved, awake = moved | signal & gradient, awake | gradient
    return [first.get(number, 0) for number in range(1, layers + 1)]


@right("start-first-moves")
def moves_by_indicators(layers, activation, zero):
    weight = np.array([0.0 if number + 1 in zero else 1.0 for number in range(layers)])
    bias, first = np.zeros(layers), np.zeros(layers, dtype=int)
    for step in range(1, 3 * layers):
        h, delta = np.ones(layers), np.ones(layers)
        for number in range(1, layers):
            z = weight[number - 1] * h[number - 1] + bias[number - 1]
            h[number] = 1.0 if activation == "sigmoid" else z
            delta[-1 - number] = weight[-number] * delta[-number]
        first[(first == 0) & (h * delta > 0)] = step
        weight, bias = np.minimum(weight + h * delta, 1), np.minimum(bias + delta, 1)
    return tuple(first)


@right("start-first-moves")
def moves_measured(layers, activation, zero):
    source = torch.Generator().manual_seed(0)
    net = mlp([6] + (layers - 1) * [5] + [3], {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[activation])
    for number, layer in enumerate(linears(net), 1):
        nn.init.normal_(layer.weight, std=0.5 * (number not in zero), generator=source)
        nn.init.zeros_(layer.bias)
    x, y = torch.randn(20, 6, generator=source), torch.randint(3, (20,), generator=source)
    first = layers * [0]
    for step in range(1, layers + 3):
        net.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        first = [old or step * bool(layer.weight.grad.any()) for old, layer in zip(first, linears(net), strict=True)]
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.1 * parameter.grad
    return first


@wrong("start-first-moves", "every matrix that does not start at zero")
def steps_of_zeros_one_later(layers, activation, zero):
    return [2 if number in zero else 1 for number in range(1, layers + 1)]


# --- start-ranks -------------------------------------------------------------------------------------


@right("start-ranks")
def ranks_formula(first, second, classes):
    return first, min(first, second), min(second, classes)


@right("start-ranks")
def ranks_floats(first, second, classes):
    return [float(first), float(min(first, second)), np.float32(min(second, classes))]


@right("start-ranks")
def ranks_measured(first, second, classes):
    a, b = torch.arange(60) % first, torch.arange(60) % second
    w1, w2, w3 = torch.randn(first, 64)[a], torch.randn(second, first)[b][:, a], torch.randn(classes, second)[:, b]
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


@wrong("start-dead-units", "off for nearly all examples")
def dead_by_a_threshold(z):
    off = (z <= 0).double().transpose(0, 1).flatten(1).mean(1)
    return (off > 0.97).double().mean()


@wrong("start-dead-units", "off means `z <= 0`")
def dead_below_zero(z):
    return sum(bool((z[:, unit] < 0).all()) for unit in range(z.shape[1])) / z.shape[1]


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


@right("start-calm-logits")
@torch.no_grad()
def calm_in_single_precision(model, x, size):
    factor = float(size / model(x).square().mean().sqrt())
    model[-1].weight.data = (model[-1].weight * factor).float()
    model[-1].bias.data = (model[-1].bias * factor).float()
    return model


@wrong("start-calm-logits", "added or removed a layer")
def calm_by_another_layer(model, x, size):
    class Scale(nn.Module):
        def forward(self, z):
            return z * size / rms

    rms = model(x).detach().square().mean().sqrt()
    model.append(Scale())


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
def start_single(model, generator):
    for layer in linears(model):
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator).float() * layer.in_features**-0.5
        layer.bias.data = torch.zeros_like(layer.bias).float()


@right("start-broken")
@torch.no_grad()
def start_out(model, generator):
    for layer in linears(model):
        torch.randn(layer.weight.shape, generator=generator, out=layer.weight.data)
        layer.weight /= math.sqrt(layer.in_features)
        layer.bias.fill_(0)


@wrong("start-broken", "left out a layer")
def start_hidden_layers_only(model, generator):
    for layer in linears(model)[:-1]:
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "rescaled the numbers that you drew")
def start_scaled_rows(model, generator):
    for layer in linears(model):
        drawn = torch.randn(layer.weight.shape, generator=generator)
        layer.weight.data = drawn / drawn.norm() * layer.out_features**0.5
        nn.init.zeros_(layer.bias)


# --- answers that a reader gave, and a check once took or misnamed ------------------------------------


@wrong("start-calm-logits", "left them off")
def calm_for_good(model, x, size):
    for parameter in model.parameters():
        parameter.requires_grad = False
    factor = size / model(x).square().mean().sqrt()
    model[-1].weight *= factor
    model[-1].bias *= factor


@wrong("start-dead-units", "one pixel of each image")
def dead_in_the_corner(z):
    return ((z[:, :, 0, 0] if z.dim() == 4 else z).amax(0) <= 0).double().mean()
