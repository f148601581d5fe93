"""Pictures of results: ratios of the grid, growth of time and memory, busy neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.contest.shapes import GATES, GROWTH_BASE, INFERENCE, TRAINING
from bench.pages import summary

Row = dict[str, Any]

TEXT = "#333333"
COLOURS = {
    "torch": "#e4572e",
    "jax": "#8e6bbf",
    "onnxruntime": "#4c78a8",
    "onnxruntime bound": "#54b0c9",
    "openvino": "#59a14f",
    "pyrnn": "#222222",
}
CELL_COLOURS = {"RNN": "#59a14f", "LSTM": "#4c78a8", "GRU": "#e4572e"}


def pictures(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Figures by name of one mode's results; none for the character models."""
    make = {"grid": _grid, "growth": _growth, "busy": _busy}.get(result["mode"])
    return make(result["rows"]) if make and result["rows"] else {}


def save(figure: Figure, path: Any) -> None:
    """As a PNG file."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, facecolor="white")


def _plain_numbers() -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value:g}")


# --- the grid -----------------------------------------------------------------------------------


def _grid(rows: list[Row]) -> dict[str, Figure]:
    return {
        f"grid-{count}-thread{'s' * (count > 1)}": _ratios(rows, count)
        for count in sorted({row["threads"] for row in rows if _pictured(row)})
    }


def _ratios(rows: list[Row], threads: int) -> Figure:
    """One line for each shape, one dot on it for each peer."""
    groups = [
        [r for r in rows if (r["section"], r["threads"]) == (section, threads) and _pictured(r)]
        for section in (TRAINING, INFERENCE)
    ]
    groups = [group for group in groups if group]
    height = max(len(group) + len({r["cell"] for r in group}) for group in groups)
    figure = Figure(figsize=(7 * len(groups), 1.8 + 0.25 * height), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, group in zip(panels, groups, strict=True):
        _panel(axes, group[0]["section"], group)
    names = summary.columns(row for group in groups for row in group)
    handles = [
        axes.plot([], [], "o", color=COLOURS[name], markersize=7, label=name)[0] for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(
        f"Time of each library / time of pyrnn, {threads} thread{'s' * (threads > 1)}: "
        "right of 1, pyrnn is faster",
        color=TEXT,
    )
    return figure


def _panel(axes: Axes, section: str, rows: list[Row]) -> None:
    labels: list[str] = []
    for cell in GATES:
        of_cell = [row for row in rows if row["cell"] == cell]
        if of_cell:
            labels.append(cell)
            for row in of_cell:
                _line(axes, len(labels), row)
                labels.append(row["shape"])
    axes.axvline(1, color=TEXT, linewidth=1.2)
    axes.set_yticks(range(len(labels)), labels, fontsize=8, fontfamily="monospace")
    for tick in axes.get_yticklabels():
        if tick.get_text() in GATES:
            tick.set_fontweight("bold")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    _ratio_axis(axes)
    mean = summary.geometric_mean([summary.best_ratio(row) for row in rows])
    axes.set_title(
        f"{section}: {mean:.1f} x the fastest other (geometric mean of {len(rows)} shapes)",
        loc="left",
        fontsize=10,
        color=TEXT,
    )


def _line(axes: Axes, height: int, row: Row) -> None:
    ratios = summary.ratios(row)
    axes.plot([1, summary.best_ratio(row)], [height, height], color="#bbbbbb", zorder=1)
    for name, ratio in ratios.items():
        axes.plot(ratio, height, "o", color=COLOURS[name], markersize=6, alpha=0.9)


def _ratio_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(_plain_numbers())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _pictured(row: Row) -> bool:
    return row["section"] in (TRAINING, INFERENCE) and bool(summary.ratios(row))


# --- growth -------------------------------------------------------------------------------------


def _growth(rows: list[Row]) -> dict[str, Figure]:
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    names = [name for name in ("T", "N", "H", "memory") if any(r["axis"] == name for r in rows)]
    panels = dict(zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True))
    for row in rows:
        axes = panels[row["axis"]]
        colour = CELL_COLOURS[row["cell"]]
        label = f"{row['cell']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"
        style = "o-" if row["threads"] == max(r["threads"] for r in rows) else "o--"
        if row["axis"] == "memory":
            _memory_line(axes, row, colour, style, label)
        else:
            _time_line(axes, row, colour, style, label)
    base = dict(zip("TNIH", GROWTH_BASE, strict=True))
    for axis, axes in panels.items():
        fixed = "T" if axis == "memory" else axis
        others = " ".join(f"{letter}{size}" for letter, size in base.items() if letter != fixed)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(_plain_numbers())
        axes.yaxis.set_major_formatter(_plain_numbers())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(fixed)
        axes.set_ylabel("MiB at the peak" if axis == "memory" else "ms, forward and backward")
        axes.set_title(f"{others}", loc="left", fontsize=9, color=TEXT)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[names[0]].legend(frameon=False, fontsize=8)
    figure.suptitle(
        "Growth of training; thin grey lines: the arithmetic, and the activations that are kept",
        color=TEXT,
    )
    return {"growth": figure}


def _time_line(axes: Axes, row: Row, colour: str, style: str, label: str) -> None:
    milliseconds = 1e3 * np.array(row["seconds"])
    arithmetic = np.array(row["operations"], float)
    axes.plot(row["sizes"], milliseconds, style, color=colour, markersize=4, label=label)
    # Through the last point, where fixed costs count least.
    axes.plot(
        row["sizes"], arithmetic * milliseconds[-1] / arithmetic[-1], color="#aaaaaa", linewidth=0.8
    )


def _memory_line(axes: Axes, row: Row, colour: str, style: str, label: str) -> None:
    if None not in row["bytes"]:
        peak, needed = np.array(row["bytes"]) / 2**20, np.array(row["needed"]) / 2**20
        axes.plot(row["sizes"], peak, style, color=colour, markersize=4, label=label)
        axes.plot(row["sizes"], needed, color="#aaaaaa", linewidth=0.8)


# --- busy neighbours ----------------------------------------------------------------------------


def _busy(rows: list[Row]) -> dict[str, Figure]:
    figure = Figure(figsize=(3.4 * len(rows) + 1, 3.8), layout="constrained")
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    for axes, row in zip(panels, rows, strict=True):
        for name, measured in row["columns"].items():
            alone = measured["median"][0]
            median = [time / alone for time in measured["median"]]
            slowest = [time / alone for time in measured["slowest"]]
            axes.plot(row["neighbours"], median, "o-", color=COLOURS[name], label=name)
            axes.plot(row["neighbours"], slowest, "^:", color=COLOURS[name], alpha=0.6)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(_plain_numbers())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(row["neighbours"])
        axes.set_xlabel("busy neighbours")
        axes.set_title(row["name"].removeprefix("busy "), fontsize=9, color=TEXT)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("time / median alone")
    panels[-1].legend(frameon=False, fontsize=8)
    figure.suptitle("A call beside busy processes: median (line), slowest (dots)", color=TEXT)
    return {"busy": figure}
