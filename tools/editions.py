"""Make the student and the instructor edition of the exercises from one source, and check that both are current.

    python tools/editions.py                  # every master: exercises/NN-slug.md
    python tools/editions.py --check          # write nothing, say what is out of date

In a master an exercise begins with its id as a heading, and with its facts, one a line:

    ## bn-forward

    :title: Forward
    :goal: Write batch normalization as it works in training, for vectors and for images.
    :kind: implement
    :level: standard
    :minutes: 15
    :points: 3

The student edition, `book/exercises/NN-slug.ipynb`, has stubs for solutions and is a page of the site. The instructor
edition, `exercises/instructor/NN-slug.ipynb`, has solutions, rubrics and common mistakes, and is executed.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import notebook_lint
import notebooks
import topics
from notebooks import ROOT, ChapterError, show
from plain_markdown import PlainError
from tutorial_utils.exercises import EXERCISES

MASTERS = ROOT / "exercises"
INSTRUCTOR = MASTERS / "instructor"
STUDENT = ROOT / "book" / "exercises"
STUB = "raise NotImplementedError"
TEXT_STUB = "*Your answer.*"
SOLUTION = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL
)
BLOCK = re.compile(r"^<!-- BEGIN (SOLUTION|RUBRIC) -->\n(.*?)^<!-- END \1 -->[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"(?:###|<!--) (?:BEGIN|END) \w+")
HEADING = re.compile(r"^## ([a-z0-9]+(?:-[a-z0-9]+)+)[ \t]*\n\s*((?::.*(?:\n|\Z))*)", re.MULTILINE)
KINDS = ("derive", "implement", "predict", "debug", "read")
LEVELS = ("basic", "standard", "challenge")
CHECK = re.compile(r"\bcheck\(\s*[\"']([^\"']+)[\"']")
TRIVIAL = 10
"""Solution lines with fewer characters say nothing: `return y`, a bracket."""


@dataclass(frozen=True)
class Cell:
    """A cell of a master and what it is for."""

    #: "text", "code", "solution", "check" or "rubric"; a solution may be code or Markdown.
    role: str
    #: "code" or "markdown".
    kind: str
    #: As in the master; in code, solutions stand between their markers.
    source: str
    #: The id of the exercise under whose heading it stands; "" before the first.
    exercise: str = ""
    #: Of the notebook's cell, such as tags.
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def solved(self) -> str:
        """With the solution, without markers."""
        return SOLUTION.sub(r"\2", self.source).rstrip("\n")

    @property
    def stub(self) -> str:
        """With a stub in place of each solution."""
        if self.role == "solution" and self.kind == "markdown":
            return TEXT_STUB
        return SOLUTION.sub(rf"\1{STUB}\n", self.source).rstrip("\n")

    @property
    def solution_lines(self) -> list[str]:
        """The lines that no student may see, without their indentation."""
        texts = [found.group(2) for found in SOLUTION.finditer(self.source)]
        secret = [self.source] if self.kind == "markdown" and self.role in ("solution", "rubric") else texts
        return [line.strip() for text in secret for line in text.splitlines() if len(line.strip()) >= TRIVIAL]


# --- the facts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What a master says of an exercise beside its text."""

    id: str
    title: str
    goal: str
    kind: str
    level: str
    minutes: int
    points: int


def read_facts(id: str, lines: str) -> Facts:
    """The facts below a heading; raises ChapterError that repeats the line that is not one."""
    found: dict[str, str] = {}
    for line in lines.splitlines():
        name, _, value = line.removeprefix(":").partition(": ")
        if name not in NEEDED or name in found or not value.strip() or not NEEDED[name](value.strip()):
            raise ChapterError(f"exercise {id!r}: {line!r} is none of its facts, or there twice; allowed are\n{FACTS}")
        found[name] = value.strip()
    if missing := [name for name in NEEDED if name not in found]:
        raise ChapterError(f"exercise {id!r} lacks {', '.join(missing)} below its heading; needed are\n{FACTS}")
    texts = {name: found[name] for name in ("title", "goal", "kind", "level")}
    return Facts(id, minutes=int(found["minutes"]), points=int(found["points"]), **texts)


