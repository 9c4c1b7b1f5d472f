"""Exercises about He's initialization."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from tutorial_utils.exercises.compare import Estimate, Outcome, agree
from tutorial_utils.exercises.legacy import drawn, thrice
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, When, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import between, linear_layers, moments, normal, origin, sizes, stream, uniform

# --- what torch does ----------------------------------------------------------------------------------


def _call(*, generator: torch.Generator) -> Inputs:
    """The shape of a weight, and a slope so large that it shows."""
    n_out = 10 * between(10, 19, generator=generator)
    return n_out, 3 * n_out, between(6, 9, generator=generator) / 10


def _leaky(slope: float) -> float:
    return math.sqrt(2 / (1 + slope**2))


@exercise(
    "he-ignored-slope",
    value=True,
    inputs=_call,
    parts=("first call", "second call"),
    rtol=3e-3,
    right="`a` counts for `leaky_relu` only, which is the default, and `mode` picks the fan.",
    mistakes=(
        Mistake(
            "First call: you let `a` count. `calculate_gain` looks at it for `leaky_relu` only; for `relu` it is "
            "ignored, without a word.",
            lambda n_out, n_in, a: {"first call": _leaky(a) / math.sqrt(n_out)},
        ),
        Mistake(
            "First call: you divided by fan_in. The call says fan_out, which for a matrix is its number of rows.",
            lambda n_out, n_in, a: {"first call": math.sqrt(2 / n_in)},
        ),
        Mistake(
            "First call: that is the variance. `kaiming_normal_` turns it into a standard deviation; give that.",
            lambda n_out, n_in, a: {"first call": 2 / n_out},
        ),
        Mistake(
            "Second call: you took `relu` for the default. It is `leaky_relu`, for which `a` counts.",
            lambda n_out, n_in, a: {"second call": math.sqrt(2 / n_in)},
        ),
        Mistake(
            "Second call: you divided by fan_out. The default mode is fan_in.",
            lambda n_out, n_in, a: {"second call": _leaky(a) / math.sqrt(n_out)},
        ),
        Mistake(
            "Second call: the slope enters squared, 2 / (1 + a²).",
            lambda n_out, n_in, a: {"second call": math.sqrt(2 / (1 + a) / n_in)},
        ),
        Mistake(
            "Second call: you took the gain for 1. That is `nonlinearity='linear'`; the default is `leaky_relu`.",
            lambda n_out, n_in, a: {"second call": math.sqrt(1 / n_in)},
        ),
    ),
)
def he_ignored_slope(n_out: int, n_in: int, a: float) -> tuple[float, float]:
    """The standard deviations of two calls of kaiming_normal_."""
    relu, leaky = init.calculate_gain("relu", a), init.calculate_gain("leaky_relu", a)
    return relu / math.sqrt(n_out), leaky / math.sqrt(n_in)


# --- the draw -----------------------------------------------------------------------------------------


def _matrix(mode: str, *, generator: torch.Generator) -> Inputs:
    """A wide matrix, a slope of the negative side, a mode, and where the numbers shall come from."""
    n_out = between(110, 130, generator=generator)
    weight = normal(n_out, 4 * n_out, generator=generator)
    return weight, between(30, 36, generator=generator) / 100, mode, stream(generator=generator)


def _kernels(mode: str, *, generator: torch.Generator) -> Inputs:
    c_out = between(45, 55, generator=generator)
    weight = normal(c_out, 4 * c_out, 3, 2, generator=generator)
    return weight, between(30, 36, generator=generator) / 100, mode, stream(generator=generator)


def _fan(weight: Tensor, mode: str, kernel: bool = True) -> int:
    fan = weight.shape[1] if mode == "fan_in" else weight.shape[0]
    return fan * weight[0, 0].numel() if kernel else fan


def _other(mode: str) -> str:
    return "fan_out" if mode == "fan_in" else "fan_in"


def _normal_with(std: Callable[[Tensor, float, str], float]) -> Function:
    """A normal draw whose deviation is a function of weight, slope and mode."""

    def fill(weight: Tensor, slope: float, mode: str, generator: torch.Generator) -> Tensor:
        return init.normal_(weight, std=std(weight, slope, mode), generator=generator)

    return fill


def _observe_draw(answer: Function, weight: Tensor, slope: float, mode: str, generator: torch.Generator) -> Any:
    return drawn(answer, weight, slope, mode, generator=generator)


def _fixed() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _uniform(weight: Tensor, slope: float, mode: str, generator: torch.Generator) -> Tensor:
    return init.kaiming_uniform_(weight, a=slope, mode=mode, generator=generator)  # type: ignore[arg-type]


@exercise(
    "he-draw",
    inputs=tuple(partial(shape, mode) for shape in (_matrix, _kernels) for mode in ("fan_in", "fan_out")),
    observe=_observe_draw,
    changes=(0,),
    cases=4,
    right="gain, fan and shape of the distribution are He's, for matrices and kernels.",
    mistakes=(
        Mistake(
            "You exchanged the fans. fan_in counts the terms of one unit's sum: the entries of `weight[0]`.",
            _normal_with(lambda w, a, mode: _leaky(a) / math.sqrt(_fan(w, _other(mode)))),
        ),
        Mistake(
            "You used fan_in whatever `mode` says.",
            _normal_with(lambda w, a, mode: _leaky(a) / math.sqrt(_fan(w, "fan_in"))),
        ),
        Mistake(
            "You took the mean of both fans. That is Glorot's compromise; He takes the one that `mode` names.",
            _normal_with(lambda w, a, mode: _leaky(a) / math.sqrt((_fan(w, "fan_in") + _fan(w, "fan_out")) / 2)),
        ),
        Mistake(
            "You counted channels. A unit of a convolution sums over a whole kernel of each: the fan contains the "
            "number of its entries.",
            _normal_with(lambda w, a, mode: _leaky(a) / math.sqrt(_fan(w, mode, kernel=False))),
        ),
        Mistake(
            "You left out the gain. The activation throws away nearly half of the second moment; the weights must make "
            "up for it.",
            _normal_with(lambda w, a, mode: 1 / math.sqrt(_fan(w, mode))),
        ),
        Mistake(
            "You left out the factor 2. Only the negative half is multiplied by the slope: the gain is 2 / (1 + "
            "slope²).",
            _normal_with(lambda w, a, mode: math.sqrt(1 / (1 + a**2) / _fan(w, mode))),
        ),
        Mistake(
            "You used ReLU's gain. The negative side passes a share of the signal, so 2 becomes 2 / (1 + slope²).",
            _normal_with(lambda w, a, mode: math.sqrt(2 / _fan(w, mode))),
        ),
        Mistake(
            "You divided by 1 + slope. Second moments scale with the square of the slope: 1 + slope².",
            _normal_with(lambda w, a, mode: math.sqrt(2 / (1 + a) / _fan(w, mode))),
        ),
        Mistake(
            "You divided by (1 + slope)². Each side keeps its own share, 1 and slope²: divide by their sum.",
            _normal_with(lambda w, a, mode: math.sqrt(2 / _fan(w, mode)) / (1 + a)),
        ),
        Mistake(
            "You used the variance as the standard deviation. Take its root.",
            _normal_with(lambda w, a, mode: 2 / (1 + a**2) / _fan(w, mode)),
        ),
        Mistake(
            "You squared the gain in the standard deviation. It is squared in the variance; the deviation has it once.",
            _normal_with(lambda w, a, mode: 2 / (1 + a**2) / math.sqrt(_fan(w, mode))),
        ),
        Mistake(
            "Your deviation is the bound of the uniform draw, sqrt(3) times too large.",
            _normal_with(lambda w, a, mode: _leaky(a) * math.sqrt(3 / _fan(w, mode))),
        ),
        Mistake("You drew uniform numbers. The exercise asks for normal ones.", _uniform),
        Mistake(
            "You drew from torch's global stream. Hand `generator` to the call that draws.",
            lambda w, a, mode, generator: init.kaiming_normal_(w, a=a, mode=mode),
        ),
        Mistake(
            "Every generator gives the same numbers: you use a fixed seed. Hand `generator` to the call that draws.",
            lambda w, a, mode, generator: init.kaiming_normal_(w, a=a, mode=mode, generator=_fixed()),
        ),
    ),
)
def he_draw(weight: Tensor, slope: float, mode: str, generator: torch.Generator) -> Tensor:
    """He's normal draw, by PyTorch."""
    return init.kaiming_normal_(weight, a=slope, mode=mode, generator=generator)  # type: ignore[arg-type]


