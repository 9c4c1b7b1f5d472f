"""Faults that people reported in public, rebuilt small; ``source`` is the report's address.

What memory that was never written holds changes from run to run. Here it is filled with values of the kind that was
seen, so that every run finds the same.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from doctor.cases import BATCH, Problem, fault
from doctor.models import (
    GPT,
    LowRank,
    SelfAttention,
    change,
    cnn,
    cross_entropy,
    generator,
    glorot,
    images,
    labels,
    mlp,
    mse,
    on_images,
    on_rows,
    on_tokens,
    pixels,
    rows,
    settle,
)

GITHUB = "https://github.com/"


def garbage(tensor: Tensor) -> Tensor:
    """Fill a tensor as memory that was never written is filled: almost nothing, with a few huge numbers among it."""
    flat = tensor.fill_(1.4e-35).view(-1)
    flat[::61] = 2.7e18
    flat[::53] = -4.6e-41
    return tensor


@fault(
    "VGG16 without its BatchNorm",
    {"lost-input", "vanishing-gradient", "forward-scale"},
    source=GITHUB + "kuangliu/pytorch-cifar/issues/28",
)
def _() -> Problem:
    layers: list[nn.Module] = []
    fan_in = 3
    for width in (16, 16, 0, 32, 32, 0, 64, 64, 64, 0, 64, 64, 64, 0, 64, 64, 64, 0):
        layers += [nn.Conv2d(fan_in, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        fan_in = width or fan_in
    return on_images(nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 5)), images(16, 3, 32))


@fault(
    "network in network whose last convolution died: the loss stays at ln 10",
    {"dead-units"},
    {"5", "6"},
    GITHUB + "jiecaoyu/pytorch-nin-cifar10/issues/1",
)
def _() -> Problem:
    layers = [nn.Conv2d(3, 24, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(24, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return change(model, "5.bias", lambda b: b.fill_(-3)), images(), cross_entropy, labels(16, 10)


@fault(
    "ranking model that ends in ReLU behind a negative bias",
    {"dead-units", "output-activation"},
    {"4", "5"},
    GITHUB + "facebookresearch/dlrm/pull/358",
)
def _() -> Problem:
    model = nn.Sequential(*mlp(20, 32, 16, 1, weight=glorot), nn.ReLU())
    return change(model, "4.bias", lambda b: b.fill_(-6)), rows(), mse, labels(64, 2)[:, None].float()


@fault(
    "low-rank adapters added before everything is initialized again: both factors zero",
    {"zero-initialized", "no-gradient"},
    {"0", "2", "0.A", "2.A", "0.B", "2.B"},
    GITHUB + "nvidia-cosmos/cosmos-predict2.5/pull/15",
)
def _() -> Problem:
    model = nn.Sequential(LowRank(nn.Linear(20, 64)), nn.ReLU(), LowRank(nn.Linear(64, 5)))
    return on_rows(change(model, "0.A 2.A", torch.zero_))


@fault(
    "generator that gives noise once in eval mode",
    {"running-statistics"},
    {"2", "5"},
    GITHUB + "duxingren14/DualGAN/issues/10",
)
def _() -> Problem:
    target = images(32).div(3).clamp(-1, 1)
    return generator().eval(), torch.randn(32, 32), mse, target


@fault(
    "averaged generator: parameters averaged, statistics left behind",
    {"running-statistics"},
    {"1", "4"},
    GITHUB + "odegeasslbc/FastGAN-pytorch/issues/4",
)
def _() -> Problem:
    layers: list[nn.Module] = [nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.Linear(64, 48), nn.Tanh())
    noise = torch.randn(32, 32)
    settled = settle(model, noise)
    change(settled, "0.weight 3.weight", lambda w: w.mul_(8))
    return settled, noise, mse, torch.rand(32, 48) - 0.5


@fault(
    "background embedding made by torch.empty",
    {"uninitialized"},
    {"", "background"},
    GITHUB + "sauradip/STALE/issues/16",
)
def _() -> Problem:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.background = nn.Parameter(garbage(torch.zeros(1, 64)))
            self.encode, self.head = nn.Linear(20, 64), nn.Linear(64, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.encode(x)) + functional.normalize(self.background.clamp(-1, 1)))

    return on_rows(Model())


@fault(
    "graph attention vector that was created as NaN",
    {"not-finite", "uninitialized"},
    {"", "attention"},
    GITHUB + "FeiGSSS/DySAT_pytorch/issues/3",
)
def _() -> Problem:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project, self.head = nn.Linear(20, 32), nn.Linear(32, 5)
            self.attention = nn.Parameter(torch.full((32,), math.nan))

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.project(x)
            scores = functional.leaky_relu((hidden * self.attention).sum(1))
            return self.head((scores[:, None] + scores).softmax(1) @ hidden)

    return on_rows(Model())


@fault(
    "some entries of an output projection are NaN from the start",
    {"not-finite"},
    {"blocks.1.0.branch.1.out"},
    GITHUB + "TransformerLensOrg/TransformerLens/issues/902",
)
def _() -> Problem:
    return on_tokens(change(GPT(), "blocks.1.0.branch.1.out.weight", lambda w: w[42:, 10:12].fill_(math.nan)))


@fault(
    "attention made by torch.empty looks at one token only",
    {"uninitialized"},
    {"blocks.0.0.branch.1.qkv"},
    GITHUB + "TransformerLensOrg/TransformerLens/issues/518",
)
def _() -> Problem:
    return on_tokens(change(GPT(), "blocks.0.0.branch.1.qkv.weight", garbage))


class Rotary(nn.Module):
    """Attention whose queries turn with the position, at frequencies kept in a buffer."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("frequencies", 10000 ** -torch.linspace(0, 1, width // 2), persistent=False)
        self.attention = SelfAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        angle = torch.arange(x.shape[1])[:, None] * self.get_buffer("frequencies")
        even, odd = x.chunk(2, -1)
        turned = torch.cat([even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()], -1)
        return x + self.attention(turned)


