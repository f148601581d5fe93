"""The entry points, one file for each family; importing this enrols all of them."""

from tests.fuzz.entries import (
    cells,
    composition,
    dense,
    files,
    layers,
    losses,
    model_files,
    models,
    optimisers,
    schedules,
    sequences,
    settings,
    streams,
    text_files,
    textbook,
    textbook_models,
)

__all__ = [
    "cells",
    "composition",
    "dense",
    "files",
    "layers",
    "losses",
    "model_files",
    "models",
    "optimisers",
    "schedules",
    "sequences",
    "settings",
    "streams",
    "text_files",
    "textbook",
    "textbook_models",
]
