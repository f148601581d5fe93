"""Options of constructors: declared once, and everything follows from that."""

import copy
import inspect
import json
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn.layers import _options
from pyrnn.layers._options import Option, Setting

RATES = {"dropout": 0.25, "recurrent_dropout": 0.5, "zoneout": 0.1}
STACK = {"num_layers": 2, "bias": False, "batch_first": True, "bidirectional": True, **RATES}
DRAWN = {"dtype": "float64", "seed": 3, "initialization": "orthogonal"}
MADE = {
    "RNN": (pyrnn.RNN, {**STACK, "nonlinearity": "relu", **DRAWN}),
    "LSTM": (
        pyrnn.LSTM,
        {**STACK, "bias": True, "proj_size": 2, "peephole": True, "zoneout": (0.1, 0.2)}
        | {"forget_bias": 1.5, **DRAWN},
    ),
    "LSTM-reversed": (pyrnn.LSTM, {"reverse": True, "seed": 1}),
    "GRU-merged": (pyrnn.GRU, {"bidirectional": True, "merge_mode": "ave", "seed": 1}),
    "LSTM-coupled": (pyrnn.LSTM, {"coupled": True, "seed": 1}),
    "LSTM-norm": (pyrnn.LSTM, {"layer_norm": True, "seed": 1}),
    "GRU": (pyrnn.GRU, {**STACK, "reset_after": False, **DRAWN}),
    "GRU-norm": (pyrnn.GRU, {"layer_norm": True, "seed": 1}),
    "MinGRU": (pyrnn.MinGRU, STACK | DRAWN | {"recurrent_dropout": 0.0}),
    "RNNCell": (pyrnn.RNNCell, {"bias": False, "nonlinearity": "relu", **DRAWN}),
    "LSTMCell": (pyrnn.LSTMCell, {"coupled": True, "peephole": True, "proj_size": 2, **DRAWN}),
    "GRUCell": (pyrnn.GRUCell, {"reset_after": False, **DRAWN}),
    "Linear": (pyrnn.Linear, {"bias": False, "dtype": "float64", "seed": 3}),
    "Embedding": (pyrnn.Embedding, {"dtype": "float64", "seed": 3}),
    "Conv1d": (
        pyrnn.Conv1d,
        {"kernel_size": 3, "padding": "causal", "dilation": 2, "bias": False, "seed": 3},
    ),
}
SMALL = {
    "Dropout": pyrnn.Dropout(0.25, seed=3),
    "Activation": pyrnn.Activation("relu"),
    "LayerNorm": pyrnn.LayerNorm(3, 0.5, False, dtype="float64"),
    "MaxPool1d": pyrnn.MaxPool1d(4, 2, 1, 3, batch_first=True),
    "InstanceNorm1d": pyrnn.InstanceNorm1d(3, 0.5, affine=True, dtype="float64"),
    "BatchNorm1d": pyrnn.BatchNorm1d(3, 0.5, None, False, False, dtype="float64"),
    "LastStep": pyrnn.LastStep(True, bidirectional=True),
    "MeanOverTime": pyrnn.MeanOverTime(batch_first=True),
}
MODEL = {"cell": "gru", "hidden_size": 5, "num_layers": 2, "embedding_dim": 3, "dropout": 0.25}


def make(name):
    if name == "CharacterModel":
        return pyrnn.CharacterModel("abc", **MODEL, dtype="float64", seed=3)
    if name in SMALL:
        return copy.deepcopy(SMALL[name])
    kind, options = MADE[name]
    return kind(3, 4, **options)


@pytest.fixture(params=[*MADE, *SMALL, "CharacterModel"])
def made(request):
    """Each kind of layer, cell and model, with options that are not the defaults."""
    return make(request.param)


def given(name):
    return MODEL if name == "CharacterModel" else MADE.get(name, (None, {}))[1]


