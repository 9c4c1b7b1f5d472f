import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from tutorial_utils.plotting import (
    ACTIVATION_COLORS,
    NORM_COLORS,
    color,
    label_lines,
    plot_band,
    plot_heatmap,
    plot_histograms,
    shades,
    use_style,
)
from tutorial_utils.runs import NORMS
from tutorial_utils.schemes import SCHEMES


def test_no_color_means_two_things() -> None:
    of_schemes = {scheme.color for scheme in SCHEMES.values()}
    assert {color(name) for name in SCHEMES} == of_schemes and color("theory") not in of_schemes
    assert color("kaiming") == color("kaiming_normal") == SCHEMES["kaiming_normal"].color
    assert not of_schemes & (set(ACTIVATION_COLORS.values()) | set(NORM_COLORS.values()))
    assert len(set(ACTIVATION_COLORS.values())) == len(ACTIVATION_COLORS) and color("relu") == ACTIVATION_COLORS["relu"]
    assert {norm: color(norm) for norm in NORMS} and len(set(NORM_COLORS.values())) == len(NORM_COLORS)
    assert [len(set(shades(n))) for n in (1, 2, 9)] == [1, 2, 9]
    with pytest.raises(ValueError, match=r"'fixup' has no color; known: zeros, .*theory"):
        color("fixup")


def test_style_is_the_book_s() -> None:
    with mpl.rc_context():
        use_style()
        assert mpl.rcParams["figure.dpi"] == 144 and mpl.rcParams["figure.constrained_layout.use"]


def test_band_holds_its_share_of_the_runs_and_nan_counts_as_largest() -> None:
    samples = np.stack([np.arange(101.0), np.arange(101.0) ** 2], axis=1)
    ax = plot_band([1, 2], samples, coverage=0.8)
    vertices = ax.collections[0].get_paths()[0].vertices
    assert ax.get_lines()[0].get_ydata().tolist() == [50, 2500]
    assert {(1, 10), (1, 90), (2, 100), (2, 8100)} <= {tuple(v) for v in vertices.tolist()}
    samples[51:, 0] = np.nan
    assert plot_band([1, 2], samples).get_lines()[0].get_ydata().tolist() == [50, 2500]
    samples[40:, 0] = np.nan
    assert plot_band([1, 2], samples).get_lines()[0].get_ydata()[0] == np.inf


def test_histograms_are_densities_over_a_common_range() -> None:
    tensors = {"narrow": torch.linspace(-1, 1, 1001), "wide": torch.linspace(-2, 2, 1001)}
    ax = plot_histograms(tensors, bins=40)
    for line, height in zip(ax.get_lines(), (0.5, 0.25), strict=True):
        x, density = line.get_data()
        assert (density * (x[1] - x[0])).sum() == pytest.approx(1) and density.max() == pytest.approx(height, rel=0.1)
    assert [line.get_label() for line in ax.get_lines()] == ["narrow", "wide"]


def test_heatmap_draws_each_number_at_its_place_and_larger_ones_darker() -> None:
    cells = pd.DataFrame([[0, 7], [20, np.nan]], index=[0.1, 1.0], columns=[0.003, 0.03])
    ax = plot_heatmap(cells.rename_axis(index="scale", columns="rate"), limits=(0, 20))
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (0.5, 0.5): "0",
        (1.5, 0.5): "7",
        (0.5, 1.5): "20",
    }
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.003", "0.03"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.1", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rate", "scale")
    gray = mpl.colormaps[ax.collections[0].get_cmap().name](np.linspace(0, 1, 256))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(gray) < 0).all(), "in gray, a larger number is darker"
    assert ax.collections[0].get_clim() == (0, 20)
    assert not plot_heatmap(cells, text="").texts[0].get_text()


def test_labels_stand_at_the_line_s_end_and_apart() -> None:
    _, ax = plt.subplots()
    for label, end in {"a": 1.0, "b": 1.01, "c": 5.0}.items():
        ax.plot([0, 1], [0, end], label=label)
    ax.plot([0, 1], [3, 3])
    ax.set_ylim(0, 10)
    label_lines(ax, gap=0.1)
    heights = {text.get_text(): text.xy[1] for text in ax.texts}
    assert heights == pytest.approx({"a": 0.1, "b": 0.2, "c": 0.5})
    assert [text.get_color() for text in ax.texts] == [ax.get_lines()[i].get_color() for i in (0, 1, 2)]


def test_a_line_that_diverges_keeps_its_label() -> None:
    _, ax = plt.subplots()
    ax.plot([0, 1, 2], [0, 1, np.inf], label="lost")
    ax.plot([0, 1, 2], [0, 1, 1], label="fine")
    assert {text.get_text() for text in label_lines(ax).texts if 0 <= text.xy[1] <= 1.1} == {"lost", "fine"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: plot_band([1, 2, 3], np.zeros((4, 2))), r"samples of shape \(4, 2\) for 3 positions"),
        (lambda: plot_band([1, 2], np.zeros((4, 2)), coverage=1.5), "coverage = 1.5"),
        (lambda: plot_histograms({}), "tensors is empty"),
        (lambda: plot_heatmap(pd.DataFrame({1.0: [np.nan]})), r"cells of shape \(1, 1\) hold no number"),
    ],
)
def test_bad_input_is_repeated_in_the_error(bad, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad()
