"""Cells that torch has not, against onnxruntime: peepholes, coupled gates, the reset before."""

import numpy as np
import pytest

import pyrnn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TIME_STEPS, INPUTS, UNITS = 6, 3, 5
LENGTHS = np.array([6, 2, 5])
TOLERANCE = 1e-5


def blocks(array, count, order):
    """Row blocks of an array, picked in the order that ONNX has."""
    parts = np.split(array, count)
    return np.concatenate([parts[n] for n in order])


def joined(layer, name, pick):
    """A parameter of all directions, (directions, ...), in ONNX's order of gates."""
    suffixes = ("l0", "l0_reverse")[: layer.num_directions]
    return np.stack([pick(layer.parameters[f"{name}_{suffix}"]) for suffix in suffixes])


def run_node(kind, inputs, outputs, **attributes):
    """One node, run by onnxruntime."""

    def tensor(name):
        axes = 4 if name == "Y" else 3
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * axes)

    def argument(name, array):
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        return onnx.helper.make_tensor_value_info(name, kind, array.shape)

    given = {name: array for name, array in inputs.items() if array is not None}
    names = [name if array is not None else "" for name, array in inputs.items()]
    node = onnx.helper.make_node(kind, names, outputs, hidden_size=UNITS, **attributes)
    graph = onnx.helper.make_graph(
        [node], "one", [argument(*item) for item in given.items()], [tensor(n) for n in outputs]
    )
    opset = onnx.helper.make_opsetid("", 14)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, given)


class Case:
    """A layer and its arguments; ``gates`` maps ONNX's gates to pyrnn's row blocks."""

    def __init__(self, layer, gates, with_lengths):
        generator = np.random.default_rng(0)
        self.layer = layer
        count = max(gates) + 1

        def pick(array):
            return blocks(array, count, gates)

        def random(*shape):
            return generator.standard_normal(shape).astype(np.float32)

        self.lengths = LENGTHS if with_lengths else None
        self.x = random(TIME_STEPS, len(LENGTHS), INPUTS)
        self.h = random(layer.num_directions, len(LENGTHS), UNITS)
        self.c = random(layer.num_directions, len(LENGTHS), UNITS)
        biases = [joined(layer, name, pick) for name in ("bias_ih", "bias_hh")]
        self.inputs = {
            "X": self.x,
            "W": joined(layer, "weight_ih", pick),
            "R": joined(layer, "weight_hh", pick),
            "B": np.concatenate(biases, axis=1),
            "sequence_lens": LENGTHS.astype(np.int32) if with_lengths else None,
            "initial_h": self.h,
        }
        self.direction = "bidirectional" if layer.bidirectional else "forward"

    def y(self, theirs):
        """(T, directions, N, H) as (T, N, directions * H)."""
        return theirs.transpose(0, 2, 1, 3).reshape(TIME_STEPS, len(LENGTHS), -1)


DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True])
WITH_LENGTHS = pytest.mark.parametrize("with_lengths", [False, True])


@DIRECTIONS
@WITH_LENGTHS
def test_gru_with_the_reset_before(bidirectional, with_lengths, backend, assert_close):
    layer = pyrnn.GRU(INPUTS, UNITS, reset_after=False, bidirectional=bidirectional, seed=0)
    case = Case(layer, (1, 0, 2), with_lengths)
    theirs, last = run_node(
        "GRU", case.inputs, ["Y", "Y_h"], direction=case.direction, linear_before_reset=0
    )
    y, h = layer(case.x, case.h, case.lengths)
    assert_close(y, case.y(theirs), TOLERANCE)
    assert_close(h, last, TOLERANCE)


# ONNX's gates are i o f c. A coupled cell has no rows of f; those of i stand in for them, and
# onnxruntime does not read them.
LSTMS = {
    "peephole": ({"peephole": True}, (0, 3, 1, 2), (0, 2, 1), 0),
    "coupled": ({"coupled": True}, (0, 2, 0, 1), None, 1),
    "coupled-peephole": ({"coupled": True, "peephole": True}, (0, 2, 0, 1), (0, 1, 0), 1),
}


@DIRECTIONS
@WITH_LENGTHS
@pytest.mark.parametrize(
    ("options", "gates", "peepholes", "input_forget"), LSTMS.values(), ids=LSTMS
)
def test_lstm(
    options, gates, peepholes, input_forget, bidirectional, with_lengths, backend, assert_close
):
    layer = pyrnn.LSTM(INPUTS, UNITS, bidirectional=bidirectional, seed=0, **options)
    case = Case(layer, gates, with_lengths)
    inputs = case.inputs | {"initial_c": case.c, "P": None}
    if peepholes is not None:
        inputs["P"] = joined(
            layer, "weight_peephole", lambda a: blocks(a, max(peepholes) + 1, peepholes)
        )
    theirs, last_h, last_c = run_node(
        "LSTM", inputs, ["Y", "Y_h", "Y_c"], direction=case.direction, input_forget=input_forget
    )
    y, (h, c) = layer(case.x, (case.h, case.c), case.lengths)
    assert_close(y, case.y(theirs), TOLERANCE)
    assert_close(h, last_h, TOLERANCE)
    assert_close(c, last_c, TOLERANCE)
