"""What can be said of a wrong answer that is no known mistake."""

import math
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.outcomes import Estimate, as_tensor, close, is_number, kind
from tutorial_utils.exercises.running import LIMIT, Raised
from tutorial_utils.exercises.trying import Case
from tutorial_utils.exercises.wording import number, sentence_list, shape, show

NO_RETURN = "Your function returned None. Did you forget `return`?"
NO_CHANGE = "Your function returned nothing and changed nothing. Did you change a copy?"


def of_exception(raised: Raised) -> str:
    """What an exception means."""
    where = f", in your line `{raised.line}`" if raised.line else ""
    if raised.kind == "TimeUp":
        return f"Your code did not end within {LIMIT:g} seconds{where}. Is there a loop that never stops?"
    if raised.kind == "RecursionError":
        return f"Your function calls itself without end{where}. Which call should be the last?"
    if raised.kind == "SystemExit":
        return f"Your code asked Python to exit{where}. Leave that out; a function ends with `return`."
    if "NoneType" in raised.message and not where:
        return NO_RETURN
    if raised.kind == "TypeError" and "argument" in raised.message and not where:
        return f"Your function cannot be called as the exercise does: {raised}."
    return f"Your code raised {raised}{where}." if where else f"What your function gave cannot be used: {raised}."


def of_value(came: Any, expected: Any) -> str:
    """Which way a value is wrong, without telling the right one."""
    if isinstance(expected, str):
        return (
            f"{came!r} is not right." if isinstance(came, str) else f"The answer is a word in quotes, not {show(came)}."
        )
    if not is_number(expected):
        return "This is not right." if kind(came) == kind(expected) else f"The answer is of type {kind(expected)}."
    if not is_number(came):
        return f"The answer is a number, and this is of type {kind(came)}."
    if not math.isfinite(float(came)):
        return f"{float(came)} is not a finite number."
    if float(came) * float(expected) < 0:
        return f"{number(float(came))} has the wrong sign."
    return f"{number(float(came))} is too {'large' if float(came) > float(expected) else 'small'}."


def of_case(case: Case) -> str:
    """What is wrong in one case."""
    if isinstance(case.came, Raised):
        return of_exception(case.came)
    if case.came is None:
        return NO_CHANGE if case.exercise.changes else NO_RETURN
    if not case.has_the_parts:
        return of_structure(case)
    name = case.wrong[0]
    right = [part for part in case.expected if part not in case.wrong]
    found = of_part(f"`{name}`" if name else "What came out", case.parts[name], case.expected[name], case)
    return found + (f" Right, on this input: {sentence_list(right)}." if right else "")


def of_structure(case: Case) -> str:
    """That another number of things came out than was asked for."""
    count, came = len(case.expected), case.came
    got = f"{len(came)} things" if isinstance(came, (tuple, list, dict)) else f"one {type(came).__name__}"
    if count == 1:
        return f"Your function returned {got}; one is asked for."
    return f"Your function returned {got}; asked for are {count}: {sentence_list(case.expected)}."


def of_part(name: str, came: Any, expected: Any, case: Case) -> str:
    """What is wrong with one part."""
    if came is None:
        return f"{name} is None. Did you forget `return`?"
    if isinstance(expected, Estimate) and isinstance(came, Estimate):
        return of_estimate(name, came, expected)
    if isinstance(expected, Tensor) and not isinstance(came, Tensor) and not (is_number(came) and expected.dim() == 0):
        return f"{name} is of type {kind(came)}; it should be a tensor of shape {shape(expected)}."
    if isinstance(expected, Tensor) or (is_number(expected) and is_number(came)):
        return of_numbers(name, as_tensor(came), as_tensor(expected), case)
    if type(came) is not type(expected):
        return f"{name} is of type {kind(came)}; it should be of type {kind(expected)}."
    return f"{name} is not as expected."


