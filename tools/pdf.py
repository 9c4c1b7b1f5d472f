"""Print the built site as one tagged PDF with bookmarks and page numbers: book/_build/good-starts.pdf.

    python tools/pdf.py

All pages of the table of contents but those of the API become one page, which Chromium prints. What was a link to
another page leads to its place in the document.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import urldefrag, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright

import browser
import website
from tutorial_utils.explore.live import SCRIPTS

LEFT_OUT = ("api/", "bibliography")
"""Pages that are of no use on paper: the API, and works that the lists of the chapters name already."""
NEEDED = ("book.js", *SCRIPTS, "laboratory.js")
"""Scripts that draw."""
USELESS = (
    "script:not([type='application/json']), form, .headerlink, .copybtn, .belief-guess, details.hide, .prev-next-footer"
)
ADDRESSES = ("href", "src")
REFERENCES = ("aria-describedby", "aria-labelledby", "for", "headers")
FOOTER = "<div style='font-size: 8px; width: 100%; text-align: center'><span class='pageNumber'></span></div>"
STYLE = """
  @page { size: A4; margin: 18mm 18mm 20mm; }
  h1, h2, h3, h4, h5 { white-space: pre-wrap; }  /* else a bookmark loses the space where its heading is wrapped */
  .bd-main .bd-content .bd-article-container { max-width: none; }
  .paper-part { break-before: page; padding-top: 35vh; text-align: center; }
  .paper-page { break-before: page; }
  .paper-page > section > h2:first-child { font-size: 2.2rem; }
  .paper-contents ul { list-style: none; }
"""
FRAME = (
    "<!DOCTYPE html><html lang='en' data-theme='light' data-content_root=''><head><meta charset='utf-8'>{head}</head>"
    "<body><main class='bd-main'><div class='bd-content'><div class='bd-article-container'>"
    "<article class='bd-article'>{body}</article></div></div></main></body></html>"
)
MAKE_READY = """async () => {
  const folds = [...document.querySelectorAll('details')].filter((fold) => !fold.closest('good-explorer, .laboratory'));
  folds.forEach((fold) => { fold.open = true; });
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
}"""
SCALE = 0.8
PATIENCE = 600_000
"""Milliseconds that Chromium may take."""


@dataclass(frozen=True)
class Part:
    """Some pages under a caption; the first have none."""

    caption: str
    pages: tuple[str, ...]


def parts(contents: Path) -> Iterator[Part]:
    """The parts of the book, as the table of contents has them."""
    named = yaml.safe_load(contents.read_text(encoding="utf-8"))
    yield Part("", (named["root"],))
    for part in named["parts"]:
        pages = tuple(entry["file"] for entry in part["chapters"] if not entry["file"].startswith(LEFT_OUT))
        yield Part(part["caption"], pages)


def place(page: str, anchor: str = "") -> str:
    """What an anchor of a page is called in the document."""
    return f"{page.replace('/', '-')}--{anchor}"


def moved(link: str, page: str, all_pages: set[str]) -> str:
    """Make an address on a page one in the document; what is not in it stays an address of the site."""
    if urlsplit(link).scheme:
        return link
    address, anchor = urldefrag(link)
    target = normpath(join(dirname(page), address)) if address else f"{page}.html"
    name = target.removesuffix(".html")
    return f"#{place(name, anchor)}" if name in all_pages and target.endswith(".html") else target


def read(site: Path, page: str) -> BeautifulSoup:
    """A page of the site."""
    return BeautifulSoup((site / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def article(soup: BeautifulSoup, page: str, all_pages: set[str]) -> Tag:
    """The text of a page, its headings a level lower, its names and addresses those of the document."""
    found = soup.select_one("article.bd-article")
    assert found is not None, f"{page} has no article"
    for tag in found.select(USELESS):
        tag.decompose()
    for tag in found.find_all(True):
        _move(tag, page, all_pages)
    found.name, found.attrs = "div", {"class": "paper-page", "id": place(page)}
    return found


def _move(tag: Tag, page: str, all_pages: set[str]) -> None:
    if level := re.fullmatch(r"h([1-5])", tag.name):
        tag.name = f"h{int(level[1]) + 1}"
    if "id" in tag.attrs:
        tag["id"] = place(page, str(tag["id"]))
    for name in ADDRESSES:
        if name in tag.attrs:
            tag[name] = moved(str(tag[name]), page, all_pages)
    for name in REFERENCES:
        if name in tag.attrs:
            tag[name] = " ".join(place(page, one) for one in str(tag[name]).split())
    if tag.get("loading") == "lazy":
        del tag["loading"]


def style_sheets(soup: BeautifulSoup, page: str) -> list[str]:
    """The style sheets of a page, as seen from the site's folder."""
    links = [str(link["href"]) for link in soup.select("head link[rel=stylesheet]")]
    return [normpath(join(dirname(page), urlsplit(link).path)) for link in links]


def document(site: Path, contents: Path) -> str:
    """All pages as one."""
    found = list(parts(contents))
    all_pages = {page for part in found for page in part.pages}
    styles: dict[str, None] = {}  # in the order in which they first occur
    body = []
    for part in found:
        body.append(f"<h1 class='paper-part'>{part.caption}</h1>" if part.caption else "<h1 hidden>Good Starts</h1>")
        for page in part.pages:
            soup = read(site, page)
            styles |= dict.fromkeys(style_sheets(soup, page))
            body.append(str(article(soup, page, all_pages)))
    scripts = [f"<script defer src='_static/{name}'></script>" for name in NEEDED if (site / "_static" / name).exists()]
    sheets = [f"<link rel='stylesheet' href='{name}'>" for name in styles]
    head = f"<title>Good Starts</title>{''.join(sheets)}<style>{STYLE}</style>{''.join(scripts)}"
    return FRAME.format(head=head, body="".join(body))


def write(site: Path, contents: Path, target: Path) -> None:
    """Print the document; it lies in the site's folder for as long as that takes, where its pictures are."""
    whole = site / "whole.html"
    whole.write_text(document(site, contents), encoding="utf-8")
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser.executable(), args=["--no-sandbox"])
            page = chromium.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(whole.as_uri(), wait_until="load")
            page.evaluate(MAKE_READY)
            page.pdf(
                path=target,
                tagged=True,
                scale=SCALE,
                outline=True,
                prefer_css_page_size=True,
                print_background=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
            )
            chromium.close()
    finally:
        whole.unlink()


def main() -> int:
    """Write the PDF and say where it is."""
    if not browser.executable():
        print(browser.ADVICE, file=sys.stderr)
        return 1
    target = website.site().parent / "good-starts.pdf"
    write(website.site(), website.ROOT / "book" / "_toc.yml", target)
    print(f"Printed: {target.relative_to(website.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
