"""What search engines and messages show of a page: title, description, picture, address; and the page for lost readers.

What needs the address of the site is there only if it is known, which tools/website.py finds out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import shorten
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes  # type: ignore[import-untyped]
from section_search import said
from sphinx.application import Sphinx

CARD = "_static/card.png"
CARD_SAYS = "Good Starts: four lines that show what reaches each layer of a deep network, for four initializations"
SUBJECT = "Neural-network initialization and batch normalization"
LICENSE = "https://creativecommons.org/licenses/by/4.0/"
ROOM = 155
"""Characters of a description that a search engine shows."""
SEARCHED_AS = {
    "why-the-start-matters": "Weight initialization in neural networks",
    "variance-through-a-layer": "Variance of activations, fan-in",
    "glorot": "Xavier (Glorot) initialization",
    "any-activation-any-layer": "Which initialization for ReLU, GELU, tanh",
    "reset-parameters": "PyTorch default initialization, kaiming_uniform_ a=sqrt(5)",
    "initialize-your-model": "Initialize weights in PyTorch",
    "every-default": "Default initialization of every torch.nn layer",
    "batchnorm-training": "Batch normalization, forward and backward",
    "batchnorm-inference": "Batch normalization in eval mode, running_mean, momentum",
    "batchnorm-clinic": "Batch normalization problems, worse in eval mode",
    "what-batchnorm-buys": "Benefits of batch normalization",
    "scale-invariance": "Effective learning rate, weight decay with BatchNorm",
    "why-batchnorm-helps": "Internal covariate shift, loss landscape",
    "batchnorm-in-depth": "Batch normalization, exploding gradients, initial beta",
}
"""Words that people search for and the heading of a chapter lacks, by topic; they stand in the title of the window."""
SIGNS = {r"\pm": "±", r"\sqrt": "√", r"\beta": "β", r"\gamma": "γ", r"\text": ""}
HOME = "Start page"
"""What the sidebar calls the first page, whose heading fills three lines there."""
LOST = (
    "<h1>This page does not exist</h1><p>It may have moved. <a href='search.html'>Search the book</a>, "
    "or go to the <a href='index.html'>start page</a>.</p>"
)


def words(text: str) -> str:
    r"""Make one line of text, its formulas as plain as they can be.

    >>> words(r"variance 2/(n_\text{in} + n_\text{out})")
    'variance 2/(n_in + n_out)'
    """
    for tex, sign in SIGNS.items():
        text = text.replace(tex, sign)
    return " ".join(re.sub(r"[\\{}$]", "", text).split())


def description(doctree: nodes.document | None) -> str:
    """The beginning of a page's first paragraph, which in a chapter is that of *In short*."""
    paragraph = next(doctree.findall(nodes.paragraph), None) if doctree else None
    return shorten(words(paragraph.astext()), ROOM, placeholder=" …") if paragraph is not None else ""


def title(page: str, heading: str, root: str) -> str:
    """What a window and a search engine call a page."""
    if page == root:
        return SUBJECT
    topic = re.sub(r"^\d\d-", "", page.rpartition("/")[2])
    more = SEARCHED_AS.get(topic) if page.startswith("chapters/") else None
    return f"{more} | {heading}" if more else heading


def meta(about: dict[str, str]) -> str:
    """The tags of the head; what begins with og: is a property, the rest are names."""
    kinds = {name: "property" if name.startswith("og:") else "name" for name in about}
    tags = (f'<meta {kinds[name]}="{name}" content="{escape(value)}" />' for name, value in about.items() if value)
    return "\n".join(tags) + "\n"


def card(name: str, site: str, said_of: str, url: str, base: str) -> dict[str, str]:
    """What a message shows of a link to a page."""
    shown = {"og:type": "article", "og:site_name": site, "og:title": name, "og:description": said_of, "og:url": url}
    picture = {"og:image": base + CARD, "og:image:width": "1200", "og:image:height": "630", "og:image:alt": CARD_SAYS}
    return shown | picture | {"twitter:card": "summary_large_image"}


def linked_data(page: str, root: str, about: dict[str, str], site: str, base: str) -> dict[str, Any] | None:
    """What a machine may know of the book and of a chapter."""
    book = {"@type": "Book", "name": site, "alternateName": SUBJECT, "url": base}
    common = {"@context": "https://schema.org", "inLanguage": "en", "license": LICENSE, **about}
    if page == root:
        return common | book
    if page.startswith(("chapters/", "appendices/")):
        return common | {"@type": "TechArticle", "headline": re.sub(r"^\d+\. ", "", about["name"]), "isPartOf": book}
    return None


def questions(doctree: nodes.document) -> Iterator[dict[str, Any]]:
    """The sections of a page whose heading asks, each with what it answers."""
    for section in doctree.findall(nodes.section):
        heading = section.next_node(nodes.title)
        if heading is not None and heading.parent is section and heading.astext().endswith("?"):
            answer = {"@type": "Answer", "text": said(section)}
            yield {"@type": "Question", "name": words(heading.astext()), "acceptedAnswer": answer}


def _script(data: dict[str, Any] | None) -> str:
    text = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    return f'<script type="application/ld+json">{text}</script>\n' if data else ""


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Name and describe a page in its head."""
    root, site, base = app.config.root_doc, app.config.html_title, app.config.html_baseurl
    heading = re.sub("<[^>]*>", "", context.get("title", ""))
    context["root_title"] = HOME
    context["title"] = title(page, heading, root)
    about = description(doctree)
    tags = meta({"description": about})
    if base and doctree is not None:
        url = context["pageurl"]
        tags += meta(card(context["title"], site, about, url, base))
        tags += _script(linked_data(page, root, {"name": heading, "description": about, "url": url}, site, base))
    if page == "answers" and doctree is not None and (asked := list(questions(doctree))):
        tags += _script({"@context": "https://schema.org", "@type": "FAQPage", "mainEntity": asked})
    # The server shows the page for lost readers at any address, so its links start at the root of the site.
    lost = f'<base href="{escape(urlsplit(base).path or "/")}" />\n' if page == "404" else ""
    context["metatags"] = lost + context.get("metatags", "") + tags


def add_lost(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make the page for lost readers."""
    yield "404", {"title": "Page not found", "body": LOST, "display_toc": False}, "page.html"


def write_lists(app: Sphinx, error: Exception | None) -> None:
    """Write the list of pages for search engines, and mend what the page for lost readers links to itself."""
    if error or app.builder.format != "html":
        return
    folder, base = Path(app.outdir), app.config.html_baseurl
    lost = folder / "404.html"
    lost.write_text(lost.read_text("utf-8").replace('href="#', 'href="404.html#'), "utf-8")
    if not base:
        return
    pages = "".join(f"<url><loc>{escape(base)}{name}.html</loc></url>\n" for name in sorted(app.env.found_docs))
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    (folder / "sitemap.xml").write_text(f"{head}{pages}</urlset>\n", "utf-8")
    (folder / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n", "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", describe, priority=900)
    app.connect("html-collect-pages", add_lost)
    app.connect("build-finished", write_lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
