"""A diagnosis to read: as text, as a table, as a figure, as JSON."""

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from tutorial_utils.command import counted, spoken
from tutorial_utils.diagnose.case import listed
from tutorial_utils.diagnose.findings import Finding, fold
from tutorial_utils.diagnose.measure import Call, Run
from tutorial_utils.diagnose.statistics import Statistics, rms

if TYPE_CHECKING:
    import matplotlib.figure

#: How many names of layers stand beside each other without touching.
_NAMES = 44
#: What is told of a tensor.
OF_TENSORS = ("mean", "var", "second_moment", "zero_share")


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The measurements of a model and what they mean.

    ``findings`` stand with roots first, each with the ``consequences`` that follow from it, and notes (severity 0)
    last. ``table`` has one row for each floating-point tensor that a module returned, in the order of the calls:
    ``layer``, ``kind`` (its class), ``gain`` (rms out over rms in), ``mean``, ``var``, ``second_moment``,
    ``zero_share``, ``cosine`` (mean over pairs of examples), ``dead_share`` (outputs that are 0 for every example),
    ``saturated_share`` (of an activation's outputs, where its slope is near 0), ``finite_share``, ``grad_...`` (of the
    gradient that reaches the output), ``reach`` (rms times norm of the gradient: how much a relative change of the
    output moves the loss), ``weight_grad_second_moment``, ``update_ratio`` (rms of the weight's gradient over rms of
    the weight: no learning rate is in it), ``weight_shape`` and ``trains``. ``loss`` is NaN without a loss,
    ``expected_loss`` that of equal logits where the loss is a cross-entropy. ``not_judged`` says what could not be
    looked at, ``replaced`` which parameters had stand-ins in a second pass.
    """

    table: pd.DataFrame
    findings: list[Finding]
    loss: float
    expected_loss: float
    not_judged: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not any(finding.severity > 0 for finding in self.findings)

    def with_findings(self, findings: list[Finding]) -> "Diagnosis":
        """The same measurements with other findings, for example without those of some kind."""
        return replace(self, findings=findings)

    def __repr__(self) -> str:
        """Give the loss, then each finding, then notes and what was not judged."""
        return "\n".join([self._head(), *self._listed(), *self._remarks()])

    def _head(self) -> str:
        loss = "" if math.isnan(self.loss) else f", first loss {spoken(self.loss, 3)}"
        guess = "" if math.isnan(self.expected_loss) or not loss else f" (a guess has {spoken(self.expected_loss, 3)})"
        return f"{counted(len(self.table), 'output')} measured{loss}{guess}"

    def _listed(self) -> list[str]:
        wrong = [finding for finding in self.findings if finding.severity > 0]
        return [f"{number}. {finding}" for number, finding in enumerate(wrong, 1)] or ["Nothing found."]

    def _remarks(self) -> list[str]:
        notes = [f"note: {f.measured} [{f.kind}]; {f.cause}" for f in self.findings if f.severity == 0]
        if self.replaced:
            names, place = listed(list(self.replaced)), "its place" if len(self.replaced) == 1 else "their place"
            notes.append(f"note: to see past {names}, the model was measured with small random numbers in {place}")
        return [fold(line) for line in [*notes, *(f"not judged: {what}" for what in self.not_judged)]]

    def json(self) -> str:
        """Everything but the table, as JSON."""
        loss, guess = (None if math.isnan(x) else x for x in (self.loss, self.expected_loss))
        findings = [_plain(asdict(finding)) for finding in self.findings]
        known: dict[str, Any] = {"healthy": self.healthy, "loss": loss, "expected_loss": guess, "findings": findings}
        known |= {"not_judged": list(self.not_judged), "replaced": list(self.replaced)}
        return json.dumps(known, indent=2)

    def plot(self) -> "matplotlib.figure.Figure":
        """Draw, in the order of the calls, the rms of outputs, the reach of gradients, and 1 - cosine."""
        import matplotlib.pyplot as plt  # who only measures need not wait for matplotlib

        t = self.table.reset_index(drop=True)
        panels = {
            "rms of the output": t["second_moment"] ** 0.5,
            "rms × norm of the gradient": t["reach"],
            "1 − cosine of two examples": (1 - t["cosine"]).clip(lower=1e-16),
        }
        figure, axes = plt.subplots(3, 1, sharex=True, figsize=(7.2, 6.4), layout="constrained")
        marked = t["layer"].isin([f.layer for f in self.findings if f.severity > 0])
        for ax, (title, values) in zip(axes, panels.items(), strict=True):
            ax.plot(range(1, len(t) + 1), values, ".-", markersize=4, linewidth=1)
            ax.plot([n + 1 for n in t.index[marked]], values[marked], "o", fillstyle="none", color="C3")
            ax.set_title(title, fontsize="medium", loc="left")
            if (values > 0).any():
                ax.set_yscale("log")
        shown = _labeled(list(t["layer"]), [int(n) for n in t.index[marked]])
        axes[-1].set_xticks([n + 1 for n in shown], [_short(t["layer"][n]) for n in shown], rotation=90, fontsize=7)
        return figure


def _labeled(layers: list[str], marked: list[int]) -> list[int]:
    """Which outputs get a name: all that fit, those with a finding before others, none so near that names overlap."""
    apart = math.ceil(len(layers) / _NAMES)
    # The first output of each block says where one is; with several candidates the earlier one wins.
    blocks = [n for n, name in enumerate(layers) if n == 0 or _block(name) != _block(layers[n - 1])]
    shown: list[int] = []
    for n in dict.fromkeys([*marked, 0, len(layers) - 1, *blocks, *range(0, len(layers), apart)]):
        if all(abs(n - other) >= apart for other in shown):
            shown.append(n)
    return sorted(shown)


def _block(name: str) -> str:
    """The name up to its last number, such as "blocks.3" of "blocks.3.norm"."""
    parts = name.split(".")
    last = max((n for n, part in enumerate(parts) if part.isdigit()), default=-1)
    return ".".join(parts[: last + 1])


def _short(name: str) -> str:
    return name if len(name) <= 28 else "…" + name[-27:]


def _plain(value: Any) -> Any:
    """Numbers that JSON has, in nested containers."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return 99.0 if value == math.inf else value


