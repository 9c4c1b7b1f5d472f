"""Set the project up: `.venv` in the project's folder with the versions of requirements.lock.

`python3 tools/setup.py` does nothing when that is done already. A set-up that did not finish is started over;
a finished one whose requirements changed is updated in place. pip's output goes to `.venv/setup.log`.

Standard library only, and syntax that Python 3.6 can read: an old Python is told so, not met with a SyntaxError.
"""

import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # torch's builds without CUDA; the only host named here
DISK_NEEDED = 3 * 10**9  # bytes; a finished .venv takes 2 GB, and wheels are unpacked beside it
DISK_FULL = re.compile(r"No space left on device|\[Errno 28\]|Disk quota exceeded")
DISK_FULL_ADVICE = (
    f"The disk is full. Free some space (pip also writes to {tempfile.gettempdir()}; "
    "the variable TMPDIR moves that), then run the same command again."
)
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError"
    r"|Max retries exceeded|Network is unreachable|Connection (broken|reset|refused|aborted)"
)


class SetupError(Exception):
    """What is wrong and what to do about it, in plain words."""


def check_python(version: "tuple[int, ...]", executable: str) -> None:
    """Raise SetupError if `version`, e.g. (3, 9, 2), is older than the project needs."""
    if version[:2] >= OLDEST_PYTHON:
        return
    newer = [name for name in (f"python3.{minor}" for minor in range(11, 15)) if shutil.which(name)]
    advice = f"Run: make book PYTHON={newer[-1]}" if newer else "Install one from https://www.python.org"
    raise SetupError(
        f"Python {_dotted(OLDEST_PYTHON)} or newer is needed, this is {_dotted(version[:3])} at {executable}.\n{advice}"
    )


def check_disk(free: int) -> None:
    """Raise SetupError if `free` bytes are too few to install into."""
    if free < DISK_NEEDED:
        raise SetupError(
            f"The disk is too full: {free / 1e9:.1f} GB are free here, the set-up needs {DISK_NEEDED / 1e9:.1f} GB.\n"
            "Free some space (python3 -m pip cache purge may help), then run the same command again."
        )


def venv_builder() -> "list[str]":
    """Return the command that makes an empty virtual environment, up to its folder.

    Errors: SetupError if this Python has neither ensurepip nor virtualenv.
    """
    base = getattr(sys, "_base_executable", sys.executable)  # not the .venv that may be active and be replaced
    if importlib.util.find_spec("ensurepip"):
        return [base, "-m", "venv"]
    if importlib.util.find_spec("virtualenv"):
        return [sys.executable, "-m", "virtualenv", "--quiet"]
    raise SetupError(
        f"This Python ({sys.executable}) cannot make virtual environments: its module ensurepip is missing.\n"
        f"On Debian and Ubuntu: sudo apt install python3-venv (or python{_dotted(sys.version_info[:2])}-venv). "
        f"Elsewhere: {sys.executable} -m pip install --user virtualenv. Then run the same command again."
    )


def venv_python(root: Path) -> Path:
    """Return the interpreter of the virtual environment of the project in `root`."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(root: Path) -> "dict[str, str]":
    """Return what a finished set-up depends on: the requirements, the Python version and the folder."""
    import tomllib  # Python 3.11, which check_python has made sure of

    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    sections = [pyproject["build-system"], project["dependencies"], project["optional-dependencies"]]
    text = (root / "requirements.lock").read_text(encoding="utf-8") + json.dumps(sections)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"requirements": digest, "python": _dotted(sys.version_info[:2]), "folder": str(root)}


def read_stamp(root: Path) -> "dict[str, str]":
    """Return the fingerprint of the last finished set-up, empty when there is none that could be used."""
    try:
        stamp = json.loads(_stamp(root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    usable = isinstance(stamp, dict) and venv_python(root).exists()  # False if its Python was uninstalled
    return stamp if usable else {}


def explain(output: str, log: Path) -> str:
    """Return what pip's `output` means for the person at the keyboard."""
    if DISK_FULL.search(output):
        return DISK_FULL_ADVICE
    if NO_NETWORK.search(output):
        return (
            "The package index could not be reached. Check the network connection (and the proxy settings, "
            "if there is a proxy), then run the same command again."
        )
    last = "\n".join("  " + line for line in output.strip().splitlines()[-5:])
    return f"It ended with:\n{last}\nThe whole output is in {log}. Run the same command to try again."


