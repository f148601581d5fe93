"""One recurrent layer's weights in ONNX's layout and in pyrnn's, which is torch's.

ONNX has (directions, G·H, ·) with the gates i o f c (LSTM) and z r h (GRU), both biases in one row,
Wb then Rb, and peepholes i o f. pyrnn has one array each, with gates i f g o and r z n.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.backend import cells
from pyrnn.interop.onnx.equations import ACTIVATIONS, Named, Settings, Weights

# Which of ONNX's blocks of rows stands at each place in pyrnn's. A coupled cell has gates i g o,
# and peepholes i o.
_GATES = {
    "rnn_tanh": (0,),
    "rnn_relu": (0,),
    "gru": (1, 0, 2),
    "gru_reset_before": (1, 0, 2),
    "lstm": (0, 2, 3, 1),
    "lstm_peephole": (0, 2, 3, 1),
    "lstm_coupled": (0, 3, 1),
    "lstm_coupled_peephole": (0, 3, 1),
}
_PEEPHOLES = {"lstm_peephole": (0, 2, 1), "lstm_coupled_peephole": (0, 1)}
_SIXTH = 1 / 6
"""The slope of Keras' hard_sigmoid."""
_BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
"""Blocks of rows in ONNX."""


def plain_cell_of(settings: Settings, peepholes: bool) -> str:
    """The cell of pyrnn with the gates of a node, and with the usual activations."""
    if settings.kind == "RNN":
        return "rnn_tanh"
    if settings.kind == "GRU":
        return "gru" if settings.linear_before_reset else "gru_reset_before"
    return "lstm" + "_coupled" * settings.input_forget + "_peephole" * peepholes


def cells_of(settings: Settings, peepholes: bool) -> list[str]:
    """The cell of pyrnn that computes each direction, with that direction's activations."""
    plain = plain_cell_of(settings, peepholes)
    clip = np.inf if settings.clip is None else written(settings.clip)
    return [_chosen(plain, functions, clip) for functions in settings.activations]


def _chosen(plain: str, functions: Sequence[Named], clip: float) -> str:
    """A cell with these activations and this bound."""
    if plain != "rnn_tanh":
        parts = [_parted(named) for named in functions]
        return cells.activated_cell(plain, [*parts, ("tanh", ())][:3], clip)
    parts = [("sigmoid", ()), _parted(functions[0]), ("tanh", ())]
    name = cells.activated_cell("rnn", parts, clip)
    relu = clip == np.inf and functions[0].name == "Relu"
    return "rnn_relu" if relu else {"rnn": plain}.get(name, name)


def _parted(named: Named) -> tuple[str, tuple[float, ...]]:
    """An activation's name, and all of its numbers."""
    found = _activation(named)
    return (found, ()) if isinstance(found, str) else (found[0], tuple(found[1:]))


def layer_activations(settings: Settings) -> dict[str, Any] | None:
    """The options of a layer with other activations or a clip; None where no layer has them."""
    if len(set(settings.activations)) != 1:
        return None
    functions = [_activation(named) for named in settings.activations[0]]
    clip = {"clip": None if settings.clip is None else written(settings.clip)}
    if settings.kind == "RNN":
        return {"nonlinearity": functions[0], **clip}
    options = {"recurrent_activation": functions[0], "activation": functions[1], **clip}
    if settings.kind == "LSTM" and functions[2] != functions[1]:
        options["output_activation"] = functions[2]
    return options


