r"""Who is in the course, and by which names the world knows them: `roster.csv` in the course folder.

Its columns are `id`, `name`, `email` and `lms`, the number that a learning platform gives to a person. Only `id` is
needed. Separators may be commas, semicolons or tabs, as spreadsheets write them.

>>> roster = parse("id,name,email,lms\nada,Ada Lovelace,a.lovelace@uni.example,4711")
>>> [roster.find(name=name)[0].id for name in ("lovelaceada", "ADA", "a.lovelace@uni.example", "Lovelace, Ada")]
['ada', 'ada', 'ada', 'ada']
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("id", "name", "email", "lms")
NAMELESS = re.compile(r"(anon|anonymous)_[0-9A-Za-z]+|Participant_\d+")
"""Ids of who came in a download of Canvas or Moodle that hides names."""
ALIASES = {"e-mail": "email", "e-mail address": "email", "email address": "email", "lms id": "lms", "lms_id": "lms"}


class Person(NamedTuple):
    """A student: the id that names folders and numbers of one's own, and what else is known; "" for what is not."""

    id: str
    name: str = ""
    email: str = ""
    lms: str = ""

    @property
    def is_anonymous(self) -> bool:
        """Whether a platform hid who this is."""
        return not self.name and not self.email and NAMELESS.fullmatch(self.id) is not None

    def is_called(self, name: str) -> bool:
        """Whether a text is the id, the e-mail address, its part before the @, or the name, in any usual order."""
        exact = {same(self.id), same(self.email), same(self.email.partition("@")[0])} - {""}
        return same(name) in exact or letters(name) in orders(self.name)


class Roster(NamedTuple):
    """The students of a course; empty if there is no roster."""

    people: tuple[Person, ...] = ()

    def find(self, *, name: str = "", lms: str = "") -> list[Person]:
        """Who may be meant: by the platform's number, else by an exact id or address, else by the name."""
        by_number = [one for one in self.people if lms and one.lms == lms]
        by_id = [one for one in self.people if same(name) in (same(one.id), same(one.email)) and same(name)]
        return by_number or by_id or [one for one in self.people if one.is_called(name)]

    def get(self, id: str) -> Person:
        """The student with an id; of one who is not listed, only the id is known."""
        return next((one for one in self.people if same(one.id) == same(id)), Person(id))

    def nameless(self, handed_in: Iterable[str]) -> list[str]:
        """Whose name a platform hid, among the ids that handed in."""
        return [id for id in handed_in if self.get(id).is_anonymous]

    def absent(self, handed_in: Iterable[str]) -> list[str]:
        """Whom nothing came from; empty as soon as one came without a name, for then nobody knows who that was."""
        came = set(handed_in)
        return [] if self.nameless(came) else [one.id for one in self.people if one.id not in came]


def same(text: str) -> str:
    """A text without what does not tell two ids apart: case, and spaces around it."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def letters(text: str) -> str:
    """The letters and digits of a name, without accents, as some platforms write it.

    >>> letters("Zoë O'Neil")
    'zoeoneil'
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    return re.sub(r"[\W_]", "", plain)


def orders(name: str) -> set[str]:
    """The letters of a name in its usual orders: as it is, and with each beginning put last.

    >>> sorted(orders("Ada King Noel"))
    ['adakingnoel', 'kingnoelada', 'noeladaking']
    """
    words = re.split(r"[\s,_]+", name.strip())
    turned = (words[cut:] + words[:cut] for cut in range(len(words)))
    return {letters("".join(one)) for one in turned} - {""}


def parse(text: str) -> Roster:
    """The roster in the text of a table; a ValueError says which line is wrong, and what is allowed."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    lines = list(csv.reader(io.StringIO(text), delimiter=separator))
    header = [ALIASES.get(same(cell), same(cell)) for cell in lines[0]] if lines else []
    if "id" not in header:
        raise ValueError(f"its first line is {first!r}; it must name the column id, and may name name, email and lms")
    people = tuple(_people(header, lines[1:]))
    for column in ("id", "email", "lms"):
        values = [same(getattr(one, column)) for one in people if getattr(one, column)]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"two students have the same {column}: {', '.join(twice)}")
    return Roster(people)


def _people(header: list[str], lines: Iterable[list[str]]) -> Iterator[Person]:
    for number, cells in enumerate(lines, 2):
        found = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name in COLUMNS}
        if any(found.values()):
            if not re.fullmatch(r"[\w][\w.@-]*", found.get("id", "")):
                raise ValueError(
                    f"line {number} has the id {found.get('id', '')!r}; allowed are letters, digits and _.@-"
                )
            yield Person(**found)


def read(path: Path) -> Roster:
    """The roster in a file, or an empty one if there is no file; a ValueError says what is wrong with it."""
    if not path.exists():
        return Roster()
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
