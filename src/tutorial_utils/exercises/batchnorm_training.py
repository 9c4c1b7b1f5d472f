"""Exercises about BatchNorm while training."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.toolbox import between, normal, sizes, uniform

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


def _normalized(
    z: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    *,
    over: list[int] | None = None,
    correction: int = 0,
) -> Tensor:
    """BatchNorm with the batch's statistics, over other dimensions or with another variance where a mistake does so."""
    dims = [dim for dim in range(z.dim()) if dim != 1] if over is None else over
    mean, var = z.mean(dims, keepdim=True), z.var(dims, correction=correction, keepdim=True)
    return _affine((z - mean) / (var + eps).sqrt(), gamma, beta)


def _affine(z_hat: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    channels = (1, -1, *[1] * (z_hat.dim() - 2))
    return gamma.view(channels) * z_hat + beta.view(channels)


def _statistics(z: Tensor) -> tuple[Tensor, Tensor]:
    dims = [dim for dim in range(z.dim()) if dim != 1]
    return z.mean(dims, keepdim=True), z.var(dims, correction=0, keepdim=True)


def _eps_outside(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    mean, var = _statistics(z)
    return _affine((z - mean) / (var.sqrt() + eps), gamma, beta)


def _divided_by_variance(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    mean, var = _statistics(z)
    return _affine((z - mean) / (var + eps), gamma, beta)


def _not_centered(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    _, var = _statistics(z)
    return _affine(z / (var + eps).sqrt(), gamma, beta)


def _second_moment(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    mean, var = _statistics(z)
    return _affine((z - mean) / (var + mean.square() + eps).sqrt(), gamma, beta)


def _each_image(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Statistics of each image by itself; of vectors, those of the batch."""
    return _normalized(z, gamma, beta, eps, over=list(range(2, z.dim())) or [0])


def _eps_outside_unbiased(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    dims = [dim for dim in range(z.dim()) if dim != 1]
    return _affine((z - z.mean(dims, keepdim=True)) / (z.std(dims, keepdim=True) + eps), gamma, beta)


def _rows_reshaped(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Takes the first values of the tensor for the first channel."""
    rows = _normalized(z.reshape(1, z.shape[1], -1), gamma, beta, eps)
    return rows.reshape(z.shape)


def _beta_scaled(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return _normalized(z, gamma, gamma * beta, eps)


def _not_affine(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return _normalized(z, torch.ones_like(gamma), torch.zeros_like(beta), eps)


@exercise(
    "bn-forward",
    inputs=(_vectors, _images),
    right="your function agrees with PyTorch's, for vectors and images, in float64 and float32.",
    mistakes=(
        Mistake(
            "You averaged over the features of each row. BatchNorm averages each feature over the batch: dim=0 for "
            "vectors, and every dimension but 1 for images.",
            lambda z, *others: _normalized(z, *others, over=list(range(1, z.dim()))),
        ),
        Mistake(
            "You averaged over the batch only, so every pixel has statistics of its own. In an image the pixels of a "
            "channel count as the batch, too: average over dimensions 0, 2 and 3.",
            lambda *inputs: _normalized(*inputs, over=[0]),
        ),
        Mistake(
            "You gave every image statistics of its own: yours are over dimensions 2 and 3. BatchNorm averages over "
            "the images, too: dimensions 0, 2 and 3.",
            _each_image,
        ),
        Mistake(
            "You used one mean and one variance for the whole tensor. Every channel has its own.",
            lambda z, *others: _normalized(z, *others, over=list(range(z.dim()))),
        ),
        Mistake(
            "You divided the squares by m - 1. BatchNorm normalizes by the biased variance, divided by m: "
            "var(..., correction=0). The unbiased one is for the running statistics.",
            lambda *inputs: _normalized(*inputs, correction=1),
        ),
        Mistake("You added eps to the deviation. It belongs under the root: sqrt(var + eps).", _eps_outside),
        Mistake(
            "Two things: `std` and `var` divide by m - 1 unless you say correction=0, and eps belongs under the root: "
            "sqrt(var + eps).",
            _eps_outside_unbiased,
        ),
        Mistake(
            "You wrote 1e-5 in place of the `eps` that is given.",
            lambda z, gamma, beta, eps: _normalized(z, gamma, beta, 1e-5),
        ),
        Mistake(
            "Your result has no eps. Add it to the variance, under the root.",
            lambda z, gamma, beta, eps: _normalized(z, gamma, beta, 0.0),
        ),
        Mistake("You divided by the variance. Divide by its root, the standard deviation.", _divided_by_variance),
        Mistake("You did not subtract the mean of the channel before dividing.", _not_centered),
        Mistake(
            "Your variance is the mean of the squares. Subtract the mean first: it is the mean square of z - mean.",
            _second_moment,
        ),
        Mistake("Your result is z_hat. The last line is missing: gamma * z_hat + beta, per channel.", _not_affine),
        Mistake(
            "Your result lacks beta: gamma * z_hat + beta, per channel.",
            lambda z, gamma, beta, eps: _normalized(z, gamma, torch.zeros_like(beta), eps),
        ),
        Mistake(
            "Your result lacks gamma: gamma * z_hat + beta, per channel.",
            lambda z, gamma, beta, eps: _normalized(z, torch.ones_like(gamma), beta, eps),
        ),
        Mistake(
            "You reshaped to one row for each channel without exchanging dimensions 0 and 1 first. So a row holds "
            "values of several channels.",
            _rows_reshaped,
        ),
        Mistake("You multiplied beta by gamma, too. It is added last, as it is.", _beta_scaled),
        Mistake(
            "You mixed up gamma and beta: gamma multiplies, beta is added.",
            lambda z, gamma, beta, eps: _normalized(z, beta, gamma, eps),
        ),
    ),
)
def bn_forward(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """BatchNorm in training, by PyTorch."""
    return functional.batch_norm(z, None, None, gamma, beta, training=True, eps=eps)


# --- backward -----------------------------------------------------------------------------------------


def _gradients(*, generator: torch.Generator) -> Inputs:
    """A gradient that arrives, and what the forward pass had; few values, so that they can be printed."""
    m, channels = 4 + between(0, 2, generator=generator), 2  # not 3 rows: three things are asked for
    d_y = normal(m, channels, generator=generator, mean=1)
    z = normal(m, channels, generator=generator, mean=2, std=2)
    return d_y, z, normal(channels, generator=generator), uniform(0.3, 1, generator=generator)


Gradients = tuple[Tensor, Tensor, Tensor]


def _one_line(
    d_y: Tensor, z: Tensor, gamma: Tensor, eps: float, through_mean: bool = True, through_var: bool = True
) -> Gradients:
    """The chapter's line for the gradient, with or without the ways through the statistics."""
    s = (z.var(0, correction=0) + eps).rsqrt()
    z_hat = s * (z - z.mean(0))
    along_mean, along_z_hat = d_y.mean(0) * through_mean, z_hat * (d_y * z_hat).mean(0) * through_var
    return gamma * s * (d_y - along_mean - along_z_hat), (d_y * z_hat).sum(0), d_y.sum(0)


def _without_gamma(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    return _one_line(d_y, z, torch.ones_like(gamma), eps)


def _without_s(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    return _one_line(d_y, z, gamma * (z.var(0, correction=0) + eps).sqrt(), eps)


def _sums_in_bracket(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    s = (z.var(0, correction=0) + eps).rsqrt()
    z_hat = s * (z - z.mean(0))
    bracket = d_y - d_y.sum(0) - z_hat * (d_y * z_hat).sum(0)
    return gamma * s * bracket, (d_y * z_hat).sum(0), d_y.sum(0)


def _means_for_parameters(*inputs: Any) -> Gradients:
    d_z, d_gamma, d_beta = _one_line(*inputs)
    return d_z, d_gamma / len(inputs[0]), d_beta / len(inputs[0])


def _along_z(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    d_z, _, d_beta = _one_line(d_y, z, gamma, eps)
    return d_z, (d_y * z).sum(0), d_beta


def _gamma_again(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    d_z, d_gamma, d_beta = _one_line(d_y, z, gamma, eps)
    return d_z, gamma * d_gamma, d_beta


def _unbiased(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    s = (z.var(0) + eps).rsqrt()
    z_hat = s * (z - z.mean(0))
    bracket = d_y - d_y.mean(0) - z_hat * (d_y * z_hat).mean(0)
    return gamma * s * bracket, (d_y * z_hat).sum(0), d_y.sum(0)


def _sign_of_variance(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    s = (z.var(0, correction=0) + eps).rsqrt()
    z_hat = s * (z - z.mean(0))
    bracket = d_y - d_y.mean(0) + z_hat * (d_y * z_hat).mean(0)
    return gamma * s * bracket, (d_y * z_hat).sum(0), d_y.sum(0)


def _centered_for_normalized(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    s, c = (z.var(0, correction=0) + eps).rsqrt(), z - z.mean(0)
    return gamma * s * (d_y - d_y.mean(0) - c * (d_y * c).mean(0)), (d_y * c).sum(0), d_y.sum(0)


def _beta_with_gamma(*inputs: Any) -> Gradients:
    d_z, d_gamma, d_beta = _one_line(*inputs)
    return d_z, d_gamma, inputs[2] * d_beta


def _exchanged(*inputs: Any) -> Gradients:
    d_z, d_gamma, d_beta = _one_line(*inputs)
    return d_z, d_beta, d_gamma


@exercise(
    "bn-backward",
    inputs=_gradients,
    parts=("d_z", "d_gamma", "d_beta"),
    right="all three gradients are those of autograd.",
    mistakes=(
        Mistake(
            "Your d_z treats mean and variance as constants: it is gamma * s * d_y. Both are made from z, so the "
            "gradient flows through them, too.",
            partial(_one_line, through_mean=False, through_var=False),
        ),
        Mistake(
            "Your d_z lacks the way through the variance, the term with z_hat * mean(d_y * z_hat).",
            partial(_one_line, through_var=False),
        ),
        Mistake("Your d_z lacks the way through the mean, the term mean(d_y).", partial(_one_line, through_mean=False)),
        Mistake("Your d_z lacks the factor gamma: the gradient passes gamma before it reaches z_hat.", _without_gamma),
        Mistake("Your d_z lacks the factor s = 1 / sqrt(var + eps), by which z_hat depends on z.", _without_s),
        Mistake(
            "Your d_z subtracts sums over the batch. mean and var divide by m, so means are subtracted.",
            _sums_in_bracket,
        ),
        Mistake(
            "Your variance divides by m - 1. The forward pass normalizes by the biased one: var(0, correction=0).",
            _unbiased,
        ),
        Mistake(
            "Your gradients have no eps: s = 1 / sqrt(var + eps), in d_z and in z_hat.",
            lambda d_y, z, gamma, eps: _one_line(d_y, z, gamma, 0.0),
        ),
        Mistake(
            "The way through the variance has the wrong sign in your d_z: z_hat * mean(d_y * z_hat) is subtracted.",
            _sign_of_variance,
        ),
        Mistake(
            "You took z - mean for z_hat. The deviation divides it: z_hat = s * (z - mean).", _centered_for_normalized
        ),
        Mistake("Your d_beta has a factor gamma. beta is added last: its derivative is 1.", _beta_with_gamma),
        Mistake("d_gamma and d_beta have changed places: d_gamma comes second, d_beta third.", _exchanged),
        Mistake(
            "You averaged d_gamma and d_beta over the batch. Each example adds its share: they are sums.",
            _means_for_parameters,
        ),
        Mistake("Your d_gamma multiplies d_y by z. What gamma multiplied in the forward pass is z_hat.", _along_z),
        Mistake(
            "Your d_gamma has a factor gamma. The output is linear in gamma: its derivative is z_hat.", _gamma_again
        ),
    ),
)
def bn_backward(d_y: Tensor, z: Tensor, gamma: Tensor, eps: float) -> Gradients:
    """The three gradients, by autograd."""
    leaf, scale, shift = (value.detach().clone().requires_grad_() for value in (z, gamma, torch.zeros_like(gamma)))
    y = functional.batch_norm(leaf, None, None, scale, shift, training=True, eps=eps)
    d_z, d_gamma, d_beta = torch.autograd.grad(y, (leaf, scale, shift), d_y)
    return d_z, d_gamma, d_beta


# --- a broken layer -----------------------------------------------------------------------------------


def _pass(*, generator: torch.Generator) -> Inputs:
    m, channels = sizes(2, 3, 6, generator=generator)
    return normal(m, channels, generator=generator, mean=2), normal(m, channels, generator=generator, mean=1)


def _one_pass(kind: Function, z: Tensor, d_y: Tensor) -> Outcome:
    """Everything that a forward and a backward pass through a new layer leave behind."""
    layer, leaf = kind(z.shape[1]), z.detach().clone().requires_grad_()
    y = layer(leaf)
    learned = sum(parameter.numel() for parameter in layer.parameters())
    y.backward(d_y)
    return {
        "output": y,
        "gradient of z": leaf.grad,
        "gradient of gamma": None if layer.gamma.grad is None else layer.gamma.grad.flatten(),
        "gradient of beta": None if layer.beta.grad is None else layer.beta.grad.flatten(),
        "learned numbers": learned,
    }


class Layer(nn.Module):
    """A BatchNorm layer, sound unless told otherwise.

    Args:
        channels: how many features.
        learned: whether gamma is learned.
        through_mean: whether the gradient flows through the mean.
        through_var: whether it flows through the variance.
        correction: what the variance's divisor lacks of m.
        through_z: whether any gradient flows to z.
    """

    def __init__(
        self,
        channels: int,
        learned: bool = True,
        through_mean: bool = True,
        through_var: bool = True,
        correction: int = 0,
        through_z: bool = True,
    ) -> None:
        super().__init__()
        gamma = torch.ones(channels)
        self.gamma = nn.Parameter(gamma) if learned else gamma
        self.beta = nn.Parameter(torch.zeros(channels))
        self.through_mean, self.through_var, self.correction = through_mean, through_var, correction
        self.through_z = through_z

    def forward(self, z: Tensor) -> Tensor:
        """Normalize a batch of shape (m, channels)."""
        z = z if self.through_z else z.detach()
        mean, var = z.mean(0), z.var(0, correction=self.correction)
        mean = mean if self.through_mean else mean.detach()
        var = var if self.through_var else var.detach()
        return self.gamma * (z - mean) / (var + 1e-5).sqrt() + self.beta


_constant = {"through_mean": False, "through_var": False}


@exercise(
    "bn-broken-layer",
    inputs=_pass,
    observe=_one_pass,
    right="output, gradients and parameters are those of a sound layer.",
    mistakes=(
        Mistake(
            "gamma is still a plain tensor: an optimizer does not see it. Make it an nn.Parameter, as beta is.",
            partial(Layer, learned=False),
        ),
        Mistake(
            "The statistics are still computed without gradient, so that of z does not add up to 0 over the batch.",
            partial(Layer, **_constant),
        ),
        Mistake(
            "No gradient reaches z at all: z_hat is computed without gradient, too. Nothing in `forward` needs "
            "`no_grad` or `detach`.",
            partial(Layer, through_z=False),
        ),
        Mistake(
            "The variance is still computed without gradient: that of z adds up to 0 now, but is not orthogonal to "
            "z_hat.",
            partial(Layer, through_var=False),
        ),
        Mistake(
            "The mean is still computed without gradient, so that of z does not add up to 0. The way through the "
            "variance is open.",
            partial(Layer, through_mean=False),
        ),
        Mistake(
            "You now use the unbiased variance, and the output has changed. Normalize with correction=0.",
            partial(Layer, correction=1),
        ),
    ),
)
def bn_broken_layer(channels: int) -> nn.Module:
    """A sound layer."""
    return Layer(channels)


# --- numbers ------------------------------------------------------------------------------------------


def _batch_size(*, generator: torch.Generator) -> Inputs:
    return (between(6, 30, generator=generator),)


@exercise(
    "bn-largest-output",
    value=True,
    inputs=_batch_size,
    rtol=3e-3,
    right="no value of such a batch can lie further out, and one outlier comes as close as one likes.",
    mistakes=(
        Mistake(
            "That is the root of m. The outlier is part of the mean, too: only m - 1 values balance it.",
            lambda m: m**0.5,
        ),
        Mistake("That is m - 1. The outlier also sets the deviation; take the root.", lambda m: m - 1),
        Mistake("A deviation of 1 bounds no single value: one outlier can be far beyond the others.", 1),
        Mistake(
            "That is the bound with the unbiased variance, (m - 1) / sqrt(m). BatchNorm divides by m.",
            lambda m: (m - 1) / m**0.5,
        ),
    ),
)
def bn_largest_output(m: int) -> float:
    """The bound for a batch of m values."""
    return float((m - 1) ** 0.5)


def _scale_and_rate(*, generator: torch.Generator) -> Inputs:
    return between(3, 9, generator=generator) / 2, between(2, 9, generator=generator) / 100


@exercise(
    "bn-matching-rate",
    value=True,
    inputs=_scale_and_rate,
    rtol=5e-3,
    right="the curves agree, since only the rate over the squared norm counts.",
    mistakes=(
        Mistake(
            "You left the rate as it is. With weights a times as long the gradient is smaller by "
            "a factor a, and what it must turn is longer by that factor.",
            lambda a, lr: lr,
        ),
        Mistake(
            "You multiplied by a, which makes up for the smaller gradient. The weight is longer by a, too.",
            lambda a, lr: a * lr,
        ),
        Mistake(
            "You divided by a. Longer weights have smaller gradients, so they need a larger rate.", lambda a, lr: lr / a
        ),
        Mistake(
            "You divided by a squared. Longer weights have smaller gradients, so they need a larger rate.",
            lambda a, lr: lr / a**2,
        ),
        Mistake(
            "You took the root of a. Two effects multiply, and each has the full factor a.", lambda a, lr: a**0.5 * lr
        ),
    ),
)
def bn_matching_rate(a: float, lr: float) -> float:
    """The rate at which weights times a learn as the original ones do at rate lr."""
    return a**2 * lr
