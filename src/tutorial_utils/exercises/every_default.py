"""Exercises about PyTorch's defaults."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.toolbox import scramble, sizes

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
