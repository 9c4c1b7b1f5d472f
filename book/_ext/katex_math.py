"""Sphinx math renderer: KaTeX at build time, so that a page needs no script to show a formula.

A formula that KaTeX rejects is a Sphinx warning, which ``-W`` turns into a failed build.
KaTeX itself, its stylesheet and its fonts are in the folder ``katex`` beside this file.

Why not MathML alone: on chapter ``he`` at the width of a phone it leaves out a third of the elements (12,400 instead of
18,300). But since ``book.css`` lays out only the sections near the reader, that saves .2 of .95 seconds of processor
(2.9 when all sections are laid out), and it looks worse in Temml with Latin Modern Math or STIX Two Math: no space
between ``n`` and ``Var[w]``, primes that float, indices that hang low, lines of text that move apart.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from py_mini_racer import JSEvalException, MiniRacer
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

KATEX = Path(__file__).parent / "katex"
STYLESHEET = "katex/katex.min.css"
FONTS_OF_EVERY_FORMULA = ("KaTeX_Main-Regular", "KaTeX_Math-Italic")
PUNCTUATION = re.compile(r"[.,;:!?)\]’”]+")
SHORT = 30
"""Characters of a formula that need not be wrapped, so that what follows it stays beside it."""
log = logging.getLogger(__name__)


@cache
def _katex() -> MiniRacer:
    """Return the JavaScript engine with KaTeX loaded: one for the whole build."""
    engine = MiniRacer()
    engine.eval((KATEX / "katex.min.js").read_text("utf-8"))
    return engine


@cache
def render(tex: str, *, display: bool) -> str:
    """Return HTML with MathML for one formula.

    Args:
        tex: The formula, without dollar signs.
        display: Whether it stands on a line of its own.

    Raises:
        ValueError: If KaTeX does not accept the formula; the message is KaTeX's.
    """
    options = {"displayMode": display, "throwOnError": True, "strict": "error", "output": "htmlAndMathml"}
    try:
        return str(_katex().call("katex.renderToString", tex, options))
    except JSEvalException as error:
        message = re.search(r"ParseError: (.*)", str(error))
        raise ValueError(message[1] if message else str(error)) from error


def standalone(tex: str) -> str:
    r"""Return the display formula as KaTeX wants it: line breaks in an environment, no numbers of its own.

    The number of an equation is its MyST label's, so ``align`` becomes ``align*``.
    """
    if "\\\\" in tex and "\\begin{" not in tex:
        return rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return re.sub(r"\\(begin|end)\{(align|gather|equation|alignat)\}", r"\\\1{\2*}", tex)


def _html(self: HTML5Translator, node: nodes.Element, *, display: bool) -> str:
    tex = node.astext()
    try:
        return render(standalone(tex) if display else tex, display=display)
    except ValueError as error:
        log.warning("%s, in the formula %r", error, tex, location=node, type="katex")
        return f"<code>{self.encode(tex)}</code>"


def visit_inline(self: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula in a sentence."""
    after = node.get("punctuation", "")
    self.body.append('<span class="math-in-text">' if after else "")
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(_html(self, node, display=False) + "</span>")
    self.body.append(f"{self.encode(after)}</span>" if after else "")
    raise nodes.SkipNode


def keep_punctuation(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Give a short formula the punctuation that follows it: a browser would begin a line with it."""
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(nodes.Text, descend=False, siblings=True)
        adjacent = after is not None and after.parent is formula.parent and _follows(formula, after)
        mark = PUNCTUATION.match(after.astext()) if adjacent and len(formula.astext()) <= SHORT else None
        if mark:
            formula["punctuation"] = mark[0]
            after.parent.replace(after, nodes.Text(after.astext()[mark.end() :]))


def _follows(first: nodes.Node, second: nodes.Node) -> bool:
    return bool(first.parent.index(second) == first.parent.index(first) + 1)


def visit_display(self: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula on its own line, with the number of its label."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(_html(self, node, display=True) + "</div>\n")
    raise nodes.SkipNode


def _preload_fonts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Fetch the fonts of every formula together with the stylesheet: fewer shifts while a page opens."""
    if doctree is None or next(doctree.findall(lambda n: isinstance(n, nodes.math | nodes.math_block)), None) is None:
        return
    for font in FONTS_OF_EVERY_FORMULA:
        href = context["pathto"](f"_static/katex/fonts/{font}.woff2", resource=True)
        link = f'<link rel="preload" as="font" type="font/woff2" crossorigin href="{href}" />\n'
        context["metatags"] = context.get("metatags", "") + link


def _add_stylesheet(app: Sphinx) -> None:
    app.config.html_static_path.append(str(KATEX / "static"))
    app.add_css_file(STYLESHEET)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer ``katex``; ``html_math_renderer`` selects it."""
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.connect("builder-inited", _add_stylesheet)
    app.connect("doctree-resolved", keep_punctuation)
    app.connect("html-page-context", _preload_fonts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
