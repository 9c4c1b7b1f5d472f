r"""Tabulate how every parameter of a model was initialized, by statistical tests rather than by reading its code.

:func:`audit` makes the table of a model, one row per parameter and buffer, each named by
:func:`tutorial_utils.recognize.recognize`; ``python -m tutorial_utils.audit package.module:factory`` prints that table
for a model in a file of the reader's own, as text, as CSV or as JSON.
"""

import json
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any, TypeGuard

import pandas as pd
import torch
from torch import Tensor, nn

from tutorial_utils.anatomy import blocks, equal_units, torch_fans, true_fans, units
from tutorial_utils.command import ALARMING, FINE, RequestError, argument_parser, build, counted, write
from tutorial_utils.recognize import (
    Recognition,
    Sample,
    candidates,
    check_alpha,
    judge,
    obstacle,
    read,
    spread,
)

__all__ = ["alarms", "audit", "main", "totals"]

Patterns = str | Iterable[str]
_EXACT = {"zeros", "ones", "constant", "identity", "orthogonal", "uninitialized"}  # named without a test of a law
_NOT_RANDOM = _EXACT - {"orthogonal"} | {"not there yet", "not finite", "not real", "empty"}
_FEWEST_COPIED = 8  # entries: fewer may agree by chance
_SIZES = ("fan_in", "fan_out", "torch_fan_in", "torch_fan_out")


