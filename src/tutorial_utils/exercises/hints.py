"""What a tutor says of a wrong answer."""

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.compare import Case, Estimate, agree, as_tensor, close, is_number, kind, numeric
from tutorial_utils.exercises.match import Explanation
from tutorial_utils.exercises.registry import Exercise
from tutorial_utils.exercises.run import LIMIT, Raised, Unsupported, WrongType

NO_RETURN = "Your function returned None. Did you forget `return`?"
NO_CHANGE = "Your function returned nothing and changed nothing. Did you change a copy?"
#: What is said to errors with some words in them.
ERRORS = {
    "leaf Variable": "Change parameters under `torch.no_grad()`.",
    "must match the size of tensor": "Shapes are aligned at their last dimension: to go with another one, a tensor of "
    "shape (C,) needs the shape (C, 1) or (1, C, 1, 1), by `[:, None]` or `view`.",
}

# --- the answer as a whole ----------------------------------------------------------------------------


def of_kind(exercise: Exercise, answer: Any) -> str:
    """That a function came in place of a value, or a value in place of a function."""
    if exercise.value:
        return "The exercise asks for a value, and this is a function. Did you forget to call it?"
    return (
        f'check("{exercise.id}", ...) wants the function itself, without parentheses, and got something of type '
        f"{kind(answer)}."
    )


def of_mistake(known: Explanation) -> str:
    """The hint of a known mistake, and which parts it does not explain."""
    only = f" This applies to {sentence_list(known.explained)} only." if known.falsely_predicted else ""
    more = f" Something else is wrong with {sentence_list(known.unexplained)}." if known.unexplained else ""
    return known.mistake.hint + only + more


def of_cases(case: Case, cases: Sequence[Case]) -> str:
    """What is wrong in a case, where no known mistake explains it; the other cases tell how general that is."""
    right = sum(not one.wrong for one in cases)
    return _of_case(case, cases) + (f" On {right} of {len(cases)} inputs it is right." if right else "")


def _of_case(case: Case, cases: Sequence[Case]) -> str:
    if isinstance(case.result, Raised):
        return of_exception(case.result)
    if case.result is None:
        return NO_CHANGE if case.exercise.changes else NO_RETURN
    if not case.complete:
        return of_structure(case)
    if exchanged(case):
        return f"The results are right, but in the wrong order: the exercise asks for {sentence_list(case.expected)}."
    part = case.wrong[0]
    if case.exercise.value:
        return (f"{part}: " if part else "") + of_value(part, case)
    right = [name for name in case.expected if name not in case.wrong]
    return of_part(part, case, cases) + (f" Right on this input: {sentence_list(right)}." if right else "")


def of_exception(raised: Raised) -> str:
    """What an exception means."""
    where = f", in your line `{raised.line}`" if raised.line else ""
    error = str(raised).rstrip(".")
    limit = raised.message.removeprefix("more than ") or f"{LIMIT:g} seconds"
    known = {
        WrongType.__name__: raised.message,
        "TimeUp": f"Your code did not end within {limit}{where}. Is there a loop that never stops?",
        "RecursionError": f"Your function calls itself without end{where}. Which call should be the last?",
        "SystemExit": f"Your code asked Python to exit{where}. Leave that out; a function ends with `return`.",
    }
    if raised.kind in known:
        return known[raised.kind]
    if where:
        more = next((f" {hint}" for words, hint in ERRORS.items() if words in error), "")
        return f"Your code raised {error}{where}.{more}"
    if raised.kind == "TypeError" and "argument" in raised.message:
        return f"Your function cannot be called as the exercise does: {error}."
    if raised.theirs:
        return f"Your code raised {error}."
    if "NoneType" in raised.message:
        return NO_RETURN
    return f"What your function returned cannot be used: {error}."


