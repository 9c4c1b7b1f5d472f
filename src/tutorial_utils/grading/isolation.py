"""How far a student's code can be fenced in on this system, and the command that does it.

On Linux, `unshare` starts a process with no network, no sight of other processes, and a file system that holds
Python, its packages and an empty folder, nothing else. It needs no rights where user namespaces are allowed. Where
they are not, root (as in most containers) gives the process to a user without rights; elsewhere only time and memory
are limited. :func:`available` says which it is.

>>> NOTHING.command(Path("course"), Path("folder"))
[]
"""

import os
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

ANSWERS = Path(__file__).resolve().parents[1] / "exercises"
"""Holds a right answer to each exercise, and is hidden."""
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/sys/devices/system/cpu")
# Arguments: the new root, the folder to hide, the folders to show (read-only), "--", the command.
SCRIPT = """
root=$1; hidden=$2; shift 2
mount -t tmpfs -o mode=755,size=256m none "$root"
while [ "$1" != -- ]; do
  mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; mount -o remount,bind,ro "$root$1"; shift
done; shift
mount -t tmpfs -o ro,size=4k none "$root$hidden"
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


@dataclass(frozen=True)
class Isolation:
    """A way to fence a process in."""

    #: One word for it.
    name: str
    #: What it keeps away.
    words: str
    #: Makes the beginning of the command from the course's folder and an empty one.
    command: Callable[[Path, Path], list[str]]


def shown(course: Path) -> Iterator[str]:
    """The folders that a student's code may read: those of Python and its packages, none that holds the course."""
    packages = [*site.getsitepackages(), *(path for path in sys.path if "-packages" in path)]
    own = ANSWERS.parents[1]
    seen: list[Path] = []
    for folder in map(Path, (*SYSTEM, sys.base_prefix, sys.prefix, *packages, str(own))):
        inside = any(folder.is_relative_to(parent) for parent in seen)
        if folder.is_dir() and not inside and not course.resolve().is_relative_to(folder.resolve()):
            seen.append(folder)
            yield str(folder)


def user(folder: Path) -> int:
    """The user that root turns a student's code into: by the folder, so hardly ever the same for two."""
    return USERS[crc32(str(folder).encode()) % len(USERS)]


def _unshare(course: Path, folder: Path) -> list[str]:
    """The command for Linux; for root another one, that ends as a user without rights."""
    fence = ["sh", "-ec", SCRIPT, "sh", str(folder), str(ANSWERS), *shown(course), "--"]
    if os.geteuid() == 0:
        return ["unshare", *APART, *fence, *_other_user(course, folder)]
    return ["unshare", "--user", "--map-root-user", *APART, *fence, *POWERLESS]


def _other_user(course: Path, folder: Path) -> list[str]:
    """The command for root where namespaces are forbidden, as in most containers."""
    number = user(folder)
    return [*POWERLESS, f"--reuid={number}", f"--regid={number}", "--clear-groups"]  # fails for all but root


NAMESPACES = Isolation("namespaces", "no network, no other processes, no files but Python's own", _unshare)
OTHER_USER = Isolation("user", "runs as a user without rights; network and files open to all are in reach", _other_user)
NOTHING = Isolation("NONE", "only time and memory are limited; grade in a container or virtual machine", lambda *_: [])


@cache
def available(course: Path) -> Isolation:
    """The best way that works here, found by trying it."""
    with tempfile.TemporaryDirectory() as folder:
        ways = (one for one in (NAMESPACES, OTHER_USER) if _works(one.command(course, Path(folder))))
        return next(ways, NOTHING)


def _works(command: list[str]) -> bool:
    words = [*command, sys.executable, "-P", "-c", "import tutorial_utils.grading.worker"]
    try:
        return subprocess.run(words, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
