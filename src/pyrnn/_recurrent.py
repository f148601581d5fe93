"""What all recurrent layers share: arguments, states, the walk through layers and directions."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyrnn import _backend, _cache, _checks
from pyrnn._cache import LayerCache, SequenceCache
from pyrnn._layer import Layer
from pyrnn._types import Array, State
from pyrnn.initializers import first_values
from pyrnn.stream import Stream


class Recurrent(Layer):
    """Base of `RNN`, `LSTM` and `GRU`; a subclass names its cell."""

    _gates: ClassVar[int]
    _state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: npt.DTypeLike,
        seed: object,
        initialization: str,
        forget_bias: float | None = None,
    ) -> None:
        self.cell = cell
        self.input_size = _checks.size("input_size", input_size)
        self.hidden_size = _checks.size("hidden_size", hidden_size)
        self.num_layers = _checks.size("num_layers", num_layers, most=_checks.MAX_LAYERS)
        self.bias = bool(bias)
        self.batch_first = bool(batch_first)
        self.dropout = dropout
        self.bidirectional = bool(bidirectional)
        checked = _checks.float_dtype(dtype)
        parameters, self._generator = first_values(
            self, self._parameter_shapes(), initialization, checked, seed, forget_bias
        )
        super().__init__(parameters, checked)
        self._cells = self._cells_of_parameters()

    @property
    def dropout(self) -> float:
        """Probability of a drop between layers; it may be set."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._dropout = _checks.finite_number("dropout", value, 0.0, 1.0)

    # --- parameters -------------------------------------------------------------------------

    @property
    def num_directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def _suffixes(self) -> list[str]:
        """``l0``, ``l0_reverse``, ``l1``, ...: one for each layer and direction."""
        directions = ("", "_reverse")[: self.num_directions]
        return [f"l{n}{d}" for n, d in itertools.product(range(self.num_layers), directions)]

    def _parameter_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        rows = self._gates * self.hidden_size
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for index, suffix in enumerate(self._suffixes()):
            first = index < self.num_directions
            columns = self.input_size if first else self.hidden_size * self.num_directions
            shapes.append((f"weight_ih_{suffix}", (rows, columns)))
            shapes.append((f"weight_hh_{suffix}", (rows, self.hidden_size)))
            if self.bias:
                shapes.append((f"bias_ih_{suffix}", (rows,)))
                shapes.append((f"bias_hh_{suffix}", (rows,)))
        return shapes

    def _cells_of_parameters(self) -> dict[str, dict[str, Array]]:
        """For each suffix the live arrays of its layer and direction, by the cell's own names."""
        return {
            suffix: {
                name.removesuffix(f"_{suffix}"): array
                for name, array in self._parameters.items()
                if name.endswith(f"_{suffix}")
            }
            for suffix in self._suffixes()
        }

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        super().__setstate__(attributes)
        self._cells = self._cells_of_parameters()

    def _pack(self, backend: _backend.Backend) -> list[Any]:
        """One for each layer and direction."""
        return [backend.pack(self.cell, parameters) for parameters in self._cells.values()]

    # --- computing --------------------------------------------------------------------------

    def __call__(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Array, Any]:
        """Run over time and keep nothing for a way back.

        Parameters
        ----------
        x : array
            (T, N, input_size), or (N, T, input_size) with ``batch_first``, or (T, input_size) for
            one sequence; an integer array without the last axis stands for one-hot rows.
        state : array or pair of arrays, optional
            The first state, (num_layers * directions, N, hidden_size); zero if not given. The pair
            (h, c) for LSTM. Without the axis N for one sequence.
        lengths : array of int, optional
            Length of each sequence of the batch, in [1, T]. Outputs past a length are zero.

        Returns
        -------
        y : array
            (T, N, directions * hidden_size), laid out as ``x``.
        state : array or pair of arrays
            The state after each sequence's last step, shaped as the argument.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.
        """
        y, final, _ = self._forward(x, state, lengths, keep=False)
        return y, final

    def forward(
        self, x: Any, state: Any = None, lengths: Any = None
    ) -> tuple[Array, Any, SequenceCache]:
        """Run over time as `__call__` does, and keep what `backward` needs.

        Returns
        -------
        y, state
            As from `__call__`. ``y`` is read-only, because the cache looks into it.
        cache : Cache
            Serves one call of this layer's `backward`. It holds on to ``x``, which must not
            change until then; the parameters may.
        """
        y, final, cache = self._forward(x, state, lengths, keep=True)
        assert cache is not None
        return y, final, cache

    def _forward(
        self, x: Any, state: Any, lengths: Any, keep: bool
    ) -> tuple[Array, Any, SequenceCache | None]:
        sequence, batched = self._check_input(x)
        time_steps, batch_size = sequence.shape[:2]
        states = self._check_state("state", state, batch_size, batched)
        counts = None
        if lengths is not None:
            counts = _checks.lengths_array("lengths", lengths, time_steps, batch_size)
        weights = self._weights()
        backend = _backend.current()
        directions = self.num_directions
        final = tuple(np.empty_like(s) for s in states)
        layers: list[LayerCache] = []
        y: Array = sequence
        for layer in range(self.num_layers):
            mask = self._dropout_mask(y) if layer else None
            source = y if mask is None else y * mask
            outputs, saved = [], []
            for direction in range(directions):
                index = layer * directions + direction
                y, last, kept = backend.forward(
                    weights[index],
                    source,
                    tuple(s[index] for s in states),
                    lengths=counts,
                    reverse=direction == 1,
                    keep=keep,
                )
                outputs.append(y)
                saved.append(kept)
                for whole, part in zip(final, last, strict=True):
                    whole[index] = part
            y = outputs[0] if directions == 1 else np.concatenate(outputs, axis=2)
            layers.append(LayerCache(saved, mask))
        cache = None
        if keep:
            y.flags.writeable = False
            cache = SequenceCache(self, backend.name, layers, y.shape, batched, counts)
        return self._user_layout(y, batched), self._user_state(final, batched), cache

    def backward(
        self, cache: SequenceCache, dy: Any, dstate: Any = None
    ) -> tuple[Array | None, Any, dict[str, Array]]:
        """Back-propagate through time.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`; it is used up.
        dy : array
            Gradient of the loss with respect to ``y``, of its shape.
        dstate : array or pair of arrays, optional
            Gradient with respect to the final state; zero if not given.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` held indices.
        dstate0 : array or pair of arrays
            Gradient with respect to the first state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        ValueError
            If the cache is another layer's or used up, or an argument has a wrong shape.
        """
        _cache.check(cache, self)
        dlayer = self._check_gradient(dy, cache)
        batch_size = cache.output_shape[1]
        dstates = self._check_state("dstate", dstate, batch_size, cache.batched)
        layers = cache.use()
        backend = _backend.BACKENDS[cache.backend]
        dstates0 = tuple(np.empty_like(d) for d in dstates)
        suffixes = list(self._cells)
        grads: dict[str, Array] = {}
        dx: Array | None = None
        for layer in reversed(range(self.num_layers)):
            dx = None
            for direction, saved in enumerate(layers[layer].saved):
                index = layer * self.num_directions + direction
                part = self.hidden_size * direction
                dpart, dstate_part, cell_grads = backend.backward(
                    saved,
                    dlayer[:, :, part : part + self.hidden_size],
                    tuple(d[index] for d in dstates),
                )
                for whole, state_part in zip(dstates0, dstate_part, strict=True):
                    whole[index] = state_part
                for name, grad in cell_grads.items():
                    grads[f"{name}_{suffixes[index]}"] = grad
                if dpart is not None:
                    dx = dpart if dx is None else dx + dpart
            mask = layers[layer].mask
            if mask is not None and dx is not None:
                dx *= mask
            if layer:
                assert dx is not None
                dlayer = dx
        ordered = {name: grads[name] for name in self._parameters}
        dx = None if dx is None else self._user_layout(dx, cache.batched)
        return dx, self._user_state(dstates0, cache.batched), ordered

    def backward_truncated(
        self, cache: SequenceCache, dy: Any, k1: int, k2: int
    ) -> tuple[Array | None, dict[str, Array]]:
        """Truncated back-propagation through time, TBPTT(k1, k2).

        Every ``k1`` steps the losses of the last ``k1`` steps go back over the last ``k2`` steps;
        the state before them counts as constant. ``k1 = k2`` are chunks with carried state;
        ``k1 = 1`` is the sliding window: each step's loss reaches back over at most ``k2`` steps,
        counting its own.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`; it is used up.
        dy : array
            Gradient of each step's own loss with respect to that step's output.
        k1, k2 : int
            1 <= k1 <= k2.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` held indices.
        grads : dict
            Gradient of each parameter.

        Raises
        ------
        ValueError
            As from `backward`, or if ``k2 < k1``.
        NotImplementedError
            For a bidirectional layer or a batch with lengths.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.RNN(2, 3, dtype="float64", seed=0)
        >>> y, state, cache = layer.forward(np.ones((6, 1, 2)))
        >>> dx, grads = layer.backward_truncated(cache, np.ones_like(y), k1=1, k2=3)
        >>> grads["weight_hh_l0"].shape
        (3, 3)
        """
        k1, k2 = _checks.size("k1", k1), _checks.size("k2", k2)
        if k2 < k1:
            raise ValueError(f"k2: expected at least k1 = {k1}, got {k2}")
        _cache.check(cache, self)
        if self.bidirectional or cache.lengths is not None:
            raise NotImplementedError(
                "backward_truncated: a window over time needs one direction and equal lengths"
            )
        dlayer = self._check_gradient(dy, cache)
        k1, k2 = (min(k, len(dlayer)) for k in (k1, k2))  # no window is longer than the sequence
        layers = cache.use()
        masks = [layer.mask for layer in layers[1:]]
        dx, cell_grads = _backend.BACKENDS[cache.backend].backward_windows(
            [layer.saved[0] for layer in layers], dlayer, k1, k2, [*masks, None]
        )
        grads = {
            f"{name}_{suffix}": grad
            for suffix, named in zip(self._cells, cell_grads, strict=True)
            for name, grad in named.items()
        }
        dx = None if dx is None else self._user_layout(dx, cache.batched)
        return dx, {name: grads[name] for name in self._parameters}

    def stream(self, batch_size: int = 1) -> Stream:
        """Open a stream that advances one step at a time, with the weights as they are now.

        Parameters
        ----------
        batch_size : int
            How many independent streams advance together.

        Raises
        ------
        ValueError
            For a bidirectional layer, which has to see the end first; for a state of more than
            2**31 - 1 numbers.
        """
        if self.bidirectional:
            raise ValueError("stream: a bidirectional layer cannot run forward in time alone")
        size = _checks.size("batch_size", batch_size)
        _checks.parameter_shape("batch_size", (self.num_layers, size, self.hidden_size))
        return Stream(self, size)

    # --- arguments --------------------------------------------------------------------------

    def _check_input(self, x: Any) -> tuple[Any, bool]:
        """``x`` as (T, N, I) or indices (T, N), and whether it came as a batch."""
        array = _checks.as_array("x", x)
        axes = "(N, T" if self.batch_first else "(T, N"
        if array.dtype.kind in "iu":
            if array.ndim not in (1, 2):
                raise TypeError(
                    f"x: an integer array holds one-hot indices and has shape {axes}) or (T,), "
                    f"got {array.shape}"
                )
            array = _checks.index_array("x", array, self.input_size)
            batched = array.ndim == 2
        else:
            array = _checks.float_array("x", x, self.dtype)
            if array.ndim not in (2, 3) or array.shape[-1] != self.input_size:
                raise ValueError(
                    f"x: expected shape {axes}, {self.input_size}) or (T, {self.input_size}), "
                    f"got {array.shape}"
                )
            batched = array.ndim == 3
        if not batched:
            array = array[:, None]
        elif self.batch_first:
            array = array.swapaxes(0, 1)
        if not array.shape[0] or not array.shape[1]:
            raise ValueError(f"x: expected at least one step and one row, got shape {np.shape(x)}")
        return array, batched

    def _check_state(self, name: str, state: Any, batch_size: int, batched: bool) -> State:
        """A state as a tuple of (layers * directions, N, H) arrays; zeros for None."""
        count = self.num_layers * self.num_directions
        shape = (count, batch_size, self.hidden_size)
        names = self._state_names
        if state is None:
            return tuple(np.zeros(shape, self.dtype) for _ in names)
        expected = shape if batched else (count, self.hidden_size)
        arrays = (
            _checks.float_array(part_name, part, self.dtype, expected)
            for part_name, part in _checks.state_parts(name, state, names).items()
        )
        return tuple(a.reshape(shape) for a in arrays)

    def _check_gradient(self, dy: Any, cache: SequenceCache) -> Array:
        time_steps, batch_size, features = cache.output_shape
        if not cache.batched:
            shape: tuple[int, ...] = (time_steps, features)
        elif self.batch_first:
            shape = (batch_size, time_steps, features)
        else:
            shape = cache.output_shape
        array = _checks.float_array("dy", dy, self.dtype, shape)
        if not cache.batched:
            return array[:, None]
        return array.swapaxes(0, 1) if self.batch_first else array

    def _dropout_mask(self, y: Array) -> Array | None:
        """A fresh mask of zeros and 1 / (1 - p) between two layers; None where nothing drops."""
        if not self.training or self.dropout == 0:
            return None
        kept = self._generator.random(y.shape) >= self.dropout
        scale = 0.0 if self.dropout == 1 else 1 / (1 - self.dropout)
        mask: Array = kept.astype(self.dtype) * self.dtype.type(scale)
        return mask

    def _user_layout(self, array: Array, batched: bool) -> Array:
        if not batched:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array

    def _user_state(self, states: State, batched: bool) -> Any:
        if not batched:
            states = tuple(s[:, 0] for s in states)
        return states[0] if len(states) == 1 else states

    # --- looks ------------------------------------------------------------------------------

    def _repr_sizes(self) -> list[str]:
        return [str(self.input_size), str(self.hidden_size)]

    def _repr_options(self) -> list[tuple[str, object]]:
        """Options with their defaults: those that differ are shown."""
        return [
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
        ]
