import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong

# --- he-ignored-slope ---------------------------------------------------------------------------------


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


@wrong("he-ignored-slope", "you let `a` count")
def calls_slope_counts(n_out, n_in, a):
    return math.sqrt(2 / (1 + a**2) / n_out), math.sqrt(2 / (1 + a**2) / n_in)


@wrong("he-ignored-slope", "call says fan_out")
def calls_fan_in(n_out, n_in, a):
    return math.sqrt(2 / n_in), math.sqrt(2 / (1 + a**2) / n_in)


@wrong("he-ignored-slope", "that is the variance")
def calls_variance(n_out, n_in, a):
    return 2 / n_out, math.sqrt(2 / (1 + a**2) / n_in)


@wrong("he-ignored-slope", "took `relu` for the default")
def calls_relu_default(n_out, n_in, a):
    return math.sqrt(2 / n_out), math.sqrt(2 / n_in)


@wrong("he-ignored-slope", "default mode is fan_in")
def calls_fan_out(n_out, n_in, a):
    return math.sqrt(2 / n_out), math.sqrt(2 / (1 + a**2) / n_out)


@wrong("he-ignored-slope", "enters squared")
def calls_plain_slope(n_out, n_in, a):
    return math.sqrt(2 / n_out), math.sqrt(2 / (1 + a) / n_in)


@wrong("he-ignored-slope", "gain for 1")
def calls_linear_default(n_out, n_in, a):
    return math.sqrt(2 / n_out), 1 / math.sqrt(n_in)


# --- he-draw ------------------------------------------------------------------------------------------


def fan(weight, mode):
    n_out, n_in, *kernel = weight.shape
    return (n_in if mode == "fan_in" else n_out) * math.prod(kernel)


@right("he-draw")
def draw_no_grad(weight, slope, mode, generator):
    std = math.sqrt(2 / (1 + slope**2) / fan(weight, mode))
    with torch.no_grad():
        weight.normal_(0, std, generator=generator)


@right("he-draw")
def draw_data(weight, slope, mode, generator):
    n = weight[0].numel() if mode == "fan_in" else weight[:, 0].numel()
    weight.data = torch.randn(weight.shape, generator=generator) * (2 / (n * (1 + slope * slope))) ** 0.5
    return weight


@right("he-draw")
def draw_units(weight, slope, mode, generator):
    std = 2**0.5 / np.sqrt((1 + slope**2) * fan(weight, mode))
    for unit in reversed(range(len(weight))):
        weight.data[unit] = torch.normal(0.0, float(std), weight[unit].shape, generator=generator)


@right("he-draw")
def draw_returned(weight, slope, mode, generator):
    std = (2 / (1 + slope**2) / fan(weight, mode)) ** 0.5
    return std * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


def fill(weight, std, generator):
    nn.init.normal_(weight, 0.0, std, generator=generator)


def gain(slope):
    return (2 / (1 + slope**2)) ** 0.5


@wrong("he-draw", "exchanged the fans")
def draw_exchanged(weight, slope, mode, generator):
    other = {"fan_in": "fan_out", "fan_out": "fan_in"}[mode]
    fill(weight, gain(slope) / fan(weight, other) ** 0.5, generator)


@wrong("he-draw", "whatever `mode` says")
def draw_one_mode(weight, slope, mode, generator):
    nn.init.kaiming_normal_(weight, a=slope, generator=generator)


@wrong("he-draw", "mean of both fans")
def draw_average(weight, slope, mode, generator):
    nn.init.xavier_normal_(weight, gain(slope), generator=generator)


@wrong("he-draw", "counted channels")
def draw_channels(weight, slope, mode, generator):
    fill(weight, gain(slope) / weight.shape[1 if mode == "fan_in" else 0] ** 0.5, generator)


@wrong("he-draw", "left out the gain")
def draw_lecun(weight, slope, mode, generator):
    fill(weight, 1 / fan(weight, mode) ** 0.5, generator)


@wrong("he-draw", "ReLU's gain")
def draw_relu(weight, slope, mode, generator):
    nn.init.kaiming_normal_(weight, a=slope, mode=mode, nonlinearity="relu", generator=generator)


