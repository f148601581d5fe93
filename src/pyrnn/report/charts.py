"""The charts of a run, drawn by matplotlib: each on axes of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.report.measured import Measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK = "#4c86c6", "#e4672e", "#2f9e6e", "#c65fa5"
COLOURS = (BLUE, ORANGE, GREEN, PINK)
"""Each has enough contrast on white and on near black."""

ROWS = 12
"""The number of rows in the table that says what a chart shows."""


class Chart(NamedTuple):
    """A chart of the report, and the same in words and numbers."""

    name: str
    title: str
    draw: Callable[[Any], None]
    summary: str
    columns: list[str]
    rows: list[list[str]]


def charts(run: Measured) -> list[Chart]:
    """All charts for which the run has numbers."""
    makers = (_loss, _bits, _lr, _norm, _saturation, _gates, _lag)
    return [chart for chart in (make(run) for make in makers) if chart is not None]


def figure(run: Measured) -> Figure:
    """All charts in one figure."""
    from matplotlib.figure import Figure

    found = charts(run)
    rows = max(1, math.ceil(len(found) / 2))
    whole = Figure(figsize=(9.6, 2.9 * rows), dpi=110, layout="constrained")
    if not found:
        whole.text(0.5, 0.5, "nothing was recorded", ha="center")
        return whole
    axes = np.atleast_1d(whole.subplots(rows, 2)).ravel()
    for chart, own in zip(found, axes, strict=False):
        own.set_title(chart.title, loc="left", fontsize=10)
        chart.draw(own)
        style(own)
    for own in axes[len(found) :]:
        own.set_axis_off()
    return whole


def style(axes: Any) -> None:
    """The style of all charts."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1] and axes.get_legend() is None:
        axes.legend(frameon=False, fontsize=8)


def _over_steps(
    run: Measured, column: str, name: str, title: str, what: str, *, log: bool = False
) -> Chart | None:
    """The chart of a column over the steps."""
    steps, values = run.steps["step"], run.steps[column]
    there = np.isfinite(values)
    if not there.any():
        return None
    steps, values = steps[there], values[there]
    log = log and bool((values > 0).all())

    def draw(axes: Any) -> None:
        axes.plot(steps, values, color=BLUE, linewidth=1.2)
        axes.set_xlabel("step")
        axes.set_ylabel(what)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)

    summary = (
        f"{what.capitalize()} at {len(steps)} points: {_shown(values[0])} at step {steps[0]:,.0f}, "
        f"{_shown(values[-1])} at step {steps[-1]:,.0f}, at least {_shown(values.min())}, "
        f"at most {_shown(values.max())}."
    )
    rows = [[f"{steps[n]:,.0f}", _shown(values[n])] for n in _some(len(steps))]
    return Chart(name, title, draw, summary, ["step", what], rows)


def _loss(run: Measured) -> Chart | None:
    return _over_steps(run, "loss", "loss", "Training loss", "loss in nats", log=True)


def _lr(run: Measured) -> Chart | None:
    return _over_steps(run, "lr", "learning-rate", "Learning rate", "learning rate")


def _norm(run: Measured) -> Chart | None:
    title, what = "Gradient norm, before clipping", "norm of all gradients"
    return _over_steps(run, "grad_norm", "gradient-norm", title, what, log=True)


