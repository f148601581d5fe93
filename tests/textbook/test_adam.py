"""Adam in the article's form (epsilon inside the root) and in the paper's."""

import numpy as np
import pytest

from pyrnn.textbook import (
    initialize_adam,
    rnn_backward,
    rnn_forward,
    rnn_loss_and_gradients,
    update_parameters_with_adam,
)


def draw():
    """The example of the articles: two layers, parameters and gradients from seed 1."""
    generator = np.random.RandomState(1)
    shapes = {"W1": (2, 3), "b1": (2, 1), "W2": (3, 3), "b2": (3, 1)}
    parameters = {name: generator.randn(*shape) for name, shape in shapes.items()}
    grads = {f"d{name}": generator.randn(*shape) for name, shape in shapes.items()}
    return parameters, grads


def test_initialize_adam():
    parameters, _ = draw()
    v, s = initialize_adam(parameters)
    for average in (v, s):
        assert list(average) == ["dW1", "db1", "dW2", "db2"]
        for name, array in parameters.items():
            assert average[f"d{name}"].shape == array.shape
            assert not average[f"d{name}"].any()
    assert not any(np.shares_memory(v[name], s[name]) for name in v)


def test_printed_values_of_the_article():
    parameters, grads = draw()
    v, s = initialize_adam(parameters)
    parameters, v, s = update_parameters_with_adam(parameters, grads, v, s, t=2)
    printed = {
        "W1": [[1.63178673, -0.61919778, -0.53561312], [-1.08040999, 0.85796626, -2.29409733]],
        "b1": [[1.75225313], [-0.75376553]],
        "W2": [
            [0.32648046, -0.25681174, 1.46954931],
            [-2.05269934, -0.31497584, -0.37661299],
            [1.14121081, -1.09245036, -0.16498684],
        ],
        "b2": [[-0.88529978], [0.03477238], [0.57537385]],
    }
    for name, expected in printed.items():
        np.testing.assert_allclose(parameters[name], expected, rtol=0, atol=5e-9)
    np.testing.assert_allclose(v["db1"], [[-0.01228902], [-0.09357694]], rtol=0, atol=5e-9)
    np.testing.assert_allclose(s["db1"], [[1.51020075e-05], [8.75664434e-04]], rtol=5e-9)


def test_the_papers_form_moves_small_gradients_further():
    parameters, grads = draw()
    v, s = initialize_adam(parameters)
    parameters, _, _ = update_parameters_with_adam(
        parameters, grads, v, s, t=2, epsilon_inside_root=False
    )
    assert parameters["W2"][2][1] == pytest.approx(-1.09244991, abs=5e-9)
    assert parameters["b2"][0][0] == pytest.approx(-0.88529979, abs=5e-9)


@pytest.mark.parametrize("inside", [True, False])
def test_many_steps_are_the_formula(inside):
    parameters, _ = draw()
    start = parameters["W1"].copy()
    v, s = initialize_adam(parameters)
    gradients = np.random.default_rng(2).normal(size=(5, 2, 3)) * 1e-4
    zeros = {name: np.zeros_like(array) for name, array in v.items()}
    expected, m, squares = start.copy(), np.zeros((2, 3)), np.zeros((2, 3))
    for t, g in enumerate(gradients, start=1):
        parameters, v, s = update_parameters_with_adam(
            parameters, zeros | {"dW1": g}, v, s, t, 0.02, 0.8, 0.99, 1e-6, inside
        )
        m, squares = 0.8 * m + 0.2 * g, 0.99 * squares + 0.01 * g * g
        first, second = m / (1 - 0.8**t), squares / (1 - 0.99**t)
        root = np.sqrt(second + 1e-6) if inside else np.sqrt(second) + 1e-6
        expected = expected - 0.02 * first / root
    np.testing.assert_allclose(parameters["W1"], expected, rtol=1e-13)


def test_the_papers_form_is_torchs():
    torch = pytest.importorskip("torch")
    parameters, grads = draw()
    tensors = {name: torch.from_numpy(a.copy()).requires_grad_() for name, a in parameters.items()}
    optimiser = torch.optim.Adam(tensors.values(), lr=0.01)
    v, s = initialize_adam(parameters)
    for t in range(1, 4):
        for name, tensor in tensors.items():
            tensor.grad = torch.from_numpy(grads[f"d{name}"] * t)
        optimiser.step()
        scaled = {name: array * t for name, array in grads.items()}
        update_parameters_with_adam(parameters, scaled, v, s, t, epsilon_inside_root=False)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(parameters[name], tensor.detach().numpy(), rtol=1e-12)


def test_the_dicts_are_updated_and_the_arrays_are_new():
    parameters, grads = draw()
    v, s = initialize_adam(parameters)
    before = {name: (array, array.copy()) for name, array in parameters.items()}
    found = update_parameters_with_adam(parameters, grads, v, s, t=1)
    assert found[0] is parameters
    assert found[1] is v
    assert found[2] is s
    for name, (array, values) in before.items():
        assert parameters[name] is not array
        np.testing.assert_array_equal(array, values)


def test_it_takes_the_gradients_of_the_recurrent_notation(backend):
    generator = np.random.default_rng(3)
    shapes = {"Wax": (2, 3), "Waa": (2, 2), "ba": (2, 1)}
    parameters = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    a_next = np.tanh(parameters["Wax"] @ np.ones((3, 4)) + parameters["ba"])
    cell = (a_next, np.zeros((2, 4)), np.ones((3, 4)), parameters)
    gradients = rnn_backward(np.ones((2, 4, 1)), ([cell], None))
    v, s = initialize_adam(parameters)
    before = parameters["Wax"]
    update_parameters_with_adam(parameters, gradients, v, s, t=1)
    np.testing.assert_allclose(
        parameters["Wax"], before - 0.01 * np.sign(gradients["dWax"]), rtol=0, atol=1e-5
    )


