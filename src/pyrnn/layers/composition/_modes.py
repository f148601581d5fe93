"""Train and eval mode of layers in a row: all are switched together."""

from __future__ import annotations

from typing import Any, TypeVar

from pyrnn._types import ActivationFormat, Compute, ComputeFormat, Storage, WeightFormat
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Mode

Self = TypeVar("Self", bound="Modes")


class Modes(Layer):
    """Base of `Sequential`: the layers that it has."""

    layers: dict[str, Layer]

    def eval(
        self: Self,
        *,
        weights: WeightFormat | None = None,
        activations: ActivationFormat | None = None,
        compute: ComputeFormat | None = None,
    ) -> Self:
        """Switch all layers to eval mode: weights packed and read-only, no dropout.

        Parameters
        ----------
        weights : {"float32", "bfloat16", "float16", "int8"}, optional
            The format in which the layers store matrices of weights; see `Layer.eval`. By default
            each keeps its own.
        activations : {"int16", "int8"}, optional
            To what x and h are rounded beside int8 weights; see `Layer.eval`.
        compute : {"float32", "bfloat16"}, optional
            The type of the layers' products; see `Layer.train`. By default each keeps its own.

        Returns
        -------
        Sequential
            The layer itself.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> model = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Dropout(0.5, seed=1)).eval()
        >>> y, h = model(np.ones((5, 2, 3), np.float32))
        >>> bool((y == 0).any())
        False
        """
        storage = self._check_format(weights, activations, compute)
        chosen = self._check_compute(compute)
        Mode.switch(self, training=False)
        self._storage, self._compute = storage, chosen
        # A layer of the user's own may take no arguments.
        given = {"weights": weights, "activations": activations, "compute": compute}
        options: Any = {name: value for name, value in given.items() if value is not None}
        for layer in self.layers.values():
            layer.eval(**options)
        return self

    def _check_format(
        self, weights: object, activations: object = None, compute: object = None
    ) -> Storage:
        """As of each layer, before any changes."""
        storage = super()._check_format(weights, activations, compute)
        for layer in self.layers.values():
            layer._check_format(weights, activations, compute)
        return storage

    def _check_compute(self, compute: object) -> Compute:
        """As of each layer, before any changes."""
        chosen = super()._check_compute(compute)
        for layer in self.layers.values():
            layer._check_compute(compute)
        return chosen

    def _note_activations(self, activations: ActivationFormat) -> None:
        """Of all layers."""
        super()._note_activations(activations)
        for layer in self.layers.values():
            layer._note_activations(activations)

    def train(self: Self, *, compute: ComputeFormat | None = None) -> Self:
        """Switch all layers to train mode.

        Parameters
        ----------
        compute : {"float32", "bfloat16"}, optional
            The type of the layers' products; see `Layer.train`. By default each keeps its own.

        Returns
        -------
        Sequential
            The layer itself.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.Sequential(pyrnn.Linear(3, 4, seed=0)).eval().train().training
        True
        """
        self._compute = self._check_compute(compute)
        Mode.switch(self, training=True)
        self._storage = "full"
        options: Any = {} if compute is None else {"compute": compute}
        for layer in self.layers.values():
            layer.train(**options)
        return self
