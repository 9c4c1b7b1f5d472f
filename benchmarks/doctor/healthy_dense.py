"""Healthy models: rows of numbers in, linear layers."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from doctor.cases import Problem, healthy
from doctor.models import (
    Apply,
    LowRank,
    Residual,
    bce,
    change,
    cross_entropy,
    deep_mlp,
    draw,
    glorot,
    he,
    labels,
    lecun,
    mlp,
    mse,
    normal,
    on_rows,
    rows,
)


@healthy("ReLU MLP, He")
def _() -> Problem:
    return on_rows(deep_mlp())


@healthy("ReLU MLP as torch draws it, three layers")
def _() -> Problem:
    return on_rows(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)))


@healthy("ReLU MLP, He, 20 layers")
def _() -> Problem:
    return on_rows(deep_mlp(20), rows(64))


@healthy("tanh MLP, Glorot")
def _() -> Problem:
    return on_rows(deep_mlp(4, nn.Tanh, glorot))


@healthy("GELU MLP, He")
def _() -> Problem:
    return on_rows(deep_mlp(4, nn.GELU))


@healthy("SELU MLP, LeCun, 12 layers", "https://arxiv.org/abs/1706.02515")
def _() -> Problem:
    return on_rows(deep_mlp(12, nn.SELU, lecun))


@healthy("sigmoid MLP, Glorot times four", "https://proceedings.mlr.press/v9/glorot10a.html")
def _() -> Problem:
    return on_rows(deep_mlp(3, nn.Sigmoid, lambda weight: nn.init.xavier_normal_(weight, gain=4)), 2 * rows())


@healthy("orthogonal tanh MLP, gain 5/3, 10 layers")
def _() -> Problem:
    return on_rows(deep_mlp(10, nn.Tanh, lambda weight: nn.init.orthogonal_(weight, gain=5 / 3)))


@healthy("MLP with BatchNorm, bias kept off")
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (20, 64, 64):
        layers += [nn.Linear(fan_in, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()]
    return on_rows(draw(nn.Sequential(*layers, nn.Linear(64, 5)), he))


@healthy("MLP with LayerNorm and dropout 0.5")
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (20, 64, 64):
        layers += [nn.Linear(fan_in, 64), nn.LayerNorm(64), nn.ReLU(), nn.Dropout(0.5)]
    return on_rows(nn.Sequential(*layers, nn.Linear(64, 5)))


@healthy("zero head")
def _() -> Problem:
    return on_rows(change(deep_mlp(), "8.weight", torch.zero_))


@healthy("muP: readout of zeros, hidden layers by fan", "https://arxiv.org/abs/2203.03466")
def _() -> Problem:
    model = mlp(20, 256, 256, 256, 5)
    return on_rows(change(model, "6.weight", torch.zero_))


@healthy("residual MLP without normalization, branches over sqrt(L)")
def _() -> Problem:
    depth = 12
    blocks = [Residual(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(depth)]
    model = draw(nn.Sequential(nn.Linear(20, 64), *blocks, nn.Linear(64, 5)), he)
    for index in range(depth):
        change(model, f"{index + 1}.branch.2.weight", lambda weight: weight.div_(math.sqrt(depth)))
    return on_rows(model)


@healthy("residual MLP, last layer of each branch zero (Fixup)", "https://arxiv.org/abs/1901.09321")
def _() -> Problem:
    depth = 8
    blocks = [Residual(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(depth)]
    model = draw(nn.Sequential(nn.Linear(20, 64), *blocks, nn.Linear(64, 5)), he)
    for index in range(depth):
        change(model, f"{index + 1}.branch.2.weight", torch.zero_)
    return on_rows(model)


@healthy("regression on standardized targets")
def _() -> Problem:
    x = rows()
    y = x[:, :1] - x[:, 1:2] * x[:, 2:3]
    return mlp(20, 64, 64, 1), x, mse, (y - y.mean()) / y.std()


@healthy("regression whose last bias is the mean of the targets")
def _() -> Problem:
    x = rows()
    y = 3.0 + x[:, :1] + 0.5 * torch.randn(64, 1)
    return change(mlp(20, 64, 64, 1), "4.bias", lambda bias: bias.fill_(float(y.mean()))), x, mse, y


@healthy("binary labels, one logit")
def _() -> Problem:
    return mlp(20, 64, 64, 1), rows(), bce, labels(64, 2)[:, None].float()


@healthy("rare positives, last bias is their log odds")
def _() -> Problem:
    y = (torch.arange(128) < 4).float()[:, None]
    return change(mlp(20, 64, 64, 1), "4.bias", lambda bias: bias.fill_(math.log(4 / 124))), rows(128), bce, y


@healthy("twelve labels at once, not exclusive")
def _() -> Problem:
    return mlp(20, 64, 64, 12), rows(), bce, (torch.rand(64, 12) < 0.3).float()


@healthy("one-hot targets, label smoothing")
def _() -> Problem:
    target = 0.9 * functional.one_hot(labels(), 5) + 0.02
    return deep_mlp(), rows(), cross_entropy, target


@healthy("log-softmax and negative log-likelihood")
def _() -> Problem:
    model = nn.Sequential(*deep_mlp(3, weight=glorot), nn.LogSoftmax(1))
    return model, rows(), functional.nll_loss, labels()


@healthy("sigmoid output and plain binary cross-entropy")
def _() -> Problem:
    model = nn.Sequential(*mlp(20, 64, 1), nn.Sigmoid())
    return model, rows(), functional.binary_cross_entropy, labels(64, 2)[:, None].float()


@healthy("autoencoder with a bottleneck of 8")
def _() -> Problem:
    x = rows(64, 8) @ torch.randn(8, 40) / math.sqrt(8)
    return mlp(40, 64, 8, 64, 40), x, mse, x


class _Variational(nn.Module):
    """A variational autoencoder that returns the reconstruction, the mean and the log variance."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(40, 64, 2 * 4), mlp(4, 64, 40)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(code), mean, log_variance


