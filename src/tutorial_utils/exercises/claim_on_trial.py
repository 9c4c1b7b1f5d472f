"""The project that tries a claim: a registration, one effect for each seed, intervals and a verdict."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import between

#: How many seeds a trial takes at least.
SEEDS = 20
CONFIDENCE = 0.95
#: How far a second measurement may be from the first, relative to the spread of the effects.
AGAIN = 1e-4
ASKED = {"statement": str, "quantity": str, "why": str, "conditions": list, "band": list, "seeds": list}


# --- the registration ---------------------------------------------------------------------------------


def _register(answer: Function) -> Any:
    """The registration as plain data."""
    found = answer()
    return _with_lists(found) if isinstance(found, Mapping) else found


def _with_lists(registration: Mapping[str, Any]) -> dict[str, Any]:
    """A registration in which a range is a list."""
    return {name: list(value) if isinstance(value, range) else value for name, value in registration.items()}


def _fields(raw: Any) -> dict[str, Any]:
    """The fields of a registration; WrongType if one is missing or of another type."""
    if not isinstance(raw, Mapping):
        raise WrongType("Your function should return a dict, as the example above does.")
    for name, kind in ASKED.items():
        if name not in raw:
            raise WrongType(f"Your registration has no {name!r}. It needs {', '.join(ASKED)}.")
        value = raw[name].tolist() if isinstance(raw[name], Tensor) else raw[name]
        if not isinstance(value, kind):
            raise WrongType(f"{name!r} should be of type {kind.__name__}, and yours is of type {type(value).__name__}.")
    return {name: raw[name].tolist() if isinstance(raw[name], Tensor) else raw[name] for name in ASKED}


def fingerprint(registration: Mapping[str, Any]) -> str:
    """Twelve digits that belong to a registration and to no other.

    >>> fingerprint({"band": [1, 2]}) == fingerprint({"band": (1.0, 2.0)}) != fingerprint({"band": [1, 3]})
    True
    """
    plain = [_plain(registration[name]) for name in ASKED if name in registration]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """Numbers as floats and anything else as text, in lists."""
    if isinstance(value, str):
        return value
    return [_plain(one) for one in value] if isinstance(value, Iterable) else float(value)


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= 5


def _of_registration(raw: Any) -> Outcome:
    """What holds of a registration."""
    fields = _fields(raw)
    seeds, band, conditions = fields["seeds"], fields["band"], fields["conditions"]
    numbers = len(band) == 2 and all(type(one) in (int, float) and not math.isnan(one) for one in band)
    return {
        "statement, quantity and why are sentences": all(
            _is_sentence(fields[name]) for name in ("statement", "quantity", "why")
        ),
        "there are two conditions or more": len({str(one).strip() for one in conditions} - {""}) >= 2,
        "the band has two ends in order": numbers and band[0] < band[1],
        "the band leaves something out": numbers and any(math.isfinite(one) for one in band),
        "there are twenty seeds or more": len(seeds) >= SEEDS,
        "the seeds are different whole numbers": len(set(seeds)) == len(seeds)
        and all(type(one) is int and one >= 0 for one in seeds),  # True is an int, and no seed
    }


REGISTRATION: dict[str, Any] = {
    "statement": "With BatchNorm the network reaches a higher accuracy in fifty steps.",
    "quantity": "test accuracy with BatchNorm less that without, in percentage points",
    "why": "Less than one point would not be worth another layer.",
    "conditions": ["digits, one mean", "digits, a mean for each pixel"],
    "band": [1.0, math.inf],
    "seeds": list(range(SEEDS)),
}


def _registered(**changes: Any) -> Function:
    """A registration, right unless told otherwise."""
    return lambda: REGISTRATION | changes


@exercise(
    "trial-registration",
    observe=_register,
    describe=_of_registration,
    cases=1,
    rtol32=None,
    guessing=1.0,
    right="this can be tried. Print its fingerprint, and hand that in before you measure.",
    mistakes={
        "Write statement, quantity and why as sentences of five words or more, so that somebody else could measure the "
        "same thing.": _registered(quantity="accuracy"),
        "Name two conditions at least, such as two data sets or two ways to standardize: what holds in one case only "
        "is no general statement.": _registered(conditions=["digits"]),
        "The band needs two numbers, the smaller one first. `math.inf` may be one of them.": _registered(
            band=[math.inf, 1.0]
        ),
        "No effect lies outside your band, so nothing could speak against your statement. At least one end must be "
        "finite.": _registered(band=[-math.inf, math.inf]),
        "Use at least twenty seeds. With fewer, the interval is too wide to decide anything but large effects.": (
            _registered(seeds=list(range(SEEDS - 1)))
        ),
        "Seeds must be different whole numbers from 0 on, and `True` is none. A seed that occurs twice counts one "
        "measurement twice.": _registered(seeds=[0, *range(SEEDS)]),
    },
)
def trial_registration() -> dict[str, Any]:
    """A registration that can be tried."""
    return dict(REGISTRATION)


# --- the result ---------------------------------------------------------------------------------------


def _two_numbers(*, generator: torch.Generator) -> Inputs:
    """Which of the seeds are measured once more, as numbers from which their places follow."""
    import_module("scipy.stats")  # a second or more, which should not count as the answer's time
    return (between(0, 10**6, generator=generator),)


def _tried(answer: Function, number: int) -> dict[str, Any]:
    """What a trial reports, and what its measurement gives for one seed of each condition once more."""
    trial = dict(answer())
    measure = trial.pop("measure", None)
    if not callable(measure):
        raise WrongType("Your dict should hold your function `measure` itself, under the name 'measure'.")
    registered = _with_lists(trial.get("registration") or {})
    seeds, conditions = list(registered.get("seeds") or [0]), list(registered.get("conditions") or [])
    again = [float(measure(one, seeds[number % len(seeds)])) for one in conditions]
    return trial | {"registration": registered, "again": again}


def outcome_of(interval: list[float], band: list[float]) -> str:
    """What an interval says of a statement whose effects lie in a band: agrees, refutes or open.

    >>> outcome_of([1, 2], [0, 3]), outcome_of([4, 5], [0, 3]), outcome_of([2, 5], [0, 3])
    ('agrees', 'refutes', 'open')
    """
    low, high = interval
    if band[0] <= low and high <= band[1]:
        return "agrees"
    return "refutes" if high < band[0] or band[1] < low else "open"


def verdict_of(outcomes: list[str]) -> str:
    """What the outcomes of all conditions say together.

    >>> verdict_of(["agrees", "agrees"]), verdict_of(["agrees", "open"]), verdict_of(["open", "refutes"])
    ('supported', 'not decided', 'refuted')
    """
    if "refutes" in outcomes:
        return "true in some cases" if "agrees" in outcomes else "refuted"
    return "supported" if set(outcomes) == {"agrees"} else "not decided"


def interval_of(effects: list[float]) -> list[float]:
    """Student's 95 percent interval for the mean."""
    from scipy import stats

    values = torch.tensor(effects, dtype=torch.float64)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std().item() / math.sqrt(len(values))
    return [values.mean().item() - half, values.mean().item() + half]


