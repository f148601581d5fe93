"""What each layer does in one step, as C."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.backend import cells, selection
from pyrnn.interop.c.source import Source
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.composition.pointwise import Activation, Dropout, LayerNorm, Softmax
from pyrnn.layers.composition.pooling import LastStep, MeanOverTime
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent import _noise
from pyrnn.layers.recurrent._activations import named_numbers
from pyrnn.layers.recurrent._stack import Recurrent

_Parameters = Mapping[str, Array]


def add(source: Source, name: str, layer: Layer) -> None:
    """Add what a layer does in one step."""
    function = next((f for kind, f in _KINDS.items() if isinstance(layer, kind)), None)
    if function is None:
        raise TypeError(f"model: expected a layer that can be exported to C, got {layer!r}")
    check_own(layer)
    function(source, source.identifier(name), layer)


def check_own(model: Any) -> None:
    """Refuse an object of a user's class that computes in another way than pyrnn's."""
    own = next(kind for kind in type(model).__mro__ if kind.__module__.split(".")[0] == "pyrnn")
    for name in ("__call__", "forward", "_forward"):
        if getattr(type(model), name, None) is not getattr(own, name, None):
            raise TypeError(
                f"model: expected a layer that computes as {own.__name__} of pyrnn, got a "
                f"{type(model).__name__} with a method {name!r} of its own"
            )


def begin(source: Source, layer: Layer) -> None:
    """Take the input that the first layer takes: indices for an embedding, else numbers."""
    if isinstance(layer, Embedding):
        source.take_indices(layer.num_embeddings)
    elif isinstance(layer, Recurrent):
        source.take_numbers(layer.input_size)
    elif isinstance(layer, Linear):
        source.take_numbers(layer.in_features)
    elif isinstance(layer, LayerNorm):
        source.take_numbers(layer.normalized_shape)
    elif isinstance(layer, BatchNorm1d):
        source.take_numbers(layer.num_features)
    elif not isinstance(layer, tuple(_KINDS)):
        raise TypeError(f"model: expected a layer that can be exported to C, got {layer!r}")
    else:
        raise ValueError(
            f"model: expected a first layer that says how many features x has, got {layer!r}"
        )


def _check_size(source: Source, layer: Layer, size: int) -> None:
    if source.size != size:
        raise ValueError(
            f"model: expected layers that fit, got {source.size} features before {layer!r}"
        )


def _add_bias(source: Source, name: str, bias: Array | None, buffer: str) -> None:
    """Add a bias, if there is one: after the products, as the core does."""
    if bias is not None:
        source.call("add", len(bias), source.constant(name, bias), buffer)


def _sum(source: Source, *biases: Array) -> Array:
    """The sum of biases, rounded once."""
    total: Array = sum(bias.astype(np.float64) for bias in biases).astype(source.dtype)  # type: ignore[union-attr]
    return total


def _input(source: Source, name: str, weight: Array, buffer: str) -> None:
    """Begin with the product with x: of an index, one column."""
    source.call("clear", len(weight), buffer)
    if source.value != "x" or not source.indices:
        _product(source, name, weight, "x", buffer)
        return
    rows = len(weight)
    if source.int8:
        named, scales = source.int8_matrix(name, weight, transposed=True)
        source.call("add_int8", rows, f"{named} + x * {rows}", scales, buffer)
    elif source.narrow:
        named = source.narrow_matrix(name, weight.T, f"{name}, transposed")
        source.call("add_16", rows, f"{named} + x * {rows}", buffer)
    else:
        named = source.constant(name, weight.T, f"{name}, transposed")
        source.call("add", rows, f"{named} + x * {rows}", buffer)


def _product(source: Source, name: str, weight: Array, x: str, y: str) -> None:
    """Add the product of a matrix and x to y."""
    rows, columns = weight.shape
    if source.int8:
        named = source.int8_matrix(name, weight)
        whole = source.whole_numbers(columns)
        source.call("add_int8_product", rows, columns, *named, x, whole, y)
    elif source.narrow:
        source.call("add_product_16", rows, columns, source.narrow_matrix(name, weight), x, y)
    else:
        source.call("add_product", rows, columns, source.constant(name, weight), x, y)


def _linear(source: Source, name: str, layer: Linear) -> None:
    _check_size(source, layer, layer.in_features)
    parameters = layer.parameters
    _input(source, f"{name}_weight", parameters["weight"], "y")
    _add_bias(source, f"{name}_bias", parameters.get("bias"), "y")
    source.end_layer(name, repr(layer), layer.out_features)


def _embedding(source: Source, name: str, layer: Embedding) -> None:
    if not source.indices or source.value != "x":
        raise ValueError("model: expected an Embedding first, got one behind another layer")
    size, weight = layer.embedding_dim, layer.parameters["weight"]
    if source.int8:
        table, scales = source.int8_matrix(f"{name}_weight", weight)
        source.call("copy_int8", size, f"{table} + x * {size}", f"{scales}[x]", "y")
    elif source.narrow:
        table = source.narrow_matrix(f"{name}_weight", weight)
        source.call("copy_16", size, f"{table} + x * {size}", "y")
    else:
        table = source.constant(f"{name}_weight", weight)
        source.call("copy", size, f"{table} + x * {size}", "y")
    source.end_layer(name, repr(layer), layer.embedding_dim)


def _activation(source: Source, name: str, layer: Activation) -> None:
    loop = f"for (size_t i = 0; i < {source.size}; ++i)"
    if layer.function == "identity":
        return
    source.line(f"{loop} y[i] = {_applied(source, layer._function, 'x[i]')};")
    source.end_layer(name, repr(layer), source.size)


def _applied(source: Source, function: tuple[str, float, float], x: str) -> str:
    """The expression for a function of x."""
    name, *numbers = function
    if name == "identity":
        return x
    count = len(cells.activations()[name].defaults)
    return f"{source.own.get(name, name)}({', '.join([*map(source.number, numbers[:count]), x])})"


def _softmax(source: Source, name: str, layer: Softmax) -> None:
    source.call("softmax", source.size, "x", "y")
    source.end_layer(name, repr(layer), source.size)


def _layer_norm(source: Source, name: str, layer: LayerNorm) -> None:
    _check_size(source, layer, layer.normalized_shape)
    size, gain = source.size, layer.parameters.get("weight")
    if source.int8:
        affine = ["0", "0"]
        if gain is not None:
            affine = [source.constant(f"{name}_gain", gain)]
            affine.append(source.constant(f"{name}_bias", layer.parameters["bias"]))
        source.call("layer_norm", size, repr(layer.eps), *affine, "x", "y")
    else:
        source.call("copy", size, "x", "y")
        source.call("normalise", size, source.number(layer.eps), "y")
        if gain is not None:
            _gain_and_bias(source, name, gain, layer.parameters["bias"], "y")
    source.end_layer(name, repr(layer), size)


def _batch_norm(source: Source, name: str, layer: BatchNorm1d) -> None:
    """With running averages, an affine map of each channel."""
    _check_size(source, layer, layer.num_features)
    if not layer.track_running_stats:
        raise ValueError(f"model: expected running averages, got {layer!r}")
    size, (mean, _, factor, shift) = layer.num_features, layer._pack(selection.current())
    source.call("copy", size, "x", "y")
    source.call("subtract", size, source.constant(f"{name}_mean", mean), "y")
    source.call("multiply", size, source.constant(f"{name}_gain", factor), "y")
    _add_bias(source, f"{name}_bias", shift if layer.affine else None, "y")
    source.end_layer(name, repr(layer), size)


def _mean(source: Source, name: str, layer: MeanOverTime) -> None:
    """The mean of the steps so far, which after the last one is that of all."""
    total = source.kept(f"{name}_sum", source.size, wide=True)
    steps = source.kept(f"{name}_steps", 1, wide=True)
    source.line(f"{steps}[0] += 1.0;")
    source.line(f"for (size_t i = 0; i < {source.size}; ++i) {{")
    source.line(f"    {total}[i] += (double)x[i];")
    source.line(f"    y[i] = (float)({total}[i] / {steps}[0]);")
    source.line("}")
    source.end_layer(name, f"{layer!r}, of the steps so far", source.size)


def _nothing(source: Source, name: str, layer: Layer) -> None:
    """What leaves a step as it is."""


def _recurrent(source: Source, name: str, layer: Recurrent[Any, Any]) -> None:
    _check_size(source, layer, layer.input_size)
    if layer.bidirectional or layer.reverse:
        raise ValueError(f"model: expected layers that run forward in time only, got {layer!r}")
    shares = tuple(_noise.zoneout_rates(layer.zoneout, len(layer._state_names)) or (0.0, 0.0))
    for level in range(layer.num_layers):
        _level(source, f"{name}_l{level}", layer, layer._cells[f"l{level}"], shares)


def _level(
    source: Source,
    name: str,
    layer: Recurrent[Any, Any],
    parameters: _Parameters,
    shares: tuple[float, ...],
) -> None:
    """One level of a recurrent layer: its state is h, and an LSTM's c."""
    sizes = tuple(layer._state_sizes().values())
    states = [source.kept(f"{name}_{part}", n) for part, n in zip("hc", sizes, strict=False)]
    for state, size, share in zip(states, sizes, shares, strict=False):
        if share:
            source.call("copy", size, state, source.buffer(f"old_{state[-1]}", size))
    _CELLS[_plain_cell(layer)](source, name, layer, parameters, *states)
    for state, size, share in zip(states, sizes, shares, strict=False):
        if share:
            numbers = map(source.number, (share, 1 - share))
            source.call("zoneout", size, *numbers, f"old_{state[-1]}", state)
    source.end_layer(name, f"{layer!r}, {name}", sizes[0], states[0])


