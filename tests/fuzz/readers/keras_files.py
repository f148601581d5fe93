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
from pyrnn.interop._parts import sizes_of
from pyrnn.layers.recurrent._stack import Recurrent
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

SOURCES = 48
MOST_STEPS = 100
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
    """A model of each kind that `pyrnn.interop.keras.prepare` has."""
    makers = (_in_a_row, _branched, _attending, _normalising, _nested, _both_ways, _operations,
              _old_decoder)  # fmt: skip
    makers[number % len(makers)](path, number)


def _branched(path: Path, number: int) -> None:
    """A functional model with a mask, a branch and shapes."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import called, layer, tensor

    gru = files.random_arrays("GRU", 4, 4, seed=number)
    rows = [
        called(models.given("x", 3), dtype="int32"),
        called(layer("Embedding", "e"), tensor("x")),
        called(layer("NotEqual", "ne"), tensor("x"), 0),
        called(_gru("g"), tensor("e"), mask=tensor("ne")),
        called(layer("Add", "sum"), [tensor("e"), tensor("g")]),
        called(layer("GlobalMaxPooling1D", "m"), tensor("sum")),
        called(layer("RepeatVector", "r", n=2), tensor("m")),
        called(layer("TimeDistributed", "t", layer=layer("Softmax", "s")), tensor("r")),
    ]
    config = models.functional(rows, ["x", 0, 0], [["t", 0, 0], ["g", 0, 0]])
    words = [np.ones((5, 4), np.float32)]
    files.keras3(path, config, [("embedding", "e", words), ("gru", "g", gru)])


def _gru(name: str, **options: Any) -> dict[str, Any]:
    from tests.interop.keras.graphs.models import layer

    made: dict[str, Any] = layer(
        "GRU", name, units=4, return_sequences=True, reset_after=False, **options
    )
    return made


def _in_a_row(path: Path, number: int) -> None:
    """A Sequential model with a mask."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import layer

    rows = [
        models.given("x", 6, 4),
        layer("Masking", "k"),
        _gru("g"),
        layer("AveragePooling1D", "p", pool_size=2, padding="same"),
        layer("Reshape", "r", target_shape=[2, -1]),
        layer("Permute", "q", dims=[2, 1]),
        layer("Flatten", "f"),
        layer("Dense", "d", activation="selu", use_bias=False),
    ]
    gru = files.random_arrays("GRU", 4, 4, seed=number)
    entries = [("gru", "g", gru), ("dense", "d", [np.ones((12, 2), np.float32)])]
    files.keras3(path, files.model_config(*rows), entries)


def _attending(path: Path, number: int) -> None:
    """Attention of several heads and of one, with masks."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import called, floats, layer, tensor

    heads = layer("MultiHeadAttention", "h", num_heads=2, key_dim=3, attention_axes=[1])
    rows = [
        called(models.given("x", 5, 4)),
        called(layer("Masking", "m"), tensor("x")),
        called(heads, tensor("m"), tensor("m"), use_causal_mask=True),
        called(layer("Add", "s"), [tensor("m"), tensor("h")]),
        called(layer("LayerNormalization", "n"), tensor("s")),
        called(layer("Attention", "a", score_mode="dot"), [tensor("n"), tensor("x")],
               return_attention_scores=True),
        called(layer("Dot", "d", axes=[2, 2], normalize=True), [tensor("a"), tensor("x")]),
    ]  # fmt: skip
    config = models.functional(rows, ["x", 0, 0], [["d", 0, 0], ["a", 0, 1]])
    shapes = {"query": (4, 2, 3), "key": (4, 2, 3), "value": (4, 2, 3), "output": (2, 3, 4)}
    entries = [
        (f"multi_head_attention/{name}_dense", None, floats(number, shape, shape[1:]))
        for name, shape in shapes.items() if name != "output"
    ]  # fmt: skip
    last = floats(number, shapes["output"], (4,))
    entries.append(("multi_head_attention/output_dense", None, last))
    entries.append(("layer_normalization", "n", floats(number, (4,), (4,))))
    files.keras3(path, config, entries)


def _normalising(path: Path, number: int) -> None:
    """Normalisations over several axes, and convolutions with their like."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import floats, layer

    rows = [
        models.given("x", 6, 4),
        layer("Normalization", "z", axis=-1, mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0] * 4),
        layer("GroupNormalization", "g", groups=2),
        layer("Conv1D", "c", kernel_size=[3], strides=[2], padding="same", activation="gelu"),
        layer("Conv1DTranspose", "t", kernel_size=[3], strides=[2], padding="same"),
        layer("BatchNormalization", "b", axis=1),
        layer("LayerNormalization", "l", axis=[1, 2], scale=False),
        layer("Cropping1D", "o", cropping=[1, 0]),
        layer("UpSampling1D", "u", size=2),
        layer("PReLU", "p"),
        _gru("r", go_backwards=True),
    ]
    four = floats(number, *[(6,)] * 3)
    entries = [
        ("group_normalization", "g", floats(number, (4,), (4,))),
        ("conv1d", "c", floats(number, (3, 4, 2), (2,))),
        ("conv1d_transpose", "t", floats(number, (3, 4, 2), (4,))),
        ("batch_normalization", "b", [*four, np.ones(6, np.float32)]),
        ("layer_normalization", "l", floats(number, (6, 4))),
        ("p_re_lu", "p", floats(number, (10, 4))),
        ("gru", "r", files.random_arrays("GRU", 4, 4, seed=number)),
    ]
    files.keras3(path, files.model_config(*rows), entries)


