import pytest
import torch
from randomness import seeded

from tutorial_utils.data import N_DIGITS, digits


def test_digits_are_all_there_once() -> None:
    split = digits(1000, generator=seeded())
    assert len(split.x_train) == 1000 and len(split.x_test) == N_DIGITS - 1000
    labels = torch.cat([split.y_train, split.y_test])
    other = digits(500, generator=seeded(1))
    assert torch.equal(labels.bincount(), torch.cat([other.y_train, other.y_test]).bincount())
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_inputs_are_standardized_by_the_training_images_alone() -> None:
    torch.set_default_dtype(torch.float64)
    split = digits(200, generator=seeded())
    assert split.x_train.mean().abs() < 1e-12
    assert split.x_train.square().mean() == pytest.approx(1)
    assert abs(split.x_test.square().mean() - 1) > 1e-6


def test_labels_stay_with_their_images() -> None:
    split = digits(1437, generator=seeded(3))
    nearest = torch.cdist(split.x_test, split.x_train).argmin(dim=1)
    assert (split.y_train[nearest] == split.y_test).double().mean() > 0.97


def test_generator_decides_the_shuffle() -> None:
    one, same, other = (digits(generator=seeded(seed)).x_train for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_default_dtype_is_followed() -> None:
    assert digits().x_train.dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    assert digits().x_train.dtype == torch.float64


@pytest.mark.parametrize("n_train", [0, -1, N_DIGITS, 5000])
def test_impossible_split_is_refused(n_train: int) -> None:
    with pytest.raises(ValueError, match=f"n_train = {n_train}, but it must lie between 1 and 1796"):
        digits(n_train)
