"""The icons that the pages show and no others: the theme brings two thousand, 150 KB, for about twenty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fontTools import subset  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from sphinx.application import Sphinx

RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
CODE = re.compile(r'"\\([0-9a-f]{4})"')
NAME = re.compile(r"fa-([a-z0-9-]+)")
SOURCE = re.compile(
    r"url\((?P<path>[^)]*/fa-[\w-]+)\.woff2\) ?format\(\"woff2\"\),url\([^)]*\) ?format\(\"truetype\"\)"
)


def used(pages: set[str], style: str) -> Iterator[int]:
    """The codes of the icons that a style sheet names by a class of the pages, or draws by itself."""
    for selectors, declarations in RULE.findall(style):
        names = set(NAME.findall(selectors))
        for code in CODE.findall(declarations):
            if not names or names & pages:
                yield int(code, 16)


def names(folder: Path) -> set[str]:
    """The icons that the pages of a site name."""
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.html"))
    return {name for text in texts for name in NAME.findall(text)}


def cut(font: Path, codes: set[int]) -> None:
    """Write the font beside its file with these icons alone."""
    whole = TTFont(font)
    tailor = subset.Subsetter(subset.Options(layout_features=[], notdef_outline=True))
    tailor.populate(unicodes=codes & set(whole.getBestCmap()))
    tailor.subset(whole)
    whole.flavor = "woff"
    whole.save(font.with_suffix(".woff"))


def _cut_all(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    styles = {path: path.read_text(encoding="utf-8") for path in static.rglob("*.css")}
    pages = names(Path(app.outdir))
    codes = {code for style in styles.values() for code in used(pages, style)}
    for font in (static / "vendor" / "fontawesome" / "webfonts").glob("*.ttf"):
        cut(font, codes)
        font.unlink()
        font.with_suffix(".woff2").unlink()
    for path, style in styles.items():
        if SOURCE.search(style):
            path.write_text(SOURCE.sub(r'url(\g<path>.woff) format("woff")', style), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", _cut_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
