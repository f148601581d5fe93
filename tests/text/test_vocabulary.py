"""The vocabulary: characters to indices and back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary


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


class TestNormalise:
    @pytest.mark.parametrize(("known", "prompt", "expected"), [
        ("ab\n", "a\r\nb\ra\n", "a\nb\na\n"),
        ("ab\r\n", "a\r\nb\r", "a\r\nb\r"),
        ("é", "e\u0301", "é"),
        ("e\u0301", "é", "e\u0301"),
        ("ée\u0301", "ée\u0301", "ée\u0301"),
        ("é가", "é\u1100\u1161e\u0301", "é가é"),
        ("é", "e\u0301€", "é€"),
        ("x", "é", "é"),
    ])  # fmt: skip
    def test_as_the_text(self, known: str, prompt: str, expected: str) -> None:
        assert Vocabulary(known).normalise(prompt) == expected


VOCABULARY = Vocabulary("abc")
NO_STRINGS = [None, 3, 1.5, b"abc", ["a"], np.array("a")]
NO_LISTS = ["abcdef", None, 5, 2.5, [1], ["abcdef", None], [["abcdef"]], [b"abcdef"]]


class TestArguments:
    """Wrong ones are refused by name, before anything is computed."""

    @pytest.mark.parametrize(
        ("name", "call", "wrong"),
        [
            ("text", VOCABULARY.encode, NO_STRINGS),
            ("prompt", VOCABULARY.normalise, NO_STRINGS),
            ("replace", lambda value: VOCABULARY.encode("a", replace=value), [None, 1, "yes"]),
            ("name", lambda value: VOCABULARY.encode("x", name=value), [None, 1]),
            ("pieces", VOCABULARY.encode_pieces, NO_LISTS),
            ("text", Vocabulary.of, NO_LISTS[1:]),
            ("vocabulary", Vocabulary, [*NO_STRINGS, ""]),
            ("indices", VOCABULARY.decode, ["ab", [0.5], [3], [-1]]),
        ],
    )
    def test_are_refused_by_name(self, name: str, call: Any, wrong: list[Any]) -> None:
        for value in wrong:
            with pytest.raises((TypeError, ValueError), match=rf"^{name}\b.*: expected"):
                call(value)

    def test_generators_are_taken(self) -> None:
        assert Vocabulary.of(iter(["ab", "ba"])).characters == "ab" + REPLACEMENT
