import math
import warnings
from collections.abc import Callable

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.gains import Direction, chi, derivative, gain, gaussian_mean, length_map, stability

mpmath.mp.dps = 30


def phi_normal(x: float) -> mpmath.mpf:
    return mpmath.ncdf(x)


# Each activation in torch, in mpmath, its derivative in mpmath, and the points where either has a kink.
ORACLE: dict[str, tuple[Callable[[Tensor], Tensor], Callable, Callable, list[float]]] = {
    "relu": (torch.relu, lambda s: max(s, 0), lambda s: 1 if s > 0 else 0, [0]),
    "leaky": (nn.LeakyReLU(0.2), lambda s: s if s > 0 else s / 5, lambda s: 1 if s > 0 else 0.2, [0]),
    "tanh": (torch.tanh, mpmath.tanh, lambda s: mpmath.sech(s) ** 2, [0]),
    "sigmoid": (
        torch.sigmoid,
        lambda s: 1 / (1 + mpmath.exp(-s)),
        lambda s: mpmath.exp(-s) / (1 + mpmath.exp(-s)) ** 2,
        [0],
    ),
    "softsign": (functional.softsign, lambda s: s / (1 + abs(s)), lambda s: 1 / (1 + abs(s)) ** 2, [0]),
    "elu": (nn.ELU(), lambda s: s if s > 0 else mpmath.expm1(s), lambda s: 1 if s > 0 else mpmath.exp(s), [0]),
    "gelu": (
        functional.gelu,
        lambda s: s * phi_normal(s),
        lambda s: phi_normal(s) + s * mpmath.npdf(s),
        [0],
    ),
    "silu": (
        functional.silu,
        lambda s: s / (1 + mpmath.exp(-s)),
        lambda s: (1 + mpmath.exp(-s) * (1 + s)) / (1 + mpmath.exp(-s)) ** 2,
        [0],
    ),
    "hardtanh": (nn.Hardtanh(), lambda s: max(-1, min(1, s)), lambda s: 1 if abs(s) < 1 else 0, [-1, 0, 1]),
}


def exact_mean(f: Callable, q: float, kinks: list[float]) -> float:
    root = mpmath.sqrt(q)
    edges = sorted({-40.0, *(float(k) / float(root) for k in kinks), 40.0})
    return float(mpmath.quad(lambda z: f(root * z) * mpmath.npdf(z), edges))


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("q", [1.0, 0.37])
@pytest.mark.parametrize("name", ORACLE)
def test_gain_against_thirty_digits(name: str, q: float, direction: Direction) -> None:
    activation, f, slope, kinks = ORACLE[name]
    moment = (
        exact_mean(lambda s: f(s) ** 2, q, kinks) / q
        if direction == "forward"
        else exact_mean(lambda s: slope(s) ** 2, q, kinks)
    )
    computed = gain(activation, direction, q=q)
    assert computed == pytest.approx(1 / math.sqrt(moment), rel=1e-9)
    assert abs(computed - 1 / math.sqrt(moment)) <= computed.error < 1e-8


# Activations made of polynomials, piece by piece: where each ends, and its coefficients of 1, s, s².
PIECES: dict[str, tuple[nn.Module, list[float], list[list[float]]]] = {
    "hardtanh": (nn.Hardtanh(), [-1, 1], [[-1], [0, 1], [1]]),
    "hardshrink": (nn.Hardshrink(), [-0.5, 0.5], [[0, 1], [0], [0, 1]]),
    "softshrink": (nn.Softshrink(0.7), [-0.7, 0.7], [[0.7, 1], [0], [-0.7, 1]]),
    "threshold": (nn.Threshold(0.3, -2.0), [0.3], [[-2], [0, 1]]),
    "relu6": (nn.ReLU6(), [0, 6], [[0], [0, 1], [6]]),
    "hardswish": (nn.Hardswish(), [-3, 3], [[0], [0, 1 / 2, 1 / 6], [0, 1]]),
}


