"""Observe how an answer draws weights: their distribution, and where the random numbers come from."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.draws import between
from tutorial_utils.exercises.outcomes import Outcome, moments
from tutorial_utils.exercises.registry import Function
from tutorial_utils.exercises.running import Nothing, Unfit
from tutorial_utils.exercises.trying import same


def stream(*, generator: torch.Generator) -> torch.Generator:
    """A generator to hand to an answer.

    >>> stream(generator=torch.Generator()).initial_seed() > 0
    True
    """
    return torch.Generator().manual_seed(between(1, 2**31, generator=generator))


def twice(answer: Function, *inputs: Any, generator: torch.Generator) -> tuple[Any, Any]:
    """What an answer, whose last parameter is a generator, gives for two generators in the same state.

    >>> first, second = twice(lambda size, source: torch.rand(size, generator=source), 3, generator=torch.Generator())
    >>> torch.equal(first, second)
    True
    """
    first, second = (torch.Generator().set_state(generator.get_state()) for _ in range(2))
    return answer(*inputs, first), answer(*inputs, second)


def thrice(answer: Function, *inputs: Any, generator: torch.Generator) -> tuple[Any, Any, Any]:
    """What an answer gives for two generators in the same state, and for a third that has drawn a number more.

    >>> origin(*thrice(lambda source: torch.rand(3, generator=source), generator=torch.Generator()))
    'the generator'
    >>> origin(*thrice(lambda source: torch.ones(3), generator=torch.Generator()))
    'a fixed seed'
    """
    other = torch.Generator().set_state(generator.get_state())
    torch.rand(1, generator=other)
    return *twice(answer, *inputs, generator=generator), answer(*inputs, other)


def origin(first: Any, second: Any, third: Any) -> str:
    """Where the random numbers of three such draws come from."""
    if not same(first, second):
        return "another stream"
    return "a fixed seed" if same(first, third) else "the generator"


def tensor(value: Any) -> Tensor:
    """A tensor that an answer gave.

    Raises:
        Nothing: if it gave None.
        Unfit: if it gave anything else.
    """
    if value is None:
        raise Nothing
    if not isinstance(value, Tensor):
        raise Unfit(f"A tensor is asked for, and your function returned something of type {type(value).__name__}.")
    return value


def drawn(answer: Function, weight: Tensor, *options: Any, generator: torch.Generator) -> Outcome:
    """The moments of a parameter that an answer fills, and where the numbers come from."""
    draws = thrice(lambda source: tensor(answer(leaf(weight), *options, source)), generator=generator)
    edges = torch.cat([draws[0][:1].flatten(), draws[0].flatten(1)[:, 0]]) if draws[0].dim() > 1 else draws[0].flatten()
    return {
        "shape": str(tuple(draws[0].shape)),
        "entries differ": 2 * len(edges.unique()) > len(edges),
        **moments(draws[0]),
        "random numbers come from": origin(*draws),
    }


def fans(weight: Tensor) -> tuple[int, int]:
    """fan_in and fan_out of a weight of shape ``(out, in, *kernel)``, as torch.nn.init counts them.

    >>> fans(torch.empty(4, 3, 2, 2))
    (12, 16)
    """
    return weight[0].numel(), weight[:, 0].numel()


@torch.no_grad()
def scramble(model: nn.Module, *, generator: torch.Generator) -> nn.Module:
    """The model with normal numbers in every parameter, so that each change of one shows.

    >>> bool(scramble(nn.Linear(1, 1), generator=torch.Generator()).bias != 0)
    True
    """
    for parameter in model.double().parameters():
        parameter.normal_(generator=generator)
    return model


def leaf(weight: Tensor) -> Tensor:
    """A copy of a weight that requires its gradient, as parameters do.

    >>> leaf(torch.zeros(1))
    tensor([0.], requires_grad=True)
    """
    return weight.detach().clone().requires_grad_()


def linear_layers(model: nn.Module) -> Iterator[nn.Linear]:
    """The linear layers of a network, in order.

    >>> [layer.out_features for layer in linear_layers(nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3)))]
    [2, 3]
    """
    return (module for module in model.modules() if isinstance(module, nn.Linear))
