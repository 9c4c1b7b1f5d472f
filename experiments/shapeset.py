"""The Shapeset column of table 1 of Glorot and Bengio (2010), with narrower networks and fewer updates.

    make shapeset

As in the paper: five hidden layers, plain SGD on minibatches of 10 images that are seen once (each seed has a stream of
its own), and one learning rate for each cell of the table. The rule for the rate, fixed beforehand: of RATES the one
with the smallest mean error on the validation images after all updates, over TUNING_SEEDS, which serve nothing else.
The table then counts errors on the test images over SEEDS. Not as in the paper: WIDTH and UPDATES.

The command writes RESULTS, a file of the package, which the appendix on Glorot's table 1 reads; it takes minutes, and
goes on where it was stopped. A test repeats the first updates of every network. It computes in float32, so on another
processor late counts may differ.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from tutorial_utils.checkpoint import Checkpoint, Trained
from tutorial_utils.data import Split
from tutorial_utils.runs import Run, grid
from tutorial_utils.shapeset import shapeset
from tutorial_utils.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "src" / "tutorial_utils" / "shapeset.json"
CHECKPOINT = ROOT / "build" / "shapeset.npz"

ACTIVATIONS = ("softsign", "tanh", "sigmoid")
#: The paper's equations 1 and 16; the first is LeCun's uniform start with a third of its variance.
INITS: dict[str, dict[str, Any]] = {
    "standard": {"scheme": "lecun_uniform", "scale": 3**-0.5},
    "normalized": {"scheme": "xavier_uniform"},
}
DEPTH, WIDTH, BATCH, UPDATES = 5, 64, 10, 10_000
RATES = (0.01, 0.03, 0.1, 0.3)
SEEDS, TUNING_SEEDS = range(12), range(100, 102)
HELD_OUT = 5_000
#: The streams of images by number: test, validation, and from TRAINING on one for each seed.
TEST, VALIDATION, TRAINING = 1, 2, 10_000
#: The updates whose losses are kept, for the test to repeat.
CHECKED = 20
#: The updates after which held-out images are judged.
AT = (CHECKED, 500, 1_000, 2_000, 3_000, 4_000, 6_000, 8_000, UPDATES)
NETWORKS = 36  # at most, side by side in one process
#: The settings that may be extended without training again what the checkpoint has.
GROWING = ("rates", "seeds", "tuning_seeds")
BLOCK = 50  # updates whose images are drawn at once


def configurations(activation: str, init: str, **axes: Any) -> list[Run]:
    """The networks of one cell of the table."""
    return grid(depth=DEPTH, width=WIDTH, batch_size=BATCH, activation=activation, **INITS[init], **axes)


def images(stream: int, n: int = HELD_OUT) -> Split:
    """The first n images of a stream, as a data set that is all held out."""
    x, y = shapeset(n, generator=torch.Generator().manual_seed(stream))
    return Split(x[:0], y[:0], x, y)


def minibatches(seeds: Sequence[int], updates: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Each update's new images: x (seeds, BATCH, features) and y (seeds, BATCH)."""
    streams = [torch.Generator().manual_seed(TRAINING + seed) for seed in seeds]
    for start in range(0, updates, BLOCK):
        count = BATCH * min(BLOCK, updates - start)
        drawn = zip(*(shapeset(count, generator=stream) for stream in streams), strict=True)
        x, y = (torch.stack(parts).unflatten(1, (-1, BATCH)).unbind(1) for parts in drawn)
        yield from zip(x, y, strict=True)


def errors(stack: Stack, held_out: Split) -> Tensor:
    """How many held-out images each member gets wrong."""
    pieces = zip(held_out.x_test.split(250), held_out.y_test.split(250), strict=True)
    return torch.stack([(len(y) * (1 - stack.evaluate(x, y)[1])).round() for x, y in pieces]).sum(0)


def train(runs: Sequence[Run], held_out: int, updates: int = UPDATES) -> list[Trained]:
    """Train networks, each on the stream of its seed.

    Args:
        runs: what to train.
        held_out: the stream of the images that are judged.
        updates: number of updates.

    Returns:
        For each configuration the losses of the first CHECKED minibatches, and the number of errors at AT.
    """
    torch.set_num_threads(1)
    data, seeds = images(held_out), sorted({run.seed for run in runs})
    members = [[i for i, run in enumerate(runs) if run.activation == name] for name in ACTIVATIONS]
    lanes = [torch.tensor(group) for group in members if group]
    networks = [run.network(data) for run in runs]
    stacks = [Stack([networks[i] for i in lane], lr=[runs[i].lr for i in lane]) for lane in lanes]
    stream = torch.tensor([seeds.index(run.seed) for run in runs])
    losses, wrong = torch.zeros(len(runs), CHECKED), torch.zeros(len(runs), len(AT))
    for update, (x, y) in enumerate(minibatches(seeds, updates), start=1):
        for lane, stack in zip(lanes, stacks, strict=True):
            loss = stack.step(x[stream[lane]], y[stream[lane]])
            if update <= CHECKED:
                losses[lane, update - 1] = loss
            if update in AT:
                wrong[lane, AT.index(update)] = errors(stack, data)
    return [Trained(*rows) for rows in zip(losses.numpy(), wrong.numpy(), strict=True)]


