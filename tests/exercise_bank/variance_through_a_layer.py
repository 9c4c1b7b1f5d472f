import math

import numpy as np
import torch

from exercise_bank import right

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


# --- variance-each-input -----------------------------------------------------------------------------


@right("variance-each-input")
def each_vectorized(x, var_w, var_b):
    return var_w * (x**2).sum(dim=1) + var_b


@right("variance-each-input")
def each_loop(x, var_w, var_b):
    result = x.new_zeros(len(x))
    for row, image in enumerate(x):
        for pixel in image:
            result[row] += var_w * pixel * pixel
    return result + var_b


@right("variance-each-input")
def each_array(x, var_w, var_b):
    return var_w * np.einsum("ij,ij->i", x.numpy(), x.numpy()) + var_b


@right("variance-each-input")
def each_list(x, var_w, var_b):
    return [var_w * sum(entry**2 for entry in row) + var_b for row in x.tolist()]


@right("variance-each-input")
def each_tuple_of_tensors(x, var_w, var_b):
    return tuple(var_w * (row @ row) + var_b for row in x)


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


# --- variance-wrong-step -----------------------------------------------------------------------------


@right("variance-wrong-step")
def step_formula(low, high):
    return 4, (low**2 + low * high + high**2) / 3 / ((high - low) ** 2 / 12)


@right("variance-wrong-step")
def step_by_mean(low, high):
    var = (high - low) ** 2 / 12
    return [4, 1 + ((low + high) / 2) ** 2 / var]


@right("variance-wrong-step")
def step_by_points(low, high):
    x = torch.linspace(low, high, 100_001)
    return torch.tensor(4), x.square().mean() / x.var()
