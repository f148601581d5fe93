"""The formats of a character model: what says which they are, what they cost, what keeps them."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

TEXT = "hello, the cell of the hollow cello " * 4


def model_of(**more):
    options = {"hidden_size": 24, "embedding_dim": 5, "seed": 0, **more}
    return pyrnn.CharacterModel("".join(sorted(set(TEXT))), **options)


def formats_of(model):
    return model.weight_format, model.activation_format, model.compute_format


@pytest.mark.parametrize(
    ("told", "formats"),
    [
        ({}, ("float32", "float32", "float32")),
        ({"weights": "float16"}, ("float16", "float32", "float32")),
        ({"weights": "int8"}, ("int8", "int16", "float32")),
        ({"weights": "int8", "activations": "int8"}, ("int8", "int8", "float32")),
        ({"weights": "bfloat16", "compute": "bfloat16"}, ("bfloat16", "float32", "bfloat16")),
    ],
)
def test_they_are_those_that_eval_was_told(told, formats, backend):
    model = model_of().eval(**told)
    assert formats_of(model) == formats
    assert {formats_of(layer) for layer in model._layers().values()} == {formats}
    assert formats_of(model.eval()) == formats
    text = model.vocabulary.encode(TEXT)
    logits = model(text)[0]
    for other in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert formats_of(other) == formats
        assert np.array_equal(other(text)[0], logits)
        assert np.array_equal(other.forward(text)[0], logits)
    assert formats_of(model.train()) == ("float32", "float32", formats[2])
    assert formats_of(model.train(compute="float32")) == ("float32",) * 3
    assert model_of(dtype="float64").eval().activation_format == "float64"


def test_what_is_refused_changes_no_layer(backend):
    model = model_of().eval(weights="int8")
    before = formats_of(model)
    model.train()
    model.linear.parameters["weight"][0, 0] = 1e6
    model.eval(weights="int8")
    for told in (
        {"weights": "float16"},
        {"compute": "bfloat16"},
        {"weights": "bfloat16", "activations": "int8"},
        {"weights": "int4"},
        {"activations": "int4"},
    ):
        with pytest.raises(ValueError, match=r"(weights|activations): expected"):
            model.eval(**told)
        assert {formats_of(layer) for layer in model._layers().values()} == {before}
        assert formats_of(model) == before
    with pytest.raises(ValueError, match="compute: expected"):
        model.train(compute="float16")
    assert formats_of(model) == before
    assert not model.training


def test_quantization_error_is_the_difference_of_scores(backend):
    model = model_of()
    text = model.vocabulary.encode(TEXT)
    full, state = model(text[:-9]), model(text[-9:])[1]
    found = model.quantization_error(text[:-9], weights="int8", activations="int8")
    narrow = copy.deepcopy(model).eval(weights="int8", activations="int8")(text[:-9])
    off = np.abs(narrow[0].astype(np.float64) - full[0])
    assert (found.largest, found.mean) == (off.max(), off.mean())
    assert 0 < found.mean < 0.02 * found.mean_output
    assert found.mean > model.quantization_error(text[:-9], weights="int8").mean
    assert model.quantization_error(text[:-9]).largest == 0
    assert model.quantization_error(text, weights="int8", state=state) != found
    assert model.training
    assert formats_of(model) == ("float32",) * 3
    # As it is now, that is with products of bfloat16, beside float32
    model.eval(weights="bfloat16", compute="bfloat16")
    both = model.quantization_error(text)
    assert both.mean > model.eval(compute="float32").quantization_error(text).mean > 0
    with pytest.raises(ValueError, match="indices: expected"):
        model.quantization_error(np.array([[[0]]]))


@pytest.mark.parametrize("activations", ["int8", "int16"])
def test_files_have_them(tmp_path, activations, backend):
    model = model_of()
    pyrnn.save(model, tmp_path / "m.safetensors", weights="int8", activations=activations)
    loaded = pyrnn.load(tmp_path / "m.safetensors")
    assert formats_of(loaded) == ("float32",) * 3
    assert formats_of(loaded.eval(weights="int8")) == ("int8", activations, "float32")
    text = model.vocabulary.encode(TEXT)
    model.eval(weights="int8", activations=activations)
    assert np.array_equal(loaded(text)[0], model(text)[0])
    # A file of the loaded model says the same.
    pyrnn.save(loaded, tmp_path / "again.safetensors", weights="int8")
    again = pyrnn.load(tmp_path / "again.safetensors").eval(weights="int8")
    assert again.activation_format == activations
    assert np.array_equal(again(text)[0], model(text)[0])
