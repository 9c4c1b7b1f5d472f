"""The code behind Good Starts: small modules, one concept each, imported by the name of the concept.

From the bottom up: :mod:`~tutorial_utils.data`, :mod:`~tutorial_utils.shapeset`, :mod:`~tutorial_utils.gains`,
:mod:`~tutorial_utils.stats`, :mod:`~tutorial_utils.normalization`, :mod:`~tutorial_utils.schemes`,
:mod:`~tutorial_utils.checkpoint`, :mod:`~tutorial_utils.sentinel` and :mod:`~tutorial_utils.command` know nothing of
the others; :mod:`~tutorial_utils.initializers` and :mod:`~tutorial_utils.networks` make networks;
:mod:`~tutorial_utils.recognize` names what a tensor was drawn by; :mod:`~tutorial_utils.propagation`,
:mod:`~tutorial_utils.training` and :mod:`~tutorial_utils.coordinate_check` run them; :mod:`~tutorial_utils.anatomy`
knows what a layer does with a parameter, and :mod:`~tutorial_utils.audit` names what each of them starts as;
:mod:`~tutorial_utils.runs` says what a training is, :mod:`~tutorial_utils.stack` trains many networks as one, and
:mod:`~tutorial_utils.sweep` whole grids of them, of which :mod:`~tutorial_utils.laboratory` has stored one;
:mod:`~tutorial_utils.defaults` audits torch.nn, :mod:`~tutorial_utils.diagnose` says where a model is badly
initialized, and why, :mod:`~tutorial_utils.claims` measures what the book and its sources state,
:mod:`~tutorial_utils.exercises` says what is wrong with an answer, :mod:`~tutorial_utils.grading` grades a class with
it, :mod:`~tutorial_utils.plotting` draws what was measured, and :mod:`~tutorial_utils.explore` lets the reader move it.
"""
