"""Exercises about BatchNorm at inference."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from tutorial_utils.exercises.registry import Inputs, Mistake, exercise
from tutorial_utils.exercises.toolbox import between, normal, sizes, uniform

Pair = tuple[Tensor, Tensor]


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (like.dim() - 2))


def _dims(z: Tensor) -> list[int]:
    return [dim for dim in range(z.dim()) if dim != 1]


# --- the warm-up --------------------------------------------------------------------------------------


def _warm_up(*, generator: torch.Generator) -> Inputs:
    """So few batches that every mistake gives another number; a variance of 1 / rho would hide one."""
    rho = (0.2, 0.25, 0.3)[between(0, 2, generator=generator)]
    return rho, between(2, 3, generator=generator), float(between(6, 12, generator=generator))


def _average(rho: float, t: int, variance: float) -> float:
    return (1 - rho) ** t + (1 - (1 - rho) ** t) * variance


@exercise(
    "eval-warm-up",
    value=True,
    inputs=_warm_up,
    rtol=3e-3,
    right="the start keeps the weight (1 - rho)^t, and the batches share the rest.",
    mistakes=(
        Mistake(
            "You took `momentum` for the weight of the old value, as Keras and Flax do. In PyTorch it is the weight of "
            "the new one.",
            lambda rho, t, variance: _average(1 - rho, t, variance),
        ),
        Mistake(
            "You left out the start, a running variance of 1 that still counts.", lambda rho, t, v: v - _rest(rho, t, v)
        ),
        Mistake("That is the weight of the start, not the running variance.", lambda rho, t, variance: (1 - rho) ** t),
        Mistake(
            "One batch too few: after t batches the start has been multiplied t times.",
            lambda r, t, v: _average(r, t - 1, v),
        ),
        Mistake(
            "That is the variance of the data. After so few batches the average is not there yet.", lambda r, t, v: v
        ),
        Mistake(
            "You exchanged the two: (1 - rho)^t is the weight of the start, which is 1, and the rest that of the "
            "batches.",
            lambda rho, t, v: v - (_average(rho, t, v) - 1),
        ),
        Mistake(
            "The weights of the batches do not add up linearly: each batch also shrinks what was there.",
            lambda r, t, v: 1 - r * t + r * t * v,
        ),
    ),
)
def eval_warm_up(rho: float, t: int, variance: float) -> float:
    """The expected running variance after t batches, from 1."""
    return _average(rho, t, variance)


def _rest(rho: float, t: int, variance: float) -> float:
    return (1 - rho) ** t * variance


# --- one update ---------------------------------------------------------------------------------------


def _vectors(*, generator: torch.Generator) -> Inputs:
    n, channels = sizes(2, 3, 5, generator=generator)
    z = normal(n, channels, generator=generator, mean=2)
    return (*_statistics(channels, generator=generator), z, uniform(0.1, 0.4, generator=generator))


def _images(*, generator: torch.Generator) -> Inputs:
    n, channels, height, width = sizes(4, 2, 6, generator=generator)
    z = normal(n, channels, height, width, generator=generator, mean=2)
    return (*_statistics(channels, generator=generator), z, uniform(0.1, 0.4, generator=generator))


def _statistics(channels: int, *, generator: torch.Generator) -> Inputs:
    return normal(channels, generator=generator), normal(channels, generator=generator).square() + 0.5


def _updated(
    mean: Tensor, var: Tensor, z: Tensor, momentum: float, correction: int = 1, over: list[int] | None = None
) -> Pair:
    dims = _dims(z) if over is None else over
    new_mean, new_var = z.mean(dims), z.var(dims, correction=correction)
    return torch.lerp(mean, new_mean, momentum), torch.lerp(var, new_var, momentum)


def _deviation(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    new_mean, _ = _updated(mean, var, z, momentum)
    return new_mean, torch.lerp(var, z.std(_dims(z)), momentum)


def _not_forgetting(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    new_mean, new_var = _updated(mean, var, z, momentum)
    return new_mean + momentum * mean, new_var + momentum * var


def _replaced(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    return _updated(mean, var, z, 1.0)


def _each_pixel(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    """Statistics of the batch for each pixel, then averaged over the pixels."""
    rest = list(range(1, z.dim() - 1))
    new_var = z.var(0).mean(rest) if rest else z.var(0)
    return torch.lerp(mean, z.mean(_dims(z)), momentum), torch.lerp(var, new_var, momentum)


def _square_around(center: Tensor, z: Tensor) -> Tensor:
    return (z - _per_channel(center, z)).square().sum(_dims(z)) / (z.numel() // z.shape[1] - 1)


def _around_the_old_mean(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    return torch.lerp(mean, z.mean(_dims(z)), momentum), torch.lerp(var, _square_around(mean, z), momentum)


def _around_the_new_mean(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    new_mean = torch.lerp(mean, z.mean(_dims(z)), momentum)
    return new_mean, torch.lerp(var, _square_around(new_mean, z), momentum)


def _corrected_once_more(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    count = z.numel() // z.shape[1]
    return torch.lerp(mean, z.mean(_dims(z)), momentum), torch.lerp(
        var, count / (count - 1) * z.var(_dims(z)), momentum
    )


def _each_image(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    """Variances of each image by itself, averaged over the images; of vectors, that of the batch."""
    inside = list(range(2, z.dim()))
    new_var = z.var(inside).mean(0) if inside else z.var(0)
    return torch.lerp(mean, z.mean(_dims(z)), momentum), torch.lerp(var, new_var, momentum)


def _second_moment(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    new_mean, _ = _updated(mean, var, z, momentum)
    return new_mean, torch.lerp(var, z.square().mean(_dims(z)), momentum)


def _one_for_all(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    return mean + momentum * (z.mean() - mean), var + momentum * (z.var() - var)


def _counted_by_images(mean: Tensor, var: Tensor, z: Tensor, momentum: float) -> Pair:
    new_mean, _ = _updated(mean, var, z, momentum)
    return new_mean, torch.lerp(var, z.var(_dims(z), correction=0) * len(z) / (len(z) - 1), momentum)


@exercise(
    "eval-running-update",
    inputs=(_vectors, _images),
    changes=(0, 1),
    observe=lambda answer, running_mean, running_var, z, momentum: answer(running_mean, running_var, z, momentum),
    parts=("running_mean", "running_var"),
    right="both statistics are those of nn.BatchNorm after one batch.",
    mistakes=(
        Mistake(
            "You averaged the biased variance. PyTorch normalizes with it, and stores the unbiased one, divided by the "
            "count less one.",
            partial(_updated, correction=0),
        ),
        Mistake(
            "You took `momentum` for the weight of the old value, as Keras and Flax do. In PyTorch it is the weight of "
            "the new one.",
            lambda mean, var, z, momentum: _updated(mean, var, z, 1 - momentum),
        ),
        Mistake("You averaged standard deviations. `running_var` holds variances.", _deviation),
        Mistake("You added the new part without shrinking the old one by (1 - momentum).", _not_forgetting),
        Mistake("You replaced the old statistics by those of the batch: momentum has no effect.", _replaced),
        Mistake(
            "You took the variance over the batch for each pixel, then averaged. All pixels of a channel are one "
            "sample: one variance over dimensions 0, 2 and 3, around one mean.",
            _each_pixel,
        ),
        Mistake(
            "Your factor n / (n - 1) counts images. Every pixel counts: n is N * H * W.",
            _counted_by_images,
        ),
        Mistake(
            "Your variance is taken around the running mean. Take it around the mean of the batch.",
            _around_the_old_mean,
        ),
        Mistake(
            "Your variance is taken around the running mean, just updated. Take it around the mean of the batch.",
            _around_the_new_mean,
        ),
        Mistake(
            "The factor n / (n - 1) comes in twice: torch's var divides by n - 1 already.",
            _corrected_once_more,
        ),
        Mistake(
            "You took the variance of each image by itself, then averaged. All pixels of a channel, of all images, are "
            "one sample.",
            _each_image,
        ),
        Mistake("Your new variance is the mean of the squares. Subtract the mean of the batch first.", _second_moment),
        Mistake("You used one mean and one variance for the whole batch. Every channel has its own.", _one_for_all),
        Mistake("You left `running_var` as it was.", lambda m, v, z, rho: (_updated(m, v, z, rho)[0], v.clone())),
        Mistake(
            "Mean and variance have changed places: `running_mean` comes first.",
            lambda *inputs: _updated(*inputs)[::-1],
        ),
    ),
)
def eval_running_update(running_mean: Tensor, running_var: Tensor, z: Tensor, momentum: float) -> Pair:
    """Both statistics after one batch, by PyTorch."""
    mean, var = running_mean.clone(), running_var.clone()
    functional.batch_norm(z, mean, var, training=True, momentum=momentum)
    return mean, var


# --- inference ----------------------------------------------------------------------------------------


def _layer(*, generator: torch.Generator, images: bool = False) -> Inputs:
    n, channels, height, width = sizes(4, 2, 6, generator=generator)
    z = normal(n, channels, *((height, width) if images else ()), generator=generator, mean=2)
    gamma, beta = normal(2, channels, generator=generator)
    return z, *_statistics(channels, generator=generator), gamma, beta, uniform(0.3, 1, generator=generator)


def _small(*, generator: torch.Generator) -> Inputs:
    return _layer(generator=generator)


def _pictures(*, generator: torch.Generator) -> Inputs:
    return _layer(generator=generator, images=True)


def _inferred(z: Tensor, mean: Tensor, scale: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    mean, scale, gamma, beta = (_per_channel(values, z) for values in (mean, scale, gamma, beta))
    return (z - mean) * scale * gamma + beta


@exercise(
    "eval-inference",
    inputs=(_small, _pictures),
    right="the output is that of nn.BatchNorm in eval mode, and the same in any company.",
    mistakes=(
        Mistake(
            "You normalized with the statistics of the batch. In use every answer would depend on its companions: take "
            "the running ones.",
            lambda z, m, v, gamma, beta, eps: functional.batch_norm(z, None, None, gamma, beta, True, 0.0, eps),
        ),
        Mistake(
            "You added eps to the deviation. It belongs under the root: sqrt(running_var + eps).",
            lambda z, m, v, gamma, beta, eps: _inferred(z, m, 1 / (v.sqrt() + eps), gamma, beta),
        ),
        Mistake(
            "You divided by the variance. Divide by its root.",
            lambda z, m, v, gamma, beta, eps: _inferred(z, m, 1 / (v + eps), gamma, beta),
        ),
        Mistake("Your result has no eps.", lambda z, m, v, gamma, beta, eps: _inferred(z, m, v.rsqrt(), gamma, beta)),
        Mistake(
            "You wrote 1e-5 in place of the `eps` that is given.",
            lambda z, m, v, gamma, beta, eps: functional.batch_norm(z, m, v, gamma, beta),
        ),
        Mistake(
            "Your result lacks gamma: gamma * z_hat + beta, per channel.",
            lambda z, m, v, gamma, beta, eps: functional.batch_norm(z, m, v, None, beta, eps=eps),
        ),
        Mistake(
            "Your result lacks beta: gamma * z_hat + beta, per channel.",
            lambda z, m, v, gamma, beta, eps: functional.batch_norm(z, m, v, gamma, eps=eps),
        ),
        Mistake(
            "You multiplied beta by gamma, too. It is added last, as it is.",
            lambda z, m, v, gamma, beta, eps: functional.batch_norm(z, m, v, gamma, gamma * beta, eps=eps),
        ),
        Mistake(
            "You mixed up gamma and beta: gamma multiplies, beta is added.",
            lambda z, m, v, gamma, beta, eps: functional.batch_norm(z, m, v, beta, gamma, eps=eps),
        ),
        Mistake(
            "You did not apply gamma and beta.",
            lambda z, m, v, gamma, beta, eps: functional.batch_norm(z, m, v, eps=eps),
        ),
        Mistake(
            "You did not subtract the running mean.",
            lambda z, m, v, gamma, beta, eps: _inferred(z, 0 * m, (v + eps).rsqrt(), gamma, beta),
        ),
        Mistake(
            "You took running_var for a standard deviation: take its root.",
            lambda z, m, v, gamma, beta, eps: _inferred(z, m, (v.square() + eps).rsqrt(), gamma, beta),
        ),
    ),
)
def eval_inference(
    z: Tensor, running_mean: Tensor, running_var: Tensor, gamma: Tensor, beta: Tensor, eps: float
) -> Tensor:
    """BatchNorm in eval mode, by PyTorch."""
    return functional.batch_norm(z, running_mean, running_var, gamma, beta, eps=eps)


# --- algorithm 2 --------------------------------------------------------------------------------------


def _batches(*, generator: torch.Generator) -> Inputs:
    """Small batches whose means differ, so that between and within can be told apart."""
    k, m, channels = sizes(3, 2, 4, generator=generator)
    shift = normal(k, 1, channels, generator=generator)
    return (normal(k, m, channels, generator=generator) + shift,)


def _algorithm2(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.var(1).mean(0)


def _pooled(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.flatten(0, 1).var(0)


def _pooled_biased(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.flatten(0, 1).var(0, correction=0)


def _mean_deviation(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.std(1).mean(0)


def _across_batches(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.var(0).mean(0)


def _biased(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.var(1, correction=0).mean(0)


def _shrunk(batches: Tensor) -> Pair:
    m = batches.shape[1]
    return batches.mean((0, 1)), (m - 1) / m * batches.var(1, correction=0).mean(0)


def _corrected_twice(batches: Tensor) -> Pair:
    m = batches.shape[1]
    return batches.mean((0, 1)), m / (m - 1) * batches.var(1).mean(0)


def _number_of_batches(batches: Tensor) -> Pair:
    k = batches.shape[0]
    return batches.mean((0, 1)), k / (k - 1) * batches.var(1, correction=0).mean(0)


def _of_deviations(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.std(1).mean(0).square()


def _between_means(batches: Tensor) -> Pair:
    return batches.mean((0, 1)), batches.mean(1).var(0)


def _moved(batches: Tensor) -> Pair:
    mean, var = torch.zeros_like(batches[0, 0]), torch.ones_like(batches[0, 0])
    for batch in batches:
        functional.batch_norm(batch, mean, var, training=True)
    return mean, var


@exercise(
    "eval-algorithm-2",
    inputs=_batches,
    parts=("mean", "var"),
    right="these are the statistics that momentum=None collects.",
    mistakes=(
        Mistake(
            "You pooled all batches into one sample. Algorithm 2 averages the variances of the batches, each around "
            "its own mean.",
            _pooled,
        ),
        Mistake(
            "You pooled all batches into one sample, and divided by its size. Algorithm 2 averages the variances of "
            "the batches, each around its own mean, with the factor m / (m - 1).",
            _pooled_biased,
        ),
        Mistake("You averaged standard deviations. Asked for is a variance.", _mean_deviation),
        Mistake(
            "You took the variance over dimension 0, across the batches. Take it within each batch, over dimension 1, "
            "and average over dimension 0.",
            _across_batches,
        ),
        Mistake(
            "Mean and variance have changed places: the mean comes first.", lambda batches: _algorithm2(batches)[::-1]
        ),
        Mistake(
            "Your variance lacks the factor m / (m - 1): the mean of biased variances is too small by it.", _biased
        ),
        Mistake(
            "Your variance is too large by m / (m - 1): torch's var divides by m - 1 already, so the factor comes in "
            "twice.",
            _corrected_twice,
        ),
        Mistake(
            "Your factor is k / (k - 1), of the number of batches. What is biased is the variance within a batch, of m "
            "examples: m / (m - 1).",
            _number_of_batches,
        ),
        Mistake("Your factor is upside down. It is m / (m - 1), and makes the variance larger.", _shrunk),
        Mistake("You averaged standard deviations and squared. Average the variances.", _of_deviations),
        Mistake(
            "That is the variance between the means of the batches. Average the variances within them.", _between_means
        ),
        Mistake(
            "You used a moving average that starts at 0 and 1. Algorithm 2 takes the plain average over all batches.",
            _moved,
        ),
    ),
)
def eval_algorithm_2(batches: Tensor) -> Pair:
    """Mean and variance of shape (channels,), from batches of shape (batches, m, channels)."""
    return _algorithm2(batches)


# --- folding ------------------------------------------------------------------------------------------


def _linear(*, generator: torch.Generator, kernel: tuple[int, ...] = ()) -> Inputs:
    channels, fan_in = sizes(2, 2, 5, generator=generator)
    weight, bias = normal(channels, fan_in, *kernel, generator=generator), normal(channels, generator=generator)
    gamma, beta = normal(2, channels, generator=generator)
    return weight, bias, *_statistics(channels, generator=generator), gamma, beta, uniform(0.3, 1, generator=generator)


def _conv(*, generator: torch.Generator) -> Inputs:
    return _linear(generator=generator, kernel=(3, 2))


def _scaled(weight: Tensor, scale: Tensor) -> Tensor:
    return weight * scale.view(-1, *[1] * (weight.dim() - 1))


def _folded(weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    scale = gamma * (var + eps).rsqrt()
    return _scaled(weight, scale), (bias - mean) * scale + beta


def _bias_not_scaled(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    scale = gamma * (v + eps).rsqrt()
    return _scaled(w, scale), b - mean * scale + beta


def _bias_dropped(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    return _folded(w, 0 * b, mean, v, gamma, beta, eps)


def _mean_forgotten(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    return _folded(w, b, 0 * mean, v, gamma, beta, eps)


def _bias_as_it_was(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    return _folded(w, b, mean, v, gamma, beta, eps)[0], b


def _mean_not_scaled(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    scale = gamma * (v + eps).rsqrt()
    return _scaled(w, scale), b * scale - mean + beta


def _beta_scaled(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    scale = gamma * (v + eps).rsqrt()
    return _scaled(w, scale), (b - mean + beta) * scale


def _eps_outside(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    return _folded(w, b, mean, (v.sqrt() + eps).square(), gamma, beta, 0.0)


def _weight_as_it_was(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    return w.clone(), _folded(w, b, mean, v, gamma, beta, eps)[1]


def _mean_added(w: Tensor, b: Tensor, mean: Tensor, v: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
    return _folded(w, b, -mean, v, gamma, beta, eps)


@exercise(
    "eval-fold",
    inputs=(_linear, _conv),
    parts=("weight", "bias"),
    right="the folded layer gives what layer and BatchNorm give together, linear or convolutional.",
    mistakes=(
        Mistake(
            "Your bias is not multiplied by gamma / sqrt(running_var + eps). What the layer adds passes "
            "BatchNorm, too.",
            _bias_not_scaled,
        ),
        Mistake("The layer's own bias is gone. It is part of what BatchNorm normalizes.", _bias_dropped),
        Mistake("The running mean is missing in your bias. BatchNorm subtracts it.", _mean_forgotten),
        Mistake(
            "You left the bias as it was. BatchNorm shifts, too: by its running mean and by beta.", _bias_as_it_was
        ),
        Mistake("Your running mean is subtracted after scaling. BatchNorm subtracts it before.", _mean_not_scaled),
        Mistake("You scaled beta, too. It is added last, as it is.", _beta_scaled),
        Mistake("You added the running mean. BatchNorm subtracts it.", _mean_added),
        Mistake(
            "You added eps to the deviation. It belongs under the root: gamma / sqrt(running_var + eps).", _eps_outside
        ),
        Mistake(
            "You wrote 1e-5 in place of the `eps` that is given.",
            lambda w, b, m, v, gamma, beta, eps: _folded(w, b, m, v, gamma, beta, 1e-5),
        ),
        Mistake(
            "Your bias lacks beta, which BatchNorm adds last.",
            lambda w, b, m, v, gamma, beta, eps: _folded(w, b, m, v, gamma, torch.zeros_like(beta), eps),
        ),
        Mistake(
            "You left the weight as it was. BatchNorm scales what it gives: each row by gamma / sqrt(running_var + "
            "eps).",
            _weight_as_it_was,
        ),
        Mistake(
            "Your scale has no eps: it is gamma / sqrt(running_var + eps).",
            lambda w, b, m, v, gamma, beta, eps: _folded(w, b, m, v, gamma, beta, 0.0),
        ),
        Mistake(
            "You divided by the variance. The scale is gamma / sqrt(running_var + eps).",
            lambda w, b, m, v, gamma, beta, eps: _folded(w, b, m, (v + eps).square(), gamma, beta, 0.0),
        ),
        Mistake(
            "Your scale lacks gamma.",
            lambda w, b, m, v, gamma, beta, eps: _folded(w, b, m, v, torch.ones_like(gamma), beta, eps),
        ),
    ),
)
def eval_fold(
    weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, gamma: Tensor, beta: Tensor, eps: float
) -> Pair:
    """Weight and bias of the folded layer."""
    return _folded(weight, bias, running_mean, running_var, gamma, beta, eps)
