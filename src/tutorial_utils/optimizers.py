r"""The optimizers by name: torch's, for one network, and what each does to K networks at once.

A stacked optimizer updates parameters of shape (K, ...), of which member k has its own learning rate, weight decay and,
for SGD, momentum. It computes torch's formula in torch's order, so that a member moves as it would alone.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

Buffers = Sequence[Tensor]


class StackedSGD:
    r"""SGD: :math:`v \leftarrow \mu v + \eta (\nabla L + \lambda \theta)`, then :math:`\theta \leftarrow \theta - v`.

    Each member's loss is multiplied by its learning rate :math:`\eta` before the backward pass, so that the gradients
    arrive as :math:`\eta \nabla L`, and the update is that of ``torch.optim.SGD`` with learning rate 1.

    Args:
        lr: :math:`\eta` of every member, of shape (K,).
        momentum: :math:`\mu`, of shape (K,).
        weight_decay: :math:`\lambda`, of shape (K,).
        like: a tensor of the parameters' dtype and device.

    >>> optimizer = StackedSGD(torch.tensor([0.0, 1.0]), torch.zeros(2), torch.zeros(2), torch.zeros(1))
    >>> weights = torch.ones(2, 1)
    >>> optimizer.step([(weights, optimizer.loss_weight[:, None] * 3.0, [torch.zeros(2, 1)])])
    >>> weights.flatten().tolist()
    [1.0, -2.0]
    """

    buffers: ClassVar[int] = 1  # the velocity
    #: How many numbers training holds for each weight, counting it, its gradient, its velocity and the update.
    per_weight: ClassVar[int] = 4

    def __init__(self, lr: Tensor, momentum: Tensor, weight_decay: Tensor, like: Tensor):
        self.loss_weight, self.momentum = lr.to(like), momentum.to(like)
        self.decay = self.loss_weight * weight_decay.to(like)
        self.has_momentum, self.has_decay = bool(self.momentum.any()), bool(self.decay.any())

    def step(self, updates: Iterable[tuple[Tensor, Tensor, Buffers]]) -> None:
        """Update each parameter, given with its gradient, which has the learning rates in it, and its velocity."""
        for parameter, gradient, (velocity,) in updates:
            if self.has_decay:
                gradient = gradient.addcmul(parameter, _column(self.decay, parameter))
            if self.has_momentum:
                gradient = velocity.mul_(_column(self.momentum, parameter)).add_(gradient)
            parameter.sub_(gradient)


class StackedAdam:
    r"""Adam (Kingma and Ba, 2015, algorithm 1) with the defaults of ``torch.optim.Adam``.

    With :math:`g = \nabla L + \lambda \theta`, :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g` and
    :math:`v \leftarrow \beta_2 v + (1 - \beta_2) g^2`, step t is
    :math:`\theta \leftarrow \theta - \frac{\eta}{1 - \beta_1^t} m / (\sqrt{v / (1 - \beta_2^t)} + \epsilon)`.

    Args:
        lr: :math:`\eta` of every member, of shape (K,).
        momentum: 0 for every member; :math:`\beta_1` takes its place.
        weight_decay: :math:`\lambda`, of shape (K,).
        like: a tensor of the parameters' dtype and device.

    Raises:
        ValueError: for a momentum that is not 0.

    >>> optimizer = StackedAdam(torch.tensor([0.0, 1.0]), torch.zeros(2), torch.zeros(2), torch.zeros(1))
    >>> weights = torch.ones(2, 1)
    >>> optimizer.step([(weights, torch.full((2, 1), 3.0), [torch.zeros(2, 1), torch.zeros(2, 1)])])
    >>> torch.allclose(weights.flatten(), torch.tensor([1.0, 0.0]), atol=1e-6)
    True
    """

    buffers: ClassVar[int] = 2  # the moving averages of the gradient and of its square
    #: How many numbers training holds for each weight, counting it, its gradient, both averages and the fraction.
    per_weight: ClassVar[int] = 6
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    eps: ClassVar[float] = 1e-8

    def __init__(self, lr: Tensor, momentum: Tensor, weight_decay: Tensor, like: Tensor):
        check_optimizer("adam", float(momentum.abs().max()))
        self.loss_weight = torch.ones_like(lr).to(like)
        self.lr, self.like, self.decay = lr.double(), like, weight_decay.to(like)  # rates become rounded at the end
        self.has_decay, self.steps = bool(self.decay.any()), 0

    def step(self, updates: Iterable[tuple[Tensor, Tensor, Buffers]]) -> None:
        """Update each parameter, given with its gradient and the averages of the gradient and of its square."""
        self.steps += 1
        by_mean, by_square = self.betas
        rates = (-self.lr / (1 - by_mean**self.steps)).to(self.like)
        correction = (1 - by_square**self.steps) ** 0.5
        for parameter, gradient, (mean, square) in updates:
            if self.has_decay:
                gradient = gradient.addcmul(parameter, _column(self.decay, parameter))
            mean.lerp_(gradient, 1 - by_mean)
            square.mul_(by_square).addcmul_(gradient, gradient, value=1 - by_square)
            denominator = square.sqrt().div_(correction).add_(self.eps)
            parameter.add_((mean * _column(rates, parameter)).div_(denominator))


#: The optimizers by name.
OPTIMIZERS: dict[str, type[StackedSGD] | type[StackedAdam]] = {"sgd": StackedSGD, "adam": StackedAdam}


def for_one(
    name: str, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Make torch's optimizer for one network.

    Args:
        name: a key of :data:`OPTIMIZERS`.
        parameters: what to train.
        lr: the learning rate.
        momentum: of ``torch.optim.SGD``; 0 for Adam.
        weight_decay: of either.

    Returns:
        ``torch.optim.SGD`` or ``torch.optim.Adam``, everything else as by default.

    Raises:
        ValueError: for another name, or Adam with momentum.

    >>> for_one("adam", [torch.zeros(2)], lr=0.01).defaults["betas"]
    (0.9, 0.999)
    """
    check_optimizer(name, momentum)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


class SingleOptimizer:
    """Torch's SGD or Adam for one network: torch's own update, without the class around it.

    The first optimizer class of torch in a process imports torch's compiler, which costs seconds and 80 MB and has
    nothing to do in a small training.

    Args:
        name: a key of :data:`OPTIMIZERS`.
        parameters: what to train; one without a gradient stays where it is.
        lr: the learning rate, 0 or more.
        momentum: of SGD; 0 for Adam.
        weight_decay: of either.

    Raises:
        ValueError: for another name, a negative learning rate, or Adam with momentum.

    >>> weights = torch.ones(2, requires_grad=True)
    >>> weights.sum().backward()
    >>> SingleOptimizer("sgd", [weights], lr=0.5).step()
    >>> weights.tolist()
    [0.5, 0.5]
    """

    def __init__(
        self, name: str, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
    ):
        check_optimizer(name, momentum)
        if lr < 0:
            raise ValueError(f"lr = {lr}, but it must not be negative")
        self.parameters, self.update = list(parameters), self._adam if name == "adam" else self._sgd
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        # Of each parameter: two running averages (SGD keeps one, its velocity) and the number of updates.
        self.state = [(torch.zeros_like(one), torch.zeros_like(one), torch.zeros(())) for one in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update each parameter by its gradient."""
        for parameter, state in zip(self.parameters, self.state, strict=True):
            if parameter.grad is not None:
                self.update(parameter, parameter.grad, *state)

    def _sgd(self, parameter: Tensor, gradient: Tensor, velocity: Tensor, _: Tensor, __: Tensor) -> None:
        sgd(
            [parameter],
            [gradient],
            [velocity],
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            foreach=False,
        )

    def _adam(self, parameter: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, steps: Tensor) -> None:
        beta1, beta2 = StackedAdam.betas
        adam(
            [parameter],
            [gradient],
            [mean],
            [square],
            [],  # no running maximum: that is AMSGrad's
            [steps],
            lr=self.lr,
            beta1=beta1,
            beta2=beta2,
            eps=StackedAdam.eps,
            weight_decay=self.weight_decay,
            amsgrad=False,
            maximize=False,
            foreach=False,
        )


def check_optimizer(name: str, momentum: float) -> None:
    """Raise a ValueError for a name that is not in :data:`OPTIMIZERS`, or for Adam with momentum.

    >>> check_optimizer("sgd", 0.9)
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer = {name!r}, but it must be one of {', '.join(OPTIMIZERS)}")
    if name == "adam" and momentum != 0:
        raise ValueError(f"momentum = {momentum!r} with optimizer = 'adam', but it must be 0: Adam has its betas")


def _column(values: Tensor, parameter: Tensor) -> Tensor:
    """One value for each member, in a shape that multiplies its entries."""
    return values.view(-1, *[1] * (parameter.dim() - 1))
