"""Exercises about BatchNorm at inference."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import (
    BORROWED,
    BY_TORCH,
    Operations,
    and_borrowed,
    between,
    normal,
    own_work,
    sizes,
    uniform,
    without,
)

Pair = tuple[Tensor, Tensor]

# --- the warm-up --------------------------------------------------------------------------------------


def _warm_up(*, generator: torch.Generator) -> Inputs:
    """So few batches that every mistake gives another number; a variance of 1 / rho would hide one."""
    rho = uniform(0.15, 0.3, generator=generator)
    return rho, between(2, 4, generator=generator), uniform(7.5, 30, generator=generator)


def _average(rho: float, t: int, variance: float, *, initial: float = 1.0) -> float:
    return (1 - rho) ** t * initial + (1 - (1 - rho) ** t) * variance


@exercise(
    "eval-warm-up",
    inputs=_warm_up,
    rtol=3e-3,
    rtol32=None,
    right="the initial value keeps the weight (1 - rho)^t, and the batches share the rest.",
    mistakes={
        "You took `momentum` for the weight of the old value, as Keras and Flax do. In PyTorch it is the weight of the "
        "new one.": lambda rho, t, variance: _average(1 - rho, t, variance),
        "You left out the initial value, a running variance of 1 that still counts.": lambda rho, t, variance: _average(
            rho, t, variance, initial=0
        ),
        "Your running variance is a plain average of the initial value and the batches. In a moving average the older "
        "a value is, the less it weighs.": lambda rho, t, variance: (1 + t * variance) / (t + 1),
        "The initial value does not lose the same amount with each batch. Each multiplies what is left of it by "
        "1 - rho.": lambda rho, t, variance: max(0, 1 - rho * t) + min(1, rho * t) * variance,
        "That is the running variance after a single batch.": lambda rho, t, variance: 1 - rho + rho * variance,
        "That is the weight of the initial value, not the running variance.": lambda rho, t, variance: (1 - rho) ** t,
        "One batch too few: after t batches the initial value has been multiplied t times.": lambda rho, t, variance: (
            _average(rho, t - 1, variance)
        ),
        "One batch too many: after t batches the initial value has been multiplied t times.": lambda rho, t, variance: (
            _average(rho, t + 1, variance)
        ),
        "That is the variance of the data. After so few batches the average has not arrived there "
        "yet.": lambda rho, t, variance: variance,
        "You exchanged the two weights: (1 - rho)^t is the weight of the initial value, which is 1, and the batches "
        "get the rest.": lambda rho, t, variance: 1 + variance - _average(rho, t, variance),
        "The weights of the batches do not simply add up: each batch also shrinks what "
        "was there before.": lambda rho, t, variance: 1 - rho * t + rho * t * variance,
        "You gave the data their full weight from the start. All weights add up to 1: the initial value has (1 - "
        "rho)^t, and the batches share the rest.": lambda rho, t, variance: (1 - rho) ** t + variance,
    },
)
def eval_warm_up(rho: float, t: int, variance: float) -> float:
    """The expected running variance after t batches, from 1."""
    return _average(rho, t, variance)


# --- one update ---------------------------------------------------------------------------------------


def _statistics(channels: int, *, generator: torch.Generator) -> Pair:
    return normal(channels, generator=generator), normal(channels, generator=generator).square() + 0.5


def _vectors(*, generator: torch.Generator) -> Inputs:
    n, channels = sizes(2, 3, 5, generator=generator)
    z = normal(n, channels, generator=generator, mean=2)
    return *_statistics(channels, generator=generator), z, uniform(0.1, 0.4, generator=generator)


def _images(*, generator: torch.Generator) -> Inputs:
    n, channels, height, width = sizes(4, 2, 6, generator=generator)
    z = normal(n, channels, height, width, generator=generator, mean=2)
    return *_statistics(channels, generator=generator), z, uniform(0.1, 0.4, generator=generator)


def _with_pixels(z: Tensor) -> Tensor:
    """A batch in the shape (images, channels, pixels); a vector is an image of one pixel."""
    return z.reshape(*z.shape[:2], -1)


def _update(
    var: Function = lambda z: z.var((0, 2)),
    *,
    mean: Function = lambda z: z.mean((0, 2)),
    weights: Function = lambda momentum: (1 - momentum, momentum),
) -> Function:
    """An answer, right unless told otherwise: the batch's statistics, and the weights of old and new."""

    def update(running_mean: Tensor, running_var: Tensor, z: Tensor, momentum: float) -> Pair:
        old, new = weights(momentum)
        z = _with_pixels(z)
        return old * running_mean + new * mean(z), old * running_var + new * var(z)

    return update


