"""What being late costs, by the course's rule in `nbgrader_config.py`: a grace, a share for each day, a floor.

>>> rule = LatePenalty(grace_minutes=15, percent_per_day=10, floor_percent=50)
>>> [rule.kept(hours * 3600) for hours in (0, 0.2, 1, 25, 1000)]
[1.0, 1.0, 0.9, 0.8, 0.5]
"""

import math

from nbgrader.plugins import BasePlugin
from nbgrader.utils import parse_utc
from traitlets import Dict, Float

DAY = 86_400
LATE = "points taken off"
"""Ends what is said of a late submission."""


class LatePenalty(BasePlugin):  # type: ignore[misc]
    """Takes points off a late submission; nbgrader asks it."""

    due = Dict(help="When assignments are due: {name: 'year-month-day hour:minute:second UTC'}.").tag(config=True)
    grace_minutes = Float(15, help="Minutes after which a submission is late.").tag(config=True)
    percent_per_day = Float(10, help="Percent of the points taken off for each day begun.").tag(config=True)
    floor_percent = Float(0, help="Percent of the points that stay, however late.").tag(config=True)

    def kept(self, seconds_late: float) -> float:
        """The share of the points that stay."""
        late = seconds_late - 60 * self.grace_minutes
        days = math.ceil(late / DAY) if late > 0 else 0
        return round(max(1 - days * self.percent_per_day / 100, self.floor_percent / 100), 6)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float:
        """The points to take off."""
        return float(round(score * (1 - self.kept(total_seconds_late)), 2))

    def due_date(self, name: str) -> str:
        """When an assignment is due, as nbgrader writes it; "" if the configuration does not say.

        Errors: ValueError that repeats a date that is none, and says what is allowed.
        """
        if name not in self.due:
            return ""
        try:
            return f"{parse_utc(str(self.due[name])):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, OverflowError, TypeError):
            allowed = "such as '2027-05-01 23:59:59 UTC'"
            raise ValueError(
                f"c.LatePenalty.due has {self.due[name]!r} for {name}; it must be a time, {allowed}"
            ) from None


def words(seconds_late: float, penalty: float, points: float) -> str:
    """What is said of a late submission; "" if it was not late.

    >>> words(90_000, 1.5, 15)
    'handed in 25 hours late: 1.5 of 15 points taken off'
    >>> words(600, 0, 15)
    'handed in 10 minutes late: no points taken off'
    """
    if seconds_late <= 0:
        return ""
    hours = seconds_late / 3600
    late = f"{hours:.0f} hours" if hours >= 2 else f"{max(1, seconds_late // 60):.0f} minutes"
    how_many = f"{penalty:g} of {points:g}" if penalty else "no"
    return f"handed in {late} late: {how_many} {LATE}"
