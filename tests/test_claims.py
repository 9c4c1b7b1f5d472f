"""Every claim of the ledger, measured again on seeds the book does not use; and the ledger must be able to say no."""

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils import normalization, stack
from tutorial_utils.claims import CLAIMS
from tutorial_utils.claims import __main__ as command
from tutorial_utils.claims.ledger import Entry, changes, load, measure, measure_all, quick_seeds, save
from tutorial_utils.claims.registry import Claim, Evidence, Method, Verdict, claim, interval
from tutorial_utils.initializers import SCHEMES

BOOK = Path(__file__).parents[1] / "book"
STORED = load()


@pytest.mark.parametrize("id", CLAIMS)
def test_the_verdict_holds_on_other_seeds(id: str) -> None:
    """``make fragility`` does this again with two threads and the instructions of an older processor."""
    found = measure(id, range(10_000, 10_000 + quick_seeds(CLAIMS[id])))
    assert not changes(STORED, {id: found}), found


def test_the_ledger_has_every_claim_and_no_other() -> None:
    assert list(STORED) == list(CLAIMS)
    assert all(entry.evidence[0].seeds == CLAIMS[id].seeds for id, entry in STORED.items())


@pytest.mark.parametrize("id", CLAIMS)
def test_no_verdict_is_typed(id: str) -> None:
    entry, about = STORED[id], CLAIMS[id]
    assert about.verdict(entry.evidence) == entry.verdict
    assert tuple(about.agreeing(entry.evidence)) == entry.agreeing


def test_the_statements_of_the_source_text_are_among_them() -> None:
    sources = [about.source for about in CLAIMS.values()]
    assert sum(source.startswith("source text") for source in sources) >= 13
    assert sum(not source.startswith("source text") for source in sources) >= 30


@pytest.mark.parametrize("id", CLAIMS)
def test_a_claim_and_its_section_lead_to_each_other(id: str) -> None:
    text = (BOOK / "chapters" / f"{CLAIMS[id].chapter}.md").read_text(encoding="utf-8")
    sections = re.split(r"^#{2,3} (.+)$", text, flags=re.MULTILINE)
    content = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert CLAIMS[id].section in content
    assert f"](#{id})" in content[CLAIMS[id].section]


def test_every_badge_leads_to_a_claim() -> None:
    chapters = "".join(path.read_text(encoding="utf-8") for path in (BOOK / "chapters").glob("*.md"))
    badges = [
        id
        for line in re.findall(r"^Evidence: (.*)$", chapters, re.MULTILINE)
        for id in re.findall(r"\]\(#([\w-]+)\)", line)
    ]
    assert sorted(badges) == sorted(CLAIMS)


# Wrong implementations: the ledger must say no


def changed(ids: Iterable[str]) -> set[str]:
    """The claims whose verdict, or conditions, are no longer the stored ones."""
    found = {id: measure(id, range(10_000, 10_000 + quick_seeds(CLAIMS[id]))) for id in ids}
    return {line.split(":")[0] for line in changes(STORED, found)}


def test_a_gain_of_one_for_relu_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, scheme in SCHEMES.items():
        if name.startswith("kaiming"):
            monkeypatch.setitem(SCHEMES, name, scheme._replace(nonlinearity="linear"))
    claims = {"he-keeps-second-moment", "he-weights-follow-previous-layer", "residual-blocks-double"}
    assert changed(claims) == claims


class Stale(nn.BatchNorm1d):
    """Statistics that never move."""

    def forward(self, z: Tensor) -> Tensor:
        if not self.training:
            return super().forward(z)
        return functional.batch_norm(z, None, None, self.weight, self.bias, True, 0.0, self.eps)


def test_running_statistics_that_never_move_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "BatchNorm1d", Stale)
    claims = {"bn-modes-differ-on-one-batch", "bn-running-var-unbiased", "bn-weight-of-the-start"}
    assert changed(claims) == claims


def test_statistics_without_gradient_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = normalization.batch_statistics
    monkeypatch.setattr(normalization, "batch_statistics", lambda *a: tuple(t.detach() for t in true(*a)))
    claims = {"bn-gradient-sums-to-zero", "bn-bias-gets-no-gradient", "bn-weight-orthogonal-to-gradient"}
    assert changed(claims) == claims


def test_the_weight_of_the_engine_s_running_statistics_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = stack.BatchNorm.forward

    def without_momentum(layer: stack.BatchNorm, h: Tensor) -> Tensor:
        monkeypatch.setattr(layer.module, "momentum", 0.0)
        return forward(layer, h)

    monkeypatch.setattr(stack.BatchNorm, "forward", without_momentum)
    assert changed(["bn-sigmoid-trains"]) == {"bn-sigmoid-trains"}


# The registry


