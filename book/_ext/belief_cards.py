"""Statements that somebody holds and that measured wrong, as cards: ``{belief-cards}`` on the Evidence page.

A card asks first where the statement held; ``ledger.js`` then shows what was measured. Without scripts all of it is
there to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import chain, zip_longest

from claims_table import Ledger, drawing, effect, number
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import Entry
from tutorial_utils.claims.registry import Claim, Outcome, Verdict

GUESSES = {Verdict.REFUTED: "nowhere", Verdict.IN_SOME_CASES: "in some cases"}
"""The verdicts of what measured wrong, each as an answer to "Where does it hold?"."""
OPEN = 6
"""How many cards stand outside the fold."""
SHOWN = {Outcome.REFUTES: 2, Outcome.AGREES: 1}
"""How many conditions of each kind a card shows; the row in the ledger has all."""


def wrong(entries: Sequence[Entry]) -> list[Entry]:
    """Choose the statements that measured wrong and were held by others, a topic at a time in turn."""
    held = [one for one in entries if one.verdict in GUESSES and not CLAIMS[one.id].source.startswith("derivation")]
    by_topic: dict[str, list[Entry]] = {}
    for one in held:
        by_topic.setdefault(CLAIMS[one.id].topic, []).append(one)
    return [one for one in chain.from_iterable(zip_longest(*by_topic.values())) if one]


def shown(entry: Entry) -> Iterator[str]:
    """Name the conditions that a card shows: first against the statement, then for it."""
    for kind, most in SHOWN.items():
        yield from entry.cases(kind)[:most]


def measured(claim: Claim, entry: Entry) -> str:
    """What was measured: the verdict, the drawing, and the effect under each condition that is shown."""
    names = list(shown(entry))
    first, *again = ([one for name in names for one in found if one.condition == name] for found in entry.sets)
    lines = [
        f"<p>{escape(one.condition)}{': ' if one.condition else ''}{effect(one, unit(claim))}: "
        f"<em>{entry.outcomes[one.condition]}</em></p>"
        for one in first
    ]
    left = len(entry.outcomes) - len(names)
    more = f"{left} more in " if left else "All of it in "
    about = f"{escape(claim.quantity)}; {number(claim.holds[0])} to {number(claim.holds[1])} would agree"
    return (
        f"<p class='verdict'>Held {GUESSES[entry.verdict]}</p><p class='source'>{about}.</p>"
        f"{drawing(claim, [first, *again])}{''.join(lines)}<p>{more}<a href='#{claim.id}'>its row in the ledger</a></p>"
    )


def unit(claim: Claim) -> str:
    """The unit of a claim, with the space before it."""
    return f" {escape(claim.unit)}" if claim.unit else ""


def card(entry: Entry) -> str:
    """One statement: who says so, a question, and what was measured."""
    claim = CLAIMS[entry.id]
    buttons = "".join(f"<button type='button' aria-pressed='false'>{words}</button>" for words in GUESSES.values())
    return (
        f"<li class='belief' data-verdict='{entry.verdict.name.lower()}' data-held='{GUESSES[entry.verdict]}'>"
        f"<p class='statement'>{escape(claim.statement)}</p><p class='source'>{escape(claim.source)}</p>"
        f"<div class='belief-guess' role='group' aria-label='Where does it hold?'>Where does it hold? {buttons}</div>"
        f"<output></output><div class='finding'>{measured(claim, entry)}</div></li>"
    )


def cards(entries: Sequence[Entry]) -> str:
    """The first cards, and a fold with the others."""
    made = [card(one) for one in entries]
    lists = [f"<ul class='beliefs'>{''.join(part)}</ul>" for part in (made[:OPEN], made[OPEN:])]
    more = f"<details class='more-beliefs'><summary>{len(made[OPEN:])} more</summary>{lists[1]}</details>"
    return f"<p class='belief-score' role='status'></p>{lists[0]}{more}"


class BeliefCards(Ledger):
    """Put the cards here."""

    def run(self) -> list[nodes.Node]:
        """Make the cards of all that measured wrong."""
        return [nodes.raw("", cards(wrong(list(self.stored().values()))), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("belief-cards", BeliefCards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
