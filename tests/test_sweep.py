"""Sweeps: the same numbers however they are cut, run, interrupted and resumed."""

import json
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from randomness import seeded
from torch import nn
from torch.nn import functional

from tutorial_utils import sweep
from tutorial_utils.checkpoint import Checkpoint, Trained
from tutorial_utils.data import Split
from tutorial_utils.optimizers import OPTIMIZERS
from tutorial_utils.propagation import propagate
from tutorial_utils.runs import ACTIVATIONS, Run, grid
from tutorial_utils.sweep import Sweep, propagate_many, train_many, train_stack
from tutorial_utils.training import accuracy, train


def data(*shape: int, dtype: torch.dtype = torch.float64) -> Split:
    x, y = torch.randn(70, *shape, generator=seeded(), dtype=dtype), torch.randint(3, (70,), generator=seeded(1))
    return Split(x[:51], y[:51], x[51:], y[51:])


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


DATA = data(5)
# Four shapes; 15 networks, one of which diverges.
RUNS = [
    *grid(depth=2, width=8, batch_size=4, norm="batch", lr=[0.1, 0.01], seed=range(4)),
    *grid(depth=1, width=4, batch_size=8, activation="silu", momentum=0.9, seed=range(3)),
    *grid(depth=1, width=32, batch_size=4, activation="identity", lr=[0.1, 1e200]),
    *grid(depth=2, width=8, batch_size=4, norm="batch", optimizer="adam", weight_decay=0.01, lr=[0.01, 0.001]),
]
OPTIONS = {"steps": 12, "at": [0, 5, 12]}


@pytest.fixture(scope="module")
def plain() -> Sweep:
    return train_many(RUNS, DATA, **OPTIONS)