def train_all(runs: Sequence[Run], held_out: int, keep: Checkpoint) -> list[Trained]:
    """Train what is not in the checkpoint yet, some seeds at a time, on all processors; the results in order."""
    missing = [run for run in runs if str(run) not in keep.trained]
    seeds = sorted({run.seed for run in missing})
    size = max(1, NETWORKS * len(seeds) // max(1, len(missing)))
    groups = [set(seeds[start : start + size]) for start in range(0, len(seeds), size)]
    with (
        ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool,
        tqdm(total=len(missing), unit="network") as bar,
    ):
        work = [[run for run in missing if run.seed in group] for group in groups]
        running = {pool.submit(train, some, held_out): some for some in work}
        for future in as_completed(running):
            keep.add(dict(zip(map(str, running[future]), future.result(), strict=True)))
            keep.save()
            bar.update(len(running[future]))
    return [keep.trained[str(run)] for run in runs]


def choose_rates(keep: Checkpoint) -> dict[str, dict[str, list[int]]]:
    """For each cell and rate the number of errors on the validation images, one for each tuning seed."""
    cells = list(product(ACTIVATIONS, INITS, RATES))
    runs = [c for name, init, lr in cells for c in configurations(name, init, lr=lr, seed=TUNING_SEEDS)]
    last = iter([int(trained.evaluations[-1]) for trained in train_all(runs, VALIDATION, keep)])
    table: dict[str, dict[str, list[int]]] = {f"{name} {init}": {} for name, init in product(ACTIVATIONS, INITS)}
    for name, init, lr in cells:
        table[f"{name} {init}"][str(lr)] = [next(last) for _ in TUNING_SEEDS]
    return table


def best(tuning: dict[str, list[int]]) -> float:
    """The rule for the rate of a cell; of equally good ones the smaller."""
    return min(map(float, tuning), key=lambda lr: sum(tuning[str(lr)]))


def settings() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "command": "make shapeset",
        **{"torch": torch.__version__.split("+")[0], "numpy": np.__version__, "dtype": "float32"},
        **{"depth": DEPTH, "width": WIDTH, "batch_size": BATCH, "updates": UPDATES, "rates": list(RATES)},
        **{"seeds": list(SEEDS), "tuning_seeds": list(TUNING_SEEDS), "held_out": HELD_OUT, "at": list(AT)},
        "streams": {"test": TEST, "validation": VALIDATION, "training": f"{TRAINING} + seed"},
    }


def digest(results: dict[str, Any]) -> str:
    """The digest of everything in the results but itself: shows that they were changed by hand."""
    rest = {key: value for key, value in results.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def run_all() -> dict[str, Any]:
    """The whole experiment."""
    keep = Checkpoint(
        CHECKPOINT, json.dumps({name: value for name, value in settings().items() if name not in GROWING})
    )
    tuning = choose_rates(keep)
    cells = [(name, init, best(tuning[f"{name} {init}"])) for name, init in product(ACTIVATIONS, INITS)]
    runs = [c for name, init, lr in cells for c in configurations(name, init, lr=lr, seed=SEEDS)]
    trained = train_all(runs, TEST, keep)
    rows = [
        {
            **{"activation": name, "init": init, "lr": lr, "seed": seed},
            "errors": one.evaluations.astype(int).tolist(),
            "losses": [float(f"{loss:.6g}") for loss in one.losses],
        }
        for ((name, init, lr), seed), one in zip(product(cells, SEEDS), trained, strict=True)
    ]
    results = {"settings": settings(), "tuning": tuning, "runs": rows}
    return {**results, "digest": digest(results)}


def text(results: dict[str, Any]) -> str:
    """The results as JSON with one network a line."""
    runs = ",\n".join(json.dumps(row) for row in results["runs"])
    rest = json.dumps({**results, "runs": []}, indent=1)
    return rest.replace('"runs": []', f'"runs": [\n{runs}\n]') + "\n"


if __name__ == "__main__":
    RESULTS.write_text(text(run_all()), encoding="utf-8")
    print(f"Written: {RESULTS.relative_to(ROOT)}")
