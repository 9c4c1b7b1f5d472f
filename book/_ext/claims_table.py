"""The ledger of claims as a table: ``{claims-table}`` on the Evidence page, one row for each claim.

Every row draws its intervals on a scale of its own, over a band of the effects that agree with the statement, and links
to the section whose line ``Evidence:`` names it. Without scripts it is a plain table; ``ledger.js`` sorts and filters
it.
"""

from __future__ import annotations

import math
import re
from html import escape
from importlib.resources import as_file
from typing import cast

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.docutils import SphinxDirective

import topics
from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import STORED, Entry, load
from tutorial_utils.claims.registry import Claim, Evidence, Verdict

WIDTH, ROW = 120.0, 14.0  # of a drawing, in CSS pixels
COLUMNS = ("Claim", "Verdict", "Effect and interval", "Shown in")


def number(value: float) -> str:
    """Print a number with three digits, and a minus that is one.

    >>> number(-0.012345), number(123456.0), number(float("inf"))
    ('−0.0123', '1.23e+05', '∞')
    """
    text = "∞" if math.isinf(value) else f"{abs(value):.3g}"
    return ("−" if value < 0 else "") + text


def scale(claim: Claim, evidence: tuple[Evidence, ...]) -> tuple[float, float]:
    """Choose the ends of a row's scale: all intervals, and where the band begins or ends near them."""
    ends = [end for one in evidence for end in (one.effect, one.low, one.high)] + list(claim.holds)
    finite = [end for end in ends if math.isfinite(end)] or [0.0]
    margin = 0.08 * (max(finite) - min(finite)) or 0.5 * abs(finite[0]) or 1.0
    return min(finite) - margin, max(finite) + margin


def drawing(claim: Claim, entry: Entry) -> str:
    """Draw the intervals of one claim over the band of effects that agree with it."""
    left, right = scale(claim, entry.evidence)

    def x(value: float) -> float:
        return round(WIDTH * (min(max(value, left), right) - left) / (right - left), 1)

    low, high = map(x, claim.holds)
    height = ROW * len(entry.evidence)
    shapes = [f'<rect class="band" x="{low}" y="0" width="{max(high - low, 1.5):.1f}" height="{height}"/>']
    for place, one in enumerate(entry.evidence):
        y = ROW * (place + 0.5)
        shapes.append(f'<line x1="{x(one.low)}" x2="{x(one.high)}" y1="{y}" y2="{y}"/>')
        shapes.append(f'<circle cx="{x(one.effect)}" cy="{y}" r="3"/>')
    return f'<svg viewBox="0 0 {WIDTH:g} {height:g}" aria-hidden="true">{"".join(shapes)}</svg>'


def row(claim: Claim, entry: Entry, place: str) -> str:
    """One claim as a row of the table; ``place`` is a link to the section that shows it."""
    unit = f" {escape(claim.unit)}" if claim.unit else ""
    named = len(entry.evidence) > 1
    effects = [
        (f"{escape(one.condition)}: " if named else "")
        + f"{number(one.effect)}{unit} [{number(one.low)}, {number(one.high)}], n = {one.seeds}"
        for one in entry.evidence
    ]
    agrees = f"agrees from {number(claim.holds[0])} to {number(claim.holds[1])}; {claim.method}"
    cells = [
        f"<p>{escape(claim.statement)}</p><p class='source'>{escape(claim.source)}. <code>{claim.id}</code></p>",
        f"<span class='verdict'>{entry.verdict}</span>",
        f"<p class='source'>{escape(claim.quantity)} ({agrees})</p>{drawing(claim, entry)}"
        + "".join(f"<p>{text}</p>" for text in effects),
        place,
    ]
    if claim.after_looking:
        cells[1] += f"<p class='source'>Chosen after looking: {escape(claim.after_looking)}.</p>"
    kind = entry.verdict.replace(" ", "-")
    data = "".join(f"<td data-label='{name}'>{cell}</td>" for name, cell in zip(COLUMNS, cells, strict=True))
    return f"<tr id='{claim.id}' data-verdict='{kind}'>{data}</tr>"


def link(page: topics.Page, section: str, address: str) -> str:
    """Link to a section, which is named with its chapter; ``address`` is that of the page."""
    title = re.sub("`(.+?)`", r"<code>\1</code>", escape(section))
    where = f"Chapter {page.number}" if page.number else "Appendix"
    anchor = nodes.make_id(section.replace("'", ""))  # an apostrophe is curly by then, and dropped
    return f"<a href='{escape(address)}#{anchor}'>{where}: {title}</a>"


def counts(entries: dict[str, Entry]) -> str:
    """Say how many claims have each verdict."""
    found = [entry.verdict for entry in entries.values()]
    parts = [f"{found.count(verdict)} {verdict}" for verdict in Verdict if verdict in found]
    return f"{len(found)} claims: {', '.join(parts)}."


class ClaimsTable(SphinxDirective):
    """Put the stored ledger here."""

    def run(self) -> list[nodes.Node]:
        """Make the table; the page is read again when the ledger has changed."""
        with as_file(STORED) as path:
            self.env.note_dependency(str(path))
        entries = load()
        domain = cast(StandardDomain, self.env.get_domain("std"))
        for id in entries:  # so that [text](#id) leads here from every page
            domain.anonlabels[id] = self.env.docname, id
            domain.labels[id] = self.env.docname, id, id
        places = {id: self._link(page, section) for id, page, section in topics.evidence()}
        rows = [row(CLAIMS[id], entry, places[id]) for id, entry in entries.items()]
        head = "".join(f"<th scope='col'>{name}</th>" for name in COLUMNS)
        table = f"<table class='ledger'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return [nodes.paragraph(text=counts(entries)), nodes.raw("", table, format="html")]

    def _link(self, page: topics.Page, section: str) -> str:
        self.env.note_dependency(str(page.source))
        name = page.path.relative_to(self.env.srcdir).as_posix()
        return link(page, section, self.env.app.builder.get_relative_uri(self.env.docname, name))


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("claims-table", ClaimsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
