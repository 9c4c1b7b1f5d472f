"""Markdown that every viewer of notebooks understands, made of the MyST that a chapter is written in.

GitHub, VS Code, Colab and JupyterLab show the boxes, citations and labels of MyST as raw text. So a compiled notebook
says the same in plain words: a box is a quotation, a folded answer is `<details>`, an equation carries its number, a
claim leads to the module that measures it. The site is built from the text as written (book/_ext/as_written.py).
"""

import html
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from urllib.parse import quote

from pybtex.backends.markdown import Backend
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.plugin import find_plugin

import topics
from topics import ROOT

BLOCK = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{(?P<name>[\w-]+)\} *(?P<title>[^\n]*)\n"
    r"(?P<options>(?::[\w-]+:[^\n]*\n)*)(?P<body>.*?)^(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
EQUATION = re.compile(r"\$\$(?P<tex>(?:(?!\$\$).)+)\$\$ *\((?P<label>[\w:-]+)\)", re.DOTALL)
DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
LABEL = re.compile(r"^\(([\w:-]+)\)=\n", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"^(`{3,}).*?^\1`* *$", re.MULTILINE | re.DOTALL)
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
ANCHOR = re.compile(r"\]\(#([\w:.-]+)\)")
PAGE = re.compile(r"\]\(([\w./-]+)\.md((?:#[\w.-]+)?)\)")
ESCAPED = re.compile(r"\\([.()-])")
"""Signs that need no escape within a line."""
CLAIM = re.compile(r"^def (\w+)\(", re.MULTILINE)
CLAIMS = ROOT / "src" / "tutorial_utils" / "claims"
BIBLIOGRAPHY = ROOT / "book" / "references.bib"
LABORATORY = "*On the site of the book this place holds the Laboratory: its controls and its charts.*"


class PlainError(ValueError):
    """Something in a text has no plain form yet; the message repeats it."""


@dataclass(frozen=True)
class Source:
    """A text in MyST and where it lies: what its links and numbers depend on."""

    text: str
    folder: Path
    number: int | None = None
    """Of the chapter, which its equations begin with."""

    @cached_property
    def equations(self) -> dict[str, str]:
        """The number of each labeled equation, as the site prints it."""
        chapter = f"{self.number}." if self.number else ""
        labels = [found["label"] for found in EQUATION.finditer(self.text)]
        return {label: f"{chapter}{place}" for place, label in enumerate(labels, 1)}

    @cached_property
    def headings(self) -> dict[str, str]:
        """Where links to its sections lead in a notebook, by heading as the site names it and by label."""
        text = CODE.sub("", self.text)
        found = {slug(title[1]): anchor(title[1]) for title in HEADING.finditer(text)}
        for label in LABEL.finditer(text):
            if title := HEADING.search(text, label.end()):
                found[label[1]] = anchor(title[1])
        return found

    @cached_property
    def cited(self) -> list[str]:
        """The keys of the works it cites, each once."""
        keys = [key for role, target in ROLE.findall(self.text) if role.startswith("cite") for key in target.split(",")]
        return list(dict.fromkeys(key.strip() for key in keys))


def slug(heading: str) -> str:
    """A heading as the site makes an address of it.

    >>> slug("What it does not keep: `the` single draw")
    'what-it-does-not-keep-the-single-draw'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def anchor(heading: str) -> str:
    """A heading as JupyterLab, nbconvert and GitHub make an address of it."""
    return quote(re.sub(r"[`*]", "", heading).replace(" ", "-"))


@cache
def sources() -> dict[str, tuple[topics.Page, Source]]:
    """The texts about topics, by the label of their page."""
    found = {label: page for label, page in topics.pages().items() if page.source.exists()}
    return {
        label: (page, Source(page.source.read_text(encoding="utf-8"), page.path.parent, page.number))
        for label, page in found.items()
    }


@cache
def claims() -> dict[str, Path]:
    """The module that measures each claim, by the claim's id."""
    modules = sorted(CLAIMS.glob("*.py"))
    return {name.replace("_", "-"): path for path in modules for name in CLAIM.findall(path.read_text("utf-8"))}


# --- citations ----------------------------------------------------------------------------------------


@cache
def bibliography() -> BibliographyData:
    """The works that the book cites."""
    return parse_file(str(BIBLIOGRAPHY))


def _entry(key: str) -> Entry:
    if key not in bibliography().entries:
        raise PlainError(f"{key!r} is cited, but {BIBLIOGRAPHY.name} has no such entry")
    return bibliography().entries[key]


