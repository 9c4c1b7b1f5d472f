"""The code behind Good Starts: small modules, one concept each, imported by the name of the concept.

From the bottom up: :mod:`~tutorial_utils.data` and :mod:`~tutorial_utils.gains` know nothing of the others;
:mod:`~tutorial_utils.initializers` and :mod:`~tutorial_utils.networks` make networks;
:mod:`~tutorial_utils.propagation` and :mod:`~tutorial_utils.training` run and measure them;
:mod:`~tutorial_utils.plotting` draws what was measured.
"""
