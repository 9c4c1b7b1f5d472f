import math

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong

# --- bn-forward ---------------------------------------------------------------------------------------


@right("bn-forward")
def forward_keepdim(z, gamma, beta, eps):
    dims = (0, 2, 3) if z.dim() == 4 else (0,)
    shape = (1, -1, 1, 1) if z.dim() == 4 else (1, -1)
    z_hat = (z - z.mean(dims, keepdim=True)) / torch.sqrt(z.var(dims, unbiased=False, keepdim=True) + eps)
    return z_hat * gamma.reshape(shape) + beta.reshape(shape)


@right("bn-forward")
def forward_loop(z, gamma, beta, eps):
    y = torch.empty_like(z)
    for c in range(z.shape[1]):
        values = z[:, c]
        mu = values.sum() / values.numel()
        var = ((values - mu) ** 2).sum() / values.numel()
        y[:, c] = gamma[c] * (values - mu) / (var + eps) ** 0.5 + beta[c]
    return y


@right("bn-forward")
def forward_in_place(z, gamma, beta, eps):
    y = z.clone().movedim(1, -1)
    flat = y.reshape(-1, y.shape[-1])
    mean = flat.mean(0)
    var = (flat * flat).mean(0) - mean * mean
    y -= mean
    y *= gamma / torch.sqrt(var + eps)
    y += beta
    return y.movedim(-1, 1)


@right("bn-forward")
def forward_layer(z, gamma, beta, eps):
    layer = (nn.BatchNorm2d if z.dim() == 4 else nn.BatchNorm1d)(z.shape[1], eps=eps)
    layer.load_state_dict({"weight": gamma, "bias": beta}, strict=False)
    return layer(z)


def channels(v, z):
    return v.reshape(1, -1, *[1] * (z.dim() - 2))


def batch_dims(z):
    return [d for d in range(z.dim()) if d != 1]


@wrong("bn-forward", "dim=0")
def forward_rows(z, gamma, beta, eps):
    flat = z.reshape(len(z), -1)
    mu = flat.mean(dim=1, keepdim=True)
    sigma = torch.sqrt(((flat - mu) ** 2).mean(dim=1, keepdim=True) + eps)
    return channels(gamma, z) * ((flat - mu) / sigma).reshape(z.shape) + channels(beta, z)


@wrong("bn-forward", "pixels")
def forward_each_pixel(z, gamma, beta, eps):
    mu = z.mean(0)
    var = ((z - mu) ** 2).mean(0)
    return channels(gamma, z) * (z - mu) / (var + eps).sqrt() + channels(beta, z)


@wrong("bn-forward", "whole tensor")
def forward_one_number(z, gamma, beta, eps):
    z_hat = (z - z.mean()) / torch.sqrt(((z - z.mean()) ** 2).mean() + eps)
    return channels(gamma, z) * z_hat + channels(beta, z)


@wrong("bn-forward", "biased variance")
def forward_unbiased(z, gamma, beta, eps):
    mu, var = z.mean(batch_dims(z), keepdim=True), z.var(batch_dims(z), keepdim=True)
    return (z - mu) / torch.sqrt(var + eps) * channels(gamma, z) + channels(beta, z)


@wrong("bn-forward", "under the root: sqrt(var + eps)")
def forward_eps_outside(z, gamma, beta, eps):
    mu, std = z.mean(batch_dims(z), keepdim=True), z.std(batch_dims(z), keepdim=True, unbiased=False)
    return channels(gamma, z) * (z - mu) / (std + eps) + channels(beta, z)


@wrong("bn-forward", "no eps")
def forward_no_eps(z, gamma, beta, eps):
    mu, std = z.mean(batch_dims(z), keepdim=True), z.std(batch_dims(z), keepdim=True, unbiased=False)
    return channels(gamma, z) * (z - mu) / std + channels(beta, z)


