"""ONNX files and `onnx.ModelProto` objects into plain graphs (the extra ``onnx``)."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np

from pyrnn._files import AnyPath, checked_path, open_regular, shown
from pyrnn._imports import extras
from pyrnn.interop._made import one_line
from pyrnn.interop.onnx.graph import (
    DTYPES,
    AnyArray,
    Graph,
    GraphError,
    Node,
    Program,
    UnsupportedError,
    Value,
    checked_operator,
)
from pyrnn.interop.serialization import ModelFileError

STANDARD_DOMAINS = ("", "ai.onnx")
MOST_BYTES = (1 << 31) - 1
"""What protobuf can hold."""


def read(path: AnyPath) -> Program:
    """The model in an ``.onnx`` file.

    Raises
    ------
    ModelFileError
        If the file cannot be read, or is no model, or contradicts itself.
    UnsupportedError
        If it holds types that NumPy does not have.
    MissingExtraError
        If onnx is not installed.
    """
    extras.require("onnx", "onnx")
    name = checked_path(path)
    try:
        with open_regular(name) as file:
            return program(_parse(_contents(file)), os.path.dirname(os.path.abspath(name)))
    except GraphError as error:
        raise ModelFileError(f"{shown(name)}: {one_line(error)}") from error
    except UnsupportedError as error:
        raise UnsupportedError(f"{shown(name)}: {one_line(error)}") from error
    except MemoryError as error:
        raise ModelFileError(f"{shown(name)}: expected a file that fits into memory") from error
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{shown(name)}: cannot be read ({reason})") from error


def from_any(model: Any) -> Program:
    """A program from a path, the bytes of a file, a `ModelProto` or a program."""
    if isinstance(model, Program):
        return model
    if isinstance(model, (str, os.PathLike)):
        return read(model)
    extras.require("onnx", "onnx")
    if isinstance(model, (bytes, bytearray)):
        return program(_parse(bytes(model)))
    from onnx import ModelProto

    if not isinstance(model, ModelProto):
        raise TypeError(
            f"model: expected a path, bytes or an onnx.ModelProto, got {type(model).__name__}"
        )
    return program(model)


def _contents(file: BinaryIO) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > MOST_BYTES:
        raise GraphError(f"expected at most {MOST_BYTES} bytes, got {size}")
    return file.read()


def _parse(data: bytes) -> Any:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(data)
    except DecodeError as error:
        raise GraphError(
            "expected a whole ONNX model, got another file or a truncated one"
        ) from error
    if not model.HasField("graph"):
        raise GraphError("expected an ONNX model, got a file without a graph")
    return model


def program(model: Any, folder: str | None = None) -> Program:
    """The plain form of a `ModelProto`; tensors outside of it are read from the folder."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = max((versions.get(domain, 0) for domain in STANDARD_DOMAINS), default=0)
    if opset < 1 and not versions:
        raise GraphError("expected a version of ONNX's operators (opset_import), got none")
    if model.functions:
        model = _without_functions(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    _check_text(*metadata, *metadata.values())
    return Program(_graph(model.graph, folder), opset, metadata)


def _without_functions(model: Any) -> Any:
    """The model with its own functions in place of the nodes that call them."""
    from onnx import inliner

    names = ", ".join(sorted({function.name for function in model.functions}))
    try:
        inlined = inliner.inline_local_functions(model)
    except Exception as error:  # onnx raises several kinds of its own
        raise GraphError(f"functions of the model's own ({names}): {error}") from error
    if inlined.functions:
        raise GraphError(f"expected functions that end, got some that call themselves: {names}")
    return inlined


def _graph(graph: Any, folder: str | None, inner: bool = False) -> Graph:
    if graph.sparse_initializer:
        raise UnsupportedError("sparse weights are not implemented")
    constants: dict[str, AnyArray] = {}
    _check_text(graph.name)
    for tensor in graph.initializer:
        constants[tensor.name] = to_array(tensor, folder)
    # Until version 3 of the format every weight was an input with a default as well.
    inputs = tuple(_value(v, inner) for v in graph.input if v.name not in constants)
    nodes = tuple(_node(node, number, folder) for number, node in enumerate(graph.node))
    outputs = tuple(_value(value, inner) for value in graph.output)
    return Graph(graph.name, inputs, outputs, constants, nodes)


def _value(value: Any, inner: bool) -> Value:
    """An input or output; within a node it may be a sequence."""
    _check_text(value.name)
    kind = value.type.WhichOneof("value")
    if kind is None or (inner and kind == "sequence_type"):
        return Value(value.name)
    if kind != "tensor_type":
        raise UnsupportedError(f"{value.name}: expected a tensor, got a {kind[:-5]}")
    tensor = value.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type)
    if dtype is None and tensor.elem_type:
        raise _type_error(value.name, tensor.elem_type)
    if not tensor.HasField("shape"):
        return Value(value.name, dtype)
    shape = tuple(
        int(size.dim_value) if size.HasField("dim_value") else None for size in tensor.shape.dim
    )
    return Value(value.name, dtype, shape)


