"""All claims measured: the ledger, how it is stored, and what has changed since."""

import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from difflib import get_close_matches
from importlib.resources import files
from itertools import chain
from pathlib import Path
from textwrap import fill, wrap
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
import torch

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.experiments import sharing
from tutorial_utils.claims.registry import Claim, Evidence, Outcome, Verdict

#: The ledger that the book prints, written by ``make evidence``.
STORED = files("tutorial_utils.claims") / "ledger.json"
QUICK = 8  # seeds at least: with fewer, a median has no interval
WIDTH = 84  # characters in a line that a page shows without scrolling


class Entry(NamedTuple):
    """One row of the ledger: a claim's id, what was measured, and what follows."""

    id: str
    verdict: Verdict
    outcomes: dict[str, Outcome]  # of every condition, in its order
    sets: tuple[tuple[Evidence, ...], ...]  # the evidence of every set of seeds, in the same order

    def cases(self, outcome: Outcome) -> list[str]:
        """The conditions with this outcome, in their order."""
        return [name for name, one in self.outcomes.items() if one is outcome]

    @property
    def where(self) -> str:
        """The conditions under which the statement holds, if they are only some of those that vote."""
        agreeing, votes = self.cases(Outcome.AGREES), len(self.outcomes) - len(self.cases(Outcome.CONTROL))
        return "; ".join(agreeing) if len(agreeing) < votes else ""

    def __str__(self) -> str:
        """The verdict, and where the statement holds if not everywhere."""
        named = self.verdict in (Verdict.SUPPORTED, Verdict.IN_SOME_CASES) and self.where
        return f"{self.verdict}: {named}" if named else self.verdict


def measure_claim(id: str, *sets: Sequence[int]) -> Entry:
    """Measure one claim on one or several sets of seeds.

    Raises:
        ValueError: for an id that no claim has.
    """
    claim = claim_by_id(id)
    return concluded(claim, *(claim.evidence(seeds) for seeds in sets))


def concluded(claim: Claim, *sets: tuple[Evidence, ...]) -> Entry:
    """Make the row that follows from the evidence of one or several sets of seeds."""
    outcomes = claim.outcomes(*sets)
    return Entry(claim.id, claim.verdict(outcomes.values()), outcomes, sets)


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


def measure_all(
    ids: Iterable[str],
    executor: Executor,
    *,
    seeds: int | None = None,
    first: int = 0,
    sets: Sequence[int] = (0, 1),
) -> Iterator[tuple[Entry, float]]:
    """Measure several claims, each on disjoint sets of seeds; iterate over the entries and the seconds each took.

    Args:
        ids: of the claims.
        executor: runs them, at a time all claims of one topic on one set of seeds, which share trainings.
        seeds: N, how many seeds are in a set; without it, the claim's own number.
        first: the first seed.
        sets: which sets; set k has the seeds from ``first`` + k N to ``first`` + (k + 1) N - 1.

    Raises:
        ValueError: for an id that no claim has, fewer than two seeds, or a negative one; at the call.
    """
    if seeds is not None and seeds < 2:
        raise ValueError(f"seeds = {seeds}, but an interval takes at least two")
    if first < 0:
        raise ValueError(f"first = {first}, but seeds begin at 0")

    topics: dict[str, list[Claim]] = {}
    for claim in map(claim_by_id, ids):
        topics.setdefault(claim.topic, []).append(claim)

    def submitted(claims: Sequence[Claim]) -> list[Future[list[Timed]]]:
        sizes = [(claim.id, seeds or claim.seeds) for claim in claims]
        parts = [[(id, range(first + k * n, first + (k + 1) * n)) for id, n in sizes] for k in sets]
        return [executor.submit(_timed, part) for part in parts]

    futures = [submitted(claims) for claims in topics.values()]
    return chain.from_iterable(_collected([future.result() for future in parts]) for parts in futures)


class Timed(NamedTuple):
    """The evidence of one claim on one set of seeds, and the seconds that it took."""

    id: str
    evidence: tuple[Evidence, ...]
    seconds: float


def _timed(claims: Sequence[tuple[str, Sequence[int]]]) -> list[Timed]:
    """Measure claims that may share trainings; what is shared is counted where it is first needed."""
    found = []
    with sharing():
        for id, seeds in claims:
            start = process_time()  # of the processor: what else the machine does then does not count
            evidence = claim_by_id(id).evidence(seeds)
            found.append(Timed(id, evidence, process_time() - start))
    return found


def _collected(sets: Sequence[Sequence[Timed]]) -> Iterator[tuple[Entry, float]]:
    for same in zip(*sets, strict=True):
        entry = concluded(claim_by_id(same[0].id), *(one.evidence for one in same))
        yield entry, sum(one.seconds for one in same)


