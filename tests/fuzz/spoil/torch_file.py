"""Writes files as `torch.save` does, without torch: a pickle of opcodes, in either container."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
CLASSES = {
    "float32": ("FloatStorage", "f4"),
    "float64": ("DoubleStorage", "f8"),
    "float16": ("HalfStorage", "f2"),
    "int64": ("LongStorage", "i8"),
    "bool": ("BoolStorage", "?"),
    "uint16": ("BFloat16Storage", "u2"),
}
"""The class of storages for an array's dtype; uint16 holds the bits of bfloat16."""


class View:
    """A tensor over the storage of a flat array, by its offset, shape and strides."""

    def __init__(self, flat: Any, offset: int, shape: Any, strides: Any) -> None:
        self.flat, self.offset, self.shape, self.strides = flat, offset, shape, strides


class Raw(bytes):
    """Opcodes that leave one object on the stack."""


class Object:
    """An object of a class that is not there to import."""

    def __init__(self, module: str, name: str, state: Any) -> None:
        self.module, self.name, self.state = module, name, state


def name(module: str, own: str) -> Raw:
    """A class or function."""
    return Raw(b"c" + module.encode() + b"\n" + own.encode() + b"\n")


class Writer:
    """Pickles a tree, and gathers the storages of the arrays in it."""

    def __init__(self, older: bool = False) -> None:
        self.older = older
        self.storages: dict[str, Any] = {}
        self._keys: dict[int, str] = {}

    def pickle(self, value: Any) -> bytes:
        """A whole pickle of protocol 2."""
        return b"\x80\x02" + self.item(value) + b"."

    def item(self, value: Any) -> bytes:
        """The opcodes that make one object."""
        if isinstance(value, Raw):
            return value
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            data = value.encode()
            return b"X" + struct.pack("<I", len(data)) + data
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.item, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.item, value)) + b"e"
        if isinstance(value, dict):
            pairs = b"".join(self.item(k) + self.item(v) for k, v in value.items())
            return b"}(" + pairs + b"u"
        if isinstance(value, Object):
            made = name(value.module, value.name) + b")\x81"
            return made + self.item(value.state) + b"b"
        return self._tensor(value)

    def _tensor(self, value: Any) -> bytes:
        if not isinstance(value, View):
            steps = [step // value.itemsize for step in np.zeros(value.shape, value.dtype).strides]
            value = View(np.ascontiguousarray(value).reshape(-1), 0, value.shape, tuple(steps))
        key = self._keys.setdefault(id(value.flat), str(len(self._keys)))
        self.storages[key] = value.flat
        kind = name("torch", CLASSES[value.flat.dtype.name][0])
        identity: tuple[Any, ...] = ("storage", kind, key, "cpu", len(value.flat))
        if self.older:
            identity += (None,)
        stored = Raw(self.item(identity) + b"Q")
        hooks = Raw(name("collections", "OrderedDict") + b")R")
        arguments = (stored, value.offset, tuple(value.shape), tuple(value.strides), False, hooks)
        return name("torch._utils", "_rebuild_tensor_v2") + self.item(arguments) + b"R"


def archive(tree: Any, byteorder: str = "little", root: str = "model") -> bytes:
    """A zip archive, as torch writes since 1.6."""
    writer = Writer()
    data = writer.pickle(tree)
    order = "<" if byteorder == "little" else ">"
    members = {"data.pkl": data, "byteorder": byteorder.encode(), "version": b"3\n"}
    for key, flat in writer.storages.items():
        code = CLASSES[flat.dtype.name][1]
        members[f"data/{key}"] = flat.astype(np.dtype(code).newbyteorder(order)).tobytes()
    return zipped({f"{root}/{name}": data for name, data in members.items()})


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for member, data in members.items():
            made.writestr(zipfile.ZipInfo(member), data, compression)
    return file.getvalue()


def row(tree: Any) -> bytes:
    """Pickles in a row and then the storages, as torch wrote before."""
    writer = Writer(older=True)
    parts = [writer.pickle(MAGIC), writer.pickle(VERSION), writer.pickle({"little_endian": True})]
    parts.append(writer.pickle(tree))
    parts.append(writer.pickle(list(writer.storages)))
    for flat in writer.storages.values():
        data = flat.astype(np.dtype(CLASSES[flat.dtype.name][1]).newbyteorder("<")).tobytes()
        parts.append(struct.pack("<q", len(flat)) + data)
    return b"".join(parts)


CONTAINERS = {"zip": archive, "big-endian": lambda tree: archive(tree, "big"), "older": row}
"""Ways to write a tree to bytes."""
