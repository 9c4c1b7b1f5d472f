"""Exercises about He's initialization."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Estimate, Outcome, agree, kind
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import (
    between,
    distribution,
    fans,
    fill_thrice,
    in_place,
    linear_layers,
    moments,
    normal,
    off_stream,
    origin,
    sizes,
    stream,
    thrice,
    uniform,
    without,
)


def _gain2(slope: float) -> float:
    """The squared gain of a leaky ReLU."""
    return 2 / (1 + slope**2)


# --- what torch does ----------------------------------------------------------------------------------


def _call(*, generator: torch.Generator) -> Inputs:
    """The shape of a weight, and a slope so large that it shows."""
    n_out = 10 * between(10, 19, generator=generator)
    return n_out, 4 * n_out, uniform(0.6, 0.9, generator=generator)


@exercise(
    "he-ignored-slope",
    inputs=_call,
    rtol32=None,
    parts=("first call", "second call"),
    rtol=3e-3,
    right="`a` counts for `leaky_relu` only, which is the default, and `mode` picks the fan.",
    mistakes={
        "First call: you let `a` count. `calculate_gain` looks at it for `leaky_relu` only, and silently "
        "ignores it for `relu`.": lambda n_out, n_in, a: {"first call": math.sqrt(_gain2(a) / n_out)},
        "First call: you divided by fan_in. The call says fan_out, which for a matrix is its number "
        "of rows.": lambda n_out, n_in, a: {"first call": math.sqrt(2 / n_in)},
        "First call: that is the variance. `kaiming_normal_` turns it into a standard deviation; "
        "give that.": lambda n_out, n_in, a: {"first call": 2 / n_out},
        "First call: that is the bound of a uniform draw. `kaiming_normal_` draws normal numbers: give their standard "
        "deviation.": lambda n_out, n_in, a: {"first call": math.sqrt(6 / n_out)},
        "Second call: that is the bound of a uniform draw. `kaiming_normal_` draws normal numbers: give their standard "
        "deviation.": lambda n_out, n_in, a: {"second call": math.sqrt(3 * _gain2(a) / n_in)},
        "Second call: you took `relu` for the default. It is `leaky_relu`, for which `a` "
        "counts.": lambda n_out, n_in, a: {"second call": math.sqrt(2 / n_in)},
        "Second call: you divided by fan_out. The default mode is fan_in.": lambda n_out, n_in, a: {
            "second call": math.sqrt(_gain2(a) / n_out)
        },
        "Second call: the slope enters squared, 2 / (1 + a²).": lambda n_out, n_in, a: {
            "second call": math.sqrt(2 / (1 + a) / n_in)
        },
        "Second call: you took the gain for 1. That is `nonlinearity='linear'`; the default is "
        "`leaky_relu`.": lambda n_out, n_in, a: {"second call": math.sqrt(1 / n_in)},
    },
)
def he_ignored_slope(n_out: int, n_in: int, a: float) -> tuple[float, float]:
    """The standard deviations of two calls of kaiming_normal_."""
    relu, leaky = init.calculate_gain("relu", a), init.calculate_gain("leaky_relu", a)
    return relu / math.sqrt(n_out), leaky / math.sqrt(n_in)


# --- the draw -----------------------------------------------------------------------------------------


def _weight(low: int, kernel: Sequence[int], mode: str, *, generator: torch.Generator) -> Inputs:
    """A weight with at least low outputs, the slope of the negative side, a mode, and a stream of numbers."""
    c_out = between(low, low + 15, generator=generator)
    weight = normal(c_out, 4 * c_out, *kernel, generator=generator)
    return weight, between(30, 36, generator=generator) / 100, mode, stream(generator=generator)


def _fan(weight: Tensor, mode: str) -> float:
    return fans(weight)[mode == "fan_out"]


def _draw(
    gain2: Function = _gain2,
    *,
    fan: Function = _fan,
    std: Function = lambda gain2, fan: (gain2 / fan) ** 0.5,
    exactly: bool = False,
) -> Function:
    """An answer that fills a weight with normal numbers, right unless told otherwise."""

    def fill(weight: Tensor, slope: float, mode: str, generator: torch.Generator) -> Tensor:
        deviation = std(gain2(slope), fan(weight, mode))
        init.normal_(weight, std=deviation, generator=generator)
        if exactly:
            weight.data *= deviation / weight.data.std()
        return weight

    return fill


@exercise(
    "he-draw",
    inputs=tuple(
        partial(_weight, low, kernel, mode)
        for low, kernel in ((110, ()), (45, (3, 2)))
        for mode in ("fan_in", "fan_out")
    ),
    observe=without("torch.nn.init", observe=in_place(fill_thrice)),
    describe=distribution,
    changes=(0,),
    cases=4,
    right="gain, fan and shape of the distribution are He's, for matrices and kernels.",
    mistakes={
        "You exchanged the fans. fan_in counts the terms of one unit's sum: the entries of `weight[0]`.": _draw(
            fan=lambda weight, mode: fans(weight)[mode == "fan_in"]
        ),
        "You used fan_in whatever `mode` says.": _draw(fan=lambda weight, mode: _fan(weight, "fan_in")),
        "You took the mean of both fans. That is Glorot's compromise; He takes the one that `mode` names.": _draw(
            fan=lambda weight, mode: sum(fans(weight)) / 2
        ),
        "You counted channels. A unit of a convolution sums over a whole kernel of each: the fan contains the "
        "number of its entries.": _draw(fan=lambda weight, mode: weight.shape[mode == "fan_in"]),
        "You left out the gain. The activation throws away nearly half of the second moment; the weights must make "
        "up for it.": _draw(lambda slope: 1),
        "You left out the factor 2. Only the negative half is multiplied by the slope: the gain is 2 / (1 + "
        "slope²).": _draw(lambda slope: 1 / (1 + slope**2)),
        "You used ReLU's gain. The negative side passes a share of the signal, so 2 becomes 2 / (1 + slope²).": _draw(
            lambda slope: 2
        ),
        "You divided by 1 + slope. Second moments scale with the square of the slope: 1 + slope².": _draw(
            lambda slope: 2 / (1 + slope)
        ),
        "You multiplied by 1 + slope². The more the negative side passes, the smaller the weights may be: "
        "divide.": _draw(lambda slope: 2 * (1 + slope**2)),
        "You counted the kernel for fan_in only. An input feeds a whole kernel of each output channel, so fan_out "
        "contains the number of its entries, too.": _draw(
            fan=lambda weight, mode: _fan(weight, mode) if mode == "fan_in" else weight.shape[0]
        ),
        "You divided by (1 + slope)². Each side keeps its own share, 1 and slope²: divide by their sum.": _draw(
            lambda slope: 2 / (1 + slope) ** 2
        ),
        "You used the variance as the standard deviation. Take its root.": _draw(std=lambda gain2, fan: gain2 / fan),
        "You squared the gain in the standard deviation. It is squared in the variance; the standard deviation has it "
        "once.": _draw(std=lambda gain2, fan: gain2 / fan**0.5),
        "Your standard deviation is the bound of the uniform draw, sqrt(3) times too large.": _draw(
            std=lambda gain2, fan: (3 * gain2 / fan) ** 0.5
        ),
        "You rescaled the numbers that you drew until their standard deviation was exactly right. The distribution has "
        "this standard deviation; a sample has more or less by chance.": _draw(exactly=True),
        "You drew uniform numbers. The exercise asks for normal ones.": lambda weight, slope, mode, generator: (
            init.kaiming_uniform_(weight, a=slope, mode=mode, generator=generator)
        ),
        **off_stream(_draw()),
    },
)
def he_draw(weight: Tensor, slope: float, mode: str, generator: torch.Generator) -> Tensor:
    """He's normal draw, by PyTorch."""
    return init.kaiming_normal_(weight, a=slope, mode=mode, generator=generator)  # type: ignore[arg-type]


