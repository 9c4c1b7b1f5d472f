"""A student's code at arm's length: what crosses, what does not, and what becomes of a submitted file."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import nbformat
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.exporters import HTMLExporter
from nbgrader.server_extensions.formgrader import handlers
from nbgrader.utils import determine_grade
from randomness import seeded
from torch import nn

import course
import editions
from tutorial_utils import exercises
from tutorial_utils.exercises.registry import EXERCISES, Exercise
from tutorial_utils.exercises.run import Performance, Raised, TimeUp, Unsupported, perform_here, time_limit, to_data
from tutorial_utils.grading import (
    cli,
    collecting,
    grading_run,
    identity,
    overview,
    platforms,
    preprocessors,
    regrading,
    submissions,
    verdicts,
)
from tutorial_utils.grading import session as session_module
from tutorial_utils.grading.course_folder import CourseError, book_of, open_course
from tutorial_utils.grading.isolation import DESK, NAMESPACES, NOTHING, OTHER_USER, USERS, Isolation
from tutorial_utils.grading.process import DidNotStart, Limits, Process, available
from tutorial_utils.grading.report import rows_of
from tutorial_utils.grading.roster import Person
from tutorial_utils.grading.serialization import DTYPES, MessageError, dumps, loads
from tutorial_utils.grading.session import NO_TIME, NoValue, Session

pytestmark = pytest.mark.slow

# --- what crosses -------------------------------------------------------------------------------------

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
nested = st.recursive(
    plain,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.builds(Unsupported, st.text(max_size=9)),
)


@given(nested)
def test_data_cross_unchanged(value: Any) -> None:
    again = loads(*dumps(value))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_tensors_cross_bit_by_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    value = (10 * torch.randn(shape, generator=seeded(0))).to(dtype)
    first, again = loads(*dumps([torch.ones(7), value.mT if value.dim() == 2 else value]))
    assert torch.equal(first, torch.ones(7))
    assert again.dtype == dtype
    assert torch.equal(again, value.mT if value.dim() == 2 else value)


def test_a_number_that_claims_to_equal_all_others_crosses_as_a_number() -> None:
    class Sly(float):
        def __eq__(self, other: object) -> bool:
            return True

    assert type(loads(*dumps(Sly(2.0)))) is float
    assert loads(*dumps(Sly(2.0))) != 3.0


@pytest.mark.parametrize(
    "value", [object(), print, nn.Linear(1, 1), {1, 2}, 1j], ids=lambda value: type(value).__name__
)
def test_objects_do_not_cross(value: object) -> None:
    with pytest.raises(MessageError, match="is no data"):
        dumps(value)
    assert dumps(to_data(value))


ONE = struct.pack("<d", 1.0)


@pytest.mark.parametrize(
    "text, numbers",
    [
        *((b, b"") for b in (b"", b"\xff", b"{", b"{}", b'{"dict": 3}', b'{"dict": {}, "tensor": []}')),
        *((b, b"") for b in (b'{"pickle": "gASVAA=="}', b'{"__class__": "x"}', b"[" * 10**5, b"1" * 5000)),
        *((b, ONE) for b in (b'{"tensor": 1}', b'{"tensor": ["float64"]}', b'{"tensor": ["object", [1]]}')),
        (b'{"tensor": ["float64", [2]]}', ONE),
        (b'{"tensor": ["float64", [1000000000000]]}', ONE),
        (b'{"tensor": ["float64", [100000000, 0]]}', ONE),
        (b'[{"tensor": ["float64", [1]]}, {"tensor": ["float64", [-1]]}, {"tensor": ["float64", [1]]}]', ONE),
        (json.dumps({"tensor": ["float64", [1] * 10**4]}).encode(), ONE),
        (json.dumps([0] * 10**5).encode(), b""),
        (json.dumps({"dict": {str(number): 0 for number in range(10**5)}}).encode(), b""),
    ],
    ids=lambda part: str(part)[:50],
)
def test_what_was_not_written_here_is_refused(text: bytes, numbers: bytes) -> None:
    with pytest.raises(MessageError):
        loads(text, numbers)


parts = plain | st.sampled_from(["float64", "bool", "bfloat16"]) | st.lists(st.integers(-3, 9), max_size=3)
forged = st.recursive(
    parts,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["tensor", "dict", "unsupported"]), inner)
    ),
    max_leaves=8,
)


@given(forged | st.tuples(parts, parts).map(lambda pair: {"tensor": list(pair)}), st.binary(max_size=40))
def test_whatever_comes_is_read_or_refused(sent: Any, numbers: bytes) -> None:
    try:
        value = loads(json.dumps(sent).encode(), numbers)
    except MessageError:
        return
    assert value is ... or dumps(value)


def test_a_list_as_long_as_nobody_needs_is_refused_on_its_way_out() -> None:
    with pytest.raises(MessageError, match="more than 10000 items"):
        dumps({"all": [0] * 10001})


# --- the session --------------------------------------------------------------------------------------


def exercise(changes: tuple[int, ...] = ()) -> Exercise:
    return Exercise(id="x", topic="none", reference=lambda x: x, changes=changes)


def performed(session: Session, expression: str, *inputs: Any, changes: tuple[int, ...] = ()) -> Performance:
    """What comes of one call, in float64."""
    return session.perform(exercise(changes), session.answer(expression), inputs, torch.float64)


CELLS = [
    "import os, sys, torch\nfrom torch import nn\nfrom tutorial_utils.exercises import check, data",
    "%matplotlib inline\nimport no_such_module as absent\nabsent.mount('x')\nwent_on = 1",
    "%%time\ndef shift_(x):\n    x.add_(1.0)",
    "from google.colab import drive\ndrive.mount('/content')\nnine, in_colab = 9, 'google.colab' in sys.modules",
    "%config InlineBackend.figure_format = 'retina'\n%no_such_magic\n%load_ext no_such_extension\n%time half = 1 / 2",
    "files = !echo 1\n!touch made\n%pip install x\nhas_made = files or os.path.exists('made')",
    "%%bash\ntouch made",
    "%%capture\ncaught = 3",
    "later = await __import__('asyncio').sleep(0, 7)",
    "%%time\n@torch.jit.script\ndef doubled(x: torch.Tensor):\n    return 2 * x",
    "%%timeit -n 10\ndef timed(x): return x",
    "%%no_such_magic -v\ndef wrapped(x): return x",
    "%timeit -n 1000 -r 7 -o timed(-1)",
    "%%writefile helper.py\ndef seven(): return 7",
    "import helper\nseven = helper.seven()",
    "def dtype(x): return str(torch.zeros(1).dtype)",
    "def fail(x):\n    raise KeyError(x)",
    "def leave(x): os._exit(1)",
    "def wait(x):\n    while True: pass",
    "import signal\ndef stubborn(x):\n    signal.signal(signal.SIGALRM, signal.SIG_IGN)\n    while True: pass",
    "def broken(:",
    "unwritten = ...\nown, other = data('x'), data('x', student_id=' Ada')",
    "stolen = data('x', student_id='eve')",
    "class Sound(nn.Module):\n    def forward(self, x): return 3 * x",
    "import inspect\nsource = inspect.getsource(fail)",
    "%%time\nbefore = 1\nfailed = 1 / 0\nbehind = 2",
    "def show(x): display(x); return type(get_ipython()).__name__",
    "check('x', fail)\nprint(input('?'))\nassert check('x', fail)\nlast = 1",
    "class Wrong(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n        self.n = n + 'a'",
    "class Named(nn.Module):\n    def __init__(self, n): \n        unknown.weight",
]
NAMED = {text.partition("\n")[0]: number for number, text in enumerate(CELLS)}


@pytest.fixture(scope="module")
def shared() -> Iterator[Session]:
    """One worker for all tests that leave it as it is; it has the right answers as data, for tests of the observers."""
    answers = {f"right/{one.id}": one.reference for one in EXERCISES.values() if not one.value}
    with Session(CELLS, "ada", {"x": 5} | answers, Limits(call=20)) as session:
        yield session


def test_values_cross(shared: Session) -> None:
    values = {"nine": 9, "half": 0.5, "later": 7, "caught": 3, "own": 5, "other": 5, "last": 1, "seven": 7}
    assert {name: shared.answer(name) for name in values} == values
    assert shared.answer("has_made or in_colab or os.path.exists('made')") is False
    assert torch.equal(shared.answer("torch.eye(2).to_sparse()"), torch.eye(2))
    assert shared.answer("[1, object()]") == [1, Unsupported("object")]


def test_what_a_cell_did_before_it_failed_stays_and_what_a_magic_wraps_runs(shared: Session) -> None:
    assert [shared.answer(name) for name in ("went_on", "before", "timed(3)", "wrapped(4)")] == [1, 1, 3, 4]
    assert performed(shared, "show", torch.ones(1)).result == "Shell"
    with pytest.raises(NoValue):
        shared.answer("behind")


def test_an_unwritten_value_is_told_from_a_wrong_one(shared: Session) -> None:
    assert "not written yet" in exercises.check("bn-largest-output", shared.answer("unwritten")).hint


def test_what_stopped_a_cell_is_told_in_its_own_words(shared: Session) -> None:
    shared.answer("nine")
    missing = "went on without a module: No module named "
    assert shared.stopped == {
        1: f"{missing}'no_such_module'",
        3: f"{missing}'google'",
        20: "SyntaxError: invalid syntax, in line `def broken(:`",
        22: "ValueError: the notebook says student_id = 'eve', and 'ada' handed it in, in line "
        "`stolen = data('x', student_id='eve')`",
        25: "ZeroDivisionError: division by zero, in line `failed = 1 / 0`",
    }


@pytest.mark.parametrize(
    "answer, words",
    [
        ("broken", "`def broken(:`: SyntaxError: invalid syntax, in line"),
        ("behind", "ZeroDivisionError: division by zero, in line `failed = 1 / 0`"),
        ("absent.draw(3)", "No module named 'no_such_module'"),
        ("Wrong(3)", "Your code raised TypeError: unsupported operand"),
        ("Named(3)", "Your code raised NameError: name 'unknown' is not defined, in your line `unknown.weight`"),
        ("(nine, no_such_name)", "there was no `no_such_name`"),
    ],
)
def test_the_student_reads_what_python_said(answer: str, words: str, shared: Session) -> None:
    verdict = verdicts.judge(shared, submissions.Check("bn-largest-output", answer, own=False), "ada")
    assert verdict.share == 0
    assert words in verdict.words
    assert ("there was no" in verdict.words) is ("no_such_name" in answer)


def test_a_function_performs_on_copies(shared: Session) -> None:
    x = torch.zeros(2, dtype=torch.float64)
    seen = performed(shared, "shift_", x, changes=(0,))
    assert torch.equal(seen.result, x + 1)
    assert torch.equal(seen.inputs_after[0][0], x + 1)
    assert torch.equal(x, torch.zeros(2))


def test_compiled_functions_networks_and_source_are_there_as_in_a_notebook(shared: Session) -> None:
    assert performed(shared, "doubled", torch.ones(1)).result.item() == 2
    assert performed(shared, "Sound()", torch.ones(1)).result.item() == 3
    assert shared.answer("source").startswith("def fail(x):")


def test_the_default_dtype_goes_along(shared: Session) -> None:
    assert performed(shared, "dtype", 1).result == "torch.float64"


def test_exceptions_come_with_the_students_line(shared: Session) -> None:
    assert performed(shared, "fail", 1).result == Raised("KeyError", "1", "raise KeyError(x)", theirs=True)


def assert_alike(first: Any, second: Any) -> None:
    """Up to rounding: where a tensor lies in memory decides how it is summed."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        torch.testing.assert_close(first, second, equal_nan=True)
    elif isinstance(first, list | dict):
        pairs = (
            zip(first, second, strict=True) if isinstance(first, list) else ((first[key], second[key]) for key in first)
        )
        for pair in [(len(first), len(second)), *pairs]:
            assert_alike(*pair)
    else:
        assert first == second or first != first


