"""Make a course folder from the exercises: hand out, collect, grade, with nbgrader.

    python tools/course.py ~/my-course                           # every exercise notebook
    python tools/course.py ~/my-course 10-batchnorm-training     # one of them
    python tools/course.py ~/my-course --book https://my.example/book    # where students read the chapters

The folder gets `nbgrader_config.py` and, for each assignment, `source/NAME/NAME.ipynb` with the solutions. What is
there already stays. Then, in that folder: python -m tutorial_utils.grading --help
"""

import argparse
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import editions
import topics
import website
from editions import Cell
from notebooks import ChapterError

CONFIG = Path(__file__).parent / "nbgrader_config.py"


def note(cell: Cell, number: int, points: int) -> dict[str, object]:
    """What nbgrader has to know of a cell, the `number`-th of its role in its exercise; empty for an ordinary one."""
    by_hand = cell.role == "solution" and cell.kind == "markdown"
    if cell.role not in ("solution", "check"):
        return {}
    name = f"{cell.exercise}-{cell.role}" + (f"-{number}" if number > 1 else "")
    about: dict[str, object] = {"schema_version": 3, "grade_id": name, "task": False, "locked": cell.role == "check"}
    about |= {"solution": cell.role == "solution", "grade": by_hand or cell.role == "check"}
    return about | ({"points": points} if about["grade"] else {})


def install() -> str:
    """What students need to know before the first cell runs."""
    address = website.repository()
    how = (
        f'run `%pip install "{website.package(address)}"` in a cell of its own, once' if address else "ask who teaches"
    )
    return f"If `tutorial_utils` is not found, {how}."


def source(master: Path, book: str = "") -> NotebookNode:
    """The source notebook of an assignment: solutions between their markers, points, no rubrics.

    ``book`` is the address to which links to chapters lead. Errors: ChapterError if the master is none.
    """
    cells = [cell for cell in editions.with_facts(editions.read_master(master)) if cell.role != "rubric"]
    texts = [cell.source if cell.kind == "code" else topics.published(cell.source, book) for cell in cells]
    texts[0] += f"\n\n{install()}"
    nb = editions.notebook(list(zip(cells, texts, strict=True)))
    seen: Counter[tuple[str, str]] = Counter()
    points = {one.id: one.points for one in editions.facts(master)}
    for made, cell in zip(nb.cells, cells, strict=True):
        seen[cell.exercise, cell.role] += 1
        if about := note(cell, seen[cell.exercise, cell.role], points.get(cell.exercise, 0)):
            made.metadata["nbgrader"] = about
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return nb


def make(folder: Path, masters: Sequence[Path], book: str = "") -> list[str]:
    """Write what is not there yet; one line for each file written.

    Errors: ChapterError if a master is none.
    """
    notebooks = {folder / "source" / path.stem / f"{path.stem}.ipynb": source(path, book) for path in masters}
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o700)  # grades and submissions are nobody else's business
    lines = []
    if not (folder / CONFIG.name).exists():
        shutil.copy(CONFIG, folder)
        lines.append(CONFIG.name)
    for path, nb in notebooks.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(nbformat.writes(nb) + "\n", encoding="utf-8")
            lines.append(str(path.relative_to(folder)))
    return lines


def chosen(names: Sequence[str]) -> list[Path]:
    """The masters of those names; all if none is given.

    Errors: ChapterError that lists the names there are.
    """
    known = {path.stem: path for path in editions.masters()}
    if unknown := [name for name in names if name not in known]:
        raise ChapterError(f"no such exercises: {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names] or list(known.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(description="Make a course folder from the exercises.")
    parser.add_argument("folder", type=lambda text: Path(text).expanduser(), help="made if it is not there")
    parser.add_argument("names", nargs="*", help="exercise notebooks, such as 10-batchnorm-training (default: all)")
    parser.add_argument("--book", help="the address of the published book (default: that of this repository)")
    options = parser.parse_args(arguments)
    book = website.published(website.repository()) if options.book is None else options.book
    try:
        lines = make(options.folder, chosen(options.names), book)
    except ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    for line in lines:
        print(f"wrote {options.folder / line}")
    if not lines:
        print(f"All of it is in {options.folder} already; nothing was changed.")
    folder, python = (shlex.quote(str(path)) for path in (options.folder, os.path.abspath(sys.executable)))
    print(f"Next: cd {folder}; {python} -m tutorial_utils.grading release")
    return 0


if __name__ == "__main__":
    sys.exit(main())
