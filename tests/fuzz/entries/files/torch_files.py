"""Files of torch.save that are spoiled: each is refused in one line, or gives plain values."""

from __future__ import annotations

import functools
import importlib.util
import io
import tempfile
import time
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn.interop import conversion
from pyrnn.interop.torch import Placeholder, from_state_dict, read, save, to_state_dict
from pyrnn.serialization import ModelFileError
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw
from tests.fuzz.spoil.pickles import spoil_pickle, spoil_zip
from tests.fuzz.spoil.torch_file import Object, View, Writer, archive, row, zipped

SLOW = 2.0
"""Seconds that reading a small file never takes."""
DTYPES = ("float32", "float32", "float64", "float16", "uint16", "int64", "bool")
KINDS = {
    "RNN": pyrnn.RNN, "LSTM": pyrnn.LSTM, "GRU": pyrnn.GRU, "RNNCell": pyrnn.RNNCell,
    "LSTMCell": pyrnn.LSTMCell, "GRUCell": pyrnn.GRUCell, "Linear": pyrnn.Linear,
    "Embedding": pyrnn.Embedding,
}  # fmt: skip


@entry("spoiled torch file", "interop.torch.read", "interop.torch.Placeholder", weight=0.5)
def spoiled_case(draw: Draw) -> Case:
    """A file of small tensors, in either container, with a few mutations."""
    draw.mutations = 0  # the file has them
    tree, older = _tree(draw), draw.chance(0.4)
    spoilt = draw.random.random()
    if spoilt < 0.5:  # the pickle, within a sound container
        data = _with_pickle(tree, older, partial(spoil_pickle, draw))
    else:
        data = row(tree) if older else archive(tree, draw.choice(("little", "big")))
        data = spoil_zip(draw, data) if not older and spoilt < 0.75 else spoil_pickle(draw, data)
    return Case({"file": data}, _read, names={"expected"}, errors=(ModelFileError,))


def _spoiled_quantised(draw: Draw) -> Case:
    """A file of modules that torch has quantised, with a few mutations."""
    draw.mutations = 0
    data = quantised_source(draw.integer(0, 3))
    if draw.chance(0.4):
        data = spoil_zip(draw, data)
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            members = {name: opened.read(name) for name in opened.namelist()}
        pickled = next(name for name in members if name.endswith("data.pkl"))
        members[pickled] = spoil_pickle(draw, members[pickled])
        data = zipped(members)
    return Case({"file": data}, _read_layers, names={"expected"}, errors=(ModelFileError,))


@functools.lru_cache(None)
def quantised_source(number: int) -> bytes:
    """A small module or its state dict, quantised to 8 bits or to float16."""
    import torch

    torch.manual_seed(number)
    model = torch.nn.Sequential()
    model.rnn = torch.nn.LSTM(3, 4, 1 + number % 2, bidirectional=number > 1)
    model.cell, model.out = torch.nn.GRUCell(3, 4), torch.nn.Linear(4, 2)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that this will go
        kinds = {torch.nn.LSTM, torch.nn.GRUCell, torch.nn.Linear}
        dtype = torch.qint8 if number < 3 else torch.float16
        made = torch.ao.quantization.quantize_dynamic(model, kinds, dtype=dtype)
        torch.save(made if number % 2 else made.state_dict(), file)
    return file.getvalue()


def _read_layers(a: dict[str, Any]) -> Any:
    """The values of a file, and the layers that they are of."""
    arrays = _read(a)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        path.write_bytes(a["file"])
        try:
            holding = conversion.read(path)
        except ModelFileError as error:
            if "\n" in str(error):
                raise AssertionError(f"several lines: {str(error)[:200]!r}") from error
            return arrays
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error
    for reason in holding.refused.values():
        if "\n" in reason:
            raise AssertionError(f"several lines: {reason[:200]!r}")
    return arrays, [layer.parameters.copy() for layer in holding.layers.values()]


if importlib.util.find_spec("torch"):
    entry("spoiled quantised torch file", "interop.torch.read", weight=0.1)(_spoiled_quantised)


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


def _with_pickle(tree: Any, older: bool, spoil: Any) -> bytes:
    writer = Writer(older)
    data = writer.pickle(tree)
    whole = row(tree) if older else archive(tree)
    if older:
        at = whole.index(data)
        return whole[:at] + spoil(data) + whole[at + len(data) :]
    flats = {f"model/data/{k}": flat.tobytes() for k, flat in writer.storages.items()}
    return zipped({"model/data.pkl": spoil(data), **flats})


def _read(a: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        path.write_bytes(a["file"])
        begun = time.process_time()
        try:
            found = read(path)
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
    arrays: list[Any] = []
    _gather(found, arrays)
    return arrays


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


@entry(
    "state dicts",
    "interop.torch.from_state_dict",
    "interop.torch.to_state_dict",
    "interop.torch.save",
    weight=0.5,
)
def state_dict_case(draw: Draw) -> Case:
    """A layer to a state dict and back; and with a name or a shape of it spoiled."""
    kind = draw.choice(tuple(KINDS))
    options: dict[str, Any] = {"dtype": draw.dtype, "seed": draw.integer(0, 99)}
    sizes = draw.integer(1, 9), draw.integer(2, 9)
    if kind in ("RNN", "LSTM", "GRU"):
        options |= {"num_layers": draw.choice((1, 1, 2, 3)), "bidirectional": draw.chance(0.3)}
    if kind != "Embedding":
        options["bias"] = draw.chance(0.7)
    if kind == "LSTM" and draw.chance(0.3):
        options["proj_size"] = draw.integer(1, sizes[1] - 1)
    prefix = draw.choice(("", "a", "model.rnn", "embedding"))
    layer: Any = KINDS[kind](*sizes, **options)
    arrays = to_state_dict(layer, prefix)
    spoilt = draw.chance(0.4)
    if spoilt:
        name = draw.choice(list(arrays))
        array = arrays.pop(name)
        form = draw.integer(0, 3)
        if form == 1:
            arrays[name] = array[..., :-1]
        elif form == 2:
            arrays[name + draw.choice(("_l1", "_l0_reverse", "_reverse", "x"))] = array
        elif form == 3:
            arrays[name] = np.concatenate([array, array])
    draw.mutations = 0

    def run(a: dict[str, Any]) -> Any:
        made = from_state_dict(a["mapping"], prefix, kind=None if spoilt else kind)
        again = to_state_dict(made, prefix)
        with tempfile.TemporaryDirectory() as folder:
            save({prefix: made} if prefix else made, Path(folder) / "model.pt")
            written = read(Path(folder) / "model.pt")
        if any(written.pop(name).tobytes() != array.tobytes() for name, array in again.items()):
            raise AssertionError("other bits were written")
        if written:
            raise AssertionError(f"more was written: {list(written)}")
        if any(again[name].tobytes() != a["mapping"][name].tobytes() for name in again):
            raise AssertionError("other bits came back")
        if not spoilt and repr(made) != repr(layer):
            raise AssertionError(f"{made!r} for {layer!r}")
        return again

    return Case({"mapping": arrays}, run, names={"prefix", "kind", "mapping"})
