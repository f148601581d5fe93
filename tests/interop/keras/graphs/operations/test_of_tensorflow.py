"""Functions of TensorFlow in models as Keras 2 writes them, against those of NumPy."""

import numpy as np
import pytest

from pyrnn.interop import keras
from pyrnn.serialization import ModelFileError
from tests.interop.keras import files
from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import X, layer

pytestmark = pytest.mark.usefixtures("in_place")


def call(label, function, *places, kind="TFOpLambda", **options):
    """One call: its first arrays as places, everything else by name."""
    nodes = [[place, 0, 0, options] for place in places]
    config = {"name": label, "trainable": True, "dtype": "float32", "function": function}
    return {"class_name": kind, "name": label, "config": config, "inbound_nodes": [nodes]}


def model(path, *rows, end="end"):
    given = {**layer("InputLayer", "x", batch_input_shape=[None, 6, 4]), "name": "x",
             "inbound_nodes": []}  # fmt: skip
    config = models.functional([given, *rows], [["x", 0, 0]], [[end, 0, 0]])
    files.legacy(path, "2.11.0", {row["name"]: [] for row in (given, *rows)}, config)
    return keras.prepare(path)


def cut(start=None, stop=None, step=None):
    return {"start": start, "stop": stop, "step": step}


PLACE = ["x", 0, 0]
CASES = {
    "sum": (call("end", "math.reduce_sum", "x", axis=1), lambda x: x.sum(1)),
    "mean": (call("end", "math.reduce_mean", "x", axis=[1, 2], keepdims=True),
             lambda x: x.mean((1, 2), keepdims=True)),
    "expand": (call("end", "expand_dims", "x", axis=-1), lambda x: x[..., None]),
    "softmax": (call("end", "nn.softmax", "x", axis=1, name=None),
                lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    "number": (call("end", "__operators__.add", "x", y=2.0, name=None), lambda x: x + 2),
    "two": (call("end", "math.multiply", "x", y=PLACE, name=None), lambda x: x * x),
    "join": (call("end", "concat", "x", "x", axis=1), lambda x: np.concatenate([x, x], 1)),
    "matmul": (call("end", "linalg.matmul", "x", b=PLACE, transpose_b=True),
               lambda x: x @ x.swapaxes(1, 2)),
    "transpose": (call("end", "compat.v1.transpose", "x", perm=[0, 2, 1]),
                  lambda x: x.swapaxes(1, 2)),
    "reshape": (call("end", "reshape", "x", shape=[-1, 8]), lambda x: x.reshape(-1, 8)),
    "reverse": (call("end", "reverse", "x", axis=[1]), lambda x: x[:, ::-1]),
    "clip": (call("end", "clip_by_value", "x", clip_value_min=0.0, clip_value_max=1.0),
             lambda x: x.clip(0, 1)),
    "tanh": (call("end", "math.tanh", "x"), np.tanh),
    "last": (call("end", "", "x", kind="SlicingOpLambda", slice_spec=[cut(), -1]),
             lambda x: x[:, -1]),
    "steps": (call("end", "__operators__.getitem", "x", slice_spec=[cut(), cut(1, 4), cut()]),
              lambda x: x[:, 1:4]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_functions(name, tmp_path):
    row, function = CASES[name]
    (y,) = model(tmp_path / "m.h5", row).run(X)
    expected = function(X.astype(np.float64))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)


def test_a_number_first(tmp_path):
    row = call("end", "math.subtract", "x")
    row["inbound_nodes"] = [["_CONSTANT_VALUE", -1, 1.5, {"y": PLACE, "name": None}]]
    (y,) = model(tmp_path / "m.h5", row).run(X)
    assert np.array_equal(y, np.float32(1.5) - X)


WRONG = {
    "function": (call("end", "signal.stft", "x"), "no graph is made of the function tf.signal.st"),
    "option": (call("end", "math.reduce_sum", "x", axis=1, weird=3), "has the option weird"),
    "turned": (call("end", "linalg.matmul", "x", b=PLACE, transpose_a=True), "option transpose_a"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name, tmp_path):
    row, message = WRONG[name]
    with pytest.raises(ModelFileError, match=f"end: .*{message}"):
        model(tmp_path / "m.h5", row)
