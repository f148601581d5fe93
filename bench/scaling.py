"""What pyrnn's plan expects of more cores, as in docs/scaling.md: ``python -m bench.scaling``.

Nothing is measured: the core is asked how it would share out each call, and how many cycles its
model counts. The table in the document is that of AVX-512.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyrnn import _core

CORES = (2, 8, 16, 64)
SHAPES = (
    ("LSTM", 128, 1, 100),
    ("GRU", 256, 1, 100),
    ("LSTM", 512, 1, 100),
    ("LSTM", 1024, 1, 100),
    ("LSTM", 128, 32, 64),
    ("LSTM", 256, 32, 100),
    ("LSTM", 512, 32, 64),
    ("GRU", 512, 64, 64),
    ("LSTM", 1024, 128, 64),
)
"""Cell, units, sequences, time steps."""


def lines() -> Iterator[str]:
    """The table, in Markdown."""
    yield "| | " + " | ".join(f"{cores} cores" for cores in CORES) + " |"
    yield "|---" * (len(CORES) + 1) + "|"
    for cell, hidden, batch, steps in SHAPES:
        cells = [_cell(cell.lower(), hidden, batch, steps, cores) for cores in CORES]
        yield f"| {cell} H{hidden} N{batch} T{steps} | " + " | ".join(cells) + " |"


def _cell(cell: str, hidden: int, batch: int, steps: int, cores: int) -> str:
    """How many times as fast as one thread, and the plan."""
    _, _, alone = _core.plan(cell, hidden, hidden, batch, steps, 1)
    split, threads, cycles = _core.plan(cell, hidden, hidden, batch, steps, cores)
    gain = alone / cycles
    return f"{gain:.0f} ({threads}, {split})" if gain > 9.95 else f"{gain:.1f} ({threads}, {split})"


if __name__ == "__main__":
    print("\n".join(lines()))
