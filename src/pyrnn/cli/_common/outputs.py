"""Files that commands write: other ones than those that they read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import combinations

from pyrnn._files import AnyPath, shown
from pyrnn.cli._common.errors import UsageError


def is_same(first: AnyPath, second: AnyPath) -> bool:
    """Whether two names are those of one file that exists."""
    return os.path.exists(first) and os.path.exists(second) and os.path.samefile(first, second)


def check_other(option: str, path: AnyPath, used: Iterable[AnyPath | None]) -> None:
    """Refuse to write over a file that is in use; ``None`` stands for none."""
    if any(file is not None and is_same(file, path) for file in used):
        raise UsageError(f"{option}: expected another file than what is read, got {shown(path)!r}")


def check_free(option: str, path: AnyPath, force: bool) -> None:
    """Refuse to overwrite a file without ``--force``. What is no file is refused elsewhere."""
    if os.path.isfile(path) and not force:
        raise UsageError(f"{option}: {shown(path)!r} is there already; --force overwrites it")


def check_apart(option: str, paths: Iterable[AnyPath]) -> None:
    """Refuse files to write of which one is another one by a link: the last would be left."""
    for first, second in combinations(paths, 2):
        if is_same(first, second) or os.path.realpath(first) == os.path.realpath(second):
            raise UsageError(
                f"{option}: expected different files to write, got {shown(first)!r}, which is "
                f"{shown(second)!r}"
            )
