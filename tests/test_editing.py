"""A chapter opened as a notebook in JupyterLab: saved, it is the same text but for the edit."""

import difflib
import shutil
from pathlib import Path
from typing import Any

import jupytext
import pytest

import notebooks

CHAPTERS = notebooks.chapters([])
LABS_OWN = {"editable": True, "scrolled": True, "slideshow": {"slide_type": ""}, "trusted": True}


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    """What JupyterLab's server reads and writes files with, in a folder with the project's settings."""
    shutil.copy(notebooks.ROOT / "pyproject.toml", tmp_path)
    return jupytext.TextFileContentsManager(root_dir=str(tmp_path))


def test_an_edit_changes_its_own_lines(lab: Any, tmp_path: Path) -> None:
    source = Path(shutil.copy(CHAPTERS[0], tmp_path / "chapter.md"))
    lab.save(lab.get("chapter.md", type="notebook"), "chapter.md")  # wraps long alternative texts
    before = source.read_text(encoding="utf-8").splitlines()
    model = lab.get("chapter.md", type="notebook")
    cell = next(cell for cell in model["content"].cells if cell.cell_type == "code")
    cell.source += "\nprint('new')"
    cell.metadata.update(LABS_OWN)
    cell.update(outputs=[], execution_count=3)
    model["content"].metadata.update(widgets={}, language_info={"name": "python", "version": "3.11.7"})
    lab.save(model, "chapter.md")
    after = source.read_text(encoding="utf-8").splitlines()
    changes = [line for line in difflib.ndiff(before, after) if line[0] != " "]
    assert changes == ["+ print('new')"]


@pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)
def test_saving_a_chapter_changes_no_cell_and_no_header(lab: Any, tmp_path: Path, source: Path) -> None:
    saved = shutil.copy(source, tmp_path)
    lab.save(lab.get(source.name, type="notebook"), source.name)
    before, after = (jupytext.read(path, fmt="md:myst") for path in (source, saved))
    assert [(cell.source, cell.metadata) for cell in after.cells] == [(c.source, c.metadata) for c in before.cells]
    assert after.metadata == before.metadata
