"""Files of torch.save that are spoiled: each is refused in one line, or gives plain values."""

from __future__ import annotations

import functools
import io
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pyrnn.interop import conversion
from pyrnn.interop.torch import Placeholder, read
from pyrnn.serialization import ModelFileError
from tests.fuzz.case import Case
from tests.fuzz.draw import Draw
from tests.fuzz.readers.common import Reader, in_one_line, made_apart, parameters_of, placed
from tests.fuzz.spoil.hostile import calls, in_itself, nested, zip_bomb
from tests.fuzz.spoil.pickles import spoil_pickle, spoil_zip
from tests.fuzz.spoil.torch_file import Object, Raw, View, Writer, archive, row, zipped

DTYPES = ("float32", "float32", "float64", "float16", "uint16", "int64", "bool")
LYING = (0, 1, 2, 3, -1, -2, 40, 2**16, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**64, -(2**63))
DEPTHS = (3, 30, 100, 300, 900, 900, 3000, 20_000)
QUANTISED = 8


def _spoiled(draw: Draw) -> Case:
    """A file of small tensors, in either container, with a few mutations."""
    draw.mutations = 0  # the file has them
    tree, older = _tree(draw), draw.chance(0.4)
    spoilt = draw.random.random()
    if spoilt < 0.25:  # what it says, within sound pickles
        tree = _hostile(draw, tree)
        data = row(tree) if older else archive(tree, draw.choice(("little", "big")))
    elif spoilt < 0.6:  # the pickle, within a sound container
        data = _with_pickle(tree, older, partial(spoil_pickle, draw))
    elif spoilt < 0.61:
        data = zip_bomb("model/data.pkl", draw.choice((b"]", b"N", b"(", b"\0")))
    else:
        data = row(tree) if older else archive(tree, draw.choice(("little", "big")))
        data = spoil_zip(draw, data) if not older and spoilt < 0.8 else spoil_pickle(draw, data)
    run = _read_layers if draw.chance(0.2) else _read
    return Case({"file": data}, run, names={"expected"}, errors=(ModelFileError,))


def _spoiled_quantised(draw: Draw) -> Case:
    """A file of modules that torch has quantised, with a few mutations."""
    draw.mutations = 0
    members = dict(quantised_sources()[draw.integer(0, QUANTISED - 1)])
    if draw.chance(0.4):
        data = spoil_zip(draw, zipped(members))
    else:
        pickled = draw.choice([name for name in members if name.endswith("data.pkl")])
        members[pickled] = spoil_pickle(draw, members[pickled])
        data = zipped(members)
    return Case({"file": data}, _read_layers, names={"expected"}, errors=(ModelFileError,))


@functools.lru_cache(None)
def quantised_sources() -> list[dict[str, bytes]]:
    """The members of small files of torch, which no other process than their maker imports."""
    made: list[dict[str, bytes]] = made_apart(_quantised)
    return made


def _quantised() -> list[dict[str, bytes]]:
    found = []
    for number in range(QUANTISED):
        with zipfile.ZipFile(io.BytesIO(_quantised_source(number))) as opened:
            found.append({name: opened.read(name) for name in opened.namelist()})
    return found


def _quantised_source(number: int) -> bytes:
    """A small module or its state dict, quantised to 8 bits or to float16."""
    import torch

    torch.manual_seed(number)
    model = torch.nn.Sequential()
    model.rnn = torch.nn.LSTM(3, 4, 1 + number % 2, bidirectional=number % 4 > 1)
    if number >= QUANTISED // 2:
        model.rnn = torch.nn.GRU(3, 4)
    model.cell, model.out = torch.nn.GRUCell(3, 4), torch.nn.Linear(4, 2)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that this will go
        kinds = {torch.nn.LSTM, torch.nn.GRU, torch.nn.GRUCell, torch.nn.Linear}
        dtype = torch.qint8 if number % 4 < 3 else torch.float16
        made = torch.ao.quantization.quantize_dynamic(model, kinds, dtype=dtype)
        torch.save(made if number % 2 else made.state_dict(), file)
    return file.getvalue()


