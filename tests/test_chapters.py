"""The chapters as committed: complete, up to date, in the book's form, and true to their own numbers."""

import ast
import builtins
import re
import symtable
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import NotebookNode

import notebooks
import topics
from notebook_lint import caption, code_cells, is_folded, tags

BOOK = notebooks.ROOT / "book"
PAGES = [page.source for page in topics.pages().values() if page.source.exists()]
COMPILED = [source for source in notebooks.chapters([]) if source in PAGES]
CHAPTERS = [source for source in PAGES if source.parent.name == "chapters"]
MIN_CHAPTERS = 14
MAX_CODE_LINES = 12
MAX_FOLDED_LINES = 24
MAX_CAPTION = 60
"""Characters in the comment that names a folded cell."""
MAX_SNIPPET_LINES = 6
"""Lines of the first cell: the answer of the chapter, to copy."""
MAX_PACKAGE_NAMES = 6
"""Names of the package in the visible code of a chapter: what a reader must learn beside torch."""
MAX_WORDS_BEFORE_PICTURE = 260
"""Words of prose before the first picture or explorer: two screens."""
MAX_WIDTH = 84
"""Characters in a line of code or of printed text: what a page shows on a laptop without scrolling sideways."""
MAX_IGNORED_OUTPUTS = 2
"""Cells of one chapter whose outputs nbval may leave uncompared: chaotic training curves, nothing else."""
SECTIONS = ["What breaks it", "Check yourself", "References"]
"""The last headings of every chapter, in this order; one heading or more comes before them."""

IN_SHORT = re.compile(r":::\{admonition\} In short\n:class: in-short\n(.*?)\n:::\n\s*", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?!\d|\.\d)")
HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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
    title, _, rest = text.strip().partition("\n\n")
    if not re.fullmatch(r"\([a-z0-9-]+\)=\n# \S.*", title):
        yield f"it does not begin with a label and a title: {title!r}"
    box = IN_SHORT.match(rest)
    if box is None:
        yield f"the title is not followed by a box 'In short' (:class: in-short): {rest[:60]!r}"
    elif not 2 <= len(re.findall(r"[.?!](?=\s|\Z)", box[1].partition("\n\n")[0])) <= 4:
        yield "the box 'In short' does not begin with a paragraph of about three sentences"
    prerequisites = rest[box.end() if box else 0 :].partition("\n\n")[0]
    if "Prerequisites" not in prerequisites or not re.search(r"\d+ minutes", prerequisites):
        yield f"the box is not followed by prerequisites and minutes: {prerequisites[:60]!r}"


def section_problems(text: str) -> Iterator[str]:
    found = headings(text)
    if found[-len(SECTIONS) :] != SECTIONS or len(found) == len(SECTIONS):
        yield f"the headings do not end with {SECTIONS} after at least one step: {found}"
    if ":class: dropdown" not in section(text, "Check yourself"):
        yield "'Check yourself' has no folded answer (:class: dropdown)"
    if "{bibliography}" not in section(text, "References"):
        yield "'References' has no {bibliography}"