@wrong("bn-forward", "its root")
def forward_variance(z, gamma, beta, eps):
    mu = z.mean(batch_dims(z), keepdim=True)
    var = (z - mu).pow(2).mean(batch_dims(z), keepdim=True)
    return channels(gamma, z) * (z - mu) / (var + eps) + channels(beta, z)


@wrong("bn-forward", "did not subtract the mean")
def forward_scaled_only(z, gamma, beta, eps):
    var = z.var(batch_dims(z), keepdim=True, unbiased=False)
    return channels(gamma, z) * (z / torch.sqrt(var + eps)) + channels(beta, z)


@wrong("bn-forward", "mean of the squares")
def forward_mean_square(z, gamma, beta, eps):
    mu = z.mean(batch_dims(z), keepdim=True)
    return channels(gamma, z) * (z - mu) / ((z**2).mean(batch_dims(z), keepdim=True) + eps) ** 0.5 + channels(beta, z)


@wrong("bn-forward", "last line")
def forward_z_hat(z, gamma, beta, eps):
    mu = z.mean(batch_dims(z), keepdim=True)
    return (z - mu) / (((z - mu) ** 2).mean(batch_dims(z), keepdim=True) + eps).sqrt()


@wrong("bn-forward", "mixed up")
def forward_swapped(z, gamma, beta, eps):
    mu = z.mean(batch_dims(z), keepdim=True)
    z_hat = (z - mu) / (((z - mu) ** 2).mean(batch_dims(z), keepdim=True) + eps).sqrt()
    return channels(beta, z) * z_hat + channels(gamma, z)


# --- bn-backward --------------------------------------------------------------------------------------


@right("bn-backward")
def backward_steps(d_y, z, gamma, eps):
    m = z.shape[0]
    mean, var = z.mean(0), z.var(0, unbiased=False)
    c, s = z - mean, 1 / (var + eps).sqrt()
    d_z_hat = gamma * d_y
    d_var = (d_z_hat * c).sum(0) * -0.5 * s**3
    d_mean = (-s * d_z_hat).sum(0) + d_var * (-2 * c).mean(0)
    return d_z_hat * s + d_var * 2 * c / m + d_mean / m, (d_y * s * c).sum(0), d_y.sum(0)


@right("bn-backward")
def backward_jacobian(d_y, z, gamma, eps):
    m, n = z.shape
    d_z, d_gamma = torch.zeros_like(z), torch.zeros_like(gamma)
    for k in range(n):
        c = z[:, k] - z[:, k].mean()
        s = (c.square().mean() + eps).rsqrt()
        jacobian = s * (torch.eye(m, dtype=z.dtype) - 1 / m) - s**3 * torch.outer(c, c) / m
        d_z[:, k] = gamma[k] * jacobian @ d_y[:, k]
        d_gamma[k] = (d_y[:, k] * s * c).sum()
    return [d_z, d_gamma, d_y.sum(0)]


