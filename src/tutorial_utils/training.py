"""The plain training loop: one network, torch's SGD or Adam, cross-entropy."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.optimizers import SingleOptimizer


def train(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    lr: float,
    steps: int,
    batch_size: int = 64,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Train a classifier in place, by SGD as :math:`\theta \leftarrow \theta - \eta\, \nabla_\theta L`, or by Adam.

    L is the mean cross-entropy of a minibatch drawn with replacement.

    Args:
        model: maps a batch of inputs to logits of shape (batch, classes); its mode is left as it is.
        x: inputs, one example a row.
        y: integer labels of shape (examples,).
        lr: the learning rate :math:`\eta`.
        steps: number of updates.
        batch_size: examples per minibatch.
        optimizer: "sgd" or "adam", as in :func:`tutorial_utils.optimizers.SingleOptimizer`.
        momentum: of ``torch.optim.SGD``; 0 for Adam.
        weight_decay: of ``torch.optim.SGD`` or ``torch.optim.Adam``.
        generator: draws the minibatches; without one, torch's global generator is used.

    Returns:
        The loss of each step's minibatch before the update, of shape (steps,). If training diverges, the rest is NaN.

    Raises:
        ValueError: if ``steps`` or ``batch_size`` is below 1, or ``x`` and ``y`` differ in length, for
            another ``optimizer``, or for Adam with momentum.

    >>> model, x = nn.Linear(2, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> losses = train(model, x, torch.tensor([0, 1]), lr=1.0, steps=50)
    >>> bool(losses[-1] < losses[0])
    True
    """
    if min(steps, batch_size) < 1 or len(x) != len(y):
        raise ValueError(
            f"steps = {steps}, batch_size = {batch_size}, {len(x)} inputs, {len(y)} labels;"
            " the first two must be positive, the last two equal"
        )
    moving = SingleOptimizer(optimizer, model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    losses = []
    for _ in range(steps):
        batch = torch.randint(len(x), (batch_size,), generator=generator)
        loss = functional.cross_entropy(model(x[batch]), y[batch])
        moving.zero_grad()
        loss.backward()
        moving.step()
        losses.append(loss.detach())
    return torch.stack(losses)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of examples whose largest logit is at the label, between 0 and 1, in the model's present mode.

    >>> accuracy(nn.Identity(), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    0.5
    """
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{len(x)} inputs and {len(y)} labels, but there must be equally many, and at least one")
    return float((model(x).argmax(dim=1) == y).double().mean())
