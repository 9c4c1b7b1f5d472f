"""Exercises about diagnosing your model."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, When, exercise
from tutorial_utils.exercises.toolbox import between, fans, listed, scramble, stream

# --- the name of a start ------------------------------------------------------------------------------

#: Of each draw, the kind of distribution and the variance, a function of fan_in and fan_out.
DRAWN: dict[str, tuple[str, Callable[[int, int], float]]] = {
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


def _wide(*, generator: torch.Generator) -> Inputs:
    n = between(75, 90, generator=generator)
    return (n, 2 * n), stream(generator=generator)


def _kernels(*, generator: torch.Generator) -> Inputs:
    c = between(30, 36, generator=generator)
    return (2 * c, c, 3, 2), stream(generator=generator)


def _named(answer: Function, shape: tuple[int, ...], generator: torch.Generator) -> Outcome:
    """What an answer calls each of nine draws."""
    outcome: Outcome = {}
    for source, (kind, variance) in DRAWN.items():
        std = math.sqrt(variance(*fans(torch.empty(shape, device="meta"))))
        weight = torch.empty(shape)
        if kind == "normal":
            weight.normal_(std=std, generator=generator)
        else:
            weight.uniform_(-math.sqrt(3) * std, math.sqrt(3) * std, generator=generator)
        outcome[source] = answer(weight)
    return outcome


def _is_normal(weight: Tensor) -> bool:
    square = weight.double().square()
    return bool(square.square().mean() / square.mean().square() > 2.4)


def _names(
    counted: Callable[[Tensor], tuple[int, int]] = fans,
    shapes: bool = True,
    default: float = 1 / 3,
    power: float = 0.5,
    gap: float = 0.04,
    embedding: bool = True,
    any_default: bool = False,
    glorot: Callable[[int, int], float] = lambda n, m: 2 / (n + m),
    is_normal: Callable[[Tensor], bool] = _is_normal,
) -> Function:
    """A function that names a start, with a choice of what it looks at."""

    def name(weight: Tensor) -> str:
        n, m = counted(weight)
        kind = "normal" if is_normal(weight) or not shapes else "uniform"
        variances = {f"Glorot {kind}": glorot(n, m), f"He {kind}": 2 / n}
        if kind == "uniform" or not shapes or any_default:
            variances["default"] = default / n
        if kind == "normal" and embedding:
            variances["embedding"] = 1.0
        came = weight.double().square().mean().item() ** power
        gaps = {one: abs(came / value**0.5 - 1) for one, value in variances.items()}
        best = min(gaps, key=gaps.__getitem__)
        return best if gaps[best] < gap else "other"

    return name


@exercise(
    "audit-name",
    inputs=(_wide, _kernels),
    observe=_named,
    cases=2,
    rtol32=None,
    right="deviation and shape of the distribution, each with the right fans.",
    mistakes=(
        Mistake(
            "You exchanged the fans. A weight has shape (outputs, inputs, ...): `shape[0]` counts outputs.",
            _names(lambda weight: fans(weight)[::-1]),
        ),
        Mistake(
            "You forgot the kernel: both fans of a convolution contain the number of its entries.",
            _names(lambda weight: (weight.shape[1], weight.shape[0])),
        ),
        Mistake(
            "Your fan_out lacks the kernel: it is `shape[0]` times the number of the kernel's entries.",
            _names(lambda weight: (fans(weight)[0], weight.shape[0])),
        ),
        Mistake(
            "You took 1 / fan_in for Glorot's variance. It is 2 / (fan_in + fan_out), which is the same for square "
            "matrices only.",
            _names(glorot=lambda n, m: 1 / n),
        ),
        Mistake(
            "You look at the deviation only, and take everything for normal. Uniform and normal draws of one "
            "deviation differ in their largest entries, or in their kurtosis: 1.8 and 3.",
            _names(shapes=False),
        ),
        Mistake(
            "You call a draw the default by its deviation alone. A normal one can be as large: the default is uniform.",
            _names(any_default=True),
        ),
        Mistake(
            "You took 1 / sqrt(fan_in) for the default's deviation. It is its bound, and the deviation is smaller by "
            "sqrt(3).",
            _names(default=1.0),
        ),
        Mistake(
            "You take everything for uniform. The largest entries of a normal draw of this size lie beyond three "
            "deviations, those of a uniform one within sqrt(3).",
            _names(is_normal=lambda weight: False),
        ),
        Mistake(
            "You exchanged normal and uniform. Compared with its deviation a normal draw has the larger entries, and "
            "the larger kurtosis: 3 against 1.8.",
            _names(is_normal=lambda weight: not _is_normal(weight)),
        ),
        Mistake(
            "You compare a variance with a deviation. Only where both are 1 does that find anything.",
            _names(power=1.0),
        ),
        Mistake(
            "Your function says `other` to everything. Do you compare a variance with a deviation?",
            wrong=When(lambda came, expected, *inputs: set(came.values()) == {"other"}),
        ),
        Mistake(
            "Your function always finds a name, that of the nearest start. If none is within a few percent, say "
            "`other`.",
            _names(gap=math.inf),
        ),
        Mistake(
            "You forgot the embedding, whose weights are standard normal whatever their shape.",
            _names(embedding=False),
        ),
    ),
)
def audit_name(weight: Tensor) -> str:
    """The name of the start with this deviation and this kind of distribution."""
    return str(_names()(weight))


# --- copies -------------------------------------------------------------------------------------------


def _stack(*, generator: torch.Generator) -> Inputs:
    """Blocks of which two are copies of the first, one is drawn by itself, and one layer is tied to it."""
    n = between(2, 4, generator=generator)

    def block() -> nn.Module:
        layer = scramble(nn.Linear(n, n), generator=generator)
        return nn.Sequential(layer, nn.LayerNorm(n).double(), nn.Linear(n, n, bias=False).double())

    first, own = block(), block()
    init.normal_(first[2].weight, generator=generator)  # type: ignore[index]
    init.normal_(own[2].weight, generator=generator)  # type: ignore[index]
    tied = nn.Linear(n, n, bias=False)
    tied.weight = own[0].weight  # type: ignore[index]
    parts = {"a": first, "b": own, "c": copy.deepcopy(first), "d": copy.deepcopy(first), "tied": tied}
    return (nn.ModuleDict(parts),)


def _called(answer: Function, model: nn.Module) -> Outcome:
    """For each parameter, tied ones included, whether an answer calls it a copy."""
    names = listed(answer(model))
    known = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return {
        "only names of parameters": set(names) <= set(known),
        **{f"{name} is a copy": name in names for name in known},
    }


def _is_drawn(parameter: Tensor) -> bool:
    return not torch.equal(parameter, parameter.flatten()[0].expand_as(parameter))


def _pairs(model: nn.Module, *, tied: bool = False) -> Iterator[tuple[str, Tensor, str, Tensor]]:
    """Each parameter with each earlier one."""
    named = list(model.named_parameters(remove_duplicate=not tied))
    for later, (name, parameter) in enumerate(named):
        for earlier, other in named[:later]:
            yield name, parameter, earlier, other


def _copies(
    keep: Callable[[Tensor], bool] = _is_drawn,
    same: Callable[[Tensor, Tensor], bool] = torch.equal,
    *,
    tied: bool = False,
    named: Callable[[str, str], tuple[str, ...]] = lambda earlier, later: (later,),
) -> Function:
    """A function that lists copies, with a choice of what counts as one, and of what is named of a pair."""

    def find(model: nn.Module) -> list[str]:
        found: dict[str, None] = {}
        for name, parameter, earlier, other in _pairs(model, tied=tied):
            if same(parameter, other) and keep(parameter):
                found |= dict.fromkeys(named(earlier, name))
        return list(found)

    return find


@exercise(
    "audit-copies",
    inputs=_stack,
    observe=_called,
    cases=2,
    right="each copy is named, no constant, no original and no tied weight.",
    mistakes=(
        Mistake(
            "You named constants, too. Ones and zeros agree in any case, and nobody copied them.",
            _copies(lambda parameter: True),
        ),
        Mistake(
            "You left out zeros, but not ones: the scales of the normalizations are constants as well.",
            _copies(lambda parameter: bool(parameter.any())),
        ),
        Mistake(
            "You named the originals as well. Asked for are the copies, which come later.",
            _copies(named=lambda earlier, later: (earlier, later)),
        ),
        Mistake(
            "You named the parameters of which a copy follows. Asked for are those that are copies of an earlier one.",
            _copies(named=lambda earlier, later: (earlier,)),
        ),
        Mistake(
            "Not all of these are names of parameters. Give them as `named_parameters()` of the whole model lists "
            "them.",
            wrong=When(lambda came, expected, *inputs: came["only names of parameters"] is False),
        ),
        Mistake(
            "You named the tied weight. That is one parameter with two names, not a copy: training keeps both alike. "
            "`state_dict()` lists it twice, `named_parameters()` once.",
            _copies(tied=True),
        ),
        Mistake(
            "Your function finds nothing. Copies are other tensors with the same numbers: `is` and `data_ptr` do not "
            "see them, `torch.equal` does.",
            lambda model: [],
        ),
        Mistake(
            "You compared shapes. Two draws of one shape are no copies.",
            _copies(same=lambda one, other: one.shape == other.shape),
        ),
        Mistake(
            "You looked at matrices only. PyTorch's default draws biases, too, and they are copied with the rest.",
            _copies(lambda parameter: parameter.dim() > 1),
        ),
    ),
)
def audit_copies(model: nn.Module) -> list[str]:
    """The names of the parameters with the numbers of an earlier one, constants left out."""
    seen: dict[tuple[Any, ...], str] = {}
    copies = []
    for name, parameter in model.named_parameters():
        numbers = tuple(parameter.flatten().tolist())
        if len(set(numbers)) > 1 and seen.setdefault((parameter.shape, numbers), name) != name:
            copies.append(name)
    return copies
