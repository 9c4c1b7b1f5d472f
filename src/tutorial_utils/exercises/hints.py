"""What a tutor says of a wrong answer that is no known mistake."""

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.compare import (
    Case,
    Estimate,
    agree,
    as_tensor,
    close,
    is_number,
    kind,
    numeric,
)
from tutorial_utils.exercises.run import LIMIT, Raised, Unsupported, WrongType

NO_RETURN = "Your function returned None. Did you forget `return`?"
NO_CHANGE = "Your function returned nothing and changed nothing. Did you change a copy?"

# --- a wrong function ---------------------------------------------------------------------------------


def of_cases(case: Case, cases: list[Case]) -> str:
    """What is wrong in one case, in view of all."""
    if isinstance(case.result, Raised):
        return of_exception(case.result)
    if case.result is None:
        return NO_CHANGE if case.exercise.changes else NO_RETURN
    if not case.complete:
        return of_structure(case)
    if exchanged(case):
        return f"The right things came out in another order: asked for are {sentence_list(case.expected)}."
    right = [name for name in case.expected if name not in case.wrong]
    return of_part(case.wrong[0], case, cases) + (f" Right, on this input: {sentence_list(right)}." if right else "")


def of_exception(raised: Raised) -> str:
    """What an exception means."""
    where = f", in your line `{raised.line}`" if raised.line else ""
    told = str(raised).rstrip(".")
    known = {
        WrongType.__name__: raised.message,
        "TimeUp": f"Your code did not end within {LIMIT:g} seconds{where}. Is there a loop that never stops?",
        "RecursionError": f"Your function calls itself without end{where}. Which call should be the last?",
        "SystemExit": f"Your code asked Python to exit{where}. Leave that out; a function ends with `return`.",
    }
    if raised.kind in known:
        return known[raised.kind]
    if where:
        more = " A parameter is changed under `torch.no_grad()`." if "leaf Variable" in told else ""
        return f"Your code raised {told}{where}.{more}"
    if "NoneType" in raised.message:
        return NO_RETURN
    if raised.kind == "TypeError" and "argument" in raised.message:
        return f"Your function cannot be called as the exercise does: {told}."
    return f"What your function gave cannot be used: {told}."


def of_structure(case: Case) -> str:
    """That another number of things came out than was asked for."""
    count, result = len(case.expected), case.result
    got = f"{len(result)} things" if isinstance(result, (tuple, list, dict)) else f"one {type(result).__name__}"
    if count == 1:
        return f"Your function returned {got}; one is asked for."
    return f"Your function returned {got}; asked for are {count}: {sentence_list(case.expected)}."


def exchanged(case: Case) -> bool:
    """Whether just two parts are wrong, and each is what the other should be."""
    if not case.complete or len(case.wrong) != 2:
        return False
    pairs = zip(case.wrong, reversed(case.wrong), strict=True)
    return all(agree(case.outcome[name], case.expected[other], case.rtol) for name, other in pairs)


def of_part(part: str, case: Case, cases: list[Case]) -> str:
    """What is wrong with one part."""
    name, result, expected = f"`{part}`" if part else "What came out", case.outcome[part], case.expected[part]
    if result is None:
        return f"{name} is None. Did you forget `return`?"
    if isinstance(expected, Estimate) and isinstance(result, Estimate):
        return of_estimate(name, result, expected)
    scalar = isinstance(expected, Tensor) and expected.dim() == 0 and is_number(result)
    if isinstance(expected, Tensor) and not isinstance(result, Tensor) and not scalar:
        return f"{name} is of type {kind(result)}; it should be a tensor of shape {shape(expected)}."
    if is_number(expected) and isinstance(result, Tensor) and not is_number(result):
        return f"{name} has shape {shape(result)}; one number is asked for."
    if numeric(result, expected):
        return of_numbers(name, as_tensor(result), as_tensor(expected), case.rtol, reason(part, case, cases))
    if type(result) is not type(expected):
        return f"{name} is of type {kind(result)}; it should be of type {kind(expected)}."
    return f"{name} is not as expected."


def of_estimate(name: str, result: Estimate, expected: Estimate) -> str:
    """By which factor a random draw misses a statistic."""
    if not math.isfinite(result.value):
        return f"{name} is {result.value}."
    if abs(expected.value) <= 6 * expected.error:
        return f"{name} should be 0 up to chance, and is {number(result.value)}."
    return f"{name} is {number(result.value / expected.value)} times what it should be."


def of_numbers(name: str, result: Tensor, expected: Tensor, rtol: float, why: str) -> str:
    """What is wrong with a tensor: its shape, entries that are not finite, a factor, an offset, or a few places."""
    if result.shape != expected.shape:
        return of_shape(name, result, expected)
    if not torch.isfinite(result).all():
        what = "NaN" if result.isnan().any() else "infinite"
        count = int((~torch.isfinite(result)).sum())
        return f"{name} is {what} in {count} of {result.numel()} entries. Which division or root does it?"
    result, expected = result.double(), expected.double()
    return (
        of_factor(name, result, common_ratio(result, expected, rtol), why)
        or of_offset(name, result, expected, rtol)
        or of_places(name, result, expected, rtol)
    )


