"""``pyrnn inspect``: what a model file holds, and what cannot be read, with the reason."""

from __future__ import annotations

import argparse

from pyrnn._files import shown
from pyrnn.cli._common.arguments import Subparsers, file_name
from pyrnn.cli._common.interrupt import deferred
from pyrnn.cli._common.terminal import one_line
from pyrnn.interop import conversion


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("inspect", help="list the layers in a model file")
    parser.add_argument(
        "file",
        type=file_name,
        metavar="FILE",
        help=f"its name ends in {', '.join(conversion.FORMATS)}",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each layer, then what is not a layer, then whether the whole model runs."""
    with deferred():
        holding = conversion.read(arguments.file)
        whole = _whole(holding)
    print(f"{shown(arguments.file)}: {holding.format}")
    rows = [
        (one_line(name), repr(layer), f"{layer.num_parameters:,}")
        for name, layer in holding.layers.items()
    ]
    table = [("layer", "kind and sizes", "parameters"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    if rows:
        for name, kind, count in table:
            print(f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {count:>{widths[2]}}")
        print(f"{sum(layer.num_parameters for layer in holding.layers.values()):,} parameters")
    else:
        print("no layers")
    for name, reason in holding.refused.items():
        print(f"not read: {one_line(name)}: {one_line(reason)}")
    for operator, (nodes, numbers) in holding.others.items():
        print(
            f"no layer: {one_line(operator)}: {numbers:,} numbers in {nodes} node{'s'[: nodes > 1]}"
        )
    for name, reason in holding.left.items():
        print(f"no layer: {one_line(name)}: {one_line(reason)}")
    if whole:
        print(whole)
    return 0


def _whole(holding: conversion.Holding) -> str:
    """A sentence on whether the graph of a file runs; empty for a file without one."""
    if holding.program is None:
        return ""
    from pyrnn.interop.onnx.graph import GraphError, UnsupportedError
    from pyrnn.interop.onnx.model import Model

    try:
        model = Model(holding.program)
    except (UnsupportedError, GraphError) as error:
        return f"the whole model does not run: {one_line(str(error))}"
    return f"the whole model runs: {one_line(repr(model))}"
