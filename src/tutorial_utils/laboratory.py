r"""The Laboratory: thousands of networks trained on the digits, stored, and read back as tables.

``make laboratory`` trains every combination of :data:`AXES` and writes the file that this module reads. It is JSON. Its
arrays are unsigned integers, little-endian and in C order, in base64, so that a page reads them without a library:

- ``loss``, with the axes :data:`AXES` and one more, the windows between :data:`EDGES`: the mean loss of a window's
  minibatches, in the code ``codes["loss"]``; one byte each;
- ``right``, with the axes :data:`AXES`: how many of ``test_digits`` images the trained network gets right, in eval
  mode; two bytes each;
- ``steady``, with the axes :data:`AXES`: for how many windows, from the first, rounding errors do not matter. There, a
  twin of the training, whose initial weights are larger by the share ``settings["nudge"]``, has the same loss up to the
  share ``settings["agree"]``; one byte each;
- ``twin_right``: what ``right`` is for the twins, which may differ even where all windows agree, by the last steps;
- ``layers``, by depth, with the axes :data:`LAYER_AXES`: :data:`STATISTICS` of each linear layer before training, on
  ``settings["examples"]`` images, at the :data:`QUANTILES` over the seeds, in the code ``codes["moment"]``; two bytes
  each.

The file also holds ``axes``, ``inits``, ``norms``, ``edges`` and ``snippet``, the constants below; ``settings``,
everything else that the numbers depend on; and ``digest``, of it all.
"""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tutorial_utils.runs import Run
from tutorial_utils.schemes import SCHEMES

Codes = NDArray[np.unsignedinteger]
Numbers = NDArray[np.floating]

#: The initializations by name. They are the four in use, and two mistakes, too small and too large.
INITS: dict[str, dict[str, Any]] = {
    "normal_0.01": {"label": "normal, std 0.01", "scheme": "normal", "scale": 0.01},
    "default": {"label": SCHEMES["default"].label, "scheme": "default", "scale": 1.0},
    "xavier_normal": {"label": SCHEMES["xavier_normal"].label, "scheme": "xavier_normal", "scale": 1.0},
    "orthogonal": {"label": SCHEMES["orthogonal"].label, "scheme": "orthogonal", "scale": 1.0},
    "kaiming_normal": {"label": SCHEMES["kaiming_normal"].label, "scheme": "kaiming_normal", "scale": 1.0},
    "normal_1": {"label": "normal, std 1", "scheme": "normal", "scale": 1.0},
}
#: The normalizations by name, each with the shift β that it starts with.
NORMS: dict[str, dict[str, Any]] = {
    "none": {"label": "no normalization", "norm": "none", "beta": 0.0},
    "batch": {"label": "BatchNorm", "norm": "batch", "beta": 0.0},
    "batch_shifted": {"label": "BatchNorm, β = 2", "norm": "batch", "beta": 2.0},
}
#: The grid, the last axis fastest.
AXES: dict[str, list[Any]] = {
    "activation": ["relu", "tanh", "sigmoid", "gelu"],
    "norm": list(NORMS),
    "depth": [2, 5, 10, 30],
    "init": list(INITS),
    "lr": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
    "seed": [0, 1, 2, 3, 4],
}
#: What all trainings share.
WIDTH, BATCH, STEPS = 32, 32, 200
#: Window k holds the steps from EDGES[k] + 1 to EDGES[k + 1].
EDGES = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, STEPS]
#: The second moments of a layer's pre-activations, and of the gradients of the mean loss with respect to them.
STATISTICS = ["second_moment", "grad_second_moment"]
#: Of the seeds, the smallest value, the median and the largest.
QUANTILES = [0.0, 0.5, 1.0]
#: The axes of the arrays in ``layers``.
LAYER_AXES = ["activation", "norm", "init", "statistic", "quantile", "layer"]
#: The share of test digits right from which a network counts as trained, five times what guessing gives.
TRAINED = 0.5
#: The code that repeats one training; after dollar signs, the fields of its Run, ``steps``, and the ``last`` window.
SNIPPET = """\
import torch
from tutorial_utils.data import digits
from tutorial_utils.runs import Run
from tutorial_utils.training import accuracy, train

torch.set_default_dtype(torch.float64)
data = digits(generator=torch.Generator().manual_seed(0))
run = Run(activation="$activation", norm="$norm", beta=$beta, depth=$depth, width=$width,
          scheme="$scheme", scale=$scale, lr=$lr, batch_size=$batch_size, seed=$seed)
network = run.network(data)
losses = train(network, data.x_train, data.y_train, lr=run.lr, steps=$steps,
               batch_size=run.batch_size, generator=run.batches())
right = accuracy(network.eval(), data.x_test, data.y_test) * len(data.y_test)
print(f"mean loss of the last $last steps: {losses[-$last:].mean():.3g}")
print(f"test digits right: {right:.0f} of {len(data.y_test)}")
"""


