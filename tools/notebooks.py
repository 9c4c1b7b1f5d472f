"""Compile chapters (MyST Markdown) into executed notebooks beside them, and check them.

    python tools/notebooks.py compile            # every chapter that is out of date
    python tools/notebooks.py compile --check    # execute nothing, say what is out of date or not allowed

The `.md` is what people edit. The `.ipynb` follows from it byte for byte, like a lock file.
"""

import argparse
import difflib
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

import explorer_picture
import notebook_lint
import pictures
import plain_markdown
import topics
from notebook_lint import LIVE_VIEW, code_cells, digest

ROOT = Path(__file__).resolve().parents[1]
LEDGER = ROOT / "src/tutorial_utils/claims/ledger.json"
SOURCES = (
    "book/intro.md",
    "book/chapters/*.md",
    "book/appendices/glorot-table-1.md",
    "book/appendices/thirteen-statements.md",
    "book/appendices/three-more-models.md",
    "book/laboratory.md",
)
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CELL_TIMEOUT = 120
"""Seconds after which a cell counts as hanging. On a busy machine the end of a cell may go unnoticed until then."""
READING_ENDS = "**Here the first reading ends"
"""What marks the end of a chapter's first reading, which leaves out closed boxes and folded code."""
PREREQUISITES = re.compile(r"^\*\*Prerequisites\.\*\* .*$", re.MULTILINE)
WORDS_A_MINUTE, LINES_A_MINUTE = 100, 35
"""How fast text and code are read; fitted to the minutes that the authors once estimated for eleven chapters."""
WORKERS = 2
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ChapterError(Exception):
    """A chapter cannot be read or executed; the message names it."""


@dataclass(frozen=True)
class Report:
    """What compiling one chapter did, its seconds and its kernel's peak memory in MiB (0 if none ran)."""

    source: Path
    action: str
    seconds: float = 0.0
    peak: float = 0.0
    changed: Sequence[str] = ()
    """Printed lines that are gone ("-") or new ("+"), and which cells keep an output that is not compared."""

    def __str__(self) -> str:
        """A line for the terminal, and below it the printed lines that changed."""
        first = f"{show(self.source)}: {self.action}, {self.seconds:.1f} s, {self.peak:.0f} MiB"
        return "\n  ".join([first, *self.changed])


def show(path: Path) -> str:
    """The path as one would type it from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def command(*words: str | Path) -> str:
    """The command line that mends something."""
    typed = [show(word) if isinstance(word, Path) else word for word in words]
    return shlex.join(["python", show(Path(__file__).resolve()), *typed])


# --- the source ---------------------------------------------------------------------------------------


def outputs_digest(nb: NotebookNode) -> str:
    """The digest of all stored outputs: shows that they were changed by anything but the compiler."""
    return digest(json.dumps([[cell.execution_count, cell.outputs] for cell in code_cells(nb)], sort_keys=True))


def set_ids(nb: NotebookNode) -> None:
    """Name each cell after its content, so that inserting one leaves the names of the others alone."""
    seen: Counter[str] = Counter()
    for cell in nb.cells:
        name = notebook_lint.content_name(cell)
        seen[name] += 1
        cell.id = f"{name}-{seen[name]}"


def parse(text: str, name: str) -> NotebookNode:
    """The notebook a MyST text describes; raises ChapterError if it is none."""
    try:
        nb: NotebookNode = jupytext.reads(text, fmt="md:myst")
    except Exception as error:
        raise ChapterError(f"{name}: not a MyST notebook: {error}") from error
    if "kernelspec" not in nb.metadata:
        raise ChapterError(f"{name}: the header names no kernelspec, so its code would never run")
    nb.metadata.pop("jupytext", None)
    return nb


def minutes(cells: Sequence[NotebookNode]) -> int:
    """About how long reading takes, in steps of five."""
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    lines = sum(len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code")
    return max(5, 5 * round((words / WORDS_A_MINUTE + lines / LINES_A_MINUTE) / 5))


def first_reading(nb: NotebookNode) -> list[NotebookNode]:
    """What stands open on the page before its first reading ends; nothing if it marks no such end."""
    cells: list[NotebookNode] = []
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            before, end, _ = cell.source.partition(READING_ENDS)
            cells.append(nbformat.v4.new_markdown_cell(plain_markdown.without_closed_boxes(before)))
            if end:
                return cells
        elif not notebook_lint.is_folded(cell):
            cells.append(cell)
    return []


def reading_time(nb: NotebookNode) -> str:
    """How long a page takes, in words."""
    if first := first_reading(nb):
        return f"About {minutes(first)} minutes for the first reading, {minutes(nb.cells)} for everything."
    return f"About {minutes(nb.cells)} minutes."


def fold(cell: NotebookNode) -> None:
    """Name a folded cell on the page after its first comment, and fold it in JupyterLab, too."""
    caption = notebook_lint.caption(cell) or "Code"
    cell.metadata.setdefault("mystnb", {}).update(code_prompt_show=caption, code_prompt_hide=caption)
    cell.metadata["jupyter"] = {"source_hidden": True}
    if "hide-cell" in notebook_lint.tags(cell):
        cell.metadata["jupyter"]["outputs_hidden"] = True


def complete(nb: NotebookNode, folder: Path) -> NotebookNode:
    """Put in what sources leave to the compiler: files of linked topics, a chapter's minutes, names of folds."""
    time = f" {reading_time(nb)}"
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = PREREQUISITES.sub(rf"\g<0>{time}", topics.linked(cell.source, folder))
        elif notebook_lint.is_folded(cell):
            fold(cell)
        elif "remove-cell" in notebook_lint.tags(cell):
            cell.metadata["jupyter"] = {"source_hidden": True}
    return nb