@wrong("he-draw", "divided by 1 + slope.")
def draw_plain_slope(weight, slope, mode, generator):
    fill(weight, (2 / (1 + slope) / fan(weight, mode)) ** 0.5, generator)


@wrong("he-draw", "divided by (1 + slope)²")
def draw_squared_sum(weight, slope, mode, generator):
    fill(weight, (2 / (1 + slope) ** 2 / fan(weight, mode)) ** 0.5, generator)


@wrong("he-draw", "variance as the standard deviation")
def draw_variance(weight, slope, mode, generator):
    fill(weight, gain(slope) ** 2 / fan(weight, mode), generator)


@wrong("he-draw", "squared the gain")
def draw_gain_squared(weight, slope, mode, generator):
    fill(weight, gain(slope) ** 2 / fan(weight, mode) ** 0.5, generator)


@wrong("he-draw", "bound of the uniform draw")
def draw_bound(weight, slope, mode, generator):
    fill(weight, (6 / (1 + slope**2) / fan(weight, mode)) ** 0.5, generator)


@wrong("he-draw", "drew uniform numbers")
def draw_uniform(weight, slope, mode, generator):
    a = (6 / (1 + slope**2) / fan(weight, mode)) ** 0.5
    nn.init.uniform_(weight, -a, a, generator=generator)


@wrong("he-draw", "global stream")
def draw_global(weight, slope, mode, generator):
    weight.data = torch.randn_like(weight) * gain(slope) / fan(weight, mode) ** 0.5


# --- he-profile ---------------------------------------------------------------------------------------


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


def profiled(widths, mode, slope, q0, share=None, gain2=None, at_first=False):
    share = (1 + slope**2) / 2 if share is None else share
    gain2 = 2 / (1 + slope**2) if gain2 is None else gain2
    profile = []
    for n_in, n_out in pairwise(widths):
        if profile or at_first:
            q0 = share * q0
        q0 = n_in * gain2 / (n_in if mode == "fan_in" else n_out) * q0
        profile.append(q0)
    return torch.tensor(profile)


@wrong("he-profile", "let the first layer lose")
def profile_first_halved(widths, mode, slope, q0):
    return profiled(widths, mode, slope, q0, at_first=True)


@wrong("he-profile", "forgot what the activation throws away")
def profile_never_halved(widths, mode, slope, q0):
    return profiled(widths, mode, slope, q0, share=1)


@wrong("he-profile", "keeps one half")
def profile_as_relu(widths, mode, slope, q0):
    return profiled(widths, mode, slope, q0, share=0.5)


@wrong("he-profile", "weights have ReLU's gain")
def profile_relu_gain(widths, mode, slope, q0):
    return profiled(widths, mode, slope, q0, gain2=2)


@wrong("he-profile", "exchanged fan_in and fan_out in the variance")
def profile_exchanged(widths, mode, slope, q0):
    profile = []
    for n_in, n_out in pairwise(widths):
        q0 *= (n_in / n_out if mode == "fan_in" else 1) * (1 if profile else 2 / (1 + slope**2))
        profile.append(q0)
    return torch.tensor(profile)


@wrong("he-profile", "summed over fan_out terms")
def profile_fan_out_terms(widths, mode, slope, q0):
    profile = []
    for n_in, n_out in pairwise(widths):
        q0 *= n_out / (n_in if mode == "fan_in" else n_out) * (1 if profile else 2 / (1 + slope**2))
        profile.append(q0)
    return torch.tensor(profile)


@wrong("he-profile", "Glorot's variance")
def profile_average(widths, mode, slope, q0):
    profile = []
    for n_in, n_out in pairwise(widths):
        q0 *= 2 * n_in / (n_in + n_out) * (1 if profile else 2 / (1 + slope**2))
        profile.append(q0)
    return torch.tensor(profile)


@wrong("he-profile", "begins with the input")
def profile_with_input(widths, mode, slope, q0):
    return torch.tensor([q0, *profiled(widths, mode, slope, q0).tolist()])


@wrong("he-profile", "root mean squares")
def profile_roots(widths, mode, slope, q0):
    return torch.sqrt(profiled(widths, mode, slope, q0))


# --- he-cosine-map ------------------------------------------------------------------------------------


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


def arc_of(c):
    return torch.sqrt(1 - c**2) + (torch.pi - torch.arccos(c)) * c


