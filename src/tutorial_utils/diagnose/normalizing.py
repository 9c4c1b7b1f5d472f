"""What a normalization layer was given, compared with what it stores."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm, *((nn.RMSNorm,) if hasattr(nn, "RMSNorm") else ()))

#: Those that look at each example, or each token, alone.
PER_EXAMPLE = (nn.LayerNorm, *((nn.RMSNorm,) if hasattr(nn, "RMSNorm") else ()))


@dataclass
class Norm:
    """One call of a normalization: how many numbers a channel has, how its batch compares with what is stored."""

    layer: str
    module: nn.Module
    number: int
    source: int = 0  # address of what it received
    values: int = 0  # per channel
    shift: float = math.nan  # running minus batch mean, in running standard deviations, rms over channels
    scale: float = math.nan  # batch over running variance, geometric mean over channels
    rounding: float = 0.0  # share of channels whose spread is of the size of their rounding
    small: float = math.nan  # eps over the variance, median over groups

    @property
    def uses_batch(self) -> bool:
        """Whether statistics of the batch are used."""
        module = self.module
        return isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)


@torch.no_grad()
def read_norm(layer: str, module: nn.Module, x: Tensor, number: int) -> Norm:
    """Compare what a normalization receives with what it stores."""
    norm = Norm(layer, module, number)
    wide = x.detach()
    wide = wide.float() if wide.dtype in (torch.float16, torch.bfloat16) else wide
    if not isinstance(module, _BatchNorm):
        norm.small = _eps_share(module, wide)
        return norm
    channels = wide.movedim(1, 0).flatten(1) if wide.dim() > 1 else wide[None]
    norm.values = channels.shape[1]
    mean, var = channels.mean(1), channels.var(1, correction=0)
    norm.small = float((module.eps / var.clamp_min(1e-300 if var.dtype == torch.float64 else 1e-37)).median())
    unit = torch.finfo(wide.dtype).eps * mean.abs()
    norm.rounding = float(((unit > 0.1 * var.sqrt()) & (unit > math.sqrt(module.eps) / 100)).float().mean())
    if module.running_mean is not None and module.running_var is not None:
        running = module.running_var.to(var).clamp_min(0) + module.eps
        norm.shift = float(((mean - module.running_mean.to(mean)).square() / running).mean().sqrt())
        norm.scale = float(((var + module.eps) / running).log().mean().exp())
    return norm


def _eps_share(module: nn.Module, x: Tensor) -> float:
    eps = getattr(module, "eps", None)
    if eps is None:  # RMSNorm: that of the type
        eps = torch.finfo(x.dtype).eps
    if isinstance(module, nn.LayerNorm):
        var = x.flatten(-len(module.normalized_shape)).var(-1, correction=0)
    elif isinstance(module, nn.GroupNorm):
        var = x.reshape(len(x), module.num_groups, -1).var(-1, correction=0)
    elif isinstance(module, _InstanceNorm):
        var = x.flatten(2).var(-1, correction=0) if x.dim() > 2 else x.var(-1, correction=0)
    else:
        var = x.square().mean(-1)
    return float(eps / var.float().median().clamp_min(1e-37))
