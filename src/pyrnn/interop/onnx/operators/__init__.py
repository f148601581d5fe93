"""ONNX's operators in NumPy and the core, one table for each kind."""

from __future__ import annotations

from collections.abc import Mapping

from pyrnn.interop.onnx.operators import (
    arithmetic,
    dense,
    microsoft,
    pools,
    qlinear,
    quantized,
    recurrent,
    reductions,
    shapes,
    transposed,
    windows,
)
from pyrnn.interop.onnx.operators._build import Builder
from pyrnn.interop.onnx.operators.further import (
    byte_lstm,
    drawing,
    norms,
    resizing,
    sequences,
    signals,
    special,
)

OPERATORS: Mapping[str, Builder] = {
    **arithmetic.TABLE,
    **byte_lstm.TABLE,
    **dense.TABLE,
    **drawing.TABLE,
    **pools.TABLE,
    **quantized.TABLE,
    **recurrent.TABLE,
    **reductions.TABLE,
    **shapes.TABLE,
    **norms.TABLE,
    **resizing.TABLE,
    **sequences.TABLE,
    **signals.TABLE,
    **special.TABLE,
    **transposed.TABLE,
    **microsoft.TABLE,
    **qlinear.TABLE,
    **windows.TABLE,
}
"""By name, of the standard and of com.microsoft; `pyrnn.interop.onnx.plan` adds If, Loop, Scan."""
