"""Exercises about Glorot's initialization."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome, named
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.run import NoResult, WrongType
from tutorial_utils.exercises.toolbox import (
    between,
    distribution,
    fans,
    fill_thrice,
    in_place,
    normal,
    off_stream,
    scramble,
    sizes,
    stream,
    uniform,
    without,
)
from tutorial_utils.networks import mlp

# --- the draw -----------------------------------------------------------------------------------------


def _weight(*kernel: int, generator: torch.Generator, low: int, high: int) -> Inputs:
    """A weight with five times as many inputs as outputs, a gain that is not one, and a source of numbers."""
    n_out = between(low, high, generator=generator)
    weight = normal(n_out, 5 * n_out, *kernel, generator=generator)
    return weight, uniform(1.3, 1.8, generator=generator), stream(generator=generator)


def _matrix(*, generator: torch.Generator) -> Inputs:
    return _weight(generator=generator, low=60, high=90)


def _kernels(*, generator: torch.Generator) -> Inputs:
    return _weight(3, 2, generator=generator, low=25, high=35)


def _up_to(
    bound: Callable[[int, int, float], float] = lambda n, m, gain: gain * math.sqrt(6 / (n + m)),
    *,
    low: float = -1,
    fans_of: Callable[[Tensor], tuple[int, int]] = fans,
    exactly: bool = False,
    adding: bool = False,
) -> Function:
    """A uniform draw from ``low * a`` to ``a = bound(fan_in, fan_out, gain)``, right unless told otherwise."""

    def fill(weight: Tensor, gain: float, generator: torch.Generator | None) -> Tensor:
        a = bound(*fans_of(weight), gain)
        before = weight.detach().clone()
        init.uniform_(weight, low * a, a, generator=generator)
        if adding:
            weight.data += before
        if exactly:
            weight.data *= a / 3**0.5 / weight.data.std()
        return weight

    return fill


def _shifted(weight: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    """A draw from an interval of the right length that begins at zero."""
    _up_to()(weight, gain, generator)
    weight.data += gain * math.sqrt(6 / sum(fans(weight)))
    return weight


@exercise(
    "glorot-draw",
    inputs=(_matrix, _kernels),
    observe=without("torch.nn.init", observe=in_place(fill_thrice)),
    describe=distribution,
    changes=(0,),
    cases=4,
    right="bound, shape of the distribution and fans are Glorot's, for matrices and kernels.",
    mistakes={
        "Your bound is the standard deviation. That of U(-a, a) is a / sqrt(3), so a is sqrt(3) times as large: the 2 "
        "under the root becomes 6.": _up_to(lambda n, m, g: g * math.sqrt(2 / (n + m))),
        "Your bound is sqrt(3) over the root of both fans: that gives the variance 1/(fan_in + fan_out). Glorot's has "
        "a 2 on top, since it averages the fans.": _up_to(lambda n, m, g: g * math.sqrt(3 / (n + m))),
        "You set the bound to the variance, without its root.": _up_to(lambda n, m, g: g * 2 / (n + m)),
        "You used fan_in alone. That is LeCun's initialization; Glorot takes the mean of both fans, since the gradient "
        "sums over fan_out.": _up_to(lambda n, m, g: g * math.sqrt(3 / n)),
        "You used fan_out alone. Glorot takes the mean of both fans.": _up_to(lambda n, m, g: g * math.sqrt(3 / m)),
        "You multiplied the gain into the variance. It multiplies the weights, so the variance contains "
        "its square.": _up_to(lambda n, m, g: math.sqrt(6 * g / (n + m))),
        "You squared the gain in the bound. The gain is squared in the variance, so its root, the bound, contains the "
        "gain only once.": _up_to(lambda n, m, g: g**2 * math.sqrt(6 / (n + m))),
        "You took the geometric mean of both fans. Glorot takes the arithmetic one, half of their sum.": _up_to(
            lambda n, m, g: g * math.sqrt(3 / math.sqrt(n * m))
        ),
        "You left out the gain.": _up_to(lambda n, m, g: math.sqrt(6 / (n + m))),
        "You counted channels. A unit of a convolution sums over a whole kernel of each: both fans contain the number "
        "of its entries.": _up_to(fans_of=lambda weight: (weight.shape[1], weight.shape[0])),
        "You drew normal numbers. The exercise asks for the uniform draw, with the same variance but a "
        "sharp bound.": lambda weight, gain, generator: init.xavier_normal_(weight, gain, generator=generator),
        "All your weights are positive: you drew from 0 to a. The interval is symmetric, from -a to a.": _up_to(low=0),
        "All your weights are positive: you drew from 0 to 2a, moved by a to the side. The interval is symmetric, from "
        "-a to a.": _shifted,
        "You added what you drew to the numbers that stood in the weight. Put it in their place.": _up_to(adding=True),
        "You counted the kernel in fan_in alone. An input feeds a whole kernel of each output channel, so fan_out "
        "contains the number of its entries, too.": _up_to(fans_of=lambda weight: (weight[0].numel(), weight.shape[0])),
        "Your interval has the length a: it goes from -a/2 to a/2. It should go from -a to a, so it should be twice "
        "as long.": _up_to(lambda n, m, g: g * math.sqrt(6 / (n + m)) / 2),
        "Your bound has a 12 under the root. The variance of U(-a, a) is a²/3, so the 2 of Glorot's variance becomes "
        "a 6.": _up_to(lambda n, m, g: g * math.sqrt(12 / (n + m))),
        "You rescaled the numbers that you drew until their standard deviation was exactly right. The distribution has "
        "this standard deviation; a sample has more or less by chance, and stays within the bound.": _up_to(
            exactly=True
        ),
        "You put fan_in alone below the 6. The 6 belongs to the sum of both fans; below fan_in alone there would be "
        "a 3.": _up_to(lambda n, m, g: g * math.sqrt(6 / n)),
        **off_stream(_up_to()),
    },
)
def glorot_draw(weight: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    """Glorot's uniform draw, by PyTorch."""
    return init.xavier_uniform_(weight, gain, generator=generator)


