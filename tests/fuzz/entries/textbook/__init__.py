"""The articles' functions and models."""

from tests.fuzz.entries.textbook import functions, models

__all__ = ["functions", "models"]
