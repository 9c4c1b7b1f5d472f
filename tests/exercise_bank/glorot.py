import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong

# --- glorot-draw --------------------------------------------------------------------------------------


def fans(weight):
    kernel = math.prod(weight.shape[2:])
    return weight.shape[1] * kernel, weight.shape[0] * kernel


@right("glorot-draw")
def draw_no_grad(weight, gain, generator):
    fan_in, fan_out = fans(weight)
    a = gain * math.sqrt(6 / (fan_in + fan_out))
    with torch.no_grad():
        weight.uniform_(-a, a, generator=generator)


@right("glorot-draw")
def draw_data(weight, gain, generator):
    n_out, n_in, *kernel = weight.shape
    std = gain * (2 / ((n_in + n_out) * np.prod(kernel))) ** 0.5
    weight.data = (2 * torch.rand(*weight.shape, generator=generator) - 1) * 3**0.5 * std
    return weight


@right("glorot-draw")
def draw_units(weight, gain, generator):
    a = gain * (6 / (weight[0].numel() + weight[:, 0].numel())) ** 0.5
    for unit in reversed(range(len(weight))):
        nn.init.uniform_(weight.data[unit], -a, a, generator=generator)


@right("glorot-draw")
def draw_returned(weight, gain, generator):
    a = gain * math.sqrt(6 / sum(fans(weight)))
    return torch.empty_like(weight).uniform_(-a, a, generator=generator)


def fill(weight, a, generator, low=None):
    with torch.no_grad():
        weight.uniform_(-a if low is None else low, a, generator=generator)


@wrong("glorot-draw", "bound is the standard deviation")
def draw_deviation(weight, gain, generator):
    fill(weight, gain * (2 / sum(fans(weight))) ** 0.5, generator)


@wrong("glorot-draw", "over the root of both fans")
def draw_without_two(weight, gain, generator):
    fill(weight, gain * 3**0.5 / sum(fans(weight)) ** 0.5, generator)


@wrong("glorot-draw", "without its root")
def draw_variance(weight, gain, generator):
    fill(weight, gain * 2 / sum(fans(weight)), generator)


@wrong("glorot-draw", "fan_in alone")
def draw_fan_in(weight, gain, generator):
    fill(weight, gain * (3 / fans(weight)[0]) ** 0.5, generator)


@wrong("glorot-draw", "fan_out alone")
def draw_fan_out(weight, gain, generator):
    fill(weight, gain * (3 / fans(weight)[1]) ** 0.5, generator)


@wrong("glorot-draw", "gain into the variance")
def draw_gain_in_variance(weight, gain, generator):
    var = gain * 2 / sum(fans(weight))
    fill(weight, (3 * var) ** 0.5, generator)


@wrong("glorot-draw", "squared the gain in the bound")
def draw_gain_squared(weight, gain, generator):
    fill(weight, gain**2 * (6 / sum(fans(weight))) ** 0.5, generator)


@wrong("glorot-draw", "left out the gain")
def draw_without_gain(weight, gain, generator):
    nn.init.xavier_uniform_(weight, generator=generator)


@wrong("glorot-draw", "counted channels")
def draw_channels(weight, gain, generator):
    fill(weight, gain * (6 / (weight.shape[0] + weight.shape[1])) ** 0.5, generator)


@wrong("glorot-draw", "drew normal numbers")
def draw_normal(weight, gain, generator):
    nn.init.normal_(weight, 0, gain * (2 / sum(fans(weight))) ** 0.5, generator=generator)


@wrong("glorot-draw", "weights are positive")
def draw_positive(weight, gain, generator):
    fill(weight, gain * (6 / sum(fans(weight))) ** 0.5, generator, low=0)


@wrong("glorot-draw", "global stream")
def draw_global(weight, gain, generator):
    fill(weight, gain * (6 / sum(fans(weight))) ** 0.5, None)


# --- glorot-both-ways ---------------------------------------------------------------------------------


@right("glorot-both-ways")
def ways_products(widths):
    factors = [(2 * n / (n + m), 2 * m / (n + m)) for n, m in pairwise(widths)]
    return math.prod(f for f, _ in factors), math.prod(b for _, b in factors[1:])


