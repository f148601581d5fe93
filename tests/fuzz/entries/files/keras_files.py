"""Files of Keras that are spoiled: each is refused in one line, or gives layers that compute."""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import os
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import pyrnn
from pyrnn.interop.keras import _hdf5_child, hdf5
from pyrnn.serialization import ModelFileError
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw
from tests.fuzz.spoil.files import BYTES, SPLICES
from tests.fuzz.spoil.pickles import spoil_zip
from tests.fuzz.spoil.trees import spoil_json

SOURCES = 24
SLOW = 2.0
"""Seconds of this process that reading a small file never takes."""


def _spoiled_keras(draw: Draw) -> Case:
    """A small file of some version of Keras, with a few mutations."""
    draw.mutations = 0  # the file has them
    number = draw.integer(0, SOURCES - 1)
    data = source(number)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = _spoiled_zip(draw, data) if data[:2] == b"PK" else _spoiled_h5(draw, data)
    return Case({"file": data}, _read, names={"expected"}, errors=(ModelFileError,))


def _spoiled_h5(draw: Draw, data: bytes) -> bytes:
    """Where there is something, as most of a small file is empty."""
    if draw.chance(0.1):
        return draw.choice(BYTES[:-1])(draw, data)
    if draw.chance(0.05):
        return draw.choice(SPLICES)(draw, data, source(draw.integer(0, SOURCES - 1)))
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
            name = "model.weights.h5"
            members[name] = _spoiled_h5(draw, members[name])
        else:
            name = draw.choice(("config.json", "config.json", "metadata.json"))
            members[name] = json.dumps(spoil_json(draw, json.loads(members[name]))).encode()
    except Exception:  # what came before has left no archive
        return draw.choice(BYTES[:-1])(draw, data)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for member, content in members.items():
            made.writestr(zipfile.ZipInfo(member), content)
    return file.getvalue()


@functools.lru_cache(None)
def source(number: int) -> bytes:
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
        if form == 0:
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


def _forked(file: BinaryIO, out: BinaryIO, most_bytes: int, seconds: float) -> int:
    """As a process of its own reads it, but begun by a fork, which takes less time."""
    out.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            _hdf5_child.limited(most_bytes, seconds)
            with open(os.dup(out.fileno()), "wb") as answer:
                _hdf5_child.answer(file, most_bytes, answer)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _read(a: dict[str, Any]) -> Any:
    from pyrnn.interop import keras

    if sys.platform.startswith("linux"):
        hdf5._exit_code = _forked
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of layers that are none
        path = Path(folder) / "model.keras"
        path.write_bytes(a["file"])
        begun = time.process_time()
        try:
            layers = keras.load(path)
        except ModelFileError as error:
            said = str(error).removeprefix(f"{path}: ")
            if said == str(error) or "\n" in said or len(said) > 600 or "into memory" in said:
                raise AssertionError(f"a message that does not say it: {said[:200]!r}") from error
            raise
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error
        finally:
            if time.process_time() - begun > SLOW:
                raise AssertionError("slow")
    for layer in layers.values():
        _check_use(layer)
    return [layer.parameters.copy() for layer in layers.values()]


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


if importlib.util.find_spec("h5py"):
    import h5py  # noqa: F401  # before the first fork

    entry("spoiled keras file", "interop.keras.load", weight=0.3)(_spoiled_keras)
