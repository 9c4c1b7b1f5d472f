"""Answers as readers write them: for each exercise right ones and typical wrong ones, with a word of the right hint.

One module for each chapter; a wrong answer is written out here, never imported from the checker's own mistakes.
Where a value is asked, an answer is a function of the exercise's data.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

Answer = Callable[..., Any]


class Entry(NamedTuple):
    exercise: str
    keyword: str  # "" for a right answer
    answer: Answer

    @property
    def name(self) -> str:
        return f"{self.exercise}: {self.answer.__name__}"


BANK: list[Entry] = []


def right(exercise: str) -> Callable[[Answer], Answer]:
    """Add a right answer."""
    return wrong(exercise, "")


def wrong(exercise: str, keyword: str) -> Callable[[Answer], Answer]:
    """Add a wrong answer, whose hint must contain the keyword."""

    def add(answer: Answer) -> Answer:
        BANK.append(Entry(exercise, keyword, answer))
        return answer

    return add


for _path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    import_module(f"{__name__}.{_path.stem}")
