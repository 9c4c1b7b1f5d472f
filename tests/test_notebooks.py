"""The compiler: bytes that repeat, nothing stale, nothing lost."""

import base64
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from myst import HEADER
from nbformat import NotebookNode
from PIL import Image

import notebook_lint
import notebooks
from notebook_lint import code_cells

pytestmark = pytest.mark.slow

# Written as an author would, not as jupytext would: a long alt text on one line, no blank line after the tags.
RICH = (
    HEADER
    + """
# A chapter

Goal, $x = 1$.

```{code-cell} ipython3
:tags: [hide-input]
import sys
import matplotlib.pyplot as plt
from ipywidgets import IntSlider, interact

for word in ["one", "two"]:
    print(word, flush=True)
```

Some words.
+++
More words.

```{code-cell} ipython3
---
mystnb:
  image:
    alt: A sentence that says what the figure shows, and that is longer than the eighty columns after which YAML folds.
---
plt.plot([1, 2, 4])
plt.show()
```

```{code-cell} ipython3
_ = interact(lambda n: print(n), n=IntSlider(3, 0, 5))
IntSlider(7)
```
"""
)
PLAIN = HEADER + "\n# A chapter\n\nWords.\n\n```{code-cell} ipython3\nprint(1 + 1)\n```\n\nLast words.\n"


def chapter(folder: Path, text: str) -> Path:
    source = folder / "01-chapter.md"
    source.write_text(text, encoding="utf-8")
    return source


def edit(source: Path, old: str, new: str) -> None:
    text = source.read_text(encoding="utf-8")
    assert old in text
    source.write_text(text.replace(old, new, 1), encoding="utf-8")


