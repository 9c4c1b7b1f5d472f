"""More base models, for the cases written without sight of any rule: each problem here learns as it is."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from doctor.models import bce, cross_entropy, draw, he, images, labels, mse, normal, rows, token_loss, tokens

#: A problem whose model may be anything: its parts are changed by name.
Base = tuple[Any, Any, Callable[..., Tensor], Any]

# Images --------------------------------------------------------------------------------------------------------------


class Alex(nn.Module):
    """Three convolutions with pooling and two hidden linear layers, no normalization, activations as functions."""

    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 32, 3, padding=1)
        self.fc1, self.fc2, self.head = nn.Linear(128, 64), nn.Linear(64, 64), nn.Linear(64, classes)
        draw(self, he)
        nn.init.normal_(self.head.weight, std=0.01)  # pooling lets the features grow

    def features(self, x: Tensor) -> Tensor:
        """What the convolutions see, flattened."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = functional.max_pool2d(functional.relu(conv(x)), 2)
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.relu(self.fc2(functional.relu(self.fc1(self.features(x))))))


def alex(**options: int) -> Base:
    """Five classes of images."""
    return Alex(**options), images(), cross_entropy, labels(16)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with BatchNorm beside a shortcut."""

    def __init__(self, width: int, bias: bool = False) -> None:
        super().__init__()
        inner = width // 4
        self.conv1, self.norm1 = nn.Conv2d(width, inner, 1, bias=bias), nn.BatchNorm2d(inner)
        self.conv2, self.norm2 = nn.Conv2d(inner, inner, 3, padding=1, bias=bias), nn.BatchNorm2d(inner)
        self.conv3, self.norm3 = nn.Conv2d(inner, width, 1, bias=bias), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = functional.relu(self.norm2(self.conv2(y)))
        return functional.relu(x + self.norm3(self.conv3(y)))


class ResNet(nn.Module):
    """Stem, bottleneck blocks, mean over places, linear layer."""

    def __init__(self, blocks: int = 4, width: int = 32, bias: bool = False) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, width, 3, 2, 1, bias=bias), nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList(Bottleneck(width, bias) for _ in range(blocks))
        self.fc = nn.Linear(width, 5)
        draw(self, he)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))


def resnet50(**options: Any) -> Base:
    """Five classes of images."""
    return ResNet(**options), images(), cross_entropy, labels(16)


class Mobile(nn.Module):
    """Depthwise and pointwise convolutions without normalization, He's draw by true fans."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.depth = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1, groups=32) for _ in range(4))
        self.point = nn.ModuleList(nn.Conv2d(32, 32, 1) for _ in range(4))
        self.head = nn.Linear(32, 5)
        draw(self, he)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        for depth, point in zip(self.depth, self.point, strict=True):
            x = functional.relu(point(functional.relu(depth(x))))
        return self.head(x.mean((2, 3)))


def mobile() -> Base:
    """Five classes of images."""
    return Mobile(), images(), cross_entropy, labels(16)


