"""Why BatchNorm helps: the shape of the loss, the covariate shift, noise, and gradients in deep stacks."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.signal import find_peaks
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    IMAGES,
    N_VALID,
    Build,
    BuildNorm,
    Member,
    Setting,
    by_norm,
    chosen,
    each,
    final_losses,
    he_network,
    named,
    parameter_gradients,
    seeded,
    shifted_normal,
    sweep,
    train_together,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.propagation import propagate
from tutorial_utils.training import accuracy

PIXELS = Setting("digits", "pixel")
FACTORS = 0.5, 1.0, 2.0, 4.0  # of the learning rate: how far to go along a gradient
#: Sees one number in a network, a batch and the rate of its training.
Probe = Callable[[nn.Sequential, Tensor, Tensor, float], float]
#: Makes the normalization of the network with a seed.
NormOf = Callable[[int], BuildNorm | None]


def _against_none(
    seeds: Seeds, setting: Setting, norm: NormOf, probes: Mapping[str, Probe], *, lr: float = 0.1, **options: Any
) -> dict[str, list[float]]:
    """What the probes see with a normalization, over what they see without.

    Args:
        seeds: of the networks.
        setting: what they learn.
        norm: the normalization.
        probes: by the names of the conditions, to which that of the setting is added.
        lr: the rate of both, if ``with_norm_lr`` gives the normalized networks no rate of their own.
        **options: of :func:`_seen`.
    """
    own = options.pop("with_norm_lr", lr)
    normed, plain = (
        _seen(seeds, setting, kind, list(probes.values()), lr=rate, **options)
        for kind, rate in ((norm, own), (lambda _: None, lr))
    )
    return {f"{name}, {setting.name}": (normed / plain)[:, place].tolist() for place, name in enumerate(probes)}


def _seen(
    seeds: Seeds,
    setting: Setting,
    norm: NormOf,
    probes: Sequence[Probe],
    *,
    lr: float,
    trained: bool = True,
    depth: int = 4,
    **options: Any,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The medians of what probes see after 16, 32, 48 and 64 steps, or what they see before training.

    Returns:
        A row for each seed, a column for each probe.
    """
    members = [he_network(setting.split(seed), seed, norm(seed), depth=depth, **options) for seed in seeds]
    seen = []
    for _ in range(4 if trained else 1):
        if trained:
            train_together(members, steps=16, lr=lr)
        seen.append([_looked_at(member, probes, lr) for member in members])
    return np.asarray(np.median(seen, axis=0))


def _looked_at(member: Member, probes: Sequence[Probe], lr: float) -> list[float]:
    """What probes see on a batch of 128."""
    net, generator, data = member
    batch = torch.randint(len(data.x_train), (128,), generator=generator)
    return [probe(net, data.x_train[batch], data.y_train[batch], lr) for probe in probes]


def _stepped(net: nn.Sequential, x: Tensor, y: Tensor, lr: float, *, until: str | None = None) -> nn.Sequential:
    """A copy, one step of gradient descent further; with ``until``, only in the parameters before that one."""
    moved, gradients = copy.deepcopy(net), parameter_gradients(net, x, y)
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name == until:
                break
            parameter.sub_(lr * gradients[name])
    return moved


def _batch_norm(seed: int) -> BuildNorm:
    return nn.BatchNorm1d


