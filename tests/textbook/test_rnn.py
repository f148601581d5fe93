"""The notation Wax, Waa, Wya, ba, by: the notebook's printed values, and the gradients' meaning."""

import copy

import numpy as np
import pytest

from pyrnn.textbook import rnn_backward, rnn_cell_backward, rnn_cell_forward, rnn_forward, softmax

PARAMETERS = {"Wax": (5, 3), "Waa": (5, 5), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}


def draw(*shapes, order=PARAMETERS, seed=1):
    """Arrays as the notebook draws them: the inputs, then the parameters in ``order``."""
    generator = np.random.RandomState(seed)
    inputs = [generator.randn(*shape) for shape in shapes]
    return *inputs, {name: generator.randn(*PARAMETERS[name]) for name in order}, generator


FORWARD_ORDER = ("Waa", "Wax", "Wya", "ba", "by")


# --- the values that the notebook prints ------------------------------------------------------


def printed(text):
    """A row as the notebook prints it."""
    return np.array(text.split(), dtype=np.float64)


def test_notebook_cell_forward(backend):
    xt, a_prev, parameters, _ = draw((3, 10), (5, 10), order=FORWARD_ORDER)
    a_next, yt_pred, cache = rnn_cell_forward(xt, a_prev, parameters)
    assert (a_next.shape, yt_pred.shape, len(cache)) == ((5, 10), (2, 10), 4)
    np.testing.assert_allclose(
        a_next[4],
        printed(
            "0.59584544 0.18141802 0.61311866 0.99808218 0.85016201 "
            "0.99980978 -0.18887155 0.99815551 0.6531151 0.82872037"
        ),
        rtol=0,
        atol=5e-9,
    )
    np.testing.assert_allclose(
        yt_pred[1],
        printed(
            "0.9888161 0.01682021 0.21140899 0.36817467 0.98988387 "
            "0.88945212 0.36920224 0.9966312 0.9982559 0.17746526"
        ),
        rtol=0,
        atol=5e-9,
    )


def test_notebook_forward(backend):
    x, a0, parameters, _ = draw((3, 10, 4), (5, 10), order=FORWARD_ORDER)
    a, y_pred, caches = rnn_forward(x, a0, parameters)
    assert (a.shape, y_pred.shape, len(caches)) == ((5, 10, 4), (2, 10, 4), 2)
    expected_a = [-0.99999375, 0.77911235, -0.99861469, -0.99833267]
    np.testing.assert_allclose(a[4][1], expected_a, rtol=0, atol=5e-9)
    expected_y = [0.79560373, 0.86224861, 0.11118257, 0.81515947]
    np.testing.assert_allclose(y_pred[1][3], expected_y, rtol=0, atol=5e-9)
    expected_x = [-1.1425182, -0.34934272, -0.20889423, 0.58662319]
    np.testing.assert_allclose(caches[1][1][3], expected_x, rtol=0, atol=5e-9)


def test_notebook_cell_backward(backend):
    xt, a_prev, parameters, generator = draw((3, 10), (5, 10))
    _, _, cache = rnn_cell_forward(xt, a_prev, parameters)
    gradients = rnn_cell_backward(generator.randn(5, 10), cache)
    assert list(gradients) == ["dxt", "da_prev", "dWax", "dWaa", "dba"]
    assert {name: gradient.shape for name, gradient in gradients.items()} == {
        "dxt": (3, 10),
        "da_prev": (5, 10),
        "dWax": (5, 3),
        "dWaa": (5, 5),
        "dba": (5, 1),
    }
    assert gradients["dxt"][1][2] == pytest.approx(-1.3872130506, abs=5e-11)
    assert gradients["da_prev"][2][3] == pytest.approx(-0.152399493774, abs=5e-13)
    assert gradients["dWax"][3][1] == pytest.approx(0.410772824935, abs=5e-13)
    assert gradients["dWaa"][1][2] == pytest.approx(1.15034506685, abs=5e-12)
    assert gradients["dba"][4] == pytest.approx([0.20023491], abs=5e-9)


