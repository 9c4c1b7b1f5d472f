"""Every public link follows from one setting; without it there are none."""

import re
import shutil
from pathlib import Path

import pytest

import links

ADDRESS = "https://github.com/some-one/good.starts"
SETTING = re.compile(r"^\[project\.urls\]\n(.+\n)*", re.MULTILINE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the files that carry links, with no address set."""
    for name in ("pyproject.toml", "CITATION.cff"):
        shutil.copy(links.ROOT / name, tmp_path)
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(SETTING.sub("", pyproject.read_text()))
    (tmp_path / "README.md").write_text("# Title\n\n<!-- badges -->\n<!-- /badges -->\n\nText.\n")
    links.update(tmp_path)
    return tmp_path


def set_address(root: Path, address: str) -> None:
    with (root / "pyproject.toml").open("a") as file:
        file.write(f'\n[project.urls]\nRepository = "{address}"\n')


@pytest.mark.parametrize("ending", ["", "/", ".git"])
def test_an_address_gives_every_link(root: Path, ending: str) -> None:
    set_address(root, ADDRESS + ending)
    assert links.repository(root) == ADDRESS
    assert links.binder_url("book/chapters/04-he.ipynb", root) == (
        "https://mybinder.org/v2/gh/some-one/good.starts/main?urlpath=lab/tree/book/chapters/04-he.ipynb"
    )
    assert links.colab_url("book/chapters/04-he.ipynb", root) == (
        "https://colab.research.google.com/github/some-one/good.starts/blob/main/book/chapters/04-he.ipynb"
    )
    assert links.book_url(root) == "https://some-one.github.io/good.starts/"


def test_a_user_site_has_no_folder(root: Path) -> None:
    set_address(root, "https://github.com/Some-One/some-one.github.io")
    assert links.book_url(root) == "https://some-one.github.io/"


def test_the_command_writes_the_links_and_then_nothing(root: Path) -> None:
    set_address(root, ADDRESS)
    assert links.main(["--check"], root) == 1
    assert links.main([], root) == 0
    assert links.main(["--check"], root) == 0
    text = (root / "README.md").read_text()
    targets = re.findall(r"^\[!\[[^]]+\]\(https://[^)]+\)\]\((https://[^)]+)\)$", text, re.MULTILINE)
    assert targets == [
        links.book_url(root),
        links.binder_url(links.FIRST_CHAPTER, root),
        links.colab_url(links.FIRST_CHAPTER, root),
        f"{ADDRESS}/actions/workflows/tests.yml",
    ]
    assert text.startswith("# Title\n\n<!-- badges -->\n[![")
    assert text.endswith(")\n<!-- /badges -->\n\nText.\n")
    assert (root / "CITATION.cff").read_text().count(f"\nrepository-code: {ADDRESS}\n") == 1


def test_a_changed_address_replaces_the_old_one(root: Path) -> None:
    set_address(root, ADDRESS)
    links.update(root)
    pyproject = root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("some-one", "another"))
    assert links.update(root) == ["README.md", "CITATION.cff"]
    assert "some-one" not in (root / "README.md").read_text() + (root / "CITATION.cff").read_text()


def test_without_an_address_there_are_no_links(root: Path) -> None:
    assert links.repository(root) is None
    assert links.binder_url("a.ipynb", root) is None
    assert links.colab_url("a.ipynb", root) is None
    assert links.book_url(root) is None
    assert links.badges(root) == ""
    assert "repository-code" not in links.citation(root)
    assert "](" not in (root / "README.md").read_text()


def test_removing_the_address_removes_the_links(root: Path) -> None:
    before = [(root / name).read_text() for name in links.WRITERS]
    pyproject = (root / "pyproject.toml").read_text()
    set_address(root, ADDRESS)
    links.update(root)
    (root / "pyproject.toml").write_text(pyproject)
    links.update(root)
    assert [(root / name).read_text() for name in links.WRITERS] == before


@pytest.mark.parametrize(
    "address",
    [
        *["", "github.com/a/b", "http://github.com/a/b", "https://example.org/a/b", "https://github.com/a"],
        *["https://github.com/a/b/tree/main", "https://github.com/a b/c", "https://github.com//b"],
        *["https://github.com/a/b?x=1", "https://github.com/a/b c"],
    ],
)
def test_a_malformed_address_is_repeated(root: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_address(root, address)
    with pytest.raises(ValueError, match=re.escape(f"Repository = {address!r} is no address")):
        links.badges(root)
    assert links.main([], root) == 1
    assert "https://github.com/OWNER/NAME" in capsys.readouterr().err


def test_a_readme_without_a_place_for_badges_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "README.md").write_text("# Title\n")
    assert links.main([], root) == 1
    assert "<!-- badges -->" in capsys.readouterr().err


def test_the_committed_files_are_current() -> None:
    assert links.stale() == [], "run: make links"


def test_the_badges_open_an_existing_chapter() -> None:
    assert (links.ROOT / links.FIRST_CHAPTER).with_suffix(".md").exists()


def test_the_workflows_that_the_links_rely_on_exist() -> None:
    workflows = links.ROOT / ".github" / "workflows"
    assert (workflows / "tests.yml").exists()
    assert "actions/deploy-pages" in (workflows / "book.yml").read_text()
