"""A notebook to grade: everything but the student's answers comes from what was handed out.

A submitted file may hold anything. Only the text of its cells is taken over; cells that were handed out locked,
checks among them, are put back as they were, whatever became of them.
"""

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

LARGEST = 20 * 2**20
"""Bytes of a notebook that is still read, with its outputs."""
MOST_CELLS = 500
MOST_TEXT = 500_000
"""Characters in all cells. More takes minutes to be shown, and nobody writes as much."""
KEY = "good_starts"
MISSING = "# This cell was not in the submission."
UNREADABLE = "**This file could not be read as a notebook of this assignment**, so there was nothing to grade"


@dataclass(frozen=True)
class Submitted:
    """A cell as a student left it."""

    #: "code" or "markdown".
    kind: str
    #: Its text.
    source: str
    #: nbgrader's name for it; "" if it has none.
    grade_id: str
    #: The notebook's name for it; "" if it has none.
    cell_id: str


def read(path: Path) -> list[Submitted]:
    """The cells of a submitted file.

    Raises:
        ValueError: with the reason why it is no notebook.
    """
    size = path.stat().st_size
    if not 0 < size <= LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MB" if size else "it is empty")
    try:
        nb = json.loads(path.read_text(encoding="utf-8-sig"))
        if "worksheets" in nb:
            nb = nbformat.convert(nbformat.from_dict(nb), 4)
        cells = [_cell(cell) for cell in nb["cells"] if cell.get("cell_type") in ("code", "markdown")]
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if len(cells) > MOST_CELLS or sum(len(cell.source) for cell in cells) > MOST_TEXT:
        raise ValueError(f"more than {MOST_CELLS} cells or {MOST_TEXT} characters")
    return cells


def _cell(cell: Any) -> Submitted:
    source, metadata = cell.get("source", ""), cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = about.get("grade_id") if isinstance(about, dict) else None
    text = "".join(source) if isinstance(source, list) else str(source)
    return Submitted(cell["cell_type"], storable(text), str(grade_id or ""), str(cell.get("id") or ""))


def storable(text: str) -> str:
    """The text without halves of characters, which no file can hold.

    >>> storable("a" + chr(0xD800))
    'a?'
    """
    return text.encode(errors="replace").decode()


# --- putting together ---------------------------------------------------------------------------------


def about(cell: NotebookNode) -> dict[str, Any]:
    """What nbgrader notes of a cell that was handed out."""
    noted: dict[str, Any] = cell.metadata.get("nbgrader", {})
    return noted


def is_answer(cell: NotebookNode) -> bool:
    """Whether a student was to write in the cell."""
    return bool(about(cell).get("solution"))


def is_check(cell: NotebookNode) -> bool:
    """Whether the cell gives points without a person."""
    return bool(about(cell).get("grade")) and not is_answer(cell)


def is_students(cell: NotebookNode) -> bool:
    """Whether the student's version of the cell counts: answers, and code that is no check."""
    return is_answer(cell) or (cell.cell_type == "code" and not is_check(cell))


def rebuild(released: NotebookNode, submitted: list[Submitted]) -> NotebookNode:
    """The notebook that was handed out with the student's answers in it, and the cells that the student added.

    Each code cell that is to run has its place in the student's order in its metadata.

    Raises:
        ValueError: if not one answer or check is there, as in the notebook of another assignment.
    """
    owner = assign(released, submitted)
    if not any("grade_id" in about(released.cells[index]) for index in owner):
        raise ValueError("it holds no exercise of this assignment")
    return _put_together(released, submitted, owner)


def _put_together(released: NotebookNode, submitted: list[Submitted], owner: dict[int, int]) -> NotebookNode:
    added = extras(released, submitted, owner)
    nb: NotebookNode = nbformat.from_dict(json.loads(json.dumps(released)))
    cells, place = [_extra(submitted, number) for number in added.get(-1, [])], -1.0
    for index, cell in enumerate(nb.cells):
        place = float(owner.get(index, place + 1e-6))
        _fill(cell, submitted[owner[index]] if index in owner else None, place)
        cells += [cell, *(_extra(submitted, number) for number in added.get(index, []))]
    nb.cells = cells
    return nb


