"""On which cells of a notebook an expression depends, as far as their text tells.

>>> cells = ["import math", "def root(x): return math.sqrt(x)", "unrelated = 1", "largest = root(2)"]
>>> needed("largest", cells)
[0, 1, 3]
"""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from IPython.core.inputtransformer2 import TransformerManager


class Names(NamedTuple):
    """The names that a text gives a meaning to, or changes what they stand for, and those that it uses."""

    bound: frozenset[str]
    used: frozenset[str]


def needed(expression: str, cells: Sequence[str]) -> list[int]:
    """The cells that give a meaning to the names of an expression, or to those that such cells use in turn."""
    wanted, found = set(names(expression).used), set[int]()
    while new := [
        number for number in range(len(cells)) if number not in found and names(cells[number]).bound & wanted
    ]:
        found.update(new)
        wanted.update(*(names(cells[number]).used for number in new))
    return sorted(found)


def is_bound(expression: str, cells: Sequence[str]) -> bool:
    """Whether one of some cells gives a meaning to a name of an expression."""
    return any(names(cell).bound & names(expression).used for cell in cells)


@lru_cache(maxsize=1000)
def names(text: str) -> Names:
    r"""The names in the text of a cell; in one that is no Python, each word may be anything.

    >>> sorted(names("%%time\nnet.weight = draw()").bound)
    ['net']
    """
    try:
        manager: Any = TransformerManager
        tree = ast.parse(manager().transform_cell(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = frozenset(re.findall(r"[^\W\d]\w*", text))
        return Names(words, words)
    parts = [names(body) for body in _bodies_of_magics(tree)]
    return Names(
        frozenset(_bound(tree)).union(*(part.bound for part in parts)),
        frozenset(_used(tree)).union(*(part.used for part in parts)),
    )


def _bodies_of_magics(tree: ast.AST) -> Iterator[str]:
    """What stands below a `%%magic`, or behind a `%magic`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_magic"):
            last = node.args[-1]
            if isinstance(last, ast.Constant) and isinstance(last.value, str):
                yield last.value


def _used(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def _bound(tree: ast.AST) -> Iterator[str]:
    """Names with a meaning outside of functions; those global in one, too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            yield from (name for one in ast.walk(node) if isinstance(one, ast.Global) for name in one.names)
            continue
        if isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield from _used(node)
        yield from _bound(node)
