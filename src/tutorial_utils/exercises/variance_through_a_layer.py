"""Exercises about variance through a layer."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from tutorial_utils.exercises.compare import Estimate, Outcome
from tutorial_utils.exercises.legacy import thrice
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import between, moments, normal, origin, sizes, stream, tensor, uniform

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
    right="a third of the inputs' second moment, and the biases' on top.",
    mistakes=(
        Mistake(
            "You used the variance of the inputs. Their mean counts, too: what enters is E[x²], the variance plus the "
            "squared mean.",
            lambda n, mean, std: std**2 / 3 + 1 / (3 * n),
        ),
        Mistake(
            "You left out the biases. PyTorch draws them from the same interval as the weights.",
            lambda n, mean, std: (mean**2 + std**2) / 3,
        ),
        Mistake(
            "You took a² for the variance of U(-a, a). It is a²/3.",
            lambda n, mean, std: mean**2 + std**2 + 1 / n,
        ),
        Mistake(
            "You took (2a)²/12 without the 2: the interval from -a to a is 2a long, and its variance a²/3.",
            lambda n, mean, std: (mean**2 + std**2) / 12 + 1 / (12 * n),
        ),
        Mistake(
            "You forgot the number of terms: the unit sums over n_in products, each with the variance of one weight.",
            lambda n, mean, std: (mean**2 + std**2) / (3 * n) + 1 / (3 * n),
        ),
        Mistake(
            "You multiplied the biases' variance by n_in. A unit adds one bias only.",
            lambda n, mean, std: (mean**2 + std**2) / 3 + 1 / 3,
        ),
        Mistake(
            "That is the root mean square. Asked for is the second moment.",
            lambda n, mean, std: math.sqrt((mean**2 + std**2) / 3 + 1 / (3 * n)),
        ),
    ),
)
def variance_default_layer(n_in: int, mean: float, std: float) -> float:
    """The second moment of a pre-activation under the default start."""
    return (mean**2 + std**2) / 3 + 1 / (3 * n_in)


# --- the expectation for each image -------------------------------------------------------------------


def _batch(*, generator: torch.Generator) -> Inputs:
    m, n_in = sizes(2, 2, 5, generator=generator)
    x = normal(m, n_in, generator=generator, mean=1.5)
    return x, uniform(0.1, 0.4, generator=generator), uniform(0.5, 1, generator=generator)


@exercise(
    "variance-each-input",
    inputs=_batch,
    right="each input has its own second moment over draws of the layer.",
    mistakes=(
        Mistake(
            "You averaged over the batch. Nothing averages over inputs here: each row has a number of its own, from "
            "its own entries (dim=1).",
            lambda x, var_w, var_b: var_w * x.square().sum(0) + var_b,
        ),
        Mistake(
            "You gave one number for the whole batch. Under the draw of the weights each input stays fixed and has its "
            "own second moment.",
            lambda x, var_w, var_b: var_w * x.square().sum(1).mean() + var_b,
        ),
        Mistake(
            "You took the mean of the squares over the entries. `var_w` is the variance of one weight, so the squares "
            "are summed; the mean belongs to n_in * var_w.",
            lambda x, var_w, var_b: var_w * x.square().mean(1) + var_b,
        ),
        Mistake(
            "You multiplied the sum of squares by n_in. That is in the sum already: n_in times their mean.",
            lambda x, var_w, var_b: x.shape[1] * var_w * x.square().sum(1) + var_b,
        ),
        Mistake(
            "You subtracted the mean of the input before squaring. Only the weights need mean zero; the input enters "
            "with its squares as they are.",
            lambda x, var_w, var_b: var_w * (x - x.mean(1, keepdim=True)).square().sum(1) + var_b,
        ),
        Mistake(
            "You squared the sum of the inputs. The cross terms vanish on average, and the sum of the squares is left.",
            lambda x, var_w, var_b: var_w * x.sum(1).square() + var_b,
        ),
        Mistake(
            "You squared `var_w` and `var_b`. They are variances already.",
            lambda x, var_w, var_b: var_w**2 * x.square().sum(1) + var_b**2,
        ),
        Mistake(
            "You took the length of each input. The squares are summed, and no root is taken.",
            lambda x, var_w, var_b: var_w * x.norm(dim=1) + var_b,
        ),
        Mistake(
            "You took the variance of each input over its entries, which subtracts their mean. The squares enter as "
            "they are.",
            lambda x, var_w, var_b: var_w * x.shape[1] * x.var(1) + var_b,
        ),
        Mistake("You left out the bias.", lambda x, var_w, var_b: var_w * x.square().sum(1)),
        Mistake(
            "You multiplied the variance of the bias by n_in. Each unit adds one bias.",
            lambda x, var_w, var_b: var_w * x.square().sum(1) + x.shape[1] * var_b,
        ),
        Mistake(
            "That is the root. Asked for is the second moment, E[z²].",
            lambda x, var_w, var_b: (var_w * x.square().sum(1) + var_b).sqrt(),
        ),
    ),
)
def variance_each_input(x: Tensor, var_w: float, var_b: float) -> Tensor:
    """The second moment of a unit over draws of the layer, for each row of x."""
    return var_w * torch.einsum("ij,ij->i", x, x) + var_b


# --- sparse weights -----------------------------------------------------------------------------------


def _sparse_shape(*, generator: torch.Generator) -> Inputs:
    """Three times as many inputs as outputs, and at most a quarter of the weights: then no two factors agree."""
    n_out = between(80, 110, generator=generator)
    return n_out, 3 * n_out, between(4, 5, generator=generator) / 20, stream(generator=generator)


def _sparse(
    n_out: int,
    n_in: int,
    p: float,
    generator: torch.Generator,
    *,
    scale: float | None = None,
    one_mask: bool = False,
    own: Sequence[str] = ("zeros", "numbers"),
) -> Tensor:
    """Weights of a scale, a share p of them not zero; ``own`` names what comes from the generator."""
    mask_source, source = (generator if what in own else None for what in ("zeros", "numbers"))
    mask = torch.rand(1 if one_mask else n_out, n_in, generator=mask_source) < p
    weight = torch.randn(n_out, n_in, generator=source)
    return weight * mask * (1 / math.sqrt(p * n_in) if scale is None else scale)


def _described(answer: Function, n_out: int, n_in: int, p: float, generator: torch.Generator) -> Outcome:
    """Shape, masks, moments, and what the generator decides; no moments where rows or columns share their zeros."""
    draws = thrice(lambda source: tensor(answer(n_out, n_in, p, source)), generator=generator)
    weight = draws[0]
    if weight.dim() != 2:
        raise WrongType(f"A matrix is asked for, and your tensor has {weight.dim()} dimensions.")
    masks, kept = [draw != 0 for draw in draws], (draws[0] != 0) & (draws[1] != 0)
    rows, columns = len(masks[0].unique(dim=0)), masks[0].unique(dim=1).shape[1]
    share = Estimate(masks[0].double().mean().item(), math.sqrt(p * (1 - p) / weight.numel()))
    scattered = {"share of weights that are kept": share} | moments(weight)
    return {
        "shape": str(tuple(weight.shape)),
        "units differ in their zeros": rows > 1,
        "inputs differ in their zeros": columns > 1,
        "units differ in how many": len(masks[0].sum(1).unique()) > 1,
        **(scattered if min(rows, columns) > 1 else dict.fromkeys(scattered)),
        "zeros come from": origin(*masks),
        "numbers come from": origin(draws[0][kept], draws[1][kept], draws[2]),
    }


def _same_number(n_out: int, n_in: int, p: float, generator: torch.Generator) -> Tensor:
    """Exactly a share p of each row, in random places."""
    order = torch.rand(n_out, n_in, generator=generator).argsort(1).argsort(1)
    return (order < round(p * n_in)) * torch.randn(n_out, n_in, generator=generator) / math.sqrt(p * n_in)


@exercise(
    "variance-sparse-draw",
    inputs=_sparse_shape,
    observe=_described,
    cases=4,
    rtol32=None,
    right="the variance is LeCun's, though most of the weights are zero.",
    mistakes=(
        Mistake(
            "You gave the nonzero weights LeCun's variance. With the zeros among them the variance of a weight is only "
            "a share p of it: make up for that.",
            lambda n_out, n_in, p, generator: _sparse(n_out, n_in, p, generator=generator, scale=1 / math.sqrt(n_in)),
        ),
        Mistake(
            "You divided the weights by p, which makes up for the zeros twice: variances scale with the square. Divide "
            "by the root of p.",
            lambda n_out, n_in, p, generator: _sparse(
                n_out, n_in, p, generator=generator, scale=1 / (p * math.sqrt(n_in))
            ),
        ),
        Mistake(
            "You used the variance 1/(p n_in) as the standard deviation. Take its root.",
            lambda n_out, n_in, p, generator: _sparse(n_out, n_in, p, generator=generator, scale=1 / (p * n_in)),
        ),
        Mistake(
            "You counted the outputs. A unit sums over its n_in inputs, of which p n_in arrive.",
            lambda n_out, n_in, p, generator: _sparse(
                n_out, n_in, p, generator=generator, scale=1 / math.sqrt(p * n_out)
            ),
        ),
        Mistake(
            "You kept each weight with probability 1 - p, and scaled it accordingly. p is the share that is kept.",
            lambda n_out, n_in, p, generator: _sparse(n_out, n_in, 1 - p, generator=generator),
        ),
        Mistake(
            "You set the wrong share to zero: p is the share that is kept. The scale you chose belongs to p.",
            lambda n_out, n_in, p, generator: _sparse(
                n_out, n_in, 1 - p, generator=generator, scale=1 / math.sqrt(p * n_in)
            ),
        ),
        Mistake(
            "All units have their zeros in the same places, so most inputs reach no unit at all. Draw a mask as large "
            "as the matrix.",
            partial(_sparse, one_mask=True),
        ),
        Mistake(
            "You drew the nonzero weights uniformly. The exercise asks for normal ones.",
            lambda n_out, n_in, p, generator: (
                (2 * torch.rand(n_out, n_in, generator=generator) - 1)
                * math.sqrt(3 / (p * n_in))
                * (torch.rand(n_out, n_in, generator=generator) < p)
            ),
        ),
        Mistake(
            "You kept or dropped whole units: your mask has one number for each row. Draw a mask as large as the "
            "matrix.",
            lambda n_out, n_in, p, generator: (
                (torch.rand(n_out, 1, generator=generator) < p)
                * torch.randn(n_out, n_in, generator=generator)
                / math.sqrt(p * n_in)
            ),
        ),
        Mistake(
            "Every unit keeps the same number of weights. The exercise keeps each one independently of all others.",
            _same_number,
        ),
        Mistake(
            "Your mask compares normal numbers with p. A number from `torch.rand` is below p with probability p; one "
            "from `torch.randn` is not.",
            lambda n_out, n_in, p, generator: (
                (torch.randn(n_out, n_in, generator=generator) < p)
                * torch.randn(n_out, n_in, generator=generator)
                / math.sqrt(p * n_in)
            ),
        ),
        Mistake(
            "Your variance is twice LeCun's. The factor 2 belongs to ReLU, and there is none here.",
            lambda n_out, n_in, p, generator: _sparse(
                n_out, n_in, p, generator=generator, scale=math.sqrt(2 / (p * n_in))
            ),
        ),
        Mistake(
            "You multiplied by the root of p. The weights that are left must be larger, to make up for the zeros: "
            "divide.",
            lambda n_out, n_in, p, generator: _sparse(n_out, n_in, p, generator=generator, scale=math.sqrt(p / n_in)),
        ),
        Mistake(
            "Your numbers are the same for every generator: you use a fixed seed. Hand `generator` to every call that "
            "draws.",
            lambda n_out, n_in, p, generator: _sparse(n_out, n_in, p, generator=torch.Generator().manual_seed(0)),
        ),
        Mistake(
            "Your zeros come from torch's global stream. Hand `generator` to the call that draws the mask, too.",
            partial(_sparse, own=("numbers",)),
        ),
        Mistake(
            "Your mask comes from `generator`, and the normal numbers come from torch's global stream. Hand "
            "`generator` to both calls.",
            partial(_sparse, own=("zeros",)),
        ),
        Mistake(
            "Your numbers do not all come from `generator`. Hand it to every call that draws.",
            partial(_sparse, own=()),
        ),
    ),
)
def variance_sparse_draw(n_out: int, n_in: int, p: float, generator: torch.Generator) -> Tensor:
    """Normal weights, each kept with probability p, of variance 1/n_in."""
    return _sparse(n_out, n_in, p, generator=generator)


# --- one layer, one number, one error -----------------------------------------------------------------


def _answers(*, generator: torch.Generator) -> Inputs:
    images, units = sizes(2, 3, 6, generator=generator)
    scales = 1 + torch.rand(units, generator=generator, dtype=torch.float64) * 3  # units differ, as draws do
    return (normal(images, units, generator=generator, mean=1) * scales,)


def _with_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of independent numbers and its standard error."""
    return values.mean(), values.std() / values.numel() ** 0.5


