"""Healthy models: tokens, signals and other sequences in."""

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from doctor.cases import Problem, healthy
from doctor.models import (
    GPT,
    Apply,
    Last,
    Residual,
    SelfAttention,
    TokenClassifier,
    Tokens,
    adapted,
    cross_entropy,
    draw,
    glorot,
    he,
    labels,
    mse,
    normal,
    on_sequences,
    on_tokens,
    own_loss,
    recurrent,
    token_loss,
    tokens,
)


@healthy("LSTM on token embeddings", rate=3e-3)
def _() -> Problem:
    return on_sequences(recurrent())


@healthy("GRU, two layers", rate=3e-3)
def _() -> Problem:
    return on_sequences(recurrent(nn.GRU, 2))


@healthy("bidirectional LSTM", rate=3e-3)
def _() -> Problem:
    return on_sequences(recurrent(bidirectional=True))


@healthy("LSTM with orthogonal recurrence and forget bias 1", rate=3e-3)
def _() -> Problem:
    model = recurrent()
    lstm = model[1].recurrent
    for gate in lstm.weight_hh_l0.chunk(4):
        nn.init.orthogonal_(gate)
    for gate in lstm.weight_ih_l0.chunk(4):
        nn.init.xavier_uniform_(gate)
    nn.init.zeros_(lstm.bias_hh_l0)
    nn.init.zeros_(lstm.bias_ih_l0)
    nn.init.ones_(lstm.bias_ih_l0[32:64])
    return on_sequences(model)


@healthy("LSTM over time-first signals")
def _() -> Problem:
    lstm = nn.LSTM(6, 32)
    model = nn.Sequential(lstm, Apply(lambda output: output[0][-1]), nn.Linear(32, 1))
    signal = torch.randn(40, 16, 6).cumsum(0)
    signal = (signal - signal.mean()) / signal.std()
    return model, signal, mse, signal[-1, :, :1] - signal[0, :, :1]


@healthy("ReLU recurrence that starts as the identity", "https://arxiv.org/abs/1504.00941")
def _() -> Problem:
    net: Any = nn.RNN(4, 32, nonlinearity="relu", batch_first=True)
    nn.init.eye_(net.weight_hh_l0)
    nn.init.normal_(net.weight_ih_l0, std=0.1)
    nn.init.zeros_(net.bias_hh_l0)
    nn.init.zeros_(net.bias_ih_l0)
    return nn.Sequential(Last(net), nn.Linear(32, 5)), torch.randn(16, 20, 4), cross_entropy, labels(16)


class _Translate(nn.Module):
    """An encoder and a decoder with dot-product attention."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(100, 32), nn.Embedding(100, 32)
        self.encoder, self.decoder = nn.GRU(32, 32, batch_first=True), nn.GRU(32, 32, batch_first=True)
        self.head = nn.Linear(64, 100)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, state = self.encoder(self.source(source))
        output, _ = self.decoder(self.target(target), state)
        attention = (output @ memory.mT / math.sqrt(32)).softmax(-1)
        return self.head(torch.cat([output, attention @ memory], -1))


@healthy("translation with attention between GRUs", rate=3e-3)
def _() -> Problem:
    target = tokens()
    return _Translate(), (tokens(), target), token_loss, target.roll(-1, 1)


@healthy("transformer encoder, pre-norm")
def _() -> Problem:
    return on_sequences(TokenClassifier())


@healthy("transformer encoder, post-norm")
def _() -> Problem:
    return on_sequences(TokenClassifier(norm_first=False))


@healthy("GPT with tied embedding")
def _() -> Problem:
    return on_tokens(GPT())


@healthy("GPT, untied, 12 layers")
def _() -> Problem:
    return on_tokens(GPT(layers=12, width=32, tied=False))


@healthy("GPT with adapters on its projections", "https://arxiv.org/abs/2106.09685", rate=3e-2)
def _() -> Problem:
    return on_tokens(adapted())


@healthy("GPT whose loss is computed by itself, a dictionary as batch")
def _() -> Problem:
    class Owner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = GPT(layers=2)

        def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
            logits = self.transformer(input_ids)
            return SimpleNamespace(loss=token_loss(logits, labels), logits=logits)

    ids = tokens()
    return Owner(), {"input_ids": ids, "labels": ids.roll(-1, 1)}, own_loss, None


class _RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


class _Gated(nn.Module):
    """SwiGLU: silu(gate) * up, then down."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


@healthy("RMSNorm and gated units, N(0, 0.02)")
def _() -> Problem:
    blocks: list[nn.Module] = []
    for _ in range(4):
        blocks += [Residual(_RMSNorm(64), SelfAttention(64, causal=True)), Residual(_RMSNorm(64), _Gated(64))]
    model = draw(nn.Sequential(Tokens(100, 64), *blocks, _RMSNorm(64), nn.Linear(64, 100, bias=False)), normal(0.02))
    nn.init.normal_(model[0].token.weight, std=0.02)
    return on_tokens(model)


@healthy("torch's default embedding N(0, 1) before pre-norm blocks, untied")
def _() -> Problem:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(100, 64)
            self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
            self.norm1, self.norm2 = nn.LayerNorm(64), nn.LayerNorm(64)
            self.hidden = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))
            self.head = nn.Linear(64, 100)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.embed(ids)
            hidden = self.norm1(x)
            mask = torch.full((ids.shape[1],) * 2, -math.inf).triu(1)
            x = x + self.attention(hidden, hidden, hidden, attn_mask=mask, need_weights=False)[0]
            return self.head(x + self.hidden(self.norm2(x)))

    return on_tokens(Model())