def load(source: Path) -> NotebookNode:
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def save(nb: NotebookNode, source: Path) -> None:
    nbformat.write(nb, source.with_suffix(".ipynb"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The two chapters above with their notebooks, compiled once for all tests."""
    notebooks_by_text = {}
    for text in (RICH, PLAIN):
        source = chapter(tmp_path_factory.mktemp("compiled"), text)
        notebooks.compile_chapter(source)
        notebooks_by_text[text] = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    return notebooks_by_text


@pytest.fixture
def rich(tmp_path: Path, compiled: dict[str, str]) -> Path:
    (tmp_path / "01-chapter.ipynb").write_text(compiled[RICH], encoding="utf-8")
    return chapter(tmp_path, RICH)


@pytest.fixture
def plain(tmp_path: Path, compiled: dict[str, str]) -> Path:
    (tmp_path / "01-chapter.ipynb").write_text(compiled[PLAIN], encoding="utf-8")
    return chapter(tmp_path, PLAIN)


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("a kernel was started")

    monkeypatch.setattr(notebooks, "execute", refuse)


# --- compile ------------------------------------------------------------------------------------------


def test_two_compilations_give_the_same_bytes(rich: Path, compiled: dict[str, str]) -> None:
    notebook = rich.with_suffix(".ipynb")
    notebook.unlink()
    report = notebooks.compile_chapter(rich)
    assert report.action == "executed"
    assert report.seconds > 0
    assert report.peak > 10
    assert notebook.read_text(encoding="utf-8") == compiled[RICH]


def test_compiled_notebook_has_outputs_and_nothing_that_varies(compiled: dict[str, str]) -> None:
    nb = nbformat.reads(compiled[RICH], as_version=4)
    first, figure, widget = code_cells(nb)
    assert [output.text for output in first.outputs] == ["one\ntwo\n"]
    assert "image/png" in figure.outputs[0].data
    assert [output.text for output in widget.outputs] == ["3\n"], "what interact prints, and no widget"
    assert not re.search(r"iopub|\d{4}-\d\d-\d\dT", compiled[RICH]), "a time stamp"
    assert nb.metadata.language_info == {"name": "python"}
    assert notebook_lint.LIVE_VIEW not in compiled[RICH] and "widgets" not in nb.metadata


def test_pieces_of_printed_text_are_joined() -> None:
    pieces = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a", "b")]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("...", outputs=pieces)])
    notebooks.merge_streams(nb)
    assert [output.text for output in nb.cells[0].outputs] == ["ab"]


def test_ids_survive_an_insertion(plain: Path) -> None:
    before = [cell.id for cell in notebooks.read_source(plain).cells]
    edit(plain, "\nLast", "\n```{code-cell} ipython3\nprint(1 + 1)\n```\n\nLast")
    after = [cell.id for cell in notebooks.read_source(plain).cells]
    assert set(before) < set(after)
    assert len(set(after)) == len(after) == len(before) + 1


def test_a_first_reading_takes_what_stands_open_before_its_end() -> None:
    closed = ":::{admonition} Optional\n:class: dropdown\n" + "closed " * 900 + "\n:::\n"
    folded = nbformat.v4.new_code_cell("x = 1\n" * 350, metadata={"tags": ["hide-input"]})
    opening = nbformat.v4.new_markdown_cell("open " * 1000 + "\n\n" + closed)
    ends = nbformat.v4.new_markdown_cell(f"{notebooks.READING_ENDS}.** " + "later " * 500)
    page = nbformat.v4.new_notebook(cells=[opening, folded, ends])
    assert notebooks.reading_time(page) == "About 10 minutes for the first reading, 35 for everything."
    page.cells.pop()
    assert notebooks.reading_time(page) == "About 30 minutes."


@pytest.mark.usefixtures("no_kernel")
def test_what_is_up_to_date_is_not_executed(plain: Path) -> None:
    assert notebooks.compile_chapter(plain).action == "up to date"


@pytest.mark.usefixtures("no_kernel")
def test_edited_prose_is_compiled_without_execution(plain: Path) -> None:
    edit(plain, "Last", "Final")
    notebooks.compile_chapter(plain)
    assert notebooks.check(plain) == []
    assert load(plain).cells[-1].source == "Final words."
    assert code_cells(load(plain))[0].outputs[0].text == "2\n"


def test_edited_code_is_executed(plain: Path) -> None:
    edit(plain, "1 + 1", "2 + 1")
    assert notebooks.compile_chapter(plain).action == "executed"
    assert code_cells(load(plain))[0].outputs[0].text == "3\n"


def test_changed_rows_of_the_ledger_are_shown_anew(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(shown: float, other: float) -> None:
        rows = [{"id": "he-halves", "effect": shown}, {"id": "other", "effect": other}]
        notebooks.LEDGER.write_text(json.dumps({"claims": rows}), encoding="utf-8")

    monkeypatch.setattr(notebooks, "LEDGER", tmp_path / "ledger.json")
    measure(0.5, 1.0)
    edit(plain, "1 + 1", f'"he-halves" in open("{notebooks.LEDGER.name}").read()')
    assert notebooks.compile_chapter(plain).action == "executed"
    measure(0.5, 2.0)
    assert notebooks.compile_chapter(plain).action == "up to date"
    measure(0.6, 2.0)
    assert any("rows of the ledger" in problem for problem in notebooks.check(plain))
    assert notebooks.compile_chapter(plain).action.startswith("executed")
    assert notebooks.check(plain) == []


def test_a_table_over_the_source_text_depends_on_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "LEDGER", tmp_path / "ledger.json")
    rows = [{"id": "he-halves"}, {"id": "other"}]
    notebooks.LEDGER.write_text(json.dumps({"claims": rows}), encoding="utf-8")
    for code, shown in (
        ('ledger.show("other")', rows[1:]),
        ("from claims.source_text import over_data  # ledger", rows),
    ):
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        assert notebooks.shown_rows(nb) == shown


def test_outputs_changed_by_hand_are_made_anew(plain: Path, compiled: dict[str, str]) -> None:
    nb = load(plain)
    code_cells(nb)[0].outputs[0].text = "3\n"
    save(nb, plain)
    report = notebooks.compile_chapter(plain)
    assert report.action == "executed"
    assert str(report).splitlines()[1:] == ["  -3", "  +" + code_cells(load(plain))[0].outputs[0].text.strip()]
    assert plain.with_suffix(".ipynb").read_text(encoding="utf-8") == compiled[PLAIN]


def test_forced_run_leaves_what_looks_the_same(rich: Path) -> None:
    nb, stored = load(rich), load(rich)
    data = code_cells(stored)[1].outputs[0].data
    data["image/png"] = reencoded(data["image/png"])
    notebooks.write(stored, rich.with_suffix(".ipynb"))
    assert data["image/png"] != code_cells(nb)[1].outputs[0].data["image/png"]
    before = rich.with_suffix(".ipynb").stat()
    assert notebooks.compile_chapter(rich, force=True).action == "executed, nothing changed"
    assert rich.with_suffix(".ipynb").stat() == before


def shown(**data: str) -> NotebookNode:
    """A notebook of a cell that prints, a cell that draws and is not compared, and an explorer."""
    cells = {
        "print(n)": [nbformat.v4.new_output("stream", text=data.get("printed", "5\n"))],
        "draw()": [
            nbformat.v4.new_output("stream", text=data.get("beside", "error 9 percent\n")),
            nbformat.v4.new_output("display_data", {"image/png": data.get("drawn", drawn(30))}),
        ],
        "explorer": [nbformat.v4.new_output("display_data", {"text/html": data.get("explorer", "[0.814, 3]")})],
    }
    nb = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, outputs=outputs) for source, outputs in cells.items()],
        metadata={"book": {}},
    )
    for number, cell in enumerate(nb.cells, 1):
        cell.execution_count = number
    nb.cells[1].metadata["tags"] = ["nbval-ignore-output"]
    notebooks.set_ids(nb)
    nb.metadata.book["outputs"] = notebooks.outputs_digest(nb)
    return nb


def drawn(left: int, width: int = 100) -> str:
    """A picture of a black square at some place."""
    picture = Image.new("RGB", (width, 50), "white")
    picture.paste((0, 0, 0), (left, 20, left + 10, 30))
    file = io.BytesIO()
    picture.save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


MOVED = {
    "numbers and curves that are not compared": ({"beside": "error 8 percent\n", "drawn": drawn(60)}, True),
    "words that are not compared": ({"beside": "loss 9 percent\n"}, False),
    "size of a picture that is not compared": ({"drawn": drawn(30, width=101)}, False),
    "the same after a new number": ({"printed": "6\n", "drawn": drawn(60)}, False),
    "last digit of an explorer": ({"explorer": "[0.815, 3]"}, True),
    "number of an explorer": ({"explorer": "[0.82, 3]"}, False),
    "integer of an explorer": ({"explorer": "[0.814, 4]"}, False),
}


@pytest.mark.parametrize("what", MOVED)
def test_what_another_processor_moves_is_kept_and_what_changed_is_not(what: str) -> None:
    moved, kept = MOVED[what]
    nb, stored = shown(**moved), shown()
    notebooks.keep_alike(nb, stored)
    notes = notebooks.keep_uncompared(nb, stored)
    assert nb.cells == (stored if kept else shown(**moved)).cells
    assert bool(notes) is (kept and "drawn" in moved)


def test_what_is_not_compared_is_drawn_anew_if_it_was_changed_by_hand() -> None:
    nb, stored = shown(drawn=drawn(60)), shown()
    stored.metadata.book["outputs"] = "another"
    assert notebooks.keep_uncompared(nb, stored) == []
    assert nb.cells == shown(drawn=drawn(60)).cells


def reencoded(png: str) -> str:
    """The same picture in other bytes, as another processor might write it."""
    file = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).save(file, format="png", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("code", "message"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("import os; os._exit(1)", "died")],
)
def test_failing_cell_leaves_the_old_notebook(plain: Path, compiled: dict[str, str], code: str, message: str) -> None:
    edit(plain, "Last", f"```{{code-cell}} ipython3\n{code}\n```\n\nLast")
    with pytest.raises(notebooks.ChapterError, match=r"01-chapter\.md: code cell 2 failed") as caught:
        notebooks.compile_chapter(plain)
    assert message in str(caught.value)
    assert plain.with_suffix(".ipynb").read_text(encoding="utf-8") == compiled[PLAIN]
    assert sorted(path.name for path in plain.parent.iterdir()) == ["01-chapter.ipynb", "01-chapter.md"]


def test_interruption_while_writing_leaves_the_old_notebook(
    plain: Path, compiled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    edit(plain, "Last", "Final")
    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        notebooks.compile_chapter(plain)
    assert plain.with_suffix(".ipynb").read_text(encoding="utf-8") == compiled[PLAIN]
    assert sorted(path.name for path in plain.parent.iterdir()) == ["01-chapter.ipynb", "01-chapter.md"]


def test_a_text_without_kernelspec_is_refused(tmp_path: Path) -> None:
    source = chapter(tmp_path, "# A chapter\n\n```{code-cell} ipython3\n1\n```\n")
    with pytest.raises(notebooks.ChapterError, match="kernelspec"):
        notebooks.read_source(source)


def test_command_line_compiles_the_rest_when_one_chapter_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "01-good.md", tmp_path / "02-bad.md"
    good.write_text(PLAIN, encoding="utf-8")
    bad.write_text(PLAIN.replace("1 + 1", "1 / 0"), encoding="utf-8")
    assert notebooks.main(["compile", str(good), str(bad)]) == 1
    written = capfd.readouterr()
    assert re.fullmatch(r"\S*01-good\.md: executed, \d+\.\d s, \d+ MiB\n", written.out)
    assert "02-bad.md: code cell 1 failed" in written.err
    assert good.with_suffix(".ipynb").exists()
    assert not bad.with_suffix(".ipynb").exists()


# --- check --------------------------------------------------------------------------------------------


def test_compiled_chapters_have_no_findings(rich: Path) -> None:
    assert notebooks.check(rich) == []


def code_cell(code: str) -> str:
    return f"\n```{{code-cell}} ipython3\n{code}\n```\n"


FORBIDDEN = {
    "unknown tag hide-inptu": ":tags: [hide-inptu]\n\n1",
    "trailing ';'": "x = 1;",
    "comment NBVAL_IGNORE_OUTPUT": "# NBVAL_IGNORE_OUTPUT\nx = 1",
    "output on stderr": "import sys\nprint('oh', file=sys.stderr)",
    "address or path of one computer": "object()",
    "figure without alt text": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    "figure that is not a PNG": "from IPython.display import SVG\nSVG('<svg/>')",
    "empty code cell": "",
}


@pytest.fixture(scope="module")
def forbidden(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    source = chapter(tmp_path_factory.mktemp("forbidden"), HEADER + "".join(map(code_cell, FORBIDDEN.values())))
    notebooks.compile_chapter(source)
    lines = notebooks.check(source)
    assert all(line.endswith(notebooks.command("compile", source)) for line in lines)
    return lines


@pytest.mark.parametrize("finding", FORBIDDEN)
def test_check_finds_what_is_not_allowed(forbidden: list[str], finding: str) -> None:
    (line,) = [line for line in forbidden if finding in line]
    number = list(FORBIDDEN).index(finding) + 1
    assert f"code cell {number}:" in line


def test_check_finds_a_stored_error() -> None:
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no")
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("f()", outputs=[error])])
    assert list(notebook_lint.findings(nb)) == ["code cell 1: stored error ValueError: no"]
    nb.cells[0].metadata["tags"] = ["raises-exception"]
    assert list(notebook_lint.findings(nb)) == []


def make_stale(source: Path) -> None:
    edit(source, "1 + 1", "2 + 1")


def make_tag_stale(source: Path) -> None:
    edit(source, "print", ":tags: [hide-input]\n\nprint")


def change_output(source: Path) -> None:
    nb = load(source)
    code_cells(nb)[0].outputs[0].text = "3\n"
    save(nb, source)


def strip_outputs(source: Path) -> None:
    nb = load(source)
    code_cells(nb)[0].update(outputs=[], execution_count=None)
    save(nb, source)


def run_out_of_order(source: Path) -> None:
    nb = load(source)
    code_cells(nb)[0].execution_count = 7
    notebooks.write(nb, source.with_suffix(".ipynb"))


def change_language(source: Path) -> None:
    nb = load(source)
    nb.metadata.language_info["version"] = "3.11.9"
    save(nb, source)


def delete(source: Path) -> None:
    source.with_suffix(".ipynb").unlink()


def truncate(source: Path) -> None:
    source.with_suffix(".ipynb").write_text("{", encoding="utf-8")


SPOILS = [make_stale, make_tag_stale, change_output, strip_outputs, run_out_of_order, change_language, delete, truncate]


@pytest.mark.parametrize("spoil", SPOILS)
def test_check_names_the_command_that_mends(
    plain: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(plain)
    assert notebooks.main(["compile", "--check", str(plain)]) == 1
    lines = capsys.readouterr().out.splitlines()
    commands = {line.rpartition("; run: ")[2] for line in lines}
    (mend,) = commands
    words = shlex.split(mend)
    assert words[0] == "python"
    assert Path(words[1]).samefile(notebooks.__file__)
    assert words[2] == "compile"
    notebooks.compile_chapter(Path(words[3]))
    assert notebooks.check(plain) == []
