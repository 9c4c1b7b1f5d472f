"""Data sets that need no download: the handwritten digits bundled with scikit-learn."""

from typing import NamedTuple

import torch
from torch import Tensor

N_DIGITS = 1797


class Split(NamedTuple):
    """A data set in two parts: inputs of shape (examples, features) and integer labels of shape (examples,)."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


def digits(n_train: int = 1437, *, generator: torch.Generator | None = None) -> Split:
    r"""The 1,797 digits of 8 × 8 pixels, shuffled, split, and standardized by one mean and one standard deviation.

    Both are taken over all pixels of the training images, so the inputs have second moment 1 on the training set:
    :math:`\frac{1}{N d} \sum_{i,j} x_{ij}^2 = 1`.

    Args:
        n_train: number of training images; the rest are the test images.
        generator: makes the shuffle; without one, torch's global generator is used.

    Returns:
        A :class:`Split` in torch's default dtype: ``x_train`` of shape (n_train, 64), labels 0 to 9.

    Raises:
        ValueError: if ``n_train`` leaves the training or the test part without an image.

    Source: Alpaydin and Kaynak (1998), as shipped with scikit-learn.

    >>> split = digits(1000, generator=torch.Generator().manual_seed(0))
    >>> tuple(split.x_train.shape), tuple(split.x_test.shape)
    ((1000, 64), (797, 64))
    """
    if not 0 < n_train < N_DIGITS:
        raise ValueError(
            f"n_train = {n_train}, but it must lie between 1 and {N_DIGITS - 1}: there are {N_DIGITS} digits"
        )
    from sklearn.datasets import load_digits  # a second, which most who import this module need not wait

    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(N_DIGITS, generator=generator)
    x = torch.as_tensor(pixels, dtype=torch.get_default_dtype())[order]
    y = torch.as_tensor(labels, dtype=torch.long)[order]
    x = (x - x[:n_train].mean()) / x[:n_train].std(correction=0)
    return Split(x[:n_train], y[:n_train], x[n_train:], y[n_train:])