class _Noise(nn.Module):
    """A shift and a factor that are new for each unit in every training step."""

    def __init__(self, features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        noise = torch.rand(2, z.shape[1], generator=self.generator, dtype=z.dtype)
        return (1 + noise[0] / 2).mul(z) + noise[1] - 0.5


def _noise(seed: int) -> BuildNorm:
    return partial(_Noise, generator=seeded(seed))  # one stream for all layers of a network


def _noisy(seed: int) -> BuildNorm:
    """BatchNorm, and noise behind it."""
    noise = _noise(seed)
    return lambda features: nn.Sequential(nn.BatchNorm1d(features), noise(features))


@claim(
    "BatchNorm makes the loss smoother along the gradient: the loss itself changes less.",
    source="Santurkar et al. (2018), figure 4",
    quantity="range of the loss along the gradient up to four times the rate, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=16),
    budget="64 steps of 32 examples at rate 0.1, 4 hidden layers",
    after_looking="the state before training was added after the chapter had shown no gain there",
    **where(IMAGES),
)
def bn_smoother_loss(seeds: Seeds) -> Effects:
    probes: dict[str, Probe] = {"in training": _loss_range}
    found = [_against_none(seeds, setting, _batch_norm, probes) for setting in IMAGES]
    before: dict[str, Probe] = {"before training": _loss_range}
    found.append(_against_none(seeds, DIGITS_GLOBAL, _batch_norm, before, trained=False))
    return {name: ratios for of in found for name, ratios in of.items()}


@claim(
    "BatchNorm makes the loss smoother along the gradient: the gradient changes less.",
    source="Santurkar et al. (2018), figure 4",
    quantity="change of the gradient along it up to four times the rate, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    budget="64 steps of 32 examples at rate 0.1, 4 hidden layers",
    **where(IMAGES),
)
def bn_smoother_gradient(seeds: Seeds) -> Effects:
    probes: dict[str, Probe] = {"absolute": partial(_gradient_change, False)}
    probes["relative to the gradient"] = partial(_gradient_change, True)
    found = [_against_none(seeds, setting, _batch_norm, probes) for setting in IMAGES]
    return {name: ratios for of in found for name, ratios in of.items()}


def _loss_range(net: nn.Sequential, x: Tensor, y: Tensor, lr: float) -> float:
    ahead = [lr * factor for factor in (0.0, *FACTORS)]
    losses = [functional.cross_entropy(_stepped(net, x, y, far)(x), y).item() for far in ahead]
    return max(losses) - min(losses)


def _gradient_change(relative: bool, net: nn.Sequential, x: Tensor, y: Tensor, lr: float) -> float:
    def gradient(net: nn.Sequential) -> Tensor:
        return torch.cat([one.flatten() for one in parameter_gradients(net, x, y).values()])

    first = gradient(net)
    changes = [(gradient(_stepped(net, x, y, lr * factor)) - first).norm() for factor in FACTORS]
    return float(max(changes) / (first.norm() if relative else 1))


State = dict[str, Tensor]
LINES = ("from a solution to its start", "from a solution in a random direction")


@claim(
    "Normalization reduces the dents of local minima.",
    source="source text",
    quantity="height of the highest barrier of the training loss between two solutions, with BatchNorm less without",
    criterion=Method.MEAN.within(-math.inf, -0.1, seeds=24),  # the loss of guessing is 2.3
    controls=LINES,
    budget="100 steps of 32 examples at rate 0.1, 3 hidden layers",
    after_looking="lines between two solutions, after two other kinds, now controls, had shown no barrier at all;"
    " fixed statistics, after recomputed ones had turned out to lower barriers by themselves",
    **where(IMAGES),
)
def bn_fewer_dents(seeds: Seeds) -> Effects:
    found: dict[str, list[float]] = {}
    for setting in IMAGES:
        plain = [_barrier(*pair) for pair in _pairs(seeds, setting, None)]
        pairs = _pairs(seeds, setting, nn.BatchNorm1d)
        for kind, recompute in (("interpolated statistics", False), ("recomputed statistics", True)):
            heights = [_barrier(*pair, recompute=recompute) for pair in pairs]
            found[f"{kind}, {setting.name}"] = list(np.subtract(heights, plain))
    return found | _other_lines(seeds)


@claim(
    "Statistics recomputed at every point of a line between two BatchNorm networks lower the barrier by themselves.",
    source="Jordan et al. (2022), REPAIR",
    quantity="height of the barrier with recomputed statistics, less that with interpolated ones",
    criterion=Method.MEAN.within(-math.inf, -0.1, seeds=16),
    budget="100 steps of 32 examples at rate 0.1, 3 hidden layers",
    **where(IMAGES),
)
def bn_recomputed_statistics_lower_barriers(seeds: Seeds) -> Effects:
    return {
        name: [_barrier(*pair, recompute=True) - _barrier(*pair) for pair in _pairs(seeds, setting, nn.BatchNorm1d)]
        for name, setting in named(IMAGES).items()
    }


def _pairs(seeds: Seeds, setting: Setting, norm: BuildNorm | None) -> list[tuple[Member, State, State]]:
    """For each seed a network and the states of two solutions, from two starts."""
    first, second = (
        [he_network(setting.split(seed), seed + far, norm) for seed in seeds]
        for far in (0, 1_000_000)  # no other seed's network
    )
    for members in (first, second):
        train_together(members, steps=100)
    return [
        (one, copy.deepcopy(one.net.state_dict()), copy.deepcopy(other.net.state_dict()))
        for one, other in zip(first, second, strict=True)
    ]


def _other_lines(seeds: Seeds) -> dict[str, list[float]]:
    """With BatchNorm less without, barriers on lines from a solution: to its start, and beyond it at random."""
    heights = []
    for norm in (nn.BatchNorm1d, None):
        members = [he_network(DIGITS_GLOBAL.split(seed), seed, norm) for seed in seeds]
        starts = [copy.deepcopy(member.net.state_dict()) for member in members]
        train_together(members, steps=100)
        ends = [copy.deepcopy(member.net.state_dict()) for member in members]
        beyond = [_away(end, seeded(seed)) for end, seed in zip(ends, seeds, strict=True)]
        for targets in (starts, beyond):
            lines = zip(members, ends, targets, strict=True)
            heights.append([_barrier(*line, recompute=norm is not None) for line in lines])
    return {line: list(np.subtract(heights[place], heights[place + 2])) for place, line in enumerate(LINES)}


def _away(state: State, generator: torch.Generator) -> State:
    """A point at random, as far from this one as this one is from 0, parameter by parameter."""
    moved = dict(state)
    for name, value in state.items():
        if name.endswith(("weight", "bias")):
            drawn = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            moved[name] = value + drawn * value.norm() / drawn.norm()
    return moved


@torch.no_grad()
def _barrier(member: Member, origin: State, target: State, *, recompute: bool = False) -> float:
    """The height of the highest local maximum of the training loss between two points, above its higher foot.

    Running statistics are interpolated as the weights are; with ``recompute`` those of the batch take their place,
    which are not what any network on the line has learned with.
    """
    net, _, data = member
    net.train(recompute)
    losses = []
    for t in np.linspace(0, 1, 21).tolist():
        net.load_state_dict({name: a + t * (target[name] - a) for name, a in origin.items()})
        losses.append(functional.cross_entropy(net(data.x_train[:512]), data.y_train[:512]).item())
    return float(max(find_peaks(losses, prominence=0)[1]["prominences"], default=0.0))


def _shifts(seeds: Seeds, probe: Probe) -> Effects:
    """A shift with BatchNorm over that without, over data, preprocessings, rates and activations."""
    tanh = {"activation": nn.Tanh, "gain": 1.0}
    cases: list[tuple[str, Setting, dict[str, Any]]] = [("ReLU, rate 0.1", setting, {}) for setting in IMAGES]
    cases += [("ReLU, rate 0.02", setting, {"lr": 0.02}) for setting in (DIGITS_GLOBAL, PIXELS)]
    cases += [("ReLU, rate 0.5 against 0.1", DIGITS_GLOBAL, {"with_norm_lr": 0.5})]
    cases += [("tanh, rate 0.1", setting, tanh) for setting in (DIGITS_GLOBAL, PIXELS, Setting("wine"))]
    cases += [("no activation, rate 0.1", DIGITS_GLOBAL, {"activation": nn.Identity, "gain": 1.0})]
    found = [_against_none(seeds, setting, _batch_norm, {name: probe}, **how) for name, setting, how in cases]
    return {name: ratios for of in found for name, ratios in of.items()}


SHIFTED = where([*IMAGES, Setting("wine")])


@claim(
    "BatchNorm prevents the internal covariate shift: what a layer sees moves less when those before it learn.",
    source="source text; Ioffe and Szegedy (2015), section 2",
    quantity="shift of the means of the third layer's inputs in one step, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    budget="64 steps of 32 examples, 4 hidden layers",
    **SHIFTED,
)
def bn_less_covariate_shift(seeds: Seeds) -> Effects:
    return _shifts(seeds, partial(_means_shift, "linear3"))


@claim(
    "With BatchNorm the gradient of a layer changes less when the layers before it learn.",
    source="Santurkar et al. (2018), section 2.2, who report that it does not",
    quantity="change of the third layer's gradient in one step, relative to it, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    budget="64 steps of 32 examples, 4 hidden layers",
    **SHIFTED,
)
def bn_less_gradient_shift(seeds: Seeds) -> Effects:
    return _shifts(seeds, _gradient_shift)


@claim(
    "With noise behind BatchNorm, the distributions of a layer's inputs shift more than without normalization.",
    source="Santurkar et al. (2018), section 2",
    quantity="shift of the means of the inputs in one step at rate 0.1, noisy BatchNorm over no normalization",
    criterion=Method.MEDIAN.within(1.0, math.inf, seeds=9),
    budget="64 steps of 32 examples at rate 0.1",
    after_looking="the last layer of nine was added after the chapter had shown less shift there",
    **where(IMAGES),
)
def bn_noise_shifts_more(seeds: Seeds) -> Effects:
    third: dict[str, Probe] = {"third layer of five": partial(_means_shift, "linear3")}
    last: dict[str, Probe] = {"last layer of nine": partial(_means_shift, "linear9")}
    found = [_against_none(seeds, setting, _noisy, third) for setting in IMAGES]
    found += [_against_none(seeds, setting, _noisy, last, depth=8) for setting in (DIGITS_GLOBAL, Setting("mnist"))]
    return {name: ratios for of in found for name, ratios in of.items()}


def _means_shift(layer: str, net: nn.Sequential, x: Tensor, y: Tensor, lr: float) -> float:
    """How far the means of a layer's inputs move, in their deviations, when the layers before it learn."""
    after = _stepped(net, x, y, lr, until=f"{layer}.weight")
    layers = list(dict(net.named_children())).index(layer)
    old, new = (model[:layers](x).detach() for model in (net, after))
    return float(((new.mean(0) - old.mean(0)).abs() / old.std(0)).nanmedian())


def _gradient_shift(net: nn.Sequential, x: Tensor, y: Tensor, lr: float) -> float:
    """How far a layer's gradient moves, relative to itself, when the layers before it learn."""
    after = _stepped(net, x, y, lr, until="linear3.weight")
    old, new = (parameter_gradients(model, x, y)["linear3.weight"] for model in (net, after))
    return float((new - old).norm() / old.norm())


QUIET, ALONE = "quiet BatchNorm", "noise alone"
DEEPER = [(5, 0.1), (5, 0.3)]  # hidden layers and rates


@claim(
    "BatchNorm trains better than no normalization even if noise keeps its outputs' distributions shifting.",
    source="Santurkar et al. (2018), section 2",
    quantity="final loss, noisy BatchNorm over no normalization",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    controls=tuple(
        f"{arm}: {depth} layers, rate {lr}, digits, global" for arm in (QUIET, ALONE) for depth, lr in DEEPER
    ),
    budget="100 steps of 32 examples",
    **where([DIGITS_GLOBAL, PIXELS, Setting("mnist")]),
)
def bn_noise_keeps_the_gain(seeds: Seeds) -> Effects:
    def losses(setting: Setting, norm: NormOf, depth: int, lr: float) -> Tensor:
        members = [he_network(setting.split(seed), seed, norm(seed), depth=depth) for seed in seeds]
        return final_losses(members, steps=100, lr=lr).nan_to_num(math.log(10))  # what has diverged can only guess

    cases = [(setting, *case) for setting in (DIGITS_GLOBAL, PIXELS) for case in [(3, 0.1), *DEEPER]]
    cases += [(Setting("mnist"), *case) for case in DEEPER]
    found = {}
    for setting, depth, lr in cases:
        plain = losses(setting, lambda _: None, depth, lr)
        arms: dict[str, NormOf] = {"": _noisy}
        if setting == DIGITS_GLOBAL and depth == 5:
            arms |= {f"{QUIET}: ": _batch_norm, f"{ALONE}: ": _noise}
        for arm, norm in arms.items():
            ratios = losses(setting, norm, depth, lr) / plain
            found[f"{arm}{depth} layers, rate {lr}, {setting.name}"] = ratios.tolist()
    return found


GAIN_1 = "against gain 1: {depth} sigmoid layers, digits, global"
#: A sigmoid's slope is at most 1/4, so weights of gain 4 are the start that keeps its signal.
PLAIN_SIGMOID = {"norm": "none", "scheme": "lecun_normal", "scale": 4.0}


@claim(
    "With BatchNorm, networks with saturating nonlinearities can be trained that without it cannot, or not as well.",
    source="Ioffe and Szegedy (2015), abstract",
    quantity="test accuracy with BatchNorm, less that without it from weights of gain 4, rates chosen by validation",
    unit="points",
    criterion=Method.MEAN.within(2.0, 100.0, seeds=10),
    scope="existential",
    controls=tuple(GAIN_1.format(depth=depth) for depth in (3, 6)),
    budget="100 steps of 32 examples, the best of three rates",
    after_looking="the smallest gain that counts, the second depth, and the number of steps; gain 4 for the network"
    " without BatchNorm, after gain 1 had been the wrong start to compare with",
    **where([*IMAGES, Setting("digits", "pixel", "adam")]),
)
def bn_sigmoid_trains(seeds: Seeds) -> Effects:
    def scores(setting: Setting, depth: int, **start: Any) -> Any:
        rates = {"sgd": [0.3, 1.0, 3.0], "adam": [0.003, 0.01, 0.03]}[setting.optimizer]
        axes: dict[str, Any] = {"activation": "sigmoid", "lr": rates, "depth": depth, "n_valid": N_VALID[setting.data]}
        return by_norm(chosen(sweep(seeds, setting, steps=100, **axes, **start).table), "test_accuracy")

    found: dict[str, list[float]] = {}
    for depth, setting in product((3, 6), [*IMAGES, Setting("digits", "pixel", "adam")]):
        normed = scores(setting, depth, norm="batch")["batch"]
        against = {f"{depth} sigmoid layers, {setting.name}": PLAIN_SIGMOID}
        if setting == DIGITS_GLOBAL:
            against[GAIN_1.format(depth=depth)] = PLAIN_SIGMOID | {"scale": 1.0}
        for name, start in against.items():
            found[name] = list(100 * (normed - scores(setting, depth, **start)["none"]))
    return found


@claim(
    "At the start, in wide layers with independent weights of mean zero and large batches, the gradient's second moment"
    " grows by Φ(β)/Var(ReLU(z + β)) per layer of BatchNorm and ReLU, which is π/(π - 1) for β = 0.",
    source="Yang et al. (2019) for β = 0; derivation",
    quantity="growth per layer over the formula, batches of 512",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=12),
)
def bn_relu_gradient_growth(seeds: Seeds) -> Effects:
    def ratio(beta: float, seed: int) -> float:
        return _gradient_growth(nn.ReLU, beta, seed, width=128, m=512) / _growth_of_relu(beta)

    return each(seeds, ratio, {f"β = {beta:g}": beta for beta in (0.0, 1.0, 2.0)})


