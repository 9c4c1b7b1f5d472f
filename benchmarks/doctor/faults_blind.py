"""Faults: bugs people write, in many kinds of models; written without sight of any rule."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from doctor.cases import BATCH, TARGET, Problem, fault
from doctor.models import (
    Apply,
    LayerScale,
    LowRank,
    Residual,
    bce,
    change,
    cross_entropy,
    deep_mlp,
    draw,
    glorot,
    he,
    images,
    labels,
    mlp,
    normal,
    on_rows,
    pixels,
    rows,
    settle,
)
from doctor.models_blind import (
    Base,
    actor_critic,
    alex,
    causal,
    conv_vae,
    critic,
    edges,
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

SCALE = {"forward-scale", "parameter-scale"}


def edit(problem: Base, names: str, how: Callable[[Tensor], object]) -> Base:
    """Edit parameters of a problem's model."""
    return change(problem[0], names, how), *problem[1:]


def feed(problem: Base, how: Callable[[Any], Any]) -> Base:
    """Change a problem's batch."""
    return problem[0], how(problem[1]), *problem[2:]


def aim(problem: Base, how: Callable[[Any], Any]) -> Base:
    """Change a problem's target."""
    return *problem[:3], how(problem[3])


def swap(problem: Base, **methods: Any) -> Base:
    """Give the model other submodules or functions under the names of its own."""
    for name, value in methods.items():
        setattr(problem[0], name, value)
    return problem


def redraw(problem: Base, weight: Callable[[Tensor], object]) -> Base:
    """Draw all linear layers and convolutions anew."""
    return draw(problem[0], weight), *problem[1:]


# Wrong calls of an initializer ---------------------------------------------------------------------------------------


@fault("AlexNet: normal_ without std in the second convolution", SCALE, {"conv2"})
def _() -> Problem:
    return edit(alex(), "conv2.weight", nn.init.normal_)


@fault("AlexNet: uniform_ without bounds in the first linear layer", SCALE, {"fc1"})
def _() -> Problem:
    return edit(alex(), "fc1.weight", nn.init.uniform_)


@fault("AlexNet: uniform_(w, -0.1), whose upper bound stays 1, in the last hidden layer", SCALE, {"fc2"})
def _() -> Problem:
    return edit(alex(), "fc2.weight", lambda w: nn.init.uniform_(w, -0.1))


@fault("AlexNet: everything N(0, 0.01), without normalization", {*SCALE, "vanishing-gradient"}, None)
def _() -> Problem:
    return redraw(alex(), normal(0.01))


@fault("AlexNet: std = 1 / fan_in instead of its root, everywhere", {*SCALE, "vanishing-gradient"}, None)
def _() -> Problem:
    return redraw(alex(), lambda w: nn.init.normal_(w, std=1 / w[0].numel()))


@fault("AlexNet: std = sqrt(fan_in / 2), the fraction upside down, in one convolution", SCALE, {"conv3"})
def _() -> Problem:
    return edit(alex(), "conv3.weight", lambda w: nn.init.normal_(w, std=math.sqrt(w[0].numel() / 2)))


@fault("AlexNet: the head N(0, 1)", {*SCALE, "first-loss"}, {"head"})
def _() -> Problem:
    return edit(alex(), "head.weight", nn.init.normal_)


@fault("AlexNet: variance passed as std, 2 / fan_in, in the first linear layer", SCALE, {"fc1"})
def _() -> Problem:
    return edit(alex(), "fc1.weight", lambda w: nn.init.normal_(w, std=2 / w.shape[1]))


