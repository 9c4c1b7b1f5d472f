"""Links to claims say what was measured: words that lead to one have a tip with its statement and verdict.

A line ``Evidence: [id](#id), ...`` becomes a list: of each claim its verdict, which is the link, and its statement.
"""

from __future__ import annotations

from functools import cache
from html import escape

from claims_table import SHORT
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import Entry, load
from tutorial_utils.claims.registry import Outcome

PAGE = "evidence.html#"
ROOM, LINE = 80, 200
"""Characters: where the cases in which a statement holds take more, a tip, and a line of a list, do not name them."""


@cache
def stored() -> dict[str, Entry]:
    """The ledger, read once for all pages."""
    return load()


def held(entry: Entry) -> str:
    """The verdict, with the cases in which the statement holds if there is room for them."""
    return str(entry) if len(str(entry)) <= ROOM else entry.verdict


def opening(entry: Entry, address: str, tip: str) -> str:
    """The link up to its words, in a box that also holds the tip."""
    return (
        f"<span class='claim' data-verdict='{entry.verdict.name.lower()}'>"
        f"<a class='reference internal claim-words' href='{escape(address)}' aria-describedby='{tip}'>"
    )


def closing(entry: Entry, tip: str) -> str:
    """The end of the link, and the tip: the statement and its verdict."""
    said = f"{escape(CLAIMS[entry.id].statement)} <strong>{escape(held(entry))}</strong>"
    return f"</a><span class='claim-tip' role='tooltip' id='{tip}'>{said}</span></span>"


def line(entry: Entry, address: str) -> str:
    """One claim in the list of a section: its verdict as a badge to the ledger, its statement, and where it holds."""
    where = str(entry).removeprefix(entry.verdict).removeprefix(": ")
    said = f"true for: {where}" if len(where) <= LINE else "the ledger has the cases in which it is true"
    against = "; ".join(entry.cases(Outcome.REFUTES))
    if against and len(where + against) <= LINE:
        said += f" | false for: {against}"
    cases = f" <span class='where'>({escape(said)})</span>" if where else ""
    return (
        f"<li data-verdict='{entry.verdict.name.lower()}'><a class='reference internal claim-badge'"
        f" href='{escape(address)}'>{SHORT[entry.verdict]}</a> {escape(CLAIMS[entry.id].statement)}{cases}</li>"
    )


def linked(node: nodes.Node) -> dict[nodes.reference, Entry]:
    """The links to claims inside a node, each with its entry in the ledger."""
    found = {}
    for reference in node.findall(nodes.reference):
        _, on_page, id = reference.get("refuri", "").partition(PAGE)
        if on_page and id in stored():
            found[reference] = stored()[id]
    return found


def add_lists(doctree: nodes.document) -> None:
    """Say the claims of every line ``Evidence:`` in words."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if paragraph.astext().startswith("Evidence: "):
            lines = "".join(line(entry, reference["refuri"]) for reference, entry in linked(paragraph).items())
            text = f"<p class='evidence-title'>Evidence</p><ul class='evidence'>{lines}</ul>"
            paragraph.parent.replace(paragraph, nodes.raw("", text, format="html"))


def add_tips(doctree: nodes.document) -> None:
    """Give every other link to a claim a tip."""
    for number, (reference, entry) in enumerate(linked(doctree).items()):
        before = nodes.raw("", opening(entry, reference["refuri"], f"claim-{number}"), format="html")
        after = nodes.raw("", closing(entry, f"claim-{number}"), format="html")
        reference.parent.replace(reference, [before, *reference.children, after])


def say_claims(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Mark the links to claims on a page; those on the page of the ledger have the row before them."""
    if app.builder.format == "html" and name != "evidence":
        add_lists(doctree)
        add_tips(doctree)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", say_claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
