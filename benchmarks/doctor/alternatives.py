"""The judges: ``diagnose``, and what one could use instead of it."""

from doctor.score import Judge

JUDGES: dict[str, Judge] = {}
