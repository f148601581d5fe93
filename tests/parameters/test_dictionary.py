"""A layer's dict of live arrays: what is assigned is checked and copied in; keys stay."""

import copy

import numpy as np
import pytest

import pyrnn
from pyrnn.parameters import dictionary


@pytest.fixture
def layer():
    return pyrnn.GRU(3, 4, seed=0)


def test_names_and_order_are_those_of_torch():
    layer = pyrnn.LSTM(3, 4, 2, bidirectional=True)
    names = [
        f"{kind}_l{number}{direction}"
        for number in range(2)
        for direction in ("", "_reverse")
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    assert list(layer.parameters) == names
    assert layer.parameters["weight_ih_l1_reverse"].shape == (16, 8)
    assert "bias_ih_l0" not in pyrnn.LSTM(3, 4, bias=False).parameters


def test_assigning_copies_into_the_live_array(layer):
    live = layer.parameters["bias_ih_l0"]
    value = np.arange(12, dtype=np.float32)
    layer.parameters["bias_ih_l0"] = value
    assert layer.parameters["bias_ih_l0"] is live
    assert np.array_equal(live, value)
    value[...] = 0
    assert live[1] == 1


def test_in_place_operators_change_the_live_array(layer):
    live = layer.parameters["bias_ih_l0"]
    before = live.copy()
    layer.parameters["bias_ih_l0"] += 1
    assert layer.parameters["bias_ih_l0"] is live
    assert np.array_equal(live, before + 1)


def test_update_and_or(layer):
    zeros = {name: np.zeros_like(array) for name, array in layer.parameters.items()}
    live = dict(layer.parameters)
    layer.parameters.update(zeros)
    assert all(layer.parameters[name] is live[name] for name in live)
    assert not any(array.any() for array in live.values())
    parameters = layer.parameters
    parameters |= {"bias_ih_l0": np.ones(12, np.float32)}
    parameters.update(bias_hh_l0=np.ones(12, np.float32))
    assert (live["bias_ih_l0"] == 1).all()
    assert (live["bias_hh_l0"] == 1).all()


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("bias", np.zeros(12, "f4"), KeyError, "unknown parameter 'bias'; there are weight_ih_l0"),
        ("bias_ih_l0", np.zeros(12), TypeError, "bias_ih_l0: expected dtype float32, got float64"),
        ("bias_ih_l0", np.zeros(1, "f4"), ValueError, r"bias_ih_l0: expected shape \(12,\), got"),
        ("bias_ih_l0", None, TypeError, "bias_ih_l0: expected dtype float32, got NoneType"),
    ],
)
def test_wrong_assignments_change_nothing(layer, name, value, error, message):
    before = copy.deepcopy(dict(layer.parameters))
    good = np.zeros_like(layer.parameters["bias_hh_l0"])
    for assign in (
        lambda: layer.parameters.__setitem__(name, value),
        lambda: layer.parameters.update({"bias_hh_l0": good, name: value}),
    ):
        with pytest.raises(error, match=message):
            assign()
    for key, array in before.items():
        assert np.array_equal(layer.parameters[key], array)


def test_update_in_eval_mode_changes_nothing(layer):
    layer.eval()
    with pytest.raises(ValueError, match="bias_hh_l0: the layer is in eval mode; call train"):
        layer.parameters.update(bias_hh_l0=np.zeros(12, np.float32))


def test_keys_stay(layer):
    for remove in (
        lambda p: p.pop("bias_ih_l0"),
        lambda p: p.popitem(),
        lambda p: p.clear(),
        lambda p: p.__delitem__("bias_ih_l0"),
    ):
        with pytest.raises(TypeError, match="can be assigned to, but not removed"):
            remove(layer.parameters)
    assert layer.parameters.setdefault("bias_ih_l0") is layer.parameters["bias_ih_l0"]
    with pytest.raises(KeyError, match="unknown parameter 'new'"):
        layer.parameters.setdefault("new", np.zeros(3))
    assert len(layer.parameters) == 4


MAKERS = {
    "RNN": lambda: pyrnn.RNN(3, 4),
    "LSTM": lambda: pyrnn.LSTM(3, 4, 2, bidirectional=True, layer_norm=True),
    "GRU": lambda: pyrnn.GRU(3, 4, dtype="float64"),
    "MinGRU": lambda: pyrnn.MinGRU(3, 4),
    "LSTMCell": lambda: pyrnn.LSTMCell(3, 4),
    "Linear": lambda: pyrnn.Linear(3, 4),
    "Embedding": lambda: pyrnn.Embedding(3, 4),
    "model": lambda: pyrnn.CharacterModel("abc", "gru", 4, 2, 5),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_is_not_drawn_has_a_limit(make):
    drawn = make()
    count = sum(array.nbytes for array in drawn.parameters.values())
    with dictionary.not_drawn(count):
        plain = make()
    assert list(plain.parameters) == list(drawn.parameters)
    for name, array in plain.parameters.items():
        assert array.shape == drawn.parameters[name].shape
        assert array.dtype == drawn.parameters[name].dtype
        assert not array.any()
    with (
        dictionary.not_drawn(count - 1),
        pytest.raises(ValueError, match=r"^\w+: expected sizes that fit the tensors' numbers"),
    ):
        make()
    assert any(array.any() for array in make().parameters.values())


def test_first_values_are_drawn_from_all_of_the_interval():
    generator = np.random.default_rng(0)
    drawn = dictionary.between(generator, 0.5, (1000,))
    assert drawn.min() == pytest.approx(-0.5, abs=0.01)
    assert drawn.max() == pytest.approx(0.5, abs=0.01)
    assert abs(drawn.mean()) < 0.03
