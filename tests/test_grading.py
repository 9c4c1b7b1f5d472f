"""A student's code at arm's length: what crosses, what does not, and what becomes of a submitted file."""

import json
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.exporters import HTMLExporter
from nbgrader.server_extensions.formgrader import handlers
from randomness import seeded
from torch import nn

import course
import editions
from tutorial_utils import exercises
from tutorial_utils.exercises.running import TimeUp, time_limit
from tutorial_utils.grading import collecting, desk, preprocessors, submissions
from tutorial_utils.grading.isolation import NAMESPACES, OTHER_USER, USERS, Isolation, available, user
from tutorial_utils.grading.process import DidNotStart, Limits, ProcessEnded
from tutorial_utils.grading.remote import exception
from tutorial_utils.grading.report import rows_of
from tutorial_utils.grading.sandbox import Sandbox
from tutorial_utils.grading.wire import DTYPES, WireError, decode, encode

pytestmark = pytest.mark.slow

# --- what crosses -------------------------------------------------------------------------------------

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
nested = st.recursive(
    plain | st.frozensets(st.integers()) | st.sets(st.text()),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


def crossed(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value))))


@given(nested)
def test_plain_data_cross_unchanged(value: Any) -> None:
    assert crossed(value) == value
    assert type(crossed(value)) is type(value)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_tensors_cross_bit_by_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    value = (10 * torch.randn(shape, generator=seeded(0))).to(dtype)
    again = crossed(value)
    assert again.dtype == dtype
    assert again.shape == shape
    assert torch.equal(again, value)


def test_a_parameter_crosses_with_its_gradient() -> None:
    value = nn.Parameter(torch.ones(2))
    value.grad = torch.tensor([1.0, 2.0])
    again = crossed({"weight": value})["weight"]
    assert isinstance(again, nn.Parameter)
    assert torch.equal(again.grad, value.grad)


def test_a_number_that_claims_to_equal_all_others_crosses_as_a_number() -> None:
    class Sly(float):
        def __eq__(self, other: object) -> bool:
            return True

    assert type(crossed(Sly(2.0))) is float
    assert crossed(Sly(2.0)) != 3.0


@pytest.mark.parametrize("value", [object(), print, nn.Linear(1, 1), open])
def test_objects_do_not_cross(value: object) -> None:
    with pytest.raises(WireError, match="is no data"):
        encode(value)


@pytest.mark.parametrize(
    "sent",
    [
        *([], {}, {"list": 3}, {"list": [], "tuple": []}, {"pickle": "gASVAA=="}, {"object": [0, "x", ""]}),
        *({"dict": [[{"list": []}, 1]]}, {"dict": [1]}, {"dtype": "load"}, {"generator": 3}, {"complex": ["x"]}),
        {"tensor": ["float64", [10**15], "", False, None]},
        {"tensor": ["float64", [10**8, 0], "", False, None]},
        {"tensor": ["float64", [1] * 10**4, "AAAAAAAA8D8=", False, None]},
        {"list": [0] * 10**5},
        {"dict": [[number, 0] for number in range(10**5)]},
        {"tensor": ["float64", [2], "AAAA", False, None]},
        {"tensor": ["object", [1], "AAAAAAAAAAA=", False, None]},
    ],
    ids=lambda sent: str(sent)[:60],
)
def test_what_no_encoder_wrote_is_refused(sent: Any) -> None:
    with pytest.raises(WireError):
        decode(sent)


def test_a_container_as_long_as_nobody_needs_is_refused_on_its_way_out() -> None:
    with pytest.raises(WireError, match="more than 10000 items is too long"):
        encode({"all": [0] * 10001})


# --- the sandbox --------------------------------------------------------------------------------------