# --- both directions ----------------------------------------------------------------------------------


def _widths(*, generator: torch.Generator) -> Inputs:
    """The widths of a net of two to five layers, input and output with them, that differ."""
    count = between(3, 6, generator=generator)
    return ([8 * size for size in sizes(count, 2, 20, generator=generator)],)


def _onward(n: int, m: int) -> float:
    """The factor of a layer with n inputs and m outputs on the signal."""
    return 2 * n / (n + m)


def _back(n: int, m: int) -> float:
    """The same on the gradient."""
    return 2 * m / (n + m)


def _ways(
    forward: Function = _onward, backward: Function = _back, *, skip: tuple[int, int] = (0, 1), of: Function = math.prod
) -> Function:
    """An answer made from the layers' factors; forward and backward each skip some of the first layers."""

    def both(widths: Sequence[int]) -> tuple[Any, Any]:
        layers = list(pairwise(widths))
        onward, back = (layers[first:] for first in skip)
        return of([forward(*layer) for layer in onward]), of([backward(*layer) for layer in back])

    return both


@exercise(
    "glorot-both-ways",
    inputs=_widths,
    parts=("forward", "backward"),
    right="both products are those of the chapter's two formulas over all layers, with Glorot's variance.",
    mistakes={
        "Your backward product has one factor too many. δ at layer 1 is the gradient of its pre-activations, so it "
        "passes the weights of layers 2 to L only.": _ways(skip=(0, 0)),
        "Your forward product lacks the first layer. It leads from the input to z of layer 1.": _ways(skip=(1, 1)),
        "Your backward product lacks the last layer, not the first. δ at layer L is above the last matrix's outputs, "
        "so it passes the weights of layers 2 to L.": lambda widths: (
            _ways()(widths)[0],
            _ways(skip=(0, 0))(widths[:-1])[1],
        ),
        "Your factors contain the 6 of the uniform bound. The variance of a weight is 2 over the sum of both "
        "fans.": _ways(lambda n, m: 6 * n / (n + m), lambda n, m: 6 * m / (n + m)),
        "You used fan_in on the way back, too. Going backward, each unit sums over the fan_out units above it.": _ways(
            backward=_onward
        ),
        "You exchanged the fans. Going forward, each unit sums over its fan_in inputs; going backward, over the "
        "fan_out units above it.": _ways(_back, _onward),
        "Your factors lack the 2: Glorot's variance is not 1 but 2 over the sum of both fans, which is 1 over "
        "their mean.": _ways(lambda n, m: n / (n + m), lambda n, m: m / (n + m)),
        "You halved in each layer. This net is linear: there is no activation between the layers, and nothing is set "
        "to zero.": lambda widths: [way / 2 ** (len(widths) - 2) for way in _ways()(widths)],
        "Your factors are upside down: they say by how much the second moment is divided, not multiplied, on its way "
        "through the net.": _ways(of=lambda factors: 1 / math.prod(factors)),
        "You gave a factor for each layer. The exercise asks for their product.": _ways(of=list),
        "You took roots: these are the factors of the root mean square. The exercise asks for those of the "
        "second moment.": _ways(of=lambda factors: math.sqrt(math.prod(factors))),
        "Your backward product uses the variance 1/fan_in, as if every layer kept the forward signal. Then the ratios "
        "telescope; under Glorot's variance they do not.": _ways(backward=lambda n, m: m / n),
        "You answered for the variance 1/fan_in: forward nothing changes. Glorot's variance depends on "
        "both fans.": _ways(lambda n, m: 1, lambda n, m: m / n),
        "You used the input and output width alone. Nothing cancels between the layers: multiply "
        "their factors.": lambda widths: _ways(skip=(0, 0))([widths[0], widths[-1]]),
        "Your forward product lacks the last layer. It leads to z of layer L, which the last "
        "matrix makes.": lambda widths: (
            _ways()(widths[:-1])[0],
            _ways()(widths)[1],
        ),
        "You say that Glorot's start keeps both. It keeps each only where the widths are equal; elsewhere it is a "
        "compromise: multiply what each layer makes of n_in and n_out.": lambda widths: (1.0, 1.0),
    },
)
def glorot_both_ways(widths: Sequence[int]) -> tuple[float, float]:
    """The factors of the second moments of the signal, from input to output, and of the gradient, from z^L to z^1."""
    forward, backward = _ways()(widths)
    return forward, backward


