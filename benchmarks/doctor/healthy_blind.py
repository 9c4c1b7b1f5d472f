"""Healthy models of many kinds, odd but right; written without sight of any rule."""

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from doctor.cases import Problem, healthy
from doctor.models import (
    Apply,
    Residual,
    bce,
    change,
    cross_entropy,
    deep_mlp,
    draw,
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
    on_tokens,
    own_loss,
    pixels,
    rows,
    settle,
    tokens,
)
from doctor.models_blind import (
    Block,
    Siamese,
    actor_critic,
    alex,
    causal,
    conv_vae,
    critic,
    ensemble,
    forecast,
    graph,
    language,
    mobile,
    multitask,
    pool,
    remember,
    resnet50,
    siamese,
    speech,
    tabular,
    towers,
)

# The base models of the faults ---------------------------------------------------------------------------------------


@healthy("AlexNet without normalization, small head")
def _() -> Problem:
    return alex()


@healthy("ResNet of bottlenecks")
def _() -> Problem:
    return resnet50()


@healthy("depthwise separable convolutions without normalization, true fans", rate=3e-3)
def _() -> Problem:
    return mobile()


@healthy("three tasks, a dictionary as output and as target", rate=3e-3)
def _() -> Problem:
    return multitask()


@healthy("critic under spectral normalization, hinge loss", "https://arxiv.org/abs/1802.05957")
def _() -> Problem:
    return critic()


@healthy("convolutional variational autoencoder", rate=3e-3)
def _() -> Problem:
    return conv_vae()


@healthy("table of numbers and categories with BatchNorm")
def _() -> Problem:
    return tabular()


@healthy("table of numbers and categories, no normalization")
def _() -> Problem:
    return tabular(norm=False)


@healthy("actor and critic in one, a tuple as output")
def _() -> Problem:
    return actor_critic()


@healthy("two towers with a learned temperature")
def _() -> Problem:
    return towers()


@healthy("three inputs, one encoder, triplet loss")
def _() -> Problem:
    return siamese()


@healthy("graph convolutions, adjacency in the batch", rate=3e-3)
def _() -> Problem:
    return graph()


@healthy("ensemble of small members", rate=3e-3)
def _() -> Problem:
    return ensemble()


@healthy("language model with fixed waves and a factor sqrt(width)")
def _() -> Problem:
    return language()


@healthy("LSTM forecasts three series")
def _() -> Problem:
    return forecast()


@healthy("tanh RNN with orthogonal recurrence remembers twenty steps")
def _() -> Problem:
    return remember()


@healthy("speech: convolutions, bidirectional GRU, CTC")
def _() -> Problem:
    return speech()


@healthy("temporal convolutions under weight normalization", "https://arxiv.org/abs/1803.01271")
def _() -> Problem:
    return causal()


@healthy("attention pooling over padded documents", rate=3e-3)
def _() -> Problem:
    return pool()


# Images --------------------------------------------------------------------------------------------------------------


