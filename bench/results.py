"""What a folder holds of earlier runs: one JSON file for each mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.worker import MODES
from pyrnn.interop.serialization import write_atomically

Result = dict[str, Any]


def load(folder: Path) -> list[Result]:
    """The results in a folder, in the order of the modes."""
    return [result for mode in MODES if (result := read(folder, mode)) is not None]


def read(folder: Path, mode: str) -> Result | None:
    """The result of one mode; None if there is none."""
    path = _path(folder, mode)
    if not path.exists():
        return None
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result


def save(folder: Path, result: Result, earlier: Result | None) -> None:
    """Write a result, with what stays of an earlier one."""
    joined = result | {"rows": join(result, earlier)}
    text = json.dumps(joined, indent=1) + "\n"
    write_atomically(_path(folder, result["mode"]), text.encode())


def join(result: Result, earlier: Result | None) -> list[Result]:
    """The rows of a run, in the places that they had in an earlier one alike, and its others.

    Alike is a run on the same day, machine and versions: a table shows them as one.
    """
    rows: list[Result] = result["rows"]
    if earlier is None or _circumstances(earlier) != _circumstances(result):
        return rows
    joined = {_key(row): row for row in earlier["rows"]} | {_key(row): row for row in rows}
    return sorted(joined.values(), key=lambda row: int(row["threads"]))


def _key(row: Result) -> tuple[str, int]:
    return row["name"], row["threads"]


def _circumstances(result: Result) -> list[Any]:
    machine = {what: value for what, value in result["machine"].items() if what != "load"}
    return [machine, *(result[what] for what in ("date", "quick", "versions"))]


def _path(folder: Path, mode: str) -> Path:
    return folder / f"{mode}.json"
