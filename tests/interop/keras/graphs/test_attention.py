"""Attention of one head and of several, against its definition in NumPy."""

import numpy as np
import pytest

from pyrnn.serialization import ModelFileError
from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import X, called, floats, layer, tensor

pytestmark = pytest.mark.usefixtures("in_place")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- several heads --------------------------------------------------------------------------

SHAPES = {"query": (4, 2, 3), "key": (4, 2, 3), "value": (4, 2, 5), "output": (2, 5, 4)}
KERNELS = dict(zip(SHAPES, floats(0, *SHAPES.values()), strict=True))
BIASES = dict(zip(SHAPES, floats(1, (2, 3), (2, 3), (2, 5), (4,)), strict=True))


def entries(biased=True, order=("query", "key", "value", "output")):
    return [
        (f"multi_head_attention/{name}_dense", None,
         [KERNELS[name], BIASES[name]] if biased else [KERNELS[name]])
        for name in order
    ]  # fmt: skip


def heads(query, value, key=None, biased=True, allowed=None):
    """The output and the weights (N, heads, T, S); ``allowed`` are flags (N, T, S)."""
    arrays = {"query": query, "key": value if key is None else key, "value": value}
    q, k, v = (
        np.einsum("nti,ihd->nhtd", array.astype(np.float64), KERNELS[name])
        + biased * BIASES[name][:, None]
        for name, array in arrays.items()
    )
    scores = q @ k.swapaxes(2, 3) / np.sqrt(3)
    if allowed is not None:
        scores = np.where(allowed[:, None], scores, -1e9)
    weights = softmax(scores)
    y = np.einsum("nhtd,hdo->nto", weights @ v, KERNELS["output"])
    return y + biased * BIASES["output"], weights


def attended(path, *arguments, config=None, rows=(), written=None, outputs=1, **options):
    row = layer("MultiHeadAttention", "end", use_bias=True, **(config or {}))
    rows = [*rows, called(row, *arguments, **options)]
    places = [("end", 0, number) for number in range(outputs)]
    return models.branches(path, rows, places, entries() if written is None else written)


@pytest.mark.parametrize("order", [("query", "key", "value", "output"),
                                   ("key", "output", "query", "value")])  # fmt: skip
@pytest.mark.parametrize("biased", [True, False])
def test_heads(biased, order, tmp_path):
    """In whichever order the groups of a file are."""
    path = tmp_path / "m.keras"
    model = attended(path, tensor("x"), tensor("x"), written=entries(biased, order))
    np.testing.assert_allclose(model.run(X)[0], heads(X, X, biased=biased)[0], atol=1e-5)


def test_heads_of_three_arrays_and_their_weights(tmp_path):
    rows = [called(layer("Cropping1D", "cut", cropping=[1, 2]), tensor("x")),
            called(layer("Rescaling", "more", scale=2.0), tensor("cut"))]  # fmt: skip
    model = attended(tmp_path / "m.keras", tensor("x"), tensor("cut"), rows=rows, outputs=2,
                     key=tensor("more"), return_attention_scores=True)  # fmt: skip
    y, weights = model.run(X)
    expected = heads(X, X[:, 1:-2], 2 * X[:, 1:-2])
    np.testing.assert_allclose(y, expected[0], atol=1e-5)
    np.testing.assert_allclose(weights, expected[1], atol=1e-5)


def test_heads_that_look_back_only(tmp_path):
    model = attended(tmp_path / "m.keras", tensor("x"), tensor("x"), use_causal_mask=True)
    allowed = np.tril(np.ones((1, 6, 6), bool))
    np.testing.assert_allclose(model.run(X)[0], heads(X, X, allowed=allowed)[0], atol=1e-5)


