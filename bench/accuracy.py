"""How exact results are: errors of every cell against its equations in extended precision.

``python -m bench.accuracy`` prints the tables of docs/numerics.md, ``--docs`` puts them there.
Beside each error stands what storage alone costs: the error of the same equations, computed in
extended precision, if every number that is stored is off by up to half a unit in its last place.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.pages.docs import BEGIN, END
from pyrnn.backend import selection
from pyrnn.reference.cells import CELLS

PAGE = Path(__file__).parents[1] / "docs" / "numerics.md"
BASE = {"float32": 1e-5, "float64": 1e-12}
"""The error that is allowed in any case, relative to an array's largest magnitude."""
FACTOR = 16
"""The error that is allowed besides, as a multiple of what storage alone costs."""
DRAWS = 5
"""What storage costs is the worst of so many draws."""
LONG = 1000
"""Beyond so many steps no more is measured than has to be: it would take half an hour."""
INPUTS, UNITS, ROWS = 5, 16, 2

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


class Regime(NamedTuple):
    """What makes a case easy or hard: steps, and factors of inputs and weights."""

    steps: int
    x: float = 1.0
    weights: float = 1.0

    @property
    def text(self) -> str:
        """In the tables' headings."""
        factors = {"inputs": self.x, "weights": self.weights}
        scaled = [f"{name} × {factor:g}" for name, factor in factors.items() if factor != 1]
        return ", ".join([f"T = {self.steps:,}", *scaled])


REGIMES = {
    "ordinary": Regime(100),
    "saturated gates": Regime(100, x=1e3),
    "tiny weights": Regime(100, weights=1e-6),
    "huge weights": Regime(5, weights=1e3),
    "long": Regime(10_000),
}


class Errors(NamedTuple):
    """The worst of outputs and of gradients, each relative to its array's largest magnitude."""

    forward: float
    backward: float


class Row(NamedTuple):
    """One cell in one regime and dtype: the backends, and what storage alone costs.

    Of long sequences the core alone is measured, and storage where it needs the allowance.
    """

    cell: str
    dtype: str
    backends: Mapping[str, Errors]
    storage: Errors | None

    @property
    def ok(self) -> bool:
        """Whether all backends keep what docs/numerics.md promises."""
        return all(
            error <= BASE[self.dtype] + FACTOR * lost
            for errors in self.backends.values()
            for error, lost in zip(errors, self.storage or (0.0, 0.0), strict=True)
        )


def measure(cell: str, dtype: str, regime: Regime, seed: int = 0) -> Row:
    """Run one cell on the backends and in extended precision."""
    case, exact = _drawn(cell, regime, seed)
    long = regime.steps > LONG
    names = ("native",) if long else ("native", "reference")
    backends = {name: _errors(_run(name, cell, case, dtype), exact) for name in names}
    row = Row(cell, dtype, backends, None)
    if long and row.ok:
        return row
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(1 if long else DRAWS):
        nudged = {name: nudge(array, dtype, generator) for name, array in case.items()}
        with stored_as(dtype):
            draws.append(_errors(_run("reference", cell, nudged, np.longdouble), exact))
    storage = Errors(*(max(parts) for parts in zip(*draws, strict=True)))
    return row._replace(storage=storage)


@functools.lru_cache(maxsize=1)
def _drawn(cell: str, regime: Regime, seed: int) -> tuple[Arrays, tuple[Arrays, Arrays]]:
    """A case, the same for all dtypes, and its exact results."""
    case = _draw(cell, regime, seed)
    return case, _run("reference", cell, case, np.longdouble)


def nudge(array: Array, dtype: str, generator: np.random.Generator) -> Array:
    """Each number off by up to half a unit in the dtype's last place, in extended precision."""
    unit = np.longdouble(np.finfo(dtype).eps) / 2
    return array * (1 + unit * generator.uniform(-1, 1, array.shape))


@contextmanager
def stored_as(dtype: str) -> Iterator[None]:
    """Let the reference round what a step keeps and hands on, and nothing else."""
    kept = dict(CELLS)

    def rounding(step: Any) -> Any:
        return lambda *arguments: _rounded(step(*arguments), dtype)

    for name, cell in kept.items():
        CELLS[name] = cell._replace(
            forward=rounding(cell.forward), backward=rounding(cell.backward)
        )
    try:
        yield
    finally:
        CELLS.update(kept)


