import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from exercise_bank import right, wrong

# --- default-bias ------------------------------------------------------------------------------------


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
    generator = torch.Generator().manual_seed(0)
    sample = (2 * torch.rand(100_000, generator=generator) - 1) * two[0] ** -0.5
    return sample.max().item(), nn.ConvTranspose2d(c_in, c_out, k, groups=groups).weight.abs().max().item()


@wrong("default-bias", "largest entry of a draw")
def bounds_of_a_draw(bilinear, transposed):
    c_in, c_out, k, groups = transposed
    torch.manual_seed(0)
    layers = nn.Bilinear(*bilinear, 10), nn.ConvTranspose2d(c_in, c_out, k, groups=groups)
    return [layer.bias.abs().max().item() for layer in layers]


# --- default-floor -----------------------------------------------------------------------------------


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


# --- default-reset -----------------------------------------------------------------------------------


@right("default-reset")
def reset_as_torch(layer, generator):
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        nn.init.uniform_(layer.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)


@right("default-reset")
def reset_copies(layer, generator):
    bound = layer.weight[0].numel() ** -0.5
    with torch.no_grad():
        for p in reversed(list(layer.parameters())):
            p.copy_(bound * (2 * torch.rand(p.shape, generator=generator) - 1))
    return layer


@right("default-reset")
def reset_new_parameters(layer, generator):
    bound = 1 / math.sqrt(math.prod(layer.weight.shape[1:]))
    for name, old in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(torch.empty_like(old).uniform_(-bound, bound, generator=generator)))


@right("default-reset")
def reset_single(layer, generator):
    bound = layer.weight[0].numel() ** -0.5
    for parameter in layer.parameters():
        parameter.data = bound * (2 * torch.rand(parameter.shape, generator=generator, dtype=torch.float32) - 1)


@wrong("default-reset", "You seeded torch's global stream")
def reset_by_a_seed(layer, generator):
    torch.random.manual_seed(torch.randint(10**6, (1,), generator=generator).item())
    bound = layer.weight[0].numel() ** -0.5
    for parameter in layer.parameters():
        parameter.data.uniform_(-bound, bound)


@wrong("default-reset", "fixed seed")
def reset_from_the_first_seed(layer, generator):
    torch.manual_seed(generator.initial_seed())
    layer.reset_parameters()


# --- default-way-back --------------------------------------------------------------------------------


@right("default-way-back")
def way_back_power(slope, layers):
    return ((1 + slope**2) / 2 / 3) ** -layers


@right("default-way-back")
def way_back_loop(slope, layers):
    factor = 1.0
    for _ in range(layers):
        factor *= (1 / 3) * (0.5 + 0.5 * slope * slope)
    return 1 / factor


@right("default-way-back")
def way_back_logarithm(slope, layers):
    return torch.exp(layers * (math.log(6) - torch.tensor(1 + slope**2).log()))


# --- default-cosines ---------------------------------------------------------------------------------


def layers_of(model, x):
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.Linear):
            yield x


@right("default-cosines")
def cosines_loop(model, x):
    result = []
    for z in layers_of(model, x):
        pairs = [functional.cosine_similarity(z[a], z[b], dim=0) for a in range(len(x)) for b in range(a)]
        result.append(sum(pairs) / len(pairs))
    return torch.stack(result).detach()


@right("default-cosines")
def cosines_mask(model, x):
    result = torch.empty(sum(isinstance(layer, nn.Linear) for layer in model), dtype=x.dtype)
    for number, z in enumerate(layers_of(model, x)):
        gram = z @ z.T
        cosine = gram / torch.outer(gram.diagonal(), gram.diagonal()).sqrt()
        result[number] = cosine[~torch.eye(len(x), dtype=torch.bool)].mean()
    return result


@right("default-cosines")
def cosines_array(model, x):
    result = []
    for z in layers_of(model, x):
        rows = z.detach().numpy()
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        result.append((unit @ unit.T)[np.triu_indices(len(rows), 1)].mean())
    return np.array(result)
