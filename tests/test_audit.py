"""The audit of whole models against what torch does, and the command that prints it."""

import copy
import inspect
import math
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from randomness import seeded
from torch import nn
from torch.nn import init

from tutorial_utils.audit import audit, main
from tutorial_utils.recognize import recognize


def names(table: pd.DataFrame) -> dict[str, str]:
    full = (table.path + "." + table.parameter).str.removeprefix(".")
    return dict(zip(full, table.scheme, strict=True))


@pytest.mark.parametrize(
    ("make", "schemes"),
    [
        (lambda: nn.Linear(100, 300), "default default"),
        (lambda: nn.Conv2d(32, 64, 3), "default default"),
        (lambda: nn.Conv2d(128, 256, 3, groups=8), "default default"),
        (lambda: nn.ConvTranspose2d(64, 32, 3, groups=2), "default default"),
        (lambda: nn.Bilinear(10, 100, 200), "bilinear_default bilinear_default"),
        (lambda: nn.Embedding(300, 50, padding_idx=3), "normal_1"),
        (lambda: nn.EmbeddingBag(300, 50, padding_idx=3), "normal_1"),
        (lambda: nn.LSTM(32, 64), "rnn_default rnn_default rnn_default rnn_default"),
        (lambda: nn.LSTM(50, 128, proj_size=40, bias=False), "rnn_default rnn_default rnn_default"),
        (lambda: nn.GRUCell(32, 100), "rnn_default rnn_default rnn_default rnn_default"),
        (lambda: nn.MultiheadAttention(100, 4), "xavier_uniform zeros default zeros"),
        (lambda: nn.BatchNorm1d(5), "ones zeros"),
        (lambda: nn.RMSNorm(5), "ones"),
        (nn.PReLU, "constant"),
    ],
)  # fmt: skip
def test_what_torch_constructs_is_recognized(make: Callable[[], nn.Module], schemes: str) -> None:
    torch.manual_seed(0)
    table = audit(make())
    assert list(table.scheme) == schemes.split(), table


def test_the_columns_are_the_statistics() -> None:
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(64, 32, 3, groups=2)
    weight, bias = (row for _, row in audit(nn.ModuleDict({"up": conv})).iterrows())
    w = conv.weight.detach().double()
    assert (weight.path, weight["class"], weight.parameter) == ("up", "ConvTranspose2d", "weight")
    assert weight["shape"] == (64, 16, 3, 3) and (weight.fan_in, weight.fan_out) == (144, 576)
    assert weight.nearest == "default" and weight.aliases == "" and weight.shared == ""
    expected = [w.mean(), w.std(correction=0), w.min(), w.max(), 12 * w.std(correction=0), w.std() * 12 * math.sqrt(3)]
    measured = weight[["mean", "std", "min", "max", "sigma_w", "ratio"]].astype(float)
    assert measured.tolist() == pytest.approx([e.item() for e in expected], rel=1e-4)
    assert bias.fan_in == 144 and pd.isna(bias.fan_out) and math.isnan(bias.sigma_w)


COLUMNS = ["path", "class", "parameter", "shape", "fan_in", "fan_out", "mean", "std", "min", "max", "sigma_w"]
COLUMNS += ["scheme", "aliases", "nearest", "ratio", "p", "shared"]


def test_a_row_says_what_recognize_says() -> None:
    layer = nn.Linear(201, 200, bias=False)
    init.xavier_normal_(layer.weight, generator=seeded())
    (row,), found = audit(layer).to_dict("records"), recognize(layer.weight, fan_in=201, fan_out=200)
    assert list(row) == COLUMNS and found.scheme == "undecided" and len(found.candidates) == 2
    assert (row["scheme"], row["nearest"], row["ratio"], row["p"]) == ("undecided", found.candidates[0], *found[1:3])
    assert row["aliases"] == ", ".join(found.candidates)  # of an undecided tensor, all that remain
    assert row["sigma_w"] == row["std"] * math.sqrt(201)
    square = nn.Linear(256, 256, bias=False)
    init.xavier_normal_(square.weight, generator=seeded())
    assert audit(square).aliases[0] == "lecun_normal"  # and of a recognized one, the others


