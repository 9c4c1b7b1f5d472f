r"""Record what flows through a network: each layer's output going forward, the gradient with respect to it coming back.

:func:`propagate` answers with a table; :func:`record` is the context manager under it, for whatever else one may want
to keep of the tensors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Moments = dict[str, float]


@dataclass
class Signal:
    """What one call of one module put out: ``forward`` and ``backward`` hold what was kept of output and gradient."""

    layer: str
    module: nn.Module
    forward: Any
    backward: Any = None


def moments(tensor: Tensor) -> Moments:
    r"""Summarize the entries of a tensor: mean, variance, second moment, and the share of exact zeros.

    .. math:: \bar x = \tfrac1n \sum_i x_i, \qquad v = \tfrac1n \sum_i (x_i - \bar x)^2, \qquad
              \tfrac1n \sum_i x_i^2 = v + \bar x^2

    >>> moments(torch.tensor([0.0, 0.0, 2.0, 2.0]))
    {'mean': 1.0, 'var': 1.0, 'second_moment': 2.0, 'zero_share': 0.5}
    """
    values = tensor.detach().double()
    statistics = {
        "mean": values.mean(),
        "var": values.var(correction=0),
        "second_moment": values.square().mean(),
        "zero_share": (values == 0).double().mean(),
    }
    return {name: value.item() for name, value in statistics.items()}


@contextmanager
def record(
    model: nn.Module,
    layers: tuple[type[nn.Module], ...] | None = None,
    *,
    keep: Callable[[Tensor], Any] = moments,
) -> Iterator[list[Signal]]:
    """Watch a model while the body of the ``with`` statement runs; remove every hook when it ends, however it ends.

    Each call of a watched module appends one :class:`Signal` per floating-point tensor it puts out, in the order of the
    calls. A backward pass inside the body fills in the gradients. A tensor is reduced the moment it appears, so a later
    in-place operation does not change what was kept.

    Args:
        model: any module.
        layers: the classes to watch, for example ``(nn.Linear,)``; without it, every module that has no children.
        keep: what to keep of a tensor, by default its :func:`moments`; ``torch.clone`` keeps the tensor itself.

    Yields:
        The list of signals, which grows as the model runs.

    >>> model = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    >>> with record(model) as signals:
    ...     model(torch.zeros(2, 3)).sum().backward()
    >>> [(signal.layer, signal.backward["mean"]) for signal in signals][1]
    ('1', 1.0)
    """
    signals: list[Signal] = []
    handles: list[Any] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            for tensor in _floating(output):
                signals.append(Signal(name, module, keep(tensor.detach())))
                if tensor.requires_grad:
                    handles.append(tensor.register_hook(_filler(signals[-1], keep)))

        return hook

    for name, module in model.named_modules():
        if isinstance(module, layers) if layers else not list(module.children()):
            handles.append(module.register_forward_hook(watch(name)))
    try:
        yield signals
    finally:
        for handle in handles:
            handle.remove()


def propagate(
    model: nn.Module,
    inputs: Tensor,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    layers: tuple[type[nn.Module], ...] | None = None,
) -> pd.DataFrame:
    """Send one batch through a model, and a gradient back, and tabulate the moments at every layer.

    The model is left as it was: parameters' ``grad``, buffers such as running statistics, mode, hooks.

    Args:
        model: any module.
        inputs: one batch, of any shape the model accepts.
        loss: makes a scalar of the model's output; without it only the forward pass is measured.
        layers: the classes to measure, for example ``(nn.Linear,)``; without it, every module that has no children.

    Returns:
        One row per call of a module, in order. Columns: ``layer`` (its name), ``kind`` (its class), ``mean``, ``var``,
        ``second_moment``, ``zero_share`` of the output, ``grad_...`` the same of the loss's gradient with respect to
        the output, and ``weight_grad_...`` of its gradient with respect to the module's ``weight``. Entries that do not
        exist (no loss, no weight, not on the path to the loss) are NaN.

    Raises:
        ValueError: if ``loss`` does not return a scalar that depends on the model's floating-point computation.

    >>> table = propagate(nn.Sequential(nn.Linear(3, 5), nn.ReLU()), torch.zeros(2, 3), loss=torch.sum)
    >>> list(table.kind), float(table.grad_mean[1])
    (['Linear', 'ReLU'], 1.0)
    """
    with _buffers_kept(model), record(model, layers) as signals, torch.set_grad_enabled(loss is not None):
        if loss is not None and inputs.is_floating_point():
            inputs = inputs.detach().requires_grad_()
        output = model(inputs)
        gradients = _backward(model, inputs, loss(output)) if loss is not None else {}
    return pd.DataFrame([_row(signal, gradients) for signal in signals])


def _backward(model: nn.Module, inputs: Tensor, loss: Tensor) -> dict[int, Tensor]:
    """The gradients of the parameters by the parameter's id, without touching their ``grad``."""
    if loss.numel() != 1 or not loss.requires_grad:
        raise ValueError(
            f"loss gave a tensor of shape {tuple(loss.shape)}, requires_grad={loss.requires_grad};"
            " it must be a scalar that depends on the model's output"
        )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sources = parameters + [inputs] * inputs.requires_grad
    found = torch.autograd.grad(loss, sources, allow_unused=True)
    return {id(source): gradient for source, gradient in zip(sources, found, strict=True) if gradient is not None}


def _row(signal: Signal, gradients: dict[int, Tensor]) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": signal.layer, "kind": type(signal.module).__name__, **signal.forward}
    weight_gradient = gradients.get(id(getattr(signal.module, "weight", None)))
    of_weight = None if weight_gradient is None else moments(weight_gradient)
    return row | _prefixed("grad_", signal.backward) | _prefixed("weight_grad_", of_weight)


def _prefixed(prefix: str, statistics: Moments | None) -> Moments:
    missing = dict.fromkeys(("mean", "var", "second_moment", "zero_share"), float("nan"))
    return {prefix + name: value for name, value in (statistics or missing).items()}


def _filler(signal: Signal, keep: Callable[[Tensor], Any]) -> Callable[[Tensor], None]:
    def fill(gradient: Tensor) -> None:
        signal.backward = keep(gradient.detach())

    return fill


def _floating(output: Any) -> list[Tensor]:
    """The floating-point tensors in whatever a module returned."""
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put every buffer back to what it was: in train mode a forward pass moves running statistics."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(before[name])
