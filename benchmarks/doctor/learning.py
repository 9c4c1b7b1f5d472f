"""Do the healthy models learn, as the benchmark says they do?

A few dozen steps of Adam on the case's own batch; the model is trained in the mode it comes in.
"""

import copy
import math

import torch
from torch import Tensor, nn

from doctor.cases import Case, Problem, loss_of

STEPS = 40
FALL = 0.1  # the share of the first loss that must be gone


def copied(problem: Problem) -> Problem:
    """The problem with a copy of its model, which is taken out of its compiled wrapper: compiling costs seconds."""
    model, *rest = problem
    inner = getattr(model, "_orig_mod", model)
    return (copy.deepcopy(inner), *rest)


def train(problem: Problem, rate: float = 1e-3, steps: int = STEPS) -> list[float]:
    """Train the problem's own model; the loss before each step, and at the end."""
    model = problem[0]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    losses = []
    optimizer = torch.optim.Adam(learned or [torch.zeros(1, requires_grad=True)], lr=rate)
    for _ in range(steps):
        losses.append(step(problem, optimizer))
    with torch.no_grad():
        return [*losses, float(loss_of(problem))]


def step(problem: Problem, optimizer: torch.optim.Optimizer) -> float:
    """One step; the loss before it. A loss that depends on no parameter changes nothing."""
    optimizer.zero_grad()
    loss: Tensor = loss_of(problem)
    if loss.requires_grad:
        loss.backward()
        optimizer.step()
    return loss.item()


def fell(losses: list[float]) -> bool:
    """Whether the last loss is clearly below the first."""
    return math.isfinite(losses[-1]) and losses[-1] < losses[0] - FALL * abs(losses[0])


def learns(case: Case) -> tuple[float, float, bool]:
    """First loss, last loss, and whether the case learned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # dropout and sampling inside the model
        losses = train(copied(case.make()), case.rate)
    return losses[0], losses[-1], fell(losses)


def names(model: nn.Module) -> dict[str, str]:
    """The module of each trainable parameter, by the parameter's name."""
    return {name: name.rpartition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
