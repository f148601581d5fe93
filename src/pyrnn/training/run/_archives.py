"""Sequences and targets from NumPy's ``.npz`` archives."""

from __future__ import annotations

import os
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._files import shown

TARGETS = ("targets", "y")
"""The names of the targets; that of the sequences is x, that of their lengths is lengths."""


def is_archive(given: Any) -> bool:
    """Whether data is an archive, or the name of one."""
    if isinstance(given, (str, os.PathLike)):
        return str(os.fspath(given)).endswith(".npz")
    return isinstance(given, np.lib.npyio.NpzFile)


def pair_of(name: str, given: Any, *, each_step: bool) -> tuple[Any, Any]:
    """The sequences and the targets of an archive, cut to their lengths if it has those."""
    if not isinstance(given, np.lib.npyio.NpzFile):
        with _opened(name, given) as archive:
            return pair_of(name, archive, each_step=each_step)
    found = [key for key in TARGETS if key in given.files]
    if "x" not in given.files or len(found) != 1:
        raise ValueError(
            f"{name}: expected an archive with arrays x and {' or '.join(TARGETS)}, got "
            f"{', '.join(given.files) or 'none'}"
        )
    x, targets = given["x"], given[found[0]]
    if "lengths" not in given.files:
        return x, targets
    lengths = _checked(name, given["lengths"], x)
    cut = each_step and targets.ndim >= 2
    return _cut(x, lengths), _cut(targets, lengths) if cut else targets


def _opened(name: str, path: Any) -> Any:
    """Open an archive."""
    try:
        archive = np.load(path, allow_pickle=False)
    except (OSError, zipfile.BadZipFile, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no archive"
        raise ValueError(f"{name}: {shown(path)}: cannot be read ({reason})") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(f"{name}: {shown(path)}: cannot be read (it is no archive)")
    return archive


def _checked(name: str, lengths: Any, x: npt.NDArray[Any]) -> list[int]:
    """Check the lengths of padded sequences (N, T, ...)."""
    whole = lengths.dtype.kind in "iu" and x.ndim >= 2 and lengths.shape == x.shape[:1]
    if not whole or (lengths.size and not 1 <= lengths.min() <= lengths.max() <= x.shape[1]):
        raise ValueError(
            f"{name}: expected lengths (N,) from 1 to T for x (N, T, ...), got "
            f"{_checks.shown(lengths)} for shape {x.shape}"
        )
    found: list[int] = lengths.tolist()
    return found


def _cut(array: npt.NDArray[Any], lengths: list[int]) -> list[npt.NDArray[Any]]:
    return [row[:length] for row, length in zip(array, lengths, strict=True)]
