r"""Batch normalization from scratch: plain tensor operations, equal to ``torch.nn``'s layers in what they compute.

:func:`batch_norm` is the algorithm; :class:`BatchNorm1d`, :class:`BatchNorm2d` and :class:`BatchNorm3d` keep its
parameters and running statistics under the names of ``torch.nn``, so that a ``state_dict`` of one loads into the other.
Autograd finds every derivative.

What is not equal:

* Tools that look for torch's own classes do not recognize these layers. ``nn.SyncBatchNorm.convert_sync_batchnorm``,
  ``torch.func.replace_all_batch_norm_modules_`` and ``torch.optim.swa_utils.update_bn`` pass them over in silence;
  ``torch.ao.quantization.fuse_modules`` raises an error; ``isinstance(layer, nn.modules.batchnorm._BatchNorm)`` is
  False. ``torch.jit.script`` cannot compile them.
* One gradient is right here and wrong there: after a forward pass in eval mode, a second one in train mode moves the
  running statistics in place. A backward pass through the first then reads the new statistics in torch, in silence
  (pytorch issue 13402). Here it uses those that the forward pass used.
* The output keeps the memory layout of a transposed input, where torch's is contiguous.
* Sums are taken in another order, so values agree up to rounding. Of a channel that is constant and large this shows:
  333333.3 in float32 comes out as 0 here, as 1 or 2 there.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalize every channel over all other dimensions, then scale and shift it.

    .. math:: y = \gamma\, \hat x + \beta, \qquad \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}

    In training :math:`\mu` and :math:`\sigma^2` are those of the batch (:func:`batch_statistics`), part of the function
    that autograd differentiates, and the running statistics move toward them
    (:func:`update_running_statistics_`). Otherwise they are the running statistics.

    Args:
        input: of shape (N, C, ...); with a half-precision dtype it is computed in float32.
        running_mean: of shape (C,); may be None in training, together with ``running_var``.
        running_var: of shape (C,).
        weight: :math:`\gamma`, of shape (C,); without it, 1.
        bias: :math:`\beta`, of shape (C,); without it, 0.
        training: which statistics to use.
        momentum: the share of the new batch in the running statistics.
        eps: added to the variance; must be positive in training.

    Returns:
        A tensor with the shape and dtype of the input.

    Raises:
        ValueError: for an input without channels, or with 0 of them and a weight or bias; in training, for one value
            per channel, an ``eps`` that is not positive, or only one of the two running statistics.
        RuntimeError: if the shapes or dtypes do not fit, or statistics are missing. Of a half-precision input the four
            vectors may be in its dtype or in float32, but all in the same.
        NotImplementedError: if the input is not a real floating-point tensor.

    Source: Ioffe and Szegedy (2015), algorithm 1.

    >>> batch_norm(torch.tensor([[0.0], [2.0]]), None, None, training=True, eps=1e-12)
    tensor([[-1.],
            [ 1.]])
    """
    _check_input(input, training, eps)
    _check_vectors(input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if training and (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    x = input.to(torch.promote_types(input.dtype, torch.float32))
    if training:
        mean, var = batch_statistics(x)
        if running_mean is not None and running_var is not None and x.numel() > 0:
            n = x.numel() // x.shape[1]
            update_running_statistics_(running_mean, running_var, mean, var, n=n, momentum=momentum)
    elif running_mean is None or running_var is None:
        raise RuntimeError("running_mean and running_var must both be given, except in training")
    else:
        mean, var = running_mean, running_var
    y = (x - _per_channel(mean, x)) / torch.sqrt(_per_channel(var, x) + eps)
    y = y if weight is None else _per_channel(weight, x) * y
    y = y if bias is None else y + _per_channel(bias, x)
    return y.to(input.dtype)


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    r"""The mean and the biased variance of every channel, over the n values that the batch has of it.

    .. math:: \mu = \frac1n \sum_i x_i, \qquad \sigma^2 = \frac1n \sum_i (x_i - \mu)^2

    The differences come before the square: :math:`E[x^2] - E[x]^2` would cancel where the mean is large.

    Args:
        x: of shape (N, C, ...), so that n is N times the number of positions.

    Returns:
        Two tensors of shape (C,), through which gradients flow.

    >>> batch_statistics(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))
    (tensor([1., 5.]), tensor([1., 0.]))
    """
    over = [dim for dim in range(x.dim()) if dim != 1]
    mean = x.mean(over)
    return mean, (x - _per_channel(mean, x)).square().mean(over)


def update_running_statistics_(
    running_mean: Tensor, running_var: Tensor, mean: Tensor, var: Tensor, *, n: int, momentum: float
) -> None:
    r"""Move the running statistics toward those of a batch, in place and outside of the gradient.

    .. math:: r \leftarrow (1 - \rho)\, r + \rho\, s, \qquad s = \mu \text{ or } \frac{n}{n-1}\, \sigma^2

    The variance is stored unbiased: a batch's spread about its own mean is too small by (n - 1)/n on average.

    Args:
        running_mean: of shape (C,), changed in place.
        running_var: of shape (C,), changed in place.
        mean: the batch's :math:`\mu`, of shape (C,).
        var: the batch's biased :math:`\sigma^2`, of shape (C,).
        n: values per channel, at least 2.
        momentum: :math:`\rho`, the share of the batch.

    Raises:
        ValueError: for n below 2.

    >>> running_mean, running_var = torch.zeros(1), torch.ones(1)
    >>> update_running_statistics_(running_mean, running_var, torch.ones(1), torch.ones(1), n=2, momentum=0.5)
    >>> running_mean, running_var
    (tensor([0.5000]), tensor([1.5000]))
    """
    if n < 2:
        raise ValueError(f"n = {n}, but the unbiased variance needs at least 2 values per channel")
    for running, batch in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
        running.copy_((1 - momentum) * running.to(batch.dtype) + momentum * batch.detach())


class _BatchNorm(nn.Module):
    """What the three layers share: parameters, running statistics, and which statistics a call uses."""

    _version = 2  # of the state_dict: torch's, since num_batches_tracked was added
    _dims: tuple[int, ...]  # how many dimensions an input may have

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    num_batches_tracked: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats

        def vector(wanted: bool) -> Tensor | None:
            return torch.empty(num_features, device=device, dtype=dtype) if wanted else None

        count = torch.tensor(0, device=device) if track_running_stats else None
        for name, values in (("weight", vector(affine)), ("bias", vector(affine and bias))):
            self.register_parameter(name, None if values is None else nn.Parameter(values))
        self.register_buffer("running_mean", vector(track_running_stats))
        self.register_buffer("running_var", vector(track_running_stats))
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1, count 0."""
        initial = ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0))
        for buffer, value in initial:
            if self.track_running_stats and buffer is not None:
                buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Initialize everything: weight 1, bias 0, no batches seen."""
        self.reset_running_stats()
        for parameter, value in ((self.weight, 1.0), (self.bias, 0.0)):
            if self.affine and parameter is not None:
                nn.init.constant_(parameter, value)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the input by the batch's statistics, or in eval mode by the running ones, where there are any.

        Two questions decide: is the layer in train mode, and does it have running statistics? ::

            mode    statistics   normalizes by the   running statistics
            train   yes          batch's             move toward the batch's
            train   no           batch's             -
            eval    yes          running ones        stay
            eval    no           batch's             -
        """
        if input.dim() not in self._dims:
            allowed = " or ".join(f"{dims}D" for dims in self._dims)
            raise ValueError(f"expected {allowed} input (got {input.dim()}D input)")
        running_mean, running_var, momentum = self.running_mean, self.running_var, 0.0
        by_batch = self.training or (running_mean is None and running_var is None)
        if self.training and self.track_running_stats:
            momentum = self._count_batch()
        elif self.training:
            # The flag may be switched off on a layer that has the buffers: they are kept for eval mode, and stay.
            running_mean = running_var = None
        return batch_norm(input, running_mean, running_var, self.weight, self.bias, by_batch, momentum, self.eps)

    def _count_batch(self) -> float:
        """Count one more batch; answer with its share in the running statistics."""
        if self.num_batches_tracked is None:
            return self.momentum or 0.0
        self.num_batches_tracked.add_(1)
        return 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *others: Any
    ) -> None:
        """Also load a dict from before batches were counted: the layer then keeps its own count.

        A layer on the meta device has none to keep. With ``assign=True`` it would keep a count without memory, so it
        begins at 0.
        """
        old = (local_metadata.get("version") or 1) < 2
        if old and self.track_running_stats and self.num_batches_tracked is not None:
            count = torch.tensor(0) if self.num_batches_tracked.is_meta else self.num_batches_tracked
            state_dict.setdefault(prefix + "num_batches_tracked", count)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)

    def extra_repr(self) -> str:
        """The arguments, as torch prints them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of inputs of shape (N, C) or (N, C, L); equal to ``torch.nn.BatchNorm1d``.

    Args:
        num_features: the number of channels, C.
        eps: added to the variance.
        momentum: the share of the new batch in the running statistics; None keeps the plain average over all batches.
        affine: whether the layer has a weight and a bias for each channel, initialized to 1 and 0.
        track_running_stats: whether it keeps running statistics; without them, eval mode uses the batch's, too.
        device: where parameters and buffers are made.
        dtype: of parameters and buffers.
        bias: whether an affine layer has the bias.

    Raises:
        ValueError: when called, for an input with another number of dimensions, or as :func:`batch_norm` does.

    >>> layer = BatchNorm1d(3)
    >>> layer.load_state_dict(nn.BatchNorm1d(3).state_dict())
    <All keys matched successfully>
    """

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of images of shape (N, C, H, W); equal to ``torch.nn.BatchNorm2d``.

    The arguments are those of :class:`BatchNorm1d`.

    >>> BatchNorm2d(3)
    BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of volumes of shape (N, C, D, H, W); equal to ``torch.nn.BatchNorm3d``.

    The arguments are those of :class:`BatchNorm1d`.

    >>> BatchNorm3d(3)(torch.randn(2, 3, 4, 4, 4)).shape
    torch.Size([2, 3, 4, 4, 4])
    """

    _dims = (5,)


def _per_channel(vector: Tensor, x: Tensor) -> Tensor:
    """Shape one value per channel so that it meets dimension 1 of x."""
    return vector.view(1, -1, *[1] * (x.dim() - 2))


def _check_input(input: Tensor, training: bool, eps: float) -> None:
    if input.dim() < 2:
        raise ValueError(f"input of shape {tuple(input.shape)}, but it must have at least the dimensions (N, C)")
    if not input.is_floating_point():
        raise NotImplementedError(f"input of dtype {input.dtype}, but it must be a real floating-point tensor")
    if training and input.shape[0] * math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"eps = {eps}, but it must not be negative, and positive in training")


def _check_vectors(input: Tensor, **vectors: Tensor | None) -> None:
    given = {name: vector for name, vector in vectors.items() if vector is not None}
    for name, vector in given.items():
        _check_vector(input, name, vector)
    if len({vector.dtype for vector in given.values()}) > 1:
        found = ", ".join(f"{name} is {vector.dtype}" for name, vector in given.items())
        raise RuntimeError(f"{found}, but they must have one dtype")


def _check_vector(input: Tensor, name: str, vector: Tensor) -> None:
    channels, half = input.shape[1], input.dtype in (torch.float16, torch.bfloat16)
    statistic = name.startswith("running")
    if vector.numel() != channels:
        raise RuntimeError(f"{name} should contain {channels} elements not {vector.numel()}")
    if statistic and vector.dim() != 1:
        raise RuntimeError(f"{name} has shape {tuple(vector.shape)}, but it must have shape ({channels},)")
    if channels == 0 and not statistic:
        raise ValueError(f"input of shape {tuple(input.shape)} has no channels that a {name} could act on")
    if vector.dtype != input.dtype and not (half and vector.dtype == torch.float32):
        raise RuntimeError(f"{name} is {vector.dtype}, but it must have the input's dtype, {input.dtype}")
