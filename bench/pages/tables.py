"""Tables of results: on the terminal, and in Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rich.table import Table
from rich.text import Text

from bench.contest.shapes import COMPUTE
from bench.pages import summary

Row = dict[str, Any]
Line = list[str]

LOWEST = 10
"""So many rows are named as those with the lowest ratios."""


class Sheet:
    """A title, headings, and lines of text; ratios below 1 are shown in red."""

    def __init__(self, title: str, headings: Sequence[str], lines: Sequence[Line]) -> None:
        self.title = title
        self.headings = list(headings)
        self.lines = list(lines)

    def rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left", header_style="bold")
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for line in self.lines:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in line))
        return table

    def markdown(self) -> str:
        """For the documentation."""
        rule = ["---", *["---:"] * (len(self.headings) - 1)]
        rows = [self.headings, rule, *self.lines]
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"### {self.title}\n\n{text}\n"


def sheets(result: Mapping[str, Any]) -> list[Sheet]:
    """All tables of one mode's results."""
    make = {
        "grid": _grid,
        "characters": _characters,
        "accelerate": partial(_characters, title="Torch's models, accelerated"),
        "growth": _growth,
        "busy": _busy,
    }[result["mode"]]
    return make(result["rows"]) if result["rows"] else []


def duration(seconds: float) -> str:
    """Three digits with a unit: ``1.68 ms``."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:#.3g} {unit}".replace(". ", " ")
    return f"{seconds * 1e9:#.3g} ns".replace(". ", " ")


def times(ratio: float | None) -> str:
    """``2.3 x``; nothing for None."""
    return "" if ratio is None else f"{ratio:.2f} x"


def threads(count: int) -> str:
    """``2 threads``."""
    return f"{count} thread{'' if count == 1 else 's'}"


def _grid(rows: list[Row]) -> list[Sheet]:
    found = []
    for each in summary.summaries(rows):
        group = [r for r in rows if (r["section"], r["threads"]) == (each.section, each.threads)]
        found.append(_section(f"{each.section}, {threads(each.threads)}", group))
    return [_overview(rows), _lowest(rows), *found]


def _overview(rows: list[Row]) -> Sheet:
    lines = []
    for each in summary.summaries(rows):
        lowest = f"{each.lowest['cell']} {each.lowest['shape']}"
        lines.append(
            [
                f"{each.section}, {threads(each.threads)}",
                times(each.geometric_mean),
                times(summary.best_ratio(each.lowest)),
                lowest,
                f"{each.below_one} of {each.number}",
            ]
        )
    for name, ratio in summary.small_steps(rows).items():
        lines.append([f"steps up to H{summary.SMALL_STEP}, to {name}", "", times(ratio), "", ""])
    headings = ["fastest peer's time / pyrnn's", "geometric mean", "lowest", "at", "below 1"]
    return Sheet("Overview", headings, lines)


def _lowest(rows: list[Row]) -> Sheet:
    lines = []
    for row in summary.lowest(rows, LOWEST):
        name = summary.fastest_peer(row)
        own, other = row["seconds"][summary.OWN], row["seconds"][name]
        lines.append(
            [
                f"{row['name']}, {threads(row['threads'])}",
                duration(own),
                duration(other),
                " ".join((name, row["settings"].get(name, ""))).strip(),
                times(summary.best_ratio(row)),
            ]
        )
    return Sheet("Lowest ratios", ["row", "pyrnn", "fastest peer", "who", "ratio"], lines)


def _section(title: str, rows: list[Row]) -> Sheet:
    names = summary.columns(rows)
    peaked = any(row["peak"] for row in rows)
    lines = []
    for row in rows:
        ratios = summary.ratios(row)
        line = [f"{row['cell']} {row['shape']}", duration(row["seconds"][summary.OWN])]
        if row["section"] == COMPUTE:
            line[0] = f"{row['task']} {line[0]}"
        line += [times(ratios.get(name)) for name in names]
        line.append(times(summary.best_ratio(row)))
        if peaked:
            line.append(f"{100 * summary.share_of_peak(row):.0f} % of {row['peak']:.0f} GFLOP/s")
        lines.append(line)
    headings = ["shape", "pyrnn", *names, "fastest peer"]
    return Sheet(title, [*headings, "of the peak"] if peaked else headings, lines)


def _characters(rows: list[Row], title: str = "Character models") -> list[Sheet]:
    lines = []
    for row in rows:
        own = row["seconds"][summary.OWN]
        for name, seconds in row["seconds"].items():
            lines.append(
                [
                    f"{row['name']}, {threads(row['threads'])}",
                    name,
                    f"{row['characters'] / seconds:,.0f}",
                    "" if name == summary.OWN else times(seconds / own),
                ]
            )
    headings = ["model", "by", "characters a second", "time / pyrnn's"]
    return [Sheet(title, headings, lines)]


def _growth(rows: list[Row]) -> list[Sheet]:
    time_lines, memory_lines = [], []
    for row in rows:
        label = f"{row['cell']}, {threads(row['threads'])}"
        if row["axis"] != "memory":
            factors = summary.excess(row)
            doublings = ", ".join(f"{factor:.2f}" for factor in factors)
            time_lines.append([label, row["axis"], f"{max(factors):.2f}", doublings])
        elif None not in row["bytes"]:
            pairs = zip(row["sizes"], row["bytes"], row["needed"], strict=True)
            memory_lines += [
                [label, f"T{size}", f"{got / 2**20:.1f} MiB", f"{got / least:.3f}"]
                for size, got, least in pairs
            ]
    return [
        Sheet(
            "Growth of time / of arithmetic",
            ["training", "doubling", "largest", "each"],
            time_lines,
        ),
        Sheet(
            "Peak memory of training",
            ["training", "length", "peak", "peak / needed"],
            memory_lines,
        ),
    ]


def _busy(rows: list[Row]) -> list[Sheet]:
    lines = []
    for row in rows:
        for name, measured in row["columns"].items():
            alone = measured["median"][0]
            columns = (measured[key] for key in ("calls", "median", "slowest"))
            for count, calls, median, slowest in zip(row["neighbours"], *columns, strict=True):
                lines.append(
                    [
                        f"{row['name'].removeprefix('busy ')}, {threads(row['threads'])}",
                        name,
                        str(count),
                        str(calls),
                        duration(median),
                        f"{median / alone:.2f}",
                        f"{slowest / alone:.2f}",
                    ]
                )
    headings = [
        "case",
        "by",
        "busy neighbours",
        "calls",
        "median",
        "median / alone",
        "slowest / alone",
    ]
    return [Sheet("Beside busy processes", headings, lines)]


def _style(cell: str) -> str:
    return "red" if cell.endswith(" x") and float(cell[:-2]) < 1 else ""
