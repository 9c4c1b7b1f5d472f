"""The models that the cases are made of, in plain torch: small, initialized as their papers or torch do."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


# Data ----------------------------------------------------------------------------------------------------------------


def rows(count: int = 64, features: int = 20) -> Tensor:
    """Standardized rows of a table."""
    return torch.randn(count, features)


def images(count: int = 16, channels: int = 3, size: int = 16) -> Tensor:
    """Standardized images whose neighboring pixels are alike, as those of photographs are."""
    coarse = functional.interpolate(torch.randn(count, channels, size // 4, size // 4), size=size, mode="bilinear")
    images = coarse + 0.3 * torch.randn(count, channels, size, size)
    return (images - images.mean()) / images.std()


def pixels(count: int = 16, channels: int = 3, size: int = 16) -> Tensor:
    """The same images as bytes give them: from 0 to 255."""
    return (images(count, channels, size) * 60 + 128).clamp(0, 255).round()


def tokens(count: int = 8, length: int = 16, vocabulary: int = 100) -> Tensor:
    """Token numbers."""
    return torch.randint(0, vocabulary, (count, length))


def labels(count: int = 64, classes: int = 5) -> Tensor:
    """Class numbers, each class about equally often."""
    return torch.arange(count).remainder(classes)[torch.randperm(count)]


# Losses --------------------------------------------------------------------------------------------------------------

cross_entropy = functional.cross_entropy
bce = functional.binary_cross_entropy_with_logits
mse = functional.mse_loss


def token_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of (batch, time, vocabulary) logits, flattened."""
    return cross_entropy(logits.flatten(0, 1), target.flatten())


def own_loss(output: Any) -> Tensor:
    """The loss that the model itself returned."""
    return output.loss


# Problems ------------------------------------------------------------------------------------------------------------


def on_rows(model: nn.Module, batch: Tensor | None = None) -> tuple[nn.Module, Tensor, Callable[..., Tensor], Tensor]:
    """Five classes of rows with twenty features."""
    batch = rows() if batch is None else batch
    return model, batch, cross_entropy, labels(len(batch))


def on_images(model: nn.Module, batch: Tensor | None = None) -> tuple[nn.Module, Tensor, Callable[..., Tensor], Tensor]:
    """Five classes of small color images."""
    batch = images() if batch is None else batch
    return model, batch, cross_entropy, labels(len(batch))


def on_tokens(model: nn.Module, batch: Tensor | None = None) -> tuple[nn.Module, Tensor, Callable[..., Tensor], Tensor]:
    """The next token of each."""
    batch = tokens() if batch is None else batch
    return model, batch, token_loss, batch.roll(-1, dims=1)


def on_sequences(
    model: nn.Module, batch: Tensor | None = None
) -> tuple[nn.Module, Tensor, Callable[..., Tensor], Tensor]:
    """Five classes of token sequences."""
    batch = tokens() if batch is None else batch
    return model, batch, cross_entropy, labels(len(batch))


# Changes -------------------------------------------------------------------------------------------------------------


def draw(model: nn.Module, weight: Callable[[Tensor], object]) -> Any:
    """Draw the weights of all linear and convolution layers anew, with biases of zero; the model is returned."""
    for module in model.modules():
        if isinstance(module, WEIGHTED):
            weight(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def change(model: nn.Module, names: str, edit: Callable[[Tensor], object]) -> Any:
    """Edit tensors of a model in place, by their names in the state dictionary; the model is returned."""
    for name in names.split():
        with torch.no_grad():
            edit(model.state_dict(keep_vars=True)[name])
    return model


def he(weight: Tensor) -> None:
    """He's normal draw."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def lecun(weight: Tensor) -> None:
    """LeCun's normal draw: variance 1 / fan_in."""
    nn.init.kaiming_normal_(weight, nonlinearity="linear")


def glorot(weight: Tensor) -> None:
    """Glorot's uniform draw."""
    nn.init.xavier_uniform_(weight)


def normal(std: float) -> Callable[[Tensor], object]:
    """A normal draw with this standard deviation."""
    return lambda weight: nn.init.normal_(weight, std=std)


# Parts ---------------------------------------------------------------------------------------------------------------


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


class Residual(nn.Module):
    """x + branch(x), or shortcut(x) + branch(x)."""

    def __init__(self, *branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


class LayerScale(nn.Module):
    """One factor a channel, small at first, as in CaiT."""

    def __init__(self, width: int, value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), value))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x


