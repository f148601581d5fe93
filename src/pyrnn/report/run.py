"""A training run as its report shows it: what was recorded, and what its model does."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyrnn._files import AnyPath, checked_path, open_regular, shown, write_atomically
from pyrnn._imports import extras
from pyrnn._pickling import public
from pyrnn.interop import serialization
from pyrnn.report.measured import Measured
from pyrnn.report.recording import COLUMNS, FORMAT_VERSION, TEXT_MOST
from pyrnn.text.character_model import CharacterModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BYTES = 1 << 26
"""The largest history file that is read; one of a run of any length has some hundred kilobytes."""


@public("pyrnn.report")
class RunFileError(ValueError):
    """A run that cannot be reported. The message is one line.

    Examples
    --------
    >>> from pyrnn import report
    >>> try:
    ...     report.load("no such file.safetensors")
    ... except report.RunFileError as error:
    ...     print(error)
    no such file.safetensors: expected a model or the history of a run, found neither
    """


@public("pyrnn.report")
class Run(Measured):
    """A training run: its numbers, its model and a text to look at it with.

    `load` makes one from the files that `pyrnn train` and `pyrnn.callbacks.RunLogger` write.

    Parameters
    ----------
    name : str
        The name of its model or history.
    about : dict, optional
        What was recorded of its settings.
    steps : dict of array, optional
        "step", "characters", "loss" (nats), "lr", "grad_norm" (before clipping), point by point:
        early steps one by one, later ones as means.
    scores : list of dict, optional
        For each score on held-out text "step", "characters" and "bits", with the "sample" that the
        model wrote then, and the shares of saturated "gates".
    model : CharacterModel, optional
        The model as it was saved.
    text : str, optional
        The text that gates, gradients and units are measured on.

    Examples
    --------
    >>> import pyrnn
    >>> from pyrnn.report import Run
    >>> model = pyrnn.CharacterModel("ab ", hidden_size=4, seed=0)
    >>> run = Run("a run", model=model, text="ab ba " * 20)
    >>> sorted(run.gates), len(run.gradient_over_lag) > 5
    (['f_l0', 'i_l0', 'o_l0'], True)
    """

    def plot(self) -> Figure:
        """Draw the charts of the report in one figure.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; ``figure.savefig("run.png")`` saves it.

        Raises
        ------
        MissingExtraError
            If matplotlib is missing: ``pip install 'pyrnn[report]'``.

        Examples
        --------
        >>> from pyrnn.report import Run
        >>> steps = {"step": [1, 2], "characters": [32, 64], "loss": [3.0, 2.5]}
        >>> Run("a run", steps=steps).plot().savefig("run.png")  # doctest: +SKIP
        """
        extras.require("report", "matplotlib")
        from pyrnn.report.charts import figure

        return figure(self)

    def html(self) -> str:
        """Return the report as one page, which loads nothing else.

        Returns
        -------
        str
            HTML, with the charts as SVG, for light and dark.

        Raises
        ------
        MissingExtraError
            If jinja2 or matplotlib are missing: ``pip install 'pyrnn[report]'``.

        Examples
        --------
        >>> from pyrnn.report import Run
        >>> page = Run("a run").html()  # doctest: +SKIP
        """
        extras.require("report", "jinja2", "matplotlib")
        from pyrnn.report.page import html

        return html(self)

    def save(self, path: AnyPath) -> None:
        """Write the report, beside its place and then renamed.

        Parameters
        ----------
        path : str, bytes or os.PathLike
            The file, usually ending in ``.html``.

        Raises
        ------
        OSError
            If it cannot be written.
        MissingExtraError
            If jinja2 or matplotlib are missing: ``pip install 'pyrnn[report]'``.

        Examples
        --------
        >>> from pyrnn.report import Run
        >>> Run("a run").save("report.html")  # doctest: +SKIP
        """
        page = self.html().encode("utf-8", "xmlcharrefreplace")
        write_atomically(checked_path(path), page)


@public("pyrnn.report")
def load(path: AnyPath, text: str | None = None) -> Run:
    """Load a run for its report.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        The model that `pyrnn train` saved, its checkpoint or its history (``m.safetensors``,
        ``m.checkpoint.safetensors``, ``m.history.json``), or what `pyrnn.callbacks.RunLogger`
        wrote.
        Model and history belong side by side; one of them is enough for a part of the report.
    text : str, optional
        The text to measure on, instead of the one in the history.

    Returns
    -------
    Run
        The run.

    Raises
    ------
    RunFileError
        If there is neither, or the history is damaged.
    ModelFileError
        If the model cannot be loaded.
    TypeError
        If an argument has a wrong type.

    Examples
    --------
    >>> from pyrnn import report
    >>> run = report.load("m.safetensors")  # doctest: +SKIP
    >>> run.save("m.report.html")  # doctest: +SKIP
    """
    try:
        name = checked_path(path)
    except ValueError as error:
        raise RunFileError(str(error)) from error
    history = history_beside(name)
    found: dict[str, Any] = {"about": {}, "steps": {}, "scores": [], "text": "", "model": None}
    if os.path.exists(history):
        found = _read(history)
    model_file = name if history != name and not is_checkpoint(name) else None
    if model_file is None:
        own = found["model"] or os.path.basename(stem_of(name)) + ".safetensors"
        model_file = os.path.join(os.path.dirname(name), own)
    model = None
    if os.path.exists(model_file):
        loaded = serialization.load(model_file)
        model = loaded if isinstance(loaded, CharacterModel) else None
    elif not os.path.exists(history):
        raise RunFileError(
            f"{shown(name)}: expected a model or the history of a run, found neither"
        )
    return Run(
        os.path.basename(stem_of(name)),
        about=found["about"],
        steps=found["steps"],
        scores=found["scores"],
        model=model,
        text=(found["text"] if text is None else text)[:TEXT_MOST],
    )


def stem_of(name: str) -> str:
    """What the names of a run's files have in common."""
    for end in (".history.json", ".checkpoint.safetensors", ".safetensors"):
        if name.endswith(end) and len(os.path.basename(name)) > len(end):
            return name[: -len(end)]
    return name


