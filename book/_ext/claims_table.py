"""The ledger of claims: ``{claims-table}`` on the Evidence page, a fold for each topic and a row for each claim.

Every row draws its intervals on a scale of its own, over a band of the effects that agree with the statement, and links
to the section whose line ``Evidence:`` names it. Without scripts the folds hold plain tables; ``ledger.js`` filters
their rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import as_file
from itertools import chain
from typing import Any, cast

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.docutils import SphinxDirective

import topics
from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import STORED, Entry, differs, load
from tutorial_utils.claims.registry import Claim, Evidence, Outcome, Verdict

SCRIPT = "ledger.js"
WIDTH, ROW = 120.0, 14.0  # of a drawing, in CSS pixels
COLUMNS = ("Claim", "Verdict", "Effect and interval", "Measured under", "Shown in")
SHORT = {verdict: str(verdict) for verdict in Verdict} | {
    Verdict.NOT_FOUND: "not found",
    Verdict.UNDECIDED: "not decided",
}
"""The verdicts where there is little room."""
KINDS = {
    "folklore": r"\bfolklore\b",
    "papers": r"\(\d{4}\)",
    "PyTorch and Keras": r"\bdocs\b|pytorch issue",
    "the text this book grew from": r"\bsource text\b",
    "derivations": r"\bderivation\b",
    "this book": r"\bthis book\b",
}
"""Kinds of sources, each with how a claim's source names it."""


def number(value: float) -> str:
    """Print a number with three digits, and a minus that is one.

    >>> number(-0.012345), number(123456.0), number(float("inf"))
    ('−0.0123', '1.23e+05', '∞')
    """
    text = "∞" if math.isinf(value) else f"{abs(value):.3g}"
    return ("−" if value < 0 else "") + text


def scale(claim: Claim, evidence: Iterable[Evidence]) -> tuple[float, float]:
    """Choose the ends of a row's scale: all intervals, and where the band begins or ends near them."""
    ends = [end for one in evidence for end in (one.effect, one.low, one.high)] + list(claim.holds)
    finite = [end for end in ends if math.isfinite(end)] or [0.0]
    margin = 0.08 * (max(finite) - min(finite)) or 0.5 * abs(finite[0]) or 1.0
    return min(finite) - margin, max(finite) + margin


def drawing(claim: Claim, sets: Sequence[Sequence[Evidence]]) -> str:
    """Draw the intervals of one claim over the band of effects that agree with it, the second set of seeds paler."""
    left, right = scale(claim, chain(*sets))

    def x(value: float) -> float:
        return round(WIDTH * (min(max(value, left), right) - left) / (right - left), 1)

    low, high = map(x, claim.holds)
    height = ROW * len(sets[0])
    shapes = [f'<rect class="band" x="{low}" y="0" width="{max(high - low, 1.5):.1f}" height="{height}"/>']
    for number, found in enumerate(sets):
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


def kinds(source: str) -> list[str]:
    """Name the kinds of sources that a claim's source belongs to.

    >>> kinds("folklore; cf. Saxe et al. (2014)")
    ['folklore', 'papers']
    """
    return [kind for kind, pattern in KINDS.items() if re.search(pattern, source)]


def row(claim: Claim, entry: Entry, place: str) -> str:
    """One claim as a row of the table; ``place`` is a link to the section that shows it."""
    agrees = f"agrees from {number(claim.holds[0])} to {number(claim.holds[1])}; {claim.method}"
    effects = [
        condition(claim, outcome, same) for outcome, *same in zip(entry.outcomes.values(), *entry.sets, strict=True)
    ]
    cells = [
        f"<p>{escape(claim.statement)}</p><p class='source'>{escape(claim.source)}. <code>{claim.id}</code></p>",
        f"<span class='verdict'>{entry.verdict}</span>{escape(str(entry).removeprefix(entry.verdict))}",
        f"<p class='source'>{escape(claim.quantity)} ({agrees})</p>{drawing(claim, entry.sets)}{''.join(effects)}",
        under(claim),
        place,
    ]
    if claim.after_looking:
        cells[1] += f"<p class='source'>Chosen after looking: {escape(claim.after_looking)}.</p>"
    about = f"data-verdict='{entry.verdict.name.lower()}' data-sources='{'; '.join(kinds(claim.source))}'"
    named = "".join(f"<td data-label='{name}'>{cell}</td>" for name, cell in zip(COLUMNS, cells, strict=True))
    return f"<tr id='{claim.id}' {about}>{named}</tr>"