@pytest.fixture
def small_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of two, so that even a small sweep has many."""
    monkeypatch.setattr(sweep, "MIN_MEMBERS", 2)
    monkeypatch.setattr(sweep, "CACHE", 0)


@pytest.fixture(autouse=True)
def _threads_are_put_back() -> Iterator[None]:
    number, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    assert torch.get_num_threads() == number and torch.equal(torch.get_rng_state(), state)


def assert_same(found: Sweep, expected: Sweep) -> None:
    """To the bit, NaN included."""
    pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
    pd.testing.assert_frame_equal(found.curves, expected.curves, check_exact=True)
    assert found.losses.tobytes() == expected.losses.tobytes()


def rows(expected: Sweep, places: Sequence[int]) -> Sweep:
    """What a sweep of some of the configurations would have measured."""
    table = expected.table.iloc[places].reset_index(drop=True)
    points = len(expected.curves) // len(expected.table)
    curves = expected.curves.iloc[[points * place + point for place in places for point in range(points)]]
    return Sweep(table, curves.reset_index(drop=True), expected.losses[list(places)])


@pytest.mark.parametrize("shape", [(5,), (2, 4, 3)])
def test_figures_are_those_of_the_plain_loop(shape: tuple[int, ...]) -> None:
    axes = {"norm": ["none", "batch"], "optimizer": ["sgd", "adam"]}
    split, runs = data(*shape), grid(depth=2, width=4, lr=0.03, batch_size=8, **axes)
    part = split.x_train[:10] + 0.1, split.y_train[:10]
    found = train_many(runs, split, steps=70, at=[70, 0], validation=part)
    assert list(found.curves.step) == [0, 70] * 4 and found.losses.shape == (4, 70)
    for number, run in enumerate(runs):
        model, figures = run.network(split), []
        for steps in (0, 70):
            if steps:
                options = {"batch_size": 8, "optimizer": run.optimizer, "generator": run.batches()}
                losses = train(model, split.x_train, split.y_train, lr=run.lr, steps=steps, **options)
                assert found.losses[number] == pytest.approx(losses.numpy(), abs=1e-9)
            model.eval()
            for x, y in (split[:2], split[2:], part):
                figures.append(functional.cross_entropy(model(x), y).item())
                figures.append(accuracy(model, x, y))
            model.train()
        columns = [f"{part}_{metric}" for part in ("train", "test", "valid") for metric in ("loss", "accuracy")]
        curves = found.curves.iloc[2 * number : 2 * number + 2]
        assert curves[columns].to_numpy().ravel() == pytest.approx(figures, abs=1e-9)
        assert found.table.loc[number, columns].to_list() == pytest.approx(figures[6:], abs=1e-9)
        assert found.table.loc[number, "norm"] == run.norm and found.table.loc[number, "optimizer"] == run.optimizer


def test_validation_changes_nothing_else(plain: Sweep) -> None:
    found = train_many(RUNS, DATA, **OPTIONS, validation=(DATA.x_test[:9], DATA.y_test[:9]))
    new = ["valid_loss", "valid_accuracy"]
    assert not {*new} & {*plain.table.columns, *plain.curves.columns}
    kept = (frame.drop(columns=new) for frame in found[:2])
    assert_same(Sweep(*kept, found.losses), plain)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ((DATA.x_test[:, :4], DATA.y_test), r"inputs of shape \(19, 4\) .* but .* inputs of shape \(examples, 5,?\)"),
        ((DATA.x_test.float(), DATA.y_test), r"in torch\.float32 and .* in torch\.float64"),
        ((DATA.x_test, DATA.y_test[1:]), r"labels of shape \(18,\) .* as many labels as inputs"),
        ((DATA.x_test, DATA.y_test + 1), "labels from 0 to 2, as the data"),
        ((DATA.x_test, DATA.y_test - 1), "labels from 0 to 2, as the data"),
        ((DATA.x_test, DATA.y_test.double()), r"in torch\.float64, but"),
        ((DATA.x_test[:0], DATA.y_test[:0]), r"validation has inputs of shape \(0, 5\)"),
    ],
    ids=range(7),
)
def test_a_validation_part_that_does_not_fit_is_refused(validation: sweep.Part, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_many(RUNS[:1], DATA, steps=1, validation=validation)


def test_keys_and_experiments_are_those_of_older_files() -> None:
    """What was stored before there was a choice of optimizers, or a validation part, is found again."""
    assert sweep._key(Run()) == (
        '{"depth": 5, "width": 64, "activation": "relu", "scheme": "kaiming_normal", "scale": 1.0, "lr": 0.1, '
        '"momentum": 0.0, "weight_decay": 0.0, "norm": "none", "batch_size": 64, "seed": 0}'
    )
    assert '"optimizer": "adam"' in sweep._key(Run(optimizer="adam"))
    named = ["steps", "at", "data", "x_train", "y_train", "x_test", "y_test", "dtype", "torch"]
    assert list(json.loads(experiment(OPTIONS, DATA))) == named
    assert experiment(OPTIONS, DATA) != sweep._experiment(
        sweep.Plan(12, (0, 5, 12), "cpu"), DATA, (DATA.x_test, DATA.y_test)
    )


def test_many_examples_are_evaluated_in_pieces(monkeypatch: pytest.MonkeyPatch, plain: Sweep) -> None:
    monkeypatch.setattr(sweep, "EVAL_BATCH", 7)
    found = train_many(RUNS[:3], DATA, **OPTIONS)
    columns = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    pd.testing.assert_frame_equal(found.curves[columns], plain.curves[columns][:9], rtol=1e-12)


def test_divergence_is_flagged_with_its_first_step(plain: Sweep) -> None:
    assert plain.table.diverged.tolist() == [False] * 12 + [True, False, False]
    first = np.flatnonzero(~np.isfinite(plain.losses[12]))[0]
    assert plain.table.diverged_at[12] == first > 0 and plain.table.diverged_at[:12].isna().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_computes_in_the_dtype_of_the_data(dtype: torch.dtype) -> None:
    found = train_many(RUNS[:2], data(5, dtype=dtype), **OPTIONS)
    assert found.losses.dtype == {torch.float32: np.float32, torch.float64: np.float64}[dtype]


def test_the_grid_around_a_configuration_changes_no_bit(plain: Sweep) -> None:
    for places in ([3], [9, 1], [12, 0, 14, 8, 2], list(range(14, -1, -1))):
        assert_same(train_many([RUNS[place] for place in places], DATA, **OPTIONS), rows(plain, places))


def test_repeated_configurations_are_trained_once(plain: Sweep) -> None:
    assert_same(train_many([*RUNS, *RUNS], DATA, **OPTIONS), plain)


@pytest.mark.parametrize("shape", [(5,), (1, 4, 3)])
def test_a_split_for_each_seed_gives_the_bits_that_it_gives_alone(shape: tuple[int, ...], small_stacks: None) -> None:
    """With a validation part for each; a third seed's data is not touched."""
    splits, parts, pixels = {}, {}, math.prod(shape)
    for seed in (0, 1, 7):
        x = torch.randn(71, pixels, generator=seeded(seed), dtype=torch.float64).view(-1, *shape)
        y = torch.randint(3, (71,), generator=seeded(seed)).index_fill(0, torch.tensor([0]), 2)
        splits[seed], parts[seed] = Split(x[:40], y[:40], x[40:61], y[40:61]), (x[61:], y[61:])
    axes = {"depth": 1, "width": 4, "batch_size": 8, "norm": "batch", "lr": [0.1, 0.01]}
    found = train_many(axes | {"seed": [7, 0]}, splits, validation=parts, **OPTIONS)
    for seed in (7, 0):
        places = [place for place, of in enumerate(found.table.seed) if of == seed]
        alone = train_many(axes | {"seed": seed}, splits[seed], validation=parts[seed], **OPTIONS)
        assert_same(rows(found, places), alone)


