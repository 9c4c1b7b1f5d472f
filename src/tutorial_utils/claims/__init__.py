"""The claims of the book and of its sources, each with the measurement that could refute it.

:mod:`~tutorial_utils.claims.registry` says what a claim is, :mod:`~tutorial_utils.claims.experiments` holds what their
measurements share, and :mod:`~tutorial_utils.claims.ledger` measures them all. The claims stand in one module for each
topic, each a function whose name, with hyphens, is the claim's id: ``he-keeps-angles`` is ``he.he_keeps_angles``.
"""

from importlib import import_module

from tutorial_utils.claims.registry import CLAIMS

#: The modules with claims, in the order of the ledger.
TOPICS = (
    "why_the_start_matters",
    "variance_through_a_layer",
    "glorot",
    "he",
    "any_activation_any_layer",
    "reset_parameters",
    "initialize_your_model",
    "every_default",
    "batchnorm_training",
    "batchnorm_inference",
    "batchnorm_clinic",
    "what_batchnorm_buys",
    "scale_invariance",
    "why_batchnorm_helps",
    "batchnorm_in_depth",
    "glorot_table_1",
)
for _topic in TOPICS:
    import_module(f"{__name__}.{_topic}")

__all__ = ["CLAIMS", "TOPICS"]
