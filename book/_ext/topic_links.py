"""Links to topics, such as ``[words](#he)``, on the pages that are no notebooks; in those the compiler makes them."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

import topics


def to_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the files of topics in place of their names, when Sphinx has read a page."""
    source[0] = topics.linked(source[0], Path(app.srcdir, page).parent)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", to_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