CELLS = [
    "import os, sys, torch\nfrom torch import nn\nfrom tutorial_utils.exercises import check, data",
    "%matplotlib inline\nimport no_such_module",
    "torch.set_default_dtype(torch.float64)",
    "def shift_(x, by=1.0):\n    return x.add_(by)",
    "def draw(w, *, generator):\n    w.normal_(generator=generator)",
    "def constant(model, seen):\n    seen.append(3)\n    for p in model.parameters(): nn.init.constant_(p, 2)",
    "class Scale(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
    "        self.gain = nn.Parameter(torch.full((n,), 3.0))\n        self.seen = 0\n"
    "    def forward(self, x):\n        self.seen += len(x)\n        return self.gain * x**2",
    "def freeze(model):\n    model(torch.ones(3, 2)).sum().backward()\n    model[1].eval().momentum = 0.5\n"
    "    model[0].bias.requires_grad_(False)",
    "def linear(): return nn.Linear(2, 3)",
    "def behind(x): x.data = torch.full((2,), 5.0)",
    "def apply(f, x): return f(x) + 1",
    "def dtype(): return torch.zeros(1).dtype",
    "def fail(x): raise KeyError(x)",
    "def leave(): os._exit(0)\ndef wait():\n    while True: pass",
    "unwritten = ...\nown = data('bn-largest-output', student_id='ada')",
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """One worker for all tests that leave it as it is."""
    with Sandbox(CELLS, Limits(call=20)) as sandbox:
        yield sandbox


def test_a_change_in_place_comes_back(shared: Sandbox) -> None:
    x = torch.zeros(3)
    assert shared.answer("shift_")(x, by=2.0) is x
    assert x.tolist() == [2, 2, 2]


def test_a_generator_moves_on_as_it_does_here(shared: Sandbox) -> None:
    here, there = torch.zeros(5), torch.zeros(5)
    near, far = seeded(0), seeded(0)
    assert shared.answer("draw")(there, generator=far) is None
    assert torch.equal(there, here.normal_(generator=near))
    assert torch.equal(near.get_state(), far.get_state())


def test_a_network_and_a_list_are_changed_here_too(shared: Sandbox) -> None:
    model, seen = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), [1]
    shared.answer("constant")(model, seen)
    assert all((parameter == 2).all() for parameter in model.parameters())
    assert seen == [1, 3]


def test_switches_and_gradients_of_a_network_come_back(shared: Sandbox) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    shared.answer("freeze")(model)
    assert [layer.training for layer in model] == [True, False]
    assert model[1].momentum == 0.5
    assert [parameter.requires_grad for parameter in model[0].parameters()] == [True, False]
    assert model[0].weight.grad is not None


def test_gradients_flow_through_a_students_layer(shared: Sandbox) -> None:
    layer, x = shared.answer("Scale")(2), torch.tensor([[1.0, 2.0]], requires_grad=True)
    y = layer(x)
    (10 * y).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[60, 120]]
    assert layer.gain.grad.tolist() == [10, 40]
    assert [parameter.numel() for parameter in layer.parameters()] == [2]
    assert layer.seen == 1


def test_an_attribute_is_set_there(shared: Sandbox) -> None:
    layer = shared.answer("Scale")(1)
    layer.gain = torch.tensor([5.0])
    assert layer(torch.tensor([[2.0]])).item() == 20


def test_a_layer_of_torch_answers_for_itself(shared: Sandbox) -> None:
    layer = shared.answer("linear")()
    assert isinstance(layer, nn.Linear)
    assert layer.weight.shape == (3, 2)


def test_items_of_a_students_object_are_reached(shared: Sandbox) -> None:
    network = shared.answer("nn.Sequential(nn.Linear(2, 3), nn.ReLU())")
    assert network[0].weight.shape == (3, 2)
    assert len(network) == 2
    assert [isinstance(layer, nn.ReLU) for layer in network] == [False, True]


def test_autograd_notices_what_it_would_notice_without_a_process_between(shared: Sandbox) -> None:
    x = torch.ones(2)
    before = x._version
    shared.answer("behind")(x)
    assert (x == 5).all()
    assert x._version == before
    shared.answer("shift_")(x)
    assert x._version > before


def test_functions_go_there_by_name_or_with_their_code(shared: Sandbox) -> None:
    assert shared.answer("apply")(torch.sin, torch.zeros(1)).item() == 1
    assert shared.answer("apply")(lambda x: 7 * x, torch.ones(1)).item() == 8


def test_the_default_dtype_goes_along(shared: Sandbox) -> None:
    torch.set_default_dtype(torch.float32)
    assert shared.answer("dtype")() == torch.float32
    torch.set_default_dtype(torch.float64)
    assert shared.answer("dtype")() == torch.float64


def test_exceptions_come_by_name_with_their_line(shared: Sandbox) -> None:
    with pytest.raises(KeyError, match=r"line 1 of cell 13"):
        shared.answer("fail")("x")
    assert type(exception("Odd", "text", "")).__name__ == "Odd"
    assert not isinstance(exception("KeyboardInterrupt", "", ""), KeyboardInterrupt)