class SelfAttention(nn.Module):
    """Scaled dot-product attention with one packed projection, the softmax written out."""

    def __init__(self, width: int, heads: int = 4, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        query, key, value = self.qkv(x).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = query @ key.mT / math.sqrt(width // self.heads)
        if self.causal:
            scores = scores + torch.full((length, length), -math.inf).triu(1)
        return self.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(count, length, width))


class Tokens(nn.Module):
    """Token embedding plus learned positions."""

    def __init__(self, vocabulary: int, width: int, length: int = 64) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(0.02 * torch.randn(length, width))

    def forward(self, ids: Tensor) -> Tensor:
        return self.token(ids) + self.position[: ids.shape[1]]


class Last(nn.Module):
    """A recurrent layer of which the last output is used, or the mean of all where it runs both ways.

    The last output of the backward direction has seen one step only, so its recurrent weights would learn nothing.
    """

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.recurrent(x)[0]
        return output.mean(1) if self.recurrent.bidirectional else output[:, -1]


# Whole models --------------------------------------------------------------------------------------------------------


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU, weight: Callable[[Tensor], object] = he) -> Any:
    """Linear layers ``0, 2, 4, ...`` with activations between them."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return draw(nn.Sequential(*layers[:-1]), weight)


def deep_mlp(
    depth: int = 4, activation: Callable[[], nn.Module] = nn.ReLU, weight: Callable[[Tensor], object] = he
) -> Any:
    """An MLP from 20 features to 5 classes with hidden layers of 64 units."""
    return mlp(20, *[64] * depth, 5, activation=activation, weight=weight)


def cnn(norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d, channels: int = 3) -> Any:
    """Three blocks of convolution ``0, 4, 8``, norm ``1, 5, 9``, ReLU and pooling, then a linear layer ``14``."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((channels, 16), (16, 32), (32, 32)):
        layers += [
            nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=norm is None),
            norm(fan_out) if norm else nn.Identity(),
        ]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return draw(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)), he)


def resnet(blocks: int = 4, width: int = 16, zero_gamma: bool = False) -> Any:
    """A residual network, version 1: stem ``0``, blocks from ``3``, each a Residual and a ReLU, linear head."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(blocks):
        branch = [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        branch += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        if zero_gamma:
            nn.init.zeros_(branch[-1].weight)  # type: ignore[arg-type]
        layers += [nn.Sequential(Residual(*branch), nn.ReLU())]
    return draw(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5)), he)


def block(width: int, heads: int = 4, causal: bool = False) -> nn.Sequential:
    """A pre-norm transformer block: attention ``0.branch``, MLP ``1.branch``."""
    attention = Residual(nn.LayerNorm(width), SelfAttention(width, heads, causal))
    hidden = Residual(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
    return nn.Sequential(attention, hidden)


class GPT(nn.Module):
    """GPT-2's architecture and initialization: N(0, 0.02), the last layer of each branch smaller by sqrt(2 L)."""

    def __init__(self, vocabulary: int = 100, width: int = 64, layers: int = 4, tied: bool = True) -> None:
        super().__init__()
        self.tokens = Tokens(vocabulary, width)
        self.blocks = nn.Sequential(*[block(width, causal=True) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        draw(self, normal(0.02))
        nn.init.normal_(self.tokens.token.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "branch.3.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
        if tied:
            self.head.weight = self.tokens.token.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.tokens(ids))))


