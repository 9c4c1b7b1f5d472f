"""Exercises about what PyTorch does by default."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.exercises.compare import Outcome, kind
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import (
    between,
    in_place,
    moments,
    normal,
    off_stream,
    origin,
    parameters_of,
    rescaled,
    scramble,
    sizes,
    stream,
    thrice,
    uniform,
)
from tutorial_utils.networks import mlp

# --- read the source ----------------------------------------------------------------------------------


def _shapes(*, generator: torch.Generator) -> Inputs:
    """Sizes of a Bilinear and of a ConvTranspose2d with groups; no two of them agree."""
    n_x, n_y = (10 * size for size in sizes(2, 2, 9, generator=generator))
    c_in, c_out = (12 * size for size in sizes(2, 5, 9, generator=generator))
    return (n_x, n_y), (c_in, c_out, between(3, 5, generator=generator), 2 * between(1, 2, generator=generator))


def _bounds(
    *,
    bilinear: Function = lambda n_x, n_y: n_x,
    transposed: Function = lambda c_in, c_out, k, groups: c_out / groups * k**2,
    factor: float = 1.0,
) -> Function:
    """An answer, right unless told otherwise, from what it takes for the number of inputs of each layer."""
    return lambda two, four: (factor / math.sqrt(bilinear(*two)), factor / math.sqrt(transposed(*four)))


def _of_a_draw(given: Outcome, right: Outcome, *inputs: Any) -> bool:
    """Whether both numbers lie below the bounds as the largest of ten and of many uniform ones do."""
    ten, many = (float(given[name]) / right[name] for name in ("Bilinear", "ConvTranspose2d"))
    return bool(0.6 < ten < 1 and 0.9 < many < 1)


@exercise(
    "default-bias",
    inputs=_shapes,
    rtol=5e-3,
    rtol32=None,
    parts=("Bilinear", "ConvTranspose2d"),
    right="the bias of each gets the bound that its own `reset_parameters` makes of its weight's shape.",
    mistakes={
        "For nn.Bilinear you counted all pairs of inputs. Its source takes `weight.size(1)`, the first argument's size "
        "alone.": _bounds(bilinear=lambda n_x, n_y: n_x * n_y),
        "For nn.Bilinear you took the second argument's size. Its weight has shape (outputs, first, second), and the "
        "source takes `size(1)`.": _bounds(bilinear=lambda n_x, n_y: n_y),
        "For nn.Bilinear you took the number of outputs. A unit sums over inputs; its source takes the first "
        "argument's size, `weight.size(1)`.": _bounds(bilinear=lambda n_x, n_y: 10),
        "For nn.Bilinear you added both sizes. The source takes `size(1)` of a weight of shape (outputs, first, "
        "second).": _bounds(bilinear=lambda n_x, n_y: n_x + n_y),
        "For the transposed convolution you counted input channels, as in an ordinary one. Its weight has shape "
        "(inputs, outputs / groups, k, k), and fan_in is computed from `size(1)` on.": _bounds(
            transposed=lambda c_in, c_out, k, groups: c_in / groups * k**2
        ),
        "For the transposed convolution you counted all input channels. Its weight has shape (inputs, outputs / "
        "groups, k, k): look at `size(1)`.": _bounds(transposed=lambda c_in, c_out, k, groups: c_in * k**2),
        "For the transposed convolution you forgot the groups: `size(1)` counts the outputs of one group.": _bounds(
            transposed=lambda c_in, c_out, k, groups: c_out * k**2
        ),
        "For the transposed convolution you forgot the kernel: its entries belong to the fan.": _bounds(
            transposed=lambda c_in, c_out, k, groups: c_out / groups
        ),
        "Those are standard deviations. The largest value of a uniform variable is sqrt(3) times its standard "
        "deviation.": _bounds(factor=3**-0.5),
        "Those are He's bounds, with the 6 under the root. The default's `a` turns the 6 into a 1, and the bias is "
        "drawn from the bare 1 / sqrt(fan_in).": _bounds(factor=6**0.5),
        "For the transposed convolution you counted one side of the kernel. It has k times k entries.": _bounds(
            transposed=lambda c_in, c_out, k, groups: c_out / groups * k
        ),
        "You left out the root: the bound is 1 / sqrt(fan_in).": lambda two, four: [
            bound**2 for bound in _bounds()(two, four)
        ],
        "You measured the largest entry of a draw. It comes close to the bound and stays below it: read the bound in "
        "the source.": When(_of_a_draw),
    },
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
    """A narrow network, so that the biases show early, a slope whose square is not small, and a layer."""
    n, slope = between(8, 12, generator=generator), uniform(0.4, 0.7, generator=generator)
    return n, slope, between(2, 4, generator=generator)


def _kept(slope: float) -> float:
    """The share of a second moment that a leaky ReLU leaves."""
    return (1 + slope**2) / 2


def _floor(
    kept: Function = _kept,
    *,
    weight: float = 1 / 3,
    bias: float = 1 / 3,
    first: Function = lambda n, slope: 1.0,
    more: int = 0,
) -> Function:
    """An answer, right unless told otherwise, by iteration.

    ``weight`` and ``bias`` are n times the variance of one, ``first`` is what the first layer receives, and ``more``
    counts layers too many.
    """

    def compute(n: int, slope: float, layer: int) -> tuple[float, float]:
        shrink = weight * kept(slope)
        q = weight * first(n, slope) + bias / n
        for _ in range(layer - 1 + more):
            q = shrink * q + bias / n
        return bias / n / (1 - shrink), q

    return compute


@exercise(
    "default-floor",
    inputs=_leaky,
    rtol=5e-3,
    rtol32=None,
    parts=("floor", "q"),
    right="a third of what the activation leaves, plus the biases, in every layer.",
    mistakes={
        "You took the factor of ReLU, one sixth. A leaky ReLU also keeps the negative half, times the square of its "
        "slope.": _floor(lambda slope: 0.5),
        "You added the slope itself. A second moment is multiplied by its square.": _floor(
            lambda slope: (1 + slope) / 2
        ),
        "You gave each side of zero the whole second moment. Each has one half of it.": _floor(
            lambda slope: 2 * _kept(slope)
        ),
        "Your activation changes nothing: this is the floor without one.": _floor(lambda slope: 1.0),
        "Your floor is what the biases add in one layer. A part of that reaches the layers above, too: at the floor, q "
        "is what is left of q plus what the biases add.": lambda n, slope, layer: (
            1 / (3 * n),
            _floor()(n, slope, layer)[1],
        ),
        "These are second moments behind the activation. The exercise asks for those of the "
        "pre-activations.": lambda n, slope, layer: [_kept(slope) * value for value in _floor()(n, slope, layer)],
        "You began without the biases: the first layer has them, too.": _floor(first=lambda n, slope: 1 - 1 / n),
        "Your q belongs to the layer after: from layer 1 to layer l there are l - 1 steps.": _floor(more=1),
        "Your q belongs to the layer before: layer 1 already multiplies the input by one third.": _floor(more=-1),
        "In the first layer you halved the input. No activation stands before it.": _floor(
            first=lambda n, slope: _kept(slope)
        ),
        "You took 1/n for the variance of the biases. Uniform up to 1 / sqrt(n), they have a third of it.": _floor(
            bias=1.0
        ),
        "You took 1 for fan_in Var[w]. The bound is 1 / sqrt(n), and a uniform variable has a third of its bound's "
        "square.": _floor(weight=1.0),
        "You left out the biases: then there is no floor.": _floor(bias=0.0),
    },
)
def default_floor(n: int, slope: float, layer: int) -> tuple[float, float]:
    """The fixed point, and the second moment in a layer, by the distance that shrinks by one factor per layer."""
    shrink = (1 + slope**2) / 6
    floor = 1 / (3 * n) / (1 - shrink)
    return floor, floor + (1 / 3 + 1 / (3 * n) - floor) * shrink ** (layer - 1)


# --- a reset with a generator -------------------------------------------------------------------------


def _linear(*, generator: torch.Generator, bias: bool = True) -> Inputs:
    n_in = between(8, 12, generator=generator)
    return scramble(nn.Linear(n_in, 150 * n_in, bias=bias), generator=generator), stream(generator=generator)


def _bare(*, generator: torch.Generator) -> Inputs:
    return _linear(generator=generator, bias=False)


def _convolution(*, generator: torch.Generator) -> Inputs:
    """Two groups and an uneven kernel."""
    c_in = 2 * between(2, 3, generator=generator)
    layer = nn.Conv2d(c_in, 300 * c_in, (2, 3), groups=2)
    return scramble(layer, generator=generator), stream(generator=generator)


def _drawn(answer: Function, layer: nn.Module, generator: torch.Generator) -> list[Any]:
    """The parameters that an answer gives to three copies of a layer, and whether the global stream stays."""
    before = torch.get_rng_state()
    layers = thrice(lambda numbers: answer(copy.deepcopy(layer), numbers), generator)
    parameters = [parameters_of(one) if isinstance(one, nn.Module) else one for one in layers]
    return [parameters, torch.equal(before, torch.get_rng_state())]


def _both_distributions(raw: list[Any], *inputs: Any) -> Outcome:
    """The distribution of the weight and of the bias, where the numbers come from, and what else has changed."""
    draws, untouched = raw
    if not isinstance(draws[0], dict):
        raise WrongType(f"Initialize the layer in place, or return it; yours returned a {kind(draws[0])}.")
    both = [one.flatten()[:8] for one in draws[0].values()]
    return {
        **_distribution_of("weight", draws),
        **_distribution_of("bias", draws),
        "weight and bias differ": len(both) == 1 or not torch.equal(*both),
        "the global stream is left alone": untouched,
    }


def _distribution_of(name: str, raw: list[dict[str, Tensor]]) -> Outcome:
    draws = [parameters[name] for parameters in raw if parameters.get(name) is not None]
    found = moments(draws[0]) if draws else dict.fromkeys(("variance", "mean", "kurtosis"))
    source = origin(*draws) if len(draws) == len(raw) else None
    fits = bool(draws) and draws[0].dim() > 1 and rescaled(draws[0], draws[-1])
    named = {f"{what} of {name}": value for what, value in found.items()}
    return named | {f"{name} comes from": source, f"{name} was rescaled to fit": fits}


def _fan_in(layer: Any) -> int:
    return int(layer.weight[0].numel())


def _initialize(
    fan: Function = _fan_in,
    *,
    factor: float = 1.0,
    weight: Function = init.uniform_,
    bias: Function = init.uniform_,
) -> Function:
    """An answer, right unless told otherwise; ``weight`` and ``bias`` fill a parameter, given the interval."""

    def reset(layer: Any, generator: torch.Generator) -> None:
        bound = factor / math.sqrt(fan(layer))
        weight(layer.weight, -bound, bound, generator=generator)
        if layer.bias is not None:
            bias(layer.bias, -bound, bound, generator=generator)

    return reset


def _normal(parameter: Tensor, low: float, high: float, generator: torch.Generator) -> None:
    init.normal_(parameter, std=high / 3**0.5, generator=generator)


def _exactly(parameter: Tensor, low: float, high: float, generator: torch.Generator) -> None:
    init.uniform_(parameter, low, high, generator=generator)
    parameter.data *= high / 3**0.5 / parameter.data.std()


def _positive(parameter: Tensor, low: float, high: float, generator: torch.Generator) -> None:
    init.uniform_(parameter, 0, high, generator=generator)


def _always_a_bias(layer: Any, generator: torch.Generator) -> None:
    for parameter in (layer.weight, layer.bias):
        init.uniform_(parameter, -(_fan_in(layer) ** -0.5), _fan_in(layer) ** -0.5, generator=generator)


def _by_the_global_stream(layer: Any, generator: torch.Generator) -> None:
    torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
    layer.reset_parameters()


def _restarted(layer: Any, generator: torch.Generator) -> None:
    """Draws each parameter from the same place of the stream."""
    _initialize(
        weight=lambda weight, low, high, generator: init.uniform_(weight, low, high, generator=generator.clone_state())
    )(layer, generator)


def _channels(layer: Any) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


@exercise(
    "default-reset",
    inputs=(_linear, _convolution, _bare),
    observe=in_place(_drawn),
    describe=_both_distributions,
    changes=(0,),
    cases=3,
    rtol32=None,
    right="weights and biases are those of `reset_parameters`, and your generator determines them.",
    mistakes={
        "Your bound is the standard deviation. A uniform variable on (-b, b) has standard deviation b / sqrt(3): the "
        "default's bound is 1 / sqrt(fan_in), and its standard deviation is smaller.": _initialize(factor=3**-0.5),
        "Your draw has the variance 1 / fan_in, that is LeCun's. In the default 1 / sqrt(fan_in) is the "
        "bound.": _initialize(factor=3**0.5),
        "You drew He's weights: that is `kaiming_uniform_` with a = 0. The default passes a = sqrt(5), which makes the "
        "bound 1 / sqrt(fan_in).": _initialize(
            weight=lambda weight, low, high, generator: init.kaiming_uniform_(weight, a=0, generator=generator)
        ),
        "You passed a = 5. The default passes the root of five, so that 1 + a² is 6.": _initialize(
            weight=lambda weight, low, high, generator: init.kaiming_uniform_(weight, a=5, generator=generator)
        ),
        "Your interval is b long, from -b/2 to b/2. The default's goes from -b to b.": _initialize(factor=0.5),
        "Your bound is 1 / fan_in. The default's has the root.": _initialize(lambda layer: _fan_in(layer) ** 2),
        "Your bound for the bias comes from the bias itself, whose entries have no inputs. Both get the bound that "
        "belongs to the weight.": _initialize(
            bias=lambda bias, low, high, generator: init.uniform_(bias, -1, 1, generator=generator)
        ),
        "You drew the biases from torch's global stream. Pass `generator` to both calls.": _initialize(
            bias=lambda bias, low, high, generator: init.uniform_(bias, low, high)
        ),
        "You set the biases to zero. That is often wise, but the default draws them.": _initialize(
            bias=lambda bias, low, high, generator: init.zeros_(bias)
        ),
        "All your numbers are positive: you drew from 0 to b. The interval is symmetric, from -b to b.": _initialize(
            weight=_positive, bias=_positive
        ),
        "You left the biases as they were. The default draws them, too.": _initialize(
            bias=lambda bias, low, high, generator: bias
        ),
        "Your biases have the bound of a layer with `fan_out` inputs: their own length. A bias has no fan; it gets the "
        "bound of the weights.": _initialize(
            bias=lambda bias, low, high, generator: init.uniform_(
                bias, -(len(bias) ** -0.5), len(bias) ** -0.5, generator=generator
            )
        ),
        "You divided by the number of outputs. `weight.shape[0]` counts outputs; a unit sums over "
        "the rest.": _initialize(lambda layer: layer.weight.shape[0]),
        "You forgot the kernel: an output of a convolution sums over all its entries.": _initialize(
            lambda layer: layer.weight.shape[1]
        ),
        "You forgot the groups: an output of a grouped convolution sees the inputs of its own group only, as "
        "`weight.shape[1]` says.": _initialize(lambda layer: _channels(layer) * math.prod(layer.weight.shape[2:])),
        "You drew normal numbers. The default is uniform.": _initialize(weight=_normal, bias=_normal),
        "You rescaled the weights that you drew until their standard deviation was exactly right. The distribution has "
        "this standard deviation; a sample has more or less by chance, and stays within the bound.": _initialize(
            weight=_exactly
        ),
        "One of the layers has no bias: there `layer.bias` is None, and nothing can be drawn for it.": _always_a_bias,
        "You seeded torch's global stream. Whoever draws from it next gets other numbers than before: draw from "
        "`generator` itself.": _by_the_global_stream,
        "Weight and bias begin with the same numbers: you restarted the stream between them. Hand the one `generator` "
        "to both calls.": _restarted,
        "You divided by the groups twice. `weight.shape[1]` counts the inputs of one group already.": _initialize(
            lambda layer: _fan_in(layer) / getattr(layer, "groups", 1)
        ),
        "You took fan_out, the number of outputs times the kernel. A unit sums over fan_in terms, the entries of "
        "`weight[0]`.": _initialize(lambda layer: layer.weight[:, 0].numel()),
        **off_stream(_initialize()),
    },
)
def default_reset(layer: Any, generator: torch.Generator) -> None:
    """The initialization of nn.Linear and nn.Conv2d, as PyTorch writes it."""
    init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        fan_in, _ = init._calculate_fan_in_and_fan_out(layer.weight)
        init.uniform_(layer.bias, -(fan_in**-0.5), fan_in**-0.5, generator=generator)


# --- the way back -------------------------------------------------------------------------------------


def _deep(*, generator: torch.Generator) -> Inputs:
    return uniform(0.3, 0.8, generator=generator), between(3, 12, generator=generator)


@exercise(
    "default-way-back",
    inputs=_deep,
    rtol=1e-3,
    rtol32=None,
    predict=((0.0, 10),),
    right="a third from the weights, (1 + slope²)/2 from the activation, in every layer, and no bias keeps it up.",
    mistakes={
        "You took ReLU's factor, one sixth. A leaky ReLU lets the gradient of the negative half pass, too, multiplied "
        "by the slope.": lambda slope, layers: 6.0**layers,
        "You left out the weights, or took the bound of their distribution for its standard deviation. Their variance "
        "is a third of 1/n, so each layer also divides the second moment by 3.": lambda slope, layers: (
            (2 / (1 + slope**2)) ** layers
        ),
        "You left out the activation. It lets only a part of the gradient pass.": lambda slope, layers: 3.0**layers,
        "You added the slope itself. A second moment is multiplied by its square.": lambda slope, layers: (
            (6 / (1 + slope)) ** layers
        ),
        "That is the share that is left. The exercise asks how many times smaller the second moment is: divide the "
        "other way around.": lambda slope, layers: ((1 + slope**2) / 6) ** layers,
        "You stopped one layer short. The gradient passes the weights and the activation of each of the `layers` "
        "layers.": lambda slope, layers: (6 / (1 + slope**2)) ** (layers - 1),
        "That is the factor of one layer.": lambda slope, layers: 6 / (1 + slope**2),
        "You multiplied the factor of one layer by the number of layers. Factors multiply: raise it to that "
        "power.": lambda slope, layers: layers * 6 / (1 + slope**2),
        "That is the factor on the size of the gradient. The exercise asks for that on its second "
        "moment.": lambda slope, layers: (6 / (1 + slope**2)) ** (layers / 2),
    },
)
def default_way_back(slope: float, layers: int) -> float:
    """By which factor the second moment of a gradient falls over some layers."""
    return float((6 / (1 + slope**2)) ** layers)


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


def _all_outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The outputs of linear layers and activations."""
    return [x := layer(x).detach() for layer in model.children()]