@right("glorot-both-ways")
def ways_loop(widths):
    forward = backward = 1
    for layer in range(1, len(widths)):
        var = 2 / (widths[layer - 1] + widths[layer])
        forward *= widths[layer - 1] * var
        if layer > 1:
            backward *= widths[layer] * var
    return [forward, backward]


@right("glorot-both-ways")
def ways_tensor(widths):
    n = torch.tensor(widths, dtype=torch.float64)
    var = 2 / (n[1:] + n[:-1])
    return (n[:-1] * var).prod(), (n[2:] * var[1:]).prod()


@wrong("glorot-both-ways", "a factor too many")
def ways_one_too_many(widths):
    pairs = list(pairwise(widths))
    return math.prod(2 * n / (n + m) for n, m in pairs), math.prod(2 * m / (n + m) for n, m in pairs)


@wrong("glorot-both-ways", "lacks the first layer")
def ways_one_too_few(widths):
    pairs = list(pairwise(widths[1:]))
    return math.prod(2 * n / (n + m) for n, m in pairs), math.prod(2 * m / (n + m) for n, m in pairs)


@wrong("glorot-both-ways", "exchanged the fans")
def ways_exchanged(widths):
    pairs = list(pairwise(widths))
    return math.prod(2 * m / (n + m) for n, m in pairs), math.prod(2 * n / (n + m) for n, m in pairs[1:])


@wrong("glorot-both-ways", "lack the 2")
def ways_without_two(widths):
    pairs = list(pairwise(widths))
    return math.prod(n / (n + m) for n, m in pairs), math.prod(m / (n + m) for n, m in pairs[1:])


@wrong("glorot-both-ways", "took roots")
def ways_roots(widths):
    forward, backward = ways_products(widths)
    return math.sqrt(forward), math.sqrt(backward)


@wrong("glorot-both-ways", "takes the fan_in variance")
def ways_telescoped(widths):
    return ways_products(widths)[0], widths[-1] / widths[1]


@wrong("glorot-both-ways", "forward nothing changes")
def ways_lecun(widths):
    return 1.0, math.prod(m / n for n, m in pairwise(widths[1:]))


@wrong("glorot-both-ways", "input and output width alone")
def ways_ends(widths):
    first, *_, last = widths
    return first / ((first + last) / 2), last / ((first + last) / 2)


# --- glorot-recorder ----------------------------------------------------------------------------------


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
def recorder_module_hooks(model, x, c):
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    forward, backward = x.new_zeros(len(layers)), x.new_zeros(len(layers))
    handles = []
    for index, layer in enumerate(layers):

        def keep_z(module, args, z, index=index):
            forward[index] = (z.detach() ** 2).mean()

        def keep_delta(module, grad_input, grad_output, index=index):
            backward[index] = (grad_output[0] ** 2).mean()

        handles += [layer.register_forward_hook(keep_z), layer.register_full_backward_hook(keep_delta)]
    try:
        model(x.clone().requires_grad_()).backward(c)
    finally:
        for handle in handles:
            handle.remove()
    return forward, backward


@right("glorot-recorder")
def recorder_without_hooks(model, x, c):
    layers, z = [m for m in model.modules() if isinstance(m, nn.Linear)], []
    h = x
    for layer in layers:
        z.append(nn.functional.linear(h, layer.weight, layer.bias))
        h = z[-1].tanh()
    delta = [c]
    for layer, below in zip(layers[:0:-1], z[-2::-1], strict=True):
        delta.append((delta[-1] @ layer.weight) * (1 - below.tanh() ** 2))
    forward, backward = ([(t**2).mean().detach() for t in tensors] for tensors in (z, delta[::-1]))
    return torch.stack(forward), torch.stack(backward)


def recorded(model, x, c, kind=nn.Linear):
    outputs = []
    handles = [
        module.register_forward_hook(lambda module, args, output: outputs.append((output, args[0])))
        for module in model.modules()
        if isinstance(module, kind)
    ]
    x = x.clone().requires_grad_()
    loss = (model(x) * c).sum()
    for handle in handles:
        handle.remove()
    return [z for z, _ in outputs], [h for _, h in outputs], loss


