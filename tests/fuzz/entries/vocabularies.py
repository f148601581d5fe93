"""Vocabularies of bytes, words and a tokeniser: there and back, cut anywhere, in a model."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyrnn
from pyrnn import text as pyrnn_text
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]
PARTS = (
    "the",
    " the",
    " a",
    "don't",
    "\n",
    "  ",
    "\t",
    "é",
    "e\u0301",
    "日",
    "🙂",
    ",",
    "12",
    "\0",
)
WORDS = ("the", " the", " a", ",", "\n", "don't", " ", "é")


class Letters:
    """Another library's tokeniser: a token for each letter, and one for all else."""

    def __len__(self) -> int:
        return 27

    def encode(self, text: str) -> list[int]:
        return [ord(c) - 96 if "a" <= c <= "z" else 0 for c in text]

    def decode(self, indices: list[int]) -> str:
        return "".join(chr(96 + index) for index in indices)


def _vocabulary(kind: str, words: list[str]) -> Any:
    if kind == "bytes":
        return pyrnn_text.ByteVocabulary()
    if kind == "words":
        return pyrnn_text.WordVocabulary(words)
    return pyrnn_text.TokenizerVocabulary(Letters())


@entry(
    "vocabularies", "text.BaseVocabulary", "text.ByteVocabulary", "text.WordVocabulary",
    "text.TokenizerVocabulary", "text.TokenScore", weight=0.3,
)  # fmt: skip
def vocabularies_case(draw: Draw) -> Case:
    """Encoded whole and in pieces, decoded, scored and continued."""
    kind = draw.choice(("bytes", "words", "tokenizer"))
    arguments = {
        "words": draw.random.sample(WORDS, draw.integer(1, len(WORDS))),
        "text": "".join(draw.choice(PARTS) for _ in range(draw.integer(1, 8))),
        "hidden_size": draw.size(),
        "cell": draw.choice(("rnn", "lstm", "gru")),
        "length": draw.integer(1, 12),
        "seed": draw.integer(0, 2**40),
    }

    def run(a: Arguments) -> Any:
        vocabulary = _vocabulary(kind, a["words"])
        text = vocabulary.normalise(a["text"])
        indices = vocabulary.encode(text)
        if kind == "bytes" and (vocabulary.decode(indices) != text or len(vocabulary) != 256):
            raise AssertionError("the text is not what came back")
        model = _model(draw, vocabulary, a)
        known = vocabulary.decode(indices) == text
        score = model.score(text * 2)
        if kind == "bytes" and score.characters != 2 * len(text):
            raise AssertionError(f"{score.characters} characters of {2 * len(text)}")
        result = {
            "indices": indices,
            "length": len(vocabulary),
            "replacement": vocabulary.replacement,
            "score": np.array([score.bits, score.characters, score.tokens]),
            "bits": np.array(model.bits_per_character(np.resize(indices, 3 * len(indices)))),
        }
        return result | ({"decoded": vocabulary.decode(indices)} if known else {})

    def in_pieces(a: Arguments) -> tuple[Any, Any]:
        vocabulary = _vocabulary(kind, a["words"])
        whole = vocabulary.encode_pieces([a["text"]])
        return vocabulary.encode_pieces(list(a["text"])), whole

    def streamed(a: Arguments) -> tuple[Any, Any]:
        vocabulary = _vocabulary(kind, a["words"])
        model = _model(draw, vocabulary, a)
        arguments = (a["text"], a["length"], 1.0, a["seed"])
        whole = model.sample(*arguments)
        if "".join(model.sample_stream(*arguments)) != whole:
            raise AssertionError("streamed it is another text")
        return model.sample(["the", a["text"]], a["length"], seed=[0, a["seed"]])[1], whole

    names = {"words", "text", "vocabulary", "prompt", "hidden_size", "weight_ih_l0", "weight"}
    ways = [Relation("in_pieces", in_pieces), Relation("streamed", streamed)]
    return Case(arguments, run, ways, names=names)


def _model(draw: Draw, vocabulary: Any, a: Arguments) -> Any:
    model = pyrnn.CharacterModel(vocabulary, a["cell"], a["hidden_size"], seed=a["seed"])
    draw.settle(model.parameters)
    return model