def authors(entry: Entry) -> str:
    """The last names as they stand in a sentence."""
    people = [" ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]]
    names = [re.sub(r"[{}]", "", name) for name in people]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def cite(role: str, keys: str) -> str:
    """A citation in words: of an author who is part of the sentence, or in parentheses."""
    works = [(authors(entry), entry.fields["year"]) for entry in map(_entry, map(str.strip, keys.split(",")))]
    if role == "cite:t":
        return " and ".join(f"{names} ({year})" for names, year in works)
    return "(" + "; ".join(f"{names}, {year}" for names, year in works) + ")"


def references(keys: list[str]) -> str:
    """The works with these keys as a list."""
    style = find_plugin("pybtex.style.formatting", "plain")()
    for key in keys:
        _entry(key)
    listed = style.format_bibliography(bibliography(), keys)
    lines = (" ".join(work.text.render(Backend()).split()) for work in listed)
    return "\n".join("- " + ESCAPED.sub(r"\1", line) for line in lines)


# --- blocks -------------------------------------------------------------------------------------------


def in_one_line(text: str) -> str:
    """The text with each displayed formula on one line: viewers take a mark of quotation inside one for a sign."""
    return DISPLAY.sub(lambda found: f"$${' '.join(found[1].split())}$$", text)


def quotation(title: str, body: str) -> str:
    """A box that is always open."""
    lines = [f"**{title}**", "", *in_one_line(body).splitlines()]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def folded(title: str, body: str) -> str:
    """A box that opens when it is clicked; its title is HTML."""
    summary = re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(title, quote=False))
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def is_closed(block: re.Match[str]) -> bool:
    """Whether a box shows its title only until it is clicked."""
    return "dropdown" in block["options"]


def without_closed_boxes(text: str) -> str:
    """What a page shows of a text before anything is clicked."""
    return BLOCK.sub(lambda block: "" if is_closed(block) else block[0], text)


def _admonition(block: re.Match[str], page: Source) -> str:
    box = folded if is_closed(block) else quotation
    return box(block["title"], block["body"].strip())


def _figure(block: re.Match[str], page: Source) -> str:
    alt = re.search(r"^:alt: *(.*)$", block["options"], re.MULTILINE)
    return f"![{alt[1] if alt else ''}]({block['title']})\n\n{block['body'].strip()}"


BLOCKS: dict[str, Callable[[re.Match[str], Source], str]] = {
    "admonition": _admonition,
    "figure": _figure,
    "bibliography": lambda block, page: references(page.cited),
    "laboratory": lambda block, page: LABORATORY,
}


def _block(block: re.Match[str], page: Source) -> str:
    if block["name"] not in BLOCKS:
        raise PlainError(f"{{{block['name']}}} has no plain form; known are {', '.join(BLOCKS)}")
    return BLOCKS[block["name"]](block, page)


# --- what stands in a sentence ------------------------------------------------------------------------


def _role(role: str, target: str, page: Source) -> str:
    if role in ("cite:t", "cite:p"):
        return cite(role, target)
    if role == "eq":
        return _equation(target, page)
    raise PlainError(f"{{{role}}}`{target}` has no plain form; known are cite:t, cite:p and eq")


def _equation(label: str, page: Source) -> str:
    if label in page.equations:
        return f"({page.equations[label]})"
    for other, source in sources().values():
        if label in source.equations:
            return f"[({source.equations[label]})]({_relative(other.file, page)})"
    raise PlainError(f"{{eq}}`{label}`: no chapter has an equation of that label")


def _relative(path: Path, page: Source) -> str:
    return Path(os.path.relpath(path, page.folder)).as_posix()


def _target(label: str, page: Source) -> str:
    """Where a link to a section, a label or a claim leads."""
    if label in page.headings:
        return f"#{page.headings[label]}"
    if label in claims():
        return _relative(claims()[label], page)
    for other, source in sources().values():
        if label in source.headings:
            return f"{_relative(other.file, page)}#{source.headings[label]}"
    raise PlainError(f"a link leads to #{label}, which is no section, label or claim")


def _file(link: re.Match[str], page: Source) -> str:
    """A link to a page, which leads to its notebook if it has one."""
    has_notebook = (page.folder / f"{link[1]}.ipynb").exists()
    return f"]({link[1]}{'.ipynb' if has_notebook else '.md'}{link[2]})"


def plain(text: str, page: Source) -> str:
    """A part of a page in plain Markdown; raises PlainError with what has no plain form."""
    numbers = page.equations
    text = EQUATION.sub(lambda found: f"$${found['tex'].rstrip()}\n\\tag{{{numbers[found['label']]}}}\n$$", text)
    text = BLOCK.sub(lambda block: _block(block, page), text)
    text = LABEL.sub("", text)
    text = ROLE.sub(lambda role: _role(role[1], role[2], page), text)
    text = ANCHOR.sub(lambda link: f"]({_target(link[1], page)})", text)
    return PAGE.sub(lambda link: _file(link, page), text)