@pytest.mark.parametrize("name", [*MADE, *SMALL, "CharacterModel"])
def test_every_argument_of_a_constructor_is_an_option(name):
    kind = type(make(name))
    arguments = [n for n in inspect.signature(kind).parameters if n != "parameters"]
    assert list(_options.defaults_of(kind)) == arguments
    params = make(name).get_params(deep=False)
    assert list(params) == arguments
    for option, value in given(name).items():
        assert params[option] == value


@pytest.mark.parametrize("name", [*MADE, *SMALL, "CharacterModel"])
def test_what_decides_how_it_computes_cannot_be_set(name):
    thing = make(name)
    for option in thing.get_params():
        declared, value = getattr(type(thing), option), getattr(thing, option)
        if isinstance(declared, Setting) or getattr(declared, "fset", None):
            setattr(thing, option, value)
            continue
        with pytest.raises(AttributeError, match=option):
            setattr(thing, option, 9)
        with pytest.raises(AttributeError):
            delattr(thing, option)
        assert getattr(thing, option) == value


def test_the_mode_is_switched_and_not_set(made):
    """It says which weights are packed and which arrays are writeable: alone it would lie."""
    for switch, expected in ((made.eval, False), (made.train, True)):
        switch()
        for value in (True, False, "no"):
            with pytest.raises(AttributeError, match=r"^training: it cannot be set; call train\("):
                made.training = value
        with pytest.raises(AttributeError):
            del made.training
        assert made.training is expected


@pytest.mark.parametrize(
    ("name", "option", "wrong"),
    [
        ("RNN", "dropout", 1.5),
        ("LSTM", "recurrent_dropout", 5.0),
        ("LSTM", "zoneout", (0.5, -1)),
        ("GRU", "zoneout", (0.5, 0.5)),
        ("MinGRU", "recurrent_dropout", 0.5),
        ("CharacterModel", "dropout", "0.5"),
    ],
)
def test_what_is_set_later_is_checked(name, option, wrong):
    thing = make(name)
    before = getattr(thing, option)
    with pytest.raises((TypeError, ValueError), match=f"{option}: expected"):
        setattr(thing, option, wrong)
    assert getattr(thing, option) == before


def test_options_of_an_optimiser_are_checked_when_set():
    adam, sgd = pyrnn.Adam({"w": np.ones(3)}), pyrnn.SGD({"w": np.ones(3)}, momentum=0.5)
    with pytest.raises(ValueError, match="betas: expected"):
        adam.betas = (2, -1)
    sgd.nesterov = True
    with pytest.raises(ValueError, match="nesterov: expected a momentum above 0"):
        sgd.momentum = 0.0
    assert (adam.betas, sgd.momentum, sgd.nesterov) == ((0.9, 0.999), 0.5, True)


def test_repr_makes_another(made):
    if isinstance(made, pyrnn.CharacterModel):
        return
    again = eval(repr(made), vars(pyrnn))
    assert repr(again) == repr(made)
    unshown = {"seed": None, "initialization": "torch", "forget_bias": None}
    same = {name: unshown[name] for name in unshown if name in made.get_params()}
    assert again.get_params() == made.get_params() | same


def test_config_is_json_and_makes_another(made):
    config = json.loads(json.dumps(made.config()))
    again = type(made).from_config(config)
    assert again.get_params() == made.get_params()
    for name, array in made.parameters.items():
        assert np.array_equal(again.parameters[name], array)  # as the seed is there as well


@pytest.mark.parametrize("duplicate", [lambda a: pickle.loads(pickle.dumps(a)), copy.deepcopy])
def test_copies_keep_them(made, duplicate):
    assert duplicate(made).get_params() == made.get_params()


def test_scikit_learn_clones(made):
    clone = pytest.importorskip("sklearn.base").clone
    again = clone(made)
    assert type(again) is type(made)
    assert again.get_params() == made.get_params()


def test_a_dropout_of_the_model_is_that_of_its_layer():
    model = make("CharacterModel")
    model.dropout = 0.75
    assert model.rnn.dropout == 0.75
    model.rnn.dropout = 0.5
    assert model.config()["dropout"] == 0.5


