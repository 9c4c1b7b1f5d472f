r"""Train every run of a grid: networks of one shape together, several stacks side by side.

:func:`train_many` gives each run the numbers that the plain way gives it,

.. code-block:: python

    network = run.network(data)
    train(network, data.x_train, data.y_train, steps=steps, lr=run.lr, batch_size=run.batch_size,
          optimizer=run.optimizer, momentum=run.momentum, weight_decay=run.weight_decay, generator=run.batches())

whatever else is in the grid, however it is cut into stacks, and whichever worker trains it: up to rounding, and to the
last bit where ``width`` and ``batch_size`` are multiples of 4, so that every member's matrices lie alike in memory.
There are two exceptions. For images in float32, the convolution's algorithm is chosen by the number of members. And
Adam, which divides a gradient by its size, moves a parameter whose gradient is rounding alone, a bias before BatchNorm,
as far as any other: in float32, and with weight decay, which feeds on such a bias, in float64 too. The losses of the
steps do not depend on it, but the running mean follows it a little late.
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
from tutorial_utils.optimizers import OPTIMIZERS
from tutorial_utils.propagation import row_moments
from tutorial_utils.runs import Run, grid
from tutorial_utils.stack import LayerSignal, Stack

# What is measured on each part of the data, in the order of storing; the last two only if there is a validation part.
METRICS = [f"{part}_{metric}" for part in ("train", "test", "valid") for metric in ("loss", "accuracy")]
CACHE = 2**18  # bytes of one layer's activations: a larger stack falls out of the processor's cache
MIN_MEMBERS = 8  # of a stack, if there are that many: with fewer, starting the calls takes the time again
EVAL_BATCH = 256  # examples evaluated at once
REGISTERS = 32  # numbers that a loop over entries takes at once; what is left over it computes in another way
STEP_BLOCK = 64  # steps whose minibatches are drawn at once
# How many numbers training holds at once, for each of a kind (for each weight, an optimizer's ``per_weight``):
PER_OUTPUT = 3  # a layer's output, what the layer remembers for the backward pass, and the gradient
PER_INPUT = 2  # the minibatch as it was gathered, and in the layout of the first layer

Grid = Mapping[str, Any] | Iterable[Run]
Part = tuple[Tensor, Tensor]
#: The data of all runs, or of the runs with each seed.
Data = Split | Mapping[int, Split]
Validation = Part | Mapping[int, Part]


class Sweep(NamedTuple):
    """What a sweep has measured; row i of each belongs to run i."""

    #: One row for each run, with its fields, ``train_loss``, ``train_accuracy``, ``test_loss`` and
    #: ``test_accuracy`` in eval mode after the last of the chosen steps, ``valid_loss`` and ``valid_accuracy`` if there
    #: is a validation part, ``diverged``, and ``diverged_at``, the first step whose loss was not finite (NaN if there
    #: is none).
    table: pd.DataFrame
    #: One row for each run and chosen step, with the fields, ``step``, and the same losses and accuracies.
    curves: pd.DataFrame
    #: The loss of every step's minibatch before its update, of shape (runs, steps).
    losses: np.ndarray[tuple[int, int], np.dtype[np.floating]]


class Plan(NamedTuple):
    """What all the trainings of a sweep have in common."""

    steps: int
    at: tuple[int, ...]
    device: str


def train_many(
    runs: Grid,
    data: Data,
    *,
    steps: int,
    at: Sequence[int] | None = None,
    validation: Validation | None = None,
    device: str = "cpu",
    memory: int = 2**29,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Sweep:
    """Train every run by its optimizer on the cross-entropy of its minibatches.

    Args:
        runs: a list, of which each run is trained once however often it is listed, or the axes of a
            :func:`tutorial_utils.runs.grid`.
        data: vectors (examples, features) or images (examples, channels, height, width); the computation is in their
            dtype. Either one split for all runs, or a split for each seed, all of the same shapes.
        steps: number of updates.
        at: the steps after which all parts of the data are evaluated, from 0 to ``steps``; without it, the last.
        validation: inputs and labels to choose by, as :func:`tutorial_utils.data.hold_out` makes them. What is chosen
            by its ``valid_loss`` or ``valid_accuracy`` can still be judged by the test part. With a split for each
            seed, likewise one for each.
        device: where to train.
        memory: bytes that all stacks together may take, as estimated from the shapes.
        checkpoint: a file that keeps what is finished; a sweep that is started again takes it from there.
        executor: runs the stacks; without one, as many threads as torch is set to use, one stack a thread.
        progress: whether to show a bar with an estimate of the time left.

    Returns:
        The measurements; a training that diverges goes on as NaN and disturbs no other.

    Raises:
        ValueError: for an empty grid, ``steps`` or ``at`` out of range, a seed without a split or splits of different
            shapes, a ``validation`` unlike the data, a network that does not fit into ``memory``, a ``device`` that
            does not exist, or a ``checkpoint`` of another experiment.

    >>> from tutorial_utils.data import digits
    >>> sweep = train_many({"depth": 1, "lr": [0.1, 1e9]}, digits(generator=torch.Generator().manual_seed(0)), steps=20)
    >>> list(sweep.table.diverged)
    [False, True]
    """
    listed = _listed(runs)
    plan = Plan(int(steps), _checked(steps, at), device)
    splits, parts = _by_seed(listed, data), _by_seed(listed, validation)
    _check_shapes(splits)
    for seed, part in parts.items():
        _check_validation(part, splits[seed])
    finished = Checkpoint(checkpoint, _experiment(plan, data, validation))
    waiting = [run for run in listed if _key(run) not in finished.trained]
    chunks = _chunks(waiting, splits[listed[0].seed], memory, executor)
    with _running(executor) as pool, tqdm(total=len(listed), disable=not progress, unit="network") as bar:
        bar.update(len(listed) - sum(map(len, chunks)))
        _collect({pool.submit(train_stack, chunk, data, plan, validation): chunk for chunk in chunks}, finished, bar)
    return _sweep(listed, [finished.trained[_key(run)] for run in listed], plan)


def train_stack(runs: Sequence[Run], data: Data, plan: Plan, validation: Validation | None = None) -> list[Trained]:
    """Train runs of one shape as one stack, on one thread: the unit of work of a sweep."""
    torch.set_num_threads(1)
    needs_padding = len(runs) == 1 or runs[0].width % REGISTERS
    members = [*runs, *[runs[-1]] * (_padding_members(runs[0]) if needs_padding else 0)]
    stack = _stack(members, Split(*_on(plan.device, *_by_seed(members, data)[members[0].seed])))
    tensors = _on(plan.device, *_of_members(members, data), *_of_members(members, validation))
    parts = list(zip(tensors[::2], tensors[1::2], strict=True))  # inputs and labels: training, test, and validation
    x_train, y_train = parts[0]
    losses, evaluations = [], []
    for step, batch in enumerate(_minibatches(members, plan.steps, y_train.shape[-1])):
        if step in plan.at:
            evaluations.append(_evaluate(stack, parts))
        drawn: Any = batch if y_train.dim() == 1 else (torch.arange(len(members))[:, None], batch)
        losses.append(stack.step(x_train[drawn], y_train[drawn]))
    if plan.steps in plan.at:
        evaluations.append(_evaluate(stack, parts))
    # The padding members come last. They have served their purpose and are cut off here.
    columns = (torch.stack(steps, dim=1)[: len(runs)].cpu().numpy() for steps in (losses, evaluations))
    return [Trained(*arrays) for arrays in zip(*columns, strict=True)]


def propagate_many(
    runs: Grid,
    data: Split,
    *,
    examples: int = 256,
    layers: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d),
    memory: int = 2**29,
) -> pd.DataFrame:
    """Measure every run's first forward and backward pass, as :func:`tutorial_utils.propagation.propagate`.

    Args:
        runs: a list, or the axes of a :func:`tutorial_utils.runs.grid`.
        data: its first training examples are the batch, the same for all; the loss is the mean cross-entropy.
        examples: how many.
        layers: the classes to measure.
        memory: bytes that the stack may take, as estimated from the shapes.

    Returns:
        One row for each run and layer: the fields of the run, ``layer``, ``kind``, the moments of
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
            _moments(signal).assign(order=places, **_fields(chunk))
            for signal in signals
            if isinstance(signal.layer.module, layers)
        ]
    columns = ["order", *asdict(listed[0]), "layer", "kind"]
    table = pd.concat(tables).sort_values("order", kind="stable", ignore_index=True)
    return table[[*columns[1:], *table.columns.drop(columns)]]