# --- how exact? ---------------------------------------------------------------------------------------


def _budget(*, generator: torch.Generator) -> Inputs:
    """A number of layers, and a factor that is not close to one."""
    return between(8, 60, generator=generator), uniform(3, 20, generator=generator)


@exercise(
    "he-scale-budget",
    inputs=_budget,
    rtol=5e-4,
    rtol32=None,
    predict=((30, 10.0),),
    right="the scale enters once per layer and squared, so the allowed error falls like one over the depth.",
    mistakes={
        "You took the root for `layers` factors, not for twice as many. The weights are multiplied by s, so each layer "
        "multiplies the second moment by s².": lambda layers, factor: factor ** (1 / layers),
        "You divided the allowed factor among the layers. Factors multiply: take a root.": lambda layers, factor: (
            1 + (factor - 1) / (2 * layers)
        ),
        "That is the inverse of the scale. The second moment may grow here, so the scale is above "
        "1.": lambda layers, factor: factor ** (-1 / (2 * layers)),
        "That is the scale for a single layer. With `layers` layers, the factor of the second moment is s to the power "
        "2 layers.": lambda layers, factor: factor**0.5,
        "That is the logarithm of the scale. Take its exponential.": lambda layers, factor: (
            math.log(factor) / (2 * layers)
        ),
        "You halved the logarithm once too often: s² is the factor of one layer, so ln s is ln f over twice the number "
        "of layers.": lambda layers, factor: factor ** (1 / (4 * layers)),
        "Your 2 stands on the wrong side: after `layers` layers the second moment is multiplied by s to the power "
        "2 layers, so take the root of that order.": lambda layers, factor: factor ** (2 / layers),
        "That is the first order of the answer. It is close where the budget of a layer is small, but take the "
        "exponential of ln f over 2 layers.": lambda layers, factor: 1 + math.log(factor) / (2 * layers),
        "You counted one layer too few: each of the `layers` layers multiplies by s².": lambda layers, factor: (
            factor ** (1 / (2 * layers - 2))
        ),
    },
)
def he_scale_budget(layers: int, factor: float) -> float:
    """By how much all weights may be too large, if the second moment may grow by a factor."""
    return float(factor ** (1 / (2 * layers)))


