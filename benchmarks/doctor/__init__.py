"""Healthy models and models with one known fault, to try tools on that judge a model before it is trained.

``PYTHONPATH=benchmarks python -m doctor`` prints how each judge does: false alarms, faults detected, root causes named,
layers right. A case is a function of a few lines in ``healthy_*.py`` or ``faults_*.py``; its decorator in
:mod:`doctor.cases` holds the right answer. A judge is a function, see :mod:`doctor.score`.
"""
