"""Exercises that say what is wrong with an answer.

One module for each topic registers its exercises (:mod:`~tutorial_utils.exercises.registry`).
:mod:`~tutorial_utils.exercises.checking` tries an answer on random inputs and compares the result with a right answer
and with the typical wrong ones, to name the misconception behind it.

>>> from tutorial_utils.exercises import check
>>> check("bn-forward", lambda z, gamma, beta, eps: None)
Not yet. Your function returned None. Did you forget `return`?...
"""

from importlib import import_module
from pkgutil import iter_modules

from tutorial_utils.exercises.checking import Result, check, data
from tutorial_utils.exercises.registry import EXERCISES

__all__ = ["EXERCISES", "Result", "check", "data"]

MACHINERY = {"checking", "compare", "hints", "match", "registry", "run", "settings", "toolbox"}

for _topic in sorted({module.name for module in iter_modules(__path__)} - MACHINERY):
    import_module(f"{__name__}.{_topic}")
