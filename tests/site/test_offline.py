"""The site opened from the disk, as whoever unpacks the zip of `make offline` opens it: no server, no network."""

import re


def test_search_and_explorers_work_from_the_disk(html, chromium):
    page, errors = chromium.new_page(viewport={"width": 1280, "height": 900}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((html / "index.html").as_uri())
    page.wait_for_url("**/intro.html")
    page.locator("good-explorer").scroll_into_view_if_needed()
    page.locator("good-explorer svg").first.wait_for()
    page.goto((html / "chapters" / "04-he.html").as_uri())
    page.locator("good-explorer").first.scroll_into_view_if_needed()
    said = page.locator("good-explorer [role=status]").first
    before = said.inner_text()
    page.locator("good-explorer select").first.select_option(index=3)
    assert said.inner_text() != before
    page.locator(".search-button-field:visible").first.click()
    page.locator("#pst-search-dialog input").fill("symmetry breaking")
    page.locator("#pst-search-dialog .hits a").first.click()
    page.wait_for_url(re.compile(r"\.html#.+"))
    page.goto((html / "evidence.html").as_uri() + "?verdict=refuted")
    assert page.locator("table.ledger tbody tr:visible").count() > 10
    assert errors == []
    page.close()