# --- the forward profile ------------------------------------------------------------------------------


def _net(mode: str, *, generator: torch.Generator) -> Inputs:
    count = between(4, 6, generator=generator)
    widths = [8 * size for size in sizes(count, 2, 20, generator=generator)]
    return widths, mode, between(3, 6, generator=generator) / 10, between(15, 40, generator=generator) / 10


def _profile(
    widths: Sequence[int],
    mode: str,
    slope: float,
    q0: float,
    *,
    first: Callable[[float], float] = lambda slope: 1,
    share: Callable[[float], float] = lambda slope: (1 + slope**2) / 2,
    gain2: Callable[[float], float] = lambda slope: 2 / (1 + slope**2),
    fan: Callable[[int, int, str], float] = lambda n_in, n_out, mode: n_in if mode == "fan_in" else n_out,
    terms: Callable[[int, int], float] = lambda n_in, n_out: n_in,
) -> Tensor:
    """The second moments by layer; ``first`` and ``share`` are what reaches the first and the later layers."""
    profile, q = [], q0
    for number, (n_in, n_out) in enumerate(pairwise(widths)):
        kept = share(slope) if number else first(slope)
        q = q * terms(n_in, n_out) * gain2(slope) / fan(n_in, n_out, mode) * kept
        profile.append(q)
    return torch.tensor(profile)


