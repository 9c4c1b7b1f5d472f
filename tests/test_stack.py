"""Each member of a stack against the network it would be alone."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from randomness import seeded
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.data import Split
from tutorial_utils.networks import conv_net, mlp
from tutorial_utils.optimizers import OPTIMIZERS
from tutorial_utils.runs import ACTIVATIONS, Run
from tutorial_utils.stack import ELEMENTWISE, LAYERS, Stack
from tutorial_utils.training import accuracy, train

STEPS = 80
ROOMS = [(7,), (1, 4, 3), (2, 3, 3)]


def data(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Split:
    x, y = torch.randn(50, *shape, generator=seeded(), dtype=dtype), torch.randint(3, (50,), generator=seeded(1))
    return Split(x[:40], y[:40], x[40:], y[40:])


def stack_of(runs: Sequence[Run], split: Split) -> Stack:
    rates = {name: [getattr(run, name) for run in runs] for name in ("lr", "momentum", "weight_decay")}
    return Stack([run.network(split) for run in runs], optimizer=runs[0].optimizer, **rates)


def stacked(runs: Sequence[Run], split: Split, steps: int) -> tuple[Stack, Tensor]:
    """The stack after its steps, and their losses of shape (members, steps)."""
    stack, generators, losses = stack_of(runs, split), [run.batches() for run in runs], []
    for _ in range(steps):
        size = (runs[0].batch_size,)
        batch = torch.stack([torch.randint(len(split.x_train), size, generator=g) for g in generators])
        losses.append(stack.step(split.x_train[batch], split.y_train[batch]))
    return stack, torch.stack(losses, 1)


def alone(run: Run, split: Split, steps: int, *, nudge: float = 0.0) -> tuple[nn.Sequential, Tensor]:
    """The same training by torch, from weights that lie the relative distance nudge away."""
    rates = {"lr": run.lr, "momentum": run.momentum, "weight_decay": run.weight_decay}
    model, generator = run.network(split), seeded(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + nudge * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    options = {"optimizer": run.optimizer, "batch_size": run.batch_size, "generator": run.batches()}
    return model, train(model, split.x_train, split.y_train, steps=steps, **rates, **options)


def assert_equal(found: nn.Module, expected: nn.Module, tolerance: float) -> None:
    """Parameters, running statistics and num_batches_tracked."""
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=tolerance, atol=tolerance, msg=name)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shapes of data, and what all members of a stack share."""
    room = draw(st.sampled_from(ROOMS))
    shared = {
        "depth": draw(st.integers(1, 3)),
        "width": draw(st.integers(1, 6)),
        "activation": draw(st.sampled_from(list(ACTIVATIONS))),
        "norm": draw(st.sampled_from(["none", "batch", "layer"] if len(room) == 1 else ["none", "batch"])),
        "batch_size": draw(st.integers(2, 9)),
        "optimizer": draw(st.sampled_from(list(OPTIMIZERS))),
    }
    return room, shared


MEMBERS = st.fixed_dictionaries(
    {
        "scheme": st.sampled_from(["kaiming_normal", "xavier_uniform", "orthogonal", "normal", "default"]),
        "scale": st.floats(0.3, 1.0),
        "lr": st.floats(0.001, 0.02),
        "momentum": st.sampled_from([0.0, 0.5, 0.8]),
        "weight_decay": st.sampled_from([0.0, 0.01]),
        "seed": st.integers(0, 99),
    }
)


def allowed(shared: dict[str, Any], member: dict[str, Any]) -> dict[str, Any]:
    """Adam has no momentum; with decay it moves a bias before BatchNorm, whose gradient is rounding alone, anywhere."""
    if shared["optimizer"] != "adam":
        return member
    return member | {"momentum": 0.0} | ({"weight_decay": 0.0} if shared["norm"] == "batch" else {})