def _nested(path: Path, number: int) -> None:
    """A model that is called twice, and one at each step."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import called, floats, layer, tensor

    inner = models.functional(
        [called(models.given("i", 3, 4)), called(_gru("deep"), tensor("i"))],
        ["i", 0, 0], ["deep", 0, 0],
    )  # fmt: skip
    inner["config"]["name"] = "inner"
    twice = called({**inner, "config": {**inner["config"]}}, tensor("x"))
    twice["inbound_nodes"].append({"args": [tensor("inner")], "kwargs": {}})
    each = files.model_config(models.given("j", 4), layer("Dense", "each", use_bias=False))
    rows = [
        called(models.given("x", 3, 4)),
        twice,
        called(layer("TimeDistributed", "t", layer=each), tensor("inner", 0, 1)),
        called(layer("Concatenate", "c", axis=1), [tensor("t"), tensor("x")]),
    ]
    config = models.functional(rows, ["x", 0, 0], ["c", 0, 0])
    entries = [
        ("functional/gru", None, files.random_arrays("GRU", 4, 4, seed=number)),
        ("time_distributed/layer/dense", None, floats(number, (4, 4))),
    ]
    files.keras3(path, config, entries)


def _both_ways(path: Path, number: int) -> None:
    """Two directions of several cells, and of two different layers, with states."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import called, layer, tensor

    cells = [layer(f"{kind}Cell", kind, units=2, reset_after=False) for kind in ("LSTM", "GRU")]
    stack = {"class_name": "StackedRNNCells", "config": {"name": "s", "cells": cells}}
    inner = layer("RNN", "forward_r", cell=stack, return_sequences=True, return_state=True)
    other = layer("GRU", "forward_o", units=2, reset_after=False)
    last = layer("SimpleRNN", "p", units=3, go_backwards=True)
    rows = [
        called(models.given("x", 4, 3)),
        called(layer("Masking", "m"), tensor("x")),
        called(layer("Bidirectional", "b", layer=inner, merge_mode="sum"), tensor("m")),
        called(layer("Bidirectional", "d", layer=other, backward_layer=last), tensor("b")),
        called(layer("Bidirectional", "e", layer=other, merge_mode=None), tensor("b"),
               initial_state=[tensor("b", 3), tensor("b", 6)]),
    ]  # fmt: skip
    outputs = [["d", 0, 0], ["e", 0, 0], ["e", 0, 1], ["b", 0, 2]]
    config = models.functional(rows, ["x", 0, 0], outputs)
    one, two = (files.random_arrays("GRU", 2, 2, seed=seed) for seed in (number, 0))
    simple = files.random_arrays("SimpleRNN", 3, 2, seed=number)
    entries: list[Any] = [
        (f"bidirectional/{side}_layer/cell/cells/{kind.lower()}_cell", None,
         files.random_arrays(kind, 2, width, seed=number))
        for side in ("forward", "backward") for kind, width in (("LSTM", 3), ("GRU", 2))
    ]  # fmt: skip
    entries += [("bidirectional_1", "d", (one, simple)), ("bidirectional_2", "e", (one, two))]
    files.keras3(path, config, entries)


