"""gradient_flow: against differences and closed forms, for every recurrent layer; its picture."""

import copy

import numpy as np
import pytest

import pyrnn
from pyrnn.diagnostics import gradient_flow


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


LAYERS = {
    "RNN": lambda: pyrnn.RNN(3, 4, dtype="float64", seed=0),
    "stacked LSTM": lambda: pyrnn.LSTM(3, 4, 2, dtype="float64", seed=0),
    "projected LSTM": lambda: pyrnn.LSTM(3, 4, proj_size=2, dtype="float64", seed=0),
    "layer-normalised GRU": lambda: pyrnn.GRU(3, 4, layer_norm=True, dtype="float64", seed=0),
    "batch_first MinGRU": lambda: pyrnn.MinGRU(3, 4, batch_first=True, dtype="float64", seed=0),
}


def sequence(layer, steps, rows):
    x = random(steps, rows, 3)
    return x.swapaxes(0, 1) if layer.batch_first else x


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def whole(found):
    return found[0] if len(found) == 1 else tuple(found)


@pytest.mark.parametrize("name", LAYERS)
def test_norms_and_singular_values_are_those_of_differences(name, backend):
    layer = LAYERS[name]()
    steps, epsilon = 5, 1e-6
    x = sequence(layer, steps, 1)
    flow = gradient_flow(layer, x, seed=3)

    def end(state, first):
        rest = x[:, first:] if layer.batch_first else x[first:]
        return parts(layer(rest, whole(state))[1]) if first < steps else state

    zero = tuple(np.zeros_like(part) for part in parts(layer(x)[1]))
    states = [zero]
    for step in range(steps):
        x_t = x[:, step : step + 1] if layer.batch_first else x[step : step + 1]
        states.append(parts(layer(x_t, whole(states[-1]))[1]))
    jacobians = []
    for step in range(steps):
        columns = []
        for number, part in enumerate(states[step]):
            for position in range(part.size):
                ends = []
                for sign in (1, -1):
                    moved = [p.copy() for p in states[step]]
                    moved[number].reshape(-1)[position] += sign * epsilon
                    x_t = x[:, step : step + 1] if layer.batch_first else x[step : step + 1]
                    after = parts(layer(x_t, whole(moved))[1])
                    ends.append(np.concatenate([p.reshape(-1) for p in after]))
                columns.append((ends[0] - ends[1]) / (2 * epsilon))
        jacobians.append(np.array(columns).T)
        expected = np.linalg.svd(jacobians[-1], compute_uv=False)
        np.testing.assert_allclose(flow.singular_values[step], expected, rtol=1e-6, atol=1e-8)

    # u itself is only known by its norm, so the products of Jacobians are held to the norms by a
    # layer with one way to choose u: gradients of u . h for u drawn again.
    u = np.random.default_rng(3).standard_normal(states[-1][0].shape[1:])
    gradient = [np.zeros_like(part) for part in states[-1]]
    gradient[0][-1] = u / np.linalg.norm(u, axis=-1, keepdims=True)
    vector = np.concatenate([part.reshape(-1) for part in gradient])
    for lag, jacobian in enumerate(reversed(jacobians), start=1):
        vector = jacobian.T @ vector
        start = 0
        for key, part in zip("hc", states[0], strict=False):
            piece = vector[start : start + part.size].reshape(part.shape[0], -1)
            start += part.size
            norms = np.linalg.norm(piece, axis=1)
            np.testing.assert_allclose(flow.norms[key][lag], norms, rtol=1e-6, atol=1e-10)


class Linear:
    """h' = Q h + W x, whose gradients are known."""

    def __init__(self, q):
        self.parameters = {"Q": q, "W": random(len(q), 2)}

    def forward(self, x, state=None):
        h = np.zeros((x.shape[1], len(self.parameters["Q"]))) if state is None else state
        for x_t in x:
            h = h @ self.parameters["Q"].T + x_t @ self.parameters["W"].T
        return h[None], h, len(x)

    def backward(self, steps, dy, dstate):
        dh = dy[0] + dstate
        for _ in range(steps):
            dh = dh @ self.parameters["Q"]
        return None, dh, {}


def test_an_orthogonal_linear_network_keeps_the_norm():
    q, _ = np.linalg.qr(random(6, 6))
    flow = gradient_flow(Linear(q), random(30, 4, 2))
    np.testing.assert_allclose(flow.norms["h"], np.ones((31, 1)), rtol=1e-12)
    np.testing.assert_allclose(flow.singular_values, np.ones((30, 6)), rtol=1e-12)