def test_the_columns_are_the_same_when_there_is_nothing_to_measure() -> None:
    table = audit(nn.Linear(3, 2, device="meta"))
    assert list(table) == COLUMNS and set(table.nearest) == set(table.aliases) == {""}
    measured = table[["mean", "std", "min", "max", "sigma_w", "ratio", "p"]].to_numpy()
    assert measured.dtype == float and math.isnan(measured.min())


def test_a_recurrent_bias_has_no_fan() -> None:
    table = audit(nn.GRU(20, 30))
    assert table.fan_in.isna().tolist() == [False, False, True, True]


def test_alpha_reaches_every_row() -> None:
    torch.manual_seed(0)
    assert set(audit(nn.Linear(300, 200), alpha=1 - 1e-9).scheme) == {"unknown"}


def test_schemes_drawn_into_layers_are_recognized() -> None:
    gru = nn.GRU(48, 96)
    for gate in gru.weight_hh_l0.chunk(3):
        init.orthogonal_(gate)
    bilinear = nn.Bilinear(10, 100, 200)
    init.xavier_uniform_(bilinear.weight, generator=seeded())
    residual = nn.Linear(256, 256)
    init.normal_(residual.weight, std=0.02 / math.sqrt(24), generator=seeded())
    hidden, mixed, scaled = (audit(module).iloc[index] for module, index in ((gru, 1), (bilinear, 0), (residual, 0)))
    assert hidden.scheme == "orthogonal" and hidden.ratio == pytest.approx(1)
    assert mixed.scheme == "xavier_uniform"
    assert (scaled.scheme, scaled.nearest) == ("normal", "normal_0.02")
    assert scaled.ratio == pytest.approx(1 / math.sqrt(24), rel=0.02)


@pytest.mark.parametrize("by_gate", [True, False])
def test_orthogonal_recurrent_weights_by_gate_or_as_one_stack(by_gate: bool) -> None:
    lstm, generator = nn.LSTM(20, 30), seeded(3)
    weight = lstm.weight_hh_l0.detach()
    for part in weight.split(30) if by_gate else [weight]:
        init.orthogonal_(part, generator=generator)
    table = audit(lstm).set_index("parameter")
    assert table.scheme["weight_hh_l0"] == "orthogonal" and table.ratio["weight_hh_l0"] == pytest.approx(1, rel=1e-5)


def test_shared_parameters_have_one_row_with_all_their_names() -> None:
    model = nn.ModuleDict({"decoder": nn.Linear(64, 400, bias=False), "encoder": nn.Embedding(400, 64, padding_idx=0)})
    model["decoder"].weight = model["encoder"].weight
    model["again"] = model["encoder"]
    table = audit(model)
    assert list(table.shared) == ["encoder.weight, again.weight"]
    assert list(table.path) == ["decoder"] and list(table.scheme) == ["normal_1"]
    assert table["mean"][0] == pytest.approx(model["encoder"].weight[1:].mean().item(), abs=1e-6)  # without the padding


