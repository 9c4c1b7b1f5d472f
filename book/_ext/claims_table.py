"""The ledger of claims as a table: ``{claims-table}`` on the Evidence page, one row for each claim.

``{beliefs-table}`` is a short one of the statements that measured wrong.

Every row draws its intervals on a scale of its own, over a band of the effects that agree with the statement, and links
to the section whose line ``Evidence:`` names it. Without scripts it is a plain table; ``ledger.js`` sorts and filters
it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import as_file
from itertools import chain
from typing import cast

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.docutils import SphinxDirective

import topics
from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import STORED, Entry, differs, load
from tutorial_utils.claims.registry import Claim, Evidence, Outcome, Verdict

WIDTH, ROW = 120.0, 14.0  # of a drawing, in CSS pixels
COLUMNS = ("Claim", "Verdict", "Effect and interval", "Measured under", "Shown in")
BELIEF_COLUMNS = ("Belief", "Who says so", "Holds", "Would agree", "Measured against it")


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
    """Draw the intervals of one claim over the band of effects that agree with it, the second set of seeds paler."""
    left, right = scale(claim, tuple(chain(*entry.sets)))

    def x(value: float) -> float:
        return round(WIDTH * (min(max(value, left), right) - left) / (right - left), 1)

    low, high = map(x, claim.holds)
    height = ROW * len(entry.outcomes)
    shapes = [f'<rect class="band" x="{low}" y="0" width="{max(high - low, 1.5):.1f}" height="{height}"/>']
    for number, found in enumerate(entry.sets):
        for place, one in enumerate(found):
            y = ROW * (place + 0.3 + 0.4 * number)
            shapes.append(f'<line class="set{number}" x1="{x(one.low)}" x2="{x(one.high)}" y1="{y:g}" y2="{y:g}"/>')
            shapes.append(f'<circle class="set{number}" cx="{x(one.effect)}" cy="{y:g}" r="2.5"/>')
    return f'<svg viewBox="0 0 {WIDTH:g} {height:g}" aria-hidden="true">{"".join(shapes)}</svg>'


def effect(one: Evidence, unit: str = "") -> str:
    """An effect and its interval; effects that are all equal give none to a mean."""
    ends = f"{number(one.low)}, {number(one.high)}" if one.has_interval else "no interval"
    return f"{number(one.effect)}{unit} [{ends}]"


def condition(claim: Claim, outcome: Outcome, same: Sequence[Evidence]) -> str:
    """One condition: what it says, what both sets of seeds gave, and a mark where they say different things."""
    name = f"{escape(same[0].condition)}: " if same[0].condition else ""
    unit = f" {escape(claim.unit)}" if claim.unit else ""
    again = "".join(f"; again {effect(one)}" for one in same[1:])
    mark = " <strong class='differs'>≠</strong>" if differs(claim, same) else ""
    return f"<p>{name}{effect(same[0], unit)}{again}{mark}: <em>{outcome}</em></p>"


def under(claim: Claim) -> str:
    """What the statement is meant for and what it was measured with, one line each."""
    facts = {
        "Data": ", ".join(claim.data),
        "Pixels standardized": ", ".join(claim.preprocessing),
        "Optimizer": ", ".join(claim.optimizer),
        "Budget": claim.budget,
        "Controls": "; ".join(claim.controls),
        "Seeds": f"twice {claim.seeds}",
    }
    lines = [f"{name}: {escape(value)}" for name, value in facts.items() if value]
    return "".join(f"<p>{line}</p>" for line in [f"<em>{claim.scope}</em>", *lines])


def row(claim: Claim, entry: Entry, place: str) -> str:
    """One claim as a row of the table; ``place`` is a link to the section that shows it."""
    agrees = f"agrees from {number(claim.holds[0])} to {number(claim.holds[1])}; {claim.method}"
    effects = [
        condition(claim, outcome, same) for outcome, *same in zip(entry.outcomes.values(), *entry.sets, strict=True)
    ]
    cells = [
        f"<p>{escape(claim.statement)}</p><p class='source'>{escape(claim.source)}. <code>{claim.id}</code></p>",
        f"<span class='verdict'>{entry.verdict}</span>{escape(str(entry).removeprefix(entry.verdict))}",
        f"<p class='source'>{escape(claim.quantity)} ({agrees})</p>{drawing(claim, entry)}{''.join(effects)}",
        under(claim),
        place,
    ]
    if claim.after_looking:
        cells[1] += f"<p class='source'>Chosen after looking: {escape(claim.after_looking)}.</p>"
    return f"<tr id='{claim.id}' data-verdict='{entry.verdict.name.lower()}'>{_cells(COLUMNS, cells)}</tr>"


def belief(claim: Claim, entry: Entry) -> str:
    """One statement that measured wrong, as a row of the short table."""
    against = [one for one in entry.sets[0] if entry.outcomes[one.condition] is Outcome.REFUTES]
    measured = [f"{escape(one.condition)}: {effect(one)}" if one.condition else effect(one) for one in against]
    cells = [
        f"<a href='#{claim.id}'>{escape(claim.statement)}</a>",
        escape(claim.source),
        escape(entry.where) if entry.verdict is Verdict.IN_GENERAL else "nowhere that was tested",
        f"{escape(claim.quantity)}: {number(claim.holds[0])} to {number(claim.holds[1])}",
        "".join(f"<p>{text}</p>" for text in measured),
    ]
    return f"<tr data-verdict='{entry.verdict.name.lower()}'>{_cells(BELIEF_COLUMNS, cells)}</tr>"


def _cells(columns: Iterable[str], cells: Iterable[str]) -> str:
    return "".join(f"<td data-label='{name}'>{cell}</td>" for name, cell in zip(columns, cells, strict=True))


def table(head: Iterable[str], rows: Iterable[str], kind: str) -> nodes.Node:
    """A table that Sphinx takes as it is."""
    cells = "".join(f"<th scope='col'>{name}</th>" for name in head)
    html = f"<table class='{kind}'><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return nodes.raw("", html, format="html")


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
    return f"{len(found)} claims: {'; '.join(parts)}."


class Ledger(SphinxDirective):
    """What the two tables share: the page is read again when the ledger has changed."""

    def stored(self) -> dict[str, Entry]:
        """The ledger that the book prints."""
        with as_file(STORED) as path:
            self.env.note_dependency(str(path))
        return load()


class BeliefsTable(Ledger):
    """Put the statements here that somebody holds and that measured wrong, wholly or in general."""

    def run(self) -> list[nodes.Node]:
        """Make the table, those first that hold nowhere."""
        wrong = (Verdict.REFUTED, Verdict.IN_GENERAL)
        entries = [one for one in self.stored().values() if one.verdict in wrong]
        entries.sort(key=lambda one: wrong.index(one.verdict))
        rows = [belief(CLAIMS[one.id], one) for one in entries if not CLAIMS[one.id].source.startswith("derivation")]
        return [table(BELIEF_COLUMNS, rows, "beliefs")]


class ClaimsTable(Ledger):
    """Put the stored ledger here."""

    def run(self) -> list[nodes.Node]:
        """Make the table, and a label for each row."""
        entries = self.stored()
        domain = cast(StandardDomain, self.env.get_domain("std"))
        for id in entries:  # so that [text](#id) leads here from every page
            domain.anonlabels[id] = self.env.docname, id
            domain.labels[id] = self.env.docname, id, id
        places = {id: self._link(page, section) for id, page, section in topics.evidence()}
        rows = [row(CLAIMS[id], entry, places[id]) for id, entry in entries.items()]
        return [nodes.paragraph(text=counts(entries)), table(COLUMNS, rows, "ledger")]

    def _link(self, page: topics.Page, section: str) -> str:
        self.env.note_dependency(str(page.source))
        name = page.path.relative_to(self.env.srcdir).as_posix()
        return link(page, section, self.env.app.builder.get_relative_uri(self.env.docname, name))


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directives."""
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("beliefs-table", BeliefsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
