import copy
import inspect
import json
import math
import re
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from randomness import seeded
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

import topics
from tutorial_utils.data import digits
from tutorial_utils.diagnose import KINDS, LIMITS, Diagnosis, Finding, assert_healthy, diagnose
from tutorial_utils.diagnose.findings import EXPLAINS, TITLES, grouped
from tutorial_utils.diagnose.statistics import norm, statistics
from tutorial_utils.gains import gain
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp

CROSS_ENTROPY = functional.cross_entropy


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    data = digits(generator=seeded())
    return data.x_train[:128], data.y_train[:128]


def diagnosed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Diagnosis:
    return diagnose(model, batch[0], CROSS_ENTROPY, batch[1])


def roots(result: Diagnosis) -> list[tuple[str, str]]:
    """What is wrong, notes left out, as kind and layer."""
    return [(finding.kind, finding.layer) for finding in rooted(result)]


def rooted(result: Diagnosis) -> list[Finding]:
    """The findings that say what is wrong, notes left out."""
    return [finding for finding in result.findings if finding.severity > 0]


def notes(result: Diagnosis) -> list[tuple[str, str]]:
    return [(finding.kind, finding.layer) for finding in result.findings if finding.severity == 0]


def followers(result: Diagnosis) -> set[str]:
    return {after.kind for finding in result.findings for after in finding.consequences}


def deep(scheme: str, activation: type[nn.Module] = nn.ReLU, depth: int = 20, **options: float) -> nn.Sequential:
    return initialize_(mlp([64, *[128] * depth, 10], activation), scheme, generator=seeded(1), **options)


def he(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return initialize_(mlp(list(widths), activation), "kaiming_normal", generator=seeded(2))


def data(width: int = 20, rows: int = 64) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, width, generator=seeded(3)), torch.randint(0, 5, (rows,), generator=seeded(4))


@torch.no_grad()
def changed(model: nn.Module, name: str, change: Callable[[Tensor], object]) -> nn.Module:
    change(model.get_parameter(name))
    return model


def test_a_good_start_gives_no_finding(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("kaiming_normal"), batch)
    assert result.findings == [] and result.healthy and "Nothing found." in repr(result)
    assert abs(result.loss - math.log(10)) < 1 and result.expected_loss == pytest.approx(math.log(10))


def test_a_deep_default_network_is_blind_and_its_gradient_vanishes(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("default"), batch)
    ((kind, layer),) = roots(result)
    assert kind == "lost-input" and layer in {f"linear{n}" for n in range(5, 12)}
    assert "vanishing-gradient" in followers(result)
    assert "biases" in result.findings[0].cause and result.findings[0].topic == "reset-parameters"
    text = " ".join(repr(result).split())
    assert re.search(r"they are [\d,]+ times closer than at the input \(1 - cosine of two examples: 0\.0", text)
    assert re.search(r"so: linear1: a 1% change of its output moves the loss [\d,]+( million)? times less than", text)


def test_a_report_names_numbered_layers_and_has_no_powers_of_ten() -> None:
    layers: list[nn.Module] = []
    for _ in range(12):
        layers += [nn.Linear(20, 20), nn.ReLU()]
    for factor in (1e-3, 3.0, 1e4):
        model = changed(nn.Sequential(*layers), "4.weight", lambda w, by=factor: w.mul_(by))
        text = repr(diagnosed(model, data()))
        assert "layer " in text and not re.search(r"\de\+\d", text), text


def test_a_shallow_default_network_is_fine(batch: tuple[Tensor, Tensor]) -> None:
    assert diagnosed(deep("default", depth=3), batch).healthy


def test_a_signal_that_vanishes_or_explodes(batch: tuple[Tensor, Tensor]) -> None:
    small, large = (diagnosed(deep("lecun_normal", nonlinearity=gain), batch) for gain in (0.7, 3.0))
    assert roots(small)[0] == ("forward-scale", "linear21") and "less" in small.findings[0].measured
    assert roots(large)[0] == ("forward-scale", "linear21") and "more" in large.findings[0].measured
    assert "first-loss" in followers(large)


