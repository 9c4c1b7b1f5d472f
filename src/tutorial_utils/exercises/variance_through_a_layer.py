"""Exercises about variance through a layer."""

import math
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.compare import Estimate, Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import (
    between,
    moments,
    normal,
    off_stream,
    origin,
    sizes,
    stream,
    tensor,
    thrice,
    uniform,
)

# --- PyTorch's own layer ------------------------------------------------------------------------------


def _default_layer(*, generator: torch.Generator) -> Inputs:
    """A small number of inputs, their mean and their standard deviation."""
    n_in, mean = between(6, 15, generator=generator), between(4, 9, generator=generator) / 10
    return n_in, mean, between(11, 19, generator=generator) / 10


@exercise(
    "variance-default-layer",
    value=True,
    inputs=_default_layer,
    rtol=3e-3,
    right="a third of the inputs' second moment, plus the variance of the biases.",
    mistakes={
        "You used the variance of the inputs. Their mean counts, too: what enters is E[x²], the variance plus the "
        "squared mean.": lambda n, mean, std: std**2 / 3 + 1 / (3 * n),
        "You left out the biases. PyTorch draws them from the same interval as the weights.": lambda n, mean, std: (
            (mean**2 + std**2) / 3
        ),
        "You took a² for the variance of U(-a, a). It is a²/3.": lambda n, mean, std: mean**2 + std**2 + 1 / n,
        "You took a²/12 for the variance of U(-a, a). The interval is 2a long, so its variance is (2a)²/12 "
        "= a²/3.": lambda n, mean, std: (mean**2 + std**2 + 1 / n) / 12,
        "You forgot the number of terms: the unit sums n_in products, each with the variance of "
        "one weight.": lambda n, mean, std: (mean**2 + std**2 + 1) / (3 * n),
        "You multiplied the variance of the biases by n_in. A unit adds only one bias.": lambda n, mean, std: (
            (mean**2 + std**2 + 1) / 3
        ),
        "That is the root mean square. The exercise asks for its square, the second moment.": lambda n, mean, std: (
            math.sqrt((mean**2 + std**2 + 1 / n) / 3)
        ),
    },
)
def variance_default_layer(n_in: int, mean: float, std: float) -> float:
    """The second moment of a pre-activation under PyTorch's default initialization."""
    return (mean**2 + std**2) / 3 + 1 / (3 * n_in)


# --- one expectation for each input -------------------------------------------------------------------


def _batch(*, generator: torch.Generator) -> Inputs:
    m, n_in = sizes(2, 2, 5, generator=generator)
    x = normal(m, n_in, generator=generator, mean=1.5)
    return x, uniform(0.1, 0.4, generator=generator), uniform(0.5, 1, generator=generator)


def _from(statistic: Function) -> Function:
    """An answer that multiplies ``var_w`` by another statistic of x than the sum of each row's squares."""
    return lambda x, var_w, var_b: var_w * statistic(x) + var_b


@exercise(
    "variance-each-input",
    inputs=_batch,
    right="each input has its own second moment over draws of the layer.",
    mistakes={
        "You averaged over the batch. Nothing here averages over inputs: each row has its own number, computed from "
        "its own entries (dim=1).": _from(lambda x: x.square().sum(0)),
        "You gave one number for the whole batch. When the weights are drawn, each input stays fixed and has its own "
        "second moment.": _from(lambda x: x.square().sum(1).mean()),
        "You took the mean of the squares over the entries. `var_w` is the variance of one weight, so the squares are "
        "summed; the mean belongs to n_in * var_w.": _from(lambda x: x.square().mean(1)),
        "You multiplied the sum of squares by n_in. The sum already contains this factor: it is n_in times the "
        "mean.": _from(lambda x: x.shape[1] * x.square().sum(1)),
        "You subtracted the mean of the input before squaring. Only the weights need mean zero; the input enters with "
        "its squares as they are.": _from(lambda x: (x - x.mean(1, keepdim=True)).square().sum(1)),
        "You squared the sum of the inputs. The cross terms vanish on average; the sum of the squares remains.": _from(
            lambda x: x.sum(1).square()
        ),
        "You squared `var_w` and `var_b`. They are variances already.": lambda x, var_w, var_b: (
            var_w**2 * x.square().sum(1) + var_b**2
        ),
        "You took the length of each input. Sum the squares, and take no root.": _from(lambda x: x.norm(dim=1)),
        "You took the variance of each input over its entries, which subtracts their mean. The squares enter as they "
        "are.": _from(lambda x: x.shape[1] * x.var(1)),
        "You left out the bias.": lambda x, var_w, var_b: var_w * x.square().sum(1),
        "You multiplied the variance of the bias by n_in. Each unit adds one bias.": lambda x, var_w, var_b: (
            var_w * x.square().sum(1) + x.shape[1] * var_b
        ),
        "That is the root. The exercise asks for the second moment, E[z²].": lambda x, var_w, var_b: (
            var_w * x.square().sum(1) + var_b
        ).sqrt(),
    },
)
def variance_each_input(x: Tensor, var_w: float, var_b: float) -> Tensor:
    """The second moment of a unit over draws of the layer, for each row of x."""
    return var_w * torch.einsum("ij,ij->i", x, x) + var_b


