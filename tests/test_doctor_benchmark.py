"""The cases of benchmarks/doctor are what they say, and the scores count what they should."""

import math
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

import pandas as pd
import pytest
import torch

from doctor.alternatives import JUDGES
from doctor.cases import BATCH, HEAVY, KINDS, NOTES, TARGET, Case, all_cases, fault, loss_of
from doctor.learning import copied, learns
from doctor.score import Answer, per_kind, run, stored, summary, table

CASES = all_cases()
FAST = [case for case in CASES if case.fast]
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of the library whose models are tried, and of compilers
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]


def named(pattern: str) -> Case:
    (case,) = [case for case in CASES if fnmatchcase(case.id, pattern)]
    return case


def first_loss(case: Case) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return float(loss_of(copied(case.make())))


def test_there_are_enough_cases_of_every_kind() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert sum(case.healthy for case in CASES) >= 60 and sum(not case.healthy for case in CASES) >= 80
    assert {kind for case in CASES for kind in case.kinds} == KINDS
    assert len({case.part for case in CASES if not case.healthy}) >= 4


def test_the_fast_cases_are_a_quarter_from_every_file() -> None:
    assert {case.part for case in FAST} == {case.part for case in CASES} - HEAVY
    assert len(FAST) / len(CASES) == pytest.approx(0.25, abs=0.02)


def check(case: Case) -> None:
    """A loss that is a number for healthy models, and a place that exists for every fault that has one."""
    before = torch.get_rng_state()
    model, _, _, _ = case.make()
    assert torch.equal(before, torch.get_rng_state())
    loss = first_loss(case)
    assert math.isfinite(loss) or "not-finite" in case.kinds or "running-statistics" in case.kinds
    assert loss == first_loss(case) or not math.isfinite(loss)
    places = {
        BATCH,
        TARGET,
        "",
        *dict(model.named_modules()),
        *dict(model.named_parameters()),
        *dict(model.named_buffers()),
    }
    lost = [pattern for pattern in case.layers or () if not any(fnmatchcase(place, pattern) for place in places)]
    assert not lost, f"{case.id}: nothing in the model is called {lost}"


@pytest.mark.parametrize("case", FAST, ids=lambda case: case.id)
def test_fast_cases_are_as_described(case: Case) -> None:
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted({case.part for case in CASES}))
def test_the_other_cases_are_as_described(part: str) -> None:
    for case in CASES:
        if case.part == part and not case.fast:
            check(case)


@pytest.mark.slow
def test_healthy_models_learn() -> None:
    for case in FAST:
        if case.healthy and case.part in {"healthy_dense", "healthy_sequences"}:
            assert learns(case)[2], case.id


def test_a_fault_without_a_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'wrong': kinds must be some of .*got \['bad-luck'\]"):
        fault("wrong", {"bad-luck"})


ALTERNATIVES = [
    ("sagemaker", "faults_dense: ReLU biases of -5", "dead-units"),
    ("sagemaker", "faults_dense: NaN in a weight", "not-finite"),
    ("sagemaker", "faults_dense: zero middle layer", "zero-initialized"),
    ("sagemaker", "faults_dense: everything is frozen", ""),
    ("thumb", "faults_dense: last layer x 30*", "first-loss"),
    ("thumb", "faults_dense: 30 ReLU layers drawn by LeCun", None),
    ("thumb", "healthy_dense: ReLU MLP, He", None),
    ("overfit", "faults_dense: 20 ReLU layers as torch draws them", ""),
    ("overfit", "healthy_dense: ReLU MLP, He", None),
]


def verdicts() -> pd.DataFrame:
    """What the chapter shows."""
    return pd.read_csv(files("tutorial_utils.diagnose") / "benchmark.csv", keep_default_na=False)


def test_the_stored_verdicts_are_those_of_the_present_cases() -> None:
    found = verdicts()
    found = found[found["part"].isin({case.part for case in CASES})]
    assert {*zip(found["part"], found["case"], strict=True)} == {(case.part, case.name) for case in CASES}
    assert {*found} == {"part", "case", "state", *JUDGES}


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted({case.part for case in FAST}))
def test_the_stored_verdicts_of_diagnose_are_what_it_says(part: str) -> None:
    asked = table(run(JUDGES["diagnose"], [case for case in FAST if case.part == part]))
    now = stored({"diagnose": asked})["diagnose"]
    then = verdicts().set_index(["part", "case", "state"])["diagnose"]
    assert now.to_dict() == then[now.index].to_dict()


