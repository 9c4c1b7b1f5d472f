"""What the sweep engine gains: the plain ways of training many networks against stacks, and against what bounds them.

Every way of a row is timed in turn, in this one run, for the same number of networks and steps on two cores: batch 64
of the digits, float32, SGD or, where named, Adam. Times are microseconds per network and step. The plain ways train one
network after the other. The bound is the engine's matrix products alone, in stacks of the same size, on the same
threads.
"""

import resource
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from alternating import medians
from tutorial_utils.data import digits
from tutorial_utils.optimizers import for_one
from tutorial_utils.runs import Run, grid
from tutorial_utils.stack import Stack
from tutorial_utils.sweep import _members, _stack, train_many
from tutorial_utils.training import train

CORES = 2
ROUNDS = 5
BATCH = 64
SECONDS = 0.15  # about what one call of each way takes
DATA = digits(generator=torch.Generator().manual_seed(0))
WIDTHS, DEPTHS, NORMS = (32, 64, 128, 256), (3, 5, 10, 30), ("none", "batch")


def plain(run: Run, steps: int, threads: int = 1) -> None:
    """The loop that everyone writes."""
    torch.set_num_threads(threads)
    network = run.network(DATA)
    train(network, DATA.x_train, DATA.y_train, lr=run.lr, steps=steps, batch_size=BATCH, optimizer=run.optimizer)


def with_loader(run: Run, steps: int) -> None:
    """The same with a DataLoader."""
    torch.set_num_threads(1)
    network = run.network(DATA)
    optimizer = for_one(run.optimizer, network.parameters(), lr=run.lr)
    loader = DataLoader(TensorDataset(DATA.x_train, DATA.y_train), batch_size=BATCH, shuffle=True, drop_last=True)
    for x, y in islice((batch for _ in cycle([0]) for batch in loader), steps):
        loss = nn.functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def step(stack: Stack, steps: int) -> None:
    """A stack's share of the work."""
    torch.set_num_threads(1)
    for _ in range(steps):
        batch = torch.randint(len(DATA.x_train), (len(stack), BATCH))
        stack.step(DATA.x_train[batch], DATA.y_train[batch])


@torch.no_grad()
def products(stack: Stack, steps: int) -> None:
    """The matrix products of those steps, into memory that is there already."""
    torch.set_num_threads(1)
    weights = [tensor for name, tensor in stack.state.items() if tensor.dim() == 3]
    h = [
        torch.randn(len(stack), size, BATCH) for size in (weights[0].shape[2], *(weight.shape[1] for weight in weights))
    ]
    results = [torch.empty_like(tensor) for tensor in [*h, *weights]]
    outputs, gradients = results[: len(h)], results[len(h) :]
    for _ in range(steps):
        for layer, weight in enumerate(weights):
            torch.bmm(weight, h[layer], out=outputs[layer + 1])
        for layer, weight in reversed(list(enumerate(weights))):
            torch.bmm(h[layer + 1], h[layer].mT, out=gradients[layer])
            if layer:
                torch.bmm(weight.mT, h[layer + 1], out=outputs[layer])


def on_all_cores(
    pool: ThreadPoolExecutor | ProcessPoolExecutor, work: Callable[..., None], *arguments: Iterable[object]
) -> None:
    """One piece of work on each core."""
    list(pool.map(work, *arguments))


def row(run: Run, members: int, threads: ThreadPoolExecutor, processes: ProcessPoolExecutor) -> dict[str, str]:
    """Time every way at one shape; ``members`` networks in each stack."""
    torch.manual_seed(0)
    one = medians({"step": partial(plain, run, 10)}, 3)["step"] / 10
    steps = max(5, round(SECONDS / one))
    stacks = [_stack([run] * members, DATA) for _ in range(CORES)]
    in_stacks = max(2, round(2 * SECONDS / (one * members)))
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "1 thread": (partial(plain, run, steps), steps),
        "2 threads": (partial(plain, run, steps, 2), steps),
        "DataLoader": (partial(with_loader, run, steps), steps),
        "2 processes": (partial(on_all_cores, processes, plain, [run] * CORES, [steps] * CORES), CORES * steps),
        "engine": (partial(on_all_cores, threads, step, stacks, [in_stacks] * CORES), CORES * members * in_stacks),
        "bound": (partial(on_all_cores, threads, products, stacks, [in_stacks] * CORES), CORES * members * in_stacks),
    }
    seconds = medians({name: function for name, (function, _) in ways.items()}, ROUNDS)
    us = {name: 1e6 * seconds[name] / count for name, (_, count) in ways.items()}
    best = min(us[name] for name in list(ways)[:4])
    shape = {
        "width": str(run.width),
        "depth": str(run.depth),
        "norm": run.norm,
        "optimizer": run.optimizer,
        "stack": str(members),
    }
    ratios = {
        "x 1 thread": f"{us['1 thread'] / us['engine']:.1f}",
        "x best plain": f"{best / us['engine']:.1f}",
        "of the bound": f"{us['bound'] / us['engine']:.0%}",
    }
    return shape | {name: f"{value:.0f}" for name, value in us.items()} | ratios


def table(shapes: Iterable[tuple[Run, int]]) -> pd.DataFrame:
    """The rows of all shapes, on pools that are started once."""
    with ThreadPoolExecutor(CORES) as threads, ProcessPoolExecutor(CORES, get_context("spawn")) as processes:
        return pd.DataFrame([row(run, members, threads, processes) for run, members in shapes])


def whole(count: int) -> str:
    """One sweep from its configurations to its table, and the memory it takes."""
    torch.set_num_threads(CORES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sweep = partial(train_many, grid(seed=range(count)), DATA, steps=100)
    seconds = medians({"sweep": sweep}, 1)["sweep"]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return (
        f"{count} networks of 5 x 64, 100 steps and their evaluation: {seconds:.1f} s, {grown:.0f} MiB more than before"
    )


if __name__ == "__main__":
    shapes = grid(norm=NORMS, width=WIDTHS, depth=DEPTHS, lr=0.01)
    if "--quick" in sys.argv:
        shapes = [run for run in shapes if run.width < 128 and run.depth in (5, 10)]
    print(whole(512))
    print(table((run, _members(run, DATA, 2**30, BATCH)) for run in shapes).to_string(index=False))
    print("\nAdam, at 5 layers of 64 units:")
    adam = grid(norm=NORMS, optimizer="adam", lr=0.001)
    print(table((run, _members(run, DATA, 2**30, BATCH)) for run in adam).to_string(index=False))
    print("\nthe size of the stack, at 5 layers of 64 units:")
    print(table((Run(lr=0.01), members) for members in (4, 16, 64, 256, 512)).to_string(index=False))
