"""HDF5 files as a tree of arrays, read by a process of its own, `pyrnn.interop.keras._hdf5_child`.

A file that crashes HDF5's library is an error here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.interop.keras import _hdf5_child

SECONDS = 1.0
"""Of processor time for any file; and as much more for each of these many bytes:"""
BYTES_A_SECOND = 1 << 22
_WAIT = 60.0
"""Further seconds until the process must have answered, on a busy machine."""
_UNREADABLE = "expected a whole HDF5 file"
_TIME_IS_OVER = int(getattr(signal, "SIGPROF", 0) or 27)


class ContentError(ValueError):
    """The file does not hold a model of Keras; the message is one line."""


class Group(NamedTuple):
    """A group of an HDF5 file: its attributes, groups and arrays, in the file's order.

    ``others`` are the names of arrays whose numbers are no floats.
    """

    attributes: dict[str, Any]
    groups: dict[str, Group]
    arrays: dict[str, Array]
    others: tuple[str, ...] = ()

    def at(self, *path: str) -> Group | None:
        """The group at a path below; None if there is none."""
        here: Group | None = self
        for name in path:
            here = here.groups.get(name) if here is not None else None
        return here


def tree(file: BinaryIO, size: int, most_bytes: int) -> Group:
    """Everything in an HDF5 file that Keras may have written there.

    ``size`` is the file's, ``most_bytes`` what its arrays may have at most.
    """
    seconds = SECONDS + size / BYTES_A_SECOND
    with _answer(file, most_bytes, seconds) as answer:
        try:
            return _taken(answer)
        except ContentError:
            raise
        except (struct.error, ArithmeticError, ValueError, LookupError, TypeError) as error:
            raise ContentError(f"{_UNREADABLE} (the HDF5 library failed on it)") from error


def _taken(answer: BinaryIO) -> Group:
    """The tree of an answer; any of several errors if it is not whole."""
    (length,) = struct.unpack("<Q", answer.read(8))
    said = json.loads(answer.read(length))
    if "error" in said:
        raise ContentError(said["error"])
    arrays = []
    for dtype, shape in said["arrays"]:
        data = answer.read(math.prod(shape) * np.dtype(dtype).itemsize)
        array: Array = np.frombuffer(data, dtype).reshape(shape)
        arrays.append(array.astype(array.dtype.newbyteorder("="), copy=True))
    return _group(said["tree"], arrays)


def _group(found: Any, arrays: list[Array]) -> Group:
    groups = {name: _group(one, arrays) for name, one in found["groups"].items()}
    own = {name: arrays[number] for name, number in found["arrays"].items()}
    return Group(_attributes(found["attributes"]), groups, own, tuple(found["others"]))


def _attributes(found: dict[str, Any]) -> dict[str, Any]:
    """Attributes; lists that Keras has cut into pieces because they were long are joined."""
    for key in ("layer_names", "weight_names"):
        pieces = [name for name in found if name.startswith(key) and name != key]
        if key not in found and pieces:
            ordered = sorted(pieces, key=lambda name: int("0" + name.removeprefix(key)))
            found[key] = [text for name in ordered for text in _listed(found.pop(name))]
    return found


def _listed(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


# --- the process ----------------------------------------------------------------------------


@contextlib.contextmanager
def _answer(file: BinaryIO, most_bytes: int, seconds: float) -> Iterator[BinaryIO]:
    """The answer of the other process, as a file; an error if it ends without an answer."""
    with tempfile.TemporaryFile() as out:
        if _is_python(sys.executable):
            _run(file, out, most_bytes, seconds)
        else:  # within another program, which starts itself again instead of Python
            _hdf5_child.answer(file, most_bytes, out)
        out.seek(0)
        yield out


def _is_python(name: str | None) -> bool:
    own = os.path.basename(name or "").lower()
    return own.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


def _run(file: BinaryIO, out: BinaryIO, most_bytes: int, seconds: float) -> None:
    """Let the other process read ``file`` and write to ``out``."""
    file.seek(0)
    code = _exit_code(file, out, most_bytes, seconds)
    if code == -_TIME_IS_OVER:
        raise ContentError(f"{_UNREADABLE}, got one that takes more than {seconds:.1f} s to read")
    if code:
        raise ContentError(f"{_UNREADABLE} (the HDF5 library failed on it: {_ended(code)})")


def _exit_code(file: BinaryIO, out: BinaryIO, most_bytes: int, seconds: float) -> int:
    """The exit status of the other process; below 0 it is a signal."""
    path = [os.path.abspath(one or ".") for one in sys.path]
    arguments = json.dumps({"path": path, "most_bytes": most_bytes, "seconds": seconds})
    command = [sys.executable, "-I", "-S", "-B", _hdf5_child.__file__, arguments]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONFAULTHANDLER", None)
    try:
        return subprocess.run(
            command,
            stdin=file,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_WAIT + 5 * seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return -_TIME_IS_OVER


def _ended(code: int) -> str:
    """How a process ended, in a few words."""
    with contextlib.suppress(ValueError):
        if code < 0:
            return signal.Signals(-code).name
    return f"exit status {code}"
