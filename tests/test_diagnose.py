import copy
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from randomness import seeded
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from tutorial_utils.data import digits
from tutorial_utils.diagnose import Diagnosis, diagnose, statistics
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    data = digits(generator=seeded())
    return data.x_train[:128], data.y_train[:128]


def found(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, str]:
    """The findings as {what was measured: where}."""
    return {finding.measured: finding.layer for finding in diagnosed(model, batch).findings}


def diagnosed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Diagnosis:
    return diagnose(model, batch[0], functional.cross_entropy, batch[1])


def deep(scheme: str, activation: type[nn.Module] = nn.ReLU, depth: int = 20, **options: float) -> nn.Sequential:
    return initialize_(mlp([64, *[128] * depth, 10], activation), scheme, generator=seeded(1), **options)


def says(findings: dict[str, str], text: str) -> str | None:
    return next((layer for measured, layer in findings.items() if text in measured), None)


def test_a_good_start_gives_no_finding(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("kaiming_normal"), batch)
    assert result.findings == [] and "Nothing found." in repr(result)
    assert abs(result.loss - math.log(10)) < 1 and result.expected_loss == pytest.approx(math.log(10))


def test_a_deep_default_network_is_blind_and_its_gradient_vanishes(batch: tuple[Tensor, Tensor]) -> None:
    findings = found(deep("default"), batch)
    assert says(findings, "its gradient has rms") == "linear1"
    assert says(findings, "mean cosine between examples is 0.99") in {f"linear{n}" for n in range(5, 12)}


def test_inputs_that_were_alike_to_begin_with_are_not_held_against_the_model(batch: tuple[Tensor, Tensor]) -> None:
    alike = 1 + 1e-3 * batch[0]
    result = diagnosed(deep("kaiming_normal", depth=3), (alike, batch[1]))
    assert result.table.cosine.iloc[-1] > 0.9999
    assert not any("mean cosine" in finding.measured for finding in result.findings)


def test_a_signal_that_vanishes_or_explodes(batch: tuple[Tensor, Tensor]) -> None:
    small, large = (found(deep("lecun_normal", nonlinearity=gain), batch) for gain in (0.7, 3.0))
    assert says(small, "its output has rms") == "linear20" and says(large, "its output has rms") == "linear20"
    assert says(small, "less than") and says(large, "more than") and not says(large, "less than")
    assert says(large, "initial loss is")


def test_sigmoid_with_glorot(batch: tuple[Tensor, Tensor]) -> None:
    findings = found(deep("xavier_normal", nn.Sigmoid, 8), batch)
    assert says(findings, "its gradient has rms") == "linear1" and says(findings, "mean cosine")


def test_saturation_is_seen_in_bounded_activations_only(batch: tuple[Tensor, Tensor]) -> None:
    assert says(found(deep("normal", nn.Tanh, 6, std=1.0), batch), "at an end of the activation's range")
    large = deep("normal", nn.Sigmoid, 2, std=3.0)
    assert says(found(large, batch), "at an end of the activation's range") == "act2"
    assert diagnosed(deep("kaiming_normal"), batch).table.saturated_share.isna().all()


def test_dead_units(batch: tuple[Tensor, Tensor]) -> None:
    net = deep("kaiming_normal", depth=2)
    with torch.no_grad():
        net.linear1.bias[:100] = -1e3
    assert says(found(net, batch), "78% of its outputs are zero for every example") == "act1"


def test_zeros(batch: tuple[Tensor, Tensor]) -> None:
    findings = found(deep("zeros", depth=2), batch)
    assert says(findings, "its output is exactly 0") == "linear1" and says(findings, "its gradient is exactly 0")


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_what_is_not_finite_comes_alone(poison: float, batch: tuple[Tensor, Tensor]) -> None:
    net = deep("kaiming_normal", depth=3)
    with torch.no_grad():
        net.linear2.weight[0, 0] = poison
    (finding,) = diagnosed(net, batch).findings
    assert finding.layer == "linear2" and "not finite" in finding.measured and finding.severity == math.inf


def test_findings_come_in_order_of_severity_with_cause_and_cure(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("default"), batch)
    severities = [finding.severity for finding in result.findings]
    assert severities == sorted(severities, reverse=True) and len(severities) >= 2
    assert all(finding.cause and finding.cure for finding in result.findings)
    assert "cause:" in repr(result) and "ln of the number of classes: 2.3" in repr(result)