def test_an_unwritten_value_and_own_data_cross(shared: Sandbox) -> None:
    assert shared.answer("unwritten") is ...
    assert shared.answer("own") == exercises.data("bn-largest-output", student_id="ada")


def test_the_right_answers_are_not_there(shared: Sandbox) -> None:
    with pytest.raises(ModuleNotFoundError):
        shared.answer("__import__('tutorial_utils.exercises.chapter09')")
    assert shared.answer("sorted(sys.modules['tutorial_utils'].exercises.EXERCISES)") == []


FIND_WORKER = "import gc, torch\nworker = next(o for o in gc.get_objects() if type(o).__name__ == 'Worker')\n"


def test_no_stand_in_is_a_tensor() -> None:
    """One that were could give another shape, and other numbers, each time it is asked."""
    forge = "worker._leaf = lambda value: {'object': [worker._keep(value), 'x', 'Parameter']}"
    with Sandbox([FIND_WORKER + forge]) as sandbox:
        assert not isinstance(sandbox.answer("object()"), torch.Tensor)


@pytest.mark.parametrize("message", [{"cell": 0}, {"data": ["bn-largest-output", "ada"]}], ids=["cells", "questions"])
def test_a_flood_of_messages_has_an_end(message: Any) -> None:
    flood = f"def drain():\n    while True: worker.receive()\ndef flood():\n    while True: worker.send({message})\n"
    start = "import threading\nthreading.Thread(target=drain, daemon=True).start()"
    with Sandbox([FIND_WORKER + flood + start], Limits(call=2)) as sandbox, pytest.raises(TimeUp):
        sandbox.answer("flood")()


def test_a_dead_worker_costs_its_exercise_only() -> None:
    with Sandbox(CELLS, Limits(call=3)) as sandbox:
        leave = sandbox.answer("leave")
        for _ in range(2):
            with pytest.raises(ProcessEnded):
                leave()
        with pytest.raises(TimeUp):
            sandbox.answer("wait")()
        assert sandbox.answer("unwritten") is ...


def test_a_cell_that_ends_the_worker_is_left_out() -> None:
    with Sandbox(["a = 1", "import os; os._exit(3)", "while True: pass", "b = 2"], Limits(cell=2)) as sandbox:
        assert sandbox.answer("a + b") == 3
        assert sandbox.left_out == [1, 2]


def test_memory_has_a_limit() -> None:
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("this system has no limit on memory")
    with Sandbox([], Limits(memory=2**28)) as sandbox, pytest.raises(MemoryError):
        sandbox.answer("len(bytearray(2**29))")


def test_who_takes_all_memory_goes_before_the_grader(shared: Sandbox) -> None:
    if not os.path.exists("/proc/self/oom_score_adj"):
        pytest.skip("this system does not choose what to end")
    assert shared.answer("open('/proc/self/oom_score_adj').read()").strip() == "1000"


def test_students_of_one_class_are_different_users_without_rights(tmp_path: Path) -> None:
    assert user(Path("/tmp/one")) != user(Path("/tmp/two"))
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be another user")
    with Sandbox(["import os"], isolation=OTHER_USER, course=tmp_path) as sandbox:
        assert sandbox.answer("os.getuid()") in USERS
        assert sandbox.answer("os.stat('.').st_uid == os.getuid()")
        assert sandbox.answer("os.stat('.').st_mode & 0o077") == 0


def test_no_worker_is_not_the_students_fault() -> None:
    with (
        Sandbox(["a = 1"], isolation=Isolation("broken", "", lambda *_: ["false"])) as sandbox,
        pytest.raises(DidNotStart),
    ):
        sandbox.answer("a")


def test_behind_namespaces_there_is_no_course_no_network_and_no_right_answer(tmp_path: Path) -> None:
    if available(tmp_path) is not NAMESPACES:
        pytest.skip("this system allows no namespaces")
    (tmp_path / "gradebook.db").write_text("grades")
    cells = [
        "import os, pathlib, socket, torch",
        "def names(path): return sorted(os.listdir(path))",
        "def call(): return socket.create_connection(('192.0.2.1', 80), 1)",
        f"def change(): pathlib.Path({str(Path(desk.__file__))!r}).write_text('')",
    ]
    with Sandbox(cells, isolation=NAMESPACES, course=tmp_path) as sandbox:
        assert sandbox.answer("os.getpid()") == 1
        assert sandbox.answer("os.getcwd()") == "/tmp"
        assert sandbox.answer("names")(str(Path(exercises.__file__).parent)) == []
        for asked in (f"names({str(tmp_path)!r})", "call()", "change()", "open('/etc/passwd')"):
            with pytest.raises(OSError, match="Errno"):
                sandbox.answer(asked)


