"""The Laboratory's trainings come out again: a random sample, another one each run."""

import copy
import json
import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import laboratory as experiment
from tutorial_utils import laboratory as lab
from tutorial_utils.data import Split
from tutorial_utils.training import accuracy, train

pytestmark = pytest.mark.slow

SAMPLE = 8
SHAPE = [len(values) for values in lab.AXES.values()]
#: Test digits that may lie so near the border between two classes that rounding decides.
CLOSE = 1
#: Windows by which twins may part earlier or later elsewhere: of 480 on older instructions 13 parted 1 off, and one 2.
STRAY = 4


@pytest.fixture(scope="module")
def data() -> Split:
    return experiment.load_digits()


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return lab.load_results()


@pytest.fixture(scope="module")
def numbers() -> list[int]:
    """A random sample, as many of each norm and depth."""
    choose, groups = random.SystemRandom(), list(product(range(SHAPE[1]), range(SHAPE[2])))
    picks = [
        (choose.randrange(SHAPE[0]), *groups[i % len(groups)], *map(choose.randrange, SHAPE[3:])) for i in range(SAMPLE)
    ]
    return [int(np.ravel_multi_index(pick, SHAPE)) for pick in dict.fromkeys(picks)]


@pytest.fixture(scope="module")
def repeated(numbers: list[int], data: Split) -> dict[str, Any]:
    everything = experiment.configurations()
    return experiment.train([everything[number] for number in numbers], data)


class Arrays(NamedTuple):
    """The stored numbers, a row a training."""

    loss: lab.Codes
    steady: lab.Codes
    right: lab.Codes
    twin_right: lab.Codes

    def is_certain(self, number: int) -> bool:
        """Whether the accuracy does not hang on rounding."""
        wholly = self.steady[number] == len(lab.EDGES) - 1
        return bool(wholly and self.right[number] == self.twin_right[number])


def arrays(results: dict[str, Any]) -> Arrays:
    right = (lab.unpack(results[name], "uint16", -1) for name in ("right", "twin_right"))
    windows = lab.unpack(results["loss"], "uint8", -1, len(lab.EDGES) - 1)
    return Arrays(windows, lab.unpack(results["steady"], "uint8", -1), *right)


def differ(codes: lab.Codes, losses: np.ndarray[Any, Any]) -> bool:
    """Whether stored windows are others than these, which may be off by the share that the twins may differ in."""
    code, share = lab.CODES["loss"], 2 * experiment.AGREE
    low, high = code.encode(losses * (1 - share)), code.encode(losses * (1 + share))
    return bool(((codes < low) | (codes > high)).any())


def problems(results: dict[str, Any], numbers: Sequence[int], repeated: dict[str, Any]) -> Iterator[str]:
    """What is wrong with stored trainings, given what they are when they are repeated."""
    if results["digest"] != experiment.digest(results):
        yield "changed by hand"
    everything = experiment.configurations()
    there = arrays(results)
    for row, number in enumerate(numbers):
        until = there.steady[number]
        if differ(there.loss[number, :until], repeated["loss"][row, :until]):
            yield f"other losses: {everything[number]}"
        if there.is_certain(number) and abs(int(there.right[number]) - int(repeated["right"][row])) > CLOSE:
            yield f"another accuracy: {everything[number]}"
        if abs(int(until) - int(repeated["steady"][row])) > STRAY:
            yield f"steady for another while: {everything[number]}"


def test_a_random_sample_trains_as_stored(stored: dict[str, Any], numbers: list[int], repeated: dict[str, Any]) -> None:
    assert list(problems(stored, numbers, repeated)) == [], "write them again: make laboratory"