class Multitask(nn.Module):
    """One trunk, three heads: a class, a number and a mask; the output is a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.GroupNorm(4, 16)
        self.conv2, self.norm2 = nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.GroupNorm(4, 32)
        self.label, self.value, self.mask = nn.Linear(32, 5), nn.Linear(32, 1), nn.Conv2d(32, 1, 1)

    def trunk(self, x: Tensor) -> Tensor:
        """Features at every place."""
        x = functional.silu(self.norm1(self.conv1(x)))
        return functional.silu(self.norm2(self.conv2(x)))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.trunk(x)
        pooled = x.mean((2, 3))
        return {"label": self.label(pooled), "value": self.value(pooled).squeeze(1), "mask": self.mask(x)}


def multitask_loss(output: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
    """The three losses, summed."""
    loss = cross_entropy(output["label"], target["label"]) + mse(output["value"], target["value"])
    return loss + bce(output["mask"], target["mask"])


def multitask() -> Base:
    """A class, a number and a mask of each image."""
    batch = images()
    target = {"label": labels(16), "value": torch.randn(16), "mask": (batch[:, :1] > 0.4).float()}
    return Multitask(), batch, multitask_loss, target


class Critic(nn.Module):
    """A discriminator under spectral normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv2d(3, 16, 4, 2, 1))
        self.conv2 = spectral_norm(nn.Conv2d(16, 32, 4, 2, 1))
        self.head = spectral_norm(nn.Linear(512, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.conv2(functional.leaky_relu(self.conv1(x), 0.1)), 0.1)
        return self.head(x.flatten(1)).squeeze(1)


def hinge(scores: Tensor, sign: Tensor) -> Tensor:
    """The hinge loss of a discriminator: sign is 1 for real and -1 for fake."""
    return functional.relu(1 - sign * scores).mean()


def critic() -> Base:
    """Real images from -1 to 1 against noise."""
    return (
        Critic(),
        torch.cat([images(8).tanh(), torch.rand(8, 3, 16, 16) * 2 - 1]),
        hinge,
        torch.tensor([1.0, -1.0]).repeat_interleave(8),
    )


class ConvVAE(nn.Module):
    """A convolutional variational autoencoder of images from 0 to 1 that returns all its loss needs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 4, 2, 1), nn.Conv2d(16, 32, 4, 2, 1)
        self.mean, self.log_variance = nn.Linear(512, 8), nn.Linear(512, 8)
        self.grow = nn.Linear(8, 512)
        self.up1, self.up2 = nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ConvTranspose2d(16, 1, 4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        code = functional.relu(self.conv2(functional.relu(self.conv1(x)))).flatten(1)
        mean, log_variance = self.mean(code), self.log_variance(code)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)).to(mean)
        y = functional.relu(self.grow(mean + noise * (log_variance / 2).exp())).view(-1, 32, 4, 4)
        logits = self.up2(functional.relu(self.up1(y)))
        return {"logits": logits, "mean": mean, "log_variance": log_variance}


def elbo(output: dict[str, Tensor], target: Tensor) -> Tensor:
    """The negative evidence bound, a pixel."""
    mean, log_variance = output["mean"], output["log_variance"]
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum() / target.numel()
    return bce(output["logits"], target) + divergence


def conv_vae() -> Base:
    """Images from 0 to 1, each its own target."""
    batch = (images(16, 1) * 3).sigmoid()
    return ConvVAE(), batch, elbo, batch


# Rows ----------------------------------------------------------------------------------------------------------------


class Tabular(nn.Module):
    """Embedded categories beside numbers, two hidden layers with BatchNorm, one output."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.city, self.product = nn.Embedding(10, 4), nn.Embedding(20, 6)
        self.fc1, self.fc2, self.head = nn.Linear(18, 64), nn.Linear(64, 64), nn.Linear(64, 1)
        self.norm1 = nn.BatchNorm1d(64) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm1d(64) if norm else nn.Identity()

    def forward(self, numbers: Tensor, city: Tensor, product: Tensor) -> Tensor:
        x = torch.cat([numbers, self.city(city), self.product(product)], 1)
        x = functional.relu(self.norm1(self.fc1(x)))
        return self.head(functional.relu(self.norm2(self.fc2(x)))).squeeze(1)


def tabular(count: int = 64, norm: bool = True) -> Base:
    """A standardized number from eight numbers and two categories, a dictionary as batch."""
    numbers, city, product = rows(count, 8), torch.randint(0, 10, (count,)), torch.randint(0, 20, (count,))
    target = numbers[:, 0] - numbers[:, 1] * numbers[:, 2] + 0.2 * city
    return (
        Tabular(norm),
        {"numbers": numbers, "city": city, "product": product},
        mse,
        (target - target.mean()) / target.std(),
    )


class ActorCritic(nn.Module):
    """A tanh trunk with a small policy head and a value head, drawn orthogonally; the output is a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(12, 64), nn.Linear(64, 64)
        self.policy, self.value = nn.Linear(64, 4), nn.Linear(64, 1)
        for layer, gain in ((self.fc1, 2**0.5), (self.fc2, 2**0.5), (self.policy, 0.01), (self.value, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        x = self.fc2(self.fc1(observation).tanh()).tanh()
        return self.policy(x), self.value(x).squeeze(1)


def policy_loss(output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of good actions plus the squared error of the value."""
    return cross_entropy(output[0], target[0]) + 0.5 * mse(output[1], target[1])


def actor_critic() -> Base:
    """Actions and returns of observations."""
    return ActorCritic(), rows(64, 12), policy_loss, (labels(64, 4), torch.randn(64))


class Towers(nn.Module):
    """A user tower and an item tower whose normalized outputs are compared under a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.user_id, self.item_id = nn.Embedding(50, 16), nn.Embedding(80, 16)
        self.user = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32))
        self.item = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.1)))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        users = functional.normalize(self.user(self.user_id(user)), dim=1)
        items = functional.normalize(self.item(self.item_id(item)), dim=1)
        return self.logit_scale.exp() * users @ items.T


def towers() -> Base:
    """Each user of the batch chose the item in the same place."""
    return Towers(), (torch.randperm(50)[:32], torch.randperm(80)[:32]), cross_entropy, torch.arange(32)


class Siamese(nn.Module):
    """One encoder for three inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.encoder(anchor), self.encoder(positive), self.encoder(negative)


def triplet(output: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The triplet loss with margin 1."""
    return functional.triplet_margin_loss(*output)


def siamese() -> Base:
    """Rows, the same rows disturbed, and other rows."""
    anchor = rows()
    return Siamese(), (anchor, anchor + rows(), rows()), triplet, None


class Graph(nn.Module):
    """Three graph convolutions; the adjacency comes with the batch."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.lin1, self.lin2, self.head = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 4)
        draw(self, he)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        x = functional.relu(adjacency @ self.lin1(nodes))
        return adjacency @ self.head(functional.relu(adjacency @ self.lin2(x)))


def edges(count: int = 60, share: float = 0.05) -> Tensor:
    """A random undirected graph with loops."""
    upper = (torch.rand(count, count) < share).float().triu(1)
    return upper + upper.T + torch.eye(count)


def graph(share: float = 0.05) -> Base:
    """Four classes of nodes, symmetric normalization."""
    adjacency = edges(share=share)
    scale = adjacency.sum(1).rsqrt()
    return Graph(), (torch.randn(60, 16), scale[:, None] * adjacency * scale), cross_entropy, labels(60, 4)


class Ensemble(nn.Module):
    """Members whose logits are averaged."""

    def __init__(self, members: int = 4) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 5)) for _ in range(members)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


