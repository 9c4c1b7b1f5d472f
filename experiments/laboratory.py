"""The Laboratory: every combination of initialization, activation, normalization, depth and learning rate, trained.

    make laboratory

tutorial_utils.laboratory names the grid, describes the file that this command writes, and reads it. Every training has
a twin whose initial weights are larger by NUDGE, which is far above the rounding errors in which two processors differ.
While the two agree, a stored loss is a property of the method; from the window in which they part, it is one of chance.

The command takes about a quarter of an hour on one core, and goes on where it was stopped. A test repeats a random
sample.
"""

import hashlib
import json
import platform
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tutorial_utils import laboratory as lab
from tutorial_utils.data import Split, digits
from tutorial_utils.runs import Run
from tutorial_utils.sweep import propagate_many, train_many

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "src" / "tutorial_utils" / "laboratory.json"
CHECKPOINT = ROOT / "build" / "laboratory.npz"

NUDGE = 1e-12
#: Twins agree on a window as long as their losses differ by at most this share.
AGREE = 1e-3
#: Digits in the one minibatch that the layers are measured on.
EXAMPLES = 256


def load_digits() -> Split:
    """The data of all trainings, in float64 whatever the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return digits(generator=torch.Generator().manual_seed(0))
    finally:
        torch.set_default_dtype(before)


def configurations(**values: list[Any]) -> list[Run]:
    """The trainings of the grid, or of another one where values are given for an axis; the last axis fastest."""
    axes = lab.AXES | values
    return [lab.configuration(**dict(zip(axes, place, strict=True))) for place in product(*axes.values())]


def twin(run: Run) -> Run:
    """The same training from weights that are a little larger."""
    return replace(run, scale=run.scale * (1 + NUDGE))


def windows(losses: NDArray[np.floating]) -> NDArray[np.floating]:
    """Each window's mean, of shape (trainings, windows), of losses of shape (trainings, steps)."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.stack([losses[:, start:stop].mean(axis=1) for start, stop in pairwise(lab.EDGES)], axis=1)


def steady(losses: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.uint8]:
    """For each training the number of windows before the first in which its twin's loss is another."""
    with np.errstate(invalid="ignore"):
        near = np.abs(losses - others) <= AGREE * np.abs(losses)
    agree = near | (~np.isfinite(losses) & ~np.isfinite(others))
    first: NDArray[np.integer] = np.pad(agree, ((0, 0), (0, 1))).argmin(axis=1)  # that is False
    return first.astype(np.uint8)


def train(runs: list[Run], data: Split, **options: Any) -> dict[str, NDArray[Any]]:
    """Train networks and their twins: losses by window, steady windows, numbers of test digits right of both."""
    sweep = train_many([*runs, *map(twin, runs)], data, steps=lab.STEPS, **options)
    losses, others = np.split(windows(sweep.losses), 2)
    right, twin_right = np.split((sweep.table.test_accuracy.to_numpy() * len(data.y_test)).round().astype(np.uint16), 2)
    return {"loss": losses, "steady": steady(losses, others), "right": right, "twin_right": twin_right}


def measure_layers(data: Split, depth: int) -> NDArray[np.floating]:
    """The statistics of every layer before training, with the axes LAYER_AXES."""
    table = propagate_many(configurations(depth=[depth], lr=[1.0]), data, examples=EXAMPLES)
    shape = [len(lab.AXES[axis]) for axis in (*lab.LAYER_AXES[:3], "seed")]
    by_seed = np.stack([table[name].to_numpy().reshape(*shape, depth + 1) for name in lab.STATISTICS], axis=3)
    return np.stack([np.quantile(by_seed, q, axis=4, method="nearest") for q in lab.QUANTILES], axis=4)


def settings() -> dict[str, Any]:
    """What the numbers depend on, beside the grid."""
    return {
        "command": "make laboratory",
        **{"python": platform.python_version(), "torch": torch.__version__.split("+")[0], "numpy": np.__version__},
        **{"dtype": "float64", "width": lab.WIDTH, "batch_size": lab.BATCH, "steps": lab.STEPS, "data_seed": 0},
        **{"nudge": NUDGE, "agree": AGREE, "examples": EXAMPLES},
    }


def constants() -> dict[str, Any]:
    """What a page needs to read the arrays."""
    codes = {name: code._asdict() for name, code in lab.CODES.items()}
    return {
        **{
            "axes": lab.AXES,
            "inits": lab.INITS,
            "norms": lab.NORMS,
            "edges": lab.EDGES,
            "codes": codes,
            "trained": lab.TRAINED,
        },
        **{"layer_axes": lab.LAYER_AXES, "statistics": lab.STATISTICS, "quantiles": lab.QUANTILES},
        "snippet": lab.SNIPPET,
    }


def digest(results: dict[str, Any]) -> str:
    """The digest of everything in the results but itself: shows that they were changed by hand."""
    rest = {key: value for key, value in results.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def run_all(data: Split) -> dict[str, Any]:
    """The whole experiment."""
    trained, moment = train(configurations(), data, checkpoint=CHECKPOINT, progress=True), lab.CODES["moment"]
    losses = lab.CODES["loss"].encode(trained.pop("loss"))
    results = {
        **{"settings": settings(), "test_digits": len(data.y_test), **constants()},
        **{name: lab.pack(array) for name, array in ({"loss": losses} | trained).items()},
        "layers": {str(d): lab.pack(moment.encode(measure_layers(data, d))) for d in lab.AXES["depth"]},
    }
    return {**results, "digest": digest(results)}


def text(results: dict[str, Any]) -> str:
    """The results as JSON with one entry a line."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in results.items()) + "\n}\n"


if __name__ == "__main__":
    RESULTS.write_text(text(run_all(load_digits())), encoding="utf-8")
    print(f"Written: {RESULTS.relative_to(ROOT)}")
