"""What `pyrnn convert` writes: several layers, or a whole model, in one ``.safetensors`` file.

One layer alone is a file of `pyrnn.interop.serialization`. Both forms here have the same one key of
metadata and another kind in it: ``Layers`` has a description for each layer and tensors named
"layer/parameter"; ``Graph`` has a model's nodes and tensors by number. Reading either needs NumPy
alone, runs nothing, and is bounded by the file's size.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import numpy as np

from pyrnn import _checks
from pyrnn._files import AnyPath, checked_path, open_regular, shown, write_atomically
from pyrnn._imports import extras
from pyrnn._types import ActivationFormat, Storage, WeightFormat
from pyrnn.interop import _safetensors, _saved_arguments, _stored, serialization
from pyrnn.interop._made import made_of, one_line
from pyrnn.interop._safetensors import Contents, FormatError, Tensor
from pyrnn.interop.onnx.graph import (
    AnyArray,
    Graph,
    GraphError,
    Node,
    Program,
    Value,
    checked_operator,
)
from pyrnn.interop.onnx.model import Model
from pyrnn.interop.serialization import ModelFileError
from pyrnn.layers import _options
from pyrnn.layers._layer import Layer
from pyrnn.parameters import dictionary, formats

VERSION = 1
_KEY = "pyrnn"
MOST_DESCRIPTION = 1 << 24
MOST_DEPTH = 60
_DTYPES = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "BOOL": np.bool_,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_INPUTS = {dtype.name: dtype for dtype in _NAMES}


class ContentError(ValueError):
    """A sound file that holds no layers and no graph; the message is one line."""


# --- writing --------------------------------------------------------------------------------


def save_layers(
    layers: Mapping[str, Layer],
    path: AnyPath,
    weights: WeightFormat | None = None,
    activations: ActivationFormat | None = None,
) -> None:
    """Write several layers by name; their matrices in a narrow format, if one is named.

    ``activations`` are what ``eval(weights="int8")`` of the loaded layers takes.

    Raises
    ------
    TypeError
        If a layer is of a kind that model files do not hold.
    ValueError
        If a parameter is not finite, or the format is none of a layer.
    """
    described: list[dict[str, Any]] = []
    tensors: dict[str, AnyArray] = {}
    storage: Storage = "full"
    for name, layer in layers.items():
        described.append({"name": name, **serialization._describe(layer)})
        arrays = dictionary.arrays_of(layer)
        _stored.check_finite(arrays)
        noted = layer._int8_activations
        storage = formats.storage_in_file(weights, layer.dtype, activations, noted)
        formats.check_range(storage, arrays)
        own = _stored.tensors(arrays, storage)
        tensors |= {f"{name}/{key}": array for key, array in own.items()}
    _write(path, "Layers", {"layers": described}, tensors, storage)


def save_model(program: Program, path: AnyPath) -> None:
    """Write a whole graph, which `load` gives back as a `Model` that needs NumPy alone."""
    tensors: dict[str, AnyArray] = {}
    described = {"opset": program.opset, "graph": _described(program.graph, tensors)}
    _write(path, "Graph", described, tensors)


def _write(
    path: AnyPath,
    kind: str,
    arguments: Mapping[str, Any],
    tensors: Mapping[str, AnyArray],
    storage: Storage = "full",
) -> None:
    extras.require("safetensors", "safetensors")

    description = {"version": VERSION, "kind": kind, "arguments": arguments}
    description |= _stored.note_of(storage)
    metadata = {_KEY: json.dumps(description, sort_keys=True)}
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    write_atomically(checked_path(path), _stored.file_of(arrays, storage, metadata))


def _described(graph: Graph, tensors: dict[str, AnyArray]) -> dict[str, Any]:
    """A graph as JSON has it; its arrays go to the tensors, by number."""

    def put(array: AnyArray) -> str:
        name = str(len(tensors))
        tensors[name] = array
        return name

    def attributes(node: Node) -> dict[str, Any]:
        return {name: _tagged(value, put, tensors) for name, value in node.attributes.items()}

    return {
        "name": graph.name,
        "inputs": [_described_value(value) for value in graph.inputs],
        "outputs": [_described_value(value) for value in graph.outputs],
        "constants": {name: put(array) for name, array in graph.constants.items()},
        "nodes": [
            [
                node.op,
                node.name,
                list(node.inputs),
                list(node.outputs),
                node.domain,
                attributes(node),
            ]
            for node in graph.nodes
        ],
    }


def _described_value(value: Value) -> list[Any]:
    dtype = None if value.dtype is None else value.dtype.name
    return [value.name, dtype, None if value.shape is None else list(value.shape)]


def _tagged(value: Any, put: Any, tensors: dict[str, AnyArray]) -> list[Any]:
    """An attribute with a letter for its kind; floats are written out to the last bit."""
    if isinstance(value, Graph):
        return ["g", _described(value, tensors)]
    if isinstance(value, np.ndarray):
        return ["t", put(value)]
    if isinstance(value, tuple):
        return ["l", [_tagged(one, put, tensors) for one in value]]
    if isinstance(value, float):
        return ["f", value.hex()]
    return ["i" if isinstance(value, int) else "s", value]


# --- reading --------------------------------------------------------------------------------


def load(path: AnyPath) -> Any:
    """Load a ``.safetensors`` file that pyrnn wrote, whatever it holds.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        From `pyrnn convert`, or from `pyrnn.serialization.save`.

    Returns
    -------
    Layer, dict of layers by name, CharacterModel or Model
        A whole model that was converted is a `pyrnn.interop.onnx.Model`, with a method ``run``.

    Raises
    ------
    ModelFileError
        If the file cannot be read, or pyrnn did not write it.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "gru.safetensors")
    ...     pyrnn.save(pyrnn.GRU(3, 4), path)
    ...     pyrnn.interop.load(path)
    GRU(3, 4)
    """
    return load_any(path, own=True)


def load_any(path: AnyPath, own: bool = False) -> Any:
    """What `load` gives; unless ``own``, a file of others is a dict of its float tensors."""
    name = checked_path(path)
    try:
        with open_regular(name) as file:
            size = os.fstat(file.fileno()).st_size
            contents = _safetensors.read_contents(file, size)
            kind, arguments, activations = _description(contents)
            if kind == "Layers":
                layers = _layers(arguments, contents, file)
                for layer in layers.values():
                    layer._note_activations(activations)
                return layers
            if kind == "Graph":
                return Model(_program(arguments, contents, file))
            if not own and _KEY not in contents.metadata:
                return _state_dict(contents, file)
    except FormatError as error:
        raise ModelFileError(
            f"{shown(name)}: expected a whole .safetensors file, got another or a truncated one "
            f"({error})"
        ) from error
    except (ContentError, GraphError) as error:
        raise ModelFileError(f"{shown(name)}: {one_line(error)}") from error
    except (MemoryError, RecursionError) as error:
        raise ModelFileError(f"{shown(name)}: expected a file that fits into memory") from error
    except NotImplementedError as error:
        raise ModelFileError(f"{shown(name)}: {one_line(error)}") from error
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{shown(name)}: cannot be read ({reason})") from error
    return serialization.load(path)


def _description(contents: Contents) -> tuple[Any, Any, ActivationFormat]:
    """Kind, arguments and activations of the two forms here; None for any other file."""
    text = contents.metadata.get(_KEY, "")
    if len(text) > MOST_DESCRIPTION or '"arguments"' not in text:
        return None, None, "int16"
    if '"kind": "Layers"' not in text and '"kind": "Graph"' not in text:
        return None, None, "int16"
    try:
        description = _safetensors.strict_json(text)
    except (ValueError, RecursionError) as error:
        raise ContentError(f"expected JSON from pyrnn as metadata ({error})") from error
    if not isinstance(description, dict) or description.get("version") != VERSION:
        raise ContentError(f"expected metadata of version {VERSION} from pyrnn")
    activations = _saved_arguments.noted(description)
    return description.get("kind"), description.get("arguments"), activations


def _tensor(name: str, contents: Contents, file: BinaryIO) -> AnyArray:
    found: Tensor | None = contents.tensors.get(name)
    if found is None or found.dtype not in _DTYPES:
        raise ContentError(f"expected a tensor {_checks.shown(name)}, got none")
    dtype = np.dtype(_DTYPES[found.dtype])
    if math.prod(found.shape) * dtype.itemsize != found.end - found.begin:
        raise ContentError(f"tensor {_checks.shown(name)}: expected as many bytes as its shape has")
    array = np.empty(found.shape, dtype)
    if array.size:
        _safetensors.read_into(array.reshape(-1), file, contents.start + found.begin)
    if dtype == np.bool_:
        array = np.asarray(array.view(np.uint8) != 0)  # of one number as well, which has no axes
    return array


def _parameter(name: str, contents: Contents, file: BinaryIO) -> AnyArray:
    """A parameter of a layer: floats, or a matrix in a narrow format."""
    if not _stored.is_rounded_tensor(contents.tensors[name]):
        return _tensor(name, contents, file)
    fault = _stored.fault_of_scales(name, contents)
    if fault is not None:
        raise ContentError(fault)
    array = np.empty(contents.tensors[name].shape, np.float32)
    _stored.read(name, array, file, contents)
    return array


def _state_dict(contents: Contents, file: BinaryIO) -> dict[str, AnyArray]:
    """The floats of a file that is not pyrnn's; bfloat16 is widened to float32."""
    found = {}
    for name, tensor in contents.tensors.items():
        if tensor.dtype == "BF16":
            halves = _tensor(name, _as_integers(contents, name), file)
            found[name] = (halves.astype(np.uint32) << 16).view(np.float32)
        elif tensor.dtype in ("F16", "F32", "F64"):
            array = _tensor(name, contents, file)
            found[name] = array.astype(np.float32) if tensor.dtype == "F16" else array
    return found


