"""Check whether a command fits into memory, before the system ends it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._comparison import Sizes

GATES = {"rnn": 1, "lstm": 4, "gru": 3, "mingru": 2}
"""The number of weight rows of a unit, by the names of ``--cell``."""
WITHOUT_RECURRENT_WEIGHTS = ("mingru",)


LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The files in which Linux states the memory limit of a container."""

BYTES_OF_TEXT = 2
"""Minimum bytes of memory per byte of a file: the text as read, and as indices."""


def check(arguments: argparse.Namespace, num_characters: int) -> None:
    """Raise a `UsageError` if weights and activations need more memory than available.

    The estimate is low: it leaves out whatever the backend sets aside on its own.
    """
    needed = _needed(arguments, num_characters)
    _refuse_above("--hidden, --layers, --batch, --seq-len: expected sizes that fit", needed)


def check_text(files: Sequence[str | Path]) -> None:
    """Raise a `UsageError` if texts to score on need more memory than available."""
    size = sum(os.path.getsize(file) for file in files if os.path.isfile(file))
    _refuse_above("--val: expected a file that fits", BYTES_OF_TEXT * size)


def check_comparison(sizes: Sizes) -> None:
    """Raise a `UsageError` if a float64 LSTM on two backends needs more memory than available."""
    hidden, features = sizes.hidden_size, sizes.input_size
    weights = 4 * hidden * (hidden + features)
    step = 4 * features + 8 * hidden
    # The layer, its packed weights, and the gradients of both backends.
    numbers = 4 * weights + sizes.seq_len * sizes.batch_size * step
    _refuse_above("--hidden, --input, --batch, --seq-len: expected sizes that fit", 8 * numbers)


def _refuse_above(expected: str, needed: int) -> None:
    available = _total()
    if available is not None and needed > available:
        raise UsageError(
            f"{expected} into the {available / 1e9:.1f} GB of memory, got some that need about "
            f"{needed // 10**8 / 10:.1f} GB"
        )


def _needed(arguments: argparse.Namespace, num_characters: int) -> int:
    gates, hidden = GATES[arguments.cell], arguments.hidden
    matrices = arguments.layers - 1
    if arguments.cell not in WITHOUT_RECURRENT_WEIGHTS:
        matrices += arguments.layers
    weights = matrices * gates * hidden**2
    weights += (gates + 1) * hidden * num_characters
    # The cache of each step: gates and states of each layer, logits and their gradient.
    step = arguments.layers * (gates + 2) * hidden + 2 * num_characters
    activations = (arguments.k2 or arguments.seq_len) * arguments.batch * step
    # Weights, gradients and Adam's two moments.
    numbers: int = 4 * weights + activations
    return numbers * (8 if arguments.dtype == "float64" else 4)


def _total() -> int | None:
    """Return the memory available to this process in bytes; None if it is unknown."""
    known = [value for value in (_physical(), _free(), *map(_limit, LIMITS)) if value is not None]
    return min(known, default=None)


def _physical() -> int | None:
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None


def _free() -> int | None:
    """Return what Linux could give without taking it from other processes, with swap space."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in file}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes["SwapFree"])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _limit(path: str) -> int | None:
    """Return the limit of a container; None if it has none."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
