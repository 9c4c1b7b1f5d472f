"""The Laboratory's file: its codes, its size, its tables, and the code that repeats a training."""

import contextlib
import io
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tutorial_utils import laboratory as lab
from tutorial_utils.runs import Run

FILE = Path(lab.__file__).with_name("laboratory.json")
PLACES = list(pd.MultiIndex.from_product(list(lab.AXES.values())))


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return lab.load_results()


@pytest.fixture(scope="module")
def trainings() -> pd.DataFrame:
    return lab.trainings()


def number(place: tuple[Any, ...]) -> int:
    """Where a training lies in the arrays, as a page finds it."""
    found = 0
    for values, value in zip(lab.AXES.values(), place, strict=True):
        found = len(values) * found + values.index(value)
    return found


@pytest.mark.parametrize("code", lab.CODES.values(), ids=lab.CODES)
@given(data=st.data())
def test_a_coded_number_is_off_by_the_stated_share_at_most(code: lab.Code, data: st.DataObject) -> None:
    value = data.draw(st.floats(code.low, code.high))
    (back,) = code.decode(code.encode(np.array([value])))
    assert max(back / value, value / back) <= 1 + code.error * (1 + 1e-9)


@pytest.mark.parametrize("code", lab.CODES.values(), ids=lab.CODES)
def test_the_stated_share_is_no_larger_than_it_must_be(code: lab.Code) -> None:
    values = np.geomspace(code.low, code.high, 10**6)
    assert (code.decode(code.encode(values)) / values).max() > 1 + 0.99 * code.error


@pytest.mark.parametrize("code", lab.CODES.values(), ids=lab.CODES)
def test_the_ends_of_a_code(code: lab.Code) -> None:
    values = np.array([0.0, code.low / 10, code.low, code.high, code.high * 10, math.inf, math.nan])
    codes = code.encode(values)
    assert codes.dtype == code.dtype
    assert codes.tolist() == [0, 0, 0, code.last, code.last, code.last + 1, code.last + 1]
    assert code.decode(codes) == pytest.approx([code.low] * 3 + [code.high] * 2 + [math.nan] * 2, rel=1e-9, nan_ok=True)


@given(array=st.sampled_from(["uint8", "uint16"]).flatmap(lambda kind: arrays(kind, array_shapes())))
def test_what_is_packed_is_unpacked(array: lab.Codes) -> None:
    back = lab.unpack(lab.pack(array), str(array.dtype), *array.shape)
    assert back.dtype == array.dtype
    assert (back == array).all()


def test_the_order_of_the_axes_does_not_hang_on_the_memory() -> None:
    array = np.arange(6, dtype="uint16").reshape(2, 3)
    assert lab.pack(np.asfortranarray(array)) == lab.pack(array)
    assert lab.unpack(lab.pack(array.astype(">u2")), "uint16", 6).tolist() == list(range(6))


def test_the_file_is_small_and_holds_thousands_of_trainings(stored: dict[str, Any]) -> None:
    assert FILE.stat().st_size < 500_000
    assert len(PLACES) >= 5_000
    assert len(lab.unpack(stored["loss"], "uint8", -1)) == len(PLACES) * (len(lab.EDGES) - 1)
    assert set(stored["layers"]) == set(map(str, lab.AXES["depth"]))


def test_every_training_has_its_row(stored: dict[str, Any], trainings: pd.DataFrame) -> None:
    """At a random place, the tables say what a page reads from the arrays."""
    place = random.SystemRandom().choice(PLACES)
    at, windows = number(place), len(lab.EDGES) - 1
    (row,) = trainings[(trainings[list(lab.AXES)] == list(place)).all(axis=1)].to_dict("records")
    curve = lab.curves().iloc[at * windows : (at + 1) * windows]
    codes = lab.unpack(stored["loss"], "uint8", -1)[at * windows : (at + 1) * windows]
    losses = [math.nan if k == 255 else 10 ** (6 * k / 254 - 3) for k in codes.tolist()]
    assert [tuple(values) for values in curve[list(lab.AXES)].to_numpy()] == [place] * windows, place
    assert curve.step.tolist() == lab.EDGES[1:]
    assert curve.loss.to_list() == pytest.approx(losses, nan_ok=True), place
    assert row["loss"] == pytest.approx(losses[-1], nan_ok=True), place
    assert row["accuracy"] == lab.unpack(stored["right"], "uint16", -1)[at] / 360, place
    assert row["twin_accuracy"] == lab.unpack(stored["twin_right"], "uint16", -1)[at] / 360, place
    assert row["steady"] == lab.EDGES[lab.unpack(stored["steady"], "uint8", -1)[at]], place
    assert row["diverged"] == (255 in codes), place
    assert row["trained"] == (row["accuracy"] >= 0.5), place