# --- sparse weights -----------------------------------------------------------------------------------


def _sparse_shape(*, generator: torch.Generator) -> Inputs:
    """Three times as many inputs as outputs, and at most a quarter of the weights: then no two factors agree."""
    n_out = between(80, 110, generator=generator)
    return n_out, 3 * n_out, between(4, 5, generator=generator) / 20, stream(generator=generator)


def _zeros_and_numbers(draws: list[Any], n_out: int, n_in: int, p: float, generator: torch.Generator) -> Outcome:
    """Shape, masks, moments, and what the generator decides; no moments where rows or columns share their zeros."""
    first, copy, moved_on = map(tensor, draws)
    if first.dim() != 2:
        raise WrongType(f"A matrix is asked for, and your tensor has {first.dim()} dimensions.")
    mask, kept = first != 0, (first != 0) & (copy != 0)
    rows_differ = bool(mask.all()) or len(mask.unique(dim=0)) > 1
    columns_differ = bool(mask.all()) or mask.unique(dim=1).shape[1] > 1
    share = Estimate(mask.double().mean().item(), math.sqrt(p * (1 - p) / first.numel()))
    spread = {"share of weights that are kept": share} | moments(first)
    return {
        "shape": str(tuple(first.shape)),
        "units differ in their zeros": rows_differ,
        "inputs differ in their zeros": columns_differ,
        "units differ in how many": len(mask.sum(1).unique()) > 1,
        **(spread if rows_differ and columns_differ else dict.fromkeys(spread)),
        "zeros come from": origin(mask, copy != 0, moved_on != 0),
        "numbers come from": origin(first[kept], copy[kept], moved_on),
    }


def _keeping(n_out: int, n_in: int, p: float) -> float:
    """The standard deviation of the weights that are kept."""
    return 1 / math.sqrt(p * n_in)


def _rand(*shape: int, p: float, generator: torch.Generator | None) -> Tensor:
    """Which weights are kept: each with probability p, independently."""
    return torch.rand(*shape, generator=generator) < p


def _sparse(
    scale: Function = _keeping,
    *,
    mask: Function = _rand,
    mask_shape: Function = lambda n_out, n_in: (n_out, n_in),
    share: Function = lambda p: p,
    numbers: Function = torch.randn,
    zeros_from: Function = lambda generator: generator,
    numbers_from: Function = lambda generator: generator,
) -> Function:
    """An answer, right unless told otherwise."""

    def draw(n_out: int, n_in: int, p: float, generator: torch.Generator) -> Tensor:
        kept = mask(*mask_shape(n_out, n_in), p=share(p), generator=zeros_from(generator))
        weight: Tensor = numbers(n_out, n_in, generator=numbers_from(generator)) * kept * scale(n_out, n_in, p)
        return weight

    return draw


def _same_number(n_out: int, n_in: int, p: float, generator: torch.Generator | None) -> Tensor:
    """A mask that keeps exactly a share p of each row, in random places."""
    order = torch.rand(n_out, n_in, generator=generator).argsort(1).argsort(1)
    return order < round(p * n_in)