def _growth_of_relu(beta: float) -> float:
    """Φ(β), the share of units that are on, over the variance of ReLU(z + β) for a standard normal z."""
    on, density = 0.5 + math.erf(beta / 2**0.5) / 2, math.exp(-(beta**2) / 2) / math.sqrt(2 * math.pi)
    mean = beta * on + density
    return on / ((1 + beta**2) * on + beta * density - mean**2)


@claim(
    "BatchNorm prevents exploding gradients.",
    source="folklore",
    quantity="growth of the gradient's second moment per layer at the start",
    criterion=Method.MEAN.within(0.0, 1.1, seeds=12),  # a factor of at most 2.6 over ten layers
)
def bn_prevents_explosion(seeds: Seeds) -> Effects:
    cases: dict[str, tuple[Build, float]] = {"no activation": (nn.Identity, 0.0), "tanh": (nn.Tanh, 0.0)}
    cases |= {"ReLU": (nn.ReLU, 0.0), "ReLU, β = 2": (nn.ReLU, 2.0)}
    return each(seeds, partial(_gradient_growth, width=64, m=128), cases)


def _gradient_growth(activation: Build, beta: float, seed: int, *, width: int, m: int) -> float:
    """The factor by which the gradient's second moment grows per layer, from layer 11 back to layer 3."""
    net = mlp([64] + [width] * 12 + [10], activation, norm=nn.BatchNorm1d)
    initialize_(net, "kaiming_normal", generator=seeded(seed))
    for layer in net:
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.constant_(layer.bias, beta)
    x, target = shifted_normal(seed + 1, m, 64), torch.arange(m) % 10
    table = propagate(net.double(), x, lambda out: functional.cross_entropy(out, target), layers=(nn.Linear,))
    moments = table.set_index("layer").grad_second_moment
    return float((moments["linear3"] / moments["linear11"]) ** (1 / 8))


