"""Why BatchNorm helps: the shape of the loss, the covariate shift, and noise."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    IMAGES,
    BuildNorm,
    Member,
    Setting,
    chosen_accuracy,
    final_losses,
    he_network,
    named,
    next_batches,
    parameter_gradients,
    seeded,
    shared,
    train_together,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.data import Split
from tutorial_utils.gains import gain
from tutorial_utils.stack import LAYERS, Stack, StackedLayer
from tutorial_utils.training import accuracy

PIXELS = Setting("digits", "pixel")
FACTORS = 0.5, 1.0, 2.0, 4.0  # of the learning rate: how far to go along a gradient
#: Sees one number in a network, a batch and the rate of its training.
Probe = Callable[[nn.Sequential, Tensor, Tensor, float], float]
#: What a network of this seed has that one without normalization has not: options of ``he_network``.
Arm = Callable[[int], dict[str, Any]]


def _against_none(
    seeds: Seeds,
    setting: Setting,
    arm: Arm,
    probes: Mapping[str, Probe],
    *,
    lr: float = 0.1,
    own_lr: float | None = None,
    **options: Any,
) -> dict[str, list[float]]:
    """What the probes see in one kind of network, over what they see in one without normalization.

    Args:
        seeds: of the networks.
        setting: what they learn.
        arm: the kind.
        probes: by the names of the conditions, to which that of the setting is added.
        lr: the rate of both,
        own_lr: unless the first kind has a rate of its own.
        **options: of :func:`_seen`.
    """
    kinds = (arm, lr if own_lr is None else own_lr), (_plain, lr)
    normed, plain = (_seen(seeds, setting, kind, list(probes.values()), lr=rate, **options) for kind, rate in kinds)
    return {f"{name}, {setting.name}": (normed / plain)[:, place].tolist() for place, name in enumerate(probes)}


def _seen(
    seeds: Seeds,
    setting: Setting,
    arm: Arm,
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
    members = [he_network(setting.split(seed), seed, depth=depth, **options | arm(seed)) for seed in seeds]
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


class _NoisyReLU(nn.ReLU):
    """ReLU behind a shift and a factor that are new for each unit in every training step."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        units = (*z.shape[:2], 1) if z.dim() == 3 else z.shape[1:]  # a stack has (network, unit, example)
        factor, shift = torch.rand(2, *units, generator=self.generator, dtype=z.dtype)
        return super().forward((1 + factor / 2) * z + shift - 0.5)


LAYERS[_NoisyReLU] = StackedLayer  # autograd does the rest


def _plain(seed: int) -> dict[str, Any]:
    return {"norm": None}


def _batch_norm(seed: int) -> dict[str, Any]:
    return {"norm": nn.BatchNorm1d}


def _noise(seed: int) -> dict[str, Any]:
    """Noise without BatchNorm; one stream for all layers of a network."""
    return {"norm": None, "activation": partial(_NoisyReLU, seeded(seed))}


def _noisy(seed: int) -> dict[str, Any]:
    """BatchNorm, and noise behind it."""
    return _noise(seed) | _batch_norm(seed)


class _SetAnew(nn.Module):
    """Mean 0, or size 1 (the root of the mean square), or both, over the batch; constants for the gradient."""

    def __init__(self, width: int, *, mean: bool = True, size: bool = True) -> None:
        super().__init__()
        self.mean, self.size = mean, size

    def forward(self, z: Tensor) -> Tensor:
        examples = 2 if z.dim() == 3 else 0  # a stack has (network, unit, example)
        if self.mean:
            z = z - z.mean(examples, keepdim=True).detach()
        if self.size:
            z = z / (z.square().mean(examples, keepdim=True).sqrt().detach() + 1e-3)
        return z


LAYERS[_SetAnew] = StackedLayer  # autograd does the rest