# In a chaotic training rounding alone makes right answers differ. There a twin in torch, nudged by 1e-13, strays too,
# and the example is left out. Few are: rates are small, and normalized are no fewer than 8 examples and 3 units.
@settings(max_examples=12)
@given(shapes(), st.lists(MEMBERS, min_size=1, max_size=3))
def test_every_member_trains_as_it_would_alone(
    shape: tuple[tuple[int, ...], dict[str, Any]], members: list[dict[str, Any]]
) -> None:
    room, shared = shape
    if shared["norm"] != "none":
        shared = shared | {"batch_size": 8 + shared["batch_size"], "width": 2 + shared["width"]}
    split, runs = data(room), [Run(**shared, **allowed(shared, member)) for member in members]
    stack, losses = stacked(runs, split, STEPS)
    for number, run in enumerate(runs):
        model, expected = alone(run, split, STEPS)
        _, twin = alone(run, split, STEPS, nudge=1e-13)
        assume(torch.allclose(twin, expected, rtol=1e-10, atol=1e-10))
        torch.testing.assert_close(losses[number], expected, rtol=1e-9, atol=1e-9)
        assert_equal(stack.member(number), model, 1e-9)


@settings(max_examples=25)
@given(shapes(), st.floats(1, 1e6), st.sampled_from([0.0, 0.9]), st.sampled_from([0.0, 0.1]))
def test_at_any_rate_the_first_steps_agree(
    shape: tuple[tuple[int, ...], dict[str, Any]], lr: float, momentum: float, weight_decay: float
) -> None:
    room, shared = shape
    shared = shared | {"batch_size": 8 + shared["batch_size"], "width": 2 + shared["width"]}
    rates = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    run = Run(**shared, **allowed(shared, rates))
    _, losses = stacked([run, Run(**shared, seed=1)], data(room), 2)
    _, expected = alone(run, data(room), 2)
    torch.testing.assert_close(losses[0], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("optimizer", "lr"), [("sgd", 30.0), ("sgd", 1e5), ("sgd", 1e200), ("adam", 1e80), ("adam", 1e200)]
)
def test_it_diverges_at_the_step_at_which_it_would_alone(optimizer: str, lr: float) -> None:
    shared: dict[str, Any] = {"depth": 3, "width": 8, "activation": "identity", "optimizer": optimizer}
    split, run = data((7,)), Run(**shared, lr=lr)
    _, losses = stacked([Run(**shared), run], split, 30)
    _, expected = alone(run, split, 30)
    assert torch.equal(losses[1].isfinite(), expected.isfinite()) and not expected[-1].isfinite()


# Adam divides a gradient by its size: a bias before BatchNorm, whose gradient is rounding alone, goes anywhere.
@pytest.mark.parametrize(("optimizer", "lr", "norm"), [("sgd", 0.01, "batch"), ("adam", 0.001, "none")])
def test_single_precision_agrees_to_its_rounding(optimizer: str, lr: float, norm: str) -> None:
    for room in ROOMS:
        shared: dict[str, Any] = {"depth": 2, "width": 8, "norm": norm, "batch_size": 16, "optimizer": optimizer}
        split, run = data(room, torch.float32), Run(**shared, lr=lr)
        stack, losses = stacked([run, Run(**shared)], split, 20)
        model, expected = alone(run, split, 20)
        assert losses.dtype == torch.float32
        torch.testing.assert_close(losses[0], expected, rtol=1e-4, atol=1e-4)
        assert_equal(stack.member(0), model, 1e-3)


@pytest.mark.parametrize("module", ELEMENTWISE, ids=lambda module: module.__name__)
def test_every_activation_can_be_stacked(module: type[nn.Module]) -> None:
    split = data((7,))
    models = [mlp([7, 5, 5, 3], module, bias=bias).double() for bias in (True, True)]
    stack = Stack(models, lr=0.05)
    losses = train(models[1], split.x_train, split.y_train, lr=0.05, steps=5, batch_size=8, generator=seeded())
    generator = seeded()
    for loss in losses:
        batch = torch.randint(40, (8,), generator=generator).expand(2, -1)
        torch.testing.assert_close(stack.step(split.x_train[batch], split.y_train[batch])[1], loss)
    assert_equal(stack.member(1), models[1], 1e-12)


