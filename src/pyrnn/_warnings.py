"""Warnings that point at the user's line that calls the package."""

from __future__ import annotations

import sys
import warnings


def warn_user(message: str) -> None:
    """Warn of what the user's call means, once for each line that calls."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=depth)


def _is_own(module: str) -> bool:
    return module.split(".")[0] == __package__
