"""Say what is wrong with the start of a model, where, and why, from one batch forward and one gradient back.

:func:`diagnose` runs a model once, reads from what every layer received and returned what is out of order, and compares
explanations before it names one: is it the batch, one layer, the depth, a normalization, zeros further up? It is silent
about models that are well, and says what it could not judge. :func:`assert_healthy` is the same for one's own tests,
``python -m tutorial_utils.diagnose package.module:factory`` for the command line.

The kinds of finding are the keys of :data:`~tutorial_utils.diagnose.findings.KINDS`. The numbers they are held against
are those of :data:`~tutorial_utils.diagnose.findings.LIMITS`, which are conventions about orders of magnitude, not
tests.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from tutorial_utils.diagnose import (
    rules_activations,
    rules_data,
    rules_gradient,
    rules_loss,
    rules_norms,
    rules_parameters,
    rules_signal,
)
from tutorial_utils.diagnose.calling import Arguments, Originals, check_devices, preserved, refuse, storage, unwrapped
from tutorial_utils.diagnose.case import Case, Held, held, replaced, shaken, silencers
from tutorial_utils.diagnose.findings import KINDS, LIMITS, Finding, check_kinds, grouped, limits_with, without
from tutorial_utils.diagnose.measure import run_once
from tutorial_utils.diagnose.report import Diagnosis, table_of

__all__ = ["KINDS", "LIMITS", "Diagnosis", "Finding", "assert_healthy", "diagnose"]

#: What is asked of numbers that are all finite.
_RULES = (
    rules_data.input_scale,
    rules_data.target_scale,
    rules_norms.running_statistics,
    rules_norms.small_batch,
    rules_norms.rounding,
    rules_norms.bias_before_norm,
    rules_parameters.equal_units,
    rules_parameters.equal_rows,
    rules_parameters.equal_layers,
    rules_parameters.zero_initialized,
    rules_parameters.parameter_scale,
    rules_parameters.unregistered,
    rules_parameters.frozen,
    rules_parameters.no_gradient,
    rules_signal.forward_scale,
    rules_signal.embedding_scale,
    rules_signal.lost_input,
    rules_activations.recurrent_scale,
    rules_activations.saturated_units,
    rules_activations.dead_units,
    rules_gradient.uneven_gradient,
    rules_loss.output_activation,
    rules_loss.first_loss,
)
#: What can be asked of any.
_STATIC = (
    rules_norms.running_statistics,
    rules_parameters.uninitialized,
    rules_parameters.frozen,
    rules_parameters.equal_units,
)


def diagnose(
    model: nn.Module,
    batch: Any,
    loss_fn: Callable[..., Tensor] | None = None,
    target: Any = None,
    *,
    limits: dict[str, float] | None = None,
) -> Diagnosis:
    """Measure one batch forward and one gradient back, and say what is out of order.

    The model is used in its present mode and left exactly as it was, also when it raises: parameters, ``grad``,
    buffers, submodules, mode, hooks, and the global random states. A compiled or data-parallel model is diagnosed by
    the module inside it. Zeros (a head, the end of a branch, one factor of a low-rank update) and small constant
    factors hide what lies behind them; the model is then measured a second time with small random numbers in their
    place.

    Args:
        model: any module whose numbers are there.
        batch: what it is called with: a tensor, a tuple or list of positional or a mapping of keyword arguments. The
            first dimension counts the examples. With a loss but no target, a pair that the model cannot be called with
            is taken for inputs and target.
        loss_fn: called with the model's output, and ``target`` if there is one; returns a scalar. Without it, the
            model's own loss is used if it returns one, else a fixed random gradient, standard normal in every output.
        target: what ``loss_fn`` needs beside the output, such as labels.
        limits: replacements for some of :data:`~tutorial_utils.diagnose.findings.LIMITS`.

    Returns:
        A :class:`~tutorial_utils.diagnose.report.Diagnosis`; print it to read the findings.

    Raises:
        TypeError: if ``model`` is no module.
        ValueError: if the model cannot be judged (scripted, quantized, lazy, sharded, or without numbers), computes
            nothing, is on another device than the batch, if the loss is no scalar, or if a limit is unknown.

    >>> import torch
    >>> from tutorial_utils.initializers import initialize_
    >>> from tutorial_utils.networks import mlp
    >>> x = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
    >>> deep = initialize_(mlp([20, *[64] * 20, 5]), "lecun_normal", generator=torch.Generator().manual_seed(1))
    >>> [(finding.kind, finding.layer) for finding in diagnose(deep, x).findings]
    [('forward-scale', 'linear21')]
    """
    limits = limits_with(limits)
    refuse(model)
    model = unwrapped(model)
    refuse(model)
    check_devices(model, batch)
    arguments = Arguments(model, batch, loss_fn, target)
    case = _measured(model, arguments, limits)
    return Diagnosis(
        table=table_of(case.run),
        findings=grouped(_findings(case)),
        loss=case.run.loss,
        expected_loss=case.run.heard.guess,
        not_judged=tuple(dict.fromkeys(case.not_judged)),
        replaced=tuple(case.replaced),
    )


def assert_healthy(
    model: nn.Module,
    batch: Any,
    loss_fn: Callable[..., Tensor] | None = None,
    target: Any = None,
    *,
    ignore: Iterable[str] = (),
    limits: dict[str, float] | None = None,
) -> None:
    """Raise if :func:`diagnose` finds something wrong; for one's own tests. Notes, of severity 0, do not count.

    Args:
        model: as for :func:`diagnose`.
        batch: as there.
        loss_fn: as there.
        target: as there.
        ignore: kinds of finding to pass over, keys of :data:`~tutorial_utils.diagnose.findings.KINDS`.
        limits: replacements for some of :data:`~tutorial_utils.diagnose.findings.LIMITS`.

    Raises:
        AssertionError: with the findings, ready to read.
        ValueError: if a kind or a limit is unknown, and where :func:`diagnose` raises.

    >>> import torch
    >>> assert_healthy(nn.Linear(3, 3), torch.eye(3))
    """
    ignored = check_kinds(ignore)
    result = diagnose(model, batch, loss_fn, target, limits=limits)
    wrong = [finding for finding in without(result.findings, ignored) if finding.severity > 0]
    if wrong:
        listed = "\n".join(f"{number}. {finding}" for number, finding in enumerate(wrong, 1))
        raise AssertionError(f"{type(model).__name__} does not start well:\n{listed}")


def _measured(model: nn.Module, arguments: Arguments, limits: dict[str, float]) -> Case:
    """Run the model as it is, and again without its zeros if it has some that hide things."""
    originals = Originals(model)
    with preserved(model, originals), _progress() as bar:
        parameters, buffers = held(model.named_parameters(), model), held(model.named_buffers(), model)
        run = run_once(model, arguments, originals, progress=bar.update)
        if not run.calls:
            hint = "layers in a Python list or dict are none of its modules: nn.ModuleList, nn.ModuleDict"
            raise ValueError(f"{type(model).__name__} has no module that computes floating-point numbers; {hint}")
        silent = silencers(parameters, run)
        freed = run
        if silent:
            with preserved(model, originals), replaced(silent, run.matrices):
                freed = run_once(model, arguments, originals, progress=bar.update)
        missing = rules_parameters.without_gradient(parameters, run) if run.back else []
        used = [p for p in missing if storage(p.tensor) in run.touched]
        cut = used if used and _moves(model, arguments, originals, used, run.value) else []
    case = Case(model, arguments, limits, parameters, buffers, run, freed, [p.name for p in silent], cut=cut)
    run.heard.read_directly(run.output, arguments.target)
    if not run.back:
        case.not_judged.append(f"gradients: {run.reason}")
    return case


def _progress() -> Any:
    """A bar that counts layers once two seconds have passed, where tqdm is installed; diagnosing does not need it."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return nullcontext(SimpleNamespace(update=lambda: None))
    return tqdm(desc="diagnose", unit=" layers", delay=2, leave=False)


def _moves(model: nn.Module, arguments: Arguments, originals: Originals, used: list[Held], value: float) -> bool:
    """Whether the loss depends on parameters that no gradient reaches: then something cut it off."""
    with preserved(model, originals), shaken(used):
        return not math.isclose(run_once(model, arguments, originals).value, value, rel_tol=1e-6)


def _findings(case: Case) -> Iterable[Finding]:
    """Every rule in turn; where numbers are not finite, most would say nothing."""
    broken = list(rules_data.not_finite(case))
    if broken or any(True for _ in rules_parameters.uninitialized(case)):
        return [*broken, *(finding for rule in _STATIC for finding in rule(case))]
    return [finding for rule in _RULES for finding in rule(case)]
