"""The two containers of `torch.save`: a zip archive (since torch 1.6), or pickles in a row.

Sizes are compared with the file's own before anything is read. Members of an archive are stored as
they are, as torch stores them; compressed ones are refused, so a file cannot grow when it is read.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn.interop.torch import _pickle
from pyrnn.interop.torch._errors import FormatError
from pyrnn.interop.torch._machine import Name
from pyrnn.interop.torch._storages import STORAGES, TYPES, Bytes, Storage, Storages

_ZIP = b"PK\x03\x04"
_LOCAL_HEADER = 30
_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19."
"""A number in the pickle with which the older format begins."""
_MAGIC_WITHIN = 32
_VERSION = 1001
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    UnicodeError,
    struct.error,
)
"""What zipfile raises of archives that are none."""


class Contents(NamedTuple):
    """A file's object as the pickle machine gives it, and its storages."""

    value: Any
    pickle_bytes: int
    storages: Storages


def open_contents(file: BinaryIO, size: int) -> Contents:
    """What a file of ``size`` bytes holds.

    Raises
    ------
    FormatError
        If it is no whole file of `torch.save`.
    """
    start = file.read(_MAGIC_WITHIN)
    if start.startswith(_ZIP):
        return _open_zip(file, size)
    if start.startswith(b"\x80") and _MAGIC in start:
        file.seek(0)
        return _open_row(file.read(), start.index(_MAGIC) + len(_MAGIC))
    raise FormatError("it begins neither as a zip archive nor as torch's older format")


def storage_of(identity: Any) -> Storage:
    """A pickle's reference to an object outside of it, which has to be a storage."""
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise FormatError("it refers to something that is not a storage")
    _, kind, key, _, count = identity[:5]
    if len(identity) == 6 and identity[5] is not None:
        raise FormatError("it has a view of a storage, as torch before 0.4 saved them")
    # Anything else there may be nested to any depth and is not shown in the error.
    named = kind.name if type(kind) is Name else ""
    dtype = STORAGES.get(named.removeprefix("_"))
    if dtype is None or type(key) is not str or type(count) is not int or count < 0:
        raise FormatError(f"it has a storage of an unknown kind, {named[:80]!r}")
    return Storage(key, dtype, count)


def item_bytes(dtype: str) -> int:
    """Of a stored number; a storage without a dtype is counted in bytes."""
    return TYPES[dtype].item_bytes if dtype else 1


# --- zip archives ---------------------------------------------------------------------------


def _open_zip(file: BinaryIO, size: int) -> Contents:
    try:
        archive = _Archive(file, size)
        data = archive.read("data.pkl").tobytes()
        loaded = _pickle.load(data)
        return Contents(loaded.value, len(data), Storages(archive.storage))
    except _BROKEN as error:
        raise FormatError(f"its zip archive is damaged: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Archive:
    """Members of a zip archive by their names below its one folder."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = self._left = size
        try:
            members = zipfile.ZipFile(file).infolist()
        except OSError as error:  # a damaged archive may seek to an invalid position
            raise FormatError(f"its zip archive is damaged: {_one_line(error)}") from error
        found = [m.filename for m in members if m.filename.endswith("/data.pkl")]
        roots = [name for name in found if name.count("/") == 1]
        if any(m.filename.endswith("/archive_format") for m in members):
            raise FormatError("it is a program of torch.export: save its state_dict instead")
        if len(roots) != 1:
            raise FormatError("it is a zip archive, but has no data.pkl as torch's have")
        root = roots[0].removesuffix("data.pkl")
        self._members = {m.filename.removeprefix(root): m for m in members}
        if "constants/0" in self._members and "data/0" not in self._members:
            raise FormatError("it is a frozen TorchScript program, whose weights have no names")
        if len(self._members) < len(members):
            raise FormatError("its zip archive has two members of the same name")
        order = self.read("byteorder").tobytes() if "byteorder" in self._members else b"little"
        if order not in (b"little", b"big"):
            raise FormatError("its byteorder is neither little nor big")
        self._big_endian = order == b"big"

    def storage(self, storage: Storage) -> Bytes:
        data = self.read(f"data/{storage.key}")
        expected = storage.size * item_bytes(storage.dtype)
        if len(data) != expected:
            raise FormatError(
                f"its storage {storage.key[:80]!r} has {len(data)} bytes, expected {expected}"
            )
        return Bytes(data, self._big_endian)

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a member, which are checked against its sum."""
        member = self._members.get(name)
        if member is None:
            raise FormatError(f"its zip archive has no member {name[:80]!r}")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise FormatError(f"its member {name[:80]!r} is compressed or encrypted")
        self._left -= member.file_size
        if member.file_size != member.compress_size or self._left < 0:
            raise FormatError(f"its member {name[:80]!r} has more bytes than the file")
        at = member.header_offset
        header = b""
        if 0 <= at < self._size:  # the directory of the archive is not trusted
            self._file.seek(at)
            header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or not header.startswith(_ZIP):
            raise FormatError(f"its member {name[:80]!r} is not where it should be")
        self._file.seek(sum(struct.unpack("<HH", header[26:])), 1)
        data = np.empty(member.file_size, np.uint8)
        if self._file.readinto(data) != len(data):  # type: ignore[attr-defined]
            raise FormatError(f"it ends within its member {name[:80]!r}")
        if zlib.crc32(data.data) != member.CRC:
            raise FormatError(f"its member {name[:80]!r} is damaged (its sum is another)")
        return data


# --- pickles in a row -----------------------------------------------------------------------


def _open_row(data: bytes, begin: int) -> Contents:
    """Version, machine, object, keys; then each storage, its count before it."""
    version = _pickle.load(data, begin)
    if version.value != _VERSION:
        raise FormatError(f"it has another version of torch's older format than {_VERSION}")
    machine = _pickle.load(data, version.end)
    value = _pickle.load(data, machine.end)
    keys = _pickle.load(data, value.end)
    if type(keys.value) is not list or not all(type(key) is str for key in keys.value):
        raise FormatError("it has no list of storages")
    found = [one.identity for one in value.persistent if _is_storage(one.identity)]
    told = {storage.key: storage for storage in map(storage_of, found)}
    places: dict[str, tuple[int, int]] = {}
    position = keys.end
    for key in keys.value:
        first = position + 8
        if key not in told or key in places or first > len(data):
            raise FormatError(f"it ends before its storage {key[:80]!r}, or nothing refers to it")
        (count,) = struct.unpack("<q", data[position:first])
        position = first + count * item_bytes(told[key].dtype)
        if count != told[key].size or position > len(data):
            raise FormatError(f"its storage {key[:80]!r} has another size than it says")
        places[key] = first, position
    if position != len(data):
        raise FormatError("it goes on after its last storage")

    def read(storage: Storage) -> Bytes:
        if storage.key not in places or storage != told[storage.key]:
            raise FormatError(f"it has two kinds of storage {storage.key[:80]!r}, or none")
        first, end = places[storage.key]
        return Bytes(np.frombuffer(data[first:end], np.uint8).copy(), big_endian=False)

    return Contents(value.value, value.end - machine.end, Storages(read))


def _is_storage(identity: Any) -> bool:
    """Whole modules refer to their sources as well."""
    return type(identity) is not tuple or identity[:1] != ("module",)
