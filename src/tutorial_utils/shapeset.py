r"""Shapeset-3×2, the data set of Glorot and Bengio: images of one or two geometric objects, generated without end.

The paper (section 2.1) fixes: 32 × 32 gray images; one or two objects, each a triangle, a parallelogram or an ellipse,
with random shape, scale, rotation, translation and gray level; the second object may overlap at most half of the area
of the first; nine classes, one for each possible set of objects, whichever of two lies in front.

The paper leaves every distribution open. Its first author's generator (https://github.com/glorotxa/Shapeset) has a
setting called Shapeset-3*2, which this module adopts:

- one or two objects with equal chances, and each kind with equal chances. So the classes are not balanced: a set of one
  object has probability 1/6, of two different kinds 1/9, of twice the same kind 1/18. A network that always gives the
  same answer errs in 5/6 = 83.3 percent of the images at best, and table 1 of the paper has 82.61 for the sigmoid;
- an object is the image of an equilateral triangle, a square or a circle of diameter 1 around it, under a rotation, a
  scaling of each axis by its own factor from 0.2 to 0.8 image sides, and a second rotation, all uniform;
- its center is uniform among the positions that leave a margin of one pixel;
- the second object is drawn over the first; if it hides too much, its two scales and its position are drawn again, and
  after 50 attempts in vain the image keeps its first object alone;
- gray levels are whole numbers from 0 to 255: light objects (140 to 255) on a dark ground (0 to 114) or, in half of
  the images, the reverse; a pixel's value is level / 127.5 − 1, in [−1, 1]. Two objects may have the same level.

Chosen here, where that generator approximates: the hidden area is counted in pixels, not estimated from distances; the
ellipse is an ellipse, not a polygon of 20 corners; a rotation is any angle, not one of 255; a pixel belongs to an
object if its center does. So the images are of the same family, not the same images; and nothing but its name says that
the generator's setting is the paper's.
"""

import json
import math
from importlib.resources import files
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: The kinds of objects by index, triangle, parallelogram and ellipse.
KINDS = ("triangle", "parallelogram", "ellipse")
#: The index 3 stands for the second object of an image that has one.
NONE = 3

#: The nine classes by label, the three single objects first, then the three mixed pairs, then the three like pairs.
CLASSES = (
    "triangle",
    "parallelogram",
    "ellipse",
    "triangle, parallelogram",
    "parallelogram, ellipse",
    "triangle, ellipse",
    "two triangles",
    "two parallelograms",
    "two ellipses",
)
# The label by the kinds of the first object (row) and the second (column; the last one for none).
_LABELS = torch.tensor([[6, 3, 5, 0], [3, 7, 4, 1], [5, 4, 8, 2]])
_CORNERS = {0: 3, 1: 4}  # of the kinds that are polygons

_ATTEMPTS = 50
_CHUNK = 256  # images at a time: their coordinates stay in cache
# Uniform numbers that one image takes: seven for kinds and grays, four for angles, four for each scale and position.
_NUMBERS = 7 + 4 + 4 * (1 + _ATTEMPTS)
_SMALLEST_SIZE = 16  # below, a small triangle may fit between the centers of the pixels


class Scenes(NamedTuple):
    """What is on each image: ``kinds`` (n, 2), ``masks`` (n, 2, size, size) before occlusion, ``levels`` (n, 3).

    ``kinds`` index :data:`KINDS`, or are :data:`NONE`; ``levels`` are the grays of ground, first and second object.
    """

    kinds: Tensor
    masks: Tensor
    levels: Tensor


