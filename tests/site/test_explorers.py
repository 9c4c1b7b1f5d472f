"""Every explorer of the built site, moved by mouse, keyboard and touch: it shows the numbers of the state it is in."""

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest
from bs4 import BeautifulSoup
from explorer_moves import MOVES
from explorer_reading import CONTRAST, LINES, explorers, problems
from playwright.sync_api import Browser, BrowserContext
from site_checks import HTML, Visit, pages

from tutorial_utils.explore.live import SCRIPTS, STYLE

LABORATORY = '<div id="laboratory"'  # an explorer whose frames its own script computes
TEXTS = {page: (HTML / page).read_text("utf-8") for page in pages(HTML)}
FOUND = {page: explorers(text) for page, text in TEXTS.items() if "<good-explorer" in text}


@pytest.fixture(scope="module")
def reader(chromium: Browser) -> Iterator[BrowserContext]:
    """A reader with a mouse, a keyboard and a touch screen."""
    context = chromium.new_context(has_touch=True)
    yield context
    context.close()


def test_the_chapters_have_explorers() -> None:
    assert sum(len(found) for page, found in FOUND.items() if page.startswith("chapters/")) >= 8


@pytest.mark.parametrize("page", FOUND)
def test_explorers_of(page: str, reader: BrowserContext, address: str) -> None:
    visit = Visit(reader, address + page)
    found: list[str] = []
    for name, data in FOUND[page].items():
        shown, places = visit.page.locator(f"good-explorer#{name}"), list(data["start"])
        controls, ways = shown.locator("[data-control]"), cycle(MOVES)
        found += problems(data, places, shown)
        shown.locator("summary").filter(has_text="The numbers").click()
        for number, control in enumerate(data["controls"]):
            for _ in MOVES if len(control["values"]) > 1 else ():
                places[number] = (places[number] + 1) % len(control["values"])
                way = next(ways)
                MOVES[way](controls.nth(number), places[number])
                found += [f"moved by {way}: {problem}" for problem in problems(data, places, shown)]
    visit.page.close()
    assert visit.problems + found == []


def test_a_name_is_no_other_elements() -> None:
    for page, found in FOUND.items():
        assert [name for name in found if TEXTS[page].count(f'id="{name}"') != 1] == [], page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_line_is_seen(theme: str, open_page: Callable[..., Visit], address: str) -> None:
    for page in (page for page, text in TEXTS.items() if page in FOUND or LABORATORY in text):
        lines = open_page(address + page, theme).page.locator(LINES)
        assert min(lines.evaluate_all(CONTRAST), default=99) > 3, page


def test_what_stands_still_is_not_painted_anew(open_page: Callable[..., Visit], address: str) -> None:
    still = "(blocks) => blocks.every((block) => getComputedStyle(block).isolation === 'isolate')"
    for page in FOUND:
        blocks = open_page(address + page).page.locator(".bd-article section > :not(section)")
        assert blocks.count() > 5 and blocks.evaluate_all(still), page


def test_the_scripts_are_on_the_pages_that_need_them_and_on_no_other() -> None:
    for page, text in TEXTS.items():
        needed = page in FOUND or LABORATORY in text
        assert [f"{name}?" in text for name in SCRIPTS] == [needed] * len(SCRIPTS), page
        assert f"{STYLE}?" in text or not needed, page


def test_a_page_says_where_its_controls_move_and_shows_their_first_picture() -> None:
    words = "un this chapter (Binder, Colab or JupyterLab) to move the controls."
    pages = {page: BeautifulSoup(text, "html.parser") for page, text in TEXTS.items() if words in text}
    assert len([page for page in pages if page.startswith("chapters/")]) >= 5
    for page, soup in pages.items():
        (cell,) = (cell for cell in soup.select(".cell") if "@interact(" in cell.get_text())
        assert cell.select_one(".cell_output").get_text().strip(), page
        assert "interactive(" not in soup.get_text() and "jupyter.widget" not in TEXTS[page], page