def _count(z: Tensor) -> int:
    return z[:, 0].numel()


def _each_image(z: Tensor) -> Tensor:
    return z.var(2).mean(0) if z.shape[2] > 1 else z.var((0, 2))


def _around(center: Function) -> Function:
    """An answer whose variance is taken around ``center(running_mean, updated_mean)``."""

    def update(running_mean: Tensor, running_var: Tensor, z: Tensor, momentum: float) -> Pair:
        updated = torch.lerp(running_mean, _with_pixels(z).mean((0, 2)), momentum)
        middle = center(running_mean, updated)[:, None]
        answer = _update(lambda z: (z - middle).square().sum((0, 2)) / (_count(z) - 1))
        result: Pair = answer(running_mean, running_var, z, momentum)
        return result

    return update


def _updated_by_torch(running_mean: Tensor, running_var: Tensor, z: Tensor, momentum: float) -> Pair:
    mean, var = running_mean.clone(), running_var.clone()
    functional.batch_norm(z, mean, var, training=True, momentum=momentum)
    return mean, var


@exercise(
    "eval-running-update",
    inputs=(_vectors, _images),
    observe=own_work,
    describe=and_borrowed("running_mean", "running_var"),
    changes=(0, 1),
    parts=("running_mean", "running_var"),
    required=(BORROWED,),
    right="both statistics are those of nn.BatchNorm after one batch.",
    mistakes={
        "You averaged the biased variance. PyTorch normalizes with it, and stores the unbiased one, divided by the "
        "count minus one.": _update(lambda z: z.var((0, 2), correction=0)),
        "You took `momentum` for the weight of the old value, as Keras and Flax do. In PyTorch it is the weight of the "
        "new one.": _update(weights=lambda momentum: (momentum, 1 - momentum)),
        "You averaged standard deviations. `running_var` holds variances.": _update(lambda z: z.std((0, 2))),
        "You added the new part without shrinking the old one by (1 - momentum).": _update(
            weights=lambda momentum: (1, momentum)
        ),
        "You replaced the old statistics by those of the batch: momentum has no effect.": _update(
            weights=lambda momentum: (0, 1)
        ),
        "You took the variance over the batch for each pixel, then averaged. All pixels of a channel are one sample: "
        "one variance over dimensions 0, 2 and 3, around one mean.": _update(lambda z: z.var(0).mean(1)),
        "Your factor n / (n - 1) counts images. Every pixel counts: n is N * H * W.": _update(
            lambda z: z.var((0, 2), correction=0) * len(z) / (len(z) - 1)
        ),
        "Your variance is taken around the running mean. Take it around the mean of the batch.": _around(
            lambda running_mean, updated: running_mean
        ),
        "Your variance is taken around the running mean, just updated. Take it around the mean of the batch.": _around(
            lambda running_mean, updated: updated
        ),
        "The factor n / (n - 1) comes in twice: torch's var divides by n - 1 already.": _update(
            lambda z: z.var((0, 2)) * _count(z) / (_count(z) - 1)
        ),
        "You took the variance of each image by itself, then averaged. All pixels of a channel, of all images, are one "
        "sample.": _update(_each_image),
        "Your new variance is the mean of the squares. Subtract the mean of the batch first.": _update(
            lambda z: z.square().mean((0, 2))
        ),
        "You used one mean and one variance for the whole batch. Every channel has its own.": _update(
            torch.var, mean=torch.mean
        ),
        "You left `running_var` as it was.": lambda running_mean, running_var, *batch: (
            _update()(running_mean, running_var, *batch)[0],
            running_var.clone(),
        ),
        "Mean and variance have changed places: `running_mean` comes first.": lambda *inputs: _update()(*inputs)[::-1],
        BY_TORCH: _updated_by_torch,
    },
)
def eval_running_update(running_mean: Tensor, running_var: Tensor, z: Tensor, momentum: float) -> Pair:
    """Both statistics after one batch, as in PyTorch."""
    result: Pair = _update()(running_mean, running_var, z, momentum)
    return result


