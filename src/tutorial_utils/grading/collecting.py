"""Collect what students hand in: one notebook for each of them, whatever it came in.

>>> student_id("Ada Lovelace, 3rd")
'Ada_Lovelace_3rd'
"""

import re
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from nbgrader.utils import parse_utc
from traitlets import List, Unicode
from traitlets.config import Configurable

from tutorial_utils.grading import tables
from tutorial_utils.grading.inbox import (
    NO_TIME_BEFORE,
    PATTERNS,
    Parcel,
    notebooks_in,
    parcels,
    read_name,
    times_are_those_of_a_copy,
    unpack,
)
from tutorial_utils.grading.roster import Person, Roster
from tutorial_utils.grading.roster import read as read_roster

STAMP = "timestamp.txt"
"""When something was handed in, as nbgrader notes it."""
COLLECTED = Path("collected.csv")
COLUMNS = ("assignment", "student", "came as", "platform's number", "handed in (UTC)", "time from", "said to be late")


class Collect(Configurable):
    """How a course collects, in `nbgrader_config.py`."""

    patterns = List(Unicode(), list(PATTERNS), help="Regular expressions for names of files.").tag(config=True)
    roster = Unicode("roster.csv", help="The table of the students; there need not be one.").tag(config=True)

    def people(self) -> Roster:
        """The students of the course."""
        return read_roster(Path(self.roster))


# --- names --------------------------------------------------------------------------------------------


def student_id(name: str) -> str:
    """A name as nbgrader and a table can hold it: letters, digits and `_.@-`.

    Some systems write an umlaut as two characters; here it is one, as on a keyboard.
    """
    return re.sub(r"[^\w.@-]+", "_", unicodedata.normalize("NFC", name)).strip("_.@-") or "nameless"


def ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each name, no two alike; a name that is an id keeps it, whoever else would get the same.

    >>> ids(["a b", "a_b"])
    {'a_b': 'a_b', 'a b': 'a_b_2'}
    """
    given: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (student_id(name) != name, name)):
        one = student_id(name)
        while one.casefold() in map(str.casefold, given.values()):
            one += "_2"
        given[name] = one
    return given


# --- files --------------------------------------------------------------------------------------------


def choose(name: str, notebooks: list[Path]) -> tuple[Path | None, str]:
    """The notebook that answers an assignment, and a remark if that is not plain.

    A platform puts words before the name of a file, and a browser or a platform a number behind it.
    """
    usual = re.compile(rf"(.*_)?{re.escape(name)}([-_ ]\(?\d+\)?)?\.ipynb")
    named = [one for one in notebooks if one.name == f"{name}.ipynb"]
    named = named or [one for one in notebooks if usual.fullmatch(one.name)]
    if len(notebooks) == 1:
        plain = notebooks[0].name == f"{name}.ipynb"
        return notebooks[0], "" if plain else f"the file was called {notebooks[0].name}"
    if len(named) == 1:
        return named[0], f"{len(notebooks)} notebooks, of which {named[0].name} was taken"
    how_many = f"{len(named) or 'none'} of them called {name}.ipynb"
    return None, f"{len(notebooks)} notebooks, {how_many}" if notebooks else "no notebook"


def put(name: str, student: str, content: bytes, when: str = "") -> None:
    """Leave one notebook of the right name in a student's folder, the time when it came, and no other file."""
    place = Path("submitted", student, name)
    if place.is_symlink():
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / f"{name}.ipynb").write_bytes(content)
    if when:
        (place / STAMP).write_text(when, encoding="utf-8")


def time_of(stamp: Path) -> str:
    """What nbgrader noted as the time of a submission; "" if that is no time, on which it would stumble."""
    with suppress(OSError, ValueError, OverflowError):
        return "" if stamp.is_symlink() else str(parse_utc(stamp.read_text(encoding="utf-8")))
    return ""


# --- who it is ----------------------------------------------------------------------------------------


class Sorted(NamedTuple):
    """What came in, by student; and what could not be given to one, with the reason."""

    known: dict[str, Parcel]
    unknown: list[tuple[Parcel, str]]


def sort(found: Sequence[Parcel], roster: Roster) -> Sorted:
    """Give each parcel to a student of the roster; without one, to the student named as it says.

    One whose name a platform hid is a student of its own, unless the roster has the number.
    """
    if not roster.people:
        again = Counter(one.sender.name for one in found)
        labels = [
            f"{name}_{lms}" if lms and again[name] > 1 else name for name, lms, _ in (one.sender for one in found)
        ]
        given = ids(labels)
        return Sorted({given[label]: parcel for label, parcel in zip(labels, found, strict=True)}, [])
    result = Sorted({}, [])
    for parcel in found:
        people = roster.find(name=parcel.sender.name, lms=parcel.sender.lms)
        nameless = Person(student_id(parcel.sender.name))
        if not people and nameless.is_anonymous:
            people = [nameless]
        if len(people) != 1:
            who = " or ".join(one.id for one in people)
            result.unknown.append((parcel, f"it may be {who}" if who else "nobody in the roster is called that"))
        elif people[0].id in result.known:
            _join(result.known[people[0].id], parcel)
        else:
            result.known[people[0].id] = parcel
    return result