class Code(NamedTuple):
    r"""A code that turns positive numbers into unsigned integers, evenly spaced in the logarithm.

    The integer k up to ``last``, the largest of its type less one, stands for
    :math:`\text{low}\,(\text{high}/\text{low})^{k/\text{last}}`, and the largest for what is not finite. Numbers
    outside this range are moved to its nearer end; all others change by a share of at most ``error``.

    >>> code = Code(1e-3, 1e3, "uint8")
    >>> code.encode(np.array([1.0, 5000.0, math.nan])).tolist(), round(code.error, 3)
    ([127, 254, 255], 0.028)
    """

    low: float
    high: float
    dtype: str

    @property
    def last(self) -> int:
        """The integer that stands for ``high``."""
        return int(np.iinfo(self.dtype).max) - 1

    @property
    def error(self) -> float:
        """The largest share by which a number between ``low`` and ``high`` changes, half a step."""
        return math.expm1(self._step / 2)

    @property
    def _step(self) -> float:
        return math.log(self.high / self.low) / self.last

    def encode(self, values: Numbers) -> Codes:
        """Turn numbers of at least 0 into integers, in an array of the same shape."""
        finite = np.isfinite(values)
        inside = np.clip(np.where(finite, values, self.low), self.low, self.high)
        steps = np.rint(np.log(inside / self.low) / self._step)
        return np.where(finite, steps, self.last + 1).astype(self.dtype)

    def decode(self, codes: Codes) -> Numbers:
        """Turn integers into the numbers that they stand for, NaN for those that were not finite."""
        values = self.low * np.exp(self._step * codes.astype(float))
        return np.where(codes > self.last, math.nan, values)


#: How the losses and the second moments are stored.
CODES = {"loss": Code(1e-3, 1e3, "uint8"), "moment": Code(1e-150, 1e50, "uint16")}


def configuration(*, init: str, norm: str, **place: Any) -> Run:
    """Name the training at a place of the grid, or between its places.

    Args:
        init: a key of :data:`INITS`.
        norm: a key of :data:`NORMS`.
        **place: ``activation``, ``depth``, ``lr`` and ``seed``.

    Returns:
        The run.

    Raises:
        ValueError: for an initialization, a normalization, or another value, that does not exist.

    >>> configuration(init="default", activation="relu", norm="none", depth=5, lr=0.1, seed=0).width
    32
    """
    for name, value, known in (("init", init, INITS), ("norm", norm, NORMS)):
        if value not in known:
            raise ValueError(f"{name} = {value!r}, but it must be one of {', '.join(known)}")
    both = INITS[init] | NORMS[norm]
    fields = {name: both[name] for name in ("scheme", "scale", "norm", "beta")}
    return Run(**fields, width=WIDTH, batch_size=BATCH, **place)


def snippet(run: Run) -> str:
    """Write the code that repeats a training and prints its last loss and its test digits right.

    Raises:
        ValueError: for a training by Adam, with momentum or with weight decay, of which there is none here.

    >>> "lr=0.3" in snippet(Run(lr=0.3))
    True
    """
    if replace(run, optimizer="sgd", momentum=0.0, weight_decay=0.0) != run:
        raise ValueError(f"{run}: the code is for plain SGD, without momentum and weight decay")
    return Template(SNIPPET).substitute(asdict(run), steps=STEPS, last=EDGES[-1] - EDGES[-2])


