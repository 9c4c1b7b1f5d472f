"""The judges: ``diagnose``, and what one could use instead of it.

``sagemaker``
    The built-in rules of Amazon SageMaker Debugger that can speak in the first steps of a training, rewritten from
    https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html with the default thresholds given
    there. The rules watch a training, so ten steps of Adam are run on the batch. A rule counts as naming a cause
    where its own name does. As there, ReLU, tanh and sigmoid are seen where they are modules.

``thumb``
    What tutorials advise to look at by eye: gradients that differ by more than a factor of 1000 between layers, and a
    first loss that is not ln(classes).

``overfit``
    "Overfit one batch first": the loss must fall within 40 steps of Adam at 0.001. It names no cause. Healthy cases
    were chosen by this very test, each at a rate that suits it, so that few false alarms are left by construction.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from doctor.cases import Problem, loss_of
from doctor.learning import copied, fell, names, step, train
from doctor.score import Finding, Judge

# Defaults of the rules.
INACTIVE, LAYER = 0.01, 0.5  # DeadRelu, SaturatedActivation: threshold_inactivity and threshold_layer, in percent there
LIMITS = {nn.Tanh: (-9.4999, 9.4999), nn.Sigmoid: (-23.0, 16.99999)}  # SaturatedActivation
VANISHED = 1e-7  # VanishingGradient: mean absolute gradient
VARIANCES, SPREAD, PATIENCE = 10.0, 1e-3, 5  # PoorWeightInitialization: threshold, distribution_range, patience
LARGE, SMALL, TINY = 10.0, 1e-8, 1e-9  # WeightUpdateRatio: large_threshold, small_threshold, epsilon
WATCHED = 10  # PoorWeightInitialization: steps


def by_diagnose(model: nn.Module, batch: Any, loss_fn: Callable[..., Tensor], target: Any) -> list[Finding]:
    """``tutorial_utils.diagnose``."""
    from tutorial_utils.diagnose import diagnose

    findings: list[Any] = diagnose(model, batch, loss_fn, target).findings
    return [(finding.kind, finding.layer, finding.severity) for finding in findings]


def by_sagemaker(*problem: Any) -> list[Finding]:
    """The rules of Amazon SageMaker Debugger, over ten steps."""
    watched: Problem = copied(problem)
    model = watched[0]
    seen: dict[str, tuple[nn.Module, Tensor, Tensor]] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and inputs and isinstance(inputs[0], Tensor):
                seen[name] = module, inputs[0].detach(), output.detach()

        return keep

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    with torch.random.fork_rng(devices=[]):
        losses, tensors = _watch(watched)
    for handle in handles:
        handle.remove()
    return [
        *_exploding(seen, tensors),
        *_dead(seen),
        *_saturated(seen),
        *_all_zero(model, tensors),
        *_unchanged(model, tensors),
        *_vanishing(model, tensors),
        *_poor(seen, tensors, losses),
        *_update_ratio(model, tensors),
    ]


Tensors = list[dict[str, tuple[Tensor, Tensor | None]]]


def _watch(problem: Problem) -> tuple[list[float], Tensors]:
    """The losses of the steps, and the trainable parameters before each with their gradients."""
    model, losses, tensors = problem[0], [], []
    optimizer = torch.optim.Adam([*model.parameters()] or [torch.zeros(1)], lr=1e-3)
    for _ in range(WATCHED):
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        losses.append(step(problem, optimizer))
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        gradients = {name: None if grad is None else grad.clone() for name, grad in gradients.items()}
        tensors.append({name: (value, gradients[name]) for name, value in before.items()})
    return losses, tensors


def _exploding(seen: dict[str, Any], tensors: Tensors) -> list[Finding]:
    layers = [name for name, (_, _, output) in seen.items() if not output.isfinite().all()]
    for name, (_, gradient) in tensors[0].items():
        if gradient is not None and not gradient.isfinite().all():
            layers.append(name.rpartition(".")[0])
    return [("not-finite", layer, 1) for layer in layers[:1]]


def _units(x: Tensor) -> Tensor:
    """A matrix of one column a unit: the last dimension of rows and sequences, the channel of images."""
    return (x.movedim(1, -1) if x.dim() == 4 else x).flatten(0, -2) if x.dim() > 1 else x[:, None]


def _dead(seen: dict[str, Any]) -> list[Finding]:
    relus = {name: output for name, (module, _, output) in seen.items() if isinstance(module, nn.ReLU)}
    dead = {name: ((_units(output) > 0).float().mean(0) < INACTIVE).float().mean() for name, output in relus.items()}
    return [("dead-units", name, 1) for name, share in dead.items() if share > LAYER]


def _saturated(seen: dict[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    for name, (module, z, _) in seen.items():
        for kind, (low, high) in LIMITS.items():
            if isinstance(module, kind):
                active = ((_units(z) > low) & (_units(z) < high)).float().mean(0)
                found += [("saturated-units", name, 1)] if (active < INACTIVE).float().mean() > LAYER else []
    return found


def _all_zero(model: nn.Module, tensors: Tensors) -> list[Finding]:
    """AllZero must be told what to look at; weights, since biases are zero in half of all healthy models."""
    zero = [name for name, (value, _) in tensors[0].items() if "weight" in name and not value.any()]
    return [("zero-initialized", names(model).get(name, name.rpartition(".")[0]), 1) for name in zero]


def _unchanged(model: nn.Module, tensors: Tensors) -> list[Finding]:
    """UnchangedTensor, 3 steps, numpy's tolerances; of the trainable parameters."""
    pairs = [(name, tensors[0][name][0], tensors[3][name][0]) for name in names(model)]
    same = [name for name, first, later in pairs if torch.allclose(first, later, rtol=1e-5, atol=1e-8)]
    return [("no-gradient", names(model)[name], 1) for name in same]


