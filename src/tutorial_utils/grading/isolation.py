"""How far a student's code can be fenced in on this system, and how it is done.

A process of the grader's own, the nursery, has everything loaded, and no student's code; an :class:`Isolation` says how
it starts. It forks a worker for each submission, which shuts itself in with :func:`enter` before it runs a cell.

On Linux, `unshare` starts the nursery with no network, no sight of other processes, and a file system that holds
Python, its packages and an empty folder, nothing else; each worker gets an empty folder and a sight of processes of its
own. That needs no rights where user namespaces are allowed. Where they are not, root (as in most containers) gives the
worker to a user without rights; elsewhere only time and memory are limited.

Whatever it is, the package that the code sees is a copy without the exercises' right answers (:func:`furnish`).

>>> NOTHING.command(Path("course"), Room(Path("home"), Path("package")))
[]
"""

import ctypes
import os
import shutil
import site
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[1]
ANSWERS = PACKAGE / "exercises"
"""Holds a right answer to each exercise."""
HARMLESS = ("registry", "run")
"""The modules of it that hold none; a worker needs them."""
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/sys/devices/system/cpu")
DESK, COPY = "/desk", "/package"
"""Behind namespaces: where a worker may write, and where the copy of the package lies."""
# Arguments: the new root, the copy of the package, the folder to hide, folders to show (read-only), "--", the command.
SCRIPT = f"""
root=$1; copy=$2; hidden=$3; shift 3
mount -t tmpfs -o mode=755,size=1m none "$root"
show() {{ mkdir -p "$root$2"; mount --rbind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"; }}
show "$copy" {COPY}
while [ "$1" != -- ]; do show "$1" "$1"; shift; done; shift
if [ -d "$root$hidden" ]; then mount -t tmpfs -o ro,size=4k none "$root$hidden"; fi
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root{DESK}" "$root/.old"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=16m none "$root{DESK}"
for device in null zero urandom; do : > "$root/dev/$device"; mount --bind /dev/$device "$root/dev/$device"; done
cd "$root"; pivot_root . .old; umount -l /.old; mount -o remount,ro /; cd {DESK}
export PYTHONPATH={COPY} TMPDIR={DESK} HOME={DESK}
exec "$@"
"""
APART = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
USERS = range(61184, 65520)
"""Numbers of users that no system gives away for long; each worker of root's gets the next of them."""


class Room(NamedTuple):
    """The folders of a nursery: an empty one, and where its copy of the package lies."""

    home: Path
    package: Path


class Isolation(NamedTuple):
    """A way to fence code in: a name, what it keeps away, and what makes the beginning of the nursery's command."""

    name: str
    words: str
    command: Callable[[Path, Room], list[str]]


def furnish(folder: Path) -> Room:
    """Make the folders of a nursery in an empty one; its copy of the package has no right answers."""
    room = Room(folder / "home", folder / "package")
    folder.chmod(0o711)
    room.home.mkdir(mode=0o711)
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


def shown(course: Path) -> Iterator[str]:
    """The folders that a student's code may read: those of Python and its packages, none that holds the course."""
    packages = [*site.getsitepackages(), *(path for path in sys.path if "-packages" in path)]
    seen: list[Path] = []
    for folder in map(Path, (*SYSTEM, sys.base_prefix, sys.prefix, *packages)):
        inside = any(folder.is_relative_to(parent) for parent in seen)
        if folder.is_dir() and not inside and not course.resolve().is_relative_to(folder.resolve()):
            seen.append(folder)
            yield str(folder)


def _unshare(course: Path, room: Room) -> list[str]:
    """The command for Linux; who is not root becomes root of the namespaces, and of nothing else."""
    apart = APART if os.geteuid() == 0 else ("--user", "--map-root-user", *APART)
    places = map(str, (room.home, room.package, ANSWERS, *shown(course)))
    return ["unshare", *apart, "sh", "-ec", SCRIPT, "sh", *places, "--"]


def _root(course: Path, room: Room) -> list[str]:
    """Nothing, for root where namespaces are forbidden, as in most containers; a command that fails for all others."""
    return [] if os.geteuid() == 0 else ["false"]


NAMESPACES = Isolation("namespaces", "no network, no other processes, no files but Python's own", _unshare)
OTHER_USER = Isolation("user", "runs as a user without rights; network and files open to all are in reach", _root)
NOTHING = Isolation("NONE", "only time and memory are limited; grade in a container or virtual machine", lambda *_: [])


# --- what a worker does before it runs a student's code -----------------------------------------------

NEW_MOUNTS, NEW_NAMES, NEW_IPC, NEW_PROCESSES, NEW_NETWORK = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
NO_SETUID, NO_DEVICES, BIND = 2, 4, 4096
"""Flags of mount."""
DROP_CAPABILITY, NO_NEW_RIGHTS, SET_DUMPABLE = 24, 38, 4
"""Requests to prctl."""
CAPABILITIES = range(64)
VERSION_3 = 0x20080522
"""Of the layout of capabilities."""


def system(name: str, *arguments: object) -> None:
    """Call a function of the C library; an OSError if it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    words = [one.encode() if isinstance(one, str) else one for one in arguments]
    if getattr(library, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def fork(way: str) -> int:
    """Fork; behind namespaces, the child is the first process of a space of its own, and its end is the end of all."""
    if way == NAMESPACES.name:
        with open("/proc/self/ns/pid") as own:
            system("setns", own.fileno(), NEW_PROCESSES)  # a process may leave for a new space only from its own
        system("unshare", NEW_PROCESSES)
    return os.fork()


def enter(way: str, room: Path, number: int) -> None:
    """Shut this process in for good, in an empty folder, without any rights.

    Args:
        way: the name of an isolation.
        room: a folder of the nursery's, in which one is made where there are no namespaces.
        number: the user to become, if this is root.
    """
    if way == NAMESPACES.name:
        system("unshare", NEW_MOUNTS | NEW_NAMES | NEW_IPC | NEW_NETWORK)
        system("mount", "none", DESK, "tmpfs", NO_DEVICES | NO_SETUID, "mode=1777,size=256m")
        if not os.listdir("/tmp"):  # where Python may lie
            system("mount", DESK, "/tmp", None, BIND, None)
        system("mount", "none", "/proc", "proc", 0, None)
        os.chdir(DESK)
    else:
        os.chdir(tempfile.mkdtemp(dir=room))
    if way == OTHER_USER.name:
        os.chown(".", number, number)
    if way != NOTHING.name:
        _give_up_rights(number)


def _give_up_rights(number: int) -> None:
    system("prctl", NO_NEW_RIGHTS, 1, 0, 0, 0)
    for capability in CAPABILITIES:
        with suppress(OSError):  # this kernel knows fewer
            system("prctl", DROP_CAPABILITY, capability, 0, 0, 0)
    with open("/proc/self/uid_map") as file:
        is_root = file.read().split()[2] != "1"  # and not only root of its namespaces, where there is no other user
    if is_root:
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
    system("capset", (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)())
    system("prctl", SET_DUMPABLE, 1, 0, 0, 0)