def test_splits_that_cannot_be_stacked(tmp_path: Path) -> None:
    axes, cut = {"depth": 1, "seed": [0, 1]}, DATA._replace(x_test=DATA.x_test[:5], y_test=DATA.y_test[:5])
    with pytest.raises(ValueError, match=r"seed 1 has no data: there are data for the seeds \[0, 3\]"):
        train_many(axes, {0: DATA, 3: DATA}, steps=1)
    with pytest.raises(ValueError, match=r"the splits have the shapes .* for seed 0, but .*\(5, 5\).* for seed 1"):
        train_many(axes, {0: DATA, 1: cut}, steps=1)
    train_many(axes, {0: DATA, 1: DATA}, steps=1, checkpoint=tmp_path / "sweep")
    with pytest.raises(ValueError, match="another experiment"):
        train_many(axes, DATA, steps=1, checkpoint=tmp_path / "sweep")


@pytest.mark.parametrize(("least", "cache"), [(1, 0), (2, 0), (3, 0), (100, 2**30)])
def test_the_cutting_changes_no_bit(monkeypatch: pytest.MonkeyPatch, plain: Sweep, least: int, cache: int) -> None:
    monkeypatch.setattr(sweep, "MIN_MEMBERS", least)
    monkeypatch.setattr(sweep, "CACHE", cache)
    assert_same(train_many(RUNS, DATA, **OPTIONS), plain)


WIDTHS = st.sampled_from([4, 8, 12, 20, 32])
BATCHES = st.sampled_from([4, 8, 12])
NORMS = st.sampled_from(["none", "batch", "layer"])


