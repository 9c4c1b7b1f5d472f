"""Answers to the exercises of chapter 10, right and wrong, as students write them."""

import torch
from torch import nn

from exercise_bank import right, wrong


def shaped(values, z):
    return values.reshape(1, -1, *[1] * (z.dim() - 2))


# --- eval-warm-up -------------------------------------------------------------------------------------


@right("eval-warm-up")
def warm_formula(rho, t, variance):
    return variance + (1 - variance) * (1 - rho) ** t


@right("eval-warm-up")
def warm_loop(rho, t, variance):
    r = 1.0
    for _ in range(t):
        r = (1 - rho) * r + rho * variance
    return r


@right("eval-warm-up")
def warm_by_torch(rho, t, variance):
    bn = nn.BatchNorm1d(1, momentum=rho)
    batch = torch.tensor([[-1.0], [1.0]]) * (variance / 2) ** 0.5
    for _ in range(t):
        bn(batch)
    return bn.running_var


@wrong("eval-warm-up", "Keras")
def warm_keras(rho, t, variance):
    r = 1.0
    for _ in range(t):
        r = rho * r + (1 - rho) * variance
    return r


@wrong("eval-warm-up", "left out the start")
def warm_from_zero(rho, t, variance):
    return (1 - (1 - rho) ** t) * variance


@wrong("eval-warm-up", "weight of the start")
def warm_weight(rho, t, variance):
    return (1 - rho) ** t


@wrong("eval-warm-up", "One batch too few")
def warm_late(rho, t, variance):
    return (1 - rho) ** (t - 1) + (1 - (1 - rho) ** (t - 1)) * variance


@wrong("eval-warm-up", "variance of the data")
def warm_done(rho, t, variance):
    return variance


@wrong("eval-warm-up", "linearly")
def warm_linear(rho, t, variance):
    return 1 + t * rho * (variance - 1)


# --- eval-inference -----------------------------------------------------------------------------------


@right("eval-inference")
def infer_view(z, mean, var, gamma, beta, eps):
    z_hat = (z - shaped(mean, z)) / torch.sqrt(shaped(var, z) + eps)
    return shaped(gamma, z) * z_hat + shaped(beta, z)


@right("eval-inference")
def infer_loop(z, mean, var, gamma, beta, eps):
    y = z.clone()
    for c in range(z.shape[1]):
        y[:, c] = (z[:, c] - mean[c]) / (var[c] + eps) ** 0.5 * gamma[c] + beta[c]
    return y


@right("eval-inference")
def infer_scale_and_shift(z, mean, var, gamma, beta, eps):
    scale = gamma * (var + eps).rsqrt()
    return torch.einsum("nc...,c->nc...", z, scale) + shaped(beta - mean * scale, z)


@wrong("eval-inference", "statistics of the batch")
def infer_batch(z, mean, var, gamma, beta, eps):
    dims = [0, 2, 3][: z.dim() - 1]
    return infer_view(z, z.mean(dims), z.var(dims, correction=0), gamma, beta, eps)


@wrong("eval-inference", "eps to the deviation")
def infer_eps_outside(z, mean, var, gamma, beta, eps):
    return shaped(gamma, z) * (z - shaped(mean, z)) / (shaped(var, z).sqrt() + eps) + shaped(beta, z)


@wrong("eval-inference", "divided by the variance")
def infer_by_variance(z, mean, var, gamma, beta, eps):
    return shaped(gamma, z) * (z - shaped(mean, z)) / (shaped(var, z) + eps) + shaped(beta, z)


@wrong("eval-inference", "no eps")
def infer_no_eps(z, mean, var, gamma, beta, eps):
    return infer_view(z, mean, var, gamma, beta, 0)


@wrong("eval-inference", "gamma and beta")
def infer_not_affine(z, mean, var, gamma, beta, eps):
    return (z - shaped(mean, z)) / torch.sqrt(shaped(var, z) + eps)


@wrong("eval-inference", "did not subtract")
def infer_not_centered(z, mean, var, gamma, beta, eps):
    return shaped(gamma, z) * z / torch.sqrt(shaped(var, z) + eps) + shaped(beta, z)


@wrong("eval-inference", "for a standard deviation")
def infer_squares(z, mean, var, gamma, beta, eps):
    return infer_view(z, mean, var**2, gamma, beta, eps)


# --- eval-running-update ------------------------------------------------------------------------------


def statistics(z):
    dims = [0] if z.dim() == 2 else [0, 2, 3]
    return z.mean(dims), z.var(dims)


