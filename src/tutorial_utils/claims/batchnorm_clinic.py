"""BatchNorm's failures: small batches, frozen layers, accumulated gradients, checkpointing."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tutorial_utils import normalization
from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    IMAGES,
    N_VALID,
    ROUNDING,
    TABLES,
    BuildNorm,
    Member,
    Setting,
    by_norm,
    chosen,
    each,
    he_network,
    named,
    parameter_gradients,
    shifted_normal,
    sweep,
    where,
)
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim


@claim(
    "In batches of 2 images, BatchNorm's error is far above that of a normalization that looks at one example.",
    source="Wu and He (2018), abstract",
    quantity="test accuracy with LayerNorm, less that with BatchNorm, each at the best of two rates by validation",
    unit="points",
    criterion=Method.MEAN.within(10.0, 100.0, seeds=10),  # the abstract's difference is 10.6
    controls=tuple(named(TABLES)),
    budget="150 steps of 2 examples",
    after_looking="the tables are controls, as the abstract is about images: with ten seeds, one was left open",
    **where([*IMAGES, *TABLES]),
)
def bn_batch_of_two_fails(seeds: Seeds) -> Effects:
    def lead(setting: Setting) -> list[float]:
        axes: dict[str, Any] = {"norm": ["batch", "layer"], "batch_size": 2, "depth": 3, "lr": [0.03, 0.1]}
        score = by_norm(
            chosen(sweep(seeds, setting, steps=150, n_valid=N_VALID[setting.data], **axes).table), "test_accuracy"
        )
        return list(100 * (score["layer"] - score["batch"]))

    return {name: lead(setting) for name, setting in named([*IMAGES, *TABLES]).items()}


@claim(
    "Switching gradients off freezes BatchNorm.",
    source="folklore",
    quantity="how far the running mean moves in one call",
    criterion=Method.RANGE.within(*ROUNDING, seeds=16),
)
def bn_frozen_by_flags(seeds: Seeds) -> Effects:
    def moves(flag: bool, gradients: bool, seed: int) -> float:
        layer: Any = nn.BatchNorm1d(5).double().requires_grad_(flag)
        with torch.set_grad_enabled(gradients):
            layer(shifted_normal(seed, 16, 5))
        return float(layer.running_mean.norm())

    return each(seeds, moves, {"requires_grad_(False)": (False, True), "no_grad()": (True, False)})


@claim(
    "Accumulating the gradients of small batches gives the gradient of one large batch.",
    source="folklore",
    quantity="difference of the gradients, relative to that of one batch of 32",
    criterion=Method.MEDIAN.within(0.0, 1e-6, seeds=16),
    controls=("LayerNorm, 4 × 8",),
    data=("digits",),
    preprocessing=("global",),
)
def bn_accumulation_is_a_larger_batch(seeds: Seeds) -> Effects:
    def gradient(member: Member, parts: int) -> Tensor:
        net, _, (x, y, *_) = member
        found = [parameter_gradients(net, x[part], y[part]) for part in torch.arange(32).chunk(parts)]
        return torch.cat([torch.stack([one[name] for one in found]).mean(0).flatten() for name in found[0]])

    def difference(norm: BuildNorm, parts: int, seed: int) -> float:
        member = he_network(DIGITS_GLOBAL.split(seed), seed, norm, depth=1)
        whole = gradient(member, 1)
        return float((gradient(member, parts) - whole).norm() / whole.norm())

    cases = {
        "LayerNorm, 4 × 8": (nn.LayerNorm, 4),
        "BatchNorm, 4 × 8": (nn.BatchNorm1d, 4),
        "BatchNorm, 16 × 2": (nn.BatchNorm1d, 16),
    }
    return each(seeds, difference, cases)


@claim(
    "With activation checkpointing the running statistics are updated twice in every step.",
    source="folklore",
    quantity="updates in one step, from how far the running mean has moved",
    criterion=Method.RANGE.within(2 - 1e-6, 2 + 1e-6, seeds=16),
)
def bn_checkpointing_updates_twice(seeds: Seeds) -> Effects:
    def updates(norm: BuildNorm, reentrant: bool, seed: int) -> float:
        layer, x = norm(1).double(), shifted_normal(seed, 16, 1).requires_grad_()
        checkpoint(layer, x, use_reentrant=reentrant).sum().backward()
        kept = 1 - layer.running_mean / x.detach().mean()  # 0.9 to the power of the updates
        return float(kept.log()) / math.log(0.9)

    cases = {f"use_reentrant={flag}": (nn.BatchNorm1d, flag) for flag in (True, False)}
    return each(seeds, updates, cases | {"from scratch": (normalization.BatchNorm1d, False)})