def test_notebook_backward(backend):
    x, a0, parameters, generator = draw((3, 10, 4), (5, 10))
    _, _, caches = rnn_forward(x, a0, parameters)
    gradients = rnn_backward(generator.randn(5, 10, 4), caches)
    assert list(gradients) == ["dx", "da0", "dWax", "dWaa", "dba"]
    expected_dx = [-2.07101689, -0.59255627, 0.02466855, 0.01483317]
    np.testing.assert_allclose(gradients["dx"][1][2], expected_dx, rtol=0, atol=5e-9)
    assert gradients["da0"][2][3] == pytest.approx(-0.314942375127, abs=5e-13)
    assert gradients["dWax"][3][1] == pytest.approx(11.2641044965, abs=5e-11)
    assert gradients["dWaa"][1][2] == pytest.approx(2.30333312658, abs=5e-12)
    assert gradients["dba"][4] == pytest.approx([-0.74747722], abs=5e-9)


# --- what the functions mean ------------------------------------------------------------------


def plain_forward(x, a0, p):
    """The article's equations, step by step in NumPy."""
    states, outputs, a = [], [], a0
    for t in range(x.shape[2]):
        a = np.tanh(p["Waa"] @ a + p["Wax"] @ x[:, :, t] + p["ba"])
        states.append(a)
        outputs.append(softmax(p["Wya"] @ a + p["by"]))
    return np.stack(states, axis=2), np.stack(outputs, axis=2)


def test_forward_is_the_equations(backend):
    x, a0, parameters, _ = draw((3, 7, 6), (5, 7), seed=2)
    a, y_pred, _ = rnn_forward(x, a0, parameters)
    expected_a, expected_y = plain_forward(x, a0, parameters)
    np.testing.assert_allclose(a, expected_a, rtol=0, atol=1e-13)
    np.testing.assert_allclose(y_pred, expected_y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(y_pred.sum(axis=0), np.ones((7, 6)), rtol=1e-14)


def test_a_sequence_is_its_steps(backend):
    x, a0, parameters, _ = draw((3, 4, 5), (5, 4), seed=3)
    a, y_pred, (cells, kept) = rnn_forward(x, a0, parameters)
    np.testing.assert_array_equal(kept, x)
    a_prev = a0
    for t in range(5):
        a_next, yt_pred, cache = rnn_cell_forward(x[:, :, t], a_prev, parameters)
        np.testing.assert_array_equal(a[:, :, t], a_next)
        np.testing.assert_allclose(y_pred[:, :, t], yt_pred, rtol=0, atol=1e-15)
        for part, expected in zip(cells[t], (a_next, a_prev, x[:, :, t]), strict=False):
            np.testing.assert_array_equal(part, expected)
        assert cells[t][3] is parameters
        assert cache[3] is parameters
        a_prev = a_next


def test_caches_do_not_share_memory_with_the_states(backend):
    x, a0, parameters, generator = draw((3, 1, 1), (5, 1), seed=3)
    a, _, caches = rnn_forward(x, a0, parameters)
    da = generator.randn(5, 1, 1)
    expected = rnn_backward(da, copy.deepcopy(caches))
    a[:] = 0
    assert rnn_backward(da, caches)["dx"].tolist() == expected["dx"].tolist()
    assert caches[0][0][0].any()


def test_cell_gradients_are_those_of_finite_differences(backend, numeric):
    xt, a_prev, parameters, generator = draw((3, 4), (5, 4), seed=4)
    da_next = generator.randn(5, 4)
    arrays = {"xt": xt, "a_prev": a_prev} | {n: parameters[n] for n in ("Wax", "Waa", "ba")}

    def loss(moved):
        a_next, _, _ = rnn_cell_forward(moved["xt"], moved["a_prev"], parameters | moved)
        return float((a_next * da_next).sum())

    _, _, cache = rnn_cell_forward(xt, a_prev, parameters)
    gradients = rnn_cell_backward(da_next, cache)
    for name, expected in numeric(loss, arrays).items():
        np.testing.assert_allclose(gradients[f"d{name}"], expected, rtol=0, atol=2e-8)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_sequence_gradients_are_those_of_finite_differences(backend, numeric, steps):
    x, a0, parameters, generator = draw((3, 2, 5), (5, 2), seed=5)
    da = generator.randn(5, 2, steps)
    arrays = {"x": x, "a0": a0} | {n: parameters[n] for n in ("Wax", "Waa", "ba")}

    def loss(moved):
        a, _, _ = rnn_forward(moved["x"], moved["a0"], parameters | moved)
        return float((a[:, :, :steps] * da).sum())

    _, _, caches = rnn_forward(x, a0, parameters)
    gradients = rnn_backward(da, caches)
    expected = numeric(loss, arrays)
    assert gradients["dx"].shape == (3, 2, steps)
    np.testing.assert_array_equal(expected["x"][:, :, steps:], 0)
    expected["x"] = expected["x"][:, :, :steps]
    for name, gradient in expected.items():
        np.testing.assert_allclose(gradients[f"d{name}"], gradient, rtol=0, atol=2e-8)


def test_gradients_need_neither_the_output_layer_nor_forwards_own_tuples(backend):
    x, a0, parameters, generator = draw((3, 4, 5), (5, 4), seed=6)
    da = generator.randn(5, 4, 5)
    _, _, caches = rnn_forward(x, a0, parameters)
    recurrent = {name: parameters[name].copy() for name in ("Wax", "Waa", "ba")}
    built, a_prev = [], a0
    for t in range(5):
        a_next = plain_forward(x[:, :, t : t + 1], a_prev, parameters)[0][:, :, 0]
        built.append((a_next, a_prev, x[:, :, t].copy(), recurrent))
        a_prev = a_next
    expected = rnn_backward(da, caches)
    for name, gradient in rnn_backward(da, (built, x)).items():
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=1e-13)


