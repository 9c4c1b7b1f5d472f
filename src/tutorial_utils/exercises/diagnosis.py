"""Which known mistake explains what came out."""

from typing import Any

from tutorial_utils.exercises.outcomes import Outcome, agree, named
from tutorial_utils.exercises.registry import Mistake
from tutorial_utils.exercises.running import Raised, run
from tutorial_utils.exercises.trying import Case, attempt, mistaken_value


def wrong_parts(cases: list[Case]) -> list[str]:
    """The parts that are not as expected in any of the cases."""
    return list(dict.fromkeys(name for case in cases for name in case.wrong))


def _mistaken(mistake: Mistake, case: Case) -> Any:
    """What the mistake would give."""
    if case.exercise.value:
        return mistaken_value(mistake, case.inputs)
    return attempt(case.exercise, mistake.wrong, case.inputs, case.dtype)[0]


def _agreeing(came: Any, mistaken: Any, case: Case) -> set[str] | None:
    """The parts in which answer and mistake agree; None where both fail alike."""
    if isinstance(came, Raised) and isinstance(mistaken, Raised):
        return None if came.kind == mistaken.kind else set()
    if isinstance(came, Raised) or isinstance(mistaken, Raised) or came is None:
        return set()
    first, second = case.parts, named(mistaken, list(case.expected))
    return {name for name in set(first) & set(second) if agree(first[name], second[name], case.rtol)}


def _agreement(mistake: Mistake, cases: list[Case]) -> set[str]:
    """The parts in which answer and mistake agree in every case."""
    found = [_agreeing(case.came, _mistaken(mistake, case), case) for case in cases]
    parts = [names for names in found if names is not None]
    return set.intersection(*parts) if parts else set()


def _alone(parts: Outcome) -> Any:
    return parts[""] if list(parts) == [""] else parts


def _fits(mistake: Mistake, cases: list[Case]) -> bool:
    """Whether the predicate of a mistake holds wherever the answer is wrong."""
    wrong = [case for case in cases if case.wrong]
    if mistake.when is None or any(isinstance(case.came, Raised) for case in wrong):
        return False
    seen = [run(mistake.when, _alone(case.parts), _alone(case.expected), *case.inputs) for case in wrong]
    return all(one is not None and not isinstance(one, Raised) and bool(one) for one in seen)


def explained(mistake: Mistake, cases: list[Case]) -> tuple[list[str], int]:
    """The wrong parts that a mistake explains, and in how many parts it is like the answer."""
    wrong = wrong_parts(cases)
    if mistake.when is not None:
        return (wrong, -1) if _fits(mistake, cases) else ([], 0)
    agreeing = _agreement(mistake, cases)
    return [name for name in wrong if name in agreeing], len(agreeing)


def diagnose(cases: list[Case]) -> tuple[Mistake, list[str]] | None:
    """The mistake that explains most of what is wrong, and the wrong parts that it leaves unexplained."""
    best, score, left = None, (0, 0), wrong_parts(cases)
    for mistake in cases[0].exercise.mistakes:
        parts, alike = explained(mistake, cases)
        if parts and (len(parts), alike) > score:
            best, score = mistake, (len(parts), alike)
            left = [name for name in wrong_parts(cases) if name not in parts]
    return None if best is None else (best, left)