def shapeset(n: int, *, size: int = 32, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """The next n images of Shapeset-3×2 and their classes; the module's description says what the paper fixes.

    The images are a stream: every image takes the same count of random numbers, so two calls for 10 with one generator
    give what one call for 20 gives. All decisions are made in float64, whatever the default dtype; two processors
    differ only where the center of a pixel lies within rounding of an edge.

    Args:
        n: number of images.
        size: pixels along each side; the paper has 32.
        generator: makes the images, on the CPU; without one, torch's global generator is used.

    Returns:
        Images of shape (n, size²) in torch's default dtype with values in [−1, 1], and labels of shape (n,), which
        index :data:`CLASSES`.

    Raises:
        ValueError: if ``n`` is less than 1, or ``size`` less than 16.

    Source: Glorot and Bengio (2010), section 2.1; for the distributions, the generator named above.

    >>> images, labels = shapeset(100, generator=torch.Generator().manual_seed(0))
    >>> tuple(images.shape), CLASSES[labels[0]]
    ((100, 1024), 'two ellipses')
    """
    scenes = draw_scenes(n, size=size, generator=generator)
    ground, first, second = scenes.levels.to(torch.get_default_dtype()).unsqueeze(-1).unbind(1)
    in_first, in_second = scenes.masks.flatten(2).unbind(1)
    level = torch.where(in_second, second, torch.where(in_first, first, ground))
    return level / 127.5 - 1, _LABELS[scenes.kinds[:, 0], scenes.kinds[:, 1]]


def draw_scenes(n: int, *, size: int = 32, generator: torch.Generator | None = None) -> Scenes:
    """The objects of the next n images, which :func:`shapeset` paints, from the same random numbers.

    Args:
        n: number of images.
        size: pixels along each side.
        generator: makes the objects, on the CPU; without one, torch's global generator is used.

    Returns:
        The :class:`Scenes`; the mask of an object that is not there is empty.

    Raises:
        ValueError: if ``n`` is less than 1, or ``size`` less than 16.

    >>> scenes = draw_scenes(100, generator=torch.Generator().manual_seed(0))
    >>> first, second = scenes.masks.double().flatten(2).unbind(1)
    >>> bool(((first * second).sum(1) <= first.sum(1) / 2).all())
    True
    """
    if n < 1 or size < _SMALLEST_SIZE:
        raise ValueError(
            f"n = {n} images of size = {size} pixels; n must be at least 1 and size at least {_SMALLEST_SIZE}"
        )
    chunks = [min(_CHUNK, n - start) for start in range(0, n, _CHUNK)]
    parts = [_scenes(torch.rand(chunk, _NUMBERS, generator=generator, dtype=torch.float64), size) for chunk in chunks]
    return Scenes(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def load_table1() -> dict[str, Any]:
    """What ``make shapeset`` stored: networks trained on these images, whose errors the book shows.

    Returns:
        ``settings``, all that the numbers depend on; ``tuning``, errors on validation images by cell of the table and
        learning rate; ``runs``, one for each network, with its ``errors`` on test images after the updates
        ``settings["at"]``, and its first ``losses``; ``digest``, of all these.

    >>> results = load_table1()
    >>> len(results["runs"][0]["errors"]) == len(results["settings"]["at"])
    True
    """
    results: dict[str, Any] = json.loads((files("tutorial_utils") / "shapeset.json").read_text(encoding="utf-8"))
    return results


def _scenes(numbers: Tensor, size: int) -> Scenes:
    """Turn uniform numbers, one row an image, into scenes."""
    choices, angles, places = numbers.split([7, 4, _NUMBERS - 11], dim=1)
    turns = (2 * math.pi * angles).view(-1, 2, 2)
    first_place, *attempts = places.view(len(numbers), -1, 4).unbind(1)
    kinds = (3 * choices[:, :2]).long()
    first = _mask(kinds[:, 0], turns[:, 0], first_place, size)
    second = torch.zeros_like(first)
    pending = (choices[:, 2] < 0.5).nonzero().squeeze(1)
    alone = torch.ones(len(numbers), dtype=torch.bool)
    for place in attempts:
        if not len(pending):
            break
        mask = _mask(kinds[pending, 1], turns[pending, 1], place[pending], size)
        hidden, whole = (mask & first[pending]).sum((1, 2)), first[pending].sum((1, 2))
        fits = 2 * hidden <= whole
        second[pending[fits]] = mask[fits]
        alone[pending[fits]] = False
        pending = pending[~fits]
    kinds[alone, 1] = NONE
    return Scenes(kinds, torch.stack([first, second], 1), _levels(choices[:, 3:]))


def _levels(numbers: Tensor) -> Tensor:
    """The gray levels of ground, first and second object, shape (n, 3), from four uniform numbers an image."""
    dark, light = (115 * numbers[:, 1:]).long(), 140 + (116 * numbers[:, 1:]).long()
    light_ground = numbers[:, :1] < 0.5
    is_ground = torch.tensor([True, False, False])
    return torch.where(is_ground == light_ground, light, dark)


def _mask(kind: Tensor, turns: Tensor, place: Tensor, size: int) -> Tensor:
    """The pixels (n, size, size) whose centers lie in the object.

    The object is A K + c: K is the regular shape inscribed in the unit circle, A = R(a) S R(b) from the angles
    ``turns``, the half axes S from the first two numbers of ``place`` and the center c from the last two.
    """
    half_axes = (0.2 + 0.6 * place[:, :2]) * size / 2
    outer, inner = _rotation(turns[:, 0]), _rotation(turns[:, 1])
    rows = ((outer * half_axes[:, None, :]) @ inner).mT  # of A, as columns: A K reaches the support of K along them
    low, high = 1 + _support(kind, -rows), size - 1 - _support(kind, rows)
    center = low + (high - low) * place[:, 2:]
    inverse = (inner.mT / half_axes[:, None, :]) @ outer.mT
    offset = torch.arange(size, dtype=torch.float64) + 0.5 - center[:, :, None]
    across, down = offset[:, 0, None, None, :], offset[:, 1, None, :, None]
    return _gauge(kind, inverse[:, :, 0, None, None] * across + inverse[:, :, 1, None, None] * down) <= 1


def _rotation(angle: Tensor) -> Tensor:
    """Rotation matrices (n, 2, 2)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)


def _support(kind: Tensor, w: Tensor, step: float = 0.0) -> Tensor:
    """The largest scalar product of w, shape (n, 2, ...), with a corner of the regular shape turned by a step."""
    result = w.square().sum(1).sqrt()  # of the circle
    for polygon, corners in _CORNERS.items():
        angles = 2 * math.pi * (torch.arange(corners, dtype=torch.float64) + step) / corners
        own = kind == polygon
        products = torch.stack([angles.cos(), angles.sin()], 1) @ w[own].flatten(2)
        result[own] = products.amax(1).view(result[own].shape)
    return result


def _gauge(kind: Tensor, u: Tensor) -> Tensor:
    """At most 1 for the points u, shape (n, 2, ...), of the regular shape: its sides face half a step past a corner."""
    result = _support(kind, u, step=0.5)
    for polygon, corners in _CORNERS.items():
        result[kind == polygon] /= math.cos(math.pi / corners)
    return result
