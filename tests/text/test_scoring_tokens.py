"""Scores of models of other tokens than characters: the same bits, per character and per token."""

import pickle
from typing import Any

import numpy as np
import pytest

from pyrnn.text import ByteVocabulary, TokenScore, WordVocabulary
from pyrnn.text import scoring as scored
from pyrnn.text.character_model import CharacterModel

TEXT = "To be, or né 日🙂 be\n\nnot to be\n"
WORDS = WordVocabulary(["To", " be", ",", " or", "\n", "not"])


def stated(model: CharacterModel, indices: np.ndarray) -> np.ndarray:
    """-log2 of the probability of each token but the first."""
    logits = model(indices[:-1])[0].astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    bits: np.ndarray = -np.log2(p[np.arange(len(p)), indices[1:]])
    return bits


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("vocabulary", [ByteVocabulary(), WORDS])
class TestScore:
    def test_as_stated(self, vocabulary: Any) -> None:
        model = CharacterModel(vocabulary, hidden_size=7, seed=1, dtype="float64")
        score = model.score(TEXT)
        assert isinstance(score, TokenScore)
        each = stated(model, vocabulary.encode("\n" + TEXT))
        assert score.bits == pytest.approx(each.sum(), rel=1e-9)
        assert (score.characters, score.tokens) == (len(TEXT), len(each))
        assert score.bits_per_character == score.bits / len(TEXT)
        assert score.bits_per_token == score.bits / len(each)
        copy = pickle.loads(pickle.dumps(score))
        assert (copy, copy.tokens) == (score, score.tokens)

    def test_however_it_is_cut(self, vocabulary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        model = CharacterModel(vocabulary, hidden_size=7, seed=1, dtype="float64")
        whole, lines = model.score(TEXT), list(model.score_lines(TEXT))
        assert [line.text for line in lines] == TEXT.split("\n")[:-1]
        assert sum(line.characters for line in lines) == len(TEXT)
        assert sum(line.bits for line in lines) == pytest.approx(whole.bits)
        for steps, size in ((4096, 1), (4096, 3), (1, 100), (2, 2), (5, 100)):
            monkeypatch.setattr(scored, "MOST_STEPS", steps)
            pieces = [TEXT[n : n + size] for n in range(0, len(TEXT), size)]
            score = model.score(pieces)
            assert score.bits == pytest.approx(whole.bits, rel=1e-12)
            assert (score.characters, score.unknown) == (whole.characters, whole.unknown)
            assert "".join(part for part, _ in scored.Scoring(model, pieces)) == TEXT

    def test_bits_per_character(self, vocabulary: Any) -> None:
        model = CharacterModel(vocabulary, hidden_size=7, seed=1, dtype="float64")
        indices = vocabulary.encode(TEXT)
        bits = stated(model, indices).mean() * len(indices) / len(vocabulary.decode(indices))
        assert model.bits_per_character(indices) == pytest.approx(bits, rel=1e-9)


def test_unknown_words() -> None:
    model = CharacterModel(WORDS, hidden_size=5, seed=0)
    assert model.score("To go, to go").unknown == {"go": 2, "to": 1}
