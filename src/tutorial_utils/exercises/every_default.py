"""Exercises about PyTorch's defaults."""

import copy
import math
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.functional import cosine_similarity

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, parameters_of, scramble, sizes

# --- read the source ----------------------------------------------------------------------------------


def _layers(*, generator: torch.Generator) -> Inputs:
    """Sizes so far apart that no sum or multiple of one that a mistake may take comes near another."""
    n_in, hidden = sizes(2, 2, 9, generator=generator)
    width, kdim = sizes(2, 5, 12, generator=generator)
    return 10 * n_in + 4, 10 * hidden, 8 * width, 8 * kdim + 3


def _bounds(
    *,
    lstm: Function = lambda n_in, hidden: hidden,
    packed: Function = lambda width: 4 * width / 6,
    key: Function = lambda width, kdim: (width + kdim) / 6,
    factor: float = 1,
) -> Function:
    """The bounds as inverse roots of three sizes, right unless told otherwise."""
    return lambda n_in, hidden, width, kdim: [
        factor / math.sqrt(size) for size in (lstm(n_in, hidden), packed(width), key(width, kdim))
    ]


@exercise(
    "audit-bounds",
    inputs=_layers,
    rtol32=None,
    parts=("LSTM", "packed", "key"),
    right="the LSTM knows its hidden units only, and Glorot's formula takes each matrix as it is stored.",
    mistakes={
        "The LSTM's bound does not depend on the number of inputs. `RNNBase.reset_parameters` says what it "
        "takes.": _bounds(lstm=lambda n_in, hidden: n_in),
        "For the LSTM you counted inputs and hidden units together. `RNNBase.reset_parameters` takes one of "
        "them.": _bounds(lstm=lambda n_in, hidden: n_in + hidden),
        "For the LSTM you counted the rows of all four gates. `RNNBase.reset_parameters` takes `hidden_size`.": _bounds(
            lstm=lambda n_in, hidden: 4 * hidden
        ),
        "You gave the LSTM Glorot's bound. `RNNBase.reset_parameters` does not call `xavier_uniform_`; see what it "
        "takes.": _bounds(lstm=lambda n_in, hidden: (n_in + 4 * hidden) / 6),
        "You gave the packed matrix the bound of a separate one. Glorot's formula sees its 3 E rows.": _bounds(
            packed=lambda width: 2 * width / 6
        ),
        "For the packed matrix you took three times the width alone. Glorot's formula adds both sides: 3 E rows and E "
        "columns.": _bounds(packed=lambda width: 3 * width / 6),
        "You gave the packed matrix the bound of nn.Linear. `MultiheadAttention._reset_parameters` calls "
        "`xavier_uniform_`.": _bounds(packed=lambda width: width),
        "You gave the separate matrix of the keys the fans of a square one. It has shape (E, kdim).": _bounds(
            key=lambda width, kdim: 2 * width / 6
        ),
        "You gave the matrix of the keys the bound of nn.Linear. Separate matrices also get Glorot's bound.": _bounds(
            key=lambda width, kdim: kdim
        ),
        "With another `kdim` the matrices are separate: that of the keys has E rows, not 3 E.": _bounds(
            key=lambda width, kdim: (3 * width + kdim) / 6
        ),
        "Those are standard deviations. The bound of a uniform draw is sqrt(3) times as large.": _bounds(
            factor=3**-0.5
        ),
        "You gave the matrix of the keys the fans of a square one with kdim rows. It has shape (E, kdim).": _bounds(
            key=lambda width, kdim: 2 * kdim / 6
        ),
    },
)
def audit_bounds(n_in: int, hidden: int, width: int, kdim: int) -> tuple[float, float, float]:
    """The bounds of the uniform draws, from the shapes of the weights."""
    with torch.device("meta"):
        packed = nn.MultiheadAttention(width, 1).in_proj_weight
        key = nn.MultiheadAttention(width, 1, kdim=kdim).k_proj_weight
    lstm = 1 / math.sqrt(hidden)
    return lstm, math.sqrt(6 / sum(packed.shape)), math.sqrt(6 / sum(key.shape))


# --- the forget gate ----------------------------------------------------------------------------------


def _recurrent(*, generator: torch.Generator) -> Inputs:
    n_in, hidden = sizes(2, 2, 4, generator=generator)
    return (scramble(nn.LSTM(n_in, hidden, num_layers=2, bidirectional=True), generator=generator),)


