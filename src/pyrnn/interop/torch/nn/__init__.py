"""torch's recurrent modules, computed by pyrnn's core: a drop-in for those of `torch.nn`."""

from __future__ import annotations

from pyrnn._imports import extras

extras.require("torch", "torch")

from pyrnn.interop.torch.nn._accelerate import accelerate as accelerate  # noqa: E402
from pyrnn.interop.torch.nn._cells import GRUCell as GRUCell  # noqa: E402
from pyrnn.interop.torch.nn._cells import LSTMCell as LSTMCell  # noqa: E402
from pyrnn.interop.torch.nn._cells import RNNCell as RNNCell  # noqa: E402
from pyrnn.interop.torch.nn._layers import GRU as GRU  # noqa: E402
from pyrnn.interop.torch.nn._layers import LSTM as LSTM  # noqa: E402
from pyrnn.interop.torch.nn._layers import RNN as RNN  # noqa: E402

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "accelerate"]