def ensemble() -> Base:
    """Five classes of rows."""
    return Ensemble(), rows(), cross_entropy, labels()


# Sequences -----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Attention with three projections."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal, self.scale = heads, causal, (width // heads) ** -0.5
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        query, key, value = (
            layer(x).view(count, length, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.mT * self.scale
        if self.causal:
            scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf)
        return self.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(count, length, width))


class Block(nn.Module):
    """A pre-norm block."""

    def __init__(self, width: int, heads: int = 4, causal: bool = True) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads, causal)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


def waves(length: int, width: int) -> Tensor:
    """Sinusoidal positions."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


class Language(nn.Module):
    """A small language model: embeddings scaled by sqrt(width) plus fixed waves, a head of its own."""

    positions: Tensor

    def __init__(self, layers: int = 3, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.token, self.scale = nn.Embedding(100, width), width**0.5
        self.register_buffer("positions", waves(64, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 100, bias=False)
        draw(self, normal(width**-0.5 / 2))
        nn.init.normal_(self.token.weight, std=width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token(ids) * self.scale + self.positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def language(**options: int) -> Base:
    """The next token of each."""
    ids = tokens()
    return Language(**options), ids, token_loss, ids.roll(-1, dims=1)


class Forecast(nn.Module):
    """An LSTM over a multivariate series, a linear layer on its last state."""

    def __init__(
        self, kind: Callable[..., nn.RNNBase] = nn.LSTM, width: int = 32, outputs: int = 3, **options: Any
    ) -> None:
        super().__init__()
        self.rnn = kind(4, width, batch_first=True, **options)
        self.head = nn.Linear(width, outputs)

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.rnn(series)[0][:, -1])


def forecast(**options: Any) -> Base:
    """The next values of random walks with pull, standardized."""
    noise, steps = torch.randn(32, 25, 4), [torch.randn(32, 4)]
    for t in range(25):
        steps.append(0.8 * steps[-1] + 0.6 * noise[:, t])
    series = torch.stack(steps, 1)
    return Forecast(**options), series[:, :-1], mse, series[:, -1, :3]


def remember(kind: Callable[..., nn.RNNBase] = nn.RNN, length: int = 20, **options: Any) -> Base:
    """Which of five codes stood at the first step of a noisy series?"""
    target = labels(32)
    series = 0.1 * torch.randn(32, length, 4)
    series[:, 0] = torch.randn(5, 4)[target] * 1.5
    model = Forecast(kind, outputs=5, **options)
    recurrence: Any = model.rnn.weight_hh_l0
    nn.init.orthogonal_(recurrence[:32])  # of an LSTM or a GRU: the first gate
    return model, series, cross_entropy, target


class Speech(nn.Module):
    """Convolutions over a spectrogram, a bidirectional GRU, log-probabilities with time first, as CTC wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv1d(20, 32, 3, padding=1, bias=False), nn.BatchNorm1d(32)
        self.conv2, self.norm2 = nn.Conv1d(32, 32, 3, padding=1, bias=False), nn.BatchNorm1d(32)
        self.rnn = nn.GRU(32, 24, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 11)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = functional.relu(self.norm1(self.conv1(spectrogram)))
        x = functional.relu(self.norm2(self.conv2(x)))
        return self.head(self.rnn(x.mT)[0]).log_softmax(-1).transpose(0, 1)


