"""Exercises about BatchNorm while training."""

import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import (
    Operations,
    and_borrowed,
    between,
    normal,
    own_work,
    parts_of,
    sizes,
    uniform,
)

# --- forward ------------------------------------------------------------------------------------------


def _vectors(*, generator: torch.Generator) -> Inputs:
    """A small batch, and an eps as large as the variance, so that its place shows."""
    n, channels = sizes(2, 2, 5, generator=generator)
    gamma, beta = normal(2, channels, generator=generator)
    return normal(n, channels, generator=generator, mean=2), gamma, beta, uniform(0.3, 1, generator=generator)


def _images(*, generator: torch.Generator) -> Inputs:
    n, channels, height, width = sizes(4, 2, 6, generator=generator)
    gamma, beta = normal(2, channels, generator=generator)
    z = normal(n, channels, height, width, generator=generator, mean=2)
    return z, gamma, beta, uniform(0.3, 1, generator=generator)


def _all_but_channels(z: Tensor) -> list[int]:
    return [dim for dim in range(z.dim()) if dim != 1]


def _normalize(
    *,
    over: Function = _all_but_channels,
    correction: int = 0,
    center: Function = lambda mean: mean,
    divisor: Function = lambda mean, var, eps: (var + eps).sqrt(),
    scale: Function = lambda gamma, beta: gamma,
    shift: Function = lambda gamma, beta: beta,
) -> Function:
    """BatchNorm with the batch's statistics, right unless told otherwise."""

    def batch_norm(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        mean, var = z.mean(over(z), keepdim=True), z.var(over(z), correction=correction, keepdim=True)
        z_hat = (z - center(mean)) / divisor(mean, var, eps)
        rows = (1, -1, *[1] * (z.dim() - 2))
        result: Tensor = scale(gamma, beta).view(rows) * z_hat + shift(gamma, beta).view(rows)
        return result

    return batch_norm


def _reshaped(z: Tensor, *others: Any) -> Tensor:
    """Takes the first values of the tensor for the first channel."""
    rows: Tensor = _normalize()(z.reshape(1, z.shape[1], -1), *others)
    return rows.reshape(z.shape)


def _along_the_width(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Leaves gamma and beta in the shape that they have."""
    ones = torch.ones_like(gamma)
    z_hat: Tensor = _normalize()(z, ones, 0 * ones, eps)
    return gamma * z_hat + beta


def _ready_made(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return functional.batch_norm(z, None, None, gamma, beta, training=True, eps=eps)


@exercise(
    "bn-forward",
    rtol=1e-6,  # an eps of 1e-5 in place of none shows
    inputs=(_vectors, _images),
    observe=own_work,
    describe=and_borrowed("output"),
    right="your function agrees with PyTorch's, for vectors and images, in float64 and float32.",
    mistakes={
        "You averaged over the features of each row. BatchNorm averages each feature over the batch: dim=0 for "
        "vectors, and every dimension but 1 for images.": _normalize(over=lambda z: list(range(1, z.dim()))),
        "You averaged over the batch only, so every pixel has its own statistics. In an image the pixels of a channel "
        "count as part of the batch: average over dimensions 0, 2 and 3.": _normalize(over=lambda z: [0]),
        "You gave every image its own statistics: yours are over dimensions 2 and 3. BatchNorm averages over the "
        "images, too: dimensions 0, 2 and 3.": _normalize(over=lambda z: list(range(2, z.dim())) or [0]),
        "You used one mean and one variance for the whole tensor. Every channel has its own.": _normalize(
            over=lambda z: list(range(z.dim()))
        ),
        "You divided the squares by m - 1. BatchNorm normalizes by the biased variance, divided by m: "
        "var(..., correction=0). The unbiased one is for the running statistics.": _normalize(correction=1),
        "You added eps to the standard deviation. It belongs under the root: sqrt(var + eps).": _normalize(
            divisor=lambda mean, var, eps: var.sqrt() + eps
        ),
        "Two things: `std` and `var` divide by m - 1 unless you say correction=0, and eps belongs under the root: "
        "sqrt(var + eps).": _normalize(correction=1, divisor=lambda mean, var, eps: var.sqrt() + eps),
        "You wrote 1e-5 in place of the `eps` that is given.": _normalize(
            divisor=lambda mean, var, eps: (var + 1e-5).sqrt()
        ),
        "Your result has no eps. Add it to the variance, under the root.": _normalize(
            divisor=lambda mean, var, eps: var.sqrt()
        ),
        "You divided by the variance. Divide by its root, the standard deviation.": _normalize(
            divisor=lambda mean, var, eps: var + eps
        ),
        "You did not subtract the mean of the channel before dividing.": _normalize(center=torch.zeros_like),
        "Your variance is the mean of the squares. Subtract the mean first: the variance is the mean square of "
        "z - mean.": _normalize(divisor=lambda mean, var, eps: (var + mean.square() + eps).sqrt()),
        "Your result is z_hat. The last line is missing: gamma * z_hat + beta, per channel.": (
            _normalize(scale=lambda gamma, beta: torch.ones_like(gamma), shift=lambda gamma, beta: 0 * beta)
        ),
        "Your result lacks beta: gamma * z_hat + beta, per channel.": _normalize(shift=lambda gamma, beta: 0 * beta),
        "Your result lacks gamma: gamma * z_hat + beta, per channel.": _normalize(
            scale=lambda gamma, beta: torch.ones_like(gamma)
        ),
        "You reshaped to one row for each channel without swapping dimensions 0 and 1 first. So a row holds values of "
        "several channels.": _reshaped,
        "You multiplied beta by gamma, too. It is added last, as it is.": _normalize(
            shift=lambda gamma, beta: gamma * beta
        ),
        "You mixed up gamma and beta: gamma multiplies, beta is added.": _normalize(
            scale=lambda gamma, beta: beta, shift=lambda gamma, beta: gamma
        ),
        "You let torch normalize for you. The numbers are right, but the exercise is to write the layer yourself, from "
        "means and variances.": _ready_made,
        "For images, gamma and beta of the shape (C,) are aligned with the last dimension, the width. Channels are "
        "dimension 1: give both the shape (1, C, 1, 1).": _along_the_width,
    },
)
def bn_forward(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """BatchNorm in training."""
    result: Tensor = _normalize()(z, gamma, beta, eps)
    return result


# --- backward -----------------------------------------------------------------------------------------

Gradients = tuple[Tensor, Tensor, Tensor]


def _gradients(*, generator: torch.Generator) -> Inputs:
    """A gradient that arrives, and what the forward pass had; few values, so that they can be printed."""
    m, channels = 4 + between(0, 2, generator=generator), 2  # not 3 rows: three things are asked for
    d_y = normal(m, channels, generator=generator, mean=1)
    z = normal(m, channels, generator=generator, mean=2, std=2)
    return d_y, z, normal(channels, generator=generator), uniform(0.3, 1, generator=generator)


def _backward(
    *,
    through_mean: float = 1,
    through_var: float = 1,
    factor: Function = lambda gamma, s: gamma * s,
    correction: int = 0,
    eps_used: Function = lambda eps: eps,
    normalized: Function = lambda centered, s: centered * s,
    d_gamma: Function = lambda d_y, z, z_hat, gamma: (d_y * z_hat).sum(0),
    d_beta: Function = lambda d_y, gamma: d_y.sum(0),
) -> Function:
    """The chapter's three lines, right unless told otherwise: ``through_...`` multiply the ways through statistics."""

    def gradients(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
        s = (z.var(0, correction=correction) + eps_used(eps)).rsqrt()
        z_hat = normalized(z - z.mean(0), s)
        bracket = d_y - through_mean * d_y.mean(0) - through_var * z_hat * (d_y * z_hat).mean(0)
        return factor(gamma, s) * bracket, d_gamma(d_y, z, z_hat, gamma), d_beta(d_y, gamma)

    return gradients


def _sums_in_bracket(d_y: Tensor, *others: Any) -> Gradients:
    gradients: Gradients = _backward(through_mean=len(d_y), through_var=len(d_y))(d_y, *others)
    return gradients


def _exchanged(*inputs: Any) -> Gradients:
    d_z, d_gamma, d_beta = _backward()(*inputs)
    return d_z, d_beta, d_gamma


def _by_autograd(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    leaf, scale, shift = (value.detach().clone().requires_grad_() for value in (z, gamma, torch.zeros_like(gamma)))
    y = functional.batch_norm(leaf, None, None, scale, shift, training=True, eps=eps)
    d_z, d_gamma, d_beta = torch.autograd.grad(y, (leaf, scale, shift), d_y)
    return d_z, d_gamma, d_beta


def _by_hand(answer: Function, d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> list[Any]:
    """What an answer returns, and whether it let autograd do the work."""
    with Operations() as seen:
        result = answer(d_y, z, gamma, eps)
    return [result, seen.differentiates]


def _three(raw: list[Any], *inputs: Any) -> Outcome:
    result, borrowed = raw
    return parts_of(result, "d_z", "d_gamma", "d_beta") | {"uses autograd": borrowed}


@exercise(
    "bn-backward",
    inputs=_gradients,
    observe=_by_hand,
    describe=_three,
    parts=("d_z", "d_gamma", "d_beta"),
    required=("uses autograd",),
    right="all three gradients are those of autograd.",
    mistakes={
        "Your d_z treats mean and variance as constants: it is gamma * s * d_y. Both are made from z, so the gradient "
        "flows through them, too.": _backward(through_mean=0, through_var=0),
        "Your d_z lacks the path through the variance, the term with z_hat * mean(d_y * z_hat).": _backward(
            through_var=0
        ),
        "Your d_z lacks the path through the mean, the term mean(d_y).": _backward(through_mean=0),
        "The term of the variance is twice as large as it should be. The 2 of the square and the one half of the root "
        "cancel.": _backward(through_var=2),
        "The term of the variance is half as large as it should be. The 2 of the square and the one half of the root "
        "cancel.": _backward(through_var=0.5),
        "You divided by m - 1 in the bracket. Both terms are means over the batch, of m values.": lambda d_y, *others: (
            _backward(through_mean=len(d_y) / (len(d_y) - 1), through_var=len(d_y) / (len(d_y) - 1))(d_y, *others)
        ),
        "Your d_z lacks the factor gamma: the gradient passes gamma before it reaches z_hat.": _backward(
            factor=lambda gamma, s: s
        ),
        "Your d_z lacks the factor s = 1 / sqrt(var + eps), by which z_hat depends on z.": _backward(
            factor=lambda gamma, s: gamma
        ),
        "Your d_z subtracts sums over the batch. mean and var divide by m, so subtract means.": _sums_in_bracket,
        "Your variance divides by m - 1. The forward pass normalizes by the biased one: "
        "var(0, correction=0).": _backward(correction=1),
        "Your gradients have no eps: s = 1 / sqrt(var + eps), in d_z and in z_hat.": _backward(eps_used=lambda eps: 0),
        "The path through the variance has the wrong sign in your d_z: z_hat * mean(d_y * z_hat) "
        "is subtracted.": _backward(through_var=-1),
        "You took z - mean for z_hat. Divide it by the standard deviation: z_hat = s * (z - mean).": _backward(
            normalized=lambda centered, s: centered
        ),
        "Your d_beta has a factor gamma. beta is added last: its derivative is 1.": _backward(
            d_beta=lambda d_y, gamma: gamma * d_y.sum(0)
        ),
        "d_gamma and d_beta have changed places: d_gamma comes second, d_beta third.": _exchanged,
        "You averaged d_gamma and d_beta over the batch. Each example adds its share: they are sums.": _backward(
            d_gamma=lambda d_y, z, z_hat, gamma: (d_y * z_hat).mean(0), d_beta=lambda d_y, gamma: d_y.mean(0)
        ),
        "Your d_gamma multiplies d_y by z. What gamma multiplied in the forward pass is z_hat.": _backward(
            d_gamma=lambda d_y, z, z_hat, gamma: (d_y * z).sum(0)
        ),
        "Your d_gamma has a factor gamma. The output is linear in gamma: its derivative is z_hat.": _backward(
            d_gamma=lambda d_y, z, z_hat, gamma: gamma * (d_y * z_hat).sum(0)
        ),
        "You let autograd do the work. The gradients are right, but the exercise is to derive them and compute them "
        "yourself.": _by_autograd,
        "You multiplied by the standard deviation. z_hat is z - mean divided by it, so the gradient is divided, "
        "too.": _backward(factor=lambda gamma, s: gamma / s),
    },
)
def bn_backward(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    """The three gradients."""
    gradients: Gradients = _backward()(d_y, z, gamma, eps)
    return gradients


# --- a broken layer -----------------------------------------------------------------------------------


def _pass(*, generator: torch.Generator) -> Inputs:
    m, channels = sizes(2, 3, 6, generator=generator)
    z = normal(m, channels, generator=generator, mean=2)
    z[:, 0] *= 0.05  # so that it shows where eps is added
    return z, normal(m, channels, generator=generator, mean=1)


def _forward_and_backward(kind: Function, z: Tensor, d_y: Tensor) -> Outcome:
    """Everything that a forward and a backward pass through a new layer leave behind."""
    layer, leaf = kind(z.shape[1]), z.detach().clone().requires_grad_()
    known = list(layer.parameters())
    y = layer(leaf)
    learned = sum(parameter.numel() for parameter in layer.parameters())
    y.backward(d_y)
    return {
        "output": y,
        "gradient of z": leaf.grad,
        "gradient of gamma": None if layer.gamma.grad is None else layer.gamma.grad.flatten(),
        "gradient of beta": None if layer.beta.grad is None else layer.beta.grad.flatten(),
        "learned numbers": learned,
        "parameters stay the same objects": all(map(operator.is_, known, layer.parameters())),
    }


def _unchanged(value: Tensor) -> Tensor:
    return value


class Layer(nn.Module):
    """A BatchNorm layer, sound unless told otherwise; ``torch.detach`` cuts a path of the gradient."""

    def __init__(
        self,
        channels: int,
        gamma: Function = nn.Parameter,
        mean: Function = _unchanged,
        var: Function = _unchanged,
        z: Function = _unchanged,
        correction: int = 0,
    ) -> None:
        super().__init__()
        self.gamma, self.beta = gamma(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.of_mean, self.of_var, self.of_z, self.correction = mean, var, z, correction

    def forward(self, z: Tensor) -> Tensor:
        """Normalize a batch of shape (m, channels)."""
        z = self.of_z(z)
        mean, var = self.of_mean(z.mean(0)), self.of_var(z.var(0, correction=self.correction))
        result: Tensor = self.gamma * (z - mean) / (var + 1e-5).sqrt() + self.beta
        return result


class Outside(Layer):
    """A layer that adds eps to the standard deviation."""

    def forward(self, z: Tensor) -> Tensor:
        """Normalize a batch of shape (m, channels)."""
        result: Tensor = self.gamma * (z - z.mean(0)) / (z.var(0, correction=0).sqrt() + 1e-5) + self.beta
        return result


class Deaf(Layer):
    """A layer whose scale is used without gradient."""

    def forward(self, z: Tensor) -> Tensor:
        """Normalize a batch of shape (m, channels)."""
        result: Tensor = self.gamma.detach() * (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() + self.beta
        return result


class Forgetful(Layer):
    """A layer that makes its scale anew in each pass."""

    def forward(self, z: Tensor) -> Tensor:
        """Normalize a batch of shape (m, channels)."""
        self.gamma = nn.Parameter(torch.ones_like(self.gamma))
        return super().forward(z)


@exercise(
    "bn-broken-layer",
    inputs=_pass,
    observe=_forward_and_backward,
    right="output, gradients and parameters are those of a sound layer.",
    mistakes={
        "gamma is still a plain tensor: an optimizer does not see it. Make it an nn.Parameter, as "
        "beta is.": lambda channels: Layer(channels, gamma=_unchanged),
        "The statistics are still computed without gradient, so the gradient of z does not add up to 0 over the "
        "batch.": lambda channels: Layer(channels, mean=torch.detach, var=torch.detach),
        "No gradient reaches z at all: z_hat is computed without gradient, too. Nothing in `forward` needs `no_grad` "
        "or `detach`.": lambda channels: Layer(channels, z=torch.detach),
        "The variance is still computed without gradient: the gradient of z adds up to 0 now, but is not orthogonal "
        "to z_hat.": lambda channels: Layer(channels, var=torch.detach),
        "The mean is still computed without gradient, so the gradient of z does not add up to 0. The path through the "
        "variance is open.": lambda channels: Layer(channels, mean=torch.detach),
        "You make new parameters in `forward`, so what an optimizer learns is lost in the next pass. Make them in "
        "`__init__`.": Forgetful,
        "You now use the unbiased variance, and the output has changed. Normalize "
        "with correction=0.": lambda channels: Layer(channels, correction=1),
        "You added eps to the standard deviation. It belongs under the root: sqrt(var + eps).": Outside,
        "gamma is a parameter now, and gets no gradient: `forward` uses it through `.data`, `detach` or `no_grad`. "
        "Multiply by `self.gamma` itself.": Deaf,
    },
)
def bn_broken_layer(channels: int) -> nn.Module:
    """A sound layer."""
    return Layer(channels)


# --- numbers ------------------------------------------------------------------------------------------


def _batch_size(*, generator: torch.Generator) -> Inputs:
    return (between(6, 60, generator=generator),)


@exercise(
    "bn-largest-output",
    inputs=_batch_size,
    rtol=3e-3,
    rtol32=None,
    right="no value of such a batch can lie farther out, and one outlier comes as close to it as you like.",
    mistakes={
        "That is the square root of m. The outlier is part of the mean, too: only m - 1 values balance it.": lambda m: (
            m**0.5
        ),
        "That is m - 1. The outlier also determines the standard deviation; take the square root.": lambda m: m - 1,
        "A standard deviation of 1 puts no bound on a single value: one outlier can lie far beyond all the "
        "others.": lambda m: 1.0,
        "That is the bound with the unbiased variance, (m - 1) / sqrt(m). BatchNorm divides the sum of squares by "
        "m.": lambda m: (m - 1) / m**0.5,
        "That is the value of the others. The exercise asks for the outlier's.": lambda m: -((m - 1) ** -0.5),
    },
)
def bn_largest_output(m: int) -> float:
    """The bound for a batch of m values."""
    return float((m - 1) ** 0.5)
