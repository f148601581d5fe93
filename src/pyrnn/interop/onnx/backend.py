"""The interface that the package onnx calls a backend: `prepare`, `run_model`, `run_node`."""

from __future__ import annotations

import os
from typing import Any

from pyrnn._files import shown
from pyrnn.interop._made import one_line
from pyrnn.interop.onnx.graph import AnyArray, GraphError, Program, UnsupportedError
from pyrnn.interop.onnx.model import Model
from pyrnn.interop.onnx.read import from_any
from pyrnn.interop.serialization import ModelFileError


def supports_device(device: str) -> bool:
    """Whether models run on that device: on ``"CPU"`` alone.

    Parameters
    ----------
    device : str
        As onnx writes it, "CPU" or "CUDA:1".
    """
    return isinstance(device, str) and device.partition(":")[0].upper() == "CPU"


def is_compatible(model: Any, device: str = "CPU", **options: Any) -> bool:
    """Whether `prepare` would take this model."""
    try:
        prepare(model, device)
    except (GraphError, UnsupportedError):
        return False
    return True


def prepare(model: Any, device: str = "CPU", **options: Any) -> Model:
    """Make a model ready to run many times.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or Program
        What to run.
    device : str
        "CPU".
    **options
        Ignored, as onnx's interface has them.

    Returns
    -------
    Model
        Its `run` computes. Weights are packed once.

    Raises
    ------
    ModelFileError
        If a file cannot be read, or its model contradicts itself.
    GraphError
        If a model that is no file contradicts itself.
    UnsupportedError
        If it has operators that are not implemented, all named; or for another device.
    MissingExtraError
        If onnx is not installed.

    Examples
    --------
    >>> import os, tempfile, numpy as np, pyrnn
    >>> from pyrnn.interop import onnx
    >>> layer = pyrnn.GRU(3, 4, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "gru.onnx")
    ...     onnx.save(layer, path)
    ...     model = onnx.prepare(path)
    >>> model.inputs, model.outputs
    (['x', 'h_0'], ['y', 'h_n'])
    >>> x, h = np.ones((5, 2, 3), np.float32), np.zeros((1, 2, 4), np.float32)
    >>> y, h_n = model.run({"x": x, "h_0": h})
    >>> bool((y == layer(x)[0]).all())
    True
    """
    if not supports_device(device):
        raise UnsupportedError(f"device: expected 'CPU', got {device!r}")
    program = from_any(model)
    try:
        return Model(program)
    except GraphError as error:
        if isinstance(model, (str, os.PathLike)):
            raise ModelFileError(f"{shown(model)}: {one_line(error)}") from error
        raise


def run_model(model: Any, inputs: Any, device: str = "CPU", **options: Any) -> tuple[AnyArray, ...]:
    """`prepare` and `Model.run` in one, for a model that runs once."""
    return prepare(model, device).run(inputs)


def run_node(node: Any, inputs: Any, device: str = "CPU", **options: Any) -> tuple[AnyArray, ...]:
    """Run one `onnx.NodeProto` with inputs in its order.

    Parameters
    ----------
    node : onnx.NodeProto
        One operator.
    inputs : sequence or dict of arrays
        Its inputs; those that are left out in the node have no place here either.
    device : str
        "CPU".
    **options
        ``opset_version``: the version of the operators (that of the installed onnx).
    """
    from onnx import defs

    from pyrnn.interop.onnx.graph import Graph, Value
    from pyrnn.interop.onnx.read import _node

    if not supports_device(device):
        raise UnsupportedError(f"device: expected 'CPU', got {device!r}")
    plain = _node(node, 0, None)
    opset = int(options.get("opset_version", defs.onnx_opset_version()))
    given = tuple(Value(name) for name in dict.fromkeys(plain.inputs) if name)
    wanted = tuple(Value(name) for name in plain.outputs if name)
    return Model(Program(Graph("node", given, wanted, {}, (plain,)), opset)).run(inputs)
