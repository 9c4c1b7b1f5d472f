"""tools/pdf.py: the pages of the site as one document."""

import pytest

import browser
import pdf

PAGES = {"intro", "chapters/01-a", "chapters/02-b"}
CONTENTS = """
root: intro
parts:
  - caption: "Part I"
    chapters: [{file: chapters/01-a}, {file: chapters/02-b}, {file: api/index}]
"""
PAGE = """<html><head><link rel="stylesheet" href="../_static/book.css?v=1"></head><body><article class="bd-article">
<section id="top"><h1>1. A</h1><a class="headerlink" href="#top">#</a>
<p id="here">Words, <a href="02-b.html#there">b</a>, <a href="#here">here</a>.</p>
<form>A question</form><img src="../_images/x.png" alt="x" loading="lazy"></section></article></body></html>"""


@pytest.fixture
def site(tmp_path):
    for page in PAGES:
        path = tmp_path / f"{page}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(PAGE)
    (tmp_path / "_toc.yml").write_text(CONTENTS)
    return tmp_path


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("02-b.html#there", "#chapters-02-b--there"),
        ("02-b.html", "#chapters-02-b--"),
        ("#here", "#chapters-01-a--here"),
        ("../intro.html", "#intro--"),
        ("../api/index.html#x", "api/index.html"),
        ("../_images/x.png", "_images/x.png"),
        ("https://example.org/a.html#b", "https://example.org/a.html#b"),
    ],
)
def test_an_address_becomes_one_in_the_document(link, expected):
    assert pdf.moved(link, "chapters/01-a", PAGES) == expected


def test_a_page_of_the_document(site):
    found = pdf.article(pdf.read(site, "chapters/01-a"), "chapters/01-a", PAGES)
    assert found["id"] == "chapters-01-a--" and found.h2.get_text() == "1. A" and not found.form
    assert [link["href"] for link in found("a")] == ["#chapters-02-b--there", "#chapters-01-a--here"]
    assert found.find(id="chapters-01-a--here").name == "p" and found.img.attrs == {"src": "_images/x.png", "alt": "x"}


def test_parts_leave_out_what_is_of_no_use_on_paper(site):
    assert list(pdf.parts(site / "_toc.yml")) == [
        pdf.Part("", ("intro",)),
        pdf.Part("Part I", ("chapters/01-a", "chapters/02-b")),
    ]


@pytest.mark.slow
def test_what_is_printed_is_tagged_and_has_bookmarks(site):
    assert browser.executable(), browser.ADVICE
    pdf.write(site, site / "_toc.yml", site / "book.pdf")
    printed = (site / "book.pdf").read_bytes()
    assert printed.startswith(b"%PDF") and all(part in printed for part in (b"/StructTreeRoot", b"/Outlines", b"/Lang"))
    assert not (site / "whole.html").exists()
