"""Histories of runs: whatever is in one, it is read, or refused in one line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pyrnn import report
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]
ODD = (None, True, -1, 1e400, float("nan"), "", "text", [], [[]], {}, {"a": 1}, [1, "a"], "../m")


def _history(draw: Draw) -> Arguments:
    count = draw.integer(0, 4)
    columns = ("step", "characters", "loss", "lr", "grad_norm")
    gates = {"i_l0": [0.5, 0.1]} if draw.chance(0.5) else {}
    score = {"step": 1, "characters": 2, "bits": 3.5, "sample": "ab", "gates": gates}
    return {
        "pyrnn_history": 1,
        "model": draw.choice((None, "m.safetensors")),
        "about": {"a": 1},
        "steps": {name: [float(n) for n in range(count)] for name in columns},
        "scores": [score] * draw.integer(0, 2),
        "text": "ab \n" * draw.integer(0, 3),
    }


def _spoil(draw: Draw, value: Any) -> Any:
    """Something else in one place."""
    if isinstance(value, dict) and value and draw.chance(0.8):
        name = draw.choice(tuple(value))
        if draw.chance(0.1):
            return {key: kept for key, kept in value.items() if key != name}
        return value | {name: _spoil(draw, value[name])}
    if isinstance(value, list) and value and draw.chance(0.8):
        place = draw.integer(0, len(value) - 1)
        return [*value[:place], _spoil(draw, value[place]), *value[place + 1 :]]
    return draw.choice(ODD)


@entry("spoiled histories", "report.load", "report.Run", "report.RunFileError", weight=0.3)
def history_case(draw: Draw) -> Case:
    """Histories with something else in some places."""
    draw.mutations = 0  # what is wrong is drawn here
    document: Any = _history(draw)
    for _ in range(draw.choice((0, 1, 1, 2))):
        document = _spoil(draw, document)
    data = json.dumps(document)
    if draw.chance(0.1):
        data = data[: draw.integer(0, len(data))]
    return Case({"data": data}, _loaded, errors=(report.RunFileError,))


def _loaded(a: Arguments) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.history.json"
        path.write_text(a["data"], encoding="utf-8")
        try:
            run = report.load(path)
        except report.RunFileError as error:
            said = str(error)
            if "\n" in said or "m.history.json" not in said:
                raise AssertionError(f"said {said!r}") from error
            return None
    steps = {name: np.nan_to_num(column) for name, column in run.steps.items()}
    return {"steps": steps, "scores": len(run.scores), "text": len(run.text)}
