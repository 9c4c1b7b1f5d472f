"""Every explorer of the built site, moved by mouse, keyboard and touch: it shows the numbers of the state it is in."""

from collections.abc import Callable, Iterator
from itertools import cycle, product

import pytest
from bs4 import BeautifulSoup
from explorer_moves import MOVES
from explorer_reading import CONTRAST, LINES, READ, explorers, frame_at, problems, reading_problems
from playwright.sync_api import Browser, BrowserContext
from site_checks import HTML, PHONE, Visit, pages

import topics
from tutorial_utils.explore.live import SCRIPTS, STYLE

PHONE_HEIGHT = 640
BALANCE = f"chapters/{topics.pages()['scale-invariance'].path.name}.html"  # a page with one explorer
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
    visit.draw()
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


# Every state, one after the other, as the last control changes fastest; what is drawn in each.
SWEEP = f"""(root) => {{
  const read = {READ}, controls = [...root.querySelectorAll('[data-control]')];
  const last = (control) => (control.options ? control.options.length : +control.max + 1);
  const move = (k, place) => {{
    controls[k].value = place;
    controls[k].dispatchEvent(new Event('input'));
    return walk(k + 1);
  }};
  const walk = (k) => (k === controls.length ? [read(root)]
    : Array.from({{ length: last(controls[k]) }}, (_, place) => move(k, place)).flat());
  return walk(0);
}}"""


@pytest.mark.parametrize("page", FOUND)
def test_no_state_draws_what_was_not_measured(page: str, open_page: Callable[..., Visit], address: str) -> None:
    opened = open_page(address + page)
    opened.draw()
    for name, data in FOUND[page].items():
        readings = opened.page.locator(f"good-explorer#{name}").evaluate(SWEEP)
        states = list(product(*(range(len(control["values"])) for control in data["controls"])))
        found = [reading_problems(data, list(at), one) for at, one in zip(states, readings, strict=True)]
        assert [problem for problem in found if problem] == [], f"of {len(states)} states"


REACH = """(root) => root.querySelector('.explorer-words').getBoundingClientRect().bottom
  - root.querySelector('.explorer-controls').getBoundingClientRect().top"""
STILL = "(blocks) => blocks.every((block) => getComputedStyle(block).isolation === 'isolate')"


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if page in FOUND or LABORATORY in text])
def test_explorers_on_a_phone_and_in_both_themes(page: str, open_page: Callable[..., Visit], address: str) -> None:
    opened = open_page(address + page, "light", PHONE)
    opened.draw()
    for explorer in opened.page.locator(".explorer").all():
        assert explorer.evaluate(REACH) <= PHONE_HEIGHT, "controls and sentence do not fit on a phone"
    lines = opened.page.locator(LINES)
    for theme in ("light", "dark"):
        opened.follow(theme)
        assert min(lines.evaluate_all(CONTRAST), default=99) > 3, f"a line is not seen in the {theme} theme"
    blocks = opened.page.locator(".bd-article section > :not(section)")
    assert blocks.count() > 5 and blocks.evaluate_all(STILL), "what stands still is painted anew"


@pytest.mark.parametrize("page", FOUND)
def test_an_explorer_can_be_read_without_its_chapter(page: str) -> None:
    for name, data in FOUND[page].items():
        assert data["question"].endswith("?") and data["look"], name
        assert len(data["presets"]) >= 2 and list(data["presets"][0]["at"].values()) == data["start"], name
        said = [frame_at(data, list(preset["at"].values()))["say"] for preset in data["presets"]]
        assert len(set(said)) == len(said), f"{name}: presets that say the same"
        titles = [chart["title"] for chart in data["charts"]]
        assert all(titles) and len(set(titles)) == len(titles), name


def test_a_name_is_no_other_elements() -> None:
    for page, found in FOUND.items():
        assert [name for name in found if TEXTS[page].count(f'id="{name}"') != 1] == [], page


def test_the_scripts_are_on_the_pages_that_need_them_and_on_no_other() -> None:
    for page, text in TEXTS.items():
        needed = page in FOUND or LABORATORY in text
        assert (f'data-scripts="{" ".join(SCRIPTS)}' in text) == needed, page
        assert not any(f"{name}?" in text for name in SCRIPTS), f"{page} loads at once what draws explorers"
        assert f"{STYLE}?" in text or not needed, page


def test_nothing_is_drawn_or_loaded_before_an_explorer_is_near(open_page: Callable[..., Visit], address: str) -> None:
    page = open_page(address + BALANCE).page
    drawing = "[...document.scripts].filter((script) => script.src.includes('plot.min.js')).length"
    assert page.evaluate(drawing) == 0 and page.locator("good-explorer > table").count() > 0
    page.locator("good-explorer").scroll_into_view_if_needed()
    page.locator("good-explorer.explorer svg").first.wait_for()
    assert page.evaluate(drawing) == 1 and page.locator("good-explorer > table").count() == 0


def test_an_address_with_a_state_draws_it(open_page: Callable[..., Visit], address: str) -> None:
    page = open_page(address + BALANCE + "#at=balance").page
    page.locator("good-explorer.explorer svg").first.wait_for()
    assert 0 <= page.locator("good-explorer").evaluate("(root) => root.getBoundingClientRect().top") < 200


def test_a_page_says_where_its_controls_move_and_shows_their_first_picture() -> None:
    words = "un this chapter (Binder, Colab or JupyterLab) to move the controls."
    pages = {page: BeautifulSoup(text, "html.parser") for page, text in TEXTS.items() if words in text}
    assert len([page for page in pages if page.startswith("chapters/")]) >= 5
    for page, soup in pages.items():
        (cell,) = (cell for cell in soup.select(".cell") if "@interact(" in cell.get_text())
        assert cell.select_one(".cell_output").get_text().strip(), page
        assert "interactive(" not in soup.get_text() and "jupyter.widget" not in TEXTS[page], page