@pytest.mark.parametrize("depth", [3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_layers_that_are_all_drawn_wrongly_are_not_held_against_each_other(depth: int, seed: int) -> None:
    model = mlp([64] * (depth + 1) + [10])
    for layer in [module for module in model if isinstance(module, nn.Linear)][:-1]:
        nn.init.uniform_(layer.weight, generator=seeded(seed))
    result = diagnose(model, torch.randn(64, 64, generator=seeded(9)), functional.cross_entropy, torch.arange(64) % 10)
    assert roots(result) == [("forward-scale", "linear1")]
    text = " ".join(repr(result).split())
    assert f"from here on, {depth} layers multiply the signal by" in text and "1 to 2 would be normal" in text
    assert "mean 0.5 instead of 0" in text and "draw them around 0" in text


@pytest.mark.parametrize("std", [1e-3, 8.0])
@pytest.mark.parametrize("norm", [False, True])
def test_one_standard_deviation_for_all_layers_is_one_finding(std: float, norm: bool) -> None:
    layers: list[nn.Module] = []
    for seed in range(5):
        layer = nn.Linear(256, 256, bias=False)
        nn.init.normal_(layer.weight, std=std, generator=seeded(seed))
        layers += [layer, nn.BatchNorm1d(256), nn.ReLU()] if norm else [layer, nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(256, 10))
    result = diagnosed(model, data(256, 32))
    kind = "parameter-scale" if norm else "forward-scale"
    assert [root for root in roots(result) if root[0] == kind] == [(kind, "0")]
    assert f"all these weights are too {'large' if std == 8 else 'small'}" in " ".join(repr(result).split())


def test_a_large_first_loss_names_the_layers_before_the_last() -> None:
    model = mlp([64] * 4 + [10])
    for n in range(1, 4):
        nn.init.normal_(model.get_parameter(f"linear{n}.weight"), generator=seeded(n))
    result = diagnose(model, torch.randn(64, 64, generator=seeded(9)), functional.cross_entropy, torch.arange(64) % 10)
    assert roots(result) == [("first-loss", "linear4")]
    assert "linear1, linear2, linear3 multiply the signal by" in " ".join(repr(result).split())


def test_what_reports_call_normal_holds_for_the_usual_activations() -> None:
    usual = [functional.relu, torch.tanh, torch.sigmoid, functional.gelu, functional.silu, functional.elu]
    assert all(0.99 < gain(activation) < 2 for activation in usual)


def test_the_sigmoid_shares_its_mean(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("xavier_normal", nn.Sigmoid, 8), batch)
    assert [kind for kind, _ in roots(result)] == ["lost-input"]
    assert "mean of the activation" in result.findings[0].cause and "vanishing-gradient" in followers(result)


SCALED = {
    "1 percent": (0.01, "forward-scale"),
    "1 in 10,000": (1e-4, "forward-scale"),
    "100 times": (100.0, "forward-scale"),
}


@pytest.mark.parametrize("name", SCALED)
def test_one_layer_out_of_scale_is_found_where_it_is(name: str) -> None:
    factor, kind = SCALED[name]
    model = changed(he(20, 64, 64, 64, 64, 5), "linear3.weight", lambda w: w.mul_(factor))
    assert roots(diagnosed(model, data())) == [(kind, "linear3")]


def test_before_a_normalization_the_scale_hurts_training_only() -> None:
    layers: list[nn.Module] = []
    for fan_in in (20, 64, 64):
        layers += [nn.Linear(fan_in, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()]
    model = initialize_(nn.Sequential(*layers, nn.Linear(64, 5)), "kaiming_normal", generator=seeded())
    assert diagnosed(model, data()).healthy
    changed(model, "3.weight", lambda w: w.mul_(1e4))
    result = diagnosed(model, data())
    assert roots(result) == [("parameter-scale", "3")] and "layer 4, a normalization, hides" in " ".join(
        repr(result).split()
    )


CHANGED_BATCHES: dict[str, Callable[[Tensor], Tensor]] = {
    "rms": lambda x: 40 * x,
    "mean": lambda x: x + 100,
    "small": lambda x: 1e-3 * x,
    "column": lambda x: torch.cat([x[:, :1] * 1e4, x[:, 1:]], dim=1),
    "examples are the same": lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize("name", CHANGED_BATCHES)
def test_a_bad_batch_is_not_held_against_the_model(name: str) -> None:
    x, y = data()
    result = diagnosed(he(20, 64, 64, 5), (CHANGED_BATCHES[name](x), y))
    assert roots(result)[0] == ("input-scale", "the batch")
    assert name == "small" or name in result.findings[0].measured


def test_a_normalization_takes_the_scale_of_the_batch_away() -> None:
    x, y = data()
    model = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 5))
    assert diagnosed(model, (40 * x + 5, y)).healthy


def test_regression_targets() -> None:
    x, _ = data()
    small, large = torch.randn(64, 1, generator=seeded()), 2e5 + torch.randn(64, 1, generator=seeded())
    model = he(20, 64, 1)
    assert diagnose(model, x, functional.mse_loss, small).healthy
    assert roots(diagnose(model, x, functional.mse_loss, large)) == [("target-scale", "the target")]


def test_labels_of_one_class_and_probabilities_beyond_one() -> None:
    x, y = data()
    assert roots(diagnosed(he(20, 64, 5), (x, torch.zeros_like(y))))[0] == ("target-scale", "the target")
    bad = diagnose(he(20, 64, 1), x, functional.binary_cross_entropy_with_logits, 255.0 * (y[:, None] > 2))
    assert roots(bad)[0] == ("target-scale", "the target")


def test_targets_of_another_shape_are_compared_with_every_output() -> None:
    x, _ = data()
    with pytest.warns(UserWarning, match="target size"):
        result = diagnose(he(20, 64, 1), x, functional.mse_loss, torch.randn(64, generator=seeded()))
    assert roots(result) == [("target-scale", "the target")] and "(64, 1)" in result.findings[0].measured


def test_a_zero_head_is_a_note_and_hides_nothing() -> None:
    model = changed(he(20, 64, 64, 64, 64, 5), "linear5.weight", torch.zero_)
    result = diagnosed(model, data())
    assert result.healthy and notes(result) == [("zero-initialized", "linear5")]
    assert result.replaced == ("linear5.weight",) and "small random" in repr(result)
    changed(model, "linear3.weight", lambda w: w.mul_(1e-3))
    assert roots(diagnosed(model, data())) == [("forward-scale", "linear3")]


def test_zeros_in_the_middle_are_a_fault() -> None:
    model = changed(he(20, 64, 64, 64, 5), "linear2.weight", torch.zero_)
    assert roots(diagnosed(model, data()))[0] == ("zero-initialized", "linear2")


def test_equal_units_and_memory_never_written() -> None:
    equal = changed(he(20, 64, 64, 5), "linear2.weight", lambda w: w.copy_(w[:1].expand_as(w)))
    assert roots(diagnosed(equal, data()))[0] == ("equal-units", "linear2")
    strange = changed(he(20, 64, 64, 5), "linear2.weight", lambda w: w.fill_(1e-35).view(-1)[::97].fill_(1e18))
    assert roots(diagnosed(strange, data()))[0] == ("uninitialized", "linear2")


def test_rounding_in_a_trained_bias_before_a_norm_is_not_memory_never_written(batch: tuple[Tensor, Tensor]) -> None:
    net = he(64, 32, 10)
    model = nn.Sequential(net[0], nn.BatchNorm1d(32), *net[1:])
    with torch.no_grad():
        net[0].bias.copy_(torch.logspace(-34, -16, 32))  # what float64 leaves of a gradient that is 0
    assert roots(diagnosed(model, batch)) == []
    with torch.no_grad():
        net[0].bias[0] = 1e-39  # not a normal number of float32
    assert roots(diagnosed(model, batch))[0][0] == "uninitialized"


def test_dead_units_in_modules_and_in_functions() -> None:
    model = changed(he(20, 64, 64, 5), "linear1.bias", lambda b: b.sub_(30))
    result = diagnosed(model, data())
    assert roots(result) == [("dead-units", "act1")] and "linear1.bias" in result.findings[0].cause
    called = changed(Called(torch.relu), "first.bias", lambda b: b.sub_(30))
    assert roots(diagnosed(called, data())) == [("dead-units", "first")]


class Called(nn.Module):
    """An activation that is called as a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Linear(20, 64), nn.Linear(64, 5), function

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)))


class Bent(nn.Tanh):
    """A subclass of an activation."""


@pytest.mark.parametrize("activation", [nn.Tanh, Bent, nn.Sigmoid, nn.Hardtanh])
def test_saturation_is_seen_in_every_bounded_activation(activation: type[nn.Module]) -> None:
    model = changed(he(20, 64, 64, 5, activation=activation), "linear2.weight", lambda w: w.mul_(30))
    assert roots(diagnosed(model, data())) == [("saturated-units", "act2")]


def test_saturated_functions_and_attention() -> None:
    called = changed(Called(torch.tanh), "first.weight", lambda w: w.mul_(30))
    assert roots(diagnosed(called, data())) == [("saturated-units", "first")]
    layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True)
    x = torch.randn(4, 12, 32, generator=seeded())
    assert diagnose(layer, x).healthy
    changed(layer, "self_attn.in_proj_weight", lambda w: w.mul_(60))
    assert roots(diagnose(layer, x))[0] == ("saturated-units", "self_attn")


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Softmax(0), nn.Sigmoid(), nn.ReLU(), nn.Tanh()])
def test_an_activation_that_the_loss_brings_itself(last: nn.Module) -> None:
    result = diagnosed(nn.Sequential(he(20, 64, 5), last), data())
    assert roots(result) == [("output-activation", "1")]


def test_negative_log_likelihood_wants_log_probabilities() -> None:
    x, y = data()
    right = nn.Sequential(he(20, 64, 5), nn.LogSoftmax(1))
    assert diagnose(right, x, functional.nll_loss, y).healthy
    assert roots(diagnose(right[0], x, functional.nll_loss, y))[0][0] == "output-activation"


def test_the_first_loss() -> None:
    large = changed(he(20, 64, 5), "linear2.weight", lambda w: w.mul_(100))
    biased = changed(he(20, 64, 5), "linear2.bias", lambda b: b[0].add_(30))
    for model, cause in ((large, "logits are far apart"), (biased, "one guess")):
        result = diagnosed(model, data())
        assert roots(result) == [("first-loss", "linear2")] and cause in result.findings[0].cause


def test_every_form_of_classification_has_an_expected_loss() -> None:
    x, y = data()
    model = he(20, 64, 5)
    one_hot = functional.one_hot(y, 5).float()
    assert diagnose(model, x, CROSS_ENTROPY, one_hot).expected_loss == pytest.approx(math.log(5))
    tokens = torch.randint(0, 9, (4, 12), generator=seeded())
    words = nn.Sequential(nn.Embedding(9, 16), nn.Linear(16, 9))
    flat = diagnose(words, tokens, lambda z, t: CROSS_ENTROPY(z.flatten(0, 1), t.flatten(), reduction="sum"), tokens)
    assert flat.expected_loss == pytest.approx(math.log(9)) and flat.loss > 50 and flat.healthy


def batch_normalized(layers: int = 3) -> nn.Sequential:
    parts: list[nn.Module] = []
    for fan_in in (20, *[64] * (layers - 1)):
        parts += [nn.Linear(fan_in, 64), nn.BatchNorm1d(64), nn.ReLU()]
    return initialize_(nn.Sequential(*parts, nn.Linear(64, 5)), "kaiming_normal", generator=seeded(5))


def test_a_bias_before_a_normalization_is_a_note() -> None:
    result = diagnosed(batch_normalized(), data())
    assert result.healthy and notes(result) == [("bias-before-norm", "0")]


def test_running_statistics_that_do_not_fit() -> None:
    model = batch_normalized()
    for _ in range(100):
        model(data()[0])
    assert diagnosed(model.eval(), data()).healthy
    model[4].running_mean.add_(50)
    assert roots(diagnosed(model, data()))[0] == ("running-statistics", "4")
    model[4].running_var[3] = math.nan
    told = [(f.kind, f.layer) for f in every(diagnosed(model, data()))]
    assert told.count(("running-statistics", "4")) == 1


def every(result: Diagnosis) -> list[Finding]:
    return [one for finding in result.findings for one in (finding, *finding.consequences)]


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_a_momentum_under_which_nothing_settles(momentum: float) -> None:
    model = batch_normalized()
    model[4].momentum = momentum
    assert roots(diagnosed(model, data())) == [("running-statistics", "4")]


def test_statistics_of_two_examples() -> None:
    x, y = data(rows=2)
    assert roots(diagnosed(batch_normalized(), (x, y)))[0] == ("small-batch", "1")


@pytest.mark.parametrize("gain", [3.0, 5.0])
def test_a_gradient_that_grows_at_every_layer(gain: float) -> None:
    model = deep("lecun_normal", nn.Tanh)
    with torch.no_grad():
        for layer in model[:-1]:
            if isinstance(layer, nn.Linear):
                layer.weight *= gain
    assert roots(diagnosed(model, data(64))) == [("exploding-gradient", "linear1")]


class WantsGradients(nn.Module):
    """Makes what it computed from its input want a gradient, as some models do for a checkpoint."""

    def __init__(self, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.prepare, self.layers = prepare, he(20, 32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prepare(x.detach())
        x.requires_grad = True
        return self.layers(x)


@pytest.mark.parametrize(
    "prepare", [lambda x: x[:, :], lambda x: x - x.mean(), torch.clone], ids=["view", "new", "copy"]
)
def test_a_tensor_made_on_the_way_is_no_hidden_layer(prepare: Callable[[Tensor], Tensor]) -> None:
    assert "unregistered" not in {kind for kind, _ in roots(diagnosed(WantsGradients(prepare), data()))}


def test_a_gradient_that_stays_exactly_as_it_is() -> None:
    layers = [nn.Linear(8, 8, bias=False) for _ in range(4)]
    for layer in layers:
        nn.init.eye_(layer.weight)
    assert {kind for kind, _ in roots(diagnose(nn.Sequential(*layers), data(8)[0]))} == {"equal-units"}


def test_a_gradient_that_hardly_grows() -> None:
    assert diagnosed(deep("xavier_normal", nn.Tanh), data(64)).healthy


def test_batch_normalization_without_shortcuts_explodes_the_gradient() -> None:
    assert roots(diagnosed(batch_normalized(60), data())) == [("normalization-explosion", "0")]


def test_rounding_of_a_large_constant_is_blown_up() -> None:
    x = torch.full((1, 4, 10, 10), 1e7) + torch.rand(1, 4, 10, 10, generator=seeded())
    assert "normalization-explosion" in {f.kind for f in every(diagnose(nn.BatchNorm2d(4), x))}


def test_frozen_layers_are_a_note_and_a_frozen_model_is_not() -> None:
    model = he(20, 64, 64, 5)
    model.linear2.requires_grad_(False)
    assert notes(diagnosed(model, data())) == [("frozen", "linear2")]
    model.requires_grad_(False)
    assert roots(diagnosed(model, data())) == [("frozen", "linear1")]


class Unlisted(nn.Module):
    """Keeps its middle layers where PyTorch does not look for them."""

    def __init__(self, keep: Callable[[list[nn.Module]], Any]) -> None:
        super().__init__()
        self.first, self.middle, self.last = he(20, 64), keep([he(64, 64), he(64, 64)]), he(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        for layer in self.middle.values() if isinstance(self.middle, dict) else self.middle:
            x = layer(x).relu()
        return self.last(x)


@pytest.mark.parametrize("keep", [list, tuple, lambda layers: dict(enumerate(layers))])
def test_layers_that_the_model_does_not_know_are_found(keep: Any) -> None:
    assert roots(diagnosed(Unlisted(keep), data())) == [("unregistered", "middle")]


def test_layers_that_the_model_knows_or_that_are_not_to_be_trained_are_fine() -> None:
    assert diagnosed(Unlisted(nn.ModuleList), data()).healthy
    hidden = Unlisted(lambda layers: [layer.requires_grad_(False) for layer in layers])
    assert not roots(diagnosed(hidden, data()))
    x, target = data()
    assert diagnosed(he(20, 64, 5), (x.requires_grad_(), target)).healthy


def test_a_tensor_that_is_no_parameter_is_found() -> None:
    model = he(20, 64, 5)
    scale = torch.ones(5, requires_grad=True)
    model.register_forward_hook(lambda module, given, made: made * scale)
    assert roots(diagnosed(model, data())) == [("unregistered", "Sequential")]


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(20, 64), nn.Linear(20, 64), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.left(x) + self.right(x).detach())


def test_a_detached_branch_and_a_layer_that_is_never_called() -> None:
    assert roots(diagnosed(Cut(), data())) == [("no-gradient", "right")]
    model = Called(torch.relu)
    model.register_module("spare", nn.Linear(2, 2))
    assert roots(diagnosed(model, data())) == [("no-gradient", "spare")]


class Positions(nn.Module):
    """A parameter that is used without calling the module that holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions, self.last = nn.Embedding(9, 16), nn.Embedding(12, 16), nn.Linear(16, 9)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.scale * (self.tokens(tokens) + self.positions.weight))


def test_parameters_may_be_used_without_their_module() -> None:
    tokens = torch.randint(0, 9, (4, 12), generator=seeded())
    assert diagnose(Positions(), tokens).findings == []


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_what_is_not_finite_is_found_at_its_origin(poison: float) -> None:
    x, y = data()
    bad = x.clone()
    bad[3, 5] = math.nan
    in_batch = diagnosed(he(20, 64, 5), (bad, y))
    assert roots(in_batch) == [("not-finite", "the batch")] and "1 of 1,280" in in_batch.findings[0].measured
    model = changed(he(20, 64, 64, 5), "linear2.weight", lambda w: w[0, 0].fill_(poison))
    result = diagnosed(model, (x, y))
    assert roots(result) == [("not-finite", "linear2")] and result.findings[0].severity == math.inf
    assert "linear2.weight" in result.findings[0].measured


def test_a_gradient_that_is_not_finite() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    model = nn.Sequential(nn.Linear(2, 3, bias=False))
    result = diagnose(model, x, lambda z: z.square().sum(1).sqrt().sum())
    assert roots(result) == [("not-finite", "0")] and "gradient" in result.findings[0].measured


def test_kinds_limits_and_topics_are_complete() -> None:
    folder = Path(inspect.getsourcefile(diagnose) or "").parent
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    slugs = {path.stem.split("-", 1)[1] for path in (Path(__file__).parents[1] / "book" / "chapters").glob("*.md")}
    used = {slug for slug in slugs if f'"{slug}"' in text}
    assert len(used) >= 8 and not re.findall(r"chapter \d", text)
    assert set(EXPLAINS) <= set(KINDS) and set().union(*EXPLAINS.values()) <= set(KINDS)
    assert all(text.count(f'"{name}"') > 1 for name in (*KINDS, *LIMITS)), "one that no rule uses"


def test_a_finding_prints_its_kind_cause_cure_and_topic(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("default"), batch)
    text = repr(result)
    assert all(word in text for word in ("[lost-input]", "cause:", "cure:", "so:", "What PyTorch does by default"))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(finding.topic for finding in every(result))


def test_one_of_a_thing_is_told_in_the_singular(batch: tuple[Tensor, Tensor]) -> None:
    (x, y), wide = batch, he(64, 10)[0]
    assert repr(diagnose(wide, x, CROSS_ENTROPY, y)).startswith("1 output measured,")
    assert repr(diagnose(nn.Sequential(wide, nn.ReLU()), x, CROSS_ENTROPY, y)).startswith("2 outputs measured,")
    zeros = changed(he(64, 64, 10), "linear2.weight", lambda w: w.zero_())
    assert "to see past linear2.weight, the model was measured" in " ".join(repr(diagnose(zeros, x)).split())
    wide.bias.requires_grad_(False)
    assert "1 of 2 parameters does not train: bias" in repr(diagnose(wide, x))
    for bad, told in ((1, "1 of 8,192 numbers of the batch is"), (2, "2 of 8,192 numbers of the batch are")):
        broken = x.clone()
        broken[0, :bad] = torch.nan
        assert f"{told} not finite" in repr(diagnose(wide, broken))


def test_reports_name_chapters_by_their_titles() -> None:
    shown = {label: page for label, page in topics.pages().items() if label in TITLES}
    headings = {label: re.search(r"^# (.+)$", page.source.read_text("utf-8"), re.M) for label, page in shown.items()}
    assert {label: heading and heading[1] for label, heading in headings.items()} == TITLES
    rules = Path(inspect.getfile(diagnose)).parent.glob("rules_*.py")
    written = "\n".join(path.read_text("utf-8") for path in rules)
    assert {label for label in topics.pages() if f'"{label}"' in written} == {*TITLES}


def test_one_running_statistic_is_told_in_the_singular() -> None:
    norm = nn.BatchNorm1d(3).eval()
    norm.running_mean[0] = torch.nan
    assert "1 of its running statistics is not finite" in repr(diagnose(norm, torch.eye(3)))


def test_what_follows_is_folded_under_its_root_but_notes_are_not() -> None:
    def one(kind: str, severity: float = 1.0, position: int = 0) -> Finding:
        return Finding(kind, "1", "", "", "", "", severity, position=position)

    (root,) = grouped([one("vanishing-gradient"), one("lost-input", position=3), one("dead-units", position=1)])
    assert root.kind == "dead-units" and {f.kind for f in root.consequences} == {"lost-input", "vanishing-gradient"}
    assert [f.kind for f in grouped([one("frozen", 0.0), one("input-scale")])] == ["input-scale", "frozen"]


def test_assert_healthy_raises_with_the_findings() -> None:
    x, y = data()
    assert_healthy(he(20, 64, 5), x, CROSS_ENTROPY, y)
    dead = changed(he(20, 64, 64, 5), "linear1.bias", lambda b: b.sub_(30))
    with pytest.raises(AssertionError, match=r"act1: (.|\n)*dead-units"):
        assert_healthy(dead, x, CROSS_ENTROPY, y)
    assert_healthy(dead, x, CROSS_ENTROPY, y, ignore=["dead-units", "lost-input", "no-gradient"])
    assert_healthy(he(20, 64, 5), 20 * x, CROSS_ENTROPY, y, limits={"input rms": 50.0, "excess loss": 99.0})


def test_json_says_the_same(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("default"), batch)
    known = json.loads(result.json())
    assert known["healthy"] is False and known["findings"][0]["kind"] == "lost-input"
    assert json.loads(diagnose(nn.Linear(3, 3), torch.eye(3)).json())["loss"] is None


def test_statistics_by_hand() -> None:
    s = statistics(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    assert s.cosine == pytest.approx(1 / math.sqrt(2)) and s.dead_share == pytest.approx(1 / 3)
    assert s.second_moment == pytest.approx(0.5) and s.mean == pytest.approx(0.5) and s.edge_share == 0.5
    assert math.isnan(statistics(torch.ones(1, 3)).cosine) and math.isnan(statistics(torch.tensor(1.0)).cosine)
    assert norm(torch.tensor([3e30, 4e30])) == pytest.approx(5e30)
    assert norm(torch.tensor([3e-30, 4e-30])) == pytest.approx(5e-30)


def test_large_tensors_are_sampled_without_missing_a_channel() -> None:
    x = torch.randn(8, 64, 64, 64, generator=seeded())
    x[:, 3] = 100.0
    s = statistics(x)
    assert s.second_moment == pytest.approx(float(x.double().square().mean()), rel=0.05)
    x[7, 63, 63, 63] = math.nan
    assert statistics(x).not_finite == 1


def test_update_ratio_is_gradient_over_weight(batch: tuple[Tensor, Tensor]) -> None:
    net = deep("kaiming_normal", depth=2)
    table = diagnosed(net, batch).table.set_index("layer")
    CROSS_ENTROPY(net(batch[0]), batch[1]).backward()
    weight = net.linear2.weight
    assert table.update_ratio["linear2"] == pytest.approx((weight.grad.norm() / weight.norm()).item())
    assert math.isnan(table.update_ratio["act1"])


def test_without_a_loss_a_fixed_random_gradient_is_sent_back(batch: tuple[Tensor, Tensor]) -> None:
    one, two = (diagnose(deep("kaiming_normal"), batch[0]) for _ in range(2))
    assert math.isnan(one.loss) and math.isnan(one.expected_loss)
    assert one.table.grad_second_moment.iloc[-1] == pytest.approx(1, rel=0.2)
    assert one.table.grad_second_moment.tolist() == two.table.grad_second_moment.tolist()


def test_plot_draws_forward_backward_and_differences(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("kaiming_normal", depth=3), batch)
    axes = result.plot().axes
    lines = [ax.get_lines()[0] for ax in axes]
    assert lines[0].get_ydata().tolist() == (result.table.second_moment**0.5).tolist()
    assert len(lines) == 3 and all(len(line.get_xdata()) == len(result.table) for line in lines)
    assert [label.get_text() for label in axes[-1].get_xticklabels()] == list(result.table.layer)


class Everything(nn.Module):
    """Buffers, dropout, a shared and an unused layer, integers in, a dataclass out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.shared, self.unused = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm, self.drop, self.side = nn.BatchNorm1d(6), nn.Dropout(), weight_norm(nn.Linear(6, 6, bias=False))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, tokens: Tensor, scale: Tensor | None = None) -> "Out":
        self.calls = self.calls + 1
        hidden = self.drop(self.norm(self.shared(self.shared(self.embedding(tokens))).relu()))
        self.unused(hidden)
        return Out(self.side(hidden) * (1 if scale is None else scale), tokens)


@dataclass
class Out:
    logits: Tensor
    tokens: Tensor


def state(model: nn.Module) -> dict[str, object]:
    grads = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    modes = [m.training for m in model.modules()]
    return {
        "grads": grads,
        "hooks": hooks,
        "modes": modes,
        "rng": torch.get_rng_state(),
        **copy.deepcopy(model.state_dict()),
    }


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_and_the_random_state_are_left_as_they_were(training: bool, fails: bool) -> None:
    model = Everything().train(training)
    model.shared.weight.grad = torch.ones(6, 6)
    before, calls = state(model), model.calls
    tokens = torch.arange(8)

    def loss(out: Out) -> Tensor:
        if fails:
            raise RuntimeError("no loss today")
        return out.logits.square().sum()

    if fails:
        with pytest.raises(RuntimeError, match="no loss today"):
            diagnose(model, tokens, loss)
    else:
        found = [(finding.kind, finding.layer) for finding in diagnose(model, tokens, loss).findings]
        assert ("no-gradient", "unused") in found
    after = state(model)
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)
    assert model.calls is calls


def test_batches_of_every_form_and_precision() -> None:
    model, tokens, scale = Everything().eval(), torch.arange(8), torch.tensor(2.0)
    forms = (tokens, (tokens,), {"tokens": tokens}, (tokens, scale), {"tokens": tokens, "scale": scale})
    tables = [diagnose(model, form).table for form in forms]
    assert [list(table.layer) for table in tables] == [list(tables[0].layer)] * 5
    assert list(tables[0].layer).count("shared") == 2 and "side" in set(tables[0].layer)
    half = diagnose(Everything().bfloat16().eval(), tokens)
    assert half.table.grad_second_moment.notna().sum() > 3


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.block, self.last, self.reentrant = (
            nn.Linear(20, 64),
            he(64, 64, 64),
            nn.Linear(64, 5),
            reentrant,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.last(checkpoint(self.block, self.first(x), use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_give_one_row_a_call(reentrant: bool) -> None:
    model = Checkpointed(reentrant)
    result = diagnosed(model, data())
    assert list(result.table.layer) == ["first", "block.linear1", "block.act1", "block.linear2", "last"]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_embedding_that_renormalizes_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Embedding(50, 8, max_norm=1.0, sparse=True), nn.Linear(8, 5))
    before = copy.deepcopy(model.state_dict())
    result = diagnose(model, torch.arange(48).reshape(4, 12))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert result.table.update_ratio.notna().sum() == 2 or result.table.update_ratio.notna().sum() == 1


class Registers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.register_buffer("seen", x.mean())
        self.add_module("extra", nn.Identity())
        self.count = 1
        return self.layer(x)


def test_what_forward_registers_is_gone_afterwards() -> None:
    model = Registers()
    diagnosed(model, data())
    assert list(model.named_buffers()) == [] and [n for n, _ in model.named_children()] == ["layer"]
    assert not hasattr(model, "count")


def test_a_pair_of_a_data_loader_is_inputs_and_target() -> None:
    x, y = data()
    assert diagnose(he(20, 64, 5), [x, y], CROSS_ENTROPY).expected_loss == pytest.approx(math.log(5))


def test_wrappers_are_taken_off() -> None:
    inner = he(20, 64, 5)
    assert list(diagnosed(nn.DataParallel(inner), data()).table.layer) == ["linear1", "act1", "linear2"]


def test_inference_mode_and_no_grad_around_it_change_nothing() -> None:
    x, y = data()
    model = he(20, 64, 64, 5)
    for around in (torch.inference_mode, torch.no_grad):
        with around():
            assert diagnose(model, x + 0, CROSS_ENTROPY, y).table.reach.notna().all()


def bad_limits(**limits: Any) -> Callable[[], object]:
    return lambda: diagnose(nn.Linear(2, 2), torch.ones(2, 2), limits=limits)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda: diagnose(torch.relu, torch.ones(2, 2)), TypeError, "model = .*relu.* must be a torch.nn.Module"),
        (
            lambda: diagnose(nn.Linear(2, 2, device="meta"), torch.ones(2, 2)),
            ValueError,
            "Linear is on the meta device",
        ),
        (lambda: diagnose(nn.LazyLinear(2), torch.ones(2, 2)), ValueError, "LazyLinear .* first batch"),
        (lambda: diagnose(torch.jit.script(nn.Linear(2, 2)), torch.ones(2, 2)), ValueError, "is scripted"),
        (lambda: diagnose(nn.Identity(), torch.arange(3)), ValueError, "no floating-point numbers come out"),
        (lambda: diagnose(nn.Linear(2, 2), torch.ones(2, 2), lambda o: o), ValueError, "must be a scalar"),
        (
            lambda: assert_healthy(nn.Linear(2, 2), torch.eye(2), ignore=["dead"]),
            ValueError,
            "'dead' is no kind of finding",
        ),
        (bad_limits(size=1.0), ValueError, "limits has 'size', but the limits are gain"),
        (bad_limits(gain=-1.0), ValueError, r"limits\['gain'\] = -1.0, but it must be a positive number"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:Lazy modules:UserWarning")
def test_bad_input_is_repeated_in_the_error(bad: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bad()


class Beside(nn.Module):
    """Numbers beside an embedded category, a temperature behind the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.category, self.first, self.last = nn.Embedding(4, 6), nn.Linear(26, 64), nn.Linear(64, 5)
        self.temperature = nn.Parameter(torch.zeros(()))

    def forward(self, numbers: Tensor, category: Tensor) -> Tensor:
        hidden = self.first(torch.cat([numbers, self.category(category)], dim=1)).relu()
        return self.temperature.exp() * self.last(hidden)


def test_columns_beside_an_embedding_are_still_the_batch() -> None:
    x, y = data()
    model = Beside()
    assert diagnose(model, (x, y % 4), CROSS_ENTROPY, y).healthy
    x[:, 3] = 2000 + 5 * x[:, 3]
    assert roots(diagnose(model, (x, y % 4), CROSS_ENTROPY, y))[0] == ("input-scale", "the batch")


def test_a_temperature_is_named_by_its_parameter() -> None:
    x, y = data()
    model = changed(Beside(), "temperature", lambda t: t.fill_(10))
    assert roots(diagnose(model, (x, y % 4), CROSS_ENTROPY, y))[0] == ("first-loss", "temperature")


def test_an_infinity_in_the_batch_is_not_held_against_the_first_layer() -> None:
    x, y = data()
    x[3, 5] = -math.inf
    assert roots(diagnosed(he(20, 64, 5), (x, y))) == [("not-finite", "the batch")]


def test_a_layer_out_of_line_with_all_others() -> None:
    for factor in (0.1, 10.0):
        model = changed(he(20, 64, 64, 64, 64, 64, 5), "linear3.weight", lambda w, by=factor: w.mul_(by))
        assert ("forward-scale", "linear3") in roots(diagnosed(model, data()))


class Members(nn.Module):
    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


def test_copies_side_by_side_stay_copies() -> None:
    first = he(20, 64, 5)
    assert diagnosed(
        Members(first, initialize_(copy.deepcopy(first), "kaiming_normal", generator=seeded(9))), data()
    ).healthy
    copies = diagnosed(Members(first, copy.deepcopy(first)), data())
    assert roots(copies) == [("equal-units", "members.1.linear1")]


COPIES: dict[str, tuple[Callable[[Tensor], object], bool]] = {  # channels 0 to 3 are one group, 4 to 7 the other
    "in a group": (lambda w: w[1:4].copy_(w[:1].expand(3, -1, -1)), True),
    "in the other group": (lambda w: w[4:].copy_(w[:4]), False),
    "zeros": (lambda w: w[:6].zero_(), False),
}


@pytest.mark.parametrize("name", COPIES)
def test_units_are_copies_of_those_in_their_group_and_zeros_are_none(name: str) -> None:
    change, told = COPIES[name]
    model = nn.Sequential(nn.Conv1d(4, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5))
    changed(initialize_(model, "kaiming_normal", generator=seeded(2)), "0.weight", change)
    result = diagnose(model, torch.randn(64, 4, 8, generator=seeded(3)))
    assert ("equal-units" in {finding.kind for finding in every(result)}) is told


def test_what_is_copied_to_neighboring_pixels_is_meant() -> None:
    model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 3, padding=1), nn.PixelShuffle(2))
    changed(model, "2.weight", lambda w: w.copy_(w[:1].expand_as(w)))
    x = torch.randn(4, 1, 8, 8, generator=seeded())
    assert roots(diagnose(model, x)) == []
    assert roots(diagnose(model[:3], x))[0] == ("equal-units", "2")


