"""The scripts that draw explorers, on the pages that hold one and on no other."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from tutorial_utils.explore.live import ASSETS, SCRIPTS, STYLE

EXPLORER, LOADER = "<good-explorer", "near.js"


def add_drawing(app: Sphinx, *more: str) -> None:
    """Name what draws explorers on the page that is being written, and more scripts that rest on it.

    They are a fifth of what a chapter weighs, so ``near.js`` loads them when an explorer comes near the reader.
    """
    app.add_css_file(STYLE)
    attributes: dict[str, Any] = {"defer": "defer", "data-scripts": " ".join((*SCRIPTS, *more))}
    app.add_js_file(LOADER, **attributes)


def load_assets(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Name the scripts on a page that holds an explorer."""
    if EXPLORER in context.get("body", ""):
        add_drawing(app)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.config.html_static_path.append(str(ASSETS))
    app.connect("html-page-context", load_assets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