def test_heads_with_masks(tmp_path):
    """Of query, value and key, and those that the call gives."""
    rows = [
        called(layer("Masking", "m"), tensor("x")),
        called({"class_name": "Greater", "module": "keras.src.ops.numpy",
                "config": {"name": "flags"}}, tensor("x"), 0.5),
        called({"class_name": "GetItem", "module": "keras.src.ops.numpy",
                "config": {"name": "part"}}, tensor("flags"),
               [{"class_name": "__ellipsis__", "config": {}}, 0]),
        called({"class_name": "ExpandDims", "module": "keras.src.ops.numpy",
                "config": {"name": "wide", "axis": 1}}, tensor("part")),
    ]  # fmt: skip
    model = attended(tmp_path / "m.keras", tensor("m"), tensor("m"), rows=rows,
                     attention_mask=tensor("wide"))  # fmt: skip
    x = X.copy()
    x[0, 4:], x[1, :2] = 0, 0
    mask = (x != 0).any(-1)
    allowed = mask[:, :, None] & mask[:, None] & (x[..., 0] > 0.5)[:, None]
    np.testing.assert_allclose(model.run(x)[0], heads(x, x, allowed=allowed)[0], atol=1e-5)


def test_heads_of_old_files(tmp_path):
    """Whose arrays are in one list."""
    from pyrnn.interop import keras
    from tests.interop.keras import files

    row = called(layer("MultiHeadAttention", "end"), tensor("x"), tensor("x"))
    config = models.functional(
        [called(models.given("x", 6, 4)), row], [["x", 0, 0]], [["end", 0, 0]])  # fmt: skip
    arrays = [array for name in SHAPES for array in (KERNELS[name], BIASES[name])]
    files.legacy(tmp_path / "m.h5", "3.15.1", {"end": arrays}, config)
    y = keras.prepare(tmp_path / "m.h5").run(X)[0]
    np.testing.assert_allclose(y, heads(X, X)[0], atol=1e-5)


WRONG = {
    "option": ({"sliding_window": 3}, {}, None, "use_gate and sliding_window are not implemented"),
    "call": ({}, {"speed": 3}, None, "its call has the option speed, which is not implemented"),
    "parts": ({}, {}, entries()[:3], "expected the projections of query, key, value and output"),
    "axes": ({"attention_axes": [1, 2]}, {}, None, "attention over several axes"),
    "sizes": ({}, {}, [*entries()[:3], ("multi_head_attention/output_dense", None,
                                        floats(0, (3, 5, 4)))], "expected projections that fit"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_heads_that_are_refused(name, tmp_path):
    config, options, written, message = WRONG[name]
    with pytest.raises(ModelFileError, match=f"end: {message}"):
        attended(tmp_path / "m.keras", tensor("x"), tensor("x"), config=config, written=written,
                 **options)  # fmt: skip


# --- one head -------------------------------------------------------------------------------


def scored(mode, query, key, scale, factor):
    if mode == "dot":
        return scale * query @ key.swapaxes(1, 2)
    return factor * np.tanh(scale * (query[:, :, None] + key[:, None])).sum(-1)


@pytest.mark.parametrize("mode", ["dot", "concat"])
@pytest.mark.parametrize("causal", [False, True])
def test_one_head(mode, causal, tmp_path):
    """With a scale, a causal mask and the weights; with masks of the query and the values."""
    row = layer("Attention", "end", use_scale=True, score_mode=mode)
    rows = [
        called(layer("Masking", "m"), tensor("x")),
        called(row, [tensor("m"), tensor("m")], use_causal_mask=causal,
               return_attention_scores=True),
    ]  # fmt: skip
    arrays = [np.array(0.7, np.float32), np.array(1.5, np.float32)][: 1 + (mode == "concat")]
    model = models.branches(
        tmp_path / "m.keras", rows, [("end", 0, 0), ("end", 0, 1)], [("attention", "end", arrays)]
    )
    x = X.copy()
    x[0, 4:], x[1, 2] = 0, 0
    mask = (x != 0).any(-1)
    wide = x.astype(np.float64)
    allowed = mask[:, None] & (np.tril(np.ones((6, 6), bool)) if causal else True)
    weights = softmax(np.where(allowed, scored(mode, wide, wide, 0.7, 1.5), -1e9))
    y, shown = model.run(x)
    np.testing.assert_allclose(shown, weights, atol=1e-5)
    np.testing.assert_allclose(y, (weights @ wide) * mask[..., None], atol=1e-5)