def shown_rows(nb: NotebookNode) -> list[object]:
    """The rows of the ledger of claims that the code names: what it prints changes when they do.

    A cell that imports ``source_text`` shows what follows from all of them.
    """
    code = "\n".join(cell.source for cell in code_cells(nb))
    rows = json.loads(LEDGER.read_text(encoding="utf-8"))["claims"] if "ledger" in code else []
    return [row for row in rows if f'"{row["id"]}"' in code or "source_text" in code]


def as_written(source: Path) -> NotebookNode:
    """The notebook that a chapter describes, not executed, its text in MyST: what the site is built from."""
    return complete(parse(source.read_text(encoding="utf-8"), show(source)), source.parent)


def restore(nb: NotebookNode, written: NotebookNode) -> NotebookNode:
    """Give a compiled notebook the text as it is written, and only the outputs that its cells made."""
    for cell, original in zip(nb.cells, written.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = notebook_lint.own_outputs(cell)
        else:
            cell.source = original.source
    return nb


def read_as_written(source: Path) -> NotebookNode | None:
    """The compiled notebook of a chapter with its text as written, or None if there is none that can be read."""
    stored = read_stored(source.with_suffix(".ipynb"))
    return stored and restore(stored, as_written(source))


def make_plain(nb: NotebookNode, folder: Path, number: int | None = None) -> None:
    """Put the text of a notebook that lies in a folder in words that every viewer understands."""
    cells = [cell for cell in nb.cells if cell.cell_type == "markdown"]
    page = plain_markdown.Source("\n\n".join(cell.source for cell in cells), folder, number)
    for cell in cells:
        cell.source = plain_markdown.plain(cell.source, page)


def read_source(source: Path) -> NotebookNode:
    """The notebook that a chapter describes, not executed."""
    text = source.read_text(encoding="utf-8")
    nb = as_written(source)
    try:
        make_plain(nb, source.parent, topics.number(source))
    except plain_markdown.PlainError as error:
        raise ChapterError(f"{show(source)}: {error}") from error
    nb.metadata.update(kernelspec=KERNELSPEC, language_info={"name": "python"}, book={"source": digest(text)})
    if rows := shown_rows(nb):
        nb.metadata.book["ledger"] = digest(json.dumps(rows))
    set_ids(nb)
    return nb


# --- execution ----------------------------------------------------------------------------------------


def execute(nb: NotebookNode, folder: Path, name: str) -> None:
    """Run all cells in a fresh kernel, in the given folder; raises ChapterError with cell and traceback."""
    started: list[str] = []
    client = NotebookClient(
        nb,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: started.append(cell.source) if cell.cell_type == "code" else None,
    )
    client.comm_open_handlers.clear()  # what `interact` prints and draws lands in the cell, for all to read
    try:
        client.execute(env=os.environ | notebook_lint.KERNEL_ENVIRONMENT, stderr=subprocess.DEVNULL)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise ChapterError(f"{name}: code cell {len(started)} failed\n{ANSI.sub('', str(error))}") from error
    for number, cell in enumerate(code_cells(nb), 1):  # the errors that `interact` catches
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in notebook_lint.tags(cell):
                raise ChapterError(f"{name}: code cell {number} failed\n{output.ename}: {output.evalue}")


def merge_streams(nb: NotebookNode) -> None:
    """Join the pieces in which printed text arrives, whose number depends on timing."""
    for cell in code_cells(nb):
        merged: list[NotebookNode] = []
        for output in cell.outputs:
            if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
        cell.outputs = merged


def drop_live_views(nb: NotebookNode) -> None:
    """Leave out widgets, which need a kernel: of an output that also has HTML the HTML stays, any other goes."""
    for cell in code_cells(nb):
        views = [output for output in cell.outputs if output.get("data", {}).pop(LIVE_VIEW, None)]
        cell.outputs = [output for output in cell.outputs if output not in views or "text/html" in output.data]


def run(nb: NotebookNode, folder: Path, name: str) -> NotebookNode:
    """The notebook executed, and freed from all that changes from run to run."""
    execute(nb, folder, name)
    nb.metadata.language_info = {"name": "python"}
    merge_streams(nb)
    drop_live_views(nb)
    explorer_picture.illustrate(nb)
    return nb


# --- compilation --------------------------------------------------------------------------------------


def read_stored(notebook: Path) -> NotebookNode | None:
    """The notebook as stored, or None if there is none that can be read."""
    try:
        stored: NotebookNode = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError, nbformat.reader.NotJSONError):
        return None
    return stored


