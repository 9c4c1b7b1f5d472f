"""tools/website.py: what it builds is whole, or it is not there."""

import json
import subprocess

import pytest
import yaml

import website

BOOK = website.ROOT / "book" / "_config.yml"

CONFIG = """
title: Small
execute: {execute_notebooks: "off"}
html: {use_repository_button: true}
parse: {myst_enable_extensions: [substitution], myst_substitutions: {install: "`somewhere`"}}
"""
PAGE, BROKEN = "# First\n\n{{ install }}", "# Second\n\n{ref}`nowhere`"


def write_page(project, text):
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    kernel = {"name": "python3", "display_name": "Python 3"}
    nb = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    (project / "book" / "intro.ipynb").write_text(json.dumps(nb))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a book of one page, in a folder with spaces in its name and in no repository."""
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    root = tmp_path / "a project"
    for name in ("src/tutorial_utils/code.py", "tools/website.py", "pyproject.toml", "requirements.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / "book").mkdir()
    buttons = {name: yaml.safe_load(BOOK.read_text("utf-8"))[name] for name in ("repository", "launch_buttons")}
    (root / "book" / "_config.yml").write_text(CONFIG + yaml.safe_dump(buttons))
    (root / "book" / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    write_page(root, PAGE)
    return root


@pytest.mark.slow
def test_build_again_and_break(project, capsys, monkeypatch):
    page = website.site(project) / "intro.html"
    write_page(project, BROKEN)
    assert website.build(project) == 1 and not website.site(project).exists(), "a failed first build leaves no site"
    assert "undefined label: 'nowhere'" in capsys.readouterr().err

    write_page(project, PAGE)
    monkeypatch.setenv("GITHUB_REPOSITORY", "some-one/some.fork")
    assert website.build(project) == 0
    assert "Open file:///" in capsys.readouterr().out
    for text in (
        "First",
        "https://mybinder.org/v2/gh/some-one/some.fork/main?urlpath=lab/tree/book/intro.ipynb",
        "https://colab.research.google.com/github/some-one/some.fork/blob/main/book/intro.ipynb",
        'href="https://github.com/some-one/some.fork"',
        "git+https://github.com/some-one/some.fork<",
    ):
        assert text in page.read_text("utf-8")

    built = page.stat().st_mtime_ns
    assert website.build(project) == 0 and page.stat().st_mtime_ns == built, "nothing changed, so nothing is built"
    capsys.readouterr()

    write_page(project, BROKEN)
    assert website.build(project) == 1
    captured = capsys.readouterr()
    assert "undefined label: 'nowhere'" in captured.err and "out of date" in captured.err and not captured.out
    assert "First" in page.read_text("utf-8") and not website.is_current(project)
    assert [path.name for path in page.parents[1].iterdir()] == ["html"], "no draft is left behind"


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://github.com/some-one/some.fork", "some-one/some.fork"),
        ("https://github.com/some-one/some.fork.git", "some-one/some.fork"),
        ("https://name:secret@github.com/some-one/some.fork/", "some-one/some.fork"),
        ("git@github.com:some-one/some.fork.git", "some-one/some.fork"),
        ("ssh://git@github.com/some-one/some.fork", "some-one/some.fork"),
        ("https://gitlab.com/a/b", None),
        ("https://notgithub.com/a/b", None),
        ("https://example.org/github.com.evil/a/b", None),
        ("/home/somebody/a/b", None),
    ],
)
def test_the_repository_is_the_remote(project, remote, name):
    subprocess.run(["git", "init", "-q", project], check=True)
    assert website.repository(project) is None
    subprocess.run(["git", "-C", project, "remote", "add", "origin", remote], check=True)
    assert website.repository(project) == (name and f"https://github.com/{name}")


def test_the_repository_is_the_workflow_s_before_the_remote(project, monkeypatch):
    before = website.digest(project)
    monkeypatch.setenv("GITHUB_REPOSITORY", "some-one/some.fork")
    assert website.repository(project) == "https://github.com/some-one/some.fork"
    assert website.digest(project) != before, "the site is built again with other buttons"


def test_a_download_in_the_clone_of_something_else_has_no_repository(project):
    subprocess.run(["git", "init", "-q", project.parent], check=True)
    subprocess.run(["git", "-C", project.parent, "remote", "add", "origin", "git@github.com:a/b.git"], check=True)
    assert website.repository(project) is None


def test_without_git_there_is_no_repository(project, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert website.repository(project) is None


def test_without_a_repository_there_are_no_buttons():
    found = yaml.safe_load(website.settings(BOOK.parent, None))
    assert found["repository"] == {"url": ""} and found["launch_buttons"] == {}
    assert not found["html"]["use_repository_button"] and not found["html"]["use_issues_button"]


@pytest.mark.parametrize("name", ["src/tutorial_utils/code.py", "book/_ext/new.py", "requirements.lock"])
def test_every_input_counts(project, name):
    before = website.digest(project)
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("changed")
    assert website.digest(project) != before


def test_what_is_built_does_not_count(project):
    before = website.digest(project)
    (project / "book" / "_build").mkdir()
    (project / "book" / "_build" / "x.html").write_text("x")
    assert website.digest(project) == before