@healthy("DenseNet: everything before is concatenated", "https://arxiv.org/abs/1608.06993", rate=3e-3)
def _() -> Problem:
    class Dense(nn.Module):
        """Four layers of growth 8."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
            self.norms = nn.ModuleList(nn.BatchNorm2d(16 + 8 * i) for i in range(5))
            self.convs = nn.ModuleList(nn.Conv2d(16 + 8 * i, 8, 3, padding=1, bias=False) for i in range(4))
            self.head = nn.Linear(48, 5)
            draw(self.convs, he)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for norm, conv in zip(self.norms, self.convs, strict=False):
                x = torch.cat([x, conv(functional.relu(norm(x)))], 1)
            return self.head(functional.relu(self.norms[-1](x)).mean((2, 3)))

    return on_images(Dense())


@healthy("pixels from 0 to 255, standardized inside the model by its own buffers")
def _() -> Problem:
    class Standardized(nn.Module):
        """Subtracts and divides first."""

        mean: Tensor
        std: Tensor

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.register_buffer("mean", torch.full((3, 1, 1), 128.0))
            self.register_buffer("std", torch.full((3, 1, 1), 60.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner((x - self.mean) / self.std)

    return on_images(Standardized(alex()[0]), pixels())


@healthy("bytes as integers, divided by 255 in forward, BatchNorm without parameters first")
def _() -> Problem:
    first = nn.Sequential(Apply(lambda x: x.float() / 255), nn.BatchNorm2d(3, affine=False))
    return on_images(nn.Sequential(*first, resnet50()[0]), pixels().to(torch.uint8))


@healthy("frozen first blocks of a ResNet, whose norms run in train mode")
def _() -> Problem:
    problem = resnet50()
    problem[0].stem.requires_grad_(False)
    problem[0].blocks[0].requires_grad_(False)
    return problem


@healthy("ResNet in eval mode, settled, with one-hot targets mixed by mixup")
def _() -> Problem:
    model, batch, loss, target = resnet50()
    hot = functional.one_hot(target, 5).float()
    return settle(model, batch), batch, loss, 0.7 * hot + 0.3 * hot.flip(0)


@healthy("super-resolution by pixel shuffle, drawn like a nearest neighbor (ICNR)", rate=3e-3)
def _() -> Problem:
    model = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())
    model = nn.Sequential(*model, nn.Conv2d(32, 4, 3, padding=1), nn.PixelShuffle(2))
    target = images(16, 1)
    draw(model, he)
    change(model, "4.weight", lambda w: w.copy_(w[:1].repeat(4, 1, 1, 1) / 2))
    return model, functional.avg_pool2d(target, 2), functional.l1_loss, target


@healthy("detection: focal loss, last bias at log odds of 0.01", "https://arxiv.org/abs/1708.02002", rate=3e-3)
def _() -> Problem:
    def focal(logits: Tensor, target: Tensor) -> Tensor:
        p = torch.where(target > 0, logits.sigmoid(), 1 - logits.sigmoid())
        weight = torch.where(target > 0, 0.25, 0.75)
        return -(weight * (1 - p) ** 2 * p.clamp(1e-6).log()).sum() / target.sum()

    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())
    draw(model, he)
    head = change(nn.Conv2d(32, 1, 3, padding=1), "weight", normal(0.01))
    change(head, "bias", lambda b: b.fill_(-math.log(99)))
    return nn.Sequential(*model, head), images(), focal, (torch.rand(16, 1, 16, 16) < 0.02).float()


@healthy("segmentation with dice loss on sigmoids", rate=3e-3)
def _() -> Problem:
    def dice(logits: Tensor, target: Tensor) -> Tensor:
        p = logits.sigmoid()
        return 1 - 2 * (p * target).sum() / (p.sum() + target.sum())

    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 1, 1))
    return model, images(), dice, masks()


@healthy("vision transformer with patches, learned query pools, gradient checkpointing")
def _() -> Problem:
    class Vision(nn.Module):
        """Checkpointed blocks; a learned query, zero at first, pools them."""

        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 64, 4, 4)
            self.position = nn.Parameter(torch.randn(16, 64) * 0.02)
            self.blocks = nn.ModuleList(Block(64, causal=False) for _ in range(3))
            self.query, self.norm, self.head = nn.Parameter(torch.zeros(64)), nn.LayerNorm(64), nn.Linear(64, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patch(x).flatten(2).mT + self.position
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False)
            x = self.norm(x)
            return self.head(((x @ self.query).softmax(1)[:, :, None] * x).sum(1))

    return on_images(Vision())


@healthy("spatial transformer: its last layer is zero with the identity as bias", "https://arxiv.org/abs/1506.02025")
def _() -> Problem:
    class Spatial(nn.Module):
        """Looks where to look, then looks."""

        def __init__(self) -> None:
            super().__init__()
            self.where = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(512, 6))
            nn.init.zeros_(self.where[3].weight)  # type: ignore[arg-type]
            self.where[3].bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])
            self.what = alex()[0]

        def forward(self, x: Tensor) -> Tensor:
            grid = functional.affine_grid(self.where(x).view(-1, 2, 3), list(x.shape), align_corners=False)
            return self.what(functional.grid_sample(x, grid, align_corners=False))

    return on_images(Spatial())


@healthy("points: shared layers, maximum over points, input transform that starts as the identity")
def _() -> Problem:
    class Points(nn.Module):
        """PointNet."""

        def __init__(self) -> None:
            super().__init__()
            self.align = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 9))
            nn.init.zeros_(self.align[2].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.align[2].bias)  # type: ignore[arg-type]
            self.points, self.head = mlp(3, 64, 128), nn.Linear(128, 5)
            nn.init.normal_(self.head.weight, std=0.01)

        def forward(self, x: Tensor) -> Tensor:
            turn = self.align(x).amax(1).view(-1, 3, 3) + torch.eye(3)
            return self.head(self.points(x @ turn).amax(1))

    return Points(), torch.randn(32, 40, 3), cross_entropy, labels(32)


@healthy("denoising with the step's embedding and modulation that starts at zero (adaLN)", rate=3e-3)
def _() -> Problem:
    class Modulated(nn.Module):
        """Each block is scaled, shifted and gated by the step; all three start at zero."""

        def __init__(self) -> None:
            super().__init__()
            self.enter, self.step = nn.Linear(16, 64), nn.Embedding(50, 64)
            self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)) for _ in "abc")
            self.modulate = nn.ModuleList(nn.Linear(64, 192) for _ in "abc")
            self.norm, self.exit = nn.LayerNorm(64, elementwise_affine=False), nn.Linear(64, 16)
            draw(self.modulate, nn.init.zeros_)
            draw(self.exit, nn.init.zeros_)

        def forward(self, x: Tensor, step: Tensor) -> Tensor:
            x, condition = self.enter(x), functional.silu(self.step(step))
            for block, modulate in zip(self.blocks, self.modulate, strict=True):
                scale, shift, gate = modulate(condition).chunk(3, 1)
                x = x + gate * block(self.norm(x) * (1 + scale) + shift)
            return self.exit(self.norm(x))

    clean, noise, step = rows(64, 16), rows(64, 16), torch.randint(0, 50, (64,))
    share = (step / 50)[:, None]
    return Modulated(), ((1 - share).sqrt() * clean + share.sqrt() * noise, step), mse, noise


@healthy("vector quantization with a straight-through gradient", "https://arxiv.org/abs/1711.00937", rate=3e-3)
def _() -> Problem:
    class Output(NamedTuple):
        """The reconstruction and the loss."""

        image: Tensor
        loss: Tensor

    class Quantized(nn.Module):
        """Codes are the nearest of 64; the model brings its own loss."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = mlp(20, 64, 8), mlp(8, 64, 20)
            self.codes = nn.Embedding(64, 8)

        def forward(self, x: Tensor) -> Output:
            z = self.encoder(x)
            code = self.codes(torch.cdist(z, self.codes.weight).argmin(1))
            image = self.decoder(z + (code - z).detach())
            return Output(image, mse(image, x) + mse(code, z.detach()) + 0.25 * mse(z, code.detach()))

    return Quantized(), rows(), own_loss, None