@settings(max_examples=20)
@given(
    *(st.integers(1, 7), WIDTHS, BATCHES, st.sampled_from(list(ACTIVATIONS)), NORMS, st.integers(1, 9), st.booleans()),
    *(st.sampled_from(list(OPTIMIZERS)), st.sampled_from([0.0, 0.01])),
)
def test_the_place_in_the_stack_changes_no_bit(
    inputs: int,
    width: int,
    batch_size: int,
    activation: str,
    norm: str,
    members: int,
    double: bool,
    optimizer: str,
    weight_decay: float,
) -> None:
    split = data(inputs, dtype=torch.float64 if double else torch.float32)
    shared = {"depth": 2, "width": width, "batch_size": batch_size, "activation": activation, "norm": norm}
    shared |= {"optimizer": optimizer, "weight_decay": weight_decay}
    runs, plan = [Run(**shared, seed=seed) for seed in range(members)], sweep.Plan(3, (3,), "cpu")
    with threads(1):
        together = train_stack(runs, split, plan)
        apart = [one for run in runs for one in train_stack([run], split, plan)]
    for one, other in zip(together, apart, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def test_images_in_double_precision_change_no_bit(small_stacks: None) -> None:
    runs, split = grid(depth=2, width=4, batch_size=4, norm=["none", "batch"], seed=range(3)), data(1, 4, 4)
    whole = train_many(runs, split, steps=4)
    assert_same(train_many(runs[2:3], split, steps=4), rows(whole, [2]))


@pytest.mark.parametrize("number", [1, 3])
def test_the_number_of_threads_changes_no_bit(plain: Sweep, number: int) -> None:
    with threads(number):
        assert_same(train_many(RUNS, DATA, **OPTIONS), plain)
        assert torch.get_num_threads() == number


def test_an_executor_of_one_s_own(plain: Sweep, small_stacks: None) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert_same(train_many(RUNS, DATA, **OPTIONS, executor=pool), plain)
        assert pool.submit(torch.get_num_threads).result() == 1


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_processes_and_one_that_dies(plain: Sweep, small_stacks: None, tmp_path: Path) -> None:
    options = OPTIONS | {"checkpoint": tmp_path / "sweep.npz"}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert_same(train_many(RUNS[:5], DATA, **options, executor=pool), rows(plain, range(5)))
        pool.submit(die)
        with pytest.raises(BrokenProcessPool):
            train_many(RUNS, DATA, **options, executor=pool)
    assert len(Checkpoint(options["checkpoint"], experiment(OPTIONS, DATA)).trained) == 5
    assert_same(train_many(RUNS, DATA, **options), plain)


def experiment(options: dict[str, Any], split: Split) -> str:
    return sweep._experiment(sweep.Plan(options["steps"], tuple(options["at"]), "cpu"), split)


def test_a_dask_worker_killed_mid_sweep(
    plain: Sweep, small_stacks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Dask starts the lost stacks again; nothing is lost, nothing counted twice."""
    added: list[str] = []
    killed: list[int] = []
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with LocalCluster(**local, silence_logs=50) as cluster, Client(cluster) as client:
        processes = client.run(os.getpid)

        def add_and_kill(self: Checkpoint, trained: dict[str, Trained]) -> None:
            added.extend(trained)
            if not killed:
                killed.append(next(iter(processes.values())))
                os.kill(killed[0], signal.SIGKILL)
            self.trained |= trained

        monkeypatch.setattr(Checkpoint, "add", add_and_kill)
        found = train_many(RUNS, DATA, **OPTIONS, executor=client.get_executor(), checkpoint=tmp_path / "sweep.npz")
        assert killed and killed[0] not in client.run(os.getpid).values()
    assert_same(found, plain)
    assert sorted(added) == sorted(map(sweep._key, RUNS))


def counting(monkeypatch: pytest.MonkeyPatch, fail: Callable[[int], BaseException | None]) -> list[Run]:
    """Record which configurations are trained; before the stack of each number, raise what ``fail`` says."""
    trained: list[Run] = []
    calls: list[int] = []

    def stack(runs: Sequence[Run], *rest: Any) -> list[Trained]:
        calls.append(len(calls))
        if (error := fail(calls[-1])) is not None:
            raise error
        trained.extend(runs)
        return train_stack(runs, *rest)

    monkeypatch.setattr(sweep, "train_stack", stack)
    return trained


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of luck")], ids=repr)
def test_an_interrupted_sweep_resumes(
    monkeypatch: pytest.MonkeyPatch, small_stacks: None, plain: Sweep, tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "sweep.npz"
    with threads(1):
        first = counting(monkeypatch, lambda call: error if call == 3 else None)
        with pytest.raises(type(error)):
            train_many(RUNS, DATA, **OPTIONS, checkpoint=path)
        kept = set(Checkpoint(path, experiment(OPTIONS, DATA)).trained)
        assert kept and kept <= set(map(sweep._key, first))
        second = counting(monkeypatch, lambda _: None)
        assert_same(train_many(RUNS, DATA, **OPTIONS, checkpoint=path), plain)
        assert {sweep._key(run) for run in second} == set(map(sweep._key, RUNS)) - kept
        third = counting(monkeypatch, lambda _: None)
        assert_same(train_many(RUNS[::-1], DATA, **OPTIONS, checkpoint=path), rows(plain, range(14, -1, -1)))
        assert not third and len(set(second)) == len(second)


class Inline(Executor):
    """Everything is finished, or has failed, before the sweep looks."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **options))
        except RuntimeError as error:
            future.set_exception(error)
        return future


def test_what_is_finished_when_another_fails_is_kept(
    monkeypatch: pytest.MonkeyPatch, small_stacks: None, tmp_path: Path
) -> None:
    trained = counting(monkeypatch, lambda call: RuntimeError("out of luck") if call == 1 else None)
    with pytest.raises(RuntimeError, match="out of luck"):
        train_many(RUNS, DATA, **OPTIONS, checkpoint=tmp_path / "sweep.npz", executor=Inline())
    kept = Checkpoint(tmp_path / "sweep.npz", experiment(OPTIONS, DATA)).trained
    assert sorted(kept) == sorted(map(sweep._key, trained)) and 0 < len(kept) < len(RUNS)


@pytest.mark.parametrize(
    ("options", "split"),
    [
        ({"steps": 13}, DATA),
        ({"at": [0, 12]}, DATA),
        ({}, data(5, dtype=torch.float32)),
        ({}, Split(DATA.x_train[:, :, None, None], DATA.y_train, DATA.x_test[:, :, None, None], DATA.y_test)),
        ({}, DATA._replace(y_test=DATA.y_test.flip(0))),
    ],
)
def test_a_store_serves_one_experiment(tmp_path: Path, options: dict[str, Any], split: Split) -> None:
    train_many(RUNS[:1], DATA, **OPTIONS, checkpoint=tmp_path / "sweep.npz")
    with pytest.raises(ValueError, match=r"sweep\.npz' holds another experiment"):
        train_many(RUNS[:1], split, **OPTIONS | options, checkpoint=tmp_path / "sweep.npz")


@pytest.mark.parametrize(("optimizer", "per_weight"), [("sgd", 4), ("adam", 6)])
def test_stacks_keep_to_the_memory(
    plain: Sweep, monkeypatch: pytest.MonkeyPatch, optimizer: str, per_weight: int
) -> None:
    monkeypatch.setattr(sweep, "CACHE", 2**30)
    run, executor = Run(depth=2, width=32, batch_size=4, optimizer=optimizer), ThreadPoolExecutor(1)
    runs = grid(depth=2, width=32, batch_size=4, optimizer=optimizer, seed=range(100))
    each = 8 * (per_weight * (5 * 32 + 32 + 32 * 32 + 32 + 32 * 3 + 3) + (3 * (4 * 32 + 3) + 2 * 5) * 256)
    sizes = {budget: [len(c) for c in sweep._chunks(runs, DATA, budget, executor)] for budget in (2 * each, 9 * each)}
    assert {max(chunk) for chunk in sizes.values()} == {1, 8} and {sum(chunk) for chunk in sizes.values()} == {100}
    with pytest.raises(
        ValueError,
        match=rf"one network of {run!r} takes about {2 * each:,} bytes, but".replace("(", r"\(").replace(")", r"\)"),
    ):
        train_many([run], DATA, steps=1, memory=2 * each - 1, executor=executor)
    assert_same(train_many(RUNS, DATA, **OPTIONS, memory=2**22), plain)


def test_workers_share_the_memory_and_the_work() -> None:
    runs, pool = grid(width=32, seed=range(32)), ThreadPoolExecutor(4)
    assert [len(chunk) for chunk in sweep._chunks(runs, DATA, 2**29, pool)] == [8, 8, 8, 8]
    with pytest.raises(ValueError, match="but memory allows 250,000 a worker"):
        sweep._chunks(runs, DATA, 10**6, pool)


def test_the_bar_counts_networks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    train_many(RUNS, DATA, steps=1)
    assert capsys.readouterr().err == ""
    train_many(RUNS, DATA, steps=1, progress=True)
    assert "15/15" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": []}, "runs is empty"),
        ({"runs": Run()}, r"runs = Run\(.*\), but it must be a list of runs or the axes"),
        ({"runs": {"learning_rate": 1}}, "axis 'learning_rate', but"),
        ({"steps": 0}, "steps = 0, at = None: at least one step, and evaluations from 0 to 0"),
        ({"at": []}, r"steps = 3, at = \[\]: at least"),
        ({"at": [4]}, r"at = \[4\]"),
        ({"at": [-1]}, r"at = \[-1\]"),
        ({"at": [0.5]}, r"at = \[0.5\]"),
        ({"device": "meta"}, "device = 'meta', but it must be one that torch computes on here: "),
        ({"device": "cup"}, "device = 'cup', but it must be one that torch computes on here: "),
    ],
)
def test_bad_input_is_repeated_in_the_error(arguments: dict[str, Any], message: str) -> None:
    given_ = {"runs": RUNS[:1], "steps": 3} | arguments
    with pytest.raises(ValueError, match=message):
        train_many(given_.pop("runs"), DATA, **given_)


