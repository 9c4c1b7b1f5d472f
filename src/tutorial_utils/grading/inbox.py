"""What came in: files of students in a folder or an archive, as they are packed by hand or by a learning platform.

Known are a folder or a notebook named after each student, and the downloads of Moodle and Canvas, from their documented
names, also where they hide who handed in. Nothing but notebooks and archives in archives is unpacked, no link is
followed, and no entry lands elsewhere.

>>> read_name("Ada Lovelace_4711_assignsubmission_file_/ps1.ipynb")
Sender(name='Ada Lovelace', lms='4711', late=False)
>>> read_name("lovelaceada_LATE_4711_98765_ps1-2.ipynb")
Sender(name='lovelaceada', lms='4711', late=True)
>>> read_name("LATE_anon_x7Yq2_98765_ps1.ipynb")
Sender(name='anon x7Yq2', lms='x7Yq2', late=True)
"""

import os
import re
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tutorial_utils.grading.submissions import LARGEST

PATTERNS = (
    # Without names, the number is that of one assignment. Canvas: anon_x7Yq2_98765_ps1.ipynb, or LATE_anon_...; Moodle:
    # Participant_4711_assignsubmission_file_/...
    r"(?P<late>LATE_)?(?P<name>anon(ymous)?_(?P<lms>[0-9A-Za-z]+))_\d+_.*",
    r"(?P<name>Participant_(?P<lms>\d+))_assignsubmission_(file|onlinetext)(_.*)?",
    # Moodle, with and without "download in folders": Full Name_12345_assignsubmission_file_/..., ..._file_ps1.ipynb
    r"(?P<name>.+)_(?P<lms>\d+)_assignsubmission_(file|onlinetext)(_.*)?",
    # Canvas: lastfirst_12345_67890_ps1.ipynb, with LATE after the name of who was late
    r"(?P<name>[^_/]+)(?P<late>_LATE)?_(?P<lms>\d+)_\d+_.*",
)
"""How names of files and folders are read, tried in this order; else the whole name is the student's."""
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
PACKED_AT_ONCE = 60.0
"""Seconds: if all files of a class are as close as that, their times are those of a copy, not of who handed in."""

NO_TIME_BEFORE = 347_155_200.0
"""Seconds, of 1981: what packs without a time writes 1970 or 1980."""


class Sender(NamedTuple):
    """What a name of a file says about who handed it in."""

    name: str
    #: The learning platform's number of that person, "" if the name has none.
    lms: str = ""
    late: bool = False


@dataclass
class Parcel:
    """What came from one student."""

    sender: Sender
    notebooks: list[Path] = field(default_factory=list)
    #: What else is worth knowing: links that were left out, an archive that could not be unpacked.
    remarks: list[str] = field(default_factory=list)


# --- names --------------------------------------------------------------------------------------------


