"""Reads HDF5 files as `pyrnn.interop.keras._hdf5_child` does, file after file in one process.

A process for each file would take most of the time. One in so many is read by a fork all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from pyrnn.interop.keras import _hdf5_child, hdf5

MOST_FILES = 5000
"""That one process reads."""
FORKED = 50
"""One in so many files is read by a process of its own."""


class Server:
    """A process that reads files which the caller has open, and writes answers."""

    def __init__(self) -> None:
        self.files = 0
        asked, self._ask = os.pipe()
        self._said, say = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._ask)
            os.close(self._said)
            try:
                _serve(asked, say, os.getppid())
            finally:
                os._exit(0)
        os.close(asked)
        os.close(say)

    def read(self, file: BinaryIO, out: BinaryIO, most_bytes: int, seconds: float) -> int | None:
        """None, or the exit status of the process if it ended while it read the file."""
        self.files += 1
        line = json.dumps([file.fileno(), out.fileno(), most_bytes, seconds]) + "\n"
        os.write(self._ask, line.encode())
        if os.read(self._said, 1):
            return None
        return self.end()

    def end(self) -> int:
        """End it; its exit status."""
        os.close(self._ask)
        os.close(self._said)
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])


def _serve(asked: int, say: int, parent: int) -> None:
    _quiet()
    _limits_can_be_raised()
    with os.fdopen(asked, "rb") as lines:
        for line in lines:
            file, out, most_bytes, seconds = json.loads(line)
            with (
                open(f"/proc/{parent}/fd/{file}", "rb") as given,
                open(f"/proc/{parent}/fd/{out}", "wb") as answer,
            ):
                _unlimited()
                _hdf5_child.limited(most_bytes, seconds)
                _hdf5_child.answer(given, most_bytes, answer)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(say, b"\0")


def _quiet() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _limits_can_be_raised() -> None:
    """Let limits be those of one file: the hard ones stay as they are."""
    import resource

    given = resource.setrlimit
    resource.setrlimit = lambda which, pair: given(which, (pair[0], resource.getrlimit(which)[1]))


def _unlimited() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _forked(file: BinaryIO, out: BinaryIO, most_bytes: int, seconds: float) -> int:
    """As a process of its own reads it, but begun by a fork, which takes less time."""
    out.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _quiet()
            _hdf5_child.limited(most_bytes, seconds)
            with open(os.dup(out.fileno()), "wb") as answer:
                _hdf5_child.answer(file, most_bytes, answer)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


_server: Server | None = None
_begun = False
_files = 0


def begin() -> None:
    """Read all files of this process in a server from now on."""
    global _begun
    import h5py  # noqa: F401  # before the first fork

    _begun = sys.platform.startswith("linux")


def _exit_code(file: BinaryIO, out: BinaryIO, most_bytes: int, seconds: float) -> int:
    global _server, _files
    _files += 1
    if not _begun or _files % FORKED == 0:
        return _forked(file, out, most_bytes, seconds)
    if _server is not None and _server.files >= MOST_FILES:
        _server.end()
        _server = None
    if _server is None:
        _server = Server()
    out.flush()
    code = _server.read(file, out, most_bytes, seconds)
    if code is not None:
        _server = None
    return code or 0


@contextlib.contextmanager
def in_place_of_processes() -> Iterator[None]:
    """Take the place of the process that is started for each file, where there is a fork."""
    module: Any = hdf5
    given = module._exit_code
    if sys.platform.startswith("linux"):
        module._exit_code = _exit_code
    try:
        yield
    finally:
        module._exit_code = given