@exercise(
    "he-profile",
    inputs=tuple(partial(_net, mode) for mode in ("fan_in", "fan_out")),
    rtol32=None,
    right="the first layer lacks an activation before it, and then only the widths count.",
    mistakes=(
        Mistake(
            "You let the first layer lose what an activation throws away. Nothing stands before it: its input is x, "
            "and the gain there multiplies the second moment.",
            partial(_profile, first=lambda slope: (1 + slope**2) / 2),
        ),
        Mistake(
            "You forgot what the activation throws away: every layer but the first receives the share (1 + slope²)/2.",
            partial(_profile, share=lambda slope: 1),
        ),
        Mistake(
            "Your activation keeps one half, as ReLU does. The negative side passes slope² of its half, too.",
            partial(_profile, share=lambda slope: 0.5),
        ),
        Mistake(
            "Your weights have ReLU's gain, 2. He's condition for a leaky unit is 2 / (1 + slope²).",
            partial(_profile, gain2=lambda slope: 2),
        ),
        Mistake(
            "You exchanged fan_in and fan_out in the variance.",
            partial(_profile, fan=lambda n_in, n_out, mode: n_out if mode == "fan_in" else n_in),
        ),
        Mistake(
            "You summed over fan_out terms. Going forward a unit sums over its inputs, whatever the variance was "
            "divided by.",
            partial(_profile, terms=lambda n_in, n_out: n_out),
        ),
        Mistake(
            "You used the mean of both fans. That is Glorot's variance; He's start takes one of them.",
            partial(_profile, fan=lambda n_in, n_out, mode: (n_in + n_out) / 2),
        ),
        Mistake(
            "You took fan_in whatever `mode` says.",
            lambda widths, mode, slope, q0: _profile(widths, "fan_in", slope, q0),
        ),
        Mistake(
            "You took fan_out whatever `mode` says.",
            lambda widths, mode, slope, q0: _profile(widths, "fan_out", slope, q0),
        ),
        Mistake(
            "Your weights have no gain. He's variance is 2 / (1 + slope²) over the fan.",
            partial(_profile, gain2=lambda slope: 1),
        ),
        Mistake("Your list begins with the input. It should begin with layer 1.", lambda *net: _with_input(*net)),
        Mistake(
            "You took roots: these are root mean squares. Asked for are second moments.",
            lambda *net: _profile(*net).sqrt(),
        ),
    ),
)
def he_profile(widths: Sequence[int], mode: str, slope: float, q0: float) -> Tensor:
    """The second moment of the pre-activations in each layer, on average over draws."""
    return _profile(widths, mode, slope, q0)


