import math
from decimal import Decimal
from itertools import accumulate

import numpy as np
import torch

from exercise_bank import right, wrong

# --- variance-default-layer --------------------------------------------------------------------------


@right("variance-default-layer")
def default_formula(n_in, mean, std):
    var_w = var_b = 1 / (3 * n_in)
    return n_in * var_w * (std**2 + mean**2) + var_b


@right("variance-default-layer")
def default_by_bound(n_in, mean, std):
    bound = np.sqrt(1 / n_in)
    var = (2 * bound) ** 2 / 12
    return sum(var * (mean**2 + std**2) for _ in range(n_in)) + var


@right("variance-default-layer")
def default_tensor(n_in, mean, std):
    x2 = torch.tensor(mean).square() + torch.tensor(std).square()
    return (x2 + 1 / n_in) / 3


# --- variance-each-pair ------------------------------------------------------------------------------


@right("variance-each-pair")
def pairs_matrix(x, var_w, var_b):
    return var_w * x @ x.T + var_b


@right("variance-each-pair")
def pairs_loop(x, var_w, var_b):
    result = x.new_zeros(len(x), len(x))
    for row, one in enumerate(x):
        for column, other in enumerate(x):
            result[row, column] = var_b
            for pixel in range(len(one)):
                result[row, column] += var_w * one[pixel] * other[pixel]
    return result


@right("variance-each-pair")
def pairs_array(x, var_w, var_b):
    return var_w * np.inner(x.numpy(), x.numpy()) + var_b


@right("variance-each-pair")
def pairs_list(x, var_w, var_b):
    rows = x.tolist()
    return [[var_w * sum(a * b for a, b in zip(one, other, strict=True)) + var_b for other in rows] for one in rows]


@right("variance-each-pair")
def pairs_decimal(x, var_w, var_b):
    products = [[Decimal(float(entry)) for entry in row] for row in x @ x.T]
    return np.array([[Decimal(var_w) * entry + Decimal(var_b) for entry in row] for row in products])


@right("variance-each-pair")
def pairs_sparse(x, var_w, var_b):
    return (var_w * x @ x.T + var_b).to_sparse()


# --- variance-recursion ------------------------------------------------------------------------------


@right("variance-recursion")
def recursion_loop(widths, var_w, var_b, q0):
    profile = []
    for layer in range(len(var_w)):
        q0 = widths[layer] * var_w[layer] * q0 + var_b[layer]
        profile.append(q0)
    return profile


@right("variance-recursion")
def recursion_accumulated(widths, var_w, var_b, q0):
    layers = zip(widths[:-1], var_w, var_b, strict=True)
    return torch.tensor(list(accumulate(layers, lambda q, one: one[0] * one[1] * q + one[2], initial=q0))[1:])


@right("variance-recursion")
def recursion_summed(widths, var_w, var_b, q0):
    factors, added = np.array(widths[:-1]) * np.array(var_w), np.array([q0, *var_b])
    ends = range(1, len(factors) + 1)
    return np.array([sum(added[k] * np.prod(factors[k:end]) for k in range(end + 1)) for end in ends])


# --- variance-sparse-draw ----------------------------------------------------------------------------


@right("variance-sparse-draw")
def sparse_where(n_out, n_in, p, generator):
    weight = torch.randn(n_out, n_in, generator=generator) / (p * n_in) ** 0.5
    off = torch.rand(n_out, n_in, generator=generator) > p
    weight[off] = 0
    return weight


@right("variance-sparse-draw")
def sparse_rows(n_out, n_in, p, generator):
    rows = []
    for _ in range(n_out):
        on = torch.bernoulli(torch.full((n_in,), p), generator=generator)
        rows.append(on * torch.empty(n_in).normal_(0, math.sqrt(1 / n_in / p), generator=generator))
    return torch.stack(rows)


@right("variance-sparse-draw")
def sparse_float32(n_out, n_in, p, generator):
    weight = torch.nn.init.kaiming_normal_(torch.empty(n_out, n_in), nonlinearity="linear", generator=generator)
    mask = torch.empty_like(weight, dtype=torch.float32).uniform_(generator=generator) <= p
    return torch.where(mask, weight / p**0.5, 0.0)


