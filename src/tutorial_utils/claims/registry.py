"""What a claim is, and how measurements become a verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import scipy  # scipy.stats is imported where it is first used: most who read the ledger need not wait for it
from numpy.typing import NDArray

from tutorial_utils.stats import share_interval

CONFIDENCE = 0.99
EQUAL = 1e-12  # what rounding may leave, relative to the largest, between effects that are equal
Seeds = Sequence[int]
Effects = Mapping[str, Sequence[float]]
Measure = Callable[[Seeds], Effects]
Scope = Literal["universal", "existential"]


class Verdict(StrEnum):
    """What the measurements say of a statement; computed, never typed."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    IN_SOME_CASES = "true in some cases"
    NOT_FOUND = "not found in what was tried"  # no number of cases refutes that there is one
    UNDECIDED = "not decided by these measurements"


class Outcome(StrEnum):
    """What one condition says of a statement."""

    AGREES = "agrees"  # the interval lies inside the band
    REFUTES = "refutes"  # it does not touch the band
    OPEN = "open"  # it lies across an edge, or two sets of seeds differ
    CONTROL = "control"  # it is shown for comparison and does not vote


class Method(StrEnum):
    """How an interval is made from one effect per seed."""

    MEAN = "mean, Student's t"  # exact for normal effects, close for the mean of many others; none for equal ones
    MEDIAN = "median, order statistics"  # exact for effects of any kind, equal ones too; it takes at least eight
    SHARE = "share, exact binomial"  # the effects are 0 or 1
    RANGE = "smallest to largest"  # for identities, where every seed must agree

    def within(self, low: float, high: float, *, seeds: int) -> "Criterion":
        """Ask for an interval from that many seeds that lies between these two effects."""
        return Criterion((low, high), self, seeds)


class Criterion(NamedTuple):
    """When measurements agree with a statement; fixed before the first look."""

    #: The smallest and the largest effect that agree; an interval that lies outside refutes the statement.
    holds: tuple[float, float]
    #: How the interval is made.
    method: Method
    #: How many seeds the full measurement takes.
    seeds: int