def table_of(run: Run) -> pd.DataFrame:
    """One row for each tensor that a module returned."""
    saturated = {a.number: a for a in run.activations}
    weights: dict[int, tuple[float, float]] = {}
    return pd.DataFrame([_row(call, run, saturated.get(call.number), weights) for call in run.calls])


def _row(call: Call, run: Run, activation: Any, weights: dict[int, tuple[float, float]]) -> dict[str, Any]:
    out, weight = call.returned, call.weight
    own = activation is not None and activation.layer == call.layer and weight is None
    flat = (
        activation.above if own and activation.zero_below else activation.below + activation.above if own else math.nan
    )
    of_weight, of_gradient = _weight_sizes(weight, run, weights)
    return {
        "layer": call.layer,
        "kind": type(call.module).__name__,
        "gain": call.gain,
        **_of(out, ""),
        "cosine": out.cosine,
        "dead_share": out.dead_share,
        "saturated_share": flat,
        "finite_share": 1 - out.not_finite / max(out.numel, 1),
        **_of(call.gradient, "grad_"),
        "reach": call.reach,
        "weight_grad_second_moment": of_gradient**2,
        "update_ratio": of_gradient / of_weight if of_weight else math.nan,
        "weight_shape": () if weight is None else tuple(weight.shape),
        "trains": weight is not None and weight.requires_grad,
    }


def _of(s: Statistics | None, prefix: str) -> dict[str, float]:
    return {prefix + name: math.nan if s is None else getattr(s, name) for name in OF_TENSORS}


def _weight_sizes(weight: Any, run: Run, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Root mean square of a weight and of its gradient; those of a shared weight are computed once."""
    if weight is None or not weight.numel():
        return math.nan, math.nan
    if id(weight) not in known:
        gradient = run.gradients.get(id(weight))
        known[id(weight)] = rms(weight), math.nan if gradient is None else rms(gradient)
    return known[id(weight)]