def _is_count(value: str) -> bool:
    return value.isdecimal() and int(value) > 0


NEEDED: dict[str, Callable[[str], object]] = {
    "title": bool,
    "goal": bool,
    "kind": lambda value: value in KINDS,
    "level": lambda value: value in LEVELS,
    "minutes": _is_count,
    "points": _is_count,
}
FACTS = f""":title: the heading
:goal: what one can do afterward, in a sentence
:kind: {" | ".join(KINDS)}
:level: {" | ".join(LEVELS)}
:minutes: a whole number above 0
:points: a whole number above 0"""


def faults_of_facts(text: str) -> Iterator[str]:
    """What is wrong with the facts of a master, one message for each exercise."""
    for found in HEADING.finditer(text):
        try:
            read_facts(*found.groups())
        except ChapterError as error:
            yield str(error)


def facts(master: Path) -> list[Facts]:
    """The facts of all exercises of a master, in its order."""
    return [read_facts(*found.groups()) for found in HEADING.finditer(master.read_text(encoding="utf-8"))]


def all_facts() -> dict[str, Facts]:
    """The facts of all exercises, by id."""
    return {one.id: one for master in masters() for one in facts(master)}


# --- the master ---------------------------------------------------------------------------------------


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a Markdown cell with their roles."""
    end = 0
    for block in BLOCK.finditer(text):
        yield "text", text[end : block.start()]
        yield block.group(1).lower(), block.group(2)
        end = block.end()
    yield "text", text[end:]


def _sections(text: str) -> list[str]:
    """A text cut before each heading of an exercise."""
    cuts = [found.start() for found in HEADING.finditer(text)]
    return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _markdown_cells(text: str, exercise: str) -> Iterator[Cell]:
    for role, piece in _pieces(text):
        for section in _sections(piece) if role == "text" else [piece]:
            heading = HEADING.match(section)
            exercise = heading.group(1) if role == "text" and heading else exercise
            if section.strip():
                yield Cell(role, "markdown", section.strip(), exercise)


def _code_cell(cell: NotebookNode, exercise: str) -> Cell:
    role = "solution" if SOLUTION.search(cell.source) else "check" if CHECK.search(cell.source) else "code"
    return Cell(role, "code", cell.source, exercise, dict(cell.metadata))


def read_master(path: Path) -> list[Cell]:
    """The cells of a master, with their roles; raises ChapterError if it is none."""
    cells: list[Cell] = []
    text = path.read_text(encoding="utf-8")
    for cell in notebooks.parse(text, show(path)).cells:
        exercise = cells[-1].exercise if cells else ""
        cells += [_code_cell(cell, exercise)] if cell.cell_type == "code" else _markdown_cells(cell.source, exercise)
    if findings := [*faults_of_facts(text), *faults(cells, topic_of(path))]:
        raise ChapterError("\n".join(f"{show(path)}: {finding}" for finding in findings))
    return cells


def faults(cells: Sequence[Cell], topic: str) -> Iterator[str]:
    """What is wrong with a master, one line each."""
    headings = list(dict.fromkeys(cell.exercise for cell in cells if cell.exercise))
    if unwritten := [one.id for one in EXERCISES.values() if one.topic == topic and one.id not in headings]:
        yield f"has no heading for {unwritten}, which are registered for {topic}"
    for cell in cells:
        if cell.role == "check" and CHECK.findall(cell.source) != [cell.exercise]:
            yield f"a cell under the heading {cell.exercise!r} checks {CHECK.findall(cell.source)}"
        asked = cell.role == "check" and cell.exercise in EXERCISES and EXERCISES[cell.exercise].predict
        if asked and "guess=guess" not in cell.source:
            yield f"the check of {cell.exercise!r} lacks guess=guess, and the exercise asks for a guess first"
        if MARKER.search(cell.solved if cell.kind == "code" else cell.source):
            yield f"a marker without its other half, under the heading {cell.exercise!r}"
    for id in headings:
        yield from _missing(id, topic, {(cell.role, cell.kind) for cell in cells if cell.exercise == id})


def _missing(id: str, topic: str, roles: set[tuple[str, str]]) -> Iterator[str]:
    """What an exercise lacks: the check that is registered for it, or else an answer in words with its rubric."""
    needed = {("check", "code")} if id in EXERCISES else {("solution", "markdown"), ("rubric", "markdown")}
    if missing := needed - roles:
        yield f"exercise {id!r} has no {' and no '.join(sorted(role for role, _ in missing))}"
    if id in EXERCISES and EXERCISES[id].topic != topic:
        yield f"exercise {id!r} is registered for {EXERCISES[id].topic}"


def topic_of(master: Path) -> str:
    """The topic of a master, which is its name without the number."""
    return master.stem.partition("-")[2]


# --- the editions -------------------------------------------------------------------------------------


def about(one: Facts) -> str:
    """The heading of an exercise, with its facts."""
    points = f"{one.points} point{'s' if one.points > 1 else ''}"
    sort = f"`{one.id}`, {one.kind}, {one.level}"
    return f"## {one.title}\n\n*{sort}, about {one.minutes} minutes, {points}.* **Goal.** {one.goal}\n"


def total(own: Sequence[Facts]) -> str:
    """How many exercises there are, and what they take and give."""
    minutes, points = sum(one.minutes for one in own), sum(one.points for one in own)
    return f"*{len(own)} exercises, about {minutes} minutes, {points} points.*"


def with_facts(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with the facts as readable headings."""
    texts = [cell.source for cell in cells if cell.role == "text"]
    own = [read_facts(*found.groups()) for found in HEADING.finditer("\n\n".join(texts))]
    filled = []
    for cell in cells:
        source = cell.source
        if cell.role == "text":
            source = HEADING.sub(lambda found: about(read_facts(*found.groups())), source).strip()
        if cell.kind == "markdown" and source.startswith("# "):
            title, _, rest = source.partition("\n")
            source = f"{title}\n\n{total(own)}\n{rest}".rstrip()
        filled.append(replace(cell, source=source))
    return filled


