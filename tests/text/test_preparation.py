"""Texts prepared in one pass are those that are read, split and encoded one after the other."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrnn.text import corpus, preparation, split
from pyrnn.text.corpus import TextError
from pyrnn.text.encoders import Characters
from pyrnn.text.preparation import START, in_memory, prepare
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary

ALPHABETS = {
    "ascii": "ab \n",
    "every ascii": "".join(map(chr, range(128))),
    "accents": "aé\u0301",
    "just 256": "".join(map(chr, [*range(128), *range(0x400, 0x400 + 127)])),
    "one more": "".join(map(chr, [*range(128), *range(0x400, 0x400 + 128)])),
    "beyond 65 536": "".join(map(chr, range(0x10000, 0x10000 + 66_000))),
    "replaced": f"ab{REPLACEMENT}",
    "emoji": "a\U0001f600\u4e2d",
}


def text_of(alphabet: str, draw: random.Random) -> str:
    every = list(alphabet)
    draw.shuffle(every)
    return "".join(every + draw.choices(alphabet, k=draw.choice((0, 3, 50, 2000))))


@pytest.mark.parametrize("name", ALPHABETS)
def test_equals_the_definition(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(name)
    for piece, at_once in ((1 << 18, 1 << 20), (997, 1 << 16), (5, 64)):
        if piece * 2000 < len(ALPHABETS[name]):
            continue
        monkeypatch.setattr(corpus, "PIECE_BYTES", piece)
        monkeypatch.setattr(preparation, "AT_ONCE", at_once)
        # Plain text first, so that the integers become larger on the way.
        texts = ["ab\n" * 30, *(text_of(ALPHABETS[name], draw) for _ in range(3)), "x"]
        texts = [text.replace("\r", "") for text in texts]
        paths = [tmp_path / str(number) for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8", newline="")
        prepared = in_memory(paths, Characters())
        train, held_out = split(texts)
        vocabulary = Vocabulary.of(train)
        assert prepared.vocabulary == vocabulary
        found = prepared.corpus()
        assert found.train.dtype == np.min_scalar_type(len(vocabulary) - 1)
        for part, expected in ((found.train, train), (found.held_out, held_out)):
            assert np.array_equal(part, vocabulary.encode(expected, replace=True))
        assert [source.size for source in prepared.sources] == [
            path.stat().st_size for path in paths
        ]


def test_many_short_texts() -> None:
    """Nothing is held out of most of them: what is written never passes what is read."""
    texts = [b"ab", b"c"] * 500 + [b"xyz" * 50]
    found = in_memory([io.BytesIO(text) for text in texts], Characters()).corpus()
    expected = split([text.decode() for text in texts])
    assert found.vocabulary.decode(found.train) == expected.train
    assert found.vocabulary.decode(found.held_out) == expected.held_out


def test_pairs_are_counted_as_single_characters() -> None:
    for count in (preparation.ASCII_PAIRS + 1, preparation.ASCII_PAIRS + 2):
        codes = np.random.default_rng(0).integers(0, 100, count).astype(np.uint8)
        assert np.array_equal(preparation._counted(codes), np.bincount(codes))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "text: expected at least 4 characters, got 0"),
        ([b"ab"], "text: expected at least 4 characters, got 2"),
        ([b"ab", b"\xc3\xa9x"], "text: expected one of at least 4 characters, got 'ab'"),
        ([b"abcd", b""], "standard input: expected text, got an empty file"),
        ([b"abcd\xff"], "standard input: expected text in UTF-8, got 0xff at byte 4"),
    ],
)
def test_refuses(texts: list[bytes], message: str) -> None:
    with pytest.raises(TextError) as caught:
        in_memory([io.BytesIO(text) for text in texts], Characters())
    assert str(caught.value) == message


def test_reports_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc\n" * 200_000)
    (tmp_path / "b").write_bytes(b"abc\n" * 100)
    shown: list[Any] = []
    prepare(
        [tmp_path / "a", tmp_path / "b"], Characters(), io.BytesIO(), lambda *p: shown.append(p)
    )
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)
    assert shown[-1] == (800_400, 800_400)
    prepare([io.BytesIO(b"abcdef")], Characters(), io.BytesIO(), lambda *p: shown.append(p))
    assert shown[-1] == (6, None)


def test_leaves_room_at_the_start() -> None:
    file = io.BytesIO()
    prepared = prepare([io.BytesIO(b"abcdef" * 9)], Characters(), file)
    assert len(file.getvalue()) == START + len(prepared.tokens)
    assert not any(file.getvalue()[:START])
