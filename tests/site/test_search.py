"""The search of the site: what it indexes, what it finds, and how it is used."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from section_search import said
from site_checks import HTML, PHONE, pages

QUERIES = Path(__file__).with_name("queries.txt")
CHAPTERS = [page for page in pages(HTML) if page.startswith("chapters/")]


@pytest.fixture(scope="module")
def rows(html):
    text = (html / "_static" / "sections.js").read_text("utf-8")
    return json.loads(text.removeprefix("window.SECTIONS = ").rstrip(";\n"))


def test_every_section_of_the_chapters_is_indexed_once(rows, html):
    indexed = [row["url"] for row in rows]
    assert len(indexed) == len(set(indexed)) > 400
    for page in CHAPTERS:
        soup = BeautifulSoup((html / page).read_text("utf-8"), "html.parser")
        headings = [found["id"] for found in soup.select("article section section[id]")]
        left_out = {"references", "check-yourself"}
        assert {f"{page}#{name}" for name in headings if name not in left_out} <= set(indexed), page


def test_every_hit_leads_to_a_place_that_is_there(rows, html):
    places = {page: set(re.findall(r"""\bid=["']([^"']+)""", (html / page).read_text("utf-8"))) for page in pages(html)}
    targets = [row[field].partition("#") for row in rows for field in ("url", "shown") if row[field]]
    assert [page + anchor for page, _, anchor in targets if anchor and anchor not in places[page]] == []


def test_no_code_and_no_formula_is_searched(rows):
    chapters = [row["text"] for row in rows if row["kind"] == "chapters"]
    assert [text for text in chapters if re.search(r"\\mathbb|import torch|\$", text)] == []


def test_error_messages_are_what_is_kept_of_printed_text():
    section = nodes.section()
    section += [
        nodes.paragraph("", "It fails."),
        nodes.literal_block("", "x = 1\nValueError: Expected more than 1 value"),
    ]
    assert said(section) == "It fails. ValueError: Expected more than 1 value"


@pytest.mark.parametrize("page", CHAPTERS)
def test_search_finds_the_chapter_by_its_title(page, open_page, address, html):
    heading = BeautifulSoup((html / page).read_text("utf-8"), "html.parser").h1
    title = heading.find(string=True, recursive=False)  # its number is in a tag of its own
    visit = open_page(f"{address}search.html?q={title}")
    visit.page.locator(f'#search-results a[href*="{page}"]').first.wait_for(timeout=10_000)
    assert visit.problems == []


def test_hits_appear_while_typing_and_enter_opens_the_first(open_page, address):
    visit = open_page(address + "intro.html")
    loaded = "[...document.scripts].filter((script) => /sections|minisearch/.test(script.src)).length"
    assert visit.page.evaluate(loaded) == 0, "the index is loaded before anyone wants to search"
    visit.page.keyboard.press("Control+K")
    visit.page.keyboard.type("saturated unit")
    visit.page.locator("dialog .hits a").first.wait_for(timeout=10_000)
    visit.page.keyboard.press("ArrowDown")
    target = visit.page.evaluate("document.activeElement.href")
    assert "#term-saturation" in target
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url(target)


def test_hits_fit_a_phone_and_pass_the_checks(open_page, address):
    visit = open_page(address + "intro.html", "dark", PHONE)
    visit.page.evaluate("document.getElementById('pst-search-dialog').showModal()")
    visit.page.locator("dialog input").fill("eval worse than train")
    visit.page.locator("dialog .hits a").first.wait_for(timeout=10_000)
    box = visit.page.locator("dialog .hits").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE
    assert visit.problems + visit.accessibility() == []


def test_what_is_not_there_is_said(open_page, address):
    visit = open_page(address + "search.html?q=zzzxqy")
    visit.page.get_by_text("Nothing was found").wait_for(timeout=10_000)


def test_what_people_type_leads_to_its_section(open_page, address):
    page = open_page(address + "intro.html").page
    asked = [line.split(" -> ") for line in QUERIES.read_text("utf-8").splitlines() if " -> " in line]
    find = "async (query) => (await searchSections(query)).map((hit) => `${hit.url} ${hit.shown}`)"
    places = {}
    for query, wanted in asked:
        hits = page.evaluate(find, query)
        right = [any(part in hit for part in wanted.split("|")) for hit in hits]
        places[query] = right.index(True) + 1 if True in right else len(hits) + 1
    first = [query for query, place in places.items() if place > 1]
    assert len(asked) >= 80 and len(first) <= len(asked) / 10, first
    assert len([query for query, place in places.items() if place > 3]) <= len(asked) / 50


def test_an_answer_comes_before_the_section_that_shows_it(open_page, address):
    page = open_page(address + "intro.html").page
    urls = page.evaluate("async () => (await searchSections('expected more than 1 value')).map((hit) => hit.url)")
    places = [next(place for place, url in enumerate(urls) if name in url) for name in ("answers.html#", "clinic")]
    assert places == sorted(places)


def test_a_section_is_listed_once(open_page, address):
    page = open_page(address + "intro.html").page
    urls = page.evaluate("async () => (await searchSections('bias before batchnorm')).map((hit) => hit.url)")
    assert len(urls) == len(set(urls)) > 3
