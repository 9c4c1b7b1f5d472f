"""The audit of whole models against what torch does, and the command that prints it."""

import copy
import inspect
import json
import math
import runpy
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
from randomness import seeded
from torch import nn
from torch.nn import init

from tutorial_utils.audit import alarms, audit, main, totals
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
        (lambda: nn.BatchNorm1d(5), "ones zeros zeros ones not_real"),
        (lambda: nn.RMSNorm(5), "ones"),
        (nn.PReLU, "constant"),
    ],
)  # fmt: skip
def test_what_torch_constructs_is_recognized(make: Callable[[], nn.Module], schemes: str) -> None:
    torch.manual_seed(0)
    table = audit(make())
    assert [scheme.replace(" ", "_") for scheme in table.scheme] == schemes.split(), table


def test_the_columns_are_the_statistics() -> None:
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(64, 32, 3, groups=2)
    weight, bias = (row for _, row in audit(nn.ModuleDict({"up": conv})).iterrows())
    w = conv.weight.detach().double()
    assert (weight.path, weight["class"], weight.parameter) == ("up", "ConvTranspose2d", "weight")
    assert (weight.kind, weight.trainable, weight.blocks, weight.equal_units) == ("parameter", True, "", 0)
    assert weight["shape"] == (64, 16, 3, 3) and (weight.fan_in, weight.fan_out) == (288, 144)
    assert (weight.torch_fan_in, weight.torch_fan_out) == (144, 576)
    assert weight.nearest == "default" and weight.aliases == "" and weight.shared == "" and weight.equal_to == ""
    sigma_w, to_bound = math.sqrt(288), 12 * math.sqrt(3)
    expected = [w.mean(), w.std(correction=0), w.min(), w.max(), sigma_w * w.std(correction=0), w.std() * to_bound]
    measured = weight[["mean", "std", "min", "max", "sigma_w", "ratio"]].astype(float)
    assert measured.tolist() == pytest.approx([e.item() for e in expected], rel=1e-4)
    assert (bias.fan_in, bias.torch_fan_in) == (288, 144) and pd.isna(bias.fan_out) and math.isnan(bias.sigma_w)


def test_sigma_w_is_what_the_layer_does_to_a_signal() -> None:
    """He's rule with the fan that torch reads from a transposed convolution misses his factor by four, and is named."""
    up = nn.ConvTranspose2d(64, 256, 4, 2, 1, bias=False)
    init.kaiming_normal_(up.weight, generator=seeded())
    z = up(torch.randn(2, 64, 12, 12, generator=seeded(1)))[..., 4:-4, 4:-4]
    (row,) = audit(up).to_dict("records")
    assert row["scheme"] == "kaiming_normal" and (row["fan_in"], row["torch_fan_in"]) == (256, 4096)
    assert row["sigma_w"] ** 2 == pytest.approx(0.125, rel=0.02) == pytest.approx(z.square().mean().item(), rel=0.05)


@pytest.mark.parametrize(
    ("make", "true", "read_by_torch"),
    [
        (lambda: nn.Linear(3, 5), (3, 5), (None, None)),
        (lambda: nn.Conv2d(8, 16, 3, stride=2, groups=4), (18, 9), (None, 144)),
        (lambda: nn.Embedding(50, 8), (1, 8), (8, 50)),
        (lambda: nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(4, 6, 3)), (12, 18), (18, 12)),
    ],
)
def test_torch_s_fans_are_shown_where_they_differ(
    make: Callable[[], nn.Module], true: tuple[int, int], read_by_torch: tuple[int | None, int | None]
) -> None:
    rows = audit(make(), exclude=["bias", "*original0"])
    (row,) = rows[["fan_in", "fan_out", "torch_fan_in", "torch_fan_out"]].astype(object).to_numpy().tolist()
    assert [None if pd.isna(value) else value for value in row] == [*true, *read_by_torch]


