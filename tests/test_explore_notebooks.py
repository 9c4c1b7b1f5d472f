"""Explorers and `interact` in notebooks: a widget in the kernel, numbers on the page, and nbval that sees both."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import nbformat
import pytest
from myst import HEADER
from nbformat import NotebookNode
from test_nbval_strict import failures, run_nbval

import notebooks
from notebook_lint import code_cells, findings
from tutorial_utils.explore.live import VIEW

CHAPTER = (
    HEADER
    + """
# A chapter

```{code-cell} ipython3
import matplotlib.pyplot as plt
import pandas as pd
from ipywidgets import interact
from tutorial_utils.explore import Explorer, Lines, Slider


def power(exponent):
    return pd.DataFrame({"x": [1, 2, 3], "y": [x**exponent for x in (1, 2, 3)]})
```

```{code-cell} ipython3
Explorer(power, name="power", controls=[Slider("exponent", [1, 2])], charts=[Lines(x="x", y="y")],
         say=lambda rows, exponent: f"The largest is {rows.y.max()}")
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: A parabola.
---
@interact(exponent=[1, 2, 3])
def draw_power(exponent=2):
    print(f"{3**exponent}")
    plt.plot([x**exponent for x in (1, 2, 3)])
```
"""
)
SETUP, EXPLORER, INTERACT = range(3)
Tamper = Callable[[list[NotebookNode]], None]


def change_number(cells: list[NotebookNode]) -> None:
    data = cells[EXPLORER].outputs[0].data
    assert "[1,4,9]" in data["text/html"]
    data["text/html"] = data["text/html"].replace("[1,4,9]", "[1,4,8]")


def change_sentence(cells: list[NotebookNode]) -> None:
    data = cells[EXPLORER].outputs[0].data
    data["text/html"] = data["text/html"].replace("largest is 9", "largest is 8")


def remove_explorer(cells: list[NotebookNode]) -> None:
    cells[EXPLORER].outputs = []


def change_measure(cells: list[NotebookNode]) -> None:
    cells[SETUP].source = cells[SETUP].source.replace("x**exponent", "x**exponent + 1")


def change_first_state(cells: list[NotebookNode]) -> None:
    cells[INTERACT].source = cells[INTERACT].source.replace("exponent=2", "exponent=1")


def remove_picture(cells: list[NotebookNode]) -> None:
    del cells[INTERACT].outputs[1].data["image/png"]


def raise_in_callback(cells: list[NotebookNode]) -> None:
    cells[INTERACT].source = cells[INTERACT].source.replace("3**exponent", "3 / (exponent - exponent)")


TAMPERS: dict[Tamper, tuple[int, str]] = {
    change_number: (EXPLORER, "Cell outputs differ"),
    change_sentence: (EXPLORER, "Cell outputs differ"),
    remove_explorer: (EXPLORER, "text/html"),
    change_measure: (EXPLORER, "Cell outputs differ"),
    change_first_state: (INTERACT, "Cell outputs differ"),
    remove_picture: (INTERACT, "0 pictures stored, 1 drawn"),
    raise_in_callback: (INTERACT, "Cell execution caused an exception"),
}


@pytest.fixture(scope="module")
def live() -> NotebookNode:
    """The chapter as a kernel leaves it, before the compiler takes out what changes from run to run."""
    nb = notebooks.parse(CHAPTER, "chapter")
    notebooks.execute(nb, notebooks.ROOT, "chapter")
    return nb


@pytest.fixture(scope="module")
def compiled(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[NotebookNode, dict[tuple[str, int], ElementTree.Element]]:
    """The compiled chapter, and what nbval says of each cell of it and of its tampered copies."""
    source = tmp_path_factory.mktemp("chapters") / "untouched.md"
    source.write_text(CHAPTER, encoding="utf-8")
    notebooks.compile_chapter(source)
    for tamper in TAMPERS:
        nb = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        tamper(code_cells(nb))
        notebooks.set_ids(nb)
        nbformat.write(nb, source.with_name(f"{tamper.__name__}.ipynb"))
    cases = {
        (case.attrib["classname"].split(".")[-2], int(case.attrib["name"].split()[-1])): case
        for case in run_nbval(source.parent).iter("testcase")
    }
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4), cases


def test_a_kernel_shows_widgets(live: NotebookNode) -> None:
    _, explorer, interact = code_cells(live)
    assert {"text/html", "text/plain", VIEW} <= set(explorer.outputs[0].data)
    assert VIEW in interact.outputs[-1].data and "text/html" not in interact.outputs[-1].data


def test_the_compiler_keeps_the_page_and_drops_the_widget(compiled: tuple[NotebookNode, object]) -> None:
    nb, _ = compiled
    assert VIEW not in nbformat.writes(nb) and "widgets" not in nb.metadata
    _, explorer, interact = code_cells(nb)
    assert explorer.outputs[0].data["text/html"].startswith('<good-explorer id="power">')
    printed, drawn = interact.outputs
    assert printed.text == "9\n" and "image/png" in drawn.data
    assert list(findings(nb)) == []


def test_an_exception_under_interact_stops_the_compiler() -> None:
    nb = notebooks.parse(CHAPTER.replace('print(f"{3**exponent}")', 'raise ValueError("nothing learned")'), "chapter")
    with pytest.raises(notebooks.ChapterError, match="nothing learned"):
        notebooks.run(nb, notebooks.ROOT, "chapter")


def test_nbval_passes_the_untouched_chapter(compiled: tuple[NotebookNode, dict]) -> None:
    _, cases = compiled
    assert [cell for notebook, cell in cases if notebook == "untouched"] == [SETUP, EXPLORER, INTERACT]
    assert failures(cases, "untouched") == {}


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_nbval_fails_a_tampered_chapter(compiled: tuple[NotebookNode, dict], tamper: Tamper) -> None:
    cell, message = TAMPERS[tamper]
    found = failures(compiled[1], tamper.__name__)
    assert message in found[cell]
    assert list(found) == [cell], "a tamper must fail its own cell alone"
