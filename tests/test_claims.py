"""Every claim of the ledger, measured again on seeds the book does not use; and the ledger must be able to say no."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional, init

import notebooks
from tutorial_utils import gains, normalization, stack
from tutorial_utils.claims import CLAIMS, TOPICS, any_activation_any_layer, batchnorm_in_depth, ledger
from tutorial_utils.claims import __main__ as command
from tutorial_utils.claims.experiments import shared
from tutorial_utils.claims.ledger import (
    Entry,
    changes,
    concluded,
    load,
    measure_all,
    measure_claim,
    quick_seeds,
    replication,
    save,
    unlike,
)
from tutorial_utils.claims.registry import (
    Claim,
    Effects,
    Evidence,
    Method,
    Outcome,
    Seeds,
    Verdict,
    claim,
    interval,
)
from tutorial_utils.schemes import SCHEMES

BOOK = Path(__file__).parents[1] / "book"
STORED = load()


@pytest.mark.slow
@pytest.mark.parametrize("id", CLAIMS)
def test_the_verdict_holds_on_other_seeds(id: str) -> None:
    """With fewer seeds an interval may be too wide to decide, but the effect must lie on the same side of the band.

    ``make fragility`` does this again with two threads and the instructions of an older processor.
    """
    found = measured_quickly(id)
    assert [*found.outcomes] == [*STORED[id].outcomes]
    assert not elsewhere(found), found


def elsewhere(found: Entry) -> list[str]:
    """The conditions that the ledger decides and whose effect lies on the other side now, or is no number."""
    low, high = CLAIMS[found.id].holds
    wanted = {Outcome.AGREES: True, Outcome.REFUTES: False}
    said, (quick,) = STORED[found.id].outcomes, found.sets
    decided = [one for one in quick if said[one.condition] in wanted]
    inside = {one.condition: None if np.isnan(one.effect) else low <= one.effect <= high for one in decided}
    return [name for name, agrees in inside.items() if agrees is not wanted[said[name]]]


def measured_quickly(id: str) -> Entry:
    """With fewer seeds than the book's, and others."""
    return measure_claim(id, range(10_000, 10_000 + quick_seeds(CLAIMS[id])))


def test_the_ledger_has_every_claim_and_no_other() -> None:
    assert list(STORED) == list(CLAIMS)
    assert all(one.seeds == CLAIMS[id].seeds for id, entry in STORED.items() for found in entry.sets for one in found)
    assert {len(entry.sets) for entry in STORED.values()} == {2}


@pytest.mark.parametrize("id", CLAIMS)
def test_no_verdict_is_typed(id: str) -> None:
    assert concluded(CLAIMS[id], *STORED[id].sets) == STORED[id]


def test_the_statements_of_the_source_text_are_among_them() -> None:
    sources = [about.source for about in CLAIMS.values()]
    assert sum(source.startswith("source text") for source in sources) >= 13
    assert sum(not source.startswith("source text") for source in sources) >= 30


