"""Which layers a model of Keras calls, with what, in an order in which they can be computed.

A functional model says for each call of a layer where its arguments come from; the form differs
between Keras 3 and those before. The layers of a Sequential model follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.interop.keras.hdf5 import ContentError
from pyrnn.interop.keras.sources import MOST_NESTING, inner_layers, named_layers

SEQUENTIAL = "Sequential"
_INPUTS = "InputLayer"


class Place(NamedTuple):
    """One output of one call of a layer."""

    layer: str
    call: int
    output: int


class Call(NamedTuple):
    """A call of a layer: its description, its place, its arguments.

    ``arguments`` are places and numbers in order; ``options`` are those by name, among them
    ``mask``, which may be a place.
    """

    name: str
    layer: Mapping[str, Any]
    number: int
    arguments: Sequence[Any]
    options: Mapping[str, Any]


class Network(NamedTuple):
    """The calls of a model in order, the names of its inputs, the places of its outputs."""

    calls: Sequence[Call]
    inputs: Sequence[str]
    outputs: Sequence[Place]


def network(model: Mapping[str, Any]) -> Network:
    """The calls of a functional or a Sequential model, without those of the models in it."""
    if model.get("class_name") == SEQUENTIAL:
        return _sequential(model)
    if model.get("class_name") in ("Functional", "Model"):
        return _functional(model)
    raise ContentError(f"no graph is made of a model of class {str(model.get('class_name'))[:50]}")


# --- Sequential -----------------------------------------------------------------------------


def _sequential(model: Mapping[str, Any]) -> Network:
    layers = [(name, layer) for _, name, layer in named_layers(model)]
    if not layers:
        raise ContentError("expected at least one layer in a Sequential model, got none")
    calls: list[Call] = []
    if layers[0][1]["class_name"] != _INPUTS:
        shape = _input_shape(model, layers[0][1])
        config = {"name": "input", "batch_shape": shape}
        layers.insert(0, ("input", {"class_name": _INPUTS, "config": config}))
    before: Place | None = None
    names: dict[str, int] = {}
    for name, layer in layers:
        number = names[name] = names.get(name, -1) + 1
        calls.append(Call(name, layer, number, [] if before is None else [before], {}))
        before = Place(name, number, 0)
    assert before is not None
    return Network(calls, [layers[0][0]], [before])


def _input_shape(model: Mapping[str, Any], first: Mapping[str, Any]) -> Any:
    """The shape of what comes in, of a Sequential model without an InputLayer."""
    config = model.get("config")
    shapes = [config.get("build_input_shape")] if isinstance(config, dict) else []
    for _ in range(MOST_NESTING):
        inner = first.get("config")
        if not isinstance(inner, dict):
            break
        shapes.append(inner.get("batch_input_shape", inner.get("batch_shape")))
        if "input_length" in inner and first.get("class_name") == "Embedding":
            shapes.append([None, inner["input_length"]])
        wrapped = inner.get("layer")
        nested = inner_layers(first)
        first = wrapped if isinstance(wrapped, dict) else nested[0] if nested else {}
    return next((shape for shape in shapes if isinstance(shape, list)), None)


# --- functional -----------------------------------------------------------------------------


def _functional(model: Mapping[str, Any]) -> Network:
    config = model.get("config")
    if not isinstance(config, dict):
        raise ContentError("expected a functional model with a configuration, got another")
    found: dict[tuple[str, int], Call] = {}
    for _, name, layer in named_layers(model):
        nodes = layer.get("inbound_nodes", [])
        if not isinstance(nodes, list):
            raise ContentError(f"{name}: inbound_nodes: expected a list")
        for number, node in enumerate(nodes or ([[]] if layer["class_name"] == _INPUTS else [])):
            arguments, options = _arguments(node)
            found[name, number] = Call(name, layer, number, arguments, options)
    after = {
        key: {(place.layer, place.call) for place in _places_in([*call.arguments, call.options])}
        for key, call in found.items()
    }
    try:
        order = list(TopologicalSorter(after).static_order())
    except CycleError as error:
        raise ContentError("expected layers that do not go in a circle") from error
    for key in order:
        if key not in found:
            raise ContentError(f"expected a call of each layer, got none of {str(key[0])[:50]!r}")
    inputs = [place.layer for place in listed(config.get("input_layers"))]
    outputs = list(listed(config.get("output_layers")))
    if not inputs or not outputs:
        raise ContentError("expected inputs and outputs of a functional model, got none")
    return Network([found[key] for key in order], inputs, outputs)


def _places_in(value: Any) -> Iterator[Place]:
    if isinstance(value, Place):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _places_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from _places_in(one)


def listed(value: Any, depth: int = 0) -> Iterator[Place]:
    """The places in lists of ["layer", call, output], however they are nested."""
    if depth > MOST_NESTING:
        return
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return
    if is_place(value):
        yield Place(value[0], value[1], value[2])
        return
    for one in value:
        yield from listed(one, depth + 1)


def is_place(value: Any) -> bool:
    """Whether a list is a layer's name and two numbers."""
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and all(type(number) is int for number in value[1:3])
    )


def _arguments(node: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of one call, those in lists one after the other, and those by name."""
    if isinstance(node, dict):  # Keras 3
        options = node.get("kwargs")
        named = {
            str(key): _value(one, 0)
            for key, one in (options.items() if isinstance(options, dict) else ())
        }
        return list(flat(_value(node.get("args", []), 0))), named
    arguments: list[Any] = []
    named = {}
    alone = isinstance(node, list) and len(node) >= 3 and isinstance(node[0], str)
    for one in [node] if alone else node if isinstance(node, list) else []:
        is_constant = isinstance(one, list) and len(one) >= 3 and one[0] == "_CONSTANT_VALUE"
        if not is_constant and not is_place(one):
            raise ContentError("inbound_nodes: expected a layer's name and two numbers")
        arguments.append(one[2] if is_constant else Place(one[0], one[1], one[2]))
        for key, given in one[3].items() if len(one) > 3 and isinstance(one[3], dict) else ():
            places = list(listed(given))
            named[str(key)] = places if places else given
    return arguments, named


def _array(config: Mapping[str, Any]) -> Array:
    """An array among the arguments, which a configuration has as numbers in lists."""
    try:
        array = np.array(config.get("value"), np.dtype(str(config.get("dtype"))))
    except (TypeError, ValueError) as error:
        raise ContentError("expected an array of numbers as an argument") from error
    if array.dtype.kind not in "biuf":
        raise ContentError(f"expected an array of numbers as an argument, got {array.dtype}")
    return array


def flat(value: Any) -> Iterator[Any]:
    """What is in lists, one after the other."""
    if isinstance(value, list):
        for one in value:
            yield from flat(one)
    else:
        yield value


def _value(value: Any, depth: int) -> Any:
    """A value of Keras 3 with the places of its tensors."""
    if depth > MOST_NESTING:
        raise ContentError(f"expected arguments nested at most {MOST_NESTING} deep")
    if isinstance(value, list):
        return [_value(one, depth + 1) for one in value]
    if isinstance(value, dict):
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        if isinstance(history, list) and is_place(history):
            return Place(history[0], history[1], history[2])
        if value.get("class_name") == "__numpy__" and isinstance(config, dict):
            return _array(config)
        return {str(key): _value(one, depth + 1) for key, one in value.items()}
    return value
