"""Prove that nbval with the plug-in passes an untouched notebook and fails each way of tampering with a cell."""

import base64
import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from myst import HEADER
from nbformat import NotebookNode
from PIL import Image, ImageOps

import nbval_strict
import notebooks
from notebook_lint import code_cells, content_name

pytestmark = pytest.mark.slow  # nbval runs once for all tests

SETUP = """
import matplotlib.pyplot as plt
from ipywidgets import interact

def draw(values):
    plt.figure(figsize=(4, 3))
    plt.plot(values)
    plt.ylim(0, 10)
    plt.show()
"""
NUMBER = 'print(f"{2 / 3:.3f}")'
CURVE = "---\nmystnb:\n  image:\n    alt: A rising line.\n---\ndraw([1, 2, 4, 8])"
IGNORED = CURVE.replace("\n---\ndraw", "\ntags: [nbval-ignore-output]\n---\ndraw")
WIDGET = '_ = interact(lambda n: print(f"{n} layers"), n=3)'


def change_number(cell: NotebookNode) -> None:
    cell.outputs[0].text = "0.668\n"


def change_figure(cell: NotebookNode) -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(cell.outputs[0].data["image/png"])))
    with io.BytesIO() as buffer:
        ImageOps.invert(picture.convert("RGB")).save(buffer, "png")
        cell.outputs[0].data["image/png"] = base64.b64encode(buffer.getvalue()).decode()


def remove_picture(cell: NotebookNode) -> None:
    del cell.outputs[0].data["image/png"]


def remove_ignored_picture(cell: NotebookNode) -> None:
    del cell.outputs[0].data["image/png"]


def strip_cell(cell: NotebookNode) -> None:
    cell.update(outputs=[], execution_count=None)


def misspell_tag(cell: NotebookNode) -> None:
    cell.metadata["tags"] = ["nbval-ingore-output"]


def skip_by_tag(cell: NotebookNode) -> None:
    cell.metadata["tags"] = ["nbval-skip"]


def edit_number(cell: NotebookNode) -> None:
    cell.source = cell.source.replace("2 / 3", "1 / 3")


def edit_curve(cell: NotebookNode) -> None:
    cell.source = "draw([1, 2, 4, 7])"


def edit_ignored(cell: NotebookNode) -> None:
    cell.source = "draw([8, 4, 2, 2])"


# The tampers below also give the edited cell the id of its new content: what fails must be the run itself.
def end_with_semicolon(cell: NotebookNode) -> None:
    cell.source += ";"


def skip_by_comment(cell: NotebookNode) -> None:
    cell.source = "# NBVAL_SKIP\n" + cell.source


def raise_where_output_is_ignored(cell: NotebookNode) -> None:
    cell.source += "\n1 / 0"


def raise_in_callback(cell: NotebookNode) -> None:
    cell.source = cell.source.replace('print(f"{n} layers")', "n / 0")


def kill_kernel(cell: NotebookNode) -> None:
    cell.source = "import os\n\nos.kill(os.getpid(), 9)"


TAMPERS: dict[Callable[[NotebookNode], None], tuple[str, str]] = {
    change_number: (NUMBER, "Cell outputs differ"),
    change_figure: (CURVE, "picture 1 differs: distance"),
    remove_picture: (CURVE, "0 pictures stored, 1 drawn"),
    remove_ignored_picture: (IGNORED, "0 pictures stored, 1 drawn"),
    strip_cell: (CURVE, "never run"),
    misspell_tag: (CURVE, "unknown tag nbval-ingore-output"),
    skip_by_tag: (CURVE, "unknown tag nbval-skip"),
    edit_number: (NUMBER, "Cell outputs differ"),
    edit_curve: (CURVE, "picture 1 differs: distance"),
    edit_ignored: (IGNORED, "edited after it was compiled"),
    end_with_semicolon: (CURVE, "trailing ';'"),
    skip_by_comment: (CURVE, "comment NBVAL_SKIP"),
    raise_where_output_is_ignored: (IGNORED, "Cell execution caused an exception"),
    raise_in_callback: (WIDGET, "Cell execution caused an exception"),
    kill_kernel: (NUMBER, "the kernel died in this cell"),  # the last, since no cell after it can run
}
EDITED_WITH_ID = (end_with_semicolon, skip_by_comment, raise_where_output_is_ignored, raise_in_callback, kill_kernel)
CELLS = [SETUP, *(source for source, _ in TAMPERS.values())]
CHAPTER = HEADER + "\n# A chapter\n" + "".join(f"\n```{{code-cell}} ipython3\n{cell.strip()}\n```\n" for cell in CELLS)


def write_tampered(untouched: Path, tampered: Path) -> None:
    """Write a copy of a notebook in which each cell but the first is tampered with in its own way."""
    nb = nbformat.read(untouched, as_version=4)
    for number, (cell, tamper) in enumerate(zip(code_cells(nb)[1:], TAMPERS, strict=True)):
        tamper(cell)
        if tamper in EDITED_WITH_ID:
            cell.id = f"{content_name(cell)}-{number}"
    nbformat.write(nb, tampered)


def run_nbval(folder: Path) -> ElementTree.Element:
    report = folder / "report.xml"
    words = ["-m", "pytest", "-c", notebooks.ROOT / "pyproject.toml", "--nbval", f"--junitxml={report}", folder]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run([sys.executable, *words], env=environment, capture_output=True, encoding="utf-8")
    assert run.returncode == 1, run.stdout + run.stderr
    return ElementTree.parse(report).getroot()


Cases = dict[str, list[ElementTree.Element]]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Run nbval once on a compiled notebook and its tampered copy: the results of the cells of each, in order."""
    folder = tmp_path_factory.mktemp("a path with spaces")
    source = folder / "untouched.md"
    source.write_text(CHAPTER, encoding="utf-8")
    notebooks.compile_chapter(source)
    write_tampered(folder / "untouched.ipynb", folder / "tampered.ipynb")
    results: Cases = {"untouched": [], "tampered": []}
    for case in run_nbval(folder).iter("testcase"):
        results[case.attrib["classname"].split(".")[-2]].append(case)
    return results


def failure(case: ElementTree.Element) -> str:
    return "\n".join(found.text or "" for found in case.iter("failure"))


def test_an_untouched_notebook_passes(cases: Cases) -> None:
    assert [failure(case) for case in cases["untouched"]] == [""] * len(CELLS)


def test_an_untouched_cell_passes_beside_others(cases: Cases) -> None:
    assert len(cases["tampered"]) == len(CELLS)
    assert failure(cases["tampered"][0]) == ""


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_a_tampered_cell_fails(cases: Cases, tamper: Callable[[NotebookNode], None]) -> None:
    case = cases["tampered"][1 + list(TAMPERS).index(tamper)]
    assert TAMPERS[tamper][1] in failure(case)


def test_a_dead_kernel_is_noticed_at_once(cases: Cases) -> None:
    assert float(cases["tampered"][-1].attrib["time"]) < 15


def test_an_explorer_may_differ_in_the_last_digit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbval_strict, "COMPARE", lambda item, fresh, stored, skip: fresh == stored)

    def equal(*numbers: float) -> bool:
        fresh, stored = ([{"data": {"text/html": f"<p>[{number}]</p>"}}] for number in numbers)
        return bool(nbval_strict.compare_outputs(None, fresh, stored))

    assert equal(0.814, 0.815) and not equal(0.814, 0.82)