def _node(node: Any, number: int, folder: str | None) -> Node:
    names = [attribute.name for attribute in node.attribute]
    texts = (node.op_type, node.name, node.domain, *node.input, *node.output, *names)
    _check_text(*texts, where=f"node {number}: ")
    checked_operator(node.op_type, node.domain)
    domain = "" if node.domain in STANDARD_DOMAINS else node.domain
    name = node.name or f"{node.op_type}_{number}"
    attributes = {}
    for attribute in node.attribute:
        try:
            attributes[attribute.name] = _attribute(attribute, folder)
        except GraphError as error:
            raise GraphError(f"node {name!r} ({node.op_type}): {error}") from error
    return Node(node.op_type, name, tuple(node.input), tuple(node.output), attributes, domain)


def _check_text(*texts: Any, where: str = "") -> None:
    """Refuse what is no UTF-8, which protobuf gives as bytes."""
    if not all(isinstance(text, str) for text in texts):
        raise GraphError(f"{where}expected names in UTF-8")


def _attribute(attribute: Any, folder: str | None) -> Any:
    """An attribute as a number, text, array, graph, or a tuple of the first two."""
    from onnx import AttributeProto

    kind = attribute.type
    if attribute.ref_attr_name:
        raise GraphError(f"{attribute.name}: it refers to a function's attribute outside of one")
    if kind == AttributeProto.FLOAT:
        return float(attribute.f)
    if kind == AttributeProto.INT:
        return int(attribute.i)
    if kind == AttributeProto.STRING:
        return _text(attribute.s)
    if kind == AttributeProto.TENSOR:
        return to_array(attribute.t, folder)
    if kind == AttributeProto.GRAPH:
        return _graph(attribute.g, folder, inner=True)
    if kind == AttributeProto.FLOATS:
        return tuple(map(float, attribute.floats))
    if kind == AttributeProto.INTS:
        return tuple(map(int, attribute.ints))
    if kind == AttributeProto.STRINGS:
        return tuple(map(_text, attribute.strings))
    raise UnsupportedError(f"{attribute.name}: attributes of type {kind} are not implemented")


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def to_array(tensor: Any, folder: str | None = None) -> AnyArray:
    """A tensor of the file; bfloat16 is widened to float32."""
    from onnx import TensorProto, numpy_helper

    _check_text(tensor.name)
    label = tensor.name or "a constant"
    if tensor.data_location == TensorProto.EXTERNAL:
        tensor = _with_external_data(tensor, folder)
    if tensor.data_type != TensorProto.BFLOAT16 and tensor.data_type not in DTYPES:
        raise _type_error(label, tensor.data_type)
    try:
        array: AnyArray = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OverflowError) as error:
        raise GraphError(
            f"{label}: expected data for shape {tuple(tensor.dims)} ({error})"
        ) from error
    if tensor.data_type == TensorProto.BFLOAT16:
        array = array.astype(np.float32)
    # A read-only copy, since the message may be freed.
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def _type_error(name: str, number: int) -> UnsupportedError:
    from onnx import TensorProto

    known = {value: name for name, value in TensorProto.DataType.items()}
    return UnsupportedError(
        f"{name}: tensors of type {known.get(number, number)} are not implemented"
    )


def _with_external_data(tensor: Any, folder: str | None) -> Any:
    """The tensor with its bytes, which are in a file beside the model's."""
    from onnx import TensorProto
    from onnx.external_data_helper import load_external_data_for_tensor

    if folder is None:
        raise GraphError(f"{tensor.name}: its data is in another file; give the path of the model")
    whole = TensorProto()
    whole.CopyFrom(tensor)
    try:
        load_external_data_for_tensor(whole, folder)
    except Exception as error:  # onnx raises several kinds of its own
        raise GraphError(f"{tensor.name}: its data is in another file ({error})") from error
    return whole
