"""The checked arguments of `CharacterModel.sample`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._types import Indices
from pyrnn.parameters.dictionary import random_generator
from pyrnn.text.sampling import beams, choice, stops, writing
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabulary import REPLACEMENT, checked_strings
from pyrnn.training import divergence


class Request(NamedTuple):
    """Prompts as indices, and how each is continued."""

    prompts: list[Indices]
    length: int
    choice: choice.Choice
    num_beams: int | None
    stop: tuple[str, ...]
    generators: list[np.random.Generator]

    def texts(self, model: Any) -> list[str]:
        """The continuation of each prompt."""
        if self.num_beams is not None:
            return [
                beams.search(model, prompt, self.length, self.num_beams, self.stop)
                for prompt in self.prompts
            ]
        texts: list[list[str]] = [[] for _ in self.prompts]
        for row, piece in self.pieces(model):
            texts[row].append(piece)
        return ["".join(pieces) for pieces in texts]

    def pieces(self, model: Any) -> Iterator[tuple[int, str]]:
        """The number of a prompt and the next piece of its continuation, as they are generated."""
        return writing.write(
            model, self.prompts, self.length, self.choice, self.generators, self.stop
        )


def made(
    model: Any,
    prompt: str | list[str] | tuple[str, ...],
    length: int,
    temperature: float,
    seed: int | Sequence[int] | None,
    top_k: int | None,
    top_p: float | None,
    num_beams: int | None,
    stop: str | Sequence[str] | None,
) -> Request:
    """Check the arguments of `CharacterModel.sample`."""
    prompts = _prompts(prompt)
    vocabulary: BaseVocabulary = model.vocabulary
    indices = [
        vocabulary.encode(vocabulary.normalise(text), name=name) for name, text in prompts.items()
    ]
    for name, found in zip(prompts, indices, strict=True):
        if not len(found):
            raise ValueError(f"{name}: expected at least one {vocabulary.unit}, got none")
    if len(vocabulary) == len(vocabulary._unwritten()):
        raise ValueError(
            f"vocabulary: expected a {vocabulary.unit} to write, got {REPLACEMENT!r} alone"
        )
    divergence.check_usable(model.parameters)
    length = _checks.size("length", length, most=_checks.MAX_COUNT)
    chosen = choice.checked(temperature, top_k, top_p)
    if num_beams is not None:
        num_beams = _checks.size("num_beams", num_beams)
        if chosen != choice.Choice():
            raise ValueError(
                "num_beams: expected no temperature, top_k or top_p with it, since beam search "
                "draws nothing"
            )
    ends = stops.checked(stop, vocabulary)
    generators = _generators(seed, isinstance(prompt, str), len(prompts))
    return Request(indices, length, chosen, num_beams, ends, generators)


def _prompts(prompt: object) -> dict[str, str]:
    """The prompts by the names that errors use."""
    if isinstance(prompt, str):
        named = {"prompt": prompt}
    elif isinstance(prompt, (list, tuple)):
        texts = checked_strings("prompt", prompt)
        named = {f"prompt[{number}]": text for number, text in enumerate(texts)}
        if not named:
            raise ValueError("prompt: expected at least one, got an empty list")
    else:
        kind = type(prompt).__name__
        raise TypeError(f"prompt: expected a string or a list of strings, got {kind}")
    for name, text in named.items():
        if not text:
            raise ValueError(f"{name}: expected at least one character, got ''")
    return named


def _generators(seed: object, single: bool, count: int) -> list[np.random.Generator]:
    """A generator for each prompt."""
    if isinstance(seed, (list, tuple, np.ndarray)) and not single:
        if len(seed) != count:
            raise ValueError(f"seed: expected one for each of {count} prompts, got {len(seed)}")
        seeds = [_checks.size(f"seed[{n}]", each, least=0) for n, each in enumerate(seed)]
        return [random_generator(each) for each in seeds]
    first = _checks.seed(seed)
    if first is None:
        return [random_generator(None) for _ in range(count)]
    return [random_generator(first + number) for number in range(count)]