def test_a_broken_model_says_so_in_its_rows() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.counts = nn.Parameter(torch.arange(4), requires_grad=False)
            self.phases = nn.Parameter(torch.ones(3, dtype=torch.complex64))
            self.lazy = nn.LazyLinear(5)
            self.meta = nn.Linear(3, 2, device="meta")
            self.none = nn.Parameter(torch.empty(0, 7))
            self.nan = nn.Parameter(torch.tensor([[1.0, math.nan]]))
            self.inf = nn.Parameter(torch.tensor(math.inf))
            self.fanless = nn.Linear(0, 4)
            self.fine = nn.Parameter(torch.ones(3, 3, dtype=torch.bfloat16))

    with pytest.warns(UserWarning, match="zero-element"):
        table = audit(Odd())
    assert names(table) == {
        "counts": "not real",
        "phases": "not real",
        "none": "empty",
        "nan": "not finite",
        "inf": "not finite",
        "fine": "ones",
        "lazy.weight": "not there yet",
        "lazy.bias": "not there yet",
        "meta.weight": "not there yet",
        "meta.bias": "not there yet",
        "fanless.weight": "empty",
        "fanless.bias": "zeros",
    }
    assert table[["ratio", "sigma_w"]].isna().sum().min() >= 11


def test_parametrized_layers_are_read_without_being_run() -> None:
    torch.manual_seed(0)
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(100, 200))
    weight_norm = nn.utils.parametrizations.weight_norm(nn.Linear(100, 200))
    before = copy.deepcopy(spectral.state_dict())
    state = torch.get_rng_state()
    assert names(audit(spectral)) == {"bias": "default", "parametrizations.weight.original": "default"}
    found = names(audit(weight_norm))
    assert found["bias"] == found["parametrizations.weight.original1"] == "default"
    torch.testing.assert_close(spectral.state_dict(), before, rtol=0, atol=0)  # the power iteration took no step
    assert torch.equal(torch.get_rng_state(), state)


def test_audit_refuses() -> None:
    with pytest.raises(TypeError, match="an instance, not its class"):
        audit(nn.Linear)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        audit(nn.ReLU())
    with pytest.raises(ValueError, match="alpha = 2"):
        audit(nn.LazyLinear(3), alpha=2)


FACTORY = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(300, 200), torch.nn.LazyLinear(4))
model = make()
def broken():
    raise ValueError("the factory's own")
tiny = torch.nn.PReLU(init=1.23456e-7)
number = 3
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_models.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return tmp_path


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_the_command_prints_the_table_of_a_model_in_the_reader_s_own_code(
    factories: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["audit", "my_models:make"])
    runpy.run_path(str(inspect.getsourcefile(audit)), run_name="__main__")  # as python -m does, torch being imported
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["path", "class", "parameter", "shape"]
    assert len(lines) == 5 and "default" in lines[1] and "(200, 300)" in lines[1] and "not there yet" in lines[3]


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_the_command_takes_a_model_a_function_or_a_class(factories: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["my_models:make"])
    made = capsys.readouterr().out
    main(["my_models:model"])
    assert capsys.readouterr().out == made
    main(["torch.nn:PReLU", "--alpha", "0.01"])
    assert "constant" in capsys.readouterr().out
    with pytest.raises(ValueError, match="the factory's own"):  # not dressed up as a mistake on the command line
        main(["my_models:broken"])


def test_the_command_prints_three_digits_and_nothing_for_what_is_not_there(
    factories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["my_models:tiny"])
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == COLUMNS
    words = [word for word in row.split() if word != "<NA>"]
    assert words == ["PReLU", "weight", "(1,)", "1.23e-07", "0", "1.23e-07", "1.23e-07", "constant", "constant", "1"]


def test_the_command_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "usage: python -m tutorial_utils.audit [-h] [--alpha ALPHA] package.module:factory" in text
    for explained in ("Print what every parameter", "what makes one when called", "false-alarm rate", "0.001"):
        assert explained in text
    with pytest.raises(SystemExit):
        main(["torch.nn:PReLU", "--alpha", "2"])
    assert "alpha = 2.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("my_models", "not of the form package.module:factory"),
        ("my_models:", "not of the form"),
        ("my_models:absent", "absent"),
        ("no_such_module:make", "no_such_module"),
        ("my_models:number", "model = 3"),
        ("torch.nn:ReLU", "ReLU has no parameters"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_the_command_explains_mistakes(
    argument: str, message: str, factories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([argument])
    assert message in capsys.readouterr().err
