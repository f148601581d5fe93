"""The estimate of what a training needs: of the right order, and never above."""

import argparse
from typing import Any

import numpy as np
import pytest

from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._training import memory
from pyrnn.text._model_parts import CELLS
from pyrnn.text.character_model import CharacterModel


def arguments(**changes: Any) -> argparse.Namespace:
    options = {"cell": "lstm", "hidden": 20, "layers": 1, "seq_len": 8, "k2": None, "batch": 4}
    return argparse.Namespace(**(options | {"dtype": "float32"} | changes))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_weights(cell: str, layers: int, dtype: str) -> None:
    model = CharacterModel("abcdef", cell, 20, layers, dtype=dtype)
    weights = sum(a.nbytes for n, a in model.parameters.items() if "weight" in n)
    options = arguments(cell=cell, layers=layers, dtype=dtype, seq_len=0, batch=0)
    assert memory._needed(options, 6) == 4 * weights


def test_activations() -> None:
    one, two = (memory._needed(arguments(batch=n), 6) for n in (4, 8))
    # Four gates, h and c of 20 units; six logits and their gradient.
    assert two - one == np.dtype("float32").itemsize * 8 * 4 * (6 * 20 + 2 * 6)


def test_check(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = memory._needed(arguments(), 6)
    monkeypatch.setattr(memory, "_total", lambda: needed)
    memory.check(arguments(), 6)
    monkeypatch.setattr(memory, "_total", lambda: needed - 1)
    with pytest.raises(UsageError, match=r"expected sizes that fit into the .* GB of memory"):
        memory.check(arguments(), 6)
    monkeypatch.setattr(memory, "_total", lambda: None)
    memory.check(arguments(hidden=10**9), 6)
