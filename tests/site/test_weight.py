"""What a phone has to fetch and to lay out: bytes as a server that compresses sends them, requests, elements."""

import gzip

import pytest
from playwright.sync_api import Browser, Response
from site_checks import PHONE

USUAL, ELEMENTS = {"first": 330, "own": 95, "requests": 40}, 20_000
"""The most that a page may cost: KiB of a first visit, KiB that no other page has, requests; and elements."""
LABORATORY = {"first": 515, "own": 190, "requests": 42}
"""The Laboratory's own: it alone draws at once, and carries its numbers, those of 11,520 trainings."""
COMPRESSED = (".png", ".woff", ".woff2")


def weight(answer: Response) -> float:
    body = answer.body()
    return len(body if answer.url.partition("?")[0].endswith(COMPRESSED) else gzip.compress(body)) / 1024


@pytest.mark.parametrize(
    "page", ["intro.html", "chapters/03-glorot.html", "chapters/04-he.html", "laboratory.html", "evidence.html"]
)
def test_a_page_is_light(page: str, chromium: Browser, address: str) -> None:
    context = chromium.new_context(viewport={"width": PHONE, "height": 800}, device_scale_factor=2)
    tab, answers = context.new_page(), {}
    tab.on("response", lambda answer: answers.setdefault(answer.url, answer))
    tab.goto(address + page, wait_until="networkidle")
    if page == "laboratory.html":
        tab.locator(".laboratory.explorer svg").first.wait_for()
    found = {url: weight(answer) for url, answer in list(answers.items()) if answer.ok}
    own = sum(size for url, size in found.items() if page in url or "/_images/" in url)
    elements = tab.evaluate("document.querySelectorAll('*').length")
    context.close()
    assert sum(found.values()) > own > 5, "nothing was weighed"
    limits = LABORATORY if page == "laboratory.html" else USUAL
    cost = {"first": sum(found.values()), "own": own, "requests": len(found)}
    assert {name: value for name, value in cost.items() if value > limits[name]} == {}, found
    assert elements <= ELEMENTS