def _as_integers(contents: Contents, name: str) -> Contents:
    tensor = contents.tensors[name]._replace(dtype="U16")
    return contents._replace(tensors={name: tensor})


def _layers(arguments: Any, contents: Contents, file: BinaryIO) -> dict[str, Layer]:
    """The layers that a file describes, with their parameters."""
    made: dict[str, Layer] = {}
    data_bytes = sum(tensor.end - tensor.begin for tensor in contents.tensors.values())
    data_bytes += _stored.saved_bytes(contents)
    try:
        for one in arguments["layers"]:
            name, kind, options = one["name"], one["kind"], dict(one["arguments"])
            if not isinstance(name, str) or kind not in serialization._KINDS:
                raise ContentError(f"expected layers of pyrnn, got {_checks.shown(kind)}")
            start = f"{name}/"
            tensors = {
                key.removeprefix(start): _parameter(key, contents, file)
                for key in contents.tensors
                if key.startswith(start) and not _stored.is_scale(key, contents)
            }
            if kind == "Sequential":
                made[name] = _composed(options, tensors, data_bytes)
                continue
            dropout = options.pop("dropout", 0.0)
            defaults = _options.defaults_of(serialization._KINDS[kind])
            _saved_arguments.check_arguments(
                kind, defaults, options, data_bytes, len(contents.tensors)
            )
            made[name] = _made(kind, options, tensors)
            if dropout:
                made[name].dropout = dropout
    except ContentError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise ContentError(f"expected descriptions of layers ({error})") from error
    return made


