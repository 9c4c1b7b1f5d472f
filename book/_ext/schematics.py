"""Schematics on a page: their size, so that nothing moves when they arrive, and no loading before they are near."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "schematics"
IMAGE = re.compile(r'<img (?=[^>]*src="[^"]*?([\w-]+)\.svg")')
SIZE = re.compile(r'width="\d+" height="\d+"')


def sized(body: str, folder: Path = FOLDER) -> str:
    """Return the page with the width and height of every schematic on it, as the drawing states them."""

    def attributes(image: re.Match[str]) -> str:
        path = folder / f"{image[1]}.svg"
        size = SIZE.search(path.read_text(encoding="utf-8")) if path.exists() else None
        return f'<img loading="lazy" {size[0]} ' if size else image[0]

    return IMAGE.sub(attributes, body)


def _size(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if "body" in context:
        context["body"] = sized(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, which knows the size of a picture only where the text states it."""
    app.connect("html-page-context", _size)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