def example(holds: tuple[float, float] = (1.0, 2.0)) -> Claim:
    about = {"source": "", "chapter": "", "section": "", "quantity": "", "unit": "", "method": Method.MEAN}
    return Claim(id="x", statement="", holds=holds, seeds=8, measure=lambda seeds: {"all": [1.5] * len(seeds)}, **about)


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(1.1, 1.9)], Verdict.SUPPORTED),
        ([(1.0, 2.0), (1.2, 1.3)], Verdict.SUPPORTED),
        ([(1.1, 1.9), (0.5, 0.9)], Verdict.CONDITIONAL),
        ([(1.1, 1.9), (0.9, 1.1)], Verdict.CONDITIONAL),
        ([(0.5, 0.9)], Verdict.WRONG),
        ([(0.5, 0.9), (2.1, 3.0)], Verdict.WRONG),
        ([(0.9, 1.1)], Verdict.NOT_REPRODUCED),
        ([(0.9, 1.1), (0.5, 0.9)], Verdict.NOT_REPRODUCED),
        ([(-np.inf, np.inf)], Verdict.NOT_REPRODUCED),
    ],
)
def test_verdict(intervals: list[tuple[float, float]], verdict: Verdict) -> None:
    evidence = [Evidence(str(i), 0.0, *ends, 8) for i, ends in enumerate(intervals)]
    assert example().verdict(evidence) is verdict
    inside = [one.condition for one in evidence if one.low >= 1 and one.high <= 2]
    assert example().agreeing(evidence) == inside


def test_a_measurement_gives_one_effect_a_seed() -> None:
    broken = example().__class__(**{**vars(example()), "measure": lambda seeds: {"all": [1.0]}})
    with pytest.raises(ValueError, match="claim 'x', 'all': 1 effects from 3 seeds"):
        broken.evidence([0, 1, 2])


def test_an_id_is_taken_once() -> None:
    taken = next(iter(CLAIMS))
    about = {"source": "", "chapter": "", "section": "", "quantity": "", "holds": (0.0, 1.0), "method": Method.MEAN}
    with pytest.raises(ValueError, match=f"claim '{taken}' is registered already"):
        claim(taken, "", seeds=8, **about)(lambda seeds: {})


@pytest.mark.parametrize(("method", "true"), [(Method.MEAN, 3.0), (Method.MEDIAN, 3.0), (Method.SHARE, 0.7)])
def test_an_interval_covers_the_truth(method: Method, true: float) -> None:
    """Ninety-nine times of a hundred at a large number of effects; a bootstrap is a little narrow."""
    rng = np.random.default_rng(0)
    draws = rng.random((200, 60)) < true if method is Method.SHARE else rng.normal(true, 2, (200, 60))
    found = [interval(row.astype(float).tolist(), method) for row in draws]
    covered = sum(low <= true <= high for _, low, high in found)
    assert 193 <= covered <= 200
    assert np.median([high - low for _, low, high in found]) < 2.2


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_range_is_that_of_the_effects(effects: list[float]) -> None:
    assert interval(effects, Method.RANGE)[1:] == (min(effects), max(effects))


@pytest.mark.parametrize("method", [Method.MEAN, Method.MEDIAN, Method.RANGE])
def test_an_effect_that_is_not_finite_supports_nothing(method: Method) -> None:
    assert interval([1.0, float("nan")], method)[1:] == (-np.inf, np.inf)
    assert interval([1.0, float("inf")], method)[1:] == (-np.inf, np.inf)


def test_equal_effects_are_a_point() -> None:
    assert interval([2.0, 2.0, 2.0], Method.MEAN) == (2.0, 2.0, 2.0)


# The ledger and its command


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A claim that is measured at once, in this process, and stands in the stored ledger as supported."""
    monkeypatch.setitem(CLAIMS, "x", example())
    entry = Entry("x", Verdict.SUPPORTED, ("all",), (Evidence("all", 1.5, 1.5, 1.5, 8),))
    monkeypatch.setattr(command, "load", lambda: {"x": entry})
    monkeypatch.setattr(command, "ProcessPoolExecutor", lambda *_: Here())
    return "x"


class Here:
    """An executor that does the work when it is asked to."""

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_an_unchanged_verdict(cheap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([cheap, "--json", str(tmp_path / "new.json")]) == 0
    assert "every verdict is the book's" in capsys.readouterr().out
    assert load((tmp_path / "new.json").read_text())["x"].verdict is Verdict.SUPPORTED
    assert set(json.loads((tmp_path / "new.json").read_text())["made_by"]) >= {"command", "torch", "numpy"}


def test_a_changed_verdict_is_an_error(
    cheap: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CLAIMS, "x", example(holds=(2.0, 3.0)))
    assert command.main([cheap]) == 1
    assert "CHANGED x: supported before, wrong now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no claim is called 'nothing'"),
        (["x", "--seeds", "1"], "seeds = 1, but an interval takes at least two"),
    ],
)
def test_a_bad_request(cheap: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_another_condition_is_a_change() -> None:
    evidence = (Evidence("a", 1, 1, 1, 8),)
    old = Entry("x", Verdict.CONDITIONAL, ("a",), evidence)
    assert changes({"x": old}, {"x": old._replace(agreeing=("b",))}) == [
        "x: supported under conditions (a) before, supported under conditions (b) now"
    ]
    assert not changes({"x": old}, {"x": old, "y": old})


def test_a_ledger_is_stored_whole(tmp_path: Path) -> None:
    save(STORED, tmp_path / "ledger.json")
    assert load((tmp_path / "ledger.json").read_text()) == STORED
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]
    with pytest.raises(ValueError, match="this is not a ledger of claims"):
        load("{}")


def test_claims_are_measured_on_the_seeds_asked_for(cheap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    spy = example().__class__(
        **vars(example()) | {"measure": lambda seeds: seen.append([*seeds]) or {"all": [1.5] * len(seeds)}}
    )
    monkeypatch.setitem(CLAIMS, cheap, spy)
    found = [*measure_all([cheap], Here()), *measure_all([cheap], Here(), seeds=3, first=7)]
    assert seen == [list(range(8)), [7, 8, 9]] and [entry.evidence[0].seeds for entry in found] == [8, 3]
