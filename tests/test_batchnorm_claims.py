"""What the book once said of BatchNorm and took back: each old statement must fail, by the ledger and by a trial."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims import batchnorm_in_depth as in_depth
from tutorial_utils.claims import why_batchnorm_helps as why
from tutorial_utils.claims.experiments import (
    DIGITS_GLOBAL,
    IMAGES,
    Member,
    Setting,
    chosen,
    he_network,
    reached,
    sweep,
    train_on,
    train_together,
    where,
)
from tutorial_utils.claims.ledger import Entry, load
from tutorial_utils.claims.registry import Outcome, Verdict

STORED = load()


def said(entry: Entry, *words: str) -> set[Outcome]:
    """What the conditions whose names contain all the words say."""
    return {outcome for name, outcome in entry.outcomes.items() if all(word in name for word in words)}


def effect(id: str, *words: str) -> float:
    """The effect of the first condition whose name contains all the words."""
    return next(one.effect for one in STORED[id].sets[0] if all(word in one.condition for word in words))


# Old statements, by the ledger


def test_a_start_does_prevent_what_depth_does_to_batchnorm_and_relu() -> None:
    assert STORED["bn-beta-is-part-of-the-start"].verdict is Verdict.SUPPORTED
    assert effect("bn-beta-is-part-of-the-start", "β = 0") < 0.5
    assert said(STORED["bn-trains-any-depth"], "32 layers, ReLU") == {Outcome.REFUTES}
    assert Outcome.REFUTES not in said(STORED["bn-trains-any-depth"], "32 layers, tanh")
    assert STORED["bn-trains-any-depth"].verdict is Verdict.IN_SOME_CASES


def test_a_sigmoid_without_batchnorm_was_compared_from_a_bad_start() -> None:
    assert effect("bn-sigmoid-trains", "against gain 1: 3 ") > effect("bn-sigmoid-trains", "3 sigmoid") + 20
    assert effect("bn-sigmoid-trains", "against gain 4: 6 ") > effect("bn-sigmoid-trains", "6 sigmoid") + 20
    assert Outcome.AGREES not in said(STORED["bn-sigmoid-trains"], "3 sigmoid", "digits, pixel")
    assert said(STORED["bn-sigmoid-trains"], "6 sigmoid", "mnist") == {Outcome.AGREES}


def test_dents_are_fewer_only_with_recomputed_statistics() -> None:
    assert said(STORED["bn-fewer-dents"], "recomputed") == {Outcome.AGREES}
    assert Outcome.AGREES not in said(STORED["bn-fewer-dents"], "interpolated")
    assert STORED["bn-recomputed-statistics-lower-barriers"].verdict is Verdict.SUPPORTED


def test_the_gradient_is_steadier_with_relu_and_not_with_tanh() -> None:
    for measure in ("absolute", "relative to the gradient"):
        assert said(STORED["bn-smoother-gradient"], f"{measure}: ReLU, rate 0.1,") == {Outcome.AGREES}
        assert said(STORED["bn-smoother-gradient"], f"{measure}: tanh, rate 0.1, digits, pixel") == {Outcome.REFUTES}
    assert STORED["bn-smoother-gradient"].verdict is Verdict.IN_SOME_CASES


def test_a_shift_is_less_by_some_measures_and_not_by_others() -> None:
    for measure in ("means", "standard deviations"):  # of each unit by itself
        assert said(STORED["bn-less-covariate-shift"], f"{measure}: ", "rate") <= {Outcome.AGREES, Outcome.CONTROL}
    assert Outcome.REFUTES in said(STORED["bn-less-covariate-shift"], "covariances: ")
    assert STORED["bn-less-covariate-shift"].verdict is Verdict.IN_SOME_CASES
    assert Outcome.REFUTES in STORED["bn-less-gradient-shift"].outcomes.values()


def test_noise_is_asked_what_it_leaves_where_there_is_a_lead() -> None:
    entry = STORED["bn-noise-keeps-the-gain"]
    quiet = {name for name in entry.outcomes if name.startswith("quiet BatchNorm")}
    votes = {f"quiet BatchNorm, {name}" for name, outcome in entry.outcomes.items() if outcome is not Outcome.CONTROL}
    assert votes == quiet and all(one.high < 1 for found in entry.sets for one in found if one.condition in quiet)


def test_an_image_model_s_fourteen_times_are_not_refuted_by_a_small_network() -> None:
    assert "small networks" in CLAIMS["bn-fourteen-times-fewer-steps"].statement


@pytest.mark.parametrize("id", [id for id, about in CLAIMS.items() if id.startswith("bn-") and about.optimizer])
def test_what_was_trained_is_said(id: str) -> None:
    about = CLAIMS[id]
    assert about.budget and about.data and about.preprocessing


# Old ways to measure, by a trial


def test_a_sigmoid_s_biases_center_what_the_next_layer_sees() -> None:
    member = why._centered(he_network(DIGITS_GLOBAL.split(0), 0, None, activation=nn.Sigmoid, gain=4.0))
    first, *above = [layer for layer in member.net if isinstance(layer, nn.Linear)]
    half = torch.full((1, 32), 0.5, dtype=torch.float64)
    assert first.bias.eq(0).all() and all(layer(half).abs().max() < 1e-12 for layer in above)
    assert all(layer.bias.abs().max() > 0.1 for layer in above)


def test_a_network_that_only_guesses_has_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a low accuracy is less than guessing; halfway from guessing to it is not."""
    monkeypatch.setattr(in_depth, "_deep", lambda *_: np.array([0.15, 0.19, 0.2]))
    assert in_depth._trained([0], DIGITS_GLOBAL, np.array([0.12, 0.18])) == [0.0, 1.0]


