"""What Jupyter Book 1 and its theme put on a page, mended while the page is written.

Every fix says why it is there and how to notice that the theme no longer writes what it expects:
Sphinx then warns, and ``-W`` fails the build.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.jinja2glue import BuiltinTemplateLoader
from sphinx.util import logging

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fix:
    """One replacement in the markup of a page.

    Attributes:
        why: What is wrong without it.
        pattern: Regular expression for the theme's markup.
        replacement: What to write instead.
        symptom: Text that shows the fault; none may be left after the replacement.
        everywhere: Whether each page has the fault, so that a page without a match is news.
    """

    why: str
    pattern: str
    replacement: str
    symptom: str
    everywhere: bool = True

    def apply(self, page: str) -> tuple[str, str | None]:
        """Return the mended page and, if the theme is not as expected, what to tell the builder."""
        mended, count = re.subn(self.pattern, self.replacement, page, flags=re.DOTALL)
        if self.symptom in mended:
            return mended, f"the theme's markup has changed: {self.symptom!r} is left ({self.why})"
        if self.everywhere and not count:
            return mended, f"the theme's markup has changed: nothing matches {self.pattern!r} ({self.why})"
        return mended, None


FIXES = (
    Fix(
        why="1.5 MB script that redraws icons the stylesheet already draws",
        pattern=r'<script defer src="[^"]*fontawesome\.js[^"]*"></script>',
        replacement="",
        symptom="fontawesome.js",
    ),
    Fix(
        why="85 KB on every page for a search that is not used: assets/search.js loads its own when it is wanted",
        pattern=r'<script src="([^"]*(?:searchtools|language_data|searchindex)\.js[^"]*)"></script>',
        replacement="",
        symptom="searchindex.js",
    ),
    Fix(
        why="the viewport is declared twice",
        pattern=r'<meta name="viewport" content="width=device-width, initial-scale=1" ?/>',
        replacement="",
        symptom='content="width=device-width, initial-scale=1"/>',
    ),
    Fix(
        why="the name of the search button must contain the words on it (WCAG 2.5.3)",
        pattern=r'(<button class="btn search-button-field[^>]*?) title="Search" aria-label="Search"',
        replacement=r"\1",
        symptom='search-button-field search-button__button pst-js-only" title=',
    ),
    Fix(
        why="the name of a folded cell must contain the words on it (WCAG 2.5.3)",
        pattern=r'<summary aria-label="Toggle hidden content">',
        replacement="<summary>",
        symptom="Toggle hidden content",
        everywhere=False,
    ),
    Fix(
        why="a paragraph is not allowed in the summary of a folded cell",
        pattern=r'<p class="((?:collapsed|expanded) admonition-title)">(.*?)</p>',
        replacement=r'<span class="\1">\2</span>',
        symptom='<p class="collapsed admonition-title">',
        everywhere=False,
    ),
    Fix(
        why="pandas gives a table a style that HTML no longer allows there, and the book has its own",
        pattern=r"<style scoped>.*?</style>",
        replacement="",
        symptom="<style scoped>",
        everywhere=False,
    ),
    Fix(
        why="an attribute of pandas' headers that HTML does not know",
        pattern=r'(<th colspan="\d+") halign="\w+"',
        replacement=r"\1",
        symptom='" halign="',
        everywhere=False,
    ),
    Fix(
        why="the arrow that opens a part of the table of contents has no name",
        pattern=r'<summary>(<span class="toctree-toggle")',
        replacement=r'<summary aria-label="Pages of this section">\1',
        symptom='<summary><span class="toctree-toggle"',
    ),
    Fix(
        why="the empty corner of a pandas table is a header of nothing",
        pattern=r"<th></th>",
        replacement="<td></td>",
        symptom="<th></th>",
        everywhere=False,
    ),
    Fix(
        why="doc-biblioentry is deprecated and not allowed inside a list",
        pattern=r'role="doc-biblioentry"',
        replacement='role="listitem"',
        symptom="doc-biblioentry",
        everywhere=False,
    ),
    Fix(
        why="a second title, without the number of the chapter, and contents without page numbers, for paper only",
        pattern=r'<div id="jb-print-docs-body" class="onlyprint">.*?</div>\s*</div>\s*</div>',
        replacement="",
        symptom="jb-print-docs-body",
        everywhere=False,  # not on search.html
    ),
    Fix(
        why="the sidebar is in no landmark, so a screen reader cannot jump to it",
        pattern=r'<div id="pst-primary-sidebar"',
        replacement='<div id="pst-primary-sidebar" role="complementary" aria-label="Book"',
        symptom='<div id="pst-primary-sidebar" class',
    ),
)


SCRIPT = "scripts/pydata-sphinx-theme.js"
TAB_STOPS = Fix(
    why="asks each box for its width, over and over, so that all sections are laid out at once: assets/book.js does it",
    pattern=r'const e=\(\)=>\{document\.querySelectorAll\(\["pre",[^}]*?\.tabIndex=[^}]*\}\)\}',
    replacement="const e=()=>{}",
    symptom=".tabIndex=e.scrollWidth",
)
"""What is mended in the theme's script rather than on its pages."""


class MendingTemplates(BuiltinTemplateLoader):
    """Sphinx's own template engine, followed by the fixes."""

    def render(self, template: str, context: dict[str, Any]) -> str:  # type: ignore[override]
        """Return the page, mended; the theme also renders parts of a page, which are left as they are."""
        page = super().render(template, context)
        if "</html>" not in page:
            return page
        for fix in FIXES:
            page, complaint = fix.apply(page)
            if complaint:
                log.warning("%s", complaint, location=context.get("pagename"), type="theme_fixes")
        return page


def _defer_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Let no script hold up the first paint; inline scripts read ``documentation_options.js``, so it stays as it is."""
    for script in context["script_files"]:
        name = str(script.filename or "")
        if name and "documentation_options" not in name and not {"defer", "async", "type"} & set(script.attributes):
            script.attributes["defer"] = "defer"


def _mend_script(app: Sphinx, failure: Exception | None) -> None:
    path = Path(app.outdir) / "_static" / SCRIPT
    if failure or not path.exists():
        return
    mended, complaint = TAB_STOPS.apply(path.read_text("utf-8"))
    if complaint:
        raise ExtensionError(complaint)
    path.write_text(mended, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the fixes; the setting ``template_bridge`` names ``MendingTemplates``."""
    # After the theme's own hooks (priority 500), which add scripts.
    app.connect("html-page-context", _defer_scripts, priority=900)
    app.connect("build-finished", _mend_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
