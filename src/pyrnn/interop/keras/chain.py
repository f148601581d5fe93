"""The layers of a Keras model one behind the other, those without weights as well.

A configuration says how layers follow each other and what each of them does; what no layer of pyrnn
does is named. Keras' ``go_backwards`` gives the steps in the other order, so that layers behind it
run through them from their end; here y is always in the order of x, and these layers are turned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrnn.interop._made import changed
from pyrnn.interop._parts import sizes_of
from pyrnn.interop.keras.others import one, plain_norm
from pyrnn.interop.keras.sources import Configured, inner_layers
from pyrnn.interop.keras.wrappers import activation_name, unwrapped
from pyrnn.interop.onnx.graph import Program
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.pointwise import Activation, Dropout, Softmax
from pyrnn.layers.composition.pooling import LastStep, MeanOverTime
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import MaxPool1d
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.parameters.dictionary import arrays_of

_NOTHING = {
    "InputLayer", "ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "SpatialDropout1D",
}  # fmt: skip
"""Layers that do nothing but in training."""
_OF_EACH_STEP = {
    "Dense", "Embedding", "LayerNormalization", "BatchNormalization", "BatchNormalizationV1",
    "BatchNormalizationV2", "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout",
}  # fmt: skip
"""Layers to which TimeDistributed changes nothing, as they take each step for itself."""
_MOST_NESTING = 20


@dataclass
class Whole:
    """All layers of a file in order; what is left of its model, by name; what else to know.

    ``ordered`` says whether the file tells how layers follow each other. ``program`` is the whole
    model as a graph, or ``fault`` says why it is none.
    """

    layers: dict[str, Layer] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    ordered: bool = True
    program: Program | None = None
    fault: str = ""

    def weighted(self) -> dict[str, Layer]:
        """The layers that have arrays."""
        return {name: layer for name, layer in self.layers.items() if arrays_of(layer)}


def chain(
    model: Mapping[str, Any],
    configured: Mapping[str, Configured],
    functions: Mapping[Any, Any],
    layers: Mapping[str, Layer],
    refused: Mapping[str, str],
) -> Whole:
    """The layers of a model in order, from its configuration and its layers with weights.

    ``functions`` are Keras' activations as layers of pyrnn have them.
    """
    whole = Whole(refused=dict(refused))
    fault = next(_faults(model), None)
    if fault is not None:
        whole.layers = dict(layers)
        whole.left = {"(the model)": fault}
        return whole
    row = _Row(whole, functions)
    for name, layer in configured.items():
        if name in refused:
            continue
        try:
            row.add(name, layer, layers.get(name))
        except (TypeError, ValueError, OverflowError) as error:
            row.leave(name, str(error))
    if row.zeros is not None:
        row.leave(
            list(configured)[-1], "zeros around the steps are read before a convolution alone"
        )
    if row.turned and whole.layers:
        last = list(whole.layers)[-1]
        whole.notes[last] = "y is in the order of x, while Keras gives its steps from the last on"
    return whole


class _Row:
    """Layers as they come; ``turned`` where Keras has the steps in the other order."""

    def __init__(self, whole: Whole, functions: Mapping[Any, Any]) -> None:
        self.whole, self.functions = whole, functions
        self.turned = False
        self.zeros: tuple[int, int] | None = None
        self.sides: dict[tuple[str, ...], bool] = {}

    def add(self, name: str, configured: Configured, layer: Layer | None) -> None:
        """The layers that one of Keras is."""
        wrapped = list(unwrapped(configured.class_name, configured.config))
        (class_name, config), around = wrapped[-1], dict(wrapped[:-1])
        zeros, self.zeros = self.zeros, None
        if zeros is not None and not isinstance(layer, Conv1d):
            self.leave(name, _ZEROS)
        if configured.side:
            self._side(name, configured, layer)
            return
        if "TimeDistributed" in around and class_name not in _OF_EACH_STEP:
            self.leave(name, f"no layer of pyrnn is a TimeDistributed {class_name}")
            return
        if isinstance(layer, Recurrent):
            self._recurrent(
                name, layer, config | around.get("RNN", {}), around.get("Bidirectional")
            )
            return
        if layer is not None:
            if isinstance(layer, Conv1d):
                layer = self._convolution(name, layer, zeros)
            self.put(name, layer)
            if config.get("mask_zero"):
                self.whole.notes[name] = "no mask is made of index 0: pass mask= or lengths="
            self._activation(name, config, f"{name}_activation")
            return
        make = _WITHOUT_WEIGHTS.get(class_name)
        if class_name in _NOTHING:
            return
        if class_name in ("LayerNormalization", "GroupNormalization"):
            norm = plain_norm(class_name, config, *self._size())
            if norm is not None:
                self.put(name, norm)
                return
        if make is None:
            self.leave(name, f"no layer of pyrnn is a {class_name}")
            return
        make(self, name, config)

    def _size(self) -> tuple[int | None, Any]:
        """The number of features so far, and their dtype."""
        for layer in reversed(self.whole.layers.values()):
            sizes = sizes_of(layer)
            if sizes is not None:
                return sizes[1], layer.dtype
        return None, None

    def put(self, name: str, layer: Layer) -> None:
        """One layer behind the others."""
        while name in self.whole.layers:
            name += "_"
        self.whole.layers[name] = layer

    def leave(self, name: str, reason: str) -> None:
        """What no layer does."""
        self.whole.left[name] = reason

    def _activation(self, name: str, config: Mapping[str, Any], label: str) -> None:
        function = activation_name(config.get("activation"))
        if function == "softmax":
            self.put(label, Softmax())
        elif function in self.functions and function != "linear":
            self.put(label, Activation(self.functions[function]))
        elif function != "linear":
            self.leave(name, f"no layer of pyrnn is its activation {function}")

    def _convolution(self, name: str, layer: Conv1d, zeros: tuple[int, int] | None) -> Conv1d:
        """With the zeros that a layer before it puts around the steps."""
        if self.turned:
            self.leave(name, _TURNED)
        if zeros is None or layer.padding == zeros[0] == zeros[1]:
            return layer
        padding: Any = zeros[0] if zeros[0] == zeros[1] else "causal"
        if layer.padding not in (0, "valid") or (padding == "causal" and zeros != (layer.reach, 0)):
            self.leave(name, f"no convolution of pyrnn has {zeros[0]} and {zeros[1]} zeros around")
            return layer
        return changed(layer, {"padding": padding})

    # --- recurrent layers -------------------------------------------------------------------

    def _recurrent(self, name: str, layer: Recurrent, config: Mapping[str, Any], both: Any) -> None:
        if config.get("return_state") or config.get("time_major"):
            option = "return_state" if config.get("return_state") else "time_major"
            self.leave(name, f"{option} is not read")
        if both is not None:
            if both.get("merge_mode", "concat") is None:
                self.leave(name, "its directions are joined in another way")
            layer = self._both(name, layer)
        elif self.turned:
            layer = changed(layer, {"reverse": not layer.reverse})
        self.put(name, layer)
        if both is None:
            self.turned = layer.reverse
        if config.get("return_sequences"):
            return
        if both is not None and layer.merge_mode != "concat":
            self.leave(name, "its last steps are merged by " + layer.merge_mode)
        options = {"bidirectional": layer.bidirectional, "reverse": layer.reverse}
        self.put(f"{name}_last", LastStep(batch_first=True, **options))
        self.turned = False

    def _both(self, name: str, layer: Recurrent) -> Recurrent:
        """Both directions, changed round where Keras has the steps in the other order."""
        if not self.turned:
            return layer
        if layer.merge_mode == "concat":
            self.leave(name, _TURNED)
            return layer
        return swapped(layer)

    def _side(self, name: str, configured: Configured, layer: Layer | None) -> None:
        """A cell of one of two directions that are several layers; all of them read x's steps."""
        self.leave(name, "it belongs to one of two directions that are different layers")
        if not isinstance(layer, Recurrent):
            return
        key = (*configured.path[:-1], configured.side)
        if self.sides.setdefault(key, layer.reverse) and not layer.reverse:
            layer = changed(layer, {"reverse": True})
        self.put(name, layer)

    # --- layers without weights -------------------------------------------------------------

    def activation(self, name: str, config: Mapping[str, Any]) -> None:
        """Activation."""
        self._activation(name, config, name)

    def relu(self, name: str, config: Mapping[str, Any]) -> None:
        """ReLU, the plain one or with a slope below 0."""
        slope = config.get("negative_slope") or 0.0
        if config.get("max_value") or config.get("threshold"):
            self.leave(name, "no layer of pyrnn is a ReLU with a largest value or a threshold")
        else:
            self.put(name, Activation(("leaky_relu", slope) if slope else "relu"))

    def leaky_relu(self, name: str, config: Mapping[str, Any]) -> None:
        """LeakyReLU, whose slope was called alpha before Keras 3."""
        slope = config.get("negative_slope", config.get("alpha", 0.3))
        self.put(name, Activation(("leaky_relu", slope)))

    def softmax(self, name: str, config: Mapping[str, Any]) -> None:
        """Softmax, along the last axis."""
        if config.get("axis", -1) in (-1, [-1]):
            self.put(name, Softmax())
        else:
            self.leave(name, "no layer of pyrnn is a Softmax along another axis than the last")

    def elu(self, name: str, config: Mapping[str, Any]) -> None:
        """ELU."""
        self.put(name, Activation(("elu", config.get("alpha", 1.0))))

    def dropout(self, name: str, config: Mapping[str, Any]) -> None:
        """Dropout, which acts in training alone."""
        self.put(name, Dropout(float(config.get("rate", config.get("p", 0.5)))))

    def mean(self, name: str, config: Mapping[str, Any]) -> None:
        """GlobalAveragePooling1D."""
        if config.get("keepdims") or _channels_first(config):
            self.leave(name, "no layer of pyrnn is a mean over time with keepdims")
            return
        self.put(name, MeanOverTime(batch_first=True))
        self.turned = False

    def max_pool(self, name: str, config: Mapping[str, Any]) -> None:
        """MaxPooling1D."""
        if config.get("padding", "valid") != "valid" or _channels_first(config):
            self.leave(name, "no layer of pyrnn is a MaxPooling1D with padding")
            return
        if self.turned:
            self.leave(name, _TURNED)
        size = one(config, "pool_size" if "pool_size" in config else "pool_length", 2)
        stride = one(config, "strides", size) if config.get("strides") else size
        self.put(name, MaxPool1d(size, stride, batch_first=True))

    def zero_padding(self, name: str, config: Mapping[str, Any]) -> None:
        """ZeroPadding1D, which the convolution behind it has as its own."""
        sizes = config.get("padding", 1)
        pair = (sizes, sizes) if type(sizes) is int else tuple(sizes)
        if len(pair) != 2 or any(type(size) is not int or size < 0 for size in pair):
            raise ValueError("padding: expected two whole numbers")
        self.zeros = pair

    def masking(self, name: str, config: Mapping[str, Any]) -> None:
        """Masking: masks are arguments here."""
        self.whole.notes[name] = "masks are no layer here: pass mask= or lengths="