# --- the forward profile ------------------------------------------------------------------------------


def _net(mode: str, *, generator: torch.Generator) -> Inputs:
    count = between(4, 6, generator=generator)
    widths = [8 * size for size in sizes(count, 2, 20, generator=generator)]
    return widths, mode, between(3, 6, generator=generator) / 10, between(15, 40, generator=generator) / 10


def _layers(
    *,
    first: Function = lambda slope: 1,
    share: Function = lambda slope: (1 + slope**2) / 2,
    gain2: Function = _gain2,
    fan: Function = lambda mode, n_in, n_out: n_in if mode == "fan_in" else n_out,
    terms: Function = lambda n_in, n_out: n_in,
) -> Function:
    """An answer, right unless told otherwise; the first layer receives ``first``, the later ones ``share``."""

    def profile(widths: Sequence[int], mode: str, slope: float, q0: float) -> Tensor:
        result, arriving = [], q0 * first(slope)
        for n_in, n_out in pairwise(widths):
            result.append(arriving * terms(n_in, n_out) * gain2(slope) / fan(mode, n_in, n_out))
            arriving = result[-1] * share(slope)
        return torch.tensor(result)

    return profile


def _last_whole(widths: Sequence[int], mode: str, slope: float, q0: float) -> Tensor:
    """An answer whose last layer receives all of what comes out below."""
    q: Tensor = _layers()(widths, mode, slope, q0)
    return torch.cat([q[:-1], q[-1:] * _gain2(slope)])


