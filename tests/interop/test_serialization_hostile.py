"""Files that lie about themselves, or are no files: one line, at once, in little memory."""

import json
import os
import pickle
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pyrnn
from pyrnn.interop import serialization
from pyrnn.interop.serialization import ModelFileError
from pyrnn.text.character_model import CharacterModel

pytest.importorskip("safetensors")

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX files and limits")


def in_file(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def described(kind: str, text: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Metadata about a model."""
    description = {"version": 1, "kind": kind, "arguments": arguments}
    return {"__metadata__": {"pyrnn": json.dumps(description) if text is None else text}}


def one_tensor(count: int) -> dict[str, Any]:
    return {"t": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}


CHARACTERS = "".join(chr(code) for code in range(0x20, 0xD000))
MANY = 600_000
LAYER = {"input_size": 1, "hidden_size": 1, "num_layers": 1}

FILES: dict[str, Callable[[], bytes]] = {
    "nested description": lambda: in_file(described("RNN", "[" * 100_000)),
    "nested arguments": lambda: in_file(described("RNN", '{"a":' * 100_000)),
    "many values in the description": lambda: in_file(described("RNN", "[" + "[]," * 900_000)),
    "many digits": lambda: in_file(described("RNN", '{"version": ' + "1" * 2_700_000)),
    "nested header": lambda: in_file(b'{"a":' * 100_000),
    "many values in the header": lambda: in_file(b'{"a":[' + b"[]," * 900_000),
    "many strings": lambda: in_file(
        b'{"__metadata__":{' + b",".join(b'"%d":""' % n for n in range(270_000)) + b"}}"
    ),
    "many tensors": lambda: in_file(
        {f"{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(50_000)}
    ),
    "long header": lambda: struct.pack("<Q", 2**62) + b"{" * 1000,
    "vocabulary beside large layers": lambda: in_file(
        described("CharacterModel", vocabulary=CHARACTERS, hidden_size=17_000, num_layers=1)
        | one_tensor(MANY),
        bytes(4 * MANY),
    ),
    "vocabulary beside a large embedding": lambda: in_file(
        described(
            "CharacterModel",
            vocabulary=CHARACTERS,
            hidden_size=1,
            num_layers=1,
            embedding_dim=MANY,
        )
        | one_tensor(MANY),
        bytes(4 * MANY),
    ),
    "vocabulary of one character": lambda: in_file(
        described("CharacterModel", vocabulary="a" * 2_700_000, hidden_size=1, num_layers=1)
    ),
    "more words than numbers": lambda: in_file(
        described(
            "CharacterModel",
            vocabulary={"tokens": "words", "words": "\0".join(map(str, range(400_000)))},
            hidden_size=1,
        )
        | one_tensor(1000),
        bytes(4000),
    ),
    "words that are none": lambda: in_file(
        described("CharacterModel", vocabulary={"tokens": "words", "words": [["a"]]})
    ),
    "no tokeniser": lambda: in_file(
        described("CharacterModel", vocabulary={"tokens": "tokenizer", "json": "e30="})
    ),
    "a tokeniser of great depth": lambda: in_file(
        described("CharacterModel", vocabulary={"tokens": "tokenizer", "json": "W1tb" * 200_000})
    ),
    "many layers": lambda: in_file(
        described(
            "LSTM", **LAYER | {"num_layers": 10_000, "bidirectional": True, "layer_norm": True}
        )
        | one_tensor(MANY),
        bytes(4 * MANY),
    ),
    "a wide layer": lambda: in_file(
        described("GRU", **LAYER | {"hidden_size": MANY}) | one_tensor(MANY), bytes(4 * MANY)
    ),
    "a scheme that is slow": lambda: in_file(
        described("RNN", **LAYER | {"hidden_size": 1500, "initialization": "orthogonal"})
        | one_tensor(4 * MANY),
        bytes(16 * MANY),
    ),
    "a wide linear layer": lambda: in_file(
        described("Linear", in_features=MANY, out_features=MANY) | one_tensor(MANY),
        bytes(4 * MANY),
    ),
    "a large embedding": lambda: in_file(
        described("Embedding", num_embeddings=MANY, embedding_dim=MANY, seed=10**4000)
        | one_tensor(MANY),
        bytes(4 * MANY),
    ),
    "a long name": lambda: in_file({"a" * 1_000_000 + "\n": one_tensor(1)["t"]}, bytes(4)),
    "a long argument": lambda: in_file(described("RNN", **LAYER | {"x" * 1_000_000: 1})),
    "a long kind": lambda: in_file(described("x\n" * 500_000)),
    "a pickle": lambda: pickle.dumps(pyrnn.GRU(3, 400)),
}

MEASURE = """
import resource, sys, time
import pyrnn
from pyrnn.interop import serialization
from pyrnn.text.character_model import CharacterModel
serialization.load(sys.argv[1])  # imports what it needs
with open("/proc/self/statm", encoding="ascii") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        size = file.seek(0, 2)
    limit = used + 3 * size + (24 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    start = time.process_time()
    try:
        serialization.load(path)
        print(f"{time.process_time() - start:.3f} loaded")
    except serialization.ModelFileError as error:
        seconds = time.process_time() - start
        print(f"{seconds:.3f} {error}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits and /proc")
def test_time_and_memory_are_bounded_by_the_size(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    serialization.save(pyrnn.GRU(2, 2), layer)
    paths = [tmp_path / str(number) for number in range(len(FILES))]
    for path, make in zip(paths, FILES.values(), strict=True):
        path.write_bytes(make())
    large = tmp_path / "large"
    serialization.save(CharacterModel("ab", hidden_size=1400, seed=0), large)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, layer, *paths, large],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last.endswith(" loaded")
    for name, path, line in zip(FILES, paths, lines, strict=True):
        seconds, _, message = line.partition(" ")
        assert message.startswith(f"{path}: "), name
        assert "expected" in message, name
        assert "fits into memory" not in message, name
        assert len(message) < len(str(path)) + 500, name
        assert float(seconds) < 1, name


@pytest.mark.parametrize("kind", [pyrnn.RNN, pyrnn.LSTM, pyrnn.GRU, pyrnn.MinGRU])
def test_a_deep_layer_takes_time_in_proportion(kind: Any, tmp_path: Path) -> None:
    path, calls = tmp_path / "deep", {}
    for depth in (100, 200):
        layer = kind(1, 1, num_layers=depth, bidirectional=True)
        serialization.save(layer, path)
        events: list[str] = []
        sys.setprofile(lambda frame, event, argument, seen=events: seen.append(event))
        try:
            loaded: Any = serialization.load(path)
        finally:
            sys.setprofile(None)
        calls[depth] = len(events)
        assert list(loaded.parameters) == list(layer.parameters)
        assert repr(loaded) == repr(layer)
    assert calls[200] < 2.1 * calls[100]


class TestArguments:
    """Of constructors, as a file can have them."""

    def refused(self, tmp_path: Path, kind: str, **arguments: Any) -> str:
        path = tmp_path / "model"
        path.write_bytes(in_file(described(kind, **arguments) | one_tensor(10_000), bytes(40_000)))
        with pytest.raises(ModelFileError) as caught:
            serialization.load(path)
        message = str(caught.value).removeprefix(f"{path}: ")
        assert "\n" not in message
        assert len(message) < 300
        return message

    @pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "MinGRU"])
    @pytest.mark.parametrize(
        "value", [0, -1, 1.0, 1.5, True, None, "1", [1], {}, 10**6, 2**63, 10**15, [[]] * 50]
    )
    @pytest.mark.parametrize("name", ["input_size", "hidden_size", "num_layers"])
    def test_sizes(self, kind: str, name: str, value: Any, tmp_path: Path) -> None:
        assert name in self.refused(tmp_path, kind, **LAYER | {name: value})

    @pytest.mark.parametrize("name", ["bias", "batch_first", "bidirectional"])
    @pytest.mark.parametrize("value", [1, None, "yes", [], "x" * 10_000])
    def test_flags(self, name: str, value: Any, tmp_path: Path) -> None:
        message = self.refused(tmp_path, "LSTM", **LAYER | {name: value})
        assert f"{name}: expected True or False" in message

    @pytest.mark.parametrize("name", ["dropout", "recurrent_dropout", "zoneout"])
    @pytest.mark.parametrize("value", [-1, 2, True, "x" * 10_000, [], {}, 10**15])
    def test_rates(self, name: str, value: Any, tmp_path: Path) -> None:
        assert name in self.refused(tmp_path, "LSTM", **LAYER | {name: value})

    @pytest.mark.parametrize("name", ["x", "parameters", "__init__", "cell"])
    def test_that_are_none(self, name: str, tmp_path: Path) -> None:
        assert self.refused(tmp_path, "LSTM", **LAYER | {name: 1}).endswith(f"got {name!r}")

    @pytest.mark.parametrize(
        ("name", "value"),
        [("seed", -1), ("seed", "x"), ("initialization", "x" * 9999), ("forget_bias", "x")],
    )
    def test_how_a_layer_was_made(self, name: str, value: Any, tmp_path: Path) -> None:
        assert f"{name}: expected" in self.refused(tmp_path, "LSTM", **LAYER | {name: value})

    @pytest.mark.parametrize(
        "value", [None, 1, [], ["f4"], {"f4": 1}, "float16", "f4,f4", "x" * 999]
    )
    def test_dtype(self, value: Any, tmp_path: Path) -> None:
        message = self.refused(tmp_path, "RNN", **LAYER | {"dtype": value})
        assert message.startswith("dtype: expected one of float32, float64, got ")

    @pytest.mark.parametrize("value", [None, 1, "", [], ["a"], "aa", {"a": 1}, "ab" * 1000])
    def test_vocabulary(self, value: Any, tmp_path: Path) -> None:
        sizes = {"hidden_size": 1, "num_layers": 1}
        assert "vocabulary" in self.refused(tmp_path, "CharacterModel", vocabulary=value, **sizes)

    @pytest.mark.parametrize(
        "text",
        [
            '{"version": NaN}', '{"version": 1e999}', '{"version": true}', '{"version": 1.0}',
            '{"version": 1, "version": 1}', '{"kind": "RNN"}', "", "null", '"RNN"', "[]", "1",
            "\ud800", "\x00", '{"version": ' + "9" * 5000 + "}", "{",
            '{"version": 1, "kind": "RNN", "arguments": []}',
            '{"version": 1, "kind": {}, "arguments": {}}',
        ],
    )  # fmt: skip
    def test_description(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "model"
        path.write_bytes(in_file(described("RNN", text)))
        with pytest.raises(ModelFileError) as caught:
            serialization.load(path)
        assert str(caught.value).startswith(f"{path}: expected ")
        assert "\n" not in str(caught.value)


class TestNames:
    @pytest.mark.parametrize("form", [str, os.fspath, os.fsencode, Path])
    def test_in_every_form(self, form: Callable[[Any], Any], tmp_path: Path) -> None:
        layer = pyrnn.GRU(2, 3, seed=0)
        for name in ("model", "\u00e9 \u4e2d", "a\nb"):
            path = form(str(tmp_path / name))
            serialization.save(layer, path)
            assert repr(serialization.load(path)) == repr(layer)
            with pytest.raises(
                ModelFileError, match="expected a CharacterModel, got GRU"
            ) as caught:
                serialization.load_character_model(path)
            assert "\n" not in str(caught.value)
        assert sorted(os.listdir(tmp_path)) == sorted(["model", "\u00e9 \u4e2d", "a\nb"])

    @pytest.mark.parametrize("wrong", [None, 0, 1, 1.5, True, ["x"], bytearray(b"x")])
    def test_that_are_none(self, wrong: Any) -> None:
        for call in (
            serialization.load,
            serialization.load_character_model,
            serialization.check_writable,
            lambda path: serialization.save(pyrnn.GRU(2, 3), path),
        ):
            with pytest.raises(TypeError, match=r"^path: expected a file name"):
                call(wrong)

    @pytest.mark.parametrize("wrong", ["", b"", "a\0b", "\ud800"])
    def test_that_no_file_has(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match=r"^path: expected a file name, got '"):
            serialization.save(pyrnn.GRU(2, 3), wrong)
        with pytest.raises(ModelFileError, match=r"^path: expected a file name, got '"):
            serialization.load(wrong)

    @pytest.mark.parametrize(
        ("name", "reason"), [("x" * 300, "too long"), ("x/y", "folder|director")]
    )
    def test_that_cannot_be(self, name: str, reason: str, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        with pytest.raises(ModelFileError, match=rf"cannot be read \(.*{reason}"):
            serialization.load(tmp_path / name)
        with pytest.raises(OSError, match=reason):
            serialization.save(pyrnn.GRU(2, 3), tmp_path / name)
        assert os.listdir(tmp_path) == ["x"]


@posix
class TestNoFiles:
    @pytest.fixture(params=["pipe", "socket", "device", "folder"])
    def path(self, request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
        if request.param == "pipe":
            os.mkfifo("special")
        with socket.socket(socket.AF_UNIX) as server:
            if request.param == "socket":
                server.bind("special")
            yield {"device": "/dev/zero", "folder": "."}.get(request.param, "special")

    def test_load(self, path: str) -> None:
        message = r"cannot be read \(it is (no regular file|a folder)\)$"
        with pytest.raises(ModelFileError, match=message):
            serialization.load(path)

    def test_save(self, path: str) -> None:
        before = os.stat(path).st_mode
        with pytest.raises(OSError, match=r"it is (no regular file|a folder)"):
            serialization.save(pyrnn.GRU(2, 3), path)
        assert os.stat(path).st_mode == before


@posix
@pytest.mark.parametrize("locked", ["model", "folder"])
def test_that_nobody_may_read(locked: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    serialization.save(pyrnn.GRU(2, 3), folder / "model")
    (folder / "model" if locked == "model" else folder).chmod(0)
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(0o755)
    code = (
        "import os, sys, safetensors.numpy, numpy.random, pyrnn.reference.cells\n"
        "from pyrnn import *\n"  # what it needs may lie where the other user cannot read
        "os.geteuid() or os.setuid(65534)\n"
        "try: serialization.load(sys.argv[1])\n"
        "except serialization.ModelFileError as error: print(error)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, folder / "model"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        folder.chmod(0o755)
    assert done.stdout.endswith("cannot be read (Permission denied)\n"), done.stderr


def test_a_file_that_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    serialization.save(CharacterModel("abc", hidden_size=400, seed=0), path)
    size, real = path.stat().st_size, serialization._check_tensors

    def shrink(*arguments: Any) -> None:
        os.truncate(path, size - 100)
        real(*arguments)

    monkeypatch.setattr(serialization, "_check_tensors", shrink)
    with pytest.raises(ModelFileError, match="it ends before its last tensor"):
        serialization.load(path)