def test_layers_without_bias() -> None:
    split = data((7,))
    model = mlp([7, 5, 3], nn.Tanh, bias=False).double()
    stack = Stack([model, copy.deepcopy(model)], lr=0.1)
    loss = train(model, split.x_train, split.y_train, lr=0.1, steps=1, batch_size=8, generator=seeded())
    batch = torch.randint(40, (8,), generator=seeded()).expand(2, -1)
    torch.testing.assert_close(stack.step(split.x_train[batch], split.y_train[batch]), loss.expand(2))
    assert_equal(stack.member(1), model, 1e-12)


@pytest.mark.parametrize("room", ROOMS)
def test_eval_mode_uses_each_member_s_own_running_statistics(room: tuple[int, ...]) -> None:
    split = data(room)
    runs = [Run(depth=2, width=5, norm="batch", lr=0.01, scale=scale, seed=2) for scale in (0.1, 1.0, 10.0)]
    stack, _ = stacked(runs, split, 15)
    before = {name: tensor.clone() for name, tensor in stack.state.items()}
    loss, right = stack.evaluate(split.x_test, split.y_test)
    assert all(torch.equal(tensor, before[name]) for name, tensor in stack.state.items())
    for number in range(3):
        model = stack.member(number).eval()
        expected = functional.cross_entropy(model(split.x_test), split.y_test)
        torch.testing.assert_close(loss[number], expected.detach())
        assert right[number].item() == pytest.approx(accuracy(model, split.x_test, split.y_test))
        assert model.norm1.num_batches_tracked == 15
    assert (stack.state["norm1.running_var"].mean(1).diff() > 0).all()


@pytest.mark.parametrize("moved_by", [{"momentum": 0.5}, {"optimizer": "adam"}], ids=str)
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("room", [(8,), (1, 4, 4)])
def test_what_overflows_stays_in_its_lane(room: tuple[int, ...], norm: str, moved_by: dict[str, Any]) -> None:
    """Whatever becomes of a member, not one bit of the others changes."""
    split = data(room)
    shared = {"depth": 2, "width": 8, "norm": norm, "batch_size": 8, "weight_decay": 0.01, **moved_by}
    healthy = [Run(**shared, lr=0.05, seed=seed) for seed in range(3)]
    ends = []
    for lr in (0.05, 1e300):
        stack, losses = stacked([healthy[0], Run(**shared, lr=lr, seed=7), *healthy[1:]], split, 12)
        figures = stack.evaluate(split.x_test, split.y_test)
        ends.append([*stack.state.values(), losses, *figures])
    assert not ends[1][-3][1].isfinite().all()
    for calm, wild in zip(*ends, strict=True):
        assert torch.equal(calm[[0, 2, 3]], wild[[0, 2, 3]])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("moved_by", [{"momentum": 0.9}, {"optimizer": "adam"}], ids=str)
def test_a_weight_that_is_no_number_stays_in_its_lane(bad: float, moved_by: dict[str, Any]) -> None:
    split = data((8,))
    models = [Run(depth=2, width=8, norm="layer", seed=seed).network(split) for seed in range(3)]
    ends = []
    for value in (0.0, bad):
        nn.init.constant_(models[1].linear1.weight, value)
        stack = Stack(models, lr=0.1, weight_decay=0.1, **moved_by)
        x, y = split.x_train.expand(3, -1, -1), split.y_train.expand(3, -1)
        losses = torch.stack([stack.step(x, y) for _ in range(5)])
        ends.append([losses.T, *stack.state.values()])
    assert ends[1][0][1].isnan().all()
    assert all(torch.equal(calm[[0, 2]], wild[[0, 2]]) for calm, wild in zip(*ends, strict=True))


