"""``pyrnn convert``: a model file of one kind as one of another kind."""

from __future__ import annotations

import argparse
from typing import get_args

from pyrnn import _files
from pyrnn._files import shown
from pyrnn._types import ActivationFormat, WeightFormat
from pyrnn.cli._common.arguments import Subparsers, file_name
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import deferred
from pyrnn.cli._common.outputs import check_free, check_other
from pyrnn.cli._common.terminal import escaped, one_line, say
from pyrnn.interop import conversion


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("convert", help="convert model files: PyTorch, ONNX, Keras")
    parser.add_argument("source", type=file_name, metavar="IN", help="a model file")
    parser.add_argument(
        "target",
        type=file_name,
        metavar="OUT",
        help=f"the file to write; its name ends in {', '.join(conversion.FORMATS)}",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME",
        help="only this layer, as 'pyrnn inspect' names it; may be given several times",
    )
    parser.add_argument(
        "--weights",
        choices=get_args(WeightFormat),
        help="store matrices of weights in this format, for layers of float32 (.safetensors)",
    )
    parser.add_argument(
        "--activations",
        choices=get_args(ActivationFormat),
        help="beside --weights int8: to what eval(weights='int8') of the model rounds x and h",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file OUT")
    parser.set_defaults(run=run)


def check_activations(arguments: argparse.Namespace) -> None:
    """Refuse a format of activations without weights of int8."""
    if arguments.activations and arguments.weights != "int8":
        got = f"--weights {arguments.weights}" if arguments.weights else "no --weights"
        raise UsageError(f"argument --activations: expected --weights int8 beside it, got {got}")


def run(arguments: argparse.Namespace) -> int:
    """Read, choose, write, and print what was written and what was left out."""
    conversion.suffix_of(arguments.target)
    check_other("OUT", arguments.target, [arguments.source])
    check_activations(arguments)
    check_free("OUT", arguments.target, arguments.force)
    with deferred():
        holding = conversion.read(arguments.source)
        if arguments.layer:
            choose(holding, arguments.layer)
        if not holding.layers and holding.model is None and holding.program is None:
            raise UsageError(
                f"{shown(arguments.source)}: expected a file with a layer that pyrnn has, got none "
                "(pyrnn inspect lists what is in it)"
            )
        _files.check_writable(arguments.target)
        written = conversion.write(
            holding, arguments.target, arguments.weights, arguments.activations
        )
        unheld = conversion.unheld(holding, arguments.target)
    print(f"{shown(arguments.target)}: {written}")
    for line in unheld:
        say(f"not in {shown(arguments.target)}: {escaped(line)}")
    for name, reason in holding.refused.items():
        print(one_line(f"left out: {name}: {reason}"))
    return 0


def choose(holding: conversion.Holding, names: list[str]) -> None:
    """Keep only these layers, in this order."""
    for name in names:
        if name not in holding.layers:
            known = ", ".join(holding.layers) or "none"
            raise UsageError(f"argument --layer: expected one of {known}, got {name!r}")
    holding.layers = {name: holding.layers[name] for name in names}
    holding.program, holding.model, holding.refused, holding.others = None, None, {}, {}
    holding.left, holding.notes, holding.ordered = {}, {}, True
