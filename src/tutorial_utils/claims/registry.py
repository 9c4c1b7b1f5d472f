"""What a claim is, and how measurements become a verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.99
Seeds = Sequence[int]
Effects = Mapping[str, Sequence[float]]
Measure = Callable[[Seeds], Effects]


class Verdict(StrEnum):
    """What the measurements say of a statement; computed, never typed."""

    SUPPORTED = "supported"
    CONDITIONAL = "supported under conditions"
    NOT_REPRODUCED = "not reproduced"
    WRONG = "wrong"


class Method(StrEnum):
    """How an interval is made from one effect per seed."""

    MEAN = "mean, Student's t"  # exact for normal effects, close for the mean of many others
    MEDIAN = "median, order statistics"  # exact for effects of any kind; it takes at least eight
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

    def evidence(self, seeds: Seeds) -> list[Evidence]:
        """Measure under every condition.

        Raises:
            ValueError: if a condition does not give one effect per seed.
        """
        found = []
        for condition, effects in self.measure(seeds).items():
            if len(effects) != len(seeds):
                raise ValueError(f"claim {self.id!r}, {condition!r}: {len(effects)} effects from {len(seeds)} seeds")
            found.append(Evidence(condition, *interval(effects, self.method), len(seeds)))
        return found

    def verdict(self, evidence: Sequence[Evidence]) -> Verdict:
        """Say what the evidence means: an interval inside ``holds`` agrees, one that does not touch it refutes."""
        low, high = self.holds
        refutes = [one.high < low or high < one.low for one in evidence]
        if agreeing := self.agreeing(evidence):
            return Verdict.SUPPORTED if len(agreeing) == len(evidence) else Verdict.CONDITIONAL
        return Verdict.WRONG if all(refutes) else Verdict.NOT_REPRODUCED

    def agreeing(self, evidence: Sequence[Evidence]) -> list[str]:
        """Name the conditions under which the statement is supported."""
        low, high = self.holds
        return [one.condition for one in evidence if low <= one.low and one.high <= high]


#: All claims by id, in the order in which they were registered.
CLAIMS: dict[str, Claim] = {}


def claim(
    statement: str,
    *,
    source: str,
    quantity: str,
    criterion: Criterion,
    unit: str = "",
    after_looking: str = "",
) -> Callable[[Measure], Measure]:
    """Register the decorated function as the measurement of a claim: its name is the id, its module the topic.

    The arguments are those of :class:`Claim`.

    Raises:
        ValueError: if the id is taken.
    """
    about = {"source": source, "quantity": quantity, "unit": unit, "after_looking": after_looking}
    fields: dict[str, Any] = {"statement": statement, **about, **criterion._asdict()}

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
        The estimate and the interval's two ends. An effect that is not finite makes the interval reach to infinity, so
        that a measurement that broke down never supports anything; so do too few effects for a median. Effects that are
        all equal make the interval of a mean a point.

    >>> interval([0, 1, 1, 1], Method.SHARE)[0]
    0.75
    """
    values = np.asarray(effects, dtype=float)
    center = float(np.median(values) if method is Method.MEDIAN else np.mean(values))
    low, high = _ends(values, method) if np.isfinite(values).all() else (-np.inf, np.inf)
    return center, float(low), float(high)


def _ends(values: NDArray[np.float64], method: Method) -> tuple[float, float]:
    if method is Method.SHARE:
        return stats.binomtest(round(values.sum()), len(values)).proportion_ci(CONFIDENCE)
    if method is Method.MEDIAN:
        low, high = np.asarray(stats.quantile_test(values, p=0.5).confidence_interval(CONFIDENCE))
        return (-np.inf, np.inf) if np.isnan(low) else (low, high)
    if method is Method.RANGE or np.ptp(values) == 0:
        return values.min(), values.max()
    return stats.t.interval(CONFIDENCE, len(values) - 1, values.mean(), stats.sem(values))
