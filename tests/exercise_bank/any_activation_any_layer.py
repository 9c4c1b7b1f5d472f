"""Answers to the exercises of chapter 5, right and wrong, as students write them."""

import math

import numpy as np
import torch
from scipy import integrate
from torch import nn

from exercise_bank import right, wrong

# --- gain-bent-line -----------------------------------------------------------------------------------


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


@wrong("gain-bent-line", "square of the gain")
def bent_squared(a, b):
    return 2 / (a**2 + b**2)


@wrong("gain-bent-line", "slopes 1 and 0")
def bent_relu(a, b):
    return math.sqrt(2)


@wrong("gain-bent-line", "averaged the slopes")
def bent_average(a, b):
    return 1 / ((a + b) / 2)


@wrong("gain-bent-line", "the inverse")
def bent_inverse(a, b):
    return math.sqrt((a**2 + b**2) / 2)


@wrong("gain-bent-line", "averaged, not added")
def bent_added(a, b):
    return 1 / math.sqrt(a**2 + b**2)


@wrong("gain-bent-line", "variance of the output")
def bent_variance(a, b):
    mean = (a - b) / math.sqrt(2 * math.pi)
    return 1 / math.sqrt((a**2 + b**2) / 2 - mean**2)


# --- gain-quadrature ----------------------------------------------------------------------------------


def values(name, z):
    return getattr(torch, name)(z)


def sample(count=400_000):
    return torch.randn(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@right("gain-quadrature")
def gain_by_sample(name):
    return 1 / values(name, sample()).square().mean().sqrt()


@right("gain-quadrature")
def gain_by_scipy(name):
    def integrand(z):
        return values(name, torch.tensor(z)).item() ** 2 * math.exp(-z * z / 2)

    return (integrate.quad(integrand, -9, 9)[0] / math.sqrt(2 * math.pi)) ** -0.5


@right("gain-quadrature")
def gain_by_trapezoid(name):
    z = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(density * values(name, z) ** 2, z).item() ** -0.5


@right("gain-quadrature")
def gain_by_hermgauss(name):
    x, w = np.polynomial.hermite.hermgauss(50)
    f = values(name, torch.from_numpy(x * math.sqrt(2))).numpy()
    return 1 / math.sqrt(np.sum(w * f**2) / math.sqrt(math.pi))


@wrong("gain-quadrature", "what is left")
def gain_moment(name):
    return values(name, sample()).square().mean().item()


@wrong("gain-quadrature", "not the inverse root")
def gain_inverse(name):
    return 1 / values(name, sample()).square().mean().item()


@wrong("gain-quadrature", "the root, not")
def gain_root(name):
    return values(name, sample()).square().mean().sqrt().item()


@wrong("gain-quadrature", "backward gain")
def gain_backward(name):
    z = sample().requires_grad_()
    (slope,) = torch.autograd.grad(values(name, z).sum(), z)
    return slope.square().mean().item() ** -0.5


@wrong("gain-quadrature", "standard deviation")
def gain_std(name):
    return 1 / values(name, sample()).std().item()


@wrong("gain-quadrature", "absolute value")
def gain_absolute(name):
    return 1 / values(name, sample()).abs().mean().item()


@wrong("gain-quadrature", "exp(-x^2)")
def gain_physicists(name):
    x, w = np.polynomial.hermite.hermgauss(50)
    return 1 / math.sqrt(np.sum(w * values(name, torch.from_numpy(x)).numpy() ** 2))


@wrong("gain-quadrature", "uniform between")
def gain_uniform(name):
    z = torch.linspace(-1, 1, 100_001, dtype=torch.float64)
    return values(name, z).square().mean().item() ** -0.5


# --- gain-settles -------------------------------------------------------------------------------------


def mean_square(q):
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(density * torch.tanh(math.sqrt(q) * z) ** 2, z).item()


def iterate(sigma, q=1.0, layers=300):
    for _ in range(layers):
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


@wrong("gain-settles", "after one layer")
def settles_once(sigma):
    return iterate(sigma, layers=1)


@wrong("gain-settles", "root of it")
def settles_root(sigma):
    return math.sqrt(iterate(sigma))


@wrong("gain-settles", "length of the activations")
def settles_activations(sigma):
    return mean_square(iterate(sigma))


@wrong("gain-settles", "stays 1")
def settles_at_one(sigma):
    return 1


@wrong("gain-settles", "dies out")
def settles_at_zero(sigma):
    return 0


@wrong("gain-settles", "multiplied by sigma_w")
def settles_linear(sigma):
    q = 1.0
    for _ in range(300):
        q = sigma * mean_square(q)
    return q


# --- gain-fans ----------------------------------------------------------------------------------------


@right("gain-fans")
def fans_formula(shape, groups):
    return shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3] / groups


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


@wrong("gain-fans", "ignores the groups")
def fans_of_torch(shape, groups):
    return torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


@wrong("gain-fans", "divided fan_in")
def fans_divided(shape, groups):
    kernel = shape[2] * shape[3]
    return shape[1] * kernel / groups, shape[0] * kernel // groups


@wrong("gain-fans", "left out the kernel")
def fans_no_kernel(shape, groups):
    return shape[1], shape[0] // groups


@wrong("gain-fans", "swapped")
def fans_swapped(shape, groups):
    return shape[0] * shape[2] * shape[3] // groups, shape[1] * shape[2] * shape[3]


@wrong("gain-fans", "one side")
def fans_one_side(shape, groups):
    return shape[1] * shape[2], shape[0] // groups * shape[2]