def _lists(raw: dict[str, Any], name: str, conditions: list[str]) -> list[Any]:
    """What a report has under a name, in the order of the conditions; WrongType if a condition is missing."""
    found = raw.get(name)
    if not isinstance(found, Mapping):
        raise WrongType(f"{name!r} should be a dict with an entry for each condition: {', '.join(conditions)}.")
    if missing := [one for one in conditions if one not in found]:
        raise WrongType(f"{name!r} has no entry for {missing[0]!r}. Name the conditions as in your registration.")
    return [found[one].tolist() if isinstance(found[one], Tensor) else found[one] for one in conditions]


def _near(one: list[float], other: list[float], scale: float) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= 1e-3 * scale for a, b in zip(one, other, strict=True))


def _of_result(raw: dict[str, Any], number: int) -> Outcome:
    """What holds of a report: each part follows from the one before it."""
    registered = _fields(raw.get("registration"))
    conditions, seeds, band = [str(one) for one in registered["conditions"]], registered["seeds"], registered["band"]
    effects, intervals = _lists(raw, "effects", conditions), _lists(raw, "intervals", conditions)
    outcomes = [str(one).strip().casefold() for one in _lists(raw, "outcomes", conditions)]
    if not all(isinstance(one, list) for one in effects):
        raise WrongType("'effects' should hold a list of numbers for each condition, one number for each seed.")
    complete = all(len(one) == len(seeds) >= SEEDS for one in effects)
    differ = complete and all(len(set(row)) > 1 for row in effects)
    spreads = [max(torch.tensor(one, dtype=torch.float64).std().item(), 1e-12) for one in effects if len(one) > 1]
    place = number % max(len(seeds), 1)
    return {
        "the registration can be tried": all(_of_registration(registered).values()),
        "one effect for each seed and condition": complete,
        "the fingerprint is that of the registration": raw.get("fingerprint") == fingerprint(registered),
        "a second measurement gives the same": differ
        and all(
            abs(row[place] - once_more) <= AGAIN * spread
            for row, once_more, spread in zip(effects, raw["again"], spreads, strict=True)
        ),
        "effects differ between seeds": differ,
        "effects differ between conditions": len(set(map(tuple, effects))) == len(effects),
        "intervals follow from the effects": differ
        and all(
            _near(list(given), interval_of(row), spread)
            for given, row, spread in zip(intervals, effects, spreads, strict=True)
        ),
        "outcomes follow from intervals and band": complete
        and outcomes == [outcome_of(list(ends), band) for ends in intervals],
        "the verdict follows from the outcomes": differ
        and str(raw.get("verdict")).strip().casefold() == verdict_of(outcomes),
    }