def is_checkpoint(name: str) -> bool:
    """Whether the name is that of a checkpoint of a run."""
    return name.endswith(".checkpoint.safetensors")


def history_beside(name: str) -> str:
    """The history of a run: ``m.history.json`` for ``m.safetensors``."""
    return name if name.endswith(".json") else stem_of(name) + ".history.json"


def _read(name: str) -> dict[str, Any]:
    """Read a history. The file is not trusted, so everything in it is checked."""
    try:
        with open_regular(name) as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise RunFileError(f"{shown(name)}: expected a history of a run, got a larger file")
            document = json.loads(file.read().decode("utf-8"))
        if document["pyrnn_history"] != FORMAT_VERSION:
            raise ValueError(f"version {document['pyrnn_history']!r}")
        return _checked(document)
    except OSError as error:
        raise RunFileError(f"{shown(name)}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, RunFileError):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise RunFileError(
            f"{shown(name)}: expected the history of a run, got another file ({reason[:80]})"
        ) from error


def _checked(document: Mapping[str, Any]) -> dict[str, Any]:
    steps = {name: [_number(v) for v in document["steps"][name]] for name in COLUMNS}
    if len({len(column) for column in steps.values()}) != 1:
        raise ValueError("steps of different lengths")
    model = document["model"]
    if model is not None and (not isinstance(model, str) or os.path.basename(model) != model):
        raise ValueError("a model elsewhere")
    scores = []
    for score in document["scores"]:
        gates = score.get("gates", {})
        scores.append(
            {
                "step": _number(score["step"]),
                "characters": _number(score["characters"]),
                "bits": _number(score["bits"]),
                "sample": str(score.get("sample", "")),
                "gates": {
                    str(n): [_number(low), _number(high)] for n, (low, high) in gates.items()
                },
            }
        )
    about = {
        str(name): value if isinstance(value, (int, float)) else str(value)
        for name, value in dict(document["about"]).items()
    }
    return {
        "about": about,
        "steps": steps,
        "scores": scores,
        "text": str(document["text"]),
        "model": model,
    }


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)