READER = Reader(
    "torch", _spoiled, ("interop.torch.read", "interop.torch.Placeholder"), lambda: None, (), 0.5
)
QUANTISED_READER = Reader(
    "quantised torch", _spoiled_quantised, ("interop.torch.read",), quantised_sources,
    ("torch",), 0.1,
)  # fmt: skip


def _tree(draw: Draw) -> Any:
    flat = np.arange(draw.integer(1, 40)).astype(draw.choice(DTYPES))
    half = len(flat) // 2
    tree = {
        "state": {"weight": flat, "view": View(flat, half, (1, len(flat) - half), (0, 1))},
        "epoch": draw.integer(-5, 2**40),
        "rates": [0.1, (1e-3, None), True],
        "net": Object("some.where", "Net", {"_parameters": {"bias": flat}, "training": False}),
    }
    if draw.chance(0.3):
        tree = {name: tree[name] for name in draw.random.sample(sorted(tree), 2)}
    return tree


def _hostile(draw: Draw, tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with one thing in it that no model has."""
    flat = np.arange(draw.integer(1, 40)).astype(draw.choice(DTYPES))
    form = draw.integer(0, 4)
    value: Any
    if form == 0:
        value = Raw(draw.choice(calls(draw.choice(("x", "rm -rf", "import this")))))
    elif form == 1:
        value = Raw(in_itself(draw.choice(("dict", "list", "tuple", "object"))))
    elif form == 2:
        value = Raw(nested(draw.choice(("list", "tuple", "dict")), draw.choice(DEPTHS)))
    else:  # a tensor that says of itself what is not so
        rank = draw.integer(0, 3)
        shape = [draw.choice((*LYING, len(flat))) for _ in range(rank)]
        strides = [draw.choice(LYING) for _ in range(rank + draw.choice((0, 0, 0, 1)))]
        value = View(flat, draw.choice((0, 0, *LYING)), tuple(shape), tuple(strides))
    place = draw.integer(0, 3)
    if place == 0:
        return {**tree, "more": value}
    if place == 1:
        return {"state_dict": {"weight": value, "bias": flat}}
    if place == 2:
        return {"net": Object("a", "B", value)}
    return {"weight_ih_l0": value, "weight_hh_l0": value, "list": [value, (value,)]}


def _with_pickle(tree: Any, older: bool, spoil: Any) -> bytes:
    writer = Writer(older)
    data = writer.pickle(tree)
    if older:
        whole = row(tree)
        at = whole.index(data)
        return whole[:at] + spoil(data) + whole[at + len(data) :]
    flats = {f"model/data/{k}": flat.tobytes() for k, flat in writer.storages.items()}
    return zipped({"model/data.pkl": spoil(data), **flats})


def _read(a: dict[str, Any]) -> Any:
    with placed(a["file"], "model.pt") as path:
        return _values(path)


def _values(path: Path) -> list[Any]:
    arrays: list[Any] = []
    _gather(in_one_line(path, lambda: read(path)), arrays)
    return arrays


def _read_layers(a: dict[str, Any]) -> Any:
    """The values of a file, and the layers that they are of."""
    with placed(a["file"], "model.pt") as path:
        arrays = _values(path)
        try:
            holding = in_one_line(path, lambda: conversion.read(path))
        except ModelFileError:
            return arrays
    for reason in holding.refused.values():
        if "\n" in reason:
            raise AssertionError(f"several lines: {reason[:200]!r}")
    return arrays, parameters_of(holding.layers)


def _gather(value: Any, arrays: list[Any]) -> None:
    """The arrays of a tree; an AssertionError for what is no plain value."""
    if isinstance(value, dict):
        if type(value) not in (dict, Placeholder):
            raise AssertionError(f"a {type(value).__name__} came back")
        for part in value.values():
            _gather(part, arrays)
    elif type(value) in (list, tuple, set):
        for part in value:
            _gather(part, arrays)
    elif type(value) is np.ndarray:
        arrays.append(value.copy())
    elif type(value) not in (str, int, float, bool, bytes, type(None)):
        raise AssertionError(f"a {type(value).__name__} came back")
