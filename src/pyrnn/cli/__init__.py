"""The command ``pyrnn``: train, sample, compare, info."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from pyrnn import _extras, threads
from pyrnn._version import version
from pyrnn.cli import compare, info, sample, train
from pyrnn.cli._arguments import Parser
from pyrnn.cli._errors import UsageError
from pyrnn.serialization import ModelFileError
from pyrnn.text import TextError

PACKAGES = ("rich", "matplotlib", "safetensors")
"""What the extra ``cli`` brings."""

USAGE_STATUS = 2
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141
"""As a shell reports a program that SIGINT or SIGPIPE ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of the process if not given.

    Returns
    -------
    int
        The exit status: 0; 1 if `pyrnn compare` found a difference; 2 for a user's mistake, which
        is one line on stderr; 130 for Ctrl-C outside of training; 141 for a closed pipe.
    """
    _print_any_character()
    try:
        status = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (UsageError, TextError, ModelFileError, _extras.MissingExtraError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        # Python flushes stdout once more on its way out, and must not find the pipe there.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_STATUS
    except OSError as error:
        return _fail(f"{error.filename or 'output'}: {error.strerror or error}")
    except MemoryError:
        return _fail("expected sizes that fit into memory; lower --hidden, --batch or --seq-len")
    except KeyboardInterrupt:
        print("pyrnn: interrupted", file=sys.stderr)
        return INTERRUPTED_STATUS
    return status


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit:  # --help or --version, which have printed what was asked for
        return 0
    _check_instruction_set()
    if arguments.command != "info":
        _extras.require("cli", *PACKAGES)
    if arguments.command is None:
        parser.error("expected a command: train, sample, compare or info (pyrnn --help)")
    status: int = arguments.run(arguments)
    return status


def _check_instruction_set() -> None:
    """The core reads PYRNN_ISA and PYRNN_AMX at its first use, and refuses what it cannot do."""
    try:
        threads.build_info()
    except RuntimeError as error:
        raise UsageError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pyrnn",
        description="Recurrent networks on CPUs: train character models on text, let them write.",
    )
    parser.add_argument("--version", action="version", version=f"pyrnn {version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    for command in (train, sample, compare, info):
        command.add_parser(subparsers)
    return parser


def _fail(message: str) -> int:
    print(f"pyrnn: error: {' '.join(message.split())}", file=sys.stderr)
    return USAGE_STATUS


def _print_any_character() -> None:
    """Let generated text through to terminals that cannot show all of it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
