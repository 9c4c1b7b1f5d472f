"""Every exercise: each typical mistake gets its own hint, no right answer fails, and guessing earns nothing."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from exercise_bank import BANK, CHECKED, FUNCTIONS, RIGHT, Entry, ids, words
from randomness import THOROUGH, seeded

from tutorial_utils.exercises import EXERCISES, Result, check, run, toolbox
from tutorial_utils.exercises.checking import expectation, own_inputs, try_function
from tutorial_utils.exercises.compare import Estimate, Outcome, agree
from tutorial_utils.exercises.registry import Exercise, Inputs, Mistake, When

#: The seeds with which an answer is tried.
TRIALS = range(3 if THOROUGH else 1)
#: Inputs must separate every mistake from the right answer surely: so often is each tried once more.
SURELY = range(3, 8 if THOROUGH else 5)
WRONG = [entry for entry in BANK if entry.keyword]
MISTAKES = [(one, mistake) for one in CHECKED for mistake in one.mistakes if not isinstance(mistake.wrong, When)]


def judge(one: Exercise, answer: Any, trial: int) -> Result:
    """Check an answer with inputs of one's own; where a value is asked, the answer may be a function of the data."""
    if not one.value:
        return check(one.id, answer, generator=seeded(trial))
    student = f"student {trial}"
    value = answer(*own_inputs(one, student)) if callable(answer) else answer
    return check(one.id, value, student_id=student)


def refused(one: Exercise, answer: Any, trial: int) -> bool:
    """The same in brief, without looking for the reason."""
    if one.value:
        return not judge(one, answer, trial).passed
    return any(case.wrong for case in try_function(one, answer, seeded(trial)))


# --- mistakes and right answers -----------------------------------------------------------------------


@pytest.mark.parametrize(("one", "mistake"), MISTAKES, ids=[f"{one.id}: {it.hint[:50]}" for one, it in MISTAKES])
def test_every_mistake_gets_its_own_hint(one: Exercise, mistake: Mistake) -> None:
    for trial in TRIALS:
        result = judge(one, mistake.wrong, trial)
        assert not result.passed
        assert result.share < 1, "what does not pass must not earn everything"
        assert result.diagnosis == mistake.hint, str(result)
        assert words(mistake.hint) in words(result.hint)


@pytest.mark.slow
@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_every_mistake_is_refused_whatever_the_inputs(one: Exercise) -> None:
    for mistake in (mistake for owner, mistake in MISTAKES if owner is one):
        passed = [trial for trial in SURELY if not refused(one, mistake.wrong, trial)]
        assert not passed, f"{mistake.hint} passes with the seeds {passed}"


@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_no_two_mistakes_share_a_hint(one: Exercise) -> None:
    hints = [mistake.hint for mistake in one.mistakes]
    assert len(set(hints)) == len(hints)


@pytest.mark.parametrize("entry", WRONG, ids=ids(WRONG))
def test_a_mistake_made_in_another_way_gets_the_same_hint(entry: Entry) -> None:
    for trial in TRIALS:
        result = judge(EXERCISES[entry.exercise], entry.answer, trial)
        assert not result.passed
        assert words(entry.keyword) in words(result.diagnosis), str(result)


@pytest.mark.parametrize("entry", RIGHT, ids=ids(RIGHT))
def test_a_right_answer_passes_however_it_is_written(entry: Entry) -> None:
    for trial in TRIALS:
        result = judge(EXERCISES[entry.exercise], entry.answer, trial)
        assert result.passed, str(result)
        assert result.hint.startswith("Right: ")


@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_the_reference_passes(one: Exercise) -> None:
    assert all(judge(one, one.reference, trial).passed for trial in TRIALS)


@pytest.mark.parametrize("one", CHECKED, ids=ids(CHECKED))
def test_every_exercise_has_mistakes_and_right_answers_in_three_styles(one: Exercise) -> None:
    assert len([entry for entry in RIGHT if entry.exercise == one.id]) >= 3
    assert len(one.mistakes) >= 2


def test_the_bank_knows_only_exercises_that_exist() -> None:
    assert {entry.exercise for entry in BANK} <= set(EXERCISES)


# --- guessing -----------------------------------------------------------------------------------------

#: How often the result of an exercise is drawn to see how often it is the same.
DRAWS = range(60)


def most_frequent(one: Exercise, draw: Callable[..., Any]) -> float:
    """The share of the most frequent result among some draws."""
    found: list[tuple[Any, int]] = []
    for seed in DRAWS:
        came = performed(one, draw(generator=seeded(seed)))
        known = next((index for index, (seen, _) in enumerate(found) if alike(came, seen, one.rtol)), None)
        if known is None:
            found.append((came, 1))
        else:
            found[known] = (found[known][0], found[known][1] + 1)
    return max(count for _, count in found) / len(DRAWS)


def performed(one: Exercise, inputs: Inputs) -> Outcome:
    """What comes out, and what an answer must give for it, in the order in which it is asked.

    A description may put things in order that come at random, and then only the answer shows that.
    """
    gave: list[Any] = []

    def answer(*given: Any, **options: Any) -> Any:
        before = run.snapshot(run.cast(given))
        result = one.reference(*given, **options)
        after = run.snapshot(given)
        gave.append([run.to_data(result), *(after[place] for place in run.changed(before, after))])
        return result

    # Whose calls these are does not matter here: the answer above is the package's.
    with patch.object(toolbox, "_profile", lambda notice: contextlib.nullcontext()):
        came = expectation(replace(one, reference=answer), inputs)
    return came | {f"given {number}": value for number, value in enumerate(leaves(gave))}


def leaves(value: Any) -> Iterator[Any]:
    """What is no list in nested lists and dicts, in order."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if items is None:
        yield value
    else:
        for one in items:
            yield from leaves(one)


def alike(one: Any, other: Any, rtol: float) -> bool:
    return set(one) == set(other) and all(agree(one[name], other[name], rtol) for name in one)


def draws_numbers(one: Exercise) -> bool:
    """Whether an answer is to draw random numbers, so that what comes out is judged by its distribution."""
    return any(isinstance(part, Estimate) for part in expectation(one, one.inputs[0](generator=seeded())).values())


@pytest.mark.slow
@pytest.mark.parametrize("one", FUNCTIONS, ids=ids(FUNCTIONS))
def test_guessing_passes_no_more_often_than_the_registry_says(one: Exercise) -> None:
    if not draws_numbers(one):
        shares = [most_frequent(one, draw) for draw in one.inputs]
        assert math.prod(shares[case % len(shares)] for case in range(one.cases)) <= one.guessing
