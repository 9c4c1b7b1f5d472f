"""Every scheme's record against torch, against itself, and against whatever reads it.

A new scheme needs its entry in SCHEMES and its data here: in TORCH the call that draws the same, in FAMILIES the first
word of its name, if that is new. Everything below then runs for it, as it does for the throw-away scheme at the end.
"""

import math
import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from randomness import seeded, std_bound
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils import plotting
from tutorial_utils.audit import audit
from tutorial_utils.data import digits
from tutorial_utils.initializers import fans, gain_of, initialize_
from tutorial_utils.recognize import FIXED_LAWS, MODULE_LAWS
from tutorial_utils.runs import Run
from tutorial_utils.schemes import SCHEMES, Distribution, Law, Scheme, normal, symmetric, uniform

KURTOSIS = {"normal": 3.0, "uniform": 9 / 5}
TORCH: dict[str, Callable[..., Tensor]] = {
    "zeros": lambda w, generator: init.zeros_(w),
    "constant": lambda w, generator: init.constant_(w, 1.0),
    "normal": lambda w, generator: init.normal_(w, std=1.0, generator=generator),
    "uniform": lambda w, generator: init.uniform_(w, -1.0, 1.0, generator=generator),
    "default": lambda w, generator: init.kaiming_uniform_(w, a=5**0.5, generator=generator),
    "xavier_uniform": init.xavier_uniform_,
    "xavier_normal": init.xavier_normal_,
    "kaiming_uniform": lambda w, **rest: init.kaiming_uniform_(w, nonlinearity="relu", **rest),
    "kaiming_normal": lambda w, **rest: init.kaiming_normal_(w, nonlinearity="relu", **rest),
    "kaiming_uniform_fan_out": lambda w, **rest: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu", **rest),
    "kaiming_normal_fan_out": lambda w, **rest: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu", **rest),
    "lecun_uniform": lambda w, **rest: init.kaiming_uniform_(w, nonlinearity="linear", **rest),
    "lecun_normal": lambda w, **rest: init.kaiming_normal_(w, nonlinearity="linear", **rest),
    "orthogonal": init.orthogonal_,
}
FAMILIES = {"zeros constant", "normal uniform", "default", "xavier", "kaiming", "lecun", "orthogonal"}
RANDOM = [name for name, scheme in SCHEMES.items() if scheme.law]
WITH_GAIN = [name for name, scheme in SCHEMES.items() if scheme.law and scheme.nonlinearity]


def drawn(name: str, layer: nn.Linear, **settings: object) -> Tensor:
    return initialize_(layer, name, **SCHEMES[name].options, **settings).weight.detach()  # type: ignore[arg-type]


def law_of(name: str, n_in: float, n_out: float) -> Distribution:
    law = SCHEMES[name].law
    assert law is not None
    known = {"fan_in": n_in, "fan_out": n_out, **SCHEMES[name].options}
    return law.distribution(**{size: known[size] for size in law.needs})


def check_moments(name: str, n_in: int, n_out: int, seed: int, nonlinearity: str | None = None) -> None:
    """The moments and the range of a draw are those of the law, times the ratio of the gains."""
    weight = drawn(name, nn.Linear(n_in, n_out), generator=seeded(seed), nonlinearity=nonlinearity).double()
    family, std, mean = law_of(name, n_in, n_out)
    own = SCHEMES[name].nonlinearity
    std *= gain_of(nonlinearity) / gain_of(own) if nonlinearity and own else 1
    assert abs(weight.std() / std - 1) < std_bound(weight.numel(), KURTOSIS[family])
    assert abs(weight.mean() - mean) < 5 * std / math.sqrt(weight.numel())
    largest = (weight - mean).abs().max()
    if family == "uniform":
        assert 0.99 < largest / (math.sqrt(3) * std) < 1 + 1e-6
    else:
        assert largest > 2.5 * std


def check_recognition(name: str) -> None:
    """The audit of a layer whose fans are told apart names the scheme."""
    layer = nn.Linear(200, 500, bias=False)
    drawn(name, layer, generator=seeded(3))
    other = {
        "normal": "normal_1",
        "constant": "ones",
    }  # the options at unit scale make these what has a name of its own
    assert audit(layer).scheme[0] == other.get(name, name)