def _rounded(value: Any, dtype: str) -> Any:
    """The same with every real number rounded, in the precision that it has."""
    if isinstance(value, dict):
        return {name: _rounded(part, dtype) for name, part in value.items()}
    if isinstance(value, tuple):
        parts = [_rounded(part, dtype) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return value.astype(dtype).astype(value.dtype)


def _draw(cell: str, regime: Regime, seed: int) -> Arrays:
    """Parameters as layers draw them, inputs, gradients of the outputs; numbers of float32."""
    generator = np.random.default_rng(seed)
    bound = regime.weights / np.sqrt(UNITS)
    case: dict[str, Array] = {}
    for name, shape in CELLS[cell].shapes(INPUTS, UNITS).items():
        gain = 1.0 if name.startswith("gain") else 0.0
        case[name] = gain + generator.uniform(-bound, bound, shape)
    case["x"] = regime.x * generator.standard_normal((regime.steps, ROWS, INPUTS))
    case["dy"] = generator.standard_normal((regime.steps, ROWS, UNITS))
    return {name: array.astype("float32") for name, array in case.items()}


def _run(backend: str, cell: str, case: Arrays, dtype: npt.DTypeLike) -> tuple[Arrays, Arrays]:
    """Outputs and gradients, by name."""
    run = selection.find(backend)
    arrays = {name: np.asarray(array, dtype) for name, array in case.items()}
    x, dy = arrays.pop("x"), arrays.pop("dy")
    y, state, saved = run.forward(run.pack(cell, arrays), x, None, keep=True)
    dx, dstate, grads = run.backward(saved, dy, None)
    outputs = {"y": y, **{f"state {n}": part for n, part in enumerate(state)}}
    return outputs, {"dx": dx, **{f"dstate {n}": d for n, d in enumerate(dstate)}, **grads}


def _errors(got: tuple[Arrays, Arrays], exact: tuple[Arrays, Arrays]) -> Errors:
    return Errors(*(error(*both) for both in zip(got, exact, strict=True)))


def error(got: Arrays, exact: Arrays) -> float:
    """The worst of some arrays, each relative to its largest magnitude.

    An array that is nearly nothing beside the others is compared with them: its error is theirs.
    """
    sizes = {name: float(np.abs(array).max(initial=0)) for name, array in exact.items()}
    least = 1e-5 * max(sizes.values())
    worst = 0.0
    for name, array in exact.items():
        scale = max(sizes[name], least)
        if scale:
            worst = max(worst, float(np.abs(got[name] - array).max(initial=0)) / scale)
    return worst


def table(rows: list[Row]) -> str:
    """A Markdown table of one regime: the core's errors, in brackets what storage alone costs."""
    columns = [(dtype, part) for dtype in BASE for part in Errors._fields]
    lines = [
        "| cell | " + " | ".join(f"{dtype} {part}" for dtype, part in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for cell in dict.fromkeys(row.cell for row in rows):
        of_cell = {row.dtype: row for row in rows if row.cell == cell}
        values = []
        for dtype, part in columns:
            row = of_cell[dtype]
            value = f"{getattr(row.backends['native'], part):.0e}"
            if row.storage is not None:
                value += f" ({getattr(row.storage, part):.0e})"
            values.append(value)
        lines.append(f"| `{cell}` | " + " | ".join(values) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, fill the page; status 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/numerics.md")
    parser.add_argument("--only", metavar="REGIME", choices=REGIMES, help="one regime")
    arguments = parser.parse_args()
    kept, sections = True, []
    for name, regime in REGIMES.items():
        if arguments.only not in (None, name):
            continue
        rows = [measure(cell, dtype, regime) for cell in CELLS for dtype in BASE]
        kept &= all(row.ok for row in rows)
        sections.append(f"### {name.capitalize()}: {regime.text}\n\n{table(rows)}\n")
        print(sections[-1], flush=True)
        for row in rows:
            if not row.ok:
                print(f"not kept: {row}", file=sys.stderr)
    if arguments.docs:
        head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        tail = rest.split(END)[1]
        PAGE.write_text(f"{head}{BEGIN}\n\n{chr(10).join(sections)}\n{END}{tail}", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
