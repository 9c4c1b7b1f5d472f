"""Links to claims say what was measured: the verdict, and beside it, on hover and on focus, the statement.

In a line ``Evidence:`` a link whose words are the id of a claim becomes a badge with the verdict.
"""

from __future__ import annotations

from functools import cache
from html import escape
from itertools import count

from claims_table import SHORT
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import Entry, load

PAGE = "evidence.html#"
ROOM = 80
"""Characters: where the cases in which a statement holds take more, the tip does not name them."""


@cache
def stored() -> dict[str, Entry]:
    """The ledger, read once for all pages."""
    return load()


def opening(entry: Entry, address: str, tip: str, *, badge: bool) -> str:
    """The link up to its words, in a box that also holds the tip."""
    kind = "claim-badge" if badge else "claim-words"
    return (
        f"<span class='claim' data-verdict='{entry.verdict.name.lower()}'>"
        f"<a class='reference internal {kind}' href='{escape(address)}' aria-describedby='{tip}'>"
    )


def closing(entry: Entry, tip: str) -> str:
    """The end of the link, and the tip: the statement and its verdict."""
    verdict = str(entry) if len(str(entry)) <= ROOM else entry.verdict
    said = f"{escape(CLAIMS[entry.id].statement)} <strong>{escape(verdict)}</strong>"
    return f"</a><span class='claim-tip' role='tooltip' id='{tip}'>{said}</span></span>"


def add_tips(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Mark the links to claims on a page; those on the page of the ledger have the row before them."""
    if app.builder.format != "html" or name == "evidence":
        return
    numbers = count()
    for reference in list(doctree.findall(nodes.reference)):
        _, on_page, id = reference.get("refuri", "").partition(PAGE)
        if not on_page or id not in stored():
            continue
        entry, tip, badge = stored()[id], f"claim-{next(numbers)}", reference.astext() == id
        words = [nodes.Text(SHORT[entry.verdict])] if badge else reference.children
        before = nodes.raw("", opening(entry, reference["refuri"], tip, badge=badge), format="html")
        after = nodes.raw("", closing(entry, tip), format="html")
        reference.parent.replace(reference, [before, *words, after])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", add_tips)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