class Factor(nn.Module):
    def __init__(self, size: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((64,), size))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x


def test_a_small_factor_wants_a_shortcut() -> None:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), Factor(1e-4), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    assert roots(diagnosed(model, data()))[0] == ("parameter-scale", "2")


class Stream(nn.Module):
    """Positions are added to scaled tokens; small branches follow, each behind a normalization."""

    def __init__(self, size: float, scale: float) -> None:
        super().__init__()
        self.token, self.scale, self.last = nn.Embedding(50, 64), scale, nn.Linear(64, 50)
        self.norms, self.branches = nn.ModuleList(), nn.ModuleList()
        for _ in range(4):
            self.norms.append(nn.LayerNorm(64))
            self.branches.append(nn.Linear(64, 64))
        nn.init.normal_(self.token.weight, std=size, generator=seeded(7))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.scale * self.token(tokens) + torch.arange(tokens.shape[1])[:, None].sin()
        for norm_, branch in zip(self.norms, self.branches, strict=True):
            x = x + 0.3 * branch(norm_(x))
        return self.last(x)


@pytest.mark.parametrize(("size", "scale", "healthy"), [(1, 1, True), (0.02, 1, False), (1, 64, False)])
def test_an_embedding_that_drowns_or_is_drowned(size: float, scale: float, healthy: bool) -> None:
    tokens = torch.randint(0, 50, (16, 12), generator=seeded())
    found = [(f.kind, f.layer) for f in every(diagnose(Stream(size, scale), tokens)) if f.severity]
    assert (found == []) if healthy else (found[0] == ("parameter-scale", "token"))


