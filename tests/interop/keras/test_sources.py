"""Which arrays belong to which layer: several cells, layers of other kinds, subclassed models."""

import io
import json
import zipfile

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import keras
from pyrnn.interop.keras import read
from pyrnn.interop.serialization import ModelFileError
from tests.interop.keras import files
from tests.interop.keras.files import h5py

pytestmark = pytest.mark.usefixtures("in_place")
X = np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32)
GRU_ENTRY = ("layers/gru/cell", files.random_arrays("GRU", 3, 4))


def whole(path, config, groups):
    """A file of Keras 3 with arrays in these groups."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, arrays in groups:
            files.numbered(file.create_group(name), arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", buffer.getvalue())
    return read.find_whole(path)


def gru_after(*layers):
    return files.model_config(*layers, files.config_of("GRU", "g", units=3, reset_after=False))


# --- several cells in one RNN ----------------------------------------------------------------


def stack(backwards=False):
    cells = [files.config_of("LSTMCell", name, units=units) for name, units in (("a", 4), ("b", 3))]
    options = {"return_sequences": True, "go_backwards": backwards}
    return files.config_of(
        "RNN", "both", cell=files.config_of("StackedRNNCells", "s", cells=cells), **options
    )


CELLS = [files.random_arrays("LSTM", 4, 4), files.random_arrays("LSTM", 3, 4, seed=1)]


def alone(name, units, arrays, x):
    row = files.config_of("LSTM", name, units=units, return_sequences=True)
    path = f"{name}.keras"
    files.keras3(path, files.model_config(row), [("lstm", name, arrays)])
    return keras.load(path)[name](np.ascontiguousarray(x))[0]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_several_cells_are_layers_one_behind_the_other(backwards, legacy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = files.model_config(stack(backwards))
    if legacy:
        paths = [f"both/s/{name}/{n}" for name in "ab" for n in range(3)]
        arrays = {"both": [array for arrays in CELLS for array in arrays]}
        files.legacy("m.h5", "3.15.1", arrays, config, {"both": paths})
        found = read.find_whole("m.h5")
    else:
        groups = ["layers/rnn/cell/cells/lstm_cell", "layers/rnn/cell/cells/lstm_cell_1"]
        found = whole("m.keras", config, zip(groups, CELLS, strict=True))
    assert not found.left
    assert not found.refused
    assert list(found.layers) == ["a", "b"]
    step = -1 if backwards else 1
    expected = alone("b", 3, CELLS[1], alone("a", 4, CELLS[0], X[:, ::step]))
    y = pyrnn.Sequential(**found.layers)(X)[0]
    assert np.array_equal(y[:, ::step], expected)


def test_cells_that_are_none(tmp_path):
    odd = files.config_of("RNN", "both", cell=files.config_of("StackedRNNCells", "s", cells=[3]))
    path = files.keras3(tmp_path / "m.keras", files.model_config(odd), [])
    with pytest.raises(ModelFileError, match="a list of cells in StackedRNNCells"):
        keras.load(path)


# --- layers that pyrnn does not have ---------------------------------------------------------


INNER = {
    "attention": (
        files.config_of("MultiHeadAttention", "odd"),
        ["layers/multi_head_attention/query_dense", "layers/multi_head_attention/value_dense"],
        "no layer of pyrnn is a MultiHeadAttention",
    ),
    "own": (
        files.config_of("Mine", "odd"), ["layers/mine/inner", "layers/mine/deep/er"],
        "no layer of pyrnn is a Mine",
    ),
    "cells": (
        files.config_of("Bidirectional", "odd", layer=files.config_of("ConvLSTM2D", "c")),
        ["layers/bidirectional/forward_layer/cell/deep", "layers/bidirectional/backward_layer"],
        "no layer of pyrnn is a ConvLSTM2D",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INNER)
def test_arrays_within_a_layer_of_another_kind_refuse_that_layer_alone(name, tmp_path):
    row, groups, reason = INNER[name]
    arrays = [np.ones((4, 4), np.float32)]
    found = whole(
        tmp_path / "m.keras", gru_after(row), [*((group, arrays) for group in groups), GRU_ENTRY]
    )
    assert found.refused == {"odd": reason}
    assert list(found.layers) == ["g", "g_last"]


def test_a_model_at_each_step(tmp_path):
    """Its layers are read; how they follow each other is a graph's."""
    inner = files.model_config(files.config_of("Dense", "d", units=4))
    row = files.config_of("TimeDistributed", "odd", layer=inner)
    entry = ("layers/time_distributed/layer/dense", [np.ones((4, 4), np.float32)])
    found = whole(tmp_path / "m.keras", gru_after(row), [entry, GRU_ENTRY])
    assert not found.refused
    assert found.left == {"(the model)": "no layer of pyrnn is a TimeDistributed model"}
    assert list(found.layers) == ["d", "g"]


def test_arrays_of_no_layer_are_an_error(tmp_path):
    groups = [("layers/lstm/cell", files.random_arrays("LSTM", 3, 4)), GRU_ENTRY]
    with pytest.raises(ModelFileError, match="weights of layers in the configuration"):
        whole(tmp_path / "m.keras", gru_after(), groups)


def test_a_model_whose_layers_are_in_a_program(tmp_path):
    """Its configuration says nothing of them; the arrays do."""
    config = {"class_name": "Mine", "config": {}}
    found = whole(tmp_path / "m.keras", config, [("rnn/cell", GRU_ENTRY[1])])
    assert {name: repr(layer) for name, layer in found.layers.items()} == {
        "rnn": "GRU(4, 3, batch_first=True, reset_after=False)"
    }


# --- numbers that are no floats --------------------------------------------------------------


def test_bfloat16(tmp_path):
    """Keras has them as two bytes without a meaning, and an attribute beside them."""
    path = tmp_path / "m.weights.h5"
    arrays = files.random_arrays("LSTM", 3, 4)
    with h5py.File(path, "w") as file:
        own = file.create_group("layers/lstm/cell/vars")
        for number, array in enumerate(arrays):
            upper = (array.view(np.uint32) >> 16).astype(np.uint16)
            own.create_dataset(str(number), data=upper.view("V2")).attrs["dtype"] = "bfloat16"
    layer = keras.load(path)["lstm"]
    cut = [(array.view(np.uint32) >> 16 << 16).view(np.float32) for array in arrays]
    files.weights3(path, [("lstm", "lstm", cut)])
    assert np.array_equal(layer(X)[0], keras.load(path)["lstm"](X)[0])


def test_arrays_of_whole_numbers_refuse_their_layer_alone(tmp_path):
    """A Normalization counts what it has seen."""
    row = files.config_of("Normalization", "n")
    three = [np.ones(4, np.float32), np.ones(4, np.float32), np.array(7)]
    layers = {"n": three, "g": files.random_arrays("GRU", 3, 4)}
    path = files.legacy(tmp_path / "m.h5", "3.15.1", layers, gru_after(row))
    found = read.find_whole(path)
    assert found.refused == {"n": "no layer of pyrnn is a Normalization"}
    assert list(found.layers) == ["g", "g_last"]