def _inputs(nb: NotebookNode) -> list[tuple[str, str, str, object]]:
    return [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in nb.cells]


def is_compiled(stored: NotebookNode) -> bool:
    """Whether the compiler made the stored outputs: its digest of them holds, each cell ran once and in order."""
    counts = [cell.execution_count for cell in code_cells(stored)]
    return counts == list(range(1, len(counts) + 1)) and (
        stored.metadata.get("book", {}).get("outputs") == outputs_digest(stored)
    )


def differences(nb: NotebookNode, stored: NotebookNode) -> Iterator[str]:
    """In what a stored notebook is not what its source describes, one line each."""
    if [cell.get("id") for cell in stored.cells] != [cell.id for cell in nb.cells]:
        yield "its cells are not those of the source"
    elif _inputs(nb) != _inputs(stored):
        yield "tags or metadata of its cells are not those of the source"
    if stored.metadata.get("book", {}).get("source") != nb.metadata.book.source:
        yield "the source changed since it was compiled"
    if _ledger(nb) != _ledger(stored):
        yield "the rows of the ledger that it shows changed since it was compiled"
    if not is_compiled(stored):
        yield "its outputs are not those of one compilation from top to bottom"
    if any(stored.metadata.get(key) != nb.metadata[key] for key in nb.metadata if key != "book"):
        yield "its metadata is not that of the source"


def _code(nb: NotebookNode) -> list[tuple[str, set[str]]]:
    return [(cell.source, notebook_lint.tags(cell)) for cell in code_cells(nb)]


def _ledger(nb: NotebookNode) -> object:
    return nb.metadata.get("book", {}).get("ledger")


def keep_outputs(nb: NotebookNode, stored: NotebookNode | None) -> bool:
    """Copy stored outputs that the compiler made for the very same code and ledger; False if there are none."""
    same = stored is not None and (_code(nb), _ledger(nb)) == (_code(stored), _ledger(stored))
    if stored is None or not same or not is_compiled(stored):
        return False
    for new, old in zip(code_cells(nb), code_cells(stored), strict=True):
        new.outputs, new.execution_count = old.outputs, old.execution_count
    return True


