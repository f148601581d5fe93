"""How surprising a text is to a character model: as a whole, and line by line."""

from __future__ import annotations

import io
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array, Indices
from pyrnn.text.vocabulary import PIECE_BYTES, Vocabulary
from pyrnn.training import divergence

MOST_STEPS = 4096
MOST_LOGITS = 1 << 20
"""The largest numbers of time steps, and of logits, that are computed at once."""

MOST_SHOWN = 200
"""The number of characters of a line that are kept."""


@public("pyrnn.text")
class Score(NamedTuple):
    """How well a model predicts a text.

    Parameters
    ----------
    bits : float
        The sum of -log2 of the probabilities that the model gives its characters.
    characters : int
        The number of characters that count.
    unknown : dict
        How often each character occurs that the model does not know, the most frequent first.

    Examples
    --------
    >>> from pyrnn.text import Score
    >>> Score(30.0, 10, {}).bits_per_character
    3.0
    """

    bits: float
    characters: int
    unknown: dict[str, int]

    @property
    def bits_per_character(self) -> float:
        """The mean number of bits; lower is better.

        Examples
        --------
        >>> from pyrnn.text import Score
        >>> Score(4.0, 2, {"?": 1}).bits_per_character
        2.0
        """
        return self.bits / self.characters


@public("pyrnn.text")
class LineScore(NamedTuple):
    """How well a model predicts a line of a text.

    Parameters
    ----------
    number : int
        Of the line, counted from 1.
    bits : float
        The sum of -log2 of the probabilities of its characters, its line end included.
    characters : int
        The number of characters that count.
    text : str
        The line without its end, no more than its first 200 characters.

    Examples
    --------
    >>> from pyrnn.text import LineScore
    >>> LineScore(1, 30.0, 10, "some text").bits_per_character
    3.0
    """

    number: int
    bits: float
    characters: int
    text: str

    @property
    def bits_per_character(self) -> float:
        """The mean number of bits; 0 for a line without characters that count.

        Examples
        --------
        >>> from pyrnn.text import LineScore
        >>> LineScore(1, 0.0, 0, "").bits_per_character
        0.0
        """
        return self.bits / self.characters if self.characters else 0.0


class Scoring:
    """The characters of a text with the bits of each; unknown characters are counted."""

    def __init__(self, model: Any, text: str | Iterable[str]) -> None:
        divergence.check_usable(model.parameters)
        self.model = model
        self._bits, self._characters = 0.0, 0
        self._unknown: Counter[str] = Counter()
        whole = [text] if isinstance(text, str) else text
        if not np.iterable(whole):
            raise TypeError(f"text: expected a string or strings, got {_checks.shown(text)}")
        self._pieces = _normalised(whole, model.vocabulary)

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Pieces of the text, and the bits of each character: NaN for one that does not count.

        Those are the first one, unless the model knows line ends, and unknown ones if it has no
        U+FFFD for them.
        """
        vocabulary = self.model.vocabulary
        state: Any = None
        before = vocabulary.characters.find("\n")  # the text begins as a line does
        most = max(1, min(MOST_STEPS, MOST_LOGITS // len(vocabulary)))
        for piece in self._pieces:
            for start in range(0, len(piece), most):
                part = piece[start : start + most]
                indices, known = self._encoded(part)
                bits = np.full(len(part), np.nan)
                if len(indices):
                    first = before < 0
                    read = np.concatenate([indices[:0] if first else [before], indices])
                    if len(read) > 1:
                        logits, state = _evaluated(self.model, read[:-1], state)
                        found = _bits(logits, read[1:])
                        bits[np.flatnonzero(known)[first:]] = found
                    before = int(indices[-1])
                self._bits += float(np.nansum(bits))
                self._characters += int(np.isfinite(bits).sum())
                yield part, bits

    def result(self) -> Score:
        """The score of all that has been read."""
        if not self._characters:
            raise ValueError("text: expected a character that can be predicted, got none")
        return Score(self._bits, self._characters, dict(self._unknown.most_common()))

    def _encoded(self, part: str) -> tuple[Indices, Any]:
        """The indices of a part, and which of its characters have one."""
        vocabulary: Vocabulary = self.model.vocabulary
        try:
            return vocabulary.encode(part), np.ones(len(part), dtype=bool)
        except ValueError:
            strange = [c for c in part if c not in vocabulary.characters]
            self._unknown.update(strange)
        if vocabulary.replacement is not None:
            return vocabulary.encode(part, replace=True), np.ones(len(part), dtype=bool)
        known = np.array([c in vocabulary.characters for c in part])
        return vocabulary.encode("".join(np.array(list(part))[known])), known


def score(model: Any, text: str | Iterable[str]) -> Score:
    """`CharacterModel.score`."""
    scoring = Scoring(model, text)
    for _ in scoring:
        pass
    return scoring.result()


def lines(scoring: Iterable[tuple[str, Array]]) -> Iterator[LineScore]:
    """The lines of a text from its characters and their bits."""
    number, total, characters, shown = 1, 0.0, 0, ""
    begun = False
    for piece, bits in scoring:
        start = 0
        while start < len(piece):
            end = piece.find("\n", start)
            stop = len(piece) if end < 0 else end + 1
            part = bits[start:stop]
            total += float(np.nansum(part))
            characters += int(np.isfinite(part).sum())
            if len(shown) < MOST_SHOWN:
                shown = (shown + piece[start : len(piece) if end < 0 else end])[:MOST_SHOWN]
            begun, start = True, stop
            if end >= 0:
                yield LineScore(number, total, characters, shown)
                number, total, characters, shown, begun = number + 1, 0.0, 0, "", False
    if begun:
        yield LineScore(number, total, characters, shown)


def _evaluated(model: Any, indices: Indices, state: Any) -> tuple[Array, Any]:
    """Logits and state in eval mode, whatever mode the model is in."""
    was_training = model.training
    model.eval()
    try:
        found: tuple[Array, Any] = model(indices, state)
        return found
    finally:
        if was_training:
            model.train()


def _bits(logits: Array, targets: Indices) -> Array:
    """-log2 of the probabilities of the targets."""
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    nats: Array = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(targets)), targets]
    return nats / math.log(2)


def _normalised(pieces: Iterable[str], vocabulary: Vocabulary) -> Iterator[str]:
    """The text in the form of the vocabulary's: its line ends, its normal form."""
    translated = "\r" not in vocabulary.characters
    decoder = io.IncrementalNewlineDecoder(None, translate=translated)
    form, pending = vocabulary.unicode_form, ""
    for number, piece in enumerate(pieces):
        text = decoder.decode(_checks.string(f"text[{number}]", piece))
        if form is not None:
            # The next piece may combine with the end of a piece, but not across a line end.
            text, pending = _cut(pending + text)
            text = unicodedata.normalize(form, text)
        if text:
            yield text
    text = pending + decoder.decode("", final=True)
    text = text if form is None else unicodedata.normalize(form, text)
    if text:
        yield text


def _cut(text: str) -> tuple[str, str]:
    """Cut after the last line end; in very long lines, anywhere."""
    end = text.rfind("\n") + 1
    return (text, "") if not end and len(text) > PIECE_BYTES else (text[:end], text[end:])