def of_structure(case: Case) -> str:
    """That another number of things came out than the exercise asks for, or under other names."""
    result, count = case.result, len(case.expected)
    what = f"{len(result)} things" if isinstance(result, (tuple, list, dict)) else f"a single {kind(result)}"
    asked = "one" if count == 1 else f"{count}: {sentence_list(case.expected)}"
    return f"{'You gave' if case.exercise.value else 'Your function returned'} {what}; the exercise asks for {asked}."


def of_credit(part: str, cases: Sequence[Case]) -> str:
    """What is wrong with one part, on the smallest input on which it is; "" if nothing is."""
    wrong = [case for case in cases if part in case.wrong]
    if not wrong:
        return ""
    case = min(wrong, key=lambda case: case.size)
    if case.result is None or not case.complete:
        return _of_case(case, cases)
    return of_value(part, case) if case.exercise.value else of_part(part, case, cases)


def exchanged(case: Case) -> bool:
    """Whether just two parts are wrong, and each is what the other should be."""
    if not case.complete or len(case.wrong) != 2:
        return False
    pairs = zip(case.wrong, reversed(case.wrong), strict=True)
    return all(agree(case.outcome[name], case.expected[other], case.rtol) for name, other in pairs)


def of_precision(case: Case) -> str:
    """That a part has fewer digits than the input, a remark on a right answer; "" if none has."""
    for name, expected in case.expected.items():
        result = case.outcome[name]
        if not isinstance(result, Tensor) or not isinstance(expected, Tensor) or not expected.is_floating_point():
            continue
        if not result.is_floating_point() or result.element_size() < expected.element_size():
            given, asked = (str(one.dtype).removeprefix("torch.") for one in (result, expected))
            return (
                f"One remark: your result is {given} for inputs of {asked}, so it has fewer digits than they have. New "
                "tensors get the dtype of the input by `torch.zeros_like` or `x.new_zeros`."
            )
    return ""


def of_guess(exercise: Exercise, guess: Any) -> str:
    """A guess beside what is right."""
    right = [exercise.reference(*inputs) for inputs in exercise.predict]
    return f"Your first guess was {show(guess)}; right is {show(right if len(right) > 1 else right[0])}."


# --- one part -----------------------------------------------------------------------------------------


def of_value(part: str, case: Case) -> str:
    """Which way a value is wrong, without telling the right one."""
    result, expected = case.outcome[part], case.expected[part]
    if isinstance(expected, str):
        word = isinstance(result, str)
        return f"{result!r} is not right." if word else f"The answer is a word in quotes, not {show(result)}."
    if not is_number(expected):
        return "This is not right." if kind(result) == kind(expected) else f"The answer is of type {kind(expected)}."
    if not is_number(result):
        return f"The answer is a number, and this is of type {kind(result)}."
    given, right = float(result), float(expected)
    if not math.isfinite(given):
        return f"{given} is not a finite number."
    if given * right < 0:
        return f"{number(given)} has the wrong sign."
    return f"{number(given)} is too {'large' if given > right else 'small'}."


def of_part(part: str, case: Case, cases: Sequence[Case]) -> str:
    """What is wrong with one part of what a function gave."""
    name, result, expected = f"`{part}`" if part else "What came out", case.outcome[part], case.expected[part]
    if result is None:
        return f"{name} is None. Did you forget `return`?"
    if isinstance(expected, Estimate) and isinstance(result, Estimate):
        return of_estimate(name, result, expected)
    if numeric(result, expected):
        return of_numbers(name, as_tensor(result), as_tensor(expected), case.rtol, reason(part, case, cases))
    if isinstance(expected, Tensor):
        return f"{name} is of type {kind(result)}; it should be a tensor of shape {tuple(expected.shape)}."
    if is_number(expected) and isinstance(result, Tensor):
        return f"{name} has shape {tuple(result.shape)}; the exercise asks for one number."
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
    if broken := int((~torch.isfinite(result)).sum()):
        what = "NaN" if result.isnan().any() else "infinite"
        return f"{name} is {what} in {broken} of {result.numel()} entries. Which division or root causes this?"
    ratio, offset, many = (
        common_ratio(result, expected, rtol),
        common_offset(result, expected, rtol),
        result.numel() > 1,
    )
    if ratio == 0 and many:
        return f"{name} is all zero."
    if ratio != 0 and number(ratio) not in ("1", "nan"):
        return f"{name} is {'everywhere ' if many else ''}{number(ratio)} times what it should be{why}."
    if many and not math.isnan(offset):
        return f"{name} is everywhere {number(abs(offset))} too {'large' if offset > 0 else 'small'}."
    return of_places(name, result, expected, rtol)