# --- a submitted file ---------------------------------------------------------------------------------


def released() -> nbformat.NotebookNode:
    """A notebook with text, imports, an answer and its check."""
    noted = {"locked": False, "task": False, "schema_version": 3}
    answer = noted | {"grade_id": "answer", "solution": True, "grade": False}
    check = noted | {"grade_id": "check", "solution": False, "grade": True, "points": 3, "locked": True}
    cell = nbformat.v4.new_code_cell
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Title", id="title"),
            cell("import torch", id="imports"),
            cell("raise NotImplementedError", id="answer", metadata={"nbgrader": answer}),
            cell('check("x", f)', id="check", metadata={"nbgrader": check}),
        ]
    )


def handed_in(cells: list[nbformat.NotebookNode], folder: Path) -> nbformat.NotebookNode:
    path = folder / "x.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return submissions.rebuild(released(), submissions.read(path))


def sources(nb: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in submissions.cells_to_run(nb)]


def test_only_the_answer_is_taken_over(tmp_path: Path) -> None:
    cells = released().cells
    for cell, source in zip(cells, ("# Mine", "import math", "f = 1", "pass"), strict=True):
        cell.source = source
    nb = handed_in(cells, tmp_path)
    assert [cell.source for cell in nb.cells] == ["# Title", "import math", "f = 1", 'check("x", f)', "pass"]
    assert sources(nb) == ["import math", "f = 1", "pass"]


def test_a_deleted_check_is_back(tmp_path: Path) -> None:
    assert submissions.is_check(handed_in(released().cells[:3], tmp_path).cells[-1])


def test_a_deleted_answer_runs_nothing(tmp_path: Path) -> None:
    _, imports, _, check = released().cells
    assert sources(handed_in([imports, check], tmp_path)) == ["import torch", submissions.MISSING]


def test_the_notebook_of_another_assignment_is_told_so(tmp_path: Path) -> None:
    title, imports, *_ = released().cells
    with pytest.raises(ValueError, match="no exercise of this assignment"):
        handed_in([title, imports, nbformat.v4.new_code_cell("f = 1")], tmp_path)
    assert "another" in submissions.unreadable(released(), "another").cells[0].source


def test_code_runs_in_the_students_order(tmp_path: Path) -> None:
    title, imports, answer, check = released().cells
    answer.source = "f = 1"
    scratch = nbformat.v4.new_code_cell("scratch")
    nb = handed_in([answer, scratch, check, imports, title], tmp_path)
    assert sources(nb) == ["f = 1", "scratch", "import torch"]


@pytest.mark.parametrize("drop", ["metadata", "id"])
def test_cells_are_found_by_either_name(drop: str, tmp_path: Path) -> None:
    cells = released().cells
    cells[2].source = "f = 1"
    for cell in cells:
        cell.pop(drop)
    assert [cell.source for cell in handed_in(cells, tmp_path).cells][2:] == ["f = 1", 'check("x", f)']


def test_of_two_copies_of_an_answer_both_run_and_the_last_holds(tmp_path: Path) -> None:
    cells = released().cells
    again = nbformat.from_dict(json.loads(json.dumps(cells[2])))
    cells[2].source, again.source = "f = 1", "f = 2"
    nb = handed_in([*cells, again], tmp_path)
    assert sources(nb) == ["import torch", "f = 1", "f = 2"]


@pytest.mark.parametrize("number, text", [(501, ""), (1, "x" * 500_001)])
def test_more_than_anybody_writes_is_refused(number: int, text: str, tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(text) for _ in range(number)]
    with pytest.raises(ValueError, match="more than 500 cells or 500000 characters"):
        handed_in(cells, tmp_path)


def test_half_a_character_is_replaced(tmp_path: Path) -> None:
    cells = released().cells
    cells[2].source = "f = '\ud800'"
    assert sources(handed_in(cells, tmp_path)) == ["import torch", "f = '?'"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [3]}', "[" * 10**5, "\x00"])
