"""Whole numbers, flags, dtypes and names of every entry point: one line that names the argument."""

import warnings

import numpy as np
import pytest

import pyrnn
from pyrnn import textbook
from pyrnn.text.character_model import CharacterModel
from pyrnn.textbook import char_rnn, word_rnn

HUGE = [2**31, 2**63, 2**64, 10**5000]
NO_NUMBERS = [True, 1.5, "3", None, np.float64(2), [3], np.array([1, 2]), object()]
NO_FLAGS = ["no", "False", "", 0, 1, 0.0, None, [], np.array(True), np.nan]
NO_DTYPES = [None, "float16", int, "nothing", np.zeros(2), [], object()]
NO_NAMES = ["gelu", None, 3, ["tanh"], np.array(["tanh", "relu"]), {}]

RECURRENT = {"RNN": pyrnn.RNN, "LSTM": pyrnn.LSTM, "GRU": pyrnn.GRU, "MinGRU": pyrnn.MinGRU}
CELLS = {"RNNCell": pyrnn.RNNCell, "LSTMCell": pyrnn.LSTMCell, "GRUCell": pyrnn.GRUCell}


def type_and_size(value):
    bits = f"-{value.bit_length()}-bits" if isinstance(value, int) else ""
    return f"{type(value).__name__}{bits}"


def of(make, *sizes, **options):
    """A call that takes one argument, by its name."""
    return lambda **given: make(*sizes, **options, **given)


def after_forward(method, **others):
    def call(**given):
        layer = pyrnn.GRU(2, 3, seed=0)
        x = np.ones((4, 1, 2), np.float32)
        if method == "forward":
            return layer.forward(x, **given)
        y, _, cache = layer.forward(x)
        return layer.backward_truncated(cache, y, **(others | given))

    return call


def words(**given):
    return word_rnn.loss_and_gradients([1, 2, 1], word_rnn.initialize_parameters(3, 2, 2), **given)


def adam(**given):
    parameters = {"W1": np.ones((2, 2))}
    v, s = textbook.initialize_adam(parameters)
    return textbook.update_parameters_with_adam(
        parameters, {"dW1": np.ones((2, 2))}, v, s, **({"t": 1} | given)
    )


def loaded(**given):
    optimizer = pyrnn.Adam({"w": np.ones(2)})
    optimizer.load_state_dict(optimizer.state_dict() | given)
    optimizer.step({"w": np.ones(2)})


SIZES = {
    **{f"{n} {s}": (of(k, **{o: 1}), s) for n, k in (RECURRENT | CELLS).items()
       for s, o in (("input_size", "hidden_size"), ("hidden_size", "input_size"))},
    **{f"{name} num_layers": (of(kind, 1, 1), "num_layers") for name, kind in RECURRENT.items()},
    "LSTM proj_size": (of(pyrnn.LSTM, 1, 3), "proj_size"),
    "Linear in_features": (of(pyrnn.Linear, out_features=1), "in_features"),
    "Linear out_features": (of(pyrnn.Linear, in_features=1), "out_features"),
    "Embedding num_embeddings": (of(pyrnn.Embedding, embedding_dim=1), "num_embeddings"),
    "Embedding embedding_dim": (of(pyrnn.Embedding, num_embeddings=1), "embedding_dim"),
    "CharacterModel hidden_size": (of(CharacterModel, "ab"), "hidden_size"),
    "CharacterModel num_layers": (of(CharacterModel, "ab", hidden_size=1), "num_layers"),
    "stream batch_size": (lambda **g: pyrnn.GRU(2, 3).stream(**g), "batch_size"),
    "set_num_threads": (pyrnn.set_num_threads, "n"),
    "steps of a state_dict": (loaded, "steps"),
    "textbook adam": (adam, "t"),
}  # fmt: skip

COUNTS = {
    "checkpoint": (after_forward("forward"), "checkpoint"),
    "k1": (after_forward("truncated", k2=10**6000), "k1"),
    "k2": (after_forward("truncated", k1=1), "k2"),
    "bptt_truncate": (words, "bptt_truncate"),
    "seed": (of(pyrnn.LSTM, 1, 1), "seed"),
    "seed of a model": (of(CharacterModel, "ab", hidden_size=1), "seed"),
    "seed of char_rnn": (of(char_rnn.train, "abab", 2, 2, 1), "seed"),
}
"""Whatever is larger than it can count stands for all there is."""
MAY_BE_NONE = {"checkpoint", "bptt_truncate", "seed", "embedding_dim"}


def refused(call, name, value, errors=(TypeError, ValueError)):
    with pytest.raises(errors) as caught:
        call(**{name: value})
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert "pybind" not in message
    assert "incompatible function" not in message
    return message


@pytest.mark.parametrize("value", [*HUGE, -1, -(2**63), *NO_NUMBERS], ids=type_and_size)
@pytest.mark.parametrize("name", SIZES)
def test_sizes(name, value):
    call, argument = SIZES[name]
    if argument in ("steps", "t") and type(value) is int and value == 2**31:
        call(**{argument: value})  # which an optimiser may have made
        return
    message = refused(call, argument, value)
    # Sizes whose weights are too large are told by the weight.
    assert argument in message or ("shape" in message and "elements" in message), message


