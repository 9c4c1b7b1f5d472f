"""Where the slope of an activation is near zero, for every activation that torch computes by an operation of its own.

Operations are seen below modules and functions, so a subclass of ``nn.Tanh``, ``torch.tanh`` and ``x.tanh()`` are one.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Below the first and above the second number, the slope is less than two percent. Softplus is missing: the time steps
#: of state-space models are meant to start there.
FLAT = {
    "relu": (0.0, math.inf),
    "tanh": (-2.65, 2.65),
    "sigmoid": (-4.6, 4.6),
    "hardswish": (-3.0, math.inf),
    "hardsigmoid": (-3.0, 3.0),
    "gelu": (-3.0, math.inf),
    "silu": (-6.0, math.inf),
    "elu": (-4.0, math.inf),
    "mish": (-6.0, math.inf),
}
ATTENTION = {
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
}
SOFTMAX = {"_softmax", "_safe_softmax"}
_SURE = 0.99  # of a softmax: then the slope of its largest entry is at most one percent
SURE_SHARE = 0.5  # of the rows of attention: most of them look at one place only
_ROWS = 4096
_RARELY = 0.005
_ENTRIES = 2**18


@dataclass
class Activation:
    """What one call of one activation was given."""

    layer: str  # the module that computed it, or the layer before it
    within: str  # the module in whose forward it was called
    name: str
    zero_below: bool  # its output is 0 at the flat lower end, so the unit is off
    below: float  # shares of the entries
    above: float
    dead: float  # share of the units that are below for every example
    number: int
    units: int = 0
    spread: float = math.nan  # of the pre-activations: standard deviation
    middle: float = math.nan  # and their mean
    output: int = 0  # address of the memory of its result


def flat_ends(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float] | None:
    """The ends of the region with a slope; None if the operation is no activation."""
    if name == "hardtanh":
        ends = dict(zip(("min_val", "max_val"), args[1:3], strict=False)) | kwargs
        return float(ends.get("min_val", -1.0)), float(ends.get("max_val", 1.0))
    if name == "threshold":
        return float(args[1]), math.inf
    if name in {"clamp", "clamp_min"}:
        given = dict(zip(("min", "max"), args[1:3], strict=False)) | kwargs
        return (0.0, math.inf) if given.get("min") in (0, 0.0) and given.get("max") is None else None
    return FLAT.get(name)


@torch.no_grad()
def read(name: str, x: Tensor, ends: tuple[float, float]) -> dict[str, Any]:
    """The shares of an activation's input on either side of the region with a slope."""
    low, high = ends
    x = _thinned(x)
    below = x <= low
    wide = x.detach().float()
    shares = {axis: _always(below, axis) for axis in {1, x.dim() - 1}} if x.dim() > 1 else {0: 0.0}
    axis = max(shares, key=lambda axis: shares[axis])
    return {
        "name": name,
        "zero_below": math.isinf(high) or (name == "hardtanh" and low == 0),
        "below": float(below.float().mean()),
        "above": 0.0 if math.isinf(high) else float((x >= high).float().mean()),
        "dead": shares[axis],
        "units": x.shape[axis],
        "spread": float(wide.std()) if x.numel() > 1 else math.nan,
        "middle": float(wide.mean()),
    }


def only_named(name: str) -> dict[str, Any]:
    """Of one number an example, such as a score: which activation it was, and nothing about units."""
    return {"name": name, "zero_below": False, "below": 0.0, "above": 0.0, "dead": 0.0}


def _thinned(x: Tensor) -> Tensor:
    """Fewer rows of an image, fewer tokens of a sequence, where there are very many entries."""
    return x[..., :: math.ceil(x.numel() / _ENTRIES), :] if x.dim() > 2 and x.numel() > _ENTRIES else x


def _always(below: Tensor, axis: int) -> float:
    """The share of slices that are below (almost) everywhere; a slice of a few entries may be so by chance."""
    others = [n for n in range(below.dim()) if n != axis]
    entries = math.prod(below.shape[n] for n in others)
    if entries < 4:
        return 0.0
    above = (~below).sum(dim=others)
    return float((above <= _RARELY * entries).float().mean())


@torch.no_grad()
def sure_rows(logits: Tensor, dim: int) -> float:
    """The share of softmax rows with one entry near 1 among at least four that are not masked; NaN without such rows.

    A mask adds -inf or the lowest number there is; logits of a model are never as low.
    """
    rows = logits.detach().movedim(dim, -1).reshape(-1, logits.shape[dim])
    rows = rows[:: max(1, len(rows) // _ROWS)].float()
    open_ = (rows > -1e8).sum(dim=1) >= 4
    return float((rows[open_].softmax(dim=1).amax(dim=1) > _SURE).float().mean()) if bool(open_.any()) else math.nan


@torch.no_grad()
def attention_logits(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The logits of fused attention for its last queries, which a causal mask lets see every key."""
    query, key = args[0].detach().float(), args[1].detach().float()
    scale = kwargs.get("scale") or 1 / math.sqrt(query.shape[-1])
    query = query[..., -16:, :]
    if key.shape[1] != query.shape[1]:  # queries share keys in groups
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    logits: Tensor = query @ key.transpose(-1, -2) * scale
    return logits
