"""Print how judges do: ``PYTHONPATH=benchmarks python -m doctor``."""

import argparse
import json
import warnings
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from doctor.alternatives import JUDGES
from doctor.cases import Case, all_cases
from doctor.learning import learns
from doctor.score import per_kind, run, stored, summary, table


def main() -> None:
    """Read the command line, show the chosen cases to the chosen judges, print tables or JSON."""
    options = _options()
    cases = [case for case in all_cases() if _chosen(case, options)]
    if not cases:
        raise SystemExit(f"no case matches {options.only!r}; --list prints them all")
    warnings.simplefilter("ignore")  # what a judge warns of is its own affair
    if options.list:
        print("\n".join(case.id for case in cases))
    elif options.train:
        _train([case for case in cases if case.healthy])
    else:
        tables = {name: table(run(JUDGES[name], tqdm(cases, name))) for name in options.judge}
        print(_as_json(tables) if options.json else _as_text(tables, options.verbose))
        if options.store:
            _store(tables, options.store)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m doctor", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="a representative quarter of the cases")
    parser.add_argument(
        "--only", metavar="PATTERN", default="*", help="cases whose id matches, such as '*images: U-Net*'"
    )
    parser.add_argument("--judge", nargs="+", choices=JUDGES, default=list(JUDGES), help="all by default")
    parser.add_argument("--json", action="store_true", help="one record a judge and case, nothing else")
    parser.add_argument("--store", type=Path, metavar="FILE", help="write each judge's verdicts into this CSV")
    parser.add_argument("--verbose", action="store_true", help="also the cases that a judge got wrong")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument("--train", action="store_true", help="check instead that the healthy models learn")
    return parser.parse_args()


def _chosen(case: Case, options: argparse.Namespace) -> bool:
    pattern = options.only if "*" in options.only else f"*{options.only}*"
    return fnmatch(case.id, pattern) and (case.fast or not options.fast)


def _store(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Write one line a case and one column a judge; what was not asked now stays as it was, or empty."""
    verdicts = stored(tables)
    if path.exists():
        before = pd.read_csv(path, keep_default_na=False).set_index(list(verdicts.index.names))
        verdicts = verdicts.combine_first(before)
    verdicts.sort_index().sort_index(axis="columns").fillna("").to_csv(path)


def _train(cases: list[Case]) -> None:
    """Print the losses of the healthy models that do not learn; an exit code of 1 if there are any."""
    bad = 0
    for case in cases:
        first, last, learned = learns(case)
        bad += not learned
        print(f"{'' if learned else 'DOES NOT LEARN  '}{case.id}: {first:.3g} to {last:.3g}", flush=True)
    raise SystemExit(bad > 0)


def _as_json(tables: dict[str, pd.DataFrame]) -> str:
    records = [rows.assign(judge=name).to_dict("records") for name, rows in tables.items()]
    return json.dumps([record for group in records for record in group], indent=1, default=str)


def _as_text(tables: dict[str, pd.DataFrame], verbose: bool) -> str:
    lines = [pd.DataFrame({name: summary(rows) for name, rows in tables.items()}).T.to_string()]
    for name, rows in tables.items():
        lines += [f"\n{name}, by file\n", _by_part(rows), f"\n{name}, by kind of fault\n", per_kind(rows).to_string()]
        lines += [f"\n{name}, wrong\n", *_wrong(rows)] if verbose else []
    return "\n".join(lines)


def _by_part(rows: pd.DataFrame) -> str:
    return pd.DataFrame({str(part): summary(group) for part, group in rows.groupby("part")}).T.to_string()


def _wrong(rows: pd.DataFrame) -> list[str]:
    """One entry for each case that is not answered right in every respect."""
    entries = []
    for row in rows.to_dict("records"):
        right = row["alarms"] == 0 if row["healthy"] else row["named"] and (row["located"] or not row["placed"])
        if row["error"] or not right:
            wanted = "healthy" if row["healthy"] else f"{row['kinds']} at {row['layers'] or 'the whole model'}"
            spoke = row["detected"] or row["alarms"]
            said = f"{row['said'] or 'no cause'} at {row['at'] or 'no place'}" if spoke else "nothing"
            said = str(row["error"])[:200] or said
            entries.append(f"{row['part']}: {row['case']}\n    is: {wanted}\n    said: {said}")
    return entries


if __name__ == "__main__":
    main()
