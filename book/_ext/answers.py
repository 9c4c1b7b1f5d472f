"""The page Answers and the cheat sheet, made from ``answers.yml``, which the search reads as well.

``{decision-table}`` says which call initializes which layer, ``{questions}`` answers what people ask,
``{question-list}`` leads to those answers, and ``{cheat-sheet}`` puts the essence of both on one printed page. Verdicts
and effects come from the ledger, titles of sections from the chapters; whatever they do not know stops the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from claims_table import SHORT, Ledger, anchor, marked
from docutils import nodes  # type: ignore[import-untyped]
from docutils.statemachine import StringList  # type: ignore[import-untyped]
from sphinx.application import Sphinx

import topics
from tutorial_utils.claims.ledger import Entry, claim_by_id
from tutorial_utils.claims.registry import Outcome

SOURCE = topics.ROOT / "book" / "answers.yml"
EFFECT = re.compile(r"\{\{(%?) ?([a-z0-9-]+)(?:: ([^}]+))?\}\}")
"""An effect of the ledger in a text: the claim, and the condition if it has several; % makes it a percentage."""
TABLE_COLUMNS = ("Layer", "Call, and variance of a weight", "Why", "Measured")


class Row(NamedTuple):
    """One row of the decision table; ``answers.yml`` says what its parts mean."""

    what: str
    where: str
    layer: str
    call: str
    variance: str
    why: str
    claims: list[str]
    at: str
    of: str = "layer.weight"
    gain: str = ""
    landing: bool = False

    @property
    def url(self) -> str:
        """Its address, as seen from the root of the site."""
        return f"answers.html#{nodes.make_id(f'init-{self.what}')}"


class Question(NamedTuple):
    """One question with its answer; ``answers.yml`` says what its parts mean."""

    ask: str
    answer: str
    code: str
    claims: list[str]
    at: str
    also: str = ""
    sheet: str = ""


def _groups(part: str, items: str, kind: type[Any]) -> dict[str, list[Any]]:
    content = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))[part]
    return {group["title"]: [kind(**fields) for fields in group[items]] for group in content}


def rows() -> dict[str, list[Row]]:
    """The decision table: rows by the title of their part."""
    return _groups("table", "rows", Row)


def questions() -> dict[str, list[Question]]:
    """All questions by the title of their group."""
    return _groups("questions", "items", Question)


class Place(NamedTuple):
    """A section of a chapter."""

    page: topics.Page
    section: str
    anchor: str

    @property
    def url(self) -> str:
        """Its address, as seen from the root of the site."""
        return f"{self.page.path.parent.name}/{self.page.path.name}.html#{self.anchor}"


def place(at: str) -> Place:
    """Look up the section that ``topic#anchor`` names.

    Raises:
        ValueError: if there is no such topic or section; the message names those that there are.

    >>> place("he#forward-variance-2-fan-in").section
    'Forward: variance 2/fan_in'
    """
    topic, _, wanted = at.partition("#")
    known = topics.pages()
    if topic not in known:
        raise ValueError(f"{at!r}: no page is called {topic!r}, but {', '.join(known)}")
    text = known[topic].source.read_text(encoding="utf-8")
    sections = {anchor(title): title for title in re.findall(r"^#{2,4} (.+)$", text, re.M)}
    if wanted not in sections:
        raise ValueError(f"{at!r}: {topic} has no section {wanted!r}, but {', '.join(sections)}")
    return Place(known[topic], sections[wanted], wanted)


def effect(id: str, condition: str, stored: dict[str, Entry]) -> float:
    """The effect that the ledger holds for a claim under a condition.

    Raises:
        ValueError: if it holds none; the message names the conditions.
    """
    found = {one.condition: one.effect for one in stored[claim_by_id(id).id].sets[0]}
    if condition not in found:
        raise ValueError(f"{id} has no condition {condition!r}, but {'; '.join(map(repr, found))}")
    return found[condition]


def measured(text: str, stored: dict[str, Entry]) -> str:
    """The text with effects of the ledger in place of their names, to two digits.

    >>> from tutorial_utils.claims.ledger import load
    >>> measured("from {{glorot-relu-halves: forward}}", load())
    'from 0.5'
    """

    def number(match: re.Match[str]) -> str:
        value = effect(match[2], match[3] or "", stored)
        return f"{100 * value if match[1] else value:.2g}".replace("-", "−")

    return EFFECT.sub(number, text)


def link(at: str) -> str:
    """Link to a section."""
    found = place(at)
    return f"<a href='{found.url}'>{marked(found.section)}</a>"


HERE = {Outcome.AGREES: "holds", Outcome.REFUTES: "refuted", Outcome.OPEN: "open", Outcome.CONTROL: "a control"}
"""What was found under one condition, in a word."""


def pill(named: str, stored: dict[str, Entry]) -> str:
    """A claim as its verdict, which leads to the evidence, its statement, and what a condition says if one is named."""
    id, _, condition = named.partition(": ")
    claim, entry = claim_by_id(id), stored[id]
    kind = f"class='claim-badge' data-verdict='{entry.verdict.name.lower()}'"
    badge = f"<a {kind} href='evidence.html#{id}'>{SHORT[entry.verdict]}</a>"
    here = f" (for {escape(condition)}: <em>{HERE[entry.outcomes[condition]]}</em>)" if condition else ""
    return f"<p class='measured'>{badge} “{escape(claim.statement)}”{here}</p>"


def pills(claims: Iterable[str], stored: dict[str, Entry]) -> str:
    """The verdicts of several claims, or that there is none."""
    return "".join(pill(id, stored) for id in claims) or "<p class='measured'>Not in the ledger.</p>"


def answered(question: Question, stored: dict[str, Entry]) -> list[str]:
    """Write one question and its answer as Markdown."""
    answer = measured(question.answer, stored)
    code = ["```python", *question.code.splitlines(), "```"]
    end = f"<div class='answer-end'>{pills(question.claims, stored)}<p>Shown in {link(question.at)}.</p></div>"
    return [f"### {question.ask}", "", answer, "", *code, "", end, ""]


def table_row(row: Row, stored: dict[str, Entry]) -> str:
    """Write one row of the decision table as HTML."""
    cells = (
        f"<p><strong>{marked(row.what)}</strong></p><p class='source'>{marked(row.where)}</p>",
        f"{call(row)}<p class='source'>variance: {variance(row)}</p>",
        f"<p>{marked(row.why)}</p><p>{link(row.at)}</p>",
        pills(row.claims, stored),
    )
    id = row.url.partition("#")[2]
    return f"<tr id='{id}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def call(row: Row) -> str:
    """The call as HTML, which a narrow column breaks after a parenthesis."""
    return f"<pre>{escape(row.call).replace('(', '(<wbr>')}</pre>"


def variance(row: Row) -> str:
    """The variance as one writes it; of what is set to a constant there is none to tell."""
    return "none, a constant" if row.variance == "0" else row.variance.replace("**2", "²").replace(" * ", " · ")


def decision_table(stored: dict[str, Entry]) -> Iterator[nodes.Node]:
    """Make one table for each part, under a rubric."""
    head = "".join(f"<th scope='col'>{name}</th>" for name in TABLE_COLUMNS)
    for title, part in rows().items():
        body = "".join(table_row(row, stored) for row in part)
        table = f"<table class='decision'><caption>{title}</caption><thead><tr>{head}</tr></thead>"
        yield nodes.raw("", f"{table}<tbody>{body}</tbody></table>", format="html")


def question_list() -> str:
    """All questions as links, in one fold for each group."""
    return "".join(
        f"<details class='questions'><summary>{title} ({len(group)})</summary><ul>"
        + "".join(f"<li><a href='#{anchor(one.ask)}'>{marked(one.ask)}</a></li>" for one in group)
        + "</ul></details>"
        for title, group in questions().items()
    )


def cheat_sheet() -> str:
    """Write the decision table in three columns, and the lines that questions have for the sheet."""
    lines = "".join(
        f"<tr><th colspan='3' scope='rowgroup'>{title}</th></tr>"
        + "".join(
            f"<tr><td><strong>{marked(row.what)}</strong>, {marked(row.where)}</td>"
            f"<td>{call(row)}</td><td>{variance(row)}</td></tr>"
            for row in part
        )
        for title, part in rows().items()
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("layer", "call", "variance"))
    table = f"<table class='sheet'><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    notes = "".join(f"<li>{marked(one.sheet)}</li>" for part in questions().values() for one in part if one.sheet)
    return f"{table}<ul class='sheet'>{notes}</ul>"


class FromAnswers(Ledger):
    """What the directives share: the page is read again when the answers or the ledger have changed."""

    def stored(self) -> dict[str, Entry]:
        """The ledger that the book prints."""
        self.env.note_dependency(str(SOURCE))
        return super().stored()


class DecisionTable(FromAnswers):
    """Put the decision table here."""

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        return list(decision_table(self.stored()))


class Questions(FromAnswers):
    """Put all questions and answers here, as sections."""

    def run(self) -> list[nodes.Node]:
        """Make a section for each group and each question."""
        stored, lines = self.stored(), []
        for title, group in questions().items():
            lines += [f"## {title}", "", *(line for one in group for line in answered(one, stored))]
        text = topics.linked("\n".join(lines), Path(self.env.srcdir))
        box = nodes.section()
        self.state.nested_parse(StringList(text.splitlines(), source=SOURCE.name), self.content_offset, box, True)
        return list(box.children)


class QuestionList(FromAnswers):
    """Put links to all questions here."""

    def run(self) -> list[nodes.Node]:
        """Make the list."""
        self.stored()
        return [nodes.raw("", question_list(), format="html")]


class CheatSheet(FromAnswers):
    """Put the cheat sheet here."""

    def run(self) -> list[nodes.Node]:
        """Make the sheet."""
        self.stored()
        return [nodes.raw("", cheat_sheet(), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directives."""
    app.add_directive("decision-table", DecisionTable)
    app.add_directive("question-list", QuestionList)
    app.add_directive("questions", Questions)
    app.add_directive("cheat-sheet", CheatSheet)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