def audit(
    model: nn.Module,
    *,
    include: Patterns = (),
    exclude: Patterns = (),
    buffers: bool = True,
    alpha: float = 1e-3,
) -> pd.DataFrame:
    r"""Tabulate the parameters and buffers of a model, each with the scheme it was drawn by. The model is only read.

    A scheme is recognized with the fans that ``torch.nn.init`` reads from a weight's shape, because its author's call
    used these. What a layer really sums over is in the columns ``fan_in`` and ``fan_out``; where torch's count is
    another, as for transposed, grouped and strided convolutions, it is in ``torch_fan_in`` and ``torch_fan_out``.

    The gates of an LSTM or GRU and the three matrices of packed attention are tested as one tensor, as torch draws it,
    and one by one. They get one name if all of them fit it, else "by block", and then ``blocks`` has the name of each.
    The row of an embedding's ``padding_idx`` is left out. Of a tensor with more than 1,048,576 entries, mean, standard
    deviation and tests are those of so many, spread evenly; smallest and largest are those of all.

    Args:
        model: any module with parameters.
        include: shell-style patterns, such as ``"encoder.*.bias"``. A row is kept if one of them matches its name, the
            name of a module that it belongs to, or its module's class; without any pattern all rows are kept.
        exclude: patterns of the same kind; a row that matches one is left out.
        buffers: whether buffers have rows, too, after the parameters.
        alpha: the false-alarm rate of each tensor's test, between 0 and 1.

    Returns:
        One row per tensor, a shared one once. Columns: ``path`` (of the module), ``class``, ``parameter``, ``kind``
        ("parameter" or "buffer"), ``trainable``, ``shape``, ``fan_in``, ``fan_out``, ``torch_fan_in``,
        ``torch_fan_out``, ``mean``, ``std``, ``min``, ``max``, ``sigma_w`` (:math:`\sqrt{n_\text{in}}` std, for
        matrices), ``scheme``, ``aliases``, ``nearest``, ``ratio`` and ``p`` (see
        :class:`~tutorial_utils.recognize.Recognition`), ``blocks``, ``equal_units`` (how many outputs have the same
        weights as another one), ``equal_to`` (a random tensor with the same entries: a copied layer) and ``shared``
        (a shared parameter's other names). A tensor that cannot be tested says why in the column ``scheme``: "not there
        yet" (lazy, or on the meta device), "not finite", "not real" (integer or complex), "empty".

    Raises:
        TypeError: if ``model`` is not a module.
        ValueError: if it has no parameters, if a pattern of ``include`` matches nothing, if nothing is left, or if
            ``alpha`` does not lie between 0 and 1.

    >>> table = audit(nn.Sequential(nn.Linear(300, 200), nn.LayerNorm(200)))
    >>> list(table.path), list(table.parameter)
    (['0', '0', '1', '1'], ['weight', 'bias', 'weight', 'bias'])
    >>> list(table.scheme[2:])
    ['ones', 'zeros']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model = {model!r}, but it must be a torch.nn.Module (an instance, not its class)")
    check_alpha(alpha)
    tensors = _tensors(model, buffers)
    if not any(isinstance(tensor, nn.Parameter) for tensor in tensors):
        raise ValueError(f"{type(model).__name__} has no parameters to audit")
    chosen = _chosen(model, tensors, _listed(include), _listed(exclude))
    table = pd.DataFrame([_row(model, tensor, tensors[tensor], alpha) for tensor in chosen])
    table.insert(len(table.columns) - 1, "equal_to", _copies(chosen, tensors, table["scheme"]))
    return table.astype(dict.fromkeys(_SIZES, "Float64") | {"equal_units": "Int64"})


def totals(table: pd.DataFrame) -> str:
    """Count what an audited model consists of, in one sentence; a tensor that is not there yet counts no numbers.

    >>> totals(audit(nn.BatchNorm1d(5)))
    '2 parameters with 10 numbers, 10 of them trainable; 3 buffers with 11 numbers'
    """
    sizes = table["shape"].map(lambda shape: math.prod(shape) if shape is not None else 0)
    own = table["kind"] == "parameter"
    trainable = sizes[table["trainable"]].sum()
    them = "" if sizes[own].sum() == 1 else "of them "
    text = f"{_sized('parameter', sizes[own])}, {trainable:,} {them}trainable"
    return text if own.all() else f"{text}; {_sized('buffer', sizes[~own])}"


def _sized(what: str, sizes: "pd.Series[int]") -> str:
    return f"{counted(len(sizes), what)} with {counted(sizes.sum(), 'number')}"


def alarms(table: pd.DataFrame) -> list[str]:
    """Say which rows of an audit cannot be meant: numbers that nobody wrote or that are not finite, and equal units.

    Units that are equal get equal gradients and stay equal; those of weights that are all zero are not among them,
    since a layer is often started at zero on purpose.

    >>> layer = nn.Linear(3, 2)
    >>> _ = layer.weight.data.fill_(1e18)
    >>> alarms(audit(layer))
    ['weight: no initializer gives numbers of this size; its memory was probably never written']
    """
    found = []
    for row in _records(table):
        if row["scheme"] == "uninitialized":
            found.append(
                f"{_full(row)}: no initializer gives numbers of this size; its memory was probably never written"
            )
        elif row["scheme"] == "not finite":
            found.append(f"{_full(row)}: holds NaN or infinity")
        elif row["trainable"] and not pd.isna(row["equal_units"]) and row["equal_units"] > 0:
            found.append(f"{_full(row)}: {row['equal_units']} units have exactly the weights of another unit")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print the audit of a model that the command line names: ``python -m tutorial_utils.audit my_code:make_model``.

    What follows the colon is a model, or makes one when called without arguments: a function or a class.

    Returns:
        The exit code: 0, or 1 if there are :func:`alarms`. A mistake in the request or in the reader's code exits
        with 2.
    """
    parser = argument_parser("tutorial_utils.audit", "Print what every parameter and buffer of a model starts as.")
    parser.add_argument(
        "--include", metavar="PATTERN", action="append", default=[], help="only these, e.g. 'encoder.*'"
    )
    parser.add_argument("--exclude", metavar="PATTERN", action="append", default=[], help="not these, e.g. BatchNorm2d")
    parser.add_argument("--no-buffers", dest="buffers", action="store_false", help="parameters only")
    parser.add_argument(
        "--alpha", type=float, default=1e-3, help="false-alarm rate of each test (default: %(default)s)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const=_as_csv, help="print all columns as CSV")
    form.add_argument("--json", dest="form", action="store_const", const=_as_json, help="print all columns as JSON")
    options = vars(parser.parse_args(arguments))
    name, seed, form_of = options.pop("model"), options.pop("seed"), options.pop("form") or _as_text
    try:
        table = audit(build(name, seed=seed), **options)
    except (RequestError, TypeError, ValueError) as error:
        parser.error(str(error))
    write(form_of(table))
    return ALARMING if alarms(table) else FINE


def _as_csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False).rstrip("\n")


