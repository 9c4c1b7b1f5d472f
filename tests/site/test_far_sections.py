"""Sections that are laid out only near the reader: nobody notices, but for a page that opens sooner."""

import time
from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup
from far_sections import SCREENS, guessed, height
from playwright.sync_api import Page, Route
from site_checks import LAY_OUT, PHONE, WIDE, Visit

CHAPTER = "chapters/12-batchnorm-clinic.html"
NEAR = 0.12
"""How far a guess of a whole page may be off: the reader sees a scroll bar, not a number."""

LINE = 30
"""Pixels: who comes back finds the line that was on top, if not to the pixel."""

HEIGHT = "document.documentElement.scrollHeight"
LATE = "[...document.querySelectorAll('.far-section')].at(-4)"  # after the last ones there is too little to scroll
FIRST_LINE = """() => {
  const lines = [...document.querySelectorAll('article :is(p, li, h2, h3)')];
  return lines.findIndex((line) => line.getBoundingClientRect().top > 100);
}"""
TOP = "(k) => document.querySelectorAll('article :is(p, li, h2, h3)')[k].getBoundingClientRect().top"
UNREACHABLE = """() => [...document.querySelectorAll('.far-section :is(pre, div.math)')]
  .filter((box) => !box.checkVisibility({contentVisibilityAuto: true}) && box.tabIndex < 0).length"""


def settled(page: Page) -> None:
    """Wait until what came near is laid out and what watches it has answered."""
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
    )


def slowly(route: Route) -> None:
    """What the page asks for arrives half a second later."""
    time.sleep(0.5)
    route.continue_()


@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_sections_far_away_are_as_good_as_laid_out(width: int, open_page: Callable[..., Visit], address: str) -> None:
    page = open_page(address + CHAPTER, width=width).page
    settled(page)
    skipped = f"{LATE}.querySelector('h2').checkVisibility({{contentVisibilityAuto: true}})"
    assert not page.evaluate(skipped), "all sections are laid out at once"
    assert page.evaluate(UNREACHABLE) == 0

    page.evaluate(f"{LATE}.querySelector('a.headerlink').click()")  # a link to a section leads to its heading
    settled(page)
    padding = "parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop)"
    off = page.evaluate(f"{LATE}.querySelector('h2').getBoundingClientRect().top - {padding}")
    assert abs(off) < 2

    page.evaluate("scrollTo(0, 9000)")  # who comes back sees what was there
    settled(page)
    line = page.evaluate(FIRST_LINE)
    before = page.evaluate(TOP, line)
    page.route("**/book.js*", slowly)  # by then the browser has scrolled to where the reader was
    page.reload()
    settled(page)
    assert page.evaluate(TOP, line) == pytest.approx(before, abs=LINE)

    page.goto("about:blank")
    page.goto(address + CHAPTER)
    guess = page.evaluate(HEIGHT)
    page.add_style_tag(content=LAY_OUT)
    assert guess == pytest.approx(page.evaluate(HEIGHT), rel=NEAR)


def test_a_guess_counts_what_is_seen() -> None:
    def guess(content: str) -> int:
        section = BeautifulSoup(f"<section>{content}</section>", "html.parser").section
        assert section is not None
        return height(section, SCREENS["narrow"])

    line, code = guess("<p>one line</p>"), guess("<pre>one line</pre>")
    assert guess(f"<p>{'one line' * 10}</p>") > 2 * line
    assert guess("<pre>a\nb\nc</pre>") > code > 0
    assert guess("<details><summary>Code</summary><pre>a\nb\nc</pre><p>one</p></details>") < line
    assert guess('<div class="dropdown"><p class="admonition-title">Why?</p><p>Because.</p></div>') == line
    assert guess('<img width="2" height="1">') == pytest.approx(SCREENS["narrow"].figure / 2, abs=20)
    assert guess("<table><tr><td><p>one line</p></td></tr></table>") < 2 * line


def test_the_sections_of_a_page_say_their_guess() -> None:
    body = '<section id="page"><h1>T</h1><section id="a"><p>x</p><section id="b"><p>y</p></section></section></section>'
    page = BeautifulSoup(guessed(body), "html.parser")
    assert [section["id"] for section in page.select(".far-section")] == ["a"]
    assert all(f"--{name}: " in str(page.select_one("#a")["style"]) for name in SCREENS)