def test_float32_stays_float32():
    parameters, grads = draw()
    single = {name: array.astype(np.float32) for name, array in parameters.items()}
    v, s = initialize_adam(single)
    single, v, s = update_parameters_with_adam(single, grads, v, s, t=1)
    assert {a.dtype for d in (single, v, s) for a in d.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"t": 0}, ValueError, "t: expected a whole number of at least 1, got 0"),
        ({"t": 1.5}, TypeError, "t: expected a whole number, got 1.5"),
        ({"beta1": 1.0}, ValueError, r"beta1: expected a number in \[0, 1\), got 1.0"),
        ({"beta2": -0.1}, ValueError, "beta2: expected a number in"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate: expected a number, got '0.1'"),
        ({"epsilon": float("nan")}, ValueError, "epsilon: expected a number in"),
        ({"grads": {}}, KeyError, "grads: expected names among dW1, db1, .*, got none"),
        ({"v": {"dW1": np.zeros((2, 3))}}, KeyError, "v: db1 is missing; got dW1"),
        ({"parameters": [1.0]}, TypeError, "parameters: expected a dict of arrays, got list"),
    ],
)
def test_wrong_arguments_change_nothing(changed, error, message):
    parameters, grads = draw()
    v, s = initialize_adam(parameters)
    arguments = {"parameters": parameters, "grads": grads, "v": v, "s": s, "t": 1} | changed
    kept = dict(parameters)
    with pytest.raises(error, match=message):
        update_parameters_with_adam(**arguments)
    assert all(parameters[name] is array for name, array in kept.items())
    assert not any(array.any() for array in v.values())


def test_wrong_gradients_are_named():
    parameters, grads = draw()
    v, s = initialize_adam(parameters)
    wrong = grads | {"dW2": np.ones((3, 2))}
    message = r"grads\['dW2'\]: expected shape \(3, 3\), got \(3, 2\)"
    with pytest.raises(ValueError, match=message):
        update_parameters_with_adam(parameters, wrong, v, s, t=1)
    with pytest.raises(TypeError, match=r"grads\['db2'\]: expected an array of float32 or float64"):
        update_parameters_with_adam(parameters, grads | {"db2": "gradient"}, v, s, t=1)


def test_counts_of_steps():
    """As many as fit 64 bits; the corrections are 1 by then."""
    parameters, grads = {"W1": np.zeros((1, 1))}, {"dW1": np.ones((1, 1))}
    v, s = initialize_adam(parameters)
    with pytest.raises(ValueError, match=r"t: .* at most 9223372036854775807"):
        update_parameters_with_adam(parameters, grads, v, s, 2**63)
    update_parameters_with_adam(parameters, grads, v, s, 2**63 - 1)
    np.testing.assert_allclose(parameters["W1"], -0.01 * 0.1 / np.sqrt(0.001), rtol=1e-4)


@pytest.mark.parametrize("value", [None, [1.0], 3, "dW1", np.ones(2)])
@pytest.mark.parametrize("label", ["grads", "v", "s"])
def test_what_is_no_dict_is_named(label, value):
    given = {name: {"dW1": np.ones((2, 3))} for name in ("grads", "v", "s")} | {label: value}
    with pytest.raises(TypeError, match=f"{label}: expected a dict of arrays, got "):
        update_parameters_with_adam({"W1": np.ones((2, 3))}, t=1, **given)


@pytest.mark.parametrize("label", ["grads", "v", "s"])
def test_a_missing_name_is_named_beside_keys_of_any_type(label):
    given = {name: {"dW1": np.ones((2, 3))} for name in ("grads", "v", "s")} | {label: {3: 4}}
    missing = "expected names among dW1" if label == "grads" else "dW1 is missing;"
    with pytest.raises(KeyError, match=f"{label}: {missing},? got 3"):
        update_parameters_with_adam({"W1": np.ones((2, 3))}, t=1, **given)


def test_a_step_of_a_whole_network_leaves_what_has_no_gradient(backend):
    """Wya and by stay, and with a loss they learn as well."""
    generator = np.random.default_rng(3)
    shapes = {"Wax": (2, 3), "Waa": (2, 2), "Wya": (4, 2), "ba": (2, 1), "by": (4, 1)}
    parameters = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    x, a0 = generator.normal(size=(3, 5, 6)), np.zeros((2, 5))
    a, _, caches = rnn_forward(x, a0, parameters)
    v, s = initialize_adam(parameters)
    before = dict(parameters)
    update_parameters_with_adam(parameters, rnn_backward(np.ones_like(a), caches), v, s, t=1)
    assert parameters["Wya"] is before["Wya"]
    assert not np.array_equal(parameters["Wax"], before["Wax"])
    _, gradients = rnn_loss_and_gradients(x, a0, np.ones((5, 6), dtype=int), parameters)
    update_parameters_with_adam(parameters, gradients, v, s, t=2)
    assert not np.array_equal(parameters["Wya"], before["Wya"])


def test_a_gradient_that_belongs_to_no_parameter_is_refused():
    parameters, grads = draw()
    v, s = initialize_adam(parameters)
    with pytest.raises(KeyError, match=r"grads: expected names among dW1, .*, got dWax"):
        update_parameters_with_adam(parameters, grads | {"dWax": np.ones(2)}, v, s, t=1)