_ZEROS = "zeros around the steps are read before a convolution alone"
_TURNED = "it comes behind go_backwards, with its steps in the other order"
_WITHOUT_WEIGHTS: Mapping[Any, Callable[[_Row, str, Mapping[str, Any]], None]] = {
    "Activation": _Row.activation,
    "ReLU": _Row.relu,
    "LeakyReLU": _Row.leaky_relu,
    "ELU": _Row.elu,
    "Softmax": _Row.softmax,
    "Dropout": _Row.dropout,
    "GlobalAveragePooling1D": _Row.mean,
    "MaxPooling1D": _Row.max_pool,
    "Masking": _Row.masking,
    "ZeroPadding1D": _Row.zero_padding,
}


def _channels_first(config: Mapping[str, Any]) -> bool:
    return bool(config.get("data_format", "channels_last") != "channels_last")


def swapped(layer: Recurrent) -> Recurrent:
    """A layer of two directions whose weights have changed places."""
    other = changed(layer, {})
    for name, array in layer.parameters.items():
        twin = name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"
        other.parameters[twin] = array
    return other


# --- how layers follow each other -----------------------------------------------------------


def _faults(model: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Why a model, or one in it, is not one layer behind the other."""
    layers = inner_layers(model)
    if depth < _MOST_NESTING:
        for layer in layers:
            if inner_layers(layer):
                yield from _faults(layer, depth + 1)
            config = layer.get("config")
            wrapped = config.get("layer") if isinstance(config, dict) else None
            if isinstance(wrapped, dict) and inner_layers(wrapped):
                yield "no layer of pyrnn is a TimeDistributed model"
    if model.get("class_name") not in ("Functional", "Model"):
        return
    before: str | None = None
    for layer in layers:
        name = layer.get("name")
        given = list(_inbound(layer.get("inbound_nodes"), 0))
        if given != ([] if before is None else [before]):
            takes = ", ".join(dict.fromkeys(given)) or "an input"
            yield f"its layers do not follow one another: {name} takes {takes}"
        before = str(name)
    config = model.get("config")
    ends = list(_names(config.get("output_layers"), 0)) if isinstance(config, dict) else []
    if ends != [before]:
        yield f"its layers do not follow one another: the outputs are those of {', '.join(ends)}"


def _inbound(value: Any, depth: int) -> Iterator[str]:
    """The layers that a layer's inputs come from, in the form of Keras 3 or of those before."""
    if depth > _MOST_NESTING:
        return
    if isinstance(value, dict):
        history = value.get("keras_history")
        if isinstance(history, list) and history:
            yield str(history[0])
            return
        for inner in value.values():
            yield from _inbound(inner, depth + 1)
    elif isinstance(value, list):
        if _is_place(value):
            yield str(value[0])
            value = value[3:]
        for inner in value:
            yield from _inbound(inner, depth + 1)


def _names(value: Any, depth: int) -> Iterator[str]:
    if not isinstance(value, list) or depth > _MOST_NESTING:
        return
    if _is_place(value):
        yield str(value[0])
        return
    for inner in value:
        yield from _names(inner, depth + 1)


def _is_place(value: list[Any]) -> bool:
    """Whether a list is a layer's name and two numbers."""
    return len(value) >= 3 and isinstance(value[0], str) and all(type(n) is int for n in value[1:3])
