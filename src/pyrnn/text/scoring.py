"""How surprising a text is to a character model: as a whole, and line by line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array, Indices
from pyrnn.backend.probabilities import log_softmax
from pyrnn.text.vocabularies.base import BaseVocabulary, Spans
from pyrnn.text.vocabulary import Vocabulary
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
        The sum of -log2 of the probabilities that the model gives its tokens.
    characters : int
        The number of characters that count.
    unknown : dict
        How often each character, or token, occurs that the model does not know, the most frequent
        first.

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
class TokenScore(Score):
    """A `Score` of a model whose tokens are not characters, with their number beside it.

    Parameters
    ----------
    bits, characters, unknown : float, int and dict
        As `Score` has them; they are what it has as a tuple.
    tokens : int
        The number of tokens that count.

    Examples
    --------
    >>> from pyrnn.text import TokenScore
    >>> score = TokenScore(30.0, 10, {}, 2)
    >>> score.bits_per_character, score.bits_per_token
    (3.0, 15.0)
    """

    tokens: int

    def __new__(
        cls, bits: float, characters: int, unknown: dict[str, int], tokens: int = 0
    ) -> TokenScore:
        """Make a tuple of three, as `Score` is, and keep the number of tokens beside it."""
        score = super().__new__(cls, bits, characters, unknown)
        score.tokens = tokens
        return score

    @property
    def bits_per_token(self) -> float:
        """The mean over the tokens, whose size depends on the vocabulary.

        Examples
        --------
        >>> from pyrnn.text import TokenScore
        >>> TokenScore(30.0, 10, {}, 2).bits_per_token
        15.0
        """
        return self.bits / self.tokens


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
    """The characters of a text with the bits of each; what is unknown is counted on the way.

    The bits of a token of several characters are those of its last one.
    """

    def __init__(self, model: Any, text: str | Iterable[str]) -> None:
        divergence.check_usable(model.parameters)
        self.model = model
        self._bits, self._characters, self._tokens = 0.0, 0, 0
        self._unknown: Counter[str] = Counter()
        whole = [text] if isinstance(text, str) else text
        if not np.iterable(whole):
            raise TypeError(f"text: expected a string or strings, got {_checks.shown(text)}")
        self._pieces = model.vocabulary._segments(whole)
        # The text begins as a line does.
        self._before: int | None = model.vocabulary._line_end()
        self._state: Any = None

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Pieces of the text, and the bits of each character: NaN for one that does not count.

        Those are the first token, unless the model knows line ends, and what is unknown if the
        vocabulary has nothing for it.
        """
        vocabulary: BaseVocabulary = self.model.vocabulary
        most = max(1, min(MOST_STEPS, MOST_LOGITS // len(vocabulary)))
        for piece in self._pieces:
            spans = vocabulary._spans(piece)
            self._unknown.update(spans.unknown)
            begin, start, count = 0, 0, len(spans.indices)
            while begin < len(piece):
                stop = min(start + most, count)
                while stop < count and spans.starts[stop] < spans.ends[stop - 1]:
                    stop += 1  # to the end of a character
                end = len(piece) if stop >= count else int(spans.ends[stop - 1])
                own = Spans(
                    spans.indices[start:stop], spans.starts[start:stop], spans.ends[start:stop], []
                )
                bits = self._bits_of(own, begin, end)
                self._bits += float(np.nansum(bits))
                self._characters += int(np.isfinite(bits).sum())
                yield piece[begin:end], bits
                begin, start = end, stop

    def _bits_of(self, spans: Spans, begin: int, end: int) -> Array:
        """The bits of each character of a part of a piece."""
        indices, starts, ends, _ = spans
        first = self._before is None
        read = indices if first else np.concatenate([[self._before], indices])
        bits = np.full(end - begin, np.nan)
        if len(read) > 1:
            logits, self._state = _evaluated(self.model, read[:-1], self._state)
            found = _bits(logits, read[1:])
            self._tokens += len(found)
            counted = np.zeros(end - begin + 1, dtype=np.intp)
            np.add.at(counted, starts[first:] - begin, 1)
            np.add.at(counted, ends[first:] - begin, -1)
            bits[counted.cumsum()[:-1] > 0] = 0.0
            np.add.at(bits, ends[first:] - begin - 1, found)
        if len(indices):
            self._before = int(indices[-1])
        return bits

    def result(self) -> Score:
        """The score of all that has been read."""
        if not self._characters:
            unit = self.model.vocabulary.unit
            raise ValueError(f"text: expected a {unit} that can be predicted, got none")
        unknown = dict(self._unknown.most_common())
        if isinstance(self.model.vocabulary, Vocabulary):
            return Score(self._bits, self._characters, unknown)
        return TokenScore(self._bits, self._characters, unknown, self._tokens)


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
    nats: Array = -log_softmax(logits)[np.arange(len(targets)), targets]
    return nats / math.log(2)