def _parameters_afterward(answer: Function, lstm: nn.LSTM) -> list[Any]:
    """The parameters afterward, whether an optimizer made before would hold them, and whether all of them learn."""
    own = copy.deepcopy(lstm)
    known = list(own.parameters())
    answer(own)
    same = all(one is other for one, other in zip(known, own.parameters(), strict=True))
    return [parameters_of(own), same, all(parameter.requires_grad for parameter in own.parameters())]


def _gate_by_gate(raw: list[Any], lstm: nn.LSTM) -> Outcome:
    """The forget gates' biases after an answer, layer by layer and direction by direction, and what else changed."""
    old, (new, same, learn) = parameters_of(lstm), raw
    outcome: Outcome = {}
    biases = [name for name in old if "bias" in name]
    for name in biases[::2]:
        total = new[name] + new[name.replace("ih", "hh")]
        outcome[f"forget gate {name.removeprefix('bias_ih_')}"] = total.view(4, -1)[1]
    for number, gate in {0: "input", 2: "cell", 3: "output"}.items():
        pairs = [[parameters[name].view(4, -1)[number] for parameters in (old, new)] for name in biases]
        outcome[f"the {gate} gate is as before"] = all(torch.equal(*pair) for pair in pairs)
    weights = set(old) - set(biases)
    return outcome | {
        "the weights are as before": all(torch.equal(old[name], new[name]) for name in weights),
        "the parameters are the same objects": same,
        "all parameters can learn": learn,
    }


def _set(
    bias_ih: Function = lambda rows: 1.0,
    bias_hh: Function = lambda rows: 0.0,
    *,
    gates: slice = slice(1, 2),
    of: Function = lambda name: True,
) -> Function:
    """Sets gates of both bias vectors to numbers made from what stands there; right unless told otherwise."""

    @torch.no_grad()
    def remember(lstm: Any) -> None:
        for name, parameter in lstm.named_parameters():
            if "bias" in name and of(name):
                rows = parameter.view(4, -1)[gates]
                rows[:] = (bias_ih if "ih" in name else bias_hh)(rows)

    return remember


def _new_biases(lstm: Any) -> None:
    """Puts new parameters in place of the old ones."""
    fresh = copy.deepcopy(lstm)
    _set()(fresh)
    for name, parameter in fresh.named_parameters():
        if "bias" in name:
            setattr(lstm, name, parameter)


@torch.no_grad()
def _rows_of_all(lstm: Any) -> None:
    """Sets the rows of the forget gate in the weights, too."""
    for _, parameter in lstm.named_parameters():
        parameter.view(4, -1)[1] = 0.5


def _frozen(lstm: Any) -> None:
    _set()(lstm.requires_grad_(False))


def _as_it_is(rows: Tensor) -> Tensor:
    return rows


@exercise(
    "audit-forget",
    inputs=_recurrent,
    observe=_parameters_afterward,
    describe=_gate_by_gate,
    cases=3,
    right="each forget gate gets exactly 1, in every layer and direction, and all else stays.",
    mistakes={
        "Your forget gates get 2: there are two bias vectors, and the gate sees their sum.": _set(
            bias_hh=lambda rows: 1.0
        ),
        "You added 1 to what was there. The sum of both biases should be exactly 1: set one, and clear the "
        "other.": _set(lambda rows: rows + 1, _as_it_is),
        "You set `bias_hh` and left `bias_ih` as it was. The gate sees their sum.": _set(_as_it_is, lambda rows: 1.0),
        "You set `bias_ih` and left `bias_hh` as it was. The gate sees their sum.": _set(bias_hh=_as_it_is),
        "You changed the input gate. The order is input, forget, cell, output: the forget gate has the second "
        "quarter.": _set(gates=slice(0, 1)),
        "You changed the third quarter, the cell. The order is input, forget, cell, output.": _set(gates=slice(2, 3)),
        "You changed the output gate. The order is input, forget, cell, output: the forget gate has the second "
        "quarter.": _set(gates=slice(3, 4)),
        "This is the attempt as it was: it adds to what is there, and to one vector of one layer and direction.": _set(
            lambda rows: rows + 1, _as_it_is, of=lambda name: name.endswith("l0")
        ),
        "You changed one layer and one direction only. `named_parameters()` lists the biases of all.": _set(
            of=lambda name: name.endswith("l0")
        ),
        "Your function changed nothing. Set the biases of `lstm` itself, in place.": _set(of=lambda name: False),
        "You changed the first layer only. `named_parameters()` lists the biases of all.": _set(
            of=lambda name: "l0" in name
        ),
        "You forgot the backward direction, whose names end in `_reverse`.": _set(
            of=lambda name: "reverse" not in name
        ),
        "You put new parameters in place of the old ones. An optimizer made before still holds the old ones: change "
        "those that are there.": _new_biases,
        "Parameters have lost `requires_grad`, and no longer learn. Change the rows under `torch.no_grad()` "
        "instead.": _frozen,
        "You changed whole vectors. Only the rows of the forget gate change, `[h : 2 * h]`.": _set(gates=slice(0, 4)),
        "You set the weights of the forget gates, too. Only their biases change: the names that begin with `bias`.": (
            _rows_of_all
        ),
    },
)
@torch.no_grad()
def audit_forget(lstm: nn.LSTM) -> None:
    """Give the forget gates of an LSTM biases whose sum is 1, half in each vector."""
    for name, parameter in lstm.named_parameters():
        if name.startswith("bias"):
            init.constant_(parameter.view(4, -1)[1], 0.5)


