"""Answers to the exercises of chapter 6, right and wrong, as students write them."""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from exercise_bank import right, wrong

# --- default-bias -------------------------------------------------------------------------------------


@right("default-bias")
def bias_formula(two, four):
    _c_in, c_out, k, groups = four
    return 1 / math.sqrt(two[0]), 1 / math.sqrt(c_out // groups * k * k)


@right("default-bias")
def bias_from_shapes(two, four):
    c_in, c_out, k, groups = four
    up = nn.ConvTranspose2d(c_in, c_out, k, groups=groups, device="meta")
    return two[0] ** -0.5, up.weight[0].numel() ** -0.5


@right("default-bias")
def bias_looked_at(two, four):
    c_in, c_out, k, groups = four
    g = torch.Generator().manual_seed(0)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    largest = nn.ConvTranspose2d(c_in, c_out, k, groups=groups).weight.abs().max().item()
    torch.set_rng_state(state)
    pair = (2 * torch.rand(100_000, generator=g) - 1) * two[0] ** -0.5
    return pair.max().item(), largest


@wrong("default-bias", "all pairs")
def bias_pairs(two, four):
    _c_in, c_out, k, groups = four
    return (two[0] * two[1]) ** -0.5, (c_out / groups * k * k) ** -0.5


@wrong("default-bias", "second argument's size")
def bias_second(two, four):
    _c_in, c_out, k, groups = four
    return two[1] ** -0.5, (c_out / groups * k * k) ** -0.5


@wrong("default-bias", "as in an ordinary one")
def bias_ordinary(two, four):
    c_in, c_out, k, groups = four
    return two[0] ** -0.5, nn.Conv2d(c_in, c_out, k, groups=groups, device="meta").weight[0].numel() ** -0.5


@wrong("default-bias", "forgot the groups")
def bias_no_groups(two, four):
    _c_in, c_out, k, _groups = four
    return two[0] ** -0.5, (c_out * k * k) ** -0.5


@wrong("default-bias", "deviations")
def bias_deviation(two, four):
    _c_in, c_out, k, groups = four
    return (3 * two[0]) ** -0.5, (3 * c_out / groups * k * k) ** -0.5


# --- default-floor ------------------------------------------------------------------------------------


@right("default-floor")
def floor_closed(n, slope, layer):
    a = (1 + slope * slope) / 6
    floor = 2 / (n * (5 - slope * slope))
    return floor, floor + a ** (layer - 1) * ((n + 1) / (3 * n) - floor)


@right("default-floor")
def floor_loop(n, slope, layer):
    def following(q):
        return q * (1 + slope**2) / 6 + 1 / (3 * n)

    q = floor = 1 / 3 + 1 / (3 * n)
    for _ in range(layer - 1):
        q = following(q)
    for _ in range(100):
        floor = following(floor)
    return floor, q


@right("default-floor")
def floor_named(n, slope, layer):
    floor, q = floor_closed(n, slope, layer)
    return {"q": q, "floor": torch.tensor(floor)}


@wrong("default-floor", "rate of ReLU")
def floor_relu(n, slope, layer):
    return floor_closed(n, 0, layer)


@wrong("default-floor", "added the slope itself")
def floor_slope(n, slope, layer):
    return floor_closed(n, math.sqrt(slope), layer)


@wrong("default-floor", "the layer after")
def floor_late(n, slope, layer):
    return floor_closed(n, slope, layer + 1)


@wrong("default-floor", "a third of it")
def floor_wide_biases(n, slope, layer):
    a = (1 + slope**2) / 6
    q = 1 / 3 + 1 / n
    for _ in range(layer - 1):
        q = a * q + 1 / n
    return 1 / n / (1 - a), q


@wrong("default-floor", "there is no floor")
def floor_none(n, slope, layer):
    return 0, ((1 + slope**2) / 6) ** (layer - 1) / 3


# --- default-reset ------------------------------------------------------------------------------------


def fill_(layer, bound, generator, bias_bound=None):
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    if layer.bias is not None:
        b = bound if bias_bound is None else bias_bound
        nn.init.uniform_(layer.bias, -b, b, generator=generator)


def fan_in_of(layer):
    return layer.weight[0].numel()


@right("default-reset")
def reset_as_torch(layer, generator):
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        nn.init.uniform_(layer.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)


@right("default-reset")
def reset_copies(layer, generator):
    bound = fan_in_of(layer) ** -0.5
    with torch.no_grad():
        for p in reversed(list(layer.parameters())):
            p.copy_(bound * (2 * torch.rand(p.shape, generator=generator) - 1))
    return layer


@right("default-reset")
def reset_by_class(layer, generator):
    if isinstance(layer, nn.Linear):
        n = layer.in_features
    else:
        n = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
    fill_(layer, 1 / math.sqrt(n), generator)


@wrong("default-reset", "bound is the deviation")
def reset_std(layer, generator):
    fill_(layer, 1 / math.sqrt(3 * fan_in_of(layer)), generator)


@wrong("default-reset", "LeCun's")
def reset_lecun(layer, generator):
    fill_(layer, math.sqrt(3 / fan_in_of(layer)), generator)


@wrong("default-reset", "a = 0")
def reset_he(layer, generator):
    nn.init.kaiming_uniform_(layer.weight, generator=generator)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -(fan_in_of(layer) ** -0.5), fan_in_of(layer) ** -0.5, generator=generator)