def _learned(
    seeds: Seeds, setting: Setting, depth: int, *, rates: Sequence[float] = (0.01, 0.03, 0.1), **options: Any
) -> list[float]:
    """The accuracy of deep networks with BatchNorm after 60 steps, at the best of the rates."""
    members = [
        he_network(setting.split(seed), seed, nn.BatchNorm1d, depth=depth, **options) for seed in seeds for _ in rates
    ]
    train_together(members, steps=60, lr=list(rates) * len(seeds))
    found = [accuracy(net.eval(), data.x_test, data.y_test) for net, _, data in members]
    return list(np.max(np.reshape(found, (len(seeds), len(rates))), axis=1))


def _half_of(shallow: Sequence[float], accuracies: Sequence[float]) -> list[float]:
    """Which reach half of the median accuracy of shallow networks: 1 or 0."""
    return [float(one >= np.median(shallow) / 2) for one in accuracies]


@claim(
    "BatchNorm makes plain networks trainable at any depth.",
    source="folklore",
    quantity="share of networks that reach half the accuracy of 3 layers",
    criterion=Method.SHARE.within(0.5, 1.0, seeds=10),
    budget="60 steps of 32 examples, the best of three rates",
    after_looking="the accuracy that counts as trained: half, after 90 percent had failed at depth 10",
    **where([DIGITS_GLOBAL, Setting("mnist")]),
)
def bn_trains_any_depth(seeds: Seeds) -> Effects:
    found: dict[str, list[float]] = {}
    for name, setting in named([DIGITS_GLOBAL, Setting("mnist")]).items():
        shallow = _learned(seeds, setting, 3)
        for depth in (3, 10, 32):
            found[f"{depth} layers, ReLU, {name}"] = _half_of(shallow, _learned(seeds, setting, depth))
    tanh = _learned(seeds, DIGITS_GLOBAL, 32, activation=nn.Tanh)
    return found | {f"32 layers, tanh, {DIGITS_GLOBAL.name}": _half_of(_learned(seeds, DIGITS_GLOBAL, 3), tanh)}


AT_ZERO = f"β = 0, {DIGITS_GLOBAL.name}"


@claim(
    "β is part of the start: 32 plain layers of BatchNorm and ReLU train if every β starts at 2.",
    source="this book; cf. Yang et al. (2019), who tune networks toward the linear regime",
    quantity="share of networks that reach half the accuracy of 3 layers",
    criterion=Method.SHARE.within(0.5, 1.0, seeds=10),
    controls=(AT_ZERO,),
    budget="60 steps of 32 examples at rate 0.03",
    after_looking="β = 2 and the rate, on other seeds",
    **where(IMAGES),
)
def bn_beta_is_part_of_the_start(seeds: Seeds) -> Effects:
    def share(setting: Setting, beta: float) -> list[float]:
        shallow, deep = (_learned(seeds, setting, depth, rates=[0.03], beta=beta) for depth in (3, 32))
        return _half_of(shallow, deep)

    found = {f"β = 2, {name}": share(setting, 2.0) for name, setting in named(IMAGES).items()}
    return found | {AT_ZERO: share(DIGITS_GLOBAL, 0.0)}