def test_every_topic_a_finding_names_has_a_chapter() -> None:
    topics = set(re.findall(r'topic="([^"]+)"', Path(inspect.getsourcefile(diagnose)).read_text()))
    chapters = {path.stem.split("-", 1)[1] for path in (Path(__file__).parents[1] / "book" / "chapters").glob("*.md")}
    assert len(topics) >= 5 and topics <= chapters


def test_a_finding_prints_its_topic(batch: tuple[Tensor, Tensor]) -> None:
    findings = diagnosed(deep("default"), batch).findings
    assert {"glorot", "reset-parameters"} <= {finding.topic for finding in findings}
    assert all(str(finding).endswith(f"    topic: {finding.topic}") for finding in findings)


def test_statistics_by_hand() -> None:
    s = statistics(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    assert s["cosine"] == pytest.approx(1 / math.sqrt(2)) and s["dead_share"] == pytest.approx(1 / 3)
    assert s["second_moment"] == pytest.approx(0.5) and s["finite_share"] == 1
    assert s["edge_share_-1_1"] == pytest.approx(0.5) and s["edge_share_0_1"] == 1
    assert math.isnan(statistics(torch.ones(1, 3))["cosine"]) and math.isnan(statistics(torch.tensor(1.0))["cosine"])


def test_update_ratio_is_gradient_over_weight(batch: tuple[Tensor, Tensor]) -> None:
    net = deep("kaiming_normal", depth=2)
    table = diagnosed(net, batch).table.set_index("layer")
    functional.cross_entropy(net(batch[0]), batch[1]).backward()
    weight = net.linear2.weight
    assert table.update_ratio["linear2"] == pytest.approx((weight.grad.norm() / weight.norm()).item())
    assert math.isnan(table.update_ratio["act1"])


def test_without_a_loss_a_fixed_random_gradient_is_sent_back(batch: tuple[Tensor, Tensor]) -> None:
    one, two = (diagnose(deep("kaiming_normal"), batch[0]) for _ in range(2))
    assert math.isnan(one.loss) and math.isnan(one.expected_loss)
    assert one.table.grad_second_moment.iloc[-1] == pytest.approx(1, rel=0.2)
    assert one.table.grad_second_moment.tolist() == two.table.grad_second_moment.tolist()


def test_plot_draws_forward_backward_and_cosine(batch: tuple[Tensor, Tensor]) -> None:
    result = diagnosed(deep("kaiming_normal", depth=3), batch)
    lines = [ax.get_lines()[0] for ax in result.plot().axes]
    assert [line.get_ydata().tolist() for line in lines[:1]] == [result.table.second_moment.tolist()]
    assert len(lines) == 3 and all(len(line.get_xdata()) == len(result.table) for line in lines)


def test_a_layer_that_is_never_called(batch: tuple[Tensor, Tensor]) -> None:
    net = deep("kaiming_normal", depth=2)
    net.linear1.register_module("spare", nn.Linear(2, 2))
    net.register_module("idle", nn.Identity())
    assert says(found(net, batch), "no gradient reaches") is None
    holder = nn.Module()
    holder.net, holder.spare = net, nn.Linear(2, 2)
    holder.forward = lambda x: holder.net(x)
    assert says(found(holder, batch), "no gradient reaches") == "spare"


def test_a_gradient_that_is_not_finite() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    (finding,) = diagnose(
        nn.Sequential(nn.Linear(2, 3, bias=False)), x, lambda z: z.square().sum(1).sqrt().sum()
    ).findings
    assert "its gradient is not finite" in finding.measured and finding.layer == "0"


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
        assert (
            says({f.measured: f.layer for f in diagnose(model, tokens, loss).findings}, "no gradient reaches")
            == "unused"
        )
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


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda: diagnose(torch.relu, torch.ones(2, 2)), TypeError, "model = .*relu.* must be a torch.nn.Module"),
        (
            lambda: diagnose(nn.Linear(2, 2, device="meta"), torch.ones(2, 2)),
            ValueError,
            r"on \['meta'\], the batch on",
        ),
        (lambda: diagnose(nn.Identity(), torch.arange(3)), ValueError, "no floating-point numbers come out"),
        (lambda: diagnose(nn.Linear(2, 2), torch.ones(2, 2), lambda o: o), ValueError, "must be a scalar"),
    ],
)
def test_bad_input_is_repeated_in_the_error(bad: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bad()