# --- inference ----------------------------------------------------------------------------------------


def _layer(*shape: int, generator: torch.Generator) -> Inputs:
    """A batch of that shape, with statistics and parameters of a BatchNorm."""
    gamma, beta = normal(2, shape[1], generator=generator)
    z = normal(*shape, generator=generator, mean=2)
    return z, *_statistics(shape[1], generator=generator), gamma, beta, uniform(0.3, 1, generator=generator)


def _layer_for_vectors(*, generator: torch.Generator) -> Inputs:
    return _layer(*sizes(2, 2, 6, generator=generator), generator=generator)


def _layer_for_images(*, generator: torch.Generator) -> Inputs:
    return _layer(*sizes(4, 2, 6, generator=generator), generator=generator)


def _root(var: Tensor, eps: float) -> Tensor:
    return (var + eps).sqrt()


def _infer(
    divisor: Function = _root,
    *,
    center: Function = lambda mean: mean,
    scale: Function = lambda gamma, beta: gamma,
    shift: Function = lambda gamma, beta: beta,
) -> Function:
    """BatchNorm in eval mode, right unless told otherwise."""

    def infer(z: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        z_hat = (z.transpose(1, -1) - center(mean)) / divisor(var, eps)
        y: Tensor = scale(gamma, beta) * z_hat + shift(gamma, beta)
        return y.transpose(1, -1)

    return infer


def _by_the_batch(z: Tensor, mean: Tensor, var: Tensor, *others: Any) -> Tensor:
    values = _with_pixels(z)
    result: Tensor = _infer()(z, values.mean((0, 2)), values.var((0, 2), correction=0), *others)
    return result


def _inferred_by_torch(z: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return functional.batch_norm(z, mean, var, gamma, beta, eps=eps)


def _along_the_width(z: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Leaves all of them in the shape that they have."""
    return gamma * (z - mean) / (var + eps).sqrt() + beta


def _half_by_the_batch(*, mean_too: bool) -> Function:
    """An answer that takes one of its two statistics from the batch: the mean, or else the variance."""

    def infer(z: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        rows = z.transpose(0, 1).flatten(1)
        mean, var = (rows.mean(1), var) if mean_too else (mean, rows.var(1, correction=0))
        result: Tensor = _infer()(z, mean, var, gamma, beta, eps)
        return result

    return infer


@exercise(
    "eval-inference",
    rtol=1e-6,  # an eps of 1e-5 in place of none shows
    inputs=(_layer_for_vectors, _layer_for_images),
    observe=own_work,
    describe=and_borrowed("output"),
    right="the output is that of nn.BatchNorm in eval mode, and the same whatever else is in the batch.",
    mistakes={
        "You normalized with the statistics of the batch. At inference every answer would then depend on the other "
        "examples of its batch: take the running ones.": _by_the_batch,
        "You added eps to the standard deviation. It belongs under the root: sqrt(running_var + eps).": _infer(
            lambda var, eps: var.sqrt() + eps
        ),
        "You divided by the variance. Divide by its root.": _infer(lambda var, eps: var + eps),
        "Your result has no eps.": _infer(lambda var, eps: var.sqrt()),
        "You wrote 1e-5 in place of the `eps` that is given.": _infer(lambda var, eps: (var + 1e-5).sqrt()),
        "Your result lacks gamma: gamma * z_hat + beta, per channel.": _infer(scale=lambda gamma, beta: 1),
        "Your result lacks beta: gamma * z_hat + beta, per channel.": _infer(shift=lambda gamma, beta: 0),
        "You multiplied beta by gamma, too. It is added last, as it is.": _infer(
            shift=lambda gamma, beta: gamma * beta
        ),
        "You mixed up gamma and beta: gamma multiplies, beta is added.": _infer(
            scale=lambda gamma, beta: beta, shift=lambda gamma, beta: gamma
        ),
        "You did not apply gamma and beta.": _infer(scale=lambda gamma, beta: 1, shift=lambda gamma, beta: 0),
        "You did not subtract the running mean.": _infer(center=torch.zeros_like),
        "You took running_var for a standard deviation: take its root.": _infer(
            lambda var, eps: (var.square() + eps).sqrt()
        ),
        BY_TORCH: _inferred_by_torch,
        "Your variance is that of the batch. In eval mode both statistics are the stored ones.": _half_by_the_batch(
            mean_too=False
        ),
        "Your mean is that of the batch. In eval mode both statistics are the stored ones.": _half_by_the_batch(
            mean_too=True
        ),
        "For images, statistics, gamma and beta of the shape (C,) are aligned with the last dimension, the width. "
        "Channels are dimension 1: give all of them the shape (1, C, 1, 1).": _along_the_width,
    },
)
def eval_inference(
    z: Tensor, running_mean: Tensor, running_var: Tensor, gamma: Tensor, beta: Tensor, eps: float
) -> Tensor:
    """BatchNorm in eval mode."""
    result: Tensor = _infer()(z, running_mean, running_var, gamma, beta, eps)
    return result


# --- algorithm 2 --------------------------------------------------------------------------------------


def _batches(*, generator: torch.Generator) -> Inputs:
    """Small batches whose means differ, so that between and within can be told apart."""
    k, m, channels = sizes(3, 2, 4, generator=generator)
    shift = normal(k, 1, channels, generator=generator)
    return (normal(k, m, channels, generator=generator) + shift,)


def _recalibrated(var: Function = lambda batches: batches.var(1).mean(0)) -> Function:
    """An answer with the right mean."""
    return lambda batches: (batches.mean((0, 1)), var(batches))


def _with_factor(factor: Function, *, correction: int = 0) -> Function:
    """An answer that multiplies the mean of the batches' variances by a factor of k and m."""
    return _recalibrated(lambda batches: factor(*batches.shape[:2]) * batches.var(1, correction=correction).mean(0))


def _moving_average(batches: Tensor) -> Pair:
    mean, var = torch.zeros_like(batches[0, 0]), torch.ones_like(batches[0, 0])
    for batch in batches:
        functional.batch_norm(batch, mean, var, training=True)
    return mean, var


@exercise(
    "eval-algorithm-2",
    inputs=_batches,
    parts=("mean", "var"),
    right="these are the statistics that momentum=None collects.",
    mistakes={
        "You pooled all batches into one sample. Algorithm 2 averages the variances of the batches, each around its "
        "own mean.": _recalibrated(lambda batches: batches.flatten(0, 1).var(0)),
        "You pooled all batches into one sample, and divided by its size. Algorithm 2 averages the variances of the "
        "batches, each around its own "
        "mean, with the factor m / (m - 1).": _recalibrated(lambda batches: batches.flatten(0, 1).var(0, correction=0)),
        "You added the variance between the means of the batches. Algorithm 2 averages the variances within them, and "
        "no more.": _recalibrated(lambda batches: batches.var(1).mean(0) + batches.mean(1).var(0)),
        "You used the last batch only. Algorithm 2 averages over all of them.": lambda batches: (
            batches[-1].mean(0),
            batches[-1].var(0),
        ),
        "You averaged standard deviations. The exercise asks for a variance.": _recalibrated(
            lambda batches: batches.std(1).mean(0)
        ),
        "You took the variance over dimension 0, across the batches. Take it within each batch, over dimension 1, and "
        "average over dimension 0.": _recalibrated(lambda batches: batches.var(0).mean(0)),
        "Mean and variance have changed places: the mean comes first.": lambda batches: _recalibrated()(batches)[::-1],
        "Your variance lacks the factor m / (m - 1): the mean of biased variances is too small by it.": _with_factor(
            lambda k, m: 1
        ),
        "Your variance is too large by m / (m - 1): torch's var "
        "divides by m - 1 already, so the factor comes in twice.": _with_factor(lambda k, m: m / (m - 1), correction=1),
        "Your factor is k / (k - 1), of the number of batches. What is biased is the variance within a batch, of m "
        "examples: m / (m - 1).": _with_factor(lambda k, m: k / (k - 1)),
        "Your factor is upside down. It is m / (m - 1), and makes the variance larger.": _with_factor(
            lambda k, m: (m - 1) / m
        ),
        "You averaged standard deviations and squared. Average the variances.": _recalibrated(
            lambda batches: batches.std(1).mean(0).square()
        ),
        "That is the variance between the means of the batches. Average the variances within them.": _recalibrated(
            lambda batches: batches.mean(1).var(0)
        ),
        "You used a moving average that begins at 0 and 1. Algorithm 2 takes the plain average over all "
        "batches.": _moving_average,
        "That is the standard deviation. The exercise asks for the variance.": _recalibrated(
            lambda batches: batches.var(1).mean(0).sqrt()
        ),
    },
)
def eval_algorithm_2(batches: Tensor) -> Pair:
    """Mean and variance of shape (channels,), from batches of shape (batches, m, channels)."""
    return batches.mean((0, 1)), batches.var(1).mean(0)


# --- folding ------------------------------------------------------------------------------------------


def _linear(*kernel: int, generator: torch.Generator) -> Inputs:
    channels, fan_in = sizes(2, 2, 5, generator=generator)
    weight, bias = normal(channels, fan_in, *kernel, generator=generator), normal(channels, generator=generator)
    gamma, beta = normal(2, channels, generator=generator)
    return weight, bias, *_statistics(channels, generator=generator), gamma, beta, uniform(0.3, 1, generator=generator)


def _convolution(*, generator: torch.Generator) -> Inputs:
    return _linear(3, 2, generator=generator)


def _fold(
    new_bias: Function = lambda scale, bias, mean, beta: scale * (bias - mean) + beta,
    *,
    divisor: Function = _root,
    factor: Function = lambda gamma: gamma,
    new_weight: Function = lambda scale, weight: torch.einsum("o,o...->o...", scale, weight),
) -> Function:
    """Weight and bias of the folded layer, right unless told otherwise."""

    def fold(weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Pair:
        scale = factor(gamma) / divisor(var, eps)
        return new_weight(scale, weight), new_bias(scale, bias, mean, beta)

    return fold


def _folded_by_torch(
    weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float
) -> Pair:
    """Reads scale and shift off what torch's normalization makes of zeros and of ones."""
    zeros_and_ones = torch.stack([0 * bias, 0 * bias + 1])
    zero, one = functional.batch_norm(zeros_and_ones, mean, var, gamma, beta, eps=eps)
    return torch.einsum("o,o...->o...", one - zero, weight), (one - zero) * bias + zero


@exercise(
    "eval-fold",
    rtol=1e-6,  # an eps of 1e-5 in place of none shows
    inputs=(_linear, _convolution),
    observe=without("torch.nn.utils", observe=own_work),
    describe=and_borrowed("weight", "bias"),
    parts=("weight", "bias"),
    required=(BORROWED,),
    right="the folded layer gives what layer and BatchNorm give together, linear or convolutional.",
    mistakes={
        "Your bias is not multiplied by gamma / sqrt(running_var + eps). What the layer adds passes through BatchNorm, "
        "too.": _fold(lambda scale, bias, mean, beta: bias - scale * mean + beta),
        "The layer's own bias is gone. It is part of what BatchNorm normalizes.": _fold(
            lambda scale, bias, mean, beta: beta - scale * mean
        ),
        "The running mean is missing in your bias. BatchNorm subtracts it.": _fold(
            lambda scale, bias, mean, beta: scale * bias + beta
        ),
        "You left the bias as it was. BatchNorm shifts, too: by its running mean and by beta.": _fold(
            lambda scale, bias, mean, beta: bias
        ),
        "Your running mean is subtracted after scaling. BatchNorm subtracts it before.": _fold(
            lambda scale, bias, mean, beta: scale * bias - mean + beta
        ),
        "You scaled beta, too. It is added last, as it is.": _fold(
            lambda scale, bias, mean, beta: scale * (bias - mean + beta)
        ),
        "You added the running mean. BatchNorm subtracts it.": _fold(
            lambda scale, bias, mean, beta: scale * (bias + mean) + beta
        ),
        "You added eps to the standard deviation. It belongs under the root: gamma / sqrt(running_var + eps).": _fold(
            divisor=lambda var, eps: var.sqrt() + eps
        ),
        "You wrote 1e-5 in place of the `eps` that is given.": _fold(divisor=lambda var, eps: (var + 1e-5).sqrt()),
        "Your bias lacks beta, which BatchNorm adds last.": _fold(
            lambda scale, bias, mean, beta: scale * (bias - mean)
        ),
        "You left the weight as it was. BatchNorm scales "
        "what it gives: each row by gamma / sqrt(running_var + eps).": _fold(new_weight=lambda scale, weight: weight),
        "Your scale has no eps: it is gamma / sqrt(running_var + eps).": _fold(divisor=lambda var, eps: var.sqrt()),
        "You divided by the variance. The scale is gamma / sqrt(running_var + eps).": _fold(
            divisor=lambda var, eps: var + eps
        ),
        "Your scale lacks gamma.": _fold(factor=torch.ones_like),
        BY_TORCH: _folded_by_torch,
        "You gave the scale one more dimension. That is right for a linear layer; a convolution's weight has four, and "
        "its first one counts the outputs: the scale needs the shape (out, 1, 1, 1).": _fold(
            new_weight=lambda scale, weight: scale[:, None] * weight
        ),
    },
)
def eval_fold(
    weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, gamma: Tensor, beta: Tensor, eps: float
) -> Pair:
    """Weight and bias of the folded layer."""
    result: Pair = _fold()(weight, bias, running_mean, running_var, gamma, beta, eps)
    return result


# --- the whole module ---------------------------------------------------------------------------------


def _life(*, generator: torch.Generator) -> Inputs:
    """Three batches, the size of a step, and what a trained layer has stored."""
    n, channels = sizes(2, 3, 6, generator=generator)
    batches = normal(3, n, channels, generator=generator, mean=2, std=3)
    gamma, beta = normal(2, channels, generator=generator)
    stored = {"weight": gamma, "bias": beta}
    stored |= dict(zip(("running_mean", "running_var"), _statistics(channels, generator=generator), strict=True))
    return batches, list(stored.values()), uniform(0.3, 1, generator=generator), uniform(0.1, 0.4, generator=generator)


STORED = ("weight", "bias", "running_mean", "running_var")


def _state(layer: nn.Module) -> dict[str, Tensor]:
    """Copies of what a layer stores, since the layer may change it in place."""
    return {name: value.detach().clone() for name, value in layer.state_dict().items()}


def _lived(kind: Function, batches: Tensor, stored: list[Tensor], eps: float, momentum: float) -> dict[str, Any]:
    """What a layer stores when it is new, does in training and in eval mode, and does after loading."""
    first, second, last = batches
    layer, channels = kind(batches.shape[2], eps, momentum), batches.shape[2]
    new = _state(layer)
    leaf = first.detach().clone().requires_grad_()
    with Operations() as seen:
        y = layer(leaf)
        y.square().sum().backward()
        layer(second)
        state = _state(layer)
        in_eval = layer.eval()(last)
    after = _state(layer)
    loaded = kind(channels, eps, momentum)
    saved = dict(zip(STORED, stored, strict=True)) | {"num_batches_tracked": torch.tensor(7)}
    loaded.load_state_dict(saved, strict=False)  # what is missing is named later
    return {
        "names": sorted(new),
        "new": [new.get(name) for name in STORED],
        "learned": sorted(name for name, _ in layer.named_parameters()),
        "forward": [y, leaf.grad, state.get("running_mean"), state.get("running_var"), in_eval],
        "count": [state.get("num_batches_tracked"), after.get("num_batches_tracked")],
        "kept in eval mode": [torch.equal(state[name], after[name]) for name in STORED[2:] if name in state],
        "loaded": loaded.eval()(last),
        "linked": any(buffer.requires_grad for buffer in layer.buffers()),
        "whole": not new.get("num_batches_tracked", torch.tensor(0)).is_floating_point(),
        "single": str(loaded.half().state_dict().get("running_mean", torch.ones(1)).dtype),
        "borrowed": seen.normalizes,
    }


def _stage_by_stage(raw: dict[str, Any], *inputs: Any) -> Outcome:
    """The same, with a name for each stage."""
    output, gradient, mean, var, in_eval = raw["forward"]
    missing = [name for name in (*STORED, "num_batches_tracked") if name not in raw["names"]]
    if missing:
        raise WrongType(
            f"The state_dict of your layer has no {' and no '.join(missing)}. Parameters are `nn.Parameter`s that the "
            "module holds; running statistics and the counter are made by `self.register_buffer(name, tensor)`."
        )
    count, later = raw["count"]
    return {
        "state_dict": ", ".join(raw["names"]),
        "learned parameters": ", ".join(raw["learned"]),
        **{f"new {name}": value for name, value in zip(STORED, raw["new"], strict=True)},
        "output in training": output,
        "gradient of z in training": gradient,
        "running_mean after two batches": mean,
        "running_var after two batches": var,
        "output in eval mode": in_eval,
        "num_batches_tracked after two batches": float(count),
        "num_batches_tracked after eval mode": float(later),
        "num_batches_tracked is a whole number": raw["whole"],
        "statistics stay in eval mode": all(raw["kept in eval mode"]),
        "output after load_state_dict": raw["loaded"],
        "statistics after half()": raw["single"],
        "statistics belong to a graph": raw["linked"],
        BORROWED: raw["borrowed"],
    }


class Norm(nn.Module):
    """BatchNorm for vectors, right unless told otherwise."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        channels: int,
        eps: float,
        momentum: float,
        *,
        stored: Function = lambda batch: batch.var(0),
        used: Function = lambda batch: batch.var(0, correction=0),
        weights: Function = lambda momentum: (1 - momentum, momentum),
        own: Function = lambda layer: layer.training,
        updates: Function = lambda layer: layer.training,
        counts: Function = lambda layer: layer.training,
        through: Function = lambda statistic: statistic,
        learned_statistics: bool = False,
        initial_var: float = 1.0,
        count: float = 0,
        root: Function = lambda var, eps: (var + eps).sqrt(),
    ) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        for name, value in {
            "running_mean": torch.zeros(channels),
            "running_var": initial_var * torch.ones(channels),
        }.items():
            if learned_statistics:
                setattr(self, name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
        self.register_buffer("num_batches_tracked", torch.tensor(count))
        self.root = root
        self.eps, self.stored, self.used, self.through = eps, stored, used, through
        self.weights, self.own, self.updates, self.counts = weights(momentum), own, updates, counts

    @torch.no_grad()
    def _update(self, z: Tensor) -> None:
        old, new = self.weights
        self.running_mean.mul_(old).add_(new * z.mean(0))
        self.running_var.mul_(old).add_(new * self.stored(z))

    def forward(self, z: Tensor) -> Tensor:
        """Normalize a batch of shape (m, channels)."""
        mean, var = (z.mean(0), self.used(z)) if self.own(self) else (self.running_mean, self.running_var)
        if self.updates(self):
            self._update(z)
        if self.counts(self):
            self.num_batches_tracked.add_(1)
        root = self.root(self.through(var), self.eps)
        result: Tensor = self.weight * (z - self.through(mean)) / root + self.bias
        return result


class Borrowed(nn.BatchNorm1d):
    """PyTorch's own layer."""

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)


def _norm(**options: Any) -> Function:
    return lambda *settings: Norm(*settings, **options)


class Linked(Norm):
    """A layer that averages its statistics together with their gradients."""

    def forward(self, z: Tensor) -> Tensor:
        """Normalize a batch of shape (m, channels)."""
        mean, result = self.running_mean.clone(), super().forward(z)
        if self.training:
            old, new = self.weights
            self.running_mean = old * mean + new * z.mean(0)
        return result


@exercise(
    "eval-module",
    inputs=_life,
    observe=_lived,
    describe=_stage_by_stage,
    parts=(
        "output in training",
        "running_var after two batches",
        "output in eval mode",
        "output after load_state_dict",
    ),
    required=(BORROWED,),
    cases=4,
    right="your layer can take the place of nn.BatchNorm1d: in training, in eval mode, and in a saved file.",
    mistakes={
        "You use torch's own normalization. The exercise is to write the layer from means and variances.": Borrowed,
        "You store the biased variance. PyTorch normalizes by it and stores the unbiased one, divided by m - 1.": _norm(
            stored=lambda batch: batch.var(0, correction=0)
        ),
        "You normalize the batch by the unbiased variance. That one is stored; in training, BatchNorm divides by the "
        "biased one, correction=0.": _norm(used=lambda batch: batch.var(0)),
        "You took `momentum` for the weight of the old statistics. In PyTorch it is the weight of the new ones.": _norm(
            weights=lambda momentum: (momentum, 1 - momentum)
        ),
        "Your running statistics carry a graph from batch to batch, which grows without end. Update them under "
        "`torch.no_grad()`.": Linked,
        "Your layer normalizes by the batch in eval mode, too. Ask `self.training`.": _norm(own=lambda layer: True),
        "Your layer normalizes by the running statistics in training, too. There it uses those of the batch, through "
        "which the gradient flows.": _norm(own=lambda layer: False),
        "Your layer goes on updating its running statistics in eval mode. A model that is being used must not "
        "change.": _norm(updates=lambda layer: True),
        "Your running statistics never change. In training, every batch moves them.": _norm(
            updates=lambda layer: False
        ),
        "Your counter `num_batches_tracked` does not count. Add 1 for every batch in training.": _norm(
            counts=lambda layer: False
        ),
        "Your counter `num_batches_tracked` counts in eval mode, too. It counts batches in training.": _norm(
            counts=lambda layer: True
        ),
        "The batch's mean and variance are computed without gradient, so the gradient of z is wrong. Only the update "
        "of the running statistics belongs under `torch.no_grad()`.": _norm(through=torch.detach),
        "Your counter `num_batches_tracked` holds a floating-point number, so `half()` converts it, and from 2048 on "
        "it stands still. Begin with a whole number, `torch.tensor(0)`.": _norm(count=0.0),
        "You added eps to the standard deviation. It belongs under the root.": _norm(
            root=lambda var, eps: var.sqrt() + eps
        ),
        "Your running variance starts at 0. It starts at 1, so that a new layer changes little in eval mode.": _norm(
            initial_var=0.0
        ),
        "Your running statistics are parameters, so an optimizer and weight decay would move them. Make them buffers: "
        "`self.register_buffer(name, tensor)`.": _norm(learned_statistics=True),
    },
)
def eval_module(channels: int, eps: float, momentum: float) -> nn.Module:
    """A BatchNorm layer for vectors."""
    return Norm(channels, eps, momentum)
