"""Each check of the site fails on a page that has the fault, and only that check."""

import pytest
from site_checks import PHONE, broken_links, served

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
TEMPLATE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Test</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"></head>
<body><main><article><h1>Test</h1>{}</article></main></body></html>"""


@pytest.fixture
def visit(open_page, tmp_path):
    """A function that opens a page with the given content."""
    with served(tmp_path) as url:

        def open_content(content):
            (tmp_path / "page.html").write_text(TEMPLATE.format(content), "utf-8")
            return open_page(url + "page.html", width=PHONE)

        yield open_content


def test_a_sound_page_passes(visit):
    sound = visit(f'<p>Text, <code>$x$</code></p><img src="{PIXEL}" alt="A line that falls with the depth">')
    problems = sound.problems + sound.content() + sound.layout()
    assert problems + sound.accessibility() + sound.contrast() == []


@pytest.mark.parametrize(
    "content, problem",
    [
        ("<script>console.error('oh')</script>", "console: oh"),
        ("<script>let a = 1; let a = 2</script>", "page error"),
        ("<script src='missing.js'></script>", "404"),
        ("<script src='https://cdn.example.org/x.js'></script>", "another host: https://cdn.example.org"),
    ],
)
def test_loading(visit, content, problem):
    assert problem in " ".join(visit(content).problems)


@pytest.mark.parametrize(
    "content, problem",
    [
        ("<p>so $x^2$ is</p>", "unrendered formula"),
        (r"<p>a \frac{1}{2}</p>", "unrendered formula"),
        ("<span class='katex-error'>x^</span>", "unrendered formula"),
        (f"<img src='{PIXEL}'>", "no alt"),
        (f"<img src='{PIXEL}' alt=''>", "has the alt"),
        (f"<img src='{PIXEL}' alt='_images/0123456789abcdef.png'>", "has the alt"),
        ("<img src='missing.png' alt='A line that falls with the depth'>", "does not load"),
    ],
)
def test_content(visit, content, problem):
    assert problem in " ".join(visit(content).content())


@pytest.mark.parametrize(
    "content, problem",
    [
        ("<div style='width: 600px'>wide</div>", "px too wide"),
        ("<pre role='group' tabindex='0'>short</pre>", "tab stop without scrolling"),
    ],
)
def test_layout(visit, content, problem):
    assert problem in " ".join(visit(content).layout())


@pytest.mark.parametrize(
    "content, problem",
    [
        ("<p style='color: #999; background: #fff'>pale</p>", "color-contrast"),
        ("<p style='color: #fff; background: #fff'>the same color</p>", "color-contrast"),
        ("<p>dark</p><p style='background: #444'>as dark, on dark</p>", "as dark, on dark"),
        ("<p>large</p><p style='opacity: 0.3'><b>see-through</b></p>", "see-through"),
        (
            "<div class='highlight'><pre>a <span>of</span> <span style='color: #bbb'>pale</span></pre></div>",
            "pale</span>",
        ),
        ("<button></button>", "button-name"),
    ],
)
def test_accessibility(visit, content, problem):
    opened = visit(content)
    assert problem in " ".join(opened.accessibility() + opened.contrast())


@pytest.mark.parametrize("link", ["missing.html", "page.html#missing", "#missing", "../page.html"])
def test_links(tmp_path, link):
    (tmp_path / "page.html").write_text(TEMPLATE.format(f"<a href='{link}'>there</a>"), "utf-8")
    assert broken_links(tmp_path) == [f"page.html: {link}"]


def test_sound_links(tmp_path):
    links = "".join(f"<a href='{link}'>x</a>" for link in ("#here", "page.html#here", "https://example.org/x", "#"))
    (tmp_path / "page.html").write_text(TEMPLATE.format(f"<p id='here'>{links}</p>"), "utf-8")
    assert broken_links(tmp_path) == []
