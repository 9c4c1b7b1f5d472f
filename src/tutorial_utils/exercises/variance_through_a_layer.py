"""Exercises about variance through a layer."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.compare import Estimate, Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import (
    between,
    moments,
    normal,
    off_stream,
    origin,
    rescaled,
    sizes,
    stream,
    tensor,
    thrice,
    uniform,
)

# --- PyTorch's own layer ------------------------------------------------------------------------------


def _default_layer(*, generator: torch.Generator) -> Inputs:
    """A small number of inputs, their mean and their standard deviation."""
    n_in, mean = between(6, 15, generator=generator), uniform(0.4, 0.9, generator=generator)
    return n_in, mean, uniform(1.1, 1.9, generator=generator)


@exercise(
    "variance-default-layer",
    inputs=_default_layer,
    rtol=3e-3,
    rtol32=None,
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
        "You used the variance 1/n_in for the weights. That is LeCun's; PyTorch's default interval gives a third of "
        "it.": lambda n, mean, std: mean**2 + std**2 + 1 / (3 * n),
        "You added the standard deviation of the inputs. What adds up with the squared mean is its square, the "
        "variance.": lambda n, mean, std: (mean**2 + std + 1 / n) / 3,
    },
)
def variance_default_layer(n_in: int, mean: float, std: float) -> float:
    """The second moment of a pre-activation under PyTorch's default initialization."""
    return (mean**2 + std**2) / 3 + 1 / (3 * n_in)


# --- one expectation for each pair of inputs -----------------------------------------------------------


def _batch(*, generator: torch.Generator) -> Inputs:
    m, n_in = sizes(2, 2, 5, generator=generator)
    x = normal(m, n_in, generator=generator, mean=1.5)
    return x, uniform(0.1, 0.4, generator=generator), uniform(0.5, 1, generator=generator)


def _pairs(products: Function = lambda x: x @ x.T, *, bias: Function = lambda products: 1.0) -> Function:
    """An answer, right unless told otherwise: ``var_w`` times products of the rows, and ``var_b`` times a pattern."""

    def answer(x: Tensor, var_w: float, var_b: float) -> Tensor:
        found = products(x)
        result: Tensor = var_w * found + var_b * bias(found)
        return result

    return answer


def _centered(x: Tensor) -> Tensor:
    return x - x.mean(1, keepdim=True)


@exercise(
    "variance-each-pair",
    inputs=_batch,
    right="when the layer is drawn, each pair of inputs has its own number: the weights multiply their inner product, "
    "and the bias lifts all of them alike.",
    mistakes={
        "You gave one number for each input, the diagonal of what is asked for. Two different inputs meet the same "
        "weights and the same bias, so their answers go together, too.": lambda x, var_w, var_b: (
            var_w * x.square().sum(1) + var_b
        ),
        "You let different inputs have independent answers, so all that remains is the diagonal. But both go through "
        "the same unit, with the same weights and the same bias.": lambda x, var_w, var_b: torch.diag(
            var_w * x.square().sum(1) + var_b
        ),
        "You added the variance of the bias for equal inputs only. The bias of a unit is one number, the same for all "
        "inputs, so every pair gets it.": _pairs(bias=lambda products: torch.eye(len(products), dtype=products.dtype)),
        "You left out the bias.": _pairs(bias=lambda products: 0.0),
        "You took cosines. The inner product also contains the lengths of both inputs.": _pairs(
            lambda x: (x / x.norm(dim=1, keepdim=True)) @ (x / x.norm(dim=1, keepdim=True)).T
        ),
        "You multiplied the lengths of both inputs and left out their angle. What counts is the inner product.": _pairs(
            lambda x: torch.outer(x.norm(dim=1), x.norm(dim=1))
        ),
        "You averaged the products over the entries. `var_w` is the variance of one weight, so they are summed; a mean "
        "would go with n_in * var_w.": _pairs(lambda x: x @ x.T / x.shape[1]),
        "You multiplied the inner products by n_in. The sum over the entries contains this factor already.": _pairs(
            lambda x: x.shape[1] * x @ x.T
        ),
        "You subtracted the mean of each input. Only the weights need mean zero; the inputs enter as they are.": _pairs(
            lambda x: _centered(x) @ _centered(x).T
        ),
        "You multiplied the sums of the inputs. Terms with two different weights vanish on average; what "
        "remains are products of entries at the same place.": _pairs(lambda x: torch.outer(x.sum(1), x.sum(1))),
        "You compared the entries, not the inputs. An input is a row of `x`, so the result has a row and a column for "
        "each row of `x`.": _pairs(lambda x: x.T @ x),
        "You squared `var_w` and `var_b`. They are variances already.": lambda x, var_w, var_b: (
            var_w**2 * x @ x.T + var_b**2
        ),
        "You took the roots of `var_w` and `var_b`. A mean product contains the variances "
        "themselves.": lambda x, var_w, var_b: var_w**0.5 * x @ x.T + var_b**0.5,
        "You multiplied the variance of the bias by n_in. Each unit adds one bias.": lambda x, var_w, var_b: (
            var_w * x @ x.T + x.shape[1] * var_b
        ),
    },
)
def variance_each_pair(x: Tensor, var_w: float, var_b: float) -> Tensor:
    """The mean product of a unit's answers over draws of the layer, for each pair of rows of x."""
    return var_w * torch.einsum("aj,bj->ab", x, x) + var_b


