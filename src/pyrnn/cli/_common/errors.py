"""Mistakes of the user: `main` prints one line and ends with status 2."""

from __future__ import annotations


class UsageError(Exception):
    """A mistake in the command line, or in a file that it names."""
