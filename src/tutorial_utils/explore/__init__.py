"""Figures that answer to the reader: in the static page from measured numbers, with a kernel by measuring anew.

One call makes an explorer. It measures every combination of its controls' values and writes them, as numbers, into
the page, where ``assets/explorer.js`` draws them. Where a kernel runs, the same drawing is a widget, its sliders stop
anywhere, and what is not yet measured is measured when the reader asks.
"""

from tutorial_utils.explore.charts import Bars, Heatmap, Lines
from tutorial_utils.explore.controls import Choice, Slider
from tutorial_utils.explore.explorer import Explorer

__all__ = ["Bars", "Choice", "Explorer", "Heatmap", "Lines", "Slider"]