def pack(array: Codes) -> str:
    """Write unsigned integers as the base64 of their bytes, little-endian and in C order.

    >>> pack(np.array([1, 2], dtype="uint16"))
    'AQACAA=='
    """
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def unpack(text: str, dtype: str, *shape: int) -> Codes:
    """Read back, in the given shape, what :func:`pack` has written.

    >>> unpack("AQACAA==", "uint16", 1, 2).tolist()
    [[1, 2]]
    """
    flat = np.frombuffer(base64.b64decode(text), np.dtype(dtype).newbyteorder("<"))
    return flat.reshape(shape).astype(dtype)


def load_results() -> dict[str, Any]:
    """Read the file as it is; the module's description says what is in it.

    >>> load_results()["settings"]["command"]
    'make laboratory'
    """
    results: dict[str, Any] = json.loads((files("tutorial_utils") / "laboratory.json").read_text(encoding="utf-8"))
    return results


def trainings() -> pd.DataFrame:
    """Read how every training ended.

    Returns:
        One row for each, with its place, one column for each of :data:`AXES`; ``loss``, the mean of the last window,
        NaN if it diverged, known to 3 percent between 0.001 and 1000 and moved there from outside; ``accuracy`` on the
        test digits; ``trained``, whether that reaches :data:`TRAINED`; ``diverged``, whether a loss was not finite;
        ``steady``, the last step of the windows that do not depend on rounding errors, 200 if none does; and
        ``twin_accuracy``, the accuracy of the twin.

    >>> table = trainings()
    >>> bool(table.trained.groupby(table.init).mean()["kaiming_normal"] > 0.4)
    True
    """
    results, table = load_results(), _places(AXES)
    losses = _losses(results)
    right = [unpack(results[name], "uint16", len(table)) for name in ("right", "twin_right")]
    accuracy, twin_accuracy = (counts / results["test_digits"] for counts in right)
    return table.assign(
        loss=losses[:, -1],
        accuracy=accuracy,
        trained=accuracy >= TRAINED,
        diverged=np.isnan(losses.max(axis=1)),
        steady=np.array(EDGES)[unpack(results["steady"], "uint8", len(table))],
        twin_accuracy=twin_accuracy,
    )


def curves() -> pd.DataFrame:
    """Read the losses of every training.

    Returns:
        One row for each training and window, with the training's place; ``step``, the last of the window; ``loss``, as
        in :func:`trainings`.

    >>> int(curves().step.max())
    200
    """
    windows = {**AXES, "step": EDGES[1:]}
    return _places(windows).assign(loss=_losses(load_results()).ravel())


def layers() -> pd.DataFrame:
    """Read the statistics of every layer before training.

    Returns:
        One row for each activation, norm, depth, init, statistic and ``layer``, from 1 to depth + 1, with ``low``,
        ``median`` and ``high`` of the seeds. ``statistic`` is one of :data:`STATISTICS`; the loss is the mean over
        ``load_results()["settings"]["examples"]`` digits.

    >>> set(layers().statistic) == set(STATISTICS)
    True
    """
    results, code = load_results(), CODES["moment"]
    tables = []
    for depth in AXES["depth"]:
        axes = {name: AXES[name] for name in LAYER_AXES[:3]} | {"statistic": STATISTICS}
        shape = *map(len, axes.values()), len(QUANTILES), depth + 1
        values = code.decode(unpack(results["layers"][str(depth)], code.dtype, *shape))
        low, median, high = np.moveaxis(values, LAYER_AXES.index("quantile"), 0).reshape(len(QUANTILES), -1)
        places = _places({**axes, "layer": range(1, depth + 2)})  # in the order of the axes that are left
        tables.append(places.assign(depth=depth, low=low, median=median, high=high))
    return pd.concat(tables, ignore_index=True)


def _places(axes: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """A row for each place of a grid."""
    return pd.MultiIndex.from_product(list(axes.values()), names=list(axes)).to_frame(index=False)


def _losses(results: dict[str, Any]) -> Numbers:
    """The losses of shape (trainings, windows)."""
    windows = len(EDGES) - 1
    return CODES["loss"].decode(unpack(results["loss"], "uint8", -1, windows))