def test_the_models_are_copied_and_members_are_copies() -> None:
    split, run = data((7,)), Run(depth=1, width=4, norm="batch")
    models = [run.network(split) for _ in range(2)]
    before = copy.deepcopy(models[0])
    stack = Stack(models, lr=0.1)
    stack.step(split.x_train.expand(2, -1, -1), split.y_train.expand(2, -1))
    assert_equal(models[0], before, 0)
    member = stack.member(0)
    with torch.no_grad():
        member.linear1.weight.zero_()
    assert len(stack) == 2 and stack.state["linear1.weight"].any()


def conv_with(**settings: Any) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, **settings), nn.AdaptiveAvgPool2d(1), nn.Flatten())


SHARED = nn.ReLU()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (mlp([3, 4, 2], nn.PReLU), r"act1 = PReLU\(num_parameters=1\): a stack knows Linear, Conv2d"),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout()), "1 = Dropout"),
        (mlp([3, 4, 2], lambda: nn.ReLU(inplace=True)), r"act1 = ReLU\(inplace=True\): .* not set up like this"),
        (mlp([3, 4, 2], norm=lambda n: nn.BatchNorm1d(n, affine=False)), "norm1 = BatchNorm1d"),
        (mlp([3, 4, 2], norm=lambda n: nn.BatchNorm1d(n, track_running_stats=False)), "norm1 = BatchNorm1d"),
        (mlp([3, 4, 2], norm=lambda n: nn.BatchNorm1d(n, momentum=None)), "norm1 = BatchNorm1d"),
        (mlp([3, 4, 2], norm=lambda n: nn.LayerNorm(n, elementwise_affine=False)), "norm1 = LayerNorm"),
        (mlp([3, 4, 2], norm=lambda n: nn.LayerNorm(n, bias=False)), "norm1 = LayerNorm"),
        (conv_with(groups=2), "0 = Conv2d"),
        (conv_with(padding_mode="circular"), "0 = Conv2d"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten()), "1 = AdaptiveAvgPool2d"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(2)), "2 = Flatten"),
        (mlp([3, 4, 4, 2], lambda: SHARED), "a module occurs twice in\nSequential"),
    ],
    ids=str,
)
def test_a_network_that_would_be_computed_wrongly_is_refused(model: nn.Sequential, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stack([model], lr=0.1)


def test_members_must_have_one_shape_and_dtype() -> None:
    one = mlp([3, 4, 2])
    for other in (mlp([3, 5, 2]), mlp([3, 4, 2], nn.Tanh), mlp([3, 4, 2], bias=False), mlp([3, 4, 2]).double()):
        with pytest.raises(ValueError, match="must have one shape, but there are\nSequential"):
            Stack([one, copy.deepcopy(one), other], lr=0.1)
    with pytest.raises(ValueError, match="models is empty"):
        Stack([], lr=0.1)


@pytest.mark.parametrize("name", ["lr", "momentum", "weight_decay"])
def test_rates_are_one_or_one_a_member(name: str) -> None:
    models = [mlp([3, 4, 2]) for _ in range(3)]
    Stack(models, **{"lr": 0.1, name: [0.1, 0.2, 0.3]})
    with pytest.raises(ValueError, match=rf"{name} has the shape \(2,\): give one number, or 3, one a member"):
        Stack(models, **{"lr": 0.1, name: [0.1, 0.2]})


def test_an_optimizer_that_a_stack_does_not_know() -> None:
    with pytest.raises(ValueError, match="optimizer = 'rmsprop', but it must be one of sgd, adam"):
        Stack([mlp([3, 4, 2])], lr=0.1, optimizer="rmsprop")
    with pytest.raises(ValueError, match=r"momentum = 0\.9 with optimizer = 'adam', but it must be 0"):
        Stack([mlp([3, 4, 2])] * 2, lr=0.1, optimizer="adam", momentum=[0.0, 0.9])


def test_what_the_builders_build_can_be_stacked() -> None:
    built = [mlp([3, 4, 2], norm=nn.LayerNorm), conv_net([1, 2, 2], 3, norm=nn.BatchNorm2d)]
    assert {type(module) for model in built for module in model} <= set(LAYERS)
    assert {type(make()) for make in ACTIVATIONS.values()} <= set(LAYERS)
