import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong
from tutorial_utils.propagation import propagate

# --- glorot-draw -------------------------------------------------------------------------------------


def bound(weight, gain):
    kernel = math.prod(weight.shape[2:])
    return gain * math.sqrt(6 / (weight.shape[1] * kernel + weight.shape[0] * kernel))


@right("glorot-draw")
def draw_no_grad(weight, gain, generator):
    with torch.no_grad():
        weight.uniform_(-bound(weight, gain), bound(weight, gain), generator=generator)


@right("glorot-draw")
def draw_data(weight, gain, generator):
    n_out, n_in, *kernel = weight.shape
    std = gain * (2 / ((n_in + n_out) * np.prod(kernel))) ** 0.5
    weight.data = (2 * torch.rand(*weight.shape, generator=generator) - 1) * 3**0.5 * std
    return weight


@right("glorot-draw")
def draw_units(weight, gain, generator):
    a = bound(weight, gain)
    for unit in reversed(range(len(weight))):
        weight.data[unit].uniform_(-a, a, generator=generator)


@right("glorot-draw")
def draw_array(weight, gain, generator):
    weight.data.numpy()[:] = (2 * torch.rand(weight.shape, generator=generator).numpy() - 1) * bound(weight, gain)


@right("glorot-draw")
def draw_single(weight, gain, generator):
    numbers = torch.rand(weight.shape, generator=generator, dtype=torch.float32)
    weight.data = (2 * numbers - 1) * bound(weight, gain)


@right("glorot-draw")
@torch.no_grad()
def draw_mirrored(weight, gain, generator):
    numbers = torch.rand(tuple(reversed(weight.shape)), generator=generator)
    weight[:] = (1 - 2 * numbers).permute(*reversed(range(weight.dim()))) * bound(weight, gain)


@wrong("glorot-draw", "You added what you drew")
def draw_on_top(weight, gain, generator):
    bound = gain * math.sqrt(6 / (weight[0].numel() + weight[:, 0].numel()))
    with torch.no_grad():
        weight += bound * (2 * torch.rand(weight.shape, generator=generator) - 1)
    return weight


@wrong("glorot-draw", "fixed seed")
def draw_seeded(weight, gain, generator):
    torch.manual_seed(3)
    weight.data.uniform_(-bound(weight, gain), bound(weight, gain))


# --- glorot-both-ways --------------------------------------------------------------------------------


@right("glorot-both-ways")
def ways_products(widths):
    factors = [(2 * n / (n + m), 2 * m / (n + m)) for n, m in pairwise(widths)]
    return math.prod(f for f, _ in factors), math.prod(b for _, b in factors[1:])


@right("glorot-both-ways")
def ways_named(widths):
    forward = backward = 1
    for layer in range(1, len(widths)):
        var = 2 / (widths[layer - 1] + widths[layer])
        forward *= widths[layer - 1] * var
        if layer > 1:
            backward *= widths[layer] * var
    return {"backward": backward, "forward": np.float32(forward)}


@right("glorot-both-ways")
def ways_array(widths):
    n = np.array(widths, dtype=float)
    var = 2 / (n[1:] + n[:-1])
    return np.array([np.prod(n[:-1] * var), np.prod(n[2:] * var[1:])])


# --- glorot-weight-gradients -------------------------------------------------------------------------


@right("glorot-weight-gradients")
def gradients_products(widths, var_w):
    last = len(var_w)
    below = [math.prod(widths[k] * var_w[k] for k in range(layer)) for layer in range(last)]
    above = [math.prod(widths[k + 1] * var_w[k] for k in range(layer + 1, last)) for layer in range(last)]
    return [one * other for one, other in zip(below, above, strict=True)]


@right("glorot-weight-gradients")
def gradients_cumulative(widths, var_w):
    onward, back = np.array(widths[:-1]) * var_w, np.array(widths[1:]) * var_w
    signal = np.cumprod(np.append(1, onward[:-1]))
    return signal * np.cumprod(np.append(1, back[:0:-1]))[::-1]


