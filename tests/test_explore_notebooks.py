"""Explorers and panels in notebooks: a widget in the kernel, numbers on the page, and nbval that sees both."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import nbformat
import pytest
from myst import HEADER
from nbformat import NotebookNode
from test_nbval_strict import run_nbval

import notebooks
from notebook_lint import code_cells, findings
from tutorial_utils.explore.live import VIEW

pytestmark = pytest.mark.xdist_group("explore_notebooks")  # nbval runs once for all tests

CHAPTER = (
    HEADER
    + """
# A chapter

```{code-cell} ipython3
import matplotlib.pyplot as plt
import pandas as pd
from tutorial_utils.explore import Explorer, Lines, Slider, panel


def power(exponent):
    return pd.DataFrame({"x": [1, 2, 3], "y": [x**exponent for x in (1, 2, 3)]})
```

```{code-cell} ipython3
Explorer(power, name="power", controls=[Slider("exponent", [1, 2])], charts=[Lines(x="x", y="y")],
         say=lambda rows, exponent: f"The largest is {rows.y.max()}")
```

```{code-cell} ipython3
def again(exponent):
    print(f"{3**exponent}")
    plt.plot(power(exponent).y)
    plt.show()


panel(again, Slider("exponent", [1, 2, 3]), exponent=2)
```
"""
)
SETUP, EXPLORER, PANEL = range(3)
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


def raise_in_panel(cells: list[NotebookNode]) -> None:
    cells[PANEL].source = cells[PANEL].source.replace("3**exponent", "3 / (exponent - exponent)")


TAMPERS: dict[Tamper, tuple[int, str]] = {
    change_number: (EXPLORER, "Cell outputs differ"),
    change_sentence: (EXPLORER, "Cell outputs differ"),
    remove_explorer: (EXPLORER, "text/html"),
    change_measure: (EXPLORER, "Cell outputs differ"),
    raise_in_panel: (PANEL, "exception inside a widget"),
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
    for cell in code_cells(live)[EXPLORER:]:
        data = cell.outputs[0].data
        assert {"text/html", "text/plain", VIEW} <= set(data)
    states = live.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    model = code_cells(live)[EXPLORER].outputs[0].data[VIEW]["model_id"]
    shown = states[model]["state"]
    assert shown["_model_module"] == "anywidget" and "good-explorer" in shown["_esm"]
    assert json.loads(json.dumps(shown["data"]))["name"] == "power"


def test_the_compiler_keeps_the_page_and_drops_the_widget(compiled: tuple[NotebookNode, object]) -> None:
    nb, _ = compiled
    assert VIEW not in nbformat.writes(nb) and "widgets" not in nb.metadata
    pages = [cell.outputs[0].data["text/html"] for cell in code_cells(nb)[EXPLORER:]]
    assert pages[0].startswith('<good-explorer id="power">') and "Try it." in pages[1]
    assert list(findings(nb)) == []


def test_an_exception_inside_a_panel_stops_the_compiler() -> None:
    nb = notebooks.parse(CHAPTER.replace('print(f"{3**exponent}")', 'raise ValueError("nothing learned")'), "chapter")
    with pytest.raises(notebooks.ChapterError, match="nothing learned"):
        notebooks.run(nb, notebooks.ROOT, "chapter")


def failures(cases: dict[tuple[str, int], ElementTree.Element], name: str) -> dict[int, str]:
    """What nbval says of the cells of a notebook that fail."""
    found = {cell: case.find("failure") for (notebook, cell), case in cases.items() if notebook == name}
    return {cell: failure.text or "" for cell, failure in found.items() if failure is not None}


def test_nbval_passes_the_untouched_chapter(compiled: tuple[NotebookNode, dict]) -> None:
    _, cases = compiled
    assert [cell for notebook, cell in cases if notebook == "untouched"] == [SETUP, EXPLORER, PANEL]
    assert failures(cases, "untouched") == {}


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_nbval_fails_a_tampered_chapter(compiled: tuple[NotebookNode, dict], tamper: Tamper) -> None:
    cell, message = TAMPERS[tamper]
    found = failures(compiled[1], tamper.__name__)
    assert message in found[cell]
    assert list(found) == [cell], "a tamper must fail its own cell alone"
