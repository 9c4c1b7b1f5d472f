"""What search engines and messages see of the site, and what a reader sees who is lost."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from found_and_shared import CARD, SEARCHED_AS, card, describe, linked_data, meta, questions, title, words
from PIL import Image
from site_checks import HTML, pages

import topics

BASE = "https://some-one.github.io/book/"
READ = [page for page in pages(HTML) if page not in ("404.html", "search.html")]


def head(page: str, html: Path) -> BeautifulSoup:
    """The top of a page alone: to parse the rest of all pages takes a minute."""
    top, end, _ = (html / page).read_text("utf-8").partition("</head>")
    return BeautifulSoup(top + end, "html.parser").head


def test_every_page_has_a_title_and_a_description_of_its_own(html):
    titles = {page: head(page, html).title.get_text() for page in READ}
    described = {page: head(page, html).find("meta", attrs={"name": "description"}) for page in READ}
    assert len(set(titles.values())) == len(READ) and not any(
        "Good Starts — Good Starts" in one for one in titles.values()
    )
    assert [page for page, tag in described.items() if tag is None] == []
    assert [page for page, tag in described.items() if "\\" in tag["content"] or len(tag["content"]) > 155] == []


def test_titles_have_the_words_that_people_search_for(html):
    chapters = " ".join(head(page, html).title.get_text() for page in READ if page.startswith("chapters/"))
    for word in ("Xavier", "Kaiming", "BatchNorm", "batch normalization", "GELU", "default", "eval mode"):
        assert word in chapters, word
    assert set(SEARCHED_AS) <= set(topics.pages())


def test_the_picture_of_a_shared_link_is_there(html):
    with Image.open(html / CARD) as picture:
        assert picture.size == (1200, 630)


def page_of(text: str) -> nodes.document:
    document = nodes.document(None, None)
    document += nodes.section("", nodes.title(text="Why?"), nodes.paragraph(text=text))
    document += nodes.section("", nodes.title(text="Statement"), nodes.paragraph(text="No answer."))
    return document


class Book:
    """What the hook needs of Sphinx."""

    class config:
        root_doc, html_title, html_baseurl = "intro", "Good Starts", BASE


def written(page: str, base: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(Book.config, "html_baseurl", base)
    context = {"title": "4. <b>He</b>", "pageurl": f"{base}{page}.html"}
    describe(Book, page, "", context, page_of(r"Variance $2/n_\text{in}$"))
    return context["metatags"]


def test_a_chapter_whose_address_is_known_is_described_to_machines(monkeypatch):
    found = BeautifulSoup(written("chapters/04-he", BASE, monkeypatch), "html.parser")
    properties = {tag["property"]: tag["content"] for tag in found(property=True)}
    assert properties["og:url"] == f"{BASE}chapters/04-he.html" and properties["og:image"] == BASE + CARD
    assert properties["og:description"] == "Variance 2/n_in"
    data = json.loads(found.script.string)
    assert data["@type"] == "TechArticle" and data["isPartOf"]["url"] == BASE and data["headline"] == "He"


def test_without_an_address_there_is_no_card(monkeypatch):
    assert "og:" not in written("chapters/04-he", "", monkeypatch)


def test_questions_and_their_answers(monkeypatch):
    data = written("answers", BASE, monkeypatch)
    assert '"@type": "FAQPage"' in data and '"name": "Why?"' in data and "No answer" not in data
    assert len(list(questions(page_of("Because.")))) == 1


@pytest.mark.parametrize(
    ("page", "heading", "expected"),
    [
        ("intro", "Good Starts", "Neural-network initialization and batch normalization"),
        ("chapters/03-glorot", "Glorot", "Xavier (Glorot) initialization | Glorot"),
        ("exercises/03-glorot", "Exercises: Glorot", "Exercises: Glorot"),
    ],
)
def test_the_title_of_a_window(page, heading, expected):
    assert title(page, heading, "intro") == expected


def test_what_machines_read_is_escaped():
    assert meta({"description": 'a "b" <c>'}) == '<meta name="description" content="a &quot;b&quot; &lt;c&gt;" />\n'
    assert linked_data("api/data", "intro", {}, "Good Starts", BASE) is None
    assert card("n", "s", "d", "u", BASE)["og:image:width"] == "1200"
    assert words(r"$\pm 1/\sqrt{n}$") == "± 1/√n"


def test_a_lost_reader_finds_back_from_any_depth(html, chromium, address):
    lost = (html / "404.html").read_text("utf-8")
    base = BeautifulSoup(lost, "html.parser").base["href"]
    page, failed = chromium.new_page(), []
    # The site may be published in a folder of its server, and the server gives this page for any address.
    page.route(
        "**/*",
        lambda route: (
            route.fulfill(status=404, body=lost, content_type="text/html")
            if "no/such" in route.request.url
            else route.continue_(url=address + urlsplit(route.request.url).path.removeprefix(base))
        ),
    )
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    page.goto(f"{address.rstrip('/')}{base}no/such/page.html")
    page.get_by_role("link", name="Start page", exact=True).click()
    page.wait_for_url("**/intro.html")
    assert [url for url in failed if "no/such" not in url] == []
    page.close()
