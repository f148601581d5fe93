"""The stateful cell: its lists, its own carried gradient, and its equality with torch.nn.RNN."""

import numpy as np
import pytest

from pyrnn import use_backend
from pyrnn.backend import selection
from pyrnn.textbook.cells import RNNCell

T, N, INPUT, HIDDEN = 6, 3, 4, 5


def draw(seed=12):
    generator = np.random.RandomState(seed)
    shapes = {
        "weight_ih": (HIDDEN, INPUT),
        "weight_hh": (HIDDEN, HIDDEN),
        "bias_ih": (HIDDEN,),
        "bias_hh": (HIDDEN,),
    }
    parameters = {name: generator.randn(*shape) * 0.5 for name, shape in shapes.items()}
    return (
        parameters,
        generator.randn(T, N, INPUT),
        generator.randn(N, HIDDEN),
        generator.randn(T, N, HIDDEN),
    )


def run(cell, x, hidden):
    states = []
    for x_t in x:
        hidden = cell(x_t, hidden)
        states.append(hidden)
    return np.array(states)


def gradients(cell):
    """The sums of the stacks, as the articles take them, and the stacked gradients of x."""
    return {
        "x": np.array(cell.dx_list),
        "weight_ih": np.sum(cell.dw_ih_stack, axis=0),
        "weight_hh": np.sum(cell.dw_hh_stack, axis=0),
        "bias_ih": np.sum(cell.db_ih_stack, axis=(0, 1)),
        "bias_hh": np.sum(cell.db_hh_stack, axis=(0, 1)),
        "hidden": cell.prev_dh,
    }


def test_forward_is_the_equation(backend):
    parameters, x, hidden, _ = draw()
    states = run(RNNCell(**parameters), x, hidden)
    for t in range(T):
        z = x[t] @ parameters["weight_ih"].T + hidden @ parameters["weight_hh"].T
        hidden = np.tanh(z + parameters["bias_ih"] + parameters["bias_hh"])
        np.testing.assert_allclose(states[t], hidden, rtol=0, atol=1e-14)


def test_gradients_are_those_of_finite_differences(backend, numeric):
    parameters, x, hidden, dh = draw()
    cell = RNNCell(**parameters)
    run(cell, x, hidden)
    for dh_t in dh[::-1]:
        assert cell.backward(dh_t) is cell.dx_list

    def loss(moved):
        moved = dict(moved)
        x, hidden = moved.pop("x"), moved.pop("hidden")
        return float((run(RNNCell(**moved), x, hidden) * dh).sum())

    found = gradients(cell)
    for name, expected in numeric(loss, parameters | {"x": x, "hidden": hidden}).items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=3e-8)


