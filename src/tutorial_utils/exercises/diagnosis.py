"""Which known mistake explains what came out."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.outcomes import Estimate, Outcome, agree, apart, fitted, is_number
from tutorial_utils.exercises.registry import Mistake
from tutorial_utils.exercises.running import Raised, run
from tutorial_utils.exercises.trying import Case, attempt, mistaken_value

#: How many standard errors answer and mistake may be apart over all cases together.
ALIKE = 4.0


@dataclass(frozen=True)
class Explanation:
    """What a mistake explains of a wrong answer, in names of parts."""

    #: The mistake.
    mistake: Mistake
    #: The wrong parts in which answer and mistake are alike.
    explained: list[str]
    #: The wrong parts in which they are not.
    left: list[str]
    #: The parts that the mistake gets wrong, and the answer right.
    spared: list[str]
    #: In how many parts answer and mistake are alike, right ones among them; -1 for a predicate.
    alike: int
    #: Whether the answer differs from the mistake where the mistake is wrong.
    contradicted: bool

    @property
    def rank(self) -> tuple[bool, int, int]:
        """What comes first: no contradiction, then how much is explained, then how much is alike."""
        return not self.contradicted, len(self.explained), self.alike


def wrong_parts(cases: list[Case]) -> list[str]:
    """The parts that are not as expected in any of the cases."""
    return list(dict.fromkeys(name for case in cases for name in case.wrong))


def _mistaken(mistake: Mistake, case: Case) -> Any:
    """What the mistake would give."""
    if case.exercise.value:
        return mistaken_value(mistake, case.inputs)
    return attempt(case.exercise, mistake.wrong, case.inputs, case.dtype)[0]


def _given(mistake: Mistake, cases: list[Case], wrong: list[str]) -> list[tuple[Case, Outcome]]:
    """The cases, each with the parts that the mistake gives; without those in which both fail alike.

    They end with the first case after which the mistake can explain none of the wrong parts.
    """
    pairs: list[tuple[Case, Outcome]] = []
    for case in cases:
        mistaken = _mistaken(mistake, case)
        if isinstance(case.came, Raised) and isinstance(mistaken, Raised) and case.came.kind == mistaken.kind:
            continue
        comparable = case.came is not None and not isinstance(case.came, Raised) and not isinstance(mistaken, Raised)
        pairs.append((case, fitted(mistaken, case.expected) if comparable else {}))
        if not any(_alike(name, pairs) for name in wrong):
            break
    return pairs


def _alike(name: str, pairs: list[tuple[Case, Outcome]]) -> bool:
    """Whether answer and mistake agree in a part: in every case, and estimates also over all cases together."""
    if not pairs or not all(name in given and name in case.parts for case, given in pairs):
        return False
    twins = [(case.parts[name], given[name], case.rtol) for case, given in pairs]
    gaps = [apart(*twin[:2]) for twin in twins if isinstance(twin[0], Estimate) and isinstance(twin[1], Estimate)]
    return all(agree(*twin) for twin in twins) and abs(sum(gaps)) <= ALIKE * math.sqrt(len(gaps))


def _tells(name: str, cases: list[Case]) -> bool:
    """Whether agreement in a part can hardly be chance: no truth value, word, estimate, or a single whole number."""
    values = [case.expected[name] for case in cases]
    if isinstance(values[0], Tensor):
        return values[0].dtype != torch.bool
    return isinstance(values[0], float) or (is_number(values[0]) and len(set(values)) > 1)


def _by_example(mistake: Mistake, cases: list[Case]) -> Explanation:
    """Compare the answer with what the mistake gives."""
    wrong = wrong_parts(cases)
    pairs = _given(mistake, cases, wrong)
    alike = [name for name in cases[0].expected if _alike(name, pairs)]
    faults = dict.fromkeys(
        name
        for case, given in pairs
        for name, value in case.expected.items()
        if name in given and not agree(given[name], value, case.rtol)
    )
    failed_alike = len(pairs) < len(cases)
    explained = [name for name in wrong if name in alike and (failed_alike or name in faults)]
    denied = [name for name in faults if name not in alike]
    if denied and not any(_tells(name, cases) for name in explained):
        explained = []
    left = [name for name in wrong if name not in explained]
    spared = [name for name in denied if name not in wrong]
    return Explanation(mistake, explained, left, spared, len(alike), bool(denied))


def _by_predicate(mistake: Mistake, cases: list[Case]) -> Explanation:
    """Ask the mistake's predicate, wherever the answer is wrong."""
    wrong = wrong_parts(cases)
    fits = _fits(mistake, [case for case in cases if case.wrong])
    return Explanation(mistake, wrong if fits else [], [] if fits else wrong, [], -1, False)


def _fits(mistake: Mistake, wrong: list[Case]) -> bool:
    if mistake.when is None or any(isinstance(case.came, Raised) for case in wrong):
        return False
    seen = [run(mistake.when, _alone(case.parts), _alone(case.expected), *case.inputs) for case in wrong]
    return all(one is not None and not isinstance(one, Raised) and bool(one) for one in seen)


def _alone(parts: Outcome) -> Any:
    return parts[""] if list(parts) == [""] else parts


def diagnose(cases: list[Case]) -> Explanation | None:
    """The mistake that explains most of what is wrong; one that the answer contradicts only if there is no other.

    A contradicted mistake may still be the reason for a part, if that agrees in more than a truth value or an estimate.
    """
    mistakes = cases[0].exercise.mistakes
    found = [_by_predicate(one, cases) if one.when is not None else _by_example(one, cases) for one in mistakes]
    return max((one for one in found if one.explained), key=lambda one: one.rank, default=None)
