"""Spoils the bytes of a model file: as bytes, as a header, as the description of a model."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from tests.fuzz.draw import Draw

PREFIX = 8
DEEP = "[" * 50_000

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, -1, 3.0, 0.5, 1e308, float("nan"), float("inf"), 2**31, 2**63,
    10**30, 10**400, "", "x", "RNN", "float64", "\ud800", "\x00\n", "x" * 5000, [], [[]], {},
    {"a": 1}, [0.1, 0.2], [1, 2, 3], {"a": {"a": {}}},
)  # fmt: skip
DTYPES = ("F32", "F64", "F16", "BF16", "I32", "U8", "BOOL", "", "f32", 1, None)


def spoil(draw: Draw, data: bytes, others: list[bytes]) -> bytes:
    """A file with one to three mutations; ``others`` are files to take parts of."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        kind = draw.random.random()
        if kind < 0.4:
            data = draw.choice(BYTES)(draw, data)
        elif kind < 0.5:
            data = draw.choice(SPLICES)(draw, data, draw.choice(others))
        else:
            data = _spoil_json(draw, data)
    return data


# --- bytes ----------------------------------------------------------------------------------


def _span(draw: Draw, data: bytes) -> tuple[int, int]:
    begin = draw.integer(0, len(data))
    return begin, min(len(data), begin + draw.choice((1, 1, 2, 4, 8, 50, 1000)))


def _flip(draw: Draw, data: bytes) -> bytes:
    """Some bits, of all or of the tensors' bytes."""
    changed = bytearray(data)
    begin = draw.choice((0, min(len(_parts(data)[0]), len(data))))
    for _ in range(draw.choice((1, 1, 2, 8)) if begin < len(data) else 0):
        changed[draw.integer(begin, len(data) - 1)] ^= 1 << draw.integer(0, 7)
    return bytes(changed)


def _overwrite(draw: Draw, data: bytes) -> bytes:
    begin, end = _span(draw, data)
    value = draw.choice(
        (b"\0", b"\xff", b" ", b"9", b"[", b'"', b"\\", bytes([draw.integer(0, 255)]))
    )
    return data[:begin] + value * (end - begin) + data[end:]


def _cut_out(draw: Draw, data: bytes) -> bytes:
    begin, end = _span(draw, data)
    return data[:begin] + data[end:]


def _insert(draw: Draw, data: bytes) -> bytes:
    begin, end = _span(draw, data)
    return (
        data[:end]
        + draw.choice((data[begin:end], draw.random.randbytes(4), b"{", b","))
        + data[end:]
    )


def _truncate(draw: Draw, data: bytes) -> bytes:
    return data[: draw.choice((draw.integer(0, len(data)), max(0, len(data) - 4)))]


def _append(draw: Draw, data: bytes) -> bytes:
    return data + draw.choice((b"\0", b"\0" * 4, data, data[:8], b" " * 100))


def _prefix(draw: Draw, data: bytes) -> bytes:
    length = int.from_bytes(data[:PREFIX], "little") + draw.choice((-8, -1, 1, 8, len(data)))
    length = draw.choice((length, 0, 1, len(data), len(data) - 8, 2**25, 2**31, 2**63, 2**64 - 1))
    return struct.pack("<Q", length % 2**64) + data[PREFIX:]


BYTES: tuple[Callable[[Draw, bytes], bytes], ...] = (
    _flip, _flip, _overwrite, _cut_out, _insert, _truncate, _append, _prefix,
)  # fmt: skip


# --- two files ------------------------------------------------------------------------------


def _cross(draw: Draw, data: bytes, other: bytes) -> bytes:
    return data[: draw.integer(0, len(data))] + other[draw.integer(0, len(other)) :]


def _other_data(draw: Draw, data: bytes, other: bytes) -> bytes:
    return _parts(data)[0] + _parts(other)[1]


SPLICES: tuple[Callable[[Draw, bytes, bytes], bytes], ...] = (_cross, _other_data)


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """What stands before the tensors' bytes, and these."""
    end = PREFIX + int.from_bytes(data[:PREFIX], "little")
    return data[:end], data[end:]


def with_header(header: Any, data: bytes) -> bytes:
    """A file of this header, and the tensors' bytes."""
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


# --- headers --------------------------------------------------------------------------------


