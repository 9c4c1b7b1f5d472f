"""Faults: convolutional networks, residual networks, U-Nets, generators; and BatchNorm."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from doctor.cases import BATCH, TARGET, Problem, fault
from doctor.models import (
    Apply,
    Residual,
    UNet,
    bce,
    change,
    cnn,
    cross_entropy,
    deep_mlp,
    discriminator,
    draw,
    generator,
    he,
    images,
    labels,
    lecun,
    masks,
    mlp,
    mse,
    normal,
    on_images,
    on_rows,
    pixels,
    resnet,
    rows,
    settle,
)

SCALE = {"forward-scale", "parameter-scale"}


def plain(depth: int = 4, width: int = 16) -> nn.Sequential:
    """Convolutions ``0, 2, 4, ...`` with ReLU and no normalization, He, then a linear head."""
    layers: list[nn.Module] = []
    for fan_in in (3, *[width] * (depth - 1)):
        layers += [nn.Conv2d(fan_in, width, 3, padding=1), nn.ReLU()]
    made: nn.Sequential = draw(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5)), he)
    return made


# Convolutions ---------------------------------------------------------------------------------------------------------


@fault("one convolution x 100", SCALE, {"4"})
def _() -> Problem:
    return on_images(change(plain(), "4.weight", lambda w: w.mul_(100)))


@fault("one convolution x 0.001", SCALE, {"2"})
def _() -> Problem:
    return on_images(change(plain(), "2.weight", lambda w: w.mul_(1e-3)))


@fault("pixels from 0 to 255 into a CNN without normalization", {"input-scale"}, {BATCH})
def _() -> Problem:
    return on_images(plain(), pixels())


@fault("one color channel is never filled and holds 1e7", {"input-scale"}, {BATCH})
def _() -> Problem:
    batch = images(16, 4)
    batch[:, 3] = 1e7
    return on_images(cnn(channels=4), batch)


@fault("12 convolutions drawn from N(0, 0.01)", {"forward-scale", "vanishing-gradient", "parameter-scale"})
def _() -> Problem:
    return on_images(draw(plain(12), normal(0.01)))


@fault("16 convolutions as torch draws them", {"lost-input", "vanishing-gradient", "forward-scale"})
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (3, *[16] * 15):
        layers += [nn.Conv2d(fan_in, 16, 3, padding=1), nn.ReLU()]
    return on_images(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)))


@fault("convolution with equal filters", {"equal-units"}, {"2"})
def _() -> Problem:
    return on_images(change(plain(), "2.weight", lambda w: w.copy_(w[:1].expand_as(w))))


@fault("convolution whose biases of -6 silence its ReLU", {"dead-units"}, {"4", "5"})
def _() -> Problem:
    return on_images(change(plain(), "4.bias", lambda b: b.fill_(-6)))


@fault(
    "depthwise convolutions drawn as if they saw all channels",
    {"forward-scale", "vanishing-gradient", "parameter-scale"},
    {"2", "6", "10"},
)
def _() -> Problem:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 1), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU()]
    model = draw(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)), he)
    return on_images(change(model, "2.weight 6.weight 10.weight", lambda w: w.normal_(0, math.sqrt(2 / (64 * 9)))))


@fault(
    "transposed convolutions drawn with torch's fan_in",
    {"forward-scale", "vanishing-gradient", "parameter-scale"},
    {"1", "3", "5"},
)
def _() -> Problem:
    layers: list[nn.Module] = [nn.Unflatten(1, (4, 4, 4))]
    for fan_in, fan_out in ((4, 32), (32, 256), (256, 512)):
        layers += [nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1), nn.ReLU()]
    x = rows(8, 64)
    return draw(nn.Sequential(*layers, nn.Conv2d(512, 1, 1)), he), x, mse, torch.randn(8, 1, 32, 32)


# BatchNorm, training --------------------------------------------------------------------------------------------------


@fault("BatchNorm on the logits", {"output-activation"}, {"9"})
def _() -> Problem:
    return on_rows(nn.Sequential(*deep_mlp(), nn.BatchNorm1d(5)))


@fault("BatchNorm with eps = 1 behind small convolutions", {"forward-scale", "vanishing-gradient", "parameter-scale"})
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (3, *[16] * 5):
        layers += [nn.Conv2d(fan_in, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16, eps=1.0), nn.ReLU()]
    return on_images(
        draw(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)), normal(0.02))
    )


@fault("BatchNorm on a batch of 2", {"small-batch"}, {"1", BATCH})
def _() -> Problem:
    model = nn.Sequential(nn.Linear(20, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 5))
    return on_rows(draw(model, he), rows(2))


@fault("BatchNorm after global pooling, two images", {"small-batch"}, {"15", BATCH})
def _() -> Problem:
    body = list(cnn())
    model = nn.Sequential(*body[:-1], nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))
    return on_images(model, images(2))


@fault("BatchNorm with momentum 0: the statistics never move", {"running-statistics"}, {"1", "5", "9"})
def _() -> Problem:
    model = cnn()
    for name in (1, 5, 9):
        model[name].momentum = 0.0
    return on_images(model)


@fault("BatchNorm with momentum 0.99: the statistics are those of the last batch", {"running-statistics"}, {"1"})
def _() -> Problem:
    model = nn.Sequential(nn.Linear(20, 64, bias=False), nn.BatchNorm1d(64, momentum=0.99), nn.ReLU(), nn.Linear(64, 5))
    return on_rows(draw(model, he))


@fault(
    "60 convolutions with BatchNorm and no shortcut",
    {"normalization-explosion"},
    source="https://arxiv.org/abs/1902.08129",
)
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (3, *[8] * 59):
        layers += [nn.Conv2d(fan_in, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    return on_images(
        draw(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)), he), images(8, 3, 8)
    )


@fault(
    "gains of BatchNorm drawn from N(0, 0.02) as if they were weights",
    {"forward-scale", "parameter-scale"},
    {"2", "5", "8"},
)
def _() -> Problem:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 4, 2, 1)]
    layers += [
        nn.LeakyReLU(0.2),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.BatchNorm2d(32),
    ]
    layers += [
        nn.Conv2d(32, 32, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 1, 8),
        nn.Flatten(),
    ]
    model = draw(nn.Sequential(*layers), he)
    model = change(model, "2.weight 5.weight 8.weight", lambda w: w.normal_(0, 0.02))
    return model, images(), bce, labels(16, 2)[:, None].float()


@fault("gamma of a BatchNorm without shortcut is zero", {"zero-initialized", "lost-input"}, {"5"})
def _() -> Problem:
    return on_images(change(cnn(), "5.weight", torch.zero_))


@fault("biases before BatchNorm in a CNN", {"bias-before-norm"}, {"0", "3"})
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (3, 16):
        layers += [nn.Conv2d(fan_in, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    return on_images(draw(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)), he))


# BatchNorm, eval ------------------------------------------------------------------------------------------------------


@fault("eval mode, running variances of 1e-4", {"running-statistics"}, {"1", "5", "9"})
def _() -> Problem:
    batch = images()
    model = settle(cnn(), batch)
    return on_images(change(model, "1.running_var 5.running_var 9.running_var", lambda v: v.fill_(1e-4)), batch)


@fault("eval mode, running means of 50", {"running-statistics"}, {"5"})
def _() -> Problem:
    batch = images()
    return on_images(change(settle(cnn(), batch), "5.running_mean", lambda m: m.fill_(50)), batch)


@fault("eval mode after training on pixels, batch standardized", {"running-statistics", "input-scale"}, {"1", BATCH})
def _() -> Problem:
    return on_images(settle(cnn(), pixels()), images())


@fault("eval mode, statistics never gathered, deep network", {"running-statistics"}, {"*"})
def _() -> Problem:
    return on_images(resnet(12).eval())


@fault("NaN in a running variance, train mode", {"not-finite", "running-statistics"}, {"5", "5.running_var"})
def _() -> Problem:
    return on_images(change(cnn(), "5.running_var", lambda v: v[2].fill_(math.nan)))


@fault("NaN in a running variance, eval mode", {"not-finite", "running-statistics"}, {"5", "5.running_var"})
def _() -> Problem:
    batch = images()
    return on_images(change(settle(cnn(), batch), "5.running_var", lambda v: v[2].fill_(math.nan)), batch)


@fault("negative running variances", {"not-finite", "running-statistics"}, {"1", "1.running_var"})
def _() -> Problem:
    batch = images()
    return on_images(change(settle(cnn(), batch), "1.running_var", lambda v: v.neg_()), batch)


class _Pair(nn.Module):
    """A value network and its target, which is told what the parameters are but not the statistics."""

    def __init__(self, state: Tensor) -> None:
        super().__init__()
        layers = [nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
        self.online = nn.Sequential(*layers, nn.Linear(64, 4))
        self.target = copy.deepcopy(self.online).requires_grad_(False).eval()
        for _ in range(100):
            self.online(state)

    def forward(self, state: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        return self.online(state).amax(1), self.target(following).amax(1)


@fault(
    "target network got parameters but no buffers",
    {"running-statistics"},
    {"target.1", "target.4"},
    "https://github.com/DLR-RM/stable-baselines3/pull/1004",
)
def _() -> Problem:
    states = 12 + 6 * torch.randn(2, 64, 8)
    return _Pair(states[0]), (states[0], states[1]), lambda values: functional.mse_loss(*values), None


# Residual networks ----------------------------------------------------------------------------------------------------


@fault("one residual branch x 1000, no normalization after it", SCALE, {"3.branch.2"})
def _() -> Problem:
    blocks = [Residual(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)) for _ in range(4)]
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
    )
    for index in range(1, 5):
        change(draw(model[index], he), "branch.2.weight", lambda w: w.mul_(0.5))
    return on_images(change(model, "3.branch.2.weight", lambda w: w.mul_(1000)))


@fault("24 residual blocks without normalization, He in every branch", {"forward-scale", "exploding-gradient"})
def _() -> Problem:
    blocks = [Residual(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)) for _ in range(24)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    return on_images(draw(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *blocks, *tail), he), images(8))


@fault("ResNet whose head was drawn from N(0, 1)", {"first-loss", *SCALE}, {"9"})
def _() -> Problem:
    return on_images(change(resnet(), "9.weight", lambda w: w.normal_().mul_(3)))


@fault("ResNet whose stem is frozen", {"frozen"}, {"0", "1"})
def _() -> Problem:
    model = resnet()
    model[:2].requires_grad_(False)
    return on_images(model)


@fault("ResNet, NaN in a convolution of a branch", {"not-finite"}, {"4.0.branch.3"})
def _() -> Problem:
    return on_images(change(resnet(), "4.0.branch.3.weight", lambda w: w[0, 0, 0, 0].fill_(math.nan)))


@fault("ResNet trained on one class", {"target-scale"}, {TARGET})
def _() -> Problem:
    return resnet(), images(), cross_entropy, torch.zeros(16, dtype=torch.long)


# U-Nets and generators ------------------------------------------------------------------------------------------------


@fault("U-Net with a sigmoid before BCE with logits", {"output-activation"}, {"1"})
def _() -> Problem:
    return nn.Sequential(UNet(), nn.Sigmoid()), images(), bce, masks()


@fault("U-Net whose masks hold 0 and 255", {"target-scale"}, {TARGET})
def _() -> Problem:
    return UNet(), images(), bce, 255 * masks()


@fault("U-Net: transposed convolution x 200", SCALE, {"up1"})
def _() -> Problem:
    return change(UNet(), "up1.weight", lambda w: w.mul_(200)), images(), bce, masks()


@fault("U-Net detached from its head", {"no-gradient"}, {"0", "0.*"})
def _() -> Problem:
    model = nn.Sequential(UNet(4), Apply(Tensor.detach), nn.ReLU(), nn.Conv2d(4, 1, 1))
    return model, images(), bce, masks()


@fault("generator whose tanh is saturated", {"saturated-units", *SCALE}, {"7", "8"})
def _() -> Problem:
    target = images(32).div(3).clamp(-1, 1)
    return change(generator(), "7.weight", lambda w: w.mul_(300)), torch.randn(32, 32), mse, target


@fault(
    "generator with BatchNorm in eval mode before its statistics settled",
    {"running-statistics"},
    {"2", "5"},
    "https://github.com/duxingren14/DualGAN/issues/10",
)
def _() -> Problem:
    model = generator().eval()
    return model, torch.randn(32, 32), mse, images(32).div(3).clamp(-1, 1)


@fault("discriminator that ends in a sigmoid before BCE with logits", {"output-activation"}, {"7"})
def _() -> Problem:
    return nn.Sequential(*discriminator(), nn.Sigmoid()), images(32), bce, (torch.arange(32) < 16).float()[:, None]


@fault("autoencoder whose code died: biases of -20 before ReLU", {"dead-units"}, {"2", "3"})
def _() -> Problem:
    x = rows(64, 40)
    return change(mlp(40, 64, 16, 64, 40), "2.bias", lambda b: b.fill_(-20)), x, mse, x


@fault("convolutional encoder drawn by LeCun, 20 layers", {"forward-scale", "vanishing-gradient"})
def _() -> Problem:
    return on_images(draw(plain(20), lecun))


@fault("augmentation divided by 255 twice", {"input-scale"}, {BATCH})
def _() -> Problem:
    return on_images(plain(), pixels() / 255**2)


@fault(
    "features multiplied by a mask of zeros", {"lost-input", "dead-units", "vanishing-gradient"}, {"6", "8", "9", "11"}
)
def _() -> Problem:
    body = list(plain())
    return on_images(nn.Sequential(*body[:8], Apply(lambda x: x * 0.0), *body[8:]))
