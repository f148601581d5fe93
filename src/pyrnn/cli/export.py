"""``pyrnn export``: a model file as plain C."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from pyrnn._files import shown
from pyrnn._types import ActivationFormat
from pyrnn.cli._common.arguments import Subparsers, file_name
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import deferred
from pyrnn.cli.convert import check_activations, choose
from pyrnn.interop import conversion
from pyrnn.interop.c.export import export
from pyrnn.layers.composition.sequential import Sequential


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("export", help="write a model as plain C")
    parser.add_argument("model", type=file_name, metavar="MODEL", help="a model file of any kind")
    parser.add_argument(
        "--c", type=file_name, metavar="FOLDER", required=True, help="the folder for the C files"
    )
    parser.add_argument(
        "--name", default="model", help="the beginning of the names of files and functions (model)"
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME",
        help="only this layer, as 'pyrnn inspect' names it; several are run in their order",
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float64", "bfloat16", "float16", "int8"),
        help="store matrices of weights in this format: in a half or a quarter of float32",
    )
    parser.add_argument(
        "--activations",
        choices=get_args(ActivationFormat),
        help="beside --weights int8: to what x and h are rounded at each step",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, export, and print the memory that a device needs."""
    check_activations(arguments)
    with deferred():
        model = _chosen(conversion.read(arguments.model), arguments)
        try:
            made = export(
                model,
                arguments.c,
                name=arguments.name,
                weights=arguments.weights,
                activations=arguments.activations,
            )
        except (TypeError, ValueError) as error:
            raise UsageError(f"{shown(arguments.model)}: {error}") from error
    print("\n".join(map(shown, made.files)))
    print(
        f"flash {made.flash:,} bytes of weights, state {made.state:,} bytes, arrays on the "
        f"stack {made.stack:,} bytes; 'make -C {shown(arguments.c)} test' runs it"
    )
    return 0


def _chosen(holding: conversion.Holding, arguments: argparse.Namespace) -> Any:
    """The whole model of a file, or the chosen layers."""
    if arguments.layer:
        choose(holding, arguments.layer)
    elif holding.model is not None:
        return holding.model
    elif holding.left or holding.refused:
        raise UsageError(
            f"{shown(arguments.model)}: it has more than layers of pyrnn ('pyrnn inspect' lists "
            "them); choose some with --layer"
        )
    layers = list(holding.layers.values())
    if not layers:
        raise UsageError(f"{shown(arguments.model)}: expected at least one layer, got none")
    return layers[0] if len(layers) == 1 else Sequential(*layers)
