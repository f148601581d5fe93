"""What attacks a reader: calls, objects within themselves or deep, archives that unpack to more."""

from __future__ import annotations

import functools
import struct
import sys
import types
import zipfile
from typing import Any

from tests.fuzz.spoil.torch_file import name, zipped

TRAP = "tests_fuzz_trap"
"""A module whose functions note that they were called."""
STRUCK: list[str] = []
BOMB = 1 << 24
"""Bytes that a bomb unpacks to."""


def set_trap() -> None:
    """Have the module that the calls of files name, so that one which is run is noticed."""

    class Struck:
        def __init__(self, *given: Any) -> None:
            STRUCK.append(repr(given)[:80])

        def __setstate__(self, state: Any) -> None:
            STRUCK.append(repr(state)[:80])

    module: Any = types.ModuleType(TRAP)
    module.strike = lambda *given: STRUCK.append(repr(given)[:80])
    module.Struck = Struck
    sys.modules[TRAP] = module


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


@functools.lru_cache(None)
def calls(argument: str) -> tuple[bytes, ...]:
    """Opcodes that leave one object on the stack, and call a function where they are run."""
    text = _text(argument)
    strike, kind = bytes(name(TRAP, "strike")), bytes(name(TRAP, "Struck"))
    one = text + b"\x85"
    return (
        strike + one + b"R",
        kind + one + b"\x81",
        kind + one + b"}\x92",
        kind + b")\x81" + text + b"b",
        _text(TRAP) + _text("strike") + b"\x93" + one + b"R",
        b"(" + text + f"i{TRAP}\nstrike\n".encode(),
        b"(" + kind + text + b"o",
        bytes(name("os", "system")) + one + b"R",
        bytes(name("builtins", "eval")) + one + b"R",
        bytes(name("builtins", "getattr")) + strike + _text("__globals__") + b"\x86R",
        bytes(name("torch._utils", "_rebuild_tensor_v2")) + strike + one + b"R\x85R",
        b"\x82\x01",
    )


def in_itself(kind: str) -> bytes:
    """Opcodes of an object that contains itself."""
    if kind == "dict":
        return b"}q\xf0" + _text("self") + b"h\xf0s"
    if kind == "list":
        return b"]q\xf0h\xf0a"
    if kind == "tuple":  # through a list
        return b"]q\xf0(h\xf0tq\xf1ah\xf1"
    return bytes(name("some", "Thing")) + b")\x81q\xf0}" + _text("_modules") + b"h\xf0sb"


def nested(kind: str, depth: int) -> bytes:
    """Opcodes of an object within very many others."""
    if kind == "list":
        return b"]" * depth + b"a" * (depth - 1)
    if kind == "tuple":
        return b"N" + b"\x85" * depth
    return (b"}" + _text("a")) * depth + b"N" + b"s" * depth


@functools.lru_cache(None)
def zip_bomb(member: str, content: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A small archive with a large member, ``content`` again and again."""
    data = before + content * (BOMB // len(content)) + after
    return zipped({member: data}, zipfile.ZIP_DEFLATED)
