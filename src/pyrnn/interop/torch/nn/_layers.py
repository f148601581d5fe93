"""RNN, LSTM and GRU: torch's modules, computed over time by pyrnn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from pyrnn.interop.torch.nn import _function, _suited
from pyrnn.interop.torch.nn._call import Call
from pyrnn.interop.torch.nn._layout import BatchFirst, Layout, Packed, Unbatched
from pyrnn.interop.torch.nn._stack import Kind

_NAMES = ("weight_ih", "weight_hh")
_BIASES = ("bias_ih", "bias_hh")
_CELLS = {
    "RNN_TANH": ("rnn_tanh", 1),
    "RNN_RELU": ("rnn_relu", 1),
    "LSTM": ("lstm", 4),
    "GRU": ("gru", 3),
}
_HALF = (torch.bfloat16, torch.float16)
_CALLED = ("check_forward_args", "permute_hidden", "_update_flat_weights")


class _Layer(torch.nn.RNNBase):
    """A mixin: the core computes the calls that it supports, torch all others.

    Invalid calls go to torch as well, so that errors are torch's.
    """

    _theirs: type[torch.nn.RNNBase]
    _overrides = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Note whether a subclass has its own form of what torch's forward calls."""
        super().__init_subclass__(**options)
        cls._overrides = any(
            getattr(cls, name, None) is not getattr(torch.nn.LSTM, name, None)
            and getattr(cls, name, None) is not getattr(torch.nn.RNNBase, name, None)
            for name in _CALLED
        )

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As torch's."""
        if _suited.compiling():
            return _suited.uncompiled(self, input, hx)
        found = None
        if _suited.ordinary() and not self._overrides:
            found = self._by_core(input, hx)
        if found is not None:
            return found
        if _suited.symbolic(self, input):
            return _suited.recorded(self, input, hx)
        return super().forward(input, hx)

    __jit_ignored_attributes__ = _suited.IgnoredByScript()

    def __prepare_scriptable__(self) -> Any:
        """What `torch.jit.script` compiles in place of this module."""
        return _suited.scriptable(self)

    def _by_core(self, input: Any, hx: Any) -> Any:
        """The result, or None if the core does not support the call."""
        if type(input) is PackedSequence:
            return self._by_core_packed(input, hx)
        if type(input) is not Tensor or input.dim() not in (2, 3):
            return None
        layout: Layout
        if input.dim() == 2:
            layout, rows = Unbatched(), 1
        elif self.batch_first:
            layout, rows = BatchFirst(), input.size(0)
        else:
            layout, rows = Layout(), input.size(1)
        steps = input.size(1 if type(layout) is BatchFirst else 0)
        states = self._states(hx, () if input.dim() == 2 else (rows,))
        found = None if states is None else self._outputs(layout, input, states, (steps, rows))
        return None if found is None else (found[0], self._hidden(found[1:]))

    def _by_core_packed(self, packed: PackedSequence, hx: Any) -> Any:
        data, batch_sizes, order, inverse = packed
        if type(data) is not Tensor or data.dim() != 2 or not data.numel():
            return None
        if not _valid_sizes(batch_sizes, len(data)):
            return None
        layout = Packed(batch_sizes)
        if order is not None and len(order) != layout.rows:
            return None
        states = self._states(hx, (layout.rows,))
        if states is None:
            return None
        if order is not None:
            states = tuple(state.index_select(1, order) for state in states)
        found = self._outputs(layout, data, states, (len(data),))
        if found is None:
            return None
        y, *last = found
        if inverse is not None:
            last = [state.index_select(1, inverse) for state in last]
        return PackedSequence(y, batch_sizes, order, inverse), self._hidden(last)

    def _states(self, hx: Any, rows: tuple[int, ...]) -> tuple[Tensor, ...] | None:
        """The parts of a first state, none for zeros; None for what does not fit."""
        if hx is None:
            return ()
        parts = tuple(hx) if self.mode == "LSTM" and isinstance(hx, (tuple, list)) else (hx,)
        sizes = [self.proj_size or self.hidden_size]
        if self.mode == "LSTM":
            sizes.append(self.hidden_size)
        stacked = self.num_layers * (2 if self.bidirectional else 1)
        if len(parts) != len(sizes):
            return None
        for part, size in zip(parts, sizes, strict=True):
            if not isinstance(part, Tensor) or part.shape != (stacked, *rows, size):
                return None
        return parts

    def _hidden(self, states: Any) -> Any:
        return tuple(states) if self.mode == "LSTM" else states[0]

    def _outputs(
        self, layout: Layout, x: Tensor, states: tuple[Tensor, ...], lead: tuple[int, ...]
    ) -> tuple[Tensor, ...] | None:
        """y and the last states; None if the core does not support the tensors."""
        if self.mode not in _CELLS or x.shape[-1] != self.input_size or not all(lead):
            return None
        if not isinstance(self.dropout, (float, int)) or not 0 <= self.dropout <= 1:
            return None
        weights = self._weights()
        if weights is None:
            return None
        dtype = weights[0].dtype
        casts: tuple[torch.dtype, ...] | None = None
        if torch.is_autocast_enabled("cpu") and dtype is torch.float32:
            packed = layout.batch_sizes is not None
            casts = self._autocast_dtypes(x, states, packed)
            x = x.float() if x.dtype in _HALF else x
            states = tuple(s.float() if s.dtype in _HALF else s for s in states)
        if not _suited.fit((x, *states, *weights), dtype):
            return None
        masks = self._masks(lead, dtype)
        found = _function.run(Call(self._kind(), layout, masks), x, states, weights)
        if casts is None:
            return found
        return tuple(part.to(cast) for part, cast in zip(found, casts, strict=True))

    def _autocast_dtypes(
        self, x: Tensor, states: tuple[Tensor, ...], packed: bool
    ) -> tuple[torch.dtype, ...]:
        """What torch's results would have.

        Where torch composes a layer of its own operators, a wider first state widens the results;
        of a projected LSTM c alone, as a product makes h. oneDNN's LSTM widens nothing.
        """
        low = torch.get_autocast_dtype("cpu")
        wide = [torch.promote_types(low, state.dtype) for state in states or (x, x)]
        if self.mode == "GRU":
            return (wide[0], wide[0])
        if self.mode != "LSTM":
            return (low, low)
        if self.proj_size:
            return (low, low, wide[1])
        composed = packed or x.dtype is torch.float16 or not _suited.has_onednn()
        return (wide[0] if composed else low,) * 3

    def _weights(self) -> tuple[Tensor, ...] | None:
        """The tensors that torch's own forward would take; None where they do not fit.

        These are in ``_flat_weights``, into which some write (`torch.nn.LSTM` with dropped
        weights), unless the attributes have changed, as parametrized ones do.
        """
        tensors = self._flat_weights
        for name, tensor in zip(self._flat_weights_names, tensors, strict=False):
            if self._parameters.get(name) is not tensor:
                self._update_flat_weights()
                tensors = self._flat_weights
                break
        shapes = self._shapes()
        if len(tensors) != len(shapes):
            return None
        for tensor, shape in zip(tensors, shapes, strict=True):
            if not isinstance(tensor, Tensor) or tensor.shape != shape:
                return None
        return tuple(tensors)

    def _shapes(self) -> list[tuple[int, ...]]:
        size, units = self.proj_size or self.hidden_size, self.hidden_size
        rows = _CELLS[self.mode][1] * units
        directions = 2 if self.bidirectional else 1
        shapes: list[tuple[int, ...]] = []
        for number in range(self.num_layers * directions):
            columns = self.input_size if number < directions else size * directions
            shapes += [(rows, columns), (rows, size)]
            if self.bias:
                shapes += [(rows,), (rows,)]
            if self.proj_size:
                shapes.append((self.proj_size, units))
        return shapes

    def _kind(self) -> Kind:
        names = _NAMES + _BIASES * self.bias + ("weight_hr",) * (self.proj_size > 0)
        return Kind(_CELLS[self.mode][0], self.num_layers, 2 if self.bidirectional else 1, names)

    def _masks(self, lead: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
        """Dropout between layers: the masks that torch's generator gives torch's own layer."""
        if not self.training or not self.dropout or self.num_layers == 1:
            return []
        size = (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)
        return [self._mask((*lead, size), dtype) for _ in range(self.num_layers - 1)]

    def _mask(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self.dropout == 1:
            return torch.zeros(shape, dtype=dtype, device="cpu")
        kept = 1 - self.dropout
        return torch.empty(shape, dtype=dtype, device="cpu").bernoulli_(kept).div_(kept)


def _valid_sizes(batch_sizes: Tensor, rows: int) -> bool:
    """Whether they are those of so many rows, and never grow."""
    if type(batch_sizes) is not Tensor or batch_sizes.dim() != 1 or not batch_sizes.numel():
        return False
    if batch_sizes.dtype is not torch.int64 or not batch_sizes.is_cpu:
        return False
    sizes = batch_sizes.numpy()
    return bool(sizes[-1] > 0 and (sizes[1:] <= sizes[:-1]).all() and sizes.sum() == rows)


class RNN(_Layer, torch.nn.RNN):
    """`torch.nn.RNN`, computed by pyrnn's core on the CPU.

    Arguments, parameters, results, errors and the numbers that dropout draws are torch's. float32
    and float64 tensors on the CPU go through the core, without copies; everything else (other
    devices and dtypes, `torch.func`, tracing, export) goes through torch's own functions.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from pyrnn.interop.torch import nn
    >>> layer = nn.RNN(3, 4, nonlinearity="relu")
    >>> y, h = layer(torch.zeros(5, 2, 3))
    """

    _theirs = torch.nn.RNN


class LSTM(_Layer, torch.nn.LSTM):
    """`torch.nn.LSTM`, computed by pyrnn's core on the CPU; see `RNN`."""

    _theirs = torch.nn.LSTM


class GRU(_Layer, torch.nn.GRU):
    """`torch.nn.GRU`, computed by pyrnn's core on the CPU; see `RNN`."""

    _theirs = torch.nn.GRU