def test_verdicts_in_a_word() -> None:
    placed, whole = named("faults_dense: NaN in a weight"), named("faults_dense: 30 ReLU layers drawn by LeCun")
    healthy = named("healthy_dense: ReLU MLP, He")
    said = [("not-finite", "4", 1.0), ("not-finite", "2", 1.0), ("first-loss", "4", 1.0), ("", "nowhere", 1.0)]
    answers = [Answer(placed, [finding], 0.0) for finding in said]
    answers += [Answer(placed, [], 0.0), Answer(whole, [("forward-scale", "", 1.0)], 0.0)]
    answers += [Answer(healthy, said[:1], 0.0), Answer(healthy, [("frozen", "0", 0.0)], 0.0)]
    words = stored({"judge": table(answers)})["judge"]
    assert [*words][:5] == ["cause and layer", "cause", "layer", "alarm", "silence"]
    assert [*words][5:] == ["cause", "alarm", "silence"]
    assert {state for _, _, state in words.index} == {"fault", "fault of the whole", "healthy"}


def perfect(case: Case) -> Answer:
    kind = min(case.kinds, default="")
    place = next((p for p in sorted(case.layers or ()) if "*" not in p), "anywhere")
    findings = [(kind, place, 0.0 if kind in NOTES else 1.0)] if kind else []
    return Answer(case, findings, 0.0)


def test_scores_of_a_perfect_a_silent_and_a_noisy_judge() -> None:
    exact = [case for case in CASES if not any("*" in p or "[" in p for p in case.layers or ())]
    best = summary(table([perfect(case) for case in exact]))
    assert best["false alarms"] == "0 (0%)"
    assert all("(100%)" in best[column] for column in ("detected", "cause named", "layer right"))
    silent = summary(table(run(lambda *problem: [], FAST)))
    assert silent["false alarms"].startswith("0 ") and silent["detected"].startswith("0 ")
    noisy = summary(table([Answer(case, [("", "nowhere", 2.0)], 0.0) for case in FAST]))
    assert "(100%)" in noisy["false alarms"] and "(100%)" in noisy["detected"]
    assert noisy["cause named"] == noisy["layer right"] == "0 (0%)"


def test_notes_accuse_nobody_and_are_right_where_expected() -> None:
    healthy, frozen = named("healthy_dense: zero head"), named("faults_dense: one layer is frozen")
    note = [("frozen", "4", 0.0)]
    assert not Answer(healthy, note, 0.0).alarms and not Answer(healthy, note, 0.0).detected
    answer = Answer(frozen, [("first-loss", "8", 1.0), *note], 0.0)
    assert answer.detected and answer.named and answer.located
    assert not Answer(named("faults_dense: NaN in a weight"), note, 0.0).detected


def test_a_parameter_of_the_right_layer_is_the_right_layer() -> None:
    case = named("faults_dense: NaN in a weight")
    assert case.is_place("4") and case.is_place("4.weight") and not case.is_place("2.weight") and not case.is_place("")


def test_a_judge_that_fails_is_counted_and_the_table_per_kind_has_every_kind() -> None:
    def fails(*problem: object) -> list[tuple[str, str, float]]:
        raise TypeError("no such model")

    rows = table(run(fails, FAST[:3]))
    assert summary(rows)["errors"] == "3" and set(rows.error) == {"TypeError: no such model"}
    kinds = per_kind(table([Answer(case, [], 0.0) for case in CASES]))
    assert set(kinds.index) == KINDS and per_kind(rows[rows.healthy]).empty


@pytest.mark.parametrize(
    "judge, pattern, kind",
    [pytest.param(*row, marks=pytest.mark.slow if row[0] != "thumb" else []) for row in ALTERNATIVES],
)
def test_alternatives(judge: str, pattern: str, kind: str | None) -> None:
    (answer,) = run(JUDGES[judge], [named(pattern)])
    assert not answer.error and (answer.first[0] if answer.findings else None) == kind


@pytest.fixture(scope="module")
def asked() -> pd.DataFrame:
    return table(run(JUDGES["diagnose"], FAST))


def wrong(rows: pd.DataFrame) -> str:
    """The cases that diagnose gets wrong, and what it says to them."""
    said = [f"{row['part']}: {row['case']}: {row['said']} at {row['at']}{row['error']}" for row in records(rows)]
    return "\n".join(said)


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


@pytest.mark.slow
def test_diagnose_accuses_none_of_the_healthy(asked: pd.DataFrame) -> None:
    accused = asked[asked.healthy & ((asked.alarms > 0) | (asked.error != ""))]
    assert len(accused) <= 0.02 * asked.healthy.sum(), wrong(accused)


@pytest.mark.slow
@pytest.mark.parametrize("column, share", [("detected", 0.97), ("named", 0.9), ("located", 0.9)])
def test_diagnose_finds_the_faults(asked: pd.DataFrame, column: str, share: float) -> None:
    faulty = asked[~asked.healthy & (asked.placed | (column != "located"))]
    assert faulty[column].mean() >= share, wrong(faulty[~faulty[column]])
