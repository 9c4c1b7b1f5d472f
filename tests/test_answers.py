"""The answers of the book: every line of code runs, every call draws the stated variance, every number is measured."""

import math
import re
from functools import cache

import answers
import nbformat
import pytest
import torch
from answers import Question, Row
from torch import nn
from torch.nn import init

import topics
from tutorial_utils.claims.ledger import load
from tutorial_utils.data import digits
from tutorial_utils.gains import gain
from tutorial_utils.initializers import fans

ROWS = [row for part in answers.rows().values() for row in part]
QUESTIONS = [one for group in answers.questions().values() for one in group]
STORED = load()
MAX_WIDTH = 80
"""Characters in a line of code: what the page shows on a laptop without scrolling sideways."""
PRINTS = re.compile(r"print\(.*\)  # (.+)$", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?![\w]|\.\d)")


@pytest.fixture(scope="module")
def digits_batch():
    data = digits(generator=torch.Generator().manual_seed(0))
    return data.x_train[:64].float(), data.y_train[:64]


@pytest.fixture
def reader(digits_batch):
    """What a reader has: the imports of the page, a model, one of its layers, and a batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    x, y = digits_batch
    theirs = {"model": model, "layer": nn.Linear(256, 256), "x": x, "y": y, "real": x, "fake": x}
    return {"torch": torch, "nn": nn, "init": init} | theirs


# --- the decision table -------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_the_call_draws_the_stated_variance(row: Row, reader) -> None:
    names = reader | {"layer": eval(row.layer, reader), "L": 8, "d": 256, "h": 64, "T": 20, "math": math}
    names["fan_in"] = fans(names["layer"]).fan_in if hasattr(names["layer"], "kernel_size") else 400
    exec(row.call, names)
    weight, stated = eval(row.of, names), eval(row.variance, names)
    assert weight.square().mean().item() == pytest.approx(stated, rel=0.08, abs=1e-12)


@pytest.mark.parametrize("row", [row for row in ROWS if row.gain], ids=lambda row: row.what)
def test_the_stated_variance_is_that_of_the_exact_gain(row: Row) -> None:
    numerator = eval(row.variance, {"fan_in": 1})
    assert numerator == pytest.approx(gain(eval(row.gain)) ** 2, rel=0.005)


def test_the_table_covers_what_people_ask_for() -> None:
    text = " ".join(f"{row.what} {row.where}" for row in ROWS)
    asked = "leaky ReLU, GELU, SiLU, ELU, SELU, tanh, sigmoid, softmax, embedding, linear output layer, residual"
    asked += ", BatchNorm, LayerNorm, convolution, depthwise, transposed convolution, transformer, RNN, LSTM"
    assert [name for name in asked.split(", ") if name not in text] == []


# --- the questions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", QUESTIONS, ids=lambda one: one.ask)
def test_the_code_runs_and_prints_what_its_comment_says(one: Question, reader, capsys) -> None:
    exec(one.code, reader)
    printed = ", ".join(capsys.readouterr().out.splitlines())
    if stated := PRINTS.findall(one.code):
        assert printed == ", ".join(stated)


def test_answers_are_short() -> None:
    assert [one.ask for one in QUESTIONS if not 1 <= len(re.findall(r"[.?](?=\s|$)", one.answer)) <= 5] == []
    assert [one.ask for one in QUESTIONS if len(one.answer.split()) > 75] == []
    assert [line for one in QUESTIONS for line in one.code.splitlines() if len(line) > MAX_WIDTH] == []


@cache
def chapter(page: topics.Page) -> str:
    return str(nbformat.read(page.file, as_version=4).cells)


def typed_numbers(one: Question) -> list[str]:
    """The numbers of an answer that are of no claim, and neither in its code nor in the chapter that it leads to."""
    known = set(NUMBER.findall(f"{one.ask} {one.code} {chapter(answers.place(one.at).page)}"))
    typed = NUMBER.findall(re.sub(r"`.+?`", " ", answers.EFFECT.sub(" ", one.answer)))
    return [number for number in typed if number not in known]


def test_every_number_is_of_the_ledger_the_code_or_the_chapter() -> None:
    assert {one.ask: found for one in QUESTIONS if (found := typed_numbers(one))} == {}
    assert typed_numbers(QUESTIONS[0]._replace(answer="It is 0.1234, not {{x}}.")) == ["0.1234"]


def test_no_question_is_asked_twice() -> None:
    asked = [one.ask for one in QUESTIONS]
    assert len(asked) == len(set(asked)) >= 40


# --- what both say of the ledger and the chapters -----------------------------------------------------


def test_an_effect_is_the_ledger_s() -> None:
    value = STORED["glorot-relu-halves"].sets[0][0].effect
    assert answers.measured("{{glorot-relu-halves: forward}}", STORED) == f"{value:.2g}"
    assert answers.measured("{{% glorot-relu-halves: forward}}", STORED) == f"{100 * value:.2g}"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: answers.place("hee#x"), "no page is called 'hee', but why-the-start-matters"),
        (lambda: answers.place("he#x"), "he has no section 'x', but .*forward-variance"),
        (lambda: answers.measured("{{he-keeps: x}}", STORED), "no claim is called 'he-keeps'"),
        (lambda: answers.measured("{{he-keeps-second-moment: up}}", STORED), "no condition 'up', but 'forward'"),
    ],
)
def test_what_is_not_there_is_named(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_the_landing_page_has_six_rows_of_the_table() -> None:
    text = (topics.ROOT / "book" / "intro.md").read_text(encoding="utf-8")
    chosen = [landing_row(row) for row in ROWS if row.landing]
    assert len(chosen) == 6
    assert [row for row in chosen if row not in text] == [], "paste these lines into book/intro.md"


def landing_row(row: Row) -> str:
    """A row of the decision table as the landing page shows it."""
    id, _, condition = row.claims[0].partition(": ")
    said = "measured" if condition else answers.SHORT[STORED[id].verdict]
    return f"| {row.what} | `{row.call}` | {row.why} ([{said}](#{id})) |"