def _with_input(widths: Sequence[int], mode: str, slope: float, q0: float) -> Tensor:
    return torch.cat([torch.tensor([q0]), _profile(widths, mode, slope, q0)])


# --- the cosine map -----------------------------------------------------------------------------------


def _cosines(*, generator: torch.Generator) -> Inputs:
    c = 1.9 * torch.rand(6, generator=generator, dtype=torch.float64) - 0.95
    return c, uniform(0.2, 0.6, generator=generator)


def _arc(c: Tensor) -> Tensor:
    return (1 - c**2).sqrt() + (math.pi - c.acos()) * c


def _mean_product(c: Tensor, slope: float) -> Tensor:
    """The mean product of two leaky units over q."""
    return (1 - slope) ** 2 * _arc(c) / (2 * math.pi) + slope * c


def _quadrants(c: Tensor, slope: float, opposite: float) -> Tensor:
    """The next cosine, if the quadrants in which the signs differ enter with some factor in place of -2 slope."""
    return ((1 + slope**2) * _arc(c) + opposite * _arc(-c)) / (math.pi * (1 + slope**2))


@exercise(
    "he-cosine-map",
    inputs=_cosines,
    right="at slope 0 it is the arc-cosine map, and at slope 1 every angle stays.",
    mistakes=(
        Mistake(
            "That is ReLU's map. The negative side of a leaky unit passes a share of the signal and keeps angles open.",
            lambda c, slope: _arc(c) / math.pi,
        ),
        Mistake(
            "You did not divide by the second moment of the output. It is (1 + slope²)/2 of q, so two equal inputs "
            "would not give cosine 1.",
            _mean_product,
        ),
        Mistake(
            "You divided by one half, ReLU's share. A leaky unit keeps (1 + slope²)/2 of the second moment.",
            lambda c, slope: 2 * _mean_product(c, slope),
        ),
        Mistake(
            "You mixed ReLU's map and the identity in the shares 1 - slope and slope. Products of two units are not "
            "linear in the slope: write out the four quadrants.",
            lambda c, slope: (1 - slope) * _arc(c) / math.pi + slope * c,
        ),
        Mistake(
            "Your factor of the arc-cosine term is 1 - slope. It comes from a product of two units: square it.",
            lambda c, slope: ((1 - slope) * _arc(c) / (2 * math.pi) + slope * c) * 2 / (1 + slope**2),
        ),
        Mistake(
            "You left out the linear term, slope times c: what both sides pass alike.",
            lambda c, slope: (1 - slope) ** 2 * _arc(c) / math.pi / (1 + slope**2),
        ),
        Mistake(
            "You used arccos c where π - arccos c belongs: parallel inputs are on together, and θ = 0 for them.",
            lambda c, slope: (
                ((1 - slope) ** 2 * ((1 - c**2).sqrt() + c.acos() * c) / (2 * math.pi) + slope * c) * 2 / (1 + slope**2)
            ),
        ),
        Mistake(
            "Where the signs differ, the product of two units is negative: subtract these quadrants.",
            lambda c, slope: _quadrants(c, slope, 2 * slope),
        ),
        Mistake(
            "You counted one of the two quadrants in which the signs differ. Either input may be the negative one.",
            lambda c, slope: _quadrants(c, slope, -slope),
        ),
        Mistake(
            "You left out the sine, the root of 1 - c².",
            lambda c, slope: (
                ((1 - slope) ** 2 * (math.pi - c.acos()) * c / (2 * math.pi) + slope * c) * 2 / (1 + slope**2)
            ),
        ),
    ),
)
def he_cosine_map(c: Tensor, slope: float) -> Tensor:
    """The cosine of the next layer's pre-activations."""
    return _mean_product(c, slope) * 2 / (1 + slope**2)


