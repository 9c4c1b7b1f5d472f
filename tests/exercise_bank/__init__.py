"""Answers as readers write them: for each exercise right ones in different styles, and some wrong ones.

One module for each topic. The typical mistakes stand in the package, each with its hint, and are tried as answers from
there; here are only wrong answers that reach such a mistake in another way. Where a value is asked, an answer is a
function of the exercise's data.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

from tutorial_utils.exercises import EXERCISES

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


for _topic in iter_modules(__path__):
    import_module(f"{__name__}.{_topic.name}")

#: The exercises that are checked, and those of them that ask for a function.
CHECKED = list(EXERCISES.values())
FUNCTIONS = [one for one in CHECKED if not one.value]
RIGHT = [entry for entry in BANK if not entry.keyword]


def words(text: str) -> str:
    """A text to look for words in, wherever its lines end."""
    return " ".join(text.split()).casefold()


def ids(entries: Sequence[Any]) -> list[str]:
    """Names for tests, of entries of the bank or of exercises."""
    return [entry.name if isinstance(entry, Entry) else entry.id for entry in entries]
