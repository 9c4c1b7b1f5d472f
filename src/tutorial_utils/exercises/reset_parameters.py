"""Exercises about what PyTorch does by default."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.legacy import thrice
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import between, moments, normal, origin, sizes, stream
from tutorial_utils.networks import mlp

# --- read the source ----------------------------------------------------------------------------------


def _layers(*, generator: torch.Generator) -> Inputs:
    """Sizes of a Bilinear and of a ConvTranspose2d with groups; no two of them agree."""
    n_x, n_y = (10 * size for size in sizes(2, 2, 9, generator=generator))
    c_in, c_out = (12 * size for size in sizes(2, 5, 9, generator=generator))
    return (n_x, n_y), (c_in, c_out, between(3, 5, generator=generator), 2 * between(1, 2, generator=generator))


Fan = Callable[..., float]


def _bounds(bilinear: Fan, transposed: Fan) -> Function:
    """The largest biases for what is taken for the number of inputs."""
    return lambda two, four: (1 / math.sqrt(bilinear(*two)), 1 / math.sqrt(transposed(*four)))


def _first(n_x: int, n_y: int) -> float:
    return n_x


def _outputs(c_in: int, c_out: int, k: int, groups: int) -> float:
    return c_out / groups * k**2


@exercise(
    "default-bias",
    value=True,
    inputs=_layers,
    rtol=5e-3,
    parts=("Bilinear", "ConvTranspose2d"),
    right="the bias of each gets the bound that its own `reset_parameters` makes of its weight's shape.",
    mistakes=(
        Mistake(
            "For nn.Bilinear you counted all pairs of inputs. Its source takes `weight.size(1)`, the first argument's "
            "size alone.",
            _bounds(lambda n_x, n_y: n_x * n_y, _outputs),
        ),
        Mistake(
            "For nn.Bilinear you took the second argument's size. Its weight has shape (outputs, first, second), and "
            "the source takes `size(1)`.",
            _bounds(lambda n_x, n_y: n_y, _outputs),
        ),
        Mistake(
            "For nn.Bilinear you added both sizes. The source takes `size(1)` of a weight of shape (outputs, first, "
            "second).",
            _bounds(lambda n_x, n_y: n_x + n_y, _outputs),
        ),
        Mistake(
            "For the transposed convolution you counted input channels, as in an ordinary one. Its weight has shape "
            "(inputs, outputs / groups, k, k), and fan_in is computed from `size(1)` on.",
            _bounds(_first, lambda c_in, c_out, k, groups: c_in / groups * k**2),
        ),
        Mistake(
            "For the transposed convolution you counted all input channels. Its weight has shape (inputs, outputs / "
            "groups, k, k): look at `size(1)`.",
            _bounds(_first, lambda c_in, c_out, k, groups: c_in * k**2),
        ),
        Mistake(
            "For the transposed convolution you forgot the groups: `size(1)` counts the outputs of one group.",
            _bounds(_first, lambda c_in, c_out, k, groups: c_out * k**2),
        ),
        Mistake(
            "For the transposed convolution you forgot the kernel: its entries belong to the fan.",
            _bounds(_first, lambda c_in, c_out, k, groups: c_out / groups),
        ),
        Mistake(
            "Those are deviations. The largest value of a uniform variable is sqrt(3) times its deviation.",
            _bounds(lambda *two: 3 * _first(*two), lambda *four: 3 * _outputs(*four)),
        ),
        Mistake(
            "Those are He's bounds, with the 6 under the root. The default's `a` turns the 6 into a 1, and the bias "
            "is drawn from the bare 1 / sqrt(fan_in).",
            _bounds(lambda *two: _first(*two) / 6, lambda *four: _outputs(*four) / 6),
        ),
    ),
)
def default_bias(bilinear: tuple[int, int], transposed: tuple[int, int, int, int]) -> tuple[float, float]:
    """The bounds of the biases, from the shapes of the weights."""
    c_in, c_out, k, groups = transposed
    with torch.device("meta"):
        first = nn.Bilinear(*bilinear, 1)
        second = nn.ConvTranspose2d(c_in, c_out, k, groups=groups)
    fan_in, _ = init._calculate_fan_in_and_fan_out(second.weight)
    return 1 / math.sqrt(first.weight.size(1)), 1 / math.sqrt(fan_in)


# --- the floor ----------------------------------------------------------------------------------------


def _leaky(*, generator: torch.Generator) -> Inputs:
    """A narrow network, so that the biases show early, and a slope whose square is not small."""
    return (
        between(8, 12, generator=generator),
        between(4, 7, generator=generator) / 10,
        between(2, 3, generator=generator),
    )


def _moments_with(
    factor: Callable[[float], float], weight: float = 1 / 3, bias: float = 1 / 3, first: float = 1.0, steps: int = 0
) -> Function:
    """Floor and q^l, where an activation of slope s leaves factor(s) of a second moment.

    ``weight`` is fan_in times the variance of a weight, ``bias`` is n times that of a bias.
    """

    def compute(n: int, slope: float, layer: int) -> tuple[float, float]:
        shrink = weight * factor(slope)
        q = first * weight + bias / n
        for _ in range(layer - 1 + steps):
            q = shrink * q + bias / n
        return bias / n / (1 - shrink), q

    return compute


def _kept(slope: float) -> float:
    return (1 + slope**2) / 2


@exercise(
    "default-floor",
    value=True,
    inputs=_leaky,
    rtol=5e-3,
    parts=("floor", "q"),
    right="a third of what the activation leaves, plus the biases, in every layer.",
    mistakes=(
        Mistake(
            "You took the rate of ReLU, one sixth. A leaky ReLU also keeps the negative half, times the square of its "
            "slope.",
            _moments_with(lambda slope: 0.5),
        ),
        Mistake(
            "You added the slope itself. A second moment is multiplied by its square.",
            _moments_with(lambda slope: (1 + slope) / 2),
        ),
        Mistake(
            "You gave each side of zero the whole second moment. Each has one half of it.",
            _moments_with(lambda slope: 1 + slope**2),
        ),
        Mistake("Your activation changes nothing: this is the floor without one.", _moments_with(lambda slope: 1.0)),
        Mistake(
            "You began without the biases: the first layer has them, too.",
            lambda n, slope, layer: _moments_with(_kept, first=1 - 1 / n)(n, slope, layer),
        ),
        Mistake(
            "Your q belongs to the layer after: from layer 1 to layer l there are l - 1 steps.",
            _moments_with(_kept, steps=1),
        ),
        Mistake(
            "Your q belongs to the layer before: layer 1 itself already multiplies the input by one third.",
            _moments_with(_kept, steps=-1),
        ),
        Mistake(
            "In the first layer you halved the input. No activation stands before it.",
            lambda n, slope, layer: _moments_with(_kept, first=_kept(slope))(n, slope, layer),
        ),
        Mistake(
            "You took 1/n for the variance of the biases. Uniform up to 1 / sqrt(n), they have a third of it.",
            _moments_with(_kept, bias=1.0),
        ),
        Mistake(
            "You took 1 for fan_in Var[w]. The bound is 1 / sqrt(n), and a uniform variable has a third of its "
            "bound's square.",
            _moments_with(_kept, weight=1.0),
        ),
        Mistake(
            "You left out the biases: then there is no floor.",
            _moments_with(_kept, bias=0.0),
        ),
    ),
)
def default_floor(n: int, slope: float, layer: int) -> tuple[float, float]:
    """The fixed point, and the second moment in a layer, by the distance that shrinks by one factor per layer."""
    shrink = (1 + slope**2) / 6
    floor = 1 / (3 * n) / (1 - shrink)
    return floor, floor + (1 / 3 + 1 / (3 * n) - floor) * shrink ** (layer - 1)


# --- a reset with a generator -------------------------------------------------------------------------


def _linear(*, generator: torch.Generator) -> Inputs:
    n_in = between(8, 12, generator=generator)
    return _filled(nn.Linear(n_in, 150 * n_in), generator=generator)


def _convolution(*, generator: torch.Generator) -> Inputs:
    """Two groups and an uneven kernel."""
    c_in = 2 * between(2, 3, generator=generator)
    return _filled(nn.Conv2d(c_in, 300 * c_in, (2, 3), groups=2), generator=generator)


def _bare(*, generator: torch.Generator) -> Inputs:
    n_in = between(8, 12, generator=generator)
    return _filled(nn.Linear(n_in, 150 * n_in, bias=False), generator=generator)


@torch.no_grad()
def _filled(layer: nn.Module, *, generator: torch.Generator) -> Inputs:
    for parameter in layer.double().parameters():
        parameter.normal_(generator=generator)
    return layer, stream(generator=generator)


def _reset(answer: Function, layer: nn.Module, generator: torch.Generator) -> Outcome:
    """What an answer draws for each parameter of a layer."""

    def start(numbers: torch.Generator) -> nn.Module:
        started: nn.Module = answer(copy.deepcopy(layer), numbers)
        if not callable(started):
            raise WrongType(f"Start the layer in place, or return it; yours returned a {type(started).__name__}.")
        return started

    draws = thrice(start, generator=generator)
    first = draws[0]
    outcome: Outcome = {}
    for name in ("weight", "bias"):
        parameter = getattr(first, name)
        found = dict.fromkeys(("mean", "variance", "kurtosis")) if parameter is None else moments(parameter)
        outcome |= {f"{what} of {name}": value for what, value in found.items()}
    for name in ("weight", "bias"):
        parameters = [getattr(one, name) for one in draws]
        outcome[f"{name} comes from"] = None if parameters[0] is None else origin(*parameters)
    return outcome


def _fan_in(layer: Any) -> float:
    return float(layer.weight[0].numel())


def _bounded(
    weight: Callable[[Any], float], bias: Callable[[Any], float] | None = None, fill: Function = init.uniform_
) -> Function:
    """A draw up to weight(layer) and bias(layer) either way; the same bound for both if only one is given."""

    def start(layer: Any, generator: torch.Generator) -> None:
        for parameter, bound in ((layer.weight, weight), (layer.bias, bias or weight)):
            if parameter is not None:
                fill(parameter, -bound(layer), bound(layer), generator=generator)

    return start


def _right_bound(layer: Any) -> float:
    return 1 / math.sqrt(_fan_in(layer))


def _normal(parameter: Tensor, low: float, high: float, generator: torch.Generator) -> None:
    init.normal_(parameter, std=high / 3**0.5, generator=generator)


@torch.no_grad()
def _zero_biases(layer: Any, generator: torch.Generator) -> None:
    _bounded(_right_bound)(layer, generator)
    if layer.bias is not None:
        layer.bias.zero_()


def _global_biases(layer: Any, generator: torch.Generator) -> None:
    _weight_only(layer, generator)
    if layer.bias is not None:
        init.uniform_(layer.bias, -_right_bound(layer), _right_bound(layer))


@torch.no_grad()
def _weight_only(layer: Any, generator: torch.Generator) -> None:
    layer.weight.uniform_(-_right_bound(layer), _right_bound(layer), generator=generator)


def _always_a_bias(layer: Any, generator: torch.Generator) -> None:
    _weight_only(layer, generator)
    init.uniform_(layer.bias, -_right_bound(layer), _right_bound(layer), generator=generator)


@torch.no_grad()
def _positive(layer: Any, generator: torch.Generator) -> None:
    _bounded(_right_bound)(layer, generator)
    for parameter in layer.parameters():
        parameter.add_(_right_bound(layer)).div_(2)


def _channels(layer: Any) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


@exercise(
    "default-reset",
    inputs=(_linear, _convolution, _bare),
    observe=_reset,
    changes=(0,),
    cases=3,
    rtol32=None,
    right="weights and biases are those of `reset_parameters`, and your generator fixes them.",
    mistakes=(
        Mistake(
            "Your bound is the deviation. A uniform variable on (-b, b) has deviation b / sqrt(3): the default's bound "
            "is 1 / sqrt(fan_in), and its deviation is smaller.",
            _bounded(lambda layer: (3 * _fan_in(layer)) ** -0.5),
        ),
        Mistake(
            "Your draw has the variance 1 / fan_in, that is LeCun's. In the default 1 / sqrt(fan_in) is the bound.",
            _bounded(lambda layer: (3 / _fan_in(layer)) ** 0.5),
        ),
        Mistake(
            "You drew He's weights: that is `kaiming_uniform_` with a = 0. The default passes a = sqrt(5), which makes "
            "the bound 1 / sqrt(fan_in).",
            _bounded(lambda layer: (6 / _fan_in(layer)) ** 0.5, _right_bound),
        ),
        Mistake(
            "You passed a = 5. The default passes the root of five, so that 1 + a² is 6.",
            _bounded(lambda layer: (6 / 26 / _fan_in(layer)) ** 0.5, _right_bound),
        ),
        Mistake(
            "Your interval is b long, from -b/2 to b/2. The default's goes from -b to b.",
            _bounded(lambda layer: _fan_in(layer) ** -0.5 / 2),
        ),
        Mistake(
            "Your bound is 1 / fan_in. The default's has the root.",
            _bounded(lambda layer: 1 / _fan_in(layer)),
        ),
        Mistake(
            "Your bound for the bias comes from the bias itself, whose entries hear nothing. Both get the bound that "
            "belongs to the weight.",
            _bounded(_right_bound, lambda layer: 1.0),
        ),
        Mistake(
            "You drew the biases from torch's global stream. Pass `generator` to both calls.",
            _global_biases,
        ),
        Mistake(
            "Every generator gives the same numbers: you use a fixed seed. Draw from the `generator` that you are "
            "given.",
            lambda layer, generator: _bounded(_right_bound)(layer, torch.Generator().manual_seed(0)),
        ),
        Mistake(
            "You set the biases to zero. That is often wise, but the default draws them.",
            _zero_biases,
        ),
        Mistake(
            "All your numbers are positive: you drew from 0 to b. The interval is symmetric, from -b to b.",
            _positive,
        ),
        Mistake("You left the biases as they were. The default draws them, too.", _weight_only),
        Mistake(
            "Your biases have the bound of a layer with `fan_out` inputs: their own length. A bias has no fan; it "
            "gets the bound of the weights.",
            _bounded(_right_bound, lambda layer: layer.weight.shape[0] ** -0.5),
        ),
        Mistake(
            "You divided by the number of outputs. `weight.shape[0]` counts outputs; a unit sums over the rest.",
            _bounded(lambda layer: layer.weight.shape[0] ** -0.5),
        ),
        Mistake(
            "You forgot the kernel: an output of a convolution sums over all its entries.",
            _bounded(lambda layer: layer.weight.shape[1] ** -0.5),
        ),
        Mistake(
            "You forgot the groups: an output of a grouped convolution sees the inputs of its own group only, as "
            "`weight.shape[1]` says.",
            _bounded(lambda layer: (_channels(layer) * math.prod(layer.weight.shape[2:])) ** -0.5),
        ),
        Mistake(
            "You drew normal numbers. The default is uniform.",
            _bounded(_right_bound, fill=_normal),
        ),
        Mistake(
            "One of the layers has no bias: there `layer.bias` is None, and nothing can be drawn for it.",
            _always_a_bias,
        ),
        Mistake(
            "The draw comes from torch's global stream, as that of `reset_parameters` does. Pass `generator` to every "
            "call that draws.",
            lambda layer, generator: layer.reset_parameters(),
        ),
    ),
)
def default_reset(layer: Any, generator: torch.Generator) -> None:
    """The start of nn.Linear and nn.Conv2d, as PyTorch writes it."""
    init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        fan_in, _ = init._calculate_fan_in_and_fan_out(layer.weight)
        init.uniform_(layer.bias, -(fan_in**-0.5), fan_in**-0.5, generator=generator)


# --- does a network look at its input? ----------------------------------------------------------------


def _network(*, generator: torch.Generator) -> Inputs:
    """A small network with biases that matter, and three examples or more."""
    widths = sizes(4, 3, 8, generator=generator)
    net = mlp(widths, nn.Tanh).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(mean=0.2, std=0.7, generator=generator)
    return net, normal(between(3, 5, generator=generator), widths[0], generator=generator)


def _answers(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The pre-activations of each linear layer."""
    found = []
    for layer in model.children():
        x = layer(x).detach()
        if isinstance(layer, nn.Linear):
            found.append(x)
    return found


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return functional.cosine_similarity(first, second, dim=-1)


