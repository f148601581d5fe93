"""The picture of a training run: loss curves over the characters read."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pyrnn.cli._common import plotting
from pyrnn.cli._training.run import Point, Training

TRAIN_COLOUR, HELD_OUT_COLOUR, TEXT_COLOUR = "#4c78a8", "#e4572e", "#333333"


def draw(training: Training, title: str) -> bytes:
    """Save training and held-out bits per character as a PNG file.

    It looks the same whatever a user has configured, and takes any title.
    """
    with plotting.without_configuration():
        return _draw(training, _printable(title))


def _printable(title: str) -> str:
    """Return the title without characters that the font does not have."""
    return "".join(c if c.isprintable() else "\ufffd" for c in title)


def _draw(training: Training, title: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    unit, scale = ("millions", 1e6) if training.characters >= 1e6 else ("thousands", 1e3)
    raw, smooth = training.losses, _smooth(training.losses)
    axes.plot(*_line(raw, scale), color=TRAIN_COLOUR, alpha=0.25, linewidth=0.8)
    axes.plot(*_line(smooth, scale), color=TRAIN_COLOUR, linewidth=1.8, label="training")
    if training.scores:
        axes.plot(
            *_line(training.scores, scale),
            color=HELD_OUT_COLOUR,
            linewidth=1.4,
            marker="o",
            markersize=4.5,
            label="held-out",
        )
        last = training.scores[-1]
        axes.annotate(
            f"{last.bits:.2f}",
            (last.characters / scale, last.bits),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=HELD_OUT_COLOUR,
            fontweight="bold",
        )
    axes.set_xlabel(f"characters read ({unit})", color=TEXT_COLOUR)
    axes.set_ylabel("bits per character", color=TEXT_COLOUR)
    axes.set_title(title, loc="left", fontsize=10, color=TEXT_COLOUR, wrap=True, parse_math=False)
    axes.set_xlim(0, 1.08 * training.characters / scale)
    axes.set_ylim(_limits([*smooth, *training.scores]))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    picture = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _line(points: Sequence[Point], scale: float) -> tuple[list[float], list[float]]:
    return [p.characters / scale for p in points], [p.bits for p in points]


def _smooth(points: Sequence[Point]) -> list[Point]:
    """Return means over neighbouring points, about 50 of them."""
    width = max(1, len(points) // 50)
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return [Point(g[-1].characters, sum(p.bits for p in g) / len(g)) for g in groups]


def _limits(points: Sequence[Point]) -> tuple[float, float]:
    """Return the range of the curves, so that noise does not determine the scale."""
    bits = [point.bits for point in points]
    low, high = min(bits), max(bits)
    margin = 0.08 * (high - low) + 0.05
    return max(0.0, low - margin), high + margin
