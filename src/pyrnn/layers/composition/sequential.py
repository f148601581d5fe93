"""Layers one after the other, as one layer: `Sequential`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache, _finished
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Mode, Part
from pyrnn.layers.composition import _run
from pyrnn.layers.composition._layers import (
    FixedLayers,
    check_layers,
    common_batch_first,
    common_dtype,
    joined,
    layers_of,
    split_state,
    state_parts,
)
from pyrnn.layers.composition._modes import Modes
from pyrnn.layers.composition._run import OverTime
from pyrnn.layers.composition.stream import SequentialStream
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.parameters.dictionary import ParameterDict
from pyrnn.parameters.owners import Gradients, families_of

Kept = tuple[dict[str, Any], "np.dtype[Any]"]
"""The cache of each layer, and the dtype of y."""


@public("pyrnn")
class Sequential(Modes):
    """Layers in a row: each takes the output of the one before it.

    Parameters
    ----------
    *layers : Layer
        Layers that are named "0", "1", ...
    **named : Layer
        Layers with names of their own, after the others. Any layer of pyrnn but cells, another
        `Sequential`, or a `Layer` of your own that has no state.

    Attributes
    ----------
    layers : dict
        The layers by name.
    dtype : dtype
        The dtype of the parameters of all layers.

    Raises
    ------
    TypeError
        If an argument is not such a layer, or dtypes differ.
    ValueError
        If there is no layer, a layer occurs twice, or layers differ in ``batch_first``.

    Notes
    -----
    The state consists of the arrays of all recurrent layers: h for one GRU, (h, c) for one LSTM,
    (h, h, c) for a GRU and an LSTM. ``lengths`` and ``mask`` are passed to the recurrent layers and
    to those that remove the time axis (`LastStep`, `MeanOverTime`), ``reset`` to the former;
    `BatchNorm1d` is told which rows count.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> model = pyrnn.Sequential(
    ...     rnn=pyrnn.GRU(12, 64, seed=0), last=pyrnn.LastStep(), out=pyrnn.Linear(64, 9, seed=1)
    ... )
    >>> x = np.ones((29, 4, 12), np.float32)
    >>> y, state, cache = model.forward(x, lengths=[29, 7, 20, 12])
    >>> dx, dstate0, grads = model.backward(cache, np.ones_like(y))
    >>> y.shape, state.shape, list(grads)[-1]
    ((4, 9), (1, 4, 64), 'out.bias')
    """

    layers: Part[dict[str, Layer]] = Part()
    batch_first: Part[bool] = Part()

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        Part.keep(self, layers=FixedLayers(check_layers(layers, named)))
        self._take({"dtype": common_dtype(self.layers)})
        self._parts = {name: state_parts(layer) for name, layer in self.layers.items()}
        Part.keep(self, batch_first=common_batch_first(self.layers))
        self._collect()
        Mode.switch(self, training=True)
        self.train()

    def _collect(self) -> None:
        """Gather the parameters and buffers of all layers, which stay theirs."""
        self._packed: dict[str, list[Any]] = {}
        parameters, buffers = (
            {
                f"{prefix}.{name}": array
                for prefix, layer in self.layers.items()
                for name, array in getattr(layer, kind).items()
            }
            for kind in ("parameters", "buffers")
        )
        self._parameters, self._buffers = ParameterDict(parameters), ParameterDict(buffers)
        self._families = families_of(self._parameters.values())

    @property
    def _state_names(self) -> tuple[str, ...]:
        names = [f"{prefix}.{part}" for prefix, parts in self._parts.items() for part in parts]
        return tuple(names)

    def __call__(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        *,
        mask: Any = None,
        reset: Any = None,
        zero_output_for_mask: bool = False,
    ) -> tuple[Array, Any]:
        """Compute all layers, for inference only.

        Parameters
        ----------
        x : array
            The input, as the first layer takes it.
        state : array or tuple of arrays, optional
            The initial state. Zeros by default.
        lengths : array of int, optional
            The length of each sequence of the batch.
        mask, reset : array of bool, optional
            Time steps that are left out, and those before which the state is set to zero, as
            recurrent layers have them.
        zero_output_for_mask : bool, default False
            Whether the output of recurrent layers is zero at steps that are left out.

        Returns
        -------
        y : array
            The output of the last layer.
        state : array, tuple of arrays or None
            The final state; None if no layer has a state.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> model = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1))
        >>> y, h = model(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h.shape
        ((5, 2, 2), (1, 2, 4))
        """
        states = split_state(self, self._parts, "state", state)
        over = OverTime(lengths, mask, reset, zero_output_for_mask, self.batch_first)
        x, after = _run.infer(self.layers, self._parts, x, states, over)
        return x, joined(after)

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        *,
        mask: Any = None,
        reset: Any = None,
        zero_output_for_mask: bool = False,
    ) -> tuple[Array, Any, _cache.Cache[Kept]]:
        """Compute all layers, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input, as the first layer takes it.
        state : array or tuple of arrays, optional
            The initial state. Zeros by default.
        lengths : array of int, optional
            The length of each sequence of the batch.
        mask, reset : array of bool, optional
            Time steps that are left out, and those before which the state is set to zero, as
            recurrent layers have them.
        zero_output_for_mask : bool, default False
            Whether the output of recurrent layers is zero at steps that are left out.

        Returns
        -------
        y : array
            The output of the last layer.
        state : array, tuple of arrays or None
            The final state; None if no layer has a state.
        cache : Cache
            For one call of this layer's `backward`. It refers to ``x``, which must not change until
            then; the parameters may.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> model = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.LastStep())
        >>> y, h, cache = model.forward(np.ones((5, 2, 3), np.float32), lengths=[5, 1])
        >>> y.shape
        (2, 4)
        """
        states = split_state(self, self._parts, "state", state)
        over = OverTime(lengths, mask, reset, zero_output_for_mask, self.batch_first)
        x, after, caches = _run.forward(self.layers, self._parts, x, states, over)
        kept = (caches, x.dtype)
        cache = _cache.Cache(self, selection.current().name, kept, x.shape, True)
        return x, joined(after), cache

    def backward(
        self, cache: _cache.Cache[Kept], dy: Any, dstate: Any = None
    ) -> tuple[Array | None, Any, dict[str, Array]]:
        """Back-propagate through all layers.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up.
        dy : array or None
            Gradient of the loss with respect to ``y``, of its shape. None for zeros, if the loss
            depends on the final state only.
        dstate : array or tuple of arrays, optional
            Gradient of the loss with respect to the final state. Zeros by default; so is None in a
            tuple.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` holds indices.
        dstate0 : array, tuple of arrays or None
            Gradient with respect to the initial state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, or an argument has a wrong shape, or dy and
            dstate are both None. The cache can still be used then, unless it was used up.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> model = pyrnn.Sequential(rnn=pyrnn.GRU(3, 4, seed=0), last=pyrnn.LastStep())
        >>> y, h, cache = model.forward(np.ones((5, 2, 3), np.float32))
        >>> dx, dh0, grads = model.backward(cache, np.ones_like(y))
        >>> dx.shape, list(grads)[0]
        ((5, 2, 3), 'rnn.weight_ih_l0')
        """
        gradient = self.check_backward(cache, dy, dstate)
        dstates = split_state(self, self._parts, "dstate", dstate)
        caches, _ = cache.use()
        before: dict[str, Any] = {}
        grads: dict[str, dict[str, Array]] = {}
        take = _finished.asked(self)
        for name, layer in reversed(self.layers.items()):
            options = {"dstate": dstates[name]} if name in dstates else {}
            gradient, before[name], grads[name] = _finished.backward(
                layer, _finished.within(take, name), caches[name], gradient, **options
            )
        prefixed = {
            f"{prefix}.{name}": array
            for prefix in self.layers
            for name, array in grads[prefix].items()
        }
        parts: list[Array] = []
        for name in self.layers:
            last = before[name]
            if last is not None:
                parts += last if isinstance(last, tuple) else (last,)
        return gradient, joined(parts), Gradients(prefixed, self._families)

    def check_backward(self, cache: _cache.Cache[Kept], dy: Any, dstate: Any) -> Any:
        """Return the gradient of y as an array that fits, or raise."""
        _cache.check(cache, self)
        if dy is None and _arguments.none_given(dstate):
            raise TypeError(
                "dy: expected a gradient, of y or of the final state, got None for both"
            )
        caches, dtype = cache.look()
        array = _arguments.state_array("dy", dy, dtype, cache.output_shape)
        for name, part in split_state(self, self._parts, "dstate", dstate).items():
            layer = self.layers[name]
            if isinstance(layer, (Recurrent, Sequential)) and not _arguments.none_given(part):
                layer.check_backward(caches[name], None, part)
        return array

    def stream(self, batch_size: int = 1) -> SequentialStream:
        """Open a stream that advances one time step per call, with the present weights.

        Each step gives what the layers in eval mode give for it. `LastStep` passes each step on.

        Parameters
        ----------
        batch_size : int, default 1
            The number of independent streams that advance together.

        Returns
        -------
        SequentialStream
            The stream, with a zero state.

        Raises
        ------
        ValueError
            For a bidirectional layer or `MeanOverTime`, which need the end of the sequence first.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> model = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1))
        >>> model.stream(batch_size=5).step(np.ones((5, 3), np.float32)).shape
        (5, 2)
        """
        return SequentialStream(self.layers, self._parts, batch_size)

    def __getstate__(self) -> dict[str, Any]:
        kept = super().__getstate__()
        for name in ("_parameters", "_buffers", "_families", "_packed"):
            del kept[name]
        return kept

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._collect()

    def __getitem__(self, name: str) -> Layer:
        return self.layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def config(self) -> dict[str, Any]:
        """Return the kind and the options of each layer by its name, as `from_config` takes them.

        Returns
        -------
        dict
            For each layer ``{"kind": name of its class, "config": its options}``.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.Sequential(last=pyrnn.LastStep()).config()["last"]["kind"]
        'LastStep'
        """
        return {
            name: {"kind": type(layer).__name__, "config": layer.config()}
            for name, layer in self.layers.items()
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the layers by name, as scikit-learn's estimators do.

        Parameters
        ----------
        deep : bool
            Accepted as scikit-learn passes it; the layers' own options are not included.

        Returns
        -------
        dict
            The layers.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.Sequential(last=pyrnn.LastStep()).get_params()
        {'last': LastStep()}
        """
        return dict(self.layers)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Sequential:
        """Make a new object with new layers, of the kinds and options that `config` returned.

        Parameters
        ----------
        config : dict
            The kind and options of each layer.

        Returns
        -------
        Sequential
            A new object, with newly drawn parameters.

        Raises
        ------
        ValueError
            If a kind is not the name of one of pyrnn's layers.

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.Sequential(rnn=pyrnn.GRU(3, 4), last=pyrnn.LastStep())
        >>> pyrnn.Sequential.from_config(model.config())
        Sequential(rnn=GRU(3, 4), last=LastStep())
        """
        return cls(**layers_of(config))

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{name}={layer!r}" if name.isidentifier() else repr(layer)
            for name, layer in self.layers.items()
        )
        return f"Sequential({parts})"