def of_estimate(name: str, came: Estimate, expected: Estimate) -> str:
    """By which factor a random draw misses a statistic."""
    if not math.isfinite(came.value):
        return f"{name} is {came.value}."
    if abs(expected.value) <= 6 * expected.error:
        return f"{name} should be 0 up to chance, and is {number(came.value)}."
    return f"{name} is {number(came.value / expected.value)} times what it should be."


def of_numbers(name: str, came: Tensor, expected: Tensor, case: Case) -> str:
    """What is wrong with a tensor: shape, numbers that are none, a factor, an offset, or a few places."""
    if came.shape != expected.shape:
        return of_shape(name, came, expected)
    if not torch.isfinite(came).all():
        what = "NaN" if came.isnan().any() else "infinite"
        count = int((~torch.isfinite(came)).sum())
        return f"{name} is {what} in {count} of {came.numel()} entries. Which division or root does it?"
    came, expected = came.double(), expected.double()
    return (
        factor(name, came, expected, case) or offset(name, came, expected, case) or places(name, came, expected, case)
    )


def of_shape(name: str, came: Tensor, expected: Tensor) -> str:
    """What shape is asked for."""
    if came.dim() == 2 and came.T.shape == expected.shape:
        return f"{name} has shape {shape(came)}, the transpose of what is asked: {shape(expected)}."
    kept = " Does a sum or mean over too many or too few dimensions do it?" if came.numel() != expected.numel() else ""
    return f"{name} has shape {shape(came)}; it should have shape {shape(expected)}.{kept}"


def factor(name: str, came: Tensor, expected: Tensor, case: Case) -> str:
    """The ratio, if all entries are off by the same one."""
    seen = expected.abs() > 1e-3 * expected.abs().max()
    if not seen.any() or close(came, expected, case.rtol).all():
        return ""
    ratio = (came[seen] / expected[seen]).median()
    if not close(came, ratio * expected, 10 * case.rtol).all():
        return ""
    if ratio == 0:
        return f"{name} is all zero."
    whole = "" if came.numel() == 1 else "everywhere "
    return f"{name} is {whole}{number(ratio.item())} times what it should be{meaning(ratio.item(), case)}."


def meaning(ratio: float, case: Case) -> str:
    """A size of the inputs that a ratio comes from."""
    sizes = {size for value in case.inputs if isinstance(value, Tensor) for size in value.shape if size > 1}
    for n in sorted(sizes | {2}):
        if math.isclose(ratio, n, rel_tol=1e-3):
            return ", a size of your input" if n in sizes else ""
        forms = {f"1/{n}": 1 / n, f"√{n}": n**0.5, f"1/√{n}": n**-0.5}
        forms |= {f"{n}/{n - 1}": n / (n - 1), f"{n - 1}/{n}": (n - 1) / n}
        forms |= {f"√({n}/{n - 1})": (n / (n - 1)) ** 0.5, f"√({n - 1}/{n})": ((n - 1) / n) ** 0.5}
        for form, value in forms.items():
            if value != 1 and math.isclose(ratio, value, rel_tol=1e-3):
                return f", which is {form}"
    return ", so the sign is wrong" if math.isclose(ratio, -1, rel_tol=1e-3) else ""


def offset(name: str, came: Tensor, expected: Tensor, case: Case) -> str:
    """The difference, if all entries are off by the same one."""
    gap = (came - expected).mean()
    if came.numel() == 1 or not close(came, expected + gap, case.rtol).all():
        return ""
    return f"{name} is everywhere {number(abs(gap.item()))} too {'large' if gap > 0 else 'small'}."


def places(name: str, came: Tensor, expected: Tensor, case: Case) -> str:
    """How many entries are wrong, and the first of them."""
    wrong = ~close(came, expected, case.rtol)
    first = tuple(wrong.nonzero()[0].tolist())
    values = f"{number(came[first].item())} instead of {number(expected[first].item())}"
    if came.dim() == 0:
        return f"{name} is {values}."
    return f"{name} is wrong in {int(wrong.sum())} of {came.numel()} entries; at {list(first)} it is {values}."