class Runner:
    """Runs commands in the project's folder and adds what they print to `.venv/setup.log`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / ".venv" / "setup.log"

    def __call__(self, command: "list[str]") -> "tuple[int, str]":
        """Run `command`; return its exit code and what it printed."""
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("a+b") as log:
            log.write("$ {}\n".format(" ".join(command)).encode())
            log.flush()
            start = log.tell()
            done = subprocess.run(command, cwd=self.root, stdout=log, stderr=subprocess.STDOUT, env=_environment())
            log.seek(start)
            return done.returncode, log.read().decode("utf-8", "replace")

    def must(self, command: "list[str]") -> None:
        """Run `command`; raise SetupError, with what to do, if it fails."""
        code, output = self(command)
        if code:
            raise SetupError(explain(output, self.log))


def install_torch(root: Path, run: Runner, platform: str = sys.platform) -> None:
    """Install the locked torch; on Linux its build without CUDA, wherever that can be had."""
    pip = [str(venv_python(root)), "-m", "pip", "install", "--no-compile"]
    torch = "torch==" + locked_version(root, "torch")
    if platform.startswith("linux"):
        code, output = run([*pip, "--no-deps", "--timeout=10", "--retries=1", "--index-url", CPU_INDEX, torch])
        if not code:
            return
        if DISK_FULL.search(output):
            raise SetupError(explain(output, run.log))
        _say(f"  {torch} cannot be had from {CPU_INDEX}: trying the usual package index (larger)")
    run.must([*pip, "-c", "requirements.lock", torch])


def locked_version(root: Path, package: str) -> str:
    """Return the version of `package` in requirements.lock."""
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    match = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    if not match:
        raise SetupError(f"requirements.lock names no version of {package}. Run: make lock")
    return match.group(1)


def install(root: Path, run: Runner) -> None:
    """Install torch, the other locked versions and the project itself, then let pip check the whole.

    The lock is complete, so nothing is resolved, and what is never imported is not compiled: half of the time.
    """
    pip = [str(venv_python(root)), "-m", "pip"]
    locked = [*pip, "install", "--no-compile", "--no-deps"]
    _say("Installing torch " + locked_version(root, "torch"))
    install_torch(root, run)
    _say("Installing the other locked versions (minutes the first time)")
    run.must([*locked, "-r", "requirements.lock"])
    run.must([*locked, "--no-build-isolation", "-e", "."])
    run.must([*pip, "check"])


def set_up(root: Path, run: Runner) -> None:
    """Bring `.venv` in `root` to the state that `fingerprint` describes; do nothing if it is there."""
    wanted, found = fingerprint(root), read_stamp(root)
    if found == wanted:
        return
    _stamp(root).unlink(missing_ok=True)
    if (found.get("python"), found.get("folder")) != (wanted["python"], wanted["folder"]):
        create_venv(root, run)
    install(root, run)
    _stamp(root).write_text(json.dumps(wanted), encoding="utf-8")
    _say(f"Ready: {venv_python(root).relative_to(root)}")


def create_venv(root: Path, run: Runner) -> None:
    """Make an empty `.venv` in `root`, whatever stood there before."""
    builder = venv_builder()
    check_disk(shutil.disk_usage(root).free)
    _say("Creating .venv with Python " + _dotted(sys.version_info[:3]))
    if (root / ".venv").exists():
        shutil.rmtree(root / ".venv")
    run.must([*builder, ".venv"])


def main() -> int:
    """Set the project up and return the exit code; every foreseen failure is a message, not a traceback."""
    try:
        check_python(sys.version_info[:3], sys.executable)
        set_up(ROOT, Runner(ROOT))
    except SetupError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("Interrupted. The next run starts over.")
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _fail(DISK_FULL_ADVICE if full else f"The system says: {error}")
    return 0


def _stamp(root: Path) -> Path:
    return root / ".venv" / "setup-done.json"


def _environment() -> "dict[str, str]":
    """Return the environment for pip, without the settings that would install elsewhere."""
    elsewhere = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def _dotted(version: "tuple[int, ...]") -> str:
    return ".".join(str(part) for part in version)


def _say(line: str) -> None:
    print(line, flush=True)


def _fail(message: str) -> int:
    print(f"Set-up stopped. {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
