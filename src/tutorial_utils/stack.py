r"""Many networks of one shape, trained as one.

A small network leaves a processor idle: starting its matrix products takes longer than doing them. A :class:`Stack`
gives every parameter and every activation one more axis, the network's number, so that one call does the work of K
networks. The members never mix: each has its own weights, minibatches, learning rate and running statistics, and one
that overflows fills its own lane with NaN and no other.

Activations are stored features first: (K, features, examples) between linear layers, and (examples, K · channels,
height, width) between convolutions. Where speed matters, a layer's backward pass is written next to its forward pass;
the other layers leave it to autograd.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils.optimizers import OPTIMIZERS, Buffers, check_optimizer

aten = torch.ops.aten
State = dict[str, Tensor]


class StackedLayer:
    """One layer of all K networks. This one computes entry by entry, and differentiates by autograd."""

    is_first = False  # whether the input is the data, whose gradient nobody needs

    def __init__(self, name: str, module: nn.Module, state: State, members: int):
        self.name, self.state, self.members = name, state, members
        self.module: Any = module
        self.parameters = [state[key].requires_grad_() for key, _ in module.named_parameters()]
        self.buffers: list[list[Tensor]] = []  # what the optimizer remembers of each parameter

    def evaluate(self, h: Tensor) -> Tensor:
        """Compute the output as in eval mode."""
        return self.module(h)  # type: ignore[no-any-return]

    def forward(self, h: Tensor) -> Tensor:
        """Compute the output as in train mode; remember what the backward pass needs."""
        with torch.enable_grad():
            self.h = h.detach().requires_grad_()
            self.out = self.evaluate(self.h)
        return self.out.detach()

    def backward(self, delta: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Turn the gradient of the output into that of the input and those of the parameters."""
        gradient, *gradients = torch.autograd.grad(self.out, [self.h, *self.parameters], delta)
        return gradient, gradients