def in_python(law: Law, **sizes: float) -> Distribution:
    """What the printed formula of a law says, by reading it as Python."""
    code = re.sub(r"√(\w+)", r"sqrt(\1)", law.formula).replace("√", "sqrt").replace("²", "**2")
    words = {"sqrt": math.sqrt, "N": lambda _, variance: normal(variance)}
    words["U"] = lambda *bounds: uniform(*bounds) if len(bounds) == 2 else symmetric(*bounds)
    return eval(code, words, sizes)


def check_formula(law: Law) -> None:
    """The formula in print is the one that is computed."""
    sizes = dict(zip(law.needs, (0.7, 3.5), strict=False))
    printed, computed = in_python(law, **sizes), law.distribution(**sizes)
    assert printed.family == computed.family
    assert printed[1:] == pytest.approx(computed[1:])


def test_every_scheme_has_its_data_here() -> None:
    assert set(TORCH) == set(SCHEMES)
    assert {name.split("_")[0] for name in SCHEMES} == {word for family in FAMILIES for word in family.split()}


@pytest.mark.parametrize("name", RANDOM)
def test_a_draw_has_the_moments_of_its_law(name: str) -> None:
    check_moments(name, 300, 150, seed=1)


@settings(max_examples=30)
@given(
    st.sampled_from(WITH_GAIN),
    st.integers(50, 400),
    st.integers(50, 400),
    st.sampled_from(["linear", "relu", "tanh"]),
    st.integers(0, 10**6),
)
def test_a_gain_scales_the_law(name: str, n_in: int, n_out: int, nonlinearity: str, seed: int) -> None:
    check_moments(name, n_in, n_out, seed, nonlinearity)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_draws_are_torch_nn_init_s(name: str) -> None:
    expected = TORCH[name](torch.empty(9, 6, 3, 3), generator=seeded(5))
    ours = initialize_(nn.Conv2d(6, 9, 3), name, generator=seeded(5), **SCHEMES[name].options).weight
    torch.testing.assert_close(ours.detach(), expected)


@pytest.mark.parametrize("name", SCHEMES)
def test_recognition_names_the_scheme(name: str) -> None:
    check_recognition(name)


LAWS = {name: scheme.law for name, scheme in SCHEMES.items() if scheme.law} | MODULE_LAWS | FIXED_LAWS
EXACT = [name for name in LAWS if "within" not in LAWS[name].formula]


@pytest.mark.parametrize("name", EXACT)
def test_the_formula_in_print_is_the_law(name: str) -> None:
    check_formula(LAWS[name])


def test_each_family_has_one_color_and_each_scheme_one_label() -> None:
    colors = [{SCHEMES[name].color for name in SCHEMES if name.split("_")[0] in family.split()} for family in FAMILIES]
    assert all(len(shades) == 1 for shades in colors) and len(set.union(*colors)) == len(FAMILIES)
    assert len({scheme.label for scheme in SCHEMES.values()}) == len(SCHEMES)


def test_a_new_scheme_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn, trained with, recognized and colored without a line of code anywhere else."""

    def fill(w: Tensor, *, gain: float, generator: torch.Generator | None) -> Tensor:
        return init.normal_(w, std=gain / math.sqrt(10 * w.shape[1]), generator=generator)

    record = Scheme(
        label="Throw-away",
        fill=fill,
        law=Law("N(0, 0.1 / fan_in)", lambda fan_in: normal(0.1 / fan_in)),
        color="#123456",
        nonlinearity="linear",
    )
    monkeypatch.setitem(SCHEMES, "throw_away", record)
    check_moments("throw_away", 300, 150, seed=1, nonlinearity="tanh")
    check_recognition("throw_away")
    check_formula(record.law)
    assert plotting.color("throw_away") == plotting.color("throw") == "#123456"
    network = Run(depth=1, width=8, scheme="throw_away").network(digits(generator=seeded()))
    assert network.linear1.weight.std().item() == pytest.approx(math.sqrt(0.1 / fans(network.linear1).fan_in), rel=0.2)
