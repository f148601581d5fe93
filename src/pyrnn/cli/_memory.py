"""Whether a training fits into this machine's memory, found out before the system ends it."""

from __future__ import annotations

import argparse
import os

from pyrnn.cli._errors import UsageError

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
"""How many rows of weights a unit has, by the names of ``--cell``."""


def check(arguments: argparse.Namespace, num_characters: int) -> None:
    """Raise a `UsageError` if weights and activations need more than there is.

    The estimate is low: it leaves out whatever the backend sets aside on its own.
    """
    available = _total()
    needed = _needed(arguments, num_characters)
    if available is not None and needed > available:
        raise UsageError(
            f"--hidden, --layers, --batch, --seq-len: expected sizes that fit into the "
            f"{available / 1e9:.1f} GB of memory, got some that need about {needed / 1e9:.1f} GB"
        )


def _needed(arguments: argparse.Namespace, num_characters: int) -> int:
    gates, hidden = GATES[arguments.cell], arguments.hidden
    weights = (2 * arguments.layers - 1) * gates * hidden**2
    weights += (gates + 1) * hidden * num_characters
    # What is kept of each step: gates and states of each layer, logits and their gradient.
    step = arguments.layers * (gates + 2) * hidden + 2 * num_characters
    activations = arguments.seq_len * arguments.batch * step
    # Weights, gradients and Adam's two moments.
    numbers: int = 4 * weights + activations
    return numbers * (8 if arguments.dtype == "float64" else 4)


def _total() -> int | None:
    """The machine's memory in bytes; None where the system does not tell."""
    try:
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return int(page * pages)