def _operations(path: Path, number: int) -> None:
    """Operations ``keras.ops`` around a layer."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs import models
    from tests.interop.keras.graphs.models import called, tensor

    def op(kind: str, name: str, *arguments: Any, **config: Any) -> dict[str, Any]:
        row = {"class_name": kind, "module": "keras.src.ops.numpy",
               "config": {"name": name, **config}}  # fmt: skip
        made: dict[str, Any] = called(row, *arguments)
        return made

    part = {"class_name": "__slice__", "config": {"start": None, "stop": 3, "step": None}}
    row = {"class_name": "__numpy__", "config": {"value": [1.0, 2.0, 3.0, 4.0], "dtype": "float32"}}
    rows = [
        called(models.given("x", 4, 4)),
        called(_gru("g"), tensor("x")),
        op("GetItem", "i", tensor("g"), [{"class_name": "__ellipsis__", "config": {}}, part, -1]),
        op("ExpandDims", "w", tensor("i"), axis=-1),
        op("Multiply", "n", tensor("w"), row),
        op("Greater", "f", tensor("n"), 0.1),
        op("Where", "c", tensor("f"), tensor("n"), -1.0),
        op("Einsum", "e", tensor("c"), tensor("g"), subscripts="nif,ntf->nit"),
        op("Split", "s", tensor("e"), indices_or_sections=[1, 3], axis=2),
        op("Concatenate", "t", [tensor("s", 1), tensor("s", 2)], axis=2),
        op("Transpose", "u", tensor("s", 1), axes=[0, 2, 1]),
        op("Matmul", "p", tensor("s", 1), tensor("u")),
        op("Mean", "a", tensor("p"), axis=[1, 2], keepdims=True),
        op("Reshape", "r", tensor("p"), newshape=[-1, 9]),
        op("Stack", "k", [tensor("r"), tensor("r")], axis=1),
        op("Squeeze", "q", tensor("a"), axis=1),
    ]
    config = models.functional(rows, ["x", 0, 0], [["k", 0, 0], ["q", 0, 0], ["e", 0, 0]])
    files.keras3(path, config, [("gru", "g", files.random_arrays("GRU", 4, 4, seed=number))])


def _old_decoder(path: Path, number: int) -> None:
    """An encoder and a decoder as Keras 2 writes them."""
    from tests.interop.keras import files
    from tests.interop.keras.graphs.models import layer

    def called(row: dict[str, Any], *places: Any) -> dict[str, Any]:
        nodes = [[[name, 0, output, {}] for name, output in places]] if places else []
        return {**row, "name": row["config"]["name"], "inbound_nodes": nodes}

    def given(name: str) -> dict[str, Any]:
        return called(layer("InputLayer", name, batch_input_shape=[None, None, 3]))

    lstm = {"units": 2, "recurrent_activation": "hard_sigmoid", "return_state": True}
    rows = [
        given("x"),
        called(layer("Masking", "m", mask_value=0.0), ("x", 0)),
        called(layer("LSTM", "enc", **lstm), ("m", 0)),
        given("y"),
        called(layer("LSTM", "dec", return_sequences=True, **lstm),
               ("y", 0), ("enc", 1), ("enc", 2)),
        called(layer("TimeDistributed", "t", layer=layer("Dense", "d", activation="softmax")),
               ("dec", 0)),
        {**layer("TFOpLambda", "o", function="math.reduce_sum"), "name": "o",
         "inbound_nodes": [["t", 0, 0, {"axis": 1, "keepdims": False}]]},
        {**layer("SlicingOpLambda", "i", function="__operators__.getitem"), "name": "i",
         "inbound_nodes": [["dec", 0, 0, {"slice_spec": [
             {"start": None, "stop": None, "step": None}, -1]}]]},
    ]  # fmt: skip
    config = {
        "class_name": "Model",
        "config": {
            "name": "model", "layers": rows, "input_layers": [["x", 0, 0], ["y", 0, 0]],
            "output_layers": [["o", 0, 0], ["i", 0, 0], ["dec", 0, 2]],
        },
    }  # fmt: skip
    arrays = files.random_arrays("LSTM", 2, 3, seed=number)
    dense = [np.ones((2, 3), np.float32), np.zeros(3, np.float32)]
    layers = {"x": [], "m": [], "enc": arrays, "y": [], "dec": arrays, "t": dense, "o": [], "i": []}
    files.legacy(path, "2.2.4", layers, config)


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
    elif isinstance(layer, Recurrent):
        y, _ = layer(np.zeros((2, 1, layer.input_size), layer.dtype))
    else:
        steps = layer.reach + 1 if isinstance(layer, pyrnn.Conv1d) else 3
        sizes = sizes_of(layer)
        if sizes is None or steps > MOST_STEPS:
            return
        y = layer(np.zeros((2, steps, sizes[0]), layer.dtype))
    if y.shape[0] not in (1, 2):
        raise AssertionError(f"computes {y.shape}")


READER = Reader(
    "keras", _spoiled_keras, ("interop.keras.load", "interop.keras.prepare"), sources, ("h5py",),
    0.3, hdf5_server.begin,
)  # fmt: skip
