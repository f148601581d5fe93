"""layer.gates: the gates that the outputs are made of, for every cell, direction and layout."""

import numpy as np
import pytest

import pyrnn


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_an_lstms_gates_make_its_states(backend):
    layer = pyrnn.LSTM(3, 4, dtype="float64", seed=0)
    x = random(5, 2, 3)
    y, _ = layer(x)
    gates = layer.gates(x)
    c = np.zeros((2, 4))
    for t in range(5):
        i, f, g, o = (gates[f"{name}_l0"][t] for name in "ifgo")
        c = f * c + i * g
        np.testing.assert_allclose(o * np.tanh(c), y[t], rtol=1e-12)


def test_a_grus_gates_make_its_states_in_each_layer_and_direction(backend):
    layer = pyrnn.GRU(3, 4, 2, bidirectional=True, dtype="float64", seed=0)
    x = random(5, 2, 3)
    gates = layer.gates(x)
    y, _ = layer(x)
    suffixes = ["l0", "l0_reverse", "l1", "l1_reverse"]
    assert list(gates) == [f"{name}_{suffix}" for suffix in suffixes for name in "rzn"]
    for suffix, part, times in (
        ("l1", y[..., :4], range(5)),
        ("l1_reverse", y[..., 4:], range(4, -1, -1)),
    ):
        h = np.zeros((2, 4))
        for t in times:
            z, n = gates[f"z_{suffix}"][t], gates[f"n_{suffix}"][t]
            h = (1 - z) * n + z * h
            np.testing.assert_allclose(h, part[t], rtol=1e-12)


def test_lengths_states_and_layouts(backend):
    layer = pyrnn.GRU(3, 4, batch_first=True, dtype="float64", seed=0)
    x, state = random(2, 5, 3), random(1, 2, 4, seed=1)
    gates = layer.gates(x, state, lengths=[5, 2])
    assert gates["r_l0"].shape == (2, 5, 4)
    assert not gates["r_l0"][1, 2:].any()
    w, u = layer.parameters["weight_ih_l0"], layer.parameters["weight_hh_l0"]
    b = layer.parameters["bias_ih_l0"] + layer.parameters["bias_hh_l0"]
    first = sigmoid(x[:, 0] @ w[:4].T + state[0] @ u[:4].T + b[:4])
    np.testing.assert_allclose(gates["r_l0"][:, 0], first, rtol=1e-12)
    assert layer.gates(x[0])["z_l0"].shape == (5, 4)


def test_an_rnn_has_none_and_a_mingru_two():
    assert pyrnn.RNN(3, 4).gates(np.ones((2, 1, 3), np.float32)) == {}
    assert list(pyrnn.MinGRU(3, 4).gates(np.ones((2, 1, 3), np.float32))) == ["z_l0", "n_l0"]


def test_dropout_is_neither_drawn_nor_used(backend):
    layer = pyrnn.LSTM(3, 4, 2, dropout=0.9, recurrent_dropout=0.5, dtype="float64", seed=0)
    x = random(4, 2, 3)
    gates = layer.gates(x)
    assert all(
        np.array_equal(gate, again)
        for gate, again in zip(gates.values(), layer.gates(x).values(), strict=True)
    )
    assert layer.training


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"x: expected shape \(T, N, 3\)"):
        pyrnn.GRU(3, 4).gates(np.ones((2, 1, 5), np.float32))
