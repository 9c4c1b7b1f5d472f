"""The chapters as committed: complete, up to date, in the book's form, and true to their own numbers."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import NotebookNode

import notebooks
import topics
from notebook_lint import code_cells, tags

BOOK = notebooks.ROOT / "book"
PAGES = [page.source for page in topics.pages().values() if page.source.exists()]
COMPILED = [source for source in notebooks.chapters([]) if source in PAGES]
CHAPTERS = [source for source in PAGES if source.parent.name == "chapters"]
MIN_CHAPTERS = 14
MAX_CODE_LINES = 20
MAX_WIDTH = 84
"""Characters in a line of code or of printed text: what a page shows on a laptop without scrolling sideways."""
MAX_SUMMARY_LINES = 5
MAX_IGNORED_OUTPUTS = 2
"""Cells of one chapter whose outputs nbval may leave uncompared: chaotic training curves, nothing else."""
SECTIONS = ["What breaks it", "Summary", "Check yourself", "References"]
"""The last headings of every chapter, in this order; one heading or more comes before them."""

NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?!\d|\.\d)")
HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
FENCE = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)`*\s*$", re.MULTILINE | re.DOTALL)
NOT_PROSE = re.compile(
    r"""^:::[^\n]*$ | ^:[\w-]+:[^\n]*$ | ^%[^\n]*$    # directives: their fences and options; comments
    | <!--.*?--> | <https?://[^>]*>       # comments and addresses
    | \{[\w:.+-]+\}`[^`]*`                # roles: citations and references
    | (?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)   # code
    | !?\[[^\]]*\]\([^)]*\)               # links
    | ^Evidence:[^\n]*$                    # the claims of a section
    | ^\([\w:.-]+\)=\s*$ | (?<=\$\$)[ ]*\([\w:.-]+\)     # labels""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


def markdown(nb: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def prose(text: str) -> str:
    """Markdown without code, links, citations and markup; formulas stay."""
    return NOT_PROSE.sub(" ", FENCE.sub(" ", text))


def evidence(nb: NotebookNode) -> str:
    """The code of a notebook and the text it printed."""
    texts = [cell.source for cell in code_cells(nb)]
    for output in (output for cell in code_cells(nb) for output in cell.outputs):
        data = output.get("data", {})
        texts += [output.get("text", ""), output.get("evalue", "")]
        texts += [data[mime] for mime in ("text/plain", "text/html") if mime in data]
    return "\n".join(texts)


def number_problems(nb: NotebookNode) -> Iterator[str]:
    known = set(NUMBER.findall(evidence(nb)))
    for number in NUMBER.findall(prose(markdown(nb))):
        if number not in known:
            yield f"{number} stands in the prose, but in no code cell and no printed output"


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+?)\s*$", FENCE.sub("", text), re.MULTILINE)


def section(text: str, heading: str) -> str:
    match = re.search(rf"^## {re.escape(heading)}\s*$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return match[1].strip() if match else ""


def opening_problems(text: str) -> Iterator[str]:
    title, goal, prerequisites = [*re.split(r"\n\s*\n", text.strip()), "", ""][:3]
    if not re.fullmatch(r"\([a-z0-9-]+\)=\n# \S.*", title):
        yield f"it does not begin with a label and a title: {title!r}"
    if not re.match(r"[A-Z$*_`]", goal) or goal.startswith("**Prerequisites"):
        yield f"the title is not followed by the goal: {goal[:60]!r}"
    if "Prerequisites" not in prerequisites or not re.search(r"\d+ minutes", prerequisites):
        yield f"the goal is not followed by prerequisites and minutes: {prerequisites[:60]!r}"


