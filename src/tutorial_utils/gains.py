r"""What an activation does to a Gaussian signal, by quadrature: gains, their stability, and the length map.

Throughout, the pre-activation is :math:`s = \sqrt{q}\, z` with :math:`z \sim N(0, 1)`, so ``q`` is its second moment.
"""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]
Direction = Literal["forward", "backward"]

_REACH = 38.0  # the density of N(0, 1) underflows beyond
_TOLERANCE = 1e-6  # relative error above which a result is reported as not converged,
_FLOOR = 1e-12  # unless its absolute error is below this: a mean may be 0 by symmetry


class Estimate(float):
    """A float that also says how far off it may be: ``error`` estimates the quadrature's absolute error.

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

    Adaptive Gauss-Kronrod quadrature of :math:`f(\sqrt q\, z)` against the normal density. The error is the rule's own
    estimate plus the share that comes from :math:`|z| > 19`: a convergent integral has nothing there.

    Args:
        function: elementwise, of one tensor of shape (n,) in float64; an ``nn.Module`` is evaluated in eval mode.
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
    # On a finite interval the rule converges even where the integral over the whole line diverges, and its own error
    # estimate stays small. Half the reach holds all of a convergent integral, so whatever the rest adds is error.
    outer, error = _integrate(f, math.sqrt(q), _REACH)
    inner, _ = _integrate(f, math.sqrt(q), _REACH / 2)
    error += abs(outer - inner)
    if not (math.isfinite(outer) and error <= max(_TOLERANCE * abs(outer), _FLOOR)):
        warnings.warn(
            f"{what} does not converge: {outer:.3g} with an error of {error:.1e}",
            RuntimeWarning,
            stacklevel=3,
        )
    return Estimate(outer, error)


def _integrate(f: Activation, scale: float, reach: float) -> tuple[float, float]:
    """The integral of f(scale · z) times the normal density over [-reach, reach], and its error estimate."""
    from scipy.integrate import cubature  # only here, because it takes a second to import

    def integrand(z: NDArray[np.float64]) -> NDArray[np.float64]:
        values = f(torch.from_numpy(scale * z[:, 0])).detach().numpy()
        return np.asarray(values * np.exp(-(z[:, 0] ** 2) / 2) / math.sqrt(2 * math.pi))

    with np.errstate(all="ignore"):  # what overflows shows in the result, and _mean warns of it
        # Most activations with a kink have it at 0; where two pieces meet, it costs the rule no accuracy.
        result = cubature(integrand, [-reach], [reach], rule="gk21", rtol=1e-11, atol=1e-14, points=[np.zeros(1)])
    return float(result.estimate), float(result.error)


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