def badges() -> list[tuple[str, str]]:
    """The page's slug and the claim's id for every badge of every ``Evidence:`` line of the book."""
    pages = {path.stem: path for path in BOOK.glob("*/*.md") if not path.parent.name.startswith("_")}
    return [
        (re.sub(r"^\d+-", "", name), id)
        for name, path in pages.items()
        for line in re.findall(r"^Evidence: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for id in re.findall(r"\]\(#([\w-]+)\)", line)
    ]


def test_every_badge_leads_to_a_claim_and_every_claim_has_one() -> None:
    assert sorted(id for _, id in badges()) == sorted(CLAIMS)


def test_a_claim_is_shown_on_the_page_of_its_topic() -> None:
    pages = {re.sub(r"^\d+-", "", path.stem) for path in BOOK.glob("*/*.md")}
    assert not [(page, id) for page, id in badges() if CLAIMS[id].topic in pages - {page}]


# The section of a claim shows it


class Section(NamedTuple):
    """A section of a page that names claims in a line ``Evidence:``."""

    claims: set[str]
    cells: list[tuple[str, str]]  # code, and what it printed

    def shows(self, id: str) -> bool:
        """Whether a cell prints the claim's row, or says that it measures it and prints numbers like the ledger's."""
        rows = any(f'"{id}"' in call for code, _ in self.cells for call in re.findall(r"ledger\.show\(([^)]*)\)", code))
        return rows or any(agrees(id, text) for code, text in self.cells if f"# measures {id}\n" in f"{code}\n")


def agrees(id: str, text: str) -> bool:
    """Whether, for each condition that votes, a printed number lies in its intervals or one width beside them."""
    numbers = [float(one) for one in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", text)]

    def printed(name: str) -> bool:
        found = [one for sets in STORED[id].sets for one in sets if one.condition == name]
        low, high = min(one.low for one in found), max(one.high for one in found)
        return any(2 * low - high <= number <= 2 * high - low for number in numbers)

    return all(printed(name) for name, outcome in STORED[id].outcomes.items() if outcome is not Outcome.CONTROL)


def sections(page: Path) -> Iterator[Section]:
    """The sections of a page, from heading to heading, with what its cells print."""
    found, nb = Section(set(), []), notebooks.read_as_written(page)
    for cell in nb.cells if nb else ():
        if cell.cell_type == "code":
            found.cells.append((cell.source, "".join(output.get("text", "") for output in cell.outputs)))
            continue
        for line in cell.source.splitlines():
            if re.match(r"#{2,4} ", line):
                yield found
                found = Section(set(), [])
            found.claims.update(re.findall(r"\]\(#([\w-]+)\)", line) if line.startswith("Evidence: ") else ())
    yield found


def test_the_section_of_every_claim_shows_it() -> None:
    """By ``ledger.show("id")`` at its end, or by a cell that says ``# measures id``."""
    found = [one for page in notebooks.chapters([]) for one in sections(page)]
    assert set.union(*(one.claims for one in found)) == set(CLAIMS)
    missing = {id for one in found for id in one.claims if not one.shows(id)}
    assert not missing, f"no cell of its section shows: {sorted(missing)}"


def test_a_section_shows_what_it_names_or_measures() -> None:
    id = "quarter-circle"  # 0.999 [0.998, 1]

    def shows(code: str, text: str = "") -> bool:
        return Section({id}, [(code, text)]).shows(id)

    assert shows(f'ledger.show("other", "{id}")') and not shows('ledger.show("other")')
    assert shows(f"x = 1  # measures {id}\nprint(x)", "the mean is 1.000")
    assert not shows(f"# measures {id}", "the mean is 0.849") and not shows("# measures another", "1.000")
    assert not shows("print(x)", "the mean is 1.000")


# A claim is found by its name


@pytest.mark.parametrize("id", CLAIMS)
def test_a_claim_s_function_has_its_name_and_stands_in_its_topic(id: str) -> None:
    module = import_module(f"tutorial_utils.claims.{CLAIMS[id].topic.replace('-', '_')}")
    assert vars(module)[id.replace("-", "_")] is CLAIMS[id].measure


def test_every_topic_is_registered_in_order() -> None:
    shared = {"__init__", "__main__", "registry", "ledger", "experiments", "source_text"}
    assert {path.stem for path in Path(command.__file__).parent.glob("*.py")} - shared == set(TOPICS)
    assert tuple(dict.fromkeys(about.topic.replace("-", "_") for about in CLAIMS.values())) == TOPICS


def test_an_effect_on_the_other_side_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLAIMS, "x", example())  # agrees from 1 to 2
    outcomes = {"agrees": AGREES, "refutes": REFUTES, "open": OPEN, "control": CONTROL}
    monkeypatch.setitem(STORED, "x", Entry("x", Verdict.IN_SOME_CASES, outcomes, ()))

    def quick(**effects: float) -> Entry:
        evidence = tuple(Evidence(name, effects.get(name, 0.0), -9.0, 9.0, 8) for name in outcomes)
        return Entry("x", Verdict.UNDECIDED, outcomes, (evidence,))

    assert elsewhere(quick(agrees=1.5, refutes=2.1)) == []  # wide as the intervals are
    assert elsewhere(quick(agrees=0.9, refutes=2.1)) == ["agrees"]
    assert elsewhere(quick(agrees=2.0, refutes=1.9)) == ["refutes"]
    assert elsewhere(quick(agrees=np.nan, refutes=np.nan)) == ["agrees", "refutes"]


# Wrong implementations: the ledger must say no


def changed(ids: Iterable[str]) -> set[str]:
    """The claims of which the test above fails."""
    return {id for id in ids if elsewhere(measured_quickly(id))}


@pytest.mark.slow
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


@pytest.mark.slow
def test_running_statistics_that_never_move_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "BatchNorm1d", Stale)
    claims = {"bn-modes-differ-on-one-batch", "bn-running-var-unbiased", "bn-weight-of-the-start"}
    assert changed(claims) == claims