@right("glorot-weight-gradients")
def gradients_passes(widths, var_w):
    q, delta = [1.0], [1.0]
    for n_in, var in zip(widths[:-2], var_w[:-1], strict=True):
        q.append(q[-1] * n_in * var)
    for n_out, var in zip(widths[:1:-1], var_w[:0:-1], strict=True):
        delta.insert(0, delta[0] * n_out * var)
    return torch.tensor(q, dtype=torch.float32) * torch.tensor(delta, dtype=torch.float32)


# --- glorot-recorder ---------------------------------------------------------------------------------


@right("glorot-recorder")
def recorder_tensor_hooks(model, x, c):
    forward, backward, handles = [], [], []

    def watch(module, args, output):
        forward.append(output.detach().square().mean())
        output.register_hook(lambda gradient: backward.insert(0, gradient.square().mean()))

    for module in model.modules():
        if isinstance(module, nn.Linear):
            handles.append(module.register_forward_hook(watch))
    (c * model(x)).sum().backward()
    for handle in handles:
        handle.remove()
    return torch.stack(forward), torch.stack(backward)


@right("glorot-recorder")
def recorder_backward_hooks(model, x, c):
    called, arriving = {}, {}
    handles = []
    for module in filter(lambda m: isinstance(m, nn.Linear), model.modules()):
        handles.append(module.register_forward_hook(lambda m, args, z: called.update({m: z.detach()})))
        handles.append(module.register_full_backward_hook(lambda m, down, up: arriving.update({m: up[0]})))
    torch.sum(model(x.clone().requires_grad_()) * c).backward()
    for handle in handles:
        handle.remove()
    return [[(one**2).mean().item() for one in tensors] for tensors in (called.values(), map(arriving.get, called))]


@wrong("glorot-recorder", "in which they were made")
def recorder_by_module(model, x, c):
    layers = {m: None for m in model.modules() if isinstance(m, nn.Linear)}

    def keep(module, args, output):
        layers[module] = output
        output.retain_grad()

    handles = [layer.register_forward_hook(keep) for layer in layers]
    (c * model(x)).sum().backward()
    for handle in handles:
        handle.remove()
    sizes = [(z.detach().square().mean(), z.grad.square().mean()) for z in layers.values()]
    return [torch.stack(both) for both in zip(*sizes, strict=True)]


@right("glorot-recorder")
def recorder_by_package(model, x, c):
    table = propagate(model, x, lambda z: (c * z).sum(), layers=(nn.Linear,))
    return {"forward": table.second_moment.to_numpy(), "backward": torch.tensor(table.grad_second_moment.to_numpy())}


@right("glorot-recorder")
def recorder_one_tensor(model, x, c):
    return torch.stack(recorder_tensor_hooks(model, x, c))


# --- glorot-sine-decay -------------------------------------------------------------------------------


@right("glorot-sine-decay")
def sine_formula(q, layers):
    return q / (1 + layers * q)


@right("glorot-sine-decay")
def sine_steps(q, layers):
    for _ in range(layers):
        q -= q**2
    return q


@right("glorot-sine-decay")
def sine_exact_map(q, layers):
    for _ in range(layers):
        q = (1 - np.exp(-2 * q)) / 2
    return q


# --- glorot-quarter-circle ---------------------------------------------------------------------------


@right("glorot-quarter-circle")
def circle_formula(mean):
    sigma = mean * 3 * math.pi / 8
    return sigma**2


@right("glorot-quarter-circle")
def circle_numbers(mean):
    s = torch.linspace(0, 2, 100_001, dtype=torch.float64)
    density = (4 - s**2).sqrt()
    average = (density * s).sum() / density.sum()
    return (mean / average) ** 2


@right("glorot-quarter-circle")
def circle_rounded(mean):
    return np.round(9 * np.pi**2 * mean**2 / 64, 4)


# --- answers that a reader gave, and a check once took or misnamed ------------------------------------


@wrong("glorot-draw", "geometric mean")
def draw_between_the_fans(weight, gain, generator):
    n, m = weight[0].numel(), weight[:, 0].numel()
    with torch.no_grad():
        return weight.uniform_(-1, 1, generator=generator).mul_(gain * (3 / (n * m) ** 0.5) ** 0.5)