@right("variance-sparse-draw")
def sparse_array(n_out, n_in, p, generator):
    kept = torch.rand(n_out, n_in, generator=generator).numpy() < p
    return kept * torch.randn(n_out, n_in, generator=generator).numpy() / np.sqrt(p * n_in)


@right("variance-sparse-draw")
def sparse_compressed(n_out, n_in, p, generator):
    return sparse_where(n_out, n_in, p, generator).to_sparse()


@wrong("variance-sparse-draw", "You kept the largest numbers")
def sparse_by_pruning(n_out, n_in, p, generator):
    weight = torch.randn(n_out, n_in, generator=generator) / math.sqrt(p * n_in)
    least = weight.abs().flatten().sort(descending=True).values[round(p * weight.numel())]
    return torch.where(weight.abs() > least, weight, torch.zeros_like(weight))


@wrong("variance-sparse-draw", "None of your weights is zero")
def sparse_dense(n_out, n_in, p, generator):
    return torch.randn(n_out, n_in, generator=generator) * p


@wrong("variance-sparse-draw", "Every draw keeps the same number")
def sparse_with_a_fixed_total(n_out, n_in, p, generator):
    w = torch.zeros(n_out * n_in)
    chosen = torch.randperm(len(w), generator=generator)[: round(p * len(w))]
    w[chosen] = torch.randn(len(chosen), generator=generator) / math.sqrt(p * n_in)
    return w.view(n_out, n_in)


# --- variance-standard-error -------------------------------------------------------------------------


@right("variance-standard-error")
def error_vectorized(z):
    units = (z**2).mean(dim=0)
    return units.mean(), units.std() / len(units) ** 0.5


@right("variance-standard-error")
def error_loop(z):
    values = []
    for unit in range(z.shape[1]):
        values.append(sum(float(answer) ** 2 for answer in z[:, unit]) / z.shape[0])
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return [mean, math.sqrt(variance / len(values))]


@right("variance-standard-error")
def error_numpy(z):
    units = np.square(z.numpy()).mean(0)
    return units.mean(), units.std(ddof=1) / np.sqrt(units.size)


@right("variance-standard-error")
def error_array(z):
    units = (z.numpy() ** 2).mean(0)
    return np.array([units.mean(), units.std(ddof=1) / np.sqrt(len(units))])


# --- variance-needed-width ---------------------------------------------------------------------------


@right("variance-needed-width")
def width_formula(depth, factor):
    return 2 * depth * (2 / math.log(factor)) ** 2


@right("variance-needed-width")
def width_rounded(depth, factor):
    return np.round(8 * depth / np.log(factor) ** 2, 1)


@right("variance-needed-width")
def width_search(depth, factor):
    n = 1.0
    while 2 * math.sqrt(2 * depth / n) > math.log(factor):
        n *= 1.001
    return n


@wrong("variance-needed-width", "You rounded")
def width_rounded_up(depth, factor):
    return math.ceil(8 * depth / math.log(factor) ** 2)


@wrong("variance-needed-width", "You rounded")
def width_rounded_down(depth, factor):
    return int(8 * depth / math.log(factor) ** 2)


@wrong("variance-needed-width", "You rounded")
def width_rounded_to_the_nearest(depth, factor):
    return float(np.round(8 * depth / np.log(factor) ** 2))


# --- variance-wrong-step -----------------------------------------------------------------------------


@right("variance-wrong-step")
def step_formula(low, high):
    return (low**2 + low * high + high**2) / 3 / ((high - low) ** 2 / 12)


@right("variance-wrong-step")
def step_by_mean(low, high):
    var = (high - low) ** 2 / 12
    return np.float32(1 + ((low + high) / 2) ** 2 / var)


@right("variance-wrong-step")
def step_by_points(low, high):
    x = torch.linspace(low, high, 100_001)
    return [x.square().mean() / x.var()]
