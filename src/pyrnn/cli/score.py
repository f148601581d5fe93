"""``pyrnn score``: how surprising a text is to a saved model, and its most surprising lines."""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Iterator, Mapping

from pyrnn._files import shown
from pyrnn.cli._common.arguments import (
    SIZES,
    Subparsers,
    add_threads,
    file_name,
    use_threads,
    whole,
)
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import deferred
from pyrnn.cli._common.scores import per_token
from pyrnn.cli._common.terminal import print_written
from pyrnn.interop.serialization import load_character_model
from pyrnn.text import corpus
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.scoring import LineScore, Score, Scoring, TokenScore, lines
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabulary import REPLACEMENT

NAMED_MOST = 20
"""The number of unknown characters that are named."""

TOP = 1000


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("score", help="show how well a saved model predicts a text")
    parser.add_argument(
        "model", type=file_name, metavar="MODEL", help="a file that 'pyrnn train' saved"
    )
    parser.add_argument(
        "file", type=file_name, metavar="FILE", help="text in UTF-8; - is the standard input"
    )
    parser.add_argument(
        "--lines", action="store_true", help="list the lines too, the most surprising first"
    )
    parser.add_argument(
        "--top",
        type=whole(1, SIZES),
        default=TOP,
        metavar="N",
        help=f"the largest number of lines to list ({TOP})",
    )
    parser.add_argument(
        "--raw", action="store_true", help="print control characters as they are on a terminal too"
    )
    add_threads(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the score of the text, and of its lines."""
    with deferred():
        model = load_character_model(arguments.model)
    try:
        with use_threads(arguments.threads):
            score, worst = _scored(model, arguments.file, arguments.top if arguments.lines else 0)
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(
        f"{score.bits_per_character:.3f} bits per character over {score.characters:,} characters"
        f"{_of_tokens(model, score)}"
    )
    if score.unknown:
        print_written(_unknown(model, score.unknown))
    if arguments.lines:
        print("\n    bits  characters      line")
        for line in worst:
            numbers = f"{line.bits_per_character:8.3f}  {line.characters:10,}  {line.number:8,}"
            print_written(f"{numbers}  {line.text}", raw=arguments.raw)
    return 0


def _scored(model: CharacterModel, file: str, top: int) -> tuple[Score, list[LineScore]]:
    """The score of a text, and its most surprising lines; one pass, in bounded memory."""
    scoring = Scoring(model, _pieces(file, model.vocabulary))
    heap: list[tuple[float, int, LineScore]] = []
    for line in lines(scoring):
        entry = (line.bits_per_character, -line.number, line)
        if len(heap) < top:
            heapq.heappush(heap, entry)
        elif heap:
            heapq.heappushpop(heap, entry)
    return scoring.result(), [line for *_, line in sorted(heap, reverse=True)]


def _pieces(file: str, vocabulary: BaseVocabulary) -> Iterator[str]:
    """The text of a file, or of the standard input."""
    if file != "-":
        return corpus.text_of(corpus.blocks(file), shown(file), vocabulary)
    if sys.stdin is None:
        raise UsageError("-: expected a standard input, but there is none")
    return corpus.text_of(corpus.blocks(sys.stdin.buffer), "standard input", vocabulary)


def _of_tokens(model: CharacterModel, score: Score) -> str:
    """The score per token, if tokens are not characters."""
    if not isinstance(score, TokenScore):
        return ""
    unknown = sum(score.unknown.values())
    return per_token(model.vocabulary, score.bits_per_token, score.tokens, unknown)


def _unknown(model: CharacterModel, unknown: Mapping[str, int]) -> str:
    """Name and count the characters that the model does not know."""
    named = [f"{character!r} {count:,}" for character, count in unknown.items()][:NAMED_MOST]
    if len(unknown) > NAMED_MOST:
        named.append(f"{len(unknown) - NAMED_MOST:,} different ones more")
    done = "left out" if model.vocabulary.replacement is None else f"read as {REPLACEMENT!a}"
    units = model.vocabulary.units
    return f"{sum(unknown.values()):,} unknown {units}, {done}: {', '.join(named)}"
