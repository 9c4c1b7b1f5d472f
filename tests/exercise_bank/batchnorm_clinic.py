"""Answers to the exercises of chapter 10, right and wrong, as students write them."""

from torch import nn

from exercise_bank import right, wrong

# --- eval-freeze --------------------------------------------------------------------------------------


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


@wrong("eval-freeze", "more than the BatchNorm modules")
def freeze_all(net):
    net.eval()


@wrong("eval-freeze", "switched gradients off")
def freeze_gradients(net):
    for module in net.modules():
        if "BatchNorm" in type(module).__name__:
            for parameter in module.parameters():
                parameter.requires_grad = False


@wrong("eval-freeze", "normalizes with those of the batch")
def freeze_momentum(net):
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.momentum = 0


@wrong("eval-freeze", "top level")
def freeze_children(net):
    for child in net.children():
        if "BatchNorm" in type(child).__name__:
            child.eval()


@wrong("eval-freeze", "BatchNorm1d is still training")
def freeze_images(net):
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@wrong("eval-freeze", "no longer learn")
def freeze_too_much(net):
    freeze_modules(net)
    freeze_gradients(net)


@wrong("eval-freeze", "still train as before")
def freeze_children_2d(net):
    for child in net.children():
        if isinstance(child, nn.BatchNorm2d):
            child.eval()


@wrong("eval-freeze", "The BatchNorm2d keeps its statistics")
def freeze_momentum_2d(net):
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0


@wrong("eval-freeze", "so are its gamma and beta")
def freeze_2d_gradients(net):
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad = False


class FixedNorm(nn.Module):
    """Takes the place of a BatchNorm, with the same parameters."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, z):
        n = self.norm
        return nn.functional.batch_norm(z, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)


@right("eval-freeze")
def freeze_by_replacing(net):
    for name, child in list(net.named_children()):
        if hasattr(child, "running_mean"):
            setattr(net, name, FixedNorm(child))
        else:
            freeze_by_replacing(child)


@wrong("eval-freeze", "set momentum to 1")
def freeze_momentum_one(net):
    for module in net.modules():
        if hasattr(module, "momentum"):
            module.momentum = 1


@wrong("eval-freeze", "One of gamma and beta")
def freeze_beta(net):
    freeze_modules(net)
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.bias.requires_grad_(False)


@wrong("eval-freeze", "average over all batches")
def freeze_momentum_none(net):
    for module in net.modules():
        if hasattr(module, "momentum"):
            module.momentum = None
