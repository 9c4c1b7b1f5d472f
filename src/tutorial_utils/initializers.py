r"""Initialize a model by the name of a scheme, and count the fans that schemes are computed from.

The schemes are the records of :mod:`tutorial_utils.schemes`; each draws by a call of :mod:`torch.nn.init`. Weights are
those of ``nn.Linear`` and of the convolutions; their biases become zero, as in the papers, except under the scheme
"default", which repeats what PyTorch's constructors do.
"""

import math
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from tutorial_utils.gains import Activation, gain
from tutorial_utils.schemes import SCHEMES, Fill

Nonlinearity = str | Activation
Model = TypeVar("Model", bound=nn.Module)


class Fans(NamedTuple):
    """How many inputs one output sums over, and how many outputs one input feeds."""

    fan_in: float
    fan_out: float


def fans(module: nn.Module) -> Fans:
    r"""Count the connections of a linear or convolutional layer, away from the borders of the image.

    With kernels of k entries, g groups and stride s (its product over the dimensions): Linear has (n_in, n_out); a
    convolution :math:`(k\,c_\text{in}/g,\; k\,c_\text{out}/(g s))`; a transposed convolution
    :math:`(k\,c_\text{in}/(g s),\; k\,c_\text{out}/g)`. torch.nn.init reads its fans from the weight's shape alone: it
    ignores groups in fan_out and the stride in both, and takes a transposed convolution's output for its input.

    Args:
        module: an ``nn.Linear``, ``nn.Conv1d/2d/3d`` or ``nn.ConvTranspose1d/2d/3d``.

    Returns:
        The two counts; with a stride they are averages over positions and need not be integers.

    Raises:
        TypeError: for any other module.

    >>> fans(nn.Conv2d(64, 64, 3, groups=64))
    Fans(fan_in=9.0, fan_out=9.0)
    """
    if isinstance(module, nn.Linear):
        return Fans(float(module.in_features), float(module.out_features))
    if not isinstance(module, _ConvNd):
        raise TypeError(f"fans of {type(module).__name__}: only Linear, Conv and ConvTranspose layers have them here")
    kernel, stride = math.prod(module.kernel_size), math.prod(module.stride)
    per_group = kernel / module.groups
    fan_in, fan_out = per_group * module.in_channels, per_group * module.out_channels
    # With stride s, an input of a convolution meets one entry in s of each kernel; of a transposed one, an output does.
    if isinstance(module, _ConvTransposeNd):
        return Fans(fan_in / stride, fan_out)
    return Fans(fan_in, fan_out / stride)


def initialize_(
    model: Model,
    scheme: str,
    *,
    generator: torch.Generator | None = None,
    nonlinearity: Nonlinearity | float | None = None,
    **options: float,
) -> Model:
    """Draw the weights of every Linear and convolutional layer in place; set their biases to zero.

    The laws are tabulated in :mod:`tutorial_utils.schemes`, for each scheme's own nonlinearity; another one multiplies
    the weights by the ratio of the gains. "default" draws biases too. Fans are those of torch.nn.init, read from the
    weight's shape. Normalization, embedding, recurrent and packed attention weights are left as they are.

    Args:
        model: any module; a layer that occurs twice is drawn once.
        scheme: a key of :data:`tutorial_utils.schemes.SCHEMES`.
        generator: makes all the draws; without one, torch's global generator is used.
        nonlinearity: what the weights compensate for, where the scheme takes a gain: a name that
            ``torch.nn.init.calculate_gain`` knows, an elementwise callable (its gain is computed by
            :func:`tutorial_utils.gains.gain`), or the gain itself. Without one: "relu" for He, "linear" for the others.
        **options: the parameters of the plain schemes, named as in ``torch.nn.init``, all required: ``val`` of
            "constant", ``std`` of "normal", ``a`` and ``b`` of "uniform".

    Returns:
        The model, so that calls can be chained.

    Raises:
        ValueError: for an unknown scheme or nonlinearity, a nonlinearity or option the scheme does not take, or a model
            without such layers or with one whose weight is not there yet (lazy, on the meta device) or is computed by
            a parametrization, weight_norm or pruning, or that owns parameters other than a weight and a bias.

    >>> layer = initialize_(nn.Linear(400, 100), "xavier_uniform", generator=torch.Generator().manual_seed(0))
    >>> bool(layer.weight.abs().max() <= (6 / 500) ** 0.5), bool((layer.bias == 0).all())
    (True, True)
    """
    settings = _settings(scheme, nonlinearity, options)
    for layer in _layers(model):
        SCHEMES[scheme].fill(layer.weight, generator=generator, **settings)
        if layer.bias is not None:
            _fill_bias(layer.bias, layer.weight, SCHEMES[scheme].fill_bias, generator)
    return model