class StackedLinear(StackedLayer):
    """z = W h + b, for K matrices at once."""

    def evaluate(self, h: Tensor) -> Tensor:
        weight, *bias = self.parameters
        return torch.baddbmm(bias[0][..., None], weight, h) if bias else torch.bmm(weight, h)

    def forward(self, h: Tensor) -> Tensor:
        self.h = h
        return self.evaluate(h)

    def backward(self, delta: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        weight, *bias = self.parameters
        gradient = delta if self.is_first else torch.bmm(weight.mT, delta)
        return gradient, [torch.bmm(delta, self.h.mT), *(delta.sum(2) for _ in bias)]


class FromOutput(StackedLayer):
    """An activation whose derivative is a function of its output."""

    derivatives: ClassVar[dict[type[nn.Module], Callable[[Tensor, Tensor], Tensor]]] = {
        nn.ReLU: lambda delta, h: aten.threshold_backward(delta, h, 0),
        nn.Tanh: aten.tanh_backward,
        nn.Sigmoid: aten.sigmoid_backward,
    }

    def forward(self, h: Tensor) -> Tensor:
        self.out = self.module(h)
        return self.out

    def backward(self, delta: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        return self.derivatives[type(self.module)](delta, self.out), []


class StackedBatchNorm(StackedLayer):
    """Torch's own kernel, for which every unit of every network is a channel."""

    def __init__(self, name: str, module: nn.Module, state: State, members: int):
        super().__init__(name, module, state, members)
        # One vector of K · units entries each. These are views: when the kernel moves the running statistics, or an
        # update the parameters, the stack's state has moved, and the other way around.
        self.weight, self.bias = (state[key].detach().flatten() for key in ("weight", "bias"))
        self.running_mean, self.running_var = (state[key].flatten() for key in ("running_mean", "running_var"))

    def channels(self, h: Tensor) -> Tensor:
        """Bring the channels into dimension 1, where the kernel looks for them; convolutions have them there."""
        return h if h.dim() == 4 else h.reshape(1, -1, h.shape[-1])

    def evaluate(self, h: Tensor) -> Tensor:
        out = functional.batch_norm(
            self.channels(h), self.running_mean, self.running_var, self.weight, self.bias, eps=self.module.eps
        )
        return out.view_as(h)

    def forward(self, h: Tensor) -> Tensor:
        self.h = self.channels(h)
        self.state["num_batches_tracked"] += 1
        out, self.batch_mean, self.batch_inverse_std = torch.native_batch_norm(
            self.h,
            weight=self.weight,
            bias=self.bias,
            running_mean=self.running_mean,
            running_var=self.running_var,
            training=True,
            momentum=self.module.momentum,
            eps=self.module.eps,
        )
        return out.view_as(h)

    def backward(self, delta: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        gradient, *gradients = aten.native_batch_norm_backward(
            grad_out=delta.reshape(self.h.shape),
            input=self.h,
            weight=self.weight,
            running_mean=self.running_mean,
            running_var=self.running_var,
            save_mean=self.batch_mean,
            save_invstd=self.batch_inverse_std,
            train=True,
            eps=self.module.eps,
            output_mask=[True, True, True],  # the gradients of the input, the weight and the bias
        )
        return gradient.view_as(delta), gradients


class StackedLayerNorm(StackedLayer):
    """Over the units of each example."""

    def evaluate(self, h: Tensor) -> Tensor:
        scale, shift = (parameter[..., None] for parameter in self.parameters)
        return functional.layer_norm(h.mT, self.module.normalized_shape, eps=self.module.eps).mT * scale + shift


class StackedConv2d(StackedLayer):
    """One convolution in K groups: each network's channels are a group, which sees that network's kernels alone."""

    def evaluate(self, h: Tensor) -> Tensor:
        weight, *bias = (parameter.flatten(0, 1) for parameter in self.parameters)
        settings = self.module.stride, self.module.padding, self.module.dilation, self.members
        return torch.conv2d(h, weight, bias[0] if bias else None, *settings)


class GlobalPool(StackedLayer):
    """The mean over all pixels, which returns to the layout with features first."""

    def evaluate(self, h: Tensor) -> Tensor:
        return h.mean((2, 3)).view(len(h), self.members, -1).permute(1, 2, 0)


class StackedFlatten(StackedLayer):
    """Nothing to do: the pooled values are features already."""

    def evaluate(self, h: Tensor) -> Tensor:
        return h


ELEMENTWISE: tuple[type[nn.Module], ...] = (
    *(nn.Identity, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.ReLU6),
)
#: The layers that a stack knows, by torch's modules.
LAYERS: dict[type[nn.Module], type[StackedLayer]] = {
    nn.Linear: StackedLinear,
    nn.Conv2d: StackedConv2d,
    nn.BatchNorm1d: StackedBatchNorm,
    nn.BatchNorm2d: StackedBatchNorm,
    nn.LayerNorm: StackedLayerNorm,
    nn.AdaptiveAvgPool2d: GlobalPool,
    nn.Flatten: StackedFlatten,
    **dict.fromkeys(FromOutput.derivatives, FromOutput),
    **dict.fromkeys(ELEMENTWISE, StackedLayer),
}


def _follows(module: Any) -> bool:
    """Whether the module is set up in the one way that its layer computes."""
    match module:
        case nn.Conv2d():
            return module.groups == 1 and module.padding_mode == "zeros"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return module.affine and module.track_running_stats and module.momentum is not None
        case nn.LayerNorm():
            return module.bias is not None and len(module.normalized_shape) == 1
        case nn.AdaptiveAvgPool2d():
            return module.output_size in (1, (1, 1))
        case nn.Flatten():
            return (module.start_dim, module.end_dim) == (1, -1)
    return not getattr(module, "inplace", False)


class LayerSignal(NamedTuple):
    """What one minibatch of each member does at one layer; tensors have one row a member."""

    layer: StackedLayer
    #: Of shape (K, values).
    output: Tensor
    #: The gradient of the mean loss with respect to the output, of shape (K, values).
    output_gradient: Tensor
    #: The gradients with respect to the layer's parameters, in their order.
    parameter_gradients: Sequence[Tensor]


class Stack:
    """K networks of one shape, trained by one optimizer as if each were alone.

    Args:
        models: the K networks, as :func:`tutorial_utils.networks.mlp` and ``conv_net`` make them: sequences of the
            modules in :data:`LAYERS`, all of the same shape. They are copied.
        lr: one learning rate, or one for each member.
        optimizer: a key of :data:`tutorial_utils.optimizers.OPTIMIZERS`, the same for all.
        momentum: one for all or one for each; 0 for Adam.
        weight_decay: one for all or one for each.

    Raises:
        ValueError: for models of different shapes or dtypes, a module that is not in :data:`LAYERS`, occurs twice or
            is set up in a way that its layer does not follow, a number of learning rates that is neither 1 nor K, an
            unknown optimizer, or Adam with momentum.

    >>> model = nn.Sequential(nn.Linear(2, 3))
    >>> stack = Stack([model, model], lr=[0.0, 1.0])
    >>> losses = [stack.step(torch.ones(2, 4, 2), torch.zeros(2, 4, dtype=torch.long)) for _ in range(2)]
    >>> (losses[1] < losses[0]).tolist()
    [False, True]
    """

    def __init__(
        self,
        models: Sequence[nn.Sequential],
        *,
        lr: float | Sequence[float],
        optimizer: str = "sgd",
        momentum: float | Sequence[float] = 0.0,
        weight_decay: float | Sequence[float] = 0.0,
    ):
        _check(models)
        states = [model.state_dict() for model in models]
        self.template = models[0]
        self.state = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        self.layers = [self._layer(name, module) for name, module in self.template.named_children()]
        self.layers[0].is_first = True
        check_optimizer(optimizer, 0.0)
        self.optimizer = OPTIMIZERS[optimizer](
            lr=self._per_member("lr", lr),
            momentum=self._per_member("momentum", momentum),
            weight_decay=self._per_member("weight_decay", weight_decay),
            like=next(iter(self.state.values())),
        )
        for layer in self.layers:
            layer.buffers = [
                [torch.zeros_like(parameter) for _ in range(self.optimizer.buffers)] for parameter in layer.parameters
            ]

    def __len__(self) -> int:
        return len(next(iter(self.state.values())))

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Update every member on its own minibatch: x (K, examples, ...), y (K, examples); the losses before, (K,)."""
        loss, delta = self._loss(self._forward(x)[-1], y, self.optimizer.loss_weight)
        self.optimizer.step(self._updates(delta))
        return loss

    def _updates(self, delta: Tensor) -> Iterator[tuple[Tensor, Tensor, Buffers]]:
        """Each parameter with its gradient and its buffers, once the backward pass needs it no more."""
        for layer, _, gradients in self._backward(delta):
            for parameter, gradient, buffers in zip(layer.parameters, gradients, layer.buffers, strict=True):
                yield parameter, gradient.reshape(parameter.shape), buffers

    def _forward(self, x: Tensor) -> list[Tensor]:
        """The output of each layer."""
        outputs = [self._lanes(x)]
        for layer in self.layers:
            outputs.append(layer.forward(outputs[-1]))
        return outputs[1:]

    def _loss(self, logits: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Each member's mean cross-entropy, and the gradient of their weighted sum with respect to the logits."""
        with torch.enable_grad():
            loss = functional.cross_entropy(logits.requires_grad_(), y, reduction="none").mean(1)
            # A number, since the first gradient of a vector in a process imports sympy, which takes seconds.
            (delta,) = torch.autograd.grad(loss @ weight, logits)
        return loss.detach(), delta

    def _backward(self, delta: Tensor) -> Iterator[tuple[StackedLayer, Tensor, Sequence[Tensor]]]:
        """From the last layer to the first: the layer, the gradient of its output, those of its parameters."""
        for layer in reversed(self.layers):
            of_output = delta
            delta, gradients = layer.backward(of_output)
            yield layer, of_output, gradients

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of every member in eval mode.

        Args:
            x: the same examples for all, of shape (examples, ...), or each member's own, (K, examples, ...).
            y: their labels, of shape (examples,) or (K, examples).

        Returns:
            The two, each of shape (K,).
        """
        # In memory, member k's matrix begins k · features · examples numbers after the first. With a multiple of 4
        # examples all begin at the same alignment, and so give the same bits at any place in the stack.
        examples, place = y.shape[-1], y.dim() - 1
        padding = x.new_zeros(*x.shape[:place], -examples % 4, *x.shape[place + 1 :])
        padded = torch.cat([x, padding], dim=place)
        h = self._lanes(padded if place else padded.expand(len(self), *padded.shape))
        for layer in self.layers:
            h = layer.evaluate(h)
        h = h[..., :examples]
        loss = functional.cross_entropy(h, y.expand(len(self), -1), reduction="none").mean(1)
        return loss, (h.argmax(1) == y).to(h.dtype).mean(1)

    @torch.no_grad()
    def signals(self, x: Tensor, y: Tensor) -> list[LayerSignal]:
        """Send one minibatch of each member forward and the gradient of its mean loss back, without an update.

        Returns:
            One :class:`LayerSignal` for each layer, from the first to the last. Running statistics move, as in any
            pass in train mode.
        """
        outputs = self._forward(x)
        _, delta = self._loss(outputs[-1], y, torch.ones_like(self.optimizer.loss_weight))
        signals = [
            LayerSignal(layer, self._rows(output), self._rows(gradient), parameter_gradients)
            for output, (layer, gradient, parameter_gradients) in zip(
                reversed(outputs), self._backward(delta), strict=True
            )
        ]
        return signals[::-1]

    @torch.no_grad()
    def load(self, number: int, model: nn.Sequential) -> None:
        """Copy the state of an ordinary network of this shape into one member."""
        for name, tensor in model.state_dict().items():
            self.state[name][number].copy_(tensor)

    def member(self, number: int) -> nn.Sequential:
        """Copy one member out, as the ordinary network it is."""
        model = copy.deepcopy(self.template)
        model.load_state_dict({name: tensor[number] for name, tensor in self.state.items()})
        return model

    def _lanes(self, x: Tensor) -> Tensor:
        """Examples (K, examples, ...) in the layout of the first layer."""
        return x.mT if x.dim() == 3 else x.transpose(0, 1).flatten(1, 2)

    def _rows(self, h: Tensor) -> Tensor:
        """A layer's values with one row per member."""
        rows = h if h.dim() == 3 else h.reshape(len(h), len(self), -1).transpose(0, 1)
        return rows.detach().flatten(1)

    def _layer(self, name: str, module: nn.Module) -> StackedLayer:
        state = {key: self.state[f"{name}.{key}"] for key in module.state_dict()}
        return LAYERS[type(module)](name, module, state, len(self))

    def _per_member(self, name: str, value: float | Sequence[float]) -> Tensor:
        values = torch.as_tensor(value, dtype=torch.float64, device="cpu")
        if values.shape not in ((), (len(self),)):
            raise ValueError(
                f"{name} has the shape {tuple(values.shape)}: give one number, or {len(self)}, one a member"
            )
        return values.expand(len(self))


def _check(models: Sequence[nn.Sequential]) -> None:
    """That the members can be computed together."""
    if not models:
        raise ValueError("models is empty: a stack needs at least one network")
    for name, module in models[0].named_children():
        if type(module) not in LAYERS:
            raise ValueError(f"{name} = {module}: a stack knows {', '.join(layer.__name__ for layer in LAYERS)}")
        if not _follows(module):
            raise ValueError(f"{name} = {module}: a stack knows this class, but not set up like this")
    if len(list(models[0].children())) < len(models[0]):
        raise ValueError(f"a module occurs twice in\n{models[0]}\nbut a stack needs one for each place")
    first, *others = map(_described, {id(model): model for model in models}.values())
    for other in others:
        if other != first:
            raise ValueError(f"the networks of a stack must have one shape, but there are\n{first}\nand\n{other}")


def _described(model: nn.Sequential) -> str:
    tensors = [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in model.state_dict().items()]
    return f"{model}: {', '.join(tensors)}"
