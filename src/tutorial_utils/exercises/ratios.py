"""By which factor an answer is off, and which size of the inputs that may come from."""

import math
from collections.abc import Callable

from torch import Tensor

from tutorial_utils.exercises.outcomes import as_tensor, close, numeric
from tutorial_utils.exercises.trying import Case

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
#: An axis of one of the inputs, by their numbers.
Place = tuple[int, ...]
#: Stands for the plain 2, whose roots are worth naming.
TWO: Place = ()


def common_ratio(came: Tensor, expected: Tensor, rtol: float) -> float | None:
    """The ratio of all entries, None if they are right or have none in common."""
    seen = expected.abs() > 1e-3 * expected.abs().max()
    if not seen.any() or close(came, expected, rtol).all():
        return None
    ratio = (came[seen] / expected[seen]).median()
    return ratio.item() if close(came, ratio * expected, 10 * rtol).all() else None


def sizes(case: Case) -> dict[Place, int]:
    """The sizes that a factor may come from."""
    axes: dict[Place, int] = {
        (index, axis): size
        for index, value in enumerate(case.inputs)
        if isinstance(value, Tensor)
        for axis, size in enumerate(value.shape)
        if size > 1
    }
    return axes | {TWO: 2}


def ratio_in(part: str, case: Case) -> float:
    """By which factor a part is off in a case; NaN if by none."""
    came, expected = case.parts.get(part), case.expected[part]
    if not numeric(came, expected) or as_tensor(came).shape != as_tensor(expected).shape:
        return math.nan
    ratio = common_ratio(as_tensor(came).double(), as_tensor(expected).double(), case.rtol)
    return math.nan if ratio is None else ratio


def origins(part: str, case: Case) -> set[tuple[str, Place]]:
    """The forms of a size that a factor has, each with the axis that has the size."""
    ratio = ratio_in(part, case)
    return {
        (form, place)
        for place, n in sizes(case).items()
        for form, of_size in FORMS.items()
        if math.isclose(ratio, of_size(n), rel_tol=1e-3)
        if "√" in form or place != TWO
        if "less" not in form or n > 2
    }


def meaning(part: str, case: Case, cases: list[Case]) -> str:
    """The size of the inputs that a factor comes from, if that holds on at least two inputs and on all wrong ones."""
    wrong = [one for one in cases if part in one.wrong]
    if all(math.isclose(ratio_in(part, one), -1, rel_tol=1e-3) for one in wrong):
        return ", so the sign is wrong"
    shared = set.intersection(*(origins(part, one) for one in wrong)) if len(wrong) > 1 else set()
    for form in FORMS:
        for place, n in sizes(case).items():
            if (form, place) in shared:
                return ", a size of your input" if form == "{n}" else f", which is {form.format(n=n, less=n - 1)}"
    return ""
