"""Layers as ONNX models of any batch size and length; states are inputs and outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn._files import AnyPath, checked_path, write_atomically
from pyrnn._imports import extras
from pyrnn._types import Array
from pyrnn._version import version
from pyrnn.interop._parts import parts_of, plain_cell, sizes_of
from pyrnn.interop.onnx.equations import Weights
from pyrnn.interop.onnx.model import Model
from pyrnn.interop.onnx.weights import activation_attributes, from_cell, settings_of
from pyrnn.interop.onnx.writing import activations, graph, windows
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.composition.pointwise import Activation, Dropout, LayerNorm, Softmax
from pyrnn.layers.composition.pooling import LastStep, MeanOverTime, Pooling
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d, MaxPool1d
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.layers.recurrent.gru import GRU
from pyrnn.layers.recurrent.lstm import LSTM
from pyrnn.layers.recurrent.rnn import RNN
from pyrnn.parameters.dictionary import arrays_of

OPSET = 17
IR_VERSION = 8
"""onnxruntime has read these versions since 1.12."""
_CELLS = {"rnn_tanh", "rnn_relu", "gru", "gru_reset_before", "lstm"} | {
    f"lstm{coupled}{peephole}" for coupled in ("", "_coupled") for peephole in ("", "_peephole")
}
_OVER_TIME = (Recurrent, Pooling, *windows.WINDOWS)
_DIRECTIONS = {(False,): "forward", (True,): "reverse", (False, True): "bidirectional"}


def save(model: Layer | Sequence[Layer] | Mapping[str, Layer] | Model, path: AnyPath) -> None:
    """Export layers, or a model that was read, as an ``.onnx`` file that any runtime runs.

    Parameters
    ----------
    model : Layer, sequence or dict of layers, or Model
        RNN, LSTM, GRU with any activations, clip and merge mode; Linear, Embedding, Conv1d,
        MaxPool1d, LayerNorm, BatchNorm1d, InstanceNorm1d, Activation, Softmax, LastStep,
        MeanOverTime, a `Sequential` of them; or several of them, each of which takes the output of
        the one before. In a dict, the nodes have the names of their layers, which come back when
        the file is read. What only acts in training (dropout, recurrent dropout) is left out. The
        graph of a `Model` is written as it was read, but for the names of axes of any length.
    path : str, bytes or os.PathLike
        Usually ends in ``.onnx``.

    Raises
    ------
    TypeError
        If a layer is none of these.
    ValueError
        If ONNX has no operator for a layer, as with a projection, layer norm or `MinGRU`, or for
        zoneout, which acts in eval mode as well.
    OSError
        If the file cannot be written.
    MissingExtraError
        If onnx is not installed.

    Notes
    -----
    The input is ``x``, laid out as the layer takes it, with axes of any length for time and batch;
    the output is ``y``. A recurrent layer adds the inputs ``h_0`` and, an LSTM, ``c_0``, shaped
    as its state, and the outputs ``h_n`` and ``c_n``; with several recurrent layers they are
    ``h_0_1`` and so on, from the second on. Operators are those of version 17.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.onnx")
    ...     onnx.save([pyrnn.LSTM(3, 4), pyrnn.Linear(4, 2)], path)
    ...     model = onnx.prepare(path)
    >>> model.inputs, model.outputs
    (['x', 'h_0', 'c_0'], ['y', 'h_n', 'c_n'])
    """
    extras.require("onnx", "onnx")
    name = checked_path(path)
    write_atomically(name, to_model(model).SerializeToString(deterministic=True))


def to_model(model: Layer | Sequence[Layer] | Mapping[str, Layer] | Model) -> Any:
    """The `onnx.ModelProto` that `save` writes."""
    from onnx import helper

    if isinstance(model, Model):
        return graph.to_proto(model.program)
    named = [(name, layer) for name, layer in _named(model) if not isinstance(layer, Dropout)]
    layers = [layer for _, layer in named]
    writer = _Writer(_checked(layers), {name for name, _ in named})
    for name, layer in named:
        writer.name = name
        _WRITERS[type(layer)](writer, layer)
    opset = helper.make_opsetid("", OPSET)
    made = helper.make_model(writer.graph(), opset_imports=[opset], ir_version=IR_VERSION)
    made.producer_name, made.producer_version = "pyrnn", version()
    described = json.dumps([repr(layer) for layer in layers])
    helper.set_model_props(made, {"pyrnn.layers": described})
    return made


def _named(model: Layer | Sequence[Layer] | Mapping[str, Layer]) -> list[tuple[str, Layer]]:
    """The layers one behind the other with their names, which are empty if none are given."""
    if isinstance(model, Mapping):
        for name in model:
            if not isinstance(name, str) or not name:
                raise TypeError(f"model: expected names of layers as strings, got {name!r}")
        return [part for name, one in model.items() for part in parts_of(one, name).items()]
    given = [model] if isinstance(model, Layer) else list(model)
    return [("", layer) for one in given for layer in parts_of(one).values()]


def _checked(layers: Sequence[Layer]) -> Sequence[Layer]:
    """Refuse what ONNX cannot express, and layers whose sizes do not fit each other."""
    if not layers:
        raise ValueError("model: expected at least one layer, got none")
    for layer in layers:
        if isinstance(layer, Recurrent):
            if plain_cell(layer) not in _CELLS or getattr(layer, "proj_size", False):
                raise ValueError(f"model: ONNX has no operator for {layer!r}")
            if np.any(layer.zoneout):
                raise ValueError(f"model: ONNX has no zoneout, got {layer!r}")
        elif type(layer) not in _WRITERS:
            raise TypeError(
                f"model: expected layers that ONNX has operators for ({_KNOWN}), got "
                f"{type(layer).__name__}"
            )
    with_dtype = [layer for layer in layers if arrays_of(layer)]
    for layer in with_dtype:
        if layer.dtype != with_dtype[0].dtype:
            expected = with_dtype[0].dtype
            raise ValueError(f"model: expected one dtype, got {expected} and {layer.dtype}")
    before: tuple[Layer, int] | None = None
    for layer in layers:
        if isinstance(layer, Embedding) and layer is not layers[0]:
            raise ValueError("model: expected an Embedding first, got one behind another layer")
        sizes = sizes_of(layer)
        if sizes and before and before[1] != sizes[0]:
            raise ValueError(f"model: expected layers that fit, got {before[0]!r} before {layer!r}")
        before = (layer, sizes[1]) if sizes else before
    if before is None:
        raise ValueError("model: expected a layer that says how many features x has")
    ordered = [layer for layer in layers if isinstance(layer, _OVER_TIME)]
    if len({layer.batch_first for layer in ordered}) > 1:
        raise ValueError("model: expected one batch_first for all layers, got both")
    pools = [number for number, layer in enumerate(layers) if isinstance(layer, Pooling)]
    if pools and any(isinstance(layer, _OVER_TIME) for layer in layers[pools[0] + 1 :]):
        raise ValueError("model: expected no layer over time after one that removes the time axis")
    return layers


class _Writer:
    """Nodes, weights, inputs and outputs as they come; ``value`` is what the last node made.

    ``name`` is that of the layer that is written, empty for one that is called by its kind.
    """

    def __init__(self, layers: Sequence[Layer], names: set[str]) -> None:
        from onnx import helper

        self._helper = helper
        self._dtype = next((one for one in layers if arrays_of(one)), layers[0]).dtype
        self._kind = helper.np_dtype_to_tensor_dtype(self._dtype)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._numbers: dict[str, int] = {}
        self._taken: set[str] = set()
        self._called = {*names}
        self._states = 0
        self.name = ""
        ordered = [layer for layer in layers if isinstance(layer, _OVER_TIME)]
        self._batch_first = bool(ordered and ordered[0].batch_first)
        self._axes: list[str | int] = ["N", "T"] if self._batch_first else ["T", "N"]
        if not ordered:
            self._axes = ["N"]
        from onnx import TensorProto

        sizes = [found for found in map(sizes_of, layers) if found]
        if isinstance(layers[0], Embedding):
            info = helper.make_tensor_value_info("x", TensorProto.INT64, self._axes)
        else:
            info = self._info("x", [*self._axes, sizes[0][0]])
        self._inputs: list[Any] = [info]
        self._outputs: list[Any] = []
        self._last = sizes[-1][1]
        self._reversed = False
        self._lengths = 0
        self._features = sizes[0][0]
        self.value = "x"

    def graph(self) -> Any:
        """The whole graph, with ``y`` first among the outputs."""
        self._operator("Identity", [self.value], ["y"], "output")
        y = self._info("y", [*self._axes, self._last])
        return self._helper.make_graph(
            self._nodes, "pyrnn", self._inputs, [y, *self._outputs], self._weights
        )

    def linear(self, layer: Linear) -> None:
        """A product over the last axis of any array."""
        prefix = self._prefix("linear")
        self._features = layer.out_features
        weight = self._weight(f"{prefix}.weight", layer.parameters["weight"].T)
        self._node("MatMul", [self.value, weight], prefix)
        if layer.bias:
            bias = self._weight(f"{prefix}.bias", layer.parameters["bias"])
            self._node("Add", [self.value, bias], f"{prefix}_bias")

    def embedding(self, layer: Embedding) -> None:
        """Rows by their numbers."""
        prefix = self._prefix("embedding")
        self._features = layer.embedding_dim
        weight = self._weight(f"{prefix}.weight", layer.parameters["weight"])
        self._node("Gather", [weight, self.value], prefix, axis=0)

    def layer_norm(self, layer: LayerNorm) -> None:
        """Over the last axis."""
        prefix = self._prefix("layer_norm")
        weight = layer.parameters.get("weight", np.ones(layer.normalized_shape, layer.dtype))
        names = [self._weight(f"{prefix}.weight", weight)]
        if "bias" in layer.parameters:
            names.append(self._weight(f"{prefix}.bias", layer.parameters["bias"]))
        inputs = [self.value, *names]
        self._node("LayerNormalization", inputs, prefix, axis=-1, epsilon=layer.eps)

    def batch_norm(self, layer: BatchNorm1d) -> None:
        """With the running averages; ONNX has the channels as the second axis."""
        prefix = self._prefix("batch_norm")
        if not layer.track_running_stats:
            raise ValueError(f"model: ONNX has no batch normalisation without averages: {layer!r}")
        over_time = len(self._axes) == 2
        if over_time:
            self._node("Transpose", [self.value], f"{prefix}_to_channels", perm=[0, 2, 1])
        weight = layer.parameters.get("weight", np.ones(layer.num_features, layer.dtype))
        bias = layer.parameters.get("bias", np.zeros(layer.num_features, layer.dtype))
        arrays = {"weight": weight, "bias": bias, **layer.buffers}
        del arrays["num_batches_tracked"]
        names = [self._weight(f"{prefix}.{name}", array) for name, array in arrays.items()]
        options = {} if layer.momentum is None else {"momentum": 1 - layer.momentum}
        inputs = [self.value, *names]
        self._node("BatchNormalization", inputs, prefix, epsilon=layer.eps, **options)
        if over_time:
            self._node("Transpose", [self.value], f"{prefix}_to_features", perm=[0, 2, 1])

    def last_step(self, layer: LastStep) -> None:
        """The step that each direction computed last."""
        prefix = self._prefix("last_step")
        value, time = self.value, int(self._batch_first)
        made = []
        for name, place in (("end", -1), ("begin", 0)):
            index = self._weight(f"{prefix}.{name}", np.array(place))
            self._node("Gather", [value, index], f"{prefix}_{name}", axis=time)
            made.append(self.value)
        if layer.bidirectional:
            if self._features % 2:
                raise ValueError(
                    f"model: expected an even number of features before {layer!r}, got "
                    f"{self._features}"
                )
            half = self._features // 2
            sizes = self._weight(f"{prefix}.sizes", np.array([half, half]))
            sides = [self._free(f"{prefix}.{number}") for number in range(4)]
            for number, end in enumerate(made):
                names = sides[2 * number : 2 * number + 2]
                self._operator("Split", [end, sizes], names, f"{prefix}_split_{number}", axis=1)
            self._node("Concat", [sides[0], sides[3]], prefix, axis=1)
        else:
            self.value = made[1 if layer.reverse or self._reversed else 0]
        self._axes = ["N"]

    def mean_over_time(self, layer: MeanOverTime) -> None:
        """Of all steps."""
        axes = [int(self._batch_first)]
        self._node("ReduceMean", [self.value], self._prefix("mean"), axes=axes, keepdims=0)
        self._axes = ["N"]

    def recurrent(self, layer: Recurrent) -> None:
        """One node for each level, between the layout of the layer and that of ONNX."""
        kind = plain_cell(layer).partition("_")[0]
        prefix = self._prefix(kind)
        if self._batch_first:
            self._node("Transpose", [self.value], f"{prefix}_to_time", perm=[1, 0, 2])
        names = ("h", "c") if kind == "lstm" else ("h",)
        firsts = [self._first_state(layer, name) for name in names]
        lasts: list[list[str]] = [[] for _ in names]
        for level in range(layer.num_layers):
            states = [parts[level] for parts in firsts]
            for made, last in zip(lasts, self._level(layer, prefix, level, states), strict=True):
                made.append(last)
        if self._batch_first:
            self._node("Transpose", [self.value], f"{prefix}_to_batch", perm=[1, 0, 2])
        for name, parts in zip(names, lasts, strict=True):
            self._last_state(layer, name, parts)
        self._states += 1
        self._reversed = getattr(layer, "reverse", False)
        self._features = layer._features

    # --- parts of a recurrent layer ---------------------------------------------------------

    def _level(self, layer: Recurrent, prefix: str, level: int, states: Sequence[str]) -> list[str]:
        """One operator; the names of its last states."""
        backwards: tuple[bool, ...] = (False, True) if layer.bidirectional else (False,)
        if getattr(layer, "reverse", False):
            backwards = (True,)
        cell = plain_cell(layer)
        settings = settings_of(cell, layer.hidden_size, backwards)
        suffixes = (f"l{level}", f"l{level}_reverse")[: len(backwards)]
        weights = [from_cell(cell, layer._cells[suffix]) for suffix in suffixes]
        name = f"{prefix}_l{level}"
        inputs = [self.value]
        fields: list[tuple[str, Callable[[Weights], Any]]] = [
            ("W", lambda one: one.W),
            ("R", lambda one: one.R),
        ]
        if layer.bias:
            fields.append(("B", lambda one: np.concatenate([one.Wb, one.Rb])))
        for field, pick in fields:
            inputs.append(self._weight(f"{name}.{field}", np.stack([pick(w) for w in weights])))
        if not layer.bias:
            inputs.append("")
        inputs += ["", *states]
        peepholes = [one.P for one in weights if one.P is not None]
        if peepholes:
            inputs.append(self._weight(f"{name}.P", np.stack(peepholes)))
        attributes: dict[str, Any] = {
            "hidden_size": layer.hidden_size,
            "direction": _DIRECTIONS[backwards],
        }
        attributes |= activation_attributes(layer, settings.kind, len(backwards))
        if settings.kind == "GRU":
            attributes["linear_before_reset"] = int(settings.linear_before_reset)
        if settings.input_forget:
            attributes["input_forget"] = 1
        lasts = [self._free(f"{name}.{state}_n") for state in ("h", "c")[: len(states)]]
        self.value = self._free(f"{name}.Y")
        self._operator(settings.kind, inputs, [self.value, *lasts], name, **attributes)
        if len(backwards) == 2 and layer.merge_mode != "concat":
            self._merge(layer.merge_mode, name)
        elif len(backwards) == 2:  # (T, directions, N, H) as (T, N, directions * H)
            self._node("Transpose", [self.value], f"{name}_sides", perm=[0, 2, 1, 3])
            shape = self._weight(f"{name}.shape", np.array([0, 0, -1]))
            self._node("Reshape", [self.value, shape], f"{name}_joined")
        else:
            axes = self._weight(f"{name}.axes", np.array([1]))
            self._node("Squeeze", [self.value, axes], f"{name}_joined")
        return lasts

    def _merge(self, mode: str, name: str) -> None:
        """Both directions, the second axis, as one."""
        if mode == "sum":
            axes = self._weight(f"{name}.axes", np.array([1]))
            self._node("ReduceSum", [self.value, axes], f"{name}_joined", keepdims=0)
        else:
            op = {"mul": "ReduceProd", "ave": "ReduceMean"}[mode]
            self._node(op, [self.value], f"{name}_joined", axes=[1], keepdims=0)

    def _first_state(self, layer: Recurrent, name: str) -> list[str]:
        """The input with all initial states, and the part of it that each level takes."""
        value = f"{name}_0" + (f"_{self._states}" if self._states else "")
        shape: list[str | int] = [layer.num_layers * layer.num_directions, "N", layer.hidden_size]
        self._inputs.append(self._info(value, shape))
        if layer.num_layers == 1:
            return [value]
        parts = [f"{value}.l{level}" for level in range(layer.num_layers)]
        self._operator("Split", [value], parts, f"{value}_split", axis=0)
        return parts

    def _last_state(self, layer: Recurrent, name: str, parts: Sequence[str]) -> None:
        value = f"{name}_n" + (f"_{self._states}" if self._states else "")
        shape: list[str | int] = [layer.num_layers * layer.num_directions, "N", layer.hidden_size]
        self._outputs.append(self._info(value, shape))
        self._operator("Concat", parts, [value], f"{value}_all", axis=0)

    def _other_length(self) -> None:
        """The time axis has another length from here on."""
        self._lengths += 1
        self._axes[1 if self._batch_first else 0] = f"T_{self._lengths}"

    # --- pieces -----------------------------------------------------------------------------

    def _prefix(self, kind: str) -> str:
        """A name for a layer: the given one, or its kind, with a number from the second on."""
        if self.name:
            return self.name
        number = self._numbers[kind] = self._numbers.get(kind, -1) + 1
        return f"{kind}_{number}" if number else kind

    def _free(self, name: str) -> str:
        """A name of a value that no other has, as layers may be called like parts of others."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _info(self, name: str, shape: Sequence[str | int]) -> Any:
        return self._helper.make_tensor_value_info(name, self._kind, list(shape))

    def _weight(self, name: str, array: Array | Any) -> str:
        from onnx import numpy_helper

        name = self._free(name)
        whole = np.ascontiguousarray(array).reshape(np.shape(array))  # of no axes too
        self._weights.append(numpy_helper.from_array(whole, name))
        return name

    def _node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> None:
        made = self._free(f"{name}.out")
        self._operator(op, inputs, [made], name, **attributes)
        self.value = made

    def _operator(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attributes: Any
    ) -> None:
        """A node; one that is a part of a layer leaves the names of layers to these."""
        while name in self._called and name != self.name:
            name += "_"
        self._called.add(name)
        node = self._helper.make_node(op, list(inputs), list(outputs), name=name, **attributes)
        self._nodes.append(node)


_WRITERS: Mapping[type[Layer], Callable[[_Writer, Any], None]] = {
    RNN: _Writer.recurrent,
    LSTM: _Writer.recurrent,
    GRU: _Writer.recurrent,
    Linear: _Writer.linear,
    Embedding: _Writer.embedding,
    LayerNorm: _Writer.layer_norm,
    BatchNorm1d: _Writer.batch_norm,
    Conv1d: windows.convolution,
    MaxPool1d: windows.max_pool,
    InstanceNorm1d: windows.instance_norm,
    Activation: activations.activation,
    Softmax: activations.softmax,
    LastStep: _Writer.last_step,
    MeanOverTime: _Writer.mean_over_time,
}
_KNOWN = ", ".join(kind.__name__ for kind in _WRITERS)
