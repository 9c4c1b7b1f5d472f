"""Faults: transformers, recurrent networks, embeddings."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from doctor.cases import BATCH, TARGET, Problem, fault
from doctor.models import (
    GPT,
    Apply,
    Last,
    Residual,
    SelfAttention,
    TokenClassifier,
    adapted,
    bce,
    block,
    change,
    cross_entropy,
    draw,
    he,
    labels,
    mse,
    on_sequences,
    on_tokens,
    recurrent,
    token_loss,
    tokens,
)

SCALE = {"forward-scale", "parameter-scale"}


# Transformers ---------------------------------------------------------------------------------------------------------


@fault(
    "GPT: tied embedding from N(0, 1)",
    {"first-loss", *SCALE},
    {"tokens.token", "head"},
    "https://github.com/fastai/fastai/pull/2090",
)
def _() -> Problem:
    return on_tokens(change(GPT(), "tokens.token.weight", lambda w: w.normal_()))


@fault("GPT: one output projection x 1000", SCALE, {"blocks.1.1.branch.3"})
def _() -> Problem:
    return on_tokens(change(GPT(), "blocks.1.1.branch.3.weight", lambda w: w.mul_(1000)))


@fault(
    "GPT: attention logits saturated", {"saturated-units", *SCALE}, {"blocks.2.0.branch.1", "blocks.2.0.branch.1.qkv"}
)
def _() -> Problem:
    return on_tokens(change(GPT(), "blocks.2.0.branch.1.qkv.weight", lambda w: w[:128].mul_(100)))


@fault("GPT: final LayerNorm has gamma 0", {"zero-initialized", "lost-input"}, {"norm"})
def _() -> Problem:
    return on_tokens(change(GPT(), "norm.weight", torch.zero_))


@fault("GPT: the MLP's first layer has equal rows", {"equal-units"}, {"blocks.0.1.branch.1"})
def _() -> Problem:
    return on_tokens(change(GPT(), "blocks.0.1.branch.1.weight", lambda w: w.copy_(w[:1].expand_as(w))))


@fault("GPT: softmax before the loss", {"output-activation"}, {"1"})
def _() -> Problem:
    return on_tokens(nn.Sequential(GPT(), nn.Softmax(-1)))


@fault("GPT: untied head from N(0, 1)", {"first-loss", *SCALE}, {"head"})
def _() -> Problem:
    return on_tokens(change(GPT(tied=False), "head.weight", lambda w: w.normal_()))


@fault("GPT: one token is repeated everywhere", {"input-scale", "target-scale", "lost-input"}, {BATCH, TARGET})
def _() -> Problem:
    return on_tokens(GPT(), torch.full((8, 16), 7))


@fault("GPT: NaN in an embedding row that the batch uses", {"not-finite"}, {"tokens.token", "head"})
def _() -> Problem:
    batch = tokens()
    return on_tokens(change(GPT(), "tokens.token.weight", lambda w: w[batch[0, 0]].fill_(math.nan)), batch)


@fault("GPT: positions never written", {"uninitialized"}, {"tokens", "tokens.position"})
def _() -> Problem:
    return on_tokens(change(GPT(), "tokens.position", lambda w: w.fill_(1e-38).view(-1)[::101].fill_(3e16)))


@fault("GPT: one block is frozen", {"frozen"}, {"blocks.2", "blocks.2.*"})
def _() -> Problem:
    model = GPT()
    model.blocks[2].requires_grad_(False)
    return on_tokens(model)


@fault("GPT: embeddings looked up under no_grad", {"no-gradient"}, {"tokens", "tokens.token", "tokens.position"})
def _() -> Problem:
    class Model(GPT):
        def forward(self, ids: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.tokens(ids)
            return self.head(self.norm(self.blocks(x)))

    return on_tokens(Model(tied=False))


@fault("GPT: every branch ten times too large at 24 layers, no normalization", {"forward-scale", "exploding-gradient"})
def _() -> Problem:
    blocks = []
    for _ in range(24):
        blocks.append(Residual(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)))
    return on_tokens(draw(nn.Sequential(nn.Embedding(100, 64), *blocks, nn.Linear(64, 100)), he))


@fault(
    "encoder: MultiheadAttention's input projection x 60",
    {"saturated-units", *SCALE},
    {"encoder.layers.1", "encoder.layers.1.self_attn", "encoder.layers.1.self_attn.*"},
)
def _() -> Problem:
    name = "encoder.layers.1.self_attn.in_proj_weight"
    return on_sequences(change(TokenClassifier(), name, lambda w: w[:128].mul_(60)))


@fault(
    "encoder: a feed-forward layer of zeros in a post-norm block without its shortcut",
    {"zero-initialized", "lost-input"},
    {"2"},
)
def _() -> Problem:
    layers = [nn.Embedding(100, 64), block(64), nn.Linear(64, 64), nn.LayerNorm(64), block(64)]
    model = nn.Sequential(*layers, Apply(lambda x: x.mean(1)), nn.Linear(64, 5))
    return on_sequences(change(model, "2.weight", torch.zero_))


@fault(
    "encoder: scores without scaling and queries of unit size",
    {"saturated-units", *SCALE},
    {"1.branch.1", "1.branch.1.qkv"},
)
def _() -> Problem:
    attention = Residual(nn.LayerNorm(64), SelfAttention(64, heads=1))
    model = nn.Sequential(nn.Embedding(100, 64), attention, Apply(lambda x: x.mean(1)), nn.Linear(64, 5))
    model = change(model, "1.branch.1.qkv.weight", lambda w: w.normal_(0, 1 / 8))
    return on_sequences(change(model, "1.branch.1.qkv.weight", lambda w: w[:64].mul_(64)))


@fault("20 ReLU layers as torch draws them, behind an embedding", {"lost-input", "vanishing-gradient"})
def _() -> Problem:
    layers: list[nn.Module] = []
    for _ in range(20):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    return on_tokens(nn.Sequential(nn.Embedding(100, 64), *layers, nn.Linear(64, 100)))


# Adapters -------------------------------------------------------------------------------------------------------------


@fault(
    "adapters of GPT with both factors zero",
    {"zero-initialized", "no-gradient"},
    {"*qkv", "*.A", "*.B"},
    "https://github.com/Guitaricet/relora/issues/18",
)
def _() -> Problem:
    model = adapted()
    names = [name for name in model.state_dict() if name.endswith(".A")]
    return on_tokens(change(model, " ".join(names), torch.zero_))


@fault("everything is frozen, adapters too", {"frozen", "no-gradient"}, {"*"})
def _() -> Problem:
    return on_tokens(adapted().requires_grad_(False))


# Recurrent ------------------------------------------------------------------------------------------------------------


@fault("LSTM: recurrent weights x 30", {"saturated-units", "exploding-gradient", *SCALE}, {"1", "1.recurrent*"})
def _() -> Problem:
    return on_sequences(change(recurrent(), "1.recurrent.weight_hh_l0", lambda w: w.mul_(30)))


@fault("LSTM: input weights x 50", {"saturated-units", *SCALE}, {"1", "1.recurrent*"})
def _() -> Problem:
    return on_sequences(change(recurrent(), "1.recurrent.weight_ih_l0", lambda w: w.mul_(50)))


@fault(
    "LSTM: output gate biases of -30",
    {"saturated-units", "dead-units", "lost-input", "forward-scale", "parameter-scale"},
    {"1", "1.recurrent*"},
)
def _() -> Problem:
    return on_sequences(change(recurrent(), "1.recurrent.bias_ih_l0", lambda b: b[96:].fill_(-30)))


@fault("GRU: NaN in a recurrent weight", {"not-finite"}, {"1.recurrent", "1.recurrent.*"})
def _() -> Problem:
    return on_sequences(change(recurrent(nn.GRU), "1.recurrent.weight_hh_l0", lambda w: w[0, 0].fill_(math.nan)))


@fault("LSTM: all units of the recurrent layer are equal", {"equal-units"}, {"1", "1.recurrent*"})
def _() -> Problem:
    names = " ".join(f"1.recurrent.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    return on_sequences(change(recurrent(), names, lambda w: w.fill_(0.1)))


@fault(
    "tanh recurrence: orthogonal x 4 over 60 steps",
    {"saturated-units", "exploding-gradient", *SCALE},
    {"0", "0.recurrent*"},
)
def _() -> Problem:
    net: Any = nn.RNN(8, 32, batch_first=True)
    nn.init.orthogonal_(net.weight_hh_l0, gain=4)
    return nn.Sequential(Last(net), nn.Linear(32, 5)), torch.randn(16, 60, 8), cross_entropy, labels(16)


@fault("LSTM: signals from a sensor that reads 0 to 4095", {"input-scale"}, {BATCH})
def _() -> Problem:
    model = nn.Sequential(Last(nn.LSTM(6, 32, batch_first=True)), nn.Linear(32, 1))
    signal = (2048 + 600 * torch.randn(16, 30, 6)).clamp(0, 4095)
    return model, signal, mse, torch.randn(16, 1)


@fault("GRU: regression on raw counts of 30000", {"target-scale"}, {TARGET})
def _() -> Problem:
    model = nn.Sequential(Last(nn.GRU(6, 32, batch_first=True)), nn.Linear(32, 1))
    return model, torch.randn(16, 30, 6), mse, 3e4 + 8e3 * torch.randn(16, 1)


@fault("LSTM: sigmoid before BCE with logits", {"output-activation"}, {"3"})
def _() -> Problem:
    model = nn.Sequential(*recurrent()[:2], nn.Linear(32, 1), nn.Sigmoid())
    return model, tokens(16), bce, labels(16, 2)[:, None].float()


@fault("LSTM: only the head of two is used", {"no-gradient"}, {"second"})
def _() -> Problem:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.first, self.second = recurrent()[:2], nn.Linear(32, 5), nn.Linear(32, 5)

        def forward(self, ids: Tensor) -> Tensor:
            return self.first(self.body(ids))

    return on_sequences(Model())


# Embeddings -----------------------------------------------------------------------------------------------------------


@fault("embedding drawn 300 times too large before an LSTM", {"saturated-units", *SCALE}, {"0", "1", "1.recurrent"})
def _() -> Problem:
    return on_sequences(change(recurrent(), "0.weight", lambda w: w.mul_(300)))


@fault("embedding of zeros", {"zero-initialized", "lost-input", "equal-units"}, {"0"})
def _() -> Problem:
    layers = [nn.Embedding(100, 32), nn.Flatten(), nn.Linear(16 * 32, 64), nn.ReLU(), nn.Linear(64, 5)]
    return on_sequences(change(nn.Sequential(*layers), "0.weight", torch.zero_))


@fault("every row of an embedding is the same", {"equal-units", "lost-input"}, {"0"})
def _() -> Problem:
    layers = [nn.Embedding(100, 32), nn.Flatten(), nn.Linear(16 * 32, 64), nn.ReLU(), nn.Linear(64, 5)]
    return on_sequences(change(nn.Sequential(*layers), "0.weight", lambda w: w.copy_(w[:1].expand_as(w))))


@fault("a head for 100 classes whose bias was left at -20 for all but one", {"first-loss", "parameter-scale"}, {"head"})
def _() -> Problem:
    model = GPT(tied=False)
    model.head = nn.Linear(64, 100)
    return on_tokens(change(model, "head.bias", lambda b: b.fill_(-20)[:1].fill_(0)))


@fault("prediction of the same token everywhere: targets are padding", {"target-scale"}, {TARGET})
def _() -> Problem:
    batch = tokens()
    return GPT(), batch, token_loss, torch.zeros_like(batch)


@fault(
    "rating model with biases of -300 before the sigmoid's logit",
    {"first-loss", "parameter-scale"},
    {"4"},
    "https://github.com/facebookresearch/dlrm/pull/358",
)
def _() -> Problem:
    model = nn.Sequential(nn.EmbeddingBag(100, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    return change(model, "4.bias", lambda b: b.fill_(-300)), tokens(32), bce, labels(32, 2)[:, None].float()
