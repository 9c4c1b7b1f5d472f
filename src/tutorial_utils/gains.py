r"""What an activation does to a Gaussian signal, by quadrature: gains, their stability, and the length map.

Throughout, the pre-activation is :math:`s = \sqrt{q}\, z` with :math:`z \sim N(0, 1)`, so ``q`` is its second moment.
"""

import copy
import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]
Direction = Literal["forward", "backward"]

_REACH = 38.0  # the density of N(0, 1) underflows beyond
_TOLERANCE = 1e-6  # relative error above which a result is reported as not converged,
_CANCELED = 1e-12  # unless it is below this share of the mean of |f|: a mean may be 0 by symmetry
_HALVED = 1e-15  # share of the mean of |f| by which a panel and its halves may differ
_UNSEEN = 10  # a jump, wherever it lies in a panel, is off by less than this many such differences
_ROUNDING = 2e-14  # share of the mean of |f| that float64 may cost
_LEVELS, _MOST = 50, 30_000  # times a panel is halved, and panels at a time: what is not done by then is error


class Estimate(float):
    """A float that also says how far off it may be: ``error`` bounds the quadrature's absolute error.

    >>> gain(torch.relu).error < 1e-9
    True
    """

    error: float

    def __new__(cls, value: float, error: float) -> "Estimate":
        """Pair a value with the bound on its error."""
        estimate = super().__new__(cls, value)
        estimate.error = error
        return estimate


def gaussian_mean(function: Activation, q: float = 1.0) -> Estimate:
    r"""The mean of a function of a Gaussian, :math:`E[f(z)]` with :math:`z \sim N(0, q)`.

    Adaptive Gauss-Lobatto quadrature of :math:`f(\sqrt q\, z)` against the normal density, on panels that grow with the
    distance from 0: a function may be sharp on the Gaussian's scale, or flat. Kinks and jumps may lie anywhere. The
    error bounds what the rule leaves open and what rounding costs, and takes in the share that comes from
    :math:`|z| > 19`: a convergent integral has nothing there. One thing can be missed: a bump narrower than a thirtieth
    of its distance from 0, where the function is constant on both sides of it.

    Args:
        function: elementwise, of a one-dimensional tensor in float64; an ``nn.Module`` is evaluated in eval mode.
        q: second moment of the Gaussian, positive.

    Returns:
        The mean as an :class:`Estimate`.

    Raises:
        ValueError: if ``q`` is not positive and finite, or ``function`` is not elementwise.

    Warns:
        RuntimeWarning: if the integral does not converge.

    >>> round(gaussian_mean(torch.square, q=3.0), 9)
    3.0
    """
    return _mean(elementwise(function), _positive(q), f"the Gaussian mean of {_name(function)}")


def gain(activation: Activation, direction: Direction = "forward", *, q: float = 1.0) -> Estimate:
    r"""The factor on the weights' standard deviation that compensates for an activation.

    Forward, :math:`g = 1/\sqrt{E[\varphi(z)^2]/q}`: the second moment of the signal is kept.
    Backward, :math:`g = 1/\sqrt{E[\varphi'(z)^2]}`: the second moment of the gradient is kept.
    A weight of standard deviation :math:`g/\sqrt{n}` (n = fan_in forward, fan_out backward) then preserves it.

    Args:
        activation: any elementwise callable that autograd can differentiate, such as ``torch.tanh`` or ``nn.GELU()``.
        direction: which signal to keep, "forward" or "backward".
        q: second moment of the pre-activation at which the gain is taken.

    Returns:
        The gain as an :class:`Estimate`, that is, a float with an attribute ``error``.

    Raises:
        ValueError: for another direction, a ``q`` that is not positive, or an activation with nothing to preserve
            (the moment is 0).

    Warns:
        RuntimeWarning: if the moment is infinite or the quadrature cannot resolve it.

    >>> round(gain(torch.relu), 6), round(gain(torch.tanh), 6), round(gain(torch.tanh, "backward"), 6)
    (1.414214, 1.592537, 1.467414)

    Source: He et al. (2015), section 2.2, for ReLU; Schoenholz et al. (2017) for the general integrals.
    """
    phi = elementwise(activation)
    integrands: dict[str, Activation] = {
        "forward": lambda s: phi(s).square() / q,
        "backward": lambda s: derivative(phi, s).square(),
    }
    if direction not in integrands:
        raise ValueError(f'direction = {direction!r}, but it must be "forward" or "backward"')
    moment = _mean(integrands[direction], _positive(q), f"the {direction} second moment of {_name(activation)}")
    if not float(moment) > 0:
        raise ValueError(f"{_name(activation)} has no {direction} signal to preserve: its second moment is 0")
    value = 1 / math.sqrt(moment)
    return Estimate(value, value * moment.error / (2 * moment))  # |d m^(-1/2)| = m^(-1/2) |dm| / (2 m)


