import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from randomness import seeded
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tutorial_utils.networks import conv_net, mlp
from tutorial_utils.propagation import floating, moments, propagate, record, row_moments, weight_of

LOSS = torch.sum


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def batch(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded())


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_moments_are_numpy_s(entries: list[float]) -> None:
    tensor = torch.tensor(entries, dtype=torch.float64)
    found, array = moments(tensor), tensor.numpy()
    expected = {"mean": array.mean(), "var": array.var(), "second_moment": (array**2).mean()}
    assert found == pytest.approx(expected | {"zero_share": (array == 0).mean()}, abs=1e-12)


def test_row_moments_are_the_moments_of_each_row() -> None:
    rows = batch(3, 50).relu()
    found = row_moments(rows)
    for i, row in enumerate(rows):
        assert {name: values[i].item() for name, values in found.items()} == pytest.approx(moments(row))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(1, 4), st.sampled_from([nn.ReLU, nn.Tanh]))
def test_table_agrees_with_hand_made_forward_and_backward(widths: list[int], m: int, act: type[nn.Module]) -> None:
    net, x = mlp(widths, act).double(), batch(m, widths[0]).double()
    table = propagate(net, x, lambda out: out.square().sum(), layers=(nn.Linear,))
    h, outputs = x, []
    for module in net:
        h = module(h)
        if isinstance(module, nn.Linear):
            outputs.append(h)
            h.retain_grad()
    h.square().sum().backward()
    assert list(table.layer) == [f"linear{i}" for i in range(1, len(widths))]
    for row, output, layer in zip(
        table.itertuples(), outputs, (m for m in net if isinstance(m, nn.Linear)), strict=True
    ):
        assert (row.mean, row.second_moment) == pytest.approx((output.mean().item(), output.square().mean().item()))
        assert row.grad_second_moment == pytest.approx(output.grad.square().mean().item(), abs=1e-300)
        assert row.weight_grad_second_moment == pytest.approx(layer.weight.grad.square().mean().item(), abs=1e-300)
        assert row.grad_zero_share == pytest.approx((output.grad == 0).double().mean().item())


def test_every_childless_module_is_watched_in_call_order() -> None:
    table = propagate(conv_net([1, 2, 3], 4, norm=nn.BatchNorm2d), batch(2, 1, 4, 4), LOSS)
    assert list(table.layer) == ["conv1", "norm1", "act1", "conv2", "norm2", "act2", "pool", "flatten", "linear"]
    assert list(table.kind[:3]) == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert table.weight_grad_var.isna().tolist() == [False, False, True, False, False, True, True, True, False]


def test_without_a_loss_there_is_no_backward_and_no_graph() -> None:
    with_graph = []
    net = mlp([3, 4, 2])
    net.act1.register_forward_hook(lambda m, i, o: with_graph.append(o.requires_grad))
    table = propagate(net, batch(5, 3))
    assert table.filter(like="grad").isna().all(axis=None)
    assert with_graph == [False] and torch.is_grad_enabled()


def test_the_model_is_left_as_it_was() -> None:
    net = mlp([3, 4, 2], norm=nn.BatchNorm1d).train()
    net.linear1.weight.grad = torch.ones(4, 3)
    before, x = copy.deepcopy(net.state_dict()), batch(5, 3)
    propagate(net, x, LOSS)
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert net.training and hooks(net) == 0 and not x.requires_grad
    assert net.linear1.weight.grad.eq(1).all() and net.linear2.weight.grad is None


def test_a_model_may_do_without_running_statistics() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 2))  # its buffers are None
    propagate(net, batch(5, 3), LOSS)
    assert net[0].running_mean is None and list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        self.norm(x)
        raise RuntimeError("no forward today")


def test_the_model_is_left_as_it_was_when_forward_raises() -> None:
    model = Failing().train()
    with pytest.raises(RuntimeError, match="no forward today"):
        propagate(model, batch(5, 3), LOSS)
    assert hooks(model) == 0 and model.norm.num_batches_tracked == 0 and model.norm.running_mean.eq(0).all()


def test_record_removes_tensor_hooks_too() -> None:
    net = mlp([3, 4, 2])
    with record(net) as signals:
        out = net(batch(5, 3)).sum()
    out.backward()
    assert hooks(net) == 0 and all(signal.backward is None for signal in signals)


def test_in_place_activation_does_not_change_what_was_kept() -> None:
    net = nn.Sequential(nn.Linear(3, 50), nn.ReLU(inplace=True), nn.Linear(50, 1))
    twin = copy.deepcopy(net)
    twin[1] = nn.ReLU()
    columns = ["mean", "second_moment", "zero_share", "grad_mean", "grad_second_moment", "grad_zero_share"]
    ours, plain = (propagate(model, batch(5, 3), LOSS)[columns] for model in (net, twin))
    assert ours.to_numpy() == pytest.approx(plain.to_numpy())
    assert ours.zero_share[0] == 0 and ours.zero_share[1] > 0.2


class Pair(NamedTuple):
    logits: Tensor
    hidden: Tensor


