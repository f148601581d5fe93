"""Words as tokens: cut anywhere they are the same, and together they are the text."""

import random
import unicodedata

import numpy as np
import pytest

from pyrnn.text import REPLACEMENT, WordVocabulary
from pyrnn.text.vocabularies import words

PARTS = (
    *("a", "word", "don't", " ", "  ", "\n", "é", "e\u0301", "日本", "'", "’", "-", "123", "🙂"),
    *("\t", "x" * 70, "हिन्दी", "\u200d", "_", "\u3000", "\xa0", "각", "\u1100\u1161", "\0"),
)
VOCABULARY = WordVocabulary(["To", " be", ",", " or", " not", "\n"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("To be, or not", ["To", " be", ",", " or", " not"]),
        ("a  b\tc\n", ["a", " ", " b", "\t", "c", "\n"]),
        ("don't 'tis dogs'", ["don't", " '", "tis", " dogs", "'"]),
        ("a'b'c'd'e'f", ["a'b'c'd", "'", "e'f"]),
        ("日本 go", ["日", "本", " go"]),
        ("हिन्दी e\u0301", ["हिन्दी", " e\u0301"]),
        ("x" * 130, ["x" * 64, "x" * 64, "xx"]),
        ("snake_case f(x)", ["snake_case", " f", "(", "x", ")"]),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert words.split(text) == expected


@pytest.mark.parametrize("end", [128, 0x3000, 0x10000, 0x30000])
def test_a_pattern_that_knows_fewer_letters_finds_the_same(end: int) -> None:
    """In texts of characters below its end."""
    generator = random.Random(end)
    codes = [c for c in range(0, end, 1 + end // 2000) if not 0xD800 <= c < 0xE000]
    for _ in range(100):
        chosen = generator.choices([*map(chr, codes), *("'", " ", "a", "b") * 500], k=100)
        tokens = words.split("".join(chosen))
        assert tokens == words.pattern().findall("".join(chosen))
        assert "".join(tokens) == "".join(chosen)


def test_the_same_however_it_is_cut() -> None:
    draw = random.Random(0)
    for case in range(300):
        parts = PARTS if case % 3 else ("abc'", "日", "-", "x" * 50, "e\u0301")  # without spaces
        text = "".join(draw.choices(parts, k=draw.choice((0, 5, 60, 200))))
        composed = unicodedata.normalize("NFC", text)
        whole = words.split(composed)
        assert "".join(whole) == composed
        assert max(map(len, whole), default=0) <= words.LONGEST
        pieces, most = [], draw.choice((1, 40, 400))
        while text:
            size = draw.randint(1, most)
            pieces.append(text[:size])
            text = text[size:]
        segments = list(words.segments(pieces))
        assert [word for segment in segments for word in words.split(segment)] == whole
        assert max(map(len, segments), default=0) <= most + 3 * words.LONGEST


def test_a_text_without_spaces_is_not_kept() -> None:
    segments = words.segments("日" * 100 for _ in range(100))
    assert max(map(len, segments)) <= 3 * words.LONGEST


def test_encode_and_decode() -> None:
    indices = VOCABULARY.encode("To be, or not to be\n")
    assert indices.tolist() == [0, 1, 2, 3, 4, 6, 1, 5]
    assert VOCABULARY.decode(indices) == f"To be, or not{REPLACEMENT} be\n"
    assert VOCABULARY._spans(" be? To").unknown == ["?", "To"]
    assert VOCABULARY.encode("").shape == (0,)
    assert VOCABULARY.encode_pieces(["T", "o b", "e\r", "\n"]).tolist() == [0, 1, 5]
    assert VOCABULARY.encode_pieces([]).dtype == np.uint8
    assert len(VOCABULARY) == 7 == VOCABULARY.replacement + 1
    assert WordVocabulary(["é"]).normalise("e\u0301\r") == "é\n"
    with pytest.raises(ValueError, match=r"^indices: expected indices"):
        VOCABULARY.decode([7])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("abc", TypeError, "words: expected a sequence of strings, got 'abc'"),
        ([], ValueError, "words: expected at least one, got none"),
        (["a", 3], TypeError, "words[1]: expected a string, got 3"),
        (["a", "b", "a"], ValueError, "words: expected distinct ones, got 'a' twice"),
        (["a\0"], ValueError, "words: expected characters, and none of them null or half"),
        (["\ud800"], ValueError, "words: expected characters, and none of them null or half"),
        ([""], ValueError, "words: expected characters, and none of them null or half"),
    ],
)
def test_refused(given: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        WordVocabulary(given)  # type: ignore[arg-type]
    assert str(raised.value).startswith(message)