def length_map(activation: Activation, q: float, *, sigma_w: float = 1.0, sigma_b: float = 0.0) -> Estimate:
    r"""The second moment of the next pre-activation, :math:`q' = \sigma_w^2\, E[\varphi(z)^2] + \sigma_b^2`.

    Args:
        activation: any elementwise callable.
        q: second moment of this pre-activation.
        sigma_w: :math:`\sqrt{n_\text{in} \operatorname{Var} w}`, the gain the weights were drawn with.
        sigma_b: standard deviation of the biases.

    Returns:
        The second moment after one wide layer, as an :class:`Estimate`.

    Source: Poole et al. (2016), equation 3.

    >>> round(length_map(torch.relu, 2.0, sigma_w=2**0.5), 9)
    2.0
    """
    phi = elementwise(activation)
    moment = _mean(lambda s: phi(s).square(), _positive(q), f"the second moment of {_name(activation)}")
    return Estimate(sigma_w**2 * moment + sigma_b**2, sigma_w**2 * moment.error)


def chi(activation: Activation, q: float = 1.0, *, sigma_w: float = 1.0) -> Estimate:
    r"""The factor on the gradient's second moment per layer, :math:`\chi = \sigma_w^2\, E[\varphi'(z)^2]`.

    Below 1 gradients vanish with depth, above 1 they explode.

    Args:
        activation: any elementwise callable that autograd can differentiate.
        q: second moment of the pre-activation.
        sigma_w: the gain the weights were drawn with.

    Returns:
        The factor as an :class:`Estimate`.

    Source: Schoenholz et al. (2017), equation 5.

    >>> round(chi(torch.relu, sigma_w=2**0.5), 9)
    1.0
    """
    phi = elementwise(activation)
    moment = _mean(
        lambda s: derivative(phi, s).square(), _positive(q), f"the mean squared slope of {_name(activation)}"
    )
    return Estimate(sigma_w**2 * moment, sigma_w**2 * moment.error)


def stability(activation: Activation, q: float = 1.0) -> Estimate:
    r"""The slope of the length map in logarithms, :math:`\tau = E[z\,\varphi(z)\,\varphi'(z)] / E[\varphi(z)^2]`.

    A network drawn so that ``q`` reproduces itself answers a relative error :math:`\Delta` in ``q`` with
    :math:`\tau\Delta` in the next layer: the fixed point is stable for :math:`\tau < 1`, unstable above.

    Args:
        activation: any elementwise callable that autograd can differentiate.
        q: the second moment at which the slope is taken.

    Returns:
        The slope as an :class:`Estimate`; it does not depend on ``sigma_w`` when there is no bias.

    >>> round(stability(torch.relu), 9), round(stability(torch.tanh), 4), round(stability(nn.SiLU()), 4)
    (1.0, 0.4611, 1.1726)
    """
    phi = elementwise(activation)
    slope = _mean(lambda s: s * phi(s) * derivative(phi, s), _positive(q), f"the slope of {_name(activation)}")
    moment = _mean(lambda s: phi(s).square(), q, f"the second moment of {_name(activation)}")
    return Estimate(slope / moment, (slope.error + abs(slope / moment) * moment.error) / moment)


def derivative(activation: Activation, s: Tensor) -> Tensor:
    r"""The derivative :math:`\varphi'(s)` at each entry of ``s``, by autograd."""
    s = s.detach().requires_grad_()
    with torch.enable_grad():
        total = activation(s).sum()
        # A function that ignores its input, such as a constant, leaves autograd no path back: its slope is 0.
        return torch.autograd.grad(total, s)[0] if total.requires_grad else torch.zeros_like(s)


def _mean(f: Activation, q: float, what: str) -> Estimate:
    """The Gaussian mean of a checked function; ``what`` names it in the warning."""
    # On a finite interval a rule converges even where the integral over the whole line diverges, and its own error
    # estimate stays small. Half the reach holds all of a convergent integral, so whatever the rest adds is error.
    body, tail = (_integrate(f, math.sqrt(q), *ends) for ends in ((0, _REACH / 2), (_REACH / 2, _REACH)))
    mean, size = body.value + tail.value, body.size + tail.size
    error = body.error + tail.error + abs(tail.value) + _ROUNDING * size if math.isfinite(mean) else math.inf
    if not (error < math.inf and error <= max(_TOLERANCE * abs(mean), _CANCELED * size)):
        warnings.warn(
            f"{what} does not converge: {mean:.3g} with an error of {error:.1e}",
            RuntimeWarning,
            stacklevel=3,
        )
    return Estimate(mean, error)