@pytest.mark.parametrize("exercise", [one for one in EXERCISES.values() if not one.value], ids=lambda one: one.id)
def test_every_observer_sees_from_outside_what_it_sees_here(exercise: Exercise, shared: Session) -> None:
    answer = shared.answer(f"data('right/{exercise.id}')")
    inputs = exercise.inputs[0](generator=seeded(0))
    assert exercises.check(exercise.id, answer, generator=seeded(0), perform=shared.perform).passed
    here = perform_here(exercise, exercise.reference, inputs, torch.float64)
    there = shared.perform(exercise, answer, inputs, torch.float64)
    assert_alike(there.result, here.result)


@pytest.mark.parametrize("exercise", [one for one in EXERCISES.values() if not one.value], ids=lambda one: one.id)
def test_no_observer_takes_a_right_answer_along(exercise: Exercise) -> None:
    sent = cloudpickle.dumps(exercise.observe)
    named = {one.reference.__qualname__ for one in EXERCISES.values()} | {
        one.reference.__doc__ for one in EXERCISES.values()
    }
    assert [name for name in named if name and re.search(rb"\b%s\b" % re.escape(name).encode(), sent)] == []


@pytest.mark.parametrize("name", ["batchnorm_training", "checking", "he"])
def test_the_right_answers_are_not_there(name: str, shared: Session) -> None:
    with pytest.raises(NoValue, match="No module named"):
        shared.answer(f"__import__('tutorial_utils.exercises.{name}')")
    assert shared.answer("sys.modules['tutorial_utils'].exercises.EXERCISES") == {}
    packages = shared.answer("[place for place in sys.path if os.path.exists(place + '/tutorial_utils')]")
    assert len(packages) == 1
    assert sorted(path.name for path in Path(packages[0], "tutorial_utils/exercises").glob("*.py")) == [
        *("__init__.py", "registry.py", "run.py")
    ]


