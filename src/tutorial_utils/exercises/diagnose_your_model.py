"""Exercises about diagnosing your model."""

import copy
import math
from collections import OrderedDict
from collections.abc import Iterator
from itertools import combinations
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.toolbox import between, fans, listed, normal, scramble, uniform

# --- the name of an initialization --------------------------------------------------------------------

#: Of each draw, the kind of distribution and the variance, a function of fan_in and fan_out.
DRAWN: dict[str, tuple[str, Function]] = {
    "nn.Linear's own": ("uniform", lambda n, m: 1 / (3 * n)),
    "xavier_normal_": ("normal", lambda n, m: 2 / (n + m)),
    "xavier_uniform_": ("uniform", lambda n, m: 2 / (n + m)),
    "kaiming_normal_": ("normal", lambda n, m: 2 / n),
    "kaiming_uniform_": ("uniform", lambda n, m: 2 / n),
    "nn.Embedding's own": ("normal", lambda n, m: 1.0),
    "half of kaiming_normal_": ("normal", lambda n, m: 0.5 / n),
    "a normal draw as large as the default": ("normal", lambda n, m: 1 / (3 * n)),
    "LeCun's uniform draw": ("uniform", lambda n, m: 1 / n),
}


def _drawn(*shape: int, generator: torch.Generator) -> Inputs:
    """A weight of each kind, in random order; they are the rows of one tensor."""
    weights = []
    for number in torch.randperm(len(DRAWN), generator=generator).tolist():
        kind, variance = list(DRAWN.values())[number]
        weight = normal(*shape, generator=generator)
        if kind == "uniform":
            weight.uniform_(-(3**0.5), 3**0.5, generator=generator)
        weights.append(weight * math.sqrt(variance(*fans(weight))))
    return (torch.stack(weights),)


def _matrices(*, generator: torch.Generator) -> Inputs:
    n = between(75, 90, generator=generator)
    return _drawn(n, 2 * n, generator=generator)


def _kernels(*, generator: torch.Generator) -> Inputs:
    channels = between(30, 36, generator=generator)
    return _drawn(2 * channels, channels, 3, 2, generator=generator)


def _names_of(answer: Function, weights: Tensor) -> list[Any]:
    return [answer(weight) for weight in weights]


def _by_source(names: list[Any], weights: Tensor) -> Outcome:
    """What an answer calls each weight, by how that was drawn; the numbers show it, so no answer needs to be told."""
    found = dict(zip(map(_source, weights), names, strict=True))
    return {source: found[source] for source in DRAWN}


def _source(weight: Tensor) -> str:
    """The draw of the same kind whose variance is nearest to that of the weight."""
    kind = "normal" if _is_normal(weight) else "uniform"
    variances = {source: variance(*fans(weight)) for source, (of, variance) in DRAWN.items() if of == kind}
    return min(variances, key=lambda source: abs(math.log(weight.square().mean() / variances[source])))


def _is_normal(weight: Tensor) -> bool:
    square = weight.double().square()
    return bool(square.square().mean() / square.mean().square() > 2.4)


def _name(
    *,
    counted: Function = fans,
    is_normal: Function = _is_normal,
    glorot: Function = lambda n, m: 2 / (n + m),
    default: float = 1 / 3,
    default_is: tuple[str, ...] = ("uniform",),
    embedding: bool = True,
    power: float = 0.5,
    tolerance: float = 0.04,
) -> Function:
    """A function that names an initialization, right unless told otherwise."""

    def name(weight: Tensor) -> str:
        n, m = counted(weight)
        kind = "normal" if is_normal(weight) else "uniform"
        variances = {f"Glorot {kind}": glorot(n, m), f"He {kind}": 2 / n}
        if kind in default_is:
            variances["default"] = default / n
        if kind == "normal" and embedding:
            variances["embedding"] = 1.0
        size = weight.double().square().mean().item() ** power
        gaps = {one: abs(size / variance**0.5 - 1) for one, variance in variances.items()}
        best = min(gaps, key=gaps.__getitem__)
        return best if gaps[best] < tolerance else "other"

    return name