class _Integral(NamedTuple):
    """A value, the same of the absolute function, and how far off the value may be."""

    value: float
    size: float
    error: float


def _integrate(f: Activation, scale: float, near: float, far: float) -> _Integral:
    """Integrate f(scale · z) times the normal density over ``near`` < |z| < ``far``.

    A panel is halved until its halves together give what the whole gave, up to ``_HALVED``. A kink may by chance lie
    where the two agree, so the difference one halving earlier counts, too.
    """
    edges = _edges(scale, near, far)
    low, high = np.concatenate([edges[:-1], -edges[1:]]), np.concatenate([edges[1:], -edges[:-1]])
    with np.errstate(all="ignore"):  # what overflows shows in the result, and _mean warns of it
        whole, before = _panels(f, scale, low, high)
        enough, done = _HALVED * before.sum(), np.zeros(3)
        for level in range(_LEVELS):
            if not len(low):
                break
            starts, ends = np.stack([low, (low + high) / 2]), np.stack([(low + high) / 2, high])
            halves, sizes = (part.reshape(2, -1) for part in _panels(f, scale, starts.ravel(), ends.ravel()))
            off = abs(halves.sum(0) - whole)
            doubt = np.maximum(off, before / 16)
            again = (doubt > enough) & (level < _LEVELS - 1) & (len(off) < _MOST)
            done += np.stack([halves.sum(0), sizes.sum(0), _UNSEEN * doubt])[:, ~again].sum(1)
            low, high, whole = (part[:, again].ravel() for part in (starts, ends, halves))
            before = np.tile(off[again], 2)
    return _Integral(*map(float, done))


def _edges(scale: float, near: float, far: float) -> NDArray[np.float64]:
    """The ends of the first panels in s, two to each doubling, so that the rule sees every scale from 1e-6 on alike."""
    first = near * scale or min(1.0, scale) * 1e-6
    powers = np.arange(math.floor(2 * math.log2(first)) + 1, math.ceil(2 * math.log2(far * scale)))
    return np.concatenate([[near * scale], 2.0 ** (powers / 2), [far * scale]])


def _panels(
    f: Activation, scale: float, low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The integrals over panels in s, by twelve nodes in each, of the integrand and of its absolute value."""
    nodes, weights = _lobatto(12)
    width = (high - low)[:, None]
    s = low[:, None] + width * nodes
    values = f(torch.from_numpy(s.ravel())).detach().numpy().reshape(s.shape)
    parts = values * np.exp(-((s / scale) ** 2) / 2) / (scale * math.sqrt(2 * math.pi)) * weights * width
    return parts.sum(1), abs(parts).sum(1)


@lru_cache
def _lobatto(nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of the Gauss-Lobatto rule on [0, 1]; a node at each end, so no jump can hide beside one."""
    legendre = np.polynomial.Legendre.basis(nodes - 1)
    x = np.concatenate([[-1], legendre.deriv().roots(), [1]])
    inside = np.clip((x + 1) / 2, 1e-12, 1 - 1e-12)  # a jump exactly at an edge is no jump inside
    return inside, 1 / (nodes * (nodes - 1) * legendre(x) ** 2)


def elementwise(function: Activation) -> Activation:
    """The function, ready for float64 tensors, once it has shown that it treats each entry by itself.

    Raises:
        ValueError: if it does not, or is no function of one tensor.
    """
    original = copy.deepcopy(function).double().eval() if isinstance(function, nn.Module) else function

    def f(s: Tensor) -> Tensor:
        return original(s.clone())  # an activation may work in place

    probe = torch.linspace(-2, 2, 5, dtype=torch.float64)
    try:
        whole, part = f(probe), f(probe[:3])
        separate = whole.shape == probe.shape and torch.equal(whole[:3], part)
    except (TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{_name(function)} is not a function of one float64 tensor: {error}") from error
    if not separate:
        raise ValueError(f"{_name(function)} is not elementwise: each output must depend on one input only")
    return f


def _positive(q: float) -> float:
    if not 0 < q < math.inf:
        raise ValueError(f"q = {q}, but a second moment must be positive and finite")
    return q


def _name(function: Activation) -> str:
    return getattr(function, "__name__", None) or repr(function)