@exercise(
    "he-profile",
    inputs=tuple(partial(_net, mode) for mode in ("fan_in", "fan_out")),
    rtol32=None,
    right="the first layer lacks an activation before it, and then only the widths count.",
    mistakes={
        "Your numbers are too small by what one activation throws away. Either you let the first layer lose it, "
        "although its input is x, or these are the second moments behind the activations, not before them.": _layers(
            first=lambda slope: (1 + slope**2) / 2
        ),
        "You let every layer have the second moment of the input. Under He's start fan_in keeps it flat from layer "
        "1 on, but before layer 1 nothing is thrown away, and fan_out lets it follow the widths.": lambda *net: (
            torch.full((len(net[0]) - 1,), net[3])
        ),
        "You began with 1 in place of `q0`.": lambda widths, mode, slope, q0: _layers()(widths, mode, slope, 1.0),
        "You forgot what the activation throws away: every layer but the first receives the share "
        "(1 + slope²)/2.": _layers(share=lambda slope: 1),
        "Your activation keeps one half, as ReLU does. The negative side passes slope² of its half, too.": _layers(
            share=lambda slope: 0.5
        ),
        "Your weights have ReLU's gain, 2. He's condition for a leaky unit is 2 / (1 + slope²).": _layers(
            gain2=lambda slope: 2
        ),
        "You exchanged fan_in and fan_out in the variance.": _layers(
            fan=lambda mode, n_in, n_out: n_out if mode == "fan_in" else n_in
        ),
        "You summed over fan_out terms. Going forward, a unit sums over its inputs, whatever the variance was divided "
        "by.": _layers(terms=lambda n_in, n_out: n_out),
        "You used the mean of both fans. That is Glorot's variance; He's initialization takes one of them.": _layers(
            fan=lambda mode, n_in, n_out: (n_in + n_out) / 2
        ),
        "You took fan_in whatever `mode` says.": _layers(fan=lambda mode, n_in, n_out: n_in),
        "You took fan_out whatever `mode` says.": _layers(fan=lambda mode, n_in, n_out: n_out),
        "Your weights have no gain. He's variance is 2 / (1 + slope²) over the fan.": _layers(gain2=lambda slope: 1),
        "Your list begins with the input. It should begin with layer 1.": lambda *net: torch.tensor(
            [net[3], *_layers()(*net)]
        ),
        "You took roots: these are root mean squares. The exercise asks for second moments.": lambda *net: _layers()(
            *net
        ).sqrt(),
        "You answered for ReLU: its gain is 2 and it keeps one half. A leaky unit of this slope has the gain "
        "2 / (1 + slope²), and keeps (1 + slope²)/2.": _layers(gain2=lambda slope: 2, share=lambda slope: 0.5),
        "Your last layer is too large: that no activation follows it does not matter for its z, and what it receives "
        "has passed one.": _last_whole,
    },
)
def he_profile(widths: Sequence[int], mode: str, slope: float, q0: float) -> Tensor:
    """The second moment of the pre-activations in each layer, on average over draws."""
    result: Tensor = _layers()(widths, mode, slope, q0)
    return result


# --- the cosine map -----------------------------------------------------------------------------------


def _cosines(*, generator: torch.Generator) -> Inputs:
    c = 1.9 * torch.rand(6, generator=generator, dtype=torch.float64) - 0.95
    return c, uniform(0.2, 0.6, generator=generator)


def _arc(c: Tensor) -> Tensor:
    return (1 - c**2).sqrt() + (math.pi - c.acos()) * c


def _map(
    *,
    square: Function = lambda slope: (1 - slope) ** 2,
    line: Function = lambda slope: slope,
    kept: Function = lambda slope: (1 + slope**2) / 2,
    arc: Function = _arc,
) -> Function:
    """An answer, right unless told otherwise: the mean product of two leaky units over q, divided by what is kept."""
    return lambda c, slope: (square(slope) * arc(c) / (2 * math.pi) + line(slope) * c) / kept(slope)


@exercise(
    "he-cosine-map",
    inputs=_cosines,
    right="at slope 0 it is the arc-cosine map, and at slope 1 every angle stays.",
    mistakes={
        "That is ReLU's map. The negative side of a leaky unit passes a share of the signal and keeps "
        "angles open.": lambda c, slope: _arc(c) / math.pi,
        "You did not divide by the second moment of the output. It is (1 + slope²)/2 of q, so two equal inputs would "
        "not give cosine 1.": _map(kept=lambda slope: 1),
        "You divided by one half, ReLU's share. A leaky unit keeps (1 + slope²)/2 of the second moment.": _map(
            kept=lambda slope: 0.5
        ),
        "You mixed ReLU's map and the identity in the shares 1 - slope and slope. Products of two units are not linear "
        "in the slope: write out the four quadrants.": lambda c, slope: (1 - slope) * _arc(c) / math.pi + slope * c,
        "Together, the quadrants give 1 - slope in front of ReLU's part, and should give its square. Where both inputs "
        "are negative, the product of two units is multiplied by slope²: did you write slope?": _map(
            square=lambda slope: 1 - slope
        ),
        "The linear term is missing, slope times c: what both sides pass alike. Where the signs differ, the cosine is "
        "-c, not c.": _map(line=lambda slope: 0),
        "You used arccos c where π - arccos c belongs: parallel inputs are on together, and θ = 0 for them.": _map(
            arc=lambda c: (1 - c**2).sqrt() + c.acos() * c
        ),
        # In the next two, the quadrants with different signs enter with 2 slope or -slope in place of -2 slope.
        "Where the signs differ, the product of two units is negative: subtract these quadrants.": _map(
            square=lambda slope: (1 + slope) ** 2, line=lambda slope: -slope
        ),
        "You counted one of the two quadrants in which the signs differ. Either input may be the negative one.": _map(
            square=lambda slope: 1 - slope + slope**2, line=lambda slope: slope / 2
        ),
        "You left out the sine, the root of 1 - c².": _map(arc=lambda c: (math.pi - c.acos()) * c),
        "Where both are negative, you took the mean at -c. Two negative numbers have the cosine c of the positive "
        "ones, so K(c) is multiplied by slope².": _map(line=lambda slope: slope - slope**2 / 2),
    },
)
def he_cosine_map(c: Tensor, slope: float) -> Tensor:
    """The cosine of the next layer's pre-activations."""
    cosine: Tensor = _map()(c, slope)
    return cosine


