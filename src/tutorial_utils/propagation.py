r"""Record what flows through a network: each layer's output going forward, the gradient with respect to it coming back.

:func:`propagate` returns a table; :func:`record` is the context manager that it uses, for anything else one may want to
keep of the tensors.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

Moments = dict[str, float]
Batch = Tensor | tuple[Any, ...] | Mapping[str, Any]


@dataclass
class Signal:
    """What one call of one module returned: ``forward`` and ``backward`` hold what was kept of output and gradient."""

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
    return {name: value.item() for name, value in row_moments(tensor.flatten()[None].cpu()).items()}


def row_moments(rows: Tensor) -> dict[str, Tensor]:
    """Take the :func:`moments` of each row of a matrix, in float64; every result has one entry a row.

    >>> row_moments(torch.tensor([[0.0, 2.0], [1.0, 1.0]]))["var"].tolist()
    [1.0, 0.0]
    """
    values = rows.detach().double()
    return {
        "mean": values.mean(1),
        "var": values.var(1, correction=0),
        "second_moment": values.square().mean(1),
        "zero_share": (values == 0).double().mean(1),
    }


@contextmanager
def record(
    model: nn.Module,
    layers: tuple[type[nn.Module], ...] | None = None,
    *,
    keep: Callable[[Tensor], Any] = moments,
) -> Iterator[list[Signal]]:
    """Watch a model while the body of the ``with`` statement runs; remove every hook when it ends, however it ends.

    Each call of a watched module appends one :class:`Signal` per floating-point tensor it returns, in the order of the
    calls. A backward pass inside the body fills in the gradients. A tensor is reduced the moment it appears, so a later
    in-place operation does not change what was kept.

    Args:
        model: any module.
        layers: the classes to watch, for example ``(nn.Linear,)``; without it, every module that has no children or has
            parameters of its own.
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
            for tensor in floating(output):
                signals.append(Signal(name, module, keep(tensor.detach())))
                if tensor.requires_grad:
                    handles.append(tensor.register_hook(_filler(signals[-1], keep)))

        return hook

    for name, module in model.named_modules():
        if isinstance(module, layers) if layers is not None else computes(name, module):
            handles.append(module.register_forward_hook(watch(name)))
    try:
        yield signals
    finally:
        for handle in handles:
            handle.remove()


def propagate(
    model: nn.Module,
    batch: Batch,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    layers: tuple[type[nn.Module], ...] | None = None,
    keep: Callable[[Tensor], Moments] = moments,
) -> pd.DataFrame:
    """Send one batch through a model, and a gradient back, and tabulate the moments at every layer.

    The model is left as it was, also when it raises: parameters' ``grad``, buffers such as running statistics, mode,
    hooks; so is torch's global random state on CPU and CUDA.

    Args:
        model: any module.
        batch: what the model is called with: a tensor, a tuple of positional or a dictionary of keyword arguments.
        loss: makes a scalar of the model's output; without it only the forward pass is measured.
        layers: the classes to measure, for example ``(nn.Linear,)``; without it, every module that has no children or
            has parameters of its own.
        keep: the statistics of a tensor, by default its :func:`moments`.

    Returns:
        One row per floating-point tensor that a module returns, in the order of the calls. Columns: ``layer`` (the
        module's name), ``kind`` (its class), ``mean``, ``var``, ``second_moment``, ``zero_share`` of the output,
        ``grad_...`` the same of the loss's gradient with respect to the output, and ``weight_grad_...`` of its gradient
        with respect to the module's weight. Entries that do not exist (no loss, no weight, not on the path to the loss)
        are NaN.

    Raises:
        ValueError: if ``loss`` does not return a scalar that depends on the model's floating-point computation.

    >>> table = propagate(nn.Sequential(nn.Linear(3, 5), nn.ReLU()), torch.zeros(2, 3), loss=torch.sum)
    >>> list(table.kind), float(table.grad_mean[1])
    (['Linear', 'ReLU'], 1.0)
    """
    with _untouched(model), record(model, layers, keep=keep) as signals, torch.set_grad_enabled(loss is not None):
        inputs: list[Tensor] = []
        if loss is not None:
            batch = tree_map_only(Tensor, lambda tensor: _tracked(tensor, inputs), batch)
        output = call(model, batch)
        gradients = _backward(model, inputs, loss(output)) if loss is not None else {}
    return pd.DataFrame([_row(signal, gradients, keep) for signal in signals])


