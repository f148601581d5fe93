"""Caches of texts that are spoiled: each is made again, or is one that can be used."""

from __future__ import annotations

import functools
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pyrnn.text import cache
from pyrnn.text.encoders import Characters
from pyrnn.text.preparation import START
from tests.fuzz.case import Case
from tests.fuzz.draw import Draw
from tests.fuzz.readers.common import Reader, in_one_line, made_apart, placed
from tests.fuzz.spoil.files import BYTES
from tests.fuzz.spoil.trees import spoil_json

TEXT = "one two \u00e9\u4e2d\n" * 40


def _spoiled(draw: Draw) -> Case:
    """The cache of a small text with a few mutations, with sums that fit more often than not."""
    draw.mutations = 0
    data, kind = source()
    if draw.chance(0.7):
        line = json.loads(data[len(cache.MAGIC) : START])
        end = START + line["length"]
        tokens, description = data[START:end], json.loads(data[end:])
        for _ in range(draw.choice((1, 1, 2))):
            if draw.chance(0.7):
                description = spoil_json(draw, description)
            else:
                line = spoil_json(draw, line)
        text = json.dumps(description).encode("utf-8", "surrogatepass")
        if draw.chance(0.9):
            line |= {"bytes": len(text), "crc": zlib.crc32(text)}
        head = (cache.MAGIC + json.dumps(line).encode()).ljust(START - 1)[: START - 1] + b"\n"
        data = head + tokens + text
    if draw.chance(0.1) or data is source()[0]:
        data = draw.choice(BYTES)(draw, data)
    return Case({"file": data, "kind": kind}, _read, names={"expected"})


@functools.lru_cache(None)
def source() -> tuple[bytes, Any]:
    """A cache, and the kind of its tokens."""
    made: tuple[bytes, Any] = made_apart(_source)
    return made


def _source() -> tuple[bytes, Any]:
    encoder = Characters()
    with tempfile.TemporaryDirectory() as folder:
        text, path = Path(folder) / "text", Path(folder) / "cache"
        text.write_text(TEXT)
        cache.prepare_file(path, [text], encoder)
        return path.read_bytes(), encoder.kind


def _read(a: dict[str, Any]) -> Any:
    with placed(a["file"], "cache") as path:
        found = in_one_line(path, lambda: cache.read(path, a["kind"]), ())
        if found is None:
            return None
        corpus = found.corpus()
        decoded = found.vocabulary.decode(np.minimum(found.tokens, len(found.vocabulary) - 1))
        if not decoded or not len(corpus.train):
            raise AssertionError("an empty text")
        return np.array(found.tokens), found.train, found.characters


READER = Reader("text cache", _spoiled, (), source)
