"""Layer-normalised cells against a loop in torch, with its layer_norm and its gradients."""

import numpy as np
import pytest

from pyrnn.reference.cells import CELLS
from pyrnn.reference.layer_norm import normalise

UNITS, INPUTS, ROWS = 5, 3, 4
EPSILON = 1e-5


def test_rows_have_mean_zero_and_variance_one():
    a = np.random.default_rng(0).standard_normal((6, 50)) * 30 + 7
    n, scale = normalise(a)
    np.testing.assert_allclose(n.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(n.var(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(scale[:, 0], 1 / np.sqrt(a.var(axis=1) + EPSILON), rtol=1e-13)


def test_a_constant_row_becomes_zero():
    assert not normalise(np.full((2, 4), 3.0)).value.any()


def lstm(torch, x, state, p):
    norm = torch.nn.functional.layer_norm
    h, c = state
    z = norm(x @ p["weight_ih"].T, (4 * UNITS,), p["gain_ih"], p.get("bias_ih"), EPSILON)
    z = z + norm(h @ p["weight_hh"].T, (4 * UNITS,), p["gain_hh"], p.get("bias_hh"), EPSILON)
    i, f, g, o = z.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    normal = norm(c, (UNITS,), p["gain_c"], p.get("bias_c"), EPSILON)
    return torch.sigmoid(o) * torch.tanh(normal), c


def gru(torch, x, state, p):
    norm = torch.nn.functional.layer_norm
    (h,) = state
    a = norm(x @ p["weight_ih"].T, (3 * UNITS,), p["gain_ih"], p.get("bias_ih"), EPSILON)
    b = norm(h @ p["weight_hh"].T, (3 * UNITS,), p["gain_hh"], p.get("bias_hh"), EPSILON)
    (a_r, a_z, a_n), (b_r, b_z, b_n) = a.chunk(3, 1), b.chunk(3, 1)
    z = torch.sigmoid(a_z + b_z)
    return ((1 - z) * torch.tanh(a_n + torch.sigmoid(a_r + b_r) * b_n) + z * h,)


@pytest.mark.parametrize(("name", "step"), [("lstm_layer_norm", lstm), ("gru_layer_norm", gru)])
@pytest.mark.parametrize("bias", [True, False])
def test_one_step_is_that_of_torch(name, step, bias):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    cell = CELLS[name]
    shapes = cell.shapes(INPUTS, UNITS, bias)
    parameters = {n: generator.standard_normal(shape) for n, shape in shapes.items()}
    x = generator.standard_normal((ROWS, INPUTS))
    state = tuple(generator.standard_normal((ROWS, UNITS)) for _ in range(cell.states))
    dafter = tuple(generator.standard_normal((ROWS, UNITS)) for _ in range(cell.states))

    after, saved = cell.forward(x, state, parameters, None)
    dx, dstate, grads = cell.backward(saved, dafter, parameters)

    arrays = {"x": x, **{f"state {n}": s for n, s in enumerate(state)}, **parameters}
    leaves = {n: torch.from_numpy(a.copy()).requires_grad_() for n, a in arrays.items()}
    states = tuple(leaves[f"state {n}"] for n in range(cell.states))
    expected = step(torch, leaves["x"], states, leaves)
    torch.autograd.backward(expected, [torch.from_numpy(d) for d in dafter])
    for got, one in zip(after, expected, strict=True):
        np.testing.assert_allclose(got, one.detach().numpy(), rtol=0, atol=1e-13)
    found = {"x": dx, **{f"state {n}": d for n, d in enumerate(dstate)}, **grads}
    for n, leaf in leaves.items():
        np.testing.assert_allclose(found[n], leaf.grad.numpy(), rtol=0, atol=1e-12, err_msg=n)