def _plain_cell(layer: Any) -> str:
    """The cell, but for its activations."""
    plain = str(layer.cell).partition("(")[0].removesuffix("_activated")
    return "rnn_tanh" if plain == "rnn" else plain


def _cell_function(source: Source, name: str, layer: Any, function: str = "") -> str:
    """What computes the units of a cell, or a part of it; one of its own for other activations."""
    function = function or _plain_cell(layer)
    if "_activated" not in layer.cell:
        return function
    candidate = getattr(layer, "nonlinearity", None) or layer.activation
    gate: Any = getattr(layer, "recurrent_activation", "sigmoid")
    output = getattr(layer, "output_activation", None) or candidate
    applied = {
        "gate": _applied(source, named_numbers(gate), _bounded(source, layer.clip)),
        "candidate": _applied(source, named_numbers(candidate), _bounded(source, layer.clip)),
        "output": _applied(source, named_numbers(output), "x"),
    }
    return source.activated(name, function, applied)


def _bounded(source: Source, clip: float | None) -> str:
    if clip is None:
        return "x"
    low, high = source.number(-clip), source.number(clip)
    return f"x < {low} ? {low} : x > {high} ? {high} : x"


def _products(
    source: Source, name: str, layer: Any, parameters: _Parameters, h: str, buffer: str
) -> None:
    """W_ih x + W_hh h + the sum of both biases."""
    rows = len(parameters["weight_ih"])
    _input(source, f"{name}_weight_ih", parameters["weight_ih"], source.buffer(buffer, rows))
    _product(source, f"{name}_weight_hh", parameters["weight_hh"], h, buffer)
    if layer.bias:
        bias = _sum(source, parameters["bias_ih"], parameters["bias_hh"])
        _add_bias(source, f"{name}_bias", bias, buffer)