def test_noise_in_a_stack_is_new_for_each_unit_of_each_network() -> None:
    noisy = why._NoisyReLU(torch.Generator().manual_seed(0))
    out = noisy(torch.ones(2, 3, 5, dtype=torch.float64))  # networks, units, examples
    assert (out == out[..., :1]).all() and len(out[..., 0].unique()) == 6
    alone = noisy(torch.ones(5, 3, dtype=torch.float64))  # examples, units
    assert (alone == alone[:1]).all() and len(alone[0].unique()) == 3


def tiny(norm: type[nn.Module] | None) -> tuple[Member, why.State, why.State]:
    """Two solutions of a small network, and the first of them."""
    members = [he_network(DIGITS_GLOBAL.split(0), seed, norm, depth=1) for seed in (0, 1)]
    train_together(members, steps=30)
    first, second = ({name: value.clone() for name, value in one.net.state_dict().items()} for one in members)
    return members[0], first, second


def test_a_barrier_is_that_of_the_network_as_it_is_evaluated() -> None:
    member, first, second = tiny(nn.BatchNorm1d)
    member.net.train()
    interpolated, recomputed = (why._barrier(member, first, second, recompute=flag) for flag in (False, True))
    assert interpolated > recomputed + 0.05
    plain, *ends = tiny(None)
    assert why._barrier(plain, *ends) == why._barrier(plain, *ends, recompute=True)


def test_a_rate_is_chosen_on_the_validation_part() -> None:
    rows = {"seed": [0, 0], "norm": ["batch"] * 2, "valid_accuracy": [0.9, 0.8], "test_accuracy": [0.7, 0.95]}
    assert list(chosen(pd.DataFrame(rows)).test_accuracy) == [0.7]
    table = sweep([0], n_valid=30, steps=1, depth=1, norm=["none", "batch"]).table
    assert table.valid_accuracy.notna().all()


def test_a_threshold_is_relative_to_the_best_of_the_grid() -> None:
    """A grid on hard data whose best is 60 percent has good trainings; an absolute 80 percent would find none."""
    table = pd.DataFrame({"lr": [0.1, 0.1, 1.0, 1.0], "test_accuracy": [0.55, 0.65, 0.2, 0.56]})
    assert list(reached(table, 0.9, "lr")) == [True, True, False, True]


def test_every_seed_has_its_own_split() -> None:
    first, second = (DIGITS_GLOBAL.split(seed) for seed in (0, 1))
    assert not torch.equal(first.y_test, second.y_test)
    both, alone = (sweep(seeds, steps=2, depth=1).table for seeds in ([0, 1], [1]))
    assert both.test_loss.iloc[1] == alone.test_loss.iloc[0]


def test_networks_trained_together_are_those_trained_alone() -> None:
    apart, together = (
        [he_network(DIGITS_GLOBAL.split(seed), seed, nn.BatchNorm1d) for seed in (3, 4)] for _ in range(2)
    )
    expected = torch.stack([train_on(data, net, draws, steps=5, lr=0.3) for net, draws, data in apart])
    assert torch.allclose(train_together(together, steps=5, lr=0.3), expected, rtol=1e-9, atol=0)
    for one, other in zip(apart, together, strict=True):
        weights = (member.net.get_parameter("linear1.weight") for member in (one, other))
        assert torch.allclose(*weights, rtol=1e-9, atol=1e-12)


def test_what_a_stack_does_not_know_is_trained_alone() -> None:
    member = he_network(DIGITS_GLOBAL.split(0), 0, None, depth=1, activation=nn.RReLU)
    before = member.net.get_parameter("linear1.weight").detach().clone()
    losses = train_together([member], steps=2, lr=[0.1])
    assert losses.shape == (1, 2) and not torch.equal(before, member.net.get_parameter("linear1.weight"))


def test_a_network_s_beta_starts_where_it_is_told() -> None:
    net, *_ = he_network(DIGITS_GLOBAL.split(0), 0, nn.BatchNorm1d, beta=2.0)
    assert all(layer.bias.eq(2).all() for layer in net if isinstance(layer, nn.BatchNorm1d))


@pytest.mark.parametrize(("beta", "factor"), [(0.0, math.pi / (math.pi - 1)), (8.0, 1.0)])
def test_the_growth_of_relu_behind_beta(beta: float, factor: float) -> None:
    assert in_depth._growth_of_relu(beta) == pytest.approx(factor)
    z = np.maximum(np.random.default_rng(0).normal(size=400_000) + beta, 0)
    assert (z > 0).mean() / z.var() == pytest.approx(factor, rel=0.01)


def test_a_setting_says_what_a_claim_ran_on() -> None:
    assert [setting.name for setting in IMAGES][1:3] == ["digits, pixel", "mnist, global"]
    adam = Setting("wine", optimizer="adam")
    assert adam.name == "wine, pixel, Adam"
    expected = {"data": ("digits", "wine"), "preprocessing": ("global", "pixel"), "optimizer": ("SGD", "Adam")}
    assert where([DIGITS_GLOBAL, adam]) == expected