def _activations(model: nn.Module, x: Tensor) -> list[Tensor]:
    *hidden, last = _answers(model, x)
    return [*(z.tanh() for z in hidden), last]


def _cosines(z: Tensor) -> Tensor:
    """The cosine of each pair of rows."""
    unit = functional.normalize(z, dim=1)
    return unit @ unit.T


def _different(square: Tensor) -> Tensor:
    """The mean over all pairs of different examples."""
    return square[~torch.eye(len(square), dtype=torch.bool)].mean()


def _alike(average: Function = _different, *, square: Function = _cosines, of: Function = _answers) -> Function:
    """An answer, right unless told otherwise: an average over the square of all pairs, for each layer."""
    return lambda model, x: torch.stack([average(square(z)) for z in of(model, x)])


@exercise(
    "default-cosines",
    inputs=_network,
    cases=4,
    right="in each layer, the mean cosine over all pairs of different examples.",
    mistakes={
        "You averaged over the diagonal, too: each example has the cosine 1 with itself. Leave these pairs "
        "out.": _alike(torch.mean),
        "You compared units, not examples. An example is a row: the cosine is taken over dimension 1 of the "
        "pre-activations.": _alike(square=lambda z: _cosines(z.T)),
        "You subtracted the mean over the batch. What all examples share is exactly what the cosine is meant to "
        "show.": _alike(square=lambda z: _cosines(z - z.mean(0))),
        "You subtracted the mean of each example over its units. That is a correlation; the cosine subtracts "
        "nothing.": _alike(square=torch.corrcoef),
        "You gave a number for each activation, too. Only the outputs of the linear layers count.": lambda model, x: (
            torch.stack([_different(_cosines(z)) for z in _all_outputs(model, x)])
        ),
        "You summed over the pairs. Take their mean.": lambda model, x: _alike()(model, x) * len(x) * (len(x) - 1) / 2,
        "You compared the others with the first example only. Average over all pairs.": _alike(
            lambda square: square[0, 1:].mean()
        ),
        "You took products and did not divide by the lengths of both vectors.": _alike(square=lambda z: z @ z.T),
        "You divided mean products by one mean square for all. Each pair is divided by its own two lengths.": _alike(
            square=lambda z: z @ z.T / z.square().sum(1).mean()
        ),
        "You measured after the activation. Take the output of each nn.Linear.": _alike(of=_activations),
        "You compared neighbors only. Average over all pairs.": _alike(lambda square: square.diagonal(1).mean()),
        "Your triangle of the matrix contains the diagonal, where each example has the cosine 1 with itself.": _alike(
            lambda square: square[torch.ones_like(square).tril().bool()].mean()
        ),
        "You averaged over the whole matrix after setting a triangle of it to zero. Average over the pairs "
        "alone.": _alike(lambda square: square.triu(1).mean()),
        "You measured what goes into each nn.Linear. Take its output.": _alike(
            of=lambda model, x: [x, *_activations(model, x)[:-1]]
        ),
        "Your list begins with the input. It should begin with the first nn.Linear.": _alike(
            of=lambda model, x: [x, *_answers(model, x)]
        ),
        "You compared the first two examples only. Average over all pairs.": _alike(lambda square: square[0, 1]),
        "You averaged absolute values. Answers that point in opposite directions are not alike.": _alike(
            square=lambda z: _cosines(z).abs()
        ),
        "You divided by the length of each unit over the batch. The cosine of two examples divides by the lengths of "
        "the examples, the rows: dimension 1.": _alike(
            square=lambda z: functional.normalize(z, dim=0) @ functional.normalize(z, dim=0).T
        ),
        "You left out the diagonal and still divided by all n² places. There are n (n - 1) pairs of different "
        "examples.": lambda model, x: _alike()(model, x) * (len(x) - 1) / len(x),
        "You measured after the activations only, so the linear layer at the end is missing. Take the output of each "
        "nn.Linear.": lambda model, x: torch.stack([_different(_cosines(z)) for z in _activations(model, x)[:-1]]),
    },
)
def default_cosines(model: nn.Module, x: Tensor) -> Tensor:
    """The mean cosine between the pre-activations of different examples, for each linear layer."""
    means: Tensor = _alike()(model, x)
    return means
