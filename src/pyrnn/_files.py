"""Files: written so that a failure leaves the old file intact, and opened safely."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import BinaryIO, TextIO

from pyrnn import _checks

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.tmp")
_MOST_BYTES = 255 - len(".01234567.tmp")
"""The longest stem of a name: with the suffix of a temporary file it has 255 bytes."""
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write into a file raises where there is no room for it."""

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def checked_path(path: AnyPath, argument: str = "path") -> str:
    """Check the name of a file and return it as a string. Errors call it ``argument``."""
    try:
        name = os.fsdecode(path)
    except TypeError as error:
        kind = type(path).__name__
        raise TypeError(
            f"{argument}: expected a file name (str, bytes or os.PathLike), got {kind}"
        ) from error
    try:
        named = bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # half a character
        named = False
    if not named:
        raise ValueError(f"{argument}: expected a file name, got {_checks.shown(name)}")
    return name


def shown(path: AnyPath) -> str:
    """Return a file name as an error shows it, in one line."""
    name = os.fsdecode(path)
    return name if name.isprintable() and name else repr(name)


def open_regular(path: str) -> BinaryIO:
    """Open a regular file for reading. Anything else (a pipe, a device) is an OSError at once."""
    descriptor = os.open(path, _READ)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise OSError(errno.EINVAL, f"it is {kind}", path)
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def open_to_append(path: AnyPath) -> TextIO:
    """Open a file to write at its end, a new one if there is none.

    It may be a device, or a pipe that somebody reads; with no reader it is an OSError at once.
    """
    name = checked_path(path)
    try:
        descriptor = os.open(name, _APPEND, 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(errno.ENXIO, "it is a pipe that nobody reads", name) from error
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return open(descriptor, "a", encoding="utf-8", newline="")


_AT_ONCE = 1 << 20


def write_atomically(path: AnyPath, data: bytes) -> None:
    """Write a file so that its name always refers to the whole new file or to the old file.

    The bytes are written to a new file in the same folder and flushed to the disk; then the file is
    renamed. It gets the permissions of the old file, and its owner as far as the system allows; a
    new one gets the usual permissions. A link stays a link. Anything but a regular file is an
    OSError.
    """
    with written_beside(path) as file, memoryview(data) as view:
        for first in range(0, len(view), _AT_ONCE):  # signals are seen between two
            file.write(view[first : first + _AT_ONCE])


@contextlib.contextmanager
def written_beside(path: AnyPath, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that takes the name at the end of the ``with`` block, unless that fails.

    It differs from `write_atomically` in that the file is written part by part, and can be read.
    Without ``sync``, the file may be incomplete after a power cut.
    """
    target = os.path.realpath(checked_path(path))
    _check_regular(target, path)
    with _temporary(target, path) as (file, beside):
        yield file
        file.flush()
        if sync:
            os.fsync(file.fileno())
        if fcntl is None:
            file.close()  # Windows renames no open file
        os.replace(beside, target)


def check_writable(path: AnyPath) -> None:
    """Raise the OSError that `write_atomically` would raise; change nothing.

    Only temporary files that killed processes left beside it are removed.
    """
    target = os.path.realpath(checked_path(path))
    if _check_regular(target, path) and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only", shown(path))
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r}", shown(path))
    with _temporary(target, path):
        pass
    _remove_leftovers(target)


@contextlib.contextmanager
def _temporary(target: str, path: AnyPath) -> Iterator[tuple[BinaryIO, str]]:
    """Open a new file beside the target with its permissions; remove it unless it was renamed.

    It is locked while it is open, which distinguishes it from files of killed processes. Errors
    name the file by ``path``.
    """
    beside = f"{_stem(target)}.{secrets.token_hex(4)}.tmp"
    existing = os.path.exists(target)
    try:
        # Never, even for a moment, may others read what they could not read before.
        with _create_locked(beside, 0o600 if existing else 0o666) as file:
            if existing:
                _hand_on_permissions(target, beside)
            yield file, beside
    except OSError as error:
        # A write, and closing what it left, know no name; others the name of the new file.
        nameless = error.errno in _FULL and error.filename is None
        if nameless or error.filename == beside:
            raise OSError(error.errno, error.strerror, shown(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)


def _create_locked(path: str, mode: int) -> BinaryIO:
    """Create a locked file. Another process may remove it, as a leftover, before it is locked."""
    while True:
        file = open(os.open(path, _NEW, mode), "w+b")  # noqa: SIM115 - the caller closes it
        if fcntl is None:
            return file
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _check_regular(target: str, path: AnyPath) -> bool:
    """Return whether the file exists; raise an OSError if it is not a regular file."""
    try:
        os.lstat(target)  # unlike os.path.exists, it raises for impossible names
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not os.path.isfile(target):
        kind = "a folder" if os.path.isdir(target) else "no regular file"
        raise OSError(errno.EINVAL, f"it is {kind}", shown(path))
    return True


def _hand_on_permissions(target: str, beside: str) -> None:
    """Copy owner and permissions; the owner first, because that resets some permissions."""
    before = os.stat(target)
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(beside, before.st_uid, before.st_gid)
    shutil.copystat(target, beside)


def _stem(target: str) -> str:
    """Return the prefix of the names of a target's temporary files."""
    folder, name = os.path.split(target)
    while len(os.fsencode(name)) > _MOST_BYTES:
        name = name[:-1]
    return os.path.join(folder, name)


def _remove_leftovers(target: str) -> None:
    """Remove temporary files of this target that no process holds open."""
    folder, name = os.path.split(_stem(target))
    for other in os.listdir(folder):
        if other.startswith(name) and _TEMPORARY.fullmatch(other, len(name)):
            with contextlib.suppress(OSError):
                _remove_unless_locked(os.path.join(folder, other))


def _remove_unless_locked(path: str) -> None:
    if fcntl is None:
        os.unlink(path)
        return
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