@fault(
    "rotary frequencies are garbage after to_empty",
    {"uninitialized", "not-finite"},
    {"1", "1.frequencies"},
    GITHUB + "huggingface/transformers/issues/36577",
)
def _() -> Problem:
    model = nn.Sequential(nn.Embedding(100, 64), Rotary(), nn.LayerNorm(64), nn.Linear(64, 100))
    garbage(model[1].get_buffer("frequencies"))
    return on_tokens(model)


@fault(
    "rotary frequencies are NaN after to_empty",
    {"uninitialized", "not-finite"},
    {"1", "1.frequencies"},
    GITHUB + "NovaSky-AI/SkyRL/issues/1709",
)
def _() -> Problem:
    model = nn.Sequential(nn.Embedding(100, 64), Rotary(), nn.LayerNorm(64), nn.Linear(64, 100))
    model[1].get_buffer("frequencies").fill_(math.nan)
    return on_tokens(model)


@fault(
    "softmax in the model, cross-entropy outside",
    {"output-activation"},
    {"8"},
    GITHUB + "jindongwang/Deep-learning-activity-recognition/issues/10",
)
def _() -> Problem:
    layers = [nn.Conv1d(9, 32, 9), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(32, 64, 9), nn.ReLU(), nn.AdaptiveMaxPool1d(1)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 6), nn.Softmax(1))
    return model, torch.randn(16, 9, 64), cross_entropy, labels(16, 6)


@fault(
    "logistic regression with softmax, then log-softmax in the loss",
    {"output-activation"},
    {"1"},
    GITHUB + "Lightning-Universe/lightning-bolts/issues/654",
)
def _() -> Problem:
    return on_rows(nn.Sequential(nn.Linear(20, 5), nn.Softmax(1)))


@fault(
    "a linear layer that is never called, its bias shared",
    {"no-gradient"},
    {"net1", "", "bias"},
    GITHUB + "pytorch/pytorch/issues/41324",
)
def _() -> Problem:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net1 = nn.Linear(20, 5, bias=False)
            self.bias = nn.Parameter(torch.zeros(5))
            self.net1.bias = self.bias
            self.net2 = nn.Linear(20, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.net2(x)

    return on_rows(Model())


@fault(
    "a constant channel of 1e7 under BatchNorm gives rounding noise",
    {"input-scale"},
    {BATCH},
    GITHUB + "pytorch/pytorch/issues/5410",
)
def _() -> Problem:
    model = nn.Sequential(nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(500, 5))
    return on_images(model, (1e7 + torch.arange(1.0, 6.0)[:, None, None]).expand(16, 5, 10, 10).clone())


@fault(
    "momentum as another library counts it: 0.99",
    {"running-statistics"},
    {"1", "5", "9"},
    GITHUB + "keras-team/keras/issues/10666",
)
def _() -> Problem:
    model = cnn()
    for name in (1, 5, 9):
        model[name].momentum = 0.99
    return on_images(model)


@fault(
    "eval mode after three steps at a small momentum: statistics on the way",
    {"running-statistics"},
    {"1", "5", "9"},
    GITHUB + "tensorflow/tensorflow/issues/36446",
)
def _() -> Problem:
    model, batch = cnn(), pixels()
    for name in (1, 5, 9):
        model[name].momentum = 0.01
    for _ in range(3):
        model(batch)
    return on_images(model.eval(), batch)


@fault(
    "fine-tuning with BatchNorm in eval mode on data from elsewhere",
    {"running-statistics", "input-scale"},
    {"1", BATCH},
    GITHUB + "keras-team/keras/issues/9214",
)
def _() -> Problem:
    model = settle(cnn(), images()).requires_grad_(False)
    model[14] = nn.Linear(32, 5)
    return on_images(model, 6 + 12 * images())


@fault(
    "the last, incomplete batch holds two tiles",
    {"small-batch"},
    {"3", BATCH},
    GITHUB + "azavea/raster-vision/pull/1029",
)
def _() -> Problem:
    layers = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()]
    return on_images(nn.Sequential(*layers, nn.Linear(32, 5)), images(2))


@fault(
    "language model whose tied embedding is torch's N(0, 1)",
    {"first-loss", "forward-scale", "parameter-scale"},
    {"0", "3"},
    GITHUB + "fastai/fastai/pull/2090",
)
def _() -> Problem:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(200, 200, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0]

    embed, head = nn.Embedding(100, 200), nn.Linear(200, 100)
    head.weight = embed.weight
    return on_tokens(nn.Sequential(embed, Recurrent(), nn.LayerNorm(200), head))