class Evidence(NamedTuple):
    """What one claim measured under one condition: the effect, its interval, from how many seeds."""

    condition: str
    effect: float
    low: float
    high: float
    seeds: int

    @property
    def has_interval(self) -> bool:
        """Whether the effects allowed an interval; if not, it reaches to infinity on both sides."""
        return bool(np.isfinite([self.low, self.high]).any())


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement that can be refuted."""

    #: The name of the function that measures it, its words joined by hyphens; the address of its row.
    id: str
    #: The name of that function's module, written the same way, which is also the slug of the page that shows it.
    topic: str
    #: What is claimed, in plain words.
    statement: str
    #: Who says so.
    source: str
    #: What an effect is.
    quantity: str
    #: The unit of the effect; "" for a pure number.
    unit: str
    #: The three parts of its :class:`Criterion`.
    holds: tuple[float, float]
    method: Method
    seeds: int
    #: Seeds to effects, one list for each condition under which the statement is tested, one effect a seed.
    measure: Measure
    #: What was chosen after results had been seen; such a verdict demonstrates rather than tests.
    after_looking: str = ""

    #: Whether the statement is meant for every condition, or says "can", "there is", or names its case.
    scope: Scope = "universal"
    #: Conditions that are shown for comparison and do not vote.
    controls: tuple[str, ...] = ()
    #: The data sets that networks were trained on, or saw; none for what holds of weights and formulas.
    data: tuple[str, ...] = ()
    #: How the data were standardized.
    preprocessing: tuple[str, ...] = ()
    #: What trained the networks.
    optimizer: tuple[str, ...] = ()
    #: For how long.
    budget: str = ""

    def evidence(self, seeds: Seeds) -> tuple[Evidence, ...]:
        """Measure under every condition.

        Raises:
            ValueError: if a condition does not give one effect per seed, a control is not measured, or nothing votes.
        """
        measured = self.measure(seeds)
        if unknown := set(self.controls) - set(measured):
            raise ValueError(f"claim {self.id!r}: no condition is called {unknown.pop()!r}, but {', '.join(measured)}")
        if set(self.controls) == set(measured):
            raise ValueError(f"claim {self.id!r}: every condition is a control, so none can vote")
        return tuple(self._evidence(condition, effects, len(seeds)) for condition, effects in measured.items())

    def _evidence(self, condition: str, effects: Sequence[float], seeds: int) -> Evidence:
        if len(effects) != seeds:
            raise ValueError(f"claim {self.id!r}, {condition!r}: {len(effects)} effects from {seeds} seeds")
        return Evidence(condition, *interval(effects, self.method), seeds)

    def outcome(self, one: Evidence) -> Outcome:
        """Say what one interval means: inside ``holds`` it agrees, and if it does not touch ``holds`` it refutes."""
        low, high = self.holds
        if one.condition in self.controls:
            return Outcome.CONTROL
        if low <= one.low and one.high <= high:
            return Outcome.AGREES
        return Outcome.REFUTES if one.high < low or high < one.low else Outcome.OPEN

    def outcomes(self, *sets: Sequence[Evidence]) -> dict[str, Outcome]:
        """Say what each condition means after several sets of seeds: it is open unless all sets say the same."""
        found: dict[str, Outcome] = {}
        for same in zip(*sets, strict=True):
            said = {self.outcome(one) for one in same}
            found[same[0].condition] = said.pop() if len(said) == 1 else Outcome.OPEN
        return found

    def verdict(self, outcomes: Iterable[Outcome]) -> Verdict:
        """Say what the outcomes of all conditions mean.

        One counterexample refutes a universal statement. Nothing that was tried refutes an existential one, since there
        may be a case among what was not tried; it is then not found.
        """
        votes = set(outcomes) - {Outcome.CONTROL}
        agreed, refuted = Outcome.AGREES in votes, Outcome.REFUTES in votes
        if self.scope == "existential":
            nowhere = votes == {Outcome.REFUTES}
            return Verdict.SUPPORTED if agreed else Verdict.NOT_FOUND if nowhere else Verdict.UNDECIDED
        if refuted:
            return Verdict.IN_SOME_CASES if agreed else Verdict.REFUTED
        return Verdict.SUPPORTED if votes == {Outcome.AGREES} else Verdict.UNDECIDED


#: All claims by id, in the order in which they were registered.
CLAIMS: dict[str, Claim] = {}


def claim(
    statement: str,
    *,
    source: str,
    quantity: str,
    criterion: Criterion,
    unit: str = "",
    scope: Scope = "universal",
    controls: tuple[str, ...] = (),
    data: tuple[str, ...] = (),
    preprocessing: tuple[str, ...] = (),
    optimizer: tuple[str, ...] = (),
    budget: str = "",
    after_looking: str = "",
) -> Callable[[Measure], Measure]:
    """Register the decorated function as the measurement of a claim: its name is the id, its module the topic.

    The arguments are those of :class:`Claim`.

    Raises:
        ValueError: if the id is taken, or the scope is none of the two.
        TypeError: if ``controls``, ``data``, ``preprocessing`` or ``optimizer`` is not a tuple of names.
    """
    if scope not in get_args(Scope):
        raise ValueError(f"scope = {scope!r}, but a claim is {' or '.join(map(repr, get_args(Scope)))}")
    under = {"controls": controls, "data": data, "preprocessing": preprocessing, "optimizer": optimizer}
    for name, value in under.items():
        if not isinstance(value, tuple):  # a string alone would be taken for its letters
            raise TypeError(f"{name} = {value!r}, but it must be a tuple of names, such as ({value!r},)")
    about = {"source": source, "quantity": quantity, "unit": unit, "budget": budget, "after_looking": after_looking}
    fields: dict[str, Any] = {"statement": statement, "scope": scope, **about, **under, **criterion._asdict()}

    def register(measure: Measure) -> Measure:
        id, topic = (_slug(name) for name in (measure.__name__, measure.__module__.rpartition(".")[2]))
        if id in CLAIMS:
            raise ValueError(f"claim {id!r} is registered already")
        CLAIMS[id] = Claim(id=id, topic=topic, measure=measure, **fields)
        return measure

    return register


def _slug(name: str) -> str:
    return name.replace("_", "-")


def interval(effects: Sequence[float], method: Method) -> tuple[float, float, float]:
    """Estimate an effect and its 99 percent interval.

    Returns:
        The estimate and the interval's two ends. Where the effects allow no interval, it reaches to infinity on both
        sides and so decides nothing: if one of them is not finite, as when a measurement broke down; if there are too
        few for a median; or if a mean is asked of effects that are equal up to rounding. Student's interval would be a
        point then, from two effects as from a hundred, since a spread of zero tells nothing about rare other effects.

    Raises:
        ValueError: if a share is asked of effects other than 0 and 1.

    >>> interval([0, 1, 1, 1], Method.SHARE)[0]
    0.75
    """
    values = np.asarray(effects, dtype=float)
    center = float(np.median(values) if method is Method.MEDIAN else np.mean(values))
    low, high = _ends(values, method) if np.isfinite(values).all() else (-np.inf, np.inf)
    return center, float(low), float(high)


def _ends(values: NDArray[np.float64], method: Method) -> tuple[float, float]:
    if method is Method.SHARE:
        if (other := values[~np.isin(values, (0, 1))]).size:
            raise ValueError(f"a share is of effects that are 0 or 1, but one is {other[0]:g}")
        return share_interval(int(values.sum()), len(values), CONFIDENCE)
    if method is Method.MEDIAN:
        low, high = np.asarray(scipy.stats.quantile_test(values, p=0.5).confidence_interval(CONFIDENCE))
        return (-np.inf, np.inf) if np.isnan(low) else (low, high)
    if method is Method.RANGE:
        return values.min(), values.max()
    if np.ptp(values) <= EQUAL * abs(values).max():
        return -np.inf, np.inf
    return scipy.stats.t.interval(CONFIDENCE, len(values) - 1, values.mean(), scipy.stats.sem(values))
