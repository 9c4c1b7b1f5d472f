from collections.abc import Callable

import pytest
import torch
from torch import nn

from tutorial_utils.networks import conv_net, mlp


def kinds(net: nn.Sequential) -> list[str]:
    return [f"{name}:{type(module).__name__}" for name, module in net.named_children()]


def test_mlp_layers_are_named_in_order_and_end_linear() -> None:
    assert kinds(mlp([4, 8, 6, 3], nn.Tanh, norm=nn.BatchNorm1d)) == [
        "linear1:Linear", "norm1:BatchNorm1d", "act1:Tanh",
        "linear2:Linear", "norm2:BatchNorm1d", "act2:Tanh", "linear3:Linear",
    ]  # fmt: skip


def test_mlp_widths_and_bias() -> None:
    net = mlp([4, 8, 6, 3], bias=False)
    assert [tuple(p.shape) for p in net.parameters()] == [(8, 4), (6, 8), (3, 6)]
    assert mlp([4, 3])(torch.zeros(5, 4)).shape == (5, 3)


def test_norms_get_their_width_and_layers_are_not_shared() -> None:
    net = mlp([4, 8, 6, 3], norm=nn.LayerNorm)
    assert net.norm1.normalized_shape == (8,) and net.norm2.normalized_shape == (6,)
    assert net.act1 is not net.act2


def test_conv_net_keeps_the_image_size_up_to_the_pool() -> None:
    net = conv_net([1, 4, 6], 10, nn.ReLU, norm=nn.BatchNorm2d, kernel_size=5)
    x = torch.zeros(2, 1, 8, 8)
    assert net[:6](x).shape == (2, 6, 8, 8)
    assert net(x).shape == (2, 10)
    assert kinds(net)[-3:] == ["pool:AdaptiveAvgPool2d", "flatten:Flatten", "linear:Linear"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: mlp([3]), r"widths = \[3\], but it must hold at least two positive integers"),
        (lambda: mlp([3, 0, 2]), r"widths = \[3, 0, 2\]"),
        (lambda: mlp([3, 2.5]), r"widths = \[3, 2.5\]"),
        (lambda: conv_net([1], 10), r"channels = \[1\]"),
        (lambda: conv_net([1, 2], 10, kernel_size=4), "kernel_size = 4, but it must be odd"),
    ],
)
def test_bad_input_is_repeated_in_the_error(bad: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad()
