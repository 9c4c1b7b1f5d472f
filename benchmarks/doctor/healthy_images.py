"""Healthy models: images in, convolutions."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from doctor.cases import Problem, healthy
from doctor.models import (
    LayerScale,
    Residual,
    SelfAttention,
    UNet,
    bce,
    change,
    cnn,
    cross_entropy,
    discriminator,
    draw,
    generator,
    he,
    images,
    labels,
    masks,
    mse,
    normal,
    on_images,
    pixels,
    resnet,
    settle,
)


@healthy("LeNet as torch draws it")
def _() -> Problem:
    layers = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return on_images(nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5)))


@healthy("plain CNN, He")
def _() -> Problem:
    return on_images(cnn(norm=None))


@healthy("CNN with BatchNorm")
def _() -> Problem:
    return on_images(cnn())


@healthy("CNN with BatchNorm on pixels from 0 to 255: the first normalization takes care")
def _() -> Problem:
    return on_images(cnn(), pixels())


@healthy("CNN with GroupNorm")
def _() -> Problem:
    return on_images(cnn(partial(nn.GroupNorm, 4)))


@healthy("CNN with InstanceNorm")
def _() -> Problem:
    return on_images(cnn(nn.InstanceNorm2d))


@healthy("VGG with BatchNorm, eight convolutions as torch draws them")
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((3, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 64), (64, 64)):
        layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if fan_in != fan_out else []
    return on_images(nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 5)))


@healthy("ResNet, version 1")
def _() -> Problem:
    return on_images(resnet())


@healthy("ResNet with zero gamma", "https://arxiv.org/abs/1706.02677")
def _() -> Problem:
    return on_images(resnet(zero_gamma=True))


@healthy("ResNet, 16 blocks")
def _() -> Problem:
    return on_images(resnet(16, 8))


@healthy("ResNet, version 2: normalization first", "https://arxiv.org/abs/1603.05027")
def _() -> Problem:
    blocks = []
    for _ in range(6):
        branch: list[nn.Module] = []
        for _ in range(2):
            branch += [nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, bias=False)]
        blocks.append(Residual(*branch))
    tail = [nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)]
    return on_images(draw(nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *blocks, *tail), he))


@healthy("MobileNet: inverted residuals with depthwise convolutions", "https://arxiv.org/abs/1801.04381")
def _() -> Problem:
    def inverted(width: int) -> nn.Module:
        wide = 4 * width
        branch: list[nn.Module] = [nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        branch += [nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        return Residual(*branch, nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width))

    stem = [nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 5)]
    model = nn.Sequential(*stem, *[inverted(16) for _ in range(4)], *tail)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return on_images(model)


@healthy("ConvNeXt: depthwise 7 x 7, LayerNorm, layer scale 1e-6", "https://arxiv.org/abs/2201.03545")
def _() -> Problem:
    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.norm, self.wide = nn.LayerNorm(width), nn.Linear(width, 4 * width)
            self.narrow, self.scale = nn.Linear(4 * width, width), LayerScale(width, 1e-6)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.norm(self.depthwise(x).movedim(1, -1))
            return x + self.scale(self.narrow(functional.gelu(self.wide(hidden)))).movedim(-1, 1)

    stem = [nn.Conv2d(3, 24, 4, stride=4), nn.GroupNorm(1, 24)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(24), nn.Linear(24, 5)]
    return on_images(nn.Sequential(*stem, *[Block(24) for _ in range(3)], *tail))


@healthy("squeeze and excitation between convolutions")
def _() -> Problem:
    class Squeeze(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.gate = nn.Sequential(
                nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, width), nn.Sigmoid()
            )

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gate(x.mean((2, 3)))[:, :, None, None]

    layers: list[nn.Module] = []
    for fan_in in (3, 32, 32):
        layers += [nn.Conv2d(fan_in, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), Squeeze(32)]
    return on_images(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)))


@healthy("U-Net with transposed convolutions, binary masks")
def _() -> Problem:
    return UNet(), images(), bce, masks()


@healthy("U-Net, three classes a pixel")
def _() -> Problem:
    return (
        UNet(3),
        images(),
        cross_entropy,
        torch.randint(0, 3, (16, 4, 4)).repeat_interleave(4, 1).repeat_interleave(4, 2),
    )


@healthy("DCGAN's generator, judged by a fixed discriminator", "https://arxiv.org/abs/1511.06434", rate=2e-3)
def _() -> Problem:
    judge = discriminator().requires_grad_(False)
    return generator(), torch.randn(32, 32), lambda image: bce(judge(image), torch.ones(32, 1)), None


@healthy("DCGAN's discriminator on real and fake images", "https://arxiv.org/abs/1511.06434")
def _() -> Problem:
    batch = torch.cat([images(16).div(2).clamp(-1, 1), 0.1 * torch.randn(16, 3, 16, 16)])
    return discriminator(), batch, bce, (torch.arange(32) < 16).float()[:, None]


@healthy("convolutional autoencoder with upsampling")
def _() -> Problem:
    down = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 8, 1)]
    up = [nn.Upsample(scale_factor=2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)]
    x = images()
    return draw(nn.Sequential(*down, *up, nn.Conv2d(16, 3, 3, padding=1)), he), x, mse, x


@healthy("denoising with a last convolution of zeros, as in diffusion", "https://arxiv.org/abs/2006.11239")
def _() -> Problem:
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1)]
    layers += [nn.GroupNorm(4, 32), nn.SiLU(), nn.Conv2d(32, 3, 3, padding=1)]
    noise = torch.randn(16, 3, 16, 16)
    return change(nn.Sequential(*layers), "6.weight 6.bias", torch.zero_), images() + noise, mse, noise


@healthy("vision transformer: patches, class token of zeros, zero head", "https://arxiv.org/abs/2010.11929")
def _() -> Problem:
    class Vision(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 48, 4, 4)
            self.first = nn.Parameter(torch.zeros(1, 1, 48))
            self.position = nn.Parameter(0.02 * torch.randn(17, 48))
            hidden = [nn.LayerNorm(48), nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 48)]
            layers = [Residual(nn.LayerNorm(48), SelfAttention(48)), Residual(*hidden)]
            self.layers = draw(nn.Sequential(*layers), normal(0.02))
            self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 5)

        def forward(self, x: Tensor) -> Tensor:
            patches = self.patches(x).flatten(2).mT
            x = torch.cat([self.first.expand(len(x), -1, -1), patches], 1) + self.position
            return self.head(self.norm(self.layers(x))[:, 0])

    return on_images(change(Vision(), "head.weight head.bias", torch.zero_))


@healthy("class-attention with layer scale 0.1 (CaiT)", "https://arxiv.org/abs/2103.17239")
def _() -> Problem:
    blocks: list[nn.Module] = []
    for _ in range(4):
        hidden = [nn.LayerNorm(48), nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 48), LayerScale(48, 0.1)]
        blocks += [Residual(nn.LayerNorm(48), SelfAttention(48), LayerScale(48, 0.1)), Residual(*hidden)]
    patches = [nn.Conv2d(3, 48, 4, 4), nn.Flatten(2)]
    pool = [nn.LayerNorm(48), nn.Flatten(), nn.Linear(16 * 48, 5)]
    return on_images(nn.Sequential(*patches, _Transpose(), *blocks, *pool))


class _Transpose(nn.Module):
    """(batch, channels, places) to (batch, places, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mT


@healthy("CNN in eval mode, statistics settled")
def _() -> Problem:
    batch = images()
    return on_images(settle(cnn(), batch), batch)


@healthy("fine-tuning: frozen backbone in eval mode, new head")
def _() -> Problem:
    batch = images()
    model = settle(resnet(), batch).requires_grad_(False)
    model[-1] = nn.Linear(16, 5)
    return on_images(model, batch)


@healthy("CNN in train mode whose BatchNorm is frozen with settled statistics")
def _() -> Problem:
    batch = images()
    model = settle(cnn(), batch).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)
    return on_images(model, batch)


@healthy("gray images near 0.13 with a deviation of 0.31, standardized (digits)")
def _() -> Problem:
    ink = functional.interpolate((torch.rand(32, 1, 4, 4) < 0.2).float(), size=16, mode="bilinear")
    return cnn(channels=1), (ink - 0.1307) / 0.3081, cross_entropy, labels(32)
