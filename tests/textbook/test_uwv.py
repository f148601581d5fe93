"""The notation U, W, V: the same network as Wax, Waa, Wya, and the gradient inside the tanh."""

import numpy as np
import pytest

import pyrnn.textbook as textbook
from pyrnn.textbook import softmax, uwv


def draw(seed=1, columns=4):
    generator = np.random.RandomState(seed)
    x_t, s_prev = generator.randn(3, columns), generator.randn(5, columns)
    shapes = {"U": (5, 3), "W": (5, 5), "V": (3, 5), "ba": (5, 1), "by": (3, 1)}
    parameters = {name: generator.randn(*shape) for name, shape in shapes.items()}
    return x_t, s_prev, parameters, generator


def test_forward_is_the_equations(backend):
    x_t, s_prev, p, _ = draw()
    s_next, out_pred, cache = uwv.rnn_cell_forward(x_t, s_prev, p)
    expected = np.tanh(p["U"] @ x_t + p["W"] @ s_prev + p["ba"])
    np.testing.assert_allclose(s_next, expected, rtol=0, atol=1e-14)
    expected_out = softmax(p["V"] @ expected + p["by"])
    np.testing.assert_allclose(out_pred, expected_out, rtol=0, atol=1e-14)
    assert len(cache) == 4
    for part, value in zip(cache, (s_next, s_prev, x_t), strict=False):
        np.testing.assert_array_equal(part, value)
    assert cache[3] is p


def test_it_is_the_network_of_the_other_notation(backend):
    x_t, s_prev, p, generator = draw(seed=2)
    renamed = {"Wax": p["U"], "Waa": p["W"], "Wya": p["V"], "ba": p["ba"], "by": p["by"]}
    s_next, out_pred, cache = uwv.rnn_cell_forward(x_t, s_prev, p)
    a_next, yt_pred, other = textbook.rnn_cell_forward(x_t, s_prev, renamed)
    np.testing.assert_array_equal(s_next, a_next)
    np.testing.assert_array_equal(out_pred, yt_pred)
    gradient = generator.randn(5, 4)
    found = uwv.rnn_cell_backward(gradient, cache)
    expected = textbook.rnn_cell_backward(gradient, other)
    names = {"dx_t": "dxt", "ds_prev": "da_prev", "dU": "dWax", "dW": "dWaa", "dba": "dba"}
    for name, other_name in names.items():
        np.testing.assert_array_equal(found[name], expected[other_name])


def test_gradients_are_those_of_finite_differences(backend, numeric):
    x_t, s_prev, p, generator = draw(seed=3)
    ds_next = generator.randn(5, 4)
    arrays = {"x_t": x_t, "s_prev": s_prev, "U": p["U"], "W": p["W"], "ba": p["ba"]}

    def loss(moved):
        s_next, _, _ = uwv.rnn_cell_forward(moved["x_t"], moved["s_prev"], p | moved)
        return float((s_next * ds_next).sum())

    _, _, cache = uwv.rnn_cell_forward(x_t, s_prev, p)
    gradients = uwv.rnn_cell_backward(ds_next, cache)
    assert sorted(gradients) == sorted(["dtanh", "dx_t", "ds_prev", "dU", "dW", "dba"])
    for name, expected in numeric(loss, arrays).items():
        np.testing.assert_allclose(gradients[f"d{name}"], expected, rtol=0, atol=2e-8)


def test_dtanh_is_the_gradient_inside_the_tanh(backend, numeric):
    x_t, s_prev, p, generator = draw(seed=4)
    ds_next = generator.randn(5, 4)
    inside = p["U"] @ x_t + p["W"] @ s_prev + p["ba"]
    _, _, cache = uwv.rnn_cell_forward(x_t, s_prev, p)
    gradients = uwv.rnn_cell_backward(ds_next, cache)
    found = numeric(lambda z: float((np.tanh(z["z"]) * ds_next).sum()), {"z": inside})["z"]
    np.testing.assert_allclose(gradients["dtanh"], found, rtol=0, atol=2e-8)
    np.testing.assert_allclose(
        gradients["dba"], gradients["dtanh"].sum(axis=1, keepdims=True), rtol=0, atol=1e-14
    )


def test_the_output_layer_is_not_needed_for_the_way_back(backend):
    x_t, s_prev, p, generator = draw(seed=5, columns=1)
    s_next, _, cache = uwv.rnn_cell_forward(x_t, s_prev, p)
    ds_next = generator.randn(5, 1)
    short = (s_next, s_prev, x_t, {name: p[name] for name in ("U", "W", "ba")})
    expected = uwv.rnn_cell_backward(ds_next, cache)
    for name, gradient in uwv.rnn_cell_backward(ds_next, short).items():
        np.testing.assert_array_equal(gradient, expected[name])


def test_float32_stays_float32(backend):
    x_t, s_prev, p, _ = draw(seed=6)
    single = {name: array.astype(np.float32) for name, array in p.items()}
    s_next, out_pred, cache = uwv.rnn_cell_forward(
        x_t.astype(np.float32), s_prev.astype(np.float32), single
    )
    gradients = uwv.rnn_cell_backward(np.ones((5, 4), np.float32), cache)
    found = (s_next, out_pred, *gradients.values())
    assert {array.dtype for array in found} == {np.dtype(np.float32)}


def test_wrong_arguments(backend):
    x_t, s_prev, p, _ = draw()
    with pytest.raises(KeyError, match="parameters: V is missing; expected W, U, ba, V, by"):
        uwv.rnn_cell_forward(x_t, s_prev, {n: a for n, a in p.items() if n != "V"})
    with pytest.raises(ValueError, match=r"x_t: expected shape \(n_x, m\) = \(3, 4\), got \(2, 4"):
        uwv.rnn_cell_forward(x_t[:2], s_prev, p)
    with pytest.raises(ValueError, match=r"U: expected shape \(n_s, n_x\) = \(5, 3\), got \(4, 3"):
        uwv.rnn_cell_forward(x_t, s_prev, p | {"U": p["U"][:4]})
    _, _, cache = uwv.rnn_cell_forward(x_t, s_prev, p)
    with pytest.raises(ValueError, match=r"ds_next: expected shape \(n_s, m\) = \(5, 4\)"):
        uwv.rnn_cell_backward(np.ones((5, 3)), cache)
    with pytest.raises(TypeError, match=r"cache: expected the tuple \(s_next, s_prev, x_t, par"):
        uwv.rnn_cell_backward(np.ones((5, 4)), None)


def test_a_gradient_of_float64_after_a_step_of_float32(backend):
    """The step's own rounding is no sign of changed parameters."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        shapes = {"U": (4, 3), "W": (4, 4), "V": (2, 4), "ba": (4, 1), "by": (2, 1)}
        parameters = {
            name: generator.standard_normal(shape).astype(np.float32)
            for name, shape in shapes.items()
        }
        x_t, s_prev = (generator.standard_normal((n, 5)).astype(np.float32) for n in (3, 4))
        _, _, cache = uwv.rnn_cell_forward(x_t, s_prev, parameters)
        assert uwv.rnn_cell_backward(np.ones((4, 5)), cache)["dU"].dtype == np.float64
