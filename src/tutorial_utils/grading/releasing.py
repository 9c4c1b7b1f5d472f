"""What is looked at before a notebook goes out: whether each cell that gives points can be graded at all.

A cell of asserts cannot: it would have to run among the student's code, where whatever it says could be forged.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tutorial_utils.exercises import EXERCISES
from tutorial_utils.grading.own_checks import FILE, TOPIC
from tutorial_utils.grading.submissions import about, is_answer, is_check, what_is_checked

ADVICE = (
    f'Write check("id", answer) alone in it, for an exercise that the book has or that {FILE} in the course folder '
    'registers; or make it a "Manually graded answer".'
)


def faults(path: Path) -> Iterator[str]:
    """The cells of a source notebook that nobody could grade, a sentence each: file, cell, what to do."""
    nb = nbformat.read(path, as_version=4)
    for number, cell in enumerate(nb.cells, 1):
        if is_check(cell) and (why := fault(cell)):
            yield f"{path}, cell {number} ({about(cell).get('grade_id')}) {why}"
    points = [about(cell).get("grade_id") for cell in nb.cells if is_check(cell) or is_answer(cell)]
    for name in sorted({name for name in points if points.count(name) > 1}):
        yield f"{path} has {points.count(name)} cells called {name}: nbgrader needs a name of its own for each"


def fault(cell: NotebookNode) -> str:
    """Why a cell that gives points could not be graded, and what to do; "" if it can be."""
    if cell.cell_type != "code":
        return f"gives points, and is a text in which nobody answers. {ADVICE}"
    try:
        check = what_is_checked(cell.source)
        alone = _is_alone(ast.parse(cell.source))
    except (ValueError, SyntaxError):
        return f"gives points, and its code is no check. {ADVICE}"
    if not alone:
        return f"gives points by more than its check, and nothing else in it would count. {ADVICE}"
    if check.id not in EXERCISES:
        return f"checks {check.id!r}, which is registered nowhere. {ADVICE}"
    if EXERCISES[check.id].topic == TOPIC and not _is_later(ast.parse(cell.source)):
        words = f'check("{check.id}", {check.answer}, later=True)'
        return f"checks an exercise of {FILE}, which students do not have. Write {words}: it is checked when handed in."
    return ""


def _is_alone(tree: ast.Module) -> bool:
    """Whether nothing but a check is there, printed at most."""
    statement = tree.body[0] if len(tree.body) == 1 else None
    call = statement.value if isinstance(statement, ast.Expr) else None
    while isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print" and call.args:
        call = call.args[0]
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _is_later(tree: ast.Module) -> bool:
    keywords = [one for call in ast.walk(tree) if isinstance(call, ast.Call) for one in call.keywords]
    return any(
        one.arg == "later" and isinstance(one.value, ast.Constant) and one.value.value is True for one in keywords
    )