# --- thirty layers ------------------------------------------------------------------------------------


def _size(*, generator: torch.Generator) -> Inputs:
    width = between(100, 120, generator=generator)
    return width, between(3, 5, generator=generator), stream(generator=generator)


def _variance(layers: Sequence[nn.Linear]) -> Estimate | None:
    """The variance of the weights of some layers, in units of He's; None if there are no layers."""
    if not layers:
        return None
    return moments(torch.cat([layer.weight.flatten() * (layer.in_features / 2) ** 0.5 for layer in layers]))["variance"]


def _through(layers: Sequence[nn.Linear], x: Tensor, relus: int) -> Tensor:
    """What layers compute with a ReLU behind the first ones of them."""
    for number, layer in enumerate(layers):
        x = functional.linear(x, layer.weight, layer.bias)
        x = x.relu() if number < relus else x
    return x


@torch.no_grad()
def _nonlinearities(net: Function, layers: Sequence[nn.Linear]) -> str:
    """Where a network has its ReLUs, by what it computes."""
    x = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    places = {"hidden layers": len(layers) - 1, "all layers": len(layers), "no layer": 0}
    logits = net(x)
    fits = [where for where, relus in places.items() if agree(logits, _through(layers, x, relus), 1e-3)]
    return f"ReLUs behind {fits[0]}" if fits else "something else"


def _built(answer: Function, width: int, depth: int, generator: torch.Generator) -> Outcome:
    """What a network is made of, what it computes, and how its weights are distributed."""
    nets = thrice(answer, width, depth, generator=generator)
    if not callable(nets[0]):
        raise WrongType(
            f"A network is asked for, and your function returned something of type {type(nets[0]).__name__}."
        )
    layers = sorted(linear_layers(nets[0]), key=lambda layer: (layer.in_features != 64, layer.out_features == 10))
    return {
        "linear layers": len(layers),
        "layers with a bias": sum(layer.bias is not None for layer in layers),
        "largest bias": max((layer.bias.abs().max().item() for layer in layers if layer.bias is not None), default=0.0),
        "nonlinearities": _nonlinearities(nets[0], layers),
        "variance in layer 1, in units of He's": _variance(layers[:1]),
        "variance between, in units of He's": _variance(layers[1:-1]),
        "variance in the output layer, in units of He's": _variance(layers[-1:]),
        "random numbers come from": origin(*(list(one.parameters()) for one in nets)),
    }


class Build:
    """Builds a network for digits with He's start, with the faults of the exercise that are asked for.

    ``std(fan_in, fan_out)`` is the standard deviation of a layer's weights.
    """

    def __init__(
        self,
        std: Callable[[int, int], float] = lambda n_in, n_out: math.sqrt(2 / n_in),
        bias: float | None = 0.0,
        last_relu: bool = False,
        relus: bool = True,
        more: int = 0,
        source: Callable[[torch.Generator], torch.Generator | None] = lambda generator: generator,
    ) -> None:
        self.std, self.bias, self.source = std, bias, source
        self.last_relu, self.relus, self.more = last_relu, relus, more

    def __call__(self, width: int, depth: int, generator: torch.Generator) -> nn.Sequential:
        """The network; its parts are as in the exercise."""
        widths = [64, *[width] * (depth + self.more), 10]
        source = self.source(generator)
        layers = [self._layer(*pair, source) for pair in pairwise(widths)]
        *hidden, head = [[layer, nn.ReLU()] for layer in layers]
        parts = [module for pair in hidden for module in pair[: 1 + self.relus]]
        return nn.Sequential(*parts, *head[: 1 + self.last_relu])

    def _layer(self, n_in: int, n_out: int, source: torch.Generator | None) -> nn.Linear:
        layer = nn.Linear(n_in, n_out, bias=self.bias is not None)
        init.normal_(layer.weight, std=self.std(n_in, n_out), generator=source)
        if self.bias is not None:
            init.constant_(layer.bias, self.bias)
        return layer


