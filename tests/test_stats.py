import math

import pytest
import torch
from randomness import seeded
from scipy import stats

from tutorial_utils.stats import Comparison, compare_mean, share_interval


def test_mean_and_standard_error_by_hand() -> None:
    found = compare_mean(torch.tensor([1.0, 2.0, 3.0, 6.0]), 3.0)
    assert found == pytest.approx((3.0, math.sqrt(14 / 3) / 2, 3.0))


def test_the_error_of_a_mean_is_the_spread_of_means() -> None:
    draws = torch.rand(4000, 100, generator=seeded(), dtype=torch.float64)
    z = torch.tensor([compare_mean(row, 0.5).z for row in draws])
    assert z.std() == pytest.approx(1, abs=0.06) and z.mean().abs() < 5 / math.sqrt(4000)


def test_the_error_of_a_ratio_is_the_spread_of_ratios() -> None:
    b = 1 + torch.rand(4000, 100, generator=seeded(1), dtype=torch.float64)
    a = 3 * b + torch.randn(4000, 100, generator=seeded(2), dtype=torch.float64)
    z = torch.tensor([compare_mean(x, 3.0, over=y).z for x, y in zip(a, b, strict=True)])
    assert z.std() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("size", "one_in"), [(12, 480), (40, 3_700), (100_000, 16_000)])
def test_few_samples_miss_more_often_than_many(size: int, one_in: int) -> None:
    """The odds that the docstring of ``agrees`` states."""
    assert f"{one_in:,}" in (Comparison.agrees.__doc__ or "")
    assert 0.5 / stats.t.sf(4, size - 1) == pytest.approx(one_in, rel=0.02)


def test_a_dozen_normal_samples_miss_as_student_says() -> None:
    draws = torch.randn(20_000, 12, generator=seeded(3), dtype=torch.float64)
    missed = sum(not compare_mean(row, 0.0).agrees for row in draws)
    assert 20 < missed < 70  # 42 expected; by the normal distribution it would be 1


def test_verdicts() -> None:
    assert Comparison(1.0, 0.1, 1.39).agrees and not Comparison(1.0, 0.1, 1.41).agrees
    assert compare_mean(torch.ones(5), 1.0).agrees and not compare_mean(torch.ones(5), 1.1).agrees
    assert (
        compare_mean(torch.ones(5), 1.1).z < -1e6
        and compare_mean(torch.full((1000,), 0.1, dtype=torch.float64), 0.1).agrees
    )
    assert Comparison(0.0, 0.0, 1.0).z == -math.inf and Comparison(0.0, 0.0, 0.0).z == 0
    assert str(Comparison(0.501, 0.002, 0.5)) == "   0.501 ± 0.002   theory      0.5  within 4 SE: True"


@pytest.mark.parametrize(
    ("samples", "over"), [([1.0], None), ([1.0, 2.0], [1.0, 2.0, 3.0]), ([1.0, 2.0], [-1.0, 1.0]), ([], None)]
)
def test_bad_input_is_repeated_in_the_error(samples: list[float], over: list[float] | None) -> None:
    with pytest.raises(ValueError, match=r"samples of shape \(\d,\) over \(\d,\) of mean .*; there must be"):
        compare_mean(torch.tensor(samples), 0.0, over=None if over is None else torch.tensor(over))


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(("count", "trials"), [(0, 1), (1, 1), (0, 5), (3, 5), (5, 5), (40, 400)])
def test_the_interval_of_a_share_is_scipy_s(count: int, trials: int, confidence: float) -> None:
    theirs = stats.binomtest(count, trials).proportion_ci(confidence)
    assert share_interval(count, trials, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("count", "trials", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (0, 0, 0.95), (1, 5, 1.0)])
def test_a_share_of_nothing_is_refused(count: int, trials: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=f"count = {count}, trials = {trials}"):
        share_interval(count, trials, confidence)
