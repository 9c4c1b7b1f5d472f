"""How far a student's code can be fenced in on this system, and the command that does it.

On Linux, `unshare` starts a process with no network, no sight of other processes, and a file system that holds
Python, its packages and an empty folder, nothing else. It needs no rights where user namespaces are allowed. Where
they are not, root (as in most containers) gives the process to a user without rights; elsewhere only time and memory
are limited. :func:`available` says which it is.

Whatever it is, the package that the code sees is a copy without the exercises' right answers (:func:`furnish`).

>>> NOTHING.command(Path("course"), Room(Path("home"), Path("package")))
[]
"""

import os
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

PACKAGE = Path(__file__).resolve().parents[1]
ANSWERS = PACKAGE / "exercises"
"""Holds a right answer to each exercise."""
HARMLESS = ("registry", "run")
"""The modules of it that hold none; a worker needs them."""
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/sys/devices/system/cpu")
# Arguments: the new root, the folder to hide, the folders to show (read-only), "--", the command.
SCRIPT = """
root=$1; hidden=$2; shift 2
mount -t tmpfs -o mode=755,size=256m none "$root"
while [ "$1" != -- ]; do
  mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; mount -o remount,bind,ro "$root$1"; shift
done; shift
if [ -d "$root$hidden" ]; then mount -t tmpfs -o ro,size=4k none "$root$hidden"; fi
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/.old"
mount -t proc proc "$root/proc"
for device in null zero urandom; do : > "$root/dev/$device"; mount --bind /dev/$device "$root/dev/$device"; done
chmod 1777 "$root/tmp"
cd "$root"; pivot_root . .old; umount -l /.old; cd /tmp
exec "$@"
"""
APART = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
USERS = range(61184, 65520)
"""Numbers of users that no system gives away for long; each process gets one of them."""
POWERLESS = ("setpriv", "--no-new-privs", "--bounding-set=-all")


class Room(NamedTuple):
    """The folders of one worker: where its code may write, and where its copy of the package lies."""

    home: Path
    package: Path


class Isolation(NamedTuple):
    """A way to fence a process in: a name, what it keeps away, and what makes the beginning of the command."""

    name: str
    words: str
    command: Callable[[Path, Room], list[str]]


def furnish(folder: Path) -> Room:
    """Make the folders of a worker in an empty one; its copy of the package has no right answers."""
    room = Room(folder / "home", folder / "package")
    folder.chmod(0o711)
    room.home.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(room.home, *[user(folder)] * 2)
    copied = shutil.copytree(PACKAGE, room.package / PACKAGE.name, ignore=_answers)
    (copied / "exercises" / "__init__.py").write_text("")
    return room


def _answers(folder: str, names: list[str]) -> set[str]:
    return set(filter(holds_answers, names)) if folder == str(ANSWERS) else set()


def holds_answers(name: str) -> bool:
    """Whether a file among the exercises may hold a right answer.

    >>> holds_answers("he.py"), holds_answers("run.py"), holds_answers("__pycache__")
    (True, False, True)
    """
    return name.removesuffix(".py") not in HARMLESS


def shown(course: Path, room: Room) -> Iterator[str]:
    """The folders that a student's code may read: those of Python and its packages, none that holds the course."""
    packages = [*site.getsitepackages(), *(path for path in sys.path if "-packages" in path)]
    seen: list[Path] = []
    for folder in map(Path, (*SYSTEM, sys.base_prefix, sys.prefix, *packages, str(room.package))):
        inside = any(folder.is_relative_to(parent) for parent in seen)
        if folder.is_dir() and not inside and not course.resolve().is_relative_to(folder.resolve()):
            seen.append(folder)
            yield str(folder)


def user(folder: Path) -> int:
    """The user that root turns a student's code into: by the folder, so hardly ever the same for two."""
    return USERS[crc32(str(folder).encode()) % len(USERS)]


def _unshare(course: Path, room: Room) -> list[str]:
    """The command for Linux; for root another one, that ends as a user without rights."""
    fence = ["sh", "-ec", SCRIPT, "sh", str(room.home), str(ANSWERS), *shown(course, room), "--"]
    if os.geteuid() == 0:
        return ["unshare", *APART, *fence, *_other_user(course, room)]
    return ["unshare", "--user", "--map-root-user", *APART, *fence, *POWERLESS]


def _other_user(course: Path, room: Room) -> list[str]:
    """The command for root where namespaces are forbidden, as in most containers."""
    number = user(room.home.parent)
    return [*POWERLESS, f"--reuid={number}", f"--regid={number}", "--clear-groups"]  # fails for all but root


NAMESPACES = Isolation("namespaces", "no network, no other processes, no files but Python's own", _unshare)
OTHER_USER = Isolation("user", "runs as a user without rights; network and files open to all are in reach", _other_user)
NOTHING = Isolation("NONE", "only time and memory are limited; grade in a container or virtual machine", lambda *_: [])


@cache
def available(course: Path) -> Isolation:
    """The best way that works here, found by trying it."""
    with tempfile.TemporaryDirectory() as folder:
        room = furnish(Path(folder))
        return next((one for one in (NAMESPACES, OTHER_USER) if _works(one.command(course, room), room)), NOTHING)


def _works(command: list[str], room: Room) -> bool:
    words = [*command, sys.executable, "-P", "-c", "import torch, tutorial_utils.grading.worker"]
    variables = os.environ | {"PYTHONPATH": str(room.package)}
    try:
        return subprocess.run(words, capture_output=True, timeout=60, env=variables).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
