"""Model files with weights of 16 and 8 bits."""

import numpy as np
import pytest

import pyrnn
from pyrnn._number_formats import narrow
from pyrnn.serialization import ModelFileError
from tests.number_formats.rounded import rounded_all

safetensors = pytest.importorskip("safetensors")

NAMES = {"bfloat16": "BF16", "float16": "F16", "int8": "I8"}


def models():
    return {
        "lstm": pyrnn.LSTM(5, 8, 2, bidirectional=True, peephole=True, seed=0),
        "cell": pyrnn.GRUCell(5, 8, seed=0),
        "sequential": pyrnn.Sequential(
            table=pyrnn.Embedding(9, 5, seed=0), norm=pyrnn.LayerNorm(5), out=pyrnn.Linear(5, 2)
        ),
        "character model": pyrnn.CharacterModel("helo", hidden_size=8, embedding_dim=3, seed=0),
    }


def dtypes_in(path):
    with safetensors.safe_open(str(path), "np") as file:
        return {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("weights", NAMES)
@pytest.mark.parametrize("name", models())
def test_matrices_come_back_rounded_and_the_rest_as_it_was(tmp_path, name, weights):
    model, path = models()[name], tmp_path / "model"
    pyrnn.save(model, path, weights=weights)
    loaded = pyrnn.load(path)
    assert repr(loaded) == repr(model)
    expected = rounded_all(weights, model.parameters)
    for key, array in loaded.parameters.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, expected[key])
    stored = {key for key, dtype in dtypes_in(path).items() if dtype == NAMES[weights]}
    assert stored == {key for key, a in model.parameters.items() if narrow.is_narrow(key, a)}


def test_files_have_the_parameters_whatever_eval_was_told(tmp_path):
    model = pyrnn.GRU(5, 8, seed=0)
    pyrnn.save(model, tmp_path / "one")
    pyrnn.save(model.eval(weights="bfloat16"), tmp_path / "other")
    pyrnn.save(model, tmp_path / "third", weights="float32")
    first = (tmp_path / "one").read_bytes()
    assert first == (tmp_path / "other").read_bytes() == (tmp_path / "third").read_bytes()


@pytest.mark.parametrize("weights", ["bfloat16", "float16"])
def test_torch_reads_the_numbers(tmp_path, weights):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model = pyrnn.GRU(5, 8, seed=0)
    pyrnn.save(model, tmp_path / "model", weights=weights)
    expected = torch.from_numpy(model.parameters["weight_hh_l0"]).to(getattr(torch, weights))
    assert torch.equal(load_file(tmp_path / "model")["weight_hh_l0"], expected)


def test_arguments_are_checked_before_anything_is_written(tmp_path):
    model, path = pyrnn.Linear(2, 3), tmp_path / "model"
    for weights, dtype in (("int4", "float32"), ("float16", "float64")):
        with pytest.raises(ValueError, match="weights: expected"):
            pyrnn.save(pyrnn.Linear(2, 3, dtype=dtype), path, weights=weights)
    model.parameters["weight"][0, 0] = 1e5
    with pytest.raises(ValueError, match=r"'float16' and 100000\.0 in weight"):
        pyrnn.save(model, path, weights="float16")
    assert not path.exists()


def test_a_narrow_tensor_is_taken_for_matrices_of_float32_alone(tmp_path):
    path = tmp_path / "model"
    pyrnn.save(pyrnn.Linear(2, 4, seed=0), path, weights="bfloat16")
    data = path.read_bytes()
    begin = rb"\"arguments\": {"
    as_float64 = data.replace(begin, begin + rb"\"dtype\": \"float64\", ")
    grown = len(as_float64) - len(data)
    assert grown > 0
    length = int.from_bytes(data[:8], "little") + grown
    path.write_bytes(length.to_bytes(8, "little") + as_float64[8:])
    with pytest.raises(ModelFileError, match="expected F64 of shape"):
        pyrnn.load(path)