def _moments(signal: LayerSignal) -> pd.DataFrame:
    """One layer's moments, a row for each member; NaN for the gradient of a weight that it does not have."""
    weight_gradient = next(iter(signal.parameter_gradients), None)  # the weight is a layer's first parameter
    measured = {"": signal.output, "grad_": signal.output_gradient, "weight_grad_": weight_gradient}
    columns: dict[str, Any] = {}
    for prefix, values in measured.items():
        moments = row_moments(signal.output if values is None else values.reshape(len(signal.output), -1))
        for name, column in moments.items():
            columns[prefix + name] = torch.nan if values is None else column.cpu().numpy()
    return pd.DataFrame(columns).assign(layer=signal.layer.name, kind=type(signal.layer.module).__name__)


def _listed(runs: Grid) -> list[Run]:
    """The runs, each once, in order."""
    if isinstance(runs, Run):
        raise ValueError(f"runs = {runs}, but it must be a list of runs or the axes of a grid")
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


def _by_seed(runs: Iterable[Run], given: Any) -> Mapping[int, Any]:
    """What is given to each seed: the one thing for all, or its own; nothing if there is none."""
    seeds = dict.fromkeys(run.seed for run in runs)
    if not isinstance(given, Mapping):
        return {} if given is None else dict.fromkeys(seeds, given)
    if missing := seeds.keys() - given.keys():
        raise ValueError(f"seed {min(missing)} has no data: there are data for the seeds {[*given]}")
    return {seed: given[seed] for seed in seeds}


