"""The log of a training, ``--log``: a line of JSON for each score. No line is worth a training."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyrnn._files import check_writable, open_regular, open_to_append, shown
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.outputs import is_same
from pyrnn.cli._common.terminal import say

LINE_MOST = 1 << 16


def check(path: str, used: Iterable[str | Path]) -> None:
    """Refuse a file that cannot be written, is in use, or has something else than such lines."""
    if any(is_same(path, file) or _is_named(path, file) for file in used):
        raise UsageError(
            f"--log: expected another file than what is read or written, got {shown(path)!r}"
        )
    try:
        if not os.path.exists(path):
            check_writable(path)
            return
        with open_to_append(path):
            pass
        ours = not os.path.isfile(path) or _has_lines_of_json(path)
    except OSError as error:
        raise UsageError(
            f"--log: cannot write {shown(path)!r} ({error.strerror or error})"
        ) from error
    if not ours:
        raise UsageError(f"--log: expected a new file, or one of JSON lines, got {shown(path)!r}")


def append(path: str, line: Mapping[str, float]) -> None:
    """Add a line; a failure is one line on stderr only, because nothing depends on it."""
    try:
        with open_to_append(path) as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        say(f"pyrnn: no line in the log: {error.strerror or error}")


def _is_named(path: str, file: str | Path) -> bool:
    """Whether two names will be those of one file that does not exist yet."""
    return os.path.realpath(path) == os.path.realpath(file)


def _has_lines_of_json(path: str) -> bool:
    with open_regular(path) as file:
        first = file.readline(LINE_MOST)
    try:
        return not first.strip() or isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False