def partial_moment(k: int, low: float, high: float, q: float) -> mpmath.mpf:
    """The integral of s^k times the density of N(0, q) between two points, by parts down to the error function."""
    if high <= 0:  # far below 0 the mirror image loses no digits
        return (-1) ** k * partial_moment(k, -high, -low, q)
    root = mpmath.sqrt(q)

    def above(z: mpmath.mpf, k: int) -> mpmath.mpf:
        if k == 0:
            return mpmath.erfc(z / mpmath.sqrt(2)) / 2
        edge = 0 if mpmath.isinf(z) else z ** (k - 1) * mpmath.npdf(z)
        return edge + ((k - 1) * above(z, k - 2) if k > 1 else 0)

    return root**k * (above(low / root, k) - above(high / root, k))


def mean_square(ends: list[float], pieces: list[list[float]], q: float) -> float:
    """The second moment of a function made of polynomials."""
    borders = [-mpmath.inf, *ends, mpmath.inf]
    return float(
        sum(
            one * other * partial_moment(i + j, low, high, q)
            for low, high, piece in zip(borders, borders[1:], pieces, strict=False)
            for i, one in enumerate(piece)
            for j, other in enumerate(piece)
        )
    )


def slopes(piece: list[float]) -> list[float]:
    return [k * coefficient for k, coefficient in enumerate(piece)][1:]


@pytest.mark.filterwarnings("ignore:.* does not converge")
@pytest.mark.parametrize("exponent", range(-8, 9))
@pytest.mark.parametrize("name", PIECES)
def test_kinks_and_jumps_anywhere_at_any_scale(name: str, exponent: int) -> None:
    activation, ends, pieces = PIECES[name]
    q = 10.0**exponent
    for computed, exact in [
        (length_map(activation, q), mean_square(ends, pieces, q)),
        (chi(activation, q), mean_square(ends, [slopes(piece) for piece in pieces], q)),
    ]:
        loose = 0 < exact < 1e-80  # it comes from beyond 19 deviations, where the quadrature vouches for nothing
        assert abs(computed - exact) <= computed.error <= (2 if loose else 1e-9) * exact


@given(st.floats(-8, 8), st.floats(-8, 8), st.integers(0, 2))
def test_the_error_is_a_bound_wherever_a_kink_lies(exponent: float, place: float, power: int) -> None:
    q = 10.0**exponent
    kink = place * math.sqrt(q)

    def f(s: Tensor) -> Tensor:
        return torch.where(s > kink, (s - kink) ** power, 0.0)

    terms = [math.comb(power, k) * mpmath.mpf(-kink) ** (power - k) for k in range(power + 1)]
    exact = sum(term * partial_moment(k, kink, mpmath.inf, q) for k, term in enumerate(terms))
    computed = gaussian_mean(f, q)
    assert abs(float(computed) - exact) <= computed.error <= 1e-8 * exact


@pytest.mark.parametrize("q", [1e4, 1e6, 1e8])
def test_what_is_sharp_on_the_gaussian_s_scale_is_seen(q: float) -> None:
    density = 1 / math.sqrt(2 * math.pi * q)  # flat where the slope is not zero
    assert chi(torch.tanh, q) == pytest.approx(4 / 3 * density, rel=1 / q)
    assert chi(lambda s: torch.tanh(s - 1000), q) == pytest.approx(4 / 3 * density * math.exp(-1e6 / 2 / q), rel=1e-2)
    assert chi(torch.sigmoid, q) == pytest.approx(1 / 6 * density, rel=4 / q)


def test_of_an_infinite_mean_nothing_is_known() -> None:
    with pytest.warns(RuntimeWarning, match="does not converge: inf with an error of inf"):
        assert gaussian_mean(spike).error == math.inf


def test_what_cannot_be_resolved_warns_and_says_how_far_off_it_may_be() -> None:
    with pytest.warns(RuntimeWarning, match="does not converge"):
        computed = gaussian_mean(lambda s: torch.sin(1e5 * s) ** 2)
    assert 0 < abs(computed - 0.5) <= computed.error


