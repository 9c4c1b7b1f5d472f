"""A notebook to grade: everything but the student's answers comes from what was handed out.

A submitted file may hold anything. Only the text of its cells is taken over; cells that were handed out locked,
checks among them, are put back as they were, whatever became of them.
"""

import ast
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from tutorial_utils.grading.dependence import is_bound

LARGEST = 20 * 2**20
"""Bytes of a notebook that is still read, with its outputs."""
MOST_CELLS = 500
MOST_TEXT = 500_000
"""Characters in all cells. More takes minutes to be shown, and nobody writes as much."""
KINDS = ("code", "markdown", "raw")
MISSING = "# This cell was not in the submission."
UNREADABLE = "**This file could not be read as a notebook of this assignment**, so there was nothing to grade"


class Submitted(NamedTuple):
    """A cell as a student left it: its kind, its text, nbgrader's name and the notebook's name for it, or ""."""

    kind: str
    source: str
    grade_id: str
    cell_id: str


def read(path: Path) -> list[Submitted]:
    """The cells of a submitted file; a ValueError says why it is no notebook."""
    size = path.stat().st_size
    if not 0 < size <= LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MB" if size else "it is empty")
    try:
        nb = json.loads(path.read_text(encoding="utf-8-sig"))
        if "worksheets" in nb:
            nb = nbformat.convert(nbformat.from_dict(nb), 4)
        cells = [_cell(cell) for cell in nb["cells"] if cell.get("cell_type") in KINDS]
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
    text = text.replace("\r\n", "\n")  # as another system may end lines
    return Submitted(cell["cell_type"], storable(text), str(grade_id or ""), str(cell.get("id") or ""))


def storable(text: str) -> str:
    """The text without halves of characters, which no file can hold.

    >>> storable("a" + chr(0xD800))
    'a?'
    """
    return text.encode(errors="replace").decode()


# --- putting together ---------------------------------------------------------------------------------


def about(cell: NotebookNode) -> Any:
    """What nbgrader notes of a cell that was handed out."""
    return cell.metadata.get("nbgrader", {})


def is_answer(cell: NotebookNode) -> bool:
    """Whether a student was to write in the cell."""
    return bool(about(cell).get("solution"))


def is_check(cell: NotebookNode) -> bool:
    """Whether the cell gives points without a person."""
    return bool(about(cell).get("grade")) and not is_answer(cell)


def rebuild(released: NotebookNode, submitted: list[Submitted]) -> NotebookNode:
    """The notebook that was handed out, with the student's answers, in the student's order and with added cells.

    A ValueError says that not one answer or check is there, as in the notebook of another assignment.
    """
    owner = assign(released, submitted)
    if not any("grade_id" in about(released.cells[index]) for index in owner.values()):
        raise ValueError("it holds no exercise of this assignment")
    return _put_together(released, submitted, owner)


def _put_together(released: NotebookNode, submitted: list[Submitted], owner: dict[int, int]) -> NotebookNode:
    nb: NotebookNode = copy.deepcopy(released)
    cells: list[NotebookNode] = []
    for number, one in enumerate(submitted):
        cells += _filled(nb.cells[owner[number]], one) if number in owner else [_extra(one)]
    for index, cell in enumerate(nb.cells):
        if index not in owner.values():
            if is_answer(cell) and cell.cell_type == "code":
                cell.source = MISSING
            before = [place for place, one in enumerate(cells) if index and one is nb.cells[index - 1]]
            cells.insert(before[0] + 1 if before else 0, cell)
    nb.cells = cells
    return nb


def _filled(cell: NotebookNode, one: Submitted) -> list[NotebookNode]:
    """A cell that was handed out with what the student wrote; behind a check, that is a cell of its own."""
    if is_check(cell):
        written = one.kind == "code" and one.source.strip() != cell.source.strip()
        return [cell, _extra(one)] if written else [cell]
    if is_answer(cell) or cell.cell_type == "code":
        cell.source = one.source
    return [cell]


def _extra(one: Submitted) -> NotebookNode:
    v4: Any = nbformat.v4
    made: NotebookNode = (v4.new_code_cell if one.kind == "code" else v4.new_markdown_cell)(one.source)
    return made


def assign(released: NotebookNode, submitted: Sequence[Submitted]) -> dict[int, int]:
    """For which cell handed out a submitted one stands: by nbgrader's name, the notebook's name, or the text."""
    owner: dict[int, int] = {}
    for index, cell in enumerate(released.cells):
        name, id, text = about(cell).get("grade_id"), cell.get("id"), cell.source.strip()
        free = [number for number in range(len(submitted)) if number not in owner]
        fits = [number for number in free if name and submitted[number].grade_id == name]
        fits = fits or [number for number in free if id and submitted[number].cell_id == id]
        fits = fits or [number for number in free if submitted[number].source.strip() == text]
        if fits:
            owner[fits[-1]] = index
    return owner


def unreadable(released: NotebookNode, reason: str) -> NotebookNode:
    """The notebook to grade in place of a file that is none."""
    nb = _put_together(released, [], {})
    nb.cells.insert(0, nbformat.v4.new_markdown_cell(f"{UNREADABLE} ({storable(reason)})."))
    return nb


# --- reading what was put together --------------------------------------------------------------------


def cells_to_run(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells of a rebuilt notebook that are no checks."""
    return [cell for cell in nb.cells if cell.cell_type == "code" and not is_check(cell)]


class Check(NamedTuple):
    """What a check cell checks: the exercise, the expression that answers it, whether the data are one's own."""

    id: str
    answer: str
    own: bool


def what_is_checked(source: str) -> Check:
    """Read the text of a check cell; a ValueError says that there is not exactly one check in it.

    >>> what_is_checked('check("bn-largest-output", largest, student_id=student_id)')
    Check(id='bn-largest-output', answer='largest', own=True)
    """
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "check"]
    if len(found) != 1 or len(found[0].args) != 2:
        raise ValueError(f"a check cell holds one check(id, answer), not {source!r}")
    id, answer = found[0].args
    own = any(keyword.arg == "student_id" for keyword in found[0].keywords)
    return Check(str(ast.literal_eval(id)), ast.unparse(answer), own)


class Placed(NamedTuple):
    """A check, its cell, and after how many of the cells to run it is made."""

    check: Check
    cell: NotebookNode
    after: int


def checks(nb: NotebookNode) -> list[Placed]:
    """The checks of a rebuilt notebook in the order in which they are made.

    Each is made where it stands, as when a notebook runs from top to bottom: what later cells set does not count. Where
    a later cell gives the answer another meaning, as one who adds a better version at the end does, that one counts.
    """
    sources = [cell.source for cell in cells_to_run(nb)]
    found, before = [], 0
    for cell in nb.cells:
        if is_check(cell):
            check = what_is_checked(cell.source)
            found.append(Placed(check, cell, len(sources) if is_bound(check.answer, sources[before:]) else before))
        elif cell.cell_type == "code":
            before += 1
    return sorted(found, key=lambda one: one.after)