def call(model: nn.Module, batch: Batch) -> Any:
    """Call a model with a batch: a tensor, a tuple of positional or a dictionary of keyword arguments.

    >>> layer, x = nn.Bilinear(2, 3, 4), (torch.ones(5, 2), torch.ones(5, 3))
    >>> torch.equal(call(layer, x), call(layer, {"input1": x[0], "input2": x[1]}))
    True
    """
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple) else model(batch)


def _tracked(tensor: Tensor, inputs: list[Tensor]) -> Tensor:
    """A copy of an input that gradients reach, so that they reach every layer, trained or not."""
    if not tensor.is_floating_point():
        return tensor
    inputs.append(tensor.detach().requires_grad_())
    return inputs[-1].clone()  # a model may work on its input in place


def _backward(model: nn.Module, inputs: list[Tensor], loss: Tensor) -> dict[int, Tensor]:
    """The gradients of the parameters by the parameter's id, without touching their ``grad``."""
    if not isinstance(loss, Tensor):
        raise ValueError(f"loss gave {loss!r}, but it must be a scalar tensor that depends on the model's output")
    if loss.numel() != 1 or not loss.requires_grad:
        raise ValueError(
            f"loss gave a tensor of shape {tuple(loss.shape)}, requires_grad={loss.requires_grad};"
            " it must be a scalar that depends on the model's output"
        )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sources = parameters + inputs
    found = torch.autograd.grad(loss, sources, allow_unused=True)
    return {id(source): gradient for source, gradient in zip(sources, found, strict=True) if gradient is not None}


def _row(signal: Signal, gradients: dict[int, Tensor], keep: Callable[[Tensor], Moments]) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": signal.layer, "kind": type(signal.module).__name__, **signal.forward}
    weight = weight_of(signal.module)
    weight_gradient = None if weight is None else gradients.get(id(weight))
    of_weight = None if weight_gradient is None else keep(weight_gradient)
    missing = dict.fromkeys(signal.forward, float("nan"))
    for prefix, statistics in (("grad_", signal.backward), ("weight_grad_", of_weight)):
        row |= {prefix + name: value for name, value in (statistics or missing).items()}
    return row


def weight_of(module: nn.Module) -> Tensor | None:
    """Find a module's own ``weight``, else its largest matrix, which may be held by a parametrization."""
    own = dict(module.named_parameters(recurse=False))
    held = {name: p for name, p in module.named_parameters() if name.startswith("parametrizations.")}
    matrices = [p for p in (own | held).values() if p.dim() > 1]
    return own.get("weight", max(matrices, key=Tensor.numel, default=None))


def computes(name: str, module: nn.Module) -> bool:
    """Tell whether a module does work of its own rather than only call its children or compute another one's weight.

    >>> model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 5)), nn.ReLU())
    >>> [name for name, module in model.named_modules() if computes(name, module)]
    ['0', '1']
    """
    if "parametrizations" in name.split("."):
        return False
    children = [child for child, _ in module.named_children() if child != "parametrizations"]
    return not children or any(True for _ in module.parameters(recurse=False))


def _filler(signal: Signal, keep: Callable[[Tensor], Any]) -> Callable[[Tensor], None]:
    """The hook of one signal's tensor; a function of its own, so that each hook is bound to its own signal."""

    def fill(gradient: Tensor) -> None:
        signal.backward = keep(gradient.detach())

    return fill


def floating(output: Any) -> list[Tensor]:
    """List the floating-point tensors in whatever a module returned: nested tuples, dictionaries, dataclasses."""
    leaves = tree_leaves(output)
    fields = [vars(leaf) for leaf in leaves if is_dataclass(leaf) and not isinstance(leaf, type)]
    return [leaf for leaf in leaves + tree_leaves(fields) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Put buffers and the global random state back: a pass in train mode moves statistics and draws dropout masks."""
    # A module may write into a buffer or put another tensor in its place, so both the tensor and its content come back.
    before = [(module, name, buffer) for module in model.modules() for name, buffer in module._buffers.items()]
    contents = [None if buffer is None else buffer.clone() for _, _, buffer in before]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            for (module, name, buffer), content in zip(before, contents, strict=True):
                module._buffers[name] = buffer
                if buffer is not None and content is not None:
                    buffer.data.copy_(content)
