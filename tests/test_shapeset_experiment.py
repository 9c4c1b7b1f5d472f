"""The stored Shapeset column: what the command writes, and that a part of it comes out again."""

import copy
import json
from itertools import product
from typing import Any

import pytest
import torch

import shapeset as experiment
from tutorial_utils import shapeset as module
from tutorial_utils.runs import Run

pytestmark = pytest.mark.slow

CELLS = list(product(experiment.ACTIVATIONS, experiment.INITS))
TOLERANCE = 1e-3
"""Of a loss after at most twenty updates in float32, on another processor."""


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return module.load_table1()


@pytest.fixture(scope="module")
def repeated(stored: dict[str, Any]) -> list[tuple[list[float], int]]:
    """Every stored network trained again, up to the first of the updates that are judged."""
    runs = [configuration(row) for row in stored["runs"]]
    trained = experiment.train(runs, experiment.TEST, updates=experiment.CHECKED)
    return [(one.losses.tolist(), int(one.evaluations[0])) for one in trained]


def configuration(row: dict[str, Any]) -> Run:
    (run,) = experiment.configurations(row["activation"], row["init"], lr=row["lr"], seed=row["seed"])
    return run


def problems(results: dict[str, Any], repeated: list[tuple[list[float], int]]) -> list[str]:
    """What is wrong with stored results."""
    found = [] if results["digest"] == experiment.digest(results) else ["changed by hand"]
    for row, (losses, wrong) in zip(results["runs"], repeated, strict=True):
        name = f"{row['activation']} {row['init']}, seed {row['seed']}"
        if row["losses"] != pytest.approx(losses, rel=TOLERANCE):
            found.append(f"{name}: other losses")
        if row["errors"][0] != pytest.approx(wrong, abs=experiment.HELD_OUT / 200):
            found.append(f"{name}: other errors")
        if row["lr"] != experiment.best(results["tuning"][f"{row['activation']} {row['init']}"]):
            found.append(f"{name}: not the rate of the rule")
    return found


def test_the_stored_networks_train_as_stored(stored: dict[str, Any], repeated: list[tuple[list[float], int]]) -> None:
    assert problems(stored, repeated) == [], "write them again: make shapeset"


def test_the_stored_results_are_those_of_the_settings(stored: dict[str, Any]) -> None:
    free = ("torch", "numpy")  # the versions they were computed with
    now = json.loads(json.dumps(experiment.settings()))
    assert {k: v for k, v in stored["settings"].items() if k not in free} == {
        k: v for k, v in now.items() if k not in free
    }
    expected = [(name, init, seed) for (name, init), seed in product(CELLS, experiment.SEEDS)]
    assert [(row["activation"], row["init"], row["seed"]) for row in stored["runs"]] == expected
    assert all(len(row["errors"]) == len(experiment.AT) for row in stored["runs"])
    assert set(stored["tuning"]) == {f"{name} {init}" for name, init in CELLS}


def test_the_file_is_small_and_as_the_command_writes_it() -> None:
    text = experiment.RESULTS.read_text(encoding="utf-8")
    assert len(text) < 100_000
    assert text == experiment.text(json.loads(text))


def tampers() -> dict[str, Any]:
    def last(results: dict[str, Any]) -> None:
        results["runs"][5]["errors"][-1] -= 1

    def early(results: dict[str, Any]) -> None:
        results["runs"][5]["losses"][3] *= 1.01
        results["digest"] = experiment.digest(results)

    def swapped(results: dict[str, Any]) -> None:
        a, b = (results["runs"][i] for i in (0, len(experiment.SEEDS)))
        a["losses"], b["losses"] = b["losses"], a["losses"]
        results["digest"] = experiment.digest(results)

    def rate(results: dict[str, Any]) -> None:
        counts = results["tuning"]["tanh standard"]
        best = str(experiment.best(counts))
        counts[best] = [experiment.HELD_OUT] * len(counts[best])
        results["digest"] = experiment.digest(results)

    return {
        "changed by hand": last,
        "softsign standard, seed 5: other losses": early,
        "softsign normalized, seed 0: other losses": swapped,
        "tanh standard, seed 0: not the rate of the rule": rate,
    }


@pytest.mark.parametrize("problem", tampers())
def test_an_edited_file_is_found_out(
    problem: str, stored: dict[str, Any], repeated: list[tuple[list[float], int]]
) -> None:
    results = copy.deepcopy(stored)
    tampers()[problem](results)
    assert problem in problems(results, repeated)


def test_each_seed_has_a_stream_of_its_own_and_sees_each_image_once() -> None:
    some = [x for x, _ in experiment.minibatches([3, 4], experiment.BLOCK + 2)]
    x = torch.stack(some)
    assert x.shape == (experiment.BLOCK + 2, 2, experiment.BATCH, 1024)
    assert len(x.flatten(0, 2).unique(dim=0)) == x[..., 0].numel()


def test_what_a_network_learns_does_not_depend_on_its_company() -> None:
    crowd = [run for name, init in CELLS for run in experiment.configurations(name, init, lr=0.1, seed=[0, 1])]
    together = experiment.train(crowd, experiment.TEST, updates=5)
    (alone,) = experiment.train([crowd[5]], experiment.TEST, updates=5)
    assert alone.losses == pytest.approx(together[5].losses, rel=1e-4)


def test_the_rule_takes_the_smallest_mean_error() -> None:
    assert experiment.best({"0.01": [30, 10], "0.1": [15, 12], "0.3": [9, 40]}) == 0.1
