"""Bytes as tokens: every file is read, and only whole characters are written."""

import codecs
import random

import numpy as np
import pytest

from pyrnn.text import ByteVocabulary, pieces, standard_library
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.corpus import as_they_are

BYTES = ByteVocabulary()
TEXT = "né\r\n日本 🙂\0"


def test_the_indices_are_the_bytes() -> None:
    assert bytes(BYTES.encode(TEXT).tolist()) == TEXT.encode()
    assert BYTES.decode(BYTES.encode(TEXT)) == TEXT
    assert BYTES.encode("").shape == (0,)
    assert (len(BYTES), BYTES.unit, BYTES.units, BYTES.replacement) == (256, "byte", "bytes", None)
    assert ByteVocabulary() == BYTES
    assert BYTES.decode([110, 195]) == "n\ufffd"
    with pytest.raises(ValueError, match=r"^text: expected characters that UTF-8 has, got '\\ud8"):
        BYTES.encode("a\ud800")
    assert BYTES.encode_pieces(["a", "é"]).tolist() == [97, 195, 169]


def test_places_are_those_of_characters() -> None:
    spans = BYTES._spans(TEXT + "\udcff")
    whole = TEXT + "\udcff"
    by_character = [len(character.encode("utf-8", "surrogateescape")) for character in whole]
    expected = np.repeat(np.arange(len(whole)), by_character)
    assert np.array_equal(spans.starts, expected)
    assert np.array_equal(spans.ends, expected + 1)


def test_every_file_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    for size in (1, 2, 7, 300):
        data = draw.randbytes(size) + "é日🙂\r\n".encode() * draw.choice((0, 3))
        for cut in (1, 2, 3, 1000):
            blocks = [data[n : n + cut] for n in range(0, len(data), cut)]
            text = list(as_they_are(blocks, "file"))
            assert bytes(np.concatenate([BYTES.encode(t) for t in text]).tolist()) == data
            assert BYTES._length(np.frombuffer("é日🙂\r\n".encode(), np.uint8)) == 5
    path = standard_library()[0]
    assert "".join(as_they_are([path.read_bytes()], "file")) == "".join(pieces(path))


def test_whole_characters_are_written() -> None:
    """One byte at a time, as Python's decoder has it; an unfinished one waits."""
    draw = random.Random(1)
    for _ in range(100):
        data = b"".join(draw.choice((b"a", b"\xc3", b"\xa9", "日".encode())) for _ in range(20))
        before, written = BYTES._began(BYTES.encode("é")), ""
        for byte in data:
            text, before = BYTES._written(before, byte)
            written += text
        assert written == codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    before, texts = b"", []
    for byte in "日".encode():
        text, before = BYTES._written(before, byte)
        texts.append(text)
    assert texts == ["", "", "日"]


def test_samples_end_with_a_whole_character() -> None:
    model = CharacterModel(ByteVocabulary(), hidden_size=4, seed=0)
    for name in ("weight", "bias"):
        model.linear.parameters[name][...] = 0
    model.linear.parameters["bias"][0xE6] = 50  # which begins a character of three bytes
    assert model.sample("日", 3, seed=0) == "\ufffd\ufffd"  # the third may still become one
    model.linear.parameters["bias"][0xA5] = 50
    for seed in range(5):
        text = model.sample("日", 20, seed=seed)
        assert text == "".join(model.sample_stream("日", 20, seed=seed))
        assert text == model.sample(["x", "日"], 20, seed=[9, seed])[1]
