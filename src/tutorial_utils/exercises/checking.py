"""Check an answer, and say in words what is right or wrong with it.

From call to verdict: :func:`check` finds the exercise and draws inputs; ``perform`` (module ``run``) lets the answer
work on each; a :class:`~tutorial_utils.exercises.compare.Case` holds what came out beside what was expected;
``best_match`` (module ``match``) looks for the known mistake, and where there is none, ``hints`` say what is wrong.
"""

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises import hints
from tutorial_utils.exercises.compare import Case, Outcome, agree, fitted, named
from tutorial_utils.exercises.hints import listing, paragraph, sentence_list
from tutorial_utils.exercises.match import Explanation, best_match, result_of
from tutorial_utils.exercises.registry import EXERCISES, Exercise, Function, Inputs, When
from tutorial_utils.exercises.run import Perform, Raised, cast, changed, described, perform_here, snapshot, to_data

#: How often data are drawn before those are taken for which a mistake cannot be told from another answer.
REDRAWS = 50


@dataclass(frozen=True)
class Result:
    """What a check found; printing it gives the tutor's words."""

    #: The exercise.
    id: str
    #: Whether the answer is right.
    passed: bool
    #: What a tutor says.
    hint: str
    #: The hint of the known mistake that explains the answer; "" if none does.
    diagnosis: str = ""

    def __bool__(self) -> bool:
        """Whether the answer is right."""
        return self.passed

    def __repr__(self) -> str:
        """The tutor's words."""
        return self.hint


def find(id: str) -> Exercise:
    """The exercise with an id.

    Raises:
        ValueError: if there is none with a check.
    """
    if id in EXERCISES:
        return EXERCISES[id]
    near = difflib.get_close_matches(str(id), EXERCISES, n=3, cutoff=0.4)
    known = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(EXERCISES)}"
    raise ValueError(f"there is no exercise {id!r} to check (a person grades answers in words); {known}")


def check(
    id: str,
    answer: Any,
    *,
    student_id: str | None = None,
    generator: torch.Generator | None = None,
    perform: Perform = perform_here,
) -> Result:
    """Check an answer: right, or what went wrong, in words; nothing that the answer does makes this raise.

    The answer is only called, never inspected. A function is tried on random inputs; each call gets copies of them and
    has :data:`~tutorial_utils.exercises.run.LIMIT` seconds. While it runs, the inputs' dtype is the default dtype.

    Args:
        id: the exercise.
        answer: the function, class or value that it asks for; ``...`` for one not written yet.
        student_id: whose data the answer is about, where :func:`data` was asked for them.
        generator: draws the inputs; without one they are different each time.
        perform: runs the answer on one input; another one than the default may do so in another process.

    Raises:
        ValueError: if there is no such exercise.
    """
    exercise = find(id)
    if _is_open(answer) or (answer is None and exercise.value):
        return _not_written(exercise)
    if exercise.value:
        return _check_value(exercise, answer, own_inputs(exercise, student_id))
    if not callable(answer):
        kind = type(answer).__name__
        hint = f'check("{id}", ...) wants the function itself, without parentheses, and got something of type {kind}.'
        return _wrong(exercise, hint)
    return _verdict(list(try_function(exercise, answer, generator or _fresh(), perform)))


def _fresh() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


def _is_open(answer: Any) -> bool:
    """Whether an answer, or a part of one that has parts, is still the ``...`` of the stub."""
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, (tuple, list)) else (answer,)
    return any(part is ... for part in parts)


# --- functions ----------------------------------------------------------------------------------------


def try_function(
    exercise: Exercise, answer: Function, generator: torch.Generator, perform: Perform = perform_here
) -> Iterator[Case]:
    """Try a function on random inputs, until all are done or it took too long."""
    for number in range(exercise.cases):
        # float64 and float32 take turns, once every kind of input has had its own
        single = number // len(exercise.inputs) % 2 and exercise.rtol32 is not None
        dtype = torch.float32 if single else torch.float64
        inputs = cast(exercise.inputs[number % len(exercise.inputs)](generator=generator), dtype)
        case = try_once(exercise, answer, inputs, dtype, perform)
        yield case
        if isinstance(case.result, Raised) and case.result.kind in ("TimeUp", "NotImplementedError"):
            break


def try_once(exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype, perform: Perform) -> Case:
    """Try a function on one input."""
    performance = perform(exercise, answer, inputs, dtype)
    positions = changed(snapshot(inputs), performance.inputs_after) if performance.inputs_after else []
    names = [exercise.names[position] for position in positions if position not in exercise.changes]
    result = described(exercise, performance, inputs, dtype)
    return Case(exercise, inputs, dtype, expectation(exercise, inputs, dtype), result, names)


def expectation(exercise: Exercise, inputs: Inputs, dtype: torch.dtype = torch.float64) -> Outcome:
    """What a right answer gives.

    Raises:
        RuntimeError: if the exercise has no right answer for these inputs, which is a fault of the exercise.
    """
    right = result_of(exercise, exercise.reference, inputs, dtype)
    if right is None or isinstance(right, Raised):
        raise RuntimeError(f"exercise {exercise.id!r}: from its reference came {right}")
    return named(right, exercise.parts)


