"""Sequences of arrays against onnxruntime: each operator, and a loop that collects its steps."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import TensorProto, helper

A, B = (np.random.default_rng(n).standard_normal((2, 3)).astype(np.float32) for n in (0, 1))


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def compared(nodes, outputs, constants=None):
    pytest.importorskip("onnxruntime")
    constants = {name: np.array(value, np.int64) for name, value in (constants or {}).items()}
    model = graphs.model_of(nodes, {"a": A, "b": B}, outputs.split(), constants)
    graphs.as_onnxruntime(model, {"a": A, "b": B}, atol=0)


@pytest.mark.parametrize("place", [-2, -1, 0, 1])
def test_places(place):
    nodes = [
        node("SequenceConstruct", "a b", "s"), node("SequenceInsert", "s a at", "t"),
        node("SequenceErase", "t at", "u"), node("SequenceAt", "t at", "x"),
        node("ConcatFromSequence", "t", "y", axis=1),
        node("ConcatFromSequence", "u", "z", axis=-1, new_axis=1),
        node("SequenceInsert", "t b", "v"), node("SequenceErase", "v", "w"),
        node("SequenceLength", "v", "n"), node("ConcatFromSequence", "w", "q", axis=0),
    ]  # fmt: skip
    compared(nodes, "x y z n q", {"at": place})


@pytest.mark.parametrize("sizes", [None, 2, [1, 2]])
def test_splits(sizes):
    for keep in (0, 1) if sizes is None else (1,):
        inputs = "a" if sizes is None else "a k"
        nodes = [
            node("SplitToSequence", inputs, "s", axis=1, keepdims=keep),
            node("SequenceAt", "s i", "y"), node("SequenceLength", "s", "n"),
        ]  # fmt: skip
        compared(nodes, "y n", {"i": 1} if sizes is None else {"i": 1, "k": sizes})


def test_a_loop_that_collects():
    """As TorchScript's exporter writes ``outs.append(...)`` and ``torch.stack(outs)``."""
    pytest.importorskip("onnxruntime")
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))

    def info(name, elem, shape):
        return helper.make_tensor_value_info(name, elem, shape)

    body = helper.make_graph(
        [node("Add", "h a", "h2"), node("SequenceInsert", "s h2", "s2"),
         node("Identity", "c", "d")],
        "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []),
         info("h", TensorProto.FLOAT, None), helper.make_value_info("s", kind)],
        [info("d", TensorProto.BOOL, []), info("h2", TensorProto.FLOAT, None),
         helper.make_value_info("s2", kind)],
    )  # fmt: skip
    nodes = [
        node("SequenceEmpty", "", "e"),
        helper.make_node("Loop", ["n", "", "b", "e"], ["last", "all"], body=body),
        node("ConcatFromSequence", "all", "y", axis=0, new_axis=1),
    ]
    compared(nodes, "last y", {"n": 4})


def test_what_does_not_fit():
    for nodes, says in (
        ([node("SequenceLength", "a", "y")], "expected a sequence of arrays, got an array"),
        ([node("SequenceConstruct", "a", "s"), node("SequenceAt", "s at", "y")],
         "sequence of 1, got 7"),
    ):  # fmt: skip
        model = graphs.model_of(nodes, {"a": A}, ["y"], {"at": np.array(7)})
        with pytest.raises(ValueError, match=says):
            backend.run_model(model, A)
    model = graphs.model_of([node("SequenceConstruct", "a", "s")], {"a": A}, [])
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    model.graph.output.append(helper.make_value_info("s", kind))
    with pytest.raises(backend.UnsupportedError, match="s: expected a tensor, got a sequence"):
        backend.prepare(model)
