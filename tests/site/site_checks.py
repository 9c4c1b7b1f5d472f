"""What is wrong with a page, as lists of sentences, empty when nothing is; test_site_checks.py makes each one fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import axe_playwright_python
from bs4 import BeautifulSoup
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

HTML = Path(__file__).parents[2] / "book" / "_build" / "html"
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
WIDE, PHONE = 1280, 360
# A fetched stylesheet's @import would be resolved against the page, so axe must not fetch any.
# A formula and the words of a program are most of a page and have no role of their own, but axe walks through each of
# their elements: a minute on a long chapter. So while it looks, they are plain text of the same size.
RUN_AXE = """async () => {
  const boxes = [...document.querySelectorAll('.katex, .highlight pre')].map((box) => {
    const {width, height} = box.getBoundingClientRect();
    return {box, inside: [...box.childNodes], style: box.style.cssText, width, height};
  });
  for (const {box, width, height} of boxes) {
    box.replaceChildren(box.textContent);
    if (box.matches('.katex'))
      box.style.cssText += `display: inline-block; overflow: hidden; width: ${width}px; height: ${height}px`;
  }
  const found = await axe.run({
    preload: false, resultTypes: ['violations'], rules: {'color-contrast': {enabled: false}}});
  for (const {box, inside, style} of boxes) { box.replaceChildren(...inside); box.style.cssText = style; }
  return found;
}"""

# For contrast axe looks at what lies behind each word, which takes longer than everything else. Words of one color and
# size on one background have one contrast, so the first of each kind stands for all.
RUN_CONTRAST = """() => {
  const backdrop = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const {backgroundColor, backgroundImage, opacity} = getComputedStyle(at);
      layers.push(backgroundColor, backgroundImage, opacity);
      if (backgroundColor.startsWith('rgb(')) break;  // an opaque one; what is not opaque is rgba(...)
    }
    return layers;
  };
  for (const element of document.querySelectorAll('[data-contrast]')) delete element.dataset.contrast;
  const kinds = new Set(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest('script, style, noscript, .katex')) continue;
    const {color, fontSize, fontWeight} = getComputedStyle(element);
    const kind = [color, fontSize, fontWeight, ...backdrop(element)].join();
    if (!kinds.has(kind)) element.dataset.contrast = kinds.add(kind).size;
  }
  return axe.run({include: [['[data-contrast]'], ['input'], ['select'], ['textarea']], exclude: [['.katex']]}, {
    preload: false, resultTypes: ['violations', 'incomplete'], runOnly: ['color-contrast']});
}"""

# Formulas that nobody typeset, in text a reader sees; code may show them.
UNRENDERED = r"""() => {
  const found = [...document.querySelectorAll('.katex-error')].map((e) => e.textContent);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest('script, style, noscript, code, pre, .katex')) continue;
    if (/\$[^$]+\$|\\[a-zA-Z]{2,}/.test(node.data)) found.push(node.data.trim());
  }
  return found;
}"""

IMAGES = r"""() => [...document.images].flatMap((image) => {
  const name = image.getAttribute('src'), alt = image.getAttribute('alt'), problems = [];
  if (image.complete && !image.naturalWidth) problems.push(`${name} does not load`);
  if (alt === null) problems.push(`${name} has no alt`);
  else if (image.closest('article') && (alt.trim().length < 15 || /_images|\.(png|svg|jpe?g)$/.test(alt)))
    problems.push(`${name} has the alt ${JSON.stringify(alt)}`);
  return problems;
})"""

# A section that is laid out only near the reader cuts off what sticks out of it.
TOO_WIDE = """() => {
  const boxes = [document.documentElement, ...document.querySelectorAll('.far-section')];
  const excess = Math.max(...boxes.map((box) => box.scrollWidth - box.clientWidth));
  if (excess <= 0) return [];
  const sticksOut = (element) => element.getBoundingClientRect().right > innerWidth + 1;
  const culprits = [...document.querySelectorAll('article *')].filter(sticksOut);
  return [`${excess} px too wide for ${innerWidth}, first: ${culprits[0]?.outerHTML.slice(0, 120)}`];
}"""

LAY_OUT = ".far-section { content-visibility: visible !important }"
AT_ONCE = "*, ::before, ::after { transition: none !important }"  # a color on its way to another has no contrast yet
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

IDLE_TAB_STOPS = """() => [...document.querySelectorAll('article [role=group][tabindex="0"]')]
  .filter((box) => box.scrollWidth <= box.clientWidth + 1).map((box) => box.outerHTML.slice(0, 120))"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this computer; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Visit:
    """An open page, and what went wrong since it began to load."""

    def __init__(self, context: BrowserContext, address: str, width: int = WIDE) -> None:
        self.problems: list[str] = []
        self.host = urlsplit(address).netloc
        self.page: Page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("request", self._request)
        self.page.on("requestfailed", lambda request: self.problems.append(f"request failed: {request.url}"))
        self.page.on("response", self._response)
        self.page.goto(address, wait_until="load")
        self.page.evaluate("document.fonts.ready.then(() => true)")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in (self.host, ""):
            self.problems.append(f"request to another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status}: {response.url}")

    def resize(self, width: int) -> None:
        """Change the width of the window and wait for the page to follow."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.evaluate(TWO_FRAMES)

    def follow(self, theme: str) -> None:
        """Change the theme of the reader's system and wait for the page to follow."""
        self.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        self.page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")

    def draw(self) -> None:
        """Go to the first explorer, which loads what draws all of them, and wait until they are drawn."""
        waiting = "document.querySelector(':is(good-explorer, .laboratory):not(.explorer)')"
        self.page.evaluate(f"{waiting}?.scrollIntoView()")
        self.page.wait_for_function(f"!{waiting}")

    def content(self) -> list[str]:
        """Return unrendered formulas and images that do not load or have no meaningful alternative."""
        formulas = [f"unrendered formula: {text}" for text in self.page.evaluate(UNRENDERED)]
        return formulas + [str(problem) for problem in self.page.evaluate(IMAGES)]

    def layout(self) -> list[str]:
        """Return what makes the page scroll sideways, and tab stops on boxes that do not scroll."""
        idle = [f"tab stop without scrolling: {box}" for box in self.page.evaluate(IDLE_TAB_STOPS)]
        return [str(problem) for problem in self.page.evaluate(TOO_WIDE)] + idle

    def contrast(self) -> list[str]:
        """Return words too close to the color of their background, and those that may have the same color."""
        result = self._axe(RUN_CONTRAST)
        unsure = [node for rule in result["incomplete"] for node in rule["nodes"] if _equal_ratio(node)]
        broken = [node for rule in result["violations"] for node in rule["nodes"]]
        return [f"color-contrast: {node['html'][:150]}" for node in broken + unsure]

    def accessibility(self) -> list[str]:
        """Return what axe finds with all of its rules but that of contrast."""
        result = self._axe(RUN_AXE)
        return [f"{rule['id']}: {node['html'][:150]}" for rule in result["violations"] for node in rule["nodes"]]

    def _axe(self, run: str) -> dict[str, Any]:
        """What a script finds by axe, which is half a megabyte and is loaded once a page."""
        if self.page.evaluate("typeof axe === 'undefined'"):
            self.page.add_script_tag(path=AXE)
            # It asks each element where it is: minutes if each makes a layout.
            self.page.add_style_tag(content=LAY_OUT + AT_ONCE)
            self.page.evaluate(TWO_FRAMES)
        found: dict[str, Any] = self.page.evaluate(run)
        return found


