"""How a model is called, and how it is left: what a batch means, which models cannot be judged, what is put back."""

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside ``torch.compile`` and data parallelism, whose layers have the names their author gave them."""
    while (inner := WRAPPERS.get(type(model).__name__)) and isinstance(getattr(model, inner, None), nn.Module):
        model = getattr(model, inner)
    return model


def refuse(model: object) -> None:
    """Raise for models that cannot be judged, in one sentence."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model = {model!r}, but it must be a torch.nn.Module (an instance, not its class)")
    name, tensors = type(model).__name__, [*model.parameters(), *model.buffers()]
    reasons = {
        "is scripted or traced: diagnose the module it was made from": any(
            isinstance(module, torch.jit.ScriptModule) for module in model.modules()
        ),
        "has layers that wait for their first batch: call it once, then diagnose it": any(
            isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer) for tensor in tensors
        ),
        "is on the meta device, so it holds no numbers: move it with to_empty and initialize it": any(
            tensor.is_meta for tensor in tensors
        ),
        "is sharded over processes (FSDP, DTensor): diagnose it before it is sharded": any(
            type(part).__name__ in {"DTensor", "FullyShardedDataParallel"} for part in (*tensors, *model.modules())
        ),
        "is quantized, so no gradient flows through it: diagnose the model it was made from": any(
            ".quantized" in type(module).__module__ or hasattr(module, "_packed_params") for module in model.modules()
        )
        or any(not (p.is_floating_point() or p.is_complex()) for p in model.parameters()),
        "was made in inference mode, so it cannot be trained: make it outside": any(
            t.is_inference() for t in tensors if not isinstance(t, nn.UninitializedParameter | nn.UninitializedBuffer)
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"{name} {reason}")


def check_devices(model: nn.Module, batch: Any) -> None:
    """Raise if no tensor of the batch is where the model is."""
    of_model = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    of_batch = {leaf.device for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)}
    if of_model and of_batch and not of_model & of_batch:
        raise ValueError(f"the model is on {sorted(map(str, of_model))}, the batch on {sorted(map(str, of_batch))}")


class Arguments:
    """What the model and the loss are called with: ``positional``, ``named``; ``loss_fn`` and its ``target``."""

    def __init__(self, model: nn.Module, batch: Any, loss_fn: Callable[..., Any] | None, target: Any) -> None:
        self.positional: tuple[Any, ...] = ()
        self.named: dict[str, Any] = {}
        self.loss_fn, self.target = loss_fn, target
        self.track = True
        self.sources: list[Tensor] = []  # the copies that gradients reach, of the last call
        if isinstance(batch, Mapping):
            self.named = dict(batch)
        elif isinstance(batch, list | tuple) and not hasattr(batch, "_fields"):
            self.positional = tuple(batch)
            if len(batch) == 2 and loss_fn is not None and target is None and not _binds(model, batch):
                self.positional, self.target = (batch[0],), batch[1]  # what a DataLoader yields
            elif isinstance(batch, list) and not _binds(model, batch):
                self.positional = (batch,)
        else:
            self.positional = (batch,)

    def leaves(self) -> list[Tensor]:
        """The tensors of the batch, also those inside objects that only know their own fields."""
        found = tree_leaves((self.positional, self.named))
        inside = [vars(leaf) for leaf in found if not isinstance(leaf, Tensor) and hasattr(leaf, "__dict__")]
        return [leaf for leaf in found + tree_leaves(inside) if isinstance(leaf, Tensor)]

    def tracked(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Copies that gradients reach, so that they reach every layer, trained or not."""
        self.sources = []

        def copy(tensor: Tensor) -> Tensor:
            if tensor.is_inference():
                tensor = tensor.clone()
            if not tensor.is_floating_point() or tensor.layout is not torch.strided:
                return tensor
            if not self.track:
                return tensor.detach().clone()
            self.sources.append(tensor.detach().requires_grad_())
            return self.sources[-1].clone()  # a model may work on its input in place

        positional, named = tree_map_only(Tensor, copy, (self.positional, self.named))
        return positional, named


def _binds(model: nn.Module, batch: Any) -> bool:
    try:
        inspect.signature(model.forward).bind(*batch)
    except (TypeError, ValueError):
        return False
    return True


class Originals:
    """Copies of parameters made the moment before something writes into them."""

    def __init__(self, model: nn.Module) -> None:
        self._owners: dict[int, list[Tensor]] = {}
        self._copies: dict[int, tuple[Tensor, Tensor]] = {}
        for parameter in model.parameters():
            self._owners.setdefault(storage(parameter), []).append(parameter)
        self._owners.pop(0, None)  # empty tensors have no storage

    def before_write(self, tensor: Any) -> None:
        """Keep what lies in the memory of a tensor that is about to be written."""
        if not isinstance(tensor, Tensor):
            return
        for parameter in self._owners.get(storage(tensor), ()):
            if id(parameter) not in self._copies:
                self._copies[id(parameter)] = (parameter, parameter.detach().clone())

    @torch.no_grad()
    def restore(self) -> None:
        """Write the copies back."""
        for parameter, copy in self._copies.values():
            parameter.data.copy_(copy)


def storage(tensor: Tensor) -> int:
    """The address of the memory that a tensor and its views share; 0 where there is none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


@contextmanager
def preserved(model: nn.Module, originals: Originals) -> Iterator[None]:
    """Put everything back: modules with all their attributes, buffers, written parameters, ``grad``, random states.

    A module may write into a buffer or put another tensor in its place, so the tensor and its content both come back.
    """
    state = [(module, {k: _shallow(v) for k, v in module.__dict__.items()}) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            for module, attributes in state:
                module.__dict__.clear()
                module.__dict__.update(attributes)
            originals.restore()
            for buffer, content in buffers:
                buffer.data.copy_(content)
            for parameter, gradient in gradients:
                parameter.grad = gradient
            random.setstate(of_python)
            np.random.set_state(of_numpy)


def _shallow(value: Any) -> Any:
    """A copy of a plain container, so that what is added to it later is not in the copy; else the value itself."""
    return value.copy() if type(value) in {dict, list, set} or type(value).__name__ == "OrderedDict" else value
