import copy

import torch
from torch import nn

from exercise_bank import right, wrong

# --- eval-freeze -------------------------------------------------------------------------------------


@right("eval-freeze")
def freeze_modules(net):
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.eval()


@right("eval-freeze")
def freeze_by_name(net):
    net.apply(lambda module: module.train(False) if "BatchNorm" in type(module).__name__ else None)
    return net


@right("eval-freeze")
def freeze_recursively(net):
    for child in net.children():
        if hasattr(child, "running_mean"):
            child.training = False
        freeze_recursively(child)


@right("eval-freeze")
def freeze_by_replacing(net):
    for name, child in list(net.named_children()):
        if hasattr(child, "running_mean"):
            setattr(net, name, FixedNorm(child))
        else:
            freeze_by_replacing(child)


class FixedNorm(nn.Module):
    """Takes the place of a BatchNorm, with the same parameters."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, z):
        n = self.norm
        return nn.functional.batch_norm(z, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)


@wrong("eval-freeze", "is still training")
def freeze_exact_types(net):
    for module in net.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.eval()


# --- clinic-follow -----------------------------------------------------------------------------------


@right("clinic-follow")
def follow_by_names(target, online, rate):
    theirs = dict(online.named_parameters())
    with torch.no_grad():
        for name, parameter in target.named_parameters():
            parameter += rate * (theirs[name] - parameter)
        for name, buffer in online.named_buffers():
            target.get_buffer(name).copy_(buffer)


@right("clinic-follow")
def follow_by_state(target, online, rate):
    state = copy.deepcopy(online.state_dict())
    for name, parameter in target.named_parameters():
        state[name] = (1 - rate) * parameter.detach() + rate * state[name]
    target.load_state_dict(state)
    return target


@right("clinic-follow")
def follow_through_data(target, online, rate):
    for ours, theirs in zip(target.parameters(), online.parameters(), strict=True):
        ours.data = ours.data * (1 - rate) + theirs.data * rate
    for ours, theirs in zip(target.buffers(), online.buffers(), strict=True):
        ours.data = theirs.data.clone()


@wrong("clinic-follow", "You moved the parameters only")
def follow_without_buffers(target, online, rate):
    for ours, theirs in zip(target.parameters(), online.parameters(), strict=True):
        ours.data.mul_(1 - rate).add_(rate * theirs.data)


# --- clinic-padding ----------------------------------------------------------------------------------


@right("clinic-padding")
def padding_by_rows(features, real, eps):
    rows = features.transpose(1, 2)[real]
    rows = (rows - rows.mean(0)) / (rows.var(0, correction=0) + eps).sqrt()
    result = torch.zeros_like(features).transpose(1, 2)
    result[real] = rows
    return result.transpose(1, 2)


@right("clinic-padding")
def padding_by_torch(features, real, eps):
    result = torch.zeros_like(features.transpose(1, 2))
    rows = features.transpose(1, 2)[real]
    result[real] = nn.functional.batch_norm(rows, None, None, training=True, eps=eps)
    return result.mT


@right("clinic-padding")
def padding_by_loop(features, real, eps):
    result = torch.zeros_like(features)
    for c in range(features.shape[1]):
        values = features[:, c][real]
        result[:, c][real] = (values - values.mean()) / (((values - values.mean()) ** 2).mean() + eps) ** 0.5
    return result


# --- clinic-federated --------------------------------------------------------------------------------


@right("clinic-federated")
def federated_by_moments(means, variances, counts):
    share = (counts / counts.sum())[:, None]
    mean = (share * means).sum(0)
    return mean, (share * (variances + means**2)).sum(0) - mean**2


@right("clinic-federated")
def federated_by_loop(means, variances, counts):
    total, mean, var = 0, 0 * means[0], 0 * variances[0]
    for m, v, n in zip(means, variances, counts.tolist(), strict=True):
        both = total + n
        var = (total * var + n * v) / both + total * n * (m - mean) ** 2 / both**2
        mean, total = mean + n / both * (m - mean), both
    return mean, var


@right("clinic-federated")
def federated_by_deviations(means, variances, counts):
    n = counts.to(means.dtype)
    mean = n @ means / n.sum()
    return {"var": n @ (variances + (means - mean).square()) / n.sum(), "mean": mean}


# --- answers that a reader gave, and a check once took ------------------------------------------------


@wrong("eval-freeze", "inside the block")
def freeze_two_levels(net):
    for child in net.children():
        for module in (child, *child.children()):
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@wrong("clinic-follow", "own buffers")
def follow_with_data(target, online, rate):
    for mine, theirs in zip(target.parameters(), online.parameters(), strict=True):
        mine.data = mine + (theirs - mine) * rate
    for mine, theirs in zip(target.buffers(), online.buffers(), strict=True):
        mine.data = theirs


@wrong("clinic-follow", "eval mode")
def follow_and_rest(target, online, rate):
    target.eval()
    with torch.no_grad():
        for mine, theirs in zip(target.parameters(), online.parameters(), strict=True):
            mine.lerp_(theirs, rate)
        for mine, theirs in zip(target.buffers(), online.buffers(), strict=True):
            mine.copy_(theirs)


@wrong("clinic-padding", "A real step may be 0")
def normalize_what_is_not_zero(features, real, eps):
    steps = features.movedim(1, 2)
    kept = steps.abs().sum(2) > 0
    result = torch.zeros_like(steps)
    values = steps[kept]
    result[kept] = (values - values.mean(0)) / (values.var(0, correction=0) + eps).sqrt()
    return result.movedim(2, 1)
