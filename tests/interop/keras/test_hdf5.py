"""HDF5 files are read by a process of its own, whose end is an error and nothing more."""

import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

from pyrnn.interop import keras
from pyrnn.interop.keras import _hdf5_child, hdf5
from pyrnn.interop.serialization import ModelFileError
from tests.interop.keras import files
from tests.interop.keras.files import h5py


@pytest.fixture
def path(tmp_path):
    """A sound file."""
    path = tmp_path / "m.weights.h5"
    arrays = files.random_arrays("LSTM", 3, 4)
    files.weights3(path, [("lstm", "cell", arrays), ("bidirectional", "both", (arrays, arrays))])
    return path


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Lets a script stand in for the process that reads."""

    def replace(script):
        path = tmp_path / "child.py"
        path.write_text(textwrap.dedent(script))
        monkeypatch.setattr(_hdf5_child, "__file__", str(path))

    return replace


def refused(path, match):
    with pytest.raises(ModelFileError, match=match) as raised:
        keras.load(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


VLEN_STRING = b"name\0\0\0\0\x19\x01"
"""The name of an attribute, and the beginning of its type: of variable length, a string."""


@pytest.mark.parametrize("form", [0x05, 0x6C])
def test_attributes_on_which_the_library_crashes(form, path):
    """Bits that no type has: in h5py 3.16 a segmentation fault."""
    data = path.read_bytes()
    assert VLEN_STRING in data
    path.write_bytes(data.replace(VLEN_STRING, VLEN_STRING[:-1] + bytes([form])))
    refused(path, "expected a whole HDF5 file")


def test_within_a_keras_file(tmp_path):
    config = files.model_config(files.config_of("LSTM", "cell", units=3))
    arrays = files.random_arrays("LSTM", 3, 4)
    path = files.keras3(tmp_path / "m.keras", config, [("lstm", "cell", arrays)])
    path.write_bytes(path.read_bytes().replace(VLEN_STRING, VLEN_STRING[:-1] + b"\x05"))
    with pytest.raises(ModelFileError, match="expected a whole"):  # the zip's checksum
        keras.load(path)
    with files.zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", files.json.dumps(config))
        data = spoiled_weights(tmp_path / "w.h5", arrays)
        archive.writestr("model.weights.h5", data)
    refused(path, "expected a whole HDF5 file")


def spoiled_weights(path, arrays):
    files.weights3(path, [("lstm", "cell", arrays)])
    return path.read_bytes().replace(VLEN_STRING, VLEN_STRING[:-1] + b"\x05")


def test_a_crash(path, child):
    child("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    refused(path, "the HDF5 library failed on it: SIGSEGV")
    child("raise SystemExit(7)")
    refused(path, "the HDF5 library failed on it: exit status 7")


def test_an_answer_that_is_not_whole(path, child):
    arrays = (
        '{"tree": {"attributes": {}, "groups": {}, "arrays": {"a": 0}}, "arrays": [["<f4", [9]]]}'
    )
    for said in ('{"tree": {}}', "[", "{}", arrays, arrays.replace("<f4", "x9")):
        child(f"""
            import struct, sys
            data = {said.encode()!r}
            sys.stdout.buffer.write(struct.pack("<Q", len(data)) + data)
        """)
        refused(path, "expected a whole HDF5 file")
    child("")
    refused(path, "expected a whole HDF5 file")


def test_a_file_that_takes_for_ever(path, child, monkeypatch):
    monkeypatch.setattr(hdf5, "SECONDS", 0.1)
    child(f"""
        import json, sys
        sys.path.insert(0, {str(_hdf5_child.__file__).rpartition("/")[0]!r})
        import _hdf5_child
        _hdf5_child.limited(1 << 20, json.loads(sys.argv[1])["seconds"])
        while True:
            pass
    """)
    refused(path, r"takes more than 0\.1 s to read")
    monkeypatch.setattr(hdf5, "_WAIT", 0.2)
    child("import time; time.sleep(60)")  # and one that waits
    refused(path, r"takes more than 0\.1 s to read")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds of memory are Linux's")
def test_a_file_that_takes_all_memory(path):
    """What HDF5 asks for beside the arrays, which are counted before they are read."""
    script = f"""
        import io, sys
        sys.path.insert(0, {str(_hdf5_child.__file__).rpartition("/")[0]!r})
        import _hdf5_child
        _hdf5_child.tree = lambda *_: bytearray(1 << 30)
        _hdf5_child.limited(1 << 20, 5.0)
        _hdf5_child.answer(None, 1 << 20, sys.stdout.buffer)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    assert b"asks for too much memory" in out


def test_an_attribute_that_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(_hdf5_child, "MOST_TEXT", 1 << 10)
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"x" * 64] * 17)
    with pytest.raises(_hdf5_child.ContentError, match="/: expected a shorter attribute layer_"):
        _hdf5_child.tree(path, 1 << 20)


def test_the_library_is_not_brought_here(path):
    script = f"""
        import sys
        from pyrnn.interop import keras
        print(list(keras.load({str(path)!r})), "h5py" in sys.modules)
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(script)]
    out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert out == "['both', 'cell'] False\n"


@pytest.mark.parametrize("name", ["", None, "/opt/blender"])
def test_within_another_program(name, path, monkeypatch):
    """It has no Python of its own to start; the file is read in place."""
    expected = keras.load(path)
    monkeypatch.setattr(sys, "executable", name)
    found = keras.load(path)
    assert list(found) == list(expected)
    for layer, other in zip(found.values(), expected.values(), strict=True):
        for key, array in layer.parameters.items():
            assert np.array_equal(array, other.parameters[key])


@pytest.mark.parametrize("content", [b" ", b"[", b"1,", b'{"a":'])
@pytest.mark.parametrize("member", ["config.json", "metadata.json"])
def test_a_configuration_that_unpacks_to_far_more_is_refused(member, content, tmp_path):
    path = tmp_path / "bomb.keras"
    members = {"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b""}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, b"[" + content * (1 << 23) if name == member else data)
    with pytest.raises(ModelFileError, match=f"{member}: expected at most"):
        keras.load(path)
