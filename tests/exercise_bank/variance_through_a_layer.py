import math

import numpy as np
import torch

from exercise_bank import right, wrong

# --- variance-default-layer ---------------------------------------------------------------------------


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


@wrong("variance-default-layer", "variance of the inputs")
def default_variance(n_in, mean, std):
    return n_in / (3 * n_in) * std**2 + 1 / (3 * n_in)


@wrong("variance-default-layer", "left out the biases")
def default_no_bias(n_in, mean, std):
    return (std**2 + mean**2) / 3


@wrong("variance-default-layer", "took a² for")
def default_square(n_in, mean, std):
    a = 1 / math.sqrt(n_in)
    return n_in * a**2 * (std**2 + mean**2) + a**2


@wrong("variance-default-layer", "without the 2")
def default_twelfth(n_in, mean, std):
    a = 1 / math.sqrt(n_in)
    return n_in * a**2 / 12 * (std**2 + mean**2) + a**2 / 12


@wrong("variance-default-layer", "number of terms")
def default_one_term(n_in, mean, std):
    return 1 / (3 * n_in) * (std**2 + mean**2 + 1)


@wrong("variance-default-layer", "one bias only")
def default_many_biases(n_in, mean, std):
    return n_in * (1 / (3 * n_in)) * (std**2 + mean**2 + 1)


@wrong("variance-default-layer", "root mean square")
def default_root(n_in, mean, std):
    return default_formula(n_in, mean, std) ** 0.5


# --- variance-each-input ------------------------------------------------------------------------------


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
def each_by_mean(x, var_w, var_b):
    sigma_w2 = x.shape[-1] * var_w
    return sigma_w2 * x.square().mean(-1) + var_b


@right("variance-each-input")
def each_kernel(x, var_w, var_b):
    return torch.diagonal(var_w * x @ x.T + var_b)


@wrong("variance-each-input", "averaged over the batch")
def each_pixel(x, var_w, var_b):
    return var_w * (x**2).sum(dim=0) + var_b


@wrong("variance-each-input", "one number for the whole batch")
def each_one_number(x, var_w, var_b):
    return var_w * x.shape[1] * (x**2).mean() + var_b


@wrong("variance-each-input", "squares are summed")
def each_mean(x, var_w, var_b):
    return var_w * (x**2).mean(dim=1) + var_b


@wrong("variance-each-input", "in the sum already")
def each_times_n(x, var_w, var_b):
    return x.size(1) * var_w * (x**2).sum(dim=1) + var_b


@wrong("variance-each-input", "subtracted the mean of the input")
def each_variance(x, var_w, var_b):
    return x.size(1) * var_w * x.var(dim=1, unbiased=False) + var_b


@wrong("variance-each-input", "squared the sum")
def each_sum_squared(x, var_w, var_b):
    return var_w * x.sum(dim=1) ** 2 + var_b


@wrong("variance-each-input", "variances already")
def each_as_deviation(x, var_w, var_b):
    return (var_w * x).pow(2).sum(dim=1) + var_b**2


@wrong("variance-each-input", "left out the bias")
def each_no_bias(x, var_w, var_b):
    return var_w * (x**2).sum(dim=1)


@wrong("variance-each-input", "adds one bias")
def each_n_biases(x, var_w, var_b):
    return x.size(1) * (var_w * (x**2).mean(dim=1) + var_b)


@wrong("variance-each-input", "That is the root")
def each_root(x, var_w, var_b):
    return torch.sqrt(var_w * (x**2).sum(dim=1) + var_b)


# --- variance-sparse-draw -----------------------------------------------------------------------------


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


def masked(n_out, n_in, p, generator, std):
    mask = torch.rand(n_out, n_in, generator=generator) < p
    return torch.randn(n_out, n_in, generator=generator) * std * mask


@wrong("variance-sparse-draw", "make up for that")
def sparse_plain(n_out, n_in, p, generator):
    return masked(n_out, n_in, p, generator, n_in**-0.5)


@wrong("variance-sparse-draw", "twice")
def sparse_dropout(n_out, n_in, p, generator):
    return masked(n_out, n_in, p, generator, n_in**-0.5) / p


@wrong("variance-sparse-draw", "as the standard deviation")
def sparse_variance(n_out, n_in, p, generator):
    return masked(n_out, n_in, p, generator, 1 / (p * n_in))


@wrong("variance-sparse-draw", "counted the outputs")
def sparse_outputs(n_out, n_in, p, generator):
    return masked(n_out, n_in, p, generator, (p * n_out) ** -0.5)


@wrong("variance-sparse-draw", "probability 1 - p, and scaled")
def sparse_complement(n_out, n_in, p, generator):
    return masked(n_out, n_in, 1 - p, generator, ((1 - p) * n_in) ** -0.5)


@wrong("variance-sparse-draw", "the share that is kept. The scale")
def sparse_dropped(n_out, n_in, p, generator):
    return masked(n_out, n_in, 1 - p, generator, (p * n_in) ** -0.5)


