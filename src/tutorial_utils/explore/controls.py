"""What a reader can choose in an explorer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A list from which one entry is chosen.

    Args:
        name: the keyword argument of ``measure`` that it sets.
        values: what can be chosen, or a mapping from each value to the words shown for it.
        label: what stands before the list; by default the name, with spaces for underscores.
        help: what it means, for a reader whose cursor or focus is on it.

    Raises:
        ValueError: if there is nothing to choose.

    >>> Choice("norm", {"none": "without", "batch": "with BatchNorm"}).labels
    ('without', 'with BatchNorm')
    """

    name: str
    values: Sequence[Any] | Mapping[Any, str]
    label: str = ""
    help: str = ""

    def __post_init__(self) -> None:
        _check(self.name, self.values)

    @property
    def labels(self) -> tuple[str, ...]:
        """The words shown for each value."""
        return tuple(self.values.values() if isinstance(self.values, Mapping) else map(str, self.values))

    def spec(self) -> dict[str, Any]:
        """Describe the control to the drawing code."""
        return {"kind": "choice", **_spec(self), "labels": self.labels}


@dataclass(frozen=True)
class Slider:
    """A slider over rising numbers; with a kernel it also stops between them.

    Args:
        name: the keyword argument of ``measure`` that it sets.
        values: where it stops without a kernel, rising. If all are integers, it stops at integers only.
        label: what stands before it; by default the name, with spaces for underscores.
        log: whether it moves by factors between two stops; then the values must be positive.
        help: what it means, for a reader whose cursor or focus is on it.

    Raises:
        ValueError: if there is nothing to choose, or the values do not rise.

    >>> Slider("depth", [3, 10, 30]).labels
    ('3', '10', '30')
    """

    name: str
    values: Sequence[float]
    label: str = ""
    log: bool = False
    help: str = ""

    def __post_init__(self) -> None:
        _check(self.name, self.values)
        if list(self.values) != sorted(set(self.values)):
            raise ValueError(f"values of slider {self.name!r} are {list(self.values)}, but they must rise")
        if self.log and self.values[0] <= 0:
            raise ValueError(f"values of slider {self.name!r} begin at {self.values[0]}, but log needs positive ones")

    @property
    def labels(self) -> tuple[str, ...]:
        """The numbers shown."""
        return tuple(f"{value:g}" for value in self.values)

    def spec(self) -> dict[str, Any]:
        """Describe the control to the drawing code."""
        integer = all(float(value).is_integer() for value in self.values)
        moves = {"log": self.log, "integer": integer, "labels": self.labels}
        return {"kind": "slider", **_spec(self), **moves}


Control = Choice | Slider


def check_state(controls: Sequence[Control], state: Mapping[str, Any], what: str) -> None:
    """Raise ValueError, naming what the state is, unless every value is one of its control's.

    >>> check_state([Slider("depth", [1, 2])], {"depth": 2}, "start")
    """
    known = {control.name: list(control.values) for control in controls}
    for name, value in state.items():
        if value not in known.get(name, []):
            raise ValueError(f"{what} has {name} = {value!r}, but it must be one of {known.get(name, list(known))}")


def places(controls: Sequence[Control], state: Mapping[str, Any]) -> dict[str, int]:
    """The place of each control in a state, counted from 0.

    >>> places([Slider("depth", [1, 2])], {"depth": 2})
    {'depth': 1}
    """
    return {control.name: list(control.values).index(state[control.name]) for control in controls}


def _check(name: str, values: Sequence[Any] | Mapping[Any, str]) -> None:
    if not name.isidentifier():
        raise ValueError(f"name = {name!r}, but a control sets a keyword argument and must be named like one")
    if not values:
        raise ValueError(f"values of {name!r} are empty, but there must be something to choose")


def _spec(control: Control) -> dict[str, Any]:
    """What both kinds have in common."""
    label = control.label or control.name.replace("_", " ")
    explained = {"help": control.help} if control.help else {}
    return {"name": control.name, "label": label, "values": list(control.values), **explained}
