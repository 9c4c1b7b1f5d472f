r"""Train every configuration of a grid: networks of one shape together, several stacks side by side.

:func:`train_many` gives each configuration the numbers that the plain way gives it,

.. code-block:: python

    network = run.network(data)
    train(network, data.x_train, data.y_train, steps=steps, lr=run.lr, batch_size=run.batch_size,
          momentum=run.momentum, weight_decay=run.weight_decay, generator=run.batches())

whatever else is in the grid, however it is cut into stacks, and whichever worker trains it: to rounding, and to the
last bit where ``width`` and ``batch_size`` are multiples of 4, so that every member's matrices lie alike in memory.
(Images in float32 are the exception: the convolution's algorithm is chosen by the number of members.)
"""

import copy
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from tutorial_utils.checkpoint import Checkpoint, Trained
from tutorial_utils.data import Split
from tutorial_utils.propagation import row_moments
from tutorial_utils.runs import Run, grid
from tutorial_utils.stack import Stack, StackedLayer

METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
CACHE = 2**18  # bytes of one layer's activations: larger stacks fall out of the processor's cache
MIN_MEMBERS = 8  # members that a stack has, if there are so many: fewer, and starting the calls takes the time again
EVAL_BATCH = 256  # evaluated at once
REGISTERS = 32  # numbers that a loop over entries takes at once; what is left over it computes in another way
STEP_BLOCK = 64  # steps whose minibatches are drawn at once

Grid = Mapping[str, Any] | Iterable[Run]


class Sweep(NamedTuple):
    """What a sweep has measured; row i of each belongs to configuration i."""

    #: One row for each configuration, with its fields, ``train_loss``, ``train_accuracy``, ``test_loss`` and
    #: ``test_accuracy`` in eval mode after the last of the chosen steps, ``diverged``, and ``diverged_at``, the first
    #: step whose loss was not finite (NaN if there is none).
    table: pd.DataFrame
    #: One row for each configuration and chosen step, with the fields, ``step``, and the same four figures.
    curves: pd.DataFrame
    #: The loss of every step's minibatch before its update, of shape (configurations, steps).
    losses: np.ndarray[tuple[int, int], np.dtype[np.floating]]


class Plan(NamedTuple):
    """What all the trainings of a sweep have in common."""

    steps: int
    at: tuple[int, ...]
    device: str


