"""How far apart two PNG pictures are, and whether two explorers show the same numbers."""

import base64
import io
import math
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TILE = 32
"""Pixels along the side of the squares that are compared one by one."""
TOLERANCE = 8.0
"""The largest distance at which two pictures count as equal.

Measured on line plots, histograms and scatter plots of one and three panels: data changed by 1e-6 of its size
gives at most 0.1; the smallest change a reader could see (a line 1.8 instead of 1.5 points wide) 10; one letter
of a title 27; one of 30 points moved by 2 percent of the range 22. Over the whole picture these would drown:
one letter gives 1.5, less than the noise of a scatter plot.
"""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def _pixels(png: str) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"), dtype=np.float64)


def distance(first: str, second: str) -> float:
    """Root mean square difference of two base64 PNGs in the tile where it is largest.

    In gray levels from 0 to 255; infinite if the sizes differ.
    """
    a, b = _pixels(first), _pixels(second)
    if a.shape != b.shape:
        return float("inf")
    squares = ((a - b) ** 2).mean(axis=2)
    height, width = squares.shape
    padded = np.pad(squares, ((0, -height % TILE), (0, -width % TILE)))
    tiles = padded.reshape(padded.shape[0] // TILE, TILE, padded.shape[1] // TILE, TILE).mean(axis=(1, 3))
    return float(np.sqrt(tiles.max()))


def size(png: str) -> tuple[int, int]:
    """Width and height of a base64 PNG."""
    return Image.open(io.BytesIO(base64.b64decode(png))).size


def same_numbers(first: str, second: str) -> bool:
    """Whether two texts differ in the last of three digits of some measured numbers at most.

    Another processor adds in another order, so a number that was rounded for a page may fall on the other side.
    Integers count, or say where something stands; they must be equal, and so must all words.
    """
    if NUMBER.split(first) != NUMBER.split(second):
        return False
    pairs = zip(NUMBER.findall(first), NUMBER.findall(second), strict=True)
    return all(a == b or (bool(set(a + b) & set(".e")) and _near(float(a), float(b))) for a, b in pairs)


def _near(a: float, b: float) -> bool:
    largest = max(abs(a), abs(b))
    return a == b or abs(a - b) <= 1.01 * 10 ** (math.floor(math.log10(largest)) - 2)