@fault(
    "depthwise convolutions drawn by fan_out, which ignores the groups", {*SCALE, "vanishing-gradient"}, {"depth.*", ""}
)
def _() -> Problem:
    names = " ".join(f"depth.{i}.weight" for i in range(4))
    return edit(mobile(), names, lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"))


@fault(
    "stem drawn by dirac_: 3 of its 32 filters are not zero",
    {"zero-initialized", "dead-units", "equal-units"},
    {"stem"},
)
def _() -> Problem:
    return edit(mobile(), "stem.weight", nn.init.dirac_)


@fault("gain of tanh 5/3 squared by mistake in 12 ReLU layers", {*SCALE, "exploding-gradient", "first-loss"}, None)
def _() -> Problem:
    model = mlp(20, *[64] * 12, 5)
    return on_rows(draw(model, lambda w: nn.init.xavier_normal_(w, gain=25 / 9)))


@fault("orthogonal with the policy's gain 0.01 in the trunk too", {*SCALE, "vanishing-gradient"}, {"fc1", "fc2", ""})
def _() -> Problem:
    return edit(actor_critic(), "fc1.weight fc2.weight", lambda w: nn.init.orthogonal_(w, 0.01))


@fault("value head of an actor N(0, 10)", {*SCALE, "first-loss"}, {"value"})
def _() -> Problem:
    return edit(actor_critic(), "value.weight", normal(10))


@fault(
    "recurrent and input weights N(0, 1) in an LSTM",
    {*SCALE, "saturated-units", "exploding-gradient"},
    {"rnn", "rnn.*"},
)
def _() -> Problem:
    return edit(forecast(), "rnn.weight_hh_l0 rnn.weight_ih_l0", nn.init.normal_)


@fault(
    "recurrent weights of a tanh RNN N(0, 0.01): the first step is forgotten",
    {*SCALE, "vanishing-gradient", "lost-input"},
    {"rnn", "rnn.*"},
)
def _() -> Problem:
    return edit(remember(), "rnn.weight_hh_l0", normal(0.01))


@fault(
    "ReLU recurrence of 1.8 times orthogonal over 30 steps",
    {*SCALE, "exploding-gradient", "first-loss"},
    {"rnn", "rnn.*"},
)
def _() -> Problem:
    return edit(remember(length=30, nonlinearity="relu"), "rnn.weight_hh_l0", lambda w: w.mul_(1.8))


@fault(
    "forget gates with a bias of -5",
    {"saturated-units", "vanishing-gradient", "lost-input", "parameter-scale"},
    {"rnn", "rnn.*"},
)
def _() -> Problem:
    return edit(remember(nn.LSTM, length=8), "rnn.bias_hh_l0", lambda b: b[32:64].fill_(-5))


@fault(
    "embedding N(0, 1) and times sqrt(width) as well, in a pre-norm model of small branches",
    {*SCALE, "vanishing-gradient"},
    {"token", "blocks*", ""},
)
def _() -> Problem:
    return edit(language(layers=6, width=128), "token.weight", nn.init.normal_)


@fault("embedding N(0, 1) tied to the head", {*SCALE, "first-loss"}, {"head", "token", ""})
def _() -> Problem:
    model, *rest = language()
    model.head.weight = model.token.weight
    return change(model, "token.weight", nn.init.normal_), *rest


@fault("embedding of constants", {"equal-units", "lost-input"}, {"embedding"})
def _() -> Problem:
    return edit(pool(), "embedding.weight", lambda w: nn.init.constant_(w, 0.1))


@fault(
    "embedding N(0, 0.02) without its factor sqrt(width): the waves drown it",
    {*SCALE, "lost-input"},
    {"token", "positions", ""},
)
def _() -> Problem:
    return swap(edit(language(), "token.weight", normal(0.02)), scale=1.0)


@fault(
    "attention multiplies by sqrt(d) instead of dividing, in all blocks",
    {"saturated-units", "forward-scale"},
    {"blocks*", ""},
)
def _() -> Problem:
    problem = redraw(language(), normal(0.125))
    for block in problem[0].blocks:
        block.attention.scale = 16.0
    return problem


@fault("constant filters in two convolutions of the third block", {"equal-units"}, {"blocks.2.conv2", "blocks.2.conv3"})
def _() -> Problem:
    return edit(resnet50(), "blocks.2.conv2.weight blocks.2.conv3.weight", lambda w: nn.init.constant_(w, 0.1))


@fault("all layers ones times 0.05 in a table's network", {"equal-units"}, {"fc1", "fc2", ""})
def _() -> Problem:
    return edit(tabular(), "fc1.weight fc2.weight", lambda w: nn.init.constant_(w, 0.05))


@fault("ensemble of deep copies: all members learn the same", {"equal-units"}, {"members*", ""})
def _() -> Problem:
    problem = ensemble()
    first = problem[0].members[0]
    return swap(problem, members=nn.ModuleList(copy.deepcopy(first) for _ in range(4)))


@fault("attention heads copied from one", {"equal-units"}, {"blocks.0.attention*"})
def _() -> Problem:
    names = [f"blocks.0.attention.{part}.weight" for part in ("query", "key", "value")]
    problem = edit(language(), " ".join(names), lambda w: w.copy_(w[:16].repeat(4, 1)))
    return edit(problem, "blocks.0.attention.out.weight", lambda w: w.copy_(w[:, :16].repeat(1, 4)))


@fault("half of the hidden units copied while widening, the way out as well", {"equal-units"}, {"fc1", "fc2"})
def _() -> Problem:
    problem = edit(alex(), "fc1.weight", lambda w: w[32:].copy_(w[:32]))
    return edit(problem, "fc2.weight", lambda w: w[:, 32:].copy_(w[:, :32]))


@fault("zeros in the first layer", {"zero-initialized", "lost-input"}, {"fc1"})
def _() -> Problem:
    return edit(tabular(norm=False), "fc1.weight", nn.init.zeros_)


@fault(
    "zeros in the last convolution and in the gate before it",
    {"zero-initialized", "no-gradient"},
    {"1", "1.*"},
)
def _() -> Problem:
    class Gated(Residual):
        """ReZero's gate around a branch."""

        def __init__(self, *branch: nn.Module) -> None:
            super().__init__(*branch)
            self.gate = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gate * self.branch(x)

    blocks = [Gated(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(3)]
    model = nn.Sequential(nn.Linear(20, 64), *blocks, nn.Linear(64, 5))
    return on_rows(change(model, "1.branch.2.weight 1.branch.2.bias", nn.init.zeros_))


@fault("both factors of an adapter zero", {"zero-initialized", "no-gradient"}, {"2*"})
def _() -> Problem:
    model = deep_mlp(2)
    model[2] = LowRank(model[2])
    return on_rows(change(model, "2.A", nn.init.zeros_))


@fault("gamma of zero without a shortcut", {"zero-initialized", "lost-input"}, {"norm1"})
def _() -> Problem:
    return edit(tabular(), "norm1.weight", nn.init.zeros_)


@fault("layer scale of 1e-4 on a path without a shortcut", SCALE, {"2", "3", "1"})
def _() -> Problem:
    return on_rows(nn.Sequential(mlp(20, 64, 64), nn.ReLU(), LayerScale(64, 1e-4), mlp(64, 64, 5)))


# Memory that was never written ---------------------------------------------------------------------------------------


def stale(weight: Tensor) -> None:
    """What torch.empty may hold: pieces of old floats, small whole numbers and addresses."""
    bits = torch.randint(0, 2**31 - 2**24, weight.shape, dtype=torch.int32)
    bits[torch.rand(weight.shape) < 0.6] %= 4096
    weight.copy_(bits.view(torch.float32).clamp(-1e30, 1e30))


UNWRITTEN = {"uninitialized", "parameter-scale", "not-finite"}


@fault("a learned vector of torch.empty, in the first layer's bias", UNWRITTEN, {"fc1"})
def _() -> Problem:
    return edit(tabular(norm=False), "fc1.bias", stale)


@fault("a projection of torch.empty in the last block", UNWRITTEN, {"blocks.2.attention.out"})
def _() -> Problem:
    return edit(language(), "blocks.2.attention.out.weight", stale)


@fault("a temperature of torch.empty: next to nothing", {*UNWRITTEN, "zero-initialized"}, {"logit_scale", ""})
def _() -> Problem:
    class Tempered(nn.Module):
        """Logits times a learned vector."""

        def __init__(self) -> None:
            super().__init__()
            self.body, self.logit_scale = deep_mlp(2), nn.Parameter(torch.full((5,), 4.5e-41))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) * self.logit_scale

    return on_rows(Tempered())


# The batch -----------------------------------------------------------------------------------------------------------


@fault("AlexNet on pixels from 0 to 255", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(alex(), lambda _: pixels())


@fault("pixels divided by 255 twice", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(alex(), lambda _: pixels() / 255**2)


@fault("mean and deviation of ImageNet applied to pixels from 0 to 255", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(alex(), lambda _: (pixels() - 0.45) / 0.226)


@fault("images whose mean was added instead of subtracted: 20, deviation 1", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(alex(), lambda x: x + 20)


@fault("a table with a column of incomes", {"input-scale"}, {BATCH})
def _() -> Problem:
    def income(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        numbers = batch["numbers"].clone()
        numbers[:, 3] = 40000 + 15000 * numbers[:, 3]
        return {**batch, "numbers": numbers}

    return feed(tabular(norm=False), income)


@fault("a table with a column of years", {"input-scale"}, {BATCH})
def _() -> Problem:
    def year(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        numbers = batch["numbers"].clone()
        numbers[:, 0] = 2010 + 5 * numbers[:, 0]
        return {**batch, "numbers": numbers}

    return feed(tabular(norm=False), year)


@fault("missing values written as -999", {"input-scale"}, {BATCH})
def _() -> Problem:
    def missing(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**batch, "numbers": batch["numbers"].masked_fill(torch.rand(64, 8) < 0.1, -999)}

    return feed(tabular(norm=False), missing)


@fault("missing values left as NaN", {"not-finite"}, {BATCH})
def _() -> Problem:
    return feed(tabular(), lambda b: {**b, "numbers": b["numbers"].masked_fill(torch.rand(64, 8) < 0.05, math.nan)})


@fault("logarithm of a spectrogram with silent frames: minus infinity", {"not-finite"}, {BATCH})
def _() -> Problem:
    return feed(speech(), lambda x: x.exp().masked_fill(torch.rand(8, 1, 30) < 0.1, 0).log())


@fault("the dataset returns its first row each time", {"input-scale", "lost-input"}, {BATCH})
def _() -> Problem:
    return on_rows(deep_mlp(), rows(1).repeat(64, 1))


@fault("prices of thousands into an LSTM", {"input-scale", "saturated-units"}, {BATCH, "rnn"})
def _() -> Problem:
    return feed(forecast(), lambda x: 3000 + 400 * x)


@fault("waves of 16 bits, not divided by 32768, into a temporal network", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(causal(), lambda x: (x * 6000).round())


@fault("features of 1e-3 into a siamese network", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(siamese(), lambda x: tuple(1e-3 * part for part in x))


@fault("unscaled node features: counts of words of hundreds", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(graph(), lambda x: ((x[0] * 150 + 300).clamp(0), x[1]))


@fault("observations of a simulator, in degrees and millimeters", {"input-scale", "saturated-units"}, {BATCH})
def _() -> Problem:
    return feed(actor_critic(), lambda x: x * torch.tensor([180.0, 180, 180, 1000, 1000, 1000] * 2))


# The target ----------------------------------------------------------------------------------------------------------


@fault("prices of houses as targets", {"target-scale", "first-loss"}, {TARGET})
def _() -> Problem:
    return aim(tabular(), lambda y: 250000 + 80000 * y)


@fault("temperatures in kelvin as targets", {"target-scale", "first-loss"}, {TARGET})
def _() -> Problem:
    return aim(tabular(), lambda y: 288 + 8 * y)


@fault("daily returns of 1e-3 as targets", {"target-scale", "first-loss"}, {TARGET})
def _() -> Problem:
    return aim(forecast(), lambda y: 1e-3 * y)


@fault("returns of thousands beside a policy", {"target-scale", "first-loss"}, {TARGET})
def _() -> Problem:
    return aim(actor_critic(), lambda y: (y[0], 2000 + 700 * y[1]))


@fault("masks from 0 to 255", {"target-scale"}, {TARGET})
def _() -> Problem:
    return aim(multitask(), lambda y: {**y, "mask": 255 * y["mask"]})


@fault("sorted data: a batch of one class", {"target-scale"}, {TARGET})
def _() -> Problem:
    return aim(alex(), torch.zeros_like)


@fault("images from 0 to 255 as targets of binary cross-entropy", {"target-scale"}, {TARGET})
def _() -> Problem:
    return aim(conv_vae(), lambda y: y * 255)


# The head and the loss -----------------------------------------------------------------------------------------------


def capped(problem: Base, name: str, cap: nn.Module) -> Base:
    """Put a layer behind one of the model's."""
    return swap(problem, **{name: nn.Sequential(getattr(problem[0], name), cap)})


@fault("softmax before cross-entropy", {"output-activation"}, {"head*", ""})
def _() -> Problem:
    return capped(alex(), "head", nn.Softmax(1))


@fault("softmax as a function before cross-entropy", {"output-activation"}, {"", "fc", "fc.1"})
def _() -> Problem:
    return capped(resnet50(), "fc", Apply(lambda x: x.softmax(1)))


@fault("sigmoid before binary cross-entropy with logits, in one head of three", {"output-activation"}, {"mask*", ""})
def _() -> Problem:
    return capped(multitask(), "mask", nn.Sigmoid())


@fault("ReLU after the last layer of a regression", {"output-activation", "dead-units"}, {"head*", ""})
def _() -> Problem:
    return capped(tabular(), "head", nn.ReLU())


@fault("ReLU after the last layer of a classifier", {"output-activation", "dead-units"}, {"head*", ""})
def _() -> Problem:
    return capped(alex(), "head", nn.ReLU())


@fault(
    "tanh at the end, targets from -12 to 12",
    {"output-activation", "target-scale", "saturated-units"},
    {"head*", TARGET, ""},
)
def _() -> Problem:
    return aim(capped(tabular(), "head", nn.Tanh()), lambda y: 5 * y)


@fault("sigmoid at the end, standardized targets", {"output-activation"}, {"head*", ""})
def _() -> Problem:
    return capped(forecast(), "head", nn.Sigmoid())


@fault("softmax over a single logit", {"output-activation", "lost-input", "no-gradient"}, {"0*", "1", ""})
def _() -> Problem:
    model = nn.Sequential(mlp(20, 64, 64, 1), nn.Softmax(1), nn.Flatten(0))
    return model, rows(), functional.binary_cross_entropy, torch.arange(64).remainder(2).float()


@fault("negative log-likelihood of raw logits", {"output-activation", "first-loss"}, None)
def _() -> Problem:
    model, batch, _, target = alex()
    return model, batch, functional.nll_loss, target


@fault("log-softmax over the batch instead of the classes", {"output-activation", "first-loss", "lost-input"}, None)
def _() -> Problem:
    model, batch, _, target = alex()
    return nn.Sequential(model, nn.LogSoftmax(0)), batch, functional.nll_loss, target


@fault("sigmoid under the hinge loss of a critic", {"output-activation"}, None)
def _() -> Problem:
    model, *rest = critic()
    return nn.Sequential(model, nn.Sigmoid()), *rest


@fault(
    "the temperature itself is stored where its logarithm is expected",
    {"first-loss", *SCALE, "saturated-units"},
    {"logit_scale", ""},
)
def _() -> Problem:
    return edit(towers(), "logit_scale", lambda w: w.fill_(10))


@fault("the log odds of a rare class with the wrong sign", {"first-loss", "parameter-scale"}, {"4"})
def _() -> Problem:
    target = (torch.arange(64) < 2).float()
    model = nn.Sequential(*mlp(20, 64, 64, 1), nn.Flatten(0))
    return change(model, "4.bias", lambda b: b.fill_(math.log(62 / 2))), rows(), bce, target


@fault(
    "the last bias holds the counts of the classes, not their logarithms",
    {"first-loss", "parameter-scale"},
    {"head"},
)
def _() -> Problem:
    return edit(alex(), "head.bias", lambda b: b.copy_(torch.tensor([60.0, 3, 9, 12, 16])))


# Activations ---------------------------------------------------------------------------------------------------------


@fault("biases of -3 in the second layer of a table's network", {"dead-units", "parameter-scale"}, {"fc2"})
def _() -> Problem:
    return edit(tabular(norm=False), "fc2.bias", lambda b: b.fill_(-3))


@fault(
    "biases of -1 in all convolutions of a small-scale net",
    {"dead-units", "parameter-scale"},
    {"depth.*", "point.*", "stem", ""},
)
def _() -> Problem:
    names = " ".join(f"{part}.{i}.bias" for part in ("depth", "point") for i in range(4))
    return edit(mobile(), names, lambda b: b.fill_(-1))


@fault("shift of -4 after BatchNorm, before ReLU", {"dead-units", "parameter-scale"}, {"norm2"})
def _() -> Problem:
    return edit(tabular(), "norm2.bias", lambda b: b.fill_(-4))


@fault("a constraint with the wrong sign: all weights of a layer behind ReLU are negative", {"dead-units"}, {"fc2"})
def _() -> Problem:
    return edit(alex(), "fc2.weight", lambda w: w.copy_(-w.abs()))


@fault("eight sigmoid layers drawn by Glorot", {"vanishing-gradient", "forward-scale", "lost-input"}, None)
def _() -> Problem:
    return on_rows(deep_mlp(8, nn.Sigmoid, glorot))


@fault(
    "gate of -12 on the only path",
    {"saturated-units", "parameter-scale", "forward-scale", "vanishing-gradient"},
    {"2", "3"},
)
def _() -> Problem:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 128), nn.GLU(), nn.Linear(64, 5))
    return on_rows(change(model, "2.bias", lambda b: b[64:].fill_(-12)))


@fault("ReLU twice in a row with the sign turned between", {"dead-units", "lost-input"}, {"3", "4", "2", "1"})
def _() -> Problem:
    layers = [nn.Linear(20, 64), nn.ReLU(), Apply(torch.neg), nn.ReLU(), nn.Linear(64, 5)]
    return on_rows(nn.Sequential(*layers))


# Gradients that do not arrive ----------------------------------------------------------------------------------------


@fault("features are detached before the linear layers", {"no-gradient"}, {"conv*", ""})
def _() -> Problem:
    model, *rest = alex()
    features = model.features
    return swap((model, *rest), features=lambda x: features(x).detach())


@fault("an encoder under no_grad beside its head", {"no-gradient"}, {"0", "0.*"})
def _() -> Problem:
    return on_rows(nn.Sequential(_Silent(mlp(20, 64, 64)), nn.ReLU(), nn.Linear(64, 5)))


@fault("codes are rounded without a straight-through gradient", {"no-gradient"}, {"0", "0.*", "1"})
def _() -> Problem:
    return on_rows(nn.Sequential(mlp(20, 64, 64), Apply(torch.round), mlp(64, 64, 5)))


@fault("one head serves two tasks, the other none", {"no-gradient"}, {"value"})
def _() -> Problem:
    class Confused(type(multitask()[0])):  # type: ignore[misc]
        """The number is read from the label's head."""

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            x = self.trunk(x)
            pooled = x.mean((2, 3))
            return {"label": self.label(pooled), "value": self.label(pooled)[:, 0], "mask": self.mask(x)}

    _, *rest = multitask()
    return Confused(), *rest


@fault("a head is frozen and the trunk is not", {"frozen"}, {"head"})
def _() -> Problem:
    problem = alex()
    problem[0].head.requires_grad_(False)
    return problem


@fault("blocks stay frozen after fine-tuning", {"frozen"}, {"blocks.0*", "blocks.1*", "blocks.0", "blocks.1"})
def _() -> Problem:
    problem = language()
    problem[0].blocks[:2].requires_grad_(False)
    return problem


@fault(
    "attention weights from a softmax over one score",
    {"no-gradient", "vanishing-gradient", "saturated-units"},
    {"score", ""},
)
def _() -> Problem:
    problem = pool()
    score = problem[0].score
    return swap(problem, weights=lambda x, mask: score(x.tanh()).softmax(2) * mask[:, :, None] / 12)


@fault("the mean over the batch instead of time", {"lost-input"}, None)
def _() -> Problem:
    model, batch, *rest = alex()
    features = model.features
    return swap((model, batch, *rest), features=lambda x: features(x).mean(0, keepdim=True).expand(len(x), -1))


@fault("the last state behind forty steps of padding", {"lost-input", "vanishing-gradient"}, None)
def _() -> Problem:
    return feed(remember(nn.GRU, length=6), lambda x: torch.cat([x, torch.zeros(32, 40, 4)], 1))


@fault("the padding mask the wrong way round", {"lost-input", "not-finite"}, None)
def _() -> Problem:
    def wrong(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        ids, mask = batch
        return functional.pad(ids, (0, 2)), ~functional.pad(mask, (0, 2))

    return feed(pool(), wrong)


@fault("LayerNorm over a last dimension of one", {"lost-input", "normalization-explosion"}, {"0", "1"})
def _() -> Problem:
    model = nn.Sequential(nn.Unflatten(1, (20, 1)), nn.LayerNorm(1), nn.Linear(1, 16), nn.ReLU(), nn.Flatten())
    return on_rows(nn.Sequential(*model, nn.Linear(320, 5)))


@fault("dropout with the share to keep, 1.0", {"lost-input", "no-gradient", "dead-units"}, {"2", "1"})
def _() -> Problem:
    return on_rows(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(1.0), nn.Linear(64, 64), nn.Linear(64, 5)))


# Depth ---------------------------------------------------------------------------------------------------------------


@fault(
    "24 residual blocks without normalization, branches at full scale",
    {*SCALE, "exploding-gradient", "first-loss"},
    None,
)
def _() -> Problem:
    blocks = [Residual(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(24)]
    return on_rows(draw(nn.Sequential(nn.Linear(20, 64), *blocks, nn.Linear(64, 5)), he))


@fault(
    "40 ReLU layers as torch draws them, no shortcut",
    {"vanishing-gradient", "lost-input", "forward-scale", "parameter-scale"},
    None,
)
def _() -> Problem:
    hidden = [part for _ in range(39) for part in (nn.Linear(64, 64), nn.ReLU())]
    return on_rows(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), *hidden, nn.Linear(64, 5)))


@fault(
    "24 ReLU layers drawn by Glorot's uniform rule",
    {"vanishing-gradient", "forward-scale", "parameter-scale", "lost-input"},
    None,
)
def _() -> Problem:
    return on_rows(mlp(20, *[64] * 24, 5, weight=glorot))


@fault("40 BatchNorm layers without a shortcut", {"normalization-explosion", "exploding-gradient"}, None)
def _() -> Problem:
    layers: list[nn.Module] = [nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU()]
    for _ in range(39):
        layers += [nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
    return on_rows(nn.Sequential(*layers, nn.Linear(64, 5)))


@fault(
    "30 convolutions with BatchNorm in a row, as in a VGG made too deep",
    {"normalization-explosion", "exploding-gradient"},
    None,
)
def _() -> Problem:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()]
    for _ in range(29):
        layers += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    return draw(model, he), images(8, size=8), cross_entropy, labels(8)


@fault("sums over a dense graph instead of means", {"forward-scale", "exploding-gradient", "first-loss"}, None)
def _() -> Problem:
    return feed(graph(), lambda x: (x[0], edges(share=0.5)))


@fault("the stream is doubled: x + x + branch", {"forward-scale", "exploding-gradient", "first-loss"}, None)
def _() -> Problem:
    blocks = [Residual(nn.LayerNorm(64), nn.Linear(64, 64), shortcut=Apply(lambda x: x + x)) for _ in range(14)]
    return on_rows(nn.Sequential(nn.Linear(20, 64), *blocks, nn.Linear(64, 5)))


# Normalization -------------------------------------------------------------------------------------------------------

RUNNING = {"running-statistics"}


@fault("weights loaded without the running statistics, in eval mode", RUNNING, {"norm", "blocks*", ""})
def _() -> Problem:
    problem = feed(resnet50(), lambda x: x * 60 + 128)
    problem[0].eval()
    return problem


@fault("a target network whose BatchNorm was not synchronized", RUNNING, {"norm1", "norm2"})
def _() -> Problem:
    model, batch, *rest = tabular()
    change(model, "fc1.weight fc2.weight", lambda w: w.mul_(6))
    return model.eval(), batch, *rest


@fault("NaN in one running mean, from a bad batch long ago", {*RUNNING, "not-finite"}, {"blocks.1.norm1"})
def _() -> Problem:
    model, batch, *rest = resnet50()
    settle(model, batch)
    return change(model, "blocks.1.norm1.running_mean", lambda b: b[0].fill_(math.nan)), batch, *rest


@fault("running variances replaced by deviations on the way from another library", RUNNING, {"norm", "blocks*"})
def _() -> Problem:
    model, batch, *rest = feed(resnet50(), lambda x: x * 60 + 128)
    return change(settle(model, batch), "norm.running_var", lambda b: b.sqrt_()), batch, *rest


@fault("running means and variances swapped while loading", RUNNING, {"norm", "blocks*"})
def _() -> Problem:
    model, batch, *rest = feed(resnet50(), lambda x: x * 60 + 128)
    settle(model, batch)
    mean, variance = model.norm.running_mean.clone(), model.norm.running_var.clone()
    model.norm.running_mean, model.norm.running_var = variance, mean.abs()
    return model, batch, *rest


@fault("momentum of zero: the statistics never move", RUNNING, {"norm1", "norm2"})
def _() -> Problem:
    problem = edit(tabular(), "fc1.weight", lambda w: w.mul_(4))
    problem[0].norm1.momentum = problem[0].norm2.momentum = 0.0
    return problem


@fault("BatchNorm on a batch of two rows", {"small-batch"}, {"norm1", "norm2", BATCH})
def _() -> Problem:
    return tabular(count=2)


@fault("BatchNorm over two images of one pixel each", {"small-batch"}, {"6", BATCH})
def _() -> Problem:
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    layers += [nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)]
    return nn.Sequential(*layers), images(2), cross_entropy, labels(2)


@fault("convolution biases before BatchNorm in a whole ResNet", {"bias-before-norm"}, {"stem", "blocks.*"})
def _() -> Problem:
    return resnet50(bias=True)


@fault("one forgotten bias before BatchNorm in a speech model", {"bias-before-norm"}, {"conv1"})
def _() -> Problem:
    return swap(speech(), conv1=nn.Conv1d(20, 32, 3, padding=1))


# Numbers that are none -----------------------------------------------------------------------------------------------


class InHalf(nn.Module):
    """RMSNorm whose squares are taken in half precision."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        half = x.half()
        return (half * (half * half).mean(-1, keepdim=True).rsqrt()).float() * self.weight


@fault(
    "RMSNorm squares activations of hundreds in half precision: infinity, then zeros",
    {"lost-input", "not-finite", "forward-scale", "no-gradient"},
    {"1", "2", "3"},
)
def _() -> Problem:
    return on_rows(
        nn.Sequential(nn.Linear(20, 64), nn.Hardtanh(-1, 1), Apply(lambda x: 900 * x), InHalf(64), nn.Linear(64, 5))
    )


@fault("incomes in half precision: the first sums exceed 65504", {"not-finite", "input-scale"}, {"0", BATCH})
def _() -> Problem:
    return on_rows(deep_mlp().half(), (30000 + 8000 * rows()).half())


@fault("an attention row that is masked everywhere", {"not-finite"}, None)
def _() -> Problem:
    return feed(pool(), lambda x: (x[0], x[1] & (torch.arange(32) != 5)[:, None]))


@fault("standardization inside the model divides by the deviation of a constant column", {"not-finite"}, {"0", BATCH})
def _() -> Problem:
    batch = rows()
    batch[:, 7] = 1
    return on_rows(nn.Sequential(Apply(lambda x: (x - x.mean(0)) / x.std(0)), deep_mlp()), batch)


@fault("distance by a plain root: equal rows have no gradient", {"not-finite", "exploding-gradient"}, None)
def _() -> Problem:
    def contrast(output: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        anchor, positive, negative = output
        near, far = ((anchor - other).square().sum(1).sqrt() for other in (positive, negative))
        return functional.relu(near - far + 1).mean()

    model, (anchor, positive, negative), _, _ = siamese()
    positive[:3] = anchor[:3]
    return model, (anchor, positive, negative), contrast, None


@fault("rows of zeros divided by their norm", {"not-finite"}, {"0", BATCH})
def _() -> Problem:
    batch = rows()
    batch[60:] = 0
    return on_rows(nn.Sequential(Apply(lambda x: x / x.norm(dim=1, keepdim=True)), deep_mlp()), batch)


@fault("logarithm of probabilities that round to one", {"not-finite", "first-loss", "saturated-units", *SCALE}, None)
def _() -> Problem:
    def likelihood(p: Tensor, target: Tensor) -> Tensor:
        return -(target * p.log() + (1 - target) * (1 - p).log()).mean()

    model = nn.Sequential(*change(mlp(20, 64, 64, 1), "4.weight", normal(12.0)), nn.Sigmoid(), nn.Flatten(0))
    return model, rows(), likelihood, torch.arange(64).remainder(2).float()


@fault("an autoencoder reads bytes and compares with pixels from 0 to 1", {"input-scale"}, {BATCH})
def _() -> Problem:
    return feed(conv_vae(), lambda x: (x * 255).round())


@fault("the entrance of a temporal network x 0.001", SCALE, {"enter"})
def _() -> Problem:
    return edit(causal(), "enter.weight enter.bias", lambda w: w.mul_(1e-3))


@fault("magnitudes of weight norm reset to 6", {*SCALE, "first-loss", "exploding-gradient"}, {"convs*", ""})
def _() -> Problem:
    names = " ".join(f"convs.{i}.parametrizations.weight.original0" for i in range(4))
    return edit(causal(), names, lambda w: w.fill_(6))


class _Silent(nn.Module):
    """A module run without gradients."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.inner(x)
