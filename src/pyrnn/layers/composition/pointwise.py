"""Layers that act on each time step alone: dropout, activation, layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn import _checks, _pieces, _warnings
from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.backend import selection
from pyrnn.backend.probabilities import softmax, softmax_backward
from pyrnn.layers import _arguments, _cache, _options
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Option, Setting
from pyrnn.layers.recurrent import _noise
from pyrnn.layers.recurrent._activations import ActivationLike, activation, named_numbers
from pyrnn.parameters.dictionary import ParameterDict, random_generator


class Pointwise(Layer):
    """Base class of layers whose output has the shape of x: arguments, caches, checks."""

    def __call__(self, x: Any) -> Array:
        """Map x to y, for inference only.

        Parameters
        ----------
        x : array
            The input, of any shape, float32 or float64.

        Returns
        -------
        array
            The output, of the shape and dtype of ``x``.

        Raises
        ------
        TypeError, ValueError
            If ``x`` has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> pyrnn.Activation("relu")(np.array([-1.0, 2.0]))
        array([0., 2.])
        """
        return self._map(self._check_input(x))[0]

    def forward(
        self, x: Any, state: None = None, *, lengths: None = None
    ) -> tuple[Array, None, _cache.Cache[Any]]:
        """Map x to y, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input, of any shape, float32 or float64.
        state, lengths : None
            Recurrent layers have them; this layer takes none.

        Returns
        -------
        y : array
            The output, of the shape and dtype of ``x``.
        state : None
            This layer has no state.
        cache : Cache
            For one call of this layer's `backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> y, _, cache = pyrnn.Activation("tanh").forward(np.zeros(2))
        >>> y
        array([0., 0.])
        """
        _arguments.not_taken(self, state=state, lengths=lengths)
        array = self._check_input(x)
        y, kept = self._map(array)
        backend = selection.current().name
        return y, None, _cache.Cache(self, backend, (kept, array.dtype), array.shape, True)

    def backward(
        self, cache: _cache.Cache[Any], dy: Any, dstate: None = None
    ) -> tuple[Array, None, dict[str, Array]]:
        """Compute the gradients with respect to the input and the parameters.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up.
        dy : array
            Gradient of the loss with respect to ``y``, of its shape.
        dstate : None
            Recurrent layers have it; this layer has no state.

        Returns
        -------
        dx : array
            Gradient with respect to ``x``, of its shape.
        dstate0 : None
            This layer has no state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, or dy has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Activation("relu")
        >>> y, _, cache = layer.forward(np.array([-1.0, 2.0]))
        >>> layer.backward(cache, np.ones(2))[0]
        array([0., 1.])
        """
        _cache.check(cache, self)
        _arguments.not_taken(self, dstate=dstate)
        array = _checks.any_float_array("dy", dy)
        array = _checks.float_array("dy", array, array.dtype, cache.output_shape)
        kept, dtype = cache.use()
        with _warnings.unwarned():
            dx, grads = self._map_back(kept, array.astype(dtype, copy=False))
        return dx, None, self._gradients(grads)

    def _check_input(self, x: Any) -> Array:
        return _checks.any_float_array("x", x)

    def _map(self, x: Array) -> tuple[Array, Any]:
        """Return y, a new array, and what `_map_back` needs."""
        raise NotImplementedError

    def _map_back(self, kept: Any, dy: Array) -> tuple[Array, dict[str, Array]]:
        """Return the gradient of x and those of the parameters, from that of y."""
        raise NotImplementedError


@public("pyrnn")
class Dropout(Pointwise):
    """Set elements to zero at random in train mode, and scale the others up.

    Parameters
    ----------
    p : float
        Probability of a zero; the other elements are divided by 1 − p. It may be set.
    seed : int, optional
        Seed of the masks. By default they differ from layer to layer.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    In eval mode nothing is dropped. Source: Srivastava et al., "Dropout: a simple way to prevent
    neural networks from overfitting", JMLR 15, 2014, in the form of `torch.nn.Dropout`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.Dropout(0.5, seed=0)
    >>> layer(np.ones(6))
    array([2., 0., 0., 0., 2., 2.])
    >>> layer.eval()(np.ones(6))
    array([1., 1., 1., 1., 1., 1.])
    """

    p: Setting[float] = Setting(_options.rate)
    seed: Option[int | None] = Option(_options.seed, shown=False)

    def __init__(self, p: float = 0.5, *, seed: int | None = None) -> None:
        self._take(locals())
        self._generator = random_generator(self.seed)
        super().__init__({})

    def _map(self, x: Array) -> tuple[Array, Any]:
        if not self.training or self.p == 0:
            return _pieces.copied(x), None
        mask = _noise.dropout_mask(self._generator, x.shape, self.p, x.dtype)
        return _noise.masked(x, mask), mask

    def _map_back(self, kept: Any, dy: Array) -> tuple[Array, dict[str, Array]]:
        return (_pieces.copied(dy) if kept is None else _noise.masked(dy, kept)), {}


@public("pyrnn")
class Activation(Pointwise):
    """Apply a function to each element.

    Parameters
    ----------
    function : str, or tuple of a str and its numbers
        "sigmoid", "tanh", "relu", "identity", "softsign", "softplus"; or a function with numbers,
        by its name alone, which takes the defaults, or in a tuple with them: "hard_sigmoid"
        (alpha 0.2, beta 0.5), "leaky_relu" (alpha 0.01), "elu" (alpha 1), "thresholded_relu"
        (alpha 1), ("affine", alpha, beta), ("scaled_tanh", alpha, beta).

    Raises
    ------
    TypeError, ValueError
        If ``function`` is not one of these, or a number is not finite.

    Notes
    -----
    The functions are those that gates and candidates of layers may have, defined as in ONNX:
    hard sigmoid is αx + β within [0, 1], leaky ReLU αx below 0, ELU α(eˣ − 1) below 0, thresholded
    ReLU x above α and else 0, scaled tanh α tanh(βx), softplus ln(1 + eˣ). Where a slope jumps, the
    derivative is the one from the left: that of ReLU at 0 is 0.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> pyrnn.Activation("relu")(np.array([-1.0, 2.0]))
    array([0., 2.])
    >>> pyrnn.Activation(("leaky_relu", 0.5))(np.array([-1.0, 2.0]))
    array([-0.5,  2. ])
    """

    function: Option[ActivationLike] = Option(activation)

    def __init__(self, function: ActivationLike = "tanh") -> None:
        self._take(locals())
        self._function = named_numbers(self.function)
        super().__init__({})

    def _map(self, x: Array) -> tuple[Array, Any]:
        with _warnings.unwarned():
            y = selection.current().activation(*self._function, x)
        return y, _pieces.copied(x)

    def _map_back(self, kept: Any, dy: Array) -> tuple[Array, dict[str, Array]]:
        with _warnings.unwarned():
            return selection.current().activation_backward(*self._function, kept, dy), {}


@public("pyrnn")
class Softmax(Pointwise):
    """Turn the scores of each step into probabilities, along the last axis.

    Raises
    ------
    ValueError
        If x has no axis.

    Notes
    -----
    y_i = exp(x_i) / Σ_j exp(x_j), computed in float64, each row for itself, as
    ``torch.nn.Softmax(dim=-1)``. For training, pass the scores before it to
    `pyrnn.losses.cross_entropy`, which is exact where a probability rounds to 0.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> pyrnn.Softmax()(np.array([[0.0, 0.0, -np.inf]]))
    array([[0.5, 0.5, 0. ]])
    """

    def __init__(self) -> None:
        super().__init__({})

    def _check_input(self, x: Any) -> Array:
        array = super()._check_input(x)
        if array.ndim == 0 or array.shape[-1] == 0:
            raise ValueError(f"x: expected at least one score in the last axis, got {array.shape}")
        return array

    def _map(self, x: Array) -> tuple[Array, Any]:
        with _warnings.unwarned():
            y = softmax(_pieces.dense(x))
            return _pieces.copied(y, x.dtype), y

    def _map_back(self, kept: Any, dy: Array) -> tuple[Array, dict[str, Array]]:
        with _warnings.unwarned():
            return softmax_backward(kept, _pieces.dense(dy)), {}


@public("pyrnn")
class LayerNorm(Pointwise):
    """Bring the features of each step to mean 0 and variance 1, then scale and shift them.

    Parameters
    ----------
    normalized_shape : int
        The number of features: the size of the last axis of x.
    eps : float, default 1e-5
        The ε in (x − mean) / √(var + ε).
    elementwise_affine : bool, default True
        Whether to scale and shift with parameters.
    dtype : {"float32", "float64"}
        The dtype of the parameters and of x.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    Parameters are "weight" (features,), ones, and "bias" (features,), zeros, as in
    `torch.nn.LayerNorm`. Computed in float64, each row for itself. Source: J. L. Ba, J. R. Kiros,
    G. E. Hinton, "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.LayerNorm(2, dtype="float64")
    >>> layer(np.array([[1.0, 3.0]])).round(4)
    array([[-1.,  1.]])
    """

    normalized_shape: Option[int] = Option(_checks.size)
    eps: Option[float] = Option(_checks.epsilon)
    elementwise_affine: Option[bool] = Option(_checks.flag)

    def __init__(
        self,
        normalized_shape: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        self._take(locals())
        shape = _checks.parameter_shape("normalized_shape", (self.normalized_shape,))
        parameters = {}
        if self.elementwise_affine:
            ones, zeros = np.ones(shape, self.dtype), np.zeros(shape, self.dtype)
            parameters = {"weight": ones, "bias": zeros}
        self._hold(ParameterDict(parameters))

    def _check_input(self, x: Any) -> Array:
        array = _checks.float_array("x", x, self.dtype)
        if array.ndim == 0 or array.shape[-1] != self.normalized_shape:
            raise ValueError(f"x: expected shape (..., {self.normalized_shape}), got {array.shape}")
        return array

    def _map(self, x: Array) -> tuple[Array, Any]:
        weight, bias = (self._parameters.get(name) for name in ("weight", "bias"))
        with _warnings.unwarned():
            y, kept = selection.current().layer_norm(_checks.rows(x), weight, bias, self.eps)
        return y.reshape(x.shape), (kept, None if weight is None else weight.copy())

    def _map_back(self, kept: Any, dy: Array) -> tuple[Array, dict[str, Array]]:
        normalised, weight = kept
        dx, dweight, dbias = selection.current().layer_norm_backward(
            normalised, weight, _checks.rows(dy)
        )
        grads = {} if weight is None else {"weight": dweight, "bias": dbias}
        return dx.reshape(dy.shape), grads