def of_shape(name: str, result: Tensor, expected: Tensor) -> str:
    """What shape it should have."""
    given, asked = tuple(result.shape), tuple(expected.shape)
    if len(given) == 2 and given[::-1] == asked:
        return f"{name} has shape {given}, the transpose of what it should be: {asked}."
    reduced = len(given) != len(asked) and result.numel() != expected.numel()
    why = " Did you sum or average over too many or too few dimensions?" if reduced else ""
    return f"{name} has shape {given}; it should have shape {asked}.{why}"


def of_places(name: str, result: Tensor, expected: Tensor, rtol: float) -> str:
    """How many entries are wrong, and the first of them."""
    wrong = ~close(result, expected, rtol)
    first = tuple(wrong.nonzero()[0].tolist())
    values = " instead of ".join(distinct(result[first].item(), expected[first].item()))
    if result.dim() == 0:
        return f"{name} is {values}."
    return f"{name} is wrong in {int(wrong.sum())} of {result.numel()} entries; at {list(first)} it is {values}."


# --- where a factor comes from ------------------------------------------------------------------------

#: What a factor may be made of, a size n of the inputs.
FORMS: dict[str, Callable[[int], float]] = {
    "a size of your input": float,
    "which is 1/{n}": lambda n: 1 / n,
    "which is √{n}": lambda n: n**0.5,
    "which is 1/√{n}": lambda n: n**-0.5,
    "which is {n}/{less}": lambda n: n / (n - 1),
    "which is {less}/{n}": lambda n: (n - 1) / n,
    "which is √({n}/{less})": lambda n: (n / (n - 1)) ** 0.5,
    "which is √({less}/{n})": lambda n: ((n - 1) / n) ** 0.5,
}
#: A form, and an axis of one of the inputs, by their numbers.
Source = tuple[str, int, int]


def common_ratio(result: Tensor, expected: Tensor, rtol: float) -> float:
    """The ratio of all entries; NaN if they are right or have none in common."""
    result, expected = result.double(), expected.double()
    seen = expected.abs() > 1e-3 * expected.abs().max()
    if not seen.any() or close(result, expected, rtol).all():
        return math.nan
    ratio = (result[seen] / expected[seen]).median()
    return ratio.item() if close(result, ratio * expected, 10 * rtol).all() else math.nan


def common_offset(result: Tensor, expected: Tensor, rtol: float) -> float:
    """The difference of all entries; NaN if they have none in common."""
    offset = (result.double() - expected.double()).mean()
    return offset.item() if close(result, expected + offset, rtol).all() else math.nan


def reason(part: str, case: Case, cases: Sequence[Case]) -> str:
    """The size of the inputs that a factor comes from, if that holds on at least two inputs and on all wrong ones."""
    wrong = [(_ratio(part, one), _factors(one)) for one in cases if part in one.wrong]
    if all(math.isclose(ratio, -1, rel_tol=1e-3) for ratio, _ in wrong):
        return ", so the sign is wrong"
    for source, (n, _) in _factors(case).items() if len(wrong) > 1 else ():
        if all(source in factors and math.isclose(ratio, factors[source][1], rel_tol=1e-3) for ratio, factors in wrong):
            return ", " + source[0].format(n=n, less=n - 1)
    return ""


