"""Every parameterized class of the installed torch.nn has a row, and every row is what reading the source predicts."""

import linecache
import math
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from randomness import std_bound
from torch import nn

from tutorial_utils import defaults as module
from tutorial_utils.defaults import EXAMPLES, defaults, parameterized_classes

ONES_AND_ZEROS = {"weight": "ones", "bias": "zeros"}
ALL_DEFAULT = {"weight": "default", "bias": "default"}
# Read from torch's source by hand: the class that owns a parameter, the parameter's last name, its distribution.
STARTS = {
    "Linear": ALL_DEFAULT,
    "NonDynamicallyQuantizableLinear": {"weight": "default", "bias": "zeros"},  # of attention, which clears the bias
    "Bilinear": {"weight": "bilinear_default", "bias": "bilinear_default"},
    **{f"Conv{kind}{n}d": ALL_DEFAULT for n in (1, 2, 3) for kind in ("", "Transpose")},
    "Embedding": {"weight": "normal_1"},
    "EmbeddingBag": {"weight": "normal_1"},
    "MultiheadAttention": {
        **{f"{one}_proj_weight": "xavier_uniform" for one in ("in", "q", "k", "v")},
        "in_proj_bias": "zeros",
        "bias_k": "xavier_normal",
        "bias_v": "xavier_normal",
    },
    **{f"{kind}Norm{n}d": ONES_AND_ZEROS for n in (1, 2, 3) for kind in ("Batch", "Instance")},
    **dict.fromkeys(("SyncBatchNorm", "LayerNorm", "GroupNorm"), ONES_AND_ZEROS),
    "RMSNorm": {"weight": "ones"},
    "PReLU": {"weight": "constant"},
}
RECURRENT = r"(weight|bias)_(ih|hh|hr)(_l0)?"


def expected(row: "pd.Series[str]", dimensions: int) -> str:
    """What the source says about one row."""
    if re.match(r"RNN|LSTM|GRU", row.owner):
        return "rnn_default" if re.fullmatch(RECURRENT, row.parameter) else "no such parameter"
    if row["class"] == "Transformer" and dimensions > 1:
        return "xavier_uniform"
    return STARTS[row.owner][row.parameter.rpartition(".")[2]]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    torch.manual_seed(0)
    return defaults()


def test_every_parameterized_class_has_an_example_and_every_example_its_class() -> None:
    assert sorted({key.partition(",")[0] for key in EXAMPLES}) == parameterized_classes()
    assert len(parameterized_classes()) >= 50


def test_every_example_is_of_its_class_or_was_its_lazy_form() -> None:
    for key, build in EXAMPLES.items():
        name = key.partition(",")[0]
        assert type(build()).__name__ == name.removeprefix("Lazy"), key


def test_every_example_has_a_row_for_each_of_its_parameters(table: pd.DataFrame) -> None:
    for key, rows in table.groupby("class"):
        assert sorted(rows.parameter) == sorted(name for name, _ in EXAMPLES[str(key)]().named_parameters())
    assert set(table["class"]) == set(EXAMPLES)


def test_every_row_is_what_the_source_says(table: pd.DataFrame) -> None:
    for _, row in table.iterrows():
        assert row.distribution == expected(row, len(row["shape"])), (row["class"], row.parameter)


def test_the_measured_deviation_is_the_predicted(table: pd.DataFrame) -> None:
    for _, row in table.iterrows():
        kurtosis = 3.0 if "normal" in row.distribution else 1.8
        bound = std_bound(math.prod(row["shape"]), kurtosis)
        assert row.std_measured == pytest.approx(row.std_predicted, rel=bound, abs=0), (row["class"], row.parameter)


@pytest.mark.parametrize(
    ("name", "parameter", "variance"),
    [
        ("Linear", "bias", 1 / (3 * 60)),
        ("Bilinear", "weight", 1 / (3 * 20)),
        ("Conv2d", "weight", 1 / (3 * 20 * 9)),
        ("ConvTranspose2d", "weight", 1 / (3 * 400 * 9)),
        ("LSTM", "weight_ih_l0", 1 / (3 * 90)),
        ("MultiheadAttention", "in_proj_weight", 1 / (2 * 512)),
        ("MultiheadAttention", "bias_k", 1 / 512),
        ("MultiheadAttention, kdim", "q_proj_weight", 1 / 512),
        ("MultiheadAttention, kdim", "k_proj_weight", 2 / (512 + 128)),
        ("Transformer", "encoder.layers.0.linear1.weight", 2 / (64 + 96)),
        ("TransformerEncoder", "layers.0.linear1.weight", 1 / (3 * 64)),
        ("PReLU", "weight", 0.0),
    ],
)
def test_the_predicted_deviation_by_hand(table: pd.DataFrame, name: str, parameter: str, variance: float) -> None:
    row = table.set_index(["class", "parameter"]).loc[(name, parameter)]
    assert row.std_predicted == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_the_constant_is_in_the_formula(table: pd.DataFrame) -> None:
    assert table.set_index("class").formula["PReLU"] == "0.25"
    assert not set(table.formula) & {"undecided", "unknown", "constant"}


def test_every_source_is_a_line_that_writes(table: pd.DataFrame) -> None:
    for source in set(table.source) - {"copied"}:
        path, _, line = source.partition(":")
        text = linecache.getline(str(Path(torch.__file__).parent / path), int(line))
        assert re.search(r"init\.|xavier_|constant_|fill_", text), (source, text)


def test_only_stacks_of_transformer_layers_are_copied(table: pd.DataFrame) -> None:
    copied = table[table.source == "copied"]
    assert set(copied["class"]) == {"TransformerEncoder", "TransformerDecoder", "Transformer"}
    assert copied.parameter.str.contains("layers.0.", regex=False).all()


class Owner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class OwnerOnDemand(nn.Module):
    def __init__(self, affine: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1)) if affine else None


class Unbuildable(nn.Module):
    def __init__(self, something_new: int) -> None:
        super().__init__()


class Plain(nn.Module):
    pass


@pytest.mark.parametrize(("kind", "counted"), [(Owner, 1), (OwnerOnDemand, 1), (Unbuildable, 1), (Plain, 0)])
def test_a_class_of_a_newer_torch_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module], counted: int
) -> None:
    monkeypatch.setattr(nn, "Newest", kind, raising=False)
    assert parameterized_classes().count("Newest") == counted


def test_a_changed_default_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(self: nn.Linear) -> None:
        nn.init.kaiming_normal_(self.weight)

    monkeypatch.setattr(nn.Linear, "reset_parameters", other)
    monkeypatch.setattr(module, "EXAMPLES", {"Linear": lambda: nn.Linear(60, 150, bias=False)})
    assert list(defaults().distribution) == ["kaiming_normal"]


def test_alpha_must_be_a_rate() -> None:
    with pytest.raises(ValueError, match="alpha = 2"):
        defaults(alpha=2)
