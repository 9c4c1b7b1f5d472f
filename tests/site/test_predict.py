"""Questions before a figure: they take a guess, and say it beside what the chapter measured."""

import pytest
from bs4 import BeautifulSoup
from site_checks import HTML, PHONE, pages


def questions(page, html):
    soup = BeautifulSoup((html / page).read_text("utf-8"), "html.parser")
    return [box for box in soup.select(".bd-article .admonition.tip") if box.p.get_text() == "Predict"]


def test_the_book_asks_questions(html):
    asking = [page for page in pages(HTML) if page.startswith("chapters/") and questions(page, html)]
    assert len(asking) >= 12


@pytest.mark.parametrize("page", [page for page in pages(HTML) if page.startswith("chapters/")])
def test_every_question_takes_a_guess_and_has_an_answer(page, open_page, address, html):
    visit = open_page(address + page)
    forms = visit.page.locator("form.guess")
    assert forms.count() == len(questions(page, html))
    for number in range(forms.count()):
        form = forms.nth(number)
        if form.locator(".choices").count():
            form.locator("input").first.check()
        else:
            form.locator("input").fill("12")
        form.get_by_role("button", name="Compare").click()
        said = form.locator("output").text_content()
        assert said.startswith("You: ") and len(said.split("Measured: ")[1]) > 3
    assert visit.problems == []


def test_a_guess_is_kept_in_this_browser_and_fits_a_phone(open_page, address):
    page = "chapters/11-batchnorm-inference.html"
    visit = open_page(address + page, "dark", PHONE)
    form = visit.page.locator("form.guess").first
    form.locator("input").nth(1).check()
    form.get_by_role("button", name="Compare").click()
    said = form.locator("output").text_content()
    assert visit.layout() + visit.accessibility() == []
    again = open_page(address + page, "dark", PHONE).page.locator("form.guess").first
    assert again.locator("output").text_content() == said
    assert again.locator("input").nth(1).is_checked()


def test_nothing_is_measured_before_the_guess(open_page, address):
    visit = open_page(address + "chapters/13-what-batchnorm-buys.html")
    visit.page.evaluate("localStorage.clear()")
    visit.page.reload()
    assert visit.page.locator("form.guess output").first.text_content() == ""
    visit.page.get_by_role("button", name="Compare").first.click()
    assert visit.page.locator("form.guess output").first.text_content() == ""
