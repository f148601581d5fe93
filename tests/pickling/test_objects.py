"""Objects that travel: what comes back computes and trains on alike, and shares nothing."""

import multiprocessing
import pickle
from functools import partial
from operator import methodcaller

import numpy as np
import pytest

import pyrnn
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import Vocabulary
from pyrnn.textbook import cells as textbook_cells

# Arrays of more than 1000 bytes, which NumPy builds on the pickled ones, and of less.
OTHERS = {
    "bidirectional": partial(pyrnn.GRU, 5, 18, 2, bidirectional=True, dropout=0.5, seed=0),
    "recurrent dropout": partial(pyrnn.LSTM, 5, 18, recurrent_dropout=0.5, seed=0),
    "noise": partial(pyrnn.LSTM, 5, 18, 2, dropout=0.5, zoneout=(0.2, 0.3), seed=0),
    "float64": partial(pyrnn.GRU, 5, 18, 2, dtype="float64", seed=0),
    "rnn cell": partial(pyrnn.RNNCell, 5, 18, seed=0),
    "lstm cell": partial(pyrnn.LSTMCell, 5, 18, seed=0),
    "gru cell": partial(pyrnn.GRUCell, 5, 18, seed=0),
    "linear": partial(pyrnn.Linear, 5, 80, seed=0),
    "embedding": partial(pyrnn.Embedding, 5, 80, seed=0),
    "model": partial(CharacterModel, "abcde", "gru", 18, 2, 7, 0.5, seed=0),
}
EVERY_OTHER = pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
EVERY_MODE = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


class Subclass(pyrnn.LSTM):
    """Has an array of its own, and one of its parameters under another name."""

    def __init__(self, scale):
        super().__init__(5, 18, seed=0)
        self.mean = np.arange(600, dtype=np.float32) * np.float32(scale)
        self.recurrent = self.parameters["weight_hh_l0"]


def exercise(layer):
    """Everything that it computes as it is, in train mode and after training; all to the bit."""
    rng = np.random.default_rng(1)
    indices = isinstance(layer, (pyrnn.Embedding, CharacterModel))
    x = rng.integers(0, 5, (4, 3)) if indices else rng.standard_normal((4, 3, 5))
    if not indices:
        x = x.astype(layer.dtype)
    if isinstance(layer, Cell):
        x = x[0]
    results = [layer(x)]
    optimizer = pyrnn.Adam(layer.train().parameters)
    for _ in range(2):
        y, *_, cache = layer.forward(x)
        returned = layer.backward(cache, np.ones_like(y))
        optimizer.step(returned[-1])
        results += [y, returned]
    return [*results, dict(layer.parameters), layer.eval()(x)]


@pytest.fixture
def check(assert_own, assert_same_bits):
    """``check(layer, way)``: what comes back is as the layer, and goes on alike and apart."""

    def check_layer(layer, way):
        layer.note = {"of the user": [1, 2]}
        travelled, source = way(layer)
        before = source()
        assert type(travelled) is type(layer)
        assert repr(travelled) == repr(layer)
        assert travelled.training == layer.training
        assert travelled.note == layer.note
        assert travelled.note is not layer.note
        assert_own(travelled.parameters.values(), layer.parameters.values())
        assert_same_bits(exercise(travelled), exercise(layer))
        assert source() == before
        return travelled

    return check_layer


def in_mode(layer, training):
    return layer if training else layer.eval()


@pytest.mark.one_in(6, training=3)
@EVERY_MODE
def test_recurrent_layers(make_any, training, way, check):
    check(in_mode(make_any(5, 18, 2, seed=0), training), way)


@pytest.mark.one_in(3)
@EVERY_MODE
@EVERY_OTHER
def test_other_layers(make, training, way, check):
    check(in_mode(make(), training), way)


@EVERY_MODE
@EVERY_OTHER
def test_both_backends(make, training, backend, check):
    check(in_mode(make(), training), lambda layer: (pickle.loads(pickle.dumps(layer)), bytes))