def train_many(
    runs: Grid,
    data: Split,
    *,
    steps: int,
    at: Sequence[int] | None = None,
    device: str = "cpu",
    memory: int = 2**29,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Sweep:
    """Train every configuration by SGD on the cross-entropy of its minibatches.

    Args:
        runs: configurations, each of which is trained once however often it is listed, or the axes of a
            :func:`tutorial_utils.runs.grid`.
        data: vectors (examples, features) or images (examples, channels, height, width); their dtype is the one that
            is computed in.
        steps: number of updates.
        at: the steps after which both parts of the data are evaluated, from 0 to ``steps``; without it, the last.
        device: where to train.
        memory: bytes that all stacks together may take, as estimated from the shapes.
        checkpoint: a file that keeps what is finished; a sweep that is started again takes it from there.
        executor: runs the stacks; without one, as many threads as torch is set to use, one stack a thread.
        progress: whether to show a bar with an estimate of the time left.

    Returns:
        The measurements; a training that diverges goes on as NaN and disturbs no other.

    Raises:
        ValueError: for an empty grid, ``steps`` or ``at`` out of range, a network that does not fit into ``memory``, a
            ``device`` that is not there, or a ``checkpoint`` of another experiment.

    >>> from tutorial_utils.data import digits
    >>> sweep = train_many({"depth": 1, "lr": [0.1, 1e9]}, digits(generator=torch.Generator().manual_seed(0)), steps=20)
    >>> list(sweep.table.diverged)
    [False, True]
    """
    listed = _listed(runs)
    plan = Plan(int(steps), _checked(steps, at), device)
    keep = Checkpoint(checkpoint, _experiment(plan, data))
    chunks = list(_chunks([run for run in listed if _key(run) not in keep.trained], data, memory, executor))
    with _running(executor) as pool, tqdm(total=len(listed), disable=not progress, unit="network") as bar:
        bar.update(len(listed) - sum(map(len, chunks)))
        _collect({pool.submit(train_stack, chunk, data, plan): chunk for chunk in chunks}, keep, bar)
    return _sweep(listed, [keep.trained[_key(run)] for run in listed], plan)


def train_stack(runs: Sequence[Run], data: Split, plan: Plan) -> list[Trained]:
    """Train configurations of one shape as one stack, on one thread: the unit of work of a sweep."""
    torch.set_num_threads(1)
    data = _on(plan.device, data)
    companions = _padding_members(runs[0]) if len(runs) == 1 or runs[0].width % REGISTERS else 0
    members = [*runs, *[runs[-1]] * companions]
    stack = _stack(members, data)
    losses, evaluations = [], []
    for step, batch in enumerate(_minibatches(members, plan.steps, len(data.x_train))):
        if step in plan.at:
            evaluations.append(_evaluate(stack, data))
        losses.append(stack.step(data.x_train[batch], data.y_train[batch]))
    if plan.steps in plan.at:
        evaluations.append(_evaluate(stack, data))
    by_member = torch.stack(losses, 1).cpu().numpy(), torch.stack(evaluations, 1).cpu().numpy()
    return [Trained(*arrays) for _, *arrays in zip(runs, *by_member, strict=False)]


def propagate_many(
    runs: Grid,
    data: Split,
    *,
    examples: int = 256,
    layers: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d),
    memory: int = 2**29,
) -> pd.DataFrame:
    """Measure every configuration's first forward and backward pass, as :func:`tutorial_utils.propagation.propagate`.

    Args:
        runs: configurations, or the axes of a :func:`tutorial_utils.runs.grid`.
        data: its first training examples are the batch, the same for all; the loss is the mean cross-entropy.
        examples: how many.
        layers: the classes to measure.
        memory: bytes that the stack may take, as estimated from the shapes.

    Returns:
        One row for each configuration and layer: the fields of the configuration, ``layer``, ``kind``, the moments of
        the output and, prefixed, those of the gradients with respect to it (``grad_``) and to the layer's weight
        (``weight_grad_``); columns as in :func:`~tutorial_utils.propagation.propagate`.

    Raises:
        ValueError: for an empty grid, more examples than there are, or a network that does not fit into ``memory``.

    >>> from tutorial_utils.data import digits
    >>> table = propagate_many({"depth": [1, 2]}, digits(generator=torch.Generator().manual_seed(0)))
    >>> list(table.layer)
    ['linear1', 'linear2', 'linear1', 'linear2', 'linear3']
    """
    listed = _listed(runs)
    if not 1 <= examples <= len(data.x_train):
        raise ValueError(f"examples = {examples}, but there are {len(data.x_train)} to take them from")
    x, y = data.x_train[:examples], data.y_train[:examples]
    tables, order = [], {run: place for place, run in enumerate(listed)}
    for chunk in _chunks(listed, data, memory, examples=examples):
        signals = _stack(chunk, data).signals(x.expand(len(chunk), *x.shape), y.expand(len(chunk), -1))
        places = [order[run] for run in chunk]
        tables += [
            _moments(*signal).assign(order=places, **_fields(chunk))
            for signal in signals
            if isinstance(signal[0].module, layers)
        ]
    columns = ["order", *asdict(listed[0]), "layer", "kind"]
    table = pd.concat(tables).sort_values("order", kind="stable", ignore_index=True)
    return table[[*columns[1:], *table.columns.drop(columns)]]


