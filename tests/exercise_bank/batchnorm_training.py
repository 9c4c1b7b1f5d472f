import math

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong

# --- bn-forward --------------------------------------------------------------------------------------


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
class ForwardModule(nn.Module):
    """An object that is called, not a function."""

    def __new__(cls, z, gamma, beta, eps):
        var, mean = torch.var_mean(z, batch_dims(z), correction=0, keepdim=True)
        return (z - mean) * torch.rsqrt(var + eps) * channels(gamma, z) + channels(beta, z)


@right("bn-forward")
def forward_numpy(z, gamma, beta, eps):
    a, axes = z.numpy(), tuple(batch_dims(z))
    z_hat = (a - a.mean(axes, keepdims=True)) / np.sqrt(a.var(axes, keepdims=True) + eps)
    return torch.from_numpy(z_hat) * channels(gamma, z) + channels(beta, z)


@wrong("bn-forward", "You let torch normalize for you")
def forward_module(z, gamma, beta, eps):
    norm = (nn.BatchNorm2d if z.dim() == 4 else nn.BatchNorm1d)(z.shape[1], eps=eps)
    with torch.no_grad():
        norm.weight.copy_(gamma)
        norm.bias.copy_(beta)
        return norm(z)


@wrong("bn-forward", "You let torch normalize for you")
def forward_through_instances(z, gamma, beta, eps):
    one = z.transpose(0, 1).reshape(1, z.shape[1], -1)
    y = nn.functional.instance_norm(one, weight=gamma, bias=beta, eps=eps)
    return y.reshape(z.transpose(0, 1).shape).transpose(0, 1)


def channels(v, z):
    return v.reshape(1, -1, *[1] * (z.dim() - 2))


def batch_dims(z):
    return [d for d in range(z.dim()) if d != 1]


class Base(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))


# --- bn-backward -------------------------------------------------------------------------------------


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


@wrong("bn-backward", "You let autograd do the work")
def backward_autograd(d_y, z, gamma, eps):
    z, gamma = z.clone().requires_grad_(), gamma.clone().requires_grad_()
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = gamma * (z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt() + beta
    y.backward(d_y)
    return z.grad, gamma.grad, beta.grad


@wrong("bn-backward", "You let autograd do the work")
def backward_jacobians(d_y, z, gamma, eps):
    def forward(z, gamma, beta):
        return gamma * (z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt() + beta

    inputs = z, gamma, torch.zeros_like(gamma)
    jacobians = torch.autograd.functional.jacobian(forward, inputs)
    return tuple(torch.einsum("mc,mc...->...", d_y, one) for one in jacobians)


@right("bn-backward")
def backward_named(d_y, z, gamma, eps):
    d_z, d_gamma, d_beta = backward_steps(d_y, z, gamma, eps)
    return {"d_beta": d_beta, "d_gamma": d_gamma, "d_z": d_z}


# --- bn-broken-layer ---------------------------------------------------------------------------------


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


@right("bn-broken-layer")
class LayerOfProperties(nn.BatchNorm1d):
    @property
    def gamma(self):
        return self.weight

    @property
    def beta(self):
        return self.bias


# --- bn-largest-output -------------------------------------------------------------------------------


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


# --- answers that a reader gave, and a check once took ------------------------------------------------


@wrong("bn-broken-layer", "in `forward`")
class NormOfThisPass(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, z):
        self.beta = nn.Parameter(torch.zeros(z.shape[1]))
        return self.gamma * (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() + self.beta


@wrong("bn-backward", "autograd do the work")
def backward_by_the_library(d_y, z, gamma, eps):
    inverse = (z.var(0, correction=0) + eps).rsqrt()
    return torch.ops.aten.native_batch_norm_backward(
        d_y, z, gamma, None, None, z.mean(0), inverse, True, eps, [True, True, True]
    )