COLUMNS = ["path", "class", "parameter", "kind", "trainable", "shape", "fan_in", "fan_out", "torch_fan_in"]
COLUMNS += ["torch_fan_out", "mean", "std", "min", "max", "sigma_w", "scheme", "aliases", "nearest", "ratio", "p"]
COLUMNS += ["blocks", "equal_units", "equal_to", "shared"]


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


def test_packed_attention_is_tested_by_block_where_the_whole_is_another_law() -> None:
    attention = nn.MultiheadAttention(64, 4)
    for weight in attention.in_proj_weight.detach().chunk(3):
        init.xavier_uniform_(weight, generator=seeded(1))
    row = audit(attention).iloc[0]
    assert (row.parameter, row.scheme, row.aliases, row.blocks) == (
        "in_proj_weight", "xavier_uniform", "lecun_uniform", "q, k, v"
    )  # fmt: skip
    init.xavier_normal_(attention.in_proj_weight, generator=seeded(2))  # as one matrix of 192 rows
    assert audit(attention).loc[0, ["scheme", "blocks"]].tolist() == ["xavier_normal", ""]
    init.zeros_(attention.in_proj_weight[:64].detach())
    found = audit(attention).iloc[0]
    assert (found.scheme, found.blocks.split("; ")[0]) == ("by block", "q zeros") and math.isnan(found.p)


@pytest.mark.parametrize("make", [nn.LSTM, nn.LSTMCell])
def test_a_forget_gate_of_one_is_seen(make: type[nn.LSTM]) -> None:
    torch.manual_seed(0)
    lstm = make(20, 128)
    in_bias, hidden_bias = (p.detach() for name, p in lstm.named_parameters() if "bias" in name)
    in_bias[128:256] += 1  # the default plus one, as PyTorch's users do
    hidden_bias.zero_()[128:256] = 1  # as Keras starts
    found = audit(lstm)
    assert list(found.scheme) == ["rnn_default", "rnn_default", "by block", "by block"]
    assert found.blocks[2] == "i rnn_default; f rnn_default + 1; g rnn_default; o rnn_default"
    assert found.blocks[3] == "i zeros; f ones; g zeros; o zeros"


def test_what_other_frameworks_and_models_draw_is_recognized() -> None:
    flax, haiku = nn.Linear(300, 200, bias=False), nn.Linear(300, 200, bias=False)
    for layer, std in ((flax, 300**-0.5 / 0.87962566), (haiku, 300**-0.5)):
        init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=seeded())
    table = audit(nn.ModuleList([flax, haiku]))
    assert list(table.scheme) == ["truncated normal"] * 2
    assert table.nearest[0] == "lecun_normal" and table.ratio[0] == pytest.approx(1, abs=0.01)
    assert table["std"][1] == pytest.approx(0.8796 * 300**-0.5, rel=0.01)
    dcgan = nn.BatchNorm2d(128)
    init.normal_(dcgan.weight, 1.0, 0.02, generator=seeded())
    row = audit(dcgan).iloc[0]
    assert (row.scheme, row.nearest) == ("normal_0.02 + 1", "normal_0.02 + 1") and row.ratio == pytest.approx(
        1, abs=0.1
    )


def test_equal_units_are_counted_and_alarming_only_where_rows_are_units() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"twins": nn.Linear(30, 64), "flat": nn.Linear(9, 8), "zero": nn.Linear(9, 8)})
    model["depthwise"] = nn.Conv2d(8, 8, 3, groups=8)
    model["twins"].weight.data[40:] = model["twins"].weight.data[3]
    init.constant_(model["flat"].weight, 0.3)
    init.zeros_(model["zero"].weight)
    init.dirac_(model["depthwise"].weight, groups=8)
    model.register_parameter("rows", nn.Parameter(torch.arange(16.0).repeat(5, 1)))
    table = audit(model, exclude=["*.bias"])
    counts = dict(zip(table.path + "." + table.parameter, table.equal_units, strict=True))
    assert counts.pop(".rows") is pd.NA
    assert counts == {"twins.weight": 25, "flat.weight": 8, "zero.weight": 0, "depthwise.weight": 0}
    assert [alarm.split(":")[0] for alarm in alarms(table)] == ["twins.weight", "flat.weight"]
    model.requires_grad_(False)
    assert alarms(audit(model)) == []  # a fixed filter was meant


