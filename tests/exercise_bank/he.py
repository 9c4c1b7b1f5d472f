import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong

# --- he-ignored-slope --------------------------------------------------------------------------------


@right("he-ignored-slope")
def calls_formula(n_out, n_in, a):
    return math.sqrt(2 / n_out), math.sqrt(2 / (1 + a**2) / n_in)


@right("he-ignored-slope")
def calls_gains(n_out, n_in, a):
    gains = [nn.init.calculate_gain(name, a) for name in ("relu", "leaky_relu")]
    return [gains[0] * n_out**-0.5, gains[1] * n_in**-0.5]


@right("he-ignored-slope")
def calls_rounded(n_out, n_in, a):
    return np.round(np.sqrt(2 / n_out), 4), torch.tensor(2 / (1 + a * a) / n_in).sqrt()


# --- he-draw -----------------------------------------------------------------------------------------


def fan(weight, mode):
    n_out, n_in, *kernel = weight.shape
    return (n_in if mode == "fan_in" else n_out) * math.prod(kernel)


@right("he-draw")
def draw_no_grad(weight, slope, mode, generator):
    std = math.sqrt(2 / (1 + slope**2) / fan(weight, mode))
    with torch.no_grad():
        weight.normal_(0, std, generator=generator)


@right("he-draw")
def draw_units(weight, slope, mode, generator):
    std = 2**0.5 / np.sqrt((1 + slope**2) * fan(weight, mode))
    for unit in reversed(range(len(weight))):
        weight.data[unit] = torch.normal(0.0, float(std), weight[unit].shape, generator=generator)


@right("he-draw")
def draw_returned(weight, slope, mode, generator):
    std = (2 / (1 + slope**2) / fan(weight, mode)) ** 0.5
    weight.data = std * torch.randn(weight.shape, generator=generator, dtype=torch.float32)


# --- he-scale-budget ---------------------------------------------------------------------------------


@right("he-scale-budget")
def budget_root(layers, factor):
    return factor ** (0.5 / layers)


@right("he-scale-budget")
def budget_exponential(layers, factor):
    return np.exp(np.log(factor) / layers / 2)


@right("he-scale-budget")
def budget_search(layers, factor):
    low, high = 1.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle ** (2 * layers) < factor else (low, middle)
    return torch.tensor(low)


# --- he-profile --------------------------------------------------------------------------------------


@right("he-profile")
def profile_loop(widths, mode, slope, q0):
    q, profile = q0, []
    for layer in range(1, len(widths)):
        n_in, n_out = widths[layer - 1], widths[layer]
        var = 2 / (1 + slope**2) / (n_in if mode == "fan_in" else n_out)
        if layer > 1:
            q *= (1 + slope**2) / 2
        q *= n_in * var
        profile.append(q)
    return torch.tensor(profile)


@right("he-profile")
def profile_telescoped(widths, mode, slope, q0):
    n = torch.tensor(widths[1:], dtype=torch.float64)
    first = 2 / (1 + slope**2) * q0
    return first * torch.ones_like(n) if mode == "fan_in" else first * widths[0] / n


@right("he-profile")
def profile_cumulative(widths, mode, slope, q0):
    pairs = list(pairwise(widths))
    factors = np.array([1.0 if mode == "fan_in" else n / m for n, m in pairs])
    factors[0] *= q0 * 2 / (1 + slope**2)
    return torch.from_numpy(np.cumprod(factors))


# --- he-cosine-map -----------------------------------------------------------------------------------


@right("he-cosine-map")
def cosine_formula(c, slope):
    theta = torch.acos(c)
    arc = (torch.sin(theta) + (torch.pi - theta) * c) / torch.pi
    return ((1 - slope) ** 2 * arc + 2 * slope * c) / (1 + slope**2)


@right("he-cosine-map")
def cosine_quadrants(c, slope):
    def both_on(c):
        return ((1 - c * c) ** 0.5 + (math.pi - c.acos()) * c) / (2 * math.pi)

    product = (1 + slope**2) * both_on(c) - 2 * slope * both_on(-c)
    return product / ((1 + slope**2) / 2)


@right("he-cosine-map")
def cosine_loop(c, slope):
    result = torch.empty_like(c)
    for index, value in enumerate(c.tolist()):
        psi = np.linspace(0, 2 * np.pi, 20_001)[:-1]
        theta = math.acos(value)
        z, other = np.cos(psi), np.cos(psi - theta)
        phi = [np.where(t > 0, t, slope * t) for t in (z, other)]
        result[index] = (phi[0] * phi[1]).mean() / (phi[0] ** 2).mean()
    return result


# --- he-thirty-layers --------------------------------------------------------------------------------


@right("he-thirty-layers")
def build_list(width, depth, generator):
    parts, n_in = [], 64
    for _ in range(depth):
        parts += [nn.Linear(n_in, width), nn.ReLU()]
        n_in = width
    net = nn.Sequential(*parts, nn.Linear(width, 10))
    for parameter in net.parameters():
        if parameter.dim() == 2:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return net


@right("he-thirty-layers")
def build_in_single_precision(width, depth, generator):
    return build_list(width, depth, generator).float()


@right("he-thirty-layers")
class BuildWithOneReLU(nn.Module):
    def __init__(self, width, depth, generator):
        super().__init__()
        self.head, self.act = nn.Linear(width, 10), nn.ReLU()
        self.hidden = nn.ModuleList([nn.Linear(n, width) for n in [64] + (depth - 1) * [width]])
        for layer in [*self.hidden, self.head]:
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer in self.hidden:
            x = self.act(layer(x))
        return self.head(x)


@right("he-thirty-layers")
def build_uniform(width, depth, generator):
    blocks = [nn.Sequential(nn.Linear(width if number else 64, width), nn.ReLU()) for number in range(depth)]
    net = nn.Sequential(*blocks, nn.Linear(width, 10))
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / layer.in_features)
            layer.weight.data = (2 * torch.rand(layer.weight.shape, generator=generator) - 1) * bound
            layer.bias = nn.Parameter(torch.zeros(layer.out_features))
    return net


# --- answers that a reader gave, and a check once misnamed ---------------------------------------------


@wrong("he-ignored-slope", "bound of a uniform draw")
def deviations_as_bounds(n_out, n_in, a):
    return math.sqrt(6 / n_out), math.sqrt(6 / (1 + a * a) / n_in)


@wrong("he-profile", "behind the activations")
def profile_of_activations(widths, mode, slope, q0):
    moments, q = [], q0
    for n_in, n_out in pairwise(widths):
        q = 2 / (1 + slope**2) * n_in / (n_in if mode == "fan_in" else n_out) * q * (1 + slope**2) / 2
        moments.append(q)
    return moments


@wrong("he-thirty-layers", "still PyTorch's random ones")
def build_with_default_biases(width, depth, generator):
    sizes = [64, *[width] * depth, 10]
    layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    return nn.Sequential(*[part for layer in layers[:-1] for part in (layer, nn.ReLU())], layers[-1])
