"""What a folder holds of earlier runs: one JSON file for each mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.worker import MODES

Result = dict[str, Any]


def load(folder: Path) -> list[Result]:
    """The results in a folder, in the order of the modes."""
    return [result for mode in MODES if (result := read(_path(folder, mode))) is not None]


def read(path: Path) -> Result | None:
    """One result; None if it was never written."""
    if not path.exists():
        return None
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result


def save(folder: Path, result: Result, earlier: Result | None) -> None:
    """Write a result, and what stays of an earlier one, beside its file and then in its place."""
    path = _path(folder, result["mode"])
    beside = path.with_suffix(".json.new")
    joined = result | {"rows": join(result, earlier)}
    beside.write_text(json.dumps(joined, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def join(result: Result, earlier: Result | None) -> list[Result]:
    """The rows of a run, and those of an earlier one alike with other numbers of threads."""
    rows: list[Result] = result["rows"]
    if earlier is None or any(earlier[what] != result[what] for what in ("quick", "versions")):
        return rows
    counts = {row["threads"] for row in rows}
    others = [row for row in earlier["rows"] if row["threads"] not in counts]
    return sorted(others + rows, key=lambda row: int(row["threads"]))


def _path(folder: Path, mode: str) -> Path:
    return folder / f"{mode}.json"
