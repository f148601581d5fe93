"""The progress of ``pyrnn train``: a bar on a terminal, a line from time to time elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator

from pyrnn.cli._training.run import Training

HOUR, DAY = 3600, 86_400
LINES = 20
"""The number of lines that replace the bar where there is no terminal."""


@contextlib.contextmanager
def display(training: Training) -> Iterator[Callable[[], None]]:
    """Yield a function that shows the state of a training run, inside a ``with`` block."""
    if sys.stdout is not None and sys.stdout.isatty():
        with _bar(training) as show:
            yield show
    else:
        yield _lines(training)


@contextlib.contextmanager
def _bar(training: Training) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(None), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, expand=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda: progress.update(
            task, completed=training.progress, description=describe(training)
        )


def _lines(training: Training) -> Callable[[], None]:
    shown = 0

    def show() -> None:
        nonlocal shown
        if training.progress * LINES >= shown or training.progress == 1:
            shown = math.floor(training.progress * LINES) + 1
            print(f"{training.progress:4.0%} {describe(training)}", flush=True)

    return show


def describe(training: Training) -> str:
    """Return step, epoch, times, speed, learning rate and bits per character, as one line.

    It has 75 columns at most, as long as there are less than 100 epochs.
    """
    parts = [
        f"step {_short(training.step)}",
        f"epoch {training.epoch}",
        _clock(training.seconds),
        f"left {_clock(training.seconds_left)}",
        f"{_short(training.characters_per_second)}/s",
        f"lr {_power(training.lr)}",
        f"bits {training.smoothed:.3f}",
    ]
    if training.best is not None:
        parts.append(f"best {training.best[0]:.3f}")
    return " ".join(parts)


def _short(number: float) -> str:
    """Return a number in five characters or less."""
    if number < 99_999.5:
        return f"{number:.0f}"
    for unit in "kMGT":
        number /= 1000
        if number < 999.5:
            return f"{number:.0f}{unit}"
    return "∞"


def _power(number: float) -> str:
    """Return a number with two digits, and its power of ten."""
    digits, power = f"{number:.1e}".split("e")
    return f"{digits}e{int(power)}"


def _clock(seconds: float) -> str:
    """Return a time in five characters: m:ss, 1h05, 3d04; ∞ for an infinite one."""
    if seconds >= 100 * DAY:
        return "∞"
    seconds = math.ceil(seconds)
    if seconds < HOUR:
        return f"{seconds // 60}:{seconds % 60:02}"
    if seconds < 4 * DAY:
        return f"{seconds // HOUR}h{seconds % HOUR // 60:02}"
    return f"{seconds // DAY}d{seconds % DAY // HOUR:02}"
