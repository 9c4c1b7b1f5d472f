import math

import numpy as np
import torch
from scipy import integrate

from exercise_bank import right, wrong

# --- gain-bent-line ----------------------------------------------------------------------------------


@right("gain-bent-line")
def bent_formula(a, b):
    return (0.5 * a**2 + 0.5 * b**2) ** -0.5


@right("gain-bent-line")
def bent_sample(a, b):
    z = torch.linspace(-1, 1, 100_001, dtype=torch.float64)
    y = torch.where(z > 0, a * z, b * z)
    return (z.square().mean() / y.square().mean()).sqrt()


@right("gain-bent-line")
def bent_integral(a, b):
    half = integrate.quad(lambda z: z**2 * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), 0, 10)[0]
    return 1 / math.sqrt((a**2 + b**2) * half)


# --- gain-quadrature ---------------------------------------------------------------------------------


@right("gain-quadrature")
def gain_by_scipy(name):
    def integrand(z):
        return getattr(torch, name)(torch.tensor(z)).item() ** 2 * math.exp(-z * z / 2)

    return (integrate.quad(integrand, -9, 9)[0] / math.sqrt(2 * math.pi)) ** -0.5


@right("gain-quadrature")
def gain_by_trapezoid(name):
    z = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(density * getattr(torch, name)(z) ** 2, z).item() ** -0.5


@right("gain-quadrature")
def gain_by_hermgauss(name):
    x, w = np.polynomial.hermite.hermgauss(50)
    f = getattr(torch, name)(torch.from_numpy(x * math.sqrt(2))).numpy()
    return 1 / math.sqrt(np.sum(w * f**2) / math.sqrt(math.pi))


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


# --- gain-fans ---------------------------------------------------------------------------------------


@right("gain-fans")
def fans_by_weights(shape, groups):
    total = math.prod(shape)
    return total // shape[0], total // (shape[1] * groups)


@right("gain-fans")
def fans_in_a_tensor(shape, groups):
    return torch.tensor([shape[1], shape[0] // groups]) * shape[2] * shape[3]


@right("gain-fans")
def fans_measured(shape, groups):
    conv = torch.nn.Conv2d(shape[1] * groups, shape[0], shape[2:], groups=groups, padding=10, bias=False)
    conv.weight.data.fill_(1.0)
    x = torch.zeros(1, shape[1] * groups, 21, 21)
    x[0, 0, 10, 10] = 1
    return conv(torch.ones_like(x))[0, 0, 15, 15].item(), (conv(x) != 0).sum().item()


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


@wrong("gain-orthogonal", "permutations")
def orthogonal_permutation(rows, columns, gain, generator):
    n = max(rows, columns)
    signs = torch.randint(0, 2, (n,), generator=generator) * 2 - 1
    return gain * (torch.eye(n) * signs)[torch.randperm(n, generator=generator)][:rows, :columns]