def _over_pairs(
    of_pair: Callable[[Tensor, Tensor], Tensor] = _cosine,
    prepare: Callable[[Tensor], Tensor] = lambda z: z,
    diagonal: bool = False,
) -> Function:
    """The mean over pairs of rows of each layer's answers, after a preparation of all of them."""

    def measure(model: nn.Module, x: Tensor) -> Tensor:
        means = []
        for z in map(prepare, _answers(model, x)):
            pairs = of_pair(z[:, None], z[None])
            means.append(pairs.mean() if diagonal else pairs[~torch.eye(len(z), dtype=torch.bool)].mean())
        return torch.stack(means)

    return measure


def _ratio_of_means(model: nn.Module, x: Tensor) -> Tensor:
    means = []
    for z in _answers(model, x):
        products = z @ z.T
        means.append(products[~torch.eye(len(z), dtype=torch.bool)].mean() / products.diagonal().mean())
    return torch.stack(means)


def _activations(model: nn.Module, x: Tensor) -> Tensor:
    *hidden, last = _answers(model, x)
    after = [*(z.tanh() for z in hidden), last]
    return torch.stack([_cosine(z[:, None], z[None])[~torch.eye(len(z), dtype=torch.bool)].mean() for z in after])


def _neighbors(model: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([_cosine(z[1:], z[:-1]).mean() for z in _answers(model, x)])


def _over_triangle(part: Callable[[Tensor], Tensor]) -> Function:
    """The mean over a part of the matrix of all cosines."""
    return lambda model, x: torch.stack([part(_cosine(z[:, None], z[None])).mean() for z in _answers(model, x)])


def _with_the_input(model: nn.Module, x: Tensor) -> Tensor:
    of_input = _cosine(x[:, None], x[None])[~torch.eye(len(x), dtype=torch.bool)].mean()
    return torch.cat([of_input[None], _over_pairs()(model, x)])


def _layer_inputs(model: nn.Module, x: Tensor) -> Tensor:
    *hidden, _last = _activations(model, x)
    return torch.stack([_with_the_input(model, x)[0], *hidden])


def _first_pair(model: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([_cosine(z[0], z[1]) for z in _answers(model, x)])


@exercise(
    "default-cosines",
    inputs=_network,
    cases=4,
    right="in each layer, the mean cosine over all pairs of different examples.",
    mistakes=(
        Mistake(
            "You averaged over the diagonal, too: each example has the cosine 1 with itself. Leave these pairs out.",
            _over_pairs(diagonal=True),
        ),
        Mistake(
            "You compared units, not examples. An example is a row: the cosine is taken over dimension 1 of the "
            "pre-activations.",
            _over_pairs(prepare=lambda z: z.T),
        ),
        Mistake(
            "You subtracted the mean over the batch. What all examples share is just what the cosine shall show.",
            _over_pairs(prepare=lambda z: z - z.mean(0)),
        ),
        Mistake(
            "You subtracted the mean of each example over its units. That is a correlation; the cosine subtracts "
            "nothing.",
            _over_pairs(prepare=lambda z: z - z.mean(1, keepdim=True)),
        ),
        Mistake(
            "You took products and did not divide by the lengths of both vectors.",
            _over_pairs(lambda first, second: (first * second).sum(-1)),
        ),
        Mistake(
            "You divided mean products by one mean square for all. Each pair is divided by its own two lengths.",
            _ratio_of_means,
        ),
        Mistake("You measured after the activation. Take the output of each nn.Linear.", _activations),
        Mistake("You compared neighbors only. Average over all pairs.", _neighbors),
        Mistake(
            "Your triangle of the matrix contains the diagonal, where each example has the cosine 1 with itself.",
            _over_triangle(lambda square: square[torch.ones_like(square).tril().bool()]),
        ),
        Mistake(
            "You averaged over the whole matrix after setting a triangle of it to zero. Average over the pairs alone.",
            _over_triangle(lambda square: square.triu(1)),
        ),
        Mistake("You measured what goes into each nn.Linear. Take its output.", _layer_inputs),
        Mistake("Your list begins with the input. It should begin with the first nn.Linear.", _with_the_input),
        Mistake("You compared the first two examples only. Average over all pairs.", _first_pair),
        Mistake(
            "You averaged absolute values. Answers that point in opposite directions are not alike.",
            _over_pairs(lambda first, second: _cosine(first, second).abs()),
        ),
    ),
)
def default_cosines(model: nn.Module, x: Tensor) -> Tensor:
    """The mean cosine between the pre-activations of different examples, for each linear layer."""
    means = []
    for z in _answers(model, x):
        unit = functional.normalize(z, dim=1)
        count = len(unit)
        means.append(((unit @ unit.T).sum() - count) / (count * (count - 1)))
    return torch.stack(means)