def test_what_must_be_so_is_so(trainings: pd.DataFrame) -> None:
    """No logits, so a loss of ln 10; one stream of minibatches a seed; and what diverged has not trained."""
    first = lab.curves().query("step == 1 and init == 'normal_0.01' and norm == 'none'")
    assert np.allclose(first.loss, math.log(10), rtol=0.03)
    assert not trainings[trainings.diverged].trained.any()
    assert trainings.accuracy.between(0, 1).all()
    assert (trainings.steady >= 1).all()
    wholly = trainings[trainings.steady == 200]
    assert np.isclose(wholly.accuracy, wholly.twin_accuracy, atol=1.5 / 360).mean() > 0.99
    rates = lab.curves().query("step == 1").groupby([name for name in lab.AXES if name != "lr"]).loss
    assert (rates.nunique() == 1).all()


def test_the_layers_table(stored: dict[str, Any]) -> None:
    table = lab.layers()
    assert len(table) == sum(depth + 1 for depth in lab.AXES["depth"]) * 4 * len(lab.NORMS) * 6 * 2
    assert ((table.low <= table["median"]) & (table["median"] <= table.high)).all()
    (row,) = table.query(
        "activation == 'tanh' and norm == 'batch' and depth == 5 and init == 'default'"
        " and statistic == 'grad_second_moment' and layer == 2"
    ).to_dict("records")
    block = lab.unpack(stored["layers"]["5"], "uint16", 4, len(lab.NORMS), 6, 2, 3, 6)[1, 1, 1, 1, :, 1]
    expected = [10 ** (200 * k / 65534 - 150) for k in block.tolist()]
    assert [row["low"], row["median"], row["high"]] == pytest.approx(expected)


def test_an_initialization_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r"init = 'he', but it must be one of normal_0\.01, default"):
        lab.configuration(init="he", activation="relu", norm="none", depth=2, lr=0.1, seed=0)


@pytest.mark.parametrize("field", ["momentum", "weight_decay"])
def test_the_code_is_for_plain_sgd(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}=0.5.*plain SGD"):
        lab.snippet(Run(**{field: 0.5}))


def test_the_code_is_short_and_complete() -> None:
    code = lab.snippet(lab.configuration(init="normal_1", activation="gelu", norm="batch", depth=30, lr=3.0, seed=4))
    assert len(code.splitlines()) <= 16
    assert max(map(len, code.splitlines())) <= 84
    assert "$" not in code


def printed(code: str) -> tuple[float, int]:
    """The two numbers that a snippet prints, by running it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    loss, right = re.fullmatch(
        r"mean loss of the last 40 steps: (.*)\ntest digits right: (\d+) of 360\n", out.getvalue()
    ).groups()
    return float(loss), int(right)


def test_the_code_prints_what_is_stored(trainings: pd.DataFrame) -> None:
    """For a training that does not depend on rounding errors, another one each time."""
    table = trainings.query("steady == 200 and accuracy == twin_accuracy and not diverged and 0.001 < loss < 1000")
    row = table.iloc[random.SystemRandom().randrange(len(table))]
    place = {name: row[name] for name in lab.AXES}
    loss, right = printed(lab.snippet(lab.configuration(**place)))
    assert loss == pytest.approx(row.loss, rel=lab.CODES["loss"].error + 0.01), place
    assert right == pytest.approx(360 * row.accuracy, abs=1.5), place


def test_the_constants_in_the_file_are_those_of_the_module(stored: dict[str, Any]) -> None:
    names = ("axes", "inits", "edges", "layer_axes", "statistics", "quantiles", "trained", "snippet")
    assert {name: stored[name] for name in names} == {name: getattr(lab, name.upper()) for name in names}
    assert list(stored["axes"]) == list(lab.AXES)
    assert {name: lab.Code(**code) for name, code in stored["codes"].items()} == lab.CODES
    assert json.loads(FILE.read_text(encoding="utf-8"))["settings"] == stored["settings"]