def test_what_is_no_notebook_has_a_reason(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(ValueError, match=r"\w"):
        submissions.read(tmp_path / "x.ipynb")


def test_a_check_cell_holds_one_check() -> None:
    assert submissions.what_is_checked("check('a', f(2))  # now") == ("a", "f(2)", False)
    with pytest.raises(ValueError, match="one check"):
        submissions.what_is_checked("pass")


# --- the desk -----------------------------------------------------------------------------------------


@pytest.fixture
def in_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty course folder, which is the current one."""
    folder = tmp_path / "course"
    course.make(folder, [])
    monkeypatch.chdir(folder)
    return folder


def place(path: Path, text: str = "{}") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_every_way_of_handing_in_is_collected(in_course: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    place(inbox / "ada" / "ps1.ipynb", "ada")
    place(inbox / "ada" / ".ipynb_checkpoints" / "ps1-checkpoint.ipynb")
    place(inbox / "ada" / "other.ipynb")
    place(inbox / "bob" / "deep" / "ps1 (2).ipynb", "bob")
    place(inbox / "Carl Gauss.ipynb", "carl")
    place(inbox / "dora" / "a.ipynb")
    place(inbox / "dora" / "b.ipynb")
    place(inbox / "emmy" / "notes.txt")
    lines = desk.collect("ps1", inbox)
    got = {path.parts[1]: path.read_text() for path in Path("submitted").glob("*/ps1/ps1.ipynb")}
    assert got == {"ada": "ada", "bob": "bob", "Carl_Gauss": "carl", "dora": "", "emmy": ""}
    assert lines == [
        "Carl_Gauss: the name was 'Carl Gauss'",
        "ada: 2 notebooks, of which ps1.ipynb was taken",
        "bob: the file was called ps1 (2).ipynb",
        "dora: 2 notebooks, none of them called ps1.ipynb",
        "emmy: no notebook",
    ]


def test_a_class_packed_one_folder_too_deep_is_noticed(in_course: Path, tmp_path: Path) -> None:
    for name in ("ada", "bob"):
        place(tmp_path / "inbox" / "all" / name / "ps1.ipynb")
    assert desk.collect("ps1", tmp_path / "inbox") == ["all: 2 notebooks, 2 of them called ps1.ipynb"]


def test_a_folder_and_a_notebook_of_one_name_are_one_student(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ada.ipynb")
    place(tmp_path / "inbox" / "ada" / "ps1.ipynb", "in the folder")
    assert len(desk.collect("ps1", tmp_path / "inbox")) == 1
    assert Path("submitted/ada/ps1/ps1.ipynb").read_text() == "in the folder"


def test_an_umlaut_is_one_letter_whatever_system_packed_it(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / unicodedata.normalize("NFD", "Zoë") / "ps1.ipynb")
    desk.collect("ps1", tmp_path / "inbox")
    assert [path.name for path in Path("submitted").iterdir()] == [unicodedata.normalize("NFC", "Zoë")]


def test_who_hands_in_again_replaces_the_file_and_its_time(in_course: Path, tmp_path: Path) -> None:
    place(Path("submitted/ada/ps1/ps1.ipynb"), "first")
    place(Path("submitted/ada/ps1/timestamp.txt"), "2026-01-01 10:00:00 UTC")
    place(tmp_path / "inbox" / "ada.ipynb", "second")
    assert desk.collect("ps1", tmp_path / "inbox") == ["ada: an earlier file was replaced"]
    assert [path.read_text() for path in Path("submitted/ada/ps1").iterdir()] == ["second"]


def test_an_archive_is_collected(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ada" / "ps1.ipynb", "ada")
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "inbox")
    assert desk.collect("ps1", Path(archive)) == ["ada: collected"]


def test_nothing_of_an_archive_lands_outside(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ada" / "ps1.ipynb", "ada")
    (tmp_path / "inbox" / "out").symlink_to("/")
    archive = shutil.make_archive(str(tmp_path / "all"), "gztar", tmp_path / "inbox")
    with pytest.raises(desk.DeskError, match="could not be unpacked"):
        desk.collect("ps1", Path(archive))
    (tmp_path / "inbox" / "out").unlink()
    archive = shutil.make_archive(str(tmp_path / "all"), "gztar", tmp_path / "inbox")
    assert desk.collect("ps1", Path(archive)) == ["ada: collected"]


def test_links_lead_nowhere(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "secret.ipynb", "secret")
    (tmp_path / "inbox" / "eve").mkdir(parents=True)
    (tmp_path / "inbox" / "eve" / "ps1.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (tmp_path / "inbox" / "mallory").symlink_to(tmp_path)
    assert desk.collect("ps1", tmp_path / "inbox") == ["eve: no notebook"]
    assert Path("submitted/eve/ps1/ps1.ipynb").read_text() == ""


def test_two_students_never_become_one(in_course: Path, tmp_path: Path) -> None:
    for name in ("a b", "a_b", "A-b"):
        place(tmp_path / "inbox" / f"{name}.ipynb", name)
    desk.collect("ps1", tmp_path / "inbox")
    assert len(list(Path("submitted").glob("*/ps1/ps1.ipynb"))) == 3
    assert Path("submitted/a_b/ps1/ps1.ipynb").read_text() == "a_b"


def test_what_lies_in_submitted_is_tidied_where_it_is(in_course: Path) -> None:
    place(Path("submitted/ada/ps1/homework.ipynb"), "ada")
    place(Path("submitted/ada/ps1/data.csv"))
    place(Path("submitted/ada/ps1/timestamp.txt"), "2026-01-01 10:00:00 UTC")
    assert collecting.tidy("ps1") == ["ada: the file was called homework.ipynb"]
    assert sorted(path.name for path in Path("submitted/ada/ps1").iterdir()) == ["ps1.ipynb", "timestamp.txt"]
    assert Path("submitted/ada/ps1/timestamp.txt").read_text().startswith("2026-01-01 10:00:00")


@pytest.mark.parametrize("text", ["soon", "", "9" * 99])
def test_a_time_that_is_none_is_left_out(text: str, in_course: Path) -> None:
    place(Path("submitted/ada/ps1/ps1.ipynb"))
    place(Path("submitted/ada/ps1/timestamp.txt"), text)
    collecting.tidy("ps1")
    assert [path.name for path in Path("submitted/ada/ps1").iterdir()] == ["ps1.ipynb"]


def test_a_name_that_is_no_id_is_renamed_where_it_lies_and_takes_nobodys_place(in_course: Path) -> None:
    for name in ("a b", "a_b", "=cmd()"):
        place(Path("submitted", name, "ps1/ps1.ipynb"), name)
    for _ in range(2):
        collecting.tidy("ps1")
        got = {path.parts[1]: path.read_text() for path in Path("submitted").glob("*/ps1/ps1.ipynb")}
        assert got == {"a_b": "a_b", "a_b_2": "a b", "cmd": "=cmd()"}


def test_where_no_notebook_can_be_chosen_nothing_is_deleted_or_graded(in_course: Path) -> None:
    for file in ("a.ipynb", "b.ipynb", "note.pdf"):
        place(Path("submitted/ada/ps1", file))
    assert collecting.tidy("ps1") == ["ada: 2 notebooks, none of them called ps1.ipynb"]
    assert len(list(Path("submitted/ada/ps1").iterdir())) == 3
    assert desk.grade_one("ps1", "ada") == "NOT GRADED: 2 notebooks, none of them called ps1.ipynb"


def test_a_folder_that_is_a_link_is_not_graded(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "elsewhere" / "ps1.ipynb")
    Path("submitted/eve").mkdir(parents=True)
    Path("submitted/eve/ps1").symlink_to(tmp_path / "elsewhere")
    collecting.tidy("ps1")
    assert desk.grade_one("ps1", "eve") == "NOT GRADED: no notebook"


def test_the_report_says_why_nothing_was_graded_and_what_a_person_has_to_look_at(in_course: Path) -> None:
    with desk.open_course().book() as book:
        book.add_assignment("ps1")
        book.add_notebook("ps1", "ps1")
        book.add_grade_cell("essay", "ps1", "ps1", max_score=2, cell_type="markdown")
        book.add_student("ada")
        (essay,) = book.add_submission("ps1", "ada").notebooks[0].grades
        essay.needs_manual_grade = True
        assert next(rows_of(book, "ps1", "ada", ""))[-1] == "to grade by hand"
        essay.manual_score = 2
        assert next(rows_of(book, "ps1", "ada", ""))[2:] == ["essay", 2, 2, "graded by hand, and run again since"]
        assert list(rows_of(book, "ps1", "ada", "why")) == [["ps1", "ada", "", 0, "", "why"]]
        assert next(rows_of(book, "ps1", "bob", ""))[-1] == "not graded yet"


def test_work_without_end_is_cut_short_and_waiting_is_not() -> None:
    with time_limit(0.2, of_work=True):
        time.sleep(0.5)
    with pytest.raises(TimeUp, match=r"more than 0\.2 seconds"), time_limit(0.2, of_work=True):
        while True:
            pass


def test_what_a_student_writes_runs_no_script_in_the_formgrader(in_course: Path) -> None:
    """There it would run with the instructor's rights."""
    attack = "Text <script>alert(1)</script> <img src=x onerror=alert(2)> [x](javascript:alert(3)) **bold** $a<b$"
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(attack)])
    config = desk.open_course().config
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    page = HTMLExporter(config=config).from_notebook_node(nb, {"index": 0, "total": 1})[0]
    assert "<strong>bold</strong>" in page
    assert "a&lt;b" in page
    assert not re.search(r"<script>alert|<img[^>]*onerror|href=.javascript", page)


