"""How a reader moves a control: with a mouse, a keyboard, a finger."""

import sys

from playwright.sync_api import Locator

THUMB = 16  # width of a slider's handle, in pixels: its middle never reaches the ends


def spot(slider: Locator, place: float) -> tuple[float, float]:
    """The pixel at which a slider's handle stands for a place."""
    slider.scroll_into_view_if_needed()
    box, last = slider.bounding_box(), float(slider.get_attribute("max") or 0)
    assert box
    return box["x"] + THUMB / 2 + (box["width"] - THUMB) * (place / last if last else 0), box["y"] + box["height"] / 2


def current(control: Locator) -> int:
    """Where a control stands."""
    return round(float(control.input_value()))


def is_slider(control: Locator) -> bool:
    """Whether it is no list."""
    return bool(control.evaluate("(element) => element.tagName === 'INPUT'"))


def by_mouse(control: Locator, place: int) -> None:
    """Drag the handle; a list's entries are the browser's own, so choose one there."""
    if not is_slider(control):
        control.select_option(index=place)
        return
    mouse = control.page.mouse
    mouse.move(*spot(control, current(control)))
    mouse.down()
    mouse.move(*spot(control, place), steps=4)
    mouse.up()


def by_keyboard(control: Locator, place: int) -> None:
    """Press an arrow as often as there are stops between; on a Mac an arrow opens a list of the system's own."""
    slider, here = is_slider(control), current(control)
    if not slider and sys.platform == "darwin":
        control.select_option(index=place)
        return
    control.focus()
    forth, back = ("ArrowRight", "ArrowLeft") if slider else ("ArrowDown", "ArrowUp")
    for _ in range(abs(place - here)):
        control.press(forth if place > here else back)


def by_touch(control: Locator, place: int) -> None:
    """Put a finger on the handle and draw it; the page must have been opened with a touch screen."""
    if not is_slider(control):
        control.select_option(index=place)
        return
    client = control.page.context.new_cdp_session(control.page)
    (x, y), (to, _) = spot(control, current(control)), spot(control, place)

    def touch(kind: str, *at: float) -> None:
        points = [{"x": at[0], "y": at[1]}] if at else []
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x, y)
    for step in range(1, 5):
        touch("touchMove", x + (to - x) * step / 4, y)
    touch("touchEnd")
    client.detach()


MOVES = {"mouse": by_mouse, "keyboard": by_keyboard, "touch": by_touch}