@wrong("he-cosine-map", "That is ReLU's map")
def cosine_relu(c, slope):
    return arc_of(c) / torch.pi


@wrong("he-cosine-map", "did not divide by the second moment")
def cosine_unnormalized(c, slope):
    return (1 - slope) ** 2 / (2 * torch.pi) * arc_of(c) + slope * c


@wrong("he-cosine-map", "divided by one half")
def cosine_halved(c, slope):
    return (1 - slope) ** 2 / torch.pi * arc_of(c) + 2 * slope * c


@wrong("he-cosine-map", "mixed")
def cosine_mixed(c, slope):
    return slope * c + (1 - slope) * arc_of(c) / torch.pi


@wrong("he-cosine-map", "square it")
def cosine_not_squared(c, slope):
    return ((1 - slope) * arc_of(c) / torch.pi + 2 * slope * c) / (1 + slope**2)


@wrong("he-cosine-map", "left out the linear term")
def cosine_no_line(c, slope):
    return (1 - slope) ** 2 / (1 + slope**2) * arc_of(c) / torch.pi


@wrong("he-cosine-map", "arccos c where")
def cosine_wrong_angle(c, slope):
    arc = torch.sqrt(1 - c**2) + torch.arccos(c) * c
    return ((1 - slope) ** 2 * arc / torch.pi + 2 * slope * c) / (1 + slope**2)


@wrong("he-cosine-map", "left out the sine")
def cosine_no_sine(c, slope):
    arc = (torch.pi - torch.arccos(c)) * c
    return ((1 - slope) ** 2 * arc / torch.pi + 2 * slope * c) / (1 + slope**2)


# --- he-thirty-layers ---------------------------------------------------------------------------------


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
class BuildModule(nn.Module):
    def __init__(self, width, depth, generator):
        super().__init__()
        widths = [64] + depth * [width]
        self.hidden = nn.ModuleList([nn.Linear(n, m) for n, m in pairwise(widths)])
        self.acts = nn.ModuleList([nn.ReLU() for _ in self.hidden])
        self.head = nn.Linear(width, 10)
        for layer in [self.head, *self.hidden]:
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * (2 / layer.in_features) ** 0.5
            layer.bias.data *= 0

    def forward(self, x):
        for layer, act in zip(self.hidden, self.acts, strict=True):
            x = act(layer(x))
        return self.head(x)


@right("he-thirty-layers")
def build_gain(width, depth, generator):
    blocks = [nn.Sequential(nn.Linear(64 if not k else width, width), nn.ReLU()) for k in range(depth)]
    net = nn.Sequential(*blocks, nn.Linear(width, 10))
    for module in net.modules():
        if isinstance(module, nn.Linear):
            std = nn.init.calculate_gain("relu") / module.in_features**0.5
            nn.init.normal_(module.weight, std=std, generator=generator)
            nn.init.constant_(module.bias, 0.0)
    return net


def built(width, depth, generator, std=2**0.5, bias=0.0, act=nn.ReLU, last=()):
    layers = [nn.Linear(n, m) for n, m in pairwise([64] + [width] * depth + [10])]
    for layer in layers:
        layer.weight.data.normal_(0, std / layer.in_features**0.5, generator=generator)
        layer.bias.data.fill_(bias)
    hidden = [part for layer in layers[:-1] for part in (layer, act())]
    return nn.Sequential(*hidden, layers[-1], *last)


@wrong("he-thirty-layers", "still 1/n_in")
def build_gain_one(width, depth, generator):
    return built(width, depth, generator, std=1.0)


@wrong("he-thirty-layers", "4/n_in")
def build_gain_twice(width, depth, generator):
    return built(width, depth, generator, std=2.0)


@wrong("he-thirty-layers", "biases are still not zero")
def build_biases(width, depth, generator):
    return built(width, depth, generator, bias=0.1)


@wrong("he-thirty-layers", "behind the output layer")
def build_last_relu(width, depth, generator):
    return built(width, depth, generator, last=[nn.ReLU()])


@wrong("he-thirty-layers", "one linear map")
def build_linear(width, depth, generator):
    return built(width, depth, generator, act=nn.Identity)


@wrong("he-thirty-layers", "a layer too many")
def build_deeper(width, depth, generator):
    return built(width, depth + 1, generator)


