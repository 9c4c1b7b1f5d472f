import torch
from torch import nn

from exercise_bank import right, wrong


def start(layer):
    if isinstance(layer, nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layer.weight.requires_grad_(True)
    else:
        layer.reset_parameters()
        layer.momentum, layer.eps = 0.1, 1e-5


def suspicious(layer):
    if isinstance(layer, nn.Linear):
        w = layer.weight.detach()
        return not layer.weight.requires_grad or w.std() > 1 or len(w.unique(dim=0)) == 1
    if isinstance(layer, nn.BatchNorm1d):
        drifted = (layer.weight - 1).abs().max() > 0.5 or layer.bias.abs().max() > 0.5
        return bool(drifted) or layer.momentum != 0.1 or layer.eps != 1e-5
    return False


@right("repair-net")
def repair_by_rules(net):
    for layer in net:
        if suspicious(layer):
            start(layer)


@right("repair-net")
def repair_with_a_quiet_head(net):
    for name, layer in net.named_children():
        if suspicious(layer):
            start(layer)
            if name == "head":
                nn.init.zeros_(layer.weight)


@right("repair-net")
def repair_through_hooks(net):
    """Compares each layer with a fresh one of its kind."""
    for layer in net.children():
        if suspicious(layer) and isinstance(layer, nn.BatchNorm1d):
            layer.weight.data.fill_(1)
            layer.bias.data.fill_(0)
            layer.eps = 1e-5
            layer.momentum = None
        elif suspicious(layer):
            layer.weight.data = torch.randn(layer.weight.shape) * (2 / layer.in_features) ** 0.5
            layer.weight.requires_grad = True


@wrong("repair-net", "You started every layer anew")
def repair_everything(net):
    for layer in net:
        if isinstance(layer, (nn.Linear, nn.BatchNorm1d)):
            start(layer)