def ctc(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """Connectionist temporal classification, all sequences of full length."""
    steps, count = log_probabilities.shape[:2]
    lengths = torch.full((count,), steps), torch.full((count,), target.shape[1])
    return functional.ctc_loss(log_probabilities, target, *lengths)


def speech() -> Base:
    """Six symbols in thirty frames."""
    return Speech(), torch.randn(8, 20, 30), ctc, torch.randint(1, 11, (8, 6))


class Causal(nn.Module):
    """A temporal convolution network: weight-normalized dilated convolutions beside shortcuts."""

    def __init__(self, levels: int = 4, width: int = 24) -> None:
        super().__init__()
        self.enter = nn.Conv1d(4, width, 1)
        self.convs = nn.ModuleList(weight_norm(nn.Conv1d(width, width, 3, dilation=2**i)) for i in range(levels))
        self.head = nn.Linear(width, 3)
        nn.init.normal_(self.head.weight, std=0.1)

    def forward(self, series: Tensor) -> Tensor:
        x = self.enter(series.mT)
        for level, conv in enumerate(self.convs):
            x = x + functional.relu(conv(functional.pad(x, (2 ** (level + 1), 0))))
        return self.head(x[:, :, -1])


def causal() -> Base:
    """The same forecast as the LSTM's."""
    _, series, loss, target = forecast()
    return Causal(), series, loss, target


class Pool(nn.Module):
    """Documents as the attention-weighted mean of their token embeddings, padding left out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 32, padding_idx=0)
        self.hidden, self.score, self.head = nn.Linear(32, 32), nn.Linear(32, 1), nn.Linear(32, 5)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """How much each token counts."""
        return self.score(x.tanh()).masked_fill(~mask[:, :, None], -math.inf).softmax(1)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = functional.relu(self.hidden(self.embedding(ids)))
        return self.head((self.weights(x, mask) * x).sum(1))


def pool() -> Base:
    """Five classes of token sequences of several lengths."""
    ids, lengths = tokens(32, 12).clamp(1), torch.randint(4, 13, (32, 1))
    mask = torch.arange(12) < lengths
    return Pool(), (ids * mask, mask), cross_entropy, labels(32)
