"""Exercises of chapter 8: every default."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, When, exercise
from tutorial_utils.exercises.toolbox import between, fans, listed, scramble, sizes, stream

# --- read the source ----------------------------------------------------------------------------------


def _layers(*, generator: torch.Generator) -> Inputs:
    """No sum or multiple of a size that a mistake may take is equal to another."""
    n_in, hidden = (10 * size for size in sizes(2, 2, 9, generator=generator))
    width, kdim = (8 * size for size in sizes(2, 5, 12, generator=generator))
    return n_in + 4, hidden, width, kdim


Size = Callable[[int, int, int, int], float]


def _hidden(n: int, h: int, e: int, k: int) -> float:
    return h


def _packed(n: int, h: int, e: int, k: int) -> float:
    return 4 * e / 6


def _key(n: int, h: int, e: int, k: int) -> float:
    return (e + k) / 6


def _bounds(lstm: Size = _hidden, packed: Size = _packed, key: Size = _key) -> Function:
    """The inverse roots of three sizes."""
    return lambda *sizes: tuple(1 / math.sqrt(size(*sizes)) for size in (lstm, packed, key))


@exercise(
    "audit-bounds",
    value=True,
    inputs=_layers,
    rtol=5e-3,
    parts=("LSTM", "packed", "key"),
    right="the LSTM knows its hidden units only, and Glorot's formula takes each matrix as it is stored.",
    mistakes=(
        Mistake(
            "The LSTM's bound does not depend on the number of inputs. `RNNBase.reset_parameters` says what it takes.",
            _bounds(lambda n, h, e, k: n),
        ),
        Mistake(
            "For the LSTM you counted inputs and hidden units together. `RNNBase.reset_parameters` takes one of them.",
            _bounds(lambda n, h, e, k: n + h),
        ),
        Mistake(
            "For the LSTM you counted the rows of all four gates. `RNNBase.reset_parameters` takes `hidden_size`.",
            _bounds(lambda n, h, e, k: 4 * h),
        ),
        Mistake(
            "You gave the LSTM Glorot's bound. `RNNBase.reset_parameters` does not call `xavier_uniform_`; see what it "
            "takes.",
            _bounds(lambda n, h, e, k: (n + 4 * h) / 6),
        ),
        Mistake(
            "You gave the packed matrix the bound of a separate one. Glorot's formula sees its 3 E rows.",
            _bounds(packed=lambda n, h, e, k: 2 * e / 6),
        ),
        Mistake(
            "You gave the packed matrix the bound of nn.Linear. `MultiheadAttention._reset_parameters` calls "
            "`xavier_uniform_`.",
            _bounds(packed=lambda n, h, e, k: e),
        ),
        Mistake(
            "You gave the separate matrix of the keys the fans of a square one. It has shape (E, kdim).",
            _bounds(key=lambda n, h, e, k: 2 * e / 6),
        ),
        Mistake(
            "You gave the matrix of the keys the bound of nn.Linear. Separate matrices are Glorot's, too.",
            _bounds(key=lambda n, h, e, k: k),
        ),
        Mistake(
            "With another `kdim` the matrices are separate: that of the keys has E rows, not 3 E.",
            _bounds(key=lambda n, h, e, k: (3 * e + k) / 6),
        ),
        Mistake(
            "Those are deviations. The largest entry of a uniform draw is sqrt(3) times as large.",
            _bounds(lambda *s: 3 * _hidden(*s), lambda *s: 3 * _packed(*s), lambda *s: 3 * _key(*s)),
        ),
    ),
)
def audit_bounds(n_in: int, hidden: int, width: int, kdim: int) -> tuple[float, float, float]:
    """The bounds of the uniform draws, from the shapes of the weights."""
    with torch.device("meta"):
        packed = nn.MultiheadAttention(width, 1).in_proj_weight
        key = nn.MultiheadAttention(width, 1, kdim=kdim).k_proj_weight
    lstm = 1 / math.sqrt(hidden)
    return lstm, math.sqrt(6 / sum(packed.shape)), math.sqrt(6 / sum(key.shape))


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


# --- the forget gate ----------------------------------------------------------------------------------


def _recurrent(*, generator: torch.Generator) -> Inputs:
    n_in, hidden = sizes(2, 2, 4, generator=generator)
    return (scramble(nn.LSTM(n_in, hidden, num_layers=2, bidirectional=True), generator=generator),)


GATES = ("input", "forget", "cell", "output")


def _forgetful(answer: Function, lstm: Any) -> Outcome:
    """The forget gates' biases after an answer, layer by layer and direction by direction, and what else changed."""
    own = copy.deepcopy(lstm)
    answer(own)
    old, new = (dict(one.named_parameters()) for one in (lstm, own))
    outcome: Outcome = {}
    for name in old:
        if name.startswith("bias_ih"):
            both = new[name] + new[name.replace("ih", "hh")]
            outcome[f"forget gate {name.removeprefix('bias_ih_')}"] = both.view(4, -1)[1]
    for number, gate in enumerate(GATES):
        pairs = [(old[name].view(4, -1)[number], new[name].view(4, -1)[number]) for name in old if "bias" in name]
        if gate != "forget":
            outcome[f"the {gate} gate is as before"] = all(torch.equal(*pair) for pair in pairs)
    weights = [torch.equal(old[name], new[name]) for name in old if "weight" in name]
    return outcome | {"the weights are as before": all(weights)}