def _with_other_error(error: Function) -> Function:
    """An answer with another error of the mean; ``error`` takes each unit's second moment."""
    return lambda z: (z.square().mean(), error(z.square().mean(0)))


@exercise(
    "variance-standard-error",
    inputs=_answers,
    parts=("second moment", "standard error"),
    right="units are the independent samples, whatever they answer to how many images.",
    mistakes=(
        Mistake(
            "You counted every entry as a sample. A unit's answers to several images share its weights: average over "
            "images first, then only the units count.",
            lambda z: _with_error(z.square().flatten()),
        ),
        Mistake(
            "You counted the images. They are given, and all of them share the weights; what was drawn independently "
            "are the units.",
            lambda z: _with_error(z.square().mean(1)),
        ),
        Mistake(
            "Your error is the standard deviation of one unit. Divide by the root of the number of units.",
            _with_other_error(torch.std),
        ),
        Mistake(
            "You divided the deviation by the number of units. The error of a mean falls with its root.",
            _with_other_error(lambda units: units.std() / units.numel()),
        ),
        Mistake(
            "Your error lacks its last root: it is the variance of the mean.",
            _with_other_error(lambda units: units.var() / units.numel()),
        ),
        Mistake(
            "You divided the squares by the number of units. The mean was estimated from the same units, so divide by "
            "one less, as `std()` does.",
            _with_other_error(lambda units: units.std(correction=0) / units.numel() ** 0.5),
        ),
        Mistake(
            "You divided by the root of the number of images. The deviation is among units: divide by the root of "
            "their number.",
            lambda z: (z.square().mean(), z.square().mean(0).std() / len(z) ** 0.5),
        ),
        Mistake(
            "You divided by the root of the number of all entries. The deviation is among units: divide by the root of "
            "their number.",
            lambda z: (z.square().mean(), z.square().mean(0).std() / z.numel() ** 0.5),
        ),
        Mistake(
            "That is the root mean square. The second moment is the mean of the squares, without a root.",
            lambda z: (z.square().mean().sqrt(), z.square().mean(0).std() / z.shape[1] ** 0.5),
        ),
        Mistake(
            "You forgot the squares: that is the mean of the answers, and its error.",
            lambda z: _with_error(z.mean(0)),
        ),
        Mistake(
            "You averaged over the images before you squared. That is the second moment of the units' own means.",
            lambda z: _with_error(z.mean(0).square()),
        ),
        Mistake(
            "You took the variance of each unit over the images. It leaves out the unit's own mean.",
            lambda z: _with_error(z.var(0, correction=0)),
        ),
        Mistake(
            "You took the unbiased variance of each unit over the images. The second moment subtracts no mean.",
            lambda z: _with_error(z.var(0)),
        ),
    ),
)
def variance_standard_error(z: Tensor) -> tuple[Tensor, Tensor]:
    """The second moment of a layer's answers, images by units, and its standard error over draws."""
    return _with_error(z.square().mean(0))


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
    mistakes=(
        Mistake(
            "You left the factor 2 out of 2L/n. A squared standard normal variable has variance 2.",
            lambda depth, factor: 4 * depth / math.log(factor) ** 2,
        ),
        Mistake(
            "You allowed for one standard deviation. That holds two draws in three; the exercise asks for two.",
            lambda depth, factor: 2 * depth / math.log(factor) ** 2,
        ),
        Mistake(
            "You compared the variance of the logarithm with ln f. Compare its standard deviation.",
            lambda depth, factor: 4 * depth / math.log(factor),
        ),
        Mistake(
            "You used the logarithm to base 10. The law is about the natural one.",
            lambda depth, factor: 8 * depth / math.log10(factor) ** 2,
        ),
        Mistake(
            "You compared with f - 1. A factor is a distance on the scale of the logarithm: ln f.",
            lambda depth, factor: 8 * depth / (factor - 1) ** 2,
        ),
        Mistake(
            "You used the sinking median, exp(-L/n), alone. Asked for is the spread around it.",
            lambda depth, factor: depth / math.log(factor),
        ),
    ),
)
def variance_needed_width(depth: int, factor: float) -> float:
    """The width at which two standard deviations of the logarithm are one factor."""
    return 8 * depth / math.log(factor) ** 2