def _moments(layer: StackedLayer, h: Tensor, delta: Tensor, gradients: Sequence[Tensor]) -> pd.DataFrame:
    """One layer's moments, a row for each member; NaN for the gradient of a weight that it does not have."""
    columns: dict[str, Any] = {}
    for prefix, rows in (("", h), ("grad_", delta), ("weight_grad_", gradients[0] if gradients else None)):
        statistics = row_moments(h if rows is None else rows.reshape(len(h), -1))
        columns |= {prefix + name: torch.nan if rows is None else x.cpu().numpy() for name, x in statistics.items()}
    return pd.DataFrame(columns).assign(layer=layer.name, kind=type(layer.module).__name__)


def _listed(runs: Grid) -> list[Run]:
    """The configurations, each once, in order."""
    if isinstance(runs, Run):
        raise ValueError(f"runs = {runs}, but it must be a list of configurations or the axes of a grid")
    listed = list(dict.fromkeys(grid(**runs) if isinstance(runs, Mapping) else runs))
    if not listed:
        raise ValueError("runs is empty: there is nothing to train")
    return listed


def _checked(steps: int, at: Sequence[int] | None) -> tuple[int, ...]:
    chosen = tuple(sorted({int(step) for step in ([steps] if at is None else at)}))
    whole = at is None or all(int(step) == step for step in at)
    if steps < 1 or not chosen or not whole or chosen[0] < 0 or chosen[-1] > steps:
        raise ValueError(f"steps = {steps}, at = {at}: at least one step, and evaluations from 0 to {steps}")
    return chosen


def _experiment(plan: Plan, data: Split) -> str:
    """What a checkpoint must agree on with the sweep that it serves."""
    digest = hashlib.sha256()
    for tensor in data:
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    shapes = {name: list(tensor.shape) for name, tensor in data._asdict().items()}
    described = {"data": digest.hexdigest(), **shapes, "dtype": str(data.x_train.dtype), "torch": torch.__version__}
    return json.dumps({"steps": plan.steps, "at": plan.at, **described})


def _key(run: Run) -> str:
    return json.dumps(asdict(run))


def _stack(runs: Sequence[Run], data: Split) -> Stack:
    network = runs[0].network(data)
    stack = Stack(
        [copy.deepcopy(network).to(data.x_train.device)] * len(runs),
        lr=[run.lr for run in runs],
        momentum=[run.momentum for run in runs],
        weight_decay=[run.weight_decay for run in runs],
    )
    for number, run in enumerate(runs):
        stack.load(number, run.start_(network))
    return stack


def _minibatches(runs: Sequence[Run], steps: int, examples: int) -> Iterator[Tensor]:
    """Each step's indices, of shape (members, batch_size): the draws that single steps would make."""
    generators, size = [run.batches() for run in runs], runs[0].batch_size
    for start in range(0, steps, STEP_BLOCK):
        shape = min(STEP_BLOCK, steps - start), size
        yield from torch.stack([torch.randint(examples, shape, generator=g) for g in generators], dim=1)


def _evaluate(stack: Stack, data: Split) -> Tensor:
    """The four figures of every member, of shape (members, 4)."""
    parts = [(data.x_train, data.y_train), (data.x_test, data.y_test)]
    return torch.stack([figure for x, y in parts for figure in _mean(stack, x, y)], dim=1)


