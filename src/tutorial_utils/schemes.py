r"""The initialization schemes, one record each: how it is called, what draws it, what law that is, how it is colored.

Drawing (:func:`tutorial_utils.initializers.initialize_`), recognizing (:mod:`tutorial_utils.recognize`), plotting
(:func:`tutorial_utils.plotting.color`) and the table below read these records and nothing else, so a new scheme is one
entry of :data:`SCHEMES`; ``tests/test_schemes.py`` says what to add there.

In the table, N(0, v) is the normal distribution with variance v, U(a, b) is uniform between a and b, and U(b) between
-b and b. Where a scheme has a gain, its law is the one at that gain; another gain multiplies the standard deviation by
the ratio of the two.

>>> for name, scheme in SCHEMES.items():
...     print(f"{name:23} {scheme.label:18} {scheme.nonlinearity or '-':7} {scheme.law.formula if scheme.law else '-'}")
zeros                   zeros              -       -
constant                constant           -       -
normal                  normal             -       N(0, std²)
uniform                 uniform            -       U(a, b)
default                 PyTorch default    -       U(1 / √fan_in)
xavier_uniform          Glorot uniform     linear  U(√(6 / (fan_in + fan_out)))
xavier_normal           Glorot             linear  N(0, 2 / (fan_in + fan_out))
kaiming_uniform         He uniform         relu    U(√(6 / fan_in))
kaiming_normal          He                 relu    N(0, 2 / fan_in)
kaiming_uniform_fan_out He fan_out uniform relu    U(√(6 / fan_out))
kaiming_normal_fan_out  He fan_out         relu    N(0, 2 / fan_out)
lecun_uniform           LeCun uniform      linear  U(√(3 / fan_in))
lecun_normal            LeCun              linear  N(0, 1 / fan_in)
orthogonal              orthogonal         linear  -

Source: LeCun et al. (1998); Glorot and Bengio (2010), equation 16; He et al. (2015), equations 10 and 14;
Saxe et al. (2014); the constructors of torch.nn.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import init

Fill = Callable[..., Tensor]

# Okabe and Ito's palette, which color-blind readers can tell apart. Schemes of one family share a color.
BLACK, GRAY = "#000000", "#999999"
ORANGE, SKY_BLUE, BLUISH_GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, REDDISH_PURPLE = "#D55E00", "#CC79A7"


class Distribution(NamedTuple):
    """A distribution by its family and its first two moments.

    "truncated normal" is a normal distribution cut off at two of *its* standard deviations; ``std`` is what is left.
    """

    family: Literal["normal", "uniform", "truncated normal"]
    std: float
    mean: float = 0.0


def normal(variance: float) -> Distribution:
    """The normal distribution about zero with this variance."""
    return Distribution("normal", math.sqrt(variance))


def uniform(low: float, high: float) -> Distribution:
    """The uniform distribution between two bounds."""
    return Distribution("uniform", (high - low) / math.sqrt(12), (low + high) / 2)


def symmetric(bound: float) -> Distribution:
    """The uniform distribution between -bound and bound."""
    return uniform(-bound, bound)


class Law(NamedTuple):
    """The distribution of each entry as a function of the layer's sizes: to read, and to compute with.

    >>> law = SCHEMES["xavier_normal"].law
    >>> law.formula, law.needs
    ('N(0, 2 / (fan_in + fan_out))', ('fan_in', 'fan_out'))
    >>> law.distribution(fan_in=24, fan_out=8)
    Distribution(family='normal', std=0.25, mean=0.0)
    """

    formula: str
    distribution: Callable[..., Distribution]  # its parameters are named after the sizes it needs

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the sizes that determine the distribution."""
        return _parameters(self.distribution)