def _sample(condition: str, seed: int) -> float:
    """A measurement to try the check on: reproducible, and another number for each seed."""
    place = REGISTRATION["conditions"].index(condition)
    generator = torch.Generator().manual_seed(1000 * place + seed)
    return float(3.0 * place + 1.4 + torch.randn((), generator=generator, dtype=torch.float64))


def _tried_with(
    *,
    registration: Mapping[str, Any] = REGISTRATION,
    measured: Function = lambda effects: effects,
    interval: Function = interval_of,
    outcome: Function = outcome_of,
    verdict: Function = verdict_of,
    measure: Function = _sample,
    sealed: Function = fingerprint,
) -> Function:
    """A report, right unless told otherwise."""

    def trial() -> dict[str, Any]:
        conditions, seeds, band = registration["conditions"], registration["seeds"], registration["band"]
        effects = {one: measured([measure(one, seed) for seed in seeds]) for one in conditions}
        intervals = {one: interval(row) for one, row in effects.items()}
        outcomes = {one: outcome(ends, band) for one, ends in intervals.items()}
        return {
            "registration": dict(registration),
            "fingerprint": sealed(registration),
            "effects": effects,
            "intervals": intervals,
            "outcomes": outcomes,
            "verdict": verdict(list(outcomes.values())),
            "measure": measure,
        }

    return trial


def _of_single_effects(effects: list[float]) -> list[float]:
    values = torch.tensor(effects, dtype=torch.float64)
    half = 2.093 * values.std().item()
    return [values.mean().item() - half, values.mean().item() + half]


def _unsteady(condition: str, seed: int) -> float:
    return _sample(condition, seed) + torch.randn(()).item()


def _by_the_mean(interval: list[float], band: list[float]) -> str:
    middle = sum(interval) / 2
    return "agrees" if band[0] <= middle <= band[1] else "refutes"


@exercise(
    "trial-result",
    inputs=_two_numbers,
    observe=_tried,
    describe=_of_result,
    parts=(
        "a second measurement gives the same",
        "intervals follow from the effects",
        "the verdict follows from the outcomes",
    ),
    cases=2,
    rtol32=None,
    guessing=1.0,
    right="everything follows from what you measured, and what you measured can be measured again.",
    mistakes={
        "Your registration cannot be tried anymore: it has fewer than twenty seeds, or another fault. Report the one "
        "that the exercise above accepted.": _tried_with(
            registration=REGISTRATION | {"conditions": REGISTRATION["conditions"][:1]}
        ),
        "There is not one effect for each registered seed in each condition. Leaving out seeds afterward is choosing "
        "results: report all of them.": _tried_with(measured=lambda effects: effects[1:]),
        "The fingerprint is not that of this registration. If the registration was changed after you had handed in "
        "the fingerprint, say so in your report, and try the old one.": _tried_with(
            sealed=lambda registration: "0" * 12
        ),
        "When `measure` was called again for one of your seeds, it gave another number than you report. Either a "
        "random draw in it does not come from a generator that the seed starts, or the effects are not reported as "
        "they came: in the order of the seeds, and not rounded.": _tried_with(measure=_unsteady),
        "Your intervals are not Student's 95 percent intervals for the mean of the effects. The half-width is "
        "the quantile of Student's t times the standard deviation over the square root of the number of "
        "seeds.": _tried_with(interval=_of_single_effects),
        "Your outcomes do not follow from the intervals: one agrees if it lies inside the band, refutes if it lies "
        "outside, and is open if it crosses an end. The mean alone does not decide.": _tried_with(outcome=_by_the_mean),
        "Your verdict does not follow from the outcomes. One condition that refutes is enough against a general "
        "statement, and one that is open leaves it undecided.": _tried_with(
            verdict=lambda outcomes: "supported" if "agrees" in outcomes else "refuted"
        ),
        "All effects of a condition are the same number. Does `measure` use the seed?": _tried_with(
            measure=lambda condition, seed: 2.0
        ),
        "Two conditions have the same effects. Does `measure` use the condition?": _tried_with(
            measure=lambda condition, seed: _sample(REGISTRATION["conditions"][0], seed)
        ),
    },
)
def trial_result() -> dict[str, Any]:
    """A report in which each part follows from the one before it."""
    report: dict[str, Any] = _tried_with()()
    return report