def _equal_ratio(node: dict) -> bool:
    data = [check["data"] for check in node["any"]]
    return any(isinstance(item, dict) and item.get("messageKey") == "equalRatio" for item in data)


def pages(folder: Path) -> list[str]:
    """Return the pages of a site by their path from its folder; fragments of the theme and redirections are none."""
    found = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}
    return sorted(name for name, text in found.items() if "</html>" in text and 'http-equiv="refresh"' not in text)


def broken_links(folder: Path) -> list[str]:
    """Return the links of all pages that lead to no file or to no place on the page."""

    @cache
    def soup(path: Path) -> BeautifulSoup:
        return BeautifulSoup(path.read_text("utf-8"), "html.parser")

    @cache
    def places(path: Path) -> set[str]:
        return {tag.get("id") or tag.get("name") for tag in soup(path).find_all(True)}

    def is_broken(page: Path, link: str) -> bool:
        address, place = urldefrag(link)
        target = (page.parent / unquote(urlsplit(address).path)).resolve() if address else page
        if not target.is_file():
            return True
        return bool(place) and target.suffix == ".html" and unquote(place) not in places(target)

    return [
        f"{name}: {link}"
        for name in pages(folder)
        for link in sorted({tag["href"] for tag in soup(folder / name).find_all("a", href=True)})
        if not urlsplit(link).scheme and link != "#" and is_broken((folder / name).resolve(), link)
    ]
