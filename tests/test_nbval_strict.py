"""Prove that nbval with the plug-in passes an untouched notebook and fails each way of tampering with it."""

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

import notebooks
from notebook_lint import code_cells

pytestmark = pytest.mark.xdist_group("nbval_strict")  # nbval runs once for all tests

CHAPTER = (
    HEADER
    + """
# A chapter

```{code-cell} ipython3
import matplotlib.pyplot as plt

def draw(values):
    plt.figure(figsize=(4, 3))
    plt.plot(values)
    plt.ylim(0, 10)
    plt.show()

print(f"{2 / 3:.3f}")
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: A rising line.
---
draw([1, 2, 4, 8])
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: A falling line.
tags: [nbval-ignore-output]
---
draw([8, 4, 2, 1])
```

```{code-cell} ipython3
from ipywidgets import interact

_ = interact(lambda n: print(f"{n} layers"), n=3)
```
"""
)
NUMBER, CURVE, IGNORED, WIDGET = range(4)


def change_number(cells: list[NotebookNode]) -> None:
    cells[NUMBER].outputs[0].text = "0.668\n"


def change_figure(cells: list[NotebookNode]) -> None:
    cells[CURVE].outputs[0].data["image/png"] = cells[IGNORED].outputs[0].data["image/png"]


def remove_picture(cells: list[NotebookNode]) -> None:
    del cells[CURVE].outputs[0].data["image/png"]


def remove_ignored_picture(cells: list[NotebookNode]) -> None:
    del cells[IGNORED].outputs[0].data["image/png"]


def strip_cell(cells: list[NotebookNode]) -> None:
    cells[CURVE].update(outputs=[], execution_count=None)


def misspell_tag(cells: list[NotebookNode]) -> None:
    cells[CURVE].metadata["tags"] = ["nbval-ingore-output"]


def skip_by_tag(cells: list[NotebookNode]) -> None:
    cells[CURVE].metadata["tags"] = ["nbval-skip"]


def edit_number(cells: list[NotebookNode]) -> None:
    cells[NUMBER].source = cells[NUMBER].source.replace("2 / 3", "1 / 3")


def edit_curve(cells: list[NotebookNode]) -> None:
    cells[CURVE].source = "draw([1, 2, 4, 7])"


def edit_ignored(cells: list[NotebookNode]) -> None:
    cells[IGNORED].source = "draw([8, 4, 2, 2])"


# The tampers below also give the edited cell the id of its new content: what fails must be the run itself.
def end_with_semicolon(cells: list[NotebookNode]) -> None:
    cells[CURVE].source += ";"


def skip_by_comment(cells: list[NotebookNode]) -> None:
    cells[CURVE].source = "# NBVAL_SKIP\n" + cells[CURVE].source


def raise_where_output_is_ignored(cells: list[NotebookNode]) -> None:
    cells[IGNORED].source += "\n1 / 0"


def raise_in_callback(cells: list[NotebookNode]) -> None:
    cells[WIDGET].source = cells[WIDGET].source.replace('print(f"{n} layers")', "n / 0")


def kill_kernel(cells: list[NotebookNode]) -> None:
    cells[NUMBER].source = "import os\n\nos.kill(os.getpid(), 9)"


TAMPERS: dict[Callable[[list[NotebookNode]], None], tuple[int, str]] = {
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
    kill_kernel: (NUMBER, "the kernel died in this cell"),
}
EDITED_WITH_ID = (end_with_semicolon, skip_by_comment, raise_where_output_is_ignored, raise_in_callback, kill_kernel)


def write_tampered(notebook: Path, tamper: Callable[[list[NotebookNode]], None]) -> None:
    nb = nbformat.read(notebook, as_version=4)
    tamper(code_cells(nb))
    if tamper in EDITED_WITH_ID:
        notebooks.set_ids(nb)
    nbformat.write(nb, notebook.with_name(f"{tamper.__name__}.ipynb"))


def run_nbval(folder: Path) -> ElementTree.Element:
    report = folder / "report.xml"
    words = ["-m", "pytest", "-c", notebooks.ROOT / "pyproject.toml", "--nbval", "-n2", f"--junitxml={report}", folder]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run([sys.executable, *words], env=environment, capture_output=True, encoding="utf-8")
    assert run.returncode == 1, run.stdout + run.stderr
    return ElementTree.parse(report).getroot()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], ElementTree.Element]:
    """Run nbval once on a compiled notebook and its tampered copies: the result of each cell of each."""
    folder = tmp_path_factory.mktemp("a path with spaces")
    source = folder / "untouched.md"
    source.write_text(CHAPTER, encoding="utf-8")
    notebooks.compile_chapter(source)
    for tamper in TAMPERS:
        write_tampered(source.with_suffix(".ipynb"), tamper)
    root = run_nbval(folder)
    return {
        (case.attrib["classname"].split(".")[-2], int(case.attrib["name"].split()[-1])): case
        for case in root.iter("testcase")
    }


Cases = dict[tuple[str, int], ElementTree.Element]


def failures(cases: Cases, name: str) -> dict[int, str]:
    found = {}
    for (notebook, cell), case in cases.items():
        for failure in case.iter("failure"):
            if notebook == name:
                found[cell] = failure.text or ""
    return found


def test_untouched_notebook_passes(cases: Cases) -> None:
    assert [cell for notebook, cell in cases if notebook == "untouched"] == [NUMBER, CURVE, IGNORED, WIDGET]
    assert failures(cases, "untouched") == {}


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_tampered_notebook_fails(cases: Cases, tamper: Callable[[list[NotebookNode]], None]) -> None:
    cell, message = TAMPERS[tamper]
    found = failures(cases, tamper.__name__)
    assert message in found[cell]
    if tamper is not kill_kernel:
        assert list(found) == [cell], "a tamper must fail its own cell alone"


def test_dead_kernel_is_noticed_at_once(cases: Cases) -> None:
    assert float(cases["kill_kernel", NUMBER].attrib["time"]) < 15