def test_copied_layers_are_named() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 24, batch_first=True), 2)
    table = audit(encoder).set_index(["path", "parameter"]).equal_to
    assert table["layers.1.linear1", "weight"] == "layers.0.linear1.weight"
    assert table["layers.0.linear1", "weight"] == "" == table["layers.1.norm1", "weight"]
    assert alarms(audit(encoder)) == []


def test_buffers_have_rows_unless_told_otherwise() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    model[0].requires_grad_(False)
    table = audit(model)
    assert list(table.parameter[4:]) == ["running_mean", "running_var", "num_batches_tracked"]
    assert list(table.kind) == ["parameter"] * 4 + ["buffer"] * 3
    assert list(table.trainable) == [False, False, True, True, False, False, False]
    assert totals(table) == "4 parameters with 45 numbers, 10 of them trainable; 3 buffers with 11 numbers"
    assert len(audit(model, buffers=False)) == 4


def test_one_of_a_thing_is_told_in_the_singular() -> None:
    assert totals(audit(nn.PReLU())) == "1 parameter with 1 number, 1 trainable"


@pytest.mark.parametrize(
    ("value", "scheme"), [(1e18, "uninitialized"), (2e-41, "uninitialized"), (math.nan, "not finite")]
)
def test_memory_that_was_never_written_is_alarming(value: float, scheme: str) -> None:
    layer = nn.Linear(30, 20)
    layer.weight.data[0] = value
    layer.register_buffer("held", torch.tensor([value, 1e-35]))
    layer.register_buffer("mask", torch.full((4,), torch.finfo(torch.float32).tiny))  # a constant is meant
    table = audit(layer)
    assert list(table.scheme[[0, 2, 3]]) == [scheme, scheme, "constant"]
    assert [alarm.split(":")[0] for alarm in alarms(table)] == ["weight", "held"]


def test_denormal_numbers_leak_no_warning() -> None:  # a warning is an error here
    for scale in (1e-18, 1e-29):
        assert recognize(scale * torch.randn(600, generator=seeded())).scheme in ("normal", "uninitialized")


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), ["0.weight", "0.bias", "inner.0.weight", "inner.1.weight", "inner.1.bias"]),
        ("inner", (), ["inner.0.weight", "inner.1.weight", "inner.1.bias"]),
        ("*.bias", "inner.*", ["0.bias"]),
        (["LayerNorm", "0.weight"], (), ["0.weight", "inner.1.weight", "inner.1.bias"]),
        ((), ["L*"], ["inner.0.weight"]),
    ],
)
def test_filters_match_names_modules_and_classes(include: object, exclude: object, expected: list[str]) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    model.add_module("inner", nn.Sequential(nn.Embedding(4, 3), nn.LayerNorm(3)))
    assert list(names(audit(model, include=include, exclude=exclude))) == expected  # type: ignore[arg-type]


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
    found = names(audit(spectral, buffers=False))
    assert found == {"bias": "default", "parametrizations.weight.original": "default"}
    found = names(audit(weight_norm))
    assert found["bias"] == found["parametrizations.weight.original1"] == "default"
    torch.testing.assert_close(spectral.state_dict(), before, rtol=0, atol=0)  # the power iteration took no step
    assert torch.equal(torch.get_rng_state(), state)


