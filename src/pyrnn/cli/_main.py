"""The list of commands, errors, exit statuses."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

from pyrnn._imports import extras
from pyrnn._version import version
from pyrnn.backend import threads
from pyrnn.cli import compare, convert, export, flow, info, inspect, report, sample, score, train
from pyrnn.cli._common.arguments import Parser
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import Ended, status_after, turned
from pyrnn.cli._common.terminal import say
from pyrnn.interop.conversion import ConversionError
from pyrnn.interop.onnx.graph import UnsupportedError
from pyrnn.interop.serialization import ModelFileError
from pyrnn.report.run import RunFileError
from pyrnn.text.corpus import TextError
from pyrnn.training.divergence import DivergenceError

PACKAGES = ("rich", "matplotlib", "safetensors")
"""The packages of the extra ``cli``."""

EXPECTED = (
    UsageError,
    TextError,
    ModelFileError,
    ConversionError,
    DivergenceError,
    UnsupportedError,
    extras.MissingExtraError,
    RunFileError,
)
"""Errors whose messages are for users, in one line."""

COMMANDS = "train, sample, score, report, compare, flow, convert, export, inspect or info"

USAGE_STATUS = 2
BROKEN_PIPE_STATUS = 141
"""The status that a shell reports for a program ended by SIGPIPE."""


def status_of(argv: Sequence[str] | None) -> int:
    """Run the command, and turn errors into one line and a status."""
    _print_any_character()
    try:
        status = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt as error:
        return status_after(error)
    except BrokenPipeError:
        return BROKEN_PIPE_STATUS
    except Exception as error:
        cause = turned(error)
        if os.environ.get("PYRNN_TRACEBACK"):
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exc()
        return status_after(cause) if isinstance(cause, Ended) else _fail(_message(cause))
    finally:
        _leave_nothing_to_print()


def _message(error: Exception) -> str:
    """Return the message of an error for the user."""
    if isinstance(error, EXPECTED):
        return str(error)
    if isinstance(error, MemoryError):
        return "expected sizes that fit into memory; lower --hidden, --batch or --seq-len"
    if isinstance(error, OSError):
        return f"{error.filename or 'output'}: {error.strerror or error}"
    return (
        f"unexpected {type(error).__name__}: {error} (PYRNN_TRACEBACK=1 shows where; please report)"
    )


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit:  # from --help or --version, which are done
        return 0
    _check_instruction_set()
    if arguments.command != "info":
        extras.require("cli", *PACKAGES)
    if arguments.command is None:
        parser.error(f"expected a command: {COMMANDS} (pyrnn --help)")
    status: int = arguments.run(arguments)
    return status


def _check_instruction_set() -> None:
    """Load the core, which reads PYRNN_ISA at its first use and refuses unknown names."""
    try:
        threads.build_info()
    except RuntimeError as error:
        raise UsageError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pyrnn",
        description="Recurrent networks on CPUs: train character models and generate text.",
    )
    parser.add_argument("--version", action="version", version=f"pyrnn {version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    for command in (train, sample, score, report, compare, flow, convert, export, inspect, info):
        command.add_parser(subparsers)
    return parser


def _fail(message: str) -> int:
    say(f"pyrnn: error: {message}")
    return USAGE_STATUS


def _print_any_character() -> None:
    """Let generated text pass to terminals that cannot show all of its characters."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _leave_nothing_to_print() -> None:
    """Discard output that cannot be written, because Python flushes stdout again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
