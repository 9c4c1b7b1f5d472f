"""All claims measured: the ledger, how it is stored, and what has changed since."""

import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
import torch

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.registry import Claim, Evidence, Verdict

#: The ledger that the book prints, written by ``make evidence``.
STORED = files("tutorial_utils.claims") / "ledger.json"
QUICK = 8  # seeds at least: with fewer, a median has no interval


class Entry(NamedTuple):
    """One row of the ledger: a claim's id, what was measured, and what follows."""

    id: str
    verdict: Verdict
    agreeing: tuple[str, ...]  # the conditions under which the statement is supported
    evidence: tuple[Evidence, ...]


def measure_claim(id: str, seeds: Sequence[int]) -> Entry:
    """Measure one claim.

    Raises:
        ValueError: for an id that no claim has.
    """
    claim = claim_by_id(id)
    evidence = claim.evidence(seeds)
    return Entry(id, claim.verdict(evidence), tuple(claim.agreeing(evidence)), tuple(evidence))


def claim_by_id(id: str) -> Claim:
    """Look a claim up.

    Raises:
        ValueError: for an id that no claim has.
    """
    if id not in CLAIMS:
        near = get_close_matches(id, CLAIMS, cutoff=0.5)
        raise ValueError(f"no claim is called {id!r}; {'near it' if near else 'all'}: {', '.join(near or CLAIMS)}")
    return CLAIMS[id]


def quick_seeds(claim: Claim) -> int:
    """How many seeds a quick measurement takes: a quarter of the full one, and at least eight."""
    return max(QUICK, claim.seeds // 4)


def measure_all(ids: Iterable[str], executor: Executor, *, seeds: int | None = None, first: int = 0) -> Iterator[Entry]:
    """Measure several claims, each on the seeds ``first``, ``first`` + 1, ...; iterate over them as they are done.

    Args:
        ids: of the claims.
        executor: runs them.
        seeds: how many seeds for each claim; without it, the claim's own number.
        first: the first seed.

    Raises:
        ValueError: for an id that no claim has, fewer than two seeds, or a negative one; at the call.
    """
    if seeds is not None and seeds < 2:
        raise ValueError(f"seeds = {seeds}, but an interval takes at least two")
    if first < 0:
        raise ValueError(f"first = {first}, but seeds begin at 0")
    counts = {id: claim_by_id(id).seeds if seeds is None else seeds for id in ids}
    futures = [executor.submit(measure_claim, id, range(first, first + count)) for id, count in counts.items()]
    return (future.result() for future in as_completed(futures))


def changes(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> list[str]:
    """Say which claims have another verdict, or hold under other conditions, than before."""
    return [
        f"{id}: {_described(old[id])} before, {_described(entry)} now"
        for id, entry in new.items()
        if id in old and _described(old[id]) != _described(entry)
    ]


def table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row for each claim and condition."""
    rows = [
        {"id": entry.id, "verdict": str(entry.verdict), **one._asdict(), "unit": CLAIMS[entry.id].unit}
        for entry in entries
        for one in entry.evidence
    ]
    return pd.DataFrame(rows)


def save(entries: Mapping[str, Entry], path: str | os.PathLike[str]) -> None:
    """Write a ledger, with what made it; the file is replaced whole."""
    ordered = [entries[id] for id in CLAIMS if id in entries]
    content = {"made_by": _provenance(), "claims": [_plain(entry) for entry in ordered]}
    new = Path(path).with_name(f".{Path(path).name}.new")
    new.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(new, path)


def load(text: str | None = None) -> dict[str, Entry]:
    """Read a ledger; without an argument, the one that the book prints.

    Raises:
        ValueError: if the text is not a ledger.
    """
    try:
        rows = json.loads(STORED.read_text(encoding="utf-8") if text is None else text)["claims"]
        return {row["id"]: _entry(row) for row in rows}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"this is not a ledger of claims: {error!r}") from error


def _described(entry: Entry) -> str:
    under = f" ({', '.join(entry.agreeing)})" if entry.verdict is Verdict.CONDITIONAL else ""
    return entry.verdict + under


def _provenance() -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    return {"command": "make evidence", **versions, "numpy": np.__version__, "scipy": scipy.__version__}


def _plain(entry: Entry) -> dict[str, Any]:
    """An entry as JSON can hold it: three significant digits more than are printed, infinity as a word."""
    evidence = [{name: _number(value) for name, value in one._asdict().items()} for one in entry.evidence]
    return {"id": entry.id, "verdict": entry.verdict, "agreeing": entry.agreeing, "evidence": evidence}


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value


def _entry(row: dict[str, Any]) -> Entry:
    numbers = ("effect", "low", "high")
    evidence = [Evidence(**one | {name: float(one[name]) for name in numbers}) for one in row["evidence"]]
    return Entry(row["id"], Verdict(row["verdict"]), tuple(row["agreeing"]), tuple(evidence))