def read_name(name: str, patterns: Sequence[str] = PATTERNS) -> Sender:
    """Who handed in a file or folder with this name.

    Errors: ValueError for a pattern that is no regular expression, or has no group called `name` or `lms`.
    """
    top = PurePosixPath(name).parts[0]
    for pattern in patterns:
        if found := compiled(pattern).fullmatch(top):
            groups = found.groupdict()
            lms = groups.get("lms") or ""
            return Sender((groups.get("name") or lms).replace("_", " ").strip(), lms, bool(groups.get("late")))
    whole = top.removesuffix(".ipynb")
    return Sender(next((whole.removesuffix(one) for one in ARCHIVES if whole.endswith(one)), whole))


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern for names, if it is one."""
    try:
        made = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the pattern {pattern!r} for names of files is no regular expression: {error}") from None
    if not {"name", "lms"} & set(made.groupindex):
        raise ValueError(f"the pattern {pattern!r} for names of files needs a group (?P<name>...) or (?P<lms>...)")
    return made


# --- folders ------------------------------------------------------------------------------------------


def notebooks_in(folder: Path) -> list[Path]:
    """The notebooks in a folder and below it; links are not followed."""
    found = [] if folder.is_symlink() else sorted(folder.rglob("*.ipynb"))
    real = [path for path in found if path.is_file() and not path.is_symlink()]
    return [path for path in real if not {".ipynb_checkpoints", "__MACOSX"} & set(path.parts)]


def is_archive(path: Path) -> bool:
    """Whether the name of a file is that of an archive."""
    return path.is_file() and not path.is_symlink() and path.name.lower().endswith(ARCHIVES)


def parcels(folder: Path, spare: Path, patterns: Sequence[str] = PATTERNS) -> list[Parcel]:
    """What came from each student, in a folder; archives of students are unpacked into a spare folder."""
    found: dict[tuple[str, str], Parcel] = {}
    for number, path in enumerate(sorted(folder.iterdir())):
        if path.is_symlink() or path.name.startswith((".", "__MACOSX")):
            continue
        sender = read_name(path.name, patterns)
        if not (path.is_dir() or path.suffix == ".ipynb" or is_archive(path) or sender.lms):
            continue
        parcel = found.setdefault((sender.lms, sender.lms or sender.name), Parcel(sender))
        parcel.sender = parcel.sender._replace(late=parcel.sender.late or sender.late)
        _add(parcel, path, spare / str(number))
    return list(found.values())


def _add(parcel: Parcel, path: Path, spare: Path) -> None:
    """Add a file, or what is in a folder or an archive."""
    if path.is_dir():
        parcel.notebooks += notebooks_in(path)
    elif path.suffix == ".ipynb":
        parcel.notebooks.append(path)
    archives = [path] if is_archive(path) else sorted(filter(is_archive, path.rglob("*"))) if path.is_dir() else []
    for number, archive in enumerate(archives):
        try:
            parcel.remarks += unpack(archive, spare / str(number))
        except ValueError as error:
            parcel.remarks.append(str(error).replace(str(archive), archive.name))
        parcel.notebooks += notebooks_in(spare / str(number))


def times_are_those_of_a_copy(parcels: Sequence[Parcel]) -> bool:
    """Whether the files of several students are so close in time that somebody packed or copied them at once."""
    newest = [max(path.stat().st_mtime for path in one.notebooks) for one in parcels if one.notebooks]
    times = [seconds for seconds in newest if seconds > NO_TIME_BEFORE]
    return len(times) > 1 and max(times) - min(times) <= PACKED_AT_ONCE


# --- archives -----------------------------------------------------------------------------------------


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack the notebooks and archives of an archive, with their times; the names of links and others left out.

    Errors: ValueError that says why it cannot be unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        entries = _from_tar(archive) if tarfile.is_tarfile(archive) else _from_zip(archive)
        return [words for words in (_write(folder, *entry) for entry in entries) if words]
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{archive} could not be unpacked: {error}") from error


Entry = tuple[str, bytes | None, float]
"""A name, the content or None for what is no file, and a time in seconds."""


def _from_tar(archive: Path) -> Iterator[Entry]:
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() and _is_wanted(member.name) else None
            content = file.read(LARGEST + 1) if file else b"" if member.isreg() else None
            if not member.isdir():
                yield member.name, content, member.mtime


def _from_zip(archive: Path) -> Iterator[Entry]:
    """Times in a zip have no zone: they are read as this computer's."""
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            is_link = stat.S_ISLNK(info.external_attr >> 16)
            content = _read(zipped, info) if _is_wanted(info.filename) and not is_link else b""
            if not info.is_dir():
                yield info.filename, None if is_link else content, _seconds(info.date_time)


def _read(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with zipped.open(info) as file:
        return file.read(LARGEST + 1)


def _seconds(date: tuple[int, ...]) -> float:
    with suppress(ValueError, OverflowError):
        return time.mktime((*date, 0, 0, -1))  # type: ignore[arg-type]
    return 0.0


def _is_wanted(name: str) -> bool:
    return name.lower().endswith((".ipynb", *ARCHIVES))


def _write(folder: Path, name: str, content: bytes | None, when: float) -> str:
    """Write a file below a folder, an empty one in place of what is not read; why it was left out, or ""."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0] == "/" or ":" in parts[0]:
        return f"{name!r} leads out of the archive, and was left out"
    place = folder.joinpath(*parts)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            return f"{name!r} is a link, and was left out"
        place.write_bytes(content)
        os.utime(place, (when, when))
    except (OSError, ValueError, OverflowError) as error:
        return f"{name!r} was left out: {type(error).__name__}"
    return ""
