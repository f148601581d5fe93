"""What a character model does with text: scoring and generating."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from pyrnn import _checks
from pyrnn.text import scoring
from pyrnn.text.evaluation import bits
from pyrnn.text.sampling.request import made
from pyrnn.text.scoring import LineScore, Score
from pyrnn.text.vocabularies.base import BaseVocabulary


class Use:
    """Base of `CharacterModel`: its methods that have to do with text."""

    def bits_per_character(
        self, indices: Any, *, callback: Callable[[], object] | None = None
    ) -> float:
        """Score a text: the mean of -log2 of the probabilities that the model gives it.

        The text is cut into up to 32 parallel streams of 256 characters or more, each with a state
        that starts from zero and is carried along. All characters count except the first of each
        stream and up to 31 at the end. Dropout is off.

        Parameters
        ----------
        indices : array of int
            The text from ``vocabulary.encode``, (L,) with L >= 2, of any integer dtype. If the
            vocabulary's tokens are others than characters, the bits of the tokens are divided by
            the number of characters of their text.
        callback : callable, optional
            Called repeatedly during the evaluation; an exception that it raises ends it.

        Returns
        -------
        float
            Bits per character.

        Raises
        ------
        TypeError, ValueError
            If ``indices`` is not such an array.

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.CharacterModel("helo", hidden_size=8, seed=0)
        >>> 1 < model.bits_per_character(model.vocabulary.encode("hello" * 9)) < 3  # log2(4) = 2
        True
        """
        found = bits(self, indices, callback)
        vocabulary: BaseVocabulary = self.vocabulary  # type: ignore[attr-defined]
        tokens = np.asarray(indices)
        length = vocabulary._length(tokens)
        return found if length == len(tokens) else found * len(tokens) / max(1, length)

    def score(self, text: str | Iterable[str]) -> Score:
        r"""Score a text from its beginning to its end: the bits that its characters take.

        Unlike `bits_per_character`, which reads many parts of a text side by side, this reads the
        whole text in order with one state, as `sample` does. The first character is predicted as
        after a line end; if the model knows none, it does not count. Characters that the model does
        not know are read as U+FFFD, or left out if it has none. The text is brought into the normal
        form of the training text, as prompts are. Dropout is off.

        Parameters
        ----------
        text : str or iterable of str
            The text, whole or in pieces (`pyrnn.text.pieces` reads a file so, in little memory).

        Returns
        -------
        Score
            ``bits_per_character``, ``bits``, ``characters`` and what is ``unknown``; of a model of
            other tokens ``bits_per_token`` too.

        Raises
        ------
        TypeError, ValueError
            If ``text`` is neither, nothing of it can be predicted, or a parameter is not finite.

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.CharacterModel("helo\n", hidden_size=8, seed=0)
        >>> score = model.score("hello, hello")
        >>> score.characters, score.unknown, 1 < score.bits_per_character < 4
        (10, {',': 1, ' ': 1}, True)
        """
        return scoring.score(self, text)

    def score_lines(self, text: str | Iterable[str]) -> Iterator[LineScore]:
        r"""Score a text line by line; the state goes on from line to line.

        Parameters
        ----------
        text : str or iterable of str
            As `score` takes it.

        Returns
        -------
        iterator of LineScore
            The lines in the order of the text. Sort them by ``bits_per_character`` to find what
            surprises the model.

        Raises
        ------
        TypeError, ValueError
            As `score` does.

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.CharacterModel("helo\n", hidden_size=8, seed=0)
        >>> lines = model.score_lines("hello\nhole\n")
        >>> [(line.number, line.characters, line.text) for line in lines]
        [(1, 6, 'hello'), (2, 5, 'hole')]
        """
        return scoring.lines(scoring.Scoring(self, text))

    @overload
    def sample(
        self,
        prompt: str,
        length: int,
        temperature: float = ...,
        seed: int | None = ...,
        *,
        top_k: int | None = ...,
        top_p: float | None = ...,
        num_beams: int | None = ...,
        stop: str | Sequence[str] | None = ...,
    ) -> str: ...
    @overload
    def sample(
        self,
        prompt: list[str] | tuple[str, ...],
        length: int,
        temperature: float = ...,
        seed: int | Sequence[int] | None = ...,
        *,
        top_k: int | None = ...,
        top_p: float | None = ...,
        num_beams: int | None = ...,
        stop: str | Sequence[str] | None = ...,
    ) -> list[str]: ...
    def sample(
        self,
        prompt: str | list[str] | tuple[str, ...],
        length: int,
        temperature: float = 1.0,
        seed: int | Sequence[int] | None = None,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        num_beams: int | None = None,
        stop: str | Sequence[str] | None = None,
    ) -> str | list[str]:
        """Continue a text, or several side by side, one character after the other.

        Parameters
        ----------
        prompt : str or list of str
            The text to continue: one character or more of the vocabulary, after
            ``vocabulary.normalise`` (line ends become a line feed, and characters are composed or
            decomposed if the vocabulary has them so). Several prompts form one batch; each is
            continued exactly as if it were alone.
        length : int
            The largest number of characters to generate; of other tokens, if the model has those.
        temperature : float, default 1.0
            Divisor of the logits: below 1, likely characters become likelier; 0 always takes the
            likeliest (greedy).
        seed : int or sequence of int, optional
            Seed of the random draws; of several prompts, the seed of each, or n + ``seed`` for
            prompt n. By default they differ from call to call.
        top_k : int, optional
            Draw from the k likeliest characters only.
        top_p : float, optional
            Draw from the likeliest characters only: as few as have a probability of ``top_p``
            together, at ``temperature`` and among ``top_k`` (nucleus sampling).
        num_beams : int, optional
            Beam search: follow the likeliest texts, so many at a time, and return the likeliest
            one. Nothing is drawn then.
        stop : str or sequence of str, optional
            The text ends before the first of these strings.

        Returns
        -------
        str or list of str
            What is generated after each prompt, without the prompt. The replacement character is
            never chosen, and no unknown word. Bytes at the end that are not a whole character are
            left out.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong value; an unknown character of the prompt is named. Unknown
            words are read as such.

        Notes
        -----
        Of characters with equal probability the one that comes first in the vocabulary is the
        likelier one. Beam search compares texts of different length, which ``stop`` makes, by the
        mean log-probability of their characters; it ends when ``num_beams`` texts have ended.

        Sources: A. Fan, M. Lewis, Y. Dauphin, "Hierarchical neural story generation",
        arXiv:1805.04833 (top-k); A. Holtzman et al., "The curious case of neural text
        degeneration", arXiv:1904.09751 (top-p); A. Graves, "Sequence transduction with recurrent
        neural networks", arXiv:1211.3711 (beam search).

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.CharacterModel("helo", hidden_size=8, seed=0)
        >>> len(model.sample("he", 10, seed=0))
        10
        >>> model.sample(["he", "l"], 10, seed=[0, 5], top_k=2) == [
        ...     model.sample("he", 10, seed=0, top_k=2), model.sample("l", 10, seed=5, top_k=2)
        ... ]
        True
        """
        request = made(self, prompt, length, temperature, seed, top_k, top_p, num_beams, stop)
        texts = request.texts(self)
        return texts[0] if isinstance(prompt, str) else texts

    def sample_stream(
        self,
        prompt: str,
        length: int,
        temperature: float = 1.0,
        seed: int | None = None,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
    ) -> Iterator[str]:
        """Continue a text, and yield it while it is generated.

        Parameters
        ----------
        prompt : str
            As `sample` takes it.
        length : int
            The largest number of characters to generate; of other tokens, if the model has those.
        temperature : float, default 1.0
            Divisor of the logits; 0 is greedy.
        seed : int, optional
            Seed of the random draws.
        top_k, top_p : int and float, optional
            Draw from the likeliest characters only.
        stop : str or sequence of str, optional
            The text ends before the first of these strings.

        Returns
        -------
        iterator of str
            The pieces of what `sample` returns, as soon as they are certain. Do not change the
            parameters meanwhile.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong value; an unknown character of the prompt is named.

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.CharacterModel("helo", hidden_size=8, seed=0)
        >>> pieces = model.sample_stream("he", 10, seed=0)
        >>> "".join(pieces) == model.sample("he", 10, seed=0)
        True
        """
        request = made(
            self,
            _checks.string("prompt", prompt),
            length,
            temperature,
            seed,
            top_k,
            top_p,
            None,
            stop,
        )
        return (piece for _, piece in request.pieces(self))
