"""Initial parameters of recurrent layers and cells, drawn by named schemes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.backend import cells, selection
from pyrnn.layers._layer import Layer
from pyrnn.parameters import dictionary
from pyrnn.parameters.dictionary import ParameterDict

RecurrentLayer = TypeVar("RecurrentLayer", bound=Layer)


class _Parameter(NamedTuple):
    """A parameter as a scheme sees it: its kind (``weight_ih``, ...), shape and gates."""

    kind: str
    shape: tuple[int, ...]
    gates: int


Initialization = Literal["torch", "glorot", "orthogonal", "identity"]
"""The names of `SCHEMES`."""

# In quotes, because naming the generator would import numpy.random, which takes time.
Scheme = Callable[[_Parameter, "np.random.Generator"], "Array | None"]
"""Draws a parameter; None leaves it as in ``"torch"``."""


@public("pyrnn")
def initialize(
    layer: RecurrentLayer,
    initialization: Initialization,
    seed: int | None = None,
    *,
    forget_bias: float | None = None,
) -> RecurrentLayer:
    """Draw all parameters of a recurrent layer or cell again.

    The values are those of a layer made with the same ``initialization`` and ``seed``.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or one of their cells
        The layer, in train mode. Its parameters are overwritten.
    initialization : {"torch", "glorot", "orthogonal", "identity"}
        The scheme; see Notes.
    seed : int, optional
        Seed of the values. By default they differ from call to call.
    forget_bias : float, optional
        For an LSTM with biases: the b_ih of the forget gate is set to this value, its b_hh to 0.

    Returns
    -------
    RNN, LSTM, GRU or one of their cells
        The given layer.

    Raises
    ------
    TypeError
        If ``layer`` is not a recurrent layer or cell.
    ValueError
        If there is no such scheme, it does not fit this layer, or the layer is in eval mode.
        Nothing has changed then.

    Notes
    -----
    H is the hidden size, G the number of gates; a layer's weights are (G H, columns).

    ``"torch"``
        All parameters from U(-1/√H, 1/√H), as in PyTorch.
    ``"glorot"``
        Keras' default: weights of the input from U(-a, a), a = √(6 / (fan_in + fan_out))
        (Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010); recurrent weights orthogonal; biases zero. As in Keras the whole
        matrix counts: fan_in is the number of columns and fan_out is G H, and the recurrent
        weights of all gates together have orthonormal columns. A projection's weights, (P, H),
        are drawn as those of the input. Keras' LSTM has ``forget_bias=1.0`` besides.
    ``"orthogonal"``
        Recurrent weights: each gate's (H, H) block is orthogonal, drawn uniformly from all such
        (Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
        linear neural networks", ICLR 2014). With a projection the blocks are (H, P) and their
        columns orthonormal. Everything else as in ``"torch"``.
    ``"identity"``
        For RNN with ``nonlinearity="relu"``: recurrent weights the identity, biases zero, weights
        of the input from N(0, 0.001²) (Le, Jaitly, Hinton, "A simple way to initialize recurrent
        networks of rectified linear units", 2015).

    Parameters that a scheme does not speak of: gains (``gain_*``) are one in each scheme, and the
    biases of a layer-normalised cell zero; all others, such as ``weight_peephole_*``, are as in
    ``"torch"``.

    For ``forget_bias``: Jozefowicz, Zaremba, Sutskever, "An empirical exploration of recurrent
    network architectures", ICML 2015; Keras' ``unit_forget_bias=True`` is 1.0.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.initialize(pyrnn.LSTM(3, 4), "glorot", seed=0, forget_bias=1.0)
    >>> w = layer.parameters["weight_hh_l0"]
    >>> bool(np.allclose(w.T @ w, np.eye(4), atol=1e-6))
    True
    >>> layer.parameters["bias_ih_l0"].reshape(4, 4)[1].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if not isinstance(layer, Layer) or not hasattr(layer, "cell"):
        kind = type(layer).__name__
        raise TypeError(f"layer: expected a recurrent layer or cell, got {kind}")
    shapes = [(name, array.shape) for name, array in layer.parameters.items()]
    values, _ = first_values(layer, shapes, initialization, layer.dtype, seed, forget_bias)
    layer.parameters.update(values)
    return layer


def first_values(
    layer: Any,
    shapes: Iterable[tuple[str, tuple[int, ...]]],
    initialization: str,
    dtype: np.dtype[Any],
    seed: object,
    forget_bias: float | None = None,
) -> tuple[ParameterDict, np.random.Generator]:
    """Draw a layer's parameters by a scheme; return them and the generator.

    ``"torch"`` always draws all of them first, so that parameters that a scheme leaves unchanged
    are the same in every scheme.
    """
    draw = _find(initialization, layer)
    bias = _check_forget_bias(forget_bias, layer, dtype)
    shapes = [(name, _checks.parameter_shape(name, shape)) for name, shape in shapes]
    bound = 1 / math.sqrt(layer.hidden_size)
    parameters, generator = dictionary.uniform(shapes, bound, dtype, seed)
    if not dictionary.are_drawn():
        return parameters, generator
    gates = cells.cell_facts(layer.cell).gates
    normalised = any(name.startswith("gain_") for name in parameters)
    for name, array in parameters.items():
        kind = "_".join(name.split("_")[:2])
        value = draw(_Parameter(kind, array.shape, gates), generator)
        if value is not None:
            array[...] = value
        elif normalised and kind.startswith("bias_"):
            array[...] = 0
    if bias is not None:
        _set_forget_bias(parameters, bias, layer.hidden_size)
    return parameters, generator


def scheme_name(argument: str, value: object) -> Initialization:
    """One of the schemes."""
    if not isinstance(value, str) or value not in SCHEMES:
        known = ", ".join(map(repr, SCHEMES))
        raise ValueError(f"{argument}: expected one of {known}, got {_checks.shown(value)}")
    return cast(Initialization, value)


def _find(value: object, layer: Any) -> Scheme:
    name = scheme_name("initialization", value)
    if name == "identity" and getattr(layer, "nonlinearity", None) != "relu":
        kind = type(layer).__name__
        raise ValueError(
            "initialization: 'identity' is for an RNN with nonlinearity='relu', "
            f"got {kind} of cell {layer.cell!r}"
        )
    return SCHEMES[name]


# --- schemes --------------------------------------------------------------------------------


def _torch(parameter: _Parameter, generator: np.random.Generator) -> Array | None:
    return np.ones(parameter.shape) if parameter.kind.startswith("gain_") else None


def _glorot(parameter: _Parameter, generator: np.random.Generator) -> Array | None:
    if parameter.kind in ("weight_ih", "weight_hr"):
        limit = math.sqrt(6 / sum(parameter.shape))
        return dictionary.between(generator, limit, parameter.shape)
    if parameter.kind == "weight_hh":
        rows, columns = parameter.shape
        return _orthogonal_matrix(rows, columns, generator)
    return _constant(parameter, generator)


def _orthogonal(parameter: _Parameter, generator: np.random.Generator) -> Array | None:
    if parameter.kind != "weight_hh":
        return _torch(parameter, generator)
    rows, columns = parameter.shape
    blocks = (
        _orthogonal_matrix(rows // parameter.gates, columns, generator)
        for _ in range(parameter.gates)
    )
    return np.concatenate(list(blocks))


def _identity(parameter: _Parameter, generator: np.random.Generator) -> Array | None:
    if parameter.kind == "weight_ih":
        return 0.001 * generator.standard_normal(parameter.shape)
    if parameter.kind == "weight_hh":
        rows, columns = parameter.shape
        return np.eye(rows, columns)
    return _constant(parameter, generator)


def _constant(parameter: _Parameter, generator: np.random.Generator) -> Array | None:
    """Set biases to zero and gains to one."""
    if parameter.kind.startswith("bias_"):
        return np.zeros(parameter.shape)
    return _torch(parameter, generator)


SCHEMES: Mapping[str, Scheme] = {
    "torch": _torch,
    "glorot": _glorot,
    "orthogonal": _orthogonal,
    "identity": _identity,
}


def _orthogonal_matrix(rows: int, columns: int, generator: np.random.Generator) -> Array:
    """Draw a matrix whose columns (or rows, if they are fewer) are orthonormal, uniformly.

    The sign of R's diagonal makes Q of a Gaussian matrix uniform (Mezzadri, "How to generate
    random matrices from the classical compact groups", Notices of the AMS 54, 2007).
    """
    tall = generator.standard_normal((max(rows, columns), min(rows, columns)))
    q = _orthonormal_rows(np.ascontiguousarray(tall.T)).T
    return q if rows >= columns else q.T


_BLOCK = 32
"""Rows that are made orthogonal to those before them at once."""


def _orthonormal_rows(vectors: Array) -> Array:
    """Orthonormal rows that span what the first rows of ``vectors`` do, each on their side.

    Q of a QR decomposition whose R has a positive diagonal, by Gram and Schmidt's method: twice,
    which is enough (Giraud, Langou, Rozloznik, "The loss of orthogonality in the Gram-Schmidt
    orthogonalization process", 2005). LAPACK's depends on the processor; products of the core do
    not.
    """
    core = selection.native_module()

    def product(a: Array, b: Array) -> Array:
        """A Bᵀ."""
        return a @ b.T if core is None else core.linear(a, b, None)

    def without(rows: Array, others: Array) -> Array:
        """Rows without their parts along the others, which are orthonormal."""
        across = np.ascontiguousarray(others.T)
        for _ in range(2):
            rows = rows - product(product(rows, others), across)
        return rows

    q = vectors.copy()
    for start in range(0, len(q), _BLOCK):
        block = q[start : start + _BLOCK]
        if start:
            block[...] = without(block, q[:start])
        for i in range(len(block)):
            row = block[i : i + 1]
            if i:
                row[...] = without(row, block[:i])
            row /= np.sqrt(product(row, row))
    return q


# --- the forget gate ------------------------------------------------------------------------

_FORGET_GATE = 1
"""Its position among an LSTM's gates i f g o."""


def _check_forget_bias(value: float | None, layer: Any, dtype: np.dtype[Any]) -> float | None:
    """Return the value as a number; refuse a layer without a forget gate or biases."""
    if value is None:
        return None
    # Only cells with the four gates i f g o have a forget gate.
    if cells.cell_facts(layer.cell).gates != 4:
        raise ValueError(f"forget_bias: expected a cell with a forget gate, got {layer.cell!r}")
    if not layer.bias:
        raise ValueError(f"forget_bias: expected None for a layer with bias=False, got {value!r}")
    largest = float(np.finfo(dtype).max)
    return _checks.finite_number("forget_bias", value, -largest, largest)


def _set_forget_bias(parameters: ParameterDict, value: float, hidden_size: int) -> None:
    rows = slice(_FORGET_GATE * hidden_size, (_FORGET_GATE + 1) * hidden_size)
    for name, array in parameters.items():
        if name.startswith("bias_ih"):
            array[rows] = value
        elif name.startswith("bias_hh"):
            array[rows] = 0
