"""Where nbgrader hands a submission over: it is put together anew, and graded without running it here.

`nbgrader autograde` uses these in place of its own execution, as `nbgrader_config.py` of a course folder says.
"""

import html
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbconvert.exporters import NotebookExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Float, Integer

from tutorial_utils import exercises
from tutorial_utils.exercises.run import TimeUp
from tutorial_utils.grading import collecting, identity, own_checks, submissions, written
from tutorial_utils.grading.identity import Numbers
from tutorial_utils.grading.isolation import NAMESPACES, available
from tutorial_utils.grading.session import DidNotStart, Limits, NoValue, Session
from tutorial_utils.grading.submissions import Check

LONGEST = 5000
"""Characters of what is said below a cell."""
Converted = tuple[NotebookNode, dict[str, Any]]


class SubmissionExporter(NotebookExporter):
    """Reads what students submit, whatever it is."""

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **options: Any) -> Converted:
        """Convert a submitted file, or one that stands for it if it cannot be read."""
        path, about = Path(filename), (resources or {})["nbgrader"]
        if not path.resolve().is_relative_to(Path("submitted").resolve()):
            converted: Converted = super().from_filename(filename, resources, **options)
            return converted
        released = nbformat.read(Path("release", about["assignment"], f"{about['notebook']}.ipynb"), as_version=4)
        try:
            submitted = submissions.read(path)
            nb = submissions.rebuild(released, submitted)
            written.gather(nb, released, submitted)
        except ValueError as error:
            self.log.warning("%s: %s", filename, error)
            nb = submissions.unreadable(released, str(error)[:200])
        converted = self.from_notebook_node(nb, resources, **options)  # type: ignore[no-untyped-call]
        return converted


class GradeAnswers(NbGraderPreprocessor):  # type: ignore[misc]
    """Grades the checks of a rebuilt notebook: the student's code runs apart, the checker runs here."""

    call_seconds = Float(Limits.call, help="Seconds for one call of a student's function.").tag(config=True)
    exercise_seconds = Float(Limits.exercise, help="Seconds for one exercise.").tag(config=True)
    cell_seconds = Float(Limits.cell, help="Seconds for one cell.").tag(config=True)
    all_cells_seconds = Float(Limits.all_cells, help="Seconds for all cells.").tag(config=True)
    book_numbers_count = Bool(True, help="Whether `student_id = None` earns points.").tag(config=True)
    memory_megabytes = Integer(1024, help="Memory for a student's code, beyond Python and torch.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Converted:
        """Write the outcome of each check into its cell, where nbgrader reads the points."""
        begin = time.monotonic()
        own_checks.load(Path.cwd())
        torch.set_num_threads(1)  # small tensors: threads would only wait for each other
        student = str(resources["nbgrader"]["student"])
        cells = submissions.cells_to_run(nb)
        checks = [(cell, submissions.what_is_checked(cell.source)) for cell in filter(submissions.is_check, nb.cells)]
        how = available(Path.cwd())
        (self.log.info if how is NAMESPACES else self.log.warning)("isolation: %s, %s", how.name, how.words)
        sources = [cell.source for cell in cells]
        person = collecting.Collect(config=self.config).people().get(student)
        numbers = identity.settle(identity.claimed(sources), person, self.book_numbers_count)
        data = own_data(numbers.id, [check for _, check in checks])
        with Session(sources, numbers.id or student, data, self._limits(), how) as session:
            for cell, check in checks:
                cell.outputs = [outcome(session, check, numbers.id)]
                if check.own and numbers.note:
                    cell.outputs = noted(cell.outputs, numbers)
            for number, words in session.stopped.items():
                cells[number].outputs = [output(False, words)] if words else []
        nb.metadata["grading"] = {"seconds": round(time.monotonic() - begin, 1)}
        return nb, resources

    def _limits(self) -> Limits:
        seconds = {name: getattr(self, f"{name}_seconds") for name in ("call", "exercise", "cell", "all_cells")}
        return Limits(**seconds, memory=self.memory_megabytes * 2**20)


def own_data(student: str | None, checks: list[Check]) -> dict[str, Any]:
    """The data that the exercises of a notebook are about, for the student who handed it in."""
    found = {}
    for check in checks:
        with suppress(ValueError):  # not all have data
            found[check.id] = exercises.data(check.id, student_id=student if check.own else None)
    return found


def outcome(session: Session, check: Check, student: str | None) -> NotebookNode:
    """The output of a check cell: words for a right answer, an error for all others."""
    try:
        answer = session.answer(check.answer)
        student_id = student if check.own else None
        result = exercises.check(check.id, answer, student_id=student_id, perform=session.perform)
        passed, words = bool(result.passed), str(result.hint)
    except DidNotStart:
        raise
    except NoValue as error:
        missing = f"there was no `{check.answer}`." if error.args[0] == "NameError" else ": ".join(error.args)
        passed, words = False, f"Not yet. After your cells ran, {missing}{session.why(check.answer)}"
    except (Exception, TimeUp) as error:
        passed, words = False, f"Not yet. Your answer could not be checked: {type(error).__name__}: {error}"
    return output(passed, words)


def noted(outputs: list[NotebookNode], numbers: Numbers) -> list[NotebookNode]:
    """The outputs of a check with a word on whose numbers it is about; a wrong one says that only, if not one's own."""
    wrong = any(one.output_type == "error" for one in outputs)
    return [output(False, numbers.note)] if wrong and numbers.foreign else [*outputs, output(True, numbers.note)]


def output(passed: bool, words: str) -> NotebookNode:
    """Words below a cell; an error if something is wrong, which is where nbgrader gives no points.

    What no page, terminal or table should get, such as escape sequences, is replaced.
    """
    words = "".join(one if one.isprintable() or one == "\n" else "?" for one in words[:LONGEST])
    right = {"output_type": "stream", "name": "stdout", "text": words + "\n"}
    wrong = {"output_type": "error", "ename": "NotYet", "evalue": words, "traceback": [words]}
    made: NotebookNode = nbformat.from_dict(right if passed else wrong)
    return made


class WithoutPictures(IPythonRenderer):
    """Shows where a picture would come from in its place: to load it would tell others who reads, and when."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """The words and the address of a picture, as text."""
        return html.escape(f"[picture: {text}, {url}]")


def safe_markdown(source: str) -> str:
    r"""Markdown as HTML in which a student's own HTML shows as text, and no link is a script.

    What cannot be rendered, such as a picture that did not come along, shows as it was written.

    >>> safe_markdown("**a** <script>")
    '<p><strong>a</strong> &lt;script&gt;</p>\n'
    """
    renderer = WithoutPictures(escape=True, allow_harmful_protocols=False)
    try:
        return str(MarkdownWithMath(renderer=renderer).render(source))
    except Exception:
        return f"<pre>{html.escape(source)}</pre>"