def test_who_takes_all_memory_goes_before_the_grader(shared: Session) -> None:
    if not os.path.exists("/proc/self/oom_score_adj"):
        pytest.skip("this system does not choose what to end")
    assert shared.answer("open('/proc/self/oom_score_adj').read()").strip() == "1000"


def test_a_lost_worker_costs_its_exercise_only_and_a_slow_call_costs_no_worker() -> None:
    with Session([*CELLS, "import time; run = time.time()"], "ada", {"x": 5}, Limits(call=1)) as session:
        first = session.answer("run")
        assert performed(session, "wait", 1).result.kind == "TimeUp"
        assert session.answer("run") == first
        leave = session.answer("leave")
        for _ in range(2):
            assert session.perform(exercise(), leave, (1,), torch.float64).result.kind == "ProcessEnded"
        assert session.answer("run") > first


def verdict_on(session: Session, answer: str) -> verdicts.Verdict:
    return verdicts.judge(session, submissions.Check("bn-largest-output", answer, own=False), "")


def test_who_meets_a_limit_is_not_graded_in_what_depends_on_it_and_keeps_the_rest() -> None:
    stubborn = CELLS[NAMED["import signal"]] + "\nstubborn(1)\nhard = 1"
    cells = ["a = 1", "import os; os._exit(3)\ngone = 1", "slow = 3\nwhile True: pass", stubborn, "b = slow\nc = hard"]
    with Session(cells, limits=Limits(cell=2)) as session:
        assert session.answer("a + b") == 4
        assert [verdict_on(session, name).share for name in ("a", "gone", "b", "c", "hard")] == [
            0,
            None,
            None,
            None,
            None,
        ]
        assert "`slow = 3`: It took more than the 2 seconds that a cell has" in verdict_on(session, "b").words
    assert session.limited == {1, 2, 3}