def _join(first: Parcel, second: Parcel) -> None:
    first.notebooks += second.notebooks
    first.remarks += [*second.remarks, f"came as {first.sender.name!r} and as {second.sender.name!r}"]


# --- what the commands need ---------------------------------------------------------------------------


def collect(name: str, folder: Path, settings: Collect | None = None) -> list[str]:
    """Put what came in, in a folder or an archive, where nbgrader looks for it; a line for each student.

    Errors: ValueError that says what is wrong with the archive, the roster, or a pattern.
    """
    settings = settings or Collect()
    roster = settings.people()
    with tempfile.TemporaryDirectory() as spare:
        unpacked, lines = Path(spare, "unpacked"), []
        if not folder.is_dir():
            lines = unpack(folder, unpacked)
        inside = the_students(folder if folder.is_dir() else unpacked, settings.patterns, roster)
        found = parcels(inside, Path(spare), settings.patterns)
        source = "the file" if folder.is_dir() else "its entry in the archive"
        return [*take_all(name, found, roster, source), *lines, *missing(name, roster)]


def the_students(folder: Path, patterns: Sequence[str], roster: Roster) -> Path:
    """The folder in which each student has a folder or a file: this one, or the only one in it that holds them all."""
    inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink():
        return folder
    senders = [read_name(path.name, patterns) for path in (inside[0], *inside[0].iterdir())]
    of_class = [bool(one.lms or roster.find(name=one.name)) for one in senders]
    return inside[0] if any(of_class[1:]) and not of_class[0] else folder


def take_all(name: str, found: Sequence[Parcel], roster: Roster, source: str) -> list[str]:
    """Take each student's notebook, an empty one where there is none; keep what is nobody's.

    ``source`` says what the files have their times from.
    """
    copied = times_are_those_of_a_copy(found)
    sorted_out = sort(found, roster)
    lines = [
        take(name, student, parcel, "" if copied else source) for student, parcel in sorted(sorted_out.known.items())
    ]
    lines += [keep(name, parcel, why) for parcel, why in sorted_out.unknown]
    if copied:
        lines.append("All files are of the same minute, when somebody packed them: no time was noted.")
    return lines


def take(name: str, student: str, parcel: Parcel, source: str) -> str:
    """Take one student's notebook; a line that says what was odd, and when it was handed in, if there is a source."""
    path, remark = choose(name, parcel.notebooks)
    again = Path("submitted", student, name).exists()
    when = time_in(path) if source and path else ""
    put(name, student, path.read_bytes() if path else b"", when)
    who, lms, late = parcel.sender
    row = (name, student, who, lms, when.removesuffix(" UTC"), source if when else "", "yes" if late else "")
    tables.replace(COLLECTED, COLUMNS, [row], key=2)
    expected = len(parcel.notebooks) == 1 and (lms or parcel.notebooks[0].stem == who)
    remarks = [remark] * bool(remark and not expected) + parcel.remarks
    remarks += [f"the name was {who!r}"] * (student != who) + ["an earlier file was replaced"] * again
    remarks = (remarks or ["collected"]) + [f"handed in {when}, the time of {source}"] * bool(when)
    return f"{student}: " + "; ".join(remarks + ["the platform says LATE"] * late)


def time_in(path: Path) -> str:
    """When a file was written, to the second, in UTC; "" if that is no time."""
    seconds = path.stat().st_mtime
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds > NO_TIME_BEFORE else ""


def keep(name: str, parcel: Parcel, why: str) -> str:
    """Keep what is nobody's in `unmatched`; a line that says so."""
    who, lms, _ = parcel.sender
    place = Path("unmatched", name, student_id(f"{who} {lms}"))
    place.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(parcel.notebooks, 1):
        shutil.copy2(path, place / f"{number} {path.name}")
    platform = f" (number {lms})" if lms else ""
    return f"NOT MATCHED: {who!r}{platform}, {why}; kept in {place}. Mend the roster and run the same command again."


def missing(name: str, roster: Roster) -> list[str]:
    """A line that names those in the roster of whom there is nothing, or says why nobody can know."""
    handed_in = [path.parent.name for path in Path("submitted").glob(f"*/{name}")]
    if nameless := roster.nameless(handed_in):
        return [f"{len(nameless)} came without a name; each is a student of its own, such as {min(nameless)}"]
    absent = roster.absent(handed_in)
    return [f"nothing came from {', '.join(absent)}"] if absent else []


def tidy(name: str) -> list[str]:
    """Bring what lies in `submitted` already into the same form; a line for each student where something was odd.

    Where no notebook can be chosen, everything stays as it is, for a person to decide.
    """
    lines = []
    folders = {folder.parent.name: folder for folder in Path("submitted").glob(f"*/{name}")}
    for who, student in sorted(ids(folders).items()):
        place = Path("submitted", student, name)
        if who != student:
            place.parent.mkdir(exist_ok=True)
            folders[who].rename(place)
            with suppress(OSError):  # which holds other assignments
                folders[who].parent.rmdir()
        path, remark = choose(name, notebooks_in(place))
        if path is not None:
            put(name, student, path.read_bytes(), time_of(place / STAMP))
        if remark:
            lines.append(f"{student}: {remark}")
    return lines
