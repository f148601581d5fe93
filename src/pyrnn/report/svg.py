"""A chart as SVG inside a page: its own colours follow the page's, and it names no other file."""

from __future__ import annotations

import io
import re
from typing import Any

from pyrnn.report.charts import Chart, style

INK, FAINT = "#010203", "#040506"
"""Colours that stand for those of the page, light or dark."""

SIZE = (4.3, 2.6)
"""In inches: so small that text can be read where the chart is as wide as a phone."""


def svg(chart: Chart) -> str:
    """Draw a chart; the result is safe to put into a page."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    colours = ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")
    faint = ("axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    options: Any = {
        **dict.fromkeys(colours, INK),
        **dict.fromkeys(faint, FAINT),
        "svg.fonttype": "none",
        "svg.hashsalt": chart.name,
        "font.size": 9,
        "font.family": "sans-serif",
        "path.simplify_threshold": 0.5,
    }
    with mpl.rc_context(options):
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        chart.draw(axes)
        style(axes)
        figure.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _inline(file.getvalue(), chart.name)


def _inline(text: str, name: str) -> str:
    """An SVG file as an element of a page."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[a-z_]+\d*_\d+"', "", text)  # the same in each chart
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = text.replace(INK, "var(--ink)").replace(FAINT, "var(--faint)")
    head, _, rest = text.partition(">")
    view = re.search(r'viewBox="[^"]*"', head)
    assert view
    attributes = f'{view[0]} role="img" aria-labelledby="{name}-title {name}-summary"'
    return f"<svg {attributes}>{rest}"