@wrong("default-reset", "a = 5")
def reset_five(layer, generator):
    nn.init.kaiming_uniform_(layer.weight, a=5, generator=generator)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -(fan_in_of(layer) ** -0.5), fan_in_of(layer) ** -0.5, generator=generator)


@wrong("default-reset", "biases to zero")
def reset_zero_bias(layer, generator):
    fill_(layer, fan_in_of(layer) ** -0.5, generator, bias_bound=0)


@wrong("default-reset", "number of outputs")
def reset_outputs(layer, generator):
    fill_(layer, len(layer.weight) ** -0.5, generator)


@wrong("default-reset", "forgot the kernel")
def reset_size_1(layer, generator):
    fill_(layer, 1 / math.sqrt(layer.weight.size(1)), generator)


@wrong("default-reset", "forgot the groups")
def reset_channels(layer, generator):
    if isinstance(layer, nn.Linear):
        return fill_(layer, layer.in_features**-0.5, generator)
    height, width = layer.kernel_size
    return fill_(layer, (layer.in_channels * height * width) ** -0.5, generator)


@wrong("default-reset", "`layer.bias` is None")
def reset_any_bias(layer, generator):
    bound = fan_in_of(layer) ** -0.5
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


@wrong("default-reset", "global stream")
def reset_global(layer, generator):
    fill_(layer, fan_in_of(layer) ** -0.5, None)


# --- default-cosines ----------------------------------------------------------------------------------


def layers_of(model, x):
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.Linear):
            yield x


def different_pairs(count):
    return [(a, b) for a in range(count) for b in range(a)]


@right("default-cosines")
def cosines_loop(model, x):
    result = []
    for z in layers_of(model, x):
        pairs = [functional.cosine_similarity(z[a], z[b], dim=0) for a, b in different_pairs(len(x))]
        result.append(sum(pairs) / len(pairs))
    return torch.stack(result).detach()


@right("default-cosines")
def cosines_hooks(model, x):
    seen = []
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    handles = [m.register_forward_hook(lambda m, args, z: seen.append(z.detach())) for m in layers]
    model(x)
    for handle in handles:
        handle.remove()
    m = len(x)
    units = [z / z.square().sum(1, keepdim=True).sqrt() for z in seen]
    return torch.stack([(u.sum(0).square().sum() - m) / (m * m - m) for u in units])


@right("default-cosines")
def cosines_mask(model, x):
    result = torch.empty(sum(isinstance(layer, nn.Linear) for layer in model), dtype=x.dtype)
    for number, z in enumerate(layers_of(model, x)):
        gram = z @ z.T
        cosine = gram / torch.outer(gram.diagonal(), gram.diagonal()).sqrt()
        result[number] = cosine[~torch.eye(len(x), dtype=torch.bool)].mean()
    return result


@wrong("default-cosines", "diagonal")
def cosines_all(model, x):
    return torch.stack([functional.cosine_similarity(z[:, None], z[None], dim=2).mean() for z in layers_of(model, x)])


@wrong("default-cosines", "compared units")
def cosines_units(model, x):
    return cosines_of([z.T for z in layers_of(model, x)])


@wrong("default-cosines", "over the batch")
def cosines_centered(model, x):
    return cosines_of([z - z.mean(0) for z in layers_of(model, x)])


