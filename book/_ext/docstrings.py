"""Read what is returned and what describes a constant as prose: the signature already shows the type.

Google's style allows "type: description" in both, so Sphinx would take the words before a colon for a type.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

PROSE_SECTIONS = ("Returns:", "Yields:")
VALUES = ("attribute", "data", "property")


def mark_as_prose(lines: list[str]) -> None:
    """Put the empty type before the description of what is returned, in place."""
    for i, line in enumerate(lines[:-1]):
        if line.strip() in PROSE_SECTIONS:
            text = lines[i + 1].lstrip()
            lines[i + 1] = f"{lines[i + 1].removesuffix(text)}: {text}"


def mark_value_as_prose(lines: list[str]) -> None:
    """Put the empty type before the description of a constant, an attribute or a property, in place."""
    if lines and lines[0]:
        lines[0] = f": {lines[0]}"


def _process(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    mark_as_prose(lines)
    if what in VALUES:
        mark_value_as_prose(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before napoleon, which parses the sections at priority 500."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
