"""How tall a section is, guessed from what it holds: ``book.css`` lays out only the sections near the reader.

Until a section comes near, the guess stands for its height, so that the scroll bar is about right from the start.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from bs4 import BeautifulSoup, Tag
from figures import LEGIBLE
from sphinx.application import Sphinx

INLINE = re.compile(r"<math.*?</math>|<script.*?</script>|</?(?:span|a|em|strong|code|b|i|sup|sub)\b[^>]*>", re.DOTALL)
"""What takes no room of its own; most of a page, and slow to parse."""
UNSEEN = "details:not([open]), good-explorer, .dropdown > :not(.admonition-title)"
TEXT = "p, li:not(:has(> p)), dt, dd:not(:has(> p)), caption, figcaption"


@dataclass(frozen=True)
class Screen:
    """A width of the window.

    Args:
        letters: that stand in one line of text.
        heading: that stand in one line of a heading.
        figure: width of a figure that is legible there, in CSS pixels.
        explorer: height of an explorer.
    """

    letters: int
    heading: int
    figure: int
    explorer: int

    def text(self, tag: Tag) -> float:
        """Height of a paragraph."""
        return 26.4 * math.ceil(len(tag.get_text()) / self.letters) + 16

    def title(self, tag: Tag) -> float:
        """Height of a heading."""
        return 29 * math.ceil(len(tag.get_text()) / self.heading) + 30

    def row(self, tag: Tag) -> float:
        """Height of a row of a table, where a long cell has twice its share of the width."""
        cells = [len(cell.get_text()) for cell in tag.find_all(["td", "th"])]
        return 25 * math.ceil(max(cells) / (self.letters * min(1, 2 / len(cells)))) + 25

    def code(self, tag: Tag) -> float:
        """Height of a program or of what it printed."""
        return 19.5 * tag.get_text().rstrip().count("\n") + 46

    def picture(self, tag: Tag) -> float:
        """Height of a figure."""
        width, tall = int(str(tag["width"])), int(str(tag["height"]))
        return max(self.figure, LEGIBLE * width) * tall / width + 18


SCREENS = {"narrow": Screen(38, 22, 328, 1120), "wide": Screen(85, 50, 688, 760)}
"""A phone and a computer, by the names that ``book.css`` gives the heights."""


def height(section: Tag, screen: Screen) -> int:
    """About how many CSS pixels a section takes from top to bottom, as measured on the pages of the book.

    Args:
        section: the section.
        screen: how wide the window is.
    """
    explorers, folds = len(section.find_all("good-explorer")), len(section.select("details:not([open])"))
    formulas, frames = len(section.select("div.math")), len(section.select(".admonition"))
    total: float = screen.explorer * explorers + 36 * folds + 53 * formulas + 30 * frames
    hidden = {id(tag) for box in section.select(UNSEEN) for tag in (box, *box.find_all(True))}
    kinds = {
        TEXT: screen.text,
        "h2, h3, h4": screen.title,
        "tr": screen.row,
        "pre": screen.code,
        "img[height]": screen.picture,
    }
    for selector, measure in kinds.items():
        for tag in section.select(selector):
            if id(tag) not in hidden and (selector == "tr" or not tag.find_parent("tr")):
                total += measure(tag)
    return round(total)


def guessed(body: str) -> str:
    """Return a page whose sections say how tall they are about.

    Args:
        body: the markup of the page.
    """
    page = BeautifulSoup(INLINE.sub("", body), "html.parser")
    for section in page.select("section section:not(section section section)"):
        sizes = "; ".join(f"--{name}: {height(section, screen)}px" for name, screen in SCREENS.items())
        start = f'<section id="{section["id"]}"'
        body = body.replace(f"{start}>", f'{start} class="far-section" style="{sizes}">', 1)
    return body


def _guess(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if page.startswith("chapters/"):
        context["body"] = guessed(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", _guess, priority=900)  # when figures have their sizes
    return {"parallel_read_safe": True, "parallel_write_safe": True}