# --- weight gradients ---------------------------------------------------------------------------------


def _variances(*, generator: torch.Generator) -> Inputs:
    """Widths that differ, and for each layer a variance near one over the mean of its fans."""
    (widths,) = _widths(generator=generator)
    return widths, [uniform(1.2, 2.8, generator=generator) / (n + m) for n, m in pairwise(widths)]


def _gradients(
    below: Function = lambda layers, at: layers[:at],
    above: Function = lambda layers, at: layers[at + 1 :],
    *,
    forward: Function = lambda n, m: n,
    backward: Function = lambda n, m: m,
) -> Function:
    """An answer, right unless told otherwise: for each layer the factors of those below it and of those above it."""

    def factors(widths: Sequence[int], var_w: Sequence[float]) -> Tensor:
        layers = [(*fan, var) for fan, var in zip(pairwise(widths), var_w, strict=True)]
        signal = [math.prod(forward(n, m) * var for n, m, var in below(layers, at)) for at in range(len(layers))]
        delta = [math.prod(backward(n, m) * var for n, m, var in above(layers, at)) for at in range(len(layers))]
        return torch.tensor(signal) * torch.tensor(delta)

    return factors


@exercise(
    "glorot-weight-gradients",
    inputs=_variances,
    rtol32=None,
    right="each layer's gradient contains the factors of all layers but its own.",
    mistakes={
        "You let the signal pass the layer itself. The gradient of a weight contains what arrives at its layer, h of "
        "the layer below.": _gradients(lambda layers, at: layers[: at + 1]),
        "You let the gradient pass the layer itself. δ of layer l is the gradient at its output, made by the layers "
        "above it.": _gradients(above=lambda layers, at: layers[at:]),
        "You counted every layer for every gradient. The layer's own factor is in neither of the two "
        "products.": _gradients(lambda layers, at: layers[: at + 1], lambda layers, at: layers[at:]),
        "You left out the signal. The gradient of a weight is δ times the activation that the weight "
        "multiplies.": _gradients(lambda layers, at: []),
        "You left out δ. The gradient of a weight is δ times the activation that the weight multiplies.": _gradients(
            above=lambda layers, at: []
        ),
        "Your signal is multiplied by the number of outputs. Going forward, a unit sums over its inputs.": _gradients(
            forward=lambda n, m: m
        ),
        "Your gradient is multiplied by the number of inputs. Going backward, an input collects from all the outputs "
        "of its layer.": _gradients(backward=lambda n, m: n),
        "You took the root. The exercise asks for second moments.": lambda *net: _gradients()(*net).sqrt(),
        "You added the second moments of signal and δ. The gradient of a weight is the product of both.": lambda *net: (
            _gradients(above=lambda layers, at: [])(*net) + _gradients(lambda layers, at: [])(*net)
        ),
        "Your list begins with the last layer. It should begin with the first.": lambda *net: _gradients()(*net).flip(
            0
        ),
        "You summed over all weights of a layer. The exercise asks for a single one.": lambda widths, var_w: (
            _gradients()(widths, var_w) * torch.tensor([n * m for n, m in pairwise(widths)])
        ),
    },
)
def glorot_weight_gradients(widths: Sequence[int], var_w: Sequence[float]) -> Tensor:
    """The second moments of all layers' weight gradients, for an input and a δ^L of second moment 1."""
    factors: Tensor = _gradients()(widths, var_w)
    return factors