def test_gradients_are_torchs(backend):
    torch = pytest.importorskip("torch")
    x, a0, p, generator = draw((3, 4, 6), (5, 4), seed=7)
    da = generator.randn(5, 4, 6)
    layer = torch.nn.RNN(3, 5).double()
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.from_numpy(p["Wax"]))
        layer.weight_hh_l0.copy_(torch.from_numpy(p["Waa"]))
        layer.bias_ih_l0.copy_(torch.from_numpy(p["ba"][:, 0]))
        layer.bias_hh_l0.zero_()
    xt = torch.from_numpy(x.T.copy()).requires_grad_()
    ht = torch.from_numpy(a0.T.copy()[None]).requires_grad_()
    y, _ = layer(xt, ht)
    (y * torch.from_numpy(da.T.copy())).sum().backward()
    a, _, caches = rnn_forward(x, a0, p)
    np.testing.assert_allclose(a, y.detach().numpy().T, rtol=0, atol=1e-13)
    expected = {
        "dx": xt.grad.numpy().T,
        "da0": ht.grad.numpy()[0].T,
        "dWax": layer.weight_ih_l0.grad.numpy(),
        "dWaa": layer.weight_hh_l0.grad.numpy(),
        "dba": layer.bias_ih_l0.grad.numpy()[:, None],
    }
    for name, gradient in rnn_backward(da, caches).items():
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=1e-12)


def test_float32_stays_float32(backend):
    x, a0, parameters, generator = draw((3, 4, 5), (5, 4), seed=8)
    single = {name: array.astype(np.float32) for name, array in parameters.items()}
    a, y_pred, caches = rnn_forward(x.astype(np.float32), a0.astype(np.float32), single)
    da = generator.randn(5, 4, 5)
    gradients = rnn_backward(da.astype(np.float32), caches)
    assert {array.dtype for array in (a, y_pred, *gradients.values())} == {np.dtype(np.float32)}
    expected_a, expected_y, caches = rnn_forward(x, a0, parameters)
    np.testing.assert_allclose(a, expected_a, rtol=0, atol=1e-5)
    np.testing.assert_allclose(y_pred, expected_y, rtol=0, atol=1e-5)
    for name, expected in rnn_backward(da, caches).items():
        np.testing.assert_allclose(gradients[name], expected, rtol=0, atol=2e-5)


