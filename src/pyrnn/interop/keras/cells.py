"""One recurrent layer's weights in Keras' layout and in pyrnn's, which is torch's.

Keras has kernels (I, G·H) and (H, G·H) with gates i f c o (LSTM) and z r h (GRU), and one bias; a
GRU with ``reset_after`` has two, (2, 3·H). pyrnn has the transposed arrays, gates i f g o and
r z n, and two biases; if Keras has one bias, the bias of h is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.interop.keras.hdf5 import ContentError

KIND_OF_CELL = {
    "rnn_tanh": "SimpleRNN",
    "rnn_relu": "SimpleRNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "gru_reset_before": "GRU",
}
"""Keras' layer for each cell of pyrnn that it has."""
KERAS_VERSION = "3.5.0"
"""Whose form pyrnn writes; later ones read it."""
GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
_ORDER = {"SimpleRNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2)}
"""Which of Keras' blocks stands at each place of pyrnn's; it is its own inverse."""
NAMES = ("kernel", "recurrent_kernel", "bias")
# Keras 1 had arrays for each gate: where those of i f c o, or z r h, begin.
_SEPARATE = {"LSTM": (0, 6, 3, 9), "GRU": (0, 3, 6)}


_WRITTEN = ("sigmoid", "tanh", "relu", "softsign", "softplus")
"""Activations that have the same name and meaning in Keras."""
_WITH_NUMBERS: dict[tuple[Any, ...], str] = {
    ("identity",): "linear",
    ("elu",): "elu",
    ("elu", 1.0): "elu",
    ("leaky_relu", 0.2): "leaky_relu",
    ("hard_sigmoid", 1 / 6, 0.5): "hard_sigmoid",
}


def activations_of(layer: Any) -> dict[str, str]:
    """A layer's activations by Keras' names of options and of functions.

    Raises
    ------
    ValueError
        If Keras has no function that computes one, or there is a clip.
    """
    if layer.clip is not None:
        raise ValueError(f"layer: Keras has no clip, got {layer!r}")
    if hasattr(layer, "nonlinearity"):
        return {"activation": activation_named(layer.nonlinearity, layer)}
    output = getattr(layer, "output_activation", None)
    if output is not None and output != layer.activation:
        raise ValueError(f"layer: Keras has no separate output_activation, got {layer!r}")
    return {
        "activation": activation_named(layer.activation, layer),
        "recurrent_activation": activation_named(layer.recurrent_activation, layer),
    }


def activation_named(value: Any, layer: Any) -> str:
    """Keras' name of an activation, or ValueError."""
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(parts) == 1 and parts[0] in _WRITTEN:
        return str(parts[0])
    found = _WITH_NUMBERS.get(parts)
    if found is None:
        raise ValueError(f"layer: Keras 3 has no activation {value!r}, got {layer!r}")
    return found


def kind_of(arrays: Sequence[Array]) -> str | None:
    """SimpleRNN, LSTM or GRU by the shapes; None for other weights."""
    arrays = joined(arrays, None)
    if len(arrays) not in (2, 3) or arrays[0].ndim != 2 or arrays[1].ndim != 2:
        return None
    units, columns = arrays[1].shape
    for kind, gates in GATES.items():
        if columns == gates * units and arrays[0].shape[1] == columns:
            return kind
    return None


def joined(arrays: Sequence[Array], kind: str | None) -> list[Array]:
    """Kernel, recurrent kernel and bias, of the arrays for each gate that Keras 1 wrote."""
    for name, begins in _SEPARATE.items():
        if len(arrays) == 3 * len(begins) and kind in (None, name):
            parts = [[arrays[begin + n] for begin in begins] for n in range(3)]
            if all(len({part.shape[:1] for part in one}) == 1 for one in parts[:2]):
                return [np.concatenate(one, axis=-1) for one in parts]
    return list(arrays)


def from_keras(kind: str, arrays: Sequence[Array]) -> dict[str, Array]:
    """The parameters of one direction from kernel, recurrent kernel and maybe bias.

    The bias says more: 8·H of an LSTM, or 6·H in one row of a GRU, are cuDNN's.
    """
    arrays = joined(arrays, kind)
    gates, order = GATES[kind], _ORDER[kind]
    if len(arrays) not in (2, 3):
        raise ContentError(f"expected 2 or 3 arrays of a {kind}, got {len(arrays)}")
    kernel, recurrent = arrays[0], arrays[1]
    if kernel.ndim != 2 or recurrent.ndim != 2:
        raise ContentError(f"expected kernels of 2 axes, got {kernel.shape}, {recurrent.shape}")
    units, columns = recurrent.shape
    if columns != gates * units or kernel.shape[1] != columns or not kernel.size or not units:
        raise ContentError(
            f"expected kernels (I, {gates}·H) and (H, {gates}·H) of a {kind}, "
            f"got {kernel.shape} and {recurrent.shape}"
        )
    bias = arrays[2] if len(arrays) == 3 else None
    biases: tuple[Array, Array] | None = None
    if bias is not None:
        if kind != "SimpleRNN" and bias.shape == (2 * columns,):
            kernel = _each_gate(kernel, gates, lambda k: k.T.reshape(k.shape, order="F"))
            recurrent = _each_gate(recurrent, gates, lambda k: k.T)
            bias = bias.reshape(2, columns)
        if bias.shape == (2, columns) and kind != "SimpleRNN":
            biases = bias[0], bias[1]
        elif bias.shape == (columns,):
            biases = bias, np.zeros_like(bias)
        else:
            raise ContentError(f"expected a bias of {columns} numbers, got shape {bias.shape}")
    found = {
        "weight_ih": _blocks(kernel.T, order),
        "weight_hh": _blocks(recurrent.T, order),
    }
    if biases is not None:
        found["bias_ih"], found["bias_hh"] = (_blocks(one, order) for one in biases)
    return found


def reset_after(arrays: Sequence[Array], said: Any) -> bool:
    """Whether a GRU's reset gate acts after the product: its bias says so, else its config."""
    arrays = joined(arrays, "GRU")
    if len(arrays) == 3:
        return bool(arrays[2].shape != (arrays[1].shape[1],))
    return True if said is None else bool(said)


def to_arrays(kind: str, parameters: Mapping[str, Array], both: bool) -> dict[str, Array]:
    """Kernel, recurrent kernel and bias from the parameters of one direction.

    ``both``: a GRU with ``reset_after``, which keeps both biases; otherwise they are added up.
    """
    order = _ORDER[kind]
    found = {
        "kernel": np.ascontiguousarray(_blocks(parameters["weight_ih"], order).T),
        "recurrent_kernel": np.ascontiguousarray(_blocks(parameters["weight_hh"], order).T),
    }
    if "bias_ih" in parameters:
        biases = [_blocks(parameters[name], order) for name in ("bias_ih", "bias_hh")]
        found["bias"] = np.stack(biases) if both else biases[0] + biases[1]
    return found


def _blocks(array: Array, order: Sequence[int]) -> Array:
    """Row blocks in another order, in an array of its own."""
    parts = np.split(array, len(order))
    return np.ascontiguousarray(np.concatenate([parts[number] for number in order]))


def _each_gate(kernel: Array, gates: int, function: Any) -> Array:
    return np.hstack([function(part) for part in np.hsplit(kernel, gates)])
