"""What can be said of a wrong answer that is no known mistake."""

import math
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.outcomes import Estimate, agree, as_tensor, close, is_number, kind, numeric
from tutorial_utils.exercises.ratios import common_ratio, meaning
from tutorial_utils.exercises.running import LIMIT, Raised, Unfit
from tutorial_utils.exercises.trying import Case
from tutorial_utils.exercises.wording import number, pair, sentence_list, shape, show

NO_RETURN = "Your function returned None. Did you forget `return`?"
NO_CHANGE = "Your function returned nothing and changed nothing. Did you change a copy?"


def of_exception(raised: Raised) -> str:
    """What an exception means."""
    where = f", in your line `{raised.line}`" if raised.line else ""
    if raised.kind == Unfit.__name__:
        return raised.message
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
    told = str(raised).rstrip(".")
    if not where:
        return f"What your function gave cannot be used: {told}."
    more = " A parameter is changed under `torch.no_grad()`." if "leaf Variable" in told else ""
    return f"Your code raised {told}{where}.{more}"


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


def of_values(case: Case) -> str:
    """That another number of values came than was asked for."""
    if len(case.expected) > 1:
        return f"Asked for are {len(case.expected)} values: {sentence_list(case.expected)}."
    return f"Asked for is one value, and this is a {kind(case.came)} of {len(case.came)}."


def of_cases(case: Case, cases: list[Case]) -> str:
    """What is wrong in one case, in view of all."""
    if isinstance(case.came, Raised):
        return of_exception(case.came)
    if case.came is None:
        return NO_CHANGE if case.exercise.changes else NO_RETURN
    if not case.has_the_parts:
        return of_structure(case)
    if exchanged(case):
        return f"The right things came out in another order: asked for are {sentence_list(case.expected)}."
    part = case.wrong[0]
    right = [name for name in case.expected if name not in case.wrong]
    return of_part(part, case, cases) + (f" Right, on this input: {sentence_list(right)}." if right else "")


def of_structure(case: Case) -> str:
    """That another number of things came out than was asked for."""
    count, came = len(case.expected), case.came
    got = f"{len(came)} things" if isinstance(came, (tuple, list, dict)) else f"one {type(came).__name__}"
    if count == 1:
        return f"Your function returned {got}; one is asked for."
    return f"Your function returned {got}; asked for are {count}: {sentence_list(case.expected)}."


def exchanged(case: Case) -> bool:
    """Whether just two parts are wrong, and each is what the other should be."""
    if not case.has_the_parts or len(case.wrong) != 2:
        return False
    pairs = zip(case.wrong, reversed(case.wrong), strict=True)
    return all(agree(case.parts[name], case.expected[other], case.rtol) for name, other in pairs)


def of_part(part: str, case: Case, cases: list[Case]) -> str:
    """What is wrong with one part."""
    name, came, expected = f"`{part}`" if part else "What came out", case.parts[part], case.expected[part]
    if came is None:
        return f"{name} is None. Did you forget `return`?"
    if isinstance(expected, Estimate) and isinstance(came, Estimate):
        return of_estimate(name, came, expected)
    if isinstance(expected, Tensor) and not isinstance(came, Tensor) and not (is_number(came) and expected.dim() == 0):
        return f"{name} is of type {kind(came)}; it should be a tensor of shape {shape(expected)}."
    if is_number(expected) and isinstance(came, Tensor) and not is_number(came):
        return f"{name} has shape {shape(came)}; one number is asked for."
    if numeric(came, expected):
        return of_numbers(name, as_tensor(came), as_tensor(expected), case.rtol, meaning(part, case, cases))
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


def of_numbers(name: str, came: Tensor, expected: Tensor, rtol: float, meant: str) -> str:
    """What is wrong with a tensor: shape, numbers that are none, a factor, an offset, or a few places."""
    if came.shape != expected.shape:
        return of_shape(name, came, expected)
    if not torch.isfinite(came).all():
        what = "NaN" if came.isnan().any() else "infinite"
        count = int((~torch.isfinite(came)).sum())
        return f"{name} is {what} in {count} of {came.numel()} entries. Which division or root does it?"
    came, expected = came.double(), expected.double()
    return (
        factor(name, came, expected, rtol, meant)
        or offset(name, came, expected, rtol)
        or places(name, came, expected, rtol)
    )


def of_shape(name: str, came: Tensor, expected: Tensor) -> str:
    """What shape is asked for."""
    if came.dim() == 2 and came.T.shape == expected.shape:
        return f"{name} has shape {shape(came)}, the transpose of what is asked: {shape(expected)}."
    reduced = came.dim() != expected.dim() and came.numel() != expected.numel()
    why = " Does a sum or mean over too many or too few dimensions do it?" if reduced else ""
    return f"{name} has shape {shape(came)}; it should have shape {shape(expected)}.{why}"


def factor(name: str, came: Tensor, expected: Tensor, rtol: float, meant: str) -> str:
    """The ratio, if all entries are off by the same one, and what it means."""
    ratio = common_ratio(came, expected, rtol)
    if ratio is None or number(ratio) == "1":
        return ""
    if ratio == 0:
        return f"{name} is all zero." if came.numel() > 1 else ""
    whole = "" if came.numel() == 1 else "everywhere "
    return f"{name} is {whole}{number(ratio)} times what it should be{meant}."


def offset(name: str, came: Tensor, expected: Tensor, rtol: float) -> str:
    """The difference, if all entries are off by the same one."""
    gap = (came - expected).mean()
    if came.numel() == 1 or not close(came, expected + gap, rtol).all():
        return ""
    return f"{name} is everywhere {number(abs(gap.item()))} too {'large' if gap > 0 else 'small'}."


def places(name: str, came: Tensor, expected: Tensor, rtol: float) -> str:
    """How many entries are wrong, and the first of them."""
    wrong = ~close(came, expected, rtol)
    first = tuple(wrong.nonzero()[0].tolist())
    values = " instead of ".join(pair(came[first].item(), expected[first].item()))
    if came.dim() == 0:
        return f"{name} is {values}."
    return f"{name} is wrong in {int(wrong.sum())} of {came.numel()} entries; at {list(first)} it is {values}."
