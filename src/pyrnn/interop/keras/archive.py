"""Keras' files as a tree of arrays and a configuration, with nothing in them trusted.

``.keras`` is a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``; the other two
are HDF5. No file makes this read another one, take more memory than a bound by its own size, or
follow a circle: links to other files, virtual and external datasets are refused.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from pyrnn import _extras
from pyrnn._files import AnyPath, checked_path, open_regular, shown
from pyrnn._types import Array
from pyrnn.interop.serialization import ModelFileError

MOST_JSON = 1 << 26
MOST_DEPTH = 24
"""Of groups in groups; Keras' own are half as deep."""
MOST_NODES = 200_000
_ROOM = 1 << 24
_RATIO = 64
"""Arrays, and what a zip unpacks to, may have so many bytes, and so many times the file's."""
_H5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\3\4"


class ContentError(ValueError):
    """What a file holds is none of Keras' models; the message is one line."""


class Group(NamedTuple):
    """A group of an HDF5 file: its attributes, groups and arrays, in the file's order."""

    attributes: dict[str, Any]
    groups: dict[str, Group]
    arrays: dict[str, Array]

    def at(self, *path: str) -> Group | None:
        """The group at a path below; None if there is none."""
        here: Group | None = self
        for name in path:
            here = here.groups.get(name) if here is not None else None
        return here


class Archive(NamedTuple):
    """A file: its tree, the model's configuration if there is one, and Keras' version."""

    root: Group
    config: dict[str, Any] | None
    version: str | None


@contextmanager
def errors_of(path: AnyPath) -> Iterator[str]:
    """Turn whatever a file is found to be into one `ModelFileError` that begins with its path."""
    name = checked_path(path)
    try:
        yield name
    except ModelFileError:
        raise
    except ContentError as error:
        raise ModelFileError(f"{shown(name)}: {error}") from error
    except MemoryError as error:
        raise ModelFileError(f"{shown(name)}: expected a file that fits into memory") from error
    except FileNotFoundError as error:
        raise ModelFileError(f"{shown(name)}: cannot be read (there is no such file)") from error
    except (OSError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        reason = " ".join(reason.split())[:200]
        raise ModelFileError(f"{shown(name)}: cannot be read ({reason})") from error


def read(name: str) -> Archive:
    """The tree, configuration and version of a file."""
    _extras.require("keras", "h5py")
    with open_regular(name) as file:
        size = os.fstat(file.fileno()).st_size
        begin = file.read(len(_H5_MAGIC))
        file.seek(0)
        if begin == _H5_MAGIC:
            return _from_h5(_tree(file, size))
        if begin.startswith(_ZIP_MAGIC):
            return _from_zip(file, size)
    raise ContentError("expected a .keras or .h5 file of Keras, got another or an empty one")


# --- the zip --------------------------------------------------------------------------------


def _from_zip(file: BinaryIO, size: int) -> Archive:
    try:
        with zipfile.ZipFile(file) as archive:
            config = _member(archive, "config.json", MOST_JSON)
            metadata = _member(archive, "metadata.json", MOST_JSON)
            most = _ROOM + _RATIO * size
            weights = _member(archive, "model.weights.h5", most)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ContentError(f"expected a whole .keras file, got another zip ({error})") from error
    except Exception as error:  # zlib's, lzma's and bz2's own
        raise ContentError(f"expected a whole .keras file ({error})") from error
    version = _object(metadata, "metadata.json").get("keras_version")
    root = _tree(io.BytesIO(weights), len(weights))
    return Archive(root, _object(config, "config.json"), version if type(version) is str else None)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """One member, unpacked no further than the bound whatever it says of itself."""
    try:
        member = archive.getinfo(name)
    except KeyError as error:
        raise ContentError(f"expected a .keras file, got a zip without {name}") from error
    with archive.open(member) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ContentError(f"{name}: expected at most {most} bytes, got more")
    return data


def _object(data: bytes | str, name: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ContentError(f"{name}: expected JSON ({str(error)[:100]})") from error
    if not isinstance(value, dict):
        raise ContentError(f"{name}: expected a JSON object, got {type(value).__name__}")
    return value


# --- HDF5 -----------------------------------------------------------------------------------


def _from_h5(root: Group) -> Archive:
    config = root.attributes.get("model_config")
    attributes = root.attributes
    if "keras_version" not in attributes and "model_weights" in root.groups:
        attributes = root.groups["model_weights"].attributes
    version = attributes.get("keras_version")
    return Archive(
        root,
        _object(config, "model_config") if isinstance(config, str) else None,
        version if isinstance(version, str) else None,
    )


def _tree(file: Any, size: int) -> Group:
    """Everything in an HDF5 file that Keras may have written there."""
    import h5py

    try:
        with h5py.File(file, "r") as opened:
            reader = _Reader(_ROOM + _RATIO * size)
            return reader.group(opened, 0)
    except ContentError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ContentError(f"expected a whole HDF5 file ({reason})") from error


class _Reader:
    """Walks a file's groups; counts what it has read."""

    def __init__(self, most_bytes: int) -> None:
        self.left = most_bytes
        self.nodes = 0

    def group(self, group: Any, depth: int) -> Group:
        """A group with all below."""
        import h5py

        if depth > MOST_DEPTH:
            raise ContentError(f"expected groups at most {MOST_DEPTH} deep, got more or a circle")
        found = Group(_attributes(group), {}, {})
        for name in group:
            self.nodes += 1
            if self.nodes > MOST_NODES:
                raise ContentError(f"expected at most {MOST_NODES} groups and arrays, got more")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ContentError(f"{group.name}/{name}: expected no link to elsewhere, got one")
            item = group[name]
            if isinstance(item, h5py.Group):
                if not name.startswith("optimizer"):
                    found.groups[name] = self.group(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                array = self._array(item)
                if array is not None:
                    found.arrays[name] = array
        return found

    def _array(self, item: Any) -> Array | None:
        """A float array, widened to float32 at least; None for what is no weight."""
        if item.dtype.kind != "f" or item.dtype.itemsize > 8:
            return None
        if item.external or item.is_virtual:
            raise ContentError(f"{item.name}: expected its numbers in this file, got a link")
        count = math.prod(item.shape)
        self.left -= 8 * count
        if self.left < 0:
            raise ContentError(
                f"{item.name}: expected arrays that fit the file, got shape {item.shape}"
            )
        array = np.asarray(item[()])
        dtype = np.float64 if array.dtype.itemsize == 8 else np.float32
        return np.ascontiguousarray(array, dtype)


def _attributes(group: Any) -> dict[str, Any]:
    """Those attributes that Keras writes, as strings and lists of strings."""
    found: dict[str, Any] = {}
    for name in group.attrs:
        wanted = name.rstrip("0123456789")
        if wanted in ("layer_names", "weight_names") or name in (
            "keras_version", "model_config", "name", "pyrnn",
        ):  # fmt: skip
            found[name] = _text(group.attrs[name])
    for key in ("layer_names", "weight_names"):  # long ones are cut into pieces
        pieces = [name for name in found if name.startswith(key) and name != key]
        if key not in found and pieces:
            ordered = sorted(pieces, key=lambda name: int("0" + name.removeprefix(key)))
            found[key] = [text for name in ordered for text in _listed(found.pop(name))]
    return found


def _listed(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return [_text(one) for one in value.reshape(-1).tolist()]
    return value
