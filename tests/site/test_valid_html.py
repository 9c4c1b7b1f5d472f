"""Every page is valid HTML: it parses without an error, and nothing stands where HTML does not allow it.

The checkers that know all of HTML need Java (vnu) or Node (html-validate), which nothing else here does. So justhtml
finds errors of the syntax, and the faults below are those that vnu found in this book and their kin.
"""

from collections import Counter

import pytest
from bs4 import BeautifulSoup, Tag
from justhtml import JustHTML
from site_checks import HTML, pages

TEMPLATE = "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>T</title></head><body>{}</body></html>"
BLOCKS = {
    "p",
    "div",
    "ul",
    "ol",
    "dl",
    "table",
    "pre",
    "section",
    "article",
    "aside",
    "nav",
    "form",
    "figure",
    "blockquote",
    "details",
    "fieldset",
    "hr",
}
TEXT_ONLY = {"p", "span", "summary", "button", "label", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "code"}
ALONE = {"a": {"a", "button", "input", "select"}, "button": {"a", "button"}, "label": {"label"}, "form": {"form"}}
OBSOLETE = {"halign", "align", "valign", "bgcolor", "cellpadding", "cellspacing", "scoped", "nowrap"}
PARENTS = {
    "li": {"ul", "ol", "menu"},
    "tr": {"tbody", "thead", "tfoot", "table"},
    "summary": {"details"},
    "dt": {"dl", "div"},
    "dd": {"dl", "div"},
    "figcaption": {"figure"},
    "legend": {"fieldset"},
}


def misplaced(tag: Tag) -> list[str]:
    """What is wrong with where an element stands and with its attributes."""
    outer = {parent.name for parent in tag.parents}
    found = [f"block inside text: {tag.parent.name} > {str(tag)[:80]}"] * bool(tag.name in BLOCKS and outer & TEXT_ONLY)
    found += [f"nested: {str(tag)[:80]}" for name, inner in ALONE.items() if tag.name in inner and name in outer]
    if tag.parent.name not in PARENTS.get(tag.name, {tag.parent.name}):
        found.append(f"{tag.name} in {tag.parent.name}")
    found += [f"obsolete: {name} of {tag.name}" for name in OBSOLETE & tag.attrs.keys()]
    return found + [f"{tag.name} with an empty {name}" for name in ("id", "for") if tag.get(name) == ""]


def faults(text: str) -> list[str]:
    """What is wrong with a page; drawings and formulas have languages of their own."""
    found = [f"{error.line}: {error}" for error in JustHTML(text, collect_errors=True, sanitize=False).errors]
    soup = BeautifulSoup(text, "html.parser")
    for foreign in [*soup(["svg", "math"]), *soup(class_="katex-html")]:
        foreign.clear()
    found += [problem for tag in soup(True) for problem in misplaced(tag)]
    ids = Counter(tag["id"] for tag in soup(id=True))
    found += [f"id {id!r} {count} times" for id, count in ids.items() if count > 1]
    return found + ["no title"] * (soup.title is None or not soup.title.get_text(strip=True))


@pytest.mark.parametrize("page", [*pages(HTML), "index.html"])
def test_page(page, html):
    assert faults((html / page).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<details><summary><p>a</p></summary></details>", "block inside text"),
        ("<p>a<div>b</div></p>", "unexpected"),
        ("a</b>", "unexpected"),
        ("<ul><p>a</p><div><li>b</li></div></ul>", "li in div"),
        ("<table><tr><th halign='left'>a</th></tr></table>", "obsolete"),
        ("<p id='a'>a</p><p id='a'>b</p>", "id 'a' 2 times"),
        ("<a href='#'>a <button>b</button></a>", "nested"),
    ],
)
def test_a_fault_is_found(content, problem):
    assert problem in " ".join(faults(TEMPLATE.format(content))).lower()


def test_a_sound_page_has_none():
    assert faults(TEMPLATE.format("<details><summary><h3>a</h3></summary><p id='b'>c</p></details>")) == []