def _normalised(source: Source, name: str, layer: Any, parameters: _Parameters, h: str) -> None:
    """The two sides of a cell with layer norm, into a and b."""
    rows = len(parameters["weight_ih"])
    _input(source, f"{name}_weight_ih", parameters["weight_ih"], source.buffer("a", rows))
    source.call("clear", rows, source.buffer("b", rows))
    _product(source, f"{name}_weight_hh", parameters["weight_hh"], h, "b")
    for side, buffer in (("ih", "a"), ("hh", "b")):
        _normalise(source, layer, parameters, side, name, buffer)


def _normalise(
    source: Source, layer: Any, parameters: _Parameters, side: str, name: str, buffer: str
) -> None:
    """Normalise, then gain and bias of a side: "ih", "hh" or "c"."""
    gain, units = parameters[f"gain_{side}"], layer.hidden_size
    epsilon = source.number(layer.eps)
    if source.int8:
        source.call("normalise_slots", len(gain) // units, units, epsilon, buffer)
    else:
        source.call("normalise", len(gain), epsilon, buffer)
    _gain_and_bias(source, f"{name}_{side}", gain, parameters.get(f"bias_{side}"), buffer)


def _gain_and_bias(source: Source, name: str, gain: Array, bias: Array | None, buffer: str) -> None:
    named = source.constant(f"{name}_gain", gain)
    if bias is None:
        source.call("multiply", len(gain), named, buffer)
    elif source.int8:
        shift = source.constant(f"{name}_bias", bias)
        source.call("scale_and_shift", len(gain), named, shift, buffer)
    else:
        source.call("multiply", len(gain), named, buffer)
        source.call("add", len(bias), source.constant(f"{name}_bias", bias), buffer)


def _rnn(source: Source, name: str, layer: Any, parameters: _Parameters, h: str) -> None:
    _products(source, name, layer, parameters, h, "z")
    source.call(_cell_function(source, name, layer), layer.hidden_size, "z", h)


def _lstm(source: Source, name: str, layer: Any, parameters: _Parameters, h: str, c: str) -> None:
    units = layer.hidden_size
    _products(source, name, layer, parameters, h, "z")
    peephole = []
    if "weight_peephole" in parameters:
        peephole = [source.constant(f"{name}_peephole", parameters["weight_peephole"])]
    projection = parameters.get("weight_hr")
    output = h if projection is None else source.buffer("output", units)
    source.call(_cell_function(source, name, layer), units, *peephole, "z", c, output)
    if projection is not None:
        size = len(projection)
        source.call("clear", size, h)
        _product(source, f"{name}_weight_hr", projection, output, h)


def _lstm_norm(
    source: Source, name: str, layer: Any, parameters: _Parameters, h: str, c: str
) -> None:
    units = layer.hidden_size
    _normalised(source, name, layer, parameters, h)
    source.call("add", 4 * units, "b", "a")
    source.call("lstm_layer_norm_cell", units, "a", c)
    _normalise(source, layer, parameters, "c", name, "a")
    if layer.normalised_state:
        source.call("copy", units, "a", c)
    source.call("lstm_layer_norm_output", units, "a", h)


def _gru(source: Source, name: str, layer: Any, parameters: _Parameters, h: str) -> None:
    """As in the core, the rows are n of x, then r and z, then n of h."""
    units, own = layer.hidden_size, parameters
    a = source.buffer("a", 4 * units)
    in_order = np.roll(own["weight_ih"], units, axis=0)
    _input(source, f"{name}_weight_ih", in_order, a)
    source.call("clear", units, f"a + {3 * units}")
    _product(source, f"{name}_weight_hh", own["weight_hh"], h, f"a + {units}")
    if layer.bias:
        of_x, of_h = own["bias_ih"], own["bias_hh"]
        both = _sum(source, of_x[: 2 * units], of_h[: 2 * units])
        bias = np.concatenate([of_x[2 * units :], both, of_h[2 * units :]])
        _add_bias(source, f"{name}_bias", bias, a)
    source.call(_cell_function(source, name, layer), units, a, h)


def _gru_norm(source: Source, name: str, layer: Any, parameters: _Parameters, h: str) -> None:
    _normalised(source, name, layer, parameters, h)
    source.call("gru_layer_norm", layer.hidden_size, "a", "b", h)


def _gru_before(source: Source, name: str, layer: Any, parameters: _Parameters, h: str) -> None:
    """W_hh's rows of r and z see h, those of n see r ∘ h."""
    units, weight = layer.hidden_size, parameters["weight_hh"]
    a, n = source.buffer("a", 3 * units), f"a + {2 * units}"
    gates = new = None
    if layer.bias:
        bias = _sum(source, parameters["bias_ih"], parameters["bias_hh"])
        gates, new = bias[: 2 * units], bias[2 * units :]
    _input(source, f"{name}_weight_ih", parameters["weight_ih"], a)
    _product(source, f"{name}_weight_hh", weight[: 2 * units], h, a)
    _add_bias(source, f"{name}_bias", gates, a)
    reset = _cell_function(source, name, layer, "reset_units")
    source.call(reset, units, a, h, source.buffer("reset_h", units))
    _product(source, f"{name}_weight_hn", weight[2 * units :], "reset_h", n)
    _add_bias(source, f"{name}_bias_n", new, n)
    source.call(_cell_function(source, name, layer), units, a, h)


def _min_gru(source: Source, name: str, layer: Any, parameters: _Parameters, h: str) -> None:
    units = layer.hidden_size
    _input(source, f"{name}_weight_ih", parameters["weight_ih"], source.buffer("a", 2 * units))
    _add_bias(source, f"{name}_bias", parameters.get("bias_ih"), "a")
    source.call("min_gru", units, "a", h)


_KINDS: dict[type, Callable[[Source, str, Any], None]] = {
    Linear: _linear,
    Embedding: _embedding,
    Recurrent: _recurrent,
    Activation: _activation,
    Softmax: _softmax,
    LayerNorm: _layer_norm,
    BatchNorm1d: _batch_norm,
    MeanOverTime: _mean,
    LastStep: _nothing,
    Dropout: _nothing,
}
_CELLS: dict[str, Any] = {
    "rnn_tanh": _rnn,
    "rnn_relu": _rnn,
    "gru": _gru,
    "gru_reset_before": _gru_before,
    "gru_layer_norm": _gru_norm,
    "min_gru": _min_gru,
    "lstm_layer_norm": _lstm_norm,
} | {
    f"lstm{coupled}{peephole}": _lstm
    for coupled in ("", "_coupled")
    for peephole in ("", "_peephole")
}
