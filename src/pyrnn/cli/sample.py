"""``pyrnn sample``: generate text with a saved model."""

from __future__ import annotations

import argparse

from pyrnn.cli._common.arguments import SEEDS, SIZES, Subparsers, file_name, number, whole
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import deferred
from pyrnn.cli._common.terminal import print_piece, print_written
from pyrnn.interop.serialization import load_character_model
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.sampling.request import Request, made

TEMPERATURE = 0.7
MOST_BEAMS = 1024


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("sample", help="generate text with a saved model")
    parser.add_argument(
        "model", type=file_name, metavar="MODEL", help="a file that 'pyrnn train' saved"
    )
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="text to continue (default: a new line); may be given several times",
    )
    parser.add_argument(
        "--length",
        type=whole(1, SIZES),
        default=400,
        metavar="N",
        help="characters, or other tokens of the model, to generate (400)",
    )
    parser.add_argument(
        "--temperature",
        type=number(0.0),
        metavar="X",
        help="below 1, likely characters become likelier; 0 takes the likeliest (0.7)",
    )
    parser.add_argument(
        "--top-k", type=whole(1, SIZES), metavar="N", help="draw from the N likeliest characters"
    )
    parser.add_argument(
        "--top-p",
        type=number(0.0, 1.0, above=True),
        metavar="P",
        help="draw from the likeliest characters that together have a probability of P",
    )
    parser.add_argument(
        "--beams",
        type=whole(1, MOST_BEAMS),
        metavar="N",
        help="beam search: keep the N likeliest texts; nothing is drawn",
    )
    parser.add_argument(
        "--stop",
        action="append",
        metavar="TEXT",
        help="end before this string; it may be given several times",
    )
    parser.add_argument(
        "--seed",
        type=whole(0, SEEDS),
        metavar="N",
        help="makes the text repeatable (default: random)",
    )
    parser.add_argument(
        "--raw", action="store_true", help="print control characters as they are on a terminal too"
    )
    parser.add_argument(
        "--stream", action="store_true", help="print each character as soon as it is generated"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print each prompt and its continuation."""
    with deferred():
        model = load_character_model(arguments.model)
    prompts = arguments.prompt or [model.vocabulary._opening()]
    temperature = arguments.temperature
    if arguments.beams is not None:
        if (temperature, arguments.top_k, arguments.top_p) != (None, None, None):
            raise UsageError("--beams: expected no --temperature, --top-k or --top-p with it")
        temperature = 1.0
    try:
        request = made(
            model,
            prompts[0] if len(prompts) == 1 else prompts,
            arguments.length,
            TEMPERATURE if temperature is None else temperature,
            arguments.seed,
            arguments.top_k,
            arguments.top_p,
            arguments.beams,
            arguments.stop,
        )
        begun = [model.vocabulary.normalise(prompt) for prompt in prompts]
        if arguments.stream and arguments.beams is None:
            _print_stream(model, request, begun, arguments.raw)
        else:
            for prompt, written in zip(begun, request.texts(model), strict=True):
                print_written(prompt + written, raw=arguments.raw)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return 0


def _print_stream(model: CharacterModel, request: Request, prompts: list[str], raw: bool) -> None:
    """Print the first text while it is generated, then the others, which are finished by then."""
    others = prompts[1:]
    print_piece(prompts[0], raw=raw)
    for row, piece in request.pieces(model):
        if row:
            others[row - 1] += piece
        else:
            print_piece(piece, raw=raw)
    print()
    for text in others:
        print_written(text, raw=raw)
