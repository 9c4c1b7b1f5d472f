"""Observers of topics that are not converted yet."""

from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises import toolbox
from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function


def twice(answer: Function, *inputs: Any, generator: torch.Generator) -> tuple[Any, Any]:
    """What an answer gives for two generators in the same state."""
    first, second = (toolbox.copy_of(generator) for _ in range(2))
    return answer(*inputs, first), answer(*inputs, second)


def thrice(answer: Function, *inputs: Any, generator: torch.Generator) -> list[Any]:
    """The same, and for a third that has moved on."""
    return toolbox.thrice(answer, *inputs, generator)


def drawn(answer: Function, weight: Tensor, *options: Any, generator: torch.Generator) -> Outcome:
    """The moments of a parameter that an answer fills, and where the numbers come from."""
    return toolbox.distribution(toolbox.fill_thrice(answer, weight, *options, generator))
