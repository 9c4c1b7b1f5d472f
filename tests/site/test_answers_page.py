"""The pages Answers and cheat sheet, and the table on the landing page, as readers see and print them."""

import re

import answers
import pytest
from bs4 import BeautifulSoup
from site_checks import PHONE

from tutorial_utils.claims.ledger import load

QUESTIONS = [one for group in answers.questions().values() for one in group]
ROWS = [row for part in answers.rows().values() for row in part]


@pytest.fixture(scope="module")
def soup(html):
    return BeautifulSoup((html / "answers.html").read_text("utf-8"), "html.parser")


def test_every_question_has_its_code_its_verdicts_and_its_section(soup):
    found = [heading.parent for heading in soup.select("article h3")]
    assert len(found) == len(QUESTIONS)
    for section, one in zip(found, QUESTIONS, strict=True):
        assert section.select_one("pre").get_text().strip() == one.code.strip()
        assert [link["data-verdict"] for link in section.select("[data-verdict]")] == verdicts(one.claims)
        assert section.select(f'a[href="{answers.place(one.at).url}"]')


def test_the_list_leads_to_every_question(soup):
    links = [link["href"].removeprefix("#") for link in soup.select("details.questions a")]
    assert links == [heading.parent["id"] for heading in soup.select("article h3")]


def test_every_row_has_its_call_and_its_verdicts(soup):
    found = soup.select("table.decision tbody tr")
    assert [row.pre.get_text() for row in found] == [row.call for row in ROWS]
    said = [[link["data-verdict"] for link in row.select("[data-verdict]")] for row in found]
    assert said == [verdicts(row.claims) for row in ROWS]


def verdicts(claims):
    stored = load()
    return [stored[named.partition(": ")[0]].verdict.name.lower() for named in claims]


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_cheat_sheet_prints_on_one_page(paper, open_page, address):
    assert printed_pages(open_page(address + "cheat-sheet.html").page, paper) == 1


def test_longer_pages_print_on_more(open_page, address):
    assert printed_pages(open_page(address + "how-to-use.html").page, "A4") > 1


def printed_pages(page, paper):
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper, prefer_css_page_size=False)))


def test_a_row_is_a_card_on_a_phone(open_page, address):
    page = open_page(address + "answers.html", width=PHONE).page
    cells = page.locator("table.decision tbody tr").first.locator("td")
    assert len({round(cell.bounding_box()["x"]) for cell in cells.all()}) == 1


def test_the_landing_page_answers_then_shows_then_plays(html):
    soup = BeautifulSoup((html / "intro.html").read_text("utf-8"), "html.parser")
    order = [tag.name for tag in soup.select("article h1, article table:not(.explorer table), article figure")]
    assert order[:3] == ["h1", "table", "figure"]
    assert re.match(r".*(Kaiming|Xavier|initializ).*", soup.title.string)