def test_a_last_bias_is_a_first_guess() -> None:
    x, _ = data()
    rare = (torch.arange(64) < 2).float()[:, None]
    for sign, expected in ((-1, []), (1, [("first-loss", "linear2")])):
        model = changed(he(20, 64, 1), "linear2.weight", lambda w: w.mul_(0.1))
        changed(model, "linear2.bias", lambda b, by=sign: b.fill_(by * math.log(31)))
        assert roots(diagnose(model, x, functional.binary_cross_entropy_with_logits, rare)) == expected


def test_forty_batch_normalizations_without_shortcuts() -> None:
    assert roots(diagnosed(batch_normalized(40), data())) == [("normalization-explosion", "0")]
    assert diagnosed(batch_normalized(8), data()).healthy


class Bottleneck(nn.Module):
    """A branch of three normalized layers beside a shortcut, as in ResNet-50."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for n_in, n_out in ((64, 16), (16, 16), (16, 64)):
            parts += [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU()]
        self.branch = nn.Sequential(*parts[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.branch(x)).relu()


def test_shortcuts_are_no_cure_for_a_model_that_has_them() -> None:
    model = nn.Sequential(nn.Linear(20, 64), *[Bottleneck() for _ in range(24)], nn.Linear(64, 5))
    initialize_(model, "kaiming_normal", generator=seeded(5))
    changed(model, "25.weight", lambda w: w.mul_(0.1))
    x, y = data()
    result = diagnose(model, x, CROSS_ENTROPY, y, limits={"normalized gradient": 3.0})
    reach = result.table.reach[result.table.kind == "Linear"]
    assert result.healthy and reach.iloc[0] > 3 * reach.iloc[-1]
    (explosion,) = rooted(diagnose(model, x, CROSS_ENTROPY, y, limits={"gradient": 3.0}))
    assert explosion.kind == "normalization-explosion" and "residual" not in explosion.cure


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()


def test_rounding_lets_no_gradient_through() -> None:
    model = nn.Sequential(he(20, 64, 64), Rounded(), he(64, 64, 5))
    assert roots(diagnosed(model, data()))[0][0] == "no-gradient"


def test_a_normalization_over_one_number_makes_zeros() -> None:
    model = nn.Sequential(nn.Unflatten(1, (20, 1)), nn.LayerNorm(1), nn.Flatten(), nn.Linear(20, 64), nn.Linear(64, 5))
    assert roots(diagnosed(model, data()))[0] == ("lost-input", "1")


class LastState(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn, self.last = kind(4, 32, batch_first=True), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.rnn(x)[0][:, -1])


def test_a_recurrent_layer_that_forgets() -> None:
    x = torch.randn(32, 12, 4, generator=seeded())
    assert diagnose(LastState(nn.GRU), x).healthy
    padded = torch.cat([x, torch.zeros(32, 60, 4)], dim=1)
    assert roots(diagnose(LastState(nn.GRU), padded)) == [("lost-input", "rnn")]
    tiny = changed(LastState(nn.RNN), "rnn.weight_hh_l0", lambda w: w.mul_(0.01))
    assert roots(diagnose(tiny, x)) == [("parameter-scale", "rnn")]


def test_large_recurrent_weights_saturate_the_gates() -> None:
    x = torch.randn(32, 12, 4, generator=seeded())
    large = changed(LastState(nn.LSTM), "rnn.weight_hh_l0", lambda w: w.normal_(std=2, generator=seeded(1)))
    (finding, *_) = diagnose(large, x).findings
    assert (finding.kind, finding.layer) == ("saturated-units", "rnn")
    assert finding.measured == "rnn.weight_hh_l0 turns a state of size 1 into sums of size 11"


def test_a_sigmoid_cannot_reach_targets_of_minus_one() -> None:
    x, y = data()
    model = nn.Sequential(he(20, 64, 1), nn.Flatten(0), nn.Sigmoid())
    signs = 2.0 * (y > 2) - 1
    assert roots(diagnose(model, x, lambda s, t: (1 - t * s).relu().mean(), signs)) == [("output-activation", "2")]


class Takes(nn.Module):
    """A list, or names as a library's batches have them; a mapping with a loss comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = he(20, 64, 5)

    def forward(self, x: Any, labels: Tensor | None = None) -> UserDict[str, Tensor]:
        logits = self.net(torch.stack(list(x)).mean(0) if isinstance(x, list) else x)
        return UserDict({"logits": logits} | ({} if labels is None else {"loss": CROSS_ENTROPY(logits, labels)}))


