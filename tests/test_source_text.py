"""The thirteen statements of the source text, and what became of them."""

import pytest

from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims.ledger import Entry, load
from tutorial_utils.claims.registry import Outcome, Verdict
from tutorial_utils.claims.source_text import COLUMNS, STATEMENTS, Statement, over_data, verdict

STORED = load()
AGREES, REFUTES, OPEN, CONTROL = Outcome


def test_thirteen_statements_with_claims_that_measure_them() -> None:
    assert len(STATEMENTS) == 13 == len({one.name for one in STATEMENTS})
    assert not {id for one in STATEMENTS for id in one.claims} - set(CLAIMS)
    scopes = {one.name: {CLAIMS[id].scope for id in one.claims} for one in STATEMENTS}
    assert all(len(scope) == 1 for scope in scopes.values())  # one rule for all conditions of a statement


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: one.name)
def test_the_sentence_rests_on_the_ledger_s_verdict(statement: Statement) -> None:
    assert verdict(statement, STORED) == statement.verdict


def test_every_claim_that_names_the_source_text_is_among_theirs() -> None:
    measured = {id for one in STATEMENTS for id in one.claims} | {"start-matters-without-normalization"}
    named = {id for id, about in CLAIMS.items() if about.source.startswith("source text")}
    assert named <= measured | {"linear-default-bound"}


def entries(**outcomes: Outcome) -> dict[str, Entry]:
    ids = "bn-less-covariate-shift", "bn-less-gradient-shift"
    named = {name.replace("_", ", "): outcome for name, outcome in outcomes.items()}
    return {id: Entry(id, Verdict.UNDECIDED, named if id == ids[0] else {"digits, pixel": AGREES}, ()) for id in ids}


SHIFT = next(one for one in STATEMENTS if one.name == "covariate shift")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ({"digits_global": AGREES}, Verdict.SUPPORTED),
        ({"digits_global": REFUTES}, Verdict.IN_SOME_CASES),
        ({"digits_global": OPEN}, Verdict.UNDECIDED),
        ({"digits_global": CONTROL}, Verdict.SUPPORTED),
    ],
)
def test_a_statement_must_hold_under_all_conditions_of_all_claims(
    outcomes: dict[str, Outcome], expected: Verdict
) -> None:
    assert verdict(SHIFT, entries(**outcomes)) is expected


def test_the_table_over_data() -> None:
    found = over_data(STORED | entries(digits_global=REFUTES, mnist_global=AGREES, mnist_pixel=OPEN)).loc[SHIFT.name]
    words = {"digits, global": "fails", "digits, pixel": "holds", "mnist, global": "holds", "mnist, pixel": "open"}
    assert dict(found[list(COLUMNS)]) == dict.fromkeys(COLUMNS, "") | words
    assert found.verdict == Verdict.IN_SOME_CASES and found.sentence == SHIFT.sentence
    assert list(over_data().index) == [one.name for one in STATEMENTS]


@pytest.mark.parametrize(
    ("outcomes", "cell"),
    [
        ([REFUTES, OPEN], "fails, open"),  # an open one hides no refutation
        ([OPEN, AGREES], "holds, open"),
        ([REFUTES, AGREES, REFUTES], "holds, fails"),
        ([OPEN, REFUTES, AGREES], "holds, fails, open"),
        ([OPEN, CONTROL], "open"),
        ([CONTROL], ""),
    ],
)
def test_a_cell_of_the_table_says_what_all_conditions_there_say(outcomes: list[Outcome], cell: str) -> None:
    named = {f"{letter}, mnist_global": outcome for letter, outcome in zip("abc", outcomes, strict=False)}
    assert over_data(STORED | entries(**named)).loc[SHIFT.name, "mnist, global"] == cell
