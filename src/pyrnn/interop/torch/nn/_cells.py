"""RNNCell, LSTMCell and GRUCell: torch's modules, whose step is pyrnn's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyrnn.interop.torch.nn import _function, _suited
from pyrnn.interop.torch.nn._call import Call
from pyrnn.interop.torch.nn._layout import Layout, Step
from pyrnn.interop.torch.nn._stack import Kind

_WITH_BIAS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _UnbatchedStep(Layout):
    """One step of one sequence: x and states are (features,)."""

    def to_core(self, array: Any, /) -> Any:
        """Add the axes T, or that of layers, and N."""
        return array[None, None]

    def from_core(self, array: Any, /) -> Any:
        """Take them away."""
        return array[0, 0]

    state_in = to_core
    state_out = from_core


class _Cell(torch.nn.RNNCellBase):
    """A mixin: the core computes the calls that it supports, torch all others."""

    _theirs: type[torch.nn.RNNCellBase]
    _gates: int
    _states: int

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As torch's."""
        if _suited.compiling():
            return _suited.uncompiled(self, input, hx)
        found = None
        if _suited.ordinary() and not torch.is_autocast_enabled("cpu"):
            found = self._by_core(input, hx)
        if found is not None:
            return found if self._states == 2 else found[0]
        if _suited.symbolic(self, input):
            return _suited.recorded(self, input, hx)
        return super().forward(input, hx)

    __jit_ignored_attributes__ = _suited.IgnoredByScript()

    def __prepare_scriptable__(self) -> Any:
        """What `torch.jit.script` compiles in place of this module."""
        return _suited.scriptable(self)

    def _by_core(self, x: Any, hx: Any) -> tuple[Tensor, ...] | None:
        """The states after, or None if the core does not support the call."""
        if type(x) is not Tensor or x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            return None
        states: tuple[Any, ...] = ()
        if hx is not None:
            states = tuple(hx) if self._states == 2 and isinstance(hx, (tuple, list)) else (hx,)
            if len(states) != self._states:
                return None
        shape = (*x.shape[:-1], self.hidden_size)
        if not x.numel() or not self.hidden_size:
            return None
        if not all(isinstance(s, Tensor) and s.shape == shape for s in states):
            return None
        weights = self._weights()
        if weights is None or not _suited.fit((x, *states, *weights), weights[0].dtype):
            return None
        layout = Step() if x.dim() == 2 else _UnbatchedStep()
        kind = Kind(self._cell_name(), 1, 1, _WITH_BIAS[: len(weights)])
        return _function.run(Call(kind, layout, []), x, states, weights)[1:]

    def _weights(self) -> tuple[Tensor, ...] | None:
        """The tensors as they are now; None where they do not fit."""
        rows, units = self._gates * self.hidden_size, self.hidden_size
        shapes: list[tuple[int, ...]] = [(rows, self.input_size), (rows, units), (rows,), (rows,)]
        tensors = [getattr(self, name) for name in _WITH_BIAS]
        if tensors[2] is None and tensors[3] is None:
            tensors = tensors[:2]
        for tensor, shape in zip(tensors, shapes, strict=False):
            if not isinstance(tensor, Tensor) or tensor.shape != shape:
                return None
        return tuple(tensors)

    def _cell_name(self) -> str:
        raise NotImplementedError


class RNNCell(_Cell, torch.nn.RNNCell):
    """`torch.nn.RNNCell`, computed by pyrnn's core on the CPU; see `RNN`."""

    _theirs = torch.nn.RNNCell
    _gates, _states = 1, 1

    def _cell_name(self) -> str:
        return f"rnn_{self.nonlinearity}"

    def _by_core(self, x: Any, hx: Any) -> tuple[Tensor, ...] | None:
        return super()._by_core(x, hx) if self.nonlinearity in ("tanh", "relu") else None


class LSTMCell(_Cell, torch.nn.LSTMCell):
    """`torch.nn.LSTMCell`, computed by pyrnn's core on the CPU; see `RNN`."""

    _theirs = torch.nn.LSTMCell
    _gates, _states = 4, 2

    def _cell_name(self) -> str:
        return "lstm"


class GRUCell(_Cell, torch.nn.GRUCell):
    """`torch.nn.GRUCell`, computed by pyrnn's core on the CPU; see `RNN`."""

    _theirs = torch.nn.GRUCell
    _gates, _states = 3, 1

    def _cell_name(self) -> str:
        return "gru"
