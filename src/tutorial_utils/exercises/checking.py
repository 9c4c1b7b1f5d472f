"""Check an answer and say in words what is right or wrong with it."""

import difflib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises import clues
from tutorial_utils.exercises.diagnosis import Explanation, diagnose
from tutorial_utils.exercises.individual import own_inputs
from tutorial_utils.exercises.outcomes import Outcome
from tutorial_utils.exercises.registry import EXERCISES, Exercise, Inputs
from tutorial_utils.exercises.running import Raised
from tutorial_utils.exercises.trying import Attempt, Case, attempt, try_function, try_value
from tutorial_utils.exercises.wording import listing, paragraph, sentence_list


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
        ValueError: if there is none, or a person grades it.
    """
    if id not in EXERCISES:
        near = difflib.get_close_matches(str(id), EXERCISES, n=3, cutoff=0.4)
        known = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(EXERCISES)}"
        raise ValueError(f"there is no exercise {id!r}; {known}")
    if EXERCISES[id].reference is None:
        raise ValueError(f"exercise {id!r} is answered in words and graded by a person; there is nothing to check")
    return EXERCISES[id]


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


def check(
    id: str,
    answer: Any,
    *,
    student_id: str | None = None,
    generator: torch.Generator | None = None,
    attempt: Attempt = attempt,
) -> Result:
    """Check an answer: right, or what went wrong, in words; nothing that the answer does makes this raise.

    The answer is only called, never inspected. A function is tried on random inputs; each call gets copies of them and
    has :data:`~tutorial_utils.exercises.running.LIMIT` seconds. While it runs, the inputs' dtype is the default dtype.

    Args:
        id: the exercise.
        answer: the function, class or value that it asks for; ``...`` for one not written yet.
        student_id: whose data the answer is about, where :func:`data` was asked for them.
        generator: draws the inputs; without one they are different each time.
        attempt: runs the answer on one input; another one than the default may do so in another process.

    Raises:
        ValueError: if there is no such exercise.
    """
    exercise = find(id)
    if _is_open(answer) or (answer is None and exercise.value):
        return _unwritten(exercise)
    if exercise.value:
        return _judge_value(exercise, answer, own_inputs(exercise, student_id))
    if not callable(answer):
        kind = type(answer).__name__
        hint = f'check("{id}", ...) wants the function itself, without parentheses, and got something of type {kind}.'
        return _wrong(exercise, hint)
    return _judge(try_function(exercise, answer, generator or _fresh(), attempt))


def _fresh() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


def _is_open(answer: Any) -> bool:
    """Whether an answer, or a part of one that has parts, is still the ``...`` of the stub."""
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, (tuple, list)) else (answer,)
    return any(part is ... for part in parts)


def _unwritten(exercise: Exercise) -> Result:
    return Result(exercise.id, False, f"{exercise.title}: not written yet.")


def _wrong(exercise: Exercise, hint: str, block: str = "", diagnosis: str = "") -> Result:
    return Result(exercise.id, False, paragraph(f"Not yet. {hint}") + block, diagnosis)


def _right(exercise: Exercise) -> Result:
    words = exercise.right or ("the value is as computed." if exercise.value else "as expected on every random input.")
    return Result(exercise.id, True, paragraph(f"Right: {words}"))


def _judge_value(exercise: Exercise, answer: Any, inputs: Inputs) -> Result:
    if callable(answer) and not isinstance(answer, Tensor):
        return _wrong(exercise, "A value is asked for, and this is a function. Did you forget to call it?")
    (case,) = cases = try_value(exercise, answer, inputs)
    if not case.wrong:
        return _right(exercise)
    known, swapped = diagnose(cases), clues.exchanged(case)
    if known and not (swapped and known.contradicted):
        return _wrong(exercise, _tell(known), diagnosis=known.mistake.hint)
    if not case.has_the_parts:
        return _wrong(exercise, clues.of_values(case))
    if swapped:
        return _wrong(exercise, f"The values are right, in another order than asked: {sentence_list(case.expected)}.")
    name = case.wrong[0]
    return _wrong(exercise, f"{name}: " * bool(name) + clues.of_value(case.parts[name], case.expected[name]))


def _judge(cases: list[Case]) -> Result:
    exercise, last = cases[0].exercise, cases[-1].came
    if isinstance(last, Raised) and last.kind == "NotImplementedError":
        return _unwritten(exercise)
    if isinstance(last, Raised) and last.kind == "TimeUp":
        return _wrong(exercise, clues.of_exception(last), _block(cases[-1], ()))
    wrong = sorted((case for case in cases if case.wrong), key=lambda case: case.size)
    if wrong:
        return _explain(cases, wrong[0])
    if touched := [name for case in cases for name in case.touched]:
        return _wrong(exercise, f"The result is right, but your code changes its input `{touched[0]}`. Work on a copy.")
    if coarse := next((name for case in cases for name in imprecise(case)), None):
        return _wrong(exercise, coarse)
    return _right(exercise)


def _explain(cases: list[Case], smallest: Case) -> Result:
    """Say what is wrong: the known mistake, or what can be seen, and show the smallest wrong case."""
    exercise, known = smallest.exercise, diagnose(cases)
    if known is None:
        return _wrong(exercise, clues.of_cases(smallest, cases) + _share(cases), _block(smallest, smallest.wrong))
    return _wrong(exercise, _tell(known), _block(smallest, smallest.wrong), known.mistake.hint)


def _tell(known: Explanation) -> str:
    """The hint of a mistake, and which parts it does not explain."""
    only = f" That is so for {sentence_list(known.explained)} only." if known.spared else ""
    left = f" Something else is wrong with {sentence_list(known.left)}." if known.left else ""
    return known.mistake.hint + only + left


def _share(cases: list[Case]) -> str:
    right = [case for case in cases if not case.wrong]
    return f" On {len(right)} of {len(cases)} inputs it is right." if right else ""


def _block(case: Case, wrong: list[str] | tuple[str, ...]) -> str:
    """The input, what came out and what was expected."""
    blocks = [listing("your input", dict(zip(case.exercise.names, case.inputs, strict=False)))] if case.inputs else []
    came: Outcome = {} if isinstance(case.came, Raised) or case.came is None else case.parts
    if came and wrong:
        blocks.append(
            listing("came out", {name: came[name] for name in came if name in wrong or name not in case.expected})
        )
        blocks.append(listing("expected", {name: case.expected[name] for name in wrong}))
    return "".join(f"\n{block}" for block in blocks)


def imprecise(case: Case) -> list[str]:
    """A sentence for each part that has fewer digits than the input."""
    pairs = [(case.parts[name], value) for name, value in case.expected.items()]
    return [
        f"The values are right, but your result is {str(came.dtype)[6:]} for inputs of {str(expected.dtype)[6:]}. Make "
        "new tensors with the dtype of the input (`torch.zeros_like`, `x.new_zeros`)."
        for came, expected in pairs
        if isinstance(came, Tensor) and isinstance(expected, Tensor) and expected.is_floating_point()
        if not came.is_floating_point() or came.element_size() < expected.element_size()
    ]