def _bits(run: Measured) -> Chart | None:
    """Bits per character, of the training and of the held-out text."""
    steps, training = run.steps["step"], run.steps["loss"] / math.log(2)
    scores = [score for score in run.scores if math.isfinite(score["bits"])]
    if not scores and (run.model is None or not len(steps)):
        return None
    smooth = _smooth(training)
    held_out = np.array([[score["step"], score["bits"]] for score in scores]).reshape(-1, 2)

    def draw(axes: Any) -> None:
        axes.plot(steps, training, color=BLUE, alpha=0.3, linewidth=0.8)
        axes.plot(steps, smooth, color=BLUE, linewidth=1.6, label="training")
        if len(held_out):
            axes.plot(*held_out.T, color=ORANGE, marker="o", markersize=4, label="held-out")
        shown = np.concatenate([smooth[len(smooth) // 50 :], held_out[:, 1]])
        shown = shown[np.isfinite(shown)]
        if len(shown):
            margin = 0.08 * (shown.max() - shown.min()) + 0.05
            axes.set_ylim(max(0, shown.min() - margin), shown.max() + margin)
        axes.set_xlabel("step")
        axes.set_ylabel("bits per character")

    summary = "No score on held-out text."
    if len(held_out):
        summary = (
            f"On held-out text {held_out[0, 1]:.3f} bits per character at step "
            f"{held_out[0, 0]:,.0f}, {held_out[-1, 1]:.3f} at step {held_out[-1, 0]:,.0f}; "
            f"the best is {held_out[:, 1].min():.3f}."
        )
    rows = [[f"{step:,.0f}", f"{bits:.3f}"] for step, bits in held_out[_some(len(held_out))]]
    columns = ["step", "held-out bits per character"]
    return Chart("bits", "Bits per character", draw, summary, columns, rows)


def _saturation(run: Measured) -> Chart | None:
    """The shares of saturated gate values during the training."""
    scores = [score for score in run.scores if score.get("gates")]
    if not scores:
        return None
    steps = [score["step"] for score in scores]
    names = list(scores[0]["gates"])
    shares = {
        name: [sum(score["gates"].get(name, (math.nan, 0.0))) for score in scores] for name in names
    }

    def draw(axes: Any) -> None:
        for name, colour in zip(names, _colours(len(names)), strict=True):
            axes.plot(steps, shares[name], color=colour, marker=".", label=name, linewidth=1.2)
        axes.set_ylim(0, 1)
        axes.set_xlabel("step")
        axes.set_ylabel("share below 0.1 or above 0.9")

    last = ", ".join(f"{name} {shares[name][-1]:.0%}" for name in names)
    summary = f"Share of gate values below 0.1 or above 0.9 at step {steps[-1]:,.0f}: {last}."
    rows = [
        [f"{steps[n]:,.0f}", *(f"{shares[name][n]:.0%}" for name in names)]
        for n in _some(len(steps))
    ]
    title = "Gate saturation during training"
    return Chart("saturation", title, draw, summary, ["step", *names], rows)


def _gates(run: Measured) -> Chart | None:
    """The distribution of each gate's values in the final model."""
    gates = run.gates
    if not gates:
        return None
    names = list(gates)
    low, high = (np.array([gates[name][n] for name in names]) for n in (0, 1))

    def draw(axes: Any) -> None:
        places = np.arange(len(names))[::-1]
        axes.barh(places, low, color=BLUE, label="below 0.1", height=0.6)
        axes.barh(places, high, left=1 - high, color=ORANGE, label="above 0.9", height=0.6)
        axes.set_yticks(places, names)
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of values over the text")
        place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.1}
        axes.legend(frameon=False, fontsize=8, ncols=2, **place)

    rows = [
        [name, f"{down:.0%}", f"{1 - down - up:.0%}", f"{up:.0%}"]
        for name, down, up in zip(names, low, high, strict=True)
    ]
    parts = "; ".join(f"{row[0]}: {row[1]} below 0.1, {row[3]} above 0.9" for row in rows)
    summary = f"Gates of the model over the text. {parts}."
    columns = ["gate", "below 0.1", "between", "above 0.9"]
    return Chart("gates", "Gates of the model", draw, summary, columns, rows)


def _lag(run: Measured) -> Chart | None:
    """The norm of a loss's gradient over the lag."""
    norms = run.gradient_over_lag
    if not len(norms) or not np.isfinite(norms).all() or not norms.any():
        return None
    unit = "character" if run.model is None else run.model.vocabulary.unit

    def draw(axes: Any) -> None:
        axes.plot(np.where(norms > 0, norms, np.nan), color=BLUE, linewidth=1.6)
        axes.set_yscale("log")
        axes.set_xlabel(f"k, in {unit}s")
        axes.set_ylabel("norm of ∂L(t)/∂h(t−k)")

    last = len(norms) - 1
    summary = (
        f"The gradient of the loss at one {unit} with respect to the hidden state k {unit}s "
        f"before: {_shown(norms[0])} at k = 0, {_shown(norms[last // 4])} at k = {last // 4}, "
        f"{_shown(norms[last])} at k = {last}."
    )
    rows = [[str(n), _shown(norms[n])] for n in _some(len(norms))]
    return Chart("lag", "Gradient norm over lag", draw, summary, ["k", "norm"], rows)


def _colours(count: int) -> list[str]:
    return [COLOURS[n % len(COLOURS)] for n in range(count)]


def _smooth(values: Array) -> Array:
    """Means over neighbouring points, about 50 of them apart."""
    width = max(1, len(values) // 50)
    kernel = np.ones(width)
    sums: Array = np.convolve(values, kernel, mode="same")
    return sums / np.convolve(np.ones(len(values)), kernel, mode="same") if len(values) else values


def _some(count: int) -> list[int]:
    """Up to `ROWS` positions, including the first and the last."""
    return sorted({round(n) for n in np.linspace(0, count - 1, min(ROWS, count))}) if count else []


def _shown(value: float) -> str:
    return f"{value:.4g}"
