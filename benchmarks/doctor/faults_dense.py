"""Faults: MLPs on rows of numbers."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from doctor.cases import BATCH, TARGET, Problem, fault
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

SCALE = {"forward-scale", "parameter-scale"}


# One layer ------------------------------------------------------------------------------------------------------------


@fault("one linear layer x 100", SCALE, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", lambda w: w.mul_(100)))


@fault("one linear layer x 0.01", SCALE, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", lambda w: w.mul_(0.01)))


@fault("one linear layer x 0.0001", SCALE, {"2"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "2.weight", lambda w: w.mul_(1e-4)))


@fault("one linear layer x 10000 before BatchNorm: its own updates become negligible", SCALE, {"3"})
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (20, 64, 64):
        layers += [nn.Linear(fan_in, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()]
    return on_rows(change(draw(nn.Sequential(*layers, nn.Linear(64, 5)), he), "3.weight", lambda w: w.mul_(1e4)))


@fault("first layer x 50", SCALE, {"0"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "0.weight", lambda w: w.mul_(50)))


@fault("zero middle layer", {"zero-initialized", "lost-input"}, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", torch.zero_))


@fault("zero weight with random bias", {"zero-initialized", "lost-input"}, {"4"})
def _() -> Problem:
    return on_rows(change(change(deep_mlp(), "4.weight", torch.zero_), "4.bias", lambda b: b.normal_()))


@fault("zero head", {"zero-initialized"}, {"8"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "8.weight", torch.zero_))


@fault("zero head behind a layer x 0.001", SCALE, {"4"})
def _() -> Problem:
    return on_rows(change(change(deep_mlp(), "8.weight", torch.zero_), "4.weight", lambda w: w.mul_(1e-3)))


@fault("equal rows: every unit of a layer is the same", {"equal-units"}, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", lambda w: w.copy_(w[:1].expand_as(w))))


@fault("all weights constant", {"equal-units"}, {"0", "2", "4", "6", "8"})
def _() -> Problem:
    return on_rows(draw(deep_mlp(), lambda w: nn.init.constant_(w, 1 / w.shape[1])))


@fault("units in pairs: a layer widened by repeating its rows", {"equal-units"}, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", lambda w: w.copy_(w[:32].repeat(2, 1))))


@fault("NaN in a weight", {"not-finite"}, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", lambda w: w[3, 7].fill_(math.nan)))


@fault("infinite bias", {"not-finite"}, {"2"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "2.bias", lambda b: b[5].fill_(math.inf)))


@fault("head bias + 10 for one class", {"first-loss", "parameter-scale"}, {"8"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "8.bias", lambda b: b[2].add_(10)))


@fault("last layer x 30: the first loss is far above ln 5", {"first-loss", *SCALE}, {"8"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "8.weight", lambda w: w.mul_(30)))


@fault("memory never written: a layer of 1e18 beside 1e-35", {"uninitialized"}, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", lambda w: w.fill_(1e-35).view(-1)[::97].fill_(1e18)))


@fault("memory never written: denormals everywhere", {"uninitialized"}, {"4"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.weight", lambda w: w.copy_(torch.rand_like(w) * 1e-40)))


# The whole model ------------------------------------------------------------------------------------------------------

SHRINKING = {"forward-scale", "vanishing-gradient"}
GROWING = {"forward-scale", "exploding-gradient"}


@fault("20 ReLU layers as torch draws them", {"lost-input", "vanishing-gradient"})
def _() -> Problem:
    layers: list[nn.Module] = [nn.Linear(20, 64), nn.ReLU()]
    for _ in range(19):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    return on_rows(nn.Sequential(*layers, nn.Linear(64, 5)))


@fault("8 ReLU layers as torch draws them, width 256", {"lost-input", "vanishing-gradient", "forward-scale"})
def _() -> Problem:
    layers: list[nn.Module] = [nn.Linear(20, 256), nn.ReLU()]
    for _ in range(8):
        layers += [nn.Linear(256, 256), nn.ReLU()]
    return on_rows(nn.Sequential(*layers, nn.Linear(256, 5)))


@fault("30 ReLU layers drawn by LeCun", SHRINKING)
def _() -> Problem:
    return on_rows(deep_mlp(30, weight=lecun))


@fault("20 sigmoid layers drawn by Glorot", {"lost-input", "vanishing-gradient", "saturated-units"})
def _() -> Problem:
    return on_rows(deep_mlp(20, nn.Sigmoid, glorot))


@fault("all weights from N(0, 0.01), eight layers", {*SHRINKING, "parameter-scale"})
def _() -> Problem:
    return on_rows(deep_mlp(8, weight=normal(0.01)))


@fault("all weights from N(0, 1), six layers", {*GROWING, "parameter-scale"})
def _() -> Problem:
    return on_rows(deep_mlp(6, weight=normal(1.0)))


@fault("orthogonal with gain 2.5 and leaky ReLU, 15 layers", GROWING)
def _() -> Problem:
    return on_rows(deep_mlp(15, nn.LeakyReLU, lambda weight: nn.init.orthogonal_(weight, gain=2.5)))


@fault("orthogonal tanh with gain 0.5, 15 layers", SHRINKING)
def _() -> Problem:
    return on_rows(deep_mlp(15, nn.Tanh, lambda weight: nn.init.orthogonal_(weight, gain=0.5)))


@fault("He by fan_out where layers widen fast", {"forward-scale", "parameter-scale"})
def _() -> Problem:
    widths = [16, 512, 16, 512, 16, 512, 16, 512, 5]
    model = mlp(*widths)
    for index in range(0, 8, 4):
        change(model, f"{index}.weight", lambda w: nn.init.kaiming_normal_(w, mode="fan_out"))
    return on_rows(model, rows(64, 16))


@fault("16 residual blocks, branches not divided by sqrt(L)", GROWING)
def _() -> Problem:
    blocks = [Residual(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(16)]
    return on_rows(draw(nn.Sequential(nn.Linear(20, 64), *blocks, nn.Linear(64, 5)), he))


@fault("60 layers of BatchNorm and ReLU", {"normalization-explosion"}, source="https://arxiv.org/abs/1902.08129")
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (20, *[64] * 59):
        layers += [nn.Linear(fan_in, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()]
    return on_rows(draw(nn.Sequential(*layers, nn.Linear(64, 5)), he))


# Activations ----------------------------------------------------------------------------------------------------------


@fault("ReLU biases of -5", {"dead-units"}, {"4", "5"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "4.bias", lambda b: b.fill_(-5)))


@fault("three quarters of a layer's ReLUs are dead", {"dead-units"}, {"2", "3"})
def _() -> Problem:
    return on_rows(change(deep_mlp(), "2.bias", lambda b: b[:48].fill_(-12)))


class _Functional(nn.Module):
    """An MLP whose activations are functions, not modules."""

    def __init__(self, function: str, weight: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.function = getattr(torch, function)
        self.first, self.second, self.third = nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 5)
        draw(self, he)
        change(change(self, "second.weight", lambda w: w.mul_(weight)), "second.bias", lambda b: b.fill_(bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.function(self.second(self.function(self.first(x)))))


@fault("functional ReLU behind biases of -30", {"dead-units"}, {"second"})
def _() -> Problem:
    return on_rows(_Functional("relu", bias=-30.0))


@fault("functional tanh, saturated", {"saturated-units", *SCALE}, {"second"})
def _() -> Problem:
    return on_rows(_Functional("tanh", weight=40.0))


@fault("tanh layer x 20", {"saturated-units", *SCALE}, {"4", "5"})
def _() -> Problem:
    return on_rows(change(deep_mlp(4, nn.Tanh, glorot), "4.weight", lambda w: w.mul_(20)))


@fault("all tanh layers x 10", {"saturated-units", *SCALE})
def _() -> Problem:
    return on_rows(draw(deep_mlp(5, nn.Tanh), lambda w: nn.init.xavier_normal_(w, gain=10)))


class _Tanh(nn.Tanh):
    """A subclass, as projects have them."""


@fault("subclass of Tanh, saturated", {"saturated-units", *SCALE}, {"2", "3"})
def _() -> Problem:
    return on_rows(change(deep_mlp(3, _Tanh, glorot), "2.weight", lambda w: w.mul_(30)))


@fault("Hardtanh layer x 30", {"saturated-units", *SCALE}, {"4", "5"})
def _() -> Problem:
    return on_rows(change(deep_mlp(4, nn.Hardtanh, glorot), "4.weight", lambda w: w.mul_(30)))


@fault("ReLU6 with biases of + 20", {"saturated-units"}, {"2", "3"})
def _() -> Problem:
    return on_rows(change(deep_mlp(3, nn.ReLU6), "2.bias", lambda b: b.fill_(20)))


@fault("sigmoid gates with biases of -15", {"saturated-units", "dead-units"}, {"2", "3"})
def _() -> Problem:
    return on_rows(change(deep_mlp(3, nn.Sigmoid, glorot), "2.bias", lambda b: b.fill_(-15)))


@fault("dropout of 0.99", {"dead-units", "forward-scale", "lost-input"}, {"5", "6", "7"})
def _() -> Problem:
    layers = list(deep_mlp())
    return on_rows(nn.Sequential(*layers[:6], nn.Dropout(0.99), *layers[6:]))


# The data -------------------------------------------------------------------------------------------------------------


@fault("inputs from 0 to 255", {"input-scale"}, {BATCH})
def _() -> Problem:
    return on_rows(deep_mlp(), torch.randint(0, 256, (64, 20)).float())


@fault("inputs x 40 + 100", {"input-scale"}, {BATCH})
def _() -> Problem:
    return on_rows(deep_mlp(), rows() * 40 + 100)


@fault("inputs x 0.001", {"input-scale"}, {BATCH})
def _() -> Problem:
    return on_rows(deep_mlp(), rows() * 1e-3)


@fault("one feature x 10000", {"input-scale"}, {BATCH})
def _() -> Problem:
    return on_rows(deep_mlp(), rows() * torch.ones(20).index_fill(0, torch.tensor([3]), 1e4))


@fault("every row of the batch is the same", {"input-scale"}, {BATCH})
def _() -> Problem:
    return on_rows(deep_mlp(), rows(1).expand(64, -1).clone())


@fault("a column of time stamps beside standardized ones", {"input-scale"}, {BATCH})
def _() -> Problem:
    stamps = 1.7e9 + 1e5 * torch.randn(64, 1)
    return on_rows(deep_mlp(), torch.cat([rows(64, 19), stamps], 1))


@fault("NaN in one entry of the batch", {"not-finite"}, {BATCH})
def _() -> Problem:
    return on_rows(deep_mlp(), rows().index_put((torch.tensor([9]), torch.tensor([4])), torch.tensor(math.nan)))


@fault("all labels are the same", {"target-scale"}, {TARGET})
def _() -> Problem:
    return deep_mlp(), rows(), cross_entropy, torch.full((64,), 3)


@fault("regression on prices near 200000", {"target-scale"}, {TARGET})
def _() -> Problem:
    return mlp(20, 64, 64, 1), rows(), mse, 2e5 + 5e4 * torch.randn(64, 1)


@fault("regression on years", {"target-scale"}, {TARGET})
def _() -> Problem:
    return mlp(20, 64, 64, 1), rows(), mse, 1990 + 10 * torch.randn(64, 1)


@fault("binary targets from 0 to 255", {"target-scale"}, {TARGET})
def _() -> Problem:
    return mlp(20, 64, 64, 1), rows(), bce, 255 * labels(64, 2)[:, None].float()


@fault("NaN in a regression target", {"not-finite", "target-scale"}, {TARGET})
def _() -> Problem:
    target = torch.randn(64, 1)
    target[5] = math.nan
    return mlp(20, 64, 64, 1), rows(), mse, target


# The output -----------------------------------------------------------------------------------------------------------


@fault("softmax before cross-entropy", {"output-activation"}, {"9"})
def _() -> Problem:
    return on_rows(nn.Sequential(*deep_mlp(), nn.Softmax(1)))


@fault("softmax over the batch before cross-entropy", {"output-activation"}, {"9"})
def _() -> Problem:
    return on_rows(nn.Sequential(*deep_mlp(), nn.Softmax(0)))


@fault("functional softmax before cross-entropy", {"output-activation"}, {"", "0", "0.8", "1"})
def _() -> Problem:
    return on_rows(nn.Sequential(deep_mlp(), Apply(lambda x: functional.softmax(x, 1))))


@fault("sigmoid before BCE with logits", {"output-activation"}, {"5"})
def _() -> Problem:
    return nn.Sequential(*mlp(20, 64, 64, 1), nn.Sigmoid()), rows(), bce, labels(64, 2)[:, None].float()


@fault("ReLU on the logits", {"output-activation"}, {"9"})
def _() -> Problem:
    return on_rows(nn.Sequential(*deep_mlp(), nn.ReLU()))


@fault("ReLU on the output of a regression with targets of both signs", {"output-activation"}, {"5"})
def _() -> Problem:
    x = rows()
    return nn.Sequential(*mlp(20, 64, 64, 1), nn.ReLU()), x, mse, (x[:, :1] + x[:, 1:2]) / math.sqrt(2)


@fault("negative log-likelihood of raw logits", {"output-activation", "first-loss"}, {"8"})
def _() -> Problem:
    return deep_mlp(), rows(), functional.nll_loss, labels()


# Parameters that do not learn -----------------------------------------------------------------------------------------


class _Branches(nn.Module):
    """Two branches side by side; the second may be detached."""

    def __init__(self, detach: bool) -> None:
        super().__init__()
        self.detach = detach
        self.left, self.right, self.head = mlp(20, 64, 64), mlp(20, 64, 64), nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        right = self.right(x).detach() if self.detach else self.right(x)
        return self.head(torch.cat([self.left(x), right], 1))


@fault("a branch is detached", {"no-gradient"}, {"right", "right.0", "right.2"})
def _() -> Problem:
    return on_rows(_Branches(detach=True))


@fault("a layer is never called", {"no-gradient"}, {"unused"})
def _() -> Problem:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.unused = deep_mlp(), nn.Linear(64, 64)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    return on_rows(Model())


@fault("a parameter that is used under no_grad", {"no-gradient"}, {"scale", ""})
def _() -> Problem:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.scale = deep_mlp(), nn.Parameter(torch.ones(5))

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                scale = self.scale * 1.0
            return self.body(x) * scale

    return on_rows(Model())


@fault("one layer is frozen", {"frozen"}, {"4"})
def _() -> Problem:
    model = deep_mlp()
    model[4].requires_grad_(False)
    return on_rows(model)


@fault("everything is frozen", {"frozen", "no-gradient"}, {"*"})
def _() -> Problem:
    return on_rows(deep_mlp().requires_grad_(False))


@fault(
    "both factors of the adapters are zero",
    {"zero-initialized", "no-gradient"},
    {"0", "2", "4", "*.A", "*.B"},
    "https://github.com/Guitaricet/relora/issues/18",
)
def _() -> Problem:
    model = draw(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)), he)
    model = nn.Sequential(*[LowRank(m) if isinstance(m, nn.Linear) else m for m in model])
    return on_rows(change(model, "0.A 2.A 4.A", torch.zero_))


@fault("bias before BatchNorm", {"bias-before-norm"}, {"0", "3", "6"})
def _() -> Problem:
    layers: list[nn.Module] = []
    for fan_in in (20, 64, 64):
        layers += [nn.Linear(fan_in, 64), nn.BatchNorm1d(64), nn.ReLU()]
    return on_rows(draw(nn.Sequential(*layers, nn.Linear(64, 5)), he))


# A scheme that suits no layer -----------------------------------------------------------------------------------------


def uniform(weight: Tensor) -> None:
    """What ``nn.init.uniform_(weight)`` does without bounds."""
    nn.init.uniform_(weight)


@fault("10 ReLU layers and the head: uniform_ without bounds, from 0 to 1", {"forward-scale", "parameter-scale"})
def _() -> Problem:
    return on_rows(deep_mlp(10, weight=uniform))


@fault("3 ReLU layers and the head: uniform_ without bounds", {"forward-scale", "parameter-scale", "first-loss"})
def _() -> Problem:
    return on_rows(deep_mlp(3, weight=uniform))
