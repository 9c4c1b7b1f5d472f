"""Every page is valid HTML: it parses without an error, and nothing stands where HTML does not allow it.

The checkers that know all of HTML need Java (vnu) or Node (html-validate), which nothing else here does. So justhtml finds
errors of the syntax, and the faults below are those that vnu found in this book and their kin.
"""

from collections import Counter

import pytest
from bs4 import BeautifulSoup
from justhtml import JustHTML
from site_checks import HTML, pages

TEMPLATE = "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>T</title></head><body>{}</body></html>"
BLOCKS = "p, div, ul, ol, dl, table, pre, section, article, aside, nav, form, figure, blockquote, details, fieldset, hr"
TEXT_ONLY = (
    "p",
    "span",
    "a.reference",
    "summary",
    "button",
    "label",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "pre",
    "code",
)
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


def faults(text: str) -> list[str]:
    """What is wrong with a page, without what lies inside a template's or a formula's own language."""
    found = [f"{error.line}: {error}" for error in JustHTML(text, collect_errors=True, sanitize=False).errors]
    soup = BeautifulSoup(text, "html.parser")
    for foreign in soup.select("svg, math"):
        foreign.clear()
    inside = ", ".join(f"{outer} :is({BLOCKS})" for outer in TEXT_ONLY)
    found += [f"block inside text: {tag.parent.name} > {str(tag)[:80]}" for tag in soup.select(inside)]
    found += [f"nested: {str(tag)[:80]}" for tag in soup.select("a a, a button, button a, label label, form form")]
    found += [
        f"{name} in {tag.parent.name}" for name in PARENTS for tag in soup(name) if tag.parent.name not in PARENTS[name]
    ]
    found += [f"obsolete: {name} of {tag.name}" for tag in soup(True) for name in OBSOLETE & tag.attrs.keys()]
    ids = Counter(tag["id"] for tag in soup(id=True))
    found += [f"id {id!r} {count} times" for id, count in ids.items() if count > 1]
    found += [
        f"{tag.name} without content: {name}" for tag in soup(True) for name in ("id", "for") if tag.get(name) == ""
    ]
    return found + ["no title"] * (soup.title is None or not soup.title.get_text(strip=True))


@pytest.mark.parametrize("page", pages(HTML))
def test_page(page, html):
    assert faults((html / page).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<details><summary><p>a</p></summary></details>", "block inside text"),
        ("<p>a<div>b</div></p>", "unexpected"),
        ("<b>a", "expected"),
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
