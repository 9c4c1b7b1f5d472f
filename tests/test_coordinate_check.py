"""The check tells the usual parametrization from one that does not depend on the width."""

import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from randomness import seeded
from torch import Tensor, nn

from tutorial_utils.coordinate_check import coordinate_check, plot, slopes

INPUTS, TARGETS = torch.randn(32, 16, generator=seeded()), torch.randint(4, (32,), generator=seeded(1))
WIDTHS = [64, 256, 1024]


def loss(logits: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, TARGETS)


def mlp(width: int) -> nn.Sequential:
    """The usual parametrization: variances 1/fan_in, as LeCun's and Glorot's."""
    model = nn.Sequential(nn.Linear(16, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 4))
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(layer.bias)
    return model


def mu_mlp(width: int) -> nn.Sequential:
    """The maximal update parametrization (Yang et al. 2021, table 3): the output's variance is 1/fan_in²."""
    model = mlp(width)
    with torch.no_grad():
        model[-1].weight *= model[-1].in_features ** -0.5
    return model


def mu_adam(model: nn.Module) -> torch.optim.Optimizer:
    """Matrices whose fan_in is the width get a learning rate divided by it; first layer and biases do not."""
    scaled = [layer.weight for layer in model[2::2]]
    others = [p for p in model.parameters() if all(p is not q for q in scaled)]
    return torch.optim.Adam([{"params": others, "lr": 0.01}, {"params": scaled, "lr": 0.01 * 64 / len(model[0].bias)}])


def test_adam_with_one_rate_moves_wide_models_further() -> None:
    table = coordinate_check(mlp, WIDTHS, INPUTS, loss, 2, layers=(nn.Linear,))
    found = slopes(table)
    assert abs(found.activation["0", 0]) < 0.1 and abs(found.activation["2", 0]) < 0.1  # at the start all is well
    assert abs(found.change["0", 1]) < 0.1  # the first layer's fan_in is not the width
    assert found.change["2", 1] > 0.4 and found.change["4", 1] > 0.7


def test_the_maximal_update_parametrization_is_flat() -> None:
    table = coordinate_check(mu_mlp, WIDTHS, INPUTS, loss, 2, layers=(nn.Linear,), make_optimizer=mu_adam)
    found = slopes(table)
    assert found.change.xs(1, level="step").abs().max() < 0.25
    assert found.change.xs(2, level="step").abs().max() < 0.25
    assert found.activation.xs(2, level="step").max() < 0.15
    assert found.activation["4", 0] == pytest.approx(-0.5, abs=0.2)  # small at first, as meant


def test_the_numbers_are_those_of_the_outputs() -> None:
    table = coordinate_check(
        mlp, [8, 16], INPUTS, loss, 1, make_optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.5)
    )
    torch.manual_seed(0)
    model = mlp(8)
    before = model(INPUTS)
    for p, gradient in zip(
        model.parameters(), torch.autograd.grad(loss(before), list(model.parameters())), strict=True
    ):
        p.data -= 0.5 * gradient
    after = model(INPUTS)
    rows = table[(table.width == 8) & (table.layer == "4")].set_index("step")
    expected = before.square().mean().sqrt(), after.square().mean().sqrt(), (after - before).square().mean().sqrt()
    measured = rows.activation[0], rows.activation[1], rows["change"][1]
    assert measured == pytest.approx([value.item() for value in expected], rel=1e-5)
    assert math.isnan(rows["change"][0]) and list(rows.index) == [0, 1]


def test_the_same_call_gives_the_same_table_and_leaves_the_random_state() -> None:
    state, grid = torch.get_rng_state(), {"seeds": (0, 1), "layers": (nn.Linear,)}
    first = coordinate_check(mlp, [8, 16], INPUTS, loss, 1, **grid)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(first, coordinate_check(mlp, [8, 16], INPUTS, loss, 1, **grid))  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), state) and len(first) == 2 * 2 * 2 * 3
    assert first.activation[first.seed == 0].tolist() != first.activation[first.seed == 1].tolist()


@pytest.mark.parametrize("batch", [(INPUTS,), {"input": INPUTS}], ids=["positional", "keywords"])
def test_batches_of_every_kind(batch: object) -> None:
    expected = coordinate_check(mlp, [8, 16], INPUTS, loss, 1)
    pd.testing.assert_frame_equal(coordinate_check(mlp, [8, 16], batch, loss, 1), expected)  # type: ignore[arg-type]


def test_layers_that_not_every_width_has_are_left_out() -> None:
    def deeper(width: int) -> nn.Module:
        return nn.Sequential(*mlp(width), *(nn.Linear(4, 4) for _ in range(width // 8)))

    assert set(coordinate_check(deeper, [8, 16], INPUTS, loss, 1).layer) == {"0", "1", "2", "3", "4", "5"}


def test_the_slope_is_the_exponent() -> None:
    rows = [{"width": w, "seed": 0, "step": 1, "layer": "a", "activation": w**-0.5, "change": 3 * w} for w in WIDTHS]
    rows += [{"width": w, "seed": 0, "step": 1, "layer": "b", "activation": 0.0, "change": math.inf} for w in WIDTHS]
    found = slopes(pd.DataFrame(rows))
    assert found.loc[("a", 1)].tolist() == pytest.approx([-0.5, 1.0]) and found.loc[("b", 1)].isna().all()


def test_the_plot_has_a_labeled_line_for_each_layer() -> None:
    table = coordinate_check(mlp, [8, 16, 32], INPUTS, loss, 1, layers=(nn.Linear,))
    figure, found = plot(table, step=0), slopes(table)
    left, right = plot(table).axes
    assert [line.get_label() for line in right.lines] == [
        f"{layer}, slope {found['change'][layer, 1]:.2f}" for layer in "024"
    ]
    assert left.get_xscale() == left.get_yscale() == "log" and left.get_title() == "after step 1"
    rows = table[(table.step == 1) & (table.layer == "2")]
    assert right.lines[1].get_ydata() == pytest.approx(rows["change"].tolist())
    assert figure.axes[0].get_title() == "after step 0" and not plt.get_fignums()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coordinate_check(mlp, [8, 8], INPUTS, loss), r"widths = \[8, 8\], but at least two"),
        (lambda: coordinate_check(mlp, [0, 8], INPUTS, loss), "different positive widths"),
        (lambda: coordinate_check(mlp, [8, 16], INPUTS, loss, 0), "steps = 0"),
        (lambda: coordinate_check(mlp, [8, 16], INPUTS, loss, seeds=()), r"seeds = \[\]"),
        (lambda: coordinate_check(mlp, [8, 16], INPUTS, loss, layers=(nn.Conv1d,)), "no layer occurs"),
        (lambda: slopes(pd.DataFrame({"width": [1]})), "lacks the columns .*activation"),
        (lambda: plot(coordinate_check(mlp, [8, 16], INPUTS, loss, 1), step=7), r"the steps \[0, 1\]"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
