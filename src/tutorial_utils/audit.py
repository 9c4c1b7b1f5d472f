r"""Tabulate how every parameter of a model was initialized, by statistical tests rather than by reading its code.

:func:`audit` makes the table of a model, one row per parameter, each named by
:func:`tutorial_utils.recognize.recognize`; ``python -m tutorial_utils.audit package.module:factory`` prints that table
for a model in a file of the reader's own.
"""

import argparse
import importlib
import math
from typing import Any

import pandas as pd
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.recognize import check_alpha, obstacle, read, recognize


def audit(model: nn.Module, *, alpha: float = 1e-3) -> pd.DataFrame:
    r"""Tabulate the parameters of a model, each with the scheme it was drawn by. The model is only read.

    Fans are those of ``torch.nn.init``, read from the shape alone: a transposed convolution's fan_in counts its
    outputs, and groups do not lower fan_out. A bias has the fan_in of its module's weight. The row of an embedding's
    ``padding_idx`` is left out. A packed ``in_proj_weight`` of attention is one matrix, as it is to its constructor.

    Args:
        model: any module with parameters.
        alpha: the false-alarm rate of each parameter's test, between 0 and 1.

    Returns:
        One row per parameter, a shared one once. Columns: ``path`` (of the module), ``class``, ``parameter``,
        ``shape``, ``fan_in``, ``fan_out``, ``mean``, ``std``, ``min``, ``max``, ``sigma_w``
        (:math:`\sqrt{n_\text{in}}` std, for matrices), ``scheme``, ``aliases``, ``nearest``, ``ratio`` and ``p`` (see
        :class:`~tutorial_utils.recognize.Recognition`), and ``shared`` (a shared parameter's other names). A parameter
        that cannot be tested says why in the column ``scheme``: "not there yet" (lazy, or on the meta device), "not
        finite", "not real" (integer or complex), "empty".

    Raises:
        TypeError: if ``model`` is not a module.
        ValueError: if it has no parameters, or if ``alpha`` does not lie between 0 and 1.

    >>> table = audit(nn.Sequential(nn.Linear(300, 200), nn.LayerNorm(200)))
    >>> list(table.path), list(table.parameter)
    (['0', '0', '1', '1'], ['weight', 'bias', 'weight', 'bias'])
    >>> list(table.scheme[2:])
    ['ones', 'zeros']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model = {model!r}, but it must be a torch.nn.Module (an instance, not its class)")
    check_alpha(alpha)
    names: dict[Tensor, list[str]] = {}  # as keys, tensors are compared by identity
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    if not names:
        raise ValueError(f"{type(model).__name__} has no parameters to audit")
    table = pd.DataFrame([_row(model, parameter, known_as, alpha) for parameter, known_as in names.items()])
    return table.astype({"fan_in": "Int64", "fan_out": "Int64"})


def main(arguments: list[str] | None = None) -> None:
    """Print the audit of a model that the command line names: ``python -m tutorial_utils.audit my_code:make_model``.

    What follows the colon is a model, or makes one when called without arguments: a function or a class.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tutorial_utils.audit", description="Print what every parameter of a model starts as."
    )
    parser.add_argument("model", metavar="package.module:factory", help="a model, or what makes one when called")
    parser.add_argument("--alpha", type=float, default=1e-3, help="false-alarm rate of each test, %(default)s")
    options = parser.parse_args(arguments)
    try:
        found = _find(options.model)
    except (ImportError, AttributeError, ValueError) as error:
        parser.error(str(error))
    model = found() if callable(found) and not isinstance(found, nn.Module) else found
    try:
        table = audit(model, alpha=options.alpha)
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    fans = table[["fan_in", "fan_out"]].astype(object)
    shown = table.assign(**fans.where(fans.notna(), ""))  # na_rep does not reach whole numbers
    print(shown.to_string(index=False, na_rep="", float_format="{:.3g}".format))


def _find(name: str) -> Any:
    """The object that ``package.module:attribute`` names."""
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ValueError(f"{name!r} is not of the form package.module:factory")
    return getattr(importlib.import_module(module), attribute)


def _row(model: nn.Module, parameter: Tensor, names: list[str], alpha: float) -> dict[str, Any]:
    """The row of one parameter: where it stands, its sizes, its moments, its scheme."""
    path, _, short = names[0].rpartition(".")
    owners = [model.get_submodule(name.rpartition(".")[0]) for name in names]
    exists = not isinstance(parameter, nn.UninitializedParameter)
    sizes = _sizes(owners[0], short, parameter) if exists else {}
    values = _without_padding(parameter, owners) if exists else parameter
    reason = obstacle(values)
    return {
        "path": path,
        "class": type(owners[0]).__name__,
        "parameter": short,
        "shape": tuple(parameter.shape) if exists else None,
        "fan_in": sizes.get("fan_in"),
        "fan_out": sizes.get("fan_out"),
        **(_unmeasured(reason) if reason else _measured(values, sizes, alpha)),
        "shared": ", ".join(names[1:]),
    }


def _measured(values: Tensor, sizes: dict[str, int | None], alpha: float) -> dict[str, Any]:
    """The columns that are computed from the entries."""
    sample, found = read(values), recognize(values, alpha=alpha, **sizes)
    return {
        "mean": sample.mean,
        "std": sample.std,
        "min": sample.low,
        "max": sample.high,
        "sigma_w": sample.std * math.sqrt(sizes["fan_in"] or 0) if values.dim() > 1 else math.nan,
        "scheme": found.scheme,
        "aliases": ", ".join(found.aliases),
        "nearest": found.nearest,
        "ratio": found.ratio,
        "p": found.p,
    }


def _unmeasured(reason: str) -> dict[str, Any]:
    """The same columns where there is nothing to compute from; the scheme says why."""
    nothing = dict.fromkeys(("mean", "std", "min", "max", "sigma_w"), math.nan)
    return nothing | {"scheme": reason, "aliases": "", "nearest": "", "ratio": math.nan, "p": math.nan}


def _sizes(module: nn.Module, name: str, parameter: Tensor) -> dict[str, int | None]:
    """The numbers from which a parameter's scheme may have been computed; a fan of 0 counts as none."""
    sizes: dict[str, int | None] = {}
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        sizes["hidden_size"] = module.hidden_size
    elif isinstance(module, nn.Bilinear):
        sizes["in1_features"] = module.in1_features
    if parameter.dim() > 1:
        fan_in, fan_out = init._calculate_fan_in_and_fan_out(parameter)
        return sizes | {"fan_in": fan_in or None, "fan_out": fan_out or None}
    weight = _weight(module)
    if "bias" in name and weight is not None and "hidden_size" not in sizes:
        sizes["fan_in"] = init._calculate_fan_in_and_fan_out(weight)[0] or None
    return sizes


def _weight(module: nn.Module) -> Tensor | None:
    """The matrix of a module, read without running what a parametrization would compute from it."""
    prefixes = ("weight", "parametrizations.weight.")
    parameters = [p for name, p in module.named_parameters() if name.startswith(prefixes)]
    matrices = [p for p in parameters if not isinstance(p, nn.UninitializedParameter) and p.dim() > 1]
    return matrices[-1] if matrices else None  # of weight_norm's two, the direction comes last


def _without_padding(parameter: Tensor, owners: list[nn.Module]) -> Tensor:
    """An embedding's rows that are looked up and trained."""
    padding = {owner.padding_idx for owner in owners if isinstance(owner, nn.Embedding | nn.EmbeddingBag)} - {None}
    return parameter[[row for row in range(len(parameter)) if row not in padding]] if padding else parameter


if __name__ == "__main__":
    main()
