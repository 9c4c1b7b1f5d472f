r"""What a parameter is to its layer: how many terms its outputs sum, which blocks it packs, which entries are one unit.

:mod:`torch.nn.init` reads a weight's fans from its shape, as if every weight were that of a linear layer. What a layer
computes with the weight is another matter, and this module knows it for the layers of torch.nn and for the ``Conv1D``
of the Hugging Face library, which stores its matrix the other way around.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from tutorial_utils.initializers import Fans, fans

#: The blocks that recurrent and attention layers stack in one tensor, in torch's order.
GATES = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}
HEADS = ("q", "k", "v")


class Block(NamedTuple):
    """A part of a packed tensor that the layer uses as a tensor of its own: a gate, or a query's projection."""

    name: str
    entries: Tensor


def torch_fans(parameter: Tensor) -> tuple[int, int] | None:
    """Read the fans of a matrix or kernel from its shape, as torch.nn.init does; None for vectors and if one is zero.

    >>> torch_fans(nn.ConvTranspose2d(64, 256, 4, stride=2).weight)
    (4096, 1024)
    """
    if parameter.dim() < 2 or not all(parameter.shape):
        return None
    return init._calculate_fan_in_and_fan_out(parameter)


def true_fans(module: nn.Module, parameter: Tensor) -> Fans | None:
    """Count how many terms an output sums, and how many outputs an input feeds, by what the layer computes.

    Linear and convolutional layers are counted by :func:`tutorial_utils.initializers.fans`. An embedding looks one row
    up and sums over nothing: its fan_in is 1. The Hugging Face ``Conv1D`` has (inputs, outputs) for its shape. Any
    other matrix counts as torch.nn.init counts it.

    >>> true_fans(layer := nn.ConvTranspose2d(64, 256, 4, stride=2), layer.weight)
    Fans(fan_in=256.0, fan_out=4096.0)
    """
    counted = torch_fans(parameter)
    if counted is None:
        return None
    if isinstance(module, nn.Linear | _ConvNd) and parameter.numel() == _count(module):  # not an adapter's beside it
        return fans(module)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return Fans(1.0, float(parameter.shape[1]))
    if is_transposed_linear(module):
        return Fans(*map(float, parameter.shape))
    return Fans(*map(float, counted))


def _count(module: nn.Linear | _ConvNd) -> int:
    """How many entries the weight has."""
    if isinstance(module, nn.Linear):
        return module.in_features * module.out_features
    return module.in_channels * module.out_channels * math.prod(module.kernel_size) // module.groups


def is_transposed_linear(module: nn.Module) -> bool:
    """Whether a module is the Hugging Face ``Conv1D`` (GPT-2's linear layer), known by its name and its sizes."""
    weight = module._parameters.get("weight")  # and not by its name, which would run a parametrization
    return type(module).__name__ == "Conv1D" and isinstance(weight, Tensor) and weight.dim() == 2


def blocks(module: nn.Module, name: str, parameter: Tensor) -> list[Block]:
    """Split what a recurrent or attention layer packs into one tensor; empty for a tensor that is none of theirs.

    >>> layer = nn.LSTM(3, 5)
    >>> [block.name for block in blocks(layer, "bias_hh_l0", layer.bias_hh_l0)]
    ['i', 'f', 'g', 'o']
    """
    kind = getattr(module, "mode", type(module).__name__.removesuffix("Cell"))
    if isinstance(module, nn.MultiheadAttention) and name.startswith("in_proj"):
        names: tuple[str, ...] = HEADS
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase) and kind in GATES and "_hr" not in name:
        names = GATES[kind]
    else:
        return []
    return [Block(one, part) for one, part in zip(names, parameter.chunk(len(names)), strict=True)]


def units(module: nn.Module, name: str, parameter: Tensor) -> Tensor | None:
    """Reshape a weight to (groups, units, entries): the units of a group see the same inputs, so equal ones stay equal.

    Gates, heads' projections and the groups of a convolution are groups. None for what is no weight of a layer of
    torch.nn or of ``Conv1D``: the rows of a parameter of one's own need not be units.

    >>> tuple(units(layer := nn.Conv2d(4, 6, 3, groups=2), "weight", layer.weight).shape)
    (2, 3, 18)
    """
    packed = blocks(module, name, parameter)
    if packed:
        return torch.stack([block.entries.flatten(1) for block in packed]) if parameter.dim() > 1 else None
    if is_transposed_linear(module) and name == "weight":
        return parameter.T[None]
    if isinstance(module, _ConvNd) and name == "weight":
        kernels = parameter.reshape(module.groups, -1, *parameter.shape[1:])
        return (kernels.transpose(1, 2) if isinstance(module, _ConvTransposeNd) else kernels).flatten(2)
    known = isinstance(module, nn.Linear | nn.Bilinear | nn.MultiheadAttention | nn.RNNBase | nn.RNNCellBase)
    return parameter.flatten(1)[None] if known and parameter.dim() > 1 and "weight" in name else None


def equal_units(groups: Tensor) -> int:
    """Count the units that equal another one of their group, all-zero ones aside.

    Rows of few entries of low precision may agree by chance; such an agreement is not counted.

    >>> equal_units(torch.tensor([[[0.1, 0.2], [0.1, 0.2], [0.0, 0.0], [0.0, 0.0]]]))
    2
    """
    if groups.numel() == 0:
        return 0
    eps = torch.finfo(groups.dtype).eps
    values = groups if groups.dtype == torch.float64 else groups.float()  # torch sorts no 8-bit numbers
    return sum(_equal_rows(group, eps) for group in values)


def _equal_rows(rows: Tensor, eps: float) -> int:
    count, length = rows.shape
    chance = count**2 * eps**length  # that some two of so many random rows agree, at most
    if count < 2 or (chance > 1e-6 and rows.min() < rows.max()):
        return 0
    candidates = rows[_repeated(rows[:, :16])]  # most matrices have no two rows that even begin alike
    candidates = candidates[candidates.any(dim=1)]
    if len(candidates) == 0 or candidates.min() == candidates.max():
        return len(candidates)
    return int(_repeated(candidates).sum())


def _repeated(rows: Tensor) -> Tensor:
    """Which rows occur more than once."""
    if len(rows) == 0:
        return torch.zeros(0, dtype=torch.bool)
    which, counts = rows.unique(dim=0, return_inverse=True, return_counts=True)[1:]
    repeated: Tensor = counts[which] > 1
    return repeated
