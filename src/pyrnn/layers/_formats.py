"""The formats of a layer's weights and products, and what they cost in accuracy."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

from pyrnn._types import ActivationFormat, Array, Compute, Storage, WeightFormat
from pyrnn.layers._options import Configured
from pyrnn.parameters import formats
from pyrnn.parameters.formats import FormatDifference


class Formats(Configured):
    """Base of `Layer`: its formats, as `eval` and `train` were told."""

    dtype: Any

    _storage: Storage = "full"
    """Of the weights, in eval mode."""

    _compute: Compute = "full"
    """Of products, in both modes."""

    _int8_activations: ActivationFormat = "int16"
    """Of x and h beside int8 weights, where `eval` is not told."""

    @property
    def weight_format(self) -> str:
        """The format in which the weights are stored for a call, as `eval` was told.

        Examples
        --------
        >>> import pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0).eval(weights="bfloat16")
        >>> layer.weight_format, layer.train().weight_format
        ('bfloat16', 'float32')
        """
        return formats.weights_of(self._storage, self.dtype)

    @property
    def activation_format(self) -> str:
        """What x and h are in products: the layer's dtype, or beside int8 weights what `eval` said.

        Examples
        --------
        >>> import pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0)
        >>> layer.activation_format, layer.eval(weights="int8").activation_format
        ('float32', 'int16')
        >>> layer.eval(activations="int8").activation_format
        'int8'
        """
        return formats.activations_of(self._storage, self.dtype)

    @property
    def compute_format(self) -> str:
        """The type to which products round what they multiply, as `train` or `eval` was told.

        Examples
        --------
        >>> import pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0)
        >>> layer.compute_format, layer.train(compute="bfloat16").compute_format
        ('float32', 'bfloat16')
        """
        name: str = self.dtype.name if self._compute == "full" else self._compute
        return name

    def quantization_error(
        self,
        x: Any,
        *,
        weights: WeightFormat | None = None,
        activations: ActivationFormat | None = None,
        **arguments: Any,
    ) -> FormatDifference:
        """Compare the outputs of a narrow format with those of the parameters, on your own data.

        Parameters
        ----------
        x : array
            The input, as a call of the layer takes it.
        weights : {"float32", "bfloat16", "float16", "int8"}, optional
            The format; by default that of the layer, as `eval` was told.
        activations : {"int16", "int8"}, optional
            To what x and h are rounded beside int8 weights; as `eval` takes it.
        **arguments
            What a call of the layer takes beside x: ``state``, ``lengths``.

        Returns
        -------
        FormatDifference
            A named tuple: the ``largest`` and the ``mean`` magnitude of a difference of y, and the
            ``mean_output`` of y itself, to compare with. The final state is not looked at. NaN if y
            has no numbers.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type or value. The layer has not changed, in any case.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.GRU(3, 64, seed=0)
        >>> found = layer.quantization_error(np.ones((40, 1, 3), np.float32), weights="bfloat16")
        >>> found.largest < 0.01 * found.mean_output
        True
        """
        storage = self._check_format(weights, activations)
        # Of a layer; what else has formats has both modes too.
        full, narrow = cast(Any, copy.deepcopy(self)), cast(Any, copy.deepcopy(self))
        if self._compute == "full":  # a layer of the user's own may know of no other
            full.train().eval()
        else:
            full.train(compute=formats.FULL).eval()
        if storage == "full":
            narrow.train().eval()
        else:
            narrow.eval(weights=weights, activations=activations)
        return formats.difference(_output(narrow, x, arguments), _output(full, x, arguments))

    def _check_format(
        self, weights: object, activations: object = None, compute: object = None
    ) -> Storage:
        """Return the storage that the arguments of `eval` ask for, or raise."""
        storage = self._storage
        if weights is not None or activations is not None:
            storage = self._asked(weights, activations)
        formats.check_together(storage, self._check_compute(compute))
        return storage

    def _check_compute(self, compute: object) -> Compute:
        """Return the type of products that ``compute`` asks for, or raise."""
        return self._compute if compute is None else formats.compute_of(compute, self.dtype)

    def _asked(self, weights: object, activations: object) -> Storage:
        if weights is None:
            weights = self.weight_format
        if activations is None and weights == "int8":
            activations = self._int8_activations
        storage = formats.storage_of(weights, self.dtype, activations)
        formats.check_range(storage, self._stored())
        return storage

    def _note_activations(self, activations: ActivationFormat) -> None:
        """Let ``eval(weights="int8")`` take these from now on, as a file says."""
        self._int8_activations = activations

    def _stored(self) -> Mapping[str, Array]:
        """Return the parameters that a narrow format stores, among others; none by default."""
        return {}


def _output(layer: Any, x: Any, arguments: Mapping[str, Any]) -> Array:
    """The output of a call, without the state; of a cell, h."""
    called = layer(x, **arguments) if callable(layer) else layer.forward(x, **arguments)
    output: Array = called[0] if isinstance(called, tuple) else called
    return output