def _made(kind: str, options: Mapping[str, Any], tensors: Mapping[str, AnyArray]) -> Layer:
    constructor: Any = serialization._KINDS[kind]
    layer: Layer = made_of(lambda: constructor(**options), tensors)
    _stored.check_finite(dictionary.arrays_of(layer))
    return layer


def _composed(options: dict[str, Any], tensors: Mapping[str, AnyArray], data_bytes: int) -> Layer:
    """A composition of layers that are described in it."""
    try:
        with dictionary.not_drawn(2 * data_bytes + serialization.MOST_MISSING):
            layer = serialization._made("Sequential", options, data_bytes, len(tensors))
    except _saved_arguments.ContentError as error:
        raise ContentError(str(error)) from error
    expected = {name: array.shape for name, array in dictionary.arrays_of(layer).items()}
    if expected != {name: array.shape for name, array in tensors.items()}:
        raise ContentError(f"expected the parameters of {layer!r}, got {', '.join(tensors)}")
    dictionary.set_arrays(layer, tensors)
    _stored.check_finite(dictionary.arrays_of(layer))
    return cast(Layer, layer)


def _program(arguments: Any, contents: Contents, file: BinaryIO) -> Program:
    try:
        opset = arguments["opset"]
        if type(opset) is not int or opset < 0:
            raise ContentError("opset: expected a whole number")
        return Program(_graph(arguments["graph"], contents, file, 0), opset)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, (ContentError, GraphError, FormatError)):
            raise
        raise ContentError(f"expected a graph ({error})") from error


def _graph(described: Any, contents: Contents, file: BinaryIO, depth: int) -> Graph:
    if depth > MOST_DEPTH:
        raise ContentError(f"expected graphs nested at most {MOST_DEPTH} deep")

    def value(given: Any) -> Value:
        name, dtype, shape = given
        sizes = None if shape is None else tuple(None if n is None else int(n) for n in shape)
        if (
            dtype is not None and _text(dtype) not in _INPUTS
        ):  # not for NumPy, which evaluates some names
            raise ContentError(f"expected the dtype of an input, got {_checks.shown(dtype)}")
        return Value(_text(name), None if dtype is None else _INPUTS[dtype], sizes)

    def attribute(given: Any) -> Any:
        tag, content = given
        if tag == "g":
            return _graph(content, contents, file, depth + 1)
        if tag == "t":
            return _tensor(_text(content), contents, file)
        if tag == "l":
            return tuple(attribute(one) for one in content if one[0] in "fis")
        return float.fromhex(content) if tag == "f" else int(content) if tag == "i" else content

    def node(given: Any) -> Node:
        op, name, inputs, outputs, domain, attributes = given
        return Node(
            checked_operator(_text(op), _text(domain)),
            _text(name),
            tuple(map(_text, inputs)),
            tuple(map(_text, outputs)),
            {key: attribute(one) for key, one in attributes.items()},
            _text(domain),
        )

    return Graph(
        _text(described["name"]),
        tuple(map(value, described["inputs"])),
        tuple(map(value, described["outputs"])),
        {n: _tensor(_text(key), contents, file) for n, key in described["constants"].items()},
        tuple(map(node, described["nodes"])),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ContentError(f"expected a name, got {_checks.shown(value)}")
    return value