def test_half_the_identity_halves_the_norm_each_step():
    flow = gradient_flow(Linear(np.eye(5) / 2), random(20, 1, 2))
    np.testing.assert_allclose(flow.norms["h"][:, 0], 0.5 ** np.arange(21), rtol=1e-12)
    assert flow.half_life() == pytest.approx(1.0)
    assert gradient_flow(Linear(np.eye(5) * 2), random(9, 1, 2)).half_life() == pytest.approx(-1.0)


def test_a_relu_network_by_the_identity_keeps_the_norm(backend):
    layer = pyrnn.RNN(2, 4, nonlinearity="relu", initialization="identity", dtype="float64")
    flow = gradient_flow(layer, np.zeros((40, 3, 2)), np.ones((1, 3, 4)))
    np.testing.assert_allclose(flow.norms["h"], np.ones((41, 1)), rtol=1e-12)


def test_a_cell_is_measured_as_a_layer_with_its_weights(backend):
    layer = pyrnn.LSTM(3, 4, dtype="float64", seed=0)
    cell = pyrnn.LSTMCell(3, 4, dtype="float64", seed=1)
    for name, array in layer.parameters.items():
        cell.parameters[name.removesuffix("_l0")][...] = array
    x = random(6, 2, 3)
    by_layer, by_cell = gradient_flow(layer, x), gradient_flow(cell, x)
    for name, norms in by_layer.norms.items():
        np.testing.assert_allclose(by_cell.norms[name], norms, rtol=1e-12)
    np.testing.assert_allclose(by_cell.singular_values, by_layer.singular_values, rtol=1e-9)


def test_one_sequence_without_the_axis_of_the_batch(backend):
    layer = pyrnn.GRU(3, 4, dtype="float64", seed=0)
    x, state = random(5, 3), random(1, 4)
    alone = gradient_flow(layer, x, state)
    batch = gradient_flow(layer, x[:, None], state[:, None])
    np.testing.assert_array_equal(alone.norms["h"], batch.norms["h"])


def test_a_model_with_an_output_layer_and_indices(backend):
    model = pyrnn.CharacterModel("abcd", "lstm", 6, dtype="float64", seed=0)
    flow = gradient_flow(model, np.array([[0, 1], [2, 3], [1, 1]]))
    assert flow.norms["h"].shape == (4, 1)
    assert flow.norms["h"][0, 0] == pytest.approx(1.0)
    assert flow.singular_values.shape == (3, 12)


def test_the_target_stays_as_it_is(backend):
    layer = pyrnn.LSTM(3, 4, 2, dropout=0.5, dtype="float64", seed=0)
    twin, x = copy.deepcopy(layer), random(4, 2, 3)
    before = {name: array.copy() for name, array in layer.parameters.items()}
    gradient_flow(layer, x)
    for name, array in before.items():
        np.testing.assert_array_equal(layer.parameters[name], array)
    assert np.array_equal(layer(x)[0], twin(x)[0])  # nor is any of its dropout drawn


def test_without_jacobians_there_are_no_singular_values():
    flow = gradient_flow(pyrnn.GRU(3, 4, seed=0), np.ones((4, 1, 3), np.float32), jacobians=False)
    assert flow.singular_values.size == 0


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (pyrnn.GRU(3, 4, bidirectional=True), ValueError, "target: expected a layer of one dir"),
        (pyrnn.Linear(3, 4), ValueError, "target: expected one with a state, but Linear has none"),
        ("layer", TypeError, "target: expected a recurrent layer, cell or model, got str"),
    ],
)
def test_what_has_no_direction_of_time_is_refused(target, error, message):
    with pytest.raises(error, match=message):
        gradient_flow(target, np.ones((4, 1, 3), np.float32))


def test_an_x_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="x: expected at least one step"):
        gradient_flow(pyrnn.GRU(3, 4), np.ones((0, 1, 3), np.float32))


def test_the_picture_has_a_panel_for_each_thing_measured(tmp_path):
    pytest.importorskip("matplotlib")
    flow = gradient_flow(pyrnn.LSTM(3, 4, seed=0), np.ones((8, 1, 3), np.float32))
    figure = flow.plot()
    assert len(figure.axes) == 3
    figure.savefig(tmp_path / "flow.png")
    assert (tmp_path / "flow.png").stat().st_size > 10_000
    plain = gradient_flow(pyrnn.RNN(3, 4, seed=0), np.ones((8, 1, 3), np.float32), jacobians=False)
    assert len(plain.plot().axes) == 1


@pytest.mark.parametrize("jacobians", [True, False])
def test_states_that_are_not_finite_are_refused(jacobians):
    x = np.zeros((4, 2, 3))
    x[2, 1, 0] = np.nan
    layer = pyrnn.GRU(3, 4, dtype="float64", seed=0)
    with pytest.raises(ValueError, match="target: expected finite states, got nan at"):
        gradient_flow(layer, x, jacobians=jacobians)