class TokenClassifier(nn.Module):
    """A transformer encoder on token embeddings, averaged over time, with a linear head."""

    def __init__(self, layers: int = 4, width: int = 64, norm_first: bool = True) -> None:
        super().__init__()
        self.tokens = Tokens(100, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, norm_first=norm_first, batch_first=True)
        final = nn.LayerNorm(width) if norm_first else None
        self.encoder = nn.TransformerEncoder(layer, layers, final, enable_nested_tensor=False)
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:  # the encoder's layers are copies of one: draw each anew
                nn.init.xavier_uniform_(parameter)
        self.head = nn.Linear(width, 5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.tokens(ids)).mean(1))


def recurrent(kind: Callable[..., nn.RNNBase] = nn.LSTM, layers: int = 1, bidirectional: bool = False) -> Any:
    """Embedding ``0``, recurrent layer ``1.recurrent``, linear head ``2``."""
    width = 32
    net = kind(width, width, layers, batch_first=True, bidirectional=bidirectional)
    return nn.Sequential(nn.Embedding(100, width), Last(net), nn.Linear((1 + bidirectional) * width, 5))


class UNet(nn.Module):
    """Two levels down by pooling, two up by transposed convolution, with skips by concatenation."""

    def __init__(self, classes: int = 1, width: int = 8) -> None:
        super().__init__()
        self.enter = self.level(3, width)
        self.down = self.level(width, 2 * width)
        self.bottom = self.level(2 * width, 4 * width)
        self.up1 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.merge1 = self.level(4 * width, 2 * width)
        self.up2 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.merge2 = self.level(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    @staticmethod
    def level(fan_in: int, fan_out: int) -> nn.Sequential:
        """Convolution, BatchNorm, ReLU, twice."""
        layers: list[nn.Module] = []
        for inputs in (fan_in, fan_out):
            layers += [nn.Conv2d(inputs, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
        return draw(nn.Sequential(*layers), he)

    def forward(self, x: Tensor) -> Tensor:
        first = self.enter(x)
        second = self.down(functional.max_pool2d(first, 2))
        third = self.bottom(functional.max_pool2d(second, 2))
        second = self.merge1(torch.cat([second, self.up1(third)], 1))
        return self.head(self.merge2(torch.cat([first, self.up2(second)], 1)))


def masks(count: int = 16, size: int = 16) -> Tensor:
    """Binary masks, a third of the pixels set, in patches."""
    return (images(count, 1, size) > 0.4).float()


def dcgan(model: nn.Module) -> Any:
    """Draw all convolutions from N(0, 0.02) and the gains of BatchNorm from N(1, 0.02), as DCGAN does."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return draw(model, normal(0.02))


def generator() -> Any:
    """DCGAN's generator from 32 random numbers to an image of 16 x 16: transposed convolutions, BatchNorm, tanh."""
    layers: list[nn.Module] = [nn.Unflatten(1, (32, 1, 1)), nn.ConvTranspose2d(32, 32, 4, 1, 0, bias=False)]
    layers += [nn.BatchNorm2d(32), nn.ReLU(), nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16)]
    return dcgan(nn.Sequential(*layers, nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh()))


def discriminator() -> Any:
    """DCGAN's discriminator of images of 16 x 16: strided convolutions, BatchNorm, leaky ReLU, one logit."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(16, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2)]
    return dcgan(nn.Sequential(*layers, nn.Conv2d(32, 1, 4, 1, 0, bias=False), nn.Flatten()))


class LowRank(nn.Module):
    """A frozen linear layer plus a trainable product of two thin ones, the second zero: LoRA."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.empty(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.A.T @ self.B.T


def adapted(layers: int = 2) -> GPT:
    """A GPT whose packed projections got LoRA and which is otherwise frozen."""
    model = GPT(layers=layers).requires_grad_(False)
    for module in list(model.modules()):
        if isinstance(module, SelfAttention):
            module.qkv = LowRank(module.qkv)  # type: ignore[assignment]
    return model


def settle(model: nn.Module, batch: Tensor) -> Any:
    """Give BatchNorm the statistics of a batch, as if they had settled; the model is returned in eval mode."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(batch)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return model.eval()
