"""Topics have one name: only the table of contents and the names of files know numbers, and all else follows."""

import re
from collections import Counter
from pathlib import Path

import pytest
from myst import HEADER

import notebooks
import topics
from topics import ROOT
from tutorial_utils.claims import CLAIMS

PAGES = topics.pages()
CHAPTERS = [page for page in PAGES.values() if page.path.parent.name == "chapters"]
SLUGS = "|".join(page.label for page in CHAPTERS)
SOURCES = [path for path in (ROOT / "book").rglob("*.md") if "_build" not in path.parts]
NUMBER = re.compile(rf"\bchapters? \[?\d|\b\d\d-({SLUGS})\b", re.IGNORECASE)
"""A chapter by its number or its file."""
FILE = re.compile(rf"\bchapters/|chapter\d\d\b|{NUMBER.pattern}", re.IGNORECASE)
"""What the package must not know."""


def numbered_lines(text: str, pattern: re.Pattern[str] = NUMBER) -> list[str]:
    return [line for line in text.splitlines() if pattern.search(line)]


# --- the book as it stands ----------------------------------------------------------------------------


def test_chapters_are_numbered_in_the_order_of_the_contents() -> None:
    assert [page.number for page in CHAPTERS] == list(range(1, len(CHAPTERS) + 1))


def test_exercises_have_the_number_of_their_chapter_and_projects_none() -> None:
    exercises = [page for page in PAGES.values() if page.path.parent.name == "exercises"]
    projects = [page for page in exercises if page.number is None]
    assert projects and not {page.label.removesuffix("-exercises") for page in projects} & set(PAGES)
    for page in (page for page in exercises if page not in projects):
        assert page.number == PAGES[page.label.removesuffix("-exercises")].number


@pytest.mark.parametrize("page", [page for page in PAGES.values() if page.source.exists()], ids=lambda page: page.label)
def test_the_label_of_a_page_is_its_topic(page: topics.Page) -> None:
    text = page.source.read_text(encoding="utf-8")
    assert re.findall(r"^\(([a-z0-9-]+)\)=\n# ", text, re.MULTILINE) == [page.label]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "book").as_posix())
