"""A search that finds sections: while the site is built, what each section says is written to ``_static/sections.js``.

A section is known by its heading, its first words, and the error messages that its cells print. A question of the page
Answers is known by further words of those who ask it, too, and says which section shows the answer. Beside them stand
the terms of the glossary, the statements of the claims and the names of the API. ``assets/search.js`` loads this when
a reader wants to search, and looks through it with MiniSearch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import copyfile
from typing import Any, NamedTuple

import answers
from docutils import nodes  # type: ignore[import-untyped]
from sphinx import addnodes
from sphinx.application import Sphinx

from tutorial_utils.claims import CLAIMS

HERE = Path(__file__).resolve().parent
WORDS = 80
"""Words of a section that are searched: its beginning says what it is about."""
ERROR = re.compile(r"^\w*(?:Error|Warning): .{1,200}", re.MULTILINE)
UNSEARCHED = {"search", "genindex", "bibliography", "cheat-sheet"}
NO_ANSWER = ("References", "Check yourself")
"""Headings of sections that nobody looks for."""


class Section(NamedTuple):
    """What a reader can land at."""

    kind: str  # chapters, exercises, api, ... : the folder of the page, or its name
    page: str  # title of the page
    title: str
    url: str
    text: str
    also: str = ""
    """Words that are searched and not shown."""
    shown: str = ""
    """The address of the section that shows what this one says in short."""


def _said(node: nodes.Node) -> Iterator[str]:
    """The words of a node, without code, formulas, and what belongs to sections inside it."""
    for child in node.children:
        if isinstance(child, nodes.section | nodes.title | nodes.math | nodes.math_block | nodes.raw):
            continue
        if isinstance(child, nodes.literal_block):
            yield from ERROR.findall(child.astext())
        elif isinstance(child, nodes.Text):
            yield child.astext()
        else:
            yield from _said(child)
            yield " "  # what stands in two paragraphs are two words


def said(node: nodes.Node) -> str:
    """The beginning of what a section says, in one line."""
    return " ".join("".join(_said(node)).split()[:WORDS])


def _heading(section: nodes.section) -> str:
    title = section.next_node(nodes.title)
    return " ".join(title.astext().split()) if title else ""


def sections(doctree: nodes.document, name: str) -> Iterator[Section]:
    """The sections of a page, its terms if it has a glossary, and its names if it documents code."""
    kind = name.split("/")[0]
    page = next((_heading(section) for section in doctree.findall(nodes.section)), "")
    for section in doctree.findall(nodes.section):
        anchor = "" if section.parent is doctree else f"#{section['ids'][0]}"
        if (heading := _heading(section)) not in NO_ANSWER:
            yield Section(kind, page, heading, f"{name}.html{anchor}", said(section))
    for term in doctree.findall(nodes.term):
        if term["ids"]:
            meaning = term.parent.next_node(nodes.definition)
            yield Section(kind, page, term.astext(), f"{name}.html#{term['ids'][0]}", said(meaning))
    for signature in doctree.findall(addnodes.desc_signature):
        if signature["ids"]:
            title = signature["ids"][0].removeprefix("tutorial_utils.")
            yield Section(kind, page, title, f"{name}.html#{signature['ids'][0]}", said(signature.parent))


def calls() -> Iterator[Section]:
    """The rows of the decision table."""
    for row in chain.from_iterable(answers.rows().values()):
        title, text = f"Initialization for {row.what}", f"{row.call}: {row.why}"
        yield Section("answers", "Answers", title, row.url, text, row.where, answers.place(row.at).url)


def claims() -> Iterator[Section]:
    """The statements of the ledger, which its page shows as rows of a table."""
    for claim in CLAIMS.values():
        yield Section(
            "evidence", "Evidence", claim.statement, f"evidence.html#{claim.id}", f"{claim.quantity} {claim.source}"
        )


def questions(doctree: nodes.document) -> Iterator[Section]:
    """The sections of the page Answers; its questions, which stand two levels down, in the order of their source.

    What groups the questions is left out: who searches wants an answer.
    """
    groups = answers.questions()
    asked = chain.from_iterable(groups.values())
    for node, section in zip(doctree.findall(nodes.section), sections(doctree, "answers"), strict=True):
        if isinstance(node.parent.parent, nodes.section):
            one = next(asked)
            yield section._replace(page="Answers", also=one.also, shown=answers.place(one.at).url)
        elif section.title not in groups:
            yield section._replace(page="Answers")


def _write(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    readers = {"answers": questions}
    found = [
        section
        for name in sorted(app.env.found_docs - UNSEARCHED)
        for section in readers.get(name, partial(sections, name=name))(app.env.get_doctree(name))
    ]
    static = Path(app.outdir) / "_static"
    rows = [section._asdict() for section in [*found, *calls(), *claims()]]
    for unused in ("searchindex.js", "_static/searchtools.js"):
        (Path(app.outdir) / unused).unlink(missing_ok=True)
    (static / "sections.js").write_text(
        f"window.SECTIONS = {json.dumps(rows, ensure_ascii=False)};\n", encoding="utf-8"
    )
    copyfile(HERE / "minisearch" / "minisearch.js", static / "minisearch.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