# --- layer after layer --------------------------------------------------------------------------------


def _layers(*, generator: torch.Generator) -> Inputs:
    """The widths of a linear network, the variances of its weights and biases, and what goes in."""
    widths = [10 * size for size in sizes(between(4, 6, generator=generator), 2, 20, generator=generator)]
    counts = len(widths) - 1
    var_w = [uniform(0.7, 1.5, generator=generator) / n for n in widths[:-1]]
    return (
        widths,
        var_w,
        [uniform(0.1, 0.5, generator=generator) for _ in range(counts)],
        uniform(1, 3, generator=generator),
    )


def _chain(
    terms: Function = lambda n_in, n_out: n_in,
    *,
    weight: Function = lambda var_w: var_w,
    bias: Function = lambda var_b, n_in: var_b,
    start: Function = lambda q0: q0,
) -> Function:
    """An answer, right unless told otherwise, layer by layer."""

    def moments_of(widths: Sequence[int], var_w: Sequence[float], var_b: Sequence[float], q0: float) -> Tensor:
        result, q = [], start(q0)
        for (n_in, n_out), of_weight, of_bias in zip(pairwise(widths), var_w, var_b, strict=True):
            q = terms(n_in, n_out) * weight(of_weight) * q + bias(of_bias, n_in)
            result.append(q)
        return torch.tensor(result)

    return moments_of


@exercise(
    "variance-recursion",
    inputs=_layers,
    rtol32=None,
    right="each layer multiplies what arrives by n_in Var[w] and adds the variance of its biases.",
    mistakes={
        "You left out the biases.": _chain(bias=lambda var_b, n_in: 0.0),
        "You multiplied by the number of outputs. A unit sums over its inputs, so n_in is the number of terms.": _chain(
            lambda n_in, n_out: n_out
        ),
        "You left out the number of terms: each unit sums n_in products.": _chain(lambda n_in, n_out: 1),
        "You multiplied the variance of the biases by n_in. A unit adds one bias.": _chain(
            bias=lambda var_b, n_in: n_in * var_b
        ),
        "You took the root of the variance of the weights. A second moment is multiplied by the variance "
        "itself.": _chain(weight=math.sqrt),
        "You squared the variance of the weights. It is a mean of squares already.": _chain(
            weight=lambda var_w: var_w**2
        ),
        "You sent the input into every layer. What a layer receives is the second moment of the layer "
        "below.": lambda widths, var_w, var_b, q0: torch.tensor(
            [n_in * of_weight * q0 + of_bias for n_in, of_weight, of_bias in zip(widths, var_w, var_b, strict=False)]
        ),
        "You used the number of inputs of the first layer in every layer. The number of terms is that of the layer's "
        "own inputs.": lambda widths, var_w, var_b, q0: _chain()([widths[0]] * len(widths), var_w, var_b, q0),
        "You began with 1 in place of the second moment of the input.": _chain(start=lambda q0: 1.0),
        "You squared the second moment of the input. It is a mean of squares already.": _chain(start=lambda q0: q0**2),
        "Your list begins with the input. It should begin with layer 1.": lambda widths, var_w, var_b, q0: torch.tensor(
            [q0, *_chain()(widths, var_w, var_b, q0)]
        ),
        "You returned the last layer only. The exercise asks for every layer.": lambda *net: _chain()(*net)[-1],
        "You added the biases at the end. They go through all the layers above, like everything else in the "
        "signal.": lambda widths, var_w, var_b, q0: (
            _chain(bias=lambda var_b, n_in: 0.0)(widths, var_w, var_b, q0) + torch.tensor(var_b).cumsum(0)
        ),
    },
)
def variance_recursion(widths: Sequence[int], var_w: Sequence[float], var_b: Sequence[float], q0: float) -> Tensor:
    """The second moment of each layer of a linear network."""
    result: Tensor = _chain()(widths, var_w, var_b, q0)
    return result


# --- sparse weights -----------------------------------------------------------------------------------


def _sparse_shape(*, generator: torch.Generator) -> Inputs:
    """Three times as many inputs as outputs, and at most a quarter of the weights: then no two factors agree."""
    n_out = between(80, 110, generator=generator)
    return n_out, 3 * n_out, between(4, 5, generator=generator) / 20, stream(generator=generator)


