"""Model files that are spoiled: each is refused in one line, or loads as a model that computes."""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn import serialization
from pyrnn.text._model_parts import CELLS
from tests.fuzz.case import Case
from tests.fuzz.draw import Draw
from tests.fuzz.readers.common import Reader, each, in_one_line, made_apart, placed
from tests.fuzz.spoil.files import spoil

SOURCES = 72
WORDS = ("the", " the", " a", ",", "\n", "don't", " ", "\u00e9")
LETTERS = 'ab\n"\\{[,\u00e9\u4e2d\U0001f600\ufffd\ud800'

Structure = tuple[str, tuple[tuple[str, tuple[int, ...], str], ...]]


def _spoiled(draw: Draw) -> Case:
    """A file of a small model with a few mutations."""
    draw.mutations = 0  # the file has them
    sources = [draw.choice(all_sources()) for _ in range(3)]
    data = spoil(draw, sources[0][0], [one for one, _ in sources[1:]])
    known = {structure for _, structure in sources}
    return Case(
        {"file": data, "mmap": draw.chance(0.25), "again": draw.chance(0.25)},
        functools.partial(_loaded, known),
        names={"expected"},
        errors=(serialization.ModelFileError,),
    )


@functools.lru_cache(None)
def all_sources() -> list[tuple[bytes, Structure]]:
    """Small models, every kind of layer, of cell and of vocabulary among them."""
    made: list[tuple[bytes, Structure]] = made_apart(each, _source, SOURCES)
    return made


def _source(number: int) -> tuple[bytes, Structure]:
    from tests.fuzz.entries.common import KINDS, layer_options

    draw = Draw("source", 0, number)
    draw.large = False
    kinds = [*KINDS, *CELLS]
    kind = kinds[number % len(kinds)]
    if kind in KINDS:
        model: Any = KINDS[kind](**layer_options(draw, kind))
    else:
        model = pyrnn.CharacterModel(
            _vocabulary(draw, number // len(kinds)),
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


def _vocabulary(draw: Draw, number: int) -> Any:
    """Characters for every second model; bytes, words or a tokeniser for the others."""
    if number % 6 == 1:
        return pyrnn.text.ByteVocabulary()
    if number % 6 == 3:
        return pyrnn.text.WordVocabulary(draw.random.sample(WORDS, draw.integer(1, len(WORDS))))
    if number % 6 == 5 and importlib.util.find_spec("tokenizers"):
        import tokenizers

        words = {word: index for index, word in enumerate(("[UNK]", *WORDS))}
        model = tokenizers.models.WordLevel(words, unk_token="[UNK]")
        return pyrnn.text.TokenizerVocabulary(tokenizers.Tokenizer(model))
    return "".join(draw.random.sample(LETTERS, draw.integer(1, len(LETTERS))))


def _structure(model: Any) -> Structure:
    """What a model is, without the numbers that it has learned and without rates."""
    parameters = model.parameters.items()
    return type(model).__name__, tuple((n, a.shape, a.dtype.name) for n, a in parameters)


def _loaded(known: set[Structure], a: dict[str, Any]) -> Any:
    with placed(a["file"], "model") as path:
        model: Any = _load(path, a["mmap"])
        if _structure(model) not in known:
            raise AssertionError(f"another structure: {model!r}")
        _check_use(model)
        if a["again"]:
            _check_again(model, path)
        return {name: array.copy() for name, array in model.parameters.items()}


def _check_again(model: Any, path: Path) -> None:
    """That it comes back from another file."""
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as folder:
        serialization.save(model, Path(folder) / "model")
        again = _load(Path(folder) / "model", False)
    if repr(again) != repr(model):
        raise AssertionError(f"{again!r} for {model!r}")
    for name, array in model.parameters.items():
        if array.tobytes() != again.parameters[name].tobytes():
            raise AssertionError(f"{name} has other bits")


def _load(path: Path, mmap: bool) -> Any:
    model = in_one_line(path, lambda: serialization.load(path, mmap=mmap))
    if isinstance(model, pyrnn.CharacterModel):
        return in_one_line(path, lambda: serialization.load_character_model(path, mmap=mmap))
    return model


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


READER = Reader(
    "model", _spoiled, ("serialization.load", "serialization.load_character_model"), all_sources,
    weight=0.5,
)  # fmt: skip
