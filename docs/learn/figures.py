"""Make the pictures of these pages: ``python docs/learn/figures.py``. Needs the extra cli."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pyrnn
from pyrnn.diagnostics import gradient_flow

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#4c78a8", "#e4572e", "#777777"


def unrolled() -> Figure:
    """Four steps: forward in blue, gradients in orange."""
    figure = Figure(figsize=(8, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.set(xlim=(-0.8, 4.6), ylim=(-1.4, 1.6), aspect="equal")
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": BLUE}

    def arrow(start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        style = {"arrowstyle": "->", "color": colour, "linewidth": 1.6}
        axes.annotate("", end, start, arrowprops=style)

    for step in range(4):
        name = f"t{step - 3:+d}" if step < 3 else "t"
        axes.text(step * 1.2, 0, f"h({name})", ha="center", va="center", bbox=box, fontsize=10)
        axes.text(step * 1.2, -1.15, f"x({name})", ha="center", fontsize=10)
        axes.text(step * 1.2, 1.2, f"L({name})", ha="center", fontsize=10)
        arrow((step * 1.2 - 0.06, -0.95), (step * 1.2 - 0.06, -0.28), BLUE)
        arrow((step * 1.2 - 0.06, 0.28), (step * 1.2 - 0.06, 1.1), BLUE)
        arrow((step * 1.2 + 0.06, 1.1), (step * 1.2 + 0.06, 0.28), ORANGE)
        arrow((step * 1.2 + 0.06, -0.28), (step * 1.2 + 0.06, -0.95), ORANGE)
        if step < 3:
            arrow((step * 1.2 + 0.38, 0.07), (step * 1.2 + 0.82, 0.07), BLUE)
            arrow((step * 1.2 + 0.82, -0.07), (step * 1.2 + 0.38, -0.07), ORANGE)
    axes.text(0.6, 0.25, "W", ha="center", color=BLUE)
    axes.text(0.62, -0.4, "Wᵀ dz", ha="center", color=ORANGE)
    axes.text(-0.25, -0.65, "U", ha="center", color=BLUE)
    return figure


def vanishing() -> Figure:
    """The norm of the gradient over the lag for the networks of vanishing.md."""
    x = np.random.default_rng(1).standard_normal((60, 16, 8))
    shared = {"dtype": "float64", "seed": 0}
    networks = {
        "relu, identity": pyrnn.RNN(
            8, 32, nonlinearity="relu", initialization="identity", **shared
        ),
        "LSTM, forget bias 3": pyrnn.LSTM(8, 32, forget_bias=3.0, **shared),
        "tanh, orthogonal": pyrnn.RNN(8, 32, initialization="orthogonal", **shared),
        "GRU": pyrnn.GRU(8, 32, **shared),
        "LSTM": pyrnn.LSTM(8, 32, **shared),
        "tanh": pyrnn.RNN(8, 32, **shared),
    }
    figure = Figure(figsize=(8, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for name, network in networks.items():
        axes.plot(gradient_flow(network, x, jacobians=False).norms["h"][:, 0], label=name)
    axes.set_yscale("log")
    axes.set_xlabel("steps back", color=GREY)
    axes.set_ylabel("norm of the gradient", color=GREY)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    return figure


if __name__ == "__main__":
    for draw in (unrolled, vanishing):
        draw().savefig(IMAGES / f"{draw.__name__}.png")