@right("eval-running-update")
def update_returned(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var


@right("eval-running-update")
def update_in_place(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    running_mean.mul_(1 - momentum).add_(momentum * mean)
    running_var += momentum * (var - running_var)


@right("eval-running-update")
def update_half_in_place(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    running_mean.lerp_(mean, momentum)
    return running_mean, (1 - momentum) * running_var + momentum * var


@right("eval-running-update")
def update_by_hand(running_mean, running_var, z, momentum):
    new_mean, new_var = running_mean.clone(), running_var.clone()
    for c in range(z.shape[1]):
        values = z[:, c].flatten()
        n, mu = len(values), values.mean()
        new_mean[c] += momentum * (mu - running_mean[c])
        new_var[c] += momentum * (((values - mu) ** 2).sum() / (n - 1) - running_var[c])
    return new_mean, new_var


@wrong("eval-running-update", "biased variance")
def update_biased(running_mean, running_var, z, momentum):
    dims = [0] if z.dim() == 2 else [0, 2, 3]
    mean, var = z.mean(dims), z.var(dims, unbiased=False)
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var


@wrong("eval-running-update", "Keras")
def update_keras(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    return momentum * running_mean + (1 - momentum) * mean, momentum * running_var + (1 - momentum) * var


@wrong("eval-running-update", "standard deviations")
def update_std(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var.sqrt()


@wrong("eval-running-update", "without shrinking")
def update_grows(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    running_mean += momentum * mean
    running_var += momentum * var


@wrong("eval-running-update", "no effect")
def update_replaces(running_mean, running_var, z, momentum):
    return statistics(z)


@wrong("eval-running-update", "each pixel")
def update_pixels(running_mean, running_var, z, momentum):
    mean, _ = statistics(z)
    var = z.var(0) if z.dim() == 2 else z.var(0).mean((1, 2))
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var


@wrong("eval-running-update", "around the running mean")
def update_old_mean(running_mean, running_var, z, momentum):
    mean, _ = statistics(z)
    values = z.transpose(0, 1).flatten(1)
    var = ((values - running_mean[:, None]) ** 2).sum(1) / (values.shape[1] - 1)
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var


# --- eval-algorithm-2 ---------------------------------------------------------------------------------


@right("eval-algorithm-2")
def algorithm_unbiased(batches):
    return batches.mean((0, 1)), batches.var(1).mean(0)


@right("eval-algorithm-2")
def algorithm_by_torch(batches):
    bn = nn.BatchNorm1d(batches.shape[2], momentum=None)
    for batch in batches:
        bn(batch)
    return bn.running_mean, bn.running_var


@right("eval-algorithm-2")
def algorithm_loop(batches):
    k, m, channels = batches.shape
    mean, var = torch.zeros(channels), torch.zeros(channels)
    for batch in batches:
        mu = batch.sum(0) / m
        mean += mu / k
        var += ((batch - mu) ** 2).sum(0) / (m - 1) / k
    return mean, var


@wrong("eval-algorithm-2", "pooled")
def algorithm_pooled(batches):
    values = batches.reshape(-1, batches.shape[2])
    return values.mean(0), values.var(0)


@wrong("eval-algorithm-2", "lacks the factor")
def algorithm_biased(batches):
    return batches.mean((0, 1)), batches.var(1, unbiased=False).mean(0)


@wrong("eval-algorithm-2", "upside down")
def algorithm_upside_down(batches):
    m = batches.shape[1]
    return batches.mean((0, 1)), (m - 1) / m * batches.var(1, unbiased=False).mean(0)


@wrong("eval-algorithm-2", "standard deviations")
def algorithm_std(batches):
    return batches.mean((0, 1)), batches.std(1).mean(0) ** 2


@wrong("eval-algorithm-2", "between the means")
def algorithm_between(batches):
    return batches.mean(1).mean(0), batches.mean(1).var(0)


@wrong("eval-algorithm-2", "moving average")
def algorithm_moving(batches):
    bn = nn.BatchNorm1d(batches.shape[2])
    for batch in batches:
        bn(batch)
    return bn.running_mean, bn.running_var


# --- eval-fold ----------------------------------------------------------------------------------------


def rows(scale, weight):
    return scale.reshape(-1, *[1] * (weight.dim() - 1))


@right("eval-fold")
def fold_formula(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return rows(scale, weight) * weight, beta + scale * (bias - mean)


@right("eval-fold")
def fold_loop(weight, bias, mean, var, gamma, beta, eps):
    weight, bias = weight.clone(), bias.clone()
    for c in range(len(bias)):
        factor = gamma[c] / (var[c] + eps) ** 0.5
        weight[c] *= factor
        bias[c] = (bias[c] - mean[c]) * factor + beta[c]
    return weight, bias


@right("eval-fold")
def fold_by_probing(weight, bias, mean, var, gamma, beta, eps):
    def both(z):
        return gamma * (z - mean) / (var + eps).sqrt() + beta

    flat = weight.flatten(1)
    columns = [both(flat[:, k] + bias) - both(bias) for k in range(flat.shape[1])]
    return torch.stack(columns, 1).view_as(weight), both(bias)


@wrong("eval-fold", "bias is not multiplied")
def fold_bias(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return rows(scale, weight) * weight, bias + beta - scale * mean


@wrong("eval-fold", "own bias is gone")
def fold_no_bias(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return rows(scale, weight) * weight, beta - scale * mean


@wrong("eval-fold", "after scaling")
def fold_mean(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return rows(scale, weight) * weight, scale * bias - mean + beta


@wrong("eval-fold", "scaled beta")
def fold_beta(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return rows(scale, weight) * weight, scale * (bias - mean + beta)


@wrong("eval-fold", "added the running mean")
def fold_plus(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return rows(scale, weight) * weight, scale * (bias + mean) + beta


@wrong("eval-fold", "no eps")
def fold_no_eps(weight, bias, mean, var, gamma, beta, eps):
    return fold_formula(weight, bias, mean, var, gamma, beta, 0)


@wrong("eval-fold", "divided by the variance")
def fold_variance(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / (var + eps)
    return rows(scale, weight) * weight, beta + scale * (bias - mean)


@wrong("eval-fold", "lacks gamma")
def fold_no_gamma(weight, bias, mean, var, gamma, beta, eps):
    return fold_formula(weight, bias, mean, var, 1 + 0 * gamma, beta, eps)


@wrong("eval-running-update", "counts images")
def update_batch_size(running_mean, running_var, z, momentum):
    dims, n = [d for d in range(z.dim()) if d != 1], z.shape[0]
    running_mean = (1 - momentum) * running_mean + momentum * z.mean(dims)
    running_var = (1 - momentum) * running_var + momentum * n / (n - 1) * z.var(dims, unbiased=False)
    return running_mean, running_var


@wrong("eval-algorithm-2", "comes in twice")
def algorithm_twice(batches):
    m = batches.shape[1]
    return batches.mean(1).mean(0), m / (m - 1) * batches.var(1).mean(0)


@wrong("eval-algorithm-2", "number of batches")
def algorithm_batches(batches):
    k = len(batches)
    return batches.mean(1).mean(0), k / (k - 1) * batches.var(1, unbiased=False).mean(0)


@wrong("eval-fold", "running mean is missing")
def fold_forgets_mean(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return torch.einsum("o,o...->o...", scale, weight), bias * scale + beta


@wrong("eval-fold", "left the bias as it was")
def fold_weight_only(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return torch.einsum("o,o...->o...", scale, weight), bias


# --- from a second look: what else students write -----------------------------------------------------


@wrong("eval-warm-up", "exchanged the two")
def warm_exchanged(rho, t, variance):
    kept = (1 - rho) ** t
    return kept * variance + (1 - kept)


@right("eval-inference")
def infer_each_alone(z, mean, var, gamma, beta, eps):
    """One example at a time, by a layer in eval mode."""
    bn = (nn.BatchNorm2d if z.dim() == 4 else nn.BatchNorm1d)(z.shape[1], eps=eps).eval()
    with torch.no_grad():
        for own, value in zip(
            (bn.running_mean, bn.running_var, bn.weight, bn.bias), (mean, var, gamma, beta), strict=True
        ):
            own.copy_(value)
    return torch.cat([bn(one[None]) for one in z])


@wrong("eval-inference", "1e-5 in place")
def infer_fixed_eps(z, mean, var, gamma, beta, eps):
    return infer_view(z, mean, var, gamma, beta, 1e-5)


@wrong("eval-inference", "lacks gamma")
def infer_no_gamma(z, mean, var, gamma, beta, eps):
    return infer_view(z, mean, var, torch.ones_like(gamma), beta, eps)


@wrong("eval-inference", "lacks beta")
def infer_no_beta(z, mean, var, gamma, beta, eps):
    return infer_view(z, mean, var, gamma, 0 * beta, eps)


@wrong("eval-inference", "multiplied beta by gamma")
def infer_brackets(z, mean, var, gamma, beta, eps):
    return shaped(gamma, z) * ((z - shaped(mean, z)) / torch.sqrt(shaped(var, z) + eps) + shaped(beta, z))


@wrong("eval-inference", "mixed up")
def infer_swapped(z, mean, var, gamma, beta, eps):
    return infer_view(z, mean, var, beta, gamma, eps)


@right("eval-running-update")
def update_by_torch(running_mean, running_var, z, momentum):
    nn.functional.batch_norm(z, running_mean, running_var, training=True, momentum=momentum)


def moved(old, new, momentum):
    return (1 - momentum) * old + momentum * new


@wrong("eval-running-update", "just updated")
def update_new_mean(running_mean, running_var, z, momentum):
    mean, _ = statistics(z)
    running_mean.lerp_(mean, momentum)
    values = z.transpose(0, 1).flatten(1)
    var = ((values - running_mean[:, None]) ** 2).sum(1) / (values.shape[1] - 1)
    running_var.lerp_(var, momentum)


@wrong("eval-running-update", "comes in twice")
def update_corrected_twice(running_mean, running_var, z, momentum):
    (mean, var), n = statistics(z), z.numel() / z.shape[1]
    return moved(running_mean, mean, momentum), moved(running_var, var * n / (n - 1), momentum)


@wrong("eval-running-update", "each image by itself")
def update_images(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    if z.dim() == 4:
        var = z.var((2, 3)).mean(0)
    return moved(running_mean, mean, momentum), moved(running_var, var, momentum)


@wrong("eval-running-update", "mean of the squares")
def update_squares(running_mean, running_var, z, momentum):
    mean, _ = statistics(z)
    return moved(running_mean, mean, momentum), moved(running_var, statistics(z * z)[0], momentum)


@wrong("eval-running-update", "Every channel has its own")
def update_one_number(running_mean, running_var, z, momentum):
    return moved(running_mean, z.mean(), momentum), moved(running_var, z.var(), momentum)


@wrong("eval-running-update", "left `running_var`")
def update_mean_only(running_mean, running_var, z, momentum):
    return moved(running_mean, statistics(z)[0], momentum), running_var


@wrong("eval-running-update", "changed places")
def update_exchanged(running_mean, running_var, z, momentum):
    return update_returned(running_mean, running_var, z, momentum)[::-1]


@right("eval-algorithm-2")
def algorithm_einsum(batches):
    k, m, _ = batches.shape
    c = batches - batches.mean(1, keepdim=True)
    return torch.einsum("kmc->c", batches) / (k * m), torch.einsum("kmc,kmc->c", c, c) / (k * (m - 1))


@wrong("eval-algorithm-2", "divided by its size")
def algorithm_pooled_biased(batches):
    second = batches.square().mean((0, 1))
    return batches.mean((0, 1)), second - batches.mean((0, 1)) ** 2


@wrong("eval-algorithm-2", "Asked for is a variance")
def algorithm_deviation(batches):
    return batches.mean((0, 1)), batches.std(1).mean(0)


@wrong("eval-algorithm-2", "across the batches")
def algorithm_wrong_axis(batches):
    return batches.mean((0, 1)), batches.var(0).mean(0)


@wrong("eval-algorithm-2", "changed places")
def algorithm_exchanged(batches):
    return batches.var(1).mean(0), batches.mean((0, 1))


@right("eval-fold")
def fold_parameters(weight, bias, mean, var, gamma, beta, eps):
    weight, bias = fold_formula(weight, bias, mean, var, gamma, beta, eps)
    return nn.Parameter(weight), nn.Parameter(bias)


@wrong("eval-fold", "eps to the deviation")
def fold_eps_outside(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / (var.sqrt() + eps)
    return rows(scale, weight) * weight, beta + scale * (bias - mean)


@wrong("eval-fold", "1e-5 in place")
def fold_fixed_eps(weight, bias, mean, var, gamma, beta, eps):
    return fold_formula(weight, bias, mean, var, gamma, beta, 1e-5)


@wrong("eval-fold", "lacks beta")
def fold_no_beta(weight, bias, mean, var, gamma, beta, eps):
    return fold_formula(weight, bias, mean, var, gamma, 0 * beta, eps)


@wrong("eval-fold", "left the weight as it was")
def fold_bias_only(weight, bias, mean, var, gamma, beta, eps):
    return weight, fold_formula(weight, bias, mean, var, gamma, beta, eps)[1]