@exercise(
    "he-thirty-layers",
    inputs=_size,
    observe=_built,
    rtol32=None,
    cases=3,
    right="the weights are He's, the biases zero, and the logits may take either sign.",
    mistakes=(
        Mistake(
            "The variance of your weights is still 1/n_in. Each ReLU halves the second moment; the gain of ReLU makes "
            "up for it.",
            Build(lambda n_in, n_out: n_in**-0.5),
        ),
        Mistake(
            "Your variance is 4/n_in: there are two factors 2 now. `kaiming_normal_` with `relu` has the one that is "
            "needed.",
            Build(lambda n_in, n_out: 2 * n_in**-0.5),
        ),
        Mistake(
            "The weights of your output layer have the variance 1/n_in. The exercise asks for He's start in all "
            "layers, the last one among them.",
            Build(lambda n_in, n_out: math.sqrt((1 if n_out == 10 else 2) / n_in)),
        ),
        Mistake(
            "You divided by fan_out. Going forward a unit sums over fan_in terms; the first layer and the output "
            "layer, which are not square, show the difference.",
            Build(lambda n_in, n_out: math.sqrt(2 / n_out)),
        ),
        Mistake(
            "You used the variance 2/n_in as the standard deviation. Take its root.",
            Build(lambda n_in, n_out: 2 / n_in),
        ),
        Mistake(
            "The weights come from torch's global stream. Hand `generator` to the call that draws.",
            Build(source=lambda generator: None),
        ),
        Mistake(
            "Every generator gives the same weights: you use a fixed seed. Hand `generator` to the call that draws.",
            Build(source=lambda generator: _fixed()),
        ),
        Mistake(
            "The biases are still not zero. A constant bias breaks the symmetry of z and adds up from layer to layer.",
            Build(bias=0.1),
        ),
        Mistake(
            "Your layers have no biases at all. Zero is where they start, and then they learn: set them, do not "
            "remove them.",
            Build(bias=None),
        ),
        Mistake(
            "There still is a ReLU behind the output layer. Cross-entropy needs logits of either sign.",
            Build(last_relu=True),
        ),
        Mistake(
            "You took the ReLUs out of the hidden layers, too. Without them thirty layers are one linear map.",
            Build(relus=False),
        ),
        Mistake(
            "Your network computes something else than linear layers with ReLUs between them. Change no activation, "
            "and add no softmax or normalization: cross-entropy wants the bare logits.",
            wrong=When(lambda came, expected, *inputs: came["nonlinearities"] == "something else"),
        ),
        Mistake(
            "Your variance is Glorot's, from the mean of both fans. He's start has fan_in alone, and the factor 2.",
            Build(lambda n_in, n_out: math.sqrt(2 / (n_in + n_out))),
        ),
        Mistake(
            "You took the mean of both fans, as Glorot does. He's start has fan_in alone.",
            Build(lambda n_in, n_out: math.sqrt(4 / (n_in + n_out))),
        ),
        Mistake(
            "Your network has a layer too many: depth counts the hidden layers.",
            Build(more=1),
        ),
        Mistake(
            "Your network has a layer too few: depth counts the hidden layers.",
            Build(more=-1),
        ),
    ),
)
def he_thirty_layers(width: int, depth: int, generator: torch.Generator) -> nn.Sequential:
    """A network for digits with some hidden layers of one width, under He's start."""
    return Build()(width, depth, generator=generator)
