"""Data of one's own: numbers that differ from reader to reader, and can be computed again to grade them."""

import hashlib
from itertools import combinations

import torch

from tutorial_utils.exercises.outcomes import Outcome, agree, fitted
from tutorial_utils.exercises.registry import Exercise, Inputs
from tutorial_utils.exercises.running import Raised
from tutorial_utils.exercises.trying import expectation, mistaken_value

#: How often data are drawn before those are taken for which a mistake cannot be told from another answer.
REDRAWS = 50


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
    stream = _stream(exercise, student_id)
    for _ in range(REDRAWS):
        inputs = exercise.inputs[0](generator=stream)
        if not inputs or tells_apart(exercise, inputs):
            break
    return inputs


def tells_apart(exercise: Exercise, inputs: Inputs) -> bool:
    """Whether the right value and those of all mistakes differ for some data."""
    right = expectation(exercise, inputs, torch.float64)
    values = [mistaken_value(mistake, inputs) for mistake in exercise.mistakes if mistake.wrong is not None]
    outcomes = [right, *(fitted(value, right) for value in values if not isinstance(value, Raised))]
    return not any(_coincide(*pair, exercise.rtol) for pair in combinations(outcomes, 2))


def _coincide(first: Outcome, second: Outcome, rtol: float) -> bool:
    shared = set(first) & set(second)
    return bool(shared) and all(agree(first[name], second[name], rtol) for name in shared)


def _stream(exercise: Exercise, student_id: str | None) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(student_id or "", exercise.id))
