"""Answers that are lists of names."""

from collections.abc import Iterable
from typing import Any


def listed(names: Any) -> list[str]:
    """The names that an answer gives, in whatever kind of collection.

    Raises:
        TypeError: if it is no collection of texts; a single text is none.

    >>> listed(name for name in ("weight", "bias"))
    ['weight', 'bias']
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"a list of names is asked for, and this is of type {type(names).__name__}")
    texts = list(names)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"a list of names is asked for, and this one holds something of type {type(text).__name__}")
    return [str(text) for text in texts]
