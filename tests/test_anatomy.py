"""What is known about layers, against what the layers compute."""

import torch
from randomness import seeded
from torch import Tensor, nn

from tutorial_utils.anatomy import blocks, equal_units, is_transposed_linear, torch_fans, true_fans, units


class Conv1D(nn.Module):
    """As GPT-2's: the weight is stored inputs first."""

    def __init__(self, n_out: int, n_in: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in, n_out, generator=seeded()))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def second_moment_of_output(module: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return module(x).square().mean().item()


def test_the_true_fan_in_is_what_multiplies_a_second_moment() -> None:
    layers = {
        Conv1D(400, 100): torch.randn(500, 100, generator=seeded(1)),
        nn.Embedding(400, 100): torch.arange(400),
        nn.Linear(100, 400, bias=False): torch.randn(500, 100, generator=seeded(2)),
        nn.ConvTranspose1d(40, 80, 4, stride=4, bias=False): torch.randn(20, 40, 90, generator=seeded(3)),
    }
    for layer, x in layers.items():
        fans = true_fans(layer, nn.init.normal_(layer.weight, generator=seeded(4)))
        assert fans and abs(second_moment_of_output(layer, x) / fans.fan_in - 1) < 0.05, layer


def test_torch_s_fans_come_from_the_shape() -> None:
    assert torch_fans(torch.ones(3, 5)) == (5, 3) and torch_fans(torch.ones(3)) is torch_fans(torch.ones(0, 3)) is None
    assert true_fans(Conv1D(4, 3), torch.ones(3, 4)) == (3, 4)
    assert true_fans(nn.Linear(9, 7), torch.ones(2, 9)) == (9, 2)  # an adapter's, not the layer's own
    assert not is_transposed_linear(nn.Conv1d(3, 4, 1)) and is_transposed_linear(Conv1D(4, 3))


def test_blocks_are_torch_s_gates_in_torch_s_order() -> None:
    lstm, gru = nn.LSTM(3, 5, proj_size=2), nn.GRUCell(3, 5)
    assert [one.name for one in blocks(lstm, "weight_ih_l0", lstm.weight_ih_l0)] == ["i", "f", "g", "o"]
    assert blocks(lstm, "weight_hr_l0", lstm.weight_hr_l0) == blocks(nn.RNN(3, 5), "bias_ih_l0", torch.ones(5)) == []
    assert torch.equal(blocks(gru, "weight_hh", gru.weight_hh)[1].entries, gru.weight_hh[5:10])
    h, x = torch.randn(1, 5), torch.randn(1, 3)
    with torch.no_grad():
        gru.bias_ih[5:10] = 1e4  # an open update gate keeps the state as it is
        torch.testing.assert_close(gru(x, h), h)


def test_units_are_what_computes_one_output() -> None:
    conv, up = nn.Conv1d(4, 6, 3, groups=2, bias=False), nn.ConvTranspose1d(4, 6, 3, groups=2, bias=False)
    for layer in (conv, up, Conv1D(6, 4), nn.Linear(4, 6)):
        weight = layer.weight.detach()
        groups = units(layer, "weight", weight)
        assert groups is not None and groups.shape[0] * groups.shape[1] == 6
        groups[-1, -1] = groups[-1, -2] if groups.data_ptr() == weight.data_ptr() else 0
    x = torch.randn(2, 4, 9, generator=seeded())
    for layer in (conv, nn.Linear(9, 3, bias=False)):
        assert torch.equal(*layer(x).unbind(1)[-2:]) == (layer is conv)
    with torch.no_grad():
        up.weight[2:, 2] = up.weight[2:, 1]  # the last two outputs of the second group
    found = units(up, "weight", up.weight.detach())
    assert found is not None and equal_units(found) == 2
    torch.testing.assert_close(*up(x).unbind(1)[-2:])
    assert (
        units(nn.Linear(3, 2), "bias", torch.ones(2)) is units(nn.Embedding(3, 2), "weight", torch.ones(3, 2)) is None
    )


def test_equal_units_are_counted_within_their_group() -> None:
    rows = torch.randn(1, 6, 40, generator=seeded())
    assert equal_units(rows) == 0
    assert equal_units(torch.cat([rows, rows])) == 0  # of two gates, say
    assert equal_units(torch.cat([rows, rows[:, 2:4]], dim=1)) == 4
    late = rows.repeat(1, 2, 1)
    late[0, 6:, -1] += 1  # they begin alike
    assert equal_units(late) == 0 and equal_units(torch.zeros(1, 5, 3)) == 0 == equal_units(torch.ones(0, 3, 3))
    assert equal_units(torch.ones(1, 5, 3)) == 5 and equal_units(torch.ones(1, 1, 3)) == 0


def test_rounded_numbers_that_agree_by_chance_are_not_counted() -> None:
    few = torch.randn(1, 3000, 1, generator=seeded()).bfloat16()
    assert len(few.unique()) < 3000 and equal_units(few) == 0
    assert equal_units(torch.randn(1, 6, 40, generator=seeded()).to(torch.float8_e4m3fn).repeat(1, 2, 1)) == 12
