"""Small models made by onnx, and what onnxruntime says of them."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto


def value(name, array_or_type, shape=None):
    """A graph's input or output."""
    if isinstance(array_or_type, np.ndarray):
        kind, shape = helper.np_dtype_to_tensor_dtype(array_or_type.dtype), array_or_type.shape
    else:
        kind = array_or_type
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, constants=None, opset=17):
    """A model of nodes; ``inputs`` are arrays by name, ``outputs`` names or value infos."""
    initializers = [
        numpy_helper.from_array(array, name) for name, array in (constants or {}).items()
    ]
    results = [
        helper.make_empty_tensor_value_info(out) if isinstance(out, str) else out for out in outputs
    ]
    graph = helper.make_graph(
        nodes, "g", [value(name, array) for name, array in inputs.items()], results, initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def session(model):
    """Of onnxruntime, on one thread and silent."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    data = model if isinstance(model, (str, bytes)) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def single(op, inputs, fixed=(), opset=17, domain="", outputs=1, **attributes):
    """A model of one node and what it takes; the inputs at the places ``fixed`` are constants."""
    names = ["" if array is None else f"i{n}" for n, array in enumerate(inputs)]
    made = [f"y{n}" for n in range(outputs)]
    node = helper.make_node(op, names, made, domain=domain, **attributes)
    arrays = {n: np.asarray(a) for n, a in zip(names, inputs, strict=True) if n}
    constants = {n: a for n, a in arrays.items() if int(n[1:]) in fixed}
    given = {n: a for n, a in arrays.items() if n not in constants}
    model = model_of([node], given, made, constants, opset)
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model, given


def as_onnxruntime(model, given, rtol=1e-5, atol=1e-5, rounding=0):
    """Check pyrnn's outputs against onnxruntime's; whole numbers may differ by ``rounding``."""
    from pyrnn.interop import onnx as backend

    theirs = session(model).run(None, given)
    for mine, other in zip(backend.run_model(model, given), theirs, strict=True):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        if mine.dtype.kind in "iu":
            assert np.abs(mine.astype(int) - other).max(initial=0) <= rounding
        else:
            np.testing.assert_allclose(mine, other, rtol=rtol, atol=atol)
