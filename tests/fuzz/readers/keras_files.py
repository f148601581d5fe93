"""Files of Keras that are spoiled: each is refused in one line, or gives layers that compute."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn.serialization import ModelFileError
from tests.fuzz.case import Case
from tests.fuzz.draw import Draw
from tests.fuzz.readers import hdf5_server
from tests.fuzz.readers.common import Reader, each, in_one_line, made_apart, parameters_of, placed
from tests.fuzz.readers.onnx_files import try_to_run
from tests.fuzz.spoil import hdf5_file
from tests.fuzz.spoil.files import BYTES, SPLICES
from tests.fuzz.spoil.hostile import zip_bomb
from tests.fuzz.spoil.pickles import spoil_zip
from tests.fuzz.spoil.torch_file import zipped
from tests.fuzz.spoil.trees import spoil_json

SOURCES = 32
H5_MAGIC = b"\x89HDF"
WEIGHTS = "model.weights.h5"


def _spoiled_keras(draw: Draw) -> Case:
    """A small file of some version of Keras, with a few mutations."""
    draw.mutations = 0  # the file has them
    data = draw.choice(sources())
    kind = draw.random.random()
    if kind < 0.2:  # what HDF5 or JSON say, within a sound file
        data = _edited(draw, data)
    elif kind < 0.205:
        data = _bomb(draw)
    if not kind >= 0.2 and draw.chance(0.7):
        return _case(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = _spoiled_zip(draw, data) if data[:2] == b"PK" else _spoiled_h5(draw, data)
    return _case(data)


def _case(data: bytes) -> Case:
    return Case({"file": data}, _read, names={"expected"}, errors=(ModelFileError,))


def _edited(draw: Draw, data: bytes) -> bytes:
    if data[:4] == H5_MAGIC:
        return hdf5_file.edited(draw, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[WEIGHTS] = hdf5_file.edited(draw, members[WEIGHTS])
    return zipped(members)


def _bomb(draw: Draw) -> bytes:
    member = draw.choice(("config.json", "metadata.json", WEIGHTS))
    contents = (b" ", b"[", b"1,", b'"a"', b"\0", b'{"a":')
    before = draw.choice((b"", b"[", b'{"a":['))
    return zip_bomb(member, draw.choice(contents), before, draw.choice((b"", b"1]", b"1]}")))


def _spoiled_h5(draw: Draw, data: bytes) -> bytes:
    """Where there is something, as most of a small file is empty."""
    if draw.chance(0.1):
        return draw.choice(BYTES[:-1])(draw, data)
    if draw.chance(0.05):
        return draw.choice(SPLICES)(draw, data, draw.choice(sources()))
    changed = bytearray(data)
    full = np.flatnonzero(np.frombuffer(data, np.uint8))
    for _ in range(draw.choice((1, 1, 2, 4, 8)) if len(full) else 0):
        at = int(full[draw.integer(0, len(full) - 1)])
        at = min(len(data) - 1, max(0, at + draw.choice((0, 0, 0, 1, -1))))
        bit = changed[at] ^ 1 << draw.integer(0, 7)
        changed[at] = draw.choice((0, 255, 1, bit, draw.integer(0, 255)))
    return bytes(changed)


def _spoiled_zip(draw: Draw, data: bytes) -> bytes:
    """The archive, a configuration in it, or the weights in it."""
    kind = draw.random.random()
    if kind < 0.1:
        return draw.choice(BYTES[:-1])(draw, data)
    try:
        if kind < 0.2:
            return spoil_zip(draw, data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        if kind < 0.4:
            members[WEIGHTS] = _spoiled_h5(draw, members[WEIGHTS])
        else:
            name = draw.choice(("config.json", "config.json", "metadata.json"))
            members[name] = json.dumps(spoil_json(draw, json.loads(members[name]))).encode()
    except Exception:  # what came before has left no archive
        return draw.choice(BYTES[:-1])(draw, data)
    return zipped(members)


@functools.lru_cache(None)
def sources() -> list[bytes]:
    """All of the small files; their maker's imports stay in its process."""
    made: list[bytes] = made_apart(each, _source, SOURCES)
    return made


