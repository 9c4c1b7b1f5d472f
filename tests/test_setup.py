"""The set-up: what it installs, when it does nothing, how it fails and recovers. Nothing is downloaded."""

import ast
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import setup

LOCK = "numpy==2.4.6\ntorch==2.13.0\n"
PYPROJECT = """
[build-system]
requires = ["setuptools"]
[project]
name = "x"
dependencies = ["torch"]
[project.optional-dependencies]
test = ["pytest"]
"""
# Words that pip prints, shortened.
OFFLINE = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(': Failed to establish a "
    "new connection: [Errno -2] Name or service not known')'\n"
    "ERROR: Could not find a version that satisfies the requirement numpy==2.4.6 (from versions: none)"
)
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"


class FakeRunner(setup.Runner):
    """Writes down the commands instead of running them; those that contain a key of `failures` fail with its words."""

    def __init__(self, root: Path, failures: dict[str, str] | None = None) -> None:
        super().__init__(root)
        self.failures = failures or {}
        self.commands: list[str] = []

    def __call__(self, command: list[str]) -> tuple[int, str]:
        line = " ".join(command)
        self.commands.append(line)
        if line.endswith("venv .venv"):
            python = setup.venv_python(self.root)
            python.parent.mkdir(parents=True)
            python.touch()
        return next(((1, output) for part, output in self.failures.items() if part in line), (0, ""))

    def ran(self, part: str) -> bool:
        return any(part in command for command in self.commands)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project in a folder with a space in its name."""
    folder = tmp_path / "good starts"
    folder.mkdir()
    (folder / "requirements.lock").write_text(LOCK)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


@pytest.fixture
def run(root: Path) -> FakeRunner:
    return FakeRunner(root)


def set_up(root: Path, **failures: str) -> FakeRunner:
    runner = FakeRunner(root, {part.replace("_", " "): output for part, output in failures.items()})
    setup.set_up(root, runner)
    return runner


def test_an_old_python_can_read_the_file() -> None:
    ast.parse(Path(setup.__file__).read_text(encoding="utf-8"), feature_version=(3, 6))


def test_an_old_python_is_named_with_its_place() -> None:
    with pytest.raises(setup.SetupError, match=r"3\.11 or newer is needed, this is 3\.9\.2 at /usr/bin/python3"):
        setup.check_python((3, 9, 2), "/usr/bin/python3")
    setup.check_python((3, 11, 0), "python3")
    setup.check_python((4, 0, 0), "python3")


@pytest.mark.parametrize(("found", "advice"), [("/usr/bin/x", "PYTHON=python3.14"), (None, "python.org")])
def test_an_old_python_comes_with_advice(monkeypatch: pytest.MonkeyPatch, found: str | None, advice: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: found)
    with pytest.raises(setup.SetupError, match=advice):
        setup.check_python((3, 10), "python3")


def test_the_first_run_installs_and_the_second_does_nothing(root: Path) -> None:
    first = set_up(root)
    assert first.commands[0].endswith("-m venv .venv")
    assert first.ran("--no-deps -r requirements.lock")
    assert first.ran("--no-deps --no-build-isolation -e .")
    assert first.commands[-1].endswith("pip check")
    assert set_up(root).commands == []


def test_a_real_second_run_is_quick(root: Path) -> None:
    (root / "tools").mkdir()
    script = shutil.copy(setup.__file__, root / "tools")
    set_up(root)
    assert subprocess.run([sys.executable, script], timeout=60, capture_output=True).stdout == b""


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_requirements_are_installed_in_place(root: Path, name: str) -> None:
    set_up(root)
    changed = (root / name).read_text().replace("torch", "numpy>=1\ntorch" if name.endswith("lock") else "scipy")
    (root / name).write_text(changed)
    again = set_up(root)
    assert again.ran("-r requirements.lock")
    assert not again.ran("venv .venv")


def test_other_changes_of_pyproject_do_not_matter(root: Path) -> None:
    set_up(root)
    with (root / "pyproject.toml").open("a") as file:
        file.write("[project.urls]\nRepository = 'https://github.com/a/b'\n")
    assert set_up(root).commands == []


@pytest.mark.parametrize("changed", ["python", "folder"])
def test_another_python_or_folder_starts_over(root: Path, changed: str) -> None:
    set_up(root)
    stamp = root / ".venv" / "setup-done.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {changed: "another"}))
    assert set_up(root).ran("-m venv .venv")


def test_a_moved_project_starts_over(root: Path) -> None:
    set_up(root)
    assert set_up(root.rename(root.with_name("moved here"))).ran("-m venv .venv")


@pytest.mark.parametrize("stamp", ["", "[]", "{", '{"python": "3'])
def test_an_unreadable_stamp_starts_over(root: Path, stamp: str) -> None:
    set_up(root)
    (root / ".venv" / "setup-done.json").write_text(stamp)
    assert set_up(root).ran("-m venv .venv")


def test_a_venv_whose_python_is_gone_starts_over(root: Path) -> None:
    set_up(root)
    python = setup.venv_python(root)
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert set_up(root).ran("-m venv .venv")
    assert not python.is_symlink()


@pytest.mark.parametrize("step", ["venv .venv", "-r requirements.lock", "-e .", "pip check"])
def test_a_half_finished_set_up_starts_over(root: Path, step: str) -> None:
    with pytest.raises(setup.SetupError, match="It ended with:\n  boom"):
        setup.set_up(root, FakeRunner(root, {step: "boom"}))
    (root / ".venv" / "leftover").touch()
    again = set_up(root)
    assert again.ran("-m venv .venv")
    assert again.ran("pip check")
    assert not (root / ".venv" / "leftover").exists()
    assert set_up(root).commands == []


def test_a_failed_update_is_not_taken_for_finished(root: Path) -> None:
    set_up(root)
    (root / "requirements.lock").write_text(LOCK + "scipy==1.17.1\n")
    with pytest.raises(setup.SetupError):
        setup.set_up(root, FakeRunner(root, {"-r requirements.lock": OFFLINE}))
    (root / "requirements.lock").write_text(LOCK)
    assert set_up(root).ran("-m venv .venv")


@pytest.mark.parametrize(("output", "advice"), [(OFFLINE, "network connection"), (FULL, "disk is full")])
def test_pip_failures_are_explained(root: Path, output: str, advice: str) -> None:
    with pytest.raises(setup.SetupError, match=advice) as caught:
        setup.set_up(root, FakeRunner(root, {"-r requirements.lock": output}))
    assert "run the same command again" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_an_unforeseen_failure_shows_the_end_and_names_the_log(root: Path) -> None:
    message = setup.explain("\n".join(f"line {n}" for n in range(9)), root / "setup.log")
    assert "line 8" in message
    assert "line 3" not in message
    assert str(root / "setup.log") in message


def test_too_little_disk_is_said_before_anything_is_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(root)
    (root / ".venv" / "setup-done.json").unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 4 * 10**8))  # type: ignore[attr-defined]
    runner = FakeRunner(root)
    with pytest.raises(setup.SetupError, match=r"0\.4 GB are free here, the set-up needs 3\.0 GB"):
        setup.set_up(root, runner)
    assert runner.commands == []
    assert setup.venv_python(root).exists()


def test_linux_takes_torch_without_cuda(root: Path, run: FakeRunner) -> None:
    setup.install_torch(root, run, "linux")
    (command,) = run.commands
    assert "--index-url https://download.pytorch.org/whl/cpu torch==2.13.0" in command
    assert "--no-deps" in command
    assert "--retries=1" in command


def test_linux_falls_back_to_the_usual_index(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner = FakeRunner(root, {"--index-url": OFFLINE})
    setup.install_torch(root, runner, "linux")
    assert runner.commands[1].endswith("-c requirements.lock torch==2.13.0")
    assert "trying the usual package index" in capsys.readouterr().out


def test_a_full_disk_is_no_reason_to_fall_back(root: Path) -> None:
    runner = FakeRunner(root, {"--index-url": FULL})
    with pytest.raises(setup.SetupError, match="disk is full"):
        setup.install_torch(root, runner, "linux")
    assert len(runner.commands) == 1


def test_elsewhere_the_usual_index_has_the_cpu_build(root: Path, run: FakeRunner) -> None:
    setup.install_torch(root, run, "darwin")
    assert [command.endswith("-c requirements.lock torch==2.13.0") for command in run.commands] == [True]


def test_a_lock_without_torch_is_said(root: Path) -> None:
    (root / "requirements.lock").write_text("numpy==2.4.6\ntorchvision==1.0\n")
    with pytest.raises(setup.SetupError, match="no version of torch"):
        setup.locked_version(root, "torch")


@pytest.mark.parametrize(("present", "word"), [("ensurepip", "venv"), ("virtualenv", "virtualenv")])
def test_the_venv_is_made_with_what_there_is(monkeypatch: pytest.MonkeyPatch, present: str, word: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == present or None)
    assert setup.venv_builder()[1:3] == ["-m", word]


def test_a_missing_ensurepip_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(setup.SetupError, match="sudo apt install python3-venv"):
        setup.venv_builder()


def test_the_runner_works_and_logs_in_a_path_with_spaces(root: Path) -> None:
    runner = setup.Runner(root)
    assert runner([sys.executable, "-c", "import os; print(os.getcwd())"]) == (0, f"{root.resolve()}\n")
    assert runner([sys.executable, "-c", "import sys; print('second'); sys.exit(3)"]) == (3, "second\n")
    assert str(root.resolve()) in runner.log.read_text()
    assert "second" in runner.log.read_text()


@pytest.mark.slow
def test_a_real_empty_venv_works_in_a_path_with_spaces(root: Path) -> None:
    setup.create_venv(root, setup.Runner(root))
    python = str(setup.venv_python(root))
    assert subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def test_pip_is_not_sent_elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TARGET", "elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    code = "import os; print(os.environ.get('PIP_TARGET'), os.environ['PIP_INDEX_URL'])"
    assert setup.Runner(root)([sys.executable, "-c", code]) == (0, "None kept\n")


def _raise(error: BaseException) -> Callable[..., None]:
    def raiser(*arguments: object) -> None:
        raise error

    return raiser


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (setup.SetupError("do this"), "do this"),
        (KeyboardInterrupt(), "starts over"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", ".venv"), "Permission denied: '.venv'"),
    ],
)
def test_foreseen_failures_are_one_message_and_exit_code_1(
    error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "set_up", _raise(error))
    assert setup.main() == 1
    assert words in capsys.readouterr().err