def test_cells_run_once_up_to_a_check_and_what_takes_all_time_costs_nothing_before_it() -> None:
    cells = ["n = 0", "n = n + 1\ndef first(): return n", "n = 5\nwhile True: pass", "late = 2"]
    with Session(cells, limits=Limits(submission=3)) as session:
        assert session.answer("first()", after=2) == 1
        assert session.answer("n", after=2) == 1
        assert verdict_on(session, "late") == (None, verdict_on(session, "late").words)
        assert session.stopped[3] == NO_TIME.format(3)


def test_settings_of_a_cell_hold_for_the_answer_and_not_for_the_judge() -> None:
    settings = (
        "import torch, warnings\ntorch.set_default_device('meta')\ntorch.use_deterministic_algorithms(True)\n"
        "torch.set_num_threads(2)\nwarnings.simplefilter('error')\ntorch.set_grad_enabled(False)\n"
        "torch.set_default_dtype(torch.float64)\n"
        "def seen(*_): return [str(torch.zeros(1).device), torch.are_deterministic_algorithms_enabled()]"
    )
    with Session([settings]) as session:
        there = performed(session, "seen", 1).result
    script = (
        f"{settings}\nfrom tutorial_utils.exercises import check\nfrom tutorial_utils.exercises import checking\n"
        + (
            "from tutorial_utils.exercises.batchnorm_training import bn_forward\nlooked = []\n"
            "def answer(*given):\n    looked.append(seen())\n    with torch.device('cpu'): return bn_forward(*given)\n"
            "result = check('bn-forward', answer)\nassert result, result\n"
            "assert seen() == looked[0] and torch.get_default_dtype() == torch.float64, looked\nprint(looked[0])"
        )
    )
    here = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert here.stdout.strip() == str(there) == "['meta', True]", here.stderr


def test_parts_that_are_right_earn_their_share_with_a_reason_each() -> None:
    backward = (
        "def back(d, z, gamma, eps):\n    root = (z.var(0, correction=0) + eps).sqrt()\n"
        "    normalized = (z - z.mean(0)) / root\n    d_gamma, d_beta = (d * normalized).sum(0), d.sum(0)\n"
        "    return gamma / root * (d - (d_beta + normalized * d_gamma) / len(z)), 2 * d_gamma, d_beta"
    )
    with Session([backward]) as session:
        verdict = verdicts.judge(session, submissions.Check("bn-backward", "back", own=False), "")
    assert verdict.share == pytest.approx(2 / 3)
    assert "2 of 3 parts are right:\n  d_z: right\n  d_gamma: " in verdict.words
    cell = released().cells[-1]
    preprocessors.write(verdict, cell)
    assert determine_grade(cell) == (2.0, 3.0)


