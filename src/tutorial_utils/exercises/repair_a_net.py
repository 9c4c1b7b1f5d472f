"""The project that repairs a network: three faults that follow from a student's id, and images nobody has seen."""

import copy
from collections import OrderedDict
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.data import digits
from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise

WIDTH, DEPTH, FAULTS = 32, 5, 3
#: How the repaired network is trained, and what share of hidden images it must get right.
STEPS, RATE, BATCH, ENOUGH = 40, 0.2, 32, 0.75


class Net(nn.Sequential):
    """A network for the digits: linear layers, all but the last followed by BatchNorm and ReLU."""

    def __init__(self) -> None:
        sizes = [64] + [WIDTH] * DEPTH
        layers = OrderedDict[str, nn.Module]()
        for number, (n_in, n_out) in enumerate(pairwise(sizes), 1):
            layers |= {f"linear{number}": nn.Linear(n_in, n_out), f"norm{number}": nn.BatchNorm1d(n_out)}
            layers |= {f"relu{number}": nn.ReLU()}
        super().__init__(layers | {"head": nn.Linear(WIDTH, 10)})

    def layer(self, name: str) -> Any:
        """A layer by its name."""
        return self.get_submodule(name)


# --- what breaks --------------------------------------------------------------------------------------


def _enlarge(net: Net, place: int) -> None:
    net.layer(f"linear{place}").weight.mul_(1000)


def _equalize(net: Net, place: int) -> None:
    weight = net.layer(f"linear{place}").weight
    weight.copy_(weight[:1].expand_as(weight))


def _kill(net: Net, place: int) -> None:
    net.layer(f"norm{place}").bias.fill_(-8)


def _close(net: Net, place: int) -> None:
    net.layer(f"norm{place}").weight.fill_(1e-4)


def _freeze(net: Net, place: int) -> None:
    net.layer(f"linear{place}").weight.requires_grad_(False)


def _forget(net: Net, place: int) -> None:
    net.layer(f"norm{place}").momentum = 0.0


def _smother(net: Net, place: int) -> None:
    net.layer(f"norm{place}").eps = 1e4


def _shout(net: Net, place: int) -> None:
    net.layer("head").weight.mul_(500)


BREAK = {
    "large weight": _enlarge,
    "equal units": _equalize,
    "dead units": _kill,
    "closed scale": _close,
    "frozen weight": _freeze,
    "statistics that stay": _forget,
    "large eps": _smother,
    "large head": _shout,
}


def _healthy(generator: torch.Generator) -> Net:
    net = Net().double()
    for module in net:
        if isinstance(module, nn.Linear):
            init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            init.zeros_(module.bias)
    return net


@torch.no_grad()
def _broken(*, generator: torch.Generator, student: int = 0) -> Inputs:
    """A network with fresh weights and the student's three faults, in different layers, and a split of the digits."""
    own = torch.Generator().manual_seed(student)
    kinds, places = (torch.randperm(count, generator=own).tolist() for count in (len(BREAK), DEPTH))
    net = _healthy(generator)
    for kind, place in zip(kinds[:FAULTS], places[:FAULTS], strict=True):
        list(BREAK.values())[kind](net, place + 1)
    images = digits(1000, generator=generator)
    return net, [one.double() if one.is_floating_point() else one for one in images]


# --- what is wrong ------------------------------------------------------------------------------------


def _size(weight: Tensor) -> float:
    """The standard deviation of what comes out for inputs of second moment 1."""
    return weight.detach().square().sum(1).mean().sqrt().item()


def _is_linear_wrong(layer: Any, largest: float) -> bool:
    weight = layer.weight.detach()
    equal = bool((weight == weight[:1]).all()) and bool(weight.any())
    return equal or _size(weight) > largest or not layer.weight.requires_grad


def _is_norm_wrong(norm: Any) -> bool:
    scale, shift = norm.weight.detach().abs().mean().item(), norm.bias.detach().mean().item()
    keeps = norm.momentum is not None and not 0 < norm.momentum <= 0.5
    return not 0.2 <= scale <= 5 or not -1 <= shift <= 4 or keeps or norm.eps > 1e-2


def _wrong_layers(net: nn.Module) -> list[str]:
    """The names of the layers in which something is wrong."""
    found = []
    for name, layer in net.named_children():
        linear = isinstance(layer, nn.Linear) and _is_linear_wrong(layer, largest=5.0)
        if linear or (isinstance(layer, nn.BatchNorm1d) and _is_norm_wrong(layer)):
            found.append(name)
    return found


def _is_hidden_silent(net: Any) -> bool:
    """Whether a hidden layer has weights that are all zero, or far too small."""
    return any(_size(layer.weight) < 0.2 for name, layer in net.named_children() if name.startswith("linear"))


# --- what is compared ---------------------------------------------------------------------------------


def _repaired(answer: Function, net: nn.Module, split: list[Tensor]) -> list[Any]:
    """What a network holds after an answer, layer by layer."""
    own = copy.deepcopy(net)
    known = list(own.parameters())
    torch.manual_seed(0)  # so that what comes out can be repeated
    answer(own)
    same = len(known) == len(list(own.parameters())) and all(
        one is other for one, other in zip(known, own.parameters(), strict=True)
    )
    learned = {name: parameter.requires_grad for name, parameter in own.named_parameters()}
    norms = {
        name: [float(module.eps), -1.0 if module.momentum is None else float(module.momentum)]
        for name, module in own.named_modules()
        if isinstance(module, nn.BatchNorm1d)
    }
    return [{name: value.detach().clone() for name, value in own.state_dict().items()}, learned, norms, same]


