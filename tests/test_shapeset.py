import math

import numpy as np
import pytest
import torch
from randomness import seeded
from scipy.spatial import Delaunay
from scipy.stats import chisquare
from torch import Tensor

from tutorial_utils import shapeset as module
from tutorial_utils.shapeset import CLASSES, KINDS, NONE, Scenes, draw_scenes, shapeset
from tutorial_utils.stats import compare_mean


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return draw_scenes(3000, generator=seeded())


def overlapping(scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Pixels of the first object, and those of them that the second hides, on the images with two objects."""
    first, second = scenes.masks[scenes.kinds[:, 1] != NONE].flatten(2).unbind(1)
    return first.sum(1), (first & second).sum(1)


def whitened(mask: Tensor) -> tuple[float, float]:
    """Area over the root of the determinant of the covariance, and the farthest squared Mahalanobis distance."""
    points = mask.nonzero().double()
    points = points - points.mean(0)
    covariance = points.T @ points / len(points)
    distances = torch.einsum("pi,ij,pj->p", points, covariance.inverse(), points)
    return len(points) / float(covariance.det().sqrt()), float(distances.max())


def test_images_are_flat_and_bounded_and_labels_count_nine_classes() -> None:
    images, labels = shapeset(500, generator=seeded())
    assert images.shape == (500, 1024) and labels.shape == (500,) and labels.dtype == torch.long
    assert -1 <= images.min() < -0.9 and 0.9 < images.max() <= 1
    assert labels.unique().tolist() == list(range(len(CLASSES)))
    levels = (images.double() + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-4


def test_classes_have_the_probabilities_of_the_objects() -> None:
    labels = shapeset(9000, size=16, generator=seeded(1))[1]
    expected = [9000 / 6] * 3 + [9000 / 9] * 3 + [9000 / 18] * 3
    assert chisquare(labels.bincount(), expected).pvalue > 1e-4


def test_labels_name_the_objects(scenes: Scenes) -> None:
    labels = shapeset(3000, generator=seeded())[1]
    for (first, second), label in zip(scenes.kinds.tolist(), labels.tolist(), strict=True):
        if second == NONE:
            name = KINDS[first]
        elif first == second:
            name = f"two {KINDS[first]}s"
        else:
            a, b = KINDS[first], KINDS[second]
            name = next(name for name in (f"{a}, {b}", f"{b}, {a}") if name in CLASSES)
        assert CLASSES[label] == name


@pytest.mark.parametrize(
    ("kind", "area", "farthest"),
    [("triangle", 6 * math.sqrt(3), 8), ("parallelogram", 12, 6), ("ellipse", 4 * math.pi, 4)],
)
def test_objects_are_what_their_kind_says(kind: str, area: float, farthest: float) -> None:
    # Both figures are the same for every affine image of a shape, and tell the three apart; pixels blunt sharp corners.
    scenes = draw_scenes(60, size=256, generator=seeded(2))
    masks = scenes.masks[scenes.kinds == KINDS.index(kind)]
    assert len(masks) > 15
    for mask in masks:
        measured = whitened(mask)
        assert measured[0] == pytest.approx(area, rel=0.015)
        assert measured[1] == pytest.approx(farthest, abs=0.9)


def test_objects_are_convex() -> None:
    scenes = draw_scenes(30, size=64, generator=seeded(3))
    grid = np.argwhere(np.ones((64, 64)))
    for mask in scenes.masks[scenes.kinds != NONE].numpy():
        hull = Delaunay(np.argwhere(mask))
        assert np.array_equal(hull.find_simplex(grid, tol=1e-9) >= 0, mask.ravel())


@pytest.mark.parametrize(("kind", "share"), [(0, 3 * math.sqrt(3) / 16), (1, 1 / 2), (2, math.pi / 4)], ids=list(KINDS))
def test_mean_area_follows_from_the_scales(scenes: Scenes, kind: int, share: float) -> None:
    # Two independent factors, uniform on [0.2, 0.8], scale the regular shape of diameter 1.
    masks = scenes.masks[scenes.kinds[:, 0] == kind, 0]
    assert compare_mean(masks.sum((1, 2)) / 32**2, 0.25 * share).agrees


def test_objects_keep_a_margin_of_one_pixel_and_reach_it(scenes: Scenes) -> None:
    for side in (scenes.masks, scenes.masks.mT):
        assert not side[..., [0, -1], :].any()
        assert side[..., 1, :].any() and side[..., -2, :].any()


def test_second_object_hides_at_most_half_of_the_first(scenes: Scenes) -> None:
    whole, hidden = overlapping(scenes)
    assert (2 * hidden <= whole).all()
    assert (hidden > 0.45 * whole).any() and (hidden == 0).any()


def test_overlap_is_a_constraint_and_not_a_habit() -> None:
    # Without it more than half of the first object would often be hidden.
    numbers = torch.rand(3000, module._NUMBERS, generator=seeded(), dtype=torch.float64)
    turns, attempt = 2 * math.pi * numbers[:, 7:11].view(-1, 2, 2), numbers[:, 15:19]
    kinds = (3 * numbers[:, :2]).long()
    first = module._mask(kinds[:, 0], turns[:, 0], numbers[:, 11:15], 32)
    second = module._mask(kinds[:, 1], turns[:, 1], attempt, 32)
    too_much = 2 * (first & second).sum((1, 2)) > first.sum((1, 2))
    assert 0.1 < too_much.double().mean() < 0.5


def test_an_object_that_finds_no_place_is_left_out() -> None:
    numbers = torch.full((1, module._NUMBERS), 0.5, dtype=torch.float64)
    numbers[0, :3] = torch.tensor([0.1, 0.9, 0.0])  # a triangle, then an ellipse
    places = numbers[0, 11:].view(-1, 4)
    places[0, :2], places[1:, :2] = 0, 1  # the smallest triangle, in the middle, and ellipses that always cover it
    lost = module._scenes(numbers, 32)
    assert lost.kinds.tolist() == [[0, NONE]] and lost.masks[0, 0].any() and not lost.masks[0, 1].any()
    places[-1] = 0  # the last attempt goes to a corner
    saved = module._scenes(numbers, 32)
    assert saved.kinds.tolist() == [[0, 2]] and saved.masks[0, 1].any()


def test_second_object_is_painted_over_the_first(scenes: Scenes) -> None:
    images = shapeset(3000, generator=seeded())[0].view(-1, 32, 32)
    values = scenes.levels.float() / 127.5 - 1
    first, second = scenes.masks.unbind(1)
    for region, value in ((~first & ~second, 0), (first & ~second, 1), (second, 2)):
        painted = values[:, value, None, None].expand_as(images)
        assert torch.equal(images[region], painted[region])


def test_objects_are_all_lighter_or_all_darker_than_the_ground(scenes: Scenes) -> None:
    ground, objects = scenes.levels[:, :1], scenes.levels[:, 1:]
    light_ground = ground > 127
    assert ((objects < 127) == light_ground).all()
    assert compare_mean(light_ground, 0.5).agrees
    dark, light = scenes.levels[scenes.levels < 127], scenes.levels[scenes.levels > 127]
    assert [dark.min(), dark.max(), light.min(), light.max()] == [0, 114, 140, 255]


def test_every_object_can_be_seen() -> None:
    scenes = draw_scenes(5000, size=16, generator=seeded(5))
    assert scenes.masks.any((2, 3))[scenes.kinds != NONE].all()
    assert not scenes.masks[scenes.kinds == NONE].any()


def test_generator_decides_and_leaves_the_global_one_alone() -> None:
    state = torch.get_rng_state()
    one, same, other = (shapeset(50, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1]) and not torch.equal(one[0], other[0])
    torch.manual_seed(0)
    assert torch.equal(shapeset(50)[0], one[0])


def test_images_are_a_stream() -> None:
    whole, generator = shapeset(700, generator=seeded()), seeded()
    parts = [shapeset(n, generator=generator) for n in (1, 10, 300, 389)]
    for together, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(together, torch.cat(pieces))


def test_images_of_a_seed_stay_what_they_are() -> None:
    scenes = draw_scenes(100, generator=seeded())
    assert scenes.kinds[:6].tolist() == [[2, 2], [0, 1], [1, 3], [2, 2], [0, 2], [0, 3]]
    assert scenes.masks.sum((0, 2, 3)).tolist() == [13946, 6402]
    assert scenes.levels.sum(0).tolist() == [11846, 14268, 13900]


def test_default_dtype_decides_the_format_alone() -> None:
    single = shapeset(20, generator=seeded())[0]
    torch.set_default_dtype(torch.float64)
    double = shapeset(20, generator=seeded())[0]
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("n", "size"), [(0, 32), (-3, 32), (5, 15), (5, 0)])
@pytest.mark.parametrize("function", [shapeset, draw_scenes])
def test_impossible_requests_are_refused(function: type, n: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"n = {n} images of size = {size} pixels; n must be at least 1 and size at"):
        function(n, size=size)