def squares(tensors):
    return torch.stack([(tensor.detach() ** 2).mean() for tensor in tensors])


@wrong("glorot-recorder", "what the activations put out")
def recorder_activations(model, x, c):
    h, _, loss = recorded(model, x, c, nn.Tanh)
    return squares(h), squares(torch.autograd.grad(loss, h))


@wrong("glorot-recorder", "belong to the inputs of the layers. A forward hook")
def recorder_inputs(model, x, c):
    z, h, loss = recorded(model, x, c)
    return squares(h), squares(torch.autograd.grad(loss, z))


@wrong("glorot-recorder", "gradient at the inputs")
def recorder_grad_input(model, x, c):
    z, h, loss = recorded(model, x, c)
    return squares(z), squares(torch.autograd.grad(loss, h))


@wrong("glorot-recorder", "last layer first")
def recorder_reversed(model, x, c):
    backward = []
    z, _, loss = recorded(model, x, c)
    for one in z:
        one.register_hook(lambda gradient: backward.append((gradient**2).mean()))
    loss.backward()
    return squares(z), torch.stack(backward)


@wrong("glorot-recorder", "gradient of the weights")
def recorder_weights(model, x, c):
    z, _, loss = recorded(model, x, c)
    loss.backward()
    return squares(z), squares([m.weight.grad for m in model.modules() if isinstance(m, nn.Linear)])


@wrong("glorot-recorder", "You recorded variances")
def recorder_variances(model, x, c):
    z, _, loss = recorded(model, x, c)
    gradients = torch.autograd.grad(loss, z)
    return tuple(torch.stack([t.detach().var(unbiased=False) for t in ts]) for ts in (z, gradients))


@wrong("glorot-recorder", "unbiased variances")
def recorder_unbiased(model, x, c):
    z, _, loss = recorded(model, x, c)
    gradients = torch.autograd.grad(loss, z)
    return tuple(torch.stack([t.detach().var() for t in ts]) for ts in (z, gradients))


@wrong("glorot-recorder", "summed the squares")
def recorder_norms(model, x, c):
    z, _, loss = recorded(model, x, c)
    gradients = torch.autograd.grad(loss, z)
    return tuple(torch.stack([t.detach().norm() ** 2 for t in ts]) for ts in (z, gradients))


@wrong("glorot-recorder", "root mean squares")
def recorder_rms(model, x, c):
    z, _, loss = recorded(model, x, c)
    return squares(z).sqrt(), squares(torch.autograd.grad(loss, z)).sqrt()


@wrong("glorot-recorder", "averaged over the batch")
def recorder_batch_means(model, x, c):
    z, _, loss = recorded(model, x, c)
    gradients = torch.autograd.grad(loss, z)
    return squares([one.mean(0) for one in z]), squares([one.mean(0) for one in gradients])


@wrong("glorot-recorder", "hooks stay")
def recorder_leaves_hooks(model, x, c):
    z = []
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda module, args, output: z.append(output))
    loss = (model(x) * c).sum()
    return squares(z), squares(torch.autograd.grad(loss, z))


# --- glorot-sine-decay --------------------------------------------------------------------------------


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


@wrong("glorot-sine-decay", "That is tanh")
def sine_as_tanh(q, layers):
    return q / (1 + 2 * layers * q)


@wrong("glorot-sine-decay", "took q² for")
def sine_without_three(q, layers):
    return 1 / (1 / q + layers / 3)


@wrong("glorot-sine-decay", "same factor")
def sine_exponential(q, layers):
    return q * (1 - q) ** layers


@wrong("glorot-sine-decay", "first layer each time")
def sine_linear(q, layers):
    return q - q * q * layers


@wrong("glorot-sine-decay", "forgot where it begins")
def sine_from_infinity(q, layers):
    return 1 / layers


@wrong("glorot-sine-decay", "let q stay")
def sine_constant(q, layers):
    return q


# --- glorot-quarter-circle ----------------------------------------------------------------------------


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


