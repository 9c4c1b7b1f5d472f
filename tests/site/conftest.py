"""One browser and one server for all tests of the site."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from site_checks import HTML, WIDE, Visit, served

from browser import ADVICE, executable

# No host but this computer has an address, so no test can depend on the network.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)

Open = Callable[..., Visit]


@pytest.fixture(scope="session")
def html() -> Path:
    if not (HTML / "index.html").exists():
        pytest.fail("There is no site to test. Run: make book")
    return HTML


@pytest.fixture(scope="session")
def address(html: Path) -> Iterator[str]:
    with served(html) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = executable()
    if path is None:
        pytest.fail(ADVICE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def contexts(chromium: Browser) -> Iterator[dict[str, BrowserContext]]:
    """A reader with a light and one with a dark system; what they fetch on one page is there for the next."""
    both = {theme: chromium.new_context(color_scheme=theme) for theme in ("light", "dark")}
    yield both
    for context in both.values():
        context.close()


@pytest.fixture
def open_page(contexts: dict[str, BrowserContext]) -> Iterator[Open]:
    """A function that opens an address as a reader with the given system theme would see it."""
    visits: list[Visit] = []

    def open_(url: str, theme: str = "light", width: int = WIDE) -> Visit:
        visits.append(Visit(contexts[theme], url, width))
        return visits[-1]

    yield open_
    for visit in visits:
        visit.page.close()
