import copy
import math

import torch
from torch import nn

from exercise_bank import right, wrong

# --- audit-bounds ------------------------------------------------------------------------------------


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


# --- audit-forget ------------------------------------------------------------------------------------


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


@right("audit-forget")
def forget_through_state(lstm):
    h, state = lstm.hidden_size, lstm.state_dict()
    for name in state:
        if "bias" in name:
            state[name][h : 2 * h] = float("hh" in name)
    return lstm


@wrong("audit-forget", "under `torch.no_grad()` instead")
def remember_for_good(lstm):
    h = lstm.hidden_size
    for name, p in lstm.named_parameters():
        if "bias" in name:
            p.requires_grad = False
            p[h : 2 * h] = 0.5


@wrong("audit-forget", "new parameters in place of the old ones")
def forget_replaced(lstm):
    h = lstm.hidden_size
    for name, p in list(lstm.named_parameters()):
        if "bias" in name:
            new = p.detach().clone()
            new[h : 2 * h] = 0.5
            setattr(lstm, name, nn.Parameter(new))


# --- audit-stack -------------------------------------------------------------------------------------


@right("audit-stack")
def stack_list(make_layer, count):
    return nn.ModuleList([make_layer() for _ in range(count)])


@right("audit-stack")
def stack_sequential(make_layer, count):
    stack = nn.Sequential()
    for number in range(count):
        stack.add_module(f"layer{number}", make_layer())
    return stack


@right("audit-stack")
def stack_of_reset_copies(make_layer, count):
    stack = nn.ModuleList(copy.deepcopy(make_layer()) for _ in range(count))
    for layer in stack:
        layer.reset_parameters()
    return stack


@wrong("audit-stack", "copies of one another")
def stack_seeded(make_layer, count):
    layers = nn.ModuleList()
    for _ in range(count):
        torch.manual_seed(0)
        layers.append(make_layer())
    return layers


# --- answers that a reader gave, and a check once took or refused -------------------------------------


@wrong("audit-stack", "copies of one another")
def stack_with_noise(make_layer, count):
    layer = make_layer()
    layers = [copy.deepcopy(layer) for _ in range(count)]
    for parameter in nn.ModuleList(layers).parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=1e-3)
    return nn.Sequential(*layers)


@right("audit-stack")
def stack_by_names(make_layer, count):
    return nn.ModuleDict({f"layer {number}": make_layer() for number in range(count)})


@right("audit-stack")
class StackOfAttributes(nn.Module):
    def __init__(self, make_layer, count):
        super().__init__()
        for number in range(count):
            setattr(self, f"layer_{number}", make_layer())
