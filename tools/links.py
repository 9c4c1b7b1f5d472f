"""Every public link of the project, computed from one setting in pyproject.toml.

    [project.urls]
    Repository = "https://github.com/OWNER/NAME"

Without it there are no links. `python tools/links.py` writes them into README.md (between `<!-- badges -->` and
`<!-- /badges -->`) and CITATION.cff (the line `repository-code:`); `--check` only says whether they are current.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
FIRST_CHAPTER = "book/chapters/01-why-the-start-matters.ipynb"  # what the badges open
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+?)(\.git)?/?")
BADGES = re.compile(r"(?<=<!-- badges -->\n).*?(?=<!-- /badges -->)", re.DOTALL)
CITATION_LINE = re.compile(r"^repository-code:.*\n", re.MULTILINE)


def repository(root: Path = ROOT) -> str | None:
    """Return the public address, "https://github.com/OWNER/NAME", or None while pyproject.toml names none.

    Errors: ValueError if the setting is no address of a repository on GitHub.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository")
    if address is None:
        return None
    match = ADDRESS.fullmatch(address)
    if not match:
        raise ValueError(
            f"pyproject.toml, [project.urls]: Repository = {address!r} is no address of a repository; "
            'it must look like "https://github.com/OWNER/NAME".'
        )
    return f"https://github.com/{match[1]}"


def binder_url(notebook: str, root: Path = ROOT) -> str | None:
    """Return the address that opens `notebook` (its path from the project's folder) on Binder."""
    name = _name(root)
    return name and f"https://mybinder.org/v2/gh/{name}/{BRANCH}?urlpath=lab/tree/{quote(notebook)}"


def colab_url(notebook: str, root: Path = ROOT) -> str | None:
    """Return the address that opens `notebook` (its path from the project's folder) on Colab."""
    name = _name(root)
    return name and f"https://colab.research.google.com/github/{name}/blob/{BRANCH}/{quote(notebook)}"


def book_url(root: Path = ROOT) -> str | None:
    """Return the address of the book on GitHub Pages, where .github/workflows/book.yml puts it."""
    name = _name(root)
    if name is None:
        return None
    owner, project = name.split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if project.lower() == host else f"https://{host}/{project}/"


def badges(root: Path = ROOT) -> str:
    """Return the lines of README.md that show the badges: the book, Binder, Colab and the tests, or nothing."""
    address = repository(root)
    if address is None:
        return ""
    tests = f"{address}/actions/workflows/tests.yml"
    pairs = [
        ("Read the book", "https://img.shields.io/badge/read-the_book-0072B2", book_url(root)),
        ("Run on Binder", "https://mybinder.org/badge_logo.svg", binder_url(FIRST_CHAPTER, root)),
        ("Open in Colab", "https://colab.research.google.com/assets/colab-badge.svg", colab_url(FIRST_CHAPTER, root)),
        ("Tests", f"{tests}/badge.svg?branch={BRANCH}", tests),
    ]
    return "".join(f"[![{text}]({image})]({target})\n" for text, image, target in pairs)


def readme(root: Path = ROOT) -> str:
    """Return README.md with the badges that belong there.

    Errors: ValueError if it has no place for them.
    """
    text = (root / "README.md").read_text(encoding="utf-8")
    if not BADGES.search(text):
        raise ValueError("README.md needs a line '<!-- badges -->' and, below it, a line '<!-- /badges -->'.")
    return BADGES.sub(lambda _: badges(root), text, count=1)


def citation(root: Path = ROOT) -> str:
    """Return CITATION.cff with its `repository-code` line, which is absent while there is no address."""
    address = repository(root)
    text = CITATION_LINE.sub("", (root / "CITATION.cff").read_text(encoding="utf-8"))
    return f"{text.rstrip()}\nrepository-code: {address}\n" if address else text


WRITERS: dict[str, Callable[[Path], str]] = {"README.md": readme, "CITATION.cff": citation}


def stale(root: Path = ROOT) -> list[str]:
    """Return the names of the files whose links are not what the setting says."""
    return [name for name, write in WRITERS.items() if write(root) != (root / name).read_text(encoding="utf-8")]


def update(root: Path = ROOT) -> list[str]:
    """Rewrite the links in the files that are stale; return their names."""
    names = stale(root)
    for name in names:
        (root / name).write_text(WRITERS[name](root), encoding="utf-8")
    return names


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the links, or only check them with `--check`; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the public links into README.md and CITATION.cff.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail if something is stale")
    check = parser.parse_args(arguments).check
    try:
        names = stale(root) if check else update(root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for name in names:
        print(f"{name}: links are stale. Run: make links" if check else f"{name}: links rewritten")
    return int(check and bool(names))


def _name(root: Path) -> str | None:
    """Return OWNER/NAME."""
    address = repository(root)
    return address and address.removeprefix("https://github.com/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