@healthy("normalizing flow: couplings that start as the identity", "https://arxiv.org/abs/1605.08803")
def _() -> Problem:
    class Flow(nn.Module):
        """Affine couplings whose last layers are zero; returns the negative log-likelihood."""

        def __init__(self) -> None:
            super().__init__()
            self.nets = nn.ModuleList(mlp(4, 64, 8) for _ in range(4))
            for net in self.nets:
                change(net, "2.weight", nn.init.zeros_)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            volume = torch.zeros(len(x))
            for net in self.nets:
                kept, changed = x.chunk(2, 1)
                scale, shift = net(kept).chunk(2, 1)
                x = torch.cat([changed * scale.tanh().exp() + shift, kept], 1)
                volume = volume + scale.tanh().sum(1)
            return {"loss": 0.5 * x.square().sum(1).mean() - volume.mean()}

    batch = rows(64, 8)
    return Flow(), batch @ torch.randn(8, 8) / 2, lambda output: output["loss"], None


@healthy("generator under a frozen critic, noise and labels as inputs", rate=3e-3)
def _() -> Problem:
    class Conditional(nn.Module):
        """A small generator whose output the critic scores."""

        def __init__(self) -> None:
            super().__init__()
            self.label, self.start = nn.Embedding(5, 16), nn.Linear(48, 512)
            self.up1, self.norm = nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.BatchNorm2d(16)
            self.up2 = nn.ConvTranspose2d(16, 3, 4, 2, 1)
            self.critic = critic()[0].requires_grad_(False).eval()

        def forward(self, noise: Tensor, label: Tensor) -> Tensor:
            x = functional.relu(self.start(torch.cat([noise, self.label(label)], 1))).view(-1, 32, 4, 4)
            return self.critic(self.up2(functional.relu(self.norm(self.up1(x)))).tanh())

    return Conditional(), (torch.randn(16, 32), labels(16)), lambda scores: 1 - scores.mean(), None


