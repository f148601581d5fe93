"""Layers without a state: `Linear` and `Embedding`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from pyrnn import _checks
from pyrnn._number_formats.narrow import read, rounded, stored
from pyrnn._pickling import public
from pyrnn._types import Array, Compute, DTypeLike, Indices
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache, _options
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Option
from pyrnn.parameters import dictionary


@public("pyrnn")
class Linear(Layer):
    """Affine map over the last axis: ``y = x Wᵀ + b``.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of x and of y.
    bias : bool, default True
        Whether to add b.
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters. By default they differ from layer to layer.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    Parameters are "weight" (out_features, in_features) and "bias" (out_features,), drawn from
    U(-1/√in_features, 1/√in_features), as in `torch.nn.Linear`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.Linear(3, 2, seed=0)
    >>> y, _, cache = layer.forward(np.ones((5, 4, 3), dtype=np.float32))
    >>> dx, _, grads = layer.backward(cache, np.ones_like(y))
    >>> y.shape, dx.shape, grads["weight"].shape
    ((5, 4, 2), (5, 4, 3), (2, 3))
    """

    in_features: Option[int] = Option(_checks.size)
    out_features: Option[int] = Option(_checks.size)
    bias: Option[bool] = Option(_checks.flag)
    seed: Option[int | None] = Option(_options.seed, shown=False)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self._take(locals())
        weight = _checks.parameter_shape("weight", (self.out_features, self.in_features))
        shapes: list[tuple[str, tuple[int, ...]]] = [("weight", weight)]
        if self.bias:
            shapes.append(("bias", (self.out_features,)))
        bound = 1 / math.sqrt(self.in_features)
        self._hold(dictionary.uniform(shapes, bound, self.dtype, seed)[0])

    def __call__(self, x: npt.ArrayLike, out: Array | None = None) -> Array:
        """Map x to y, for inference only.

        Parameters
        ----------
        x : array
            The input, (..., in_features).
        out : array, optional
            The array to write y into, contiguous, of y's shape and dtype, and of no memory of x or
            of the parameters. A new one by default.

        Returns
        -------
        array
            The output, (..., out_features).

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype or shape, or ``out`` shares memory.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Linear(3, 2, seed=0)
        >>> layer(np.ones((5, 4, 3), np.float32)).shape
        (5, 4, 2)
        """
        rows, shape = self._check_input(x)
        weight = self._parameters["weight"]
        if out is None:
            return self._map(selection.current(), rows, weight).reshape(shape)
        array = _checks.output_array("out", out, self.dtype, shape)
        if _checks.shares(array, (rows, *self._parameters.values())):
            raise ValueError(
                "out: expected an array that shares no memory with x or the parameters"
            )
        self._map(selection.current(), rows, weight, array.reshape(-1, self.out_features))
        return out

    def forward(
        self, x: npt.ArrayLike, state: None = None, *, lengths: None = None
    ) -> tuple[Array, None, _cache.Cache[tuple[Array, Array, Compute]]]:
        """Map x to y, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input, (..., in_features).
        state, lengths : None
            Recurrent layers have them; a linear layer takes none.

        Returns
        -------
        y : array
            The output, (..., out_features).
        state : None
            A linear layer has no state.
        cache : Cache
            For one call of this layer's `backward`. It refers to ``x``, which must not change until
            then; the parameters may.

        Raises
        ------
        TypeError, ValueError
            If ``x`` has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Linear(3, 2, seed=0)
        >>> y, _, cache = layer.forward(np.ones((5, 4, 3), np.float32))
        >>> y.shape
        (5, 4, 2)
        """
        _arguments.not_taken(self, state=state, lengths=lengths)
        rows, shape = self._check_input(x)
        backend = selection.current()
        weight = rounded(self._storage, self._parameters["weight"]).copy()
        y = self._map(backend, rows, weight).reshape(shape)
        return y, None, _cache.Cache(self, backend.name, (rows, weight, self._compute), shape, True)

    def backward(
        self,
        cache: _cache.Cache[tuple[Array, Array, Compute]],
        dy: npt.ArrayLike,
        dstate: None = None,
    ) -> tuple[Array, None, dict[str, Array]]:
        """Compute the gradients with respect to the input and the parameters.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up.
        dy : array
            Gradient of the loss with respect to ``y``, of its shape and dtype.
        dstate : None
            Recurrent layers have it; this layer has no state.

        Returns
        -------
        dx : array
            Gradient with respect to ``x``, of its shape.
        dstate0 : None
            A linear layer has no state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, or ``dy`` has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Linear(3, 2, seed=0)
        >>> y, _, cache = layer.forward(np.ones((5, 4, 3), np.float32))
        >>> dx, _, grads = layer.backward(cache, np.ones_like(y))
        >>> dx.shape, grads["bias"]
        ((5, 4, 3), array([20., 20.], dtype=float32))
        """
        _cache.check(cache, self)
        _arguments.not_taken(self, dstate=dstate)
        shape = cache.output_shape
        rows = _checks.rows(_checks.float_array("dy", dy, self.dtype, shape))
        x, weight, compute = cache.use()
        backend = selection.find(cache.backend)
        dx, dweight, dbias = backend.linear_backward(x, weight, rows, compute)
        grads = {"weight": dweight, "bias": dbias} if self.bias else {"weight": dweight}
        return dx.reshape(*shape[:-1], self.in_features), None, self._gradients(grads)

    def _map(
        self, backend: selection.Backend, rows: Array, weight: Array, out: Array | None = None
    ) -> Array:
        packed = self._weights(backend)
        if packed:
            y: Array = packed[0](rows, out)
            return y
        return backend.linear(rows, weight, self._parameters.get("bias"), out, self._compute)

    def _pack(self, backend: selection.Backend) -> list[Any]:
        """Return the packed weight in eval mode, nothing in train mode."""
        if self.training:
            return []
        bias = self._parameters.get("bias")
        weight = self._parameters["weight"]
        return [backend.pack_linear(weight, bias, self._storage, self._compute)]

    def _stored(self) -> Mapping[str, Array]:
        return self._parameters

    def _check_input(self, x: Any) -> tuple[Array, tuple[int, ...]]:
        """Return ``x`` as rows, and the shape of y."""
        array = _checks.float_array("x", x, self.dtype)
        if array.ndim == 0 or array.shape[-1] != self.in_features:
            raise ValueError(f"x: expected shape (..., {self.in_features}), got {array.shape}")
        return _checks.rows(array), (*array.shape[:-1], self.out_features)


@public("pyrnn")
class Embedding(Layer):
    """Lookup table: a row of the weight for each index, ``y = weight[x]``.

    Parameters
    ----------
    num_embeddings : int
        The number of rows: indices are in [0, num_embeddings).
    embedding_dim : int
        The number of features of a row.
    dtype : {"float32", "float64"}
        The dtype of the weight and the outputs.
    seed : int, optional
        Seed of the initial weight. By default it differs from layer to layer.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    The parameter is "weight" (num_embeddings, embedding_dim), drawn from N(0, 1), as in
    `torch.nn.Embedding`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.Embedding(10, 3, seed=0)
    >>> y, _, cache = layer.forward(np.array([[1, 2], [1, 0]]))
    >>> dx, _, grads = layer.backward(cache, np.ones_like(y))
    >>> y.shape, dx, grads["weight"][1]
    ((2, 2, 3), None, array([2., 2., 2.], dtype=float32))
    """

    num_embeddings: Option[int] = Option(_checks.size)
    embedding_dim: Option[int] = Option(_checks.size)
    seed: Option[int | None] = Option(_options.seed, shown=False)

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self._take(locals())
        shape = (self.num_embeddings, self.embedding_dim)
        self._hold(dictionary.normal([("weight", shape)], self.dtype, seed))

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Look up rows of the weight, for inference only.

        Parameters
        ----------
        x : array of int
            Indices in [0, num_embeddings), of any shape (...).

        Returns
        -------
        array
            The rows, (..., embedding_dim).

        Raises
        ------
        TypeError, ValueError
            If ``x`` does not hold such indices.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Embedding(10, 3, seed=0)
        >>> layer(np.array([[1, 2], [1, 0]])).shape
        (2, 2, 3)
        """
        return self.forward(x)[0]

    def forward(
        self, x: npt.ArrayLike, state: None = None, *, lengths: None = None
    ) -> tuple[Array, None, _cache.Cache[Indices]]:
        """Look up rows of the weight, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array of int
            Indices in [0, num_embeddings), of any shape (...).
        state, lengths : None
            Recurrent layers have them; an embedding takes none.

        Returns
        -------
        y : array
            The rows, (..., embedding_dim).
        state : None
            An embedding has no state.
        cache : Cache
            For one call of this layer's `backward`.

        Raises
        ------
        TypeError, ValueError
            If ``x`` does not hold such indices.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Embedding(10, 3, seed=0)
        >>> y, _, cache = layer.forward(np.array([[1, 2], [1, 0]]))
        >>> y.shape
        (2, 2, 3)
        """
        _arguments.not_taken(self, state=state, lengths=lengths)
        indices = _checks.index_array("x", x, self.num_embeddings)
        shape = (*indices.shape, self.embedding_dim)
        rows, backend = indices.reshape(-1), selection.current()
        packed = self._weights(backend)
        if packed:
            y = read(self._storage, packed[0], rows).reshape(shape)
        else:
            y = backend.embedding(rows, self._parameters["weight"]).reshape(shape)
        return y, None, _cache.Cache(self, backend.name, rows, shape, True)

    def backward(
        self, cache: _cache.Cache[Indices], dy: npt.ArrayLike, dstate: None = None
    ) -> tuple[None, None, dict[str, Array]]:
        """Compute the gradient with respect to the weight.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up.
        dy : array
            Gradient of the loss with respect to ``y``, of its shape and dtype.
        dstate : None
            Recurrent layers have it; this layer has no state.

        Returns
        -------
        dx : None
            Indices have no gradient.
        dstate0 : None
            An embedding has no state.
        grads : dict
            Gradient of the weight: for each row, the sum of dy where that row was looked up.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, or ``dy`` has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Embedding(3, 1, seed=0)
        >>> y, _, cache = layer.forward(np.array([2, 0, 2]))
        >>> _, _, grads = layer.backward(cache, np.ones_like(y))
        >>> grads["weight"].ravel()
        array([1., 0., 2.], dtype=float32)
        """
        _cache.check(cache, self)
        _arguments.not_taken(self, dstate=dstate)
        rows = _checks.rows(_checks.float_array("dy", dy, self.dtype, cache.output_shape))
        backend = selection.find(cache.backend)
        dweight = backend.embedding_backward(cache.use(), rows, self.num_embeddings)
        return None, None, self._gradients({"weight": dweight})

    def _pack(self, backend: selection.Backend) -> list[Any]:
        """Return the table in a narrow format, nothing where it is as it is."""
        storage = self._storage
        return [] if storage == "full" else [stored(storage, self._parameters["weight"])]

    def _stored(self) -> Mapping[str, Array]:
        return self._parameters
