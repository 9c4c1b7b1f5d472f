"""The distance between pictures: zero for equal ones, large for what a reader could see."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pictures import TOLERANCE, distance

BLANK = np.full((300, 400, 3), 255, dtype=np.uint8)


def png(pixels: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


def changed(rows: slice, columns: slice, value: int) -> str:
    pixels = BLANK.copy()
    pixels[rows, columns] = value
    return png(pixels)


def test_equal_pictures_have_distance_zero() -> None:
    assert distance(png(BLANK), png(BLANK)) == 0


def test_one_gray_level_everywhere_is_distance_one() -> None:
    assert distance(png(BLANK), changed(slice(None), slice(None), 254)) == 1


def test_rounding_of_pixels_is_tolerated() -> None:
    assert distance(png(BLANK), changed(slice(100, 101), slice(50, 350), 235)) < TOLERANCE


def test_a_letter_is_not_tolerated() -> None:
    assert distance(png(BLANK), changed(slice(100, 108), slice(50, 52), 0)) > TOLERANCE


def test_the_last_incomplete_tile_counts() -> None:
    assert distance(png(BLANK), changed(slice(292, 300), slice(392, 394), 0)) > TOLERANCE


def test_pictures_of_different_size_are_infinitely_far_apart() -> None:
    assert distance(png(BLANK), png(BLANK[:, 1:])) == float("inf")
