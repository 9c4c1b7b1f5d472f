"""The checker: every typical mistake gets its own hint, no right answer fails, nothing an answer does breaks it."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from exercise_bank import BANK, Entry
from randomness import seeded
from torch import Tensor

from tutorial_utils.exercises import EXERCISES, Result, check, running
from tutorial_utils.exercises.individual import own_inputs
from tutorial_utils.exercises.registry import Exercise, Kind, call

pytestmark = pytest.mark.slow

STUDENTS = ("ada", "grace", "emmy")
SEEDS = range(3)
CHECKED = [one for one in EXERCISES.values() if one.reference is not None]
FUNCTIONS = [one for one in CHECKED if not one.value]
RIGHT = [entry for entry in BANK if not entry.keyword]
WRONG = [entry for entry in BANK if entry.keyword]


def judge(entry: Entry, trial: int) -> Result:
    """Check an answer of the bank with inputs of one's own."""
    one = EXERCISES[entry.exercise]
    if not one.value:
        return check(one.id, entry.answer, generator=seeded(trial))
    value = entry.answer(*own_inputs(one, STUDENTS[trial]))
    return check(one.id, value, student_id=STUDENTS[trial])


def words(text: str) -> str:
    return " ".join(text.split()).casefold()


def ids(entries: list[Any]) -> list[str]:
    return [entry.name if isinstance(entry, Entry) else entry.id for entry in entries]


# --- the bank -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", WRONG, ids=ids(WRONG))
def test_a_wrong_answer_gets_the_hint_for_its_mistake(entry: Entry) -> None:
    for trial in SEEDS:
        result = judge(entry, trial)
        assert not result.passed
        assert words(entry.keyword) in words(result.diagnosis), str(result)
        assert words(result.diagnosis) in words(result.hint)


@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_no_two_wrong_answers_share_a_hint(one: Exercise) -> None:
    hints = [judge(entry, 0).diagnosis for entry in WRONG if entry.exercise == one.id]
    assert len(set(hints)) == len(hints)


@pytest.mark.parametrize("entry", RIGHT, ids=ids(RIGHT))
def test_a_right_answer_passes_however_it_is_written(entry: Entry) -> None:
    for trial in SEEDS:
        result = judge(entry, trial)
        assert result.passed, str(result)
        assert result.hint.startswith("Right: ")


@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_the_bank_covers_every_exercise(one: Exercise) -> None:
    right, wrong = ([entry for entry in group if entry.exercise == one.id] for group in (RIGHT, WRONG))
    assert len(right) >= 3
    assert len(wrong) >= (5 if one.kind is Kind.IMPLEMENT else 2)


@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_every_mistake_is_told_from_the_right_answer_and_from_the_others(one: Exercise) -> None:
    for mistake in one.mistakes:
        if mistake.wrong is None:
            continue
        answer = mistake.wrong if callable(mistake.wrong) else (lambda *data, value=mistake.wrong: value)
        found = [judge(Entry(one.id, "", answer), trial).diagnosis for trial in SEEDS]
        assert found == [mistake.hint] * len(SEEDS)


def test_the_bank_knows_only_exercises_that_exist() -> None:
    assert {entry.exercise for entry in BANK} <= set(EXERCISES)


# --- whatever an answer does --------------------------------------------------------------------------


def refuse(*inputs: Any) -> None:
    raise NotImplementedError


def fail(*inputs: Any) -> float:
    return 1 / 0


def recurse(*inputs: Any) -> Any:
    return recurse(*inputs)


def leave(*inputs: Any) -> None:
    raise SystemExit(0)


def spin(*inputs: Any) -> None:
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


def give_nothing(*inputs: Any) -> None:
    return None


ODD: dict[str, tuple[Callable[..., Any], str]] = {
    "not written": (refuse, "not written yet"),
    "an exception": (fail, "ZeroDivisionError: division by zero, in your line `return 1 / 0`"),
    "endless recursion": (recurse, "calls itself without end"),
    "an exit": (leave, "exit"),
    "no return": (give_nothing, "None"),
    "another type": (lambda *inputs: object(), ""),
    "a text": (lambda *inputs: "result", ""),
    "an empty tensor": (lambda *inputs: torch.zeros(0), ""),
    "a wrong number of things": (lambda *inputs: (torch.zeros(1),) * 7, ""),
    "too few parameters": (lambda: None, "TypeError"),
}


@pytest.mark.parametrize("behavior", ODD)
@pytest.mark.parametrize("one", FUNCTIONS, ids=ids(FUNCTIONS))
def test_odd_behavior_gets_a_kind_sentence(one: Exercise, behavior: str) -> None:
    answer, sentence = ODD[behavior]
    result = check(one.id, answer, generator=seeded())
    assert not result.passed
    if one.observe is call:
        assert words(sentence) in words(result.hint)
    assert "Traceback" not in result.hint and "tutorial_utils" not in result.hint


@pytest.mark.parametrize("one", FUNCTIONS, ids=ids(FUNCTIONS))
def test_an_endless_loop_ends(one: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LIMIT", 0.3)
    result = check(one.id, spin, generator=seeded())
    assert not result.passed
    assert "loop that never stops" in words(result.hint)


def right_function(one: Exercise) -> Callable[..., Any]:
    return next(entry.answer for entry in RIGHT if entry.exercise == one.id)


def spoil(value: Any) -> Any:
    return type(value)(spoil(item) for item in value) if isinstance(value, (tuple, list)) else value * math.nan


PURE = [one for one in FUNCTIONS if one.observe is call and not one.changes]


@pytest.mark.parametrize("one", PURE, ids=ids(PURE))
def test_nan_is_named(one: Exercise) -> None:
    result = check(one.id, lambda *inputs: spoil(right_function(one)(*inputs)), generator=seeded())
    assert not result.passed
    assert "nan" in words(result.hint)


@pytest.mark.parametrize("one", PURE, ids=ids(PURE))
def test_a_changed_input_is_named(one: Exercise) -> None:
    def vandal(*inputs: Any) -> Any:
        result = right_function(one)(*inputs)
        for value in inputs:
            if isinstance(value, Tensor):
                value.detach().add_(1)
        return result

    tensors = any(isinstance(value, Tensor) for draw in one.inputs for value in draw(generator=seeded()))
    result = check(one.id, vandal, generator=seeded())
    assert result.passed is not tensors
    assert not tensors or "changes its input" in words(result.hint)


@pytest.mark.parametrize("one", FUNCTIONS, ids=ids(FUNCTIONS))
def test_a_result_in_place_of_the_function_is_named(one: Exercise) -> None:
    assert "wants the function itself" in words(check(one.id, torch.ones(2)).hint)


@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_an_ellipsis_is_not_written_yet(one: Exercise) -> None:
    result = check(one.id, ...)
    assert not result.passed and "not written yet" in result.hint


VALUES = [one for one in CHECKED if one.value]


@pytest.mark.parametrize("value", [math.nan, -math.inf, "a word", [1, 2, 3, 4, 5], None, object(), torch.zeros(3), len])
@pytest.mark.parametrize("one", VALUES, ids=ids(VALUES))
def test_an_odd_value_gets_a_kind_sentence(one: Exercise, value: Any) -> None:
    result = check(one.id, value)
    assert not result.passed and result.hint


@pytest.mark.parametrize("one", VALUES, ids=ids(VALUES))
def test_a_wrong_value_does_not_reveal_the_right_one(one: Exercise) -> None:
    assert "expected" not in check(one.id, 12345.678).hint
