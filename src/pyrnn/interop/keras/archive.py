"""Keras' files as a tree of arrays and a configuration, with nothing in them trusted.

``.keras`` is a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``; the other two
are HDF5. No file makes this read another one, take more memory than a bound by its own size,
follow a circle, or crash: links to other files, virtual and external datasets are refused, and
HDF5's library runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from pyrnn._files import AnyPath, checked_path, open_regular, shown
from pyrnn._imports import extras
from pyrnn.interop._made import one_line
from pyrnn.interop.keras.hdf5 import ContentError, Group, tree
from pyrnn.interop.serialization import ModelFileError

MOST_JSON = 1 << 22
_JSON_RATIO = 8
"""A configuration may have so many bytes, and so many times the file's; as values it takes ten
times as many."""
_ROOM = 1 << 24
_RATIO = 64
"""Arrays, and what a zip unpacks to, may have so many bytes, and so many times the file's."""
_H5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\3\4"


class Archive(NamedTuple):
    """A file: its tree, the model's configuration if there is one, and Keras' version."""

    root: Group
    config: dict[str, Any] | None
    version: str | None


@contextmanager
def errors_of(path: AnyPath) -> Iterator[str]:
    """Turn any error in a file into a `ModelFileError` whose message begins with the path."""
    name = checked_path(path)
    try:
        yield name
    except ModelFileError:
        raise
    except ContentError as error:
        raise ModelFileError(f"{shown(name)}: {one_line(error)}") from error
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
    extras.require("keras", "h5py")
    with open_regular(name) as file:
        size = os.fstat(file.fileno()).st_size
        begin = file.read(len(_H5_MAGIC))
        file.seek(0)
        if begin == _H5_MAGIC:
            return _from_h5(tree(file, size, _ROOM + _RATIO * size))
        if begin.startswith(_ZIP_MAGIC):
            return _from_zip(file, size)
    raise ContentError("expected a .keras or .h5 file of Keras, got another or an empty one")


# --- the zip --------------------------------------------------------------------------------


def _from_zip(file: BinaryIO, size: int) -> Archive:
    try:
        with zipfile.ZipFile(file) as archive:
            most = MOST_JSON + _JSON_RATIO * size
            config = _member(archive, "config.json", most)
            metadata = _member(archive, "metadata.json", most)
            most = _ROOM + _RATIO * size
            weights = _member(archive, "model.weights.h5", most)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ContentError(f"expected a whole .keras file, got another zip ({error})") from error
    except Exception as error:  # zlib's, lzma's and bz2's own
        raise ContentError(f"expected a whole .keras file ({error})") from error
    version = _object(metadata, "metadata.json").get("keras_version")
    with tempfile.TemporaryFile() as unpacked:
        unpacked.write(weights)
        unpacked.flush()
        root = tree(unpacked, len(weights), _ROOM + _RATIO * len(weights))
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