def _source(number: int) -> bytes:
    """One of the small files: of Keras 1, 2 and 3, whole models and weights alone."""
    from tests.interop.keras import files

    kind = ("LSTM", "GRU", "SimpleRNN")[number % 3]
    arrays = files.random_arrays(kind, 3, 4, reset_after=number % 2 == 0, seed=number)
    dense = [np.ones((3, 2), np.float32), np.zeros(2, np.float32)]
    rows = [np.ones((5, 4), np.float32)]
    cell = files.config_of(kind, "cell", units=3, go_backwards=number % 5 == 0)
    out, words = files.config_of("Dense", "out", units=2), files.config_of("Embedding", "words")
    snake = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn"}[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.keras"
        form = number // 3 % 4
        if number >= 24:
            _whole_model(path, number)
        elif form == 0:
            both = files.config_of("Bidirectional", "both", layer=cell, merge_mode="concat")
            config = files.model_config(words, both, out)
            entries = [("embedding", "words", rows), ("bidirectional", "both", (arrays, arrays)),
                       ("dense", "out", dense)]  # fmt: skip
            files.keras3(path, config, entries)
        elif form == 1:
            files.keras3(path, files.model_config(cell, out),
                         [(snake, "cell", arrays), ("dense", "out", dense)])  # fmt: skip
        elif form == 2:
            files.legacy(path, "2.4.0", {"cell": arrays, "out": dense, "drop": []},
                         files.model_config(cell, out, files.config_of("Dropout", "drop"))
                         if number % 2 else None)  # fmt: skip
        else:
            layers = {"a": pyrnn.LSTM(3, 4, 2, seed=0), "b": pyrnn.Linear(4, 2, seed=0)}
            pyrnn.interop.keras.save(layers, path)
        return path.read_bytes()


def _whole_model(path: Path, number: int) -> None:
    """A functional model with a mask, a branch and shapes, or a Sequential one."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import called, layer, tensor

    gru = files.random_arrays("GRU", 4, 4, seed=number)
    row = layer("GRU", "g", units=4, return_sequences=True, reset_after=False)
    if number % 2:
        rows = [
            called(models.given("x", 3), dtype="int32"),
            called(layer("Embedding", "e"), tensor("x")),
            called(layer("NotEqual", "ne"), tensor("x"), 0),
            called(row, tensor("e"), mask=tensor("ne")),
            called(layer("Add", "sum"), [tensor("e"), tensor("g")]),
            called(layer("GlobalMaxPooling1D", "m"), tensor("sum")),
            called(layer("RepeatVector", "r", n=2), tensor("m")),
            called(layer("TimeDistributed", "t", layer=layer("Softmax", "s")), tensor("r")),
        ]
        config = models.functional(rows, ["x", 0, 0], [["t", 0, 0], ["g", 0, 0]])
        words = [np.ones((5, 4), np.float32)]
        files.keras3(path, config, [("embedding", "e", words), ("gru", "g", gru)])
        return
    rows = [
        models.given("x", 6, 4),
        layer("Masking", "k"),
        row,
        layer("AveragePooling1D", "p", pool_size=2, padding="same"),
        layer("Reshape", "r", target_shape=[2, -1]),
        layer("Permute", "q", dims=[2, 1]),
        layer("Flatten", "f"),
        layer("Dense", "d", activation="selu", use_bias=False),
    ]
    entries = [("gru", "g", gru), ("dense", "d", [np.ones((12, 2), np.float32)])]
    files.keras3(path, files.model_config(*rows), entries)


def _read(a: dict[str, Any]) -> Any:
    from pyrnn.interop import keras

    with (
        hdf5_server.in_place_of_processes(),
        placed(a["file"], "model.keras") as path,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # of layers that are none
        layers = in_one_line(path, lambda: keras.load(path))
        with contextlib.suppress(ModelFileError):  # of a model that no graph is made of
            try_to_run(in_one_line(path, lambda: keras.prepare(path)))
    for layer in layers.values():
        _check_use(layer)
    return parameters_of(layers)


def _check_use(layer: Any) -> None:
    """That it computes."""
    if isinstance(layer, pyrnn.Embedding):
        y = layer(np.zeros((1, 2), int))
    elif isinstance(layer, pyrnn.Linear):
        y = layer(np.zeros((2, layer.in_features), layer.dtype))
    else:
        y, _ = layer(np.zeros((2, 1, layer.input_size), layer.dtype))
    if y.shape[0] not in (1, 2):
        raise AssertionError(f"computes {y.shape}")


READER = Reader(
    "keras", _spoiled_keras, ("interop.keras.load", "interop.keras.prepare"), sources, ("h5py",),
    0.3, hdf5_server.begin,
)  # fmt: skip
