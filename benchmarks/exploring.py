"""How fast the explorers of the built site answer, and what their pages cost.

Per explorer, over moves of each control, in milliseconds: "script", until the explorer has answered an input event;
"in frame", until the browser has also laid out and painted the answer, if the event comes as a frame begins, which is
when browsers hand over a slider that is dragged; "to frame", the same if the event comes at any time, as that of a key
does, so with the wait for the next frame, half a frame on average. An answer within one frame of a screen with 60 a
second is one whose "in frame" is below 16.7. Per page: bytes of a first visit, as they are and as `gzip -9` sends
them, requests to other hosts, and milliseconds until the formulas stand, which is the first frame, since the build has
made them.
"""

import gzip
import re
import statistics
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from playwright.sync_api import Browser, Response, sync_playwright

from browser import ADVICE, executable

SITE = Path(__file__).parents[1] / "book" / "_build" / "html"
MOVES = 30
FRAME = 1000 / 60
# Moves come at odd times and as a frame begins, in turns, and never before the last one is drawn.
MEASURE = """async ({ name, moves }) => {
  const root = document.getElementById(name), controls = [...root.querySelectorAll('[data-control]')];
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const afterPaint = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now());
    channel.port2.postMessage(0);
  });
  const change = async (control) => {
    await new Promise((done) => setTimeout(done, 20 + Math.random() * 17));
    control.value = (+control.value + 1) % (control.options?.length ?? +control.max + 1);
  };
  const times = [];
  root.scrollIntoView();
  for (let move = 0; move < moves + 5; move++) {
    const control = controls[move % controls.length];
    await change(control);
    let start = performance.now();
    control.dispatchEvent(new Event('input', { bubbles: true }));
    const script = performance.now() - start;
    await frame();
    const toFrame = (await afterPaint()) - start;
    await change(control);
    await frame();
    start = performance.now();
    control.dispatchEvent(new Event('input', { bubbles: true }));
    times.push([script, (await afterPaint()) - start, toFrame]);
  }
  return times.slice(5);
}"""
PAINTED = """() => ({
  formulas: document.querySelectorAll('.katex').length,
  milliseconds: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN })"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves the site and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def visit(browser: Browser, url: str, names: list[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Open a page as a new reader does; measure each of its explorers, and the page."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    hosts: list[str] = []
    responses: list[Response] = []
    page.on("request", lambda request: hosts.append(urlsplit(request.url).netloc))
    page.on("response", lambda response: responses.append(response))
    page.goto(url, wait_until="networkidle")
    cost = page.evaluate(PAINTED)
    bodies = [response.body() for response in responses if response.ok]
    row = {
        "KB": sum(map(len, bodies)) / 1e3,
        "KB gz": sum(len(gzip.compress(body)) for body in bodies) / 1e3,
        "other hosts": sum(host not in ("", urlsplit(url).netloc) for host in hosts),
        "formulas": cost["formulas"],
        "drawn ms": cost["milliseconds"],
    }
    speed = [answers(name, page.evaluate(MEASURE, {"name": name, "moves": MOVES})) for name in names]
    page.context.close()
    return speed, row


def answers(name: str, times: list[list[float]]) -> dict[str, Any]:
    """Summarize the times of an explorer."""
    row: dict[str, Any] = {"explorer": name}
    for what, values in zip(("script", "in frame", "to frame"), zip(*times, strict=True), strict=True):
        row |= {f"{what} median": statistics.median(values), f"{what} worst": max(values)}
    return row


def main() -> int:
    """Print a table of the explorers and one of their pages; the exit code."""
    texts = {path: path.read_text("utf-8") for path in sorted(SITE.rglob("*.html"))}
    found = {path: re.findall(r'<good-explorer id="([^"]+)"', text) for path, text in texts.items()}
    found |= {path: ["laboratory"] for path, text in texts.items() if 'id="laboratory" class="laboratory"' in text}
    program = executable()
    if program is None or not any(found.values()):
        print(ADVICE if program is None else "There is no site with explorers. Run: make book", file=sys.stderr)
        return 1
    explorers: list[dict[str, Any]] = []
    pages: dict[str, dict[str, Any]] = {}
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server,
        sync_playwright() as playwright,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for path, names in found.items():
            if names:
                name = path.relative_to(SITE).as_posix()
                speed, pages[name] = visit(browser, f"http://127.0.0.1:{server.server_port}/{name}", names)
                explorers += speed
        browser.close()
        server.shutdown()
    print(pd.DataFrame(explorers).round(1).to_string(index=False))
    print(f"(milliseconds, {MOVES} moves each; a frame at 60 Hz lasts {FRAME:.1f})\n")
    print(pd.DataFrame(pages).T.round(0).astype(int).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
