"""The claims of the book and of its sources, each with the measurement that could refute it.

:mod:`~tutorial_utils.claims.registry` says what a claim is; the other modules register them, one for each part of the
book; :mod:`~tutorial_utils.claims.ledger` measures them all.
"""

from tutorial_utils.claims import initialization, normalization, pytorch
from tutorial_utils.claims.registry import CLAIMS

__all__ = ["CLAIMS", "initialization", "normalization", "pytorch"]