def changes(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> list[str]:
    """Say which claims have another verdict, or hold elsewhere, than before."""
    return [f"{id}: {old[id]} -> {entry}" for id, entry in new.items() if id in old and f"{old[id]}" != f"{entry}"]


def unlike(old: Entry, new: Entry) -> list[str]:
    """Name the conditions that were decided before and do not say the same now."""
    decided = (Outcome.AGREES, Outcome.REFUTES)
    return [name for name, said in old.outcomes.items() if said in decided and new.outcomes.get(name) is not said]


def replication(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> str:
    """Say which share of the verdicts are the same in two ledgers, and name the conditions that are not."""
    both = [(old[id], entry) for id, entry in new.items() if id in old]
    same = [before.verdict is now.verdict for before, now in both]
    apart = {now.id: "; ".join(names) for before, now in both if (names := unlike(before, now))}
    lines = [f"NOT AGAIN {id}: {names}".rstrip(": ") for id, names in apart.items()]  # a lone condition has no name
    return "\n".join([*lines, f"{_share(same)} verdicts repeat"])


def _share(same: Sequence[bool]) -> str:
    return f"{sum(same)} of {len(same)}" + (f" ({sum(same) / len(same):.0%})" if same else "")


def table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row for each claim and condition; of the second set of seeds the effect and its interval follow."""
    rows = [
        {"id": entry.id, "verdict": str(entry.verdict), "outcome": str(entry.outcomes[same[0].condition])}
        | same[0]._asdict()
        | {"unit": CLAIMS[entry.id].unit}
        | {f"{name} again": getattr(again, name) for again in same[1:2] for name in ("effect", "low", "high")}
        for entry in entries
        for same in zip(*entry.sets, strict=True)
    ]
    return pd.DataFrame(rows)


def show(*ids: str) -> None:
    """Print rows of the book's ledger: the quantity, and of each condition effect, interval, and what that means.

    A condition of which two sets of seeds say different things is open, and both are printed.

    Raises:
        ValueError: for an id that no claim has.

    >>> show("quarter-circle")
    quarter-circle: supported
      mean singular value over 8 / (3 π), width 200; agrees from 0.99 to 1.01
      0.999 [0.998, 1]  agrees
    """
    stored = load()
    print(*(_shown(claim_by_id(id), stored[id]) for id in ids), sep="\n\n")


def _shown(claim: Claim, entry: Entry) -> str:
    low, high = claim.holds
    unit = f", in {claim.unit}" if claim.unit else ""
    about = f"{claim.quantity}{unit}; agrees from {low:.3g} to {high:.3g}"
    wrapped = fill(about, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([f"{claim.id}: {entry.verdict}", wrapped, *_rows(claim, entry)])


def _rows(claim: Claim, entry: Entry) -> Iterator[str]:
    """Each condition in columns, its name over several lines if it is long, and below it what other seeds gave."""
    wider = max(len(_interval(one)) for found in entry.sets for one in found)
    room = WIDTH - len(f"  {'':{wider}}    other seeds")
    wide = min(max(map(len, entry.outcomes)), room)
    name_column = wide + 2 if wide else 0
    for (name, outcome), *same in zip(entry.outcomes.items(), *entry.sets, strict=True):
        *above, last = wrap(name, room) or [""]
        yield from (f"  {line}" for line in above)
        yield f"  {last:{name_column}}{_interval(same[0]):{wider}}  {outcome}"
        if differs(claim, same):
            yield f"  {'':{name_column}}{_interval(same[1]):{wider}}  other seeds"


def differs(claim: Claim, same: Iterable[Evidence]) -> bool:
    """Whether the sets of seeds say different things of one condition."""
    return len({claim.outcome(one) for one in same}) > 1


def _interval(one: Evidence) -> str:
    ends = f"{one.low:.3g}, {one.high:.3g}" if one.has_interval else "no interval"
    return f"{one.effect:.3g} [{ends}]"


def save(entries: Mapping[str, Entry], path: str | os.PathLike[str]) -> None:
    """Write a ledger, one line for each condition, with what made it; the file is replaced whole."""
    claims = ",\n".join(_written(entries[id]) for id in CLAIMS if id in entries)
    new = Path(path).with_name(f".{Path(path).name}.new")
    new.write_text(f'{{"made_by": {_json(_provenance())},\n"claims": [\n{claims}\n]}}\n', encoding="utf-8")
    os.replace(new, path)


def load(text: str | None = None) -> dict[str, Entry]:
    """Read a ledger; without an argument, the one that the book prints.

    Raises:
        ValueError: if the text is not a ledger.
    """
    try:
        rows = json.loads(STORED.read_text(encoding="utf-8") if text is None else text)["claims"]
        return {row["id"]: _entry(row) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"this is not a ledger of claims: {error!r}") from error


def _provenance() -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    return {"command": "make evidence", **versions, "numpy": np.__version__, "scipy": scipy.__version__}


def _written(entry: Entry) -> str:
    rows = [
        {"condition": name, "outcome": outcome, "sets": [[*map(_number, one[1:4])] for one in same]}
        for (name, outcome), *same in zip(entry.outcomes.items(), *entry.sets, strict=True)
    ]
    head = _json({"id": entry.id, "verdict": entry.verdict, "seeds": entry.sets[0][0].seeds})
    return head[:-1] + ', "evidence": [\n ' + ",\n ".join(map(_json, rows)) + "]}"


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _number(value: float) -> float | str:
    """A number as JSON can hold it: three significant digits more than are printed, infinity as a word."""
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def _entry(row: dict[str, Any]) -> Entry:
    outcomes = {one["condition"]: Outcome(one["outcome"]) for one in row["evidence"]}
    found = [[_evidence(one["condition"], each, row["seeds"]) for each in one["sets"]] for one in row["evidence"]]
    sets = zip(*found, strict=True)
    return Entry(row["id"], Verdict(row["verdict"]), outcomes, tuple(sets))


def _evidence(condition: str, found: Sequence[float | str], seeds: int) -> Evidence:
    effect, low, high = map(float, found)
    return Evidence(condition, effect, low, high, seeds)