@pytest.mark.parametrize("source", ["![x](attachment:x.png) <b>", "> " * 5000 + "<b>"], ids=["picture", "deep"])
def test_text_that_cannot_be_rendered_is_shown_as_it_is(source: str) -> None:
    assert "&lt;b&gt;" in preprocessors.safe_markdown(source)


def test_what_is_said_below_a_check_fits_every_page_table_and_terminal() -> None:
    assert preprocessors.output(False, "a\x1b[31m\x00\ud800\u202e\nb").evalue == "a?[31m???\nb"


def test_errors_say_what_to_do(in_course: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(desk.DeskError, match="source has no ps1; there are:"):
        desk.release(["ps1"])
    with pytest.raises(desk.DeskError, match="release ps1"):
        desk.grade("ps1", [])
    with pytest.raises(desk.DeskError, match="no folder or archive missing"):
        desk.collect("ps1", Path("missing"))
    place(Path("broken.zip"), "PK")
    with pytest.raises(desk.DeskError, match=r"broken\.zip could not be unpacked"):
        desk.collect("ps1", Path("broken.zip"))
    place(Path("release/ps1/ps1.ipynb"))
    with pytest.raises(desk.DeskError, match="nobody handed in ps1"):
        desk.grade("ps1", [])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(desk.DeskError, match=r"tools/course\.py"):
        desk.release([])


# --- the course folder --------------------------------------------------------------------------------


def test_a_course_folder_is_made_once_and_keeps_what_is_changed(tmp_path: Path) -> None:
    masters = editions.masters()[:1]
    assert len(course.make(tmp_path / "course", masters)) == 2
    config = tmp_path / "course" / "nbgrader_config.py"
    config.write_text("mine")
    assert course.make(tmp_path / "course", masters) == []
    assert config.read_text() == "mine"
    assert (tmp_path / "course").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("master", editions.masters(), ids=lambda path: path.stem)
def test_every_exercise_has_its_points_once(master: Path) -> None:
    nb = course.source(master)
    noted = [cell.metadata.nbgrader for cell in nb.cells if "nbgrader" in cell.metadata]
    names = [note.grade_id for note in noted]
    assert len(set(names)) == len(names)
    points = sum(note.points for note in noted if note.grade)
    assert points == sum(one.points for one in exercises.EXERCISES.values() if one.chapter == master.stem)


def test_unknown_exercises_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert course.main([str(tmp_path), "12-no-such"]) == 1
    assert "12-no-such; there are: " in capsys.readouterr().err


@pytest.mark.parametrize("master", editions.masters(), ids=lambda path: path.stem)
def test_the_solutions_earn_all_points_at_arms_length(master: Path) -> None:
    cells = editions.read_master(master)
    checks = [submissions.what_is_checked(cell.source) for cell in cells if cell.role == "check"]
    code = [cell.solved for cell in cells if cell.kind == "code" and cell.role != "check"]
    with Sandbox(code, Limits(call=30, cell=60, cells=300)) as sandbox:
        results = [exercises.check(id, sandbox.answer(answer)) for id, answer, _ in checks]
    assert [result.hint for result in results if not result.passed] == []
