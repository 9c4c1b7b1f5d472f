"""Build the site of the book.

`python tools/website.py` writes book/_build/html and prints the address to open; if nothing has changed since, it only
prints. A build happens beside the site and replaces it when it is whole, so what is there is always complete.

The buttons for Binder, Colab and the repository lead to the GitHub repository that the book is built in: the book of a
fork leads to the fork.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
DIGEST = "built-from.txt"
INPUTS = ("book", "exercises", "src/tutorial_utils", "tools", "pyproject.toml", "requirements.lock")
NOT_READ = {"_build", "__pycache__", ".ipynb_checkpoints"}
GITHUB = re.compile(r"(?:\S+[/@])?github\.com[:/]([\w-]+/[\w.-]+?)(?:\.git)?/?")

REDIRECTION = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Good Starts</title><link rel="canonical" href="{page}">
<meta http-equiv="refresh" content="0; url={page}"></head><body><a href="{page}">Good Starts</a></body></html>
"""
"""What stands at the address of the site instead of Jupyter Book's redirection, which is no valid page."""


def site(root: Path = ROOT) -> Path:
    """Return the folder of the site."""
    return root / "book" / "_build" / "html"


def build(root: Path = ROOT) -> int:
    """Build the site unless it is up to date, and print where it is; return the exit code."""
    if is_current(root) or _rebuild(root):
        print(f"Open {(site(root) / 'index.html').as_uri()}")
        return 0
    return 1


def is_current(root: Path = ROOT) -> bool:
    """Say whether the site is there and was built from the files as they are now."""
    try:
        return (site(root) / DIGEST).read_text() == digest(root)
    except FileNotFoundError:
        return False


def digest(root: Path = ROOT) -> str:
    """Return a digest of all that the site is made from: names and contents of files, and where its buttons lead."""
    parts = hashlib.sha256(str(repository(root)).encode())
    for path in _inputs(root):
        parts.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return parts.hexdigest()


def _inputs(root: Path) -> Iterator[Path]:
    for name in INPUTS:
        start = root / name
        found = sorted(start.rglob("*")) if start.is_dir() else [start]
        yield from (path for path in found if path.is_file() and not NOT_READ & set(path.relative_to(root).parts))


def repository(root: Path = ROOT) -> str | None:
    """Return the address of the GitHub repository that the book is built in, None if it is built elsewhere.

    It is the one whose workflow runs, else the one that `origin` names.
    """
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return f"https://github.com/{name}"
    # With the folder's own .git: a download may lie in a clone of something else.
    command = ["git", "--git-dir", str(root / ".git"), "config", "remote.origin.url"]
    try:
        remote = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git
        return None
    match = GITHUB.fullmatch(remote)
    return f"https://github.com/{match[1]}" if match else None


def published(address: str | None) -> str:
    """Return where GitHub publishes the book of a repository, "" if it is in none.

    >>> published("https://github.com/Some-One/book"), published("https://github.com/some-one/some-one.github.io")
    ('https://some-one.github.io/book/', 'https://some-one.github.io/')
    """
    if not address:
        return ""
    owner, name = address.removeprefix("https://github.com/").split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def package(address: str, extras: str = "chapters") -> str:
    """Return what pip installs the package from."""
    return f"tutorial-utils[{extras}]@git+{address}"


def settings(book: Path, address: str | None) -> str:
    """Return Jupyter Book's settings for a repository; without one, there are no buttons rather than broken ones."""
    config = yaml.safe_load((book / "_config.yml").read_text(encoding="utf-8"))
    if address:
        config["repository"]["url"] = address
        config["html"]["baseurl"] = published(address)
        colab = package(address, "chapters,notebook")  # explorers are widgets there
        config["parse"]["myst_substitutions"]["install"] = f"`%pip install {colab}`"
    else:
        config |= {"repository": {"url": ""}, "launch_buttons": {}}
        config["html"] |= {"use_repository_button": False, "use_issues_button": False}
    return str(yaml.safe_dump(config, sort_keys=False))


def _rebuild(root: Path) -> bool:
    """Build from nothing into a draft, then put the draft in the place of the site; say whether that worked.

    From nothing, because Sphinx repeats no warning about a page that it does not read again.
    """
    before = digest(root)
    site(root).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="draft-", dir=site(root).parent) as folder:
        draft = Path(folder)
        (draft / "_config.yml").write_text(settings(root / "book", repository(root)), encoding="utf-8")
        result = _jupyter_book(root, draft)
        if result.returncode:
            print(f"{result.stdout}{result.stderr}\nThe site was not built; the reason is above.", file=sys.stderr)
            if site(root).exists():
                print(f"{site(root)} is still the last site that was whole, now out of date.", file=sys.stderr)
            return False
        html = draft / "_build" / "html"
        (html / DIGEST).write_text(before)
        (html / "index.html").write_text(REDIRECTION.format(page=_first(root)), encoding="utf-8")
        if site(root).exists():
            site(root).rename(draft / "old")
        html.rename(site(root))
    return True


def _first(root: Path) -> str:
    contents = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    return f"{contents['root']}.html"


def _jupyter_book(root: Path, draft: Path) -> "subprocess.CompletedProcess[str]":
    # Not the script jupyter-book: its first line cannot hold a path with spaces.
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command = [*program, "build", "-W", "-n", "--keep-going", "-q", "--config", str(draft / "_config.yml")]
    modules = [str(root / "book" / "_ext"), str(root / "tools"), os.environ.get("PYTHONPATH")]
    # One thread is enough to import torch for the docstrings.
    variables = {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "PYTHONPATH": os.pathsep.join(filter(None, modules))}
    command += ["--path-output", str(draft), str(root / "book")]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)


if __name__ == "__main__":
    sys.exit(build())