@exercise(
    "audit-name",
    guessing=1.0,
    inputs=(_matrices, _kernels),
    observe=_names_of,
    describe=_by_source,
    cases=2,
    rtol32=None,
    right="standard deviation and shape of the distribution, each with the right fans.",
    mistakes={
        "You exchanged the fans. A weight has shape (outputs, inputs, ...): `shape[0]` counts outputs.": _name(
            counted=lambda weight: fans(weight)[::-1]
        ),
        "You forgot the kernel: both fans of a convolution contain the number of its entries.": _name(
            counted=lambda weight: (weight.shape[1], weight.shape[0])
        ),
        "Your fan_out lacks the kernel: it is `shape[0]` times the number of the kernel's entries.": _name(
            counted=lambda weight: (fans(weight)[0], weight.shape[0])
        ),
        "You took 1 / fan_in for Glorot's variance. It is 2 / (fan_in + fan_out), which is the same for square "
        "matrices only.": _name(glorot=lambda n, m: 1 / n),
        "You look at the standard deviation only, and take everything for normal. Uniform and normal draws of one "
        "standard deviation differ in their largest entries, or in their kurtosis: 1.8 and 3.": _name(
            is_normal=lambda weight: True, default_is=("normal",)
        ),
        "You call a draw the default by its standard deviation alone. A normal one can be as large: the default is "
        "uniform.": _name(default_is=("normal", "uniform")),
        "You took 1 / sqrt(fan_in) for the default's standard deviation. It is its bound, and the standard deviation "
        "is smaller by sqrt(3).": _name(default=1.0),
        "You take everything for uniform. The largest entries of a normal draw of this size lie beyond three standard "
        "deviations, those of a uniform one within sqrt(3).": _name(is_normal=lambda weight: False),
        "You exchanged normal and uniform. Compared with its standard deviation a normal draw has the larger entries, "
        "and the larger kurtosis: 3 against 1.8.": _name(is_normal=lambda weight: not _is_normal(weight)),
        "You compare a variance with a standard deviation. Only where both are 1 does that find anything.": _name(
            power=1.0
        ),
        "Your function says `other` to everything. Do you compare a variance with a standard "
        "deviation?": lambda weight: "other",
        "Your function always finds a name, that of the nearest initialization. If none is within a few percent, say "
        "`other`.": _name(tolerance=math.inf),
        "You forgot the embedding, whose weights are standard normal whatever their shape.": _name(embedding=False),
    },
)
def audit_name(weight: Tensor) -> str:
    """The name of the initialization with this standard deviation and this kind of distribution."""
    return str(_name()(weight))


# --- copies -------------------------------------------------------------------------------------------


@torch.no_grad()
def _changed(model: nn.Module, change: Function) -> nn.Module:
    """A copy with another number for each that was drawn."""
    own = copy.deepcopy(model)
    for parameter in filter(_is_drawn, own.parameters()):
        parameter.copy_(change(parameter))
    return own


def _stack(*, generator: torch.Generator) -> Inputs:
    """Blocks of which two are copies of the first, two only resemble it, and one layer is tied to one of them."""
    n = between(3, 4, generator=generator)

    def block() -> nn.Module:
        first, second = (scramble(nn.Linear(n, n, bias=bias), generator=generator) for bias in (True, False))
        model = nn.Sequential(first, nn.LayerNorm(n).double(), second)
        return _changed(model, lambda numbers: (numbers * 2**16).round() / 2**16)  # their sum is exact in any order

    first, own, tied = block(), block(), nn.Linear(n, n, bias=False)
    tied.weight = own[0].weight  # type: ignore[index]
    copies = {"a": first, "b": own, "c": copy.deepcopy(first), "d": copy.deepcopy(first)}
    negative, reordered = _changed(first, torch.neg), _changed(first, lambda numbers: numbers.flip(0))
    return (nn.ModuleDict(copies | {"negative": negative, "reordered": reordered, "tied": tied}),)


def _names_from(answer: Function, model: nn.Module) -> list[str]:
    return listed(answer(model))


def _by_parameter(names: list[str], model: nn.Module) -> Outcome:
    """For each parameter, tied ones included, whether an answer calls it a copy."""
    known = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    verdicts = {f"{name} is a copy": name in names for name in known}
    return {"only names of parameters": set(names) <= set(known), **verdicts}


def _is_drawn(parameter: Tensor) -> bool:
    return len(parameter.unique()) > 1


def _copies(
    *,
    keep: Function = _is_drawn,
    same: Function = torch.equal,
    tied: bool = False,
    named: Function = lambda earlier, later: [later],
) -> Function:
    """A function that lists copies, right unless told otherwise."""

    def find(model: nn.Module) -> list[str]:
        pairs = combinations(model.named_parameters(remove_duplicate=not tied), 2)
        found = [(one, two) for (one, first), (two, second) in pairs if same(first, second) and keep(second)]
        return [name for pair in found for name in named(*pair)]

    return find