def _alike(new: NotebookNode, old: NotebookNode) -> bool:
    """Whether two outputs look the same: another processor moves single pixels, and last digits of explorers."""
    fresh, kept = new.get("data", {}), old.get("data", {})
    if not fresh or (new.output_type, fresh.keys()) != (old.output_type, kept.keys()):
        return False
    return all(fresh[mime] == kept[mime] or _look_alike(mime, fresh[mime], kept[mime]) for mime in fresh)


def _look_alike(mime: str, fresh: str, kept: str) -> bool:
    if mime == "image/png":
        return pictures.distance(fresh, kept) <= pictures.TOLERANCE
    return mime == "text/html" and pictures.same_numbers(fresh, kept)


def keep_alike(nb: NotebookNode, stored: NotebookNode | None) -> None:
    """Keep each stored output that looks like the fresh one."""
    old_cells = {cell.get("id"): cell for cell in code_cells(stored)} if stored else {}
    for cell in code_cells(nb):
        for new, old in zip(cell.outputs, old_cells[cell.id].outputs if cell.id in old_cells else [], strict=False):
            if _alike(new, old):
                new.data = old.data


def keep_uncompared(nb: NotebookNode, stored: NotebookNode | None) -> list[str]:
    """Keep stored outputs that no test compares, up to the first cell that is new or shows something new.

    A cell is tagged ``nbval-ignore-output`` where networks train so long that rounding decides where they end: on
    another processor it draws another picture, no better than the stored one. A change in the code that such cells
    alone show is not seen; delete the notebook to have them drawn anew.

    Returns:
        A line for each such cell whose fresh output is another.
    """
    notes = []
    old_cells = code_cells(stored) if stored and is_compiled(stored) else []
    for number, (cell, old) in enumerate(zip(code_cells(nb), old_cells, strict=False), 1):
        if cell.id == old.id and cell.outputs != old.outputs and _only_moved(cell, old):
            notes.append(f"code cell {number}: its output, which is not compared, differs; the stored one is kept")
            cell.outputs = old.outputs
        if (cell.id, cell.outputs) != (old.id, old.outputs):
            break
    return notes


def _only_moved(cell: NotebookNode, old: NotebookNode) -> bool:
    """Whether an output may be another on another processor, and is so in numbers and in what a picture shows alone."""
    return "nbval-ignore-output" in notebook_lint.tags(cell) and _frames(cell) == _frames(old)


def _frames(cell: NotebookNode) -> list[object]:
    """What is fixed in the outputs of a cell: their kinds, their words, the sizes of their pictures."""
    shown = [{"text": output.get("text", "")} | output.get("data", {}) for output in cell.outputs]
    return [{mime: _frame(mime, data) for mime, data in output.items()} for output in shown]


def _frame(mime: str, data: str) -> object:
    return pictures.size(data) if mime == "image/png" else pictures.NUMBER.split(data)


def printed(nb: NotebookNode) -> list[str]:
    """The lines of text that the code cells of a notebook have printed."""
    return [line for cell in code_cells(nb) for output in cell.outputs for line in output.get("text", "").splitlines()]


def changed_lines(nb: NotebookNode, stored: NotebookNode | None) -> list[str]:
    """The printed lines that are gone ("-") or new ("+"): what a reader of the change wants to see first."""
    if stored is None:
        return []
    lines = list(difflib.unified_diff(printed(stored), printed(nb), n=0, lineterm=""))[2:]  # two name the files
    return [line for line in lines if not line.startswith("@@ ")]


def replace(path: Path, text: str) -> None:
    """Write a file in one step, so that an interruption leaves the old one."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        fresh = Path(folder) / path.name
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


def write(nb: NotebookNode, notebook: Path) -> bool:
    """Write the notebook in one step, unless the file already says the same; True if it was written."""
    nb.metadata.book["outputs"] = outputs_digest(nb)
    nbformat.validate(nb)
    text = nbformat.writes(nb) + "\n"
    if notebook.exists() and notebook.read_text(encoding="utf-8") == text:
        return False
    replace(notebook, text)
    return True


def peak_memory() -> float:
    """The largest resident memory of any finished child process, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


