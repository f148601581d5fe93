"""The states of a model's units over a text, and the properties of the text that they track."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.report.properties import PROPERTIES
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.sampling.writing import features

TRACKS = 0.5
"""A unit tracks a property if the absolute value of their correlation is at least this."""

LEAST_TEXT = 400
"""Correlations over fewer characters say nothing."""


class Unit(NamedTuple):
    """One number of the state: of a layer, counted from 0, its hidden or cell state."""

    part: str
    layer: int
    number: int

    @property
    def name(self) -> str:
        """What the report calls it; layers and units count from 0, as in parameters."""
        part = "cell state" if self.part == "c" else "hidden state"
        return f"unit {self.number} of layer {self.layer}, {part}"


class Finding(NamedTuple):
    """The unit that tracks a property best, and how well."""

    tracked: str
    unit: Unit | None
    correlation: float

    @property
    def tracks(self) -> bool:
        """Whether the correlation is large enough."""
        return self.unit is not None and abs(self.correlation) >= TRACKS


class States(NamedTuple):
    """The states of a model after each character of a text, within -1 and 1; (T, units)."""

    units: list[Unit]
    values: Array


def states(model: CharacterModel, text: str) -> States:
    """Let the model read a text: its hidden states, and of an LSTM the tanh of its cell states."""
    spans = model.vocabulary._spans(text)
    stream = model.rnn.stream()
    found = []
    for index in spans.indices:
        stream.step(features(model, np.array([index])))
        state = stream.state
        parts = state if isinstance(state, tuple) else (state,)
        found.append(np.concatenate([part[:, 0].ravel() for part in parts]))
    # After each character: of a token of several ones, the state that has read it.
    token = np.searchsorted(spans.ends, np.arange(len(text)), "right").clip(0, len(found) - 1)
    values = np.array(found)[token]
    layers, size = model.num_layers, model.hidden_size
    names = "hc" if model.cell == "lstm" else "h"
    units = [Unit(p, layer, n) for p in names for layer in range(layers) for n in range(size)]
    values[:, layers * size :] = np.tanh(values[:, layers * size :])
    return States(units, values)


def find(states: States, text: str) -> list[Finding]:
    """For each property the unit that tracks it best.

    The best of many units would look better than it is. So it is chosen on the first half of the
    text, and its correlation is that over the second half.
    """
    middle = len(text) // 2
    findings = []
    for name, values_of in PROPERTIES.items():
        values = values_of(text)
        first = correlations(states.values[:middle], values[:middle])
        enough = len(text) >= LEAST_TEXT and np.isfinite(first).any()
        if not enough:
            findings.append(Finding(name, None, 0.0))
            continue
        best = int(np.nanargmax(np.abs(first)))
        second = correlations(states.values[middle:, best : best + 1], values[middle:])[0]
        unit = states.units[best] if np.isfinite(second) else None
        findings.append(Finding(name, unit, float(np.nan_to_num(second))))
    return findings


def correlations(values: Array, other: Array) -> Array:
    """Pearson's, of each column with another; NaN where one does not vary."""
    values = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    other = other - other.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = other @ values / np.sqrt((other @ other) * np.square(values).sum(axis=0))
    return found
