"""A tensor in a few numbers, at a cost that does not grow with it: extremes of all entries, the rest from a sample."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.float64]

ENTRIES = 2**17  # of the sample; a root mean square of so many is off by 0.2 percent
ROWS = 2**12


@dataclass(frozen=True)
class Statistics:
    """The numbers of one tensor, whose first dimension counts the examples.

    ``cosine`` is the mean over pairs of examples, ``apart`` the mean over pairs of 1 minus it, computed without
    cancellation. ``low`` and ``high`` are the extremes of all entries, ``not_finite`` counts all entries.
    """

    shape: tuple[int, ...]
    mean: float
    second_moment: float
    low: float
    high: float
    zero_share: float
    not_finite: int
    apart: float
    dead_share: float
    edge_share: float = math.nan  # of entries beyond +-0.98

    @property
    def rms(self) -> float:
        """Root mean square."""
        return math.sqrt(self.second_moment)

    @property
    def var(self) -> float:
        """Variance."""
        return max(self.second_moment - self.mean**2, 0.0)

    @property
    def cosine(self) -> float:
        """Mean cosine between two examples."""
        return 1 - self.apart

    @property
    def numel(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


def statistics(tensor: Tensor) -> Statistics:
    """Summarize a tensor.

    >>> s = statistics(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> s.rms ** 2, s.cosine, s.zero_share
    (0.5000000000000001, 0.0, 0.5)
    """
    tensor = plain(tensor)
    low, high = extremes(tensor)
    rows: Rows = sample(tensor).numpy()  # small by now, where NumPy is quicker
    finite = math.isfinite(low) and math.isfinite(high)
    kept = rows if finite else np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    if not kept.size:
        nan = math.nan
        return Statistics(tuple(tensor.shape), nan, nan, low, high, nan, 0, nan, nan)
    sizes, zero = np.abs(kept), kept == 0
    scale = max(float(sizes.max()), 1e-300)
    scaled = kept / scale  # squares of 1e200 would overflow, of 1e-200 vanish
    return Statistics(
        shape=tuple(tensor.shape),
        mean=float(kept.mean()),
        second_moment=float(np.square(scaled).mean()) * scale**2,
        low=low,
        high=high,
        zero_share=float(zero.mean()),
        not_finite=0 if finite else int((~tensor.isfinite()).sum()),
        apart=_apart(scaled) if scaled.shape[1] > 1 else math.nan,
        dead_share=float(zero.all(axis=0).mean()),
        edge_share=float((sizes > 0.98).mean()),
    )


def plain(tensor: Tensor) -> Tensor:
    """The numbers themselves: the entries that a sparse tensor stores, real and imaginary parts of a complex one."""
    tensor = tensor.detach()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_sparse_coo().coalesce().values()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def extremes(tensor: Tensor) -> tuple[float, float]:
    """The least and the largest entry; NaN if there is a NaN."""
    if not tensor.numel():
        return math.nan, math.nan
    low, high = tensor.aminmax()
    return float(low), float(high)


def sample(tensor: Tensor) -> Tensor:
    """A matrix with a row for each example and evenly spread entries of it, in float64 on the CPU."""
    flat = tensor.reshape(len(tensor) if tensor.dim() else 1, -1)
    if len(flat) > ROWS:
        flat = flat[:: math.ceil(len(flat) / ROWS)]
    width = flat.shape[1]
    if flat.numel() > ENTRIES:
        step = _step(math.ceil(flat.numel() / ENTRIES), tuple(tensor.shape[1:]))
        flat = flat[:, ::step] if step < width else flat[:, :1]
    return flat.cpu().double()


def _step(least: int, shape: tuple[int, ...]) -> int:
    """A stride with no common divisor with any dimension, so that every channel, row and column is met."""
    return next(step for step in range(least, 10 * least + 100) if math.gcd(step, math.prod(shape)) == 1)


def _apart(rows: Rows) -> float:
    """The mean over pairs of examples of 1 - cosine, through the deviations from the mean direction.

    The squared distances of n unit vectors, summed over pairs, are n times their squared deviations from the mean.
    """
    sizes = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    if len(rows) < 2 or not sizes.any():
        return math.nan
    units = rows / np.maximum(sizes, 1e-300)
    return float(np.square(units - units.mean(axis=0)).sum()) / (len(rows) - 1) + float((sizes == 0).mean())


def rms(tensor: Tensor) -> float:
    """Root mean square, also where squares would leave the range of float32; NaN if there are no entries.

    >>> f"{rms(torch.tensor([1e30, -7e30])):.3g}"
    '5e+30'
    """
    return norm(tensor) / math.sqrt(tensor.numel()) if tensor.numel() else math.nan


def rank_correlation(values: list[float]) -> float:
    """Spearman's correlation of values with their position.

    >>> rank_correlation([1.0, 2.0, 5.0]), rank_correlation([3.0, 2.0, 1.0])
    (1.0, -1.0)
    """
    n = len(values)
    order = sorted(range(n), key=values.__getitem__)
    ranks = [0] * n
    for rank, index in enumerate(order):
        ranks[index] = rank
    return 1 - 6 * sum((rank - index) ** 2 for index, rank in enumerate(ranks)) / (n * (n**2 - 1))


def norm(tensor: Tensor) -> float:
    """The Euclidean norm, also where squares would leave the range of float32."""
    values = plain(tensor)
    low, high = extremes(values)
    scale = max(abs(low), abs(high))
    if not math.isfinite(scale) or scale == 0:
        return scale
    if 1e-12 < scale < 1e12 and values.dtype in (torch.float32, torch.float64):
        return float(torch.linalg.vector_norm(values))
    dtype = torch.float64 if values.numel() < ENTRIES else torch.float32
    return float(torch.linalg.vector_norm((values.to(torch.float64) / scale).to(dtype))) * scale