def test_lists_and_mappings_that_are_no_dict() -> None:
    x, y = data()
    assert diagnose(Takes(), [[x, x]], lambda out: CROSS_ENTROPY(out["logits"], y)).healthy
    named = diagnose(Takes(), UserDict({"x": x, "labels": y}))
    assert named.expected_loss == pytest.approx(math.log(5)) and named.healthy


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's compiler uses what torch warns of
def test_the_older_weight_norm_compiled_wrappers_half_precision_and_sparse_gradients() -> None:
    x, y = data()
    older = he(20, 64, 64, 5)
    older.linear2 = torch.nn.utils.weight_norm(older.linear2)
    assert diagnosed(older, (x, y)).healthy and diagnosed(older, (x, y)).table.reach.notna().all()
    assert diagnosed(torch.compile(he(20, 64, 5)), (x, y)).healthy
    for dtype in (torch.half, torch.bfloat16):
        assert diagnosed(he(20, 64, 64, 5).to(dtype), (x.to(dtype), y)).healthy
    bag = nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True), nn.Linear(8, 5))
    assert diagnose(bag, torch.arange(48).reshape(12, 4), CROSS_ENTROPY, y[:12]).healthy


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantized_model_is_refused_in_one_sentence() -> None:
    small = torch.ao.quantization.quantize_dynamic(he(20, 64, 5), {nn.Linear})
    with pytest.raises(ValueError, match="is quantized, so no gradient flows"):
        diagnose(small, data()[0])
