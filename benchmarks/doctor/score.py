"""How a judge does on the cases.

A *judge* is any function of (model, batch, loss_fn, target) that returns what it finds as (kind, layer, severity),
the likeliest cause first: a kind of :data:`doctor.cases.KINDS`, or "" if it names no cause; the dotted name of a
module, "the batch", "the target", or "" if it names no place; 0 for a note, more for an alarm.
"""

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor, nn

from doctor.cases import NOTES, Case

Finding = tuple[str, str, float]
Judge = Callable[[nn.Module, Any, Callable[..., Tensor], Any], list[Finding]]


@dataclass(frozen=True)
class Answer:
    """What a judge said to one case, and what of it is right.

    ``error`` holds the exception of a judge that raised one, which detects nothing and accuses nobody.
    """

    case: Case
    findings: list[Finding]
    seconds: float
    error: str = ""

    @property
    def alarms(self) -> list[Finding]:
        """The findings that are more than notes."""
        return [finding for finding in self.findings if finding[2] > 0]

    @property
    def expected_notes(self) -> list[Finding]:
        """Notes that are the right answer."""
        return [finding for finding in self.findings if finding[0] in NOTES and self.case.is_cause(finding[0])]

    @property
    def first(self) -> Finding:
        """What counts as the judge's answer: the expected note, else the first alarm, else nothing."""
        return next(iter([*self.expected_notes, *self.alarms]), ("", "", 0))

    @property
    def detected(self) -> bool:
        """Whether anything was noticed: an alarm, or the expected note."""
        return bool(self.alarms or self.expected_notes)

    @property
    def named(self) -> bool:
        """Whether what was said first is a cause that an expert might name."""
        return self.case.is_cause(self.first[0])

    @property
    def located(self) -> bool:
        """Whether what was said first is in the right place."""
        return self.detected and self.case.is_place(self.first[1])


def ask(judge: Judge, case: Case) -> Answer:
    """Show one case to a judge."""
    problem = case.make()
    start = time.perf_counter()
    try:
        findings, error = judge(*problem), ""
    except Exception as raised:  # a judge that gives up on a model must not end the benchmark
        findings, error = [], f"{type(raised).__name__}: {raised}"
    return Answer(case, findings, time.perf_counter() - start, error)


def run(judge: Judge, cases: Iterable[Case]) -> list[Answer]:
    """Show every case to a judge."""
    return [ask(judge, case) for case in cases]


def table(answers: list[Answer]) -> pd.DataFrame:
    """One row a case: what was said first, and whether it is right (for healthy ones, whether nothing was said)."""
    rows = []
    for answer in answers:
        case, (kind, layer, _) = answer.case, answer.first
        row = {"part": case.part, "case": case.name, "healthy": case.healthy, "kinds": ", ".join(sorted(case.kinds))}
        row |= {"layers": ", ".join(sorted(case.layers or ())), "said": kind, "at": layer, "alarms": len(answer.alarms)}
        row |= {"detected": answer.detected, "named": answer.named, "placed": case.layers is not None}
        rows.append(row | {"located": answer.located, "seconds": answer.seconds, "error": answer.error})
    return pd.DataFrame(rows)


def stored(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a case, with its part, its name and its state, and one column a judge with the verdict in a word.

    ``silence``, ``alarm``, or of a fault what was right about the alarm: ``cause``, ``layer``, ``cause and layer``.
    A state of ``fault`` has a layer, ``fault of the whole`` has none.
    """
    index = ["part", "case", "state"]
    columns = {name: rows.assign(**_in_words(rows)).set_index(index)["verdict"] for name, rows in tables.items()}
    return pd.DataFrame(columns)


def _in_words(rows: pd.DataFrame) -> dict[str, list[str]]:
    records = rows.to_dict("records")
    states = ["healthy" if row["healthy"] else "fault" if row["placed"] else "fault of the whole" for row in records]
    return {"state": states, "verdict": [_verdict(row) for row in records]}


def _verdict(row: dict[Hashable, Any]) -> str:
    if not (row["alarms"] if row["healthy"] else row["detected"]):
        return "silence"
    right = {"cause": row["named"], "layer": row["placed"] and row["located"]}
    return " and ".join(word for word, so in right.items() if so and not row["healthy"]) or "alarm"


def summary(rows: pd.DataFrame) -> dict[str, str]:
    """False alarms, detected, root cause named, layer right: counts and shares; layers where a fault has a place."""
    healthy, faulty = rows[rows.healthy], rows[~rows.healthy]
    placed = faulty[faulty.placed]
    return {
        "healthy": str(len(healthy)),
        "false alarms": _share((healthy.alarms > 0).sum(), len(healthy)),
        "faults": str(len(faulty)),
        "detected": _share(faulty.detected.sum(), len(faulty)),
        "cause named": _share(faulty.named.sum(), len(faulty)),
        "layer right": _share(placed.located.sum(), len(placed)),
        "errors": str((rows.error != "").sum()),
        "seconds": f"{rows.seconds.sum():.0f}",
    }


def per_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """The same for each kind of fault; a case with several acceptable kinds counts under each."""
    faulty = rows[~rows.healthy]
    faulty = faulty.assign(kind=faulty.kinds.str.split(", ")).explode("kind")
    lines = {str(kind): summary(group) for kind, group in faulty.groupby("kind")}
    return pd.DataFrame(lines).T[["faults", "detected", "cause named", "layer right"]] if lines else pd.DataFrame()


def _share(count: float, total: int) -> str:
    return f"{count:.0f} ({count / total:.0%})" if total else "-"