# --- a stack of layers --------------------------------------------------------------------------------


def _makers(*, generator: torch.Generator) -> Inputs:
    """The width and the number of layers of a stack."""
    return between(4, 8, generator=generator), between(3, 8, generator=generator)


def _stacked(answer: Function, width: int, count: int) -> dict[str, Any]:
    """What a stack of layers holds, and how its layers are related."""
    made: list[nn.Module] = []

    def make_layer() -> nn.Module:
        made.append(nn.Linear(width, width))
        return made[-1]

    torch.manual_seed(0)  # so that what comes out can be repeated
    stack = answer(make_layer, count)
    inside = stack.named_modules(remove_duplicate=False) if isinstance(stack, nn.Module) else enumerate(stack)
    layers = [module for _, module in inside if isinstance(module, nn.Linear)]
    weights = [layer.weight for layer in layers]
    return {
        "layers": len(layers),
        "registered": sum(1 for _ in stack.parameters()) if isinstance(stack, nn.Module) else 0,
        "learns": all(parameter.requires_grad for layer in layers for parameter in layer.parameters()),
        "tied": len({id(weight) for weight in weights}) < len(weights),
        "weights": [weight.detach() for weight in weights],
    }


def _relations(raw: dict[str, Any], width: int, count: int) -> Outcome:
    pairs = combinations(raw["weights"], 2)
    registered = raw["registered"]
    return {
        "number of layers": raw["layers"],
        "parameters that an optimizer would see": "all"
        if registered == 2 * count
        else "none"
        if not registered
        else "some",
        "layers are one and the same": raw["tied"],
        "layers start alike": any(cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.97 for a, b in pairs),
        "all parameters can learn": raw["learns"],
    }


def _of_one(make_layer: Function, count: int) -> nn.Module:
    layer = make_layer()
    return nn.ModuleList([layer] * count)


def _of_copies(make_layer: Function, count: int) -> nn.Module:
    layer = make_layer()
    return nn.ModuleList(copy.deepcopy(layer) for _ in range(count))


@exercise(
    "audit-stack",
    inputs=_makers,
    observe=_stacked,
    describe=_relations,
    rtol32=None,
    right="each layer is a draw of its own, and the model knows all of them.",
    mistakes={
        "Your stack holds one layer several times. Its weights are shared: a step for one is a step for all. Call "
        "`make_layer` once for each place.": _of_one,
        "Your layers start as copies of one another: either you copied one layer, as `nn.TransformerEncoder` does, or "
        "you set the seed anew for each. Let each layer draw numbers of its own.": _of_copies,
        "You returned a plain list. A model does not look into lists, so `parameters()` is empty for an optimizer: use "
        "`nn.ModuleList` or `nn.Sequential`.": lambda make_layer, count: [make_layer() for _ in range(count)],
        "Your stack has one layer too many. If you keep a first layer, count it.": lambda make_layer, count: (
            nn.ModuleList(make_layer() for _ in range(count + 1))
        ),
        "Your layers cannot learn: `requires_grad` is off.": lambda make_layer, count: nn.ModuleList(
            make_layer() for _ in range(count)
        ).requires_grad_(False),
        "Your stack has a single layer.": lambda make_layer, count: nn.ModuleList([make_layer()]),
        "Your stack has one layer too few.": lambda make_layer, count: nn.ModuleList(
            make_layer() for _ in range(count - 1)
        ),
    },
)
def audit_stack(make_layer: Function, count: int) -> nn.Module:
    """A stack of layers that are independent draws."""
    return nn.ModuleList(make_layer() for _ in range(count))
