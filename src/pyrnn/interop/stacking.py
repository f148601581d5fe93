"""Joins several layers of one level into one layer of several levels, and separates them again.

Keras and ONNX have one layer for each level; torch and pyrnn have `num_layers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyrnn.layers.recurrent._stack import Recurrent

_SHARED = (
    "bias",
    "batch_first",
    "bidirectional",
    "nonlinearity",
    "proj_size",
    "peephole",
    "coupled",
    "layer_norm",
    "reset_after",
    "reverse",
    "merge_mode",
    "recurrent_activation",
    "activation",
    "output_activation",
    "clip",
    "eps",
    "normalised_state",
)


def arguments_of(layer: Recurrent) -> dict[str, Any]:
    """Return the constructor arguments that the levels of one stack share, without dropout.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or MinGRU
        The layer.

    Returns
    -------
    dict
        The arguments, by name.

    Examples
    --------
    >>> import pyrnn
    >>> from pyrnn.interop import stacking
    >>> stacking.arguments_of(pyrnn.GRU(3, 4))["reset_after"]
    True
    """
    found = {name: getattr(layer, name) for name in _SHARED if hasattr(layer, name)}
    return found | {"dtype": layer.dtype}


def stack(layers: Sequence[Recurrent]) -> Recurrent:
    """Join layers into one layer with several levels, with copies of their weights.

    Parameters
    ----------
    layers : sequence of RNN, LSTM, GRU or MinGRU
        The levels, lowest first; each takes the output of the one below.

    Returns
    -------
    RNN, LSTM, GRU or MinGRU
        The layer.

    Raises
    ------
    TypeError, ValueError
        If they are not all of one kind with the same options, or their sizes do not fit.

    Examples
    --------
    >>> import pyrnn
    >>> from pyrnn.interop import stacking
    >>> stacking.stack([pyrnn.LSTM(3, 4), pyrnn.LSTM(4, 4)])
    LSTM(3, 4, num_layers=2)
    """
    layers = list(layers)
    if not layers or not all(isinstance(layer, Recurrent) for layer in layers):
        raise TypeError("layers: expected at least one recurrent layer")
    first = layers[0]
    shared = arguments_of(first)
    size = first._features
    for number, layer in enumerate(layers[1:], start=1):
        if type(layer) is not type(first) or arguments_of(layer) != shared:
            raise ValueError(f"layers[{number}]: expected the options of {first!r}, got {layer!r}")
        if layer.hidden_size != first.hidden_size or layer.input_size != size:
            raise ValueError(
                f"layers[{number}]: expected {size} inputs and {first.hidden_size} units, "
                f"got {layer!r}"
            )
    if len(layers) == 1:
        return first
    count = sum(layer.num_layers for layer in layers)
    kind: Any = type(first)
    made: Recurrent = kind(first.input_size, first.hidden_size, count, **shared)
    levels = iter(range(count))
    for layer in layers:
        for level in range(layer.num_layers):
            place = next(levels)
            for name, array in _level(layer, level).items():
                made.parameters[name.replace("_l0", f"_l{place}")] = array
    return made


def unstack(layer: Recurrent) -> list[Recurrent]:
    """Separate the levels of a layer into layers with one level each, with copies of the weights.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or MinGRU
        The layer.

    Returns
    -------
    list
        A layer for each level, lowest first.

    Examples
    --------
    >>> import pyrnn
    >>> from pyrnn.interop import stacking
    >>> stacking.unstack(pyrnn.GRU(3, 4, num_layers=2))
    [GRU(3, 4), GRU(4, 4)]
    """
    shared = arguments_of(layer)
    sizes = [layer.input_size] + [layer._features] * layer.num_layers
    kind: Any = type(layer)
    made: list[Recurrent] = []
    for level in range(layer.num_layers):
        one = kind(sizes[level], layer.hidden_size, **shared)
        one.parameters.update(_level(layer, level))
        made.append(one)
    return made


def _level(layer: Recurrent, level: int) -> dict[str, Any]:
    """The arrays of one level, by the names that they have in a layer of one."""
    ends = (f"_l{level}", f"_l{level}_reverse")
    return {
        name.replace(f"_l{level}", "_l0"): array
        for name, array in layer.parameters.items()
        if name.endswith(ends)
    }