def _five_draws(answer: Function, n_out: int, n_in: int, p: float, generator: torch.Generator) -> list[Any]:
    """The draws of :func:`thrice`, and two more."""
    return [*thrice(answer, n_out, n_in, p, generator), *(answer(n_out, n_in, p, generator) for _ in range(2))]


def _zeros_and_numbers(draws: list[Any], n_out: int, n_in: int, p: float, generator: torch.Generator) -> Outcome:
    """Shape, masks, moments, and what the generator decides; no moments where rows or columns share their zeros."""
    first, copy, moved_on, *more = map(tensor, draws)
    if first.dim() != 2:
        raise WrongType(f"A matrix is asked for, and your tensor has {first.dim()} dimensions.")
    mask, kept = first != 0, (first != 0) & (copy != 0)
    dense = bool(mask.all())  # then nothing can be said of the zeros
    rows_differ = dense or len(mask.unique(dim=0)) > 1
    columns_differ = dense or mask.unique(dim=1).shape[1] > 1
    share = Estimate(mask.double().mean().item(), math.sqrt(p * (1 - p) / first.numel()))
    spread = {"share of weights that are kept": share} | moments(first)
    return {
        "shape": str(tuple(first.shape)),
        "units differ in their zeros": rows_differ,
        "inputs differ in their zeros": columns_differ,
        "units differ in how many": dense or len(mask.sum(1).unique()) > 1,
        "draws differ in how many": dense or len({int((one != 0).sum()) for one in (first, moved_on, *more)}) > 1,
        "rescaled to fit": rescaled(first, moved_on),
        **(spread if rows_differ and columns_differ else dict.fromkeys(spread)),
        "zeros come from": "the generator" if dense else origin(mask, copy != 0, moved_on != 0),
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
    after: Function = lambda weight, n_in: weight,
    zeros_from: Function = lambda generator: generator,
    numbers_from: Function = lambda generator: generator,
) -> Function:
    """An answer, right unless told otherwise."""

    def draw(n_out: int, n_in: int, p: float, generator: torch.Generator) -> Tensor:
        kept = mask(*mask_shape(n_out, n_in), p=share(p), generator=zeros_from(generator))
        weight: Tensor = numbers(n_out, n_in, generator=numbers_from(generator)) * kept * scale(n_out, n_in, p)
        adjusted: Tensor = after(weight, n_in)
        return adjusted

    return draw


def _no_zeros(outcome: Outcome, *others: Any) -> bool:
    """Whether all weights were kept."""
    return bool(outcome["share of weights that are kept"].value == 1)


def _same_total(n_out: int, n_in: int, p: float, generator: torch.Generator | None) -> Tensor:
    """A mask that keeps exactly a share p of the whole matrix, in random places."""
    places = torch.randperm(n_out * n_in, generator=generator).view(n_out, n_in)
    return places < round(p * n_out * n_in)


def _largest(n_out: int, n_in: int, p: float, generator: torch.Generator) -> Tensor:
    """Numbers of which the largest share p is kept."""
    numbers = torch.randn(n_out, n_in, generator=generator)
    return numbers * (numbers.abs() > numbers.abs().quantile(1 - p)) / math.sqrt(p * n_in)


def _same_number(n_out: int, n_in: int, p: float, generator: torch.Generator | None) -> Tensor:
    """A mask that keeps exactly a share p of each row, in random places."""
    order = torch.rand(n_out, n_in, generator=generator).argsort(1).argsort(1)
    return order < round(p * n_in)


@exercise(
    "variance-sparse-draw",
    inputs=_sparse_shape,
    observe=_five_draws,
    describe=_zeros_and_numbers,
    cases=4,
    rtol32=None,
    right="the variance is LeCun's, though most of the weights are zero.",
    mistakes={
        "None of your weights is zero. Decide for each weight by chance whether it is kept, and set the others to "
        "zero.": When(_no_zeros),
        "You rescaled the matrix that you drew until its variance was exactly right. The distribution has this "
        "variance; a draw from it has more or less by chance.": _sparse(
            after=lambda weight, n_in: weight / weight.square().mean().sqrt() / n_in**0.5
        ),
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
        "Every draw keeps the same number of weights. The exercise keeps each one by a chance of its own, so that the "
        "number differs from draw to draw.": _sparse(mask=_same_total),
        "Your mask compares normal numbers with p. A number from `torch.rand` is below p with probability p; one from "
        "`torch.randn` is not.": _sparse(
            mask=lambda *shape, p, generator: torch.randn(shape, generator=generator) < p,
        ),
        "You kept the largest numbers. Chance alone decides which weights are kept, whatever their size: draw the mask "
        "separately.": _largest,
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
        "You used a formula for normal answers of equal size, √(2/n) times the second moment. Units differ more than "
        "that: take the spread among them.": _with_other_error(lambda units, z: units.mean() * (2 / len(units)) ** 0.5),
        "That is twice the standard error, as for an interval of 95 percent. The exercise asks for one "
        "standard error.": _with_other_error(lambda units, z: 2 * units.std() / len(units) ** 0.5),
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
        "You took the spread of all single entries. What varies from draw to draw is a unit's mean over the images: "
        "average over the images first, and take the spread of that.": _with_other_error(
            lambda units, z: z.square().std() / len(units) ** 0.5
        ),
        "You subtracted the mean of all entries, as a variance does. The second moment is the mean of the squares "
        "themselves.": _with_error(lambda z: (z - z.mean()).square().mean(0)),
    },
)
def variance_standard_error(z: Tensor) -> tuple[Tensor, Tensor]:
    """The second moment of a layer's answers, images by units, and its standard error over draws."""
    units = z.square().mean(0)
    return units.mean(), units.std() / len(units) ** 0.5