def _as_json(table: pd.DataFrame) -> str:
    """The rows, what is alarming about them, and the totals; what is not there is null."""
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    return json.dumps({"rows": rows, "alarms": alarms(table), "totals": totals(table)}, indent=1)


def _as_text(table: pd.DataFrame) -> str:
    """One line for each tensor, under the name of its module, no wider than the terminal; alarms and totals below."""
    width = min(shutil.get_terminal_size().columns, 100)
    lines = [_line("  parameter", "shape", "std", "sigma_w", "scheme")]
    for (path, kind), rows in table.groupby(["path", "class"], sort=False):
        lines.append(f"{path or '(the model itself)'}: {kind}")
        for row in _records(rows):
            lines.append(_line("  " + row["parameter"], _shape(row), *_digits(row, "std", "sigma_w"), row["scheme"]))
            lines += [f"      {remark}" for remark in _remarks(row)]
    lines += [f"ALARM {alarm}" for alarm in alarms(table)] + [totals(table)]
    return "\n".join(part for line in lines for part in _wrapped(line, width))


def _line(*cells: str) -> str:
    return "{:22} {:>17} {:>8} {:>8}  {}".format(*cells)


def _shape(row: dict[str, Any]) -> str:
    return "?" if row["shape"] is None else " x ".join(map(str, row["shape"])) or "1 number"


def _digits(row: dict[str, Any], *names: str) -> list[str]:
    return ["" if math.isnan(row[name]) else f"{row[name]:.3g}" for name in names]


def _remarks(row: dict[str, Any]) -> list[str]:
    """What a row has to say beyond its numbers, in words."""
    of_family = row["scheme"] in ("normal", "uniform", "truncated normal") and row["nearest"]
    remarks = {
        "a buffer": row["kind"] == "buffer",
        "frozen": row["kind"] == "parameter" and not row["trainable"],
        f"its standard deviation is {row['ratio']:.3g} times that of {row['nearest']}": of_family,
        f"the same distribution as {row['aliases']}": row["aliases"] and row["scheme"] != "undecided",
        f"it may be any of {row['aliases']}": row["aliases"] and row["scheme"] == "undecided",
        f"by block: {row['blocks']}": row["blocks"],
        _fan_remark(row): not pd.isna(row["torch_fan_in"]),
        f"the same numbers as {row['equal_to']}": row["equal_to"],
        f"shared with {row['shared']}": row["shared"],
    }
    return [remark for remark, holds in remarks.items() if holds]


def _fan_remark(row: dict[str, Any]) -> str:
    return (
        ""
        if pd.isna(row["torch_fan_in"])
        else f"fan_in is {row['fan_in']:g}; torch.nn.init reads {row['torch_fan_in']:g}"
    )


def _wrapped(line: str, width: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True) or [line]


def _tensors(model: nn.Module, buffers: bool) -> dict[Tensor, list[str]]:
    """The tensors of a model, each with all its names; as keys, tensors are compared by identity."""
    names: dict[Tensor, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    for name, buffer in model.named_buffers(remove_duplicate=False) if buffers else ():
        names.setdefault(buffer, []).append(name)
    return names


def _listed(patterns: Patterns) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _chosen(model: nn.Module, tensors: dict[Tensor, list[str]], include: list[str], exclude: list[str]) -> list[Tensor]:
    """The tensors that the patterns let through."""
    known = {tensor: _known_as(model, names) for tensor, names in tensors.items()}

    def matching(pattern: str) -> list[Tensor]:
        return [tensor for tensor, names in known.items() if any(fnmatchcase(name, pattern) for name in names)]

    for pattern in include:
        if not matching(pattern):
            first = next(iter(tensors.values()))[0]
            raise ValueError(f"include: {pattern!r} matches no name or class in this model, such as {first!r}")
    wanted = {tensor for pattern in include for tensor in matching(pattern)} if include else set(tensors)
    unwanted = {tensor for pattern in exclude for tensor in matching(pattern)}
    chosen = [tensor for tensor in tensors if tensor in wanted - unwanted]
    if not chosen:
        raise ValueError(f"include = {include} and exclude = {exclude} leave nothing of the model")
    return chosen


def _known_as(model: nn.Module, names: list[str]) -> set[str]:
    """What patterns may match: a tensor's names, those of the modules around it, and its module's class."""
    classes = {type(_owner(model, name)).__name__ for name in names}
    return classes.union(*(accumulate(name.split("."), "{}.{}".format) for name in names))


def _owner(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])


