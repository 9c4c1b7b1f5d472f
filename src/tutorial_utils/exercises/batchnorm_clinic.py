"""Exercises about the clinic for BatchNorm."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.toolbox import normal

# --- freezing -----------------------------------------------------------------------------------------


def _fine_tuning(*, generator: torch.Generator) -> Inputs:
    return normal(2, 3, 4, 4, generator=generator, mean=2), normal(5, 6, generator=generator, mean=2)


def _norms(net: nn.Module) -> list[_BatchNorm]:
    return [module for module in net.modules() if isinstance(module, _BatchNorm)]


def _frozen(answer: Function, images: Tensor, vectors: Tensor) -> Outcome:
    """What the normalizations of a network in training do after an answer has frozen them."""
    body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    net = nn.Sequential(body, nn.Flatten(), nn.Linear(12, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)).to(images.dtype)
    net.train()
    for buffer in net.buffers():
        buffer.add_(1)  # other statistics than those of a new module
    before = _norms(net)
    answer(net)
    after = [body[1], net[3]]  # an answer may have put modules of its own in their places
    outputs = {"output of BatchNorm2d": after[0](images), "output of BatchNorm1d": after[1](vectors)}
    return outputs | {
        "running mean of BatchNorm2d after a batch": before[0].running_mean,
        "running mean of BatchNorm1d after a batch": before[1].running_mean,
        "learned numbers in both": sum(map(_learned, after)),
        "weights are learned": all(p.requires_grad for p in net[2].parameters()),
        "dropout is on": net[-1].training,
    }


def _learned(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _freeze(net: nn.Module) -> None:
    for norm in _norms(net):
        norm.eval()


def _whole_eval(net: nn.Module) -> None:
    net.eval()


def _no_gradient(net: nn.Module) -> None:
    for norm in _norms(net):
        norm.requires_grad_(False)


def _no_momentum(net: nn.Module) -> None:
    for norm in _norms(net):
        norm.momentum = 0.0


def _full_momentum(net: nn.Module) -> None:
    for norm in _norms(net):
        norm.momentum = 1.0


def _cumulative(net: nn.Module) -> None:
    for norm in _norms(net):
        norm.momentum = None


def _top_level(net: nn.Module) -> None:
    for child in net.children():
        if isinstance(child, _BatchNorm):
            child.eval()


def _reaches_none(net: nn.Module) -> None:
    """What comes of a loop over the children that looks for BatchNorm2d."""


def _images_momentum(net: nn.Module) -> None:
    for norm in _norms(net):
        norm.momentum = 0.0 if isinstance(norm, nn.BatchNorm2d) else norm.momentum


def _images_parameters(net: nn.Module) -> None:
    _only_images(net)
    for norm in _norms(net):
        norm.requires_grad_(not isinstance(norm, nn.BatchNorm2d))


def _only_images(net: nn.Module) -> None:
    for norm in _norms(net):
        norm.train(not isinstance(norm, nn.BatchNorm2d))


def _beta_too(net: nn.Module) -> None:
    _freeze(net)
    for norm in _norms(net):
        norm.bias.requires_grad_(False)


def _parameters_too(net: nn.Module) -> None:
    _freeze(net)
    _no_gradient(net)


@exercise(
    "eval-freeze",
    inputs=_fine_tuning,
    observe=_frozen,
    changes=(),
    cases=2,
    rtol32=None,
    right="every BatchNorm uses and keeps its running statistics, and all else trains on.",
    mistakes=(
        Mistake("Dropout is off: more than the BatchNorm modules is in eval mode. Change these only.", _whole_eval),
        Mistake(
            "You switched gradients off. The running statistics are no parameters: they move in every forward pass in "
            "training mode. Put the modules in eval mode.",
            _no_gradient,
        ),
        Mistake(
            "The stored statistics stay, and the module still normalizes with those of the batch: momentum 0 and "
            "track_running_stats off do no more than that. Put it in eval mode.",
            _no_momentum,
        ),
        Mistake(
            "You set momentum to 1. In PyTorch that is the weight of the new batch, so each batch replaces the stored "
            "statistics; and the module normalizes with those of the batch. Put it in eval mode.",
            _full_momentum,
        ),
        Mistake(
            "With momentum=None the stored statistics become the average over all batches: they move, and the module "
            "normalizes with those of the batch. Put it in eval mode.",
            _cumulative,
        ),
        Mistake(
            "The BatchNorm2d inside the block is still training. `children()` stops at the top level, `modules()` goes "
            "down; and nn.BatchNorm1d is one of several classes.",
            _top_level,
        ),
        Mistake(
            "All BatchNorm modules still train as before. The net that was tried has a BatchNorm2d inside a block, "
            "where `modules()` looks and `children()` does not, and a BatchNorm1d. Put both in eval mode.",
            _reaches_none,
        ),
        Mistake(
            "The BatchNorm2d keeps its statistics, and still normalizes with those of the batch: put it in eval mode. "
            "The BatchNorm1d trains as before.",
            _images_momentum,
        ),
        Mistake(
            "The statistics of the BatchNorm2d are frozen, but so are its gamma and beta, which were to learn. The "
            "BatchNorm1d is still training.",
            _images_parameters,
        ),
        Mistake("The BatchNorm1d is still training: nn.BatchNorm2d is one of several classes.", _only_images),
        Mistake("gamma and beta no longer learn. Only the statistics were to be frozen.", _parameters_too),
        Mistake("One of gamma and beta no longer learns. Only the statistics were to be frozen.", _beta_too),
    ),
)
def eval_freeze(net: nn.Module) -> None:
    """Put every BatchNorm of a network into eval mode."""
    _freeze(net)
