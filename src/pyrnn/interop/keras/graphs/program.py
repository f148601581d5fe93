"""A whole model of Keras as a graph: each call of a layer as nodes of ONNX's operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn import _warnings
from pyrnn._types import Array
from pyrnn.interop.keras.archive import Archive
from pyrnn.interop.keras.graphs import activations, attention, merging
from pyrnn.interop.keras.graphs.arguments import Given, given_to, of
from pyrnn.interop.keras.graphs.builder import OPSET, Builder, Shape, Tensor
from pyrnn.interop.keras.graphs.network import Call, Network, Place, network
from pyrnn.interop.keras.graphs.operations.of_keras import is_operation, operation
from pyrnn.interop.keras.graphs.operations.of_tensorflow import LAMBDAS, translated
from pyrnn.interop.keras.graphs.recurrent import Options, recurrent, several
from pyrnn.interop.keras.graphs.table import (
    MAY_BE_EMPTY,
    MOVING,
    NO_ACTIVATION,
    POINTWISE,
    WEIGHTED,
)
from pyrnn.interop.keras.hdf5 import ContentError
from pyrnn.interop.keras.sources import (
    MOST_NESTING,
    Source,
    configured_in,
    inner_layers,
    named,
    sides_of,
)
from pyrnn.interop.keras.wrappers import is_old, unwrapped
from pyrnn.interop.onnx.graph import Graph, Node, Program, Value
from pyrnn.layers._layer import Layer
from pyrnn.layers.recurrent._stack import Recurrent

MOST_CALLS = 20_000
"""Of layers, those of models that are called several times counted each time."""
_OF_TRAINING = {
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "Identity", "SpatialDropout1D", "SpatialDropout2D",
}  # fmt: skip
"""Layers that change nothing but in training."""
_KEEPS_MASK = {
    "Activation", "BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2", "Dense",
    "ELU", "GroupNormalization", "LayerNormalization", "LeakyReLU", "Normalization", "PReLU",
    "ReLU", "RMSNormalization", "Softmax", "ThresholdedReLU", "UnitNormalization", *_OF_TRAINING,
}  # fmt: skip
_RECURRENT = ("SimpleRNN", "LSTM", "GRU", "CuDNNLSTM", "CuDNNGRU", "RNN", "Bidirectional")
_PREFIXES = ("Custom>", "keras.layers.")

Config = Mapping[str, Any]


def program(
    archive: Archive,
    found: Sequence[Source],
    layers: Mapping[str, Layer],
    refused: Mapping[str, str],
) -> Program:
    """The graph of a file's model.

    ``found`` are its layers with weights, ``layers`` those of them that are layers of pyrnn.

    Raises
    ------
    ContentError
        If a layer has no operators, or the model contradicts itself; the message names the layer.
    """
    if archive.config is None:
        raise ContentError("expected a configuration, got weights alone")
    arrays = [array for source in found for side in source.arrays for array in side]
    wide = bool(arrays) and all(array.dtype == np.float64 for array in arrays)
    dtype: np.dtype[Any] = np.dtype(np.float64 if wide else np.float32)
    maker = _Maker(Builder(dtype, is_old(archive.version)), archive, found)
    maker.layers, maker.refused = layers, refused
    with _warnings.unwarned():  # of weights that are computed
        return maker.program(archive.config)


class _Maker:
    """Calls layers with arrays of the graph, the models in a model with those of their inputs."""

    layers: Mapping[str, Layer]
    refused: Mapping[str, str]

    def __init__(self, builder: Builder, archive: Archive, found: Sequence[Source]) -> None:
        self.builder = builder
        self.version = archive.version
        self.names = {layer.path: name for name, layer in named(configured_in(archive)).items()}
        self.sources = {source.name: source for source in found}
        self.inputs: list[Value] = []
        self.calls = 0
        self._networks: dict[int, Network] = {}

    def program(self, model: Config) -> Program:
        """The whole graph; its inputs and outputs have the names of the model's layers."""
        whole = network(model)
        indices = _only_indices(model, whole)
        given: list[Tensor] = []
        layers = {call.name: call.layer for call in whole.calls}
        for name in whole.inputs:
            given.append(self._input(name, layers.get(name, {}), name in indices))
        results = self._model(whole, (), given)
        outputs = []
        for place, tensor in zip(whole.outputs, results, strict=True):
            self.builder.scope = ""
            label = self.builder.unique(f"{place.layer}:{place.output}" if place.output else
                                        place.layer)  # fmt: skip
            self._end(tensor.name, label)
            outputs.append(Value(label, self.builder.dtype, tensor.shape))
        graph = Graph(
            str(_config(model).get("name", "model")),
            tuple(self.inputs),
            tuple(outputs),
            self.builder.constants,
            tuple(self.builder.nodes),
        )
        version = f"Keras {self.version}" if self.version else "Keras"
        return Program(graph, OPSET, {"source": version})

    def _input(self, name: str, layer: Config, index: bool) -> Tensor:
        """An input of the graph: indices as int64, which is NumPy's usual dtype of them."""
        config = _config(layer)
        shape = _shape(config.get("batch_shape", config.get("batch_input_shape")), name)
        label = self.builder.unique(name)
        dtype = np.dtype(np.int64) if index else self.builder.dtype
        self.inputs.append(Value(label, dtype, shape))
        return Tensor(label, shape, None, "int" if index else "float")

    def _end(self, value: str, label: str) -> None:
        """Give a value the name of an output."""
        self.builder.nodes.append(Node("Identity", label, (value,), (label,)))

    # --- models -----------------------------------------------------------------------------

    def _model(
        self, whole: Network, around: tuple[str, ...], given: Sequence[Tensor]
    ) -> list[Tensor]:
        """The outputs of a model for these inputs."""
        if len(around) > MOST_NESTING or len(given) != len(whole.inputs):
            raise ContentError(f"expected a model of {len(given)} inputs, not nested too deep")
        values: dict[Place, Tensor] = {}
        starts = dict(zip(whole.inputs, given, strict=True))
        self.calls += len(whole.calls)
        if self.calls > MOST_CALLS:
            raise ContentError(f"expected at most {MOST_CALLS} calls of layers")
        for call in whole.calls:
            if call.name in starts and call.layer["class_name"] == "InputLayer":
                values[Place(call.name, call.number, 0)] = starts[call.name]
                continue
            try:
                made = self._call(call, around, values)
            except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
                name = "/".join((*around, call.name))
                said = str(error) if isinstance(error, ValueError) else "its options do not fit"
                raise ContentError(said if ": " in said[:80] and around else f"{name}: {said}") \
                    from error  # fmt: skip
            for output, tensor in enumerate(made):
                values[Place(call.name, call.number, output)] = tensor
        return [of(values, place) for place in whole.outputs]

    def _network(self, model: Config) -> Network:
        """The calls of a model in the model, found once."""
        if id(model) not in self._networks:
            self._networks[id(model)] = network(model)
        return self._networks[id(model)]

    def _call(
        self, call: Call, around: tuple[str, ...], values: Mapping[Place, Tensor]
    ) -> list[Tensor]:
        path = (*around, call.name)
        self.builder.scope = "/".join(path)
        class_name = str(call.layer["class_name"])
        for prefix in _PREFIXES:
            class_name = class_name.removeprefix(prefix)
        config = _config(call.layer)
        given = given_to(self.builder, call, values)
        if inner_layers(call.layer):
            given.check(())
            return self._model(self._network(call.layer), path, given.tensors)
        if class_name in LAMBDAS:
            kind, named, arguments = translated(
                class_name, config, given.arguments, given.options)  # fmt: skip
            made = operation(self.builder, kind, named, arguments)
            if made is not None:
                return made
        if is_operation(self.builder, call.layer):
            made = operation(self.builder, class_name, {**config, **given.options}, given.arguments)
            if made is not None:
                return made
        if class_name in merging.ELEMENTWISE:
            given.check(())
            return [merging.elementwise(self.builder, class_name, given.arguments)]
        return self.layer(class_name, config, path, given)

    # --- layers -----------------------------------------------------------------------------

    def layer(
        self, class_name: str, config: Config, path: tuple[str, ...], given: Given
    ) -> list[Tensor]:
        """The outputs of one layer."""
        tensors = given.tensors
        x = tensors[0]
        if class_name in attention.SCORES or class_name == attention.HEADS:
            return self._attention(class_name, config, path, given)
        given.check(())
        if class_name in _RECURRENT:
            x, *states = tensors
            unseen = bool(states) and not (given.masked or self.builder.old)
            if not unseen:
                return self._recurrent(class_name, config, path, tensors)
            # Keras 3 does not pass the mask of x on to a call with initial states, but y has it.
            y, *more = self._recurrent(class_name, config, path, [x._replace(mask=None), *states])
            return [y._replace(mask=x.mask if len(y.shape) == 3 else None), *more]
        if class_name == "TimeDistributed":
            return [self._each_step(config, path, x)]
        if class_name == "Concatenate":
            return [merging.concatenate(self.builder, config, tensors)]
        if class_name == "Dot":
            return [merging.dot(self.builder, config, tensors)]
        y = self._one(class_name, config, path, x)
        if y.mask is None and class_name in _KEEPS_MASK:
            y = y._replace(mask=x.mask)
        return [y]

    def _attention(
        self, class_name: str, config: Config, path: tuple[str, ...], given: Given
    ) -> list[Tensor]:
        given.check(("use_causal_mask", "return_attention_scores"))
        causal, scores = (
            bool(given.options.get(name)) for name in ("use_causal_mask", "return_attention_scores")
        )
        call = attention.Call(causal, scores, given.allowed)
        if class_name == attention.HEADS:
            source = self.sources.get(self.names.get(path, ""))
            sides, parts = ((), ()) if source is None else (source.arrays, source.parts)
            heads = attention.heads_of(config, sides, parts)
            return attention.multi_head(self.builder, config, given.tensors, heads, call)
        arrays = self._arrays(path, class_name)
        if given.allowed is not None:
            raise ContentError("attention_mask: expected masks of the query and of the value")
        return attention.attention(
            self.builder, class_name, config, given.tensors, arrays, call)  # fmt: skip

    def _one(self, class_name: str, config: Config, path: tuple[str, ...], x: Tensor) -> Tensor:
        """The output of a layer of one input."""
        builder = self.builder
        if class_name in _OF_TRAINING:
            return x
        if class_name in POINTWISE:
            return x._replace(name=POINTWISE[class_name](builder, config, x))
        if class_name in MOVING:
            return MOVING[class_name](builder, config, x)
        if class_name == "Activation":
            return self._activated(config, x)
        if class_name == "Masking":
            value = config.get("mask_value", 0.0)
            flags = merging.any_of(builder, merging.differs(builder, x, value), -1)
            kept = builder.op("Unsqueeze", flags, builder.integers(len(x.shape) - 1))
            kept = builder.op("Where", kept, x.name, builder.number(0.0))
            return Tensor(kept, x.shape, flags)
        if class_name in WEIGHTED:
            arrays = self._arrays(path, class_name)
            y = WEIGHTED[class_name](builder, config, x, arrays)
            return self._activated(config, y) if class_name not in NO_ACTIVATION else y
        code = ", which is Python code" if class_name == "Lambda" else ""
        raise ContentError(f"no graph is made of a {class_name[:80]}{code}")

    def _activated(self, config: Config, x: Tensor) -> Tensor:
        value = config.get("activation")
        return x._replace(name=activations.activation(self.builder, value, x.name, self.version))

    def _arrays(self, path: tuple[str, ...], class_name: str) -> Sequence[Array]:
        source = self.sources.get(self.names.get(path, ""))
        if source is None or not source.arrays:
            if class_name in MAY_BE_EMPTY:
                return []
            raise ContentError("expected weights of it in the file, got none")
        return source.arrays[0]

    def _each_step(self, config: Config, path: tuple[str, ...], x: Tensor) -> Tensor:
        """A layer of each step: all steps of all sequences as one batch."""
        inner = config.get("layer")
        if not isinstance(inner, dict) or len(x.shape) < 3:
            raise ContentError("expected a layer inside of TimeDistributed, and sequences")
        builder = self.builder
        sizes = builder.op("Shape", x.name)
        behind = builder.sliced(sizes, 0, 2, len(x.shape))
        shape = builder.op("Concat", builder.integers(-1), behind, axis=0)
        steps = Tensor(builder.op("Reshape", x.name, shape), (None, *x.shape[2:]))
        if inner_layers(inner):
            (y,) = self._model(self._network(inner), path, [steps])
        else:
            given = Given([steps], {})
            (y,) = self.layer(str(inner.get("class_name")), _config(inner), path, given)
        builder.scope = "/".join(path)
        before = builder.sliced(sizes, 0, 0, 2)
        made = builder.sliced(builder.op("Shape", y.name), 0, 1, len(y.shape))
        whole = builder.op("Concat", before, made, axis=0)
        value = builder.op("Reshape", y.name, whole)
        return Tensor(value, (*x.shape[:2], *y.shape[1:]), x.mask)

    # --- recurrent layers -------------------------------------------------------------------

    def _recurrent(
        self, class_name: str, config: Config, path: tuple[str, ...], tensors: Sequence[Tensor]
    ) -> list[Tensor]:
        wrapped = list(unwrapped(class_name, config))
        around = dict(wrapped[:-1])
        options: Config = around.get("RNN", wrapped[-1][1])
        if options.get("time_major"):
            raise ContentError("time_major is not implemented")
        both = around.get("Bidirectional")
        sequences = bool(options.get("return_sequences"))
        returned = Options(
            sequences,
            bool(options.get("return_state")),
            both is not None and both.get("merge_mode", "concat") is None,
            sequences if both is not None else bool(options.get("zero_output_for_mask")),
        )
        sides = sides_of(path, class_name, config)
        if len(sides) == 1 and len(sides[0]) == 1:
            layer = self._layer_of(path if len(sides[0][0]) == len(path) else sides[0][0])
            return recurrent(self.builder, layer, tensors[0], tensors[1:], returned)
        mode = None if both is None else both.get("merge_mode", "concat")
        cells = [[("/".join(cell), self._layer_of(cell)) for cell in side] for side in sides]
        return several(self.builder, cells, mode, tensors[0], tensors[1:], returned)

    def _layer_of(self, path: tuple[str, ...]) -> Recurrent:
        name = self.names.get(path, "")
        layer = self.layers.get(name)
        if not isinstance(layer, Recurrent):
            raise ContentError(self.refused.get(name, "expected weights of it in the file"))
        return layer