def _rebuilt(raw: list[Any], net: nn.Module) -> Any:
    """The network that an answer left behind, put together from what was collected."""
    state, learned, norms, _ = raw
    own = copy.deepcopy(net)
    own.load_state_dict(state)
    for name, parameter in own.named_parameters():
        parameter.requires_grad_(bool(learned[name]))
    for name, (eps, momentum) in norms.items():
        norm: Any = own.get_submodule(name)
        norm.eps, norm.momentum = eps, None if momentum < 0 else momentum
    return own


def hidden_accuracy(net: nn.Module, x: Tensor, y: Tensor, x_hidden: Tensor, y_hidden: Tensor) -> float:
    """The share of hidden images that a network gets right after a short training."""
    generator = torch.Generator().manual_seed(0)
    parameters = [parameter for parameter in net.train().parameters() if parameter.requires_grad]
    for _ in range(STEPS):
        batch = torch.randint(len(x), (BATCH,), generator=generator)
        loss = functional.cross_entropy(net(x[batch]), y[batch])
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data.sub_(RATE * slope)
    with torch.no_grad():
        return float((net.eval()(x_hidden).argmax(1) == y_hidden).double().mean())


def _fault_by_fault(raw: list[Any], net: nn.Module, split: list[Tensor]) -> Outcome:
    """Which faults are mended, whether all else is as it was, and what the network then learns."""
    own, faults = _rebuilt(raw, net), _wrong_layers(net)
    left = _wrong_layers(own)
    old, new = net.state_dict(), own.state_dict()
    touched = [name for name in old if name.rpartition(".")[0] not in faults and not torch.equal(old[name], new[name])]
    silent = _is_hidden_silent(own)  # weights of zero have no other fault any more
    mended = {f"fault {number} is mended": fault not in left and not silent for number, fault in enumerate(faults, 1)}
    return mended | {
        "nothing else is broken": set(left) <= set(faults) and not silent,
        "healthy layers are as before": not touched,
        "the parameters are the same objects": raw[3],
        "learns to read hidden images": hidden_accuracy(own, *split) > ENOUGH,
    }


@torch.no_grad()
def _mend(
    net: Any,
    *,
    faults: Function = lambda faults: faults,
    weight: Function = lambda weight: init.kaiming_normal_(weight, nonlinearity="relu"),
    thaw: bool = True,
) -> None:
    """Mends the layers in which something is wrong, all unless told otherwise."""
    for layer in (net.get_submodule(name) for name in faults(_wrong_layers(net))):
        if isinstance(layer, nn.Linear):
            weight(layer.weight)
            layer.weight.requires_grad_(thaw or layer.weight.requires_grad)
        else:
            init.ones_(layer.weight)
            init.zeros_(layer.bias)
            layer.eps, layer.momentum = 1e-5, 0.1


def _mending(**options: Any) -> Function:
    return lambda net: _mend(net, **options)


def _reset(net: Any) -> None:
    """Starts every layer anew."""
    for module in net:
        if isinstance(module, nn.Linear):
            init.kaiming_normal_(module.weight.requires_grad_(True), nonlinearity="relu")
            init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm1d):
            module.reset_parameters()
            module.eps, module.momentum = 1e-5, 0.1


def _replace(net: Any) -> None:
    """Puts new layers in place of the broken ones."""
    for name in _wrong_layers(net):
        old = net.get_submodule(name)
        new = nn.Linear(old.in_features, old.out_features) if isinstance(old, nn.Linear) else nn.BatchNorm1d(WIDTH)
        if isinstance(new, nn.Linear):
            init.kaiming_normal_(new.weight, nonlinearity="relu")
            init.zeros_(new.bias)
        setattr(net, name, new)


@exercise(
    "repair-net",
    inputs=_broken,
    own=True,
    observe=_repaired,
    describe=_fault_by_fault,
    parts=tuple(f"fault {number} is mended" for number in range(1, FAULTS + 1)),
    cases=2,
    rtol32=None,
    right="all three faults are mended, nothing else was touched, and the network learns.",
    mistakes={
        "Your function mends two of the three faults; the one nearest to the input is left. For each layer, look at "
        "what goes in, what comes out, and which of its numbers a first step moves.": _mending(
            faults=lambda faults: faults[1:]
        ),
        "Your function mends two of the three faults; the one nearest to the output is left. Mend the others first, "
        "and then measure again: a fault may hide behind another.": _mending(faults=lambda faults: faults[:-1]),
        "Your function mends the fault nearest to the input; two others are left. One fault may hide another: mend "
        "what you found, and measure again.": _mending(faults=lambda faults: faults[:1]),
        "Your function mends none of the faults. Does it change the network itself, in place?": lambda net: None,
        "You started every layer anew. That mends the network, and throws away what was healthy: change only the "
        "layers in which you found a fault.": _reset,
        "You put new layers in place of the broken ones. An optimizer made before holds the old parameters: mend those "
        "that are there.": _replace,
    },
)
def repair_net(net: nn.Module) -> None:
    """Mend all layers in which something is wrong."""
    _mend(net)