# --- thirty layers ------------------------------------------------------------------------------------

#: The weight and the bias of a linear layer.
Linear = tuple[Tensor, Tensor | None]


def _size(*, generator: torch.Generator) -> Inputs:
    width = between(100, 120, generator=generator)
    return width, between(3, 5, generator=generator), stream(generator=generator)


def _images() -> Tensor:
    """Inputs to try a network on."""
    return torch.randn(20, 64, generator=torch.Generator().manual_seed(0))


def _built(answer: Function, width: int, depth: int, generator: torch.Generator) -> Any:
    """The linear layers of three networks, and what the first of them computes."""
    nets = thrice(answer, width, depth, generator)
    if not isinstance(nets[0], nn.Module):
        return nets[0]
    layers = [[(layer.weight, layer.bias) for layer in linear_layers(net)] for net in nets]
    return {"layers": layers, "logits": nets[0](_images().to(layers[0][0][0].dtype))}


def _variance(layers: Sequence[Linear]) -> Estimate | None:
    """The variance of the weights of some layers, in units of He's; None if there are no layers."""
    if not layers:
        return None
    return moments(torch.cat([weight.flatten() * (weight.shape[1] / 2) ** 0.5 for weight, _ in layers]))["variance"]


def _through(layers: Sequence[Linear], relus: int) -> Tensor:
    """What layers compute with a ReLU behind the first ones of them."""
    x = _images().to(layers[0][0].dtype)
    for number, (weight, bias) in enumerate(layers):
        x = nn.functional.linear(x, weight, bias)
        x = x.relu() if number < relus else x
    return x


def _nonlinearities(layers: Sequence[Linear], logits: Tensor) -> str:
    """Where a network has its ReLUs, by what it computes."""
    places = {"hidden layers": len(layers) - 1, "all layers": len(layers), "no layer": 0}
    fits = [where for where, relus in places.items() if agree(logits, _through(layers, relus), 1e-3)]
    return f"ReLUs behind {fits[0]}" if fits else "something else"


def _construction(raw: Any, *inputs: Any) -> Outcome:
    """What a network is made of, what it computes, and how its weights are distributed."""
    if not isinstance(raw, dict):
        raise WrongType(f"A network is asked for, and your function returned something of type {kind(raw)}.")
    layers = sorted(raw["layers"][0], key=lambda layer: (layer[0].shape[1] != 64, layer[0].shape[0] == 10))
    biases = [bias for _, bias in layers if bias is not None]
    return {
        "linear layers": len(layers),
        "layers with a bias": len(biases),
        "largest bias": max((bias.abs().max().item() for bias in biases), default=0.0),
        "nonlinearities": _nonlinearities(layers, raw["logits"]),
        "variance in layer 1, in units of He's": _variance(layers[:1]),
        "variance between, in units of He's": _variance(layers[1:-1]),
        "variance in the output layer, in units of He's": _variance(layers[-1:]),
        "random numbers come from": origin(*raw["layers"]),
    }