def _fill(cell: NotebookNode, answer: Submitted | None, place: float) -> None:
    """Put what the student wrote into a cell that was handed out; what is missing runs only if it was no answer."""
    if is_students(cell) and answer is not None:
        cell.source = answer.source
    elif is_answer(cell) and cell.cell_type == "code":
        cell.source = MISSING
    if is_students(cell) and cell.cell_type == "code":
        cell.metadata[KEY] = {"place": place}


def assign(released: NotebookNode, submitted: list[Submitted]) -> dict[int, int]:
    """Which submitted cell stands for which one handed out: by nbgrader's name, the notebook's name, or the text."""
    owner: dict[int, int] = {}
    for index, cell in enumerate(released.cells):
        name, id, text = about(cell).get("grade_id"), cell.get("id"), cell.source.strip()
        free = [number for number in range(len(submitted)) if number not in owner.values()]
        fits = [number for number in free if name and submitted[number].grade_id == name]
        fits = fits or [number for number in free if id and submitted[number].cell_id == id]
        fits = fits or [number for number in free if submitted[number].source.strip() == text]
        if fits:
            owner[index] = fits[-1]
    return owner


def extras(released: NotebookNode, submitted: list[Submitted], owner: dict[int, int]) -> dict[int, list[int]]:
    """The cells that a student added, by the cell handed out that they follow (-1: none).

    A check that was written into is one: what was written may be an answer.
    """
    stands_for = {number: index for index, number in owner.items()}
    added: dict[int, list[int]] = {}
    last = -1
    for number, one in enumerate(submitted):
        last = stands_for.get(number, last)
        if number not in stands_for or _written_into(released.cells[last], one):
            added.setdefault(last, []).append(number)
    return added


def _written_into(cell: NotebookNode, one: Submitted) -> bool:
    return is_check(cell) and one.kind == "code" and one.source.strip() != cell.source.strip()


def _extra(submitted: list[Submitted], number: int) -> NotebookNode:
    one = submitted[number]
    v4: Any = nbformat.v4
    make: Callable[..., NotebookNode] = v4.new_code_cell if one.kind == "code" else v4.new_markdown_cell
    return make(one.source, metadata={KEY: {"place": number + 0.5}})


def unreadable(released: NotebookNode, reason: str) -> NotebookNode:
    """The notebook to grade in place of a file that is none."""
    nb = _put_together(released, [], {})
    nb.cells.insert(0, nbformat.v4.new_markdown_cell(f"{UNREADABLE} ({storable(reason)})."))
    return nb


# --- reading what was put together --------------------------------------------------------------------


def cells_to_run(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells of a rebuilt notebook that are no checks, in the student's order."""
    cells = [cell for cell in nb.cells if cell.cell_type == "code" and not is_check(cell)]
    return sorted(cells, key=lambda cell: float(cell.metadata[KEY]["place"]))


def what_is_checked(source: str) -> tuple[str, str, bool]:
    """Exercise, answer and whether the data are the student's own, from the text of a check cell.

    Raises:
        ValueError: if there is not exactly one check in it.

    >>> what_is_checked('check("bn-largest-output", largest, student_id=student_id)')
    ('bn-largest-output', 'largest', True)
    """
    found = list(_checks(source))
    if len(found) != 1 or len(found[0].args) != 2:
        raise ValueError(f"a check cell holds one check(id, answer), not {source!r}")
    id, answer = found[0].args
    own = any(keyword.arg == "student_id" for keyword in found[0].keywords)
    return str(ast.literal_eval(id)), ast.unparse(answer), own


def _checks(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
            yield node