# --- the recorder -------------------------------------------------------------------------------------


def _plain(*, generator: torch.Generator) -> Inputs:
    """A network, a batch, and the gradient that comes back from its output."""
    n_in, hidden, n_out = sizes(3, 2, 5, generator=generator)
    model = mlp([n_in, hidden, hidden + 1, n_out], nn.Tanh)
    scramble(model, generator=generator)
    return model, normal(3, n_in, generator=generator), normal(3, n_out, generator=generator, mean=1)


def _nested(*, generator: torch.Generator) -> Inputs:
    """A network whose layers lie in blocks."""
    model, x, c = _plain(generator=generator)
    return nn.Sequential(model[:2], model[2:]), x, c


class TopDown(nn.Module):
    """A network whose constructor makes the last layer first."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(reversed(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Call the layers, the first one first."""
        for layer in reversed(self.layers):
            x = layer(x)
        return x


def _made_last_first(*, generator: torch.Generator) -> Inputs:
    """A network whose layers `modules()` lists in another order than that of the calls."""
    model, x, c = _plain(generator=generator)
    return TopDown(list(model)), x, c


def _mean_square(values: Tensor) -> Tensor:
    return values.square().mean()


def _recorder(
    reduce: Callable[[Tensor], Tensor] = _mean_square,
    *,
    kind: type[nn.Module] = nn.Linear,
    signal_at: str = "output",
    gradient_at: str = "output",
    loss_of: Callable[[Tensor, Tensor], Tensor] = lambda c, z: (c * z).sum(),
    order: int = 1,
    as_called: bool = True,
    keep_hooks: bool = False,
) -> Function:
    """A recorder made of hooks, right unless told otherwise."""

    def second_moments(model: nn.Module, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[dict[str, Any]] = []

        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            weight = getattr(module, "weight", None)
            seen.append({"module": module, "input": args[0], "output": output, "weight": weight})

        layers = [module for module in model.modules() if isinstance(module, kind)]
        handles = [module.register_forward_hook(hook) for module in layers]
        loss = loss_of(c, model(x.clone().requires_grad_()))
        if not as_called:
            seen.sort(key=lambda layer: layers.index(layer["module"]))
        for handle in [] if keep_hooks else handles:
            handle.remove()
        gradients = torch.autograd.grad(loss, [layer[gradient_at] for layer in seen])[::order]
        forward = torch.stack([reduce(layer[signal_at].detach()) for layer in seen])
        return forward, torch.stack([reduce(gradient) for gradient in gradients])

    return second_moments


def _watched(answer: Function, model: nn.Module, x: Tensor, c: Tensor) -> list[Any]:
    """What a recorder gives, and how many hooks it leaves behind in the model."""
    result = answer(model, x, c)
    return [result, sum(len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules())]


def _record(watched: list[Any], *inputs: Any) -> Outcome:
    """The two directions by name, and the hooks."""
    result, hooks = watched
    if result is None:
        raise NoResult
    parts = named(result, ("forward", "backward"))
    if set(parts) != {"forward", "backward"}:
        raise WrongType("Two tensors are asked for, forward and backward. Return just these, in this order.")
    return parts | {"hooks left in the model": hooks}


@exercise(
    "glorot-recorder",
    inputs=(_plain, _nested, _made_last_first),
    observe=_watched,
    describe=_record,
    right="both directions, layer by layer, and no hook is left behind.",
    mistakes={
        "You recorded the outputs of the activations. The exercise asks for the pre-activations z, the outputs "
        "of `nn.Linear`.": _recorder(kind=nn.Tanh),
        "Your forward values belong to the inputs of the layers. A forward hook gets (module, inputs, output): use "
        "the output.": _recorder(signal_at="input"),
        "Your backward values belong to the gradient at the inputs of the layers. δ is the gradient at the output: "
        "`grad_output` of a backward hook, or a hook on the output tensor.": _recorder(gradient_at="input"),
        "Your backward values are in the order in which the gradients arrive, last layer first. Turn them around: "
        "first layer first.": _recorder(order=-1),
        "Your values are in the order in which `modules()` lists the layers, that in which they were made. A network "
        "may call them in another one: record at the moment of the call.": _recorder(as_called=False),
        "You recorded the gradient of the weights. The exercise asks for the gradient at "
        "the pre-activations.": _recorder(gradient_at="weight"),
        "You left out `c`, so every entry of the output got the gradient 1. The gradient at the output is "
        "`c` itself.": _recorder(loss_of=lambda c, z: z.sum()),
        "Your loss is the mean of `c * model(x)`. Take the sum.": _recorder(loss_of=lambda c, z: (c * z).mean()),
        "You recorded variances. The second moment is the mean of the squares; no mean is subtracted "
        "before squaring.": _recorder(lambda values: values.var(correction=0)),
        "You recorded unbiased variances. The second moment is the mean of the squares; no mean "
        "is subtracted.": _recorder(torch.var),
        "You summed the squares. The second moment is their mean, so that layers of different width can "
        "be compared.": _recorder(lambda values: values.square().sum()),
        "You took the root: these are root mean squares. The exercise asks for second moments, the mean "
        "squares themselves.": _recorder(lambda values: values.square().mean().sqrt()),
        "You averaged over the batch before you squared. Square each entry first, then average over batch "
        "and units.": _recorder(lambda values: values.mean(0).square().mean()),
        "Your hooks stay in the model. Keep the handles, and call remove() on each.": _recorder(keep_hooks=True),
    },
)
def glorot_recorder(model: nn.Module, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The second moments at each linear layer of z and of the gradient that c sends back."""
    forward, backward = _recorder()(model, x, c)
    return forward, backward


# --- the sine -----------------------------------------------------------------------------------------


def _long(*, generator: torch.Generator) -> Inputs:
    """A small second moment, and so many layers that a power and an exponential differ."""
    return uniform(0.02, 0.03, generator=generator), between(30, 50, generator=generator)


def _short(*, generator: torch.Generator) -> Inputs:
    """So few layers that one more or fewer shows."""
    return uniform(0.04, 0.06, generator=generator), between(2, 6, generator=generator)


@exercise(
    "glorot-sine-decay",
    inputs=(_long, _short),
    rtol=1.2e-2,
    rtol32=None,
    predict=((0.02, 200),),
    right="each layer adds 1 to 1/q: the decay is a power of the depth, not an exponential.",
    mistakes={
        "You added 2 per layer to 1/q. That is tanh; the series of the sine has another "
        "cubic term.": lambda q, layers: 1 / (1 / q + 2 * layers),
        "You took q² for E[z⁴]. For a normal variable it is 3q².": lambda q, layers: 1 / (1 / q + layers / 3),
        "You multiplied by the same factor 1 - q in each layer. The factor approaches 1 as "
        "q falls.": lambda q, layers: q * (1 - q) ** layers,
        "You subtracted the q² of the first layer each time. It shrinks with q.": lambda q, layers: q - layers * q**2,
        "You forgot where it begins: 1/q starts at the inverse of the q that you were given, and each layer adds "
        "to that.": lambda q, layers: 1 / layers,
        "You went one layer too far. After `layers` layers the step has been taken `layers` times.": lambda q, layers: (
            1 / (1 / q + layers + 1)
        ),
        "You stopped one layer short. After `layers` layers the step has been taken `layers` "
        "times.": lambda q, layers: 1 / (1 / q + layers - 1),
        "Your q stays as it is, or nearly so. The sine acts on the pre-activations, not on q, and their mean square "
        "falls by about q² in every layer.": lambda q, layers: q,
        "That is the root mean square. The exercise asks for the second moment.": lambda q, layers: (
            (1 / q + layers) ** -0.5
        ),
        "You squared the series and lost a 2: sin² z is z² - z⁴/3, since the product of z and -z³/6 comes in "
        "twice.": lambda q, layers: 1 / (1 / q + layers / 2),
    },
)
def glorot_sine_decay(q: float, layers: int) -> float:
    """The second moment after some layers, to leading order."""
    return 1 / (1 / q + layers)


# --- singular values ----------------------------------------------------------------------------------


def _mean_singular_value(*, generator: torch.Generator) -> Inputs:
    return (uniform(0.45, 0.8, generator=generator),)


@exercise(
    "glorot-quarter-circle",
    inputs=_mean_singular_value,
    rtol=5e-3,
    rtol32=None,
    right="the mean square counts, and it is larger than the square of the mean.",
    mistakes={
        "You squared the mean. The second moment depends on the mean of the squares, which is larger than the square "
        "of the mean.": lambda mean: mean**2,
        "That is the mean singular value itself. The second moment is multiplied by the mean of "
        "the squares.": lambda mean: mean,
        "That is the root mean square of the singular values, σ. The second moment of the signal is multiplied by "
        "its square.": lambda mean: 3 * math.pi / 8 * mean,
        "Your factor is upside down. Divide the mean by 8/(3π), and square: small singular values make the signal "
        "smaller.": lambda mean: (8 / (3 * math.pi) / mean) ** 2,
        "You multiplied by 8/(3π). The mean is 8/(3π) times σ, so σ is larger than the mean: divide, "
        "then square.": lambda mean: (8 / (3 * math.pi) * mean) ** 2,
        "You solved for the radius of the quarter circle, which is 2σ. The mean square of the singular values "
        "is σ².": lambda mean: (3 * math.pi / 4 * mean) ** 2,
    },
)
def glorot_quarter_circle(mean: float) -> float:
    """The factor on the second moment, for a square matrix of independent entries."""
    return (3 * math.pi / 8 * mean) ** 2