@pytest.mark.parametrize("name", ORACLE)
def test_stability_is_the_slope_of_the_length_map_in_logarithms(name: str) -> None:
    activation = ORACLE[name][0]
    step = 1e-4
    up, down = (math.log(length_map(activation, math.exp(h), sigma_w=1.3)) for h in (step, -step))
    assert stability(activation) == pytest.approx((up - down) / (2 * step), abs=1e-6)


@given(st.floats(0.05, 20), st.floats(0.1, 3), st.floats(0, 2))
def test_length_map_and_chi_of_relu_are_closed_forms(q: float, sigma_w: float, sigma_b: float) -> None:
    assert length_map(torch.relu, q, sigma_w=sigma_w, sigma_b=sigma_b) == pytest.approx(
        sigma_w**2 * q / 2 + sigma_b**2, rel=1e-9
    )
    assert chi(torch.relu, q, sigma_w=sigma_w) == pytest.approx(sigma_w**2 / 2, rel=1e-9)


@given(st.floats(-0.9, 3), st.floats(0.05, 5))
def test_leaky_gain_is_he_formula(slope: float, q: float) -> None:
    assert gain(nn.LeakyReLU(slope), q=q) == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-9)


@given(st.integers(0, 6), st.floats(0.1, 9))
def test_gaussian_mean_knows_the_moments_of_a_gaussian(k: int, q: float) -> None:
    double_factorial = math.prod(range(2 * k - 1, 0, -2))
    assert gaussian_mean(lambda s: s ** (2 * k), q) == pytest.approx(double_factorial * q**k, rel=1e-9)


def test_derivative_is_autograd_at_each_entry_and_zero_for_a_step() -> None:
    s = torch.linspace(-2, 2, 7, dtype=torch.float64)
    torch.testing.assert_close(derivative(torch.tanh, s), 1 - torch.tanh(s) ** 2)
    assert derivative(torch.sign, s).eq(0).all()
    assert derivative(lambda t: (t > 0).double(), s).eq(0).all()
    assert not s.requires_grad


@pytest.mark.parametrize("a", [0.2499, 0.245])
def test_what_lies_beyond_the_reach_of_the_quadrature_warns(a: float) -> None:
    # Of E[exp(0.4998 z²)] = 50 a third comes from |z| > 38, of E[exp(0.49 z²)] = 7 almost a hundredth from |z| > 19.
    with pytest.warns(RuntimeWarning, match="does not converge"):
        gain(lambda s: torch.exp(a * s**2))


def spike(s: Tensor) -> Tensor:
    return torch.exp(s**2)


