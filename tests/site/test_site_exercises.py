"""The exercises in the built site: every page is there, and no solution is."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import editions

MASTERS = editions.masters()
each_master = pytest.mark.parametrize("master", MASTERS, ids=[path.stem for path in MASTERS])


def page_text(page: Path) -> str:
    return BeautifulSoup(page.read_text("utf-8"), "html.parser").get_text()


@each_master
def test_the_page_and_the_file_to_download_have_no_solution(master, html):
    page = html / "exercises" / f"{master.stem}.html"
    source = html / "_sources" / "exercises" / f"{master.stem}.ipynb"
    text = page_text(page)
    assert "NotImplementedError" in text
    assert editions.leaks(master, text) == []
    assert editions.leaks(master, source.read_text("utf-8")) == []


def test_no_file_of_the_site_has_a_marker_of_a_solution(html):
    files = [path for path in html.rglob("*") if path.suffix in (".html", ".ipynb", ".js", ".txt", ".md")]
    found = [path.name for path in files if editions.MARKER.search(path.read_text("utf-8", errors="replace"))]
    assert len(files) > 20 and found == []


def test_the_site_has_no_instructor_edition(html):
    assert [path for path in html.rglob("*.ipynb") if "instructor" in path.parts] == []
