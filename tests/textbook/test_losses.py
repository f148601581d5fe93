"""Losses and gradients of whole networks in each notation; changed parameters; what is refused."""

import numpy as np
import pytest

import pyrnn
from pyrnn import textbook
from pyrnn.textbook import uwv
from pyrnn.textbook.cells import RNNCell

NETWORKS = {
    "rnn": ({"Wax": "ax", "Waa": "aa", "ba": "a", "Wya": "ya", "by": "y"}, "a0"),
    "lstm": ({**{f"W{g}": "aj" for g in "fico"}, **{f"b{g}": "a" for g in "fico"}}, "a0"),
    "gru": ({**{f"W{g}": "aj" for g in "urc"}, **{f"b{g}": "a" for g in "urc"}}, "a0"),
    "uwv": ({"U": "ax", "W": "aa", "ba": "a", "V": "ya", "by": "y"}, "s0"),
}
SIZES = {"a": 5, "x": 3, "y": 4, "j": 8}
M, T = 3, 6


def random(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def network(name, seed=0):
    generator = np.random.default_rng(seed)
    shapes = dict(NETWORKS[name][0])
    if "by" not in shapes:
        shapes |= {"Wy": "ya", "by": "y"}
    parameters = {}
    for key, letters in shapes.items():
        shape = tuple(SIZES[letter] for letter in letters)
        parameters[key] = generator.normal(size=shape if len(shape) == 2 else (*shape, 1))
    return parameters


def functions(name):
    if name == "uwv":
        return uwv.rnn_forward, uwv.rnn_backward, uwv.loss_and_gradients
    return tuple(
        getattr(textbook, f"{name}_{part}")
        for part in ("forward", "backward", "loss_and_gradients")
    )


def loss_of(name, x, a0, classes, parameters):
    """−ln of the right classes' probabilities, summed over T, averaged over m."""
    predictions = functions(name)[0](x, a0, parameters)[1]
    examples, steps = np.meshgrid(np.arange(M), np.arange(T), indexing="ij")
    return -np.log(predictions[classes, examples, steps]).sum() / M


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients(name, backend):
    x, a0, parameters = random(3, M, T), random(5, M), network(name)
    classes = np.random.default_rng(2).integers(0, 4, (M, T))
    loss, gradients = functions(name)[2](x, a0, classes, parameters)
    assert loss == pytest.approx(loss_of(name, x, a0, classes, parameters), rel=1e-12)
    inputs = {"x": x, NETWORKS[name][1]: a0}
    assert set(gradients) == {f"d{key}" for key in (*parameters, *inputs)}

    def f(arrays):
        own = {key: arrays[key] for key in parameters}
        return functions(name)[2](arrays["x"], arrays[NETWORKS[name][1]], classes, own)

    report = pyrnn.gradcheck_loss(f, {**parameters, **inputs}, samples=12)
    assert report, str(report)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_hot_columns_are_indices(name, backend):
    x, a0, parameters = random(3, M, T), random(5, M), network(name)
    classes = np.random.default_rng(2).integers(0, 4, (M, T))
    one_hot = np.eye(4)[classes].transpose(2, 0, 1)
    loss, gradients = functions(name)[2](x, a0, classes, parameters)
    same, others = functions(name)[2](x, a0, one_hot, parameters)
    assert same == loss
    for key, gradient in gradients.items():
        np.testing.assert_array_equal(others[key], gradient)


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_stays_float32(name, backend):
    single = {key: array.astype(np.float32) for key, array in network(name).items()}
    x, a0 = random(3, M, T).astype(np.float32), random(5, M).astype(np.float32)
    _, gradients = functions(name)[2](x, a0, np.ones((M, T), dtype=int), single)
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("in_place", [True, False])
def test_parameters_that_change_before_backward_are_noticed(name, in_place, backend):
    forward, backward, _ = functions(name)
    parameters = network(name)
    a, *_, caches = forward(random(3, M, T), random(5, M), parameters)
    backward(np.ones_like(a), caches)
    key = next(iter(parameters))
    if in_place:
        parameters[key] -= 0.001
    else:
        parameters[key] = parameters[key] - 0.001
    with pytest.raises(ValueError, match="were the parameters changed after the forward pass"):
        backward(np.ones_like(a), caches)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_caches_of_the_other_backend_and_of_floats_are_taken(name):
    forward, backward, _ = functions(name)
    for dtype in (np.float32, np.float64):
        parameters = {key: array.astype(dtype) for key, array in network(name).items()}
        x, a0 = random(3, M, T).astype(dtype), random(5, M).astype(dtype)
        with pyrnn.use_backend("reference"):
            a, *_, caches = forward(x, a0, parameters)
        backward(np.ones_like(a), caches)


def test_a_single_vector_is_told_to_be_a_column():
    parameters = network("rnn")
    message = r"xt: expected shape \(n_x, m\), got \(3,\); one example .* column with xt\[:, None\]"
    with pytest.raises(ValueError, match=message):
        textbook.rnn_cell_forward(random(3), random(5, 1), parameters)
    with pytest.raises(ValueError, match=r"a0\[:, None\]"):
        textbook.gru_forward(random(3, 1, 4), random(5), network("gru"))


def test_a_vector_in_another_place_is_told_what_it_should_be_there():
    parameters = network("rnn")
    with pytest.raises(ValueError, match=r"a vector becomes a column with ba\[:, None\]"):
        textbook.rnn_cell_forward(random(3, 1), random(5, 1), {**parameters, "ba": random(5)})
    cell = RNNCell(random(5, 4), random(5, 5), random(5), random(5))
    with pytest.raises(ValueError, match=r"one example becomes a row with x\[None\]"):
        cell(random(4), random(5))
    *_, caches = textbook.rnn_forward(random(3, M, T), random(5, M), parameters)
    with pytest.raises(TypeError, match=r"da: expected an array .* are da and caches swapped"):
        textbook.rnn_backward(caches, random(5, M, T))


def test_swapped_arguments_are_recognised():
    with pytest.raises(ValueError, match="are xt and a_prev swapped"):
        textbook.rnn_cell_forward(random(5, 2), random(3, 2), network("rnn"))
    with pytest.raises(ValueError, match="are x and a0 swapped"):
        textbook.lstm_forward(random(5, 2), random(3, 2, 4), network("lstm"))


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (
            np.zeros((M, T + 1), int),
            ValueError,
            r"y: expected one-hot columns \(4, 3, 6\) or",
        ),
        (np.full((M, T), 4), ValueError, "y: expected .* 4"),
        (np.zeros((4, M, T)), ValueError, "y: expected one-hot columns, a single 1 among zeros"),
        (np.full((4, M, T), 0.25), ValueError, "y: expected one-hot columns, a single 1"),
    ],
)
def test_targets_that_are_none_are_refused(y, error, message):
    with pytest.raises(error, match=message):
        textbook.rnn_loss_and_gradients(random(3, M, T), random(5, M), y, network("rnn"))
