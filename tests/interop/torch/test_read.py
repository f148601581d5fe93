"""Files of torch.save: what is in them comes back, nothing in it runs, bad ones are refused."""

import collections
import contextlib
import io
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from pyrnn.interop.torch import Placeholder, _pickle, read
from pyrnn.serialization import ModelFileError
from tests.fuzz.spoil.torch_file import (
    CONTAINERS,
    Object,
    Raw,
    View,
    Writer,
    archive,
    name,
    row,
    zipped,
)

ROOT = Path(__file__).parents[3]
BASE = np.arange(24, dtype=np.float32)


@pytest.fixture(params=CONTAINERS.values(), ids=CONTAINERS)
def read_tree(request, read_bytes):
    """Reads a file with this tree, in each container."""
    return lambda tree: read_bytes(request.param(tree))


# --- what comes back ------------------------------------------------------------------------


def test_plain_values(read_tree):
    tree = {
        "numbers": [1, -3, 2**40, 0.5, True, False, None],
        "nested": {"a": {"b": ("x", ())}, 3: "integer key"},
        "text": "h\u00e9llo",
    }
    assert read_tree(tree) == tree


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_arrays(read_tree, dtype):
    array = np.array([[1.5, 0, -2], [0, 7, 1e3]]).astype(dtype)
    found = read_tree({"a": array})["a"]
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    assert found.flags.writeable


def test_half_widths_are_widened(read_tree):
    half = np.array([1.5, -65504.0, 6e-8, np.inf], np.float16)
    full = np.array([1.5, -3e38, 1e-40, np.nan], np.float32)
    bits = (full.view(np.uint32) >> 16).astype(np.uint16)  # bfloat16
    found = read_tree({"half": half, "bfloat": bits})
    assert found["half"].dtype == found["bfloat"].dtype == np.float32
    assert np.array_equal(found["half"], half.astype(np.float32))
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(found["bfloat"], expected, equal_nan=True)


def test_views_share_their_storage(read_tree):
    tree = {
        "whole": View(BASE, 0, (4, 6), (6, 1)),
        "transposed": View(BASE, 0, (6, 4), (1, 6)),
        "every other": View(BASE, 7, (3, 2), (6, 2)),
        "scalar": View(BASE, 5, (), ()),
        "expanded": View(BASE, 3, (5, 2), (0, 1)),
        "empty": View(BASE, 0, (0, 3), (3, 1)),
    }
    found = read_tree(tree)
    whole = BASE.reshape(4, 6)
    assert np.array_equal(found["whole"], whole)
    assert np.array_equal(found["transposed"], whole.T)
    assert np.array_equal(found["every other"], whole[1:, 1:4:2])
    assert found["scalar"] == 5
    assert np.array_equal(found["expanded"], np.broadcast_to(BASE[3:5], (5, 2)))
    assert found["empty"].shape == (0, 3)
    found["whole"][0, 0] = -1
    assert found["transposed"][0, 0] == -1


def test_objects_of_unknown_classes(read_tree):
    state = {"training": True, "_parameters": {"weight": BASE}}
    found = read_tree({"net": Object("some.where", "Net", state)})["net"]
    assert type(found) is Placeholder
    assert found.kind == "some.where.Net"
    assert found.arguments == ()
    assert found["training"] is True
    assert np.array_equal(found["_parameters"]["weight"], BASE)
    assert "some.where.Net" in repr(found)


def test_one_object_twice_is_one_object(read_bytes):
    shared = Raw(b"]K\x07aq\x05")  # a list with 7 in it, remembered
    found = read_bytes(archive({"a": shared, "b": Raw(b"h\x05")}))
    assert found["a"] is found["b"]


def test_what_is_no_dict_is_returned_as_it_is(read_tree):
    assert np.array_equal(read_tree(BASE), BASE)
    assert read_tree([1, "x"]) == [1, "x"]