def test_the_plain_loop_gives_the_same(stored: dict[str, Any], numbers: list[int], data: Split) -> None:
    everything, there = experiment.configurations(), arrays(stored)
    for number in numbers[::2]:
        run, until = everything[number], there.steady[number]
        network = run.network(data)
        settings = {"lr": run.lr, "steps": lab.STEPS, "batch_size": run.batch_size}
        losses = train(network, data.x_train, data.y_train, generator=run.batches(), **settings)
        (loss,) = experiment.windows(losses.numpy()[None])
        assert not differ(there.loss[number, :until], loss[:until]), run
        if there.is_certain(number):
            found = accuracy(network.eval(), data.x_test, data.y_test) * len(data.y_test)
            assert found == pytest.approx(int(there.right[number]), abs=CLOSE + 0.1), run


def test_the_layers_are_as_stored(stored: dict[str, Any], data: Split) -> None:
    code = lab.CODES["moment"]
    for depth in (2, 5):
        again = experiment.measure_layers(data, depth)
        before = code.decode(lab.unpack(stored["layers"][str(depth)], "uint16", *again.shape))
        assert before == pytest.approx(again, rel=code.error * 1.01, nan_ok=True)


def test_the_stored_results_are_those_of_the_settings(stored: dict[str, Any], data: Split) -> None:
    free = ("python", "torch", "numpy")  # the versions they were computed with
    now = {k: v for k, v in experiment.settings().items() if k not in free}
    assert {k: v for k, v in stored["settings"].items() if k not in free} == now
    assert all(is_version(stored["settings"][name]) for name in free)
    constants = json.loads(json.dumps(experiment.constants()))
    assert {name: stored[name] for name in constants} == constants
    assert stored["test_digits"] == len(data.y_test)


def is_version(text: str) -> bool:
    return all(part.isalnum() for part in text.split("."))


def test_the_file_is_as_the_command_writes_it(stored: dict[str, Any]) -> None:
    assert experiment.RESULTS.read_text(encoding="utf-8") == experiment.text(stored)


def tampers(number: int) -> dict[str, Any]:
    def loss(there: Arrays) -> None:
        there.loss[number, 0] = (int(there.loss[number, 0]) + 3) % 250

    def accuracy(there: Arrays) -> None:
        there.right[number] = there.twin_right[number] = (int(there.right[number]) + 100) % 361
        there.steady[number] = 16

    def chance(there: Arrays) -> None:
        there.steady[number] = (int(there.steady[number]) + 8) % 17

    return {"other losses": loss, "another accuracy": accuracy, "steady for another while": chance}


@pytest.mark.parametrize("problem", tampers(0))
def test_an_edited_file_is_found_out(
    problem: str, stored: dict[str, Any], numbers: list[int], repeated: dict[str, Any]
) -> None:
    results, there = copy.deepcopy(stored), arrays(stored)
    tampers(numbers[-1])[problem](there)
    results |= {name: lab.pack(part) for name, part in there._asdict().items()}
    found = list(problems(results, numbers, repeated))
    assert "changed by hand" in found
    results["digest"] = experiment.digest(results)
    assert f"{problem}: {experiment.configurations()[numbers[-1]]}" in problems(results, numbers, repeated)


def test_the_window_in_which_twins_part() -> None:
    nan, near = float("nan"), 1 + experiment.AGREE / 2
    losses = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, nan], [1.0, nan, nan], [1.0, 2.0, 3.0]])
    others = np.array([[1.0, 2.1, 3.0], [near, 2.0, nan], [1.0, 2.0, nan], [1.0, 2.0, nan]])
    assert experiment.steady(losses, others).tolist() == [1, 3, 1, 2]


def test_the_windows() -> None:
    losses = np.arange(1.0, lab.STEPS + 1)[None]
    assert experiment.windows(losses)[0, [0, 4, -1]].tolist() == [1.0, 5.5, 180.5]
    losses[0, 6] = np.inf
    assert np.isfinite(experiment.windows(losses)[0]).tolist() == [True] * 5 + [False] + [True] * 10


def test_the_data_are_float64_whatever_the_default() -> None:
    torch.set_default_dtype(torch.float32)
    assert experiment.load_digits().x_train.dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32
