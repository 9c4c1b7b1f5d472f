"""Find the Chromium that the site tests open the pages with, or install one.

`executable()` is for Playwright: `playwright.chromium.launch(executable_path=executable())`.
`python tools/browser.py` installs a browser if none is found, and says what to do if it cannot.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

SETTING = "GOOD_STARTS_BROWSER"
SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DOWNLOAD_SECONDS = 180
PLAYWRIGHTS_OWN = (
    "from playwright.sync_api import sync_playwright\n"
    "with sync_playwright() as playwright: print(playwright.chromium.executable_path)"
)
ADVICE = f"""No Chromium was found or could be installed; the tests of the site need one. Do one of these:
  .venv/bin/python -m playwright install --with-deps chromium  (needs the network)
  sudo apt-get install chromium  (Debian; elsewhere the package of your system)
  export {SETTING}=/path/to/chromium  (one that you have)
Then run the same command again."""


def executable() -> str | None:
    """Return the path of the first Chromium that starts, None if there is none.

    The order: the environment variable GOOD_STARTS_BROWSER, Playwright's own, the system's.
    Errors: FileNotFoundError if GOOD_STARTS_BROWSER names something that does not start.
    """
    chosen = os.environ.get(SETTING)
    if not chosen:
        return next(filter(starts, candidates()), None)
    if not starts(chosen):
        raise FileNotFoundError(f"{SETTING}={chosen!r} does not start; set it to the path of a Chromium.")
    return chosen


def candidates() -> Iterator[str]:
    """Yield where a Chromium may be: Playwright's own, then what the system has under its usual names."""
    # In a process of its own, because Playwright refuses to start twice in one.
    yield _output([sys.executable, "-c", PLAYWRIGHTS_OWN])
    yield from filter(None, map(shutil.which, SYSTEM_NAMES))


def starts(path: str) -> bool:
    """Say whether the program at `path` runs; a download without its system libraries does not."""
    return bool(path) and bool(_output([path, "--version"]))


def install() -> None:
    """Install Playwright's Chromium, or the system's package where that cannot be downloaded or started."""
    print("Installing Chromium for the tests of the site", flush=True)
    _try([sys.executable, "-m", "playwright", "install", "chromium"], DOWNLOAD_SECONDS)
    if executable() or not shutil.which("apt-get"):
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    print("Playwright's cannot be had here: trying the system's package", flush=True)
    _try([*root, "apt-get", "update"])
    _try([*root, "apt-get", "install", "-y", "--no-install-recommends", "chromium"])


def main() -> int:
    """Make sure that there is a browser; return 0 if so, else print what to do and return 1."""
    try:
        if not executable():
            install()
        found = executable()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if not found:
        print(ADVICE, file=sys.stderr)
        return 1
    print(f"Browser: {found}")
    return 0


def _output(command: list[str]) -> str:
    """Return what `command` prints, empty if it fails, hangs or does not exist."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _try(command: list[str], seconds: float | None = None) -> None:
    """Run `command` for what it leaves behind; whether that worked is seen by looking for a browser."""
    try:
        subprocess.run(command, check=False, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"  {error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