def gain_of(nonlinearity: Nonlinearity | float) -> float:
    """The gain of a nonlinearity given by torch's name, as an elementwise callable, or as the number itself.

    >>> round(gain_of("relu"), 4), round(gain_of(torch.relu), 4), gain_of(1.1)
    (1.4142, 1.4142, 1.1)
    """
    if isinstance(nonlinearity, str):
        try:
            return float(init.calculate_gain(nonlinearity))  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(
                f"torch has no gain for {nonlinearity!r}: pass the function itself, such as torch.nn.functional.gelu"
            ) from error
    value = gain(nonlinearity) if callable(nonlinearity) else float(nonlinearity)
    if not 0 < value < math.inf:
        raise ValueError(f"nonlinearity = {nonlinearity!r}, but a gain must be positive and finite")
    return value


def _settings(scheme: str, nonlinearity: Nonlinearity | float | None, options: dict[str, float]) -> dict[str, float]:
    """The keyword arguments of a scheme's call, once they have been found to be what it takes."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme = {scheme!r}, but it must be one of {', '.join(SCHEMES)}")
    entry = SCHEMES[scheme]
    if set(options) != set(entry.options):
        raise ValueError(
            f"options of {scheme!r}: {sorted(options) or 'none'}, needed: {sorted(entry.options) or 'none'}"
        )
    if nonlinearity is None:
        nonlinearity = entry.nonlinearity
    elif entry.nonlinearity is None:
        raise ValueError(f"nonlinearity = {nonlinearity!r}, but the scheme {scheme!r} takes no gain")
    return options if nonlinearity is None else options | {"gain": gain_of(nonlinearity)}


def _fill_bias(bias: Tensor, weight: Tensor, fill: Fill | None, generator: torch.Generator | None) -> None:
    """As the scheme does, or zero. Zero costs no draw: with biases or without, a model gets the same weights."""
    if fill is None:
        init.zeros_(bias)
    else:
        fill(bias, fan_in=init._calculate_fan_in_and_fan_out(weight)[0], generator=generator)


def _layers(model: nn.Module) -> list[nn.Linear | _ConvNd]:
    """The layers whose weights a scheme draws, all checked first, so that no model is left half initialized."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | _ConvNd)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no Linear or convolutional layer to initialize")
    for layer in layers:
        if "weight" not in layer._parameters:
            raise ValueError(
                f"{layer}: its weight is computed (by a parametrization, weight_norm or pruning);"
                " initialize the layer before that is added"
            )
        if others := sorted(layer._parameters.keys() - {"weight", "bias"}):
            raise ValueError(
                f"{layer} ({type(layer).__name__}) owns {', '.join(others)}, for which no scheme has a rule"
            )
        if isinstance(layer.weight, nn.UninitializedParameter):
            raise ValueError(f"{layer} has no weight yet: pass one batch through the model first")
        if layer.weight.is_meta:
            raise ValueError(f"{layer} is on the meta device: move the model with to_empty(device=...) first")
    return layers
