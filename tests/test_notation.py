"""The page Notation keeps its promise: one meaning for a symbol on a page, and no Greek letter left out."""

import re
from collections import Counter
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[1] / "book"
GREEK = (
    "alpha|beta|gamma|Gamma|delta|Delta|epsilon|varepsilon|zeta|eta|theta|iota|kappa|lambda|Lambda|mu|nu|xi|Xi|rho|"
    "sigma|Sigma|tau|upsilon|phi|varphi|Phi|chi|psi|Psi|omega|Omega"
)
LETTER = re.compile(rf"\\({GREEK})(?![A-Za-z])")
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
CODE = re.compile(r"^(`{3,}).*?^\1", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, Path]:
    """The chapters and appendices by topic."""
    found = [*(BOOK / "chapters").glob("*.md"), *(BOOK / "appendices").glob("*.md")]
    return {re.sub(r"^\d+-", "", path.stem): path for path in found}


def rows(text: str) -> list[list[str]]:
    """The cells of all rows of all tables, without headings."""
    lines = [line for line in text.splitlines() if line.startswith("| $")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def symbols(cell: str) -> list[str]:
    """The symbols of a first cell; the parts of an equation or a list count one by one."""
    return [part.strip() for formula in re.findall(r"\$([^$]+)\$", cell) for part in re.split(r" = |,\\ ", formula)]


def tables() -> tuple[list[list[str]], list[list[str]]]:
    """The rows that hold for the whole book, and those of single chapters."""
    everywhere, local = (BOOK / "notation.md").read_text(encoding="utf-8").split("(local-symbols)=")
    return rows(everywhere), rows(local)


def topics(cell: str) -> list[str]:
    """The topics that the last cell of a local row links to."""
    return [link.rpartition("/")[2].removesuffix(".md") for link in re.findall(r"\]\(#?([^)]+)\)", cell)]


def formulas(page: Path) -> str:
    return "\n".join(FORMULA.findall(CODE.sub("", page.read_text(encoding="utf-8"))))


def shared_meanings(everywhere: list[list[str]], local: list[list[str]]) -> list[str]:
    """The symbols that have two meanings on one page."""
    general = [symbol for first, *_ in everywhere for symbol in symbols(first)]
    places = [(symbol, topic) for first, *_, last in local for symbol in symbols(first) for topic in topics(last)]
    twice = [symbol for symbol, count in Counter(general).items() if count > 1]
    return twice + [f"{s} on {t}" for (s, t), n in Counter(places).items() if n > 1 or s in general]


def test_no_symbol_has_two_meanings_on_one_page() -> None:
    everywhere, local = tables()
    assert len(everywhere) > 30
    assert len(local) > 20
    assert shared_meanings(everywhere, local) == []


def test_two_meanings_are_noticed() -> None:
    decay, slope = ["$\\lambda$", "weight decay", "", ""], ["$\\lambda$", "stability", "[a](#any)"]
    assert shared_meanings([decay, decay], []) == ["\\lambda"]
    assert shared_meanings([decay], [slope]) == ["\\lambda on any"]
    assert shared_meanings([], [slope, ["$\\tau$, $\\lambda$", "another", "[a](#any)"]]) == ["\\lambda on any"]


def letters(local: list[list[str]], topic: str) -> set[str]:
    return {letter for first, *_, last in local if topic in topics(last) for letter in LETTER.findall(first)}


@pytest.mark.parametrize("topic", pages())
def test_every_greek_letter_of_a_page_is_listed_for_it(topic: str) -> None:
    everywhere, local = tables()
    known = {letter for first, second, *_ in everywhere for letter in LETTER.findall(first + second)}
    used = set(LETTER.findall(formulas(pages()[topic])))
    assert used - known - letters(local, topic) == set()


def test_local_symbols_are_used_where_the_table_says() -> None:
    for first, _, last in tables()[1]:
        for topic in topics(last):
            assert topic in pages(), topic
            text = formulas(pages()[topic])
            for symbol in symbols(first):
                head = re.split(r"[_^ (]", symbol)[0]
                assert re.search(rf"(?<![A-Za-z\\]){re.escape(head)}(?![A-Za-z])", text), (symbol, topic)
