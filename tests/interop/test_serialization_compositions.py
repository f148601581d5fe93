"""Model files of compositions: all of their layers come back; what is none is refused."""

import json

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import serialization

pytest.importorskip("safetensors")


def composition():
    inner = pyrnn.Sequential(z=pyrnn.LSTM(4, 3, 2, dropout=0.5, seed=1), a=pyrnn.Activation("relu"))
    return pyrnn.Sequential(
        words=pyrnn.Embedding(9, 4, seed=0),
        inner=inner,
        norm=pyrnn.LayerNorm(3, 1e-3),
        batch=pyrnn.BatchNorm1d(3, affine=False),
        drop=pyrnn.Dropout(0.2, seed=5),
        last=pyrnn.LastStep(),
        out=pyrnn.Linear(3, 2, seed=2),
    )


def test_compositions_come_back(tmp_path, backend):
    model, path = composition(), tmp_path / "model.safetensors"
    pyrnn.save(model, path)
    loaded = pyrnn.load(path)
    assert repr(loaded) == repr(model)
    assert list(loaded.parameters) == list(model.parameters)
    x = np.array([[1, 2], [3, 8], [0, 0]])
    assert np.array_equal(loaded.eval()(x)[0], model.eval()(x)[0])
    assert loaded["drop"].seed == 5


@pytest.mark.parametrize(
    "layer",
    [pyrnn.Dropout(0.3), pyrnn.LastStep(bidirectional=True), pyrnn.LayerNorm(3, dtype="float64"),
     pyrnn.LayerNorm(3, elementwise_affine=False), pyrnn.MaxPool1d(3),
     pyrnn.InstanceNorm1d(3), pyrnn.InstanceNorm1d(3, affine=True),
     pyrnn.BatchNorm1d(3, 1e-3, None), pyrnn.BatchNorm1d(3, affine=False, dtype="float64"),
     pyrnn.BatchNorm1d(3, track_running_stats=False), pyrnn.BatchNorm1d(3, 0.1, 0.1, False, False),
     pyrnn.Activation("softplus"), pyrnn.MeanOverTime(True), pyrnn.Linear(2, 3, bias=False)],
)  # fmt: skip
def test_every_layer_comes_back(layer, tmp_path):
    pyrnn.save(layer, tmp_path / "layer.safetensors")
    assert repr(pyrnn.load(tmp_path / "layer.safetensors")) == repr(layer)


def test_a_composition_with_a_layer_of_ones_own_is_not_saved(tmp_path):
    class Own(pyrnn.Layer):
        def __init__(self):
            super().__init__({}, "float32")

    path = tmp_path / "model.safetensors"
    with pytest.raises(TypeError, match=r"own: expected one of RNN, .*, got Own"):
        pyrnn.save(pyrnn.Sequential(own=Own()), path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (None, "expected layers of Sequential"),
        ([], "layers: expected one or more, got none"),
        ([["a"]], r"expected a layer of Sequential, got \['a'\]"),
        ([["a", {"kind": "Linear"}]], "expected a layer of Sequential"),
        ([["a", {"kind": "CharacterModel", "arguments": {}}]], "a: expected one of RNN"),
        ([["a", {"kind": ["GRU"], "arguments": {}}]], "a: expected one of RNN"),
        ([["a.b", {"kind": "Dropout", "arguments": {}}]], "expected names without a dot"),
        ([["a", {"kind": "Dropout", "arguments": {"q": 1}}]], "expected arguments of Dropout"),
        ([["a", {"kind": "LayerNorm", "arguments": {"normalized_shape": 10**9}}]], "sizes that f"),
        (
            [
                [
                    "a",
                    {
                        "kind": "InstanceNorm1d",
                        "arguments": {"num_features": 10**9, "affine": True},
                    },
                ]
            ],
            "sizes that fit",
        ),
        *(
            ([["a", {"kind": "BatchNorm1d", "arguments": {"num_features": 10**9} | more}]], "sizes")
            for more in ({}, {"affine": False}, {"track_running_stats": False})
        ),
        ([["a", {"kind": "Linear", "arguments": {}}]], "expected arguments of Linear"),
    ],
)
def test_wrong_compositions(layers, words, tmp_path):
    from safetensors.numpy import save_file

    description = {"version": 1, "kind": "Sequential", "arguments": {"layers": layers}}
    path = tmp_path / "model.safetensors"
    save_file({"x": np.zeros(1, "f")}, path, {"pyrnn": json.dumps(description)})
    with pytest.raises(serialization.ModelFileError, match=words):
        pyrnn.load(path)


def test_compositions_as_deep_as_can_be(tmp_path):
    from safetensors.numpy import save_file

    text = '{"kind":"Sequential","version":1,"arguments":' + deep(2000) + "}"
    save_file({"x": np.zeros(1, "f")}, tmp_path / "deep", {"pyrnn": text})
    with pytest.raises(serialization.ModelFileError, match="expected"):
        pyrnn.load(tmp_path / "deep")
    save_file(
        {"x": np.zeros(1, "f")}, tmp_path / "deep", {"pyrnn": text.replace(deep(2000), deep(40))}
    )
    with pytest.raises(serialization.ModelFileError, match="expected layers of Sequential"):
        pyrnn.load(tmp_path / "deep")


def deep(levels):
    return '{"layers":[["a",{"kind":"Sequential","arguments":' * levels + "{}" + "}]]}" * levels
