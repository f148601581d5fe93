"""The GRU in the notation Wu, Wr, Wc: against its equations, differences and pyrnn.GRU."""

import numpy as np
import pytest

import pyrnn
from pyrnn.textbook import (
    gru_backward,
    gru_cell_backward,
    gru_cell_forward,
    gru_forward,
    sigmoid,
)


def parameters(n_a=5, n_x=3, n_y=2, seed=0):
    generator = np.random.default_rng(seed)
    found = {f"W{gate}": generator.normal(size=(n_a, n_a + n_x)) for gate in "urc"}
    found |= {f"b{gate}": generator.normal(size=(n_a, 1)) for gate in "urc"}
    return found | {"Wy": generator.normal(size=(n_y, n_a)), "by": generator.normal(size=(n_y, 1))}


def random(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_step_is_its_equations(backend):
    p, xt, a_prev = parameters(), random(3, 4), random(5, 4)
    a_next, yt_pred, cache = gru_cell_forward(xt, a_prev, p)
    joint = np.concatenate([a_prev, xt])
    u, r = sigmoid(p["Wu"] @ joint + p["bu"]), sigmoid(p["Wr"] @ joint + p["br"])
    candidate = np.tanh(p["Wc"] @ np.concatenate([r * a_prev, xt]) + p["bc"])
    np.testing.assert_allclose(a_next, u * candidate + (1 - u) * a_prev, rtol=1e-12)
    for part, expected in zip(cache, (a_next, a_prev, u, r, candidate, xt), strict=False):
        np.testing.assert_allclose(part, expected, rtol=1e-12)
    assert cache[-1] is p
    np.testing.assert_allclose(yt_pred.sum(axis=0), 1)


def test_a_sequence_is_its_steps(backend):
    p, x, a0 = parameters(), random(3, 4, 6), random(5, 4)
    a, y_pred, (cells, inputs) = gru_forward(x, a0, p)
    state = a0
    for t in range(6):
        state, yt, cell = gru_cell_forward(x[:, :, t], state, p)
        np.testing.assert_allclose(a[:, :, t], state, rtol=1e-12)
        np.testing.assert_allclose(y_pred[:, :, t], yt, rtol=1e-12)
        for part, expected in zip(cells[t][:6], cell[:6], strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-12)
    np.testing.assert_array_equal(inputs, x)


@pytest.mark.parametrize("steps", [1, 4])
def test_gradients_are_those_of_differences(steps, backend):
    functions = (gru_forward, gru_backward)
    report = pyrnn.gradcheck(functions, random(3, 2, steps), random(5, 2), parameters=parameters())
    assert report, str(report)
    assert {"x", "state", "Wu", "Wr", "Wc", "bu", "br", "bc"} == set(report.entries)


def test_gradients_of_a_step_are_those_of_differences(backend):
    functions = (gru_cell_forward, gru_cell_backward)
    assert pyrnn.gradcheck(functions, random(3, 2), random(5, 2), parameters=parameters())


def test_it_is_pyrnns_gru_with_the_reset_before(backend):
    p, x, a0 = parameters(), random(3, 4, 6), random(5, 4)
    layer = pyrnn.GRU(3, 5, reset_after=False, dtype="float64")
    for gate, sign, rows in (
        ("r", 1, slice(0, 5)),
        ("u", -1, slice(5, 10)),
        ("c", 1, slice(10, 15)),
    ):
        layer.parameters["weight_hh_l0"][rows] = sign * p[f"W{gate}"][:, :5]
        layer.parameters["weight_ih_l0"][rows] = sign * p[f"W{gate}"][:, 5:]
        layer.parameters["bias_ih_l0"][rows] = sign * p[f"b{gate}"][:, 0]
        layer.parameters["bias_hh_l0"][rows] = 0
    y, _ = layer(x.transpose(2, 1, 0), a0.T[None])
    np.testing.assert_allclose(gru_forward(x, a0, p)[0], y.transpose(2, 1, 0), rtol=1e-12)


def test_fewer_steps_than_caches_use_the_first(backend):
    p, x, a0 = parameters(), random(3, 4, 6), random(5, 4)
    _, _, caches = gru_forward(x, a0, p)
    da = random(5, 4, 2)
    found = gru_backward(da, caches)
    short = gru_backward(da, gru_forward(x[:, :, :2], a0, p)[2])
    for name, gradient in short.items():
        np.testing.assert_array_equal(found[name], gradient)
