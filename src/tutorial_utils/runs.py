r"""A run, which is one training in thirteen words: network, initialization, optimizer and seed; and grids of runs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from itertools import product
from numbers import Integral
from typing import Any

import torch
from torch import nn

from tutorial_utils.data import Split
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import Norm, conv_net, mlp, undrawn
from tutorial_utils.optimizers import check_optimizer
from tutorial_utils.schemes import SCHEMES

#: The activations by name.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softsign": nn.Softsign,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}
#: The normalizations by name, for vectors and for images.
NORMS: dict[str, tuple[Norm | None, Norm | None]] = {
    "none": (None, None),
    "batch": (nn.BatchNorm1d, nn.BatchNorm2d),
    "layer": (nn.LayerNorm, None),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: ``depth`` hidden layers of ``width`` units, how they start, and what moves them.

    Attributes:
        depth: number of hidden layers, or of convolutions where the data are images.
        width: units, or channels, of each.
        activation: a key of :data:`ACTIVATIONS`.
        scheme: a key of :data:`tutorial_utils.schemes.SCHEMES`; "normal", "constant" and "uniform" have standard
            deviation 1, value 1 and the interval (-1, 1).
        scale: multiplies every weight of the scheme.
        lr: the learning rate.
        optimizer: "sgd" or "adam", which is ``torch.optim.Adam`` with its default betas and eps. Adam's usual rates
            are a hundredth of those of SGD.
        momentum: of ``torch.optim.SGD``; 0 for Adam.
        weight_decay: of ``torch.optim.SGD`` or ``torch.optim.Adam``.
        norm: "none", "batch" or "layer", between each hidden layer's weights and its activation.
        beta: the shift with which every normalization starts; 0 without one.
        batch_size: examples per minibatch, drawn with replacement.
        seed: of the weights and, in a stream of its own, of the minibatches.

    Raises:
        ValueError: for a value that is not among those named, or out of range, and for Adam with momentum.

    >>> Run(depth=3, activation="tanh", scheme="xavier_uniform").lr
    0.1
    """

    depth: int = 5
    width: int = 64
    activation: str = "relu"
    scheme: str = "kaiming_normal"
    scale: float = 1.0
    lr: float = 0.1
    optimizer: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    norm: str = "none"
    beta: float = 0.0
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        named: dict[str, Iterable[Any]] = {"activation": ACTIVATIONS, "scheme": SCHEMES, "norm": NORMS}
        for name, allowed in named.items():
            if getattr(self, name) not in allowed:
                options = ", ".join(map(str, allowed))
                raise ValueError(f"{name} = {getattr(self, name)!r}, but it must be one of {options}")
        for name, least in {"depth": 1, "width": 1, "batch_size": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} = {value!r}, but it must be an integer of at least {least}")
            object.__setattr__(self, name, int(value))
        for name in ("scale", "lr", "momentum", "weight_decay", "beta"):
            value = getattr(self, name)
            if not hasattr(value, "__float__") or not 0 <= value < float("inf"):
                raise ValueError(f"{name} = {value!r}, but it must be a finite number of at least 0")
            object.__setattr__(self, name, float(value))
        if self.beta and self.norm == "none":
            raise ValueError(f"beta = {self.beta} with norm = 'none', but only a normalization has a shift: beta = 0")
        check_optimizer(self.optimizer, self.momentum)

    @property
    def shape(self) -> tuple[Any, ...]:
        """What two runs must share to be trained in one stack.

        Whether there is momentum belongs to it, and whether there is weight decay: in a run without, a buffer that
        overflows would count as 0 · inf = NaN.
        """
        sizes = self.depth, self.width, self.activation, self.norm, self.batch_size
        return *sizes, self.momentum > 0, self.weight_decay > 0, self.optimizer

    def network(self, data: Split) -> nn.Sequential:
        """Build and initialize the network for a data set: an mlp for vectors, a conv_net for images, in their dtype.

        Torch's global random state is left alone.

        Raises:
            ValueError: for images with norm = "layer", vectors with norm = "batch" and batch_size = 1, or inputs that
                are neither vectors nor images.
        """
        return self.initialize_(undrawn(lambda: self._empty(data), data.x_train.dtype))

    def initialize_(self, model: nn.Sequential) -> nn.Sequential:
        """Initialize a network of this shape, in place: weights, biases, and normalization."""
        for module in model:
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                module.reset_parameters()
                nn.init.constant_(module.bias, self.beta)
        generator = torch.Generator().manual_seed(2 * self.seed)
        initialize_(model, self.scheme, generator=generator, **SCHEMES[self.scheme].options)
        with torch.no_grad():
            for layer in model:
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    layer.weight.mul_(self.scale)
        return model

    def batches(self) -> torch.Generator:
        """Make the stream that draws the minibatches, the same for every run with this seed."""
        return torch.Generator().manual_seed(2 * self.seed + 1)

    def _empty(self, data: Split) -> nn.Sequential:
        classes = int(torch.cat([data.y_train, data.y_test]).max()) + 1
        features, *pixels = data.x_train.shape[1:]
        activation, (for_vectors, for_images) = ACTIVATIONS[self.activation], NORMS[self.norm]
        sizes = [features] + [self.width] * self.depth
        if not pixels:
            if self.norm == "batch" and self.batch_size == 1:
                raise ValueError("norm = 'batch' with batch_size = 1: a single example has no variance")
            return mlp([*sizes, classes], activation, norm=for_vectors)
        if len(pixels) != 2 or (for_vectors and not for_images):
            shape = tuple(data.x_train.shape)
            raise ValueError(f"norm = {self.norm!r} for inputs of shape {shape}: that network is not among those built")
        return conv_net(sizes, classes, activation, norm=for_images)


def grid(**axes: Any) -> list[Run]:
    """List the runs of a grid: every combination of the values given, the last axis fastest.

    Args:
        **axes: for each field of :class:`Run` one value or several; fields that are not named keep their default.

    Returns:
        The runs.

    Raises:
        ValueError: for a name that is not a field of :class:`Run`, an axis without values, or a value it rejects.

    >>> [run.lr for run in grid(depth=3, lr=[0.1, 1.0])]
    [0.1, 1.0]
    """
    names = [field.name for field in fields(Run)]
    listed = {name: _several(values) for name, values in axes.items()}
    for name, values in listed.items():
        if name not in names:
            raise ValueError(f"axis {name!r}, but a run has {', '.join(names)}")
        if not values:
            raise ValueError(f"axis {name!r} has no values")
    return [Run(**dict(zip(axes, values, strict=True))) for values in product(*listed.values())]


def _several(values: Any) -> list[Any]:
    """The values of one axis as plain Python numbers and strings."""
    single = isinstance(values, str) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0
    listed = [values] if single else list(values)
    return [value.item() if hasattr(value, "item") else value for value in listed]
