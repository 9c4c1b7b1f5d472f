import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tutorial_utils import checkpoint
from tutorial_utils.checkpoint import Checkpoint, Trained


def trained(number: int) -> Trained:
    return Trained(np.full(3, number, np.float32), np.array([[number, np.nan, np.inf, -0.0]], np.float32))


def test_what_is_kept_is_read_again_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sweep.npz"
    Checkpoint(path, "e").add({"a": trained(1), "ü": trained(2)})
    found = Checkpoint(path, "e").trained
    assert list(found) == ["a", "ü"]
    for key, number in (("a", 1), ("ü", 2)):
        for one, other in zip(found[key], trained(number), strict=True):
            assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
    assert [entry.name for entry in path.parent.iterdir()] == ["sweep.npz"]


def test_without_a_path_everything_stays_in_memory() -> None:
    keep = Checkpoint(None, "e")
    keep.add({"a": trained(1)})
    keep.save()
    assert list(keep.trained) == ["a"]


def test_nothing_new_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sweep.npz"
    Checkpoint(path, "e").save()
    assert not path.exists()
    Checkpoint(path, "e").add({"a": trained(1)})
    monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("written again"))
    Checkpoint(path, "e").save()


def test_writing_takes_a_tenth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, writes = [0.0], []

    def write(*_: object) -> None:
        writes.append(clock[0])
        clock[0] += 1

    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(Checkpoint, "_write", write)
    keep = Checkpoint(tmp_path / "sweep.npz", "e")
    for number in range(40):
        keep.add({str(number): trained(number)})
        clock[0] += 1
    assert writes == [0, 10, 20, 30, 40]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sweep.npz"
    Checkpoint(path, "e").add({"a": trained(1)})

    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr(os, "replace", full)
        Checkpoint(path, "e").add({"b": trained(2)})
    assert list(Checkpoint(path, "e").trained) == ["a"] and os.listdir(tmp_path) == ["sweep.npz"]


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "sweep.npz"
    Checkpoint(path, "e").add({"a": trained(1)})
    code = (
        "import os, signal, sys, numpy as np\n"
        "from tutorial_utils.checkpoint import Checkpoint, Trained\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Checkpoint(sys.argv[1], 'e').add({'b': Trained(np.zeros(3, np.float32), np.zeros((1, 4), np.float32))})\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGKILL
    assert list(Checkpoint(path, "e").trained) == ["a"]


@pytest.mark.parametrize("content", ["empty", "text", "half", "flipped", "array", "other", "folder"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sweep.npz"
    Checkpoint(path, "e").add({"a": trained(1)})
    whole = path.read_bytes()
    middle = whole.index(b"NUMPY", len(whole) // 2) + 70
    if content in ("array", "other"):
        with open(path, "wb") as file:
            np.save(file, np.zeros(3)) if content == "array" else np.savez(file, x=np.zeros(3))
    elif content == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes(
            {"empty": b"", "text": b"hello", "half": whole[: len(whole) // 2], "flipped": flipped}[content]
        )
    with pytest.raises(ValueError, match=r"checkpoint = '.*sweep.npz' is not a file that a sweep has written: "):
        Checkpoint(path, "e")


def test_another_experiment_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "sweep.npz", "steps = 3").add({"a": trained(1)})
    with pytest.raises(ValueError, match=r"sweep.npz' holds another experiment,\nsteps = 3\nnot\nsteps = 4\ngive each"):
        Checkpoint(tmp_path / "sweep.npz", "steps = 4")