def test_shapes_of_the_lists(backend):
    parameters, x, hidden, dh = draw()
    cell = RNNCell(**parameters)
    run(cell, x, hidden)
    for dh_t in dh[::-1]:
        cell.backward(dh_t)
    assert np.shape(cell.dx_list) == (T, N, INPUT)
    assert np.shape(cell.dw_ih_stack) == (T, HIDDEN, INPUT)
    assert np.shape(cell.dw_hh_stack) == (T, HIDDEN, HIDDEN)
    assert np.shape(cell.db_ih_stack) == (T, N, HIDDEN)
    assert np.shape(cell.db_hh_stack) == (T, N, HIDDEN)
    # The last step goes back first: without anything carried its share is its own loss alone.
    first = RNNCell(**parameters)
    first(x[-1], run(RNNCell(**parameters), x[:-1], hidden)[-1])
    first.backward(dh[-1])
    np.testing.assert_allclose(cell.dw_ih_stack[0], first.dw_ih_stack[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(cell.dx_list[-1], first.dx_list[0], rtol=0, atol=1e-14)


def test_it_is_torchs_rnn(backend):
    torch = pytest.importorskip("torch")
    parameters, x, hidden, dh = draw(seed=3)
    layer = torch.nn.RNN(INPUT, HIDDEN).double()
    with torch.no_grad():
        for name, array in parameters.items():
            getattr(layer, f"{name}_l0").copy_(torch.from_numpy(array))
    xt = torch.from_numpy(x.copy()).requires_grad_()
    ht = torch.from_numpy(hidden[None].copy()).requires_grad_()
    y, _ = layer(xt, ht)
    y.backward(torch.from_numpy(dh))
    cell = RNNCell(*(getattr(layer, f"{name}_l0").data.numpy() for name in parameters))
    np.testing.assert_allclose(run(cell, x, hidden), y.detach().numpy(), rtol=0, atol=1e-14)
    for dh_t in dh[::-1]:
        cell.backward(dh_t)
    found = gradients(cell)
    for name in parameters:
        expected = getattr(layer, f"{name}_l0").grad.numpy()
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["x"], xt.grad.numpy(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(found["hidden"], ht.grad.numpy()[0], rtol=0, atol=1e-13)


def test_a_second_sequence_adds_up_and_starts_with_nothing_carried(backend):
    parameters, x, hidden, dh = draw()
    twice, once = RNNCell(**parameters), RNNCell(**parameters)
    for cell, times in ((once, 1), (twice, 2)):
        for _ in range(times):
            run(cell, x, hidden)
            for dh_t in dh[::-1]:
                cell.backward(dh_t)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        np.testing.assert_allclose(
            gradients(twice)[name], 2 * gradients(once)[name], rtol=0, atol=1e-12
        )
    twice.clear()
    assert twice.dx_list == []
    assert twice.dw_ih_stack == []


def test_what_the_caller_changes_later_does_not_reach_the_way_back(backend):
    parameters, x, hidden, dh = draw()
    expected, cell = RNNCell(**parameters), RNNCell(**parameters)
    run(expected, x, hidden)
    buffer, state = np.empty((N, INPUT)), hidden.copy()
    for x_t in x:
        buffer[:] = x_t
        state[:] = cell(buffer, state)
    buffer[:] = np.nan
    state[:] = np.nan
    for dh_t in dh[::-1]:
        expected.backward(dh_t)
        cell.backward(dh_t)
    for name, gradient in gradients(cell).items():
        np.testing.assert_array_equal(gradient, gradients(expected)[name])


def test_the_step_goes_back_where_it_came_from():
    parameters, x, hidden, dh = draw()
    cell = RNNCell(**parameters)
    for name in sorted(selection.available()):
        with use_backend(name):
            hidden = cell(x[0], hidden)
    for _ in selection.available():
        cell.backward(dh[0])
    assert len(cell.dx_list) == len(selection.available())


def test_float32_stays_float32(backend):
    parameters, x, hidden, dh = draw()
    cell = RNNCell(**{name: array.astype(np.float32) for name, array in parameters.items()})
    state = cell(x[0].astype(np.float32), hidden.astype(np.float32))
    cell.backward(dh[0])
    found = (state, cell.prev_dh, cell.dx_list[0], cell.dw_ih_stack[0], cell.db_ih_stack[0])
    assert {array.dtype for array in found} == {np.dtype(np.float32)}


@pytest.mark.parametrize("wide", [{0}, {2}, {1, 4}, {0, 1, 2}])
def test_each_step_goes_back_in_its_own_dtype(backend, wide):
    """A float64 x among float32 ones makes a step of float64, and those before stay float32."""
    parameters, x, hidden, dh = draw()
    single = {name: array.astype(np.float32) for name, array in parameters.items()}
    cell, expected = RNNCell(**single), RNNCell(**single)
    state, expected_state = (hidden.astype(np.float32) for _ in range(2))
    for t in range(T):
        dtype = np.float64 if t in wide else np.float32
        state = cell(x[t].astype(np.float32).astype(dtype), state.astype(np.float32))
        expected_state = expected(x[t].astype(np.float32), expected_state)
    for dh_t in dh[::-1].astype(np.float32):
        cell.backward(dh_t)
        expected.backward(dh_t)
    for t, (got, want) in enumerate(zip(cell.dx_list, expected.dx_list, strict=True)):
        assert got.dtype == (np.float64 if t in wide else np.float32)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, N + 1])
def test_a_step_of_another_batch_is_refused(backend, rows):
    """Also of one row, whose gradient NumPy would add to all."""
    parameters, x, hidden, dh = draw()
    cell = RNNCell(**parameters)
    run(cell, x[:2], hidden)
    with pytest.raises(ValueError, match=rf"prev_hidden: expected shape \({N}, {HIDDEN}\)"):
        cell(np.ones((rows, INPUT)), np.ones((rows, HIDDEN)))
    cell.backward(dh[1])
    cell.backward(dh[0])
    cell(np.ones((rows, INPUT)), np.ones((rows, HIDDEN)))


def test_backward_more_often_than_forward(backend):
    parameters, x, hidden, dh = draw()
    cell = RNNCell(**parameters)
    with pytest.raises(RuntimeError, match="expected a forward step for each call"):
        cell.backward(dh[0])
    cell(x[0], hidden)
    cell.backward(dh[0])
    with pytest.raises(RuntimeError, match="expected a forward step for each call"):
        cell.backward(dh[0])
    assert len(cell.dx_list) == 1


def test_forward_in_the_middle_of_the_way_back(backend):
    parameters, x, hidden, dh = draw()
    cell = RNNCell(**parameters)
    run(cell, x[:3], hidden)
    cell.backward(dh[2])
    with pytest.raises(RuntimeError, match="for the 2 steps that are left"):
        cell(x[3], hidden)
    cell.clear()
    assert cell(x[3], hidden).shape == (N, HIDDEN)


def test_wrong_arguments(backend):
    parameters, x, hidden, _ = draw()
    with pytest.raises(ValueError, match=r"weight_hh: expected shape \(H, H\) = \(5, 5\)"):
        RNNCell(**parameters | {"weight_hh": np.ones((4, 4))})
    with pytest.raises(TypeError, match="bias_ih: expected an array of float32 or float64"):
        RNNCell(**parameters | {"bias_ih": None})
    cell = RNNCell(**parameters)
    with pytest.raises(ValueError, match=r"x: expected shape \(N, I\) = \(3, 4\), got \(3, 5\)"):
        cell(np.ones((3, 5)), hidden)
    with pytest.raises(ValueError, match=r"prev_hidden: expected shape \(N, H\) = \(3, 5\)"):
        cell(x[0], hidden[:2])
    cell(x[0], hidden)
    with pytest.raises(ValueError, match=r"dh: expected shape \(3, 5\), got \(5,\)"):
        cell.backward(np.ones(5))
    assert len(cell.backward(np.ones((3, 5)))) == 1


def test_the_stacks_hold_what_each_step_took_and_gave(backend):
    generator = np.random.default_rng(0)
    weight_ih, weight_hh = generator.normal(size=(5, 4)), generator.normal(size=(5, 5))
    cell = RNNCell(weight_ih, weight_hh, np.zeros(5), np.zeros(5))
    x, hidden = generator.normal(size=(3, 2, 4)), np.zeros((2, 5))
    states = [hidden]
    for step in x:
        states.append(cell(step, states[-1]))
    np.testing.assert_array_equal(cell.x_stack, x)
    np.testing.assert_array_equal(cell.prev_hidden_stack, states[:-1])
    np.testing.assert_array_equal(cell.next_hidden_stack, states[1:])
    cell.backward(np.ones((2, 5)))
    assert len(cell.x_stack) == len(cell.prev_hidden_stack) == len(cell.next_hidden_stack) == 2
    cell.clear()
    assert cell.x_stack == cell.prev_hidden_stack == cell.next_hidden_stack == []
