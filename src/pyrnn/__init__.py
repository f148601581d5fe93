"""Recurrent networks on CPUs: RNN, LSTM and GRU, a compiled core beside a readable reference."""

from __future__ import annotations

from pyrnn._backend import use_backend
from pyrnn.layers import GRU, LSTM, RNN
from pyrnn.stream import Stream

__all__ = ["GRU", "LSTM", "RNN", "Stream", "use_backend"]
