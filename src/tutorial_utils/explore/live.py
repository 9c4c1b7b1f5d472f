"""An explorer as a widget: the drawing code of the page, with a kernel to ask for what is not measured yet."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).with_name("assets")

SCRIPTS = ("plot.min.js", "edges.js", "charts.js", "explorer.js")
STYLE = "explorer.css"
VIEW = "application/vnd.jupyter.widget-view+json"


def asset(name: str) -> str:
    """The text of one of the files that draw an explorer."""
    return (ASSETS / name).read_text(encoding="utf-8")


def in_kernel() -> bool:
    """Whether this runs in a Jupyter kernel, where a front end may show a widget."""
    if not find_spec("IPython") or not find_spec("anywidget"):
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


def bundle(data: dict[str, Any], frame: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The widget's entry of a cell's output; nothing where no kernel runs."""
    return dict(widget(data, frame)._repr_mimebundle_()[0]) if in_kernel() else {}


def answer(content: dict[str, Any], frame: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """What the kernel says to a question ``{"ask": number, "state": values}``: a frame, or why there is none."""
    try:
        return {"ask": content["ask"], "frame": frame(content["state"])}
    except Exception as error:  # the reader must see it, and the widget must live on
        return {"ask": content["ask"], "error": f"{type(error).__name__}: {error}"}


def widget(data: dict[str, Any], frame: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Make the widget of an explorer."""
    import anywidget
    import traitlets

    class LiveExplorer(anywidget.AnyWidget):
        """The page's drawing, and a wire to Python."""

        _esm = "\n".join([*map(asset, SCRIPTS), "export default { render: GoodStarts.render };"])
        _css = asset(STYLE)
        data = traitlets.Dict().tag(sync=True)

    shown = LiveExplorer(data=data)
    shown.on_msg(lambda widget, content, buffers: widget.send(answer(content, frame)))
    return shown
