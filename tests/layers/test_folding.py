"""An embedding folded into the layer that reads it: the same outputs up to rounding."""

from functools import partial

import numpy as np
import pytest

import pyrnn

WORDS, FEATURES, UNITS = 11, 3, 4
INDICES = np.random.default_rng(0).integers(0, WORDS, (5, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers(make_any, dtype, bidirectional, backend, assert_close):
    embedding = pyrnn.Embedding(WORDS, FEATURES, dtype=dtype, seed=0)
    layer = make_any(FEATURES, UNITS, 2, bidirectional=bidirectional, dtype=dtype, seed=1)
    folded = pyrnn.fold_embedding(embedding, layer)
    assert type(folded) is type(layer)
    assert folded.config() == layer.config() | {"input_size": WORDS}
    y, _ = folded(INDICES, lengths=[5, 2])
    expected, _ = layer(embedding(INDICES), lengths=[5, 2])
    assert_close(y, expected, 3e-6 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize(
    "make", [pyrnn.RNNCell, pyrnn.LSTMCell, partial(pyrnn.GRUCell, layer_norm=True)]
)
def test_cells(make, backend, assert_close):
    embedding = pyrnn.Embedding(WORDS, FEATURES, dtype="float64", seed=0)
    cell = make(FEATURES, UNITS, dtype="float64", seed=1)
    folded = pyrnn.fold_embedding(embedding, cell)
    expected = cell.forward(embedding(INDICES[0]))[0]
    assert_close(folded.forward(INDICES[0])[0], expected, 1e-13)


def test_the_new_layer_is_its_own_and_in_the_same_mode():
    embedding, layer = pyrnn.Embedding(WORDS, FEATURES), pyrnn.GRU(FEATURES, UNITS)
    folded = pyrnn.fold_embedding(embedding, layer)
    before = folded(INDICES)[0]
    for array in (*layer.parameters.values(), *embedding.parameters.values()):
        array[...] = 0
    assert np.array_equal(folded(INDICES)[0], before)
    assert folded.training
    assert not pyrnn.fold_embedding(embedding, layer.eval()).training


@pytest.mark.parametrize(
    ("embedding", "layer", "error", "message"),
    [
        (pyrnn.Linear(3, 3), pyrnn.GRU(3, 4), TypeError, "embedding: expected an Embedding, got L"),
        (pyrnn.Embedding(5, 3), pyrnn.Linear(3, 3), TypeError, "layer: expected a recurrent layer"),
        (
            pyrnn.Embedding(5, 3),
            pyrnn.GRU(3, 4, dtype="float64"),
            TypeError,
            "layer: expected dtype float32, got float64",
        ),
        (pyrnn.Embedding(5, 2), pyrnn.GRU(3, 4), ValueError, "layer: expected input_size 2, as em"),
    ],
    ids=str,
)
def test_wrong_arguments(embedding, layer, error, message):
    with pytest.raises(error, match=message):
        pyrnn.fold_embedding(embedding, layer)
