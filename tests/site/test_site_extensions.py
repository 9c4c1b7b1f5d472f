"""The Sphinx extensions of the book, one by one."""

from io import StringIO
from pathlib import Path

import belief_cards
import claim_links
import claims_table
import docstrings
import katex_math
import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from theme_fixes import FIXES, SCRIPT, TAB_STOPS, Fix

import topics
from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import Entry, concluded
from tutorial_utils.claims.registry import Claim, Evidence, Method, Verdict


def test_formula_becomes_html_and_mathml():
    html = katex_math.render(r"\sigma_w^2", display=False)
    assert 'class="katex-html"' in html and "<math" in html


@pytest.mark.parametrize("tex", [r"\nosuch", "x^", r"\frac{1}", r"\begin{aligned} a", r"\label{a}"])
def test_bad_formula_is_refused(tex):
    with pytest.raises(ValueError, match="KaTeX"):
        katex_math.render(tex, display=True)


@pytest.mark.parametrize(
    "tex, expected",
    [
        (r"a \\ b", r"\begin{aligned}a \\ b\end{aligned}"),
        (r"\begin{align}a\end{align}", r"\begin{align*}a\end{align*}"),
        (r"\begin{cases}a \\ b\end{cases}", r"\begin{cases}a \\ b\end{cases}"),
        ("a", "a"),
    ],
)
def test_standalone(tex, expected):
    assert katex_math.standalone(tex) == expected
    katex_math.render(expected, display=True)


@pytest.mark.parametrize(
    ("tex", "text", "marks"),
    [("x^2", ", and", [","]), ("x^2", " and", [None]), (r"\sum" * 20, ", and", [None]), ("x", ".”", [".”"])],
)
def test_a_short_formula_keeps_its_punctuation(tex, text, marks):
    paragraph = nodes.paragraph("", "", nodes.math(text=tex), nodes.Text(text))
    katex_math.keep_punctuation(None, paragraph, "page")
    assert [formula.get("punctuation") for formula in paragraph.findall(nodes.math)] == marks
    assert paragraph.astext().removeprefix(tex) == text.removeprefix(marks[0] or "")


def test_bad_formula_is_a_warning_and_fails_a_strict_build(tmp_path):
    (tmp_path / "index.rst").write_text("Title\n=====\n\n:math:`x^2` and\n\n.. math:: \\nosuch\n")
    settings = {"extensions": ["katex_math"], "html_math_renderer": "katex"}
    folders = [tmp_path, None, tmp_path / "out", tmp_path / "trees"]
    warnings = StringIO()
    app = Sphinx(*folders, "html", settings, None, warnings, warningiserror=True, keep_going=True)
    app.build()
    assert r"index.rst:6: WARNING: KaTeX parse error: Undefined control sequence: \nosuch" in warnings.getvalue()
    assert app.statuscode == 1
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert 'class="katex"' in page and "katex/fonts/KaTeX_Main-Regular.woff2" in page


# What the theme writes, and what it has to be.
MARKUP = {
    "1.5 MB": ('<script defer src="_static/scripts/fontawesome.js?digest=1"></script>', ""),
    "85 KB": ('<script src="searchindex.js"></script>', ""),
    "the viewport": ('<meta name="viewport" content="width=device-width, initial-scale=1"/>', ""),
    "the name of the search": (
        '<button class="btn search-button-field search-button__button pst-js-only" title="Search" aria-label="Search">',
        '<button class="btn search-button-field search-button__button pst-js-only">',
    ),
    "the name of a folded": ('<summary aria-label="Toggle hidden content">', "<summary>"),
    "a paragraph is not": (
        '<p class="collapsed admonition-title">Setup</p>',
        '<span class="collapsed admonition-title">Setup</span>',
    ),
    "pandas gives": ("<style scoped>\n    .dataframe {}\n</style>", ""),
    "an attribute of pandas": ('<th colspan="4" halign="left">', '<th colspan="4">'),
    "a second title": (
        '<div id="jb-print-docs-body" class="onlyprint"><h1>He</h1><div id="print-main-content">'
        '<div id="jb-print-toc">\n'
        "<div>\n<h2>Contents</h2></div>\n<nav><ul></ul></nav></div>\n</div>\n</div>",
        "",
    ),
    "the arrow": (
        '<summary><span class="toctree-toggle">',
        '<summary aria-label="Pages of this section"><span class="toctree-toggle">',
    ),
    "the empty corner": ("<th></th>", "<td></td>"),
    "doc-biblioentry": ('<div role="doc-biblioentry">', '<div role="listitem">'),
    "the sidebar": (
        '<div id="pst-primary-sidebar" class="bd">',
        '<div id="pst-primary-sidebar" role="complementary" aria-label="Book" class="bd">',
    ),
}