def test_any_memory_layout_is_taken(backend):
    x, a0, parameters, _ = draw((3, 4, 5), (5, 4), seed=9)
    strided = {name: np.asfortranarray(array) for name, array in parameters.items()}
    expected, _, _ = rnn_forward(x, a0, parameters)
    a, _, _ = rnn_forward(np.asfortranarray(x), np.repeat(a0, 2, axis=1)[:, ::2], strided)
    np.testing.assert_array_equal(a, expected)


def test_one_hot_integers_are_numbers(backend):
    _, a_prev, parameters, _ = draw((3, 3), (5, 3), seed=10)
    one_hot = np.eye(3, dtype=np.int64)
    a_next, _, cache = rnn_cell_forward(one_hot, a_prev, parameters)
    expected, _, _ = rnn_cell_forward(one_hot.astype(float), a_prev, parameters)
    np.testing.assert_array_equal(a_next, expected)
    assert rnn_cell_backward(np.ones((5, 3)), cache)["dxt"].shape == (3, 3)


# --- wrong arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"xt": np.ones((4, 10))}, r"xt: expected shape \(n_x, m\) = \(3, 10\), got \(4, 10\)"),
        ({"a_prev": np.ones((5, 9))}, r"a_prev: expected shape \(n_a, m\) = \(5, 10\)"),
        ({"xt": np.ones(3)}, r"xt: expected shape \(n_x, m\), got \(3,\)"),
        ({"ba": np.ones(5)}, r"ba: expected shape \(n_a, 1\), got \(5,\)"),
        ({"Waa": np.ones((5, 4))}, r"Waa: expected shape \(n_a, n_a\) = \(5, 5\), got \(5, 4\)"),
        ({"by": np.ones((3, 1))}, r"by: expected shape \(n_y, 1\) = \(2, 1\), got \(3, 1\)"),
        ({"xt": np.ones((3, 0)), "a_prev": np.ones((5, 0))}, r"xt: .* sizes of at least 1"),
    ],
)
def test_wrong_shapes(backend, changed, message):
    xt, a_prev, parameters, _ = draw((3, 10), (5, 10))
    values = {"xt": xt, "a_prev": a_prev} | parameters | changed
    with pytest.raises(ValueError, match=message):
        rnn_cell_forward(values.pop("xt"), values.pop("a_prev"), values)


def test_wrong_kinds(backend):
    xt, a_prev, parameters, _ = draw((3, 10), (5, 10))
    with pytest.raises(KeyError, match="parameters: Wya is missing"):
        rnn_cell_forward(xt, a_prev, {n: a for n, a in parameters.items() if n != "Wya"})
    with pytest.raises(TypeError, match="parameters: expected a dict"):
        rnn_cell_forward(xt, a_prev, list(parameters.values()))
    with pytest.raises(TypeError, match="xt: expected an array of float32 or float64, got complex"):
        rnn_cell_forward(xt + 0j, a_prev, parameters)
    with pytest.raises(ValueError, match=r"x: expected shape \(n_x, m, T\), got \(3, 10\)"):
        rnn_forward(xt, a_prev, parameters)


def test_wrong_gradients_and_caches(backend):
    x, a0, parameters, _ = draw((3, 4, 5), (5, 4))
    _, _, caches = rnn_forward(x, a0, parameters)
    with pytest.raises(ValueError, match=r"da_next: expected shape \(n_a, m\) = \(5, 4\)"):
        rnn_cell_backward(np.ones((4, 4)), caches[0][0])
    with pytest.raises(ValueError, match=r"cache: expected the tuple \(a_next, a_prev, xt, par"):
        rnn_cell_backward(np.ones((5, 4)), caches)
    with pytest.raises(ValueError, match="da: expected 1 to 5 steps, as in caches, got 6"):
        rnn_backward(np.ones((5, 4, 6)), caches)
    with pytest.raises(ValueError, match=r"da: expected shape \(n_a, m, T\), got \(5, 4\)"):
        rnn_backward(np.ones((5, 4)), caches)
    with pytest.raises(ValueError, match=r"caches\[0\]\[1\]: expected the state after step 0"):
        rnn_backward(np.ones((5, 4, 3)), (caches[0][::2], x))