@pytest.mark.filterwarnings("ignore:learning_rate")  # of a training that is soon ended
@pytest.mark.parametrize("value", HUGE, ids=type_and_size)
@pytest.mark.parametrize("name", COUNTS)
def test_counts_may_be_larger_than_anything(name, value, backend):
    call, argument = COUNTS[name]
    call(**{argument: value})


@pytest.mark.parametrize("value", [-1, *NO_NUMBERS], ids=type_and_size)
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_no_count(name, value):
    call, argument = COUNTS[name]
    if value is None and argument in MAY_BE_NONE and name != "seed of char_rnn":
        return
    assert argument in refused(call, argument, value)


def test_sizes_whose_memory_no_machine_has(make_layer, backend):
    """A broadcast array has no memory of its own: the layer would need it."""
    layer = make_layer(1, 8, dtype="float64", seed=0)
    x = np.broadcast_to(np.ones(1), (2**28, 2**28, 1))
    with pytest.raises(MemoryError, match=r"x: expected at most .* rows in all steps"):
        layer(x)
    with pytest.raises(MemoryError, match="x: expected at most"):
        layer.forward(x)


FLAGS = {
    **{f"{name} {flag}": (of(kind, 1, 1), flag) for name, kind in RECURRENT.items()
       for flag in ("bias", "batch_first", "bidirectional")},
    **{f"{name} bias": (of(kind, 1, 1), "bias") for name, kind in CELLS.items()},
    "Linear bias": (of(pyrnn.Linear, 1, 1), "bias"),
    **{f"LSTM {flag}": (of(pyrnn.LSTM, 1, 1), flag)
       for flag in ("peephole", "coupled", "layer_norm")},
    **{f"GRU {flag}": (of(pyrnn.GRU, 1, 1), flag) for flag in ("reset_after", "layer_norm")},
    "SGD nesterov": (of(pyrnn.SGD, {"w": np.ones(2)}, momentum=0.9), "nesterov"),
    "pad_sequence": (of(pyrnn.pad_sequence, [np.ones(2)[:, None]]), "batch_first"),
    "unpad_sequence": (of(pyrnn.unpad_sequence, np.ones((2, 2), int), [2, 2]), "batch_first"),
    "pack_padded": (of(pyrnn.pack_padded_sequence, np.ones((2, 2), int), [2, 2]), "batch_first"),
    "sorted": (of(pyrnn.pack_padded_sequence, np.ones((2, 2), int), [2, 2]), "enforce_sorted"),
    "pack_sequence": (of(pyrnn.pack_sequence, [np.ones(2, int)]), "enforce_sorted"),
    "pad_packed": (of(pyrnn.pad_packed_sequence, pyrnn.pack_sequence([np.ones(2, int)])),
                   "batch_first"),
    "textbook adam": (adam, "epsilon_inside_root"),
    "word_rnn": (of(word_rnn.train, [[1, 2]], word_rnn.initialize_parameters(3, 2, 2), 0.1, 1),
                 "halve_on_rise"),
}  # fmt: skip


@pytest.mark.parametrize("value", NO_FLAGS, ids=repr)
@pytest.mark.parametrize("name", FLAGS)
def test_what_is_no_flag(name, value):
    call, flag = FLAGS[name]
    with pytest.raises(TypeError, match=f"{flag}: expected True or False, got"):
        call(**{flag: value})


@pytest.mark.parametrize("name", FLAGS)
def test_flags_of_numpy(name):
    call, flag = FLAGS[name]
    call(**{flag: np.True_})


DTYPES = {
    **{name: of(kind, 1, 1) for name, kind in (RECURRENT | CELLS).items()},
    "Linear": of(pyrnn.Linear, 1, 1),
    "Embedding": of(pyrnn.Embedding, 1, 1),
    "CharacterModel": of(CharacterModel, "ab", hidden_size=1),
    "char_rnn": of(char_rnn.train, "abab", 2, 2, 1),
}


@pytest.mark.parametrize("value", NO_DTYPES, ids=type_and_size)
@pytest.mark.parametrize("call", DTYPES.values(), ids=DTYPES)
def test_what_is_no_dtype(call, value):
    with pytest.raises(TypeError, match="dtype: expected 'float32' or 'float64', got"):
        call(dtype=value)


def backend_named(name):
    with pyrnn.use_backend(name):
        pass


NAMES = {
    "RNN": (of(pyrnn.RNN, 1, 1), "nonlinearity"),
    "RNNCell": (of(pyrnn.RNNCell, 1, 1), "nonlinearity"),
    "initialization": (of(pyrnn.GRU, 1, 1), "initialization"),
    "initialize": (of(pyrnn.initialize, pyrnn.GRU(1, 1)), "initialization"),
    "CharacterModel": (of(CharacterModel, "ab"), "cell"),
    "reduction": (of(pyrnn.softmax_cross_entropy, np.ones((1, 2)), [1]), "reduction"),
    "use_backend": (backend_named, "name"),
}


