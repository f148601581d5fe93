"""``pyrnn info``: print what is installed and how it computes."""

from __future__ import annotations

import argparse
import platform

from pyrnn.backend import selection, threads
from pyrnn.cli._common.arguments import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("info", help="show version, instruction set, threads, NumPy")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print one aligned line for each fact."""
    build = threads.build_info()
    facts = {
        "pyrnn": build["version"],
        "backend": selection.current().name,
        "ISA in use": build["isa"] or "none: the compiled core is missing",
        "ISAs built in": ", ".join(build["isas"]) or "none",
        "numerics": "-" if build["numerics"] is None else build["numerics"],
        "bfloat16": build["bfloat16"] or "-",
        "threads": build["threads"],
        "NumPy": build["numpy"],
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
    return 0
