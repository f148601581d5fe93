"""Files that `torch.load` reads, with ``weights_only=True`` as well, written without torch.

The pickle in such a file is written opcode by opcode: it is an OrderedDict of tensors, and refers
to nothing else.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn._files import AnyPath, checked_path, write_atomically
from pyrnn.interop.torch import _names
from pyrnn.interop.torch.state_dict import to_state_dict
from pyrnn.layers._layer import Layer

Arrays = Mapping[str, npt.NDArray[Any]]

_CLASSES = {"float32": b"FloatStorage", "float64": b"DoubleStorage", "int64": b"LongStorage"}
_FOLDER = "model"
_ALIGNMENT = 64
"""Bytes: where torch begins the numbers of a tensor, so that they can be mapped into memory."""
_LOCAL_HEADER = 30
_EXTRA_HEADER = 4
_PADDING_ID = 0x4246
"""The kind of an extra field that torch uses for padding, "FB"."""
_OLDEST = (1980, 1, 1, 0, 0, 0)
"""The date of all members, so that equal weights give equal files."""


def save(layers: Any, path: AnyPath) -> None:
    """Write layers as a state dict in a file that `torch.load` reads.

    Parameters
    ----------
    layers : layer, dict of layers by name, or dict of arrays by name
        A layer's arrays have torch's names, after its own name and a dot if it has one: what
        `to_state_dict` gives. Arrays are written as they are.
    path : str, bytes or os.PathLike
        Usually ends in ``.pt``.

    Raises
    ------
    TypeError
        If ``layers`` is of another type, or an array is neither float32 nor float64.
    ValueError
        If torch has no such layer.
    OSError
        If the file cannot be written.

    Notes
    -----
    The form is the zip archive that torch writes since version 1.6. A module takes it by
    ``module.load_state_dict(torch.load(path))``; `read` gives the arrays back bit for bit.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.pt")
    ...     torch.save({"rnn": pyrnn.GRU(3, 4), "out": pyrnn.Linear(4, 2)}, path)
    ...     torch.from_state_dict(torch.read(path), prefix="rnn")
    GRU(3, 4)
    """
    name = checked_path(path)
    write_atomically(name, archive(_state_dict(layers)))


def _state_dict(layers: Any) -> dict[str, npt.NDArray[Any]]:
    if isinstance(layers, Layer):
        return to_state_dict(layers)
    if not isinstance(layers, Mapping) or not layers:
        raise TypeError("layers: expected a layer, or a dict of layers or arrays by name")
    found: dict[str, npt.NDArray[Any]] = {}
    for name, one in layers.items():
        if not isinstance(name, str):
            raise TypeError(f"layers: expected names, got {type(name).__name__}")
        if isinstance(one, np.ndarray):
            found[name] = _names.as_array(name, one)
        else:
            found |= to_state_dict(one, name)
    return found


def archive(arrays: Arrays) -> bytes:
    """The bytes of a file with these arrays."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        _put(made, file, "data.pkl", _pickle(arrays))
        _put(made, file, "byteorder", b"little")
        for number, array in enumerate(arrays.values()):
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            _put(made, file, f"data/{number}", little.tobytes())
        _put(made, file, "version", b"3\n")
    return file.getvalue()


def _put(made: zipfile.ZipFile, file: io.BytesIO, name: str, data: bytes) -> None:
    """A member, padded so that its bytes begin at a multiple of torch's alignment."""
    member = zipfile.ZipInfo(f"{_FOLDER}/{name}", _OLDEST)
    begin = file.tell() + _LOCAL_HEADER + len(member.filename) + _EXTRA_HEADER
    padding = -begin % _ALIGNMENT
    member.extra = struct.pack("<HH", _PADDING_ID, padding) + b"Z" * padding
    made.writestr(member, data)


# --- the pickle -----------------------------------------------------------------------------


def _pickle(arrays: Arrays) -> bytes:
    """An OrderedDict of tensors, each over a storage of its own, in protocol 2."""
    entries = [
        _text(name) + _tensor(array, str(number))
        for number, (name, array) in enumerate(arrays.items())
    ]
    filled = b"(" + b"".join(entries) + b"u" if entries else b""
    return b"\x80\x02" + _ORDERED + filled + b"."


def _global(module: bytes, name: bytes) -> bytes:
    return b"c" + module + b"\n" + name + b"\n"


_ORDERED = _global(b"collections", b"OrderedDict") + b")R"


def _tensor(array: npt.NDArray[Any], key: str) -> bytes:
    """A call of torch's own function, with a storage that the file has beside the pickle."""
    kind = _global(b"torch", _CLASSES[array.dtype.name])
    storage = _tuple(_text("storage"), kind, _text(key), _text("cpu"), _whole(array.size)) + b"Q"
    steps = [step // array.itemsize for step in np.zeros(array.shape, array.dtype).strides]
    shape, strides = (_tuple(*map(_whole, sizes)) for sizes in (array.shape, steps))
    arguments = _tuple(storage, _whole(0), shape, strides, b"\x89", _ORDERED)
    return _global(b"torch._utils", b"_rebuild_tensor_v2") + arguments + b"R"


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _whole(number: int) -> bytes:
    """A whole number: in four bytes, or in as many as it needs."""
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    data = number.to_bytes(number.bit_length() // 8 + 1, "little")
    return b"\x8a" + bytes([len(data)]) + data
