"""Files for torch, written without it: read back here, and by torch itself with weights only."""

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import pyrnn
from pyrnn.interop.torch import from_state_dict, read, save, to_state_dict, write

LAYERS = {
    "encoder.rnn": pyrnn.LSTM(3, 4, 2, bidirectional=True, seed=0),
    "gru": pyrnn.GRU(3, 4, bias=False, seed=1),
    "out": pyrnn.Linear(4, 2, seed=2),
    "ünïcode": pyrnn.Embedding(5, 3, seed=3, dtype="float64"),
}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert np.asarray(found[name]).dtype == array.dtype
        assert np.asarray(found[name]).shape == array.shape
        assert np.asarray(found[name]).tobytes() == array.tobytes()


def expected_arrays():
    return {n: a for name, layer in LAYERS.items() for n, a in to_state_dict(layer, name).items()}


def test_pyrnn_reads_it(tmp_path):
    save(LAYERS, tmp_path / "m.pt")
    assert_same(read(tmp_path / "m.pt"), expected_arrays())
    assert repr(from_state_dict(read(tmp_path / "m.pt"), "encoder.rnn")) == repr(
        LAYERS["encoder.rnn"]
    )


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_reads_it_with_weights_only(mapped, tmp_path):
    torch = pytest.importorskip("torch")
    save(LAYERS, tmp_path / "m.pt")
    found = torch.load(tmp_path / "m.pt", weights_only=True, mmap=mapped)
    assert_same({name: tensor.numpy() for name, tensor in found.items()}, expected_arrays())
    module = torch.nn.LSTM(3, 4, 2, bidirectional=True)
    save(LAYERS["encoder.rnn"], tmp_path / "one.pt")
    module.load_state_dict(torch.load(tmp_path / "one.pt"))  # all keys match
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    y = module(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(y, LAYERS["encoder.rnn"](x)[0], rtol=1e-5, atol=1e-6)


def test_odd_arrays(tmp_path):
    """No numbers, no axes, other orders of bytes and of axes, halves."""
    arrays = {
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(1.5),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(3, dtype=">f4"),
    }
    save(arrays, tmp_path / "m.pt")
    found = read(tmp_path / "m.pt")
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)
    save({"half": np.ones(2, np.float16)}, tmp_path / "m.pt")
    assert read(tmp_path / "m.pt")["half"].dtype == np.float32


def test_the_numbers_are_aligned_and_stored():
    data = write.archive({"a": np.ones(3, np.float32), "b": np.ones((70, 3))})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            at = member.header_offset + 30 + len(member.filename)
            at += int.from_bytes(data[member.header_offset + 28 :][:2], "little")
            assert at % 64 == 0
            assert data[at : at + member.file_size] == archive.read(member)


def test_equal_weights_give_equal_files():
    assert write.archive(expected_arrays()) == write.archive(expected_arrays())


def test_large_numbers_in_the_pickle():
    import pickletools

    for number in (0, 255, 2**31 - 1, 2**31, 2**40):
        (first, *_) = pickletools.genops(write._whole(number) + b".")
        assert first[1] == number


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (3, TypeError, "layers: expected a layer, or a dict"),
        ({}, TypeError, "layers: expected a layer, or a dict"),
        ({1: pyrnn.Linear(2, 2)}, TypeError, "layers: expected names, got int"),
        ({"a": np.ones(2, int)}, TypeError, "a: expected"),
        ({"a": "x"}, TypeError, "layer: expected one of RNN"),
        (pyrnn.LSTM(2, 3, peephole=True), ValueError, "layer: expected one that torch has"),
    ],
)
def test_what_torch_has_not(layers, error, message, tmp_path):
    with pytest.raises(error, match=message):
        save(layers, tmp_path / "m.pt")
    assert not list(tmp_path.iterdir())


def test_torch_is_not_imported(tmp_path):
    script = (
        "import sys, pyrnn; from pyrnn.interop import torch\n"
        f"torch.save(pyrnn.GRU(3, 4), {str(tmp_path / 'm.pt')!r})\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
