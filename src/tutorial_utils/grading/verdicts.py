"""What a submission's answer to an exercise is worth, and why, in words for its author and for who grades.

An answer earns the share of its parts that are right. Who met a limit of time is not graded in what depends on it.
"""

import math
import re
from dataclasses import replace
from typing import NamedTuple

from tutorial_utils import exercises
from tutorial_utils.exercises import Result, hints
from tutorial_utils.exercises.run import Raised, TimeUp
from tutorial_utils.grading.process import DidNotStart
from tutorial_utils.grading.session import NO_TIME, NoValue, Session
from tutorial_utils.grading.submissions import Check

MOST_CAUSES = 3
"""How many stopped cells are named for one answer."""


class Verdict(NamedTuple):
    """The share of the points, from 0 to 1, None if that has to wait for a person; and the words for it."""

    share: float | None
    words: str


def judge(session: Session, check: Check, student: str | None, after: int | None = None) -> Verdict:
    """What a check finds after some first cells have run; all by default."""
    verdict = _found(session, check, student, after)
    if verdict.share == 1:
        return verdict
    stopped = session.needed(check.answer)
    for number in stopped:
        if number in session.limited:
            return Verdict(None, f"NOT GRADED. {session.why(number)}. Without it: {verdict.words}")
    if session.spent:
        words = NO_TIME.format(session.limits.submission)
        return Verdict(None, f"NOT GRADED. The check of `{check.answer}`: {words}.")
    return verdict._replace(words="\n".join([verdict.words, *map(session.why, stopped[:MOST_CAUSES])]))


def _found(session: Session, check: Check, student: str | None, after: int | None) -> Verdict:
    try:
        answer = session.answer(check.answer, after)
        student_id = student if check.own else None
        return _of_result(exercises.check(check.id, answer, student_id=student_id, perform=session.perform))
    except DidNotStart:
        raise
    except NoValue as error:
        return Verdict(0, f"Not yet. {_missing(session, check.answer, error.args[0])}")
    except (Exception, TimeUp) as error:
        return Verdict(0, f"Not yet. Your answer could not be checked: {type(error).__name__}: {error}")


def _of_result(result: Result) -> Verdict:
    """The words of a check, with those for each part where some are right."""
    if not result.parts or not 0 < result.share < 1:
        return Verdict(result.share, result.hint)
    parts = [f"  {part.name}: {part.reason or 'right'}" for part in result.parts]
    begin = f"{sum(not part.reason for part in result.parts)} of {len(parts)} parts are right:"
    words, gap, listing = result.hint.partition("\n  ")  # the input and what came out, which may be long
    return Verdict(result.share, "\n".join([words, begin, *parts]) + gap + listing)


def _missing(session: Session, expression: str, raised: Raised) -> str:
    """Why an expression has no value: what its author's code raised, or that nothing of that name was there."""
    if raised.kind != "NameError" or raised.line:
        return hints.of_exception(replace(raised, theirs=True))
    name = next(iter(re.findall(r"name '(\w+)'", raised.message)), expression)
    if session.needed(name):
        return f"`{name}` was not defined, because a cell did not run to its end."
    return f"After your cells ran, there was no `{name}`."


def points(share: float, most: float) -> float:
    """A share of points, in whole or half points, rounded down.

    >>> points(2 / 3, 3), points(2 / 3, 2), points(1, 5)
    (2.0, 1.0, 5.0)
    """
    return math.floor(2 * most * share + 1e-9) / 2
