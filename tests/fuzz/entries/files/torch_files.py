"""Layers to state dicts of torch and back: with other names or shapes, they are refused."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn.interop.torch import from_state_dict, read, save, to_state_dict
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw

KINDS = {
    "RNN": pyrnn.RNN, "LSTM": pyrnn.LSTM, "GRU": pyrnn.GRU, "RNNCell": pyrnn.RNNCell,
    "LSTMCell": pyrnn.LSTMCell, "GRUCell": pyrnn.GRUCell, "Linear": pyrnn.Linear,
    "Embedding": pyrnn.Embedding,
}  # fmt: skip


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