@claim(
    "At learning rates of 0.5 and more, plain networks of eight layers learn better if the mean and the size of each"
    " layer's signal are set anew in every step, without a gradient through the two.",
    source="this book; cf. Bjorck et al. (2018)",
    quantity="test accuracy after 50 steps, less that without normalization",
    unit="points",
    criterion=Method.MEDIAN.within(5.0, 100.0, seeds=16),
    controls=(
        *(f"BatchNorm less both, rate {lr:g}, {setting.name}" for lr in (0.5, 1.0, 2.0) for setting in IMAGES),
        *(f"{part} alone, rate 1, {setting.name}" for part in ("mean", "size") for setting in IMAGES),
    ),
    budget="50 steps of 32 examples, 8 hidden layers of 32 units",
    after_looking="the rates, the number of steps and the least gain that counts",
    **where(IMAGES),
)
def bn_set_anew_trains(seeds: Seeds) -> Effects:
    norms: dict[str, BuildNorm | None] = {"plain": None, "BatchNorm": nn.BatchNorm1d, "both": _SetAnew}
    alone: dict[str, BuildNorm] = {"mean": partial(_SetAnew, size=False), "size": partial(_SetAnew, mean=False)}
    found: dict[str, list[float]] = {}
    for lr, setting in product((0.5, 1.0, 2.0), IMAGES):
        kinds = norms | (alone if lr == 1.0 else {})
        right = {kind: _percent_right_at(seeds, setting, norm, lr) for kind, norm in kinds.items()}
        case = f"rate {lr:g}, {setting.name}"
        found[f"both, {case}"] = list(right["both"] - right["plain"])
        found[f"BatchNorm less both, {case}"] = list(right["BatchNorm"] - right["both"])
        found |= {f"{part} alone, {case}": list(right[part] - right["plain"]) for part in alone if part in right}
    return found


def _percent_right_at(seeds: Seeds, setting: Setting, norm: BuildNorm | None, lr: float) -> Any:
    """Test accuracies in percent after 50 steps at this rate."""
    members = [he_network(setting.split(seed), seed, norm, depth=8) for seed in seeds]
    train_together(members, steps=50, lr=lr)
    return np.array([100 * accuracy(net.eval(), data.x_test, data.y_test) for net, _, data in members])


@claim(
    "In a layer that a BatchNorm follows, a far too large learning rate of plain SGD corrects itself by making the "
    "weights longer: held at their initial length, they learn worse.",
    source="Arora, Li and Lyu (2019), who prove it for gradient descent",
    quantity="final loss, free over held, at rate 10 for the weights before BatchNorm and 0.1 for the rest",
    criterion=Method.MEDIAN.within(0.0, 0.5, seeds=9),
    controls=(f"rate 0.1, {DIGITS_GLOBAL.name}",),
    budget="100 steps of 32 examples, 4 hidden layers of 32 units",
    after_looking="the rate, and the ratio that counts",
    **where(IMAGES),
)
def bn_rate_corrects_itself(seeds: Seeds) -> Effects:
    cases = [("rate 10", setting, 10.0) for setting in IMAGES] + [("rate 0.1", DIGITS_GLOBAL, 0.1)]
    found = {}
    for name, setting, lr in cases:
        free, held = (_final_losses_at(seeds, setting, lr, held=held) for held in (False, True))
        found[f"{name}, {setting.name}"] = (free / held).tolist()
    return found


