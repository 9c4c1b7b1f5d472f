import copy
import math

import numpy as np
import torch
from scipy import integrate

from exercise_bank import right, wrong

# --- gain-quadrature ---------------------------------------------------------------------------------


@right("gain-quadrature")
def gain_by_scipy(activation):
    def integrand(z):
        return activation(torch.tensor(z)).item() ** 2 * math.exp(-z * z / 2)

    return (integrate.quad(integrand, -9, 9)[0] / math.sqrt(2 * math.pi)) ** -0.5


@right("gain-quadrature")
def gain_by_sample(activation):
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    return activation(z).square().mean().rsqrt()


@right("gain-quadrature")
def gain_by_hermgauss(activation):
    x, w = np.polynomial.hermite.hermgauss(50)
    f = activation(torch.from_numpy(x * math.sqrt(2))).numpy()
    return 1 / math.sqrt(np.sum(w * f**2) / math.sqrt(math.pi))


@wrong("gain-quadrature", "with the variance 1")
def gain_by_uniform_sample(activation):
    z = torch.rand(4_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return activation(math.sqrt(12) * (z - 0.5)).square().mean() ** -0.5


@wrong("gain-quadrature", "spread evenly over a range")
def gain_of_an_even_grid(activation):
    return activation(torch.linspace(-3, 3, 10_001)).square().mean() ** -0.5


@wrong("gain-quadrature", "not within a percent")
def gain_of_a_narrow_grid(activation):
    z = torch.linspace(-2.5, 2.5, 1001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2)
    return ((activation(z).square() * density).sum() / density.sum()) ** -0.5


# --- gain-both-directions ----------------------------------------------------------------------------


def slopes(activation, z):
    z = z.clone().requires_grad_()
    activation(z).sum().backward()
    return z.grad


@right("gain-both-directions")
def factor_by_trapezoid(activation):
    z = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2)
    return (density @ slopes(activation, z) ** 2) / (density @ activation(z) ** 2)


@right("gain-both-directions")
def factor_by_sample(activation):
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    return (slopes(activation, z).square().mean() / activation(z).square().mean()).item()


@right("gain-both-directions")
def factor_by_differences(activation):
    x, w = np.polynomial.hermite_e.hermegauss(80)
    z, step = torch.from_numpy(x), 1e-4
    slope = (activation(z + step) - activation(z - step)).numpy() / (2 * step)
    return float((w @ slope**2) / (w @ activation(z).numpy() ** 2))


# --- gain-settles ------------------------------------------------------------------------------------


def mean_square(q):
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(density * torch.tanh(math.sqrt(q) * z) ** 2, z).item()


def iterate(sigma, q=1.0):
    for _ in range(300):
        q = sigma**2 * mean_square(q)
    return q


@right("gain-settles")
def settles(sigma):
    return iterate(sigma)


@right("gain-settles")
def settles_from_above(sigma):
    return iterate(sigma, q=50.0)


@right("gain-settles")
def settles_by_bisection(sigma):
    low, high = 1e-3, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigma**2 * mean_square(middle) > middle else (low, middle)
    return low


@wrong("gain-settles", "stopped before it settled")
def settled_after_ten_layers(sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(60)
    q = 1.0
    for _ in range(10):
        q = sigma_w**2 * float(w @ np.tanh(q**0.5 * z) ** 2) / w.sum()
    return q


# --- gain-fans ---------------------------------------------------------------------------------------


@right("gain-fans")
def fans_by_table(layer):
    places, thinned = math.prod(layer.kernel_size) / layer.groups, math.prod(layer.stride)
    if isinstance(layer, torch.nn.ConvTranspose2d):
        return places * layer.in_channels / thinned, places * layer.out_channels
    return places * layer.in_channels, places * layer.out_channels / thinned


@right("gain-fans")
def fans_by_weights(layer):
    first, second, *kernel = layer.weight.shape
    one_side, other_side = second * math.prod(kernel), first // layer.groups * math.prod(kernel)
    thinned = np.prod(layer.stride)
    if layer.transposed:
        return {"fan_out": one_side, "fan_in": other_side / thinned}
    return {"fan_in": one_side, "fan_out": other_side / thinned}


@right("gain-fans")
def fans_measured(layer):
    layer = copy.deepcopy(layer)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    x = torch.ones(1, layer.in_channels, 96, 96, requires_grad=True)
    z = layer(x)
    (heard,) = torch.autograd.grad(z.sum(), x)
    return z[0, 0, 12:24, 12:24].mean(), heard[0, 0, 12:24, 12:24].mean()


@wrong("gain-fans", "You rounded")
def fans_in_whole_numbers(layer):
    places = math.prod(layer.kernel_size)
    fan_in, fan_out = (places * count // layer.groups for count in (layer.in_channels, layer.out_channels))
    jumps = math.prod(layer.stride)
    if isinstance(layer, torch.nn.ConvTranspose2d):
        return fan_in // jumps, fan_out
    return fan_in, fan_out // jumps


# --- gain-orthogonal ---------------------------------------------------------------------------------


@right("gain-orthogonal")
def orthogonal_by_svd(rows, columns, gain, generator):
    u, _, vh = torch.linalg.svd(torch.randn(rows, columns, generator=generator), full_matrices=False)
    return gain * u @ vh


@right("gain-orthogonal")
def orthogonal_by_gram_schmidt(rows, columns, gain, generator):
    vectors = []
    for v in torch.randn(min(rows, columns), max(rows, columns), generator=generator):
        for w in vectors:
            v = v - (v @ w) * w
        vectors.append(v / v.norm())
    stacked = gain * torch.stack(vectors)
    return stacked.T if rows > columns else stacked


@right("gain-orthogonal")
def orthogonal_cut_out(rows, columns, gain, generator):
    n = max(rows, columns)
    q, r = torch.linalg.qr(torch.randn(n, n, generator=generator))
    return gain * (q * r.diagonal().sign())[:rows, :columns]


@right("gain-orthogonal")
def orthogonal_array(rows, columns, gain, generator):
    q, r = np.linalg.qr(torch.randn(max(rows, columns), min(rows, columns), generator=generator).numpy())
    q = gain * q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


@wrong("gain-orthogonal", "not normal")
def orthogonal_from_a_cube(rows, columns, gain, generator):
    numbers = 2 * torch.rand(max(rows, columns), min(rows, columns), generator=generator) - 1
    u, _, vh = torch.linalg.svd(numbers, full_matrices=False)
    return gain * (u @ vh if rows >= columns else (u @ vh).T)


@wrong("gain-orthogonal", "permutations")
def orthogonal_permutation(rows, columns, gain, generator):
    n = max(rows, columns)
    signs = torch.randint(0, 2, (n,), generator=generator) * 2 - 1
    return gain * (torch.eye(n) * signs)[torch.randperm(n, generator=generator)][:rows, :columns]
