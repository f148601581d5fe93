"""Types for annotations around pyrnn."""

from typing import Any, TypeAlias

from pyrnn._types import Array, DTypeLike, Indices, Parameters
from pyrnn._types import Pair as LSTMState
from pyrnn.layers._cache import Cache as _Cache

State = Array | tuple[Array, ...] | None
"""The state of a layer: h, the pair (h, c) for LSTM, or None for a layer without one."""

Cache: TypeAlias = _Cache[Any]
"""What `forward` keeps for `backward`."""

__all__ = ["Array", "Cache", "DTypeLike", "Indices", "LSTMState", "Parameters", "State"]
