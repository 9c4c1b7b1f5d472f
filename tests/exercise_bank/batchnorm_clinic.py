from torch import nn

from exercise_bank import right

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
