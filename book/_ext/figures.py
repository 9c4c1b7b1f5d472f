"""Figures on a page: sized, so that nothing moves when they arrive; loaded when they are near; 8 bits a pixel.

On a phone a figure is no narrower than its smallest letters need, and scrolls in its box if the page is narrower.

A chart has few colors. To keep 256 of them, and one byte a pixel, saves two thirds of its bytes.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from PIL import Image
from sphinx.application import Sphinx

IMAGE = re.compile(r'<img (?=[^>]*src="[^"]*?([\w-]+\.(?:svg|png))")')
LEGIBLE = 64 / 144
"""CSS pixels by pixel of a figure, of which 144 are an inch, so that letters of 9 points are 8 CSS pixels high."""
STATED = re.compile(r'width="(\d+)" height="(\d+)"')


@cache
def size(path: Path) -> tuple[int, int] | None:
    """Width and height of a figure in pixels, None if it does not state them."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            return picture.size
    stated = STATED.search(path.read_text(encoding="utf-8"))
    return (int(stated[1]), int(stated[2])) if stated else None


def sized(body: str, files: dict[str, Path]) -> str:
    """Return the page with the width and height of every figure on it, and how wide a chart must be to be read.

    Args:
        body: the markup of the page.
        files: the file of each figure, by its name on the site.
    """

    def attributes(image: re.Match[str]) -> str:
        path = files.get(image[1])
        found = size(path) if path else None
        if not (path and found):
            return image[0]
        legible = f'style="--legible: {LEGIBLE * found[0]:.0f}px" ' if path.suffix == ".png" else ""
        return f'<img loading="lazy" width="{found[0]}" height="{found[1]}" {legible}'

    return IMAGE.sub(attributes, body)


def _size(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if "body" in context:
        files = {name: Path(app.srcdir, source) for source, (_, name) in app.env.images.items()}
        context["body"] = sized(context["body"], files)


def shrink(path: Path) -> None:
    """Write a picture with the 256 colors that fit it best, if that makes it smaller."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE)
    small = path.with_suffix(".small")
    few.save(small, format="png", optimize=True)
    if small.stat().st_size < path.stat().st_size:
        small.replace(path)
    else:
        small.unlink()


def _shrink_all(app: Sphinx, error: Exception | None) -> None:
    if not error and app.builder.format == "html":
        for path in Path(app.outdir, "_images").glob("*.png"):
            shrink(path)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, which knows the size of a figure only where the text states it."""
    app.connect("html-page-context", _size)
    app.connect("build-finished", _shrink_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
