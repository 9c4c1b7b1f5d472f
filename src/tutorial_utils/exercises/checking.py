"""Check an answer, and say in words what is right or wrong with it.

From call to verdict: :func:`check` draws inputs; :func:`try_once` lets the answer perform on each, and keeps a
:class:`~tutorial_utils.exercises.compare.Case` of what came out and what was expected; ``_verdict`` asks for the
known mistake that explains the cases (module ``match``), and where there is none, for what can be seen (``hints``).
"""

import difflib
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

import torch

from tutorial_utils.exercises import hints, settings
from tutorial_utils.exercises.compare import Case, Outcome, agree, fitted, named
from tutorial_utils.exercises.match import best_match, result_of
from tutorial_utils.exercises.registry import EXERCISES, Exercise, Function, Inputs, When
from tutorial_utils.exercises.run import (
    Perform,
    Performance,
    Raised,
    cast,
    changed,
    described,
    perform_here,
    snapshot,
    to_data,
)

#: What readers guessed at first, by exercise.
FIRST_GUESSES: dict[str, Any] = {}
#: How often data are drawn before those are taken for which a mistake cannot be told from another answer.
REDRAWS = 50


#: The share of the points for a right result that came with something unasked: a changed input, too few digits.
FLAWED = 0.5


class Part(NamedTuple):
    """A part of what was asked for: its name, and what is wrong with it, "" if nothing is."""

    name: str
    reason: str


@dataclass(frozen=True)
class Result:
    """What a check found; printing it gives the tutor's words."""

    #: The exercise.
    id: str
    passed: bool
    #: What a tutor says.
    hint: str
    #: The hint of the known mistake that explains the answer; "" if none does.
    diagnosis: str = ""
    #: The parts that earn points of their own.
    parts: tuple[Part, ...] = ()
    #: The share of the points, from 0 to 1: of the parts those that are right on every input; half for a right result
    #: with a flaw.
    share: float = 0.0

    def __bool__(self) -> bool:
        """Whether the answer is right."""
        return self.passed

    def __repr__(self) -> str:
        """The tutor's words."""
        return self.hint


def check(
    id: str,
    answer: Any,
    *,
    later: bool = False,
    student_id: str | None = None,
    generator: torch.Generator | None = None,
    perform: Perform | None = None,
    guess: Any = None,
) -> Result:
    """Check an answer: right, or what went wrong, in words; nothing that the answer does makes this raise.

    The answer is only called, never inspected. A function is tried on random inputs; each call gets copies of them and
    has :data:`~tutorial_utils.exercises.run.LIMIT` seconds. While it runs, the inputs' dtype is the default dtype, and
    gradients are on; all else that was set in torch holds for it, and for nothing that judges it.

    Args:
        id: the exercise.
        answer: the function, class or value that it asks for; ``...`` for one not written yet.
        later: whether only who grades has the exercise, one of a course's own: then it is not checked here.
        student_id: whose data the answer is about, where :func:`data` was asked for them.
        generator: draws the inputs; without one they are different each time.
        perform: runs the answer on one input; without one it runs here, and another one may do so in another process.
        guess: what the reader expects, where the exercise asks for that first; ``...`` if it is not written yet. Only
            the first guess counts, and a right answer is compared with it.

    Raises:
        ValueError: if there is no such exercise.
    """
    if later and id not in EXERCISES:
        return Result(id, False, f"{id}: this answer is checked when you hand it in.")
    exercise = find(id)
    if _is_open(guess):
        return Result(id, False, f"{id}: not written yet. First write down your guess, which is not graded.")
    if guess is not None:
        FIRST_GUESSES.setdefault(id, to_data(guess))
    with settings.judging() as theirs:
        result = _checked(exercise, answer, student_id, generator, perform or _perform_under(theirs))
    if guess is None or not result.passed:
        return result
    return replace(result, hint=f"{result.hint}\n{hints.paragraph(hints.of_guess(exercise, FIRST_GUESSES[id]))}")


def _perform_under(theirs: Mapping[str, Any]) -> Perform:
    """Run an answer here, under the settings that its author knows."""

    def perform(*arguments: Any) -> Performance:
        with settings.held(theirs):
            return perform_here(*arguments)

    return perform


