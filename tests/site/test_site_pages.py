"""Every page of the built site in Chromium: wide and narrow, light and dark."""

import re

import pytest
import yaml
from bs4 import BeautifulSoup
from site_checks import HTML, PHONE, WIDE, broken_links, pages
from theme_fixes import FIXES

import plain_markdown
import website

PAGES = [page for page in pages(HTML) if page != "404.html"]  # whose links begin at the published address


def test_every_page_of_the_contents_is_here(html):
    entries = yaml.safe_load((html.parents[1] / "_toc.yml").read_text("utf-8"))
    named = re.findall(r"'(?:root|file)': '([^']+)'", str(entries))
    assert len(named) > 15 and {f"{name}.html" for name in named} <= set(PAGES)


def test_the_site_is_current(html):
    assert website.is_current(), "The site is older than the files it is made from. Run: make book"


@pytest.mark.parametrize("page", PAGES)
def test_page(page, open_page, address):
    visit = open_page(address + page, "light", WIDE)
    problems = visit.content() + visit.layout() + visit.contrast() + visit.accessibility()
    visit.follow("dark")  # only the colors differ between the themes
    problems += visit.contrast()
    visit.resize(PHONE)
    assert visit.problems + problems + visit.layout() == []


def test_the_start_page_leads_to_the_introduction(chromium, address):
    page = chromium.new_page()
    page.goto(address)
    page.wait_for_url(address + "intro.html")
    page.close()


def test_links(html):
    assert broken_links(html) == []


def test_notebooks_number_equations_as_the_site_does(html):
    shown, said = {}, {}
    for page, source in plain_markdown.sources().values():
        soup = BeautifulSoup(
            (html / page.path.relative_to(html.parents[1])).with_suffix(".html").read_text("utf-8"), "html.parser"
        )
        for block in soup.select("div.math[id]"):
            shown[block["id"].removeprefix("equation-")] = block.select_one(".eqno").get_text().strip("()#\uf0c1")
        said |= {label.replace(":", "-"): number for label, number in source.equations.items()}
    assert shown == said and len(said) > 50


def test_no_fix_is_left_to_do(html):
    left = [
        f"{page}: {fix.symptom}" for page in PAGES for fix in FIXES if fix.symptom in (html / page).read_text("utf-8")
    ]
    assert left == []


def test_there_is_one_search_field(html):
    soup = BeautifulSoup((html / "intro.html").read_text("utf-8"), "html.parser")
    assert len(soup.select("form.bd-search")) == 1


def test_theme_switch(chromium, address):
    page = chromium.new_page(color_scheme="light")  # with a memory of its own: the choice is stored
    page.goto(address + "intro.html")
    background = "getComputedStyle(document.body).backgroundColor"
    before, switch = page.evaluate(background), page.locator(".theme-switch-button:visible").first
    for _ in range(3):
        if page.locator("html").get_attribute("data-theme") != "dark":
            switch.click()
    assert page.evaluate(background) != before
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.close()


def test_skip_link_and_visible_focus(open_page, address):
    page = open_page(address + "intro.html").page
    page.keyboard.press("Tab")
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) == "Skip to main content"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main-content")


def test_no_folder_named_static():
    assert not (HTML.parents[1] / "_static").exists(), "Jupyter Book would put every script in it on every page"