# --- what configurations say ----------------------------------------------------------------


def _config(layer: Config) -> Config:
    config = layer.get("config")
    return config if isinstance(config, dict) else {}


def _shape(given: Any, name: str) -> Shape:
    """The shape of an input, of which the batch may have any size."""
    if not isinstance(given, list) or len(given) < 2:
        raise ContentError(f"{name}: expected a model that says the shape of its inputs")
    if not all(size is None or (type(size) is int and size > 0) for size in given):
        raise ContentError(f"{name}: expected sizes in the shape, got {str(given)[:50]}")
    return (None, *given[1:])


def _only_indices(model: Config, whole: Network) -> set[str]:
    """The inputs that nothing but embeddings and masks take."""
    readers: dict[str, list[str]] = {name: [] for name in whole.inputs}
    for call in whole.calls:
        kind = _first_class(call.layer)
        for one in call.arguments:
            if isinstance(one, Place) and one.layer in readers:
                readers[one.layer].append(kind)
    return {
        name for name, kinds in readers.items()
        if "Embedding" in kinds and set(kinds) <= {"Embedding", "NotEqual"}
    }  # fmt: skip


def _first_class(layer: Config) -> str:
    """The class of the layer that takes a layer's input, which models and wrappers have inside."""
    for _ in range(MOST_NESTING):
        nested = [one for one in inner_layers(layer) if one.get("class_name") != "InputLayer"]
        inner = _config(layer).get("layer")
        if nested:
            layer = nested[0]
        elif layer.get("class_name") == "TimeDistributed" and isinstance(inner, dict):
            layer = inner
        else:
            break
    return str(layer.get("class_name"))