@wrong("default-cosines", "correlation")
def cosines_correlation(model, x):
    result = []
    for z in layers_of(model, x):
        matrix = torch.corrcoef(z)
        result.append(matrix[torch.tril_indices(len(z), len(z), -1).unbind()].mean())
    return torch.stack(result)


@wrong("default-cosines", "lengths of both")
def cosines_products(model, x):
    result = []
    for z in layers_of(model, x):
        result.append(torch.stack([z[a] @ z[b] for a, b in different_pairs(len(x))]).mean())
    return torch.stack(result)


@wrong("default-cosines", "first two examples")
def cosines_two(model, x):
    return cosines_of([z[:2] for z in layers_of(model, x)])


@wrong("default-cosines", "after the activation")
def cosines_after(model, x):
    answers = []
    for layer in model:
        if answers and not isinstance(layer, nn.Linear):
            answers.pop()
        x = layer(x)
        answers.append(x)
    return cosines_of(answers)


def cosines_of(answers):
    result = []
    for z in answers:
        pairs = [functional.cosine_similarity(z[a], z[b], dim=0) for a, b in different_pairs(len(z))]
        result.append(torch.stack(pairs).mean())
    return torch.stack(result)


@wrong("default-reset", "from 0 to b")
def reset_positive(layer, generator):
    bound = layer.weight[0].numel() ** -0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(bound * torch.rand(parameter.shape, generator=generator))


# --- further answers ----------------------------------------------------------------------------------


@right("default-floor")
def floor_array(n, slope, layer):
    return np.array(floor_closed(n, slope, layer), dtype=np.float32)


@right("default-reset")
def reset_new_parameters(layer, generator):
    bound = 1 / math.sqrt(math.prod(layer.weight.shape[1:]))
    for name, old in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(torch.empty_like(old).uniform_(-bound, bound, generator=generator)))


@right("default-reset")
def reset_a_copy(layer, generator):
    layer = copy.deepcopy(layer)
    fill_(layer, fan_in_of(layer) ** -0.5, generator)
    return layer


@wrong("default-reset", "-b/2 to b/2")
def reset_half(layer, generator):
    bound = fan_in_of(layer) ** -0.5
    for parameter in layer.parameters():
        parameter.data = (torch.rand(parameter.shape, generator=generator) - 0.5) * bound


@wrong("default-reset", "1 / fan_in")
def reset_without_root(layer, generator):
    fill_(layer, 1 / fan_in_of(layer), generator)


@wrong("default-reset", "from the bias itself")
def reset_each_its_own(layer, generator):
    for parameter in layer.parameters():
        bound = parameter[0].numel() ** -0.5
        parameter.data.uniform_(-bound, bound, generator=generator)


@wrong("default-reset", "biases from torch's global stream")
def reset_global_bias(layer, generator):
    bound = fan_in_of(layer) ** -0.5
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -bound, bound)


@wrong("default-reset", "fixed seed")
def reset_from_the_first_seed(layer, generator):
    torch.manual_seed(generator.initial_seed())
    layer.reset_parameters()


@right("default-cosines")
def cosines_list(model, x):
    return cosines_loop(model, x).tolist()


@right("default-cosines")
def cosines_array(model, x):
    result = []
    for z in layers_of(model, x):
        rows = z.detach().numpy()
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        result.append((unit @ unit.T)[np.triu_indices(len(rows), 1)].mean())
    return np.array(result)


def squares_of(model, x):
    for z in layers_of(model, x):
        yield functional.cosine_similarity(z[:, None], z[None], dim=2)


@wrong("default-cosines", "neighbors")
def cosines_neighbors(model, x):
    return torch.stack([square.diagonal(1).mean() for square in squares_of(model, x)])


@wrong("default-cosines", "contains the diagonal")
def cosines_triangle(model, x):
    return torch.stack([square[torch.triu_indices(len(x), len(x)).unbind()].mean() for square in squares_of(model, x)])


@wrong("default-cosines", "setting a triangle of it to zero")
def cosines_zeros(model, x):
    return torch.stack([square.triu(1).mean() for square in squares_of(model, x)])


@wrong("default-cosines", "goes into each nn.Linear")
def cosines_inputs(model, x):
    answers = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            answers.append(x)
        x = layer(x)
    return cosines_of(answers)


@wrong("default-cosines", "begins with the input")
def cosines_with_input(model, x):
    return cosines_of([x, *layers_of(model, x)])
