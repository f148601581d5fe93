"""``pyrnn report``: a training run as one page of HTML."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyrnn import _files
from pyrnn import report as runs
from pyrnn._imports import extras
from pyrnn.cli._common import plotting
from pyrnn.cli._common.arguments import Subparsers, file_name
from pyrnn.cli._common.outputs import check_free, check_other
from pyrnn.report.recording import TEXT_MOST
from pyrnn.report.run import stem_of
from pyrnn.text import corpus


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("report", help="write a report of a training run, as HTML")
    parser.add_argument(
        "run_file",
        type=file_name,
        metavar="RUN",
        help="the model that 'pyrnn train' saved, or its .history.json",
    )
    parser.add_argument(
        "--text",
        type=file_name,
        metavar="FILE",
        help="text on which units are measured (default: held-out text of the run)",
    )
    parser.add_argument(
        "--out", type=file_name, metavar="FILE", help="the page (default: RUN.report.html)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file that --out names")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    extras.require("report", "jinja2", "matplotlib")
    out = Path(arguments.out or f"{stem_of(arguments.run_file)}.report.html")
    check_other("--out", out, (arguments.run_file, arguments.text))
    if arguments.out:
        check_free("--out", out, arguments.force)
    _files.check_writable(out)
    write(arguments.run_file, out, arguments.text)
    print(f"report    {_files.shown(out)}")
    return 0


def write(run_file: str | Path, out: Path, text_file: str | None = None) -> None:
    """Write the report of a run; it looks the same whatever a user has configured."""
    text = None
    if text_file is not None:
        text = ""
        for piece in corpus.pieces(text_file):
            text += piece
            if len(text) >= TEXT_MOST:
                break
    run = runs.load(run_file, text)
    with plotting.without_configuration():
        run.save(out)