def _final_losses_at(seeds: Seeds, setting: Setting, lr: float, *, held: bool) -> Tensor:
    """The mean loss of the last 20 steps if hidden weights have this rate and all else 0.1.

    With ``held``, each row of these weights gets its initial length back after every step.
    """
    members = [he_network(setting.split(seed), seed, nn.BatchNorm1d, depth=4) for seed in seeds]
    rate, losses = 0.1, []
    stack = Stack([member.net for member in members], lr=rate)
    hidden = [stack.state[f"linear{number}.weight"].detach() for number in range(1, 5)]  # (network, unit, input)
    lengths = [w.norm(dim=2, keepdim=True) for w in hidden]
    for _ in range(100):
        before = [w.clone() for w in hidden]
        losses.append(stack.step(*next_batches(members)))
        for w, old, length in zip(hidden, before, lengths, strict=True):
            w.copy_(old + lr / rate * (w - old))  # the stack took the step at its own rate
            if held:
                w.mul_(length / w.norm(dim=2, keepdim=True))
    return torch.stack(losses, dim=1)[:, -20:].mean(1)


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
    budget="64 steps of 32 examples, 4 hidden layers",
    after_looking="other rates than 0.1, and tanh, after the chapter had shown that there the gradient can change more",
    **where(IMAGES),
)
def bn_smoother_gradient(seeds: Seeds) -> Effects:
    tanh = {"activation": nn.Tanh, "gain": 1.0}
    cases: list[tuple[str, Setting, dict[str, Any]]] = [("ReLU, rate 0.1", setting, {}) for setting in IMAGES]
    cases += [("ReLU, rate 0.02", setting, {"lr": 0.02}) for setting in (DIGITS_GLOBAL, PIXELS)]
    cases += [("ReLU, rate 0.3", PIXELS, {"lr": 0.3}), ("tanh, rate 0.02", PIXELS, tanh | {"lr": 0.02})]
    cases += [("tanh, rate 0.1", setting, tanh) for setting in (DIGITS_GLOBAL, PIXELS, Setting("mnist"))]
    found: dict[str, list[float]] = {}
    for name, setting, how in cases:
        probes: dict[str, Probe] = {f"absolute: {name}": partial(_gradient_change, False)}
        probes[f"relative to the gradient: {name}"] = partial(_gradient_change, True)
        found |= _against_none(seeds, setting, _batch_norm, probes, **how)
    return found


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
    criterion=Method.MEAN.within(-math.inf, -0.1, seeds=24),
    budget="100 steps of 32 examples at rate 0.1, 3 hidden layers",
    **where(IMAGES),
)
def bn_recomputed_statistics_lower_barriers(seeds: Seeds) -> Effects:
    return {
        name: [_barrier(*pair, recompute=True) - _barrier(*pair) for pair in _pairs(seeds, setting, nn.BatchNorm1d)]
        for name, setting in named(IMAGES).items()
    }


@shared
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
    return float(max(scipy.signal.find_peaks(losses, prominence=0)[1]["prominences"], default=0.0))


MEANS, DEVIATIONS, COVARIANCES, GRADIENT = "means", "standard deviations", "covariances", "gradient"
LINEAR = "no activation, rate 0.1, digits, global"  # BatchNorm fixes the means that the next layer sees
SHIFTED = where([*IMAGES, Setting("wine")])


@shared
def _shifts(seeds: Seeds) -> dict[str, dict[str, list[float]]]:
    """Shifts with BatchNorm over those without, by what shifts and in which network."""
    tanh = {"activation": nn.Tanh, "gain": 1.0}
    cases: list[tuple[str, Setting, dict[str, Any]]] = [("ReLU, rate 0.1", setting, {}) for setting in IMAGES]
    cases += [("ReLU, rate 0.02", setting, {"lr": 0.02}) for setting in (DIGITS_GLOBAL, PIXELS)]
    cases += [("ReLU, rate 0.5 against 0.1", DIGITS_GLOBAL, {"own_lr": 0.5})]
    cases += [("tanh, rate 0.1", setting, tanh) for setting in (DIGITS_GLOBAL, PIXELS, Setting("wine"))]
    cases += [("no activation, rate 0.1", DIGITS_GLOBAL, {"activation": nn.Identity, "gain": 1.0})]
    probes: dict[str, Probe] = {MEANS: partial(_means_shift, "linear3"), GRADIENT: _gradient_shift}
    probes |= {DEVIATIONS: _deviations_shift, COVARIANCES: _covariances_shift}
    found: dict[str, dict[str, list[float]]] = {what: {} for what in probes}
    for name, setting, how in cases:
        seen = _against_none(seeds, setting, _batch_norm, probes, **how)
        for what, ratios in zip(probes, seen.values(), strict=True):
            found[what][f"{name}, {setting.name}"] = ratios
    return found


