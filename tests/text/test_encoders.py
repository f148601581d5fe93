"""Texts prepared as bytes and words are those that are read, split and encoded one by one."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pyrnn.text import ByteVocabulary, TextError, WordVocabulary, corpus, encoders, load
from pyrnn.text import preparation as prepared_text
from pyrnn.text.encoders import Fixed, Words
from pyrnn.text.preparation import in_memory
from pyrnn.text.vocabularies import words

PARTS = ("the", " the", " cat", "\n", " sat", ",", " é", "日", "don't", " ", "x1")


def texts_in(folder: Path, count: int, seed: int) -> list[Path]:
    draw = random.Random(seed)
    paths = [folder / str(number) for number in range(count)]
    for path in paths:
        text = "".join(draw.choices(PARTS, weights=range(1, len(PARTS) + 1), k=400))
        path.write_text(text, encoding="utf-8", newline="")
    return paths


class TestWords:
    @pytest.mark.parametrize("piece", [1 << 18, 7])
    def test_equals_the_definition(
        self, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(corpus, "PIECE_BYTES", piece)
        monkeypatch.setattr(encoders, "WORDS_AT_ONCE", piece)
        paths = texts_in(tmp_path, 3, piece)
        tokens = [words.split(corpus.read(path)) for path in paths]
        ends = corpus.held_out_ends(list(map(len, tokens)), lambda _: "")
        train, held_out = [], []
        for number, (text, end) in enumerate(zip(tokens, ends, strict=True)):
            train += ["\n"] * bool(number) + text[: len(text) - end]
            held_out += ["\n"] * bool(held_out) + text[len(text) - end :]
        prepared = in_memory(paths, Words(vocab_size=9, min_count=2))
        counts = Counter(train)
        vocabulary = prepared.vocabulary
        assert isinstance(vocabulary, WordVocabulary)
        expected = sorted((count, word) for word, count in counts.items() if count >= 2)[-8:]
        assert {w for _, w in expected} == set(vocabulary.words)
        assert [counts[word] for word in vocabulary.words] == [c for c, _ in reversed(expected)]
        found = prepared.corpus()
        assert found.train.dtype == np.uint8
        for part, of in ((found.train, train), (found.held_out, held_out)):
            index = {word: number for number, word in enumerate(vocabulary.words)}
            assert part.tolist() == [index.get(word, 8) for word in of]
        assert prepared.characters == len("".join(held_out))

    def test_more_words_than_there_is_room_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encoders, "MOST_WORDS", 5)
        path = tmp_path / "text"
        path.write_text("a b c d e f g\n" * 50)
        vocabulary, train, _ = load([path], tokens="words")
        assert isinstance(vocabulary, WordVocabulary)
        assert set(vocabulary.words) == {"\n", "a", " b", " c"}  # and the unknown one
        assert vocabulary.decode(train[:8]) == "a b c\ufffd\ufffd\ufffd\ufffd\n"

    def test_nothing_is_frequent(self, tmp_path: Path) -> None:
        path = tmp_path / "text"
        path.write_text("every word is here once only, and no sign comes again")
        with pytest.raises(
            TextError, match=r"^text: expected words that are in it 2 times or more"
        ):
            load([path], tokens="words")
        assert len(load([path], tokens="words", min_count=1).vocabulary) > 8

    def test_in_a_cache(self, tmp_path: Path) -> None:
        paths, cache = texts_in(tmp_path, 2, 5), tmp_path / "cache"
        plain = load(paths, tokens="words", vocab_size=6)
        for _ in range(2):
            kept = load(paths, tokens="words", vocab_size=6, cache=cache)
            assert kept.vocabulary == plain.vocabulary
            assert np.array_equal(kept.train, plain.train)
            assert np.array_equal(kept.held_out, plain.held_out)
        assert len(load(paths, tokens="words", vocab_size=5, cache=cache).vocabulary) == 5
        assert load(paths, tokens="bytes", cache=cache).vocabulary == ByteVocabulary()


class TestFixed:
    @pytest.mark.parametrize("piece", [1 << 18, 5])
    def test_bytes_of_any_file(
        self, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(corpus, "PIECE_BYTES", piece)
        monkeypatch.setattr(prepared_text, "AT_ONCE", 64)
        data = random.Random(0).randbytes(300) + b"\r\n\xef\xbb\xbf\0"
        path = tmp_path / "data"
        path.write_bytes(data)
        _, train, held_out = load([path, path], tokens="bytes")
        cut = len(data) - 15
        assert train.tobytes() == data[:cut] + b"\n" + data[:cut]
        assert held_out.tobytes() == data[cut:] + b"\n" + data[cut:]
        path.write_bytes(b"")
        with pytest.raises(TextError, match="expected text, got an empty file"):
            load([path], tokens="bytes")

    def test_words_that_there_are_already(self, tmp_path: Path) -> None:
        paths = texts_in(tmp_path, 2, 3)
        known = WordVocabulary(["the", " cat", "\n"])
        for path in paths:
            vocabulary, train, held_out = load([path], tokens=known)
            assert vocabulary is known
            whole = known.encode(corpus.read(path))
            assert np.array_equal(np.concatenate([train, held_out]), whole)

    @pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (257, np.uint16)])
    def test_indices_are_as_wide_as_they_must_be(
        self, size: int, dtype: type[np.generic], tmp_path: Path
    ) -> None:
        known = WordVocabulary(["\n", *(f" w{number}" for number in range(size - 2))])
        assert len(known) == size
        path = tmp_path / "text"
        path.write_text(f" w{size - 3}\n" * 10)
        encoder = Fixed(known)
        assert in_memory([path], encoder).corpus().train.dtype == dtype
        assert encoder.newline().dtype == dtype
        assert encoder.vocabulary(Counter())[1].dtype == dtype

    def test_what_is_unknown_is_as_long_as_the_mean(self, tmp_path: Path) -> None:
        path = tmp_path / "text"
        path.write_text("abcde fghij\n" * 40)
        prepared = in_memory([path], Fixed(WordVocabulary(["abcde", "\n"])))
        assert prepared.characters == round(len(prepared.corpus().held_out) * 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "letters"}, "tokens: expected 'characters', 'bytes' or 'words', got 'letters'"),
        ({"vocab_size": 9}, "vocab_size: expected None without words as tokens, got 9"),
        ({"tokens": "bytes", "min_count": 9}, "min_count: expected None without words as tokens"),
        ({"tokens": "words", "vocab_size": 1}, "vocab_size: expected"),
        ({"tokens": "words", "min_count": 0}, "min_count: expected"),
    ],
)
def test_refused(options: dict[str, object], message: str, tmp_path: Path) -> None:
    path = texts_in(tmp_path, 1, 0)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is looked at
        load(path, **options)  # type: ignore[arg-type]
    assert str(raised.value).startswith(message)