def compile_chapter(source: Path, force: bool = False) -> Report:
    """Compile one chapter, executing it only if its code changed or `force` asks for it."""
    begin = time.perf_counter()
    notebook = source.with_suffix(".ipynb")
    if not force and is_current(source):
        return Report(source, "up to date")
    nb, stored = read_source(source), read_stored(notebook)
    if not force and keep_outputs(nb, stored):
        same = stored is not None and stored.metadata.book.source == nb.metadata.book.source
        write(nb, notebook)
        action = "relinked" if same else "text changed, code did not"
        return Report(source, f"{action}: outputs kept", time.perf_counter() - begin)
    nb = run(nb, source.parent, show(source))
    keep_alike(nb, stored)
    notes = keep_uncompared(nb, stored)
    action = "executed" if write(nb, notebook) else "executed, nothing changed"
    return Report(source, action, time.perf_counter() - begin, peak_memory(), changed_lines(nb, stored) + notes)


def is_current(source: Path) -> bool:
    """Whether a chapter's notebook is there and is what the chapter describes."""
    try:
        nb, stored = read_source(source), read_stored(source.with_suffix(".ipynb"))
    except ChapterError:
        return False
    return stored is not None and not list(differences(nb, stored))


def compile_here(source: Path, force: bool) -> int:
    """Compile one chapter and say so; 1 if it failed."""
    try:
        print(compile_chapter(source, force), flush=True)
    except ChapterError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


def compile_apart(source: Path, force: bool) -> int:
    """Compile one chapter in a process of its own, whose children's peak memory is that of one kernel."""
    words = [sys.executable, __file__, "compile", *(["--force"] if force else []), str(source)]
    return int(subprocess.run(words).returncode != 0)


def compile_all(sources: Sequence[Path], force: bool) -> int:
    """Compile chapters, those to be executed two at a time, one line each; the number that failed."""
    if len(sources) == 1:
        return compile_here(sources[0], force)
    current = [] if force else [source for source in sources if is_current(source)]
    for source in current:
        print(Report(source, "up to date"), flush=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return sum(pool.map(partial(compile_apart, force=force), [s for s in sources if s not in current]))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


# --- check --------------------------------------------------------------------------------------------


def check(source: Path) -> list[str]:
    """What is wrong with the notebook of a chapter; each line ends with the command that mends it."""
    notebook = source.with_suffix(".ipynb")
    mend = command("compile", source)
    try:
        nb, stored = read_source(source), read_stored(notebook)
    except ChapterError as error:
        return [f"{error}; edit it, then: {mend}"]
    if stored is None:
        return [f"{show(notebook)}: missing or unreadable; run: {mend}"]
    lines = [f"{show(notebook)}: {finding}; run: {mend}" for finding in differences(nb, stored)]
    return lines + [f"{show(source)}: {finding}; edit it, then: {mend}" for finding in notebook_lint.findings(stored)]


# --- command line -------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description="Compile chapters into executed notebooks.")
    commands = result.add_subparsers(dest="command", required=True)
    compiling = commands.add_parser("compile", help="execute what is out of date")
    compiling.add_argument("paths", nargs="*", type=Path, help="chapters (default: all)")
    compiling.add_argument("--check", action="store_true", help="execute nothing, report what is wrong")
    compiling.add_argument("--force", action="store_true", help="execute what is up to date, too")
    return result


def chapters(paths: Sequence[Path]) -> list[Path]:
    """The sources of the given chapters or notebooks; all sources of the book if none is given."""
    if not paths:
        return sorted(path for pattern in SOURCES for path in ROOT.glob(pattern))
    sources = [path.resolve().with_suffix(".md") for path in paths]
    if missing := [show(source) for source in sources if not source.exists()]:
        raise ChapterError(f"no such chapter: {', '.join(missing)}")
    return sources


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    try:
        sources = chapters(options.paths)
        if options.check:
            lines = [line for source in sources for line in check(source)]
            print(*lines, sep="\n", end="\n" if lines else "")
            return 1 if lines else 0
        return 1 if sources and compile_all(sources, options.force) else 0
    except ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: notebooks not yet compiled are as they were", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