def _vanishing(model: nn.Module, tensors: Tensors) -> list[Finding]:
    found = []
    for name, layer in names(model).items():
        gradient = tensors[0][name][1]
        if gradient is not None and gradient.abs().mean() < VANISHED:
            found.append(("vanishing-gradient", layer, 1.0))
    return found


def _poor(seen: dict[str, Any], tensors: Tensors, losses: list[float]) -> list[Finding]:
    """PoorWeightInitialization: variances at the inputs of ReLUs, spread of gradients, and a loss that must fall."""
    inputs = [z.float().var() for module, z, _ in seen.values() if isinstance(module, nn.ReLU)]
    if inputs and max(inputs) > VARIANCES * min(inputs):
        return [("forward-scale", "", 1)]
    gradients = [gradient.float().flatten() for _, gradient in tensors[0].values() if gradient is not None]
    limits = torch.tensor([0.05, 0.95])
    spreads = [float(gradient.quantile(limits).diff()) for gradient in gradients if gradient.isfinite().all()]
    if spreads and min(spreads) < SPREAD:
        return [("vanishing-gradient", "", 1)]
    return [] if min(losses[PATIENCE:]) < losses[0] else [("", "", 1)]


def _update_ratio(model: nn.Module, tensors: Tensors) -> list[Finding]:
    found: list[Finding] = []
    for name, layer in names(model).items():
        first, later = tensors[0][name][0].float(), tensors[1][name][0].float()
        ratio = (later - first).norm() / (first.norm() + TINY)
        if "weight" in name and not SMALL <= ratio <= LARGE:
            found.append(("", layer, 1))
    return found


def by_thumb(*problem: Any) -> list[Finding]:
    """Gradient norms of the weights within a factor of 1000 of each other, and a first loss near ln(classes)."""
    watched: Problem = copied(problem)
    model, target = watched[0], watched[3]
    with torch.random.fork_rng(devices=[]):
        loss = loss_of(watched)
    if loss.requires_grad:
        loss.backward()
    weights = {name: p for name, p in model.named_parameters() if p.grad is not None and p.dim() > 1}
    norms = {name: float(p.grad.norm()) for name, p in weights.items() if p.grad is not None}
    found: list[Finding] = []
    if not all(map(math.isfinite, [float(loss), *norms.values()])):
        found.append(("not-finite", "", 1))
    elif norms and max(norms.values()) > 1e3 * min(norms.values()):
        smallest, largest = min(norms, key=norms.__getitem__), max(norms, key=norms.__getitem__)
        order = list(norms)
        kind = "vanishing-gradient" if order.index(smallest) < order.index(largest) else "exploding-gradient"
        found.append((kind, smallest.rpartition(".")[0], 1))
    if isinstance(target, Tensor) and target.dtype == torch.long and target.numel():
        chance = math.log(_classes(watched))
        found += [("first-loss", "", 1)] if chance and not 0.5 * chance < float(loss) < 2 * chance else []
    return found


def _classes(problem: Problem) -> int:
    """The number of classes of logits, by the layout of their target."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        output = problem[0](problem[1]) if isinstance(problem[1], Tensor) else None
    if not isinstance(output, Tensor):
        return 1
    same = output.shape[:-1] == problem[3].shape
    return output.shape[-1] if same else output.shape[1]


def by_overfitting(*problem: Any) -> list[Finding]:
    """The loss on one batch must fall within 40 steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [] if fell(train(copied(problem))) else [("", "", 1)]


JUDGES: dict[str, Judge] = {
    "diagnose": by_diagnose,
    "sagemaker": by_sagemaker,
    "thumb": by_thumb,
    "overfit": by_overfitting,
}
