"""``pyrnn compare``: compare the compiled core with the reference, number by number."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pyrnn.cli import _formats
from pyrnn.cli._common.arguments import (
    SEEDS,
    SIZES,
    Subparsers,
    add_threads,
    check_native,
    use_threads,
    whole,
)
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.terminal import say
from pyrnn.cli._comparison import CELLS, TOLERANCES, WINDOW, Result, Sizes, compare
from pyrnn.cli._training import memory

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS: dict[str, tuple[str, ...]] = {
    "out": ("y", "h", "c"),
    "dx": ("dx",),
    "dh": ("dh", "dc"),
    "W_ih": ("weight_ih_l0",),
    "W_hh": ("weight_hh_l0",),
    "b_ih": ("bias_ih_l0",),
    "b_hh": ("bias_hh_l0",),
}
"""The columns of differences, each the largest of the named arrays."""

PASSES = {"forward": "fwd", "backward": "bwd", "truncated": "trunc"}
TABLE_WIDTH = 120
"""Width for the table with any numbers; with usual ones it is less than 80 wide."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "compare",
        help="compare the compiled core with the NumPy reference",
        description="Run every cell forward, backward and through truncated BPTT on the compiled "
        "core and on the NumPy reference; show the largest differences and the times.",
    )
    add = parser.add_argument
    add("--hidden", type=whole(1, SIZES), default=128, metavar="N", help="hidden size (128)")
    add("--input", type=whole(1, SIZES), default=64, metavar="N", help="input size (64)")
    add("--seq-len", type=whole(1, SIZES), default=64, metavar="T", help="time steps (64)")
    add(
        "--batch", type=whole(1, SIZES), default=16, metavar="N", help="sequences in the batch (16)"
    )
    add(
        "--seed",
        type=whole(0, SEEDS),
        default=0,
        metavar="N",
        help="seed of weights and inputs (0)",
    )
    add(
        "--weights",
        action="store_true",
        help="instead, compare weights of 16 and 8 bits with float32 in inference: time and error",
    )
    add_threads(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; the status is 1 if a difference exceeds its tolerance."""
    check_native("compare")
    sizes = Sizes(arguments.input, arguments.hidden, arguments.seq_len, arguments.batch)
    memory.check_comparison(sizes)
    try:
        with use_threads(arguments.threads):
            if arguments.weights:
                _print_sizes(sizes)
                print(_formats.table(_formats.measure(sizes, arguments.seed)))
                return 0
            results = _results(sizes, arguments.seed)
    except ValueError as error:  # from the layer, whose only arguments are these sizes
        raise UsageError(f"--hidden, --input, --seq-len, --batch: {error}") from error
    _print(results, sizes)
    failures = [_failure(result) for result in results if not result.ok]
    for failure in failures:
        say(f"pyrnn: {failure}")
    return 1 if failures else 0


def _results(sizes: Sizes, seed: int) -> list[Result]:
    results = []
    with _status() as update:
        for cell in CELLS:
            for dtype in TOLERANCES:
                update(f"{cell} {dtype}")
                results += compare(cell, dtype, sizes, seed)
    return results


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows on a terminal what is computed; elsewhere nothing is written."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def _print(results: Sequence[Result], sizes: Sizes) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.width = max(
        console.width, TABLE_WIDTH
    )  # a truncated number would be worse than a line break
    tolerances = ", ".join(f"{dtype} {limit:.0e}" for dtype, limit in TOLERANCES.items())
    _print_sizes(sizes)
    console.print(_table(results))
    print(f"\nfwd: forward; bwd: backward; trunc: truncated BPTT over {WINDOW} steps.")
    print("out: y, h, c; dh: dh, dc; ms: median of several runs.")
    print("Differences are the largest, relative to the largest magnitude in the")
    print("reference's array; ! marks what is beyond the tolerance.")
    print(f"Tolerances: {tolerances}.")


def _print_sizes(sizes: Sizes) -> None:
    print(f"T {sizes.seq_len}, N {sizes.batch_size}, I {sizes.input_size}, H {sizes.hidden_size}\n")


def _table(results: Sequence[Result]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("cell", "pass"):
        table.add_column(name, no_wrap=True)
    for name in (*COLUMNS, "ref\nms", "native\nms", "speed\n-up"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        # The cell and its dtype share a column over the three rows of their passes.
        first = {"forward": result.cell, "backward": result.dtype}.get(result.direction, "")
        table.add_row(first, *_row(result), end_section=result.direction == "truncated")
    return table


def _row(result: Result) -> list[str]:
    differences = [
        _difference([result.differences[n] for n in names if n in result.differences], result)
        for names in COLUMNS.values()
    ]
    return [
        PASSES[result.direction],
        *differences,
        _three_digits(result.reference_seconds * 1e3),
        _three_digits(result.native_seconds * 1e3),
        f"{_three_digits(result.reference_seconds / result.native_seconds)}×",
    ]


def _difference(values: Sequence[float], result: Result) -> str:
    if not values:
        return ""
    # NaN is the worst; max would not find it.
    worst = max(values, key=lambda value: (math.isnan(value), value))
    if worst <= result.tolerance:
        return f"{worst:.0e}" if worst else "0"
    return f"[bold red]{worst:.0e}![/]"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _failure(result: Result) -> str:
    """Return one line that names the worst array."""
    name, difference = max(
        result.differences.items(), key=lambda item: (math.isnan(item[1]), item[1])
    )
    return (
        f"{result.cell} {result.dtype} {result.direction}: {name} differs by {difference:.1e}, "
        f"expected at most {result.tolerance:.0e}"
    )
