"""What BatchNorm buys: larger rates, fewer steps, less dependence on the start; and less overfitting?"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    IMAGES,
    N_VALID,
    TABLES,
    Member,
    Setting,
    by_norm,
    chosen,
    chosen_accuracy,
    he_network,
    named,
    reached,
    shared,
    sweep,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.data import Split

BOTH = ["none", "batch"]  # an axis of norms
RATES = {  # far enough apart for a grid that is cheap, and wide enough for the best to lie inside
    "sgd": 2.0 ** np.arange(-5, 5),
    "adam": 2.0 ** np.arange(-11, -1),
}
ADAM = [Setting("digits", "global", "adam"), Setting("mnist", "pixel", "adam")]
#: The one rule of all claims that ask at which rate, or in how many steps, a network reaches a mark.
UNREACHED = "that a network which reaches the mark at no rate counts as having the worst of the grid"
SATURATING = {"activation": "tanh", "scheme": "xavier_normal"}


@claim(
    "With BatchNorm, small networks can be trained at a larger learning rate.",
    source="source text",
    quantity="largest rate that reaches 90 percent of the grid's best median accuracy, with BatchNorm over without",
    criterion=Method.MEDIAN.within(1.5, math.inf, seeds=9),
    scope="existential",
    budget="60 steps of 32 examples, 3 hidden layers",
    after_looking="the word can, by which one condition is enough: tanh on MNIST left a universal statement undecided;"
    f" the number of steps; {UNREACHED}, the smallest rate",
    **where([*IMAGES, *TABLES, *ADAM]),
)
def bn_larger_learning_rate(seeds: Seeds) -> Effects:
    def ratios(setting: Setting, **axes: Any) -> list[float]:
        table = sweep(seeds, setting, steps=60, norm=BOTH, lr=RATES[setting.optimizer], depth=3, **axes).table
        usable = table[reached(table, 0.9, "norm", "lr")]
        largest = usable.groupby(["seed", "norm"]).lr.max().unstack().reindex(list(seeds))
        largest = largest.fillna(table.lr.min())  # the rule UNREACHED
        return list(largest["batch"] / largest["none"])

    found = {f"ReLU, {name}": ratios(setting) for name, setting in named([*IMAGES, *TABLES, *ADAM]).items()}
    return found | {f"tanh, {one.name}": ratios(one, **SATURATING) for one in (DIGITS_GLOBAL, Setting("mnist"))}


@claim(
    "The 14 times fewer steps that an image model gained by BatchNorm and a larger rate, small networks gain too.",
    source="Ioffe and Szegedy (2015), section 4.2, on one Inception network",
    quantity="steps until the loss falls below 0.5, each at its best rate, without BatchNorm over with",
    criterion=Method.MEDIAN.within(10.0, 20.0, seeds=9),
    budget="at most 120 steps of 32 examples, 5 hidden layers",
    after_looking="the statement was that of the paper, which five layers on digits can neither support nor refute;"
    f" {UNREACHED}, all steps",
    **where(IMAGES),
)
def bn_fourteen_times_fewer_steps(seeds: Seeds) -> Effects:
    def ratios(setting: Setting) -> list[float]:
        found = sweep(seeds, setting, steps=120, norm=BOTH, lr=2.0 ** np.arange(-4, 2), depth=5)
        smooth = np.lib.stride_tricks.sliding_window_view(found.losses, 5, axis=1).mean(-1)
        below = smooth < 0.5
        first = np.where(below.any(1), below.argmax(1), 120)  # argmax: the first that is True; the rule UNREACHED
        best = found.table.assign(first=first).groupby(["seed", "norm"])["first"].min().unstack()
        return list(best["none"] / best["batch"])

    return {name: ratios(setting) for name, setting in named(IMAGES).items()}


@claim(
    "A small network is more accurate with BatchNorm than without, each at its own best rate.",
    source="folklore; Ioffe and Szegedy (2015), section 4.2, on one Inception network",
    quantity="test accuracy with BatchNorm less without, rates chosen by validation",
    unit="points",
    criterion=Method.MEAN.within(1.0, 100.0, seeds=16),
    budget="100 steps of 32 examples, 5 hidden layers",
    **where([*IMAGES, *TABLES]),
)
def bn_own_rate_gain(seeds: Seeds) -> Effects:
    def gains(setting: Setting) -> list[float]:
        rates = {"none": 2.0 ** np.arange(-6, 0), "batch": 2.0 ** np.arange(-4, 2)}
        tables = [
            sweep(seeds, setting, steps=100, n_valid=N_VALID[setting.data], norm=norm, lr=rates[norm], depth=5).table
            for norm in BOTH
        ]
        score = by_norm(chosen(pd.concat(tables, ignore_index=True)), "test_accuracy")
        return list(100 * (score["batch"] - score["none"]))

    return {name: gains(setting) for name, setting in named([*IMAGES, *TABLES]).items()}


@shared
def _under_both(seeds: Seeds, data: str) -> Mapping[str, pd.DataFrame]:
    """Test accuracy in points where both networks have one rate: a row a seed, columns (norm, how to standardize)."""
    found = {}
    for lr, batch_size in ((0.1, 32), (0.3, 32), (0.1, 8)):
        axes: dict[str, Any] = {"norm": BOTH, "lr": lr, "batch_size": batch_size, "depth": 5}
        tables = [sweep(seeds, Setting(data, how), steps=100, **axes).table.assign(how=how) for how in HOW]
        table = pd.concat(tables, ignore_index=True)
        points = table.assign(points=100 * table.test_accuracy)
        found[f"{data}, rate {lr}, batches of {batch_size}"] = points.pivot(
            index="seed", columns=["norm", "how"], values="points"
        )
    return found


@torch.no_grad()
def standardize_once(net: nn.Sequential, x: Tensor) -> None:
    """Give the pre-activations of every hidden layer mean 0 and standard deviation 1 on these examples."""
    h = x
    for layer in net[:-1].children():
        if isinstance(layer, nn.Linear):
            z = layer(h)
            std = z.std(0) + 1e-3
            layer.weight /= std[:, None]
            layer.bias.copy_(-z.mean(0) / std)
        h = layer(h)


@shared
def _early(seeds: Seeds, setting: Setting) -> Mapping[str, NDArray[np.float64]]:
    """Test accuracy in points of eight hidden layers after 50 steps, by what is done to the signal."""

    def network(norm: type[nn.Module] | None, data: Split, seed: int, once: bool = False) -> Member:
        member = he_network(data, seed, norm, depth=8)
        if once:
            standardize_once(member.net, data.x_train[:256])
        return member

    rates = [2.0**power for power in range(-4, 0)]
    return {
        name: 100 * chosen_accuracy(seeds, setting, partial(network, norm, once=name == "once"), rates, steps=50)
        for name, norm in {"never": None, "once": None, "always": nn.BatchNorm1d}.items()
    }


CENTERED = [Setting("digits"), Setting("mnist")]


def _early_leads(seeds: Seeds, ahead: str, behind: str) -> Effects:
    """By how many points one treatment of the signal leads another, for each seed."""
    points = {name: _early(seeds, setting) for name, setting in named(CENTERED).items()}
    return {name: list(one[ahead] - one[behind]) for name, one in points.items()}


EARLY = "50 steps of 32 examples, 8 hidden layers; rates are chosen by validation"


@claim(
    "A part of what BatchNorm gains in the first steps comes from standardizing each layer once, beforehand.",
    source="this book, after LSUV",
    quantity="test accuracy of a plain network with each hidden layer's signal standardized once, less that from He's"
    " weights",
    unit="points",
    criterion=Method.MEAN.within(1.0, 100.0, seeds=16),
    scope="existential",
    budget=EARLY,
    after_looking="the word can: MNIST left a universal statement undecided",
    **where(CENTERED),
)
def bn_lead_includes_initialization(seeds: Seeds) -> Effects:
    return _early_leads(seeds, "once", "never")


@claim(
    "In the first steps a deep network with BatchNorm leads one whose signal is standardized only once.",
    source="this book, after LSUV",
    quantity="test accuracy with BatchNorm, less that of a plain network with each hidden layer's signal standardized"
    " once",
    unit="points",
    criterion=Method.MEAN.within(1.0, 100.0, seeds=16),
    budget=EARLY,
    **where(CENTERED),
)
def bn_more_than_standardized_once(seeds: Seeds) -> Effects:
    return _early_leads(seeds, "always", "once")


HOW = "global", "pixel"
COMMON = "100 steps, 5 hidden layers, one rate for both networks"


@claim(
    "What BatchNorm gains at a common rate can be, in part, the centering that one mean for all pixels leaves out.",
    source="this book",
    quantity="gain in test accuracy by BatchNorm with pixels standardized by one mean, less that with a mean for each",
    unit="points",
    criterion=Method.MEAN.within(1.0, 100.0, seeds=16),
    scope="existential",
    budget=COMMON,
    after_looking="the word can: at rate 0.1 and batches of 32 the digits show too little to decide",
    **where(IMAGES),
)
def bn_gain_includes_centering(seeds: Seeds) -> Effects:
    def lost(score: pd.DataFrame) -> list[float]:
        gain = score["batch"] - score["none"]
        return list(gain["global"] - gain["pixel"])

    return {name: lost(score) for data in ("digits", "mnist") for name, score in _under_both(seeds, data).items()}


@claim(
    "Standardizing every pixel does for a plain network what BatchNorm does for one whose pixels have one mean.",
    source="this book",
    quantity="test accuracy without BatchNorm and with a mean for each pixel, less that with BatchNorm and one mean",
    unit="points",
    criterion=Method.MEAN.within(-1.0, 100.0, seeds=16),
    budget=COMMON,
    **where(IMAGES),
)
def bn_centered_pixels_instead(seeds: Seeds) -> Effects:
    return {
        name: list(score["none"]["pixel"] - score["batch"]["global"])
        for data in ("digits", "mnist")
        for name, score in _under_both(seeds, data).items()
    }


@claim(
    "BatchNorm makes us relatively free from initializing the parameters.",
    source="source text",
    quantity="share of starts from which 150 steps reach 90 percent of the best start's median accuracy",
    criterion=Method.SHARE.within(0.5, 1.0, seeds=16),
    budget="150 steps of 32 examples at rate 0.1, 3 hidden layers",
    **where([*IMAGES, *TABLES]),
)
def bn_free_from_initialization(seeds: Seeds) -> Effects:
    def shares(setting: Setting) -> dict[str, list[float]]:
        scales = 0.1, 1.0, 10.0, 1000.0
        starts: dict[str, dict[str, Any]] = {f"He's times {scale:g}": {"scale": scale} for scale in scales}
        starts |= {"all weights equal": {"scheme": "constant", "scale": 0.1}}
        tables = [
            sweep(seeds, setting, steps=150, norm="batch", depth=3, **start).table.assign(start=name)
            for name, start in starts.items()
        ]
        table = pd.concat(tables, ignore_index=True)
        table["good"] = reached(table, 0.9, "start").astype(float)
        by_start = table.pivot(index="seed", columns="start", values="good").loc[list(seeds)]
        return {f"{name}, {setting.name}": list(by_start[name]) for name in starts if name != "He's times 1"}

    return {name: share for setting in [*IMAGES, *TABLES] for name, share in shares(setting).items()}


@claim(
    "With BatchNorm, the training of a small network depends less on the initial values of the weights.",
    source="source text",
    quantity="decades of scales that reach 90 percent of the grid's best median accuracy, with BatchNorm less without",
    unit="decades",
    criterion=Method.MEDIAN.within(0.5, math.inf, seeds=16),  # steps of half a decade: all seeds may give the same
    budget="100 steps of 32 examples at rate 0.1 (Adam: 0.01), 5 hidden layers",
    **where([*IMAGES, *TABLES, *ADAM]),
)
def bn_less_dependence_on_the_start(seeds: Seeds) -> Effects:
    scales = 10.0 ** np.arange(-2, 2.5, 0.5)  # half a decade apart

    def gains(setting: Setting) -> list[float]:
        lr = {"sgd": 0.1, "adam": 0.01}[setting.optimizer]
        table = sweep(seeds, setting, steps=100, depth=5, scale=scales, norm=BOTH, lr=lr).table
        good = table.assign(good=0.5 * reached(table, 0.9, "norm", "scale"))
        decades = good.groupby(["seed", "norm"]).good.sum().unstack().loc[list(seeds)]
        return list(decades["batch"] - decades["none"])

    return {name: gains(setting) for name, setting in named([*IMAGES, *TABLES, *ADAM]).items()}


FEW = "150 steps of 32 examples, 3 hidden layers; own rates are chosen by validation"


@shared
def _from_few_examples(seeds: Seeds, setting: Setting) -> Mapping[str, pd.DataFrame]:
    """Trainings on 150 examples (wine: 89), one a seed and norm, at each network's own rate and at a common one."""
    few, rates = 118 if setting.data == "wine" else 200, [0.03, 0.1, 0.3, 1.0]
    found = sweep(seeds, setting, steps=150, n_train=few, n_valid=few // 4, norm=BOTH, lr=rates, depth=3)
    table = found.table.assign(gap=100 * (found.table.train_accuracy - found.table.test_accuracy))
    return {"own rates": chosen(table), "both at rate 0.1": table[table.lr == 0.1]}


@claim(
    "BatchNorm reduces the risk of overfitting.",
    source="source text",
    quantity="gap between training and test accuracy from 150 examples (wine: 89), with BatchNorm less without",
    unit="points",
    criterion=Method.MEAN.within(-100.0, -1.0, seeds=48),  # by a point, more than the noise of a few seeds
    budget=FEW,
    after_looking="the point that counts as less; at zero the verdict depends on the seeds; and 48 seeds, after 16 had"
    " left most conditions open",
    **where([*IMAGES, *TABLES]),
)
def bn_less_overfitting(seeds: Seeds) -> Effects:
    def gaps(setting: Setting) -> dict[str, list[float]]:
        gap = {case: by_norm(rows, "gap") for case, rows in _from_few_examples(seeds, setting).items()}
        return {f"{case}, {setting.name}": list(one["batch"] - one["none"]) for case, one in gap.items()}

    return {name: gap for setting in [*IMAGES, *TABLES] for name, gap in gaps(setting).items()}


@claim(
    "Where small networks of both kinds fit a few examples, those with BatchNorm can answer new ones better.",
    source="this book",
    quantity="test accuracy from 150 examples (wine: 89), with BatchNorm less without",
    unit="points",
    criterion=Method.MEAN.within(1.0, 100.0, seeds=48),
    scope="existential",
    budget=FEW,
    after_looking="the word can: the rows of the gap, from the same trainings, were known",
    **where([*IMAGES, *TABLES]),
)
def bn_better_from_few_examples(seeds: Seeds) -> Effects:
    def gains(setting: Setting) -> dict[str, list[float]]:
        score = {case: by_norm(rows, "test_accuracy") for case, rows in _from_few_examples(seeds, setting).items()}
        return {f"{case}, {setting.name}": list(100 * (one["batch"] - one["none"])) for case, one in score.items()}

    return {name: gain for setting in [*IMAGES, *TABLES] for name, gain in gains(setting).items()}
