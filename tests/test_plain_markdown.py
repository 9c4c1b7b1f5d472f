"""What is compiled reads well where nobody knows MyST: every notebook as nbconvert and GitHub show it."""

import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import markdown2html_mistune

import editions
import notebooks
from notebooks import ROOT
from plain_markdown import PlainError, Source, bibliography, plain

NOTEBOOKS = [path.with_suffix(".ipynb") for path in notebooks.chapters([])]
NOTEBOOKS += [path for master in editions.masters() for path in editions.paths(master)]
RAW = re.compile(
    r":{3,}|`{3}|\{[\w:]+\}`|\([\w:-]+\)=|\$\$ *\(\w+:|\{\{|\\(?:eqref|label|ref)\{|^ *:[a-z]+:", re.MULTILINE
)
"""What only MyST understands."""


def rendered(path: Path) -> BeautifulSoup:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    return BeautifulSoup("\n".join(markdown2html_mistune(cell.source) for cell in cells), "html.parser")


def raw_markup(page: BeautifulSoup) -> list[str]:
    """Pieces of the text of a page, without its code, that show markup instead of what it means."""
    for code in page.find_all(["code", "pre"]):
        code.extract()
    text = page.get_text()
    return [text[max(found.start() - 20, 0) : found.end() + 20] for found in RAW.finditer(text)]


def broken_links(page: BeautifulSoup, folder: Path) -> list[str]:
    headings = {tag["id"] for tag in page.find_all(re.compile("h[1-6]"))}
    links = [tag["href"] for tag in page.select("a[href]:not(.anchor-link)")] + [
        tag["src"] for tag in page.find_all("img")
    ]
    local = [link for link in links if not re.match(r"https?:", link)]
    return [link for link in local if not (leads(link, folder) if link[0] != "#" else unquote(link[1:]) in headings)]


def leads(link: str, folder: Path) -> bool:
    """Whether a link to a file leads somewhere, and where it names a section, to that section."""
    name, _, heading = link.partition("#")
    target = folder / name
    if not target.exists() or not heading:
        return target.exists()
    return unquote(heading) in {tag["id"] for tag in rendered(target).find_all(re.compile("h[1-6]"))}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_notebook_shows_no_markup_and_no_broken_link(path: Path) -> None:
    page = rendered(path)
    assert broken_links(page, path.parent) == []
    assert raw_markup(page) == []


def test_every_folded_answer_is_folded_everywhere() -> None:
    written = [source.read_text(encoding="utf-8").count(":class: dropdown") for source in notebooks.chapters([])]
    shown = [len(rendered(path).select("details > summary")) for path in NOTEBOOKS[: len(written)]]
    assert shown == written and sum(shown) > 20


PAGE = Source(
    """\
# Title

(a-label)=
## What is *it*?

$$
a = b
$$ (eq:first)

:::{admonition} Predict `x`
:class: tip
How much?

$$
a
+ b
$$
:::

:::{admonition} Is `a < b`?
:class: dropdown
Yes, by {eq}`eq:first` and {eq}`eq:he-half`.
:::

{cite:t}`he2015delving` [there](#a-label), [here](#what-is-it), as others {cite:p}`glorot2010,ioffe2015`.
Evidence: [he-keeps-second-moment](#he-keeps-second-moment)

```{bibliography}
:filter: docname in docnames
```
""",
    notebooks.ROOT / "book" / "chapters",
    7,
)


def test_each_kind_of_markup_has_a_plain_form() -> None:
    text = plain(PAGE.text, PAGE)
    for piece in (
        "# Title\n\n## What is *it*?\n",
        "$$\na = b\n\\tag{7.1}\n$$",
        "> **Predict `x`**\n>\n> How much?\n>\n> $$a + b$$",
        "<details>\n<summary>Is <code>a &lt; b</code>?</summary>\n\nYes, by",
        "by (7.1) and [(4.2)](04-he.ipynb).\n\n</details>",
        "He et al. (2015) [there](#What-is-it%3F), [here](#What-is-it%3F), as others ",
        "others (Glorot and Bengio, 2010; Ioffe and Szegedy, 2015).",
        "[he-keeps-second-moment](../../src/tutorial_utils/claims/he.py)",
        "- Sergey Ioffe and Christian Szegedy. Batch normalization: ",
    ):
        assert piece in text


def test_every_work_of_the_bibliography_is_cited() -> None:
    folders = ROOT / "book", ROOT / "src", ROOT / "exercises"
    texts = [
        path.read_text("utf-8") for folder in folders for path in folder.rglob("*") if path.suffix in (".md", ".py")
    ]
    assert not [key for key in bibliography().entries if not any(key in text for text in texts)]


@pytest.mark.parametrize(
    "text", ["{doc}`he`", "{eq}`eq:none`", "{cite:p}`nobody1999`", "[x](#no-such-place)", ":::{tip}\nWords.\n:::"]
)
def test_what_has_no_plain_form_is_refused(text: str) -> None:
    with pytest.raises(PlainError, match=re.search(r"\w+(?:[:-]\w+)*(?=\W*(?:\nWords.*)?$)|tip", text, re.DOTALL)[0]):
        plain(text, Source(text, PAGE.folder))


def test_markup_and_broken_links_are_found() -> None:
    text = ":::{admonition} A\nB\n:::\n\nSee {eq}`x`. [a](none.md) [b](#None) [c](04-he.ipynb#None)"
    page = BeautifulSoup(markdown2html_mistune(text), "html.parser")
    assert len(broken_links(page, PAGE.folder)) == 3
    assert len(raw_markup(page)) >= 2
