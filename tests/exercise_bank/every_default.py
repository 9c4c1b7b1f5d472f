"""Answers to the exercises of chapter 8, right and wrong, as students write them."""

import copy
import math

import torch
from torch import nn

from exercise_bank import right, wrong

# --- audit-bounds -------------------------------------------------------------------------------------


@right("audit-bounds")
def bounds_formula(n_in, hidden, width, kdim):
    return hidden**-0.5, math.sqrt(1.5 / width), math.sqrt(6 / (width + kdim))


@right("audit-bounds")
def bounds_named(n_in, hidden, width, kdim):
    lstm, packed, key = bounds_formula(n_in, hidden, width, kdim)
    return {"key": key, "packed": packed, "LSTM": torch.tensor(lstm)}


@right("audit-bounds")
def bounds_from_shapes(n_in, hidden, width, kdim):
    with torch.device("meta"):
        lstm = nn.LSTM(n_in, hidden)
        one, two = nn.MultiheadAttention(width, 1), nn.MultiheadAttention(width, 1, kdim=kdim)
    rows = lstm.weight_ih_l0.shape[0] // 4
    return [1 / math.sqrt(rows), *(math.sqrt(6 / sum(w.shape)) for w in (one.in_proj_weight, two.k_proj_weight))]


@wrong("audit-bounds", "number of inputs")
def bounds_inputs(n_in, hidden, width, kdim):
    return n_in**-0.5, math.sqrt(1.5 / width), math.sqrt(6 / (width + kdim))


@wrong("audit-bounds", "all four gates")
def bounds_gates(n_in, hidden, width, kdim):
    return (4 * hidden) ** -0.5, math.sqrt(1.5 / width), math.sqrt(6 / (width + kdim))


@wrong("audit-bounds", "bound of a separate one")
def bounds_separate(n_in, hidden, width, kdim):
    return hidden**-0.5, math.sqrt(3 / width), math.sqrt(6 / (width + kdim))


@wrong("audit-bounds", "square one")
def bounds_square(n_in, hidden, width, kdim):
    return hidden**-0.5, math.sqrt(1.5 / width), math.sqrt(3 / width)


@wrong("audit-bounds", "deviations")
def bounds_deviations(n_in, hidden, width, kdim):
    return tuple(bound / math.sqrt(3) for bound in bounds_formula(n_in, hidden, width, kdim))


# --- audit-forget -------------------------------------------------------------------------------------


def biases(lstm, kind=""):
    return [p for name, p in lstm.named_parameters() if f"bias{kind}" in name]


@right("audit-forget")
def forget_halves(lstm):
    h = lstm.hidden_size
    with torch.no_grad():
        for p in biases(lstm):
            p[h : 2 * h].fill_(0.5)


@right("audit-forget")
def forget_difference(lstm):
    h = lstm.hidden_size
    with torch.no_grad():
        for one, other in zip(biases(lstm, "_ih"), biases(lstm, "_hh"), strict=True):
            one[h : 2 * h] = 1 - other[h : 2 * h]


@right("audit-forget")
def forget_chunks(lstm):
    for name, p in lstm.named_parameters():
        if name.startswith("bias"):
            gates = p.detach().chunk(4)
            nn.init.constant_(gates[1], float("hh" in name))


def set_rows(parameters, start, end, value):
    with torch.no_grad():
        for p in parameters:
            p[start:end] = value


@wrong("audit-forget", "get 2")
def forget_two(lstm):
    h = lstm.hidden_size
    set_rows(biases(lstm), h, 2 * h, 1)


@wrong("audit-forget", "what was there")
def forget_added(lstm):
    h = lstm.hidden_size
    with torch.no_grad():
        for p in biases(lstm, "_ih"):
            p[h : 2 * h] += 1


@wrong("audit-forget", "left `bias_hh`")
def forget_one_vector(lstm):
    h = lstm.hidden_size
    set_rows(biases(lstm, "_ih"), h, 2 * h, 1)


@wrong("audit-forget", "input gate")
def forget_first_quarter(lstm):
    h = lstm.hidden_size
    set_rows(biases(lstm, "_ih"), 0, h, 1)
    set_rows(biases(lstm, "_hh"), 0, h, 0)


@wrong("audit-forget", "first layer only")
def forget_layer_0(lstm):
    h = lstm.hidden_size
    for name in ("l0", "l0_reverse"):
        set_rows([getattr(lstm, f"bias_ih_{name}")], h, 2 * h, 1)
        set_rows([getattr(lstm, f"bias_hh_{name}")], h, 2 * h, 0)


@wrong("audit-forget", "backward direction")
def forget_forward(lstm):
    h = lstm.hidden_size
    for layer in range(lstm.num_layers):
        set_rows([getattr(lstm, f"bias_ih_l{layer}")], h, 2 * h, 1)
        set_rows([getattr(lstm, f"bias_hh_l{layer}")], h, 2 * h, 0)


@wrong("audit-forget", "whole vectors")
def forget_everything(lstm):
    set_rows(biases(lstm, "_ih"), 0, None, 1)
    set_rows(biases(lstm, "_hh"), 0, None, 0)


# --- from a second look: what else students write -----------------------------------------------------


@wrong("audit-bounds", "LSTM Glorot's bound")
def bounds_glorot_lstm(n_in, hidden, width, kdim):
    return math.sqrt(6 / (n_in + 4 * hidden)), math.sqrt(1.5 / width), math.sqrt(6 / (width + kdim))


@wrong("audit-bounds", "keys the bound of nn.Linear")
def bounds_linear_key(n_in, hidden, width, kdim):
    return hidden**-0.5, math.sqrt(1.5 / width), kdim**-0.5


@right("audit-forget")
def forget_through_state(lstm):
    h, state = lstm.hidden_size, lstm.state_dict()
    for name in state:
        if "bias" in name:
            state[name][h : 2 * h] = float("hh" in name)
    return lstm


@wrong("audit-forget", "left `bias_ih`")
def forget_other_vector(lstm):
    h = lstm.hidden_size
    set_rows(biases(lstm, "_hh"), h, 2 * h, 1)


@wrong("audit-forget", "output gate")
def forget_last_quarter(lstm):
    h = lstm.hidden_size
    set_rows(biases(lstm, "_ih"), 3 * h, 4 * h, 1)
    set_rows(biases(lstm, "_hh"), 3 * h, 4 * h, 0)


@wrong("audit-forget", "attempt as it was")
def forget_attempt(lstm):
    h = lstm.hidden_size
    with torch.no_grad():
        lstm.bias_ih_l0[h : 2 * h] += 1


@wrong("audit-forget", "one layer and one direction")
def forget_l0(lstm):
    h = lstm.hidden_size
    set_rows([lstm.bias_ih_l0], h, 2 * h, 1)
    set_rows([lstm.bias_hh_l0], h, 2 * h, 0)


@wrong("audit-forget", "changed nothing")
def forget_a_copy(lstm):
    lstm = copy.deepcopy(lstm)
    forget_halves(lstm)
    return lstm
