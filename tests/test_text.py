"""Corpus, vocabulary, streams."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrnn import text
from pyrnn.text import REPLACEMENT, TextError, Vocabulary


class TestVocabulary:
    @given(st.text(min_size=1))
    def test_decode_undoes_encode(self, sample: str) -> None:
        vocabulary = Vocabulary.of(sample)
        known = sample.replace(REPLACEMENT, "")
        assert vocabulary.decode(vocabulary.encode(known)) == known

    def test_indices_are_places(self) -> None:
        vocabulary = Vocabulary("hé😀\n")
        assert vocabulary.encode("\n😀éh").tolist() == [3, 2, 1, 0]
        assert vocabulary.encode("").shape == (0,)
        assert len(vocabulary) == 4

    def test_of_is_sorted_and_ends_with_the_replacement(self) -> None:
        assert Vocabulary.of("banana").characters == "abn" + REPLACEMENT
        assert Vocabulary.of(f"b{REPLACEMENT}a").characters == "ab" + REPLACEMENT
        assert Vocabulary.of("").characters == REPLACEMENT

    def test_of_leaves_out_the_rare(self) -> None:
        often = "a" * 300_000
        assert Vocabulary.of(often + "bbb").characters == "a" + REPLACEMENT
        assert Vocabulary.of(often + "bbbb").characters == "ab" + REPLACEMENT
        assert Vocabulary.of("a" * 99_999 + "b").characters == "ab" + REPLACEMENT

    def test_unknown_characters_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"^prompt: expected .* vocabulary, got 'x', '€'$"):
            Vocabulary("ab").encode("a€xx", name="prompt")
        with pytest.raises(ValueError, match=r"'g', 'h' and 18 more$"):
            Vocabulary("0").encode("abcdefghijklmnopqrstuvwxyz")

    def test_replacement_is_asked_for_and_there(self) -> None:
        vocabulary = Vocabulary("ab" + REPLACEMENT)
        assert vocabulary.encode("axb", replace=True).tolist() == [0, 2, 1]
        with pytest.raises(ValueError, match=r"got 'x'"):
            vocabulary.encode("axb")
        with pytest.raises(ValueError, match=r"got 'x'"):
            Vocabulary("ab").encode("axb", replace=True)
        assert vocabulary.replacement == 2
        assert Vocabulary("ab").replacement is None

    @pytest.mark.parametrize(
        ("characters", "error", "message"),
        [
            ("", ValueError, "at least one character"),
            ("aba", ValueError, "got 'a' twice"),
            (["a", "b"], TypeError, "got list"),
            (b"ab", TypeError, "got bytes"),
        ],
    )
    def test_refuses(self, characters: str, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=f"^vocabulary: expected .*{message}"):
            Vocabulary(characters)

    def test_decode_checks(self) -> None:
        with pytest.raises(ValueError, match=r"indices: expected indices in \[0, 2\), got 2"):
            Vocabulary("ab").decode([0, 2])

    def test_equality(self) -> None:
        assert Vocabulary("ab") == Vocabulary("ab")
        assert hash(Vocabulary("ab")) == hash(Vocabulary("ab"))
        assert Vocabulary("ab") != Vocabulary("ba")
        assert repr(Vocabulary("ab")) == "Vocabulary('ab')"


class TestRead:
    def test_line_ends_and_mark(self, tmp_path: Path) -> None:
        file = tmp_path / "text.txt"
        file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n\xc3\xa9")
        assert text.read(file) == "one\ntwo\nthree\né"

    def test_refuses(self, tmp_path: Path) -> None:
        latin, empty = tmp_path / "latin.txt", tmp_path / "empty.txt"
        latin.write_bytes("ab\xe9cd".encode("latin-1"))
        empty.write_bytes(b"")
        with pytest.raises(TextError, match=r"latin.txt: expected .* UTF-8, got 0xe9 at byte 2$"):
            text.read(latin)
        with pytest.raises(TextError, match=r"empty.txt: expected text, got an empty file"):
            text.read(empty)
        with pytest.raises(TextError, match=r"nowhere.txt: cannot be read .*No such file"):
            text.read(tmp_path / "nowhere.txt")
        with pytest.raises(TextError, match=r"cannot be read .*directory"):
            text.read(tmp_path)
        with pytest.raises(TextError, match=r"cannot be read .*null"):
            text.read("a\0b")


class TestStandardLibrary:
    def test_modules_in_order(self) -> None:
        names = [path.name for path in text.standard_library()]
        assert names == sorted(names)
        assert {"os.py", "argparse.py", "typing.py"} <= set(names)
        assert os.path.samefile(text.standard_library()[names.index("os.py")], os.__file__)

    def test_without_sources(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "python.zip"))
        with pytest.raises(TextError, match=r"python.zip: expected the source of the standard"):
            text.standard_library()


class TestSplit:
    def test_holds_out_every_end(self) -> None:
        texts = ["a" * 95 + "b" * 5, "c" * 190 + "d" * 10]
        corpus = text.split(texts)
        assert corpus.train == "a" * 95 + "\n" + "c" * 190
        assert corpus.held_out == "bbbbb\ndddddddddd"

    def test_cap(self) -> None:
        corpus = text.split(["x" * 2_000_000, "y" * 2_000_000, "z" * 10])
        assert 99_000 < len(corpus.held_out) <= text.HELD_OUT_MOST
        assert set(corpus.held_out) == {"x", "y", "\n"}
        total = len(corpus.train.replace("\n", "")) + len(corpus.held_out.replace("\n", ""))
        assert total == 4_000_010

    def test_smallest(self) -> None:
        assert text.split(["abcd"]) == ("ab", "cd")
        assert text.split(["x", "abcd"]) == ("x\nab", "cd")

    @pytest.mark.parametrize("texts", [[], [""], ["abc"], ["aa", "bb"]])
    def test_too_short(self, texts: list[str]) -> None:
        with pytest.raises(TextError, match=r"text: expected .*at least 4 characters, got"):
            text.split(texts)


class TestStreams:
    @given(st.integers(2, 200), st.integers(1, 10), st.integers(1, 30))
    def test_every_character_once(self, length: int, batch_size: int, seq_len: int) -> None:
        if length <= batch_size:
            return
        inputs, targets = text.streams(np.arange(length), batch_size)
        assert inputs.T.reshape(-1).tolist() == list(range(inputs.size))
        assert (targets == inputs + 1).all()
        assert length - 1 - inputs.size < batch_size
        pieces = list(text.chunks(inputs, targets, seq_len))
        assert all(len(x) == seq_len for x, _ in pieces[:-1])
        assert (np.concatenate([x for x, _ in pieces]) == inputs).all()
        assert (np.concatenate([y for _, y in pieces]) == targets).all()

    def test_too_short(self) -> None:
        with pytest.raises(TextError, match=r"expected at least 5 characters for 4 streams, got 4"):
            text.streams(np.arange(4), 4)
