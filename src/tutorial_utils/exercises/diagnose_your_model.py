"""Exercises about diagnosing your model."""

import copy
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations, pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.toolbox import between, fans, listed, normal, scramble, uniform

# --- the name of an initialization --------------------------------------------------------------------

#: Of each draw, the kind of distribution and the variance, a function of fan_in and fan_out.
DRAWN: dict[str, tuple[str, Function]] = {
    "nn.Linear's own": ("uniform", lambda n, m: 1 / (3 * n)),
    "xavier_normal_": ("normal", lambda n, m: 2 / (n + m)),
    "xavier_uniform_": ("uniform", lambda n, m: 2 / (n + m)),
    "kaiming_normal_": ("normal", lambda n, m: 2 / n),
    "kaiming_uniform_": ("uniform", lambda n, m: 2 / n),
    "nn.Embedding's own": ("normal", lambda n, m: 1.0),
    "half of kaiming_normal_": ("normal", lambda n, m: 0.5 / n),
    "a tenth more than kaiming_normal_": ("normal", lambda n, m: 1.1**2 * 2 / n),
    "a uniform draw as large as an embedding": ("uniform", lambda n, m: 1.0),
    "a normal draw as large as the default": ("normal", lambda n, m: 1 / (3 * n)),
    "LeCun's uniform draw": ("uniform", lambda n, m: 1 / n),
}


def _drawn(*shape: int, generator: torch.Generator) -> Inputs:
    """A weight of each kind, in random order; they are the rows of one tensor."""
    weights = []
    for number in torch.randperm(len(DRAWN), generator=generator).tolist():
        kind, variance = list(DRAWN.values())[number]
        weight = normal(*shape, generator=generator)
        if kind == "uniform":
            weight.uniform_(-(3**0.5), 3**0.5, generator=generator)
        weights.append(weight * math.sqrt(variance(*fans(weight))))
    return (torch.stack(weights),)


def _matrices(*, generator: torch.Generator) -> Inputs:
    n = between(75, 90, generator=generator)
    return _drawn(n, 2 * n, generator=generator)


def _kernels(*, generator: torch.Generator) -> Inputs:
    channels = between(30, 36, generator=generator)
    return _drawn(2 * channels, channels, 3, 2, generator=generator)


def _names_of(answer: Function, weights: Tensor) -> list[Any]:
    return [answer(weight) for weight in weights]


def _by_source(names: list[Any], weights: Tensor) -> Outcome:
    """What an answer calls each weight, by how that was drawn; the numbers show it, so no answer needs to be told."""
    found = dict(zip(map(_source, weights), names, strict=True))
    return {source: found[source] for source in DRAWN}


def _source(weight: Tensor) -> str:
    """The draw of the same kind whose variance is nearest to that of the weight."""
    kind = "normal" if _is_normal(weight) else "uniform"
    variances = {source: variance(*fans(weight)) for source, (of, variance) in DRAWN.items() if of == kind}
    return min(variances, key=lambda source: abs(math.log(weight.square().mean() / variances[source])))


def _is_normal(weight: Tensor) -> bool:
    square = weight.double().square()
    return bool(square.square().mean() / square.mean().square() > 2.4)


def _name(
    *,
    counted: Function = fans,
    is_normal: Function = _is_normal,
    glorot: Function = lambda n, m: 2 / (n + m),
    default: float = 1 / 3,
    default_is: tuple[str, ...] = ("uniform",),
    embedding_is: tuple[str, ...] = ("normal",),
    power: float = 0.5,
    tolerance: float = 0.04,
) -> Function:
    """A function that names an initialization, right unless told otherwise."""

    def name(weight: Tensor) -> str:
        n, m = counted(weight)
        kind = "normal" if is_normal(weight) else "uniform"
        variances = {f"Glorot {kind}": glorot(n, m), f"He {kind}": 2 / n}
        if kind in default_is:
            variances["default"] = default / n
        if kind in embedding_is:
            variances["embedding"] = 1.0
        size = weight.double().square().mean().item() ** power
        gaps = {one: abs(size / variance**0.5 - 1) for one, variance in variances.items()}
        best = min(gaps, key=gaps.__getitem__)
        return best if gaps[best] < tolerance else "other"

    return name