def _network(
    variance: Function = lambda n_in, n_out: 2 / n_in,
    *,
    std: Function = math.sqrt,
    bias: float | None = 0.0,
    hidden: Function = nn.ReLU,
    last: Function = nn.Identity,
    more: int = 0,
) -> Function:
    """An answer, right unless told otherwise: a network for digits, and what follows its hidden and last layers."""

    def build(width: int, depth: int, generator: torch.Generator) -> nn.Sequential:
        layers = [nn.Linear(*pair, bias=bias is not None) for pair in pairwise([64, *[width] * (depth + more), 10])]
        for layer in layers:
            init.normal_(layer.weight, std=std(variance(layer.in_features, layer.out_features)), generator=generator)
            if bias is not None:
                init.constant_(layer.bias, bias)
        *before, output = layers
        return nn.Sequential(*[part for layer in before for part in (layer, hidden())], output, last())

    return build


def _random_biases(outcome: Outcome, expected: Outcome, *inputs: Any) -> bool:
    """Whether all that is wrong comes of biases that were left as nn.Linear draws them."""
    others = set(expected) - {"largest bias", "random numbers come from"}
    return outcome["largest bias"] not in (0.0, 0.1) and all(agree(outcome[one], expected[one], 1e-3) for one in others)


@exercise(
    "he-thirty-layers",
    inputs=_size,
    observe=_built,
    describe=_construction,
    rtol32=None,
    cases=3,
    right="the weights are He's, the biases zero, and the logits may take either sign.",
    mistakes={
        "The variance of your weights is still 1/n_in. Each ReLU halves the second moment; the gain of ReLU makes up "
        "for it.": _network(lambda n_in, n_out: 1 / n_in),
        "Your variance is 4/n_in: there are two factors 2 now. `kaiming_normal_` with `relu` has the one that is "
        "needed.": _network(lambda n_in, n_out: 4 / n_in),
        "The weights of your output layer have the variance 1/n_in. The exercise asks for He's initialization in all "
        "layers, the last one among them.": _network(lambda n_in, n_out: (1 if n_out == 10 else 2) / n_in),
        "You divided by fan_out. Going forward, a unit sums over fan_in terms; the first layer and the output layer, "
        "which are not square, show the difference.": _network(lambda n_in, n_out: 2 / n_out),
        "The weights of your first layer have the variance 1/n_in. The exercise asks for He's initialization in all "
        "layers, the first one among them.": _network(lambda n_in, n_out: (1 if n_in == 64 else 2) / n_in),
        "You used the variance 2/n_in as the standard deviation. Take its root.": _network(std=float),
        "The biases are still not zero. A constant bias breaks the symmetry of z and adds up from layer "
        "to layer.": _network(bias=0.1),
        "Your layers have no biases at all. They begin at zero, and then they learn: set them, do not "
        "remove them.": _network(bias=None),
        "There still is a ReLU behind the output layer. Cross-entropy needs logits of either sign.": _network(
            last=nn.ReLU
        ),
        "You took the ReLUs out of the hidden layers, too. Without them, thirty layers are one linear map.": _network(
            hidden=nn.Identity
        ),
        "Your network computes something else than linear layers with ReLUs between them. Change no activation, and "
        "add no softmax or normalization: cross-entropy wants the bare logits.": _network(last=nn.Sigmoid),
        "Your variance is Glorot's, from the mean of both fans. He's initialization has fan_in alone, and the factor "
        "2.": _network(lambda n_in, n_out: 2 / (n_in + n_out)),
        "You took the mean of both fans, as Glorot does. He's initialization has fan_in alone.": _network(
            lambda n_in, n_out: 4 / (n_in + n_out)
        ),
        "Your network has a layer too many: depth counts the hidden layers.": _network(more=1),
        "Your network has a layer too few: depth counts the hidden layers.": _network(more=-1),
        "Your weights have the gain of tanh, 5/3. These layers have ReLUs: the variance is 2/n_in.": _network(
            lambda n_in, n_out: 25 / 9 / n_in
        ),
        "The biases are still PyTorch's random ones, or other random numbers. Set them to zero.": When(_random_biases),
        **off_stream(_network()),
    },
)
def he_thirty_layers(width: int, depth: int, generator: torch.Generator) -> nn.Sequential:
    """A network for digits with some hidden layers of one width, under He's initialization."""
    network: nn.Sequential = _network()(width, depth, generator)
    return network