def _ratio(part: str, case: Case) -> float:
    """By which factor a part is off in a case; NaN if by none."""
    result, expected = case.outcome.get(part), case.expected[part]
    if not numeric(result, expected) or as_tensor(result).shape != as_tensor(expected).shape:
        return math.nan
    return common_ratio(as_tensor(result), as_tensor(expected), case.rtol)


def _factors(case: Case) -> dict[Source, tuple[int, float]]:
    """The sizes of the inputs with what each form makes of them; a plain 2 has many causes, but its roots are named."""
    tensors = [(index, value) for index, value in enumerate(case.inputs) if isinstance(value, Tensor)]
    axes = [(index, axis, n) for index, value in tensors for axis, n in enumerate(value.shape) if n > 1]
    found = {
        (form, index, axis): (n, of_size(n))
        for form, of_size in FORMS.items()
        for index, axis, n in axes
        if n > 2 or "less" not in form
    }
    return found | {(form, -1, -1): (2, FORMS[form](2)) for form in ("which is √{n}", "which is 1/√{n}")}


# --- numbers and tensors in words ---------------------------------------------------------------------

#: The largest tensor that is printed with all its entries.
LARGEST = 24
WIDTH = 84


def shown(case: Case, parts: Sequence[str] = ()) -> str:
    """The input of a function, and for some parts what came out and what was expected."""
    if case.exercise.value:
        return ""
    blocks = [listing("your input", dict(zip(case.exercise.names, case.inputs, strict=False)))] if case.inputs else []
    if parts and case.result is not None and case.outcome:
        outcome = {name: value for name, value in case.outcome.items() if name in parts or name not in case.expected}
        blocks += [listing("came out", outcome), listing("expected", {name: case.expected[name] for name in parts})]
    return "".join(f"\n{block}" for block in blocks)


def listing(label: str, values: Mapping[str, Any]) -> str:
    """One indented block: a label, then name = value lines."""
    lines: list[str] = []
    for name, value in values.items():
        begin = f"{name} = " if name else ""
        lines += (begin + show(value).replace("\n", "\n" + " " * len(begin))).split("\n")
    return "\n".join(f"  {label if index == 0 else '':10} {line}" for index, line in enumerate(lines))


def show(value: Any) -> str:
    """A value as a reader wants to see it: small tensors entry by entry, large ones by their shape.

    >>> print(show(torch.tensor([[1.0, 2.0], [0.5, 1 / 3]])))
    [[1, 2],
     [0.5, 0.333]]
    """
    if isinstance(value, Tensor) and value.numel() > LARGEST:
        first = ", ".join(show(one) for one in value.flatten()[:4].tolist())
        return f"a tensor of shape {tuple(value.shape)}: {first}, ..."
    if isinstance(value, Tensor) and value.dim() == 2:
        return "[" + ",\n ".join(show(row) for row in value.tolist()) + "]"
    if isinstance(value, Tensor):
        return show(value.tolist())
    if isinstance(value, Estimate):
        return f"{number(value.value)} (standard error {value.error:.1g})"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, torch.Generator):
        return "a generator"
    if isinstance(value, Unsupported):
        return f"something of type {value.kind}"
    if isinstance(value, nn.Module) and not list(value.children()) and not list(value.parameters()):
        return str(value)
    if isinstance(value, nn.Module):
        return f"a network of class {type(value).__name__}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(one).replace("\n ", " ") for one in value) + "]"
    return textwrap.shorten(repr(value) if isinstance(value, str) else str(value), WIDTH)


def number(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:.3g}"


def distinct(one: float, other: float) -> tuple[str, str]:
    """Two numbers, with more digits where three do not tell them apart.

    >>> distinct(1.11114, 1.11112)
    ('1.11114', '1.11112')
    """
    written = [(f"{one:.{digits}g}", f"{other:.{digits}g}") for digits in range(3, 18)]
    return next((both for both in written if both[0] != both[1]), written[0])


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
