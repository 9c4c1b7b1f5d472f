r"""How to build one of every parameterized ``torch.nn`` class, and how its parameters are initialized.

The table of :func:`defaults` is measured, not copied from a manual: each example is built by its constructor, its
tensors are recognized by :func:`tutorial_utils.audit.audit`, and the line of torch that last wrote each of them is
recorded while it runs. A class that a newer torch adds has no example, but :func:`parameterized_classes` names it.
"""

import inspect
import math
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tutorial_utils.audit import audit
from tutorial_utils.recognize import candidates


def _after(module: nn.Module, *shape: int) -> nn.Module:
    """A lazy module once it has seen an input of this shape."""
    module(torch.zeros(shape))
    return module


def _encoder_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(64, 4, 96, batch_first=True)


def _decoder_layer() -> nn.TransformerDecoderLayer:
    return nn.TransformerDecoderLayer(64, 4, 96, batch_first=True)


#: One of every class. Wherever one formula could be taken for another, no two sizes are equal, and all are large enough
#: to tell. What follows a comma names a variant that is initialized differently.
EXAMPLES: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(60, 150),
    "LazyLinear": lambda: _after(nn.LazyLinear(150), 2, 60),
    "Bilinear": lambda: nn.Bilinear(20, 30, 150),
    "Conv1d": lambda: nn.Conv1d(20, 150, 5),
    "Conv2d": lambda: nn.Conv2d(20, 150, 3),
    "Conv3d": lambda: nn.Conv3d(10, 150, 2),
    "LazyConv1d": lambda: _after(nn.LazyConv1d(150, 5), 2, 20, 5),
    "LazyConv2d": lambda: _after(nn.LazyConv2d(150, 3), 2, 20, 3, 3),
    "LazyConv3d": lambda: _after(nn.LazyConv3d(150, 2), 2, 10, 2, 2, 2),
    "ConvTranspose1d": lambda: nn.ConvTranspose1d(20, 400, 5),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(20, 400, 3),
    "ConvTranspose3d": lambda: nn.ConvTranspose3d(10, 400, 2),
    "LazyConvTranspose1d": lambda: _after(nn.LazyConvTranspose1d(400, 5), 2, 20, 5),
    "LazyConvTranspose2d": lambda: _after(nn.LazyConvTranspose2d(400, 3), 2, 20, 3, 3),
    "LazyConvTranspose3d": lambda: _after(nn.LazyConvTranspose3d(400, 2), 2, 10, 2, 2, 2),
    "Embedding": lambda: nn.Embedding(100, 30, padding_idx=0),
    "EmbeddingBag": lambda: nn.EmbeddingBag(100, 30),
    "RNN": lambda: nn.RNN(30, 90),
    "LSTM": lambda: nn.LSTM(30, 90, proj_size=20),
    "GRU": lambda: nn.GRU(30, 90),
    "RNNBase": lambda: nn.RNNBase("LSTM", 30, 90),
    "RNNCell": lambda: nn.RNNCell(30, 90),
    "LSTMCell": lambda: nn.LSTMCell(30, 90),
    "GRUCell": lambda: nn.GRUCell(30, 90),
    "RNNCellBase": lambda: nn.RNNCellBase(30, 90, bias=True, num_chunks=1),
    "MultiheadAttention": lambda: nn.MultiheadAttention(512, 4, add_bias_kv=True),
    "MultiheadAttention, kdim": lambda: nn.MultiheadAttention(512, 4, kdim=128, vdim=64),
    "TransformerEncoderLayer": _encoder_layer,
    "TransformerDecoderLayer": _decoder_layer,
    "TransformerEncoder": lambda: nn.TransformerEncoder(_encoder_layer(), 1),
    "TransformerDecoder": lambda: nn.TransformerDecoder(_decoder_layer(), 1),
    "Transformer": lambda: nn.Transformer(64, 4, 1, 1, 96, batch_first=True),
    "BatchNorm1d": lambda: nn.BatchNorm1d(40),
    "BatchNorm2d": lambda: nn.BatchNorm2d(40),
    "BatchNorm3d": lambda: nn.BatchNorm3d(40),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(40),
    "LazyBatchNorm1d": lambda: _after(nn.LazyBatchNorm1d(), 2, 40),
    "LazyBatchNorm2d": lambda: _after(nn.LazyBatchNorm2d(), 2, 40, 1, 1),
    "LazyBatchNorm3d": lambda: _after(nn.LazyBatchNorm3d(), 2, 40, 1, 1, 1),
    "InstanceNorm1d": lambda: nn.InstanceNorm1d(40, affine=True),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(40, affine=True),
    "InstanceNorm3d": lambda: nn.InstanceNorm3d(40, affine=True),
    "LazyInstanceNorm1d": lambda: _after(nn.LazyInstanceNorm1d(affine=True), 2, 40, 2),
    "LazyInstanceNorm2d": lambda: _after(nn.LazyInstanceNorm2d(affine=True), 2, 40, 2, 2),
    "LazyInstanceNorm3d": lambda: _after(nn.LazyInstanceNorm3d(affine=True), 2, 40, 2, 2, 2),
    "LayerNorm": lambda: nn.LayerNorm(40),
    "GroupNorm": lambda: nn.GroupNorm(4, 40),
    "RMSNorm": lambda: nn.RMSNorm(40),
    "PReLU": lambda: nn.PReLU(40),
    "AdaptiveLogSoftmaxWithLoss": lambda: nn.AdaptiveLogSoftmaxWithLoss(96, 400, [60]),
    "LinearCrossEntropyLoss": lambda: nn.LinearCrossEntropyLoss(60, 150),
}
#: Values for the arguments of all other classes, by name; enough to build them and see that they own no parameter.
ARGUMENTS: dict[str, Any] = {
    "affine": True,
    "dim": 1,
    "downscale_factor": 2,
    "groups": 2,
    "kernel_size": 2,
    "module": nn.Identity(),
    "norm_type": 2.0,
    "output_size": 4,
    "padding": 1,
    "size": 2,
    "threshold": 1.0,
    "unflattened_size": (2, 2),
    "upscale_factor": 2,
    "value": 0.0,
}


