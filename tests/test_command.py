"""What the commands share: mistakes in the request are one line, mistakes in the reader's code a traceback."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tutorial_utils.command import FAILED, RequestError, argument_parser, build, find, write

OWN_CODE = """
import random, sys
import numpy, torch
print("a greeting")
seen = list(sys.argv)
class Outer:
    class Inner(torch.nn.PReLU):
        pass
def draws():
    return random.random(), numpy.random.rand(), torch.rand(()).item()
drawn = draws()
model = torch.nn.PReLU()
def arguments():
    return sys.argv
def broken():
    raise ValueError("the factory's own")
def wide(width, depth=3):
    pass
def leaves():
    sys.exit(0)
number = 3
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with code of the reader's own, which is the current one; afterwards its modules are forgotten."""
    before = set(sys.modules)
    (tmp_path / "own.py").write_text(OWN_CODE)
    (tmp_path / "needs_more.py").write_text("import os\nimport no_such_package.part\n")
    (tmp_path / "misspelled.py").write_text("def f(:\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "inside.py").write_text("import package.absent\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["command", "own:model", "--alpha", "0.01"])
    monkeypatch.chdir(tmp_path)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_find_resolves_nested_names_from_the_current_folder() -> None:
    assert isinstance(build("own:Outer.Inner"), find("own:Outer.Inner")) and find("own:Outer.Inner.__name__") == "Inner"
    assert build("own:model") is find("own:model") and build("own:number") == 3


def test_the_reader_s_code_sees_no_arguments_and_prints_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert build("own:arguments") == find("own:seen") == ["command"]
    assert sys.argv == ["command", "own:model", "--alpha", "0.01"]
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "a greeting\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own", r"^'own' is not of the form package.module:factory$"),
        ("own:", "not of the form"),
        (":model", "not of the form"),
        ("own:Outer..Inner", "not of the form"),
        ("own:modle", r"^own has no 'modle'; did you mean 'model'\?$"),
        ("own:Outer.quite_else", r"^own.Outer has no 'quite_else'$"),
        ("no_such_module:make", r"^there is no module 'no_such_module', neither installed nor in the current folder$"),
        ("package.outside:make", "no module 'package.outside'"),
        ("own.part:make", "no module 'own.part'"),
        ("own:wide", r"^own:wide cannot be called without arguments \(missing a required argument: 'width'\)"),
    ],
)
def test_a_mistake_in_the_request_is_one_line(name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        build(name)


@pytest.mark.parametrize(
    ("name", "first_line", "last_line"),
    [
        ("needs_more:make", 'needs_more.py", line 2', "ModuleNotFoundError: No module named 'no_such_package'"),
        ("package.inside:make", 'inside.py", line 1', "ModuleNotFoundError: No module named 'package.absent'"),
        ("misspelled:make", 'misspelled.py", line 1', "SyntaxError: invalid syntax"),
        ("own:broken", 'own.py", line 16', "ValueError: the factory's own"),
        ("own:leaves", 'own.py", line 20', "SystemExit: 0"),
    ],
)
def test_a_mistake_in_the_reader_s_code_shows_the_reader_s_traceback(
    name: str, first_line: str, last_line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        build(name)
    lines = [line for line in capsys.readouterr().err.splitlines() if line not in ("a greeting", "")]
    files = [line for line in lines if line.startswith("  File")]
    assert error.value.code == FAILED and first_line in files[0] and lines[-1] == last_line
    assert len(files) == 1 and len(sys.argv) == 4


def test_the_seed_reaches_the_module_and_the_factory() -> None:
    state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    drawn: list[Any] = []
    for seed in (3, 3, 4):
        sys.modules.pop("own", None)
        drawn.append((find("own:drawn", seed=seed), build("own:draws", seed=seed)))
    assert drawn[0] == drawn[1] and drawn[0][0] == drawn[0][1]
    assert all(a != b for a, b in zip(drawn[1][1], drawn[2][1], strict=True))
    torch.set_rng_state(state), np.random.set_state(numpy_state), random.setstate(python_state)


def test_without_a_seed_the_random_state_is_the_reader_s() -> None:
    state = torch.get_rng_state()
    build("own:model")
    torch.rand(())  # the module's own draw
    assert not torch.equal(state, torch.get_rng_state())


def test_every_command_takes_a_model_and_a_seed(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argument_parser("tutorial_utils.nothing", "Does nothing.")
    options = parser.parse_args(["a:b", "--seed", "7"])
    assert (options.model, options.seed) == ("a:b", 7) and parser.parse_args(["a:b"]).seed is None
    with pytest.raises(SystemExit) as error:
        parser.parse_args(["a:b", "--seed", "seven"])
    assert error.value.code == FAILED and "python -m tutorial_utils.nothing" in capsys.readouterr().err


WRITE = "from tutorial_utils.command import write\nwrite('\\n'.join(map(str, range(10**5))))\nwrite('more')"


def test_a_reader_who_leaves_early_causes_no_complaint() -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITE], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr and process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
    process.stderr.close()


def test_a_terminal_that_lacks_a_letter_gets_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        write("1/√n")
    with os.fdopen(reading, encoding="ascii") as stream:
        assert stream.read() == "1/?n\n"