def test_int8_files_have_the_scales_of_rows(tmp_path):
    model, path = pyrnn.GRU(5, 8, seed=0), tmp_path / "model"
    pyrnn.save(model, path, weights="int8")
    with safetensors.safe_open(str(path), "np") as file:
        numbers, scales = (file.get_tensor(f"weight_hh_l0{end}") for end in ("", ".scale"))
    assert (numbers.dtype, scales.dtype, scales.shape) == (np.int8, np.float32, (24,))
    expected = numbers * scales[:, None]
    assert np.array_equal(pyrnn.load(path).parameters["weight_hh_l0"], expected)


@pytest.mark.parametrize("name", models())
def test_a_loaded_model_computes_the_bits_of_the_saved_one(tmp_path, name):
    model, path = models()[name], tmp_path / "model"
    pyrnn.save(model, path, weights="int8")
    whole = name in ("sequential", "character model")
    x = np.arange(4).reshape(4, 1) if whole else np.ones((4, 1, 5), np.float32)

    def result(one):
        one.eval(weights="int8")
        y = one.forward(x[0] if name == "cell" else x)
        return y[0] if isinstance(y, tuple) else y

    assert np.array_equal(result(pyrnn.load(path)), result(model))


@pytest.mark.parametrize("name", models())
def test_a_file_says_what_activations_its_weights_are_for(tmp_path, name):
    model, path = models()[name], tmp_path / "model"
    pyrnn.save(model, path, weights="int8", activations="int8")
    whole = name in ("sequential", "character model")
    x = np.arange(4).reshape(4, 1) if whole else np.ones((4, 1, 5), np.float32)

    def result(one, **arguments):
        one.eval(weights="int8", **arguments)
        y = one.forward(x[0] if name == "cell" else x)
        return y[0] if isinstance(y, tuple) else y

    def formats(one):
        layers = one._layers().values() if name == "character model" else (one,)
        return {layer.activation_format for layer in layers}

    loaded = pyrnn.load(path)
    assert np.array_equal(result(loaded), result(model, activations="int8"))
    assert formats(loaded) == {"int8"}
    again = tmp_path / "again"
    pyrnn.save(loaded, again, weights="int8")  # what the file said, goes on
    assert again.read_bytes() == path.read_bytes()
    result(loaded, activations="int16")
    assert formats(loaded) == {"int16"}
    pyrnn.save(model, path, weights="int8", activations="int16")
    loaded = pyrnn.load(path)
    result(loaded)
    assert formats(loaded) == {"int16"}
    with pytest.raises(ValueError, match="activations: expected weights of 'int8'"):
        pyrnn.save(model, path, activations="int8")


def test_unknown_activations_in_a_file_are_refused(tmp_path):
    path = tmp_path / "model"
    pyrnn.save(pyrnn.Linear(2, 4, seed=0), path, weights="int8", activations="int8")
    data, said = path.read_bytes(), b'activations\\": \\"int'
    assert data.count(said + b"8") == 1
    path.write_bytes(data.replace(said + b"8", said + b"3"))
    with pytest.raises(ModelFileError, match="expected activations 'int16' or 'int8', got 'int3'"):
        pyrnn.load(path)


@pytest.mark.parametrize("fault", ["missing", "another shape", "of nothing"])
def test_scales_that_do_not_fit_are_refused(tmp_path, fault):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "model"
    pyrnn.save(pyrnn.Linear(2, 4, seed=0), path, weights="int8")
    with safetensors.safe_open(str(path), "np") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    if fault == "missing":
        del tensors["weight.scale"]
    elif fault == "another shape":
        tensors["weight.scale"] = np.ones(3, np.float32)
    else:
        tensors["bias.scale"] = np.ones(4, np.float32)
    save_file(tensors, path, metadata)
    with pytest.raises(ModelFileError, match=r"expected (a|no) tensor '(weight|bias)\.scale'"):
        pyrnn.load(path)
