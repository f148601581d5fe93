"""How surprising a text is: held against the whole text at once, and cut anywhere."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from pyrnn.backend import selection
from pyrnn.text import LineScore, Score
from pyrnn.text import scoring as scored
from pyrnn.text import vocabulary as vocabularies
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary

LETTERS = "abcdé\n" + REPLACEMENT
TEXT = "abc\n\nbad decade\nééé\nacdc"


def make(cell: Any = "lstm", vocabulary: Any = LETTERS, **options: Any) -> CharacterModel:
    return CharacterModel(vocabulary, cell, 7, seed=1, **options)


def stated(model: CharacterModel, text: str) -> np.ndarray:
    """-log2 of the probability of each character but the first."""
    indices = model.vocabulary.encode(text, replace=True)
    logits = model(indices)[0].astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    bits: np.ndarray = -np.log2(p[np.arange(len(text) - 1), indices[1:]])
    return bits


@pytest.mark.usefixtures("backend")
class TestScore:
    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    def test_as_stated(self, cell: Any) -> None:
        model = make(cell, embedding_dim=2, num_layers=2)
        score = model.score(TEXT)
        assert score.bits == pytest.approx(stated(model, "\n" + TEXT).sum(), rel=1e-6)
        assert score.characters == len(TEXT)
        assert score.bits_per_character == score.bits / score.characters
        assert score.unknown == {"e": 2, " ": 1}

    def test_the_same_bits_however_it_is_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = make()
        near = 1e-14 if selection.current().name == "native" else 1e-6  # sums in another order
        whole, lines = model.score(TEXT), list(model.score_lines(TEXT))
        for size in (1, 2, 5, 100):
            pieces = [TEXT[n : n + size] for n in range(0, len(TEXT), size)]
            assert model.score(pieces).bits == pytest.approx(whole.bits, rel=near)
            cut = list(model.score_lines(pieces))
            assert [line[2:] for line in cut] == [line[2:] for line in lines]
            np.testing.assert_allclose([c.bits for c in cut], [w.bits for w in lines], near)
        monkeypatch.setattr(scored, "MOST_STEPS", 3)
        assert model.score(TEXT).bits == pytest.approx(whole.bits, rel=near)

    def test_lines(self) -> None:
        model = make()
        lines = list(model.score_lines(TEXT))
        each = stated(model, "\n" + TEXT)
        assert [line.text for line in lines] == TEXT.split("\n")
        assert [line.number for line in lines] == [1, 2, 3, 4, 5]
        assert [line.characters for line in lines] == [4, 1, 11, 4, 4]
        ends = np.cumsum([0, *(line.characters for line in lines)])
        expected = [each[a:b].sum() for a, b in itertools.pairwise(ends)]
        np.testing.assert_allclose([line.bits for line in lines], expected, rtol=1e-5)
        assert [line.text for line in model.score_lines("a\nb\n")] == ["a", "b"]
        (long,) = model.score_lines("ab" * 500)
        assert (long.characters, long.text) == (1000, "ab" * 100)

    def test_without_line_ends_the_first_does_not_count(self) -> None:
        model = make(vocabulary="abcd" + REPLACEMENT)
        score = model.score(["", "a", "bcd"])
        assert score.bits == pytest.approx(stated(model, "abcd").sum(), rel=1e-6)
        assert score.characters == 3

    def test_without_the_replacement_unknown_ones_are_left_out(self) -> None:
        for vocabulary, characters in (("abcd", 3), ("abcd\n", 4)):
            model = make(vocabulary=vocabulary)
            score = model.score("xaxybcxd?")
            assert score == (model.score("abcd").bits, characters, {"x": 3, "y": 1, "?": 1})
            (line,) = model.score_lines("xaxybcxd?")
            assert (line.bits, line.text) == (score.bits, "xaxybcxd?")

    def test_in_the_form_of_the_text(self) -> None:
        model = make()
        assert model.score("a\r\nb\rc\n") == model.score("a\nb\nc\n")
        cut = "".join(part for part, _ in scored.Scoring(model, ["a\r", "\nb\r"]))
        assert cut == "a\nb\n"
        composed = make(vocabulary=Vocabulary(LETTERS + "e\u0301", "NFC"))
        for pieces in (["ade\u0301"], ["ade", "\u0301"], ["a", "de", "\u0301"]):
            assert "".join(part for part, _ in scored.Scoring(composed, pieces)) == "adé"
        assert make(vocabulary=LETTERS + "\r").score("\r\n").characters == 2

    def test_a_text_without_line_ends_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vocabularies, "PIECE_BYTES", 50)
        model = make(vocabulary=Vocabulary(LETTERS, "NFC"))
        sizes = [len(part) for part, _ in scored.Scoring(model, ["abcd" * 5] * 40)]
        assert sum(sizes) == 800
        assert max(sizes) <= 70

    def test_dropout_is_off_and_the_mode_stays(self) -> None:
        model = make(num_layers=2, dropout=0.5)
        score = model.score(TEXT)
        assert model.training
        assert model.eval().score(TEXT) == score
        assert not model.training

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [
            (3, TypeError, "text: expected a string or strings, got 3"),
            (["a", 3], TypeError, r"text\[1\]: expected a string, got 3"),
            ("", ValueError, "text: expected a character that can be predicted, got none"),
        ],
    )
    def test_refuses(self, text: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=f"^{message}"):
            make().score(text)

    def test_refuses_what_is_not_finite(self) -> None:
        model = make()
        model.parameters["linear.bias"][0] = math.nan
        with pytest.raises(ValueError, match=r"linear\.bias"):
            model.score("abc")


def test_means() -> None:
    assert Score(6.0, 4, {}).bits_per_character == 1.5
    assert LineScore(1, 6.0, 4, "x").bits_per_character == 1.5
    assert LineScore(1, 0.0, 0, "x").bits_per_character == 0.0