def test_subclasses_and_arrays_of_the_user(way, assert_same_bits):
    layer = Subclass(0.5)
    layer.shifts = np.zeros(500)
    travelled, source = way(layer)
    before = source()
    assert type(travelled) is Subclass
    assert travelled.recurrent is travelled.parameters["weight_hh_l0"]
    for name in ("mean", "shifts"):
        array = getattr(travelled, name)
        assert np.array_equal(array, getattr(layer, name))
        assert not np.shares_memory(array, getattr(layer, name))
        array += 1
    assert_same_bits(exercise(travelled), exercise(layer))
    assert source() == before


def test_cells_of_the_textbook(way, assert_own, assert_same_bits):
    rng = np.random.default_rng(0)
    shapes = (20, 9), (20, 20), (20,), (20,)
    cell = textbook_cells.RNNCell(*(rng.standard_normal(shape) for shape in shapes))
    cell(rng.standard_normal((3, 9)), np.zeros((3, 20)))
    with pytest.raises(TypeError, match="RNNCell: it cannot be pickled or copied while 1 steps"):
        way(cell)
    cell.backward(np.ones((3, 20)))
    travelled, source = way(cell)
    before = source()
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "prev_dh")
    assert_own([getattr(travelled, n) for n in names], [getattr(cell, n) for n in names])
    x = rng.standard_normal((3, 9))
    for each in (cell, travelled):
        each.weight_ih -= 0.1 * each.dw_ih_stack[0].sum(axis=0)
        each(x, np.zeros((3, 20)))
        each.backward(np.ones((3, 20)))
    assert_same_bits([*travelled.dx_list, travelled.prev_dh], [*cell.dx_list, cell.prev_dh])
    assert source() == before


def test_vocabularies_sequences_and_reports(way, assert_same_bits):
    vocabulary = Vocabulary("".join(map(chr, range(300, 800))))
    packed = pyrnn.pack_sequence([np.ones((90, 4), "f"), np.zeros((3, 4), "f")])
    report = pyrnn.gradcheck(pyrnn.GRU(2, 3, dtype="float64"), np.ones((2, 1, 2)))
    travelled, _ = way(vocabulary)
    assert travelled == vocabulary
    assert not np.shares_memory(travelled._sorted, vocabulary._sorted)
    assert np.array_equal(travelled.encode("ĭǴ"), vocabulary.encode("ĭǴ"))
    travelled, _ = way(packed)
    assert_same_bits(pyrnn.pad_packed_sequence(travelled)[0], pyrnn.pad_packed_sequence(packed)[0])
    travelled, _ = way(report)
    assert travelled == report
    assert str(travelled) == str(report)


@pytest.mark.one_in(4)
@EVERY_OTHER
def test_caches_stay_until_they_are_used(make, way_together):
    """A copy of one would be of use to nobody: a backward takes what its own layer kept.

    `copy.copy` gives the same one another name; see the tests of the layers' errors.
    """
    layer = make()
    x = np.zeros(3, int) if isinstance(layer, (pyrnn.Embedding, CharacterModel)) else None
    if x is None:
        x = np.ones((3, 5), layer.dtype)
    *_, cache = layer.forward(x)
    if isinstance(layer, CharacterModel):
        cache = cache.rnn
    with pytest.raises(TypeError, match="cache: it cannot be pickled or copied before"):
        way_together(cache)
    cache.use()
    way_together(cache)


def test_spawned_processes(check, assert_same_bits):
    x = np.ones((4, 3, 5), np.float32)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for training in (True, False):
            layer = in_mode(pyrnn.LSTM(5, 18, 2, seed=0), training)
            into_mode = methodcaller("train" if training else "eval")
            check(layer, lambda layer, call=into_mode: (pool.apply(call, (layer,)), bytes))
            assert_same_bits(pool.apply(layer, (x,)), layer(x))
