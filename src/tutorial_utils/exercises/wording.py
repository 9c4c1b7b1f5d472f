"""Tensors and numbers in a tutor's words."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.outcomes import Estimate, Odd

#: The largest tensor that is printed with all its entries.
LARGEST = 24
WIDTH = 84


def number(value: float) -> str:
    """A number with three significant digits.

    >>> number(2 / 3)
    '0.667'
    """
    return f"{value:.3g}"


def pair(one: float, other: float) -> tuple[str, str]:
    """Two numbers, with more digits where three do not tell them apart.

    >>> pair(1.11114, 1.11112)
    ('1.11114', '1.11112')
    """
    written = [(f"{one:.{digits}g}", f"{other:.{digits}g}") for digits in range(3, 18)]
    return next((both for both in written if both[0] != both[1]), written[0])


def shape(value: Tensor) -> str:
    """The shape of a tensor, as one writes it.

    >>> shape(torch.zeros(2, 3))
    '(2, 3)'
    """
    return str(tuple(value.shape))


def show(value: Any) -> str:
    """A value as a reader wants to see it: small tensors entry by entry, large ones by their shape.

    >>> print(show(torch.tensor([[1.0, 2.0], [0.5, 1 / 3]])))
    [[1, 2],
     [0.5, 0.333]]
    """
    if isinstance(value, Tensor):
        return _show_tensor(value.detach())
    if isinstance(value, Estimate):
        return f"{number(value.value)} (standard error {value.error:.1g})"
    if isinstance(value, bool) or not isinstance(value, float):
        return _show_other(value)
    return number(value)


def _show_tensor(value: Tensor) -> str:
    if value.numel() > LARGEST:
        first = ", ".join(_show_list(one) for one in value.flatten()[:4].tolist())
        return f"a tensor of shape {shape(value)}: {first}, ..."
    if value.dim() == 2:
        rows = ",\n ".join(_show_list(row) for row in value.tolist())
        return f"[{rows}]"
    return _show_list(value.tolist())


def _show_list(values: Any) -> str:
    if isinstance(values, list):
        return "[" + ", ".join(_show_list(one) for one in values) + "]"
    return number(values) if isinstance(values, float) else str(values)


def _show_other(value: Any) -> str:
    if isinstance(value, torch.Generator):
        return "a generator"
    if isinstance(value, Odd):
        return f"something of type {value.kind}"
    if isinstance(value, nn.Module):
        return f"a network of class {type(value).__name__}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(one).replace("\n ", " ") for one in value) + "]"
    return textwrap.shorten(repr(value) if isinstance(value, str) else str(value), WIDTH)


def listing(label: str, values: Mapping[str, Any]) -> str:
    """One indented block: a label, then name = value lines."""
    lines: list[str] = []
    for name, value in values.items():
        begin = f"{name} = " if name else ""
        lines += textwrap.indent(show(value), " " * len(begin))[len(begin) :].join((begin, "")).split("\n")
    return "\n".join(f"  {label if index == 0 else '':10} {line}" for index, line in enumerate(lines))


def paragraph(text: str) -> str:
    """The text with lines no longer than the page is wide."""
    return "\n".join(textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in text.split("\n"))


def sentence_list(names: Iterable[str]) -> str:
    """Names joined as in a sentence.

    >>> sentence_list(["a", "b", "c"])
    'a, b and c'
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