@wrong("gain-fans", "removes connections")
def fans_multiplied(shape, groups):
    kernel = shape[2] * shape[3]
    return shape[1] * groups * kernel, shape[0] * kernel


# --- gain-orthogonal ----------------------------------------------------------------------------------


def normal(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@right("gain-orthogonal")
def orthogonal_by_qr(rows, columns, gain, generator):
    flat = normal(max(rows, columns), min(rows, columns), generator=generator)
    q, r = torch.linalg.qr(flat)
    q = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return gain * (q if rows >= columns else q.T)


@right("gain-orthogonal")
def orthogonal_by_svd(rows, columns, gain, generator):
    u, _, vh = torch.linalg.svd(normal(rows, columns, generator=generator), full_matrices=False)
    return gain * u @ vh


@right("gain-orthogonal")
def orthogonal_by_gram_schmidt(rows, columns, gain, generator):
    vectors = []
    for v in normal(min(rows, columns), max(rows, columns), generator=generator):
        for w in vectors:
            v = v - (v @ w) * w
        vectors.append(v / v.norm())
    stacked = gain * torch.stack(vectors)
    return stacked.T if rows > columns else stacked


@wrong("gain-orthogonal", "not orthogonal")
def orthogonal_lengths(rows, columns, gain, generator):
    w = normal(rows, columns, generator=generator)
    return gain * w / w.norm(dim=1 if rows <= columns else 0, keepdim=True)


@wrong("gain-orthogonal", "scatter")
def orthogonal_scaled(rows, columns, gain, generator):
    return gain * normal(rows, columns, generator=generator) / max(rows, columns) ** 0.5


@wrong("gain-orthogonal", "multiply by the gain")
def orthogonal_no_gain(rows, columns, gain, generator):
    return orthogonal_by_qr(rows, columns, 1, generator)


@wrong("gain-orthogonal", "square of the gain")
def orthogonal_squared(rows, columns, gain, generator):
    return orthogonal_by_svd(rows, columns, gain**2, generator)


@wrong("gain-orthogonal", "fixes signs")
def orthogonal_plain_qr(rows, columns, gain, generator):
    q = torch.linalg.qr(normal(max(rows, columns), min(rows, columns), generator=generator))[0]
    return gain * (q if rows >= columns else q.T)


@wrong("gain-orthogonal", "identity")
def orthogonal_eye(rows, columns, gain, generator):
    return gain * torch.eye(rows, columns)


@right("gain-orthogonal")
def orthogonal_cut_out(rows, columns, gain, generator):
    n = max(rows, columns)
    q, r = torch.linalg.qr(normal(n, n, generator=generator))
    return gain * (q * r.diagonal().sign())[:rows, :columns]


@wrong("gain-orthogonal", "torch.rand are all positive")
def orthogonal_from_rand(rows, columns, gain, generator):
    q, r = torch.linalg.qr(torch.rand(max(rows, columns), min(rows, columns), generator=generator))
    q = q * r.diagonal().sign()
    return gain * (q if rows >= columns else q.T)


@wrong("gain-orthogonal", "hand it to torch.randn")
def orthogonal_global(rows, columns, gain, generator):
    q, r = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns)))
    q = q * r.diagonal().sign()
    return gain * (q if rows >= columns else q.T)


# --- further answers ----------------------------------------------------------------------------------


@right("gain-quadrature")
def quadrature_array(name):
    z = np.linspace(-8, 8, 4001)
    density = np.exp(-z * z / 2)
    values = getattr(torch, name)(torch.from_numpy(z)).numpy()
    return np.array((density.sum() / (density * values**2).sum()) ** 0.5)


@wrong("gain-quadrature", "between 0 and 1")
def quadrature_rand(name):
    z = torch.arange(0.0005, 1, 0.001)
    return getattr(torch, name)(z).square().mean() ** -0.5


@wrong("gain-quadrature", "do not sum to 1")
def quadrature_without_norm(name):
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return (weights * getattr(torch, name)(torch.from_numpy(nodes)).numpy() ** 2).sum() ** -0.5


@right("gain-fans")
def fans_tensor(shape, groups):
    n = torch.tensor(shape)
    return torch.stack([n[1:].prod(), n[0] // groups * n[2] * n[3]])


@right("gain-orthogonal")
def orthogonal_array(rows, columns, gain, generator):
    q, r = np.linalg.qr(normal(max(rows, columns), min(rows, columns), generator=generator).numpy())
    q = gain * q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


@wrong("gain-orthogonal", "one sign")
def orthogonal_one_sign(rows, columns, gain, generator):
    n = max(rows, columns)
    q, r = torch.linalg.qr(normal(n, n, generator=generator))
    return (gain * q * r[0, 0].sign())[:rows, :columns]


@wrong("gain-orthogonal", "permutations")
def orthogonal_permutation(rows, columns, gain, generator):
    n = max(rows, columns)
    signs = torch.randint(0, 2, (n,), generator=generator) * 2 - 1
    return gain * (torch.eye(n) * signs)[torch.randperm(n, generator=generator)][:rows, :columns]


@wrong("gain-orthogonal", "rotations only")
def orthogonal_rotation(rows, columns, gain, generator):
    n = max(rows, columns)
    square = nn.init.orthogonal_(torch.empty(n, n), gain, generator=generator)
    if torch.det(square) < 0:
        square[0] *= -1
    return square[:rows, :columns]


@wrong("gain-orthogonal", "gives a square Q")
def orthogonal_square_q(rows, columns, gain, generator):
    q, r = torch.linalg.qr(normal(rows, columns, generator=generator))
    return gain * q * r.diagonal().sign()