@pytest.mark.slow
def test_statistics_without_gradient_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = normalization.batch_statistics
    monkeypatch.setattr(normalization, "batch_statistics", lambda *a: tuple(t.detach() for t in true(*a)))
    claims = {"bn-gradient-sums-to-zero", "bn-bias-gets-no-gradient", "bn-weight-orthogonal-to-gradient"}
    assert changed(claims) == claims


@pytest.mark.slow
def test_the_weight_of_the_engine_s_running_statistics_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = stack.StackedBatchNorm.forward

    def without_momentum(layer: stack.StackedBatchNorm, h: Tensor) -> Tensor:
        monkeypatch.setattr(layer.module, "momentum", 0.0)
        return forward(layer, h)

    monkeypatch.setattr(stack.StackedBatchNorm, "forward", without_momentum)
    assert changed(["bn-sigmoid-trains"]) == {"bn-sigmoid-trains"}


class Flipped(nn.BatchNorm1d):
    """The momentum is the weight of the old value, as in Keras."""

    def __init__(self, features: int, **options: float) -> None:
        super().__init__(features, **options)
        self.momentum = 1 - self.momentum


class EpsOutside(nn.BatchNorm1d):
    """The small number stands outside of the root."""

    def forward(self, z: Tensor) -> Tensor:
        return self.weight * (z - z.mean(0)) / (z.std(0, correction=0) + self.eps) + self.bias