def test_steps_may_come_from_numpy(tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": np.int64(4), "at": np.arange(0, 5, 2), "device": "cpu"}
    found = train_many({"depth": 1}, DATA, **options, checkpoint=tmp_path / "sweep.npz")
    assert found.curves.step.tolist() == [0, 2, 4]


# Rounding alone may differ: the engine sums in another order.
@settings(max_examples=12)
@given(
    st.sampled_from([(5,), (2, 4, 3)]),
    st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True),
    st.sampled_from(list(ACTIVATIONS)),
    st.sampled_from(["none", "batch", "layer"]),
    st.booleans(),
)
def test_propagate_many_is_propagate(
    shape: tuple[int, ...], depths: list[int], activation: str, norm: str, all_layers: bool
) -> None:
    norm = "batch" if len(shape) == 3 and norm == "layer" else norm
    axes = {"width": 4, "activation": activation, "norm": norm, "scheme": ["xavier_normal", "orthogonal"]}
    split, runs = data(*shape), grid(**axes, seed=[0, 1], depth=depths, scale=1.5)
    layers: dict[str, Any] = {"layers": (nn.Module,) if all_layers else (nn.Linear, nn.Conv2d)}
    found = propagate_many(runs, split, examples=20, **layers)
    assert len(found.groupby(["scheme", "seed", "depth"])) == len(runs)
    x, y = split.x_train[:20], split.y_train[:20]
    for run in runs:
        own = (found.scheme == run.scheme) & (found.seed == run.seed) & (found.depth == run.depth)
        layers = {"layers": tuple(ACTIVATIONS_AND_LAYERS)} if all_layers else layers
        expected = propagate(run.network(split), x, lambda out: functional.cross_entropy(out, y), **layers)
        kept = found[own][expected.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, expected, rtol=1e-9, atol=1e-12)


ACTIVATIONS_AND_LAYERS = [
    *(type(make()) for make in ACTIVATIONS.values()),
    *(nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.AdaptiveAvgPool2d, nn.Flatten),
]


def test_propagate_many_keeps_to_its_limits() -> None:
    for examples in (0, 52):
        with pytest.raises(ValueError, match=f"examples = {examples}, but there are 51 to take them from"):
            propagate_many(RUNS, DATA, examples=examples)
    with pytest.raises(ValueError, match="but memory allows 1,000 a worker"):
        propagate_many(RUNS, DATA, examples=51, memory=1000 * torch.get_num_threads())
    with pytest.raises(ValueError, match="runs is empty"):
        propagate_many([], DATA)