@exercise(
    "variance-sparse-draw",
    inputs=_sparse_shape,
    observe=thrice,
    describe=_zeros_and_numbers,
    cases=4,
    rtol32=None,
    right="the variance is LeCun's, though most of the weights are zero.",
    mistakes={
        "You gave the nonzero weights LeCun's variance. Averaged over the zeros as well, the variance of a weight is "
        "only a share p of it: make up for that.": _sparse(lambda n_out, n_in, p: n_in**-0.5),
        "You divided the weights by p, which makes up for the zeros twice: a variance scales with the square. Divide "
        "by the root of p.": _sparse(lambda n_out, n_in, p: n_in**-0.5 / p),
        "You used the variance 1/(p n_in) as the standard deviation. Take its root.": _sparse(
            lambda n_out, n_in, p: 1 / (p * n_in)
        ),
        "You counted the outputs. A unit sums over its n_in inputs, and p n_in of them arrive.": _sparse(
            lambda n_out, n_in, p: (p * n_out) ** -0.5
        ),
        "You kept each weight with probability 1 - p, and scaled it accordingly. p is the share that is kept.": _sparse(
            lambda n_out, n_in, p: ((1 - p) * n_in) ** -0.5, share=lambda p: 1 - p
        ),
        "You set the wrong share to zero: p is the share that is kept. The scale you chose belongs to p.": _sparse(
            share=lambda p: 1 - p
        ),
        "All units have their zeros in the same places, so most inputs reach no unit at all. Draw a mask as large as "
        "the matrix.": _sparse(mask_shape=lambda n_out, n_in: (1, n_in)),
        "You drew the nonzero weights uniformly. The exercise asks for normal ones.": (
            _sparse(numbers=lambda *shape, generator: 12**0.5 * (torch.rand(shape, generator=generator) - 0.5))
        ),
        "You kept or dropped whole units: your mask has one number for each row. Draw a mask as large as the "
        "matrix.": _sparse(mask_shape=lambda n_out, n_in: (n_out, 1)),
        "Every unit keeps the same number of weights. The exercise keeps each one independently of "
        "all others.": _sparse(mask=_same_number),
        "Your mask compares normal numbers with p. A number from `torch.rand` is below p with probability p; one from "
        "`torch.randn` is not.": _sparse(
            mask=lambda *shape, p, generator: torch.randn(shape, generator=generator) < p,
        ),
        "Your variance is twice LeCun's. The factor 2 belongs to ReLU, and there is none here.": _sparse(
            lambda n_out, n_in, p: (2 / (p * n_in)) ** 0.5
        ),
        "You multiplied by the root of p. The weights that remain must be larger, to make up for the "
        "zeros: divide.": _sparse(lambda n_out, n_in, p: (p / n_in) ** 0.5),
        "Your zeros come from torch's global stream. Hand `generator` to the call that draws the mask, too.": _sparse(
            zeros_from=lambda generator: None
        ),
        "Your mask comes from `generator`, but the normal numbers come from torch's global stream. Hand `generator` "
        "to both calls.": _sparse(numbers_from=lambda generator: None),
        **off_stream(_sparse()),
    },
)
def variance_sparse_draw(n_out: int, n_in: int, p: float, generator: torch.Generator) -> Tensor:
    """Normal weights, each kept with probability p, of variance 1/n_in."""
    weight: Tensor = _sparse()(n_out, n_in, p, generator)
    return weight


# --- one layer, one number, one error -----------------------------------------------------------------


def _answers(*, generator: torch.Generator) -> Inputs:
    images, units = sizes(2, 3, 6, generator=generator)
    scales = 1 + torch.rand(units, generator=generator, dtype=torch.float64) * 3  # units differ, as draws do
    return (normal(images, units, generator=generator, mean=1) * scales,)


def _with_error(sample: Function) -> Function:
    """An answer that takes other numbers than the units' second moments for the independent ones."""

    def answer(z: Tensor) -> tuple[Tensor, Tensor]:
        values = sample(z)
        return values.mean(), values.std() / values.numel() ** 0.5

    return answer


def _with_other_error(error: Function) -> Function:
    """An answer with another error of the mean, made from each unit's second moment and from z."""
    return lambda z: (z.square().mean(), error(z.square().mean(0), z))


@exercise(
    "variance-standard-error",
    inputs=_answers,
    parts=("second moment", "standard error"),
    right="units are the independent samples, however many images they answer to.",
    mistakes={
        "You counted every entry as a sample. A unit's answers to several images share its weights: average over "
        "images first, then only the units count.": _with_error(lambda z: z.square().flatten()),
        "You counted the images. They are given, and all of them share the weights; what was drawn independently are "
        "the units.": _with_error(lambda z: z.square().mean(1)),
        "Your error is the standard deviation of one unit. Divide by the root of the number "
        "of units.": _with_other_error(lambda units, z: units.std()),
        "You divided the standard deviation by the number of units. The error of a mean falls with the root of that "
        "number.": _with_other_error(lambda units, z: units.std() / len(units)),
        "Your error lacks its last root: it is the variance of the mean.": _with_other_error(
            lambda units, z: units.var() / len(units)
        ),
        "You divided the squares by the number of units. The mean was estimated from the same units, so divide by one "
        "less, as `std()` does.": _with_other_error(lambda units, z: units.std(correction=0) / len(units) ** 0.5),
        "You divided by the root of the number of images. The standard deviation is among units: divide by the root "
        "of their number.": _with_other_error(lambda units, z: units.std() / len(z) ** 0.5),
        "You divided by the root of the number of all entries. The standard deviation is among units: divide by the "
        "root of their number.": _with_other_error(lambda units, z: units.std() / z.numel() ** 0.5),
        "That is the root mean square. The second moment is the mean of the squares, without a root.": lambda z: (
            z.square().mean().sqrt(),
            z.square().mean(0).std() / z.shape[1] ** 0.5,
        ),
        "You forgot the squares: that is the mean of the answers, and its error.": _with_error(lambda z: z.mean(0)),
        "You averaged over the images before you squared. That is the second moment of the units' "
        "own means.": _with_error(lambda z: z.mean(0).square()),
        "You took the variance of each unit over the images. It leaves out the unit's own mean.": _with_error(
            lambda z: z.var(0, correction=0)
        ),
        "You took the unbiased variance of each unit over the images. The second moment subtracts "
        "no mean.": _with_error(lambda z: z.var(0)),
    },
)
def variance_standard_error(z: Tensor) -> tuple[Tensor, Tensor]:
    """The second moment of a layer's answers, images by units, and its standard error over draws."""
    units = z.square().mean(0)
    return units.mean(), units.std() / len(units) ** 0.5