def _evidence_bound(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    reconstruction, mean, log_variance = output
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
    return mse(reconstruction, target) + 0.01 * divergence


@healthy("variational autoencoder", rate=3e-3)
def _() -> Problem:
    x = rows(64, 8) @ torch.randn(8, 40) / math.sqrt(8)
    return _Variational(), x, _evidence_bound, x


class _Ranking(nn.Module):
    """DLRM in small: embeddings of three columns, an MLP of the numbers, pairwise products, an MLP on top."""

    def __init__(self) -> None:
        super().__init__()
        self.columns = nn.ModuleList([nn.EmbeddingBag(50, 16, mode="sum") for _ in range(3)])
        for column in self.columns:
            nn.init.uniform_(column.weight, -1 / math.sqrt(50), 1 / math.sqrt(50))  # type: ignore[arg-type]
        self.bottom = nn.Sequential(*mlp(8, 32, 16), nn.ReLU())
        self.top = mlp(16 + 6, 32, 1)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        vectors = [self.bottom(numbers)] + [
            layer(ids[:, None]) for layer, ids in zip(self.columns, categories.T, strict=True)
        ]
        stacked = torch.stack(vectors, 1)
        products = (stacked @ stacked.mT)[:, *torch.triu_indices(4, 4, 1)]
        return self.top(torch.cat([vectors[0], products], 1))


@healthy("recommendation with embeddings, a dictionary as batch", "https://arxiv.org/abs/1906.00091")
def _() -> Problem:
    batch = {"numbers": rows(64, 8), "categories": torch.randint(0, 50, (64, 3))}
    return _Ranking(), batch, bce, labels(64, 2)[:, None].float()


class _Siamese(nn.Module):
    """One encoder for both views, outputs on the sphere."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = mlp(20, 64, 32)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        one, two = (functional.normalize(self.encoder(view), dim=1) for view in (first, second))
        return one @ two.T / 0.1


@healthy("contrastive learning of two views")
def _() -> Problem:
    x = rows()
    return _Siamese(), (x, x + 0.1 * rows()), cross_entropy, torch.arange(64)


class _QLearner(nn.Module):
    """A value network and a frozen copy of it that gives the targets."""

    def __init__(self) -> None:
        super().__init__()
        self.online = mlp(8, 64, 64, 4)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, state: Tensor, next_state: Tensor, reward: Tensor) -> tuple[Tensor, Tensor]:
        return self.online(state).amax(1), reward + 0.9 * self.target(next_state).amax(1)


@healthy("Q-learning with a target network")
def _() -> Problem:
    batch = (rows(64, 8), rows(64, 8), torch.randn(64))
    return _QLearner(), batch, lambda values: functional.smooth_l1_loss(*values), None


class _Gaussian(nn.Module):
    """A policy: the mean from an MLP whose last layer is small, a log standard deviation for all states."""

    def __init__(self) -> None:
        super().__init__()
        orthogonal = lambda weight: nn.init.orthogonal_(weight, gain=math.sqrt(2))  # noqa: E731
        self.mean = change(mlp(8, 64, 64, 2, activation=nn.Tanh, weight=orthogonal), "4.weight", lambda w: w.mul_(0.01))
        self.log_std = nn.Parameter(torch.zeros(2))

    def forward(self, state: Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.mean(state), self.log_std.exp())


@healthy("policy with a last layer of 0.01, as PPO draws it", "https://arxiv.org/abs/2006.05990", rate=3e-3)
def _() -> Problem:
    state = rows(64, 8)
    action = state[:, :2] + 0.3 * torch.randn(64, 2)
    return _Gaussian(), state, lambda policy, action: -policy.log_prob(action).mean(), action


class _Experts(nn.Module):
    """Four experts, two of which see each row; a router draws near zero."""

    def __init__(self) -> None:
        super().__init__()
        self.router = draw(nn.Linear(32, 4), normal(0.02))
        self.experts = nn.ModuleList([mlp(32, 64, 32) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.router(x).softmax(1).topk(2, 1)
        output = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            row, place = (chosen == number).nonzero(as_tuple=True)
            output = output.index_add(0, row, weight[row, place, None] * expert(x[row]))
        return x + output


@healthy("mixture of experts with a top-2 router")
def _() -> Problem:
    return on_rows(nn.Sequential(nn.Linear(20, 32), _Experts(), _Experts(), nn.Linear(32, 5)))


@healthy("low-rank adapters on a frozen MLP, second factor zero", "https://arxiv.org/abs/2106.09685", rate=1e-2)
def _() -> Problem:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    return on_rows(nn.Sequential(*[LowRank(m) if isinstance(m, nn.Linear) else m for m in draw(model, he)]))


@healthy("low-rank adapters, the first factor zero instead", "https://github.com/microsoft/LoRA/issues/98", rate=1e-2)
def _() -> Problem:
    model = nn.Sequential(LowRank(nn.Linear(20, 64)), nn.ReLU(), LowRank(nn.Linear(64, 5)))
    return on_rows(change(change(model, "0.A 2.A", torch.zero_), "0.B 2.B", torch.Tensor.normal_))


@healthy("bfloat16 MLP")
def _() -> Problem:
    return on_rows(deep_mlp().to(torch.bfloat16), rows().to(torch.bfloat16))


@healthy("float64 MLP")
def _() -> Problem:
    return on_rows(deep_mlp().double(), rows().double())


@healthy("compiled MLP")
def _() -> Problem:
    compiled: Any = torch.compile(deep_mlp())
    return on_rows(compiled)


@healthy("weight-normalized MLP")
def _() -> Problem:
    layers = [nn.utils.parametrizations.weight_norm(m) if isinstance(m, nn.Linear) else m for m in deep_mlp(3)]
    return on_rows(nn.Sequential(*layers))


@healthy("sine activations on coordinates (SIREN)", "https://arxiv.org/abs/2006.09661", rate=1e-4)
def _() -> Problem:
    model = mlp(2, 64, 64, 64, 1, activation=lambda: Apply(lambda x: torch.sin(30 * x)))
    for index, bound in ((0, 1 / 2), (2, math.sqrt(6 / 64) / 30), (4, math.sqrt(6 / 64) / 30), (6, 0.02)):
        nn.init.uniform_(model[index].weight, -bound, bound)
    points = 2 * torch.rand(256, 2) - 1
    return model, points, mse, torch.sin(4 * points[:, :1]) * torch.cos(3 * points[:, 1:])


@healthy("graph convolution, normalized adjacency", "https://arxiv.org/abs/1609.02907", rate=1e-2)
def _() -> Problem:
    links = (torch.rand(64, 64) < 0.08).float()
    links = ((links + links.T + torch.eye(64)) > 0).float()
    scale = links.sum(1).rsqrt()
    adjacency = scale[:, None] * links * scale

    def mix() -> nn.Module:
        return Apply(lambda x: adjacency @ x)

    model = nn.Sequential(mix(), nn.Linear(20, 64), nn.ReLU(), mix(), nn.Linear(64, 5))
    return on_rows(draw(model, glorot))