def of_shape(name: str, result: Tensor, expected: Tensor) -> str:
    """What shape is asked for."""
    if result.dim() == 2 and result.T.shape == expected.shape:
        return f"{name} has shape {shape(result)}, the transpose of what is asked: {shape(expected)}."
    reduced = result.dim() != expected.dim() and result.numel() != expected.numel()
    why = " Does a sum or mean over too many or too few dimensions do it?" if reduced else ""
    return f"{name} has shape {shape(result)}; it should have shape {shape(expected)}.{why}"


def of_factor(name: str, result: Tensor, ratio: float | None, why: str) -> str:
    """The ratio, if all entries are off by the same one, and where it comes from."""
    if ratio is None or number(ratio) == "1":
        return ""
    if ratio == 0:
        return f"{name} is all zero." if result.numel() > 1 else ""
    whole = "" if result.numel() == 1 else "everywhere "
    return f"{name} is {whole}{number(ratio)} times what it should be{why}."


def of_offset(name: str, result: Tensor, expected: Tensor, rtol: float) -> str:
    """The difference, if all entries are off by the same one."""
    gap = (result - expected).mean()
    if result.numel() == 1 or not close(result, expected + gap, rtol).all():
        return ""
    return f"{name} is everywhere {number(abs(gap.item()))} too {'large' if gap > 0 else 'small'}."


def of_places(name: str, result: Tensor, expected: Tensor, rtol: float) -> str:
    """How many entries are wrong, and the first of them."""
    wrong = ~close(result, expected, rtol)
    first = tuple(wrong.nonzero()[0].tolist())
    values = " instead of ".join(distinct(result[first].item(), expected[first].item()))
    if result.dim() == 0:
        return f"{name} is {values}."
    return f"{name} is wrong in {int(wrong.sum())} of {result.numel()} entries; at {list(first)} it is {values}."


def of_precision(case: Case) -> str:
    """That a part has fewer digits than the input; "" if none has."""
    for name, expected in case.expected.items():
        result = case.outcome[name]
        if not isinstance(result, Tensor) or not isinstance(expected, Tensor) or not expected.is_floating_point():
            continue
        if not result.is_floating_point() or result.element_size() < expected.element_size():
            return (
                f"The values are right, but your result is {str(result.dtype)[6:]} for inputs of "
                f"{str(expected.dtype)[6:]}. Make new tensors with the dtype of the input (`torch.zeros_like`, "
                "`x.new_zeros`)."
            )
    return ""


# --- a wrong value ------------------------------------------------------------------------------------


def of_value(case: Case) -> str:
    """Which way a value is wrong, without telling the right one."""
    if not case.complete and len(case.expected) > 1:
        return f"Asked for are {len(case.expected)} values: {sentence_list(case.expected)}."
    if not case.complete:
        return f"Asked for is one value, and this is a {kind(case.result)} of {len(case.result)}."
    if exchanged(case):
        return f"The values are right, in another order than asked: {sentence_list(case.expected)}."
    name = case.wrong[0]
    return f"{name}: " * bool(name) + _direction(case.outcome[name], case.expected[name])


def _direction(result: Any, expected: Any) -> str:
    if isinstance(expected, str) and isinstance(result, str):
        return f"{result!r} is not right."
    if isinstance(expected, str):
        return f"The answer is a word in quotes, not {show(result)}."
    if not is_number(expected):
        return "This is not right." if kind(result) == kind(expected) else f"The answer is of type {kind(expected)}."
    if not is_number(result):
        return f"The answer is a number, and this is of type {kind(result)}."
    if not math.isfinite(float(result)):
        return f"{float(result)} is not a finite number."
    if float(result) * float(expected) < 0:
        return f"{number(float(result))} has the wrong sign."
    return f"{number(float(result))} is too {'large' if float(result) > float(expected) else 'small'}."


# --- where a factor comes from ------------------------------------------------------------------------

#: What a ratio may be made of a size n of the inputs.
FORMS: dict[str, Callable[[int], float]] = {
    "{n}": float,
    "1/{n}": lambda n: 1 / n,
    "√{n}": lambda n: n**0.5,
    "1/√{n}": lambda n: n**-0.5,
    "{n}/{less}": lambda n: n / (n - 1),
    "{less}/{n}": lambda n: (n - 1) / n,
    "√({n}/{less})": lambda n: (n / (n - 1)) ** 0.5,
    "√({less}/{n})": lambda n: ((n - 1) / n) ** 0.5,
}
#: An axis of one of the inputs, by their numbers; none stands for the plain 2, whose roots are worth naming.
Place = tuple[int, ...]
TWO: Place = ()


