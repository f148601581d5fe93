"""Types to annotate code that uses pyrnn."""

from pyrnn._types import Array, Indices, Parameters

State = Array | tuple[Array, ...] | None
"""The state of a layer: h, the pair (h, c) for LSTM, or None for a layer without one."""

__all__ = ["Array", "Indices", "Parameters", "State"]