def literal(hint: str) -> str:
    """A hint as Markdown that shows it as it is; what stands between backticks is code."""
    pieces = hint.split("`")
    pieces[::2] = [re.sub(r"([*_<$\[\\])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def common_mistakes(id: str) -> str:
    """The hints that the checker has for an exercise, as a list."""
    hints = [f"- {literal(mistake.hint)}" for mistake in EXERCISES[id].mistakes]
    return "\n".join(["**Common mistakes** that `check` recognizes, with what it says:", "", *hints])


def _with_mistakes(cells: Sequence[Cell]) -> Iterator[Cell]:
    """The cells, and at the end of each exercise its common mistakes."""
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        yield cell
        ends = following is None or following.exercise != cell.exercise
        if ends and cell.exercise in EXERCISES and EXERCISES[cell.exercise].mistakes:
            yield Cell("rubric", "markdown", common_mistakes(cell.exercise), cell.exercise)


def _new_cell(cell: Cell, source: str) -> NotebookNode:
    new: Any = nbformat.v4.new_markdown_cell if cell.kind == "markdown" else nbformat.v4.new_code_cell
    made: NotebookNode = new(source, metadata=dict(cell.metadata))
    return made


def notebook(sources: Sequence[tuple[Cell, str]], folder: Path = STUDENT) -> NotebookNode:
    """The notebook of cells with the given sources; links to topics lead to their files, as seen from a folder."""
    cells = [_new_cell(cell, topics.linked(source, folder)) for cell, source in sources]
    metadata = {"kernelspec": notebooks.KERNELSPEC, "language_info": {"name": "python"}}
    nb: NotebookNode = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    return nb


def student_as_written(master: Path) -> NotebookNode:
    """The student edition, its text in MyST: what the site is built from."""
    cells = with_facts(read_master(master))
    return notebook([(cell, cell.stub) for cell in cells if cell.role != "rubric"])


def student(master: Path) -> NotebookNode:
    """The student edition: stubs, no rubrics, nothing executed."""
    return plain(student_as_written(master), STUDENT, master)


def plain(nb: NotebookNode, folder: Path, master: Path) -> NotebookNode:
    """An edition in words that every viewer understands."""
    try:
        notebooks.make_plain(nb, folder)
    except PlainError as error:
        raise ChapterError(f"{show(master)}: {error}") from error
    notebooks.set_ids(nb)
    return nb


def _instructor_source(cell: Cell) -> str:
    labels = {"solution": "**Answer.** ", "rubric": "**Rubric.** "}
    label = labels.get(cell.role, "") if cell.kind == "markdown" and not cell.source.startswith("**") else ""
    return label + cell.solved


def instructor(master: Path) -> NotebookNode:
    """The instructor edition, not executed: solutions, rubrics, common mistakes."""
    cells = _with_mistakes(with_facts(read_master(master)))
    nb = plain(notebook([(cell, _instructor_source(cell)) for cell in cells], INSTRUCTOR), INSTRUCTOR, master)
    nb.metadata.book = {"source": notebook_lint.digest(master.read_text(encoding="utf-8"))}
    return nb


def leaks(master: Path, text: str) -> list[str]:
    """The solution lines of a master that occur in a text, and are not given in the exercise itself."""
    cells = read_master(master)
    given = "\n".join(cell.stub for cell in cells if cell.role != "rubric")
    secret = {line for cell in cells for line in cell.solution_lines if line not in given}
    return sorted(line for line in secret if line in text or json.dumps(line, ensure_ascii=False)[1:-1] in text)


# --- files --------------------------------------------------------------------------------------------


def paths(master: Path) -> tuple[Path, Path]:
    """Where the student and the instructor edition of a master are."""
    return STUDENT / f"{master.stem}.ipynb", INSTRUCTOR / f"{master.stem}.ipynb"


def make(master: Path, force: bool = False) -> str:
    """Write both editions of a master, executing the instructor's if its code changed; what was done."""
    for_student, for_instructor = paths(master)
    for folder in (STUDENT, INSTRUCTOR):
        folder.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(student(master)) + "\n"
    if not for_student.exists() or for_student.read_text(encoding="utf-8") != text:
        notebooks.replace(for_student, text)
    nb, stored = instructor(master), notebooks.read_stored(for_instructor)
    kept = not force and notebooks.keep_outputs(nb, stored)
    if not kept:
        nb = notebooks.run(nb, INSTRUCTOR, show(master))
        notebooks.keep_alike(nb, stored)
        notebooks.keep_uncompared(nb, stored)
    notebooks.write(nb, for_instructor)
    return f"{show(master)}: {'up to date' if kept else 'executed'}"


def check(master: Path) -> list[str]:
    """What is wrong with the editions of a master, one line each."""
    for_student, for_instructor = paths(master)
    stored = notebooks.read_stored(for_instructor)
    if stored is None or not for_student.exists():
        return [f"{show(master)}: an edition is missing; run: python tools/editions.py {show(master)}"]
    found = [f"{show(for_instructor)}: {one}" for one in notebooks.differences(instructor(master), stored)]
    found += [f"{show(for_instructor)}: {one}" for one in notebook_lint.findings(stored)]
    if for_student.read_text(encoding="utf-8") != nbformat.writes(student(master)) + "\n":
        found.append(f"{show(for_student)}: is not what its master describes")
    return [f"{line}; run: python tools/editions.py {show(master)}" for line in found]


def masters() -> list[Path]:
    """All masters."""
    return sorted(MASTERS.glob("*.md"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(description="Make the student and instructor editions of the exercises.")
    parser.add_argument("paths", nargs="*", type=Path, help="masters (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing, report what is out of date")
    parser.add_argument("--force", action="store_true", help="execute what is up to date, too")
    options = parser.parse_args(arguments)
    chosen = [path.resolve() for path in options.paths] or masters()
    try:
        if options.check:
            lines = [line for master in chosen for line in check(master)]
            print(*lines, sep="\n", end="\n" if lines else "")
            return 1 if lines else 0
        for master in chosen:
            print(make(master, options.force), flush=True)
    except ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
