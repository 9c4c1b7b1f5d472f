"""Exercises about the clinic for BatchNorm."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import normal

# --- freezing -----------------------------------------------------------------------------------------


def _fine_tuning(*, generator: torch.Generator) -> Inputs:
    return normal(2, 3, 4, 4, generator=generator, mean=2), normal(5, 6, generator=generator, mean=2)


def _frozen(answer: Function, images: Tensor, vectors: Tensor) -> list[Any]:
    """Let an answer change a network in training; what its normalizations do then, what learns, and what trains."""
    body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    net = nn.Sequential(body, nn.Flatten(), nn.Linear(12, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)).to(images.dtype)
    for buffer in net.train().buffers():
        buffer.add_(1)  # other statistics than those of a new module
    before = body[1], net[3]
    answer(net)
    after = body[1], net[3]  # an answer may have put modules of its own in their places
    collected = {
        "output of BatchNorm2d": after[0](images),
        "output of BatchNorm1d": after[1](vectors),
        "running mean of BatchNorm2d after a batch": before[0].running_mean,
        "running mean of BatchNorm1d after a batch": before[1].running_mean,
    }
    learned = {name: parameter.numel() for name, parameter in net.named_parameters() if parameter.requires_grad}
    return [collected, learned, [name for name, module in net.named_modules() if module.training]]


def _and_all_else(raw: tuple[Outcome, dict[str, int], list[str]], images: Tensor, vectors: Tensor) -> Outcome:
    """The same, and whether all else trains as before."""
    collected, learned, training = raw
    of_norms = {name: count for name, count in learned.items() if name.startswith(("0.1.", "3."))}
    return collected | {
        "learned numbers in both": sum(of_norms.values()),
        "weights are learned": {"0.0.weight", "0.0.bias", "2.weight", "2.bias"} <= set(learned),
        "dropout is on": "4" in training,
    }


def _change(*changes: Function, kind: type[nn.Module] = _BatchNorm, among: Function = nn.Module.modules) -> Function:
    """An answer that does something to each BatchNorm, of one kind or among some modules only."""

    def answer(net: nn.Module) -> None:
        for module in among(net):
            if isinstance(module, kind):
                for change in changes:
                    change(module)

    return answer


def _no_gradient(norm: nn.Module) -> None:
    norm.requires_grad_(False)


def _momentum(value: float | None) -> Function:
    return lambda norm: setattr(norm, "momentum", value)


@exercise(
    "eval-freeze",
    inputs=_fine_tuning,
    observe=_frozen,
    describe=_and_all_else,
    cases=2,
    rtol32=None,
    right="every BatchNorm uses and keeps its running statistics, and all else trains on.",
    mistakes={
        "Dropout is off: not only the BatchNorm modules are in eval mode. Change only these.": nn.Module.eval,
        "You switched gradients off. The running statistics are not parameters: they move in every forward pass in "
        "training mode. Put the modules in eval mode.": _change(_no_gradient),
        "The stored statistics stay, and the module still normalizes with those of the batch: momentum 0 and "
        "track_running_stats off do no more than that. Put it in eval mode.": _change(_momentum(0.0)),
        "You set momentum to 1. In PyTorch that is the weight of the new batch, so each batch replaces the stored "
        "statistics; and the module normalizes with those of the batch. Put it in eval mode.": _change(_momentum(1.0)),
        "With momentum=None the stored statistics become the average over all batches: they move, and the module "
        "normalizes with those of the batch. Put it in eval mode.": _change(_momentum(None)),
        "The BatchNorm2d inside the block is still training. `children()` stops at the top level, `modules()` goes "
        "down; and nn.BatchNorm1d is one of several classes.": _change(nn.Module.eval, among=nn.Module.children),
        "All BatchNorm modules still train as before. The network that was tried has a BatchNorm2d inside a block, "
        "where `modules()` looks and `children()` does not, and "
        "a BatchNorm1d. Put both in eval mode.": _change(nn.Module.eval, kind=nn.BatchNorm2d, among=nn.Module.children),
        "The BatchNorm2d keeps its statistics, and still normalizes with those of the batch: put it in eval mode. The "
        "BatchNorm1d trains as before.": _change(_momentum(0.0), kind=nn.BatchNorm2d),
        "The statistics of the BatchNorm2d are frozen, but so are its gamma and beta, which should go on learning. The "
        "BatchNorm1d is still training.": _change(nn.Module.eval, _no_gradient, kind=nn.BatchNorm2d),
        "The BatchNorm1d is still training: nn.BatchNorm2d is one of several classes.": _change(
            nn.Module.eval, kind=nn.BatchNorm2d
        ),
        "gamma and beta no longer learn. Only the statistics should be frozen.": _change(nn.Module.eval, _no_gradient),
        "One of gamma and beta no longer learns. Only the statistics should be frozen.": _change(
            nn.Module.eval, lambda norm: norm.bias.requires_grad_(False)
        ),
    },
)
def eval_freeze(net: nn.Module) -> None:
    """Put every BatchNorm of a network into eval mode."""
    _change(nn.Module.eval)(net)