# --- how wide? ----------------------------------------------------------------------------------------


def _depth_and_factor(*, generator: torch.Generator) -> Inputs:
    """A factor at which no two mistakes agree, as some would at e = 2.718; a depth at which a rounded width shows."""
    return between(8, 16, generator=generator), uniform(2.8, 3.5, generator=generator)


def _rounded(outcome: Any, expected: float, *inputs: Any) -> bool:
    """Whether a whole number came out, next to the right one."""
    return float(outcome).is_integer() and abs(float(outcome) - expected) < 1


@exercise(
    "variance-needed-width",
    inputs=_depth_and_factor,
    rtol=1e-3,
    rtol32=None,
    cases=12,
    predict=((20, 3.0),),
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
        "You rounded. The exercise asks for the number that the formula gives, with its fraction; a width that you use "
        "has to be rounded up, since with a smaller one the demand is not met.": When(_rounded),
        "You used the 5 of a ReLU network. In a linear one, the logarithm gains the variance 2/n in each "
        "layer.": lambda depth, factor: 20 * depth / math.log(factor) ** 2,
        "You put the factor itself in place of its logarithm. The law is about the logarithm of the "
        "ratio.": lambda depth, factor: 8 * depth / factor**2,
        "You fitted both sides together into ln f. Two standard deviations to each side may be as large as "
        "ln f.": lambda depth, factor: 32 * depth / math.log(factor) ** 2,
        "You used 1.96 standard deviations. The exercise says two.": lambda depth, factor: (
            2 * 1.96**2 * depth / math.log(factor) ** 2
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
    low = uniform(1, 4, generator=generator)
    return low, low + uniform(4, 7, generator=generator)


def _ratio(low: float, high: float) -> float:
    """Second moment over variance of a uniform variable."""
    return 4 * (low**2 + low * high + high**2) / (high - low) ** 2


@exercise(
    "variance-wrong-step",
    inputs=_interval,
    rtol=5e-3,
    rtol32=None,
    right="step 4 is the wrong one. E[x²] is the variance plus the squared mean, and here the mean is not zero.",
    mistakes={
        "Your factor is upside down: divide the true second moment by the claimed one.": lambda low, high: (
            1 / _ratio(low, high)
        ),
        "You divided the squared mean by the variance. The second moment is the sum of both; divide that by the "
        "variance.": lambda low, high: _ratio(low, high) - 1,
        "You found nothing to correct. That would be right for inputs around zero, where second moment and variance "
        "agree; these are all positive.": lambda low, high: 1.0,
        "That is the number of a step, or the factor for inputs that begin at zero. The exercise asks for the factor "
        "between the two second moments, for any `low` and `high`.": lambda low, high: 4.0,
        "You added the mean to the variance. What adds up with it is the squared mean.": lambda low, high: (
            1 + 6 * (low + high) / (high - low) ** 2
        ),
        "You took the root. The exercise asks for the factor between second moments.": lambda low, high: math.sqrt(
            _ratio(low, high)
        ),
        "You divided by the squared length of the interval over 3. The variance of a uniform variable is the squared "
        "length over 12.": lambda low, high: _ratio(low, high) / 4,
        "That is the true second moment itself. Divide it by the claimed one, the variance of an "
        "input.": lambda low, high: _ratio(low, high) * (high - low) ** 2 / 12,
        "You took the squared length of the interval over 3 for the variance. With the whole length it is over 12; "
        "over 3 goes with half the length.": lambda low, high: 1 + (_ratio(low, high) - 1) / 4,
        "You took high²/3 for the true second moment, as if the interval began at zero. Add the squared mean to the "
        "variance.": lambda low, high: 4 * high**2 / (high - low) ** 2,
    },
)
def variance_wrong_step(low: float, high: float) -> float:
    """The true second moment over the claimed one."""
    return _ratio(low, high)