@wrong("glorot-quarter-circle", "mean of the squares, which is larger")
def circle_squared_mean(mean):
    return mean * mean


@wrong("glorot-quarter-circle", "mean singular value itself")
def circle_mean(mean):
    return mean


@wrong("glorot-quarter-circle", "root mean square, σ")
def circle_rms(mean):
    return mean * 3 * math.pi / 8


@wrong("glorot-quarter-circle", "multiplied by 8/(3π)")
def circle_upside_down(mean):
    return (mean * 8 / 3 / math.pi) ** 2


@wrong("glorot-quarter-circle", "solved for the radius")
def circle_radius(mean):
    return (mean * 3 * math.pi / 4) ** 2


# --- further answers ----------------------------------------------------------------------------------


@right("glorot-draw")
def draw_array(weight, gain, generator):
    a = gain * (6 / sum(fans(weight))) ** 0.5
    return (2 * torch.rand(weight.shape, generator=generator).numpy() - 1) * a


@right("glorot-draw")
@torch.no_grad()
def draw_mirrored(weight, gain, generator):
    a = gain * (6 / sum(fans(weight))) ** 0.5
    numbers = torch.rand(tuple(reversed(weight.shape)), generator=generator)
    weight[:] = (a - 2 * a * numbers).permute(*reversed(range(weight.dim())))


@wrong("glorot-draw", "-a/2 to a/2")
def draw_half_as_wide(weight, gain, generator):
    a = gain * (6 / sum(fans(weight))) ** 0.5
    weight.data = (torch.rand(weight.shape, generator=generator) - 0.5) * a


@wrong("glorot-draw", "has a 12")
def draw_twelve(weight, gain, generator):
    fill(weight, gain * (12 / sum(fans(weight))) ** 0.5, generator)


@wrong("glorot-draw", "fan_in alone below the 6")
def draw_six_over_fan_in(weight, gain, generator):
    fill(weight, gain * (6 / fans(weight)[0]) ** 0.5, generator)


@wrong("glorot-draw", "fixed seed")
def draw_seeded(weight, gain, generator):
    torch.manual_seed(3)
    nn.init.xavier_uniform_(weight, gain)


@right("glorot-both-ways")
def ways_array(widths):
    n = np.array(widths, dtype=float)
    var = 2 / (n[1:] + n[:-1])
    return np.array([np.prod(n[:-1] * var), np.prod(n[2:] * var[1:])])


@right("glorot-both-ways")
def ways_named(widths):
    forward, backward = ways_loop(widths)
    return {"backward": backward, "forward": np.float32(forward)}


@wrong("glorot-both-ways", "halved in each layer")
def ways_halved(widths):
    forward, backward = ways_loop(widths)
    layers = len(widths) - 1
    return forward * 0.5 ** (layers - 1), backward * 0.5 ** (layers - 1)


@wrong("glorot-both-ways", "upside down")
def ways_inverse(widths):
    return [1 / way for way in ways_loop(widths)]


@wrong("glorot-both-ways", "a factor for each layer")
def ways_layer_by_layer(widths):
    pairs = list(pairwise(widths))
    return [2 * n / (n + m) for n, m in pairs], [2 * m / (n + m) for n, m in pairs[1:]]


@right("glorot-recorder")
def recorder_lists(model, x, c):
    z, _, loss = recorded(model, x, c)
    gradients = torch.autograd.grad(loss, z)
    return [[(one**2).mean().item() for one in tensors] for tensors in (z, gradients)]


@right("glorot-recorder")
def recorder_one_tensor(model, x, c):
    return torch.tensor(recorder_lists(model, x, c))


@right("glorot-recorder")
def recorder_named(model, x, c):
    forward, backward = recorder_lists(model, x, c)
    return {"forward": np.array(forward), "backward": torch.tensor(backward)}


@wrong("glorot-recorder", "left out `c`")
def recorder_without_c(model, x, c):
    return recorder_named(model, x, torch.ones_like(c))


@wrong("glorot-recorder", "Your loss is the mean")
def recorder_mean_loss(model, x, c):
    return recorder_named(model, x, c / c.numel())