def _of_members(runs: Sequence[Run], given: Any) -> list[Tensor]:
    """The tensors of the one thing given for all, or each member's own, one below the other."""
    if not isinstance(given, Mapping):
        return list(given or ())
    return [torch.stack(own) for own in zip(*(given[run.seed] for run in runs), strict=True)]


def _check_shapes(splits: Mapping[int, Split]) -> None:
    """That the splits of all seeds can be stacked."""
    shapes = {seed: [tuple(tensor.shape) for tensor in split] for seed, split in splits.items()}
    first, *others = shapes.items()
    for seed, found in others:
        if found != first[1]:
            raise ValueError(f"the splits have the shapes {first[1]} for seed {first[0]}, but {found} for seed {seed}")


def _check_validation(validation: Part | None, data: Split) -> None:
    """That the networks for the data can be evaluated on it."""
    if validation is None:
        return
    (x, y), room, labels = validation, tuple(data.x_train.shape[1:]), torch.cat([data.y_train, data.y_test])
    fits = x.shape[1:] == room and x.dtype == data.x_train.dtype and len(x) == len(y) > 0 and y.dtype == labels.dtype
    if not fits or y.max() > labels.max() or y.min() < 0:
        raise ValueError(
            f"validation has inputs of shape {tuple(x.shape)} in {x.dtype} and labels of shape {tuple(y.shape)} in"
            f" {y.dtype}, but it must have as many labels as inputs, inputs of shape (examples, {str(room)[1:-1]}) in"
            f" {data.x_train.dtype}, and labels from 0 to {int(labels.max())}, as the data"
        )