class _StateSpace(nn.Module):
    """A diagonal linear recurrence per channel, S4D's real start, with a gate."""

    def __init__(self, width: int, states: int = 8) -> None:
        super().__init__()
        self.log_decay = nn.Parameter(torch.arange(1, states + 1).float().log().repeat(width, 1))
        self.log_step = nn.Parameter(torch.empty(width).uniform_(math.log(0.001), math.log(0.1)))
        self.read = nn.Parameter(torch.randn(width, states))
        self.skip = nn.Parameter(torch.ones(width))
        self.out = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        rate = -self.log_decay.exp() * self.log_step.exp()[:, None]
        time = torch.arange(x.shape[1])
        modes = (self.read * self.log_step.exp()[:, None])[..., None] * (rate[..., None] * time).exp()
        length = 2 * x.shape[1]  # room for a product of transforms that does not wrap around
        product = torch.fft.rfft(x.mT, n=length) * torch.fft.rfft(modes.sum(1), n=length)
        convolved = torch.fft.irfft(product, n=length)[..., : x.shape[1]].mT
        return functional.glu(self.out(functional.gelu(convolved + self.skip * x)))


@healthy("state-space model: diagonal recurrences with gates", "https://arxiv.org/abs/2206.11893")
def _() -> Problem:
    blocks = [Residual(nn.LayerNorm(32), _StateSpace(32)) for _ in range(4)]
    return on_tokens(nn.Sequential(nn.Embedding(100, 32), *blocks, nn.LayerNorm(32), nn.Linear(32, 100)), tokens(4, 64))


class _Dilated(nn.Module):
    """WaveNet's layer: a gated dilated convolution that sees the past only, to the skips and back to the stream."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.gated = nn.Conv1d(width, 2 * width, 2, dilation=dilation)
        self.skip = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, gate = self.gated(functional.pad(x, (self.dilation, 0))).chunk(2, 1)
        skip = self.skip(value.tanh() * gate.sigmoid())
        return x + skip, skip


class _WaveNet(nn.Module):
    """Gated layers on one stream; what all of them send to the skips is summed."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, width)
        self.layers = nn.ModuleList([_Dilated(width, 2**power) for power in (0, 1, 2, 3, 0, 1, 2, 3)])
        self.hidden, self.head = nn.Conv1d(width, width, 1), nn.Conv1d(width, 64, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x, total = self.embed(ids).mT, torch.zeros(())
        for layer in self.layers:
            x, skip = layer(x)
            total = total + skip
        return self.head(functional.relu(self.hidden(functional.relu(total))))


@healthy("WaveNet: gated dilated convolutions, skips summed", "https://arxiv.org/abs/1609.03499", rate=3e-3)
def _() -> Problem:
    ids = tokens(4, 48, 64)
    return _WaveNet(), ids, cross_entropy, ids.roll(-1, 1)


@healthy("convolutions over signals of eight sensors, standardized")
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (8, 32, 32):
        layers += [nn.Conv1d(fan_in, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2)]
    signal = torch.randn(16, 8, 64).cumsum(-1)
    signal = (signal - signal.mean((0, 2), keepdim=True)) / signal.std((0, 2), keepdim=True)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 5))
    return model, signal, cross_entropy, labels(16)


@healthy("bag of words: averaged embeddings with padding", rate=1e-2)
def _() -> Problem:
    model = nn.Sequential(nn.EmbeddingBag(100, 32, mode="mean", padding_idx=0), nn.Linear(32, 5))
    batch = tokens(32, 12)
    batch[:, 8:] = 0
    return on_sequences(model, batch)


@healthy("text CNN with padding in the batch")
def _() -> Problem:
    layers = [nn.Embedding(100, 32, padding_idx=0), Apply(lambda x: x.mT), nn.Conv1d(32, 64, 3), nn.ReLU()]
    batch = tokens(16, 20)
    batch[:8, 12:] = 0
    return on_sequences(nn.Sequential(*layers, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(64, 5)), batch)


@healthy("mixer: MLPs over places and over channels", "https://arxiv.org/abs/2105.01601")
def _() -> Problem:
    blocks: list[nn.Module] = []
    for _ in range(3):
        places = [nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)]
        blocks += [Residual(nn.LayerNorm(32), Apply(lambda x: x.mT), *places, Apply(lambda x: x.mT))]
        blocks += [Residual(nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))]
    tail = [nn.LayerNorm(32), Apply(lambda x: x.mean(1)), nn.Linear(32, 5)]
    return on_sequences(draw(nn.Sequential(nn.Embedding(100, 32), *blocks, *tail), glorot))


@healthy("connectionist temporal classification over frames")
def _() -> Problem:
    model = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 10))
    target = torch.randint(1, 10, (8, 5))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        lengths = torch.full((8,), 20), torch.full((8,), 5)
        return functional.ctc_loss(logits.log_softmax(-1).transpose(0, 1), target, *lengths)

    return draw(model, he), torch.randn(8, 20, 12), loss, target
