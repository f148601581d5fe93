"""Read ``.safetensors`` files: 8 bytes of length, a header in JSON, the bytes of all tensors.

Files are not trusted. Reading runs no code, and time and memory are bounded by the file's size,
whatever the header says: it is read member by member and kept as plain numbers, and a tensor is
read only when it is used.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from pyrnn._number_formats.narrow import Numbers
from pyrnn._types import Array

MOST_HEADER = 1 << 25
"""The largest header in bytes; a vocabulary of all Unicode characters needs half of it."""
MOST_MEMBERS = 200_000
"""The largest number of members of the header; no layer has more parameters."""
MOST_ENTRY = 1000
"""The largest entry of one tensor in the header, in characters."""
MOST_DIGITS = 20
ITEM_BYTES = {"F32": 4, "F64": 8, "BF16": 2, "F16": 2, "I8": 1}

_PREFIX = 8
_SPACE = re.compile(r"[ \t\r\n]*")


class FormatError(ValueError):
    """Not a safetensors file, or a truncated one. The message is one line."""


class Tensor(NamedTuple):
    """A tensor as the header describes it; its bytes are [begin, end) of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Contents(NamedTuple):
    """A header, and the position of the data in the file."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    start: int


def read_contents(file: BinaryIO, size: int) -> Contents:
    """The header of a file of ``size`` bytes, with everything that the format demands checked.

    Raises
    ------
    FormatError
        If the header is no such JSON, or the tensors do not cover the data without gaps.
    """
    length = int.from_bytes(_read(file, _PREFIX), "little")
    start = _PREFIX + length
    if start > size:
        raise FormatError(f"its header has {length} bytes, the file {size}")
    if length > MOST_HEADER:
        raise FormatError(f"its header has {length} bytes, more than {MOST_HEADER}")
    try:
        members = _header(_read(file, length).decode("utf-8"))
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"its header: {error}") from error
    metadata = members.pop("__metadata__", {})
    _check_cover(members.values(), size - start)
    return Contents(metadata, members, start)


def read_into(array: Array | Numbers | npt.NDArray[np.int8], file: BinaryIO, begin: int) -> None:
    """Fill a contiguous array with the bytes of the file from ``begin`` on."""
    file.seek(begin)
    if file.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:  # type: ignore[attr-defined]
        raise FormatError("it ends before its last tensor")
    if sys.byteorder == "big":
        array.byteswap(inplace=True)


def strict_json(text: str) -> Any:
    """Decode JSON without duplicate keys, NaN, infinities and very long numbers."""
    return _DECODER.decode(text)


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise FormatError(f"it has {len(data)} bytes where {count} should follow")
    return data


def _header(text: str) -> dict[str, Any]:
    """Read the members: a `Tensor` each, and a dict of strings under ``__metadata__``."""

    def value(key: str, position: int) -> tuple[Any, int]:
        if key == "__metadata__":
            return _object(text, position, lambda key, position: _string(text, position))
        return _tensor(text, position)

    members, end = _object(text, 0, value)
    if _after_space(text, end) != len(text):
        raise FormatError("its header does not end with the JSON object")
    return members


def _object(
    text: str, position: int, value: Callable[[str, int], tuple[Any, int]]
) -> tuple[dict[str, Any], int]:
    """Read a JSON object, whose values another function reads; return it and its end."""
    members: dict[str, Any] = {}
    position = _after(text, position, "{")
    more = not text.startswith("}", position)
    while more:
        key, position = _string(text, position)
        if key in members:
            raise FormatError(f"its header has {key[:80]!r} twice")
        if len(members) == MOST_MEMBERS:
            raise FormatError(f"its header has more than {MOST_MEMBERS} members")
        position = _after(text, _after_space(text, position), ":")
        members[key], position = value(key, position)
        position = _after_space(text, position)
        more = text.startswith(",", position)
        if more:
            position = _after(text, position, ",")
    if not text.startswith("}", position):
        raise FormatError(f"its header is no JSON at character {position}")
    return members, position + 1


def _string(text: str, position: int) -> tuple[str, int]:
    if not text.startswith('"', position):
        raise FormatError(f"its header has no string at character {position}")
    string: tuple[str, int] = _DECODER.raw_decode(text, position)
    return string


def _tensor(text: str, position: int) -> tuple[Tensor, int]:
    """Read one entry. It is known to be short and flat before it is decoded."""
    end = text.find("}", position, position + MOST_ENTRY) + 1
    if not end or text.count("{", position, end) != 1 or text.count("[", position, end) != 2:
        raise FormatError(f"its header has no tensor at character {position}")
    entry = strict_json(text[position:end])
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"its header has no tensor at character {position}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise FormatError(f"its header has no tensor at character {position}")
    tensor = Tensor(dtype, tuple(shape), *offsets)
    count = ITEM_BYTES.get(dtype)
    if count is not None and count * math.prod(shape) != tensor.end - tensor.begin:
        raise FormatError(f"the tensor at character {position} of its header has another size")
    return tensor, end


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _check_cover(tensors: Iterable[Tensor], size: int) -> None:
    """Refuse tensors that overlap, leave gaps or reach beyond the data."""
    position = 0
    for begin, end in sorted((tensor.begin, tensor.end) for tensor in tensors):
        if begin != position or end < begin:
            raise FormatError(f"its tensors overlap or leave a gap at byte {position} of the data")
        position = end
    if position != size:
        raise FormatError(f"its tensors have {position} bytes, the file {size} for them")


def _after(text: str, position: int, character: str) -> int:
    """Return the position after an expected character and white space."""
    if not text.startswith(character, position):
        raise FormatError(f"its header has no {character!r} at character {position}")
    return _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


# --- strict JSON ----------------------------------------------------------------------------


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key that is there twice")
    return members


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_int=_whole, parse_constant=_refuse_constant
)
