"""The editions of the exercises: no solution in the student's, nothing stale, full points for the master."""

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from myst import HEADER
from nbformat import NotebookNode

import editions
import topics
from editions import MASTERS, Cell, read_master
from notebook_lint import code_cells
from notebooks import ChapterError
from tutorial_utils.exercises import EXERCISES, Result
from tutorial_utils.exercises.registry import Exercise

pytestmark = pytest.mark.slow

FOUND = editions.masters()
each_master = pytest.mark.parametrize("master", FOUND, ids=[path.stem for path in FOUND])


def run_cells(nb: NotebookNode) -> list[Any]:
    """What the last line of each code cell gives, or the exception that the cell raises; all share their names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    return [run_cell(cell.source, names) for cell in code_cells(nb)]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    if not (statements := ast.parse(source).body):  # a comment that says what to do here
        return None
    *body, last = statements
    body = body if isinstance(last, ast.Expr) else [*body, last]
    try:
        exec(compile(ast.Module(body, []), "a cell", "exec"), names)
        return (
            eval(compile(ast.Expression(last.value), "a cell", "eval"), names) if isinstance(last, ast.Expr) else None
        )
    except Exception as error:
        return error


def checks(nb: NotebookNode, outcomes: list[Any]) -> list[Any]:
    return [
        outcome for cell, outcome in zip(code_cells(nb), outcomes, strict=True) if editions.CHECK.search(cell.source)
    ]


# --- every master -------------------------------------------------------------------------------------


@each_master
def test_both_editions_are_current(master: Path) -> None:
    assert editions.check(master) == []


@each_master
def test_no_solution_line_survives_in_the_student_edition(master: Path) -> None:
    assert any(cell.solution_lines for cell in read_master(master))
    assert editions.leaks(master, editions.paths(master)[0].read_text(encoding="utf-8")) == []


@each_master
def test_the_student_edition_carries_nothing_but_its_cells(master: Path) -> None:
    nb = nbformat.read(editions.paths(master)[0], as_version=4)
    assert set(nb.metadata) == {"kernelspec", "language_info"}
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(nb))
    assert {key for cell in nb.cells for key in cell.metadata} <= {"tags", "mystnb"}


@each_master
def test_the_student_edition_runs_with_nothing_but_what_is_not_written(master: Path) -> None:
    nb = nbformat.read(editions.paths(master)[0], as_version=4)
    outcomes = run_cells(nb)
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [error for error in errors if not isinstance(error, NotImplementedError)] == []
    found = checks(nb, outcomes)
    assert found and all(isinstance(result, Result) for result in found)
    assert [result.hint for result in found if "not written yet" not in result.hint] == []


@each_master
def test_the_master_gets_full_points(master: Path) -> None:
    nb = editions.instructor(master)
    outcomes = run_cells(nb)
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    passed = {result.id for result in checks(nb, outcomes) if result.passed}
    assert passed == {one.id for one in EXERCISES.values() if one.topic == editions.topic_of(master)}


@each_master
def test_the_instructor_edition_shows_every_fact_and_every_mistake(master: Path) -> None:
    text = "\n".join(cell.source for cell in editions.instructor(master).cells)
    for facts in editions.facts(master):
        assert f"## {facts.title}\n" in text and facts.goal in text
        mistakes = EXERCISES[facts.id].mistakes if facts.id in EXERCISES else ()
        assert all(f"- {editions.literal(mistake.hint)}" in text for mistake in mistakes)


def test_a_hint_shows_its_stars_and_its_code() -> None:
    assert editions.literal("a * b_c, `d_e * f`, $x$") == r"a \* b\_c, `d_e * f`, \$x\$"


def test_every_solution_with_code_was_timed() -> None:
    cells = [cell for master in FOUND for cell in read_master(master) if cell.kind == "code"]
    seconds = json.loads((MASTERS / "seconds.json").read_text(encoding="utf-8"))
    assert set(seconds) == {cell.exercise for cell in cells} - {""}, "run: make solving"
    assert min(seconds.values()) > 0


def test_every_exercise_stands_in_the_master_of_its_topic() -> None:
    assert {one.topic for one in EXERCISES.values()} == {editions.topic_of(path) for path in FOUND}
    assert set(EXERCISES) <= set(editions.all_facts())
    chapters = {path.stem for path in (MASTERS.parent / "book" / "chapters").glob("*.md")}
    assert {path.stem for path in FOUND if path.stem[0].isdigit()} <= chapters


# --- the tool -----------------------------------------------------------------------------------------

CODE = "def double(x):\n    y = 0\n    ### BEGIN SOLUTION\n    y = x + x  # secret\n    ### END SOLUTION\n    return y"
TEXT = f"""{HEADER}
# Exercises: Two

Words.

## double-it

:title: Twice
:goal: Learn to double.
:kind: implement
:level: basic
:minutes: 3
:points: 1

Double it.

```{{code-cell}} ipython3
{CODE}
```

```{{code-cell}} ipython3
check = lambda exercise, answer: answer(2)
check("double-it", double)
```

More words.

## why-double

:title: Why twice
:goal: Learn to say why.
:kind: derive
:level: basic
:minutes: 3
:points: 1

Why?

<!-- BEGIN SOLUTION -->
Because the answer is a secret.
<!-- END SOLUTION -->

<!-- BEGIN RUBRIC -->
One point for the word "secret".
<!-- END RUBRIC -->

