"""The Evidence page in the browser: its links, its filter and its order."""

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Page
from site_checks import PHONE, WIDE

import topics
from tutorial_utils.claims.ledger import load

PAGE = "evidence.html"
STORED = load()


def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def shown(page: Page, column: int) -> list[str]:
    cells = page.locator(f"table.ledger tbody tr:not([hidden]) td:nth-child({column})")
    return [text.replace("\xa0", " ") for text in cells.all_inner_texts()]


def test_a_row_and_its_section_lead_to_each_other(html):
    links = {row["id"]: row.select_one("td:last-child a")["href"] for row in soup(html / PAGE).select(".ledger tr[id]")}
    assert list(links) == list(STORED)
    chapters = {path: soup(html / path) for path in {link.split("#")[0] for link in links.values()}}
    for id, link in links.items():
        path, section = link.split("#")
        place = chapters[path].find(id=section)
        assert place is not None, link
        assert place.select_one(f'a[href$="{PAGE}#{id}"]'), f"{link} has no badge that leads to {id}"


def test_rows_are_filtered_by_words_and_verdict(open_page, address):
    page = open_page(address + PAGE).page
    count, words = page.locator(".ledger-filter output"), page.get_by_label("Words")
    assert count.inner_text() == f"{len(STORED)} of {len(STORED)} claims"
    page.get_by_label("Verdict").select_option("refuted")
    wrong = sum(entry.verdict == "refuted" for entry in STORED.values())
    assert len(shown(page, 1)) == wrong and count.inner_text() == f"{wrong} of {len(STORED)} claims"
    words.fill("ORTHOGONAL keep")
    page.get_by_label("Verdict").select_option("")
    assert 0 < len(shown(page, 1)) < 10 and all("rthogonal" in text for text in shown(page, 1))
    words.fill("no such words")
    assert count.inner_text() == f"0 of {len(STORED)} claims"


def test_rows_are_sorted(open_page, address):
    page = open_page(address + PAGE).page
    by_place = page.get_by_role("button", name="Shown in")
    by_place.click()
    places = [text.split(":")[0] for text in shown(page, 5)]
    chapters = [int(place.removeprefix("Chapter ")) for place in places if place != "Appendix"]
    assert places[0] == "Appendix" and chapters == sorted(chapters) and {2, 10} <= set(chapters)
    by_place.click()
    assert page.locator("th[aria-sort=descending]").inner_text() == "Shown in"
    assert shown(page, 5)[0].startswith(f"Chapter {chapters[-1]}")
    page.get_by_role("button", name="Verdict").click()
    assert shown(page, 2)[0].startswith("not decided") and shown(page, 2)[-1].startswith("supported")


def test_beliefs_that_measured_wrong_lead_to_their_rows(html):
    page = soup(html / PAGE)
    links = [link["href"].removeprefix("#") for link in page.select("table.beliefs a")]
    kinds = [STORED[id].verdict.name for id in links]
    assert kinds == sorted(kinds, reverse=True) and set(kinds) == {"REFUTED", "IN_GENERAL"}
    assert "default-is-he" in links and all(page.find(id=id) for id in links)


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_table_is_as_wide_as_the_text(width, open_page, address):
    page = open_page(address + PAGE, "light", width).page
    for section in ("the-ledger", "beliefs-that-measured-wrong"):
        table, text = (page.locator(f"#{section} > {kind}").first.bounding_box() for kind in ("table", "p"))
        assert table["width"] <= text["width"] + 1


def test_a_badge_leads_to_its_row(open_page, address):
    shown_on = next(page for id, page, _ in topics.evidence() if id == "bn-fewer-dents")
    page = open_page(f"{address}chapters/{shown_on.path.name}.html").page
    page.get_by_role("link", name="bn-fewer-dents", exact=True).click()
    page.wait_for_url("**/evidence.html#bn-fewer-dents")
    assert 0 < page.locator("tr:target").bounding_box()["y"] < page.viewport_size["height"]
