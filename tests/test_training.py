import copy

import pytest
import torch
from randomness import seeded
from torch import nn
from torch.nn import functional

from tutorial_utils.data import digits
from tutorial_utils.networks import mlp
from tutorial_utils.training import accuracy, train


def test_one_step_is_gradient_descent_on_the_batch() -> None:
    torch.set_default_dtype(torch.float64)
    x, y, net = torch.randn(20, 4), torch.arange(20) % 3, nn.Linear(4, 3)
    weight = net.weight.detach().clone()
    batch = torch.randint(20, (8,), generator=seeded(1))
    loss = functional.cross_entropy(net(x[batch]), y[batch])
    (gradient,) = torch.autograd.grad(loss, net.weight)
    losses = train(net, x, y, lr=0.3, steps=1, batch_size=8, generator=seeded(1))
    torch.testing.assert_close(net.weight.detach(), weight - 0.3 * gradient)
    assert losses.tolist() == pytest.approx([loss.item()])


def test_momentum_and_weight_decay_reach_the_optimizer() -> None:
    x, y, net = torch.randn(20, 4), torch.arange(20) % 3, nn.Linear(4, 3)
    ends = []
    for options in ({}, {"momentum": 0.9}, {"weight_decay": 0.1}):
        copied = copy.deepcopy(net)
        train(copied, x, y, lr=0.1, steps=5, generator=seeded(), **options)
        ends.append(copied.weight.detach())
    assert not torch.equal(ends[0], ends[1]) and ends[2].norm() < ends[0].norm()


def test_adam_is_torch_s_with_its_defaults() -> None:
    x, y, net = torch.randn(20, 4), torch.arange(20) % 3, nn.Linear(4, 3)
    expected = copy.deepcopy(net)
    losses = train(net, x, y, lr=0.1, steps=5, optimizer="adam", weight_decay=0.1, generator=seeded())
    adam, generator = torch.optim.Adam(expected.parameters(), lr=0.1, weight_decay=0.1), seeded()
    for found in losses:
        batch = torch.randint(20, (64,), generator=generator)
        loss = functional.cross_entropy(expected(x[batch]), y[batch])
        adam.zero_grad()
        loss.backward()
        adam.step()
        assert found == loss
    assert torch.equal(net.weight, expected.weight)
    with pytest.raises(ValueError, match="optimizer = 'adamw', but it must be one of sgd, adam"):
        train(net, x, y, lr=0.1, steps=5, optimizer="adamw")


def test_digits_are_learned_and_the_seed_decides_the_run() -> None:
    torch.set_default_dtype(torch.float64)
    data, net = digits(generator=seeded()), mlp([64, 32, 10])
    twin = copy.deepcopy(net)
    before = accuracy(net, data.x_test, data.y_test)
    losses = [train(n, data.x_train, data.y_train, lr=0.5, steps=150, generator=seeded(2)) for n in (net, twin)]
    assert torch.equal(*losses) and losses[0].shape == (150,)
    assert before < 0.4 and accuracy(net, data.x_test, data.y_test) > 0.85


def test_the_mode_is_left_as_it_is() -> None:
    net = mlp([4, 5, 3], norm=nn.BatchNorm1d).eval()
    train(net, torch.randn(9, 4), torch.arange(9) % 3, lr=0.1, steps=2)
    assert not net.training and net.norm1.num_batches_tracked == 0


def test_a_diverged_run_goes_on_as_nan() -> None:
    losses = train(nn.Linear(4, 3), 1e30 * torch.ones(9, 4), torch.arange(9) % 3, lr=1e30, steps=5)
    assert losses.shape == (5,) and losses[-1].isnan()


@pytest.mark.parametrize("bad", [{"steps": 0}, {"batch_size": 0}, {"y": torch.zeros(3, dtype=torch.long)}])
def test_bad_input_is_repeated_in_the_error(bad: dict[str, object]) -> None:
    arguments = {"x": torch.zeros(4, 2), "y": torch.zeros(4, dtype=torch.long), "lr": 0.1, "steps": 1} | bad
    with pytest.raises(ValueError, match=r"steps = \d, batch_size = \d+, 4 inputs, \d labels"):
        train(nn.Linear(2, 2), **arguments)


def test_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 inputs and 0 labels"):
        accuracy(nn.Identity(), torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