## A heading of no exercise
"""


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A master with two exercises, one of them answered in words."""
    monkeypatch.setitem(EXERCISES, "double-it", Exercise(id="double-it", topic="two", reference=lambda x: 2 * x))
    master = tmp_path / "99-two.md"
    master.write_text(TEXT, encoding="utf-8")
    for name in ("STUDENT", "INSTRUCTOR"):
        monkeypatch.setattr(editions, name, tmp_path / name)
    return master


def test_a_master_is_read_into_cells_with_roles(two: Path) -> None:
    found = [(cell.role, cell.kind, cell.exercise) for cell in read_master(two)]
    assert found == [
        ("text", "markdown", ""),
        ("text", "markdown", "double-it"),
        ("solution", "code", "double-it"),
        ("check", "code", "double-it"),
        ("text", "markdown", "double-it"),
        ("text", "markdown", "why-double"),
        ("solution", "markdown", "why-double"),
        ("rubric", "markdown", "why-double"),
        ("text", "markdown", "why-double"),
    ]


def test_a_stub_stands_where_the_solution_stood() -> None:
    cell = Cell("solution", "code", CODE)
    assert cell.stub == "def double(x):\n    y = 0\n    raise NotImplementedError\n    return y"
    assert cell.solved == "def double(x):\n    y = 0\n    y = x + x  # secret\n    return y"
    assert cell.solution_lines == ["y = x + x  # secret"]


def test_the_student_edition_says_what_is_asked_and_not_the_answer(two: Path) -> None:
    text = nbformat.writes(editions.student(two))
    assert "secret" not in text and "RUBRIC" not in text and "SOLUTION" not in text
    for words in ("## Twice", "Learn to double.", "about 3 minutes, 1 point", "2 exercises, about 6 minutes, 2 points"):
        assert words in text
    assert editions.TEXT_STUB in text


def test_the_instructor_edition_has_answers_and_rubrics(two: Path) -> None:
    text = nbformat.writes(editions.instructor(two))
    assert "**Answer.** Because the answer" in text and "**Rubric.** One point" in text and "y = x + x" in text


def test_a_leak_is_found(two: Path) -> None:
    text = nbformat.writes(editions.student(two))
    assert editions.leaks(two, text) == []
    assert editions.leaks(two, text + "y = x + x  # secret") == ["y = x + x  # secret"]
    assert editions.leaks(two, 'One point for the word \\"secret\\".') == ['One point for the word "secret".']


def test_editions_are_made_checked_and_found_stale(two: Path) -> None:
    assert "missing" in editions.check(two)[0]
    assert editions.make(two).endswith("executed")
    assert editions.check(two) == []
    assert editions.make(two).endswith("up to date")
    for_student, _ = editions.paths(two)
    for_student.write_text(for_student.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert [line for line in editions.check(two) if "not what its master describes" in line]
    two.write_text(TEXT.replace("Double it.", "Double it, please."), encoding="utf-8")
    assert [line for line in editions.check(two) if "not those of the source" in line]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('check("double-it"', 'check("why-double"', "checks"),
        ("## double-it", "## doubel-it", "has no heading for \\['double-it'\\]"),
        (":kind: implement", ":kind: guess", "':kind: guess' is none of its facts"),
        (":level: basic", ":level: easy", "':level: easy' is none of its facts"),
        (":minutes: 3", ":minutes: three", "':minutes: three' is none of its facts"),
        (":points: 1", ":point: 1", "':point: 1' is none of its facts"),
        (":title: Twice", ":title: Twice\n:title: Twice", "or there twice"),
        (":goal: Learn to double.\n", "", "lacks goal"),
        ("    ### END SOLUTION\n", "", "without its other half"),
        ("<!-- END RUBRIC -->", "", "without its other half"),
        ("BEGIN RUBRIC -->\nOne", "BEGIN SOLUTION -->\nOne", "without its other half"),
    ],
)
def test_a_faulty_master_is_refused(two: Path, old: str, new: str, finding: str) -> None:
    two.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ChapterError, match=finding):
        read_master(two)


def test_an_exercise_without_check_or_rubric_is_refused(two: Path) -> None:
    two.write_text(TEXT.replace('check("double-it", double)', "double(1)"), encoding="utf-8")
    with pytest.raises(ChapterError, match="'double-it' has no check"):
        read_master(two)
    two.write_text(TEXT[: TEXT.index("<!-- BEGIN RUBRIC")], encoding="utf-8")
    with pytest.raises(ChapterError, match="'why-double' has no rubric"):
        read_master(two)


def test_the_command_line_reports_and_fails(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert editions.main([str(two), "--check"]) == 1
    assert "python tools/editions.py" in capsys.readouterr().out
    assert editions.main([str(two)]) == 0
    assert editions.main([str(two), "--check"]) == 0
    two.write_text(HEADER + "\n# Nothing\n", encoding="utf-8")
    assert editions.main([str(two)]) == 1
    assert "has no heading" in capsys.readouterr().err


@pytest.mark.parametrize("folder", [editions.STUDENT, editions.INSTRUCTOR], ids=lambda path: path.name)
def test_links_lead_to_the_chapter_from_where_the_edition_lies(folder: Path) -> None:
    cell = Cell("text", "markdown", "[He](#he)")
    link = editions.notebook([(cell, cell.source)], folder).cells[0].source
    assert (folder / link.removeprefix("[He](").removesuffix(")")).resolve() == topics.pages()["he"].file.resolve()
