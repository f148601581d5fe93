"""The picture of a gradient's flow: norms over the lag, singular values, gates over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrnn._imports.extras import require
from pyrnn._types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#4c78a8", "#e4572e", "#333333"


def draw(norms: dict[str, Array], singular_values: Array, gates: dict[str, Array]) -> Figure:
    """Draw one panel for each of what was measured."""
    require("cli", "matplotlib")
    from matplotlib.figure import Figure

    panels: list[tuple[Callable[[Any, Any], None], Any]] = [(_norms, norms)]
    if singular_values.size:
        panels.append((_singular_values, singular_values))
    if gates:
        panels.append((_gates, gates))
    figure = Figure(figsize=(4.6 * len(panels), 3.6), dpi=150, layout="constrained")
    columns = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (panel, values) in zip(columns, panels, strict=True):
        panel(axes, values)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _norms(axes: Any, norms: dict[str, Array]) -> None:
    for name, colour in zip(norms, (BLUE, ORANGE), strict=False):
        for layer, norm in enumerate(norms[name].T):
            label = name if norms[name].shape[1] == 1 else f"{name}, layer {layer}"
            axes.plot(np.where(norm > 0, norm, np.nan), color=colour, label=label)
    axes.set_yscale("log")
    axes.set_title("norm of the gradient, k steps back", loc="left", fontsize=10, color=GREY)
    axes.set_xlabel("k", color=GREY)
    axes.legend(frameon=False)


def _singular_values(axes: Any, singular_values: Array) -> None:
    values = np.where(singular_values > 0, singular_values, np.nan)
    middle = np.nanmedian(values, axis=1)
    axes.fill_between(range(len(values)), np.nanmin(values, 1), values[:, 0], alpha=0.2, color=BLUE)
    axes.plot(values[:, 0], color=BLUE, label="largest")
    axes.plot(middle, color=ORANGE, label="median")
    axes.axhline(1, color=GREY, linewidth=0.8)
    axes.set_yscale("log")
    axes.set_title("singular values of a step's Jacobian", loc="left", fontsize=10, color=GREY)
    axes.set_xlabel("time step", color=GREY)
    axes.legend(frameon=False)


def _gates(axes: Any, gates: dict[str, Array]) -> None:
    for name, gate in gates.items():
        if name[0] not in "gn":  # candidates are not gates
            axes.plot(gate.reshape(len(gate), -1).mean(axis=1), label=name)
    axes.set_ylim(0, 1)
    axes.set_title("mean of each gate", loc="left", fontsize=10, color=GREY)
    axes.set_xlabel("time step", color=GREY)
    axes.legend(frameon=False)