@exercise(
    "audit-copies",
    guessing=1.0,
    inputs=_stack,
    observe=_names_from,
    describe=_by_parameter,
    cases=2,
    right="each copy is named, no constant, no original and no tied weight.",
    mistakes={
        "You named constants, too. Ones and zeros agree in any case, and nobody copied them.": _copies(
            keep=lambda parameter: True
        ),
        "You left out zeros, but not ones: the scales of the normalizations are constants as well.": _copies(
            keep=lambda parameter: bool(parameter.any())
        ),
        "You named the originals as well. The exercise asks for the copies, which come later.": _copies(
            named=lambda earlier, later: [earlier, later]
        ),
        "You named the parameters that have a copy later on. The exercise asks for those that are copies of an earlier "
        "one.": _copies(named=lambda earlier, later: [earlier]),
        "Not all of these are names of parameters. Give them as `named_parameters()` of the whole model lists "
        "them.": When(lambda outcome, expected, *inputs: outcome["only names of parameters"] is False),
        "You named the tied weight. That is one parameter with two names, not a copy: training keeps both alike. "
        "`state_dict()` lists it twice, `named_parameters()` once.": _copies(tied=True),
        "Your function finds nothing. Copies are other tensors with the same numbers: `is` and `data_ptr` do not see "
        "them, `torch.equal` does. Compare each parameter with all earlier ones.": lambda model: [],
        "You compared shapes. Two draws of one shape are not copies.": _copies(
            same=lambda first, second: first.shape == second.shape
        ),
        "You compared sums. Other numbers, or the same in another order, can have the same sum: compare entry by "
        "entry, with `torch.equal`.": _copies(same=lambda first, second: first.sum() == second.sum()),
        "You compared absolute values. A copy has the same signs, too.": _copies(
            same=lambda first, second: torch.equal(first.abs(), second.abs())
        ),
        "You looked at matrices only. PyTorch's default draws biases, too, and they are copied with the rest.": _copies(
            keep=lambda parameter: parameter.dim() > 1
        ),
    },
)
def audit_copies(model: nn.Module) -> list[str]:
    """The names of the parameters with the numbers of an earlier one, constants left out."""
    names: list[str] = _copies()(model)
    return names


# --- the guilty layer ---------------------------------------------------------------------------------


@torch.no_grad()
def _faulty(factor: float, *, generator: torch.Generator) -> Inputs:
    """A network whose layers make the signal a little larger, but for one of them, and a batch of no common size."""
    width, depth = between(20, 30, generator=generator), 7
    layers = OrderedDict[str, nn.Module]()
    for number in range(1, depth + 1):
        layer = nn.Linear(width, width, bias=False).double()
        layer.weight.copy_(normal(width, width, generator=generator, std=1.3 * math.sqrt(2 / width)))
        layers |= {f"linear{number}": layer, f"relu{number}": nn.ReLU()}
    layers[f"linear{between(3, 4, generator=generator)}"].weight.mul_(factor)  # type: ignore[operator]
    size = uniform(300, 900, generator=generator)
    return nn.Sequential(layers), normal(50, width, generator=generator, std=size)


def _too_large(*, generator: torch.Generator) -> Inputs:
    return _faulty(60.0, generator=generator)


def _too_small(*, generator: torch.Generator) -> Inputs:
    return _faulty(1 / 60.0, generator=generator)


def _rms(x: Tensor) -> float:
    return x.detach().double().square().mean().sqrt().item()


def _sizes(model: nn.Module, x: Tensor) -> Iterator[tuple[str, float, float]]:
    """Of each linear layer its name and the sizes of what it receives and returns."""
    for name, layer in model.named_children():
        received, x = x, layer(x)
        if isinstance(layer, nn.Linear):
            yield name, _rms(received), _rms(x)


def _guilty(
    *,
    of: Function = lambda before, after: after / before,
    strange: Function = lambda value, typical: abs(math.log(value / typical)),
    first_receives: float | None = None,
    behind: int = 0,
) -> Function:
    """A function that names the layer that is out of order, right unless told otherwise."""

    def find(model: nn.Module, x: Tensor) -> str:
        rows = list(_sizes(model, x))
        if first_receives is not None:
            rows[0] = (rows[0][0], first_receives, rows[0][2])
        values = [of(before, after) for _, before, after in rows]
        typical = median(values)
        worst = max(range(len(rows)), key=lambda number: strange(values[number], typical))
        return rows[worst + behind][0]

    return find


@exercise(
    "diagnose-guilty-layer",
    guessing=0.1,
    inputs=(_too_large, _too_small),
    cases=4,
    rtol32=None,
    right="the ratio of what comes out to what goes in accuses one layer, whatever the size of the batch.",
    mistakes={
        "You looked for the largest output. All layers behind the guilty one pass on what they were given: divide what "
        "comes out of a layer by what goes in.": _guilty(
            of=lambda before, after: after, strange=lambda value, typical: value
        ),
        "You compared sizes of outputs. They say where the signal is out of order, not who made it so: divide what "
        "comes out of a layer by what goes in.": _guilty(of=lambda before, after: after),
        "You looked for the largest ratio. A layer may also make its signal far too small: compare each ratio with the "
        "typical one, in either direction.": _guilty(strange=lambda value, typical: value),
        "You looked for the smallest ratio. A layer may also make its signal far too large: compare each ratio with "
        "the typical one, in either direction.": _guilty(strange=lambda value, typical: -value),
        "You took for granted that the batch has size 1. What the first layer receives must be measured, as for all "
        "others.": _guilty(first_receives=1.0),
        "You named a layer behind the guilty one. That layer only receives what is out of order.": _guilty(behind=1),
    },
)
def diagnose_guilty_layer(model: nn.Module, x: Tensor) -> str:
    """The name of the linear layer whose ratio of root mean squares is farthest from the typical one."""
    return str(_guilty()(model, x))
