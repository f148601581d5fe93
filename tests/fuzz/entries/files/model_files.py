"""Model files that are spoiled: each is refused in one line, or loads as a model that computes."""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn import serialization
from pyrnn.text._model_parts import CELLS
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import KINDS, layer_options
from tests.fuzz.spoil.files import spoil

SOURCES = 60
SLOW = 2.0
"""Seconds that reading a small file never takes."""
LETTERS = 'ab\n"\\{[,\u00e9\u4e2d\U0001f600\ufffd\ud800'

Structure = tuple[str, tuple[tuple[str, tuple[int, ...], str], ...]]


@entry("spoiled model file", "serialization.load", "serialization.load_character_model", weight=0.5)
def spoiled_case(draw: Draw) -> Case:
    """A file of a small model with a few mutations."""
    draw.mutations = 0  # the file has them
    sources = [source(draw.integer(0, SOURCES - 1)) for _ in range(3)]
    data = spoil(draw, sources[0][0], [one for one, _ in sources[1:]])
    known = {structure for _, structure in sources}
    return Case(
        {"file": data},
        functools.partial(_loaded, known),
        names={"expected"},
        errors=(serialization.ModelFileError,),
    )


@functools.lru_cache(None)
def source(number: int) -> tuple[bytes, Structure]:
    """One of the small models, every kind of layer and every cell of a model among them."""
    draw = Draw("source", 0, number)
    draw.large = False
    kinds = [*KINDS, *CELLS]
    kind = kinds[number % len(kinds)]
    if kind in KINDS:
        model: Any = KINDS[kind](**layer_options(draw, kind))
    else:
        model = pyrnn.CharacterModel(
            "".join(draw.random.sample(LETTERS, draw.integer(1, len(LETTERS)))),
            kind,
            draw.size(),
            draw.choice((1, 1, 2)),
            draw.choice((None, None, 1, 3)),
            dtype=draw.drawn_dtype,
            seed=number,
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        serialization.save(model, path)
        return path.read_bytes(), _structure(model)


def _structure(model: Any) -> Structure:
    """What a model is, without the numbers that it has learned and without rates."""
    parameters = model.parameters.items()
    return type(model).__name__, tuple((n, a.shape, a.dtype.name) for n, a in parameters)


def _loaded(known: set[Structure], a: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(a["file"])
        model: Any = _load(path)
        if _structure(model) not in known:
            raise AssertionError(f"another structure: {model!r}")
        _check_use(model)
        serialization.save(model, path)
        again = _load(path)
    if repr(again) != repr(model):
        raise AssertionError(f"{again!r} for {model!r}")
    return {name: array.copy() for name, array in again.parameters.items()}


def _load(path: Path) -> Any:
    """The model; an AssertionError for everything that a refusal must not be."""
    begun = time.process_time()
    try:
        model = serialization.load(path)
        if isinstance(model, pyrnn.CharacterModel):
            return serialization.load_character_model(path)
        return model
    except serialization.ModelFileError as error:
        said = str(error).removeprefix(f"{path}: ")
        if said == str(error) or "\n" in said or len(said) > 500 or "into memory" in said:
            raise AssertionError(f"a message that does not say it: {said[:200]!r}") from error
        raise
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    finally:
        if time.process_time() - begun > SLOW:
            raise AssertionError("slow")


def _check_use(model: Any) -> None:
    """That it computes arrays of the right shape."""
    if isinstance(model, pyrnn.CharacterModel):
        y = model(np.zeros((2, 1), int))[0]
        expected: tuple[int, ...] = (2, 1, len(model.vocabulary))
    else:
        y = model.eval()(np.zeros((2, 1, model.input_size), model.dtype))[0]
        size = getattr(model, "proj_size", 0) or model.hidden_size
        both = model.merge_mode == "concat"
        expected = (2, 1, size * (model.num_directions if both else 1))
        model.train()
    if y.shape != expected:
        raise AssertionError(f"computes {y.shape}, not {expected}")