def fold(topic: str, title: str, counted: str, rows: Iterable[str]) -> str:
    """All claims of one topic under the title of its page."""
    head = "".join(f"<th scope='col'>{name}</th>" for name in COLUMNS)
    table = f"<table class='ledger'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    summary = f"<summary><h3>{title}</h3> <span class='source'>{counted}</span></summary>"
    return f"<details class='ledger-topic' data-topic='{topic}'>{summary}{table}</details>"


def menu(name: str, label: str, options: Mapping[str, str]) -> str:
    """A choice of the filter; its first option leaves everything in."""
    listed = "".join(f"<option value='{value}'>{words}</option>" for value, words in {"": "all", **options}.items())
    return f"<label>{label} <select name='{name}'>{listed}</select></label>"


def filters(titles: Mapping[str, str]) -> str:
    """The form that filters the rows; it needs scripts."""
    menus = [
        menu("topic", "Topic", titles),
        menu("source", "Who says so", {kind: kind for kind in KINDS}),
        menu("verdict", "Verdict", {verdict.name.lower(): verdict for verdict in Verdict}),
        "<label>Words <input type='search' name='words'></label>",
        "<button type='reset'>Show all</button> <output></output>",
    ]
    return f"<form class='ledger-filter pst-js-only'>{''.join(menus)}</form>"


def anchor(section: str) -> str:
    """The address that Sphinx gives a section: an apostrophe is curly by then, and dropped."""
    return str(nodes.make_id(section.replace("'", "")))


def marked(text: str) -> str:
    """Write a text with words in backticks as HTML.

    >>> marked("use `a < b`")
    'use <code>a &lt; b</code>'
    """
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(text))


def link(page: topics.Page, section: str, address: str) -> str:
    """Link to a section, which is named with its chapter; ``address`` is that of the page."""
    where = f"Chapter {page.number}" if page.number else "Appendix"
    return f"<a href='{escape(address)}#{anchor(section)}'>{where}: {marked(section)}</a>"


def heading(page: topics.Page) -> str:
    """The title of a page, with the number of its chapter."""
    title = re.search(r"^# (.+)$", page.source.read_text(encoding="utf-8"), re.MULTILINE)
    name = escape(title[1]) if title else page.label
    return f"{page.number}. {name}" if page.number else name


def counts(entries: Iterable[Entry]) -> str:
    """Say how many claims have each verdict."""
    found = [entry.verdict for entry in entries]
    parts = [f"{found.count(verdict)} {SHORT[verdict]}" for verdict in Verdict if verdict in found]
    return f"{len(found)} claim{'s' if len(found) > 1 else ''}: {', '.join(parts)}."


class Ledger(SphinxDirective):
    """What shows the ledger: the page is read again when it has changed."""

    def stored(self) -> dict[str, Entry]:
        """The ledger that the book prints."""
        with as_file(STORED) as path:
            self.env.note_dependency(str(path))
        return load()


class ClaimsTable(Ledger):
    """Put the stored ledger here."""

    def run(self) -> list[nodes.Node]:
        """Make the filter and the folds, and a label for each row."""
        entries = self.stored()
        domain = cast(StandardDomain, self.env.get_domain("std"))
        for id in entries:  # so that [text](#id) leads here from every page
            domain.anonlabels[id] = self.env.docname, id
            domain.labels[id] = self.env.docname, id, id
        places = {id: self._link(page, section) for id, page, section in topics.evidence()}
        by_topic = {
            topic: [one for one in entries.values() if CLAIMS[one.id].topic == topic] for topic in topics.pages()
        }
        titles = {topic: heading(topics.pages()[topic]) for topic, found in by_topic.items() if found}
        rows = {topic: [row(CLAIMS[one.id], one, places[one.id]) for one in by_topic[topic]] for topic in titles}
        folds = [fold(topic, title, counts(by_topic[topic]), rows[topic]) for topic, title in titles.items()]
        html = filters(titles) + "".join(folds)
        return [nodes.paragraph(text=counts(entries.values())), nodes.raw("", html, format="html")]

    def _link(self, page: topics.Page, section: str) -> str:
        self.env.note_dependency(str(page.source))
        name = page.path.relative_to(self.env.srcdir).as_posix()
        return link(page, section, self.env.app.builder.get_relative_uri(self.env.docname, name))


def load_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Name the script on the page that holds the ledger."""
    if "<table class='ledger'" in context.get("body", ""):
        app.add_js_file(SCRIPT, priority=900, defer="defer")  # after book.js, whose helpers it uses


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("claims-table", ClaimsTable)
    app.connect("html-page-context", load_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
