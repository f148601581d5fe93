"""Operations ``keras.ops`` in a model, against those of NumPy."""

import math

import numpy as np
import pytest

from pyrnn.serialization import ModelFileError
from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import X, called, tensor

pytestmark = pytest.mark.usefixtures("in_place")


def op(class_name, *arguments, name="end", options=None, **config):
    row = {"class_name": class_name, "module": "keras.src.ops.numpy",
           "config": {"name": name, **config}}  # fmt: skip
    return called(row, *arguments, **(options or {}))


def cut(start=None, stop=None, step=None):
    return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}


ALL = {"class_name": "__ellipsis__", "config": {}}
x = tensor("x")
ERF = np.vectorize(math.erf)
ROW = {"class_name": "__numpy__", "config": {"value": [1.0, 2.0, 3.0, 4.0], "dtype": "float32"}}
CASES = {
    "exp": (op("Exp", x), np.exp),
    "negative": (op("Negative", x), np.negative),
    "square": (op("Square", x), np.square),
    "absolute": (op("Absolute", x), np.abs),
    "sigmoid": (op("Sigmoid", x), lambda v: 1 / (1 + np.exp(-v))),
    "tanh": (op("Tanh", x), np.tanh),
    "softmax": (op("Softmax", x, axis=1), lambda v: np.exp(v) / np.exp(v).sum(1, keepdims=True)),
    "gelu": (op("Gelu", x, approximate=False), lambda v: v * (1 + ERF(v / np.sqrt(2))) / 2),
    "gelu-tanh": (op("Gelu", x), lambda v: v / 2 * (
        1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))),
    "power": (op("Power", x, 2), lambda v: v**2),
    "from": (op("Subtract", 1, x), lambda v: 1 - v),
    "row": (op("Multiply", x, ROW), lambda v: v * [1, 2, 3, 4]),
    "clip": (op("Clip", x, x_min=-0.5, x_max=0.5), lambda v: np.clip(v, -0.5, 0.5)),
    "mean": (op("Mean", x, axis=[1, 2]), lambda v: v.mean((1, 2))),
    "max": (op("Max", x, axis=1, keepdims=True), lambda v: v.max(1, keepdims=True)),
    "variance": (op("Var", x, axis=1), lambda v: v.var(1)),
    "deviation": (op("Std", x, axis=-1, keepdims=True), lambda v: v.std(-1, keepdims=True)),
    "sums": (op("Cumsum", x, axis=1), lambda v: v.cumsum(1)),
    "transpose": (op("Transpose", x, axes=[0, 2, 1]), lambda v: v.transpose(0, 2, 1)),
    "swap": (op("Swapaxes", x, axis1=1, axis2=-1), lambda v: v.swapaxes(1, 2)),
    "expand": (op("ExpandDims", x, axis=-2), lambda v: v[:, :, None]),
    "stack": (op("Stack", [x, x], axis=-1), lambda v: np.stack([v, v], -1)),
    "join": (op("Concatenate", [x, x], axis=1), lambda v: np.concatenate([v, v], 1)),
    "flip": (op("Flip", x, axis=1), lambda v: v[:, ::-1]),
    "reshape": (op("Reshape", x, newshape=[-1, 3, 8]), lambda v: v.reshape(-1, 3, 8)),
    "last": (op("GetItem", x, [cut(), -1]), lambda v: v[:, -1]),
    "steps": (op("GetItem", x, [cut(), cut(1, 6, 2), cut(step=-1)]), lambda v: v[:, 1:6:2, ::-1]),
    "place": (op("GetItem", x, [ALL, 2]), lambda v: v[..., 2]),
    "new": (op("GetItem", x, [cut(), None, 1]), lambda v: v[:, None, 1]),
    "product": (op("Einsum", x, x, subscripts="ntf,nsf->nts"),
                lambda v: np.einsum("ntf,nsf->nts", v, v)),
    "same": (op("ConvertToTensor", x), lambda v: v),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operations(name, tmp_path):
    row, function = CASES[name]
    (y,) = models.branches(tmp_path / "m.keras", [row]).run(X)
    expected = function(X.astype(np.float64))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)


