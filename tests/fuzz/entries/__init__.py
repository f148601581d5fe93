"""The entry points, one file for each family; importing this enrols all of them."""

from tests.fuzz.entries import (
    estimators,
    files,
    formats,
    layers,
    losses,
    models,
    optimisers,
    schedules,
    settings,
    textbook,
    trainer,
    vocabularies,
)

__all__ = [
    "estimators",
    "files",
    "formats",
    "layers",
    "losses",
    "models",
    "optimisers",
    "schedules",
    "settings",
    "textbook",
    "trainer",
    "vocabularies",
]
