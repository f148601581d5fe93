"""ONNX's operators in NumPy and the core, one table for each kind."""

from __future__ import annotations

from collections.abc import Mapping

from pyrnn.interop.onnx.operators import (
    arithmetic,
    dense,
    recurrent,
    reductions,
    shapes,
    windows,
)
from pyrnn.interop.onnx.operators._build import Builder

OPERATORS: Mapping[str, Builder] = {
    **arithmetic.TABLE,
    **dense.TABLE,
    **recurrent.TABLE,
    **reductions.TABLE,
    **shapes.TABLE,
    **windows.TABLE,
}
"""By name, those of the standard domain; `pyrnn.interop.onnx.plan` adds If, Loop and Scan."""