def test_every_fix_has_markup_to_be_tested_on():
    assert len(MARKUP) == len(FIXES) and all(any(f.why.startswith(key) for key in MARKUP) for f in FIXES)


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.why)
def test_fix(fix):
    before, after = next(markup for key, markup in MARKUP.items() if fix.why.startswith(key))
    assert fix.symptom in before
    assert fix.apply(f"<p>{before}</p>") == (f"<p>{after}</p>", None)


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.why)
def test_fix_tells_when_the_markup_has_changed(fix):
    page, complaint = fix.apply("<html>nothing of the kind</html>")
    assert page == "<html>nothing of the kind</html>" and bool(complaint) is fix.everywhere


def test_fix_tells_when_its_fault_is_left():
    fix = Fix(why="why", pattern=r'<b id="a">', replacement="<b>", symptom='id="a"', everywhere=False)
    assert fix.apply("<b>") == ("<b>", None)
    assert "is left" in fix.apply('<b lang="en" id="a">')[1]


def test_the_theme_asks_no_box_for_its_width(html):
    script = (html / "_static" / SCRIPT).read_text("utf-8")
    assert "MutationObserver" in script and TAB_STOPS.symptom not in script
    loop = 'document.querySelectorAll(["pre",".a > .b"].join(", ")).forEach(e=>{e.tabIndex=e.scrollWidth>1?0:-1})'
    assert TAB_STOPS.apply(f"const e=()=>{{{loop}}},t") == ("const e=()=>{},t", None)
    assert TAB_STOPS.apply("new script")[1]


def test_returns_is_prose():
    lines = ["Sum.", "", "Returns:", "    Two columns: a and b."]
    docstrings.mark_as_prose(lines)
    assert lines[3] == "    : Two columns: a and b."


def test_what_describes_a_constant_is_prose():
    lines = ["Behind namespaces: where a worker may write."]
    docstrings.mark_value_as_prose(lines)
    assert GoogleDocstring(lines, what="data", name="DESK").lines() == ["Behind namespaces: where a worker may write."]


def claim(**changes):
    about = {
        "statement": "a < b",
        "source": "folklore",
        "topic": "glorot",
        "quantity": "q",
        "unit": "",
    }
    return Claim(
        **about | {"id": "x", "holds": (1.0, 2.0), "method": Method.MEAN, "seeds": 8, "measure": dict} | changes
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.012345, "−0.0123"), (0.0, "0"), (float("-inf"), "−∞"), (1234.0, "1.23e+03")],
)
def test_number_of_the_ledger(value, text):
    assert claims_table.number(value) == text


@pytest.mark.parametrize("holds", [(1.0, 2.0), (1.0, float("inf")), (float("-inf"), 2.0), (0.0, 0.0)])
def test_the_drawing_of_a_claim(holds):
    """The dot lies in the band exactly if the effect does; everything is inside the picture."""
    inside, outside = (
        Evidence("a", max(holds[0], 0.0), 0.0, 0.0, 8),
        Evidence("b", 7.0 * (holds[1] < 7) - 7.0, 0.0, 0.0, 8),
    )
    entry = concluded(claim(holds=holds), (inside, outside), (outside._replace(condition="a"), inside))
    svg = BeautifulSoup(claims_table.drawing(claim(holds=holds), entry.sets), "html.parser")
    left, width = (float(svg.rect[name]) for name in ("x", "width"))
    places = [float(dot["cx"]) for dot in svg("circle")]
    assert left <= places[0] <= left + width
    assert not left <= places[1] <= left + width or holds[0] <= outside.effect <= holds[1]
    assert len(places) == 4 and svg("circle")[2]["class"] == ["set1"]
    assert all(0 <= place <= claims_table.WIDTH for place in [*places, left])


def measured_twice(about):
    """Deep networks agree, shallow ones refute, wide ones do either; LayerNorm is a control."""
    effects = {"deep": (1.5, 1.6), "shallow": (3, 3), "wide": (1.5, 3), "LayerNorm": (1.5, 1.5)}
    first, second = (
        tuple(Evidence(name, both[number], both[number], both[number], 8) for name, both in effects.items())
        for number in (0, 1)
    )
    return concluded(about, first, second)


def words(html):
    return " ".join(BeautifulSoup(html, "html.parser").get_text(" ").split())


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("PyTorch docs; Ioffe and Szegedy (2015), algorithm 2", ["papers", "PyTorch and Keras"]),
        ("source text, by its example; folklore", ["folklore", "the text this book grew from"]),
        ("this book", ["this book"]),
    ],
)
def test_the_kinds_of_a_source(source, kinds):
    assert claims_table.kinds(source) == kinds