@wrong("variance-sparse-draw", "same places")
def sparse_one_mask(n_out, n_in, p, generator):
    mask = torch.rand(n_in, generator=generator) < p
    return mask * torch.randn(n_out, n_in, generator=generator) / (p * n_in) ** 0.5


@wrong("variance-sparse-draw", "uniformly")
def sparse_uniform(n_out, n_in, p, generator):
    a = (3 / (p * n_in)) ** 0.5
    weight = torch.empty(n_out, n_in).uniform_(-a, a, generator=generator)
    return weight * (torch.rand(n_out, n_in, generator=generator) < p)


# --- variance-standard-error --------------------------------------------------------------------------


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


@wrong("variance-standard-error", "counted every entry")
def error_entries(z):
    squares = z**2
    return squares.mean(), squares.std() / squares.numel() ** 0.5


@wrong("variance-standard-error", "counted the images")
def error_images(z):
    images = (z**2).mean(dim=1)
    return images.mean(), images.std() / len(images) ** 0.5


@wrong("variance-standard-error", "deviation of one unit")
def error_deviation(z):
    units = (z**2).mean(dim=0)
    return units.mean(), units.std()


@wrong("variance-standard-error", "falls with its root")
def error_over_n(z):
    units = (z**2).mean(dim=0)
    return units.mean(), units.std() / len(units)


@wrong("variance-standard-error", "lacks its last root")
def error_variance(z):
    units = (z**2).mean(dim=0)
    return units.mean(), units.var() / len(units)


@wrong("variance-standard-error", "one less")
def error_biased(z):
    units = (z**2).mean(dim=0)
    return units.mean(), (units.var(correction=0) / len(units)).sqrt()


@wrong("variance-standard-error", "before you squared")
def error_of_means(z):
    units = z.mean(dim=0) ** 2
    return units.mean(), units.std() / len(units) ** 0.5


@wrong("variance-standard-error", "leaves out the unit's own mean")
def error_of_variances(z):
    units = z.var(dim=0, unbiased=False)
    return units.mean(), units.std() / len(units) ** 0.5


@wrong("variance-standard-error", "unbiased variance of each unit")
def error_of_unbiased_variances(z):
    units = z.var(dim=0)
    return units.mean(), units.std() / len(units) ** 0.5


# --- variance-needed-width ----------------------------------------------------------------------------


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


@wrong("variance-needed-width", "factor 2 out")
def width_without_two(depth, factor):
    return depth * (2 / math.log(factor)) ** 2


@wrong("variance-needed-width", "one standard deviation")
def width_one_deviation(depth, factor):
    return 2 * depth / math.log(factor) ** 2


@wrong("variance-needed-width", "compared the variance")
def width_of_variance(depth, factor):
    return 2 * 2 * depth / math.log(factor)


@wrong("variance-needed-width", "base 10")
def width_base_ten(depth, factor):
    return 8 * depth / math.log10(factor) ** 2


@wrong("variance-needed-width", "f - 1")
def width_linear(depth, factor):
    return 8 * depth / (factor - 1) ** 2


@wrong("variance-needed-width", "median")
def width_of_median(depth, factor):
    return depth / math.log(factor)


# --- variance-wrong-step ------------------------------------------------------------------------------


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


@wrong("variance-wrong-step", "Step 1 is the definition")
def step_one(low, high):
    return 1, step_formula(low, high)[1]


@wrong("variance-wrong-step", "Step 2 holds")
def step_two(low, high):
    return 2, step_formula(low, high)[1]


@wrong("variance-wrong-step", "Step 3 holds")
def step_three(low, high):
    return 3, step_formula(low, high)[1]


@wrong("variance-wrong-step", "Step 5 only inserts")
def step_five(low, high):
    return 5, step_formula(low, high)[1]


@wrong("variance-wrong-step", "upside down")
def step_inverse(low, high):
    return 4, 1 / step_formula(low, high)[1]


@wrong("variance-wrong-step", "both together")
def step_mean_only(low, high):
    return 4, ((low + high) / 2) ** 2 * 12 / (high - low) ** 2


@wrong("variance-wrong-step", "around zero")
def step_centered(low, high):
    return 4, 1.0


@wrong("variance-wrong-step", "took the root")
def step_root(low, high):
    return 4, step_formula(low, high)[1] ** 0.5


@wrong("variance-wrong-step", "over 12")
def step_third(low, high):
    return 4, (low**2 + low * high + high**2) / (high - low) ** 2


# --- further answers ----------------------------------------------------------------------------------


@right("variance-each-input")
def each_array(x, var_w, var_b):
    return var_w * np.einsum("ij,ij->i", x.numpy(), x.numpy()) + var_b


@right("variance-each-input")
def each_list(x, var_w, var_b):
    return [var_w * sum(entry**2 for entry in row) + var_b for row in x.tolist()]