@pytest.mark.parametrize("value", NO_NAMES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_such_name(name, value):
    call, argument = NAMES[name]
    assert f"{argument}: expected" in refused(call, argument, value)


# --- attributes -----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["dropout", "zoneout", "recurrent_dropout"])
def test_rates_are_checked_whenever_they_are_set(make_any, rate):
    layer = make_any(2, 4, 2, seed=0)
    for wrong in ("0.5", None, -0.1, 1.5, np.nan, True, [0.5]):
        with pytest.raises((TypeError, ValueError), match=f"{rate}: expected"):
            setattr(layer, rate, wrong)
        assert getattr(layer, rate) == 0
    if rate != "recurrent_dropout" or not isinstance(layer, pyrnn.MinGRU):
        setattr(layer, rate, 0.5)
        assert getattr(layer, rate) == 0.5


def test_what_a_layer_is_cannot_be_set(make_any):
    layer = make_any(2, 4, seed=0)
    for name in ("batch_first", "bias", "hidden_size", "num_layers", "bidirectional", "dtype"):
        before = getattr(layer, name)
        with pytest.raises(AttributeError, match=f"{name}: it cannot be changed"):
            setattr(layer, name, not before)
        assert getattr(layer, name) == before
    layer.name = "mine"
    layer.name = "still mine"


@pytest.mark.parametrize(
    ("make", "option", "wrong"),
    [
        (pyrnn.SGD, "lr", "0.1"),
        (pyrnn.SGD, "weight_decay", -1),
        (pyrnn.SGD, "momentum", 0.9),
        (pyrnn.SGD, "nesterov", True),
        (pyrnn.SGD, "nesterov", "no"),
        (pyrnn.Adagrad, "eps", None),
        (pyrnn.RMSprop, "alpha", 1.5),
        (pyrnn.Adam, "betas", 0.9),
        (pyrnn.Adam, "betas", (0.9, 1.0)),
        (pyrnn.AdamW, "eps", np.nan),
    ],
)
def test_options_of_optimizers_are_checked_whenever_they_are_set(make, option, wrong):
    optimizer = make({"w": np.ones(2)})
    before = getattr(optimizer, option)
    with pytest.raises((TypeError, ValueError), match=option if option != "nesterov" else "."):
        setattr(optimizer, option, wrong)
    assert getattr(optimizer, option) == before


def test_a_momentum_stays_one():
    optimizer = pyrnn.SGD({"w": np.ones(2)}, momentum=0.9, nesterov=True)
    optimizer.momentum = 0.5
    for wrong in (0.0, -1.0):
        with pytest.raises(ValueError, match="momentum"):
            optimizer.momentum = wrong
    assert optimizer.momentum == 0.5


# --- the warning of dropout -----------------------------------------------------------------


def test_dropout_of_one_layer_warns_where_it_is_made(make_any):
    with pytest.warns(UserWarning, match=r"got dropout=0\.5 and num_layers=1") as caught:
        make_any(3, 4, dropout=0.5)
    assert [entry.filename for entry in caught] == [__file__]
    with pytest.warns(UserWarning, match="dropout acts between layers") as caught:
        CharacterModel("ab", hidden_size=2, dropout=0.5)
    assert [entry.filename for entry in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_any(3, 4, 2, dropout=0.5)
        make_any(3, 4, dropout=0.0)


SUBNORMAL = {
    "LSTM": lambda eps: pyrnn.LSTM(3, 4, layer_norm=True, eps=eps),
    "GRU": lambda eps: pyrnn.GRU(3, 4, layer_norm=True, eps=eps),
    "LSTMCell": lambda eps: pyrnn.LSTMCell(3, 4, layer_norm=True, eps=eps),
    "LayerNorm": lambda eps: pyrnn.LayerNorm(4, eps=eps),
    "BatchNorm1d": lambda eps: pyrnn.BatchNorm1d(4, eps=eps),
    "InstanceNorm1d": lambda eps: pyrnn.InstanceNorm1d(4, eps=eps),
}


@pytest.mark.parametrize("make", SUBNORMAL.values(), ids=SUBNORMAL)
def test_eps_is_no_number_that_the_core_takes_for_zero(make):
    for eps in (5e-324, 1e-310, 1e-45, 1e-38):
        with pytest.raises(ValueError, match=r"eps: expected .*a number of at least 1.2e-38, got"):
            make(eps)
    assert make(1.2e-38).eps == 1.2e-38


@pytest.mark.parametrize("length", [2**31, 2**63, 10**400])
def test_texts_longer_than_anything(length):
    model = CharacterModel("helo", hidden_size=3, seed=0)
    for sample in (model.sample, model.sample_stream):
        with pytest.raises(ValueError, match="length: expected a whole number of at most"):
            sample("he", length)


def test_lengths_of_no_rows_may_have_any_dtype():
    layer = pyrnn.GRU(3, 4, seed=0)
    for dtype in (np.float64, np.complex128, object):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y, _ = layer(np.zeros((2, 0, 3), np.float32), lengths=np.zeros(0, dtype))
        assert y.shape == (2, 0, 4)
