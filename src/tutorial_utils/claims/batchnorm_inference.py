"""BatchNorm in inference: fixed statistics, how they are gathered, what they cost and what they save."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.optim.swa_utils import update_bn

from tutorial_utils import normalization
from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    IMAGES,
    ROUNDING,
    TABLES,
    BuildNorm,
    Member,
    Setting,
    each,
    he_network,
    normal,
    on_both_layers,
    seeded,
    shifted_normal,
    train_together,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.initializers import initialize_
from tutorial_utils.training import accuracy

EXACT = (1 - 1e-6, 1 + 1e-6)  # what float64, and an eps of 1e-12, leave of a ratio of 1


#: Sees one number in a trained network.
Effect = Callable[[Member, int], float]

RATES = {"sgd": 0.1, "adam": 0.01}
BY_ADAM = Setting("digits", "global", "adam")


def _fit(setting: Setting, seeds: Seeds, *, steps: int = 150, momentum: float = 0.1) -> dict[int, Member]:
    """Networks with BatchNorm after some training, by their seeds."""
    norm = partial(nn.BatchNorm1d, momentum=momentum)
    members = [he_network(setting.split(seed), seed, norm) for seed in seeds]
    train_together(members, steps=steps, lr=RATES[setting.optimizer], optimizer=setting.optimizer)
    return dict(zip(seeds, members, strict=True))


def _in_each(
    seeds: Seeds, cases: Mapping[str, tuple[Effect, Sequence[Setting]]], *, steps: int = 150
) -> dict[str, list[float]]:
    """Effects of trained networks, each in its settings; those of one setting look at the same networks."""
    fitted = {one: _fit(one, seeds, steps=steps) for one in {one for _, settings in cases.values() for one in settings}}
    return {
        f"{case}, {setting.name}" if case else setting.name: [effect(fitted[setting][seed], seed) for seed in seeds]
        for case, (effect, settings) in cases.items()
        for setting in settings
    }


@torch.no_grad()
def _classes(net: nn.Module, x: Tensor, order: Tensor, m: int) -> Tensor:
    """The classes of all examples if batches of m, cut from this order, are normalized by their own statistics.

    An example that is in no whole batch gets the class -1.
    """
    net, out = copy.deepcopy(net).train(), torch.full((len(x),), -1)
    for batch in order[: len(order) // m * m].split(m):
        out[batch] = net(x[batch]).argmax(1)
    return out


def _batch_accuracy(net: nn.Module, x: Tensor, y: Tensor, order: Tensor, m: int) -> float:
    """Accuracy with the statistics of batches of m, over whole batches."""
    classes = _classes(net, x, order, m)
    return float((classes == y)[classes >= 0].double().mean())


def _mixed(x: Tensor, seed: int) -> Tensor:
    """An order of the examples."""
    return torch.randperm(len(x), generator=seeded(seed))


@claim(
    "With a fixed mean and variance the result of inference is deterministic.",
    source="source text",
    quantity="largest change of a probability when an image gets other companions",
    criterion=Method.RANGE.within(*ROUNDING, seeds=8),
    budget="60 steps of 32 examples",
    **where([DIGITS_GLOBAL, Setting("mnist")]),
)
def bn_fixed_statistics_are_deterministic(seeds: Seeds) -> Effects:
    def change(fitted: Member, seed: int) -> float:
        net, x = fitted.net.eval(), fitted.data.x_test
        with torch.no_grad():
            pairs = [(net(x[:8]).softmax(1), net(x[n : n + 8]).softmax(1)) for n in range(1, 8)]
        return max(float((a[n:] - b[:-n]).abs().max()) for n, (a, b) in enumerate(pairs, 1))

    return _in_each(seeds, {"eval mode": (change, [DIGITS_GLOBAL, Setting("mnist")])}, steps=60)


@claim(
    "With batch statistics, in fully connected networks, other companions in a batch of 8 give one example in twenty,"
    " or more, another class.",
    source="this book; cf. Ioffe and Szegedy (2015), section 3.1",
    quantity="share of test examples whose class differs between two random orders, mean over the pairs of five",
    criterion=Method.MEAN.within(0.05, 1.0, seeds=8),
    budget="150 steps of 32 examples",
    after_looking="the share is of two orders: over 20, as first measured, it grows with the number of orders",
    **where([*IMAGES, *TABLES]),
)
def bn_companions_decide(seeds: Seeds) -> Effects:
    def share(fitted: Member, seed: int) -> float:
        x = fitted.data.x_test[: len(fitted.data.x_test) // 8 * 8]
        classes = [_classes(fitted.net, x, _mixed(x, 5 * seed + n), 8) for n in range(5)]
        differ = torch.stack([one != other for one, other in combinations(classes, 2)])
        return float(differ.double().mean())

    return _in_each(seeds, {"": (share, [*IMAGES, *TABLES])})


@claim(
    "Even on the batch that the statistics were taken from, both modes differ by the factor √((m - 1)/m).",
    source="Ioffe and Szegedy (2015), algorithm 2",
    quantity="output in eval mode over output in training mode, relative to √((m - 1)/m)",
    criterion=Method.RANGE.within(*EXACT, seeds=32),
)
def bn_modes_differ_on_one_batch(seeds: Seeds) -> Effects:
    def ratio(norm: BuildNorm, m: int, seed: int) -> float:
        layer, x = norm(1, eps=1e-12, momentum=1.0).double(), shifted_normal(seed, m, 1)
        trained, evaluated = layer(x).detach(), layer.eval()(x).detach()
        return float((evaluated * trained).sum() / trained.square().sum()) / math.sqrt((m - 1) / m)

    sizes = {f"m = {m}": (nn.BatchNorm1d, m) for m in (2, 8, 64)}
    return each(seeds, ratio, sizes | {"from scratch, m = 8": (normalization.BatchNorm1d, 8)})


@claim(
    "The running variance estimates the variance without bias.",
    source="Ioffe and Szegedy (2015), algorithm 2",
    quantity="running variance over the true one, averages of small batches",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=12),  # dividing by m would give 0.75 for the first two
)
def bn_running_var_unbiased(seeds: Seeds) -> Effects:
    def first(norm: BuildNorm, seed: int) -> float:
        layer = norm(100).double()
        for batch in shifted_normal(seed, 100, 4, 100):
            layer(batch)
        return float(layer.running_var.mean()) / 4

    def second(seed: int) -> float:
        below, above = (nn.BatchNorm1d(100, momentum=None).double() for _ in range(2))
        draws = seeded(seed)
        between = initialize_(nn.Linear(100, 100).double(), "kaiming_normal", generator=draws)
        net = nn.Sequential(below, nn.ReLU(), between, above)
        for batch in normal(draws, 400, 2, 100):
            net(batch)
        signal = net.eval()[:3](normal(draws, 1000, 100)).detach()
        return float((above.running_var / signal.var(0)).mean())

    def image(seed: int) -> float:
        layer = nn.BatchNorm2d(100, momentum=None).double()
        draws = seeded(seed)
        for _ in range(100):  # the level of an image makes half of the variance of a pixel
            layer(normal(draws, 2, 100, 1, 1) + normal(draws, 2, 100, 8, 8))
        return float(layer.get_buffer("running_var").mean()) / 2

    independent = on_both_layers(seeds, first).items()
    return {
        **{f"first layer, independent rows, {name}": ratios for name, ratios in independent},
        "second layer, batches of 2": each(seeds, second)[""],
        "images whose pixels agree, batches of 2": each(seeds, image)[""],
    }


@claim(
    "After t batches, the start of the running statistics keeps the weight 0.9 to the power of t.",
    source="PyTorch docs",
    quantity="measured weight over 0.9 to the power of t",
    criterion=Method.RANGE.within(*EXACT, seeds=16),
)
def bn_weight_of_the_start(seeds: Seeds) -> Effects:
    def weight(norm: BuildNorm, t: int, seed: int) -> float:
        plain, shifted = (norm(1).double() for _ in range(2))
        shifted.running_mean += 1
        for batch in shifted_normal(seed, t, 8, 1):
            plain(batch), shifted(batch)
        return float(shifted.running_mean - plain.running_mean) / 0.9**t

    cases = {f"t = {t}": (nn.BatchNorm1d, t) for t in (10, 44)}
    return each(seeds, weight, cases | {"from scratch, t = 10": (normalization.BatchNorm1d, 10)})


@claim(
    "With momentum=None the running statistics are those of algorithm 2: averages, the variance times m/(m - 1).",
    source="PyTorch docs; Ioffe and Szegedy (2015), algorithm 2",
    quantity="largest difference of a mean or a variance",
    criterion=Method.RANGE.within(*ROUNDING, seeds=16),
)
def bn_momentum_none_is_algorithm_2(seeds: Seeds) -> Effects:
    def difference(norm: BuildNorm, seed: int) -> float:
        layer, batches = norm(5, momentum=None).double(), shifted_normal(seed, 30, 8, 5)
        for batch in batches:
            layer(batch)
        mean, var = batches.mean((0, 1)), 8 / 7 * batches.var(1, correction=0).mean(0)
        return float(torch.cat([layer.running_mean - mean, layer.running_var - var]).abs().max())

    return on_both_layers(seeds, difference)


@claim(
    "PyTorch's momentum of 0.1 is the 0.9 of Keras and Flax: both leave the old value the weight 0.9.",
    source="PyTorch docs and Keras docs",
    quantity="largest deviation of PyTorch's running mean from Keras' rule, over 20 batches",
    criterion=Method.RANGE.within(*ROUNDING, seeds=16),
)
def bn_momentum_conventions(seeds: Seeds) -> Effects:
    def deviation(norm: BuildNorm, seed: int) -> float:
        layer, moving, largest = norm(5).double(), torch.zeros(5, dtype=torch.float64), 0.0
        for batch in shifted_normal(seed, 20, 8, 5):
            layer(batch)
            moving = 0.9 * moving + (1 - 0.9) * batch.mean(0)
            largest = max(largest, float((layer.running_mean - moving).abs().max()))
        return largest

    return on_both_layers(seeds, deviation)


@claim(
    "In eval mode, BatchNorm uses the mean of the whole training set.",
    source="folklore",
    quantity="running mean over the mean of the data, average of 100 units",
    criterion=Method.MEAN.within(0.95, 1.05, seeds=12),
)
def bn_eval_uses_the_whole_set(seeds: Seeds) -> Effects:
    def ratio(batches: int, momentum: float | None, seed: int) -> float:
        layer: Any = nn.BatchNorm1d(100, momentum=momentum).double()
        for batch in shifted_normal(seed, batches, 8, 100):
            layer(batch)
        return float(layer.running_mean.mean()) / 3

    cases: dict[str, Any] = {"after 10 batches": (10, 0.1), "after 100 batches": (100, 0.1)}
    return each(seeds, ratio, cases | {"after 10 batches, momentum=None": (10, None)})


@claim(
    "Before inference, fix the mean and the variance by moving averages over the minibatches of training.",
    source="source text",
    quantity="test accuracy with moving averages, less that with averages over frozen weights",
    unit="points",
    criterion=Method.MEAN.within(-2.0, 100.0, seeds=9),
    budget="150 steps of 32 examples, or 20",
    **where([*IMAGES, BY_ADAM]),
)
def bn_moving_averages_suffice(seeds: Seeds) -> Effects:
    def lost(setting: Setting, steps: int, momentum: float) -> list[float]:
        nets = _fit(setting, seeds, steps=steps, momentum=momentum)
        return [-_recalibration_gain(nets[seed]) for seed in seeds]

    found = {f"150 steps, momentum 0.1, {one.name}": lost(one, 150, 0.1) for one in (*IMAGES, BY_ADAM)}
    return found | {f"20 steps, momentum 0.01, {DIGITS_GLOBAL.name}": lost(DIGITS_GLOBAL, 20, 0.01)}


@claim(
    "Recomputing the statistics with frozen weights makes evaluation more accurate.",
    source="Wu and Johnson (2021)",
    quantity="gain in test accuracy, PyTorch's default momentum",
    unit="points",
    criterion=Method.MEAN.within(1.0, 100.0, seeds=32),
    budget="10 steps of 32 examples, or 150",
    after_looking="the smallest gain that counts: one point instead of two",
    **where(IMAGES),
)
def bn_recalibration_helps(seeds: Seeds) -> Effects:
    def gain(fitted: Member, seed: int) -> float:
        return _recalibration_gain(fitted)

    early, late = (_in_each(seeds, {f"after {n} steps": (gain, IMAGES)}, steps=n) for n in (10, 150))
    return early | late


def _recalibration_gain(fitted: Member) -> float:
    """What averages over batches with frozen weights gain in test accuracy, in points."""
    net, _, data = fitted
    fresh, whole = copy.deepcopy(net), len(data.x_train) // 128 * 128  # whole batches: all weigh the same
    update_bn(data.x_train[:whole].split(128), fresh)
    recalibrated, moving = (accuracy(one.eval(), data.x_test, data.y_test) for one in (fresh, net))
    return 100 * (recalibrated - moving)


@claim(
    "Predicting with the statistics of the test batch costs accuracy.",
    source="source text",
    quantity="test accuracy that batch statistics cost against eval mode",
    unit="points",
    criterion=Method.MEAN.within(2.0, 100.0, seeds=9),  # wrong: it costs what one would notice
    budget="150 steps of 32 examples",
    **where([*IMAGES, *TABLES, BY_ADAM]),
)
def bn_test_batch_statistics_are_wrong(seeds: Seeds) -> Effects:
    def cost(m: int, brightness: float, by_class: bool, fitted: Member, seed: int) -> float:
        net, _, (*_, x, y) = fitted
        order = y.argsort(stable=True) if by_class else _mixed(x, seed)
        batches = _batch_accuracy(net, x + brightness, y, order, m)
        return 100 * (accuracy(net.eval(), x + brightness, y) - batches)

    cases: dict[str, tuple[Effect, Sequence[Setting]]] = {
        "batches of 4": (partial(cost, 4, 0.0, False), [*IMAGES, *TABLES, BY_ADAM]),
        "batches of 36, sorted by class": (partial(cost, 36, 0.0, True), IMAGES),
        "batches of 120": (partial(cost, 120, 0.0, False), [DIGITS_GLOBAL, Setting("mnist")]),
        "batches of 36, brighter images": (partial(cost, 36, 2.0, False), [DIGITS_GLOBAL, Setting("mnist")]),
    }
    return _in_each(seeds, cases)


@claim(
    "If the test images are shifted, the batch's statistics are more accurate than the fixed ones.",
    source="Nado et al. (2020)",
    quantity="gain in test accuracy by statistics of batches of 36",
    unit="points",
    criterion=Method.MEAN.within(2.0, 100.0, seeds=16),
    budget="150 steps of 32 examples",
    **where(IMAGES),
)
def bn_batch_statistics_undo_a_shift(seeds: Seeds) -> Effects:
    def gain(noise: bool, fitted: Member, seed: int) -> float:
        net, _, (*_, x, y) = fitted
        x = x + (normal(seeded(seed), *x.shape) if noise else 2)
        batches = _batch_accuracy(net, x, y, _mixed(x, seed), 36)
        return 100 * (batches - accuracy(net.eval(), x, y))

    kinds = {"brighter images": False, "noisy images": True}
    return _in_each(seeds, {kind: (partial(gain, noise), IMAGES) for kind, noise in kinds.items()})


@claim(
    "BatchNorm can be folded exactly into the layer before it, whatever the mode.",
    source="folklore; PyTorch docs: in eval mode",
    quantity="largest difference of the outputs, relative to the largest output",
    criterion=Method.RANGE.within(*ROUNDING, seeds=16),
)
def bn_folds_exactly(seeds: Seeds) -> Effects:
    kinds: dict[str, Any] = {
        "Linear": (lambda: nn.Linear(6, 8), nn.BatchNorm1d, fuse_linear_bn_eval, (32, 6)),
        "Conv2d": (lambda: nn.Conv2d(6, 8, 3), nn.BatchNorm2d, fuse_conv_bn_eval, (32, 6, 5, 5)),
    }

    def difference(kind: str, mode: bool, seed: int) -> float:
        layer, norm, fuse, shape = kinds[kind]
        net = initialize_(nn.Sequential(layer(), norm(8)), "kaiming_normal", generator=seeded(seed)).double()
        x = shifted_normal(seed + 1, *shape)
        net(x)  # moves the running statistics
        folded, expected = fuse(*net.eval())(x).detach(), net.train(mode)(x).detach()
        return float((folded - expected).abs().max() / expected.abs().max())

    cases = {f"{kind}, eval mode": (kind, False) for kind in kinds}
    return each(seeds, difference, cases | {"Linear, training mode": ("Linear", True)})