def _row(model: nn.Module, tensor: Tensor, names: list[str], alpha: float) -> dict[str, Any]:
    """The row of one tensor: where it stands, its sizes, its moments, its scheme."""
    path, _, short = names[0].rpartition(".")
    owners = [_owner(model, name) for name in names]
    exists = not isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)
    values = _without_padding(tensor, owners) if exists else tensor
    reason = obstacle(values)
    fans = _fans(_layer(model, path), short, tensor) if exists else {}
    return {
        "path": path,
        "class": type(owners[0]).__name__,
        "parameter": short,
        "kind": "parameter" if isinstance(tensor, nn.Parameter) else "buffer",
        "trainable": isinstance(tensor, nn.Parameter) and tensor.requires_grad,
        "shape": tuple(tensor.shape) if exists else None,
        **{name: fans.get(name) for name in _SIZES},
        **(_unmeasured(reason) if reason else _measured(owners[0], short, values, fans, alpha)),
        "equal_units": None if reason else _equal_units(owners[0], short, values),
        "shared": ", ".join(names[1:]),
    }


def _measured(
    module: nn.Module, name: str, values: Tensor, fans: dict[str, float | None], alpha: float
) -> dict[str, Any]:
    """The columns that are computed from the entries."""
    sample = read(values)
    found, by_block = _recognized(module, name, values, sample, alpha)
    return {
        "mean": sample.mean,
        "std": sample.std,
        "min": sample.low,
        "max": sample.high,
        "sigma_w": sample.std * math.sqrt(fans.get("fan_in") or 0) if values.dim() > 1 else math.nan,
        "scheme": found.scheme,
        "aliases": ", ".join(found.aliases),
        "nearest": found.nearest,
        "ratio": found.ratio,
        "p": found.p,
        "blocks": by_block,
    }


def _unmeasured(reason: str) -> dict[str, Any]:
    """The same columns where there is nothing to compute from; the scheme says why."""
    nothing: dict[str, Any] = dict.fromkeys(("mean", "std", "min", "max", "sigma_w"), math.nan)
    return nothing | {"scheme": reason, "aliases": "", "nearest": "", "ratio": math.nan, "p": math.nan, "blocks": ""}


def _recognized(module: nn.Module, name: str, values: Tensor, sample: Sample, alpha: float) -> tuple[Recognition, str]:
    """What a tensor is recognized as; for one that packs several, the better of the whole and of its blocks."""
    whole = judge(values, sample, _sizes(module, name, values), alpha)
    parts = {} if whole.scheme in _EXACT else dict(blocks(module, name, values))
    found = {one: judge(part, read(part), _sizes(module, name, part), alpha) for one, part in parts.items()}
    schemes = {recognition.scheme for recognition in found.values()}
    if len(schemes) == 1 and _rank(*schemes) < _rank(whole.scheme):
        p = min(1.0, len(found) * min(recognition.p for recognition in found.values()))
        return next(iter(found.values()))._replace(p=p), ", ".join(found)
    if schemes & _EXACT or (whole.scheme == "unknown" and schemes - {"unknown"}):
        named = "; ".join(f"{one} {recognition.scheme}" for one, recognition in found.items())
        return Recognition("by block", math.nan, math.nan, ()), named
    return whole, ""


def _rank(scheme: str) -> float:
    """A candidate's place, the smallest where names coincide; of all that is no candidate, none."""
    order = list(candidates())
    return order.index(scheme) if scheme in order else math.inf


