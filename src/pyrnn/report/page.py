"""The report as one page of HTML: template, charts, and the data of the text view."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from importlib import resources
from typing import Any

import numpy as np

from pyrnn._version import version
from pyrnn.report.charts import charts
from pyrnn.report.measured import Measured
from pyrnn.report.svg import svg
from pyrnn.report.units import TRACKS, States

SHOWN_TEXT = 2000
"""The number of characters in the text view."""

SHOWN_UNITS = 512
"""The number of units that can be chosen there."""


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What browsers may do with the page: load nothing, and run its own script alone."""

_PICTURES = {0: "␀", ord("\r"): "␍"}
"""For characters that HTML does not keep."""


def html(run: Measured) -> str:
    """The page."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    view = _view(run)
    page = environment.from_string(_file("page.html")).render(
        run=run,
        facts=_facts(run),
        charts=[(chart, Markup(svg(chart))) for chart in charts(run)],
        findings=_findings(run, view),
        tracks=TRACKS,
        view=view,
        data=Markup(_data(view)),
        samples=[score for score in run.scores if score.get("sample")],
        style=Markup(_file("page.css")),
        script=Markup(script),
        policy=f"{POLICY}; script-src 'sha256-{digest}'",
        version=version(),
    )
    return page.translate(_PICTURES)


def _file(name: str) -> str:
    return resources.files("pyrnn.report").joinpath("template", name).read_text(encoding="utf-8")


def _facts(run: Measured) -> list[tuple[str, str]]:
    """The facts about the run at the top of the page."""
    facts = []
    if run.model is not None:
        model = run.model
        layers = f"{model.num_layers} layers" if model.num_layers > 1 else "1 layer"
        facts.append(("model", f"{model.cell.upper()}, {layers} of {model.hidden_size} units"))
        facts.append(("parameters", f"{model.num_parameters:,}"))
        facts.append(("vocabulary", f"{len(model.vocabulary):,} {model.vocabulary.units}"))
    if len(run.steps["step"]):
        facts.append(("steps", f"{run.steps['step'][-1]:,.0f}"))
        if math.isfinite(run.steps["characters"][-1]):
            facts.append(("characters read", f"{run.steps['characters'][-1]:,.0f}"))
    scored = [score["bits"] for score in run.scores if math.isfinite(score["bits"])]
    if scored:
        facts.append(("held-out", f"{scored[-1]:.3f} bits per character"))
    for name, value in run.about.items():
        shown = f"{value:,g}" if isinstance(value, float) else str(value)
        facts.append((name, shown if len(shown) <= 300 else shown[:299] + "…"))
    return facts


def _view(run: Measured) -> dict[str, Any] | None:
    """The text view: its text, the units to choose from, and their values after each character."""
    states = run.states
    if states is None or not states.units:
        return None
    text = run.text[:SHOWN_TEXT]
    chosen = _chosen(run, states)
    values = states.values[: len(text), chosen]
    found = [finding for finding in run.findings if finding.unit is not None]
    best = max(found, key=lambda finding: abs(finding.correlation), default=None)
    first = 0 if best is None or best.unit is None else chosen.index(states.units.index(best.unit))
    return {
        "first": first,
        "text": text,
        "units": [states.units[n] for n in chosen],
        "all": len(chosen) == len(states.units),
        "values": np.rint(values.T * 127).clip(-127, 127).astype(np.int8),
    }


def _chosen(run: Measured, states: States) -> list[int]:
    """The indices of the units to choose from: all, or those found and those that vary most."""
    if len(states.units) <= SHOWN_UNITS:
        return list(range(len(states.units)))
    found = {states.units.index(f.unit) for f in run.findings if f.unit is not None}
    by_spread = np.argsort(-states.values.std(axis=0), kind="stable").tolist()
    rest = [place for place in by_spread if place not in found]
    return sorted([*found, *rest[: SHOWN_UNITS - len(found)]])


def _findings(run: Measured, view: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The sentences of the page about each property."""
    if view is None:
        return []
    found = []
    for finding in run.findings:
        place = view["units"].index(finding.unit) if finding.unit is not None else None
        found.append({"finding": finding, "place": place})
    return found


def _data(view: dict[str, Any] | None) -> str:
    """The data for the script, as JSON that is safe inside a script element."""
    if view is None:
        return "null"
    values = view["values"]
    data = {
        "first": view["first"],
        "names": [unit.name for unit in view["units"]],
        "length": values.shape[1],
        "values": base64.b64encode(values.tobytes()).decode("ascii"),
    }
    text = json.dumps(data)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
