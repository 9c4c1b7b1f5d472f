"""Which known mistake explains a wrong answer: one that gives the same wrong results on the same inputs."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.compare import Case, Estimate, Outcome, agree, apart, differing, fitted, is_number
from tutorial_utils.exercises.registry import Exercise, Function, Inputs, Mistake, When
from tutorial_utils.exercises.run import Raised, described, perform_here, run, to_data

#: How many standard errors answer and mistake may be apart over all cases together.
ALIKE = 4.0
#: A case, with what the mistake gives for it.
Pair = tuple[Case, Outcome]


@dataclass(frozen=True)
class Explanation:
    """What a mistake explains of a wrong answer, in names of parts."""

    mistake: Mistake
    #: The wrong parts in which answer and mistake agree, and those in which they do not.
    explained: list[str]
    unexplained: list[str]
    #: The parts that the mistake gets wrong, but the answer right or wrong in another way.
    contradicted: list[str]
    #: In how many parts answer and mistake agree, right ones among them.
    agreeing: int

    @property
    def falsely_predicted(self) -> bool:
        """Whether the mistake gets parts wrong that the answer gets right."""
        return not set(self.contradicted) <= set(self.unexplained)

    @property
    def rank(self) -> tuple[bool, int, int]:
        """What comes first, as a sort key. No contradiction, then how much is explained, then how much agrees."""
        return not self.contradicted, len(self.explained), self.agreeing


def best_match(cases: list[Case]) -> Explanation | None:
    """The mistake that explains most of what is wrong; one that the answer contradicts only if there is no other."""
    found = [explain(mistake, cases) for mistake in cases[0].exercise.mistakes]
    return max((one for one in found if one.explained), key=lambda one: one.rank, default=None)


def explain(mistake: Mistake, cases: list[Case]) -> Explanation:
    """What a mistake explains of a wrong answer."""
    wrong = list(dict.fromkeys(name for case in cases for name in case.wrong))
    if isinstance(mistake.wrong, When):  # -1: an example that explains as much says more
        fits = _fits(mistake.wrong, [case for case in cases if case.wrong])
        return Explanation(mistake, wrong if fits else [], [], [], agreeing=-1)
    pairs = _pairs(mistake, cases, wrong)
    agreeing = [name for name in cases[0].expected if _agree(name, pairs)]
    mistaken = {name for case, outcome in pairs for name in differing(outcome, case)}
    # Fewer pairs than cases: both failed alike on the other inputs, so the mistake is wrong there, too.
    explained = [name for name in wrong if name in agreeing and (name in mistaken or len(pairs) < len(cases))]
    contradicted = [name for name in cases[0].expected if name in mistaken and name not in agreeing]
    if contradicted and not any(_is_distinctive(name, cases) for name in explained):
        explained = []  # what agrees may do so by chance
    unexplained = [name for name in wrong if name not in explained]
    return Explanation(mistake, explained, unexplained, contradicted, len(agreeing))


def result_of(exercise: Exercise, answer: Function, inputs: Inputs, dtype: torch.dtype) -> Any:
    """What an answer of the package gives, a mistake or the reference."""
    if exercise.value:
        return run(lambda: to_data(answer(*inputs))) if callable(answer) else answer
    return described(exercise, perform_here(exercise, answer, inputs, dtype), inputs, dtype)


def _pairs(mistake: Mistake, cases: list[Case], wrong: list[str]) -> list[Pair]:
    """The cases, each with what the mistake gives; without those in which both fail alike."""
    pairs: list[Pair] = []
    for case in cases:
        result = result_of(case.exercise, mistake.wrong, case.inputs, case.dtype)
        failed = [isinstance(one, Raised) for one in (case.result, result)]
        if all(failed) and case.result.kind == result.kind:
            continue
        comparable = case.result is not None and not any(failed)
        pairs.append((case, fitted(result, case.expected) if comparable else {}))
        if not any(_agree(name, pairs) for name in wrong):
            break  # it can explain nothing anymore
    return pairs


def _agree(name: str, pairs: list[Pair]) -> bool:
    """Whether answer and mistake agree in a part: in every case, and estimates also over all cases together."""
    if not pairs or not all(name in outcome and name in case.outcome for case, outcome in pairs):
        return False
    values = [(case.outcome[name], outcome[name], case.rtol) for case, outcome in pairs]
    gaps = [apart(one, other) for one, other, _ in values if isinstance(one, Estimate) and isinstance(other, Estimate)]
    return all(agree(*pair) for pair in values) and abs(sum(gaps)) <= ALIKE * math.sqrt(len(gaps))


def _is_distinctive(name: str, cases: list[Case]) -> bool:
    """Whether agreement in a part can hardly be chance: no truth value, word, estimate, or a single whole number."""
    values = [case.expected[name] for case in cases]
    if isinstance(values[0], Tensor):
        return values[0].dtype != torch.bool
    return isinstance(values[0], float) or (is_number(values[0]) and len(set(values)) > 1)


def _fits(when: When, wrong: list[Case]) -> bool:
    """Whether a predicate holds in every wrong case; an outcome of a single part comes to it as that part."""
    if any(isinstance(case.result, Raised) for case in wrong):
        return False
    for case in wrong:
        outcomes = [one[""] if list(one) == [""] else one for one in (case.outcome, case.expected)]
        verdict = run(when.fits, *outcomes, *case.inputs)
        if isinstance(verdict, Raised) or not verdict:
            return False
    return True