def test_every_source_is_of_some_kind():
    assert [about.source for about in CLAIMS.values() if not claims_table.kinds(about.source)] == []


def test_the_row_of_a_claim():
    about = claim(
        unit="decades",
        controls=("LayerNorm",),
        data=("digits", "mnist"),
        preprocessing=("global", "pixel"),
        optimizer=("SGD",),
        budget="100 steps, batch 32",
    )
    html = claims_table.row(about, measured_twice(about), "<a href='p.html#s'>S</a>")
    row = BeautifulSoup(html, "html.parser")
    assert row.tr["id"] == "x" and row.a["href"] == "p.html#s" and row.tr["data-verdict"] == "in_some_cases"
    for part in (
        "a < b folklore",
        "agrees from 1 to 2",
        "deep: 1.5 decades [1.5, 1.5]; again 1.6 [1.6, 1.6]: agrees",
        "shallow: 3 decades [3, 3]; again 3 [3, 3]: refutes",
        "wide: 1.5 decades [1.5, 1.5]; again 3 [3, 3] ≠ : open",
        "LayerNorm: 1.5 decades [1.5, 1.5]; again 1.5 [1.5, 1.5]: control",
        "true in some cases : deep",
        "universal Data: digits, mnist Pixels standardized: global, pixel Optimizer: SGD Budget: 100 steps, batch 32 "
        "Controls: LayerNorm Seeds: twice 8",
    ):
        assert part in words(html)


def test_a_belief_that_measured_wrong(monkeypatch):
    about = claim(controls=("LayerNorm",), unit="decades")
    monkeypatch.setitem(belief_cards.CLAIMS, "x", about)
    entry = measured_twice(about)
    assert words(belief_cards.card(entry)) == (
        "a < b folklore Where does it hold? nowhere in some cases Held in some cases q; 1 to 2 would agree. "
        "shallow: 3 decades [3, 3]: refutes deep: 1.5 decades [1.5, 1.5]: agrees 2 more in its row in the ledger"
    )
    only = tuple(one for one in entry.sets[0] if one.condition == "shallow")
    assert "Held nowhere" in words(belief_cards.card(concluded(about, only, only)))


def test_cards_take_a_topic_at_a_time(monkeypatch):
    topics_of = {"a": "he", "b": "he", "c": "glorot", "d": "glorot"}
    monkeypatch.setattr(belief_cards, "CLAIMS", {id: claim(id=id, topic=topic) for id, topic in topics_of.items()})
    entries = [Entry(id, Verdict.SUPPORTED if id == "d" else Verdict.REFUTED, {}, ()) for id in topics_of]
    assert [one.id for one in belief_cards.wrong(entries)] == ["a", "c", "b"]


def test_a_tip_says_where_a_statement_holds_if_that_is_short(monkeypatch):
    monkeypatch.setitem(claim_links.CLAIMS, "x", claim())
    entry = measured_twice(claim(controls=("LayerNorm",)))
    assert words(claim_links.closing(entry, "tip")) == "a < b true in some cases: deep"
    monkeypatch.setattr(claim_links, "ROOM", 10)
    assert words(claim_links.closing(entry, "tip")) == "a < b true in some cases"


def test_a_list_of_evidence_says_verdict_statement_and_where_it_holds(monkeypatch):
    monkeypatch.setitem(claim_links.CLAIMS, "x", claim())
    entry = measured_twice(claim(controls=("LayerNorm",)))
    assert (
        words(claim_links.line(entry, "e.html#x")) == "true in some cases a < b (true for: deep | false for: shallow)"
    )
    monkeypatch.setattr(claim_links, "LINE", 3)
    assert words(claim_links.line(entry, "e.html#x")).endswith("a < b (the ledger has the cases in which it is true)")


@pytest.mark.parametrize(("number", "where"), [(3, "Chapter 3"), (None, "Appendix")])
def test_a_claim_leads_to_its_section(number, where):
    page = topics.Page("he", Path("he"), number)
    found = claims_table.link(page, "He's `.data` < x", "he.html")
    assert found == f"<a href='he.html#hes-data-x'>{where}: He&#x27;s <code>.data</code> &lt; x</a>"


def test_the_counts_of_the_ledger():
    entries = [Entry(name, verdict, {}, ()) for name, verdict in zip("abcd", [*Verdict][:2] * 2, strict=True)]
    assert claims_table.counts(entries) == "4 claims: 2 supported, 2 refuted."
    assert claims_table.counts(entries[:1]) == "1 claim: 1 supported."
