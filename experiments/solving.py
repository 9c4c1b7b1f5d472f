"""How long the solutions of the exercises run, with their checks.

    make solving

Each master runs from top to bottom ROUNDS times in one process, on one thread. The seconds of an exercise are those of
the cells under its heading in the slowest round, mostly the first. The page for instructors states them.
"""

import contextlib
import io
import json
import time
from pathlib import Path

import matplotlib as mpl
import torch

import editions

RESULTS = editions.MASTERS / "seconds.json"
ROUNDS = 3


def run(master: Path) -> dict[str, float]:
    """The seconds of each exercise of a master."""
    names: dict[str, object] = {"__name__": "__main__"}
    spent: dict[str, float] = {}
    for cell in editions.read_master(master):
        if cell.kind == "code":
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(cell.solved, master.name, "exec"), names)
            spent[cell.exercise] = spent.get(cell.exercise, 0.0) + time.perf_counter() - start
    return {id: seconds for id, seconds in spent.items() if id}


def slowest(master: Path) -> dict[str, float]:
    """The seconds of each exercise in its slowest round."""
    rounds = [run(master) for _ in range(ROUNDS)]
    return {id: round(max(one[id] for one in rounds), 3) for id in rounds[0]}


def main() -> None:
    """Time all masters, and write the file that the table reads."""
    mpl.use("Agg")
    torch.set_num_threads(1)
    seconds: dict[str, float] = {}
    for master in editions.masters():
        found = slowest(master)
        print(f"{master.stem:30} {sum(found.values()):6.2f} s", flush=True)
        seconds |= found
    RESULTS.write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
