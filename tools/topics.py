"""Which page a topic has: the one place that maps topics to files and numbers, read from book/_toc.yml.

A topic is named by its slug, which is also the label of its page. A source links to the chapter on He by `[words](#he)`
and to its exercises by `[words](#he-exercises)`. The compiler puts the file's name in place of the label, so that the
link works in JupyterLab and on GitHub.

    python tools/topics.py    # the order in book/_toc.yml has changed: give the files their new numbers
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r"^ *- file: ((chapters|appendices|exercises)/(?:(\d\d)-)?([a-z0-9-]+))$", re.MULTILINE)
LINK = re.compile(r"\]\(#([\w:.-]+)\)")
HEADING = re.compile(r"#{2,4} (.+)")
NUMBERED = ("book/chapters", "book/exercises", "exercises", "exercises/instructor")
"""Folders whose files begin with the number of their chapter."""
NAMING = ("book/_toc.yml", "README.md")
"""Files that name numbered files."""


@dataclass(frozen=True)
class Page:
    """A page of the book about one topic."""

    label: str
    """What links name: the topic, or the topic with `-exercises`."""
    path: Path
    """Without an ending."""
    number: int | None
    """The chapter's; None for an appendix."""

    @property
    def source(self) -> Path:
        """The text that people edit; exercises have none in the book's folder."""
        return self.path.with_suffix(".md")

    @property
    def file(self) -> Path:
        """What a reader opens: the notebook, or the text if it has no code to run."""
        runs = not self.source.exists() or "\nkernelspec:\n" in self.source.read_text(encoding="utf-8")
        return self.path.with_suffix(".ipynb") if runs else self.source


def pages(root: Path = ROOT) -> dict[str, Page]:
    """All pages about topics, by their label, in the order of the table of contents."""
    found = {}
    for name, folder, number, topic in ENTRY.findall((root / "book" / "_toc.yml").read_text(encoding="utf-8")):
        label = f"{topic}-exercises" if folder == "exercises" else topic
        found[label] = Page(label, root / "book" / name, int(number) if number else None)
    return found


def number(source: Path, root: Path = ROOT) -> int | None:
    """The number of the chapter that a text is about, None if it is no chapter."""
    return next((page.number for page in pages(root).values() if page.source == source), None)


def linked(text: str, folder: Path, root: Path = ROOT) -> str:
    """The text with links to topics as links to their files, as seen from a folder; other links stay."""
    known = pages(root)

    def to_file(match: re.Match[str]) -> str:
        if match[1] not in known:
            return match[0]
        return f"]({Path(os.path.relpath(known[match[1]].file, folder)).as_posix()})"

    return LINK.sub(to_file, text)


def published(text: str, address: str, root: Path = ROOT) -> str:
    """The text with links to topics as links to the published book; without its address, their words stay.

    >>> published("the chapter [He](#he)", "")
    'the chapter He'
    """
    known = pages(root)

    def to_site(match: re.Match[str]) -> str:
        if match[2] not in known:
            return match[0]
        page = known[match[2]].path.relative_to(root / "book").as_posix()
        return f"[{match[1]}]({address.rstrip('/')}/{page}.html)" if address else match[1]

    return re.sub(r"\[([^\]]*)" + LINK.pattern, to_site, text)


def evidence(root: Path = ROOT) -> Iterator[tuple[str, Page, str]]:
    """Each claim that a line `Evidence: [id](#id), ...` names, with the page and the heading above that line."""
    for page in pages(root).values():
        heading = ""
        for line in page.source.read_text(encoding="utf-8").splitlines() if page.source.exists() else ():
            if match := HEADING.match(line):
                heading = match[1]
            if line.startswith("Evidence: "):
                yield from ((id, page, heading) for id in LINK.findall(line))


def renumber(root: Path = ROOT) -> list[str]:
    """Give each chapter and its exercises the number of its place in the table of contents; say which files moved."""
    moved = []
    chapters = [page.label for page in pages(root).values() if page.path.parent.name == "chapters"]
    for number, topic in enumerate(chapters, 1):
        name = re.compile(rf"\b\d\d-{topic}(?=[.\s])")
        for path in (path for folder in NUMBERED for path in (root / folder).glob(f"[0-9][0-9]-{topic}.*")):
            new = path.with_name(name.sub(f"{number:02}-{topic}", path.name))
            if new != path:
                path.rename(new)
                moved.append(f"{path.relative_to(root)} -> {new.name}")
        for path in (root / file for file in NAMING):
            text = path.read_text(encoding="utf-8")
            path.write_text(name.sub(f"{number:02}-{topic}", text), encoding="utf-8")
    return moved


if __name__ == "__main__":
    print(*renumber(), "Now run: make notebooks", sep="\n")