def _verdict(cases: list[Case]) -> Result:
    exercise, last = cases[0].exercise, cases[-1].result
    if isinstance(last, Raised) and str(last) == "NotImplementedError":
        return _not_written(exercise)
    if isinstance(last, Raised) and last.kind == "TimeUp":
        return _wrong(exercise, hints.of_exception(last), _show(cases[-1], []))
    wrong = sorted((case for case in cases if case.wrong), key=lambda case: case.size)
    if wrong:
        return _explain(cases, wrong[0])
    if touched := [name for case in cases for name in case.changed]:
        return _wrong(exercise, f"The result is right, but your code changes its input `{touched[0]}`. Work on a copy.")
    if coarse := next(filter(None, map(hints.of_precision, cases)), ""):
        return _wrong(exercise, coarse)
    return _right(exercise)


def _explain(cases: list[Case], smallest: Case) -> Result:
    """Say what is wrong: the known mistake, or what can be seen, and show the smallest wrong case."""
    exercise, known = smallest.exercise, best_match(cases)
    if known:
        return _wrong(exercise, _tell(known), _show(smallest, smallest.wrong), known.mistake.hint)
    right = sum(not case.wrong for case in cases)
    share = f" On {right} of {len(cases)} inputs it is right." if right else ""
    return _wrong(exercise, hints.of_cases(smallest, cases) + share, _show(smallest, smallest.wrong))


def _show(case: Case, wrong: list[str]) -> str:
    """The input, what came out and what was expected."""
    blocks = [listing("your input", dict(zip(case.exercise.names, case.inputs, strict=False)))] if case.inputs else []
    outcome = {} if case.result is None else case.outcome
    if outcome and wrong:
        shown = {name: outcome[name] for name in outcome if name in wrong or name not in case.expected}
        blocks.append(listing("came out", shown))
        blocks.append(listing("expected", {name: case.expected[name] for name in wrong}))
    return "".join(f"\n{block}" for block in blocks)


# --- values -------------------------------------------------------------------------------------------


def data(id: str, *, student_id: str | None = None) -> Any:
    """The numbers that an exercise is about: a student's own, or without an id those of the book.

    Returns:
        What the exercise draws; a single thing as it is, several as a tuple.

    Raises:
        ValueError: if there is no such exercise, or it has no data.
    """
    exercise = find(id)
    inputs = own_inputs(exercise, student_id) if exercise.value else ()
    if not inputs:
        raise ValueError(f"exercise {id!r} has no data of its own")
    return inputs[0] if len(inputs) == 1 else inputs


def seed_of(student_id: str, purpose: str = "") -> int:
    """The seed that belongs to a student: the first 63 bits of the SHA-256 of ``purpose/student_id``.

    Spaces around the id and the case of its letters do not matter.

    >>> seed_of("Ada ") == seed_of("ada") != seed_of("grace")
    True
    """
    text = f"{purpose}/{student_id.strip().casefold()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def own_inputs(exercise: Exercise, student_id: str | None) -> Inputs:
    """The data of an exercise that belong to a student; without an id, the same for everybody.

    Numbers for which a mistake gives the right value, or that of another mistake, are drawn again.
    """
    stream = torch.Generator().manual_seed(seed_of(student_id or "", exercise.id))
    for _ in range(REDRAWS):
        inputs = exercise.inputs[0](generator=stream)
        if not inputs or tells_apart(exercise, inputs):
            break
    return inputs


def tells_apart(exercise: Exercise, inputs: Inputs) -> bool:
    """Whether the right value and those of all mistakes differ for some data."""
    right = expectation(exercise, inputs)
    answers = [mistake.wrong for mistake in exercise.mistakes if not isinstance(mistake.wrong, When)]
    results = [result_of(exercise, answer, inputs, torch.float64) for answer in answers]
    outcomes = [right, *(fitted(result, right) for result in results if not isinstance(result, Raised))]
    return not any(_coincide(*pair, exercise.rtol) for pair in combinations(outcomes, 2))


def _coincide(first: Outcome, second: Outcome, rtol: float) -> bool:
    shared = set(first) & set(second)
    return bool(shared) and all(agree(first[name], second[name], rtol) for name in shared)


def _check_value(exercise: Exercise, answer: Any, inputs: Inputs) -> Result:
    if callable(answer) and not isinstance(answer, Tensor):
        return _wrong(exercise, "A value is asked for, and this is a function. Did you forget to call it?")
    case = Case(exercise, inputs, torch.float64, expectation(exercise, inputs), to_data(answer))
    if not case.wrong:
        return _right(exercise)
    known = best_match([case])
    if known and not (known.contradicted and hints.exchanged(case)):
        return _wrong(exercise, _tell(known), diagnosis=known.mistake.hint)
    return _wrong(exercise, hints.of_value(case))


# --- words --------------------------------------------------------------------------------------------


def _not_written(exercise: Exercise) -> Result:
    return Result(exercise.id, False, f"{exercise.id}: not written yet.")


def _wrong(exercise: Exercise, hint: str, block: str = "", diagnosis: str = "") -> Result:
    return Result(exercise.id, False, paragraph(f"Not yet. {hint}") + block, diagnosis)


def _right(exercise: Exercise) -> Result:
    words = exercise.right or ("the value is as computed." if exercise.value else "as expected on every random input.")
    return Result(exercise.id, True, paragraph(f"Right: {words}"))


def _tell(known: Explanation) -> str:
    """The hint of a mistake, and which parts it does not explain."""
    only = f" That is so for {sentence_list(known.explained)} only." if known.falsely_predicted else ""
    more = f" Something else is wrong with {sentence_list(known.unexplained)}." if known.unexplained else ""
    return known.mistake.hint + only + more
