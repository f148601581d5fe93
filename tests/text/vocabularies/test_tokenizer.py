"""Other libraries' tokenisers: of the package tokenizers, and whatever encodes and decodes."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import serialization
from pyrnn.text import REPLACEMENT, TokenizerVocabulary, load
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabularies import tokenizer as ours

TEXT = "the cats ☃é <pad>\n sat the dog\n\n日本🙂 end"


class Pairs:
    """Two digits make a token; `n_vocab` is tiktoken's name."""

    n_vocab = 100

    def encode(self, text: str) -> list[int]:
        return [int(text[n : n + 2]) for n in range(0, len(text) // 2 * 2, 2)]

    def decode(self, indices: list[int]) -> str:
        return "".join(f"{index:02}" for index in indices)


def byte_pairs() -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<pad>"],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(["the cat sat on the mat " * 20, "hello world"], trainer)
    return made


def word_pieces() -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    known = {"[UNK]": 0, "the": 1, "cat": 2, "##s": 3, "sat": 4, "[CLS]": 5}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(known, unk_token="[UNK]"))
    made.add_special_tokens(["[CLS]"])
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.decoder = tokenizers.decoders.WordPiece()
    return made


class TestOfTokenizers:
    def test_byte_pairs(self, tmp_path: Path) -> None:
        made = byte_pairs()
        made.enable_padding(length=500)  # which is no business of a text
        made.enable_truncation(3)
        path = tmp_path / "tokenizer.json"
        made.save(str(path))
        vocabulary = TokenizerVocabulary(path)
        assert vocabulary == TokenizerVocabulary(made)
        assert made.padding is not None
        assert vocabulary.decode(vocabulary.encode(TEXT)) == TEXT
        assert len(vocabulary) == made.get_vocab_size() == max(made.get_vocab().values()) + 1
        assert vocabulary._unwritten() == [made.token_to_id("<pad>")]
        assert made.token_to_id("<pad>") not in vocabulary.encode(TEXT)
        assert vocabulary.replacement is None
        assert vocabulary._opening() == "\n"
        spans = vocabulary._spans(TEXT)
        assert spans.ends[-1] == len(TEXT)
        assert (spans.starts < spans.ends).all()
        assert (np.diff(spans.ends) >= 0).all()

    def test_word_pieces(self) -> None:
        vocabulary = TokenizerVocabulary(word_pieces())
        spans = vocabulary._spans("The cats!\nsat")
        assert spans.indices.tolist() == [1, 2, 3, 0, 4]
        assert (spans.starts.tolist(), spans.ends.tolist()) == ([0, 3, 7, 8, 10], [3, 7, 8, 10, 13])
        assert spans.unknown == ["!\n"]
        assert vocabulary._unwritten() == [0, 5]
        assert (vocabulary.replacement, vocabulary._line_end(), vocabulary._opening()) == (
            0,
            None,
            "the",
        )
        model = CharacterModel(vocabulary, hidden_size=5, seed=0)
        written = model.sample("the", 8, seed=1)
        assert written.startswith((" ", "s"))  # word pieces, with spaces between
        score = model.score("the cats sat on")
        assert score.unknown == {" on": 1}
        with pytest.raises(ValueError, match=r"^prompt: expected at least one token, got none"):
            model.sample("\n", 3)

    def test_written_as_decoded(self) -> None:
        draw = random.Random(0)
        for made in (byte_pairs(), word_pieces()):
            vocabulary = TokenizerVocabulary(made)
            allowed = sorted({*range(len(vocabulary))} - {*vocabulary._unwritten()})
            begun = vocabulary.encode("the cat")
            for _ in range(200):
                indices = draw.choices(allowed, k=12)
                before, written = vocabulary._began(begun), ""
                for index in indices:
                    text, before = vocabulary._written(before, index)
                    written += text
                whole = vocabulary.decode([*begun, *indices])
                assert whole[len(vocabulary.decode(begun)) :].startswith(written)

    def test_lines_however_they_are_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        vocabulary = TokenizerVocabulary(byte_pairs())
        for most in (1 << 16, 7):
            monkeypatch.setattr(ours, "MOST_LINE", most)
            whole = vocabulary.encode(TEXT)
            for size in (1, 3, 100):
                pieces = [TEXT[n : n + size] for n in range(0, len(TEXT), size)]
                assert np.array_equal(vocabulary.encode_pieces(pieces), whole)
        model = CharacterModel(vocabulary, hidden_size=5, seed=0)
        scores = [model.score([TEXT[:n], TEXT[n:]]) for n in (0, 5, 9, 20)]
        assert len({score.bits for score in scores}) == 1

    def test_saved(self, tmp_path: Path) -> None:
        pytest.importorskip("safetensors")
        model = CharacterModel(TokenizerVocabulary(byte_pairs()), hidden_size=5, seed=0)
        pyrnn.save(model, tmp_path / "m.safetensors")
        copy = serialization.load_character_model(tmp_path / "m.safetensors")
        assert copy.vocabulary == model.vocabulary
        assert copy.sample("the", 20, seed=0) == model.sample("the", 20, seed=0)

    def test_prepared(self, tmp_path: Path) -> None:
        path, cache = tmp_path / "text", tmp_path / "cache"
        path.write_text(TEXT * 20, encoding="utf-8")
        made = byte_pairs()
        for given in (None, cache, cache):
            vocabulary, train, held_out = load([path, path], cache=given, tokens=made)
            both = vocabulary.decode(train) + vocabulary.decode(held_out)
            assert len(both) == 2 * len(TEXT) * 20 + 2  # line ends between the parts
        assert REPLACEMENT not in both

    def test_no_tokeniser_file(self, tmp_path: Path) -> None:
        pytest.importorskip("tokenizers")
        for data in (b"{}", b"\xff", b"", b"[" * 1000):
            path = tmp_path / "t.json"
            path.write_bytes(data)
            with pytest.raises(ValueError, match=r"t\.json: expected a tokenizer\.json"):
                TokenizerVocabulary(path)
        huge = byte_pairs().to_str().replace('"e":', '"e": 99999999, "ee":', 1)
        path.write_text(huge)
        with pytest.raises(ValueError, match="expected indices below"):
            TokenizerVocabulary(path)
        with pytest.raises(FileNotFoundError):
            TokenizerVocabulary(tmp_path / "nowhere")


class TestOthers:
    def test_any_object(self) -> None:
        model = CharacterModel(Pairs(), hidden_size=5, seed=0)
        assert isinstance(model.vocabulary, TokenizerVocabulary)
        assert model.vocabulary._spans("123456").ends.tolist() == [2, 4, 6]
        assert len(model.sample("12", 5, seed=0)) == 10
        assert model.score("12345").tokens == 1  # the first one is not predicted
        assert repr(model).startswith("CharacterModel(100 tokens, 'lstm'")
        assert CharacterModel.from_config(model.config()).vocabulary == model.vocabulary

    def test_is_not_saved(self, tmp_path: Path) -> None:
        pytest.importorskip("safetensors")
        model = CharacterModel(Pairs(), hidden_size=5)
        with pytest.raises(TypeError, match=r"^vocabulary: expected characters.*can be pickled"):
            pyrnn.save(model, tmp_path / "m.safetensors")
        with pytest.raises(ValueError, match=r"^cache: expected None with such a tokeniser"):
            load([tmp_path / "text"], cache=tmp_path / "cache", tokens=Pairs())

    @pytest.mark.parametrize("wrong", [None, 3, object(), [1]])
    def test_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"^tokenizer: expected a tokenizers\.Tokenizer"):
            TokenizerVocabulary(wrong)

    def test_indices_beyond_its_length(self) -> None:
        pairs = Pairs()
        pairs.n_vocab = 50
        with pytest.raises(ValueError, match=r"^text: expected indices"):
            TokenizerVocabulary(pairs).encode("99")
