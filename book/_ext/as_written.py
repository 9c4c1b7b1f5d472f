"""Build the site from the text as it is written: a compiled notebook says it in plain words, for other viewers.

Code and outputs are the notebook's. Its text is that of the `.md` beside it, or of the master of its exercises.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from sphinx.application import Sphinx

import editions
import notebooks


def written(path: Path) -> NotebookNode:
    """The notebook as its source describes it, not executed."""
    if path.parent == editions.STUDENT:
        return editions.student_as_written(editions.MASTERS / f"{path.stem}.md")
    return notebooks.as_written(path.with_suffix(".md"))


def to_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the text as written into a notebook that Sphinx has read."""
    path = Path(app.env.doc2path(page))
    if path.suffix == ".ipynb":
        nb = notebooks.restore(nbformat.reads(source[0], as_version=4), written(path))
        source[0] = nbformat.writes(nb)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, before others look at the text."""
    app.connect("source-read", to_source, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
