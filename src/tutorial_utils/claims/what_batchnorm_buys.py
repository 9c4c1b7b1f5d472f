"""What BatchNorm buys: larger rates, fewer steps, less dependence on the start; and less overfitting?"""

import math
from typing import Any

import numpy as np
import pandas as pd

from tutorial_utils.claims.experiments import BATCH, WIDTH, by_norm, double_digits, sweep
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim
from tutorial_utils.sweep import Sweep, train_many


@claim(
    "With BatchNorm the learning rate can be increased.",
    source="source text",
    quantity="largest rate that reaches 80 percent of the test digits in 90 steps, with BatchNorm over without",
    criterion=Method.MEDIAN.within(1.5, math.inf, seeds=9),
    after_looking="the accuracy that a usable rate reaches, and the number of steps",
)
def bn_larger_learning_rate(seeds: Seeds) -> Effects:
    def ratio(**axes: Any) -> list[float]:
        table = _over_rates(seeds, depth=3, **axes).table
        usable = table[table.test_accuracy >= 0.8].groupby(["seed", "norm"]).lr.max().unstack().reindex(list(seeds))
        return list(usable["batch"] / usable["none"])

    return {"ReLU, depth 3": ratio(), "tanh, depth 3": ratio(activation="tanh", scheme="xavier_normal")}


@claim(
    "With BatchNorm and a larger learning rate, training needs 14 times fewer steps.",
    source="Ioffe and Szegedy (2015), section 4.2",
    quantity="steps until the loss falls below 0.5, each at its best rate, without BatchNorm over with",
    criterion=Method.MEDIAN.within(10.0, 20.0, seeds=9),
)
def bn_fourteen_times_fewer_steps(seeds: Seeds) -> Effects:
    found = _over_rates(seeds, depth=5)
    smooth = np.lib.stride_tricks.sliding_window_view(found.losses, 5, axis=1).mean(-1)
    reached = smooth < 0.5
    first = np.where(reached.any(1), reached.argmax(1), np.inf)  # argmax: the first that is True
    best = found.table.assign(first=first).groupby(["seed", "norm"])["first"].min().unstack()
    return {"ReLU, depth 5": list(best["none"] / best["batch"])}


def _over_rates(seeds: Seeds, **axes: Any) -> Sweep:
    """Train with and without BatchNorm over learning rates from 0.06 to 16."""
    return sweep(seeds, steps=90, norm=["none", "batch"], lr=2.0 ** np.arange(-4, 5), **axes)


@claim(
    "BatchNorm makes us relatively free from initializing the parameters.",
    source="source text",
    quantity="share of starts from which 150 steps reach 90 percent of the test digits",
    criterion=Method.SHARE.within(0.5, 1.0, seeds=16),
)
def bn_free_from_initialization(seeds: Seeds) -> Effects:
    def reached(**start: Any) -> list[float]:
        table = sweep(seeds, steps=150, norm="batch", depth=3, **start).table
        return list((table.test_accuracy >= 0.9).astype(float))

    return {
        "He's start times 0.1": reached(scale=0.1),
        "He's start times 10": reached(scale=10.0),
        "He's start times 1000": reached(scale=1000.0),
        "all weights equal": reached(scheme="constant", scale=0.1),
    }


@claim(
    "With BatchNorm, training depends less on the initial values of the weights.",
    source="source text",
    quantity="decades of scales of the start that reach 90 percent of the test digits, with BatchNorm less without",
    unit="decades",
    criterion=Method.MEAN.within(0.5, math.inf, seeds=12),
)
def bn_less_dependence_on_the_start(seeds: Seeds) -> Effects:
    scales = 10.0 ** np.arange(-2, 2.5, 0.5)  # half a decade apart
    table = sweep(seeds, steps=100, depth=5, scale=scales, norm=["none", "batch"]).table
    good = table.assign(good=0.5 * (table.test_accuracy >= 0.9)).groupby(["seed", "norm"]).good.sum().unstack()
    return {"ReLU, depth 5, rate 0.1": list(good["batch"] - good["none"])}


@claim(
    "BatchNorm reduces the risk of overfitting.",
    source="source text",
    quantity="gap between training and test accuracy from 200 images, with BatchNorm less without",
    unit="points",
    criterion=Method.MEAN.within(-100.0, -1.0, seeds=16),  # by a point, more than the noise of a few seeds
    after_looking="the point that counts as less; at zero the verdict depends on the seeds",
)
def bn_less_overfitting(seeds: Seeds) -> Effects:
    rates = [0.03, 0.1, 0.3, 1.0]
    axes = {"depth": 3, "width": WIDTH, "batch_size": BATCH, "norm": ["none", "batch"], "lr": rates}
    tables = [train_many(axes | {"seed": seed}, double_digits(seed, 200), steps=150).table for seed in seeds]
    table = pd.concat(tables, ignore_index=True)
    table["gap"] = 100 * (table.train_accuracy - table.test_accuracy)
    best = table.loc[table.groupby(["seed", "norm"]).test_accuracy.idxmax()]
    chosen = {f"both at rate {lr}": table[table.lr == lr] for lr in (0.03, 0.1)} | {"each at its best rate": best}
    gaps = {condition: by_norm(rows, "gap") for condition, rows in chosen.items()}
    return {condition: list(gap["batch"] - gap["none"]) for condition, gap in gaps.items()}
