"""Measure claims again: ``python -m tutorial_utils.claims [id ...] [--seeds N] [--json FILE] [--replicate]``."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm.auto import tqdm

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import Entry, changes, load, measure_all, replication, save, table

BOOK, THIRD = (0, 1), (2,)  # sets of seeds: those that make the verdicts, and the one after them


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and say which verdicts differ from the book's: 1 if any does, 2 for a bad request."""
    options = _parser().parse_args(arguments)
    try:
        others = _stored_others(options)
        measured = _measured(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    entries, stored = {entry.id: entry for entry, _ in measured}, load()
    print(table(entries.values()).to_string(index=False, float_format="{:.3g}".format))
    if options.times:
        print(*(f"{seconds:6.1f} s  {entry.id}" for entry, seconds in sorted(measured, key=_slowest)), sep="\n")
    if options.json:
        save(others | entries, options.json)
    if options.replicate:
        print(replication(stored, entries))
    changed = changes(stored, entries)
    print(*[f"CHANGED {line}" for line in changed] or ["every verdict is the book's"], sep="\n")
    return bool(changed) and not options.replicate


def _slowest(one: tuple[Entry, float]) -> float:
    return -one[1]


def _stored_others(options: argparse.Namespace) -> dict[str, Entry]:
    """What a file to write holds already, so that measuring one claim does not lose the others."""
    keep = options.json and options.ids and options.json.exists()
    return load(options.json.read_text(encoding="utf-8")) if keep else {}


def _measured(options: argparse.Namespace) -> list[tuple[Entry, float]]:
    ids = list(dict.fromkeys(options.ids)) or list(CLAIMS)
    sets = THIRD if options.replicate else BOOK
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        found = measure_all(ids, pool, seeds=options.seeds, first=options.first, sets=sets)
        return list(tqdm(found, total=len(ids), unit="claim"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tutorial_utils.claims", description="Measure the claims again.")
    parser.add_argument("ids", nargs="*", metavar="id", help="claims to measure (default: all)")
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="seeds in a set (default: the claim's own number; below 8 few verdicts stand)",
    )
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default: 0, as in the book)")
    parser.add_argument(
        "--times", action="store_true", help="print the processor's seconds for each claim, the slowest first"
    )
    written = parser.add_mutually_exclusive_group()
    written.add_argument(
        "--replicate",
        action="store_true",
        help="measure a third set of seeds, and print the share of the book's verdicts that repeat",
    )
    written.add_argument(
        "--json",
        type=_writable,
        metavar="FILE",
        help="write what was measured; with ids, the other claims in FILE stay",
    )
    return parser


def _writable(text: str) -> Path:
    """A file that can be written, found out before minutes of measuring."""
    path = Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot write {text!r}: it must be a file in a folder that can be written to")
    return path


if __name__ == "__main__":
    sys.exit(main())
