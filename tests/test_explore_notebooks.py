"""Explorers and `interact` in notebooks: a widget in the kernel, numbers on the page, and nbval that sees both."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from myst import HEADER
from nbformat import NotebookNode
from test_nbval_strict import failure, run_nbval

import notebooks
from notebook_lint import code_cells, findings
from tutorial_utils.explore.live import VIEW

pytestmark = pytest.mark.slow

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

EXPLORERS
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
""".replace(
        "EXPLORERS",
        "".join(
            f"""
```{{code-cell}} ipython3
Explorer(power, name="{name}", controls=[Slider("exponent", [1, 2])], charts=[Lines(x="x", y="y")],
         say=lambda rows, exponent: f"The largest is {{rows.y.max()}}")
```
"""
            for name in ("first", "second", "third")
        ),
    )
)
SETUP, FIRST, SECOND, THIRD, INTERACT = range(5)
Tamper = Callable[[NotebookNode], None]


def change_number(cell: NotebookNode) -> None:
    data = cell.outputs[1].data
    assert "[1,4,9]" in data["text/html"]
    data["text/html"] = data["text/html"].replace("[1,4,9]", "[1,4,8]")


def change_sentence(cell: NotebookNode) -> None:
    data = cell.outputs[1].data
    data["text/html"] = data["text/html"].replace("largest is 9", "largest is 8")


def remove_explorer(cell: NotebookNode) -> None:
    cell.outputs = []


def change_first_state(cell: NotebookNode) -> None:
    cell.source = cell.source.replace("exponent=2", "exponent=1")


TAMPERS: dict[Tamper, tuple[int, str]] = {  # one for each cell of one copy
    change_number: (FIRST, "Cell outputs differ"),
    change_sentence: (SECOND, "Cell outputs differ"),
    remove_explorer: (THIRD, "text/html"),
    change_first_state: (INTERACT, "Cell outputs differ"),
}


def save(nb: NotebookNode, path: Path) -> None:
    notebooks.set_ids(nb)
    nbformat.write(nb, path)


@pytest.fixture(scope="module")
def compiled(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[NotebookNode, dict[tuple[str, int], ElementTree.Element]]:
    """The compiled chapter, and what nbval says of each cell of it and of its tampered copies."""
    source = tmp_path_factory.mktemp("chapters") / "untouched.md"
    source.write_text(CHAPTER, encoding="utf-8")
    notebooks.compile_chapter(source)
    nb, tampered, measured = (nbformat.read(source.with_suffix(".ipynb"), as_version=4) for _ in range(3))
    for tamper, (number, _) in TAMPERS.items():
        tamper(code_cells(tampered)[number])
    setup = code_cells(measured)[SETUP]
    setup.source = setup.source.replace("x**exponent", "x**exponent + 1")
    save(tampered, source.with_name("tampered.ipynb"))
    save(measured, source.with_name("measured.ipynb"))
    cases = {
        (case.attrib["classname"].split(".")[-2], int(case.attrib["name"].split()[-1])): case
        for case in run_nbval(source.parent).iter("testcase")
    }
    return nb, cases


def test_a_kernel_shows_widgets_and_an_exception_under_interact_stops_the_compiler() -> None:
    nb = notebooks.parse(CHAPTER.replace('print(f"{3**exponent}")', 'raise ValueError("nothing learned")'), "chapter")
    with pytest.raises(notebooks.ChapterError, match="nothing learned"):
        notebooks.execute(nb, notebooks.ROOT, "chapter")
    explorer, interact = (code_cells(nb)[number].outputs for number in (FIRST, INTERACT))
    assert {"text/html", "text/plain", VIEW} <= set(explorer[0].data)
    assert VIEW in interact[-1].data and "text/html" not in interact[-1].data


def test_the_compiler_keeps_the_page_draws_it_and_drops_the_widget(compiled: tuple[NotebookNode, object]) -> None:
    nb, _ = compiled
    assert VIEW not in nbformat.writes(nb) and "widgets" not in nb.metadata
    explorer, interact = (code_cells(nb)[number].outputs for number in (FIRST, INTERACT))
    picture, page = explorer
    assert picture.data["text/plain"] == "The largest is 3" and picture.data["image/png"]
    assert page.data["text/html"].startswith('<good-explorer id="first">')
    printed, drawn = interact
    assert printed.text == "9\n" and "image/png" in drawn.data
    assert list(findings(nb)) == []


def failures(cases: dict, name: str) -> dict[int, str]:
    """What failed in a notebook, by the number of the cell."""
    return {cell: text for (notebook, cell), case in cases.items() if notebook == name and (text := failure(case))}


def test_nbval_passes_the_untouched_chapter(compiled: tuple[NotebookNode, dict]) -> None:
    _, cases = compiled
    assert [cell for notebook, cell in cases if notebook == "untouched"] == list(range(5))
    assert failures(cases, "untouched") == {}


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_nbval_fails_a_tampered_cell(compiled: tuple[NotebookNode, dict], tamper: Tamper) -> None:
    cell, message = TAMPERS[tamper]
    assert message in failures(compiled[1], "tampered")[cell]


def test_nbval_fails_what_is_measured_otherwise_and_nothing_else(compiled: tuple[NotebookNode, dict]) -> None:
    assert list(failures(compiled[1], "measured")) == [FIRST, SECOND, THIRD]
    assert SETUP not in failures(compiled[1], "tampered")
