"""What a user got wrong: `main` prints it as one line and ends with status 2."""

from __future__ import annotations


class UsageError(Exception):
    """A mistake in the command line, or in what it names."""