def _remembering(
    first: float | None = 1.0,
    second: float | None = 0.0,
    *,
    gate: int = 1,
    keep: Callable[[str], bool] = lambda name: True,
    rows: int = 1,
) -> Function:
    """A function that sets one gate of both biases; None leaves it."""

    @torch.no_grad()
    def start(lstm: Any) -> None:
        h = lstm.hidden_size
        for name, parameter in lstm.named_parameters():
            value = first if "bias_ih" in name else second
            if "bias" in name and keep(name) and value is not None:
                parameter[gate * h : (gate + rows) * h] = value

    return start


@torch.no_grad()
def _added(lstm: Any) -> None:
    h = lstm.hidden_size
    for name, parameter in lstm.named_parameters():
        if "bias_ih" in name:
            parameter[h : 2 * h] += 1


@torch.no_grad()
def _attempted(lstm: Any) -> None:
    h = lstm.hidden_size
    lstm.bias_ih_l0[h : 2 * h] += 1


@exercise(
    "audit-forget",
    inputs=_recurrent,
    observe=_forgetful,
    cases=3,
    right="each forget gate gets exactly 1, in every layer and direction, and all else stays.",
    mistakes=(
        Mistake(
            "Your forget gates get 2: there are two bias vectors, and the gate sees their sum.",
            _remembering(second=1.0),
        ),
        Mistake(
            "You added 1 to what was there. The sum of both biases shall be exactly 1: set one, and clear the other.",
            _added,
        ),
        Mistake("You set `bias_hh` and left `bias_ih` as it was. The gate sees their sum.", _remembering(None, 1.0)),
        Mistake("You set `bias_ih` and left `bias_hh` as it was. The gate sees their sum.", _remembering(second=None)),
        Mistake(
            "You changed the input gate. The order is input, forget, cell, output: the forget gate has the second "
            "quarter.",
            _remembering(gate=0),
        ),
        Mistake(
            "You changed the third quarter, the cell. The order is input, forget, cell, output.",
            _remembering(gate=2),
        ),
        Mistake(
            "You changed the output gate. The order is input, forget, cell, output: the forget gate has the second "
            "quarter.",
            _remembering(gate=3),
        ),
        Mistake(
            "This is the attempt as it was: it adds to what is there, and to one vector of one layer and direction.",
            _attempted,
        ),
        Mistake(
            "You changed one layer and one direction only. `named_parameters()` lists the biases of all.",
            _remembering(keep=lambda name: name.endswith("l0")),
        ),
        Mistake(
            "Your function changed nothing. Set the biases of `lstm` itself, in place.",
            _remembering(keep=lambda name: False),
        ),
        Mistake(
            "You changed the first layer only. `named_parameters()` lists the biases of all.",
            _remembering(keep=lambda name: "l0" in name),
        ),
        Mistake(
            "You forgot the backward direction, whose names end in `_reverse`.",
            _remembering(keep=lambda name: "reverse" not in name),
        ),
        Mistake(
            "You changed whole vectors. Only the rows of the forget gate change, `[h : 2 * h]`.",
            _remembering(gate=0, rows=4),
        ),
    ),
)
@torch.no_grad()
def audit_forget(lstm: Any) -> None:
    """Give the forget gates of an LSTM biases whose sum is 1, half in each vector."""
    for name, parameter in lstm.named_parameters():
        if name.startswith("bias"):
            init.constant_(parameter.view(4, -1)[1], 0.5)