@right("variance-each-input")
def each_tuple_of_tensors(x, var_w, var_b):
    return tuple(var_w * (row @ row) + var_b for row in x)


@wrong("variance-each-input", "length of each input")
def each_length(x, var_w, var_b):
    return var_w * x.norm(dim=1) + var_b


@wrong("variance-each-input", "subtracts their mean")
def each_centered(x, var_w, var_b):
    return var_w * x.shape[1] * x.var(dim=1) + var_b


@right("variance-sparse-draw")
def sparse_array(n_out, n_in, p, generator):
    kept = torch.rand(n_out, n_in, generator=generator).numpy() < p
    return kept * torch.randn(n_out, n_in, generator=generator).numpy() / np.sqrt(p * n_in)


@right("variance-sparse-draw")
def sparse_bernoulli(n_out, n_in, p, generator):
    mask = torch.bernoulli(torch.full((n_out, n_in), p), generator=generator)
    return mask * torch.normal(0.0, (p * n_in) ** -0.5, (n_out, n_in), generator=generator)


def sparse_with(n_out, n_in, p, mask, scale, generator):
    return mask * torch.randn(n_out, n_in, generator=generator) * scale


@wrong("variance-sparse-draw", "Your zeros come from torch's global stream")
def sparse_global_mask(n_out, n_in, p, generator):
    mask = torch.bernoulli(torch.full((n_out, n_in), p))
    return sparse_with(n_out, n_in, p, mask, (p * n_in) ** -0.5, generator)


@wrong("variance-sparse-draw", "Your mask comes from `generator`")
def sparse_global_numbers(n_out, n_in, p, generator):
    mask = torch.rand(n_out, n_in, generator=generator) < p
    return sparse_with(n_out, n_in, p, mask, (p * n_in) ** -0.5, None)


@wrong("variance-sparse-draw", "do not all come")
def sparse_global(n_out, n_in, p, generator):
    return sparse_with(n_out, n_in, p, torch.rand(n_out, n_in) < p, (p * n_in) ** -0.5, None)


@wrong("variance-sparse-draw", "fixed seed")
def sparse_seeded(n_out, n_in, p, generator):
    generator = torch.Generator().manual_seed(7)
    mask = torch.rand(n_out, n_in, generator=generator) < p
    return sparse_with(n_out, n_in, p, mask, (p * n_in) ** -0.5, generator)


@wrong("variance-sparse-draw", "whole units")
def sparse_units(n_out, n_in, p, generator):
    mask = torch.empty(n_out, 1).bernoulli_(p, generator=generator)
    return sparse_with(n_out, n_in, p, mask, (p * n_in) ** -0.5, generator)


@wrong("variance-sparse-draw", "the same number of weights")
def sparse_exact(n_out, n_in, p, generator):
    weight = torch.zeros(n_out, n_in)
    for row in weight:
        places = torch.randperm(n_in, generator=generator)[: round(p * n_in)]
        row[places] = torch.randn(len(places), generator=generator) / math.sqrt(p * n_in)
    return weight


@wrong("variance-sparse-draw", "compares normal numbers")
def sparse_normal_mask(n_out, n_in, p, generator):
    mask = torch.randn(n_out, n_in, generator=generator) < p
    return sparse_with(n_out, n_in, p, mask, (p * n_in) ** -0.5, generator)


@wrong("variance-sparse-draw", "belongs to ReLU")
def sparse_he(n_out, n_in, p, generator):
    mask = torch.rand(n_out, n_in, generator=generator) < p
    return sparse_with(n_out, n_in, p, mask, (2 / (p * n_in)) ** 0.5, generator)


@wrong("variance-sparse-draw", "multiplied by the root of p")
def sparse_times_p(n_out, n_in, p, generator):
    mask = torch.rand(n_out, n_in, generator=generator) < p
    return sparse_with(n_out, n_in, p, mask, (p / n_in) ** 0.5, generator)


@right("variance-standard-error")
def error_array(z):
    units = (z.numpy() ** 2).mean(0)
    return np.array([units.mean(), units.std(ddof=1) / np.sqrt(len(units))])


@wrong("variance-standard-error", "root of the number of images")
def error_root_of_images(z):
    units = (z**2).mean(0)
    return units.mean(), units.std() / len(z) ** 0.5


@wrong("variance-standard-error", "root of the number of all entries")
def error_root_of_entries(z):
    units = (z**2).mean(0)
    return units.mean(), units.std() / z.numel() ** 0.5


@wrong("variance-standard-error", "without a root")
def error_root_mean_square(z):
    units = (z**2).mean(0)
    return units.mean().sqrt(), units.std() / len(units) ** 0.5


@wrong("variance-standard-error", "forgot the squares")
def error_without_squares(z):
    units = z.mean(0)
    return units.mean(), units.std() / len(units) ** 0.5