def parameterized_classes() -> list[str]:
    """Names of the module classes in ``torch.nn`` whose instances own parameters, in alphabetical order.

    Every exported class is built: by its example or, without one, with :data:`ARGUMENTS`, which request optional
    parameters. A class that cannot be built that way counts as parameterized, so that nothing new goes unnoticed.
    Containers, which own only what they are given, own nothing here, except for ``TransformerEncoder`` and
    ``TransformerDecoder``, which copy it.

    >>> [name for name in parameterized_classes() if name.startswith("Conv")][:3]
    ['Conv1d', 'Conv2d', 'Conv3d']
    """
    classes = {name: kind for name, kind in vars(nn).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    return sorted(name for name, kind in classes.items() if name in EXAMPLES or _may_own_parameters(kind))


def defaults(*, alpha: float = 1e-6) -> pd.DataFrame:
    """Build every example and tabulate how its parameters are initialized. Draws come from torch's global generator.

    Args:
        alpha: the chance that one tensor is denied its name; there are more than 200.

    Returns:
        One row per parameter. Columns: ``class`` (the key of :data:`EXAMPLES`), ``owner`` (the class inside it that
        the parameter belongs to), ``parameter`` (its path), ``shape``, ``distribution`` (as
        :func:`~tutorial_utils.recognize.recognize` names it), ``formula``, ``std_predicted`` (by that formula, from the
        shape alone), ``std_measured``, and ``source``: file and line, below torch's directory, of the last statement
        in ``torch.nn`` that wrote the parameter, or "copied" if none did.

    Raises:
        ValueError: if ``alpha`` does not lie between 0 and 1.

    >>> table = defaults().set_index(["class", "parameter"])
    >>> table.formula["Embedding", "weight"], table.formula["Linear", "bias"]
    ('N(0, 1)', 'U(1 / √fan_in)')
    """
    return pd.concat([_rows(name, alpha) for name in EXAMPLES], ignore_index=True)


def _may_own_parameters(kind: type[nn.Module]) -> bool:
    """Whether an instance has parameters, or cannot be made."""
    wanted = inspect.signature(kind).parameters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are deprecated
        try:
            module = kind(**{name: value for name, value in ARGUMENTS.items() if name in wanted})
        except Exception:
            return True
    return any(True for _ in module.parameters())


def _rows(name: str, alpha: float) -> pd.DataFrame:
    """The rows of one example."""
    with _Writers() as writers:
        module = EXAMPLES[name]()
    found = audit(module, buffers=False, alpha=alpha)
    path = found["path"].where(found["path"] == "", found["path"] + ".") + found["parameter"]
    return pd.DataFrame(
        {
            "class": name,
            "owner": found["class"],
            "parameter": path,
            "shape": found["shape"],
            "distribution": found["scheme"],
            "formula": [_formula(row) for _, row in found.iterrows()],
            "std_predicted": [_predicted(row) for _, row in found.iterrows()],
            "std_measured": found["std"],
            "source": [writers.lines.get(module.get_parameter(one), "copied") for one in path],
        }
    )


def _formula(row: "pd.Series[Any]") -> str:
    """The recognized distribution, as its law is printed."""
    scheme, laws = row["scheme"], candidates()
    if scheme in laws:
        return laws[scheme].formula
    return f"{row['mean']:g}" if scheme in ("zeros", "ones", "constant") else str(scheme)


def _predicted(row: "pd.Series[Any]") -> float:
    """The standard deviation of the recognized distribution."""
    if row["scheme"] in candidates():
        return float(row["std"] / row["ratio"])
    return 0.0 if row["scheme"] in ("zeros", "ones", "constant") else math.nan


class _Writers(TorchFunctionMode):
    """Remembers the line of torch.nn that last wrote each parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Tensor, str] = {}  # as keys, tensors are compared by identity

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        written = kwargs.get("tensor", args[0] if args else None)
        name = func.__name__
        in_place = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        if in_place and isinstance(written, nn.Parameter):
            self.lines[written] = _line_of_torch()
        return func(*args, **kwargs)


def _line_of_torch() -> str:
    """The innermost line in progress of a file in torch/nn/modules."""
    root = Path(torch.__file__).parent
    for frame, line in traceback.walk_stack(None):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(root / "nn" / "modules"):
            return f"{file.relative_to(root).as_posix()}:{line}"
    return "copied"
