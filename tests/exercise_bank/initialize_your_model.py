import copy
import math

import torch
from torch import nn

from exercise_bank import right

# --- recipe-head -------------------------------------------------------------------------------------


@right("recipe-head")
def head_formula(classes, n, q, excess):
    return math.sqrt(2 * excess * classes / ((classes - 1) * n * q))


@right("recipe-head")
def head_in_steps(classes, n, q, excess):
    v = excess / (0.5 * (1 - 1 / classes))
    return torch.tensor(v / n / q).sqrt()


@right("recipe-head")
def head_by_search(classes, n, q, excess):
    low, high = 0.0, 10.0
    for _ in range(60):
        std = (low + high) / 2
        too_large = 0.5 * (1 - 1 / classes) * n * q * std**2 > excess
        low, high = (low, std) if too_large else (std, high)
    return low


# --- recipe-example ----------------------------------------------------------------------------------


@right("recipe-example")
def example_isinstance(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            nn.init.constant_(m.bias, 0)


@right("recipe-example")
def example_copy(m, generator):
    if isinstance(m, nn.Linear):
        n_out, n_in = m.weight.shape
        unit = 2 * torch.rand(n_out, n_in, generator=generator) - 1
        with torch.no_grad():
            m.weight.copy_(unit * (6 / (n_in + n_out)) ** 0.5)
            if m.bias is not None:
                m.bias.mul_(0)
    return m


@right("recipe-example")
class ExampleCallable:
    """Not a function, and called all the same."""

    def __new__(cls, m, generator):
        return example_copy(m, generator)


@right("recipe-example")
def example_detached(m, generator):
    """A detached parameter shares the version counter, so autograd notices."""
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight.detach(), generator=generator)
        if m.bias is not None:
            m.bias.detach().zero_()


# --- recipe-branch-ends ------------------------------------------------------------------------------


NAMES = ("self_out", "cross_out", "down")


def ends(blocks):
    return [block[name] for block in blocks for name in NAMES]


@right("recipe-branch-ends")
def ends_normal(blocks, generator):
    for end in ends(blocks):
        nn.init.normal_(end.weight, 0, (3 * len(blocks) * end.in_features) ** -0.5, generator=generator)
        nn.init.zeros_(end.bias)


@right("recipe-branch-ends")
def ends_scaled(blocks, generator):
    with torch.no_grad():
        for name in reversed(NAMES):
            for block in blocks:
                nn.init.kaiming_normal_(block[name].weight, nonlinearity="relu", generator=generator)
                block[name].weight /= math.sqrt(2 * 3 * len(blocks))
                block[name].bias *= 0


@right("recipe-branch-ends")
def ends_replaced(blocks, generator):
    for end in ends(blocks):
        numbers = torch.randn(end.weight.shape, generator=generator)
        end.weight = nn.Parameter(numbers / math.sqrt(end.in_features * len(ends(blocks))))
        end.bias = nn.Parameter(torch.zeros_like(end.bias))


# --- recipe-unsteady ---------------------------------------------------------------------------------


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def differing(first, second):
    return [name for name in first if not torch.equal(first[name], second[name])]


@right("recipe-unsteady")
def unsteady_with_rewind(build, initialize):
    generator, states = seeded(), []
    for _ in range(2):
        model = build()
        generator.manual_seed(5)
        initialize(model, generator)
        states.append(copy.deepcopy(model.state_dict()))
    return set(differing(*states))


@right("recipe-unsteady")
def unsteady_by_difference(build, initialize):
    a, b = build(), build()
    for model in (a, b):
        initialize(model, seeded())
    pairs = zip([*a.named_parameters(), *a.named_buffers()], [*b.parameters(), *b.buffers()], strict=True)
    return tuple(name for (name, one), other in pairs if (one - other).abs().max() > 0)


@right("recipe-unsteady")
def unsteady_from_fills(build, initialize):
    states = []
    for number in (1.0, 2.0):
        model = build()
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.fill_(number)
        initialize(model, seeded())
        states.append(model.state_dict())
    return differing(*states)
