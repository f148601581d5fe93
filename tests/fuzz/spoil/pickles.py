"""Spoils the bytes of pickles and of zip archives."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

from tests.fuzz.draw import Draw
from tests.fuzz.spoil.files import BYTES
from tests.fuzz.spoil.torch_file import name

OPCODES = b"(.0123BCFGIJKLMNPQRSTUVX]abcdeghijlopqrstu})" + bytes(range(0x80, 0x97))
PIECES: tuple[bytes, ...] = (
    b"cos\nsystem\n", b"X\x02\0\0\0id\x85R", b")R", b")\x81", b"}b", b"N", b"K\x00", b"h\x00",
    b"q\x00", b"j\xff\xff\xff\xff", b"r\xff\xff\xff\xff", b"]" * 300, b"2", b"t", b"Q",
    b"\x8a\xff" + b"\x7f" * 255, b"\x8d" + b"\xff" * 8, b"\x96" + b"\xff" * 7 + b"\x7f",
    b"\x8b\xff\xff\xff\x7f", bytes(name("collections", "OrderedDict")) + b")R",
    b"I99999999999999999999\n", b"Fnan\n", b"\x85" * 300,
)  # fmt: skip
NUMBERS = (0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1)


def spoil_pickle(draw: Draw, data: bytes) -> bytes:
    """One to three mutations of bytes or of opcodes."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.integer(0, len(data))
        form = draw.integer(0, 4)
        if form == 0:
            data = draw.choice(BYTES)(draw, data)
        elif form == 1:
            data = data[:at] + bytes([draw.choice(OPCODES)]) + data[at + 1 :]
        elif form == 2:
            data = data[:at] + draw.choice(PIECES) + data[at:]
        elif form == 3:  # a stretch again, elsewhere
            end = min(len(data), at + draw.choice((1, 5, 20, 100)))
            to = draw.integer(0, len(data))
            data = data[:to] + data[at:end] + data[to:]
        else:
            data = data[:at] + struct.pack("<I", draw.choice(NUMBERS)) + data[at + 4 :]
    return data


def spoil_zip(draw: Draw, data: bytes) -> bytes:
    """An archive of the same members: renamed, dropped, compressed, or with a broken record."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members: dict[str, Any] = {n: archive.read(n) for n in archive.namelist()}
    victim = draw.choice(list(members))
    form = draw.integer(0, 5)
    if form == 0:
        del members[victim]
    elif form == 1:
        new = (victim + "x", "model/data.pkl", "other/data.pkl", "model/byteorder")
        members[draw.choice(new)] = members.pop(victim)
    elif form == 2:
        members[victim] = draw.choice(BYTES)(draw, members[victim])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for member, content in members.items():
            deflated = form == 3 and draw.chance(0.5)
            kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            made.writestr(zipfile.ZipInfo(member), content, kind)
        if form == 4:  # what the directory says of a member
            info = draw.choice(made.filelist)
            field = draw.choice(("header_offset", "CRC", "compress_size", "file_size"))
            setattr(info, field, draw.choice(NUMBERS))
    data = file.getvalue()
    if form == 5:  # in the directory, or its end
        at = draw.integer(max(0, len(data) - 150), len(data) - 1)
        data = data[:at] + struct.pack("<I", draw.choice(NUMBERS)) + data[at + 4 :]
    return data