def _experiment(plan: Plan, data: Data, validation: Validation | None = None) -> str:
    """What a checkpoint must agree on with the sweep that it serves."""
    digest, tensors = hashlib.sha256(), _tensors(data, Split._fields)
    if validation is not None:
        tensors |= _tensors(validation, ("x_valid", "y_valid"))
    for tensor in tensors.values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    shapes, dtype = {name: list(tensor.shape) for name, tensor in tensors.items()}, next(iter(tensors.values())).dtype
    described = {"data": digest.hexdigest(), **shapes, "dtype": str(dtype), "torch": torch.__version__}
    return json.dumps({"steps": plan.steps, "at": plan.at, **described})


def _tensors(given: Data | Validation, names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of what is given for all, or for each seed, by name."""
    if not isinstance(given, Mapping):
        return dict(zip(names, given, strict=True))
    return {f"{name} {seed}": tensor for seed, own in given.items() for name, tensor in _tensors(own, names).items()}


def _key(run: Run) -> str:
    """The run as text; SGD and a β of 0 are not named, as in files that are older than these choices."""
    older = {"optimizer": "sgd", "beta": 0.0}
    return json.dumps({name: value for name, value in asdict(run).items() if older.get(name) != value})


def _stack(runs: Sequence[Run], data: Split) -> Stack:
    network = runs[0].network(data)
    stack = Stack(
        [copy.deepcopy(network).to(data.x_train.device)] * len(runs),
        lr=[run.lr for run in runs],
        optimizer=runs[0].optimizer,
        momentum=[run.momentum for run in runs],
        weight_decay=[run.weight_decay for run in runs],
    )
    for number, run in enumerate(runs):
        stack.load(number, run.initialize_(network))
    return stack


def _minibatches(runs: Sequence[Run], steps: int, examples: int) -> Iterator[Tensor]:
    """Each step's indices, of shape (members, batch_size): the draws that single steps would make."""
    generators, size = [run.batches() for run in runs], runs[0].batch_size
    for first in range(0, steps, STEP_BLOCK):
        shape = min(STEP_BLOCK, steps - first), size
        yield from torch.stack([torch.randint(examples, shape, generator=g) for g in generators], dim=1)


def _evaluate(stack: Stack, parts: Sequence[Part]) -> Tensor:
    """Of every member loss and accuracy on each part, in the order of :data:`METRICS`, of shape (members, metrics)."""
    return torch.stack([metric for part in parts for metric in _loss_and_accuracy(stack, *part)], dim=1)


def _loss_and_accuracy(stack: Stack, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means over any number of examples, of which a stack evaluates some at a time."""
    losses, accuracies, place = [], [], y.dim() - 1
    for inputs, labels in zip(x.split(EVAL_BATCH, dim=place), y.split(EVAL_BATCH, dim=place), strict=True):
        loss, accuracy = stack.evaluate(inputs, labels)
        losses.append(labels.shape[-1] * loss)
        accuracies.append(labels.shape[-1] * accuracy)
    return torch.stack(losses).sum(0) / y.shape[-1], torch.stack(accuracies).sum(0) / y.shape[-1]


def _chunks(
    runs: Iterable[Run], data: Split, memory: int, executor: Executor | None = None, examples: int = EVAL_BATCH
) -> list[list[Run]]:
    """Cut a grid into stacks: one shape each, small enough for the cache and the memory, enough for all workers."""
    workers = torch.get_num_threads() if executor is None else getattr(executor, "_max_workers", os.cpu_count() or 1)
    chunks = []
    for _, group in groupby(sorted(runs, key=lambda run: str(run.shape)), key=lambda run: run.shape):
        members = list(group)
        most = _members(members[0], data, memory // workers, examples)
        # As many pieces as memory and cache demand, and more if a worker would have none; but none too small to pay.
        pieces = max(math.ceil(len(members) / most), min(workers, len(members) // MIN_MEMBERS), 1)
        size = math.ceil(len(members) / pieces)
        chunks += [members[start : start + size] for start in range(0, len(members), size)]
    return chunks


def _members(run: Run, data: Split, memory: int, examples: int) -> int:
    """How many networks like this one make a good stack: their memory fits, and one layer's outputs fit the cache."""
    network, itemsize = run.network(data), data.x_train.element_size()
    weights, inputs = sum(parameter.numel() for parameter in network.parameters()), data.x_train[0].numel()
    outputs = _output_sizes(network, data)
    per_example = PER_OUTPUT * sum(outputs) + PER_INPUT * inputs
    each = itemsize * (OPTIMIZERS[run.optimizer].per_weight * weights + per_example * max(run.batch_size, examples))
    room = memory // each - _padding_members(run)
    if room < 1:
        need = each * (1 + _padding_members(run))
        raise ValueError(f"one network of {run} takes about {need:,} bytes, but memory allows {memory:,} a worker")
    cached = CACHE // (itemsize * run.batch_size * max(outputs))
    return int(min(room, max(MIN_MEMBERS, cached)))


@torch.no_grad()
def _output_sizes(network: nn.Sequential, data: Split) -> list[int]:
    """How many numbers each layer puts out for one example."""
    h, sizes = data.x_train[:2], []  # two, for BatchNorm takes no single example
    for layer in network:
        h = layer(h)
        sizes.append(h.numel() // len(h))
    return sizes


def _padding_members(run: Run) -> int:
    """How many copies of the last member to train along at the end of a stack, so that no other depends on its place.

    Two things would make a member's last bits depend on the stack it is in. A single matrix product takes a different
    path through the library than several at once, so a stack of one gets company. And a loop over all entries takes
    :data:`REGISTERS` at a time and computes the rest, which does not fill the registers, by another formula; there are
    enough copies for that rest to lie in them.
    """
    return math.ceil((REGISTERS - 1) / run.width)


def _on(device: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The data where the training is to be."""
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device = {device!r}, but it must be one that torch computes on here: {error}") from error
    return tuple(tensor.to(device) for tensor in tensors)


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


def _collect(chunks: Mapping[Future[list[Trained]], list[Run]], finished: Checkpoint, bar: "tqdm[Any]") -> None:
    """Keep each stack's trainings as it finishes; whatever ends the sweep, write what is finished."""
    try:
        for future in as_completed(chunks):
            finished.add(_by_key(chunks[future], future))
            bar.update(len(chunks[future]))
    finally:
        for future, runs in chunks.items():
            if not future.cancel() and future.done() and not future.exception():
                finished.trained |= _by_key(runs, future)
        finished.save()


def _by_key(runs: Sequence[Run], future: Future[list[Trained]]) -> dict[str, Trained]:
    return dict(zip(map(_key, runs), future.result(), strict=True))


def _sweep(runs: Sequence[Run], trained: Sequence[Trained], plan: Plan) -> Sweep:
    fields, losses = _fields(runs), np.stack([one.losses for one in trained])
    evaluations = np.stack([one.evaluations for one in trained], axis=1)  # (chosen steps, runs, metrics)
    metrics = [pd.DataFrame(values, columns=METRICS[: values.shape[1]]) for values in evaluations]
    curves = pd.concat(
        [pd.concat([fields.assign(step=step), values], axis=1) for step, values in zip(plan.at, metrics, strict=True)]
    )
    lost = pd.DataFrame(~np.isfinite(losses))
    table = pd.concat([fields, metrics[-1]], axis=1).assign(diverged=lost.any(axis=1))
    table["diverged_at"] = lost.idxmax(axis=1).where(table.diverged)  # the first step that is True
    return Sweep(table, curves.sort_index(kind="stable").reset_index(drop=True), losses)


def _fields(runs: Sequence[Run]) -> pd.DataFrame:
    return pd.DataFrame([asdict(run) for run in runs])