@wrong("he-thirty-layers", "a layer too few")
def build_shallower(width, depth, generator):
    return built(width, depth - 1, generator)


# --- further answers ----------------------------------------------------------------------------------


@right("he-draw")
def draw_array(weight, slope, mode, generator):
    std = gain(slope) / fan(weight, mode) ** 0.5
    return torch.randn(weight.shape, generator=generator).numpy() * std


@wrong("he-draw", "left out the factor 2")
def draw_without_two(weight, slope, mode, generator):
    fill(weight, (1 / (1 + slope**2) / fan(weight, mode)) ** 0.5, generator)


@wrong("he-draw", "fixed seed")
def draw_seeded(weight, slope, mode, generator):
    fill(weight, gain(slope) / fan(weight, mode) ** 0.5, torch.Generator().manual_seed(42))


@right("he-profile")
def profile_list(widths, mode, slope, q0):
    return profile_loop(widths, mode, slope, q0).tolist()


@right("he-profile")
def profile_tensors(widths, mode, slope, q0):
    return tuple(profile_loop(widths, mode, slope, q0))


@wrong("he-profile", "took fan_in whatever")
def profile_fan_in(widths, mode, slope, q0):
    return profile_loop(widths, "fan_in", slope, q0)


@wrong("he-profile", "took fan_out whatever")
def profile_fan_out(widths, mode, slope, q0):
    return profile_loop(widths, "fan_out", slope, q0)


@wrong("he-profile", "have no gain")
def profile_without_gain(widths, mode, slope, q0):
    return profiled(widths, mode, slope, q0, gain2=1)


@right("he-cosine-map")
def cosine_list(c, slope):
    return [cosine_formula(one, slope) for one in c]


@right("he-cosine-map")
def cosine_array(c, slope):
    return cosine_formula(c, slope).numpy()


def both_on(c):
    return arc_of(c) / (2 * torch.pi)


@wrong("he-cosine-map", "subtract these quadrants")
def cosine_added(c, slope):
    return ((1 + slope**2) * both_on(c) + 2 * slope * both_on(-c)) / ((1 + slope**2) / 2)


@wrong("he-cosine-map", "one of the two quadrants")
def cosine_one_quadrant(c, slope):
    return ((1 + slope**2) * both_on(c) - slope * both_on(-c)) / ((1 + slope**2) / 2)


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
    net = built(width, depth, generator)
    for layer in net[::2]:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    return net


@wrong("he-thirty-layers", "output layer have the variance")
def build_calm_output(width, depth, generator):
    net = built(width, depth, generator)
    net[-1].weight.data /= 2**0.5
    return net


@wrong("he-thirty-layers", "divided by fan_out")
def build_fan_out(width, depth, generator):
    net = built(width, depth, generator)
    for layer in net[::2]:
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return net


@wrong("he-thirty-layers", "as the standard deviation")
def build_variance(width, depth, generator):
    net = built(width, depth, generator)
    for layer in net[::2]:
        nn.init.normal_(layer.weight, std=2 / layer.in_features, generator=generator)
    return net


@wrong("he-thirty-layers", "Your variance is Glorot's")
def build_glorot(width, depth, generator):
    net = built(width, depth, generator)
    for layer in net[::2]:
        nn.init.xavier_normal_(layer.weight, generator=generator)
    return net


@wrong("he-thirty-layers", "as Glorot does")
def build_glorot_with_gain(width, depth, generator):
    net = built(width, depth, generator)
    for layer in net[::2]:
        nn.init.xavier_normal_(layer.weight, 2**0.5, generator=generator)
    return net


@wrong("he-thirty-layers", "no biases at all")
def build_without_biases(width, depth, generator):
    net = built(width, depth, generator)
    for layer in net[::2]:
        layer.bias = None
    return net


@wrong("he-thirty-layers", "global stream")
def build_global(width, depth, generator):
    return built(width, depth, None)


@wrong("he-thirty-layers", "fixed seed")
def build_seeded(width, depth, generator):
    return built(width, depth, torch.Generator().manual_seed(1))


@wrong("he-thirty-layers", "something else than linear layers")
def build_log_softmax(width, depth, generator):
    return built(width, depth, generator, last=[nn.LogSoftmax(dim=1)])
