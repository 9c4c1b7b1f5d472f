import json
from pathlib import Path

import pandas as pd
import pytest

from tutorial_utils.diagnose import KINDS
from tutorial_utils.diagnose.__main__ import main

CODE = """
import torch
from torch import nn

print("made")  # what the reader's code prints must not end up in the JSON


def _mlp(last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), last), torch.randn(32, 20)


def healthy():
    return *_mlp(nn.Linear(64, 5)), nn.functional.cross_entropy, torch.randint(0, 5, (32,))


def faulty():
    model, x = _mlp(nn.Linear(64, 5))
    nn.init.constant_(model[0].bias, -30)
    return model, x, nn.functional.cross_entropy, torch.randint(0, 5, (32,))


def alone():
    return nn.Linear(2, 2)


def fails():
    class Fails(nn.Linear):
        def forward(self, x):
            raise KeyError("in the reader's own code")

    return Fails(2, 2), torch.ones(2, 2)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the current folder."""
    (tmp_path / "own_models.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_models"


def test_nothing_wrong_is_exit_code_0(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{own}:healthy"]) == 0
    assert "Nothing found." in capsys.readouterr().out


def test_something_wrong_is_exit_code_1_within_80_columns(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{own}:faulty", "--seed", "0"]) == 1
    out = capsys.readouterr().out
    assert "[dead-units]" in out and max(map(len, out.splitlines())) <= 80


def test_json_and_csv_are_nothing_else(own: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([f"{own}:faulty", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["kind"] == "dead-units"
    assert main([f"{own}:faulty", "--csv"]) == 1
    (tmp_path / "table.csv").write_text(capsys.readouterr().out)
    assert list(pd.read_csv(tmp_path / "table.csv").kind) == ["Linear", "ReLU", "Linear"]


def test_kinds_are_filtered_and_the_exit_code_follows(own: str) -> None:
    assert main([f"{own}:faulty", "--only", "input-scale"]) == 0
    assert main([f"{own}:faulty", "--ignore", *set(KINDS) - {"dead-units"}]) == 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (["own_models"], "not of the form"),
        (["own_models:faluty"], "did you mean 'faulty'"),
        (["own_models:alone"], "returned a Linear, but it must return"),
        (["own_models:healthy", "--only", "dead"], "'dead' is no kind of finding"),
    ],
)
def test_a_mistake_in_the_request_is_one_line(
    own: str, request_: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(request_) == 2
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err and captured.out == ""


def test_a_mistake_in_the_readers_code_shows_where(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"{own}:fails"])
    assert ended.value.code == 2 and "in the reader's own code" in capsys.readouterr().err


def test_the_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--kinds"])
    assert ended.value.code == 0 and "equal-units: Units of one layer" in capsys.readouterr().out