def _checked(
    exercise: Exercise, answer: Any, student_id: str | None, generator: torch.Generator | None, perform: Perform
) -> Result:
    """Check an answer, whatever was guessed before."""
    if _is_open(answer) or (answer is None and exercise.value):
        return _not_written(exercise)
    if callable(answer) == exercise.value:
        return _wrong(exercise, hints.of_kind(exercise, answer))
    if exercise.value:
        return _verdict([try_value(exercise, answer, student_id)])
    generator = generator or torch.Generator().manual_seed(secrets.randbits(63))
    return _verdict(list(try_function(exercise, answer, generator, perform, student_id)))


def find(id: str) -> Exercise:
    """The exercise with an id; ValueError if there is none with a check."""
    if id in EXERCISES:
        return EXERCISES[id]
    near = difflib.get_close_matches(str(id), EXERCISES, n=3, cutoff=0.4)
    known = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(EXERCISES)}"
    raise ValueError(f"there is no exercise {id!r} to check (a person grades answers in words); {known}")


def _is_open(answer: Any) -> bool:
    """Whether an answer, or a part of one that has parts, is still the ``...`` of the stub."""
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, (tuple, list)) else (answer,)
    return any(part is ... for part in parts)


# --- cases --------------------------------------------------------------------------------------------


def try_function(
    exercise: Exercise,
    answer: Function,
    generator: torch.Generator,
    perform: Perform = perform_here,
    student_id: str | None = None,
) -> Iterator[Case]:
    """Try a function on random inputs, until all are done or it took too long."""
    kinds = len(exercise.inputs)
    for number in range(exercise.cases):
        if number % kinds == 0:  # each round has all kinds of inputs, in an order that no answer can count on
            order = torch.randperm(kinds, generator=generator).tolist()
        # float64 and float32 take turns, each for one round
        single = number // kinds % 2 and exercise.rtol32 is not None
        dtype = torch.float32 if single else torch.float64
        draw = exercise.inputs[order[number % kinds]]
        inputs = cast(draw(generator=generator, **_student(exercise, student_id)), dtype)
        case = try_once(exercise, answer, inputs, dtype, perform)
        yield case
        if isinstance(case.result, Raised) and case.result.kind in ("TimeUp", "NotImplementedError"):
            break


def _student(exercise: Exercise, student_id: str | None) -> dict[str, int]:
    """What a draw needs to know of the student, for exercises about things of one's own."""
    return {"student": seed_of(student_id or "", exercise.id)} if exercise.own else {}


def try_value(exercise: Exercise, answer: Any, student_id: str | None) -> Case:
    """Look at a value for a student's data."""
    inputs = own_inputs(exercise, student_id)
    return Case(exercise, inputs, torch.float64, expectation(exercise, inputs), to_data(answer))


def try_once(exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype, perform: Perform) -> Case:
    """Try a function on one input."""
    performance = perform(exercise, answer, inputs, dtype)
    positions = changed(snapshot(inputs), performance.inputs_after) if performance.inputs_after else []
    names = [exercise.names[position] for position in positions if position not in exercise.changes]
    result = described(exercise, performance, inputs, dtype)
    return Case(exercise, inputs, dtype, expectation(exercise, inputs, dtype), result, names)


def expectation(exercise: Exercise, inputs: Inputs, dtype: torch.dtype = torch.float64) -> Outcome:
    """What a right answer gives."""
    right = result_of(exercise, exercise.reference, inputs, dtype)
    if right is None or isinstance(right, Raised):  # a fault of the exercise
        raise RuntimeError(f"exercise {exercise.id!r}: from its reference came {right}")
    return named(right, exercise.parts)


# --- verdict ------------------------------------------------------------------------------------------


def _verdict(cases: list[Case]) -> Result:
    """Right, or what is wrong: first whether the answer ran, then its values, then side effects and precision."""
    exercise, last = cases[0].exercise, cases[-1]
    if isinstance(last.result, Raised) and last.result.is_stub:
        return _not_written(exercise)
    if isinstance(last.result, Raised) and last.result.kind == "TimeUp":
        return _wrong(exercise, hints.of_exception(last.result), hints.shown(last))
    if any(case.wrong for case in cases):
        return _explain(cases)
    if touched := [name for case in cases for name in case.changed]:
        hint = f"The result is right, but your code changes its input `{touched[0]}`. Work on a copy."
        return replace(_wrong(exercise, hint), share=FLAWED)
    words = exercise.right or ("the value is as computed." if exercise.value else "as expected on every random input.")
    coarse = next(filter(None, map(hints.of_precision, cases)), "")
    return Result(exercise.id, True, hints.paragraph(f"Right: {words} {coarse}".rstrip()), share=1.0)


