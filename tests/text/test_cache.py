"""Caches of texts: used for the same texts only, made again where they are stale or damaged."""

import json
import os
import random
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrnn.text import cache, load
from pyrnn.text.encoders import Characters

TEXT = "one two é中\n" * 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    age(path)
    return path


def age(path: Path, seconds: float = 60) -> None:
    """As if the file had been changed so long ago."""
    then = time.time_ns() - int(seconds * 1e9)
    os.utime(path, ns=(then, then))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were prepared."""
    usual, found = cache.prepare_file, []

    def prepare_file(*arguments: Any) -> Any:
        found.extend(map(str, arguments[1]))
        return usual(*arguments)

    monkeypatch.setattr(cache, "prepare_file", prepare_file)
    return found


def test_is_the_text_and_maps_it(path: Path, tmp_path: Path, counted: list[str]) -> None:
    expected = load([path])
    for _ in range(2):
        found = load([path], cache=tmp_path / "t.tokens")
        assert found.vocabulary == expected.vocabulary
        for part, array in zip(found[1:], expected[1:], strict=True):
            assert isinstance(part, np.memmap)
            assert part.dtype == np.uint8
            assert not part.flags.writeable
            assert np.array_equal(part, array)
    assert counted == [str(path)]
    assert sorted(os.listdir(tmp_path)) == ["t.tokens", "text.txt"]


def test_a_changed_text_is_read_again(path: Path, tmp_path: Path, counted: list[str]) -> None:
    kept = tmp_path / "t.tokens"
    load([path], cache=kept)
    other = TEXT.replace("one", "ONE")
    for text, ago in ((other, 30), (TEXT, 0), (TEXT + "x", 20)):
        path.write_text(text, encoding="utf-8")
        age(path, ago)
        found = load([path], cache=kept)
        assert found.vocabulary.decode(found.train).startswith(text[:1000])
    assert len(counted) == 4


def test_a_text_of_the_same_time_is_read_if_it_is_new(
    path: Path, tmp_path: Path, counted: list[str]
) -> None:
    """It may have changed within the time that a file system tells apart."""
    kept = tmp_path / "t.tokens"
    age(path, 0)
    load([path], cache=kept)
    before = path.stat().st_mtime_ns
    path.write_text(TEXT.replace("one", "ONE"), encoding="utf-8")
    os.utime(path, ns=(before, before))
    assert "O" in load([path], cache=kept).vocabulary.characters
    assert len(counted) == 2


def test_a_text_that_was_touched_or_moved_is_the_same(
    path: Path, tmp_path: Path, counted: list[str]
) -> None:
    kept = tmp_path / "t.tokens"
    load([path], cache=kept)
    age(path, 7)
    load([path], cache=kept)
    moved = path.rename(tmp_path / "moved.txt")
    load([moved], cache=kept)
    assert len(counted) == 1
    load([moved, moved], cache=kept)
    assert len(counted) == 3


def test_a_damaged_cache_is_made_again(path: Path, tmp_path: Path, counted: list[str]) -> None:
    kept = tmp_path / "t.tokens"
    load([path], cache=kept)
    whole = kept.read_bytes()
    draw = random.Random(0)
    spoiled: list[Any] = [
        b"",
        b"\0" * len(whole),
        whole[:100],
        whole[:-1],
        whole + b" ",
        cache.MAGIC + b"[" * 100_000,
        cache.MAGIC + b'{"dtype": "O", "length": 3, "bytes": 3, "crc": 3}',
    ]
    for _ in range(150):
        place = draw.randrange(len(whole))
        spoiled.append(bytearray(whole))
        spoiled[-1][place] ^= 1 << draw.randrange(8)
    made = 0
    for number, data in enumerate(spoiled):
        kept.write_bytes(data)
        before = len(counted)
        if not cache.is_ours(kept):  # a bit of its first bytes: it could be any file
            with pytest.raises(ValueError, match=r"^cache: expected one of texts, or no file"):
                load([path], cache=kept)
            continue
        load([path], cache=kept)
        # Whether a line is padded by a space or another blank does not matter.
        assert kept.read_bytes()[:50] == whole[:50]
        made += len(counted) - before
        assert len(counted) > before or number >= 7
    assert made > 140


def describe(kept: Path, **changes: object) -> None:
    """Change what the end of a cache says, as a program would that writes it otherwise."""
    data = kept.read_bytes()
    head = json.loads(data[len(cache.MAGIC) : cache.START])
    end = cache.START + head["length"] * np.dtype(head["dtype"]).itemsize
    description = json.dumps({**json.loads(data[end:]), **changes}).encode()
    head |= {"bytes": len(description), "crc": zlib.crc32(description)}
    line = (cache.MAGIC + json.dumps(head).encode()).ljust(cache.START - 1) + b"\n"
    kept.write_bytes(line + data[cache.START : end] + description)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, True),
        ({"train": 0}, False),
        ({"train": len(TEXT)}, False),
        ({"characters": 0}, False),
        ({"sources": [["a", 1, 2, None]]}, False),
        ({"version": 0}, False),
    ],
)
def test_what_a_cache_says_is_checked(
    changes: dict[str, object], found: bool, path: Path, tmp_path: Path
) -> None:
    kept, kind = tmp_path / "t.tokens", Characters().kind
    load([path], cache=kept)
    describe(kept, **changes)
    assert (cache.read(kept, kind) is not None) == found


def test_another_file_is_not_overwritten(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("the only copy")
    with pytest.raises(ValueError, match=r"^cache: expected one of texts, or no file, got .*other"):
        load([path], cache=other)
    with pytest.raises(ValueError, match=r"^cache: "):
        load([path], cache=tmp_path)
    assert other.read_text() == "the only copy"


def test_one_of_other_tokens_is_none(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "t.tokens"
    load([path], cache=kept)
    assert cache.read(kept, Characters().kind) is not None
    assert cache.read(kept, {"tokens": "others"}) is None


def test_a_failure_leaves_the_old_one(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "t.tokens"
    load([path], cache=kept)
    before = kept.read_bytes()
    path.write_bytes(b"abc\xff")
    with pytest.raises(ValueError, match="expected text in UTF-8"):
        load([path], cache=kept)
    assert kept.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["t.tokens", "text.txt"]
