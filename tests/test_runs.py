from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tutorial_utils.data import Split
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import conv_net, mlp
from tutorial_utils.runs import ACTIVATIONS, NORMS, Run, grid
from tutorial_utils.schemes import SCHEMES


def vectors(dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (5,)) -> Split:
    return Split(torch.ones(6, *shape, dtype=dtype), torch.arange(6) % 3, torch.ones(2, *shape), torch.tensor([0, 3]))


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def test_a_grid_is_every_combination_the_last_axis_fastest() -> None:
    runs = grid(depth=[1, 2], activation="tanh", lr=(lr for lr in (0.1, 1.0)))
    assert [(c.depth, c.activation, c.lr) for c in runs] == [
        *[(1, "tanh", 0.1), (1, "tanh", 1.0)],
        *[(2, "tanh", 0.1), (2, "tanh", 1.0)],
    ]


@pytest.mark.parametrize("numbers", [np.array([0.5, 2]), torch.tensor([0.5, 2]), np.float32(0.5), torch.tensor(0.5)])
def test_an_axis_of_any_library_becomes_plain_numbers(numbers: Any) -> None:
    runs = grid(lr=numbers, seed=np.arange(2))
    assert {(type(c.lr), type(c.seed)) for c in runs} == {(float, int)} and runs[0].lr == 0.5


def test_numbers_of_other_libraries_are_the_same_configuration() -> None:
    assert repr(Run(depth=np.int64(3), lr=np.float32(1), scale=2)) == repr(Run(depth=3, lr=1.0, scale=2.0))


@given(st.sampled_from(list(SCHEMES)), st.sampled_from(list(ACTIVATIONS)), st.sampled_from(list(NORMS)))
def test_the_network_is_the_builder_s_at_the_scheme_s_start(scheme: str, activation: str, norm: str) -> None:
    run = Run(depth=2, width=7, activation=activation, scheme=scheme, norm=norm, scale=0.5, seed=3)
    expected = mlp([5, 7, 7, 4], ACTIVATIONS[activation], norm=NORMS[norm][0]).double()
    generator = torch.Generator().manual_seed(6)
    initialize_(expected, scheme, generator=generator, **SCHEMES[scheme].options)
    found = run.network(vectors())
    assert str(found) == str(expected) and found.training
    for name, tensor in found.state_dict().items():
        scaled = "linear" in name and "weight" in name
        assert torch.equal(tensor, expected.state_dict()[name] * (0.5 if scaled else 1)), name


def test_images_get_a_conv_net() -> None:
    run = Run(depth=2, width=4, activation="elu", norm="batch")
    net = run.network(vectors(torch.float32, (1, 6, 6)))
    assert str(net) == str(conv_net([1, 4, 4], 4, nn.ELU, norm=nn.BatchNorm2d))
    assert net.conv1.weight.dtype == torch.float32


def test_starts_with_one_seed_differ_by_the_scale_alone() -> None:
    one, three = (Run(scale=scale, seed=1).network(vectors()) for scale in (1.0, 3.0))
    assert all(torch.equal(3 * a, b) for a, b in zip(weights(one), weights(three), strict=True))
    other = Run(seed=2).network(vectors())
    assert not any(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_minibatches_have_a_stream_of_their_own() -> None:
    draws = [torch.rand(3, generator=Run(seed=seed).batches()).tolist() for seed in (0, 0, 1)]
    starts = [torch.rand(3, generator=torch.Generator().manual_seed(2 * seed)).tolist() for seed in (0, 1)]
    assert draws[0] == draws[1] and len({tuple(row) for row in draws + starts}) == 4


def test_who_has_momentum_shares_no_stack_with_who_has_none() -> None:
    shapes = [Run(momentum=m, weight_decay=d).shape for m in (0.0, 0.5, 0.9) for d in (0.0, 0.1)]
    assert len(set(shapes)) == 4 and Run(optimizer="adam").shape not in shapes
    assert Run(lr=1.0, seed=3, scale=2.0, scheme="zeros").shape == Run().shape


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    for norm in NORMS:
        Run(norm=norm, scheme="default").network(vectors())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"activation": "rleu"}, "activation = 'rleu', but it must be one of identity, relu"),
        ({"scheme": "he"}, "scheme = 'he', but it must be one of zeros"),
        ({"norm": None}, "norm = None, but it must be one of none, batch, layer"),
        ({"depth": 0}, "depth = 0, but it must be an integer of at least 1"),
        ({"width": 2.0}, "width = 2.0, but it must be an integer of at least 1"),
        ({"batch_size": "8"}, "batch_size = '8', but it must be an integer of at least 1"),
        ({"seed": -1}, "seed = -1, but it must be an integer of at least 0"),
        ({"lr": -0.1}, "lr = -0.1, but it must be a finite number of at least 0"),
        ({"lr": "0.1"}, "lr = '0.1', but it must be a finite number of at least 0"),
        ({"scale": float("nan")}, "scale = nan, but it must be a finite number of at least 0"),
        ({"optimizer": "Adam"}, "optimizer = 'Adam', but it must be one of sgd, adam"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum = 0.9 with optimizer = 'adam', but it must be 0"),
        ({"momentum": float("inf")}, "momentum = inf, but"),
        ({"weight_decay": None}, "weight_decay = None, but"),
    ],
)
def test_a_bad_value_is_repeated_with_what_is_allowed(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Run(**bad)


def test_a_bad_axis_is_named() -> None:
    with pytest.raises(ValueError, match=r"axis 'learning_rate', but a run has depth, width, .*, seed$"):
        grid(learning_rate=[0.1])
    with pytest.raises(ValueError, match="axis 'lr' has no values"):
        grid(lr=[])


@pytest.mark.parametrize(
    ("run", "shape", "message"),
    [
        (Run(norm="layer"), (1, 6, 6), r"norm = 'layer' for inputs of shape \(6, 1, 6, 6\)"),
        (Run(), (6, 6), r"norm = 'none' for inputs of shape \(6, 6, 6\)"),
        (Run(norm="batch", batch_size=1), (5,), "norm = 'batch' with batch_size = 1: a single example"),
    ],
)
def test_networks_that_are_not_built(run: Run, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run.network(vectors(shape=shape))


def test_every_normalization_starts_with_the_shift_beta() -> None:
    network = Run(depth=3, norm="batch", beta=2.0).network(vectors())
    shifts = [module.bias for module in network if isinstance(module, nn.BatchNorm1d)]
    assert len(shifts) == 3 and all((shift == 2).all() for shift in shifts)


def test_a_shift_without_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match=r"beta = 2.0 with norm = 'none', but only a normalization has a shift"):
        Run(beta=2.0)
