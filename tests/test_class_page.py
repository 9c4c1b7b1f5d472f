"""The page of a class: its numbers add up, what students wrote is text, and nothing is loaded or run."""

import csv
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

from browser import ADVICE, executable
from tutorial_utils.exercises import EXERCISES
from tutorial_utils.grading import class_page, overview, similarity
from tutorial_utils.grading.overview import Answer, Overview, Question, Submission

pytestmark = pytest.mark.slow

FORWARD = Question("bn-forward", "Forward", "bn-forward-check", ("bn-forward-solution",), 3)
WHY = Question("why", "Why?", "why", ("why",), 2, is_code=False)
BIASED = "Not yet. " + next(one.hint for one in EXERCISES["bn-forward"].mistakes if "m - 1" in one.hint)
ATTACK = "</pre><script>alert(1)</script><img src=//x.example/a onerror=alert(2)>{{ 7 * 7 }}\u202e"


def submission(student: str, points: float, state: str, said: str = "", source: str = "", **more: object) -> Submission:
    answer = Answer(student, FORWARD, points, state, said, source or f"def f(x):\n    return {len(student)}")
    essay = Answer(student, WHY, 0, "waiting", "", "words")
    return Submission(student, points, 0, [answer, essay], **more)  # type: ignore[arg-type]


def a_class() -> Overview:
    given = [
        submission("ada", 3, "right", "Right.", when="2027-05-01 10:00", seconds=4.0),
        submission("bob", 0, "wrong", BIASED, "long = 1\n" * 50, when="2027-05-02 10:00", seconds_late=7200.0),
        submission("eve", 0, "wrong", BIASED.replace(" by ", "\nby ") + "\nYou gave 3.", "short = 1"),
        submission("mal", 1.5, "part", f"Not yet. Your code raised {ATTACK}", ATTACK),
        Submission("zoe", 0, 0, [], failed=ATTACK),
    ]
    return Overview("ps1", "Forward & back", 5, [FORWARD, WHY], given, ["nil"], "2027-05-01 12:00:00")


def test_the_numbers_add_up() -> None:
    shown = a_class()
    assert [one.student for one in shown.graded] == ["ada", "mal", "bob", "eve"]
    assert (shown.mean, shown.middle, shown.waiting) == (4.5 / 4, 0.75, 4)
    assert shown.counts(FORWARD) == {"right": 1, "part": 1, "wrong": 2, "open": 0, "waiting": 0}
    assert [one.student for one in shown.stuck] == ["eve", "bob"]
    assert sum(count for _, _, count in shown.distribution()) == 4
    assert shown.distribution()[-1][:2] == (4, 5)


def test_a_misconception_is_counted_whatever_stands_around_it_and_shown_by_the_shortest_answer() -> None:
    first, second = a_class().misconceptions
    assert first.misconception.known
    assert first.misconception.words.startswith("You divided the squares by m - 1.")
    assert (first.students, first.sample) == (["bob", "eve"], "short = 1")
    assert not second.misconception.known


def test_an_answer_that_stands_elsewhere_is_no_example() -> None:
    asked = FORWARD._replace(given="def f(x):\n    raise NotImplementedError")
    stub = Answer("bob", asked, 0, "wrong", BIASED, f"{asked.given}\n")
    answered = Answer("eve", asked, 0, "wrong", BIASED, "def f(x):\n    return x.var(0) * len(x) / (len(x) - 1)")
    for answers, shown in (([stub], ""), ([stub, answered], answered.source)):
        given = [Submission(one.student, 0, 0, [one]) for one in answers]
        a_class = Overview("ps1", "Forward", 3, [asked], given)
        assert a_class.misconceptions[0].sample == shown
        assert ("Written elsewhere" in class_page.page(a_class)) is (shown == "")


def test_what_students_wrote_is_text() -> None:
    page = class_page.page(a_class())
    soup = BeautifulSoup(page, "html.parser")
    assert not soup.find_all(["script", "img", "iframe", "object", "link"])
    assert not [tag for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert "{{ 7 * 7 }}" in soup.get_text()
    assert "\u202e" not in page
    assert "Not graded: </pre><script>" in soup.get_text()


def test_a_class_of_nobody_has_a_page_too(tmp_path: Path) -> None:
    empty = Overview("ps1", "Nothing", 0, [], [])
    assert "no answer that was written is wrong" in class_page.page(empty)
    overview.write_table(empty, tmp_path / "x.csv")


def test_the_table_says_what_the_page_says(tmp_path: Path) -> None:
    overview.write_table(a_class(), tmp_path / "class" / "ps1.csv")
    with (tmp_path / "class" / "ps1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert next(row["students"] for row in rows if row["about"] == "misconception") == "2"
    assert [row["what"] for row in rows if row["about"] == "stuck"] == ["eve", "bob"]


LONG = """def f(x, gamma):
    mean = x.mean(0, keepdim=True)
    spread = ((x - mean) ** 2).mean(0, keepdim=True) + 0.25
    scaled = (x - mean) * spread.rsqrt() @ torch.eye(3).T
    return gamma * scaled.clamp(-7, 7) + len(str(spread))"""


def test_renamed_and_commented_copies_are_alike_and_what_everybody_wrote_is_not() -> None:
    copy = LONG.replace("spread", "s").replace("mean =", "m =  ").replace("- mean", "- m") + "  # mine"
    other = "\n".join(f"def f{n}(x):\n    return torch.ones({n}, 3).cumsum({n}) / {n}" for n in range(9))
    (pair,) = similarity.alike({"ada": LONG, "bob": copy, "eve": other}, least=20)
    assert (pair.first, pair.second, pair.same) == ("ada", "bob", False)
    assert similarity.alike({"ada": LONG, "bob": copy}, given=LONG, least=20) == []
    assert similarity.alike({"ada": "def broken(:", "bob": "'" * 999}) == []


def test_equal_code_of_many_is_one_line_and_hides_no_other_pair() -> None:
    texts = dict.fromkeys("abcd", LONG) | {"x": LONG.replace("0.25", "0.5"), "y": LONG.replace("0.25", "0.5")}
    texts |= {"z": LONG.replace("spread", "s")}
    groups = similarity.grouped(similarity.alike(texts, least=20))
    assert [(group.students, group.same) for group in groups[:2]] == [(list("abcd"), True), (["x", "y"], True)]
    assert (["a", "z"], False) in [(group.students, group.same) for group in groups[2:]]


def test_the_page_fits_a_phone_asks_nobody_and_hides_names(tmp_path: Path) -> None:
    path = executable()
    if path is None:
        pytest.fail(ADVICE)
    (tmp_path / "ps1.html").write_text(class_page.page(a_class()), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 800})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.goto((tmp_path / "ps1.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert len(asked) == 1
        assert page.locator("a.who").first.evaluate("one => getComputedStyle(one).fontSize") != "0px"
        page.uncheck("#names")
        assert page.locator("a.who").first.evaluate("one => getComputedStyle(one).fontSize") == "0px"
        browser.close()