def _too_strict(outcome: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether all that is wrong is "other" in place of a name."""
    return all(outcome[name] in ("other", expected[name]) for name in expected)


@exercise(
    "audit-name",
    inputs=(_matrices, _kernels),
    observe=_names_of,
    describe=_by_source,
    cases=2,
    rtol32=None,
    right="standard deviation and shape of the distribution, each with the right fans.",
    mistakes={
        "You exchanged the fans. A weight has shape (outputs, inputs, ...): `shape[0]` counts outputs.": _name(
            counted=lambda weight: fans(weight)[::-1]
        ),
        "You forgot the kernel: both fans of a convolution contain the number of its entries.": _name(
            counted=lambda weight: (weight.shape[1], weight.shape[0])
        ),
        "Your fan_out lacks the kernel: it is `shape[0]` times the number of the kernel's entries.": _name(
            counted=lambda weight: (fans(weight)[0], weight.shape[0])
        ),
        "You took 1 / fan_in for Glorot's variance. It is 2 / (fan_in + fan_out), which is the same for square "
        "matrices only.": _name(glorot=lambda n, m: 1 / n),
        "You look at the standard deviation only, and take everything for normal. Uniform and normal draws of one "
        "standard deviation differ in their largest entries, or in their kurtosis: 1.8 and 3.": _name(
            is_normal=lambda weight: True, default_is=("normal",)
        ),
        "You call a draw the default by its standard deviation alone. A normal one can be as large: the default is "
        "uniform.": _name(default_is=("normal", "uniform")),
        "You took 1 / sqrt(fan_in) for the default's standard deviation. It is its bound, and the standard deviation "
        "is smaller by sqrt(3).": _name(default=1.0),
        "You take everything for uniform. The largest entries of a normal draw of this size lie beyond three standard "
        "deviations, those of a uniform one within sqrt(3).": _name(is_normal=lambda weight: False),
        "You exchanged normal and uniform. Compared with its standard deviation a normal draw has the larger entries, "
        "and the larger kurtosis: 3 against 1.8.": _name(is_normal=lambda weight: not _is_normal(weight)),
        "You compare a variance with a standard deviation. Only where both are 1 does that find anything.": _name(
            power=1.0
        ),
        "Your function says `other` to everything. Do you compare a variance with a standard deviation, or ask for "
        "less than chance allows? The standard deviation of some ten thousand numbers is off by half a "
        "percent.": lambda weight: "other",
        "Your function says `other` where there is a name, at least sometimes. Perhaps you ask for less than chance "
        "allows: the standard deviation of some ten thousand numbers is off by half a percent and more. Within "
        "4 percent is near enough.": When(_too_strict),
        "Your function always finds a name, that of the nearest initialization. If none is within a few percent, say "
        "`other`.": _name(tolerance=math.inf),
        "You missed the embedding, whose weights are standard normal whatever their shape. If you look for it, compare "
        "by a ratio: a difference of 0.001 is much for a small standard deviation, and less than chance for one of "
        "1.": _name(embedding_is=()),
        "You call a draw an embedding by its standard deviation alone. A uniform one can be as large: an embedding is "
        "normal.": _name(embedding_is=("normal", "uniform")),
        "You call a draw by the name of an initialization from which it is off by a tenth. Within 4 percent is near "
        "enough, and no farther.": _name(tolerance=0.12),
    },
)
def audit_name(weight: Tensor) -> str:
    """The name of the initialization with this standard deviation and this kind of distribution."""
    return str(_name()(weight))


# --- copies -------------------------------------------------------------------------------------------


@torch.no_grad()
def _changed(model: nn.Module, change: Function) -> nn.Module:
    """A copy with another number for each that was drawn."""
    own = copy.deepcopy(model)
    for parameter in filter(_is_drawn, own.parameters()):
        parameter.copy_(change(parameter))
    return own


def _stack(*, generator: torch.Generator) -> Inputs:
    """Three copies of a block, three that only resemble it; a tied layer, and two copies in a row; in random order."""
    n = between(3, 4, generator=generator)

    def block() -> nn.Module:
        first, second = (scramble(nn.Linear(n, n, bias=bias), generator=generator) for bias in (True, False))
        model = nn.Sequential(first, nn.LayerNorm(n).double(), second)
        init.constant_(model[1].bias, 0.5)  # type: ignore[arg-type]
        return _changed(model, lambda numbers: (numbers * 2**16).round() / 2**16)  # their sum is exact in any order

    first, own, tied = block(), block(), nn.Linear(n, n, bias=False)
    tied.weight = own[0].weight  # type: ignore[index]
    copies = [first, copy.deepcopy(first), copy.deepcopy(first)]
    negative, reordered = _changed(first, torch.neg), _changed(first, lambda numbers: numbers.flip(0))
    one = _changed(nn.Linear(n, n, bias=False), lambda numbers: numbers.double().normal_(generator=generator))
    near = _changed(first, _nearly)
    parts = [*copies, own, negative, reordered, near, tied, nn.ModuleList([one, copy.deepcopy(one)])]
    order = torch.randperm(len(parts), generator=generator).tolist()
    return (nn.ModuleDict({f"part{place}": parts[number] for place, number in enumerate(order, 1)}),)


def _nearly(numbers: Tensor) -> Tensor:
    """The same numbers, but for a millionth more in the largest."""
    size = numbers.abs()
    return numbers + 2**-20 * (size == size.max()).to(numbers)


def _names_from(answer: Function, model: nn.Module) -> list[str]:
    return listed(answer(model))


def _by_parameter(names: list[str], model: nn.Module) -> Outcome:
    """For each parameter, tied ones included, whether an answer calls it a copy."""
    known, roles = [name for name, _ in model.named_parameters(remove_duplicate=False)], _roles(model)
    split = [name.partition(".") for name in known]
    verdicts = {f"{roles[part]} {rest} is a copy": f"{part}.{rest}" in names for part, _, rest in split}
    rest = {
        "only names of parameters": set(names) <= set(known),
        "each name stands once": len(set(names)) == len(names),
    }
    return rest | verdicts


def _roles(model: Any) -> dict[str, str]:
    """What each part is, found from its numbers, since it may stand anywhere."""
    kinds = {nn.Linear: "tied", nn.ModuleList: "twins"}
    roles = {name: kinds[type(part)] for name, part in model.items() if type(part) in kinds}
    first = {name: part[0].weight for name, part in model.items() if name not in roles}
    names = {name: [other for other in first if torch.equal(first[other], first[name])] for name in first}
    alike = max(names.values(), key=len)
    numbers = first[alike[0]]
    for name, weight in first.items():
        changed = {"negative": torch.neg(numbers), "reordered": numbers.flip(0), "near": _nearly(numbers)}
        roles[name] = next((role for role, other in changed.items() if torch.equal(weight, other)), "own")
    return roles | {name: f"block {place}" for place, name in enumerate(alike, 1)}


def _is_drawn(parameter: Tensor) -> bool:
    return len(parameter.unique()) > 1


def _copies(
    *,
    keep: Function = _is_drawn,
    same: Function = torch.equal,
    tied: bool = False,
    pairs: Function = lambda parameters: combinations(parameters, 2),
    named: Function = lambda earlier, later: [later],
    once: bool = True,
) -> Function:
    """A function that lists copies, right unless told otherwise."""

    def find(model: nn.Module) -> list[str]:
        several = pairs(list(model.named_parameters(remove_duplicate=not tied)))
        found = [(one, two) for (one, first), (two, second) in several if same(first, second) and keep(second)]
        names = [name for pair in found for name in named(*pair)]
        return list(dict.fromkeys(names)) if once else names

    return find


@exercise(
    "audit-copies",
    inputs=_stack,
    observe=_names_from,
    describe=_by_parameter,
    cases=3,
    right="each copy is named, no constant, no original and no tied weight.",
    mistakes={
        "You named constants, too. Ones and zeros agree in any case, and nobody copied them.": _copies(
            keep=lambda parameter: True
        ),
        "You left out zeros and ones. A constant may have any value: all its entries are equal.": _copies(
            keep=lambda parameter: not (parameter == 0).all() and not (parameter == 1).all()
        ),
        "You gave a name once for each earlier parameter with the same numbers. Give it once, however many there "
        "are.": _copies(once=False),
        "You named the originals as well. The exercise asks for the copies, which come later.": _copies(
            named=lambda earlier, later: [earlier, later]
        ),
        "You named the parameters that have a copy later on. The exercise asks for those that are copies of an earlier "
        "one.": _copies(named=lambda earlier, later: [earlier]),
        "Not all of these are names of parameters. Give them as `named_parameters()` of the whole model lists "
        "them.": When(lambda outcome, expected, *inputs: outcome["only names of parameters"] is False),
        "You named the tied weight. That is one parameter with two names, not a copy: training keeps both alike. "
        "`state_dict()` lists it twice, `named_parameters()` once.": _copies(tied=True),
        "Your function finds nothing. Copies are other tensors with the same numbers, so `is`, `id` and `data_ptr` do "
        "not see them: compare the numbers of each parameter with those of all earlier ones.": lambda model: [],
        "You compared each parameter with the one before it only. A copy may stand anywhere behind its original: "
        "compare it with all earlier ones.": _copies(pairs=pairwise),
        "You compared shapes. Two draws of one shape are not copies.": _copies(
            same=lambda first, second: first.shape == second.shape
        ),
        "You compared sums. Other numbers, or the same in another order, can have the same sum: compare entry by "
        "entry, with `torch.equal`.": _copies(same=lambda first, second: first.sum() == second.sum()),
        "You compared up to a tolerance. A copy has exactly the same numbers, and others may lie close: compare by "
        "`torch.equal`.": _copies(
            same=lambda first, second: first.shape == second.shape and torch.allclose(first, second)
        ),
        "You compared absolute values. A copy has the same signs, too.": _copies(
            same=lambda first, second: torch.equal(first.abs(), second.abs())
        ),
        "You looked at matrices only. PyTorch's default draws biases, too, and they are copied with the rest.": _copies(
            keep=lambda parameter: parameter.dim() > 1
        ),
    },
)
def audit_copies(model: nn.Module) -> list[str]:
    """The names of the parameters with the numbers of an earlier one, constants left out."""
    names: list[str] = _copies()(model)
    return names


# --- the guilty layer ---------------------------------------------------------------------------------


@torch.no_grad()
def _faulty(factor: float, *, generator: torch.Generator) -> Inputs:
    """A network whose layers make the signal a little larger, but for one of them, and a batch of no common size."""
    width, depth = between(20, 30, generator=generator), between(8, 10, generator=generator)
    layers = OrderedDict[str, nn.Module]()
    for number in range(1, depth + 1):
        layer = nn.Linear(width, width, bias=False).double()
        layer.weight.copy_(normal(width, width, generator=generator, std=1.3 * math.sqrt(2 / width)))
        layers |= {f"linear{number}": layer, f"relu{number}": nn.ReLU()}
    layers[f"linear{between(2, depth - 1, generator=generator)}"].weight.mul_(factor)  # type: ignore[operator]
    size = uniform(300, 900, generator=generator)
    return nn.Sequential(layers), normal(50, width, generator=generator, std=size)


def _too_large(*, generator: torch.Generator) -> Inputs:
    return _faulty(60.0, generator=generator)


def _too_small(*, generator: torch.Generator) -> Inputs:
    return _faulty(1 / 60.0, generator=generator)


def _rms(x: Tensor) -> float:
    return x.detach().double().square().mean().sqrt().item()


def _sizes(model: nn.Module, x: Tensor) -> Iterator[tuple[str, float, float]]:
    """Of each linear layer its name and the sizes of what it receives and returns."""
    for name, layer in model.named_children():
        received, x = x, layer(x)
        if isinstance(layer, nn.Linear):
            yield name, _rms(received), _rms(x)


def _guilty(
    *,
    of: Function = lambda before, after: after / before,
    strange: Function = lambda value, typical: abs(math.log(value / typical)),
    first_receives: float | None = None,
    behind: int = 0,
) -> Function:
    """A function that names the layer that is out of order, right unless told otherwise."""

    def find(model: nn.Module, x: Tensor) -> str:
        rows = list(_sizes(model, x))
        if first_receives is not None:
            rows[0] = (rows[0][0], first_receives, rows[0][2])
        values = [of(before, after) for _, before, after in rows]
        typical = median(values)
        worst = max(range(len(rows)), key=lambda number: strange(values[number], typical))
        return rows[worst + behind][0]

    return find


def _by_weight(model: nn.Module, x: Tensor) -> str:
    """The layer with the largest weights."""
    sizes = {name: _rms(layer.weight) for name, layer in model.named_children() if isinstance(layer, nn.Linear)}
    return max(sizes, key=sizes.__getitem__)


def _by_gradient(model: nn.Module, x: Tensor) -> str:
    """The layer whose weight has the largest gradient."""
    own = copy.deepcopy(model)
    own(x).square().mean().backward()
    layers = {name: layer for name, layer in own.named_children() if isinstance(layer, nn.Linear)}
    return max(layers, key=lambda name: float(layers[name].weight.grad.norm()))  # type: ignore[union-attr]


@exercise(
    "diagnose-guilty-layer",
    inputs=(_too_large, _too_small),
    rtol32=None,
    right="the ratio of what comes out to what goes in accuses one layer, whatever the size of the batch.",
    mistakes={
        "You looked for the largest output. All layers behind the guilty one pass on what they were given: divide what "
        "comes out of a layer by what goes in.": _guilty(
            of=lambda before, after: after, strange=lambda value, typical: value
        ),
        "You compared sizes of outputs. They say where the signal is out of order, not who made it so: divide what "
        "comes out of a layer by what goes in.": _guilty(of=lambda before, after: after),
        "You looked for the largest ratio. A layer may also make its signal far too small: compare each ratio with the "
        "typical one, in either direction.": _guilty(strange=lambda value, typical: value),
        "You looked for the smallest ratio. A layer may also make its signal far too large: compare each ratio with "
        "the typical one, in either direction.": _guilty(strange=lambda value, typical: -value),
        "You took for granted that the batch has size 1. What the first layer receives must be measured, as for all "
        "others.": _guilty(first_receives=1.0),
        "You named a layer behind the guilty one. That layer only receives what is out of order.": _guilty(behind=1),
        "That is no layer of the network by its name. Return a name as `named_children()` lists them, such as "
        "`linear3`.": When(
            lambda given, right, model, x: isinstance(given, str) and given not in dict(model.named_modules())
        ),
        "You named the layer with the largest weights. A layer may also be far too small: compare with the typical "
        "one, in either direction.": _by_weight,
        "You named the layer with the largest gradient. A gradient is the product of what arrives from both sides, so "
        "it accuses layers that only pass on: divide what comes out of a layer by what goes in.": _by_gradient,
    },
)
def diagnose_guilty_layer(model: nn.Module, x: Tensor) -> str:
    """The name of the linear layer whose ratio of root mean squares is farthest from the typical one."""
    return str(_guilty()(model, x))


# --- a residual network -------------------------------------------------------------------------------


class Residual(nn.Module):
    """Adds a branch of convolutions and BatchNorms to its input."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.ReLU()] if number < depth - 1 else []
        self.branch = nn.Sequential(*layers)

    def forward(self, h: Tensor) -> Tensor:
        """Add the branch to the stream."""
        result: Tensor = h + self.branch(h)
        return result


def _is_norm(module: Any) -> bool:
    return isinstance(module, nn.BatchNorm2d)


@torch.no_grad()
def _residual_net(*, generator: torch.Generator) -> Inputs:
    """A stem, blocks of two or three convolutions, and a head; then some images."""
    width, count = between(3, 5, generator=generator), between(2, 4, generator=generator)
    stem = [nn.Conv2d(2, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    blocks = [Residual(width, 2 + number % 2) for number in range(count)]
    net = nn.Sequential(*stem, nn.Sequential(*blocks), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))
    scramble(net, generator=generator)
    for norm in filter(_is_norm, net.modules()):
        stored = dict(norm.named_buffers())
        stored["running_mean"].normal_(generator=generator)
        stored["running_var"].uniform_(0.5, 2, generator=generator)
    return net, normal(4, 2, 5, 5, generator=generator)


def _quieted(answer: Function, net: nn.Module, images: Tensor) -> dict[str, Any]:
    """What the net's parts do and hold after an answer."""
    own = copy.deepcopy(net)
    known = list(own.parameters())
    answer(own)
    same = all(one is other for one, other in zip(known, own.parameters(), strict=True))
    state = {name: value.detach().clone() for name, value in own.state_dict().items()}
    learned = sorted(name for name, parameter in own.named_parameters() if parameter.requires_grad)
    moved = sorted(_moved(own.train(), images))
    return {"state": state, "same": same, "learned": learned, "moved": moved}


def _moved(net: nn.Module, images: Tensor) -> Iterator[str]:
    """The parameters that a first step would move."""
    net.zero_grad()
    net(images).square().sum().backward()
    for name, parameter in net.named_parameters():
        if parameter.grad is not None and parameter.grad.abs().max() > 1e-12:
            yield name


def _ends_of(net: nn.Module) -> list[str]:
    """The names of the last BatchNorm of every block."""
    return [
        f"{name}.branch.{len(module.branch) - 1}"
        for name, module in net.named_modules()
        if isinstance(module, Residual)
    ]


def _stream_and_branches(raw: dict[str, Any], net: nn.Module, images: Tensor) -> Outcome:
    """Which scales are zero, and whether all else is as it was and can learn."""
    old, new, ends = net.state_dict(), raw["state"], _ends_of(net)
    norms = [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]
    inner = [name for name in norms if ".branch." in name and name not in ends]
    scales = [f"{name}.weight" for name in norms]

    def zero(names: Sequence[str]) -> bool:
        return all(not new[f"{name}.weight"].any() for name in names)

    return {
        "nothing has changed": all(torch.equal(new[name], old[name]) for name in old),
        "a last scale is zero": any(map(zero, zip(ends))),
        "the last scale of each branch is zero": zero(ends),
        "the last shift of each branch is zero": all(not new[f"{name}.bias"].any() for name in ends),
        "the scales inside the branches are as before": all(
            torch.equal(new[f"{name}.weight"], old[f"{name}.weight"]) for name in inner
        ),
        "the scale of the stem is as before": torch.equal(new["1.weight"], old["1.weight"]),
        "convolutions, head and statistics are as before": all(
            torch.equal(new[name], old[name])
            for name in old
            if name not in scales and name not in [f"{one}.bias" for one in norms]
        ),
        "the other shifts are as before": all(
            torch.equal(new[f"{name}.bias"], old[f"{name}.bias"]) for name in norms if name not in ends
        ),
        "all parameters can learn": len(raw["learned"]) == len(list(net.parameters())),
        "a first step moves the last scales": all(f"{name}.weight" in raw["moved"] for name in ends),
        "the parameters are the same objects": raw["same"],
    }


def _last_norms(net: nn.Module) -> Iterator[nn.Module]:
    for module in net.modules():
        if isinstance(module, Residual):
            yield module.branch[-1]


def _first_norms(net: nn.Module) -> Iterator[nn.Module]:
    for module in net.modules():
        if isinstance(module, Residual):
            yield module.branch[1]


def _norms(net: nn.Module) -> Iterator[nn.Module]:
    return filter(_is_norm, net.modules())


def _branch_norms(net: nn.Module) -> Iterator[nn.Module]:
    for module in net.modules():
        if isinstance(module, Residual):
            yield from _norms(module)


def _fifth_norms(net: nn.Module) -> Iterator[nn.Module]:
    for module in net.modules():
        if isinstance(module, Residual):
            yield module.branch[4]


def _last_of_all(net: nn.Module) -> Iterator[nn.Module]:
    yield list(_last_norms(net))[-1]


def _zero_both(norm: Any) -> None:
    init.zeros_(norm.weight)
    init.zeros_(norm.bias)


def _zero_scale(norm: Any) -> None:
    init.zeros_(norm.weight)


def _zero_shift(norm: Any) -> None:
    init.zeros_(norm.bias)


def _reset(norm: Any) -> None:
    norm.reset_running_stats()
    _zero_both(norm)


def _new_zeros(norm: Any) -> None:
    norm.weight, norm.bias = (nn.Parameter(torch.zeros_like(one)) for one in (norm.weight, norm.bias))


def _frozen_zeros(norm: Any) -> None:
    _zero_both(norm)
    norm.requires_grad_(False)


def _quiet(change: Function = _zero_both, *, among: Function = _last_norms) -> Function:
    """Silences the branches of a residual network, right unless told otherwise."""

    def quiet(net: nn.Module) -> None:
        for norm in among(net):
            change(norm)

    return quiet


def _quiet_convolutions(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, Residual):
            *_, convolution, norm = module.branch.children()
            _zero_scale(convolution)
            _zero_shift(norm)


@exercise(
    "diagnose-zero-scales",
    inputs=_residual_net,
    observe=_quieted,
    describe=_stream_and_branches,
    cases=3,
    rtol32=None,
    right="every block starts as if it were not there, the stem lets the signal through, and all of it can learn.",
    mistakes={
        "You zeroed the scales of all BatchNorm layers. The one in the stem has no shortcut around it, so nothing gets "
        "past it; zero only the last one of each branch.": _quiet(among=_norms),
        "You zeroed every BatchNorm of the branches. Then nothing arrives at the last one, and no step moves its "
        "scale: zero the last one alone.": _quiet(among=_branch_norms),
        "You reset the running statistics. Only the scale and the shift of the last BatchNorm change.": _quiet(_reset),
        "You zeroed the first BatchNorm of each branch. The layers behind it turn zeros into their shifts, and the "
        "branch is not silent: zero the last one.": _quiet(among=_first_norms),
        "You zeroed the scale and left the shift: what is added to the stream is the shift, whatever the input. Zero "
        "both.": _quiet(_zero_scale),
        "Your shifts are zero, and your scales are not. The scale is what multiplies the signal: set it to "
        "0, exactly.": _quiet(_zero_shift),
        "Your zeros cannot learn: `requires_grad` is off. The branches should be silent at the start only.": _quiet(
            _frozen_zeros
        ),
        "You zeroed the last convolution of each branch. BatchNorm then divides zeros by the square root of its tiny "
        "eps, and the first gradients explode: leave the convolutions, and zero the scale behind them.": (
            _quiet_convolutions
        ),
        "You put new parameters in place of the old ones. An optimizer made before still holds the old ones: fill "
        "those that are there.": _quiet(_new_zeros),
        "Your function changed nothing. Go through `net.modules()`, not only through its children: the blocks are one "
        "level down.": lambda net: None,
        "You zeroed the BatchNorm at one place in every branch. Branches differ in length: count from the end, "
        "`branch[-1]`.": _quiet(among=_fifth_norms),
        "You silenced one branch. Every block has one: go through all modules that have the "
        "attribute `branch`.": _quiet(among=_last_of_all),
    },
)
def diagnose_zero_scales(net: nn.Module) -> None:
    """Zero scale and shift of the last BatchNorm of every branch."""
    _quiet()(net)


# --- a failing network --------------------------------------------------------------------------------

WIDTH, DEPTH, EXAMPLES = 24, 5, 64


class Patient(nn.Sequential):
    """Linear layers, each but the last followed by BatchNorm and ReLU."""

    def __init__(self, classes: int) -> None:
        layers = OrderedDict[str, nn.Module]()
        for number in range(1, DEPTH):
            layers |= {f"linear{number}": nn.Linear(WIDTH, WIDTH), f"norm{number}": nn.BatchNorm1d(WIDTH)}
            layers |= {f"relu{number}": nn.ReLU()}
        super().__init__(layers | {"head": nn.Linear(WIDTH, classes)})

    def layer(self, name: str) -> Any:
        """A layer by its name."""
        return self.get_submodule(name)


@torch.no_grad()
def _healthy(classes: int, generator: torch.Generator) -> Patient:
    """A network with He's weights, a quiet head, and in each BatchNorm a single scale that is zero."""
    net = Patient(classes).double()
    for module in net:
        if isinstance(module, nn.Linear):
            init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            init.normal_(module.bias, std=0.1, generator=generator)
        if isinstance(module, nn.BatchNorm1d):
            init.normal_(module.weight, mean=1, std=0.1, generator=generator)
            init.normal_(module.bias, std=0.1, generator=generator)
            module.weight[1] = 0
            module.momentum = None
    init.normal_(net.layer("head").weight, std=0.1, generator=generator)
    return net


def _settle(net: Patient, x: Tensor) -> None:
    """Have BatchNorm store the statistics of the data."""
    for module in net:
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
    net.train()(x)


def _kill_units(net: Patient, place: int, generator: torch.Generator) -> None:
    net.layer(f"norm{place}").bias.sub_(6)


def _equalize_units(net: Patient, place: int, generator: torch.Generator) -> None:
    weight, norm = net.layer(f"linear{place}").weight, net.layer(f"norm{place}")
    weight.copy_(weight[:1].expand_as(weight))
    for values in (norm.weight, norm.bias, net.layer(f"linear{place}").bias):
        values.fill_(values[0].item())


def _enlarge_head(net: Patient, place: int, generator: torch.Generator) -> None:
    net.layer("head").weight.mul_(80)


def _spoil_statistics(net: Patient, place: int, generator: torch.Generator) -> None:
    net.layer(f"norm{place}").running_mean.normal_(mean=8, std=20, generator=generator)
    net.layer(f"norm{place}").running_var.uniform_(0.001, 0.01, generator=generator)


def _freeze_layer(net: Patient, place: int, generator: torch.Generator) -> None:
    net.layer(f"linear{place}").weight.requires_grad_(False)


def _close_gate(net: Patient, place: int, generator: torch.Generator) -> None:
    _zero_both(net.layer(f"norm{place}"))


def _leave(net: Patient, place: int, generator: torch.Generator) -> None:
    """Do nothing."""


CAUSES: dict[str, Function] = {
    "healthy": _leave,
    "dead units": _kill_units,
    "equal units": _equalize_units,
    "large head": _enlarge_head,
    "stale statistics": _spoil_statistics,
    "frozen weight": _freeze_layer,
    "zero scale": _close_gate,
}


def _ward(low: int, high: int, *, generator: torch.Generator) -> Inputs:
    """A network for each cause, in random order, each with its fault in a hidden layer chosen by chance."""
    x = normal(EXAMPLES, WIDTH, generator=generator)
    classes = between(low, high, generator=generator)
    y = torch.randint(classes, (EXAMPLES,), generator=generator)
    nets = []
    for number in torch.randperm(len(CAUSES), generator=generator).tolist():
        cause, spoil = list(CAUSES.items())[number]
        net, place = _healthy(classes, generator), between(2, DEPTH - 1, generator=generator)
        with torch.no_grad():
            if cause == "stale statistics":
                _settle(net, x)
            spoil(net, place, generator)
            if cause != "stale statistics":
                _settle(net, x)
        nets.append(net.eval())
    return nets, x, y


def _named_causes(answer: Function, nets: list[nn.Module], x: Tensor, y: Tensor) -> list[Any]:
    return [answer(net, x, y) for net in nets]


def _by_cause(causes: list[Any], nets: list[nn.Module], x: Tensor, y: Tensor) -> Outcome:
    """What an answer calls each network, by what is wrong with it; nothing but the networks tells that."""
    found = {_cause()(net, x, y): named for net, named in zip(nets, causes, strict=True)}
    return {cause: found[cause] for cause in CAUSES}


@torch.no_grad()
def _passes(net: Any, x: Tensor) -> Iterator[tuple[str, nn.Module, Tensor, Tensor]]:
    """Each layer with its name, what it receives, and what it returns in the mode it is in."""
    for name, layer in net.named_children():
        received, x = x, layer(x)
        yield name, layer, received, x


def _disagrees(norm: Any, received: Tensor, returned: Tensor) -> bool:
    fresh = copy.deepcopy(norm).train()(received)
    return _rms(returned - fresh) > 0.5 * max(_rms(fresh), 1e-3)


def _cause(
    *,
    order: tuple[str, ...] = (
        "frozen weight",
        "zero scale",
        "equal units",
        "stale statistics",
        "dead units",
        "large head",
    ),
    dead: Function = lambda out: (out <= 0).all(0).double().mean() > 0.5,
    equal: Function = lambda weight: (weight == weight[0]).all(),
    excess: float = 1.0,
    scale: Function = lambda gamma: not gamma.any(),
    classes: int | None = None,
) -> Function:
    """A function that names the cause, right unless told otherwise; it asks for the causes in an order."""

    def look(net: Any, x: Tensor, y: Tensor) -> dict[str, bool]:
        rows, found = list(_passes(net, x)), dict.fromkeys(CAUSES, False)
        for _, layer, received, returned in rows:
            if isinstance(layer, nn.Linear):
                found["frozen weight"] |= not layer.weight.requires_grad
                found["equal units"] |= bool(equal(layer.weight))
            if isinstance(layer, nn.BatchNorm1d):
                found["zero scale"] |= bool(scale(layer.weight))
                found["stale statistics"] |= _disagrees(layer, received, returned)
            if isinstance(layer, nn.ReLU):
                found["dead units"] |= bool(dead(returned))
        loss = nn.functional.cross_entropy(rows[-1][-1], y).item()
        found["large head"] = loss > math.log(classes or rows[-1][-1].shape[1]) + excess
        return found

    def cause(net: Any, x: Tensor, y: Tensor) -> str:
        found = look(net, x, y)
        return next((name for name in order if found[name]), "healthy")

    return cause


def _taking(cause: str, name: str) -> Function:
    """An answer that calls one cause by the name of another."""

    def call(net: Any, x: Tensor, y: Tensor) -> str:
        found = str(_cause()(net, x, y))
        return name if found == cause else found

    return call


def _only_missed(cause: str, causes: Outcome, right: Outcome, *inputs: Any) -> bool:
    """Whether the network with one cause is the only one that was called by a wrong name."""
    return [one for one in right if causes[one] != right[one]] == [cause]


def _blind(*causes: str) -> Function:
    """A function that does not know some causes."""
    known = ("frozen weight", "zero scale", "equal units", "stale statistics", "dead units", "large head")
    return lambda net, x, y: _cause(order=tuple(one for one in known if one not in causes))(net, x, y)


@exercise(
    "diagnose-cause",
    inputs=(partial(_ward, 5, 8), partial(_ward, 60, 90)),
    observe=_named_causes,
    describe=_by_cause,
    cases=4,
    rtol32=None,
    right="each cause is found where it lies, and the healthy network is left in peace.",
    mistakes={
        "You took the layer whose scale is zero for one with dead units. All of its units are off, too, but only "
        "because BatchNorm multiplies them by zero: look at `weight` first.": _taking("zero scale", "dead units"),
        "You took stale statistics for a large head. They make the loss large as well, but in train mode it would be "
        "normal: run each BatchNorm in both modes on the same input.": _taking("stale statistics", "large head"),
        "You do not see equal units. Each row of a weight belongs to one unit: are all rows the same?": _blind(
            "equal units"
        ),
        "You do not see the frozen weight. A network with it puts out what it should; ask `requires_grad`.": _blind(
            "frozen weight"
        ),
        "You do not see dead units. Count the units that are 0 for every example of the batch.": _blind("dead units"),
        "You do not see the large head. Compare the loss with ln C, C being the number of classes.": _blind(
            "large head"
        ),
        "You say `healthy` of every network.": lambda net, x, y: "healthy",
        "You find dead units in healthy networks. Every ReLU unit is off for about half of the examples; a dead one is "
        "off for all of them.": When(
            lambda causes, right, *inputs: "dead units" in (causes["healthy"], causes["large head"])
        ),
        "You took the network with dead units for one with stale statistics. Behind dead units nothing varies, so "
        "stored and measured variances are both nearly zero, and their ratio says nothing: compare their difference, "
        "or what a BatchNorm puts out in both modes.": _taking("dead units", "stale statistics"),
        "You do not see stale statistics. A new network's statistics are no measure, nor are 0 and 1: compare what a "
        "BatchNorm stores with the mean and the variance of what it receives.": When(
            partial(_only_missed, "stale statistics")
        ),
        "You do not see the zero scale. All numbers in the `weight` of one BatchNorm are zero.": When(
            partial(_only_missed, "zero scale")
        ),
        "You find something wrong with the healthy network, and are right about all others. Leave room for chance: the "
        "loss of a new network is a little above ln C, and no unit is exactly like its neighbor.": When(
            partial(_only_missed, "healthy")
        ),
        "You are right about every network but the one with dead units. Count the units that are 0 for every example "
        "of the batch, behind each ReLU, before you look at the loss.": When(partial(_only_missed, "dead units")),
        "You call a BatchNorm's scale zero if one of its numbers is. That is one unit of many: all of them must be "
        "zero.": _cause(scale=lambda gamma: not gamma.all()),
        "You compare the loss with the same number whatever the classes are. A guess costs ln C: with ten times as "
        "many classes 2.3 more.": _cause(classes=10),
        "You call every head large whose loss is above ln C. A new network is nearly always a little above: the logits "
        "are not exactly 0. Far above is what counts.": _cause(excess=0.0),
    },
)
def diagnose_cause(net: nn.Module, x: Tensor, y: Tensor) -> str:
    """What is wrong with a network."""
    return str(_cause()(net, x, y))