def _mean(stack: Stack, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and accuracy over any number of examples, some at a time."""
    pieces = list(zip(x.split(EVAL_BATCH), y.split(EVAL_BATCH), strict=True))
    weighted = [(len(b) * loss, len(b) * right) for a, b in pieces for loss, right in [stack.evaluate(a, b)]]
    loss, right = (torch.stack(column).sum(0) / len(y) for column in zip(*weighted, strict=True))
    return loss, right


def _chunks(
    runs: Iterable[Run], data: Split, memory: int, executor: Executor | None = None, examples: int = EVAL_BATCH
) -> list[list[Run]]:
    """Cut a grid into stacks: one shape each, small enough for the cache and the memory, enough for all workers."""
    workers = torch.get_num_threads() if executor is None else getattr(executor, "_max_workers", os.cpu_count() or 1)
    chunks = []
    for _, group in groupby(sorted(runs, key=lambda run: str(run.shape)), key=lambda run: run.shape):
        members = list(group)
        most = _members(members[0], data, memory // workers, examples)
        pieces = max(math.ceil(len(members) / most), min(workers, len(members) // MIN_MEMBERS))
        size = math.ceil(len(members) / max(pieces, 1))
        chunks += [members[start : start + size] for start in range(0, len(members), size)]
    return chunks


def _members(run: Run, data: Split, memory: int, examples: int) -> int:
    """How many networks like this one make a good stack."""
    network, sample = run.network(data), data.x_train[:2]
    with torch.no_grad():
        values = [(sample := layer(sample)).numel() // 2 for layer in network]
    inputs, itemsize = data.x_train[0].numel(), data.x_train.element_size()
    weights = sum(parameter.numel() for parameter in network.parameters())
    each = itemsize * (4 * weights + (3 * sum(values) + 2 * inputs) * max(run.batch_size, examples))
    room, need = memory // each - _padding_members(run), each * (1 + _padding_members(run))
    if room < 1:
        raise ValueError(f"one network of {run} takes about {need:,} bytes, but memory allows {memory:,} a worker")
    cached = CACHE // (itemsize * run.batch_size * max(values))
    return int(min(room, max(MIN_MEMBERS, cached)))


def _padding_members(run: Run) -> int:
    """How many copies of a member, trained along at the end of the stack, keep the others' bits as they are anywhere.

    A lone matrix product takes another path than several, and the last entries that do not fill the processor's
    registers are computed by another formula.
    """
    return math.ceil((REGISTERS - 1) / run.width)


def _on(device: str, data: Split) -> Split:
    """The data where the training is to be."""
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device = {device!r}, but it must be one that torch computes on here: {error}") from error
    return Split(*(tensor.to(device) for tensor in data))


@contextmanager
def _running(executor: Executor | None) -> Iterator[Executor]:
    """The executor, or threads of our own; torch's thread count is put back at the end."""
    threads = torch.get_num_threads()
    try:
        if executor is None:
            with ThreadPoolExecutor(threads) as own:
                yield own
        else:
            yield executor
    finally:
        torch.set_num_threads(threads)


def _collect(chunks: Mapping[Future[list[Trained]], list[Run]], keep: Checkpoint, bar: "tqdm[Any]") -> None:
    """Keep each stack's trainings as it finishes; whatever ends the sweep, write what is finished."""
    try:
        for future in as_completed(chunks):
            keep.add(_by_key(chunks[future], future))
            bar.update(len(chunks[future]))
    finally:
        for future, runs in chunks.items():
            if not future.cancel() and future.done() and not future.exception():
                keep.trained |= _by_key(runs, future)
        keep.save()


def _by_key(runs: Sequence[Run], future: Future[list[Trained]]) -> dict[str, Trained]:
    return dict(zip(map(_key, runs), future.result(), strict=True))


def _sweep(runs: Sequence[Run], trained: Sequence[Trained], plan: Plan) -> Sweep:
    fields, losses = _fields(runs), np.stack([one.losses for one in trained])
    evaluations = np.stack([one.evaluations for one in trained])
    figures = [pd.DataFrame(evaluations[:, point], columns=list(METRICS)) for point in range(len(plan.at))]
    curves = pd.concat(
        [pd.concat([fields.assign(step=step), figure], axis=1) for step, figure in zip(plan.at, figures, strict=True)]
    )
    lost = pd.DataFrame(~np.isfinite(losses))
    table = pd.concat([fields, figures[-1]], axis=1).assign(diverged=lost.any(axis=1))
    table["diverged_at"] = lost.idxmax(axis=1).where(table.diverged)
    return Sweep(table, curves.sort_index(kind="stable").reset_index(drop=True), losses)


def _fields(runs: Sequence[Run]) -> pd.DataFrame:
    return pd.DataFrame([asdict(run) for run in runs])
