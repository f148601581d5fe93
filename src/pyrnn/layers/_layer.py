"""What all layers share: options, parameters, train and eval mode, packed weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import ActivationFormat, Array, ComputeFormat, DTypeLike, WeightFormat
from pyrnn.backend import selection
from pyrnn.layers._formats import Formats
from pyrnn.layers._options import Mode, Option
from pyrnn.parameters import casting, owners
from pyrnn.parameters.dictionary import ParameterDict, arrays_of, set_arrays

Self = TypeVar("Self", bound="Layer")


@public("pyrnn")
class Layer(Formats):
    """Base class of all layers and cells: parameters, train and eval mode, the convention of calls.

    A layer of your own defines `forward` and `backward`.

    Parameters
    ----------
    parameters : dict
        The layer's arrays by name, contiguous and of ``dtype``. They are not copied.
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.

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

    dtype: Option[np.dtype[np.floating[Any]]] = Option(
        lambda _, value: _checks.float_dtype(value), plain=lambda dtype: sys.intern(dtype.name)
    )

    training: Mode = Mode()

    _buffers: ParameterDict = ParameterDict({})

    def __init__(self, parameters: Mapping[str, Array], dtype: DTypeLike = "float32") -> None:
        self._take({"dtype": dtype})
        self._hold(parameters)

    def _hold(
        self, parameters: Mapping[str, Array], buffers: Mapping[str, Array] | None = None
    ) -> None:
        """Begin in train mode with these arrays, once the options are there."""
        if buffers:
            self._buffers = ParameterDict(buffers)
        self._parameters = _own_dictionary(parameters, self.dtype)
        Mode.switch(self, training=True)
        self._packed: dict[str, list[Any]] = {}
        self._families = owners.new_family()
        owners.register(self._parameters.values(), self._families)

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any, Any]:
        """Compute the output, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input.
        state : array or pair of arrays, optional
            The initial state; None for zeros, and for a layer without a state.

        Returns
        -------
        y : array
            The output.
        state : array or pair of arrays
            The final state; None for a layer without a state.
        cache : object
            For one call of this layer's `backward`.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0)
        >>> y, state, cache = layer.forward(np.ones((5, 2, 3), np.float32))
        >>> y.shape, state.shape
        ((5, 2, 4), (1, 2, 4))
        """
        raise NotImplementedError

    def backward(
        self, cache: Any, dy: Any, dstate: Any = None
    ) -> tuple[Array | None, Any, dict[str, Array]]:
        """Compute the gradients of a loss from those with respect to the outputs of `forward`.

        Parameters
        ----------
        cache : object
            From this layer's `forward`. It is used up.
        dy : array
            Gradient of the loss with respect to ``y``, of its shape.
        dstate : array or pair of arrays, optional
            Gradient of the loss with respect to the final state; None for zeros.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` holds indices.
        dstate0 : array or pair of arrays
            Gradient with respect to the initial state; None for a layer without a state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0)
        >>> y, state, cache = layer.forward(np.ones((5, 2, 3), np.float32))
        >>> dx, dstate0, grads = layer.backward(cache, np.ones_like(y))
        >>> dx.shape, dstate0.shape, grads["weight_ih_l0"].shape
        ((5, 2, 3), (1, 2, 4), (12, 3))
        """
        raise NotImplementedError

    @property
    def parameters(self) -> ParameterDict:
        """The layer's arrays, by torch's names.

        These are the arrays that the layer computes with: a change takes effect at the next call.
        Assigning to a key checks the shape and dtype and copies into the existing array.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Linear(3, 2, seed=0)
        >>> layer.parameters["bias"] = np.zeros(2, np.float32)
        >>> {name: array.shape for name, array in layer.parameters.items()}
        {'weight': (2, 3), 'bias': (2,)}
        """
        return self._parameters

    @property
    def buffers(self) -> ParameterDict:
        """Arrays of the layer that are not learned, by torch's names: running statistics.

        They are part of `state_dict` and of files; no optimiser changes them. Most layers have
        none.

        Examples
        --------
        >>> import pyrnn
        >>> list(pyrnn.BatchNorm1d(3).buffers)
        ['running_mean', 'running_var', 'num_batches_tracked']
        """
        return self._buffers

    @property
    def num_parameters(self) -> int:
        """The number of elements of all parameters.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.Linear(3, 2).num_parameters
        8
        """
        return sum(array.size for array in self._parameters.values())

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the parameters and buffers by name, under torch's name for it.

        Returns
        -------
        dict of array
            The copies, as `load_state_dict` takes them.

        Examples
        --------
        >>> import pyrnn
        >>> layer, other = pyrnn.Linear(2, 3, seed=0), pyrnn.Linear(2, 3, seed=1)
        >>> other.load_state_dict(layer.state_dict())
        >>> bool((other.parameters["weight"] == layer.parameters["weight"]).all())
        True
        """
        return {name: array.copy() for name, array in arrays_of(self).items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Copy values into the parameters and buffers.

        Parameters
        ----------
        state_dict : dict
            An array for every parameter and buffer, of its shape. Floats of another precision are
            converted: float16, bfloat16 (of ml_dtypes, or a tensor of PyTorch), float32, float64.
        strict : bool, default True
            Whether a missing or unknown name is an error. Otherwise parameters that are missing
            stay as they are, and unknown names are left out.

        Raises
        ------
        TypeError, KeyError, ValueError
            If ``state_dict`` is not a dict, a name is missing or unknown, an array does not fit or
            holds numbers too large for the layer's dtype, or the layer is in eval mode. Nothing has
            changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Linear(2, 1, seed=0)
        >>> layer.load_state_dict({"weight": np.ones((1, 2), "f"), "bias": np.zeros(1, "f")})
        >>> layer(np.ones((1, 2), np.float32))
        array([[2.]], dtype=float32)
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict: expected a dict, got {type(state_dict).__name__}")
        arrays = arrays_of(self)
        missing = [name for name in arrays if name not in state_dict]
        unknown = [name for name in state_dict if name not in arrays]
        if _checks.flag("strict", strict) and (missing or unknown):
            raise KeyError(f"state_dict: missing {missing}, unknown {unknown}")
        casted = {
            name: casting.as_parameter(name, value, array.dtype, array.shape)
            for name, value in state_dict.items()
            if (array := arrays.get(name)) is not None
        }
        set_arrays(self, casted)

    def eval(
        self: Self,
        *,
        weights: WeightFormat | None = None,
        activations: ActivationFormat | None = None,
        compute: ComputeFormat | None = None,
    ) -> Self:
        """Switch to eval mode: weights are packed once and read-only, and nothing is dropped out.

        Parameters
        ----------
        weights : {"float32", "bfloat16", "float16", "int8"}, optional
            The format in which weight matrices are stored from now on, for a layer of float32; a
            layer of float64 has no other format. Weights are rounded once, to nearest. 16-bit
            weights are widened when they are read: a call gives, to the bit, what float32 gives
            with the rounded weights. int8 has integers and a scale for each row of a matrix, and so
            have x and h in products. `parameters` keep their values, and `train` returns to them.
            By default the format of the last call of `eval` since `train`; at first the layer's
            dtype.
        activations : {"int16", "int8"}, optional
            To which integers x and h are rounded at each step, to be multiplied with int8 weights:
            16 bits lose very little, 8 bits are faster. By default what the file says that the
            layer was loaded from, or "int16"; without ``weights``, what they were.
        compute : {"float32", "bfloat16"}, optional
            The type of products, as in `train`; by default as it was last told.

        Returns
        -------
        Layer
            The layer itself.

        Raises
        ------
        ValueError
            If ``weights`` is not such a format, or a weight is too large for it, or NaN or infinite
            with int8; if ``activations`` is not such a format, or weights are not in int8; if
            ``compute`` is not such a type, or ``weights`` are float16 or int8 beside products of
            bfloat16. The layer has not changed then.

        Notes
        -----
        Copies and pickles of the layer keep the format; a stream keeps the format that the layer
        had when it was opened; `state_dict` has the parameters. With a narrow format, gradients
        are those of the rounded weights, as if nothing else had been rounded.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.LSTM(3, 4, num_layers=2, dropout=0.5, seed=0).eval()
        >>> layer.parameters["weight_ih_l0"].flags.writeable
        False
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> np.array_equal(layer(x)[0], layer(x)[0])  # no dropout
        True
        >>> y, _ = layer.eval(weights="bfloat16")(x)  # half the memory
        >>> y, _ = layer.eval(weights="int8")(x)  # a quarter
        >>> y, _ = layer.eval(weights="int8", activations="int8")(x)  # the fastest
        """
        storage = self._check_format(weights, activations, compute)
        chosen = self._check_compute(compute)
        if self.training or (storage, chosen) != (self._storage, self._compute):
            self._storage, self._compute = storage, chosen
            self._set_training(False)
        self._set_writeable(False)
        self._weights(selection.current())
        return self

    def train(self: Self, *, compute: ComputeFormat | None = None) -> Self:
        """Switch to train mode, the mode of a new layer: weights may change between calls.

        Parameters
        ----------
        compute : {"float32", "bfloat16"}, optional
            The type to which products round what they multiply, for a layer of float32; a layer of
            float64 has its own alone. With "bfloat16", the products of x and h with matrices of
            weights, and those of the backward pass, have operands of bfloat16 and sums of float32.
            Parameters, states, gradients and all that is not a product stay float32. By default as
            `train` or `eval` was last told; at first the layer's dtype.

        Returns
        -------
        Layer
            The layer itself.

        Raises
        ------
        ValueError
            If ``compute`` is no such type. The layer has not changed then.

        Notes
        -----
        A copy and a pickle of the layer keep the type of products; files and `state_dict` do not
        have it. `Conv1d` has products of float32 alone, and `Embedding` has none. See
        docs/narrow.md.

        Examples
        --------
        >>> import pyrnn
        >>> layer = pyrnn.Linear(3, 2, seed=0).eval()
        >>> layer.train().parameters["weight"].flags.writeable
        True
        >>> layer.train(compute="bfloat16").compute_format
        'bfloat16'
        """
        self._compute = self._check_compute(compute)
        self._storage = "full"
        self._set_training(True)
        self._set_writeable(True)
        return self

    def _set_writeable(self, writeable: bool) -> None:
        self._parameters.set_writeable(writeable)
        self._buffers.set_writeable(writeable)

    def _set_training(self, training: bool) -> None:
        """Change the mode, and drop the packed weights of the old one.

        A call that is running in another thread stores what it packs with the mode in which it
        started. So the mode is set first.
        """
        Mode.switch(self, training)
        self._packed = {}

    def _pack(self, backend: selection.Backend) -> list[Any]:
        """Return the weights in the form that the backend computes with.

        In train mode, that form follows later changes. A subclass that computes with packed weights
        overrides this method.
        """
        return []

    def _weights(self, backend: selection.Backend) -> list[Any]:
        """Return what `_pack` returned in this mode."""
        of_mode = self._packed
        packed = of_mode.get(backend.name)
        if packed is None:
            packed = of_mode[backend.name] = self._pack(backend)
        return packed

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_packed": {}}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._set_writeable(self.training)
        owners.register(self._parameters.values(), self._families)

    def _gradients(self, grads: dict[str, Array]) -> dict[str, Array]:
        """Gradients of this layer's parameters, as an optimiser knows them."""
        return owners.Gradients(grads, self._families)


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