@pytest.mark.parametrize(
    ("call", "integrals"),
    [
        (lambda: gaussian_mean(spike), ["the Gaussian mean"]),
        (lambda: gain(spike), ["the forward second moment"]),
        (lambda: gain(spike, "backward"), ["the backward second moment"]),
        (lambda: length_map(spike, 1.0), ["the second moment"]),
        (lambda: chi(spike), ["the mean squared slope"]),
        (lambda: stability(spike), ["the slope", "the second moment"]),
    ],
)
def test_a_warning_says_which_integral_of_which_function(call: Callable[[], object], integrals: list[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    found = [str(warning.message).partition(" does not converge: ")[0] for warning in caught]
    assert found == [f"{integral} of spike" for integral in integrals]


def test_results_pass_on_the_relative_error_of_their_integrals() -> None:
    f, q = ORACLE["hardtanh"][0], 0.37
    moment = gaussian_mean(lambda s: f(s).square(), q)
    steep = gaussian_mean(lambda s: derivative(f, s).square(), q)
    slope = gaussian_mean(lambda s: s * f(s) * derivative(f, s), q)
    forward, backward, ratio = gain(f, q=q), gain(f, "backward", q=q), stability(f, q)
    assert min(moment.error, steep.error, slope.error) > 0
    assert forward.error / forward == pytest.approx(moment.error / moment / 2, rel=1e-3)  # g goes as 1/sqrt(moment)
    assert backward.error / backward == pytest.approx(steep.error / steep / 2, rel=1e-3)
    assert ratio.error / ratio == pytest.approx(slope.error / slope + moment.error / moment, rel=1e-3)
    assert length_map(f, q, sigma_w=3.0, sigma_b=5.0).error == pytest.approx(9 * moment.error, rel=1e-3, abs=0)
    assert chi(f, q, sigma_w=3.0).error == pytest.approx(9 * steep.error, rel=1e-3, abs=0)


def test_what_is_not_given_is_one_or_without_a_bias() -> None:
    f = torch.tanh
    assert length_map(f, 0.7) == length_map(f, 0.7, sigma_w=1.0, sigma_b=0.0)
    assert chi(f) == chi(f, 1.0, sigma_w=1.0)
    assert (gain(f), stability(f)) == (gain(f, "forward", q=1.0), stability(f, 1.0))
    assert gaussian_mean(torch.square) == pytest.approx(1)


def test_activations_that_work_in_place() -> None:
    relu = nn.ReLU(inplace=True)
    assert gain(relu, "backward") == pytest.approx(math.sqrt(2)) and stability(relu) == pytest.approx(1)


def test_modules_are_used_in_eval_mode() -> None:
    slope = (1 / 8 + 1 / 3) / 2
    assert gain(nn.RReLU()) == pytest.approx(math.sqrt(2 / (1 + slope**2)))


def test_modules_are_used_in_float64_and_left_alone() -> None:
    prelu = nn.PReLU()
    assert gain(prelu) == pytest.approx(math.sqrt(2 / (1 + 0.25**2)))
    assert prelu.weight.dtype == torch.float32 and prelu.training and prelu.weight.grad is None


@pytest.mark.parametrize("diverges", [lambda s: torch.exp(s**2 / 4), lambda s: torch.exp(s**2), lambda s: 1 / s])
def test_integral_that_does_not_converge_warns(diverges: Callable[[Tensor], Tensor]) -> None:
    with pytest.warns(RuntimeWarning, match="does not converge"):
        gain(diverges)


@pytest.mark.parametrize("odd", [torch.tanh, functional.softsign, nn.SELU(), torch.zeros_like])
def test_a_mean_of_zero_does_not_warn(odd: Callable[[Tensor], Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gaussian_mean(odd) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("a", [0.4, 0.45])
def test_slow_but_convergent_integral_does_not_warn(a: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gaussian_mean(lambda s: torch.exp(a * s**2))
    assert found == pytest.approx(1 / math.sqrt(1 - 2 * a), rel=1e-9)
    tail = math.erfc(19 * math.sqrt(0.5 - a)) / math.sqrt(1 - 2 * a)  # what comes from |z| > 19
    assert found.error == pytest.approx(tail, abs=1e-11)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: gain(torch.relu, "sideways"), r"direction = 'sideways', but it must be \"forward\" or \"backward\""),
        (lambda: gain("relu"), "'relu' is not a function of one float64 tensor"),
        (lambda: gain(torch.softmax), "softmax is not a function of one float64 tensor"),
        (lambda: gain(nn.Softmax(dim=0)), r"Softmax\(dim=0\) is not elementwise"),
        (lambda: gain(torch.sum), "sum is not elementwise"),
        (lambda: gain(lambda s: s - s.mean()), "is not elementwise"),
        (lambda: gain(torch.zeros_like), "zeros_like has no forward signal to preserve"),
        (lambda: gain(torch.sign, "backward"), "sign has no backward signal to preserve"),
        (lambda: gain(torch.relu, q=0.0), "q = 0.0, but a second moment must be positive and finite"),
        (lambda: length_map(torch.relu, -1.0), "q = -1.0"),
        (lambda: chi(torch.relu, math.inf), "q = inf"),
        (lambda: stability(torch.relu, math.nan), "q = nan"),
    ],
)
def test_bad_input_is_repeated_in_the_error(bad: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad()


def test_a_factor_below_ten_can_be_far_too_small() -> None:
    """Four sigmoid layers at the exact gain: errors die out, and so does the gradient."""
    error = stability(torch.sigmoid) ** 4
    gradient = chi(torch.sigmoid, sigma_w=float(gain(torch.sigmoid))) ** 4
    assert error < 10 and gradient < 10  # a rule with one side would call this good enough
    assert gradient < 1e-3
