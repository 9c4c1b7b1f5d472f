"""Each member of a stacked update against torch's optimizer for it alone."""

from typing import Any

import pytest
import torch
from randomness import seeded
from torch import Tensor

from tutorial_utils.optimizers import OPTIMIZERS, SingleOptimizer, StackedAdam, check_optimizer, for_one

MEMBERS, STEPS = 4, 40
SHAPES = [(10,), (7, 5), (64, 32), (3, 2, 3, 3)]
DECAYS = [(0.0, 0.0, 0.0, 0.0), (0.0, 0.1, 0.01, 1.0)]


def gradients(shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Of many sizes, and exactly 0 for a unit that is dead, so that Adam's eps matters too."""
    sizes = torch.logspace(-12, 2, STEPS)
    drawn = torch.randn(STEPS, MEMBERS, *shape, generator=seeded(1), dtype=dtype)
    drawn[:, :, 0] = 0
    return [size * gradient for size, gradient in zip(sizes, drawn, strict=True)]


def stacked(name: str, start: Tensor, lr: Tensor, momentum: float, decay: Tensor) -> Any:
    return OPTIMIZERS[name](lr, torch.full((MEMBERS,), momentum, dtype=torch.float64), decay, start)


def both(name: str, start: Tensor, momentum: float, decays: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """The parameters after all steps: stacked, and each by torch."""
    lr, decay = torch.logspace(-4, 0, MEMBERS, dtype=torch.float64), torch.tensor(decays, dtype=torch.float64)
    optimizer, together = stacked(name, start, lr, momentum, decay), start.clone()
    buffers = [torch.zeros_like(start) for _ in range(optimizer.buffers)]
    apart = [parameter.clone() for parameter in start]
    ones = [
        for_one(name, [parameter], lr=rate.item(), momentum=momentum, weight_decay=one.item())
        for parameter, rate, one in zip(apart, lr, decay, strict=True)
    ]
    for gradient in gradients(tuple(start.shape[1:]), start.dtype):
        weight = optimizer.loss_weight.view(-1, *[1] * (start.dim() - 1))
        optimizer.step([(together, weight * gradient, buffers)])
        for parameter, own, alone in zip(apart, gradient, ones, strict=True):
            parameter.grad = own.clone()
            alone.step()
    return together, torch.stack(apart)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decays", DECAYS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_adam_moves_every_member_as_torch_does(
    shape: tuple[int, ...], decays: tuple[float, ...], dtype: torch.dtype
) -> None:
    """The same sums in the same order: equal to the last bits, which a fused multiplication may round once less."""
    together, apart = both("adam", torch.randn(MEMBERS, *shape, generator=seeded(), dtype=dtype), 0.0, decays)
    assert torch.equal(together, apart) or any(decays)
    ulp = torch.finfo(dtype).eps
    torch.testing.assert_close(together, apart, rtol=100 * ulp, atol=100 * ulp)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decays", DECAYS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sgd_moves_every_member_as_torch_does_up_to_rounding(
    shape: tuple[int, ...], decays: tuple[float, ...], momentum: float
) -> None:
    """The rates are in the gradients already, so products are rounded in another order."""
    start = torch.randn(MEMBERS, *shape, generator=seeded(), dtype=torch.float64)
    together, apart = both("sgd", start, momentum, decays)
    torch.testing.assert_close(together, apart, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_alone_a_network_moves_as_by_torch_to_the_last_bit(
    name: str, momentum: float, decay: float, dtype: torch.dtype
) -> None:
    """One parameter has no gradient, and one gets its first late, as a layer that was frozen."""
    options = {"lr": 0.03, "momentum": momentum, "weight_decay": decay}
    start = [torch.randn(shape, generator=seeded(), dtype=dtype) for shape in SHAPES]
    ours, theirs = ([tensor.clone() for tensor in start] for _ in range(2))
    alone, by_torch = SingleOptimizer(name, ours, **options), for_one(name, theirs, **options)
    for step, drawn in enumerate(zip(*(gradients(shape, dtype) for shape in SHAPES[1:]), strict=True)):
        for place, gradient in enumerate(drawn[:2] if step < 3 else drawn, start=1):
            ours[place].grad, theirs[place].grad = gradient[0].clone(), gradient[0].clone()
        alone.step()
        by_torch.step()
        assert all(map(torch.equal, ours, theirs))
    alone.zero_grad()
    assert torch.equal(ours[0], start[0]) and all(parameter.grad is None for parameter in ours)


def test_betas_and_eps_are_torch_s_defaults() -> None:
    defaults = torch.optim.Adam([torch.zeros(1)]).defaults
    assert (StackedAdam.betas, StackedAdam.eps) == (defaults["betas"], defaults["eps"])
    assert not defaults["amsgrad"] and not defaults["decoupled_weight_decay"]


def test_torch_s_optimizers_have_what_is_asked_for() -> None:
    weights = [torch.zeros(2)]
    sgd = for_one("sgd", weights, lr=0.1, momentum=0.9, weight_decay=0.2)
    adam = for_one("adam", weights, lr=0.1, weight_decay=0.2)
    assert type(sgd) is torch.optim.SGD and sgd.defaults["momentum"] == 0.9
    assert type(adam) is torch.optim.Adam
    assert all(one.defaults["lr"] == 0.1 and one.defaults["weight_decay"] == 0.2 for one in (sgd, adam))


def test_steps_are_counted_for_the_stack_and_not_for_each_parameter() -> None:
    start = torch.ones(MEMBERS, 3)
    rates, zeros = torch.full((MEMBERS,), 0.1), torch.zeros(MEMBERS)
    one, two = (StackedAdam(rates, zeros, zeros, start) for _ in range(2))
    alone, first, second = (start.clone() for _ in range(3))
    buffers = [[torch.zeros_like(start) for _ in range(2)] for _ in range(3)]
    for _ in range(3):
        one.step([(alone, torch.ones_like(start), buffers[0])])
        two.step([(first, torch.ones_like(start), buffers[1]), (second, torch.ones_like(start), buffers[2])])
    assert torch.equal(alone, first) and torch.equal(alone, second)


@pytest.mark.parametrize(
    ("name", "momentum", "message"),
    [
        ("adamw", 0.0, "optimizer = 'adamw', but it must be one of sgd, adam"),
        ("adam", 0.5, "momentum = 0.5 with optimizer = 'adam', but it must be 0"),
    ],
)
def test_what_there_is_not_is_refused(name: str, momentum: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_optimizer(name, momentum)
    with pytest.raises(ValueError, match=message):
        for_one(name, [torch.zeros(1)], lr=0.1, momentum=momentum)
    with pytest.raises(ValueError, match=message):
        SingleOptimizer(name, [torch.zeros(1)], lr=0.1, momentum=momentum)
