"""Which chapters were read: a mark in the sidebar, kept in this browser."""

import pytest

FIRST, SECOND = "chapters/03-glorot.html", "chapters/04-he.html"


@pytest.fixture
def reader(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def marks(page) -> list[str]:
    return page.locator(".bd-links a:has(.read-mark)").all_inner_texts()


def test_a_chapter_is_marked_when_its_end_was_reached(reader, address):
    reader.goto(address + FIRST)
    assert marks(reader) == [] and reader.locator(".progress-note").inner_text() == ""
    reader.locator(".prev-next-footer").scroll_into_view_if_needed()
    reader.wait_for_selector(".read-mark")
    reader.goto(address + SECOND)
    assert len(marks(reader)) == 1 and "Glorot" in marks(reader)[0]
    assert reader.locator(".progress-note").inner_text().startswith("1 of 16 chapters read")
    assert reader.get_by_role("img", name="read", exact=True).count() == 1
    reader.get_by_role("button", name="Forget").click()
    reader.reload()
    assert marks(reader) == []
