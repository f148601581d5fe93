"""What every layer has: parameters, two modes, weights packed for a backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import Portable
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.parameters import owners
from pyrnn.parameters.dictionary import ParameterDict

Self = TypeVar("Self", bound="Layer")

_FIXED = frozenset(
    {"cell", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"}
    | {"nonlinearity", "proj_size", "peephole", "coupled", "layer_norm", "reset_after", "dtype"}
    | {"in_features", "out_features", "num_embeddings", "embedding_dim"}
)
"""Arguments of constructors that decide what a layer is."""


class Layer(Portable):
    """Base of all layers and cells: parameters, train and eval mode, and how to be called.

    A layer of one's own defines `forward` and `backward`.

    Parameters
    ----------
    parameters : dict
        The layer's arrays by name, contiguous and of ``dtype``. They are not copied.
    dtype : {"float32", "float64"}
        Of everything.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> class Scale(pyrnn.Layer):
    ...     def __init__(self, size):
    ...         super().__init__({"factor": np.ones(size)}, "float64")
    ...
    ...     def forward(self, x, state=None):
    ...         return x * self.parameters["factor"], None, x
    ...
    ...     def backward(self, cache, dy, dstate=None):
    ...         return dy * self.parameters["factor"], None, {"factor": (dy * cache).sum(axis=0)}
    >>> print(pyrnn.gradcheck(Scale(3), np.ones((2, 3))).ok)
    True
    """

    def __init__(self, parameters: Mapping[str, Array], dtype: npt.DTypeLike) -> None:
        self.dtype = _checks.float_dtype(dtype)
        self._parameters = _own_dictionary(parameters, self.dtype)
        self.training = True
        self._packed: dict[str, list[Any]] = {}
        self._family = owners.new_family()
        owners.register(self._parameters.values(), self._family)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _FIXED and "_parameters" in self.__dict__ and hasattr(self, name):
            raise AttributeError(
                f"{name}: it cannot be changed after construction; make another "
                f"{type(self).__name__}"
            )
        super().__setattr__(name, value)

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any, Any]:
        """Compute, and keep what `backward` needs.

        Returns
        -------
        y : array
            The output.
        state : array or pair of arrays
            The state after; None for a layer without one.
        cache
            Serves one call of this layer's `backward`.
        """
        raise NotImplementedError

    def backward(
        self, cache: Any, dy: Any, dstate: Any = None
    ) -> tuple[Array | None, Any, dict[str, Array]]:
        """Gradients from those of ``y`` and of the state after.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` held indices.
        dstate0 : array or pair of arrays
            Gradient with respect to the first state; None for a layer without one.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.
        """
        raise NotImplementedError

    @property
    def parameters(self) -> ParameterDict:
        """The live arrays by torch's names; assigning to a key checks and copies in."""
        return self._parameters

    @property
    def num_parameters(self) -> int:
        """How many numbers the layer has learned."""
        return sum(array.size for array in self._parameters.values())

    def eval(self: Self) -> Self:
        """Pack the weights once for inference and make the arrays read-only; returns the layer."""
        if self.training:
            self._set_training(False)
        self._parameters.set_writeable(False)
        self._weights(selection.current())
        return self

    def train(self: Self) -> Self:
        """Undo `eval`: weights can change again and are packed at each call; returns the layer."""
        self._set_training(True)
        self._parameters.set_writeable(True)
        return self

    def _set_training(self, training: bool) -> None:
        """Change the mode, which has packed weights of its own.

        A call that is under way in another thread leaves what it packs with the mode in which it
        began. So the mode comes first.
        """
        self.training = training
        self._packed = {}

    def _pack(self, backend: selection.Backend) -> list[Any]:
        """The weights in the form that the backend computes with; it follows them in train mode.

        A subclass that computes with packed weights overrides it.
        """
        return []

    def _weights(self, backend: selection.Backend) -> list[Any]:
        """What `_pack` gave for this mode."""
        of_mode = self._packed
        packed = of_mode.get(backend.name)
        if packed is None:
            packed = of_mode[backend.name] = self._pack(backend)
        return packed

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_packed": {}}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._parameters.set_writeable(self.training)
        owners.register(self._parameters.values(), self._family)

    def _gradients(self, grads: dict[str, Array]) -> dict[str, Array]:
        """Gradients of this layer's parameters, as an optimiser knows them."""
        return owners.Gradients(grads, frozenset((self._family,)))

    def __repr__(self) -> str:
        options = self._repr_sizes()
        for name, usual in self._repr_options():
            value = getattr(self, name)
            if value != usual:
                options.append(f"{name}={value!r}")
        if self.dtype != np.float32:
            options.append(f"dtype='{self.dtype}'")
        return f"{type(self).__name__}({', '.join(options)})"

    def _repr_sizes(self) -> list[str]:
        """The leading arguments, always shown."""
        return []

    def _repr_options(self) -> list[tuple[str, object]]:
        """Options with their defaults: those that differ are shown."""
        return []


def _own_dictionary(parameters: Mapping[str, Array], dtype: np.dtype[Any]) -> ParameterDict:
    """The arrays themselves, in a dict that checks what is assigned."""
    if isinstance(parameters, ParameterDict):
        return parameters
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters: expected a dict of arrays, got {type(parameters).__name__}")
    arrays = _checks.live_float_arrays("parameters", parameters)
    for name, array in arrays.items():
        if array.dtype != dtype:
            raise TypeError(f"parameters[{name!r}]: expected dtype {dtype}, got {array.dtype}")
    return ParameterDict(arrays)
