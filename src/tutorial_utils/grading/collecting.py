"""Collect what students hand in: one notebook for each of them, whatever it came in.

>>> student_id("Ada Lovelace, 3rd")
'Ada_Lovelace_3rd'
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def student_id(name: str) -> str:
    """A name as nbgrader and a table can hold it: letters, digits and `_.@-`."""
    return re.sub(r"[^\w.@-]+", "_", name).strip("_.@-") or "nameless"


def notebooks_in(folder: Path) -> list[Path]:
    """The notebooks in a folder and below it; links are not followed."""
    found = [path for path in sorted(folder.rglob("*.ipynb")) if path.is_file() and not path.is_symlink()]
    return [path for path in found if ".ipynb_checkpoints" not in path.parts]


def incoming(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Each student's name and notebooks, from a folder that has a folder or a notebook named after each."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.startswith((".", "__MACOSX")):
            continue
        if path.is_dir():
            yield path.name, notebooks_in(path)
        elif path.suffix == ".ipynb":
            yield path.stem, [path]


def collected(name: str) -> Iterator[tuple[str, list[Path]]]:
    """Each student's name and notebooks, from `submitted` itself."""
    for folder in sorted(Path("submitted").glob(f"*/{name}")):
        yield folder.parent.name, [] if folder.is_symlink() else notebooks_in(folder)


def choose(name: str, notebooks: list[Path]) -> tuple[Path | None, str]:
    """The notebook that answers an assignment, and a remark if that is not plain."""
    for one in notebooks:
        if one.name == f"{name}.ipynb":
            return one, ""
    if len(notebooks) == 1:
        return notebooks[0], f"the file was called {notebooks[0].name}"
    return None, f"{len(notebooks)} notebooks, none of them called {name}.ipynb" if notebooks else "no notebook"


def collect(name: str, folder: Path | None = None) -> list[str]:
    """Put what came in where nbgrader looks for it; a line for each student, with a remark where something was odd.

    Args:
        name: the assignment.
        folder: a folder or an archive with a folder or a notebook named after each student; None tidies up what is
            in `submitted` already.

    Errors: FileNotFoundError if there is no such folder or archive.
    """
    if folder is None:
        return take_all(name, collected(name))
    if folder.is_dir():
        return take_all(name, incoming(folder))
    if not folder.is_file():
        raise FileNotFoundError(f"there is no folder or archive {folder}")
    with tempfile.TemporaryDirectory() as unpacked:
        shutil.unpack_archive(folder, unpacked)
        return take_all(name, incoming(Path(unpacked)))


def take_all(name: str, submissions: Iterator[tuple[str, list[Path]]]) -> list[str]:
    """Take each student's notebook, under an id that no other student has."""
    taken: set[str] = set()
    lines = []
    for who, notebooks in list(submissions):
        student = student_id(who)
        while student.casefold() in taken:
            student += "_2"
        taken.add(student.casefold())
        path, remark = choose(name, notebooks)
        remark = "" if path and path.stem == who else remark
        take(name, student, path)
        remarks = [remark] * bool(remark) + [f"the name was {who!r}"] * (student != who)
        lines.append(f"{student}: " + "; ".join(remarks or ["collected"]))
    return lines


def take(name: str, student: str, path: Path | None) -> None:
    """Leave one notebook of the right name in a student's folder, empty if there was none, and no other file."""
    content = path.read_bytes() if path else b""
    place = Path("submitted", student, name)
    stamp = place / "timestamp.txt"
    when = stamp.read_bytes() if stamp.is_file() and not stamp.is_symlink() else b""
    if place.is_symlink():
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / f"{name}.ipynb").write_bytes(content)
    if when:
        stamp.write_bytes(when)
