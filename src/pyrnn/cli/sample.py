"""``pyrnn sample``: let a saved model write."""

from __future__ import annotations

import argparse

from pyrnn.cli._arguments import Subparsers, number, whole
from pyrnn.cli._errors import UsageError
from pyrnn.model import CharacterModel
from pyrnn.serialization import load_character_model


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("sample", help="let a saved model write text")
    parser.add_argument("model", metavar="MODEL", help="a file that 'pyrnn train' saved")
    parser.add_argument("--prompt", metavar="TEXT", help="what to continue (default: a new line)")
    parser.add_argument(
        "--length", type=whole(1), default=400, metavar="N", help="characters to write (400)"
    )
    parser.add_argument(
        "--temperature",
        type=number(0.0),
        default=0.7,
        metavar="X",
        help="below 1 the likely becomes likelier; 0 takes the likeliest (0.7)",
    )
    parser.add_argument(
        "--seed", type=whole(0), metavar="N", help="makes the text repeatable (default: chance)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the prompt and what the model writes after it."""
    model = load_character_model(arguments.model)
    prompt = _default_prompt(model) if arguments.prompt is None else arguments.prompt
    try:
        written = model.sample(prompt, arguments.length, arguments.temperature, arguments.seed)
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(prompt + written)
    return 0


def _default_prompt(model: CharacterModel) -> str:
    characters = model.vocabulary.characters
    return "\n" if "\n" in characters else characters[0]