def test_no_source_names_a_chapter_s_number_or_file(path: Path) -> None:
    assert numbered_lines(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_the_package_names_no_chapter(path: Path) -> None:
    assert numbered_lines(path.read_text(encoding="utf-8"), FILE) == []


def test_a_chapter_s_number_and_file_are_noticed() -> None:
    found = [
        "Chapter 4 says",
        "chapters 3 and 4",
        "chapters [3](#glorot)",
        "[He](04-he.ipynb)",
        "see 13-what-batchnorm-buys",
    ]
    assert numbered_lines("\n".join(found)) == found
    assert numbered_lines("the chapter on He; chapters/NN-slug.md; a 30-layer network\n[He](#he)") == []
    assert len(numbered_lines('chapters/04\nchapter04\n"04-he"\nthe 04 chapters', FILE)) == 3


def test_every_link_to_a_label_leads_somewhere() -> None:
    labels = {label for path in SOURCES for label in re.findall(r"^\((\S+)\)=$", path.read_text("utf-8"), re.MULTILINE)}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        headings = {_anchor(heading) for heading in re.findall(r"^#{2,3} (.+)$", text, re.MULTILINE)}
        unknown = set(topics.LINK.findall(text)) - labels - set(PAGES) - set(CLAIMS) - headings
        assert not unknown, path


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_claim_is_named_once_and_every_name_is_a_claim() -> None:
    assert Counter(id for id, _, _ in topics.evidence()) == Counter(CLAIMS.keys())
    assert all(section for _, _, section in topics.evidence())


def test_a_claim_stands_on_the_page_of_its_topic() -> None:
    found = {id: page.label for id, page, _ in topics.evidence()}
    assert found == {id: claim.topic for id, claim in CLAIMS.items()}


def test_the_readme_lists_the_chapters() -> None:
    rows = re.findall(
        r"^\| \[[^\]]+\]\((book/chapters/\S+?)\) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert rows == [page.source.relative_to(ROOT).as_posix() for page in CHAPTERS]


# --- a small book -------------------------------------------------------------------------------------

TOC = """\
root: intro
parts:
  - chapters:
      - file: chapters/01-one
      - file: chapters/02-two
      - file: exercises/02-two
        title: Two
      - file: appendices/more
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A book of two chapters, exercises for the second, and an appendix without code."""
    files = {
        "README.md": "| [One](book/chapters/01-one.md) | 1 |\n| [Two](book/chapters/02-two.md) | 2 |\n",
        "book/_toc.yml": TOC,
        "book/chapters/01-one.md": f"{HEADER}\n# One\n\n## Section\n\n### Part `a`\n\nEvidence: [a-b](#a-b), [c](#c)\n",
        "book/chapters/02-two.md": f"{HEADER}\n# Two\n\n## Last\n\nEvidence: [d](#d)\n",
        "book/chapters/02-two.ipynb": "",
        "book/exercises/02-two.ipynb": "",
        "book/appendices/more.md": "# More\n",
        "exercises/02-two.md": "",
        "exercises/instructor/02-two.ipynb": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_pages_come_from_the_table_of_contents(root: Path) -> None:
    found = {label: (page.number, page.file.relative_to(root).as_posix()) for label, page in topics.pages(root).items()}
    assert found == {
        "one": (1, "book/chapters/01-one.ipynb"),
        "two": (2, "book/chapters/02-two.ipynb"),
        "two-exercises": (2, "book/exercises/02-two.ipynb"),
        "more": (None, "book/appendices/more.md"),
    }


def test_links_become_relative_files_and_others_stay(root: Path) -> None:
    text = "[a](#one) [b](#two-exercises) [c](#more) [d](#claim) [e](other.md#one) `#one`"
    linked = "[a](01-one.ipynb) [b](../exercises/02-two.ipynb) [c](../appendices/more.md)"
    assert topics.linked(text, root / "book" / "chapters", root) == f"{linked} [d](#claim) [e](other.md#one) `#one`"
    assert topics.linked("[a](#one)", root / "exercises" / "instructor", root) == (
        "[a](../../book/chapters/01-one.ipynb)"
    )


def test_evidence_comes_with_the_heading_above_it(root: Path) -> None:
    found = [(id, page.label, heading) for id, page, heading in topics.evidence(root)]
    assert found == [("a-b", "one", "Part `a`"), ("c", "one", "Part `a`"), ("d", "two", "Last")]


def test_an_inserted_chapter_moves_the_later_ones(root: Path) -> None:
    toc = root / "book" / "_toc.yml"
    toc.write_text(TOC.replace("      - file: chapters/02", "      - file: chapters/02-new\n      - file: chapters/02"))
    (root / "book" / "chapters" / "02-new.md").write_text("# New\n")
    moved = topics.renumber(root)
    assert len(moved) == 5 and "exercises/02-two.md -> 03-two.md" in moved
    assert [page.path.name for page in topics.pages(root).values()] == ["01-one", "02-new", "03-two", "03-two", "more"]
    assert all(page.file.with_suffix(".md").exists() or page.file.exists() for page in topics.pages(root).values())
    assert "(book/chapters/03-two.md)" in (root / "README.md").read_text()
    assert topics.renumber(root) == []


# --- what it costs to move a chapter --------------------------------------------------------------------


def test_a_moved_chapter_is_relinked_and_not_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "```{code-cell} ipython3\n1 + 1\n```\n"
    source = root / "book" / "chapters" / "01-one.md"
    source.write_text(f"{HEADER}\n# One\n\n**Prerequisites.** [Two](#two).\n\n{code}", encoding="utf-8")
    monkeypatch.setattr(topics.linked, "__defaults__", (root,))
    assert notebooks.compile_chapter(source).action == "executed"
    assert "[Two](02-two.ipynb). About 5 minutes." in source.with_suffix(".ipynb").read_text(encoding="utf-8")
    (root / "book" / "_toc.yml").write_text(TOC.replace("02-two", "07-two"))
    assert any("its cells are not those of the source" in line for line in notebooks.check(source))
    monkeypatch.setattr(notebooks, "execute", lambda *_: pytest.fail("a kernel was started"))
    (root / "book" / "chapters" / "07-two.md").write_text(HEADER)
    assert notebooks.compile_chapter(source).action == "relinked: outputs kept"
    assert "[Two](07-two.ipynb). About 5 minutes." in source.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert notebooks.check(source) == []