@right("bn-backward")
def backward_autograd(d_y, z, gamma, eps):
    z, gamma = z.clone().requires_grad_(), gamma.clone().requires_grad_()
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = gamma * (z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt() + beta
    y.backward(d_y)
    return z.grad, gamma.grad, beta.grad


def pieces(z, eps):
    c = z - z.mean(0)
    s = 1 / torch.sqrt((c**2).mean(0) + eps)
    return c * s, s


@wrong("bn-backward", "as constants")
def backward_constant(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    return d_y * gamma * s, (d_y * z_hat).sum(0), d_y.sum(0)


@wrong("bn-backward", "through the variance")
def backward_no_variance(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    d_c = d_y * gamma * s
    return d_c - d_c.mean(0), (d_y * z_hat).sum(0), d_y.sum(0)


@wrong("bn-backward", "through the mean")
def backward_no_mean(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    d_z_hat = d_y * gamma
    d_z = s * d_z_hat - s * z_hat * (d_z_hat * z_hat).sum(0) / len(z)
    return d_z, (d_y * z_hat).sum(0), d_y.sum(0)


@wrong("bn-backward", "factor gamma: the gradient passes")
def backward_no_gamma(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    return s * (d_y - d_y.mean(0) - z_hat * (d_y * z_hat).mean(0)), (d_y * z_hat).sum(0), d_y.sum(0)


@wrong("bn-backward", "factor s")
def backward_no_s(d_y, z, gamma, eps):
    z_hat, _ = pieces(z, eps)
    return gamma * (d_y - d_y.mean(0) - z_hat * (d_y * z_hat).mean(0)), (d_y * z_hat).sum(0), d_y.sum(0)


@wrong("bn-backward", "subtracts sums")
def backward_sums(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    d_gamma, d_beta = (d_y * z_hat).sum(0), d_y.sum(0)
    return gamma * s * (d_y - d_beta - z_hat * d_gamma), d_gamma, d_beta


@wrong("bn-backward", "they are sums")
def backward_means(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    d_gamma, d_beta = (d_y * z_hat).mean(0), d_y.mean(0)
    return gamma * s * (d_y - d_beta - z_hat * d_gamma), d_gamma, d_beta


@wrong("bn-backward", "multiplies d_y by z")
def backward_raw_z(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    return gamma * s * (d_y - d_y.mean(0) - z_hat * (d_y * z_hat).mean(0)), (d_y * z).sum(0), d_y.sum(0)


@wrong("bn-backward", "linear in gamma")
def backward_gamma_twice(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    d_z_hat = gamma * d_y
    return s * (d_z_hat - d_z_hat.mean(0) - z_hat * (d_z_hat * z_hat).mean(0)), (d_z_hat * z_hat).sum(0), d_y.sum(0)


# --- bn-broken-layer ----------------------------------------------------------------------------------


class Base(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))


@right("bn-broken-layer")
class LayerByHand(Base):
    def forward(self, z):
        c = z - z.mean(0)
        return c * (c.square().mean(0) + 1e-5).rsqrt() * self.gamma + self.beta


@right("bn-broken-layer")
class LayerByFunction(Base):
    def forward(self, z):
        return nn.functional.batch_norm(z, None, None, self.gamma, self.beta, training=True)


@right("bn-broken-layer")
class LayerByLayer(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.gamma, self.beta = self.norm.weight, self.norm.bias

    def forward(self, z):
        return self.norm(z)


@wrong("bn-broken-layer", "plain tensor")
class LayerPlainGamma(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = torch.ones(channels)
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, z):
        mean, var = z.mean(0), z.var(0, correction=0)
        return self.gamma * (z - mean) / (var + 1e-5).sqrt() + self.beta


@wrong("bn-broken-layer", "statistics are still computed without gradient")
class LayerNoGrad(Base):
    def forward(self, z):
        with torch.no_grad():
            mean, var = z.mean(0), z.var(0, correction=0)
        return self.gamma * (z - mean) / (var + 1e-5).sqrt() + self.beta


@wrong("bn-broken-layer", "variance is still computed without gradient")
class LayerVarDetached(Base):
    def forward(self, z):
        return self.gamma * (z - z.mean(0)) / (z.var(0, correction=0).detach() + 1e-5).sqrt() + self.beta


@wrong("bn-broken-layer", "mean is still computed without gradient")
class LayerMeanDetached(Base):
    def forward(self, z):
        with torch.no_grad():
            mean = z.mean(0)
        return self.gamma * (z - mean) / (z.var(0, correction=0) + 1e-5).sqrt() + self.beta


@wrong("bn-broken-layer", "unbiased")
class LayerUnbiased(Base):
    def forward(self, z):
        return self.gamma * (z - z.mean(0)) / (z.var(0) + 1e-5).sqrt() + self.beta


# --- values -------------------------------------------------------------------------------------------


@right("bn-largest-output")
def largest_by_root(m):
    return math.sqrt(m - 1)


@right("bn-largest-output")
def largest_measured(m):
    z = torch.zeros(m)
    z[0] = 1e6
    return ((z - z.mean()) / z.std(correction=0))[0]


@right("bn-largest-output")
def largest_rounded(m):
    return round(float(np.sqrt(m - 1)), 2)


@wrong("bn-largest-output", "root of m")
def largest_root_m(m):
    return math.sqrt(m)


@wrong("bn-largest-output", "take the root")
def largest_no_root(m):
    return m - 1


@wrong("bn-largest-output", "one outlier can be far")
def largest_one(m):
    return 1.0


@wrong("bn-largest-output", "unbiased")
def largest_unbiased(m):
    z = torch.zeros(m)
    z[0] = 1e6
    return ((z - z.mean()) / z.std())[0].item()


@right("bn-matching-rate")
def rate_squared(a, lr):
    return a * a * lr


@right("bn-matching-rate")
def rate_by_effective(a, lr):
    norm = torch.tensor([3.0, 4.0]).norm()
    return lr / norm**2 * (a * norm) ** 2


@right("bn-matching-rate")
def rate_numpy(a, lr):
    return np.float64(lr) * np.square(a)


@wrong("bn-matching-rate", "left the rate as it is")
def rate_same(a, lr):
    return lr


@wrong("bn-matching-rate", "multiplied by a")
def rate_times_a(a, lr):
    return lr * a


@wrong("bn-matching-rate", "divided by a.")
def rate_over_a(a, lr):
    return lr / a


@wrong("bn-matching-rate", "divided by a squared")
def rate_over_a_squared(a, lr):
    return lr / a**2


@right("bn-broken-layer")
class SoundRows(nn.Module):
    """Parameters as rows, which broadcast just as well."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels))
        self.beta = nn.Parameter(torch.zeros(1, channels))

    def forward(self, z):
        mean, var = z.mean(0), z.var(0, correction=0)
        return self.gamma * (z - mean) / torch.sqrt(var + 1e-5) + self.beta


@wrong("bn-forward", "every image statistics of its own")
def forward_each_image(z, gamma, beta, eps):
    if z.dim() == 2:
        return gamma * (z - z.mean(0)) / torch.sqrt(z.var(0, correction=0) + eps) + beta
    mean, var = z.mean((2, 3), keepdim=True), z.var((2, 3), correction=0, keepdim=True)
    return gamma.view(1, -1, 1, 1) * (z - mean) / torch.sqrt(var + eps) + beta.view(1, -1, 1, 1)


@wrong("bn-forward", "multiplied beta by gamma")
def forward_brackets(z, gamma, beta, eps):
    dims, shape = [d for d in range(z.dim()) if d != 1], [1, -1] + [1] * (z.dim() - 2)
    mean, var = z.mean(dims, keepdim=True), z.var(dims, correction=0, keepdim=True)
    return gamma.view(shape) * ((z - mean) / torch.sqrt(var + eps) + beta.view(shape))


@wrong("bn-backward", "divides by m - 1")
def backward_unbiased(d_y, z, gamma, eps):
    std = torch.sqrt(z.var(0) + eps)
    z_hat = (z - z.mean(0)) / std
    d_hat = d_y * gamma
    d_z = (d_hat - d_hat.mean(0) - z_hat * (d_hat * z_hat).mean(0)) / std
    return d_z, (d_y * z_hat).sum(0), d_y.sum(0)


@wrong("bn-backward", "changed places")
def backward_exchanged(d_y, z, gamma, eps):
    std = torch.sqrt(z.var(0, correction=0) + eps)
    z_hat = (z - z.mean(0)) / std
    d_hat = d_y * gamma
    d_z = (d_hat - d_hat.mean(0) - z_hat * (d_hat * z_hat).mean(0)) / std
    return d_z, d_y.sum(0), (d_y * z_hat).sum(0)


# --- from a second look: what else students write -----------------------------------------------------


@right("bn-forward")
class ForwardModule(nn.Module):
    """An object that is called, not a function."""

    def __new__(cls, z, gamma, beta, eps):
        var, mean = torch.var_mean(z, batch_dims(z), correction=0, keepdim=True)
        return (z - mean) * torch.rsqrt(var + eps) * channels(gamma, z) + channels(beta, z)


@right("bn-forward")
def forward_einsum(z, gamma, beta, eps):
    values = z.reshape(*z.shape[:2], -1)
    m = values.shape[0] * values.shape[2]
    c = values - (torch.einsum("ncp->c", values) / m)[:, None]
    scale = gamma / (torch.einsum("ncp,ncp->c", c, c) / m + eps) ** 0.5
    return torch.einsum("ncp,c->ncp", c, scale).reshape(z.shape) + channels(beta, z)


@right("bn-forward")
def forward_numpy(z, gamma, beta, eps):
    a, axes = z.numpy(), tuple(batch_dims(z))
    z_hat = (a - a.mean(axes, keepdims=True)) / np.sqrt(a.var(axes, keepdims=True) + eps)
    return torch.from_numpy(z_hat) * channels(gamma, z) + channels(beta, z)


@wrong("bn-forward", "Two things")
def forward_std_plus_eps(z, gamma, beta, eps):
    dims = batch_dims(z)
    z_hat = (z - z.mean(dims, keepdim=True)) / (z.std(dims, keepdim=True) + eps)
    return channels(gamma, z) * z_hat + channels(beta, z)


@wrong("bn-forward", "1e-5 in place")
def forward_fixed_eps(z, gamma, beta, eps):
    return nn.functional.batch_norm(z, None, None, gamma, beta, training=True)


@wrong("bn-forward", "lacks beta")
def forward_no_beta(z, gamma, beta, eps):
    return nn.functional.batch_norm(z, None, None, gamma, training=True, eps=eps)


@wrong("bn-forward", "lacks gamma")
def forward_no_gamma(z, gamma, beta, eps):
    return nn.functional.batch_norm(z, None, None, None, beta, training=True, eps=eps)


@wrong("bn-forward", "without exchanging dimensions")
def forward_reshaped(z, gamma, beta, eps):
    rows = z.reshape(z.shape[1], -1)
    rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, correction=0, keepdim=True) + eps).sqrt()
    return (gamma[:, None] * rows + beta[:, None]).reshape(z.shape)


@right("bn-backward")
def backward_named(d_y, z, gamma, eps):
    d_z, d_gamma, d_beta = backward_steps(d_y, z, gamma, eps)
    return {"d_beta": d_beta, "d_gamma": d_gamma, "d_z": d_z}


@wrong("bn-backward", "have no eps")
def backward_no_eps(d_y, z, gamma, eps):
    return backward_steps(d_y, z, gamma, 0)


@wrong("bn-backward", "wrong sign")
def backward_plus(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    return gamma * s * (d_y - d_y.mean(0) + z_hat * (d_y * z_hat).mean(0)), (d_y * z_hat).sum(0), d_y.sum(0)


@wrong("bn-backward", "z - mean for z_hat")
def backward_centered(d_y, z, gamma, eps):
    z_hat, s = pieces(z, eps)
    c = z - z.mean(0)
    return gamma * s * (d_y - d_y.mean(0) - z_hat * (d_y * z_hat).mean(0)), (d_y * c).sum(0), d_y.sum(0)


@wrong("bn-backward", "its derivative is 1")
def backward_beta_scaled(d_y, z, gamma, eps):
    d_z, d_gamma, _ = backward_steps(d_y, z, gamma, eps)
    return d_z, d_gamma, (gamma * d_y).sum(0)


@right("bn-broken-layer")
class LayerOfProperties(nn.BatchNorm1d):
    @property
    def gamma(self):
        return self.weight

    @property
    def beta(self):
        return self.bias


@wrong("bn-broken-layer", "No gradient reaches z")
class LayerAllWithoutGradient(Base):
    def forward(self, z):
        with torch.no_grad():
            z_hat = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
        return self.gamma * z_hat + self.beta