def width_problems(nb: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(code_cells(nb), 1):
        printed = "".join(output.get("text", "") for output in cell.outputs)
        for what, text in (("code", cell.source), ("printed text", printed)):
            if (width := max(map(len, text.splitlines()), default=0)) > MAX_WIDTH:
                yield f"code cell {number} has a line of {what} of {width} characters, allowed are {MAX_WIDTH}"
    if (ignored := sum("nbval-ignore-output" in tags(cell) for cell in code_cells(nb))) > MAX_IGNORED_OUTPUTS:
        yield f"{ignored} cells with the tag nbval-ignore-output, allowed are {MAX_IGNORED_OUTPUTS}"


def cell_problems(nb: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(code_cells(nb), 1):
        allowed = MAX_FOLDED_LINES if is_folded(cell) else MAX_CODE_LINES
        if (lines := len(cell.source.splitlines())) > allowed:
            yield f"code cell {number} has {lines} lines, allowed are {allowed}"
        if is_folded(cell) and not 0 < len(caption(cell)) <= MAX_CAPTION:
            yield f"folded code cell {number} does not begin with a comment that names it: {cell.source[:60]!r}"


def echo_problems(nb: NotebookNode) -> Iterator[str]:
    """A value that a notebook shows because a cell happens to end with it: `init.zeros_(...)` returns its tensor."""
    for number, cell in enumerate(code_cells(nb), 1):
        for output in cell.outputs:
            if output.output_type == "execute_result" and set(output.data) == {"text/plain"}:
                yield f"code cell {number} ends with a value nobody asked to see: {output.data['text/plain'][:40]!r}"


def is_setup(cell: NotebookNode) -> bool:
    return caption(cell).startswith("Setup")


def first_cells_problems(nb: NotebookNode) -> Iterator[str]:
    snippet, setup = [*code_cells(nb), None, None][:2]
    if snippet is None or is_folded(snippet) or len(snippet.source.splitlines()) > MAX_SNIPPET_LINES:
        yield f"the first code cell is not the answer to copy, visible and of at most {MAX_SNIPPET_LINES} lines"
    if setup is None or not is_folded(setup) or not is_setup(setup):
        yield "the second code cell is not folded and named 'Setup'"


def is_picture(output: NotebookNode) -> bool:
    data = output.get("data", {})
    return "image/png" in data or "<good-explorer" in data.get("text/html", "")


def words_before_picture(nb: NotebookNode) -> int:
    words = 0
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            before, picture, _ = cell.source.partition("](../assets/")
            words += len(prose(before).split())
            if picture:
                return words
        elif any(map(is_picture, cell.outputs)):
            return words
    return words


def package_names(nb: NotebookNode) -> set[str]:
    """The names imported from the package that visible cells use."""
    trees = [(is_folded(cell), ast.parse(cell.source)) for cell in code_cells(nb)]
    imported = {
        alias.asname or alias.name
        for _, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tutorial_utils")
        for alias in node.names
    }
    visible = [node for folded, tree in trees if not folded for node in ast.walk(tree)]
    return imported & {node.id for node in visible if isinstance(node, ast.Name)}


def layer_problems(nb: NotebookNode) -> Iterator[str]:
    """What is wrong with the layers of a chapter: answer, toy, story, proof."""
    yield from first_cells_problems(nb)
    if (words := words_before_picture(nb)) > MAX_WORDS_BEFORE_PICTURE:
        yield f"{words} words before the first picture, allowed are {MAX_WORDS_BEFORE_PICTURE}"
    if len(names := package_names(nb)) > MAX_PACKAGE_NAMES:
        yield f"{len(names)} names of the package in visible code, allowed are {MAX_PACKAGE_NAMES}: {sorted(names)}"


def predict_problems(nb: NotebookNode) -> Iterator[str]:
    """Each question before a figure is answered by a printed line, "Answer: ...", before the next question."""
    asked = None
    for cell in nb.cells:
        if cell.cell_type == "code" and any("Answer: " in output.get("text", "") for output in cell.outputs):
            asked = None
        for question in re.findall(r"^:::\{admonition\} Predict\n:class: tip\n(.*?)^:::$", cell.source, re.M | re.S):
            if asked:
                yield f"no line 'Answer: ...' is printed after the question {asked!r}"
            asked = question.strip()[:50]
            if "?" not in question:
                yield f"the box 'Predict' asks nothing: {asked!r}"
    if asked:
        yield f"no line 'Answer: ...' is printed after the question {asked!r}"


def page_problems(nb: NotebookNode) -> list[str]:
    return [*width_problems(nb), *cell_problems(nb), *echo_problems(nb), *number_problems(nb)]


def symbols(source: str) -> tuple[set[str], set[str], set[str]]:
    """The names that code reads at once, that its functions read when they are called, and that it binds."""
    table = symtable.symtable(source, "cell", "exec")
    own = table.get_symbols()
    bound = {one.get_name() for one in own if one.is_assigned() or one.is_imported() or one.is_namespace()}
    inner, when_called = table.get_children(), set()
    while inner:
        scope = inner.pop()
        inner += scope.get_children()
        when_called |= {one.get_name() for one in scope.get_symbols() if one.is_global() and one.is_referenced()}
    return {one.get_name() for one in own if one.is_referenced()}, when_called, bound


def retyped(nb: NotebookNode) -> Iterator[str]:
    """What a reader who retypes a chapter types, in order: visible cells, cells named Setup, Python in the text."""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            yield from PYTHON.findall(cell.source)
        elif cell.cell_type == "code" and (not is_folded(cell) or is_setup(cell)):
            yield cell.source


def retyping_problems(nb: NotebookNode) -> Iterator[str]:
    """Names that what is retyped needs, and that nothing retyped before it defines."""
    pieces = [symbols(source) for source in retyped(nb)]
    known = set(dir(builtins))
    anywhere = known.union(*(bound for *_, bound in pieces))
    for at_once, when_called, bound in pieces:
        known |= bound
        if missing := sorted((at_once - known) | (when_called - anywhere)):
            yield f"visible code needs {', '.join(missing)}, which nothing visible and no Setup above it defines"


def problems(nb: NotebookNode) -> list[str]:
    text = markdown(nb)
    own = [*opening_problems(text), *section_problems(text), *layer_problems(nb), *predict_problems(nb)]
    return [*page_problems(nb), *own, *retyping_problems(nb)]


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
    stored = notebooks.read_as_written(source)
    assert stored is not None, f"run: {notebooks.command('compile', source)}"
    assert (problems if source in CHAPTERS else page_problems)(stored) == []


# --- the helpers can fail -----------------------------------------------------------------------------

STEP = "The layer keeps $0.25$ of the variance. " + "Words follow."
GOOD = f"""\
(a-chapter)=
# A chapter

:::{{admonition}} In short
:class: in-short
One layer halves. It does so always. Here is how.

Shown by [a claim](#a-claim).
:::

**Prerequisites:** [chapter 9.9](x.md). 10 minutes.

:::{{admonition}} Predict
:class: tip
How much does it keep?
:::

## One layer

{STEP}

See {{cite:p}}`author2.5` and `torch==9.99`, [figure 7.7](f.png), version 1.2.3.

```python
# 8.88
```

## What breaks it

Nothing.

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
PICTURE = nbformat.v4.new_output("display_data", {"image/png": "AAAA"})
ANSWER = "Answer: 0.25\n"
FOLDED = {"tags": ["hide-input"]}
SETUP = "# Setup\nfrom tutorial_utils import gains"


def code(source: str, *outputs: NotebookNode, **metadata: object) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def made_up(
    text: str = GOOD, source: str = "print(1 / 4)", printed: str = ANSWER, ignored: int = 0, setup: str = SETUP
) -> NotebookNode:
    answer = code(source, nbformat.v4.new_output("stream", text=printed))
    cells = [code("import torch"), code(setup, **FOLDED), code("# Code of the picture", PICTURE, **FOLDED), answer]
    cells += [code("1", tags=["nbval-ignore-output"]) for _ in range(ignored)]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), *cells])


def without(nb: NotebookNode, *numbers: int) -> NotebookNode:
    nb.cells = [cell for number, cell in enumerate(nb.cells) if number not in numbers]
    return nb


def with_echo(nb: NotebookNode) -> NotebookNode:
    value = nbformat.v4.new_output("execute_result", {"text/plain": "Parameter containing: ..."}, execution_count=1)
    nb.cells[1].outputs.append(value)
    return nb


def test_a_good_chapter_has_no_problems() -> None:
    assert problems(made_up()) == []
    assert problems(made_up(source="quarter = 0.25", printed="Answer: a quarter")) == []
    assert problems(made_up(ignored=MAX_IGNORED_OUTPUTS)) == []


LONG = "Words. " * (MAX_WORDS_BEFORE_PICTURE + 1)
MANY = f"from tutorial_utils.gains import {', '.join('abcdefg')}"
BAD = {
    "0.25 stands in the prose": made_up(printed="Answer: 0.251\n"),
    "3.14 stands in the prose": made_up(GOOD.replace("Nothing.", "Only at $x = 3.14$.")),
    "it does not begin with a label and a title": made_up("Hello.\n\n" + GOOD),
    "a label and a title: '# A": made_up(GOOD.removeprefix("(a-chapter)=\n")),
    "not followed by a box 'In short'": made_up(GOOD.replace(":class: in-short", ":class: note")),
    "about three sentences": made_up(GOOD.replace("It does so always. Here is how.", "")),
    "prerequisites and minutes": made_up(GOOD.replace("10 minutes", "")),
    "headings do not end with": made_up(GOOD.replace("## What breaks it", "## What else")),
    "after at least one step": made_up(GOOD.replace("## One layer", "")),
    "no folded answer": made_up(GOOD.replace(":class: dropdown\n", "")),
    "no {bibliography}": made_up(GOOD.replace("{bibliography}", "")),
    "code cell 4 has 13 lines": made_up(source="x = 1\n" * 13),
    "code cell 2 has 25 lines": made_up(setup=SETUP + "\nx = 1" * 23),
    "a line of printed text of 85 characters": made_up(printed=ANSWER + "x" * 85),
    "does not begin with a comment that names it": made_up(setup="import torch"),
    "the first code cell is not the answer to copy": without(made_up(), 1),
    "the second code cell is not folded": without(made_up(), 2),
    "words before the first picture": made_up(GOOD.replace("Nothing.", LONG)),
    "7 names of the package": made_up(setup="# Setup\n" + MANY, source="a, b, c, d, e, f, g"),
    "no line 'Answer: ...' is printed": made_up(printed="0.25\n"),
    "asks nothing": made_up(GOOD.replace("How much does it keep?", "It keeps something.")),
    "visible code needs tau": made_up(source="tau / 4"),
    "visible code needs sigma": made_up(source="def quarter():\n    return sigma / 4"),
    "visible code needs early": made_up(GOOD.replace("# 8.88", "early(1)"), source="def early(x):\n    return x"),
    "ends with a value nobody asked to see": with_echo(made_up()),
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