def _explain(cases: list[Case]) -> Result:
    """Say what is wrong, on the whole and part by part."""
    exercise, expected = cases[0].exercise, cases[0].expected
    wrong = [name for name in expected if any(name in case.wrong for case in cases)]
    if not exercise.credited or set(exercise.required) & set(wrong):
        return _diagnose(cases)
    names = [name for name in exercise.credited if name in expected]
    if not set(names) & set(wrong):  # then what is wrong counts as a part: not all is right
        names.append(wrong[0])
    parts = tuple(Part(name, hints.of_credit(name, cases)) for name in names)
    return replace(_diagnose(cases), parts=parts, share=sum(not part.reason for part in parts) / len(parts))


def _diagnose(cases: list[Case]) -> Result:
    """Name the known mistake, or say what can be seen; show the smallest wrong case."""
    smallest, known = min((case for case in cases if case.wrong), key=lambda case: case.size), best_match(cases)
    shown = hints.shown(smallest, smallest.wrong)
    if known and not (known.contradicted and hints.exchanged(smallest)):
        return _wrong(smallest.exercise, hints.of_mistake(known), shown, known.mistake.hint)
    return _wrong(smallest.exercise, hints.of_cases(smallest, cases), shown)


def _not_written(exercise: Exercise) -> Result:
    return Result(exercise.id, False, f"{exercise.id}: not written yet.")


def _wrong(exercise: Exercise, hint: str, shown: str = "", diagnosis: str = "") -> Result:
    return Result(exercise.id, False, hints.paragraph(f"Not yet. {hint}") + shown, diagnosis)


# --- data of one's own --------------------------------------------------------------------------------


def data(id: str, *, student_id: str | None = None) -> Any:
    """The numbers that an exercise is about: a student's own, or without an id those of the book.

    Returns:
        What the exercise draws; a single thing as it is, several as a tuple.

    Raises:
        ValueError: if there is no such exercise, or it has no data.
    """
    exercise = find(id)
    with settings.judging():
        inputs = own_inputs(exercise, student_id) if exercise.value or exercise.own else ()
    if not inputs:
        raise ValueError(f"exercise {id!r} has no data of its own")
    return inputs[0] if len(inputs) == 1 else inputs


def own_inputs(exercise: Exercise, student_id: str | None) -> Inputs:
    """The data of an exercise that belong to a student; without an id, the same for everybody.

    Numbers for which a mistake gives the right value, or that of another mistake, are drawn again.
    """
    stream = torch.Generator().manual_seed(seed_of(student_id or "", exercise.id))
    for _ in range(REDRAWS):
        inputs = exercise.inputs[0](generator=stream, **_student(exercise, student_id))
        if not inputs or exercise.own or tells_apart(exercise, inputs):
            break
    return inputs


def seed_of(student_id: str, purpose: str = "") -> int:
    """The seed that belongs to a student: the first 63 bits of the SHA-256 of ``purpose/student_id``.

    Spaces around the id and the case of its letters do not matter.

    >>> seed_of("Ada ") == seed_of("ada") != seed_of("grace")
    True
    """
    text = f"{purpose}/{student_id.strip().casefold()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def tells_apart(exercise: Exercise, inputs: Inputs) -> bool:
    """Whether the right value and those of all mistakes differ for some data."""
    right = expectation(exercise, inputs)
    answers = [mistake.wrong for mistake in exercise.mistakes if not isinstance(mistake.wrong, When)]
    results = [result_of(exercise, answer, inputs, torch.float64) for answer in answers]
    outcomes = [right, *(fitted(result, right) for result in results if not isinstance(result, Raised))]
    for first, second in combinations(outcomes, 2):
        shared = set(first) & set(second)
        if shared and all(agree(first[name], second[name], exercise.rtol) for name in shared):
            return False
    return True
