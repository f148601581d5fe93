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
    """Return whether models run on that device: only on ``"CPU"``.

    Parameters
    ----------
    device : str
        As onnx writes it, "CPU" or "CUDA:1".

    Returns
    -------
    bool
        True for the CPU.

    Examples
    --------
    >>> from pyrnn.interop import onnx
    >>> onnx.supports_device("CPU"), onnx.supports_device("CUDA:1")
    (True, False)
    """
    return isinstance(device, str) and device.partition(":")[0].upper() == "CPU"


def is_compatible(model: Any, device: str = "CPU", **options: Any) -> bool:
    """Return whether `prepare` would take this model.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or Program
        The model.
    device : str
        "CPU".
    **options
        Ignored; onnx's interface has them.

    Returns
    -------
    bool
        False if the model contradicts itself or has operators that are not implemented.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "gru.onnx")
    ...     onnx.save(pyrnn.GRU(3, 4), path)
    ...     onnx.is_compatible(path)
    True
    """
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
        The model to run.
    device : str
        "CPU".
    **options
        Ignored; onnx's interface has them.

    Returns
    -------
    Model
        The model; its method ``run`` computes the outputs. Weights are packed once.

    Raises
    ------
    ModelFileError
        If a file cannot be read, or its model contradicts itself.
    GraphError
        If a model that is not a file contradicts itself.
    UnsupportedError
        If it has operators that are not implemented (all of them are named), or for a device other
        than the CPU.
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
    """Run a model once: `prepare` and `Model.run` in one call.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or Program
        The model to run.
    inputs : sequence, dict or array
        An array for each input, in order or by name; a single array if there is one input.
    device : str
        "CPU".
    **options
        Ignored; onnx's interface has them.

    Returns
    -------
    tuple of arrays
        The outputs, in order.

    Examples
    --------
    >>> import os, tempfile, numpy as np, pyrnn
    >>> from pyrnn.interop import onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "linear.onnx")
    ...     onnx.save(pyrnn.Linear(3, 2), path)
    ...     (y,) = onnx.run_model(path, np.ones((5, 3), np.float32))
    >>> y.shape
    (5, 2)
    """
    return prepare(model, device).run(inputs)


def run_node(node: Any, inputs: Any, device: str = "CPU", **options: Any) -> tuple[AnyArray, ...]:
    """Run a single `onnx.NodeProto`.

    Parameters
    ----------
    node : onnx.NodeProto
        One operator.
    inputs : sequence or dict of arrays
        The inputs, in the order of the node; inputs that the node leaves out are left out here too.
    device : str
        "CPU".
    **options
        ``opset_version``: the version of the operators (by default that of the installed onnx).

    Returns
    -------
    tuple of arrays
        The outputs, in order.

    Examples
    --------
    >>> import numpy as np
    >>> from onnx import helper
    >>> from pyrnn.interop import onnx
    >>> onnx.run_node(helper.make_node("Relu", ["x"], ["y"]), [np.array([-1.0, 2.0])])
    (array([0., 2.]),)
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