# --- how wide? ----------------------------------------------------------------------------------------


def _depth_and_factor(*, generator: torch.Generator) -> Inputs:
    """A depth and a factor; at e = 2.718 two of the mistakes would agree."""
    return between(10, 30, generator=generator), between(28, 32, generator=generator) / 10


@exercise(
    "variance-needed-width",
    value=True,
    inputs=_depth_and_factor,
    rtol=1e-2,
    right="twice the depth asks for twice the width.",
    mistakes={
        "You left the factor 2 out of 2L/n. A squared standard normal variable has variance 2.": lambda depth, factor: (
            4 * depth / math.log(factor) ** 2
        ),
        "You allowed for one standard deviation. About two draws in three lie within it; the exercise asks for two "
        "standard deviations.": lambda depth, factor: 2 * depth / math.log(factor) ** 2,
        "You compared the variance of the logarithm with ln f. Compare its standard deviation.": lambda depth, factor: (
            4 * depth / math.log(factor)
        ),
        "You used the logarithm to base 10. The law is about the natural one.": lambda depth, factor: (
            8 * depth / math.log10(factor) ** 2
        ),
        "You compared with f - 1. A factor is a distance on the scale of the logarithm: ln f.": lambda depth, factor: (
            8 * depth / (factor - 1) ** 2
        ),
        "You used the sinking median, exp(-L/n), alone. The exercise asks for the spread "
        "around it.": lambda depth, factor: depth / math.log(factor),
    },
)
def variance_needed_width(depth: int, factor: float) -> float:
    """The width at which two standard deviations of the logarithm are one factor."""
    return 8 * depth / math.log(factor) ** 2


# --- a wrong derivation -------------------------------------------------------------------------------


def _interval(*, generator: torch.Generator) -> Inputs:
    low = between(1, 4, generator=generator)
    return low, low + between(3, 6, generator=generator)


def _ratio(low: float, high: float) -> float:
    """Second moment over variance of a uniform variable."""
    return 4 * (low**2 + low * high + high**2) / (high - low) ** 2


@exercise(
    "variance-wrong-step",
    value=True,
    inputs=_interval,
    parts=("step", "ratio"),
    rtol=5e-3,
    right="a second moment went in, and a variance came out.",
    mistakes={
        "Step 1 is the definition of the layer, with its bias at zero. Look further down.": {"step": 1},
        "Step 2 holds: for a fixed input the terms are independent, because the weights are.": {"step": 2},
        "Step 3 holds: when the weights are drawn, x_j is a constant, and constants come out squared.": {"step": 3},
        "Step 5 only inserts what stands above it. The fault is in one of the steps it inserts.": {"step": 5},
        "Your ratio is upside down: divide the truth by the claim.": lambda low, high: {"ratio": 1 / _ratio(low, high)},
        "You divided the squared mean by the variance. The second moment is the sum of both; divide that by the "
        "variance.": lambda low, high: {"ratio": _ratio(low, high) - 1},
        "You took the inputs to be uniform around zero, where second moment and variance agree.": {"ratio": 1},
        "You took the root. The exercise asks for the ratio of the second moments.": lambda low, high: {
            "ratio": math.sqrt(_ratio(low, high))
        },
        "You divided by the squared length of the interval over 3. The variance of a uniform variable is the squared "
        "length over 12.": lambda low, high: {"ratio": _ratio(low, high) / 4},
    },
)
def variance_wrong_step(low: int, high: int) -> tuple[int, float]:
    """The number of the step, and the true second moment over the claimed one."""
    return 4, _ratio(low, high)