# --- a wrong derivation -------------------------------------------------------------------------------


def _interval(*, generator: torch.Generator) -> Inputs:
    low = between(1, 4, generator=generator)
    return low, low + between(3, 6, generator=generator)


def _steps(numbers: Sequence[tuple[int, str]]) -> tuple[Mistake, ...]:
    """A hint for each step that is taken for the wrong one."""
    return tuple(Mistake(hint, {"step": number}) for number, hint in numbers)


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
    mistakes=(
        *_steps(
            [
                (1, "Step 1 is the definition of the layer, with its bias at zero. Look further down."),
                (2, "Step 2 holds: for a fixed input the terms are independent, because the weights are."),
                (3, "Step 3 holds: under the draw of the weights x_j is a constant, and constants leave squared."),
                (5, "Step 5 only inserts what stands above it. The fault is in one of the steps it inserts."),
            ]
        ),
        Mistake(
            "Your ratio is upside down: the truth over the claim.",
            lambda low, high: {"ratio": 1 / _ratio(low, high)},
        ),
        Mistake(
            "You divided the squared mean by the variance. The second moment is both together, over the variance.",
            lambda low, high: {"ratio": _ratio(low, high) - 1},
        ),
        Mistake(
            "You took the inputs for uniform around zero, where second moment and variance agree.",
            lambda low, high: {"ratio": 1},
        ),
        Mistake(
            "You took the root. Asked for is the ratio of the second moments.",
            lambda low, high: {"ratio": math.sqrt(_ratio(low, high))},
        ),
        Mistake(
            "You divided by the squared length of the interval over 3. The variance of a uniform variable is the "
            "squared length over 12.",
            lambda low, high: {"ratio": _ratio(low, high) / 4},
        ),
    ),
)
def variance_wrong_step(low: int, high: int) -> tuple[int, float]:
    """The number of the step, and the true second moment over the claimed one."""
    return 4, _ratio(low, high)
