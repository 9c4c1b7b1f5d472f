"""Which loss is really computed, on which numbers: read from the operations of torch, inside the model or outside."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

REGRESSIONS = {"mse_loss", "smooth_l1_loss", "huber_loss"}


@dataclass
class Heard:
    """The last loss that was computed: its kind, its inputs with classes in the last dimension, and its targets."""

    kind: str = ""  # "cross-entropy", "binary", "regression"
    inputs: Tensor | None = None
    targets: Tensor | None = None
    by_axis: tuple[Tensor, int] | None = None  # what the last log-softmax was given, and its dimension
    value: float = math.nan  # mean over examples, whatever reduction and weights were asked for
    guess: float = math.nan  # what equal logits would give
    normalized: bool = True  # whether a log-softmax came before
    log_probabilities: int = 0
    broadcast: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    @torch.no_grad()
    def hear(self, name: str, args: tuple[Any, ...], phase: str) -> None:
        """Take notice of an operation if it belongs to a loss."""
        if phase not in {"forward", "loss"}:
            return
        if name == "_log_softmax":
            self.by_axis = (args[0].detach(), args[1] % args[0].dim())
            if phase == "loss":
                self._classes(args[0].detach(), args[1])
        elif name in {"nll_loss_forward", "nll_loss2d_forward"}:
            self._labels(args[0].detach(), args[1].detach(), args[4] if len(args) > 4 else -100)
        elif name == "binary_cross_entropy_with_logits":
            self._binary(args[0].detach(), args[1].detach())
        elif name in REGRESSIONS:
            self.kind, self.inputs, self.targets = "regression", args[0].detach(), args[1].detach()

    def _classes(self, logits: Tensor, dim: int) -> None:
        self.kind, self.inputs, self.targets = "cross-entropy", logits.movedim(dim, -1), None
        self.value, self.guess, self.normalized = math.nan, math.log(max(logits.shape[dim], 1)), True

    def _labels(self, log_p: Tensor, labels: Tensor, ignored: int) -> None:
        dim = 1 if log_p.dim() > 1 else 0
        rows, flat = log_p.movedim(dim, -1).reshape(-1, log_p.shape[dim]).float(), labels.reshape(-1)
        valid = flat != ignored
        self.kind, self.targets = "cross-entropy", flat[valid]
        self.guess = math.log(rows.shape[1])
        if bool(valid.any()):
            picked = rows[valid].gather(1, flat[valid][:, None])
            self.value = float(-picked.mean())
            self.normalized = bool((rows[valid][:1024].logsumexp(1).abs() < 0.05).all())
        if self.by_axis is not None and self.normalized:
            logits, axis = self.by_axis
            self.inputs = logits.movedim(axis, -1)
        else:
            self.inputs = rows

    def _binary(self, logits: Tensor, targets: Tensor) -> None:
        self.kind, self.inputs, self.targets = "binary", logits, targets
        wide, to = logits.float(), targets.float()
        self.value = float((wide.clamp_min(0) - wide * to + (1 + (-wide.abs()).exp()).log()).mean())
        self.guess = math.log(2)

    def read_directly(self, output: Any, target: Any) -> None:
        """Where no known operation was seen: class probabilities or numbers of the output's own shape as targets."""
        if not isinstance(target, Tensor):
            return
        floats = target.is_floating_point()
        if self.kind == "cross-entropy" and self.targets is None and self.inputs is not None and floats:
            aligned = target.detach().movedim(1, -1) if target.dim() > 1 else target.detach()
            if aligned.shape == self.inputs.shape:
                self.targets = aligned
                self.value = float(-(aligned * self.inputs.float().log_softmax(-1)).sum(-1).mean())
        if not isinstance(output, Tensor):
            return
        if not self.kind and floats and target.numel() == output.numel():
            self.kind, self.inputs, self.targets = "regression", output.detach(), target.detach()
        elif self.kind == "regression" and self._compared() > max(output.numel(), target.numel()):
            self.broadcast = (tuple(output.shape), tuple(target.shape))

    def _compared(self) -> int:
        return 0 if self.inputs is None else self.inputs.numel()