def every_kind_of_value(torch):
    class Fake:
        pass

    net = torch.nn.Sequential(torch.nn.LSTM(3, 4, 2), torch.nn.Linear(4, 2))
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "module": net,
        "state": net.state_dict(),
        "optimizer": torch.optim.Adam(net.parameters()).state_dict(),
        "half": torch.randn(3).half(),
        "bfloat": torch.randn(3).bfloat16(),
        "view": base[1:, ::2],
        "transposed": base.t(),
        "complex": torch.randn(2, dtype=torch.complex64),
        "uint16": torch.arange(3).to(torch.uint16),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "array": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.float64(3.5),
        "others": [torch.float32, torch.device("cpu"), torch.Size([1, 2]), {1, 2}, b"a\xff"],
        "default": collections.defaultdict(int, a=1),
    }


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
def test_files_that_torch_wrote(tmp_path, older, protocol):
    torch = pytest.importorskip("torch")
    tree = every_kind_of_value(torch)
    path = tmp_path / "model.pt"
    torch.save(tree, path, _use_new_zipfile_serialization=not older, pickle_protocol=protocol)
    found = read(path)
    for key, value in tree["state"].items():
        assert np.array_equal(found["state"][key], value.numpy())
    for key in ("view", "transposed", "complex", "uint16"):
        assert np.array_equal(found[key], tree[key].numpy())
        assert found[key].dtype == tree[key].numpy().dtype
    for key in ("half", "bfloat"):
        assert np.array_equal(found[key], tree[key].float().numpy())
    assert np.shares_memory(found["view"], found["transposed"])
    assert np.array_equal(found["parameter"], [1, 1])
    assert np.array_equal(found["array"], tree["array"])
    assert found["scalar"] == 3.5
    assert found["others"] == ["torch.float32", "cpu", (1, 2), {1, 2}, b"a\xff"]
    assert found["default"] == {"a": 1}
    assert found["optimizer"]["param_groups"][0]["params"] == list(range(10))
    lstm = found["module"]["_modules"]["0"]
    assert lstm.kind == "torch.nn.modules.rnn.LSTM"
    assert lstm["hidden_size"] == 4
    assert np.array_equal(lstm["_parameters"]["weight_hh_l1"], tree["state"]["0.weight_hh_l1"])


def test_torch_reads_what_the_tests_write(tmp_path):
    torch = pytest.importorskip("torch")
    for write in (archive, row):
        path = tmp_path / "model.pt"
        path.write_bytes(write({"a": BASE, "t": View(BASE, 0, (6, 4), (1, 6))}))
        found = torch.load(path, weights_only=True)
        assert np.array_equal(found["t"].numpy(), BASE.reshape(4, 6).T)


