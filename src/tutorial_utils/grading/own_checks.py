"""Exercises of a course's own: `checks.py` in the course folder registers them, as the package does its own.

    from tutorial_utils.exercises.registry import exercise
    from tutorial_utils.exercises.toolbox import normal

    @exercise("our-mean", inputs=lambda *, generator: (normal(9, generator=generator),), mistakes={...})
    def our_mean(x):
        return x.mean()

Students never get the file: their notebook says `check("our-mean", mean, later=True)`, which the grader checks.
"""

import sys
from pathlib import Path
from types import ModuleType

import cloudpickle
import torch

from tutorial_utils.exercises import EXERCISES, check
from tutorial_utils.exercises.registry import Exercise, When

FILE = "checks.py"
MODULE = "checks_of_this_course"
TOPIC = MODULE.replace("_", "-")


def load(folder: Path) -> list[Exercise]:
    """Register the exercises of a course folder, in place of those of another; none if it has no `checks.py`.

    Errors: ValueError that names the file, and the line at which it stopped.
    """
    path = folder.resolve() / FILE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    known = sys.modules.get(MODULE)
    if known is None or (known.__file__, known.__doc__) != (str(path), text):
        _forget()
        _run(path, text)
    return [one for one in EXERCISES.values() if one.topic == TOPIC]


def _run(path: Path, text: str) -> None:
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module
    cloudpickle.register_pickle_by_value(module)  # what observes an answer goes to its process with its code
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except BaseException as error:
        _forget()
        raise ValueError(f"{path}, line {_line(error, path)}: {type(error).__name__}: {error}") from error
    module.__doc__ = text


def _line(error: BaseException, path: Path) -> int:
    """The last line of a file at which an error was."""
    line, trace = getattr(error, "lineno", 0) or 0, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(path) else line
        trace = trace.tb_next
    return line


def _forget() -> None:
    for id in [one.id for one in EXERCISES.values() if one.topic == TOPIC]:
        del EXERCISES[id]
    if (module := sys.modules.pop(MODULE, None)) is not None:
        cloudpickle.unregister_pickle_by_value(module)


def _stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def fault(exercise: Exercise) -> str:
    """What is wrong with an exercise, found by trying its right answer and its mistakes; "" if nothing is."""
    if exercise.value:
        return ""  # its value and its mistakes are told apart when the data are drawn
    stream = _stream()
    try:
        result = check(exercise.id, exercise.reference, generator=stream)
        wrong = [one for one in exercise.mistakes if not isinstance(one.wrong, When)]
        passed = [one.hint for one in wrong if check(exercise.id, one.wrong, generator=stream)]
    except Exception as error:
        return f"{exercise.id}: its inputs or its right answer fail: {type(error).__name__}: {error}"
    if not result:
        return f"{exercise.id}: its right answer gets: {result.hint}"
    return f"{exercise.id}: this mistake is taken for right: {passed[0]}" if passed else ""
