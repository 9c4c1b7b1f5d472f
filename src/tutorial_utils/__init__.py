"""The code behind Good Starts: small modules, one concept each, imported by the name of the concept.

From the bottom up: :mod:`~tutorial_utils.data`, :mod:`~tutorial_utils.gains` and :mod:`~tutorial_utils.sampling` know
nothing of the others; :mod:`~tutorial_utils.initializers` and :mod:`~tutorial_utils.networks` make networks;
:mod:`~tutorial_utils.propagation`, :mod:`~tutorial_utils.training` and :mod:`~tutorial_utils.audit` run and read them;
:mod:`~tutorial_utils.defaults` audits torch.nn, :mod:`~tutorial_utils.diagnose` says where a model starts wrong, and
:mod:`~tutorial_utils.plotting` draws what was measured.
"""