class Odd(nn.Module):
    """Calls one layer twice and one never; returns a named tuple from integers."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.twice, self.never = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.cell = nn.LSTM(4, 3)

    def forward(self, tokens: Tensor) -> Pair:
        hidden = self.twice(self.twice(self.table(tokens)).relu())
        return Pair(self.cell(hidden)[0], hidden)


def test_odd_modules_integer_inputs_and_structures() -> None:
    table = propagate(Odd(), torch.tensor([[1, 2, 3]]), lambda pair: pair.logits.sum())
    assert list(table.layer) == ["table", "twice", "twice", "cell", "cell", "cell"]  # an LSTM puts out three tensors
    assert table.grad_mean.notna().tolist() == [True, True, True, True, False, False]


def test_half_precision_and_models_without_parameters() -> None:
    assert propagate(nn.Linear(3, 2).bfloat16(), batch(4, 3).bfloat16(), LOSS).grad_mean[0] == 1
    assert propagate(nn.Sequential(nn.Tanh(), nn.ReLU()), batch(4, 3), LOSS).grad_mean[1] == 1


def test_a_model_may_begin_in_place_and_its_input_is_left_alone() -> None:
    x = batch(4, 3)
    before = x.clone()
    table = propagate(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)), x, LOSS)
    assert table.grad_mean.notna().all() and torch.equal(x.requires_grad_(False), before)


class Scaled(nn.Module):
    """Has parameters of its own beside a child."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.mix, self.child = nn.Parameter(torch.ones(9)), nn.Parameter(torch.eye(2)), nn.Linear(9, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.child(x)


def test_the_weight_under_a_parametrization_is_its_largest_matrix() -> None:
    assert weight_of(weight_norm(nn.Linear(4, 6))).shape == (6, 4)
    assert weight_of(nn.MultiheadAttention(4, 2)).shape == (12, 4)
    assert weight_of(nn.ReLU()) is None and weight_of(nn.LayerNorm(3)).shape == (3,)
    assert weight_of(Scaled()).shape == (2, 2)  # neither the longer vector nor the child's larger matrix


def test_what_computes_is_watched_and_what_only_calls_or_parametrizes_is_not() -> None:
    net = nn.Sequential(weight_norm(nn.Linear(4, 9, bias=False)), Scaled())
    assert list(propagate(net, batch(5, 4)).layer) == ["0", "1.child", "1"]


@dataclass
class Output:
    hidden: Tensor


def test_floating_finds_tensors_however_deep_and_passes_over_all_else() -> None:
    x, y, z = batch(1), batch(2), batch(3)
    found = floating({"a": x, "b": [(y, 3, None, "text", Output), torch.tensor(1)], "c": Output(z)})
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in (x, y, z)]


class Difference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.layer(x - y)


def test_a_model_takes_a_tuple_or_a_dictionary_of_inputs() -> None:
    net, x, y = Difference(), batch(5, 3), torch.ones(5, 3)
    plain = propagate(net.layer, x - y, LOSS).drop(columns="layer")
    for inputs in ((x, y), {"y": y, "x": x}):
        assert propagate(net, inputs, LOSS, layers=(nn.Linear,)).drop(columns="layer").equals(plain)


def test_the_table_holds_what_keep_keeps_and_nan_for_what_is_not_there() -> None:
    net, x = mlp([3, 4, 2]), batch(5, 3)
    table = propagate(net, x, LOSS, keep=lambda tensor: {"largest": tensor.abs().max().item()})
    assert list(table) == ["layer", "kind", "largest", "grad_largest", "weight_grad_largest"]
    assert table.largest.iloc[-1] == net(x).abs().max() and table.grad_largest.iloc[-1] == 1
    absent = propagate(net, x).filter(like="grad").to_numpy()
    assert absent.dtype == float and math.isnan(absent.max())


def test_a_loss_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss gave 1\.0, but it must be a scalar tensor"):
        propagate(mlp([3, 2]), batch(5, 3), lambda out: 1.0)


def test_keep_decides_what_is_kept() -> None:
    net, x = mlp([3, 4, 2]), batch(5, 3)
    with record(net, (nn.ReLU,), keep=torch.clone) as signals:
        net(x).sum().backward()
    (signal,) = signals
    assert torch.equal(signal.forward, net.linear1(x).relu()) and signal.backward.shape == (5, 4)
    assert signal.layer == "act1" and signal.module is net.act1


@pytest.mark.parametrize("loss", [lambda out: out, lambda out: out.sum().detach(), lambda out: torch.tensor(1.0)])
def test_a_loss_that_is_no_scalar_of_the_output_is_refused(loss: object) -> None:
    net = mlp([3, 4, 2])
    with pytest.raises(ValueError, match=r"loss gave a tensor of shape \(.*\), requires_grad=\w+; it must be a scalar"):
        propagate(net, batch(5, 3), loss)
    assert hooks(net) == 0


def test_the_gradient_of_a_bias_is_that_of_its_pre_activation() -> None:
    """So under a start that shrinks what comes back, biases of early layers move less, whatever the weights do."""
    generator = torch.Generator().manual_seed(0)
    net = mlp([100] * 7, nn.Identity).double()
    for layer in net.children():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -0.1, 0.1, generator=generator)  # the standard init: n Var[w] = 1/3
            nn.init.zeros_(layer.bias)
    x, top = torch.randn(2, 10, 100, generator=generator, dtype=torch.float64)
    with record(net, (nn.Linear,), keep=torch.clone) as signals:
        (net(x) * top).sum().backward()
    for signal in signals:
        torch.testing.assert_close(signal.module.bias.grad, signal.backward.sum(0))
    sizes = [signal.module.bias.grad.square().mean() for signal in signals]
    assert sizes[0] / sizes[-1] < 3**-4