def _spoil_json(draw: Draw, data: bytes) -> bytes:
    head, rest = _parts(data)
    try:
        header = json.loads(head[PREFIX:])
        names = [name for name in header if name != "__metadata__"]
        if draw.chance(0.5):
            text = _spoiled_metadata(draw, header)
        elif draw.chance(0.2):
            rest = _swapped_data(draw, rest, [header[name] for name in names])
            text = json.dumps(header)
        else:
            text = _spoiled_entries(draw, header, names)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return draw.choice(BYTES)(draw, data)  # what came before has left no header
    spoiled = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(spoiled)) + spoiled + rest


def _spoiled_entries(draw: Draw, header: dict[str, Any], names: list[str]) -> str:
    name, other = draw.choice(names), draw.choice(names)
    form = draw.integer(0, 9)
    if form == 0:
        header[name]["dtype"] = draw.choice(DTYPES)
    elif form == 1:
        header[name]["shape"] = _wrong_shape(draw, header[name]["shape"])
    elif form == 2:
        offsets = header[name]["data_offsets"]
        offsets[draw.integer(0, 1)] += draw.choice((-8, -4, -1, 1, 4, 8, 2**63))
    elif form == 3:
        header[name]["data_offsets"], header[other]["data_offsets"] = (
            header[other]["data_offsets"],
            header[name]["data_offsets"],
        )
    elif form == 4:
        header[draw.choice((name + "x", name[:-1], "x" * 3000, other))] = header.pop(name)
    elif form == 5:
        del header[name]
    elif form == 6:
        header["more"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    elif form == 7:
        header[name][draw.choice(("dtype", "shape", "data_offsets", "x"))] = draw.choice(STRANGE)
    elif form == 8:
        header[name] = draw.choice(STRANGE)
    else:
        entry = json.dumps({name: header[name]})[1:-1]
        return json.dumps(header)[:-1] + f", {entry}}}"
    return json.dumps(_shuffled(draw, header) if draw.chance(0.3) else header)


def _wrong_shape(draw: Draw, shape: list[int]) -> Any:
    index = draw.integer(0, len(shape) - 1)
    changed = list(shape)
    changed[index] = draw.choice(
        (
            shape[index] + 1,
            shape[index] - 1,
            0,
            -1,
            2**63,
            10**30,
            1.0,
            True,
            None,
            float(shape[index]),
        )
    )
    return draw.choice((changed, shape[::-1], [*shape, 1], shape[:-1], [-n for n in shape], "x"))


def _shuffled(draw: Draw, header: dict[str, Any]) -> dict[str, Any]:
    names = list(header)
    draw.random.shuffle(names)
    return {name: header[name] for name in names}


def _swapped_data(draw: Draw, data: bytes, entries: list[Any]) -> bytes:
    """The bytes of one tensor in place of another's."""
    one, other = (slice(*draw.choice(entries)["data_offsets"]) for _ in range(2))
    changed = bytearray(data)
    changed[one] = data[other]
    return bytes(changed)


# --- descriptions ---------------------------------------------------------------------------


def _spoiled_metadata(draw: Draw, header: dict[str, Any]) -> str:
    """The header with another description of the model."""
    metadata = header["__metadata__"]
    if draw.chance(0.1):
        header["__metadata__"] = draw.choice((*STRANGE, {"pyrnn": 1}, {"pyrnn": {}}, {"x": "y"}))
        return json.dumps(header)
    if draw.chance(0.1):
        metadata["more"] = draw.choice(STRANGE)
        return json.dumps(header)
    description = json.loads(metadata["pyrnn"])
    places = [description, description["arguments"], description["arguments"]]
    place = draw.choice(places)
    key = draw.choice(sorted(place))
    form = draw.random.random()
    if form < 0.15:
        del place[key]
    elif form < 0.3:
        place[draw.choice(("seed", "initialization", "peephole", "proj_size", "x" * 999))] = (
            draw.choice(STRANGE)
        )
    elif form < 0.6 and type(place[key]) is int:
        place[key] += draw.choice((-1, 1, 2, 1000, 10**9))
    elif form < 0.6 and isinstance(place[key], str):
        place[key] = draw.choice((place[key] * 2, place[key][:-1], place[key] + "x", "GRU", "LSTM"))
    elif form < 0.6 and isinstance(place[key], bool):
        place[key] = not place[key]
    else:
        place[key] = draw.choice(STRANGE)
    text = json.dumps(description)
    if draw.chance(0.1):
        text = draw.choice(
            (text[:-1], text + " ", DEEP, text[:-1] + ', "version": 1}', text + DEEP)
        )
    metadata["pyrnn"] = text
    return json.dumps(header)
