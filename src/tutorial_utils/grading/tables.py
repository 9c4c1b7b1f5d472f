"""Tables in the course folder, which a spreadsheet may open: no cell of theirs is a command.

>>> plain("=cmd()"), plain(2.5)
("'=cmd()", 2.5)
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = Sequence[object]


def plain(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula, and no terminal for an order."""
    if not isinstance(cell, str):
        return cell
    text = "".join(one if one.isprintable() else "?" for one in cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def read(path: Path) -> list[list[str]]:
    """The lines of a table below its header; none if there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file) if row][1:]


def write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(columns), *([plain(cell) for cell in row] for row in rows)])


def replace(path: Path, columns: Sequence[str], rows: Sequence[Row], key: int) -> None:
    """Write rows into a table, in place of those that are the same in their first `key` cells."""
    new = {tuple(map(str, row[:key])) for row in rows}
    kept = [row for row in read(path) if tuple(row[:key]) not in new]
    write(path, columns, sorted([*kept, *rows], key=lambda row: str(row[0])))