def common_ratio(result: Tensor, expected: Tensor, rtol: float) -> float | None:
    """The ratio of all entries, None if they are right or have none in common."""
    seen = expected.abs() > 1e-3 * expected.abs().max()
    if not seen.any() or close(result, expected, rtol).all():
        return None
    ratio = (result[seen] / expected[seen]).median()
    return ratio.item() if close(result, ratio * expected, 10 * rtol).all() else None


def reason(part: str, case: Case, cases: list[Case]) -> str:
    """The size of the inputs that a factor comes from, if that holds on at least two inputs and on all wrong ones."""
    wrong = [one for one in cases if part in one.wrong]
    if all(math.isclose(_ratio(part, one), -1, rel_tol=1e-3) for one in wrong):
        return ", so the sign is wrong"
    shared = set.intersection(*(_origins(part, one) for one in wrong)) if len(wrong) > 1 else set()
    for form in FORMS:
        for place, n in _sizes(case).items():
            if (form, place) in shared:
                return ", a size of your input" if form == "{n}" else f", which is {form.format(n=n, less=n - 1)}"
    return ""


def _sizes(case: Case) -> dict[Place, int]:
    """The sizes that a factor may come from."""
    tensors = [(index, value) for index, value in enumerate(case.inputs) if isinstance(value, Tensor)]
    axes: dict[Place, int] = {
        (index, axis): size for index, value in tensors for axis, size in enumerate(value.shape) if size > 1
    }
    return axes | {TWO: 2}


def _ratio(part: str, case: Case) -> float:
    """By which factor a part is off in a case; NaN if by none."""
    result, expected = case.outcome.get(part), case.expected[part]
    if not numeric(result, expected) or as_tensor(result).shape != as_tensor(expected).shape:
        return math.nan
    ratio = common_ratio(as_tensor(result).double(), as_tensor(expected).double(), case.rtol)
    return math.nan if ratio is None else ratio


def _origins(part: str, case: Case) -> set[tuple[str, Place]]:
    """The forms of a size that a factor has, each with the axis that has the size."""
    ratio = _ratio(part, case)
    return {
        (form, place)
        for place, n in _sizes(case).items()
        for form, of_size in FORMS.items()
        if math.isclose(ratio, of_size(n), rel_tol=1e-3)
        if "√" in form or place != TWO
        if "less" not in form or n > 2
    }


# --- numbers and tensors in words ---------------------------------------------------------------------

#: The largest tensor that is printed with all its entries.
LARGEST = 24
WIDTH = 84


def number(value: float) -> str:
    """A number with three significant digits.

    >>> number(2 / 3)
    '0.667'
    """
    return f"{value:.3g}"


def distinct(one: float, other: float) -> tuple[str, str]:
    """Two numbers, with more digits where three do not tell them apart.

    >>> distinct(1.11114, 1.11112)
    ('1.11114', '1.11112')
    """
    written = [(f"{one:.{digits}g}", f"{other:.{digits}g}") for digits in range(3, 18)]
    return next((both for both in written if both[0] != both[1]), written[0])


def shape(value: Tensor) -> str:
    """The shape of a tensor, as one writes it.

    >>> shape(torch.zeros(2, 3))
    '(2, 3)'
    """
    return str(tuple(value.shape))


def show(value: Any) -> str:
    """A value as a reader wants to see it: small tensors entry by entry, large ones by their shape.

    >>> print(show(torch.tensor([[1.0, 2.0], [0.5, 1 / 3]])))
    [[1, 2],
     [0.5, 0.333]]
    """
    if isinstance(value, Tensor):
        return _show_tensor(value.detach())
    if isinstance(value, Estimate):
        return f"{number(value.value)} (standard error {value.error:.1g})"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, torch.Generator):
        return "a generator"
    if isinstance(value, Unsupported):
        return f"something of type {value.kind}"
    if isinstance(value, nn.Module):
        return f"a network of class {type(value).__name__}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(one).replace("\n ", " ") for one in value) + "]"
    return textwrap.shorten(repr(value) if isinstance(value, str) else str(value), WIDTH)


def _show_tensor(value: Tensor) -> str:
    if value.numel() > LARGEST:
        first = ", ".join(show(one) for one in value.flatten()[:4].tolist())
        return f"a tensor of shape {shape(value)}: {first}, ..."
    if value.dim() != 2:
        return show(value.tolist())
    rows = ",\n ".join(show(row) for row in value.tolist())
    return f"[{rows}]"


def listing(label: str, values: Mapping[str, Any]) -> str:
    """One indented block: a label, then name = value lines."""
    lines: list[str] = []
    for name, value in values.items():
        begin = f"{name} = " if name else ""
        lines += textwrap.indent(show(value), " " * len(begin))[len(begin) :].join((begin, "")).split("\n")
    return "\n".join(f"  {label if index == 0 else '':10} {line}" for index, line in enumerate(lines))


def paragraph(text: str) -> str:
    """The text with lines no longer than the page is wide."""
    return "\n".join(textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in text.split("\n"))


def sentence_list(names: Iterable[str]) -> str:
    """Names joined as in a sentence.

    >>> sentence_list(["a", "b", "c"])
    'a, b and c'
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
