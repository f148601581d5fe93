"""Warnings that point to the user's line, and NumPy's floating-point warnings turned off."""

from __future__ import annotations

import sys
import warnings

import numpy as np


def warn_user(message: str) -> None:
    """Warn of what the user's call means, once for each line that calls."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=depth)


def warn_once(message: str) -> None:
    """Warn of what is the same for all calls of a process, at the first one."""
    if message not in _said:
        _said.add(message)
        warn_user(message)


_said: set[str] = set()


def unwarned() -> np.errstate:
    """For NumPy's work on a user's numbers: an infinity or NaN among them is the user's business.

    The core gives no warnings either, and does not heed `numpy.seterr`.
    """
    return np.errstate(all="ignore")


def _is_own(module: str) -> bool:
    return module.split(".")[0] == __package__
