"""Recognition against draws made by torch.nn.init, at the error rate it promises."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from randomness import seeded
from scipy import stats
from torch import Tensor
from torch.nn import init

from tutorial_utils.initializers import gain_of
from tutorial_utils.recognize import Recognition, candidates, recognize
from tutorial_utils.schemes import SCHEMES, Scheme

Draw = Callable[[Tensor, torch.Generator], Tensor]


def by_scheme(scheme: Scheme) -> Draw:
    gain = {"gain": gain_of(scheme.nonlinearity)} if scheme.nonlinearity else {}
    return lambda w, generator: scheme.fill(w, generator=generator, **gain)


# Every scheme with a law of its own, and what torch.nn.init draws by no scheme. test_schemes holds the former to torch.
DRAWS: dict[str, Draw] = {
    **{name: by_scheme(SCHEMES[name]) for name in candidates() if name in SCHEMES},
    "normal_1": lambda w, generator: init.normal_(w, generator=generator),
    "normal_0.02": lambda w, generator: init.normal_(w, std=0.02, generator=generator),
    "trunc_normal_0.02": lambda w, generator: init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04, generator=generator),
}
LARGE = [(256, 256), (512, 256), (256, 1024), (64, 96, 3, 3)]  # from here on every draw gets its name
SMALL = [(3, 2), (8, 5), (12, 16), (24, 20), (50, 30), (16, 4, 3), (6, 5, 3, 3), (64, 48)]


def identify(w: Tensor, alpha: float = 1e-3) -> Recognition:
    fan_in, fan_out = init._calculate_fan_in_and_fan_out(w)
    return recognize(w, fan_in=fan_in, fan_out=fan_out, alpha=alpha)


def is_right(found: Recognition, name: str) -> bool:
    return found.scheme in candidates() and found.scheme == found.candidates[0] and name in found.candidates


def is_wrong(found: Recognition, name: str) -> bool:
    return not is_right(found, name) and not (found.scheme == "undecided" and name in found.candidates)


def most_alarms(draws: int, alpha: float) -> int:
    """How many false alarms a test of rate alpha exceeds once in a million."""
    return int(stats.binom.isf(1e-6, draws, alpha))


def test_over_a_thousand_draws_wrong_names_are_as_rare_as_promised() -> None:
    generator, wrong, right, draws = seeded(1), [], 0, 0
    while draws < 1000:
        for shape, (name, draw) in itertools.product(SMALL, DRAWS.items()):
            found = identify(draw(torch.empty(shape), generator))
            draws += 1
            right += is_right(found, name)
            wrong += [(shape, name, found)] if is_wrong(found, name) else []
    assert len(wrong) <= most_alarms(draws, 1e-3), wrong
    assert right > draws / 2  # and the answer is not merely always "undecided"


@pytest.mark.parametrize("name", ["default", "normal_1", "normal_0.02", "trunc_normal_0.02"])
def test_alpha_is_the_false_alarm_rate(name: str) -> None:
    generator, draws, alpha = seeded(2), 250, 0.2
    columns = [DRAWS[name](torch.empty(200, 1), generator)[:, 0] for _ in range(draws)]
    wrong = sum(is_wrong(recognize(column, fan_in=1, alpha=alpha), name) for column in columns)
    assert wrong <= most_alarms(draws, alpha)
    assert wrong >= stats.binom.ppf(1e-6, draws, alpha / 3)  # Bonferroni wastes some of it, not most


@pytest.mark.parametrize("name", ["kaiming_normal", "xavier_uniform"])
def test_a_draw_that_is_denied_its_name_is_unknown_or_called_by_its_family(name: str) -> None:
    generator, sizes = seeded(4), {"fan_in": 40, "fan_out": 60}
    draws = [recognize(DRAWS[name](torch.empty(60, 40), generator), **sizes, alpha=0.3) for _ in range(60)]
    denied = [found for found in draws if found.scheme != name]
    family = [found for found in denied if found.scheme in ("normal", "uniform")]
    assert {found.scheme for found in denied} <= {"unknown", name.rpartition("_")[2]}
    assert len(denied) > len(family) > 0 and all(0.9 < found.ratio < 1.1 for found in family)


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_every_draw_of_a_large_tensor_gets_its_name(shape: tuple[int, ...]) -> None:
    generator, alpha = seeded(3), 1e-6  # of all these draws none should be a false alarm
    for name, draw in DRAWS.items():
        for _ in range(2):
            found = identify(draw(torch.empty(shape), generator), alpha)
            assert is_right(found, name), (name, found)
            assert found.ratio == pytest.approx(1, abs=0.02) and alpha <= found.p <= 1


def test_nothing_is_undecided_from_two_thousand_entries_on_when_fans_differ_by_two() -> None:
    generator = seeded(8)
    found = [identify(draw(torch.empty(64, 32), generator)).scheme for draw in DRAWS.values() for _ in range(8)]
    assert "undecided" not in found


def test_aliases_are_the_same_distribution() -> None:
    square = init.xavier_normal_(torch.empty(256, 256), generator=seeded())
    assert identify(square).candidates == ("xavier_normal", "lecun_normal")
    square = init.kaiming_uniform_(square, generator=seeded())
    assert identify(square).candidates == ("kaiming_uniform", "kaiming_uniform_fan_out")
    wide = init.kaiming_normal_(torch.empty(512, 256), generator=seeded(), nonlinearity="linear")
    assert identify(wide).candidates == ("kaiming_normal_fan_out", "lecun_normal")


def test_fans_that_are_nearly_equal_stay_undecided() -> None:
    found = identify(init.xavier_normal_(torch.empty(200, 201), generator=seeded()))
    assert found.scheme == "undecided" and set(found.candidates) == {"xavier_normal", "lecun_normal"}


def test_truncation_far_out_is_no_truncation() -> None:
    assert identify(init.trunc_normal_(torch.empty(256, 128), std=0.02, generator=seeded())).scheme == "normal_0.02"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("native", [True, False], ids=["drawn", "converted"])
def test_rounding_raises_no_alarm_and_hides_no_name(dtype: torch.dtype, native: bool) -> None:
    generator = seeded(4)
    for name, draw in DRAWS.items():
        w = draw(torch.empty(300, 1000, dtype=dtype if native else torch.float32), generator).to(dtype)
        assert is_right(identify(w), name), (name, identify(w))
    w = init.orthogonal_(torch.empty(96, 64), gain=0.5, generator=generator).to(dtype)
    found = identify(w)
    assert found.scheme == "orthogonal" and found.ratio == pytest.approx(0.5, rel=4 * torch.finfo(dtype).eps + 1e-6)


@pytest.mark.parametrize(
    ("dtype", "native"), [(torch.bfloat16, True), (torch.bfloat16, False), (torch.float8_e4m3fn, False)], ids=str
)
def test_rounding_keeps_the_rate(dtype: torch.dtype, native: bool) -> None:
    generator, draws, alpha = seeded(9), 60, 0.2
    drawn = [torch.empty(20_000, dtype=dtype if native else torch.float32) for _ in range(draws)]
    found = [
        recognize(init.uniform_(w, -0.1, 0.1, generator=generator).to(dtype), fan_in=100, alpha=alpha) for w in drawn
    ]
    assert sum(f.scheme != "default" for f in found) <= most_alarms(draws, alpha / 2)  # the test is on the safe side


@pytest.mark.parametrize(("factor", "nearest"), [(0.9, "xavier_normal"), (1.3, "kaiming_normal"), (30, "normal_1")])
def test_a_scaled_normal_is_called_that_with_the_nearest_scheme(factor: float, nearest: str) -> None:
    w = factor * init.kaiming_normal_(torch.empty(256, 256), nonlinearity="linear", generator=seeded())
    found = identify(w)
    std = {"xavier_normal": 1 / 16, "kaiming_normal": math.sqrt(2) / 16, "normal_1": 1.0}[nearest]
    assert (found.scheme, found.candidates) == ("normal", (nearest,))
    assert found.ratio == pytest.approx(factor / 16 / std, rel=0.02) and 0.001 <= found.p <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_free_families_keep_the_rate(dtype: torch.dtype) -> None:
    generator, draws, alpha = seeded(5), 60, 0.1
    for family, draw in {
        "normal": init.normal_,
        "uniform": lambda w, a, b, **kw: init.uniform_(w, -b, b, **kw),
    }.items():
        found = [
            recognize(draw(torch.empty(9000), 0, 7, generator=generator).to(dtype), alpha=alpha) for _ in range(draws)
        ]
        assert {f.scheme for f in found} <= {family, "unknown"} and max(f.p for f in found) <= 1
        assert sum(f.scheme == "unknown" for f in found) <= most_alarms(draws, alpha)


def test_the_uniform_family_is_tested_by_the_entries_below_the_largest() -> None:
    x = torch.empty(500, dtype=torch.float64).uniform_(-7, 7, generator=seeded())
    x[3], x[8] = -7.1, 7.1  # one of the two sets the bound, the other is an entry like any
    rest = stats.kstest(x[torch.arange(500) != 3].numpy(), stats.uniform(-7.1, 14.2).cdf)
    found = recognize(x)
    assert found.scheme == "uniform" and found.p == pytest.approx(rest.pvalue, rel=1e-6)


def test_the_uniform_family_is_recognized_in_eight_bits() -> None:
    x = torch.empty(9000).uniform_(-200, 200, generator=seeded()).to(torch.float8_e4m3fn)
    assert recognize(x).scheme == "uniform"


@pytest.mark.parametrize("seed", range(4))
def test_p_values_are_those_of_the_tests_named(seed: int) -> None:
    """Bonferroni over largest entry, scale and shape; for the free normal family over Shapiro's and Student's test."""
    z = torch.randn(4000, dtype=torch.float64, generator=seeded(seed))
    u = 0.1 * torch.empty_like(z).uniform_(-1, 1, generator=seeded(seed))
    scale = stats.chi2(4000).cdf(z.square().sum())
    largest = 2 * stats.norm.cdf(z.abs().max()) - 1, 10 * u.abs().max()
    tests = {
        "normal_1": (z, [largest[0] ** 4000, 2 * min(scale, 1 - scale), stats.kstest(z, "norm").pvalue]),
        "default": (u, [largest[1] ** 4000, stats.kstest(u, stats.uniform(-0.1, 0.2).cdf).pvalue]),
        "normal": (7 * z, [stats.shapiro(z).pvalue, stats.ttest_1samp(z, 0).pvalue]),
    }
    for scheme, (w, p_values) in tests.items():
        found = recognize(w, fan_in=100)
        assert found.scheme == scheme
        assert found.p == pytest.approx(min(1, len(p_values) * min(float(p) for p in p_values)), rel=1e-6)


def test_of_an_undecided_tensor_the_best_candidate_comes_first() -> None:
    draws = [init.xavier_normal_(torch.empty(200, 203), generator=seeded(seed)) for seed in range(8)]
    below_one = [(w, identify(w)) for w in draws if identify(w).p < 1]
    assert {found.candidates for _, found in below_one} == set(
        itertools.permutations(["lecun_normal", "xavier_normal"])
    )
    for w, found in below_one:
        assert found.scheme == "undecided" and identify(w, math.nextafter(found.p, 1)).scheme not in candidates()


def test_what_torch_draws_for_matrices_alone_is_no_candidate_for_a_vector() -> None:
    found = recognize(0.4 * torch.randn(4000, generator=seeded()), fan_in=13, fan_out=13)
    assert (found.scheme, found.candidates) == ("normal", ("normal_1",)) and found.ratio == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize(("bound", "name"), [(0.1, "default"), (3, "uniform")])
def test_a_p_value_of_alpha_is_enough_and_less_is_not(bound: float, name: str) -> None:
    w = torch.empty(5000).uniform_(-bound, bound, generator=seeded(1))
    p = recognize(w, fan_in=100).p
    assert recognize(w, fan_in=100, alpha=p).scheme == name
    assert recognize(w, fan_in=100, alpha=math.nextafter(p, 1)).scheme != name


def test_a_scaled_uniform_is_called_that() -> None:
    found = identify(0.5 * DRAWS["default"](torch.empty(300, 256), seeded()))
    assert (found.scheme, found.candidates) == ("uniform", ("default",)) and found.ratio == pytest.approx(0.5, rel=0.01)
    assert recognize(torch.empty(5000).uniform_(-3, 3, generator=seeded())).candidates == ()  # nothing to compare with


def half_pruned(w: Tensor) -> Tensor:
    """Every other entry zero, the sum of squares kept: the scale is right, the shape is not."""
    pruned = w * (torch.arange(w.numel()) % 2).view_as(w)
    return pruned * w.norm() / pruned.norm()


@pytest.mark.parametrize(
    "change",
    [
        half_pruned,
        torch.abs,
        lambda w: w + 0.3 * w.std(),
        lambda w: w.sign() * w.std(),
        lambda w: w.index_put((torch.tensor(0),), w.max() * 9),
    ],
    ids=["pruned", "positive", "shifted", "signs", "outlier"],
)
@pytest.mark.parametrize("name", ["kaiming_normal", "default"])
def test_what_no_scheme_draws_is_unknown(name: str, change: Callable[[Tensor], Tensor]) -> None:
    found = identify(change(DRAWS[name](torch.empty(128, 192), seeded(6))))
    assert found.scheme == "unknown" and math.isnan(found.ratio) and found.p < 1e-3 and found.candidates == ()


def test_small_tensors_of_no_scheme_are_undecided_about_the_family() -> None:
    two, three = recognize(50 + torch.tensor([-1.0, 2.0])), recognize(50 + torch.tensor([0.0, 0.05, 0.1]))
    assert two.scheme == "undecided" and two.p == 1 and three.scheme == "unknown"
    found = recognize(torch.tensor([-50.0, 61.0, 38.0, -12.0]))
    assert found.candidates == ("normal", "uniform") and math.isnan(found.ratio) and 0.001 <= found.p <= 1


@pytest.mark.parametrize(
    ("tensor", "scheme"),
    [
        (torch.zeros(5), "zeros"),
        (torch.zeros(4, 4), "zeros"),
        (torch.ones(1), "ones"),
        (torch.full((7,), 0.3), "constant"),
        (torch.full((7,), 0.3, dtype=torch.bfloat16), "constant"),
        (torch.tensor(math.pi).expand(3, 3), "constant"),
        (torch.tensor([0.25]), "constant"),
        (torch.tensor(0.1), "constant"),
        (torch.tensor([1e6]), "constant"),
        (torch.eye(6), "identity"),
        (torch.eye(6, dtype=torch.float64), "identity"),
        (torch.eye(6, 9), "identity"),
        (init.dirac_(torch.empty(8, 8, 3)), "identity"),
        (init.dirac_(torch.empty(3, 5, 3)), "identity"),
        (2 * init.dirac_(torch.empty(3, 5, 3)), "orthogonal"),
        (init.dirac_(torch.empty(8, 4, 3, 3)), "identity"),
        (init.dirac_(torch.empty(8, 1, 3, 3), groups=8), "identity"),
        (init.dirac_(torch.empty(8, 2, 3, 3, 3), groups=4), "identity"),
        (3 * torch.eye(6), "orthogonal"),
        (torch.tensor([[0.0, 1.0], [1.0, 0.0]]), "orthogonal"),
    ],
)  # fmt: skip
def test_exact_structures(tensor: Tensor, scheme: str) -> None:
    found = recognize(tensor, fan_in=3, fan_out=7)
    assert found.scheme == scheme and found.p == 1 and found.candidates == (scheme,)
    assert found.ratio == 1 if scheme == "identity" else scheme == "orthogonal" or math.isnan(found.ratio)


def test_no_kernel_has_more_than_five_dimensions() -> None:
    w = torch.zeros(2, 2, 1, 1, 1, 2)
    w[0, 0, 0, 0, 0, 1] = 1
    assert recognize(w).scheme != "identity"


@pytest.mark.parametrize("value", [0.2534127, -1.234567])
def test_a_single_random_number_stays_undecided(value: float) -> None:
    found = recognize(torch.tensor([value]))
    assert found.scheme == "undecided" and {"constant", "normal_1"} <= set(found.candidates)
    assert math.isnan(found.ratio)
    assert recognize(torch.tensor([0.25], dtype=torch.bfloat16)).scheme == "undecided"  # each bfloat16 is that short


@pytest.mark.parametrize("shape", [(64, 64), (64, 200), (200, 64), (2, 9), (32, 16, 3, 3)], ids=str)
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_orthogonal_with_its_gain(shape: tuple[int, ...], gain: float) -> None:
    found = identify(init.orthogonal_(torch.empty(shape), gain=gain, generator=seeded()))
    assert found.scheme == "orthogonal" and found.ratio == pytest.approx(gain, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_random_rows_are_not_orthogonal_by_chance(dtype: torch.dtype) -> None:
    generator = seeded(7)
    for shape in [(2, 2), (2, 1000), (2, 20_000), (9, 20_000)]:  # rounded, long rows look as orthogonal as they can be
        draws = [init.normal_(torch.empty(shape), generator=generator).to(dtype) for _ in range(12)]
        assert sum(recognize(w).scheme == "orthogonal" for w in draws) <= most_alarms(12, 1e-3)


def test_one_wrong_row_is_not_orthogonal() -> None:
    w = init.orthogonal_(torch.empty(64, 64), generator=seeded())
    assert identify(w.index_fill(0, torch.tensor(63), 0.125)).scheme != "orthogonal"


def test_recognition_only_reads() -> None:
    w = init.normal_(torch.empty(40, 30), generator=seeded()).requires_grad_()
    before, state = w.detach().clone(), torch.get_rng_state()
    assert identify(w) == identify(w)
    assert torch.equal(w, before) and w._version == 1 and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tensor": [1.0]}, TypeError, r"tensor = \[1.0\]"),
        ({"tensor": torch.ones(3, dtype=torch.int64)}, ValueError, "int64 that is not real"),
        ({"tensor": torch.ones(3, dtype=torch.complex64)}, ValueError, "complex64 that is not real"),
        ({"tensor": torch.tensor([math.nan])}, ValueError, "not finite"),
        ({"tensor": torch.ones(0)}, ValueError, "empty"),
        ({"tensor": torch.ones(3, device="meta")}, ValueError, "not there yet"),
        ({"fan_in": 0}, ValueError, "fan_in = 0"),
        ({"fan_out": math.inf}, ValueError, "fan_out = inf"),
        ({"hidden_size": -1}, ValueError, "hidden_size = -1"),
        ({"alpha": 0.0}, ValueError, "alpha = 0.0"),
        ({"alpha": 1}, ValueError, "alpha = 1"),
    ],
)
def test_recognize_refuses(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        recognize(**{"tensor": torch.ones(3), **arguments})  # type: ignore[arg-type]
