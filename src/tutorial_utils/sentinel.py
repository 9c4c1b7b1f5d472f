r"""Find the parameters and buffers that nothing ever writes, by filling memory with a sentinel beforehand.

Memory that was allocated and not written (``torch.empty``, ``to_empty``, ``skip_init``) may hold anything: absurd
numbers, NaN, or plausible zeros, so looking at a tensor proves nothing. :func:`never_written` fills the memory with NaN
first, whole numbers with the largest of their type, and looks where that is left.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)

#: No initializer draws a number as small as the first of these, other than zero, nor one as large as the second. Memory
#: that nobody wrote to holds bit patterns, most of which are absurd as numbers in this way.
TOO_SMALL, TOO_LARGE = 1e-30, 1e10


def never_written(
    model: nn.Module | Callable[[], nn.Module], initialize: Callable[[nn.Module], object] | None = None
) -> list[str]:
    """Name the parameters and buffers in which an entry is left that no constructor or initializer has written.

    A function or class that makes a model is asked about that: it is called once while torch fills every new tensor
    with the sentinel. A model is asked about its initializer: a copy of it is filled with the sentinel, then
    initialized (from the meta device it is given memory first), as happens to a model after ``to_empty``.

    Boolean and quantized tensors have no sentinel and are left out. The model and the global random state stay as they
    are.

    Args:
        model: a module, or what makes one when called without arguments.
        initialize: changes a model in place. Without one, what makes a model has to do without, and a module has
            ``reset_parameters`` called wherever there is one, as wrappers for distributed training do.

    Returns:
        The names, parameters first; empty if everything is written.

    Raises:
        TypeError: if ``model`` is neither, or if what it makes is not a module.

    >>> never_written(lambda: nn.utils.skip_init(nn.Linear, 3, 2))
    ['weight', 'bias']
    >>> never_written(nn.MultiheadAttention(8, 2))  # keeps its reset under a private name
    ['in_proj_weight', 'in_proj_bias']
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if isinstance(model, nn.Module):
            examined = _with_sentinels(model)
            (initialize or _reset_parameters)(examined)
        else:
            examined = _made(model)
            (initialize or _leave)(examined)
    named = (*examined.named_parameters(), *examined.named_buffers())
    return [name for name, tensor in named if _has_sentinel(tensor)]


def given_memory(model: Model) -> Model:
    """A model, in place, with memory that nobody has written, as by ``model.to_empty(device="cpu")``.

    For a model on the meta device that call imports torch's symbolic mathematics, which takes seconds.

    >>> given_memory(nn.Linear(3, 2, device="meta")).weight.device
    device(type='cpu')
    """
    model._apply(  # type: ignore[no-untyped-call]
        lambda tensor: torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    )
    return model


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    """The model that a function makes in memory full of sentinels."""
    if not callable(make):
        raise TypeError(f"model = {make!r}, but it must be a torch.nn.Module, or what makes one when called")
    with _filled_memory():
        model = make()
    if not isinstance(model, nn.Module):
        raise TypeError(f"model = {make!r} made {model!r}, but it must make a torch.nn.Module")
    return model


@contextmanager
def _filled_memory() -> Iterator[None]:
    """Let torch fill whatever it allocates without writing: that is part of its deterministic mode."""
    settings: Any = torch.utils.deterministic  # whose one setting is no declared attribute
    mode, filling = torch.get_deterministic_debug_mode(), settings.fill_uninitialized_memory
    # torch.use_deterministic_algorithms sets the same, but imports torch's compiler, which takes a second.
    torch.set_deterministic_debug_mode("warn")
    settings.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        settings.fill_uninitialized_memory = filling


@torch.no_grad()
def _with_sentinels(model: nn.Module) -> nn.Module:
    """A copy of a model without one number of its own."""
    examined = copy.deepcopy(model)
    if any(tensor.is_meta for tensor in (*examined.parameters(), *examined.buffers())):
        examined = given_memory(examined)
    for tensor in (*examined.parameters(), *examined.buffers()):
        if _takes_sentinel(tensor):
            tensor.fill_(_sentinel(tensor))
    return examined


def _reset_parameters(model: nn.Module) -> None:
    for module in model.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()


def _leave(model: nn.Module) -> None:
    """No initializer: the constructor has to do."""


def _takes_sentinel(tensor: Tensor) -> bool:
    lazy = isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)
    return not (lazy or tensor.is_meta or tensor.is_quantized or tensor.dtype == torch.bool)


def _sentinel(tensor: Tensor) -> float | int:
    is_whole = not (tensor.is_floating_point() or tensor.is_complex())
    return torch.iinfo(tensor.dtype).max if is_whole else float("nan")


def _has_sentinel(tensor: Tensor) -> bool:
    """Whether an entry is left as it was filled; NaN is not equal to itself."""
    if not _takes_sentinel(tensor):
        return False
    sentinel = _sentinel(tensor)
    return bool((tensor.isnan() if sentinel != sentinel else tensor == sentinel).any())