@cache  # recognition asks for every law and every tensor
def _parameters(function: Callable[..., Distribution]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


class Scheme(NamedTuple):
    """One way to draw a weight."""

    #: Its name in print.
    label: str
    #: Fills a tensor in place; takes ``generator``, ``gain`` if there is a nonlinearity, and the options.
    fill: Fill
    #: The law of the entries, at the scheme's own gain; None if they are not independent random numbers.
    law: Law | None
    #: Its color in every figure.
    color: str
    #: The nonlinearity it makes up for unless told otherwise; None if it takes no gain.
    nonlinearity: str | None = None
    #: The parameters that have to be given, each with its value at unit scale.
    options: Mapping[str, float] = MappingProxyType({})
    #: Fills a bias in place, given the weight's fan_in; None where biases become zero.
    fill_bias: Fill | None = None


def _without_generator(fill: Fill) -> Fill:
    return lambda weight, *, generator, **options: fill(weight, **options)


def _times_gain(fill: Fill, mode: str = "fan_in") -> Fill:
    """Let a ``kaiming_`` call take any gain: torch offers the named ones only, of which "linear" is 1."""

    def scaled(weight: Tensor, *, gain: float, generator: torch.Generator | None) -> Tensor:
        with torch.no_grad():
            return fill(weight, mode=mode, nonlinearity="linear", generator=generator).mul_(gain)

    return scaled


def _default_weight(weight: Tensor, *, generator: torch.Generator | None) -> Tensor:
    """What PyTorch's constructors call: with a = √5 the gain is 1/√3, and the bound of the uniform law 1/√fan_in."""
    return init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


def _default_bias(bias: Tensor, *, fan_in: int, generator: torch.Generator | None) -> Tensor:
    bound = 1 / math.sqrt(fan_in)
    return init.uniform_(bias, -bound, bound, generator=generator)


#: The schemes by name. Where the laws of two coincide, as LeCun's and Glorot's in a square layer, recognition takes the
#: name that stands first, and calls the others its aliases.
SCHEMES: dict[str, Scheme] = {
    "zeros": Scheme(
        label="zeros",
        fill=_without_generator(init.zeros_),
        law=None,
        color=GRAY,
    ),
    "constant": Scheme(
        label="constant",
        fill=_without_generator(init.constant_),
        law=None,
        color=GRAY,
        options={"val": 1.0},
    ),
    "normal": Scheme(
        label="normal",
        fill=init.normal_,
        law=Law("N(0, std²)", lambda std: normal(std**2)),
        color=SKY_BLUE,
        options={"std": 1.0},
    ),
    "uniform": Scheme(
        label="uniform",
        fill=init.uniform_,
        law=Law("U(a, b)", lambda a, b: uniform(a, b)),
        color=SKY_BLUE,
        options={"a": -1.0, "b": 1.0},
    ),
    "default": Scheme(
        label="PyTorch default",
        fill=_default_weight,
        law=Law("U(1 / √fan_in)", lambda fan_in: symmetric(1 / math.sqrt(fan_in))),
        color=ORANGE,
        fill_bias=_default_bias,
    ),
    "xavier_uniform": Scheme(
        label="Glorot uniform",
        fill=init.xavier_uniform_,
        law=Law("U(√(6 / (fan_in + fan_out)))", lambda fan_in, fan_out: symmetric(math.sqrt(6 / (fan_in + fan_out)))),
        color=BLUE,
        nonlinearity="linear",
    ),
    "xavier_normal": Scheme(
        label="Glorot",
        fill=init.xavier_normal_,
        law=Law("N(0, 2 / (fan_in + fan_out))", lambda fan_in, fan_out: normal(2 / (fan_in + fan_out))),
        color=BLUE,
        nonlinearity="linear",
    ),
    "kaiming_uniform": Scheme(
        label="He uniform",
        fill=_times_gain(init.kaiming_uniform_),
        law=Law("U(√(6 / fan_in))", lambda fan_in: symmetric(math.sqrt(6 / fan_in))),
        color=VERMILION,
        nonlinearity="relu",
    ),
    "kaiming_normal": Scheme(
        label="He",
        fill=_times_gain(init.kaiming_normal_),
        law=Law("N(0, 2 / fan_in)", lambda fan_in: normal(2 / fan_in)),
        color=VERMILION,
        nonlinearity="relu",
    ),
    "kaiming_uniform_fan_out": Scheme(
        label="He fan_out uniform",
        fill=_times_gain(init.kaiming_uniform_, "fan_out"),
        law=Law("U(√(6 / fan_out))", lambda fan_out: symmetric(math.sqrt(6 / fan_out))),
        color=VERMILION,
        nonlinearity="relu",
    ),
    "kaiming_normal_fan_out": Scheme(
        label="He fan_out",
        fill=_times_gain(init.kaiming_normal_, "fan_out"),
        law=Law("N(0, 2 / fan_out)", lambda fan_out: normal(2 / fan_out)),
        color=VERMILION,
        nonlinearity="relu",
    ),
    "lecun_uniform": Scheme(
        label="LeCun uniform",
        fill=_times_gain(init.kaiming_uniform_),
        law=Law("U(√(3 / fan_in))", lambda fan_in: symmetric(math.sqrt(3 / fan_in))),
        color=REDDISH_PURPLE,
        nonlinearity="linear",
    ),
    "lecun_normal": Scheme(
        label="LeCun",
        fill=_times_gain(init.kaiming_normal_),
        law=Law("N(0, 1 / fan_in)", lambda fan_in: normal(1 / fan_in)),
        color=REDDISH_PURPLE,
        nonlinearity="linear",
    ),
    "orthogonal": Scheme(
        label="orthogonal",
        fill=init.orthogonal_,
        law=None,
        color=BLUISH_GREEN,
        nonlinearity="linear",
    ),
}
