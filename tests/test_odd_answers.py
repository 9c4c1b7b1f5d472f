"""Every exercise: whatever an answer does, the check ends, and says so in a kind sentence.

Apart from `test_exercises.py`, so that two workers share what takes longest.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from exercise_bank import CHECKED, FUNCTIONS, RIGHT, ids, words
from randomness import sample, seeded
from torch import Tensor

from tutorial_utils.exercises import check, run
from tutorial_utils.exercises.registry import Exercise, call


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


# A usual run tries each behavior with every fourth exercise, beginning with another one for each.
PAIRS = [(one, name) for start, name in enumerate(ODD) for one in sample(FUNCTIONS, 4, start % 4)]


@pytest.mark.parametrize(("one", "behavior"), PAIRS, ids=[f"{one.id}: {name}" for one, name in PAIRS])
def test_odd_behavior_gets_a_kind_sentence(one: Exercise, behavior: str) -> None:
    answer, sentence = ODD[behavior]
    result = check(one.id, answer, generator=seeded())
    assert not result.passed
    if one.observe is call:
        assert words(sentence) in words(result.hint)
    assert "Traceback" not in result.hint and "tutorial_utils" not in result.hint


LOOPED = sample(FUNCTIONS, 4)


@pytest.mark.parametrize("one", LOOPED, ids=ids(LOOPED))
def test_an_endless_loop_ends(one: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    def perform_briefly(*arguments: Any) -> run.Performance:
        with monkeypatch.context() as brief:  # the limit is for this answer alone: the right one may take longer
            brief.setattr(run, "LIMIT", 0.3)
            return run.perform_here(*arguments)

    result = check(one.id, spin, generator=seeded(), perform=perform_briefly)
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
                value.detach().copy_(value.detach() + 1)  # truth values, too
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