@claim(
    "BatchNorm prevents the internal covariate shift: what a layer sees moves less when those before it learn.",
    source="source text; Ioffe and Szegedy (2015), section 2",
    quantity="shift of the third layer's inputs in one step, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    controls=(f"{MEANS}: {LINEAR}",),
    budget="64 steps of 32 examples, 4 hidden layers",
    after_looking="standard deviations and covariances, after means alone had agreed everywhere",
    **SHIFTED,
)
def bn_less_covariate_shift(seeds: Seeds) -> Effects:
    found = _shifts(seeds)
    cases = [case for case in found[MEANS] if "rate 0.1" in case and case != LINEAR]
    shown = [*product((MEANS, DEVIATIONS, COVARIANCES), cases), (MEANS, LINEAR)]
    return {f"{what}: {case}": found[what][case] for what, case in shown}


@claim(
    "With BatchNorm the gradient of a layer changes less when the layers before it learn.",
    source="Santurkar et al. (2018), section 2.2, who report that it does not",
    quantity="change of the third layer's gradient in one step, relative to it, with BatchNorm over without",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=9),
    controls=(LINEAR,),
    budget="64 steps of 32 examples, 4 hidden layers",
    **SHIFTED,
)
def bn_less_gradient_shift(seeds: Seeds) -> Effects:
    return _shifts(seeds)[GRADIENT]


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