class Swapped(nn.BatchNorm1d):
    """Scale and shift exchanged."""

    def forward(self, z: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var
        return functional.batch_norm(z, *statistics, self.bias, self.weight, self.training, self.momentum, self.eps)


class AlwaysTheBatch(nn.BatchNorm1d):
    """Eval mode uses the batch's statistics, too."""

    def forward(self, z: Tensor) -> Tensor:
        return functional.batch_norm(z, None, None, self.weight, self.bias, True, 0.0, self.eps)


def fans_exchanged(patch: pytest.MonkeyPatch) -> None:
    true = init._calculate_fan_in_and_fan_out
    patch.setattr(init, "_calculate_fan_in_and_fan_out", lambda weight: true(weight)[::-1])


def root_of_five_left_out(patch: pytest.MonkeyPatch) -> None:
    true = init.kaiming_uniform_
    patch.setattr(init, "kaiming_uniform_", lambda weight, a: true(weight))


def deviation_taken_for_bound(patch: pytest.MonkeyPatch) -> None:
    true = SCHEMES["xavier_uniform"]

    def too_narrow(weight: Tensor, **options: object) -> Tensor:
        return true.fill(weight, **options).data.mul_(3**-0.5)

    patch.setitem(SCHEMES, "xavier_uniform", true._replace(fill=too_narrow))


def unbiased_variance(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(normalization, "batch_statistics", lambda x: (x.mean(0), x.var(0)))


def gain_from_deviations(patch: pytest.MonkeyPatch) -> None:
    def wrong(f: Callable[[Tensor], Tensor], *_: object) -> float:
        return (gains.gaussian_mean(lambda z: f(z).square()) - gains.gaussian_mean(f) ** 2) ** -0.5

    patch.setattr(any_activation_any_layer, "gain", wrong)


def one_gain_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(init, "calculate_gain", lambda *_: 2**0.5)


def beta_left_at_zero(patch: pytest.MonkeyPatch) -> None:
    true = batchnorm_in_depth.he_network
    patch.setattr(batchnorm_in_depth, "he_network", lambda *a, beta, **options: true(*a, **options))


def normal_for_orthogonal(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(SCHEMES, "orthogonal", SCHEMES["lecun_normal"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "claims"),
    [
        (fans_exchanged, {"he-weights-follow-previous-layer", "fan-in-counts-inputs"}),
        (root_of_five_left_out, {"linear-default-bound", "quoted-reset-draws-the-same", "default-is-he"}),
        (deviation_taken_for_bound, {"glorot-has-specific-variance", "quarter-circle"}),
        (normal_for_orthogonal, {"orthogonal-keeps-length"}),
        (beta_left_at_zero, {"bn-beta-is-part-of-the-start"}),
        (gain_from_deviations, {"zero-mean-cannot-keep-both"}),
        (one_gain_for_all, {"calculate-gain-keeps-signal"}),
        (unbiased_variance, {"bn-bound-attained", "bn-running-var-unbiased", "bn-momentum-none-is-algorithm-2"}),
        (Flipped, {"bn-weight-of-the-start", "bn-momentum-conventions"}),
        (EpsOutside, {"bn-invariant-to-scale"}),
        (Swapped, {"bn-invariant-to-scale", "bn-outputs-bounded"}),
        (AlwaysTheBatch, {"bn-fixed-statistics-are-deterministic", "bn-frozen-by-flags"}),
    ],
)
def test_a_wrong_implementation_is_noticed(
    wrong: Callable[[pytest.MonkeyPatch], None] | type[nn.Module], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(wrong, type):
        monkeypatch.setattr(nn, "BatchNorm1d", wrong)
    else:
        wrong(monkeypatch)
    assert changed(claims) == claims


# The registry


def example(holds: tuple[float, float] = (1.0, 2.0), **fields: Any) -> Claim:
    about = {"topic": "", "source": "", "quantity": "", "unit": "", "method": Method.MEAN}
    measure = {"measure": lambda seeds: {"all": [1.5 + seed / 1000 for seed in seeds]}}
    return Claim(id="x", statement="", holds=holds, seeds=8, **about | measure | fields)


AGREES, REFUTES, OPEN, CONTROL = Outcome


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((1.1, 1.9), AGREES),
        ((1.0, 2.0), AGREES),
        ((0.5, 0.9), REFUTES),
        ((2.1, 3.0), REFUTES),
        ((0.9, 1.1), OPEN),
        ((0.9, 2.1), OPEN),
        ((0.5, 1.0), OPEN),
        ((-np.inf, np.inf), OPEN),
    ],
)
def test_outcome(interval: tuple[float, float], outcome: Outcome) -> None:
    assert example().outcome(Evidence("all", 0.0, *interval, 8)) is outcome
    assert example(controls=("all",)).outcome(Evidence("all", 0.0, *interval, 8)) is CONTROL


@pytest.mark.parametrize(
    ("outcomes", "universal", "existential"),
    [
        ([AGREES], Verdict.SUPPORTED, Verdict.SUPPORTED),
        ([AGREES, AGREES], Verdict.SUPPORTED, Verdict.SUPPORTED),
        ([AGREES, OPEN], Verdict.UNDECIDED, Verdict.SUPPORTED),
        ([AGREES, REFUTES], Verdict.IN_SOME_CASES, Verdict.SUPPORTED),
        ([AGREES, REFUTES, OPEN], Verdict.IN_SOME_CASES, Verdict.SUPPORTED),
        ([REFUTES], Verdict.REFUTED, Verdict.NOT_FOUND),
        ([REFUTES, REFUTES], Verdict.REFUTED, Verdict.NOT_FOUND),
        ([REFUTES, OPEN], Verdict.REFUTED, Verdict.UNDECIDED),
        ([OPEN], Verdict.UNDECIDED, Verdict.UNDECIDED),
        ([REFUTES, CONTROL], Verdict.REFUTED, Verdict.NOT_FOUND),
        ([AGREES, CONTROL], Verdict.SUPPORTED, Verdict.SUPPORTED),
        ([OPEN, CONTROL], Verdict.UNDECIDED, Verdict.UNDECIDED),
    ],
)
def test_verdict(outcomes: list[Outcome], universal: Verdict, existential: Verdict) -> None:
    for order in (outcomes, outcomes[::-1]):
        assert example().verdict(order) is universal
        assert example(scope="existential").verdict(order) is existential


def test_a_condition_counts_only_where_all_sets_of_seeds_agree() -> None:
    def set_of(*lows: float) -> tuple[Evidence, ...]:
        return tuple(Evidence(f"{place}", low, low, low + 0.5, 8) for place, low in enumerate(lows))

    first, second = set_of(1.2, 0.1, 1.2, 0.1, 1.2), set_of(1.3, 0.2, 0.1, 1.3, 0.8)
    entry = concluded(example(), first, second)
    assert list(entry.outcomes.values()) == [AGREES, REFUTES, OPEN, OPEN, OPEN]
    assert entry.sets == (first, second) and entry.verdict is Verdict.IN_SOME_CASES and entry.where == "0"
    assert str(entry) == "true in some cases: 0"
    assert str(concluded(example(scope="existential"), first, second)) == "supported: 0"
    assert str(concluded(example(), first[:1], second[:1])) == "supported"
    assert str(concluded(example(), first[2:], second[2:])) == "not decided by these measurements"


def test_controls_are_conditions_and_leave_one_that_votes() -> None:
    with pytest.raises(ValueError, match="claim 'x': no condition is called 'none', but all"):
        example(controls=("none",)).evidence([0, 1])
    with pytest.raises(ValueError, match="claim 'x': every condition is a control"):
        example(controls=("all",)).evidence([0, 1])


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        ({"scope": "some"}, ValueError, "scope = 'some', but a claim is 'universal' or 'existential'"),
        ({"data": "digits"}, TypeError, r"data = 'digits', but it must be a tuple of names, such as \('digits',\)"),
        ({"controls": "LayerNorm"}, TypeError, "controls = 'LayerNorm', but"),
    ],
)
def test_a_claim_that_is_badly_stated(argument: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        claim("", source="", quantity="", criterion=Method.MEAN.within(0.0, 1.0, seeds=8), **argument)


def test_a_measurement_gives_one_effect_a_seed() -> None:
    broken = example(measure=lambda seeds: {"all": [1.0]})
    with pytest.raises(ValueError, match="claim 'x', 'all': 1 effects from 3 seeds"):
        broken.evidence([0, 1, 2])


def test_an_id_is_taken_once() -> None:
    def he_keeps_angles(seeds: Seeds) -> Effects:
        return {"": [0.5] * len(seeds)}

    register = claim("", source="", quantity="", criterion=Method.MEAN.within(0.0, 1.0, seeds=8))
    with pytest.raises(ValueError, match="claim 'he-keeps-angles' is registered already"):
        register(he_keeps_angles)


@pytest.mark.parametrize("n", [8, 9, 60])  # eight is the fewest that a claim is measured with
@pytest.mark.parametrize(("method", "true"), [(Method.MEAN, 3.0), (Method.MEDIAN, 3.0), (Method.SHARE, 0.7)])
def test_an_interval_covers_the_truth(method: Method, true: float, n: int) -> None:
    """Ninety-nine times of a hundred or more, also with few effects; three standard errors less must be reached."""
    rng = np.random.default_rng(0)
    draws = rng.random((500, n)) < true if method is Method.SHARE else rng.normal(true, 2, (500, n))
    found = [interval(row.astype(float).tolist(), method) for row in draws]
    assert sum(low <= true <= high for _, low, high in found) >= 488
    assert np.median([high - low for _, low, high in found]) < 20 / n**0.5  # and it is not wide for safety


def test_fewer_than_eight_effects_say_nothing_of_a_median() -> None:
    assert interval([2.0] * 7, Method.MEDIAN) == (2.0, -np.inf, np.inf)
    assert interval([*range(8)], Method.MEDIAN) == (3.5, 0.0, 7.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_range_is_that_of_the_effects(effects: list[float]) -> None:
    assert interval(effects, Method.RANGE)[1:] == (min(effects), max(effects))


@pytest.mark.parametrize("method", [Method.MEAN, Method.MEDIAN, Method.RANGE])
def test_an_effect_that_is_not_finite_supports_nothing(method: Method) -> None:
    assert interval([1.0, float("nan")], method)[1:] == (-np.inf, np.inf)
    assert interval([1.0, float("inf")], method)[1:] == (-np.inf, np.inf)


@pytest.mark.parametrize("effects", [[2.0] * 16, [0.0] * 16, [0.3, 0.1 + 0.2] * 8])
def test_equal_effects_are_no_interval_of_a_mean(effects: list[float]) -> None:
    """Sixteen zeros are likely even where one effect in ten is 1, and Student's interval would be a point."""
    assert interval(effects, Method.MEAN) == (pytest.approx(effects[0]), -np.inf, np.inf)
    for method in (Method.MEDIAN, Method.RANGE):
        assert interval(effects, method)[1:] == (min(effects), max(effects))


def test_an_interval_of_rare_effects_covers_their_mean() -> None:
    draws = (np.random.default_rng(0).random((500, 16)) < 0.1).astype(float)
    equal = [row for row in draws if row.max() == 0]
    assert len(equal) > 50
    assert all(low <= 0.1 <= high for _, low, high in (interval(row, Method.MEAN) for row in equal))


def test_a_share_is_of_zeros_and_ones() -> None:
    with pytest.raises(ValueError, match=r"a share is of effects that are 0 or 1, but one is 0\.5"):
        interval([0.0, 1.0, 0.5], Method.SHARE)


# The ledger and its command


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A claim that is measured at once, in this process, and stands in the stored ledger as supported."""
    monkeypatch.setitem(CLAIMS, "x", example())
    entry = measure_claim("x", range(8), range(8, 16))
    monkeypatch.setattr(command, "load", lambda text=None: {"x": entry} if text is None else load(text))
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


def test_measuring_one_claim_keeps_the_others_in_the_file(cheap: str, tmp_path: Path) -> None:
    save(STORED, tmp_path / "ledger.json")
    command.main([cheap, "--json", str(tmp_path / "ledger.json")])
    assert load((tmp_path / "ledger.json").read_text()).keys() == STORED.keys() | {cheap}


def test_a_changed_verdict_is_an_error(
    cheap: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CLAIMS, "x", example(holds=(2.0, 3.0)))
    assert command.main([cheap]) == 1
    assert "CHANGED x: supported -> refuted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no claim is called 'nothing'; "),
        (["he-keeps-second-momnt"], "near it: he-keeps-second-moment"),
        (["x", "--seeds", "1"], "seeds = 1, but an interval takes at least two"),
        (["x", "--first", "-3"], "first = -3, but seeds begin at 0"),
    ],
)
def test_a_bad_request(
    cheap: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "tqdm", lambda *_, **__: pytest.fail("the measuring began"))
    assert command.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_found_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_measured", lambda _: pytest.fail("measured"))
    for file in (tmp_path, tmp_path / "missing" / "new.json"):
        with pytest.raises(SystemExit, match="2"):
            command.main(["--json", str(file)])
        assert f"cannot write '{file}'" in capsys.readouterr().err


def test_a_claim_named_twice_is_measured_once(cheap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure_and_note(ids: Iterable[str], *pool: Executor, **options: Any) -> Iterator[tuple[Entry, float]]:
        measured.extend(ids)
        return measure_all(ids, *pool, **options)

    monkeypatch.setattr(command, "measure_all", measure_and_note)
    assert command.main([cheap, cheap]) == 0 and measured == [cheap]


def test_another_condition_is_a_change() -> None:
    old = Entry("x", Verdict.IN_SOME_CASES, {"a": AGREES, "b": REFUTES}, ())
    new = old._replace(outcomes={"a": REFUTES, "b": AGREES})
    general = "true in some cases"
    assert changes({"x": old}, {"x": new}) == [f"x: {general}: a -> {general}: b"]
    assert not changes({"x": old}, {"x": old, "y": old})


def test_conditions_that_were_decided_and_are_not_so_now() -> None:
    old = Entry("x", Verdict.IN_SOME_CASES, {"a": AGREES, "b": REFUTES, "c": OPEN, "d": CONTROL}, ())
    new = old._replace(outcomes={"a": OPEN, "b": REFUTES, "c": AGREES, "d": CONTROL}, verdict=Verdict.REFUTED)
    assert unlike(old, new) == ["a"] and unlike(old, old) == []
    assert replication({"x": old}, {"x": new, "y": new}) == "NOT AGAIN x: a\n0 of 1 (0%) verdicts repeat"


def test_a_row_is_shown_with_what_other_seeds_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = example(quantity="growth", unit="points", controls=("c",))
    found = [[Evidence(name, low, low, low + 0.5, 8) for name in ("a", "b")] for low in (1.25, 3.0)]
    for one in found:
        one.append(Evidence("c", 0.0, -np.inf, np.inf, 8))
    again = [found[0][0], *found[1][1:]]
    monkeypatch.setitem(CLAIMS, "x", shown)
    monkeypatch.setattr(ledger, "load", lambda: {"x": concluded(shown, tuple(found[0]), tuple(again))})
    ledger.show("x")
    assert capsys.readouterr().out.splitlines() == [
        "x: not decided by these measurements",
        "  growth, in points; agrees from 1 to 2",
        "  a  1.25 [1.25, 1.75]  agrees",
        "  b  1.25 [1.25, 1.75]  open",
        "     3 [3, 3.5]         other seeds",
        "  c  0 [no interval]    control",
    ]
    with pytest.raises(ValueError, match="no claim is called 'y'"):
        ledger.show("x", "y")


def test_a_ledger_is_stored_whole(tmp_path: Path) -> None:
    save(STORED, tmp_path / "ledger.json")
    assert load((tmp_path / "ledger.json").read_text()) == STORED
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]
    with pytest.raises(ValueError, match="this is not a ledger of claims"):
        load("{}")


def test_claims_are_measured_on_disjoint_sets_of_the_seeds_asked_for(
    cheap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    spy = example(measure=lambda seeds: seen.append([*seeds]) or {"all": [1.5] * len(seeds)})
    monkeypatch.setitem(CLAIMS, cheap, spy)
    found = [*measure_all([cheap], Here()), *measure_all([cheap], Here(), seeds=3, first=7, sets=[2])]
    assert seen == [[*range(8)], [*range(8, 16)], [13, 14, 15]]
    assert [[one.seeds for (one,) in entry.sets] for entry, _ in found] == [[8, 8], [3]]
    assert all(seconds >= 0 for _, seconds in found)


def test_claims_of_one_topic_share_trainings(cheap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []

    @shared
    def train(seeds: Seeds) -> list[float]:
        trained.append(len(seeds))
        return [1.5] * len(seeds)

    for id in ("x", "y"):
        monkeypatch.setitem(CLAIMS, id, replace(example(measure=lambda seeds: {"all": train(seeds)}), id=id))
    assert [entry.id for entry, _ in measure_all(["x", "y"], Here(), seeds=8)] == ["x", "y"]
    assert trained == [8, 8]  # once for each set of seeds
    for id in ("x", "y"):  # alone, a claim sees the layers that are in place now
        measure_claim(id, range(8))
    assert trained == [8, 8, 8, 8]


def test_a_third_set_of_seeds_says_which_verdicts_repeat(
    cheap: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([cheap, "--replicate"]) == 0
    assert "1 of 1 (100%) verdicts repeat" in capsys.readouterr().out
    only_first = example(measure=lambda seeds: {"all": [1.5 if seeds[0] < 16 else 0.0] * len(seeds)})
    monkeypatch.setitem(CLAIMS, "x", only_first)
    assert command.main([cheap, "--replicate"]) == 0  # a rate, not a check
    assert "NOT AGAIN x: all\n0 of 1 (0%) verdicts repeat" in capsys.readouterr().out


def test_the_slowest_claims_are_listed_first(cheap: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([cheap, "--times"])
    assert re.search(r"^ +\d\.\d s  x$", capsys.readouterr().out, re.MULTILINE)