def test_reading_imports_neither_torch_nor_what_a_file_names(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(archive({"a": BASE, "o": Object("this", "Zen", {}), "f": name("torch", "x")}))
    code = f"""
import sys
from pyrnn.interop.torch import read
assert list(read({str(path)!r})) == ["a", "o", "f"]
assert not {{"torch", "this", "safetensors"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


# --- hostile files --------------------------------------------------------------------------


class Touch:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path, call=os.mkdir):
        self.path, self.call = path, call

    def __reduce__(self):
        return self.call, (str(self.path),)


def commands(path):
    """Pickles that run code in `pickle.loads`, each in another way."""
    shell = f"mkdir {path}"
    yield pickle.dumps(Touch(path), protocol=2)
    yield pickle.dumps(Touch(path), protocol=4)
    yield b"cposix\nsystem\n(S'" + shell.encode() + b"'\ntR."
    yield b"(S'" + shell.encode() + b"'\niposix\nsystem\n."
    yield b"(cposix\nsystem\nS'" + shell.encode() + b"'\no."
    code = f"__import__('os').mkdir({str(path)!r})"
    yield b"\x80\x02cbuiltins\neval\n" + Writer().item(code) + b"\x85R."


def test_a_pickle_that_would_run_code_runs_none(tmp_path):
    touched = tmp_path / "touched"
    for count, data in enumerate(commands(touched)):
        pickle.loads(data)
        assert touched.exists(), data
        touched.rmdir()
        for number, file in enumerate((zipped({"m/data.pkl": data}), row(Raw(data[:-1])))):
            path = tmp_path / f"{count}-{number}.pt"
            path.write_bytes(file)
            # A pickle that begins with its protocol has no place within another.
            with contextlib.suppress(ModelFileError) if number else contextlib.nullcontext():
                assert type(read(path)) is Placeholder
            assert not touched.exists(), data
    assert count == 5


def test_a_state_cannot_be_given_to_a_class(read_bytes):
    """As ``__setstate__`` of what was imported would be."""
    data = b"\x80\x02cpyrnn\nLSTM\n}X\x05\x00\x00\x00helloK\x01sb."
    assert read_bytes(zipped({"m/data.pkl": data})) == "pyrnn.LSTM"
    assert not hasattr(pyrnn.LSTM, "hello")


def compressed():
    writer = Writer()
    members = {"m/data.pkl": writer.pickle({"a": np.zeros(3_000_000, "f")})}
    members |= {f"m/data/{k}": flat.tobytes() for k, flat in writer.storages.items()}
    return zipped(members, zipfile.ZIP_DEFLATED)


def overlapping():
    """Two hundred names for the same megabyte."""
    count = 200
    tree = []
    for number in range(count):
        identity = ("storage", name("torch", "FloatStorage"), str(number), "cpu", 250_000)
        arguments = (Raw(Writer().item(identity) + b"Q"), 0, (250_000,), (1,), False, None)
        rebuild = name("torch._utils", "_rebuild_tensor_v2")
        tree.append(Raw(rebuild + Writer().item(arguments) + b"R"))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(zipfile.ZipInfo("m/data.pkl"), Writer().pickle(tree))
        made.writestr(zipfile.ZipInfo("m/data/0"), bytes(1_000_000))
        first = made.infolist()[-1]
        for number in range(1, count):
            twin = zipfile.ZipInfo(f"m/data/{number}")
            for field in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(twin, field, getattr(first, field))
            made.filelist.append(twin)
    return file.getvalue()


def laughs():
    """A list of ten times a list of ten times ..., all of them one object."""
    data = b"]q\x00"
    for level in range(20):
        data += b"](" + (b"h" + bytes([level])) * 10 + b"eq" + bytes([level + 1])
    return Raw(data)


def tensor(offset=0, shape=(24,), strides=(1,)):
    return archive({"a": View(BASE, offset, shape, strides)})


def damaged(data, old, new):
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


WHOLE = archive({"a": BASE, "b": {"c": np.ones((2, 3))}})
OLDER = row({"a": BASE, "b": {"c": np.ones((2, 3))}})
PICKLE = Writer().pickle({})
STORAGE_SIZE = zipped({"m/data.pkl": Writer().pickle(BASE), "m/data/0": BASE.tobytes()[:-4]})
BAD = {
    "empty": b"",
    "one byte": b"P",
    "text": b"hello, world" * 10,
    "half": WHOLE[: len(WHOLE) // 2],
    "without its last byte": WHOLE[:-1],
    "older, half": OLDER[: len(OLDER) // 2],
    "older, without its last byte": OLDER[:-1],
    "older, with more": OLDER + b"\0",
    "a bare pickle": PICKLE,
    "a zip of something else": zipped({"arr_0.npy": b"x"}),
    "two models": zipped({"a/data.pkl": PICKLE, "b/data.pkl": PICKLE}),
    "a damaged storage": damaged(WHOLE, BASE.tobytes(), BASE[::-1].tobytes()),
    "compressed": compressed(),
    "overlapping": overlapping(),
    "a byteorder of its own": zipped({"m/data.pkl": PICKLE, "m/byteorder": b"middle"}),
    "a storage of another size": STORAGE_SIZE,
    "a tensor beyond its storage": tensor(offset=1),
    "a negative offset": tensor(offset=-1, shape=(2,)),
    "a negative stride": tensor(shape=(2,), strides=(-1,)),
    "a negative size": tensor(shape=(-2,)),
    "a huge size": tensor(shape=(2**62, 2**62), strides=(0, 0)),
    "a size that overflows": tensor(shape=(2**63,), strides=(1,)),
    "huge and empty": tensor(shape=(0, 2**70), strides=(1, 1)),
    "repeated beyond measure": tensor(shape=(50_000, 50_000), strides=(0, 0)),
    "sixty-five axes": tensor(shape=(1,) * 65, strides=(1,) * 65),
    "an object in itself": archive(Raw(b"]q\x00h\x00a")),
    "a dict in itself": archive(Raw(b"}q\x00X\x01\0\0\0ah\x00s")),
    "an object in its own arguments": archive(
        Raw(b"cx\ny\n]q\x00\x85Rq\x01h\x00h\x01a0")
    ),
    "deep": archive(Raw(b"]" * 100_000 + b"a" * 99_999)),
    "deep tuples": archive(Raw(b")" + b"\x85" * 100_000)),
    "laughs": archive(laughs()),
    "a claimed string": zipped({"m/data.pkl": b"\x80\x02\x8d" + (2**62).to_bytes(8, "little")}),
    "claimed bytes": zipped({"m/data.pkl": b"\x80\x05\x96" + (2**40).to_bytes(8, "little")}),
    "a claimed number": zipped({"m/data.pkl": b"\x80\x02\x8b" + (2**30).to_bytes(4, "little")}),
    "a long number": zipped({"m/data.pkl": b"L" + b"9" * 100_000 + b"L\n."}),
    "keys that collide": archive(
        {(2**61 - 1) * n: None for n in range(20_000)}
    ),
    "a storage of a deep kind": archive(
        Raw(b"(X\x07\0\0\0storage)" + b"\x85" * 20_000 + b"X\x01\0\0\x000NK\x01tQ")
    ),
    "a deep version": row({}).replace(
        Writer().pickle(1001), b"\x80\x02)" + b"\x85" * 20_000 + b"."
    ),
    "a module of a deep class": archive(
        Raw(b"(X\x06\0\0\0module)" + b"\x85" * 20_000 + b"tQ")
    ),
    "a name that is no text": WHOLE.replace(b"model/version", b"model/v\xf1\xff\xffon"),
    "an empty stack": zipped({"m/data.pkl": b"\x80\x02."}),
    "a mark as an object": zipped({"m/data.pkl": b"\x80\x02(."}),
    "an unknown opcode": zipped({"m/data.pkl": b"\x80\x02\xff."}),
    "a later protocol": zipped({"m/data.pkl": b"\x80\x09N."}),
    "an object never stored": zipped({"m/data.pkl": b"\x80\x02h\x07."}),
    "a call of a number": zipped({"m/data.pkl": b"\x80\x02K\x01)R."}),
    "a list as a key": archive(Raw(b"}](NNes")),
    "no storage": archive(Raw(b"X\x01\0\0\0xQ")),
    "a storage of no kind": archive(
        Raw(Writer().item(("storage", name("torch", "FooStorage"), "0", "cpu", 3)) + b"Q")
    ),
    "a storage that is not there": archive(
        Raw(Writer().item(("storage", name("torch", "FloatStorage"), "0", "cpu", 3)) + b"Q")
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_bad_files_are_refused_in_one_line(read_bytes, tmp_path, data):
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(ModelFileError) as caught:
            read_bytes(data)
        seconds = time.process_time() - begun
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'model.pt'}: ")
    assert "\n" not in said
    assert len(said) < 600
    assert seconds < 4  # tracing memory makes it several times as slow
    assert peak < 30_000_000 + 30 * len(data)


@pytest.mark.parametrize("opcode", [b"N", b"]", b")R"])
def test_a_pickle_without_an_end(read_bytes, monkeypatch, opcode):
    """As many opcodes as a second has time for, and no more."""
    monkeypatch.setattr(_pickle, "MOST_OPCODES", 1000)
    data = b"ca\nb\n" + opcode * 1000 + b"."
    with pytest.raises(ModelFileError, match="its pickle has more than 1000 opcodes"):
        read_bytes(zipped({"m/data.pkl": data}))


@pytest.mark.parametrize("data", [WHOLE, OLDER], ids=["zip", "older"])
def test_every_truncation_is_refused(read_bytes, data):
    for length in range(0, len(data), 7):
        with pytest.raises(ModelFileError):
            read_bytes(data[:length])


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(ModelFileError, match=r"nowhere\.pt: cannot be read"):
        read(tmp_path / "nowhere.pt")
    with pytest.raises(ModelFileError, match="it is a folder"):
        read(tmp_path)
    with pytest.raises(ModelFileError, match="expected a file name"):
        read("")
    with pytest.raises(TypeError, match="path: expected a file name"):
        read(3)