def test_flags(tmp_path):
    rows = [
        op("Greater", x, 0.0, name="over"),
        op("LessEqual", x, 1.0, name="below"),
        op("LogicalAnd", tensor("over"), tensor("below"), name="both"),
        op("Where", tensor("both"), x, -7.0, name="chosen"),
        op("Cast", tensor("over"), name="numbers", dtype="float32"),
        op("Multiply", tensor("chosen"), tensor("numbers")),
    ]
    (y,) = models.branches(tmp_path / "m.keras", rows).run(X)
    expected = np.where((X > 0) & (X <= 1), X, -7) * (X > 0)
    assert np.array_equal(y, expected.astype(np.float32))


def test_parts_of_one_array(tmp_path):
    rows = [
        op("Split", x, name="parts", indices_or_sections=[1, 4], axis=1),
        op("Split", tensor("parts", 1), name="halves", indices_or_sections=3, axis=1),
        op("Squeeze", tensor("halves", 2), axis=1),
    ]
    model = models.branches(tmp_path / "m.keras", rows, [("end", 0, 0), ("parts", 0, 2)])
    y, rest = model.run(X)
    assert np.array_equal(y, X[:, 3])
    assert np.array_equal(rest, X[:, 4:])


def test_products_of_batches(tmp_path):
    rows = [
        op("Transpose", x, name="turned", axes=[0, 2, 1]),
        op("Matmul", x, tensor("turned")),
    ]
    (y,) = models.branches(tmp_path / "m.keras", rows).run(X)
    wide = X.astype(np.float64)
    np.testing.assert_allclose(y, wide @ wide.swapaxes(1, 2), atol=1e-5)


WRONG = {
    "place": (op("GetItem", x, [cut(), 6]), "expected a place below 6, got 6"),
    "index": (op("GetItem", x, [cut(), "a"]), "expected numbers and slices as an index"),
    "axes": (op("Transpose", x, axes=[0, 1, 1]), "axes: expected each axis once"),
    "squeeze": (op("Squeeze", x, axis=1), "axis: expected axes of size 1"),
    "split": (op("Split", x, indices_or_sections=4, axis=1), "indices_or_sections: expected parts"),
    "letters": (op("Einsum", x, x, subscripts="ab,bc->ac"), "subscripts: expected 3 letters"),
    "array": (op("Add", x, {"class_name": "__numpy__", "config": {"value": "no", "dtype": "f4"}}),
              "expected an array of numbers as an argument"),
    "first": (op("ExpandDims", 3, x, axis=0), "expected an array first, got 3"),
    "other": (op("Fft", x), "no graph is made of a Fft"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name, tmp_path):
    row, message = WRONG[name]
    with pytest.raises(ModelFileError, match=message):
        models.branches(tmp_path / "m.keras", [row])


def test_operations_in_h5_files(tmp_path):
    """Which do not say where a class is from."""
    from pyrnn.interop import keras
    from tests.interop.keras import files

    rows = [called(models.given("x", 6, 4)), op("Tanh", x, name="t"),
            op("GetItem", tensor("t"), [cut(), -1], name="last"),
            op("Add", tensor("last"), 1.0, name="more"),
            op("Reshape", tensor("more"), newshape=[-1, 2, 2])]  # fmt: skip
    for row in rows:
        row.pop("module", None)
    config = models.functional(rows, [["x", 0, 0]], [["end", 0, 0]])
    files.legacy(tmp_path / "m.h5", "3.15.1", {"end": []}, config)
    y = keras.prepare(tmp_path / "m.h5").run(X)[0]
    np.testing.assert_allclose(y, (np.tanh(X[:, -1]) + 1).reshape(-1, 2, 2), atol=1e-6)