def _inputs(layer: str, net: nn.Sequential, x: Tensor, y: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """What a layer sees before and after a step of the layers before it."""
    after = _stepped(net, x, y, lr, until=f"{layer}.weight")
    layers = list(dict(net.named_children())).index(layer)
    return net[:layers](x).detach(), after[:layers](x).detach()


def _means_shift(layer: str, *state: Any) -> float:
    """How far the means of a layer's inputs move, in their deviations; the median unit."""
    old, new = _inputs(layer, *state)
    return float(((new.mean(0) - old.mean(0)).abs() / old.std(0)).nanmedian())


def _deviations_shift(*state: Any) -> float:
    """How far the deviations of the third layer's inputs move, relative to themselves; the median unit."""
    old, new = _inputs("linear3", *state)
    return float(((new.std(0) - old.std(0)).abs() / old.std(0)).nanmedian())


def _covariances_shift(*state: Any) -> float:
    """How far the covariance matrix of the third layer's inputs moves, relative to itself."""
    old, new = (torch.cov(inputs.T) for inputs in _inputs("linear3", *state))
    return float((new - old).norm() / old.norm())


def _gradient_shift(net: nn.Sequential, x: Tensor, y: Tensor, lr: float) -> float:
    """How far a layer's gradient moves, relative to itself, when the layers before it learn."""
    after = _stepped(net, x, y, lr, until="linear3.weight")
    old, new = (parameter_gradients(model, x, y)["linear3.weight"] for model in (net, after))
    return float((new - old).norm() / old.norm())


QUIET, ALONE = "quiet BatchNorm", "noise alone"
LEADS = [setting for setting in IMAGES if setting != PIXELS]  # where quiet BatchNorm is clearly ahead


@claim(
    "Where BatchNorm trains better than no normalization, it still does if noise keeps its outputs shifting.",
    source="Santurkar et al. (2018), section 2",
    quantity="final loss, noisy BatchNorm over no normalization, each at the better of two rates",
    criterion=Method.MEDIAN.within(0.0, 1.0, seeds=16),
    controls=(*(f"{QUIET}, {setting.name}" for setting in LEADS), f"{ALONE}, {DIGITS_GLOBAL.name}"),
    budget="100 steps of 32 examples at rate 0.1 or 0.3, 8 hidden layers",
    after_looking="the depth and the data, by where quiet BatchNorm, the control, has a clear lead: fewer layers often"
    " have none, nor do the digits with a mean for each pixel",
    **where(LEADS),
)
def bn_noise_keeps_the_gain(seeds: Seeds) -> Effects:
    def losses(setting: Setting, arm: Arm) -> Tensor:
        by_rate = []
        for lr in (0.1, 0.3):
            members = [he_network(setting.split(seed), seed, depth=8, **arm(seed)) for seed in seeds]
            found = final_losses(members, steps=100, lr=lr)
            by_rate.append(found.nan_to_num(math.log(10)))  # what has diverged can only guess
        return torch.stack(by_rate).amin(0)

    found: dict[str, list[float]] = {}
    for setting in LEADS:
        arms = {"": _noisy, f"{QUIET}, ": _batch_norm} | ({f"{ALONE}, ": _noise} if setting == DIGITS_GLOBAL else {})
        plain = losses(setting, _plain)
        found |= {f"{name}{setting.name}": (losses(setting, arm) / plain).tolist() for name, arm in arms.items()}
    return found


#: Starts of sigmoid networks: the gain of the weights, and whether biases center what the next layer sees.
WORSE_STARTS = {"against gain 1": (1.0, False), "against gain 4": (4.0, False)}


@claim(
    "With BatchNorm, networks with saturating nonlinearities can be trained that without it cannot, or not as well.",
    source="Ioffe and Szegedy (2015), abstract",
    quantity="test accuracy with BatchNorm, less that without it from weights and biases that keep a sigmoid's signal,"
    " rates chosen by validation",
    unit="points",
    criterion=Method.MEAN.within(2.0, 100.0, seeds=10),
    scope="existential",
    controls=tuple(f"{name}: {depth} sigmoid layers, digits, global" for depth in (3, 6) for name in WORSE_STARTS),
    budget="100 steps of 32 examples, the best of four rates",
    after_looking="the smallest gain that counts, the second depth, the number of steps; and, twice, a better start for"
    " the network without BatchNorm: weights of gain 4, then biases that center what a layer sees",
    **where([*IMAGES, Setting("digits", "pixel", "adam")]),
)
def bn_sigmoid_trains(seeds: Seeds) -> Effects:
    best = float(gain(lambda z: torch.sigmoid(z) - 0.5)), True

    def scores(setting: Setting, depth: int, norm: BuildNorm | None, weights: float, centered: bool) -> Any:
        def member(split: Split, seed: int) -> Member:
            one = he_network(split, seed, norm, depth=depth, activation=nn.Sigmoid, gain=weights)
            return _centered(one) if centered else one

        rates = {"sgd": [0.1, 0.3, 1.0, 3.0], "adam": [0.001, 0.003, 0.01, 0.03]}[setting.optimizer]
        return chosen_accuracy(seeds, setting, member, rates, steps=100)

    found: dict[str, list[float]] = {}
    for depth, setting in product((3, 6), [*IMAGES, Setting("digits", "pixel", "adam")]):
        normed = scores(setting, depth, nn.BatchNorm1d, 1.0, False)
        worse = WORSE_STARTS if setting == DIGITS_GLOBAL else {}
        against = {"": best} | {f"{name}: ": start for name, start in worse.items()}
        for name, start in against.items():
            gained = 100 * (normed - scores(setting, depth, None, *start))
            found[f"{name}{depth} sigmoid layers, {setting.name}"] = list(gained)
    return found


def _centered(member: Member) -> Member:
    """Biases that take a sigmoid's mean output, a half, out of what the next layer sees."""
    _, *above = [layer for layer in member.net if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer in above:
            layer.bias.copy_(-layer.weight.sum(1) / 2)
    return member
