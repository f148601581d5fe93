"""A layer as an ONNX model, for the two runtimes that read one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench.contest.problem import Array, Problem
from bench.contest.shapes import GATES, Case

OPSET = 14
IR_VERSION = 8

_ROWS = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}
"""Where ONNX's gates (i o f c, z r h) stand among torch's (i f g o, r z n)."""


def build(case: Case, problem: Problem) -> bytes:
    """The model: X to Y; a single step also takes the state, and gives the state in Y's place."""
    shape = (1, case.batch_size, case.hidden_size)
    states = ["h", "c"][: len(problem.state)]
    inputs = [_value("X", problem.x.shape)]
    outputs = [_value(f"Y_{letter}", shape) for letter in states]
    optional = []
    if case.is_step:
        inputs += [_value(f"initial_{letter}", shape) for letter in states]
        optional = ["", *(f"initial_{letter}" for letter in states)]
    else:
        whole = (case.time_steps, 1, case.batch_size, case.hidden_size)
        outputs.insert(0, _value("Y", whole))
    attributes: dict[str, Any] = {"hidden_size": case.hidden_size}
    if case.cell == "GRU":
        attributes["linear_before_reset"] = 1
    node = helper.make_node(
        case.cell,
        ["X", "W", "R", "B", *optional],
        ["" if case.is_step else "Y", *(f"Y_{letter}" for letter in states)],
        **attributes,
    )
    graph = helper.make_graph([node], case.cell, inputs, outputs, _initializers(case, problem))
    model = helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def _value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _initializers(case: Case, problem: Problem) -> list[onnx.TensorProto]:
    gates = GATES[case.cell]

    def reordered(name: str) -> Array:
        blocks = np.split(problem.weights[name], gates)
        return np.concatenate([blocks[row] for row in _ROWS[case.cell]])

    arrays = {
        "W": reordered("weight_ih"),
        "R": reordered("weight_hh"),
        "B": np.concatenate([reordered("bias_ih"), reordered("bias_hh")]),
    }
    return [numpy_helper.from_array(array[None], name) for name, array in arrays.items()]
