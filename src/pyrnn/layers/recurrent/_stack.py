"""A stack of recurrent layers over time: forward pass, backward pass, truncated BPTT, streams."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Generic

import numpy.typing as npt

from pyrnn import _checks, _warnings
from pyrnn._types import Array, Given, Returned, State
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache
from pyrnn.layers._cache import Cache, SequenceCache
from pyrnn.layers.recurrent import _gates, _noise
from pyrnn.layers.recurrent._call.arguments import Arguments, Steps, most_rows
from pyrnn.layers.recurrent._passes import StackPasses
from pyrnn.layers.recurrent.stream import Stream, StreamSizes


class Recurrent(StackPasses, Generic[Given, Returned]):
    """Base of `RNN`, `LSTM`, `GRU` and `MinGRU`; a subclass says what its cell is."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._take(arguments)
        if self.dropout and self.num_layers == 1:
            _warnings.warn_user(
                "dropout acts between layers, so a rate above 0 expects num_layers greater than "
                f"1, but got dropout={self.dropout} and num_layers=1"
            )
        self._generator = self._draw(self._parameter_shapes())
        self._prepare()

    def _prepare(self) -> None:
        super()._prepare()
        self._arguments = Arguments(
            self.input_size,
            self._state_sizes(),
            self.num_layers * self.num_directions,
            self.batch_first,
            self.dtype,
            most_rows(self.input_size, self.hidden_size),
        )

    def __getstate__(self) -> dict[str, Any]:
        attributes = super().__getstate__()
        del attributes["_arguments"]
        return attributes

    # --- computing --------------------------------------------------------------------------

    @selection.shortcut
    def __call__(
        self,
        x: npt.ArrayLike,
        state: Given | None = None,
        lengths: npt.ArrayLike | None = None,
        *,
        mask: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        zero_output_for_mask: bool = False,
    ) -> tuple[Array, Returned]:
        """Run over time, for inference only.

        Parameters
        ----------
        x : array
            The input, (T, N, input_size), or (N, T, input_size) with ``batch_first``, or
            (T, input_size) for one sequence. An integer array without the last axis is read as
            one-hot rows.
        state : array or pair of arrays, optional
            The initial state, (num_layers * directions, N, hidden_size); the pair (h, c) for LSTM,
            in which h has proj_size features if there is a projection. Without the axis N for one
            sequence. Zeros by default.
        lengths : array of int, optional
            The length of each sequence of the batch, in [0, T]. By default all have T steps.
        mask : array of bool, optional
            (T, N), in the layout of ``x``: False where a time step is left out. The state stays
            what it was, and y repeats the output of the last step that was not left out, as in
            Keras; before the first one it is zero. Such steps are not computed: with a mask or
            resets the cost is that of the steps that are left, and a copy of x and y.
        reset : array of bool, optional
            (T, N), in the layout of ``x``: True where another sequence begins. The state of every
            layer is set to zero before that step; a layer or direction that runs in reverse starts
            with zeros at the step before.
        zero_output_for_mask : bool, default False
            Whether y is zero at steps that are left out, as it is past a length.

        Returns
        -------
        y : array
            The output, (T, N, directions * hidden_size), or directions * proj_size features with a
            projection; in the layout of ``x``. It is zero past a sequence's length.
        state : array or pair of arrays
            The final state, after each sequence's last time step, shaped as the initial one.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0)
        >>> y, h = layer(np.ones((5, 2, 3), np.float32), lengths=[5, 2])
        >>> y.shape, h.shape, bool(y[2:, 1].any())
        ((5, 2, 4), (1, 2, 4), False)
        """
        plain = lengths is mask is reset is None and zero_output_for_mask is False
        if plain and not self.training and (found := self._one_step()(x, state)) is not None:
            return found  # type: ignore[no-any-return]
        return self._forward(x, state, lengths, (mask, reset, zero_output_for_mask), False)[:2]

    def forward(
        self,
        x: npt.ArrayLike,
        state: Given | None = None,
        lengths: npt.ArrayLike | None = None,
        *,
        checkpoint: int | None = None,
        mask: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        zero_output_for_mask: bool = False,
    ) -> tuple[Array, Returned, SequenceCache]:
        """Run over time, and return the cache that `backward` needs.

        The outputs are identical to the bit to those of inference.

        Parameters
        ----------
        x : array
            The input, (T, N, input_size), or (N, T, input_size) with ``batch_first``, or
            (T, input_size) for one sequence. An integer array without the last axis is read as
            one-hot rows.
        state : array or pair of arrays, optional
            The initial state, (num_layers * directions, N, hidden_size); the pair (h, c) for LSTM,
            in which h has proj_size features if there is a projection. Without the axis N for one
            sequence. Zeros by default.
        lengths : array of int, optional
            The length of each sequence of the batch, in [0, T]. By default all have T steps.
        checkpoint : int, optional
            Cache the state before every ``checkpoint``-th time step only; `backward` computes the
            steps between them again. The gradients are identical to the bit and the cache is
            smaller: about T / checkpoint states and the values of ``checkpoint`` steps per layer.
        mask : array of bool, optional
            (T, N), in the layout of ``x``: False where a time step is left out. The state stays
            what it was, and y repeats the output of the last step that was not left out, as in
            Keras; before the first one it is zero. Such steps are not computed: with a mask or
            resets the cost is that of the steps that are left, and a copy of x and y.
        reset : array of bool, optional
            (T, N), in the layout of ``x``: True where another sequence begins. The state of every
            layer is set to zero before that step; a layer or direction that runs in reverse starts
            with zeros at the step before.
        zero_output_for_mask : bool, default False
            Whether y is zero at steps that are left out, as it is past a length.

        Returns
        -------
        y : array
            The output, (T, N, directions * hidden_size), or directions * proj_size features with a
            projection; in the layout of ``x``. It is zero past a sequence's length, and read-only,
            because the cache refers to it.
        state : array or pair of arrays
            The final state, after each sequence's last time step, shaped as the initial one.
        cache : Cache
            For one call of this layer's `backward`. It refers to ``x``, which must not change until
            then; the parameters may.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Notes
        -----
        Checkpoints: T. Chen et al., "Training deep nets with sublinear memory cost",
        arXiv:1604.06174.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.GRU(2, 3, seed=0)
        >>> y, state, cache = layer.forward(np.ones((100, 1, 2), np.float32))
        >>> dx, dstate0, grads = layer.backward(cache, np.ones_like(y))
        >>> dx.shape
        (100, 1, 2)
        """
        every = 0 if checkpoint is None else _checks.size("checkpoint", checkpoint)
        every = min(every, _checks.MAX_COUNT)  # the longest possible sequence
        steps = mask, reset, zero_output_for_mask
        y, final, cache = self._forward(x, state, lengths, steps, True, every)
        assert cache is not None
        return y, final, cache

    def _forward(
        self, x: Any, state: Any, lengths: Any, steps: Steps, keep: bool, checkpoint: int = 0
    ) -> tuple[Array, Any, SequenceCache | None]:
        arguments = self._arguments
        x, batched = arguments.check_input(x, self.training and self.input_dropout)
        rows = x.shape[1]
        states = None if state is None else arguments.check_state("state", state, rows, batched)
        counts = None if lengths is None else arguments.check_lengths(lengths, len(x), rows)
        groups = None
        if not (steps[0] is steps[1] is None and steps[2] is False):
            groups = arguments.check_steps(steps, counts, x.shape[:2], batched)
        backend = selection.current()
        y, final, kept = self._pass_forward(backend, x, states, counts, keep, checkpoint, groups)
        cache = None
        if keep:
            y.setflags(False)  # type: ignore[call-arg]  # write=False takes twice as long
            cache = Cache(self, backend.name, kept, y.shape, batched, counts)
        return arguments.user_layout(y, batched), arguments.user_state(final, batched), cache

    def backward(
        self, cache: SequenceCache, dy: npt.ArrayLike | None, dstate: Given | None = None
    ) -> tuple[Array | None, Returned, dict[str, Array]]:
        """Back-propagate through time.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up, also by a call that Ctrl-C ends.
        dy : array or None
            Gradient of the loss with respect to ``y``, of its shape. None for zeros, if the loss
            depends on the final state only.
        dstate : array or pair of arrays, optional
            Gradient of the loss with respect to the final state. Zeros by default; so is None in a
            pair.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` holds indices.
        dstate0 : array or pair of arrays
            Gradient with respect to the initial state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, an argument has a wrong dtype or shape, or
            dy and dstate are both None. The cache can still be used then, unless it was used up.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.LSTM(3, 4, seed=0)
        >>> y, (h, c), cache = layer.forward(np.ones((5, 2, 3), np.float32))
        >>> dx, (dh0, dc0), grads = layer.backward(cache, np.ones_like(y))
        >>> dx.shape, dh0.shape, grads["weight_hh_l0"].shape
        ((5, 2, 3), (1, 2, 4), (16, 4))
        """
        if dy is None and _arguments.none_given(dstate):
            raise TypeError(
                "dy: expected a gradient, of y or of the final state, got None for both"
            )
        dlayer, dstates = self.check_backward(cache, dy, dstate)
        backend = selection.find(cache.backend)
        dx, dfirst, grads = self._pass_backward(backend, cache.use(), dlayer, dstates)
        arguments = self._arguments
        dx = None if dx is None else arguments.user_layout(dx, cache.batched)
        return dx, arguments.user_state(dfirst, cache.batched), self._gradients(grads)

    def check_backward(
        self, cache: SequenceCache, dy: Any, dstate: Any
    ) -> tuple[Array, State | None]:
        """Return the arguments of `backward` as arrays that fit, or raise."""
        _cache.check(cache, self)
        arguments = self._arguments
        dlayer = arguments.check_gradient(dy, cache)
        if dstate is None:
            return dlayer, None
        batch_size = cache.output_shape[1]
        return dlayer, arguments.check_state("dstate", dstate, batch_size, cache.batched)

    def gates(
        self, x: npt.ArrayLike, state: Given | None = None, lengths: npt.ArrayLike | None = None
    ) -> dict[str, Array]:
        """Return the gates and candidates of each time step, as in eval mode.

        Parameters
        ----------
        x : array
            The input, (T, N, input_size), or in another form that a call of the layer takes.
        state : array or pair of arrays, optional
            The initial state. Zeros by default.
        lengths : array of int, optional
            The length of each sequence. Gates past a length are zero.

        Returns
        -------
        dict of array
            The gates, (T, N, hidden_size) each, in the layout of y, for each layer and direction as
            in `parameters`: "i_l0", "f_l0", "g_l0", "o_l0" of an LSTM, "r_l0", "z_l0", "n_l0" of a
            GRU, "z_l0", "n_l0" of a MinGRU. Empty for an RNN, which has no gates; a coupled forget
            gate is 1 − i.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Notes
        -----
        The reference computes them, whatever the backend: in float32 they are within its rounding
        of what the core computes with.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.LSTM(2, 3, forget_bias=5.0, seed=0)
        >>> gates = layer.gates(np.zeros((4, 1, 2), np.float32))
        >>> list(gates), gates["f_l0"].shape, bool((gates["f_l0"] > 0.99).all())
        (['i_l0', 'f_l0', 'g_l0', 'o_l0'], (4, 1, 3), True)
        """
        twin = copy.deepcopy(self).eval()
        with selection.use_backend("reference"):
            cache = twin.forward(x, state, lengths)[2]
        found = _gates.over_time(cache.use(), self._suffixes(), cache.output_shape)
        return {
            name: self._arguments.user_layout(gate, cache.batched) for name, gate in found.items()
        }

    def backward_truncated(
        self, cache: SequenceCache, dy: npt.ArrayLike, k1: int, k2: int
    ) -> tuple[Array | None, dict[str, Array]]:
        """Truncated back-propagation through time, TBPTT(k1, k2).

        For s = 0, ``k1``, 2 ``k1``, ... the losses of steps s to ``min(s + k1, T) - 1`` are
        back-propagated to step ``max(0, s + k1 - k2)``; the state before it counts as constant. So
        ``k1 = k2`` is the same as chunks of ``k1`` steps with carried state, the last one shorter
        if ``k1`` does not divide T. ``k1 = 1`` is the sliding window: each step's loss is
        back-propagated through at most ``k2`` steps, its own included.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up, also by a call that Ctrl-C ends.
        dy : array
            Gradient of each step's own loss with respect to that step's output.
        k1 : int
            The number of time steps between the starts of two windows, at least 1.
        k2 : int
            The largest number of time steps that a loss is back-propagated through, at least k1.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` holds indices.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, an argument has a wrong dtype, shape or
            value, or ``k2 < k1``. The cache can still be used then, unless it was used up.
        NotImplementedError
            For a bidirectional or reversed layer, or a batch with mask or reset.

        Notes
        -----
        Of a sequence with a length L < T the losses of steps below L count, in the same windows. So
        its gradients are those of its L steps alone.

        It is BPTT(h; h') with h = ``k2`` and h' = ``k1``. Source: Williams, Peng, "An efficient
        gradient-based algorithm for on-line training of recurrent network trajectories", Neural
        Computation 2, 1990.

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
            shown = _checks.shown
            raise ValueError(f"k2: expected at least k1 = {shown(k1)}, got {shown(k2)}")
        _cache.check(cache, self)
        if self.bidirectional or self.reverse or cache.look().groups is not None:
            raise NotImplementedError(
                "cache: backward_truncated expects one of a layer that runs forward in time in one "
                "direction, without mask or reset"
            )
        if dy is None:
            raise TypeError("dy: expected an array, got None")  # there is no other gradient
        dlayer = self._arguments.check_gradient(dy, cache)
        k1 = min(k1, len(dlayer))
        k2 = min(k2, k1 + len(dlayer))  # every window then goes back to the first step
        kept, backend = cache.use(), selection.find(cache.backend)
        dx, grads = self._windows_back(backend, kept, dlayer, k1, k2)
        dx = None if dx is None else self._arguments.user_layout(dx, cache.batched)
        return dx, self._gradients(grads)

    def stream(self, batch_size: int = 1) -> Stream[Given, Returned]:
        """Open a stream that advances one time step per call, with the present weights.

        Parameters
        ----------
        batch_size : int, default 1
            The number of independent streams that advance together.

        Returns
        -------
        Stream
            The stream, with a zero state.

        Raises
        ------
        ValueError
            For a bidirectional or reversed layer, which needs the end of the sequence first; for a
            state of more than 2**31 - 1 numbers.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0).eval()
        >>> x = np.ones((5, 1, 3), np.float32)
        >>> stream = layer.stream()
        >>> y = [stream.step(x_t) for x_t in x]
        >>> np.array_equal(y, layer(x)[0])  # equal to the bit
        True
        """
        if self.bidirectional or self.reverse:
            kind = "bidirectional" if self.bidirectional else "reversed"
            raise ValueError(
                f"stream: expected a layer that runs forward in time, got a {kind} one"
            )
        size = _checks.size("batch_size", batch_size)
        _checks.parameter_shape("batch_size", (self.num_layers, size, self.hidden_size))
        sizes = StreamSizes(
            self.num_layers,
            self.input_size,
            self.hidden_size,
            self._output_size,
            self._arguments.state_sizes,
            _noise.zoneout_rates(self.zoneout, len(self._state_names)),
            self.dtype,
        )
        return Stream(self._fixed_weights(), sizes, size)