def test_audit_refuses() -> None:
    with pytest.raises(TypeError, match="an instance, not its class"):
        audit(nn.Linear)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        audit(nn.ReLU())
    with pytest.raises(ValueError, match="include: 'encoder' matches no name or class in this model, such as 'weight'"):
        audit(nn.Linear(3, 2), include="encoder")
    with pytest.raises(ValueError, match=r"exclude = \['Linear'\] leave nothing"):
        audit(nn.Linear(3, 2), exclude="Linear")
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
number = 3
unwritten = torch.nn.Linear(3, 2)
unwritten.weight.data.fill_(1e18)
def deep():
    layer = torch.nn.TransformerEncoderLayer(30, 2, 40, batch_first=True)
    model = torch.nn.Sequential(torch.nn.Embedding(40, 30), torch.nn.TransformerEncoder(layer, 2))
    model.append(torch.nn.BatchNorm1d(30).requires_grad_(False)).append(torch.nn.Linear(30, 300))
    model[3].weight.data.div_(2)
    return model
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
    with pytest.raises(SystemExit) as error:
        runpy.run_path(
            str(inspect.getsourcefile(audit)), run_name="__main__"
        )  # as python -m does, torch being imported
    assert error.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["parameter", "shape", "std", "sigma_w", "scheme"]
    assert lines[1] == "0: Linear" and "default" in lines[2] and "200 x 300" in lines[2] and "not there yet" in lines[5]
    assert lines[-1] == "4 parameters with 60,200 numbers, 60,200 of them trainable" and len(lines) == 8


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_the_command_takes_a_model_a_function_or_a_class(factories: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["my_models:make"]) == 0
    made = capsys.readouterr().out
    main(["my_models:model"])
    assert capsys.readouterr().out == made
    main(["torch.nn:PReLU", "--alpha", "0.01"])
    assert "constant" in capsys.readouterr().out
    with pytest.raises(SystemExit) as error:
        main(["my_models:broken"])
    captured = capsys.readouterr()  # a traceback: not dressed up as a mistake on the command line
    assert error.value.code == 2 and captured.out == "" and captured.err.endswith("ValueError: the factory's own\n")
    assert "usage" not in captured.err and 'my_models.py", line 8, in broken' in captured.err


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_csv_and_json_hold_the_whole_table(factories: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["my_models:make", "--csv"])
    table = pd.read_csv(StringIO(capsys.readouterr().out))
    assert list(table) == COLUMNS and list(table.scheme) == ["default"] * 2 + ["not there yet"] * 2
    main(["my_models:make", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["alarms"] == [] and found["totals"].startswith("4 parameters")
    assert found["rows"][0]["shape"] == [200, 300] and found["rows"][2]["mean"] is None
    assert found["rows"][0]["std"] == pytest.approx(table["std"][0]) and list(found["rows"][0]) == COLUMNS


def test_the_command_passes_on_filters_and_seed(factories: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for seed in ("1", "1", "2"):
        main(["my_models:deep", "--seed", seed, "--include", "1.layers.0", "--include", "3", "--exclude", "*b*"])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2] and "1.layers.0.linear1: Linear" in printed[0]
    assert "norm" in printed[0] and "bias" not in printed[0] and "1.layers.1" not in printed[0]
    main(["my_models:deep", "--no-buffers"])
    assert "running_mean" not in capsys.readouterr().out


def test_what_is_alarming_ends_with_exit_code_one(factories: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["my_models:unwritten"]) == 1
    assert "ALARM weight: no initializer gives numbers of this size" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 60, 200])
def test_no_line_is_wider_than_the_terminal(
    columns: int, factories: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    main(["my_models:deep"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= min(columns, 100)
    for remark in (
        "fan_in is 1; torch.nn.init reads 30",
        "the same numbers as",
        "frozen",
        "a buffer",
        " times ",
    ):
        assert remark in " ".join(text.split()), remark


def test_the_command_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "usage: python -m tutorial_utils.audit [-h]" in text
    for explained in ("Print what every parameter", "what makes one when called", "false-alarm rate", "0.001", "--csv"):
        assert explained in text
    with pytest.raises(SystemExit) as error:
        main(["torch.nn:PReLU", "--alpha", "2"])
    assert error.value.code == 2 and "alpha = 2.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("my_models", "not of the form package.module:factory"),
        ("my_models:", "not of the form"),
        ("my_models:absent", "absent"),
        ("no_such_module:make", "no module 'no_such_module'"),
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
