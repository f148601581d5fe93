"""Layers from state dicts and back: what torch's names and shapes say about a layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import pyrnn
from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.interop.torch import _names
from pyrnn.parameters import casting, dictionary

Arrays = dict[str, npt.NDArray[Any]]

_PARAMETER = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(_l(\d{1,4})(_reverse)?)?")
_CELLS = ("RNNCell", "LSTMCell", "GRUCell")
_AROUND = ("Conv1d", "LayerNorm", "InstanceNorm1d")
"""Whose arrays do not say what they are of, or how it computes with them."""
_UNSAID = {1: ("LayerNorm", "InstanceNorm1d"), 3: ("Conv1d",)}
"""What a weight of so many axes may be of."""
_OPTIONS_TOLD = {
    "Conv1d": ("stride", "padding", "dilation", "groups"),
    "LayerNorm": ("eps",),
    "InstanceNorm1d": ("eps", "momentum"),
}
_KINDS = ("RNN", "LSTM", "GRU", *_CELLS, "Linear", "Embedding", "BatchNorm1d", *_AROUND)
_OF_GATES = {1: "RNN", 3: "GRU", 4: "LSTM"}
_BY_TORCH = {"rnn_tanh", "rnn_relu", "lstm", "gru"}
"""Cells that torch has."""
_SHOWN = 12
_ROOM = 1 << 20
"""Bytes for arrays that turn out to be missing."""


class UnsaidKindError(ValueError):
    """The arrays may be of a layer that pyrnn has, but only ``kind`` can say so."""

    def __init__(self, message: str, kinds: tuple[str, ...]) -> None:
        super().__init__(message)
        self.kinds = kinds


def from_state_dict(
    mapping: Mapping[str, Any],
    prefix: str = "",
    *,
    kind: str | None = None,
    nonlinearity: str | None = None,
    batch_first: bool | None = None,
    bidirectional: bool | None = None,
    **options: Any,
) -> Any:
    """Make a layer from the arrays of a torch module.

    Names and shapes determine its kind, sizes, number of layers, directions, projection and biases:

    - ``weight_ih_l0``, ``weight_hh_l0``, ...: `RNN`, `GRU` or `LSTM`, if ``weight_hh_l0`` has 1, 3
      or 4 times as many rows as there are units; the number of units is that of its columns, or of
      the columns of ``weight_hr_l0`` if there is a projection.
    - ``weight_ih``, ``weight_hh``: the cell of that kind.
    - ``running_mean``, ``running_var`` and maybe ``weight``, ``bias``: `BatchNorm1d`, with torch's
      default eps and momentum, which only whole modules contain.
    - ``weight`` (2-D) and ``bias``: `Linear`.
    - ``weight`` (3-D): a `Conv1d`, if ``kind`` or a whole module says so, with the ``options`` of
      its module; ``weight``, ``bias`` (1-D): a `LayerNorm` or `InstanceNorm1d`, as ``kind`` says,
      or a `LayerNorm` if a whole module says so.
    - ``weight`` only: `Embedding` if the last part of the prefix contains "emb", else a `Linear`
      without bias, unless ``kind`` is given.

    Parameters
    ----------
    mapping : dict
        Arrays, or torch's tensors and parameters; nested dicts, as `read` gives them, count as one
        with names joined by dots, and so do lists and tuples ("0.encoder"). float16 and bfloat16
        are widened to float32; so are the packed weights of modules from
        ``torch.ao.quantization.quantize_dynamic``. Weights of `weight_norm`, `spectral_norm`,
        pruning and weight dropout are computed from what is stored of them.
    prefix : str
        The name of the module in the model, with or without a dot at its end: "encoder.lstm".
    kind : {"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "Linear", "Embedding", \
        "BatchNorm1d", "Conv1d", "LayerNorm", "InstanceNorm1d"}, optional
        The expected kind; a layer of another kind is an error.
    nonlinearity : {"tanh", "relu"}, optional
        The activation of an RNN, which a state dict does not contain: by default that of a whole
        module, else "tanh".
    batch_first : bool, optional
        The layout of a recurrent layer, which a state dict does not contain: by default that of a
        whole module, else False. Nor does it contain the dropout, which is 0 and may be set.
    bidirectional : bool, optional
        For a quantised recurrent layer, whose state dict does not contain it: needed if the layer
        has two cells with as many inputs as units, which may be two levels or two directions.
    **options
        The options of a convolution or a normalisation, which a state dict does not contain:
        ``stride``, ``padding``, ``dilation``, ``groups`` of a `Conv1d`; ``eps``, ``momentum``. By
        default they are those of a whole module, else torch's. The layer has its channels last.

    Returns
    -------
    layer
        In train mode, with copies of the arrays, of their dtype: float32 or float64.

    Raises
    ------
    TypeError
        If ``mapping`` is not a dict, or an array is not of floating-point numbers.
    ValueError
        If there is no such module, one of its arrays is missing, does not belong to it or has
        another shape; the message lists what was found.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> from pyrnn.interop.torch import from_state_dict
    >>> shapes = {"rnn.weight_ih_l0": (12, 3), "rnn.weight_hh_l0": (12, 4)}
    >>> arrays = {name: np.zeros(shape, "f") for name, shape in shapes.items()}
    >>> from_state_dict(arrays, prefix="rnn")
    GRU(3, 4, bias=False)
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string, got {type(prefix).__name__}")
    if kind is not None:
        _checks.choice("kind", kind, _KINDS)
    if nonlinearity is not None:
        _checks.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    if batch_first is not None:
        _checks.flag("batch_first", batch_first)
    if bidirectional is not None:
        _checks.flag("bidirectional", bidirectional)
    everything = _names.flat(mapping, bidirectional)
    found = {
        name: value for name, value in _names.below(everything, prefix).items() if "." not in name
    }
    where = prefix.rstrip(".")
    told = _names.settings(mapping).get(where, {})
    if kind is None:
        kind = _kind_told(told, found)
    if options and kind not in (*_AROUND, "BatchNorm1d"):
        raise TypeError(
            f"{next(iter(options))}: expected only with kind='Conv1d' or a normalisation, "
            f"got kind={kind!r}"
        )
    if any(n.startswith("_all_weight_values.") for n in _names.below(everything, prefix)):
        raise ValueError(
            f"bidirectional: expected True or False for the quantised layer {_at(where)}, whose "
            "cells may be its levels or its directions"
        )
    recurrent = {name: value for name, value in found.items() if _PARAMETER.fullmatch(name)}
    if recurrent:
        arrays = {name: _names.as_array(name, value) for name, value in recurrent.items()}
        if batch_first is None:
            batch_first = told.get("batch_first", False)
        chosen = told.get("nonlinearity", "tanh") if nonlinearity is None else nonlinearity
        layer = _recurrent(arrays, where, chosen, batch_first)
    elif "running_mean" in found and kind in (None, "BatchNorm1d"):
        averages = {name: told[name] for name in ("eps", "momentum") if name in told}
        layer = _batch_norm(found, where, averages | options)
    elif kind in _AROUND and "weight" in found:
        arrays = {n: _names.as_array(n, found[n]) for n in ("weight", "bias") if n in found}
        if kind != "LayerNorm":
            options["batch_first"] = bool(batch_first)
        known = {name: told[name] for name in _OPTIONS_TOLD[kind] if name in told}
        layer = _around(kind, arrays, where, known | options)
    elif "weight" in found:
        arrays = {n: _names.as_array(n, found[n]) for n in ("weight", "bias") if n in found}
        layer = _dense(arrays, where, kind)
    else:
        raise ValueError(f"prefix: expected a layer {_at(where)}; {_listed(everything)}")
    if kind is not None and type(layer).__name__ != kind:
        raise ValueError(f"kind: expected {kind}, got {layer!r} {_at(where)}")
    return layer


def to_state_dict(layer: Any, prefix: str = "") -> dict[str, Array]:
    """Return the arrays of a layer by torch's names, for ``load_state_dict`` of its module.

    Parameters
    ----------
    layer : RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell, Linear, Embedding, Conv1d, LayerNorm, \
            BatchNorm1d, InstanceNorm1d or Sequential
        Without the options that torch's do not have.
    prefix : str
        Put before each name, with a dot after it.

    Returns
    -------
    dict
        Copies, with the bits that the layer has. ``torch.from_numpy`` makes tensors of them.

    Raises
    ------
    TypeError
        If ``layer`` is of another type.
    ValueError
        If torch has no layer that computes the same.

    Examples
    --------
    >>> import pyrnn
    >>> from pyrnn.interop.torch import to_state_dict
    >>> list(to_state_dict(pyrnn.Linear(3, 2), prefix="output"))
    ['output.weight', 'output.bias']
    """
    if isinstance(layer, pyrnn.Sequential):
        start = f"{prefix.rstrip('.')}." if prefix.rstrip(".") else ""
        found: dict[str, Array] = {}
        for name, one in layer.layers.items():
            if dictionary.arrays_of(one):
                found |= to_state_dict(one, f"{start}{name}")
        return found
    if type(layer).__name__ not in _KINDS or not isinstance(layer, pyrnn.Layer):
        kind = type(layer).__name__
        raise TypeError(f"layer: expected one of {', '.join(_KINDS)}, got {kind}")
    if getattr(layer, "cell", "lstm") not in _BY_TORCH or _beyond_torch(layer):
        raise ValueError(f"layer: expected one that torch has as well, got {layer!r}")
    start = f"{prefix.rstrip('.')}." if prefix.rstrip(".") else ""
    return {f"{start}{name}": array for name, array in layer.state_dict().items()}


def _beyond_torch(layer: Any) -> bool:
    """Whether it computes something else in eval mode than torch's layer of the same arrays."""
    other_way = getattr(layer, "reverse", False)
    merged = getattr(layer, "merge_mode", "concat") != "concat"
    one_sided = getattr(layer, "padding", 0) == "causal"
    return bool(np.any(getattr(layer, "zoneout", 0.0)) or other_way or merged or one_sided)


# --- from arrays to layers ------------------------------------------------------------------


def _at(where: str) -> str:
    return f"at {where!r}" if where else "at the top"


def shapes_of(arrays: Mapping[str, Any]) -> str:
    """Names and shapes, for a message."""
    shown = [f"{name} {tuple(array.shape)}" for name, array in list(arrays.items())[:_SHOWN]]
    more = len(arrays) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _listed(everything: Mapping[str, Any]) -> str:
    """The modules that could be meant."""
    modules: dict[str, str] = {}
    for name in everything:
        module, _, own = name.rpartition(".")
        is_matrix = own == "weight" and everything[name].ndim == 2
        if _PARAMETER.fullmatch(own) or is_matrix or own == "running_mean":
            modules[module] = own
    if not modules:
        return "there are no weights of layers" + (
            f", only {shapes_of(everything)}" if everything else ""
        )
    shown = ", ".join(repr(module) for module in list(modules)[:_SHOWN])
    more = f" and {len(modules) - _SHOWN} more" if len(modules) > _SHOWN else ""
    return f"there are layers at {shown}{more}"


def _recurrent(arrays: Arrays, where: str, nonlinearity: str, batch_first: bool) -> Any:
    is_cell = "weight_hh" in arrays
    suffix = "" if is_cell else "_l0"
    weight_ih, weight_hh = arrays.get(f"weight_ih{suffix}"), arrays.get(f"weight_hh{suffix}")
    weight_hr = arrays.get(f"weight_hr{suffix}")
    expected = f"weight_ih{suffix} and weight_hh{suffix} of a recurrent layer {_at(where)}"
    if weight_ih is None or weight_hh is None:
        raise ValueError(f"mapping: expected {expected}, got {shapes_of(arrays)}")
    if weight_ih.ndim != 2 or weight_hh.ndim != 2 or not weight_hh.size or not weight_ih.size:
        raise ValueError(f"mapping: expected {expected} as matrices, got {shapes_of(arrays)}")
    projected = weight_hr is not None and weight_hr.ndim == 2
    hidden_size = weight_hr.shape[1] if weight_hr is not None and projected else weight_hh.shape[1]
    gates, rest = divmod(weight_hh.shape[0], max(hidden_size, 1))
    if rest or gates not in _OF_GATES or (projected and gates != 4):
        raise ValueError(
            f"mapping: expected {expected} with 1, 3 or 4 times {hidden_size} rows (RNN, GRU, "
            f"LSTM; 4 times with a projection), got {shapes_of(arrays)}"
        )
    options: dict[str, Any] = {"dtype": _dtype(arrays), "bias": f"bias_ih{suffix}" in arrays}
    if gates == 1:
        options["nonlinearity"] = nonlinearity
    if not is_cell:
        layers = [int(_number(name)) for name in arrays]
        options |= {
            "num_layers": max(layers) + 1,
            "bidirectional": "weight_ih_l0_reverse" in arrays,
            "batch_first": batch_first,
        }
        if options["num_layers"] > len(arrays):
            raise ValueError(f"mapping: expected all layers {_at(where)}, got {shapes_of(arrays)}")
    if weight_hr is not None and projected:
        options["proj_size"] = weight_hr.shape[0]
    name = _OF_GATES[gates] + ("Cell" if is_cell else "")
    return _filled(name, (weight_ih.shape[1], hidden_size), options, arrays, where)


def _number(name: str) -> str:
    match = _PARAMETER.fullmatch(name)
    return (match and match[3]) or "0"


def _kind_told(told: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """The kind of a whole module that its tensors leave open, but not its other attributes."""
    if "weight" not in found:
        return None
    plain = not told.get("transposed", False) and told.get("padding_mode", "zeros") == "zeros"
    if "kernel_size" in told and plain:
        return "Conv1d"
    return "LayerNorm" if "normalized_shape" in told else None


def _dense(arrays: Arrays, where: str, kind: str | None) -> Any:
    weight = arrays["weight"]
    if weight.ndim != 2 or not weight.size:
        message = (
            f"mapping: expected a matrix as the weight of a Linear or Embedding {_at(where)}, "
            f"got {shapes_of(arrays)}"
        )
        kinds = _UNSAID.get(weight.ndim)
        if kinds is None or not weight.size:
            raise ValueError(message)
        said = " or ".join(f"kind={name!r}" for name in kinds)
        raise UnsaidKindError(f"{message}; if it is another layer, give {said}", kinds)
    options: dict[str, Any] = {"dtype": _dtype(arrays)}
    rows, columns = weight.shape
    alone = "bias" not in arrays
    if alone and (
        kind == "Embedding" or (kind is None and "emb" in where.rpartition(".")[2].lower())
    ):
        return _filled("Embedding", (rows, columns), options, arrays, where)
    return _filled("Linear", (columns, rows), options | {"bias": not alone}, arrays, where)


def _around(kind: str, arrays: Arrays, where: str, options: dict[str, Any]) -> Any:
    """A convolution or a normalisation, whose arrays have the layer's names and shapes."""
    weight, dtype = arrays["weight"], _dtype(arrays)
    if weight.ndim != (3 if kind == "Conv1d" else 1) or not weight.size:
        raise ValueError(
            f"mapping: expected the weight of a {kind} {_at(where)}, got {shapes_of(arrays)}"
        )
    if kind != "Conv1d":
        affine = "elementwise_affine" if kind == "LayerNorm" else "affine"
        return _filled(kind, weight.shape, options | {affine: True, "dtype": dtype}, arrays, where)
    groups = options.get("groups", 1)
    inputs = weight.shape[1] * (groups if type(groups) is int else 1)
    options = {**options, "bias": "bias" in arrays, "dtype": dtype}
    return _filled(kind, (inputs, weight.shape[0], weight.shape[2]), options, arrays, where)


def _batch_norm(found: Mapping[str, Any], where: str, more: Mapping[str, Any]) -> Any:
    arrays = {
        name: _names.as_array(name, found[name])
        for name in ("weight", "bias", "running_mean", "running_var")
        if name in found
    }
    count = found.get("num_batches_tracked", np.zeros((), np.int64))  # older ones have none
    whole = casting.as_parameter("num_batches_tracked", count, np.dtype("int64"), ())
    options = {**more, "affine": "weight" in arrays, "dtype": _dtype(arrays)}
    arrays["num_batches_tracked"] = whole
    return _filled("BatchNorm1d", (arrays["running_mean"].size,), options, arrays, where)


def _dtype(arrays: Arrays) -> str:
    """The one dtype of all."""
    names = {array.dtype.name for array in arrays.values()}
    if len(names) > 1:
        raise ValueError(f"mapping: expected arrays of one dtype, got {', '.join(sorted(names))}")
    return names.pop()


def _filled(
    name: str, sizes: tuple[int, ...], options: dict[str, Any], arrays: Arrays, where: str
) -> Any:
    """A layer of that class with these arrays, which have to be exactly its own."""
    room = _ROOM + 4 * sum(array.nbytes for array in arrays.values())
    try:
        with dictionary.not_drawn(room):
            layer = getattr(pyrnn, name)(*sizes, **options)
    except ValueError as error:
        got = shapes_of(arrays)
        raise ValueError(
            f"mapping: expected the arrays of {name} {_at(where)}, got {got} ({error})"
        ) from error
    expected = {key: array.shape for key, array in dictionary.arrays_of(layer).items()}
    wrong = [
        f"{key} {expected.get(key, 'none')}"
        for key in {**expected, **arrays}
        if key not in arrays or key not in expected or arrays[key].shape != expected[key]
    ]
    if wrong:
        raise ValueError(
            f"mapping: expected for {layer!r} {_at(where)}: {', '.join(wrong[:_SHOWN])}; "
            f"got {shapes_of(arrays)}"
        )
    dictionary.set_arrays(layer, arrays)
    return layer
