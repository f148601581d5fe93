"""``pyrnn sample``: generate text with a saved model."""

from __future__ import annotations

import argparse

from pyrnn.cli._arguments import SEEDS, SIZES, Subparsers, file_name, number, whole
from pyrnn.cli._errors import UsageError
from pyrnn.cli._interrupt import deferred
from pyrnn.cli._terminal import print_written
from pyrnn.interop.serialization import load_character_model
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import REPLACEMENT


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("sample", help="generate text with a saved model")
    parser.add_argument(
        "model", type=file_name, metavar="MODEL", help="a file that 'pyrnn train' saved"
    )
    parser.add_argument("--prompt", metavar="TEXT", help="what to continue (default: a new line)")
    parser.add_argument(
        "--length",
        type=whole(1, SIZES),
        default=400,
        metavar="N",
        help="characters to generate (400)",
    )
    parser.add_argument(
        "--temperature",
        type=number(0.0),
        default=0.7,
        metavar="X",
        help="below 1 the likely becomes likelier; 0 takes the likeliest (0.7)",
    )
    parser.add_argument(
        "--seed",
        type=whole(0, SEEDS),
        metavar="N",
        help="makes the text repeatable (default: chance)",
    )
    parser.add_argument(
        "--raw", action="store_true", help="print control characters as they are on a terminal too"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the prompt and its continuation."""
    with deferred():
        model = load_character_model(arguments.model)
    try:
        prompt = arguments.prompt
        if prompt is None:
            prompt = _default_prompt(model)
        written = model.sample(prompt, arguments.length, arguments.temperature, arguments.seed)
    except ValueError as error:
        raise UsageError(str(error)) from error
    print_written(model.vocabulary.normalise(prompt) + written, raw=arguments.raw)
    return 0


def _default_prompt(model: CharacterModel) -> str:
    known = model.vocabulary.characters.replace(REPLACEMENT, "")
    # Without a prompt, the model raises the error.
    return "\n" if "\n" in known else known[:1] or REPLACEMENT
