import math
import warnings
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from randomness import seeded, std_bound
from torch import nn
from torch.nn import init
from torch.nn.utils import spectral_norm
from torch.nn.utils.parametrizations import weight_norm

from tutorial_utils.initializers import Fans, fans, gain_of, initialize_
from tutorial_utils.networks import mlp
from tutorial_utils.schemes import SCHEMES


@pytest.mark.parametrize(
    "make",
    [lambda: nn.Linear(7, 5), lambda: nn.Conv1d(4, 6, 3, groups=2), lambda: nn.ConvTranspose2d(3, 8, 3, stride=2)],
)
def test_default_is_what_the_constructor_does(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    constructed = make()
    torch.manual_seed(0)
    blank = make()
    initialize_(blank, "zeros")
    torch.manual_seed(0)
    initialize_(blank, "default")
    torch.testing.assert_close(blank.state_dict(), constructed.state_dict(), rtol=0, atol=0)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 3))
def test_orthogonal_rows_or_columns_have_norm_gain(n_in: int, n_out: int, g: float) -> None:
    layer = initialize_(nn.Linear(n_in, n_out).double(), "orthogonal", nonlinearity=g)
    w = layer.weight.detach()
    gram = w @ w.T if n_out <= n_in else w.T @ w
    torch.testing.assert_close(gram, g**2 * torch.eye(len(gram), dtype=w.dtype), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_generator_makes_all_draws_and_biases_are_zero(scheme: str) -> None:
    before = torch.get_rng_state()
    nets = [mlp([5, 7, 3]) for _ in range(3)]
    torch.set_rng_state(before)
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        assert initialize_(net, scheme, generator=seeded(seed), **SCHEMES[scheme].options) is net
    assert torch.equal(torch.get_rng_state(), before)
    one, same, other = (torch.cat([p.detach().flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(one, same)
    assert torch.equal(one, other) == (scheme in {"zeros", "constant"})
    if scheme != "default":
        assert all(bool((p == 0).all()) for net in nets for name, p in net.named_parameters() if "bias" in name)


def test_plain_schemes_take_their_parameters() -> None:
    assert initialize_(nn.Linear(3, 2), "constant", val=0.3).weight.detach().eq(0.3).all()
    w = initialize_(nn.Linear(300, 200), "normal", std=0.02, generator=seeded()).weight.detach()
    assert abs(w.std() / 0.02 - 1) < std_bound(w.numel())
    w = initialize_(nn.Linear(300, 200), "uniform", a=-0.5, b=0.1, generator=seeded()).weight.detach()
    assert w.min() >= -0.5 and w.max() <= 0.1 and w.min() < -0.49 and w.max() > 0.09


def test_normalization_embedding_and_grad_flags_are_left_alone() -> None:
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3))
    with torch.no_grad():
        model[2].weight.fill_(7)
    embedding = model[0].weight.detach().clone()
    initialize_(model, "kaiming_normal")
    assert torch.equal(model[0].weight, embedding) and model[2].weight.eq(7).all()
    assert all(p.requires_grad for p in model.parameters())


def test_a_layer_that_occurs_twice_is_drawn_once() -> None:
    layer = nn.Linear(4, 4)
    twice = initialize_(nn.Sequential(layer, nn.ReLU(), layer), "xavier_normal", generator=seeded())
    once = initialize_(nn.Linear(4, 4), "xavier_normal", generator=seeded())
    assert torch.equal(twice[0].weight, once.weight)


def test_gain_of_name_function_and_number_agree() -> None:
    assert gain_of("relu") == pytest.approx(gain_of(torch.relu)) == pytest.approx(gain_of(2**0.5))
    assert gain_of("tanh") == pytest.approx(5 / 3)
    assert gain_of(torch.tanh) == pytest.approx(1.592537, abs=1e-6)


conv = st.integers(1, 3).flatmap(
    lambda groups: st.builds(
        dict,
        in_channels=st.integers(1, 4).map(lambda c: c * groups),
        out_channels=st.integers(1, 4).map(lambda c: c * groups),
        kernel_size=st.integers(1, 4),
        stride=st.integers(1, 3),
        groups=st.just(groups),
    )
)


@given(conv, st.booleans())
def test_fans_are_the_connections_counted(arguments: dict[str, int], transposed: bool) -> None:
    """Count by hand: with unit weights and inputs, an output is its number of inputs; gradients count the outputs."""
    kernel, stride = arguments["kernel_size"], arguments["stride"]
    assume(stride <= kernel)
    module = (nn.ConvTranspose1d if transposed else nn.Conv1d)(**arguments, bias=False).double()
    initialize_(module, "constant", val=1.0)
    length = 12 * stride * kernel
    x = torch.ones(1, arguments["in_channels"], length, dtype=torch.float64, requires_grad=True)
    y = module(x)
    inner = slice(3 * kernel, 3 * kernel + 2 * stride)  # whole periods, away from the borders
    (counts,) = torch.autograd.grad(y.sum(), x)
    assert fans(module) == pytest.approx((y[0, :, inner].mean().item(), counts[0, :, inner].mean().item()))


def test_fans_of_linear_and_depthwise() -> None:
    assert fans(nn.Linear(3, 5)) == Fans(3, 5)
    assert fans(nn.Conv2d(64, 64, 3, groups=64)) == Fans(9, 9)
    assert init._calculate_fan_in_and_fan_out(nn.Conv2d(64, 64, 3, groups=64).weight) == (9, 576)


def old_weight_norm() -> nn.Linear:
    """Weight normalization as PyTorch had it before parametrizations: the class is still Linear."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return torch.nn.utils.weight_norm(nn.Linear(2, 2))


class LowRank(nn.Linear):
    """A linear layer with an adapter: what it computes is not its weight alone."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.down, self.up = nn.Parameter(torch.empty(1, n_in)), nn.Parameter(torch.zeros(n_out, 1))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: initialize_(nn.Linear(2, 2), "he"), "scheme = 'he', but it must be one of zeros, .*kaiming_normal"),
        (lambda: initialize_(nn.Linear(2, 2), "normal"), r"options of 'normal': none, needed: \['std'\]"),
        (lambda: initialize_(nn.Linear(2, 2), "zeros", val=1.0), r"options of 'zeros': \['val'\], needed: none"),
        (lambda: initialize_(nn.Linear(2, 2), "default", nonlinearity="relu"), "'default' takes no gain"),
        (lambda: initialize_(nn.Linear(2, 2), "xavier_normal", nonlinearity="gelu"), "no gain for 'gelu'"),
        (lambda: initialize_(nn.ReLU(), "zeros"), "ReLU has no Linear or convolutional layer"),
        (lambda: initialize_(nn.LazyLinear(2), "zeros"), "has no weight yet"),
        (lambda: initialize_(nn.Linear(2, 2, device="meta"), "zeros"), "on the meta device"),
        (lambda: initialize_(weight_norm(nn.Linear(2, 2)), "zeros"), "computed .by a parametrization, weight_norm"),
        (
            lambda: initialize_(spectral_norm(nn.Linear(2, 2)), "zeros"),
            r"weight is computed .*\); initialize .* before",
        ),
        (lambda: initialize_(old_weight_norm(), "zeros"), "computed .by a parametrization, weight_norm"),
        (lambda: initialize_(LowRank(2, 2), "zeros"), r"\(LowRank\) owns down, up, for which no scheme has a rule"),
        (lambda: initialize_(nn.Linear(2, 2), "xavier_normal", nonlinearity=math.nan), "nonlinearity = nan"),
        (lambda: initialize_(nn.Linear(2, 2), "xavier_normal", nonlinearity=math.inf), "nonlinearity = inf"),
        (lambda: initialize_(nn.Linear(2, 2), "xavier_normal", nonlinearity=0.0), "0.0, but a gain must be positive"),
    ],
)
def test_bad_input_is_repeated_in_the_error(bad: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad()


def test_zero_biases_cost_no_draw() -> None:
    with_bias, without = (mlp([5, 7, 3], bias=bias) for bias in (True, False))
    for net in (with_bias, without):
        initialize_(net, "kaiming_normal", generator=seeded())
    assert torch.equal(with_bias.linear2.weight, without.linear2.weight)


def test_nothing_is_drawn_when_a_later_layer_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2))
    before = model[0].weight.detach().clone()
    with pytest.raises(ValueError, match="has no weight yet"):
        initialize_(model, "zeros")
    assert torch.equal(model[0].weight, before)


def test_fans_of_another_module_are_refused() -> None:
    with pytest.raises(TypeError, match="fans of ReLU"):
        fans(nn.ReLU())
