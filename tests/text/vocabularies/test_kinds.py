"""Vocabularies from what files keep of them; what a file may say instead."""

from typing import Any

import pytest

from pyrnn.text import ByteVocabulary, Vocabulary, WordVocabulary
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabularies import kinds


@pytest.mark.parametrize(
    "vocabulary", [Vocabulary("abc\n"), ByteVocabulary(), WordVocabulary(["a", " b", "\n"])]
)
def test_there_and_back(vocabulary: Any) -> None:
    plain = vocabulary._plain()
    assert kinds.checked(plain) == vocabulary
    assert kinds.is_plain(vocabulary)
    assert kinds.size_of(plain) in (len(vocabulary), 1)
    assert kinds.checked(vocabulary) is vocabulary
    model = CharacterModel(vocabulary, hidden_size=3, seed=0)
    assert CharacterModel.from_config(model.config()).vocabulary == vocabulary


@pytest.mark.parametrize(
    "plain",
    [
        *({}, {"tokens": "bytes", "words": "a"}, {"tokens": "words"}, {"tokens": ["words"]}),
        *(
            {"tokens": "none"},
            {"tokens": "words", "words": "a\0a"},
            {"tokens": "words", "words": ""},
        ),
        *({"tokens": "tokenizer", "json": "no base64"}, {"tokens": "tokenizer", "json": "é"}),
    ],
)
def test_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match=r"^(vocabulary|words): expected"):
        kinds.checked(plain)


def test_a_normal_form_is_one_of_characters() -> None:
    with pytest.raises(ValueError, match=r"^unicode_form: expected None with ByteVocabulary\(\)"):
        CharacterModel(ByteVocabulary(), unicode_form="NFC")
