"""Reads an HDF5 file in a process of its own, started by `pyrnn.interop.keras.hdf5` as a script.

HDF5's library is C, and crashes on some damaged files. Here that ends this process alone. It reads
its standard input, a file, and writes to its standard output the length of a JSON text, the text
(a tree and a list of arrays, or an error), and then the numbers of all arrays in a row.

The script needs h5py and NumPy, and nothing of pyrnn.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
import sys
from typing import Any, BinaryIO

MOST_DEPTH = 24
"""How deeply groups may be nested; Keras' own are half as deep."""
MOST_NODES = 200_000
MOST_TEXT = 1 << 26
"""Bytes of one attribute."""
_MEGABYTE = 1 << 20
_LISTS = ("layer_names", "weight_names")
_KEPT = ("keras_version", "model_config", "name", "pyrnn")


class ContentError(ValueError):
    """The file contains something that no file of Keras does; the message is one line."""


def tree(file: Any, most_bytes: int) -> tuple[dict[str, Any], list[Any]]:
    """Everything in a file that Keras may have written there: a tree that is JSON, and arrays.

    A group is {"attributes": {}, "groups": {}, "arrays": {name: place in the list of arrays},
    "others": [name of each array that has no floats]}.
    """
    import h5py

    reader = _Reader(most_bytes)
    try:
        with h5py.File(file, "r") as opened:
            return reader.group(opened, 0), reader.arrays
    except (ContentError, MemoryError):
        raise
    except Exception as error:  # h5py passes on whatever HDF5 says, as errors of many kinds
        reason = " ".join(str(error).split())[:200]
        raise ContentError(f"expected a whole HDF5 file ({reason})") from error


class _Reader:
    """Visits a file's groups, and counts what it has read."""

    def __init__(self, most_bytes: int) -> None:
        self.left = most_bytes
        self.nodes = 0
        self.arrays: list[Any] = []

    def group(self, group: Any, depth: int) -> dict[str, Any]:
        """A group with all below."""
        import h5py

        if depth > MOST_DEPTH:
            raise ContentError(f"expected groups at most {MOST_DEPTH} deep, got more or a circle")
        groups: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        others: list[str] = []
        attributes = self._attributes(group)
        for name in group:
            self.nodes += 1
            if self.nodes > MOST_NODES:
                raise ContentError(f"expected at most {MOST_NODES} groups and arrays, got more")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ContentError(
                    f"{_shown(group)}/{name}: expected no link to elsewhere, got one"
                )
            item = group[name]
            if isinstance(item, h5py.Group):
                if not name.startswith("optimizer"):
                    groups[name] = self.group(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                array = self._array(item)
                if array is None:
                    others.append(name)
                else:
                    arrays[name] = len(self.arrays)
                    self.arrays.append(array)
        return {"attributes": attributes, "groups": groups, "arrays": arrays, "others": others}

    def _array(self, item: Any) -> Any:
        """A float array, widened to float32 at least; None if it is not a weight."""
        import numpy as np

        halves = item.dtype == np.dtype("V2") and item.attrs.get("dtype") == "bfloat16"
        if not halves and (item.dtype.kind != "f" or item.dtype.itemsize > 8):
            return None
        if item.external or item.is_virtual:
            raise ContentError(f"{_shown(item)}: expected its numbers in this file, got a link")
        self.left -= 8 * math.prod(item.shape)
        if self.left < 0:
            raise ContentError(
                f"{_shown(item)}: expected arrays that fit the file, got shape {item.shape}"
            )
        array = np.asarray(item[()])
        if halves:  # the upper half of a float32
            array = (array.view("<u2").astype("<u4") << 16).view("<f4")
        dtype = "<f8" if array.dtype.itemsize == 8 else "<f4"
        return np.ascontiguousarray(array, dtype)

    def _attributes(self, group: Any) -> dict[str, Any]:
        """Those attributes that Keras writes, as strings and lists of strings."""
        found: dict[str, Any] = {}
        for name in group.attrs:
            if name.rstrip("0123456789") in _LISTS or name in _KEPT:
                stored = group.attrs.get_id(name)
                size = math.prod(stored.shape or ()) * stored.dtype.itemsize
                self.left -= size
                if size > MOST_TEXT or self.left < 0:
                    raise ContentError(f"{_shown(group)}: expected a shorter attribute {name}")
                found[name] = _text(group.attrs[name])
        return found


def _text(value: Any) -> Any:
    """An attribute as a string or a list of strings; None if it is not text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "reshape") and hasattr(value, "tolist"):
        return [_text(one) for one in value.reshape(-1).tolist()]
    return None


def _shown(item: Any) -> str:
    return str(item.name)[:200]


# --- the process ----------------------------------------------------------------------------


def limited(most_bytes: int, seconds: float) -> None:
    """Bound this process's memory and time, as far as the system can; leave no core dump."""
    try:
        import resource
        import signal
    except ImportError:  # Windows: the other process ends this one when its time is over
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        most = now + 128 * _MEGABYTE + 3 * most_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)


def answer(file: Any, most_bytes: int, out: BinaryIO) -> None:
    """Read a file, and write what was found or the error."""
    arrays: list[Any] = []
    try:
        found, arrays = tree(file, most_bytes)
        said: dict[str, Any] = {
            "tree": found,
            "arrays": [[array.dtype.str, array.shape] for array in arrays],
        }
    except ContentError as error:
        said = {"error": str(error)}
    except (MemoryError, RecursionError):
        said = {"error": "expected a whole HDF5 file, got one that asks for too much memory"}
    text = json.dumps(said).encode()
    out.write(struct.pack("<Q", len(text)) + text)
    for array in arrays:
        out.write(memoryview(array).cast("B") if array.size else b"")
    out.flush()


def main() -> None:
    """Take the limits and where to find packages from the command line."""
    arguments = json.loads(sys.argv[1])
    sys.path[:] = arguments["path"]
    import h5py  # noqa: F401  # what it takes does not count

    limited(arguments["most_bytes"], arguments["seconds"])
    with open(0, "rb", closefd=False) as file, open(1, "wb", closefd=False) as out:
        answer(file, arguments["most_bytes"], out)


if __name__ == "__main__":
    main()
