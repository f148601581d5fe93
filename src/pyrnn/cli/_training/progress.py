"""The progress of ``pyrnn train``: a bar on a terminal, a line from time to time elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator

from pyrnn.cli._training.run import Training

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
            print(f"{training.progress:4.0%}  {describe(training)}", flush=True)

    return show


def describe(training: Training) -> str:
    """Return bits per character, speed and time left, as one line."""
    parts = [f"{training.smoothed:.3f} bits/char"]
    if training.scores:
        parts.append(f"held-out {training.scores[-1].bits:.3f}")
    parts.append(f"{training.characters_per_second:,.0f} chars/s")
    parts.append(f"{_clock(training.seconds_left)} left")
    return " · ".join(parts)


def _clock(seconds: float) -> str:
    """Return a time as m:ss or h:mm:ss; ∞ for an infinite one."""
    if math.isinf(seconds):
        return "∞"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
