"""Plain networks as ``nn.Sequential``, one builder each, their layers named by kind and number."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from tutorial_utils.sentinel import Model, given_memory

Norm = Callable[[int], nn.Module]


def mlp(
    widths: Sequence[int],
    activation: Callable[[], nn.Module] = nn.ReLU,
    *,
    norm: Norm | None = None,
    bias: bool = True,
) -> nn.Sequential:
    """A multilayer perceptron: Linear, optional normalization, activation, and so on; the last layer is Linear alone.

    Args:
        widths: the number of inputs, of units in each hidden layer, and of outputs; ``[64, 100, 10]`` has one hidden
            layer. The layers are named ``linear1``, ``norm1``, ``act1``, ``linear2``, ...
        activation: a class or other callable that makes the activation module.
        norm: makes the normalization of a hidden layer from its width, for example ``nn.BatchNorm1d``.
        bias: whether the linear layers have biases.

    Returns:
        The network, initialized by PyTorch's defaults; inputs have shape (batch, widths[0]).

    Raises:
        ValueError: if there are fewer than two widths, or one is not a positive integer.

    >>> [name for name, _ in mlp([64, 100, 10]).named_children()]
    ['linear1', 'act1', 'linear2']
    """
    _check_sizes("widths", widths)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (n_in, n_out) in enumerate(pairwise(widths), start=1):
        layers[f"linear{number}"] = nn.Linear(n_in, n_out, bias=bias)
        if number < len(widths) - 1:
            layers |= _after(number, n_out, activation, norm)
    return nn.Sequential(layers)


def conv_net(
    channels: Sequence[int],
    n_outputs: int,
    activation: Callable[[], nn.Module] = nn.ReLU,
    *,
    norm: Norm | None = None,
    kernel_size: int = 3,
) -> nn.Sequential:
    """A plain convolutional network: convolutions that keep the image size, the mean over pixels, one linear layer.

    Args:
        channels: the channels of the image and of each convolution; ``[1, 16, 16]`` has two convolutions. The layers
            are named ``conv1``, ``norm1``, ``act1``, ..., ``pool``, ``flatten``, ``linear``.
        n_outputs: outputs of the last layer.
        activation: a class or other callable that makes the activation module.
        norm: makes the normalization from the number of channels, for example ``nn.BatchNorm2d``.
        kernel_size: side of the kernels, odd, so that padding keeps the size.

    Returns:
        The network, initialized by PyTorch's defaults; inputs have shape (batch, channels[0], height, width).

    Raises:
        ValueError: if there are fewer than two channel counts, one is not a positive integer, or the kernel is even.

    >>> [name for name, _ in conv_net([1, 16, 16], 10).named_children()]
    ['conv1', 'act1', 'conv2', 'act2', 'pool', 'flatten', 'linear']
    """
    _check_sizes("channels", channels)
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size = {kernel_size}, but it must be odd and positive to keep the image size")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (c_in, c_out) in enumerate(pairwise(channels), start=1):
        layers[f"conv{number}"] = nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2)
        layers |= _after(number, c_out, activation, norm)
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(channels[-1], n_outputs)}
    return nn.Sequential(layers)


def undrawn(build: Callable[[], Model], dtype: torch.dtype = torch.float64) -> Model:
    """Build a module without a draw from a generator; its parameters must be initialized before use.

    >>> undrawn(lambda: nn.Linear(3, 2)).weight.dtype
    torch.float64
    """
    with torch.device("meta"):
        module = build().to(dtype)
    return given_memory(module)


def _after(number: int, size: int, activation: Callable[[], nn.Module], norm: Norm | None) -> dict[str, nn.Module]:
    """What follows a hidden layer's weights: the normalization, if any, and the activation."""
    normalization = {f"norm{number}": norm(size)} if norm else {}
    return normalization | {f"act{number}": activation()}


def _check_sizes(name: str, sizes: Sequence[int]) -> None:
    if len(sizes) < 2 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"{name} = {list(sizes)}, but it must hold at least two positive integers")
