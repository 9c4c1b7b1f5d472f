"""Collect what students hand in: one notebook for each of them, whatever it came in.

>>> student_id("Ada Lovelace, 3rd")
'Ada_Lovelace_3rd'
"""

import re
import shutil
import tarfile
import tempfile
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nbgrader.utils import parse_utc

STAMP = "timestamp.txt"
"""When something was handed in, as nbgrader notes it."""


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


def notebooks_in(folder: Path) -> list[Path]:
    """The notebooks in a folder and below it; links are not followed."""
    found = [] if folder.is_symlink() else sorted(folder.rglob("*.ipynb"))
    real = [path for path in found if path.is_file() and not path.is_symlink()]
    return [path for path in real if ".ipynb_checkpoints" not in path.parts]


def incoming(folder: Path) -> dict[str, list[Path]]:
    """The notebooks by student, in a folder that has a folder or a notebook named after each."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.startswith((".", "__MACOSX")):
            continue
        if path.is_dir():
            found.setdefault(path.name, []).extend(notebooks_in(path))
        elif path.suffix == ".ipynb":
            found.setdefault(path.stem, []).append(path)
    return found


def choose(name: str, notebooks: list[Path]) -> tuple[Path | None, str]:
    """The notebook that answers an assignment, and a remark if that is not plain."""
    named = [one for one in notebooks if one.name == f"{name}.ipynb"]
    if len(notebooks) == 1:
        return notebooks[0], "" if named else f"the file was called {notebooks[0].name}"
    if len(named) == 1:
        return named[0], f"{len(notebooks)} notebooks, of which {named[0].name} was taken"
    how_many = f"{len(named) or 'none'} of them called {name}.ipynb"
    return None, f"{len(notebooks)} notebooks, {how_many}" if notebooks else "no notebook"


def unpack(archive: Path, folder: str) -> None:
    """Unpack an archive; what would land outside of the folder is left out."""

    def inside(member: tarfile.TarInfo, place: str) -> tarfile.TarInfo | None:
        with suppress(tarfile.FilterError):
            return tarfile.data_filter(member, place)
        return None

    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter=inside)
    else:
        shutil.unpack_archive(archive, folder)


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


# --- what the commands need ---------------------------------------------------------------------------


def collect(name: str, folder: Path) -> list[str]:
    """Put what came in, in a folder or an archive, where nbgrader looks for it; a line for each student."""
    if folder.is_dir():
        return take_all(name, incoming(folder))
    with tempfile.TemporaryDirectory() as unpacked:
        try:
            unpack(folder, unpacked)
        except Exception as error:  # each format has its own
            raise ValueError(f"{folder} could not be unpacked: {error}") from error
        return take_all(name, incoming(Path(unpacked)))


def take_all(name: str, found: dict[str, list[Path]]) -> list[str]:
    """Take each student's notebook; an empty one where there is none."""
    lines = []
    for who, student in sorted(ids(found).items()):
        path, remark = choose(name, found[who])
        again = Path("submitted", student, name).exists()
        put(name, student, path.read_bytes() if path else b"")
        remarks = [remark] * bool(remark and not (path and path.stem == who))
        remarks += [f"the name was {who!r}"] * (student != who) + ["an earlier file was replaced"] * again
        lines.append(f"{student}: " + "; ".join(remarks or ["collected"]))
    return lines


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