def _activation(named: Named) -> Any:
    """As layers take it: "HardSigmoid" with 0.2 and 0.5 is ("hard_sigmoid", 0.2, 0.5)."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", named.name).lower()
    numbers = [written(number) for number in (named.alpha, named.beta) if number is not None]
    if name == "affine" and numbers == [1.0, 0.0]:
        return "identity"
    return (name, *numbers) if numbers else name


def written(number: float) -> float:
    """The number that was meant: ONNX rounds those of attributes to float32."""
    short = np.float32(number)
    return _SIXTH if short == np.float32(_SIXTH) else float(str(short))


def settings_of(cell: str, hidden_size: int, backwards: tuple[bool, ...]) -> Settings:
    """The attributes that a cell of pyrnn has in ONNX."""
    kind = cell.partition("_")[0].upper()
    names = {"RNN": ("Relu" if cell == "rnn_relu" else "Tanh",), "GRU": ("Sigmoid", "Tanh")}
    functions = tuple(Named(n, None, None) for n in names.get(kind, ("Sigmoid", "Tanh", "Tanh")))
    return Settings(
        kind,
        hidden_size,
        backwards,
        (functions,) * len(backwards),
        None,
        "_coupled" in cell,
        cell == "gru",
    )


def activation_attributes(layer: Any, kind: str, directions: int) -> dict[str, Any]:
    """The attributes for a layer's activations and clip; those of a node with the usual ones."""
    if kind == "RNN":
        functions = [layer.nonlinearity]
    else:
        functions = [layer.recurrent_activation, layer.activation]
    if kind == "LSTM":
        functions.append(layer.output_activation or layer.activation)
    parts = [one if isinstance(one, (tuple, list)) else (one,) for one in functions]
    attributes: dict[str, Any] = {} if layer.clip is None else {"clip": float(layer.clip)}
    names = [name for name, *_ in parts]
    if names == ["sigmoid", "tanh", "tanh"][: len(names)] and kind != "RNN":
        return attributes
    found = [_named(name, tuple(numbers)) for name, *numbers in parts] * directions
    attributes["activations"] = [named.name for named in found]
    for field in ("alpha", "beta"):
        numbers = [getattr(named, field) for named in found]
        given = [number for number in numbers if number is not None]
        if given:
            attributes[f"activation_{field}"] = given
    return attributes


def _named(name: str, numbers: tuple[float, ...]) -> Named:
    """One of a layer's activations as ONNX has it, with all of its numbers."""
    if name == "identity":
        return Named("Affine", 1.0, 0.0)
    theirs = "".join(part.capitalize() for part in name.split("_"))
    kind = ACTIVATIONS[theirs]
    alpha, beta = (*numbers, None, None)[:2] if numbers else (kind.alpha, kind.beta)
    return Named(theirs, alpha, beta)


def to_cell(cell: str, weights: Weights, bias: bool = True) -> dict[str, Array]:
    """One direction's weights as a cell of pyrnn has them."""
    gates = _GATES[cell]
    blocks = _BLOCKS[cell.partition("_")[0]]
    found = {
        "weight_ih": _picked(weights.W, blocks, gates),
        "weight_hh": _picked(weights.R, blocks, gates),
    }
    if bias:
        found["bias_ih"] = _picked(weights.Wb, blocks, gates)
        found["bias_hh"] = _picked(weights.Rb, blocks, gates)
    if weights.P is not None and cell in _PEEPHOLES:
        found["weight_peephole"] = _picked(weights.P, 3, _PEEPHOLES[cell])
    return found


def from_cell(cell: str, parameters: Mapping[str, Array]) -> Weights:
    """One direction's weights as ONNX has them. Rows that a coupled cell does not have are zero."""
    gates, blocks = _GATES[cell], _BLOCKS[cell.partition("_")[0]]
    W = _placed(parameters["weight_ih"], blocks, gates)
    R = _placed(parameters["weight_hh"], blocks, gates)
    zero = np.zeros(len(W), W.dtype)
    Wb, Rb = (
        _placed(parameters[name], blocks, gates) if name in parameters else zero
        for name in ("bias_ih", "bias_hh")
    )
    P = parameters.get("weight_peephole")
    return Weights(W, R, Wb, Rb, None if P is None else _placed(P, 3, _PEEPHOLES[cell]))


def _picked(array: Array, blocks: int, order: Sequence[int]) -> Array:
    parts = np.split(array, blocks)
    return np.ascontiguousarray(np.concatenate([parts[number] for number in order]))


def _placed(array: Array, blocks: int, order: Sequence[int]) -> Array:
    size = len(array) // len(order)
    placed = np.zeros((blocks * size, *array.shape[1:]), array.dtype)
    for part, number in zip(np.split(array, len(order)), order, strict=True):
        placed[number * size : (number + 1) * size] = part
    return placed
