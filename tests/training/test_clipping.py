"""Clipping of gradients: by hand, against torch, at the edges, errors."""

import math

import numpy as np
import pytest

from pyrnn import clip_grad_norm, clip_grad_value


def test_norm_is_over_all_arrays_and_all_shrink_alike(backend):
    grads = {"a": np.array([[2.0, 4.0]]), "b": np.array([4.0])}
    assert clip_grad_norm(grads, 3.0) == pytest.approx(6.0, rel=1e-15)
    factor = 3 / (6 + 1e-6)
    np.testing.assert_allclose(grads["a"], [[2 * factor, 4 * factor]], rtol=1e-15)
    np.testing.assert_allclose(grads["b"], [4 * factor], rtol=1e-15)


@pytest.mark.parametrize("max_norm", [5.1, 1e9])
def test_smaller_norms_change_nothing(max_norm, backend):
    grads = {"a": np.array([3.0, -4.0])}
    assert clip_grad_norm(grads, max_norm) == 5.0
    assert grads["a"].tolist() == [3.0, -4.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1.0, 100.0])
def test_norm_agrees_with_torch(dtype, max_norm, backend):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    grads = {name: generator.standard_normal((3, 5)).astype(dtype) for name in "abc"}
    tensors = [torch.zeros(3, 5, dtype=getattr(torch, dtype)) for _ in grads]
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.tensor(grad)
    expected = torch.nn.utils.clip_grad_norm_(tensors, max_norm)
    tolerance = 1e-13 if dtype == "float64" else 1e-6
    assert clip_grad_norm(grads, max_norm) == pytest.approx(expected.item(), rel=tolerance)
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=tolerance)


def test_norm_is_accumulated_in_float64(backend):
    """Squares of float32 numbers near 1e30 would overflow, and a million ones lose digits."""
    assert clip_grad_norm({"a": np.full(4, 1e30, np.float32)}, 1.0) == pytest.approx(2e30)
    many = {"a": np.full(1_000_001, 0.1, np.float32)}
    expected = math.sqrt(1_000_001 * float(np.float32(0.1)) ** 2)
    assert clip_grad_norm(many, 1e9) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("max_norm", [1.0, 1e-3, 1e-30])
@pytest.mark.parametrize("exponent", [0.999, 0.9, 0.5, -0.5, -0.9])
def test_norm_is_right_for_huge_and_tiny_gradients(dtype, max_norm, exponent, backend):
    """Neither squares nor factors leave the range of numbers, nor become subnormal."""
    tolerance = 1e-14 if dtype == "float64" else 1e-6
    size = 2.0 ** (np.finfo(dtype).maxexp * exponent)
    grads = {"a": np.array([0.6 * size, 0], dtype), "b": np.array([-0.8 * size], dtype)}
    assert clip_grad_norm(grads, max_norm) == pytest.approx(size, rel=tolerance, abs=0)
    factor = min(1, max_norm / (size + 1e-6))
    expected = np.array([0.6, 0, -0.8]) * size * factor
    got = np.concatenate([grads["a"], grads["b"]])
    least = np.finfo(dtype).tiny  # results below may be lost
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=least)


def test_an_infinite_gradient_makes_the_others_zero(backend):
    for dtype in ("float32", "float64"):
        grads = {"a": np.array([1.0, -np.inf], dtype)}
        with np.errstate(invalid="ignore"):
            assert clip_grad_norm(grads, 1.0) == math.inf
        np.testing.assert_array_equal(grads["a"], [0.0, np.nan])


def test_nan_is_told_and_spreads(backend):
    grads = {"a": np.array([1.0, np.nan]), "b": np.array([1.0])}
    assert math.isnan(clip_grad_norm(grads, 1.0))
    assert np.isnan(grads["a"]).all()
    assert np.isnan(grads["b"]).all()


def test_value_clips_each_element(backend):
    for dtype in ("float32", "float64"):
        grads = {"a": np.array([[-3.0, 0.5], [1.0, 1.5]], dtype), "b": np.array([np.nan], dtype)}
        assert clip_grad_value(grads, 1.0) is None
        assert grads["a"].tolist() == [[-1.0, 0.5], [1.0, 1.0]]
        assert np.isnan(grads["b"]).all()
        clip_grad_value(grads, 0.0)
        assert not grads["a"].any()


def test_infinity_is_clipped_too(backend):
    grads = {"a": np.array([-np.inf, np.inf])}
    clip_grad_value(grads, 2.0)
    assert grads["a"].tolist() == [-2.0, 2.0]


def test_no_arrays_and_empty_arrays(backend):
    assert clip_grad_norm({}, 1.0) == 0
    assert clip_grad_norm({"a": np.zeros((0, 3))}, 1.0) == 0
    clip_grad_value({"a": np.zeros((0, 3))}, 1.0)


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([1.0], TypeError, r"grads\['b'\]: expected a NumPy array, got list"),
        (np.ones(2, int), TypeError, r"grads\['b'\]: expected float32 or float64, got int64"),
        (np.ones((4, 4))[::2, ::2], ValueError, r"grads\['b'\]: expected a contiguous array"),
        (np.frombuffer(bytes(16)), ValueError, r"grads\['b'\]: expected a writeable array"),
    ],
    ids=str,
)
def test_wrong_arrays_change_nothing(clip, bad, error, message, backend):
    grads = {"a": np.array([7.0]), "b": bad}
    with pytest.raises(error, match=message):
        clip(grads, 1.0)
    assert grads["a"] == 7


@pytest.mark.parametrize(
    ("clip", "name"), [(clip_grad_norm, "max_norm"), (clip_grad_value, "limit")]
)
def test_wrong_bounds(clip, name):
    grads = {"a": np.array([7.0])}
    for bound, error in ((-1.0, ValueError), (math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error, match=f"{name}: expected a number"):
            clip(grads, bound)
    with pytest.raises(TypeError, match="grads: expected a dict of arrays, got ndarray"):
        clip(np.ones(2), 1.0)
    assert grads["a"] == 7
