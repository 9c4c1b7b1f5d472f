"""A panel of controls that runs an experiment again; it needs a kernel, and says so where there is none."""

from collections.abc import Callable
from typing import Any

from tutorial_utils.explore.controls import Choice, Control, check_start
from tutorial_utils.explore.live import VIEW


class Panel:
    """Controls, and below them what ``run`` prints and draws for their values.

    Args:
        run: takes the value of each control as a keyword argument; prints and draws.
        controls: what the reader can change; the panel begins at ``start`` or at the first value of each.
        start: values at first.

    Raises:
        ValueError: if there is no control, or ``start`` is none of a control's values.
    """

    def __init__(self, run: Callable[..., object], *controls: Control, **start: Any) -> None:
        if not controls:
            raise ValueError("panel without controls, but there must be at least one to change")
        check_start(controls, start)
        self.run, self.controls, self.start = run, controls, start

    def html(self) -> str:
        """What a page without a kernel shows in its place."""
        words = [f"{control.spec()['label']} ({_range(control)})" for control in self.controls]
        return (
            '<p class="good-panel"><strong>Try it.</strong> In JupyterLab, on Binder or on Colab, this cell is a panel '
            f"that runs the experiment again for any {', '.join(words)}.</p>"
        )

    def __repr__(self) -> str:
        """What a terminal shows."""
        return f"<panel: {', '.join(control.name for control in self.controls)}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self.html(), VIEW: self.widget()._repr_mimebundle_()[VIEW]}

    def widget(self) -> Any:
        """Make the controls, and the box in which ``run`` prints and draws; it runs once at the start."""
        import ipywidgets

        widgets = {control.name: self._widget(control) for control in self.controls}
        shown = ipywidgets.interactive_output(self.run, widgets)
        return ipywidgets.VBox([ipywidgets.HBox(list(widgets.values()), layout={"flex_flow": "row wrap"}), shown])

    def _widget(self, control: Control) -> Any:
        import ipywidgets

        options = list(zip(control.labels, control.values, strict=True))
        words = {"options": options, "description": control.spec()["label"], "style": {"description_width": "initial"}}
        value = self.start.get(control.name, options[0][1])
        if isinstance(control, Choice):
            return ipywidgets.Dropdown(**words, value=value)
        return ipywidgets.SelectionSlider(**words, value=value, continuous_update=False)


def _range(control: Control) -> str:
    values = control.labels
    return ", ".join(values) if isinstance(control, Choice) or len(values) < 3 else f"{values[0]} to {values[-1]}"


def panel(run: Callable[..., object], *controls: Control, **start: Any) -> Panel:
    """Make a panel that runs an experiment again for the values its controls are set to.

    >>> from tutorial_utils.explore import Slider
    >>> panel(print, Slider("depth", [1, 2, 3]))
    <panel: depth>
    """
    return Panel(run, *controls, **start)