def test_a_sequential_describes_its_layers():
    made = pyrnn.Sequential(pyrnn.Dropout(0.25, seed=1), rnn=make("LSTM"), last=make("LastStep"))
    again = pyrnn.Sequential.from_config(json.loads(json.dumps(made.config())))
    assert repr(again) == repr(made)
    for name, array in made.parameters.items():
        assert np.array_equal(again.parameters[name], array)
    with pytest.raises(ValueError, match="a: expected the name of one of pyrnn's layers, got 'Ad"):
        pyrnn.Sequential.from_config({"a": {"kind": "Adam", "config": {}}})
    clone = pytest.importorskip("sklearn.base").clone
    assert repr(clone(made)) == repr(made)


# --- classes of one's own -------------------------------------------------------------------


class Wide(pyrnn.GRU):
    """One whose constructor takes options alone."""

    def __init__(self, hidden_size=8, dropout=0.0):
        super().__init__(3, hidden_size, 2, dropout=dropout)


class Named(pyrnn.GRU):
    """One whose constructor takes something else."""

    def __init__(self, label, *sizes):
        super().__init__(*sizes)
        self.label = label


class Gain(pyrnn.Layer):
    """One with options of its own."""

    size = Option(lambda name, value: int(value))
    gain = Setting(_options.rate)

    def __init__(self, size, gain=1.0, dtype="float32"):
        self._take(locals())
        super().__init__({"w": np.zeros(self.size, dtype)}, dtype)


def test_subclasses():
    wide = Wide(5)
    assert wide.config() == {"hidden_size": 5, "dropout": 0.0}
    assert repr(wide) == "Wide(hidden_size=5)"
    assert Wide.from_config(wide.config()).hidden_size == 5
    assert repr(Named("mine", 3, 4)) == "Named(3, 4)"
    assert Named("mine", 3, 4).config() == pyrnn.GRU(3, 4).config()


def test_options_of_ones_own():
    layer = Gain(3, dtype="float64")
    assert layer.config() == {"size": 3, "gain": 1.0, "dtype": "float64"}
    layer.gain = 0
    assert repr(layer) == "Gain(3, gain=0.0, dtype='float64')"
    with pytest.raises(ValueError, match="gain: expected"):
        layer.gain = -1
    with pytest.raises(AttributeError, match="size: it cannot be changed"):
        layer.size = 4
    with pytest.raises(ValueError, match="gain: expected"):
        Gain(3, gain=-1)


@pytest.mark.parametrize("number", [np.float32(0.25), np.float64(0.25), 1, np.int16(1)])
def test_numbers_of_activations_are_floats(number, backend):
    x = np.ones((4, 2, 3), np.float32)
    given, plain = ("hard_sigmoid", number, 0), ("hard_sigmoid", float(number), 0.0)
    layer, other = (pyrnn.GRU(3, 4, recurrent_activation=a, seed=0) for a in (given, plain))
    assert layer.config() == other.config()
    assert repr(layer) == repr(other)
    assert np.array_equal(layer(x)[0], other(x)[0])
    assert other.recurrent_activation is plain


@pytest.mark.parametrize("value", [(1, 0), (0, 1), (np.float32(0.5), 0), [np.float64(0.5), 1]])
def test_pairs_of_any_numbers_are_those_of_floats(value, backend):
    """One that was kept as it came made every call in eval mode fail."""
    x = np.ones((4, 2, 3), np.float32)
    layer, other = (pyrnn.LSTM(3, 4, zoneout=z, seed=0) for z in (value, tuple(map(float, value))))
    assert [type(rate) for rate in layer.zoneout] == [float, float]
    for _ in ("train", "eval"):
        assert np.array_equal(layer(x)[0], other(x)[0])
        assert np.array_equal(layer.forward(x)[0], other.forward(x)[0])
        assert np.array_equal(layer.stream(2).step(x[0]), other.stream(2).step(x[0]))
        layer.eval()
        other.eval()
    layer.zoneout = (0.5, 0.25)
    kept = layer.zoneout
    layer.zoneout = kept
    assert layer.zoneout is kept
