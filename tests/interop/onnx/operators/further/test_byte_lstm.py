"""LSTM with weights of 8 bits: drawn settings and larger layers against onnxruntime."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx
from tests.interop.onnx import graphs, settings

pytest.importorskip("onnxruntime")
ORDER = ["B", "sequence_lens", "initial_h", "initial_c", "P"]
SEEDS = 40


def in_bytes(weight, r, dtype, columns):
    """ONNX's weight (directions, 4·H, ·) as numbers of 8 bits, their scale and zero point."""
    turned = weight.swapaxes(1, 2)
    axes = 1 if columns else (1, 2)
    scale = (np.abs(turned).max(axis=axes) / 127).astype(np.float32)
    # onnxruntime has one zero point for each direction.
    zero = np.zeros(scale.shape, dtype)
    if dtype == np.uint8:
        zero[:] = 128
        if not columns:
            zero[:] = r.integers(110, 140, zero.shape)
    wide, shift = (part.reshape(len(weight), 1, -1) for part in (scale, zero))
    limits = np.iinfo(dtype)
    q = np.clip(np.rint(turned / wide) + shift, limits.min, limits.max).astype(dtype)
    return np.ascontiguousarray(q), scale, zero


def quantized(seed):
    """A node of drawn settings; its weights and their scales are constants."""
    kind, attributes, given = settings.draw(3 * seed + 2)
    assert kind == "LSTM"
    if attributes.pop("layout", None):  # which onnxruntime does not have
        for name in ("X", "initial_h", "initial_c"):
            if given[name] is not None:
                given[name] = given[name].swapaxes(0, 1).copy()
    r = np.random.default_rng(seed)
    dtype = (np.int8, np.uint8)[int(r.integers(2))]
    columns = bool(r.integers(2))
    w, w_scale, w_zero = in_bytes(given["W"], r, dtype, columns)
    h, h_scale, h_zero = in_bytes(given["R"], r, dtype, columns)
    inputs = [
        given["X"], w, h, *(given[name] for name in ORDER), w_scale, w_zero, h_scale, h_zero,
    ]  # fmt: skip
    fixed = (1, 2, 8, 9, 10, 11) if seed % 2 else (1, 2, 3, 7, 8, 9, 10, 11)
    return graphs.single(
        "DynamicQuantizeLSTM", inputs, fixed, domain="com.microsoft", outputs=3, **attributes
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_drawn_settings(seed, backend):
    graphs.as_onnxruntime(*quantized(seed))


@pytest.mark.parametrize("rows", [1, 3])
def test_the_loop_of_the_core_is_numpys(rows):
    """In steps so few that no number is rounded to another byte."""
    r = np.random.default_rng(rows)
    weights = [r.standard_normal((2, 4 * 37, n)).astype(np.float32) / 4 for n in (5, 37)]
    parts = [part for weight in weights for part in in_bytes(weight, r, np.int8, True)]
    x = r.standard_normal((9, rows, 5)).astype(np.float32)
    lengths = r.integers(0, 10, rows).astype(np.int32)
    inputs = [x, parts[0], parts[3], None, lengths, *[None] * 3, *parts[1:3], *parts[4:]]
    fixed = (1, 2, *range(8, 12))
    model, given = graphs.single(
        "DynamicQuantizeLSTM", inputs, fixed, domain="com.microsoft", outputs=3, hidden_size=37,
        direction="bidirectional",
    )  # fmt: skip
    prepared, results = onnx.prepare(model), []
    for name in ("native", "reference"):
        with pyrnn.use_backend(name):
            results.append(prepared.run(given))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-6)


@pytest.mark.parametrize(("size", "rows"), [(128, 1), (48, 3)])
def test_what_the_quantizer_makes(size, rows, tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    plain, path = tmp_path / "plain.onnx", tmp_path / "bytes.onnx"
    onnx.save(pyrnn.LSTM(20, size, bidirectional=True, seed=0), plain)
    quantization.quantize_dynamic(plain, path, op_types_to_quantize=["LSTM"])
    x = np.random.default_rng(1).standard_normal((60, rows, 20)).astype(np.float32)
    state = np.zeros((2, rows, size), np.float32)
    given = {"x": x, "h_0": state, "c_0": state}
    expected = graphs.session(str(path)).run(None, given)
    found = onnx.prepare(path).run(given)
    for mine, theirs in zip(found, expected, strict=True):
        # A number in the middle between two bytes may go to the other one, because tanh differs in
        # its last bit; the following steps differ by that.
        assert abs(mine - theirs).max() < 1e-3
        assert abs(mine - theirs).mean() < 1e-5
    of_floats = onnx.prepare(plain).run(given)
    assert abs(of_floats[0] - found[0]).max() > 1e-3  # it is not the layer of floats


def test_layout_is_turned():
    r = np.random.default_rng(0)
    weights = [r.standard_normal((1, 16, n)).astype(np.float32) for n in (3, 4)]
    parts = [part for weight in weights for part in in_bytes(weight, r, np.int8, False)]
    x = r.standard_normal((5, 2, 3)).astype(np.float32)
    results = []
    for layout in (0, 1):
        inputs = [
            x.swapaxes(0, 1).copy() if layout else x, parts[0], parts[3], *[None] * 5,
            *parts[1:3], *parts[4:],
        ]  # fmt: skip
        model, free = graphs.single(
            "DynamicQuantizeLSTM", inputs, tuple(range(1, 12)), domain="com.microsoft",
            outputs=3, layout=layout, hidden_size=4,
        )  # fmt: skip
        results.append(onnx.prepare(model).run(free))
    (y, h, c), (y_first, h_first, c_first) = results
    assert np.array_equal(y_first, y.transpose(2, 0, 1, 3))
    assert np.array_equal(h_first, h.swapaxes(0, 1))
    assert np.array_equal(c_first, c.swapaxes(0, 1))