@healthy("self-supervision: a predictor chases a slow copy (BYOL)", "https://arxiv.org/abs/2006.07733")
def _() -> Problem:
    class Chase(nn.Module):
        """The slow copy gets no gradient, and is meant to get none."""

        def __init__(self) -> None:
            super().__init__()
            self.online = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
            self.slow = copy.deepcopy(self.online).requires_grad_(False)
            self.predict = mlp(32, 64, 32)

        def forward(self, one: Tensor, two: Tensor) -> Tensor:
            with torch.no_grad():
                aim = self.slow(two)
            return 2 - 2 * functional.cosine_similarity(self.predict(self.online(one)), aim).mean()

    view = rows()
    return Chase(), (view + 0.2 * rows(), view + 0.2 * rows()), lambda loss: loss, None


@healthy("distillation from a frozen teacher, soft targets, temperature 4", rate=3e-3)
def _() -> Problem:
    def soft(student: Tensor, teacher: Tensor) -> Tensor:
        return 16 * functional.kl_div((student / 4).log_softmax(1), (teacher / 4).softmax(1), reduction="batchmean")

    batch = rows()
    return deep_mlp(2), batch, soft, deep_mlp(2)(batch).detach() * 2


# Sequences -----------------------------------------------------------------------------------------------------------


@healthy("language model, rotary positions, RMSNorm, gated units, embedding tied through functional.linear")
def _() -> Problem:
    class Gated(nn.Module):
        """SwiGLU."""

        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up = nn.Linear(64, 128, bias=False), nn.Linear(64, 128, bias=False)
            self.down = nn.Linear(128, 64, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(functional.silu(self.gate(x)) * self.up(x))

    class Rotary(nn.Module):
        """Attention by torch's function, queries and keys turned."""

        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(64, 192, bias=False), nn.Linear(64, 64, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            count, length, _ = x.shape
            q, k, v = self.qkv(x).view(count, length, 3, 4, 16).permute(2, 0, 3, 1, 4)
            angle = torch.arange(length)[:, None] / 100 ** (torch.arange(8) / 8)

            def turn(y: Tensor) -> Tensor:
                a, b = y.chunk(2, -1)
                return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)

            y = functional.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
            return self.out(y.transpose(1, 2).reshape(count, length, 64))

    class Model(nn.Module):
        """The whole of it."""

        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(100, 64)
            blocks = [Residual(nn.RMSNorm(64), part()) for _ in range(3) for part in (Rotary, Gated)]
            self.blocks, self.norm = nn.Sequential(*blocks), nn.RMSNorm(64)
            draw(self, normal(0.05))
            nn.init.normal_(self.token.weight, std=0.02)

        def forward(self, ids: Tensor) -> Tensor:
            return functional.linear(self.norm(self.blocks(self.token(ids))), self.token.weight)

    return on_tokens(Model())


@healthy("parallel attention and MLP after one norm, queries and keys normalized")
def _() -> Problem:
    class Parallel(nn.Module):
        """x + attention(norm x) + mlp(norm x)."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.qkv, self.out = nn.LayerNorm(64), nn.Linear(64, 192), nn.Linear(64, 64)
            self.q_norm, self.k_norm = nn.LayerNorm(16), nn.LayerNorm(16)
            self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(x)
            q, k, v = self.qkv(y).unflatten(2, (3, 4, 16)).permute(2, 0, 3, 1, 4)
            z = functional.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v, is_causal=True)
            return x + self.out(z.transpose(1, 2).flatten(2)) + self.down(functional.gelu(self.up(y)))

    blocks = [Parallel() for _ in range(3)]
    return on_tokens(nn.Sequential(nn.Embedding(100, 64), *blocks, nn.LayerNorm(64), nn.Linear(64, 100)))


@healthy("highway layers whose gates start at -2", "https://arxiv.org/abs/1505.00387")
def _() -> Problem:
    class Highway(nn.Module):
        """Carries most of its input at first."""

        def __init__(self) -> None:
            super().__init__()
            self.gate, self.change = nn.Linear(64, 64), nn.Linear(64, 64)
            nn.init.constant_(self.gate.bias, -2.0)

        def forward(self, x: Tensor) -> Tensor:
            gate = self.gate(x).sigmoid()
            return gate * functional.relu(self.change(x)) + (1 - gate) * x

    return on_rows(nn.Sequential(nn.Linear(20, 64), *[Highway() for _ in range(10)], nn.Linear(64, 5)))


@healthy("twelve residual blocks with ReZero: all gates are zero", "https://arxiv.org/abs/2003.04887")
def _() -> Problem:
    class ReZero(Residual):
        """x + 0 * branch(x), at first."""

        def __init__(self, *branch: nn.Module) -> None:
            super().__init__(*branch)
            self.alpha = nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.alpha * self.branch(x)

    blocks = [ReZero(nn.Linear(64, 64), nn.ReLU()) for _ in range(12)]
    return on_rows(nn.Sequential(nn.Linear(20, 64), *blocks, nn.Linear(64, 5)))


@healthy("cells of an LSTM unrolled by hand, learned first state, packed lengths by mask", rate=3e-3)
def _() -> Problem:
    class Unrolled(nn.Module):
        """One cell, used at each step."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.cell = nn.Embedding(100, 32, padding_idx=0), nn.LSTMCell(32, 32)
            self.start, self.head = nn.Parameter(torch.zeros(2, 32)), nn.Linear(32, 5)

        def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
            x, (h, c) = self.embed(ids), self.start[:, None].expand(2, len(ids), 32)
            for t in range(ids.shape[1]):
                new_h, new_c = self.cell(x[:, t], (h, c))
                going = (t < lengths)[:, None]
                h, c = torch.where(going, new_h, h), torch.where(going, new_c, c)
            return self.head(h)

    lengths = torch.randint(3, 11, (32,))
    ids = tokens(32, 10).clamp(1) * (torch.arange(10) < lengths[:, None])
    return Unrolled(), (ids, lengths), cross_entropy, labels(32)


@healthy("packed sequences through a GRU", rate=3e-3)
def _() -> Problem:
    class Packed(nn.Module):
        """Leaves the padding out."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn, self.head = nn.Embedding(100, 32), nn.GRU(32, 32, batch_first=True), nn.Linear(32, 5)

        def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(self.embed(ids), lengths, True, enforce_sorted=False)
            return self.head(self.rnn(packed)[1][0])

    return Packed(), (tokens(32, 10), torch.randint(3, 11, (32,))), cross_entropy, labels(32)


@healthy(
    "series standardized window by window inside the model, and back (RevIN)",
    "https://openreview.net/forum?id=cGDAkQo1C0p",
)
def _() -> Problem:
    class Reversible(nn.Module):
        """Prices in, prices out: both on their own scale."""

        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(24, 64, 1)

        def forward(self, prices: Tensor) -> Tensor:
            mean, std = prices.mean(1, keepdim=True), prices.std(1, keepdim=True)
            return (self.net((prices - mean) / std) * std + mean).squeeze(1)

    walk = 100 + torch.randn(64, 25).cumsum(1)
    return Reversible(), walk[:, :-1], mse, walk[:, -1]


@healthy("quantiles of a forecast, pinball loss")
def _() -> Problem:
    levels = torch.tensor([0.1, 0.5, 0.9])

    def pinball(output: Tensor, target: Tensor) -> Tensor:
        gap = target[:, :1] - output
        return torch.maximum(levels * gap, (levels - 1) * gap).mean()

    model, batch, _, target = causal()
    return model, batch, pinball, target


@healthy("Gaussian likelihood: a mean and a logarithm of the variance", rate=3e-3)
def _() -> Problem:
    def likelihood(output: Tensor, target: Tensor) -> Tensor:
        return functional.gaussian_nll_loss(output[:, 0], target, output[:, 1].exp())

    x = rows()
    return (
        mlp(20, 64, 64, 2, weight=lecun),
        x,
        likelihood,
        x[:, 0] * 0.9 + 0.1 * x[:, 1],
    )


@healthy("counts by Poisson regression, last bias at the logarithm of their mean")
def _() -> Problem:
    x = rows()
    target = torch.poisson((1.5 + 0.5 * x[:, 0]).exp())
    model = nn.Sequential(*mlp(20, 64, 1), nn.Flatten(0))
    change(model, "2.weight", lambda w: w.mul_(0.1))
    return change(model, "2.bias", lambda b: b.fill_(target.mean().log())), x, functional.poisson_nll_loss, target


# Rows, graphs, recommendation ----------------------------------------------------------------------------------------


@healthy("matrix factorization with biases and the mean rating as a constant", rate=3e-2)
def _() -> Problem:
    class Factors(nn.Module):
        """Products of small embeddings."""

        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = nn.Embedding(40, 8), nn.Embedding(60, 8)
            self.user_bias, self.item_bias = nn.Embedding(40, 1), nn.Embedding(60, 1)
            for part in (self.user, self.item):
                nn.init.normal_(part.weight, std=0.1)
            for part in (self.user_bias, self.item_bias):
                nn.init.zeros_(part.weight)
            self.register_buffer("average", torch.tensor(3.5))

        def forward(self, user: Tensor, item: Tensor) -> Tensor:
            product = (self.user(user) * self.item(item)).sum(1)
            return self.average + product + (self.user_bias(user) + self.item_bias(item)).squeeze(1)

    batch = torch.randint(0, 40, (256,)), torch.randint(0, 60, (256,))
    return Factors(), batch, mse, 3.5 + torch.randn(256)


@healthy("factorization machine over sparse bags, one logit", rate=1e-2)
def _() -> Problem:
    class Machine(nn.Module):
        """A linear part and products of pairs, both over bags."""

        def __init__(self) -> None:
            super().__init__()
            self.linear, self.pairs = nn.EmbeddingBag(200, 1, mode="sum"), nn.EmbeddingBag(200, 8, mode="sum")
            self.bias = nn.Parameter(torch.zeros(()))
            nn.init.normal_(self.linear.weight, std=0.01)
            nn.init.normal_(self.pairs.weight, std=0.1)

        def forward(self, ids: Tensor) -> Tensor:
            squares = functional.embedding_bag(ids, self.pairs.weight**2, mode="sum")
            return self.bias + self.linear(ids)[:, 0] + 0.5 * (self.pairs(ids) ** 2 - squares).sum(1)

    return Machine(), torch.randint(0, 200, (64, 6)), bce, torch.arange(64).remainder(2).float()


@healthy("wide and deep: a sparse linear part starts at zero", rate=1e-2)
def _() -> Problem:
    class WideDeep(nn.Module):
        """Logits of two parts, added."""

        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.EmbeddingBag(100, 1, mode="sum")
            nn.init.zeros_(self.wide.weight)
            self.deep = mlp(20, 32, 1)

        def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
            return (self.wide(ids) + self.deep(numbers)).squeeze(1)

    batch = torch.randint(0, 100, (64, 4)), rows()
    return WideDeep(), batch, bce, torch.arange(64).remainder(2).float()


@healthy("graph attention with leaky scores and a mask of edges", "https://arxiv.org/abs/1710.10903", rate=1e-2)
def _() -> Problem:
    class Attend(nn.Module):
        """One head; parameters without modules."""

        def __init__(self, fan_in: int, fan_out: int) -> None:
            super().__init__()
            self.W, self.a = nn.Parameter(torch.empty(fan_in, fan_out)), nn.Parameter(torch.empty(2, fan_out))
            nn.init.xavier_uniform_(self.W, 1.4)
            nn.init.xavier_uniform_(self.a, 1.4)

        def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
            h = nodes @ self.W
            here, there = (h @ self.a.T).unbind(1)
            scores = functional.leaky_relu(here[:, None] + there, 0.2).masked_fill(edges == 0, -math.inf)
            return scores.softmax(1) @ h

    class Net(nn.Module):
        """Two of them."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Attend(16, 32), Attend(32, 4)

        def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
            return self.second(functional.elu(self.first(nodes, edges)), edges)

    _, batch, loss, target = graph()
    return Net(), batch, loss, target


@healthy("graph isomorphism network: sums over sparse neighbors, then an MLP with BatchNorm", rate=3e-3)
def _() -> Problem:
    class Sums(nn.Module):
        """Sparse adjacency as indices, index_add, mean over each graph."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Linear(width, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32))
                for width in (16, 32)
            )
            self.eps, self.head = nn.Parameter(torch.zeros(2)), nn.Linear(32, 2)

        def forward(self, x: Tensor, source: Tensor, goal: Tensor) -> Tensor:
            for layer, eps in zip(self.layers, self.eps, strict=True):
                x = layer((1 + eps) * x + torch.zeros_like(x).index_add(0, goal, x[source]))
            return self.head(x.view(12, 10, 32).mean(1))

    source = torch.arange(120).repeat_interleave(3)
    goal = source // 10 * 10 + torch.randint(0, 10, (360,))
    return Sums(), (torch.randn(120, 16), source, goal), cross_entropy, labels(12, 2)


@healthy("dueling Q-network, advantages centered, Huber loss")
def _() -> Problem:
    class Dueling(nn.Module):
        """A value plus centered advantages."""

        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.value, self.advantage = mlp(12, 64, 64), nn.Linear(64, 1), nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = functional.relu(self.trunk(x))
            advantage = self.advantage(x)
            return self.value(x) + advantage - advantage.mean(1, keepdim=True)

    action = labels(64, 4)

    def huber(q: Tensor, target: Tensor) -> Tensor:
        return functional.smooth_l1_loss(q.gather(1, action[:, None]).squeeze(1), target)

    return Dueling(), rows(64, 12), huber, torch.randn(64)


@healthy("continuous actor: tanh at the end, last layer U(-0.003, 0.003) (DDPG)", "https://arxiv.org/abs/1509.02971")
def _() -> Problem:
    model = mlp(12, 64, 64, 3)
    change(model, "4.weight 4.bias", lambda w: nn.init.uniform_(w, -3e-3, 3e-3))
    return nn.Sequential(*model, nn.Tanh()), rows(64, 12), mse, torch.rand(64, 3) * 1.6 - 0.8


@healthy("soft actor: a mean and a clamped logarithm of the deviation, a free parameter")
def _() -> Problem:
    class Actor(nn.Module):
        """The deviation belongs to no module."""

        def __init__(self) -> None:
            super().__init__()
            self.mean, self.log_std = mlp(12, 64, 3, activation=nn.Tanh), nn.Parameter(torch.full((3,), -0.5))

        def forward(self, x: Tensor) -> torch.distributions.Normal:
            return torch.distributions.Normal(self.mean(x), self.log_std.clamp(-5, 2).exp())

    return Actor(), rows(64, 12), lambda output, action: -output.log_prob(action).mean(), 0.7 * torch.randn(64, 3)


@healthy("orthogonal parametrization and spectral norm in one MLP")
def _() -> Problem:
    layers = [orthogonal(nn.Linear(64, 64)), nn.ReLU(), spectral_norm(nn.Linear(64, 64)), nn.ReLU()]
    return on_rows(nn.Sequential(weight_norm(nn.Linear(20, 64)), nn.ReLU(), *layers, nn.Linear(64, 5)))


@healthy("autocast to bfloat16 inside forward")
def _() -> Problem:
    class Mixed(nn.Module):
        """Weights in 32 bits, products in 16."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = alex()[0]

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                y = self.inner(x)
            return y.float()

    return on_images(Mixed())


@healthy("maxout units", "https://arxiv.org/abs/1302.4389")
def _() -> Problem:
    most = [Apply(lambda x: x.unflatten(1, (64, 2)).amax(2)) for _ in range(2)]
    return on_rows(nn.Sequential(nn.Linear(20, 128), most[0], nn.Linear(64, 128), most[1], nn.Linear(64, 5)))


@healthy("radial basis units on two coordinates", rate=1e-2)
def _() -> Problem:
    class Radial(nn.Module):
        """Bumps around learned centers."""

        def __init__(self) -> None:
            super().__init__()
            self.center, self.log_width = nn.Parameter(torch.randn(50, 2)), nn.Parameter(torch.zeros(50))
            self.head = nn.Linear(50, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((-(torch.cdist(x, self.center) ** 2) * self.log_width.exp()).exp()).squeeze(1)

    x = torch.randn(128, 2)
    return Radial(), x, mse, (2 * x[:, 0]).sin() * 1.4


@healthy("Fourier features of coordinates, fixed, before a ReLU MLP", "https://arxiv.org/abs/2006.10739", rate=3e-3)
def _() -> Problem:
    place = torch.rand(256, 2)
    frequencies = torch.randn(2, 32) * 5
    lift = Apply(lambda x: torch.cat([(2 * math.pi * x @ frequencies).sin(), (2 * math.pi * x @ frequencies).cos()], 1))
    model = nn.Sequential(lift, mlp(64, 64, 64, 3), nn.Sigmoid())
    return model, place, mse, (5 * place.sum(1, keepdim=True) + torch.arange(3)).sin() / 2 + 0.5


@healthy("ordinal classes: one slope, sorted thresholds", rate=1e-2)
def _() -> Problem:
    class Ordinal(nn.Module):
        """One score against four thresholds."""

        def __init__(self) -> None:
            super().__init__()
            self.score, self.thresholds = mlp(20, 32, 1), nn.Parameter(torch.linspace(-2, 2, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.score(x) - self.thresholds

    x, level = rows(), labels()
    return Ordinal(), x, bce, (level[:, None] > torch.arange(4)).float()


@healthy("prototypes: negative squared distances as logits, a few examples a class")
def _() -> Problem:
    class Prototypes(nn.Module):
        """Support and query share an encoder; distances over the width."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = Siamese().encoder

        def forward(self, support: Tensor, query: Tensor) -> Tensor:
            means = self.encoder(support).view(5, 3, 16).mean(1)
            return -(torch.cdist(self.encoder(query), means) ** 2)

    centers = 1.5 * rows(5)
    query = labels(40)
    batch = centers.repeat_interleave(3, 0) + rows(15), centers[query] + rows(40)
    return Prototypes(), batch, cross_entropy, query


@healthy("angular margin: normalized features against normalized classes, scale 16", "https://arxiv.org/abs/1801.07698")
def _() -> Problem:
    class Angular(nn.Module):
        """Cosines, times a constant."""

        def __init__(self) -> None:
            super().__init__()
            self.body, self.classes = mlp(20, 64, 64), nn.Parameter(torch.randn(5, 64))

        def forward(self, x: Tensor) -> Tensor:
            return 16 * functional.normalize(self.body(x)) @ functional.normalize(self.classes).T

    def margin(cosines: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(cosines - 16 * 0.1 * functional.one_hot(target, 5), target)

    return Angular(), rows(), margin, labels()


@healthy("a linear probe of zeros on frozen features in eval mode")
def _() -> Problem:
    body = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU())
    batch = rows()
    settle(body, batch)
    head = nn.Linear(64, 5)
    nn.init.zeros_(head.weight)
    return on_rows(nn.Sequential(body.requires_grad_(False), head), batch)


@healthy("a hypernetwork writes the weights of a small network")
def _() -> Problem:
    class Hyper(nn.Module):
        """A context gives 20 x 8 + 8 x 5 weights, at the scale of LeCun."""

        def __init__(self) -> None:
            super().__init__()
            self.write = nn.Linear(6, 200)
            nn.init.normal_(self.write.weight, std=6**-0.5)

        def forward(self, x: Tensor, context: Tensor) -> Tensor:
            first, second = self.write(context).split([160, 40], 1)
            hidden = functional.relu(torch.einsum("bi,bio->bo", x, first.view(-1, 20, 8)) / 20**0.5)
            return torch.einsum("bi,bio->bo", hidden, second.view(-1, 8, 5)) / 8**0.5

    return Hyper(), (rows(), torch.randn(64, 6)), cross_entropy, labels()
