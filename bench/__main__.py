"""The command: ``python -m bench``, from the root of the repository."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import launch, machine, results
from bench.options import Options
from bench.pages import docs, pictures, tables
from bench.worker import MODES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
OUT = ROOT / "build" / "bench"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, show, save; status 1 if a library did not give the same numbers."""
    arguments = _parse(argv)
    console = _console()
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        same = True
        for mode in arguments.modes:
            same &= _run(mode, arguments, console)
        if arguments.docs:
            docs.fill(PAGE, arguments.out, results.load(arguments.out))
    except (launch.WorkerError, docs.DocsError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0 if same else 1


def _console() -> Console:
    """As wide as the terminal; wide enough for every table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Time pyrnn beside the other libraries that are installed.",
        epilog="Without a mode: the grid of cells and shapes, in training and inference.",
    )
    modes = parser.add_argument_group("modes")
    for mode, text in {
        "grid": "cells and shapes, in training and inference",
        "characters": "whole training steps of a character model",
        "accelerate": "those of torch's model, before and after accelerate(model)",
        "growth": "time and memory of training as T, N and H double",
        "busy": "calls beside processes that keep the cores busy",
    }.items():
        modes.add_argument(f"--{mode}", dest="modes", action="append_const", const=mode, help=text)
    modes.add_argument("--all", action="store_true", help="all of them, one after another")
    modes.add_argument(
        "--docs",
        action="store_true",
        help="fill docs/benchmarks.md from the results in the folder (alone: measure nothing)",
    )
    parser.add_argument(
        "--threads",
        type=_thread_counts,
        metavar="N,...",
        help="numbers of threads, each measured in a process of its own (1 and all cores; with "
        "--quick and --busy, all cores)",
    )
    parser.add_argument("--only", metavar="PATTERN", help="rows whose name matches this regex")
    parser.add_argument("--quick", action="store_true", help="a few rows, roughly: a smoke test")
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="FOLDER", help="for JSON and PNG (build/bench)"
    )
    arguments = parser.parse_args(argv)
    if arguments.all:
        arguments.modes = list(MODES)
    elif not arguments.modes:
        arguments.modes = [] if arguments.docs else ["grid"]
    return arguments


def _thread_counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    most = len(machine.cores())
    if min(counts) < 1 or max(counts) > most:
        raise argparse.ArgumentTypeError(f"expected numbers from 1 to {most}, got {text!r}")
    return counts


def _run(mode: str, arguments: argparse.Namespace, console: Console) -> bool:
    """Measure one mode; returns whether all libraries gave the same numbers."""
    counts = arguments.threads or machine.thread_counts()
    if not arguments.threads and (arguments.quick or mode == "busy"):
        counts = counts[-1:]
    tasks = [Options(mode, count, arguments.quick, arguments.only) for count in counts]
    earlier = results.read(arguments.out, mode)
    result = launch.gather(tasks, console, lambda rows: results.save(arguments.out, rows, earlier))
    for sheet in tables.sheets(result):
        if sheet.lines:
            console.print(sheet.rich())
    for name, figure in pictures.pictures(result).items():
        pictures.save(figure, arguments.out / f"{name}.png")
    return _report(result, console)


def _report(result: launch.Result, console: Console) -> bool:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    console.print(f"{result['machine']['processor']}: {versions}", highlight=False)
    if result["missing"]:
        console.print(f"Not installed, so left out: {', '.join(result['missing'])}")
    wrong = [
        f"{row['name']}, {row['threads']} threads: {name} differs by {apart:.1e}"
        for row in result["rows"]
        for name, apart in row.get("differ", {}).items()
    ]
    for line in wrong:
        console.print(line, style="red", highlight=False)
    return not wrong


if __name__ == "__main__":
    # As after Ctrl-C, the worker is ended before this process is.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    raise SystemExit(main())