def section_problems(text: str) -> Iterator[str]:
    found = headings(text)
    if found[-len(SECTIONS) :] != SECTIONS or len(found) == len(SECTIONS):
        yield f"the headings do not end with {SECTIONS} after at least one step: {found}"
    summary = section(text, "Summary")
    lines = re.findall(r"^(?:[-*]|\d+\.) ", summary, re.MULTILINE) or [line for line in summary.splitlines() if line]
    if not 1 <= len(lines) <= MAX_SUMMARY_LINES:
        yield f"the summary has {len(lines)} lines, allowed are 1 to {MAX_SUMMARY_LINES}"
    if ":class: dropdown" not in section(text, "Check yourself"):
        yield "'Check yourself' has no folded answer (:class: dropdown)"
    if "{bibliography}" not in section(text, "References"):
        yield "'References' has no {bibliography}"


def code_problems(nb: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(code_cells(nb), 1):
        if (lines := len(cell.source.splitlines())) > MAX_CODE_LINES:
            yield f"code cell {number} has {lines} lines, allowed are {MAX_CODE_LINES}"
        printed = "".join(output.get("text", "") for output in cell.outputs)
        for what, text in (("code", cell.source), ("printed text", printed)):
            if (width := max(map(len, text.splitlines()), default=0)) > MAX_WIDTH:
                yield f"code cell {number} has a line of {what} of {width} characters, allowed are {MAX_WIDTH}"
    if (ignored := sum("nbval-ignore-output" in tags(cell) for cell in code_cells(nb))) > MAX_IGNORED_OUTPUTS:
        yield f"{ignored} cells with the tag nbval-ignore-output, allowed are {MAX_IGNORED_OUTPUTS}"


def page_problems(nb: NotebookNode) -> list[str]:
    return [*opening_problems(markdown(nb)), *code_problems(nb), *number_problems(nb)]


def problems(nb: NotebookNode) -> list[str]:
    return [*page_problems(nb), *section_problems(markdown(nb))]


def lacks_kernelspec(text: str) -> bool:
    """Whether a text has code cells that no kernel would run."""
    header = HEADER.match(text)
    return "{code-cell}" in text and "kernelspec:" not in (header.group() if header else "")


def toc_files(node: object) -> Iterator[str]:
    """All files a table of contents names."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key in ("file", "root"))
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from toc_files(child)


# --- the book -----------------------------------------------------------------------------------------


def toc() -> list[str]:
    return list(toc_files(yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))))


def test_every_page_of_the_table_of_contents_exists() -> None:
    assert [
        name for name in toc() if not any((BOOK / f"{name}{ending}").exists() for ending in (".md", ".ipynb"))
    ] == []


def test_every_page_about_a_topic_is_in_the_table_of_contents() -> None:
    there = [path for folder in ("chapters", "appendices") for path in (BOOK / folder).glob("*.md")]
    assert sorted(there) == sorted(PAGES)


def test_the_book_has_its_chapters() -> None:
    assert len(CHAPTERS) >= MIN_CHAPTERS


def test_every_page_with_code_has_its_notebook_and_every_notebook_its_source() -> None:
    notebooks_there = [path for folder in ("chapters", "appendices") for path in (BOOK / folder).glob("*.ipynb")]
    assert sorted(path.with_suffix(".md") for path in notebooks_there) == sorted(COMPILED)


def test_no_page_has_code_that_would_not_run() -> None:
    pages = [path for path in BOOK.rglob("*.md") if "_build" not in path.parts]
    assert pages
    assert [path.name for path in pages if lacks_kernelspec(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("source", notebooks.chapters([]), ids=lambda path: path.stem)
def test_compiled_page_is_current_and_clean(source: Path) -> None:
    assert notebooks.check(source) == []


@pytest.mark.parametrize("source", COMPILED, ids=lambda path: path.stem)
def test_page_has_the_form_of_the_book(source: Path) -> None:
    stored = notebooks.read_stored(source.with_suffix(".ipynb"))
    assert stored is not None, f"run: {notebooks.command('compile', source)}"
    assert (problems if source in CHAPTERS else page_problems)(stored) == []


# --- the helpers can fail -----------------------------------------------------------------------------

STEP = "The layer keeps $0.25$ of the variance. " + "Words follow."
GOOD = f"""\
(a-chapter)=
# A chapter

See what one layer does.

**Prerequisites:** [chapter 9.9](x.md). 10 minutes.

## One layer

{STEP}

See {{cite:p}}`author2.5` and `torch==9.99`, [figure 7.7](f.png), version 1.2.3.

```python
# 8.88
```

## What breaks it

Nothing.

## Summary

- One.
- Two.

## Check yourself

:::{{admonition}} Check yourself
:class: dropdown
The answer.
:::

## References

```{{bibliography}}
:filter: docname in docnames
```
"""


def made_up(text: str = GOOD, code: str = "print(1 / 4)", printed: str = "0.25\n", ignored: int = 0) -> NotebookNode:
    outputs = [nbformat.v4.new_output("stream", text=printed)]
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell(code, outputs=outputs)]
    cells += [nbformat.v4.new_code_cell("1", metadata={"tags": ["nbval-ignore-output"]}) for _ in range(ignored)]
    return nbformat.v4.new_notebook(cells=cells)


def test_a_good_chapter_has_no_problems() -> None:
    assert problems(made_up()) == []
    assert problems(made_up(code="quarter = 0.25", printed="")) == []
    assert problems(made_up(ignored=MAX_IGNORED_OUTPUTS)) == []


BAD = {
    "0.25 stands in the prose": made_up(printed="0.251\n"),
    "3.14 stands in the prose": made_up(GOOD.replace("Nothing.", "Only at $x = 3.14$.")),
    "it does not begin with a label and a title": made_up("Hello.\n\n" + GOOD),
    "a label and a title: '# A": made_up(GOOD.removeprefix("(a-chapter)=\n")),
    "not followed by the goal": made_up(GOOD.replace("See what one layer does.\n\n", "")),
    "prerequisites and minutes": made_up(GOOD.replace("10 minutes", "")),
    "headings do not end with": made_up(GOOD.replace("## What breaks it", "## What else")),
    "after at least one step": made_up(GOOD.replace("## One layer", "")),
    "the summary has 6 lines": made_up(GOOD.replace("- One.", "- One.\n" * 5)),
    "the summary has 0 lines": made_up(GOOD.replace("- One.\n- Two.\n", "")),
    "no folded answer": made_up(GOOD.replace(":class: dropdown\n", "")),
    "no {bibliography}": made_up(GOOD.replace("{bibliography}", "")),
    "code cell 1 has 21 lines": made_up(code="x = 1\n" * 21),
    "3 cells with the tag nbval-ignore-output": made_up(ignored=MAX_IGNORED_OUTPUTS + 1),
}


@pytest.mark.parametrize("problem", BAD)
def test_a_bad_chapter_has_its_problem(problem: str) -> None:
    found = problems(BAD[problem])
    assert any(problem in line for line in found), found


def test_code_is_no_prose_and_formulas_are() -> None:
    assert NUMBER.findall(prose(GOOD)) == ["0.25"]


def test_prose_goes_on_after_a_directive() -> None:
    assert prose(":::{note}\n:class: tip\nOne.\n:::\n% comment\nTwo `a` three `b` four.").split() == [
        *["One.", "Two", "three", "four."]
    ]


def test_a_number_counts_only_as_printed() -> None:
    assert list(number_problems(made_up("It is 0.5.", printed="0.50 10.5 0.5.1"))) != []
    assert list(number_problems(made_up("It is 0.5.", printed="-0.5"))) == []


def test_code_cells_need_a_kernelspec() -> None:
    code = "```{code-cell} ipython3\n1\n```\n"
    assert lacks_kernelspec(code)
    assert lacks_kernelspec("---\ntitle: A\n---\n" + code)
    assert not lacks_kernelspec("---\nkernelspec:\n  name: python3\n---\n" + code)
    assert not lacks_kernelspec("no code")


def test_toc_files_are_found_at_every_depth() -> None:
    tree = {"root": "a", "parts": [{"chapters": [{"file": "b", "sections": [{"file": "c"}]}]}]}
    assert list(toc_files(tree)) == ["a", "b", "c"]
