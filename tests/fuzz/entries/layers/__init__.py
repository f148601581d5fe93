"""Layers of every kind, their streams and options, and sequences for them."""

from tests.fuzz.entries.layers import (
    cells,
    composition,
    compute,
    convolution,
    dense,
    options,
    recurrent,
    sequences,
    streams,
)

__all__ = [
    "cells",
    "composition",
    "compute",
    "convolution",
    "dense",
    "options",
    "recurrent",
    "sequences",
    "streams",
]