def _fans(layer: nn.Module, name: str, tensor: Tensor) -> dict[str, float | None]:
    """The true fans, and torch's where they differ: of a matrix its own, of a bias those of its layer's weight."""
    weight = tensor if tensor.dim() > 1 else _weight(layer)
    if tensor.dim() < 2 and ("bias" not in name or _is_recurrent(layer)):
        return {}
    true, read_by_torch = (true_fans(layer, weight), torch_fans(weight)) if weight is not None else (None, None)
    if true is None or read_by_torch is None:
        return {}
    found: dict[str, float | None] = {}
    for one, count, torch_count in zip(("fan_in", "fan_out"), true, read_by_torch, strict=True):
        if tensor.dim() > 1 or one == "fan_in":
            found |= {one: count, f"torch_{one}": None if count == torch_count else torch_count}
    return found


def _sizes(module: nn.Module, name: str, tensor: Tensor) -> dict[str, float | int | None]:
    """The numbers from which a scheme may have been computed: fans as torch.nn.init reads them, and hidden sizes."""
    sizes: dict[str, float | int | None] = {}
    if _is_recurrent(module):
        sizes["hidden_size"] = module.hidden_size
    elif isinstance(module, nn.Bilinear):
        sizes["in1_features"] = module.in1_features
    if tensor.dim() > 1:
        fans = torch_fans(tensor)
        return sizes | ({"fan_in": fans[0], "fan_out": fans[1]} if fans else {})
    weight = _weight(module)
    fans = None if weight is None or "bias" not in name or _is_recurrent(module) else torch_fans(weight)
    return sizes | ({"fan_in": fans[0]} if fans else {})


def _is_recurrent(module: nn.Module) -> TypeGuard[nn.RNNBase | nn.RNNCellBase]:
    return isinstance(module, nn.RNNBase | nn.RNNCellBase)


def _layer(model: nn.Module, path: str) -> nn.Module:
    """The module that computes with a tensor: of a parametrization's own tensors, the one that is parametrized."""
    return model.get_submodule(re.sub(r"(^|\.)parametrizations\..*", "", path))


def _weight(module: nn.Module) -> Tensor | None:
    """The matrix of a module, read without running what a parametrization would compute from it."""
    prefixes = ("weight", "in_proj_weight", "parametrizations.weight.")
    parameters = [p for name, p in module.named_parameters() if name.startswith(prefixes)]
    matrices = [p for p in parameters if not isinstance(p, nn.UninitializedParameter) and p.dim() > 1]
    return matrices[-1] if matrices else None  # of weight_norm's two, the direction comes last


def _without_padding(tensor: Tensor, owners: list[nn.Module]) -> Tensor:
    """An embedding's rows that are looked up and trained."""
    padding = {owner.padding_idx for owner in owners if isinstance(owner, nn.Embedding | nn.EmbeddingBag)} - {None}
    return tensor[[row for row in range(len(tensor)) if row not in padding]] if padding else tensor


def _equal_units(module: nn.Module, name: str, values: Tensor) -> int | None:
    """How many outputs of the layer have the weights of another one; None where rows are no outputs."""
    groups = units(module, name, values.detach())
    return None if groups is None else equal_units(groups)


def _copies(chosen: list[Tensor], tensors: dict[Tensor, list[str]], schemes: Iterable[str]) -> list[str]:
    """For each tensor the name of an earlier one with the same random entries; empty if there is none."""
    first: dict[Any, Tensor] = {}
    found = []
    for tensor, scheme in zip(chosen, schemes, strict=True):
        original = tensor
        if isinstance(tensor, nn.Parameter) and scheme not in _NOT_RANDOM and tensor.numel() >= _FEWEST_COPIED:
            sample = spread(tensor.detach().flatten(), 64).tolist()
            original = first.setdefault((tensor.shape, tensor.dtype, *sample), tensor)
        is_copy = original is not tensor and torch.equal(original, tensor)
        found.append(tensors[original][0] if is_copy else "")
    return found


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _full(row: dict[str, Any]) -> str:
    return f"{row['path']}.{row['parameter']}".removeprefix(".")


if __name__ == "__main__":
    sys.exit(main())
