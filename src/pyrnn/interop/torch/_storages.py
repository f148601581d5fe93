"""The numbers of a file: their types, and its storages, each read once.

Nothing is read beyond the file: a storage has the size that its own entry in the file has, and all
of them together have no more bytes than the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn.interop.torch._errors import FormatError

MOST_AXES = 64
MOST_REPEATED = 1 << 20
"""How many more elements a tensor may have than its storage, as after `expand`."""


class NumberType(NamedTuple):
    """How numbers are stored, and as what they are read."""

    stored: str
    read: str

    @property
    def item_bytes(self) -> int:
        """Of a stored number."""
        return np.dtype(self.stored).itemsize


# By the names of torch's dtypes. A bfloat16 is the upper half of a float32.
TYPES = {
    "float32": NumberType("f4", "f4"),
    "float64": NumberType("f8", "f8"),
    "float16": NumberType("f2", "f4"),
    "bfloat16": NumberType("u2", "f4"),
    "int8": NumberType("i1", "i1"),
    "int16": NumberType("i2", "i2"),
    "int32": NumberType("i4", "i4"),
    "int64": NumberType("i8", "i8"),
    "uint8": NumberType("u1", "u1"),
    "uint16": NumberType("u2", "u2"),
    "uint32": NumberType("u4", "u4"),
    "uint64": NumberType("u8", "u8"),
    "bool": NumberType("?", "?"),
    "complex64": NumberType("c8", "c8"),
    "complex128": NumberType("c16", "c16"),
}
# Other names of dtypes, and the classes of storages.
ALIASES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "cfloat": "complex64",
    "cdouble": "complex128",
}
STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "int8",
    "QUInt8Storage": "uint8",
    "QInt32Storage": "int32",
    "UntypedStorage": "",
}


class Storage(NamedTuple):
    """What a pickle says about a storage: its key in the file, its dtype ("" for bytes)."""

    key: str
    dtype: str
    size: int


class Bytes(NamedTuple):
    """The bytes of a storage, and whether its numbers have the highest byte first."""

    data: npt.NDArray[np.uint8]
    big_endian: bool


class Storages:
    """Storages as arrays; two tensors of one storage share its memory, as they did in torch."""

    def __init__(self, read: Callable[[Storage], Bytes]) -> None:
        self._read = read
        self._bytes: dict[str, Bytes] = {}
        self._arrays: dict[tuple[str, str], npt.NDArray[Any]] = {}

    @property
    def bytes_read(self) -> int:
        """Of all storages so far, each counted once."""
        return sum(len(found.data) for found in self._bytes.values())

    def tensor(
        self,
        storage: Storage,
        dtype: str,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
    ) -> npt.NDArray[Any]:
        """A view of a storage, with everything checked that it says about itself."""
        if dtype not in TYPES:
            raise FormatError(f"it has a tensor of dtype {dtype!r}, which is none that can be read")
        numbers = self._numbers(storage, dtype)
        if len(shape) > MOST_AXES or len(strides) != len(shape):
            raise FormatError(f"it has a tensor of {len(shape)} axes and {len(strides)} strides")
        if offset < 0 or min(shape, default=0) < 0 or min(strides, default=0) < 0:
            raise FormatError("it has a tensor of negative sizes")
        count = math.prod(shape)
        if not count:
            return _checked(lambda: np.zeros(shape, numbers.dtype))
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if last >= len(numbers):
            raise FormatError(
                f"it has a tensor that ends at number {last + 1} of {len(numbers)} stored ones"
            )
        if count > len(numbers) + MOST_REPEATED:
            raise FormatError(f"it has a tensor of {count} numbers, and {len(numbers)} stored ones")
        item = numbers.itemsize
        steps = tuple(stride * item for stride in strides)
        return _checked(lambda: np.ndarray(shape, numbers.dtype, numbers, offset * item, steps))

    def _numbers(self, storage: Storage, dtype: str) -> npt.NDArray[Any]:
        key = storage.key, dtype
        array = self._arrays.get(key)
        if array is None:
            found = self._bytes.get(storage.key)
            if found is None:
                found = self._bytes[storage.key] = self._read(storage)
            array = self._arrays[key] = _as_numbers(found, dtype)
        return array


def _checked(make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """An array that NumPy makes, unless its sizes or strides are none for any array."""
    try:
        return make()
    except (ValueError, OverflowError):
        raise FormatError("it has a tensor of sizes beyond all memory") from None


def _as_numbers(found: Bytes, dtype: str) -> npt.NDArray[Any]:
    kind = TYPES[dtype]
    if len(found.data) % kind.item_bytes:
        raise FormatError(f"it has a storage of {len(found.data)} bytes for numbers of {dtype}")
    stored = found.data.view(np.dtype(kind.stored).newbyteorder(">" if found.big_endian else "<"))
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if dtype == "bool":
        return np.not_equal(found.data, 0)  # any other byte would not be a valid bool
    return stored.astype(kind.read, copy=False)