def test_memory_has_a_limit_for_a_process_and_for_all_it_starts() -> None:
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("this system has no limit on memory")
    spread = (
        "import os, time\ndef spread(x):\n    for _ in range(4):\n        if os.fork() == 0:\n"
        "            hog = bytearray(2**27); hog[::4096] = b'1' * len(hog[::4096])\n            time.sleep(60)\n"
        "    time.sleep(20)"
    )
    with Session([spread], limits=Limits(memory=2**28)) as session:
        with pytest.raises(NoValue, match="MemoryError"):
            session.answer("len(bytearray(2**29))")
        assert "more memory than there is" in str(performed(session, "spread", 1).result)


def test_no_worker_is_not_the_students_fault() -> None:
    broken = Isolation("broken", "", lambda *_: ["false"])
    with Session(["a = 1"], isolation=broken) as session, pytest.raises(DidNotStart):
        session.answer("a")


# --- who speaks for the worker ------------------------------------------------------------------------

FORGE = """
import json, pickle, socket, struct, time
pipe = socket.socket(fileno=0)
def say(text, numbers=b"", lengths=None):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    pipe.sendall(struct.pack("<II", *(lengths or (len(text), len(numbers)))) + text + numbers)
say(["value", None]); say(["value", ["call", None]])  # it has begun, and there is something to call
"""
FORGERIES = {
    "text beyond the limit": "say(b'', lengths=(2**32 - 1, 8))",
    "numbers beyond the limit": "say(b'', lengths=(2, 2**32 - 1))",
    "no JSON": "say(b'}')",
    "a pickle": "say(pickle.dumps(print))",
    "an unknown tag": "say(['value', {'object': [0, 'x', '__class__']}])",
    "another shape": "say({'value': 1})",
    "no value": "say(['value'])",
    "a number for what was raised": "say(['value', [5, None, []]])",
    "no list of inputs": "say(['value', [None, [1.0], 7]])",
    "an exception of too many parts": "say(['raised', 1, 2, 3, 4])",
    "an exception of no part": "say(['raised'])",
    "an exit": "say(['value', [['SystemExit', '0', ''], None, []]])",
    "drop by drop": "while True: pipe.sendall(b'\\3'); time.sleep(.01)",
    "a flood": "while True: say(['value', [None, 0, []]])",
    "nothing": "",
    "the end of the pipe": "pipe.shutdown(2)",
    "its own end": "raise SystemExit",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_message_earns_nothing_and_ends_in_time(forgery: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is no worker at all answers in its place."""
    script, started = f"{FORGE}\n{forgery}\ntime.sleep(60)", []

    def forger(isolation: Isolation, limits: Limits) -> Process:
        ours, theirs = socket.socketpair()
        with theirs:
            started.append(subprocess.Popen([sys.executable, "-c", script], stdin=theirs.fileno()))
        return Process(ours)

    monkeypatch.setattr(session_module, "start", forger)
    begin = time.monotonic()
    with Session([], limits=Limits(call=0.5, submission=1)) as session:
        check = submissions.Check("bn-forward", "batch_norm", own=False)
        assert verdicts.judge(session, check, "ada").share in (0, None)
    for one in started:
        one.kill()
        one.wait()
    assert time.monotonic() - begin < 30


# --- the fence ----------------------------------------------------------------------------------------


def test_students_of_one_class_are_different_users_without_rights() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    seen = []
    for _ in range(2):
        with Session([], isolation=OTHER_USER) as session:
            posix = "__import__('posix')"
            seen.append(session.answer(f"{posix}.getuid()"))
            assert session.answer(f"{posix}.stat('.').st_uid == {posix}.getuid()")
            assert session.answer(f"{posix}.stat('.').st_mode & 0o077") == 0
            with pytest.raises(NoValue, match="Operation not permitted"):
                session.answer(f"{posix}.setuid(0)")
    assert seen[0] != seen[1]
    assert set(seen) <= set(USERS)


def test_behind_namespaces_there_is_no_course_no_network_and_no_right_answer(in_course: Path) -> None:
    if available(in_course) is not NAMESPACES:
        pytest.skip("this system allows no namespaces")
    (in_course / "gradebook.db").write_text("grades")
    cells = [
        "import os, pathlib, socket, torch",
        "def names(path): return sorted(os.listdir(path))",
        "def call(): return socket.create_connection(('192.0.2.1', 80), 1)",
        "def change(): pathlib.Path(torch.__file__).write_text('')",
    ]
    with Session(cells, isolation=NAMESPACES) as session:
        assert session.answer("os.getpid()") == 1
        assert session.answer("os.getcwd()") == DESK
        assert session.answer("[one for one in os.listdir('/proc') if one.isdigit()]") == ["1"]
        for asked in (f"names({str(in_course)!r})", "call()", "change()", "open('/etc/passwd')"):
            with pytest.raises(NoValue, match="Errno"):
                session.answer(asked)
        answers = str(Path(exercises.__file__).parent)
        assert session.answer(f"os.path.isdir({answers!r}) and names({answers!r})") in (False, [])


def test_a_weak_fence_is_no_secret(in_course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(Path("release/ps1/ps1.ipynb"))
    place(Path("submitted/ada/ps1/ps1.ipynb"))
    monkeypatch.setattr(cli, "available", lambda course: NOTHING)
    with pytest.raises(CourseError, match="--weak"):
        cli.grade("ps1", [])


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


# --- whose numbers ------------------------------------------------------------------------------------

ADA = Person("ada", "Ada Lovelace", "a.lovelace@uni.example", "4711")


@pytest.mark.parametrize(
    "line, id, foreign",
    [
        ("student_id = 'ada'", "ada", False),
        ('student_id: str = " ADA "  # mine', "ada", False),
        ("student_id = None  # your id", None, False),
        ("student_id = ''", None, False),
        ("x = 1", "ada", False),
        ("student_id = input()", "ada", False),
        ("student_id == 'bob'", "ada", False),
        ("student_id = 'a.lovelace@uni.example'", "a.lovelace@uni.example", False),
        ("student_id = 'ada@other.example'", "ada@other.example", False),
        ("student_id = 'Ada Lovelace'", "Ada Lovelace", False),
        ("student_id = 4711", "4711", False),
        ("student_id = 'bob'", "ada", True),
        ("student_id = 'bob@ada'", "ada", True),
        ("student_id = 'eve'\nstudent_id = 'ada'", "ada", False),
    ],
)
def test_a_notebooks_own_id_is_graded_and_somebody_elses_is_not(line: str, id: str | None, foreign: bool) -> None:
    numbers = identity.settle(identity.claimed(["%matplotlib inline\n" + line]), ADA)
    assert (numbers.id, numbers.foreign) == (id, foreign)
    assert bool(numbers.note) is (id != "ada" or foreign)


def test_a_folders_name_is_its_students() -> None:
    assert identity.settle("Jane Doe", Person("Jane_Doe")).id == "Jane Doe"
    assert identity.settle("jane@uni", Person("jane@uni")).note == ""


def test_where_numbers_of_ones_own_are_a_must_the_books_earn_nothing() -> None:
    numbers = identity.settle("", ADA, book_counts=False)
    assert numbers.foreign
    assert "None" in numbers.note


def test_a_wrong_id_is_never_called_a_wrong_number() -> None:
    numbers = identity.settle("bob", ADA)
    (told,) = preprocessors.noted([preprocessors.output(False, "Not yet. Too large.")], numbers)
    assert "Too large" not in told.evalue
    assert "'bob', and 'ada' handed it in" in told.evalue
    assert len(preprocessors.noted([preprocessors.output(True, "Right.")], numbers)) == 2


def test_where_the_platform_hides_who_it_is_the_numbers_are_those_the_notebook_names() -> None:
    for claim in ("ada", "ada@uni.example"):
        numbers = identity.settle(claim, Person("anon_x7Yq2"))
        assert (numbers.id, numbers.foreign) == (claim, False)
        assert "without a name" in numbers.note
    assert "anon" not in identity.settle("", Person("anon_x7Yq2")).note
    assert identity.settle("ada", Person("anon_x7Yq2", "Ann On")).foreign


# --- collecting and grading ---------------------------------------------------------------------------


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
    assert grading_run.grade_one("ps1", "ada") == "NOT GRADED: 2 notebooks, none of them called ps1.ipynb"


def test_a_folder_that_is_a_link_is_not_graded(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "elsewhere" / "ps1.ipynb")
    Path("submitted/eve").mkdir(parents=True)
    Path("submitted/eve/ps1").symlink_to(tmp_path / "elsewhere")
    collecting.tidy("ps1")
    assert grading_run.grade_one("ps1", "eve") == "NOT GRADED: no notebook"


def test_the_report_says_why_nothing_was_graded_and_what_a_person_has_to_look_at(in_course: Path) -> None:
    with book_of(open_course()) as book:
        book.add_assignment("ps1")
        book.add_notebook("ps1", "ps1")
        book.add_grade_cell("essay", "ps1", "ps1", max_score=2, cell_type="markdown")
        book.add_student("ada")
        (essay,) = book.add_submission("ps1", "ada").notebooks[0].grades
        essay.needs_manual_grade = True
        assert next(rows_of(book, "ps1", "ada", ""))[-1] == "to grade by hand"
        essay.manual_score = 2
        assert next(rows_of(book, "ps1", "ada", ""))[2:] == ["essay", 2, 2, "graded by hand, and changed since"]
        essay.needs_manual_grade = False
        assert next(rows_of(book, "ps1", "ada", ""))[2:] == ["essay", 2, 2, "graded by hand"]
        assert list(rows_of(book, "ps1", "ada", "why")) == [["ps1", "ada", "", 0, "", "why"]]
        assert next(rows_of(book, "ps1", "bob", ""))[-1] == "not graded yet"


def test_whose_name_is_hidden_is_in_no_table_for_a_platform_and_leaves_open_who_is_absent(in_course: Path) -> None:
    place(Path("roster.csv"), "id,name\nada,Ada\n")
    place(Path("release/ps1/ps1.ipynb"), nbformat.writes(nbformat.v4.new_notebook()))
    place(Path("submitted/anon_x7Yq2/ps1/ps1.ipynb"))
    settings = collecting.Collect(config=open_course().config)
    with book_of(open_course()) as book:
        book.add_assignment("ps1")
        book.add_student("anon_x7Yq2")
        book.add_submission("ps1", "anon_x7Yq2")
        platforms.write(book, settings.people())
        assert overview.read(book, "ps1", settings, {}).absent == []
    for file, most in (("moodle.csv", 2), ("canvas.csv", 3)):
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        assert (len(lines), "anon" in "".join(lines)) == (most, False)


def test_a_regrade_asks_a_person_again_only_about_what_changed(in_course: Path) -> None:
    path = Path("autograded/ada/ps1/ps1.ipynb")

    def write(essay: str, code: str) -> None:
        nb = released()
        nb.cells[2].source = code
        about = {"grade_id": "essay", "solution": True, "grade": True, "points": 2, "locked": False}
        about |= {"task": False, "schema_version": 3}
        nb.cells.append(nbformat.v4.new_markdown_cell(essay, metadata={"nbgrader": about}))
        place(path, nbformat.writes(nb))

    with book_of(open_course()) as book:
        book.add_assignment("ps1")
        book.add_notebook("ps1", "ps1")
        book.add_grade_cell("essay", "ps1", "ps1", max_score=2, cell_type="markdown")
        book.add_grade_cell("check", "ps1", "ps1", max_score=3, cell_type="code")
        book.add_student("ada")
        grades = {one.name: one for one in book.add_submission("ps1", "ada").notebooks[0].grades}
        for one in grades.values():
            one.manual_score, one.needs_manual_grade = 1, False
        book.db.commit()
        waiting = []
        write("a", "f = 1")
        for essay, code in (("a", "f = 1"), ("b", "f = 1"), ("b", "f = 1"), ("b", "f = 2")):
            before = regrading.state(book, "ps1", "ada")
            write(essay, code)
            for one in grades.values():
                one.needs_manual_grade = True  # as nbgrader does
            regrading.settle(book, "ps1", "ada", before)
            waiting.append(sorted(name for name, one in grades.items() if one.needs_manual_grade))
    assert waiting == [[], ["essay"], ["essay"], ["check", "essay"]]


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
    config = open_course().config
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    page = HTMLExporter(config=config).from_notebook_node(nb, {"index": 0, "total": 1})[0]
    assert "<strong>bold</strong>" in page
    assert "a&lt;b" in page
    assert not re.search(r"<script>alert|<img[^>]*onerror|href=.javascript", page)


PICTURES = (
    *("![x](http://x.example/a.png)", "![x](//x.example/a.png)", "![x](../a.png)", "<img src='http://x.example/a'>"),
    *("![x][1]\n\n[1]: http://x.example/a", "[![x](http://x.example/a)](http://x.example)", "<svg onload=x>"),
    *(
        "![x](data:image/svg+xml,<svg/>)",
        "| a |\n|---|\n| ![x](http://x.example/a) |",
        "<style>@import 'http://x'</style>",
    ),
)


@pytest.mark.parametrize("source", PICTURES)
def test_no_picture_of_a_student_is_loaded_by_who_grades(source: str) -> None:
    shown = preprocessors.safe_markdown(source)
    assert not re.search(r"<(img|svg|style|picture|object|iframe|link)\b", shown)
    assert "x" in shown


@pytest.mark.parametrize("source", ["![x](attachment:x.png) <b>", "> " * 5000 + "<b>"], ids=["picture", "deep"])
def test_text_that_cannot_be_rendered_is_shown_as_it_is(source: str) -> None:
    assert "&lt;b&gt;" in preprocessors.safe_markdown(source)


def test_what_is_said_below_a_check_fits_every_page_table_and_terminal() -> None:
    assert preprocessors.output(False, "a\x1b[31m\x00\ud800\u202e\nb").evalue == "a?[31m???\nb"


def test_errors_say_what_to_do(in_course: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="source has no ps1; there are:"):
        cli.release(["ps1"])
    with pytest.raises(CourseError, match="release ps1"):
        cli.grade("ps1", [])
    with pytest.raises(CourseError, match="missing could not be unpacked"):
        cli.collect("ps1", Path("missing"))
    place(Path("broken.zip"), "PK")
    with pytest.raises(CourseError, match=r"broken\.zip could not be unpacked"):
        cli.collect("ps1", Path("broken.zip"))
    place(Path("release/ps1/ps1.ipynb"))
    with pytest.raises(CourseError, match="nobody handed in ps1"):
        cli.grade("ps1", [])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CourseError, match=r"tools/course\.py"):
        cli.release([])


# --- many submissions ---------------------------------------------------------------------------------


def fake_grading(monkeypatch: pytest.MonkeyPatch, lines: dict[str, str]) -> list[str]:
    """Let each submission come to a line, without grading it; who was tried, in order."""
    tried: list[str] = []

    def side_by_side(name: str, students: list[str], processes: int = 4) -> Iterator[tuple[str, str]]:
        for student in students:
            tried.append(student)
            if lines.get(student) == "interrupt":
                raise KeyboardInterrupt
            yield student, lines.get(student, "1 of 2")

    monkeypatch.setattr(grading_run, "side_by_side", side_by_side)
    return tried


def test_an_interrupted_run_goes_on_and_grades_again_what_changed(
    in_course: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    students = ["ada", "bob", "carl"]
    for student in students:
        place(Path("submitted", student, "ps1/ps1.ipynb"), student)
    fake_grading(monkeypatch, {"carl": "interrupt"})
    with pytest.raises(KeyboardInterrupt):
        grading_run.grade_all("ps1", students)
    place(Path("submitted/ada/ps1/ps1.ipynb"), "ada, corrected")
    tried = fake_grading(monkeypatch, {})
    assert grading_run.grade_all("ps1", students) == {}
    assert tried == ["ada", "carl"]
    printed = capsys.readouterr().out
    assert "[1/3] ada: 1 of 2" in printed
    assert "1 of 3 were graded before an interruption" in printed
    assert "[2/2] carl" in printed
    assert not list(Path().glob("*.progress"))


@pytest.mark.parametrize("file", ["checks.py", "roster.csv", "nbgrader_config.py"])
def test_after_a_change_of_the_course_all_are_graded_again(
    file: str, in_course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for student in ("ada", "bob"):
        place(Path("submitted", student, "ps1/ps1.ipynb"), student)
    fake_grading(monkeypatch, {"bob": "interrupt"})
    with pytest.raises(KeyboardInterrupt):
        grading_run.grade_all("ps1", ["ada", "bob"])
    Path(file).write_text("id\nada\n", encoding="utf-8")
    tried = fake_grading(monkeypatch, {})
    grading_run.grade_all("ps1", ["ada", "bob"])
    assert tried == ["ada", "bob"]


def test_one_cause_for_all_is_not_tried_again_with_each(in_course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    students = [f"s{number}" for number in range(9)]
    lines = dict.fromkeys(students, "NOT GRADED: the disk is full")
    tried = fake_grading(monkeypatch, lines)
    assert grading_run.grade_all("ps1", students) == lines
    assert tried == students + students[:3]


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
    assert sum(note.points for note in noted if note.grade) == sum(one.points for one in editions.facts(master))


def test_unknown_exercises_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert course.main([str(tmp_path), "12-no-such"]) == 1
    assert "12-no-such; there are: " in capsys.readouterr().err


def test_the_solutions_earn_all_points_at_arms_length() -> None:
    """One worker runs the notebooks one after the other; each answer is kept where its check stands."""
    cells, checks = ["answers = {}"], []
    for cell in (cell for master in editions.masters() for cell in editions.read_master(master)):
        if cell.role == "check":
            check = submissions.what_is_checked(cell.source)
            cells.append(f"answers[{check.id!r}] = {check.answer}")
            checks.append(check)
        elif cell.kind == "code":
            cells.append(cell.solved)
    data = preprocessors.own_data("", checks)
    with Session(cells, "", data, Limits(call=30, submission=900)) as session:
        answers = {check.id: session.answer(f"answers[{check.id!r}]") for check in checks}
        results = [exercises.check(id, answer, perform=session.perform) for id, answer in answers.items()]
    assert [result.hint for result in results if not result.passed] == []
