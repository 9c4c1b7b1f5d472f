"""The Evidence page in the browser: its links, its cards, its folds and its filter; and what chapters show of it."""

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Page
from site_checks import PHONE, WIDE

import topics
from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import load

PAGE = "evidence.html"
STORED = load()
COUNT = ".ledger-filter output"


def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def shown(page: Page) -> list[str]:
    return page.locator("table.ledger tbody tr:visible").evaluate_all("rows => rows.map((row) => row.id)")


def test_a_row_and_its_section_lead_to_each_other(html):
    links = {row["id"]: row.select_one("td:last-child a")["href"] for row in soup(html / PAGE).select(".ledger tr[id]")}
    assert set(links) == set(STORED)
    chapters = {path: soup(html / path) for path in {link.split("#")[0] for link in links.values()}}
    for id, link in links.items():
        path, section = link.split("#")
        place = chapters[path].find(id=section)
        assert place is not None, link
        assert place.select_one(f'a[href$="{PAGE}#{id}"]'), f"{link} has no badge that leads to {id}"


def test_there_is_a_fold_for_each_topic(html):
    folds = {fold["data-topic"]: fold for fold in soup(html / PAGE).select("details.ledger-topic")}
    for topic, fold in folds.items():
        assert [row["id"] for row in fold.select("tr[id]")] == [id for id in STORED if CLAIMS[id].topic == topic]
    assert set(folds) == {claim.topic for claim in CLAIMS.values()}


def test_rows_are_filtered_and_the_address_says_how(open_page, address):
    page = open_page(address + PAGE).page
    assert page.locator(COUNT).inner_text() == f"{len(STORED)} of {len(STORED)} claims" and shown(page) == []
    page.get_by_label("Verdict").select_option("refuted")
    refuted = {id for id, entry in STORED.items() if entry.verdict == "refuted"}
    assert set(shown(page)) == refuted
    page.get_by_label("Who says so").select_option("folklore")
    folklore = {id for id in refuted if "folklore" in CLAIMS[id].source}
    assert set(shown(page)) == folklore and 0 < len(folklore) < len(refuted)
    again = open_page(page.url).page
    assert set(shown(again)) == folklore and again.locator(COUNT).inner_text().startswith(f"{len(folklore)} of")
    again.get_by_role("button", name="Show all").click()
    again.wait_for_url(address + PAGE)
    again.get_by_label("Words").fill("ORTHOGONAL keep")
    assert 0 < len(shown(again)) < 10 and "words=ORTHOGONAL+keep" in again.url
    again.get_by_label("Topic").select_option("batchnorm-clinic")
    assert shown(again) == [] and again.locator(COUNT).inner_text() == f"0 of {len(STORED)} claims"


def test_a_card_asks_before_it_tells(open_page, address):
    page = open_page(address + PAGE).page
    page.evaluate("localStorage.clear()")
    page.reload()
    card = page.locator(".belief").first
    held, answer = card.get_attribute("data-held"), card.locator(".finding")
    assert not answer.is_visible()
    card.get_by_role("button", name=held).click()
    assert answer.is_visible() and f"Held {held}" in answer.inner_text() and "[" in answer.inner_text()
    assert card.locator("output").inner_text() == "Your guess was right."
    assert page.get_by_role("status").first.inner_text() == "1 of 1 guesses were right."
    page.reload()
    assert page.locator(".belief").first.locator(".finding").is_visible(), "a guess is kept"


def test_without_scripts_everything_can_be_read(chromium, address):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(address + PAGE)
    assert page.locator(".belief .finding").first.is_visible()
    assert not page.locator(".belief-guess").first.is_visible() and not page.locator(".ledger-filter").is_visible()
    page.close()


def test_beliefs_that_measured_wrong_lead_to_their_rows(html):
    page = soup(html / PAGE)
    cards = {card.select_one(".finding a")["href"].removeprefix("#"): card for card in page.select(".belief")}
    wrong = {id for id, entry in STORED.items() if entry.verdict.name in ("REFUTED", "IN_SOME_CASES")}
    assert set(cards) == {id for id in wrong if not CLAIMS[id].source.startswith("derivation")}
    assert all(page.find(id=id) for id in cards)
    assert all((STORED[id].verdict == "refuted") is (card["data-held"] == "nowhere") for id, card in cards.items())


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_ledger_takes_the_width_there_is(width, open_page, address):
    page = open_page(f"{address}{PAGE}?topic=he", "dark", width)
    table = page.page.locator("table.ledger:visible").bounding_box()
    room = page.page.locator("#the-ledger").bounding_box()
    assert abs(room["width"] - table["width"]) <= 1 and page.layout() == []
    assert width == PHONE or table["width"] > 850


def a_badge(open_page, address) -> tuple[Page, str]:
    shown_on = next(page for id, page, _ in topics.evidence() if id == "bn-fewer-dents")
    return open_page(f"{address}chapters/{shown_on.path.name}.html").page, 'a.claim-badge[href$="#bn-fewer-dents"]'


def test_a_badge_leads_to_its_row(open_page, address):
    page, badge = a_badge(open_page, address)
    page.locator(badge).click()
    page.wait_for_url("**/evidence.html#bn-fewer-dents")
    assert 0 < page.locator("tr:target").bounding_box()["y"] < page.viewport_size["height"]


def test_a_badge_says_the_verdict_beside_the_claim(open_page, address):
    page, badge = a_badge(open_page, address)
    assert page.locator(badge).text_content() == "true in some cases"
    assert CLAIMS["bn-fewer-dents"].statement in page.locator(f"li:has(> {badge})").text_content()


def test_words_that_lead_to_a_claim_have_a_tip(open_page, address):
    words = 'a.claim-words[href$="#bn-bias-gets-no-gradient"]'
    page = open_page(f"{address}chapters/{topics.pages()['batchnorm-training'].path.name}.html").page
    link, tip = page.locator(words).first, page.locator(f"{words} + .claim-tip").first
    assert not tip.is_visible()
    link.hover()
    assert tip.is_visible()
    page.mouse.move(0, 0)
    link.focus()
    assert CLAIMS["bn-bias-gets-no-gradient"].statement in tip.inner_text()
    assert link.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    assert not tip.is_visible()
